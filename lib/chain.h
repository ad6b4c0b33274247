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
 * Stores @entry (kind ENTRY) in a slot that needs no claim (claim.h), or adds its unit to an element that has its key
 * and room. The caller has counted it already, or holds another counted mapping of the page meanwhile, so the chain
 * stays. 0; -ENOMEM if memory was needed and the reserve has none; -ENOENT if the chain has collapsed (the caller was
 * wrong). Lock-free.
 */
int rmap_chain_insert(struct rmap_reserve *reserve, struct block *block, uint64_t entry);

/* Takes one unit of @key out of such a slot. False: there is none. Lock-free. */
bool rmap_chain_take(struct rmap_reserve *reserve, struct block *block, uint64_t key);

/* Is there an element of @key, claimed or not? A hint where others take or move it meanwhile. */
bool rmap_chain_find(struct rmap_reserve *reserve, struct block *block, uint64_t key);

/* Has the line fetched into the cache that @key is in, or comes to: a hint. */
void rmap_chain_fetch(const struct rmap *map, const struct block *block, uint64_t key);

/* After a take of @key that set @reserve->thin: gives memory back if there is too much where it was. */
void rmap_chain_shrink(struct rmap_reserve *reserve, struct block *block, uint64_t key);

/* Retires @block, which the caller has unlinked from its page word, and all that it leads to. */
void rmap_chain_retire(struct rmap_reserve *reserve, struct block *block);

/*
 * A place from which a scan may go on in another section: in what slot 2 leads to (depth 1), after so many @units of
 * @hash and all smaller hashes; then at a slot of the first block (depth 0). CHAIN_START is before everything.
 */
struct chain_position {
	uint64_t hash;
	uint32_t depth;
	uint32_t units;
};

#define CHAIN_START ((struct chain_position){ 0, UINT32_MAX, 0 })
#define CHAIN_END ((struct chain_position){ 0, 0, BLOCK_LINK })

static inline bool chain_at_end(struct chain_position position)
{
	return position.depth == 0 && position.units == BLOCK_LINK;
}

/*
 * Stores the elements (kind ENTRY) from *@position on into @words, up to @room of them, and sets it behind them. 0:
 * none are left.
 */
size_t rmap_chain_gather(const struct rmap *map, struct block *block, struct chain_position *position, uint64_t *words,
			 size_t room);

/* Verifies a quiescent chain whose block has @meta, and adds its figures to @shape. 0, or -EINVAL. */
int rmap_chain_check(const struct rmap *map, struct block *block, uint64_t meta, struct rmap_shape *shape);

#endif
