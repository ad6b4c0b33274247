/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * recheck.c - looking again at frames that differ; see recheck.h
 */
#include "recheck.h"

#include "folio.h"
#include "scan.h"
#include "verify.h"

#include <stdlib.h>
#include <string.h>

#define ROUNDS 10
#define WHOLE_ROUNDS 4
#define STRIKES 3
#define PATIENCE 2
#define LOOKS 32
#define PIECE 512

/* A frame that differs, or is in one large folio with such a frame; and what the last round found. */
struct suspect {
	struct frame *frame;       /* NULL if nobody was found to map it */
	atomic_uint_fast64_t file; /* ptes of a file's page */
	atomic_uint_fast64_t bare; /* ptes without that mark: anonymous, special, or of a huge page */
	uint64_t ours;             /* what we counted, and what the kernel */
	uint64_t kernel;
	unsigned strikes;
	unsigned sightings; /* of special ptes that map a frame without any flags */
	bool anonymous;     /* it was found mapped by a vma of no file */
	bool steady;
	bool missing;     /* the kernel counts more than what was read accounts for, ... */
	uint64_t surplus; /* ... in the last narrow round by so many, ... */
	bool constant;    /* ... and by as many again now */
	unsigned missed;  /* in how many rounds it was missing */
};

/* Where a suspect was found mapped. */
struct place {
	uint64_t vpn;
	uint32_t process;
	uint32_t suspect;
};

/* The frames that are looked at again, by number in their set, and what the kernel says of them in one round. */
struct suspects {
	struct suspect *items;
	size_t n;
	struct pfnset set;
	struct folio *folios;
	size_t folios_n;
	size_t folios_capacity;
	struct place *places; /* by process and page */
	size_t places_n;
	size_t places_capacity;
	size_t *runs; /* where each process's places begin; and where the last one's end */
	size_t runs_n;
	uint64_t *pfns;
	uint64_t *before;
	uint64_t *after;
	uint64_t *flags_before;
	uint64_t *flags_after;
};

/* ---- what is looked at ---- */

static bool is_in_folio(const struct frame *frame)
{
	return frame->flags & KPF_COMPOUND && !(frame->flags & (KPF_HUGE | KPF_ZERO_PAGE));
}

static int compare_places(const void *left, const void *right)
{
	const struct place *a = left, *b = right;

	if (a->process != b->process)
		return a->process < b->process ? -1 : 1;
	return (a->vpn > b->vpn) - (a->vpn < b->vpn);
}

/*
 * The reverse map says who maps a suspect, and who may have by now. Of the latter no more are looked at than it takes
 * to read everything.
 */
static void add_places(struct suspects *suspects, const struct system *system, size_t number)
{
	struct mapper *mappers;
	size_t n = (suspects->places_n < system->mappings ? system_candidates : system_mappers)(
		system, suspects->items[number].frame, &mappers);

	suspects->places =
		grow(suspects->places, &suspects->places_capacity, suspects->places_n + n, sizeof(*suspects->places));
	for (size_t i = 0; i < n; i++) {
		const struct mapper *mapper = &mappers[i];

		suspects->places[suspects->places_n++] =
			(struct place){ .vpn = mapper->vpn, .process = mapper->process, .suspect = (uint32_t)number };
		suspects->items[number].anonymous |=
			mapper->kind == RMAP_CHAINED &&
			(mapper->vma == NO_VMA || !system->processes[mapper->process].vmas[mapper->vma].file);
	}
	free(mappers);
}

static void make_runs(struct suspects *suspects)
{
	const struct place *places = suspects->places;

	if (suspects->places_n)
		qsort(suspects->places, suspects->places_n, sizeof(*suspects->places), compare_places);
	suspects->runs = zeroed(suspects->places_n + 1, sizeof(*suspects->runs));
	for (size_t i = 0; i < suspects->places_n; i++)
		if (!i || places[i].process != places[i - 1].process)
			suspects->runs[suspects->runs_n++] = i;
	suspects->runs[suspects->runs_n] = suspects->places_n;
}

static void make_suspect(void *arg, size_t number, uint64_t pfn)
{
	struct suspects *suspects = arg;

	suspects->pfns[number] = pfn;
}

