/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * chain_rmap.c - a map with one reserve, for rows that measure no peers
 */
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
