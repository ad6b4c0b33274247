/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * verify.c - comparing every frame's mapcount with the kernel's; see verify.h
 *
 * What the kernel counts. /proc/kpagecount tells how many ptes map a frame, a mapping by a huge page's entry counting
 * once for each of its frames, just as /proc/PID/pagemap shows it once for each. It leaves out *special* ptes, which
 * map no page that it knows: the zero page, small or huge, device memory. Those are recognised by what the kernel
 * itself says of them, see pte_is_counted(). So every frame is compared by the same rule (but for kernels that tell
 * averages, see below),
 *
 *      mappings in the map - special ptes = the kernel's count
 *
 * and no class of frames is left out. Where processes share the page tables of hugetlb memory, which the kernel does
 * if a shared mapping covers all that one such table maps, it may count those once: there its count lies between. "="
 * becomes "<=" where only some processes were read.
 *
 * Before that, every frame's mapcount in the map is compared with how many of its ptes were read: where they differ,
 * the map is wrong, whatever the kernel says.
 *
 * The system lives. A frame that differs is looked at again, up to ROUNDS times: read the kernel's count, read all
 * page tables, read the kernel's count. If they agree now, the frame had *changed*. If they do not, though the
 * kernel's count stood still, as did our own from round to round, and no task came or went in STRIKES rounds, it is
 * *mismatched*. A frame that never stood still is *moving*.
 */
#include "verify.h"

#include "scan.h"

#include <stdlib.h>
#include <string.h>

#define PIECE 4096
#define ROUNDS 10
#define STRIKES 3

uint64_t frame_counted(const struct system *system, const struct frame *frame)
{
	uint64_t mapcount = rmap_page_mapcount(system->map, frame_page(system, frame));

	/* Of more mappings than fit, only the zero page's, not all are in the map. */
	return mapcount > frame->uncounted ? mapcount - frame->uncounted : 0;
}

static bool agrees(const struct system *system, uint64_t ours, uint64_t kernel)
{
	return system->partial || system->pid_namespace ? ours <= kernel : ours == kernel;
}

enum frame_class frame_class(const struct system *system, const struct frame *frame)
{
	if (frame->flags & KPF_ZERO_PAGE)
		return CLASS_ZERO;
	if (frame->flags & KPF_NOPAGE)
		return CLASS_NO_PAGE;
	if (frame->uncounted && !frame_counted(system, frame) && frame->verdict == VERDICT_MATCHED)
		return CLASS_SPECIAL;
	if (frame->flags & KPF_HUGE)
		return frame->shareable && frame_counted(system, frame) != frame->kernel ? CLASS_SHARED_TABLES
											 : CLASS_HUGETLB;
	if (system->averaging && frame->flags & (KPF_COMPOUND_HEAD | KPF_COMPOUND_TAIL))
		return CLASS_AVERAGED;
	if (frame->flags & KPF_THP)
		return CLASS_THP;
	return frame->flags & KPF_KSM ? CLASS_KSM : CLASS_ORDINARY;
}

struct verified verify_sum(const struct system *system)
{
	uint64_t n[VERDICT_MISMATCHED + 1] = { 0 };

	for (size_t i = 0; i < system->frames_n; i++)
		n[system->frames[i].verdict]++;
	return (struct verified){
		.pages = system->frames_n,
		.matched = n[VERDICT_MATCHED] + n[VERDICT_BOUNDED] + n[VERDICT_AVERAGED],
		.bounded = n[VERDICT_BOUNDED],
		.changed = n[VERDICT_CHANGED] + n[VERDICT_MOVING],
		.moving = n[VERDICT_MOVING],
		.mismatched = n[VERDICT_MISMATCHED],
	};
}

/*
 * What the frame is says more than the pte. PTE_FILE marks what is not anonymous: the huge zero page bears it on
 * kernels that take it for a file's page, and huge pages of files lack it on kernels before the middle of 2024 (4.8 to
 * 6.9, and 6.10 in part), where an entry of a huge page never has it. Without PTE_FILE, a pte of a small page that is
 * not anonymous is special.
 */
bool pte_is_counted(uint32_t flags, bool file)
{
	if (flags & (KPF_ZERO_PAGE | KPF_NOPAGE))
		return false;
	return file || flags & (KPF_ANON | KPF_THP);
}

