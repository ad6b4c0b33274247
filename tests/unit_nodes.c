/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * unit_nodes.c - the memory of range indexes (object.h): nodes are used again, no more of them wait than may, and
 * detaches need none; and queries of earlier versions beside updates
 */
#include "support.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>

#include <urcu/urcu-memb.h>

#include <rmap/urcu.h>

/* Nodes that updates replaced serve the next ones; a drain gives them back, but for what detaches may need. */
static void updates_use_their_nodes_again(void **state)
{
	struct rmap_object *object;
	struct fixture fixture;
	uint64_t before = 0;

	(void)state;
	fixture_init(&fixture, 0, RMAP_RECLAIM_BLOCKING, 64 << 10);
	assert_int_equal(rmap_object_create(fixture.map, &object), 0);
	for (uint64_t i = 0; i < 6000; i++) {
		struct rmap_range range = { .first = i * 7919 % 500, .owner = 1, .page_shift = 12 };

		range.last = range.first;
		range.address = range.first << 20;
		if (i == 3000)
			before = fixture.metadata.calls;
		if (i >= 500)
			assert_int_equal(rmap_object_detach(object, &range), 0);
		assert_int_equal(rmap_object_attach(object, &range), 0);
	}
	assert_int_equal(fixture.metadata.calls, before);
	rmap_reserve_drain(fixture.reserve);
	before = probe_live_bytes(&fixture.metadata);
	assert_true(before < 500 * 200 + (32 << 10));
	rmap_object_destroy(object);
	rmap_reserve_drain(fixture.reserve);
	assert_true(probe_live_bytes(&fixture.metadata) < 32 << 10);
	fixture_fini(&fixture);
}

/* However large a tree was, no more is kept than may wait, and what detaches may need. */
static void no_more_nodes_are_kept_than_may_wait(void **state)
{
	enum { RANGES = 4000 };
	struct rmap_object *object;
	struct fixture fixture;
	uint64_t before;

	(void)state;
	fixture_init(&fixture, 0, RMAP_RECLAIM_BLOCKING, 32 << 10);
	before = probe_live_bytes(&fixture.metadata);
	assert_int_equal(rmap_object_create(fixture.map, &object), 0);
	for (uint64_t i = 0; i < 2 * RANGES; i++) {
		struct rmap_range range = { .first = i % RANGES, .last = i % RANGES, .page_shift = 12 };

		assert_int_equal(i < RANGES ? rmap_object_attach(object, &range) : rmap_object_detach(object, &range),
				 0);
	}
	assert_int_equal(rmap_check(fixture.map), 0);
	assert_true(probe_live_bytes(&fixture.metadata) - before < (32 << 10) + (64 << 10));
	rmap_object_destroy(object);
	fixture_fini(&fixture);
}

/* Nor after a list that has failed, however long it was; nor when what had trees has ended. */
static void no_more_nodes_are_kept_behind_a_list(void **state)
{
	enum { RANGES = 8000, FEW = 96 << 10 };
	struct rmap_range *ranges = calloc(RANGES + 1, sizeof(*ranges));
	struct rmap_change *changes = calloc(RANGES + 1, sizeof(*changes));
	struct rmap_object *object;
	struct fixture fixture;
	uint64_t before;

	(void)state;
	assert_non_null(ranges);
	assert_non_null(changes);
	fixture_init(&fixture, 0, RMAP_RECLAIM_BLOCKING, 0);
	before = probe_live_bytes(&fixture.metadata);
	assert_int_equal(rmap_object_create(fixture.map, &object), 0);
	for (uint64_t i = 0; i <= RANGES; i++) {
		ranges[i] = (struct rmap_range){ .first = i % RANGES, .last = i % RANGES, .page_shift = 12 };
		changes[i] = (struct rmap_change){ .with = &ranges[i], .n = 1 };
	}
	assert_int_equal(rmap_object_update(object, changes, RANGES + 1), -EEXIST);
	assert_in_range(probe_live_bytes(&fixture.metadata) - before, 0, FEW);
	/* An update of each leaf, so that as much is kept as may be. */
	assert_int_equal(rmap_object_update(object, changes, RANGES), 0);
	for (uint64_t i = 0; i < RANGES; i++)
		assert_int_equal(rmap_object_tag(object, &ranges[i], 1), 0);
	assert_int_equal(rmap_check(fixture.map), 0); /* nothing waits any more that would see to it */
	rmap_object_destroy(object);
	assert_int_equal(rmap_check(fixture.map), 0);
	assert_in_range(probe_live_bytes(&fixture.metadata) - before, 0, FEW);
	fixture_fini(&fixture);
	free(changes);
	free(ranges);
}

