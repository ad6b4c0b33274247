/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * limit.c - the least a pair can cost
 *
 * The same loop as the contenders run, with the same stream, but nothing in it save the read-modify-writes that no
 * lock-free reverse map can do without, on lines placed as they must be:
 *
 *   n = 1        the word, twice: remove and add
 *   n = 2 .. 7   the count and the slot, twice; with up to 3 slots both share one line
 *   n > 7        the count, on a line of its own, and the slot that the handle's hash picks in an array of n words,
 *                twice: once for the handle that goes, once for the one that comes
 *   linear       the count in the word, twice
 *
 * There is no search, no check, no retry, no read-side section and no memory management. chain_loop is the stream
 * alone, to show how much of all figures it is. A walk's limit is summing the present handles in an array of n words;
 * each is loaded as an atomic, since a reader beside writers has no other way.
 */
#include <stdatomic.h>
#include <stdlib.h>

#include "chain.h"

#define LINE 64
#define SMALL 7

/* Where the count and the slots lie is what is measured; @failed is set when a compare-and-swap finds another value. */
struct limit {
	_Alignas(LINE) atomic_uint_fast64_t head[LINE / 8]; /* the word or the count, and up to 3 slots */
	_Alignas(LINE) atomic_uint_fast64_t more[LINE / 8]; /* the slots of n = 4 .. 7 */
	atomic_uint_fast64_t *slots;                        /* of greater n */
	struct chain_stream *stream;
	int failed;
};

static void *limit_create(struct chain_stream *stream)
{
	struct limit *limit = aligned_alloc(LINE, sizeof(*limit));
	size_t bytes = (stream->n * sizeof(uint64_t) + LINE - 1) / LINE * LINE;

	if (!limit)
		return NULL;
	limit->slots = aligned_alloc(LINE, bytes);
	if (!limit->slots) {
		free(limit);
		return NULL;
	}
	limit->stream = stream;
	limit->failed = 0;
	for (size_t i = 0; i < LINE / 8; i++) {
		atomic_init(&limit->head[i], 0);
		atomic_init(&limit->more[i], 0);
	}
	for (size_t i = 0; i < bytes / sizeof(uint64_t); i++)
		atomic_init(&limit->slots[i], 0);
	atomic_init(&limit->head[0], stream->n == 1 ? stream->handles[0] : stream->n);
	return limit;
}

static int limit_destroy(void *state)
{
	struct limit *limit = state;
	int failed = limit->failed;

	free(limit->slots);
	free(limit);
	return failed ? -1 : 0;
}

static void limit_pairs_direct(struct limit *limit, size_t pairs)
{
	while (pairs--) {
		struct chain_swap swap = chain_stream_next(limit->stream);
		uint_fast64_t expected = swap.out, empty = 0;

		if (!atomic_compare_exchange_strong_explicit(&limit->head[0], &expected, 0, memory_order_acq_rel,
							     memory_order_acquire))
			limit->failed = 1;
		if (!atomic_compare_exchange_strong_explicit(&limit->head[0], &empty, swap.in, memory_order_acq_rel,
							     memory_order_acquire))
			limit->failed = 1;
	}
}

/* @slots lie wherever the caller says; index 0 of the head is the count. */
static void limit_pairs_small(struct limit *limit, atomic_uint_fast64_t *slots, size_t pairs)
{
	while (pairs--) {
		struct chain_swap swap = chain_stream_next(limit->stream);

		atomic_exchange_explicit(&slots[swap.index], 0, memory_order_acq_rel);
		atomic_fetch_sub_explicit(&limit->head[0], 1, memory_order_acq_rel);
		atomic_fetch_add_explicit(&limit->head[0], 1, memory_order_acq_rel);
		atomic_exchange_explicit(&slots[swap.index], swap.in, memory_order_acq_rel);
	}
}

static size_t limit_slot(uint64_t handle, size_t n)
{
	return (size_t)((((handle * 0x9e3779b97f4a7c15u) >> 32) * n) >> 32);
}

static void limit_pairs_large(struct limit *limit, size_t pairs)
{
	size_t n = limit->stream->n;

	while (pairs--) {
		struct chain_swap swap = chain_stream_next(limit->stream);

		atomic_exchange_explicit(&limit->slots[limit_slot(swap.out, n)], 0, memory_order_acq_rel);
		atomic_fetch_sub_explicit(&limit->head[0], 1, memory_order_acq_rel);
		atomic_fetch_add_explicit(&limit->head[0], 1, memory_order_acq_rel);
		atomic_exchange_explicit(&limit->slots[limit_slot(swap.in, n)], swap.in, memory_order_acq_rel);
	}
}

static void limit_pairs(void *state, size_t pairs)
{
	struct limit *limit = state;

	if (limit->stream->n == 1)
		limit_pairs_direct(limit, pairs);
	else if (limit->stream->n <= 3)
		limit_pairs_small(limit, &limit->head[1], pairs);
	else if (limit->stream->n <= SMALL)
		limit_pairs_small(limit, limit->more, pairs);
	else
		limit_pairs_large(limit, pairs);
}

static void limit_pairs_linear(void *state, size_t pairs)
{
	struct limit *limit = state;

	while (pairs--) {
		atomic_fetch_sub_explicit(&limit->head[0], 1, memory_order_acq_rel);
		atomic_fetch_add_explicit(&limit->head[0], 1, memory_order_acq_rel);
	}
}

static uint64_t limit_walk(void *state)
{
	const struct chain_stream *stream = ((struct limit *)state)->stream;
	uint64_t sum = 0;

	for (size_t i = 0; i < stream->n; i++)
		sum += __atomic_load_n(&stream->handles[i], __ATOMIC_RELAXED);
	return sum;
}

static void loop_pairs(void *state, size_t pairs)
{
	struct limit *limit = state;
	uint64_t sum = 0;

	while (pairs--) {
		struct chain_swap swap = chain_stream_next(limit->stream);

		sum += swap.out;
	}
	/* So that the loads of the handles that go are not optimised away. */
	atomic_store_explicit(&limit->more[0], sum, memory_order_relaxed);
}

const struct chain_contender chain_limit = {
	.name = "limit",
	.create = limit_create,
	.pairs = limit_pairs,
	.walk = limit_walk,
	.destroy = limit_destroy,
};

const struct chain_contender chain_limit_linear = {
	.name = "limit",
	.create = limit_create,
	.pairs = limit_pairs_linear,
	.destroy = limit_destroy,
};

const struct chain_contender chain_loop = {
	.name = "loop",
	.create = limit_create,
	.pairs = loop_pairs,
	.destroy = limit_destroy,
};
