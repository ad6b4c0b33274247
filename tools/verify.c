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
 * Where a frame has another mapcount in the map than ptes were read of it (system_build() counts them), the map is
 * wrong, whatever the kernel says.
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

#include <stdlib.h>

#define PIECE 4096

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

/* One look at all ptes: what its threads share. @only: for those of this frame; PFNSET_NONE for all */
struct look {
	struct system *system;
	uint64_t only;
	void (*take)(struct system *system, uint64_t pfn, bool counted);
	atomic_uint_fast64_t next;
};

/* Take those ptes that the kernel does not count, or that it may count once for several. */
static void look_at_run(void *arg, const struct pte_run *run)
{
	const struct look *look = arg;
	const struct process *process = &look->system->processes[run->process];
	const struct vma *vma = run->extent->vma == NO_VMA ? NULL : &process->vmas[run->extent->vma];

	for (size_t i = 0; i < run->n; i++) {
		bool file = run->ptes[i] & PTE_FILE, counted;
		uint64_t pfn = run->ptes[i] & PTE_PFN;
		uint32_t flags;

		if (look->only != PFNSET_NONE && pfn != look->only)
			continue;
		flags = system_frame(look->system, pfn)->flags;
		counted = pte_is_counted(flags, file);
		if (!counted || (file && flags & KPF_HUGE && vma && is_shareable(look->system, vma, run->vpn + i)))
			look->take(look->system, pfn, counted);
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
	struct look finding = { .system = system, .only = only, .take = except_frame };
	struct look counting = { .system = system, .only = only, .take = count_exception };
	size_t n;

	pfnset_fini(&system->exceptional);
	free(system->exceptions);
	team_run(threads, look_thread, &finding);
	n = pfnset_number(&system->exceptional);
	system->exceptions = zeroed(n, sizeof(*system->exceptions));
	pfnset_list(&system->exceptional, mark_exceptional, system);
	if (n)
		team_run(threads, look_thread, &counting);
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

		pfnset_pfns(&system->pfns, from, n, pfns);
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
 * What has to be looked at again: frames that differ, and such as only special ptes map. An anonymous page that was
 * freed after its pte was read looks like those, and would else pass as one of them.
 */
static void find_suspects(struct system *system)
{
	rmap_read_lock(system->map);
	for (size_t i = 0; i < system->frames_n; i++) {
		struct frame *frame = &system->frames[i];

		if (frame->broken || !frame_agrees(system, frame) ||
		    (frame_uncounted(system, frame) && !(frame->flags & KPF_ZERO_PAGE)))
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
