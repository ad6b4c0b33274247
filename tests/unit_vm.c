/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * unit_vm.c - model/vm: each operation by itself, its contents, its errors, and the whole checked after each test
 *
 * Tests run on every backend that can do what they are about, and with pages of one piece and of sixteen, where
 * mappings begin and end inside pages on purpose. What a test expects of contents is what a sequential VM gives;
 * vm_check() compares page tables and reverse map at its end. One option is known to be bad, and its test expects that
 * this is noticed.
 */
#include "world.h"

#include <errno.h>
#include <lock.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- mappings --------------------------------------------------------------------------------- */

static void anonymous_memory_keeps_what_is_written(void **state)
{
	(void)state;
	each_backend (bits, 0) {
		struct world world;
		uint32_t mm;

		world_init(&world, (struct vm_options){ .cluster_bits = *bits });
		mm = new_mm(&world);
		expect(vm_mmap(world.thread, mm, 101, 70, true, VM_ANONYMOUS, 0) == 0);
		for (uint64_t vpn = 101; vpn < 171; vpn++)
			expect(tag_at(&world, mm, vpn) == 0);
		write_tags(&world, mm, 101, 70, 1);
		expect_tags(&world, mm, 101, 70, 1);
		world_fini(&world, true);
	}
}

static void errors_are_told(void **state)
{
	(void)state;
	each_backend (bits, 0) {
		struct world world;
		uint64_t word;
		uint32_t mm;

		world_init(&world, (struct vm_options){ .cluster_bits = *bits, .file_pages = 8 });
		mm = new_mm(&world);
		expect(vm_read(world.thread, mm + 1, 100, 0, &word) == -ESRCH);
		expect(vm_read(world.thread, mm, 100, 0, &word) == -EFAULT);
		expect(vm_mmap(world.thread, mm, 1, 1, false, 0, 0) == -EINVAL);
		expect(vm_mmap(world.thread, mm, 100, 4, false, 77, 0) == -EINVAL);
		expect(vm_mmap(world.thread, mm, 100, 4, false, 0, 8 * world.pieces - 2) == 0);
		expect(vm_mmap(world.thread, mm, 103, 4, false, 0, 0) == -EEXIST);
		expect(vm_read(world.thread, mm, 101, 0, &word) == 0);
		expect(vm_read(world.thread, mm, 102, 0, &word) == -ENXIO);
		expect(vm_write(world.thread, mm, 101, 0, 1) == -EACCES);
		expect(vm_protect(world.thread, mm, 100, 9, true) == -EFAULT);
		expect(vm_mlock(world.thread, mm, 99, 2) == -EFAULT);
		expect(vm_remap_file_pages(world.thread, mm, 101, 4, 0) == -EFAULT);
		if (world.traits & VM_BACKEND_MIGRATES)
			expect(vm_migrate(world.thread, mm, 100) == 0 || *bits == 0);
		else
			expect(vm_migrate(world.thread, mm, 100) == -ENOTSUP);
		expect(vm_truncate(world.thread, 0, 9) == -EINVAL);
		world_fini(&world, true);
	}
}

static void files_are_shared(void **state)
{
	(void)state;
	each_backend (bits, 0) {
		struct world world;
		uint64_t word;
		uint32_t a, b;

		world_init(&world, (struct vm_options){ .cluster_bits = *bits });
		a = new_mm(&world);
		b = new_mm(&world);
		expect(vm_mmap(world.thread, a, 100, 50, true, 2, 3) == 0);
		expect(vm_mmap(world.thread, b, 217, 50, false, 2, 7) == 0);
		write_tags(&world, a, 100, 50, 1000);
		expect_tags(&world, b, 217, 46, 1004);
		expect(piece_at(&world, b, 217) == 7);
		expect(vm_write_back(world.thread, 2) == 0);
		for (uint64_t i = 0; i < 50; i++) {
			expect(vm_disk_word(world.thread, 2, 3 + i, 1, &word) == 0);
			expect(vm_word_tag(word) == 1000 + i && vm_word_offset(word) == 3 + i);
		}
		world_fini(&world, true);
	}
}

