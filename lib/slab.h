/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * slab.h - what pool.c and sweep.c share: classes of memory, magazines, slabs
 */
#ifndef RMAP_LIB_SLAB_H
#define RMAP_LIB_SLAB_H

#include "map.h"

#if defined(__SANITIZE_ADDRESS__)
#define RMAP_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define RMAP_ASAN 1
#endif
#endif

#ifdef RMAP_EXPLORE
#define POISON(memory, bytes) explore_poison(memory, bytes)
#define UNPOISON(memory, bytes) explore_unpoison(memory, bytes)
#elif defined(RMAP_ASAN)
#include <sanitizer/asan_interface.h>
#define POISON(memory, bytes) ASAN_POISON_MEMORY_REGION(memory, bytes)
#define UNPOISON(memory, bytes) ASAN_UNPOISON_MEMORY_REGION(memory, bytes)
#else
#define POISON(memory, bytes) ((void)(memory), (void)(bytes))
#define UNPOISON(memory, bytes) ((void)(memory), (void)(bytes))
#endif

#define CLASS_BLOCK 0u
#define CLASS_LINE 1u

/* Words of the first block of a magazine. A block in the depot is poisoned for ASan from word DEPOT_WORDS on. */
enum { MAGAZINE_NEXT, MAGAZINE_MAGAZINE, MAGAZINE_COUNT, DEPOT_WORDS };

/* Kinds of what a sweep sorts: the class of a piece, and these of the heads of slabs. */
enum { KIND_SLAB = SLOT_CLASSES, KIND_GONE };

/*
 * struct slab - the head of a slab, in the slab itself; one line, so that what follows is aligned
 * @next:   the next older slab
 * @link, @kind: a sweep's, where free pieces have them, too (sweep.c)
 * @carved: bytes of the pieces that were carved out of it; under the pool's lock
 */
struct slab {
	uint64_t next;
	uint64_t link;
	uint64_t kind;
	uint64_t carved;
};

_Static_assert(sizeof(struct slab) <= LINE_BYTES, "a slab's head fits its first line");

static inline size_t class_bytes(unsigned class)
{
	return class == CLASS_BLOCK ? sizeof(struct block) : segment_bytes(class - 1);
}

static inline size_t class_align(unsigned class)
{
	return class == CLASS_BLOCK ? sizeof(struct block) : class == CLASS_LINE ? LINE_BYTES : 2 * LINE_BYTES;
}

/* Is @class given back to the tier piece by piece, rather than carved out of slabs? */
static inline bool class_is_large(const struct rmap *map, unsigned class)
{
	return class_bytes(class) > (map->tier.granule - LINE_BYTES) / 2;
}

void rmap_tier_give(struct rmap *map, void *memory, size_t bytes);

/* @magazine, of @count blocks that nobody can have seen in a depot since a grace period began, is free. Lock-free. */
void rmap_depot_push(struct rmap *map, unsigned class, uint64_t *magazine, unsigned count);

#endif
