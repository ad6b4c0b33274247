/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm.c - the executable VM (model/vm) under random operations from all threads
 *
 * Each test is a profile: how often each operation of vm.h is drawn. All share mms, files and memory that is too small,
 * so that faults, unmaps, truncates, mlocks, forks and reclaim meet on the same pages. What is asserted:
 *
 *      no access ever meets a foreign word, and no operation fails in a way that its comment does not name
 *      OWN    a thread's own mm holds what this thread wrote: anonymous memory, and its own words of file 0, which no
 *             one truncates, seen through linear and nonlinear mappings, whatever others reclaim, migrate and fork;
 *             what it unmaps is gone, and what it maps in that place is fresh
 *      BEYOND file 1 is truncated by thread 0 alone. From the moment a truncate of it has returned success until it
 *             grows, nobody's access past its end succeeds, through whatever mapping, also private ones with copies
 *      COPIES a thread's private copies of file 3, which everybody punches and nobody cuts, hold what it wrote
 *      between rounds, when all stand still: vm_check() finds page tables, reverse map, caches, lists and counts in
 *             agreement both ways; no lock was taken out of order; at the end nothing has leaked
 *
 * The figures printed at the end tell which paths a run has taken; --json keeps them.
 */
#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "figures.h"
#include "stress.h"

#define SHARED_MMS 5u
#define FILES 4u
#define FILE_PAGES 40u
#define FRAMES 96u /* and so many for each thread; then what is mapped does not fit, but there is always some to free */
#define THREAD_FRAMES 16u
#define SWAP_SLOTS 96u
#define THREAD_SWAP_SLOTS 32u
#define SPAN 300u /* vpns that random mappings lie in */
#define OWN_VPN 5000u
#define OWN_PTES 24u /* of each own mapping: anonymous; of file 0; of file 1; private ones of files 1 and 3 */
#define STABLE_FILE 0u
#define ENDED_FILE 1u
#define HOLED_FILE 3u
#define COPY_NONE UINT32_MAX

enum action {
	CREATE,
	FORK,
	EXIT,
	MMAP,
	MUNMAP,
	PROTECT,
	MREMAP,
	MLOCK,
	MUNLOCK,
	REMAP,
	READ,
	WRITE,
	TRUNCATE,
	PUNCH,
	COLLAPSE,
	WRITE_BACK,
	AGE,
	RECLAIM,
	MIGRATE,
	COMPACT,
	BALANCE,
	SPLIT,
	DEFERRED_SPLIT,
	JOIN,
	OWN,
	BEYOND,
	ACTIONS,
};

/* Out of the sum of them all. */
struct profile {
	unsigned weights[ACTIONS];
};

/*
 * struct owner - what one thread knows of its own mm; nobody else touches it
 * @anonymous: tags that it wrote into its word of each piece
 * @file:      the same of file 0, by piece of the file
 * @offsets:   which piece of file 0 each pte maps
 * @beyond:    which piece of file 1 each pte maps
 * @copies:    tags that it wrote into private copies of file 3; COPY_NONE: it did not
 */
struct owner {
	struct vm_thread *context;
	uint32_t mm;
	uint32_t anonymous[OWN_PTES];
	uint32_t *file;
	uint64_t offsets[OWN_PTES];
	uint64_t beyond[OWN_PTES];
	uint32_t copies[OWN_PTES];
};

/*
 * @end: of file 1: the size in pages and a number that grows, while a truncate's success stands; odd numbers: it does
 *       not. Written by thread 0; shared because the theorem is about what happens after it
 */
struct world {
	const struct profile *profile;
	unsigned total;
	struct vm *vm;
	uint32_t pieces; /* of a file */
	unsigned bits;
	struct owner owners[STRESS_THREADS_MAX];
	_Atomic uint64_t end;
	uint64_t turn;
};

static struct world world;

static void expect_known(int result, const char *what)
{
	static const int known[] = { 0,       -ESRCH,  -EFAULT, -EACCES, -ENXIO, -EEXIST,
				     -EINVAL, -ENOMEM, -EAGAIN, -EMFILE, -EPERM, -EBUSY, -ENOENT, -ENOTSUP };

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (result == known[i])
			return;
	stress_assert(false, "%s failed with %s", what, strerror(-result));
}

/* --- what everybody shares -------------------------------------------------------------------- */

