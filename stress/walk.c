/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * walk.c - what walks and cursors see while everything moves (G3)
 *
 * A *mapping* here has three places: two handles and, with a range of its own, the linear address. Its owner adds it
 * somewhere, moves it from place to place, removes it. What its owner is doing it says in a state word:
 *
 *      gone -> coming -> present -> going -> gone -> ...       each step counts up; moves do not step: it stays present
 *
 * A walker copies all state words before and after its walk. A mapping whose word did not change in between
 *
 *      and was present   must be seen, at one of its three places at least
 *      and was gone      must not be seen at all
 *
 * The words are shared on purpose, with release and acquire: "before the walk began" means nothing else. So this test
 * cannot find an order that the library lacks between an adder and a walker; grow.c and collapse.c do.
 *
 * A few mappings of each page are permanent. Owners want to hold few or many in turn, so that chains grow, shrink and
 * collapse.
 */
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "stress.h"

#define PAGES 3u
#define MINE 64u
#define PERMANENT 3u
/* Each thread has one mapping only of this page, so that its chain comes and goes with single moves. */
#define TINY_PAGE 2u
#define SHIFT 3u
#define PAGE_SHIFT 12u

enum state { GONE = 0, COMING = 1, PRESENT = 2, GOING = 3 };

enum place { PLACE_A = 0, PLACE_B = 1, PLACE_LINEAR = 2 };

/*
 * struct worker - one thread's own memory, but for @states
 * @states: low two bits: enum state; above them how many times it came
 * @place:  where the mapping is while it is present
 * @before: per page, thread and mapping the states before the walk
 * @seen:   the number of the last walk that saw the mapping
 */
struct worker {
	_Atomic uint64_t states[PAGES][MINE];
	enum place place[PAGES][MINE];
	unsigned mood;
	uint64_t (*before)[MINE];
	uint64_t (*seen)[MINE];
	uint64_t walks;
	struct rmap_counts counts[PAGES];
	struct stress_events events[PAGES];
};

struct walk {
	struct rmap_page pages[PAGES];
	struct rmap_object *object;
	struct worker *workers;
};

struct look {
	struct stress_thread *thread;
	struct walk *walk;
	unsigned page;
};

/* --- owners ----------------------------------------------------------------------------------- */

static struct rmap_mapping mapping_of(unsigned page, unsigned thread, unsigned i, enum place place)
{
	return place == PLACE_LINEAR ? rmap_linear() : rmap_chained(stress_handle(page, thread, i * 2 + place, SHIFT));
}

/* A range that covers one page only; its owner names the mapping. */
static struct rmap_range range_of(unsigned page, unsigned thread, unsigned i)
{
	return (struct rmap_range){ .first = page,
				    .last = page,
				    .page_shift = PAGE_SHIFT,
				    .address = ((uint64_t)thread * MINE + i + 1) << PAGE_SHIFT,
				    .owner = (uint64_t)thread * MINE + i };
}

static void attach(struct walk *walk, unsigned page, unsigned thread, unsigned i)
{
	struct rmap_range range = range_of(page, thread, i);

	stress_assert(rmap_object_attach(walk->object, &range) == 0, "an attach of a new range failed");
}

static void detach(struct walk *walk, unsigned page, unsigned thread, unsigned i)
{
	struct rmap_range range = range_of(page, thread, i);

	stress_assert(rmap_object_detach(walk->object, &range) == 0, "a detach of an attached range failed");
}

static void count(struct worker *worker, unsigned page, enum place place, int change)
{
	if (place == PLACE_LINEAR)
		worker->counts[page].linear += (uint32_t)change;
	else
		worker->counts[page].chained += (uint32_t)change;
}

static void step(struct worker *worker, unsigned page, unsigned i, int result)
{
	stress_assert(result >= 0, "an operation on the thread's own mapping failed: %s", strerror(-result));
	stress_events_note(&worker->events[page], result);
	/* Only the owner writes; release and acquire put each step before or behind what the walkers do. */
	atomic_fetch_add_explicit(&worker->states[page][i], 1, memory_order_acq_rel);
}

