/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * segment.h - what chain.c, shrink.c and scan.c share about segments and slots
 */
#ifndef RMAP_LIB_SEGMENT_H
#define RMAP_LIB_SEGMENT_H

#include "map.h"

/* Kinds from MOVING on have one of these bits. */
#define RARE_KINDS ((uint64_t)6)

/*
 * The closing word: slot 0 of a segment, as soon as it is SEALED. The segment is closing: adders leave it alone, and
 * removers of the page empty it. It counts, and when all slots are sealed the segment can be popped.
 *
 *      63            33 32           3 2      0
 *      [ lines claimed | slots sealed | SEALED ]
 */
#define CLOSING_SEALED_ONE ((uint64_t)1 << 3)
#define CLOSING_CLAIMED_ONE ((uint64_t)1 << 33)

static inline uint64_t closing_sealed(uint64_t word)
{
	return (word >> 3) & 0x3FFFFFFF;
}

static inline uint64_t closing_claimed(uint64_t word)
{
	return word >> 33;
}

static inline uint64_t segment_slots(uint64_t header)
{
	return segment_lines(segment_class(header)) * LINE_SLOTS - 1;
}

static inline bool rmap_segment_is_closing(const struct segment *segment)
{
	/*
	 * RLX: a hint. Who misses the seal finds sealed slots by a compare-and-swap that fails; who sees it leaves
	 * alone, or empties, what needs no more than the acquire that led to @segment.
	 */
	return slot_kind(load_rlx(&segment->slots[0])) == SLOT_SEALED;
}

static inline bool rmap_segment_is_sealed(const struct segment *segment)
{
	uint64_t word = load_acq(&segment->slots[0]); /* A4: pairs with R4. */

	/* RLX: the header is fixed since the acquire load that led to @segment. */
	return slot_kind(word) == SLOT_SEALED && closing_sealed(word) == segment_slots(load_rlx(&segment->header));
}

/*
 * The slot in which the element that @slot stands for can be adjusted, and the *@word it held, an ENTRY or MOVING:
 * @slot itself, or the original of a copy. A copy whose original has committed is finished on the way. NULL: @slot
 * stands for nothing now; what led to that is acquired.
 */
uint64_t *rmap_slot_truth(uint64_t *slot, uint64_t *word);

/* Puts @word into an EMPTY slot where @hash may live. NULL: there is none. */
uint64_t *rmap_segment_place(struct segment *segment, uint64_t hash, uint64_t word);

/* The same in slots 0 and 1 of a first block, in a map with multiplicity. */
uint64_t *rmap_block_place(struct block *block, uint64_t word);

/* Retires a segment that the caller has unlinked. */
void rmap_segment_retire(struct rmap_reserve *reserve, struct segment *segment);

#endif
