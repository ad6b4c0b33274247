/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * objrmap.c - object-based reverse mapping as of 2003, and the pte chains it keeps for what that cannot find
 *
 *      word of a file's page    = its mapcount: who maps it is asked of the file's vmas, each of them in the list
 *                                 (objrmap), or those that have its index, in a tree (objrmap-interval)
 *      of an anonymous page, a private copy, or a converted page: its chain (chains.h)
 *
 * A nonlinear mapping is where no vma says. So before one is made the page is converted: its flag is set, its count is
 * forgotten, and each vma that has its index is looked at, and what maps the page there is chained, one by one and each
 * with memory to be had. If that ends the page stays as it is, half converted: what has no entry is not found any more,
 * nor counted, and is not missed when it goes. So it is while a conversion is under way, and whoever looks meanwhile
 * may miss mappings; the page lock keeps reclaim and truncates from it, not aging.
 *
 * Order of locks: vmas > pte > chain. A walk holds the chain lock, so it only tries those above. It is refused the lock
 * of the vmas as a whole: then it finds nothing.
 *
 * A truncate goes by the file's vmas, as if all were linear, and drops the pages: one that is mapped nonlinearly stays
 * mapped, by an orphan. That is the bug of 2003. With reliable semantics it does what was proposed against it: pages
 * that are mapped are unmapped one by one until none is.
 */
#include "chains.h"
#include "common.h"
#include "vmas.h"

enum { PART_CHAINS, PART_VMAS };

/* Fixed, or under the chain lock. */
static bool is_counted(const struct page *page)
{
	return page_is_file(page) && !page_has(page, PAGE_CONVERTED);
}

static int objrmap_create(struct vm *vm)
{
	return store_create(vm, PART_CHAINS, sizeof(struct chain_line));
}

static int objrmap_object_begin(struct vm_thread *thread, struct vm *vm, struct object *object)
{
	(void)thread;
	return object->is_file ? vmas_begin(vm, object, PART_VMAS, false, false) : 0;
}

static int interval_object_begin(struct vm_thread *thread, struct vm *vm, struct object *object)
{
	(void)thread;
	return object->is_file ? vmas_begin(vm, object, PART_VMAS, true, false) : 0;
}

static void objrmap_object_end(struct vm *vm, struct object *object)
{
	vmas_end(vm, object, PART_VMAS);
}

/* --- mappings --------------------------------------------------------------------------------- */

static void objrmap_add(struct vm_thread *thread, struct page *page, struct leaf *leaf, uint64_t vpn, uint64_t pte)
{
	chain_lock(thread, page);
	vm_must(!is_counted(page) || !(pte & PTE_NONLINEAR));
	if (is_counted(page))
		page->word++;
	else
		chain_add(thread, page, leaf, vpn);
	chain_unlock(thread, page);
}

/* What has no entry is what a conversion has not come to. */
static bool forget(struct vm_thread *thread, struct page *page, struct leaf *leaf, uint64_t vpn)
{
	if (!is_counted(page))
		return chain_remove(thread, page, leaf, vpn);
	vm_must(page->word > 0);
	page->word--;
	return true;
}

static void objrmap_remove(struct vm_thread *thread, struct page *page, const struct mm *mm, struct leaf *leaf,
			   uint64_t vpn, uint64_t pte)
{
	(void)mm, (void)pte;
	chain_lock(thread, page);
	if (!forget(thread, page, leaf, vpn))
		vm_must(page_has(page, PAGE_CONVERTED));
	chain_unlock(thread, page);
}

static void objrmap_move(struct vm_thread *thread, struct page *page, const struct place *from, const struct place *to)
{
	if (from->leaf == to->leaf && from->vpn == to->vpn)
		return;
	chain_lock(thread, page);
	if (!is_counted(page)) {
		if (!forget(thread, page, from->leaf, from->vpn))
			vm_must(page_has(page, PAGE_CONVERTED));
		chain_add(thread, page, to->leaf, to->vpn);
	}
	chain_unlock(thread, page);
}

static uint32_t mapcount(const struct page *page)
{
	return is_counted(page) ? (uint32_t)page->word : chain_count(page);
}

static uint32_t objrmap_mapcount(struct vm_thread *thread, const struct page *page)
{
	uint32_t n;

	if (!page->object)
		return 0;
	chain_lock(thread, (struct page *)(uintptr_t)page);
	n = mapcount(page);
	chain_unlock(thread, (struct page *)(uintptr_t)page);
	return n;
}

/* --- conversion ------------------------------------------------------------------------------- */

/* @error: -ENOMEM: it ended there */
struct conversion {
	struct vm_thread *thread;
	struct page *page;
	int error;
};

/* Somebody may have chained it meanwhile, who mapped it or moved it. */
static void convert_pte(struct vm_thread *thread, struct leaf *leaf, uint64_t vpn, void *arg)
{
	struct conversion *conversion = arg;
	struct page *page = conversion->page;

	chain_lock(thread, page);
	chain_remove(thread, page, leaf, vpn);
	chain_add(thread, page, leaf, vpn);
	chain_unlock(thread, page);
}

