/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * unit_unmap.c - unmap.h over a toy of an embedder: what each strategy finds, leaves, lists and drops
 *
 * The toy has one file, whose page of index i is files' pages[i], and ranges of SLOTS ptes each, range r at its own
 * addresses. A pte can be set to refuse so many tries of its lock.
 */
#include "support.h"

#include <rmap/unmap.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <urcu/urcu-memb.h>

#define INDEXES 64u
#define RANGES 40u
#define SLOTS 8u
#define PAGE_SHIFT 12u

struct page {
	struct rmap_page rmap;
	uint64_t index;
	bool cached;
	bool page_locked;
	bool orphan;
};

/* @refuses: so many tries of its lock fail. @page: NULL: not present */
struct pte {
	struct page *page;
	bool locked;
	unsigned refuses;
};

/*
 * struct toy
 * @in_section: every clear() is to be called inside a read-side section, or none
 * @fail_clear: what each clear() returns, and does nothing
 * @fail:       the error that the next clear_range() returns
 * @patience:   after so many fruitless rounds wait() returns @verdict
 * @split:      the next clear_range() splits range 0
 * @restless:   each clear_range() moves @elsewhere, a range of indexes far away
 * @breeding:   each clear_range() attaches another range behind all that are there
 * @copies:     ranges that clear_range() was to look at for copies
 * @owed:       mappings that clear() has cleared and flush() was not yet called for
 */
struct toy {
	struct fixture fixture;
	struct rmap_object *file;
	struct page pages[INDEXES];
	struct rmap_range ranges[RANGES];
	struct pte ptes[RANGES][SLOTS];
	unsigned n;
	bool in_section;
	int fail;
	int fail_clear;
	bool split;
	bool restless;
	bool breeding;
	struct rmap_range elsewhere;
	unsigned listed;
	unsigned listed_locked;
	uint64_t listed_mappings;
	unsigned waits;
	unsigned patience;
	int verdict;
	unsigned searched;
	unsigned calls;
	bool page_held;
	unsigned copies;
	unsigned owed;
};

static uint64_t address_of(unsigned range, unsigned slot)
{
	return (uint64_t)(range + 1) << 24 | (uint64_t)slot << PAGE_SHIFT;
}

static struct rmap_mapping mapping_at(struct toy *toy, unsigned range, unsigned slot)
{
	struct pte *pte = &toy->ptes[range][slot];

	if (pte->locked)
		return rmap_locked();
	if (rmap_range_is_linear(&toy->ranges[range], pte->page->index, address_of(range, slot)))
		return rmap_linear();
	return rmap_chained(address_of(range, slot));
}

/* Range @range now maps index @first .. @first + SLOTS - 1. */
static void attach(struct toy *toy, uint64_t first, uint32_t tags)
{
	struct rmap_range *range = &toy->ranges[toy->n];

	*range = (struct rmap_range){ .first = first,
				      .last = first + SLOTS - 1,
				      .address = address_of(toy->n, 0),
				      .owner = toy->n,
				      .page_shift = PAGE_SHIFT,
				      .tags = tags };
	expect(rmap_object_attach(toy->file, range) == 0);
	toy->n++;
}

static void set_pte(struct toy *toy, unsigned range, unsigned slot, uint64_t index, bool locked)
{
	struct pte *pte = &toy->ptes[range][slot];

	pte->page = &toy->pages[index];
	pte->locked = locked;
	expect(fixture_add(&toy->fixture, &pte->page->rmap, mapping_at(toy, range, slot)) >= 0);
}

static void clear_pte(struct toy *toy, unsigned range, unsigned slot)
{
	struct pte *pte = &toy->ptes[range][slot];

	expect(fixture_remove(&toy->fixture, &pte->page->rmap, mapping_at(toy, range, slot)) >= 0);
	*pte = (struct pte){ 0 };
}

static int toy_clear(void *arg, const struct rmap_target *target, const struct rmap_visit *visit, unsigned flags,
		     uint64_t *cleared)
{
	struct toy *toy = arg;
	uint64_t address = visit->kind == RMAP_LINEAR ? visit->address : visit->handle;
	unsigned range = (unsigned)(address >> 24) - 1;
	unsigned slot = address >> PAGE_SHIFT & (SLOTS - 1);
	struct pte *pte = &toy->ptes[range][slot];

	expect(toy->page_held);
	expect(urcu_memb_read_ongoing() == toy->in_section);
	if (toy->fail_clear)
		return toy->fail_clear;
	if (pte->refuses && (flags & RMAP_UNMAP_TRY)) {
		pte->refuses--;
		return -EAGAIN;
	}
	if (!pte->page || &pte->page->rmap != target->page || (pte->locked && !(flags & RMAP_UNMAP_FORCE)))
		return 0;
	clear_pte(toy, range, slot);
	++*cleared;
	toy->owed++;
	return 0;
}

