/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pool.c - slabs, depots, reserves, and retired memory on its way through RCU
 *
 * Sizes come in classes: first blocks, and pieces of lines (slot.h). All are carved out of slabs and come back to the
 * depot of their class, and from there to the tier when a sweep finds their slab whole (sweep.c).
 *
 * A magazine is a stack of blocks of one class, linked through their fourth words:
 *
 *      depot -> [ | next magazine | how many | next ] -> [ | | | next ] -> [ | | | next ] -> 0
 *               '---------- a magazine -----------------------------------------------'
 *
 * The depot is a Treiber stack without tags. Its pop reads the second magazine out of the first and then swings the
 * head, which is wrong if the first one was popped and pushed again in between. That cannot be: pops run inside
 * read-side sections, and a block enters a depot only fresh from a slab or from the tier, for the first time, or out of
 * work deferred by a grace period that began after it was taken. Even blocks that a reserve never used go back that
 * way.
 *
 * Pieces of several lines, for leaves that are rebuilt, come out of the depots, where longer ones are cut, or of what
 * the reserve has in hand (hand.c). A sweep joins what lies side by side.
 *
 * What is retired is linked through the payload of a word that readers skip: slot 2 of a first block (a late store to
 * the others does no harm), which is also the word that links a magazine. So first blocks with which nothing else
 * becomes free are a magazine from the beginning, and nobody touches them on their way through the depot, where each
 * touch would be a miss. Other first blocks, and plans, have a list of their own; the work that follows finds in them
 * what becomes free with them: what a chain led to, or what a plan had below (leaf.c). Pieces that nobody has seen, or
 * that are shut, have another one, through two slots of their first lines. So retiring needs no memory; a batch needs a
 * line for its record, a free one or one of those in hand that no add was promised; until it has one, the lists grow. A
 * fill leaves RECORD_LINES for that, and each add or move the line that it did not need: its promise ends with it
 * (page.c).
 *
 * Every byte that the tier has given is in one of six places, and the figures say how many are in each:
 *
 *      tier = chains + reserves + waiting + depots + rest of slabs        (rmap_pool_check() of sweep.c)
 *
 * waiting: retired, whether handed over or not. Of what it has retired a reserve tells the map in steps, so that
 * retiring seldom writes a shared word: pool.waiting lacks less than ANNOUNCE_BYTES of each reserve.
 *
 *      label  orders                                                   breaks without it
 *      R1     a magazine's links before its push                       the popper walks garbage
 *      A1     pairs with R1: the popper reads those links
 *      A2     pairs with R1: as A1, after losing a race
 *      R2     a slab's head before its list                            rmap_pool_owns() walks garbage
 *      A3     pairs with R2: it reads the heads
 *      R3     what emptied a chain before the word that replaces a     a late search passes it, finds nothing, and
 *             slot of it (pairs with A11 of scan.c)                    has not seen where things went: a note of a
 *                                                                      move
 */
#include "leaf.h"
#include "pool.h"

#include "moves.h"
#include "nodes.h"

#define GRANULE_DEFAULT ((size_t)16384)

/* Of what it has retired a reserve keeps less than so many bytes to itself (see announce()). */
#define ANNOUNCE_BYTES (RMAP_CHECK ? 64u : 256u)

/* How often a fill looks whether there is more in hand than fills ask for. */
#define KEEP_FILLS 256u

/* A batch on its way through RCU, in a line. */
struct batch {
	struct rmap_deferred deferred;
	struct retired lists;
};

_Static_assert(sizeof(struct batch) <= LINE_BYTES, "a batch record lives in a line");

/* The tier ---------------------------------------------------------------------------------- */

/* NULL, too, if the memory is where LINKs have their form (slot.h): then it goes back. */
static void *tier_take(struct rmap *map, size_t bytes, size_t align)
{
	void *memory = map->tier.alloc(map->tier.arg, bytes, align);

	if (((uintptr_t)memory | ((uintptr_t)memory + bytes - 1)) & FORM_MASK) {
#if RMAP_CHECK
		env_complain("rmap: a tier's memory at %p, bits 48 to 55 of whose address are not zero, is of no use\n",
			     memory);
#endif
		map->tier.free(map->tier.arg, memory, bytes);
		return NULL;
	}
	if (memory)
		fetch_add_rlx(&map->pool.bytes, bytes); /* RLX: a figure */
	return memory;
}

