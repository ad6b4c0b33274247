/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * unit_large.c - model/vm: pages that have several indexes
 *
 * File 0 has 16 pages in each scene, that are one page if nothing hinders; ptes from AT on map it from its beginning.
 * So are the 16 pages of anonymous memory from ANONYMOUS on. What meets in the middle is done at the windows of vm.h.
 */
#include "world.h"

#include <errno.h>

#define AT 64u
#define ANONYMOUS 4096u
#define PAGES 16u
#define ORDER 4u

/* @armed: at @where, @act is done by another thread; @waits: and is seen to wait there */
struct scene {
	struct world world;
	uint32_t mm;
	uint32_t ptes;
	bool armed;
	bool waits;
	enum vm_window where;
	void (*act)(struct vm_thread *thread, void *arg);
	struct beside beside;
	int result;
};

static void act_in_the_window(void *arg, enum vm_window where)
{
	struct scene *scene = arg;

	if (!scene->armed || where != scene->where)
		return;
	scene->armed = false;
	if (scene->waits) {
		beside_wait(&scene->beside, &scene->world, scene->act, scene);
	} else {
		beside_begin(&scene->beside, &scene->world, scene->act, scene);
		beside_end(&scene->beside);
	}
}

static void scene_init(struct scene *scene, struct vm_options options)
{
	options.folio_order = ORDER;
	options.table_bits = 9;
	options.file_pages = options.file_pages ? options.file_pages : PAGES;
	options.window = act_in_the_window;
	options.window_arg = scene;
	world_init(&scene->world, options);
	scene->ptes = PAGES * scene->world.pieces;
	scene->mm = new_mm(&scene->world);
	expect(vm_mmap(scene->world.thread, scene->mm, AT, scene->ptes, true, 0, 0) == 0);
}

static void meet(struct scene *scene, enum vm_window where, void (*act)(struct vm_thread *thread, void *arg),
		 bool waits)
{
	scene->where = where;
	scene->act = act;
	scene->waits = waits;
	scene->armed = true;
}

/* Ptes of pages [from, to) have the tags that write_tags() gave them from 1 on. */
static void expect_pages(struct scene *scene, uint32_t mm, uint64_t from, uint64_t to)
{
	uint64_t pieces = scene->world.pieces;

	expect_tags(&scene->world, mm, AT + from * pieces, (to - from) * pieces, 1 + (uint32_t)(from * pieces));
}

static void expect_fresh(struct scene *scene, uint64_t from, uint64_t to)
{
	uint64_t pieces = scene->world.pieces;

	for (uint64_t i = from * pieces; i < to * pieces; i++)
		expect(tag_at(&scene->world, scene->mm, AT + i) == 0);
}

/* --- how large, and what of it is mapped ---------------------------------------------------------- */

static void a_fault_makes_the_largest_page_that_fits(void **state)
{
	(void)state;
	each_backend (bits, VM_BACKEND_FOLIOS) {
		struct scene scene = { .armed = false };
		struct world *world = &scene.world;
		struct vm_statistics stats;
		uint32_t pieces;

		/* 16 pages, then 4: larger ones go past the end. */
		scene_init(&scene, (struct vm_options){ .cluster_bits = *bits, .file_pages = 20 });
		pieces = world->pieces;
		expect(vm_mmap(world->thread, scene.mm, AT + scene.ptes, 8 * pieces, true, 0, scene.ptes) == 0);
		expect(piece_at(world, scene.mm, AT + 3 * pieces) == 3 * pieces);
		stats = world_stats(world);
		expect(stats.folios == 1 && stats.faults == 1 && vm_mappings(world->thread) == scene.ptes);
		expect(piece_at(world, scene.mm, AT + scene.ptes + pieces) == scene.ptes + pieces);
		stats = world_stats(world);
		expect(stats.folios == 2 && stats.faults == 2 && vm_mappings(world->thread) == scene.ptes + 4 * pieces);
		expect(access_error(world, scene.mm, AT + scene.ptes + 4 * pieces) == -ENXIO);
		write_tags(world, scene.mm, AT, 20 * pieces, 1);
		expect_pages(&scene, scene.mm, 0, 20);
		world_fini(world, true);

		/* Of 24 frames 17 are in use: so four in a row are free, then two, then one. */
		scene_init(&scene, (struct vm_options){ .cluster_bits = *bits, .frames = 24 });
		expect(vm_mmap(world->thread, scene.mm, 1024, 17 * pieces, true, VM_ANONYMOUS, 0) == 0);
		write_tags(world, scene.mm, 1024, 17 * pieces, 1);
		expect(access_error(world, scene.mm, AT + 5 * pieces) == 0);
		expect(world_stats(world).folios == 2 && vm_mappings(world->thread) == 21 * pieces);
		expect(access_error(world, scene.mm, AT) == 0);
		expect(world_stats(world).folios == 3 && vm_mappings(world->thread) == 23 * pieces);
		expect(access_error(world, scene.mm, AT + 15 * pieces) == 0);
		expect(world_stats(world).folios == 3 && vm_mappings(world->thread) == 24 * pieces);
		world_fini(world, true);
	}
}

