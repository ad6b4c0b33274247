/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * nodes.c - where the nodes of range indexes are while they are in no tree
 *
 * An update replaces about as many nodes as it builds, so a map keeps those that have seen a grace period for the
 * updates to come, and asks the metadata tier only while its trees, or what waits, grow:
 *
 *      tier -> free -> an update's stock -> tree -> replaced -> retired -> handed over -> free
 *                            `---- what is left ------------------------------------------^
 *
 *      made = in trees + retired + handed over + free, apart from what running updates have in stock or wait for
 *
 * Lists are under the map's lock, which nobody holds longer for a long one: they are joined as wholes, and given back
 * in parts. An update takes all that it may need before each change, so that nothing fails while it builds.
 *
 * Grace periods. Once NODES_BATCH nodes are retired they are handed over to RCU, in one record, which the map has; what
 * is retired before that has ended is the next batch. An RCU that gathers callbacks takes its time over that, so where
 * updates are many more would wait than trees have. So an update that leaves too many behind waits for a grace period
 * itself: what is retired and handed over by then has seen it, and the record finds nothing when its turn comes.
 *
 * Borrowing. A detach must not fail for want of memory: an exit cannot. So of what is free a few nodes stay, enough for
 * a detach from the map's highest tree. A detach that gets no memory borrows them, waits for a grace period once it has
 * published, and returns what it has left and what it replaced: no fewer nodes, for a tree does not grow by a removal.
 * If too few are free, others have borrowed, and return them after a wait of their own.
 *
 * Bounds. Behind an update that may wait no more wait than nodes_max() says, a fourth of what trees have if that is
 * much, with those that others wait for meanwhile: else each thread might leave as many. What is free is as much, and
 * O(log n) nodes for borrowers; a drain gives it back, but for these.
 */
#include "nodes.h"

#include "pool.h"
#include "slab.h"
#include "tree.h"

/* Nodes that are worth a grace period; and how many may wait, however few there are in trees. */
#ifdef RMAP_EXPLORE
#define NODES_BATCH 1u
#define NODES_FEW 4u
#else
#define NODES_BATCH (RMAP_CHECK ? 8u : 48u)
#define NODES_FEW (RMAP_CHECK ? 64u : 96u)
#endif

size_t rmap_nodes_bytes(uint64_t n)
{
	return n * sizeof(struct node);
}

/* Lists ------------------------------------------------------------------------------------- */

void rmap_nodes_push(struct node_list *list, struct node *node)
{
	node->next = list->first;
	list->first = node;
	if (list->n++ == 0)
		list->last = node;
}

struct node *rmap_nodes_pop(struct node_list *list)
{
	struct node *node = list->first;

	if (node) {
		list->first = node->next;
		list->n--;
	}
	return node;
}

/* Puts all of @from ahead of @to. */
static void join(struct node_list *to, struct node_list *from)
{
	if (from->n == 0)
		return;
	if (to->n > 0)
		from->last->next = to->first;
	else
		to->last = from->last;
	to->first = from->first;
	to->n += from->n;
	*from = (struct node_list){ 0 };
}

/* What is free ------------------------------------------------------------------------------ */

/* No reader has any of @list, or may have. In checked builds one that does finds no sense. */
static void forget(const struct node_list *list)
{
	struct node *node = list->first;

	for (uint64_t i = 0; i < list->n; i++, node = node->next) {
		if (RMAP_CHECK)
			memset(node->items, 0x5a, sizeof(node->items));
		POISON(node->items, sizeof(node->items));
	}
}

/* Under the map's lock. */
static void take(struct rmap_nodes *nodes, struct node_list *to, uint64_t needed)
{
	struct node *node;

	while (to->n < needed) {
		node = rmap_nodes_pop(&nodes->free);
		UNPOISON(node->items, sizeof(node->items));
		rmap_nodes_push(to, node);
	}
	/* Nobody has looked at what comes next for a while. */
	for (unsigned byte = 0; nodes->free.n > 0 && byte < sizeof(struct node); byte += LINE_BYTES)
		__builtin_prefetch((const char *)nodes->free.first + byte, 1);
}

static void give(struct rmap *map, struct node_list *list)
{
	struct node *node;

	while ((node = rmap_nodes_pop(list))) {
		UNPOISON(node->items, sizeof(node->items));
		rmap_metadata_free(map, node, sizeof(*node));
	}
}

/* Some of what is free but for @n nodes, to give back. The lock is not held for long, however much that is. */
static struct node_list surplus(struct rmap *map, uint64_t n)
{
	struct node_list list = { 0 };

	env_mutex_lock(&map->lock);
	while (map->nodes.free.n > n && list.n < NODES_BATCH)
		rmap_nodes_push(&list, rmap_nodes_pop(&map->nodes.free));
	map->nodes.made -= list.n;
	env_mutex_unlock(&map->lock);
	return list;
}

/* Gives back what is free but for @n nodes. */
static void keep(struct rmap *map, uint64_t n)
{
	struct node_list list;

	for (list = surplus(map, n); list.n > 0; list = surplus(map, n))
		give(map, &list);
}

int rmap_nodes_take(struct rmap *map, struct node_list *to, uint64_t needed, unsigned spares, bool sleeps)
{
	struct rmap_nodes *nodes = &map->nodes;
	uint64_t lacking = needed > to->n ? needed - to->n : 0;
	struct node *node;

	env_mutex_lock(&map->lock);
	if (nodes->spares < spares)
		nodes->spares = spares;
	while (nodes->free.n < lacking + nodes->spares) {
		env_mutex_unlock(&map->lock);
		if (!sleeps)
			return -EAGAIN;
		node = rmap_metadata_alloc(map, sizeof(*node), LINE_BYTES);
		if (!node)
			return -ENOMEM;
		env_mutex_lock(&map->lock);
		nodes->made++;
		rmap_nodes_push(&nodes->free, node);
	}
	take(nodes, to, needed);
	env_mutex_unlock(&map->lock);
	return 0;
}

bool rmap_nodes_borrow(struct rmap *map, struct node_list *to, unsigned needed)
{
	bool enough;

	env_mutex_lock(&map->lock);
	enough = map->nodes.free.n >= needed;
	if (enough)
		take(&map->nodes, to, needed);
	env_mutex_unlock(&map->lock);
	return enough;
}

void rmap_nodes_return(struct rmap *map, struct node_list *list, int64_t built)
{
	forget(list);
	env_mutex_lock(&map->lock);
	map->nodes.in_trees += (uint64_t)built;
	join(&map->nodes.free, list);
	env_mutex_unlock(&map->lock);
}

/* Retiring ---------------------------------------------------------------------------------- */

/* How many nodes may wait, or be free. Under the map's lock. */
static uint64_t nodes_max(const struct rmap *map)
{
	uint64_t max = map->nodes.in_trees / 4;

	if (max < NODES_FEW)
		max = NODES_FEW;
	return rmap_nodes_bytes(max) <= map->waiting_max / 2 ? max : map->waiting_max / 2 / rmap_nodes_bytes(1);
}

void rmap_nodes_keep_few(struct rmap *map)
{
	uint64_t max;

	env_mutex_lock(&map->lock);
	max = nodes_max(map) + 4 * map->nodes.spares;
	env_mutex_unlock(&map->lock);
	keep(map, max);
}

/* All of @list has waited. */
static void freed(struct rmap *map, struct node_list *list)
{
	/* RLX: a figure. Before others may use them, and count them again. */
	fetch_add_rlx(&map->pool.waiting, -rmap_nodes_bytes(list->n));
	rmap_nodes_return(map, list, 0);
	rmap_nodes_keep_few(map);
}

static void nodes_work(struct rmap_deferred *deferred)
{
	struct rmap *map = container_of(deferred->rcu, struct rmap, rcu);
	struct node_list list;

	env_mutex_lock(&map->lock);
	list = map->nodes.waiting;
	map->nodes.waiting = (struct node_list){ 0 };
	map->nodes.handed_over = false;
	env_mutex_unlock(&map->lock);
	freed(map, &list);
}

/* Waits for a grace period, if any node does. */
static void settle(struct rmap *map)
{
	struct node_list list;
	uint64_t n;

	env_mutex_lock(&map->lock);
	list = map->nodes.waiting;
	map->nodes.waiting = (struct node_list){ 0 };
	join(&list, &map->nodes.retired);
	n = list.n;
	map->nodes.settling += n;
	env_mutex_unlock(&map->lock);
	if (n == 0)
		return;
	rmap_rcu_synchronize(&map->rcu);
	freed(map, &list);
	env_mutex_lock(&map->lock);
	map->nodes.settling -= n;
	env_mutex_unlock(&map->lock);
}

void rmap_nodes_retire(struct rmap *map, struct node_list *stock, struct node_list *replaced, int64_t built,
		       bool may_wait)
{
	struct rmap_nodes *nodes = &map->nodes;
	uint64_t bytes = rmap_nodes_bytes(replaced->n);
	bool hand_over, too_many;

	/* RLX: a figure. Counted before anybody can free them. */
	rmap_pool_note_waiting(map, fetch_add_rlx(&map->pool.waiting, bytes) + bytes);
	forget(stock);
	env_mutex_lock(&map->lock);
	nodes->in_trees += (uint64_t)built;
	join(&nodes->free, stock);
	join(&nodes->retired, replaced);
	too_many = nodes->retired.n + nodes->waiting.n + nodes->settling > nodes_max(map);
	hand_over = !nodes->handed_over && nodes->retired.n >= NODES_BATCH;
	if (hand_over) {
		nodes->handed_over = true;
		join(&nodes->waiting, &nodes->retired);
	}
	env_mutex_unlock(&map->lock);
	INJECT();
	if (hand_over)
		rmap_rcu_defer(&map->rcu, &nodes->deferred, nodes_work);
	if (too_many && may_wait)
		settle(map);
}

void rmap_nodes_wait(struct rmap *map)
{
	settle(map);
	rmap_rcu_wait(&map->rcu);
}

/* The tier ---------------------------------------------------------------------------------- */

void rmap_nodes_trim(struct rmap *map)
{
	keep(map, map->nodes.spares);
}

void rmap_nodes_fini(struct rmap *map)
{
	keep(map, 0);
}

void rmap_nodes_free(struct rmap *map, struct node_list *list)
{
	env_mutex_lock(&map->lock);
	map->nodes.made -= list->n;
	map->nodes.in_trees -= list->n;
	env_mutex_unlock(&map->lock);
	give(map, list);
	rmap_nodes_keep_few(map);
}

bool rmap_nodes_check(struct rmap *map)
{
	const struct rmap_nodes *nodes = &map->nodes;
	uint64_t n = 0;

	for (const struct node *node = nodes->free.first; n < nodes->free.n && node; node = node->next)
		n++;
	return n == nodes->free.n && nodes->retired.n == 0 && nodes->waiting.n == 0 &&
	       nodes->settling == 0 && nodes->made == nodes->in_trees + n;
}
