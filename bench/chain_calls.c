/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * chain_calls.c - what calls of librmap's cost that peers have not
 *
 * Each row compares ways of the library's own, or with the one bound or function that says something: a linear pair
 * with two changes of a count, batches with single calls, a lock and unlock with a pair, windows with plain ptes, a
 * block's coming and going with malloc and free. As everywhere a thread fills its reserve and takes a read-side
 * section for 32 operations, and that is part of the time.
 */
#include <stdlib.h>

#include "chain_rmap.h"
#include "peers/peer.h"

#define WAYS_MAX 3
#define FORK_PAGES 4096
#define WINDOW_BITS 4u
#define BLOCK_BYTES 32

/* One way to do it. @events: the or of all results so far; negative once an operation has failed. */
struct way {
	struct chain_map map;
	struct peer_page *pages;
	size_t pages_n;
	size_t next; /* page */
	struct chain_stream stream;
	int events;
	double *samples;
};

static struct rmap_page *page_of(struct way *way, size_t i)
{
	return (struct rmap_page *)(void *)way->pages[i].head;
}

/* @pages pages with the first @n handles each, where @n is not 0. */
static int way_open(struct way *way, const struct bench_row *row, const struct bench_budget *budget, size_t pages,
		    size_t n, unsigned bits)
{
	int error = chain_map_open(&way->map, bits);

	if (error) {
		way->map.map = NULL;
		return bench_failed("rmap", row, "there is no memory for it");
	}
	way->samples = calloc(budget->repeat, sizeof(double));
	way->pages = peer_pages(pages);
	way->pages_n = way->pages ? pages : 0;
	way->stream = (struct chain_stream){ .n = n, .random = 0x9e3779b97f4a7c15u };
	way->stream.handles = malloc((n ? n : 1) * sizeof(uint64_t));
	if (!way->samples || !way->pages || !way->stream.handles)
		return bench_failed("rmap", row, "there is no memory for it");
	for (size_t i = 0; i < n; i++)
		way->stream.handles[i] = chain_handle(++way->stream.fresh) << bits;
	for (size_t i = 0; i < pages * n && !error; i++)
		error = chain_map_add(&way->map, page_of(way, i / n), &way->stream.handles[i % n], 1);
	return error ? bench_failed("rmap", row, "there is no memory for it") : 0;
}

static int way_close(struct way *way, const struct bench_row *row, size_t mappings)
{
	int error = way->events < 0 && way->map.map;

	for (size_t i = 0; i < way->pages_n; i++)
		mappings -= chain_map_drop(&way->map, page_of(way, i));
	if (way->map.map)
		error |= chain_map_close(&way->map) || mappings;
	free(way->pages);
	free(way->stream.handles);
	free(way->samples);
	return error ? bench_failed("rmap", row, "it lost a mapping, or an operation failed") : 0;
}

static void begin(struct way *way, size_t adds)
{
	way->events |= rmap_reserve_fill(way->map.reserve, (unsigned)adds);
	rmap_read_lock(way->map.map);
}

static void end(struct way *way)
{
	rmap_read_unlock(way->map.map);
}

static size_t take_section(size_t *units)
{
	size_t section = *units < CHAIN_SECTION ? *units : CHAIN_SECTION;

	*units -= section;
	return section;
}

static void measure(const struct bench_row *row, const struct bench_budget *budget, json_t *report,
		    struct bench_contender *contenders, const char *const *names, size_t count)
{
	bench_measure(contenders, count, budget->seconds / (double)count / budget->repeat, budget->repeat);
	for (size_t i = 0; i < count; i++)
		bench_report(report, row, names[i], row->unit, contenders[i].samples, budget->repeat);
}

static double run_linear(void *state, size_t units)
{
	struct way *way = state;

	while (units) {
		size_t section = take_section(&units);

		begin(way, section);
		while (section--) {
			way->events |= rmap_page_remove(way->map.reserve, page_of(way, 0), rmap_linear());
			way->events |= rmap_page_add(way->map.reserve, page_of(way, 0), rmap_linear());
		}
		end(way);
	}
	return 0;
}

static double run_limit_linear(void *state, size_t units)
{
	chain_limit_linear.pairs(state, units);
	return 0;
}

