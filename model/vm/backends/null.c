/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * null.c - no reverse map: what the rest of the VM costs
 *
 * It counts the mappings of each page, for a copy on write asks for that, and finds none: reclaim frees no page that is
 * mapped, and no file is truncated while a vma of it is there.
 */
#include "../backend.h"
#include "common.h"

static int null_create(struct vm *vm)
{
	vm->map = NULL;
	return 0;
}

static int null_destroy(struct vm *vm)
{
	(void)vm;
	return 0;
}

static int null_thread_begin(struct vm_thread *thread)
{
	thread->map = NULL;
	return 0;
}

static void null_thread_end(struct vm_thread *thread)
{
	(void)thread;
}

static int null_object_begin(struct vm_thread *thread, struct vm *vm, struct object *object)
{
	(void)thread, (void)vm;
	atomic_store(&object->vmas, 0);
	return 0;
}

static void null_add(struct vm_thread *thread, struct page *page, struct leaf *leaf, uint64_t vpn, uint64_t pte)
{
	(void)thread, (void)leaf, (void)vpn, (void)pte;
	atomic_fetch_add(&page->counts, 1);
}

static void null_remove(struct vm_thread *thread, struct page *page, const struct mm *mm, struct leaf *leaf,
			uint64_t vpn, uint64_t pte)
{
	(void)thread, (void)mm, (void)leaf, (void)vpn, (void)pte;
	vm_must(atomic_fetch_sub(&page->counts, 1) > 0);
}

static void null_move(struct vm_thread *thread, struct page *page, const struct place *from, const struct place *to)
{
	(void)thread, (void)page, (void)from, (void)to;
}

static int null_fill(struct vm_thread *thread, unsigned adds)
{
	(void)thread, (void)adds;
	return 0;
}

static uint32_t null_mapcount(struct vm_thread *thread, const struct page *page)
{
	(void)thread;
	return (uint32_t)atomic_load(&page->counts);
}

/* All there are are missed: who asks has to be told. */
static void null_walk(struct vm_thread *thread, struct page *page, struct walk *walk)
{
	walk->unnamed += null_mapcount(thread, page);
}

static bool null_may_truncate(const struct object *object)
{
	return atomic_load(&object->vmas) == 0;
}

static int null_truncate(struct pass *pass, const struct cut *cut, struct rmap_unmap_report *report)
{
	return passes_truncate(pass, cut, report, passes_no_bulk, 0);
}

static int null_attach(struct vm_thread *thread, struct vma *vma, struct vma *like)
{
	(void)thread, (void)like;
	atomic_fetch_add(&vma->object->vmas, 1);
	return 0;
}

static void null_detach(struct vm_thread *thread, struct vma *vma)
{
	(void)thread;
	atomic_fetch_sub(&vma->object->vmas, 1);
}

static int null_split(struct vm_thread *thread, struct vma *vma, struct vma *high)
{
	(void)thread;
	atomic_fetch_add(&vma->object->vmas, 1);
	vma->end = high->start;
	return 0;
}

static int null_resize(struct vm_thread *thread, struct vma *vma, uint64_t end)
{
	(void)thread;
	vma->end = end;
	return 0;
}

static const char *null_check_object(struct vm *vm, const struct object *object, uint64_t vmas)
{
	(void)vm;
	return atomic_load(&object->vmas) == vmas ? NULL : "a vma was not counted";
}

const struct vm_backend vm_backend_null = {
	.name = "null",
	.summary = "a count of mappings, and no way to find them",
	.order = &vm_order_today,
	.create = null_create,
	.destroy = null_destroy,
	.thread_begin = null_thread_begin,
	.thread_end = null_thread_end,
	.object_begin = null_object_begin,
	.fill = null_fill,
	.add = null_add,
	.remove = null_remove,
	.move = null_move,
	.mapcount = null_mapcount,
	.walk = null_walk,
	.unmap = passes_unmap,
	.may_truncate = null_may_truncate,
	.truncate = null_truncate,
	.attach = null_attach,
	.detach = null_detach,
	.split = null_split,
	.resize = null_resize,
	.check_object = null_check_object,
};
