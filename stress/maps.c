/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * maps.c - several maps in one process, with different options, that must not know of each other
 *
 *      shared    three maps that all threads use: both ways to wait for grace periods, multiplicity, another RCU flavor
 *      private   each thread makes a map of random options, uses it and destroys it, again and again
 *      still     a map that nobody touches: its figures never change
 *
 * A handle names its map too, so what a walk finds belongs to its map or is seen at once. Each destroy returns 0,
 * whatever other maps do meanwhile, and each map's tiers have every byte back.
 */
#include <stdlib.h>
#include <string.h>

#include <urcu/urcu-mb.h>

#include <rmap/urcu.h>

#include "stress.h"

RMAP_URCU(mb)

#define SHARED 3u
#define PRIVATE SHARED
#define STILL (SHARED + 1)
#define PAGES 2u
#define KEYS 40u
#define STILL_MAPPINGS 100u
#define PRIVATE_OPS 300u

/*
 * struct place - one map as one thread uses it
 * @number: which map; part of its handles
 * @shift:  the lowest bit of a key
 */
struct place {
	struct stress_thread *thread;
	struct rmap *map;
	struct rmap_reserve *reserve;
	struct rmap_page *pages;
	unsigned number;
	unsigned shift;
	uint32_t held[PAGES][KEYS];
	uint32_t seen[KEYS];
	unsigned page;
	struct rmap_counts counts[PAGES];
	struct stress_events events[PAGES];
};

struct maps {
	struct stress_map shared[SHARED];
	struct rmap_page pages[SHARED][PAGES];
	struct place (*places)[SHARED];
	struct stress_map still;
	struct rmap_page still_page;
	struct rmap_statistics still_stats;
};

static const struct {
	enum rmap_reclaim reclaim;
	unsigned bits;
	bool other_flavor;
} shared_options[SHARED] = {
	{ RMAP_RECLAIM_CALLBACK, 0, false },
	{ RMAP_RECLAIM_BLOCKING, 4, false },
	{ RMAP_RECLAIM_CALLBACK, 9, true },
};

static void make(struct stress_map *map, enum rmap_reclaim reclaim, unsigned bits, bool other_flavor)
{
	struct rmap_options options = RMAP_OPTIONS_DEFAULT;

	options.reclaim = reclaim;
	options.multiplicity_bits = bits;
	options.waiting_max = (size_t)64 << 10;
	options.rcu = other_flavor ? &rmap_urcu_mb : NULL;
	stress_map_init(map, &options, false);
}

static void enter(struct place *place, struct stress_thread *thread, struct rmap *map, unsigned number, unsigned bits,
		  struct rmap_page *pages)
{
	memset(place, 0, sizeof(*place));
	place->thread = thread;
	place->map = map;
	place->number = number;
	place->shift = bits + 3;
	place->pages = pages;
	stress_assert(rmap_reserve_create(map, &place->reserve) == 0, "a reserve cannot be made");
}

/* --- one map, one thread ---------------------------------------------------------------------- */

static uint64_t handle_of(const struct place *place, unsigned page, unsigned key)
{
	return stress_handle(place->number * PAGES + page, place->thread->id, key, place->shift);
}

static void add(struct place *place, unsigned page, unsigned key)
{
	int result;

	stress_assert(rmap_reserve_fill(place->reserve, 1) == 0, "a fill found no memory");
	rmap_read_lock(place->map);
	result = rmap_page_add(place->reserve, &place->pages[page], rmap_chained(handle_of(place, page, key)));
	rmap_read_unlock(place->map);
	stress_assert(result >= 0, "G1: an add with a filled reserve failed: %s", strerror(-result));
	place->held[page][key]++;
	place->counts[page].chained++;
	stress_events_note(&place->events[page], result);
}

