/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * chain_memory.c - what mappings take, in bytes
 *
 * No clock is read here, so the figures are the same in every run. Sizes are those of chains and the pages' own words;
 * what a reserve has in hand or the pool has not carved up yet is no page's, and is bounded by the options.
 *
 *   growing    one chain grows from nothing to n mappings, one fill before each add. Every size from 14 on is looked
 *              at: the greatest bytes a mapping, also of sizes from 128 on, and the mean over sizes spaced evenly on a
 *              log scale, which is to weigh size n by 1 / n
 *   small      a page with n mappings, in bytes a page
 *   published  pages in the numbers published for a real guest, each with its mappings, n uniform within a bin
 *   windows    growing, where an element is a window of n ptes, all of them mapped, in bytes a pte
 *   reserve    what a reserve has in hand after a fill for n adds, at the most while a chain grows to 10^6
 */
#include <stdlib.h>
#include <string.h>

#include "chain_rmap.h"
#include "peers/peer.h"

#define SWEEP_FIRST 14
#define SWEEP_LONG 128
#define SWEEP_LAST ((size_t)1000000)
#define WINDOW_MAX 16u

const struct chain_bin chain_distribution[] = {
	{ 1, 1, 49005 }, { 2, 3, 14016 }, { 4, 7, 1363 }, { 8, 15, 235 },
	{ 16, 31, 212 }, { 32, 63, 15 },  { 64, 127, 7 }, { 0, 0, 0 },
};

struct sweep {
	double average;
	double worst;
	double worst_long;
	uint64_t worst_n;
	uint64_t reserve;
};

/* Element @number: one mapping, or all ptes of a window. */
static int add_element(const struct chain_map *map, struct rmap_page *page, uint64_t number, unsigned window)
{
	uint64_t handles[WINDOW_MAX];

	for (unsigned i = 0; i < window; i++)
		handles[i] = chain_handle(number) * window + i * 8u;
	return chain_map_add(map, page, handles, window);
}

static void note_size(struct sweep *sweep, const struct rmap_statistics *stats, uint64_t n, unsigned window)
{
	double bytes = (double)(stats->chain_bytes + sizeof(struct rmap_page)) / (double)(n * window);

	if (bytes > sweep->worst) {
		sweep->worst = bytes;
		sweep->worst_n = n;
	}
	if (n >= SWEEP_LONG && bytes > sweep->worst_long)
		sweep->worst_long = bytes;
}

/*
 * Elements are windows of @window ptes; before each one is a fill for @fill adds. Reading the figures costs no walk,
 * so it can be done at every size. -1 after a failure, or if the figures and the chain disagree at the end.
 */
static int sweep_chain(const struct chain_map *map, struct rmap_page *page, size_t last, unsigned window, unsigned fill,
		       struct sweep *sweep)
{
	struct rmap_statistics stats = { .size = sizeof(stats) };
	double sum = 0, weights = 0;
	struct rmap_shape shape;

	for (uint64_t n = 1; n <= last; n++) {
		if (rmap_reserve_fill(map->reserve, fill) || rmap_stats(map->map, &stats))
			return -1;
		if (stats.reserve_bytes > sweep->reserve)
			sweep->reserve = stats.reserve_bytes;
		if (add_element(map, page, n, window) || rmap_stats(map->map, &stats))
			return -1;
		if (n < SWEEP_FIRST)
			continue;
		note_size(sweep, &stats, n, window);
		sum += (double)(stats.chain_bytes + sizeof(struct rmap_page)) / (double)(n * window) / (double)n;
		weights += 1 / (double)n;
	}
	sweep->average = sum / weights;
	if (chain_map_shape(map, page, &shape))
		return -1;
	return shape.elements == last && shape.bytes == stats.chain_bytes + sizeof(struct rmap_page) ? 0 : -1;
}

static int measure_sweep(const struct bench_row *row, size_t last, unsigned bits, unsigned fill, struct sweep *sweep)
{
	struct rmap_page page = { 0 };
	struct chain_map map;

	if (chain_map_open(&map, bits))
		return bench_failed("rmap", row, "there is no memory for it");
	int error = sweep_chain(&map, &page, last, 1u << bits, fill, sweep);

	chain_map_drop(&map, &page);
	error |= chain_map_close(&map);
	return error ? bench_failed("rmap", row, "memory is short, or the chain does not hold what was added") : 0;
}