static void begin_frame(void *arg, size_t number, uint64_t pfn)
{
	struct system *system = arg;

	system->frames[number] = (struct frame){ .pfn = pfn };
}

/*
 * Does all that a page table of huge pages maps around @vpn lie in @vma, which is shared? Then the kernel may let
 * several processes have that table in common.
 */
static bool is_shareable(const struct system *system, const struct vma *vma, uint64_t vpn)
{
	/* A table has 2^(page_shift - 3) entries, and so has each of the tables below. */
	uint64_t pages = UINT64_C(1) << 2 * (system->page_shift - 3);
	uint64_t first = vpn & ~(pages - 1);

	return vma->shared && vma->first <= first && first + pages - 1 <= vma->last;
}

/* One counting: what its threads share. @only: of this frame; NULL for all */
struct count {
	struct system *system;
	const struct frame *only;
	atomic_uint_fast64_t next;
};

/* Relaxed: the counts are read when the threads that counted have been joined. */
static void count_one(_Atomic uint32_t *count)
{
	atomic_fetch_add_explicit(count, 1, memory_order_relaxed);
}

static void count_pte(void *arg, uint32_t number, const struct extent *extent, uint64_t vpn, uint64_t pte)
{
	const struct count *count = arg;
	const struct process *process = &count->system->processes[number];
	const struct vma *vma = extent->vma == NO_VMA ? NULL : &process->vmas[extent->vma];
	struct frame *frame;

	if (count->only && (pte & PTE_PFN) != count->only->pfn)
		return;
	frame = system_frame(count->system, pte & PTE_PFN);
	count_one(&frame->ptes);
	if (!pte_is_counted(frame->flags, pte & PTE_FILE))
		count_one(&frame->uncounted);
	else if (pte & PTE_FILE && frame->flags & KPF_HUGE && vma && is_shareable(count->system, vma, vpn))
		count_one(&frame->shareable);
}

static void count_thread(void *arg, unsigned thread)
{
	struct count *count = arg;

	(void)thread;
	while (system_visit_piece(count->system, &count->next, count_pte, count))
		;
}

/* Count each frame's ptes, and those that are compared otherwise than others; flags are known. */
static void count_ptes(struct system *system, const struct frame *only, unsigned threads)
{
	struct count count = { .system = system, .only = only };

	team_run(threads, count_thread, &count);
}

/* Are @ours mappings of @frame, and @kernel counted ones, what they should be to each other? */
static bool counts_agree(const struct system *system, const struct frame *frame, uint64_t ours, uint64_t kernel)
{
	if (frame->shareable && ours > kernel)
		return kernel && kernel + frame->shareable > ours;
	return agrees(system, ours, kernel);
}

/*
 * Has the map another number of mappings of @frame than were read? If some were too many for one page, none can be
 * told.
 */
static bool is_broken(const struct system *system, const struct frame *frame)
{
	return !system->overflowed && rmap_page_mapcount(system->map, frame_page(system, frame)) != frame->ptes;
}

static bool frame_agrees(const struct system *system, const struct frame *frame)
{
	return counts_agree(system, frame, frame_counted(system, frame), frame->kernel);
}

int verify_recorded(struct system *system, unsigned threads)
{
	if (system->recorded_n != system->frames_n)
		return complain("the recording has figures of %zu page frames and mappings of %zu: record it again",
				system->recorded_n, system->frames_n);
	pfnset_list(&system->pfns, begin_frame, system);
	for (size_t i = 0; i < system->frames_n; i++) {
		system->frames[i].flags = system->recorded[i].flags;
		system->frames[i].kernel = system->recorded[i].kernel;
		/* The zero page is compared anew: there were versions that took huge ones for pages of files. */
		if (!(system->recorded[i].flags & KPF_ZERO_PAGE))
			system->frames[i].verdict = system->recorded[i].verdict;
	}
	count_ptes(system, NULL, threads);
	rmap_read_lock(system->map);
	for (size_t i = 0; i < system->frames_n; i++)
		if (is_broken(system, &system->frames[i]) ||
		    (system->frames[i].verdict == VERDICT_MATCHED && !frame_agrees(system, &system->frames[i])))
			system->frames[i].verdict = VERDICT_MISMATCHED;
	rmap_read_unlock(system->map);
	return STATUS_OK;
}

