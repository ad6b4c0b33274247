/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reclaim.c - memory that is given back: when, to whom, and how much of it waits
 *
 * Threads build chains of up to hundreds of mappings and tear them down again, on pages of their own and on shared
 * ones, while others look at them out of long read-side sections. The tier poisons what it gets back and makes it
 * unreadable, so that a reader of memory that went back too early dies there; blocks that the library reuses itself are
 * seen by the handles in them, which name their page (G6).
 *
 *      in each walk    only handles of this page, whatever was reused meanwhile
 *      all the time    what waits for grace periods stays within the cap and a slack for each thread; so does the
 *                      tier's whole memory (G8), through a churn of any length, and beside drains that sweep it
 *
 * Runs three times: with both ways to wait for grace periods, and with chains so small and a cap so low that every fill
 * waits for one and memory comes round again within microseconds. A thread that pops a depot meets recurring heads
 * there.
 */
#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "stress.h"

#define SHARED 2u
#define CHAIN_MAX 600u
#define SHIFT 3u

#define WAITING_MAX ((size_t)128 << 10)
/*
 * One thread passes the cap's check, then retires at most the largest chain of its own and one of those that others
 * built.
 */
#define WAITING_SLACK ((size_t)64 << 10)
/* In chains, in hand in the reserve, and carved into sizes that are not asked for just now. */
#define MEMORY_SLACK ((size_t)1 << 20)

struct worker {
	struct rmap_page page;
	uint32_t shared[SHARED];
	struct stress_events events[SHARED];
};

/*
 * struct reclaim
 * @cap:  bytes that may wait for grace periods
 * @tight: the third run
 */
struct reclaim {
	size_t cap;
	bool tight;
	struct rmap_page pages[SHARED];
	struct worker workers[STRESS_THREADS_MAX];
	struct stress_map map;
};

struct look {
	struct stress_thread *thread;
	unsigned page;
	uint64_t found;
};

/* The pages that one thread has to itself come after the shared ones. */
static unsigned own_number(const struct stress_thread *thread)
{
	return SHARED + thread->id;
}

static int visit(void *arg, const struct rmap_visit *visit)
{
	struct look *look = arg;

	stress_assert(visit->kind == RMAP_CHAINED &&
			      stress_handle_of(look->thread->stress, visit->handle, look->page, SHIFT, CHAIN_MAX),
		      "G6: a walk of page %u met %" PRIx64 ", a handle of another page or of nobody", look->page,
		      visit->handle);
	look->found++;
	/* Long sections, in which others tear the chain down. */
	if (stress_one_in(look->thread, 64))
		sched_yield();
	return 0;
}

static uint64_t walk(struct stress_thread *thread, const struct rmap_page *page, unsigned number)
{
	struct look look = { thread, number, 0 };
	struct rmap_target target = { .page = page };

	stress_assert(stress_walk_page(thread->map, &target, visit, &look, NULL) == 0, "a walk ended early");
	return look.found;
}

static void add(struct stress_thread *thread, struct rmap_page *page, unsigned number, unsigned key,
		struct stress_events *events)
{
	int result;

	if (stress_one_in(thread, 2) || rmap_reserve_fill_nowait(thread->reserve, 1) != 0)
		stress_assert(rmap_reserve_fill(thread->reserve, 1) == 0, "a fill found no memory");
	rmap_read_lock(thread->map);
	result = rmap_page_add(thread->reserve, page, rmap_chained(stress_handle(number, thread->id, key, SHIFT)));
	rmap_read_unlock(thread->map);
	stress_assert(result >= 0, "G1: an add with a filled reserve failed: %s", strerror(-result));
	stress_events_note(events, result);
}

static void drop(struct stress_thread *thread, struct rmap_page *page, unsigned number, unsigned key,
		 struct stress_events *events)
{
	int result;

	rmap_read_lock(thread->map);
	result = rmap_page_remove(thread->reserve, page, rmap_chained(stress_handle(number, thread->id, key, SHIFT)));
	rmap_read_unlock(thread->map);
	stress_assert(result >= 0, "a remove of the thread's own mapping failed: %s", strerror(-result));
	stress_events_note(events, result);
}

/* Figures that must hold at any moment. */
static void bounded(struct stress_thread *thread, const struct reclaim *reclaim)
{
	const uint64_t cap = reclaim->cap + thread->stress->threads * WAITING_SLACK;
	struct rmap_statistics stats = { .size = sizeof(stats) };
	uint64_t peak = atomic_load_explicit(&reclaim->map.chains.peak, memory_order_relaxed);

	stress_assert(rmap_stats(thread->map, &stats) == 0, "rmap_stats refused its own size");
	stress_assert(stats.waiting_bytes <= cap && stats.waiting_peak <= cap,
		      "G8: %" PRIu64 " bytes wait for grace periods and %" PRIu64
		      " did, the cap with its slack is %" PRIu64,
		      stats.waiting_bytes, stats.waiting_peak, cap);
	stress_assert(peak <= cap + thread->stress->threads * MEMORY_SLACK,
		      "G8: %" PRIu64 " bytes were taken from the tier at once, chains and cap account for %" PRIu64,
		      peak, cap + thread->stress->threads * MEMORY_SLACK);
}