int chain_growing(const struct bench_row *row, const struct bench_budget *budget, json_t *report)
{
	struct sweep sweep = { 0 };

	(void)budget;
	if (measure_sweep(row, bench_size(row->n), 0, 1, &sweep))
		return -1;
	bench_report_one(report, row, "rmap", row->unit, sweep.average);
	bench_report_one(report, row, "rmap", "worst", sweep.worst);
	bench_report_one(report, row, "rmap", "worst at", (double)sweep.worst_n);
	bench_report_one(report, row, "rmap", "worst from 128", sweep.worst_long);
	return 0;
}

int chain_clusters(const struct bench_row *row, const struct bench_budget *budget, json_t *report)
{
	struct sweep sweep = { 0 };
	unsigned bits = 0;

	(void)budget;
	while (1u << bits < row->n)
		bits++;
	if (measure_sweep(row, bench_size(SWEEP_LAST >> bits), bits, 1u << bits, &sweep))
		return -1;
	bench_report_one(report, row, "rmap", row->unit, sweep.average);
	bench_report_one(report, row, "rmap", "worst", sweep.worst);
	return 0;
}

int chain_reserve(const struct bench_row *row, const struct bench_budget *budget, json_t *report)
{
	struct sweep sweep = { 0 };

	(void)budget;
	if (measure_sweep(row, bench_size(SWEEP_LAST), 0, (unsigned)row->n, &sweep))
		return -1;
	bench_report_one(report, row, "rmap", row->unit, (double)sweep.reserve);
	return 0;
}

int chain_small(const struct bench_row *row, const struct bench_budget *budget, json_t *report)
{
	int error = 0;

	(void)budget;
	for (size_t i = 0; peers_all[i] && !error; i++) {
		struct peer_lane lane;

		error = peer_open(&lane, peers_all[i], row, row->n, row->n);
		if (!error)
			bench_report_one(report, row, peers_all[i]->name, row->unit,
					 (double)(peers_all[i]->head + peers_all[i]->bytes(lane.map)));
		error |= peer_close(&lane, row);
	}
	return error;
}

/* Where the pages of a bin do not divide evenly by its width, the smaller sizes get one page more. */
static size_t add_published(const struct peer *peer, void *thread, struct peer_page *pages, size_t pages_most)
{
	uint64_t handles[128], fresh = 0;
	size_t done = 0, mappings = 0;

	for (const struct chain_bin *bin = chain_distribution; bin->pages; bin++) {
		for (unsigned i = 0; i < bin->pages && done < pages_most; i++) {
			unsigned n = bin->least + i % (bin->greatest - bin->least + 1);

			for (unsigned k = 0; k < n; k++)
				handles[k] = chain_handle(++fresh);
			peer->grow(thread, &pages[done++], handles, n);
			mappings += n;
		}
	}
	return mappings;
}

static int published_bytes(const struct bench_row *row, const struct peer *peer, struct peer_page *pages, size_t n,
			   double *bytes)
{
	void *map = peer->open(1), *thread = map ? peer->enter(map) : NULL;
	size_t mappings = 0, dropped = 0;

	memset(pages, 0, n * sizeof(*pages)); /* whatever the peer before has left there */
	if (thread) {
		mappings = add_published(peer, thread, pages, n);
		*bytes = (double)(peer->bytes(map) + n * peer->head) / (double)mappings;
		for (size_t i = 0; i < n; i++)
			dropped += peer->drop(thread, &pages[i]);
	}
	if (!thread || peer->leave(thread) || peer->close(map) || mappings != dropped)
		return bench_failed(peer->name, row, "memory is short, or it lost a mapping");
	return 0;
}

/* Tables for each page, of which most have one mapping, are not what their authors had in mind. */
static bool is_table(const struct peer *peer)
{
	return !peer->scans && peer != &peer_rmap;
}

int chain_published(const struct bench_row *row, const struct bench_budget *budget, json_t *report)
{
	size_t n = bench_size(row->n);
	struct peer_page *pages = peer_pages(n);
	int error = pages ? 0 : bench_failed("the harness", row, "there is no memory for it");

	(void)budget;
	for (size_t i = 0; peers_all[i] && !error; i++) {
		double bytes = 0;

		if (is_table(peers_all[i]))
			continue;
		error = peer_check(peers_all[i]) || published_bytes(row, peers_all[i], pages, n, &bytes) ? -1 : 0;
		bench_report_one(report, row, peers_all[i]->name, row->unit, bytes);
	}
	free(pages);
	return error;
}
