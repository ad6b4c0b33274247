/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tree.c - a B-tree of ranges, of which readers see one version while an update makes the next
 *
 * Shape. Ranges are ordered by (first, last, address, owner) and stand in leaves, all of one depth. What is above a
 * child carries summaries of it, so a query enters a subtree only if something in it may fit:
 *
 *      inner  [ key, child, max_last ][ key, child, max_last ] ...    key <= all ranges in the child
 *      leaf   [ range, keyed, gone ][ range, keyed, gone ] ...        NODE_LEAST to NODE_ITEMS of them, but in the root
 *
 * Versions. An update copies each node that it changes, once, down from the root, into a tree of its own; told by their
 * version, it changes its own nodes in place. In the end a copy of an inner node mostly says the same of the same
 * children, of which some are newer. It is given up, and the original's child words are swung to the new children
 * instead: a node that is swung in knows what stood there before (previous). So an update leaves behind what differs,
 * which is mostly one leaf, and not the path to it.
 *
 * A reader has a version, and takes of each word the newest node that is no newer. A word's nodes, newest first, have
 * falling versions, since updates are serialised, and an original that is given up takes its words along as they are.
 * So the reader finds what was there when its version was published, in as many steps as words were swung since;
 * whoever has the newest version takes none.
 *
 * In place. Most updates attach or detach one range, and copy nothing. A range that comes is written into a place of
 * its leaf that never had one, and then into the leaf's order; the version in its key keeps readers of earlier versions
 * from it. A range that goes stays where it is, with the version that it is gone from. So a leaf gains what comes and
 * keeps what goes until its places are used up: then it is copied, without what has gone, or split. No place is used
 * twice, and so a range that a reader has found stays as it is for as long as the leaf is there.
 *
 * Summaries are raised in place, and never lowered, before the version is published that needs it. Readers of earlier
 * versions may see that, and look in vain, down one path for each range that came. An update that lowers one, but
 * max_keyed, copies the leaf: summaries say what there is, or the time of a query would depend on what there was.
 *
 *      label  orders                                            breaks without it
 *      R1     a node before the word that it is swung into      a reader, of whatever version, looks at its version
 *      A1     pairs with R1                                     and at what was there before: garbage
 *      R2     a range before the order that has its place       a reader of an earlier version looks at its key, which
 *      A2     pairs with R2                                     is to keep it away: garbage
 *
 * Whoever has a version has acquired all that is to be seen in it (object.c). So it needs no order of its own to find a
 * range in its leaf's order, that it is gone, or a summary that is high enough.
 *
 * Which versions there are, and what becomes of replaced nodes, is object.c's.
 */
#include "tree.h"

#include "atomic.h"

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

static uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* For updaters: only they store such words, one at a time. */
static struct node *node_of(uint64_t word)
{
	return (struct node *)(uintptr_t)word;
}

const struct node *rmap_tree_node(const uint64_t *word, uint64_t version)
{
	const struct node *node = node_of(load_acq(word)); /* A1: pairs with R1. */

	while (node && node->version > version)
		node = node->previous;
	return node;
}

/* The places of a published leaf ------------------------------------------------------------ */

/* For an updater: what there is when no update runs. */
#define NEWEST (STAYS - 1)

#define ORDER_BITS 4u
#define ORDER_N_SHIFT 60u

_Static_assert(NODE_ITEMS <= 8, "the places of a leaf are told in half a word");

static unsigned order_n(uint64_t order)
{
	return (unsigned)(order >> ORDER_N_SHIFT);
}

static unsigned order_place(uint64_t order, unsigned i)
{
	return order >> i * ORDER_BITS & ((1u << ORDER_BITS) - 1);
}

/* @order with @place as the @i-th. */
static uint64_t order_insert(uint64_t order, unsigned i, unsigned place)
{
	uint64_t below = ((uint64_t)1 << i * ORDER_BITS) - 1;
	uint64_t places = order & (((uint64_t)1 << ORDER_N_SHIFT) - 1);

	return (uint64_t)(order_n(order) + 1) << ORDER_N_SHIFT | (places & ~below) << ORDER_BITS |
	       (uint64_t)place << i * ORDER_BITS | (places & below);
}

