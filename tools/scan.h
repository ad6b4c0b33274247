/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * scan.h - reading the running system's page tables
 */
#ifndef SCAN_H
#define SCAN_H

#include "system.h"

/**
 * scan_system - read the page tables of all processes, or of those named, into @system in @threads threads
 * @pids:   the processes to read, each of which must exist; NULL for all
 * Return:  a status
 *
 * Processes that end meanwhile, and such as may not be read, are counted and left out. Where anything else keeps one
 * from being read, the status says so.
 */
int scan_system(struct system *system, const struct procfs *procfs, const pid_t *pids, size_t pids_n, unsigned threads);

/** A visitor of present ptes; @process is the number of the task in the list, @thread that of the calling thread. */
typedef void (*scan_visit)(void *arg, unsigned thread, size_t process, uint64_t vpn, uint64_t pte);

/**
 * scan_again - visit every present pte of @tasks in @threads threads, keeping nothing; procfs_status() tells whether
 * all were
 * Return:  how many threads were started for it
 */
unsigned scan_again(const struct procfs *procfs, const struct tasks *tasks, unsigned threads, const char *what,
		    scan_visit visit, void *arg);

#endif
