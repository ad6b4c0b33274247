/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * multiplicity.c - elements that stand for many mappings: cluster windows and shared addresses
 *
 * All threads add to and remove from the same keys, so that one element's count is everybody's and any thread's remove
 * may take the unit that another one added. Runs three times: pairs, so that most keys have many elements (1 bit);
 * windows of 16 ptes (4 bits); addresses of a fork family (9 bits). In each a key has more mappings now and then than
 * one element can count.
 *
 * In each round all threads have one mood for a page: how many keys are in use, how many mappings of each a thread
 * wants to hold, and how many of those it has it *keeps*, that is, does not remove before the round ends. So pages go
 * back and forth together between nothing, direct, a block and many leaves.
 *
 *      a remove, move or lock of a held mapping never fails, though others take units of its key at the same time: one
 *      pass over the chain is exact; a key that nobody adds is -ENOENT
 *      a walk's and a cursor's counts of a key add up to at least what all threads keep and the walker itself holds:
 *      the units that stay throughout (G3), wherever others' adds and removes make them lie
 *      at each check a walk finds of each key exactly the sum of the records
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "stress.h"

#define PAGES 2u
#define KEYS 96u
/* Never added. */
#define ABSENT KEYS

/*
 * struct mood - what all threads want of one page in one round; written by the thread that checks
 * @keys:  the keys in use are those below; mappings of others go
 * @most:  how many mappings of each of these a thread wants
 * @keep:  so many that it holds when the round begins it keeps
 * @reach: no thread holds, or will add, a key from here on
 * @moves: mappings change their keys and are locked, which makes walks start over
 * @stay:  per key what all threads keep together
 */
struct mood {
	uint32_t keys;
	uint32_t most;
	uint32_t keep;
	uint32_t reach;
	bool moves;
	uint32_t stay[KEYS];
};

/*
 * struct worker - one thread's own memory
 * @keeps: how many of @held it keeps in this round
 */
struct worker {
	uint32_t held[PAGES][KEYS];
	uint32_t keeps[PAGES][KEYS];
	uint32_t locked[PAGES];
	struct stress_events events[PAGES];
};

/*
 * struct multiplicity
 * @shift: the lowest bit of a key
 * @most:  how many mappings of one key a thread wants to hold at most
 */
struct multiplicity {
	struct rmap_page pages[PAGES];
	struct mood moods[PAGES];
	struct worker workers[STRESS_THREADS_MAX];
	unsigned bits;
	unsigned shift;
	uint32_t most;
};

struct look {
	const struct multiplicity *multiplicity;
	unsigned page;
	uint64_t found[KEYS];
};

/* Any pte of the window names it; an address has none below it. */
static struct rmap_mapping mapping_of(struct stress_thread *thread, const struct multiplicity *multiplicity,
				      unsigned page, unsigned key)
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

/* --- operations, inside a read-side section with a filled reserve ----------------------------- */

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
	unsigned to = stress_below(thread, multiplicity->moods[page].keys);
	int result =
		rmap_page_move(thread->reserve, &multiplicity->pages[page], mapping_of(thread, multiplicity, page, key),
			       mapping_of(thread, multiplicity, page, to));

	stress_assert(result == 0, "a move of key %u, of which the thread holds %u, to %u gave %d", key,
		      worker->held[page][key], to, result);
	worker->held[page][key]--;
	worker->held[page][to]++;
}

static void lock(struct stress_thread *thread, struct multiplicity *multiplicity, unsigned page, unsigned key)
{
	struct worker *worker = &multiplicity->workers[thread->id];
	int result = rmap_page_lock(thread->reserve, &multiplicity->pages[page],
				    mapping_of(thread, multiplicity, page, key));

	stress_assert(result >= 0, "a lock of key %u, of which the thread holds %u, failed: %s", key,
		      worker->held[page][key], strerror(-result));
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
	stress_assert(visit->count >= 1 && visit->count <= 1u << multiplicity->bits,
		      "an element stands for %u mappings", visit->count);
	look->found[key] += visit->count;
	return 0;
}

