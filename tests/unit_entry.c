/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * unit_entry.c - model/vm: one entry of an upper table maps a large page, in the place of a table of ptes
 *
 * A page has 16 indexes, as many pieces as a table has ptes. Ptes from ANONYMOUS on are 16 pages of anonymous memory,
 * those from FILE on 16 pages of file 0; both begin a table.
 */
#include "world.h"

#include <errno.h>

#define ANONYMOUS 4096u
#define FILE 8192u
#define ORDER 4u
#define PAGES 16u

/* @armed: when a fault has found the file's page, another thread has the same fault */
struct scene {
	struct world world;
	uint32_t mm;
	uint32_t ptes;
	bool armed;
};

static void fault_first(struct vm_thread *thread, void *arg)
{
	expect(vm_fault(thread, ((struct scene *)arg)->mm, FILE + 3, false) == 0);
}

static void fault_in_the_window(void *arg, enum vm_window where)
{
	struct scene *scene = arg;
	struct beside beside;

	if (!scene->armed || where != VM_WINDOW_FAULT)
		return;
	scene->armed = false;
	beside_begin(&beside, &scene->world, fault_first, scene);
	beside_end(&beside);
}

/* What is at @vpn has the tags from 1 on, and one entry maps it. */
static void scene_init(struct scene *scene, uint32_t bits, uint64_t vpn)
{
	scene->armed = false;
	world_init(&scene->world, (struct vm_options){ .cluster_bits = bits,
						       .folio_order = ORDER,
						       .table_bits = ORDER + bits,
						       .file_pages = PAGES,
						       .window = fault_in_the_window,
						       .window_arg = scene });
	scene->ptes = PAGES * scene->world.pieces;
	scene->mm = new_mm(&scene->world);
	expect(vm_mmap(scene->world.thread, scene->mm, ANONYMOUS, scene->ptes, true, VM_ANONYMOUS, 0) == 0);
	expect(vm_mmap(scene->world.thread, scene->mm, FILE, scene->ptes, true, 0, 0) == 0);
	write_tags(&scene->world, scene->mm, vpn, scene->ptes, 1);
	expect(world_stats(&scene->world).entries == 1 && world_stats(&scene->world).faults == 1);
	expect(vm_mappings(scene->world.thread) == scene->ptes);
	expect(vm_check(scene->world.thread) == 0 && world_stats(&scene->world).entries_split == 0);
}

static void scene_fini(struct scene *scene, uint64_t entries, uint64_t split)
{
	expect(world_stats(&scene->world).entries == entries && world_stats(&scene->world).entries_split == split);
	world_fini(&scene->world, true);
}

#define each_kind(bits, vpn)                                                                                           \
	each_backend (bits, VM_BACKEND_FOLIOS)                                                                         \
		for (uint64_t vpn = ANONYMOUS; vpn <= FILE; vpn += FILE - ANONYMOUS)

static void an_entry_needs_all_of_a_page_in_its_place(void **state)
{
	(void)state;
	each_kind (bits, vpn) {
		struct scene scene;
		struct world *world = &scene.world;
		uint64_t pieces;

		scene_init(&scene, *bits, vpn);
		pieces = world->pieces;
		expect_tags(world, scene.mm, vpn, scene.ptes, 1);
		/* One page less, and one page further. */
		expect(vm_mmap(world->thread, scene.mm, 2 * FILE, 15 * pieces, true, 0, 0) == 0);
		expect(vm_mmap(world->thread, scene.mm, 3 * FILE + pieces, 16 * pieces, true, 0, 0) == 0);
		expect(access_error(world, scene.mm, 2 * FILE) == 0);
		expect(access_error(world, scene.mm, 3 * FILE + pieces) == 0);
		scene_fini(&scene, 1, 0);
	}
}

static void forks_copy_it_whole(void **state)
{
	(void)state;
	each_kind (bits, vpn) {
		struct scene scene;
		struct world *world = &scene.world;
		uint64_t at;
		uint32_t child;

		scene_init(&scene, *bits, vpn);
		at = vpn + 5 * world->pieces;
		child = new_fork(world, scene.mm);
		expect(vm_check(world->thread) == 0 && vm_mappings(world->thread) == 2 * scene.ptes);
		expect(world_stats(world).entries == 2 && world_stats(world).entries_split == 0);
		expect(world_stats(world).duplicates == scene.ptes);
		/* A write to anonymous memory takes the writer's apart, and copies, though a translation allowed it. */
		expect(vm_write(world->thread, scene.mm, at, 1, 900) == 0);
		expect(world_stats(world).copies == (vpn == ANONYMOUS));
		expect(tag_at(world, child, at) == (vpn == ANONYMOUS ? 1 + at - vpn : 900));
		expect(tag_at(world, scene.mm, at) == 900);
		expect(vm_check(world->thread) == 0 && vm_mappings(world->thread) == 2 * scene.ptes);
		expect(vm_exit(world->thread, child) == 0);
		expect(vm_mappings(world->thread) == scene.ptes);
		scene_fini(&scene, 2, vpn == ANONYMOUS);
	}
}

