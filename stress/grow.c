/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * grow.c - chains grow to thousands and shrink to nothing, over and over, with walkers beside them
 *
 * In each round the threads bring two pages to a size that all agree on: up to thousands, down to a few, to nothing. So
 * every round crosses promotion, leaves that grow, split, shrink and merge, and collapse. Some threads of each round
 * only walk meanwhile; what they hold themselves, every walk of theirs visits (G3).
 *
 *      at each check   page_check is 0, counts are the sums of the records, memory is within its bound (G8), pieces
 *                      are few (what makes an operation O(1))
 *      in each walk    the thread's own mappings are visited, and the payload of every visited one is there: it was
 *                      written in plain memory before the add, so the library alone orders the two
 */
#include <stdlib.h>
#include <string.h>

#include "stress.h"

#define PAGES 2u
#define KEYS 2048u
#define SHIFT 3u

/*
 * Branches with their leaves, and some overflow. If a chain were made of that, it would be a seventh of the elements.
 */
#define PIECES_MOST(elements) (17u + (elements) / 9u)

/*
 * struct worker - one thread's own memory
 * @held:  per page which of its handles it holds; the first @n[page] of @order are these
 * @seen:  the round of the walk that visited the handle, counted in @walks
 */
struct worker {
	uint32_t order[PAGES][KEYS];
	uint32_t n[PAGES];
	uint32_t place[PAGES][KEYS];
	uint64_t seen[KEYS];
	uint64_t walks;
	struct stress_events events[PAGES];
};

/*
 * struct grow
 * @payloads: per page, thread and key the handle, written before it is added and erased while all stand still
 * @writers:  threads that have not reached the round's size yet: walkers go on until there are none. Relaxed: a hint
 * @target:   mappings of each thread on each page at the end of the round; written by the thread that checks
 */
struct grow {
	struct rmap_page pages[PAGES];
	struct worker *workers;
	uint64_t (*payloads)[STRESS_THREADS_MAX][KEYS];
	_Atomic unsigned writers;
	unsigned target[PAGES];
};

struct look {
	struct stress_thread *thread;
	struct grow *grow;
	unsigned page;
};

static bool holds(const struct worker *worker, unsigned page, unsigned key)
{
	return worker->place[page][key] < worker->n[page];
}

static void swap(struct worker *worker, unsigned page, uint32_t a, uint32_t b)
{
	uint32_t *order = worker->order[page];
	uint32_t key = order[a];

	order[a] = order[b];
	order[b] = key;
	worker->place[page][order[a]] = a;
	worker->place[page][order[b]] = b;
}

/* A handle that is not held comes in, at random, so that entries lie in lines in no order. */
static void add(struct stress_thread *thread, struct grow *grow, unsigned page)
{
	struct worker *worker = &grow->workers[thread->id];
	uint32_t pick = worker->n[page] + stress_below(thread, KEYS - worker->n[page]);
	uint32_t key = worker->order[page][pick];
	uint64_t handle = stress_handle(page, thread->id, key, SHIFT);
	uint64_t *payload = &grow->payloads[page][thread->id][key];
	int result;

	/* Written once in its life: a walker may still read it after a remove of this round. */
	if (*payload == 0)
		*payload = handle;
	stress_assert(rmap_reserve_fill(thread->reserve, 1) == 0, "a fill found no memory");
	rmap_read_lock(thread->map);
	result = rmap_page_add(thread->reserve, &grow->pages[page], rmap_chained(handle));
	rmap_read_unlock(thread->map);
	stress_assert(result >= 0, "G1: an add with a filled reserve failed: %s", strerror(-result));
	stress_events_note(&worker->events[page], result);
	swap(worker, page, worker->n[page]++, pick);
}

static void drop(struct stress_thread *thread, struct grow *grow, unsigned page)
{
	struct worker *worker = &grow->workers[thread->id];
	uint32_t pick = stress_below(thread, worker->n[page]);
	uint64_t handle = stress_handle(page, thread->id, worker->order[page][pick], SHIFT);
	int result;

	rmap_read_lock(thread->map);
	result = rmap_page_remove(thread->reserve, &grow->pages[page], rmap_chained(handle));
	rmap_read_unlock(thread->map);
	stress_assert(result >= 0, "a remove of the thread's own mapping %llx failed: %s", (unsigned long long)handle,
		      strerror(-result));
	stress_events_note(&worker->events[page], result);
	swap(worker, page, pick, --worker->n[page]);
}

static int visit(void *arg, const struct rmap_visit *visit)
{
	struct look *look = arg;
	unsigned id = stress_handle_thread(visit->handle), key = stress_handle_key(visit->handle, SHIFT);
	struct worker *worker = &look->grow->workers[look->thread->id];

	stress_assert(visit->kind == RMAP_CHAINED &&
			      stress_handle_of(look->thread->stress, visit->handle, look->page, SHIFT, KEYS),
		      "G6: a walk of page %u visited kind %d, handle %llx, which nobody ever added to it", look->page,
		      visit->kind, (unsigned long long)visit->handle);
	stress_assert(look->grow->payloads[look->page][id][key] == visit->handle,
		      "Ordering: a walk visited %llx, but does not see what its adder wrote before",
		      (unsigned long long)visit->handle);
	if (id == look->thread->id) {
		stress_assert(holds(worker, look->page, key), "G3: a walk visited key %u, which was gone before it",
			      key);
		worker->seen[key] = worker->walks;
	}
	if (stress_one_in(look->thread, 16))
		stress_perturb(look->thread);
	return 0;
}

