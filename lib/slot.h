/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * slot.h - the words that chains are made of: bit layouts, blocks, segments
 *
 * Every word of the structure has its kind in its low three bits:
 *
 *      63                                    3 2  0
 *      [ payload                              | kind ]
 *
 *      kind       payload                                    where
 *      EMPTY      0; in a page word: the counts              page word, slot
 *      ENTRY      key | multiplicity - 1                     page word (direct), slot; a claimed one with its
 *                                                            phase in bit 1 (claim.h)
 *      MOVING     as ENTRY: its segment is being emptied;    slot of a closing segment
 *                 still the mapping's one truth
 *      COMMITTED  as ENTRY, fixed: the copy is the truth     slot of a closing segment
 *      REF        address of the MOVING slot it copies       slot further on
 *      DEAD       0: was MOVING, its last mapping was taken  slot of a closing segment
 *      SEALED     not for readers: the closing word's        slot of a closing segment; slots of a
 *                 figures, or the list of retired memory     retired block or segment
 *      LINK       address of a block or a segment            page word; slot 2 of a first block
 *
 *      EMPTY <-> ENTRY <-> MOVING -> COMMITTED -> SEALED           a slot of a segment
 *        |                    `----> DEAD ------> SEALED
 *        `------------------------------------> SEALED
 *      EMPTY -> REF -> ENTRY or EMPTY                              a slot that receives a copy
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
	SLOT_MOVING = 2,
	SLOT_COMMITTED = 3,
	SLOT_REF = 4,
	SLOT_DEAD = 5,
	SLOT_SEALED = 6,
	SLOT_LINK = 7,
};

#define SLOT_KIND_MASK 7u
#define SLOT_ONE ((uint64_t)8) /* one unit of multiplicity */

static inline enum slot_kind slot_kind(uint64_t word)
{
	return (enum slot_kind)(word & SLOT_KIND_MASK);
}

static inline uint64_t slot_payload(uint64_t word)
{
	return word & ~(uint64_t)SLOT_KIND_MASK;
}

static inline uint64_t slot_with_kind(uint64_t word, enum slot_kind kind)
{
	return slot_payload(word) | kind;
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
#define BLOCK_LINK 2u             /* the slot that may become the link */
#define BLOCK_RETIRED BLOCK_LINK /* the slot that leads to the next retired block: nobody stores to it blindly */

/*
 * struct block - a page's first block, 32 bytes, 32-aligned
 * @meta:  the counts and the claims; written by compare-and-swap only, never again once frozen
 * @slots: [0], [1]: elements (claim.h). [2]: an element, or the LINK to the newest segment
 */
struct block {
	uint64_t meta;
	uint64_t slots[BLOCK_SLOTS];
};

/*
 * struct segment - lines of slots; 64-aligned, with more than one line 128-aligned
 * @header: address of the next older segment, or 0; in the low six bits the segment's own class. Fixed once published
 * @slots:  [0] is the closing word as soon as it is SEALED. Lines are cut from @header on: the first has seven slots
 */
struct segment {
	uint64_t header;
	uint64_t slots[];
};

_Static_assert(sizeof(struct block) == 32, "a first block is half a cache line");

/*
 * Classes of segments: 1, 2, 4, 6 lines, then four sizes to a doubling: 8, 10, 12, 14, 16, 20, ... All but the first
 * are even, so that lines pair up.
 */
#define SEGMENT_CLASSES 64u

static inline uint64_t segment_lines(unsigned class)
{
	static const uint8_t small[4] = { 1, 2, 4, 6 };

	if (class < 4)
		return small[class];
	return (uint64_t)(4 + (class & 3)) << (class / 4);
}

static inline uint64_t segment_bytes(unsigned class)
{
	return segment_lines(class) * LINE_BYTES;
}

static inline unsigned segment_class(uint64_t header)
{
	return header & 63;
}

static inline struct segment *segment_next(uint64_t header)
{
	return (struct segment *)(uintptr_t)(header & ~(uint64_t)63);
}

/* 32 bits that depend on all of @key: handles come in regular patterns, which one multiplication would keep. */
static inline uint64_t segment_hash(uint64_t key)
{
	key *= 0x9E3779B97F4A7C15u;
	key ^= key >> 32;
	return (key * 0xD6E8FEB86659FD93u) >> 32;
}

static inline uint64_t segment_line(uint64_t header, uint64_t hash)
{
	return (hash * segment_lines(segment_class(header))) >> 32;
}

/* Classes of memory: first blocks, then the segments. */
#define SLOT_CLASSES (1 + SEGMENT_CLASSES)

_Static_assert(sizeof(struct segment) == 8, "the header takes one slot's place");

#endif
