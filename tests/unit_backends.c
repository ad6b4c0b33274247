/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * unit_backends.c - model/vm: what each reverse map is known for, good and bad
 *
 * That all of them work is what unit_vm.c and its like say, which run on each. Here stands what tells them apart:
 * memory a mapping, what a walk looks at, and the weaknesses that they were argued about.
 */
#include "world.h"

#include <errno.h>
#include <string.h>

static const struct vm_backend *backend(const char *name)
{
	for (unsigned i = 0; vm_backends[i]; i++)
		if (strcmp(vm_backend_name(vm_backends[i]), name) == 0)
			return vm_backends[i];
	expect(!"there is such a backend");
	return NULL;
}

static void begin(struct world *world, const char *name, struct vm_options options)
{
	options.backend = backend(name);
	world_init(world, options);
}

static size_t part_bytes(struct world *world, unsigned part)
{
	struct vm_bytes bytes;

	vm_bytes(world->vm, &bytes);
	expect(part < bytes.n);
	return bytes.parts[part].bytes;
}

static struct vm_bytes all_bytes(struct world *world)
{
	struct vm_bytes bytes;
	size_t sum = 0;

	vm_bytes(world->vm, &bytes);
	for (size_t i = 0; i < bytes.n; i++)
		sum += bytes.parts[i].bytes;
	expect(bytes.total == sum && bytes.peak >= bytes.total);
	return bytes;
}

/* One page of file 0, linearly, by @n vmas of one pte, from vpn 100 on. */
static uint32_t map_often(struct world *world, unsigned n)
{
	uint32_t mm = new_mm(world);

	for (unsigned i = 0; i < n; i++) {
		expect(vm_mmap(world->thread, mm, 100 + 2 * i, 1, true, 0, 0) == 0);
		expect(access_error(world, mm, 100 + 2 * i) == 0);
	}
	return mm;
}

static uint64_t visits(struct world *world)
{
	return world_stats(world).visits;
}

/*
 * Of one look at each of so many pages, none of which was looked at before: those that are seen accessed change lists.
 */
static uint64_t visits_to_age(struct world *world, uint32_t pages)
{
	uint64_t before = visits(world);

	for (uint32_t i = 0; i < pages; i++)
		expect(vm_age(world->thread, 1) == 1);
	return visits(world) - before;
}

/* --- what they cannot do ---------------------------------------------------------------------- */

static void what_is_not_there_is_refused(void **state)
{
	const struct vm_options refused[] = {
		{ .locks = VM_LOCKS_2003 },
		{ .strategy = RMAP_UNMAP },
		{ .flush = VM_FLUSH_LATE },
		{ .reclaim = RMAP_RECLAIM_BLOCKING },
		{ .far = 8 },
	};

	(void)state;
	for (unsigned b = 1; vm_backends[b]; b++) {
		bool migrates = vm_backend_traits(vm_backends[b]) & VM_BACKEND_MIGRATES;
		bool chooses = vm_backend_traits(vm_backends[b]) & VM_BACKEND_CHOICES;

		for (unsigned i = 0; i < LENGTH(refused); i++) {
			struct vm_options options = refused[i];
			struct vm *vm = NULL;

			options.size = sizeof(options);
			options.backend = vm_backends[b];
			if ((options.far && migrates) || (!options.far && !options.flush && chooses))
				continue;
			expect(vm_create(&options, &vm) == -ENOTSUP && !vm);
		}
	}
}

static void null_finds_nothing_and_says_so(void **state)
{
	struct world world;
	uint32_t mm;

	(void)state;
	begin(&world, "null", (struct vm_options){ .frames = 16 });
	expect(!(world.traits & VM_BACKEND_WALKS));
	mm = new_mm(&world);
	expect(vm_mmap(world.thread, mm, 100, 20, true, 0, 0) == 0);
	expect(vm_truncate(world.thread, 0, 2) == -ENOTSUP);
	expect(vm_punch(world.thread, 0, 2, 2) == -ENOTSUP);
	expect(vm_collapse(world.thread, 0, 2, 2) == -ENOTSUP);
	write_tags(&world, mm, 100, 16, 1);
	expect(vm_reclaim(world.thread, 16) == 0);
	expect(access_error(&world, mm, 117) == -ENOMEM);
	expect_tags(&world, mm, 100, 16, 1);
	expect(visits(&world) == 0);
	expect(vm_munmap(world.thread, mm, 100, 20) == 0);
	expect(vm_reclaim(world.thread, 16) == 16);
	expect(vm_truncate(world.thread, 0, 2) == 0);
	world_fini(&world, true);
}

