/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * pfnset.h - a set of page frame numbers that also numbers them: 0, 1, 2 ... in ascending order
 *
 *      top[pfn >> 28] -> middle[(pfn >> 15) & 8191] -> chunk: 2^15 bits, and before each word how many lie below it
 *
 * One bit a frame, and 4 bytes for every 64 frames to number them: the tables of a fully mapped machine of 64 GiB
 * take 3 MiB. That is how the reverse map finds the record of a frame without hashing: records lie in one array in
 * frame order, and need not say of which frame they are.
 *
 * Any number of threads fill a set at once; then one numbers it; from then on it may be read from everywhere.
 */
#ifndef PFNSET_H
#define PFNSET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Physical addresses have at most 52 bits, frames at least 12. */
#define PFN_MAX ((UINT64_C(1) << 40) - 1)
#define PFNSET_NONE SIZE_MAX
#define PFNSET_WORDS 512

struct pfnset_chunk {
	_Atomic uint64_t bits[PFNSET_WORDS];
	uint32_t below[PFNSET_WORDS]; /* once numbered: how many members are smaller than the word's first */
};

struct pfnset_middle {
	void *_Atomic chunks[8192]; /* struct pfnset_chunk */
};

struct pfnset {
	void *_Atomic tops[4096]; /* struct pfnset_middle */
	struct pfnset_start {
		const struct pfnset_chunk *chunk;
		uint64_t pfn; /* of the chunk's first bit */
	} * starts;           /* once numbered: of each chunk, in ascending order */
	size_t starts_n;
	size_t starts_capacity;
};

/** pfnset_add - @pfn, at most PFN_MAX, becomes a member. Any number of threads may add at once */
void pfnset_add(struct pfnset *set, uint64_t pfn);
/** pfnset_number - number the members; returns how many there are, or PFNSET_NONE if more than 2^32 - 1 */
size_t pfnset_number(struct pfnset *set);
/** pfnset_list - call @visit for each member of a numbered set, in order */
void pfnset_list(const struct pfnset *set, void (*visit)(void *arg, size_t number, uint64_t pfn), void *arg);
/** pfnset_find - the number of @pfn in a numbered set, or PFNSET_NONE */
size_t pfnset_find(const struct pfnset *set, uint64_t pfn);
/** pfnset_pfns - set @out to members @number .. @number + @n - 1 of a numbered set, all of which there must be */
void pfnset_pfns(const struct pfnset *set, size_t number, size_t n, uint64_t *out);
/** pfnset_fini - free the set's memory; it is empty again */
void pfnset_fini(struct pfnset *set);

#endif
