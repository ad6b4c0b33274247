/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * inject.c - the delays and the steps of inject.h; empty in builds without them
 */
#include "inject.h"

#if RMAP_INJECT

#include "atomic.h"
#include "env.h"

static uint64_t rate;
static uint64_t seeds = 1;

void rmap_inject_set(unsigned permille, uint64_t seed)
{
	/* RLX: tuning knobs; a thread may see them late. */
	store_rlx(&seeds, seed | 1);
	store_rlx(&rate, permille);
}

/*
 * This thread's steps, and at which of them to call @hook. With the state below it is all that is thread-local in the
 * library, and only in this build.
 */
static __thread struct {
	uint64_t done;
	uint64_t rmws;
	uint64_t at;
	void (*hook)(void);
} steps;

uint64_t rmap_inject_steps(void)
{
	return steps.done;
}

uint64_t rmap_inject_rmws(void)
{
	return steps.rmws;
}

void rmap_inject_at(uint64_t nth, void (*hook)(void))
{
	steps.at = nth ? steps.done + nth : 0;
	steps.hook = hook;
}

void rmap_inject_step(void)
{
	if (++steps.done != steps.at)
		return;
	steps.at = 0;
	steps.hook();
}

void rmap_inject_rmw(void)
{
	steps.rmws++;
	rmap_inject_step();
}

/* xorshift64*, one state a thread. */
static uint64_t next_random(void)
{
	static __thread uint64_t state;

	if (state == 0)
		state = (fetch_add_rlx(&seeds, 2) * 0x9E3779B97F4A7C15u) | 1;
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return state * 0x2545F4914F6CDD1Du;
}

static void delay(void)
{
	uint64_t limit = load_rlx(&rate);
	uint64_t draw;

	if (limit == 0)
		return;
	draw = next_random() >> 32;
	if (draw % 1000 >= limit)
		return;
	if (draw & 0x10000) {
		env_yield();
		return;
	}
	for (uint64_t spin = 0; spin < (draw >> 20); spin++)
		(void)load_rlx(&rate);
}

/* Its own loads are no steps of the operation that it delays, and no hook comes before one. */
void rmap_inject(void)
{
	uint64_t done = steps.done;
	uint64_t rmws = steps.rmws;
	uint64_t at = steps.at;

	steps.at = 0;
	delay();
	steps.done = done;
	steps.rmws = rmws;
	steps.at = at;
}

#else

typedef int rmap_inject_unused; /* ISO C wants a declaration in every file */

#endif
