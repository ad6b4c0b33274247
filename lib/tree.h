/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tree.h - the tree of ranges as object.c sees it
 */
#ifndef RMAP_LIB_TREE_H
#define RMAP_LIB_TREE_H

#include "nodes.h"

#include <rmap/object.h>

/* Items of a node at most, and at least in one that is not the root. The smaller a node, the sooner it splits. */
#define NODE_ITEMS (RMAP_CHECK ? 3u : 8u)
#define NODE_LEAST (RMAP_CHECK ? 2u : 3u)

/*
 * Of the 2^48 nodes that fit below 2^56 bytes, with so few items each; but for the root, which may have two. It is how
 * deep recursions go, too.
 */
#define NODE_LEVELS (RMAP_CHECK ? 48u : 31u)

#define KEYED_ANEW ((uint64_t)1)
#define KEYED_ONE ((uint64_t)2)
#define STAYS UINT64_MAX

/*
 * struct item - in a leaf a range; above it a child, with what keeps queries out of it
 * @keyed:    [ version that gave this range its key | KEYED_ANEW: by a split, move or resize; it had another, or may
 *            have had ]
 * @key:      nothing in the child is less: first, last, address and owner, where @range has them
 * @gone:     version from which on this range is not there any more, or STAYS. Stored under the mutex, loaded by anyone
 * @child:    address of the newest version of a node. Likewise
 * @max_last: largest range.last in the child. Likewise
 */
struct item {
	union {
		struct rmap_range range;
		struct {
			uint64_t key[4];
			uint64_t child;
		};
	};
	union {
		uint64_t keyed;
		uint64_t max_last;
	};
	uint64_t gone;
};

_Static_assert(offsetof(struct rmap_range, page_shift) == offsetof(struct item, child), "a child lies behind the key");

/*
 * struct node - once published it is fixed, but for children and summaries, @order, and @next
 *
 *      max_tagged =  largest range.last of those below that have a tag
 *      tags_any   =  all range.tags below, or-ed
 *      max_keyed  >= keyed of all below, in all versions up to the newest
 *
 * @level:    0: a leaf
 * @n:        of @items, which are ordered, when it was published
 * @order:    of a leaf that is published: which places of @items have a range, and the order of these. Stored under the
 *            mutex, loaded by anyone
 *
 *               63    60 59          4i+3  4i             3    0
 *             [ how many |  ...   | place of the i-th | ... |  of the first ]
 *
 * @version:  the update that built it
 * @previous: what readers of older versions find in its place; follows no further than the grace period lets it
 * @next:     in a list of nodes that an update replaced, or that are free; under the lock of whoever has the list
 */
struct node {
	uint32_t level;
	uint32_t n;
	uint64_t order;
	uint64_t version;
	struct node *previous;
	struct node *next;
	uint64_t max_tagged;
	uint64_t max_keyed;
	uint64_t tags_any;
	struct item items[NODE_ITEMS];
};

/*
 * struct update - one update in the making, in its thread's hands only
 * @version:  tells its nodes from published ones
 * @root:     address of the new tree's root, or 0. Its nodes of this version form its top
 * @ranges:   how many the new tree has
 * @stock:    nodes to build with, of @taken that the update was given; what is left goes back
 * @spares:   how many nodes it last had left free for borrowers (nodes.h)
 * @anew:     all its ranges are keyed anew, for it has some that go
 * @nowait:   it makes do with nodes that are free
 * @replaced: published nodes that the new tree does without
 */
struct update {
	struct rmap_object *object;
	struct rmap *map;
	uint64_t version;
	uint64_t root;
	uint64_t ranges;
	uint64_t taken;
	unsigned spares;
	bool anew;
	bool nowait;
	struct node_list stock;
	struct node_list replaced;
};

/*
 * What a query looks for.
 * @tags:  any of these; 0: whatever the tags
 * @since, @before: only ranges keyed from @since on, anew, and before @before, which comes before all versions that
 *                  are later than @version; a @since of 0: all before that
 */
struct query {
	uint64_t version;
	uint64_t first;
	uint64_t last;
	uint32_t tags;
	uint64_t since;
	uint64_t before;
	rmap_range_visit visit;
	void *arg;
};

/* The order of ranges: negative, 0 if one names the other, or positive. */
int rmap_range_compare(const struct rmap_range *a, const struct rmap_range *b);

bool rmap_range_is_valid(const struct rmap_range *range);

/* How many bytes @indexes take. False if that is too large a number. */
bool rmap_indexes_to_bytes(uint64_t indexes, uint32_t page_shift, uint64_t *bytes);

/* The node that @word names in @version; NULL: none. For readers. */
const struct node *rmap_tree_node(const uint64_t *word, uint64_t version);

/*
 * Visits what @query looks for, from the first range behind @after on; NULL: from the start. 0, or what visit()
 * returned.
 */
int rmap_tree_visit(const struct node *node, const struct query *query, const struct rmap_range *after);

/* For an updater: NULL, or what the tree of @root knows of @range. */
const struct item *rmap_tree_find(uint64_t root, const struct rmap_range *range);

/*
 * The same as an insertion and a removal, as the only change of an update, in the nodes that are there. False, and
 * nothing is done: it takes others, or is no change at all.
 */
bool rmap_tree_insert_in_place(struct update *update, const struct rmap_range *range, uint64_t keyed);
bool rmap_tree_remove_in_place(struct update *update, const struct rmap_range *range);

/* How many nodes an insertion into, or a removal from, the tree of @root may take out of the stock. */
unsigned rmap_tree_needs(uint64_t root);

/* 0, or -EEXIST: then the update cannot be published. */
int rmap_tree_insert(struct update *update, const struct rmap_range *range, uint64_t keyed);

/* 0, and @gone is what was known of @range; or -ENOENT. */
int rmap_tree_remove(struct update *update, const struct rmap_range *range, struct item *gone);

/* All changes are made. Puts them below *@root, where readers of versions before this one do not see them. */
void rmap_tree_publish(struct update *update, uint64_t *root);

/* No change is made: what the update built goes back into its stock. */
void rmap_tree_discard(struct update *update);

/* Takes the tree of @root, which nobody uses any more, apart into @list. */
void rmap_tree_take_apart(uint64_t root, struct node_list *list);

/*
 * Do order, fill and summaries hold in the tree of @node? Unless they are @exact, for an update may run, summaries may
 * say more than there is. Adds its ranges to *@ranges.
 */
bool rmap_tree_check(const struct node *node, uint64_t version, bool exact, uint64_t *ranges);

#endif