/* Detaches that wait for nothing ------------------------------------------------------------ */

#define NOWAIT_RANGES 200u

static struct rmap_range nowait_range(uint64_t i)
{
	return (struct rmap_range){ .first = i, .last = i, .address = i << 20, .owner = 1, .page_shift = 12 };
}

/* An update that is under way when its tier is asked: another one would have to wait for it. */
struct interrupted {
	struct probe probe;
	struct rmap_tier tier;
	struct rmap_object *object;
	unsigned tries;
};

static void *interrupted_alloc(void *arg, size_t bytes, size_t align)
{
	struct interrupted *interrupted = arg;
	const struct rmap_range range = nowait_range(0);

	if (interrupted->object) {
		assert_int_equal(rmap_object_detach_nowait(interrupted->object, &range), -EAGAIN);
		interrupted->tries++;
	}
	return interrupted->probe.tier.alloc(interrupted->probe.tier.arg, bytes, align);
}

static void interrupted_free(void *arg, void *memory, size_t bytes)
{
	struct interrupted *interrupted = arg;

	interrupted->probe.tier.free(interrupted->probe.tier.arg, memory, bytes);
}

/* Inside a section, and in a map whose cap is long exceeded. What is not there, or cannot be now, changes nothing. */
static void a_detach_that_waits_for_nothing(void **state)
{
	struct rmap_object *object;
	struct fixture fixture;
	uint64_t left = NOWAIT_RANGES;
	unsigned refused = 0;

	(void)state;
	fixture_init(&fixture, 0, RMAP_RECLAIM_BLOCKING, 1024);
	assert_int_equal(rmap_object_create(fixture.map, &object), 0);
	for (uint64_t i = 0; i < NOWAIT_RANGES; i++) {
		const struct rmap_range range = nowait_range(i);

		assert_int_equal(rmap_object_attach(object, &range), 0);
	}
	rmap_read_lock(fixture.map);
	for (uint64_t i = 0; i < NOWAIT_RANGES; i++) {
		const struct rmap_range range = nowait_range(i);
		uint64_t calls = fixture.metadata.calls;
		int error = rmap_object_detach_nowait(object, &range);

		assert_int_equal(fixture.metadata.calls, calls);
		assert_true(error == 0 || error == -EAGAIN);
		left -= error == 0;
		assert_int_equal(rmap_object_ranges(object), left);
		if (error) {
			/* Nothing is free before the section has ended: then what waited is. */
			refused++;
			rmap_read_unlock(fixture.map);
			assert_int_equal(rmap_object_detach(object, &range), 0);
			left--;
			rmap_read_lock(fixture.map);
		}
		assert_int_equal(rmap_object_detach_nowait(object, &range), -ENOENT);
	}
	assert_int_equal(rmap_object_check(object), 0);
	rmap_read_unlock(fixture.map);
	assert_int_equal(left, 0);
	assert_in_range(refused, 1, NOWAIT_RANGES - 1);
	rmap_object_destroy(object);
	fixture_fini(&fixture);
}

