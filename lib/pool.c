/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pool.c - slabs, depots, reserves, and retired memory on its way through RCU
 *
 * Sizes come in classes: first blocks, and the classes of segments (slot.h). What is smaller than a slab is carved out
 * of slabs and comes back to the depot of its class, and from there to the tier when a sweep finds its slab whole
 * (sweep.c); larger segments are asked of the tier and given back to it one by one.
 *
 * A magazine is a stack of blocks of one class, linked through their first words:
 *
 *      depot -> [ next | next magazine | how many ] -> [ next ] -> [ next ] -> 0
 *               '---------- a magazine ----------------------------'
 *
 * The depot is a Treiber stack without tags. Its pop reads the second magazine out of the first and then swings the
 * head, which is wrong if the first one was popped and pushed again in between. That cannot be: pops run inside
 * read-side sections, and a block enters a depot only fresh from a slab or from the tier, for the first time, or out of
 * work deferred by a grace period that began after it was taken. Even blocks that a reserve never used go back that way.
 *
 * Large segments, which the next push of a long chain will want, are in the depots and in no reserve's hands: a fill
 * puts one there if its class has none, and any add may take it. So a map has at most one of each class to spare,
 * however many threads have seen one coming.
 *
 * Retired memory is linked through the payload of a SEALED slot that readers skip: slot 2 of a first block (a late store
 * to the others does no harm), slot 1 of a segment (slot 0 there is the closing word, which late helpers may still count
 * up). So retiring needs no memory; a batch needs a line for its record, out of those in hand that no add was promised, or
 * any segment out of a depot; until it has one, the list grows. A fill leaves RECORD_LINES for that, and each add or move
 * the line that it did not need: its promise ends with it (page.c).
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
 *             slot of it (pairs with A5 of shrink.c, A11 of scan.c)    has not seen where things went: a copy, or a
 *                                                                      note of a move
 */
#include "pool.h"
#include "slab.h"

#include "moves.h"
#include "nodes.h"

/* CLEAR: plain stores of zeroes. TAKEN: from here on nobody may find in @memory what it held before. */
#ifdef RMAP_EXPLORE
#define CLEAR(memory, bytes) explore_clear(memory, bytes)
#define TAKEN(memory, bytes) explore_taken(memory, bytes)
#else
#define CLEAR(memory, bytes) memset(memory, 0, bytes)
#define TAKEN(memory, bytes) ((void)(memory))
#endif

#define GRANULE_DEFAULT ((size_t)16384)

/* Of what it has retired a reserve keeps less than so many bytes to itself (see announce()). */
#define ANNOUNCE_BYTES (RMAP_CHECK ? 64u : 256u)

/* How often a fill looks whether there is more in hand than fills ask for. */
#define KEEP_FILLS 256u

/*
 * A batch on its way through RCU: exactly one line
 * @segments: address of the first; in the low six bits, as in a segment's header, the class of the record's own memory
 */
struct batch {
	struct rmap_deferred deferred;
	struct block *blocks;
	uint64_t segments;
};

_Static_assert(sizeof(struct batch) <= LINE_BYTES, "a batch record lives in a one-line segment");

/* The tier ---------------------------------------------------------------------------------- */

