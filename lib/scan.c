/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * scan.c - gathering all elements of a chain, and verifying a quiescent one
 *
 * A scan reads slot 2 and what it leads to, place by place in the order of hashes, then slots 0 and 1. An element that
 * stays is in the leaf that its place leads to when the scan reads that, or HELD below a plan; and what is frozen stays
 * as it was. So a scan meets every element that is there from its beginning to its end, and helps nobody.
 *
 * It gathers words. A place that has no more slots than there is room for is gathered whole, in any order: a slot costs
 * a load, a store and an addition, and no branch depends on what is in it. Of a larger one the elements with the least
 * hashes come first, and each time all its slots are read.
 *
 * So what has been gathered is named by a hash, and a scan can go on in another read-side section: which place a hash
 * belongs to changes with each rebuild, but not its order. Elements of one hash have one key: of these it is remembered
 * how many units were gathered, and as many are passed over, which are as good as those. Whether the whole chain was
 * replaced does not matter either: then no mapping was there all the time.
 *
 *      label  orders                                     breaks without it
 *      A1     pairs with R1 (chain.c), R1, R2 (leaf.c)   the scan follows garbage
 *      A2     pairs with R2 (page.c)                     a word that is two claims old is visited (claim.h)
 *      A3     pairs with R2 (chain.c)                    the visitor acts on a pte that it cannot see yet
 *      A11    pairs with R3 (chain.c), R3 (pool.c)       the walk passes what a move left, and misses its note
 */
#include "chain.h"
#include "claim.h"
#include "leaf.h"

/*
 * struct part - what one place leads to
 * @link:         leaf or overflow; 0: nothing, the chain has ended
 * @first, @last: the hashes that belong there
 */
struct part {
	uint64_t link;
	uint64_t first;
	uint64_t last;
};

/* The part that @hash belongs to. */
static struct part part_of(const struct block *block, uint64_t hash)
{
	const uint64_t *word = &block->slots[BLOCK_LINK];
	struct part part = { 0, 0, UINT64_MAX };

	for (unsigned level = 0;; level++) {
		uint64_t link = load_acq(word); /* A1: pairs with R1, R2. */

		if ((slot_kind(link) | SLOT_FROZEN) != (SLOT_LINK | SLOT_FROZEN))
			return part;
		link = link_below(link);
		if (link_form(link) != FORM_BRANCH) {
			part.link = link;
			return part;
		}
		word = link_memory(link) + hash_child(hash, level);
		part.last = hash | UINT64_MAX >> BRANCH_BITS * (level + 1);
		part.first = part.last & ~(UINT64_MAX >> BRANCH_BITS * (level + 1));
	}
}

/* How many slots @link leads to; more than @room: too many. */
static size_t part_slots(uint64_t link, size_t room)
{
	size_t slots = 0;

	for (; link_form(link) == FORM_OVER && slots <= room; link = load_rlx(link_memory(link))) /* RLX: fixed. */
		slots += OVER_SLOTS;
	return slots + link_lines(link) * LEAF_SLOTS;
}

/*
 * Elements of one key, which multiplicity makes, are read in the order in which they are searched (chain.c): a unit may
 * come to a later one and another be taken from an earlier one meanwhile. A search begins with the key's own line and
 * goes on at the leaf's first one; so what wraps around like that is read in a second pass over the leaf.
 */
static inline unsigned passes(const struct rmap *map)
{
	return map->key_low ? 2 : 1;
}

/* In which pass an element of @hash in @slots, a line of @leaf or one on top of it, is read. */
static inline unsigned pass_of(const struct rmap *map, uint64_t leaf, const uint64_t *slots, uint64_t hash)
{
	uintptr_t line = ((uintptr_t)slots - (uintptr_t)link_memory(leaf)) / LINE_BYTES;
	unsigned lines = link_lines(leaf);

	return map->key_low && line < lines && hash_line(hash, lines) > line;
}

