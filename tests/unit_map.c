/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * unit_map.c - rmap.h: options, the life of a map, readers, figures
 */
#include "support.h"

#include <errno.h>
#include <string.h>
#include <urcu/urcu-memb.h>

#include <rmap/urcu.h>

RMAP_URCU(memb)

/* Options as a program compiled against a later header would pass them. */
struct later_options {
	struct rmap_options options;
	uint64_t later;
};

static void options_null_means_defaults(void **state)
{
	struct rmap *map = NULL;

	(void)state;
	assert_int_equal(rmap_create(NULL, &map), 0);
	assert_non_null(map);
	assert_int_equal(rmap_destroy(map), 0);
}

static void options_default_macro(void **state)
{
	const struct rmap_options options = RMAP_OPTIONS_DEFAULT;
	struct rmap *map = NULL;

	(void)state;
	assert_int_equal(options.size, sizeof(options));
	assert_int_equal(rmap_create(&options, &map), 0);
	assert_int_equal(rmap_destroy(map), 0);
}

static void refused(const void *options)
{
	struct rmap *const untouched = (struct rmap *)(uintptr_t)0x1000;
	struct rmap *map = untouched;

	assert_int_equal(rmap_create(options, &map), -EINVAL);
	assert_ptr_equal(map, untouched);
}

static void options_bad_values(void **state)
{
	struct rmap_options options = RMAP_OPTIONS_DEFAULT;

	(void)state;
	assert_int_equal(rmap_create(&options, NULL), -EINVAL);
	options.size = 0;
	refused(&options);
	options = (struct rmap_options)RMAP_OPTIONS_DEFAULT;
	options.reclaim = (enum rmap_reclaim)2;
	refused(&options);
	options = (struct rmap_options)RMAP_OPTIONS_DEFAULT;
	options.multiplicity_bits = RMAP_MULTIPLICITY_MAX + 1;
	refused(&options);
}

static void *no_alloc(void *arg, size_t bytes, size_t align)
{
	(void)arg;
	(void)bytes;
	(void)align;
	return NULL;
}

static void no_free(void *arg, void *memory, size_t bytes)
{
	(void)arg;
	(void)memory;
	(void)bytes;
}

static void options_bad_tiers(void **state)
{
	const struct rmap_tier tiers[] = {
		{ NULL, no_free, NULL, 0 },       { no_alloc, NULL, NULL, 0 },       { no_alloc, no_free, NULL, 64 },
		{ no_alloc, no_free, NULL, 960 }, { no_alloc, no_free, NULL, 4095 }, { no_alloc, no_free, NULL, 1 },
	};

	(void)state;
	for (unsigned i = 0; i < LENGTH(tiers); i++) {
		struct rmap_options options = RMAP_OPTIONS_DEFAULT;

		options.tier = &tiers[i];
		refused(&options);
	}
}

static void options_unknown_tail(void **state)
{
	struct later_options later = { .options = RMAP_OPTIONS_DEFAULT };
	struct rmap *map = NULL;

	(void)state;
	later.options.size = sizeof(later);
	assert_int_equal(rmap_create(&later.options, &map), 0); /* a later field at its default is harmless */
	assert_int_equal(rmap_destroy(map), 0);
	later.later = 1;
	refused(&later);
	later.later = (uint64_t)1 << 63;
	refused(&later);
}

static void options_every_multiplicity(void **state)
{
	(void)state;
	for (unsigned bits = 0; bits <= RMAP_MULTIPLICITY_MAX; bits++) {
		const uint64_t handle = (uint64_t)0xabc << 40;
		struct rmap_page page = { 0 };
		struct reference reference;
		struct fixture fixture;

		fixture_init(&fixture, bits, RMAP_RECLAIM_CALLBACK, 0);
		reference_init(&reference, bits);
		for (uint64_t i = 0; i < 5; i++) {
			struct rmap_mapping mapping = rmap_chained(handle + i * 8);

			assert_int_equal(fixture_add(&fixture, &page, mapping), reference_add(&reference, mapping));
		}
		reference_compare(&reference, fixture.map, &page, 2);
		assert_int_equal(fixture_drop(&fixture, &page), 5);
		reference_fini(&reference);
		fixture_fini(&fixture);
	}
}