static void *tier_take(struct rmap *map, size_t bytes, size_t align)
{
	void *memory = map->tier.alloc(map->tier.arg, bytes, align);

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

/* Lock-free; inside a read-side section, see the head of this file. */
static uint64_t *depot_pop(struct rmap *map, unsigned class, unsigned *count)
{
	uint64_t *depot = &map->pool.depots[class];
	uint64_t head = load_acq(depot); /* A1: pairs with R1. */

	while (head) {
		uint64_t *magazine = (uint64_t *)(uintptr_t)head;
		/* RLX: ordered by A1; if the magazine has been taken meanwhile this is garbage and the swap fails. */
		uint64_t below = load_stray(&magazine[MAGAZINE_MAGAZINE]);

		INJECT();
		if (cas_acqrel(depot, &head, below)) { /* A2: pairs with R1, also when it fails. */
			*count = (unsigned)load_rlx(&magazine[MAGAZINE_COUNT]);
			return magazine;
		}
	}
	return NULL;
}

/* Carving ----------------------------------------------------------------------------------- */

/* What is left of a slab becomes lines. Called with the pool's lock held. */
static void carve_rest(struct rmap *map)
{
	struct rmap_pool *pool = &map->pool;
	uintptr_t line = ((uintptr_t)pool->bump + LINE_BYTES - 1) & ~(uintptr_t)(LINE_BYTES - 1);

	for (; line + LINE_BYTES <= (uintptr_t)pool->bump_end; line += LINE_BYTES) {
		uint64_t *words = (uint64_t *)line;

		store_rlx(&words[MAGAZINE_NEXT], 0); /* PRIV: fresh */
		POISON(words + DEPOT_WORDS, LINE_BYTES - DEPOT_WORDS * sizeof(*words));
		pool->carved[CLASS_LINE]++;
		pool->newest->carved += LINE_BYTES;
		count_private(&pool->rest, -(uint64_t)LINE_BYTES); /* RLX: under the lock, a figure */
		rmap_depot_push(map, CLASS_LINE, words, 1);
	}
	pool->bump = pool->bump_end = NULL;
}

/* Called with the pool's lock held. NULL: the tier has no memory. */
static void *carve(struct rmap *map, size_t bytes, size_t align)
{
	struct rmap_pool *pool = &map->pool;
	uintptr_t place = ((uintptr_t)pool->bump + align - 1) & ~(uintptr_t)(align - 1);
	struct slab *slab;

	if (!pool->bump || place + bytes > (uintptr_t)pool->bump_end) {
		slab = tier_take(map, map->tier.granule, 2 * LINE_BYTES);
		if (!slab)
			return NULL;
		carve_rest(map);
		store_rlx(&slab->next, load_rlx(&pool->slabs)); /* RLX: under the lock. PRIV */
		slab->kind = KIND_SLAB;
		slab->carved = 0;
		store_rel(&pool->slabs, (uintptr_t)slab); /* R2: publishes its head; pairs with A3. */
		count_private(&pool->rest, map->tier.granule); /* RLX: under the lock, a figure */
		pool->newest = slab;
		pool->bump_end = (char *)slab + map->tier.granule;
		place = ((uintptr_t)slab + LINE_BYTES + align - 1) & ~(uintptr_t)(align - 1);
	}
	pool->bump = (char *)place + bytes;
	pool->newest->carved += bytes;
	count_private(&pool->rest, -(uint64_t)bytes); /* RLX: under the lock, a figure */
	return (void *)place;
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

/* A fresh magazine of up to @want blocks; NULL: the tier has no memory. */
static uint64_t *carve_magazine(struct rmap *map, unsigned class, unsigned want, unsigned *count)
{
	uint64_t *magazine = NULL;
	unsigned carved = 0;

	rmap_rcu_lock(&map->rcu, &map->pool.lock);
	while (carved < want) {
		uint64_t *block = carve(map, class_bytes(class), class_align(class));

		if (!block)
			break;
		store_rlx(&block[MAGAZINE_NEXT], (uintptr_t)magazine); /* PRIV: fresh */
		magazine = block;
		carved++;
	}
	map->pool.carved[class] += carved;
	env_mutex_unlock(&map->pool.lock);
	*count = carved;
	return magazine;
}

/* Stocks ------------------------------------------------------------------------------------ */

static void stock_push(struct rmap_reserve *reserve, struct stock *stock, uint64_t *block, size_t bytes)
{
	store_rlx(&block[MAGAZINE_NEXT], (uintptr_t)stock->top); /* PRIV: in this reserve */
	stock->top = block;
	stock->count++;
	count_private(&reserve->held, bytes);
}

static uint64_t *stock_pop(struct rmap_reserve *reserve, struct stock *stock, size_t bytes)
{
	uint64_t *block = stock->top;

	if (!block)
		return NULL;
	stock->top = (uint64_t *)(uintptr_t)load_rlx(&block[MAGAZINE_NEXT]); /* PRIV */
	stock->count--;
	count_private(&reserve->held, -(uint64_t)bytes);
	return block;
}

/*
 * Adds magazines of @class from the depot, or carves them, until there are @wanted. 0; -ENOMEM; -EAGAIN: the depot is
 * empty, and the caller cannot sleep.
 */
static int stock_refill(struct rmap_reserve *reserve, struct stock *stock, unsigned class, unsigned wanted, bool sleeps)
{
	struct rmap *map = reserve->map;
	size_t bytes = class_bytes(class);

	while (stock->count < wanted) {
		uint64_t *magazine;
		unsigned count;

		rcu_read_enter(&map->rcu);
		magazine = depot_pop(map, class, &count);
		rcu_read_leave(&map->rcu);
		if (!magazine && !sleeps)
			return -EAGAIN;
		if (!magazine)
			magazine = carve_magazine(map, class, MAGAZINE_BLOCKS, &count);
		if (!magazine)
			return -ENOMEM;
		for (; count > 0; count--) {
			uint64_t *block = magazine;

			magazine = (uint64_t *)(uintptr_t)load_rlx(&block[MAGAZINE_NEXT]); /* PRIV: popped */
			UNPOISON(block, bytes);
			stock_push(reserve, stock, block, bytes);
		}
	}
	return 0;
}

struct block *rmap_pool_take_block(struct rmap_reserve *reserve)
{
	struct block *block = (struct block *)stock_pop(reserve, &reserve->blocks, sizeof(*block));

	TAKEN(block, sizeof(*block));
	return block;
}

void rmap_pool_put_block(struct rmap_reserve *reserve, struct block *block)
{
	stock_push(reserve, &reserve->blocks, (uint64_t *)block, sizeof(*block));
}

/* The first line's slots, in which a late depot_pop() may still look, so not in bulk. PRIV. */
static void clear_line(struct segment *segment)
{
	for (unsigned i = 0; i < LINE_SLOTS - 1; i++)
		store_rlx(&segment->slots[i], SLOT_EMPTY);
}

struct segment *rmap_pool_take_segment(struct rmap_reserve *reserve, unsigned *class)
{
	struct rmap *map = reserve->map;
	struct segment *segment;
	unsigned count;

	/* What is less than half as large as wanted serves as badly as a line. */
	for (unsigned c = *class; c > 0 && c + 4 > *class; c--) {
		size_t bytes = segment_bytes(c);

		segment = (struct segment *)depot_pop(map, 1 + c, &count);
		if (!segment)
			continue;
		UNPOISON(segment, bytes);
		if (!class_is_large(map, 1 + c)) { /* large ones are cleared by the fill that puts them there */
			TAKEN(segment, bytes);
			CLEAR((char *)segment + LINE_BYTES, bytes - LINE_BYTES);
		}
		clear_line(segment);
		*class = c;
		return segment;
	}
	segment = (struct segment *)stock_pop(reserve, &reserve->lines, LINE_BYTES);
	if (!segment)
		return NULL;
	TAKEN(segment, LINE_BYTES);
	*class = 0;
	clear_line(segment);
	return segment;
}

void rmap_pool_put_segment(struct rmap_reserve *reserve, struct segment *segment)
{
	if (segment_class(load_rlx(&segment->header)) > 0) { /* PRIV */
		/* It was in a depot, so it goes there through a grace period. */
		rmap_pool_retire_segment(reserve, segment);
		return;
	}
	stock_push(reserve, &reserve->lines, (uint64_t *)segment, LINE_BYTES);
}

/*
 * Sees to it that the depot has a segment of the class that the reserve wishes for. Under the pool's lock, so that fills
 * that come at once prepare one. Without memory the wish stays open, which costs speed and no guarantee.
 */
static void prepare_segment(struct rmap_reserve *reserve)
{
	struct rmap *map = reserve->map;
	unsigned class = 1 + reserve->wish;
	size_t bytes = class_bytes(class);
	struct segment *segment = NULL;
	bool has;

	rmap_rcu_lock(&map->rcu, &map->pool.lock);
	has = load_rlx(&map->pool.depots[class]) != 0; /* RLX: nothing is read through it */
	if (!has && class_is_large(map, class)) {
		segment = tier_take(map, bytes, 2 * LINE_BYTES);
	} else if (!has) {
		segment = carve(map, bytes, 2 * LINE_BYTES);
		map->pool.carved[class] += segment != NULL;
	}
	if (segment) {
		TAKEN(segment, bytes);
		CLEAR(segment, bytes); /* PRIV: fresh */
		POISON((uint64_t *)segment + DEPOT_WORDS, bytes - DEPOT_WORDS * sizeof(uint64_t));
		rmap_depot_push(map, class, (uint64_t *)segment, 1);
	}
	env_mutex_unlock(&map->pool.lock);
	if (has || segment)
		reserve->wish = WISH_GRANTED;
}

/* Retiring ---------------------------------------------------------------------------------- */

/* Gives a list of freed first blocks to the depot, a magazine at a time. Returns their bytes. */
static uint64_t free_blocks(struct rmap *map, struct block *list)
{
	uint64_t bytes = 0;

	while (list) {
		uint64_t *magazine = NULL;
		unsigned count = 0;

		while (list && count < MAGAZINE_BLOCKS) {
			struct block *block = list;

			list = slot_pointer(load_rlx(&block->slots[BLOCK_RETIRED]));
			store_rlx((uint64_t *)block + MAGAZINE_NEXT, (uintptr_t)magazine);
			POISON((uint64_t *)block + DEPOT_WORDS, sizeof(*block) - DEPOT_WORDS * sizeof(uint64_t));
			magazine = (uint64_t *)block;
			count++;
		}
		rmap_depot_push(map, CLASS_BLOCK, magazine, count);
		bytes += count * sizeof(struct block);
	}
	return bytes;
}

/* Returns its bytes. */
static size_t free_segment(struct rmap *map, struct segment *segment)
{
	unsigned class = 1 + segment_class(load_rlx(&segment->header));
	size_t bytes = class_bytes(class);

	if (class_is_large(map, class)) {
		rmap_tier_give(map, segment, bytes);
		return bytes;
	}
	store_rlx((uint64_t *)segment + MAGAZINE_NEXT, 0);
	POISON((uint64_t *)segment + DEPOT_WORDS, bytes - DEPOT_WORDS * sizeof(uint64_t));
	rmap_depot_push(map, class, (uint64_t *)segment, 1);
	return bytes;
}

/* Returns the bytes of both. */
static uint64_t free_lists(struct rmap *map, struct block *blocks, struct segment *segments)
{
	uint64_t bytes = free_blocks(map, blocks);

	while (segments) {
		struct segment *segment = segments;

		segments = slot_pointer(load_rlx(&segment->slots[1]));
		bytes += free_segment(map, segment);
	}
	return bytes;
}

/* After a grace period: the memory of the batch, and the batch's own, are free. */
static void batch_work(struct rmap_deferred *deferred)
{
	struct batch *batch = container_of(deferred, struct batch, deferred);
	struct rmap *map = container_of(deferred->rcu, struct rmap, rcu);
	struct segment *own = (struct segment *)batch;
	uint64_t bytes = free_lists(map, batch->blocks, segment_next(batch->segments));

	store_rlx(&own->header, segment_class(batch->segments));
	bytes += free_segment(map, own);
	/* RLX: a figure; fills look at it again. What was counted as retired must be what is freed: rmap_check() looks. */
	fetch_add_rlx(&map->pool.waiting, -bytes);
}

/*
 * Memory for a batch record: a line in hand, or any segment out of a depot, where they come one by one; not a large one,
 * which another is waiting for. Lock-free.
 */
static struct batch *batch_take(struct rmap_reserve *reserve)
{
	struct rmap *map = reserve->map;
	struct batch *batch = NULL;
	unsigned class = CLASS_LINE;
	unsigned count = 1;

	if (reserve->lines.count > reserve->promised)
		batch = (struct batch *)stock_pop(reserve, &reserve->lines, LINE_BYTES);
	rcu_read_enter(&map->rcu);
	for (; !batch && !class_is_large(map, class); class += !batch)
		batch = (struct batch *)depot_pop(map, class, &count);
	rcu_read_leave(&map->rcu);
	CHECK(count == 1, "a magazine of %u segments for one record", count);
	if (!batch)
		return NULL;
	UNPOISON(batch, class_bytes(class));
	batch->segments = class - 1;
	return batch;
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
	reserve->retired_blocks = NULL;
	reserve->retired_segments = NULL;
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

/* Hands what is retired over to RCU. False: there is no memory for the record now. Lock-free. */
static bool hand_over(struct rmap_reserve *reserve)
{
	struct rmap *map = reserve->map;
	struct batch *batch = batch_take(reserve);

	if (!batch) {
		announce(reserve);
		return false;
	}
	batch->blocks = reserve->retired_blocks;
	/* Its own memory waits, too. */
	waiting_add(map, reserve->retired_bytes + segment_bytes(segment_class(batch->segments)) - reserve->announced);
	batch->segments |= (uintptr_t)reserve->retired_segments;
	forget_retired(reserve);
	reserve_count(reserve, STAT_BATCHES, 1);
	rmap_rcu_defer(&map->rcu, &batch->deferred, batch_work);
	return true;
}

/*
 * A reserve that nobody uses hands nothing over. So that such reserves leave the others half of what may wait, each keeps
 * less than a step while that much waits.
 */
static void retired(struct rmap_reserve *reserve, uint64_t bytes)
{
	reserve->retired++;
	count_private(&reserve->retired_bytes, bytes);
	if (reserve->retired >= BATCH_BLOCKS || reserve->retired_bytes >= BATCH_BYTES || announce(reserve))
		hand_over(reserve);
}

void rmap_pool_retire_block(struct rmap_reserve *reserve, struct block *block)
{
	INJECT();
	/* R3: pairs with A11 of scan.c. The list itself is read by work ordered by the grace period. */
	store_rel(&block->slots[BLOCK_RETIRED], slot_from_pointer(reserve->retired_blocks, SLOT_SEALED));
	reserve->retired_blocks = block;
	retired(reserve, sizeof(*block));
}

void rmap_pool_retire_segment(struct rmap_reserve *reserve, struct segment *segment)
{
	/* RLX: the header was ordered by whatever led here; it never changes. */
	size_t bytes = segment_bytes(segment_class(load_rlx(&segment->header)));

	INJECT();
	/* R3: pairs with A5 of shrink.c. */
	store_rel(&segment->slots[1], slot_from_pointer(reserve->retired_segments, SLOT_SEALED));
	reserve->retired_segments = segment;
	retired(reserve, bytes);
}

/* Hands over, or if there is no memory for the record waits for a grace period here. Outside read-side sections. */
static void hand_over_surely(struct rmap_reserve *reserve)
{
	struct rmap *map = reserve->map;

	if (hand_over(reserve))
		return;
	rmap_rcu_synchronize(&map->rcu);
	free_lists(map, reserve->retired_blocks, reserve->retired_segments);
	fetch_add_rlx(&map->pool.waiting, -reserve->announced); /* RLX: a figure */
	forget_retired(reserve);
}

/* Reserves ---------------------------------------------------------------------------------- */

/* Retires what is in hand beyond so many blocks and lines. */
static void keep(struct rmap_reserve *reserve, unsigned blocks, unsigned lines)
{
	while (reserve->blocks.count > blocks)
		rmap_pool_retire_block(reserve, rmap_pool_take_block(reserve));
	while (reserve->lines.count > lines) {
		/* Not as an add takes one: what adds were promised stays so. */
		struct segment *line = (struct segment *)stock_pop(reserve, &reserve->lines, LINE_BYTES);

		store_rlx(&line->header, CLASS_LINE - 1); /* PRIV */
		rmap_pool_retire_segment(reserve, line);
	}
}

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
	reserve->wish = 0;
	reserve->promised = 0;
	keep(reserve, 0, 1);
	/* The last line is the record, of what is retired or of nothing but itself. */
	if (reserve->retired || reserve->lines.count)
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
	rmap_rcu_wait(&reserve->map->rcu);
}

/* Gets what @adds adds need besides what is in hand. 0; -ENOMEM; -EAGAIN: not without sleeping. */
static int refill(struct rmap_reserve *reserve, unsigned adds, bool sleeps)
{
	int64_t promised = adds > reserve->promised ? adds : reserve->promised;
	unsigned lines = sleeps ? (unsigned)promised + RECORD_LINES : adds;
	int error = 0;

	if (reserve->blocks.count < adds)
		error = stock_refill(reserve, &reserve->blocks, CLASS_BLOCK, adds, sleeps);
	if (!error && reserve->lines.count < lines)
		error = stock_refill(reserve, &reserve->lines, CLASS_LINE, lines, sleeps);
	if (error)
		return error;
	reserve->promised = promised;
	if (reserve->asked < adds)
		reserve->asked = adds;
	return 0;
}

/* Every so many fills, what none of them asked for is given back. */
static void keep_what_is_used(struct rmap_reserve *reserve, unsigned adds)
{
	if (++reserve->fills % KEEP_FILLS != 0)
		return;
	if (reserve->promised > reserve->asked)
		reserve->promised = reserve->asked;
	keep(reserve, reserve->asked + MAGAZINE_BLOCKS, reserve->asked + RECORD_LINES + MAGAZINE_BLOCKS);
	reserve->asked = adds;
}

int rmap_reserve_fill(struct rmap_reserve *reserve, unsigned adds)
{
	struct rmap *map = reserve->map;
	unsigned blocks;
	unsigned lines;
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
	blocks = reserve->blocks.count;
	lines = reserve->lines.count;
	error = refill(reserve, adds, true);
	if (error) {
		/* All there is may wait, or be free in pieces of other sizes. */
		wait_for_memory(reserve);
		rmap_pool_sweep(map);
		error = refill(reserve, adds, true);
		rmap_pool_sweep_end(map);
	}
	if (error) {
		/* It may be what another fill lacks. */
		keep(reserve, blocks, lines);
		if (reserve->retired)
			hand_over_surely(reserve);
		return error;
	}
	if (reserve->wish && reserve->wish != WISH_GRANTED)
		prepare_segment(reserve);
	keep_what_is_used(reserve, adds);
	return 0;
}

int rmap_reserve_fill_nowait(struct rmap_reserve *reserve, unsigned adds)
{
	CHECK(!reserve->busy, "the reserve is in use");
	return adds > RMAP_RESERVE_ADDS_MAX ? -EINVAL : refill(reserve, adds, false);
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
	error = env_mutex_init(&map->pool.lock);
	if (!error && (error = env_mutex_init(&map->pool.regroup)))
		env_mutex_destroy(&map->pool.lock);
	return error;
}

/* Large segments that were prepared and never pushed. RLX: nobody else is left. */
static void give_prepared(struct rmap *map)
{
	for (unsigned class = 0; class < SLOT_CLASSES; class++) {
		uint64_t *segment = (uint64_t *)(uintptr_t)load_rlx(&map->pool.depots[class]);

		while (segment && class_is_large(map, class)) {
			uint64_t *next = (uint64_t *)(uintptr_t)load_rlx(&segment[MAGAZINE_MAGAZINE]);

			UNPOISON(segment, class_bytes(class));
			rmap_tier_give(map, segment, class_bytes(class));
			segment = next;
		}
	}
}

void rmap_pool_fini(struct rmap *map)
{
	struct slab *slab = (struct slab *)(uintptr_t)load_rlx(&map->pool.slabs); /* RLX: nobody else is left */

	give_prepared(map);
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
