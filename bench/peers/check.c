/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * check.c - the test that every peer passes before it is timed, and lanes for what is timed
 *
 * A peer that loses mappings is quick. So each is first compared with a plain array, step by step: two pages, adds and
 * removes at random, removes of what is not there, walks, bytes that are all back at the end; each of its timed loops
 * must leave what it should; and two threads on one page must leave what they added last.
 */
#include <stdlib.h>
#include <string.h>

#include "peer.h"

#define PEER_ADDRESS(name) &peer_##name,
const struct peer *const peers_all[] = { PEER_LIST(PEER_ADDRESS) NULL };

_Static_assert(sizeof(peers_all) / sizeof(peers_all[0]) <= PEERS_MAX + 1, "PEERS_MAX is too small");

#define STEPS 4000u
#define PRESENT_MAX 300u
#define LOOP_SIZE 40u
#define TEAM_SIZE 20u
#define TEAM_SECONDS 0.03

struct peer_page *peer_pages(size_t n)
{
	struct peer_page *pages = aligned_alloc(sizeof(*pages), n * sizeof(*pages));

	if (pages)
		memset(pages, 0, n * sizeof(*pages));
	return pages;
}

struct model {
	uint64_t handles[2][PRESENT_MAX];
	size_t n[2];
	uint64_t sum[2];
	uint64_t fresh;
};

static uint64_t xorshift(uint64_t *random)
{
	*random ^= *random << 13;
	*random ^= *random >> 7;
	*random ^= *random << 17;
	return *random;
}

/* Grows more than it shrinks in one half of the steps, and the other way round in the other. */
static int check_step(const struct peer *peer, void *thread, struct peer_page *pages, struct model *model,
		      unsigned step, uint64_t random)
{
	unsigned which = random & 1;
	bool add = (random >> 8) % 8 < (step % (STEPS / 4) < STEPS / 8 ? 5 : 3);
	uint64_t *handles = model->handles[which];
	size_t n = model->n[which];

	if (add && n < PRESENT_MAX) {
		handles[n] = chain_handle(++model->fresh);
		model->sum[which] += handles[n];
		model->n[which]++;
		if (peer->add(thread, &pages[which], handles[n]))
			return -1;
	} else if (!add && n) {
		size_t i = (size_t)((random >> 32) % n);
		uint64_t out = handles[i];

		handles[i] = handles[n - 1];
		model->sum[which] -= out;
		model->n[which]--;
		if (peer->remove(thread, &pages[which], out) || !peer->remove(thread, &pages[which], out))
			return -1;
	} else if (!n && !peer->remove(thread, &pages[which], chain_handle(1))) {
		return -1;
	}
	return peer->walk(thread, &pages[which]) == model->sum[which] ? 0 : -1;
}

static int check_steps(const struct peer *peer, void *map, void *thread, struct peer_page *pages)
{
	struct model model = { .fresh = 1 };
	uint64_t random = 0x9e3779b97f4a7c15u;

	for (unsigned step = 0; step < STEPS; step++) {
		if (check_step(peer, thread, pages, &model, step, xorshift(&random)))
			return -1;
	}
	for (unsigned i = 0; i < 2; i++) {
		if (peer->drop(thread, &pages[i]) != model.n[i] || peer->walk(thread, &pages[i]))
			return -1;
	}
	return peer->bytes(map) ? -1 : 0;
}

static uint64_t sum_of(const uint64_t *handles, size_t n)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += handles[i];
	return sum;
}

static void stream_fill(struct chain_stream *stream, uint64_t *handles, size_t n, uint64_t fresh)
{
	*stream = (struct chain_stream){ .handles = handles, .n = n, .random = 0x9e3779b97f4a7c15u, .fresh = fresh };
	for (size_t i = 0; i < n; i++)
		handles[i] = chain_handle(++stream->fresh);
}

/* What is done to many pages, here to two of which each has half of the mappings. */
static int check_replacing(const struct peer *peer, void *thread, struct peer_page *pages)
{
	uint64_t handles[LOOP_SIZE];
	uint32_t page_of[LOOP_SIZE];
	struct peer_replacing replacing = { .pages = pages,
					    .handles = handles,
					    .page_of = page_of,
					    .random = 1,
					    .fresh = LOOP_SIZE,
					    .end = LOOP_SIZE };
	uint64_t sum;

	for (uint32_t i = 0; i < LOOP_SIZE; i++) {
		handles[i] = chain_handle(i + 1);
		page_of[i] = i * 2 / LOOP_SIZE;
	}
	peer->build(thread, &replacing);
	peer->reclaim(thread, &replacing, 5 * LOOP_SIZE + 3);
	peer->follow(thread, &replacing, 5 * LOOP_SIZE + 3);
	peer->sweep(thread, &replacing, 5 * LOOP_SIZE + 3);
	peer->fork(thread, &replacing, 0, 2);
	sum = peer->walk(thread, &pages[0]) + peer->walk(thread, &pages[1]);
	if (sum != sum_of(handles, LOOP_SIZE))
		return -1;
	return peer->drop(thread, &pages[0]) + peer->drop(thread, &pages[1]) == LOOP_SIZE ? 0 : -1;
}

