/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rcu.c - the two ways in which retired memory waits; see rcu.h
 *
 *      label  orders                                                breaks without it
 *      R1     a deferred record's fields before its push            the taker runs garbage
 *      A1     pairs with R1: the taker reads those fields
 */
#include "rcu.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

static void run_callback(struct rcu_head *head)
{
	struct rmap_deferred *deferred = caa_container_of(head, struct rmap_deferred, head);
	struct rmap_rcu *rcu;

	TSAN_ACQUIRE(deferred);
	rcu = deferred->rcu;
	TSAN_ACQUIRE(&rcu->gp);
	deferred->work(deferred);
	TSAN_RELEASE(&rcu->done);
}

static void nothing(struct rmap_deferred *deferred)
{
	(void)deferred;
}

/*
 * Runs in a thread of its own, so that the caller of rmap_create() need not be registered. The first call_rcu of a
 * flavor starts its helper thread and allocates; having done that here, no later one does. Nobody waits for that first
 * callback before rmap_destroy() does: the creator may be in a section.
 */
static void *start_helper(void *arg)
{
	struct rmap_rcu *rcu = arg;

	rcu->flavor->register_thread();
	rcu->implicit_sections = rcu->flavor->read_ongoing() != 0;
	if (rcu->reclaim == RMAP_RECLAIM_CALLBACK)
		rmap_rcu_defer(rcu, &rcu->first, nothing);
	rcu->flavor->unregister_thread();
	return NULL;
}

int rmap_rcu_init(struct rmap_rcu *rcu, const struct rmap_options *options)
{
	pthread_t thread;
	sigset_t all;
	sigset_t before;
	int error;

	rcu->flavor = options->flavor ? options->flavor : &urcu_memb_flavor;
	rcu->reclaim = options->reclaim;
	rcu->list = 0;
	if (pthread_mutex_init(&rcu->one_waiter, NULL) != 0)
		return -ENOMEM;
	/* Threads start with their creator's mask: the process's signals are not for the helper. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&thread, NULL, start_helper, rcu);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (error) {
		pthread_mutex_destroy(&rcu->one_waiter);
		return -ENOMEM;
	}
	pthread_join(thread, NULL);
	return 0;
}

void rmap_rcu_fini(struct rmap_rcu *rcu)
{
	pthread_mutex_destroy(&rcu->one_waiter);
}

/*
 * liburcu keeps registered threads in a list, through their own memory; a child of fork() has neither those threads
 * nor, before long, that memory. Checked builds count what rmap_thread_register() did and nobody has undone, in
 * @process; for all maps together, since a thread may register through one and unregister through another. The explorer
 * does not fork, and would schedule these accesses.
 */
static void check_fork(int registers)
{
#if RMAP_CHECK && !defined(RMAP_EXPLORE)
	static uint64_t process;
	static uint64_t readers;
	uint64_t self = (uint64_t)getpid();
	uint64_t before = load_rlx(&process); /* RLX: a child has one thread when it comes here first */

	CHECK(before == self || before == 0 || load_rlx(&readers) == 0, "the process forked beside registered readers");
	if (before != self)
		store_rlx(&process, self);
	fetch_add_rlx(&readers, (uint64_t)(int64_t)registers); /* RLX: a figure */
#else
	(void)registers;
#endif
}

void rmap_rcu_register(const struct rmap_rcu *rcu)
{
	check_fork(1);
	rcu->flavor->register_thread();
}

void rmap_rcu_unregister(const struct rmap_rcu *rcu)
{
	check_fork(-1);
	rcu->flavor->unregister_thread();
}

void rmap_rcu_lock(const struct rmap_rcu *rcu, pthread_mutex_t *mutex)
{
	bool online = rcu->implicit_sections && rcu->flavor->read_ongoing();

	if (online)
		rcu->flavor->thread_offline();
	pthread_mutex_lock(mutex);
	if (online)
		rcu->flavor->thread_online();
}

void rmap_rcu_quiesce(const struct rmap_rcu *rcu)
{
	if (rcu->implicit_sections)
		rcu->flavor->read_quiescent_state();
}

void rmap_rcu_defer(struct rmap_rcu *rcu, struct rmap_deferred *deferred, void (*work)(struct rmap_deferred *))
{
	uint64_t newest;

	check_fork(0);
	deferred->rcu = rcu;
	deferred->work = work;
	if (rcu->reclaim == RMAP_RECLAIM_CALLBACK) {
		TSAN_RELEASE(deferred);
		rcu->flavor->update_call_rcu(&deferred->head, run_callback);
		return;
	}
	newest = load_rlx(&rcu->list); /* RLX: only the compare-and-swap trusts it */
	do {
		deferred->next = (struct rmap_deferred *)(uintptr_t)newest;
		/* R1: publishes the record to rmap_rcu_wait(); pairs with A1. */
	} while (!cas_acqrel(&rcu->list, &newest, (uintptr_t)deferred));
}

void rmap_rcu_synchronize(struct rmap_rcu *rcu)
{
	check_fork(0);
	rcu->flavor->update_synchronize_rcu();
	TSAN_ACQUIRE(&rcu->gp);
}

void rmap_rcu_wait(struct rmap_rcu *rcu)
{
	struct rmap_deferred *deferred;
	struct rmap_deferred *next;

	check_fork(0);
	if (rcu->reclaim == RMAP_RECLAIM_CALLBACK) {
		rcu->flavor->barrier();
		TSAN_ACQUIRE(&rcu->done);
		return;
	}
	/* One waiter at a time: the next one returns only after the work that this one took. */
	rmap_rcu_lock(rcu, &rcu->one_waiter);
	/* A1: pairs with R1. Taking the list whole leaves no pop that could meet a recurring head. */
	deferred = (struct rmap_deferred *)(uintptr_t)exchange_acqrel(&rcu->list, 0);
	rmap_rcu_synchronize(rcu);
	for (; deferred; deferred = next) {
		next = deferred->next;
		deferred->work(deferred);
	}
	pthread_mutex_unlock(&rcu->one_waiter);
}
