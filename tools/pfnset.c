/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * pfnset.c - a set of page frame numbers that also numbers them; see pfnset.h
 */
#include "pfnset.h"

#include "tool.h"

#include <stdlib.h>

#define TOPS 4096
#define MIDDLES 8192
#define CHUNK_SHIFT 15
#define TOP_SHIFT 28

static struct pfnset_chunk *chunk_at(const struct pfnset *set, uint64_t pfn)
{
	struct pfnset_middle *middle = NULL;

	/* Acquire: pairs with at_or_made(), for a thread that adds may meet what another one has just made. */
	if (pfn <= PFN_MAX)
		middle = atomic_load_explicit(&set->tops[pfn >> TOP_SHIFT], memory_order_acquire);
	if (!middle)
		return NULL;
	return atomic_load_explicit(&middle->chunks[(pfn >> CHUNK_SHIFT) % MIDDLES], memory_order_acquire);
}

/* What is at @place, or @size zeroed bytes made there. Of two that make it at once, one wins. */
static void *at_or_made(void *_Atomic *place, size_t size)
{
	void *known = atomic_load_explicit(place, memory_order_acquire), *made;

	if (known)
		return known;
	made = zeroed(1, size);
	/* Release: publishes the zeroes. Acquire: or shows those of the winner. */
	if (atomic_compare_exchange_strong_explicit(place, &known, made, memory_order_acq_rel, memory_order_acquire))
		return made;
	free(made);
	return known;
}

static struct pfnset_chunk *chunk_make(struct pfnset *set, uint64_t pfn)
{
	struct pfnset_middle *middle = at_or_made(&set->tops[pfn >> TOP_SHIFT], sizeof(*middle));

	return at_or_made(&middle->chunks[(pfn >> CHUNK_SHIFT) % MIDDLES], sizeof(struct pfnset_chunk));
}

void pfnset_add(struct pfnset *set, uint64_t pfn)
{
	struct pfnset_chunk *chunk = chunk_at(set, pfn);
	uint64_t bit = UINT64_C(1) << pfn % 64;
	_Atomic uint64_t *word;

	if (!chunk)
		chunk = chunk_make(set, pfn);
	/* Relaxed: the set is read when the threads that filled it have been joined. */
	word = &chunk->bits[pfn / 64 % PFNSET_WORDS];
	if (!(atomic_load_explicit(word, memory_order_relaxed) & bit))
		atomic_fetch_or_explicit(word, bit, memory_order_relaxed);
}

static uint64_t word_of(const struct pfnset_chunk *chunk, size_t word)
{
	return atomic_load_explicit(&chunk->bits[word], memory_order_relaxed);
}

/* Call @visit for every chunk, in order, with the chunk's first frame. */
static void for_each_chunk(const struct pfnset *set, void (*visit)(void *arg, struct pfnset_chunk *chunk, uint64_t pfn),
			   void *arg)
{
	for (uint64_t top = 0; top < TOPS; top++) {
		for (uint64_t middle = 0; set->tops[top] && middle < MIDDLES; middle++) {
			uint64_t pfn = top << TOP_SHIFT | middle << CHUNK_SHIFT;
			struct pfnset_chunk *chunk = chunk_at(set, pfn);

			if (chunk)
				visit(arg, chunk, pfn);
		}
	}
}

struct numbering {
	struct pfnset *set;
	uint64_t members;
};

static void number_chunk(void *arg, struct pfnset_chunk *chunk, uint64_t pfn)
{
	struct numbering *numbering = arg;
	struct pfnset *set = numbering->set;

	set->starts = grow(set->starts, &set->starts_capacity, set->starts_n + 1, sizeof(*set->starts));
	set->starts[set->starts_n++] = (struct pfnset_start){ .chunk = chunk, .pfn = pfn };
	for (size_t word = 0; word < PFNSET_WORDS; word++) {
		chunk->below[word] = (uint32_t)numbering->members;
		numbering->members += (uint64_t)__builtin_popcountll(word_of(chunk, word));
	}
}

size_t pfnset_number(struct pfnset *set)
{
	struct numbering numbering = { .set = set };

	for_each_chunk(set, number_chunk, &numbering);
	return numbering.members <= UINT32_MAX ? numbering.members : PFNSET_NONE;
}

struct listing {
	void (*visit)(void *arg, size_t number, uint64_t pfn);
	void *arg;
};

static void list_chunk(void *arg, struct pfnset_chunk *chunk, uint64_t pfn)
{
	const struct listing *listing = arg;

	for (size_t word = 0; word < PFNSET_WORDS; word++)
		for (uint64_t bits = word_of(chunk, word), i = chunk->below[word]; bits; bits &= bits - 1, i++)
			listing->visit(listing->arg, i, pfn + word * 64 + (uint64_t)__builtin_ctzll(bits));
}

void pfnset_list(const struct pfnset *set, void (*visit)(void *arg, size_t number, uint64_t pfn), void *arg)
{
	struct listing listing = { .visit = visit, .arg = arg };

	for_each_chunk(set, list_chunk, &listing);
}

size_t pfnset_find(const struct pfnset *set, uint64_t pfn)
{
	const struct pfnset_chunk *chunk = chunk_at(set, pfn);
	size_t word = pfn / 64 % PFNSET_WORDS;
	uint64_t bit = UINT64_C(1) << pfn % 64;

	uint64_t bits = chunk ? word_of(chunk, word) : 0;

	if (!(bits & bit))
		return PFNSET_NONE;
	return chunk->below[word] + (size_t)__builtin_popcountll(bits & (bit - 1));
}

/* The last chunk whose members do not all have greater numbers than @number; none is empty. */
static const struct pfnset_start *start_of(const struct pfnset *set, size_t number)
{
	size_t low = 0, high = set->starts_n;

	while (high - low > 1) {
		size_t middle = (low + high) / 2;

		if (set->starts[middle].chunk->below[0] <= number)
			low = middle;
		else
			high = middle;
	}
	return &set->starts[low];
}

/* The word that member @number is in: the last one below which no more members lie. */
static size_t word_with(const struct pfnset_chunk *chunk, size_t number)
{
	size_t low = 0, high = PFNSET_WORDS;

	while (high - low > 1) {
		size_t middle = (low + high) / 2;

		if (chunk->below[middle] <= number)
			low = middle;
		else
			high = middle;
	}
	return low;
}

void pfnset_pfns(const struct pfnset *set, size_t number, size_t n, uint64_t *out)
{
	const struct pfnset_start *start = start_of(set, number);
	size_t word = word_with(start->chunk, number);
	uint64_t bits = word_of(start->chunk, word);

	for (size_t before = number - start->chunk->below[word]; before; before--)
		bits &= bits - 1;
	for (size_t i = 0; i < n; i++, bits &= bits - 1) {
		while (!bits) {
			if (++word == PFNSET_WORDS) {
				start++;
				word = 0;
			}
			bits = word_of(start->chunk, word);
		}
		out[i] = start->pfn + word * 64 + (uint64_t)__builtin_ctzll(bits);
	}
}

static void free_chunk(void *arg, struct pfnset_chunk *chunk, uint64_t pfn)
{
	(void)arg;
	(void)pfn;
	free(chunk);
}

void pfnset_fini(struct pfnset *set)
{
	for_each_chunk(set, free_chunk, NULL);
	for (size_t top = 0; top < TOPS; top++) {
		free(set->tops[top]);
		atomic_init(&set->tops[top], NULL);
	}
	free(set->starts);
	set->starts = NULL;
	set->starts_n = set->starts_capacity = 0;
}
