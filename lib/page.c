/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * page.c - the page word: counting, what is alone, making a chain and falling back from it
 *
 *      COUNT(0) --add--> DIRECT --add--> CHAIN --last chained mapping goes--> COUNT
 *      COUNT(c) ------------add--------> CHAIN
 *      COUNT(0) --add--> NAMED --add linear or locked--> COUNT
 *                              --add chained-----------> CHAIN
 *
 * NAMED is COUNT(1 linear) with the mapping's name, which is forgotten when another comes, and counts as that does.
 *
 * The word changes by compare-and-swap only. In COUNT, NAMED and DIRECT one such step is the whole operation. In CHAIN
 * the counts are in the block's meta word. An element in a claim slot comes and goes in the same step as its count
 * (claim.h). One in another slot takes two steps:
 *
 *      add       count, then slot       an element is always counted, so a chain that counts nothing holds nothing
 *      remove    slot, then count
 *      move      to linear or locked: counts, then slot; the chain may collapse around the slot, which does no harm
 *
 * A move between chained mappings is two steps of any kind, new place, then old place, while the old one's count covers
 * both, so that walks see one of them.
 *
 * A meta that counts no chained mapping is *frozen*: it never changes again. Whoever meets it swings the word to the
 * counts it holds (help_collapse), and the one who succeeds retires the chain: so nobody waits for the thread that
 * froze it. Every other change of meta is a compare-and-swap from a value that is not frozen.
 *
 * A refusal (-ENOENT, -EOVERFLOW) read from the word or from meta may be of a value that is not the newest. A caller
 * that has a mapping counted in that word is never refused wrongly: each value that it can still read counts that
 * mapping, for the others take out no more than their own. That needs no order, being about one word; of slots, which
 * are many, claim.h and rmap_chain_take() say it.
 *
 * mapcount is one load of the word, and in CHAIN one of meta. If the chain was retired between the two, its frozen meta
 * still tells the count of a moment after the first load: linearizable either way.
 *
 * Values of the word recur: a count or an element as good as the one that was read. An address of a block does not,
 * within a section.
 *
 *      label  orders                                                     breaks without it
 *      R1     a block's meta and slots before its link                   readers of the chain see garbage
 *      A1     pairs with R1, R2: what was published with the word is visible
 *      R2     an operation's surroundings before its change of counts    whoever is told RMAP_LAST frees what is in use
 *      A2     pairs with R2: whoever sees a count sees what led to it;    a word that is two claims old passes for the
 *             and whoever sees a claim, or none                           element (claim.h)
 *      R3     the frozen meta before the collapsed word                  a count older than one that was reported
 *      R4     a claim before the element in its slot                     a search acts on a pte that it cannot see yet
 */
#include "chain.h"
#include "claim.h"
#include "compiler.h"
#include "moves.h"
#include "pool.h"
#include "unit.h"

/* Back-off ---------------------------------------------------------------------------------- */

/*
 * A compare-and-swap of the word or of meta was lost to another writer. Whoever tries again at once takes the line from
 * that one, which is about to use it again, and both get little done; after a pause the other has done some operations
 * on a line that it had. The pause is bounded and waits for nothing (G2), and is twice as long each time that one
 * operation loses again.
 */
#define PAUSES_MIN 32u
#define PAUSES_MAX 128u

OUT_OF_LINE static void lost(struct rmap_reserve *reserve)
{
	reserve_count(reserve, STAT_RETRIES, 1);
	for (unsigned i = 0; i < reserve->pauses; i++)
		cpu_relax();
	if (reserve->pauses < PAUSES_MAX)
		reserve->pauses *= 2;
}

/* Of an operation that is more than one compare-and-swap. @raced: that one was lost. */
static inline void begin_pauses(struct rmap_reserve *reserve, bool raced)
{
	reserve->pauses = PAUSES_MIN;
	if (raced)
		lost(reserve);
}

static void operation_begin(struct rmap_reserve *reserve, const struct rmap_page *page)
{
	uint64_t word;

	CHECK_INSIDE(&reserve->map->rcu);
	if (!RMAP_CHECK)
		return;
	CHECK(fetch_add_rlx(&reserve->busy, 1) == 0, "two operations use one reserve at once");
	word = load_rlx(&page->word); /* RLX: nothing is read through it. */
	CHECK(slot_kind(word) != SLOT_LINK || rmap_pool_owns(reserve->map, slot_pointer(word)),
	      "the page belongs to another map than the reserve");
}

