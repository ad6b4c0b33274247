/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * object.h - what the library's own files ask of an object beyond include/rmap/object.h
 */
#ifndef RMAP_LIB_OBJECT_H
#define RMAP_LIB_OBJECT_H

#include <rmap/object.h>

/*
 * As rmap_object_stab(), but only ranges ordered after @after by (first, last, address, owner), in that order; NULL:
 * from the start. A cursor goes on after the last range it handed out, which may be gone by now: @after need not be
 * attached. But a range that was split, moved or resized since may have changed its place in that order: *@changes is
 * set by a query from the start, and a later one that finds it different returns -ESTALE and visits nothing.
 * O(log n + k log(n / k)) for the k ranges visited.
 */
int rmap_object_stab_after(const struct rmap_object *object, uint64_t index, const struct rmap_range *after,
			   uint64_t *changes, rmap_range_visit visit, void *arg);

#endif
