/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * object.h - what linear ranges belong to, and which of them cover a page index
 *
 * An object is a file's address space, or the anonymous memory of one fork family. A range is the linear part of a vma:
 * it maps the page indexes first .. last at address, address + 2^page_shift, ... The index answers a stab query, "which
 * ranges cover index i?", for readers that are never blocked. Ranges are values: the library keeps copies and hands out
 * copies, so nothing of the embedder's has to outlive a walk but what @owner names.
 *
 * The index is a B-tree of which a query sees one version: what is attached or detached bears the version that it is
 * there from, or gone from; other updates copy the nodes that they change; and each is published by one store. A reader
 * therefore sees every update whole: a split, a move or a growth never shows a moment at which neither the old range
 * nor the new one is there; nor does a list of changes, such as a fork's or an exit's, show a part of it.
 *
 * Complexity: update O(log n), a replacement by m ranges or a list of m changes O(m log n); stab, and tagged if no
 * other tags are about, O(log n + k) for k ranges found next to each other, O(log n + k log(n / k)) at worst; and
 * O(log n) more for each change that was published since the query began. Ranges whose tags are not asked for may cost
 * a tagged query O(log n) each, if they overlap first .. last.
 * Memory: nodes of 512 bytes, of 3 to 8 ranges each: some 110 bytes a range, 130 after many updates, 160 where most
 * have gone, 256 at most; and a node for an object that has few ranges or had any. Nodes that updates have replaced
 * wait for a grace period and are then kept for the next ones: of each a fourth of what the map's objects have (at
 * least 96, at most half of waiting_max), of which an rmap_reserve_drain() gives back all but O(log n) nodes for the
 * largest object (detach).
 *
 * Not for: mapping counts (page.h), or finding a vma by address (the embedder's own tree).
 */
#ifndef RMAP_OBJECT_H
#define RMAP_OBJECT_H

#include <rmap/rmap.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * struct rmap_range - the linear part of a vma
 * @first, @last: the page indexes it covers, both included
 * @address:      bytes; where @first is mapped
 * @owner:        the embedder's name for the mm or vma: a pointer or a number
 * @page_shift:   log2 of the bytes between two page indexes, 0 .. 63
 * @tags:         any bits; tell ranges apart that need a search, such as RMAP_RANGE_NONLINEAR
 *
 * Two ranges of one object may overlap, but must differ in first, last, address or owner.
 */
struct rmap_range {
	uint64_t first;
	uint64_t last;
	uint64_t address;
	uint64_t owner;
	uint32_t page_shift;
	uint32_t tags;
};

/** The tag of a range that may hold nonlinear mappings (remap_file_pages). */
#define RMAP_RANGE_NONLINEAR 1u

/** rmap_range_covers - does @range cover @index? */
static inline int rmap_range_covers(const struct rmap_range *range, uint64_t index)
{
	return range->first <= index && index <= range->last;
}

/** rmap_range_address - the linear address of @index, which @range must cover */
static inline uint64_t rmap_range_address(const struct rmap_range *range, uint64_t index)
{
	return range->address + ((index - range->first) << range->page_shift);
}

/** rmap_range_index - the index whose linear address is @address; the inverse. @address must lie within the range */
static inline uint64_t rmap_range_index(const struct rmap_range *range, uint64_t address)
{
	return range->first + ((address - range->address) >> range->page_shift);
}

/** rmap_range_is_linear - is @address the linear address of @index in @range? If so the mapping need only be counted */
static inline int rmap_range_is_linear(const struct rmap_range *range, uint64_t index, uint64_t address)
{
	return rmap_range_covers(range, index) && rmap_range_address(range, index) == address;
}

/**
 * rmap_object_create - make an object without ranges
 * @out:     set on success
 * Context:  any; may sleep
 * Return:   0; -EINVAL (@map or @out NULL); -ENOMEM (G9)
 */
RMAP_API int rmap_object_create(struct rmap *map, struct rmap_object **out);

/**
 * rmap_object_destroy - end an object and its ranges
 * @object:  NULL is allowed and does nothing
 * Context:  registered reader, outside any read-side section. No walk over this object may begin any more and no update
 *           may run; readers that began before are waited for by RCU
 */
RMAP_API void rmap_object_destroy(struct rmap_object *object);

/**
 * struct rmap_change - a change for rmap_object_update(): @with[0] .. @with[@n - 1] come in the place of @range
 * @range: names a range that goes; NULL: none does
 * @with:  not looked at if @n is 0, and then there must be a @range
 * @error: set by the update: why this change failed; 0 in all others
 *
 * So { NULL, range, 1 } attaches, { range, NULL, 0 } detaches, and { range, with, n } replaces.
 */
struct rmap_change {
	const struct rmap_range *range;
	const struct rmap_range *with;
	size_t n;
	int error;
};

/**
 * The updates. Each is serialised with other updates of the object by a mutex and takes effect for readers in one step.
 * @range:   names a range that was attached: its first, last, address and owner are compared
 * Context:  registered reader, outside any read-side section; may sleep, and waits for a grace period while more than
 *           the options' waiting_max bytes wait for one, or if it leaves more nodes waiting than above
 * Ordering: release: a reader that sees the update sees what its caller did before
 * Reclaim:  replaced nodes serve other updates after a grace period
 * Return:   0; -ENOENT (no such range); -EEXIST (an equal one is there); -EINVAL (last < first, an address that
 *           overflows, a page_shift over 63, or a place outside the range); -ENOMEM (G9; not from a detach). Nothing is
 *           changed on error
 *
 * rmap_object_attach  - a vma begins to map the object
 * rmap_object_detach  - a vma no longer does. Does not fail for want of memory, as an exit cannot: then it waits for
 *                       grace periods
 * rmap_object_split   - @range becomes first .. @index - 1 and @index .. last, at the addresses they have
 * rmap_object_move    - @range now lies at @address (mremap). A walk that was handed it before may not be handed it
 *                       again: where that must not miss them, rmap_page_move() tells of each page's linear mapping, too
 * rmap_object_resize  - @range now covers @first .. @last: indexes that remain keep their addresses (grow, trim)
 * rmap_object_tag     - @range gets exactly @tags
 * rmap_object_replace - @with[0] .. @with[@n - 1], at least one, in the place of @range. For what the others do not
 *                       say, such as a split at a pte inside a page, after which both parts cover that page's index
 * rmap_object_update  - @changes[0] .. @changes[@n - 1], as if made one after the other, in one step: all or nothing. A
 *                       list that names neighbours one after the other takes the least time. What else would be -ENOMEM
 *                       is not for a list that only detaches: without memory its changes are made one by one, and
 *                       queries may see some of them before others; if one fails then, those before it were made
 */
RMAP_API int rmap_object_update(struct rmap_object *object, struct rmap_change *changes, size_t n);
RMAP_API int rmap_object_attach(struct rmap_object *object, const struct rmap_range *range);
RMAP_API int rmap_object_detach(struct rmap_object *object, const struct rmap_range *range);
RMAP_API int rmap_object_split(struct rmap_object *object, const struct rmap_range *range, uint64_t index);
RMAP_API int rmap_object_move(struct rmap_object *object, const struct rmap_range *range, uint64_t address);
RMAP_API int rmap_object_resize(struct rmap_object *object, const struct rmap_range *range, uint64_t first,
				uint64_t last);
RMAP_API int rmap_object_tag(struct rmap_object *object, const struct rmap_range *range, uint32_t tags);
RMAP_API int rmap_object_replace(struct rmap_object *object, const struct rmap_range *range,
				 const struct rmap_range *with, size_t n);

/**
 * rmap_object_detach_nowait - a vma no longer maps the object, where nobody may wait: inside a read-side section, in an
 * RCU callback
 * @range:   as for the updates
 * Context:  registered reader, anywhere but under a spinlock and in an interrupt. Waits neither for a grace period, nor
 *           for memory, nor for another update; it takes a lock that is held for a bounded time only
 * Ordering: as for the updates
 * Reclaim:  as for the updates. Who calls only this is not held back: what it leaves may be more than waiting_max
 * Return:   0; -ENOENT; -EINVAL; -EAGAIN, and nothing is changed: another update of the object is under way, or too few
 *           nodes are free. rmap_object_detach(), where that may wait, will do
 */
RMAP_API int rmap_object_detach_nowait(struct rmap_object *object, const struct rmap_range *range);

/** A range visitor: 0 to go on, anything else ends the query and is returned. @range is valid during the call only. */
typedef int (*rmap_range_visit)(void *arg, const struct rmap_range *range);

/**
 * rmap_object_stab   - visit every range that covers @index
 * rmap_object_tagged - visit every range that has any of @tags, among those that overlap first .. last
 * Context:  registered reader, inside a read-side section
 * Progress: wait-free: of what changes meanwhile a query knows what was there before
 * Ordering: acquire. The query sees all updates of one moment and none later
 * Return:   0, or what the visitor returned
 */
RMAP_API int rmap_object_stab(const struct rmap_object *object, uint64_t index, rmap_range_visit visit, void *arg);
RMAP_API int rmap_object_tagged(const struct rmap_object *object, uint32_t tags, uint64_t first, uint64_t last,
				rmap_range_visit visit, void *arg);

/**
 * rmap_object_ranges - how many ranges are attached. Context: as for a stab. Progress: wait-free
 *
 * A count for itself: beside updates it may be ahead of what a query shows, but not behind what one has shown.
 */
RMAP_API uint64_t rmap_object_ranges(const struct rmap_object *object);

/**
 * The truncate sequence: closes the window in which a faulter holds a page but has not set its pte.
 *
 *      faulter                                            truncate
 *      seq = rmap_object_truncate_seq(object)             set the new end
 *      check the end, find the page                       rmap_object_truncate_advance(object)
 *      lock the pte                                       lock ptes, clear mappings
 *      if rmap_object_truncate_seq(object) != seq: undo and start over
 *      set the pte, rmap_page_add(), unlock the pte
 *
 * Context: any
 * rmap_object_truncate_seq     - Ordering: acquire. Progress: wait-free
 * rmap_object_truncate_advance - Ordering: acquire and release. Progress: wait-free
 */
RMAP_API uint64_t rmap_object_truncate_seq(const struct rmap_object *object);
RMAP_API void rmap_object_truncate_advance(struct rmap_object *object);

/**
 * rmap_object_check - verify order, balance and summaries of the index
 * Context:  registered reader, inside a read-side section
 * Return:   0; -EINVAL if an equation does not hold (named on standard error)
 */
RMAP_API int rmap_object_check(const struct rmap_object *object);

#ifdef __cplusplus
}
#endif
#endif
