/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * system.c - a system's page tables, and the reverse map of them; see system.h
 *
 * Building has four passes, each shared among the threads by handing out pieces of PIECE mappings (or one process):
 *
 *   1. frames     frame numbers are collected in a set, which then numbers them
 *   2. identity   each frame of a file gets the smallest identity among its ptes; and the ptes of each are counted
 *   3. ranges     each file becomes an object, each vma of a file a range
 *   4. add        each pte is added to its frame, in batches; before each, outside the section, a reserve is filled
 *
 * Pass 4 is what the library is for; the other three are the embedder's side of it. All four count as "build".
 *
 * Processes come one after the other, so the chains of all frames that they share would grow at once, and leave what
 * they have outgrown at once: twice what they take in the end. So pass 4 goes over ptes of no file several times, each
 * time for a part of the frames alone, and what one part leaves is what the next one is built from.
 */
#include "system.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define PIECE 8192
#define BATCH 64
/* Parts of the frames at most, and of how many mappings beyond the first of each frame one is at least. */
#define PARTS 8
#define PART_MIN 65536
#define HANDLE_BITS 61
/*
 * Beside the count of a frame's ptes: one of them is exclusive, and one is of anonymous memory. Only the zero page can
 * have so many that the count reaches these bits, and the library does not keep a tenth of them.
 */
#define PTES_EXCLUSIVE (UINT32_C(1) << 31)
#define PTES_ANONYMOUS (UINT32_C(1) << 30)
#define PTES_COUNT (PTES_ANONYMOUS - 1)

/* ---- processes ---- */

void process_add_vma(struct process *process, const struct vma *vma)
{
	process->vmas = grow(process->vmas, &process->vmas_capacity, process->vmas_n + 1, sizeof(*process->vmas));
	process->vmas[process->vmas_n++] = *vma;
}

/* The vma that page @vpn lies in. */
static uint32_t vma_at(const struct process *process, size_t *at, uint64_t vpn)
{
	while (*at < process->vmas_n && process->vmas[*at].last < vpn)
		++*at;
	return *at < process->vmas_n && process->vmas[*at].first <= vpn ? (uint32_t)*at : NO_VMA;
}

void process_add_swapped(struct process *process, size_t *at, uint64_t vpn, uint64_t slot)
{
	process->swapped =
		grow(process->swapped, &process->swapped_capacity, process->swapped_n + 1, sizeof(*process->swapped));
	process->swapped[process->swapped_n++] =
		(struct swapped){ .vpn = vpn, .slot = slot, .vma = vma_at(process, at, vpn) };
}

void process_fini(struct process *process)
{
	free(process->vmas);
	free(process->extents);
	free(process->ptes);
	free(process->swapped);
}

void process_add_pte(struct process *process, size_t *at, uint64_t vpn, uint64_t pte)
{
	uint32_t vma = vma_at(process, at, vpn);
	struct extent *extent = process->extents_n ? &process->extents[process->extents_n - 1] : NULL;

	if (!extent || extent->vma != vma || extent->vpn + extent->n != vpn || extent->n == UINT32_MAX) {
		process->extents = grow(process->extents, &process->extents_capacity, process->extents_n + 1,
					sizeof(*process->extents));
		extent = &process->extents[process->extents_n++];
		*extent = (struct extent){ .vpn = vpn, .first = process->ptes_n, .vma = vma };
	}
	process->ptes = grow(process->ptes, &process->ptes_capacity, process->ptes_n + 1, sizeof(*process->ptes));
	process->ptes[process->ptes_n++] = pte & (PTE_PFN | PTE_FILE | PTE_EXCLUSIVE);
	extent->n++;
}

const uint64_t *process_find_pte(const struct process *process, uint64_t vpn, const struct extent **extent)
{
	size_t low = 0, high = process->extents_n;

	while (low < high) {
		size_t middle = (low + high) / 2;
		const struct extent *at = &process->extents[middle];

		if (vpn < at->vpn) {
			high = middle;
		} else if (vpn - at->vpn >= at->n) {
			low = middle + 1;
		} else {
			*extent = at;
			return &process->ptes[at->first + (vpn - at->vpn)];
		}
	}
	return NULL;
}

/*
 * Can ptes of @vma be linear? An identity has room for 16 million files of 4 PiB; what lies beyond (as the offsets of
 * some device files do) is chained.
 */
