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

static void nothing(struct rcu_head *head)
{
	(void)head;
}

/*
 * Runs in a thread of its own, so that the caller of rmap_create() need not be registered. The first call_rcu of a
 * flavor starts its helper thread and allocates; having done that here, no later one does. The head is static because
 * the barrier is the flavor's, not ours; the mutex keeps two creations from queueing it twice.
 */
static void *start_helper(void *arg)
{
	static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
	static struct rcu_head head;
	struct rmap_rcu *rcu = arg;

	rcu->flavor->register_thread();
	rcu->implicit_sections = rcu->flavor->read_ongoing() != 0;
	if (rcu->reclaim == RMAP_RECLAIM_CALLBACK) {
		pthread_mutex_lock(&one_at_a_time);
		rcu->flavor->update_call_rcu(&head, nothing);
		rcu->flavor->barrier();
		pthread_mutex_unlock(&one_at_a_time);
	}
	rcu->flavor->unregister_thread();
	return NULL;
}

int rmap_rcu_init(struct rmap_rcu *rcu, const struct rmap_options *options)
{
	pthread_t thread;

	rcu->flavor = options->flavor ? options->flavor : &urcu_memb_flavor;
	rcu->reclaim = options->reclaim;
	rcu->list = 0;
	if (pthread_mutex_init(&rcu->one_waiter, NULL) != 0)
		return -ENOMEM;
	if (pthread_create(&thread, NULL, start_helper, rcu) != 0) {
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

void rmap_rcu_defer(struct rmap_rcu *rcu, struct rmap_deferred *deferred, void (*work)(struct rmap_deferred *))
{
	uint64_t newest;

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
	rcu->flavor->update_synchronize_rcu();
	TSAN_ACQUIRE(&rcu->gp);
}

void rmap_rcu_wait(struct rmap_rcu *rcu)
{
	struct rmap_deferred *deferred;
	struct rmap_deferred *next;

	if (rcu->reclaim == RMAP_RECLAIM_CALLBACK) {
		rcu->flavor->barrier();
		TSAN_ACQUIRE(&rcu->done);
		return;
	}
	/* One waiter at a time: the next one returns only after the work that this one took. */
	pthread_mutex_lock(&rcu->one_waiter);
	/* A1: pairs with R1. Taking the list whole leaves no pop that could meet a recurring head. */
	deferred = (struct rmap_deferred *)(uintptr_t)exchange_acqrel(&rcu->list, 0);
	rmap_rcu_synchronize(rcu);
	for (; deferred; deferred = next) {
		next = deferred->next;
		deferred->work(deferred);
	}
	pthread_mutex_unlock(&rcu->one_waiter);
}
