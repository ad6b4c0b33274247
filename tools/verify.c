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
 * Where it is told. An entry of pagemap says, too, when it is read, whether a page has that mapping alone
 * (PTE_EXCLUSIVE). Of a small page every kernel since 4.2 sets that if it counts one, and special ptes never bear
 * it. So if that one is all that was read of the page, the two agree, at the very moment of the reading, and neither
 * count nor, if nobody wants to know more of the page than its kind, flags are asked for. Of large folios the mark
 * is not taken: up to 6.10 a huge page's entry shows that of the folio's first page for all of them; from 6.15 on
 * kernels with CONFIG_NO_PAGE_MAPCOUNT, and later perhaps all, set it if one process alone maps the folio, however
 * often, and not if another one may have mapped a part of it before. What is in a folio, flags say, or that there
 * are none (folio_least()). Both are looked at later than the entry, so a folio that was split in between counts as
 * small. Where a small page has several ptes and one with the mark, the two disagree: see find_suspects(). Of a page
 * of anonymous memory that has several, without the mark, flags are not asked for either where there are no large
 * folios and KSM has merged nothing, if the kernel counts as many: the zero page it does not count at all.
 *
 * Where a frame has another mapcount in the map than ptes were read of it (system_build() counts them), the map is
 * wrong, whatever the kernel says.
 *
 * What it costs: of each other frame the kernel's count and its flags are read once, in stretches and by all threads.
 * For either word a kernel of today (6.18) takes 90 to 100 ns of a core, however much is read at once, and a fifth of
 * that for a pte in pagemap; a call takes 250 ns besides. So this takes less than the scan where pages have about ten
 * mappings, or one.
 *
 * The system lives. Frames that differ are looked at again, see recheck.h.
 */
#include "verify.h"

#include "folio.h"
#include "recheck.h"

#include <stdlib.h>

#define PIECE 4096
/* For one frame of a smaller block a call takes as long as reading all of them. */
#define BLOCK_MIN 8
#define TAKEN 4096

/* What there is to say of an exceptional frame; NULL of any other. */
static struct exception *exception_of(const struct system *system, const struct frame *frame)
{
	if (!frame->exceptional)
		return NULL;
	return &system->exceptions[pfnset_find(&system->exceptional, system_pfn(system, frame))];
}

uint32_t frame_uncounted(const struct system *system, const struct frame *frame)
{
	const struct exception *exception = exception_of(system, frame);

	return exception ? exception->uncounted : 0;
}

static uint32_t frame_shareable(const struct system *system, const struct frame *frame)
{
	const struct exception *exception = exception_of(system, frame);

	return exception ? exception->shareable : 0;
}

uint64_t frame_counted(const struct system *system, const struct frame *frame)
{
	uint64_t mapcount = rmap_page_mapcount(system->map, frame_page(system, frame));
	uint32_t uncounted = frame_uncounted(system, frame);

	/* Of more mappings than fit, only the zero page's, not all are in the map. */
	return mapcount > uncounted ? mapcount - uncounted : 0;
}

bool counts_fit(const struct system *system, uint64_t ours, uint64_t kernel)
{
	return system->partial || system->pid_namespace ? ours <= kernel : ours == kernel;
}

enum frame_class frame_class(const struct system *system, const struct frame *frame)
{
	if (frame->flags & KPF_ZERO_PAGE)
		return CLASS_ZERO;
	if (frame->flags & KPF_NOPAGE)
		return CLASS_NO_PAGE;
	if (frame_uncounted(system, frame) && !frame_counted(system, frame) && frame->verdict == VERDICT_MATCHED)
		return CLASS_SPECIAL;
	if (frame->flags & KPF_HUGE)
		return frame_shareable(system, frame) && frame_counted(system, frame) != frame->kernel
			       ? CLASS_SHARED_TABLES
			       : CLASS_HUGETLB;
	if (system->averaging && frame->flags & (KPF_COMPOUND_HEAD | KPF_COMPOUND_TAIL))
		return CLASS_AVERAGED;
	if (frame->flags & KPF_THP)
		return CLASS_THP;
	return frame->flags & KPF_KSM ? CLASS_KSM : CLASS_ORDINARY;
}

struct verified verify_sum(const struct system *system)
{
	uint64_t n[VERDICT_MISMATCHED + 1] = { 0 }, exclusive = 0;

