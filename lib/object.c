/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * object.c - an object's ranges: updates that publish a new tree (tree.c), and queries of the one they find
 *
 * Updates. The object's mutex serialises them. An update builds all the nodes that differ, so all that may fail for
 * want of memory lies before the one store to the root word.
 *
 * Linearization. An update takes effect at its store to the root (R1), a query at its load of the root (A1). What a
 * reader reaches from that load never changes, save two words that only updaters look at (serial, next), so a query
 * sees exactly the ranges of one moment and takes a bounded number of steps.
 *
 * Order. A node reachable from a root was built by the update that stored this root or by an earlier one, whose mutex
 * section came before. So R1 is ordered after the building of all of them, and the loads after A1 need no order.
 *
 * Reclamation. A published node leaves the tree by one update only, which puts it on its list of replaced nodes and,
 * after R1, defers the list. A reader that can hold such a node loaded an older root, so it was in its section before
 * the grace period began, which waits for it. Later readers start from a root that does not reach the node. An updater
 * needs no section to read the tree: only updates retire nodes, and it holds the mutex. The nodes of an update that
 * failed were never published and are freed at once.
 *
 * Spares. A detach must not fail for want of memory: an exit cannot. It builds at most three nodes a level (the path,
 * and two that a rotation makes its own); each update that adds a range sees to it that the map owns
 * that many spare nodes for its tree. A detach that gets no memory borrows them and, after R1, waits for a grace period.
 * Each node it built stands for one that it replaced, and the range's own node goes without: one more. A reader that can
 * hold one of these was in its section before R1, so after that wait nobody does. They are the spares now, and the one
 * more is freed. If too few spares are in hand, others have borrowed some, and return them after a wait of their own.
 *
 * Updates and rmap_object_destroy() call rmap_rcu_defer(), so their threads must be registered readers.
 *
 *      label  orders                                                     breaks without it
 *      R1     the fields of all new nodes before the root reaches them   a reader follows links not yet written
 *      A1     pairs with R1: a reader reads those fields
 *      R2     the end that a truncate has set before the new sequence;  a faulter has the new sequence and the old end:
 *             what earlier truncates did before what this one does     its recheck passes for a truncated page
 *      A2     pairs with R2: a faulter reads that end after it
 */
#include "object.h"

#include "atomic.h"
#include "map.h"
#include "tree.h"

#include <errno.h>

/*
 * struct rmap_object
 * @root:     address of the root node, or 0. Stored under @lock, loaded by anyone
 * @truncate: the truncate sequence. Advanced and loaded by anyone
 * @serial:   how many updates have begun; under @lock
 * @keys:     how many updates gave keys to ranges; under @lock
 * @deferred: for rmap_object_destroy(), which must not need memory
 */
struct rmap_object {
	uint64_t root;
	uint64_t truncate;
	struct rmap *map;
	uint64_t serial;
	uint64_t keys;
	pthread_mutex_t lock;
	struct rmap_deferred deferred;
};

/* struct retirement - the @nodes that one update replaced, linked through next */
struct retirement {
	struct rmap_deferred deferred;
	struct node *nodes;
};

/* What begins to wait is counted before its deferral, so that the figure never falls below zero. */
static void count_waiting(struct rmap *map, uint64_t bytes)
{
	uint64_t waiting = fetch_add_rlx(&map->pool.waiting, bytes) + bytes; /* RLX: a figure */

	if (waiting > load_rlx(&map->pool.peak))
		store_rlx(&map->pool.peak, waiting); /* RLX: a figure; a lost race loses one sample */
}

static void retirement_free(struct rmap_deferred *deferred)
{
	struct retirement *retirement = caa_container_of(deferred, struct retirement, deferred);
	struct rmap *map = caa_container_of(deferred->rcu, struct rmap, rcu);
	uint64_t bytes = sizeof(*retirement);
	struct node *next;

	for (struct node *node = retirement->nodes; node; node = next) {
		next = node->next;
		bytes += sizeof(*node);
		rmap_metadata_free(map, node, sizeof(*node));
	}
	/* RLX: a figure. What retire() counted must be what is freed: rmap_check() looks. */
	fetch_add_rlx(&map->pool.waiting, -bytes);
	rmap_metadata_free(map, retirement, sizeof(*retirement));
}