int chain_linear(const struct bench_row *row, const struct bench_budget *budget, json_t *report)
{
	static const char *const names[] = { "limit", "rmap" };
	uint64_t handle = chain_handle(1);
	struct chain_stream stream = { .handles = &handle, .n = 1, .random = 1 };
	double *samples = calloc(budget->repeat, sizeof(double));
	void *limit = chain_limit_linear.create(&stream);
	struct way way = { 0 };
	int error = way_open(&way, row, budget, 1, 0, 0);

	if (!error && limit && samples) {
		begin(&way, 1);
		way.events |= rmap_page_add(way.map.reserve, page_of(&way, 0), rmap_linear());
		end(&way);
		measure(row, budget, report,
			(struct bench_contender[]){ { run_limit_linear, NULL, limit, samples },
						    { run_linear, NULL, &way, way.samples } },
			names, 2);
	}
	error |= way_close(&way, row, 1);
	if (limit)
		chain_limit_linear.destroy(limit);
	free(samples);
	return error;
}

static double run_pairs(void *state, size_t units)
{
	struct way *way = state;

	while (units) {
		size_t section = take_section(&units);

		begin(way, section);
		while (section--) {
			struct chain_swap swap = chain_stream_next(&way->stream);

			way->events |= rmap_page_remove(way->map.reserve, page_of(way, 0), rmap_chained(swap.out));
			way->events |= rmap_page_add(way->map.reserve, page_of(way, 0), rmap_chained(swap.in));
		}
		end(way);
	}
	return 0;
}

/* A batch's handles are distinct: one that came in it does not go in it. */
static double run_batches(void *state, size_t units)
{
	struct way *way = state;
	struct rmap_mapping out[CHAIN_SECTION], in[CHAIN_SECTION];
	struct rmap_page *pages[CHAIN_SECTION];
	int error;

	for (size_t i = 0; i < CHAIN_SECTION; i++)
		pages[i] = page_of(way, 0);
	while (units) {
		size_t section = take_section(&units), n = 0;
		uint64_t before = way->stream.fresh;

		for (size_t i = 0; i < section; i++) {
			struct chain_swap swap = chain_stream_next(&way->stream);
			size_t k = 0;

			while (k < n && in[k].handle != swap.out)
				k++;
			if (k == n)
				out[n++] = rmap_chained(swap.out);
			in[k] = rmap_chained(swap.in);
		}
		begin(way, section);
		if (rmap_page_remove_batch(way->map.reserve, pages, out, NULL, n, &error) != n ||
		    rmap_page_add_batch(way->map.reserve, pages, in, NULL, n, &error) != n ||
		    way->stream.fresh != before + section)
			way->events = -1;
		end(way);
	}
	return 0;
}

int chain_batch(const struct bench_row *row, const struct bench_budget *budget, json_t *report)
{
	static const char *const names[] = { "single", "rmap" };
	size_t n = bench_size(row->n);
	struct way ways[2] = { 0 };
	int error = way_open(&ways[0], row, budget, 1, n, 0) || way_open(&ways[1], row, budget, 1, n, 0) ? -1 : 0;

	if (!error)
		measure(row, budget, report,
			(struct bench_contender[]){ { run_pairs, NULL, &ways[0], ways[0].samples },
						    { run_batches, NULL, &ways[1], ways[1].samples } },
			names, 2);
	error |= way_close(&ways[0], row, n);
	return error | way_close(&ways[1], row, n);
}

/* The next section of pages, by turns. */
static void choose_pages(struct way *way, struct rmap_page **pages, struct rmap_mapping *mappings, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		pages[i] = page_of(way, way->next);
		mappings[i] = rmap_chained(chain_handle(++way->stream.fresh));
		way->next = (way->next + 1) % way->pages_n;
	}
}

static double run_fork_single(void *state, size_t units)
{
	struct way *way = state;
	struct rmap_mapping mappings[CHAIN_SECTION];
	struct rmap_page *pages[CHAIN_SECTION];

	while (units) {
		size_t section = take_section(&units);

		choose_pages(way, pages, mappings, section);
		begin(way, section);
		for (size_t i = 0; i < section; i++)
			way->events |= rmap_page_add(way->map.reserve, pages[i], mappings[i]);
		for (size_t i = 0; i < section; i++)
			way->events |= rmap_page_remove(way->map.reserve, pages[i], mappings[i]);
		end(way);
	}
	return 0;
}

static double run_fork_batch(void *state, size_t units)
{
	struct way *way = state;
	struct rmap_mapping mappings[CHAIN_SECTION];
	struct rmap_page *pages[CHAIN_SECTION];
	int error;

	while (units) {
		size_t section = take_section(&units);

		choose_pages(way, pages, mappings, section);
		begin(way, section);
		if (rmap_page_add_batch(way->map.reserve, pages, mappings, NULL, section, &error) != section ||
		    rmap_page_remove_batch(way->map.reserve, pages, mappings, NULL, section, &error) != section)
			way->events = -1;
		end(way);
	}
	return 0;
}

