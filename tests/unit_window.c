/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * unit_window.c - model/vm: operations that meet in the middle, at the marked windows of vm.h
 *
 * What another thread does there is done by the test, at that very point, so that each meeting happens in every run.
 * One option is known to be bad, and its test expects that this is noticed.
 */
#include "world.h"

#include <errno.h>

/* A truncate between a fault's look-up and its pte, as another thread's might be. */
static void truncate_in_the_window(void *arg, enum vm_window where)
{
	struct world *world = arg;

	if (world->thread && where == VM_WINDOW_FAULT)
		expect(vm_truncate(world->thread, 0, 1) == 0);
}

static void fault_in_the_window(uint32_t bits, bool no_recheck)
{
	struct world world = { .thread = NULL };
	uint32_t mm;
	int result;

	world_init(&world, (struct vm_options){ .cluster_bits = bits,
						.no_recheck = no_recheck,
						.window = truncate_in_the_window,
						.window_arg = &world });
	mm = new_mm(&world);
	expect(vm_mmap(world.thread, mm, 100, 4 * world.pieces, true, 0, 0) == 0);
	result = access_error(&world, mm, 100 + 2 * world.pieces);
	expect(result == (no_recheck ? 0 : -ENXIO));
	expect(world_stats(&world).restarts == (no_recheck ? 0 : 1));
	world_fini(&world, !no_recheck);
}

static void a_fault_rechecks(void **state)
{
	(void)state;
	each_backend (bits, VM_BACKEND_WALKS)
		fault_in_the_window(*bits, false);
}

static void a_fault_that_does_not_recheck_is_found(void **state)
{
	(void)state;
	each_backend (bits, VM_BACKEND_WALKS)
		fault_in_the_window(*bits, true);
}

/* --- with the pte lock held, and no section ------------------------------------------------------- */

struct check_then {
	struct world world;
	bool armed;
};

static void cut_to_four(struct vm_thread *thread, void *arg)
{
	(void)arg;
	expect(vm_truncate(thread, 0, 4) == 0);
}

static void truncate_behind_the_check(void *arg, enum vm_window where)
{
	struct check_then *then = arg;
	struct beside beside;

	if (!then->armed || where != VM_WINDOW_CHECKED)
		return;
	then->armed = false;
	beside_begin(&beside, &then->world, cut_to_four, NULL);
	beside_end(&beside);
}

/*
 * Nothing maps page 6, which a nonlinear pte wants: it is gone before the pte is set. Its vma is of the pages before.
 */
static void a_fault_without_a_section_looks_again(void **state)
{
	(void)state;
	each_backend (bits, VM_BACKEND_TRIES)
		for (int semantics = RMAP_FAILABLE; semantics <= RMAP_RELIABLE; semantics++) {
			struct check_then then = { .armed = false };
			struct world *world = &then.world;
			uint32_t mm;

			world_init(world, (struct vm_options){ .cluster_bits = *bits,
							       .semantics = semantics,
							       .window = truncate_behind_the_check,
							       .window_arg = &then });
			mm = new_mm(world);
			expect(vm_mmap(world->thread, mm, 100, 2, true, 0, 0) == 0);
			expect(vm_remap_file_pages(world->thread, mm, 100, 1, 6 * world->pieces) == 0);
			vm_reclaim(world->thread, 10);
			vm_reclaim(world->thread, 10);
			then.armed = true;
			expect(access_error(world, mm, 100) == -ENXIO);
			expect(!then.armed);
			expect(world_stats(world).orphans == 0);
			world_fini(world, true);
		}
}

struct punch {
	struct world world;
	bool armed;
};

static void punch_in_the_window(void *arg, enum vm_window where)
{
	struct punch *punch = arg;

	if (!punch->armed || where != VM_WINDOW_FAULT)
		return;
	punch->armed = false;
	expect(vm_punch(punch->world.thread, 0, 1, 2) == 0);
}

/* The page that the fault found is the file's no more, and what was written there is gone. */
static void a_fault_rechecks_for_holes(void **state)
{
	(void)state;
	each_backend (bits, VM_BACKEND_WALKS) {
		struct punch punch = { .armed = false };
		struct world *world = &punch.world;
		uint32_t mm, other;

		world_init(world, (struct vm_options){
					  .cluster_bits = *bits, .window = punch_in_the_window, .window_arg = &punch });
		mm = new_mm(world);
		other = new_mm(world);
		expect(vm_mmap(world->thread, mm, 100, 4 * world->pieces, true, 0, 0) == 0);
		expect(vm_mmap(world->thread, other, 100, 4 * world->pieces, true, 0, 0) == 0);
		write_tags(world, mm, 100, 4 * world->pieces, 1);
		punch.armed = true;
		expect(access_error(world, other, 100 + 2 * world->pieces) == 0);
		expect(!punch.armed);
		expect(world_stats(world).restarts == 1);
		expect(tag_at(world, other, 100 + 2 * world->pieces) == 0);
		expect(tag_at(world, mm, 100 + 2 * world->pieces) == 0);
		world_fini(world, true);
	}
}