/* Vmas begin and end inside a page; and all that changes ptes does it to some of them. */
static void parts_are_mapped_as_vmas_like(void **state)
{
	(void)state;
	each_backend (bits, VM_BACKEND_FOLIOS) {
		struct scene scene = { .armed = false };
		struct world *world = &scene.world;
		uint32_t other, child, pieces;

		scene_init(&scene, (struct vm_options){ .cluster_bits = *bits });
		pieces = world->pieces;
		other = new_mm(world);
		write_tags(world, scene.mm, AT, scene.ptes, 1);
		expect(vm_mmap(world->thread, other, AT + 3 * pieces, 5 * pieces, true, 0, 3 * pieces) == 0);
		expect(vm_mmap_private(world->thread, other, 1024, scene.ptes, true, 0, 0) == 0);
		expect(vm_mmap(world->thread, other, 2000, 4 * pieces, true, 0, 0) == 0);
		expect(vm_remap_file_pages(world->thread, other, 2000, 2, 9 * pieces) == 0);
		expect_pages(&scene, other, 3, 8);
		expect(tag_at(world, other, 2001) == 9 * pieces + 2);
		expect(vm_check(world->thread) == 0);

		expect(vm_write(world->thread, other, 1024 + 6 * pieces, 1, 999) == 0);
		expect(tag_at(world, scene.mm, AT + 6 * pieces) == 6 * pieces + 1);
		expect(tag_at(world, other, 1024 + 6 * pieces) == 999);
		expect(tag_at(world, other, 1024 + 7 * pieces) == 7 * pieces + 1);
		expect(world_stats(world).private_copies == 1 && vm_check(world->thread) == 0);

		expect(vm_munmap(world->thread, scene.mm, AT + 2 * pieces, 4 * pieces) == 0);
		expect(vm_mremap(world->thread, scene.mm, AT + 8 * pieces, 2 * pieces, 3000, 2 * pieces) == 0);
		expect(vm_mlock(world->thread, scene.mm, AT + 12 * pieces, 2 * pieces) == 0);
		expect(vm_protect(world->thread, scene.mm, AT, pieces, false) == 0);
		expect(vm_check(world->thread) == 0);
		child = new_fork(world, scene.mm);
		expect(vm_check(world->thread) == 0);
		expect_pages(&scene, child, 0, 2);
		expect_pages(&scene, child, 6, 8);
		expect_tags(world, child, 3000, 2 * pieces, 1 + 8 * pieces);
		expect_pages(&scene, child, 10, 16);
		expect(vm_write(world->thread, child, AT, 1, 5) == -EACCES);
		expect(world_stats(world).folios == 1 && vm_check(world->thread) == 0);
		world_fini(world, true);
	}
}

/* --- as a whole ------------------------------------------------------------------------------------ */

static uint32_t disk_tag(struct scene *scene, uint64_t piece)
{
	uint64_t word;

	expect(vm_disk_word(scene->world.thread, 0, piece, 1, &word) == 0);
	return vm_word_tag(word);
}

static void reclaim_migration_and_write_back_are_of_all_of_a_page(void **state)
{
	(void)state;
	each_backend (bits, VM_BACKEND_FOLIOS) {
		struct scene scene = { .armed = false };
		struct world *world = &scene.world;
		uint32_t child;

		scene_init(&scene, (struct vm_options){ .cluster_bits = *bits });
		write_tags(world, scene.mm, AT, scene.ptes, 1);
		child = new_fork(world, scene.mm);
		expect(vm_anon_split(world->thread, scene.mm, AT) == -ENOENT);
		expect(vm_migrate(world->thread, child, AT + scene.ptes / 2) == 0);
		expect(world_stats(world).migrated == 1 && vm_mappings(world->thread) == 2 * scene.ptes);
		expect(vm_check(world->thread) == 0);
		expect_pages(&scene, scene.mm, 0, PAGES);
		expect_pages(&scene, child, 0, PAGES);

		expect(vm_write_back(world->thread, 0) == 0 && world_stats(world).written_back == 1);
		for (uint32_t i = 0; i < scene.ptes; i++)
			expect(disk_tag(&scene, i) == 1 + i);

		write_tags(world, child, AT + scene.ptes - 1, 1, 77);
		vm_age(world->thread, 10);
		expect(vm_reclaim(world->thread, 1) == PAGES);
		expect(vm_mappings(world->thread) == 0 && disk_tag(&scene, scene.ptes - 1) == 77);
		expect(tag_at(world, scene.mm, AT + scene.ptes - 1) == 77);
		expect_pages(&scene, child, 0, PAGES - 1);

		expect(vm_mlock(world->thread, child, AT + 1, 1) == 0);
		expect(vm_migrate(world->thread, scene.mm, AT) == -EPERM);
		expect(vm_reclaim(world->thread, 1) == 0);
		world_fini(world, true);
	}
}

/* --- split ----------------------------------------------------------------------------------------- */

