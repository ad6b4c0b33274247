/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * threads.c - `rmap bench threads`: several threads that make pairs at once, each on a page of its own, or all on one
 *
 * Each thread has n mappings and replaces them at random. What counts is how many pairs all make together, but a way
 * that lets one thread starve the others is no answer: so the share of the slowest is judged, and the 99th percentile
 * of the time of a pair is given (the clock's reading included).
 *
 * Where other programs run, threads wait for cores. What one waits does not count against it; but meanwhile the others
 * have the page to themselves. So a batch in which one has waited for long is made again; the least disturbed counts.
 */
#include <stdlib.h>

#include "peers/peer.h"

#define DISTURBED 0.05
#define TRIES 3
#define SECONDS_LEAST 0.002
#define FRESH_SHIFT 36 /* threads' handles differ above it: 2^8 threads, 2^36 handles each */

/* A peer with the threads' contexts and streams. A thread takes the page of its number, or the first one. */
struct lane {
	const struct peer *peer;
	void *map;
	struct peer_page *pages;
	unsigned threads;
	bool apart;
	void *contexts[BENCH_THREADS_MAX];
	struct chain_stream streams[BENCH_THREADS_MAX];
	struct bench_histogram *latency; /* of each */
	double rates[BENCH_THREADS_MAX];
	double rate[BENCH_ROUNDS_MAX], one[BENCH_ROUNDS_MAX], share[BENCH_ROUNDS_MAX], p99[BENCH_ROUNDS_MAX];
	double times[BENCH_ROUNDS_MAX];
};

static struct peer_page *page_of(struct lane *lane, unsigned number)
{
	return &lane->pages[lane->apart ? number : 0];
}

static int lane_open(struct lane *lane, const struct peer *peer, const struct bench_row *row, unsigned threads,
		     size_t n)
{
	lane->peer = peer;
	lane->threads = threads;
	lane->apart = row->arg != NULL;
	if (peer_check(peer))
		return -1;
	lane->map = peer->open(lane->apart ? n : n * threads);
	lane->pages = peer_pages(threads);
	lane->latency = calloc(threads, sizeof(*lane->latency));
	if (!lane->map || !lane->pages || !lane->latency)
		return bench_failed(peer->name, row, "there is no memory for it");
	for (unsigned i = 0; i < threads; i++) {
		struct chain_stream *stream = &lane->streams[i];

		*stream =
			(struct chain_stream){ .random = 0x9e3779b97f4a7c15u + i, .fresh = (uint64_t)i << FRESH_SHIFT };
		lane->contexts[i] = peer->enter(lane->map);
		stream->handles = aligned_alloc(64, (n * sizeof(uint64_t) + 63) / 64 * 64); /* lines of its own */
		if (!lane->contexts[i] || !stream->handles)
			return bench_failed(peer->name, row, "there is no memory for it");
		for (; stream->n < n; stream->n++)
			stream->handles[stream->n] = chain_handle(++stream->fresh);
		peer->grow(lane->contexts[i], page_of(lane, i), stream->handles, n);
	}
	return 0;
}

/* All handles that should be there must be. */
static int lane_check(struct lane *lane)
{
	uint64_t wanted = 0, found = 0;
	size_t mappings = 0;

	for (unsigned i = 0; i < lane->threads; i++) {
		mappings += lane->streams[i].n;
		for (size_t k = 0; k < lane->streams[i].n; k++)
			wanted += lane->streams[i].handles[k];
	}
	for (unsigned i = 0; i < (lane->apart ? lane->threads : 1); i++) {
		found += lane->peer->walk(lane->contexts[0], &lane->pages[i]);
		mappings -= lane->peer->drop(lane->contexts[0], &lane->pages[i]);
	}
	return wanted != found || mappings;
}

static int lane_close(struct lane *lane, const struct bench_row *row)
{
	int error = lane->contexts[0] && lane->pages ? lane_check(lane) : 0;

	for (unsigned i = 0; i < lane->threads; i++) {
		if (lane->contexts[i])
			error |= lane->peer->leave(lane->contexts[i]);
		free(lane->streams[i].handles);
	}
	if (lane->map)
		error |= lane->peer->close(lane->map);
	free(lane->pages);
	free(lane->latency);
	return error ? bench_failed(lane->peer->name, row, "it lost a mapping, or an operation failed") : 0;
}

static void work(void *arg, unsigned number, struct bench_team *team)
{
	struct lane *lane = arg;

	bench_team_begin(team);
	uint64_t began = bench_work_now();
	size_t pairs = lane->peer->contend(lane->contexts[number], page_of(lane, number), &lane->streams[number], team,
					   &lane->latency[number]);

	lane->rates[number] = (double)pairs * 1e3 / (double)(bench_work_now() - began);
}

/* M pairs a second of @threads together, and the least of one; of the try that was disturbed least. */
static double run_threads(struct lane *lane, unsigned threads, double seconds, double *least, double *p99)
{
	double best = 2, rate = -1;

	for (unsigned try = 0; try < TRIES && best > DISTURBED; try++) {
		struct bench_histogram all = { .total = 0 };
		double sum = 0, slowest = 0;

		for (unsigned i = 0; i < threads; i++)
			lane->latency[i] = (struct bench_histogram){ .total = 0 };
		double disturbed = bench_team_run(threads, seconds, work, lane);

		if (disturbed < 0)
			return -1;
		for (unsigned i = 0; i < threads; i++) {
			sum += lane->rates[i];
			slowest = i && slowest < lane->rates[i] ? slowest : lane->rates[i];
			bench_histogram_merge(&all, &lane->latency[i]);
		}
		if (disturbed >= best)
			continue;
		best = disturbed;
		rate = sum;
		*least = slowest;
		*p99 = bench_histogram_at(&all, 0.99);
	}
	if (lane->peer->settle)
		lane->peer->settle(lane->map);
	return rate;
}

static int run_round(struct lane *lane, double seconds, unsigned round)
{
	double least = 0, unused;

	lane->rate[round] = run_threads(lane, lane->threads, seconds, &least, &lane->p99[round]);
	if (lane->rate[round] < 0)
		return -1;
	lane->share[round] = lane->rate[round] > 0 ? 100 * least * lane->threads / lane->rate[round] : 0;
	if (!lane->apart)
		return 0;
	lane->one[round] = run_threads(lane, 1, seconds, &least, &unused);
	lane->times[round] = lane->one[round] > 0 ? lane->rate[round] / lane->one[round] : 0;
	return lane->one[round] < 0 ? -1 : 0;
}

static void report_lane(json_t *report, const struct bench_row *row, const struct lane *lane, unsigned repeat)
{
	const char *name = lane->peer->name;

	bench_report(report, row, name, row->unit, lane->rate, repeat);
	bench_report(report, row, name, "slowest, % of fair", lane->share, repeat);
	bench_report(report, row, name, "p99 of a pair, ns", lane->p99, repeat);
	if (!lane->apart)
		return;
	bench_report(report, row, name, "one thread, M/s", lane->one, repeat);
	bench_report(report, row, name, "x one thread", lane->times, repeat);
}

static int threads_row(const struct bench_row *row, const struct bench_budget *budget, json_t *report)
{
	struct lane *lanes = calloc(PEERS_MAX, sizeof(*lanes));
	size_t n = bench_size(row->n), count = 0;
	int error = lanes ? 0 : bench_failed("the harness", row, "there is no memory for it");

	for (; lanes && peers_all[count] && !error; count++)
		error = lane_open(&lanes[count], peers_all[count], row, budget->options->threads, n);
	double seconds = budget->seconds / (double)(count ? count : 1) / budget->repeat / (row->arg ? 2 : 1);

	for (unsigned round = 0; round < budget->repeat && !error; round++) {
		for (size_t i = 0; i < count && !error; i++) {
			struct lane *lane = &lanes[(i + round) % count];

			error = run_round(lane, seconds > SECONDS_LEAST ? seconds : SECONDS_LEAST, round);
			if (error)
				bench_failed(lane->peer->name, row, "so many threads cannot be had");
		}
	}
	for (size_t i = 0; i < count; i++) {
		if (!error)
			report_lane(report, row, &lanes[i], budget->repeat);
		error |= lane_close(&lanes[i], row);
	}
	free(lanes);
	return error;
}

static const struct bench_row rows[] = {
	{ "apart", 1, "M/s", false, threads_row, "a page each" },
	{ "apart", 2, "M/s", false, threads_row, "a page each" },
	{ "apart", 7, "M/s", false, threads_row, "a page each" },
	{ "apart", 32, "M/s", false, threads_row, "a page each" },
	{ "apart", 512, "M/s", false, threads_row, "a page each" },
	{ "together", 1, "M/s", false, threads_row, NULL },
	{ "together", 2, "M/s", false, threads_row, NULL },
	{ "together", 7, "M/s", false, threads_row, NULL },
	{ "together", 32, "M/s", false, threads_row, NULL },
	{ "together", 512, "M/s", false, threads_row, NULL },
};

static const char *const the_locks[] = { "descriptor", "mutex", NULL };

static const struct bench_target targets[] = {
	{ "a page each, x one thread (two threads)", "apart", 1, 512, "rmap", "x one thread", NULL, true, 1.9, NULL },
	{ "one page, 1 mapping each, x the better of bit lock and mutex", "together", 1, 1, "rmap", "M/s", the_locks,
	  true, 2, NULL },
	{ "one page, 2 each, x the better of these", "together", 2, 2, "rmap", "M/s", the_locks, true, 1.2, NULL },
	{ "one page, 7 each, x the better of these", "together", 7, 7, "rmap", "M/s", the_locks, true, 0.8, NULL },
	{ "one page, 32 each, x the better of these", "together", 32, 32, "rmap", "M/s", the_locks, true, 0.8, NULL },
	{ "one page, 512 each, x the better of these", "together", 512, 512, "rmap", "M/s", the_locks, true, 2, NULL },
	{ "one page, pairs of the slowest, % of its fair share", "together", 1, 512, "rmap", "slowest, % of fair", NULL,
	  true, 80, NULL },
};

const struct benchmark bench_threads = {
	.name = "threads",
	.summary = "two threads, or --threads N, that make pairs at once",
	.legend =
		"apart: each thread has a page of its own, with n mappings; together: all have n mappings each of one\n"
		"page. M/s: million pairs a second of all threads. A fair share is one thread's of as many; 80 % of "
		"it\n"
		"are 40 % of the pairs with two.\n",
	.rows = rows,
	.rows_n = sizeof(rows) / sizeof(rows[0]),
	.targets = targets,
	.targets_n = sizeof(targets) / sizeof(targets[0]),
};