void rmap_tier_give(struct rmap *map, void *memory, size_t bytes)
{
	fetch_add_rlx(&map->pool.bytes, -(uint64_t)bytes); /* RLX: a figure */
	map->tier.free(map->tier.arg, memory, bytes);
}

/* The depot --------------------------------------------------------------------------------- */

/* @magazine is linked through its blocks; PRIV until R1. */
void rmap_depot_push(struct rmap *map, unsigned class, uint64_t *magazine, unsigned count)
{
	uint64_t *depot = &map->pool.depots[class];
	uint64_t head = load_rlx(depot); /* RLX: only the compare-and-swap trusts it */

	store_rlx(&magazine[MAGAZINE_COUNT], count);
	do {
		store_rlx(&magazine[MAGAZINE_MAGAZINE], head);
		/* R1: publishes the magazine's links; pairs with A1, A2. */
	} while (!cas_acqrel(depot, &head, (uintptr_t)magazine));
}

uint64_t *rmap_depot_pop(struct rmap *map, unsigned class, unsigned *count)
{
	uint64_t *depot = &map->pool.depots[class];
	uint64_t head;

	rcu_read_enter(&map->rcu);
	head = load_acq(depot); /* A1: pairs with R1. */
	while (head) {
		uint64_t *magazine = (uint64_t *)(uintptr_t)head;
		/* RLX: ordered by A1; if the magazine has been taken meanwhile this is garbage and the swap fails. */
		uint64_t below = load_stray(&magazine[MAGAZINE_MAGAZINE]);

		INJECT();
		if (cas_acqrel(depot, &head, below)) { /* A2: pairs with R1, also when it fails. */
			*count = (unsigned)load_rlx(&magazine[MAGAZINE_COUNT]);
			if (class != CLASS_BLOCK)
				UNPOISON(magazine, class_bytes(class));
			break;
		}
	}
	rcu_read_leave(&map->rcu);
	return (uint64_t *)(uintptr_t)head;
}

/* @magazine is linked through its blocks. */
static void free_magazine(struct rmap *map, unsigned class, uint64_t *magazine, unsigned count)
{
	for (uint64_t *block = magazine; POISONS && block; block = magazine_next(block)) {
		if (class == CLASS_BLOCK)
			POISON(&((struct block *)block)->meta, sizeof(uint64_t));
		else
			POISON(block + DEPOT_WORDS, class_bytes(class) - DEPOT_WORDS * sizeof(uint64_t));
	}
	rmap_depot_push(map, class, magazine, count);
}

/* One piece. */
static void free_piece(struct rmap *map, uint64_t *piece, unsigned class)
{
	magazine_link(piece, NULL);
	free_magazine(map, class, piece, 1);
}

void rmap_depot_push_lines(struct rmap *map, uint64_t *lines, unsigned count)
{
	while (count) {
		unsigned n = lines_within(count < LEAF_LINES_MAX ? count : LEAF_LINES_MAX);

		free_piece(map, lines, CLASS_LINE + piece_class(n));
		lines += (size_t)n * LINE_SLOTS;
		count -= n;
	}
}

/* Carving ----------------------------------------------------------------------------------- */

/* A slab to carve. Called with the pool's lock held. False: the tier has no memory. */
static bool next_slab(struct rmap *map)
{
	struct rmap_pool *pool = &map->pool;
	struct slab *slab = tier_take(map, map->tier.granule, 2 * LINE_BYTES);

	if (!slab)
		return false;
	store_rlx(&slab->next, load_rlx(&pool->slabs)); /* RLX: under the lock. PRIV */
	slab->kind = KIND_SLAB;
	slab->carved = 0;
	store_rel(&pool->slabs, (uintptr_t)slab); /* R2: publishes its head; pairs with A3. */
	count_private(&pool->rest, map->tier.granule); /* RLX: under the lock, a figure */
	pool->newest = slab;
	pool->bump = (char *)slab + LINE_BYTES;
	pool->bump_end = (char *)slab + map->tier.granule;
	return true;
}

