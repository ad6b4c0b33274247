/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * unit_sweep.c - how much memory a map has, and what goes back to its tier: the figures of pool.h, by a thousand
 * reserves
 *
 * Each test ends with the accounting theorem (fixture_account()), and with an empty tier.
 */
#include "support.h"

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <urcu/urcu-memb.h>

#include <rmap/urcu.h>

RMAP_URCU(memb)

/* Records of batches are made of what is in hand beyond what a fill promised, however little that is. */
static void g1_records_take_nothing_promised(void **state)
{
	struct rmap_page victims[256];
	struct rmap_page pages[48];
	struct fixture fixture;

	(void)state;
	for (unsigned adds = 1; adds <= LENGTH(pages); adds++) {
		fixture_init(&fixture, 0, RMAP_RECLAIM_BLOCKING, 1); /* a hand-over for each step */
		memset(victims, 0, sizeof(victims));
		memset(pages, 0, sizeof(pages));
		for (unsigned p = 0; p < LENGTH(victims); p++)
			for (unsigned i = 0; i < 6; i++)
				assert_true(fixture_add(&fixture, &victims[p], mapping_of(RMAP_CHAINED, i)) >= 0);
		for (unsigned p = 0; p < adds; p++)
			for (unsigned i = 0; i < 3; i++)
				assert_true(fixture_add(&fixture, &pages[p], mapping_of(RMAP_CHAINED, i)) >= 0);
		fixture_fill(&fixture, adds);
		for (unsigned p = 0; p < LENGTH(victims); p++)
			assert_int_equal(fixture_drop(&fixture, &victims[p]), 6);
		rmap_read_lock(fixture.map);
		for (unsigned p = 0; p < adds; p++) /* needs a leaf */
			assert_int_equal(rmap_page_add(fixture.reserve, &pages[p], mapping_of(RMAP_CHAINED, 3)), 0);
		rmap_read_unlock(fixture.map);
		for (unsigned p = 0; p < adds; p++)
			assert_int_equal(fixture_drop(&fixture, &pages[p]), 4);
		fixture_fini(&fixture);
	}
}

/*
 * What a fill gives back of what earlier ones asked for is beyond what it promises, and beyond what fill_nowait() did.
 */
static void g1_what_is_kept_is_still_promised(void **state)
{
	static struct rmap_page victims[512];
	struct rmap_page pages[48];
	struct fixture fixture;

	(void)state;
	for (unsigned by_nowait = 0; by_nowait < 2; by_nowait++) {
		uint64_t before = 0;
		unsigned added = 0;

		fixture_init(&fixture, 0, RMAP_RECLAIM_BLOCKING, 1); /* a hand-over for each step */
		memset(pages, 0, sizeof(pages));
		for (unsigned p = 0; p < LENGTH(victims); p++)
			for (unsigned i = 0; i < 6; i++)
				assert_true(fixture_add(&fixture, &victims[p], mapping_of(RMAP_CHAINED, i)) >= 0);
		for (unsigned p = 0; p < LENGTH(pages); p++)
			for (unsigned i = 0; i < 3; i++)
				assert_true(fixture_add(&fixture, &pages[p], mapping_of(RMAP_CHAINED, i)) >= 0);
		rmap_reserve_drain(fixture.reserve);
		fixture_fill(&fixture, RMAP_RESERVE_ADDS_MAX);
		while (fixture_stats(&fixture).reserve_bytes >= before) {
			before = fixture_stats(&fixture).reserve_bytes;
			if (by_nowait)
				assert_int_equal(rmap_reserve_fill_nowait(fixture.reserve, LENGTH(pages)), 0);
			fixture_fill(&fixture, by_nowait ? 1 : LENGTH(pages));
		}
		for (unsigned p = 0; p < LENGTH(victims); p++)
			assert_int_equal(fixture_drop(&fixture, &victims[p]), 6);
		rmap_read_lock(fixture.map);
		for (unsigned p = 0; p < LENGTH(pages); p++) /* needs a leaf */
			added += rmap_page_add(fixture.reserve, &pages[p], mapping_of(RMAP_CHAINED, 3)) == 0;
		rmap_read_unlock(fixture.map);
		assert_int_equal(added, LENGTH(pages));
		for (unsigned p = 0; p < LENGTH(pages); p++)
			assert_int_equal(fixture_drop(&fixture, &pages[p]), 4);
		fixture_fini(&fixture);
	}
}

#if RMAP_INJECT
/*
 * A line that an add was promised is its own until it has ended, however often it begins anew. One thread does all
 * three parts, a part inside the other at a chosen step:
 *
 *      remover    takes the last mapping of a page; somewhere on the way
 *      adder      adds one to it, with one line in hand, as promised, and so many retired blocks that each further one
 *                 would make a batch if there were a line for its record; somewhere on the way
 *      filler     adds three
 *
 * The adder helps the chain to collapse, which retires it, and then needs its line for a chain that the filler has
 * made.
 */
