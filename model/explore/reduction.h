/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reduction.h - the whole search against one that leaves nothing out
 */
#ifndef RMAP_EXPLORE_REDUCTION_H
#define RMAP_EXPLORE_REDUCTION_H

#include <stdbool.h>

/* Compares them over small programs, and says what it compared. False: the whole search has missed an outcome. */
bool reduction_run(void);

#endif
