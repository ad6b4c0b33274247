/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * flavors.c - liburcu's flavors; see flavors.h
 */
#include "flavors.h"

#include "support.h"

#include <sys/wait.h>

/* A file can include liburcu's headers for one flavor only. */
struct rcu_head;

#define DECLARE(stem)                                                                                                  \
	void urcu_##stem##_read_lock(void);                                                                            \
	void urcu_##stem##_read_unlock(void);                                                                          \
	int urcu_##stem##_read_ongoing(void);                                                                          \
	void urcu_##stem##_synchronize_rcu(void);                                                                      \
	void urcu_##stem##_call_rcu(struct rcu_head *head, void (*work)(struct rcu_head *head));                       \
	void urcu_##stem##_barrier(void);                                                                              \
	void urcu_##stem##_register_thread(void);                                                                      \
	void urcu_##stem##_unregister_thread(void);                                                                    \
	void urcu_##stem##_call_rcu_before_fork(void);                                                                 \
	void urcu_##stem##_call_rcu_after_fork_parent(void);                                                           \
	void urcu_##stem##_call_rcu_after_fork_child(void)

DECLARE(bp);
DECLARE(mb);
DECLARE(memb);
DECLARE(qsbr);

/* Of bp the header has it as nothing. */
#define urcu_bp_unregister_thread NULL
void urcu_bp_before_fork(void);
void urcu_bp_after_fork_parent(void);
void urcu_bp_after_fork_child(void);
void urcu_qsbr_thread_offline(void);
void urcu_qsbr_thread_online(void);

RMAP_URCU_BP
RMAP_URCU(mb)
RMAP_URCU(memb)
RMAP_URCU_QSBR

const struct flavor flavors[4] = {
	{ "memb", &rmap_urcu_memb, 0 },
	{ "mb", &rmap_urcu_mb, 0 },
	{ "qsbr", &rmap_urcu_qsbr, 1 },
	{ "bp", &rmap_urcu_bp, 0 },
};

const char *const reclaim_names[2] = { [RMAP_RECLAIM_CALLBACK] = "callbacks", [RMAP_RECLAIM_BLOCKING] = "blocking" };

struct combination {
	void (*body)(const struct flavor *flavor, enum rmap_reclaim reclaim);
	const struct flavor *flavor;
	enum rmap_reclaim reclaim;
};

static void run_combination(void *arg)
{
	const struct combination *combination = arg;

	combination->body(combination->flavor, combination->reclaim);
}

void in_each_flavor(void (*body)(const struct flavor *flavor, enum rmap_reclaim reclaim))
{
	for (unsigned i = 0; i < LENGTH(flavors); i++)
		for (unsigned reclaim = RMAP_RECLAIM_CALLBACK; reclaim <= RMAP_RECLAIM_BLOCKING; reclaim++) {
			struct combination combination = { body, &flavors[i], (enum rmap_reclaim)reclaim };

			if (in_child(run_combination, &combination) != 0)
				fail_msg("with flavor %s, %s", flavors[i].name, reclaim_names[reclaim]);
		}
}