/* How many units are left of the newest slab. *@place: where. */
static size_t units_left(const struct rmap_pool *pool, size_t unit, uintptr_t *place)
{
	*place = ((uintptr_t)pool->bump + unit - 1) & ~(uintptr_t)(unit - 1);
	return *place < (uintptr_t)pool->bump_end ? ((uintptr_t)pool->bump_end - *place) / unit : 0;
}

void *rmap_carve(struct rmap *map, size_t unit, unsigned *count)
{
	struct rmap_pool *pool = &map->pool;
	uintptr_t place = 0;
	bool fresh = false;
	size_t left;

	rmap_rcu_lock(&map->rcu, &pool->lock);
	left = units_left(pool, unit, &place);
	if (!left && (fresh = next_slab(map)))
		left = units_left(pool, unit, &place);
	if (*count > left)
		*count = (unsigned)left;
	if (left) {
		size_t bytes = *count * unit;

		pool->bump = (char *)place + bytes;
		pool->newest->carved += bytes;
		pool->carved += bytes;
		count_private(&pool->rest, -(uint64_t)bytes); /* RLX: under the lock, a figure */
	}
	env_mutex_unlock(&pool->lock);
	/* Otherwise its work would be done when somebody waits, and what it sorts would serve nobody until then. */
	if (fresh && map->rcu.reclaim == RMAP_RECLAIM_CALLBACK)
		rmap_pool_sweep_if_due(map);
	return left ? (void *)place : NULL;
}

bool rmap_pool_owns(const struct rmap *map, const struct block *block)
{
	uint64_t slab = load_acq(&map->pool.slabs); /* A3: pairs with R2. */

	/* Within a section: a sweep gives a slab that it has unlinked back after a grace period. */
	while (slab && (uintptr_t)block - (uintptr_t)slab >= map->tier.granule)
		/* RLX: older than what A3 read; what a sweep has put there is argued in unlink_slabs(). */
		slab = load_rlx(&((const struct slab *)(uintptr_t)slab)->next);
	return slab != 0;
}

/* Retiring ---------------------------------------------------------------------------------- */

struct freeing {
	struct rmap *map;
	uint64_t bytes;
};

static void free_behind(void *arg, uint64_t *piece, unsigned class)
{
	struct freeing *freeing = arg;

	free_piece(freeing->map, piece, class);
	freeing->bytes += class_bytes(class);
}

/* First blocks with which nothing else becomes free. There are more than a magazine's if no record was to be had. */
static void free_plain(struct rmap *map, uint64_t *list, uint64_t n)
{
	while (n > MAGAZINE_BLOCKS) {
		uint64_t *last = list;
		uint64_t *magazine = list;

		for (unsigned i = 1; i < MAGAZINE_BLOCKS; i++)
			last = magazine_next(last);
		list = magazine_next(last);
		magazine_link(last, NULL);
		free_magazine(map, CLASS_BLOCK, magazine, MAGAZINE_BLOCKS);
		n -= MAGAZINE_BLOCKS;
	}
	if (n)
		free_magazine(map, CLASS_BLOCK, list, (unsigned)n);
}

/* Gives what is in the lists to the depots. Returns its bytes. */
static uint64_t free_lists(struct rmap *map, const struct retired *lists)
{
	struct freeing freeing = { map, 0 };
	uint64_t *plain = lists->plain;
	uint64_t n_plain = lists->n_plain;
	uint64_t *blocks = lists->blocks;
	uint64_t *pieces = lists->pieces;

	for (; blocks; n_plain++) {
		uint64_t *block = blocks;

		blocks = magazine_next(block);
		rmap_leaf_each_behind((struct block *)block, free_behind, &freeing);
		magazine_link(block, plain);
		plain = block;
	}
	free_plain(map, plain, n_plain);
	freeing.bytes += n_plain * sizeof(struct block);
	while (pieces) {
		uint64_t *piece = pieces;
		unsigned lines = (unsigned)(load_rlx(&piece[RETIRED_LINES]) / SLOT_ONE);

		pieces = slot_pointer(load_rlx(&piece[RETIRED_NEXT]));
		rmap_depot_push_lines(map, piece, lines);
		freeing.bytes += (uint64_t)lines * LINE_BYTES;
	}
	return freeing.bytes;
}

