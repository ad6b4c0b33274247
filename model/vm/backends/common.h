/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * common.h - what several backends share
 */
#ifndef VM_BACKENDS_COMMON_H
#define VM_BACKENDS_COMMON_H

#include "../backend.h"

/* --- passes.c: unmap and truncate of backends that have walks, and no rules of their own ------------ */

/* What of @cut the backend finds without looking at pages: the vmas of the file. Adds to *@cleared */
typedef void (*passes_bulk)(struct pass *pass, const struct cut *cut, uint64_t *cleared);

enum passes_flag {
	PASSES_DROP_MAPPED = 1 << 0, /* failable: no page is walked, and those that are mapped are dropped as orphans */
	PASSES_BULK_AGAIN = 1 << 1,  /* behind the page pass, too */
};

/* One walk that clears. A locked pte ends it, with what was cleared before. As vm_backend.unmap */
int passes_unmap(struct pass *pass, struct page *page, struct rmap_unmap_report *report);
/*
 * The bulk pass, then page by page: a walk that clears all, and off the file with what is no longer mapped. Failable
 * semantics do so once; reliable ones until nothing is left, if the backend finds mappings at all. As
 * vm_backend.truncate
 */
int passes_truncate(struct pass *pass, const struct cut *cut, struct rmap_unmap_report *report, passes_bulk bulk,
		    unsigned flags);
void passes_no_bulk(struct pass *pass, const struct cut *cut, uint64_t *cleared);

#endif
