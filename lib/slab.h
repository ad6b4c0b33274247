/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * slab.h - what pool.c, hand.c and sweep.c share: classes of memory, magazines, slabs
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

/* POISONS: something comes of it. */
#ifdef RMAP_EXPLORE
#define POISONS true
#define POISON(memory, bytes) explore_poison(memory, bytes)
#define UNPOISON(memory, bytes) explore_unpoison(memory, bytes)
#elif defined(RMAP_ASAN)
#include <sanitizer/asan_interface.h>
#define POISONS true
#define POISON(memory, bytes) ASAN_POISON_MEMORY_REGION(memory, bytes)
#define UNPOISON(memory, bytes) ASAN_UNPOISON_MEMORY_REGION(memory, bytes)
#else
#define POISONS false
#define POISON(memory, bytes) ((void)(memory), (void)(bytes))
#define UNPOISON(memory, bytes) ((void)(memory), (void)(bytes))
#endif

#define CLASS_BLOCK 0u
#define CLASS_LINE 1u

/*
 * Words of a block in a magazine: the second magazine and how many blocks, of the first one; and the next block, kind
 * SEALED, where a retired block has it, so that a list of retired blocks is a magazine. In a depot all else is poisoned
 * for ASan: of a first block its meta, of a piece what begins with word DEPOT_WORDS.
 */
enum { MAGAZINE_MAGAZINE = 1, MAGAZINE_COUNT, MAGAZINE_NEXT, DEPOT_WORDS };

_Static_assert(MAGAZINE_NEXT * sizeof(uint64_t) == offsetof(struct block, slots[BLOCK_RETIRED]),
	       "a list of retired blocks is a magazine");

static inline uint64_t *magazine_next(const uint64_t *block)
{
	return slot_pointer(load_rlx(&block[MAGAZINE_NEXT])); /* RLX: as whoever led to @block has ordered it */
}

static inline void magazine_link(uint64_t *block, const uint64_t *next)
{
	store_rlx(&block[MAGAZINE_NEXT], slot_from_pointer(next, SLOT_SEALED)); /* RLX: published by another store */
}

/* Slots of the first of several lines that are retired, both SEALED: how many there are, and the next such. */
enum { RETIRED_LINES = LINE_SLOTS - 2, RETIRED_NEXT };

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
	return class == CLASS_BLOCK ? sizeof(struct block) : (size_t)piece_lines(class - 1) * LINE_BYTES;
}

/* Gets a piece of memory of @class, which it may reuse. */
typedef void (*piece_sink)(void *arg, uint64_t *piece, unsigned class);

void rmap_tier_give(struct rmap *map, void *memory, size_t bytes);

/* @magazine, of @count blocks that nobody can have seen in a depot since a grace period began, is free. Lock-free. */
void rmap_depot_push(struct rmap *map, unsigned class, uint64_t *magazine, unsigned count);

/* The same of so many lines in a row, any number: as pieces. */
void rmap_depot_push_lines(struct rmap *map, uint64_t *lines, unsigned count);

/* A magazine, of *@count blocks; NULL: there is none. Lock-free; anywhere. */
uint64_t *rmap_depot_pop(struct rmap *map, unsigned class, unsigned *count);

/*
 * Up to *@count units of @unit bytes one behind the other, fresh out of the newest slab: *@count says how many. NULL:
 * the tier has no memory. Outside read-side sections; sleeps.
 */
void *rmap_carve(struct rmap *map, size_t unit, unsigned *count);

/*
 * What a fill for @adds adds needs besides what is in hand. 0; -ENOMEM; -EAGAIN: it is not free, and @sleeps is false,
 * so that nothing is carved.
 */
int rmap_hand_fill(struct rmap_reserve *reserve, unsigned adds, bool sleeps);

/* What rebuilds need, if there is memory. Outside read-side sections; sleeps. */
void rmap_hand_prepare(struct rmap_reserve *reserve);

/* Retires what is in hand beyond so many blocks and lines. Lock-free. */
void rmap_hand_keep(struct rmap_reserve *reserve, uint64_t blocks, uint64_t lines);

/* The same with what fills ask for. */
void rmap_hand_keep_asked(struct rmap_reserve *reserve);

#endif