static void walk(struct stress_thread *thread, struct grow *grow, unsigned page)
{
	static const size_t sizes[] = { 1, 3, 64 };
	struct worker *worker = &grow->workers[thread->id];
	struct rmap_target target = { .page = &grow->pages[page] };
	struct look look = { thread, grow, page };
	struct rmap_visit visits[64];
	struct rmap_cursor cursor;

	worker->walks++;
	if (stress_one_in(thread, 2)) {
		size_t size = sizes[stress_below(thread, 3)], n;

		rmap_cursor_init(&cursor, thread->map, &target);
		cursor.rounds_max = UINT32_MAX;
		while ((n = rmap_cursor_next(&cursor, visits, size)) > 0) {
			for (size_t i = 0; i < n; i++)
				visit(&look, &visits[i]);
		}
	} else {
		rmap_read_lock(thread->map);
		stress_assert(stress_walk_page(thread->map, &target, visit, &look, NULL) == 0, "a walk ended early");
		rmap_read_unlock(thread->map);
	}
	for (uint32_t i = 0; i < worker->n[page]; i++)
		stress_assert(worker->seen[worker->order[page][i]] == worker->walks,
			      "G3: a walk of page %u did not visit key %u, which is there (%u held)", page,
			      worker->order[page][i], worker->n[page]);
}

static void reach_targets(struct stress_thread *thread, struct grow *grow)
{
	struct worker *worker = &grow->workers[thread->id];
	/* Not straight to the target: a thread steps back now and then, so that adds and removes meet. */
	unsigned back = 2 + stress_below(thread, 6);
	unsigned done = 0;

	while (done < PAGES && stress_next(thread)) {
		unsigned page = stress_below(thread, PAGES);
		bool up = worker->n[page] < grow->target[page];
		bool down = worker->n[page] > grow->target[page];

		if (stress_one_in(thread, back)) {
			up = !up && worker->n[page] < KEYS;
			down = !up && worker->n[page] > 0;
		}
		if (up)
			add(thread, grow, page);
		else if (down)
			drop(thread, grow, page);
		if (stress_one_in(thread, 2048))
			walk(thread, grow, page);
		done = 0;
		for (unsigned i = 0; i < PAGES; i++)
			done += worker->n[i] == grow->target[i];
	}
	atomic_fetch_sub_explicit(&grow->writers, 1, memory_order_relaxed);
}

static void walk_on(struct stress_thread *thread, struct grow *grow)
{
	do {
		walk(thread, grow, stress_below(thread, PAGES));
	} while (atomic_load_explicit(&grow->writers, memory_order_relaxed) && stress_next(thread));
}

static void body(struct stress_thread *thread, void *arg)
{
	struct grow *grow = arg;
	struct worker *worker = &grow->workers[thread->id];

	for (unsigned page = 0; page < PAGES; page++) {
		for (uint32_t key = 0; key < KEYS; key++)
			worker->order[page][key] = worker->place[page][key] = key;
	}
	while (stress_round(thread)) {
		if (thread->stress->threads > 1 && (thread->round + thread->id) % 3 == 0) {
			walk_on(thread, grow);
			continue;
		}
		atomic_fetch_add_explicit(&grow->writers, 1, memory_order_relaxed);
		reach_targets(thread, grow);
	}
	for (unsigned page = 0; page < PAGES; page++) {
		while (worker->n[page])
			drop(thread, grow, page);
	}
}

static void erase_payloads(struct grow *grow, unsigned page, unsigned id)
{
	const struct worker *worker = &grow->workers[id];

	for (uint32_t i = worker->n[page]; i < KEYS; i++)
		grow->payloads[page][id][worker->order[page][i]] = 0;
}

static void check(struct stress_thread *thread, void *arg)
{
	static const unsigned targets[] = { 0, 0, 0, 1, 3, 16, 100, 700, KEYS };
	struct grow *grow = arg;

	for (unsigned page = 0; page < PAGES; page++) {
		struct rmap_counts sum = { 0 };
		struct stress_events events = { 0 };
		struct rmap_shape shape;

		for (unsigned i = 0; i < thread->stress->threads; i++) {
			sum.chained += grow->workers[i].n[page];
			stress_events_sum(&events, &grow->workers[i].events[page]);
			erase_payloads(grow, page, i);
		}
		shape = stress_page_verify(thread->map, &grow->pages[page], page, sum, &events);
		stress_assert(shape.elements == sum.chained, "page %u stores %u elements, the records say %u", page,
			      shape.elements, sum.chained);
		stress_assert(
			shape.bytes <= STRESS_BOUND(shape.elements),
			"G8: page %u takes %llu bytes for %u elements (%u pieces, %llu slots), the bound is %llu",
			page, (unsigned long long)shape.bytes, shape.elements, shape.pieces,
			(unsigned long long)shape.slots, (unsigned long long)STRESS_BOUND(shape.elements));
		stress_assert(shape.pieces <= PIECES_MOST(shape.elements),
			      "O(1): page %u has %u pieces for %u elements, at most %u are expected", page,
			      shape.pieces, shape.elements, PIECES_MOST(shape.elements));
		grow->target[page] = targets[stress_below(thread, sizeof(targets) / sizeof(targets[0]))];
	}
}

static void run(struct stress *stress)
{
	struct grow *grow = stress_zalloc(1, sizeof(*grow));
	struct stress_map map;
	struct stress_plan plan = { .body = body, .check = check, .arg = grow, .round_ops = 40000 };

	grow->workers = stress_zalloc(stress->threads, sizeof(*grow->workers));
	grow->payloads = stress_zalloc(PAGES, sizeof(*grow->payloads));
	stress_map_init(&map, NULL, false);
	plan.map = map.map;
	stress_run(stress, &plan);
	stress_map_fini(&map, "the map");
	free(grow->payloads);
	free(grow->workers);
	free(grow);
}

const struct stress_test stress_grow = { "grow",
					 "chains to thousands and back to nothing; memory bounded, walks complete", run,
					 false };
