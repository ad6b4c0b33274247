/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ptechain.c - the reverse map of Linux 2.5: each pte of each page is in the page's chain (chains.h)
 *
 * Whatever maps a page is found, linear or not. It costs an entry a mapping, and the time to look for it at the end.
 * There is no count: how many map a page is how many entries there are.
 *
 * A line is in hand before the pte lock is taken. Order of locks: pte > chain; so walks only try pte locks, with the
 * chain lock held, and one that is refused leaves that mapping. A truncate goes by the list of the file's vmas first,
 * under the lock of that, and then unmaps each page that is still mapped by its chain.
 */
#include "chains.h"
#include "common.h"
#include "vmas.h"

enum { PART_CHAINS, PART_VMAS };

static int ptechain_create(struct vm *vm)
{
	return store_create(vm, PART_CHAINS, sizeof(struct chain_line));
}

static int ptechain_object_begin(struct vm_thread *thread, struct vm *vm, struct object *object)
{
	(void)thread;
	return object->is_file ? vmas_begin(vm, object, PART_VMAS, false, false) : 0;
}

static void ptechain_object_end(struct vm *vm, struct object *object)
{
	vmas_end(vm, object, PART_VMAS);
}

static void ptechain_add(struct vm_thread *thread, struct page *page, struct leaf *leaf, uint64_t vpn, uint64_t pte)
{
	(void)pte;
	chain_lock(thread, page);
	chain_add(thread, page, leaf, vpn);
	chain_unlock(thread, page);
}

static void ptechain_remove(struct vm_thread *thread, struct page *page, const struct mm *mm, struct leaf *leaf,
			    uint64_t vpn, uint64_t pte)
{
	(void)mm, (void)pte;
	chain_lock(thread, page);
	vm_must(chain_remove(thread, page, leaf, vpn));
	chain_unlock(thread, page);
}

/* A pte that only changes its kind is where it was. */
static void ptechain_move(struct vm_thread *thread, struct page *page, const struct place *from, const struct place *to)
{
	if (from->leaf == to->leaf && from->vpn == to->vpn)
		return;
	chain_lock(thread, page);
	vm_must(chain_remove(thread, page, from->leaf, from->vpn));
	chain_add(thread, page, to->leaf, to->vpn);
	chain_unlock(thread, page);
}

static uint32_t ptechain_mapcount(struct vm_thread *thread, const struct page *page)
{
	uint32_t n;

	chain_lock(thread, (struct page *)(uintptr_t)page);
	n = chain_count(page);
	chain_unlock(thread, (struct page *)(uintptr_t)page);
	return n;
}

static void ptechain_walk(struct vm_thread *thread, struct page *page, struct walk *walk)
{
	vm_lock(&thread->held, &page->chain);
	thread->chained = page;
	chain_walk(thread, page, walk);
	thread->chained = NULL;
	vm_unlock(&thread->held, &page->chain);
}

static int ptechain_truncate(struct pass *pass, const struct cut *cut, struct rmap_unmap_report *report)
{
	return passes_truncate(pass, cut, report, vmas_bulk, 0);
}

static int ptechain_attach(struct vm_thread *thread, struct vma *vma, struct vma *like)
{
	(void)like;
	return vmas_attach(thread, vma, PART_VMAS);
}

static void ptechain_detach(struct vm_thread *thread, struct vma *vma)
{
	vmas_detach(thread, vma, PART_VMAS);
}

static int ptechain_split(struct vm_thread *thread, struct vma *vma, struct vma *high)
{
	return vmas_split(thread, vma, high, PART_VMAS);
}

static const char *ptechain_check(struct vm_thread *thread, struct page *page, const struct mappings *found)
{
	(void)thread, (void)found;
	return chain_check(page);
}

static const char *ptechain_check_object(struct vm *vm, const struct object *object, uint64_t vmas)
{
	(void)vm;
	return vmas_check(object, vmas);
}

const struct vm_backend vm_backend_ptechain = {
	.name = "ptechain",
	.summary = "2.5: a chain of all ptes of a page, in lines of seven",
	.traits = VM_BACKEND_WALKS | VM_BACKEND_TRIES,
	.order = &vm_order_2003,
	.parts = { "slabs of lines", "lists of vmas" },
	.create = ptechain_create,
	.destroy = store_destroy,
	.thread_begin = store_thread_begin,
	.thread_end = store_thread_end,
	.object_begin = ptechain_object_begin,
	.object_end = ptechain_object_end,
	.fill = store_fill,
	.add = ptechain_add,
	.remove = ptechain_remove,
	.move = ptechain_move,
	.mapcount = ptechain_mapcount,
	.walk = ptechain_walk,
	.unmap = passes_unmap,
	.truncate = ptechain_truncate,
	.attach = ptechain_attach,
	.detach = ptechain_detach,
	.split = ptechain_split,
	.resize = vmas_resize,
	.check = ptechain_check,
	.check_object = ptechain_check_object,
};
