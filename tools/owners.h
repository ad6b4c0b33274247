/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * owners.h - to whom processes belong, and what the kernel itself sums up of their memory
 */
#ifndef OWNERS_H
#define OWNERS_H

#include "system.h"

/**
 * owners_read - find the user and the cgroup of every process of a scanned system; returns a status
 *
 * Of a process that has ended meanwhile neither is known.
 */
int owners_read(struct system *system, const struct procfs *procfs);

/**
 * process_in_cgroup - is @process in the cgroup that @word names, or in one below it?
 * @word:   its path, which begins with /, or one part of that
 * @length: set to how much of the path of the process's cgroup is the path of that one
 */
bool process_in_cgroup(const struct system *system, const struct process *process, const char *word, size_t *length);

/** struct rollup - /proc/PID/smaps_rollup, in bytes */
struct rollup {
	uint64_t rss;
	uint64_t pss;
	uint64_t uss; /* Private_Clean + Private_Dirty */
	uint64_t swap;
};

/** rollup_read - read that of @process. False if it is not to be had: the process has ended, or may not be read */
bool rollup_read(struct system *system, const struct procfs *procfs, const struct process *process,
		 struct rollup *rollup);

/** tables_read - the bytes of @process's page tables; 0 if that cannot be read */
uint64_t tables_read(struct system *system, const struct procfs *procfs, const struct process *process);

#endif
