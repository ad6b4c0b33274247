/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * store.c - see store.h
 */
#include "store.h"

#include <errno.h>
#include <stdlib.h>

#define SLAB_BYTES 4096u

/* What a hand keeps beyond what was asked for, so that not every block goes through the store's lock. */
#define HAND_KEEPS 16u

/* The first block of a slab; as large as any alignment that a block needs. */
struct slab {
	void *next;
};

int store_create(struct vm *vm, unsigned part, size_t bytes)
{
	struct store *store = calloc(1, sizeof(*store));

	if (!store)
		return -ENOMEM;
	*store = (struct store){ .vm = vm, .part = part, .bytes = bytes };
	vm_lock_init(&store->lock, VM_CLASS_STORE);
	vm->map = store;
	return 0;
}

int store_destroy(struct vm *vm)
{
	struct store *store = vm->map;

	if (!store)
		return 0;
	if (store->free_n != store->made)
		return -EBUSY;
	for (struct slab *slab = store->slabs, *next; slab; slab = next) {
		next = slab->next;
		free(slab);
		ledger_add(vm, store->part, -(int64_t)SLAB_BYTES);
	}
	vm_lock_fini(&store->lock);
	free(store);
	return 0;
}

/* Return: a slab for the ledger's sake, or NULL */
static struct slab *slab_new(struct store *store)
{
	struct slab *slab;

	if (!ledger_add(store->vm, store->part, SLAB_BYTES))
		return NULL;
	slab = aligned_alloc(SLAB_BYTES, SLAB_BYTES);
	if (!slab)
		ledger_add(store->vm, store->part, -(int64_t)SLAB_BYTES);
	return slab;
}

/* Holds: the store's lock. */
static void slab_carve(struct store *store, struct slab *slab)
{
	char *memory = (char *)slab;

	slab->next = store->slabs;
	store->slabs = slab;
	for (size_t at = store->bytes; at + store->bytes <= SLAB_BYTES; at += store->bytes) {
		struct block *block = (struct block *)(void *)(memory + at);

		block->next = store->free;
		store->free = block;
		store->free_n++;
		store->made++;
	}
}

/* From the store to the hand, until that has @n, or back. */
static void move_blocks(struct vm_thread *thread, unsigned n)
{
	struct store *store = thread->vm->map;
	struct hand *hand = hand_of(thread);

	vm_lock(&thread->held, &store->lock);
	for (; hand->n < n && store->free; hand->n++, store->free_n--) {
		struct block *block = store->free;

		store->free = block->next;
		block->next = hand->free;
		hand->free = block;
	}
	for (; hand->n > n; hand->n--, store->free_n++) {
		struct block *block = hand->free;

		hand->free = block->next;
		block->next = store->free;
		store->free = block;
	}
	vm_unlock(&thread->held, &store->lock);
}

/* No more than is of use. */
static void hand_trim(struct vm_thread *thread)
{
	struct hand *hand = hand_of(thread);

	if (hand->n > hand->wanted + 2 * HAND_KEEPS)
		move_blocks(thread, hand->wanted + HAND_KEEPS);
}

int store_thread_begin(struct vm_thread *thread)
{
	thread->map = calloc(1, sizeof(struct hand));
	return thread->map ? 0 : -ENOMEM;
}

void store_thread_end(struct vm_thread *thread)
{
	move_blocks(thread, 0);
	free(thread->map);
}

int store_fill(struct vm_thread *thread, unsigned adds)
{
	struct store *store = thread->vm->map;
	struct hand *hand = hand_of(thread);

	hand->wanted = adds;
	hand_trim(thread);
	if (hand->n < adds)
		move_blocks(thread, adds);
	while (hand->n < adds) {
		struct slab *slab = slab_new(store);

		if (!slab)
			return -ENOMEM;
		vm_lock(&thread->held, &store->lock);
		slab_carve(store, slab);
		vm_unlock(&thread->held, &store->lock);
		move_blocks(thread, adds);
	}
	return 0;
}

void *hand_take(struct vm_thread *thread)
{
	struct hand *hand = hand_of(thread);
	struct block *block = hand->free;

	vm_must(block);
	hand->free = block->next;
	hand->n--;
	return block;
}

void hand_give(struct vm_thread *thread, void *block)
{
	struct hand *hand = hand_of(thread);
	struct block *free = block;

	free->next = hand->free;
	hand->free = free;
	hand->n++;
	hand_trim(thread);
}