static struct interrupted {
	struct fixture fixture;
	struct rmap_page page;
	struct rmap_reserve *adder, *filler;
	uint64_t adders_step;
	bool chained; /* when the add began */
	int added;
	unsigned helped;
} interrupted;

static void fill_page(void)
{
	struct interrupted *in = &interrupted;

	in->helped += in->chained && in->page.word == 0;
	for (unsigned i = 1; i <= 3; i++)
		expect(rmap_page_add(in->filler, &in->page, mapping_of(RMAP_CHAINED, i)) >= 0);
}

static void add_to_page(void)
{
	struct interrupted *in = &interrupted;

	in->chained = in->page.word != 0;
	rmap_inject_at(in->adders_step, fill_page);
	in->added = rmap_page_add(in->adder, &in->page, mapping_of(RMAP_CHAINED, 4));
	rmap_inject_at(0, NULL);
}

/* Leaves a page with a chain of one element, and the adder with a line for one add and none for a record. */
static void interrupted_init(struct interrupted *in)
{
	struct rmap_page victims[64];
	unsigned dropped = 0;

	fixture_init(&in->fixture, 0, RMAP_RECLAIM_BLOCKING, 1); /* a hand-over for each step; nothing is freed */
	memset(victims, 0, sizeof(victims));
	memset(&in->page, 0, sizeof(in->page));
	assert_int_equal(rmap_reserve_create(in->fixture.map, &in->adder), 0);
	assert_int_equal(rmap_reserve_create(in->fixture.map, &in->filler), 0);
	assert_int_equal(rmap_reserve_fill(in->adder, 1), 0);
	assert_int_equal(rmap_reserve_fill(in->filler, 2 * LENGTH(victims) + 8), 0);
	assert_int_equal(rmap_reserve_fill_nowait(in->filler, RMAP_RESERVE_ADDS_MAX), -EAGAIN); /* empties the depot */
	rmap_read_lock(in->fixture.map);
	for (unsigned p = 0; p < LENGTH(victims); p++)
		for (unsigned i = 0; i < 2; i++)
			assert_true(rmap_page_add(in->filler, &victims[p], mapping_of(RMAP_CHAINED, i)) >= 0);
	for (unsigned i = 0; i < 2; i++)
		assert_true(rmap_page_add(in->filler, &in->page, mapping_of(RMAP_CHAINED, i)) >= 0);
	assert_int_equal(rmap_page_remove(in->filler, &in->page, mapping_of(RMAP_CHAINED, 1)), 0);
	while (rmap_reserve_flush(in->adder) == 0)
		assert_int_equal(rmap_page_drop(in->adder, &victims[dropped++]), 2);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(rmap_page_drop(in->adder, &victims[dropped++]), 2);
	while (dropped < LENGTH(victims))
		assert_int_equal(rmap_page_drop(in->filler, &victims[dropped++]), 2);
	rmap_read_unlock(in->fixture.map);
}

static void interrupted_fini(struct interrupted *in, unsigned mappings)
{
	assert_int_equal(fixture_drop(&in->fixture, &in->page), mappings);
	rmap_reserve_destroy(in->adder);
	rmap_reserve_destroy(in->filler);
	fixture_fini(&in->fixture);
}

static void g1_a_promise_lasts_until_its_add_has_ended(void **state)
{
	struct interrupted *in = &interrupted;

	(void)state;
	in->helped = 0;
	for (uint64_t removers_step = 1; removers_step <= 16; removers_step++) {
		for (in->adders_step = 1; in->adders_step <= 16; in->adders_step++) {
			interrupted_init(in);
			in->added = -EAGAIN; /* the remove may have ended before its step */
			rmap_read_lock(in->fixture.map);
			rmap_inject_at(removers_step, add_to_page);
			expect(rmap_page_remove(in->fixture.reserve, &in->page, mapping_of(RMAP_CHAINED, 0)) >= 0);
			rmap_inject_at(0, NULL);
			rmap_read_unlock(in->fixture.map);
			assert_true(in->added >= 0 || in->added == -EAGAIN);
			interrupted_fini(in, fixture_mapcount(&in->fixture, &in->page));
		}
	}
	assert_true(in->helped > 0);
}
#else
static void g1_a_promise_lasts_until_its_add_has_ended(void **state)
{
	(void)state;
	test_not_run("build", "steps are counted with -Dinject=true");
}
#endif

#define MANY 1000u

static void many_create(struct rmap *map, struct rmap_reserve *reserves[MANY])
{
	for (unsigned i = 0; i < MANY; i++)
		assert_int_equal(rmap_reserve_create(map, &reserves[i]), 0);
}

static void many_destroy(struct rmap_reserve *reserves[MANY])
{
	for (unsigned i = 0; i < MANY; i++)
		rmap_reserve_destroy(reserves[i]);
}

/*
 * What a reserve may have in hand that is filled for one add at a time: a magazine of blocks, blocks for plans, and
 * lines: for records, for two leaves of the largest size, and some more.
 */