static void come(struct stress_thread *thread, struct walk *walk, unsigned page, unsigned i)
{
	struct worker *worker = &walk->workers[thread->id];
	enum place place = stress_below(thread, 8) ? stress_below(thread, 2) : PLACE_LINEAR;
	int result;

	step(worker, page, i, 0);
	if (place == PLACE_LINEAR)
		attach(walk, page, thread->id, i);
	stress_assert(rmap_reserve_fill(thread->reserve, 1) == 0, "a fill found no memory");
	rmap_read_lock(thread->map);
	result = rmap_page_add(thread->reserve, &walk->pages[page], mapping_of(page, thread->id, i, place));
	rmap_read_unlock(thread->map);
	worker->place[page][i] = place;
	count(worker, page, place, 1);
	step(worker, page, i, result);
}

static void go(struct stress_thread *thread, struct walk *walk, unsigned page, unsigned i)
{
	struct worker *worker = &walk->workers[thread->id];
	enum place place = worker->place[page][i];
	int result;

	step(worker, page, i, 0);
	rmap_read_lock(thread->map);
	result = rmap_page_remove(thread->reserve, &walk->pages[page], mapping_of(page, thread->id, i, place));
	rmap_read_unlock(thread->map);
	if (place == PLACE_LINEAR)
		detach(walk, page, thread->id, i);
	count(worker, page, place, -1);
	step(worker, page, i, result);
}

static void move(struct stress_thread *thread, struct walk *walk, unsigned page, unsigned i)
{
	struct worker *worker = &walk->workers[thread->id];
	enum place from = worker->place[page][i];
	enum place to = (from + 1 + stress_below(thread, 2)) % 3;
	int result;

	if (to == PLACE_LINEAR)
		attach(walk, page, thread->id, i);
	stress_assert(rmap_reserve_fill(thread->reserve, 1) == 0, "a fill found no memory");
	rmap_read_lock(thread->map);
	result = rmap_page_move(thread->reserve, &walk->pages[page], mapping_of(page, thread->id, i, from),
				mapping_of(page, thread->id, i, to));
	rmap_read_unlock(thread->map);
	stress_assert(result == 0, "a move of the thread's own mapping gave %d", result);
	if (from == PLACE_LINEAR)
		detach(walk, page, thread->id, i);
	count(worker, page, from, -1);
	count(worker, page, to, 1);
	worker->place[page][i] = to;
}

static bool present(const struct worker *worker, unsigned page, unsigned i)
{
	/* RLX: asked by the owner alone. */
	return (atomic_load_explicit(&worker->states[page][i], memory_order_relaxed) & 3) == PRESENT;
}

/* --- walkers ---------------------------------------------------------------------------------- */

static void see(struct look *look, unsigned thread, unsigned i)
{
	struct worker *worker = &look->walk->workers[look->thread->id];

	worker->seen[thread][i] = worker->walks;
}

static int visit(void *arg, const struct rmap_visit *visit)
{
	struct look *look = arg;
	const struct stress *stress = look->thread->stress;

	if (visit->kind == RMAP_LINEAR) {
		unsigned thread = (unsigned)(visit->range.owner / MINE), i = (unsigned)(visit->range.owner % MINE);

		stress_assert(
			thread < stress->threads && visit->range.first == look->page &&
				visit->address == ((uint64_t)thread * MINE + i + 1) << PAGE_SHIFT,
			"a walk of page %u visited a range that was never attached there (owner %llu, address %llx)",
			look->page, (unsigned long long)visit->range.owner, (unsigned long long)visit->address);
		see(look, thread, i);
	} else {
		stress_assert(stress_handle_of(stress, visit->handle, look->page, SHIFT, MINE * 2) && visit->count == 1,
			      "G6: a walk of page %u visited handle %llx, which nobody ever added to it", look->page,
			      (unsigned long long)visit->handle);
		see(look, stress_handle_thread(visit->handle), stress_handle_key(visit->handle, SHIFT) / 2);
	}
	/*
	 * Ranges come first: a walk that waits behind them meets mappings that have moved from the chain into a range.
	 */
	if (visit->kind == RMAP_LINEAR && stress_one_in(look->thread, 16))
		sched_yield();
	else if (stress_one_in(look->thread, 8))
		stress_perturb(look->thread);
	return 0;
}

