/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pages.c - `rmap bench pages`: the mappings of a machine's pages, cold in cache
 *
 * 10^5 and 10^6 pages, each a line of 64 bytes as a struct page is, with as many mappings each as published for a real
 * guest, or as recorded; so most have one mapping, few have many, and 10^6 are more than caches hold. What a machine
 * does to them: it reclaims at random, forks, exits and unmaps in the order of pages, by the batch calls of those who
 * have any. The handle of each mapping is kept beside, as in a page table, and read for every remove.
 *
 * On a machine that has run for long, memory that belongs to neighbouring pages lies anywhere. So but for the row
 * `build` pages get their mappings in an order without a pattern.
 */
#include <stdlib.h>
#include <string.h>

#include <rmap/rmap.h>

#include "peers/peer.h"
#include "sharing.h"

#define FORK_RUN 512
#define SLICE 1024 /* replacements between two looks at whether to stop */
#define FRESH_SHIFT 36

/* Of --from; no pages without. */
static struct sharing recorded;

/* A peer with all pages, in parts of which each thread has one. */
struct lane {
	const struct peer *peer;
	void *map;
	struct peer_page *pages;
	size_t pages_n;
	uint64_t *handles;
	unsigned threads;
	void *contexts[BENCH_THREADS_MAX];
	struct peer_replacing parts[BENCH_THREADS_MAX];
	double rates[BENCH_THREADS_MAX];
	bool in_order;
	double samples[BENCH_ROUNDS_MAX];
};

/* What all peers share: of which page each mapping is. */
struct layout {
	const struct sharing *sharing;
	struct sharing published;
	uint32_t *page_of;
	uint32_t *aged; /* the mappings in the order in which they are added: all of a page, of pages at random */
	uint32_t *aged_page_of; /* of which page each of these is */
};

static int prepare(const struct bench_options *options)
{
	return options->from ? sharing_load(&recorded, options->from) : 0;
}

static void finish(void)
{
	sharing_fini(&recorded);
}

static void layout_fini(struct layout *layout)
{
	sharing_fini(&layout->published);
	free(layout->page_of);
	free(layout->aged);
	free(layout->aged_page_of);
}

/* Mappings in the order of pages, and of pages in another order. */
static int layout_order(struct layout *layout)
{
	const struct sharing *sharing = layout->sharing;
	uint32_t *order = malloc(sharing->pages * sizeof(*order)), *first = malloc(sharing->pages * sizeof(*first));
	size_t at = 0;

	for (size_t page = 0; page < sharing->pages && order && first; page++) {
		order[page] = (uint32_t)page;
		first[page] = (uint32_t)at;
		for (uint32_t i = 0; i < sharing->mappings[page]; i++)
			layout->page_of[at++] = (uint32_t)page;
	}
	if (order && first)
		sharing_shuffle(order, sharing->pages);
	at = 0;
	for (size_t i = 0; i < sharing->pages && order && first; i++) {
		for (uint32_t k = 0; k < sharing->mappings[order[i]]; k++, at++) {
			layout->aged[at] = first[order[i]] + k;
			layout->aged_page_of[at] = order[i];
		}
	}
	free(order);
	free(first);
	return at == sharing->total ? 0 : -1;
}

static int layout_init(struct layout *layout, const struct bench_row *row)
{
	*layout = (struct layout){ .sharing = row->n ? &layout->published : &recorded };
	if (row->n && sharing_publish(&layout->published, bench_size(row->n)))
		return bench_failed("the harness", row, "there is no memory for it");
	size_t bytes = layout->sharing->total * sizeof(uint32_t);

	layout->page_of = malloc(bytes);
	layout->aged = malloc(bytes);
	layout->aged_page_of = malloc(bytes);
	if (!layout->page_of || !layout->aged || !layout->aged_page_of || layout_order(layout))
		return bench_failed("the harness", row, "there is no memory for it");
	return 0;
}

/* Add all mappings: a fresh machine, in the order of pages. */
static void lane_build(struct lane *lane)
{
	for (unsigned i = 0; i < lane->threads; i++)
		lane->peer->build(lane->contexts[i], &lane->parts[i]);
}

/* The same, of a machine that has run for long. Each thread has a part of the pages, and here of the others, too. */
static int lane_build_aged(struct lane *lane, const struct layout *layout)
{
	size_t total = layout->sharing->total;
	uint64_t *handles = malloc(total * sizeof(*handles));

	if (!handles)
		return -1;
	for (size_t i = 0; i < total; i++)
		handles[i] = lane->handles[layout->aged[i]];
	for (unsigned i = 0; i < lane->threads; i++) {
		struct peer_replacing part = { .pages = lane->pages,
					       .handles = handles,
					       .page_of = layout->aged_page_of,
					       .begin = lane->parts[i].begin,
					       .end = lane->parts[i].end };

		lane->peer->build(lane->contexts[i], &part);
	}
	free(handles);
	return 0;
}