/* Collect the frames that differ. Of a large folio all pages are looked at, for they may have an average in common. */
static void add_frames(struct suspects *suspects, const struct system *system, const struct procfs *procfs)
{
	struct folio folio = { 0 };

	for (size_t i = 0; i < system->frames_n; i++) {
		const struct frame *frame = &system->frames[i];
		uint64_t pfn;

		if (frame->verdict != VERDICT_MISMATCHED)
			continue;
		pfn = system_pfn(system, frame);
		pfnset_add(&suspects->set, pfn);
		if (!is_in_folio(frame) || pfn - folio.head < folio.pages)
			continue;
		folio = folio_of(procfs, pfn);
		for (uint64_t k = 0; k < folio.pages; k++)
			pfnset_add(&suspects->set, folio.head + k);
		suspects->folios = grow(suspects->folios, &suspects->folios_capacity, suspects->folios_n + 1,
					sizeof(*suspects->folios));
		suspects->folios[suspects->folios_n++] = folio;
	}
}

static void suspects_init(struct suspects *suspects, const struct system *system, const struct procfs *procfs)
{
	*suspects = (struct suspects){ 0 };
	add_frames(suspects, system, procfs);
	suspects->n = pfnset_number(&suspects->set);
	suspects->items = zeroed(suspects->n, sizeof(*suspects->items));
	suspects->pfns = zeroed(suspects->n, sizeof(*suspects->pfns));
	suspects->before = zeroed(suspects->n, sizeof(*suspects->before));
	suspects->after = zeroed(suspects->n, sizeof(*suspects->after));
	suspects->flags_before = zeroed(suspects->n, sizeof(*suspects->flags_before));
	suspects->flags_after = zeroed(suspects->n, sizeof(*suspects->flags_after));
	pfnset_list(&suspects->set, make_suspect, suspects);
	for (size_t i = 0; i < suspects->n; i++) {
		struct frame *frame = system_frame(system, suspects->pfns[i]);

		if (!frame)
			continue;
		suspects->items[i].frame = frame;
		suspects->items[i].kernel = frame->kernel;
		add_places(suspects, system, i);
	}
	make_runs(suspects);
}

static void suspects_fini(struct suspects *suspects)
{
	pfnset_fini(&suspects->set);
	free(suspects->items);
	free(suspects->folios);
	free(suspects->places);
	free(suspects->runs);
	free(suspects->pfns);
	free(suspects->before);
	free(suspects->after);
	free(suspects->flags_before);
	free(suspects->flags_after);
}

/* ---- reading ---- */

static void count_suspect(void *arg, unsigned thread, size_t process, uint64_t vpn, uint64_t pte)
{
	struct suspects *suspects = arg;
	size_t number = pfnset_find(&suspects->set, pte & PTE_PFN);

	(void)thread;
	(void)process;
	(void)vpn;
	if (number != PFNSET_NONE)
		atomic_fetch_add(pte & PTE_FILE ? &suspects->items[number].file : &suspects->items[number].bare, 1);
}

static bool maps(uint64_t entry, uint64_t pfn)
{
	return entry & PTE_PRESENT && (entry & PTE_PFN) == pfn;
}

/*
 * A narrow round: threads take the processes one by one. Only those are read at the known places that are still what
 * they were, and not a task that shares the address space of another one now; what has begun or has executed another
 * program since is *fresh*, and read in full.
 */
struct narrow {
	const struct system *system;
	const struct procfs *procfs;
	struct suspects *suspects;
	struct tasks fresh;
	bool *stayed; /* of each process that was read */
	atomic_size_t next;
};

static void narrow_init(struct narrow *narrow, const struct tasks *tasks)
{
	const struct system *system = narrow->system;
	size_t at = 0;

	narrow->stayed = zeroed(system->processes_n, sizeof(*narrow->stayed));
	narrow->fresh.items = zeroed(tasks->n, sizeof(*narrow->fresh.items));
	for (size_t i = 0; i < tasks->n; i++) {
		const struct task *task = &tasks->items[i], *known;

		while (at < system->processes_n && system->processes[at].task.pid < task->pid)
			at++;
		known = at < system->processes_n ? &system->processes[at].task : NULL;
		if (known && known->pid == task->pid && known->start_time == task->start_time &&
		    !memcmp(known->layout, task->layout, sizeof(task->layout)))
			narrow->stayed[at] = true;
		else
			narrow->fresh.items[narrow->fresh.n++] = *task;
	}
}

