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

void store_init(struct store *store, struct vm *vm, unsigned part, size_t bytes)
{
	*store = (struct store){ .vm = vm, .part = part, .bytes = bytes };
	vm_lock_init(&store->lock, VM_CLASS_STORE);
}

int store_fini(struct store *store)
{
	if (store->free_n != store->made)
		return -EBUSY;
	for (struct slab *slab = store->slabs, *next; slab; slab = next) {
		next = slab->next;
		free(slab);
		ledger_add(store->vm, store->part, -(int64_t)SLAB_BYTES);
	}
	vm_lock_fini(&store->lock);
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

static void blocks_take(struct vm_thread *thread, struct store *store, struct hand *hand, unsigned n)
{
	vm_lock(&thread->held, &store->lock);
	while (hand->n < n && store->free) {
		struct block *block = store->free;

		store->free = block->next;
		store->free_n--;
		block->next = hand->free;
		hand->free = block;
		hand->n++;
	}
	vm_unlock(&thread->held, &store->lock);
}

int hand_fill(struct vm_thread *thread, struct store *store, struct hand *hand, unsigned n)
{
	hand->wanted = n;
	if (hand->n > n + 2 * HAND_KEEPS)
		hand_empty(thread, store, hand, n + HAND_KEEPS);
	if (hand->n < n)
		blocks_take(thread, store, hand, n);
	while (hand->n < n) {
		struct slab *slab = slab_new(store);

		if (!slab)
			return -ENOMEM;
		vm_lock(&thread->held, &store->lock);
		slab_carve(store, slab);
		vm_unlock(&thread->held, &store->lock);
		blocks_take(thread, store, hand, n);
	}
	return 0;
}

void *hand_take(struct hand *hand)
{
	struct block *block = hand->free;

	vm_must(block);
	hand->free = block->next;
	hand->n--;
	return block;
}

void hand_give(struct vm_thread *thread, struct store *store, struct hand *hand, void *block)
{
	struct block *free = block;

	free->next = hand->free;
	hand->free = free;
	hand->n++;
	if (hand->n > hand->wanted + 2 * HAND_KEEPS)
		hand_empty(thread, store, hand, hand->wanted + HAND_KEEPS);
}

void hand_empty(struct vm_thread *thread, struct store *store, struct hand *hand, unsigned keeps)
{
	vm_lock(&thread->held, &store->lock);
	while (hand->n > keeps) {
		struct block *block = hand->free;

		hand->free = block->next;
		hand->n--;
		block->next = store->free;
		store->free = block;
		store->free_n++;
	}
	vm_unlock(&thread->held, &store->lock);
}