static void drop(struct place *place, unsigned page, unsigned key)
{
	int result;

	rmap_read_lock(place->map);
	result = rmap_page_remove(place->reserve, &place->pages[page], rmap_chained(handle_of(place, page, key)));
	rmap_read_unlock(place->map);
	stress_assert(result >= 0, "a remove of the thread's own mapping failed: %s", strerror(-result));
	place->held[page][key]--;
	place->counts[page].chained--;
	stress_events_note(&place->events[page], result);
}

static int visit(void *arg, const struct rmap_visit *visit)
{
	struct place *place = arg;

	stress_assert(visit->kind == RMAP_CHAINED &&
			      stress_handle_of(place->thread->stress, visit->handle,
					       place->number * PAGES + place->page, place->shift, KEYS),
		      "a walk in map %u met %llx, a handle of another map or page", place->number,
		      (unsigned long long)visit->handle);
	if (stress_handle_thread(visit->handle) == place->thread->id)
		place->seen[stress_handle_key(visit->handle, place->shift)] += visit->count;
	return 0;
}

static void walk(struct place *place, unsigned page)
{
	struct rmap_target target = { .page = &place->pages[page] };

	memset(place->seen, 0, sizeof(place->seen));
	place->page = page;
	rmap_read_lock(place->map);
	stress_assert(stress_walk_page(place->map, &target, visit, place, NULL) == 0, "a walk ended early");
	rmap_read_unlock(place->map);
	for (unsigned key = 0; key < KEYS; key++)
		stress_assert(place->seen[key] >= place->held[page][key],
			      "G3: a walk in map %u saw key %u %u times, but it is there %u times", place->number, key,
			      place->seen[key], place->held[page][key]);
}

static void operate(struct place *place)
{
	unsigned page = stress_below(place->thread, PAGES), key = stress_below(place->thread, KEYS);
	/* Full chains in one round, hardly anything in the next. */
	bool wanted = stress_below(place->thread, KEYS) < (place->thread->round % 2 ? KEYS - 1 : 1);

	if (stress_one_in(place->thread, 16))
		walk(place, page);
	else if (wanted && !place->held[page][key])
		add(place, page, key);
	else if (!wanted && place->held[page][key])
		drop(place, page, key);
}

static void leave(struct place *place)
{
	for (unsigned page = 0; page < PAGES; page++) {
		for (unsigned key = 0; key < KEYS; key++) {
			while (place->held[page][key])
				drop(place, page, key);
		}
	}
	rmap_reserve_drain(place->reserve);
	rmap_reserve_destroy(place->reserve);
}

/* --- the run ---------------------------------------------------------------------------------- */

static void private_map(struct stress_thread *thread)
{
	unsigned bits = stress_below(thread, 10);
	struct rmap_page pages[PAGES] = { { 0 } };
	struct rmap_object *object;
	struct stress_map map;
	struct place place;

	make(&map, stress_one_in(thread, 2) ? RMAP_RECLAIM_CALLBACK : RMAP_RECLAIM_BLOCKING, bits,
	     stress_one_in(thread, 2));
	enter(&place, thread, map.map, PRIVATE, bits, pages);
	stress_assert(rmap_object_create(map.map, &object) == 0, "an object cannot be made");
	for (unsigned i = 0; i < PRIVATE_OPS && stress_next(thread); i++)
		operate(&place);
	rmap_object_destroy(object);
	leave(&place);
	for (unsigned page = 0; page < PAGES; page++)
		stress_assert(place.events[page].first == place.events[page].last && pages[page].word == 0,
			      "G5: a page of one thread was told RMAP_FIRST %u and RMAP_LAST %u times",
			      (unsigned)place.events[page].first, (unsigned)place.events[page].last);
	stress_map_fini(&map, NULL);
}

static struct rmap_statistics still_now(struct maps *maps)
{
	struct rmap_statistics stats = { .size = sizeof(stats) };

	stress_assert(rmap_stats(maps->still.map, &stats) == 0, "rmap_stats refused its own size");
	return stats;
}

