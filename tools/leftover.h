/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * leftover.h - what cgroups are charged that have no process
 */
#ifndef LEFTOVER_H
#define LEFTOVER_H

#include "unseen.h"

/** leftover_find - fill in what @unseen has of cgroups; @page is the size of one */
void leftover_find(struct unseen *unseen, uint64_t page);

#endif
