/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * leaf.h - what a place of a chain leads to: leaves, overflow lines, branches and plans; what chain.c and scan.c see of
 * leaf.c
 *
 * A place is slot 2 of a first block or a word of a branch. What it leads to holds the elements whose hashes begin with
 * the bits that lead there:
 *
 *      leaf      lines of slots. An element is in the first of the LEAF_WINDOW lines from its own one on that had room
 *      over      a line that was put on top of a leaf that had no room; its first word is the LINK below
 *      branch    BRANCH_WORDS places, picked by the next bits of the hash
 *      plan      the place is being rebuilt; what it led to is below
 */
#ifndef RMAP_LIB_LEAF_H
#define RMAP_LIB_LEAF_H

#include "compiler.h"
#include "map.h"
#include "slab.h"

/* A bijection, so that only equal keys have one hash; the factor is odd and nobody else knows it. */
static inline uint64_t key_hash(const struct rmap *map, uint64_t key)
{
	uint64_t hash = (key ^ map->hash_seed) * map->hash_factor;

	hash = (hash ^ hash >> 32) * 0xD6E8FEB86659FD93u;
	return hash ^ hash >> 32;
}

/* Which word of a branch at @level. */
static inline unsigned hash_child(uint64_t hash, unsigned level)
{
	return hash >> (64 - BRANCH_BITS * (level + 1)) & (BRANCH_WORDS - 1);
}

/* Which of @lines lines comes first. */
static inline unsigned hash_line(uint64_t hash, unsigned lines)
{
	return (unsigned)((uint64_t)(uint32_t)hash * lines >> 32);
}

/*
 * What is under the lines of overflow of @link, no plan. RLX: fixed, and ordered by the acquire load that led to @link.
 */
static inline uint64_t leaf_under(uint64_t link)
{
	while (link_form(link) == FORM_OVER)
		link = load_rlx(link_memory(link));
	return link;
}

static inline unsigned leaf_window(uint64_t link)
{
	unsigned lines = link_lines(link);

	return lines < LEAF_WINDOW || link_form(link) > FORM_SPILLED ? lines : LEAF_WINDOW;
}

/*
 * struct place - where a hash leads
 * @word:   slot 2 of the block, or a word of a branch at depth @level
 * @value:  what it held: kind LINK to a leaf, overflow lines, or a plan for those; another kind only at level 0
 * @parent: the word that leads to the branch; @branch: what it held
 */
struct place {
	uint64_t *word;
	uint64_t value;
	uint64_t *parent;
	uint64_t branch;
	unsigned level;
};

/* What is below a plan, or @link itself. */
static inline uint64_t link_below(uint64_t link)
{
	if (link_form(link) != FORM_PLAN)
		return link;
	/* RLX: fixed, and ordered by the acquire load that led to the plan. */
	return load_rlx(&((const struct plan *)link_memory(link))->below);
}

static inline bool link_is_merge(uint64_t link)
{
	return link_form(link) == FORM_PLAN && link_form(link_below(link)) == FORM_BRANCH;
}

/* Finishes what the plan in @place, or what took its place, began. Lock-free; needs no memory. */
void rmap_leaf_help(struct rmap_reserve *reserve, const struct place *place);

/* What the place of @hash in @block leads to, as far as branches go: for those who need no more than a leaf. */
static inline uint64_t leaf_link(const struct block *block, uint64_t hash)
{
	uint64_t link = load_acq(&block->slots[BLOCK_LINK]); /* A1: as in leaf_find(). */

	for (unsigned level = 0; slot_kind(link) == SLOT_LINK && link_form(link) == FORM_BRANCH; level++)
		link = load_acq(link_memory(link) + hash_child(hash, level)); /* A1: likewise. */
	return link;
}

/* Is it a leaf, and nothing on top of it? */
static inline bool link_is_leaf(uint64_t link)
{
	return slot_kind(link) == SLOT_LINK && link_lines(link) != 0;
}