static void write_back_sees_all_writes(void **state)
{
	(void)state;
	each_backend (bits, 0) {
		struct world world;
		uint64_t word;
		uint32_t mm;

		world_init(&world, (struct vm_options){ .cluster_bits = *bits });
		mm = new_mm(&world);
		expect(vm_mmap(world.thread, mm, 100, 8, true, 0, 0) == 0);
		expect(vm_mlock(world.thread, mm, 103, 1) == 0);
		for (uint32_t round = 1; round < 4; round++) {
			write_tags(&world, mm, 100, 8, 10 * round);
			expect(vm_write_back(world.thread, 0) == 0);
			for (uint64_t i = 0; i < 8; i++) {
				expect(vm_disk_word(world.thread, 0, i, 1, &word) == 0);
				expect(vm_word_tag(word) == 10 * round + i);
			}
		}
		world_fini(&world, true);
	}
}

static void unmapping_a_part_keeps_the_rest(void **state)
{
	(void)state;
	each_backend (bits, 0) {
		struct world world;
		uint32_t mm;

		world_init(&world, (struct vm_options){ .cluster_bits = *bits });
		mm = new_mm(&world);
		expect(vm_mmap(world.thread, mm, 100, 60, true, VM_ANONYMOUS, 0) == 0);
		expect(vm_mmap(world.thread, mm, 160, 50, true, 1, 5) == 0);
		write_tags(&world, mm, 100, 110, 1);
		expect(vm_munmap(world.thread, mm, 150, 27) == 0);
		expect(vm_munmap(world.thread, mm, 110, 1) == 0);
		expect_tags(&world, mm, 100, 10, 1);
		expect(access_error(&world, mm, 110) == -EFAULT);
		expect_tags(&world, mm, 111, 39, 12);
		expect(access_error(&world, mm, 150) == -EFAULT && access_error(&world, mm, 176) == -EFAULT);
		expect_tags(&world, mm, 177, 33, 78);
		expect(vm_check(world.thread) == 0);
		expect(vm_mmap(world.thread, mm, 110, 1, true, VM_ANONYMOUS, 0) == 0);
		expect(tag_at(&world, mm, 110) == 0);
		expect(vm_mmap(world.thread, mm, 150, 27, true, 1, 0) == 0);
		expect_tags(&world, mm, 155, 10, 61);
		world_fini(&world, true);
	}
}

static void protection_splits(void **state)
{
	(void)state;
	each_backend (bits, 0) {
		struct world world;
		uint32_t mm;

		world_init(&world, (struct vm_options){ .cluster_bits = *bits });
		mm = new_mm(&world);
		expect(vm_mmap(world.thread, mm, 100, 40, true, VM_ANONYMOUS, 0) == 0);
		expect(vm_mmap(world.thread, mm, 140, 40, true, 0, 0) == 0);
		write_tags(&world, mm, 100, 80, 1);
		expect(vm_protect(world.thread, mm, 120, 40, false) == 0);
		expect(vm_write(world.thread, mm, 119, 1, 20) == 0);
		expect(vm_write(world.thread, mm, 120, 1, 9) == -EACCES);
		expect(vm_write(world.thread, mm, 159, 1, 9) == -EACCES);
		expect_tags(&world, mm, 100, 80, 1);
		expect(vm_protect(world.thread, mm, 130, 20, true) == 0);
		write_tags(&world, mm, 130, 20, 500);
		expect_tags(&world, mm, 130, 20, 500);
		world_fini(&world, true);
	}
}

