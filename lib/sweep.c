/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sweep.c - giving free slabs back to the tier, and checking that the figures are true
 *
 * Free pieces get shorter, for what is cut is not joined when it comes back. A sweep joins what lies side by side, and
 * gives slabs of which nothing is missing to the tier. A drain sweeps, and a fill that is out of memory; and one begins
 * by itself when a slab is carved though much may be free:
 *
 *      begin      the depots are emptied, each by one exchange, and the rest is deferred by a grace period
 *      sort       all pieces and the heads of all slabs, by address: what follows a head lies in its slab
 *      settle     slab by slab: if the free pieces are all that was carved out of it, it is unlinked and deferred by
 *                 another grace period, for rmap_pool_owns() may be reading its head; if not, they go back to the
 *                 depots
 *
 * One sweep at a time: it uses the pool's own record and rings, so it needs no memory. Fills that find a depot empty
 * meanwhile carve fresh memory; one that gets none sweeps, too, and keeps the next sweep from beginning until it has
 * looked again: what is free is then where a fill finds it.
 *
 * Nobody can have a swept piece in hand in mid-pop when it goes back: it was taken out of the depot before the grace
 * period. An exchange beside a pop or a push makes their compare-and-swaps fail, or comes as if before or after them.
 *
 *      label  orders                                                   breaks without it
 *      A1     pairs with R1 of pool.c: a sweep reads magazines' links
 */
#include "leaf.h"
#include "pool.h"

/* Words of what a sweep sorts: struct slab has its own in these places. Kinds are classes, and two more. */
enum { SWEEP_LINK = MAGAZINE_MAGAZINE, SWEEP_KIND = MAGAZINE_COUNT };

_Static_assert(offsetof(struct slab, link) == SWEEP_LINK * sizeof(uint64_t), "heads are sorted among pieces");
_Static_assert(offsetof(struct slab, kind) == SWEEP_KIND * sizeof(uint64_t), "heads are sorted among pieces");

static uint64_t *pointer(uint64_t word)
{
	return (uint64_t *)(uintptr_t)word;
}

static uint64_t bytes_of(const uint64_t pieces[SLOT_CLASSES])
{
	uint64_t bytes = 0;

	for (unsigned class = 0; class < SLOT_CLASSES; class++)
		bytes += pieces[class] * class_bytes(class);
	return bytes;
}

/* A sweep is due when a quarter more than the last one kept has been carved, and so many slabs. */
#define SWEEP_SLABS 4u

/* Begin ------------------------------------------------------------------------------------- */

static void sweep_work(struct rmap_deferred *deferred);

/* Called with the pool's lock held; none runs. */
static void sweep_begin(struct rmap *map)
{
	struct rmap_pool *pool = &map->pool;

	pool->sweeps++;
	pool->sweeping = true;
	for (unsigned class = 0; class < SLOT_CLASSES; class++) {
		pool->swept[class] = 0;
		if (load_rlx(&pool->depots[class])) /* RLX: a hint; what comes later may stay */
			/* A1: pairs with R1 of pool.c. */
			pool->swept[class] = exchange_acqrel(&pool->depots[class], 0);
	}
	rmap_rcu_defer(&map->rcu, &pool->sweep, sweep_work);
}

void rmap_pool_sweep_if_due(struct rmap *map)
{
	struct rmap_pool *pool = &map->pool;

	if (!env_mutex_trylock(&pool->regroup))
		return;
	rmap_rcu_lock(&map->rcu, &pool->lock);
	if (!pool->sweeping && pool->carved >= pool->kept + pool->kept / 4 + SWEEP_SLABS * map->tier.granule)
		sweep_begin(map);
	env_mutex_unlock(&pool->lock);
	env_mutex_unlock(&pool->regroup);
}

void rmap_pool_sweep_wait(struct rmap *map)
{
	bool sweeping;

	rmap_rcu_lock(&map->rcu, &map->pool.lock);
	sweeping = map->pool.sweeping;
	env_mutex_unlock(&map->pool.lock);
	if (sweeping) {
		rmap_rcu_wait(&map->rcu); /* its work */
		rmap_rcu_wait(&map->rcu); /* and what that defers */
	}
}

static uint64_t sweeps_begun(struct rmap *map)
{
	uint64_t sweeps;

	rmap_rcu_lock(&map->rcu, &map->pool.lock);
	sweeps = map->pool.sweeps;
	env_mutex_unlock(&map->pool.lock);
	return sweeps;
}