#define IN_HAND ((size_t)32 * (1 + 32 + 16) + 64 * (1 + 8 + 2 * 32 + 48))

/* A chain that has grown has left leaves of all smaller sizes in the depots, for others. */
#define TIER_GROWING 7

/* Reserves that take turns on one long chain: what each keeps for its next rebuild does not depend on its length. */
static void g8_what_a_rebuild_needs_is_small(void **state)
{
	static struct rmap_reserve *reserves[MANY];
	struct rmap_page page = { 0 };
	struct rmap_statistics stats;
	struct fixture fixture;

	(void)state;
	fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	many_create(fixture.map, reserves);
	for (uint64_t i = 0; i < 40000; i++)
		assert_true(fixture_add_by(&fixture, reserves[i % MANY], &page, mapping_of(RMAP_CHAINED, i)) >= 0);
	fixture_account(&fixture);
	stats = fixture_stats(&fixture);
	assert_in_range(stats.reserve_bytes, 1, MANY * IN_HAND);
	assert_in_range(stats.tier_bytes, stats.chain_bytes, TIER_GROWING * stats.chain_bytes + MANY * IN_HAND);
	assert_true(fixture_drop_by(&fixture, fixture.reserve, &page) > 0);
	for (unsigned i = 0; i < MANY; i++)
		assert_int_equal(rmap_reserve_fill(reserves[i], 1), 0);
	rmap_reserve_drain(fixture.reserve);
	stats = fixture_stats(&fixture);
	assert_in_range(stats.tier_bytes, 1, 3 * MANY * IN_HAND);
	fixture_account(&fixture);
	many_destroy(reserves);
	fixture_fini(&fixture);
}

/* A fill for many adds is no debt for ever: what later ones do not ask for goes back, and all of it by a drain. */
static void g8_a_large_fill_is_given_back(void **state)
{
	static struct rmap_reserve *reserves[MANY];
	struct fixture fixture;

	(void)state;
	fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	fixture_fill(&fixture, RMAP_RESERVE_ADDS_MAX);
	for (unsigned i = 0; i < 512; i++)
		fixture_fill(&fixture, 1);
	assert_in_range(fixture_stats(&fixture).reserve_bytes, 96, IN_HAND);
	fixture_fill(&fixture, RMAP_RESERVE_ADDS_MAX);
	rmap_reserve_drain(fixture.reserve);
	assert_int_equal(fixture_stats(&fixture).reserve_bytes, 0);
	assert_int_equal(probe_live_bytes(&fixture.chains), 0);
	many_create(fixture.map, reserves);
	for (unsigned i = 0; i < MANY; i++)
		assert_int_equal(rmap_reserve_fill(reserves[i], 256), 0);
	assert_in_range(fixture_stats(&fixture).reserve_bytes, MANY * 256 * 96, MANY * 256 * 96 + MANY * IN_HAND);
	for (unsigned i = 0; i < 512 * MANY; i++)
		assert_int_equal(rmap_reserve_fill(reserves[i % MANY], 1), 0);
	assert_in_range(fixture_stats(&fixture).reserve_bytes, MANY * 96, MANY * IN_HAND);
	fixture_account(&fixture);
	for (unsigned i = 0; i < MANY; i++)
		assert_int_equal(rmap_reserve_fill(reserves[i], 64), 0);
	many_destroy(reserves);
	fixture_fini(&fixture);
}

/* What a thousand reserves have retired, each a little, and keep to themselves is in the figures and within the cap. */
static void g8_idle_reserves_are_within_the_cap(void **state)
{
	const size_t waiting_max = CHECKED ? 256 << 10 : 1 << 20; /* half of it is more than all steps */
	const size_t step = CHECKED ? 64 : 256;
	static struct rmap_reserve *reserves[MANY];
	struct rmap_page page = { 0 };
	struct rmap_statistics stats;
	struct fixture fixture;

	(void)state;
	for (unsigned reclaim = RMAP_RECLAIM_CALLBACK; reclaim <= RMAP_RECLAIM_BLOCKING; reclaim++) {
		fixture_init(&fixture, 0, (enum rmap_reclaim)reclaim, waiting_max);
		many_create(fixture.map, reserves);
		for (unsigned i = 0; i < MANY; i++) {
			for (unsigned k = 0; k < 600; k++)
				assert_true(fixture_add_by(&fixture, reserves[i], &page, mapping_of(RMAP_CHAINED, k)) >=
					    0);
			assert_true(fixture_drop_by(&fixture, reserves[i], &page) > 0);
			/* Checked builds have handed that over, and might keep this. */
			for (unsigned k = 0; k < 20; k++)
				assert_true(fixture_add(&fixture, &page, mapping_of(RMAP_CHAINED, k)) >= 0);
			assert_true(fixture_drop_by(&fixture, reserves[i], &page) > 0);
			stats = fixture_stats(&fixture);
			/* The chains that were just dropped were retired between two fills. */
			assert_in_range(stats.waiting_bytes, 0, waiting_max + step * MANY + (16 << 10));
			assert_true(stats.waiting_peak >= stats.waiting_bytes);
		}
		fixture_account(&fixture); /* waits for all that was handed over */
		assert_in_range(fixture_stats(&fixture).waiting_bytes, 0, waiting_max / 2 + step * MANY);
		for (unsigned i = 0; i <= MANY; i++) {
			struct rmap_reserve *reserve = i < MANY ? reserves[i] : fixture.reserve;
			int result = rmap_reserve_flush(reserve);

			/*
			 * Where grace periods take long, it handed over so often that no line is left: a fill gets
			 * more.
			 */
			if (result == -EAGAIN) {
				assert_int_equal(rmap_reserve_fill(reserve, 0), 0);
				result = rmap_reserve_flush(reserve);
			}
			assert_int_equal(result, 0);
		}
		fixture_account(&fixture);
		assert_int_equal(fixture_stats(&fixture).waiting_bytes, 0);
		many_destroy(reserves);
		fixture_fini(&fixture);
	}
}