static void options_flavor_by_name(void **state)
{
	struct rmap_options options = RMAP_OPTIONS_DEFAULT;
	struct rmap_reserve *reserve;
	struct rmap_page page = { 0 };
	struct rmap *map;

	(void)state;
	options.rcu = &rmap_urcu_memb;
	assert_int_equal(rmap_create(&options, &map), 0);
	urcu_memb_register_thread(); /* the flavor's own call does as well as the map's */
	assert_int_equal(rmap_reserve_create(map, &reserve), 0);
	rmap_read_lock(map);
	rmap_read_lock(map);
	assert_int_equal(rmap_page_add(reserve, &page, rmap_linear()), RMAP_FIRST);
	rmap_read_unlock(map);
	assert_int_equal(rmap_page_remove(reserve, &page, rmap_linear()), RMAP_LAST);
	rmap_read_unlock(map);
	rmap_reserve_destroy(reserve);
	urcu_memb_unregister_thread();
	assert_int_equal(rmap_destroy(map), 0);
}

/* An RCU of one's own, for one thread: what is deferred is done by a barrier. */
static unsigned sections;
static unsigned starts;
static struct rmap_rcu_node *deferred;

static void own_read_lock(void)
{
	sections++;
}

static void own_read_unlock(void)
{
	assert_true(sections-- > 0);
}

static int own_read_ongoing(void)
{
	return sections > 0;
}

static void own_synchronize(void)
{
	assert_int_equal(sections, 0);
}

static void own_defer(struct rmap_rcu_node *node)
{
	node->words[0] = deferred;
	node->words[1] = node;
	deferred = node;
}

static void own_barrier(void)
{
	assert_int_equal(sections, 0);
	while (deferred) {
		struct rmap_rcu_node *node = deferred;

		deferred = node->words[0];
		rmap_rcu_run(node);
	}
}

static int own_start(void (*work)(void *arg), void *arg)
{
	starts++;
	work(arg);
	return 0;
}

static int refuse_to_start(void (*work)(void *arg), void *arg)
{
	(void)work;
	(void)arg;
	return -ENOMEM;
}

static const struct rmap_rcu_ops own_rcu = {
	.size = sizeof(own_rcu),
	.read_lock = own_read_lock,
	.read_unlock = own_read_unlock,
	.read_ongoing = own_read_ongoing,
	.synchronize = own_synchronize,
	.defer = own_defer,
	.barrier = own_barrier,
	.start = own_start,
};

static void options_rcu_of_ones_own(void **state)
{
	(void)state;
	for (unsigned reclaim = RMAP_RECLAIM_CALLBACK; reclaim <= RMAP_RECLAIM_BLOCKING; reclaim++) {
		struct rmap_options options = RMAP_OPTIONS_DEFAULT;
		struct rmap_page page = { 0 };
		struct fixture fixture;
		struct probe probe;

		starts = 0;
		probe_init(&probe);
		options.tier = options.metadata = &probe.tier;
		options.reclaim = (enum rmap_reclaim)reclaim;
		options.rcu = &own_rcu;
		assert_int_equal(rmap_create(&options, &fixture.map), 0);
		assert_int_equal(starts, reclaim == RMAP_RECLAIM_CALLBACK);
		assert_int_equal(rmap_reserve_create(fixture.map, &fixture.reserve), 0);
		for (uint64_t i = 0; i < 300; i++)
			assert_true(fixture_add(&fixture, &page, mapping_of(RMAP_CHAINED, i)) >= 0);
		assert_int_equal(fixture_drop(&fixture, &page), 300);
		rmap_reserve_drain(fixture.reserve);
		assert_int_equal(rmap_check(fixture.map), 0);
		rmap_reserve_destroy(fixture.reserve);
		assert_int_equal(rmap_destroy(fixture.map), 0);
		assert_null(deferred);
		assert_int_equal(probe_live_bytes(&probe), 0);
		probe_fini(&probe);
	}
}

static int create_with(struct rmap_rcu_ops rcu, enum rmap_reclaim reclaim)
{
	struct rmap_options options = RMAP_OPTIONS_DEFAULT;
	struct rmap *map;
	int error;

	options.rcu = &rcu;
	options.reclaim = reclaim;
	error = rmap_create(&options, &map);
	if (!error)
		assert_int_equal(rmap_destroy(map), 0);
	return error;
}