/* --- memory ----------------------------------------------------------------------------------- */

/* 70 mappings of a page: ten lines of 2.5. Others count them. */
static void a_chain_costs_by_the_mapping(void **state)
{
	static const char *const names[] = { "ptechain", "objrmap", "anobjrmap" };

	(void)state;
	for (unsigned i = 0; i < LENGTH(names); i++) {
		struct world world;
		size_t before, bytes;

		begin(&world, names[i], (struct vm_options){ .size = 0 });
		map_often(&world, 1);
		before = part_bytes(&world, 0);
		for (unsigned j = 0; j < 10; j++)
			map_often(&world, 70);
		bytes = part_bytes(&world, 0) - before;
		/* The chain of 701 entries has 101 lines. A slab has 63, and 32 at most are in hand. */
		expect(i == 0 ? bytes >= 4096 : bytes == 0);
		expect(all_bytes(&world).total > 0);
		world_fini(&world, true);
	}
}

/* A fork of a thousand anonymous ptes: all are chained again, or a count is bumped. */
static void a_fork_costs_a_chain_or_nothing(void **state)
{
	static const char *const names[] = { "ptechain", "objrmap", "anobjrmap", "hybrid", "hybrid-addresses" };

	(void)state;
	for (unsigned i = 0; i < LENGTH(names); i++) {
		struct world world;
		size_t before;
		uint32_t mm;

		begin(&world, names[i], (struct vm_options){ .frames = 1100, .table_bits = 9 });
		mm = new_mm(&world);
		expect(vm_mmap(world.thread, mm, 100, 1000, true, VM_ANONYMOUS, 0) == 0);
		write_tags(&world, mm, 100, 1000, 1);
		before = part_bytes(&world, 0);
		new_fork(&world, mm);
		if (i < 2)
			expect(part_bytes(&world, 0) - before >= (1000 - 64) * 64);
		else
			expect(part_bytes(&world, 0) == before);
		world_fini(&world, true);
	}
}

/* The same of nonlinear ptes of a file: a pte has an element of its own, and an address is there already. */
static void a_fork_of_nonlinear_mappings_costs_elements_or_nothing(void **state)
{
	static const char *const names[] = { "hybrid", "hybrid-clusters", "hybrid-addresses", "anobjrmap" };

	(void)state;
	for (unsigned i = 0; i < LENGTH(names); i++) {
		struct world world;
		size_t before;
		uint32_t mm;

		begin(&world, names[i], (struct vm_options){ .frames = 1100, .file_pages = 1000 });
		mm = new_mm(&world);
		expect(vm_mmap(world.thread, mm, 100, 1000, true, 0, 0) == 0);
		for (uint64_t j = 0; j < 1000; j++) {
			expect(vm_remap_file_pages(world.thread, mm, 100 + j, 1, (j + 1) % 1000) == 0);
			expect(access_error(&world, mm, 100 + j) == 0);
		}
		before = part_bytes(&world, 0);
		new_fork(&world, mm);
		/* A block for two: 32 bytes, some of which were in hand. */
		expect(i < 2 ? part_bytes(&world, 0) - before >= 16384 : part_bytes(&world, 0) == before);
		world_fini(&world, true);
	}
}

/* Of mlocked memory the parent has no elements that the child's could be units of. */
static void a_fork_of_locked_memory_makes_elements(void **state)
{
	struct world world;
	uint32_t mm, child;

	(void)state;
	begin(&world, "hybrid-addresses", (struct vm_options){ .frames = 1100 });
	mm = new_mm(&world);
	expect(vm_mmap(world.thread, mm, 100, 1000, true, VM_ANONYMOUS, 0) == 0);
	expect(vm_mlock(world.thread, mm, 100, 1000) == 0);
	write_tags(&world, mm, 100, 1000, 1);
	child = new_fork(&world, mm);
	expect_tags(&world, child, 100, 1000, 1);
	expect(vm_check(world.thread) == 0);
	world_fini(&world, true);
}