int chain_fork(const struct bench_row *row, const struct bench_budget *budget, json_t *report)
{
	static const char *const names[] = { "single", "rmap" };
	size_t pages = bench_size(FORK_PAGES), n = bench_size(row->n);
	struct way ways[2] = { 0 };
	int error =
		way_open(&ways[0], row, budget, pages, n, 0) || way_open(&ways[1], row, budget, pages, n, 0) ? -1 : 0;

	if (!error)
		measure(row, budget, report,
			(struct bench_contender[]){ { run_fork_single, NULL, &ways[0], ways[0].samples },
						    { run_fork_batch, NULL, &ways[1], ways[1].samples } },
			names, 2);
	error |= way_close(&ways[0], row, pages * n);
	return error | way_close(&ways[1], row, pages * n);
}

static double run_locks(void *state, size_t units)
{
	struct way *way = state;

	while (units) {
		size_t section = take_section(&units);

		begin(way, section);
		while (section--) {
			struct rmap_mapping mapping = rmap_chained(way->stream.handles[way->next++ % way->stream.n]);

			way->events |= rmap_page_lock(way->map.reserve, page_of(way, 0), mapping);
			way->events |= rmap_page_unlock(way->map.reserve, page_of(way, 0), mapping);
		}
		end(way);
	}
	return 0;
}

int chain_lock(const struct bench_row *row, const struct bench_budget *budget, json_t *report)
{
	static const char *const names[] = { "pair", "rmap" };
	size_t n = bench_size(row->n);
	struct way ways[2] = { 0 };
	int error = way_open(&ways[0], row, budget, 1, n, 0) || way_open(&ways[1], row, budget, 1, n, 0) ? -1 : 0;

	if (!error)
		measure(row, budget, report,
			(struct bench_contender[]){ { run_pairs, NULL, &ways[0], ways[0].samples },
						    { run_locks, NULL, &ways[1], ways[1].samples } },
			names, 2);
	error |= way_close(&ways[0], row, n);
	return error | way_close(&ways[1], row, n);
}

/* A pte of a window, another one each time, goes and comes. Which is given by the bits above the lowest three. */
static double run_windows(void *state, size_t units)
{
	struct way *way = state;

	while (units) {
		size_t section = take_section(&units);

		begin(way, section);
		while (section--) {
			size_t turn = way->next++;
			uint64_t place = turn / way->stream.n % (1u << WINDOW_BITS);
			struct rmap_mapping mapping =
				rmap_chained(way->stream.handles[turn % way->stream.n] + place * 8);

			way->events |= rmap_page_remove(way->map.reserve, page_of(way, 0), mapping);
			way->events |= rmap_page_add(way->map.reserve, page_of(way, 0), mapping);
		}
		end(way);
	}
	return 0;
}

static int fill_windows(struct way *way, size_t n)
{
	int error = 0;

	for (size_t i = 0; i < n && !error; i++) {
		uint64_t handles[(1u << WINDOW_BITS) - 1];

		for (unsigned place = 1; place < 1u << WINDOW_BITS; place++)
			handles[place - 1] = way->stream.handles[i] + place * 8u;
		error = chain_map_add(&way->map, page_of(way, 0), handles, sizeof(handles) / sizeof(handles[0]));
	}
	return error;
}

int chain_cluster(const struct bench_row *row, const struct bench_budget *budget, json_t *report)
{
	static const char *const names[] = { "plain ptes", "rmap" };
	size_t n = bench_size(row->n);
	struct way ways[2] = { 0 };
	int error = way_open(&ways[0], row, budget, 1, n, 0) || way_open(&ways[1], row, budget, 1, n, WINDOW_BITS) ||
				    fill_windows(&ways[1], n)
			    ? -1
			    : 0;

	if (!error)
		measure(row, budget, report,
			(struct bench_contender[]){ { run_pairs, NULL, &ways[0], ways[0].samples },
						    { run_windows, NULL, &ways[1], ways[1].samples } },
			names, 2);
	error |= way_close(&ways[0], row, n);
	return error | way_close(&ways[1], row, n << WINDOW_BITS);
}

