/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rmap.c - a map's life, its readers and its figures
 */
#include "nodes.h"
#include "pool.h"

void *rmap_metadata_alloc(struct rmap *map, size_t bytes, size_t align)
{
	void *memory = map->metadata.alloc(map->metadata.arg, bytes, align);

	if (memory)
		memset(memory, 0, bytes);
	return memory;
}

void rmap_metadata_free(struct rmap *map, void *memory, size_t bytes)
{
	map->metadata.free(map->metadata.arg, memory, bytes);
}

/* The smallest struct rmap_options there ever was: that of 0.1. */
#define OPTIONS_SIZE_MIN offsetof(struct rmap_options, hash_seed)

static int read_options(const struct rmap_options *given, struct rmap_options *options)
{
	static const struct rmap_options defaults = RMAP_OPTIONS_DEFAULT;

	*options = defaults;
	if (!given)
		return 0;
	if (!check_size(given, given->size, OPTIONS_SIZE_MIN, sizeof(*options)))
		return -EINVAL;
	memcpy(options, given, given->size < sizeof(*options) ? given->size : sizeof(*options));
	if (options->reclaim != RMAP_RECLAIM_CALLBACK && options->reclaim != RMAP_RECLAIM_BLOCKING)
		return -EINVAL;
	if (options->multiplicity_bits > RMAP_MULTIPLICITY_MAX)
		return -EINVAL;
	return 0;
}

static int read_tier(const struct rmap_tier *given, struct rmap_tier *tier)
{
	if (!given)
		return env_tier(tier);
	if (!given->alloc || !given->free || given->granule % LINE_BYTES != 0)
		return -EINVAL;
	if (given->granule && given->granule < RMAP_GRANULE_MIN)
		return -EINVAL;
	*tier = *given;
	return 0;
}

int rmap_create(const struct rmap_options *given, struct rmap **out)
{
	struct rmap_options options;
	struct rmap_tier metadata;
	struct rmap_tier tier;
	struct rmap *map;
	int error;

	if (!out)
		return -EINVAL;
	error = read_options(given, &options);
	if (!error)
		error = read_tier(options.tier, &tier);
	if (!error)
		error = read_tier(options.metadata, &metadata);
	if (error)
		return error;
	map = metadata.alloc(metadata.arg, sizeof(*map), LINE_BYTES);
	if (!map)
		return -ENOMEM;
	memset(map, 0, sizeof(*map));
	map->tier = tier;
	map->metadata = metadata;
	map->key_low = (((uint64_t)1 << options.multiplicity_bits) - 1) * SLOT_ONE;
	map->hash_seed = options.hash_seed ? options.hash_seed : env_seed();
	map->hash_factor = map->hash_seed * 0x9E3779B97F4A7C15u | 1;
	map->waiting_max = options.waiting_max ? options.waiting_max : RMAP_WAITING_DEFAULT;
	error = rmap_pool_init(map);
	if (error)
		goto no_pool;
	error = env_mutex_init(&map->lock);
	if (error)
		goto no_lock;
	/* Last: it cannot be undone without waiting for a grace period. */
	error = rmap_rcu_init(&map->rcu, &options);
	if (error)
		goto no_rcu;
	*out = map;
	return 0;
no_rcu:
	env_mutex_destroy(&map->lock);
no_lock:
	rmap_pool_fini(map);
no_pool:
	metadata.free(metadata.arg, map, sizeof(*map));
	return error;
}

void rmap_thread_register(struct rmap *map)
{
	rmap_rcu_register(&map->rcu);
}

void rmap_thread_unregister(struct rmap *map)
{
	rmap_rcu_unregister(&map->rcu);
}

void rmap_before_fork(struct rmap *map)
{
	if (map->rcu.ops.before_fork)
		map->rcu.ops.before_fork();
}

void rmap_after_fork_parent(struct rmap *map)
{
	if (map->rcu.ops.after_fork_parent)
		map->rcu.ops.after_fork_parent();
}

void rmap_after_fork_child(struct rmap *map)
{
	if (map->rcu.ops.after_fork_child)
		map->rcu.ops.after_fork_child();
}

void rmap_read_lock(const struct rmap *map)
{
	rcu_read_enter(&map->rcu);
}

void rmap_read_unlock(const struct rmap *map)
{
	rcu_read_leave(&map->rcu);
}

/*
 * What was made and not given back. One thread's making may be summed before another's giving back, of which it is
 * part.
 */
static uint64_t in_use(uint64_t made, uint64_t retired)
{
	return made > retired ? made - retired : 0;
}

