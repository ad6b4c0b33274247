/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * object.c - an object's ranges: updates that publish a new version of a tree (tree.c), and queries of the one they
 * find
 *
 * Updates. The object's mutex serialises them. An update is a list of changes, most often of one. If that is an attach
 * or a detach and leaves all nodes where they are, it is made in place, where it cannot fail (tree.c). Else the update
 * makes its changes in a tree of its own, whose top it copies, and has the nodes for a change in hand before it makes
 * it (nodes.c), so all that may fail lies before its first store to a word that readers see.
 *
 * Linearization. An update takes effect at its store of the version (R1), a query at its load of it (A1). The words
 * that the update swung before that lead to nodes that bear the new version, which queries of earlier ones pass over
 * for what was there before; ranges that came or went in place bear it likewise (tree.c). So a query sees exactly the
 * ranges of one moment, and nobody waits for anybody.
 *
 * Order. What an update swings and raises comes before R1, and after all of earlier updates, whose mutex sections came
 * before. So behind A1 a query finds of each word the node of its version, or a newer one and behind that its own.
 *
 * Reclamation. A published node leaves the tree by one update only, which retires it after R1. A reader that can come
 * to it, from the root or as what was there before a newer node, has an older version, so it was in its section before
 * the grace period began, which waits for it. Later readers have this version or a later one, and go past no newer node
 * to it. An updater needs no section to read the tree: only updates retire nodes, and it holds the mutex. The nodes of
 * an update that failed, and copies that were given up, were never published and are used again at once.
 *
 * Detaches without memory borrow nodes that the map keeps for them (nodes.c) and, after R1, wait for a grace period.
 *
 * Updates and rmap_object_destroy() call rmap_rcu_defer(), so their threads must be registered readers.
 *
 *      label  orders                                                     breaks without it
 *      R1     all that an update swung and raised before its version   a query of it finds words of earlier ones
 *      A1     pairs with R1: a query that has the version finds them
 *      R2     the end that a truncate has set before the new sequence;  a faulter has the new sequence and the old end:
 *             what earlier truncates did before what this one does     its recheck passes for a truncated page
 *      A2     pairs with R2: a faulter reads that end after it
 */
#include "object.h"

#include "atomic.h"
#include "pool.h"
#include "tree.h"

/*
 * struct rmap_object
 * @root:     address of the newest root node, or 0. Stored under @lock, loaded by anyone
 * @version:  how many updates were published. Likewise
 * @ranges:   how many the newest version has. Likewise
 * @truncate: the truncate sequence. Advanced and loaded by anyone
 * @nodes:    in the newest tree; under @lock
 * @deferred: for rmap_object_destroy(), which must not need memory
 */
struct rmap_object {
	uint64_t root;
	uint64_t version;
	uint64_t ranges;
	uint64_t truncate;
	struct rmap *map;
	uint64_t nodes;
	struct env_mutex lock;
	struct rmap_deferred deferred;
};

/* With the mutex held. */
static void update_start(struct update *update, struct rmap_object *object)
{
	/* RLX: stored under the mutex only. */
	*update = (struct update){
		.object = object,
		.map = object->map,
		.version = load_rlx(&object->version) + 1,
		.root = load_rlx(&object->root),
		.ranges = load_rlx(&object->ranges),
	};
}

/*
 * Takes the mutex. Before that, while it holds nothing, it waits if too much memory waits for grace periods (G8): not
 * nodes, which nodes.c sees to, but objects that have ended, and chains, for which nobody else does in a map without a
 * helper thread of which no reserve is filled.
 */
static void update_begin(struct update *update, struct rmap_object *object)
{
	struct rmap *map = object->map;

	CHECK_OUTSIDE(&map->rcu);
	/* RLX: a figure; a stale one costs a wait too many or an update too late. */
	if (load_rlx(&map->pool.waiting) > map->waiting_max)
		rmap_nodes_wait(map);
	rmap_rcu_lock(&map->rcu, &object->lock);
	update_start(update, object);
}