/* Three ways of making as many adds or moves as a fill was for, in a section. */
enum way { ADDS, FIRST_TRIES, MOVES, WAYS };

#define FILLED_FOR 300u

static void come_and_go(struct rmap_reserve *reserve, struct rmap_page *page, enum way way)
{
	struct rmap_mapping chained = mapping_of(RMAP_CHAINED, 0);

	for (unsigned i = 0; i < FILLED_FOR; i++) {
		if (way != MOVES) {
			expect(rmap_page_add(reserve, page, chained) >= 0);
			expect(rmap_page_remove(reserve, page, chained) >= 0);
		} else {
			expect(rmap_page_move(reserve, page, i % 2 ? chained : rmap_linear(),
					      i % 2 ? rmap_linear() : chained) >= 0);
		}
	}
}

/*
 * Reserves that were filled for many adds, which came, and retired much: no line is kept for the adds that have been.
 */
static void reserves_hand_over(enum way way)
{
	const size_t waiting_max = 1 << 20;
	static struct rmap_reserve *reserves[MANY];
	static struct rmap_page pages[100];
	struct rmap_page page = { 0 };
	struct fixture fixture;
	unsigned refused = 0;

	fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, waiting_max);
	many_create(fixture.map, reserves);
	/* Beside linear mappings a chained one makes a chain; alone it is what the first try does. */
	for (unsigned i = 0; way != FIRST_TRIES && i < 2; i++)
		assert_true(fixture_add(&fixture, &page, rmap_linear()) >= 0);
	for (unsigned i = 0; i < MANY; i++) {
		fixture_fill(&fixture, 2 * LENGTH(pages));
		assert_int_equal(rmap_reserve_fill(reserves[i], FILLED_FOR), 0);
		rmap_read_lock(fixture.map);
		for (unsigned p = 0; way == FIRST_TRIES && p < 2 * LENGTH(pages); p++)
			expect(rmap_page_add(fixture.reserve, &pages[p / 2], mapping_of(RMAP_CHAINED, p % 2)) >= 0);
		come_and_go(reserves[i], &page, way);
		for (unsigned p = 0; way == FIRST_TRIES && p < LENGTH(pages); p++)
			expect(rmap_page_drop(reserves[i], &pages[p]) == 2);
		rmap_read_unlock(fixture.map);
	}
	fixture_account(&fixture); /* waits for all that was handed over */
	assert_in_range(fixture_stats(&fixture).waiting_bytes, 0, waiting_max / 2 + 256 * MANY);
	for (unsigned i = 0; i < MANY; i++)
		refused += rmap_reserve_flush(reserves[i]) != 0;
	assert_int_equal(refused, 0);
	fixture_account(&fixture);
	assert_int_equal(fixture_stats(&fixture).waiting_bytes, 0);
	fixture_drop(&fixture, &page);
	many_destroy(reserves);
	fixture_fini(&fixture);
}

static void g8_reserves_hand_over_what_they_retired(void **state)
{
	(void)state;
	for (unsigned way = 0; way < WAYS; way++)
		reserves_hand_over((enum way)way);
}

