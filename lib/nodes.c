/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * nodes.c - where the nodes of range indexes are while they are in no tree
 *
 * An update replaces about as many nodes as it builds, so a map keeps those that have seen a grace period for the
 * updates to come, and asks the metadata tier only while its trees, or what waits, grow:
 *
 *      tier -> free -> an update's stock -> tree -> replaced -> retired -> grace period -> free
 *                            `---- what is left ------------------------------------------^
 *
 *      made = in trees + retired or handed over + free, apart from what running updates have in stock
 *
 * Lists are under the map's lock, and are joined as wholes: no step here takes longer for a long one. An update takes
 * all that it may need before each change, so that nothing fails while it builds. The record that carries a batch
 * through RCU is a node as well, out of the stock, which for this holds one more than the tree needs.
 *
 * Borrowing. A detach must not fail for want of memory: an exit cannot. So of what is free a few nodes stay, enough for
 * a detach from the map's highest tree. A detach that gets no memory borrows them, waits for a grace period once it has
 * published, and returns what it has left and what it replaced: no fewer nodes, for a tree does not grow by a removal.
 * If too few are free, others have borrowed, and return them after a wait of their own.
 *
 * Bounds. What is retired and not handed over is less than NODES_CARRIED nodes of a map, and nothing while more than
 * half of waiting_max waits. What is free is at most waiting_max bytes and O(log n) nodes, and no more than trees and
 * waiting had at once; a drain gives it back, but for what may be borrowed.
 */
#include "nodes.h"

#include "pool.h"
#include "slab.h"
#include "tree.h"

/* Nodes that another carries, and of those that are free, how many to fetch ahead of their use. */
#ifdef RMAP_EXPLORE
#define NODES_CARRIED 1u
#else
#define NODES_CARRIED (RMAP_CHECK ? 8u : 48u)
#endif
#define NODES_AHEAD 2u

/*
 * struct magazine - nodes that are free, or on their way there, and the memory of one more, which carries them
 * @next: in the stack of those that are free
 */
struct magazine {
	struct rmap_deferred deferred;
	struct magazine *next;
	unsigned n;
	struct node *nodes[NODES_CARRIED];
};

_Static_assert(sizeof(struct magazine) <= sizeof(struct node), "a node's memory carries others");

size_t rmap_nodes_bytes(uint64_t n)
{
	return n * sizeof(struct node);
}

/* Lists of an update ------------------------------------------------------------------------ */

void rmap_nodes_push(struct node_list *list, struct node *node)
{
	node->next = list->first;
	list->first = node;
	list->n++;
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

/* What is free; under the map's lock -------------------------------------------------------- */

/* No reader has @node, or may have. In checked builds one that does finds no sense. */
static void forget(struct node *node)
{
	if (RMAP_CHECK)
		memset(node->items, 0x5a, sizeof(node->items));
	POISON(node->items, sizeof(node->items));
}

static void free_push(struct rmap_nodes *nodes, struct node *node)
{
	struct magazine *top = nodes->free;

	if (top && top->n < NODES_CARRIED) {
		forget(node);
		top->nodes[top->n++] = node;
	} else {
		top = (struct magazine *)(void *)node;
		top->n = 0;
		top->next = nodes->free;
		nodes->free = top;
	}
	nodes->free_n++;
}

static struct node *free_pop(struct rmap_nodes *nodes)
{
	struct magazine *top = nodes->free;
	struct node *node;

	nodes->free_n--;
	if (top->n == 0) {
		nodes->free = top->next;
		return (struct node *)(void *)top;
	}
	node = top->nodes[--top->n];
	UNPOISON(node->items, sizeof(node->items));
	return node;
}

/* Nobody has looked at what comes next for a while. */
static void fetch_next(const struct rmap_nodes *nodes)
{
	const struct magazine *top = nodes->free;

	for (unsigned i = 1; top && i <= NODES_AHEAD && i <= top->n; i++)
		for (unsigned byte = 0; byte < sizeof(struct node); byte += LINE_BYTES)
			__builtin_prefetch((const char *)top->nodes[top->n - i] + byte, 1);
}

static void take(struct rmap_nodes *nodes, struct node_list *to, uint64_t needed)
{
	while (to->n < needed)
		rmap_nodes_push(to, free_pop(nodes));
	fetch_next(nodes);
}

uint64_t rmap_nodes_to_carry(uint64_t n)
{
	return n / NODES_CARRIED + 1;
}

int rmap_nodes_take(struct rmap *map, struct node_list *to, uint64_t needed, unsigned spares, bool sleeps)
{
	struct rmap_nodes *nodes = &map->nodes;
	uint64_t lacking = needed > to->n ? needed - to->n : 0;
	struct node *node;

	env_mutex_lock(&map->lock);
	if (nodes->spares < spares)
		nodes->spares = spares;
	while (nodes->free_n < lacking + nodes->spares) {
		env_mutex_unlock(&map->lock);
		if (!sleeps)
			return -EAGAIN;
		node = rmap_metadata_alloc(map, sizeof(*node), LINE_BYTES);
		if (!node)
			return -ENOMEM;
		env_mutex_lock(&map->lock);
		nodes->made++;
		free_push(nodes, node);
	}
	take(nodes, to, needed);
	env_mutex_unlock(&map->lock);
	return 0;
}

bool rmap_nodes_borrow(struct rmap *map, struct node_list *to, unsigned needed)
{
	bool enough;

	env_mutex_lock(&map->lock);
	enough = map->nodes.free_n >= needed;
	if (enough)
		take(&map->nodes, to, needed);
	env_mutex_unlock(&map->lock);
	return enough;
}

void rmap_nodes_return(struct rmap *map, struct node_list *list, int64_t built)
{
	struct node *node;

	env_mutex_lock(&map->lock);
	map->nodes.in_trees += (uint64_t)built;
	while ((node = rmap_nodes_pop(list)))
		free_push(&map->nodes, node);
	env_mutex_unlock(&map->lock);
}

/* Retiring ---------------------------------------------------------------------------------- */

/* What @magazine carries has waited, and so has what carries it. */
static void freed(struct rmap *map, struct magazine *magazine)
{
	struct rmap_nodes *nodes = &map->nodes;
	uint64_t n = magazine->n + 1;
	bool keeps;

	for (unsigned i = 0; i < magazine->n; i++)
		forget(magazine->nodes[i]);
	env_mutex_lock(&map->lock);
	/*
	 * What waited when the last node was made: the most that may, and one update's; and what was in hand and to
	 * spare.
	 */
	keeps = rmap_nodes_bytes(nodes->free_n + n) <= map->waiting_max + rmap_nodes_bytes(4 * nodes->spares);
	if (keeps) {
		magazine->next = nodes->free;
		nodes->free = magazine;
		nodes->free_n += n;
	} else {
		nodes->made -= n;
	}
	env_mutex_unlock(&map->lock);
	for (unsigned i = 0; !keeps && i < n; i++) {
		struct node *node = i + 1 < n ? magazine->nodes[i] : (struct node *)(void *)magazine;

		UNPOISON(node->items, sizeof(node->items));
		rmap_metadata_free(map, node, sizeof(*node));
	}
	fetch_add_rlx(&map->pool.waiting, -rmap_nodes_bytes(n)); /* RLX: a figure */
}

static void magazine_work(struct rmap_deferred *deferred)
{
	freed(container_of(deferred->rcu, struct rmap, rcu), container_of(deferred, struct magazine, deferred));
}

/* Puts what was replaced into magazines out of @stock. Returns a list of those to hand over. Under the map's lock. */
static struct magazine *load(struct rmap *map, struct node_list *stock, struct node_list *replaced, bool all)
{
	struct magazine *full = NULL;
	struct magazine *last = map->nodes.retired;
	struct node *node;

	while ((node = rmap_nodes_pop(replaced))) {
		if (!last) {
			last = (struct magazine *)(void *)rmap_nodes_pop(stock);
			CHECK(last, "an update has no node in stock to carry those that it replaced");
			last->n = 0;
		}
		last->nodes[last->n++] = node;
		if (last->n == NODES_CARRIED || (all && !replaced->n)) {
			last->next = full;
			full = last;
			last = NULL;
		}
	}
	map->nodes.retired = last;
	return full;
}

void rmap_nodes_retire(struct rmap *map, struct node_list *stock, struct node_list *replaced, int64_t built)
{
	/* With what will carry them, if that is new. */
	uint64_t bytes = rmap_nodes_bytes(replaced->n);
	uint64_t waiting = fetch_add_rlx(&map->pool.waiting, bytes) + bytes; /* RLX: a figure */
	uint64_t had = stock->n;
	struct magazine *full;
	struct magazine *next;
	struct node *node;

	INJECT();
	rmap_pool_note_waiting(map, waiting);
	env_mutex_lock(&map->lock);
	map->nodes.in_trees += (uint64_t)built;
	full = load(map, stock, replaced, waiting > map->waiting_max / 2);
	/*
	 * RLX: a figure. Under the lock, lest another hand over what carries these, and it be freed before it is
	 * counted.
	 */
	fetch_add_rlx(&map->pool.waiting, rmap_nodes_bytes(had - stock->n));
	while ((node = rmap_nodes_pop(stock)))
		free_push(&map->nodes, node);
	env_mutex_unlock(&map->lock);
	for (; full; full = next) {
		next = full->next;
		rmap_rcu_defer(&map->rcu, &full->deferred, magazine_work);
	}
}

void rmap_nodes_wait(struct rmap *map)
{
	struct magazine *retired;

	env_mutex_lock(&map->lock);
	retired = map->nodes.retired;
	map->nodes.retired = NULL;
	env_mutex_unlock(&map->lock);
	if (retired) {
		rmap_rcu_synchronize(&map->rcu);
		freed(map, retired);
	}
	rmap_rcu_wait(&map->rcu);
}

/* The tier ---------------------------------------------------------------------------------- */

static void give(struct rmap *map, struct node_list *list)
{
	struct node *node;

	while ((node = rmap_nodes_pop(list)))
		rmap_metadata_free(map, node, sizeof(*node));
}

/* Gives back what is free but for @n nodes. */
static void keep(struct rmap *map, unsigned n)
{
	struct node_list surplus = { 0 };

	env_mutex_lock(&map->lock);
	while (map->nodes.free_n > n)
		rmap_nodes_push(&surplus, free_pop(&map->nodes));
	map->nodes.made -= surplus.n;
	env_mutex_unlock(&map->lock);
	give(map, &surplus);
}

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
}

bool rmap_nodes_check(struct rmap *map)
{
	const struct rmap_nodes *nodes = &map->nodes;
	uint64_t n = 0;

	for (const struct magazine *magazine = nodes->free; magazine; magazine = magazine->next)
		n += magazine->n + 1;
	return n == nodes->free_n && !nodes->retired && nodes->made == nodes->in_trees + n;
}