/* Nothing is changed. Returns @error. */
static int update_refuse(struct update *update, int error)
{
	rmap_tree_discard(update);
	env_mutex_unlock(&update->object->lock);
	rmap_nodes_return(update->map, &update->stock, 0);
	/* A list may have built much. */
	if (!update->nowait)
		rmap_nodes_keep_few(update->map);
	return error;
}

/*
 * Publishes the new tree and releases the mutex. Returns by how many nodes it has grown; then @update has those to
 * retire.
 */
static int64_t update_publish(struct update *update)
{
	struct rmap_object *object = update->object;
	int64_t built;

	rmap_tree_publish(update, &object->root);
	built = (int64_t)(update->taken - update->stock.n - update->replaced.n);
	object->nodes += (uint64_t)built;
	store_rlx(&object->ranges, update->ranges); /* RLX: a figure, ordered by R1 for who has seen the update */
	INJECT();
	/* R1: the update takes effect, whole. Pairs with A1. */
	store_rel(&object->version, update->version);
	env_mutex_unlock(&object->lock);
	return built;
}

static int update_end(struct update *update)
{
	int64_t built = update_publish(update);

	rmap_nodes_retire(update->map, &update->stock, &update->replaced, built, !update->nowait);
	return 0;
}

/* Before each step: nodes enough for it. 0, -ENOMEM or -EAGAIN. */
static int update_stock(struct update *update)
{
	unsigned needs = rmap_tree_needs(update->root);
	uint64_t had = update->stock.n;
	int error = 0;

	if (had < needs || update->spares < needs + 2) {
		error = rmap_nodes_take(update->map, &update->stock, needs, needs + 2, !update->nowait);
		update->spares = needs + 2;
	}
	update->taken += update->stock.n - had;
	return error;
}

/*
 * Puts @with[0] .. @with[@n - 1] in the place of @old; if that is NULL, of nothing. 0, or why the update has failed.
 * What has not @old's key again is keyed anew: who goes through the ranges in batches may have passed its new place
 * before it came there, and @old's after that was gone. So may what comes in a list of which another change has what
 * goes.
 */
static int change(struct update *update, const struct rmap_range *old, const struct rmap_range *with, size_t n)
{
	struct item gone = { .keyed = 0 };
	int error = 0;

	if (n > 0 ? !with : !old)
		return -EINVAL;
	if (old) {
		error = update_stock(update);
		if (!error)
			error = rmap_tree_remove(update, old, &gone);
	}
	for (size_t i = 0; i < n && !error; i++) {
		bool same = old && rmap_range_compare(old, &with[i]) == 0;
		uint64_t keyed = update->version * KEYED_ONE + (old || update->anew ? KEYED_ANEW : 0);

		error = rmap_range_is_valid(&with[i]) ? update_stock(update) : -EINVAL;
		if (!error)
			error = rmap_tree_insert(update, &with[i], same ? gone.keyed : keyed);
	}
	return error;
}

/* An update that is one attach or one detach, if it leaves all nodes where they are. */
static bool update_in_place(struct update *update, const struct rmap_range *old, const struct rmap_range *with,
			    size_t n)
{
	bool done = false;

	if (!old && with && n == 1)
		done = rmap_range_is_valid(with) &&
		       rmap_tree_insert_in_place(update, with, update->version * KEYED_ONE);
	else if (old && n == 0)
		done = rmap_tree_remove_in_place(update, old);
	if (done)
		update_publish(update);
	return done;
}

/* An update of one change. */
static int update_with(struct update *update, const struct rmap_range *old, const struct rmap_range *with, size_t n)
{
	int error = change(update, old, with, n);

	return error ? update_refuse(update, error) : update_end(update);
}

/*
 * For want of memory. It waits without the mutex: who waits for that may be an online reader, without which no grace
 * period ends.
 */
static int detach_with_spares(struct rmap_object *object, const struct rmap_range *range)
{
	struct rmap *map = object->map;
	struct update update;
	struct item gone;
	int64_t built;

	for (;;) {
		update_begin(&update, object);
		/* An object that has no tree has seen to no spares. */
		if (!rmap_tree_find(update.root, range))
			return update_refuse(&update, -ENOENT);
		if (rmap_nodes_borrow(map, &update.stock, rmap_tree_needs(update.root)))
			break;
		env_mutex_unlock(&object->lock);
		rmap_rcu_synchronize(&map->rcu); /* as the borrower does before it returns them */
	}
	update.taken = update.stock.n;
	rmap_tree_remove(&update, range, &gone);
	built = update_publish(&update);
	rmap_rcu_synchronize(&map->rcu);
	rmap_nodes_return(map, &update.replaced, built);
	rmap_nodes_return(map, &update.stock, 0);
	return 0;
}