static void a_detach_beside_an_update(void **state)
{
	struct rmap_options options = RMAP_OPTIONS_DEFAULT;
	struct interrupted interrupted = { .tries = 0 };
	struct rmap_object *object;
	struct rmap *map;

	(void)state;
	probe_init(&interrupted.probe);
	interrupted.tier = (struct rmap_tier){ interrupted_alloc, interrupted_free, &interrupted, 0 };
	options.metadata = &interrupted.tier;
	assert_int_equal(rmap_create(&options, &map), 0);
	reader_register(map);
	assert_int_equal(rmap_object_create(map, &object), 0);
	interrupted.object = object;
	for (uint64_t i = 0; i < NOWAIT_RANGES; i++) {
		const struct rmap_range range = nowait_range(i);

		assert_int_equal(rmap_object_attach(object, &range), 0);
	}
	interrupted.object = NULL;
	assert_true(interrupted.tries > 0);
	rmap_read_lock(map);
	assert_int_equal(rmap_object_ranges(object), NOWAIT_RANGES);
	rmap_read_unlock(map);
	rmap_object_destroy(object);
	reader_unregister(map);
	assert_int_equal(rmap_destroy(map), 0);
	assert_int_equal(probe_live_bytes(&interrupted.probe), 0);
	probe_fini(&interrupted.probe);
}

/* Detaches that get no memory --------------------------------------------------------------- */

#define EXITS 300u

static struct rmap_range exit_range(uint64_t i)
{
	return (struct rmap_range){
		.first = i, .last = i + 5, .address = i << 30, .owner = i, .page_shift = 12, .tags = 1
	};
}

struct exiting {
	struct fixture *fixture;
	struct rmap_object *object;
	uint64_t first;
	uint64_t n;
};

static void *exit_without_memory(void *arg)
{
	const struct exiting *exiting = arg;

	reader_register(exiting->fixture->map);
	for (uint64_t i = 0; i < exiting->n; i++) {
		/* 7 and EXITS have no common divisor, so in a whole object each has its turn. */
		const struct rmap_range range = exit_range((exiting->first + i * 7) % EXITS);

		expect(rmap_object_detach(exiting->object, &range) == 0);
	}
	reader_unregister(exiting->fixture->map);
	return NULL;
}

static void exiting_init(struct exiting *exiting, struct fixture *fixture, uint64_t first, uint64_t n)
{
	*exiting = (struct exiting){ fixture, NULL, first, n };
	expect(rmap_object_create(fixture->map, &exiting->object) == 0);
	for (uint64_t i = 0; i < EXITS; i++) {
		const struct rmap_range range = exit_range(i);

		expect(rmap_object_attach(exiting->object, &range) == 0);
	}
}

/* Two threads want the spares at once: each gets them in the end, and nothing is lost. */
static void a_detach_needs_no_memory(void **state)
{
	struct exiting exiting[2];
	struct fixture fixture;
	pthread_t threads[2];

	(void)state;
	for (int reclaim = 0; reclaim < 2; reclaim++) {
		fixture_init(&fixture, 0, reclaim ? RMAP_RECLAIM_BLOCKING : RMAP_RECLAIM_CALLBACK, 0);
		for (unsigned i = 0; i < 2; i++)
			exiting_init(&exiting[i], &fixture, i, EXITS);
		probe_fail_all(&fixture.metadata, true);
		for (unsigned i = 0; i < 2; i++)
			expect(pthread_create(&threads[i], NULL, exit_without_memory, &exiting[i]) == 0);
		for (unsigned i = 0; i < 2; i++)
			expect(pthread_join(threads[i], NULL) == 0);
		probe_fail_all(&fixture.metadata, false);
		for (unsigned i = 0; i < 2; i++) {
			rmap_read_lock(fixture.map);
			expect(rmap_object_ranges(exiting[i].object) == 0);
			rmap_read_unlock(fixture.map);
			rmap_object_destroy(exiting[i].object);
		}
		fixture_fini(&fixture);
	}
}

