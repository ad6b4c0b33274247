/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * chain_grow.c - adds alone, from nothing to n mappings, and removes alone, back to nothing
 *
 * A batch is as many pages as have 16,384 mappings together, or one. The other half, in which the pages are emptied or
 * filled, does not count. Removes come in the order of the adds, in the opposite one, or at random.
 */
#include <stdlib.h>
#include <string.h>

#include "peers/peer.h"

#define MAPPINGS_LEAST 16384
#define SCAN_MOST 2048

struct lane {
	struct peer_lane peer;
	struct peer_page *pages;
	size_t pages_n;
	const uint64_t *added, *removed; /* the same handles in two orders */
	size_t n;
	bool removes;
	double *samples;
};

/* @units: how many times all pages grow, or shrink. */
static double run(void *state, size_t units)
{
	struct lane *lane = state;
	const struct peer *peer = lane->peer.peer;
	uint64_t counted = 0;

	while (units--) {
		uint64_t start = bench_work_now(), middle;

		for (size_t i = 0; i < lane->pages_n; i++)
			peer->grow(lane->peer.thread, &lane->pages[i], lane->added, lane->n);
		middle = bench_work_now();
		for (size_t i = 0; i < lane->pages_n && lane->removes; i++)
			peer->shrink(lane->peer.thread, &lane->pages[i], lane->removed, lane->n);
		counted += lane->removes ? bench_work_now() - middle : middle - start;
		for (size_t i = 0; i < lane->pages_n; i++) {
			if (peer->drop(lane->peer.thread, &lane->pages[i]) != (lane->removes ? 0 : lane->n))
				lane->n = 0;
		}
	}
	return (double)counted;
}

static void settle(void *state)
{
	struct lane *lane = state;

	if (lane->peer.peer->settle)
		lane->peer.peer->settle(lane->peer.map);
}

static void order_handles(uint64_t *added, uint64_t *removed, size_t n, const char *order)
{
	uint64_t random = 0x9e3779b97f4a7c15u;

	for (size_t i = 0; i < n; i++)
		added[i] = removed[i] = chain_handle(i + 1);
	for (size_t i = 0; order && !strcmp(order, "lifo") && i < n; i++)
		removed[i] = added[n - 1 - i];
	for (size_t i = n; !order && i > 1; i--) {
		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		size_t k = (size_t)(((random >> 32) * i) >> 32);
		uint64_t swapped = removed[k];

		removed[k] = removed[i - 1];
		removed[i - 1] = swapped;
	}
}

static int lanes_run(struct lane *lanes, size_t count, const struct bench_row *row, const struct bench_budget *budget,
		     json_t *report)
{
	struct bench_contender contenders[PEERS_MAX];
	size_t n = lanes[0].n;
	int error = 0;

	for (size_t i = 0; i < count; i++)
		contenders[i] = (struct bench_contender){ run, settle, &lanes[i], lanes[i].samples };
	bench_measure(contenders, count, budget->seconds / (double)count / budget->repeat, budget->repeat);
	for (size_t i = 0; i < count; i++) {
		if (lanes[i].n != n)
			error = bench_failed(lanes[i].peer.peer->name, row, "it lost a mapping");
		for (unsigned round = 0; round < budget->repeat; round++)
			lanes[i].samples[round] /= (double)(lanes[i].pages_n * n);
		bench_report(report, row, lanes[i].peer.peer->name, row->unit, lanes[i].samples, budget->repeat);
	}
	return error;
}

static int grow_row(const struct bench_row *row, const struct bench_budget *budget, json_t *report, bool removes)
{
	size_t n = bench_size(row->n), count = 0;
	struct lane lanes[PEERS_MAX] = { 0 };
	uint64_t *added = malloc(n * sizeof(*added)), *removed = malloc(n * sizeof(*removed));
	int error = added && removed ? 0 : bench_failed("the harness", row, "there is no memory for it");

	if (!error)
		order_handles(added, removed, n, row->arg);
	for (size_t i = 0; peers_all[i] && !error; i++) {
		struct lane *lane = &lanes[count];

		if (removes && peers_all[i]->scans && n > SCAN_MOST)
			continue;
		count++;
		*lane = (struct lane){ .pages_n = n < MAPPINGS_LEAST ? MAPPINGS_LEAST / n : 1,
				       .added = added,
				       .removed = removed,
				       .n = n,
				       .removes = removes };
		lane->samples = calloc(budget->repeat, sizeof(double));
		error = peer_open(&lane->peer, peers_all[i], row, 0, n);
		lane->pages = peer_pages(lane->pages_n);
		if (!lane->pages)
			error = bench_failed(peers_all[i]->name, row, "there is no memory for it");
	}
	if (!error)
		error = lanes_run(lanes, count, row, budget, report);
	for (size_t i = 0; i < count; i++) {
		error |= peer_close(&lanes[i].peer, row);
		free(lanes[i].pages);
		free(lanes[i].samples);
	}
	free(added);
	free(removed);
	return error;
}

int chain_add(const struct bench_row *row, const struct bench_budget *budget, json_t *report)
{
	return grow_row(row, budget, report, false);
}

int chain_remove(const struct bench_row *row, const struct bench_budget *budget, json_t *report)
{
	return grow_row(row, budget, report, true);
}
