/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * folio.h - large folios, and kernels that tell averages of them
 *
 * Kernels built with CONFIG_NO_PAGE_MAPCOUNT keep no count for each page of a large folio. For all of them,
 * kpagecount tells the folio's mappings divided by its pages, rounded, and at least 1 if it is mapped at all. Such a
 * kernel gives itself away by equal counts in a folio whose pages are not mapped equally often.
 */
#ifndef FOLIO_H
#define FOLIO_H

#include "system.h"

/** A frame in a large folio, though not of hugetlb, of which every kernel tells the folio's count */
#define KPF_COMPOUND (KPF_COMPOUND_HEAD | KPF_COMPOUND_TAIL)

struct folio {
	uint64_t head;
	uint64_t pages;
};

/** folio_of - the folio that frame @pfn is in, as the kernel says now */
struct folio folio_of(const struct procfs *procfs, uint64_t pfn);

/**
 * folio_least - how many pages the smallest large folio of anonymous memory has, hugetlb's too
 * Return: UINT64_MAX if there is none; 1 if the kernel does not tell, or has merged pages by KSM
 *
 * Large folios begin at frames whose numbers are multiples of their sizes. So where a block of that size does not begin
 * with a page of one, no page in it is of one, nor merged.
 */
uint64_t folio_least(const struct procfs *procfs);

/** struct folio_sum - all pages of a folio taken together; all zero at first */
struct folio_sum {
	uint64_t pages;
	uint64_t mappings; /* ours, of all its pages */
	uint64_t ours;     /* of the page added last */
	uint64_t kernel;   /* the kernel's count, if it is the same for all */
	bool uneven;       /* our counts differ */
	bool differing;    /* the kernel's do */
	bool above;        /* of some page we know more than the kernel counts */
};

void folio_sum_add(struct folio_sum *sum, uint64_t ours, uint64_t kernel);

/** folio_is_average - is the kernel's count of each page what it should be, if it is the average? */
bool folio_is_average(const struct system *system, const struct folio_sum *sum);

/** folio_proves_average - ... and can it be nothing else? */
bool folio_proves_average(const struct system *system, const struct folio_sum *sum);

#endif