/* Stores the elements of a line behind @n words, without a branch. How many there are now. */
static inline size_t gather_line(const uint64_t *slots, unsigned count, uint64_t *words, size_t n)
{
	for (unsigned i = 0; i < count; i++) {
		uint64_t word = load_acq(&slots[i]); /* A3: pairs with R2. A11: pairs with R3. */

		words[n] = word & ~SLOT_FROZEN;
		n += word & SLOT_ENTRY; /* in a leaf a bit of these kinds alone: ENTRY, HELD */
	}
	return n;
}

/* The same of a line of @leaf, or on top of it, where elements may share a key: those of one pass. */
static size_t gather_pass(const struct rmap *map, uint64_t leaf, unsigned pass, const uint64_t *slots, unsigned count,
			  uint64_t *words, size_t n)
{
	for (unsigned i = 0; i < count; i++) {
		uint64_t word = load_acq(&slots[i]); /* A3: pairs with R2. A11: pairs with R3. */

		words[n] = word & ~SLOT_FROZEN;
		n += (word & SLOT_ENTRY) &&
		     pass_of(map, leaf, slots, key_hash(map, slot_key(word, map->key_low))) == pass;
	}
	return n;
}

/* Stores all elements that @link leads to behind @n words. How many there are now. */
static size_t gather_whole(const struct rmap *map, uint64_t link, uint64_t *words, size_t n)
{
	uint64_t leaf = leaf_under(link);

	for (unsigned pass = 0; pass < passes(map); pass++) {
		struct line_walk walk = walk_lines(link);
		uint64_t *slots;
		unsigned count;

		while ((slots = next_line(&walk, &count))) {
			INJECT();
			if (map->key_low)
				n = gather_pass(map, leaf, pass, slots, count, words, n);
			else
				n = gather_line(slots, count, words, n);
		}
	}
	return n;
}

/* So many elements are put in order at a time. */
#define CHUNK (RMAP_CHECK ? 3u : 16u)

/*
 * The @n elements of a part that come next in the order of hashes, @room at most; equal hashes as they come
 * @cut: there are more
 */
struct chunk {
	struct {
		uint64_t hash;
		uint64_t entry;
	} items[CHUNK];
	size_t n;
	size_t room;
	bool cut;
};

static void chunk_add(struct chunk *chunk, uint64_t hash, uint64_t entry)
{
	size_t i = chunk->n;

	chunk->cut |= chunk->n == chunk->room;
	if (chunk->n == chunk->room && chunk->items[--i].hash <= hash)
		return;
	chunk->n += chunk->n < chunk->room;
	for (; i > 0 && chunk->items[i - 1].hash > hash; i--)
		chunk->items[i] = chunk->items[i - 1];
	chunk->items[i].hash = hash;
	chunk->items[i].entry = entry;
}

/*
 * Collects from a line of @part those elements of one pass that come after @position; *@passed: units of its hash until
 * there.
 */
static void collect_line(const struct rmap *map, const struct chain_position *position, uint64_t leaf, unsigned pass,
			 const uint64_t *slots, unsigned n, uint32_t *passed, struct chunk *chunk)
{
	for (unsigned i = 0; i < n; i++) {
		uint64_t word = load_acq(&slots[i]); /* A3: pairs with R2. A11: pairs with R3. */
		uint64_t hash;

		if (!(word & SLOT_ENTRY))
			continue;
		hash = key_hash(map, slot_key(word, map->key_low));
		if (hash < position->hash || pass_of(map, leaf, slots, hash) != pass)
			continue;
		if (hash == position->hash) {
			*passed += slot_multiplicity(word, map->key_low);
			if (*passed <= position->units)
				continue;
		}
		chunk_add(chunk, hash, word & ~SLOT_FROZEN);
	}
}