/* A list that only detaches does not either; one that fails is then said to. */
static void a_list_of_detaches_needs_no_memory(void **state)
{
	struct rmap_change changes[EXITS];
	struct rmap_range ranges[EXITS];
	struct exiting exiting;
	struct fixture fixture;

	(void)state;
	fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	exiting_init(&exiting, &fixture, 0, 0);
	for (unsigned i = 0; i < EXITS; i++) {
		ranges[i] = exit_range(i);
		changes[i] = (struct rmap_change){ .range = &ranges[i] };
	}
	rmap_reserve_drain(fixture.reserve);
	probe_fail_all(&fixture.metadata, true);
	changes[100] = (struct rmap_change){ &ranges[100], &ranges[100], 1, 0 };
	assert_int_equal(rmap_object_update(exiting.object, changes, EXITS), -ENOMEM);
	rmap_read_lock(fixture.map);
	assert_int_equal(rmap_object_ranges(exiting.object), EXITS);
	rmap_read_unlock(fixture.map);
	changes[100] = (struct rmap_change){ .range = &ranges[99] };
	assert_int_equal(rmap_object_update(exiting.object, changes, EXITS), -ENOENT);
	for (unsigned i = 0; i < EXITS; i++)
		assert_int_equal(changes[i].error, i == 100 ? -ENOENT : 0);
	changes[100].range = &ranges[100];
	assert_int_equal(rmap_object_update(exiting.object, changes + 100, EXITS - 100), 0);
	probe_fail_all(&fixture.metadata, false);
	rmap_read_lock(fixture.map);
	assert_int_equal(rmap_object_ranges(exiting.object), 0);
	assert_int_equal(rmap_object_check(exiting.object), 0);
	rmap_read_unlock(fixture.map);
	rmap_object_destroy(exiting.object);
	fixture_fini(&fixture);
}

/*
 * A list that builds a flat tree, takes it apart and builds a high one has nodes enough for that in stock; as many
 * spares as the high one asks for are left all the same. In builds whose nodes are small this takes few ranges.
 */
static void a_list_leaves_spares_for_its_tree(void **state)
{
	enum { FLAT = 6000, STEEP = 4110 };
	struct rmap_range *ranges = calloc(FLAT, sizeof(*ranges));
	struct rmap_change *changes = calloc(2 * FLAT + STEEP, sizeof(*changes));
	struct generator generator = { 1 };
	struct fixture fixture;
	struct rmap_object *object;

	(void)state;
	expect(ranges && changes);
	fixture_init(&fixture, 0, RMAP_RECLAIM_BLOCKING, 0);
	assert_int_equal(rmap_object_create(fixture.map, &object), 0);
	for (unsigned i = 0; i < FLAT; i++) {
		unsigned other = (unsigned)generator_below(&generator, i + 1);

		ranges[i].first = ranges[i].last = i;
		changes[i].with = changes[other].with;
		changes[other].with = &ranges[i];
		changes[i].n = 1;
		changes[FLAT + i].range = &ranges[i];
	}
	for (unsigned i = 0; i < STEEP; i++)
		changes[2 * FLAT + i] = (struct rmap_change){ .with = &ranges[i], .n = 1 };
	assert_int_equal(rmap_object_update(object, changes, 2 * FLAT + STEEP), 0);
	rmap_reserve_drain(fixture.reserve);
	probe_fail_all(&fixture.metadata, true);
	assert_int_equal(rmap_object_detach(object, &ranges[0]), 0);
	probe_fail_all(&fixture.metadata, false);
	rmap_object_destroy(object);
	fixture_fini(&fixture);
	free(changes);
	free(ranges);
}

/* Nor does one that cannot be: of an object that has no tree, or of no range. */
static void what_is_not_there_needs_no_memory(void **state)
{
	const struct rmap_range range = exit_range(0);
	struct rmap_change changes[2] = { { .range = &range } };
	struct exiting exiting;
	struct fixture fixture;

	(void)state;
	fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	assert_int_equal(rmap_object_create(fixture.map, &exiting.object), 0);
	probe_fail_all(&fixture.metadata, true);
	assert_int_equal(rmap_object_detach(exiting.object, &range), -ENOENT);
	probe_fail_all(&fixture.metadata, false);
	rmap_object_destroy(exiting.object);
	exiting_init(&exiting, &fixture, 0, 0);
	rmap_reserve_drain(fixture.reserve);
	probe_fail_all(&fixture.metadata, true);
	assert_int_equal(rmap_object_update(exiting.object, changes, 2), -ENOMEM);
	probe_fail_all(&fixture.metadata, false);
	assert_int_equal(rmap_object_update(exiting.object, changes, 2), -EINVAL);
	rmap_read_lock(fixture.map);
	assert_int_equal(rmap_object_ranges(exiting.object), EXITS);
	rmap_read_unlock(fixture.map);
	rmap_object_destroy(exiting.object);
	fixture_fini(&fixture);
}

struct watching {
	struct exiting exiting;
	pthread_t thread;
	uint64_t met;
};