static uint32_t any_mm(struct stress_thread *thread)
{
	return thread->stress->threads + stress_below(thread, SHARED_MMS);
}

/* Neither the one of which thread 0 alone sets the end, nor those that keep their size. */
#define ANY_ENDED 2u

static uint32_t any_holed(struct stress_thread *thread)
{
	return ANY_ENDED + stress_below(thread, 2);
}

#define FOLIO (1u << VM_FOLIO_ORDER_MAX)

static uint64_t align(uint64_t pieces)
{
	return pieces & ~(uint64_t)(FOLIO - 1);
}

/* Not file 0: a word of it belongs to one thread. Large pages fit better where all is aligned. */
static int map_something(struct stress_thread *thread, struct vm_thread *context, uint64_t vpn, uint64_t n)
{
	uint32_t file = stress_one_in(thread, 2) ? VM_ANONYMOUS : ENDED_FILE + stress_below(thread, FILES - ENDED_FILE);
	uint64_t offset = stress_below(thread, world.pieces);

	if (thread->stress->vm.folios && stress_one_in(thread, 2)) {
		vpn = align(vpn);
		n = align(n) + FOLIO;
		offset = align(offset);
	}
	if (file != VM_ANONYMOUS && stress_one_in(thread, 2))
		return vm_mmap_private(context, any_mm(thread), vpn, n, !stress_one_in(thread, 4), file, offset);
	return vm_mmap(context, any_mm(thread), vpn, n, !stress_one_in(thread, 4), file, offset);
}

static int move_something(struct stress_thread *thread, struct vm_thread *context, uint64_t vpn, uint64_t n)
{
	uint64_t to = stress_one_in(thread, 4) ? vpn : VM_FIRST_VPN + stress_below(thread, SPAN);

	return vm_mremap(context, any_mm(thread), vpn, n, to, n + stress_below(thread, 4));
}

static int punch_something(struct stress_thread *thread, struct vm_thread *context)
{
	uint64_t first = stress_below(thread, FILE_PAGES);
	uint64_t last = first + stress_below(thread, 4);

	return vm_punch(context, any_holed(thread), first, last < FILE_PAGES ? last : FILE_PAGES - 1);
}

static int collapse_something(struct stress_thread *thread, struct vm_thread *context)
{
	uint64_t first = stress_below(thread, FILE_PAGES);

	return vm_collapse(context, ANY_ENDED, first, first + stress_below(thread, 3));
}

static int resize_something(struct stress_thread *thread, struct vm_thread *context)
{
	return vm_truncate(context, ANY_ENDED,
			   stress_one_in(thread, 2) ? FILE_PAGES : stress_below(thread, FILE_PAGES + 1));
}

static int split_something(struct stress_thread *thread, struct vm_thread *context, uint64_t vpn)
{
	if (stress_one_in(thread, 2))
		return vm_anon_split(context, any_mm(thread), vpn);
	return vm_folio_split(context, stress_below(thread, FILES), stress_below(thread, FILE_PAGES));
}

/* Pages of any file become one. */
static int join_something(struct stress_thread *thread, struct vm_thread *context)
{
	return vm_folio_collapse(context, stress_below(thread, FILES), stress_below(thread, FILE_PAGES),
				 1 + stress_below(thread, VM_FOLIO_ORDER_MAX));
}

/* Of some pages of the LRU lists. */
static int look_at_some(struct stress_thread *thread, struct vm_thread *context, enum action action)
{
	uint32_t n = 1 + stress_below(thread, 12);

	switch (action) {
	case AGE:
		vm_age(context, n);
		return 0;
	case RECLAIM:
		vm_reclaim(context, n);
		return 0;
	case DEFERRED_SPLIT:
		vm_deferred_split(context, n);
		return 0;
	case BALANCE:
		vm_balance(context, n);
		return 0;
	default:
		vm_compact(context, n);
		return 0;
	}
}