/* At once behind a batch, before anything is concluded from it. */
static void toy_flush(void *arg, const struct rmap_target *target)
{
	struct toy *toy = arg;

	expect(toy->page_held && !urcu_memb_read_ongoing() && target->page);
	expect(toy->owed > 0 && toy->owed <= (toy->in_section ? 2 * RMAP_VISITS_MAX - 1 : 16));
	toy->owed = 0;
}

static int toy_clear_range(void *arg, const struct rmap_search *search, uint64_t *cleared)
{
	struct toy *toy = arg;
	int error = toy->fail;

	toy->fail = 0;
	expect(!urcu_memb_read_ongoing());
	expect(search->object == toy->file && search->from >= search->range.first && search->to <= search->range.last);
	if (error)
		return error;
	if (toy->split) {
		toy->split = false;
		expect(rmap_object_split(toy->file, &toy->ranges[0], toy->ranges[0].first + 1) == 0);
	}
	if (toy->restless) {
		expect(rmap_object_move(toy->file, &toy->elsewhere, toy->elsewhere.address ^ 1 << PAGE_SHIFT) == 0);
		toy->elsewhere.address ^= 1 << PAGE_SHIFT;
	}
	if (toy->breeding) {
		struct rmap_range another = toy->ranges[0];

		another.owner = another.address = 1ull << 40 | toy->calls;
		expect(rmap_object_attach(toy->file, &another) == 0);
	}
	toy->calls++;
	toy->copies += (search->flags & RMAP_UNMAP_COPIES) != 0;
	expect(toy->calls < 100 * RANGES);
	for (uint64_t i = search->from; i <= search->to; i++) {
		uint64_t address = rmap_range_address(&search->range, i);
		unsigned range = (unsigned)(address >> 24) - 1;
		unsigned slot = address >> PAGE_SHIFT & (SLOTS - 1);
		struct page *page = toy->ptes[range][slot].page;

		toy->searched++;
		if (page && page->index >= search->first && page->index <= search->last) {
			clear_pte(toy, range, slot);
			++*cleared;
		}
	}
	return 0;
}

static int toy_lock_next(void *arg, struct rmap_object *object, uint64_t first, uint64_t last,
			 struct rmap_target *target)
{
	struct toy *toy = arg;

	expect(!toy->page_held && !urcu_memb_read_ongoing());
	for (uint64_t i = first; i <= last && i < INDEXES; i++) {
		if (!toy->pages[i].cached)
			continue;
		*target = (struct rmap_target){ &toy->pages[i].rmap, object, i, i };
		toy->page_held = true;
		return 0;
	}
	return -ENOENT;
}

static void toy_unlock(void *arg, const struct rmap_target *target)
{
	struct toy *toy = arg;

	(void)target;
	expect(toy->page_held && toy->owed == 0);
	toy->page_held = false;
}

static void toy_drop(void *arg, const struct rmap_target *target, int orphan)
{
	struct toy *toy = arg;
	struct page *page = &toy->pages[target->first];

	expect(toy->page_held && page->cached && toy->owed == 0);
	expect((fixture_mapcount(&toy->fixture, target->page) != 0) == (orphan != 0));
	page->cached = false;
	page->orphan = orphan;
}

static void toy_left(void *arg, const struct rmap_target *target, struct rmap_counts counts, enum rmap_unmap_result why)
{
	struct toy *toy = arg;
	uint32_t mappings = counts.chained + counts.linear + counts.locked;

	expect(toy->page_held && toy->owed == 0 && mappings > 0 &&
	       mappings == fixture_mapcount(&toy->fixture, target->page));
	expect((why == RMAP_UNMAP_LOCKED) == (counts.locked > 0));
	toy->listed++;
	toy->listed_locked += counts.locked > 0;
	toy->listed_mappings += mappings;
}

static int toy_wait(void *arg, const struct rmap_unmap_report *report)
{
	struct toy *toy = arg;

	expect(!urcu_memb_read_ongoing());
	expect(report->left.chained + report->left.linear + report->left.locked > 0);
	toy->waits++;
	return toy->patience && report->fruitless >= toy->patience ? toy->verdict : 0;
}

static const struct rmap_unmap_callbacks callbacks = {
	.size = sizeof(struct rmap_unmap_callbacks),
	.clear = toy_clear,
	.clear_range = toy_clear_range,
	.lock_next = toy_lock_next,
	.unlock = toy_unlock,
	.drop = toy_drop,
	.left = toy_left,
	.flush = toy_flush,
	.wait = toy_wait,
};

/* A file of @n pages, no pte of which is to be had. */
struct full_file {
	struct rmap_page *pages;
	uint64_t n;
	uint64_t dropped;
};

