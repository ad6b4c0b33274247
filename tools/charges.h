/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * charges.h - to which cgroups the kernel charges pages
 *
 * A page is charged to the cgroup of whoever touched it first, and stays so while it is mapped, wherever that process
 * is now: another one may map it, or the same in another cgroup. What one that is gone was charged, its parent is.
 */
#ifndef CHARGES_H
#define CHARGES_H

#include "chosen.h"

/**
 * charges_elsewhere - how many of some frames are charged to other cgroups than those of the processes that were chosen
 * @pfns: @n frames in ascending order
 * Return: PAGES_UNKNOWN where the kernel does not tell, or the cgroups' numbers cannot be found
 */
#define PAGES_UNKNOWN SIZE_MAX
size_t charges_elsewhere(const struct system *system, const struct procfs *procfs, const struct chosen *chosen,
			 const uint64_t *pfns, size_t n);

#endif