static int check_loops(const struct peer *peer, void *thread, struct peer_page *pages)
{
	uint64_t handles[LOOP_SIZE];
	struct chain_stream stream;

	stream_fill(&stream, handles, LOOP_SIZE, 0);
	peer->grow(thread, pages, handles, LOOP_SIZE);
	peer->pairs(thread, pages, &stream, 333);
	peer->lifo(thread, pages, &stream, 111);
	if (peer->walk(thread, pages) != sum_of(handles, LOOP_SIZE))
		return -1;
	peer->shrink(thread, pages, handles, LOOP_SIZE);
	/* The oldest is known by its place, so this begins with handles in the order of their numbers. */
	stream_fill(&stream, handles, LOOP_SIZE, LOOP_SIZE * 100);
	peer->grow(thread, pages, handles, LOOP_SIZE);
	peer->fifo(thread, pages, &stream, 333);
	if (peer->walk(thread, pages) != sum_of(handles, LOOP_SIZE))
		return -1;
	peer->shrink(thread, pages, handles, LOOP_SIZE);
	return peer->drop(thread, pages) == 0 ? check_replacing(peer, thread, pages) : -1;
}

struct pair_of_threads {
	const struct peer *peer;
	void *map;
	struct peer_page *page;
	uint64_t handles[2][TEAM_SIZE];
	struct bench_histogram latency[2];
	int failed[2];
};

static void work_together(void *arg, unsigned number, struct bench_team *team)
{
	struct pair_of_threads *two = arg;
	void *thread = two->peer->enter(two->map);
	struct chain_stream stream;

	stream_fill(&stream, two->handles[number], TEAM_SIZE, (uint64_t)number << 40);
	if (thread)
		two->peer->grow(thread, two->page, stream.handles, TEAM_SIZE);
	bench_team_begin(team);
	if (thread)
		two->peer->contend(thread, two->page, &stream, team, &two->latency[number]);
	two->failed[number] = !thread || two->peer->leave(thread);
}

static int check_together(const struct peer *peer, void *map, void *thread, struct peer_page *page)
{
	struct pair_of_threads *two = calloc(1, sizeof(*two));
	int error = -1;

	if (!two)
		return -1;
	two->peer = peer;
	two->map = map;
	two->page = page;
	if (bench_team_run(2, TEAM_SECONDS, work_together, two) >= 0 && !two->failed[0] && !two->failed[1] &&
	    peer->walk(thread, page) == sum_of(two->handles[0], TEAM_SIZE) + sum_of(two->handles[1], TEAM_SIZE) &&
	    peer->drop(thread, page) == 2 * TEAM_SIZE)
		error = 0;
	free(two);
	return error;
}

static int check_once(const struct peer *peer)
{
	void *map = peer->open(PRESENT_MAX), *thread = map ? peer->enter(map) : NULL;
	struct peer_page *pages = peer_pages(2);
	const char *what = NULL;

	if (!thread || !pages)
		what = "memory";
	else if (check_steps(peer, map, thread, pages))
		what = "adds and removes compared with an array";
	else if (check_loops(peer, thread, pages))
		what = "what the timed loops leave";
	else if (check_together(peer, map, thread, &pages[0]))
		what = "two threads on one page";
	else if (peer->bytes(map))
		what = "bytes back after the last mapping";
	if (thread && peer->leave(thread) && !what)
		what = "operations that fail";
	/* After a failure mappings may be left, which close may say, and nobody needs to hear. */
	if (map && peer->close(map) && !what)
		what = "memory back at the end";
	free(pages);
	if (what)
		fprintf(stderr, "rmap bench: %s failed its test, so it is not timed: %s\n", peer->name, what);
	return what ? -1 : 0;
}

int peer_check(const struct peer *peer)
{
	static bool passed[PEERS_MAX];
	size_t i = 0;

	while (peers_all[i] != peer)
		i++;
	if (!passed[i] && check_once(peer))
		return -1;
	passed[i] = true;
	return 0;
}

int peer_open(struct peer_lane *lane, const struct peer *peer, const struct bench_row *row, size_t n, size_t expected)
{
	*lane = (struct peer_lane){ .peer = peer };
	if (peer_check(peer))
		return -1;
	lane->map = peer->open(expected);
	lane->thread = lane->map ? peer->enter(lane->map) : NULL;
	lane->page = peer_pages(1);
	uint64_t *handles = malloc((n ? n : 1) * sizeof(*handles));

	if (!lane->thread || !lane->page || !handles) {
		free(handles);
		return bench_failed(peer->name, row, "there is no memory for it");
	}
	stream_fill(&lane->stream, handles, n, 0);
	peer->grow(lane->thread, lane->page, handles, n);
	return 0;
}

int peer_close(struct peer_lane *lane, const struct bench_row *row)
{
	const struct peer *peer = lane->peer;
	int error = 0;

	if (lane->thread && lane->page) {
		error |= peer->walk(lane->thread, lane->page) != sum_of(lane->stream.handles, lane->stream.n);
		error |= peer->drop(lane->thread, lane->page) != lane->stream.n;
	}
	if (lane->thread)
		error |= peer->leave(lane->thread);
	if (lane->map)
		error |= peer->close(lane->map);
	free(lane->page);
	free(lane->stream.handles);
	return error ? bench_failed(peer->name, row, "it lost a mapping, or an operation failed") : 0;
}
