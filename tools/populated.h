/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * populated.h - which addresses of a task have pages, so that terabytes of reserved ones cost little
 */
#ifndef POPULATED_H
#define POPULATED_H

#include "procfs.h"

/** populated_init - see what the kernel can tell; @fd: our own pagemap, @vpn: a page of ours that is present */
void populated_init(struct procfs *procfs, int fd, uint64_t vpn);
/** populated_fini - free what @procfs remembers of searches */
void populated_fini(struct procfs *procfs);

/**
 * populated_find - set @reader->ranges to what is to be read of @reader->lines, in ascending order
 * @fd: the task's pagemap
 *
 * Every pte that is present or names a swap slot lies in one of the ranges, but for some of the zero page and of others
 * that the kernel does not count, where it lacks PAGEMAP_SCAN. @reader->text is used anew.
 */
void populated_find(const struct procfs *procfs, const struct task *task, int fd, struct reader *reader);

#endif