/* ---- asking the kernel ---- */

struct ask {
	struct system *system;
	const struct procfs *procfs;
	atomic_size_t next;
};

static uint32_t clamp(uint64_t count)
{
	return count < UINT32_MAX ? (uint32_t)count : UINT32_MAX;
}

static void ask_kernel(void *arg, unsigned thread)
{
	struct ask *ask = arg;
	struct system *system = ask->system;
	uint64_t pfns[PIECE], counts[PIECE], flags[PIECE];
	size_t from;

	(void)thread;
	while ((from = atomic_fetch_add(&ask->next, PIECE)) < system->frames_n) {
		size_t n = system->frames_n - from < PIECE ? system->frames_n - from : PIECE;
		struct frame *frames = &system->frames[from];

		for (size_t i = 0; i < n; i++)
			pfns[i] = frames[i].pfn;
		procfs_counts(ask->procfs, pfns, n, counts);
		procfs_flags(ask->procfs, pfns, n, flags);
		for (size_t i = 0; i < n; i++) {
			frames[i].kernel = clamp(counts[i]);
			frames[i].flags = (uint32_t)flags[i];
		}
	}
}

/* ---- reading again ---- */

/* A frame that differs, and what was found when it was read again. */
struct suspect {
	struct frame *frame;
	atomic_uint_fast64_t file; /* ptes of a file's page */
	atomic_uint_fast64_t bare; /* ptes without that mark: anonymous, or special */
	uint64_t ours;             /* what we and the kernel counted in the last round */
	uint64_t kernel;
	unsigned strikes;
};

struct suspects {
	struct suspect *items;
	size_t n;
	struct pfnset set;
	uint64_t *pfns;
	uint64_t *before;
	uint64_t *after;
	uint64_t *flags;
};

/*
 * What has to be looked at again: frames that differ, and such as only special ptes map. An anonymous page that was
 * freed after its pte was read looks like those, and would else pass as one of them.
 */
static void find_suspects(struct system *system)
{
	rmap_read_lock(system->map);
	for (size_t i = 0; i < system->frames_n; i++) {
		struct frame *frame = &system->frames[i];

		if (is_broken(system, frame) || !frame_agrees(system, frame) ||
		    (frame->uncounted && !(frame->flags & KPF_ZERO_PAGE)))
			frame->verdict = VERDICT_MISMATCHED;
	}
	rmap_read_unlock(system->map);
}

static void suspects_init(struct suspects *suspects, struct system *system)
{
	size_t at = 0;

	*suspects = (struct suspects){ 0 };
	for (size_t i = 0; i < system->frames_n; i++)
		suspects->n += system->frames[i].verdict == VERDICT_MISMATCHED;
	suspects->items = zeroed(suspects->n, sizeof(*suspects->items));
	suspects->pfns = zeroed(suspects->n, sizeof(*suspects->pfns));
	suspects->before = zeroed(suspects->n, sizeof(*suspects->before));
	suspects->after = zeroed(suspects->n, sizeof(*suspects->after));
	suspects->flags = zeroed(suspects->n, sizeof(*suspects->flags));
	for (size_t i = 0; i < system->frames_n; i++) {
		struct frame *frame = &system->frames[i];

		if (frame->verdict != VERDICT_MISMATCHED)
			continue;
		suspects->items[at].frame = frame;
		suspects->pfns[at++] = frame->pfn;
		pfnset_add(&suspects->set, frame->pfn);
	}
	pfnset_number(&suspects->set);
}

static void suspects_fini(struct suspects *suspects)
{
	pfnset_fini(&suspects->set);
	free(suspects->items);
	free(suspects->pfns);
	free(suspects->before);
	free(suspects->after);
	free(suspects->flags);
}

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

static bool same_tasks(const struct tasks *a, const struct tasks *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (a->items[i].pid != b->items[i].pid || a->items[i].start_time != b->items[i].start_time)
			return false;
	return true;
}