/* The sum of what reserves counted, ended ones and living. Their owners go on counting: RLX, a figure. */
static void sum_statistics(struct rmap *map, uint64_t *sums, struct rmap_statistics *stats)
{
	const struct rmap_reserve *reserve;

	env_mutex_lock(&map->lock);
	memcpy(sums, map->folded, sizeof(map->folded));
	for (reserve = map->reserves; reserve; reserve = reserve->next) {
		for (unsigned i = 0; i < STATISTICS; i++)
			sums[i] += load_rlx(&reserve->stats[i]);
		stats->reserve_bytes += load_rlx(&reserve->hand.n_blocks) * sizeof(struct block) +
					load_rlx(&reserve->hand.lines) * LINE_BYTES;
		stats->waiting_bytes += in_use(load_rlx(&reserve->retired_bytes), load_rlx(&reserve->announced));
	}
	env_mutex_unlock(&map->lock);
}

/* Has every block and segment that was made been retired, once? Nothing runs, so the sums are exact. */
static bool no_chain_is_left(struct rmap *map)
{
	struct rmap_statistics ignored = { 0 };
	uint64_t sums[STATISTICS];

	sum_statistics(map, sums, &ignored);
	return sums[STAT_BLOCKS_MADE] == sums[STAT_BLOCKS_RETIRED] &&
	       sums[STAT_PIECES_MADE] == sums[STAT_PIECES_RETIRED] &&
	       sums[STAT_BYTES_MADE] == sums[STAT_BYTES_RETIRED];
}

int rmap_destroy(struct rmap *map)
{
	struct rmap_tier metadata;
	bool empty;

	if (!map)
		return 0;
	CHECK_OUTSIDE(&map->rcu);
	if (!env_tier_is_here(&map->tier))
		return -ENOTSUP;
	rmap_nodes_wait(map);
	rmap_pool_sweep_wait(map);
	empty = no_chain_is_left(map);
	CHECK(!map->reserves, "a reserve still exists");
	CHECK(map->objects == 0, "%llu objects still exist", (unsigned long long)map->objects);
	CHECK(empty, "a page still has a chain");
	if (map->reserves || map->objects || !empty)
		return -EBUSY;
	CHECK(rmap_check(map) == 0, "memory was lost, came back twice, or is not where the figures say");
	rmap_nodes_fini(map);
	rmap_pool_fini(map);
	rmap_rcu_fini(&map->rcu);
	env_mutex_destroy(&map->lock);
	metadata = map->metadata;
	metadata.free(metadata.arg, map, sizeof(*map));
	return 0;
}

static void read_statistics(struct rmap *map, struct rmap_statistics *stats)
{
	uint64_t sums[STATISTICS];
	uint64_t elsewhere;

	*stats = (struct rmap_statistics){ .size = sizeof(*stats) };
	sum_statistics(map, sums, stats);
	stats->blocks = in_use(sums[STAT_BLOCKS_MADE], sums[STAT_BLOCKS_RETIRED]);
	stats->pieces = in_use(sums[STAT_PIECES_MADE], sums[STAT_PIECES_RETIRED]);
	stats->chain_bytes = in_use(sums[STAT_BYTES_MADE], sums[STAT_BYTES_RETIRED]);
	stats->waiting_bytes += load_rlx(&map->pool.waiting);
	rmap_pool_note_waiting(map, stats->waiting_bytes);
	stats->waiting_peak = load_rlx(&map->pool.peak);
	stats->tier_bytes = load_rlx(&map->pool.bytes);
	stats->promotions = sums[STAT_BLOCKS_MADE];
	stats->collapses = sums[STAT_BLOCKS_RETIRED];
	stats->pushes = sums[STAT_PUSHES];
	stats->pops = sums[STAT_POPS];
	stats->entries_moved = sums[STAT_ENTRIES_MOVED];
	stats->batches = sums[STAT_BATCHES];
	stats->fills_held_back = sums[STAT_FILLS_HELD_BACK];
	stats->retries = sums[STAT_RETRIES];
	stats->rest_bytes = load_rlx(&map->pool.rest); /* RLX: a figure */
	elsewhere = stats->chain_bytes + stats->reserve_bytes + stats->waiting_bytes + stats->rest_bytes;
	stats->depot_bytes = in_use(stats->tier_bytes, elsewhere);
}

/* The smallest struct rmap_statistics there ever was. */
#define STATISTICS_SIZE_MIN offsetof(struct rmap_statistics, depot_bytes)

int rmap_stats(struct rmap *map, struct rmap_statistics *out)
{
	struct rmap_statistics stats;
	size_t size;

	if (!map || !out || out->size < STATISTICS_SIZE_MIN)
		return -EINVAL;
	size = out->size;
	read_statistics(map, &stats);
	memset(out, 0, size);
	memcpy(out, &stats, size < sizeof(stats) ? size : sizeof(stats));
	out->size = size;
	return 0;
}

int rmap_check(struct rmap *map)
{
	struct rmap_statistics stats;

	if (!map)
		return -EINVAL;
	CHECK_OUTSIDE(&map->rcu);
	rmap_nodes_wait(map);
	rmap_pool_sweep_wait(map);
	read_statistics(map, &stats);
	return rmap_pool_check(map, &stats) && rmap_nodes_check(map) ? 0 : -EINVAL;
}