static void what_is_of_all_leaves_it_whole(void **state)
{
	(void)state;
	each_kind (bits, vpn) {
		struct scene scene;
		struct world *world = &scene.world;
		struct vm_statistics before;
		uint64_t word;

		scene_init(&scene, *bits, vpn);
		/* Accesses are seen again, though there were translations for them all. */
		before = world_stats(world);
		expect(vm_age(world->thread, 1) == 1 && vm_age(world->thread, 1) == 1);
		expect(world_stats(world).referenced == before.referenced + 1);
		expect(tag_at(world, scene.mm, vpn + 5) == 6);
		expect(vm_age(world->thread, 1) == 1);
		expect(world_stats(world).referenced == before.referenced + 2);
		expect(vm_deferred_split(world->thread, 4) == 0);
		/* So are writes. */
		for (uint32_t tag = 700; vpn == FILE && tag < 702; tag++) {
			expect(vm_write(world->thread, scene.mm, vpn + 7, 1, tag) == 0);
			expect(vm_write_back(world->thread, 0) == 0);
			expect(vm_disk_word(world->thread, 0, 7, 1, &word) == 0 && vm_word_tag(word) == tag);
		}
		expect(vm_write(world->thread, scene.mm, vpn + 7, 1, 703) == 0);
		expect(world_stats(world).entries_split == 0);
		expect(vm_munmap(world->thread, scene.mm, vpn, scene.ptes) == 0);
		expect(access_error(world, scene.mm, vpn + 5) == -EFAULT && vm_mappings(world->thread) == 0);
		expect(vm_write_back(world->thread, 0) == 0);
		expect(vm_disk_word(world->thread, 0, 7, 1, &word) == 0);
		expect(vm_word_tag(word) == (vpn == FILE ? 703 : 0));
		scene_fini(&scene, 1, 0);
	}
}

enum part { UNMAPPED, PROTECTED, LOCKED, MOVED, MIGRATED, RECLAIMED, CUT, PARTS };

/* @from .. @to: ptes that are there afterwards, where they were. */
static void take_part(struct scene *scene, uint64_t vpn, enum part part, uint64_t *from, uint64_t *to)
{
	struct world *world = &scene->world;
	uint64_t pieces = world->pieces;

	*from = 0;
	*to = scene->ptes;
	switch (part) {
	case UNMAPPED:
		*from = 3 * pieces;
		expect(vm_munmap(world->thread, scene->mm, vpn, *from) == 0);
		return;
	case PROTECTED:
		expect(vm_protect(world->thread, scene->mm, vpn, 3 * pieces, false) == 0);
		expect(vm_write(world->thread, scene->mm, vpn, 1, 0) == -EACCES);
		return;
	case LOCKED:
		expect(vm_mlock(world->thread, scene->mm, vpn, 3 * pieces) == 0);
		return;
	case MOVED:
		*to = 4 * pieces;
		expect(vm_mremap(world->thread, scene->mm, vpn + *to, 2 * pieces, 2 * FILE, 2 * pieces) == 0);
		expect_tags(world, scene->mm, 2 * FILE, 2 * pieces, 1 + (uint32_t)*to);
		return;
	case MIGRATED:
		expect(vm_migrate(world->thread, scene->mm, vpn) == 0);
		return;
	case RECLAIMED:
		vm_age(world->thread, 2);
		expect(vm_reclaim(world->thread, 1) == PAGES);
		return;
	default:
		*to = vpn == FILE ? 5 * pieces : scene->ptes;
		expect(vm_truncate(world->thread, 0, 5) == 0);
	}
}

static void what_is_of_a_part_takes_it_apart(void **state)
{
	(void)state;
	each_kind (bits, vpn)
		for (enum part part = UNMAPPED; part < PARTS; part++) {
			struct scene scene;
			struct world *world = &scene.world;
			bool apart = part != CUT || vpn == FILE;
			uint64_t from, to;

			scene_init(&scene, *bits, vpn);
			take_part(&scene, vpn, part, &from, &to);
			expect(vm_check(world->thread) == 0 && world_stats(world).entries_split == apart);
			expect_tags(world, scene.mm, vpn + from, to - from, 1 + (uint32_t)from);
			world_fini(world, true);
		}
}

/* Mlock has it faulted in, and looks at each pte. */
static void its_mappings_are_locked_as_many(void **state)
{
	(void)state;
	each_kind (bits, vpn) {
		struct scene scene;
		struct world *world = &scene.world;

		scene_init(&scene, *bits, vpn);
		vm_age(world->thread, 2);
		expect(vm_munmap(world->thread, scene.mm, vpn, scene.ptes) == 0);
		expect(vm_mmap(world->thread, scene.mm, vpn, scene.ptes, true, vpn == FILE ? 0 : VM_ANONYMOUS, 0) == 0);
		expect(vm_mlock(world->thread, scene.mm, vpn, scene.ptes) == 0);
		expect(world_stats(world).entries == 2 && world_stats(world).locks == scene.ptes);
		expect(vm_check(world->thread) == 0 && vm_reclaim(world->thread, 1) == 0);
		expect(vm_munlock(world->thread, scene.mm, vpn, scene.ptes) == 0);
		scene_fini(&scene, 2, 1);
	}
}

/* The second of two faults finds it there. */
static void one_of_two_faults_maps_it(void **state)
{
	(void)state;
	each_backend (bits, VM_BACKEND_FOLIOS) {
		struct scene scene;
		struct world *world = &scene.world;

		scene_init(&scene, *bits, FILE);
		expect(vm_munmap(world->thread, scene.mm, FILE, scene.ptes) == 0);
		expect(vm_mmap(world->thread, scene.mm, FILE, scene.ptes, true, 0, 0) == 0);
		scene.armed = true;
		expect(vm_fault(world->thread, scene.mm, FILE + 5, false) == 0);
		expect(!scene.armed && vm_mappings(world->thread) == scene.ptes);
		scene_fini(&scene, 2, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_entry_needs_all_of_a_page_in_its_place),
		cmocka_unit_test(forks_copy_it_whole),
		cmocka_unit_test(what_is_of_all_leaves_it_whole),
		cmocka_unit_test(what_is_of_a_part_takes_it_apart),
		cmocka_unit_test(its_mappings_are_locked_as_many),
		cmocka_unit_test(one_of_two_faults_maps_it),
	};

	return cmocka_run_group_tests_name("entry", tests, NULL, NULL);
}