void rmap_pool_sweep(struct rmap *map)
{
	uint64_t begun = sweeps_begun(map);
	bool another;

	rmap_rcu_lock(&map->rcu, &map->pool.regroup);
	another = sweeps_begun(map) != begun;
	rmap_pool_sweep_wait(map);
	/* One that began after this call is as good as one of our own, and has ended. */
	if (another)
		return;
	rmap_rcu_lock(&map->rcu, &map->pool.lock);
	sweep_begin(map);
	env_mutex_unlock(&map->pool.lock);
	rmap_pool_sweep_wait(map);
}

void rmap_pool_sweep_end(struct rmap *map)
{
	env_mutex_unlock(&map->pool.regroup);
}

/* Sort: plain accesses, since after the grace period nobody but the sweep knows these words --------- */

static uint64_t *put(uint64_t *list, uint64_t *item, unsigned kind)
{
	item[SWEEP_LINK] = (uintptr_t)list;
	item[SWEEP_KIND] = kind;
	return item;
}

/* The pieces of one class's magazines. */
static uint64_t *collect_class(struct rmap *map, unsigned class, uint64_t *items)
{
	uint64_t *magazine = pointer(map->pool.swept[class]);
	uint64_t *piece = NULL;

	while (piece || magazine) {
		uint64_t *next;

		if (!piece) {
			piece = magazine;
			magazine = pointer(magazine[MAGAZINE_MAGAZINE]);
		}
		next = magazine_next(piece);
		items = put(items, piece, class);
		piece = next;
	}
	return items;
}

/* What was swept, and the heads of the slabs, in one list. */
static uint64_t *collect(struct rmap *map)
{
	uint64_t *items = NULL;

	for (unsigned class = 0; class < SLOT_CLASSES; class++)
		items = collect_class(map, class, items);
	rmap_rcu_lock(&map->rcu, &map->pool.lock);
	/* RLX: under the lock */
	for (uint64_t *slab = pointer(load_rlx(&map->pool.slabs)); slab; slab = pointer(load_rlx(slab)))
		items = put(items, slab, KIND_SLAB);
	env_mutex_unlock(&map->pool.lock);
	return items;
}

/* One pass of a radix sort: stable, by the bits of the address from @shift on. */
static uint64_t *sort_pass(uint64_t *rings[SWEEP_RINGS], uint64_t *items, unsigned shift)
{
	uint64_t sorted = 0;
	uint64_t *end = &sorted;

	memset(rings, 0, SWEEP_RINGS * sizeof(*rings));
	while (items) {
		uint64_t *item = items;
		uint64_t **ring = &rings[((uintptr_t)item >> shift) % SWEEP_RINGS];

		items = pointer(item[SWEEP_LINK]);
		item[SWEEP_LINK] = *ring ? (*ring)[SWEEP_LINK] : (uintptr_t)item;
		if (*ring)
			(*ring)[SWEEP_LINK] = (uintptr_t)item;
		*ring = item;
	}
	for (unsigned i = 0; i < SWEEP_RINGS; i++) {
		if (!rings[i])
			continue;
		*end = rings[i][SWEEP_LINK];
		end = &rings[i][SWEEP_LINK];
	}
	*end = 0;
	return pointer(sorted);
}

/* By address, in as many passes as there are bits that differ. */
static uint64_t *sort(struct rmap *map, uint64_t *items)
{
	uintptr_t any = 0;
	uintptr_t all = UINTPTR_MAX;

	for (uint64_t *item = items; item; item = pointer(item[SWEEP_LINK])) {
		any |= (uintptr_t)item;
		all &= (uintptr_t)item;
	}
	for (unsigned shift = 5; shift < 8 * sizeof(any) && (any & ~all) >> shift; shift += SWEEP_BITS)
		items = sort_pass(map->pool.rings, items, shift);
	return items;
}

/* Settle ------------------------------------------------------------------------------------ */

/*
 * struct rest - what goes back to the depots and waits for its neighbours
 * @magazine: of @count first blocks
 * @lines:    the first of @n lines in a row
 */
struct rest {
	uint64_t *magazine;
	unsigned count;
	uint64_t *lines;
	unsigned n;
};

static void magazine_push(struct rmap *map, struct rest *rest)
{
	if (rest->count)
		rmap_depot_push(map, CLASS_BLOCK, rest->magazine, rest->count);
	rest->magazine = NULL;
	rest->count = 0;
}