static int operation_end(struct rmap_reserve *reserve, int result)
{
	if (RMAP_CHECK)
		fetch_add_rlx(&reserve->busy, -(uint64_t)1);
	return result;
}

/*
 * An add or move has ended, whatever came of it: of those that were promised memory there is one less. Not before, for
 * one that loses a race may need the line again that it had taken, and records of batches want it, too.
 */
static inline int promise_end(struct rmap_reserve *reserve, int result)
{
	reserve->promised--;
	return result;
}

/* Counts ------------------------------------------------------------------------------------ */

/*
 * What change_meta() and the word's compare-and-swaps answer besides events and errors: the word has moved on, look
 * again.
 */
#define AGAIN (-EAGAIN)

/* ... and that no claim slot is free, or none holds the element: look elsewhere. */
#define NO_CLAIM (-EXFULL)

/*
 * What change_meta() does to claims (claim.h): nothing; @entry gets one if there is one, which something counted needs
 * not have; or the one of @entry goes.
 */
enum claiming {
	CLAIM_NONE,
	CLAIM_PUT,
	CLAIM_TAKE,
};

/* What it did: the new meta, and the claim slot that was put to or taken, or CLAIMS. */
struct change {
	uint64_t meta;
	unsigned claim;
};

static inline unsigned claim_for(struct rmap_reserve *reserve, struct block *block, uint64_t meta,
				 enum claiming claiming, uint64_t entry)
{
	const struct rmap *map = reserve->map;

	CHECK_CALLER(claiming != CLAIM_PUT || map->key_low || !rmap_chain_find(reserve, block, slot_payload(entry)),
		     "the pte maps the page already");
	if (claiming == CLAIM_PUT)
		return claim_free(meta);
	return claiming == CLAIM_TAKE && !map->key_low ? claim_find(block, meta, entry) : CLAIMS;
}

/*
 * @minus becomes @plus in a block's meta, which that freezes if no chained mapping is left; and in the same step what
 * @claiming says of @entry. AGAIN: it is frozen.
 */
static ALWAYS_INLINE int change_meta(struct rmap_reserve *reserve, struct block *block, struct unit minus,
				     struct unit plus, enum claiming claiming, uint64_t entry, struct change *change)
{
	uint64_t meta = load_acq(&block->meta); /* A2: pairs with R2. */
	uint64_t after;
	unsigned i;
	int error;

	for (;;) {
		if (count_frozen(meta))
			return AGAIN;
		error = change_counts(meta, minus, plus, &after);
		if (error)
			return error;
		i = claim_for(reserve, block, meta, claiming, entry);
		if (i == CLAIMS && (claiming == CLAIM_TAKE || (claiming == CLAIM_PUT && !plus.amount)))
			return NO_CLAIM;
		if (i < CLAIMS)
			after ^= claiming == CLAIM_PUT ? CLAIM_HELD(i) | CLAIM_PHASE(i) : CLAIM_HELD(i);
		INJECT();
		if (cas_acqrel(&block->meta, &meta, after)) /* R2: pairs with A2. Linearizes the count. */
			break;
		lost(reserve);
	}
	if (claiming == CLAIM_PUT && i < CLAIMS) {
		INJECT();
		store_rel(&block->slots[i], claim_phased(after, i, entry)); /* R4: pairs with A1 of claim.h. */
	}
	*change = (struct change){ after, i };
	/* Between two counts of a living chain nothing but locks is worth telling. */
	if (!count_frozen(after) && ((minus.field | plus.field) & COUNT_LOCKED_ONE) == 0)
		return 0;
	return events(meta, after);
}

/* The word ---------------------------------------------------------------------------------- */

static bool swing(struct rmap_reserve *reserve, struct rmap_page *page, uint64_t old, uint64_t after)
{
	INJECT();
	if (cas_acqrel(&page->word, &old, after)) /* R2: pairs with A1. Linearizes the operation. */
		return true;
	lost(reserve);
	return false;
}

/*
 * Swings the word from a chain whose meta is frozen to the counts it ended with, and retires the chain if it was first.
 */
OUT_OF_LINE static void help_collapse(struct rmap_reserve *reserve, struct rmap_page *page, uint64_t word)
{
	struct block *block = slot_pointer(word);
	/* RLX: the caller has met it frozen, acquiring, or froze it; it stays as it is. */
	uint64_t meta = load_rlx(&block->meta);

	CHECK(count_frozen(meta), "a chain in use is collapsing");
	INJECT();
	if (!cas_acqrel(&page->word, &word, meta & ~COUNT_CLAIMS)) /* R3: pairs with A1. */
		return;
	rmap_chain_retire(reserve, block);
}