static void with_cursor(struct look *look, const struct rmap_target *target)
{
	static const size_t sizes[] = { 1, 3, 64 };
	size_t size = sizes[stress_below(look->thread, 3)], n;
	struct rmap_visit visits[64];
	struct rmap_cursor cursor;

	rmap_cursor_init(&cursor, look->thread->map, target);
	cursor.rounds_max = UINT32_MAX;
	cursor.mover = look->thread->reserve; /* it moves nothing meanwhile, and misses nothing that others move */
	while ((n = rmap_cursor_next(&cursor, visits, size)) > 0) {
		stress_assert(n <= size, "a cursor copied %zu where there was room for %zu", n, size);
		for (size_t i = 0; i < n; i++)
			visit(look, &visits[i]);
	}
}

static int visit_batch(void *arg, const struct rmap_visits *visits)
{
	struct rmap_visit one;

	for (size_t i = 0; i < visits->n; i++) {
		rmap_visits_get(visits, i, &one);
		visit(arg, &one);
	}
	return 1;
}

/* Each in a section of its own. */
static void with_batches(struct look *look, const struct rmap_target *target)
{
	struct rmap_cursor cursor;
	int result;

	rmap_cursor_init(&cursor, look->thread->map, target);
	cursor.rounds_max = UINT32_MAX;
	do {
		rmap_read_lock(look->thread->map);
		result = rmap_walk_batches(&cursor, visit_batch, look);
		rmap_read_unlock(look->thread->map);
	} while (result == 1);
	stress_assert(result == 0, "a walk by batches ended early");
}

static void with_visitor(struct look *look, const struct rmap_target *target)
{
	rmap_read_lock(look->thread->map);
	stress_assert(stress_walk_page(look->thread->map, target, visit, look, NULL) == 0, "a walk ended early");
	rmap_read_unlock(look->thread->map);
}

static void judge(struct look *look, const char *what)
{
	const struct worker *me = &look->walk->workers[look->thread->id];

	for (unsigned thread = 0; thread < look->thread->stress->threads; thread++) {
		for (unsigned i = 0; i < MINE; i++) {
			uint64_t before = me->before[thread][i];
			uint64_t after = atomic_load_explicit(&look->walk->workers[thread].states[look->page][i],
							      memory_order_acquire);
			bool seen = me->seen[thread][i] == me->walks;

			if (before != after)
				continue;
			stress_assert((after & 3) != PRESENT || seen,
				      "G3: %s of page %u missed mapping %u of thread %u, which was there all the time",
				      what, look->page, i, thread);
			stress_assert((after & 3) != GONE || !seen,
				      "G3: %s of page %u saw mapping %u of thread %u, which was gone before it began",
				      what, look->page, i, thread);
		}
	}
}

static void look_around(struct stress_thread *thread, struct walk *walk, unsigned page)
{
	static const struct {
		const char *name;
		void (*look)(struct look *look, const struct rmap_target *target);
	} ways[] = { { "a cursor", with_cursor }, { "a walk by batches", with_batches }, { "a walk", with_visitor } };
	struct worker *worker = &walk->workers[thread->id];
	struct rmap_target target = { &walk->pages[page], walk->object, page, page };
	struct look look = { thread, walk, page };
	unsigned way = stress_below(thread, 3);

	worker->walks++;
	for (unsigned other = 0; other < thread->stress->threads; other++) {
		for (unsigned i = 0; i < MINE; i++)
			worker->before[other][i] =
				atomic_load_explicit(&walk->workers[other].states[page][i], memory_order_acquire);
	}
	ways[way].look(&look, &target);
	judge(&look, ways[way].name);
}

