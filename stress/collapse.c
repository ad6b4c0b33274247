/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * collapse.c - pages flap between count, direct and chain; who is told about first and last
 *
 * Two kinds of rounds take turns:
 *
 *      up and down   every thread adds its one to three mappings of each page, in an order of its own; all meet; every
 *                    thread removes them. While all add, exactly one add of each page is told RMAP_FIRST and none
 *                    RMAP_LAST; while all remove exactly one remove is told RMAP_LAST and none RMAP_FIRST; locks
 *                    likewise (G5). That is exact, not a sum over many transitions that could cancel.
 *      flap          every thread adds and removes one to three mappings of three pages without pause; the sums must
 *                    agree.
 *
 * Down rounds also test what the header says of orders: each remover leaves a note in plain memory before its remove,
 * and the one that is told RMAP_LAST reads the notes of all. The library alone orders them: ThreadSanitizer sees it if
 * not.
 */
#include <stdlib.h>
#include <string.h>

#include "stress.h"

#define PAGES 48u
#define FLAP_PAGES 3u
#define MINE 3u
#define SHIFT 3u

struct worker {
	struct rmap_mapping mappings[PAGES][MINE];
	unsigned n[PAGES];
	struct stress_events events[PAGES];
	bool locks[PAGES];
};

/*
 * struct collapse
 * @removers: per page the threads that hold mappings when all begin to remove; written by the thread that checks
 * @notes:    per page and thread the round in which it last removed; plain on purpose
 */
struct collapse {
	struct rmap_page pages[PAGES];
	uint64_t removers[PAGES];
	uint64_t notes[PAGES][STRESS_THREADS_MAX];
	struct worker workers[STRESS_THREADS_MAX];
};

static struct rmap_mapping any_mapping(struct stress_thread *thread, unsigned page, unsigned key)
{
	static const enum rmap_kind kinds[] = { RMAP_CHAINED, RMAP_CHAINED, RMAP_LINEAR, RMAP_LOCKED };

	return stress_mapping(kinds[stress_below(thread, 4)], stress_handle(page, thread->id, key, SHIFT));
}

static int add(struct stress_thread *thread, struct collapse *collapse, unsigned page)
{
	struct worker *worker = &collapse->workers[thread->id];
	struct rmap_mapping mapping = any_mapping(thread, page, worker->n[page]);
	int result;

	stress_assert(rmap_reserve_fill(thread->reserve, 1) == 0, "a fill found no memory");
	rmap_read_lock(thread->map);
	result = rmap_page_add(thread->reserve, &collapse->pages[page], mapping);
	rmap_read_unlock(thread->map);
	stress_assert(result >= 0, "G1: an add with a filled reserve failed: %s", strerror(-result));
	worker->mappings[page][worker->n[page]++] = mapping;
	worker->locks[page] |= mapping.kind == RMAP_LOCKED;
	stress_events_note(&worker->events[page], result);
	return result;
}

static int drop(struct stress_thread *thread, struct collapse *collapse, unsigned page)
{
	struct worker *worker = &collapse->workers[thread->id];
	int result;

	rmap_read_lock(thread->map);
	result = rmap_page_remove(thread->reserve, &collapse->pages[page], worker->mappings[page][worker->n[page] - 1]);
	rmap_read_unlock(thread->map);
	stress_assert(result >= 0, "a remove of the thread's own mapping failed: %s", strerror(-result));
	worker->n[page]--;
	stress_events_note(&worker->events[page], result);
	return result;
}

/* mlock and munlock: the newest mapping becomes one of another kind. */
static void change(struct stress_thread *thread, struct collapse *collapse, unsigned page)
{
	struct worker *worker = &collapse->workers[thread->id];
	struct rmap_mapping *newest = &worker->mappings[page][worker->n[page] - 1];
	struct rmap_mapping to = any_mapping(thread, page, worker->n[page] - 1);
	int result;

	stress_assert(rmap_reserve_fill(thread->reserve, 1) == 0, "a fill found no memory");
	rmap_read_lock(thread->map);
	result = rmap_page_move(thread->reserve, &collapse->pages[page], *newest, to);
	rmap_read_unlock(thread->map);
	stress_assert(result >= 0, "a move of the thread's own mapping failed: %s", strerror(-result));
	*newest = to;
	worker->locks[page] |= to.kind == RMAP_LOCKED;
	stress_events_note(&worker->events[page], result);
}

/* --- up and down ------------------------------------------------------------------------------ */

/*
 * The events of all threads on @page since the last call, which forgets them. Called by one thread while the others
 * stand.
 */
static struct stress_events take_events(struct stress_thread *thread, struct collapse *collapse, unsigned page)
{
	struct stress_events sum = { 0 };

	for (unsigned i = 0; i < thread->stress->threads; i++) {
		stress_events_sum(&sum, &collapse->workers[i].events[page]);
		memset(&collapse->workers[i].events[page], 0, sizeof(sum));
	}
	return sum;
}

static struct rmap_counts sum_counts(struct stress_thread *thread, struct collapse *collapse, unsigned page)
{
	struct rmap_counts sum = { 0 };

	for (unsigned i = 0; i < thread->stress->threads; i++) {
		const struct worker *worker = &collapse->workers[i];

		for (unsigned k = 0; k < worker->n[page]; k++) {
			sum.chained += worker->mappings[page][k].kind == RMAP_CHAINED;
			sum.linear += worker->mappings[page][k].kind == RMAP_LINEAR;
			sum.locked += worker->mappings[page][k].kind == RMAP_LOCKED;
		}
	}
	return sum;
}

