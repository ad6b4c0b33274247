/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * moves.h - which pages' mappings moved lately: page.c writes it down, walk.c looks it up
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

#endif
