/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * fds.h - the files that processes have open
 *
 * Descriptors are looked at now, not when the system was read; of threads with a table of their own they are not.
 */
#ifndef FDS_H
#define FDS_H

#include "procfs.h"

/** A visitor of what a descriptor of @task leads to; @link is its name below the task's directory, such as fd/3. */
typedef void (*fd_visit)(void *arg, const struct task *task, const char *link, const struct statx *stat);

/** fds_visit - visit what @task has open; false if some of it may not be looked at */
bool fds_visit(const struct procfs *procfs, const struct task *task, fd_visit visit, void *arg);

/** fds_each_process - call @visit for each process of now, those that have the address space of another one too */
void fds_each_process(const struct procfs *procfs, void (*visit)(void *arg, const struct task *task), void *arg);

#endif