static int detach_one_by_one(struct rmap_object *object, struct rmap_change *changes, size_t n)
{
	int error = 0;

	for (size_t i = 0; i < n; i++)
		if (error)
			changes[i].error = 0;
		else
			error = changes[i].error = detach_with_spares(object, changes[i].range);
	return error;
}

int rmap_object_update(struct rmap_object *object, struct rmap_change *changes, size_t n)
{
	struct update update;
	bool detaches = true;
	bool anew = false;
	int error = 0;

	if (!object || (!changes && n > 0))
		return -EINVAL;
	for (size_t i = 0; i < n; i++) {
		changes[i].error = 0;
		detaches &= changes[i].range && changes[i].n == 0;
		anew |= changes[i].range != NULL;
	}
	update_begin(&update, object);
	if (n == 1 && update_in_place(&update, changes[0].range, changes[0].with, changes[0].n))
		return 0;
	update.anew = anew;
	for (size_t i = 0; i < n && !error; i++) {
		error = change(&update, changes[i].range, changes[i].with, changes[i].n);
		changes[i].error = error;
	}
	if (!error)
		return update_end(&update);
	update_refuse(&update, error);
	return error == -ENOMEM && detaches ? detach_one_by_one(object, changes, n) : error;
}

int rmap_object_attach(struct rmap_object *object, const struct rmap_range *range)
{
	return rmap_object_update(object, &(struct rmap_change){ .with = range, .n = 1 }, 1);
}

int rmap_object_detach(struct rmap_object *object, const struct rmap_range *range)
{
	return rmap_object_update(object, &(struct rmap_change){ .range = range }, 1);
}

int rmap_object_detach_nowait(struct rmap_object *object, const struct rmap_range *range)
{
	struct update update;

	if (!object || !range)
		return -EINVAL;
	if (!env_mutex_trylock(&object->lock))
		return -EAGAIN;
	update_start(&update, object);
	update.nowait = true;
	if (update_in_place(&update, range, NULL, 0))
		return 0;
	if (!rmap_tree_find(update.root, range))
		return update_refuse(&update, -ENOENT); /* however few nodes are free */
	return update_with(&update, range, NULL, 0);
}

int rmap_object_replace(struct rmap_object *object, const struct rmap_range *range, const struct rmap_range *with,
			size_t n)
{
	if (!range || n == 0)
		return -EINVAL;
	return rmap_object_update(object, &(struct rmap_change){ .range = range, .with = with, .n = n }, 1);
}

/* Begins an update of the range that @name names, of which it makes a copy in @old. On an error nothing is held. */
static int update_begin_with(struct update *update, struct rmap_object *object, const struct rmap_range *name,
			     struct rmap_range *old)
{
	const struct item *item;

	if (!object || !name)
		return -EINVAL;
	update_begin(update, object);
	item = rmap_tree_find(update->root, name);
	if (!item)
		return update_refuse(update, -ENOENT);
	*old = item->range;
	return 0;
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
	return update_with(&update, &old, halves, 2);
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
	return update_with(&update, &old, &moved, 1);
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
	return update_with(&update, &old, &resized, 1);
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
	return update_with(&update, &old, &tagged, 1);
}

/* For a reader: the version of this moment, and its root. */
static const struct node *object_root(const struct rmap_object *object, uint64_t *version)
{
	CHECK_INSIDE(&object->map->rcu);
	*version = load_acq(&object->version); /* A1: the query takes effect. Pairs with R1. */
	INJECT();
	return rmap_tree_node(&object->root, *version);
}

static int query_all(const struct rmap_object *object, struct query *query)
{
	const struct node *root = object_root(object, &query->version);

	query->before = (query->version + 1) * KEYED_ONE;
	return root ? rmap_tree_visit(root, query, NULL) : 0;
}