/* @nodes are in no tree that a reader can begin with from now on. */
static void retire(struct rmap *map, struct retirement *retirement, struct node *nodes)
{
	uint64_t bytes = sizeof(*retirement);

	retirement->nodes = nodes;
	for (const struct node *node = nodes; node; node = node->next)
		bytes += sizeof(*node);
	INJECT();
	count_waiting(map, bytes);
	rmap_rcu_defer(&map->rcu, &retirement->deferred, retirement_free);
}

/* How many nodes a detach may build from a tree of @weight; the height is at most 2.41 times its logarithm. */
static unsigned spares_needed(uint64_t weight)
{
	unsigned height = 1;

	for (; weight > 1; weight >>= 1)
		height += 3;
	return 3 * height;
}

static void spares_put(struct rmap *map, struct node *nodes)
{
	struct node *next;

	pthread_mutex_lock(&map->lock);
	for (; nodes; nodes = next) {
		next = nodes->next;
		nodes->next = map->spares;
		map->spares = nodes;
		map->spares_n++;
	}
	pthread_mutex_unlock(&map->lock);
}

/* Enough spares for a detach from the tree of @root, or NULL: they are lent. */
static struct node *spares_take(struct rmap *map, const struct node *root)
{
	unsigned needed = spares_needed(tree_weight(root));
	struct node *taken = NULL;
	struct node *node;

	pthread_mutex_lock(&map->lock);
	if (map->spares_n >= needed) {
		map->spares_n -= needed;
		while (needed-- > 0) {
			node = map->spares;
			map->spares = node->next;
			node->next = taken;
			taken = node;
		}
	}
	pthread_mutex_unlock(&map->lock);
	return taken;
}

/* Before an update that leaves a tree of @weight at most: sees to it that the map has spares for it. 0 or -ENOMEM. */
static int spares_grow(struct rmap *map, uint64_t weight)
{
	struct node *node;

	/* RLX: only grows, after the put. Who sees it too small makes a spare too many. */
	while (load_rlx(&map->spares_made) < spares_needed(weight)) {
		node = rmap_metadata_alloc(map, sizeof(*node), RANGE_ALIGN);
		if (!node)
			return -ENOMEM;
		node->next = NULL;
		spares_put(map, node);
		fetch_add_rlx(&map->spares_made, 1); /* RLX: as above */
	}
	return 0;
}

void rmap_spares_free(struct rmap *map)
{
	struct node *next;

	for (struct node *node = map->spares; node; node = next) {
		next = node->next;
		rmap_metadata_free(map, node, sizeof(*node));
	}
}

/*
 * Builds the tree without @old, if not NULL, and with @ranges, and publishes it. 0, -EEXIST or -ENOMEM. What has not
 * @old's key again is keyed anew: who goes through the ranges in batches may have passed its new place before it came
 * there, and @old's after that was gone.
 */
static int build(struct update *update, const struct rmap_range *old, const struct rmap_range *ranges, size_t n)
{
	struct rmap_object *object = update->object;
	uint64_t kept = old ? rmap_tree_find(update->root, old)->keyed : 0;
	uint64_t keyed = (object->keys + 1) * KEYED_ONE + (old ? KEYED_ANEW : 0);

	if (old && rmap_tree_remove(update, old) != 0)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		bool same = old && rmap_range_compare(old, &ranges[i]) == 0;
		int error = rmap_tree_insert(update, &ranges[i], same ? kept : keyed);

		if (error)
			return error;
	}
	object->keys += n > 0;
	INJECT();
	/* R1: the update takes effect, whole. Publishes the new nodes; pairs with A1. */
	store_rel(&object->root, (uintptr_t)update->root);
	return 0;
}

