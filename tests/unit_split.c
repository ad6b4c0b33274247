/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * unit_split.c - unmap and truncate of pages of several indexes, some of which are to go and some are not
 *
 * The toy has a file whose folios have one count a pte each, and ranges of SLOTS ptes, of which each maps an index of
 * the file or nothing.
 */
#include "support.h"

#include <rmap/unmap.h>

#include <errno.h>
#include <string.h>

#define SHIFT 12u
#define INDEXES 64u
#define TOY_RANGES 4u
#define SLOTS 64u
#define NOTHING UINT64_MAX

/* struct folio - in the file at all of its indexes, while it is @cached */
struct folio {
	struct rmap_page rmap;
	uint64_t first;
	uint64_t last;
	bool cached;
	bool orphan;
};

/*
 * struct toy
 * @at:      of each index of the file, its folio
 * @ptes:    of each range and slot, the index that it maps, or NOTHING; @maps: and of which folio; @locked: mlocked
 * @pinned:  so many splits fail, with @fails
 * @lazy:    splits say that they have done it, and have not
 * @told:    pages that left() was told of
 */
struct toy {
	struct fixture fixture;
	struct rmap_object *file;
	struct folio folios[4 * INDEXES];
	unsigned used;
	struct folio *at[INDEXES];
	struct rmap_range ranges[TOY_RANGES];
	unsigned n;
	uint64_t ptes[TOY_RANGES][SLOTS];
	struct folio *maps[TOY_RANGES][SLOTS];
	bool locked[TOY_RANGES][SLOTS];
	struct folio *held;
	unsigned pinned;
	int fails;
	bool lazy;
	unsigned splits;
	unsigned told;
	unsigned waits;
	unsigned patience;
};

static struct folio *make_folio(struct toy *toy, uint64_t first, uint64_t last)
{
	struct folio *folio = &toy->folios[toy->used++];

	expect(toy->used <= LENGTH(toy->folios));
	*folio = (struct folio){ .first = first, .last = last, .cached = true };
	for (uint64_t i = first; i <= last; i++)
		toy->at[i] = folio;
	return folio;
}

static uint64_t address_of(unsigned range, unsigned slot)
{
	return (uint64_t)(range + 1) << 24 | (uint64_t)slot << SHIFT;
}

static struct rmap_mapping mapping_at(const struct toy *toy, unsigned range, unsigned slot)
{
	if (toy->locked[range][slot])
		return rmap_locked();
	if (rmap_range_is_linear(&toy->ranges[range], toy->ptes[range][slot], address_of(range, slot)))
		return rmap_linear();
	return rmap_chained(address_of(range, slot));
}

/* A range of @n ptes from index @first on. */
static void attach(struct toy *toy, uint64_t first, uint64_t n, uint32_t tags)
{
	struct rmap_range *range = &toy->ranges[toy->n];

	*range = (struct rmap_range){ first, first + n - 1, address_of(toy->n, 0), toy->n, SHIFT, tags };
	expect(rmap_object_attach(toy->file, range) == 0);
	toy->n++;
}

static void set_pte(struct toy *toy, unsigned range, unsigned slot, uint64_t index, bool locked)
{
	toy->ptes[range][slot] = index;
	toy->maps[range][slot] = toy->at[index];
	toy->locked[range][slot] = locked;
	expect(fixture_add(&toy->fixture, &toy->at[index]->rmap, mapping_at(toy, range, slot)) >= 0);
}

/* All linear ptes of a range whose folios are there: those of a folio are counted in one step. */
static void map_all(struct toy *toy, unsigned range)
{
	const struct rmap_range *mapped = &toy->ranges[range];

	for (uint64_t i = mapped->first, last; i <= mapped->last; i = last + 1) {
		last = at_most(toy->at[i]->last, mapped->last);
		for (uint64_t j = i; j <= last; j++) {
			toy->ptes[range][j - mapped->first] = j;
			toy->maps[range][j - mapped->first] = toy->at[i];
		}
		expect(fixture_add(&toy->fixture, &toy->at[i]->rmap, rmap_linear_many((uint32_t)(last - i + 1))) >= 0);
	}
}