/* Collects from @link what comes after @position. */
static void collect(const struct rmap *map, uint64_t link, const struct chain_position *position, struct chunk *chunk)
{
	uint64_t leaf = leaf_under(link);
	uint32_t passed = 0;

	for (unsigned pass = 0; pass < passes(map); pass++) {
		struct line_walk walk = walk_lines(link);
		uint64_t *slots;
		unsigned n;

		while ((slots = next_line(&walk, &n))) {
			INJECT();
			collect_line(map, position, leaf, pass, slots, n, &passed, chunk);
		}
	}
}

/* The same in the order of hashes from *@position on, which goes with them. *@cut: there are more. */
static size_t gather_next(const struct rmap *map, const struct part *part, struct chain_position *position,
			  uint64_t *words, size_t n, size_t room, bool *cut)
{
	struct chunk chunk = { .room = room - n < CHUNK ? room - n : CHUNK };

	collect(map, part->link, position, &chunk);
	for (size_t i = 0; i < chunk.n; i++) {
		if (position->hash != chunk.items[i].hash)
			position->units = 0;
		position->hash = chunk.items[i].hash;
		position->units += slot_multiplicity(chunk.items[i].entry, map->key_low);
		words[n++] = chunk.items[i].entry;
	}
	*cut = chunk.cut;
	return n;
}

/* What slot 2 leads to. */
static size_t gather_parts(const struct rmap *map, struct block *block, struct chain_position *position,
			   uint64_t *words, size_t n, size_t room)
{
	while (position->depth > 0 && n < room) {
		struct part part = part_of(block, position->hash);
		/* Each pass may find something in each slot. */
		size_t most = part.link ? part_slots(part.link, room) * passes(map) : 0;
		bool whole = position->hash == part.first && position->units == 0 && most <= room;
		bool cut = false;

		if (whole && most > room - n)
			return n;
		if (part.link && whole)
			n = gather_whole(map, part.link, words, n);
		else if (part.link)
			n = gather_next(map, &part, position, words, n, room, &cut);
		if (!cut)
			*position = (struct chain_position){ part.last + 1, part.last != UINT64_MAX, 0 };
	}
	return n;
}

/* Slot 2, from the start on. */
static size_t gather_link(struct block *block, struct chain_position *position, uint64_t *words)
{
	uint64_t link = load_acq(&block->slots[BLOCK_LINK]); /* A3: pairs with R2. A11: pairs with R3. */

	/* An element there came by an add. A scan that is past its start need not visit it. */
	*position = (struct chain_position){ 0, slot_kind(link) == SLOT_LINK, 0 };
	words[0] = link;
	return slot_kind(link) == SLOT_ENTRY;
}

size_t rmap_chain_gather(const struct rmap *map, struct block *block, struct chain_position *position, uint64_t *words,
			 size_t room)
{
	size_t n = 0;
	uint64_t meta;

	if (position->depth == CHAIN_START.depth)
		n = gather_link(block, position, words);
	n = gather_parts(map, block, position, words, n, room);
	if (position->depth > 0)
		return n;
	meta = load_acq(&block->meta); /* A2: pairs with R2 of page.c. */
	for (; position->units < CLAIMS && n < room; position->units++) {
		uint64_t word = claim_read(block, meta, position->units);

		INJECT();
		words[n] = word;
		n += slot_kind(word) == SLOT_ENTRY;
	}
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
	const struct rmap *map;
	uint64_t chained;
	struct rmap_shape *shape;
};

static int check_slot(uint64_t word, struct tally *tally)
{
	HOLDS(slot_kind(word) == SLOT_EMPTY || slot_kind(word) == SLOT_ENTRY || slot_kind(word) == SLOT_VACANT ||
	      word == (SLOT_EMPTY | SLOT_FROZEN) || word == (SLOT_VACANT | SLOT_FROZEN));
	tally->shape->slots++;
	if (slot_kind(word) != SLOT_ENTRY)
		return 0;
	tally->shape->elements++;
	tally->chained += slot_multiplicity(word, tally->map->key_low);
	return 0;
}

