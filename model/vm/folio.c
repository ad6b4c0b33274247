/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * folio.c - large pages of files become smaller ones, and smaller ones a large one
 *
 * Both go by references. Each mapping has one, the file has one, and so has whoever has found the page and may yet map
 * it or use its contents; who waits for its lock without one looks again when he has it. So a page that is locked and
 * unmapped, and of which the file and this thread have all references, is nobody else's. That is seen, and the file
 * changed, in one step under the file's object lock, under which alone others find pages; so nobody comes in between,
 * and what comes into the file needs no lock of its own.
 *
 * Meanwhile the page is MOVING, so that faults do not map it again, but wait for its lock.
 *
 * A split is for truncates, which need it. So it unmaps whatever there is, mlocked mappings, too; they stay in memory,
 * and are faulted in again. A fault that had looked before the page was MOVING may map it yet, and has a reference: for
 * such ones a split is refused. A collapse is for speed, and gives way. Anonymous pages are in no file that would have
 * them while they are not mapped; so these are split as others migrate (migrate.c).
 */
#include "backend.h"

#include <errno.h>

/* --- split ------------------------------------------------------------------------------------ */

int page_split(struct vm_thread *thread, struct page *page)
{
	bool split = false;

	if (page_has(page, PAGE_CACHED)) {
		page_set(page, PAGE_MOVING);
		split = page_unmap_all(thread, page);
		tlb_flush(thread);
		window(thread->vm, VM_WINDOW_SPLIT);
		split = split && file_split(thread, page);
		page_clear(page, PAGE_MOVING);
	}
	count(thread, split ? FIGURE_SPLITS : FIGURE_UNSPLIT, 1);
	return split ? 0 : -EAGAIN;
}

int vm_folio_split(struct vm_thread *thread, uint32_t number, uint64_t index)
{
	struct page *page;
	int error = -ENOENT;

	if (number >= thread->vm->options.files)
		return -EINVAL;
	page = cache_next(thread, &thread->vm->files[number], index, index);
	if (!page)
		return -ENOENT;
	vm_lock(&thread->held, &page->lock);
	if (page->order > 0)
		error = page_split(thread, page);
	vm_unlock(&thread->held, &page->lock);
	page_put(thread, page);
	return error;
}

/* --- collapse --------------------------------------------------------------------------------- */

/* Pages that are to be one, [0, n), each locked and with a reference. */
struct gathering {
	struct vm_thread *thread;
	struct file *file;
	struct page *pages[1u << VM_FOLIO_ORDER_MAX];
	unsigned n;
};

/* Who has one of them locked may be waiting for another, so they are only tried. */
static int gather(struct gathering *gathering, uint64_t first, uint64_t last)
{
	struct vm_thread *thread = gathering->thread;
	struct page *page;

	for (uint64_t next = first; next <= last && (page = cache_next(thread, gathering->file, next, last));) {
		int error = 0;

		if (page->index <= first && last <= page_last(page))
			error = -ENOENT;
		else if (!vm_trylock(&thread->held, &page->lock))
			error = -EAGAIN;
		if (error) {
			page_put(thread, page);
			return error;
		}
		gathering->pages[gathering->n++] = page;
		page_set(page, PAGE_MOVING);
		if (!page_has(page, PAGE_CACHED))
			return -EAGAIN;
		next = page_last(page) + 1;
	}
	return 0;
}

/* As many as can be. Return: 0; -EAGAIN; -EPERM: one is mlocked */
static int unmap_gathered(struct gathering *gathering)
{
	int result = RMAP_UNMAP_SUCCESS;

	for (unsigned i = 0; i < gathering->n && result == RMAP_UNMAP_SUCCESS; i++)
		if (page_mapcount(gathering->thread, gathering->pages[i]) > 0)
			result = page_unmap(gathering->thread, gathering->pages[i], NULL);
	tlb_flush(gathering->thread);
	if (result == RMAP_UNMAP_SUCCESS)
		return 0;
	return result == RMAP_UNMAP_LOCKED ? -EPERM : -EAGAIN;
}

/* @frozen: they are nobody's any more. */
static void let_go(struct gathering *gathering, bool frozen)
{
	struct vm_thread *thread = gathering->thread;

	for (unsigned i = 0; i < gathering->n; i++) {
		struct page *page = gathering->pages[i];

		if (!frozen)
			page_clear(page, PAGE_MOVING);
		vm_unlock(&thread->held, &page->lock);
		if (frozen)
			page_free(thread, page);
		else
			page_put(thread, page);
	}
}

int vm_folio_collapse(struct vm_thread *thread, uint32_t number, uint64_t index, unsigned order)
{
	struct vm *vm = thread->vm;
	struct gathering gathering = { .thread = thread };
	uint64_t first, last;
	struct page *new;
	int error;

	if (number >= vm->options.files || order == 0 || order > vm->options.folio_order)
		return -EINVAL;
	first = index >> order << order;
	last = first + (1u << order) - 1;
	gathering.file = &vm->files[number];
	if (last >= file_extent(thread, gathering.file).size)
		return -ENOENT;
	new = page_alloc_large(thread, &gathering.file->object, first, order);
	if (!new)
		return -ENOMEM;
	error = gather(&gathering, first, last);
	if (!error)
		error = unmap_gathered(&gathering);
	window(vm, VM_WINDOW_COLLAPSE);
	if (!error && !file_collapse(thread, gathering.file, gathering.pages, gathering.n, new))
		error = -EAGAIN;
	let_go(&gathering, !error);
	page_put(thread, new);
	count(thread, FIGURE_COLLAPSES, !error);
	count(thread, FIGURE_UNCOLLAPSED, error == -EAGAIN);
	return error;
}
