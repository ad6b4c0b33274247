/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pool.h - taking, giving and retiring the memory of chains; what chain.c and page.c see of pool.c
 */
#ifndef RMAP_LIB_POOL_H
#define RMAP_LIB_POOL_H

#include "map.h"

int rmap_pool_init(struct rmap *map);

/* All chain memory must have been retired. Gives the slabs back. */
void rmap_pool_fini(struct rmap *map);

/* Did @block come from this map? Slow: for checked builds. */
bool rmap_pool_owns(const struct rmap *map, const struct block *block);

/*
 * A first block or a segment of one line out of the reserve, or NULL; its words are whatever they were. What was taken
 * and not published goes back with rmap_pool_put_*(). Wait-free.
 */
struct block *rmap_pool_take_block(struct rmap_reserve *reserve);
void rmap_pool_put_block(struct rmap_reserve *reserve, struct block *block);

/*
 * A segment whose slots are EMPTY: the large one in hand if its class is not above @class, else one line, and whatever
 * there is if there is no line; NULL if there is nothing. *class is set to what it is. rmap_pool_put_segment() wants it
 * back EMPTY.
 */
struct segment *rmap_pool_take_segment(struct rmap_reserve *reserve, unsigned *class);
void rmap_pool_put_segment(struct rmap_reserve *reserve, struct segment *segment);

static inline bool rmap_pool_has_segment(const struct rmap_reserve *reserve)
{
	return reserve->lines.count > 0 || reserve->large;
}

/*
 * Unlinked memory that readers may still hold: reused only after a grace period (G6). The caller is the only one that
 * retires it, and no operation that begins from now on can reach it. Wait-free but for the hand-over, which is
 * lock-free.
 */
void rmap_pool_retire_block(struct rmap_reserve *reserve, struct block *block);
void rmap_pool_retire_segment(struct rmap_reserve *reserve, struct segment *segment);

#endif