/*
 * Replaces the word @old by a chain that has @counts and holds @first and, if not EMPTY, @second. 0, AGAIN or -ENOMEM.
 */
OUT_OF_LINE static int promote(struct rmap_reserve *reserve, struct rmap_page *page, uint64_t old, uint64_t counts,
			       uint64_t first, uint64_t second)
{
	struct block *block = rmap_pool_take_block(reserve);
	unsigned elements = second == SLOT_EMPTY ? 1 : 2;

	if (!block)
		return -ENOMEM;
	/* PRIV: not published until R1. */
	store_rlx(&block->meta, counts | claim_first(elements, reserve->map->key_low));
	store_rlx(&block->slots[0], first);
	store_rlx(&block->slots[1], second);
	store_rlx(&block->slots[2], SLOT_EMPTY);
	/* R1: publishes the block; pairs with A1. */
	if (!swing(reserve, page, old, slot_from_pointer(block, SLOT_LINK))) {
		rmap_pool_put_block(reserve, block);
		return AGAIN;
	}
	reserve_count(reserve, STAT_BLOCKS_MADE, 1);
	reserve_count(reserve, STAT_BYTES_MADE, sizeof(*block));
	return 0;
}

static bool valid(struct rmap_mapping mapping)
{
	if (mapping.kind == RMAP_CHAINED || mapping.kind == RMAP_NAMED)
		return slot_kind(mapping.handle) == 0;
	return (mapping.kind == RMAP_LINEAR || mapping.kind == RMAP_LOCKED) && mapping.count - 1 < RMAP_LINEAR_MAX;
}

/* A direct word less one unit: an element, or no mapping. */
static uint64_t direct_minus_one(const struct rmap *map, uint64_t word)
{
	return (word & map->key_low) ? word - SLOT_ONE : 0;
}

/* Counted only: add, remove, and change between linear and locked --------------------------- */

/* change_counted() for a word that is a direct element or a chain. AGAIN: it is that no longer. */
static inline int change_counted_beside(struct rmap_reserve *reserve, struct rmap_page *page, uint64_t word,
					struct unit minus, struct unit plus)
{
	struct change change;
	uint64_t after;
	int result;

	if (slot_kind(word) == SLOT_ENTRY) {
		result = change_word(reserve->map, word, minus, plus, &after);
		if (!result)
			result = promote(reserve, page, word, after, word, SLOT_EMPTY);
		return result ? result : events(COUNT_CHAINED_ONE, after);
	}
	result = change_meta(reserve, slot_pointer(word), minus, plus, CLAIM_NONE, SLOT_EMPTY, &change);
	if (result == AGAIN)
		help_collapse(reserve, page, word);
	return result;
}

/* @minus becomes @plus, neither chained. */
static inline int change_counted(struct rmap_reserve *reserve, struct rmap_page *page, struct unit minus,
				 struct unit plus)
{
	for (;;) {
		uint64_t word = load_acq(&page->word); /* A1: pairs with R1, R2. */
		uint64_t after;
		int result;

		if (slot_kind(word) == SLOT_EMPTY || slot_kind(word) == SLOT_NAMED) {
			uint64_t counts = word_counts(reserve->map, word);

			CHECK_CALLER(minus.amount || !word || word != plus.alone, "the pte maps the page already");
			result = change_word(reserve->map, word, minus, plus, &after);
			if (result)
				return result;
			if (swing(reserve, page, word, word_of(after, plus)))
				return events(counts, after);
		} else {
			result = change_counted_beside(reserve, page, word, minus, plus);
			if (result != AGAIN)
				return result;
		}
	}
}

/* Chained: add and remove ------------------------------------------------------------------- */

static int chain_one_direct(struct rmap_reserve *reserve, struct rmap_page *page, uint64_t word, uint64_t entry)
{
	uint64_t low = reserve->map->key_low;

	CHECK_CALLER(low || word != entry, "the pte maps the page already");
	if (slot_key(word, low) == slot_key(entry, low) && (word & low) != low)
		return swing(reserve, page, word, word + SLOT_ONE) ? 0 : AGAIN;
	return promote(reserve, page, word, word_counts(reserve->map, word) + COUNT_CHAINED_ONE, word, entry);
}

