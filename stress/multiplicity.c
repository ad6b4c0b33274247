/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * multiplicity.c - elements that stand for many mappings: cluster windows and shared addresses
 *
 * All threads add to and remove from the same keys, so that one element's count is everybody's. Each keeps a record of how many mappings
 * of each key are its own. Runs twice: windows of 16 ptes (4 bits) and addresses of a fork family (9 bits), each with more mappings than one
 * element can count, so that a key has several elements now and then.
 *
 *      valid removes never fail; a key that nobody adds is -ENOENT
 *      a walk finds at least as many mappings of a key as the walker itself holds of it (G3)
 *      at each check a walk finds of each key exactly the sum of the records
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "stress.h"

#define PAGES 2u
#define KEYS 12u
/* Never added. */
#define ABSENT KEYS

struct worker {
	uint32_t held[PAGES][KEYS];
	uint32_t locked[PAGES];
	struct stress_events events[PAGES];
	unsigned mood;
};

/*
 * struct multiplicity
 * @shift: the lowest bit of a key
 * @most:  how many mappings of one key a thread holds at most
 */
struct multiplicity {
	struct rmap_page pages[PAGES];
	struct worker workers[STRESS_THREADS_MAX];
	unsigned bits;
	unsigned shift;
	unsigned most;
};

struct look {
	const struct multiplicity *multiplicity;
	unsigned page;
	uint64_t found[KEYS];
};

/* Any pte of the window names it; an address has none below it. */
static struct rmap_mapping mapping_of(struct stress_thread *thread, const struct multiplicity *multiplicity, unsigned page,
				      unsigned key)
{
	uint64_t handle = stress_handle(page, 0, key, multiplicity->shift);

	if (multiplicity->bits == 4)
		handle |= (uint64_t)stress_below(thread, 16) << 3;
	return rmap_chained(handle);
}

static uint32_t sum_held(const struct worker *worker, unsigned page)
{
	uint32_t sum = 0;

	for (unsigned key = 0; key < KEYS; key++)
		sum += worker->held[page][key];
	return sum;
}

/* --- operations, inside a read-side section with a filled reserve ----------------------------------------------------- */

static void add(struct stress_thread *thread, struct multiplicity *multiplicity, unsigned page, unsigned key)
{
	struct worker *worker = &multiplicity->workers[thread->id];
	struct rmap_mapping mapping = mapping_of(thread, multiplicity, page, key);
	int result;

	if (worker->held[page][key])
		result = rmap_page_duplicate(thread->reserve, &multiplicity->pages[page], mapping);
	else
		result = rmap_page_add(thread->reserve, &multiplicity->pages[page], mapping);
	stress_assert(result >= 0, "G1: an add with a filled reserve failed: %s", strerror(-result));
	worker->held[page][key]++;
	stress_events_note(&worker->events[page], result);
}

static void drop(struct stress_thread *thread, struct multiplicity *multiplicity, unsigned page, unsigned key)
{
	struct worker *worker = &multiplicity->workers[thread->id];
	int result = rmap_page_remove(thread->reserve, &multiplicity->pages[page],
				      mapping_of(thread, multiplicity, page, key));

	stress_assert(result >= 0, "a remove of key %u, of which the thread holds %u, failed: %s", key,
		      worker->held[page][key], strerror(-result));
	worker->held[page][key]--;
	stress_events_note(&worker->events[page], result);
}

static void move(struct stress_thread *thread, struct multiplicity *multiplicity, unsigned page, unsigned key)
{
	struct worker *worker = &multiplicity->workers[thread->id];
	unsigned to = stress_below(thread, KEYS);
	int result = rmap_page_move(thread->reserve, &multiplicity->pages[page], mapping_of(thread, multiplicity, page, key),
				    mapping_of(thread, multiplicity, page, to));

	stress_assert(result == 0, "a move of key %u, of which the thread holds %u, to %u gave %d", key,
		      worker->held[page][key], to, result);
	worker->held[page][key]--;
	worker->held[page][to]++;
}

static void lock(struct stress_thread *thread, struct multiplicity *multiplicity, unsigned page, unsigned key)
{
	struct worker *worker = &multiplicity->workers[thread->id];
	int result = rmap_page_lock(thread->reserve, &multiplicity->pages[page], mapping_of(thread, multiplicity, page, key));

	stress_assert(result >= 0, "a lock of key %u, of which the thread holds %u, failed: %s", key, worker->held[page][key],
		      strerror(-result));
	worker->held[page][key]--;
	worker->locked[page]++;
	stress_events_note(&worker->events[page], result);
}

static void unlock(struct stress_thread *thread, struct multiplicity *multiplicity, unsigned page, unsigned key)
{
	struct worker *worker = &multiplicity->workers[thread->id];
	int result = rmap_page_unlock(thread->reserve, &multiplicity->pages[page],
				      mapping_of(thread, multiplicity, page, key));

	stress_assert(result >= 0, "an unlock of the thread's own mapping failed: %s", strerror(-result));
	worker->held[page][key]++;
	worker->locked[page]--;
	stress_events_note(&worker->events[page], result);
}

static void misuse(struct stress_thread *thread, struct multiplicity *multiplicity, unsigned page)
{
	int result = rmap_page_remove(thread->reserve, &multiplicity->pages[page],
				      mapping_of(thread, multiplicity, page, ABSENT));

	stress_assert(result == -ENOENT, "G11: a remove of a key that nobody holds gave %d, not -ENOENT", result);
}