/* Is line @at one of those where @entry may be in the leaf, and were all lines before it full once? */
static bool belongs(const struct rmap *map, uint64_t leaf, unsigned at, uint64_t entry)
{
	unsigned lines = link_lines(leaf);
	unsigned line = hash_line(key_hash(map, slot_key(entry, map->key_low)), lines);

	for (unsigned left = leaf_window(leaf); left > 0; left--) {
		const uint64_t *slots = link_memory(leaf) + (size_t)line * LINE_SLOTS;

		if (line == at)
			return true;
		if (link_form(leaf) < FORM_SPILLED &&
		    load_rlx(&slots[LEAF_SLOTS - 1]) == SLOT_EMPTY) /* RLX: quiescent */
			return false;
		line = line + 1 == lines ? 0 : line + 1;
	}
	return false;
}

/* Are the elements of the leaf under @link where a search finds them? */
static int check_leaf(uint64_t link, const struct tally *tally)
{
	link = leaf_under(link);
	for (unsigned i = 0; i < link_lines(link) * LEAF_SLOTS; i++) {
		uint64_t word = load_rlx(link_memory(link) + i / LEAF_SLOTS * LINE_SLOTS + i % LEAF_SLOTS);

		if (slot_kind(word) == SLOT_ENTRY)
			HOLDS(belongs(tally->map, link, i / LEAF_SLOTS, word));
	}
	return 0;
}

/* @hash, @bits: with which bits the hashes of all elements begin. */
static int check_link(uint64_t link, uint64_t hash, unsigned bits, struct tally *tally)
{
	const struct rmap *map = tally->map;
	struct line_walk walk = walk_lines(link);
	uint64_t *slots;
	unsigned n;

	HOLDS(slot_kind(link) == SLOT_LINK && link_form(link) != FORM_PLAN && link_form(link) != FORM_BLOCK);
	tally->shape->pieces++;
	if (link_form(link) == FORM_BRANCH) {
		tally->shape->bytes += (uint64_t)BRANCH_LINES * LINE_BYTES;
		for (uint64_t i = 0; i < BRANCH_WORDS; i++)
			if (check_link(load_rlx(link_memory(link) + i), hash << BRANCH_BITS | i, bits + BRANCH_BITS,
				       tally))
				return -EINVAL;
		return 0;
	}
	for (uint64_t over = link; link_form(over) == FORM_OVER; over = load_rlx(link_memory(over)))
		tally->shape->pieces++;
	while ((slots = next_line(&walk, &n))) {
		tally->shape->bytes += LINE_BYTES;
		for (unsigned i = 0; i < n; i++) {
			uint64_t word = load_rlx(&slots[i]); /* RLX: quiescent */

			if (check_slot(word, tally))
				return -EINVAL;
			if (slot_kind(word) == SLOT_ENTRY && bits)
				HOLDS(key_hash(map, slot_key(word, map->key_low)) >> (64 - bits) == hash);
		}
	}
	return check_leaf(link, tally);
}

int rmap_chain_check(const struct rmap *map, struct block *block, uint64_t meta, struct rmap_shape *shape)
{
	struct tally tally = { map, 0, shape };
	uint64_t link = load_rlx(&block->slots[BLOCK_LINK]); /* RLX: quiescent */

	shape->bytes += sizeof(*block);
	HOLDS(!map->key_low || (claim_count(meta) == CLAIMS && !(meta & (CLAIM_PHASE(0) | CLAIM_PHASE(1)))));
	for (unsigned i = 0; i < CLAIMS; i++) {
		uint64_t word = claim_read(block, meta, i);

		HOLDS(map->key_low || !(meta & CLAIM_HELD(i)) || slot_kind(word) == SLOT_ENTRY);
		if (check_slot(word, &tally))
			return -EINVAL;
	}
	if (slot_kind(link) == SLOT_LINK ? check_link(link, 0, 0, &tally) : check_slot(link, &tally))
		return -EINVAL;
	HOLDS(tally.chained == count_chained(meta));
	return 0;
}