static int chain_one_counted(struct rmap_reserve *reserve, struct rmap_page *page, uint64_t word, struct unit minus,
			     uint64_t entry)
{
	uint64_t counts = word_counts(reserve->map, word);
	uint64_t after;
	int result = change_word(reserve->map, word, minus, CHAINED_UNIT, &after);

	if (result)
		return result;
	if (after == COUNT_CHAINED_ONE)
		result = swing(reserve, page, word, entry) ? 0 : AGAIN;
	else
		result = promote(reserve, page, word, after, entry, SLOT_EMPTY);
	return result ? result : events(counts, after);
}

/*
 * Puts @entry into @block; @minus becomes @plus, or the caller's count covers it. A claim comes with the count; for
 * other slots the count comes first. Events; AGAIN: the chain is frozen; or an error.
 */
static inline int put(struct rmap_reserve *reserve, struct block *block, struct unit minus, struct unit plus,
		      uint64_t entry)
{
	struct change change;
	int result;
	int error;

	if (!rmap_pool_has_line(reserve))
		return -ENOMEM;
	/* One that no fill was for: from here on the line is its own, and neither a rebuild's nor a record's. */
	if (reserve->promised <= 0)
		reserve->promised = 1;
	result = change_meta(reserve, block, minus, plus, CLAIM_PUT, entry, &change);
	if (result == NO_CLAIM)
		return rmap_chain_insert(reserve, block, entry);
	if (result < 0 || change.claim < CLAIMS)
		return result;
	INJECT();
	error = rmap_chain_insert(reserve, block, entry);
	CHECK(error == 0, "an insert with a filled reserve into a counted chain failed: %d", error);
	(void)error;
	return result;
}

/* @minus, which is counted only or nothing, becomes the chained mapping @entry. */
static int chain_one(struct rmap_reserve *reserve, struct rmap_page *page, struct unit minus, uint64_t entry)
{
	for (;;) {
		uint64_t word = load_acq(&page->word); /* A1: pairs with R1, R2. */
		int result;

		switch (slot_kind(word)) {
		case SLOT_EMPTY:
		case SLOT_NAMED:
			result = chain_one_counted(reserve, page, word, minus, entry);
			break;
		case SLOT_ENTRY:
			result = minus.amount ? -ENOENT : chain_one_direct(reserve, page, word, entry);
			break;
		default:
			result = put(reserve, slot_pointer(word), minus, CHAINED_UNIT, entry);
			if (result == AGAIN)
				help_collapse(reserve, page, word);
		}
		if (result != AGAIN)
			return result;
	}
}

/* Takes @key out of the chain that @word names: a claim with its count, or the slot first. */
static inline int unchain_from_chain(struct rmap_reserve *reserve, struct rmap_page *page, uint64_t word, uint64_t key)
{
	struct block *block = slot_pointer(word);
	struct change change = { 0, CLAIMS };
	int result;

	result = change_meta(reserve, block, CHAINED_UNIT, NO_UNIT, CLAIM_TAKE, key | SLOT_ENTRY, &change);
	if (result == NO_CLAIM) {
		if (!rmap_chain_take(reserve, block, key))
			return -ENOENT;
		INJECT();
		result = change_meta(reserve, block, CHAINED_UNIT, NO_UNIT, CLAIM_NONE, SLOT_EMPTY, &change);
		CHECK(result >= 0, "an element was not counted");
		if (!count_frozen(change.meta) && reserve->thin)
			rmap_chain_shrink(reserve, block, key);
	}
	if (count_frozen(change.meta)) /* by this call, or before: then it is 0 still */
		help_collapse(reserve, page, word);
	return result;
}

static int unchain_one(struct rmap_reserve *reserve, struct rmap_page *page, uint64_t key)
{
	const struct rmap *map = reserve->map;

	for (;;) {
		uint64_t word = load_acq(&page->word); /* A1: pairs with R1, R2. */
		uint64_t after;
		int result;

		switch (slot_kind(word)) {
		case SLOT_EMPTY:
		case SLOT_NAMED:
			return -ENOENT;
		case SLOT_ENTRY:
			if (slot_key(word, map->key_low) != key)
				return -ENOENT;
			after = direct_minus_one(map, word);
			if (swing(reserve, page, word, after))
				return after ? 0 : RMAP_LAST;
			break;
		default:
			result = unchain_from_chain(reserve, page, word, key);
			if (result != AGAIN)
				return result;
		}
	}
}

/* Chained: move ----------------------------------------------------------------------------- */

/*
 * A chained mapping of @key becomes one that is counted only: a claim with its counts in one step. Otherwise counts
 * first: an overflow is refused before anything changes. The chain may then collapse around the element; but where it
 * is in use and the element is gone, somebody else has removed a mapping that was not his (page.h), and it is counted
 * as chained again.
 */