struct late {
	struct world world;
	struct beside faulter;
	uint32_t mm;
	uint64_t vpn;
};

static void read_late(struct vm_thread *thread, void *arg)
{
	const struct late *late = arg;
	uint64_t word;

	expect(vm_read(thread, late->mm, late->vpn, 1, &word) == 0);
	expect(vm_word_tag(word) == 0);
}

static void fault_during_the_punch(void *arg, enum vm_window where)
{
	struct late *late = arg;

	if (where == VM_WINDOW_PUNCH)
		beside_wait(&late->faulter, &late->world, read_late, late);
}

static void a_fault_waits_for_a_punch(void **state)
{
	(void)state;
	each_backend (bits, VM_BACKEND_WALKS) {
		struct late late;
		struct world *world = &late.world;

		world_init(world, (struct vm_options){ .cluster_bits = *bits,
						       .window = fault_during_the_punch,
						       .window_arg = &late });
		late.mm = new_mm(world);
		late.vpn = 100 + 2 * world->pieces;
		expect(vm_mmap(world->thread, late.mm, 100, 4 * world->pieces, true, 0, 0) == 0);
		write_tags(world, late.mm, 100, 4 * world->pieces, 1);
		expect(vm_punch(world->thread, 0, 1, 2) == 0);
		beside_end(&late.faulter);
		world_fini(world, true);
	}
}

/* Some ptes have moved, some have not: a page pass finds them all, by either range. */
static void truncate_during_the_move(void *arg, enum vm_window where)
{
	struct world *world = arg;

	if (where == VM_WINDOW_MOVE)
		expect(vm_truncate(world->thread, 0, 0) == 0);
}

static void a_moving_vma_is_found(void **state)
{
	(void)state;
	each_size (bits) {
		struct world world;
		uint32_t mm;

		world_init(&world, (struct vm_options){ .cluster_bits = *bits,
							.strategy = RMAP_UNMAP,
							.window = truncate_during_the_move,
							.window_arg = &world });
		mm = new_mm(&world);
		expect(vm_mmap(world.thread, mm, 100, 4 * 32, true, 0, 0) == 0);
		write_tags(&world, mm, 100, *bits ? 4 * 32 : 64, 1);
		expect(vm_mremap(world.thread, mm, 100, 4 * 32, 5000, 4 * 32) == 0);
		expect(world_stats(&world).truncations > 1 && world_stats(&world).leftovers == 0);
		expect(access_error(&world, mm, 5000) == -ENXIO);
		world_fini(&world, true);
	}
}

/*
 * A truncate in the order of 2003 while a fault holds the lock of the leaf that maps a doomed page: it may only try
 * that lock. The page is nonlinear, in a range of indexes that stay, so that no bulk pass comes by either.
 */
struct refusal {
	struct world world;
	bool armed;
	int result;
};

static void truncate_meanwhile(struct vm_thread *thread, void *arg)
{
	((struct refusal *)arg)->result = vm_truncate(thread, 0, 2);
}

static void truncate_with_the_lock_held(void *arg, enum vm_window where)
{
	struct refusal *refusal = arg;
	struct beside truncater;

	if (!refusal->armed || where != VM_WINDOW_LOCKED)
		return;
	refusal->armed = false;
	beside_begin(&truncater, &refusal->world, truncate_meanwhile, refusal);
	beside_end(&truncater);
}

static void a_refused_lock_leaves_a_page(void **state)
{
	static const enum rmap_strategy strategies[] = { RMAP_CLEANUP, RMAP_UNMAP };

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct refusal refusal = { .armed = false };
		struct world *world = &refusal.world;
		uint32_t mm;

		world_init(world, (struct vm_options){ .locks = VM_LOCKS_2003,
						       .strategy = strategies[i],
						       .semantics = RMAP_FAILABLE,
						       .window = truncate_with_the_lock_held,
						       .window_arg = &refusal });
		mm = new_mm(world);
		expect(vm_mmap(world->thread, mm, 100, 2, true, 0, 0) == 0);
		expect(vm_remap_file_pages(world->thread, mm, 100, 1, 5) == 0);
		expect(vm_fault(world->thread, mm, 100, false) == 0);
		refusal.armed = true;
		expect(vm_fault(world->thread, mm, 101, false) == 0);
		expect(refusal.result == -EAGAIN);
		expect(world_stats(world).refused > 0 && world_stats(world).left_again == 1);
		expect(vm_check(world->thread) == 0);
		expect(vm_fault(world->thread, mm, 100, false) == 0); /* past the end, and mapped */
		expect(vm_truncate(world->thread, 0, 2) == 0);        /* nobody is in the way now */
		expect(vm_fault(world->thread, mm, 100, false) == -ENXIO);
		world_fini(world, true);
	}
}

