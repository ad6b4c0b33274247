/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * passes.c - unmap and truncate as kernels have them: a pass over the file's vmas, then one over its pages
 *
 * A truncate advances the sequence before it looks at anything. A fault looks at that under its pte lock before it maps
 * a page and, as nobody waits for it here, again after: so the mapping is seen by the passes, or taken back by its
 * maker. A fork need not: it holds the pte lock of a mapping that is there, so the page is not without one before the
 * copy is made; and private copies are looked for under both pte locks.
 */
#include "common.h"

int passes_unmap(struct pass *pass, struct page *page, struct rmap_unmap_report *report)
{
	struct vm_thread *thread = pass->thread;
	struct clearing clearing = { .pass = pass, .cleared = &report->cleared };
	struct walk walk = { .action = clear_pte, .arg = &clearing, .ends = &clearing.locked };

	report->passes++;
	page_walk(thread, page, &walk);
	report->refused += walk.refused;
	if (page_mapcount(thread, page) == 0)
		return RMAP_UNMAP_SUCCESS;
	return clearing.locked ? RMAP_UNMAP_LOCKED : RMAP_UNMAP_AGAIN;
}

void passes_no_bulk(struct pass *pass, const struct cut *cut, uint64_t *cleared)
{
	(void)pass, (void)cut, (void)cleared;
}

/* Holds: the page lock. */
static void finish_page(struct pass *pass, struct page *page, struct rmap_unmap_report *report, bool walks,
			bool orphans)
{
	struct clearing clearing = { .pass = pass, .cleared = &report->cleared, .force = true };
	struct walk walk = { .action = clear_pte, .arg = &clearing };
	bool mapped = page_mapcount(pass->thread, page) > 0;

	if (mapped && walks) {
		page_walk(pass->thread, page, &walk);
		cut_flush(pass);
		report->refused += walk.refused;
		mapped = page_mapcount(pass->thread, page) > 0;
	}
	if (mapped && !orphans) {
		report->mapped++;
		return;
	}
	report->pages++;
	report->orphans += mapped;
	cut_drop(pass, page, mapped);
}

static void page_pass(struct pass *pass, const struct cut *cut, struct rmap_unmap_report *report, bool walks,
		      bool orphans)
{
	struct page *page;

	report->passes++;
	report->mapped = 0;
	for (uint64_t next = cut->first; next <= cut->last && (page = cut_lock_next(pass, next, cut->last));) {
		next = page->index + 1;
		finish_page(pass, page, report, walks, orphans);
		cut_unlock(pass, page);
	}
}

/* What failable semantics leave in the file. */
static void tell_left(struct pass *pass, const struct cut *cut)
{
	struct page *page;

	for (uint64_t next = cut->first; next <= cut->last && (page = cut_lock_next(pass, next, cut->last));) {
		next = page->index + 1;
		cut_left(pass, page, true);
		cut_unlock(pass, page);
	}
}

static void bulk_pass(struct pass *pass, const struct cut *cut, struct rmap_unmap_report *report, passes_bulk bulk)
{
	report->passes++;
	bulk(pass, cut, &report->cleared);
}

int passes_truncate(struct pass *pass, const struct cut *cut, struct rmap_unmap_report *report, passes_bulk bulk,
		    unsigned flags)
{
	struct vm *vm = pass->thread->vm;
	bool reliable = vm->options.semantics == RMAP_RELIABLE && backend_has(vm, VM_BACKEND_WALKS);
	bool orphans = !reliable && (flags & PASSES_DROP_MAPPED);

	atomic_fetch_add(&cut->file->object.sequence, 1);
	bulk_pass(pass, cut, report, bulk);
	page_pass(pass, cut, report, !orphans, orphans);
	if (flags & PASSES_BULK_AGAIN)
		bulk_pass(pass, cut, report, bulk);
	while (reliable && report->mapped > 0) {
		uint64_t cleared = report->cleared;

		cut_wait(report->fruitless);
		bulk_pass(pass, cut, report, bulk);
		page_pass(pass, cut, report, true, false);
		report->fruitless = report->cleared == cleared ? report->fruitless + 1 : 0;
	}
	if (report->mapped > 0)
		tell_left(pass, cut);
	return report->mapped > 0 ? RMAP_UNMAP_AGAIN : RMAP_UNMAP_SUCCESS;
}
