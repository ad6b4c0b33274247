/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ranges_rmap.c - librmap's objects as an index of ranges
 *
 * What the ranges take is what the metadata tier has given since the object was made and not got back.
 */
#include <stdatomic.h>
#include <stdlib.h>

#include <rmap/pool.h>
#include <urcu/urcu-memb.h>

#include "ranges.h"

struct index {
	struct rmap *map;
	struct rmap_object *object;
	struct rmap_tier tier;
	atomic_llong bytes;
	long long empty; /* bytes before the first range */
};

static void *tier_alloc(void *arg, size_t bytes, size_t align)
{
	struct index *index = arg;
	void *memory = aligned_alloc(align, (bytes + align - 1) / align * align);

	if (memory)
		atomic_fetch_add_explicit(&index->bytes, (long long)bytes, memory_order_relaxed);
	return memory;
}

static void tier_free(void *arg, void *memory, size_t bytes)
{
	struct index *index = arg;

	atomic_fetch_sub_explicit(&index->bytes, (long long)bytes, memory_order_relaxed);
	free(memory);
}

static int index_close(void *state)
{
	struct index *index = state;
	int error = 0;

	if (index->object) {
		rmap_read_lock(index->map);
		error |= rmap_object_ranges(index->object) || rmap_object_check(index->object);
		rmap_read_unlock(index->map);
		rmap_object_destroy(index->object);
	}
	if (index->map)
		error |= rmap_destroy(index->map) || atomic_load(&index->bytes);
	free(index);
	return error ? -1 : 0;
}

static void *index_open(void)
{
	struct index *index = calloc(1, sizeof(*index));
	struct rmap_options options = RMAP_OPTIONS_DEFAULT;

	if (!index)
		return NULL;
	index->tier = (struct rmap_tier){ .alloc = tier_alloc, .free = tier_free, .arg = index };
	options.metadata = &index->tier;
	if (rmap_create(&options, &index->map) || rmap_object_create(index->map, &index->object)) {
		index_close(index);
		return NULL;
	}
	index->empty = atomic_load(&index->bytes);
	return index;
}

static int index_attach(void *state, const struct rmap_range *range)
{
	return rmap_object_attach(((struct index *)state)->object, range);
}

static int index_detach(void *state, const struct rmap_range *range)
{
	return rmap_object_detach(((struct index *)state)->object, range);
}

static int index_detach_all(void *state, const struct rmap_range *ranges, size_t n)
{
	struct rmap_change *changes = calloc(n, sizeof(*changes));
	int error = -1;

	for (size_t i = 0; changes && i < n; i++)
		changes[i].range = &ranges[i];
	if (changes)
		error = rmap_object_update(((struct index *)state)->object, changes, n);
	free(changes);
	return error;
}

static int index_move(void *state, const struct rmap_range *range, uint64_t address)
{
	return rmap_object_move(((struct index *)state)->object, range, address);
}

static int index_split(void *state, const struct rmap_range *range, uint64_t at)
{
	return rmap_object_split(((struct index *)state)->object, range, at);
}

static int index_resize(void *state, const struct rmap_range *range, uint64_t first, uint64_t last)
{
	return rmap_object_resize(((struct index *)state)->object, range, first, last);
}

struct found {
	size_t n;
	uint64_t sum;
};

static int count_range(void *arg, const struct rmap_range *range)
{
	struct found *found = arg;

	found->n++;
	found->sum += range->owner;
	return 0;
}

static size_t index_stabs(void *state, const uint64_t *at, size_t n, uint64_t *sum)
{
	struct index *index = state;
	struct found found = { 0 };

	for (size_t i = 0; i < n;) {
		size_t section = n - i < RANGES_SECTION ? n - i : RANGES_SECTION;

		rmap_read_lock(index->map);
		while (section--)
			rmap_object_stab(index->object, at[i++], count_range, &found);
		rmap_read_unlock(index->map);
	}
	*sum += found.sum;
	return found.n;
}

static void index_settle(void *state)
{
	(void)state;
	urcu_memb_barrier();
}

static uint64_t index_bytes(void *state)
{
	struct index *index = state;

	urcu_memb_barrier();
	return (uint64_t)(atomic_load(&index->bytes) - index->empty);
}

const struct ranges_index ranges_rmap = {
	.name = "rmap",
	.open = index_open,
	.close = index_close,
	.attach = index_attach,
	.detach = index_detach,
	.detach_all = index_detach_all,
	.move = index_move,
	.split = index_split,
	.resize = index_resize,
	.stabs = index_stabs,
	.bytes = index_bytes,
	.settle = index_settle,
};