/* One operation on memory that others use, too. */
static int act(struct stress_thread *thread, struct vm_thread *context, enum action action)
{
	uint64_t vpn = VM_FIRST_VPN + stress_below(thread, SPAN);
	uint64_t n = 1 + stress_below(thread, 40);
	uint64_t value;
	uint32_t mm;

	switch (action) {
	case CREATE:
		return vm_mm_create(context, &mm);
	case FORK:
		return vm_fork(context, any_mm(thread), &mm);
	case EXIT:
		return vm_exit(context, any_mm(thread));
	case MMAP:
		return map_something(thread, context, vpn, n);
	case MUNMAP:
		return vm_munmap(context, any_mm(thread), vpn, n);
	case PROTECT:
		return vm_protect(context, any_mm(thread), vpn, 1 + n / 8, stress_one_in(thread, 2));
	case MREMAP:
		return move_something(thread, context, vpn, 1 + n / 4);
	case MLOCK:
		return vm_mlock(context, any_mm(thread), vpn, 1 + n / 8);
	case MUNLOCK:
		return vm_munlock(context, any_mm(thread), vpn, 1 + n / 4);
	case REMAP:
		return vm_remap_file_pages(context, any_mm(thread), vpn, 1 + n / 8, stress_below(thread, world.pieces));
	case READ:
		return vm_read(context, any_mm(thread), vpn, stress_below(thread, VM_WORDS), &value);
	case WRITE:
		return vm_write(context, any_mm(thread), vpn, stress_below(thread, VM_WORDS),
				stress_below(thread, VM_TAG_MAX));
	case TRUNCATE:
		return resize_something(thread, context);
	case PUNCH:
		return punch_something(thread, context);
	case COLLAPSE:
		return collapse_something(thread, context);
	case WRITE_BACK:
		return vm_write_back(context, stress_below(thread, FILES));
	case MIGRATE:
		return vm_migrate(context, any_mm(thread), vpn);
	case SPLIT:
		return split_something(thread, context, vpn);
	case JOIN:
		return join_something(thread, context);
	default:
		return look_at_some(thread, context, action);
	}
}

/* --- what a thread has to itself -------------------------------------------------------------- */

/* A word of one's own; in file 0, which all map, there is one for each of VM_WORDS threads. */
static void own_word(struct stress_thread *thread, struct owner *owner, uint64_t vpn, uint32_t *tag)
{
	uint32_t new = stress_below(thread, VM_TAG_MAX);
	uint64_t value;
	int result;

	if (stress_one_in(thread, 2)) {
		result = vm_write(owner->context, owner->mm, vpn, thread->id, new);
		if (result == 0)
			*tag = new;
	} else {
		result = vm_read(owner->context, owner->mm, vpn, thread->id, &value);
		stress_assert(result != 0 || vm_word_tag(value) == *tag,
			      "thread %u wrote %" PRIu32 " at vpn %" PRIu64 " of its own mm and reads %" PRIu32,
			      thread->id, *tag, vpn, vm_word_tag(value));
	}
	stress_assert(result == 0 || result == -ENOMEM, "an access to a thread's own mapping failed: %s",
		      strerror(-result));
}

static void own_remap(struct stress_thread *thread, struct owner *owner)
{
	unsigned i = stress_below(thread, OWN_PTES - 3);
	uint64_t offset = stress_below(thread, world.pieces - 3);

	if (vm_remap_file_pages(owner->context, owner->mm, OWN_VPN + OWN_PTES + i, 3, offset))
		return;
	for (unsigned j = 0; j < 3; j++)
		owner->offsets[i + j] = offset + j;
}

/* The child is everybody's; what they write there must not show here. */
static void own_fork(struct owner *owner)
{
	uint32_t child;

	expect_known(vm_fork(owner->context, owner->mm, &child), "a fork");
}

/* What others write to the file, or punch out of it, does not show in a copy. */
static void own_copy(struct stress_thread *thread, struct owner *owner, unsigned i)
{
	uint64_t vpn = OWN_VPN + 4 * OWN_PTES + i;
	uint32_t new = stress_below(thread, VM_TAG_MAX);
	uint64_t value;
	int result;

	if (owner->copies[i] == COPY_NONE || stress_one_in(thread, 2)) {
		result = vm_write(owner->context, owner->mm, vpn, thread->id, new);
		if (result == 0)
			owner->copies[i] = new;
	} else {
		result = vm_read(owner->context, owner->mm, vpn, thread->id, &value);
		stress_assert(result != 0 || vm_word_tag(value) == owner->copies[i],
			      "thread %u wrote %" PRIu32 " into a private copy and reads %" PRIu32, thread->id,
			      owner->copies[i], vm_word_tag(value));
	}
	stress_assert(result == 0 || result == -ENOMEM, "an access to a thread's own copy failed: %s",
		      strerror(-result));
}