/* What is given back may be kept, but what exists is told; and at the end nothing is left of links. */
static void links_of_vmas_are_told(void **state)
{
	(void)state;
	for (unsigned b = 0; vm_backends[b]; b++) {
		unsigned traits = vm_backend_traits(vm_backends[b]);
		struct world world;
		struct vm_bytes before, after;
		unsigned part;
		uint32_t mm;

		if (!(traits & VM_BACKEND_WALKS) || (traits & VM_BACKEND_CHOICES))
			continue;
		world_init(&world, (struct vm_options){ .backend = vm_backends[b] });
		part = strcmp(vm_backend_name(vm_backends[b]), "folio") != 0;
		before = all_bytes(&world);
		mm = map_often(&world, 100);
		after = all_bytes(&world);
		expect(after.parts[part].bytes - before.parts[part].bytes >= 100 * 2 * sizeof(void *));
		expect(vm_exit(world.thread, mm) == 0);
		expect(all_bytes(&world).parts[part].bytes == before.parts[part].bytes);
		expect(all_bytes(&world).peak >= after.total);
		world_fini(&world, true);
	}
}

/* --- walks ------------------------------------------------------------------------------------ */

/* One page each in fifty vmas of a file: a list is looked through for each of them, a tree is not. */
static void a_list_is_looked_through(void **state)
{
	static const char *const names[] = { "objrmap", "objrmap-interval", "ptechain", "hybrid", "folio" };

	(void)state;
	for (unsigned i = 0; i < LENGTH(names); i++) {
		struct world world;
		uint64_t n;
		uint32_t mm;

		begin(&world, names[i], (struct vm_options){ .file_pages = 50 });
		mm = new_mm(&world);
		for (uint64_t j = 0; j < 50; j++) {
			expect(vm_mmap(world.thread, mm, 100 + 2 * j, 1, true, 0, j) == 0);
			expect(access_error(&world, mm, 100 + 2 * j) == 0);
		}
		n = visits_to_age(&world, 50);
		expect(i == 0 ? n == 50 * 51 / 2 : n == 50);
		world_fini(&world, true);
	}
}

/*
 * The child's own page is looked for in the child, or until it is found, in the order of its mms; what it had from its
 * parent, in all.
 */
static void an_anon_vma_is_of_one_branch(void **state)
{
	static const char *const names[] = { "folio", "anobjrmap", "hybrid", "hybrid-addresses" };
	static const uint64_t own[] = { 1, 10, 1, 2 };

	(void)state;
	for (unsigned i = 0; i < LENGTH(names); i++) {
		struct world world;
		uint32_t mm, child;
		uint64_t n;

		begin(&world, names[i], (struct vm_options){ .size = 0 });
		mm = new_mm(&world);
		expect(vm_mmap(world.thread, mm, 100, 2, true, VM_ANONYMOUS, 0) == 0);
		expect(vm_write(world.thread, mm, 100, 1, 1) == 0); /* 101 is nobody's yet */
		child = new_fork(&world, mm);
		for (unsigned j = 0; j < 9; j++)
			new_fork(&world, mm);
		expect(vm_write(world.thread, child, 101, 1, 2) == 0);
		expect(visits_to_age(&world, 1) == 11); /* the parent's page is mapped by all */
		n = visits_to_age(&world, 1);
		expect(n == own[i]);
		world_fini(&world, true);
	}
}

/*
 * Nine of ten mms of a family give up what they had there, and the last one's page is looked for: by ranges, which they
 * have no more, or in all mms of the family.
 */