/* Of the first @n places, as they are. */
static uint64_t order_of(unsigned n)
{
	return (uint64_t)n << ORDER_N_SHIFT | (0x76543210u & (((uint64_t)1 << n * ORDER_BITS) - 1));
}

/* Of a leaf's @item: is it there in @version? RLX: ordered by the version. */
static bool is_there(const struct item *item, uint64_t version)
{
	return item->keyed / KEYED_ONE <= version && load_rlx(&item->gone) > version;
}

/* The items that @leaf has in @version, in their order. Returns how many. */
static unsigned items_of(const struct node *leaf, uint64_t version, const struct item *items[NODE_ITEMS])
{
	uint64_t order = load_acq(&leaf->order); /* A2: pairs with R2. */
	unsigned n = 0;

	for (unsigned i = 0; i < order_n(order); i++) {
		const struct item *item = &leaf->items[order_place(order, i)];

		if (is_there(item, version))
			items[n++] = item;
	}
	return n;
}

/* Looking for a range ----------------------------------------------------------------------- */

/*
 * Of an update's own leaf: the place of the first item from @range on. Of an inner node: that of the child which @range
 * belongs in.
 */
static unsigned place(const struct node *node, const struct rmap_range *range)
{
	bool inner = node->level > 0;
	unsigned at = 0;

	while (at < node->n && rmap_range_compare(&node->items[at].range, range) < inner)
		at++;
	return inner && at > 0 ? at - 1 : at;
}

/* Has an update's own @leaf, at @at, an item that is @range's? */
static bool match(const struct node *leaf, unsigned at, const struct rmap_range *range)
{
	return at < leaf->n && rmap_range_compare(&leaf->items[at].range, range) == 0;
}

/* What the newest version of @leaf, which is published, knows of @range; or NULL. */
static struct item *find(struct node *leaf, const struct rmap_range *range)
{
	uint64_t order = load_rlx(&leaf->order); /* RLX: stored under the mutex only. */

	for (unsigned i = 0; i < order_n(order); i++) {
		struct item *item = &leaf->items[order_place(order, i)];

		if (is_there(item, NEWEST) && rmap_range_compare(&item->range, range) == 0)
			return item;
	}
	return NULL;
}

const struct item *rmap_tree_find(uint64_t root, const struct rmap_range *range)
{
	struct node *node = node_of(root);

	while (node && node->level > 0)
		node = node_of(node->items[place(node, range)].child);
	return node ? find(node, range) : NULL;
}

/* What is said of what is below ------------------------------------------------------------- */

static uint64_t last_below(const struct node *node)
{
	uint64_t last = 0;

	for (unsigned i = 0; i < node->n; i++)
		last = larger(last, node->level ? node->items[i].max_last : node->items[i].range.last);
	return last;
}

/* Of a node that is published, or an update's own. */
static void raise_to(uint64_t *summary, uint64_t value)
{
	if (*summary != value)
		store_rlx(summary, value); /* RLX: ordered by the version */
}

/* Adds a range to what @node says of all below it. */
static void extend(struct node *node, const struct rmap_range *range, uint64_t keyed)
{
	raise_to(&node->max_keyed, larger(node->max_keyed, keyed));
	raise_to(&node->tags_any, node->tags_any | range->tags);
	if (range->tags)
		raise_to(&node->max_tagged, larger(node->max_tagged, range->last));
}

/* The same, from the beginning; but max_keyed is for readers of earlier versions, too, if the copy is given up. */
static void summarise(struct node *node)
{
	node->max_tagged = node->tags_any = 0;
	for (unsigned i = 0; i < node->n; i++) {
		const struct item *item = &node->items[i];
		const struct node *child = node->level ? node_of(item->child) : NULL;

		if (!child) {
			extend(node, &item->range, item->keyed);
			continue;
		}
		node->max_keyed = larger(node->max_keyed, child->max_keyed);
		node->max_tagged = larger(node->max_tagged, child->max_tagged);
		node->tags_any |= child->tags_any;
	}
}

/* Makes @item that of a new @child. */
static void tell(struct item *item, const struct node *child)
{
	item->range = child->items[0].range;
	item->child = (uintptr_t)child;
	item->max_last = last_below(child);
}

/* Nodes of an update ------------------------------------------------------------------------ */