/* Whatever this thread's or others' flushes of that piece are on their way. */
static void own_renew(struct owner *owner, unsigned i)
{
	uint64_t value;

	if (vm_munmap(owner->context, owner->mm, OWN_VPN + i, 1))
		return;
	stress_assert(vm_read(owner->context, owner->mm, OWN_VPN + i, 0, &value) == -EFAULT,
		      "an access to what was unmapped succeeded");
	stress_assert(vm_mmap(owner->context, owner->mm, OWN_VPN + i, 1, true, VM_ANONYMOUS, 0) == 0,
		      "what was unmapped cannot be mapped");
	owner->anonymous[i] = 0;
}

static void own(struct stress_thread *thread)
{
	struct owner *owner = &world.owners[thread->id];
	unsigned i = stress_below(thread, OWN_PTES);

	if (thread->id >= VM_WORDS)
		return;
	switch (stress_below(thread, 16)) {
	case 0:
		own_remap(thread, owner);
		break;
	case 1:
		expect_known(vm_migrate(owner->context, owner->mm, OWN_VPN + i), "a migration");
		break;
	case 2:
		expect_known(vm_mlock(owner->context, owner->mm, OWN_VPN + i, 1), "an mlock");
		break;
	case 3:
		expect_known(vm_munlock(owner->context, owner->mm, OWN_VPN, 2 * OWN_PTES), "a munlock");
		break;
	case 4:
		if (stress_one_in(thread, 8))
			own_fork(owner);
		break;
	case 5:
		own_renew(owner, i);
		break;
	case 6:
	case 7:
	case 8:
		own_copy(thread, owner, i);
		break;
	default:
		if (stress_one_in(thread, 2))
			own_word(thread, owner, OWN_VPN + i, &owner->anonymous[i]);
		else
			own_word(thread, owner, OWN_VPN + OWN_PTES + i, &owner->file[owner->offsets[i]]);
	}
}

/* --- the end of file 1 ------------------------------------------------------------------------ */

#define END_BITS 16

/* Orphans may be accessed: that is what is tolerated. */
static bool ends_hold(const struct stress_vm *vm)
{
	bool tolerates = vm->strategy == RMAP_TOLERATE || (vm_backend_traits(vm->backend) & VM_BACKEND_ORPHANS);

	return !tolerates || vm->semantics == RMAP_RELIABLE;
}

/* Thread 0: while it works on the file's size its end is not known. The file does not grow over what was left of it. */
static void set_end(struct stress_thread *thread, struct owner *owner)
{
	uint64_t pages = stress_below(thread, FILE_PAGES);
	int result;

	if (!(vm_backend_traits(thread->stress->vm.backend) & VM_BACKEND_WALKS))
		return;
	world.turn |= 1;
	world.end = world.turn << END_BITS;
	result = vm_truncate(owner->context, ENDED_FILE, FILE_PAGES);
	stress_assert(result == 0 || (result == -EBUSY && thread->stress->vm.semantics == RMAP_FAILABLE),
		      "a file does not grow: %s", strerror(-result));
	if (result != 0)
		pages = 0;
	for (unsigned i = 0; i < 20; i++)
		stress_perturb(thread);
	result = vm_truncate(owner->context, ENDED_FILE, pages);
	expect_known(result, "a truncate");
	stress_assert(result == 0 || thread->stress->vm.semantics == RMAP_FAILABLE,
		      "a reliable truncate left something");
	if (result == 0 && ends_hold(&thread->stress->vm))
		world.end = ++world.turn << END_BITS | pages;
}

/*
 * Others: an access past an end that holds before and after it; through a private mapping, which is linear, or the
 * shared.
 */
