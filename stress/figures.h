/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * figures.h - what a run on the VM has done, for a person and for scripts/truncate-table
 */
#ifndef RMAP_STRESS_FIGURES_H
#define RMAP_STRESS_FIGURES_H

#include "stress.h"

/* Prints the figures; writes them to --json's file, if one was given. Ends the process if that cannot be written. */
void figures_print(const struct stress *stress, const struct vm_statistics *statistics);

#endif