/*
 * Takes the mutex. Before that, while it holds nothing, it waits if too much memory waits for grace periods: that
 * bounds what updates leave behind (G8), also in a map without a helper thread of which no reserve is ever filled.
 */
static void update_begin(struct update *update, struct rmap_object *object)
{
	struct rmap *map = object->map;

	CHECK_OUTSIDE(&map->rcu);
	/* RLX: a figure; a stale one costs a wait too many or an update too late. */
	if (load_rlx(&map->pool.waiting) > map->waiting_max)
		rmap_rcu_wait(&map->rcu);
	rmap_rcu_lock(&map->rcu, &object->lock);
	object->serial++;
	/* RLX: stored under the mutex only. */
	*update = (struct update){
		.object = object,
		.map = map,
		.serial = object->serial,
		.root = (struct node *)(uintptr_t)load_rlx(&object->root),
	};
}

static int update_refuse(struct update *update, int error)
{
	pthread_mutex_unlock(&update->object->lock);
	return error;
}

/*
 * Replaces @old, or nothing if that is NULL, by @ranges, releases the mutex, and retires. Returns what the public
 * function returns.
 */
static int update_end(struct update *update, const struct rmap_range *old, const struct rmap_range *ranges, size_t n)
{
	struct rmap *map = update->object->map;
	struct retirement *retirement;
	int error;

	for (size_t i = 0; i < n; i++)
		if (!rmap_range_is_valid(&ranges[i]))
			return update_refuse(update, -EINVAL);
	if (n > 0 && spares_grow(map, tree_weight(update->root) + n) != 0)
		return update_refuse(update, -ENOMEM);
	retirement = rmap_metadata_alloc(map, sizeof(*retirement), RANGE_ALIGN);
	if (!retirement)
		return update_refuse(update, -ENOMEM);
	error = build(update, old, ranges, n);
	if (error)
		rmap_tree_free_new(update, update->root);
	pthread_mutex_unlock(&update->object->lock);
	if (error || !update->replaced) {
		rmap_metadata_free(map, retirement, sizeof(*retirement));
		return error;
	}
	retire(map, retirement, update->replaced);
	return 0;
}

/* Begins an update of the range that @name names, of which it makes a copy in @old. On an error nothing is held. */
static int update_begin_with(struct update *update, struct rmap_object *object, const struct rmap_range *name,
			     struct rmap_range *old)
{
	const struct node *node;

	if (!object || !name)
		return -EINVAL;
	update_begin(update, object);
	node = rmap_tree_find(update->root, name);
	if (!node)
		return update_refuse(update, -ENOENT);
	*old = node->range;
	return 0;
}

int rmap_object_attach(struct rmap_object *object, const struct rmap_range *range)
{
	struct update update;

	if (!object || !range)
		return -EINVAL;
	update_begin(&update, object);
	return update_end(&update, NULL, range, 1);
}

/*
 * For want of memory. It waits without the mutex: who waits for that may be an online reader, without which no grace
 * period ends.
 */
static int detach_with_spares(struct rmap_object *object, const struct rmap_range *range)
{
	struct rmap *map = object->map;
	struct update update;
	struct rmap_range old;
	struct node *gone;
	int error;

	while (!(error = update_begin_with(&update, object, range, &old)) &&
	       !(update.spares = spares_take(map, update.root))) {
		pthread_mutex_unlock(&object->lock);
		rmap_rcu_synchronize(&map->rcu); /* as the borrower does before it returns them */
	}
	if (error)
		return error;
	error = build(&update, &old, NULL, 0);
	CHECK(!error, "a detach builds more nodes than it has spares");
	pthread_mutex_unlock(&object->lock);
	rmap_rcu_synchronize(&map->rcu);
	gone = update.replaced;
	spares_put(map, gone->next);
	spares_put(map, update.spares);
	rmap_metadata_free(map, gone, sizeof(*gone));
	return 0;
}

