/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * beside.h - a process's sums beside those of the kernel (smaps_rollup), and why they differ
 */
#ifndef BESIDE_H
#define BESIDE_H

#include "owners.h"
#include "tally.h"

enum figure { FIGURE_RSS, FIGURE_PSS, FIGURE_USS, FIGURE_SWAP, FIGURES };

enum reason {
	REASON_HUGETLB,     /* the kernel leaves hugetlb pages out */
	REASON_TWICE,       /* pages that the process maps more than once: the kernel counts each mapping */
	REASON_AVERAGE,     /* the kernel's mapcounts are averages of large folios */
	REASON_SHARED_SWAP, /* swapped pages of shared memory: no page table names their slots */
	REASON_ROUNDING,    /* the kernel rounds Pss down to KiB, and each page's part of it */
	REASON_CHANGED,     /* all that is left: the system went on, or pagemap does not show it, as some of devices */
	REASONS,
};

/** struct beside - of each figure: ours - the kernel's, in bytes, in parts */
struct beside {
	bool known; /* the kernel's were read */
	struct rollup kernel;
	int64_t parts[FIGURES][REASONS];
};

/** beside_kernel - compare the sums of @group, a process, with what the kernel says now */
void beside_kernel(struct system *system, const struct procfs *procfs, const struct weights *weights,
		   const struct group *group, struct beside *beside);

#endif
