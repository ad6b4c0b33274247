/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tree.h - the tree of ranges as object.c sees it
 */
#ifndef RMAP_LIB_TREE_H
#define RMAP_LIB_TREE_H

#include <rmap/object.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RANGE_ALIGN 16u

#define KEYED_ANEW ((uint64_t)1)
#define KEYED_ONE ((uint64_t)2)

/*
 * struct node - one range. Fixed once published, but for the two words that only updates touch, under the mutex
 *
 *      size     = 1 + size of both children
 *      max_last = largest range.last of the subtree
 *      max_tagged = largest range.last of those in the subtree that have a tag
 *      max_keyed = largest keyed of the subtree
 *      tags_any = all range.tags of the subtree, or-ed
 *
 * @keyed: [ number of the update that gave this range its key | KEYED_ANEW: by a split, move or resize; it had another ]
 * @serial: the update that built it
 * @next:   the update's list of replaced nodes, or the map's of spares. Left over from a failed update in nodes that stayed
 */
struct node {
	struct node *child[2];
	struct rmap_range range;
	uint64_t keyed;
	uint64_t max_last;
	uint64_t max_tagged;
	uint64_t max_keyed;
	uint64_t size;
	uint32_t tags_any;
	uint64_t serial;
	struct node *next;
};

_Static_assert(sizeof(struct node) <= 120, "object.h promises at most 120 bytes a range");

/*
 * struct update - one update in the making, in its thread's hands only
 * @serial:   tells its nodes from those of earlier updates
 * @root:     the new tree. Its nodes of this update's serial form its top: above a new node all are new
 * @replaced: published nodes that the new tree does without
 * @spares:   NULL, or the map's spares: enough nodes for this update
 *
 * An update removes at most one range, and first, while the node that goes is still a published one; after that it only
 * copies and inserts. So it never discards a node of its own, unless it fails and frees them all.
 */
struct update {
	struct rmap_object *object;
	struct rmap *map;
	uint64_t serial;
	struct node *root;
	struct node *replaced;
	struct node *spares;
};

/*
 * What a query looks for.
 * @tags:  any of these; 0: whatever the tags
 * @since, @before: only ranges keyed from @since on, anew, and before @before; 0: all before that
 */
struct query {
	uint64_t first;
	uint64_t last;
	uint32_t tags;
	uint64_t since;
	uint64_t before;
	rmap_range_visit visit;
	void *arg;
};

static inline uint64_t tree_weight(const struct node *node)
{
	return (node ? node->size : 0) + 1;
}

/* The order of ranges: negative, 0 if one names the other, or positive. */
int rmap_range_compare(const struct rmap_range *a, const struct rmap_range *b);

bool rmap_range_is_valid(const struct rmap_range *range);

/* How many bytes @indexes take. False if that is too large a number. */
bool rmap_indexes_to_bytes(uint64_t indexes, uint32_t page_shift, uint64_t *bytes);

const struct node *rmap_tree_find(const struct node *node, const struct rmap_range *range);

/* Visits what @query looks for, from the first range behind @after on; NULL: from the start. 0, or what visit() returned. */
int rmap_tree_visit(const struct node *node, const struct query *query, const struct rmap_range *after);

/* Makes the node in *@slot, which is a word of the new tree, one that this update may change. 0 or -ENOMEM. */
int rmap_tree_own(struct update *update, struct node **slot);

/* 0, -EEXIST or -ENOMEM. */
int rmap_tree_insert(struct update *update, const struct rmap_range *range, uint64_t keyed);

/* The first step of an update. @range must be in the tree. 0 or -ENOMEM. */
int rmap_tree_remove(struct update *update, const struct rmap_range *range);

/* Frees the nodes that a failed update built; they are the top of its tree. */
void rmap_tree_free_new(const struct update *update, struct node *node);

void rmap_tree_free(struct rmap *map, struct node *node);

/* Do order, balance and summaries hold? @node's subtree lies between @low and @high, where these are not NULL. */
bool rmap_tree_check(const struct node *node, const struct rmap_range *low, const struct rmap_range *high);

#endif