static void an_address_is_asked_of_all_the_family(void **state)
{
	static const char *const names[] = { "hybrid", "hybrid-addresses" };

	(void)state;
	for (unsigned i = 0; i < LENGTH(names); i++) {
		uint32_t mms[10] = { 0 };
		struct world world;

		begin(&world, names[i], (struct vm_options){ .size = 0 });
		mms[0] = new_mm(&world);
		expect(vm_mmap(world.thread, mms[0], 100, 1, true, VM_ANONYMOUS, 0) == 0);
		write_tags(&world, mms[0], 100, 1, 1);
		for (unsigned j = 1; j < LENGTH(mms); j++)
			mms[j] = new_fork(&world, mms[0]);
		for (unsigned j = 0; j + 1 < LENGTH(mms); j++)
			expect(vm_munmap(world.thread, mms[j], 100, 1) == 0);
		expect(visits_to_age(&world, 1) == (i == 0 ? 1 : LENGTH(mms)));
		expect(vm_check(world.thread) == 0);
		world_fini(&world, true);
	}
}

/* The first ten mms of a family have a page, ten more gave it up: an unmap is through when it has found ten. */
static void an_unmap_knows_how_many_to_find(void **state)
{
	struct vm_statistics before, after;
	struct world world;
	uint32_t mm;

	(void)state;
	begin(&world, "hybrid-addresses", (struct vm_options){ .size = 0 });
	mm = new_mm(&world);
	expect(vm_mmap(world.thread, mm, 100, 1, true, VM_ANONYMOUS, 0) == 0);
	write_tags(&world, mm, 100, 1, 1);
	for (unsigned i = 1; i < 20; i++) {
		uint32_t child = new_fork(&world, mm);

		if (i >= 10)
			expect(vm_munmap(world.thread, child, 100, 1) == 0);
	}
	vm_age(world.thread, 1);
	vm_age(world.thread, 1);
	before = world_stats(&world);
	expect(vm_reclaim(world.thread, 1) == 1);
	after = world_stats(&world);
	expect(after.unmaps - before.unmaps == 1 && after.unmaps_again == before.unmaps_again);
	expect(after.walked - before.walked == 2); /* to see whether it was accessed, and to unmap it */
	expect(after.visits - before.visits == 20 && after.visits_empty == before.visits_empty);
	world_fini(&world, true);
}

/* An anonymous page of 16 ptes: one visit by a range, or one of each pte's element, for which there is a chain. */
static void an_address_is_of_one_pte(void **state)
{
	static const char *const names[] = { "hybrid", "hybrid-addresses" };

	(void)state;
	for (unsigned i = 0; i < LENGTH(names); i++) {
		struct world world;
		uint32_t mm;

		begin(&world, names[i], (struct vm_options){ .cluster_bits = 4 });
		mm = new_mm(&world);
		expect(vm_mmap(world.thread, mm, 96, 16, true, VM_ANONYMOUS, 0) == 0);
		write_tags(&world, mm, 96, 16, 1);
		expect(visits_to_age(&world, 1) == (i == 0 ? 1 : 16));
		world_fini(&world, true);
	}
}

/* A file's page of 16 ptes, all nonlinear, in one window or across two. With pages of one pte nothing is to be had. */
static void a_window_is_one_visit(void **state)
{
	static const char *const names[] = { "hybrid", "hybrid-clusters" };
	static const struct {
		uint32_t bits;
		uint64_t vpn;
		uint64_t visits[2];
	} cases[] = { { 4, 160, { 16, 1 } }, { 4, 161, { 16, 2 } }, { 0, 160, { 16, 16 } } };

	(void)state;
	for (unsigned i = 0; i < LENGTH(names); i++)
		for (unsigned j = 0; j < LENGTH(cases); j++) {
			struct world world;
			uint64_t n = 0;
			uint32_t mm;

			begin(&world, names[i], (struct vm_options){ .cluster_bits = cases[j].bits });
			mm = new_mm(&world);
			expect(vm_mmap(world.thread, mm, cases[j].vpn, 16, true, 0, 32) == 0);
			expect(vm_remap_file_pages(world.thread, mm, cases[j].vpn, 16, 0) == 0);
			for (unsigned k = 0; k < 16; k++)
				expect(access_error(&world, mm, cases[j].vpn + k) == 0);
			n = visits_to_age(&world, cases[j].bits ? 1 : 16);
			expect(n == cases[j].visits[i]);
			world_fini(&world, true);
		}
}