static void clear_pte(struct toy *toy, unsigned range, unsigned slot)
{
	expect(fixture_remove(&toy->fixture, &toy->maps[range][slot]->rmap, mapping_at(toy, range, slot)) >= 0);
	toy->ptes[range][slot] = NOTHING;
	toy->maps[range][slot] = NULL;
	toy->locked[range][slot] = false;
}

static int toy_clear(void *arg, const struct rmap_target *target, const struct rmap_visit *visit, unsigned flags,
		     uint64_t *cleared)
{
	struct toy *toy = arg;
	uint64_t address = visit->kind == RMAP_LINEAR ? visit->address : visit->handle;
	unsigned range = (unsigned)(address >> 24) - 1;

	expect(toy->held && target->first >= toy->held->first && target->last <= toy->held->last);
	for (unsigned i = 0; i < visit->count; i++) {
		unsigned slot = (address >> SHIFT & (SLOTS - 1)) + i;

		if (toy->maps[range][slot] != toy->held || (toy->locked[range][slot] && !(flags & RMAP_UNMAP_FORCE)))
			continue;
		if (toy->ptes[range][slot] < target->first || toy->ptes[range][slot] > target->last)
			continue;
		clear_pte(toy, range, slot);
		++*cleared;
	}
	return 0;
}

static int toy_clear_range(void *arg, const struct rmap_search *search, uint64_t *cleared)
{
	struct toy *toy = arg;

	for (uint64_t i = search->from; i <= search->to; i++) {
		uint64_t address = rmap_range_address(&search->range, i);
		unsigned range = (unsigned)(address >> 24) - 1;
		unsigned slot = address >> SHIFT & (SLOTS - 1);

		if (!toy->maps[range][slot] || toy->ptes[range][slot] < search->first ||
		    toy->ptes[range][slot] > search->last)
			continue;
		clear_pte(toy, range, slot);
		++*cleared;
	}
	return 0;
}

static int toy_lock_next(void *arg, struct rmap_object *object, uint64_t first, uint64_t last,
			 struct rmap_target *target)
{
	struct toy *toy = arg;

	expect(!toy->held);
	for (uint64_t i = first; i <= last && i < INDEXES; i++) {
		if (!toy->at[i] || !toy->at[i]->cached)
			continue;
		toy->held = toy->at[i];
		*target = (struct rmap_target){ &toy->held->rmap, object, toy->held->first, toy->held->last };
		return 0;
	}
	return -ENOENT;
}

/* Each half, or what of it lies on one side; and its ptes map the new folio. */
static int toy_split(void *arg, const struct rmap_target *target, uint64_t first, uint64_t last)
{
	struct toy *toy = arg;
	struct folio *folio = toy->held;
	uint64_t middle = folio->first + (folio->last - folio->first + 1) / 2;

	expect(&folio->rmap == target->page && target->first == folio->first && target->last == folio->last);
	expect(folio->first < first || folio->last > last);
	toy->splits++;
	if (toy->pinned) {
		toy->pinned--;
		return toy->fails;
	}
	if (toy->lazy)
		return 0;
	make_folio(toy, folio->first, middle - 1);
	make_folio(toy, middle, folio->last);
	folio->cached = false;
	for (unsigned range = 0; range < toy->n; range++) {
		for (unsigned slot = 0; slot < SLOTS; slot++) {
			uint64_t index = toy->ptes[range][slot];
			bool locked = toy->locked[range][slot];

			if (toy->maps[range][slot] != folio)
				continue;
			clear_pte(toy, range, slot);
			set_pte(toy, range, slot, index, locked);
		}
	}
	expect(fixture_mapcount(&toy->fixture, &folio->rmap) == 0);
	return 0;
}

static void toy_unlock(void *arg, const struct rmap_target *target)
{
	struct toy *toy = arg;

	expect(toy->held && &toy->held->rmap == target->page);
	toy->held = NULL;
}

static void toy_drop(void *arg, const struct rmap_target *target, int orphan)
{
	struct toy *toy = arg;

	expect(&toy->held->rmap == target->page && toy->held->cached);
	expect((fixture_mapcount(&toy->fixture, target->page) != 0) == (orphan != 0));
	toy->held->cached = false;
	toy->held->orphan = orphan;
}