/* At its first range the query stops until a detach took effect, and gives the next one every chance to do so, too. */
static int watch(void *arg, const struct rmap_range *range)
{
	const struct rmap_range expected = exit_range(((struct watching *)arg)->met);
	struct watching *watching = arg;

	if (watching->met++ == 0) {
		expect(pthread_create(&watching->thread, NULL, exit_without_memory, &watching->exiting) == 0);
		while (rmap_object_ranges(watching->exiting.object) == EXITS)
			sched_yield();
		for (int i = 0; i < 1000 && rmap_object_ranges(watching->exiting.object) == EXITS - 1; i++)
			sched_yield();
	}
	expect(range->first == expected.first && range->owner == expected.owner);
	return 0;
}

/* What it replaced is not used again while a query may hold it. */
static void a_detach_without_memory_waits_for_queries(void **state)
{
	struct watching watching = { .met = 0 };
	struct fixture fixture;

	(void)state;
	fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	exiting_init(&watching.exiting, &fixture, 150, 40);
	probe_fail_all(&fixture.metadata, true);
	rmap_read_lock(fixture.map);
	expect(rmap_object_tagged(watching.exiting.object, 1, 0, UINT64_MAX, watch, &watching) == 0);
	rmap_read_unlock(fixture.map);
	expect(watching.met == EXITS);
	expect(pthread_join(watching.thread, NULL) == 0);
	probe_fail_all(&fixture.metadata, false);
	rmap_object_destroy(watching.exiting.object);
	fixture_fini(&fixture);
}

/*
 * Also in a map without a helper thread, of which no reserve is filled: nobody else waits there for what updates leave.
 */
static void g8_updates_wait_for_what_they_leave(void **state)
{
	const size_t waiting_max = 4096, one_update = 4096;
	struct rmap_range range = { .last = 9, .page_shift = 12 };
	struct rmap_object *object;
	struct fixture fixture;

	(void)state;
	fixture_init(&fixture, 0, RMAP_RECLAIM_BLOCKING, waiting_max);
	assert_int_equal(rmap_object_create(fixture.map, &object), 0);
	for (unsigned i = 0; i < 200; i++) {
		range.address = i << 16;
		assert_int_equal(rmap_object_attach(object, &range), 0);
		assert_true(fixture_stats(&fixture).waiting_bytes <= waiting_max + one_update);
	}
	rmap_object_destroy(object);
	fixture_fini(&fixture);
}

/* Where the cap is no bound it is a fourth of what trees have. */
static void g8_a_fourth_of_trees_waits(void **state)
{
	enum { RANGES = 4000 };
	const size_t one_update = 8192;
	struct generator generator = { test_seed() };
	static struct rmap_range ranges[RANGES];
	struct rmap_object *object;
	struct fixture fixture;
	size_t most = 0;

	(void)state;
	fixture_init(&fixture, 0, RMAP_RECLAIM_BLOCKING, (size_t)1 << 30);
	assert_int_equal(rmap_object_create(fixture.map, &object), 0);
	for (unsigned i = 0; i < RANGES; i++) {
		ranges[i] = (struct rmap_range){ .first = i, .last = i, .address = 1 << 20, .page_shift = 12 };
		assert_int_equal(rmap_object_attach(object, &ranges[i]), 0);
	}
	for (unsigned i = 0; i < RANGES; i++) {
		struct rmap_range *range = &ranges[generator_below(&generator, RANGES)];
		uint64_t address = range->address + (1 << 12);
		size_t waiting;

		assert_int_equal(rmap_object_move(object, range, address), 0);
		range->address = address;
		waiting = fixture_stats(&fixture).waiting_bytes;
		most = waiting > most ? waiting : most;
		assert_in_range(4 * waiting, 0, probe_live_bytes(&fixture.metadata) - waiting + one_update);
	}
	assert_true(most > probe_live_bytes(&fixture.metadata) / 8); /* so that there was something to bound */
	rmap_object_destroy(object);
	fixture_fini(&fixture);
}

