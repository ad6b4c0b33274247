/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pool.c - slabs, depots, reserves, and retired memory on its way through RCU
 *
 * Sizes come in classes: first blocks, and the classes of segments (slot.h). What is smaller than a slab is carved out
 * of slabs and comes back to the depot of its class; larger segments are asked of the tier and given back to it one by
 * one.
 *
 * A magazine is a stack of blocks of one class, linked through their first words:
 *
 *      depot -> [ next | next magazine | how many ] -> [ next ] -> [ next ] -> 0
 *               '---------- a magazine ----------------------------'
 *
 * The depot is a Treiber stack without tags. Its pop reads the second magazine out of the first and then swings the
 * head, which is wrong if the first one was popped and pushed again in between. That cannot be: pops run inside
 * read-side sections, and a block enters a depot only fresh from a slab, for the first time, or out of work deferred by
 * a grace period that began after it was taken. Even blocks that a reserve never used go back that way.
 *
 * Retired memory is linked through the payload of a SEALED slot that readers skip: slot 0 of a first block, slot 1 of a
 * segment (slot 0 there is the closing word, which late helpers may still count up). So retiring needs no memory; a
 * batch needs one line for its record, which the reserve keeps in hand or finds in the depot; until it has one, the
 * list grows.
 *
 *      label  orders                                                   breaks without it
 *      R1     a magazine's links before its push                       the popper walks garbage
 *      A1     pairs with R1: the popper reads those links
 *      A2     pairs with R1: as A1, after losing a race
 *      R2     a slab's head before its list                            rmap_pool_owns() walks garbage
 *      A3     pairs with R2: it reads the heads
 *      R3     what emptied a chain before the word that replaces a     a late search passes it, finds nothing, and has not
 *             slot of it (pairs with A5 of shrink.c, A3 of scan.c)     seen where things went: a copy, or a note of a move
 */
#include "pool.h"

#include <errno.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
#define RMAP_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define RMAP_ASAN 1
#endif
#endif

/* CLEAR: plain stores of zeroes. TAKEN: from here on nobody may find in @memory what it held before. */
#ifdef RMAP_EXPLORE
#define CLEAR(memory, bytes) explore_clear(memory, bytes)
#define TAKEN(memory, bytes) explore_taken(memory, bytes)
#else
#define CLEAR(memory, bytes) memset(memory, 0, bytes)
#define TAKEN(memory, bytes) ((void)(memory))
#endif

#ifdef RMAP_EXPLORE
#define POISON(memory, bytes) explore_poison(memory, bytes)
#define UNPOISON(memory, bytes) explore_unpoison(memory, bytes)
#elif defined(RMAP_ASAN)
#include <sanitizer/asan_interface.h>
#define POISON(memory, bytes) ASAN_POISON_MEMORY_REGION(memory, bytes)
#define UNPOISON(memory, bytes) ASAN_UNPOISON_MEMORY_REGION(memory, bytes)
#else
#define POISON(memory, bytes) ((void)(memory), (void)(bytes))
#define UNPOISON(memory, bytes) ((void)(memory), (void)(bytes))
#endif

#define GRANULE_DEFAULT ((size_t)16384)
#define RESERVE_ADDS_MAX 4096u
#define CLASS_BLOCK 0u
#define CLASS_LINE 1u

/* Words of the first block of a magazine. A block in the depot is poisoned for ASan from word DEPOT_WORDS on. */
enum { MAGAZINE_NEXT, MAGAZINE_MAGAZINE, MAGAZINE_COUNT, DEPOT_WORDS };

/* The head of a slab, in the slab itself; one line, so that what follows is aligned. */
struct slab {
	struct slab *next;
	size_t bytes;
};

/* A batch on its way through RCU: exactly one line. */
struct batch {
	struct rmap_deferred deferred;
	struct block *blocks;
	struct segment *segments;
	uint64_t bytes;
};

_Static_assert(sizeof(struct batch) <= LINE_BYTES, "a batch record lives in a one-line segment");
_Static_assert(sizeof(struct slab) <= LINE_BYTES, "a slab's head fits its first line");

