/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * faults.c - every allocation made to fail in turn (G9)
 *
 * One fixed scenario of creates, fills, adds, moves, attaches, splits and removes runs again and again; in run k the
 * k-th allocation of tier and metadata together returns NULL. Each call must succeed, or return -ENOMEM with nothing
 * changed, which is compared at once; then it is called again, as an embedder would, and must succeed. The runs end
 * with the first in which nothing failed, so no site can be left out. In the end all memory is back.
 */
#include "support.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PAGES 4u
#define RANGES 6u

struct scenario {
	struct probe probe;
	struct rmap *map;
	struct rmap_reserve *reserve;
	struct rmap_object *object;
	struct rmap_page pages[PAGES];
	struct reference references[PAGES];
	struct rmap_range ranges[2 * RANGES];
	unsigned range_count;
	unsigned refusals;
	unsigned handles; /* on each page */
	unsigned updates; /* of the ranges */
};

static void same_pages(struct scenario *scenario)
{
	for (unsigned i = 0; i < PAGES; i++)
		reference_compare(&scenario->references[i], scenario->map, &scenario->pages[i], 0);
}

static int find_range(void *arg, const struct rmap_range *range)
{
	struct scenario *scenario = arg;

	for (unsigned i = 0; i < scenario->range_count; i++) {
		if (!memcmp(&scenario->ranges[i], range, sizeof(*range)))
			return 0;
	}
	return 1;
}

static void same_ranges(struct scenario *scenario)
{
	rmap_read_lock(scenario->map);
	assert_int_equal(rmap_object_check(scenario->object), 0);
	assert_int_equal(rmap_object_ranges(scenario->object), scenario->range_count);
	assert_int_equal(rmap_object_tagged(scenario->object, ~0u, 0, UINT64_MAX, find_range, scenario), 0);
	rmap_read_unlock(scenario->map);
}

/* What a call that may run out of memory answered: true if it did, and then it is to be made again. */
static bool refused(struct scenario *scenario, int rc)
{
	assert_true(rc >= 0 || rc == -ENOMEM);
	if (rc >= 0)
		return false;
	assert_int_equal(scenario->probe.failed, ++scenario->refusals); /* it did not fail of itself, nor twice */
	if (scenario->object)
		same_ranges(scenario);
	if (scenario->reserve)
		same_pages(scenario);
	return true;
}

static void create_all(struct scenario *scenario, unsigned bits, enum rmap_reclaim reclaim)
{
	struct rmap_options options = RMAP_OPTIONS_DEFAULT;

	options.multiplicity_bits = bits;
	options.reclaim = reclaim;
	options.tier = options.metadata = &scenario->probe.tier;
	while (refused(scenario, rmap_create(&options, &scenario->map)))
		assert_null(scenario->map);
	reader_register(scenario->map);
	while (refused(scenario, rmap_reserve_create(scenario->map, &scenario->reserve)))
		assert_null(scenario->reserve);
	while (refused(scenario, rmap_object_create(scenario->map, &scenario->object)))
		assert_null(scenario->object);
}

static struct rmap_mapping nth_mapping(unsigned page, unsigned i)
{
	return i % 11 == 10 ? rmap_locked()
	       : i % 7 == 6 ? rmap_linear()
			    : rmap_chained(((uint64_t)page + 1) << 40 | (i + 1) << 13);
}

/* A fill that failed is made again; the add that follows a fill succeeds. */
static void add_one(struct scenario *scenario, unsigned page, unsigned i)
{
	struct rmap_mapping mapping = nth_mapping(page, i);
	int rc;

	while (refused(scenario, rmap_reserve_fill(scenario->reserve, 1 + i % 5)))
		;
	rmap_read_lock(scenario->map);
	rc = rmap_page_add(scenario->reserve, &scenario->pages[page], mapping);
	rmap_read_unlock(scenario->map);
	assert_int_equal(rc, reference_add(&scenario->references[page], mapping));
}

static void remove_one(struct scenario *scenario, unsigned page, unsigned i)
{
	struct rmap_mapping mapping = nth_mapping(page, i);
	int rc;

	rmap_read_lock(scenario->map);
	rc = rmap_page_remove(scenario->reserve, &scenario->pages[page], mapping);
	rmap_read_unlock(scenario->map);
	assert_int_equal(rc, reference_remove(&scenario->references[page], mapping));
}

/* Adds that outrun their fill until the reserve says so; what it refuses must leave the page alone. */
static void outrun_the_reserve(struct scenario *scenario)
{
	int rc = 0;

	for (unsigned i = 0; i < 1200 && rc >= 0; i++) {
		struct rmap_mapping mapping = rmap_chained((uint64_t)7 << 50 | (i + 1) << 13);

		rmap_read_lock(scenario->map);
		rc = rmap_page_add(scenario->reserve, &scenario->pages[i % PAGES], mapping);
		rmap_read_unlock(scenario->map);
		if (rc >= 0)
			assert_int_equal(rc, reference_add(&scenario->references[i % PAGES], mapping));
	}
	assert_true(rc >= 0 || rc == -ENOMEM);
	same_pages(scenario);
}

