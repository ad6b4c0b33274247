/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * walk.h - visiting every mapping of a page
 *
 * A walk covers the page's linear mappings (by stabbing the object's index: each range that covers the index is a
 * candidate; whether its pte is set the caller sees in the page table) and its chained ones. Locked mappings are only
 * counted: the walk says how many mappings it could not name.
 *
 * Two forms: rmap_walk() calls back inside the caller's read-side section; a cursor copies out a batch at a time, so
 * that the work on each batch may sleep.
 *
 * Guarantee G3, also across the batches of a cursor: every mapping that is present from beginning to end is visited at
 * least once. If a mapping moved meanwhile, the walk goes over the page again, and visits repeat. (Moves are noticed by
 * counters that pages share, so now and then another page's move is the reason.)
 *
 * Progress: lock-free; writers never wait for a walk. A walk starts over only when an rmap_page_move() got through.
 * Complexity: O(elements + slots) and the stab. Nothing is allocated.
 */
#ifndef RMAP_WALK_H
#define RMAP_WALK_H

#include <rmap/object.h>
#include <rmap/page.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * struct rmap_target - what to walk
 * @object: whose ranges may map the page linearly; NULL if none can
 * @index:  the page's index in @object
 */
struct rmap_target {
	const struct rmap_page *page;
	const struct rmap_object *object;
	uint64_t index;
};

/**
 * struct rmap_visit - one thing a walk found
 * @kind:    RMAP_CHAINED or RMAP_LINEAR
 * @count:   chained: how many mappings the element stands for (1 unless the map has multiplicity bits). linear: 1
 * @handle:  chained: the element's key. linear: 0
 * @address: linear: the address in @range that maps the page, if its pte is set. chained: 0
 * @range:   linear: a copy of the range. chained: zeroes
 */
struct rmap_visit {
	enum rmap_kind kind;
	uint32_t count;
	uint64_t handle;
	uint64_t address;
	struct rmap_range range;
};

/**
 * struct rmap_walk_summary - what a walk can say at its end
 * @chained:    chained mappings visited (sum of counts)
 * @candidates: ranges visited
 * @linear:     linear mappings counted: at most that many of the candidates have their pte set
 * @unnamed:    mappings counted that no walk can name: the locked ones, and those on their way in or out
 * @rounds:     1, or more if moves of mappings or ranges made it start over; the first two figures are of all rounds
 */
struct rmap_walk_summary {
	uint64_t chained;
	uint64_t candidates;
	uint32_t linear;
	uint32_t unnamed;
	uint32_t rounds;
};

/** A walk's visitor: 0 to go on, anything else ends the walk and is returned. @visit is valid during the call only. */
typedef int (*rmap_walk_visit)(void *arg, const struct rmap_visit *visit);

/**
 * rmap_walk - visit every mapping of a page
 * @visit:   called inside the read-side section, so it must not wait for a grace period. It may operate on pages
 * @summary: filled in if not NULL, also when @visit ended the walk
 * Context:  registered reader, inside a read-side section
 * Progress: lock-free
 * Ordering: acquire: a visited element's adder is ahead of the visit
 * Return:   0, or what @visit returned
 */
RMAP_API int rmap_walk(struct rmap *map, const struct rmap_target *target, rmap_walk_visit visit, void *arg,
		       struct rmap_walk_summary *summary);

/** struct rmap_range_position - how far a cursor has got among the ranges. All fields are the library's */
struct rmap_range_position {
	struct rmap_range after;
	uint64_t since;
	uint64_t next;
	uint32_t resumes;
	uint32_t late;
};

/**
 * struct rmap_cursor - a walk in batches, in the caller's memory. All fields are the library's
 */
struct rmap_cursor {
	struct rmap *map;
	struct rmap_target target;
	struct rmap_range_position ranges;
	uint64_t moves;
	uint64_t named_before;
	uint64_t line;
	uint32_t depth;
	uint32_t slot;
	uint32_t stage;
	struct rmap_walk_summary summary;
};

/**
 * rmap_cursor_init - begin a walk in batches
 * @target:  copied. The page and the object must stay until the cursor is no longer used
 * Context:  any
 */
RMAP_API void rmap_cursor_init(struct rmap_cursor *cursor, struct rmap *map, const struct rmap_target *target);

/**
 * rmap_cursor_next - copy out the next batch
 * @visits:  room for @n
 * Context:  registered reader; inside or outside a read-side section (it enters one of its own)
 * Progress: lock-free
 * Return:   how many were copied; 0 at the end, after which cursor->summary is complete
 */
RMAP_API size_t rmap_cursor_next(struct rmap_cursor *cursor, struct rmap_visit *visits, size_t n);

#ifdef __cplusplus
}
#endif
#endif
