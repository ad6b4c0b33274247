/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * scan.c - visiting all elements of a chain, and verifying a quiescent one
 *
 * A scan reads in the order of chain.c, against which no element moves, so it meets every element that is there from
 * its beginning to its end; if it met a MOVING original it need not visit the copy, but may.
 *
 * A scan can stop and resume in another read-side section. Segments are a stack, so their depth from the oldest names a
 * place that stays: if the segment at that depth was popped, its elements went to smaller depths, which are still
 * ahead; if another was pushed at that depth since, all its elements are newer than the scan. Whether the whole chain
 * was replaced does not matter either: then no mapping was there all the time.
 *
 *      label  orders                                  breaks without it
 *      A1     pairs with R1 (chain.c)                 the scan follows garbage
 *      A2     pairs with R2 (page.c)                  a word that is two claims old is visited (claim.h)
 *      A3     pairs with R2 (chain.c)                 the visitor acts on a pte that it cannot see yet
 *      A11    pairs with R3 (chain.c), R3 (pool.c)    the walk passes what a move has left, and misses the note of it
 */
#include "chain.h"
#include "claim.h"
#include "segment.h"

#include <errno.h>
#include <stdio.h>

static int visit_slot(uint64_t *slot, chain_visit visit, void *arg)
{
	uint64_t word;

	/* An original that is still MOVING is ahead of its copy in this order: it has been visited. */
	if (rmap_slot_truth(slot, &word) != slot) /* A3: pairs with R2. A11: pairs with R3 of pool.c. */
		return 0;
	INJECT();
	return visit(arg, slot_with_kind(word, SLOT_ENTRY));
}

static int scan_segment(struct segment *segment, struct chain_position *position, chain_visit visit, void *arg)
{
	uint64_t lines = segment_lines(segment_class(load_rlx(&segment->header))); /* RLX: ordered by A1, fixed. */

	for (; position->line < lines; position->line++, position->slot = 0) {
		uint64_t *slots = &segment->header + position->line * LINE_SLOTS;
		uint32_t i = position->slot;

		if (position->line == 0 && i == 0)
			i = 1; /* past the header */
		for (; i < LINE_SLOTS; i++) {
			uint64_t word = load_acq(&slots[i]); /* A3: pairs with R2. A11: pairs with R3. */
			int stop;

			if (slot_kind(word) == SLOT_EMPTY)
				continue;
			INJECT();
			stop = slot_kind(word) == SLOT_ENTRY ? visit(arg, word) : visit_slot(&slots[i], visit, arg);
			if (stop) {
				position->slot = i;
				return stop;
			}
		}
	}
	return 0;
}

static uint32_t segment_depth(const struct segment *segment)
{
	uint32_t depth = 0;

	for (; segment; segment = segment_next(load_rlx(&segment->header))) /* RLX: ordered by A1. */
		depth++;
	return depth;
}

/* Slot 2 and what it leads to. */
static int scan_link(struct block *block, struct chain_position *position, chain_visit visit, void *arg)
{
	uint64_t link = load_acq(&block->slots[BLOCK_LINK]); /* A1: pairs with R1; A3: with R2; A11: with R3. */
	struct segment *segment;
	uint32_t depth;

	/* An element in slot 2 came there by an add. A scan that is past its start need not visit it. */
	if (slot_kind(link) == SLOT_ENTRY && position->depth == CHAIN_START.depth)
		return visit(arg, link);
	if (slot_kind(link) != SLOT_LINK)
		return 0;
	segment = slot_pointer(link);
	for (depth = segment_depth(segment); segment; depth--) {
		if (depth < position->depth)
			*position = (struct chain_position){ 0, depth, 0 };
		if (depth == position->depth) {
			int stop = scan_segment(segment, position, visit, arg);

			if (stop)
				return stop;
		}
		segment = segment_next(load_rlx(&segment->header)); /* RLX: ordered by A1. */
	}
	return 0;
}

