/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * chain_memory.c - what mappings take, in bytes
 *
 * No clock is read here, so the figures are the same in every run. Sizes are those of rmap_page_check(): the word,
 * the first block and the segments. What a reserve has in hand or the pool has not carved up yet is no page's, and is
 * bounded by the options.
 *
 *   sweep         one chain grows from nothing to 10^6 mappings, one fill before each add. Every size from 14 on is
 *                 looked at: the greatest bytes a mapping, and the mean over sizes spaced evenly on a log scale,
 *                 which is to weigh size n by 1 / n
 *   small         pages with 1, 2 and 3 mappings
 *   distribution  pages in the numbers published for a real guest, each with its mappings, n uniform within a bin
 *   clusters      the sweep again where an element is a window of 16 ptes, all of them mapped, in bytes a pte
 */
#include <stdlib.h>

#include "chain.h"
#include "chain_rmap.h"

#define SWEEP_FIRST 14
#define SWEEP_LAST 1000000
#define CLUSTER_BITS 4u
#define CLUSTER (1u << CLUSTER_BITS)
#define SMALL_MAX 3

static const struct {
	unsigned least, greatest, pages;
} distribution[] = {
	{ 1, 1, 49005 }, { 2, 3, 14016 }, { 4, 7, 1363 }, { 8, 15, 235 },
	{ 16, 31, 212 }, { 32, 63, 15 },  { 64, 127, 7 },
};

#define BINS (sizeof(distribution) / sizeof(distribution[0]))

struct sweep {
	double average;
	double worst;
	uint64_t worst_n;
};

/* Bytes of the one chain in @map and its word. Reading the figures costs no walk, so it can be done at every size. */
static uint64_t chain_bytes(const struct chain_map *map)
{
	struct rmap_statistics stats = { .size = sizeof(stats) };

	if (rmap_stats(map->map, &stats))
		return 0;
	return stats.chain_bytes + sizeof(struct rmap_page);
}

/* Element @number: one mapping, or all ptes of a window. */
static int add_element(const struct chain_map *map, struct rmap_page *page, uint64_t number, unsigned cluster)
{
	uint64_t handles[CLUSTER];

	for (unsigned i = 0; i < cluster; i++)
		handles[i] = chain_handle(number) * cluster + i * 8u;
	return chain_map_add(map, page, handles, cluster);
}

/* Elements are windows of @cluster ptes. -1 after a failure, or if the figures and the chain disagree at the end. */
static int sweep_chain(const struct chain_map *map, struct rmap_page *page, unsigned cluster, struct sweep *sweep)
{
	double sum = 0, weights = 0;
	struct rmap_shape shape;

	for (uint64_t n = 1; n <= SWEEP_LAST / cluster; n++) {
		if (add_element(map, page, n, cluster))
			return -1;
		if (n < SWEEP_FIRST)
			continue;
		double bytes = (double)chain_bytes(map) / (double)(n * cluster);

		sum += bytes / (double)n;
		weights += 1 / (double)n;
		if (bytes > sweep->worst) {
			sweep->worst = bytes;
			sweep->worst_n = n;
		}
	}
	sweep->average = sum / weights;
	if (chain_map_shape(map, page, &shape))
		return -1;
	return shape.elements == SWEEP_LAST / cluster && shape.bytes == chain_bytes(map) ? 0 : -1;
}

static json_t *measure_sweep(unsigned bits)
{
	struct sweep sweep = { 0 };
	struct rmap_page page = { 0 };
	struct chain_map map;

	if (chain_map_open(&map, bits))
		return NULL;
	int failed = sweep_chain(&map, &page, 1u << bits, &sweep);

	chain_map_drop(&map, &page);
	if (chain_map_close(&map) || failed)
		return NULL;
	return json_pack("{s:i, s:i, s:f, s:f, s:I}", "first", SWEEP_FIRST, "last", SWEEP_LAST >> bits, "average",
			 sweep.average, "worst", sweep.worst, "worst_n", (json_int_t)sweep.worst_n);
}