static void update_ranges(struct scenario *scenario)
{
	for (unsigned i = 0; i < scenario->updates; i++) {
		struct rmap_range *range = &scenario->ranges[i];

		*range = (struct rmap_range){ i * 10, i * 10 + 30, (uint64_t)(i + 1) << 30, i % 3, 12, 1 };
		while (refused(scenario, rmap_object_attach(scenario->object, range)))
			;
		scenario->range_count++;
		same_ranges(scenario);
	}
	for (unsigned i = 0; i < scenario->updates; i++) {
		struct rmap_range *range = &scenario->ranges[i], *right = &scenario->ranges[scenario->updates + i];

		while (refused(scenario, rmap_object_split(scenario->object, range, range->first + 9)))
			;
		*right = *range;
		right->first = range->first + 9;
		right->address = rmap_range_address(range, right->first);
		range->last = right->first - 1;
		scenario->range_count++;
		same_ranges(scenario);
		while (refused(scenario, rmap_object_move(scenario->object, range, range->address + (1 << 25))))
			;
		range->address += 1 << 25;
		while (refused(scenario, rmap_object_tag(scenario->object, right, 2)))
			;
		right->tags = 2;
		while (refused(scenario, rmap_object_resize(scenario->object, right, right->first, right->last + 100)))
			;
		right->last += 100;
		same_ranges(scenario);
	}
}

static void detach_ranges(struct scenario *scenario)
{
	while (scenario->range_count) {
		struct rmap_range *last = &scenario->ranges[scenario->range_count - 1];

		/* It does without the memory that it did not get. */
		assert_int_equal(rmap_object_detach(scenario->object, last), 0);
		scenario->refusals = scenario->probe.failed;
		scenario->range_count--;
		same_ranges(scenario);
	}
}

static void destroy_all(struct scenario *scenario)
{
	rmap_read_lock(scenario->map);
	for (unsigned i = 0; i < PAGES; i++)
		assert_int_equal(rmap_page_drop(scenario->reserve, &scenario->pages[i]),
				 reference_mapcount(&scenario->references[i]));
	rmap_read_unlock(scenario->map);
	rmap_object_destroy(scenario->object);
	rmap_reserve_drain(scenario->reserve);
	rmap_reserve_destroy(scenario->reserve);
	reader_unregister(scenario->map);
	assert_int_equal(rmap_destroy(scenario->map), 0);
	probe_fini(&scenario->probe);
	for (unsigned i = 0; i < PAGES; i++)
		reference_fini(&scenario->references[i]);
}

/* One run with the @k-th allocation failing. Returns whether one did. */
static bool run(uint64_t k, unsigned bits, enum rmap_reclaim reclaim, unsigned handles, unsigned updates)
{
	struct scenario scenario;
	bool failed;

	memset(&scenario, 0, sizeof(scenario));
	scenario.handles = handles;
	scenario.updates = updates;
	probe_init(&scenario.probe);
	probe_fail_at(&scenario.probe, k);
	for (unsigned i = 0; i < PAGES; i++)
		reference_init(&scenario.references[i], bits);
	create_all(&scenario, bits, reclaim);
	update_ranges(&scenario);
	for (unsigned i = 0; i < scenario.handles; i++) {
		for (unsigned page = 0; page < PAGES; page++)
			add_one(&scenario, page, i);
	}
	same_pages(&scenario);
	for (unsigned i = 0; i < scenario.handles / 2; i++) {
		for (unsigned page = 0; page < PAGES; page++)
			remove_one(&scenario, page, i);
	}
	while (refused(&scenario, rmap_reserve_fill(scenario.reserve, 300)))
		;
	outrun_the_reserve(&scenario);
	detach_ranges(&scenario);
	failed = scenario.probe.failed > 0;
	destroy_all(&scenario);
	return failed;
}

static void every_site(unsigned bits, enum rmap_reclaim reclaim, unsigned handles, unsigned updates)
{
	uint64_t k = 1;

	while (run(k, bits, reclaim, handles, updates))
		k++;
	assert_true(k > 10 * updates); /* the scenario did allocate */
}

static void plain_ptes(void **state)
{
	(void)state;
	every_site(0, RMAP_RECLAIM_BLOCKING, 120, RANGES);
}

static void clusters(void **state)
{
	(void)state;
	every_site(4, RMAP_RECLAIM_BLOCKING, 120, RANGES);
}

/* The same sites but another way to free; short, as each run waits several times for the helper thread. */
static void with_callbacks(void **state)
{
	(void)state;
	every_site(0, RMAP_RECLAIM_CALLBACK, 40, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_ptes),
		cmocka_unit_test(clusters),
		cmocka_unit_test(with_callbacks),
	};

	return cmocka_run_group_tests_name("faults", tests, NULL, NULL);
}
