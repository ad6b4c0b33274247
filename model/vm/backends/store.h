/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * store.h - where backends have their blocks from: slabs of a page, and what each thread has in hand
 *
 * A block of chain is needed under locks that spin, where nothing may wait for memory. So it is in hand before they are
 * taken (hand_fill), and what was not needed stays there or goes back. Slabs are not given back: their bytes are all
 * that the ledger has of a store.
 */
#ifndef VM_BACKENDS_STORE_H
#define VM_BACKENDS_STORE_H

#include "../backend.h"

/* A free one. */
struct block {
	struct block *next;
};

/* @part: of the ledger; @bytes: of a block, a multiple of its alignment. @lock: of all behind it */
struct store {
	struct vm *vm;
	unsigned part;
	size_t bytes;
	struct vm_lock lock;
	struct block *free;
	uint64_t free_n;
	uint64_t made;
	void *slabs;
};

/* A thread's own. @wanted: by the last fill */
struct hand {
	struct block *free;
	unsigned n;
	unsigned wanted;
};

void store_init(struct store *store, struct vm *vm, unsigned part, size_t bytes);
/* Return: -EBUSY: blocks are missing */
int store_fini(struct store *store);

/* At least so many blocks are in hand. Return: -ENOMEM */
int hand_fill(struct vm_thread *thread, struct store *store, struct hand *hand, unsigned n);
/* From a hand that was filled. */
void *hand_take(struct hand *hand);
void hand_give(struct vm_thread *thread, struct store *store, struct hand *hand, void *block);
/* All but @keeps go back. */
void hand_empty(struct vm_thread *thread, struct store *store, struct hand *hand, unsigned keeps);

#endif
