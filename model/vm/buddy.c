/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * buddy.c - free frames, in blocks of 2^order that lie side by side, after K. C. Knowlton's of 1965
 *
 * Within a node a block begins at a multiple of its length, and its buddy is the one with which it makes a block twice
 * as long. What is given back joins its buddy if that is free as a whole; what is asked for is cut out of the smallest
 * block that has it. So free frames lie in as large blocks as they can, up to options.folio_order.
 */
#include "system.h"

static uint32_t node_frames(const struct vm *vm, enum node node)
{
	return node == NODE_FAR ? vm->options.far : vm->options.frames - vm->options.far;
}

static void block_add(struct vm *vm, enum node node, struct page *page, unsigned order)
{
	page->block = true;
	page->order = order;
	TAILQ_INSERT_HEAD(&vm->free_blocks[node][order], page, lru);
}

static void block_remove(struct vm *vm, enum node node, struct page *page)
{
	page->block = false;
	TAILQ_REMOVE(&vm->free_blocks[node][page->order], page, lru);
}

struct page *frames_take(struct vm *vm, enum node node, unsigned order)
{
	struct page *page;
	unsigned from = order;

	while (from < vm->options.folio_order && TAILQ_EMPTY(&vm->free_blocks[node][from]))
		from++;
	page = TAILQ_FIRST(&vm->free_blocks[node][from]);
	if (!page)
		return NULL;
	block_remove(vm, node, page);
	while (from > order) {
		from--;
		block_add(vm, node, page + (1u << from), from);
	}
	vm->free_n[node] -= 1u << order;
	return page;
}

/* The buddy of the block at @page, if all of it is there and free. */
static struct page *free_buddy(const struct vm *vm, enum node node, const struct page *page, unsigned order)
{
	struct page *first = &vm->pages[node_first(vm, node)];
	uint32_t at = (uint32_t)(page - first) ^ 1u << order;
	struct page *buddy = first + at;

	if (at + (1u << order) > node_frames(vm, node) || !buddy->block || buddy->order != order)
		return NULL;
	return buddy;
}

void frames_give(struct vm *vm, struct page *page, unsigned order)
{
	enum node node = page_node(vm, page);
	struct page *buddy;

	vm->free_n[node] += 1u << order;
	for (; order < vm->options.folio_order && (buddy = free_buddy(vm, node, page, order)); order++) {
		block_remove(vm, node, buddy);
		if (buddy < page)
			page = buddy;
	}
	block_add(vm, node, page, order);
}