/* What one round says of one suspect: agreed, or one strike more, or it moves. */
static void judge(const struct system *system, struct suspect *suspect, uint64_t before, uint64_t after, uint64_t flags,
		  bool quiet)
{
	uint64_t special = (pte_is_counted((uint32_t)flags, true) ? 0 : suspect->file) +
			   (pte_is_counted((uint32_t)flags, false) ? 0 : suspect->bare);
	uint64_t ours = suspect->file + suspect->bare - special;

	if (suspect->frame->verdict != VERDICT_MISMATCHED)
		return;
	/* The map is wrong: nothing that is read now can make it right. */
	if (is_broken(system, suspect->frame))
		suspect->strikes = STRIKES;
	else if (before == after && counts_agree(system, suspect->frame, ours, after))
		suspect->frame->verdict = special == suspect->frame->uncounted && frame_agrees(system, suspect->frame)
						  ? VERDICT_MATCHED
						  : VERDICT_CHANGED;
	else if (!quiet || before != after)
		suspect->strikes = 0;
	else if (suspect->strikes && suspect->ours == ours && suspect->kernel == after)
		suspect->strikes++;
	else
		suspect->strikes = 1;
	suspect->ours = ours;
	suspect->kernel = after;
}

/* Returns how many suspects are left to look at. */
static size_t run_round(struct system *system, const struct procfs *procfs, const pid_t *pids, size_t pids_n,
			unsigned threads, struct suspects *suspects)
{
	struct tasks tasks = { 0 }, later = { 0 };
	uint64_t forks = procfs_forks(procfs);
	size_t left = 0;
	bool quiet;

	procfs_tasks(procfs, pids, pids_n, &tasks);
	procfs_counts(procfs, suspects->pfns, suspects->n, suspects->before);
	for (size_t i = 0; i < suspects->n; i++)
		suspects->items[i].file = suspects->items[i].bare = 0;
	forks += scan_again(procfs, &tasks, threads, "checking", count_suspect, suspects);
	procfs_counts(procfs, suspects->pfns, suspects->n, suspects->after);
	procfs_flags(procfs, suspects->pfns, suspects->n, suspects->flags);
	procfs_tasks(procfs, pids, pids_n, &later);
	/* Of named processes, others may come and go: what they map is no part of our count. */
	quiet = same_tasks(&tasks, &later) && (pids || forks == procfs_forks(procfs));
	rmap_read_lock(system->map);
	for (size_t i = 0; i < suspects->n; i++) {
		struct suspect *suspect = &suspects->items[i];

		judge(system, suspect, suspects->before[i], suspects->after[i], suspects->flags[i], quiet);
		left += suspect->frame->verdict == VERDICT_MISMATCHED && suspect->strikes < STRIKES;
	}
	rmap_read_unlock(system->map);
	tasks_fini(&tasks);
	tasks_fini(&later);
	return left;
}

/* Say what remains of each suspect, and record the figures of the last round: they are what stands unexplained. */
static void conclude(struct system *system, struct suspects *suspects)
{
	uint64_t surplus = 0;

	for (size_t i = 0; i < suspects->n; i++) {
		struct suspect *suspect = &suspects->items[i];

		if (suspect->frame->verdict != VERDICT_MISMATCHED || is_broken(system, suspect->frame))
			continue;
		if (suspect->strikes < STRIKES)
			suspect->frame->verdict = VERDICT_MOVING;
		else if (suspect->kernel > suspect->ours)
			surplus += suspect->kernel - suspect->ours;
	}
	/*
	 * What the kernel counts beyond what we saw may be mappings of processes we may not read, if those have so
	 * many.
	 */
	if (!system->refused || surplus > system->refused_pages)
		return;
	for (size_t i = 0; i < suspects->n; i++)
		if (suspects->items[i].frame->verdict == VERDICT_MISMATCHED &&
		    suspects->items[i].kernel > suspects->items[i].ours && !is_broken(system, suspects->items[i].frame))
			suspects->items[i].frame->verdict = VERDICT_BOUNDED;
}

/* ---- kernels that tell averages ---- */

/*
 * Kernels built with CONFIG_NO_PAGE_MAPCOUNT keep no count for each page of a large folio. For all of them,
 * kpagecount tells the folio's mappings divided by its pages, rounded, and at least 1. Such a kernel gives itself
 * away by equal counts in a folio whose pages are not mapped equally often.
 */
