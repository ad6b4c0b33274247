/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * claim.h - slots 0 and 1 of a first block: claimed in meta, with the count
 *
 * In a plain map an element is counted and given one of these slots in one compare-and-swap of meta, which holds two
 * bits for each of them:
 *
 *      3          2 1           0
 *      [ held 1 0  | phase 1 0  ]       an element is in slot i  <=>  held(i), and the slot's phase is phase(i)
 *
 *      add       one compare-and-swap: held(i) is set, phase(i) flips, and the count changes; then a store: element,
 *                phase
 *      remove    one compare-and-swap: held(i) goes, and the count changes. The slot keeps its value
 *      look      meta, then the slot
 *      move      the same, where another mapping's count covers both: without a change of the count
 *
 * A word in slot i is the element as in any slot, an ENTRY, but bit 1 is its phase; before the first store it is EMPTY.
 * The compare-and-swap is where add, remove and move linearize.
 *
 * Why one bit is enough. Let claim g be the g-th of slot i, store g the store that follows it; phase(i) is the parity
 * of g. Claim g + 1 finds the slot not held, so whoever took mapping g had read store g (A1), and the claim acquires
 * that: stores come in the order of claims, and whoever has read claim g from meta, acquiring, finds store g - 1 or a
 * later one in the slot. That is g - 1, of the other phase, while the add of g is not through; or g; or one that is
 * newer than the meta, and was there while the reader looked. Never g - 2, which would pass for g.
 *
 * Who finds nothing. A mapping stays in its claim slot until it is taken: only its owner moves it, and nothing else
 * moves into these slots. An owner whose add has returned reads claim g or a later meta, in which g is held, and store
 * g. A walk that finds neither g nor what came later has acquired, with meta or with the newer store, what led to that:
 * a note of the move by which the mapping left (moves.c). One that sees a claim and not its store passes: that add, or
 * move, has not gone on to what would make the walk need it, the return or the end of the old place.
 *
 * Stopped threads (G2). Who stops between claim and store keeps that slot, and is counted, so the chain stays. Others
 * find the wrong phase there and pass, adders use other slots, and nobody waits. The store may be late only by misuse,
 * when a count that covered a move was taken by another: then it lands in a block that may be retired already, and in
 * no word of it that anyone reads (rmap_chain_retire()).
 *
 * What misuse may cost. The compare-and-swap of a remove says that meta is what it was, not that the slot is. If
 * another takes that very mapping meanwhile, and the slot is claimed twice more, and the counts are what they were, it
 * takes a stranger's mapping. That needs two callers at once that remove or move one handle of a page, so two mappings
 * of one handle, or a caller that removes what is not its own (page.h). More phases would make that rarer; a
 * compare-and-swap of the slot as well would exclude it, and cost what claims save.
 *
 * Maps with multiplicity, in which many may adjust one element, change slots 0 and 1 as chain.c does any other slot:
 * both are held there from the beginning, in phase 0, so that their words mean what they mean in other slots.
 *
 * meta is read acquiring: A2 of page.c, A4 of chain.c, A2 of scan.c.
 *
 *      label  orders                                          breaks without it
 *      A1     pairs with R4 of page.c: a search or walk reads the element, and what led to it; and with R3 of chain.c:
 *             what led to the chain's end, if that is read
 */
#ifndef RMAP_LIB_CLAIM_H
#define RMAP_LIB_CLAIM_H

#include "atomic.h"
#include "slot.h"

#define CLAIMS 2u /* slots; as an index: none */
#define CLAIM_HELD(i) ((uint64_t)4 << (i))
#define CLAIM_PHASE(i) ((uint64_t)1 << (i))

_Static_assert((CLAIM_HELD(0) | CLAIM_HELD(1) | CLAIM_PHASE(0) | CLAIM_PHASE(1)) == COUNT_CLAIMS, "two bits a slot");
_Static_assert(CLAIMS == BLOCK_LINK, "the slots before the one that may become a link");

/* @word as it stands in slot @i under @meta, and back. */
static inline uint64_t claim_phased(uint64_t meta, unsigned i, uint64_t word)
{
	return word ^ (meta >> i & 1) << 1;
}

/* What a block's meta begins with: @elements in its slots; all slots where the map has multiplicity (@low). */
static inline uint64_t claim_first(unsigned elements, uint64_t low)
{
	return low || elements == CLAIMS ? CLAIM_HELD(0) | CLAIM_HELD(1) : CLAIM_HELD(0);
}

/* The first slot of a set of them; CLAIMS: it is empty. Without branches: which one it is cannot be foreseen. */
static inline unsigned claim_first_of(unsigned slots)
{
	return (unsigned)__builtin_ctz(slots | 1 << CLAIMS);
}

/* The slots that are held, as a set. */
static inline unsigned claims_held(uint64_t meta)
{
	return (unsigned)(meta / CLAIM_HELD(0)) & ((1 << CLAIMS) - 1);
}

/* A slot that is not held; CLAIMS: there is none. */
static inline unsigned claim_free(uint64_t meta)
{
	return claim_first_of(~claims_held(meta) & ((1 << CLAIMS) - 1));
}

static inline unsigned claim_count(uint64_t meta)
{
	return !!(meta & CLAIM_HELD(0)) + !!(meta & CLAIM_HELD(1));
}

/* What slot @i holds under @meta, which was read before: an ENTRY, or nothing. */
static inline uint64_t claim_read(const struct block *block, uint64_t meta, unsigned i)
{
	if (!(meta & CLAIM_HELD(i)))
		return SLOT_EMPTY;
	return claim_phased(meta, i, load_acq(&block->slots[i])); /* A1: pairs with R4 of page.c, R3 of chain.c. */
}

/* The slot that holds @entry, in a plain map; CLAIMS: none does. */
static inline unsigned claim_find(const struct block *block, uint64_t meta, uint64_t entry)
{
	unsigned found = 0;

	for (unsigned i = 0; i < CLAIMS; i++) {
		uint64_t word = load_acq(&block->slots[i]); /* A1: pairs with R4 of page.c. */

		found |= (unsigned)(claim_phased(meta, i, word) == entry) << i;
	}
	return claim_first_of(found & claims_held(meta));
}

#endif