/* Two adds and two removes of a page without a mapping: those that make a block and give it back ... */
static double run_blocks(void *state, size_t units)
{
	struct way *way = state;
	struct rmap_mapping a = rmap_chained(8), b = rmap_chained(16);

	while (units) {
		size_t section = take_section(&units);

		begin(way, 2 * section);
		while (section--) {
			struct rmap_page *page = page_of(way, way->next++ % way->pages_n);

			way->events |= rmap_page_add(way->map.reserve, page, a);
			way->events |= rmap_page_add(way->map.reserve, page, b);
			way->events |= rmap_page_remove(way->map.reserve, page, a);
			way->events |= rmap_page_remove(way->map.reserve, page, b);
		}
		end(way);
	}
	return 0;
}

/* ... and those that do not. */
static double run_direct(void *state, size_t units)
{
	struct way *way = state;
	struct rmap_mapping a = rmap_chained(8), b = rmap_chained(16);

	while (units) {
		size_t section = take_section(&units);

		begin(way, 2 * section);
		while (section--) {
			struct rmap_page *page = page_of(way, way->next++ % way->pages_n);

			way->events |= rmap_page_add(way->map.reserve, page, a);
			way->events |= rmap_page_remove(way->map.reserve, page, a);
			way->events |= rmap_page_add(way->map.reserve, page, b);
			way->events |= rmap_page_remove(way->map.reserve, page, b);
		}
		end(way);
	}
	return 0;
}

/* A section's worth of blocks is out at once, as with the library. */
static double run_malloc(void *state, size_t units)
{
	struct way *way = state;
	void *blocks[CHAIN_SECTION];

	while (units) {
		size_t section = take_section(&units);

		for (size_t i = 0; i < section; i++) {
			blocks[i] = malloc(BLOCK_BYTES);
			if (!blocks[i])
				way->events = -1;
			else
				*(void **)blocks[i] = way;
		}
		for (size_t i = 0; i < section; i++)
			free(blocks[i]);
	}
	return 0;
}

int chain_block(const struct bench_row *row, const struct bench_budget *budget, json_t *report)
{
	static const char *const names[] = { "malloc", "no block", "with one", "rmap" };
	struct way ways[3] = { 0 };
	double *differences = calloc(budget->repeat, sizeof(double));
	int error = differences ? 0 : -1;

	for (size_t i = 0; i < 3 && !error; i++)
		error = way_open(&ways[i], row, budget, bench_size(FORK_PAGES), 0, 0);
	if (!error) {
		measure(row, budget, report,
			(struct bench_contender[]){ { run_malloc, NULL, &ways[0], ways[0].samples },
						    { run_direct, NULL, &ways[1], ways[1].samples },
						    { run_blocks, NULL, &ways[2], ways[2].samples } },
			names, 3);
		for (unsigned i = 0; i < budget->repeat; i++)
			differences[i] = ways[2].samples[i] - ways[1].samples[i];
		bench_report(report, row, names[3], row->unit, differences, budget->repeat);
	}
	for (size_t i = 0; i < 3; i++)
		error |= way_close(&ways[i], row, 0);
	free(differences);
	return error;
}

/* @stream.n blocks are used up in a section, and the fill that makes up for them is timed. */
static double run_fills(void *state, size_t units)
{
	struct way *way = state;
	struct rmap_mapping a = rmap_chained(8), b = rmap_chained(16);
	uint64_t counted = 1;

	while (units--) {
		rmap_read_lock(way->map.map);
		for (size_t i = 0; i < way->next; i++) {
			way->events |= rmap_page_add(way->map.reserve, page_of(way, i), a);
			way->events |= rmap_page_add(way->map.reserve, page_of(way, i), b);
		}
		for (size_t i = 0; i < way->next; i++) {
			way->events |= rmap_page_remove(way->map.reserve, page_of(way, i), a);
			way->events |= rmap_page_remove(way->map.reserve, page_of(way, i), b);
		}
		rmap_read_unlock(way->map.map);
		uint64_t began = bench_now();

		way->events |= rmap_reserve_fill(way->map.reserve, 2 * CHAIN_SECTION);
		counted += bench_now() - began;
	}
	return (double)counted;
}

int chain_fill(const struct bench_row *row, const struct bench_budget *budget, json_t *report)
{
	static const char *const names[] = { "rmap" };
	struct way way = { 0 };
	int error = way_open(&way, row, budget, CHAIN_SECTION, 0, 0);

	way.next = row->n;
	if (!error)
		way.events |= rmap_reserve_fill(way.map.reserve, 2 * CHAIN_SECTION);
	if (!error)
		measure(row, budget, report, (struct bench_contender[]){ { run_fills, NULL, &way, way.samples } },
			names, 1);
	return error | way_close(&way, row, 0);
}