struct folio {
	uint64_t head;
	uint64_t pages;
	uint64_t mappings; /* ours, of all its pages */
	uint64_t kernel;   /* the kernel's count, if it is the same for all */
	bool uneven;       /* our counts differ */
	bool equal;        /* the kernel's do not */
};

#define FOLIO_MAX 65536

static uint64_t flags_of(const struct procfs *procfs, uint64_t pfn)
{
	uint64_t flags;

	procfs_flags(procfs, &pfn, 1, &flags);
	return flags;
}

/* Look at the folio that frame @pfn is in. */
static struct folio look_at_folio(const struct system *system, const struct procfs *procfs, uint64_t pfn)
{
	struct folio folio = { .head = pfn, .equal = true };
	uint64_t first = UINT64_MAX;

	while (pfn - folio.head < FOLIO_MAX && folio.head && flags_of(procfs, folio.head) & KPF_COMPOUND_TAIL)
		folio.head--;
	do {
		uint64_t at = folio.head + folio.pages++, kernel, ours = 0;
		const struct frame *frame = system_frame(system, at);

		procfs_counts(procfs, &at, 1, &kernel);
		if (frame)
			ours = frame_counted(system, frame);
		folio.mappings += ours;
		folio.uneven |= first != UINT64_MAX && ours != first;
		folio.equal &= folio.pages == 1 || kernel == folio.kernel;
		folio.kernel = kernel;
		first = ours;
	} while (folio.pages < FOLIO_MAX && flags_of(procfs, folio.head + folio.pages) & KPF_COMPOUND_TAIL);
	return folio;
}

static bool is_average(const struct system *system, const struct folio *folio)
{
	uint64_t average = (folio->mappings + folio->pages / 2) / folio->pages;

	return folio->equal && folio->mappings && agrees(system, average ? average : 1, folio->kernel);
}

/* Of the frames that do not agree, accept those of large folios of which the kernel tells the average. */
static void accept_averages(struct system *system, const struct procfs *procfs, struct suspects *suspects)
{
	struct folio folio = { 0 };

	for (size_t i = 0; i < suspects->n; i++) {
		struct frame *frame = suspects->items[i].frame;

		if (frame->verdict != VERDICT_MISMATCHED || is_broken(system, frame) || frame->flags & KPF_HUGE ||
		    !(frame->flags & (KPF_COMPOUND_HEAD | KPF_COMPOUND_TAIL)))
			continue;
		if (frame->pfn - folio.head >= folio.pages)
			folio = look_at_folio(system, procfs, frame->pfn);
		system->averaging |= folio.uneven && is_average(system, &folio);
		if (system->averaging && is_average(system, &folio))
			frame->verdict = VERDICT_AVERAGED;
	}
}

int verify_system(struct system *system, const struct procfs *procfs, const pid_t *pids, size_t pids_n,
		  unsigned threads)
{
	struct ask ask = { .system = system, .procfs = procfs };
	struct suspects suspects;

	pfnset_list(&system->pfns, begin_frame, system);
	team_run(threads, ask_kernel, &ask);
	count_ptes(system, NULL, threads);
	find_suspects(system);
	suspects_init(&suspects, system);
	for (unsigned round = 0; round < ROUNDS && suspects.n; round++)
		if (!run_round(system, procfs, pids, pids_n, threads, &suspects))
			break;
	rmap_read_lock(system->map);
	accept_averages(system, procfs, &suspects);
	conclude(system, &suspects);
	rmap_read_unlock(system->map);
	suspects_fini(&suspects);
	return procfs_status(procfs);
}

bool verify_frame(struct system *system, const struct procfs *procfs, uint64_t pfn, struct frame *frame)
{
	bool may_be_more = system->refused || system->pid_namespace;
	uint64_t kernel, flags;
	bool right;

	procfs_counts(procfs, &pfn, 1, &kernel);
	procfs_flags(procfs, &pfn, 1, &flags);
	if (!frame)
		return !kernel || may_be_more;
	*frame = (struct frame){ .pfn = pfn, .flags = (uint32_t)flags, .kernel = clamp(kernel) };
	count_ptes(system, frame, 1);
	rmap_read_lock(system->map);
	right = !is_broken(system, frame) &&
		(frame_agrees(system, frame) || (may_be_more && frame_counted(system, frame) < kernel));
	rmap_read_unlock(system->map);
	return right;
}
