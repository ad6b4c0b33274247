/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * unit_private.c - model/vm: private mappings of files, whose copies a truncate takes and a hole does not
 *
 * As unit_vm.c: with pages of one piece and of sixteen, and the whole compared after each test. Where operations meet
 * in the middle, another thread is at a window of vm.h; one option is known to be bad, and its tests expect that this
 * shows.
 */
#include "world.h"

#include <errno.h>

/* Of file 0 at 100, shared, and at 300 of the same mm and of others, private: 8 pages. */
struct scene {
	struct world world;
	uint32_t mm;
	uint64_t n;
};

static void scene_init(struct scene *scene, struct vm_options options)
{
	options.file_pages = 8;
	world_init(&scene->world, options);
	scene->n = 8 * scene->world.pieces;
	scene->mm = new_mm(&scene->world);
	expect(vm_mmap(scene->world.thread, scene->mm, 100, scene->n, true, 0, 0) == 0);
	expect(vm_mmap_private(scene->world.thread, scene->mm, 300, scene->n, true, 0, 0) == 0);
	write_tags(&scene->world, scene->mm, 100, scene->n, 1);
}

static uint32_t object_at(struct world *world, uint32_t mm, uint64_t vpn)
{
	uint64_t word;

	expect(vm_read(world->thread, mm, vpn, 1, &word) == 0);
	return vm_word_object(word);
}

static void what_is_written_is_copied(void **state)
{
	(void)state;
	each_backend (bits, 0) {
		struct vm_statistics stats;
		struct scene scene;
		uint64_t word;
		uint64_t other;

		scene_init(&scene, (struct vm_options){ .cluster_bits = *bits });
		other = scene.world.pieces; /* another page */
		expect_tags(&scene.world, scene.mm, 300, scene.n, 1);
		expect(object_at(&scene.world, scene.mm, 300) == 0);
		expect(vm_write(scene.world.thread, scene.mm, 300, 1, 77) == 0);
		expect(tag_at(&scene.world, scene.mm, 300) == 77 && tag_at(&scene.world, scene.mm, 100) == 1);
		expect(object_at(&scene.world, scene.mm, 300) == VM_COPY_OF(0));
		expect(piece_at(&scene.world, scene.mm, 300) == 0);
		expect(vm_write(scene.world.thread, scene.mm, 100, 1, 78) == 0);
		expect(vm_write(scene.world.thread, scene.mm, 100 + other, 1, 79) == 0);
		expect(tag_at(&scene.world, scene.mm, 300) == 77 && tag_at(&scene.world, scene.mm, 300 + other) == 79);
		expect(vm_write_back(scene.world.thread, 0) == 0);
		expect(vm_disk_word(scene.world.thread, 0, 0, 1, &word) == 0 && vm_word_tag(word) == 78);
		expect(world_stats(&scene.world).private_copies == 1);
		expect(vm_remap_file_pages(scene.world.thread, scene.mm, 300, 1, 3) == -EINVAL);
		expect(vm_mmap_private(scene.world.thread, scene.mm, 9000, 1, true, VM_ANONYMOUS, 0) == -EINVAL);
		expect(vm_protect(scene.world.thread, scene.mm, 300, 1, false) == 0);
		expect(vm_write(scene.world.thread, scene.mm, 300, 1, 80) == -EACCES);
		expect(vm_protect(scene.world.thread, scene.mm, 300, 1, true) == 0);
		expect(vm_write(scene.world.thread, scene.mm, 300, 1, 81) == 0);
		stats = world_stats(&scene.world);
		expect(stats.private_copies == 1 && stats.reuses + stats.copies == 1);
		world_fini(&scene.world, true);
	}
}

static void copies_are_swapped_forked_and_moved(void **state)
{
	(void)state;
	each_backend (bits, VM_BACKEND_WALKS) {
		struct scene scene;
		uint32_t child;
		bool migrates;

		scene_init(&scene, (struct vm_options){ .cluster_bits = *bits });
		write_tags(&scene.world, scene.mm, 300, scene.n, 500);
		expect(vm_munmap(scene.world.thread, scene.mm, 303, 1) == 0);
		vm_reclaim(scene.world.thread, 100);
		expect(world_stats(&scene.world).swap_outs > 4);
		child = new_fork(&scene.world, scene.mm);
		expect(vm_write(scene.world.thread, child, 301, 1, 600) == 0);
		expect(vm_mremap(scene.world.thread, scene.mm, 304, 4, 1000, 6) == 0);
		expect(tag_at(&scene.world, scene.mm, 301) == 501 && tag_at(&scene.world, child, 301) == 600);
		expect_tags(&scene.world, scene.mm, 1000, 4, 504);
		expect_tags(&scene.world, child, 304, scene.n - 4, 504);
		migrates = scene.world.traits & VM_BACKEND_MIGRATES;
		expect(vm_migrate(scene.world.thread, scene.mm, 1001) == (migrates ? 0 : -ENOTSUP));
		expect(tag_at(&scene.world, scene.mm, 1001) == 505);
		expect(vm_mlock(scene.world.thread, scene.mm, 1000, 2) == 0);
		expect(vm_check(scene.world.thread) == 0);
		expect(vm_migrate(scene.world.thread, scene.mm, 1001) == (migrates ? -EPERM : -ENOTSUP));
		expect(vm_munlock(scene.world.thread, scene.mm, 1001, 1) == 0);
		expect_tags(&scene.world, scene.mm, 100, scene.n, 1);
		world_fini(&scene.world, true);
	}
}