/* Out of the stock, of which there is enough. PRIV until R1 of this file or object.c, as all that an update builds. */
static struct node *node_new(struct update *update, unsigned level)
{
	struct node *node = rmap_nodes_pop(&update->stock);

	CHECK(node, "an update builds more nodes than it has in stock");
	*node = (struct node){ .level = level, .version = update->version };
	return node;
}

/* Makes the node in *@word, which is a word of the new tree, one that this update may change. */
static struct node *own(struct update *update, uint64_t *word)
{
	const struct item *items[NODE_ITEMS];
	struct node *node = node_of(*word);
	struct node *copy;

	if (node->version == update->version)
		return node;
	copy = rmap_nodes_pop(&update->stock);
	CHECK(copy, "an update builds more nodes than it has in stock");
	memcpy(copy, node, offsetof(struct node, items));
	if (node->level > 0) {
		memcpy(copy->items, node->items, node->n * sizeof(struct item));
	} else {
		copy->n = items_of(node, NEWEST, items);
		for (unsigned i = 0; i < copy->n; i++)
			copy->items[i] = *items[i];
	}
	copy->version = update->version;
	copy->previous = node;
	*word = (uintptr_t)copy;
	return copy;
}

/* The new tree does without @node. */
static void drop(struct update *update, struct node *node)
{
	struct node *published = node->version == update->version ? node->previous : node;

	if (published)
		rmap_nodes_push(&update->replaced, published);
	if (node != published)
		rmap_nodes_push(&update->stock, node);
}

unsigned rmap_tree_needs(uint64_t root)
{
	/* The path and a neighbour of each, or another half of each and a new root. */
	return root ? 2 * (node_of(root)->level + 1) + 1 : 1;
}

/* The way to @range, all of whose nodes are made the update's own. Returns the level of the root. */
static unsigned descend(struct update *update, const struct rmap_range *range, struct node *path[], unsigned char at[])
{
	struct node *node = own(update, &update->root);
	unsigned top = node->level;

	CHECK(top < NODE_LEVELS, "a range index out of balance");
	for (;;) {
		path[node->level] = node;
		at[node->level] = (unsigned char)place(node, range);
		if (node->level == 0)
			return top;
		node = own(update, &node->items[at[node->level]].child);
	}
}

/* Moves @n items of @from, from @at on, to the end of @to. */
static void shift(struct node *to, struct node *from, unsigned at, unsigned n)
{
	memcpy(&to->items[to->n], &from->items[at], n * sizeof(struct item));
	memmove(&from->items[at], &from->items[at + n], (from->n - at - n) * sizeof(struct item));
	to->n += n;
	from->n -= n;
}

/*
 * How many items stay in a full node that gets another one at @at: half of them; but who comes behind all others, or
 * ahead of them, is mostly followed by more that do, and leaves a node behind that is as full as may be.
 */
static unsigned left_of(unsigned at)
{
	if (at == NODE_ITEMS)
		return NODE_ITEMS + 1 - NODE_LEAST;
	return at == 0 ? NODE_LEAST : (NODE_ITEMS + 1) / 2;
}

/* Inserts @item. Returns NULL, or the right part of @node, if that was full. */
static struct node *put(struct update *update, struct node *node, unsigned at, const struct item *item)
{
	unsigned left = left_of(at);
	struct node *right;

	if (node->n < NODE_ITEMS) {
		memmove(&node->items[at + 1], &node->items[at], (node->n - at) * sizeof(*item));
		node->items[at] = *item;
		node->n++;
		return NULL;
	}
	right = node_new(update, node->level);
	if (at < left) {
		shift(right, node, left - 1, NODE_ITEMS + 1 - left);
		put(update, node, at, item);
	} else {
		shift(right, node, left, NODE_ITEMS - left);
		put(update, right, at - left, item);
	}
	summarise(node);
	summarise(right);
	return right;
}