static int uncount_chained(struct rmap_reserve *reserve, struct rmap_page *page, uint64_t word, uint64_t key,
			   struct unit plus)
{
	struct block *block = slot_pointer(word);
	struct change change = { 0, CLAIMS };
	struct change undone;
	int result;

	/* RLX: change_meta() looks again. */
	if (!count_frozen(load_rlx(&block->meta)) && !rmap_chain_find(reserve, block, key))
		return -ENOENT;
	rmap_moves_note(reserve, page); /* first: from the counts on a helper may collapse the chain */
	result = change_meta(reserve, block, CHAINED_UNIT, plus, CLAIM_TAKE, key | SLOT_ENTRY, &change);
	if (result == NO_CLAIM) {
		result = change_meta(reserve, block, CHAINED_UNIT, plus, CLAIM_NONE, SLOT_EMPTY, &change);
		if (result >= 0 && !rmap_chain_take(reserve, block, key) &&
		    change_meta(reserve, block, plus, CHAINED_UNIT, CLAIM_NONE, SLOT_EMPTY, &undone) != AGAIN) {
			CHECK_CALLER(false, "a mapping was removed while its owner moved it");
			return -ENOENT;
		}
		if (result >= 0 && !count_frozen(change.meta) && reserve->thin)
			rmap_chain_shrink(reserve, block, key);
	}
	if (result == AGAIN || (result >= 0 && count_frozen(change.meta)))
		help_collapse(reserve, page, word);
	return result;
}

static int move_to_counted(struct rmap_reserve *reserve, struct rmap_page *page, uint64_t key, struct unit plus)
{
	struct rmap *map = reserve->map;

	for (;;) {
		uint64_t word = load_acq(&page->word); /* A1: pairs with R1, R2. */
		uint64_t after;
		int result;

		switch (slot_kind(word)) {
		case SLOT_EMPTY:
		case SLOT_NAMED:
			return -ENOENT;
		case SLOT_ENTRY:
			if (slot_key(word, map->key_low) != key)
				return -ENOENT;
			after = direct_minus_one(map, word);
			rmap_moves_note(reserve, page);
			if (!after)
				result = swing(reserve, page, word, word_of(plus.amount, plus)) ? 0 : AGAIN;
			else
				result = promote(reserve, page, word, word_counts(map, after) + plus.amount, after,
						 SLOT_EMPTY);
			if (result == 0)
				result = events(COUNT_CHAINED_ONE, plus.amount);
			break;
		default:
			result = uncount_chained(reserve, page, word, key, plus);
		}
		if (result != AGAIN)
			return result;
	}
}

/* Takes @key out of @block, and changes no count. False: there is none, or the chain has collapsed around it. */
static bool take_uncounted(struct rmap_reserve *reserve, struct block *block, uint64_t key)
{
	struct change change;

	if (change_meta(reserve, block, NO_UNIT, NO_UNIT, CLAIM_TAKE, key | SLOT_ENTRY, &change) >= 0)
		return true;
	return rmap_chain_take(reserve, block, key);
}

/*
 * Both elements chained, and @word holds the old one. In one step it holds the new one, or a chain of both if the old
 * one stands for more mappings. A walk looks at what it read later than that, when the old pte may be clear; so the
 * move is written down, when the new word can be read: a walk that begins behind the entry reads no other.
 */
static int move_direct(struct rmap_reserve *reserve, struct rmap_page *page, uint64_t word, uint64_t entry)
{
	const struct rmap *map = reserve->map;
	uint64_t rest = direct_minus_one(map, word);
	int result;

	if (!rest)
		result = swing(reserve, page, word, entry) ? 0 : AGAIN;
	else
		result = promote(reserve, page, word, word_counts(map, word), rest, entry);
	if (result == 0)
		rmap_moves_note(reserve, page);
	return result;
}

/*
 * Both elements chained, in the chain that @word names: the new one is covered by the old one's count until that is
 * taken. For the same reason the chain is not frozen: the caller has a mapping that is counted in it.
 */
static int move_in_chain(struct rmap_reserve *reserve, struct rmap_page *page, uint64_t word, uint64_t key,
			 uint64_t entry)
{
	struct block *block = slot_pointer(word);
	int result;

	if (!rmap_chain_find(reserve, block, key))
		return -ENOENT;
	result = put(reserve, block, NO_UNIT, NO_UNIT, entry);
	if (result == AGAIN)
		help_collapse(reserve, page, word);
	if (result < 0)
		return result;
	rmap_moves_note(reserve, page);
	if (take_uncounted(reserve, block, key))
		return 0;
	/* The caller had no such mapping. If this take finds nothing, the chain has collapsed around @entry. */
	take_uncounted(reserve, block, slot_key(entry, reserve->map->key_low));
	return -ENOENT;
}