/* Copies of pages 1 .. 7; of page 3 locked, of page 5 read-only, of 6 and 7 in swap, if @swapped. */
static void make_copies(struct scene *scene, bool swapped)
{
	uint32_t pieces = scene->world.pieces;

	if (swapped) {
		write_tags(&scene->world, scene->mm, 300 + 6 * pieces, 2 * pieces, 900);
		vm_reclaim(scene->world.thread, 100);
	}
	for (uint64_t i = pieces; i < scene->n; i += pieces)
		if (!swapped || i < 6 * pieces)
			write_tags(&scene->world, scene->mm, 300 + i, pieces, (uint32_t)(300 + i));
	expect(vm_mlock(scene->world.thread, scene->mm, 300 + 3 * pieces, 1) == 0);
	expect(vm_protect(scene->world.thread, scene->mm, 300 + 5 * pieces, 1, false) == 0);
	expect(vm_check(scene->world.thread) == 0);
}

static void cut_once(const struct vm_options *options, bool swapped)
{
	struct scene scene;
	uint32_t pieces;

	scene_init(&scene, *options);
	pieces = scene.world.pieces;
	make_copies(&scene, swapped);
	expect(vm_punch(scene.world.thread, 0, 3, 4) == 0);
	expect(world_stats(&scene.world).copies_taken == 0);
	expect_tags(&scene.world, scene.mm, 300 + 3 * pieces, 2 * pieces, 300 + 3 * pieces);
	expect(tag_at(&scene.world, scene.mm, 100 + 3 * pieces) == 0);
	expect(vm_check(scene.world.thread) == 0);

	expect(vm_collapse(scene.world.thread, 0, 4, 4) == 0);
	expect_tags(&scene.world, scene.mm, 300 + 3 * pieces, pieces, 300 + 3 * pieces);
	for (uint64_t i = 4 * pieces; i < 7 * pieces; i++)
		expect(tag_at(&scene.world, scene.mm, 300 + i) == 1 + i + pieces);
	expect(access_error(&scene.world, scene.mm, 300 + 7 * pieces) == -ENXIO);
	expect(vm_check(scene.world.thread) == 0);

	expect(vm_truncate(scene.world.thread, 0, 3) == 0);
	expect(vm_check(scene.world.thread) == 0);
	expect(access_error(&scene.world, scene.mm, 300 + 3 * pieces) == -ENXIO);
	expect_tags(&scene.world, scene.mm, 300 + pieces, 2 * pieces, 300 + pieces);
	expect(vm_truncate(scene.world.thread, 0, 8) == 0);
	expect(tag_at(&scene.world, scene.mm, 300 + 3 * pieces) == 0);
	expect(world_stats(&scene.world).leftovers == 0 && world_stats(&scene.world).lock_violations == 0);
	world_fini(&scene.world, true);
}

static void every_backend_takes_copies(void **state)
{
	(void)state;
	each_backend (bits, VM_BACKEND_WALKS)
		for (int semantics = RMAP_FAILABLE; semantics <= RMAP_RELIABLE; semantics++)
			for (int swapped = 0; swapped < 2; swapped++)
				cut_once(&(struct vm_options){ .cluster_bits = *bits, .semantics = semantics },
					 swapped);
}

static void a_cut_takes_copies_and_a_hole_does_not(void **state)
{
	(void)state;
	each_size (bits)
		for (int strategy = RMAP_COMBINED; strategy <= RMAP_TOLERATE; strategy++)
			for (int semantics = RMAP_FAILABLE; semantics <= RMAP_RELIABLE; semantics++)
				for (int locks = VM_LOCKS_TODAY; locks <= VM_LOCKS_2003; locks++)
					for (int swapped = 0; swapped < 2; swapped++)
						cut_once(&(struct vm_options){ .cluster_bits = *bits,
									       .strategy = strategy,
									       .semantics = semantics,
									       .locks = locks },
							 swapped);
}

