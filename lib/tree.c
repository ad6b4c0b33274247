/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tree.c - a weight-balanced tree of ranges that is copied along the path an update takes
 *
 * Shape. Nodes are ordered by (first, last, address, owner) and balanced as Adams does, with the parameters (3, 2)
 * that Hirai and Yamamoto proved right ("Balancing weight-balanced trees", 2011). Each carries summaries of its
 * subtree, so a query enters a subtree only if something in it may fit:
 *
 *      root -> [ range, keyed | summaries | child 0 < range < child 1 ]
 *
 *      weight(node) = size + 1;  weight(child 0) <= 3 * weight(child 1), and the reverse
 *      hence weight(child) <= 3/4 * weight(node), and height <= 2.41 * log2(weight)
 *
 * Updates. An update builds all the nodes that differ from a tree that readers may walk through meanwhile. Nodes it
 * built itself, told by their serial, no reader has met: it changes those in place, so several steps (a split removes
 * one range and inserts two) copy each node once. Nothing here publishes, waits or retires: that is object.c's.
 */
#include "tree.h"

#include "map.h"

#include <errno.h>
#include <inttypes.h>

#define DELTA 3u
#define RATIO 2u
#define HEIGHT_MAX 128 /* 2.41 * log2 of the 2^50 nodes that fit below 2^56 bytes is 120.5 */

int rmap_range_compare(const struct rmap_range *a, const struct rmap_range *b)
{
	if (a->first != b->first)
		return a->first < b->first ? -1 : 1;
	if (a->last != b->last)
		return a->last < b->last ? -1 : 1;
	if (a->address != b->address)
		return a->address < b->address ? -1 : 1;
	if (a->owner != b->owner)
		return a->owner < b->owner ? -1 : 1;
	return 0;
}

bool rmap_indexes_to_bytes(uint64_t indexes, uint32_t page_shift, uint64_t *bytes)
{
	*bytes = indexes << page_shift;
	return *bytes >> page_shift == indexes;
}

bool rmap_range_is_valid(const struct rmap_range *range)
{
	uint64_t bytes;

	return range->first <= range->last && range->page_shift <= 63 &&
	       rmap_indexes_to_bytes(range->last - range->first, range->page_shift, &bytes) &&
	       bytes <= UINT64_MAX - range->address;
}