/* An exit: it takes nothing from the tier, and what it retires was in chains. A fill for nothing holds it back. */
static void g8_removes_alone_take_nothing(void **state)
{
	const size_t waiting_max = 64 << 10;
	static struct rmap_page pages[20000];
	struct rmap_statistics before, stats;
	struct fixture fixture;
	uint64_t calls, most;

	(void)state;
	for (unsigned fills = 0; fills < 2; fills++) {
		fixture_init(&fixture, 0, RMAP_RECLAIM_BLOCKING,
			     waiting_max); /* in which nothing is freed until one waits */
		for (unsigned p = 0; p < LENGTH(pages); p++)
			for (unsigned i = 0; i < 5; i++)
				assert_true(fixture_add_by(&fixture, fixture.reserve, &pages[p],
							   mapping_of(RMAP_CHAINED, i)) >= 0);
		before = fixture_stats(&fixture);
		calls = probe_calls(&fixture.chains);
		for (unsigned p = 0; p < LENGTH(pages); p++) {
			assert_true(fixture_drop_by(&fixture, fixture.reserve, &pages[p]) > 0);
			if (fills && p % 100 == 0)
				assert_int_equal(rmap_reserve_fill(fixture.reserve, 0), 0);
			stats = fixture_stats(&fixture);
			/* Of each batch, the record. */
			most = before.chain_bytes + before.waiting_bytes + 64 * (stats.batches - before.batches);
			assert_in_range(stats.chain_bytes + stats.waiting_bytes, fills ? 0 : most, most);
			if (fills)
				assert_in_range(stats.waiting_bytes, 0, waiting_max + 100 * 96 + (16 << 10));
		}
		assert_int_equal(stats.chain_bytes, 0);
		/* Lines for records and rebuilds are all that a fill for nothing gets. */
		assert_true(fills || probe_calls(&fixture.chains) == calls);
		assert_in_range(stats.tier_bytes, 0, before.tier_bytes + fills * (64 << 10));
		assert_true(fills ? stats.fills_held_back > before.fills_held_back
				  : stats.waiting_bytes >= before.chain_bytes);
		fixture_fini(&fixture);
	}
}

/* Chains of one size after the other, of which none is there at the end of its turn: a drain gives all of it back. */
static void g8_a_drain_gives_slabs_back(void **state)
{
	static struct rmap_page pages[10000];
	struct fixture fixture;
	size_t turn = 0;

	(void)state;
	for (unsigned reclaim = RMAP_RECLAIM_CALLBACK; reclaim <= RMAP_RECLAIM_BLOCKING; reclaim++) {
		fixture_init(&fixture, 0, (enum rmap_reclaim)reclaim, 0);
		for (unsigned size = 3; size <= 1536; size *= 2) {
			unsigned n = 30000 / size;

			for (unsigned p = 0; p < n; p++)
				for (unsigned i = 0; i < size; i++)
					assert_true(fixture_add_by(&fixture, fixture.reserve, &pages[p],
								   mapping_of(RMAP_CHAINED, i)) >= 0);
			turn = fixture_stats(&fixture).chain_bytes > turn ? fixture_stats(&fixture).chain_bytes : turn;
			for (unsigned p = 0; p < n; p++)
				assert_true(fixture_drop_by(&fixture, fixture.reserve, &pages[p]) > 0);
			rmap_reserve_drain(fixture.reserve);
			fixture_account(&fixture);
			assert_int_equal(probe_live_bytes(&fixture.chains), 0);
		}
		assert_in_range(fixture.chains.peak_bytes, turn, TIER_GROWING * turn);
		fixture_fini(&fixture);
	}
}

/*
 * Nobody drains, and all leaves of a chain grow in step: what the shorter ones were becomes longer ones, or goes back.
 */
static void g8_a_chain_that_grows_sweeps(void **state)
{
	struct rmap_page page = { 0 };
	struct fixture fixture;
	struct rmap_statistics stats = { 0 };

	(void)state;
	fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	for (uint64_t i = 1; i <= 100000; i++) {
		assert_true(fixture_add_by(&fixture, fixture.reserve, &page, mapping_of(RMAP_CHAINED, i)) >= 0);
		if (i % 2000)
			continue;
		fixture_account(&fixture); /* grace periods keep up */
		stats = fixture_stats(&fixture);
		if (i >= 30000)
			assert_in_range(stats.tier_bytes, stats.chain_bytes, 3 * stats.chain_bytes);
	}
	print_message("# tier / chain at 10^5: %.2f\n", (double)stats.tier_bytes / (double)stats.chain_bytes);
	assert_true(fixture_drop_by(&fixture, fixture.reserve, &page) > 0);
	fixture_fini(&fixture);
}

/* A slab that still has a mapping in it stays, and so do all mappings. */
static void a_drain_leaves_what_is_used(void **state)
{
	static struct rmap_page pages[3000];
	struct rmap_statistics stats;
	struct fixture fixture;

	(void)state;
	fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	for (unsigned p = 0; p < LENGTH(pages); p++)
		for (unsigned i = 0; i < 20; i++)
			assert_true(fixture_add_by(&fixture, fixture.reserve, &pages[p], mapping_of(RMAP_CHAINED, i)) >=
				    0);
	for (unsigned p = 0; p < LENGTH(pages); p++)
		if (p % 100)
			assert_true(fixture_drop_by(&fixture, fixture.reserve, &pages[p]) > 0);
	rmap_reserve_drain(fixture.reserve);
	fixture_account(&fixture);
	stats = fixture_stats(&fixture);
	assert_int_equal(stats.blocks, 30);
	assert_int_equal(stats.reserve_bytes + stats.waiting_bytes, 0);
	/* Each block and each piece that is left keeps at most one slab. */
	assert_in_range(stats.tier_bytes, stats.chain_bytes, (stats.blocks + stats.pieces) * (16 << 10));
	for (unsigned p = 0; p < LENGTH(pages); p += 100)
		assert_int_equal(fixture_drop(&fixture, &pages[p]), 20);
	fixture_fini(&fixture);
}