/* What stays is counted in full, whether @what was made in one section or in batches. */
static void found_all(struct stress_thread *thread, const struct look *look, const char *what)
{
	const struct worker *worker = &look->multiplicity->workers[thread->id];
	const struct mood *mood = &look->multiplicity->moods[look->page];

	for (unsigned key = 0; key < KEYS; key++) {
		uint32_t own = worker->held[look->page][key], keeps = worker->keeps[look->page][key];

		stress_assert(look->found[key] >= mood->stay[key] + own - keeps,
			      "G3: %s found %u mappings of key %u, but %u are there throughout, %u of them its own",
			      what, (unsigned)look->found[key], key, mood->stay[key] + own - keeps, own);
	}
}

static void walk(struct stress_thread *thread, struct multiplicity *multiplicity, unsigned page)
{
	struct rmap_target target = { .page = &multiplicity->pages[page] };
	struct look look = { .multiplicity = multiplicity, .page = page };

	stress_assert(stress_walk_page(thread->map, &target, visit, &look, NULL) == 0, "a walk ended early");
	found_all(thread, &look, "a walk");
}

static void cursor(struct stress_thread *thread, struct multiplicity *multiplicity, unsigned page)
{
	static const size_t sizes[] = { 1, 3, 64 };
	size_t size = sizes[stress_below(thread, 3)], n;
	struct rmap_target target = { .page = &multiplicity->pages[page] };
	struct look look = { .multiplicity = multiplicity, .page = page };
	struct rmap_visit visits[64];
	struct rmap_cursor cursor;

	rmap_cursor_init(&cursor, thread->map, &target);
	cursor.rounds_max = UINT32_MAX;
	while ((n = rmap_cursor_next(&cursor, visits, size)) > 0) {
		for (size_t i = 0; i < n; i++)
			visit(&look, &visits[i]);
		stress_perturb(thread);
	}
	found_all(thread, &look, "a cursor");
}

/* A key that is not wanted goes at once, so that pages do empty. */
static void drop_some(struct stress_thread *thread, struct multiplicity *multiplicity, unsigned page, unsigned key,
		      uint32_t n)
{
	while (n--)
		drop(thread, multiplicity, page, key);
}

/* --- the run ---------------------------------------------------------------------------------- */

/* A mapping that is locked: it becomes a chained one again, or goes, as the mood wants. */
static void release_locked(struct stress_thread *thread, struct multiplicity *multiplicity, unsigned page)
{
	struct worker *worker = &multiplicity->workers[thread->id];
	const struct mood *mood = &multiplicity->moods[page];
	int result;

	if (mood->keys && stress_one_in(thread, 2)) {
		unlock(thread, multiplicity, page, stress_below(thread, mood->keys));
		return;
	}
	result = rmap_page_remove(thread->reserve, &multiplicity->pages[page], rmap_locked());
	stress_assert(result >= 0, "a remove of the thread's own locked mapping failed: %s", strerror(-result));
	worker->locked[page]--;
	stress_events_note(&worker->events[page], result);
}

static void operate(struct stress_thread *thread, struct multiplicity *multiplicity, unsigned page)
{
	struct worker *worker = &multiplicity->workers[thread->id];
	const struct mood *mood = &multiplicity->moods[page];
	unsigned key = stress_below(thread, mood->reach), dice = stress_below(thread, 32);
	uint32_t wanted = key < mood->keys ? mood->most : 0, held = worker->held[page][key];
	uint32_t spare = held - worker->keeps[page][key];
	/* Not straight to what is wanted: a step back now and then, so that adds and removes meet. */
	bool back = stress_one_in(thread, 4);

	if (dice == 0)
		misuse(thread, multiplicity, page);
	else if (dice < (mood->most ? 3 : 9) && worker->locked[page])
		release_locked(thread, multiplicity, page);
	else if (dice < 6 && mood->moves && mood->keys && spare)
		move(thread, multiplicity, page, key);
	else if (dice == 6 && mood->moves && spare)
		lock(thread, multiplicity, page, key);
	else if (back ? held >= wanted && key < mood->keys : held < wanted)
		add(thread, multiplicity, page, key);
	else
		drop_some(thread, multiplicity, page, key, wanted && spare ? 1 : spare);
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
		while (worker->locked[page]) {
			rmap_read_lock(thread->map);
			release_locked(thread, multiplicity, page);
			rmap_read_unlock(thread->map);
		}
	}
}