/* After a grace period: the memory of the batch, and the batch's own, are free. */
static void batch_work(struct rmap_deferred *deferred)
{
	struct batch *batch = container_of(deferred, struct batch, deferred);
	struct rmap *map = container_of(deferred->rcu, struct rmap, rcu);
	uint64_t bytes = free_lists(map, &batch->lists) + LINE_BYTES;

	rmap_depot_push_lines(map, (uint64_t *)batch, 1);
	/*
	 * RLX: a figure; fills look at it again. What was counted as retired must be what is freed: rmap_check() looks.
	 */
	fetch_add_rlx(&map->pool.waiting, -bytes);
}

/* So many bytes more wait. Returns how many do. */
static uint64_t waiting_add(struct rmap *map, uint64_t bytes)
{
	uint64_t waiting = fetch_add_rlx(&map->pool.waiting, bytes) + bytes; /* RLX: a figure */

	rmap_pool_note_waiting(map, waiting);
	return waiting;
}

static void forget_retired(struct rmap_reserve *reserve)
{
	reserve->lists = (struct retired){ 0 };
	reserve->retired = 0;
	store_rlx(&reserve->retired_bytes, 0); /* RLX: rmap_stats() reads it */
	store_rlx(&reserve->announced, 0);     /* RLX: likewise */
}

/* Tells the map, in steps, what is retired. True: more than half of what may wait does, so it should not stay here. */
static bool announce(struct rmap_reserve *reserve)
{
	struct rmap *map = reserve->map;
	uint64_t bytes = reserve->retired_bytes - reserve->announced;

	if (bytes < ANNOUNCE_BYTES)
		return false;
	count_private(&reserve->announced, bytes);
	return waiting_add(map, bytes) > map->waiting_max / 2;
}

/* Hands what is retired over to RCU, with a line for the record. */
static void hand_over_by(struct rmap_reserve *reserve, uint64_t *line)
{
	struct rmap *map = reserve->map;
	struct batch *batch = (struct batch *)line;

	batch->lists = reserve->lists;
	/* Its own memory waits, too. */
	waiting_add(map, reserve->retired_bytes + LINE_BYTES - reserve->announced);
	forget_retired(reserve);
	reserve_count(reserve, STAT_BATCHES, 1);
	rmap_rcu_defer(&map->rcu, &batch->deferred, batch_work);
}

/* The same. False: there is no memory for the record now. Lock-free. */
static bool hand_over(struct rmap_reserve *reserve)
{
	uint64_t *line = rmap_pool_take_piece(reserve, 1);

	if (line)
		hand_over_by(reserve, line);
	else
		announce(reserve);
	return line != NULL;
}

/*
 * A reserve that nobody uses hands nothing over. So that such reserves leave the others half of what may wait, each
 * keeps less than a step while that much waits.
 */
static void retired(struct rmap_reserve *reserve, uint64_t bytes)
{
	reserve->retired++;
	count_private(&reserve->retired_bytes, bytes);
	if (reserve->retired >= MAGAZINE_BLOCKS || reserve->retired_bytes >= BATCH_BYTES || announce(reserve))
		hand_over(reserve);
}

void rmap_pool_retire_block(struct rmap_reserve *reserve, struct block *block, enum slot_kind kind, uint64_t behind)
{
	uint64_t **list = behind ? &reserve->lists.blocks : &reserve->lists.plain;

	INJECT();
	/* R3: pairs with A11 of scan.c. The list itself is read by work ordered by the grace period. */
	store_rel(&block->slots[BLOCK_RETIRED], slot_from_pointer(*list, kind));
	*list = (uint64_t *)block;
	reserve->lists.n_plain += !behind;
	retired(reserve, sizeof(*block) + behind);
}