int rmap_object_visit_next(const struct rmap_object *object, const struct rmap_range *like,
			   struct rmap_range_position *position, rmap_range_visit visit, void *arg)
{
	for (;;) {
		uint64_t version;
		const struct node *root = object_root(object, &version);
		bool resumes = position->resumes;
		struct query query;
		int stop;

		if (!root)
			return 0;
		if (!resumes)
			position->next = (version + 1) * KEYED_ONE;
		query = (struct query){ version,         like->first,    like->last, like->tags,
					position->since, position->next, visit,      arg };
		stop = rmap_tree_visit(root, &query, resumes ? &position->after : NULL);
		if (stop || !resumes)
			return stop;
		/* Now those that were keyed anew while this pass went through several versions. */
		position->late += position->since > 0;
		position->since = position->next;
		position->resumes = 0;
	}
}

int rmap_object_stab(const struct rmap_object *object, uint64_t index, rmap_range_visit visit, void *arg)
{
	if (!object || !visit)
		return -EINVAL;
	return query_all(object, &(struct query){ .first = index, .last = index, .visit = visit, .arg = arg });
}

int rmap_object_tagged(const struct rmap_object *object, uint32_t tags, uint64_t first, uint64_t last,
		       rmap_range_visit visit, void *arg)
{
	if (!object || !visit)
		return -EINVAL;
	if (last < first || tags == 0)
		return 0;
	return query_all(object,
			 &(struct query){ .first = first, .last = last, .tags = tags, .visit = visit, .arg = arg });
}

uint64_t rmap_object_ranges(const struct rmap_object *object)
{
	if (!object)
		return 0;
	CHECK_INSIDE(&object->map->rcu);
	return load_rlx(&object->ranges); /* RLX: no older than any update that the caller has seen */
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
	if (env_mutex_init(&object->lock) != 0) {
		rmap_metadata_free(map, object, sizeof(*object));
		return -ENOMEM;
	}
	object->map = map;
	env_mutex_lock(&map->lock);
	map->objects++;
	env_mutex_unlock(&map->lock);
	*out = object;
	return 0;
}

/* What an object takes, apart from retired nodes. The object has ended, so its tree stays as it is. */
static uint64_t object_bytes(const struct rmap_object *object)
{
	return sizeof(*object) + rmap_nodes_bytes(object->nodes);
}

static void object_free(struct rmap_deferred *deferred)
{
	struct rmap_object *object = container_of(deferred, struct rmap_object, deferred);
	struct rmap *map = object->map;
	uint64_t bytes = object_bytes(object);
	struct node_list nodes = { 0 };

	rmap_tree_take_apart(load_rlx(&object->root), &nodes); /* RLX: the deferral orders it. */
	CHECK(nodes.n == object->nodes, "an object has lost count of its nodes");
	rmap_nodes_free(map, &nodes);
	env_mutex_destroy(&object->lock);
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
	uint64_t bytes;

	if (!object)
		return;
	map = object->map;
	CHECK_OUTSIDE(&map->rcu);
	env_mutex_lock(&map->lock);
	map->objects--;
	env_mutex_unlock(&map->lock);
	bytes = object_bytes(object); /* no update runs, and the caller is ordered after all of them */
	/* RLX: a figure. Counted before the deferral, so that it never falls below zero. */
	rmap_pool_note_waiting(map, fetch_add_rlx(&map->pool.waiting, bytes) + bytes);
	rmap_rcu_defer(&map->rcu, &object->deferred, object_free);
}

int rmap_object_check(const struct rmap_object *object)
{
	struct env_mutex *lock;
	const struct node *root;
	uint64_t ranges = 0;
	uint64_t version;
	bool alone;
	bool holds;

	if (!object)
		return -EINVAL;
	/* Without waiting, for it is in a section. Beside an update summaries may say more than there is. */
	lock = (struct env_mutex *)&object->lock;
	alone = env_mutex_trylock(lock);
	root = object_root(object, &version);
	holds = rmap_tree_check(root, version, alone, &ranges);
	if (alone)
		env_mutex_unlock(lock);
	return holds ? 0 : -EINVAL;
}