static int visit(void *arg, const struct rmap_visit *visit)
{
	struct look *look = arg;
	const struct multiplicity *multiplicity = look->multiplicity;
	unsigned key = stress_handle_key(visit->handle, multiplicity->shift);

	stress_assert(visit->kind == RMAP_CHAINED && key < KEYS &&
			      visit->handle == stress_handle(look->page, 0, key, multiplicity->shift),
		      "G6: a walk of page %u visited handle %llx, which nobody ever added to it", look->page,
		      (unsigned long long)visit->handle);
	stress_assert(visit->count >= 1 && visit->count <= 1u << multiplicity->bits, "an element stands for %u mappings",
		      visit->count);
	look->found[key] += visit->count;
	return 0;
}

static void walk(struct stress_thread *thread, struct multiplicity *multiplicity, unsigned page)
{
	const struct worker *worker = &multiplicity->workers[thread->id];
	struct rmap_target target = { .page = &multiplicity->pages[page] };
	struct look look = { .multiplicity = multiplicity, .page = page };

	rmap_walk(thread->map, &target, visit, &look, NULL);
	for (unsigned key = 0; key < KEYS; key++)
		stress_assert(look.found[key] >= worker->held[page][key],
			      "G3: a walk found %u mappings of key %u, the walker itself holds %u", (unsigned)look.found[key],
			      key, worker->held[page][key]);
}

/* --- the run ---------------------------------------------------------------------------------------------------------- */

static void operate(struct stress_thread *thread, struct multiplicity *multiplicity)
{
	struct worker *worker = &multiplicity->workers[thread->id];
	unsigned page = stress_below(thread, PAGES), key = stress_below(thread, KEYS), dice = stress_below(thread, 32);
	uint32_t held = worker->held[page][key];

	if (dice == 0)
		misuse(thread, multiplicity, page);
	else if (dice == 1)
		walk(thread, multiplicity, page);
	else if (dice < 6 && held)
		move(thread, multiplicity, page, key);
	else if (dice == 6 && held)
		lock(thread, multiplicity, page, key);
	else if (dice < 9 && worker->locked[page])
		unlock(thread, multiplicity, page, key);
	else if (held < worker->mood)
		add(thread, multiplicity, page, key);
	else if (held)
		drop(thread, multiplicity, page, key);
}

static void leave(struct stress_thread *thread, struct multiplicity *multiplicity)
{
	struct worker *worker = &multiplicity->workers[thread->id];

	for (unsigned page = 0; page < PAGES; page++) {
		for (unsigned key = 0; key < KEYS; key++) {
			while (worker->held[page][key]) {
				rmap_read_lock(thread->map);
				drop(thread, multiplicity, page, key);
				rmap_read_unlock(thread->map);
			}
		}
		for (; worker->locked[page]; worker->locked[page]--) {
			rmap_read_lock(thread->map);
			stress_assert(rmap_page_remove(thread->reserve, &multiplicity->pages[page], rmap_locked()) >= 0,
				      "a remove of the thread's own locked mapping failed");
			rmap_read_unlock(thread->map);
		}
	}
}

static void body(struct stress_thread *thread, void *arg)
{
	struct multiplicity *multiplicity = arg;
	struct worker *worker = &multiplicity->workers[thread->id];

	while (stress_round(thread)) {
		while (stress_next(thread)) {
			if (stress_one_in(thread, 256))
				worker->mood = stress_one_in(thread, 3) ? 0 : stress_below(thread, multiplicity->most + 1);
			stress_assert(rmap_reserve_fill(thread->reserve, 1) == 0, "a fill found no memory");
			rmap_read_lock(thread->map);
			operate(thread, multiplicity);
			rmap_read_unlock(thread->map);
		}
	}
	leave(thread, multiplicity);
}

static void check(struct stress_thread *thread, void *arg)
{
	struct multiplicity *multiplicity = arg;

	for (unsigned page = 0; page < PAGES; page++) {
		struct rmap_target target = { .page = &multiplicity->pages[page] };
		struct look look = { .multiplicity = multiplicity, .page = page };
		struct rmap_counts sum = { 0 };
		struct stress_events events = { 0 };
		uint64_t held[KEYS] = { 0 };

		for (unsigned i = 0; i < thread->stress->threads; i++) {
			const struct worker *worker = &multiplicity->workers[i];

			sum.chained += sum_held(worker, page);
			sum.locked += worker->locked[page];
			stress_events_sum(&events, &worker->events[page]);
			for (unsigned key = 0; key < KEYS; key++)
				held[key] += worker->held[page][key];
		}
		stress_page_verify(thread->map, &multiplicity->pages[page], page, sum, &events);
		rmap_read_lock(thread->map);
		rmap_walk(thread->map, &target, visit, &look, NULL);
		rmap_read_unlock(thread->map);
		for (unsigned key = 0; key < KEYS; key++)
			stress_assert(look.found[key] == held[key], "page %u has %u mappings of key %u, the records say %u", page,
				      (unsigned)look.found[key], key, (unsigned)held[key]);
	}
}

static void run_with(struct stress *stress, unsigned bits, unsigned most)
{
	struct multiplicity *multiplicity = stress_zalloc(1, sizeof(*multiplicity));
	struct rmap_options options = RMAP_OPTIONS_DEFAULT;
	struct stress_map map;
	struct stress_plan plan = { .body = body, .check = check, .arg = multiplicity, .parts = 2 };

	multiplicity->bits = bits;
	multiplicity->shift = bits + 3;
	multiplicity->most = most;
	options.multiplicity_bits = bits;
	stress_map_init(&map, &options, false);
	plan.map = map.map;
	stress_run(stress, &plan);
	stress_map_fini(&map, bits == 4 ? "windows" : "addresses");
	free(multiplicity);
}

static void run(struct stress *stress)
{
	run_with(stress, 4, 12);
	run_with(stress, 9, 400);
}

const struct stress_test stress_multiplicity = {
	"multiplicity", "cluster windows and shared addresses; sums of counts are conserved", run
};