static bool vma_is_linear(const struct vma *vma)
{
	return vma->file && !(vma->file >> (64 - IDENTITY_INDEX_BITS)) &&
	       !((vma->index + (vma->last - vma->first)) >> IDENTITY_INDEX_BITS);
}

uint64_t pte_identity(const struct process *process, const struct extent *extent, uint64_t vpn, uint64_t pte)
{
	const struct vma *vma = extent->vma == NO_VMA ? NULL : &process->vmas[extent->vma];

	/*
	 * A shared mapping maps its file's pages alone, also where the kernel does not mark them: see pte_is_counted()
	 */
	if (!vma || !vma_is_linear(vma) || !(pte & PTE_FILE || vma->shared))
		return 0;
	return (uint64_t)vma->file << IDENTITY_INDEX_BITS | (vma->index + (vpn - vma->first));
}

void system_init(struct system *system)
{
	*system = (struct system){ 0 };
	names_string(&system->names, "");
	names_file(&system->names, 0, 0, 0);
}

/* Chains and objects first, for a map is not destroyed while it holds any. */
void system_drop_map(struct system *system)
{
	struct rmap_reserve *reserve;

	if (!system->map)
		return;
	if (!rmap_reserve_create(system->map, &reserve)) {
		for (size_t i = 0; i < system->frames_n;) {
			rmap_read_lock(system->map);
			for (size_t end = i + BATCH; i < system->frames_n && i < end; i++)
				rmap_page_drop(reserve, &system->pages[i]);
			rmap_read_unlock(system->map);
		}
		rmap_reserve_destroy(reserve);
	}
	for (size_t i = 0; i < system->names.files_n; i++)
		rmap_object_destroy(system->names.files[i].object);
	rmap_thread_unregister(system->map);
	if (rmap_destroy(system->map))
		complain("the reverse map could not be taken down: this is a bug in rmap");
	system->map = NULL;
	free(system->pages);
	free(system->identities);
	system->pages = NULL;
	system->identities = NULL;
}

void system_fini(struct system *system)
{
	system_drop_map(system);
	for (size_t i = 0; i < system->processes_n; i++)
		process_fini(&system->processes[i]);
	free(system->processes);
	for (size_t i = 0; i < system->names.strings_n; i++)
		free(system->names.strings[i]);
	free(system->names.strings);
	free(system->names.string_table);
	free(system->names.files);
	free(system->names.file_table);
	pfnset_fini(&system->pfns);
	pfnset_fini(&system->exceptional);
	free(system->exceptions);
	free(system->pages);
	free(system->identities);
	free(system->frames);
	free(system->recorded);
	free(system->aliases);
	readers_free(system->readers, system->readers_n);
	*system = (struct system){ 0 };
}

uint64_t system_handle(const struct system *system, uint64_t process, uint64_t vpn)
{
	/* Counted from 1, so that no handle is 0. */
	return ((process + 1) << system->vpn_bits | vpn) << 3;
}

uint64_t system_handle_process(const struct system *system, uint64_t handle)
{
	return (handle >> 3 >> system->vpn_bits) - 1;
}

uint64_t system_handle_vpn(const struct system *system, uint64_t handle)
{
	return handle >> 3 & ((UINT64_C(1) << system->vpn_bits) - 1);
}

struct frame *system_frame(const struct system *system, uint64_t pfn)
{
	size_t number = pfnset_find(&system->pfns, pfn);

	return number == PFNSET_NONE ? NULL : &system->frames[number];
}

/* ---- building ---- */

/* One build: what its threads share, and the first error any of them met. */
struct build {
	struct system *system;
	unsigned threads;
	atomic_uint_fast64_t next;
	atomic_uint_fast64_t ranges;
	atomic_uint_fast64_t overflowed;
	atomic_int error;
	atomic_uint_fast64_t bare; /* mappings that are certain to be chained, for they have no identity */
	uint64_t first;            /* of these, pass 4 adds those of frames @first .. @end - 1 ... */
	uint64_t end;
	bool again; /* ... and all others unless it does so again */
};

/* One thread's batch. */
struct batch {
	struct build *build;
	struct rmap_reserve *reserve;
	size_t n;
	struct rmap_page *pages[BATCH];
	struct rmap_mapping mappings[BATCH];
};

static void note_error(struct build *build, int error)
{
	int none = 0;

	atomic_compare_exchange_strong(&build->error, &none, error);
}