static int move_chained(struct rmap_reserve *reserve, struct rmap_page *page, uint64_t key, uint64_t entry)
{
	struct rmap *map = reserve->map;

	for (;;) {
		uint64_t word = load_acq(&page->word); /* A1: pairs with R1, R2. */
		int result;

		switch (slot_kind(word)) {
		case SLOT_EMPTY:
		case SLOT_NAMED:
			return -ENOENT;
		case SLOT_ENTRY:
			if (slot_key(word, map->key_low) != key)
				return -ENOENT;
			if (slot_key(entry, map->key_low) == key)
				return 0;
			result = move_direct(reserve, page, word, entry);
			break;
		default:
			if (slot_key(entry, map->key_low) == key)
				return rmap_chain_find(reserve, slot_pointer(word), key) ? 0 : -ENOENT;
			result = move_in_chain(reserve, page, word, key, entry);
		}
		if (result != AGAIN)
			return result;
	}
}

/* The public operations --------------------------------------------------------------------- */

/* @raced: another writer was faster just now. */
OUT_OF_LINE static int add_one(struct rmap_reserve *reserve, struct rmap_page *page, struct rmap_mapping mapping,
			       bool raced)
{
	begin_pauses(reserve, raced);
	if (mapping.kind == RMAP_CHAINED)
		return chain_one(reserve, page, NO_UNIT, entry_of(reserve->map, mapping));
	return change_counted(reserve, page, NO_UNIT, unit_of(reserve->map, mapping));
}

OUT_OF_LINE static int remove_one(struct rmap_reserve *reserve, struct rmap_page *page, struct rmap_mapping mapping,
				  bool raced)
{
	begin_pauses(reserve, raced);
	if (mapping.kind == RMAP_CHAINED)
		return unchain_one(reserve, page, slot_key(mapping.handle, reserve->map->key_low));
	return change_counted(reserve, page, unit_of(reserve->map, mapping), NO_UNIT);
}

/* The first try where @word names a chain. */
OUT_OF_LINE static int add_to_chain(struct rmap_reserve *reserve, struct rmap_page *page, struct rmap_mapping mapping,
				    uint64_t word)
{
	int result;

	begin_pauses(reserve, false);
	result = put(reserve, slot_pointer(word), NO_UNIT, CHAINED_UNIT, entry_of(reserve->map, mapping));
	return result == AGAIN ? add_one(reserve, page, mapping, false) : result;
}

OUT_OF_LINE static int remove_from_chain(struct rmap_reserve *reserve, struct rmap_page *page,
					 struct rmap_mapping mapping, uint64_t word)
{
	int result;

	begin_pauses(reserve, false);
	result = unchain_from_chain(reserve, page, word, slot_key(mapping.handle, reserve->map->key_low));
	return result == AGAIN ? remove_one(reserve, page, mapping, false) : result;
}

/*
 * One compare-and-swap of a word that is no chain, for a mapping alone and for linear mappings, which such a word
 * counts in its uppermost field; all else, and what comes after a lost one, is out of line.
 */
static inline int add(struct rmap_reserve *reserve, struct rmap_page *page, struct rmap_mapping mapping)
{
	uint64_t word = load_acq(&page->word); /* A1: pairs with R1, R2. */
	uint64_t linear = rmap_mapping_count(mapping) * COUNT_LINEAR_ONE;
	uint64_t after = alone(reserve->map, mapping);

	if (word != 0 || !after) {
		if (mapping.kind == RMAP_CHAINED && slot_kind(word) == SLOT_LINK)
			return add_to_chain(reserve, page, mapping, word);
		if (!is_linear(mapping) || slot_kind(word) != SLOT_EMPTY || word + linear >= COUNT_CHAINED_ONE)
			return add_one(reserve, page, mapping, false);
		after = word + linear;
	}
	if (!cas_acqrel(&page->word, &word, after)) /* R2: pairs with A1. */
		return add_one(reserve, page, mapping, true);
	return word == 0 ? RMAP_FIRST : 0;
}