static int lane_open(struct lane *lane, const struct peer *peer, const struct bench_row *row,
		     const struct layout *layout, unsigned threads)
{
	size_t total = layout->sharing->total;

	*lane = (struct lane){ .peer = peer, .threads = threads, .in_order = row->arg != NULL };
	if (peer_check(peer))
		return -1;
	lane->map = peer->open(1);
	lane->pages = peer_pages(layout->sharing->pages);
	lane->pages_n = lane->pages ? layout->sharing->pages : 0;
	lane->handles = malloc(total * sizeof(uint64_t));
	if (!lane->map || !lane->pages || !lane->handles)
		return bench_failed(peer->name, row, "there is no memory for it");
	for (size_t i = 0; i < total; i++)
		lane->handles[i] = chain_handle(i + 1);
	for (unsigned i = 0; i < threads; i++) {
		lane->contexts[i] = peer->enter(lane->map);
		if (!lane->contexts[i])
			return bench_failed(peer->name, row, "there is no memory for it");
		lane->parts[i] = (struct peer_replacing){ .pages = lane->pages,
							  .handles = lane->handles,
							  .page_of = layout->page_of,
							  .random = 0x9e3779b97f4a7c15u + i,
							  .fresh = (uint64_t)(i + 1) << FRESH_SHIFT,
							  .begin = total * i / threads,
							  .end = total * (i + 1) / threads };
		lane->parts[i].next = lane->parts[i].begin;
	}
	return 0;
}

static size_t lane_drop(struct lane *lane)
{
	size_t dropped = 0;

	for (size_t i = 0; i < lane->pages_n && lane->contexts[0]; i++)
		dropped += lane->peer->drop(lane->contexts[0], &lane->pages[i]);
	return dropped;
}

/* @total: how many mappings there must be. */
static int lane_close(struct lane *lane, const struct bench_row *row, size_t total)
{
	int error = lane_drop(lane) != total;

	for (unsigned i = 0; i < lane->threads; i++) {
		if (lane->contexts[i])
			error |= lane->peer->leave(lane->contexts[i]);
	}
	if (lane->map)
		error |= lane->peer->close(lane->map);
	free(lane->pages);
	free(lane->handles);
	return error ? bench_failed(lane->peer->name, row, "it lost a mapping, or an operation failed") : 0;
}

/* Tables for each page are nothing for pages of which most have one mapping. */
static bool is_table(const struct peer *peer)
{
	return !peer->scans && peer != &peer_rmap;
}

struct lanes {
	struct layout layout;
	struct lane *lanes;
	size_t count;
	size_t total; /* that each must have at the end */
};

/* @build: add all mappings, too. 0, or -1 after a message; lanes_close() is for either. */
static int lanes_open(struct lanes *lanes, const struct bench_row *row, unsigned threads, bool build)
{
	*lanes = (struct lanes){ .lanes = calloc(PEERS_MAX, sizeof(struct lane)) };
	if (!lanes->lanes)
		return bench_failed("the harness", row, "there is no memory for it");
	int error = layout_init(&lanes->layout, row);

	for (size_t i = 0; peers_all[i] && !error; i++) {
		if (!is_table(peers_all[i]))
			error = lane_open(&lanes->lanes[lanes->count++], peers_all[i], row, &lanes->layout, threads);
	}
	for (size_t i = 0; i < lanes->count && build && !error; i++) {
		if (lane_build_aged(&lanes->lanes[i], &lanes->layout))
			error = bench_failed(lanes->lanes[i].peer->name, row, "there is no memory for it");
	}
	lanes->total = build && !error ? lanes->layout.sharing->total : 0;
	return error;
}

static int lanes_close(struct lanes *lanes, const struct bench_row *row)
{
	int error = 0;

	for (size_t i = 0; i < lanes->count; i++)
		error |= lane_close(&lanes->lanes[i], row, lanes->total);
	free(lanes->lanes);
	layout_fini(&lanes->layout);
	return error;
}

static void report_bytes(json_t *report, const struct bench_row *row, struct lane *lane, size_t total)
{
	bench_report_one(report, row, lane->peer->name, "bytes a mapping",
			 (double)(lane->peer->bytes(lane->map) + lane->pages_n * lane->peer->head) / (double)total);
}

/* @units: how often all pages get all mappings; that they lose them does not count. */
static double run_build(void *state, size_t units)
{
	struct lane *lane = state;
	uint64_t counted = 0;

	while (units--) {
		uint64_t began = bench_work_now();

		lane_build(lane);
		counted += bench_work_now() - began;
		lane_drop(lane);
		memset(lane->pages, 0, lane->pages_n * sizeof(*lane->pages));
	}
	return (double)counted;
}