/* In such a map objects that end wait for an update, too. */
static void g8_updates_wait_for_objects_that_ended(void **state)
{
	const size_t waiting_max = 8192, one_object = 4096;
	const struct rmap_range range = { .last = 9, .page_shift = 12 };
	struct rmap_object *object;
	struct fixture fixture;

	(void)state;
	fixture_init(&fixture, 0, RMAP_RECLAIM_BLOCKING, waiting_max);
	for (unsigned i = 0; i < 200; i++) {
		assert_int_equal(rmap_object_create(fixture.map, &object), 0);
		assert_int_equal(rmap_object_attach(object, &range), 0);
		rmap_object_destroy(object);
		assert_true(fixture_stats(&fixture).waiting_bytes <= waiting_max + one_object);
	}
	fixture_fini(&fixture);
}

/* In a map with a helper thread: of what updates leave, half of the cap at most is on no way through RCU. */
static void g8_updates_hand_over_what_they_leave(void **state)
{
	const size_t waiting_max = 16384, one_update = 4096;
	struct rmap_range range = { .last = 9, .page_shift = 12 };
	struct rmap_object *object;
	struct fixture fixture;

	(void)state;
	fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, waiting_max);
	assert_int_equal(rmap_object_create(fixture.map, &object), 0);
	for (unsigned i = 0; i < 200; i++) {
		range.address = i << 16;
		assert_int_equal(rmap_object_attach(object, &range), 0);
		urcu_memb_barrier();
		assert_in_range(fixture_stats(&fixture).waiting_bytes, 0, waiting_max / 2 + one_update);
	}
	rmap_object_destroy(object);
	fixture_fini(&fixture);
}

/* An update that waits, and those that others make meanwhile, together leave what one may. */
#define SETTLING 400u

static struct {
	struct rmap *map;
	struct rmap_object *objects[2];
	bool others_run;
	unsigned waits;
} settling;

static void replace_nodes(struct rmap_object *object)
{
	const struct rmap_range range = { .owner = 1 };

	for (unsigned i = 0; i < SETTLING; i++)
		expect(rmap_object_tag(object, &range, i) == 0);
}

static void synchronize_beside_others(void)
{
	settling.waits++;
	if (settling.others_run) {
		settling.others_run = false;
		replace_nodes(settling.objects[1]);
		settling.others_run = true;
	}
	urcu_memb_synchronize_rcu();
}

RMAP_URCU(memb)

static void g8_updates_that_wait_leave_no_more_together(void **state)
{
	struct rmap_statistics stats = { .size = sizeof(stats) };
	struct rmap_options options = RMAP_OPTIONS_DEFAULT;
	struct rmap_rcu_ops rcu = rmap_urcu_memb;
	const struct rmap_range range = { .owner = 1 };
	uint64_t alone;

	(void)state;
	rcu.synchronize = synchronize_beside_others;
	options.rcu = &rcu;
	options.reclaim = RMAP_RECLAIM_BLOCKING;
	assert_int_equal(rmap_create(&options, &settling.map), 0);
	reader_register(settling.map);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(rmap_object_create(settling.map, &settling.objects[i]), 0);
		assert_int_equal(rmap_object_attach(settling.objects[i], &range), 0);
	}
	replace_nodes(settling.objects[0]);
	assert_true(settling.waits > 0);
	assert_int_equal(rmap_stats(settling.map, &stats), 0);
	alone = stats.waiting_peak;
	settling.others_run = true;
	replace_nodes(settling.objects[0]);
	settling.others_run = false;
	assert_int_equal(rmap_stats(settling.map, &stats), 0);
	assert_true(stats.waiting_peak < alone + alone / 2);
	for (unsigned i = 0; i < 2; i++)
		rmap_object_destroy(settling.objects[i]);
	reader_unregister(settling.map);
	assert_int_equal(rmap_destroy(settling.map), 0);
}

/* Queries beside updates that replace nothing ----------------------------------------------- */

/* Every second one is there; while the query is at its first range every fourth comes, and as many go. */
#define LYING 41u
#define FREED 120u

struct lying {
	struct rmap *map;
	struct rmap_object *object;
	unsigned met;
	unsigned expected;
};

static struct rmap_range lying_range(unsigned i)
{
	return (struct rmap_range){ .last = 9, .address = (uint64_t)i << 20, .owner = 1, .page_shift = 12 };
}

