/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * walk.h - visiting every mapping of a page
 *
 * A walk covers the page's linear mappings (by asking the object's index: each range that covers an index of the page
 * is a candidate; whether ptes are set there the caller sees in the page table) and its chained ones. No range is asked
 * if the counts say that no mapping is linear or locked; nor if the page has one mapping alone that is named (page.h),
 * whose name is handed over instead. Locked mappings are only counted: the walk says how many mappings it could not
 * name.
 *
 * A page may have several indexes (a folio, a huge page), first .. last, and a range may cover only some of them: a
 * visit says which part of the page its range covers, and where that part lies. A page of one index has first = last.
 *
 * Three forms of one walk:
 *
 *   rmap_walk_batches()   arrays of up to RMAP_VISITS_MAX visits, a word each, inside the caller's read-side section:
 *                         the fastest. Ends behind any batch, to be gone on with there, perhaps in another section
 *   rmap_walk()           a call for each mapping, inside the caller's section
 *   rmap_cursor_next()    copies of a batch's visits, so that the work on them may sleep
 *
 * A section that lasts long keeps retired memory of the whole map waiting: a page that is mapped a hundred thousand
 * times is better walked in several, each for a few batches.
 *
 * What a batch says was so when it was read, since the visitor last returned; meanwhile mappings come and go, and those
 * that the visitor itself takes or moves may yet be handed to it. A batch has visits of one kind, those of ranges or a
 * name come first, and the chain is read when the last of these has been looked at: so a linear mapping that becomes
 * chained (page.h) is found at its old pte or in the chain. Otherwise no order is promised.
 *
 * Guarantee G3, also across the batches of a cursor: every mapping that is present from beginning to end is visited at
 * least once; a linear one of several indexes at each of these, in one visit, or in several if its range was split. A
 * mapping that moves may come to be behind the walk when its old place, still ahead, is empty; so if one of this page
 * did, the walk goes over the page again, a *round* more, and visits repeat. Moves of other pages and updates of ranges
 * are no reason for a round (but for a collision of hashes, one in 2^20, and for a walk that is held up while so many
 * others move that the map's log of moves loses them).
 *
 * Rounds have a limit, cursor->rounds_max: a page whose mappings others move all the time cannot keep a walk for ever.
 * A walk that meets it ends and says so; then what stayed in its place has been visited, and what moved perhaps not.
 *
 * A walker that moves mappings of the page itself, from its visitor or between batches, names the reserve it does so
 * with as cursor->mover. Its own moves are no reason for a round; it knows what it moved, and where. A mapping that it
 * moves to a place ahead of the walk may be visited there, too, but a round comes to each place once: it ends however
 * often a mapping is moved on. If the walker does not name its reserve, each such move is one as by others; so are
 * those by a reserve that was made while the map had 4,095 others.
 *
 * Progress: lock-free; writers never wait for a walk. A round takes time by what is in the page, whatever others do.
 * Complexity: O(elements + slots) and the stab, for each round. Nothing is allocated.
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
 * @object:       whose ranges may map the page linearly; NULL if none can
 * @first, @last: the page's indexes in @object, both included, fewer than 2^32. A part of them asks for the linear
 *                mappings of that part; chained ones are of the page, and all visited
 */
struct rmap_target {
	const struct rmap_page *page;
	const struct rmap_object *object;
	uint64_t first;
	uint64_t last;
};

/**
 * struct rmap_visit - one thing a walk found
 * @kind:    RMAP_CHAINED, RMAP_LINEAR or RMAP_NAMED
 * @count:   chained: how many mappings the element stands for (1 unless the map has multiplicity bits). linear: how
 *           many of the target's indexes @range covers. named: 1
 * @handle:  chained: the element's key. named: the mapping's handle. linear: 0
 * @address: linear: where @range maps the first of these indexes, rmap_range_index(range, address); the others follow.
 *           Their ptes map the page, if they are set. Otherwise 0
 * @range:   linear: a copy of the range. Otherwise zeroes
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
 * @candidates: ranges visited, and names
 * @linear:     linear mappings counted: at most that many of the candidates are mapped there, or where each pte counts
 *              as one (page.h), at most that many ptes of all of them together
 * @unnamed:    mappings counted in the end that were not visited: the locked ones, those on their way in or out, and,
 *              less exactly, what came behind the walk; what it visited and was removed since makes up for others
 * @rounds:     1, or more if moves of the page's mappings, or of ranges that cover it, made it look again; the first
 *              two figures are of all rounds
 * @complete:   1 if every mapping that was there from beginning to end, and not locked where no range finds it, was
 *              visited (G3); 0 if the limit of rounds came first, or before the end
 */
struct rmap_walk_summary {
	uint64_t chained;
	uint64_t candidates;
	uint32_t linear;
	uint32_t unnamed;
	uint32_t rounds;
	uint32_t complete;
};

/** How many visits are handed over at once, at most. */
#define RMAP_VISITS_MAX 512u

/**
 * struct rmap_visits - a batch of visits, a word each
 * @kind:  of all of them
 * @n:     1 .. RMAP_VISITS_MAX
 * @words: @n of them, for the functions below
 * @low:   chained: the bits of a word that hold its count, less 1, from bit 3 on. Otherwise 0
 * @first, @last: the target's
 */
struct rmap_visits {
	enum rmap_kind kind;
	size_t n;
	const uint64_t *words;
	uint64_t low;
	uint64_t first;
	uint64_t last;
};

/**
 * What a struct rmap_visit says, of visit @i of a batch. Context: while the batch is valid
 *
 * rmap_visits_handle - chained and named ones only
 * rmap_visits_range  - linear ones only; valid as long as the batch
 * rmap_visits_index  - linear ones only: the first of the target's indexes that the range covers
 * rmap_visits_count  - of any kind
 * rmap_visits_get    - all of it, into *@visit
 */
static inline uint64_t rmap_visits_handle(const struct rmap_visits *visits, size_t i)
{
	return visits->words[i] & ~(visits->low | 7);
}

static inline const struct rmap_range *rmap_visits_range(const struct rmap_visits *visits, size_t i)
{
	return (const struct rmap_range *)(uintptr_t)visits->words[i];
}

static inline uint64_t rmap_visits_index(const struct rmap_visits *visits, size_t i)
{
	const struct rmap_range *range = rmap_visits_range(visits, i);

	return range->first > visits->first ? range->first : visits->first;
}

static inline uint32_t rmap_visits_count(const struct rmap_visits *visits, size_t i)
{
	const struct rmap_range *range;

	if (visits->kind != RMAP_LINEAR)
		return (uint32_t)((visits->words[i] & visits->low) >> 3) + 1;
	range = rmap_visits_range(visits, i);
	return (uint32_t)((range->last < visits->last ? range->last : visits->last) - rmap_visits_index(visits, i)) + 1;
}

static inline void rmap_visits_get(const struct rmap_visits *visits, size_t i, struct rmap_visit *visit)
{
	const struct rmap_visit empty = { visits->kind, rmap_visits_count(visits, i), 0, 0, { 0, 0, 0, 0, 0, 0 } };

	*visit = empty;
	if (visits->kind != RMAP_LINEAR) {
		visit->handle = rmap_visits_handle(visits, i);
	} else {
		visit->range = *rmap_visits_range(visits, i);
		visit->address = rmap_range_address(&visit->range, rmap_visits_index(visits, i));
	}
}

/** A visitor of mappings: 0 to go on, else the walk ends and returns that. @visit is valid during the call only. */
typedef int (*rmap_walk_visit)(void *arg, const struct rmap_visit *visit);

/** A visitor of batches: 0 to go on, else the call ends and returns that. @visits is valid during the call only. */
typedef int (*rmap_walk_visits)(void *arg, const struct rmap_visits *visits);

/** How many rounds a walk makes at most unless it is told otherwise. */
#define RMAP_WALK_ROUNDS 64u

/**
 * rmap_walk - visit every mapping of a page, with RMAP_WALK_ROUNDS rounds at most and no mover
 * @visit:   called inside the read-side section, so it must not wait for a grace period. It may operate on pages, this
 *           one too
 * @summary: filled in if not NULL, also when @visit ended the walk
 * Context:  registered reader, inside a read-side section
 * Progress: lock-free
 * Ordering: acquire: a visited element's adder is ahead of the visit
 * Return:   0; -EAGAIN: the limit of rounds came first (walk.h above); what @visit returned, which had better not be
 *           that; summary->complete tells the two apart
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
 * struct rmap_cursor - a walk in the caller's memory, of which any call may do a part
 * @mover:      NULL, or the reserve with which the walker moves mappings of the page; nobody else uses it meanwhile
 * @words:      NULL, or room for a batch of @room visits, 1 .. RMAP_VISITS_MAX, which calls use instead of their stack
 *              (4 KB, or what lib/env.h was told). With less than 256, or 512 in a map with multiplicity, long chains
 *              take many times as long
 * @rounds_max: at least 1; UINT32_MAX: as many as it takes
 * @summary:    of what was done so far; complete at the end
 *
 * Those before @summary may be set after rmap_cursor_init() and before the walk begins. All behind it are the
 * library's.
 */
struct rmap_cursor {
	const struct rmap_reserve *mover;
	uint64_t *words;
	uint32_t room;
	uint32_t rounds_max;
	struct rmap_walk_summary summary;
	struct rmap *map;
	struct rmap_target target;
	struct rmap_range_position ranges;
	uint64_t moves;
	uint64_t own_moves;
	uint64_t named_before;
	uint64_t hash;
	uint32_t depth;
	uint32_t units;
	uint32_t stage;
	uint32_t again;
};

/**
 * rmap_cursor_init - begin a walk
 * @target:  copied; last >= first. The page and the object must stay until the cursor is no longer used
 * Context:  any
 */
RMAP_API void rmap_cursor_init(struct rmap_cursor *cursor, struct rmap *map, const struct rmap_target *target);

/**
 * rmap_walk_batches - hand all that is left to a visitor, in batches
 * @visit:   called inside the read-side section, so it must not wait for a grace period. It may operate on pages, this
 *           one too, but not on the cursor. A batch that it ends the call with has been visited
 * Context:  registered reader, inside a read-side section
 * Progress: lock-free; what it takes between two calls of @visit is bounded by the page's elements and slots
 * Ordering: acquire: the adder of each mapping in a batch is ahead of the visitor
 * Return:   0; -EAGAIN: the limit of rounds came first (walk.h above). In both cases it is the end. Or what @visit
 *           returned, which had better be neither: whoever goes on, with this or with rmap_cursor_next(), perhaps in
 *           another section, gets what is behind that batch
 */
RMAP_API int rmap_walk_batches(struct rmap_cursor *cursor, rmap_walk_visits visit, void *arg);

/**
 * rmap_cursor_next - copy out the next batch
 * @visits:  room for @n
 * Context:  registered reader; inside or outside a read-side section (it enters one of its own)
 * Progress: lock-free
 * Return:   how many were copied, at most @n and RMAP_VISITS_MAX. Fewer are not the end: 0 is, if @n is not 0; before
 *           that the walk goes on, so what moves while its caller looks at the last ones is a reason for a round
 */
RMAP_API size_t rmap_cursor_next(struct rmap_cursor *cursor, struct rmap_visit *visits, size_t n);

/** rmap_cursor_at_end - has a call found no more, so that cursor->summary is final? Context: any */
RMAP_API int rmap_cursor_at_end(const struct rmap_cursor *cursor);

#ifdef __cplusplus
}
#endif
#endif