int rmap_tree_insert(struct update *update, const struct rmap_range *range, uint64_t keyed)
{
	struct node *path[NODE_LEVELS];
	unsigned char at[NODE_LEVELS];
	struct item item = { .range = *range, .keyed = keyed, .gone = STAYS };
	struct node *right;
	unsigned top;

	if (!update->root)
		update->root = (uintptr_t)node_new(update, 0);
	top = descend(update, range, path, at);
	if (match(path[0], at[0], range))
		return -EEXIST;
	extend(path[0], range, keyed);
	right = put(update, path[0], at[0], &item);
	for (unsigned level = 1; level <= top; level++) {
		struct node *node = path[level];
		struct item *above = &node->items[at[level]];

		if (rmap_range_compare(range, &above->range) < 0)
			memcpy(above->key, range, sizeof(above->key));
		above->max_last = right ? last_below(path[level - 1]) : larger(above->max_last, range->last);
		extend(node, range, keyed);
		if (!right)
			continue;
		tell(&item, right);
		right = put(update, node, at[level] + 1, &item);
	}
	if (right) {
		struct node *root = node_new(update, top + 1);

		tell(&root->items[0], path[top]);
		tell(&root->items[1], right);
		root->n = 2;
		summarise(root);
		update->root = (uintptr_t)root;
	}
	update->ranges++;
	return 0;
}

/* The child at @at of @node has too few items: it joins a neighbour, or the two share what they have. */
static void join(struct update *update, struct node *node, unsigned at)
{
	unsigned left = at > 0 ? at - 1 : at;
	struct item *items = &node->items[left];
	struct node *a = own(update, &items[0].child);
	struct node *b = own(update, &items[1].child);

	if (a->n + b->n <= NODE_ITEMS) {
		memcpy(&a->items[a->n], b->items, b->n * sizeof(struct item));
		a->n += b->n;
		drop(update, b);
		memmove(&items[1], &items[2], (node->n - left - 2) * sizeof(struct item));
		node->n--;
	} else {
		unsigned half = (a->n + b->n) / 2;

		if (a->n < half) {
			shift(a, b, 0, half - a->n);
		} else {
			unsigned n = a->n - half;

			memmove(&b->items[n], b->items, b->n * sizeof(struct item));
			memcpy(b->items, &a->items[half], n * sizeof(struct item));
			b->n += n;
			a->n = half;
		}
		summarise(b);
		tell(&items[1], b);
	}
	summarise(a);
	items[0].max_last = last_below(a);
}

int rmap_tree_remove(struct update *update, const struct rmap_range *range, struct item *gone)
{
	struct node *path[NODE_LEVELS];
	unsigned char at[NODE_LEVELS];
	struct node *root;
	unsigned top;

	if (!update->root)
		return -ENOENT;
	top = descend(update, range, path, at);
	if (!match(path[0], at[0], range))
		return -ENOENT;
	*gone = path[0]->items[at[0]];
	path[0]->n--;
	memmove(&path[0]->items[at[0]], &path[0]->items[at[0] + 1], (path[0]->n - at[0]) * sizeof(struct item));
	for (unsigned level = 0; level <= top; level++) {
		struct node *node = path[level];

		if (level > 0 && path[level - 1]->n < NODE_LEAST)
			join(update, node, at[level]);
		else if (level > 0)
			node->items[at[level]].max_last = last_below(path[level - 1]);
		if (gone->range.tags)
			summarise(node);
	}
	root = path[top];
	if (top > 0 && root->n == 1) {
		struct node *child = node_of(root->items[0].child);

		/*
		 * It must not be given up: the root's word is swung to nodes of this version only. So its original goes
		 * now.
		 */
		if (child->previous)
			rmap_nodes_push(&update->replaced, child->previous);
		child->previous = NULL;
		update->root = (uintptr_t)child;
		drop(update, root);
	}
	update->ranges--;
	return 0;
}

/* In place ---------------------------------------------------------------------------------- */

/* The way to @range through published nodes. Returns the level of the root. */
static unsigned follow(uint64_t root, const struct rmap_range *range, struct node *path[], unsigned char at[])
{
	struct node *node = node_of(root);
	unsigned top = node->level;

	CHECK(top < NODE_LEVELS, "a range index out of balance");
	for (;; node = node_of(node->items[at[node->level]].child)) {
		path[node->level] = node;
		if (node->level == 0)
			return top;
		at[node->level] = (unsigned char)place(node, range);
	}
}