static void options_rcu_that_lacks_something(void **state)
{
	struct rmap_rcu_ops rcu = own_rcu;

	(void)state;
	rcu.size--;
	assert_int_equal(create_with(rcu, RMAP_RECLAIM_CALLBACK), -EINVAL);
	rcu = own_rcu;
	rcu.synchronize = NULL;
	assert_int_equal(create_with(rcu, RMAP_RECLAIM_CALLBACK), -EINVAL);
	rcu = own_rcu;
	rcu.offline = own_synchronize;
	assert_int_equal(create_with(rcu, RMAP_RECLAIM_CALLBACK), -EINVAL);
	rcu = own_rcu;
	rcu.defer = NULL;
	assert_int_equal(create_with(rcu, RMAP_RECLAIM_CALLBACK), -EINVAL);
	assert_int_equal(create_with(rcu, RMAP_RECLAIM_BLOCKING), 0);
	rcu = own_rcu;
	rcu.start = refuse_to_start;
	assert_int_equal(create_with(rcu, RMAP_RECLAIM_CALLBACK), -ENOMEM);
	assert_int_equal(create_with(rcu, RMAP_RECLAIM_BLOCKING), 0);
}

static void create_out_of_memory(void **state)
{
	struct rmap *const untouched = (struct rmap *)(uintptr_t)0x1000;
	struct rmap_options options = RMAP_OPTIONS_DEFAULT;
	struct rmap *map = untouched;
	struct probe probe;

	(void)state;
	probe_init(&probe);
	options.tier = options.metadata = &probe.tier;
	probe_fail_all(&probe, true);
	assert_int_equal(rmap_create(&options, &map), -ENOMEM);
	assert_ptr_equal(map, untouched);
	probe_fail_all(&probe, false);
	assert_int_equal(rmap_create(&options, &map), 0);
	assert_int_equal(rmap_destroy(map), 0);
	probe_fini(&probe);
}

/* A map's memory is its tiers' memory; what one map does, no other one's figures or probes show. */
static void maps_share_nothing(void **state)
{
	struct rmap_page pages[3] = { { 0 }, { 0 }, { 0 } };
	struct fixture fixtures[3];
	struct rmap_statistics quiet;
	uint64_t calls;

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		fixture_init(&fixtures[i], i, i == 1 ? RMAP_RECLAIM_BLOCKING : RMAP_RECLAIM_CALLBACK, 0);
	assert_ptr_equal(rmap_reserve_map(fixtures[2].reserve), fixtures[2].map);
	quiet = fixture_stats(&fixtures[2]);
	calls = probe_calls(&fixtures[2].chains) + probe_calls(&fixtures[2].metadata);
	for (uint64_t i = 0; i < 2000; i++) {
		for (unsigned m = 0; m < 2; m++)
			assert_true(fixture_add(&fixtures[m], &pages[m], rmap_chained((i + 1) << 12)) >= 0);
	}
	for (unsigned m = 0; m < 2; m++) {
		assert_int_equal(fixture_mapcount(&fixtures[m], &pages[m]), 2000);
		assert_int_equal(fixture_drop(&fixtures[m], &pages[m]), 2000);
	}
	assert_int_equal(fixture_add(&fixtures[2], &pages[2], rmap_linear()), RMAP_FIRST);
	assert_int_equal(fixture_remove(&fixtures[2], &pages[2], rmap_linear()), RMAP_LAST);
	assert_int_equal(fixture_stats(&fixtures[2]).promotions, quiet.promotions);
	assert_int_equal(fixture_stats(&fixtures[2]).pushes, 0);
	assert_int_equal(fixture_stats(&fixtures[2]).batches, 0);
	assert_true(probe_calls(&fixtures[2].chains) + probe_calls(&fixtures[2].metadata) <= calls + 2);
	fixture_fini(&fixtures[1]); /* in another order than that of creation */
	fixture_fini(&fixtures[0]);
	fixture_fini(&fixtures[2]);
}

static void destroy_nothing(void **state)
{
	(void)state;
	assert_int_equal(rmap_destroy(NULL), 0);
	rmap_reserve_destroy(NULL);
	rmap_object_destroy(NULL);
}

static void destroy_in_child(void *map)
{
	rmap_destroy(map);
}