static void fork_copies_on_write(void **state)
{
	(void)state;
	each_backend (bits, 0) {
		struct world world;
		struct vm_statistics stats;
		uint32_t mm, child, grandchild;

		world_init(&world, (struct vm_options){ .cluster_bits = *bits });
		mm = new_mm(&world);
		expect(vm_mmap(world.thread, mm, 105, 40, true, VM_ANONYMOUS, 0) == 0);
		write_tags(&world, mm, 105, 40, 1);
		child = new_fork(&world, mm);
		expect_tags(&world, child, 105, 40, 1);
		expect(world_stats(&world).copies == 0);
		write_tags(&world, child, 110, 5, 300);
		grandchild = new_fork(&world, child);
		write_tags(&world, child, 110, 5, 400);
		expect_tags(&world, mm, 105, 40, 1);
		expect_tags(&world, child, 110, 5, 400);
		expect_tags(&world, grandchild, 110, 5, 300);
		expect_tags(&world, grandchild, 115, 30, 11);
		expect(vm_check(world.thread) == 0);
		expect(vm_exit(world.thread, mm) == 0 && vm_exit(world.thread, child) == 0);
		stats = world_stats(&world);
		write_tags(&world, grandchild, 105, 40, 700);
		expect_tags(&world, grandchild, 105, 40, 700);
		expect(world_stats(&world).copies == stats.copies && world_stats(&world).reuses > stats.reuses);
		world_fini(&world, true);
	}
}

static void mremap_moves_grows_and_shrinks(void **state)
{
	(void)state;
	each_backend (bits, 0) {
		struct world world;
		uint32_t mm;

		world_init(&world, (struct vm_options){ .cluster_bits = *bits });
		mm = new_mm(&world);
		expect(vm_mmap(world.thread, mm, 100, 40, true, VM_ANONYMOUS, 0) == 0);
		expect(vm_mmap(world.thread, mm, 140, 40, true, 0, 0) == 0);
		write_tags(&world, mm, 100, 80, 1);
		expect(vm_mremap(world.thread, mm, 100, 80, 1000, 80) == -EFAULT);
		expect(vm_mremap(world.thread, mm, 110, 20, 1003, 25) == 0);
		expect(vm_mremap(world.thread, mm, 150, 10, 2003, 10) == 0);
		expect(access_error(&world, mm, 110) == -EFAULT && access_error(&world, mm, 159) == -EFAULT);
		expect_tags(&world, mm, 100, 10, 1);
		expect_tags(&world, mm, 1003, 20, 11);
		expect(tag_at(&world, mm, 1027) == 0 && access_error(&world, mm, 1028) == -EFAULT);
		expect_tags(&world, mm, 2003, 10, 51);
		expect(vm_check(world.thread) == 0);
		expect(vm_mremap(world.thread, mm, 100, 10, 100, 20) == 0);
		expect(tag_at(&world, mm, 119) == 0);
		expect(vm_check(world.thread) == 0);
		expect(vm_mremap(world.thread, mm, 100, 20, 100, 5) == 0);
		expect(access_error(&world, mm, 105) == -EFAULT);
		expect(vm_mremap(world.thread, mm, 100, 5, 100, 500) == -EEXIST);
		expect(vm_mmap(world.thread, mm, 5000, 4, true, VM_ANONYMOUS, 0) == 0);
		write_tags(&world, mm, 5000, 4, 200);
		expect(vm_mremap(world.thread, mm, 5000, 4, 5000, 40) == 0);
		write_tags(&world, mm, 5004, 36, 204);
		expect(vm_check(world.thread) == 0);
		expect_tags(&world, mm, 5000, 40, 200);
		expect_tags(&world, mm, 100, 5, 1);
		world_fini(&world, true);
	}
}