static void narrow_fini(struct narrow *narrow)
{
	free(narrow->stayed);
	tasks_fini(&narrow->fresh);
}

static void read_places(struct narrow *narrow, const struct place *places, size_t n)
{
	struct suspects *suspects = narrow->suspects;
	const struct task *task = &narrow->system->processes[places[0].process].task;
	uint64_t vpns[PIECE], entries[PIECE];

	for (size_t i = 0; i < n; i++)
		vpns[i] = places[i].vpn;
	procfs_read_entries(narrow->procfs, task, vpns, n, entries);
	for (size_t i = 0; i < n; i++)
		if (maps(entries[i], suspects->pfns[places[i].suspect]))
			count_suspect(suspects, 0, places[i].process, places[i].vpn, entries[i]);
}

static void narrow_thread(void *arg, unsigned thread)
{
	struct narrow *narrow = arg;
	const struct suspects *suspects = narrow->suspects;
	size_t run;

	(void)thread;
	while ((run = atomic_fetch_add(&narrow->next, 1)) < suspects->runs_n) {
		size_t end = suspects->runs[run + 1];
		bool stayed = narrow->stayed[suspects->places[suspects->runs[run]].process];

		for (size_t at = suspects->runs[run]; at < end && stayed; at += PIECE)
			read_places(narrow, &suspects->places[at], end - at < PIECE ? end - at : PIECE);
	}
}

/* ---- judging ---- */

static bool same_tasks(const struct tasks *a, const struct tasks *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (a->items[i].pid != b->items[i].pid || a->items[i].start_time != b->items[i].start_time)
			return false;
	return true;
}

static uint64_t counted(uint64_t flags, uint64_t file, uint64_t bare)
{
	return (pte_is_counted((uint32_t)flags, true) ? file : 0) + (pte_is_counted((uint32_t)flags, false) ? bare : 0);
}

/* Is a frame still what it was, as far as it matters for what the kernel counts? */
static bool same_kind(uint64_t before, uint64_t after)
{
	const uint64_t kinds = KPF_BUDDY | KPF_ANON | KPF_HUGE | KPF_NOPAGE | KPF_THP | KPF_ZERO_PAGE;

	return (before & kinds) == (after & kinds) && !before == !after;
}

/*
 * Special ptes are not compared with a count, so it has to be sure that they are. Anonymous memory has none but of the
 * zero page: there, a pte that seems to be one maps a frame that was freed, and perhaps used once more and freed again,
 * as buffers of our own are. Free frames are in the page allocator's lists (KPF_BUDDY) or kept by a CPU, without any
 * flags; but so is much of the memory of drivers, and there a pte must be seen again and again.
 */
static enum verdict special_verdict(struct suspect *suspect, uint64_t flags)
{
	if (flags && !(flags & KPF_BUDDY))
		return VERDICT_MATCHED;
	if (flags || suspect->anonymous)
		return VERDICT_CHANGED;
	return ++suspect->sightings == STRIKES ? VERDICT_MATCHED : VERDICT_MISMATCHED;
}

/* What a round found. */
struct found {
	uint64_t before; /* the kernel's count */
	uint64_t after;
	uint64_t flags_before;
	uint64_t flags_after;
	bool whole; /* all ptes were read */
	bool quiet; /* no task came or went */
};

static bool is_open(const struct suspect *suspect)
{
	return suspect->frame && suspect->frame->verdict == VERDICT_MISMATCHED && suspect->strikes < STRIKES;
}