static void check_up(struct stress_thread *thread, struct collapse *collapse)
{
	for (unsigned page = 0; page < PAGES; page++) {
		struct rmap_counts counts = sum_counts(thread, collapse, page);
		struct stress_events events = take_events(thread, collapse, page);
		bool mapped = counts.chained + counts.linear + counts.locked > 0;
		bool changed = false;

		collapse->removers[page] = 0;
		for (unsigned i = 0; i < thread->stress->threads; i++) {
			collapse->removers[page] |= (uint64_t)(collapse->workers[i].n[page] > 0) << i;
			changed |= collapse->workers[i].locks[page];
			collapse->workers[i].locks[page] = false;
		}
		stress_assert(
			events.first == mapped && events.last == 0,
			"G5: while threads only added, page %u was told RMAP_FIRST %u times and RMAP_LAST %u times",
			page, (unsigned)events.first, (unsigned)events.last);
		/*
		 * Moves take locks back even while all add: without any lock there is no report, and with one they
		 * alternate.
		 */
		stress_assert(changed || events.first_lock == 0, "G5: page %u was never locked, but told so", page);
		stress_page_verify(thread->map, &collapse->pages[page], page, counts, &events);
		/* What down must take back. */
		collapse->workers[0].events[page].first = events.first;
		collapse->workers[0].events[page].first_lock = events.first_lock - events.last_lock;
	}
}

static void check_down(struct stress_thread *thread, struct collapse *collapse)
{
	for (unsigned page = 0; page < PAGES; page++) {
		struct stress_events events = take_events(thread, collapse, page);

		stress_assert(events.last == events.first && events.first <= 1,
			      "G5: while threads only removed, page %u was told RMAP_LAST %u times, and RMAP_FIRST %u "
			      "times in all",
			      page, (unsigned)events.last, (unsigned)events.first);
		stress_assert(
			events.last_lock == events.first_lock && events.first_lock <= 1,
			"G5: while threads only removed, page %u was told RMAP_LAST_LOCK %u times for %u first locks",
			page, (unsigned)events.last_lock, (unsigned)events.first_lock);
		stress_assert(collapse->pages[page].word == 0, "page %u has no mapping left, but its word is not zero",
			      page);
	}
}

/* Reads what all removers wrote: told RMAP_LAST, the thread is behind every one of them. */
static void read_notes(struct stress_thread *thread, struct collapse *collapse, unsigned page)
{
	for (unsigned i = 0; i < thread->stress->threads; i++) {
		if (collapse->removers[page] >> i & 1)
			stress_assert(collapse->notes[page][i] == thread->round,
				      "Ordering: told RMAP_LAST of page %u, the thread does not see what remover %u "
				      "did before",
				      page, i);
	}
}

static void up_and_down(struct stress_thread *thread, struct collapse *collapse)
{
	struct worker *worker = &collapse->workers[thread->id];
	unsigned start = stress_below(thread, PAGES);

	for (unsigned i = 0; i < PAGES && stress_next(thread); i++) {
		unsigned page = (start + i) % PAGES;

		for (unsigned n = stress_below(thread, MINE + 1); n; n--) {
			add(thread, collapse, page);
			if (stress_one_in(thread, 4))
				change(thread, collapse, page);
		}
	}
	if (stress_meet(thread))
		check_up(thread, collapse);
	stress_meet(thread);
	start = stress_below(thread, PAGES);
	for (unsigned i = 0; i < PAGES; i++) {
		unsigned page = (start + i) % PAGES;
		int result = 0;

		if (worker->n[page] == 0)
			continue;
		collapse->notes[page][thread->id] = thread->round;
		while (worker->n[page])
			result |= drop(thread, collapse, page);
		if (result & RMAP_LAST)
			read_notes(thread, collapse, page);
	}
	if (stress_meet(thread))
		check_down(thread, collapse);
	stress_meet(thread);
}

/* --- flap ------------------------------------------------------------------------------------- */

static void flap(struct stress_thread *thread, struct collapse *collapse)
{
	struct worker *worker = &collapse->workers[thread->id];

	while (stress_next(thread)) {
		unsigned page = stress_below(thread, FLAP_PAGES);
		unsigned wanted = stress_below(thread, MINE + 1);

		if (worker->n[page] < wanted)
			add(thread, collapse, page);
		else if (worker->n[page] > wanted)
			drop(thread, collapse, page);
		else if (wanted)
			change(thread, collapse, page);
	}
	if (stress_meet(thread)) {
		for (unsigned page = 0; page < FLAP_PAGES; page++) {
			struct rmap_counts counts = sum_counts(thread, collapse, page);
			struct stress_events events = take_events(thread, collapse, page);

			stress_page_verify(thread->map, &collapse->pages[page], page, counts, &events);
		}
	}
	stress_meet(thread);
	for (unsigned page = 0; page < FLAP_PAGES; page++) {
		while (worker->n[page])
			drop(thread, collapse, page);
		worker->locks[page] = false;
		memset(&worker->events[page], 0, sizeof(worker->events[page]));
	}
	stress_meet(thread);
}

static void body(struct stress_thread *thread, void *arg)
{
	while (stress_round(thread)) {
		if (thread->round % 2)
			up_and_down(thread, arg);
		else
			flap(thread, arg);
	}
}

static void run(struct stress *stress)
{
	struct collapse *collapse = stress_zalloc(1, sizeof(*collapse));
	struct stress_map map;
	struct stress_plan plan = { .body = body, .arg = collapse };

	stress_map_init(&map, NULL, false);
	plan.map = map.map;
	stress_run(stress, &plan);
	stress_map_fini(&map, "the map");
	free(collapse);
}

const struct stress_test stress_collapse = {
	"collapse", "count, direct, chain and back; exactly one is told of each first and last", run, false
};