static int full_clear(void *arg, const struct rmap_target *target, const struct rmap_visit *visit, unsigned flags,
		      uint64_t *cleared)
{
	(void)arg, (void)target, (void)visit, (void)flags, (void)cleared;
	return -EAGAIN;
}

static int full_clear_range(void *arg, const struct rmap_search *search, uint64_t *cleared)
{
	(void)arg, (void)search, (void)cleared;
	return 0;
}

static int full_lock_next(void *arg, struct rmap_object *object, uint64_t first, uint64_t last,
			  struct rmap_target *target)
{
	struct full_file *full = arg;

	if (first > last || first >= full->n)
		return -ENOENT;
	*target = (struct rmap_target){ .page = &full->pages[first], .object = object, .first = first, .last = first };
	return 0;
}

static void full_unlock(void *arg, const struct rmap_target *target)
{
	(void)arg, (void)target;
}

static void full_drop(void *arg, const struct rmap_target *target, int orphan)
{
	struct full_file *full = arg;

	(void)target, (void)orphan;
	full->dropped++;
}

static const struct rmap_unmap_callbacks full_callbacks = {
	.size = sizeof(struct rmap_unmap_callbacks),
	.clear = full_clear,
	.clear_range = full_clear_range,
	.lock_next = full_lock_next,
	.unlock = full_unlock,
	.drop = full_drop,
};