/* What one round says of one suspect: agreed, or one strike more, or all has to be read, or it moves. */
static void judge(const struct system *system, struct suspect *suspect, const struct found *found)
{
	struct frame *frame = suspect->frame;
	uint64_t all = suspect->file + suspect->bare;
	uint64_t ours = counted(found->flags_after, suspect->file, suspect->bare);
	bool stood = suspect->strikes && suspect->ours == ours && suspect->kernel == found->after;
	bool open = is_open(suspect);

	suspect->steady = found->before == found->after && same_kind(found->flags_before, found->flags_after);
	suspect->ours = ours;
	suspect->kernel = found->after;
	suspect->missing = false;
	if (!open)
		return;
	/* The map is wrong: nothing that is read now can make it right. */
	if (frame->broken) {
		suspect->strikes = STRIKES;
	} else if (!suspect->steady) {
		suspect->strikes = 0;
	} else if (counts_agree(system, frame, ours, found->after)) {
		frame->verdict = all == ours ? VERDICT_MATCHED : special_verdict(suspect, found->flags_after);
		if (frame->verdict == VERDICT_MATCHED &&
		    (all - ours != frame_uncounted(system, frame) || !frame_agrees(system, frame)))
			frame->verdict = VERDICT_CHANGED;
	} else {
		suspect->missing = ours < found->after;
		suspect->missed += suspect->missing;
		suspect->constant = suspect->missing && suspect->surplus == found->after - ours;
		if (!found->whole)
			suspect->surplus = suspect->missing ? found->after - ours : 0;
		if (!suspect->missing || found->whole)
			suspect->strikes = !found->quiet ? 0 : stood ? suspect->strikes + 1 : 1;
	}
}

static bool sum_folio(const struct suspects *suspects, const struct folio *folio, struct folio_sum *sum)
{
	size_t first = pfnset_find(&suspects->set, folio->head);
	bool steady = true;

	*sum = (struct folio_sum){ 0 };
	for (size_t i = first; i < first + folio->pages; i++) {
		folio_sum_add(sum, suspects->items[i].ours, suspects->items[i].kernel);
		steady &= suspects->items[i].steady;
	}
	return steady;
}

/* Of the frames that do not agree, accept those of large folios of which the kernel tells the average. */
static void accept_averages(struct system *system, struct suspects *suspects)
{
	struct folio_sum sum;

	for (size_t i = 0; i < suspects->folios_n && !system->averaging; i++)
		system->averaging =
			sum_folio(suspects, &suspects->folios[i], &sum) && folio_proves_average(system, &sum);
	for (size_t i = 0; i < suspects->folios_n && system->averaging; i++) {
		size_t first = pfnset_find(&suspects->set, suspects->folios[i].head);

		if (!sum_folio(suspects, &suspects->folios[i], &sum) || !folio_is_average(system, &sum))
			continue;
		for (size_t k = first; k < first + suspects->folios[i].pages; k++) {
			struct frame *frame = suspects->items[k].frame;

			if (frame && frame->verdict == VERDICT_MISMATCHED && !frame->broken)
				frame->verdict = VERDICT_AVERAGED;
		}
	}
}

static bool is_missing(const struct suspect *suspect)
{
	return suspect->missing && suspect->frame->verdict == VERDICT_MISMATCHED;
}

/*
 * What the kernel counts beyond what was seen may be mappings of processes that may not be read, if those have so many.
 * As long as it is now more and now less there is hope that a round finds it all, unless this was the last one.
 */
static void accept_unread(const struct system *system, struct suspects *suspects, bool last)
{
	uint64_t surplus = 0;

	for (size_t i = 0; i < suspects->n; i++)
		if (is_missing(&suspects->items[i]))
			surplus += suspects->items[i].kernel - suspects->items[i].ours;
	if (!system->refused || surplus > system->refused_pages)
		return;
	for (size_t i = 0; i < suspects->n; i++)
		if (is_missing(&suspects->items[i]) && (suspects->items[i].constant || last))
			suspects->items[i].frame->verdict = VERDICT_BOUNDED;
}

/* ---- rounds ---- */

struct recheck {
	struct system *system;
	const struct procfs *procfs;
	const pid_t *pids;
	size_t pids_n;
	unsigned threads;
	unsigned wholes; /* whole rounds so far */
	struct suspects suspects;
};

static void judge_all(struct recheck *recheck, bool whole, bool quiet)
{
	struct suspects *suspects = &recheck->suspects;

	rmap_read_lock(recheck->system->map);
	for (size_t i = 0; i < suspects->n; i++)
		judge(recheck->system, &suspects->items[i],
		      &(struct found){ .before = suspects->before[i],
				       .after = suspects->after[i],
				       .flags_before = suspects->flags_before[i],
				       .flags_after = suspects->flags_after[i],
				       .whole = whole,
				       .quiet = quiet });
	accept_averages(recheck->system, suspects);
	if (recheck->wholes)
		accept_unread(recheck->system, suspects, false);
	rmap_read_unlock(recheck->system->map);
}