static void a_split_makes_halves(void **state)
{
	(void)state;
	each_backend (bits, VM_BACKEND_FOLIOS) {
		struct scene scene = { .armed = false };
		struct world *world = &scene.world;
		uint32_t pieces;

		scene_init(&scene, (struct vm_options){ .cluster_bits = *bits });
		pieces = world->pieces;
		expect(vm_folio_split(world->thread, 0, 3) == -ENOENT);
		expect(vm_folio_split(world->thread, 99, 3) == -EINVAL);
		write_tags(world, scene.mm, AT, scene.ptes, 1);
		expect(vm_mlock(world->thread, scene.mm, AT + 2 * pieces, pieces) == 0);
		expect(vm_folio_split(world->thread, 0, 13) == 0);
		expect(vm_check(world->thread) == 0 && vm_mappings(world->thread) == 0);
		expect(tag_at(world, scene.mm, AT + 13 * pieces) == 13 * pieces + 1);
		expect(vm_mappings(world->thread) == scene.ptes / 2);
		for (unsigned i = 0; i < 3; i++)
			expect(vm_folio_split(world->thread, 0, 0) == 0);
		expect(vm_folio_split(world->thread, 0, 0) == -ENOENT);
		expect(vm_folio_split(world->thread, 0, 16) == -ENOENT);
		expect_pages(&scene, scene.mm, 0, PAGES);
		/* Its pages are 0, 1, 2 and 3, 4 to 7, 8 to 15. */
		expect(vm_munmap(world->thread, scene.mm, AT, scene.ptes) == 0);
		expect(vm_mmap(world->thread, scene.mm, AT, scene.ptes, true, 0, 0) == 0);
		expect(access_error(world, scene.mm, AT + pieces) == 0 && vm_mappings(world->thread) == pieces);
		expect(access_error(world, scene.mm, AT + 2 * pieces) == 0 && vm_mappings(world->thread) == 3 * pieces);
		expect(access_error(world, scene.mm, AT + 4 * pieces) == 0 && vm_mappings(world->thread) == 7 * pieces);
		expect(world_stats(world).splits == 4 && world_stats(world).unsplit == 0);
		vm_age(world->thread, 100);
		expect(vm_reclaim(world->thread, PAGES) == PAGES);
		expect_pages(&scene, scene.mm, 0, PAGES);
		world_fini(world, true);
	}
}

/* Of all kinds of mappings, some of which no walk names. */
static void map_all_kinds(struct scene *scene)
{
	struct world *world = &scene->world;
	uint32_t pieces = world->pieces, other = new_mm(world);

	write_tags(world, scene->mm, AT, scene->ptes, 1);
	expect(vm_mmap(world->thread, other, 1024, 4 * pieces, true, 0, 0) == 0);
	expect(vm_remap_file_pages(world->thread, other, 1024, 1, 3 * pieces) == 0);
	expect(vm_remap_file_pages(world->thread, other, 1025, 1, 11 * pieces) == 0);
	expect(vm_mlock(world->thread, scene->mm, AT + 2 * pieces, pieces) == 0);
	expect(vm_mlock(world->thread, other, 1024, 2) == 0);
}

static void cut_once(const struct vm_options *options, bool punches)
{
	struct scene scene = { .armed = false };
	struct world *world = &scene.world;

	scene_init(&scene, *options);
	map_all_kinds(&scene);
	if (punches)
		expect(vm_punch(world->thread, 0, 5, 9) == 0);
	else
		expect(vm_truncate(world->thread, 0, 5) == 0);
	expect(vm_check(world->thread) == 0 && world_stats(world).lock_violations == 0);
	/* 16 to 8 and 8; 8 to 4 and 4; 4 to 2 and 2; 2 to 1 and 1; and 8 behind the hole's end to 4, 2 */
	expect(world_stats(world).splits == (punches ? 6 : 4) && world_stats(world).unsplit == 0);
	expect_pages(&scene, scene.mm, 0, 5);
	if (punches) {
		expect_pages(&scene, scene.mm, 10, PAGES);
		expect_fresh(&scene, 5, 10);
	} else {
		expect(access_error(world, scene.mm, AT + 5 * world->pieces) == -ENXIO);
		expect(vm_truncate(world->thread, 0, PAGES) == 0);
		expect_fresh(&scene, 5, PAGES);
	}
	expect(tag_at(world, scene.mm + 1, 1024) == 1 + 3 * world->pieces);
	world_fini(world, true);
}

static void a_truncate_into_its_middle_splits_a_page(void **state)
{
	(void)state;
	each_backend (bits, VM_BACKEND_FOLIOS)
		for (int strategy = RMAP_COMBINED; strategy <= RMAP_TOLERATE; strategy++)
			for (int i = 0; i < 8; i++)
				cut_once(&(struct vm_options){ .cluster_bits = *bits,
							       .strategy = strategy,
							       .semantics = i & 1 ? RMAP_RELIABLE : RMAP_FAILABLE,
							       .locks = i & 2 ? VM_LOCKS_2003 : VM_LOCKS_TODAY },
					 i & 4);
}

