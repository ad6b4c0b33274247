/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * recheck.h - looking again at frames that differ from the kernel's counts
 *
 * The system lives, and reading it takes time. A frame that differs is looked at again: read the kernel's count, then
 * ptes, then the kernel's count. In a *narrow* round these are the ptes that the reverse map names for these frames,
 * those where a vma has the frame's page of its file and a fault may have mapped it since, and those of tasks that have
 * come since. If they are as many as the kernel counts, that is all of them. Only if the kernel counts more, PATIENCE
 * times, must all page tables be read again, in a *whole* round.
 *
 *      agrees now, while count and flags stood still          changed
 *      the kernel counts more, some may not be read           bounded, after a whole round
 *      differs, though kernel's and our own count stood still
 *      and no task came or went in STRIKES rounds             mismatched
 *      none of these when rounds or time are used up          moving
 *
 * Rounds are ROUNDS at most, WHOLE_ROUNDS of them whole, and none begins later than RECHECK_SECONDS after the first.
 */
#ifndef RECHECK_H
#define RECHECK_H

#include "system.h"

#define RECHECK_SECONDS 10

/** recheck_system - settle the verdict of all frames that are mismatched so far. @pids: as in verify_system() */
void recheck_system(struct system *system, const struct procfs *procfs, const pid_t *pids, size_t pids_n,
		    unsigned threads);

/** recheck_frame - as verify_frame(); @frame: the frame's record, its ptes counted, or NULL */
enum verdict recheck_frame(struct system *system, const struct procfs *procfs, uint64_t pfn, struct frame *frame,
			   struct mapper *mappers, size_t *n, uint64_t *surplus);

#endif