/* Returns how many threads were started for it. */
static unsigned read_narrow(struct recheck *recheck, const struct tasks *tasks)
{
	struct suspects *suspects = &recheck->suspects;
	struct narrow narrow = { .system = recheck->system, .procfs = recheck->procfs, .suspects = suspects };
	unsigned started;

	narrow_init(&narrow, tasks);
	started = team_run(recheck->threads, narrow_thread, &narrow);
	if (narrow.fresh.n)
		started += scan_again(recheck->procfs, &narrow.fresh, recheck->threads, "checking", count_suspect,
				      suspects);
	narrow_fini(&narrow);
	return started;
}

static void run_round(struct recheck *recheck, bool whole)
{
	const struct procfs *procfs = recheck->procfs;
	struct suspects *suspects = &recheck->suspects;
	struct tasks tasks = { 0 }, later = { 0 };
	uint64_t forks = procfs_forks(procfs);
	bool quiet;

	procfs_tasks(procfs, recheck->pids, recheck->pids_n, &tasks);
	procfs_flags(procfs, suspects->pfns, suspects->n, suspects->flags_before);
	procfs_counts(procfs, suspects->pfns, suspects->n, suspects->before);
	for (size_t i = 0; i < suspects->n; i++)
		suspects->items[i].file = suspects->items[i].bare = 0;
	forks += whole ? scan_again(procfs, &tasks, recheck->threads, "checking", count_suspect, suspects)
		       : read_narrow(recheck, &tasks);
	procfs_counts(procfs, suspects->pfns, suspects->n, suspects->after);
	procfs_flags(procfs, suspects->pfns, suspects->n, suspects->flags_after);
	procfs_tasks(procfs, recheck->pids, recheck->pids_n, &later);
	/* Of named processes, others may come and go: what they map is no part of our count. */
	quiet = same_tasks(&tasks, &later) && (recheck->pids || forks == procfs_forks(procfs));
	judge_all(recheck, whole, quiet);
	tasks_fini(&tasks);
	tasks_fini(&later);
}

void recheck_system(struct system *system, const struct procfs *procfs, const pid_t *pids, size_t pids_n,
		    unsigned threads)
{
	struct recheck recheck = {
		.system = system, .procfs = procfs, .pids = pids, .pids_n = pids_n, .threads = threads
	};
	struct suspects *suspects = &recheck.suspects;
	double began = seconds_now();
	bool open, whole = false;

	suspects_init(suspects, system, procfs);
	open = suspects->n;
	for (unsigned round = 0; open && round < ROUNDS && !procfs_has_failed(procfs); round++) {
		bool missed = false;

		if ((whole && recheck.wholes++ == WHOLE_ROUNDS) || (round && seconds_now() - began > RECHECK_SECONDS))
			break;
		run_round(&recheck, whole);
		open = false;
		for (size_t i = 0; i < suspects->n; i++) {
			open |= is_open(&suspects->items[i]);
			missed |= is_open(&suspects->items[i]) && suspects->items[i].missed >= PATIENCE;
		}
		/* Between two whole rounds is a narrow one: it takes less time, and the system disturbs it less. */
		whole = missed && !whole;
	}
	accept_unread(system, suspects, true);
	for (size_t i = 0; i < suspects->n; i++)
		if (is_open(&suspects->items[i]))
			suspects->items[i].frame->verdict = VERDICT_MOVING;
	suspects_fini(suspects);
}

/* ---- one frame ---- */

/* Looking at one frame, which @mappers map, sorted. */
struct looking {
	struct system *system;
	const struct procfs *procfs;
	uint64_t pfn;
	struct frame *frame; /* NULL if nobody was found to map it */
	const struct mapper *mappers;
	size_t n;
	bool *present;    /* which of them were still there at the last look */
	uint64_t surplus; /* how many more the kernel has counted at least, in looks at which nothing moved */
};