void rmap_pool_retire_piece(struct rmap_reserve *reserve, uint64_t *piece, unsigned lines)
{
	/* R3: pairs with A11 of chain.c and scan.c, where it has been read, and is shut (leaf.c). */
	store_rel(&piece[RETIRED_LINES], lines * SLOT_ONE | SLOT_SEALED);
	store_rel(&piece[RETIRED_NEXT], slot_from_pointer(reserve->lists.pieces, SLOT_SEALED));
	reserve->lists.pieces = piece;
	retired(reserve, (uint64_t)lines * LINE_BYTES);
}

/* Hands over, or if there is no memory for the record waits for a grace period here. Outside read-side sections. */
static void hand_over_surely(struct rmap_reserve *reserve)
{
	struct rmap *map = reserve->map;

	if (hand_over(reserve))
		return;
	rmap_rcu_synchronize(&map->rcu);
	free_lists(map, &reserve->lists);
	fetch_add_rlx(&map->pool.waiting, -reserve->announced); /* RLX: a figure */
	forget_retired(reserve);
}

/* Reserves ---------------------------------------------------------------------------------- */

int rmap_reserve_create(struct rmap *map, struct rmap_reserve **out)
{
	struct rmap_reserve *reserve;

	if (!map || !out)
		return -EINVAL;
	reserve = rmap_metadata_alloc(map, sizeof(*reserve), LINE_BYTES);
	if (!reserve)
		return -ENOMEM;
	reserve->map = map;
	env_mutex_lock(&map->lock);
	reserve->next = map->reserves;
	if (reserve->next)
		reserve->next->previous = reserve;
	map->reserves = reserve;
	rmap_moves_enter(reserve);
	env_mutex_unlock(&map->lock);
	*out = reserve;
	return 0;
}

/* Gives all back that is in hand: it reaches the depot only through a grace period. Outside read-side sections. */
static void give_all(struct rmap_reserve *reserve)
{
	uint64_t *line;

	reserve->promised = 0;
	rmap_hand_keep(reserve, 0, 1);
	line = rmap_pool_take_line(reserve);
	/* The last line is the record, of what is retired or of nothing but itself. */
	if (line)
		hand_over_by(reserve, line);
	else if (reserve->retired)
		hand_over_surely(reserve);
}

void rmap_reserve_destroy(struct rmap_reserve *reserve)
{
	struct rmap *map;

	if (!reserve)
		return;
	map = reserve->map;
	CHECK_OUTSIDE(&map->rcu);
	CHECK(!reserve->busy, "the reserve is in use");
	give_all(reserve);
	if (load_rlx(&map->pool.waiting) > map->waiting_max) /* RLX: a figure; being late costs one more batch */
		rmap_rcu_wait(&map->rcu);
	env_mutex_lock(&map->lock);
	rmap_moves_leave(reserve);
	for (unsigned i = 0; i < STATISTICS; i++)
		map->folded[i] += reserve->stats[i];
	if (reserve->next)
		reserve->next->previous = reserve->previous;
	if (reserve->previous)
		reserve->previous->next = reserve->next;
	else
		map->reserves = reserve->next;
	env_mutex_unlock(&map->lock);
	rmap_metadata_free(map, reserve, sizeof(*reserve));
}

/* What this reserve has retired and what waits becomes free. Outside read-side sections; sleeps. */
static void wait_for_memory(struct rmap_reserve *reserve)
{
	if (reserve->retired)
		hand_over_surely(reserve);
	rmap_pool_sweep_if_due(reserve->map);
	rmap_rcu_wait(&reserve->map->rcu);
}

/* What none of so many fills asked for is given back. */
static void keep_what_is_used(struct rmap_reserve *reserve, unsigned adds)
{
	bool over = ++reserve->fills % KEEP_FILLS == 0;

	if (over && reserve->promised > reserve->asked)
		reserve->promised = reserve->asked;
	rmap_hand_keep_asked(reserve);
	if (over)
		reserve->asked = adds;
}

