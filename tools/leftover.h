/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * leftover.h - what cgroups are charged that have no process
 */
#ifndef LEFTOVER_H
#define LEFTOVER_H

#include "unseen.h"

/** leftover_find - fill in what @unseen has of cgroups */
void leftover_find(struct unseen *unseen, const struct system *system);

#endif