/* Visit the mappings numbered @from up to @to (not included), counted through all processes. */
static void visit_some(const struct system *system, uint64_t from, uint64_t to, run_visit visit, void *arg)
{
	size_t low = 0, high = system->processes_n;

	/* The last process that begins at or before @from. */
	while (high - low > 1) {
		size_t middle = (low + high) / 2;

		if (system->processes[middle].before <= from)
			low = middle;
		else
			high = middle;
	}
	for (; low < system->processes_n && system->processes[low].before < to; low++) {
		const struct process *process = &system->processes[low];
		uint64_t begin = from > process->before ? from - process->before : 0;
		uint64_t end = to - process->before < process->ptes_n ? to - process->before : process->ptes_n;
		size_t at = 0, above = process->extents_n;

		while (above - at > 1 && above) {
			size_t middle = (at + above) / 2;

			if (process->extents[middle].first <= begin)
				at = middle;
			else
				above = middle;
		}
		for (; at < process->extents_n && process->extents[at].first < end; at++) {
			const struct extent *extent = &process->extents[at];
			uint64_t last = extent->first + extent->n < end ? extent->first + extent->n : end;
			uint64_t first = begin > extent->first ? begin : extent->first;

			visit(arg, &(struct pte_run){ .process = (uint32_t)low,
						      .extent = extent,
						      .vpn = extent->vpn + (first - extent->first),
						      .ptes = &process->ptes[first],
						      .n = last - first });
		}
	}
}

bool system_visit_piece(const struct system *system, atomic_uint_fast64_t *next, run_visit visit, void *arg)
{
	uint64_t total = system->mappings;
	uint64_t from = atomic_fetch_add_explicit(next, PIECE, memory_order_relaxed);

	if (from < total)
		visit_some(system, from, from + PIECE < total ? from + PIECE : total, visit, arg);
	return from < total;
}

/* Take pieces of all mappings until none are left. */
static void share_mappings(struct build *build, run_visit visit, void *arg)
{
	while (!atomic_load_explicit(&build->error, memory_order_relaxed) &&
	       system_visit_piece(build->system, &build->next, visit, arg))
		;
}

static void collect_run(void *arg, const struct pte_run *run)
{
	for (size_t i = 0; i < run->n; i++)
		pfnset_add(arg, run->ptes[i] & PTE_PFN);
}

static void collect_frames(void *arg, unsigned number)
{
	struct build *build = arg;

	(void)number;
	share_mappings(build, collect_run, &build->system->pfns);
}

/* Relaxed: identities and counts are read in a later pass, after the threads have been joined. */
static void identify_frame(_Atomic uint64_t *place, uint64_t identity)
{
	uint64_t known = atomic_load_explicit(place, memory_order_relaxed);

	while ((!known || identity < known) &&
	       !atomic_compare_exchange_weak_explicit(place, &known, identity, memory_order_relaxed,
						      memory_order_relaxed))
		;
}

/* Until the map is built, a frame's record counts its ptes in the place of the kernel's count. */
static _Atomic uint32_t *ptes_of(struct frame *frame)
{
	return (_Atomic uint32_t *)&frame->kernel;
}

static void count_pte(_Atomic uint32_t *place, uint64_t pte)
{
	uint32_t marks = (pte & PTE_EXCLUSIVE ? PTES_EXCLUSIVE : 0) | (pte & PTE_FILE ? 0 : PTES_ANONYMOUS);
	uint32_t known = atomic_load_explicit(place, memory_order_relaxed);

	if (!(marks & ~known)) {
		atomic_fetch_add_explicit(place, 1, memory_order_relaxed);
		return;
	}
	while (!atomic_compare_exchange_weak_explicit(place, &known, (known + 1) | marks, memory_order_relaxed,
						      memory_order_relaxed))
		;
}

static void identify_run(void *arg, const struct pte_run *run)
{
	struct build *build = arg;
	struct system *system = build->system;
	const struct process *process = &system->processes[run->process];
	uint64_t bare = 0;

	for (size_t i = 0; i < run->n; i++) {
		uint64_t identity = pte_identity(process, run->extent, run->vpn + i, run->ptes[i]);
		size_t frame = pfnset_find(&system->pfns, run->ptes[i] & PTE_PFN);

		count_pte(ptes_of(&system->frames[frame]), run->ptes[i]);
		bare += !identity;
		if (identity)
			identify_frame(&system->identities[frame], identity);
	}
	atomic_fetch_add_explicit(&build->bare, bare, memory_order_relaxed);
}

static void identify_frames(void *arg, unsigned number)
{
	(void)number;
	share_mappings(arg, identify_run, arg);
}