/* Finds the place of @hash in @block. A branch on the way that is being merged is merged first. Lock-free. */
static inline struct place leaf_find(struct rmap_reserve *reserve, struct block *block, uint64_t hash)
{
	struct place place = { .word = &block->slots[BLOCK_LINK] };

	for (;;) {
		place.value = load_acq(place.word); /* A1: pairs with R1 of chain.c, R1, R2 of leaf.c. */
		if (slot_kind(place.value) == SLOT_LINK && link_form(place.value) == FORM_BRANCH) {
			place.parent = place.word;
			place.branch = place.value;
			place.word = link_memory(place.value) + hash_child(hash, place.level++);
		} else if (slot_kind(place.value) == (SLOT_LINK | SLOT_FROZEN)) {
			/* A word of a branch that is being merged, or of a chain that has ended: slot 2 tells. */
			place = (struct place){ .word = &block->slots[BLOCK_LINK] };
		} else if (slot_kind(place.value) == SLOT_LINK && link_is_merge(place.value)) {
			rmap_leaf_help(reserve, &place);
		} else {
			return place;
		}
	}
}

/* The lines of overflow and of the leaf under a LINK, one by one. */
struct line_walk {
	uint64_t link;
	uint64_t *line;
	unsigned left;
};

/* The next line's slots, *@n of them; NULL: there is none. */
static inline uint64_t *next_line(struct line_walk *walk, unsigned *n)
{
	uint64_t *line;

	if (walk->left == 0) {
		if (!walk->link)
			return NULL;
		line = link_memory(walk->link);
		if (link_form(walk->link) == FORM_OVER) {
			walk->link = load_rlx(line); /* RLX: fixed, and ordered as above. */
			*n = OVER_SLOTS;
			return line + 1;
		}
		walk->line = line;
		walk->left = link_lines(walk->link);
		walk->link = 0;
	}
	line = walk->line;
	walk->line += LINE_SLOTS;
	walk->left--;
	*n = LEAF_SLOTS;
	return line;
}

static inline struct line_walk walk_lines(uint64_t link)
{
	return (struct line_walk){ link_below(link), NULL, 0 };
}

/* How many of @n slots hold an element. RLX: a hint. */
static inline unsigned line_entries(const uint64_t *slots, unsigned n)
{
	unsigned entries = 0;

	UNROLLED
	for (unsigned i = 0; i < n; i++)
		entries += slot_kind(load_rlx(&slots[i])) == SLOT_ENTRY;
	return entries;
}

/*
 * How many lines all leaves of @branch have; 0: something else is among what it leads to. RLX: the caller has acquired
 * them.
 */
static inline unsigned branch_lines(const uint64_t *branch)
{
	unsigned lines = 0;

	for (unsigned i = 0; i < BRANCH_WORDS; i++) {
		unsigned leaf = link_lines(load_rlx(&branch[i]));

		if (!leaf)
			return 0;
		lines += leaf;
	}
	return lines;
}

/* Is the branch below a plan merged into one leaf, once its words are frozen? Otherwise it is copied as it is. */
static inline bool plan_merges(const struct plan *plan)
{
	unsigned lines = branch_lines(link_memory(plan->below));

	return lines && lines <= link_lines(plan->into);
}

/*
 * An add found no room in @place: rebuilds it larger, or makes a branch of it. True: it did so, or was overtaken: look
 * again.
 * False: there is no memory for that, or it would not help.
 */
bool rmap_leaf_grow(struct rmap_reserve *reserve, struct place *place);

/*
 * A remove left few elements in a line of @place: merges its branch, if it may and there are few enough, or rebuilds it
 * smaller, or takes an empty top off. True: it was a merge, after which there may be too much yet.
 */
bool rmap_leaf_shrink(struct rmap_reserve *reserve, struct place *place, bool may_merge);

/* The figures of what @link leads to, for a chain that has ended: no late step of another changes them any more. */
struct extent {
	uint64_t pieces;
	uint64_t bytes;
};

void rmap_leaf_seal(uint64_t link, struct extent *extent);

/* Hands all that becomes free with @block, but for itself, to @sink. Nobody else can read it. */
void rmap_leaf_each_behind(struct block *block, piece_sink sink, void *arg);

static inline void reserve_made(struct rmap_reserve *reserve, uint64_t pieces, uint64_t bytes)
{
	reserve_count(reserve, STAT_PIECES_MADE, pieces);
	reserve_count(reserve, STAT_BYTES_MADE, bytes);
}

static inline void reserve_unmade(struct rmap_reserve *reserve, uint64_t pieces, uint64_t bytes)
{
	reserve_count(reserve, STAT_PIECES_RETIRED, pieces);
	reserve_count(reserve, STAT_BYTES_RETIRED, bytes);
}

#endif