/* A map that is still in use: refused and unharmed, or, in a checked build, the end of the program. */
static void expect_busy(struct rmap *map)
{
	if (CHECKED) {
		reader_unregister(map); /* a fork beside a reader would be the end, too */
		assert_true(aborted(in_child(destroy_in_child, map)));
		reader_register(map);
	} else {
		assert_int_equal(rmap_destroy(map), -EBUSY);
	}
}

static void destroy_busy(void **state)
{
	struct rmap_options options = RMAP_OPTIONS_DEFAULT;
	struct rmap_reserve *reserve;
	struct rmap_object *object;
	struct rmap_page page = { 0 };
	struct rmap *map;

	(void)state;
	options.reclaim = RMAP_RECLAIM_BLOCKING; /* the child that ends has no helper thread of liburcu's */
	assert_int_equal(rmap_create(&options, &map), 0);
	reader_register(map);
	assert_int_equal(rmap_reserve_create(map, &reserve), 0);
	expect_busy(map);
	assert_int_equal(rmap_reserve_fill(reserve, 4), 0);
	rmap_read_lock(map);
	for (uint64_t i = 1; i <= 4; i++)
		assert_true(rmap_page_add(reserve, &page, rmap_chained(i << 3)) >= 0);
	rmap_read_unlock(map);
	rmap_reserve_destroy(reserve);
	expect_busy(map); /* a chain is left */
	assert_int_equal(rmap_reserve_create(map, &reserve), 0);
	rmap_read_lock(map);
	assert_int_equal(rmap_page_mapcount(map, &page), 4);
	assert_int_equal(rmap_page_drop(reserve, &page), 4);
	rmap_read_unlock(map);
	rmap_reserve_destroy(reserve);
	assert_int_equal(rmap_object_create(map, &object), 0);
	expect_busy(map);
	rmap_object_destroy(object);
	reader_unregister(map);
	assert_int_equal(rmap_destroy(map), 0);
}

/* A program older or newer than the library: what both know is filled in, and what only the program knows is 0. */
static void stats_sizes(void **state)
{
	const size_t first = offsetof(struct rmap_statistics, depot_bytes);
	struct {
		struct rmap_statistics stats;
		uint64_t later[2];
	} out;
	struct fixture fixture;

	(void)state;
	fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	fixture_fill(&fixture, 1);
	for (size_t size = 0; size < first; size += 8) {
		out.stats.size = size;
		assert_int_equal(rmap_stats(fixture.map, &out.stats), -EINVAL);
	}
	for (size_t size = first; size <= sizeof(out); size += 8) {
		memset(&out, 0x77, sizeof(out));
		out.stats.size = size;
		assert_int_equal(rmap_stats(fixture.map, &out.stats), 0);
		assert_int_equal(out.stats.size, size);
		assert_int_equal(out.stats.tier_bytes, probe_live_bytes(&fixture.chains));
		for (size_t i = first; i < sizeof(out); i += 8) {
			uint64_t word = *(const uint64_t *)((const char *)&out + i);

			if (i >= size)
				assert_int_equal(word, 0x7777777777777777);
			else if (i >= sizeof(out.stats))
				assert_int_equal(word, 0);
			else
				assert_int_not_equal(word, 0x7777777777777777);
		}
	}
	assert_int_equal(rmap_stats(NULL, &out.stats), -EINVAL);
	assert_int_equal(rmap_stats(fixture.map, NULL), -EINVAL);
	assert_int_equal(rmap_check(NULL), -EINVAL);
	fixture_fini(&fixture);
}

