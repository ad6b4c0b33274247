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

static void number_chunk(void *arg, struct pfnset_chunk *chunk, uint64_t pfn)
{
	uint64_t *members = arg;

	(void)pfn;
	for (size_t word = 0; word < PFNSET_WORDS; word++) {
		chunk->below[word] = (uint32_t)*members;
		*members += (uint64_t)__builtin_popcountll(word_of(chunk, word));
	}
}

size_t pfnset_number(struct pfnset *set)
{
	uint64_t members = 0;

	for_each_chunk(set, number_chunk, &members);
	return members <= UINT32_MAX ? members : PFNSET_NONE;
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
}
