/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vmas.c - see vmas.h
 */
#include "vmas.h"

#include <errno.h>
#include <stdlib.h>

static struct vmas *vmas_of(const struct vma *vma)
{
	return vma->object->index;
}

static struct vma *interval_vma(const struct interval *node)
{
	return (struct vma *)(uintptr_t)((uintptr_t)node - offsetof(struct vma, interval));
}

/* Of one first, by address. */
static int vma_order(const struct interval *a, const struct interval *b)
{
	uintptr_t one = (uintptr_t)a, two = (uintptr_t)b;

	if (interval_vma(a)->first != interval_vma(b)->first)
		return interval_vma(a)->first < interval_vma(b)->first ? -1 : 1;
	return (one > two) - (one < two);
}

#define INTERVAL_FIRST(node) (interval_vma(node)->first)
#define INTERVAL_LAST(node) (interval_vma(node)->last)
#define INTERVAL_ORDER vma_order
#include "interval.h"

int vmas_begin(struct vm *vm, struct object *object, unsigned part, bool tree, bool shared)
{
	struct vmas *vmas;

	if (!ledger_add(vm, part, sizeof(*vmas)))
		return -ENOMEM;
	vmas = calloc(1, sizeof(*vmas));
	if (!vmas) {
		ledger_add(vm, part, -(int64_t)sizeof(*vmas));
		return -ENOMEM;
	}
	vm_sleeping_init(&vmas->lock, VM_CLASS_VMAS);
	LIST_INIT(&vmas->list);
	vmas->tree = tree;
	vmas->shared = shared;
	object->index = vmas;
	return 0;
}

void vmas_end(struct vm *vm, struct object *object, unsigned part)
{
	struct vmas *vmas = object->index;

	if (!vmas)
		return;
	vm_sleeping_fini(&vmas->lock);
	free(vmas);
	object->index = NULL;
	ledger_add(vm, part, -(int64_t)sizeof(*vmas));
}

/* --- in and out ------------------------------------------------------------------------------- */

static void vma_in(const struct vm *vm, struct vmas *vmas, struct vma *vma)
{
	vmas->n++;
	if (!vmas->tree) {
		LIST_INSERT_HEAD(&vmas->list, vma, in_list);
		return;
	}
	vma->first = index_of(vm, vma->offset);
	vma->last = index_of(vm, vma_offset(vma, vma->end) - 1);
	interval_insert(&vmas->root, &vma->interval);
}

static void vma_out(struct vmas *vmas, struct vma *vma)
{
	vmas->n--;
	if (vmas->tree)
		interval_remove(&vmas->root, &vma->interval);
	else
		LIST_REMOVE(vma, in_list);
}

/* What links a vma is in it. */
static int64_t link_bytes(const struct vmas *vmas)
{
	return vmas->tree ? sizeof(struct interval) : sizeof(((struct vma *)NULL)->in_list);
}

int vmas_attach(struct vm_thread *thread, struct vma *vma, unsigned part)
{
	struct vmas *vmas = vmas_of(vma);

	if (!vma->object->is_file)
		return 0;
	if (!ledger_add(thread->vm, part, link_bytes(vmas)))
		return -ENOMEM;
	vm_lock_exclusive(&thread->held, &vmas->lock);
	vma_in(thread->vm, vmas, vma);
	vm_unlock_sleeping(&thread->held, &vmas->lock);
	return 0;
}

void vmas_detach(struct vm_thread *thread, struct vma *vma, unsigned part)
{
	struct vmas *vmas = vmas_of(vma);

	if (!vma->object->is_file)
		return;
	vm_lock_exclusive(&thread->held, &vmas->lock);
	vma_out(vmas, vma);
	vm_unlock_sleeping(&thread->held, &vmas->lock);
	ledger_add(thread->vm, part, -link_bytes(vmas));
}

int vmas_split(struct vm_thread *thread, struct vma *vma, struct vma *high, unsigned part)
{
	struct vmas *vmas = vmas_of(vma);

	if (!vma->object->is_file) {
		vma->end = high->start;
		return 0;
	}
	if (!ledger_add(thread->vm, part, link_bytes(vmas)))
		return -ENOMEM;
	vm_lock_exclusive(&thread->held, &vmas->lock);
	vma_out(vmas, vma);
	vma->end = high->start;
	vma_in(thread->vm, vmas, vma);
	vma_in(thread->vm, vmas, high);
	vm_unlock_sleeping(&thread->held, &vmas->lock);
	return 0;
}

