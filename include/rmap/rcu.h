/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * rcu.h - the RCU that a map uses: what the library asks of it
 *
 * An embedder hands its RCU over as a struct of functions (options.rcu). That of an ordinary program is liburcu's: its
 * memb if nothing is said, and another of its flavors by <rmap/urcu.h>. A kernel or unikernel brings its own:
 *
 *      static void my_defer(struct rmap_rcu_node *node)
 *      {
 *              queue(node);         // whoever takes it from the queue after a grace period calls rmap_rcu_run(node)
 *      }
 *
 *      static const struct rmap_rcu_ops my_rcu = {
 *              .size = sizeof(my_rcu), .read_lock = my_read_lock, .read_unlock = my_read_unlock, ...
 *      };
 *
 * What a section and a grace period must do: what is done in a section that began before a call of synchronize() or
 * defer() has happened when synchronize() returns or rmap_rcu_run() is called; what is done before the call of these is
 * visible in each section that has not ended by then. Sections nest, and a thread may be preempted, or sleep, in one if
 * the embedder's RCU allows it: nothing of the library does.
 *
 * Not for: publishing. That is done with the orders of the library's own accesses.
 */
#ifndef RMAP_RCU_H
#define RMAP_RCU_H

#include <rmap/rmap.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * struct rmap_rcu_node - what waits for a grace period, in memory of the library's
 * @words: the RCU's own from defer() to rmap_rcu_run(): room for a link and a function
 */
struct rmap_rcu_node {
	void *words[2];
};

/**
 * struct rmap_rcu_ops - an RCU
 * @size:               sizeof(struct rmap_rcu_ops); fields beyond what the library knows must be zero
 * @read_lock, @read_unlock: a read-side section; called by registered readers anywhere
 * @read_ongoing:       is the calling reader in a section? Checked builds ask
 * @synchronize:        a grace period; sleeps. Called outside sections
 * @defer:              see to it that rmap_rcu_run(@node) is called after a grace period; in any order, by any thread.
 *                      Called by registered readers, in sections and outside, and by rmap_rcu_run(); allocates nothing
 *                      and waits for nothing. NULL: RMAP_RECLAIM_BLOCKING only
 * @barrier:            returns when rmap_rcu_run() has returned for all nodes that were deferred before; sleeps. Called
 *                      outside sections. NULL if @defer is
 * @register_thread, @unregister_thread: NULL: threads need not register
 * @offline, @online:   NULL, unless a registered reader is in a section whenever it is online (qsbr). Then it goes
 *                      offline before it waits for a lock, and online after it
 * @start:              NULL, unless the first @defer of a process allocates or starts a thread. Then rmap_create()
 *                      calls it, and it runs @work(@arg), which registers, defers and unregisters, where that may be,
 *                      such as in a thread of its own. 0, or -ENOMEM
 * @before_fork, @after_fork_parent, @after_fork_child: what rmap_before_fork() and its kin do; NULL: nothing
 */
struct rmap_rcu_ops {
	size_t size;
	void (*read_lock)(void);
	void (*read_unlock)(void);
	int (*read_ongoing)(void);
	void (*synchronize)(void);
	void (*defer)(struct rmap_rcu_node *node);
	void (*barrier)(void);
	void (*register_thread)(void);
	void (*unregister_thread)(void);
	void (*offline)(void);
	void (*online)(void);
	int (*start)(void (*work)(void *arg), void *arg);
	void (*before_fork)(void);
	void (*after_fork_parent)(void);
	void (*after_fork_child)(void);
};

/**
 * rmap_rcu_run - the work that @node stands for: it becomes free
 * @node:    was handed to defer(), and a grace period has passed. Its memory may be gone when the call returns
 * Context:  for the RCU's own thread, timer or idle loop: outside any section, where tiers' free may be called, and no
 *           lock is held that callers of the library hold while they wait for a grace period. What page operations
 *           retire takes no lock of the library's. What objects and drains retire takes one that others hold for a
 *           bounded time; and a drain's may wait while a fill is in the tier's alloc
 */
RMAP_API void rmap_rcu_run(struct rmap_rcu_node *node);

#ifdef __cplusplus
}
#endif
#endif