static void look_beyond(struct stress_thread *thread, struct owner *owner)
{
	unsigned i = stress_below(thread, OWN_PTES);
	bool private = stress_one_in(thread, 2);
	uint64_t before = world.end;
	uint64_t end = before & ((1u << END_BITS) - 1);
	uint64_t piece;
	int result;

	if (stress_one_in(thread, 4)) {
		uint64_t offset = stress_below(thread, world.pieces);

		if (!vm_remap_file_pages(owner->context, owner->mm, OWN_VPN + 2 * OWN_PTES + i, 1, offset))
			owner->beyond[i] = offset;
	}
	if (stress_one_in(thread, 8))
		expect_known(vm_mlock(owner->context, owner->mm, OWN_VPN + 2 * OWN_PTES + i, 1), "an mlock");
	if (stress_one_in(thread, 8))
		expect_known(vm_munlock(owner->context, owner->mm, OWN_VPN + 2 * OWN_PTES, OWN_PTES), "a munlock");
	piece = private ? 3 + i : owner->beyond[i];
	result = vm_fault(owner->context, owner->mm, OWN_VPN + (private ? 3 : 2) * OWN_PTES + i,
			  stress_one_in(thread, 2));
	expect_known(result, "an access to file 1");
	if ((before >> END_BITS) % 2 == 1 || before != world.end)
		return;
	stress_assert(result != 0 || piece >> world.bits < end,
		      "an access to piece %" PRIu64 " of a file that was truncated to %" PRIu64 " pages succeeded",
		      piece, end);
}

/* --- running ---------------------------------------------------------------------------------- */

static enum action draw(struct stress_thread *thread)
{
	unsigned drawn = stress_below(thread, world.total);
	unsigned action = 0;

	while (drawn >= world.profile->weights[action])
		drawn -= world.profile->weights[action++];
	return (enum action)action;
}

static void one(struct stress_thread *thread)
{
	struct owner *owner = &world.owners[thread->id];
	enum action action = draw(thread);

	if (action == OWN)
		own(thread);
	else if (action == BEYOND && thread->id == 0)
		set_end(thread, owner);
	else if (action == BEYOND)
		look_beyond(thread, owner);
	else
		expect_known(act(thread, owner->context, action), "an operation");
}

static void body(struct stress_thread *thread, void *arg)
{
	struct owner *owner = &world.owners[thread->id];

	(void)arg;
	stress_assert(vm_thread_create(world.vm, &owner->context) == 0, "no memory for a thread's context");
	while (stress_round(thread))
		while (stress_next(thread))
			one(thread);
	vm_thread_destroy(owner->context);
}

static void check(struct stress_thread *thread, void *arg)
{
	struct vm_statistics statistics;
	uint64_t wrong = vm_check(world.owners[thread->id].context);

	(void)arg;
	vm_stats(world.vm, &statistics);
	stress_assert(wrong == 0, "at rest %" PRIu64 " equations do not hold", wrong);
	stress_assert(statistics.wrong == 0, "%" PRIu64 " accesses met a foreign word", statistics.wrong);
	stress_assert(statistics.lock_violations == 0, "%" PRIu64 " locks were taken out of order",
		      statistics.lock_violations);
}

/* Own mms get the first numbers, and three mappings each. */
static void make_owners(unsigned threads)
{
	struct vm_thread *context;

	stress_assert(vm_thread_create(world.vm, &context) == 0, "no memory for a thread's context");
	for (unsigned i = 0; i < threads; i++) {
		struct owner *owner = &world.owners[i];

		owner->file = stress_zalloc(world.pieces, sizeof(*owner->file));
		for (unsigned j = 0; j < OWN_PTES; j++)
			owner->offsets[j] = owner->beyond[j] = 3 + j;
		for (unsigned j = 0; j < OWN_PTES; j++)
			owner->copies[j] = COPY_NONE;
		stress_assert(vm_mm_create(context, &owner->mm) == 0 && owner->mm == i &&
				      vm_mmap(context, i, OWN_VPN, OWN_PTES, true, VM_ANONYMOUS, 0) == 0 &&
				      vm_mmap(context, i, OWN_VPN + OWN_PTES, OWN_PTES, true, STABLE_FILE, 3) == 0 &&
				      vm_mmap(context, i, OWN_VPN + 2 * OWN_PTES, OWN_PTES, true, ENDED_FILE, 3) == 0 &&
				      vm_mmap_private(context, i, OWN_VPN + 3 * OWN_PTES, OWN_PTES, true, ENDED_FILE,
						      3) == 0 &&
				      vm_mmap_private(context, i, OWN_VPN + 4 * OWN_PTES, OWN_PTES, true, HOLED_FILE,
						      3) == 0,
			      "an own mm cannot be made");
	}
	vm_thread_destroy(context);
}