/* --- in the middle ---------------------------------------------------------------------------- */

/* What another thread does at the first window @in, once it is armed. */
struct meeting {
	struct scene scene;
	enum vm_window in;
	bool armed;
	void (*act)(struct vm_thread *thread, void *arg);
};

static void act_in_the_window(void *arg, enum vm_window where)
{
	struct meeting *meeting = arg;
	struct beside beside;

	if (!meeting->armed || where != meeting->in)
		return;
	meeting->armed = false;
	beside_begin(&beside, &meeting->scene.world, meeting->act, &meeting->scene);
	beside_end(&beside);
}

static void cut(struct vm_thread *thread, void *arg)
{
	(void)arg;
	expect(vm_truncate(thread, 0, 2) == 0);
}

static void punch(struct vm_thread *thread, void *arg)
{
	(void)arg;
	expect(vm_punch(thread, 0, 5, 5) == 0);
}

static void move(struct vm_thread *thread, void *arg)
{
	const struct scene *scene = arg;

	expect(vm_mremap(thread, scene->mm, 300, scene->n, 5000, scene->n) == 0);
}

static void fork_it(struct vm_thread *thread, void *arg)
{
	const struct scene *scene = arg;
	uint32_t child;

	expect(vm_fork(thread, scene->mm, &child) == 0);
}

static void meet(struct meeting *meeting, uint32_t bits, enum vm_window in, bool no_recheck,
		 void (*act)(struct vm_thread *thread, void *arg))
{
	*meeting = (struct meeting){ .in = in, .act = act };
	scene_init(&meeting->scene, (struct vm_options){ .cluster_bits = bits,
							 .no_recheck = no_recheck,
							 .window = act_in_the_window,
							 .window_arg = meeting });
}

/* The file ends, or has a hole, between a write's look at its page and the copy. */
static void a_copy_rechecks(void **state)
{
	(void)state;
	each_backend (bits, VM_BACKEND_WALKS) {
		struct meeting meeting;
		struct scene *scene = &meeting.scene;
		uint64_t vpn = 300 + 5 * (1ull << *bits);

		meet(&meeting, *bits, VM_WINDOW_FAULT, false, cut);
		expect(tag_at(&scene->world, scene->mm, vpn) > 0);
		meeting.armed = true;
		expect(vm_write(scene->world.thread, scene->mm, vpn, 1, 9) == -ENXIO);
		expect(!meeting.armed);
		world_fini(&scene->world, true);

		meet(&meeting, *bits, VM_WINDOW_FAULT, false, punch);
		expect(tag_at(&scene->world, scene->mm, vpn) > 0);
		meeting.armed = true;
		expect(vm_write(scene->world.thread, scene->mm, vpn, 2, 9) == 0);
		expect(tag_at(&scene->world, scene->mm, vpn) == 0); /* it copied what the hole left */
		world_fini(&scene->world, true);
	}
}

/* The new range comes behind the bulk pass, and its copies are in no count. */
static void a_copy_that_moves_or_is_forked_is_not_missed(void **state)
{
	void (*const acts[])(struct vm_thread *thread, void *arg) = { move, fork_it };

	(void)state;
	each_size (bits)
		for (unsigned i = 0; i < 4; i++) {
			bool no_recheck = i / 2;
			struct meeting meeting;
			struct scene *scene = &meeting.scene;

			meet(&meeting, *bits, VM_WINDOW_RANGE, no_recheck, acts[i % 2]);
			write_tags(&scene->world, scene->mm, 300, scene->n, 700);
			expect(vm_munmap(scene->world.thread, scene->mm, 100, scene->n) == 0);
			meeting.armed = true;
			expect(vm_truncate(scene->world.thread, 0, 2) == 0);
			expect(!meeting.armed);
			expect((vm_check(scene->world.thread) == 0) == !no_recheck);
			vm_thread_destroy(scene->world.thread);
			expect(vm_destroy(scene->world.vm) == 0);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_is_copied),
		cmocka_unit_test(copies_are_swapped_forked_and_moved),
		cmocka_unit_test(every_backend_takes_copies),
		cmocka_unit_test(a_cut_takes_copies_and_a_hole_does_not),
		cmocka_unit_test(a_copy_rechecks),
		cmocka_unit_test(a_copy_that_moves_or_is_forked_is_not_missed),
	};

	return cmocka_run_group_tests_name("private", tests, NULL, NULL);
}