static void nonlinear_mappings_are_where_they_were_put(void **state)
{
	(void)state;
	each_backend (bits, VM_BACKEND_WALKS) {
		struct world world;
		uint32_t mm, child;

		world_init(&world, (struct vm_options){ .cluster_bits = *bits });
		mm = new_mm(&world);
		expect(vm_mmap(world.thread, mm, 100, 48, true, 0, 0) == 0);
		write_tags(&world, mm, 100, 48, 1);
		for (uint64_t i = 0; i < 48; i++)
			expect(vm_remap_file_pages(world.thread, mm, 100 + i, 1, 47 - i) == 0);
		for (uint64_t i = 0; i < 48; i++)
			expect(tag_at(&world, mm, 100 + i) == 48 - i && piece_at(&world, mm, 100 + i) == 47 - i);
		expect((world_stats(&world).nonlinear > 0) == !(world.traits & VM_BACKEND_SPLITS));
		child = new_fork(&world, mm);
		expect(vm_reclaim(world.thread, 100) > 0 || vm_reclaim(world.thread, 100) > 0);
		/* An mremap is of one vma. */
		for (uint64_t i = 0, n = world.traits & VM_BACKEND_SPLITS ? 1 : 20; i < 20; i += n)
			expect(vm_mremap(world.thread, mm, 110 + i, n, 3001 + i, n) == 0);
		for (uint64_t i = 0; i < 48; i++) {
			expect(tag_at(&world, child, 100 + i) == 48 - i);
			expect(tag_at(&world, mm, (i < 10 || i >= 30 ? 100 : 2991) + i) == 48 - i);
		}
		world_fini(&world, true);
	}
}

/* --- reclaim ---------------------------------------------------------------------------------- */

static void more_memory_than_frames(void **state)
{
	(void)state;
	each_backend (bits, VM_BACKEND_WALKS) {
		struct world world;
		uint32_t mm, child;
		uint64_t n;

		world_init(&world, (struct vm_options){ .cluster_bits = *bits, .frames = 20, .file_pages = 30 });
		n = 35 * world.pieces;
		mm = new_mm(&world);
		expect(vm_mmap(world.thread, mm, 103, n, true, VM_ANONYMOUS, 0) == 0);
		expect(vm_mmap(world.thread, mm, 5000, 30 * world.pieces, true, 1, 0) == 0);
		write_tags(&world, mm, 103, n, 1);
		write_tags(&world, mm, 5000, 30 * world.pieces, 7000);
		child = new_fork(&world, mm);
		write_tags(&world, child, 103, 30, 9000);
		expect_tags(&world, mm, 103, n, 1);
		expect_tags(&world, child, 133, n - 30, 31);
		expect_tags(&world, child, 103, 30, 9000);
		expect_tags(&world, child, 5000, 30 * world.pieces, 7000);
		expect(world_stats(&world).swap_outs > 0 && world_stats(&world).swap_ins > 0);
		expect(vm_exit(world.thread, mm) == 0);
		expect_tags(&world, child, 133, n - 30, 31);
		world_fini(&world, true);
	}
}

static void locked_memory_stays(void **state)
{
	(void)state;
	each_backend (bits, VM_BACKEND_WALKS) {
		struct world world;
		uint64_t faults;
		uint32_t mm;
		int refusal;

		world_init(&world, (struct vm_options){ .cluster_bits = *bits });
		mm = new_mm(&world);
		expect(vm_mmap(world.thread, mm, 100, 32, true, VM_ANONYMOUS, 0) == 0);
		expect(vm_mmap(world.thread, mm, 132, 32, true, 0, 0) == 0);
		write_tags(&world, mm, 100, 64, 1);
		expect(vm_remap_file_pages(world.thread, mm, 140, 4, 20) == 0);
		expect(vm_mlock(world.thread, mm, 100, 64) == 0);
		expect(vm_check(world.thread) == 0);
		vm_reclaim(world.thread, 100);
		refusal = world.traits & VM_BACKEND_MIGRATES ? -EPERM : -ENOTSUP;
		expect(vm_migrate(world.thread, mm, 100) == refusal && vm_migrate(world.thread, mm, 140) == refusal);
		faults = world_stats(&world).faults;
		expect_tags(&world, mm, 100, 40, 1);
		expect_tags(&world, mm, 140, 4, 53);
		expect(world_stats(&world).faults == faults);
		expect(vm_munlock(world.thread, mm, 110, 45) == 0);
		expect(vm_check(world.thread) == 0);
		expect(vm_munlock(world.thread, mm, 100, 64) == 0);
		expect(vm_age(world.thread, 200) > 0);
		expect(vm_reclaim(world.thread, 100) > 0);
		expect_tags(&world, mm, 100, 40, 1);
		expect(tag_at(&world, mm, 141) == 54 && piece_at(&world, mm, 141) == 21);
		world_fini(&world, true);
	}
}