static void *attach_beside(void *arg)
{
	const struct lying *lying = *(struct lying **)arg;

	reader_register(lying->map);
	for (unsigned i = 1; i < LYING; i += 4) {
		const struct rmap_range range = lying_range(i);

		expect(rmap_object_attach(lying->object, &range) == 0);
	}
	reader_unregister(lying->map);
	return NULL;
}

static int update_beside(void *arg, const struct rmap_range *range)
{
	struct lying *lying = arg;
	const struct rmap_range expected = lying_range(2 * lying->met);

	expect(range->address == expected.address);
	if (lying->met++ > 0)
		return 0;
	run_threads(attach_beside, &lying, sizeof(lying), 1);
	for (unsigned i = 2; i < LYING; i += 4) {
		const struct rmap_range gone = lying_range(i);

		expect(rmap_object_detach_nowait(lying->object, &gone) == 0);
	}
	return 0;
}

static int after_the_updates(void *arg, const struct rmap_range *range)
{
	struct lying *lying = arg;

	expect(range->address == lying_range(lying->expected).address);
	lying->expected += lying->expected % 4 ? 3 : 1; /* 0, 1, 4, 5, ... */
	return 0;
}

static void a_query_beside_updates_in_place(void **state)
{
	struct lying lying = { .met = 0 };
	struct fixture fixture;

	(void)state;
	fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	lying.map = fixture.map;
	assert_int_equal(rmap_object_create(fixture.map, &lying.object), 0);
	/* Where leaves are small many are copied all the same: nodes are free for that. */
	for (unsigned i = 0; i < 2 * FREED; i++) {
		const struct rmap_range range = lying_range(i % FREED);

		assert_int_equal((i < FREED ? rmap_object_attach : rmap_object_detach)(lying.object, &range), 0);
	}
	for (unsigned i = 0; i < LYING; i += 2) {
		const struct rmap_range range = lying_range(i);

		assert_int_equal(rmap_object_attach(lying.object, &range), 0);
	}
	urcu_memb_barrier();
	rmap_read_lock(fixture.map);
	assert_int_equal(rmap_object_stab(lying.object, 5, update_beside, &lying), 0);
	assert_int_equal(lying.met, (LYING + 1) / 2);
	assert_int_equal(rmap_object_stab(lying.object, 5, after_the_updates, &lying), 0);
	assert_int_equal(lying.expected, LYING);
	assert_int_equal(rmap_object_check(lying.object), 0);
	rmap_read_unlock(fixture.map);
	rmap_object_destroy(lying.object);
	fixture_fini(&fixture);
}

/* Queries beside a list -------------------------------------------------------------------- */

#if RMAP_INJECT
#define HIGH 40u

/*
 * Between a query's loads of version and root: ranges come, and a list takes the last ones, after which the tree is
 * lower.
 */
static struct {
	struct rmap *map;
	struct rmap_object *object;
	unsigned goes;
} lowering;

static struct rmap_range high_range(unsigned i)
{
	return (struct rmap_range){ .address = (uint64_t)i << 12 };
}

static void *lower_the_tree(void *arg)
{
	struct rmap_change changes[HIGH];
	struct rmap_range ranges[HIGH];

	(void)arg;
	reader_register(lowering.map);
	for (unsigned i = 0; i < 3; i++) {
		const struct rmap_range range = { .owner = 1 + i };

		expect(rmap_object_attach(lowering.object, &range) == 0);
	}
	for (unsigned i = 0; i < lowering.goes; i++) {
		ranges[i] = high_range(HIGH - 1 - i);
		changes[i] = (struct rmap_change){ .range = &ranges[i] };
	}
	expect(rmap_object_update(lowering.object, changes, lowering.goes) == 0);
	reader_unregister(lowering.map);
	return NULL;
}

static void lower_beside(void)
{
	run_threads(lower_the_tree, &lowering, sizeof(lowering), 1);
}

static int count_owners(void *arg, const struct rmap_range *range)
{
	((unsigned *)arg)[range->owner]++;
	return 0;
}

