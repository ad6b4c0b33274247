/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * blocks.h - the map and the threads of peers that keep mappings in blocks of BLOCK_BYTES, which the includer defines
 *
 * Each thread has a free list, as kernels have one for each processor or a cache that was topped up beforehand, so
 * that no lock but the page's is taken. A block goes to the list of whoever frees it. Slabs are given back with the
 * map.
 */
#ifndef BENCH_BLOCKS_H
#define BENCH_BLOCKS_H

#include "threads.h"

#define SLAB_BLOCKS 64u
#define SLAB_BYTES (64u + (SLAB_BLOCKS * BLOCK_BYTES + 63u) / 64u * 64u)

struct block {
	struct block *next;
};

struct slab {
	struct slab *next;
	_Alignas(64) unsigned char blocks[];
};

struct thread {
	struct thread_own own;
	struct block *free;
	struct slab *slabs;
};

struct map {
	struct registry registry;
};

#include "registered.h"

static int map_close(struct map *map)
{
	for (struct thread_own *own = map->registry.threads; own; own = own->next) {
		for (struct slab *slab = ((struct thread *)own)->slabs, *after; slab; slab = after) {
			after = slab->next;
			free(slab);
		}
	}
	return registry_close(map);
}

static void slab_add(struct thread *thread)
{
	struct slab *slab = aligned_alloc(64, SLAB_BYTES);

	if (!slab)
		return;
	slab->next = thread->slabs;
	thread->slabs = slab;
	for (unsigned i = SLAB_BLOCKS; i-- > 0;) {
		struct block *block = (void *)(slab->blocks + i * BLOCK_BYTES);

		block->next = thread->free;
		thread->free = block;
	}
}

/* NULL if there is no memory. */
static inline void *block_take(struct thread *thread)
{
	if (!thread->free)
		slab_add(thread);
	struct block *block = thread->free;

	if (!block)
		return NULL;
	thread->free = block->next;
	thread->own.bytes += (int64_t)BLOCK_BYTES;
	return block;
}

static inline void block_give(struct thread *thread, void *memory)
{
	struct block *block = memory;

	block->next = thread->free;
	thread->free = block;
	thread->own.bytes -= (int64_t)BLOCK_BYTES;
}

static inline void section_begin(struct thread *thread, size_t adds)
{
	(void)thread;
	(void)adds;
}

static inline void section_end(struct thread *thread)
{
	(void)thread;
}

#endif
