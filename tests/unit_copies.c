/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * unit_copies.c - a truncate that takes private copies, of which the ranges alone tell, while the ranges change
 *
 * A file that has no page is mapped by many neighbours, and by one more, the holder, which has a copy of the last
 * index. Whenever a bulk pass looks at the first neighbour, all of them grow at their front, as a vma does that takes
 * in what lies before it: by so much that the holder, which was ahead of the pass, is behind it. No pte moves.
 */
#include "support.h"

#include <rmap/unmap.h>

#include <errno.h>
#include <string.h>

#define SHIFT 12u
#define NEIGHBOURS 20u /* more than one section is for */
#define HOLDER NEIGHBOURS
#define STEP (2 * (uint64_t)NEIGHBOURS)
#define LAST ((uint64_t)1 << 20)
#define STRATEGIES (RMAP_TOLERATE + 1u)

/* struct toy - @changes: how often the ranges grow from now on; @copy: it is there; @patience: for so many waits */
struct toy {
	struct fixture fixture;
	struct rmap_object *file;
	struct rmap_range ranges[NEIGHBOURS + 1];
	unsigned changes;
	bool copy;
	unsigned patience;
};

static void grow_all(struct toy *toy)
{
	struct rmap_change changes[LENGTH(toy->ranges)];
	struct rmap_range grown[LENGTH(toy->ranges)];

	for (unsigned i = 0; i <= HOLDER; i++) {
		grown[i] = toy->ranges[i];
		grown[i].first -= STEP;
		grown[i].address -= STEP << SHIFT;
		changes[i] = (struct rmap_change){ .range = &toy->ranges[i], .with = &grown[i], .n = 1 };
	}
	expect(rmap_object_update(toy->file, changes, LENGTH(changes)) == 0);
	memcpy(toy->ranges, grown, sizeof(grown));
}

static int clear_range(void *arg, const struct rmap_search *search, uint64_t *cleared)
{
	struct toy *toy = arg;

	if (search->range.owner == 0 && toy->changes > 0) {
		toy->changes--;
		grow_all(toy);
	}
	if (search->range.owner == HOLDER && search->to == LAST && search->flags & RMAP_UNMAP_COPIES) {
		*cleared += toy->copy;
		toy->copy = false;
	}
	return 0;
}

static int clear(void *arg, const struct rmap_target *target, const struct rmap_visit *visit, unsigned flags,
		 uint64_t *cleared)
{
	(void)arg;
	(void)target;
	(void)visit;
	(void)flags;
	(void)cleared;
	return 0;
}

static int no_page(void *arg, struct rmap_object *object, uint64_t first, uint64_t last, struct rmap_target *target)
{
	(void)arg;
	(void)object;
	(void)first;
	(void)last;
	(void)target;
	return -ENOENT;
}

static void unlock(void *arg, const struct rmap_target *target)
{
	(void)arg;
	(void)target;
	expect(!"a page");
}

static void drop(void *arg, const struct rmap_target *target, int orphan)
{
	(void)orphan;
	unlock(arg, target);
}

static int wait_for_others(void *arg, const struct rmap_unmap_report *report)
{
	struct toy *toy = arg;

	(void)report;
	return toy->patience-- == 0;
}

static const struct rmap_unmap_callbacks callbacks = {
	.size = sizeof(callbacks),
	.clear = clear,
	.clear_range = clear_range,
	.lock_next = no_page,
	.unlock = unlock,
	.drop = drop,
	.wait = wait_for_others,
};

static int truncate(struct toy *toy, enum rmap_strategy strategy, enum rmap_semantics semantics, unsigned flags)
{
	const struct rmap_truncation truncation = { sizeof(truncation), toy->file, 1,    UINT64_MAX,
						    strategy,           semantics, flags };
	struct rmap_unmap_report report;
	int result = rmap_truncate(toy->fixture.map, &callbacks, toy, &truncation, &report);

	expect(report.mapped == 0 && report.unsplit == 0);
	expect(report.unseen == (result != RMAP_UNMAP_SUCCESS));
	return result;
}

static void toy_init(struct toy *toy)
{
	*toy = (struct toy){ .copy = true, .patience = UINT32_MAX };
	fixture_init(&toy->fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	expect(rmap_object_create(toy->fixture.map, &toy->file) == 0);
	for (unsigned i = 0; i <= HOLDER; i++) {
		uint64_t first = LAST / 2 + i;

		toy->ranges[i] = (struct rmap_range){ first, LAST, first << SHIFT, i, SHIFT, 0 };
		expect(rmap_object_attach(toy->file, &toy->ranges[i]) == 0);
	}
}

static void toy_fini(struct toy *toy)
{
	rmap_object_destroy(toy->file);
	fixture_fini(&toy->fixture);
}

/* Ranges change faster than a failable truncate looks at them: it says so; and later that it has looked at all. */
static void failable(void **state)
{
	(void)state;
	for (unsigned strategy = 0; strategy < STRATEGIES; strategy++) {
		struct toy toy;

		toy_init(&toy);
		toy.changes = UINT32_MAX;
		expect(truncate(&toy, (enum rmap_strategy)strategy, RMAP_FAILABLE, RMAP_UNMAP_COPIES) ==
		       RMAP_UNMAP_AGAIN);
		expect(toy.copy);
		toy.changes = 0;
		expect(truncate(&toy, (enum rmap_strategy)strategy, RMAP_FAILABLE, RMAP_UNMAP_COPIES) ==
		       RMAP_UNMAP_SUCCESS);
		expect(!toy.copy);
		toy_fini(&toy);
	}
}

/* A reliable one goes on until they let it, or until its caller has no patience left. */
static void reliable(void **state)
{
	(void)state;
	for (unsigned strategy = 0; strategy < STRATEGIES; strategy++) {
		struct toy toy;

		toy_init(&toy);
		toy.changes = 100;
		expect(truncate(&toy, (enum rmap_strategy)strategy, RMAP_RELIABLE, RMAP_UNMAP_COPIES) ==
		       RMAP_UNMAP_SUCCESS);
		expect(toy.changes == 0 && !toy.copy);
		toy.copy = true;
		toy.changes = UINT32_MAX;
		toy.patience = 1;
		expect(truncate(&toy, (enum rmap_strategy)strategy, RMAP_RELIABLE, RMAP_UNMAP_COPIES) ==
		       RMAP_UNMAP_STOPPED);
		expect(toy.copy);
		toy_fini(&toy);
	}
}

/* Of pages counts tell: what a bulk pass has missed is no reason to doubt them. */
static void without_copies(void **state)
{
	(void)state;
	for (unsigned strategy = 0; strategy < STRATEGIES; strategy++) {
		struct toy toy;

		toy_init(&toy);
		toy.changes = UINT32_MAX;
		for (unsigned semantics = RMAP_FAILABLE; semantics <= RMAP_RELIABLE; semantics++)
			expect(truncate(&toy, (enum rmap_strategy)strategy, (enum rmap_semantics)semantics, 0) ==
			       RMAP_UNMAP_SUCCESS);
		expect(toy.copy);
		toy_fini(&toy);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(failable),
		cmocka_unit_test(reliable),
		cmocka_unit_test(without_copies),
	};

	return cmocka_run_group_tests_name("copies", tests, NULL, NULL);
}