static void a_query_of_a_higher_tree(void **state)
{
	struct fixture fixture;

	(void)state;
	for (lowering.goes = 1; lowering.goes < HIGH; lowering.goes++) {
		unsigned owners[4] = { 0 };

		fixture_init(&fixture, 0, RMAP_RECLAIM_BLOCKING, 0);
		lowering.map = fixture.map;
		assert_int_equal(rmap_object_create(fixture.map, &lowering.object), 0);
		for (unsigned i = 0; i < HIGH; i++) {
			const struct rmap_range range = high_range(i);

			assert_int_equal(rmap_object_attach(lowering.object, &range), 0);
		}
		rmap_reserve_drain(fixture.reserve); /* or the updates might wait, for the query */
		rmap_read_lock(fixture.map);
		rmap_inject_at(2, lower_beside);
		assert_int_equal(rmap_object_stab(lowering.object, 0, count_owners, owners), 0);
		rmap_inject_at(0, NULL);
		rmap_read_unlock(fixture.map);
		assert_true(owners[0] == HIGH && owners[1] + owners[2] + owners[3] == 0);
		rmap_object_destroy(lowering.object);
		fixture_fini(&fixture);
	}
}

/* An attach in place is stopped before each of its steps: what it has raised by then are no wrong summaries. */
static struct {
	struct rmap *map;
	struct rmap_object *object;
	unsigned checks;
} raising;

static void check_beside(void)
{
	rmap_read_lock(raising.map);
	expect(rmap_object_check(raising.object) == 0);
	rmap_read_unlock(raising.map);
	raising.checks++;
}

static void a_check_beside_an_attach(void **state)
{
	const struct rmap_range range = { .last = HIGH, .owner = 1, .tags = 1 };
	struct fixture fixture;
	unsigned steps = 0;

	(void)state;
	fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	raising.map = fixture.map;
	assert_int_equal(rmap_object_create(fixture.map, &raising.object), 0);
	for (uint64_t i = 0; i < HIGH; i++)
		assert_int_equal(rmap_object_attach(raising.object, &(struct rmap_range){ .first = i, .last = i }), 0);
	do {
		raising.checks = 0;
		rmap_inject_at(++steps, check_beside);
		assert_int_equal(rmap_object_attach(raising.object, &range), 0);
		rmap_inject_at(0, NULL);
		/* It takes its leaf along, so the next one finds a place again. */
		assert_int_equal(rmap_object_detach(raising.object, &range), 0);
	} while (raising.checks > 0);
	assert_true(steps > 10);
	rmap_object_destroy(raising.object);
	fixture_fini(&fixture);
}
#else
static void a_check_beside_an_attach(void **state)
{
	(void)state;
	test_not_run("build", "steps are counted with -Dinject=true");
}

static void a_query_of_a_higher_tree(void **state)
{
	(void)state;
	test_not_run("build", "steps are counted with -Dinject=true");
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(updates_use_their_nodes_again),
		cmocka_unit_test(no_more_nodes_are_kept_than_may_wait),
		cmocka_unit_test(no_more_nodes_are_kept_behind_a_list),
		cmocka_unit_test(a_detach_that_waits_for_nothing),
		cmocka_unit_test(a_detach_beside_an_update),
		cmocka_unit_test(a_detach_needs_no_memory),
		cmocka_unit_test(a_list_of_detaches_needs_no_memory),
		cmocka_unit_test(a_list_leaves_spares_for_its_tree),
		cmocka_unit_test(what_is_not_there_needs_no_memory),
		cmocka_unit_test(a_detach_without_memory_waits_for_queries),
		cmocka_unit_test(g8_updates_wait_for_what_they_leave),
		cmocka_unit_test(g8_a_fourth_of_trees_waits),
		cmocka_unit_test(g8_updates_wait_for_objects_that_ended),
		cmocka_unit_test(g8_updates_hand_over_what_they_leave),
		cmocka_unit_test(g8_updates_that_wait_leave_no_more_together),
		cmocka_unit_test(a_query_beside_updates_in_place),
		cmocka_unit_test(a_query_of_a_higher_tree),
		cmocka_unit_test(a_check_beside_an_attach),
	};

	return cmocka_run_group_tests_name("nodes", tests, NULL, NULL);
}
