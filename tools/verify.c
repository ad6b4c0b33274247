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
 * What it costs: of each frame the kernel's count and its flags are read once, in stretches and by all threads. For
 * either word a kernel of today (6.18) takes 90 to 100 ns of a core, however much is read at once, and a fifth of that
 * for a pte in pagemap: so this takes longer than the scan. The flags cannot be left out, for the report's classes are
 * made of them.
 *
 * The system lives. Frames that differ are looked at again, see recheck.h.
 */
#include "verify.h"

#include "folio.h"
#include "recheck.h"

#define PIECE 4096

uint64_t frame_counted(const struct system *system, const struct frame *frame)
{
	uint64_t mapcount = rmap_page_mapcount(system->map, frame_page(system, frame));

	/* Of more mappings than fit, only the zero page's, not all are in the map. */
	return mapcount > frame->uncounted ? mapcount - frame->uncounted : 0;
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

bool counts_agree(const struct system *system, const struct frame *frame, uint64_t ours, uint64_t kernel)
{
	if (frame->shareable && ours > kernel)
		return kernel && kernel + frame->shareable > ours;
	return counts_fit(system, ours, kernel);
}

bool frame_is_broken(const struct system *system, const struct frame *frame)
{
	return !system->overflowed && rmap_page_mapcount(system->map, frame_page(system, frame)) != frame->ptes;
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
		system->frames[i].flags = system->recorded[i].flags;
		system->frames[i].kernel = system->recorded[i].kernel;
		/* The zero page is compared anew: there were versions that took huge ones for pages of files. */
		if (!(system->recorded[i].flags & KPF_ZERO_PAGE))
			system->frames[i].verdict = system->recorded[i].verdict;
	}
	count_ptes(system, NULL, threads);
	rmap_read_lock(system->map);
	for (size_t i = 0; i < system->frames_n; i++)
		if (frame_is_broken(system, &system->frames[i]) ||
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

/* What kernels before 6.12 tell of the first page of a large folio alone. */
#define HEAD_FLAGS (KPF_REFERENCED | KPF_UPTODATE | KPF_DIRTY | KPF_LRU | KPF_SWAPBACKED | KPF_UNEVICTABLE)

/* Give a page of a large folio those flags of the first one; the frame before may have them. @before: NULL if not */
static void share_head_flags(struct frame *frame, const struct procfs *procfs, const struct frame *before)
{
	uint64_t head, flags = before ? before->flags : 0;

	if ((frame->flags & (KPF_COMPOUND_TAIL | KPF_LRU | KPF_HUGE)) != KPF_COMPOUND_TAIL)
		return;
	if (!(flags & KPF_COMPOUND) || before->pfn + 1 != frame->pfn) {
		head = folio_of(procfs, frame->pfn).head;
		procfs_flags(procfs, &head, 1, &flags);
	}
	frame->flags |= (uint32_t)flags & HEAD_FLAGS;
}

/*
 * What has to be looked at again: frames that differ, and such as only special ptes map. An anonymous page that was
 * freed after its pte was read looks like those, and would else pass as one of them.
 */
static void find_suspects(struct system *system)
{
	rmap_read_lock(system->map);
	for (size_t i = 0; i < system->frames_n; i++) {
		struct frame *frame = &system->frames[i];

		if (frame_is_broken(system, frame) || !frame_agrees(system, frame) ||
		    (frame->uncounted && !(frame->flags & KPF_ZERO_PAGE)))
			frame->verdict = VERDICT_MISMATCHED;
	}
	rmap_read_unlock(system->map);
}

int verify_system(struct system *system, const struct procfs *procfs, const pid_t *pids, size_t pids_n,
		  unsigned threads)
{
	struct ask ask = { .system = system, .procfs = procfs };

	team_run(threads, ask_kernel, &ask);
	for (size_t i = 0; i < system->frames_n; i++)
		share_head_flags(&system->frames[i], procfs, i ? &system->frames[i - 1] : NULL);
	count_ptes(system, NULL, threads);
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
		*frame = (struct frame){ .pfn = pfns[i], .flags = (uint32_t)flags };
		share_head_flags(frame, procfs, NULL);
	}
	if (frame)
		count_ptes(system, n == 1 ? frame : NULL, n == 1 ? 1 : procfs->threads);
}

enum verdict verify_frame(struct system *system, const struct procfs *procfs, uint64_t pfn, struct mapper *mappers,
			  size_t *n, uint64_t *surplus)
{
	return recheck_frame(system, procfs, pfn, system_frame(system, pfn), mappers, n, surplus);
}