static void what_is_behind_a_collapsed_range_moves(void **state)
{
	(void)state;
	each_backend (bits, VM_BACKEND_FOLIOS) {
		struct scene scene = { .armed = false };
		struct world *world = &scene.world;
		uint32_t pieces;

		scene_init(&scene, (struct vm_options){ .cluster_bits = *bits });
		pieces = world->pieces;
		write_tags(world, scene.mm, AT, scene.ptes, 1);
		expect(vm_collapse(world->thread, 0, 3, 5) == 0);
		expect(world_stats(world).cleared == 13 * pieces && vm_check(world->thread) == 0);
		expect_pages(&scene, scene.mm, 0, 3);
		expect_tags(world, scene.mm, AT + 3 * pieces, 10 * pieces, 1 + 6 * pieces);
		expect(access_error(world, scene.mm, AT + 13 * pieces) == -ENXIO);
		world_fini(world, true);
	}
}

/* --- a split that cannot be ------------------------------------------------------------------------- */

static void cut_to_five(struct vm_thread *thread, void *arg)
{
	((struct scene *)arg)->result = vm_truncate(thread, 0, 5);
}

static void split_it(struct vm_thread *thread, void *arg)
{
	((struct scene *)arg)->result = vm_folio_split(thread, 0, 0);
}

/* Makes one page of all, which nobody maps, dirty. */
static void make_unmapped(struct scene *scene)
{
	write_tags(&scene->world, scene->mm, AT, scene->ptes, 1);
	expect(vm_munmap(scene->world.thread, scene->mm, AT, scene->ptes) == 0);
	expect(vm_mmap(scene->world.thread, scene->mm, AT, scene->ptes, true, 0, 0) == 0);
}

/* A fault has found the page, and may yet map it. */
static void a_refused_split_is_told_and_nothing_is_lost(void **state)
{
	(void)state;
	each_backend (bits, VM_BACKEND_FOLIOS) {
		struct scene scene = { .armed = false };
		struct world *world = &scene.world;

		scene_init(&scene, (struct vm_options){ .cluster_bits = *bits });
		make_unmapped(&scene);
		meet(&scene, VM_WINDOW_FAULT, cut_to_five, false);
		expect(access_error(world, scene.mm, AT) == 0);
		expect(scene.result == -EAGAIN && world_stats(world).splits == 0 && world_stats(world).unsplit > 0);
		expect(world_stats(world).restarts == 1 && world_stats(world).leftovers > 0);
		/* It maps no more of the page than the file has. */
		expect(vm_check(world->thread) == 0 && vm_mappings(world->thread) == 5 * world->pieces);
		expect(access_error(world, scene.mm, AT + 5 * world->pieces) == -ENXIO);
		expect(vm_truncate(world->thread, 0, PAGES) == -EBUSY);
		expect_pages(&scene, scene.mm, 0, 5);
		expect(vm_truncate(world->thread, 0, 5) == 0 && world_stats(world).splits == 4);
		expect(vm_truncate(world->thread, 0, PAGES) == 0);
		expect_pages(&scene, scene.mm, 0, 5);
		expect_fresh(&scene, 5, PAGES);

		make_unmapped(&scene);
		meet(&scene, VM_WINDOW_FAULT, split_it, false);
		expect(access_error(world, scene.mm, AT) == 0 && scene.result == -EAGAIN);
		expect_pages(&scene, scene.mm, 0, PAGES);
		world_fini(world, true);
	}
}

/* What such a page has past the end does not come back from the disk, nor is what is before it lost there. */
static void what_was_not_split_is_evicted_in_two_ways(void **state)
{
	(void)state;
	each_backend (bits, VM_BACKEND_FOLIOS) {
		struct scene scene = { .armed = false };
		struct world *world = &scene.world;

		scene_init(&scene, (struct vm_options){ .cluster_bits = *bits });
		make_unmapped(&scene);
		meet(&scene, VM_WINDOW_FAULT, cut_to_five, false);
		expect(access_error(world, scene.mm, AT) == 0 && scene.result == -EAGAIN);
		vm_age(world->thread, 10);
		expect(vm_reclaim(world->thread, 1) == PAGES && vm_check(world->thread) == 0);
		expect(vm_truncate(world->thread, 0, PAGES) == 0);
		expect_pages(&scene, scene.mm, 0, 5);
		expect_fresh(&scene, 5, PAGES);
		world_fini(world, true);
	}
}

static void a_reliable_truncate_waits_for_who_has_the_page(void **state)
{
	(void)state;
	each_backend (bits, VM_BACKEND_FOLIOS) {
		struct scene scene = { .armed = false };
		struct world *world = &scene.world;

		scene_init(&scene, (struct vm_options){ .cluster_bits = *bits, .semantics = RMAP_RELIABLE });
		make_unmapped(&scene);
		meet(&scene, VM_WINDOW_FAULT, cut_to_five, true);
		expect(access_error(world, scene.mm, AT) == 0);
		beside_end(&scene.beside);
		expect(scene.result == 0 && world_stats(world).splits == 4);
		expect_pages(&scene, scene.mm, 0, 5);
		world_fini(world, true);
	}
}

static void read_first(struct vm_thread *thread, void *arg)
{
	struct scene *scene = arg;
	uint64_t word;

	scene->result = vm_read(thread, scene->mm, AT, 1, &word);
	expect(scene->result || vm_word_tag(word) == 1);
}