/* @items come by address: lines of different pieces that lie one behind the other become longer ones. */
static void back_to_depot(struct rmap *map, struct rest *rest, uint64_t *piece, unsigned class)
{
	if (class != CLASS_BLOCK) {
		UNPOISON(piece, class_bytes(class));
		if (!rest->n || rest->lines + (size_t)rest->n * LINE_SLOTS != piece) {
			rmap_depot_push_lines(map, rest->lines, rest->n);
			rest->lines = piece;
			rest->n = 0;
		}
		rest->n += piece_lines(class - CLASS_LINE);
		return;
	}
	magazine_link(piece, rest->magazine);
	rest->magazine = piece;
	if (++rest->count == MAGAZINE_BLOCKS)
		magazine_push(map, rest);
}

/* Is the free memory behind the head @slab all that was carved out of it? Then nobody carves there any more. */
static bool retire_slab(struct rmap *map, struct slab *slab)
{
	struct rmap_pool *pool = &map->pool;
	uint64_t pieces[SLOT_CLASSES] = { 0 };
	bool whole;

	for (const uint64_t *item = pointer(slab->link); item && item[SWEEP_KIND] != KIND_SLAB;
	     item = pointer(item[SWEEP_LINK]))
		pieces[item[SWEEP_KIND]]++;
	rmap_rcu_lock(&map->rcu, &pool->lock);
	whole = bytes_of(pieces) == slab->carved;
	if (whole) {
		pool->carved -= slab->carved;
		slab->kind = KIND_GONE;
		count_private(&pool->rest, slab->carved - map->tier.granule); /* RLX: under the lock, a figure */
		if (pool->newest == slab)
			pool->bump = pool->bump_end = NULL;
	}
	env_mutex_unlock(&pool->lock);
	return whole;
}

/* Goes through the sorted items. */
static void settle(struct rmap *map, uint64_t *items)
{
	struct rest rest = { 0 };
	bool gone = false;

	while (items) {
		uint64_t *next = pointer(items[SWEEP_LINK]);
		unsigned kind = (unsigned)items[SWEEP_KIND];

		if (kind == KIND_SLAB)
			gone = retire_slab(map, (struct slab *)items);
		else if (!gone)
			back_to_depot(map, &rest, items, kind);
		items = next;
	}
	magazine_push(map, &rest);
	rmap_depot_push_lines(map, rest.lines, rest.n);
}

/* Unlinks what settle() found whole. Late readers of the list go on from there: a slab keeps its own link. */
static void unlink_slabs(struct rmap *map)
{
	struct rmap_pool *pool = &map->pool;
	uint64_t *link = &pool->slabs;
	struct slab *slab;

	while ((slab = (struct slab *)pointer(load_rlx(link)))) { /* RLX: under the lock */
		if (slab->kind != KIND_GONE) {
			link = &slab->next;
			continue;
		}
		/*
		 * RLX: who reads this is in a section that began after sweep_begin() had the lock, or else the sweep
		 * would have waited for its end; so it sees the heads of all slabs of that time. What is unlinked leads
		 * to older ones only.
		 */
		store_rlx(link, load_rlx(&slab->next));
		slab->link = (uintptr_t)pool->gone;
		pool->gone = slab;
	}
}

static void free_slabs(struct rmap_deferred *deferred)
{
	struct rmap *map = container_of(deferred->rcu, struct rmap, rcu);
	struct slab *slab;
	struct slab *next;

	rmap_rcu_lock(&map->rcu, &map->pool.lock);
	slab = map->pool.gone;
	map->pool.gone = NULL;
	env_mutex_unlock(&map->pool.lock);
	for (; slab; slab = next) {
		next = (struct slab *)pointer(slab->link);
		UNPOISON(slab, map->tier.granule);
		rmap_tier_give(map, slab, map->tier.granule);
	}
	rmap_rcu_lock(&map->rcu, &map->pool.lock);
	map->pool.sweeping = false;
	env_mutex_unlock(&map->pool.lock);
}

static void sweep_work(struct rmap_deferred *deferred)
{
	struct rmap *map = container_of(deferred->rcu, struct rmap, rcu);

	settle(map, sort(map, collect(map)));
	rmap_rcu_lock(&map->rcu, &map->pool.lock);
	unlink_slabs(map);
	map->pool.kept = map->pool.carved;
	env_mutex_unlock(&map->pool.lock);
	rmap_rcu_defer(&map->rcu, deferred, free_slabs);
}

/* The figures ------------------------------------------------------------------------------- */

static uint64_t length(const uint64_t *list)
{
	uint64_t n = 0;

	for (; list; list = magazine_next(list))
		n++;
	return n;
}