/* A table that a walk has looked up, and that becomes another's before the walk has its lock. */
struct another {
	struct world world;
	bool armed;
	uint32_t mm;
};

#define TABLE 32u /* ptes of the world's */

/* The page is mapped again, by the same table at the same place in it; only the address differs. */
static void map_elsewhere(struct vm_thread *thread, void *arg)
{
	const struct another *another = arg;
	uint64_t word;
	uint32_t mm;

	expect(vm_exit(thread, another->mm) == 0);
	expect(vm_mm_create(thread, &mm) == 0 && mm == another->mm);
	expect(vm_mmap(thread, mm, 4 * TABLE, another->world.pieces, true, 0, 0) == 0);
	expect(vm_read(thread, mm, 4 * TABLE, 1, &word) == 0);
}

static void exit_under_the_walk(void *arg, enum vm_window where)
{
	struct another *another = arg;
	struct beside beside;

	if (!another->armed || where != VM_WINDOW_SPOTS)
		return;
	another->armed = false;
	beside_begin(&beside, &another->world, map_elsewhere, another);
	beside_end(&beside);
}

static void a_table_that_is_another_s_is_left(void **state)
{
	(void)state;
	world_backend = vm_backends;
	each_size (bits) {
		struct another another = { .armed = false };
		struct world *world = &another.world;
		struct vm_statistics before;

		world_init(world, (struct vm_options){ .cluster_bits = *bits,
						       .window = exit_under_the_walk,
						       .window_arg = &another });
		another.mm = new_mm(world);
		expect(vm_mmap(world->thread, another.mm, 3 * TABLE, world->pieces, true, 0, 0) == 0);
		expect(access_error(world, another.mm, 3 * TABLE) == 0);
		before = world_stats(world);
		another.armed = true;
		expect(vm_age(world->thread, 1) == 1);
		expect(!another.armed);
		expect(world_stats(world).visits_empty - before.visits_empty == 1);
		expect(world_stats(world).referenced == before.referenced);
		world_fini(world, true);
	}
}

/* --- while a range is taken out of a file ------------------------------------------------------------ */

static void reclaim_all(struct vm_thread *thread, void *arg)
{
	(void)arg;
	vm_reclaim(thread, 100);
	vm_reclaim(thread, 100);
}

/* The bulk pass has unmapped nothing yet: pages go to the disk from where the file has none any more. */
static void reclaim_under_the_collapse(void *arg, enum vm_window where)
{
	struct check_then *then = arg;
	struct beside beside;

	if (!then->armed || where != VM_WINDOW_RANGE)
		return;
	then->armed = false;
	beside_begin(&beside, &then->world, reclaim_all, NULL);
	beside_end(&beside);
}

static void what_is_evicted_under_a_collapse_moves_all_the_same(void **state)
{
	(void)state;
	each_backend (bits, VM_BACKEND_CHOICES) {
		struct check_then then = { .armed = false };
		struct world *world = &then.world;
		uint32_t mm, pieces;

		world_init(world, (struct vm_options){ .cluster_bits = *bits,
						       .window = reclaim_under_the_collapse,
						       .window_arg = &then });
		pieces = world->pieces;
		mm = new_mm(world);
		expect(vm_mmap(world->thread, mm, 100, 8 * pieces, true, 0, 0) == 0);
		write_tags(world, mm, 100, 8 * pieces, 1);
		then.armed = true;
		expect(vm_collapse(world->thread, 0, 2, 3) == 0);
		expect(!then.armed);
		expect_tags(world, mm, 100, 2 * pieces, 1);
		expect_tags(world, mm, 100 + 2 * pieces, 4 * pieces, 1 + 4 * pieces);
		world_fini(world, true);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_fault_rechecks),
		cmocka_unit_test(a_fault_without_a_section_looks_again),
		cmocka_unit_test(a_fault_rechecks_for_holes),
		cmocka_unit_test(a_fault_waits_for_a_punch),
		cmocka_unit_test(a_moving_vma_is_found),
		cmocka_unit_test(a_fault_that_does_not_recheck_is_found),
		cmocka_unit_test(a_refused_lock_leaves_a_page),
		cmocka_unit_test(a_table_that_is_another_s_is_left),
		cmocka_unit_test(what_is_evicted_under_a_collapse_moves_all_the_same),
	};

	return cmocka_run_group_tests_name("window", tests, NULL, NULL);
}