bool rmap_tree_insert_in_place(struct update *update, const struct rmap_range *range, uint64_t keyed)
{
	struct node *path[NODE_LEVELS];
	unsigned char at[NODE_LEVELS];
	struct node *leaf;
	uint64_t order;
	unsigned i, top;

	if (!update->root)
		return false;
	top = follow(update->root, range, path, at);
	leaf = path[0];
	order = load_rlx(&leaf->order); /* RLX: stored under the mutex only. */
	i = order_n(order);
	if (i == NODE_ITEMS)
		return false;
	for (; i > 0; i--) {
		const struct item *item = &leaf->items[order_place(order, i - 1)];
		int compared = rmap_range_compare(&item->range, range);

		if (compared == 0 && is_there(item, NEWEST))
			return false;
		if (compared < 0)
			break;
	}
	for (unsigned level = 1; level <= top; level++)
		if (rmap_range_compare(range, &path[level]->items[at[level]].range) < 0)
			return false;
	extend(leaf, range, keyed);
	for (unsigned level = 1; level <= top; level++) {
		struct item *above = &path[level]->items[at[level]];

		extend(path[level], range, keyed);
		raise_to(&above->max_last, larger(above->max_last, range->last));
	}
	leaf->items[order_n(order)] = (struct item){ .range = *range, .keyed = keyed, .gone = STAYS };
	INJECT();
	/* R2: publishes the range, to readers of any version, who look at its key first; pairs with A2. */
	store_rel(&leaf->order, order_insert(order, i, order_n(order)));
	update->ranges++;
	return true;
}

/* Would the same be said of what is in @leaf without @gone, and is it full enough? */
static bool can_do_without(const struct node *leaf, bool is_root, const struct item *gone)
{
	const struct item *items[NODE_ITEMS];
	unsigned n = items_of(leaf, NEWEST, items);

	if (gone->range.tags)
		return false;
	if (is_root)
		return true;
	if (n <= NODE_LEAST)
		return false;
	for (unsigned i = 0; i < n; i++)
		if (items[i] != gone && items[i]->range.last >= gone->range.last)
			return true;
	return false;
}

bool rmap_tree_remove_in_place(struct update *update, const struct rmap_range *range)
{
	struct node *path[NODE_LEVELS];
	unsigned char at[NODE_LEVELS];
	struct item *gone;
	unsigned top;

	if (!update->root)
		return false;
	top = follow(update->root, range, path, at);
	gone = find(path[0], range);
	if (!gone || !can_do_without(path[0], top == 0, gone))
		return false;
	store_rlx(&gone->gone, update->version); /* RLX: ordered by the version */
	update->ranges--;
	return true;
}

/* Publishing -------------------------------------------------------------------------------- */

/*
 * Swings *@word, of a published node or an object, to @node, which is this update's: one that readers of earlier
 * versions have already would pass for what they are to find here.
 */
static void swing(const struct update *update, uint64_t *word, struct node *node)
{
	CHECK(node->version == update->version, "a word is swung to a node of another update");
	node->previous = node_of(*word);
	INJECT();
	/* R1: publishes the node and all below it, to readers of this version and later ones; pairs with A1. */
	store_rel(word, (uintptr_t)node);
}

/* Does @copy say what @node says, but for children that are newer? */
static bool says_the_same(const struct node *copy, const struct node *node)
{
	if (copy->n != node->n || copy->max_tagged != node->max_tagged || copy->tags_any != node->tags_any)
		return false;
	for (unsigned i = 0; i < node->n; i++) {
		const struct item *a = &copy->items[i];
		const struct item *b = &node->items[i];

		/* No item changes without its child; and one that comes from elsewhere brings another key. */
		if (a->child != b->child &&
		    (a->max_last != b->max_last || memcmp(a->key, b->key, sizeof(a->key)) != 0))
			return false;
	}
	return true;
}

/* What stands for @copy, which is this update's, in the new tree: itself, or its original with newer children. */
static struct node *settle(struct update *update, struct node *copy)
{
	struct node *node = copy->previous;