static void stats_follow_a_chain(void **state)
{
	struct rmap_page page = { 0 };
	struct fixture fixture;
	struct rmap_statistics stats;

	(void)state;
	fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	stats = fixture_stats(&fixture);
	assert_int_equal(stats.blocks + stats.pieces + stats.chain_bytes + stats.promotions + stats.collapses, 0);
	for (uint64_t i = 1; i <= 3; i++)
		assert_true(fixture_add(&fixture, &page, rmap_chained(i << 3)) >= 0);
	stats = fixture_stats(&fixture);
	assert_int_equal(stats.blocks, 1);
	assert_int_equal(stats.pieces, 0);
	assert_int_equal(stats.chain_bytes, 32);
	assert_int_equal(stats.promotions, 1);
	for (uint64_t i = 4; i <= 1000; i++)
		assert_true(fixture_add(&fixture, &page, rmap_chained(i << 3)) >= 0);
	stats = fixture_stats(&fixture);
	assert_int_equal(stats.blocks, 1);
	assert_int_equal(stats.pieces, fixture_shape(&fixture, &page).pieces);
	assert_int_equal(stats.chain_bytes + sizeof(page), fixture_shape(&fixture, &page).bytes);
	assert_true(stats.pushes >= stats.pieces);
	assert_true(stats.tier_bytes >= stats.chain_bytes + stats.reserve_bytes + stats.waiting_bytes);
	assert_int_equal(stats.tier_bytes, probe_live_bytes(&fixture.chains));
	for (uint64_t i = 1; i <= 1000; i++)
		assert_true(fixture_remove(&fixture, &page, rmap_chained(i << 3)) >= 0);
	rmap_reserve_drain(fixture.reserve);
	stats = fixture_stats(&fixture);
	assert_int_equal(stats.blocks + stats.pieces + stats.chain_bytes + stats.waiting_bytes, 0);
	assert_int_equal(stats.collapses, 1);
	assert_true(stats.pops > 0);
	assert_true(stats.batches > 0);
	assert_true(stats.waiting_peak > 0);
	fixture_fini(&fixture);
}

/* What an ended reserve counted stays counted: all events. Its end may be a hand-over more. */
static void stats_outlive_reserves(void **state)
{
	struct rmap_statistics before;
	struct rmap_statistics after;
	struct rmap_reserve *second;
	struct rmap_page page = { 0 };
	struct fixture fixture;

	(void)state;
	fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 1);
	assert_int_equal(rmap_reserve_create(fixture.map, &second), 0);
	for (uint64_t i = 1; i <= 1000; i++) {
		assert_int_equal(rmap_reserve_fill(second, 1), 0);
		rmap_read_lock(fixture.map);
		assert_true(rmap_page_add(second, &page, rmap_chained(i << 3)) >= 0);
		rmap_read_unlock(fixture.map);
	}
	for (uint64_t i = 1; i <= 990; i++) {
		rmap_read_lock(fixture.map);
		assert_true(rmap_page_remove(second, &page, rmap_chained(i << 3)) >= 0);
		rmap_read_unlock(fixture.map);
	}
	before = fixture_stats(&fixture);
	assert_int_equal(before.promotions, 1);
	assert_true(before.pushes > 0 && before.pops > 0 && before.entries_moved > 0 && before.fills_held_back > 0);
	rmap_reserve_destroy(second);
	after = fixture_stats(&fixture);
	assert_int_equal(after.promotions, before.promotions);
	assert_int_equal(after.pushes, before.pushes);
	assert_int_equal(after.pops, before.pops);
	assert_int_equal(after.entries_moved, before.entries_moved);
	assert_int_equal(after.fills_held_back, before.fills_held_back);
	assert_true(before.batches > 0 && after.batches >= before.batches);
	assert_int_equal(after.blocks, 1);
	assert_int_equal(after.pieces, before.pieces);
	assert_int_equal(after.chain_bytes, before.chain_bytes);
	assert_int_equal(fixture_drop(&fixture, &page), 10);
	after = fixture_stats(&fixture);
	assert_int_equal(after.blocks + after.pieces + after.chain_bytes, 0);
	fixture_fini(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options_null_means_defaults),
		cmocka_unit_test(options_default_macro),
		cmocka_unit_test(options_bad_values),
		cmocka_unit_test(options_bad_tiers),
		cmocka_unit_test(options_unknown_tail),
		cmocka_unit_test(options_every_multiplicity),
		cmocka_unit_test(options_flavor_by_name),
		cmocka_unit_test(options_rcu_of_ones_own),
		cmocka_unit_test(options_rcu_that_lacks_something),
		cmocka_unit_test(create_out_of_memory),
		cmocka_unit_test(maps_share_nothing),
		cmocka_unit_test(destroy_nothing),
		cmocka_unit_test(destroy_busy),
		cmocka_unit_test(stats_sizes),
		cmocka_unit_test(stats_follow_a_chain),
		cmocka_unit_test(stats_outlive_reserves),
	};

	return cmocka_run_group_tests_name("map", tests, NULL, NULL);
}