/* Whether that had the page in hand for a moment, when it was to be split, is chance. */
static void a_fault_waits_for_a_split(void **state)
{
	(void)state;
	each_backend (bits, VM_BACKEND_FOLIOS) {
		struct scene scene = { .armed = false };
		int split;

		scene_init(&scene, (struct vm_options){ .cluster_bits = *bits });
		write_tags(&scene.world, scene.mm, AT, scene.ptes, 1);
		meet(&scene, VM_WINDOW_SPLIT, read_first, true);
		split = vm_folio_split(scene.world.thread, 0, 0);
		beside_end(&scene.beside);
		expect(scene.result == 0 && (split == 0 || split == -EAGAIN));
		expect_pages(&scene, scene.mm, 0, PAGES);
		world_fini(&scene.world, true);
	}
}

static void write_copy(struct vm_thread *thread, void *arg)
{
	struct scene *scene = arg;

	scene->result = vm_write(thread, scene->mm, 1024 + 6 * scene->world.pieces, 1, 9);
}

/* A write to a private mapping of what is in the hole waits for that, and does not keep the page meanwhile. */
static void who_waits_for_a_hole_does_not_keep_a_page_from_its_split(void **state)
{
	(void)state;
	each_backend (bits, VM_BACKEND_FOLIOS) {
		struct scene scene = { .armed = false };
		struct world *world = &scene.world;

		scene_init(&scene, (struct vm_options){ .cluster_bits = *bits, .semantics = RMAP_RELIABLE });
		write_tags(world, scene.mm, AT, scene.ptes, 1);
		expect(vm_mmap_private(world->thread, scene.mm, 1024, scene.ptes, true, 0, 0) == 0);
		expect(tag_at(world, scene.mm, 1024 + 6 * world->pieces) == 1 + 6 * world->pieces);
		meet(&scene, VM_WINDOW_RANGE, write_copy, true);
		expect(vm_punch(world->thread, 0, 5, 9) == 0);
		beside_end(&scene.beside);
		expect(scene.result == 0 && tag_at(world, scene.mm, 1024 + 6 * world->pieces) == 9);
		expect(tag_at(world, scene.mm, 1024 + 7 * world->pieces) == 0);
		expect_pages(&scene, scene.mm, 10, PAGES);
		world_fini(world, true);
	}
}

/* --- collapse --------------------------------------------------------------------------------------- */

/* All in memory and dirty, in pages of one index each. */
static void make_small(struct scene *scene)
{
	write_tags(&scene->world, scene->mm, AT, scene->ptes, 1);
	for (uint64_t i = 0; i < PAGES; i++)
		while (vm_folio_split(scene->world.thread, 0, i) == 0)
			continue;
	expect_pages(scene, scene->mm, 0, PAGES);
}

static void small_pages_become_one(void **state)
{
	(void)state;
	each_backend (bits, VM_BACKEND_FOLIOS) {
		struct scene scene = { .armed = false };
		struct world *world = &scene.world;
		uint64_t faults;

		scene_init(&scene, (struct vm_options){ .cluster_bits = *bits });
		make_small(&scene);
		expect(world_stats(world).splits == PAGES - 1);
		expect(vm_folio_collapse(world->thread, 0, 6, 3) == 0);
		expect(vm_check(world->thread) == 0);
		expect(vm_folio_collapse(world->thread, 0, 0, 2) == -ENOENT);
		expect(vm_folio_collapse(world->thread, 0, 16, 2) == -ENOENT);
		expect(vm_folio_collapse(world->thread, 0, 0, 0) == -EINVAL);
		expect(vm_folio_collapse(world->thread, 0, 0, ORDER + 1) == -EINVAL);
		expect(vm_folio_collapse(world->thread, 99, 0, 1) == -EINVAL);
		expect_pages(&scene, scene.mm, 0, PAGES);

		/* What is on the disk alone is read; all is written there again. */
		expect(vm_punch(world->thread, 0, 9, 12) == 0);
		expect(vm_folio_collapse(world->thread, 0, 3, 4) == 0);
		faults = world_stats(world).faults;
		expect_pages(&scene, scene.mm, 0, 9);
		expect_fresh(&scene, 9, 13);
		expect_pages(&scene, scene.mm, 13, PAGES);
		expect(world_stats(world).faults == faults + 1 && world_stats(world).collapses == 2);
		expect(vm_write_back(world->thread, 0) == 0 && disk_tag(&scene, 0) == 1);
		world_fini(world, true);
	}
}

static void collapse_it(struct vm_thread *thread, void *arg)
{
	((struct scene *)arg)->result = vm_folio_collapse(thread, 0, 0, ORDER);
}