static void pages_migrate(void **state)
{
	(void)state;
	each_backend (bits, VM_BACKEND_MIGRATES) {
		struct world world;
		uint32_t mm;

		world_init(&world, (struct vm_options){ .cluster_bits = *bits });
		mm = new_mm(&world);
		expect(vm_mmap(world.thread, mm, 100, 20, true, VM_ANONYMOUS, 0) == 0);
		expect(vm_mmap(world.thread, mm, 120, 20, true, 0, 0) == 0);
		write_tags(&world, mm, 100, 40, 1);
		expect(vm_migrate(world.thread, mm, 101) == 0 && vm_migrate(world.thread, mm, 121) == 0);
		expect(vm_migrate(world.thread, mm, 101) == 0);
		expect_tags(&world, mm, 100, 40, 1);
		expect(world_stats(&world).migrated == 3 && world_stats(&world).swap_outs == 0);
		expect(vm_compact(world.thread, 12) > 0);
		expect_tags(&world, mm, 100, 40, 1);
		world_fini(&world, true);
	}
}

static void aging_sees_accesses(void **state)
{
	(void)state;
	each_backend (bits, VM_BACKEND_WALKS) {
		struct world world;
		struct vm_statistics stats;
		uint32_t mm;

		world_init(&world, (struct vm_options){ .cluster_bits = *bits });
		mm = new_mm(&world);
		expect(vm_mmap(world.thread, mm, 96, 64, true, VM_ANONYMOUS, 0) == 0);
		write_tags(&world, mm, 96, 64, 1);
		expect(vm_age(world.thread, 1000) == 1000);
		stats = world_stats(&world);
		expect(stats.referenced == 64 / world.pieces);
		expect(tag_at(&world, mm, 100) == 5);
		expect(vm_age(world.thread, 1000) == 1000);
		expect(world_stats(&world).referenced == stats.referenced + 1);
		world_fini(&world, true);
	}
}

/* --- truncate --------------------------------------------------------------------------------- */

/* Mappings of all kinds of pages 2 and 3 of file 0: linear, nonlinear; @locked: both kinds of those, too. */
static uint32_t map_all_kinds(struct world *world, bool locked)
{
	uint32_t mm = new_mm(world), other = new_mm(world);
	uint32_t pieces = world->pieces;

	expect(vm_mmap(world->thread, mm, 101, 8 * pieces - 1, true, 0, 1) == 0);
	write_tags(world, mm, 101, 8 * pieces - 1, 1);
	expect(vm_mmap(world->thread, other, 1003, 8 * pieces, false, 0, 0) == 0);
	expect(vm_remap_file_pages(world->thread, other, 1004, 1, 3 * pieces) == 0);
	expect(vm_remap_file_pages(world->thread, other, 1003, 1, 2 * pieces + pieces / 2) == 0);
	if (locked) {
		expect(vm_mlock(world->thread, mm, 101 + 2 * pieces, 3) == 0);
		expect(vm_mlock(world->thread, other, 1003, 1) == 0);
	}
	return mm;
}

struct truncation {
	enum rmap_strategy strategy;
	enum rmap_semantics semantics;
	enum vm_lock_order locks;
	bool locked;
};