/* Bytes of a page with @n mappings whose handles begin after *@fresh; 0 after a failure. The page is left as it is. */
static uint64_t build_page(const struct chain_map *map, struct rmap_page *page, unsigned n, uint64_t *fresh)
{
	struct rmap_shape shape;

	for (unsigned i = 0; i < n; i++) {
		uint64_t handle = chain_handle(++*fresh);

		if (chain_map_add(map, page, &handle, 1))
			return 0;
	}
	return chain_map_shape(map, page, &shape) ? 0 : shape.bytes;
}

static json_t *measure_small(void)
{
	struct rmap_page pages[SMALL_MAX] = { 0 };
	uint64_t fresh = 0;
	struct chain_map map;
	json_t *sizes = json_array();
	int failed = 0;

	if (chain_map_open(&map, 0))
		return json_decref(sizes), NULL;
	for (unsigned n = 1; n <= SMALL_MAX; n++) {
		uint64_t bytes = build_page(&map, &pages[n - 1], n, &fresh);

		failed |= !bytes;
		json_array_append_new(sizes, json_integer((json_int_t)bytes));
		chain_map_drop(&map, &pages[n - 1]);
	}
	if (chain_map_close(&map) || failed)
		return json_decref(sizes), NULL;
	return sizes;
}

/* The descriptor chain's bytes for the same page: 0 after a failure. */
static uint64_t build_descriptor(unsigned n)
{
	uint64_t handles[128], bytes;
	struct chain_stream stream = { .handles = handles, .n = n };

	for (unsigned i = 0; i < n; i++)
		handles[i] = chain_handle(i + 1);
	void *state = chain_descriptor.create(&stream);

	if (!state)
		return 0;
	bytes = chain_descriptor.bytes(state);
	chain_descriptor.destroy(state);
	return bytes;
}

static int build_bin(const struct chain_map *map, struct rmap_page *pages, size_t bin, uint64_t *fresh,
		     uint64_t sums[3])
{
	unsigned width = distribution[bin].greatest - distribution[bin].least + 1;

	for (unsigned i = 0; i < distribution[bin].pages; i++) {
		unsigned n = distribution[bin].least + i % width;
		uint64_t bytes = build_page(map, &pages[i], n, fresh), descriptor = build_descriptor(n);

		if (!bytes || !descriptor)
			return -1;
		sums[0] += n;
		sums[1] += bytes;
		sums[2] += descriptor;
	}
	return 0;
}

/* Where the pages of a bin do not divide evenly by its width, the smaller sizes get one page more. */
static json_t *measure_distribution(void)
{
	struct rmap_statistics stats = { .size = sizeof(stats) };
	uint64_t fresh = 0, sums[3] = { 0 };
	size_t total = 0, done = 0;
	struct chain_map map;
	int failed = 0;

	for (size_t bin = 0; bin < BINS; bin++)
		total += distribution[bin].pages;
	struct rmap_page *pages = calloc(total, sizeof(*pages));

	if (!pages || chain_map_open(&map, 0))
		return free(pages), NULL;
	for (size_t bin = 0; bin < BINS && !failed; done += distribution[bin++].pages)
		failed |= build_bin(&map, pages + done, bin, &fresh, sums);
	failed |= rmap_stats(map.map, &stats);
	for (size_t i = 0; i < total; i++)
		chain_map_drop(&map, &pages[i]);
	failed |= chain_map_close(&map);
	free(pages);
	if (failed)
		return NULL;
	return json_pack("{s:I, s:I, s:f, s:f, s:f}", "pages", (json_int_t)total, "mappings", (json_int_t)sums[0],
			 "rmap", (double)sums[1] / (double)sums[0], "descriptor", (double)sums[2] / (double)sums[0],
			 "tier", (double)(stats.tier_bytes + total * sizeof(struct rmap_page)) / (double)sums[0]);
}

json_t *chain_memory(void)
{
	json_t *sweep = measure_sweep(0);
	json_t *small = measure_small();
	json_t *published = measure_distribution();
	json_t *clusters = measure_sweep(CLUSTER_BITS);

	if (sweep && small && published && clusters)
		return json_pack("{s:o, s:o, s:o, s:o}", "sweep", sweep, "small", small, "distribution", published,
				 "clusters", clusters);
	json_decref(sweep);
	json_decref(small);
	json_decref(published);
	json_decref(clusters);
	return NULL;
}