int rmap_chain_scan(struct block *block, struct chain_position *position, chain_visit visit, void *arg)
{
	uint64_t meta;

	if (position->depth > 0) {
		int stop = scan_link(block, position, visit, arg);

		if (stop)
			return stop;
		*position = (struct chain_position){ 0, 0, 0 };
	}
	meta = load_acq(&block->meta); /* A2: pairs with R2 of page.c. */
	for (; position->slot < CLAIMS; position->slot++) {
		uint64_t word = claim_read(block, meta, position->slot);
		int stop = 0;

		INJECT();
		if (slot_kind(word) == SLOT_ENTRY)
			stop = visit(arg, word);
		else if (slot_kind(word) == SLOT_REF)
			stop = visit_slot(&block->slots[position->slot], visit, arg);
		if (stop)
			return stop;
	}
	return 0;
}

/* Verifying --------------------------------------------------------------------------------- */

#define HOLDS(equation)                                                                                                \
	do {                                                                                                           \
		if (!(equation)) {                                                                                     \
			fprintf(stderr, "rmap: a chain breaks an equation: %s\n", #equation);                          \
			return -EINVAL;                                                                                \
		}                                                                                                      \
	} while (0)

struct tally {
	uint64_t low;
	uint64_t chained;
	struct rmap_shape *shape;
};

static int check_word(uint64_t word, struct tally *tally)
{
	HOLDS(slot_kind(word) == SLOT_EMPTY || slot_kind(word) == SLOT_ENTRY || slot_kind(word) == SLOT_SEALED);
	tally->shape->slots++;
	if (slot_kind(word) != SLOT_ENTRY)
		return 0;
	tally->shape->elements++;
	tally->chained += slot_multiplicity(word, tally->low);
	return 0;
}

static int check_segment(const struct segment *segment, struct tally *tally)
{
	uint64_t header = load_rlx(&segment->header); /* RLX: quiescent */
	uint64_t slots = segment_slots(header);
	uint64_t closing = load_rlx(&segment->slots[0]);
	uint64_t sealed = 0;

	for (uint64_t i = 0; i < slots; i++) {
		uint64_t word = load_rlx(&segment->slots[i]);

		if (check_word(word, tally))
			return -EINVAL;
		sealed += slot_kind(word) == SLOT_SEALED;
		if (slot_kind(word) == SLOT_ENTRY) {
			uint64_t line = segment_line(header, segment_hash(slot_key(word, tally->low)));

			HOLDS((i + 1) / LINE_SLOTS == line || (i + 1) / LINE_SLOTS == (line ^ 1));
		}
	}
	if (slot_kind(closing) == SLOT_SEALED)
		HOLDS(closing_sealed(closing) == sealed);
	else
		HOLDS(sealed == 0);
	tally->shape->segments++;
	tally->shape->bytes += segment_bytes(segment_class(header));
	return 0;
}

int rmap_chain_check(const struct rmap *map, struct block *block, uint64_t meta, struct rmap_shape *shape)
{
	struct tally tally = { map->key_low, 0, shape };
	uint64_t link = load_rlx(&block->slots[BLOCK_LINK]); /* RLX: quiescent */
	struct segment *segment;

	shape->bytes += sizeof(*block);
	HOLDS(!map->key_low || (claim_count(meta) == CLAIMS && !(meta & (CLAIM_PHASE(0) | CLAIM_PHASE(1)))));
	for (unsigned i = 0; i < CLAIMS; i++) {
		uint64_t word = claim_read(block, meta, i);

		HOLDS(map->key_low || !(meta & CLAIM_HELD(i)) || slot_kind(word) == SLOT_ENTRY);
		if (check_word(word, &tally))
			return -EINVAL;
	}
	if (slot_kind(link) == SLOT_LINK) {
		for (segment = slot_pointer(link); segment; segment = segment_next(load_rlx(&segment->header)))
			if (check_segment(segment, &tally))
				return -EINVAL;
	} else if (check_word(link, &tally)) {
		return -EINVAL;
	}
	HOLDS(tally.chained == count_chained(meta));
	return 0;
}
