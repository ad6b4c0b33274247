/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * reason.h - why a process has no page at an address
 */
#ifndef REASON_H
#define REASON_H

#include "system.h"

/**
 * reason_no_page - complain that @process has no page in memory at @address, and why
 * @procfs: where the kernel tells; NULL if the process was recorded, which tells less
 * Return:  a status
 */
int reason_no_page(const struct procfs *procfs, const struct process *process, uint64_t address, unsigned page_shift);

#endif