static void attach_process(struct build *build, uint64_t number)
{
	struct system *system = build->system;
	const struct process *process = &system->processes[number];

	for (size_t i = 0; i < process->vmas_n; i++) {
		const struct vma *vma = &process->vmas[i];
		struct rmap_range range = { .first = vma->index,
					    .last = vma->index + (vma->last - vma->first),
					    .address = vma->first << system->page_shift,
					    .owner = number,
					    .page_shift = system->page_shift };
		int error;

		if (!vma_is_linear(vma))
			continue;
		error = rmap_object_attach(system->names.files[vma->file].object, &range);
		if (error)
			note_error(build, error);
		else
			atomic_fetch_add_explicit(&build->ranges, 1, memory_order_relaxed);
	}
}

static void attach_ranges(void *arg, unsigned number)
{
	struct build *build = arg;
	uint64_t at;

	if (number)
		rmap_thread_register(build->system->map);
	while ((at = atomic_fetch_add_explicit(&build->next, 1, memory_order_relaxed)) < build->system->processes_n)
		attach_process(build, at);
	if (number)
		rmap_thread_unregister(build->system->map);
}

static void flush(struct batch *batch)
{
	struct rmap *map = batch->build->system->map;
	size_t done = 0;
	int error;

	error = rmap_reserve_fill(batch->reserve, BATCH);
	if (error) {
		note_error(batch->build, error);
		batch->n = 0;
		return;
	}
	rmap_read_lock(map);
	while (done < batch->n) {
		done += rmap_page_add_batch(batch->reserve, batch->pages + done, batch->mappings + done, NULL,
					    batch->n - done, &error);
		if (!error)
			continue;
		/* One page may have more mappings than fit: leave out the one that did not, and go on with the next. */
		if (error != -EOVERFLOW) {
			note_error(batch->build, error);
			break;
		}
		atomic_fetch_add_explicit(&batch->build->overflowed, 1, memory_order_relaxed);
		done++;
	}
	rmap_read_unlock(map);
	batch->n = 0;
}

static void add_run(void *arg, const struct pte_run *run)
{
	struct batch *batch = arg;
	const struct build *build = batch->build;
	struct system *system = build->system;
	const struct process *process = &system->processes[run->process];
	const struct vma *vma = run->extent->vma == NO_VMA ? NULL : &process->vmas[run->extent->vma];

	if (build->again && vma && vma->shared && vma_is_linear(vma))
		return;
	for (size_t i = 0; i < run->n; i++) {
		uint64_t identity = pte_identity(process, run->extent, run->vpn + i, run->ptes[i]);
		uint64_t pfn = run->ptes[i] & PTE_PFN;
		size_t frame;
		bool linear;

		if (identity ? build->again : pfn < build->first || pfn >= build->end)
			continue;
		frame = pfnset_find(&system->pfns, pfn);
		linear = identity && identity == atomic_load_explicit(&system->identities[frame], memory_order_relaxed);
		batch->pages[batch->n] = &system->pages[frame];
		batch->mappings[batch->n] =
			linear ? rmap_linear() : rmap_chained(system_handle(system, run->process, run->vpn + i));
		if (++batch->n == BATCH)
			flush(batch);
	}
}

static void add_mappings(void *arg, unsigned number)
{
	struct build *build = arg;
	struct batch batch = { .build = build };
	int error;

	if (number)
		rmap_thread_register(build->system->map);
	error = rmap_reserve_create(build->system->map, &batch.reserve);
	if (error) {
		note_error(build, error);
	} else {
		share_mappings(build, add_run, &batch);
		if (batch.n)
			flush(&batch);
		rmap_reserve_destroy(batch.reserve);
	}
	if (number)
		rmap_thread_unregister(build->system->map);
}

static void run_pass(struct build *build, void (*pass)(void *arg, unsigned number))
{
	atomic_store(&build->next, 0);
	if (!atomic_load(&build->error))
		team_run(build->threads, pass, build);
}

/* Join what chains have left, so that those of the next part can be built from it, whatever their lengths are. */
static void drain(struct build *build)
{
	struct rmap_reserve *reserve;
	int error = rmap_reserve_create(build->system->map, &reserve);

	if (error) {
		note_error(build, error);
		return;
	}
	rmap_reserve_drain(reserve);
	rmap_reserve_destroy(reserve);
}

