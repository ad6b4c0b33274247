/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * flavors.c - liburcu's flavors; see flavors.h
 */
#include "flavors.h"

#include "support.h"

#include <sys/wait.h>

/* A file can include liburcu's headers for one flavor only. */
#define DECLARE(stem)                                                                                                  \
	extern const struct rcu_flavor_struct urcu_##stem##_flavor;                                                    \
	void urcu_##stem##_call_rcu_before_fork(void);                                                                 \
	void urcu_##stem##_call_rcu_after_fork_parent(void);                                                           \
	void urcu_##stem##_call_rcu_after_fork_child(void)

DECLARE(bp);
DECLARE(mb);
DECLARE(memb);
DECLARE(qsbr);

void urcu_bp_before_fork(void);
void urcu_bp_after_fork_parent(void);
void urcu_bp_after_fork_child(void);

/* The helper must pause before bp takes the locks that it may want, and after a fork they are free before it goes on. */
static void bp_before_fork(void)
{
	urcu_bp_call_rcu_before_fork();
	urcu_bp_before_fork();
}

static void bp_after_parent(void)
{
	urcu_bp_after_fork_parent();
	urcu_bp_call_rcu_after_fork_parent();
}

static void bp_after_child(void)
{
	urcu_bp_after_fork_child();
	urcu_bp_call_rcu_after_fork_child();
}

const struct flavor flavors[4] = {
	{ "memb", &urcu_memb_flavor, 0, urcu_memb_call_rcu_before_fork, urcu_memb_call_rcu_after_fork_parent,
	  urcu_memb_call_rcu_after_fork_child },
	{ "mb", &urcu_mb_flavor, 0, urcu_mb_call_rcu_before_fork, urcu_mb_call_rcu_after_fork_parent,
	  urcu_mb_call_rcu_after_fork_child },
	{ "qsbr", &urcu_qsbr_flavor, 1, urcu_qsbr_call_rcu_before_fork, urcu_qsbr_call_rcu_after_fork_parent,
	  urcu_qsbr_call_rcu_after_fork_child },
	{ "bp", &urcu_bp_flavor, 0, bp_before_fork, bp_after_parent, bp_after_child },
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
