/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * object.h - what the library's own files ask of an object beyond include/rmap/object.h
 */
#ifndef RMAP_LIB_OBJECT_H
#define RMAP_LIB_OBJECT_H

#include <rmap/object.h>

/*
 * Visits the ranges that overlap @like's first .. last and have any of its tags (0: whatever their tags), in the order
 * of (first, last, address, owner), from the one behind @after on; NULL: from the start. So a caller goes on after the
 * last range it was handed, which may be gone by now: @after need not be attached. But a range that was split, moved or
 * resized since may have changed its place in that order: *@changes is set by a query from the start, and a later one
 * that finds it different returns -ESTALE and visits nothing. As rmap_object_stab() in all else.
 */
int rmap_object_visit_after(const struct rmap_object *object, const struct rmap_range *like,
			    const struct rmap_range *after, uint64_t *changes, rmap_range_visit visit, void *arg);

/* When the map ends: nothing of it is in use. */
void rmap_spares_free(struct rmap *map);

#endif