/* --- the run ---------------------------------------------------------------------------------- */

static void change(struct stress_thread *thread, struct walk *walk, unsigned page)
{
	struct worker *worker = &walk->workers[thread->id];
	unsigned i = page == TINY_PAGE ? 0 : PERMANENT + stress_below(thread, MINE - PERMANENT);
	bool is = present(worker, page, i);
	bool wanted = page == TINY_PAGE ? !stress_one_in(thread, 8) : stress_below(thread, MINE) < worker->mood;

	if (is && wanted)
		move(thread, walk, page, i);
	else if (is)
		go(thread, walk, page, i);
	else if (wanted)
		come(thread, walk, page, i);
}

static void body(struct stress_thread *thread, void *arg)
{
	static const unsigned moods[] = { 0, 0, 1, 4, MINE / 2, MINE };
	struct walk *walk = arg;
	struct worker *worker = &walk->workers[thread->id];

	worker->before = stress_zalloc(thread->stress->threads, sizeof(*worker->before));
	worker->seen = stress_zalloc(thread->stress->threads, sizeof(*worker->seen));
	/* Thread 0's permanent mappings are on page 0 only: page 1 falls back to nothing now and then. */
	for (unsigned i = 0; i < PERMANENT && thread->id == 0; i++)
		come(thread, walk, 0, i);
	while (stress_round(thread)) {
		while (stress_next(thread)) {
			unsigned page = stress_below(thread, PAGES);

			if (stress_one_in(thread, 128))
				worker->mood = moods[stress_below(thread, sizeof(moods) / sizeof(moods[0]))];
			if (stress_one_in(thread, 16))
				look_around(thread, walk, page);
			else if (thread->id == 0 && page == 0 && stress_one_in(thread, 4))
				move(thread, walk, 0, stress_below(thread, PERMANENT));
			else
				change(thread, walk, page);
		}
	}
	for (unsigned page = 0; page < PAGES; page++) {
		for (unsigned i = 0; i < MINE; i++) {
			if (present(worker, page, i))
				go(thread, walk, page, i);
		}
	}
	free(worker->before);
	free(worker->seen);
}

static void check(struct stress_thread *thread, void *arg)
{
	struct walk *walk = arg;
	uint64_t linear = 0;

	for (unsigned page = 0; page < PAGES; page++) {
		struct rmap_counts sum = { 0 };
		struct stress_events events = { 0 };

		for (unsigned i = 0; i < thread->stress->threads; i++) {
			sum.chained += walk->workers[i].counts[page].chained;
			sum.linear += walk->workers[i].counts[page].linear;
			stress_events_sum(&events, &walk->workers[i].events[page]);
		}
		stress_page_verify(thread->map, &walk->pages[page], page, sum, &events);
		linear += sum.linear;
	}
	rmap_read_lock(thread->map);
	stress_assert(rmap_object_ranges(walk->object) == linear, "the object has %llu ranges, the records say %llu",
		      (unsigned long long)rmap_object_ranges(walk->object), (unsigned long long)linear);
	stress_assert(rmap_object_check(walk->object) == 0, "an equation of the object does not hold");
	rmap_read_unlock(thread->map);
}

static void run(struct stress *stress)
{
	struct walk *walk = stress_zalloc(1, sizeof(*walk));
	struct stress_map map;
	struct stress_plan plan = { .body = body, .check = check, .arg = walk };

	walk->workers = stress_zalloc(stress->threads, sizeof(*walk->workers));
	stress_map_init(&map, NULL, false);
	stress_assert(rmap_object_create(map.map, &walk->object) == 0, "an object cannot be made");
	plan.map = map.map;
	stress_run(stress, &plan);
	rmap_object_destroy(walk->object);
	stress_map_fini(&map, "the map");
	free(walk->workers);
	free(walk);
}

const struct stress_test stress_walk = { "walk",
					 "walks and cursors see what stays, through growth, shrinking and moves", run,
					 false };
