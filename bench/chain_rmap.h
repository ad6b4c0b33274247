/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * chain_rmap.h - a map with one reserve, for rows that measure no peers
 */
#ifndef BENCH_CHAIN_RMAP_H
#define BENCH_CHAIN_RMAP_H

#include <rmap/page.h>

struct chain_map {
	struct rmap *map;
	struct rmap_reserve *reserve;
};

/** chain_map_open - a map of liburcu's memb flavor with @multiplicity_bits; 0, or -errno */
int chain_map_open(struct chain_map *map, unsigned multiplicity_bits);

/** chain_map_close - 0, or -EBUSY if a page still has a chain */
int chain_map_close(struct chain_map *map);

/**
 * chain_map_add - add mappings as a user that can sleep before each section does: a fill, a section, the adds
 * @count:  at most CHAIN_SECTION
 * Return:  0, or -errno
 */
int chain_map_add(const struct chain_map *map, struct rmap_page *page, const uint64_t *handles, size_t count);

/** chain_map_shape - what @page takes, with every equation of its chain checked; 0, or -EINVAL */
int chain_map_shape(const struct chain_map *map, const struct rmap_page *page, struct rmap_shape *shape);

/** chain_map_drop - forget the mappings of @page; returns how many there were */
uint32_t chain_map_drop(const struct chain_map *map, struct rmap_page *page);

#endif
