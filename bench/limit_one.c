/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * limit_one.c - the least that a pair can cost where a block's counts name the slots in use
 *
 * limit.c as it stands takes two read-modify-writes for an add and two for a remove from n = 2 on: count and slot.
 * Slots 0 and 1 of a first block are claimed by bits beside the counts, so that one of them does for both, and the
 * slot is written by a store (add) or not at all (remove). All else is as there.
 */
#include <stdatomic.h>
#include <stdlib.h>

#include "chain.h"

#define LINE 64
#define CLAIMED 2
#define IN_BLOCK 3

struct limit {
	_Alignas(LINE) atomic_uint_fast64_t head[LINE / 8]; /* the word or the counts, and the first slots */
	atomic_uint_fast64_t *slots;
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
	for (size_t i = 0; i < LINE / 8; i++)
		atomic_init(&limit->head[i], 0);
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

/* A slot that is not claimed: the block's last, or one of an array. */
static atomic_uint_fast64_t *limit_slot(struct limit *limit, uint64_t handle)
{
	size_t n = limit->stream->n;

	if (n <= IN_BLOCK)
		return &limit->head[IN_BLOCK];
	return &limit->slots[(((handle * 0x9e3779b97f4a7c15u) >> 32) * n) >> 32];
}

static void limit_pairs_chain(struct limit *limit, size_t pairs)
{
	while (pairs--) {
		struct chain_swap swap = chain_stream_next(limit->stream);

		if (swap.index < CLAIMED) {
			atomic_fetch_sub_explicit(&limit->head[0], 1, memory_order_acq_rel);
			atomic_fetch_add_explicit(&limit->head[0], 1, memory_order_acq_rel);
			atomic_store_explicit(&limit->head[1 + swap.index], swap.in, memory_order_release);
		} else {
			atomic_exchange_explicit(limit_slot(limit, swap.out), 0, memory_order_acq_rel);
			atomic_fetch_sub_explicit(&limit->head[0], 1, memory_order_acq_rel);
			atomic_fetch_add_explicit(&limit->head[0], 1, memory_order_acq_rel);
			atomic_exchange_explicit(limit_slot(limit, swap.in), swap.in, memory_order_acq_rel);
		}
	}
}

static void limit_pairs(void *state, size_t pairs)
{
	struct limit *limit = state;

	if (limit->stream->n == 1)
		limit_pairs_direct(limit, pairs);
	else
		limit_pairs_chain(limit, pairs);
}

const struct chain_contender chain_limit_one = {
	.name = "limit-one",
	.create = limit_create,
	.pairs = limit_pairs,
	.destroy = limit_destroy,
};
