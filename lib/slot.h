/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * slot.h - the words that chains are made of: bit layouts, blocks, leaves
 *
 * Every word of the structure has its kind in its low three bits:
 *
 *      63                                    3 2  0
 *      [ payload                              | kind ]
 *
 *      kind       payload                                    where
 *      EMPTY      0: never used; in a page word: the counts  page word, slot
 *      ENTRY      key | multiplicity - 1                     page word (direct), slot; a claimed one with its
 *                                                            phase in bit 1 (claim.h)
 *      NAMED      handle of a linear mapping                 page word
 *      VACANT     0: used, and empty again                   slot of a leaf
 *      LINK       form and address of what it leads to       page word, slot 2 of a first block, word of a branch
 *      SEALED     not for readers                            slot 2 of a retired block, slot of a piece
 *
 * In slots and branches bit 1 of a kind says that the word is FROZEN: what it holds is for ever so, and is found again
 * in a copy (leaf.c). A frozen ENTRY is HELD; SEALED is a frozen VACANT.
 *
 *      EMPTY -> ENTRY <-> VACANT          a slot of a leaf, until it is frozen; in a first block EMPTY <-> ENTRY
 *
 * A LINK has its form in bits 48 to 55, which the addresses of a tier's memory leave free:
 *
 *      63  56 55  48 47                      3 2  0
 *      [ addr | form | address                | LINK ]
 *
 * Counts, in a page word (kind EMPTY) and in the meta word of a first block (claims: claim.h; 0 in a page word):
 *
 *      63      42 41     21 20     4 3      0
 *      [ chained | linear  | locked | claims ]
 *
 *      mapcount = chained + linear + locked
 *      frozen: chained = 0                            of a meta word, which never changes again
 *      chained = sum of multiplicities of elements    for a quiescent chain
 */
#ifndef RMAP_LIB_SLOT_H
#define RMAP_LIB_SLOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum slot_kind {
	SLOT_EMPTY = 0,
	SLOT_ENTRY = 1,
	SLOT_NAMED = 2,
	SLOT_HELD = 3,
	SLOT_VACANT = 4,
	SLOT_LINK = 5,
	SLOT_SEALED = 6,
};

#define SLOT_KIND_MASK 7u
#define SLOT_FROZEN ((uint64_t)2)
#define SLOT_ONE ((uint64_t)8) /* one unit of multiplicity */

static inline enum slot_kind slot_kind(uint64_t word)
{
	return (enum slot_kind)(word & SLOT_KIND_MASK);
}

static inline uint64_t slot_payload(uint64_t word)
{
	return word & ~(uint64_t)SLOT_KIND_MASK;
}

static inline void *slot_pointer(uint64_t word)
{
	return (void *)(uintptr_t)slot_payload(word);
}

static inline uint64_t slot_from_pointer(const void *pointer, enum slot_kind kind)
{
	return (uint64_t)(uintptr_t)pointer | kind;
}

/* @low is the map's key_low. */
static inline uint64_t slot_key(uint64_t word, uint64_t low)
{
	return slot_payload(word) & ~low;
}

static inline uint32_t slot_multiplicity(uint64_t word, uint64_t low)
{
	return (uint32_t)((word & low) / SLOT_ONE) + 1;
}

/* Counts. */
#define COUNT_CLAIMS ((uint64_t)0xF)
#define COUNT_LOCKED_ONE ((uint64_t)1 << 4)
#define COUNT_LINEAR_ONE ((uint64_t)1 << 21)
#define COUNT_CHAINED_ONE ((uint64_t)1 << 42)

static inline uint32_t count_locked(uint64_t counts)
{
	return (uint32_t)(counts >> 4) & 0x1FFFF;
}

static inline uint32_t count_linear(uint64_t counts)
{
	return (uint32_t)(counts >> 21) & 0x1FFFFF;
}

static inline uint32_t count_chained(uint64_t counts)
{
	return (uint32_t)(counts >> 42);
}

static inline bool count_frozen(uint64_t meta)
{
	return count_chained(meta) == 0;
}

static inline uint32_t count_all(uint64_t counts)
{
	return count_chained(counts) + count_linear(counts) + count_locked(counts);
}

#define LINE_SLOTS 8u
#define LINE_BYTES 64u
#define BLOCK_SLOTS 3u
#define BLOCK_LINK 2u             /* the slot that may become a link */
#define BLOCK_RETIRED BLOCK_LINK /* the slot that leads to the next retired block: nobody stores to it blindly */

/*
 * struct block - a page's first block, 32 bytes, 32-aligned
 * @meta:  the counts and the claims; written by compare-and-swap only, never again once frozen
 * @slots: [0], [1]: elements (claim.h). [2]: an element, or the LINK to the rest of the chain
 */