int rmap_object_detach(struct rmap_object *object, const struct rmap_range *range)
{
	struct update update;
	struct rmap_range old;
	int error = update_begin_with(&update, object, range, &old);

	if (!error)
		error = update_end(&update, &old, NULL, 0);
	return error == -ENOMEM ? detach_with_spares(object, range) : error;
}

int rmap_object_replace(struct rmap_object *object, const struct rmap_range *range, const struct rmap_range *with,
			size_t n)
{
	struct update update;
	struct rmap_range old;
	int error;

	if (!with || n == 0)
		return -EINVAL;
	error = update_begin_with(&update, object, range, &old);
	return error ? error : update_end(&update, &old, with, n);
}

int rmap_object_split(struct rmap_object *object, const struct rmap_range *range, uint64_t index)
{
	struct update update;
	struct rmap_range old;
	struct rmap_range halves[2];
	int error = update_begin_with(&update, object, range, &old);

	if (error)
		return error;
	if (!rmap_range_covers(&old, index) || index == old.first)
		return update_refuse(&update, -EINVAL);
	halves[0] = old;
	halves[0].last = index - 1;
	halves[1] = old;
	halves[1].first = index;
	halves[1].address = rmap_range_address(&old, index);
	return update_end(&update, &old, halves, 2);
}

int rmap_object_move(struct rmap_object *object, const struct rmap_range *range, uint64_t address)
{
	struct update update;
	struct rmap_range old;
	struct rmap_range moved;
	int error = update_begin_with(&update, object, range, &old);

	if (error)
		return error;
	moved = old;
	moved.address = address;
	return update_end(&update, &old, &moved, 1);
}

int rmap_object_resize(struct rmap_object *object, const struct rmap_range *range, uint64_t first, uint64_t last)
{
	struct update update;
	struct rmap_range old;
	struct rmap_range resized;
	uint64_t bytes;
	int error = update_begin_with(&update, object, range, &old);

	if (error)
		return error;
	resized = old;
	resized.first = first;
	resized.last = last;
	if (first < old.first) {
		if (!rmap_indexes_to_bytes(old.first - first, old.page_shift, &bytes) || bytes > old.address)
			return update_refuse(&update, -EINVAL);
		resized.address -= bytes;
	} else {
		if (!rmap_indexes_to_bytes(first - old.first, old.page_shift, &bytes) ||
		    bytes > UINT64_MAX - old.address)
			return update_refuse(&update, -EINVAL);
		resized.address += bytes;
	}
	return update_end(&update, &old, &resized, 1);
}

int rmap_object_tag(struct rmap_object *object, const struct rmap_range *range, uint32_t tags)
{
	struct update update;
	struct rmap_range old;
	struct rmap_range tagged;
	int error = update_begin_with(&update, object, range, &old);

	if (error)
		return error;
	tagged = old;
	tagged.tags = tags;
	return update_end(&update, &old, &tagged, 1);
}

/* The tree of this moment, for a reader. */
static const struct node *object_root(const struct rmap_object *object)
{
	const struct node *root;

	CHECK_INSIDE(&object->map->rcu);
	/* A1: the query takes effect. Pairs with R1: all nodes reached from here are written. */
	root = (const struct node *)(uintptr_t)load_acq(&object->root);
	INJECT();
	return root;
}

int rmap_object_visit_next(const struct rmap_object *object, const struct rmap_range *like,
			   struct rmap_range_position *position, rmap_range_visit visit, void *arg)
{
	const struct node *root = object_root(object);
	bool resumes = position->resumes;
	struct query query;
	int stop;

	if (!root)
		return 0;
	if (!resumes)
		position->next = (root->max_keyed | KEYED_ANEW) + 1;
	query = (struct query){ like->first, like->last, like->tags, position->since, position->next, visit, arg };
	stop = rmap_tree_visit(root, &query, resumes ? &position->after : NULL);
	if (stop || !resumes)
		return stop;
	/* Now those that were keyed anew while this pass went through several versions. */
	position->late += position->since > 0;
	position->since = position->next;
	position->resumes = 0;
	return rmap_object_visit_next(object, like, position, visit, arg);
}