static void toy_left(void *arg, const struct rmap_target *target, struct rmap_counts counts, enum rmap_unmap_result why)
{
	struct toy *toy = arg;

	expect(&toy->held->rmap == target->page && target->first == toy->held->first &&
	       target->last == toy->held->last);
	expect(counts.chained + counts.linear + counts.locked == fixture_mapcount(&toy->fixture, target->page));
	expect(why == RMAP_UNMAP_AGAIN);
	toy->told++;
}

static int toy_wait(void *arg, const struct rmap_unmap_report *report)
{
	struct toy *toy = arg;

	toy->waits++;
	return report->fruitless > toy->patience ? -ETIMEDOUT : 0;
}

static const struct rmap_unmap_callbacks callbacks = {
	.size = sizeof(struct rmap_unmap_callbacks),
	.clear = toy_clear,
	.clear_range = toy_clear_range,
	.lock_next = toy_lock_next,
	.split = toy_split,
	.unlock = toy_unlock,
	.drop = toy_drop,
	.left = toy_left,
	.wait = toy_wait,
};

/* Folios of @pages indexes; range 0 maps all of the file, range 1 from 10 to 29, range 2 is tagged. */
static void toy_init(struct toy *toy, unsigned pages)
{
	memset(toy, 0, sizeof(*toy));
	memset(toy->ptes, 0xff, sizeof(toy->ptes));
	toy->fails = -EAGAIN;
	toy->patience = 10;
	fixture_init(&toy->fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	expect(rmap_object_create(toy->fixture.map, &toy->file) == 0);
	for (uint64_t i = 0; i < INDEXES; i += pages)
		make_folio(toy, i, i + pages - 1);
	attach(toy, 0, INDEXES, 0);
	attach(toy, 10, 20, 0);
	attach(toy, 40, 8, RMAP_RANGE_NONLINEAR);
	map_all(toy, 0);
	map_all(toy, 1);
	set_pte(toy, 2, 0, 17, false); /* nonlinear, of a folio that has a head, too, */
	set_pte(toy, 2, 1, 22, false);
	set_pte(toy, 2, 2, 23, true); /* locked and nonlinear */
}

/* What the ptes say is what the counts say, and nothing of first .. last is mapped; of the rest @mapped ptes are. */
static void expect_mapped(struct toy *toy, uint64_t first, uint64_t last, unsigned mapped)
{
	uint32_t counts[LENGTH(toy->folios)] = { 0 };
	unsigned n = 0;

	for (unsigned range = 0; range < toy->n; range++) {
		for (unsigned slot = 0; slot < SLOTS; slot++) {
			if (!toy->maps[range][slot])
				continue;
			expect(toy->ptes[range][slot] < first || toy->ptes[range][slot] > last);
			counts[toy->maps[range][slot] - toy->folios]++;
			n++;
		}
	}
	for (unsigned i = 0; i < toy->used; i++)
		expect(fixture_mapcount(&toy->fixture, &toy->folios[i].rmap) == counts[i]);
	assert_int_equal(n, mapped);
}

/* Which indexes are in the file still: all but first .. last. */
static void expect_cached(const struct toy *toy, uint64_t first, uint64_t last)
{
	for (uint64_t i = 0; i < INDEXES; i++)
		expect(toy->at[i]->cached == (i < first || i > last));
}

static void toy_fini(struct toy *toy)
{
	for (unsigned range = 0; range < toy->n; range++)
		for (unsigned slot = 0; slot < SLOTS; slot++)
			if (toy->maps[range][slot])
				clear_pte(toy, range, slot);
	rmap_object_destroy(toy->file);
	fixture_fini(&toy->fixture);
}

static int truncate_with(struct toy *toy, const struct rmap_unmap_callbacks *with, uint64_t first, uint64_t last,
			 enum rmap_strategy strategy, enum rmap_semantics semantics, struct rmap_unmap_report *report)
{
	const struct rmap_truncation truncation = {
		.size = sizeof(truncation),
		.object = toy->file,
		.first = first,
		.last = last,
		.strategy = strategy,
		.semantics = semantics,
	};

	return rmap_truncate(toy->fixture.map, with, toy, &truncation, report);
}

/* Reliable unmap of a folio that a range maps only a part of; and one of folios that are locked and nonlinear. */
static void unmap_finds_every_part(void **state)
{
	struct rmap_unmap_report report;
	struct rmap_target target;
	struct toy toy;

	(void)state;
	toy_init(&toy, 16);
	for (unsigned i = 0; i < INDEXES; i += 16) {
		uint32_t before = fixture_mapcount(&toy.fixture, &toy.at[i]->rmap);

		toy.held = toy.at[i];
		target = (struct rmap_target){ &toy.at[i]->rmap, toy.file, i, i + 15 };
		assert_int_equal(rmap_unmap(toy.fixture.map, &callbacks, &toy, &target, RMAP_UNMAP_FORCE, RMAP_RELIABLE,
					    &report),
				 RMAP_UNMAP_SUCCESS);
		assert_int_equal(report.cleared, before);
		assert_int_equal(report.searches, i == 16);
		assert_int_equal(fixture_mapcount(&toy.fixture, &toy.at[i]->rmap), 0);
	}
	target.last = target.first - 1;
	assert_int_equal(rmap_unmap(toy.fixture.map, &callbacks, &toy, &target, 0, RMAP_FAILABLE, NULL), -EINVAL);
	expect_mapped(&toy, 0, INDEXES, 0);
	toy_fini(&toy);
}

/* Into the middle of a folio, and out of it: what is on one side goes, and on the other side nothing does. */
static void truncates_split_what_straddles(void **state)
{
	static const struct {
		uint64_t first, last;
		unsigned splits, stay; /* ptes: of 64, 20 and 3 */
	} cuts[] = {
		{ 24, UINT64_MAX, 1, 24 + 14 + 3 }, /* a half */
		{ 19, UINT64_MAX, 4, 19 + 9 + 1 },  /* inside it, where others begin */
		{ 32, UINT64_MAX, 0, 32 + 20 + 3 }, /* at an end of folios */
		{ 20, 21, 3, 62 + 18 + 3 },         /* a hole inside one */
		{ 22, 22, 4, 63 + 19 + 2 },         /* ... of one index */
		{ 20, 40, 6, 64 - 21 + 10 + 1 },    /* over several */
		{ 0, 17, 3, 64 - 18 + 20 - 8 + 2 },
	};

	(void)state;
	for (unsigned i = 0; i < LENGTH(cuts); i++) {
		for (enum rmap_strategy strategy = RMAP_COMBINED; strategy <= RMAP_TOLERATE; strategy++) {
			bool unnamed = cuts[i].first <= 23 && cuts[i].last >= 23 && cuts[i].last < 42;
			struct rmap_unmap_report report;
			struct toy toy;

			toy_init(&toy, 16);
			assert_int_equal(truncate_with(&toy, &callbacks, cuts[i].first, cuts[i].last, strategy,
						       RMAP_RELIABLE, &report),
					 RMAP_UNMAP_SUCCESS);
			assert_int_equal(report.unsplit, 0);
			assert_int_equal(report.mapped, 0);
			assert_int_equal(toy.splits, cuts[i].splits);
			assert_true(report.searches > 0 || !unnamed);
			expect_cached(&toy, cuts[i].first, cuts[i].last);
			expect_mapped(&toy, cuts[i].first, cuts[i].last, cuts[i].stay);
			toy_fini(&toy);
		}
	}
}

/* A failed split is told, what is to go is unmapped where passes find it, and the same call takes up the rest. */
static void a_failed_split_is_told_and_loses_nothing(void **state)
{
	(void)state;
	for (enum rmap_strategy strategy = RMAP_COMBINED; strategy <= RMAP_TOLERATE; strategy++) {
		bool finds_locked = strategy == RMAP_SEARCH || strategy == RMAP_COMBINED; /* they search */
		unsigned stay = 64 - 8 + 20 - 8 + 1;                                      /* the locked one is of 23 */
		struct rmap_unmap_report report;
		struct toy toy;

		toy_init(&toy, 16);
		toy.pinned = 100;
		assert_int_equal(truncate_with(&toy, &callbacks, 20, 27, strategy, RMAP_FAILABLE, &report),
				 RMAP_UNMAP_AGAIN);
		assert_int_equal(report.unsplit, 1);
		assert_int_equal(report.mapped, 0);
		assert_int_equal(report.left.linear + report.left.chained + report.left.locked, 0);
		assert_int_equal(report.pages, 0);
		assert_int_equal(toy.told, 1);
		expect_cached(&toy, 1, 0);
		expect_mapped(&toy, finds_locked ? 20 : 24, 27, stay + !finds_locked);
		toy.pinned = 0;
		assert_int_equal(truncate_with(&toy, &callbacks, 20, 27, strategy, RMAP_RELIABLE, &report),
				 RMAP_UNMAP_SUCCESS);
		expect_cached(&toy, 20, 27);
		expect_mapped(&toy, 20, 27, stay);
		toy_fini(&toy);
	}
}

/* Reliable semantics wait for the split; they do not wait for ever, nor for an embedder that cannot split. */
static void reliable_truncates_wait_for_a_split(void **state)
{
	struct rmap_unmap_callbacks without = callbacks;
	struct rmap_unmap_report report;
	struct toy toy;

	(void)state;
	without.split = NULL;
	for (enum rmap_strategy strategy = RMAP_COMBINED; strategy <= RMAP_TOLERATE; strategy++) {
		toy_init(&toy, 16);
		toy.pinned = 8;
		assert_int_equal(truncate_with(&toy, &callbacks, 20, UINT64_MAX, strategy, RMAP_RELIABLE, &report),
				 RMAP_UNMAP_SUCCESS);
		assert_true(toy.waits > 0);
		expect_cached(&toy, 20, UINT64_MAX);
		expect_mapped(&toy, 20, UINT64_MAX, 31);
		toy_fini(&toy);

		toy_init(&toy, 16);
		toy.pinned = UINT32_MAX;
		assert_int_equal(truncate_with(&toy, &callbacks, 20, UINT64_MAX, strategy, RMAP_RELIABLE, &report),
				 -ETIMEDOUT);
		assert_int_equal(report.fruitless, toy.patience + 1);
		assert_int_equal(report.unsplit, 1);
		assert_int_equal(toy.told, 0);
		expect_cached(&toy, 32, UINT64_MAX);
		expect_mapped(&toy, 20, UINT64_MAX, 31);
		toy_fini(&toy);
	}
	toy_init(&toy, 16);
	assert_int_equal(truncate_with(&toy, &without, 20, UINT64_MAX, RMAP_SEARCH, RMAP_RELIABLE, &report),
			 -ETIMEDOUT);
	assert_int_equal(report.unsplit, 1);
	toy_fini(&toy);
}

/* What else a split may return ends the call; one that did nothing does not go on for ever. */
static void splits_that_break_rules(void **state)
{
	struct rmap_unmap_report report;
	struct toy toy;

	(void)state;
	toy_init(&toy, 16);
	toy.pinned = 2;
	toy.fails = -EIO;
	assert_int_equal(truncate_with(&toy, &callbacks, 20, UINT64_MAX, RMAP_UNMAP, RMAP_RELIABLE, &report), -EIO);
	assert_int_equal(report.stopped, -EIO);
	toy.fails = 7;
	assert_int_equal(truncate_with(&toy, &callbacks, 20, UINT64_MAX, RMAP_UNMAP, RMAP_FAILABLE, &report),
			 RMAP_UNMAP_STOPPED);
	assert_int_equal(report.stopped, 7);
	assert_null(toy.held);
	toy.lazy = true;
	toy.splits = 0;
	assert_int_equal(truncate_with(&toy, &callbacks, 20, UINT64_MAX, RMAP_UNMAP, RMAP_FAILABLE, &report),
			 RMAP_UNMAP_AGAIN);
	assert_in_range(toy.splits, 1, 100);
	assert_int_equal(report.unsplit, 1);
	expect_cached(&toy, 32, UINT64_MAX);
	toy_fini(&toy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(unmap_finds_every_part),
		cmocka_unit_test(truncates_split_what_straddles),
		cmocka_unit_test(a_failed_split_is_told_and_loses_nothing),
		cmocka_unit_test(reliable_truncates_wait_for_a_split),
		cmocka_unit_test(splits_that_break_rules),
	};

	return cmocka_run_group_tests_name("split", tests, NULL, NULL);
}