/* Each generation has a child and goes. An anon_vma that nobody is the owner of any more serves another. */
static void generations_use_anon_vmas_again(void **state)
{
	struct vm_bytes fifth, last;
	struct world world;
	uint32_t mm;

	(void)state;
	begin(&world, "folio", (struct vm_options){ .size = 0 });
	mm = new_mm(&world);
	expect(vm_mmap(world.thread, mm, 100, 4, true, VM_ANONYMOUS, 0) == 0);
	for (unsigned i = 0; i < 30; i++) {
		uint32_t child;

		write_tags(&world, mm, 100, 4, i);
		child = new_fork(&world, mm);
		expect_tags(&world, child, 100, 4, i);
		expect(vm_exit(world.thread, mm) == 0);
		mm = child;
		if (i == 5)
			fifth = all_bytes(&world);
	}
	last = all_bytes(&world);
	expect(last.total == fifth.total && last.parts[1].bytes > 0);
	world_fini(&world, true);
}

/* --- locks that are only tried ------------------------------------------------------------------ */

struct refusal {
	struct world world;
	bool armed;
};

static void reclaim_it(struct vm_thread *thread, void *arg)
{
	(void)arg;
	vm_age(thread, 1);
}

/* A fault has the pte lock of what the page is mapped by. */
static void age_in_the_window(void *arg, enum vm_window where)
{
	struct refusal *refusal = arg;
	struct beside beside;

	if (!refusal->armed || where != VM_WINDOW_LOCKED)
		return;
	refusal->armed = false;
	beside_begin(&beside, &refusal->world, reclaim_it, NULL);
	beside_end(&beside);
}

static void a_walk_of_2003_is_refused_locks(void **state)
{
	(void)state;
	each_backend(bits, VM_BACKEND_TRIES)
	{
		struct refusal refusal = { .armed = false };
		struct world *world = &refusal.world;
		struct vm_statistics before, after;
		uint32_t mm;

		world_init(world, (struct vm_options){
					  .cluster_bits = *bits, .window = age_in_the_window, .window_arg = &refusal });
		mm = new_mm(world);
		expect(vm_mmap(world->thread, mm, 96, 2 * world->pieces, true, 0, 0) == 0);
		expect(access_error(world, mm, 96) == 0);
		vm_age(world->thread, 2);
		before = world_stats(world);
		refusal.armed = true;
		expect(access_error(world, mm, 96 + world->pieces) == 0);
		expect(!refusal.armed);
		after = world_stats(world);
		expect(after.walks_refused > before.walks_refused);
		expect(after.referenced == before.referenced + 1); /* it may have been */
		world_fini(world, true);
	}
}

/* --- nonlinear mappings ----------------------------------------------------------------------- */

/* Piece 5 of the file at 100, where piece 0 belongs, and piece 3 at its place. */
static uint32_t map_nonlinear(struct world *world)
{
	uint32_t mm = new_mm(world);

	expect(vm_mmap(world->thread, mm, 100, 8, true, 0, 0) == 0);
	write_tags(world, mm, 100, 8, 1);
	expect(vm_remap_file_pages(world->thread, mm, 100, 1, 5) == 0);
	return mm;
}

/* What is linear for one is nonlinear for another, at the same address, and both are found. */
static void an_address_may_be_both(void **state)
{
	(void)state;
	each_backend(bits, VM_BACKEND_WALKS)
	{
		struct world world;
		uint32_t nonlinear, linear;

		world_init(&world, (struct vm_options){ .cluster_bits = *bits });
		nonlinear = new_mm(&world);
		expect(vm_mmap(world.thread, nonlinear, 100, 8, true, 0, 8 * world.pieces) == 0);
		expect(vm_remap_file_pages(world.thread, nonlinear, 100, 1, 0) == 0);
		linear = new_mm(&world);
		expect(vm_mmap(world.thread, linear, 100, 8, true, 0, 0) == 0);
		write_tags(&world, linear, 100, 8, 1);
		expect(tag_at(&world, nonlinear, 100) == 1);
		expect(vm_check(world.thread) == 0);
		vm_age(world.thread, 100);
		expect(vm_reclaim(world.thread, 100) > 0);
		expect(tag_at(&world, nonlinear, 100) == 1);
		world_fini(&world, true);
	}
}