/* The blocks of a row of magazines, and whether each says how many it has. */
static uint64_t length_of_all(const uint64_t *magazine, bool *right)
{
	uint64_t all = 0;

	/* RLX: nothing else runs. */
	for (; magazine; magazine = pointer(load_rlx(&magazine[MAGAZINE_MAGAZINE]))) {
		uint64_t n = length(magazine);

		*right &= n == load_rlx(&magazine[MAGAZINE_COUNT]); /* RLX: likewise */
		all += n;
	}
	return all;
}

static void count_behind(void *arg, uint64_t *piece, unsigned class)
{
	uint64_t *pieces = arg;

	(void)piece;
	pieces[class]++;
}

/* Does a reserve have in hand, and among its retired, what it says? Adds it to @pieces. */
static bool check_reserve(const struct rmap_reserve *reserve, uint64_t pieces[SLOT_CLASSES])
{
	const struct hand *hand = &reserve->hand;
	const struct retired *lists = &reserve->lists;
	const uint64_t *piece = lists->pieces;
	uint64_t retired[SLOT_CLASSES] = { 0 };
	uint64_t lines = 0;
	uint64_t n;
	bool right = length(lists->plain) == lists->n_plain;

	for (unsigned i = 0; i < LEAF_LINES_MAX; i++)
		lines += length(hand->runs[i]) * (i + 1);
	n = length(hand->blocks) + length_of_all(hand->magazines, &right);
	right &= n == hand->n_blocks && lines == hand->lines;
	retired[CLASS_BLOCK] = n = lists->n_plain + length(lists->blocks);
	for (; piece; n++, piece = slot_pointer(load_rlx(&piece[RETIRED_NEXT]))) /* RLX: nothing else runs */
		retired[CLASS_LINE] += load_rlx(&piece[RETIRED_LINES]) / SLOT_ONE;
	for (uint64_t *block = lists->blocks; block; block = magazine_next(block))
		rmap_leaf_each_behind((struct block *)block, count_behind, retired);
	for (unsigned class = 0; class < SLOT_CLASSES; class++)
		pieces[class] += retired[class];
	pieces[CLASS_BLOCK] += hand->n_blocks;
	pieces[CLASS_LINE] += lines;
	/* RLX: nothing else runs. */
	return right && n == reserve->retired && bytes_of(retired) == load_rlx(&reserve->retired_bytes) &&
	       load_rlx(&reserve->announced) <= load_rlx(&reserve->retired_bytes);
}

/* What the slabs' heads say against what the pool says of them. */
static bool check_slabs(const struct rmap *map)
{
	const struct rmap_pool *pool = &map->pool;
	const struct slab *slab = (const struct slab *)pointer(load_rlx(&pool->slabs)); /* RLX: nothing else runs */
	uint64_t carved = 0;
	uint64_t rest = 0;

	for (; slab; slab = (const struct slab *)pointer(load_rlx(&slab->next))) { /* RLX: likewise */
		carved += slab->carved;
		rest += map->tier.granule - slab->carved;
	}
	return carved == pool->carved && rest == load_rlx(&pool->rest); /* RLX: likewise */
}

/* All that was carved is somewhere, once; and if there are no chains, not in one. */
static bool check_pieces(const struct rmap *map, const uint64_t pieces[SLOT_CLASSES], bool chains)
{
	return chains ? bytes_of(pieces) <= map->pool.carved : bytes_of(pieces) == map->pool.carved;
}

bool rmap_pool_check(struct rmap *map, const struct rmap_statistics *stats)
{
	uint64_t pieces[SLOT_CLASSES] = { 0 }; /* in hand, retired, free: anywhere but in chains */
	uint64_t announced = 0;
	bool right = true;

	for (const struct rmap_reserve *reserve = map->reserves; reserve; reserve = reserve->next) {
		right &= check_reserve(reserve, pieces);
		announced += load_rlx(&reserve->announced); /* RLX: nothing else runs */
	}
	right &= announced == load_rlx(&map->pool.waiting); /* RLX: likewise */
	for (unsigned class = 0; class < SLOT_CLASSES; class++)
		/* RLX: likewise */
		pieces[class] += length_of_all(pointer(load_rlx(&map->pool.depots[class])), &right);
	right &= check_slabs(map) && check_pieces(map, pieces, stats->chain_bytes > 0);
	return right && stats->tier_bytes == stats->chain_bytes + bytes_of(pieces) + stats->rest_bytes;
}
