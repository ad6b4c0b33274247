/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * chain.h - the elements behind a first block; what page.c and walk.c see of chain.c
 *
 * None of these functions changes the meta word: counting is page.c's. All run inside a read-side section, on a block
 * that was read from a page word with acquire order inside that section.
 */
#ifndef RMAP_LIB_CHAIN_H
#define RMAP_LIB_CHAIN_H

#include "map.h"

#include <rmap/page.h>

/*
 * Stores @entry (kind ENTRY) in a slot that needs no claim (claim.h), or adds its unit to an element that has its key and
 * room. The caller has counted it already, or holds another counted mapping of the page meanwhile, so the chain stays. 0;
 * -ENOMEM if a segment was needed and the reserve has none; -ENOENT if the chain has collapsed (the caller was wrong).
 * Lock-free.
 */
int rmap_chain_insert(struct rmap_reserve *reserve, struct block *block, uint64_t entry);

/* Takes one unit of @key out of such a slot. False: there is none. Lock-free. */
bool rmap_chain_take(struct rmap_reserve *reserve, struct block *block, uint64_t key);

/* Is there an element of @key, claimed or not? A hint where others take or move it meanwhile. */
bool rmap_chain_find(const struct rmap *map, struct block *block, uint64_t key);

static inline bool rmap_chain_has_segments(const struct block *block)
{
	/* RLX: a hint; who follows the link reads it anew. Who misses it leaves shrinking to the next remove. */
	return slot_kind(load_rlx(&block->slots[BLOCK_LINK])) == SLOT_LINK;
}

/* After a take: gives back a segment's memory, a line or two at a time, when there is too much. */
void rmap_chain_shrink(struct rmap_reserve *reserve, struct block *block);

/* Before an insert: empties two lines of the newest segment if it is closing. */
void rmap_chain_drain(struct rmap_reserve *reserve, struct block *block);

/* Retires @block, which the caller has unlinked from its page word, and its segments. */
void rmap_chain_retire(struct rmap_reserve *reserve, struct block *block);

/*
 * A place from which a scan may go on in another section. Depth counts segments from the oldest, 1, so that it stays true
 * while newer ones come and go; 0 is the first block. CHAIN_START is before everything.
 */
struct chain_position {
	uint64_t line;
	uint32_t depth;
	uint32_t slot;
};

#define CHAIN_START ((struct chain_position){ 0, UINT32_MAX, 0 })

/*
 * struct chain_scan - a scan of @block, in one section
 * @segment:      the one it is in. NULL: it is in the first block
 * @first:        an element that was in slot 2 and has not been stored yet, or 0
 * @line, @slot:  the next one
 */
struct chain_scan {
	struct block *block;
	struct segment *segment;
	uint64_t first;
	uint64_t line;
	uint32_t slot;
};

/* Prepares a scan that goes on @from there. */
void rmap_chain_scan(struct chain_scan *scan, struct block *block, struct chain_position from);

/* Stores elements (kind ENTRY) into @words, @room of them, at least one; fewer: they were the last. */
size_t rmap_chain_gather(struct chain_scan *scan, uint64_t *words, size_t room);

/* Behind what @scan has stored. */
struct chain_position rmap_chain_position(const struct chain_scan *scan);

/* Verifies a quiescent chain whose block has @meta, and adds its figures to @shape. 0, or -EINVAL. */
int rmap_chain_check(const struct rmap *map, struct block *block, uint64_t meta, struct rmap_shape *shape);

#endif
