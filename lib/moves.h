/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * moves.h - which pages' mappings moved lately, or move: page.c writes it down, walk.c looks it up
 */
#ifndef RMAP_LIB_MOVES_H
#define RMAP_LIB_MOVES_H

#include "map.h"

#include <rmap/walk.h>

/* Gives the reserve of a mover its number, or 0 if all are taken: then its moves are nobody's. Under the map's lock. */
void rmap_moves_enter(struct rmap_reserve *reserve);
void rmap_moves_leave(const struct rmap_reserve *reserve);

/* A mapping of @page moves: after the new place can be found, before the old one cannot. Lock-free. */
void rmap_moves_note(struct rmap_reserve *reserve, const struct rmap_page *page);

/* A walk begins. */
void rmap_moves_begin(struct rmap_cursor *cursor);

/*
 * Since @cursor looked last, has a mapping of its page moved, and not by the walk's own mover? True also if that may
 * be: what was written down is gone. Wait-free.
 */
bool rmap_moves_since(struct rmap_cursor *cursor);

/* Around a move of a mapping of @page that is linear or locked into its chain, or back. Wait-free. */
void rmap_crossing_begin(struct rmap *map, const struct rmap_page *page);
void rmap_crossing_end(struct rmap *map, const struct rmap_page *page);

/*
 * How many crossings have ended, and begun, of @page and of others. If both are the same, read one before and the other
 * behind something, then none of this page was under way when that was read.
 */
uint64_t rmap_crossings_ended(struct rmap *map, const struct rmap_page *page);
uint64_t rmap_crossings_begun(struct rmap *map, const struct rmap_page *page);

#endif