static void begin_round(struct stress_thread *thread, struct multiplicity *multiplicity)
{
	struct worker *worker = &multiplicity->workers[thread->id];

	for (unsigned page = 0; page < PAGES; page++) {
		for (unsigned key = 0; key < KEYS; key++) {
			uint32_t keep = multiplicity->moods[page].keep, held = worker->held[page][key];

			worker->keeps[page][key] = keep < held ? keep : held;
		}
	}
}

static void body(struct stress_thread *thread, void *arg)
{
	struct multiplicity *multiplicity = arg;

	while (stress_round(thread)) {
		begin_round(thread, multiplicity);
		while (stress_next(thread)) {
			unsigned page = stress_below(thread, PAGES);

			if (stress_one_in(thread, 64)) {
				cursor(thread, multiplicity, page);
				continue;
			}
			stress_assert(rmap_reserve_fill(thread->reserve, 1) == 0, "a fill found no memory");
			rmap_read_lock(thread->map);
			if (stress_one_in(thread, 64))
				walk(thread, multiplicity, page);
			else
				operate(thread, multiplicity, page);
			rmap_read_unlock(thread->map);
		}
	}
	/* Nothing is wanted any more, and nothing kept. */
	if (stress_meet(thread))
		memset(multiplicity->moods, 0, sizeof(multiplicity->moods));
	stress_meet(thread);
	leave(thread, multiplicity);
}

/* While all stand still; @held is the sum of the records. */
static void change_mood(struct stress_thread *thread, struct multiplicity *multiplicity, unsigned page,
			const uint64_t *held)
{
	const uint32_t most = multiplicity->most;
	/*
	 * Keys, mappings of each. Where none are wanted, steps back alone make some, and the page empties all the time.
	 */
	const uint32_t moods[][2] = { { 0, 0 },    { 1, 0 },    { 2, 0 },  { 2, 1 },
				      { 2, most }, { 3, most }, { 12, 3 }, { KEYS, 1 } };
	unsigned pick = stress_below(thread, sizeof(moods) / sizeof(moods[0]));
	struct mood *mood = &multiplicity->moods[page];

	*mood = (struct mood){ .keys = moods[pick][0], .most = moods[pick][1], .moves = stress_one_in(thread, 2) };
	mood->keep = mood->most && stress_one_in(thread, 2) ? 1 + stress_below(thread, mood->most) : 0;
	mood->reach = mood->keys ? mood->keys : 1;
	for (unsigned key = 0; key < KEYS; key++) {
		if (held[key] && key >= mood->reach)
			mood->reach = key + 1;
		for (unsigned i = 0; i < thread->stress->threads; i++) {
			uint32_t own = multiplicity->workers[i].held[page][key];

			mood->stay[key] += own < mood->keep ? own : mood->keep;
		}
	}
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
		stress_walk_page(thread->map, &target, visit, &look, NULL);
		rmap_read_unlock(thread->map);
		for (unsigned key = 0; key < KEYS; key++)
			stress_assert(look.found[key] == held[key],
				      "page %u has %u mappings of key %u, the records say %u", page,
				      (unsigned)look.found[key], key, (unsigned)held[key]);
		change_mood(thread, multiplicity, page, held);
	}
}

static void run_with(struct stress *stress, unsigned bits, uint32_t most, const char *what)
{
	struct multiplicity *multiplicity = stress_zalloc(1, sizeof(*multiplicity));
	struct rmap_options options = RMAP_OPTIONS_DEFAULT;
	struct stress_map map;
	struct stress_plan plan = { .body = body, .check = check, .arg = multiplicity, .parts = 3 };

	multiplicity->bits = bits;
	multiplicity->shift = bits + 3;
	multiplicity->most = most;
	options.multiplicity_bits = bits;
	stress_map_init(&map, &options, false);
	plan.map = map.map;
	stress_run(stress, &plan);
	stress_map_fini(&map, what);
	free(multiplicity);
}

static void run(struct stress *stress)
{
	run_with(stress, 1, 8, "pairs");
	run_with(stress, 4, 16, "windows");
	run_with(stress, 9, 200, "addresses");
}

const struct stress_test stress_multiplicity = { "multiplicity",
						 "cluster windows and shared addresses; sums of counts are conserved",
						 run, false };
