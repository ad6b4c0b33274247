/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pool.h - taking, giving and retiring the memory of chains; what chain.c and page.c see of pool.c
 */
#ifndef RMAP_LIB_POOL_H
#define RMAP_LIB_POOL_H

#include "map.h"

int rmap_pool_init(struct rmap *map);

/* All chain memory must have been retired and must be free. Gives the slabs back. */
void rmap_pool_fini(struct rmap *map);

/*
 * Gives to the tier what is free in the depots and makes whole slabs, and what is large. Waits for grace periods, outside
 * any read-side section. No other sweep empties the depots before rmap_pool_sweep_end().
 */
void rmap_pool_sweep(struct rmap *map);
void rmap_pool_sweep_end(struct rmap *map);

/*
 * Is what the figures say in hand, waiting and free really there, and do all of them add up to what the tier gave? The map
 * must be quiescent, and nothing handed over may still wait.
 */
bool rmap_pool_check(struct rmap *map, const struct rmap_statistics *stats);

/* So many bytes wait: perhaps the most that ever did. */
static inline void rmap_pool_note_waiting(struct rmap *map, uint64_t waiting)
{
	if (waiting > load_rlx(&map->pool.peak))     /* RLX: a figure */
		store_rlx(&map->pool.peak, waiting); /* RLX: likewise; a lost race loses one sample */
}

/* Did @block come from this map? Inside a read-side section. Slow: for checked builds. */
bool rmap_pool_owns(const struct rmap *map, const struct block *block);

/*
 * A first block or a segment of one line out of the reserve, or NULL; its words are whatever they were. What was taken
 * and not published goes back with rmap_pool_put_*(). Wait-free.
 */
struct block *rmap_pool_take_block(struct rmap_reserve *reserve);
void rmap_pool_put_block(struct rmap_reserve *reserve, struct block *block);

/*
 * A segment whose slots are EMPTY: one of *class out of the depot, or a smaller one down to half of it, else one line in
 * hand; NULL if there is none. *class is set to what it is. rmap_pool_put_segment() wants it back EMPTY. Lock-free; more
 * than a line inside a read-side section only.
 */
struct segment *rmap_pool_take_segment(struct rmap_reserve *reserve, unsigned *class);
void rmap_pool_put_segment(struct rmap_reserve *reserve, struct segment *segment);

static inline bool rmap_pool_has_segment(const struct rmap_reserve *reserve)
{
	return reserve->lines.count > 0;
}

/*
 * Unlinked memory that readers may still hold: reused only after a grace period (G6). The caller is the only one that
 * retires it, and no operation that begins from now on can reach it. Wait-free but for the hand-over, which is
 * lock-free.
 */
void rmap_pool_retire_block(struct rmap_reserve *reserve, struct block *block);
void rmap_pool_retire_segment(struct rmap_reserve *reserve, struct segment *segment);

#endif