int rmap_object_stab(const struct rmap_object *object, uint64_t index, rmap_range_visit visit, void *arg)
{
	const struct query query = { index, index, 0, 0, UINT64_MAX, visit, arg };

	if (!object || !visit)
		return -EINVAL;
	return rmap_tree_visit(object_root(object), &query, NULL);
}

int rmap_object_tagged(const struct rmap_object *object, uint32_t tags, uint64_t first, uint64_t last,
		       rmap_range_visit visit, void *arg)
{
	const struct query query = { first, last, tags, 0, UINT64_MAX, visit, arg };

	if (!object || !visit)
		return -EINVAL;
	if (last < first || tags == 0)
		return 0;
	return rmap_tree_visit(object_root(object), &query, NULL);
}

uint64_t rmap_object_ranges(const struct rmap_object *object)
{
	const struct node *root = object ? object_root(object) : NULL;

	return root ? root->size : 0;
}

uint64_t rmap_object_truncate_seq(const struct rmap_object *object)
{
	/* A2: pairs with R2: who has this sequence sees the end that was set before it. */
	return load_acq(&object->truncate);
}

void rmap_object_truncate_advance(struct rmap_object *object)
{
	/*
	 * R2: publishes the new end; pairs with A2. A faulter that has the sequence before it and takes its pte lock
	 * after truncate released that lock meets the new one in its recheck: the lock orders them. If it took the
	 * lock first, truncate finds its pte.
	 */
	fetch_add_acqrel(&object->truncate, 1);
}

int rmap_object_create(struct rmap *map, struct rmap_object **out)
{
	struct rmap_object *object;

	if (!map || !out)
		return -EINVAL;
	object = rmap_metadata_alloc(map, sizeof(*object), LINE_BYTES);
	if (!object)
		return -ENOMEM;
	if (pthread_mutex_init(&object->lock, NULL) != 0) {
		rmap_metadata_free(map, object, sizeof(*object));
		return -ENOMEM;
	}
	object->map = map;
	pthread_mutex_lock(&map->lock);
	map->objects++;
	pthread_mutex_unlock(&map->lock);
	*out = object;
	return 0;
}

/* What an object takes, apart from retired nodes. The object has ended, so its tree stays as it is. */
static uint64_t object_bytes(const struct rmap_object *object, const struct node *root)
{
	return sizeof(*object) + (root ? root->size : 0) * sizeof(*root);
}

static void object_free(struct rmap_deferred *deferred)
{
	struct rmap_object *object = caa_container_of(deferred, struct rmap_object, deferred);
	struct rmap *map = object->map;
	struct node *root = (struct node *)(uintptr_t)load_rlx(&object->root); /* RLX: the deferral orders it. */
	uint64_t bytes = object_bytes(object, root);

	rmap_tree_free(map, root);
	pthread_mutex_destroy(&object->lock);
	rmap_metadata_free(map, object, sizeof(*object));
	/* RLX: a figure. */
	fetch_add_rlx(&map->pool.waiting, -bytes);
}

/*
 * Nobody unlinks the tree: the embedder promises that no walk of the object begins any more, so the grace period that
 * starts here waits for all that hold one of its nodes. Replaced nodes are not in the tree; their own deferrals free
 * them, before or after.
 */
void rmap_object_destroy(struct rmap_object *object)
{
	struct rmap *map;

	if (!object)
		return;
	map = object->map;
	CHECK_OUTSIDE(&map->rcu);
	pthread_mutex_lock(&map->lock);
	map->objects--;
	pthread_mutex_unlock(&map->lock);
	/* RLX: no update runs, and the caller is ordered after all of them. */
	count_waiting(map, object_bytes(object, (struct node *)(uintptr_t)load_rlx(&object->root)));
	rmap_rcu_defer(&map->rcu, &object->deferred, object_free);
}

int rmap_object_check(const struct rmap_object *object)
{
	if (!object)
		return -EINVAL;
	return rmap_tree_check(object_root(object), NULL, NULL) ? 0 : -EINVAL;
}
