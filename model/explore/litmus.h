/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * litmus.h - what the model of weak memory finds, by the litmus tests of the field
 */
#ifndef RMAP_EXPLORE_LITMUS_H
#define RMAP_EXPLORE_LITMUS_H

#include <stdbool.h>

/* Runs and prints all of them. False: one outcome was found that must not be, or was not found that must. */
bool litmus_run(void);

#endif
