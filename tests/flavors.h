/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * flavors.h - liburcu's flavors, for tests of what must hold in each of them and in both reclaim modes
 */
#ifndef RMAP_TESTS_FLAVORS_H
#define RMAP_TESTS_FLAVORS_H

#include <rmap/urcu.h>

/*
 * struct flavor - one of them
 * @implicit_sections: a registered thread is in a section unless it says otherwise
 */
struct flavor {
	const char *name;
	const struct rmap_rcu_ops *rcu;
	int implicit_sections;
};

/* Out of qsbr's section, and back. */
static inline void flavor_offline(const struct flavor *flavor)
{
	if (flavor->rcu->offline)
		flavor->rcu->offline();
}

static inline void flavor_online(const struct flavor *flavor)
{
	if (flavor->rcu->online)
		flavor->rcu->online();
}

extern const struct flavor flavors[4];
extern const char *const reclaim_names[2];

/*
 * Runs @body in a process of its own for each flavor and reclaim mode, and expects all of them to exit with 0.
 * Processes, for the threads that a flavor has started stay. The caller has none: ThreadSanitizer starts none after a
 * fork otherwise.
 */
void in_each_flavor(void (*body)(const struct flavor *flavor, enum rmap_reclaim reclaim));

#endif