/* Others run. With a pte lock held only so often as --inject says: then who only tries that lock is refused. */
static void window(void *arg, enum vm_window where)
{
	const struct stress *stress = arg;
	static _Thread_local unsigned calls;

	if (where != VM_WINDOW_LOCKED || ++calls * stress->inject % 1000 < stress->inject)
		sched_yield();
}

static void run(struct stress *stress, const struct profile *profile)
{
	const struct stress_plan plan = { .body = body, .check = check };
	struct vm_options options = {
		.size = sizeof(options),
		.frames = FRAMES + THREAD_FRAMES * stress->threads,
		.far = vm_backend_traits(stress->vm.backend) & VM_BACKEND_MIGRATES ? FRAMES / 3 : 0,
		.swap_slots = SWAP_SLOTS + THREAD_SWAP_SLOTS * stress->threads,
		.mms = stress->threads + SHARED_MMS,
		.files = FILES,
		.file_pages = FILE_PAGES,
		.table_bits = stress->vm.folios == 4 ? 4 : 5, /* so that some are as large as a leaf */
		.cluster_bits = stress->vm.clusters,
		.folio_order = stress->vm.folios,
		.locks = stress->vm.order,
		.strategy = stress->vm.strategy,
		.semantics = stress->vm.semantics,
		.flush = stress->vm.flush,
		.backend = stress->vm.backend,
		.window = window,
		.window_arg = stress,
		.report_only = stress->vm.order == VM_LOCKS_2003_BLOCKING,
	};
	struct vm_statistics statistics;
	int error;

	memset(&world, 0, sizeof(world));
	world.profile = profile;
	world.bits = stress->vm.clusters;
	world.pieces = FILE_PAGES << world.bits;
	world.turn = 1;
	world.end = world.turn << END_BITS;
	for (unsigned i = 0; i < ACTIONS; i++)
		world.total += profile->weights[i];
	error = vm_create(&options, &world.vm);
	if (error == -ENOTSUP)
		exit(2);
	stress_assert(error == 0, "the VM cannot be made: %s", strerror(-error));
	make_owners(stress->threads);
	stress_run(stress, &plan);
	vm_stats(world.vm, &statistics);
	figures_print(stress, &statistics);
	stress_assert(vm_destroy(world.vm) == 0, "something of the VM leaked");
	for (unsigned i = 0; i < stress->threads; i++)
		free(world.owners[i].file);
}

/* --- the tests -------------------------------------------------------------------------------- */

#define VM_TEST(stem, title, sentence, ...)                                                                            \
	static void run_##stem(struct stress *stress)                                                                  \
	{                                                                                                              \
		static const struct profile profile = { { __VA_ARGS__ } };                                             \
                                                                                                                       \
		run(stress, &profile);                                                                                 \
	}                                                                                                              \
	const struct stress_test stress_vm_##stem = { title, sentence, run_##stem, true }

VM_TEST(mix, "vm-mix", "every operation of the VM beside every other", [CREATE] = 2, [FORK] = 2, [EXIT] = 1,
	[MMAP] = 11, [MUNMAP] = 3, [PROTECT] = 3, [MREMAP] = 5, [MLOCK] = 6, [MUNLOCK] = 6, [REMAP] = 8, [READ] = 20,
	[WRITE] = 20, [TRUNCATE] = 1, [PUNCH] = 1, [COLLAPSE] = 1, [WRITE_BACK] = 3, [AGE] = 3, [RECLAIM] = 2,
	[MIGRATE] = 4, [COMPACT] = 1, [SPLIT] = 2, [DEFERRED_SPLIT] = 1, [JOIN] = 2, [OWN] = 20, [BEYOND] = 4);
VM_TEST(reclaim, "vm-reclaim", "truncates against unmaps by reclaim and migration", [CREATE] = 2, [EXIT] = 1,
	[MMAP] = 10, [READ] = 20, [WRITE] = 20, [TRUNCATE] = 8, [PUNCH] = 4, [WRITE_BACK] = 4, [AGE] = 6,
	[RECLAIM] = 12, [MIGRATE] = 8, [OWN] = 10, [BEYOND] = 6);
VM_TEST(fault, "vm-fault", "truncates against faulters that hold a page whose pte is not set", [CREATE] = 2, [EXIT] = 1,
	[MMAP] = 10, [READ] = 40, [WRITE] = 20, [TRUNCATE] = 6, [PUNCH] = 6, [BEYOND] = 60);