static void a_collapse_gives_way(void **state)
{
	(void)state;
	each_backend (bits, VM_BACKEND_FOLIOS) {
		struct scene scene = { .armed = false };
		struct world *world = &scene.world;

		scene_init(&scene, (struct vm_options){ .cluster_bits = *bits, .frames = 34 });
		make_small(&scene);
		expect(vm_mlock(world->thread, scene.mm, AT, 1) == 0);
		expect(vm_folio_collapse(world->thread, 0, 0, ORDER) == -EPERM);
		expect(vm_munlock(world->thread, scene.mm, AT, 1) == 0);
		expect_pages(&scene, scene.mm, 0, PAGES);

		expect(vm_munmap(world->thread, scene.mm, AT + scene.ptes - 1, 1) == 0);
		expect(vm_mmap(world->thread, scene.mm, AT + scene.ptes - 1, 1, true, 0, scene.ptes - 1) == 0);
		meet(&scene, VM_WINDOW_FAULT, collapse_it, false);
		expect_pages(&scene, scene.mm, PAGES - 1, PAGES);
		expect(!scene.armed && scene.result == -EAGAIN && world_stats(world).uncollapsed == 1);
		expect(vm_check(world->thread) == 0);
		expect_pages(&scene, scene.mm, 0, PAGES);

		expect(vm_mmap(world->thread, scene.mm, 1024, 4 * world->pieces, true, VM_ANONYMOUS, 0) == 0);
		write_tags(world, scene.mm, 1024, 4 * world->pieces, 1);
		expect(vm_folio_collapse(world->thread, 0, 0, ORDER) == -ENOMEM);
		expect(vm_munmap(world->thread, scene.mm, 1024, 4 * world->pieces) == 0);
		expect(vm_folio_collapse(world->thread, 0, 0, ORDER) == 0);
		expect_pages(&scene, scene.mm, 0, PAGES);
		world_fini(world, true);
	}
}

/* What the file loses in the meantime is in no page of it. */
static void a_collapse_sees_the_end(void **state)
{
	(void)state;
	each_backend (bits, VM_BACKEND_FOLIOS) {
		struct scene scene = { .armed = false };
		struct world *world = &scene.world;

		scene_init(&scene, (struct vm_options){ .cluster_bits = *bits });
		make_small(&scene);
		expect(vm_punch(world->thread, 0, 5, 15) == 0);
		meet(&scene, VM_WINDOW_COLLAPSE, cut_to_five, false);
		expect(vm_folio_collapse(world->thread, 0, 0, ORDER) == -EAGAIN);
		expect(scene.result == 0 && vm_check(world->thread) == 0);
		expect_pages(&scene, scene.mm, 0, 5);
		expect(access_error(world, scene.mm, AT + 5 * world->pieces) == -ENXIO);
		world_fini(world, true);
	}
}

/* --- anonymous memory --------------------------------------------------------------------------------- */

/* All of it in memory, in one page, with the tags from 1 on. */
static void anonymous_init(struct scene *scene, struct vm_options options)
{
	scene_init(scene, options);
	expect(vm_mmap(scene->world.thread, scene->mm, ANONYMOUS, scene->ptes, true, VM_ANONYMOUS, 0) == 0);
	write_tags(&scene->world, scene->mm, ANONYMOUS, scene->ptes, 1);
	expect(world_stats(&scene->world).folios == 1 && world_stats(&scene->world).faults == 1);
	expect(vm_mappings(scene->world.thread) == scene->ptes);
}

static void expect_anonymous(struct scene *scene, uint32_t mm, uint64_t from, uint64_t to)
{
	uint64_t pieces = scene->world.pieces;

	expect_tags(&scene->world, mm, ANONYMOUS + from * pieces, (to - from) * pieces, 1 + (uint32_t)(from * pieces));
}

static int unmap_pages(struct scene *scene, uint32_t mm, uint64_t from, uint64_t to)
{
	uint64_t pieces = scene->world.pieces;

	return vm_munmap(scene->world.thread, mm, ANONYMOUS + from * pieces, (to - from) * pieces);
}

static void anonymous_memory_comes_as_large_as_its_vma(void **state)
{
	(void)state;
	each_backend (bits, VM_BACKEND_FOLIOS) {
		struct scene scene = { .armed = false };
		struct world *world = &scene.world;
		uint64_t pieces, at;

		anonymous_init(&scene, (struct vm_options){ .cluster_bits = *bits });
		pieces = world->pieces;
		at = 2 * ANONYMOUS;
		expect(vm_mmap(world->thread, scene.mm, at + 3 * pieces, 7 * pieces, true, VM_ANONYMOUS, 0) == 0);
		expect(tag_at(world, scene.mm, at + 5 * pieces) == 0);
		expect(vm_mappings(world->thread) == scene.ptes + 4 * pieces);
		expect(tag_at(world, scene.mm, at + 3 * pieces) == 0);
		expect(vm_mappings(world->thread) == scene.ptes + 5 * pieces);
		expect(tag_at(world, scene.mm, at + 9 * pieces) == 0);
		expect(vm_mappings(world->thread) == scene.ptes + 7 * pieces && world_stats(world).folios == 3);
		world_fini(world, true);

		/* What is there already is not had twice. */
		anonymous_init(&scene, (struct vm_options){ .cluster_bits = *bits });
		expect(vm_mmap(world->thread, scene.mm, at + 4 * pieces, 2 * pieces, true, VM_ANONYMOUS, 0) == 0);
		expect(tag_at(world, scene.mm, at + 4 * pieces) == 0);
		at += 4 * pieces;
		expect(vm_mremap(world->thread, scene.mm, at, 2 * pieces, at, 4 * pieces) == 0);
		expect(tag_at(world, scene.mm, at + 3 * pieces) == 0);
		expect(vm_mappings(world->thread) == scene.ptes + 4 * pieces && world_stats(world).folios == 3);
		expect(vm_deferred_split(world->thread, 100) == 0);
		world_fini(world, true);
	}
}

