/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * chain_rmap.c - librmap as a contender
 *
 * The thread does what an embedder's would: it fills its reserve outside the read-side section, and takes a section for
 * every CHAIN_SECTION pairs. All of that is inside the measured time.
 */
#include <stdlib.h>

#include <rmap/walk.h>

#include "chain.h"
#include "chain_rmap.h"

int chain_map_open(struct chain_map *map, unsigned multiplicity_bits)
{
	struct rmap_options options = RMAP_OPTIONS_DEFAULT;

	options.multiplicity_bits = multiplicity_bits;
	int error = rmap_create(&options, &map->map);

	if (error)
		return error;
	error = rmap_reserve_create(map->map, &map->reserve);
	if (error)
		rmap_destroy(map->map);
	return error;
}

int chain_map_close(struct chain_map *map)
{
	rmap_reserve_destroy(map->reserve);
	return rmap_destroy(map->map);
}

int chain_map_add(const struct chain_map *map, struct rmap_page *page, const uint64_t *handles, size_t count)
{
	int error = rmap_reserve_fill(map->reserve, (unsigned)count);

	if (error)
		return error;
	rmap_read_lock(map->map);
	for (size_t i = 0; i < count && error >= 0; i++)
		error = rmap_page_add(map->reserve, page, rmap_chained(handles[i]));
	rmap_read_unlock(map->map);
	return error < 0 ? error : 0;
}

int chain_map_shape(const struct chain_map *map, const struct rmap_page *page, struct rmap_shape *shape)
{
	rmap_read_lock(map->map);
	int error = rmap_page_check(map->map, page, shape);

	rmap_read_unlock(map->map);
	return error;
}

uint32_t chain_map_drop(const struct chain_map *map, struct rmap_page *page)
{
	rmap_read_lock(map->map);
	uint32_t dropped = rmap_page_drop(map->reserve, page);

	rmap_read_unlock(map->map);
	return dropped;
}

/* @events: the or of all results so far; negative once an operation has failed. */
struct contender {
	struct chain_map map;
	struct rmap_page page;
	struct chain_stream *stream;
	int events;
};

static void rmap_pairs(void *state, size_t pairs)
{
	struct contender *c = state;
	int events = c->events;

	while (pairs) {
		size_t section = pairs < CHAIN_SECTION ? pairs : CHAIN_SECTION;

		pairs -= section;
		events |= rmap_reserve_fill(c->map.reserve, (unsigned)section);
		rmap_read_lock(c->map.map);
		while (section--) {
			struct chain_swap swap = chain_stream_next(c->stream);

			events |= rmap_page_remove(c->map.reserve, &c->page, rmap_chained(swap.out));
			events |= rmap_page_add(c->map.reserve, &c->page, rmap_chained(swap.in));
		}
		rmap_read_unlock(c->map.map);
	}
	c->events = events;
}

static void rmap_pairs_linear(void *state, size_t pairs)
{
	struct contender *c = state;
	int events = c->events;

	while (pairs) {
		size_t section = pairs < CHAIN_SECTION ? pairs : CHAIN_SECTION;

		pairs -= section;
		events |= rmap_reserve_fill(c->map.reserve, (unsigned)section);
		rmap_read_lock(c->map.map);
		while (section--) {
			events |= rmap_page_remove(c->map.reserve, &c->page, rmap_linear());
			events |= rmap_page_add(c->map.reserve, &c->page, rmap_linear());
		}
		rmap_read_unlock(c->map.map);
	}
	c->events = events;
}

static int sum_handles(void *arg, const struct rmap_visit *visit)
{
	*(uint64_t *)arg += visit->handle;
	return 0;
}

static uint64_t rmap_walk_sum(void *state)
{
	struct contender *c = state;
	const struct rmap_target target = { .page = &c->page, .object = NULL, .index = 0 };
	uint64_t sum = 0;

	rmap_read_lock(c->map.map);
	rmap_walk(c->map.map, &target, sum_handles, &sum, NULL);
	rmap_read_unlock(c->map.map);
	return sum;
}

static uint64_t rmap_bytes(void *state)
{
	struct contender *c = state;
	struct rmap_shape shape = { 0 };

	if (chain_map_shape(&c->map, &c->page, &shape) || shape.elements != c->stream->n)
		c->events = -1;
	return shape.bytes;
}

static int rmap_destroy_contender(void *state)
{
	struct contender *c = state;
	int failed = c->events < 0;

	failed |= chain_map_drop(&c->map, &c->page) != c->stream->n;
	failed |= chain_map_close(&c->map) != 0;
	free(c);
	return failed ? -1 : 0;
}

static void *rmap_create_contender(struct chain_stream *stream)
{
	struct contender *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->stream = stream;
	if (chain_map_open(&c->map, 0)) {
		free(c);
		return NULL;
	}
	for (size_t i = 0; i < stream->n; i += CHAIN_SECTION) {
		size_t rest = stream->n - i;

		if (chain_map_add(&c->map, &c->page, stream->handles + i,
				  rest < CHAIN_SECTION ? rest : CHAIN_SECTION)) {
			rmap_destroy_contender(c);
			return NULL;
		}
	}
	return c;
}

static void *rmap_create_linear(struct chain_stream *stream)
{
	struct contender *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->stream = stream;
	if (chain_map_open(&c->map, 0)) {
		free(c);
		return NULL;
	}
	rmap_read_lock(c->map.map);
	for (size_t i = 0; i < stream->n; i++)
		c->events |= rmap_page_add(c->map.reserve, &c->page, rmap_linear());
	rmap_read_unlock(c->map.map);
	return c;
}

const struct chain_contender chain_rmap = {
	.name = "rmap",
	.create = rmap_create_contender,
	.pairs = rmap_pairs,
	.walk = rmap_walk_sum,
	.bytes = rmap_bytes,
	.destroy = rmap_destroy_contender,
};

const struct chain_contender chain_rmap_linear = {
	.name = "rmap",
	.create = rmap_create_linear,
	.pairs = rmap_pairs_linear,
	.destroy = rmap_destroy_contender,
};