int rmap_reserve_fill(struct rmap_reserve *reserve, unsigned adds)
{
	struct rmap *map = reserve->map;
	uint64_t blocks;
	uint64_t lines;
	unsigned keeps;
	int error;

	CHECK_OUTSIDE(&map->rcu);
	CHECK(!reserve->busy, "the reserve is in use");
	if (adds > RMAP_RESERVE_ADDS_MAX)
		return -EINVAL;
	if (!env_tier_is_here(&map->tier))
		return -ENOTSUP;
	/* RLX: a figure; being late costs one more batch. */
	if (load_rlx(&map->pool.waiting) + reserve->retired_bytes - reserve->announced > map->waiting_max) {
		wait_for_memory(reserve);
		reserve_count(reserve, STAT_FILLS_HELD_BACK, 1);
	}
	blocks = reserve->hand.n_blocks;
	lines = reserve->hand.lines;
	error = rmap_hand_fill(reserve, adds, true);
	if (error) {
		/* All there is may be in hand for rebuilds, wait, or be free in pieces of other sizes. */
		keeps = adds < reserve_promised(reserve) ? reserve_promised(reserve) : adds;
		rmap_hand_keep(reserve, keeps, keeps + RECORD_LINES);
		wait_for_memory(reserve);
		rmap_pool_sweep(map);
		error = rmap_hand_fill(reserve, adds, true);
		rmap_pool_sweep_end(map);
	}
	if (error) {
		/* It may be what another fill lacks. */
		rmap_hand_keep(reserve, blocks, lines);
		if (reserve->retired)
			hand_over_surely(reserve);
		return error;
	}
	rmap_hand_prepare(reserve);
	keep_what_is_used(reserve, adds);
	return 0;
}

int rmap_reserve_fill_nowait(struct rmap_reserve *reserve, unsigned adds)
{
	CHECK(!reserve->busy, "the reserve is in use");
	return adds > RMAP_RESERVE_ADDS_MAX ? -EINVAL : rmap_hand_fill(reserve, adds, false);
}

int rmap_reserve_flush(struct rmap_reserve *reserve)
{
	CHECK(!reserve->busy, "the reserve is in use");
	return reserve->retired == 0 || hand_over(reserve) ? 0 : -EAGAIN;
}

void rmap_reserve_drain(struct rmap_reserve *reserve)
{
	CHECK_OUTSIDE(&reserve->map->rcu);
	CHECK(!reserve->busy, "the reserve is in use");
	give_all(reserve);
	rmap_nodes_wait(reserve->map);
	rmap_nodes_trim(reserve->map);
	rmap_pool_sweep(reserve->map);
	rmap_pool_sweep_end(reserve->map);
}

struct rmap *rmap_reserve_map(const struct rmap_reserve *reserve)
{
	return reserve->map;
}

/* The pool ---------------------------------------------------------------------------------- */

int rmap_pool_init(struct rmap *map)
{
	int error;

	if (map->tier.granule == 0)
		map->tier.granule = GRANULE_DEFAULT;
	map->leaf_lines = lines_up((unsigned)(map->tier.granule / LINE_BYTES));
	while (map->leaf_lines > LEAF_LINES_MAX || map->leaf_lines > map->tier.granule / LINE_BYTES - 2)
		map->leaf_lines = lines_below(map->leaf_lines);
#ifdef RMAP_EXPLORE
	map->pool.wanted = LEAF_LINES_MAX; /* from the first fill on */
#endif
	error = env_mutex_init(&map->pool.lock);
	if (!error && (error = env_mutex_init(&map->pool.regroup)))
		env_mutex_destroy(&map->pool.lock);
	return error;
}

void rmap_pool_fini(struct rmap *map)
{
	struct slab *slab = (struct slab *)(uintptr_t)load_rlx(&map->pool.slabs); /* RLX: nobody else is left */

	while (slab) {
		struct slab *next = (struct slab *)(uintptr_t)load_rlx(&slab->next); /* RLX: likewise */

		UNPOISON(slab, map->tier.granule);
		rmap_tier_give(map, slab, map->tier.granule);
		slab = next;
	}
	CHECK(load_rlx(&map->pool.bytes) == 0, "the tier has everything back, and %llu bytes are counted as taken",
	      (unsigned long long)load_rlx(&map->pool.bytes));
	env_mutex_destroy(&map->pool.regroup);
	env_mutex_destroy(&map->pool.lock);
}
