/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * chain_pair.c - pairs and walks of one page: the bounds, librmap and its peers side by side
 *
 * For each row all contenders are built from equal streams, measured in interleaved rounds, checked (the sum of the
 * handles that a walk finds is that of the handles that should be there) and ended. A chain is walked after pairs, so
 * it is a chain as use leaves it; its bytes are taken then as well.
 */
#include <stdlib.h>
#include <string.h>

#include "peers/peer.h"

/* Peers that scan are left out of longer chains, but for two: the best of them and the simplest. */
#define SCAN_MOST 2048
#define LANES_MAX (PEERS_MAX + 3)
#define CHURN 16u

typedef void peer_loop(void *thread, struct peer_page *page, struct chain_stream *stream, size_t pairs);
typedef peer_loop *choose_loop(const struct peer *peer);

/* A bound, which has a contender and a state, or a peer. */
struct lane {
	const struct chain_contender *bound;
	struct chain_stream stream;
	void *state;
	struct peer_lane peer;
	peer_loop *loop;
	double *samples;
	uint64_t sum; /* so that no walk is optimised away */
};

static const struct chain_contender *const bounds_of_pairs[] = { &chain_limit, &chain_limit_one, &chain_loop, NULL };
static const struct chain_contender *const bounds_of_walks[] = { &chain_limit, NULL };
static const struct chain_contender *const no_bounds[] = { NULL };

static const char *name_of(const struct lane *lane)
{
	return lane->bound ? lane->bound->name : lane->peer.peer->name;
}

/* Of a row of walks: is it of those by batches? */
static bool by_batches(const struct bench_row *row)
{
	return row->run == chain_walk && row->arg;
}

static bool is_hopeless(const struct peer *peer, size_t n)
{
	return peer->scans && n > SCAN_MOST && peer != &peer_descriptor && peer != &peer_mutex;
}

static int bound_open(struct lane *lane, const struct chain_contender *bound, const struct bench_row *row, size_t n)
{
	lane->bound = bound;
	lane->stream = (struct chain_stream){ .n = n, .random = 0x9e3779b97f4a7c15u };
	lane->stream.handles = malloc(n * sizeof(uint64_t));
	for (size_t i = 0; lane->stream.handles && i < n; i++)
		lane->stream.handles[i] = chain_handle(++lane->stream.fresh);
	lane->state = lane->stream.handles ? bound->create(&lane->stream) : NULL;
	return lane->state ? 0 : bench_failed(bound->name, row, "there is no memory for it");
}

static int lanes_close(struct lane *lanes, size_t count, const struct bench_row *row)
{
	int error = 0;

	for (size_t i = 0; i < count; i++) {
		struct lane *lane = &lanes[i];

		if (lane->state && lane->bound->destroy(lane->state))
			error |= bench_failed(lane->bound->name, row, "an operation failed");
		if (!lane->bound)
			error |= peer_close(&lane->peer, row);
		free(lane->stream.handles);
		free(lane->samples);
	}
	free(lanes);
	return error;
}

/* NULL after a message; otherwise *@count lanes, bounds first. */
static struct lane *lanes_open(const struct chain_contender *const *bounds, const struct bench_row *row, size_t n,
			       unsigned repeat, size_t *count)
{
	struct lane *lanes = calloc(LANES_MAX, sizeof(*lanes));
	int error = lanes ? 0 : bench_failed("the harness", row, "there is no memory for it");

	*count = 0;
	for (; *bounds && !error; bounds++) {
		struct lane *lane = &lanes[(*count)++];

		lane->samples = calloc(repeat, sizeof(double));
		error = bound_open(lane, *bounds, row, n);
	}
	for (size_t i = 0; peers_all[i] && !error; i++) {
		if (is_hopeless(peers_all[i], n) || (by_batches(row) && !peers_all[i]->batches))
			continue;
		struct lane *lane = &lanes[(*count)++];

		lane->samples = calloc(repeat, sizeof(double));
		error = peer_open(&lane->peer, peers_all[i], row, n, n);
	}
	if (!error)
		return lanes;
	if (lanes)
		lanes_close(lanes, *count, row);
	return NULL;
}

static double run_pairs(void *state, size_t pairs)
{
	struct lane *lane = state;

	if (lane->bound)
		lane->bound->pairs(lane->state, pairs);
	else
		lane->loop(lane->peer.thread, lane->peer.page, &lane->peer.stream, pairs);
	return 0;
}

static double run_walks(void *state, size_t walks)
{
	struct lane *lane = state;

	while (walks--)
		lane->sum += lane->bound ? lane->bound->walk(lane->state)
					 : lane->peer.peer->walk(lane->peer.thread, lane->peer.page);
	return 0;
}