const struct node *rmap_tree_find(const struct node *node, const struct rmap_range *range)
{
	int order;

	while (node && (order = rmap_range_compare(range, &node->range)) != 0)
		node = node->child[order > 0];
	return node;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* Sets what @node, which is ours, says about its subtree. */
static void summarise(struct node *node)
{
	node->size = 1;
	node->max_last = node->range.last;
	node->max_tagged = node->range.tags ? node->range.last : 0;
	node->max_keyed = node->keyed;
	node->tags_any = node->range.tags;
	for (int side = 0; side < 2; side++) {
		const struct node *child = node->child[side];

		if (!child)
			continue;
		node->size += child->size;
		node->max_last = larger(node->max_last, child->max_last);
		node->max_tagged = larger(node->max_tagged, child->max_tagged);
		node->max_keyed = larger(node->max_keyed, child->max_keyed);
		node->tags_any |= child->tags_any;
	}
}

/* The new tree does without @node, which readers may have met. */
static void node_drop(struct update *update, struct node *node)
{
	CHECK(node->serial != update->serial, "an update drops only what it did not build");
	node->next = update->replaced;
	update->replaced = node;
}

/* Memory for a node. NULL if there is none; not so for an update that has spares. */
static struct node *node_new(struct update *update)
{
	struct node *node = update->spares;

	if (!node)
		return rmap_metadata_alloc(update->map, sizeof(*node), RANGE_ALIGN);
	update->spares = node->next;
	return node;
}

int rmap_tree_own(struct update *update, struct node **slot)
{
	struct node *node = *slot;
	struct node *copy;

	if (node->serial == update->serial)
		return 0;
	copy = node_new(update);
	if (!copy)
		return -ENOMEM;
	*copy = *node; /* PRIV: not published until R1. */
	copy->serial = update->serial;
	node_drop(update, node);
	*slot = copy;
	return 0;
}

/*
 * Moves weight from child @side of *@slot to the other. 0, or -ENOMEM and still a tree of all nodes: what may fail
 * comes before the links change.
 */
static int rotate(struct update *update, struct node **slot, int side)
{
	struct node *node = *slot;
	struct node *heavy;
	struct node *inner;

	if (rmap_tree_own(update, &node->child[side]) != 0)
		return -ENOMEM;
	heavy = node->child[side];
	if (tree_weight(heavy->child[!side]) >= RATIO * tree_weight(heavy->child[side])) {
		if (rmap_tree_own(update, &heavy->child[!side]) != 0)
			return -ENOMEM;
		inner = heavy->child[!side];
		heavy->child[!side] = inner->child[side];
		inner->child[side] = heavy;
		summarise(heavy);
		heavy = inner;
	}
	node->child[side] = heavy->child[!side];
	heavy->child[!side] = node;
	summarise(node);
	summarise(heavy);
	*slot = heavy;
	return 0;
}

/* Balances and summarises the nodes in @path, which are ours, from the lowest up. 0 or -ENOMEM. */
static int settle(struct update *update, struct node **path[], int depth)
{
	while (depth > 0) {
		struct node **slot = path[--depth];
		struct node *node = *slot;
		int heavy = tree_weight(node->child[1]) > tree_weight(node->child[0]);

		summarise(node);
		if (tree_weight(node->child[heavy]) > DELTA * tree_weight(node->child[!heavy]) &&
		    rotate(update, slot, heavy) != 0)
			return -ENOMEM;
	}
	return 0;
}

int rmap_tree_insert(struct update *update, const struct rmap_range *range, uint64_t keyed)
{
	struct node **path[HEIGHT_MAX];
	struct node **slot = &update->root;
	struct node *node;
	int depth = 0;

	while (*slot) {
		int order = rmap_range_compare(range, &(*slot)->range);

		if (order == 0)
			return -EEXIST;
		if (rmap_tree_own(update, slot) != 0)
			return -ENOMEM;
		CHECK(depth < HEIGHT_MAX, "a range index out of balance");
		path[depth++] = slot;
		slot = &(*slot)->child[order > 0];
	}
	node = node_new(update);
	if (!node)
		return -ENOMEM;
	/* PRIV: not published until R1. */
	*node = (struct node){ .range = *range, .keyed = keyed, .serial = update->serial };
	summarise(node);
	*slot = node;
	return settle(update, path, depth);
}

int rmap_tree_remove(struct update *update, const struct rmap_range *range)
{
	struct node **path[HEIGHT_MAX];
	struct node **slot = &update->root;
	struct node *found = NULL;
	struct node *node;
	int depth = 0;

	/* A node with two children takes the range of its successor, whose node goes instead. */
	for (;;) {
		int order = found ? -1 : rmap_range_compare(range, &(*slot)->range);

		if (found ? !(*slot)->child[0] : order == 0 && !((*slot)->child[0] && (*slot)->child[1]))
			break;
		if (rmap_tree_own(update, slot) != 0)
			return -ENOMEM;
		CHECK(depth < HEIGHT_MAX, "a range index out of balance");
		path[depth++] = slot;
		if (order == 0)
			found = *slot;
		slot = &(*slot)->child[order >= 0];
	}
	node = *slot;
	*slot = node->child[node->child[0] == NULL];
	if (found) {
		found->range = node->range;
		found->keyed = node->keyed;
	}
	node_drop(update, node);
	return settle(update, path, depth);
}

void rmap_tree_free_new(const struct update *update, struct node *node)
{
	if (!node || node->serial != update->serial)
		return;
	rmap_tree_free_new(update, node->child[0]);
	rmap_tree_free_new(update, node->child[1]);
	rmap_metadata_free(update->map, node, sizeof(*node));
}

void rmap_tree_free(struct rmap *map, struct node *node)
{
	if (!node)
		return;
	rmap_tree_free(map, node->child[0]);
	rmap_tree_free(map, node->child[1]);
	rmap_metadata_free(map, node, sizeof(*node));
}

/* May @node's subtree hold what @query looks for, as far as its summaries tell? */
static bool may_hold(const struct node *node, const struct query *query)
{
	if (query->tags)
		return (node->tags_any & query->tags) && node->max_tagged >= query->first &&
		       node->max_keyed >= query->since;
	return node->max_last >= query->first && node->max_keyed >= query->since;
}

static bool is_meant(const struct node *node, const struct query *query)
{
	return node->range.last >= query->first && node->keyed < query->before && node->keyed >= query->since &&
	       (!query->since || (node->keyed & KEYED_ANEW)) && (!query->tags || (node->range.tags & query->tags));
}

/*
 * Left of a node that starts at or before @last all do, so a test of one summary is sure to find something there, and
 * only along the ways to @last and to @after may a subtree be entered in vain: each is one path. Two summaries may both
 * be of ranges that the other does not fit (of one tag and another, say); then a subtree is entered in vain elsewhere.
 */
int rmap_tree_visit(const struct node *node, const struct query *query, const struct rmap_range *after)
{
	int result;

	while (node && may_hold(node, query)) {
		if (node->range.first > query->last) {
			node = node->child[0];
			continue;
		}
		if (!after || rmap_range_compare(&node->range, after) > 0) {
			result = rmap_tree_visit(node->child[0], query, after);
			if (result == 0 && is_meant(node, query))
				result = query->visit(query->arg, &node->range);
			if (result != 0)
				return result;
			after = NULL;
		}
		node = node->child[1];
	}
	return 0;
}

static bool holds(bool equation, const char *text, const struct node *node)
{
	if (!equation)
		fprintf(stderr,
			"rmap_object_check: at range %" PRIu64 "..%" PRIu64 " of owner %#" PRIx64
			" this does not hold: %s\n",
			node->range.first, node->range.last, node->range.owner, text);
	return equation;
}

bool rmap_tree_check(const struct node *node, const struct rmap_range *low, const struct rmap_range *high)
{
	const struct node *left;
	const struct node *right;
	struct node expected;

	if (!node)
		return true;
	left = node->child[0];
	right = node->child[1];
	expected = *node;
	summarise(&expected);
	return holds(rmap_range_is_valid(&node->range), "first <= last, and all its addresses fit", node) &&
	       holds(!low || rmap_range_compare(low, &node->range) < 0, "left ancestor < range", node) &&
	       holds(!high || rmap_range_compare(&node->range, high) < 0, "range < right ancestor", node) &&
	       holds(node->size == expected.size, "size = 1 + sizes of children", node) &&
	       holds(node->max_last == expected.max_last, "max_last = largest last of the subtree", node) &&
	       holds(node->max_tagged == expected.max_tagged, "max_tagged = largest last of tagged ranges", node) &&
	       holds(node->max_keyed == expected.max_keyed, "max_keyed = largest keyed of the subtree", node) &&
	       holds(node->tags_any == expected.tags_any, "tags_any = tags of the subtree, or-ed", node) &&
	       holds(tree_weight(left) <= DELTA * tree_weight(right), "weight(left) <= 3 * weight(right)", node) &&
	       holds(tree_weight(right) <= DELTA * tree_weight(left), "weight(right) <= 3 * weight(left)", node) &&
	       rmap_tree_check(left, low, &node->range) && rmap_tree_check(right, &node->range, high);
}
