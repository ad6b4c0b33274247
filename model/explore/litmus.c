/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * litmus.c - small programs whose weak outcomes are known; see weak.h
 *
 * Each asks for one outcome. FOUND: C11 allows it and the model must show it. FORBIDDEN: C11 forbids it and the model
 * must not. OUTSIDE: C11 allows it and the model does not show it; these are its limits, and a change of them shows.
 */
#include "litmus.h"
#include "engine.h"

#include <explore_step.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum expectation { FOUND, FORBIDDEN, OUTSIDE };

struct litmus {
	const char *name;
	const char *what;
	enum expectation expectation;
	void (*threads[THREADS_MAX])(void);
	bool (*outcome)(void);
};

/* Two words in the arena, and what threads read. */
static uint64_t *x;
static uint64_t *y;
static uint64_t r[4];
static bool seen;
static struct rmap_rcu_node node;

#define RLX __ATOMIC_RELAXED
#define ACQ __ATOMIC_ACQUIRE
#define REL __ATOMIC_RELEASE

/* One thread of a program: a name and what it does. */
#define THREAD(name, ...)                                                                                              \
	static void name(void)                                                                                         \
	{                                                                                                              \
		__VA_ARGS__;                                                                                           \
	}
#define OUTCOME(name, condition)                                                                                       \
	static bool name(void)                                                                                         \
	{                                                                                                              \
		return condition;                                                                                      \
	}

THREAD(x_then_read_y, explore_store(x, 1, REL); r[0] = explore_load(y, ACQ))
THREAD(y_then_read_x, explore_store(y, 1, REL); r[1] = explore_load(x, ACQ))
THREAD(x_then_y, explore_store(x, 1, RLX); explore_store(y, 1, RLX))
THREAD(x_then_release_y, explore_store(x, 1, RLX); explore_store(y, 1, REL))
THREAD(acquire_y_then_x, r[0] = explore_load(y, ACQ); r[1] = explore_load(x, RLX))
THREAD(relaxed_y_then_x, r[0] = explore_load(y, RLX); r[1] = explore_load(x, RLX))
THREAD(add_y, explore_fetch_add(y, 1, RLX))
THREAD(write_x, explore_store(x, 1, REL))
THREAD(write_y, explore_store(y, 1, REL))
THREAD(read_x_twice, r[0] = explore_load(x, RLX); r[1] = explore_load(x, RLX))
THREAD(acquire_x_y, r[0] = explore_load(x, ACQ); r[1] = explore_load(y, ACQ))
THREAD(acquire_y_x, r[2] = explore_load(y, ACQ); r[3] = explore_load(x, ACQ))
THREAD(read_y_write_x, r[0] = explore_load(y, RLX); explore_store(x, 1, RLX))
THREAD(read_x_write_y, r[1] = explore_load(x, RLX); explore_store(y, 1, RLX))
THREAD(x1_y2, explore_store(x, 1, RLX); explore_store(y, 2, RLX))
THREAD(y1_x2, explore_store(y, 1, RLX); explore_store(x, 2, RLX))
THREAD(count_x, r[0] = explore_fetch_add(x, 1, RLX))
THREAD(count_x_too, r[1] = explore_fetch_add(x, 1, RLX))

static void read_y_swap_x(void)
{
	uint64_t expected = 1;

	r[0] = explore_load(y, RLX);
	r[1] = explore_cas(x, &expected, 2, __ATOMIC_ACQ_REL, ACQ);
}

static void callback(struct rmap_rcu_node *unused)
{
	(void)unused;
	explore_store(y, 1, RLX);
}

THREAD(x_then_grace_period, explore_store(x, 1, RLX); sync_defer(&node, callback))
THREAD(section, engine_rcu.read_lock(); relaxed_y_then_x(); engine_rcu.read_unlock())

OUTCOME(both_zero, r[0] == 0 && r[1] == 0)
OUTCOME(one_zero, r[0] == 1 && r[1] == 0)
OUTCOME(two_zero, r[0] == 2 && r[1] == 0)
OUTCOME(both_one, r[0] == 1 && r[1] == 1)
OUTCOME(opposite_orders, r[0] == 1 && r[1] == 0 && r[2] == 1 && r[3] == 0)
OUTCOME(both_first, *x == 1 && *y == 1)

static const struct litmus tests[] = {
	{ "SB", "store buffering, release and acquire", FOUND, { x_then_read_y, y_then_read_x }, both_zero },
	{ "MP+rlx+rlx", "message passing without orders", FOUND, { x_then_y, relaxed_y_then_x }, one_zero },
	{ "MP+rel+rlx", "message passing, acquire missing", FOUND, { x_then_release_y, relaxed_y_then_x }, one_zero },
	{ "MP+rlx+acq", "message passing, release missing", FOUND, { x_then_y, acquire_y_then_x }, one_zero },
	{ "MP+rel+acq", "message passing", FORBIDDEN, { x_then_release_y, acquire_y_then_x }, one_zero },
	{ "MP+rel+rmw+acq", "release sequence", FORBIDDEN, { x_then_release_y, add_y, acquire_y_then_x }, two_zero },
	{ "MP+cas", "a compare-and-swap fails on a stale value", FOUND, { x_then_y, read_y_swap_x }, one_zero },
	{ "CoRR", "coherence of two reads", FORBIDDEN, { write_x, read_x_twice }, one_zero },
	{ "IRIW", "independent reads", FOUND, { write_x, write_y, acquire_x_y, acquire_y_x }, opposite_orders },
	{ "RMW", "two read-modify-writes read the same", FORBIDDEN, { count_x, count_x_too }, both_zero },
	{ "GP", "a section misses what came before its grace period", FORBIDDEN, { x_then_grace_period, section },
	  one_zero },
	{ "LB", "load buffering, relaxed", OUTSIDE, { read_y_write_x, read_x_write_y }, both_one },
	{ "2+2W", "a store that is ordered before an earlier one", OUTSIDE, { x1_y2, y1_x2 }, both_first },
};

static void body(void *arg, unsigned thread)
{
	const struct litmus *test = arg;

	test->threads[thread]();
}

static const char *note_outcome(void *arg)
{
	const struct litmus *test = arg;

	seen |= test->outcome();
	memset(r, 0xFF, sizeof(r));
	return NULL;
}

static bool run_test(const struct litmus *test)
{
	static const char *const names[] = { "must be found", "must not be found", "is outside the model" };
	static struct engine_result result;
	struct engine_run run = {
		.body = body,
		.verify = note_outcome,
		.arg = (void *)(uintptr_t)test,
		.bounded = true,
		.preemptions = 8,
		.stale = 4,
		.victim = -1,
	};
	bool good;

	engine_reset();
	x = engine_alloc(sizeof(*x), 64);
	y = engine_alloc(sizeof(*y), 64);
	memset(r, 0xFF, sizeof(r));
	seen = false;
	while (run.threads < THREADS_MAX && test->threads[run.threads])
		run.threads++;
	engine_explore(&run, &result);
	good = !result.error && result.exhausted && seen == (test->expectation == FOUND);
	printf("%-15s %-52s %-20s %9" PRIu64 " executions: %s%s\n", test->name, test->what, names[test->expectation],
	       result.executions, seen ? "found" : "not found", good ? "" : "  FAILED");
	return good;
}

bool litmus_run(void)
{
	bool good = true;

	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		good &= run_test(&tests[i]);
	return good;
}