struct block {
	uint64_t meta;
	uint64_t slots[BLOCK_SLOTS];
};

_Static_assert(sizeof(struct block) == 32, "a first block is half a cache line");

/*
 * struct plan - what a place is about to lead to; a block of memory, retired as one
 * @into, @more: pieces for the copy, as LINKs to leaves of their lengths; @more may be 0
 * @below:       what the place led to
 * @retired:     kind LINK; in a retired block the word there is SEALED
 */
struct plan {
	uint64_t into;
	uint64_t more;
	uint64_t below;
	uint64_t retired;
};

_Static_assert(sizeof(struct plan) == sizeof(struct block) &&
		       offsetof(struct plan, retired) == offsetof(struct block, slots[BLOCK_RETIRED]),
	       "a plan is retired as a block is");

/*
 * Forms. A leaf's is how many lines it has; SPILLED: what its places had no room for is anywhere in it. The explorer
 * has small leaves and branches.
 */
#define FORM_SHIFT 48
#define FORM_MASK ((uint64_t)0xFF << FORM_SHIFT)
#define FORM_BLOCK 0u
#define FORM_OVER 65u
#define FORM_BRANCH 66u
#define FORM_PLAN 67u
#define FORM_SPILLED 128u

#ifdef RMAP_EXPLORE
#define LEAF_SLOTS 2u      /* of a line that are used */
#define LEAF_LINES_MAX 2u
#define LEAF_WINDOW 1u
#define BRANCH_BITS 1u
#define BRANCH_LEVELS 8u
/* Elements of a branch that is merged, as of one that is made. */
#define MERGED_MOST(lines) ((lines) * LEAF_SLOTS * 3 / 4)
#else
#define LEAF_SLOTS LINE_SLOTS
#define LEAF_LINES_MAX 32u
#define LEAF_WINDOW 6u
#define BRANCH_BITS 3u
#define BRANCH_LEVELS 10u /* the bits of a hash that do not choose a line */
/* Elements of a branch that is merged: half of what makes one. */
#define MERGED_MOST(lines) ((lines) * LEAF_SLOTS * 3 / 8)
#endif
#define OVER_SLOTS (LEAF_SLOTS < LINE_SLOTS ? LEAF_SLOTS : LINE_SLOTS - 1)
#define BRANCH_WORDS (1u << BRANCH_BITS)
#define BRANCH_LINES ((BRANCH_WORDS + LINE_SLOTS - 1) / LINE_SLOTS)

static inline uint64_t link_to(const void *memory, unsigned form)
{
	return (uint64_t)(uintptr_t)memory | (uint64_t)form << FORM_SHIFT | SLOT_LINK;
}

static inline unsigned link_form(uint64_t link)
{
	return (unsigned)(link >> FORM_SHIFT) & 0xFF;
}

static inline uint64_t *link_memory(uint64_t link)
{
	return (uint64_t *)(uintptr_t)(link & ~(FORM_MASK | SLOT_KIND_MASK));
}

/* Of a leaf; 0: it is none. */
static inline unsigned link_lines(uint64_t link)
{
	unsigned form = link_form(link);

	return form >= FORM_OVER && form < FORM_SPILLED ? 0 : form % FORM_SPILLED;
}

/* Lengths of pieces, in lines: 1 to 8, then four to a doubling. The least such length from @lines on. */
static inline unsigned lines_up(unsigned lines)
{
	unsigned step = 2;

	if (lines <= 8)
		return lines;
	while (step * 8 < lines)
		step *= 2;
	return (lines + step - 1) / step * step;
}

/* The next shorter length; 0: there is none. */
static inline unsigned lines_below(unsigned lines)
{
	unsigned step = 2;

	if (lines <= 8)
		return lines - 1;
	while (step * 8 < lines)
		step *= 2;
	return lines - step;
}

/* The longest such length that is in @lines, which are not 0. */
static inline unsigned lines_within(unsigned lines)
{
	unsigned up = lines_up(lines);

	return up == lines ? lines : lines_below(up);
}

#define PIECE_CLASSES 16u

static inline unsigned piece_lines(unsigned class)
{
	return class < 8 ? class + 1 : (class % 4 + 5) << (class / 4 - 1);
}

static inline unsigned piece_class(unsigned lines)
{
	unsigned class = 0;

	if (lines <= 8)
		return lines - 1;
	for (class = 8; piece_lines(class) < lines; class++)
		;
	return class;
}

/* Classes of memory: first blocks and plans, then pieces of lines. */
#define SLOT_CLASSES (1 + PIECE_CLASSES)

#endif