/* Pass 4, part by part. */
static void add_parts(struct build *build)
{
	const struct system *system = build->system;
	uint64_t bare = atomic_load(&build->bare), frames = 0, beyond, parts, seen = 0;

	for (size_t i = 0; i < system->frames_n; i++)
		frames += !system->identities[i];
	beyond = bare > frames ? bare - frames : 0;
	/* Where few of them are beyond the first, to go over all of them again costs more than it saves. */
	parts = bare ? 1 + PARTS * beyond / bare : 1;
	parts = parts < 1 + beyond / PART_MIN ? parts : 1 + beyond / PART_MIN;
	build->first = 0;
	for (size_t i = 0; i < system->frames_n; i++) {
		seen += !system->identities[i];
		if (system->identities[i] || seen % (frames / parts + 1))
			continue;
		pfnset_pfns(&system->pfns, i, 1, &build->end);
		build->end++;
		run_pass(build, add_mappings);
		drain(build);
		build->first = build->end;
		build->again = true;
	}
	build->end = PFN_MAX + 1;
	run_pass(build, add_mappings);
}

/*
 * Make the frames' records: of which the map has not as many mappings as were read, unless some were too many for one
 * page and none can be told; and what the ptes say of their being the only one.
 */
static void make_records(struct build *build)
{
	struct system *system = build->system;
	bool overflowed = atomic_load(&build->overflowed);

	rmap_read_lock(system->map);
	for (size_t i = 0; i < system->frames_n; i++) {
		uint32_t ptes = atomic_load_explicit(ptes_of(&system->frames[i]), memory_order_relaxed);
		uint32_t n = ptes & PTES_COUNT;
		bool broken = rmap_page_mapcount(system->map, &system->pages[i]) != n;

		system->frames[i] = (struct frame){ .flags = ptes & PTES_ANONYMOUS ? KPF_ANON : 0,
						    .broken = broken && !overflowed,
						    .exclusive = ptes & PTES_EXCLUSIVE && n == 1,
						    .disputed = ptes & PTES_EXCLUSIVE && n > 1,
						    .kernel = n };
	}
	rmap_read_unlock(system->map);
}

/* Pass 1: number the frames. */
static int make_frames(struct build *build)
{
	struct system *system = build->system;

	run_pass(build, collect_frames);
	system->frames_n = pfnset_number(&system->pfns);
	if (system->frames_n == PFNSET_NONE) {
		system->frames_n = 0;
		return complain("more than 2^32 page frames are mapped: rmap snapshot does with some processes, named "
				"with --pid");
	}
	system->pages = zeroed(system->frames_n, sizeof(*system->pages));
	system->identities = zeroed(system->frames_n, sizeof(*system->identities));
	system->frames = zeroed(system->frames_n, sizeof(*system->frames));
	return STATUS_OK;
}

/* Count the mappings, and see that a handle can name each: 61 bits for a process and a virtual page. */
static int number_mappings(struct system *system)
{
	uint64_t last = 0;

	system->mappings = 0;
	for (size_t i = 0; i < system->processes_n; i++) {
		struct process *process = &system->processes[i];
		const struct extent *extent = process->extents_n ? &process->extents[process->extents_n - 1] : NULL;

		process->before = system->mappings;
		system->mappings += process->ptes_n;
		if (extent && extent->vpn + extent->n > last)
			last = extent->vpn + extent->n;
	}
	system->vpn_bits = HANDLE_BITS - (64 - (unsigned)__builtin_clzll(system->processes_n + 1));
	if (last >> system->vpn_bits)
		return complain("there are too many processes for their addresses: rmap snapshot does with some, named "
				"with --pid");
	return STATUS_OK;
}

static int make_objects(struct system *system)
{
	for (size_t i = 1; i < system->names.files_n; i++) {
		int error = rmap_object_create(system->map, &system->names.files[i].object);

		if (error)
			return error;
	}
	return 0;
}

static void await_release(void *arg, unsigned number)
{
	if (number)
		pthread_mutex_lock(arg);
	pthread_mutex_unlock(arg);
}

/*
 * Can threads be started? The library needs one of its own and liburcu another, and ends the program if it gets none.
 * So start two at once first; those that follow use their stacks again.
 */
static int check_threads(void)
{
	pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

	pthread_mutex_lock(&lock);
	if (team_run(3, await_release, &lock) == 2)
		return STATUS_OK;
	return complain("no threads can be started (%s): %s", strerror(errno), remedy(errno));
}