static size_t class_bytes(unsigned class)
{
	return class == CLASS_BLOCK ? sizeof(struct block) : segment_bytes(class - 1);
}

static size_t class_align(unsigned class)
{
	return class == CLASS_BLOCK ? sizeof(struct block) : class == CLASS_LINE ? LINE_BYTES : 2 * LINE_BYTES;
}

/* Is @class given back to the tier piece by piece, rather than to a depot? */
static bool class_is_large(const struct rmap *map, unsigned class)
{
	return class_bytes(class) > (map->tier.granule - LINE_BYTES) / 2;
}

/* The tier ---------------------------------------------------------------------------------- */

static void *tier_take(struct rmap *map, size_t bytes, size_t align)
{
	void *memory = map->tier.alloc(map->tier.arg, bytes, align);

	if (memory)
		fetch_add_rlx(&map->pool.bytes, bytes); /* RLX: a figure */
	return memory;
}

static void tier_give(struct rmap *map, void *memory, size_t bytes)
{
	fetch_add_rlx(&map->pool.bytes, -(uint64_t)bytes); /* RLX: a figure */
	map->tier.free(map->tier.arg, memory, bytes);
}

/* The depot --------------------------------------------------------------------------------- */

/* @magazine is linked through its blocks; PRIV until R1. */
static void depot_push(struct rmap *map, unsigned class, uint64_t *magazine, unsigned count)
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
		depot_push(map, CLASS_LINE, words, 1);
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
		slab->next = (struct slab *)(uintptr_t)load_rlx(&pool->slabs); /* RLX: under the lock */
		slab->bytes = map->tier.granule;
		store_rel(&pool->slabs, (uintptr_t)slab); /* R2: publishes its head; pairs with A3. */
		pool->bump_end = (char *)slab + slab->bytes;
		place = ((uintptr_t)slab + LINE_BYTES + align - 1) & ~(uintptr_t)(align - 1);
	}
	pool->bump = (char *)place + bytes;
	return (void *)place;
}