	if (copy->level == 0)
		copy->order = order_of(copy->n);
	for (unsigned i = 0; copy->level > 0 && i < copy->n; i++) {
		struct node *child = node_of(copy->items[i].child);

		if (node && i < node->n && node_of(node->items[i].child) == child)
			continue; /* without a look at it, for most are such */
		if (child->version == update->version)
			copy->items[i].child = (uintptr_t)settle(update, child);
	}
	if (!node)
		return copy;
	if (copy->level == 0 || !says_the_same(copy, node)) {
		rmap_nodes_push(&update->replaced, node);
		return copy;
	}
	for (unsigned i = 0; i < node->n; i++)
		if (copy->items[i].child != node->items[i].child)
			swing(update, &node->items[i].child, node_of(copy->items[i].child));
	store_rlx(&node->max_keyed, copy->max_keyed); /* RLX: ordered by the version */
	rmap_nodes_push(&update->stock, copy);
	return node;
}

void rmap_tree_publish(struct update *update, uint64_t *root)
{
	struct node *node = node_of(update->root);

	if (node && node->version == update->version)
		node = settle(update, node);
	if ((uintptr_t)node != *root)
		swing(update, root, node);
}

/* Takes the nodes of the tree of @root that are of @version or later, none of them below an older one, into @list. */
static void take_apart(uint64_t root, uint64_t version, struct node_list *list)
{
	struct node_list rest = { 0 };
	struct node *node = node_of(root);

	if (node && node->version >= version)
		rmap_nodes_push(&rest, node);
	while ((node = rmap_nodes_pop(&rest))) {
		for (unsigned i = 0; node->level > 0 && i < node->n; i++)
			if (node_of(node->items[i].child)->version >= version)
				rmap_nodes_push(&rest, node_of(node->items[i].child));
		rmap_nodes_push(list, node);
	}
}

void rmap_tree_discard(struct update *update)
{
	take_apart(update->root, update->version, &update->stock);
	update->replaced = (struct node_list){ 0 };
}

void rmap_tree_take_apart(uint64_t root, struct node_list *list)
{
	take_apart(root, 0, list);
}

/* Queries ----------------------------------------------------------------------------------- */

/* May @node's subtree hold what @query looks for, as far as its summaries tell? RLX: ordered by the version. */
static bool may_hold(const struct node *node, const struct query *query)
{
	if (query->tags && (!(load_rlx(&node->tags_any) & query->tags) || load_rlx(&node->max_tagged) < query->first))
		return false;
	return !query->since || load_rlx(&node->max_keyed) >= query->since;
}

static bool is_meant(const struct item *item, const struct query *query)
{
	if (item->range.last < query->first || item->keyed >= query->before ||
	    load_rlx(&item->gone) <= query->version) /* RLX: ordered by the version */
		return false;
	return (!query->since || (item->keyed >= query->since && (item->keyed & KEYED_ANEW))) &&
	       (!query->tags || (item->range.tags & query->tags));
}

static int visit_leaf(const struct node *leaf, const struct query *query, const struct rmap_range *after)
{
	uint64_t order = load_acq(&leaf->order); /* A2: pairs with R2. */
	int result = 0;

	for (unsigned n = order_n(order); n > 0 && result == 0; n--) {
		const struct item *item = &leaf->items[order_place(order, 0)];

		if (item->range.first > query->last)
			break;
		if (is_meant(item, query) && (!after || rmap_range_compare(&item->range, after) > 0))
			result = query->visit(query->arg, &item->range);
		order >>= ORDER_BITS;
	}
	return result;
}

/*
 * Of children that start at or before @last all but the last have only ranges that do, so a test of one summary is sure
 * to find something there, and only along the ways to @last and to @after may a subtree be entered in vain: each is one
 * path. Two summaries may both be of ranges that the other does not fit (of one tag and another, say); then a subtree
 * is entered in vain elsewhere.
 */
int rmap_tree_visit(const struct node *node, const struct query *query, const struct rmap_range *after)
{
	int result = 0;
	unsigned i;

	if (node->level == 0)
		return visit_leaf(node, query, after);
	i = after ? place(node, after) : 0;
	for (; i < node->n && node->items[i].range.first <= query->last && result == 0; i++) {
		const struct item *item = &node->items[i];
		const struct node *child;

		if (load_rlx(&item->max_last) >= query->first) { /* RLX: ordered by the version */
			child = rmap_tree_node(&item->child, query->version);
			if (may_hold(child, query))
				result = rmap_tree_visit(child, query, after);
		}
		after = NULL;
	}
	return result;
}