static int no_map(const char *what, int error)
{
	error = refusal_of(error);
	return complain("the reverse map could not be %s (%s): %s", what, strerror(error), remedy(error));
}

static int build_map(struct build *build)
{
	struct system *system = build->system;
	int error = rmap_create(NULL, &system->map);

	if (error)
		return no_map("made", -error);
	rmap_thread_register(system->map);
	note_error(build, make_objects(system));
	run_pass(build, identify_frames);
	run_pass(build, attach_ranges);
	add_parts(build);
	make_records(build);
	system->ranges = atomic_load(&build->ranges);
	system->overflowed = atomic_load(&build->overflowed);
	error = atomic_load(&build->error);
	return error ? no_map("built", -error) : STATUS_OK;
}

int system_build(struct system *system, unsigned threads)
{
	struct build build = { .system = system, .threads = threads };
	int status = number_mappings(system);

	if (!status)
		status = make_frames(&build);
	if (!status)
		status = check_threads();
	if (!status)
		status = build_map(&build);
	return status;
}

/* ---- asking ---- */

const struct process *system_process(const struct system *system, uint64_t pid)
{
	for (size_t i = 0; system->aliases && i < system->sharing; i++)
		if ((uint64_t)system->aliases[i].pid == pid)
			pid = (uint64_t)system->aliases[i].owner;
	for (size_t i = 0; i < system->processes_n; i++)
		if ((uint64_t)system->processes[i].task.pid == pid)
			return &system->processes[i];
	return NULL;
}

/* Is the linear candidate @visit really there? Then @mapper is it. */
static bool is_mapper(const struct system *system, const struct frame *frame, const struct rmap_visit *visit,
		      struct mapper *mapper)
{
	const struct process *process;
	const struct extent *extent;
	const uint64_t *pte;

	mapper->kind = visit->kind;
	mapper->vma = NO_VMA;
	if (visit->kind == RMAP_CHAINED) {
		mapper->process = (uint32_t)system_handle_process(system, visit->handle);
		mapper->vpn = system_handle_vpn(system, visit->handle);
	} else {
		mapper->process = (uint32_t)visit->range.owner;
		mapper->vpn = visit->address >> system->page_shift;
	}
	process = &system->processes[mapper->process];
	pte = process_find_pte(process, mapper->vpn, &extent);
	if (!pte)
		return false;
	mapper->vma = extent->vma;
	if (visit->kind == RMAP_CHAINED)
		return true;
	return system_frame(system, *pte & PTE_PFN) == frame &&
	       pte_identity(process, extent, mapper->vpn, *pte) == frame_identity(system, frame);
}

static int compare_mappers(const void *left, const void *right)
{
	const struct mapper *a = left, *b = right;

	if (a->process != b->process)
		return a->process < b->process ? -1 : 1;
	return (a->vpn > b->vpn) - (a->vpn < b->vpn);
}

static size_t list_mappers(const struct system *system, const struct frame *frame, bool candidates, struct mapper **out)
{
	uint64_t identity = frame_identity(system, frame);
	uint64_t index = IDENTITY_INDEX(identity);
	struct rmap_target target = {
		.page = frame_page(system, frame),
		.object = identity ? system->names.files[IDENTITY_FILE(identity)].object : NULL,
		.first = index,
		.last = index,
	};
	struct rmap_visit visits[BATCH];
	struct rmap_cursor cursor;
	struct mapper *mappers = NULL;
	size_t capacity = 0, n = 0, got;

	rmap_cursor_init(&cursor, system->map, &target);
	while ((got = rmap_cursor_next(&cursor, visits, BATCH)) > 0) {
		mappers = grow(mappers, &capacity, n + got, sizeof(*mappers));
		for (size_t i = 0; i < got; i++)
			n += is_mapper(system, frame, &visits[i], &mappers[n]) || candidates;
	}
	if (n)
		qsort(mappers, n, sizeof(*mappers), compare_mappers);
	*out = mappers;
	return n;
}

size_t system_mappers(const struct system *system, const struct frame *frame, struct mapper **out)
{
	return list_mappers(system, frame, false, out);
}

size_t system_candidates(const struct system *system, const struct frame *frame, struct mapper **out)
{
	return list_mappers(system, frame, true, out);
}

const char *system_mapper_name(const struct system *system, const struct mapper *mapper)
{
	const struct process *process = &system->processes[mapper->process];
	const char *name = mapper->vma == NO_VMA ? "" : system->names.strings[process->vmas[mapper->vma].name];

	return *name ? name : "[anon]";
}