static inline int take(struct rmap_reserve *reserve, struct rmap_page *page, struct rmap_mapping mapping)
{
	uint64_t word = load_acq(&page->word); /* A1: pairs with R1, R2. */
	uint64_t linear = rmap_mapping_count(mapping) * COUNT_LINEAR_ONE;
	uint64_t after = 0;

	if (word == 0 || word != alone(reserve->map, mapping)) {
		if (mapping.kind == RMAP_CHAINED && slot_kind(word) == SLOT_LINK)
			return remove_from_chain(reserve, page, mapping, word);
		if (!is_linear(mapping) || slot_kind(word) != SLOT_EMPTY || word < linear)
			return remove_one(reserve, page, mapping, false);
		after = word - linear;
	}
	if (!cas_acqrel(&page->word, &word, after)) /* R2: pairs with A1. */
		return remove_one(reserve, page, mapping, true);
	return after == 0 ? RMAP_LAST : 0;
}

int rmap_page_add(struct rmap_reserve *reserve, struct rmap_page *page, struct rmap_mapping mapping)
{
	if (!valid(mapping))
		return -EINVAL;
	operation_begin(reserve, page);
	return operation_end(reserve, promise_end(reserve, add(reserve, page, mapping)));
}

int rmap_page_remove(struct rmap_reserve *reserve, struct rmap_page *page, struct rmap_mapping mapping)
{
	if (!valid(mapping))
		return -EINVAL;
	operation_begin(reserve, page);
	return operation_end(reserve, take(reserve, page, mapping));
}

/* A locked mapping had no place, so a walk may have passed its new one (walk.c has the argument for linear ones). */
static int unit_to_chained(struct rmap_reserve *reserve, struct rmap_page *page, struct rmap_mapping from,
			   uint64_t entry)
{
	int result = chain_one(reserve, page, unit_of(reserve->map, from), entry);

	if (from.kind == RMAP_LOCKED && result >= 0)
		rmap_moves_note(reserve, page);
	return result;
}

int rmap_page_move(struct rmap_reserve *reserve, struct rmap_page *page, struct rmap_mapping from,
		   struct rmap_mapping to)
{
	const struct rmap *map = reserve->map;
	bool crosses = (from.kind == RMAP_CHAINED) != (to.kind == RMAP_CHAINED);
	int result;

	if (!valid(from) || !valid(to) || rmap_mapping_count(from) != rmap_mapping_count(to))
		return -EINVAL;
	operation_begin(reserve, page);
	begin_pauses(reserve, false);
	if (crosses)
		rmap_crossing_begin(reserve->map, page);
	if (from.kind != RMAP_CHAINED && to.kind != RMAP_CHAINED)
		result = change_counted(reserve, page, unit_of(map, from), unit_of(map, to));
	else if (from.kind != RMAP_CHAINED)
		result = unit_to_chained(reserve, page, from, entry_of(map, to));
	else if (to.kind != RMAP_CHAINED)
		result = move_to_counted(reserve, page, slot_key(from.handle, map->key_low), unit_of(map, to));
	else
		result = move_chained(reserve, page, slot_key(from.handle, map->key_low), entry_of(map, to));
	if (crosses)
		rmap_crossing_end(reserve->map, page);
	if (is_linear(from) && is_linear(to) && result >= 0)
		rmap_moves_note(reserve, page); /* to another pte or range: a walk looks at one after the other */
	return operation_end(reserve, promise_end(reserve, result));
}

int rmap_page_duplicate(struct rmap_reserve *reserve, struct rmap_page *page, struct rmap_mapping child)
{
	return rmap_page_mapcount(reserve->map, page) ? rmap_page_add(reserve, page, child) : -ENOENT;
}

/*
 * How far a batch fetches ahead: the words of so many operations, and the blocks of half as many; and where these are
 * of one page, whose leaves a core's own cache may not hold, the lines of the leaves.
 */
#define BATCH_AHEAD 8u
#define LONG_CHAIN 8192u

/* Of the chain that @word names. @same: its page comes several times, so that the block is here. */
OUT_OF_LINE static void fetch_chain(const struct rmap *map, uint64_t word, struct rmap_mapping mapping, bool same)
{
	struct block *block = slot_pointer(word);

	__builtin_prefetch(block, 1);
	if (same && count_chained(load_rlx(&block->meta)) > LONG_CHAIN) /* RLX: whether it is worth it. */
		rmap_chain_fetch(map, block, slot_key(mapping.handle, map->key_low));
}