/* A truncate that goes by the vmas alone: the page is gone from the file, and still there for who had it. */
static void objrmap_truncates_past_nonlinear_mappings(void **state)
{
	static const char *const names[] = {
		"objrmap", "objrmap-interval", "ptechain", "anobjrmap", "folio", "hybrid",
		"hybrid-clusters", "hybrid-addresses"
	};

	(void)state;
	for (unsigned i = 0; i < LENGTH(names); i++)
		for (int semantics = RMAP_FAILABLE; semantics <= RMAP_RELIABLE; semantics++) {
			bool misses = i < 2 && semantics == RMAP_FAILABLE;
			struct world world;
			uint32_t mm;

			begin(&world, names[i], (struct vm_options){ .semantics = semantics });
			mm = map_nonlinear(&world);
			expect(tag_at(&world, mm, 100) == 6);
			expect(vm_truncate(world.thread, 0, 2) == 0);
			expect(world_stats(&world).orphans == misses);
			expect(access_error(&world, mm, 103) == -ENXIO);
			expect(access_error(&world, mm, 100) == (misses ? 0 : -ENXIO));
			if (misses)
				expect(tag_at(&world, mm, 100) == 6);
			world_fini(&world, true);
		}
}

/* Of what map_often() made: where an access needs no fault. For others there may be no memory. */
static unsigned still_mapped(struct world *world, uint32_t mm, unsigned n)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < n; i++) {
		uint64_t faults = world_stats(world).faults;
		int error = access_error(world, mm, 100 + 2 * i);

		expect(error == 0 || error == -ENOMEM);
		kept += error == 0 && world_stats(world).faults == faults;
	}
	return kept;
}

/*
 * A page that is mapped linearly 500 times gets one nonlinear mapping. objrmap needs an entry for each of the 500
 * first: 71 lines, and all that it may have is the slab of 63 that is there already. The library needs no entry but the
 * one.
 */
static void objrmap_converts_half_a_page(void **state)
{
	static const char *const names[] = { "objrmap", "objrmap-interval", "hybrid" };

	(void)state;
	for (unsigned i = 0; i < LENGTH(names); i++) {
		struct vm_statistics stats;
		struct world world;
		unsigned kept;
		size_t limit, before;
		uint32_t mm, other;

		begin(&world, names[i], (struct vm_options){ .size = 0 });
		map_often(&world, 500);
		other = new_mm(&world);
		expect(vm_mmap(world.thread, other, 100, 8, true, 0, 8) == 0);
		write_tags(&world, other, 100, 8, 1);
		limit = all_bytes(&world).peak;
		world_fini(&world, true);

		begin(&world, names[i], (struct vm_options){ .map_bytes = i < 2 ? limit : 0 });
		mm = map_often(&world, 500);
		other = new_mm(&world);
		expect(vm_mmap(world.thread, other, 100, 8, true, 0, 8) == 0);
		write_tags(&world, other, 100, 8, 1);
		before = part_bytes(&world, 0);
		expect(vm_remap_file_pages(world.thread, other, 100, 1, 0) == 0);
		expect(part_bytes(&world, 0) == before);
		stats = world_stats(&world);
		expect(stats.conversions == (i < 2) && stats.unconverted == (i < 2));
		if (i < 2) {
			/* What was not chained is lost: reclaim unmaps the rest, and cannot free the page. */
			vm_age(world.thread, 100);
			expect(vm_reclaim(world.thread, 100) == 8);
			expect(vm_check(world.thread) == 0);
		}
		kept = still_mapped(&world, mm, 500);
		expect(i < 2 ? 0 < kept && kept < 500 : kept == 500);
		expect(vm_exit(world.thread, mm) == 0);
		expect(access_error(&world, other, 100) == 0); /* there is memory again */
		world_fini(&world, true);
	}
}

