/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * chain.h - what the contenders of the chain benchmark have in common, and its rows
 *
 * All do the same work, a *pair*: remove a random present handle, and add a fresh handle in its place. A fresh one,
 * because a re-add of the same handle would find its old slot, warm and free, and would never make hashing pay for
 * collisions. Which handle goes and which comes is decided by a stream; every contender has its own stream from the
 * same start, so all see the same handles in the same order.
 *
 * Each contender has a loop of its own (peers/loops.h), so that no call through a pointer lies between two pairs.
 */
#ifndef BENCH_CHAIN_H
#define BENCH_CHAIN_H

#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

/* A thread that uses RCU takes one read-side section for this many pairs, and does its other duties in between. */
#define CHAIN_SECTION ((size_t)32)

/**
 * struct chain_stream - which mappings are present, and what happens to them next
 * @handles: the @n handles that are present
 * @random:  never zero; picks the next one to go
 * @fresh:   counts the handles that were made
 */
struct chain_stream {
	uint64_t *handles;
	size_t n;
	uint64_t random;
	uint64_t fresh;
};

/**
 * struct chain_swap - one pair: @out goes, @in comes
 * @index: the place of both in the stream's array
 */
struct chain_swap {
	uint64_t out;
	uint64_t in;
	size_t index;
};

/*
 * chain_handle - the @number-th handle: like a pte's address it is a multiple of 8 below 2^48, and no two are the
 * same, since every step is a bijection of 45 bits. Mixed well: neighbours would be spread too evenly by a
 * multiplicative hash.
 */
static inline uint64_t chain_handle(uint64_t number)
{
	const uint64_t mask = ((uint64_t)1 << 45) - 1;

	number = (number * 0x9e3779b97f4a7c15u) & mask;
	number ^= number >> 23;
	number = (number * 0xd6e8feb86659fd93u) & mask;
	number ^= number >> 22;
	return number << 3;
}

static inline struct chain_swap chain_stream_next(struct chain_stream *stream)
{
	struct chain_swap swap;

	stream->random ^= stream->random << 13;
	stream->random ^= stream->random >> 7;
	stream->random ^= stream->random << 17;
	swap.index = (size_t)(((stream->random >> 32) * stream->n) >> 32);
	swap.out = stream->handles[swap.index];
	swap.in = chain_handle(++stream->fresh);
	stream->handles[swap.index] = swap.in;
	return swap;
}

/**
 * struct chain_contender - a bound: the same loop with less in it than any way of keeping mappings has
 * @create:  hold the handles of @stream, which outlives the state; NULL if memory or a resource is lacking
 * @pairs:   do that many pairs
 * @settle:  wait for what was left to other threads, or NULL
 * @walk:    visit every mapping; returns the sum of the handles. NULL if there is nothing to walk
 * @bytes:   what the mappings take now, the word included. NULL if it would say nothing
 * @destroy: 0, or -1 if an operation has failed or something that was added is not there
 */
struct chain_contender {
	const char *name;
	void *(*create)(struct chain_stream *stream);
	void (*pairs)(void *state, size_t pairs);
	void (*settle)(void *state);
	uint64_t (*walk)(void *state);
	uint64_t (*bytes)(void *state);
	int (*destroy)(void *state);
};

extern const struct chain_contender chain_loop;         /* limit.c: the stream alone */
extern const struct chain_contender chain_limit;        /* limit.c: and the unavoidable read-modify-writes */
extern const struct chain_contender chain_limit_linear; /* limit.c: those of a count */
extern const struct chain_contender chain_limit_one; /* limit_one.c: one for each add and remove, where that can be */

/* The rows of `rmap bench chain`, one function for each kind; @arg as each says. See struct bench_row */
struct bench_row;
struct bench_budget;
typedef int chain_row(const struct bench_row *row, const struct bench_budget *budget, json_t *report);

chain_row chain_pair;      /* chain_pair.c: pairs at random; bytes after them */
chain_row chain_fifo;      /* the oldest goes */
chain_row chain_lifo;      /* the newest of a section go */
chain_row chain_walk;      /* walks, a mapping */
chain_row chain_churn;     /* bytes after 16 n pairs */
chain_row chain_add;       /* chain_grow.c: adds from nothing to n */
chain_row chain_remove;    /* removes from n to nothing; @arg "fifo", "lifo" or NULL: in which order */
chain_row chain_linear;    /* chain_calls.c: a linear mapping goes and comes */
chain_row chain_batch;     /* pairs, 32 removes and 32 adds at a time */
chain_row chain_fork;      /* n mappings a page; another comes and goes, of 32 pages at a time */
chain_row chain_lock;      /* a mapping is locked and unlocked */
chain_row chain_cluster;   /* pairs of ptes in n windows of 16 */
chain_row chain_block;     /* a page gets its second mapping and loses both */
chain_row chain_fill;      /* fills of a reserve from which n lines were taken */
chain_row chain_mapcount;  /* chain_beside.c: counts while another thread makes pairs */
chain_row chain_latency;   /* walks while another thread makes pairs */
chain_row chain_growing;   /* chain_memory.c: bytes while a chain grows */
chain_row chain_small;     /* bytes of a page with n mappings */
chain_row chain_published; /* bytes of pages with the published distribution */
chain_row chain_clusters;  /* bytes of full windows of n ptes */
chain_row chain_reserve;   /* bytes in hand for n adds */

/** struct chain_bin - pages with @least .. @greatest mappings, in equal numbers */
struct chain_bin {
	unsigned least, greatest, pages;
};

/** The numbers published for a real guest (chain_memory.c); the last bin has no pages. */
extern const struct chain_bin chain_distribution[];

#endif