static double run_batches(void *state, size_t walks)
{
	struct lane *lane = state;

	while (walks--)
		lane->sum += lane->bound ? lane->bound->walk(lane->state)
					 : lane->peer.peer->batches(lane->peer.thread, lane->peer.page);
	return 0;
}

static void settle(void *state)
{
	struct lane *lane = state;

	if (!lane->bound && lane->peer.peer->settle)
		lane->peer.peer->settle(lane->peer.map);
}

static void measure(struct lane *lanes, size_t count, double (*run)(void *state, size_t units),
		    const struct bench_budget *budget)
{
	struct bench_contender contenders[LANES_MAX];

	for (size_t i = 0; i < count; i++)
		contenders[i] = (struct bench_contender){ run, settle, &lanes[i], lanes[i].samples };
	bench_measure(contenders, count, budget->seconds / (double)count / budget->repeat, budget->repeat);
}

static double bytes_of(const struct peer_lane *lane)
{
	return (double)(lane->peer->bytes(lane->map) + lane->peer->head) / (double)lane->stream.n;
}

static int pairs_row(const struct bench_row *row, const struct bench_budget *budget, json_t *report,
		     const struct chain_contender *const *bounds, choose_loop *loop)
{
	size_t count, n = bench_size(row->n);
	struct lane *lanes = lanes_open(bounds, row, n, budget->repeat, &count);

	if (!lanes)
		return -1;
	for (size_t i = 0; i < count; i++) {
		if (!lanes[i].bound)
			lanes[i].loop = loop(lanes[i].peer.peer);
	}
	measure(lanes, count, run_pairs, budget);
	for (size_t i = 0; i < count; i++) {
		bench_report(report, row, name_of(&lanes[i]), row->unit, lanes[i].samples, budget->repeat);
		if (!lanes[i].bound && !strcmp(row->name, "pair"))
			bench_report_one(report, row, name_of(&lanes[i]), "bytes a mapping", bytes_of(&lanes[i].peer));
	}
	return lanes_close(lanes, count, row);
}

static peer_loop *pairs_of(const struct peer *peer)
{
	return peer->pairs;
}

static peer_loop *fifo_of(const struct peer *peer)
{
	return peer->fifo;
}

static peer_loop *lifo_of(const struct peer *peer)
{
	return peer->lifo;
}

int chain_pair(const struct bench_row *row, const struct bench_budget *budget, json_t *report)
{
	return pairs_row(row, budget, report, bounds_of_pairs, pairs_of);
}

int chain_fifo(const struct bench_row *row, const struct bench_budget *budget, json_t *report)
{
	return pairs_row(row, budget, report, no_bounds, fifo_of);
}

int chain_lifo(const struct bench_row *row, const struct bench_budget *budget, json_t *report)
{
	return pairs_row(row, budget, report, no_bounds, lifo_of);
}

/* Fewer where each costs O(n), and where the order of what is stored does not change what a walk costs. */
static void churn(struct peer_lane *lane, size_t pairs)
{
	const struct peer *peer = lane->peer;

	if (peer->scans && lane->stream.n > SCAN_MOST)
		pairs = pairs < SCAN_MOST ? pairs : SCAN_MOST / 4;
	peer->pairs(lane->thread, lane->page, &lane->stream, pairs);
	if (peer->settle)
		peer->settle(lane->map);
}

int chain_walk(const struct bench_row *row, const struct bench_budget *budget, json_t *report)
{
	size_t count, n = bench_size(row->n);
	struct lane *lanes = lanes_open(bounds_of_walks, row, n, budget->repeat, &count);

	if (!lanes)
		return -1;
	for (size_t i = 0; i < count; i++) {
		if (!lanes[i].bound)
			churn(&lanes[i].peer, 2 * n);
	}
	measure(lanes, count, by_batches(row) ? run_batches : run_walks, budget);
	for (size_t i = 0; i < count; i++) {
		for (unsigned round = 0; round < budget->repeat; round++)
			lanes[i].samples[round] /= (double)n;
		bench_report(report, row, name_of(&lanes[i]), row->unit, lanes[i].samples, budget->repeat);
	}
	return lanes_close(lanes, count, row);
}

int chain_churn(const struct bench_row *row, const struct bench_budget *budget, json_t *report)
{
	size_t n = bench_size(row->n);
	int error = 0;

	(void)budget;
	for (size_t i = 0; peers_all[i] && !error; i++) {
		struct peer_lane lane;

		if (peers_all[i]->scans && n > SCAN_MOST)
			continue;
		error = peer_open(&lane, peers_all[i], row, n, n);
		if (!error) {
			churn(&lane, CHURN * n);
			bench_report_one(report, row, peers_all[i]->name, row->unit, bytes_of(&lane));
		}
		error |= peer_close(&lane, row);
	}
	return error;
}
