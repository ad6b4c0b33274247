/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bytes.h - programs of several threads, and who goes on when, out of a fuzzer's bytes
 *
 * The first bytes become a case: multiplicity, what the page holds at first, a few operations for each thread. The rest
 * choose at each step who goes on and what a load reads; behind them whoever runs goes on, and finds the second newest
 * of what its loads may find, for ever. One execution, and the checks of a case: linearizability, walks, equations, no
 * memory lost, and an end.
 *
 *      byte 0        multiplicity (0, 2 or 9 bits), threads (2 or 3), stale reads (none, or any)
 *      byte 1        elements at first: how many are added, and how many of those removed again
 *      then a byte for each operation of each thread: the letter it is about, the kind
 *      then choices
 *
 * Threads only remove what is theirs, as page.h asks: each letter has one owner, and what a thread's program does is
 * told here, operation by operation.
 */
#ifndef EXPLORE_BYTES_H
#define EXPLORE_BYTES_H

#include "engine.h"

/* False: something is wrong, and standard error says what in which program. */
bool bytes_explore(const uint8_t *bytes, size_t size, struct engine_result *result);

#endif