static double run_reclaim(void *state, size_t units)
{
	struct lane *lane = state;

	lane->peer->reclaim(lane->contexts[0], &lane->parts[0], units);
	return 0;
}

static double run_follow(void *state, size_t units)
{
	struct lane *lane = state;

	lane->peer->follow(lane->contexts[0], &lane->parts[0], units);
	return 0;
}

static double run_sweep(void *state, size_t units)
{
	struct lane *lane = state;

	lane->peer->sweep(lane->contexts[0], &lane->parts[0], units);
	return 0;
}

/* @units: pages. */
static double run_fork(void *state, size_t units)
{
	struct lane *lane = state;
	struct peer_replacing *part = &lane->parts[0];
	size_t run = lane->pages_n < FORK_RUN ? lane->pages_n : FORK_RUN;

	while (units) {
		size_t n = units < run ? units : run;

		part->random ^= part->random << 13;
		part->random ^= part->random >> 7;
		part->random ^= part->random << 17;
		lane->peer->fork(lane->contexts[0], part, (part->random >> 16) % (lane->pages_n - n + 1), n);
		units -= n;
	}
	return 0;
}

static int measure_row(const struct bench_row *row, const struct bench_budget *budget, json_t *report,
		       double (*run)(void *state, size_t units), bool build)
{
	struct bench_contender contenders[PEERS_MAX];
	struct lanes lanes;
	int error = lanes_open(&lanes, row, 1, build);
	size_t unit = build ? 1 : lanes.layout.sharing->total;

	for (size_t i = 0; i < lanes.count && !error; i++)
		contenders[i] = (struct bench_contender){ run, NULL, &lanes.lanes[i], lanes.lanes[i].samples };
	if (!error)
		bench_measure(contenders, lanes.count, budget->seconds / (double)lanes.count / budget->repeat,
			      budget->repeat);
	for (size_t i = 0; i < lanes.count && !error; i++) {
		for (unsigned round = 0; round < budget->repeat; round++)
			lanes.lanes[i].samples[round] /= (double)unit;
		bench_report(report, row, lanes.lanes[i].peer->name, row->unit, lanes.lanes[i].samples, budget->repeat);
		if (run == run_sweep)
			report_bytes(report, row, &lanes.lanes[i], lanes.total);
	}
	return error | lanes_close(&lanes, row);
}

static int build_row(const struct bench_row *row, const struct bench_budget *budget, json_t *report)
{
	return measure_row(row, budget, report, run_build, false);
}

static int reclaim_row(const struct bench_row *row, const struct bench_budget *budget, json_t *report)
{
	return measure_row(row, budget, report, run_reclaim, true);
}

static int follow_row(const struct bench_row *row, const struct bench_budget *budget, json_t *report)
{
	return measure_row(row, budget, report, run_follow, true);
}

static int sweep_row(const struct bench_row *row, const struct bench_budget *budget, json_t *report)
{
	return measure_row(row, budget, report, run_sweep, true);
}

static int fork_row(const struct bench_row *row, const struct bench_budget *budget, json_t *report)
{
	return measure_row(row, budget, report, run_fork, true);
}

static void work(void *arg, unsigned number, struct bench_team *team)
{
	struct lane *lane = arg;
	uint64_t done = 0;

	bench_team_begin(team);
	uint64_t began = bench_work_now();

	for (; !bench_team_stopped(team); done += SLICE) {
		if (lane->in_order)
			lane->peer->sweep(lane->contexts[number], &lane->parts[number], SLICE);
		else
			lane->peer->reclaim(lane->contexts[number], &lane->parts[number], SLICE);
	}
	lane->rates[number] = (double)done * 1e3 / (double)(bench_work_now() - began);
}

static int threads_row(const struct bench_row *row, const struct bench_budget *budget, json_t *report)
{
	unsigned threads = budget->options->threads;
	struct lanes lanes;
	int error = lanes_open(&lanes, row, threads, true);
	double seconds = budget->seconds / (double)lanes.count / budget->repeat;

	for (unsigned round = 0; round < budget->repeat && !error; round++) {
		for (size_t i = 0; i < lanes.count && !error; i++) {
			struct lane *lane = &lanes.lanes[(i + round) % lanes.count];

			if (bench_team_run(threads, seconds > 0.002 ? seconds : 0.002, work, lane) < 0)
				error = bench_failed(lane->peer->name, row, "so many threads cannot be had");
			for (unsigned k = 0; k < threads; k++)
				lane->samples[round] += lane->rates[k];
		}
	}
	for (size_t i = 0; i < lanes.count && !error; i++)
		bench_report(report, row, lanes.lanes[i].peer->name, row->unit, lanes.lanes[i].samples, budget->repeat);
	return error | lanes_close(&lanes, row);
}

