/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rcu.h - read-side sections and grace periods, by the RCU that the options name
 *
 * It gives sections, grace periods and deferred work (rmap/rcu.h), and nothing else: publication is done with the
 * orders of atomic.h. liburcu's shared object is not instrumented, so this file also tells ThreadSanitizer what a grace
 * period orders, on one sync variable a map:
 *
 *      read_unlock            release(gp) before the call
 *      synchronize            acquire(gp) after it
 *      defer                  release(deferred) before it
 *      rmap_rcu_run()         acquire(deferred), acquire(gp) first; release(done) last
 *      barrier                acquire(done) after it
 *
 * Two ways to wait, behind one seam (enum rmap_reclaim): CALLBACK defers each batch. BLOCKING keeps batches
 * in a list that rmap_rcu_wait() takes whole before one synchronize_rcu: no helper thread; and since one grace period
 * begins after all unlinking of what it frees, ThreadSanitizer sees readers that leave and re-enter a section in
 * mid-operation.
 *
 * Who waits, and holding what. The locks that are held across a grace period are one_waiter, and before it the pool's
 * for regrouping; a tier may make those wait that hold an object's or the pool's. A registered qsbr reader is in a
 * section whenever it is online, so if it stood in line for such a lock the holder's grace period would never end: all
 * four are taken by rmap_rcu_lock(), which is offline meanwhile. The map's own lock is never held while anything is
 * waited for: anyone takes it anywhere.
 */
#ifndef RMAP_LIB_RCU_H
#define RMAP_LIB_RCU_H

#include "atomic.h"
#include "check.h"

#include <rmap/rcu.h>

#if defined(__SANITIZE_THREAD__)
#define RMAP_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define RMAP_TSAN 1
#endif
#endif

#ifdef RMAP_TSAN
#include <sanitizer/tsan_interface.h>
#define TSAN_ACQUIRE(address) __tsan_acquire((void *)(uintptr_t)(address))
#define TSAN_RELEASE(address) __tsan_release((void *)(uintptr_t)(address))
#else
#define TSAN_ACQUIRE(address) ((void)(address))
#define TSAN_RELEASE(address) ((void)(address))
#endif

/*
 * struct rmap_deferred - work for after a grace period, embedded in what it frees
 * @node: CALLBACK: the RCU's; @next: BLOCKING: the list
 */
struct rmap_deferred {
	union {
		struct rmap_rcu_node node;
		struct rmap_deferred *next;
	};
	struct rmap_rcu *rcu;
	void (*work)(struct rmap_deferred *deferred);
};

/*
 * struct rmap_rcu - one map's view of its RCU
 * @ops:     a copy, for one load less in each section
 * @first:   CALLBACK: the deferral for which an RCU's helper thread starts
 * @list:    BLOCKING: deferred work, newest first. Pushed by anyone (compare-and-swap), taken whole by rmap_rcu_wait()
 * @gp:      sync variable: what read-side sections did before they ended
 * @done:    sync variable: what callbacks did
 */
struct rmap_rcu {
	struct rmap_rcu_ops ops;
	enum rmap_reclaim reclaim;
	struct rmap_deferred first;
	uint64_t list;
	struct env_mutex one_waiter;
	char gp;
	char done;
};

/*
 * Lets the RCU start what its first deferral takes now, so that no page operation ever does. 0, -EINVAL or -ENOMEM.
 * Waits for no grace period; once it has returned 0, rmap_rcu_wait() comes before @rcu ends.
 */
int rmap_rcu_init(struct rmap_rcu *rcu, const struct rmap_options *options);

void rmap_rcu_fini(struct rmap_rcu *rcu);

/* The RCU's own calls, counted. */
void rmap_rcu_register(const struct rmap_rcu *rcu);
void rmap_rcu_unregister(const struct rmap_rcu *rcu);

/*
 * Runs @work(@deferred) after a grace period. Wait-free apart from the push's retries. Registered reader, any context.
 */
void rmap_rcu_defer(struct rmap_rcu *rcu, struct rmap_deferred *deferred, void (*work)(struct rmap_deferred *));

/* Returns when all work deferred before the call has been done. Outside any read-side section; sleeps. */
void rmap_rcu_wait(struct rmap_rcu *rcu);

/* A grace period. Outside any read-side section; sleeps. */
void rmap_rcu_synchronize(struct rmap_rcu *rcu);

/* Takes @mutex, whose holders may wait for a grace period or for memory. Outside any read-side section; sleeps. */
void rmap_rcu_lock(const struct rmap_rcu *rcu, struct env_mutex *mutex);

/* Between two tries of what another thread must let happen, which may wait for a grace period. */
void rmap_rcu_quiesce(const struct rmap_rcu *rcu);

static inline void rcu_read_enter(const struct rmap_rcu *rcu)
{
	rcu->ops.read_lock();
	CHECK(rcu->ops.read_ongoing(), "a qsbr reader is offline, or not registered");
}

static inline void rcu_read_leave(const struct rmap_rcu *rcu)
{
	TSAN_RELEASE(&rcu->gp);
	rcu->ops.read_unlock();
}

#define CHECK_INSIDE(rcu) CHECK((rcu)->ops.read_ongoing(), "called outside a read-side section")
#define CHECK_OUTSIDE(rcu)                                                                                             \
	CHECK((rcu)->ops.offline || !(rcu)->ops.read_ongoing(),                                                        \
	      "called inside a read-side section, where it must not wait")

#endif
