/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * peer.h - one way of keeping which ptes map which page: librmap, and what it is measured against
 *
 * A peer keeps its own word or words in each struct page; a thread has a context of its own (free blocks, a reserve);
 * a map holds what threads and pages share. A peer's file defines a few inline functions, and loops.h makes of them
 * this table, so that no call through a pointer lies between two operations that are timed. All peers pass the same
 * test before any is timed (check.c).
 *
 * Peers are written from published descriptions of their designs, not from anybody's source.
 */
#ifndef BENCH_PEER_H
#define BENCH_PEER_H

#include <stdatomic.h>
#include <stdbool.h>

#include "../bench.h"
#include "../chain.h"

/* A struct page: a line, at the beginning of which a peer keeps its own. Zero bytes: no mapping. From the heap. */
struct peer_page {
	_Alignas(64) unsigned char head[64];
};

/**
 * struct peer_replacing - mappings of many pages, which are replaced by fresh ones
 * @handles: of each mapping, in the order of pages
 * @page_of: the page of each
 * @random:  of which the next mapping is picked, never zero; @fresh counts handles
 * @begin, @end: the mappings that this thread replaces
 * @next:    in page order, where to go on
 */
struct peer_replacing {
	struct peer_page *pages;
	uint64_t *handles;
	const uint32_t *page_of;
	uint64_t random;
	uint64_t fresh;
	size_t begin, end;
	size_t next;
};

/**
 * struct peer
 * @scans:   removes and walks take time linear in a page's mappings: left out where that is hopeless
 * @head:    bytes of a page that are its own
 * @open:    a map whose pages have about @expected mappings each; NULL if memory is lacking
 * @close:   after all pages were dropped and all threads left: 0, or -1 if a mapping's memory is still out
 * @enter:   a thread's context; @leave: 0, or -1 if one of its timed operations failed
 * @bytes:   what the mappings of all pages take beside the heads
 * @add, @remove, @walk, @drop: the operations, for tests: 0, or -1 for a mapping that is not there or no memory; the
 *           sum of the handles; how many mappings a page had, which has none now. Threads may use one page at once, but
 *           not while it is dropped
 * @batches: NULL, or the same as @walk by arrays of mappings
 * @pairs:   remove a random mapping and add a fresh one, that many times; @fifo: the oldest one, by turns; @lifo: add
 *           CHAIN_SECTION fresh ones, and remove them, the newest first, for as many pairs
 * @grow, @shrink: add, or remove, in this order
 * @contend: pairs until the team is stopped; returns how many
 * @build:   add all mappings from @begin to @end, by the peer's batches
 * @reclaim: replace that many mappings at random; @follow: in the order of pages; @sweep: so, by batches
 * @fork:    @n pages from @first on get one more mapping each, and lose it, by batches
 */
struct peer {
	const char *name;
	bool scans;
	size_t head;
	void *(*open)(size_t expected);
	int (*close)(void *map);
	void *(*enter)(void *map);
	int (*leave)(void *thread);
	uint64_t (*bytes)(void *map);
	int (*add)(void *thread, struct peer_page *page, uint64_t handle);
	int (*remove)(void *thread, struct peer_page *page, uint64_t handle);
	uint64_t (*walk)(void *thread, struct peer_page *page);
	uint64_t (*batches)(void *thread, struct peer_page *page);
	size_t (*drop)(void *thread, struct peer_page *page);
	void (*pairs)(void *thread, struct peer_page *page, struct chain_stream *stream, size_t pairs);
	void (*fifo)(void *thread, struct peer_page *page, struct chain_stream *stream, size_t pairs);
	void (*lifo)(void *thread, struct peer_page *page, struct chain_stream *stream, size_t pairs);
	void (*grow)(void *thread, struct peer_page *page, const uint64_t *handles, size_t n);
	void (*shrink)(void *thread, struct peer_page *page, const uint64_t *handles, size_t n);
	size_t (*contend)(void *thread, struct peer_page *page, struct chain_stream *stream,
			  const struct bench_team *team, struct bench_histogram *latency);
	void (*build)(void *thread, struct peer_replacing *replacing);
	void (*reclaim)(void *thread, struct peer_replacing *replacing, size_t n);
	void (*follow)(void *thread, struct peer_replacing *replacing, size_t n);
	void (*sweep)(void *thread, struct peer_replacing *replacing, size_t n);
	void (*fork)(void *thread, struct peer_replacing *replacing, size_t first, size_t n);
	void (*settle)(void *map);
};

#ifdef BENCH_CK
#define PEER_CK(_) _(ck_hs)
#else
#define PEER_CK(_)
#endif
/* librmap first. */
#define PEER_LIST(_) _(rmap) _(descriptor) _(pte_chain) _(twopte) _(chunk168) _(mutex) _(lfht) PEER_CK(_)

#define PEER_DECLARE(name) extern const struct peer peer_##name;
PEER_LIST(PEER_DECLARE)

/** The peers, NULL at the end. */
extern const struct peer *const peers_all[];
#define PEERS_MAX 8

/** peer_rmap_map - the library's map in what peer_rmap.open() returned */
struct rmap *peer_rmap_map(void *map);

/** peer_check - the test that a peer passes before it is timed, once in a program's life: 0, or -1 after a message */
int peer_check(const struct peer *peer);

/** peer_pages - @n pages without mappings, or NULL; to be freed by free() */
struct peer_page *peer_pages(size_t n);

/**
 * struct peer_lane - a peer with a map, a page, and the calling thread's context
 */
struct peer_lane {
	const struct peer *peer;
	void *map;
	void *thread;
	struct peer_page *page;
	struct chain_stream stream;
};

/**
 * peer_open - test @peer, and make a lane whose page has the first @n handles and is to have about @expected; 0, or -1
 * after a message, and peer_close() is for either
 */
int peer_open(struct peer_lane *lane, const struct peer *peer, const struct bench_row *row, size_t n, size_t expected);

/** peer_close - 0, or -1 after a message if the page does not hold the stream's handles or an operation has failed */
int peer_close(struct peer_lane *lane, const struct bench_row *row);

#endif