/* With memory it succeeds, and the page is found wherever it is. */
static void objrmap_converts_a_page(void **state)
{
	static const char *const names[] = { "objrmap", "objrmap-interval" };

	(void)state;
	for (unsigned i = 0; i < LENGTH(names); i++) {
		struct world world;
		uint32_t mm;

		begin(&world, names[i], (struct vm_options){ .size = 0 });
		map_often(&world, 500);
		mm = new_mm(&world);
		expect(vm_mmap(world.thread, mm, 100, 8, true, 0, 8) == 0);
		expect(vm_remap_file_pages(world.thread, mm, 100, 1, 0) == 0);
		expect(access_error(&world, mm, 100) == 0);
		expect(world_stats(&world).conversions == 1 && world_stats(&world).unconverted == 0);
		expect(visits_to_age(&world, 1) == 501);
		expect(vm_reclaim(world.thread, 100) == 1);
		world_fini(&world, true);
	}
}

/* A page is mapped at 40 places, one after the other. One mapping stays all the time, so no address goes. */
static void anobjrmap_keeps_stale_addresses(void **state)
{
	static const char *const names[] = { "anobjrmap", "ptechain", "objrmap", "hybrid", "hybrid-addresses" };

	(void)state;
	for (unsigned i = 0; i < LENGTH(names); i++) {
		struct vm_statistics before, after;
		struct world world;
		uint32_t mm, other;

		begin(&world, names[i], (struct vm_options){ .size = 0 });
		mm = new_mm(&world);
		other = new_mm(&world);
		expect(vm_mmap(world.thread, other, 1000, 1, true, 0, 0) == 0);
		expect(access_error(&world, other, 1000) == 0);
		expect(vm_mmap(world.thread, mm, 100, 50, true, 0, 10) == 0);
		for (uint64_t j = 0; j < 40; j++) {
			expect(vm_remap_file_pages(world.thread, mm, 100 + j, 1, 0) == 0);
			if (j < 39) /* back to what belongs there */
				expect(vm_remap_file_pages(world.thread, mm, 100 + j, 1, 10 + j) == 0);
		}
		expect(vm_check(world.thread) == 0);
		before = world_stats(&world);
		vm_age(world.thread, 1);
		after = world_stats(&world);
		/* The places of two mappings, and of 39 that are no more. */
		expect(i == 0 ? after.visits_empty - before.visits_empty >= 39 : after.visits - before.visits <= 3);
		expect(vm_exit(world.thread, mm) == 0 && vm_exit(world.thread, other) == 0);
		mm = map_often(&world, 1); /* the last one took them along */
		before = world_stats(&world);
		vm_age(world.thread, 1);
		expect(world_stats(&world).visits - before.visits <= 1);
		world_fini(&world, true);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_not_there_is_refused),
		cmocka_unit_test(null_finds_nothing_and_says_so),
		cmocka_unit_test(a_chain_costs_by_the_mapping),
		cmocka_unit_test(a_fork_costs_a_chain_or_nothing),
		cmocka_unit_test(a_fork_of_nonlinear_mappings_costs_elements_or_nothing),
		cmocka_unit_test(a_fork_of_locked_memory_makes_elements),
		cmocka_unit_test(links_of_vmas_are_told),
		cmocka_unit_test(a_list_is_looked_through),
		cmocka_unit_test(an_anon_vma_is_of_one_branch),
		cmocka_unit_test(an_address_is_asked_of_all_the_family),
		cmocka_unit_test(an_unmap_knows_how_many_to_find),
		cmocka_unit_test(an_address_is_of_one_pte),
		cmocka_unit_test(a_window_is_one_visit),
		cmocka_unit_test(generations_use_anon_vmas_again),
		cmocka_unit_test(a_walk_of_2003_is_refused_locks),
		cmocka_unit_test(an_address_may_be_both),
		cmocka_unit_test(objrmap_truncates_past_nonlinear_mappings),
		cmocka_unit_test(objrmap_converts_half_a_page),
		cmocka_unit_test(objrmap_converts_a_page),
		cmocka_unit_test(anobjrmap_keeps_stale_addresses),
	};

	return cmocka_run_group_tests_name("backends", tests, NULL, NULL);
}
