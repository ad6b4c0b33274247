/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pool.h - taking, giving and retiring the memory of chains; what chain.c and page.c see of pool.c and hand.c
 */
#ifndef RMAP_LIB_POOL_H
#define RMAP_LIB_POOL_H

#include "map.h"

int rmap_pool_init(struct rmap *map);

/* All chain memory must have been retired and must be free. Gives the slabs back. */
void rmap_pool_fini(struct rmap *map);

/*
 * Gives to the tier what is free in the depots and makes whole slabs, and what is large. Waits for grace periods,
 * outside any read-side section. No other sweep empties the depots before rmap_pool_sweep_end().
 */
void rmap_pool_sweep(struct rmap *map);
void rmap_pool_sweep_end(struct rmap *map);

/* Begins a sweep if one is due, and does not wait for it. Outside read-side sections. */
void rmap_pool_sweep_if_due(struct rmap *map);

/* Waits until none runs. Outside read-side sections. */
void rmap_pool_sweep_wait(struct rmap *map);

/*
 * Is what the figures say in hand, waiting and free really there, and do all of them add up to what the tier gave? The
 * map must be quiescent, and nothing handed over may still wait.
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
 * A first block or a line out of the reserve, or NULL; a block's words are whatever they were, a line's are EMPTY. What
 * was taken and not published goes back with rmap_pool_put_*(). Wait-free.
 */
struct block *rmap_pool_take_block(struct rmap_reserve *reserve);
void rmap_pool_put_block(struct rmap_reserve *reserve, struct block *block);
uint64_t *rmap_pool_take_line(struct rmap_reserve *reserve);
void rmap_pool_put_line(struct rmap_reserve *reserve, uint64_t *line);

static inline bool rmap_pool_has_line(const struct rmap_reserve *reserve)
{
	return reserve->hand.lines > 0;
}

/*
 * What no add was promised: a block; a piece of so many lines, whose words are EMPTY. NULL: there is none. What was
 * taken and not published, or a part that nobody has seen, goes back. Lock-free; inside a read-side section.
 */
struct block *rmap_pool_take_spare(struct rmap_reserve *reserve);
uint64_t *rmap_pool_take_piece(struct rmap_reserve *reserve, unsigned lines);
void rmap_pool_put_piece(struct rmap_reserve *reserve, uint64_t *piece, unsigned lines);

/* A hint: is there such a piece? */
bool rmap_pool_has_piece(struct rmap_reserve *reserve, unsigned lines);

/*
 * Unlinked memory that readers may still hold: reused only after a grace period (G6). The caller is the only one that
 * retires it, and no operation that begins from now on can reach it. Wait-free but for the hand-over, which is
 * lock-free.
 *
 * @kind says what is behind a block, of so many bytes: SEALED: what slot 0 or 1 leads to, if one is a LINK. LINK: it
 * was a plan (leaf.c). A piece is one that nobody has seen, or one that is shut.
 */
void rmap_pool_retire_block(struct rmap_reserve *reserve, struct block *block, enum slot_kind kind, uint64_t behind);
void rmap_pool_retire_piece(struct rmap_reserve *reserve, uint64_t *piece, unsigned lines);

#endif