/* Only thread 0: a chain with a leaf, which then stays as it is. */
static void still_begin(struct stress_thread *thread, struct maps *maps)
{
	thread->map = maps->still.map;
	stress_assert(rmap_reserve_create(thread->map, &thread->reserve) == 0, "a reserve cannot be made");
	for (unsigned key = 0; key < STILL_MAPPINGS; key++) {
		stress_assert(rmap_reserve_fill(thread->reserve, 1) == 0, "a fill found no memory");
		rmap_read_lock(thread->map);
		stress_assert(rmap_page_add(thread->reserve, &maps->still_page,
					    rmap_chained(stress_handle(STILL * PAGES, 0, key, 3))) >= 0,
			      "an add failed");
		rmap_read_unlock(thread->map);
	}
	rmap_reserve_drain(thread->reserve);
	maps->still_stats = still_now(maps);
}

static void still_end(struct stress_thread *thread, struct maps *maps)
{
	rmap_read_lock(thread->map);
	stress_assert(rmap_page_drop(thread->reserve, &maps->still_page) == STILL_MAPPINGS,
		      "a page that nobody touched has another number of mappings");
	rmap_read_unlock(thread->map);
	rmap_reserve_destroy(thread->reserve);
}

static void body(struct stress_thread *thread, void *arg)
{
	struct maps *maps = arg;
	struct place *places = maps->places[thread->id];

	/* Maps 0 and 1 share a flavor: registering once serves both. */
	rmap_thread_register(maps->shared[0].map);
	rmap_thread_register(maps->shared[2].map);
	for (unsigned i = 0; i < SHARED; i++)
		enter(&places[i], thread, maps->shared[i].map, i, shared_options[i].bits, maps->pages[i]);
	if (thread->id == 0)
		still_begin(thread, maps);
	while (stress_round(thread)) {
		while (stress_next(thread)) {
			if (stress_one_in(thread, 2 * PRIVATE_OPS))
				private_map(thread);
			operate(&places[stress_below(thread, SHARED)]);
		}
	}
	for (unsigned i = 0; i < SHARED; i++)
		leave(&places[i]);
	if (thread->id == 0)
		still_end(thread, maps);
	rmap_thread_unregister(maps->shared[2].map);
	rmap_thread_unregister(maps->shared[0].map);
}

static void check(struct stress_thread *thread, void *arg)
{
	struct maps *maps = arg;
	struct rmap_statistics still = still_now(maps);

	stress_assert(memcmp(&still, &maps->still_stats, sizeof(still)) == 0,
		      "the figures of a map that nobody touched have changed");
	for (unsigned i = 0; i < SHARED; i++) {
		for (unsigned page = 0; page < PAGES; page++) {
			struct rmap_counts sum = { 0 };
			struct stress_events events = { 0 };

			for (unsigned id = 0; id < thread->stress->threads; id++) {
				sum.chained += maps->places[id][i].counts[page].chained;
				stress_events_sum(&events, &maps->places[id][i].events[page]);
			}
			stress_page_verify(maps->shared[i].map, &maps->pages[i][page], page, sum, &events);
		}
	}
}

static void run(struct stress *stress)
{
	struct maps *maps = stress_zalloc(1, sizeof(*maps));
	struct stress_plan plan = { .body = body, .check = check, .arg = maps };

	maps->places = stress_zalloc(stress->threads, sizeof(*maps->places));
	for (unsigned i = 0; i < SHARED; i++)
		make(&maps->shared[i], shared_options[i].reclaim, shared_options[i].bits,
		     shared_options[i].other_flavor);
	make(&maps->still, RMAP_RECLAIM_CALLBACK, 0, false);
	stress_run(stress, &plan);
	for (unsigned i = 0; i < SHARED; i++)
		stress_map_fini(&maps->shared[i], "a shared map");
	stress_map_fini(&maps->still, NULL);
	free(maps->places);
	free(maps);
}

const struct stress_test stress_maps = { "maps", "maps of different options and flavors share nothing", run, false };