/* Threads that drain, fill, and use what each other gave back. */
static void *drain_and_use(void *arg)
{
	struct worker *worker = arg;
	struct rmap_reserve *reserve;
	struct rmap_page own[8];

	memset(own, 0, sizeof(own));
	worker_begin(worker, &reserve);
	for (unsigned round = 0; round < worker->rounds; round++) {
		for (unsigned p = 0; p < LENGTH(own); p++)
			for (unsigned i = 0; i < 1 + round % 40; i++) {
				expect(rmap_reserve_fill(reserve, 1) == 0);
				rmap_read_lock(worker->fixture->map);
				expect(rmap_page_add(reserve, &own[p], mapping_of(RMAP_CHAINED, i)) >= 0);
				rmap_read_unlock(worker->fixture->map);
			}
		if (round % WORKERS == worker->number)
			rmap_reserve_drain(reserve);
		rmap_read_lock(worker->fixture->map);
		for (unsigned p = 0; p < LENGTH(own); p++)
			expect(rmap_page_drop(reserve, &own[p]) == 1 + round % 40);
		rmap_read_unlock(worker->fixture->map);
	}
	rmap_reserve_drain(reserve);
	worker_end(worker, reserve);
	return NULL;
}

static void drains_meet_fills(void **state)
{
	struct worker workers[WORKERS];
	struct fixture fixture;

	(void)state;
	for (unsigned reclaim = RMAP_RECLAIM_CALLBACK; reclaim <= RMAP_RECLAIM_BLOCKING; reclaim++) {
		fixture_init(&fixture, 0, (enum rmap_reclaim)reclaim, 0);
		workers_run(&fixture, NULL, drain_and_use, (unsigned)test_scaled(200), workers);
		fixture_account(&fixture);
		assert_int_equal(probe_live_bytes(&fixture.chains), 0);
		fixture_fini(&fixture);
	}
}

/*
 * What a reserve has freed by itself, having had no memory for a record, is in no grace period's order: a drain reads
 * it since it came out of the depot. The thread says so without ordering anything, for ThreadSanitizer to see what
 * does, and stays until the drain has ended.
 */
static atomic_bool freed_alone;
static atomic_bool drained_alone;

static void *free_alone(void *arg)
{
	struct worker *worker = arg;
	struct rmap_reserve *reserve;

	reader_register(worker->fixture->map);
	expect(rmap_reserve_create(worker->fixture->map, &reserve) == 0);
	rmap_read_lock(worker->fixture->map);
	for (unsigned p = 0; p < worker->rounds; p++)
		expect(rmap_page_drop(reserve, &worker->page[p]) == 2);
	rmap_read_unlock(worker->fixture->map);
	rmap_reserve_destroy(reserve);
	atomic_store_explicit(&freed_alone, true, memory_order_relaxed);
	while (!atomic_load_explicit(&drained_alone, memory_order_relaxed))
		sched_yield();
	reader_unregister(worker->fixture->map);
	return NULL;
}

static void a_drain_reads_what_others_have_freed(void **state)
{
	struct rmap_page pages[40] = { 0 };
	struct rmap_reserve *empty;
	struct fixture fixture;
	struct worker worker = { .fixture = &fixture, .page = pages, .rounds = LENGTH(pages) };
	pthread_t thread;

	(void)state;
	freed_alone = drained_alone = false;
	fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	assert_int_equal(rmap_reserve_create(fixture.map, &empty), 0);
	fixture_fill(&fixture, 2 * LENGTH(pages)); /* and keeps all lines */
	rmap_read_lock(fixture.map);
	for (unsigned p = 0; p < 2 * LENGTH(pages); p++)
		expect(rmap_page_add(fixture.reserve, &pages[p / 2], mapping_of(RMAP_CHAINED, p % 2)) >= 0);
	rmap_read_unlock(fixture.map);
	assert_int_equal(pthread_create(&thread, NULL, free_alone, &worker), 0);
	while (!atomic_load_explicit(&freed_alone, memory_order_relaxed))
		sched_yield();
	rmap_reserve_drain(empty);
	atomic_store_explicit(&drained_alone, true, memory_order_relaxed);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(fixture_stats(&fixture).batches, 0);
	rmap_reserve_destroy(empty);
	fixture_fini(&fixture);
}

/* A tier with little to give: what waits is all there is. -------------------------------------- */

struct small_tier {
	struct probe probe;
	size_t room;
};

static void *small_alloc(void *arg, size_t bytes, size_t align)
{
	struct small_tier *small = arg;

	return probe_live_bytes(&small->probe) + bytes > small->room
		       ? NULL
		       : small->probe.tier.alloc(&small->probe, bytes, align);
}