	for (size_t i = 0; i < system->frames_n; i++) {
		n[system->frames[i].verdict]++;
		exclusive += system->frames[i].exclusive && system->frames[i].verdict == VERDICT_MATCHED;
	}
	return (struct verified){
		.pages = system->frames_n,
		.exclusive = exclusive,
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

/* One look at all ptes: what its threads share. @only: for those of this frame; PFNSET_NONE for all */
struct look {
	struct system *system;
	uint64_t only;
	void (*take)(struct system *system, uint64_t pfn, bool counted);
	_Atomic bool *taken; /* by number of a run's first mapping / TAKEN: was any pte of such a run taken ... */
	bool again;          /* ... the first time? Then others are left out */
	atomic_uint_fast64_t next;
};

/* Take those ptes that the kernel does not count, or that it may count once for several. */
static void look_at_run(void *arg, const struct pte_run *run)
{
	const struct look *look = arg;
	const struct process *process = &look->system->processes[run->process];
	const struct vma *vma = run->extent->vma == NO_VMA ? NULL : &process->vmas[run->extent->vma];
	_Atomic bool *taken = &look->taken[(process->before + (uint64_t)(run->ptes - process->ptes)) / TAKEN];

	if (look->again && !atomic_load_explicit(taken, memory_order_relaxed))
		return;
	for (size_t i = 0; i < run->n; i++) {
		bool file = run->ptes[i] & PTE_FILE, counted;
		uint64_t pfn = run->ptes[i] & PTE_PFN;
		uint32_t flags;

		if (look->only != PFNSET_NONE && pfn != look->only)
			continue;
		flags = system_frame(look->system, pfn)->flags;
		counted = pte_is_counted(flags, file);
		if (counted && !(file && flags & KPF_HUGE && vma && is_shareable(look->system, vma, run->vpn + i)))
			continue;
		look->take(look->system, pfn, counted);
		atomic_store_explicit(taken, true, memory_order_relaxed);
	}
}

static void look_thread(void *arg, unsigned thread)
{
	struct look *look = arg;

	(void)thread;
	while (system_visit_piece(look->system, &look->next, look_at_run, look))
		;
}

static void except_frame(struct system *system, uint64_t pfn, bool counted)
{
	(void)counted;
	pfnset_add(&system->exceptional, pfn);
}

static void count_exception(struct system *system, uint64_t pfn, bool counted)
{
	struct exception *exception = &system->exceptions[pfnset_find(&system->exceptional, pfn)];

	/* Relaxed: the counts are read when the threads that counted have been joined. */
	atomic_fetch_add_explicit(counted ? &exception->shareable : &exception->uncounted, 1, memory_order_relaxed);
}

static void mark_exceptional(void *arg, size_t number, uint64_t pfn)
{
	(void)number;
	system_frame(arg, pfn)->exceptional = true;
}

/* Count the ptes that are compared otherwise than others, once flags are known. @only: of this frame, or PFNSET_NONE */
static void find_exceptions(struct system *system, uint64_t only, unsigned threads)
{
	_Atomic bool *taken = zeroed(system->mappings / TAKEN + 1, sizeof(*taken));
	struct look finding = { .system = system, .only = only, .take = except_frame, .taken = taken };
	struct look counting = {
		.system = system, .only = only, .take = count_exception, .taken = taken, .again = true
	};
	size_t n;

	pfnset_fini(&system->exceptional);
	free(system->exceptions);
	team_run(threads, look_thread, &finding);
	n = pfnset_number(&system->exceptional);
	system->exceptions = zeroed(n, sizeof(*system->exceptions));
	pfnset_list(&system->exceptional, mark_exceptional, system);
	if (n)
		team_run(threads, look_thread, &counting);
	free(taken);
}

bool counts_agree(const struct system *system, const struct frame *frame, uint64_t ours, uint64_t kernel)
{
	uint32_t shareable = frame && ours > kernel ? frame_shareable(system, frame) : 0;

	return shareable ? kernel && kernel + shareable > ours : counts_fit(system, ours, kernel);
}

bool frame_agrees(const struct system *system, const struct frame *frame)
{
	return counts_agree(system, frame, frame_counted(system, frame), frame->kernel);
}

int verify_recorded(struct system *system, unsigned threads)
{
	if (system->recorded_n != system->frames_n)
		return complain("the recording has figures of %zu page frames and mappings of %zu: record it again",
				system->recorded_n, system->frames_n);
	for (size_t i = 0; i < system->frames_n; i++) {
		system->recorded[i].broken = system->frames[i].broken;
		/* The zero page is compared anew: there were versions that took huge ones for pages of files. */
		if (system->recorded[i].flags & KPF_ZERO_PAGE)
			system->recorded[i].verdict = VERDICT_MATCHED;
	}
	free(system->frames);
	system->frames = system->recorded;
	system->recorded = NULL;
	find_exceptions(system, PFNSET_NONE, threads);
	rmap_read_lock(system->map);
	for (size_t i = 0; i < system->frames_n; i++)
		if (system->frames[i].broken ||
		    (system->frames[i].verdict == VERDICT_MATCHED && !frame_agrees(system, &system->frames[i])))
			system->frames[i].verdict = VERDICT_MISMATCHED;
	rmap_read_unlock(system->map);
	return STATUS_OK;
}

/* ---- asking the kernel ---- */

struct ask {
	struct system *system;
	const struct procfs *procfs;
	uint64_t least; /* folio_least(), or 1 where it is not worth a call */
	atomic_size_t next;
};

/* Frames that a large folio has whole or not at all. */
struct block {
	bool asked;
	uint64_t first;
	bool large; /* the kernel says that it begins with a page of one */
};

/* Neighbouring frames, and what one thread asks of them. */
struct piece {
	struct frame *frames;
	size_t n;
	uint64_t pfns[PIECE];
	size_t asked[PIECE]; /* which of them ... */
	uint64_t asked_pfns[PIECE];
	uint64_t words[PIECE]; /* ... and the answers */
};

static uint32_t clamp(uint64_t count)
{
	return count < UINT32_MAX ? (uint32_t)count : UINT32_MAX;
}

/* Is @flags that of a large folio's page? */
static bool is_large(uint32_t flags)
{
	return flags & (KPF_COMPOUND | KPF_HUGE);
}

/*
 * Is @pfn, of anonymous memory by its ptes, a small page that KSM has not merged, by what the kernel says of all such
 * pages? Unless it is the zero page, or another one by now, which its count tells. @block: the block asked last, and
 * whether it begins with a page of a large folio
 */
static bool is_known(const struct ask *ask, uint64_t pfn, struct block *block)
{
	uint64_t first = ask->least == UINT64_MAX ? 0 : pfn & ~(ask->least - 1), flags;

	if (ask->least <= 1 || !ask->system->kinds_only)
		return false;
	if (ask->least < UINT64_MAX && (!block->asked || block->first != first)) {
		procfs_flags(ask->procfs, &first, 1, &flags);
		*block = (struct block){ .asked = true, .first = first, .large = is_large((uint32_t)flags) };
	}
	return !block->large;
}

/*
 * Take the flags of a frame. What a pte has said of its being the only one stands if it maps a small page, and if that
 * is what it was then, as far as flags tell.
 */
static void take_flags(struct frame *frame, uint32_t flags)
{
	bool file = !(frame->flags & KPF_ANON);

	if (frame->exclusive && !pte_is_counted(flags, file))
		frame->disputed = true;
	if (is_large(flags))
		frame->disputed = false;
	if (!flags || flags & KPF_BUDDY || is_large(flags) || frame->disputed)
		frame->exclusive = false;
	frame->flags = flags;
}

/* Of the first @n that are asked. */
static void read_flags(const struct ask *ask, struct piece *piece, size_t n)
{
	procfs_flags(ask->procfs, piece->asked_pfns, n, piece->words);
	for (size_t i = 0; i < n; i++)
		take_flags(&piece->frames[piece->asked[i]], (uint32_t)piece->words[i]);
}

static void ask_flags(const struct ask *ask, struct piece *piece)
{
	struct block block = { .asked = false };
	size_t n = 0;

	for (size_t i = 0; i < piece->n; i++) {
		const struct frame *frame = &piece->frames[i];

		if (!frame->disputed && frame->flags & KPF_ANON && is_known(ask, piece->pfns[i], &block))
			continue;
		piece->asked[n] = i;
		piece->asked_pfns[n++] = piece->pfns[i];
	}
	read_flags(ask, piece, n);
}

/* And flags, where they were not asked for, of what has another count than ptes were read of it. */
static void ask_counts(const struct ask *ask, struct piece *piece)
{
	size_t n = 0, doubtful = 0;

	for (size_t i = 0; i < piece->n; i++) {
		struct frame *frame = &piece->frames[i];

		/* Where the map is wrong all is compared. */
		frame->exclusive &= !frame->broken;
		if (frame->exclusive)
			continue;
		piece->asked[n] = i;
		piece->asked_pfns[n++] = piece->pfns[i];
	}
	procfs_counts(ask->procfs, piece->asked_pfns, n, piece->words);
	for (size_t i = 0; i < n; i++) {
		struct frame *frame = &piece->frames[piece->asked[i]];
		uint32_t count = clamp(piece->words[i]);

		if (count != frame->kernel && frame->flags == KPF_ANON) {
			piece->asked[doubtful] = piece->asked[i];
			piece->asked_pfns[doubtful++] = piece->asked_pfns[i];
		}
		frame->kernel = count;
	}
	read_flags(ask, piece, doubtful);
}

static void ask_kernel(void *arg, unsigned thread)
{
	struct ask *ask = arg;
	struct system *system = ask->system;
	struct piece piece;
	size_t from;

	(void)thread;
	while ((from = atomic_fetch_add(&ask->next, PIECE)) < system->frames_n) {
		piece.frames = &system->frames[from];
		piece.n = system->frames_n - from < PIECE ? system->frames_n - from : PIECE;
		pfnset_pfns(&system->pfns, from, piece.n, piece.pfns);
		ask_flags(ask, &piece);
		ask_counts(ask, &piece);
	}
}

/* What kernels before 6.12 tell of the first page of a large folio alone. */
#define HEAD_FLAGS (KPF_REFERENCED | KPF_UPTODATE | KPF_DIRTY | KPF_LRU | KPF_SWAPBACKED | KPF_UNEVICTABLE)

/* Give a page of a large folio those flags of the first one; the frame before, if it is in @system, may have them. */
static void share_head_flags(const struct system *system, const struct procfs *procfs, struct frame *frame)
{
	uint64_t head, pfn, flags;
	const struct frame *before;

	if ((frame->flags & (KPF_COMPOUND_TAIL | KPF_LRU | KPF_HUGE)) != KPF_COMPOUND_TAIL)
		return;
	pfn = system_pfn(system, frame);
	before = pfn ? system_frame(system, pfn - 1) : NULL;
	flags = before ? before->flags : 0;
	if (!(flags & KPF_COMPOUND)) {
		head = folio_of(procfs, pfn).head;
		procfs_flags(procfs, &head, 1, &flags);
	}
	frame->flags |= (uint32_t)flags & HEAD_FLAGS;
}

/*
 * What has to be looked at again: frames that differ; frames of which a pte said that there is no other; and such as
 * only special ptes map. An anonymous page that was freed after its pte was read looks like those, and would else pass
 * as one of them.
 */
static void find_suspects(struct system *system)
{
	rmap_read_lock(system->map);
	for (size_t i = 0; i < system->frames_n; i++) {
		struct frame *frame = &system->frames[i];

		if (frame->exclusive)
			continue;
		if (frame->broken || frame->disputed || !frame_agrees(system, frame) ||
		    (frame_uncounted(system, frame) && !(frame->flags & KPF_ZERO_PAGE)))
			frame->verdict = VERDICT_MISMATCHED;
	}
	rmap_read_unlock(system->map);
}

int verify_system(struct system *system, const struct procfs *procfs, const pid_t *pids, size_t pids_n,
		  unsigned threads)
{
	struct ask ask = { .system = system, .procfs = procfs, .least = folio_least(procfs) };

	if (ask.least < BLOCK_MIN)
		ask.least = 1;
	team_run(threads, ask_kernel, &ask);
	for (size_t i = 0; i < system->frames_n; i++)
		share_head_flags(system, procfs, &system->frames[i]);
	find_exceptions(system, PFNSET_NONE, threads);
	find_suspects(system);
	recheck_system(system, procfs, pids, pids_n, threads);
	return procfs_status(procfs);
}

void verify_prepare(struct system *system, const struct procfs *procfs, const uint64_t *pfns, size_t n)
{
	struct frame *frame = NULL;

	for (size_t i = 0; i < n; i++) {
		uint64_t flags;

		if (!system_frame(system, pfns[i]))
			continue;
		frame = system_frame(system, pfns[i]);
		procfs_flags(procfs, &pfns[i], 1, &flags);
		*frame = (struct frame){ .flags = (uint32_t)flags, .broken = frame->broken };
		share_head_flags(system, procfs, frame);
	}
	if (frame)
		find_exceptions(system, n == 1 ? pfns[0] : PFNSET_NONE, n == 1 ? 1 : procfs->threads);
}

enum verdict verify_frame(struct system *system, const struct procfs *procfs, uint64_t pfn, struct mapper *mappers,
			  size_t *n, uint64_t *surplus)
{
	return recheck_frame(system, procfs, pfn, system_frame(system, pfn), mappers, n, surplus);
}
