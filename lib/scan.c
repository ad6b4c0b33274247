/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * scan.c - gathering all elements of a chain, and verifying a quiescent one
 *
 * A scan reads in the order of chain.c, against which no element moves, so it meets every element that is there from
 * its beginning to its end; if it met a MOVING original it need not visit the copy, but may.
 *
 * It gathers words, as many at once as there is room for. Where only entries and empty slots are met, a slot costs a
 * load, a store and an addition, and no branch depends on what is in it; the rarer kinds are resolved out of line,
 * before the next slot is read.
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

/* The element (kind ENTRY) in slots[i], in which a rarer kind was met, or 0. */
static __attribute__((cold, noinline)) uint64_t resolved(uint64_t *slots, unsigned i)
{
	uint64_t word;

	/* An original that is still MOVING is ahead of its copy in this order: it has been visited. */
	if (rmap_slot_truth(&slots[i], &word) != &slots[i]) /* A3: pairs with R2. A11: pairs with R3 of pool.c. */
		return 0;
	return slot_with_kind(word, SLOT_ENTRY);
}

/* Stores what slots[i] holds behind @n words. How many there are now: one more, if it is an element. */
static inline size_t gather_slot(uint64_t *slots, unsigned i, uint64_t *words, size_t n)
{
	uint64_t word = load_acq(&slots[i]); /* A3: pairs with R2. A11: pairs with R3. */

	if (word & RARE_KINDS)
		word = resolved(slots, i);
	words[n] = word;
	return n + (word & SLOT_ENTRY);
}

/* The same for slots 1 to 7 of a line. */
static inline size_t gather_seven(uint64_t *line, uint64_t *words, size_t n)
{
	n = gather_slot(line, 1, words, n);
	n = gather_slot(line, 2, words, n);
	n = gather_slot(line, 3, words, n);
	n = gather_slot(line, 4, words, n);
	n = gather_slot(line, 5, words, n);
	n = gather_slot(line, 6, words, n);
	return gather_slot(line, 7, words, n);
}

/* The rest of scan->segment, or as much as there is room for. */
static inline size_t gather_segment(struct chain_scan *scan, uint64_t *words, size_t n, size_t room)
{
	uint64_t *header = &scan->segment->header;
	uint64_t lines = segment_lines(segment_class(load_rlx(header))); /* RLX: ordered by A1, fixed. */
	uint64_t *line = header + scan->line * LINE_SLOTS;
	uint64_t *end = header + lines * LINE_SLOTS;
	uint32_t slot = scan->slot;

	if (line == header && slot == 0)
		slot = 1; /* past the header */
	while (line < end && n < room) {
		INJECT();
		if (slot <= 1 && room - n >= LINE_SLOTS) {
			if (slot == 0)
				n = gather_slot(line, 0, words, n);
			n = gather_seven(line, words, n);
			slot = LINE_SLOTS;
		}
		for (; slot < LINE_SLOTS && n < room; slot++)
			n = gather_slot(line, slot, words, n);
		if (slot == LINE_SLOTS) {
			line += LINE_SLOTS;
			slot = 0;
		}
	}
	scan->line = (uint64_t)(line - header) / LINE_SLOTS;
	scan->slot = slot;
	return n;
}

/* Slots 0 and 1. */
static inline size_t gather_block(struct chain_scan *scan, uint64_t *words, size_t n, size_t room)
{
	uint64_t meta = load_acq(&scan->block->meta); /* A2: pairs with R2 of page.c. */

	for (; scan->slot < CLAIMS && n < room; scan->slot++) {
		uint64_t word = claim_read(scan->block, meta, scan->slot);

		INJECT();
		if (slot_kind(word) == SLOT_REF)
			word = resolved(scan->block->slots, scan->slot);
		words[n] = word;
		n += slot_kind(word) == SLOT_ENTRY;
	}
	return n;
}

static uint32_t segment_depth(const struct segment *segment)
{
	uint32_t depth = 0;

	for (; segment; segment = segment_next(load_rlx(&segment->header))) /* RLX: ordered by A1. */
		depth++;
	return depth;
}

struct chain_position rmap_chain_position(const struct chain_scan *scan)
{
	return (struct chain_position){ scan->line, segment_depth(scan->segment), scan->slot };
}

void rmap_chain_scan(struct chain_scan *scan, struct block *block, struct chain_position from)
{
	uint64_t link;
	uint32_t depth;

	*scan = (struct chain_scan){ .block = block, .line = from.line, .slot = from.slot };
	if (from.depth == 0)
		return;
	link = load_acq(&block->slots[BLOCK_LINK]); /* A1: pairs with R1; A3: with R2; A11: with R3. */
	if (slot_kind(link) == SLOT_LINK)
		scan->segment = slot_pointer(link);
	if (from.depth == CHAIN_START.depth) {
		/* An element in slot 2 came there by an add: a scan that is past its start need not visit it. */
		scan->first = slot_kind(link) == SLOT_ENTRY ? link : 0;
		return;
	}
	for (depth = segment_depth(scan->segment); depth > from.depth; depth--)
		scan->segment = segment_next(load_rlx(&scan->segment->header)); /* RLX: ordered by A1. */
	if (depth < from.depth)
		scan->line = scan->slot = 0;
}

size_t rmap_chain_gather(struct chain_scan *scan, uint64_t *words, size_t room)
{
	struct chain_scan at = *scan; /* which no store to @words can change */
	size_t n = 0;

	if (at.first)
		words[n++] = at.first;
	at.first = 0;
	while (at.segment) {
		n = gather_segment(&at, words, n, room);
		if (n == room)
			break;
		at.segment = segment_next(load_rlx(&at.segment->header)); /* RLX: ordered by A1. */
		at.line = at.slot = 0;
	}
	if (!at.segment)
		n = gather_block(&at, words, n, room);
	*scan = at;
	return n;
}

/* Verifying --------------------------------------------------------------------------------- */

#define HOLDS(equation)                                                                                                \
	do {                                                                                                           \
		if (!(equation)) {                                                                                     \
			env_complain("rmap: a chain breaks an equation: %s\n", #equation);                          \
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