static bool convert_vma(struct vma *vma, void *arg)
{
	struct conversion *conversion = arg;
	struct vm_thread *thread = conversion->thread;
	struct walk walk = { .action = convert_pte, .arg = conversion };
	uint64_t index = conversion->page->index;
	uint64_t start, end;

	if (!vma_window(thread->vm, vma, index, index, &start, &end))
		return true;
	conversion->error = store_fill(thread, (unsigned)(end - start));
	if (!conversion->error)
		walk_window(thread, conversion->page, vma->mm, start, end, false, &walk);
	return !conversion->error;
}

static int objrmap_nonlinear(struct vm_thread *thread, struct page *page)
{
	struct conversion conversion = { thread, page, 0 };
	struct vmas *vmas = page->object->index;
	unsigned wanted = hand_of(thread)->wanted;

	if (!is_counted(page))
		return 0;
	count(thread, FIGURE_CONVERSIONS, 1);
	vm_lock_exclusive(&thread->held, &vmas->lock);
	chain_lock(thread, page);
	page_set(page, PAGE_CONVERTED);
	page->word = 0;
	chain_unlock(thread, page);
	vmas_each(vmas, page->index, page->index, convert_vma, &conversion);
	vm_unlock_sleeping(&thread->held, &vmas->lock);
	if (conversion.error) {
		page_set(page, PAGE_MISSES);
		count(thread, FIGURE_UNCONVERTED, 1);
		return conversion.error;
	}
	return store_fill(thread, wanted);
}

/* --- walks ------------------------------------------------------------------------------------ */

static void walk_vmas(struct vm_thread *thread, struct page *page, struct walk *walk)
{
	struct vmas *vmas = page->object->index;
	const uint32_t enough = (uint32_t)page->word;

	if (enough == 0)
		return;
	if (!vm_try_exclusive(&thread->held, &vmas->lock)) {
		walk->refused++;
		count(thread, FIGURE_WALKS_REFUSED, 1);
		return;
	}
	vmas_walk(thread, page, vmas, true, &enough, walk);
	vm_unlock_sleeping(&thread->held, &vmas->lock);
}

static void objrmap_walk(struct vm_thread *thread, struct page *page, struct walk *walk)
{
	vm_lock(&thread->held, &page->chain);
	thread->chained = page;
	if (is_counted(page))
		walk_vmas(thread, page, walk);
	else
		chain_walk(thread, page, walk);
	thread->chained = NULL;
	vm_unlock(&thread->held, &page->chain);
}

static int objrmap_truncate(struct pass *pass, const struct cut *cut, struct rmap_unmap_report *report)
{
	return passes_truncate(pass, cut, report, vmas_bulk, PASSES_DROP_MAPPED);
}

/* --- vmas ------------------------------------------------------------------------------------- */

static int objrmap_attach(struct vm_thread *thread, struct vma *vma, struct vma *like)
{
	(void)like;
	return vmas_attach(thread, vma, PART_VMAS);
}

static void objrmap_detach(struct vm_thread *thread, struct vma *vma)
{
	vmas_detach(thread, vma, PART_VMAS);
}

static int objrmap_split(struct vm_thread *thread, struct vma *vma, struct vma *high)
{
	return vmas_split(thread, vma, high, PART_VMAS);
}

static const char *objrmap_check(struct vm_thread *thread, struct page *page, const struct mappings *found)
{
	(void)thread;
	if (!page->object)
		return NULL;
	if (!is_counted(page))
		return chain_check(page);
	return found->nonlinear ? "a nonlinear pte maps a page that is not converted" : NULL;
}

static const char *objrmap_check_object(struct vm *vm, const struct object *object, uint64_t vmas)
{
	(void)vm;
	return vmas_check(object, vmas);
}

#define OBJRMAP(stem, title, sentence, begin, links)                                                                   \
	const struct vm_backend vm_backend_##stem = {                                                                  \
		.name = title,                                                                                         \
		.summary = sentence,                                                                                   \
		.traits = VM_BACKEND_WALKS | VM_BACKEND_TRIES | VM_BACKEND_ORPHANS,                                    \
		.order = &vm_order_2003,                                                                               \
		.parts = { "slabs of lines", links },                                                                  \
		.create = objrmap_create,                                                                              \
		.destroy = store_destroy,                                                                              \
		.thread_begin = store_thread_begin,                                                                    \
		.thread_end = store_thread_end,                                                                        \
		.object_begin = begin,                                                                                 \
		.object_end = objrmap_object_end,                                                                      \
		.nonlinear = objrmap_nonlinear,                                                                        \
		.fill = store_fill,                                                                                    \
		.add = objrmap_add,                                                                                    \
		.remove = objrmap_remove,                                                                              \
		.move = objrmap_move,                                                                                  \
		.mapcount = objrmap_mapcount,                                                                          \
		.walk = objrmap_walk,                                                                                  \
		.unmap = passes_unmap,                                                                                 \
		.truncate = objrmap_truncate,                                                                          \
		.attach = objrmap_attach,                                                                              \
		.detach = objrmap_detach,                                                                              \
		.split = objrmap_split,                                                                                \
		.resize = vmas_resize,                                                                                 \
		.check = objrmap_check,                                                                                \
		.check_object = objrmap_check_object,                                                                  \
	}

OBJRMAP(objrmap, "objrmap", "2003: files' pages by the list of their vmas, others by pte chains", objrmap_object_begin,
	"lists of vmas");
OBJRMAP(objrmap_interval, "objrmap-interval", "the same with a tree of vmas by interval", interval_object_begin,
	"trees of vmas");