static void one_index_is_copied_on_write(void **state)
{
	(void)state;
	each_backend (bits, VM_BACKEND_FOLIOS) {
		struct scene scene = { .armed = false };
		struct world *world = &scene.world;
		uint64_t pieces;
		uint32_t child;

		anonymous_init(&scene, (struct vm_options){ .cluster_bits = *bits });
		pieces = world->pieces;
		child = new_fork(world, scene.mm);
		expect(vm_mappings(world->thread) == 2 * scene.ptes);
		write_tags(world, scene.mm, ANONYMOUS + 5 * pieces, pieces, 900);
		expect(world_stats(world).copies == 1 && vm_check(world->thread) == 0);
		expect_anonymous(&scene, child, 0, PAGES);
		expect_tags(world, scene.mm, ANONYMOUS + 5 * pieces, pieces, 900);
		expect_anonymous(&scene, scene.mm, 0, 5);
		expect_anonymous(&scene, scene.mm, 6, PAGES);
		/* With the child gone nobody else maps what is left of it. */
		expect(vm_exit(world->thread, child) == 0);
		write_tags(world, scene.mm, ANONYMOUS + 6 * pieces, pieces, 901);
		expect(world_stats(world).copies == 1 && world_stats(world).reuses == 1);
		write_tags(world, scene.mm, ANONYMOUS + 7 * pieces, pieces, 902);
		expect(world_stats(world).reuses == 1);
		world_fini(world, true);
	}
}

static void its_frames_are_swapped_and_moved_together(void **state)
{
	(void)state;
	each_backend (bits, VM_BACKEND_FOLIOS) {
		struct scene scene = { .armed = false };
		struct world *world = &scene.world;
		uint32_t child;

		anonymous_init(&scene, (struct vm_options){ .cluster_bits = *bits });
		child = new_fork(world, scene.mm);
		expect(vm_migrate(world->thread, child, ANONYMOUS + scene.ptes / 2) == 0);
		expect(vm_check(world->thread) == 0 && vm_mappings(world->thread) == 2 * scene.ptes);
		expect_anonymous(&scene, scene.mm, 0, PAGES);
		expect(unmap_pages(&scene, child, 3, 5) == 0);
		vm_age(world->thread, 10);
		expect(vm_reclaim(world->thread, 1) == PAGES && world_stats(world).swap_outs == 1);
		expect(vm_check(world->thread) == 0 && vm_mappings(world->thread) == 0);
		expect_anonymous(&scene, scene.mm, 0, PAGES);
		expect_anonymous(&scene, child, 0, 3);
		expect_anonymous(&scene, child, 5, PAGES);
		world_fini(world, true);

		/* There are no slots for all of it. */
		anonymous_init(&scene, (struct vm_options){ .cluster_bits = *bits, .swap_slots = PAGES - 1 });
		vm_age(world->thread, 10);
		expect(vm_reclaim(world->thread, 1) == 0 && vm_check(world->thread) == 0);
		expect_anonymous(&scene, scene.mm, 0, PAGES);
		world_fini(world, true);
	}
}

static void a_split_gives_back_what_nobody_maps(void **state)
{
	(void)state;
	each_backend (bits, VM_BACKEND_FOLIOS) {
		struct scene scene = { .armed = false };
		struct world *world = &scene.world;
		uint32_t child;

		anonymous_init(&scene, (struct vm_options){ .cluster_bits = *bits });
		child = new_fork(world, scene.mm);
		expect(vm_deferred_split(world->thread, 10) == 0);
		expect(unmap_pages(&scene, scene.mm, 0, 7) == 0);
		expect(unmap_pages(&scene, child, 7, PAGES) == 0);
		/* Each maps a part, and there is none that nobody does. */
		expect(vm_deferred_split(world->thread, 10) == 0 && world_stats(world).splits == 0);
		expect(vm_exit(world->thread, child) == 0);
		expect(vm_deferred_split(world->thread, 10) == 7);
		expect(world_stats(world).splits == 1 && world_stats(world).given_back == 7);
		expect(vm_check(world->thread) == 0 && vm_mappings(world->thread) == 9 * world->pieces);
		expect_anonymous(&scene, scene.mm, 7, PAGES);
		expect(vm_anon_split(world->thread, scene.mm, ANONYMOUS + 7 * world->pieces) == -ENOENT);
		expect(vm_anon_split(world->thread, scene.mm, ANONYMOUS) == -EFAULT);
		expect(vm_anon_split(world->thread, 99, ANONYMOUS) == -ESRCH);
		world_fini(world, true);
	}
}

