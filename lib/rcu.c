/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rcu.c - the two ways in which retired memory waits; see rcu.h
 *
 *      label  orders                                                breaks without it
 *      R1     a deferred record's fields before its push            the taker runs garbage
 *      A1     pairs with R1: the taker reads those fields
 */
#include "rcu.h"

void rmap_rcu_run(struct rmap_rcu_node *node)
{
	struct rmap_deferred *deferred = container_of(node, struct rmap_deferred, node);
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
 * The first deferral of an RCU may start its helper thread and allocate; having done that here, no later one does.
 * Nobody waits for that first one before rmap_destroy() does: the creator may be in a section, nor need it be
 * registered.
 */
static void defer_first(void *arg)
{
	struct rmap_rcu *rcu = arg;

	if (rcu->ops.register_thread)
		rcu->ops.register_thread();
	rmap_rcu_defer(rcu, &rcu->first, nothing);
	if (rcu->ops.unregister_thread)
		rcu->ops.unregister_thread();
}

static bool fits(const struct rmap_rcu_ops *ops, enum rmap_reclaim reclaim)
{
	if (!ops || !check_size(ops, ops->size, sizeof(*ops), sizeof(*ops)))
		return false;
	if (!ops->read_lock || !ops->read_unlock || !ops->read_ongoing || !ops->synchronize ||
	    !ops->offline != !ops->online)
		return false;
	return reclaim == RMAP_RECLAIM_BLOCKING || (ops->defer && ops->barrier);
}

int rmap_rcu_init(struct rmap_rcu *rcu, const struct rmap_options *options)
{
	const struct rmap_rcu_ops *ops = options->rcu ? options->rcu : env_rcu();
	int error;

	if (!fits(ops, options->reclaim))
		return -EINVAL;
	rcu->ops = *ops;
	rcu->reclaim = options->reclaim;
	rcu->list = 0;
	error = env_mutex_init(&rcu->one_waiter);
	if (error || rcu->reclaim != RMAP_RECLAIM_CALLBACK || !ops->start)
		return error;
	error = ops->start(defer_first, rcu);
	if (error)
		env_mutex_destroy(&rcu->one_waiter);
	return error;
}

void rmap_rcu_fini(struct rmap_rcu *rcu)
{
	env_mutex_destroy(&rcu->one_waiter);
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
	uint64_t self = env_process();
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
	if (rcu->ops.register_thread)
		rcu->ops.register_thread();
}

void rmap_rcu_unregister(const struct rmap_rcu *rcu)
{
	check_fork(-1);
	if (rcu->ops.unregister_thread)
		rcu->ops.unregister_thread();
}

/* True: the caller was online, and is no more. */
static bool go_offline(const struct rmap_rcu *rcu)
{
	bool online = rcu->ops.offline && rcu->ops.read_ongoing();

	if (online)
		rcu->ops.offline();
	return online;
}

void rmap_rcu_lock(const struct rmap_rcu *rcu, struct env_mutex *mutex)
{
	bool online = go_offline(rcu);

	env_mutex_lock(mutex);
	if (online)
		rcu->ops.online();
}

void rmap_rcu_quiesce(const struct rmap_rcu *rcu)
{
	if (go_offline(rcu))
		rcu->ops.online();
}

void rmap_rcu_defer(struct rmap_rcu *rcu, struct rmap_deferred *deferred, void (*work)(struct rmap_deferred *))
{
	uint64_t newest;

	check_fork(0);
	deferred->rcu = rcu;
	deferred->work = work;
	if (rcu->reclaim == RMAP_RECLAIM_CALLBACK) {
		TSAN_RELEASE(deferred);
		rcu->ops.defer(&deferred->node);
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
	rcu->ops.synchronize();
	TSAN_ACQUIRE(&rcu->gp);
}

void rmap_rcu_wait(struct rmap_rcu *rcu)
{
	struct rmap_deferred *deferred;
	struct rmap_deferred *next;

	check_fork(0);
	if (rcu->reclaim == RMAP_RECLAIM_CALLBACK) {
		rcu->ops.barrier();
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
	env_mutex_unlock(&rcu->one_waiter);
}
