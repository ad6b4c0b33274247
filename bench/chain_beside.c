/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * chain_beside.c - counts and walks of a page while another thread makes pairs on it
 *
 * Two threads on one page: number 0 makes pairs, number 1 reads. Each read is timed by itself, the clock's own reading
 * included: what a reader waits for is in the tail. A walk that peers make with the page's lock held waits for the
 * writer, and makes it wait; so the writer's pairs a second are given, too.
 */
#include <stdlib.h>

#include <rmap/page.h>

#include "peers/peer.h"

#define COUNTS 64u /* that are timed together, in one section */
#define SCAN_MOST 2048

struct beside {
	struct peer_lane lane;
	struct rmap *map; /* librmap's, for counts */
	struct bench_histogram reads;
	struct bench_histogram pairs;
	uint64_t pairs_n;
	double seconds;
	uint64_t sum;
	int failed;
};

static void write_pairs(struct beside *beside, struct bench_team *team)
{
	const struct peer *peer = beside->lane.peer;
	void *thread = peer->enter(beside->lane.map);

	bench_team_begin(team);
	uint64_t began = bench_now();

	if (thread)
		beside->pairs_n = peer->contend(thread, beside->lane.page, &beside->lane.stream, team, &beside->pairs);
	beside->seconds = (double)(bench_now() - began) / 1e9;
	if (!thread || peer->leave(thread))
		beside->failed = 1;
}

static void walk_beside(void *arg, unsigned number, struct bench_team *team)
{
	struct beside *beside = arg;
	const struct peer *peer = beside->lane.peer;

	if (number == 0) {
		write_pairs(beside, team);
		return;
	}
	void *thread = peer->enter(beside->lane.map);

	bench_team_begin(team);
	while (thread && !bench_team_stopped(team)) {
		uint64_t began = bench_now();

		beside->sum += peer->walk(thread, beside->lane.page);
		bench_histogram_add(&beside->reads, bench_now() - began);
	}
	if (!thread || peer->leave(thread))
		beside->failed = 1;
}

static void count_beside(void *arg, unsigned number, struct bench_team *team)
{
	struct beside *beside = arg;
	const struct rmap_page *page = (void *)beside->lane.page->head;

	if (number == 0) {
		write_pairs(beside, team);
		return;
	}
	bench_team_begin(team);
	while (!bench_team_stopped(team)) {
		uint64_t began = bench_now();

		rmap_read_lock(beside->map);
		for (unsigned i = 0; i < COUNTS; i++)
			beside->sum += rmap_page_mapcount(beside->map, page);
		rmap_read_unlock(beside->map);
		bench_histogram_add(&beside->reads, bench_now() - began);
	}
}

/* Figures of one contender, a sample a round each. */
struct figures {
	double p50[BENCH_ROUNDS_MAX], p99[BENCH_ROUNDS_MAX], max[BENCH_ROUNDS_MAX], rate[BENCH_ROUNDS_MAX];
};

/* @unit_ns: by which times are divided. One round of one contender: 0, or -1 after a message. */
static int measure_round(const struct bench_row *row, struct beside *beside, double seconds, double unit_ns,
			 void (*work)(void *arg, unsigned number, struct bench_team *team), struct figures *figures,
			 unsigned round)
{
	struct beside fresh = { .lane = beside->lane, .map = beside->map };

	*beside = fresh;
	if (bench_team_run(2, seconds, work, beside) < 0 || beside->failed)
		return bench_failed(beside->lane.peer->name, row, "a thread could not be had, or an operation failed");
	figures->p50[round] = bench_histogram_at(&beside->reads, 0.5) / unit_ns;
	figures->p99[round] = bench_histogram_at(&beside->reads, 0.99) / unit_ns;
	figures->max[round] = (double)beside->reads.max / unit_ns;
	figures->rate[round] = (double)beside->pairs_n / beside->seconds / 1e6;
	return 0;
}

static void report_figures(json_t *report, const struct bench_row *row, const char *name, const struct figures *figures,
			   unsigned repeat)
{
	bench_report(report, row, name, row->unit, figures->p50, repeat);
	bench_report(report, row, name, "p99", figures->p99, repeat);
	bench_report(report, row, name, "max", figures->max, repeat);
	bench_report(report, row, name, "pairs, M/s", figures->rate, repeat);
}

/* A row for walks of all peers, or for librmap's counts alone. */
static int beside_row(const struct bench_row *row, const struct bench_budget *budget, json_t *report, bool walks)
{
	struct beside *all = calloc(PEERS_MAX, sizeof(*all));
	struct figures *figures = calloc(PEERS_MAX, sizeof(*figures));
	size_t n = bench_size(row->n), count = 0;
	int error = all && figures ? 0 : bench_failed("the harness", row, "there is no memory for it");

	for (size_t i = 0; peers_all[i] && !error && (walks || i == 0); i++) {
		if (!peers_all[i]->scans || n <= SCAN_MOST || peers_all[i] == &peer_descriptor ||
		    peers_all[i] == &peer_mutex)
			error = peer_open(&all[count++].lane, peers_all[i], row, n, n);
	}
	for (unsigned round = 0; round < budget->repeat && !error; round++) {
		for (size_t i = 0; i < count && !error; i++) {
			size_t which = (i + round) % count;

			all[which].map = walks ? NULL : peer_rmap_map(all[which].lane.map);
			error = measure_round(row, &all[which], budget->seconds / (double)count / budget->repeat,
					      walks ? 1e3 : COUNTS, walks ? walk_beside : count_beside, &figures[which],
					      round);
		}
	}
	for (size_t i = 0; i < count; i++) {
		if (!error)
			report_figures(report, row, all[i].lane.peer->name, &figures[i], budget->repeat);
		error |= peer_close(&all[i].lane, row);
	}
	free(all);
	free(figures);
	return error;
}

int chain_mapcount(const struct bench_row *row, const struct bench_budget *budget, json_t *report)
{
	return beside_row(row, budget, report, false);
}

int chain_latency(const struct bench_row *row, const struct bench_budget *budget, json_t *report)
{
	return beside_row(row, budget, report, true);
}