/* Which of them leave the locked nonlinear mapping. */
static bool leaves(const struct truncation *truncation)
{
	return truncation->locked && truncation->semantics == RMAP_FAILABLE &&
	       (truncation->strategy == RMAP_CLEANUP || truncation->strategy == RMAP_UNMAP);
}

/* Which of them drop the page with the nonlinear mapping. */
static bool makes_orphans(const struct truncation *truncation)
{
	bool tolerates = truncation->locked && truncation->strategy == RMAP_TOLERATE;
	bool misses = *world_backend && vm_backend_traits(*world_backend) & VM_BACKEND_ORPHANS;

	return truncation->semantics == RMAP_FAILABLE && (tolerates || misses);
}

static void truncate_once(const struct truncation *truncation, uint32_t bits)
{
	bool orphans = makes_orphans(truncation);
	uint32_t mm, child, pieces;
	struct world world;
	uint64_t word;

	world_init(&world, (struct vm_options){ .cluster_bits = bits,
						.file_pages = 8,
						.locks = truncation->locks,
						.strategy = truncation->strategy,
						.semantics = truncation->semantics });
	pieces = world.pieces;
	mm = map_all_kinds(&world, truncation->locked);
	expect(vm_truncate(world.thread, 0, 2) == (leaves(truncation) ? -EAGAIN : 0));
	expect(vm_check(world.thread) == 0);
	expect((world_stats(&world).leftovers > 0) ==
	       (leaves(truncation) || (orphans && !(world.traits & VM_BACKEND_ORPHANS))));
	expect((world_stats(&world).orphans > 0) == orphans);
	expect_tags(&world, mm, 101, 2 * pieces - 1, 1);
	expect(access_error(&world, mm, 100 + 2 * pieces) == -ENXIO);
	if (leaves(truncation) || orphans) {
		expect(tag_at(&world, mm + 1, 1003) == 2 * pieces + pieces / 2);
		child = new_fork(&world, mm + 1); /* gets no mapping of it */
		expect(access_error(&world, child, 1003) == -ENXIO);
		expect(vm_truncate(world.thread, 0, 8) == (orphans ? 0 : -EBUSY));
		expect(vm_exit(world.thread, mm + 1) == 0);
		expect(vm_truncate(world.thread, 0, 2) == 0);
	} else {
		expect(access_error(&world, mm + 1, 1003) == -ENXIO);
	}
	expect(vm_truncate(world.thread, 0, 8) == 0);
	expect(vm_disk_word(world.thread, 0, 2 * pieces, 1, &word) == 0 && vm_word_tag(word) == 0);
	for (uint64_t i = 2 * pieces; i < 8 * pieces; i++)
		expect(tag_at(&world, mm, 100 + i) == 0);
	expect(world_stats(&world).lock_violations == 0);
	world_fini(&world, true);
}

/* But for librmap, whose strategies have the next test, each has one way to truncate. */
static void truncate_by_every_backend(void **state)
{
	(void)state;
	each_backend (bits, VM_BACKEND_WALKS) {
		if (vm_backend_traits(*world_backend) & VM_BACKEND_CHOICES)
			continue;
		for (int semantics = RMAP_FAILABLE; semantics <= RMAP_RELIABLE; semantics++)
			for (int locked = 0; locked < 2; locked++)
				truncate_once(&(struct truncation){ .semantics = semantics, .locked = locked }, *bits);
	}
}

static void truncate_by_every_strategy(void **state)
{
	(void)state;
	each_backend (bits, VM_BACKEND_CHOICES)
		for (int strategy = RMAP_COMBINED; strategy <= RMAP_TOLERATE; strategy++)
			for (int semantics = RMAP_FAILABLE; semantics <= RMAP_RELIABLE; semantics++)
				for (int locks = VM_LOCKS_TODAY; locks <= VM_LOCKS_2003; locks++)
					for (int locked = 0; locked < 2; locked++)
						truncate_once(
							&(struct truncation){ strategy, semantics, locks, locked },
							*bits);
}

