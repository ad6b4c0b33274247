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

/*
 * A thread's own. @wanted: by the last fill
 * @at: where a walk of its is (chains.h)
 */
struct hand {
	struct block *free;
	unsigned n;
	unsigned wanted;
	uint64_t *at;
};

static inline struct hand *hand_of(const struct vm_thread *thread)
{
	return thread->map;
}

/* Backend operations, of those whose vm->map is a store, and thread->map a hand. */
int store_create(struct vm *vm, unsigned part, size_t bytes);
int store_destroy(struct vm *vm);
int store_thread_begin(struct vm_thread *thread);
void store_thread_end(struct vm_thread *thread);
int store_fill(struct vm_thread *thread, unsigned adds);

/* From a hand that was filled; and back. */
void *hand_take(struct vm_thread *thread);
void hand_give(struct vm_thread *thread, void *block);

#endif
