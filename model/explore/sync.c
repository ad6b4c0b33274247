/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sync.c - mutexes and RCU as threads of the explorer see them; see engine.h
 *
 * Bytes stand for the state of RCU, and the first of each mutex for its own: steps that write one depend on each other.
 * RCU's first is for sections and callbacks. Beginnings and ends of sections only read it, for in any order of them the
 * same sections are open and the same are awaited; who queues a callback, synchronizes or takes work writes it. The
 * second is written when a callback ends.
 *
 * A wait for RCU that could end once can always end from then on, whatever others do: engine.c counts on it.
 */
#include "engine.h"
#include "step.h"
#include "weak.h"

#include <explore_env.h>
#include <explore_step.h>

#define PENDING_MAX 32u
#define MUTEXES_MAX 8u

/* A deferral whose work has not run. @sections: the actors whose sections it waits for; @number: from 1 on. */
struct callback {
	struct rmap_rcu_node *node;
	void (*work)(struct rmap_rcu_node *node);
	unsigned sections;
	unsigned number;
};

static struct {
	unsigned sections; /* actors inside a read-side section */
	unsigned nesting[ACTORS];
	unsigned awaited[ACTORS]; /* by whoever synchronizes: the sections that must end */
	struct callback pending[PENDING_MAX];
	unsigned pendings;
	unsigned queued;           /* callbacks so far */
	unsigned running;          /* the number of the one that runs, or 0 */
	unsigned barriers[ACTORS]; /* by whoever waits for callbacks: up to which number */
	const void *held[MUTEXES_MAX];
	unsigned mutexes;
	const void *wanted[ACTORS];
} state;

static char rcu_bytes[2];

void sync_begin(void)
{
	memset(&state, 0, sizeof(state));
}

/* Mutexes ----------------------------------------------------------------------------------- */

static bool mutex_is_free(unsigned actor)
{
	for (unsigned i = 0; i < state.mutexes; i++)
		if (state.held[i] == state.wanted[actor])
			return false;
	return true;
}

static void take_mutex(struct env_mutex *mutex)
{
	if (state.mutexes == MUTEXES_MAX)
		engine_fail("too many mutexes are held");
	state.held[state.mutexes++] = mutex;
	weak_receive(engine_self(), WEAK_MUTEX);
}

int explore_mutex_lock(struct env_mutex *mutex)
{
	if (!engine_is_inside())
		return 0;
	state.wanted[engine_self()] = mutex;
	engine_acquire(mutex, mutex_is_free);
	take_mutex(mutex);
	return 0;
}

int explore_mutex_trylock(struct env_mutex *mutex)
{
	if (!engine_is_inside())
		return 0;
	engine_step(mutex, 1, true);
	state.wanted[engine_self()] = mutex;
	if (!mutex_is_free(engine_self())) {
		engine_step_has_only_read();
		return EBUSY;
	}
	take_mutex(mutex);
	return 0;
}

int explore_mutex_unlock(struct env_mutex *mutex)
{
	if (!engine_is_inside())
		return 0;
	engine_release(mutex);
	weak_send(engine_self(), WEAK_MUTEX);
	for (unsigned i = 0; i < state.mutexes; i++)
		if (state.held[i] == mutex)
			state.held[i] = state.held[--state.mutexes];
	return 0;
}

/* RCU --------------------------------------------------------------------------------------- */

static void model_read_lock(void)
{
	unsigned self = engine_self();

	if (state.nesting[self]++ > 0)
		return;
	engine_step(&rcu_bytes[0], 1, false);
	state.sections |= 1u << self;
	weak_receive(self, WEAK_GRACE_PERIOD);
}

static void model_read_unlock(void)
{
	unsigned self = engine_self();
	unsigned bit = 1u << self;

	if (--state.nesting[self] > 0)
		return;
	engine_step(&rcu_bytes[0], 1, false);
	state.sections &= ~bit;
	weak_send(self, WEAK_SECTION_END);
	for (unsigned i = 0; i < state.pendings; i++)
		state.pending[i].sections &= ~bit;
	for (unsigned i = 0; i < ACTORS; i++)
		state.awaited[i] &= ~bit;
}

static int model_read_ongoing(void)
{
	return state.nesting[engine_self()] > 0;
}

void sync_defer(struct rmap_rcu_node *node, void (*work)(struct rmap_rcu_node *node))
{
	if (!engine_is_inside()) {
		work(node);
		return;
	}
	engine_step(&rcu_bytes[0], 1, true);
	if (state.pendings == PENDING_MAX)
		engine_fail("too many callbacks wait");
	weak_send(engine_self(), WEAK_GRACE_PERIOD);
	state.pending[state.pendings++] = (struct callback){ node, work, state.sections, ++state.queued };
}

static void model_defer(struct rmap_rcu_node *node)
{
	sync_defer(node, rmap_rcu_run);
}

static bool sections_have_ended(unsigned actor)
{
	return state.awaited[actor] == 0;
}

static void model_synchronize(void)
{
	if (!engine_is_inside())
		return;
	engine_step(&rcu_bytes[0], 1, true);
	state.awaited[engine_self()] = state.sections;
	weak_send(engine_self(), WEAK_GRACE_PERIOD);
	engine_step_when(&rcu_bytes[0], sections_have_ended);
	weak_receive(engine_self(), WEAK_SECTION_END);
}

static bool callbacks_have_run(unsigned actor)
{
	for (unsigned i = 0; i < state.pendings; i++)
		if (state.pending[i].number <= state.barriers[actor])
			return false;
	return state.running == 0 || state.running > state.barriers[actor];
}

/* Waits for the callbacks that are queued now. */
static void model_barrier(void)
{
	unsigned self = engine_self();

	if (!engine_is_inside())
		return;
	engine_step(rcu_bytes, sizeof(rcu_bytes), false);
	state.barriers[self] = state.queued;
	engine_step_when(&rcu_bytes[1], callbacks_have_run);
	weak_receive(self, WEAK_CALLBACK);
}

struct step sync_work_step(void)
{
	return (struct step){ (uintptr_t)rcu_bytes, 1, true, NO_LOCK };
}

bool sync_has_work(unsigned actor)
{
	(void)actor;
	for (unsigned i = 0; i < state.pendings; i++)
		if (state.pending[i].sections == 0)
			return true;
	return false;
}

void sync_reclaim(void)
{
	for (;;) {
		struct callback callback;
		unsigned i = 0;

		while (state.pending[i].sections != 0)
			i++;
		callback = state.pending[i];
		state.pending[i] = state.pending[--state.pendings];
		state.running = callback.number;
		weak_receive(RECLAIMER, WEAK_GRACE_PERIOD);
		weak_receive(RECLAIMER, WEAK_SECTION_END);
		callback.work(callback.node);
		engine_step(&rcu_bytes[1], 1, true);
		weak_send(RECLAIMER, WEAK_CALLBACK);
		state.running = 0;
		engine_step_when(&rcu_bytes[0], sync_has_work);
	}
}

const struct rmap_rcu_ops engine_rcu = {
	.size = sizeof(engine_rcu),
	.read_lock = model_read_lock,
	.read_unlock = model_read_unlock,
	.read_ongoing = model_read_ongoing,
	.synchronize = model_synchronize,
	.defer = model_defer,
	.barrier = model_barrier,
};