static void what_cannot_be_split_stays_as_it_is(void **state)
{
	(void)state;
	each_backend (bits, VM_BACKEND_FOLIOS) {
		struct scene scene = { .armed = false };
		struct world *world = &scene.world;

		anonymous_init(&scene, (struct vm_options){ .cluster_bits = *bits, .frames = 2 * PAGES - 1 });
		expect(vm_mlock(world->thread, scene.mm, ANONYMOUS, 1) == 0);
		expect(vm_anon_split(world->thread, scene.mm, ANONYMOUS) == -EPERM);
		expect(vm_munlock(world->thread, scene.mm, ANONYMOUS, 1) == 0);
		expect(vm_anon_split(world->thread, scene.mm, ANONYMOUS) == -ENOMEM);
		expect(vm_check(world->thread) == 0 && world_stats(world).unsplit == 2);
		expect(world_stats(world).splits == 0 && vm_mappings(world->thread) == scene.ptes);
		expect_anonymous(&scene, scene.mm, 0, PAGES);
		/* One that nobody maps needs no frame. */
		expect(unmap_pages(&scene, scene.mm, 4, 5) == 0);
		expect(vm_anon_split(world->thread, scene.mm, ANONYMOUS) == 0);
		expect_anonymous(&scene, scene.mm, 0, 4);
		expect_anonymous(&scene, scene.mm, 5, PAGES);
		world_fini(world, true);
	}
}

static void unmap_four(struct vm_thread *thread, void *arg)
{
	struct scene *scene = arg;

	scene->result = vm_munmap(thread, scene->mm, ANONYMOUS, 4 * scene->world.pieces);
}

static void fork_it(struct vm_thread *thread, void *arg)
{
	struct scene *scene = arg;
	uint32_t child;

	scene->result = vm_fork(thread, scene->mm, &child);
}

/* A munmap does not wait for it, and a fork does. */
static void a_split_meets_munmaps_and_forks(void **state)
{
	(void)state;
	each_backend (bits, VM_BACKEND_FOLIOS) {
		struct scene scene = { .armed = false };
		struct world *world = &scene.world;

		anonymous_init(&scene, (struct vm_options){ .cluster_bits = *bits });
		meet(&scene, VM_WINDOW_MOVING, unmap_four, false);
		expect(vm_anon_split(world->thread, scene.mm, ANONYMOUS) == 0);
		expect(scene.result == 0 && vm_check(world->thread) == 0);
		expect(vm_mappings(world->thread) == 12 * world->pieces);
		expect_anonymous(&scene, scene.mm, 4, PAGES);
		world_fini(world, true);

		anonymous_init(&scene, (struct vm_options){ .cluster_bits = *bits });
		meet(&scene, VM_WINDOW_MOVING, fork_it, true);
		expect(vm_anon_split(world->thread, scene.mm, ANONYMOUS) == 0);
		beside_end(&scene.beside);
		expect(scene.result == 0 && vm_mappings(world->thread) == 2 * scene.ptes);
		expect_anonymous(&scene, scene.mm, 0, PAGES);
		expect_anonymous(&scene, scene.mm + 1, 0, PAGES);
		world_fini(world, true);
	}
}

static void other_backends_have_none(void **state)
{
	struct vm *vm;

	(void)state;
	for (const struct vm_backend *const *backend = vm_backends; *backend; backend++) {
		const struct vm_options options = { .size = sizeof(options), .backend = *backend, .folio_order = 1 };
		bool has = vm_backend_traits(*backend) & VM_BACKEND_FOLIOS;

		expect(vm_create(&options, &vm) == (has ? 0 : -ENOTSUP));
		expect(!has || vm_destroy(vm) == 0);
	}
	expect(vm_create(&(struct vm_options){ .size = sizeof(struct vm_options),
					       .folio_order = VM_FOLIO_ORDER_MAX + 1 },
			 &vm) == -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_fault_makes_the_largest_page_that_fits),
		cmocka_unit_test(parts_are_mapped_as_vmas_like),
		cmocka_unit_test(reclaim_migration_and_write_back_are_of_all_of_a_page),
		cmocka_unit_test(a_split_makes_halves),
		cmocka_unit_test(a_truncate_into_its_middle_splits_a_page),
		cmocka_unit_test(what_is_behind_a_collapsed_range_moves),
		cmocka_unit_test(a_refused_split_is_told_and_nothing_is_lost),
		cmocka_unit_test(what_was_not_split_is_evicted_in_two_ways),
		cmocka_unit_test(a_reliable_truncate_waits_for_who_has_the_page),
		cmocka_unit_test(a_fault_waits_for_a_split),
		cmocka_unit_test(who_waits_for_a_hole_does_not_keep_a_page_from_its_split),
		cmocka_unit_test(small_pages_become_one),
		cmocka_unit_test(a_collapse_gives_way),
		cmocka_unit_test(a_collapse_sees_the_end),
		cmocka_unit_test(anonymous_memory_comes_as_large_as_its_vma),
		cmocka_unit_test(one_index_is_copied_on_write),
		cmocka_unit_test(its_frames_are_swapped_and_moved_together),
		cmocka_unit_test(a_split_gives_back_what_nobody_maps),
		cmocka_unit_test(what_cannot_be_split_stays_as_it_is),
		cmocka_unit_test(a_split_meets_munmaps_and_forks),
		cmocka_unit_test(other_backends_have_none),
	};

	return cmocka_run_group_tests_name("large", tests, NULL, NULL);
}