bool rmap_pool_owns(const struct rmap *map, const struct block *block)
{
	/* A3: pairs with R2. */
	const struct slab *slab = (const struct slab *)(uintptr_t)load_acq(&map->pool.slabs);

	for (; slab; slab = slab->next)
		if ((uintptr_t)block - (uintptr_t)slab < slab->bytes)
			return true;
	return false;
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
	pthread_mutex_unlock(&map->pool.lock);
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

/* Adds a magazine of @class from the depot, or carves one. 0, or -ENOMEM. */
static int stock_refill(struct rmap_reserve *reserve, struct stock *stock, unsigned class, unsigned adds)
{
	struct rmap *map = reserve->map;
	size_t bytes = class_bytes(class);

	while (stock->count < adds) {
		uint64_t *magazine;
		unsigned count;

		rcu_read_enter(&map->rcu);
		magazine = depot_pop(map, class, &count);
		rcu_read_leave(&map->rcu);
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

struct segment *rmap_pool_take_segment(struct rmap_reserve *reserve, unsigned *class)
{
	struct segment *segment = reserve->large;

	if (segment && (reserve->large_class <= *class || reserve->lines.count == 0)) {
		reserve->large = NULL;
		*class = reserve->large_class;
		count_private(&reserve->held, -(uint64_t)segment_bytes(*class));
		return segment;
	}
	segment = (struct segment *)stock_pop(reserve, &reserve->lines, LINE_BYTES);
	if (!segment)
		return NULL;
	TAKEN(segment, LINE_BYTES);
	*class = 0;
	for (unsigned i = 0; i < LINE_SLOTS - 1; i++)
		store_rlx(&segment->slots[i], SLOT_EMPTY); /* PRIV */
	return segment;
}

void rmap_pool_put_segment(struct rmap_reserve *reserve, struct segment *segment)
{
	unsigned class = segment_class(load_rlx(&segment->header)); /* PRIV */

	if (class == 0) {
		stock_push(reserve, &reserve->lines, (uint64_t *)segment, LINE_BYTES);
		return;
	}
	reserve->large = segment;
	reserve->large_class = class;
	count_private(&reserve->held, segment_bytes(class));
}

/* Large segments ---------------------------------------------------------------------------- */

static struct segment *large_take(struct rmap_reserve *reserve, unsigned class)
{
	struct rmap *map = reserve->map;
	size_t bytes = segment_bytes(class);
	struct segment *segment;
	unsigned count;

	if (class_is_large(map, 1 + class)) {
		segment = tier_take(map, bytes, 2 * LINE_BYTES);
	} else {
		rcu_read_enter(&map->rcu);
		segment = (struct segment *)depot_pop(map, 1 + class, &count);
		rcu_read_leave(&map->rcu);
		if (!segment)
			segment = (struct segment *)carve_magazine(map, 1 + class, 1, &count);
	}
	if (!segment)
		return NULL;
	UNPOISON(segment, bytes);
	TAKEN(segment, bytes);
	/* PRIV. Atomic where a late depot_pop() may still look, in bulk beyond. */
	for (unsigned i = 0; i < LINE_SLOTS - 1; i++)
		store_rlx(&segment->slots[i], SLOT_EMPTY);
	CLEAR((char *)segment + LINE_BYTES, bytes - LINE_BYTES);
	store_rlx(&segment->header, class);
	return segment;
}

/* Grants the reserve's wish if it can; without memory the wish stays open, which costs speed and no guarantee. */
static void large_refill(struct rmap_reserve *reserve)
{
	struct segment *segment;

	if (reserve->large && reserve->large_class == reserve->wish) {
		reserve->wish = 0;
		return;
	}
	segment = large_take(reserve, reserve->wish);
	if (!segment)
		return;
	if (reserve->large) {
		count_private(&reserve->held, -(uint64_t)segment_bytes(reserve->large_class));
		rmap_pool_retire_segment(reserve, reserve->large);
	}
	reserve->large = segment;
	reserve->large_class = reserve->wish;
	reserve->wish = 0;
	count_private(&reserve->held, segment_bytes(reserve->large_class));
}

/* Retiring ---------------------------------------------------------------------------------- */

/* Gives a list of freed first blocks to the depot, a magazine at a time. */
static void free_blocks(struct rmap *map, struct block *list)
{
	while (list) {
		uint64_t *magazine = NULL;
		unsigned count = 0;

		while (list && count < MAGAZINE_BLOCKS) {
			struct block *block = list;

			list = slot_pointer(load_rlx(&block->slots[0]));
			store_rlx((uint64_t *)block + MAGAZINE_NEXT, (uintptr_t)magazine);
			POISON((uint64_t *)block + DEPOT_WORDS, sizeof(*block) - DEPOT_WORDS * sizeof(uint64_t));
			magazine = (uint64_t *)block;
			count++;
		}
		depot_push(map, CLASS_BLOCK, magazine, count);
	}
}

static void free_segment(struct rmap *map, struct segment *segment)
{
	unsigned class = 1 + segment_class(load_rlx(&segment->header));
	size_t bytes = class_bytes(class);

	if (class_is_large(map, class)) {
		tier_give(map, segment, bytes);
		return;
	}
	store_rlx((uint64_t *)segment + MAGAZINE_NEXT, 0);
	POISON((uint64_t *)segment + DEPOT_WORDS, bytes - DEPOT_WORDS * sizeof(uint64_t));
	depot_push(map, class, (uint64_t *)segment, 1);
}

static void free_lists(struct rmap *map, struct block *blocks, struct segment *segments)
{
	free_blocks(map, blocks);
	while (segments) {
		struct segment *segment = segments;

		segments = slot_pointer(load_rlx(&segment->slots[1]));
		free_segment(map, segment);
	}
}

/* After a grace period: the memory of the batch, and the batch's own line, are free. */
static void batch_work(struct rmap_deferred *deferred)
{
	struct batch *batch = caa_container_of(deferred, struct batch, deferred);
	struct rmap *map = caa_container_of(deferred->rcu, struct rmap, rcu);
	struct segment *line = (struct segment *)batch;

	free_lists(map, batch->blocks, batch->segments);
	fetch_add_rlx(&map->pool.waiting, -batch->bytes); /* RLX: a figure; fills look at it again */
	store_rlx(&line->header, 0);
	free_segment(map, line);
}

/* A line for a batch record out of the depot, where a fill has not left one. Lock-free. */
static struct batch *batch_take(struct rmap_reserve *reserve)
{
	struct rmap *map = reserve->map;
	struct batch *batch = reserve->batch;
	uint64_t *magazine;
	unsigned count;

	if (batch) {
		reserve->batch = NULL;
		count_private(&reserve->held, -(uint64_t)LINE_BYTES);
		return batch;
	}
	rcu_read_enter(&map->rcu);
	magazine = depot_pop(map, CLASS_LINE, &count);
	rcu_read_leave(&map->rcu);
	if (magazine)
		UNPOISON(magazine, LINE_BYTES);
	return (struct batch *)magazine;
}

static void forget_retired(struct rmap_reserve *reserve)
{
	reserve->retired_blocks = NULL;
	reserve->retired_segments = NULL;
	reserve->retired = 0;
	store_rlx(&reserve->retired_bytes, 0); /* RLX: rmap_stats() reads it */
}

/* Hands what is retired over to RCU. False: there is no memory for the record now. Lock-free. */
static bool hand_over(struct rmap_reserve *reserve)
{
	struct rmap *map = reserve->map;
	struct batch *batch = batch_take(reserve);
	uint64_t waiting;

	if (!batch)
		return false;
	batch->blocks = reserve->retired_blocks;
	batch->segments = reserve->retired_segments;
	batch->bytes = reserve->retired_bytes;
	waiting = fetch_add_rlx(&map->pool.waiting, batch->bytes) + batch->bytes; /* RLX: a figure */
	if (waiting > load_rlx(&map->pool.peak))
		store_rlx(&map->pool.peak, waiting); /* RLX: a figure; a lost race loses one sample */
	forget_retired(reserve);
	reserve_count(reserve, STAT_BATCHES, 1);
	rmap_rcu_defer(&map->rcu, &batch->deferred, batch_work);
	return true;
}

static void retired(struct rmap_reserve *reserve, uint64_t bytes)
{
	reserve->retired++;
	count_private(&reserve->retired_bytes, bytes);
	if (reserve->retired >= BATCH_BLOCKS || reserve->retired_bytes >= BATCH_BYTES)
		hand_over(reserve);
}

void rmap_pool_retire_block(struct rmap_reserve *reserve, struct block *block)
{
	INJECT();
	/* R3: pairs with A3 of scan.c. The list itself is read by work ordered by the grace period. */
	store_rel(&block->slots[0], slot_from_pointer(reserve->retired_blocks, SLOT_SEALED));
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
static void flush(struct rmap_reserve *reserve)
{
	if (reserve->retired == 0 || hand_over(reserve))
		return;
	rmap_rcu_synchronize(&reserve->map->rcu);
	free_lists(reserve->map, reserve->retired_blocks, reserve->retired_segments);
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
	pthread_mutex_lock(&map->lock);
	reserve->next = map->reserves;
	if (reserve->next)
		reserve->next->previous = reserve;
	map->reserves = reserve;
	pthread_mutex_unlock(&map->lock);
	*out = reserve;
	return 0;
}

/* Puts all that is in hand among the retired: it reaches the depot only through a grace period. */
static void retire_stock(struct rmap_reserve *reserve)
{
	struct block *block;
	struct segment *segment;
	unsigned class = 0;

	while ((block = rmap_pool_take_block(reserve)))
		rmap_pool_retire_block(reserve, block);
	while ((segment = rmap_pool_take_segment(reserve, &class))) {
		store_rlx(&segment->header, class); /* PRIV */
		rmap_pool_retire_segment(reserve, segment);
		class = 0;
	}
}

void rmap_reserve_destroy(struct rmap_reserve *reserve)
{
	struct rmap *map;

	if (!reserve)
		return;
	map = reserve->map;
	CHECK_OUTSIDE(&map->rcu);
	CHECK(!reserve->busy, "the reserve is in use");
	retire_stock(reserve);
	flush(reserve);
	if (reserve->batch) {
		reserve->retired_segments = (struct segment *)reserve->batch;
		store_rlx(&reserve->retired_segments->header, 0); /* PRIV */
		store_rlx(&reserve->retired_segments->slots[1], SLOT_SEALED);
		reserve->batch = NULL;
		reserve->retired = 1;
		reserve->retired_bytes = LINE_BYTES;
		flush(reserve);
	}
	pthread_mutex_lock(&map->lock);
	for (unsigned i = 0; i < STATISTICS; i++)
		map->folded[i] += reserve->stats[i];
	if (reserve->next)
		reserve->next->previous = reserve->previous;
	if (reserve->previous)
		reserve->previous->next = reserve->next;
	else
		map->reserves = reserve->next;
	pthread_mutex_unlock(&map->lock);
	rmap_metadata_free(map, reserve, sizeof(*reserve));
}

/* More than the cap waits for grace periods: hold the caller back until what had been handed over is free. */
static void hold_back(struct rmap_reserve *reserve)
{
	flush(reserve);
	rmap_rcu_wait(&reserve->map->rcu);
	reserve_count(reserve, STAT_FILLS_HELD_BACK, 1);
}

int rmap_reserve_fill(struct rmap_reserve *reserve, unsigned adds)
{
	struct rmap *map = reserve->map;
	int error;

	CHECK_OUTSIDE(&map->rcu);
	CHECK(!reserve->busy, "the reserve is in use");
	if (adds > RESERVE_ADDS_MAX)
		return -EINVAL;
	/* RLX: a figure; being late costs one more batch. */
	if (load_rlx(&map->pool.waiting) + reserve->retired_bytes > map->waiting_max)
		hold_back(reserve);
	if (reserve->blocks.count < adds) {
		error = stock_refill(reserve, &reserve->blocks, CLASS_BLOCK, adds);
		if (error)
			return error;
	}
	/* One line more than the adds need: the record of the next batch. */
	if (reserve->lines.count < adds + !reserve->batch) {
		error = stock_refill(reserve, &reserve->lines, CLASS_LINE, adds + !reserve->batch);
		if (error)
			return error;
	}
	if (!reserve->batch) {
		reserve->batch = (struct batch *)stock_pop(reserve, &reserve->lines, 0);
		if (!reserve->batch)
			return -ENOMEM;
	}
	if (reserve->wish)
		large_refill(reserve);
	return 0;
}

void rmap_reserve_drain(struct rmap_reserve *reserve)
{
	CHECK_OUTSIDE(&reserve->map->rcu);
	flush(reserve);
	rmap_rcu_wait(&reserve->map->rcu);
}

struct rmap *rmap_reserve_map(const struct rmap_reserve *reserve)
{
	return reserve->map;
}

/* The pool ---------------------------------------------------------------------------------- */

int rmap_pool_init(struct rmap *map)
{
	if (map->tier.granule == 0)
		map->tier.granule = GRANULE_DEFAULT;
	return -pthread_mutex_init(&map->pool.lock, NULL);
}

/* Has each piece that was carved come back to its depot, once? RLX: nobody else is left. */
static bool is_complete(const struct rmap *map)
{
	for (unsigned class = 0; class < SLOT_CLASSES; class++) {
		const uint64_t *magazine = (const uint64_t *)(uintptr_t)load_rlx(&map->pool.depots[class]);
		uint64_t pieces = 0;

		while (magazine) {
			pieces += load_rlx(&magazine[MAGAZINE_COUNT]);
			magazine = (const uint64_t *)(uintptr_t)load_rlx(&magazine[MAGAZINE_MAGAZINE]);
		}
		if (pieces != map->pool.carved[class])
			return false;
	}
	return true;
}

void rmap_pool_fini(struct rmap *map)
{
	struct slab *slab = (struct slab *)(uintptr_t)load_rlx(&map->pool.slabs); /* RLX: nobody else is left */

	CHECK(is_complete(map), "a block was lost, or came back twice");
	while (slab) {
		struct slab *next = slab->next;
		size_t bytes = slab->bytes;

		UNPOISON(slab, bytes);
		tier_give(map, slab, bytes);
		slab = next;
	}
	pthread_mutex_destroy(&map->pool.lock);
}