static void small_free(void *arg, void *memory, size_t bytes)
{
	struct small_tier *small = arg;

	small->probe.tier.free(&small->probe, memory, bytes);
}

/* A map on it, whose thread is registered. */
static struct rmap *small_begin(struct small_tier *small, struct rmap_options options)
{
	struct rmap_tier tier = { small_alloc, small_free, small, 1024 };
	struct rmap *map;

	probe_init(&small->probe);
	options.hash_seed = 1; /* as a fixture's */
	options.tier = &tier;
	assert_int_equal(rmap_create(&options, &map), 0);
	reader_register(map);
	return map;
}

static void small_end(struct small_tier *small, struct rmap *map)
{
	reader_unregister(map);
	assert_int_equal(rmap_destroy(map), 0);
	probe_fini(&small->probe);
}

/* Chains of all sizes that fit come and go; before it fails, a fill waits for what waits, and regroups what is free. */
static void g9_a_fill_takes_what_waits(void **state)
{
	struct small_tier small = { .room = 64 << 10 };
	struct rmap_options options = RMAP_OPTIONS_DEFAULT;

	(void)state;
	for (unsigned reclaim = RMAP_RECLAIM_CALLBACK; reclaim <= RMAP_RECLAIM_BLOCKING; reclaim++) {
		static struct rmap_page pages[1500];
		struct fixture fixture = { 0 };

		options.reclaim = (enum rmap_reclaim)reclaim;
		fixture.map = small_begin(&small, options);
		assert_int_equal(rmap_reserve_create(fixture.map, &fixture.reserve), 0);
		for (unsigned round = 0; round < 20; round++) {
			unsigned n = round % 2 ? 1 : LENGTH(pages);
			unsigned length = round % 2 ? 3000 : 2;

			/* 47 KiB of first blocks, then 33 KiB of leaves: out of the same slabs. */
			for (unsigned p = 0; p < n; p++)
				for (unsigned i = 0; i < length; i++)
					assert_true(fixture_add(&fixture, &pages[p], mapping_of(RMAP_CHAINED, i)) >= 0);
			for (unsigned p = 0; p < n; p++)
				assert_int_equal(fixture_drop(&fixture, &pages[p]), length);
		}
		/* What cannot be had still is refused, and what is in hand stays. */
		assert_int_equal(rmap_reserve_fill(fixture.reserve, 20), 0);
		assert_int_equal(rmap_reserve_fill(fixture.reserve, 4096), -ENOMEM);
		rmap_read_lock(fixture.map);
		for (unsigned i = 0; i < 20; i++)
			assert_true(rmap_page_add(fixture.reserve, &pages[0], mapping_of(RMAP_CHAINED, i)) >= 0);
		rmap_read_unlock(fixture.map);
		assert_true(fixture_drop_by(&fixture, fixture.reserve, &pages[0]) > 0);
		assert_int_equal(rmap_check(fixture.map), 0);
		rmap_reserve_destroy(fixture.reserve);
		small_end(&small, fixture.map);
	}
}

/* A fill that fails keeps nothing of what it got: two that each had half would both fail for ever. */
static void g9_a_fill_that_fails_gives_back(void **state)
{
	struct small_tier small = { .room = 64 << 10 };
	struct rmap_options options = RMAP_OPTIONS_DEFAULT;

	(void)state;
	for (unsigned reclaim = RMAP_RECLAIM_CALLBACK; reclaim <= RMAP_RECLAIM_BLOCKING; reclaim++) {
		struct rmap_statistics before = { .size = sizeof(before) };
		struct rmap_statistics after = { .size = sizeof(after) };
		struct rmap_reserve *first, *second;
		struct fixture fixture = { 0 };

		options.reclaim = (enum rmap_reclaim)reclaim;
		fixture.map = small_begin(&small, options);
		assert_int_equal(rmap_reserve_create(fixture.map, &first), 0);
		assert_int_equal(rmap_reserve_create(fixture.map, &second), 0);
		assert_int_equal(rmap_reserve_fill(first, 10), 0);
		assert_int_equal(rmap_stats(fixture.map, &before), 0);
		for (unsigned i = 0; i < 3; i++) {
			/* Blocks for a thousand fit, lines do not. */
			assert_int_equal(rmap_reserve_fill(first, 1000), -ENOMEM);
			assert_int_equal(rmap_stats(fixture.map, &after), 0);
			assert_true(after.reserve_bytes <= before.reserve_bytes);
			assert_int_equal(rmap_reserve_fill(second, 500), 0);
			rmap_reserve_drain(second);
		}
		assert_int_equal(rmap_check(fixture.map), 0);
		rmap_reserve_destroy(first);
		rmap_reserve_destroy(second);
		small_end(&small, fixture.map);
	}
}

/*
 * A fill that has regrouped finds what is free, also if a drain begins to do so at that moment. The RCU is liburcu's
 * with a barrier that tells whose it is: when the fill's last one has ended it lets the drain begin, and goes on once
 * that has swept, or after so many tries if it does not. The drain's sweep cannot end before the fill has, for it is in
 * a section.
 */