/* Read the ptes again: how many of them does the kernel count, of a frame with these flags? */
static uint64_t read_mappers(const struct looking *looking, uint64_t flags)
{
	const struct mapper *mappers = looking->mappers;
	uint64_t vpns[PIECE], entries[PIECE], file = 0, bare = 0;

	for (size_t at = 0, next; at < looking->n; at = next) {
		const struct process *process = &looking->system->processes[mappers[at].process];

		for (next = at; next < looking->n && next - at < PIECE && mappers[next].process == mappers[at].process;
		     next++)
			vpns[next - at] = mappers[next].vpn;
		procfs_read_entries(looking->procfs, &process->task, vpns, next - at, entries);
		for (size_t i = at; i < next; i++) {
			looking->present[i] = maps(entries[i - at], looking->pfn);
			file += looking->present[i] && entries[i - at] & PTE_FILE;
			bare += looking->present[i] && !(entries[i - at] & PTE_FILE);
		}
	}
	return counted(flags, file, bare);
}

/* Is the frame in a large folio of which the kernel tells the average? By the map's counts, as it was read. */
static bool is_averaged(const struct looking *looking)
{
	const struct system *system = looking->system;
	struct folio folio = folio_of(looking->procfs, looking->pfn);
	uint64_t *pfns = zeroed(folio.pages, sizeof(*pfns)), *counts = zeroed(folio.pages, sizeof(*counts));
	struct folio_sum sum = { 0 };

	for (uint64_t i = 0; i < folio.pages; i++)
		pfns[i] = folio.head + i;
	procfs_counts(looking->procfs, pfns, folio.pages, counts);
	rmap_read_lock(system->map);
	for (uint64_t i = 0; i < folio.pages; i++) {
		const struct frame *frame = system_frame(system, pfns[i]);

		folio_sum_add(&sum, frame ? rmap_page_mapcount(system->map, frame_page(system, frame)) : 0, counts[i]);
	}
	rmap_read_unlock(system->map);
	free(pfns);
	free(counts);
	return folio_proves_average(system, &sum);
}

/* One look. */
static enum verdict look(struct looking *looking)
{
	struct system *system = looking->system;
	uint64_t before, after, flags_before, flags_after, ours;

	procfs_flags(looking->procfs, &looking->pfn, 1, &flags_before);
	procfs_counts(looking->procfs, &looking->pfn, 1, &before);
	ours = read_mappers(looking, flags_before);
	procfs_counts(looking->procfs, &looking->pfn, 1, &after);
	procfs_flags(looking->procfs, &looking->pfn, 1, &flags_after);
	if (looking->frame)
		looking->frame->kernel = after < UINT32_MAX ? (uint32_t)after : UINT32_MAX;
	if (before != after || !same_kind(flags_before, flags_after))
		return VERDICT_MOVING;
	if (counts_agree(system, looking->frame, ours, after))
		return VERDICT_MATCHED;
	if (flags_after & KPF_COMPOUND && !(flags_after & KPF_HUGE) && is_averaged(looking)) {
		system->averaging = true;
		return VERDICT_AVERAGED;
	}
	if (ours > after)
		return VERDICT_MISMATCHED;
	looking->surplus = after - ours < looking->surplus ? after - ours : looking->surplus;
	return system->refused && looking->surplus <= system->refused_pages ? VERDICT_BOUNDED : VERDICT_MISMATCHED;
}

enum verdict recheck_frame(struct system *system, const struct procfs *procfs, uint64_t pfn, struct frame *frame,
			   struct mapper *mappers, size_t *n, uint64_t *surplus)
{
	struct looking looking = { .system = system,
				   .procfs = procfs,
				   .pfn = pfn,
				   .frame = frame,
				   .mappers = mappers,
				   .n = *n,
				   .present = zeroed(*n, sizeof(bool)),
				   .surplus = UINT64_MAX };
	enum verdict verdict = VERDICT_MOVING;

	for (int i = 0; i < LOOKS && verdict != VERDICT_MATCHED && verdict != VERDICT_AVERAGED; i++) {
		enum verdict seen = look(&looking);

		verdict = seen == VERDICT_MOVING ? verdict : seen;
	}
	if (frame) {
		verdict = frame->broken ? VERDICT_MISMATCHED : verdict;
		frame->verdict = verdict;
	}
	*surplus = looking.surplus;
	*n = 0;
	for (size_t i = 0; i < looking.n; i++)
		if (looking.present[i])
			mappers[(*n)++] = mappers[i];
	free(looking.present);
	return verdict;
}