static inline void fetch_ahead(const struct rmap *map, struct rmap_page *const *pages,
			       const struct rmap_mapping *mappings, size_t i, size_t n)
{
	uint64_t word;

	if (i + BATCH_AHEAD < n)
		__builtin_prefetch(&pages[i + BATCH_AHEAD]->word, 1);
	if (i + BATCH_AHEAD / 2 >= n)
		return;
	word = load_acq(&pages[i + BATCH_AHEAD / 2]->word); /* A1: pairs with R1. */
	if (slot_kind(word) == SLOT_LINK)
		fetch_chain(map, word, mappings[i + BATCH_AHEAD / 2], pages[i + BATCH_AHEAD / 2] == pages[i]);
}

typedef int (*page_operation)(struct rmap_reserve *reserve, struct rmap_page *page, struct rmap_mapping mapping);

static inline size_t batch(page_operation operation, struct rmap_reserve *reserve, struct rmap_page *const *pages,
			   const struct rmap_mapping *mappings, int *events_out, size_t n, int *error)
{
	int result = 0;
	size_t i;

	for (i = 0; i < n; i++) {
		fetch_ahead(reserve->map, pages, mappings, i, n);
		result = operation(reserve, pages[i], mappings[i]);
		if (result < 0)
			break;
		if (events_out)
			events_out[i] = result;
	}
	if (error)
		*error = result < 0 ? result : 0;
	return i;
}

size_t rmap_page_add_batch(struct rmap_reserve *reserve, struct rmap_page *const *pages,
			   const struct rmap_mapping *mappings, int *events_out, size_t n, int *error)
{
	return batch(rmap_page_add, reserve, pages, mappings, events_out, n, error);
}

size_t rmap_page_remove_batch(struct rmap_reserve *reserve, struct rmap_page *const *pages,
			      const struct rmap_mapping *mappings, int *events_out, size_t n, int *error)
{
	return batch(rmap_page_remove, reserve, pages, mappings, events_out, n, error);
}

/* Looking ----------------------------------------------------------------------------------- */

/* All counts of one moment, in count layout; wait-free. */
static uint64_t read_counts(const struct rmap *map, const struct rmap_page *page)
{
	uint64_t word = load_acq(&page->word); /* A1: pairs with R1, R2, R3. */

	CHECK_INSIDE(&map->rcu);
	if (slot_kind(word) != SLOT_LINK)
		return word_counts(map, word);
	return load_acq(&((const struct block *)slot_pointer(word))->meta); /* A2: pairs with R2. */
}

uint32_t rmap_page_mapcount(const struct rmap *map, const struct rmap_page *page)
{
	return count_all(read_counts(map, page));
}

struct rmap_counts rmap_page_counts(const struct rmap *map, const struct rmap_page *page)
{
	uint64_t counts = read_counts(map, page);
	struct rmap_counts result = { count_chained(counts), count_linear(counts), count_locked(counts) };

	return result;
}

uint32_t rmap_page_drop(struct rmap_reserve *reserve, struct rmap_page *page)
{
	uint32_t mappings;
	uint64_t word;

	operation_begin(reserve, page);
	mappings = rmap_page_mapcount(reserve->map, page);
	word = exchange_acqrel(&page->word, 0); /* R2: pairs with A1. The caller keeps other writers away. */
	if (slot_kind(word) == SLOT_LINK)
		rmap_chain_retire(reserve, slot_pointer(word));
	operation_end(reserve, 0);
	return mappings;
}

int rmap_page_check(const struct rmap *map, const struct rmap_page *page, struct rmap_shape *shape)
{
	struct rmap_shape unwanted;
	uint64_t word = load_rlx(&page->word); /* RLX: quiescent */
	struct block *block = slot_pointer(word);
	uint64_t meta;

	CHECK_INSIDE(&map->rcu);
	if (!shape)
		shape = &unwanted;
	*shape = (struct rmap_shape){ .bytes = sizeof(*page) };
	switch (slot_kind(word)) {
	case SLOT_EMPTY:
		return count_chained(word) == 0 && !(word & COUNT_CLAIMS) ? 0 : -EINVAL;
	case SLOT_NAMED:
		return map->key_low ? -EINVAL : 0;
	case SLOT_ENTRY:
		shape->elements = 1;
		return 0;
	case SLOT_LINK:
		meta = load_rlx(&block->meta); /* RLX: quiescent */
		if (count_frozen(meta)) {
			env_complain("rmap: a quiescent chain has meta %#llx\n", (unsigned long long)meta);
			return -EINVAL;
		}
		return rmap_chain_check(map, block, meta, shape);
	default:
		env_complain("rmap: a page word has an unknown kind: %#llx\n", (unsigned long long)word);
		return -EINVAL;
	}
}