/* All of the row's time in page order, where chains end and begin, without a moment to let memory come back. */
static int churn_row(const struct bench_row *row, const struct bench_budget *budget, json_t *report)
{
	struct rmap_statistics stats = { .size = sizeof(stats) };
	struct lane *lane = calloc(1, sizeof(*lane));
	struct layout layout;
	int error = layout_init(&layout, row) || !lane ? -1 : lane_open(lane, &peer_rmap, row, &layout, 1);

	if (!error) {
		struct rmap *map = peer_rmap_map(lane->map);
		double until = (double)bench_now() + budget->seconds * 1e9, before;

		lane_build(lane); /* as fresh, so that what churn does is seen */
		rmap_stats(map, &stats);
		before = (double)stats.tier_bytes;
		do
			peer_rmap.sweep(lane->contexts[0], &lane->parts[0], layout.sharing->total);
		while ((double)bench_now() < until);
		rmap_stats(map, &stats);
		bench_report_one(report, row, "rmap", row->unit, (double)stats.waiting_peak);
		bench_report_one(report, row, "rmap", "waiting at the end", (double)stats.waiting_bytes);
		bench_report_one(report, row, "rmap", "of the tier, before", before);
		bench_report_one(report, row, "rmap", "of the tier, after", (double)stats.tier_bytes);
		bench_report_one(report, row, "rmap", "fills held back", (double)stats.fills_held_back);
	}
	if (lane)
		error |= lane_close(lane, row, error ? 0 : layout.sharing->total);
	free(lane);
	layout_fini(&layout);
	return error;
}

/* Each for the recorded system, 10^5 pages, and 10^6. */
#define ROWS(name, unit, run, arg)                                                                                     \
	{ name, 0, unit, false, run, arg }, { name, 100000, unit, false, run, arg },                                   \
	{                                                                                                              \
		name, 1000000, unit, true, run, arg                                                                    \
	}

static const struct bench_row rows[] = {
	ROWS("build", "ns", build_row, NULL),
	ROWS("random", "ns", reclaim_row, NULL),
	ROWS("order", "ns", follow_row, NULL),
	ROWS("order-batch", "ns", sweep_row, NULL),
	ROWS("fork-exit", "ns", fork_row, NULL),
	ROWS("random-threads", "M/s", threads_row, NULL),
	ROWS("order-batch-threads", "M/s", threads_row, "in order"),
	ROWS("churn", "bytes", churn_row, NULL),
};

static const char *const the_peers[] = { "descriptor", "pte_chain", "twopte", "chunk168", "mutex", NULL };

#define MILLION 1000000

static const struct bench_target targets[] = {
	{ "a mapping replaced at random, x the best peer", "random", 0, MILLION, "rmap", "ns", the_peers, false, 1,
	  NULL },
	{ "in page order, x the best peer", "order", 0, MILLION, "rmap", "ns", the_peers, false, 1, NULL },
	{ "in page order by batches, x the best peer", "order-batch", 0, MILLION, "rmap", "ns", the_peers, false, 1,
	  NULL },
	{ "at random by several threads, x the best peer", "random-threads", 0, MILLION, "rmap", "M/s", the_peers, true,
	  1, NULL },
	{ "in page order by batches and several threads, x the best peer", "order-batch-threads", 0, MILLION, "rmap",
	  "M/s", the_peers, true, 1, NULL },
	{ "bytes a mapping after page order, published distribution", "order-batch", 1, MILLION, "rmap",
	  "bytes a mapping", NULL, false, 11.95, NULL },
	{ "bytes that wait for grace periods, at most", "churn", 0, MILLION, "rmap", "bytes", NULL, false,
	  (double)RMAP_WAITING_DEFAULT, NULL },
};

const struct benchmark bench_pages = {
	.name = "pages",
	.summary = "what a machine does to its pages, 100000 and 1000000 of them, or those of --from FILE",
	.legend = "build: all mappings are added, an add; random: a mapping is replaced by a fresh one, as reclaim "
		  "does;\n"
		  "order: the same in the order of pages; order-batch: 32 go and 32 come at a time; fork-exit: 512 "
		  "pages\n"
		  "get one mapping more each, and lose it; -threads: each with its part of the pages; churn: "
		  "order-batch\n"
		  "for long, and what waits for grace periods meanwhile. Pages are a line each and have the published\n"
		  "distribution of mappings, or (n = 0) those of the recording.\n",
	.rows = rows,
	.rows_n = sizeof(rows) / sizeof(rows[0]),
	.targets = targets,
	.targets_n = sizeof(targets) / sizeof(targets[0]),
	.prepare = prepare,
	.finish = finish,
	.records = true,
};