static void holes_are_fresh(void **state)
{
	(void)state;
	each_backend (bits, VM_BACKEND_WALKS) {
		struct world world;
		bool orphans = vm_backend_traits(*world_backend) & VM_BACKEND_ORPHANS;
		uint32_t mm, pieces;

		world_init(&world, (struct vm_options){ .cluster_bits = *bits,
							.file_pages = 8,
							.semantics = orphans ? RMAP_RELIABLE : RMAP_FAILABLE });
		pieces = world.pieces;
		mm = map_all_kinds(&world, true);
		expect(vm_write_back(world.thread, 0) == 0);
		expect(vm_punch(world.thread, 0, 2, 3) == 0);
		expect(vm_check(world.thread) == 0);
		expect_tags(&world, mm, 101, 2 * pieces - 1, 1);
		for (uint64_t i = 2 * pieces; i < 4 * pieces; i++)
			expect(tag_at(&world, mm, 100 + i) == 0);
		expect_tags(&world, mm, 100 + 4 * pieces, 4 * pieces, 4 * pieces);
		expect(tag_at(&world, mm + 1, 1003) == 0 && piece_at(&world, mm + 1, 1003) == 2 * pieces + pieces / 2);
		world_fini(&world, true);
	}
}

/* A collapse of what is before takes up what a failable truncate left, past the end; and that does not come to life. */
static void what_was_left_is_fresh_when_the_file_grows_again(void **state)
{
	(void)state;
	each_backend (bits, VM_BACKEND_CHOICES) {
		struct world world;
		uint64_t at;
		uint32_t mm;

		world_init(&world, (struct vm_options){ .cluster_bits = *bits,
							.file_pages = 8,
							.strategy = RMAP_CLEANUP });
		at = 6 * world.pieces;
		mm = new_mm(&world);
		expect(vm_mmap(world.thread, mm, 100, 8 * world.pieces, true, 0, 0) == 0);
		expect(vm_remap_file_pages(world.thread, mm, 100, 1, at) == 0);
		write_tags(&world, mm, 100, 1, 9);
		expect(vm_mlock(world.thread, mm, 100, 1) == 0);
		expect(vm_truncate(world.thread, 0, 4) == -EAGAIN);
		expect(vm_munmap(world.thread, mm, 100, 1) == 0);
		expect(vm_collapse(world.thread, 0, 1, 1) == 0);
		expect(vm_check(world.thread) == 0);
		expect(vm_truncate(world.thread, 0, 8) == 0);
		expect(tag_at(&world, mm, 100 + at) == 0);
		world_fini(&world, true);
	}
}

/* --- locks ------------------------------------------------------------------------------------ */

/* Each pair of locks is taken in one order only: ThreadSanitizer watches, too. */
static void the_order_of_locks_is_checked(void **state)
{
	struct vm_checker checker = { .order = &vm_order_2003, .report_only = true };
	struct vm_held held = { .checker = &checker };
	struct vm_lock page, other_page, pte, pte2, chain;

	(void)state;
	if (!VM_LOCK_CHECK)
		test_not_run("build", "without checks nobody looks at locks");
	vm_lock_init(&page, VM_CLASS_PAGE);
	vm_lock_init(&other_page, VM_CLASS_PAGE);
	vm_lock_init(&pte, VM_CLASS_PTE);
	vm_lock_init(&pte2, VM_CLASS_PTE);
	vm_lock_init(&chain, VM_CLASS_CHAIN);
	vm_lock(&held, &page);
	vm_lock_two(&held, &pte, &pte2);
	vm_unlock_two(&held, &pte, &pte2);
	vm_lock_two(&held, &pte, &pte);
	vm_unlock_two(&held, &pte, &pte);
	vm_lock(&held, &chain);
	expect(vm_trylock(&held, &pte)); /* a try is exempt */
	vm_unlock(&held, &chain);
	vm_unlock(&held, &page);
	expect(checker.violations == 0);
	vm_lock(&held, &other_page); /* above the pte lock */
	expect(checker.violations == 1);
	expect(!vm_trylock(&held, &pte)); /* has it */
	expect(checker.violations == 2);
	vm_unlock(&held, &other_page);
	vm_unlock(&held, &pte);
	checker.order = &vm_order_today;
	expect(vm_trylock(&held, &chain)); /* has no such class */
	expect(checker.violations == 3);
	vm_unlock(&held, &chain);
	expect(vm_holds_nothing(&held));
	vm_lock_fini(&page);
	vm_lock_fini(&other_page);
	vm_lock_fini(&pte);
	vm_lock_fini(&pte2);
	vm_lock_fini(&chain);
}