#define TRIES 100000u

static _Thread_local unsigned fill_barriers;
static _Thread_local unsigned drain_barriers;
static atomic_bool fill_regrouped;
static atomic_bool drain_swept;
static atomic_bool fill_over;

static void barrier_in_turn(void)
{
	if (drain_barriers && drain_barriers++ == 2) {
		drain_swept = true;
		while (!fill_over)
			sched_yield();
		urcu_memb_read_unlock();
	}
	urcu_memb_barrier();
	if (drain_barriers == 2)
		urcu_memb_read_lock();
	if (fill_barriers && fill_barriers++ == 3) {
		fill_regrouped = true;
		for (unsigned i = 0; i < TRIES && !drain_swept; i++)
			sched_yield();
	}
}

static void *drain_in_turn(void *arg)
{
	struct rmap_reserve *reserve = arg;

	reader_register(rmap_reserve_map(reserve));
	while (!fill_regrouped)
		sched_yield();
	drain_barriers = 1;
	rmap_reserve_drain(reserve);
	drain_barriers = 0;
	reader_unregister(rmap_reserve_map(reserve));
	return NULL;
}

static void g9_a_fill_finds_what_it_regrouped(void **state)
{
	struct small_tier small = { .room = 8 << 10 };
	struct rmap_rcu_ops rcu = rmap_urcu_memb;
	struct rmap_options options = RMAP_OPTIONS_DEFAULT;
	struct rmap_page pages[256] = { 0 };
	struct rmap_reserve *drained, *hoarder;
	struct fixture fixture = { 0 };
	unsigned adds = 1;
	unsigned n = 0;
	pthread_t thread;
	int result;

	(void)state;
	rcu.barrier = barrier_in_turn;
	options.rcu = &rcu;
	fixture.map = small_begin(&small, options);
	assert_int_equal(rmap_reserve_create(fixture.map, &fixture.reserve), 0);
	assert_int_equal(rmap_reserve_create(fixture.map, &drained), 0);
	assert_int_equal(rmap_reserve_create(fixture.map, &hoarder), 0);

	/* Each slab holds a chain, so none goes back; the rest is free, until it waits in the hoarder's batches. */
	while (n < LENGTH(pages) && rmap_reserve_fill(fixture.reserve, 4) == 0) {
		for (unsigned i = 0; i < 4; i++)
			assert_true(fixture_add_by(&fixture, fixture.reserve, &pages[n], mapping_of(RMAP_CHAINED, i)) >=
				    0);
		n++;
	}
	assert_in_range(n, 16, LENGTH(pages) - 1);
	for (unsigned p = 0; p < n; p++)
		if (p % 4)
			assert_int_equal(fixture_drop_by(&fixture, fixture.reserve, &pages[p]), 4);
	rmap_reserve_drain(fixture.reserve);
	while (rmap_reserve_fill(hoarder, adds) == 0)
		adds++;
	small.room = probe_live_bytes(&small.probe);
	rmap_reserve_destroy(hoarder);

	fill_regrouped = drain_swept = fill_over = false;
	assert_int_equal(pthread_create(&thread, NULL, drain_in_turn, drained), 0);
	fill_barriers = 1;
	result = rmap_reserve_fill(fixture.reserve, 1);
	assert_int_equal(fill_barriers, 4);
	fill_barriers = 0;
	fill_over = true;
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(result, 0);

	for (unsigned p = 0; p < n; p += 4)
		assert_int_equal(fixture_drop(&fixture, &pages[p]), 4);
	assert_int_equal(rmap_check(fixture.map), 0);
	rmap_reserve_destroy(drained);
	rmap_reserve_destroy(fixture.reserve);
	small_end(&small, fixture.map);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(g1_records_take_nothing_promised),
		cmocka_unit_test(g1_what_is_kept_is_still_promised),
		cmocka_unit_test(g1_a_promise_lasts_until_its_add_has_ended),
		cmocka_unit_test(g8_what_a_rebuild_needs_is_small),
		cmocka_unit_test(g8_a_chain_that_grows_sweeps),
		cmocka_unit_test(g8_a_large_fill_is_given_back),
		cmocka_unit_test(g8_idle_reserves_are_within_the_cap),
		cmocka_unit_test(g8_reserves_hand_over_what_they_retired),
		cmocka_unit_test(g8_removes_alone_take_nothing),
		cmocka_unit_test(g8_a_drain_gives_slabs_back),
		cmocka_unit_test(a_drain_leaves_what_is_used),
		cmocka_unit_test(drains_meet_fills),
		cmocka_unit_test(a_drain_reads_what_others_have_freed),
		cmocka_unit_test(g9_a_fill_takes_what_waits),
		cmocka_unit_test(g9_a_fill_that_fails_gives_back),
		cmocka_unit_test(g9_a_fill_finds_what_it_regrouped),
	};

	return cmocka_run_group_tests_name("sweep", tests, NULL, NULL);
}