VM_TEST(remap, "vm-remap", "remap_file_pages against truncates and unmaps", [CREATE] = 2, [EXIT] = 1, [MMAP] = 10,
	[REMAP] = 30, [READ] = 20, [WRITE] = 10, [TRUNCATE] = 5, [PUNCH] = 3, [RECLAIM] = 6, [MIGRATE] = 4, [OWN] = 10,
	[BEYOND] = 10);
VM_TEST(mlock, "vm-mlock", "mlock and munlock against reclaim and truncates", [CREATE] = 2, [EXIT] = 1, [MMAP] = 10,
	[MLOCK] = 20, [MUNLOCK] = 20, [REMAP] = 6, [READ] = 10, [WRITE] = 10, [TRUNCATE] = 4, [PUNCH] = 2,
	[RECLAIM] = 8, [MIGRATE] = 4, [OWN] = 10, [BEYOND] = 10);
VM_TEST(fork, "vm-fork", "fork and exit against everything", [CREATE] = 4, [FORK] = 12, [EXIT] = 12, [MMAP] = 20,
	[MREMAP] = 6, [MLOCK] = 2, [MUNLOCK] = 2, [REMAP] = 6, [READ] = 15, [WRITE] = 25, [TRUNCATE] = 2, [PUNCH] = 1,
	[RECLAIM] = 6, [MIGRATE] = 4, [OWN] = 15, [BEYOND] = 4);
VM_TEST(tlb, "vm-tlb", "accesses that look at no pte against all that clears, moves and restricts ptes", [CREATE] = 2,
	[FORK] = 2, [EXIT] = 1, [MMAP] = 10, [MUNMAP] = 4, [PROTECT] = 4, [MREMAP] = 4, [REMAP] = 4, [READ] = 60,
	[WRITE] = 40, [TRUNCATE] = 3, [PUNCH] = 2, [WRITE_BACK] = 2, [AGE] = 1, [RECLAIM] = 4, [MIGRATE] = 3,
	[OWN] = 120, [BEYOND] = 30);
VM_TEST(private, "vm-private", "private copies against ends, holes, collapsed ranges, forks, mremaps and reclaim",
	[CREATE] = 2, [FORK] = 6, [EXIT] = 5, [MMAP] = 14, [MUNMAP] = 3, [PROTECT] = 3, [MREMAP] = 12, [MLOCK] = 3,
	[MUNLOCK] = 3, [REMAP] = 2, [READ] = 20, [WRITE] = 40, [TRUNCATE] = 5, [PUNCH] = 5, [COLLAPSE] = 4,
	[WRITE_BACK] = 2, [RECLAIM] = 5, [MIGRATE] = 3, [OWN] = 40, [BEYOND] = 30);
VM_TEST(migrate, "vm-migrate", "pages on their way to other frames against everything", [CREATE] = 2, [FORK] = 5,
	[EXIT] = 4, [MMAP] = 12, [MUNMAP] = 5, [PROTECT] = 3, [MREMAP] = 8, [MLOCK] = 4, [MUNLOCK] = 4, [REMAP] = 6,
	[READ] = 25, [WRITE] = 25, [TRUNCATE] = 4, [PUNCH] = 3, [COLLAPSE] = 1, [WRITE_BACK] = 2, [AGE] = 2,
	[RECLAIM] = 2, [MIGRATE] = 20, [COMPACT] = 10, [BALANCE] = 10, [OWN] = 60, [BEYOND] = 20);
VM_TEST(folio, "vm-folio", "large pages split and collapsed against everything", [CREATE] = 2, [FORK] = 4, [EXIT] = 3,
	[MMAP] = 12, [MUNMAP] = 6, [PROTECT] = 3, [MREMAP] = 8, [MLOCK] = 4, [MUNLOCK] = 5, [REMAP] = 5, [READ] = 40,
	[WRITE] = 40, [TRUNCATE] = 6, [PUNCH] = 8, [COLLAPSE] = 2, [WRITE_BACK] = 3, [AGE] = 3, [RECLAIM] = 8,
	[MIGRATE] = 6, [COMPACT] = 2, [SPLIT] = 20, [DEFERRED_SPLIT] = 6, [JOIN] = 15, [OWN] = 40, [BEYOND] = 20);