static void a_violation_aborts(void **state)
{
	pid_t child;
	int status;

	(void)state;
	if (!VM_LOCK_CHECK)
		test_not_run("build", "without checks nobody looks at locks");
	child = fork();
	expect(child >= 0);
	if (child == 0) {
		struct vm_checker checker = { .order = &vm_order_today };
		struct vm_held held = { .checker = &checker };
		struct vm_lock page, pte;

		signal(SIGABRT, SIG_DFL);
		vm_lock_init(&page, VM_CLASS_PAGE);
		vm_lock_init(&pte, VM_CLASS_PTE);
		vm_lock(&held, &pte);
		vm_lock(&held, &page);
		_exit(0);
	}
	expect(waitpid(child, &status, 0) == child);
	expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static void waiting_in_the_order_of_2003_is_reported(void **state)
{
	(void)state;
	if (TSAN)
		test_not_run("build", "ThreadSanitizer reports the inversion itself, and stops");
	if (!VM_LOCK_CHECK)
		test_not_run("build", "without checks nobody looks at locks");
	for (int locks = VM_LOCKS_TODAY; locks <= VM_LOCKS_2003_BLOCKING; locks++) {
		struct world world;
		uint32_t mm;

		world_init(&world, (struct vm_options){ .locks = locks, .strategy = RMAP_SEARCH, .report_only = true });
		mm = new_mm(&world);
		expect(vm_mmap(world.thread, mm, 100, 4, true, 0, 0) == 0);
		write_tags(&world, mm, 100, 4, 1);
		expect(vm_truncate(world.thread, 0, 2) == 0);
		expect(world_stats(&world).lock_violations == 0);
		expect(vm_reclaim(world.thread, 1) + vm_reclaim(world.thread, 1) > 0);
		expect((world_stats(&world).lock_violations > 0) == (locks == VM_LOCKS_2003_BLOCKING));
		world_fini(&world, true);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(anonymous_memory_keeps_what_is_written),
		cmocka_unit_test(errors_are_told),
		cmocka_unit_test(files_are_shared),
		cmocka_unit_test(write_back_sees_all_writes),
		cmocka_unit_test(unmapping_a_part_keeps_the_rest),
		cmocka_unit_test(protection_splits),
		cmocka_unit_test(fork_copies_on_write),
		cmocka_unit_test(mremap_moves_grows_and_shrinks),
		cmocka_unit_test(nonlinear_mappings_are_where_they_were_put),
		cmocka_unit_test(more_memory_than_frames),
		cmocka_unit_test(locked_memory_stays),
		cmocka_unit_test(pages_migrate),
		cmocka_unit_test(aging_sees_accesses),
		cmocka_unit_test(truncate_by_every_backend),
		cmocka_unit_test(truncate_by_every_strategy),
		cmocka_unit_test(holes_are_fresh),
		cmocka_unit_test(what_was_left_is_fresh_when_the_file_grows_again),
		cmocka_unit_test(the_order_of_locks_is_checked),
		cmocka_unit_test(a_violation_aborts),
		cmocka_unit_test(waiting_in_the_order_of_2003_is_reported),
	};

	return cmocka_run_group_tests_name("vm", tests, NULL, NULL);
}