/* A chain from nothing to nothing, on a page of the thread's own: every figure of it is known. */
static void whole_chain(struct stress_thread *thread, struct reclaim *reclaim)
{
	struct worker *worker = &reclaim->workers[thread->id];
	unsigned size = 2 + stress_below(thread, reclaim->tight ? 6 : stress_one_in(thread, 8) ? CHAIN_MAX - 2 : 12);
	struct stress_events events = { 0 };
	uint64_t found;

	for (unsigned key = 0; key < size; key++)
		add(thread, &worker->page, own_number(thread), key, &events);
	rmap_read_lock(thread->map);
	found = walk(thread, &worker->page, own_number(thread));
	rmap_read_unlock(thread->map);
	stress_assert(found == size, "G3: a walk of a page that stands still found %" PRIu64 " of %u mappings", found,
		      size);
	for (unsigned key = 0; key < size; key++)
		drop(thread, &worker->page, own_number(thread), key, &events);
	stress_assert(events.first == 1 && events.last == 1,
		      "G5: one chain was told RMAP_FIRST %u and RMAP_LAST %u times", (unsigned)events.first,
		      (unsigned)events.last);
}

/* Chains that all build and tear down together. Each thread's own mappings come and go in the order of a stack. */
static void shared_chain(struct stress_thread *thread, struct reclaim *reclaim)
{
	struct worker *worker = &reclaim->workers[thread->id];
	unsigned page = stress_below(thread, SHARED);
	unsigned target = stress_one_in(thread, 2) ? 0 : stress_below(thread, CHAIN_MAX / thread->stress->threads + 1);

	while (worker->shared[page] < target)
		add(thread, &reclaim->pages[page], page, worker->shared[page]++, &worker->events[page]);
	while (worker->shared[page] > target)
		drop(thread, &reclaim->pages[page], page, --worker->shared[page], &worker->events[page]);
}

/* A section that stays open over several walks of pages of others, which come and go meanwhile. */
static void long_look(struct stress_thread *thread, struct reclaim *reclaim)
{
	rmap_read_lock(thread->map);
	for (unsigned i = 0; i < 4; i++) {
		unsigned other = stress_below(thread, thread->stress->threads);
		unsigned page = stress_below(thread, SHARED);

		walk(thread, &reclaim->workers[other].page, SHARED + other);
		walk(thread, &reclaim->pages[page], page);
	}
	rmap_read_unlock(thread->map);
}

/* What an idle loop does. A drain sweeps the depots that others fill and empty meanwhile. */
static void give_back(struct stress_thread *thread)
{
	int error = rmap_reserve_flush(thread->reserve);

	stress_assert(error == 0 || error == -EAGAIN, "a flush failed: %s", strerror(-error));
	if (stress_one_in(thread, 16))
		rmap_reserve_drain(thread->reserve);
}

static void body(struct stress_thread *thread, void *arg)
{
	struct reclaim *reclaim = arg;
	struct worker *worker = &reclaim->workers[thread->id];

	while (stress_round(thread)) {
		while (stress_next(thread)) {
			/* Long sections and large chains would keep memory from coming round. */
			unsigned dice = reclaim->tight ? 0 : stress_below(thread, 16);

			if (dice < 11)
				whole_chain(thread, reclaim);
			else if (dice < 14)
				shared_chain(thread, reclaim);
			else
				long_look(thread, reclaim);
			bounded(thread, reclaim);
			if (stress_one_in(thread, 64))
				give_back(thread);
		}
	}
	for (unsigned page = 0; page < SHARED; page++) {
		while (worker->shared[page])
			drop(thread, &reclaim->pages[page], page, --worker->shared[page], &worker->events[page]);
	}
}

static void check(struct stress_thread *thread, void *arg)
{
	struct reclaim *reclaim = arg;

	for (unsigned page = 0; page < SHARED; page++) {
		struct rmap_counts sum = { 0 };
		struct stress_events events = { 0 };

		for (unsigned i = 0; i < thread->stress->threads; i++) {
			sum.chained += reclaim->workers[i].shared[page];
			stress_events_sum(&events, &reclaim->workers[i].events[page]);
		}
		stress_page_verify(thread->map, &reclaim->pages[page], page, sum, &events);
	}
}

static void run_with(struct stress *stress, enum rmap_reclaim way, size_t cap, const char *what)
{
	struct reclaim *reclaim = stress_zalloc(1, sizeof(*reclaim));
	struct rmap_options options = RMAP_OPTIONS_DEFAULT;
	struct stress_plan plan = { .body = body, .check = check, .arg = reclaim, .parts = 3, .round_ops = 200 };

	options.reclaim = way;
	options.waiting_max = reclaim->cap = cap;
	reclaim->tight = cap < WAITING_MAX;
	stress_map_init(&reclaim->map, &options, true);
	plan.map = reclaim->map.map;
	stress_run(stress, &plan);
	stress_map_fini(&reclaim->map, what);
	free(reclaim);
}

static void run(struct stress *stress)
{
	run_with(stress, RMAP_RECLAIM_CALLBACK, WAITING_MAX, "callback");
	run_with(stress, RMAP_RECLAIM_BLOCKING, WAITING_MAX, "blocking");
	run_with(stress, RMAP_RECLAIM_BLOCKING, 1, "tight");
}

const struct stress_test stress_reclaim = {
	"reclaim", "nobody sees memory that was given back; what waits stays bounded (an operation: a whole chain)",
	run, false
};