/* Checking ---------------------------------------------------------------------------------- */

static bool holds(bool equation, const char *text, const struct item *item)
{
	if (!equation)
		env_complain("rmap_object_check: at range %llu..%llu of owner %#llx this does not hold: %s\n",
			     (unsigned long long)item->range.first, (unsigned long long)item->range.last,
			     (unsigned long long)item->range.owner, text);
	return equation;
}

/* What is said, and what there is: the same; beside an update it may be more. */
static bool says(uint64_t said, uint64_t is, bool exact)
{
	return said == is || (!exact && said > is);
}

/* The items that @node, which is published, has in @version. Returns how many. */
static unsigned items_in(const struct node *node, uint64_t version, const struct item *items[NODE_ITEMS])
{
	if (node->level == 0)
		return items_of(node, version, items);
	for (unsigned i = 0; i < node->n; i++)
		items[i] = &node->items[i];
	return node->n;
}

/*
 * The ranges below a node, and what they sum up to: not what nodes between say, for an update may have raised that, and
 * what is above not yet.
 */
struct below {
	uint64_t ranges;
	uint64_t max_last;
	uint64_t max_tagged;
	uint64_t max_keyed;
	uint64_t tags_any;
};

static void add(struct below *below, const struct below *more)
{
	below->ranges += more->ranges;
	below->max_last = larger(below->max_last, more->max_last);
	below->max_tagged = larger(below->max_tagged, more->max_tagged);
	below->max_keyed = larger(below->max_keyed, more->max_keyed);
	below->tags_any |= more->tags_any;
}

static bool check_range(const struct item *item, struct below *below)
{
	const struct rmap_range *range = &item->range;

	*below = (struct below){ 1, range->last, range->tags ? range->last : 0, item->keyed, range->tags };
	return holds(rmap_range_is_valid(range), "first <= last, and all its addresses fit", item);
}

/* @low and @high, where these are not NULL: nothing below is less than the one, all is less than the other. */
static bool check(const struct node *node, uint64_t version, bool exact, unsigned least, const struct rmap_range *low,
		  const struct rmap_range *high, struct below *below)
{
	const struct item *items[NODE_ITEMS];
	unsigned n = items_in(node, version, items);

	*below = (struct below){ 0 };
	if (!holds(n >= least && n <= NODE_ITEMS, "no node is too empty or too full", &node->items[0]))
		return false;
	for (unsigned i = 0; i < n; i++) {
		const struct item *item = items[i];
		const struct rmap_range *next = i + 1 < n ? &items[i + 1]->range : high;
		const struct node *child = node->level ? rmap_tree_node(&item->child, version) : NULL;
		struct below more;

		if (!holds(i > 0 || !low || rmap_range_compare(low, &item->range) <= 0, "key <= what is below", item) ||
		    !holds(!next || rmap_range_compare(&item->range, next) < 0, "what is below < next key", item))
			return false;
		if (!child && !check_range(item, &more))
			return false;
		if (child && (!holds(child->level + 1 == node->level, "a child is one level below", item) ||
			      !check(child, version, exact, NODE_LEAST, &item->range, next, &more) ||
			      /* RLX: ordered by the version */
			      !holds(says(load_rlx(&item->max_last), more.max_last, exact),
				     "max_last = largest last below", item)))
			return false;
		add(below, &more);
	}
	/* RLX: ordered by the version */
	return holds(says(load_rlx(&node->max_keyed), below->max_keyed, false), "max_keyed >= keyed of all below",
		     &node->items[0]) &&
	       holds(says(load_rlx(&node->max_tagged), below->max_tagged, exact),
		     "max_tagged = largest last of tagged ranges", &node->items[0]) &&
	       holds(says(load_rlx(&node->tags_any), below->tags_any, exact), "tags_any = tags below, or-ed",
		     &node->items[0]);
}

bool rmap_tree_check(const struct node *node, uint64_t version, bool exact, uint64_t *ranges)
{
	struct below below = { .ranges = 0 };
	bool fits = !node || check(node, version, exact, node->level ? 2 : 0, NULL, NULL, &below);

	*ranges += below.ranges;
	return fits;
}
