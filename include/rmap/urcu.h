/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * urcu.h - flavors of liburcu for options.rcu; in ordinary programs only
 *
 *      #include <urcu/urcu-qsbr.h>
 *      #include <rmap/urcu.h>
 *
 *      RMAP_URCU_QSBR                      // defines rmap_urcu_qsbr
 *      options.rcu = &rmap_urcu_qsbr;
 *
 * Likewise RMAP_URCU(mb), RMAP_URCU(memb) and RMAP_URCU_BP. A file can include liburcu's headers for one flavor only;
 * liburcu's library for it must be linked, and stay in the process, for it has a thread.
 */
#ifndef RMAP_URCU_H
#define RMAP_URCU_H

#include <rmap/rcu.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * rmap_urcu_start - for these definitions: runs @work(@arg) in a thread that ends, and gets no signals. 0, or -ENOMEM
 */
RMAP_API int rmap_urcu_start(void (*work)(void *arg), void *arg);

#ifdef __cplusplus
}
#endif

#define RMAP_URCU_DEFINE(stem, go_offline, go_online, fork_before, fork_parent, fork_child)                            \
	static void rmap_urcu_##stem##_run(struct rcu_head *head)                                                      \
	{                                                                                                              \
		rmap_rcu_run((struct rmap_rcu_node *)(void *)head);                                                    \
	}                                                                                                              \
	static void rmap_urcu_##stem##_defer(struct rmap_rcu_node *node)                                               \
	{                                                                                                              \
		urcu_##stem##_call_rcu((struct rcu_head *)(void *)node, rmap_urcu_##stem##_run);                       \
	}                                                                                                              \
	static const struct rmap_rcu_ops rmap_urcu_##stem = {                                                          \
		sizeof(struct rmap_rcu_ops),                                                                           \
		urcu_##stem##_read_lock,                                                                               \
		urcu_##stem##_read_unlock,                                                                             \
		urcu_##stem##_read_ongoing,                                                                            \
		urcu_##stem##_synchronize_rcu,                                                                         \
		rmap_urcu_##stem##_defer,                                                                              \
		urcu_##stem##_barrier,                                                                                 \
		urcu_##stem##_register_thread,                                                                         \
		urcu_##stem##_unregister_thread,                                                                       \
		go_offline,                                                                                            \
		go_online,                                                                                             \
		rmap_urcu_start,                                                                                       \
		fork_before,                                                                                           \
		fork_parent,                                                                                           \
		fork_child,                                                                                            \
	};

#define RMAP_URCU(stem)                                                                                                \
	RMAP_URCU_DEFINE(stem, NULL, NULL, urcu_##stem##_call_rcu_before_fork,                                         \
			 urcu_##stem##_call_rcu_after_fork_parent, urcu_##stem##_call_rcu_after_fork_child)

#define RMAP_URCU_QSBR                                                                                                 \
	RMAP_URCU_DEFINE(qsbr, urcu_qsbr_thread_offline, urcu_qsbr_thread_online, urcu_qsbr_call_rcu_before_fork,      \
			 urcu_qsbr_call_rcu_after_fork_parent, urcu_qsbr_call_rcu_after_fork_child)

/*
 * The helper must pause before bp takes the locks that it may want, and after a fork they are free before it goes on.
 */
#define RMAP_URCU_BP                                                                                                   \
	static void rmap_urcu_bp_before_fork(void)                                                                     \
	{                                                                                                              \
		urcu_bp_call_rcu_before_fork();                                                                        \
		urcu_bp_before_fork();                                                                                 \
	}                                                                                                              \
	static void rmap_urcu_bp_after_fork_parent(void)                                                               \
	{                                                                                                              \
		urcu_bp_after_fork_parent();                                                                           \
		urcu_bp_call_rcu_after_fork_parent();                                                                  \
	}                                                                                                              \
	static void rmap_urcu_bp_after_fork_child(void)                                                                \
	{                                                                                                              \
		urcu_bp_after_fork_child();                                                                            \
		urcu_bp_call_rcu_after_fork_child();                                                                   \
	}                                                                                                              \
	RMAP_URCU_DEFINE(bp, NULL, NULL, rmap_urcu_bp_before_fork, rmap_urcu_bp_after_fork_parent,                     \
			 rmap_urcu_bp_after_fork_child)

#endif