int vmas_resize(struct vm_thread *thread, struct vma *vma, uint64_t end)
{
	struct vmas *vmas = vmas_of(vma);

	if (!vma->object->is_file) {
		vma->end = end;
		return 0;
	}
	vm_lock_exclusive(&thread->held, &vmas->lock);
	vma_out(vmas, vma);
	vma->end = end;
	vma_in(thread->vm, vmas, vma);
	vm_unlock_sleeping(&thread->held, &vmas->lock);
	return 0;
}

const char *vmas_check(const struct object *object, uint64_t n)
{
	const struct vmas *vmas = object->index;

	return !object->is_file || vmas->n == n ? NULL : "it has not as many links as vmas";
}

/* --- who maps what ---------------------------------------------------------------------------- */

bool linear_window(const struct vm *vm, uint64_t from, uint64_t to, uint64_t offset, uint64_t first, uint64_t last,
		   uint64_t *start, uint64_t *end)
{
	uint64_t low = first << vm->options.cluster_bits;
	uint64_t high = last >= vpn_end(vm) ? UINT64_MAX : (last + 1) << vm->options.cluster_bits;
	uint64_t offset_end = offset + (to - from);

	if (high <= offset || low >= offset_end)
		return false;
	*start = low <= offset ? from : from + (low - offset);
	*end = high >= offset_end ? to : from + (high - offset);
	return true;
}

bool vma_window(const struct vm *vm, const struct vma *vma, uint64_t first, uint64_t last, uint64_t *start,
		uint64_t *end)
{
	return linear_window(vm, vma->start, vma->end, vma->offset, first, last, start, end);
}

struct each {
	vmas_visit visit;
	void *arg;
};

static bool each_node(struct interval *node, void *arg)
{
	const struct each *each = arg;

	return each->visit(interval_vma(node), each->arg);
}

void vmas_each(struct vmas *vmas, uint64_t first, uint64_t last, vmas_visit visit, void *arg)
{
	struct each each = { visit, arg };
	struct vma *vma;

	if (vmas->tree) {
		interval_each(vmas->root, first, last, each_node, &each);
		return;
	}
	LIST_FOREACH (vma, &vmas->list, in_list)
		if (!visit(vma, arg))
			return;
}

struct bulk {
	struct pass *pass;
	const struct cut *cut;
	uint64_t *cleared;
};

static bool bulk_vma(struct vma *vma, void *arg)
{
	const struct bulk *bulk = arg;
	uint64_t start, end;

	if (vma_window(bulk->pass->thread->vm, vma, bulk->cut->first, bulk->cut->last, &start, &end))
		cut_window(bulk->pass, bulk->cut, vma->mm, start, end, bulk->cleared);
	return true;
}

void vmas_bulk(struct pass *pass, const struct cut *cut, uint64_t *cleared)
{
	struct vmas *vmas = cut->file->object.index;
	struct bulk bulk = { pass, cut, cleared };

	if (vmas->shared)
		vm_lock_shared(&pass->thread->held, &vmas->lock);
	else
		vm_lock_exclusive(&pass->thread->held, &vmas->lock);
	vmas_each(vmas, cut->first, cut->last, bulk_vma, &bulk);
	vm_unlock_sleeping(&pass->thread->held, &vmas->lock);
}

struct looking {
	struct vm_thread *thread;
	struct page *page;
	const uint32_t *enough;
	struct walk *walk;
	bool tries;
};

static bool look_vma(struct vma *vma, void *arg)
{
	const struct looking *looking = arg;
	struct vm_thread *thread = looking->thread;
	uint64_t index = looking->page->index;
	uint64_t start, end;
	bool goes_on;

	if (vma_window(thread->vm, vma, index, index, &start, &end))
		goes_on = walk_window(thread, looking->page, vma->mm, start, end, looking->tries, looking->walk);
	else
		goes_on = walk_nowhere(thread, looking->walk);
	return goes_on && looking->walk->found < *looking->enough;
}

void vmas_walk(struct vm_thread *thread, struct page *page, struct vmas *vmas, bool tries, const uint32_t *enough,
	       struct walk *walk)
{
	struct looking looking = { thread, page, enough, walk, tries };

	vmas_each(vmas, page->index, page->index, look_vma, &looking);
}