static void toy_init(struct toy *toy)
{
	memset(toy, 0, sizeof(*toy));
	fixture_init(&toy->fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	expect(rmap_object_create(toy->fixture.map, &toy->file) == 0);
	for (unsigned i = 0; i < INDEXES; i++) {
		toy->pages[i].index = i;
		toy->pages[i].cached = true;
	}
}

static void toy_fini(struct toy *toy)
{
	for (unsigned range = 0; range < toy->n; range++)
		for (unsigned slot = 0; slot < SLOTS; slot++)
			if (toy->ptes[range][slot].page)
				clear_pte(toy, range, slot);
	rmap_object_destroy(toy->file);
	fixture_fini(&toy->fixture);
}

/*
 * Range 0 is linear, range 1 tagged and of lower indexes, range 2 linear and locked. Page 10 is mapped once in each way
 * that the table of unmap.h lists; pages 4 and 11 linearly; page 12 not at all; page 13 only by a locked nonlinear pte.
 */
static void populate(struct toy *toy)
{
	attach(toy, 4, 0);
	attach(toy, 0, RMAP_RANGE_NONLINEAR);
	attach(toy, 5, 0);
	set_pte(toy, 0, 6, 10, false);
	set_pte(toy, 1, 0, 10, false);
	set_pte(toy, 1, 1, 10, true);
	set_pte(toy, 2, 5, 10, true);
	set_pte(toy, 0, 0, 4, false);
	set_pte(toy, 0, 7, 11, false);
	set_pte(toy, 1, 2, 13, true);
}

static struct rmap_target target_of(struct toy *toy, uint64_t index)
{
	return (struct rmap_target){ &toy->pages[index].rmap, toy->file, index, index };
}

/* With the page lock held, which the callbacks expect. */
static int unmap(struct toy *toy, uint64_t index, unsigned flags, enum rmap_semantics semantics,
		 struct rmap_unmap_report *report)
{
	const struct rmap_target target = target_of(toy, index);
	int result;

	toy->page_held = true;
	toy->in_section = flags & RMAP_UNMAP_SECTION;
	result = rmap_unmap(toy->fixture.map, &callbacks, toy, &target, flags, semantics, report);
	toy->page_held = false;
	expect(toy->owed == 0);
	return result;
}

static int truncate_from(struct toy *toy, uint64_t first, uint64_t last, enum rmap_strategy strategy,
			 enum rmap_semantics semantics, unsigned flags, struct rmap_unmap_report *report)
{
	const struct rmap_truncation truncation = {
		.size = sizeof(truncation),
		.object = toy->file,
		.first = first,
		.last = last,
		.strategy = strategy,
		.semantics = semantics,
		.flags = flags,
	};

	toy->in_section = flags & RMAP_UNMAP_SECTION;
	return rmap_truncate(toy->fixture.map, &callbacks, toy, &truncation, report);
}

static unsigned cached_from(const struct toy *toy, uint64_t first)
{
	unsigned cached = 0;

	for (uint64_t i = first; i < INDEXES; i++)
		cached += toy->pages[i].cached;
	return cached;
}

static void unmap_refuses_locked_pages_untouched(void **state)
{
	struct rmap_unmap_report report;
	struct toy toy;

	(void)state;
	toy_init(&toy);
	populate(&toy);
	assert_int_equal(unmap(&toy, 10, 0, RMAP_FAILABLE, &report), RMAP_UNMAP_LOCKED);
	assert_int_equal(report.cleared, 0);
	assert_int_equal(report.passes, 0);
	assert_int_equal(report.left.locked, 2);
	assert_int_equal(unmap(&toy, 10, 0, RMAP_RELIABLE, NULL), RMAP_UNMAP_LOCKED);
	assert_int_equal(fixture_mapcount(&toy.fixture, &toy.pages[10].rmap), 4);
	assert_int_equal(unmap(&toy, 12, 0, RMAP_FAILABLE, NULL), RMAP_UNMAP_SUCCESS);
	toy_fini(&toy);
}

static void unmap_by_force_finds_what_is_named(void **state)
{
	struct rmap_unmap_report report;
	struct rmap_target nowhere;
	struct toy toy;

	(void)state;
	toy_init(&toy);
	populate(&toy);
	assert_int_equal(unmap(&toy, 10, RMAP_UNMAP_FORCE, RMAP_FAILABLE, &report), RMAP_UNMAP_LOCKED);
	assert_int_equal(report.cleared, 3);
	assert_int_equal(report.left.locked, 1);
	assert_int_equal(report.left.linear + report.left.chained, 0);
	assert_int_equal(report.searches, 0);
	assert_int_equal(unmap(&toy, 10, RMAP_UNMAP_FORCE, RMAP_RELIABLE, &report), RMAP_UNMAP_SUCCESS);
	assert_int_equal(report.searches, 1);
	assert_int_equal(report.cleared, 1);
	assert_ptr_equal(toy.ptes[1][2].page, &toy.pages[13]);
	nowhere = (struct rmap_target){ .page = &toy.pages[13].rmap };
	assert_int_equal(rmap_unmap(toy.fixture.map, &callbacks, &toy, &nowhere, RMAP_UNMAP_FORCE, RMAP_RELIABLE, NULL),
			 RMAP_UNMAP_LOCKED);
	toy_fini(&toy);
}

static void unmap_tells_of_refused_locks(void **state)
{
	struct rmap_unmap_report report;
	struct toy toy;

	(void)state;
	toy_init(&toy);
	populate(&toy);
	toy.ptes[0][7].refuses = 1;
	assert_int_equal(unmap(&toy, 11, RMAP_UNMAP_TRY, RMAP_FAILABLE, &report), RMAP_UNMAP_AGAIN);
	assert_int_equal(report.refused, 1);
	assert_int_equal(report.left.linear, 1);
	assert_int_equal(unmap(&toy, 11, RMAP_UNMAP_TRY, RMAP_FAILABLE, &report), RMAP_UNMAP_SUCCESS);
	assert_int_equal(report.cleared, 1);
	toy_fini(&toy);
}

static void unmap_in_the_section_that_found_the_visit(void **state)
{
	struct rmap_unmap_report report;
	struct toy toy;

	(void)state;
	toy_init(&toy);
	populate(&toy);
	assert_int_equal(unmap(&toy, 10, RMAP_UNMAP_FORCE | RMAP_UNMAP_SECTION, RMAP_FAILABLE, &report),
			 RMAP_UNMAP_LOCKED);
	assert_int_equal(report.cleared, 3);
	toy_fini(&toy);
}

static void unmap_of_many_mappings(void **state)
{
	struct rmap_unmap_report report;
	struct toy toy;

	(void)state;
	for (unsigned flags = 0; flags <= RMAP_UNMAP_SECTION; flags += RMAP_UNMAP_SECTION) {
		toy_init(&toy);
		for (unsigned range = 0; range < RANGES; range++) {
			attach(&toy, 0, 0);
			set_pte(&toy, range, 3, 3, false);
			set_pte(&toy, range, 4, 3, false);
		}
		assert_int_equal(unmap(&toy, 3, flags, RMAP_FAILABLE, &report), RMAP_UNMAP_SUCCESS);
		assert_int_equal(report.cleared, 2 * RANGES);
		assert_int_equal(report.passes, 1);
		toy_fini(&toy);
	}
}

/* What each strategy leaves of populate(), in one go: the table of unmap.h. */
static void failable_truncates_list_what_is_left(void **state)
{
	static const struct {
		enum rmap_strategy strategy;
		unsigned mapped;
		unsigned orphans;
		int result;
	} rows[] = {
		{ RMAP_SEARCH, 0, 0, RMAP_UNMAP_SUCCESS },  { RMAP_CLEANUP, 2, 0, RMAP_UNMAP_LOCKED },
		{ RMAP_UNMAP, 2, 0, RMAP_UNMAP_LOCKED },    { RMAP_COMBINED, 0, 0, RMAP_UNMAP_SUCCESS },
		{ RMAP_TOLERATE, 0, 2, RMAP_UNMAP_LOCKED },
	};

	(void)state;
	for (unsigned i = 0; i < LENGTH(rows); i++) {
		struct rmap_unmap_report report;
		struct toy toy;

		toy_init(&toy);
		populate(&toy);
		assert_int_equal(truncate_from(&toy, 10, UINT64_MAX, rows[i].strategy, RMAP_FAILABLE, 0, &report),
				 rows[i].result);
		assert_int_equal(report.mapped, rows[i].mapped);
		assert_int_equal(report.orphans, rows[i].orphans);
		assert_int_equal(report.left.locked, rows[i].mapped + rows[i].orphans);
		assert_int_equal(report.left.chained + report.left.linear, 0);
		assert_int_equal(report.cleared, 6 - report.left.locked);
		assert_int_equal(report.pages, INDEXES - 10 - rows[i].mapped);
		assert_int_equal(toy.listed, rows[i].mapped + rows[i].orphans);
		assert_int_equal(toy.listed_locked, toy.listed);
		assert_int_equal(toy.listed_mappings, report.left.locked);
		assert_int_equal(cached_from(&toy, 10), rows[i].mapped);
		assert_int_equal(cached_from(&toy, 0), rows[i].mapped + 10);
		assert_int_equal(toy.pages[13].orphan, rows[i].orphans > 0);
		assert_int_equal(report.passes > 0 && toy.waits == 0, 1);
		assert_int_equal(rmap_object_truncate_seq(toy.file), 1);
		assert_int_equal(fixture_mapcount(&toy.fixture, &toy.pages[4].rmap), 1);
		toy_fini(&toy);
	}
}

static void reliable_truncates_leave_nothing(void **state)
{
	(void)state;
	for (enum rmap_strategy strategy = RMAP_COMBINED; strategy <= RMAP_TOLERATE; strategy++) {
		for (unsigned try = 0; try < 2; try++) {
			struct rmap_unmap_report report;
			struct toy toy;

			toy_init(&toy);
			populate(&toy);
			toy.ptes[0][6].refuses = toy.ptes[1][0].refuses = 5;
			assert_int_equal(truncate_from(&toy, 10, UINT64_MAX, strategy, RMAP_RELIABLE,
						       try ? RMAP_UNMAP_TRY : 0, &report),
					 RMAP_UNMAP_SUCCESS);
			assert_int_equal(report.mapped + report.orphans + report.left.locked, 0);
			assert_int_equal(report.cleared, 6);
			assert_int_equal(cached_from(&toy, 10), 0);
			assert_int_equal(cached_from(&toy, 0), 10);
			assert_int_equal(toy.listed, 0);
			assert_int_equal(fixture_mapcount(&toy.fixture, &toy.pages[4].rmap), 1);
			toy_fini(&toy);
		}
	}
}

static void refused_locks_leave_pages_to_failable_truncates(void **state)
{
	struct rmap_unmap_report report;
	struct toy toy;

	(void)state;
	toy_init(&toy);
	attach(&toy, 40, RMAP_RANGE_NONLINEAR);
	set_pte(&toy, 0, 1, 10, false);
	toy.ptes[0][1].refuses = 1;
	assert_int_equal(truncate_from(&toy, 10, 20, RMAP_CLEANUP, RMAP_FAILABLE, RMAP_UNMAP_TRY, &report),
			 RMAP_UNMAP_AGAIN);
	assert_int_equal(report.refused, 1);
	assert_int_equal(report.mapped, 1);
	assert_int_equal(report.left.chained, 1);
	assert_true(toy.pages[10].cached);
	toy.ptes[0][1].refuses = 2; /* both page passes; the search waits for the lock */
	assert_int_equal(truncate_from(&toy, 10, 20, RMAP_COMBINED, RMAP_FAILABLE, RMAP_UNMAP_TRY, &report),
			 RMAP_UNMAP_SUCCESS);
	assert_int_equal(report.refused, 2);
	assert_int_equal(report.searches, 1);
	assert_false(toy.pages[10].cached);
	toy_fini(&toy);
}

/*
 * Pages that hold 2^32 mappings together, none of which can be cleared: no sum of them may say that nothing is mapped.
 * The pages are pages of the file, but ranges know nothing of their mappings, so every pass leaves them all.
 */
static void a_sum_of_leftovers_does_not_wrap_to_nothing(void **state)
{
	enum { PAGES = 4096, EACH = 1 << 20 };
	struct rmap_truncation truncation = { .size = sizeof(truncation), .last = PAGES - 1, .strategy = RMAP_CLEANUP };
	struct rmap_unmap_report report;
	struct full_file full = { .pages = calloc(PAGES, sizeof(struct rmap_page)), .n = PAGES };
	struct fixture fixture;

	(void)state;
	assert_non_null(full.pages);
	fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	assert_int_equal(rmap_object_create(fixture.map, &truncation.object), 0);
	for (unsigned i = 0; i < EACH; i++)
		expect(fixture_add(&fixture, &full.pages[0], rmap_linear()) >= 0);
	for (unsigned i = 1; i < PAGES; i++)
		full.pages[i] = full.pages[0]; /* a page without a chain is its counts */
	assert_int_equal(rmap_truncate(fixture.map, &full_callbacks, &full, &truncation, &report), RMAP_UNMAP_AGAIN);
	assert_int_equal(report.mapped, PAGES);
	assert_int_equal(report.left.linear, (uint64_t)PAGES * EACH);
	assert_int_equal(full.dropped, 0);
	rmap_object_destroy(truncation.object);
	fixture_fini(&fixture);
	free(full.pages);
}

static void a_hole_keeps_its_sides(void **state)
{
	struct rmap_unmap_report report;
	struct toy toy;

	(void)state;
	toy_init(&toy);
	populate(&toy);
	set_pte(&toy, 1, 3, 63, false);
	assert_int_equal(truncate_from(&toy, 10, 11, RMAP_SEARCH, RMAP_RELIABLE, 0, &report), RMAP_UNMAP_SUCCESS);
	assert_int_equal(report.pages, 2);
	assert_int_equal(toy.searched, 2 + 2 + SLOTS); /* ranges 0 and 2: indexes 10 and 11; the tagged one: all */
	assert_int_equal(cached_from(&toy, 0), INDEXES - 2);
	assert_int_equal(fixture_mapcount(&toy.fixture, &toy.pages[63].rmap), 1);
	assert_int_equal(fixture_mapcount(&toy.fixture, &toy.pages[13].rmap), 1);
	toy_fini(&toy);
}

static void many_ranges_and_one_that_splits(void **state)
{
	struct rmap_unmap_report report;
	struct toy toy;

	(void)state;
	toy_init(&toy);
	for (unsigned range = 0; range < RANGES; range++) {
		attach(&toy, 20, 0);
		set_pte(&toy, range, 2, 22, false);
	}
	toy.split = true;
	assert_int_equal(truncate_from(&toy, 22, 22, RMAP_SEARCH, RMAP_FAILABLE, 0, &report), RMAP_UNMAP_SUCCESS);
	assert_int_equal(report.cleared, RANGES);
	toy_fini(&toy);
}

/* A range of other indexes moves all the time: a bulk pass looks at each of its own ranges once. */
static void a_range_elsewhere_moves_all_the_time(void **state)
{
	struct rmap_unmap_report report;
	struct toy toy;

	(void)state;
	toy_init(&toy);
	for (unsigned range = 0; range < RANGES; range++) {
		attach(&toy, 20, 0);
		set_pte(&toy, range, 2, 22, false);
	}
	toy.restless = true;
	toy.elsewhere = (struct rmap_range){ .first = 1ull << 40, .last = 1ull << 40, .page_shift = PAGE_SHIFT };
	assert_int_equal(rmap_object_attach(toy.file, &toy.elsewhere), 0);
	assert_int_equal(truncate_from(&toy, 22, 22, RMAP_SEARCH, RMAP_FAILABLE, 0, &report), RMAP_UNMAP_SUCCESS);
	assert_int_equal(report.cleared, RANGES);
	assert_int_equal(toy.calls, RANGES);
	toy_fini(&toy);
}

/* Ranges of the very indexes are attached ahead of the pass all the time: it ends with those that it found. */
static void ranges_attach_before_a_pass_for_ever(void **state)
{
	struct rmap_unmap_report report;
	struct toy toy;

	(void)state;
	toy_init(&toy);
	for (unsigned range = 0; range < RANGES; range++) {
		attach(&toy, 20, 0);
		set_pte(&toy, range, 2, 22, false);
	}
	toy.breeding = true;
	assert_int_equal(truncate_from(&toy, 22, 22, RMAP_SEARCH, RMAP_FAILABLE, 0, &report), RMAP_UNMAP_SUCCESS);
	assert_int_equal(report.cleared, RANGES);
	assert_int_equal(toy.calls, RANGES);
	toy_fini(&toy);
}

/* A range of the very indexes that moves as fast as a pass looks at it: the pass ends all the same. */
static void a_range_moves_before_a_pass_for_ever(void **state)
{
	struct rmap_unmap_report report;
	struct toy toy;

	(void)state;
	toy_init(&toy);
	for (unsigned range = 0; range < RANGES; range++) {
		attach(&toy, 20, 0);
		set_pte(&toy, range, 2, 22, false);
	}
	toy.restless = true;
	toy.elsewhere = (struct rmap_range){
		.first = 20, .last = 20, .address = address_of(RANGES - 1, 6), .page_shift = PAGE_SHIFT
	};
	assert_int_equal(rmap_object_attach(toy.file, &toy.elsewhere), 0);
	assert_int_equal(truncate_from(&toy, 20, 22, RMAP_SEARCH, RMAP_FAILABLE, 0, &report), RMAP_UNMAP_SUCCESS);
	assert_int_equal(report.cleared, RANGES);
	toy_fini(&toy);
}

static void errors_of_callbacks_end_a_truncate_and_lose_nothing(void **state)
{
	struct rmap_unmap_report report;
	struct toy toy;

	(void)state;
	toy_init(&toy);
	populate(&toy);
	toy.fail = -ENOSPC;
	assert_int_equal(truncate_from(&toy, 10, UINT64_MAX, RMAP_SEARCH, RMAP_RELIABLE, 0, &report), -ENOSPC);
	assert_int_equal(report.pages, 0);
	assert_int_equal(cached_from(&toy, 0), INDEXES);
	assert_false(toy.page_held);
	assert_int_equal(truncate_from(&toy, 10, UINT64_MAX, RMAP_SEARCH, RMAP_RELIABLE, 0, &report), 0);
	assert_int_equal(cached_from(&toy, 0), 10);
	toy_fini(&toy);
}

/* What a callback returns is not mistaken for a result of the call, whatever number it is. */
static void what_callbacks_return_is_no_result(void **state)
{
	static const int values[] = { 1, 2, 3, 77, -EINVAL, -ENOSPC };

	(void)state;
	for (unsigned i = 0; i < LENGTH(values); i++) {
		for (unsigned flags = 0; flags <= RMAP_UNMAP_SECTION; flags += RMAP_UNMAP_SECTION) {
			int wanted = values[i] < 0 ? values[i] : RMAP_UNMAP_STOPPED;
			struct rmap_unmap_report report;
			struct toy toy;

			toy_init(&toy);
			populate(&toy);
			toy.fail_clear = values[i];
			assert_int_equal(unmap(&toy, 11, flags, RMAP_FAILABLE, &report), wanted);
			assert_int_equal(report.stopped, values[i]);
			assert_int_equal(unmap(&toy, 11, flags, RMAP_RELIABLE, &report), wanted);
			assert_int_equal(truncate_from(&toy, 10, 11, RMAP_CLEANUP, RMAP_FAILABLE, flags, &report),
					 wanted);
			assert_int_equal(report.stopped, values[i]);
			toy.fail = values[i];
			assert_int_equal(truncate_from(&toy, 4, 11, RMAP_SEARCH, RMAP_RELIABLE, flags, &report),
					 wanted);
			assert_int_equal(report.stopped, values[i]);
			toy.fail_clear = 0;
			assert_int_equal(truncate_from(&toy, 10, 11, RMAP_SEARCH, RMAP_RELIABLE, flags, &report), 0);
			assert_int_equal(report.stopped, 0);
			toy_fini(&toy);
		}
	}
}

/* Range 1 has a locked nonlinear mapping, and is not tagged: nothing finds it. */
static void a_forgotten_tag_is_told(void **state)
{
	static const int verdicts[] = { 7, -ETIMEDOUT };
	struct rmap_unmap_callbacks plain = callbacks;
	struct rmap_truncation truncation = {
		.size = sizeof(truncation), .first = 20, .last = 20, .semantics = RMAP_RELIABLE
	};
	struct rmap_unmap_report report;
	struct toy toy;

	(void)state;
	toy_init(&toy);
	attach(&toy, 4, 0);
	set_pte(&toy, 0, 0, 20, true);
	toy.patience = 5;
	for (unsigned i = 0; i < LENGTH(verdicts); i++) {
		int wanted = verdicts[i] < 0 ? verdicts[i] : RMAP_UNMAP_STOPPED;

		toy.verdict = verdicts[i];
		for (enum rmap_strategy strategy = RMAP_COMBINED; strategy <= RMAP_TOLERATE; strategy++) {
			assert_int_equal(truncate_from(&toy, 20, 20, strategy, RMAP_RELIABLE, 0, &report), wanted);
			assert_int_equal(report.fruitless, 5);
			assert_int_equal(report.left.locked, 1);
			assert_int_equal(report.stopped, verdicts[i]);
		}
		assert_int_equal(unmap(&toy, 20, RMAP_UNMAP_FORCE, RMAP_RELIABLE, &report), wanted);
		assert_int_equal(report.fruitless, 5);
	}
	plain.wait = NULL;
	truncation.object = toy.file;
	assert_int_equal(rmap_truncate(toy.fixture.map, &plain, &toy, &truncation, &report), RMAP_UNMAP_LOCKED);
	assert_int_equal(report.fruitless, RMAP_UNMAP_FRUITLESS);
	assert_int_equal(report.stopped, 0);
	assert_true(toy.pages[20].cached);
	toy_fini(&toy);
}

/* Copies are where ranges say. So a strategy that looks at no range does, and only if copies are to go. */
static void a_truncate_says_what_becomes_of_copies(void **state)
{
	struct rmap_unmap_report report;

	(void)state;
	for (enum rmap_strategy strategy = RMAP_COMBINED; strategy <= RMAP_TOLERATE; strategy++)
		for (unsigned flags = 0; flags <= RMAP_UNMAP_COPIES; flags += RMAP_UNMAP_COPIES) {
			struct toy toy;

			toy_init(&toy);
			attach(&toy, 4, 0);
			set_pte(&toy, 0, 2, 6, false);
			assert_int_equal(truncate_from(&toy, 6, 6, strategy, RMAP_RELIABLE, flags, &report), 0);
			assert_int_equal(toy.copies, flags ? 1 : 0);
			assert_int_equal(toy.searched, strategy == RMAP_UNMAP && !flags ? 0 : 1);
			toy_fini(&toy);
		}
}

static void bad_arguments_are_refused(void **state)
{
	struct rmap_unmap_callbacks bad = callbacks;
	struct rmap_truncation truncation;
	struct rmap_target target;
	struct toy toy;
	struct rmap *map;

	(void)state;
	toy_init(&toy);
	map = toy.fixture.map;
	target = target_of(&toy, 10);
	assert_int_equal(rmap_unmap(NULL, &callbacks, &toy, &target, 0, RMAP_FAILABLE, NULL), -EINVAL);
	assert_int_equal(rmap_unmap(map, NULL, &toy, &target, 0, RMAP_FAILABLE, NULL), -EINVAL);
	assert_int_equal(rmap_unmap(map, &callbacks, &toy, NULL, 0, RMAP_FAILABLE, NULL), -EINVAL);
	assert_int_equal(unmap(&toy, 10, 8, RMAP_FAILABLE, NULL), -EINVAL);
	assert_int_equal(unmap(&toy, 10, 0, (enum rmap_semantics)2, NULL), -EINVAL);
	assert_int_equal(unmap(&toy, 10, RMAP_UNMAP_TRY, RMAP_RELIABLE, NULL), -EINVAL);
	assert_int_equal(truncate_from(&toy, 11, 10, RMAP_SEARCH, RMAP_FAILABLE, 0, NULL), -EINVAL);
	assert_int_equal(truncate_from(&toy, 10, 11, (enum rmap_strategy)5, RMAP_FAILABLE, 0, NULL), -EINVAL);
	assert_int_equal(truncate_from(&toy, 10, 11, RMAP_SEARCH, (enum rmap_semantics)2, 0, NULL), -EINVAL);
	assert_int_equal(truncate_from(&toy, 10, 11, RMAP_SEARCH, RMAP_FAILABLE, 16, NULL), -EINVAL);
	truncation = (struct rmap_truncation){ .size = sizeof(truncation), .object = toy.file, .last = 1 };
	bad.size--;
	assert_int_equal(rmap_truncate(map, &bad, &toy, &truncation, NULL), -EINVAL);
	bad = callbacks;
	bad.drop = NULL;
	assert_int_equal(rmap_truncate(map, &bad, &toy, &truncation, NULL), -EINVAL);
	bad = callbacks;
	bad.clear_range = NULL;
	assert_int_equal(rmap_unmap(map, &bad, &toy, &target, RMAP_UNMAP_FORCE, RMAP_RELIABLE, NULL), -EINVAL);
	truncation.size = 8;
	assert_int_equal(rmap_truncate(map, &callbacks, &toy, &truncation, NULL), -EINVAL);
	assert_int_equal(rmap_object_truncate_seq(toy.file), 0);
	assert_int_equal(cached_from(&toy, 0), INDEXES);
	toy_fini(&toy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(unmap_refuses_locked_pages_untouched),
		cmocka_unit_test(unmap_by_force_finds_what_is_named),
		cmocka_unit_test(unmap_tells_of_refused_locks),
		cmocka_unit_test(unmap_in_the_section_that_found_the_visit),
		cmocka_unit_test(unmap_of_many_mappings),
		cmocka_unit_test(failable_truncates_list_what_is_left),
		cmocka_unit_test(reliable_truncates_leave_nothing),
		cmocka_unit_test(refused_locks_leave_pages_to_failable_truncates),
		cmocka_unit_test(a_sum_of_leftovers_does_not_wrap_to_nothing),
		cmocka_unit_test(a_hole_keeps_its_sides),
		cmocka_unit_test(many_ranges_and_one_that_splits),
		cmocka_unit_test(a_range_elsewhere_moves_all_the_time),
		cmocka_unit_test(ranges_attach_before_a_pass_for_ever),
		cmocka_unit_test(a_range_moves_before_a_pass_for_ever),
		cmocka_unit_test(errors_of_callbacks_end_a_truncate_and_lose_nothing),
		cmocka_unit_test(what_callbacks_return_is_no_result),
		cmocka_unit_test(a_forgotten_tag_is_told),
		cmocka_unit_test(a_truncate_says_what_becomes_of_copies),
		cmocka_unit_test(bad_arguments_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
