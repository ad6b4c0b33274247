/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * shrink.c - emptying and popping segments that a chain no longer needs
 *
 * When a remover finds that the elements would fit well below the newest segment, it *closes* that segment: it seals
 * slot 0, which becomes the closing word (segment.h). From then on each remover, and each adder that meets it, empties
 * two lines of it, until all slots are sealed and the segment is popped. An entry moves to an older segment or, in
 * a map with multiplicity, to slot 0 or 1 of the first block, that is, further on in the order in which everyone searches:
 *
 *      step                                original, in the closing segment     copy, further on
 *      1  mark                             ENTRY(v)   -> MOVING(v)              EMPTY
 *      2  place                            MOVING(v)                            EMPTY -> REF(original)
 *      3  commit                           MOVING(v)  -> COMMITTED(v)           REF(original)
 *      4  finish (anyone helps)            COMMITTED(v)                         REF(original) -> ENTRY(v)
 *      5  seal                             COMMITTED(v) -> SEALED               ENTRY(v)
 *
 *      no room at 2:                       MOVING(v)  -> ENTRY(v)
 *      taken between 1 and 3:              MOVING(v)  -> DEAD                   then REF -> EMPTY, and DEAD -> SEALED
 *
 * DEAD and SEALED are two kinds because SEALED says that the mover is through: in slot 0 it makes the closing word, and
 * in any slot it counts for the pop. A taker only says that the mapping is gone.
 *
 * At every moment exactly one word is the mapping's truth: the original until it commits, the copy from then on.
 * Removers and adders of a unit adjust the truth, so no mapping is taken twice and none is lost; a copy whose original
 * is dead stands for nothing, so it can be no ghost. The original is a fit descriptor of the move because it is used
 * once: a slot of a closing segment never receives an entry again after it was sealed, and its memory outlives every
 * section that can hold a REF to it.
 *
 * Why no search misses the entry. A search reads the original before the copy. It acts on ENTRY and MOVING. If it reads
 * COMMITTED or SEALED, step 2 is behind it (A5) and the copy is there to be found. If it comes to the copy and the
 * original is still MOVING, it has seen the original as ENTRY or MOVING before, and acted.
 *
 * Who may race. Movers of one slot: the compare-and-swap of step 1 picks one; the others leave the slot alone. Only
 * that mover does steps 2, 3 and 5. If it stops for ever the segment stays linked; nobody waits for it, and memory
 * could not be freed in any case while it is in its section. Retirement of the whole chain: each step is a
 * compare-and-swap that fails on a retired slot, or lands in memory that nobody will look at.
 *
 *      label  orders                                                   breaks without it
 *      R4     sealed slots (moves finished) before the closing word    a pop unlinks entries without visible copies
 *      A4     pairs with R4: the popper saw all of them
 *      R5     a copy before the original's commit                      a search passes COMMITTED and finds no copy
 *      A5     pairs with R5, R6 and R3 of pool.c: a search that skips the original finds the copy
 *      R6     a finished copy before the original's seal               SEALED original, copy seems unfinished
 *      R7     the mark before the copy's REF                           a reader of REF sees a plain entry
 *      A7     pairs with R7: the original is MOVING or later
 *      R9     what the entry's adder did, handed on to the copy        as R2 of chain.c, for the copy
 *      A9     pairs with R2 (chain.c): the mover saw what it hands on
 *      A10    pairs with R3 of chain.c: who seals the slot that a mapping moved away from (mremap), and so keeps walks
 *             from looking there, has seen where it went
 *      R8     all moves of a segment before it is unlinked             a search that starts below misses entries
 *      A8     pairs with R8: slot 2 without the segment comes with the copies
 */
#include "chain.h"
#include "claim.h"
#include "pool.h"
#include "segment.h"

/* The segments below must be able to hold what is left at this load, in eighths: then two lines a key have room. */
#define SHRINK_LOAD 6u

/*
 * Lines that one remover empties. If the chain holds less than half of that load, a mover was preempted with an entry
 * in its hands while others removed, and there may be no more removers to come: then as many as the whole chain has,
 * which is work that those removes have left undone. But only until all lines of the segment have been claimed
 * SHRINK_ROUNDS times: what is left then finds no room further on, and is tried two lines a remove.
 */
#define SHRINK_LINES 2u
#define SHRINK_ROUNDS 2u

/*
 * In chains of more elements than SHRINK_SHORT, one in so many removes of a thread looks whether to close the newest
 * segment.
 */
#define SHRINK_SHORT 16u
#define SHRINK_EVERY 8u

uint64_t *rmap_slot_truth(uint64_t *slot, uint64_t *word)
{
	for (;;) {
		uint64_t ref = *word = load_acq(slot); /* A7: pairs with R7. A11: pairs with R3 of chain.c. */
		uint64_t *original;

		if (slot_kind(ref) == SLOT_ENTRY || slot_kind(ref) == SLOT_MOVING)
			return slot;
		if (slot_kind(ref) != SLOT_REF)
			return NULL;
		original = slot_pointer(ref);
		/* A5: pairs with R5, R6, and R3 of pool.c. A11: pairs with R3 of chain.c. */
		*word = load_acq(original);
		switch (slot_kind(*word)) {
		case SLOT_MOVING:
			return original;
		case SLOT_COMMITTED:
			INJECT();
			/* R9: step 4, by a helper. A REF to this original stands here once, so this cannot be late. */
			cas_acqrel(slot, &ref, slot_with_kind(*word, SLOT_ENTRY));
			break;
		case SLOT_SEALED:
			/*
			 * Step 4 is done, so @slot has changed; or the chain was retired around the mover.
			 * RLX: A5 has acquired step 4.
			 */
			if (load_rlx(slot) == ref)
				return NULL;
			break;
		default:
			return NULL; /* DEAD */
		}
	}
}

void rmap_segment_retire(struct rmap_reserve *reserve, struct segment *segment)
{
	reserve_count(reserve, STAT_SEGMENTS_RETIRED, 1);
	/* RLX: ordered by whatever led to @segment. */
	reserve_count(reserve, STAT_BYTES_RETIRED, segment_bytes(segment_class(load_rlx(&segment->header))));
	rmap_pool_retire_segment(reserve, segment);
}

/* Step 2. NULL: no room further on. @low is the map's key_low. */
static uint64_t *place_copy(struct block *block, struct segment *segment, uint64_t hash, uint64_t low, uint64_t ref)
{
	/* RLX: ordered by the acquire load that led to @segment. */
	struct segment *older = segment_next(load_rlx(&segment->header));
	uint64_t *copy;

	for (; older; older = segment_next(load_rlx(&older->header))) {
		if (rmap_segment_is_closing(older))
			continue;
		copy = rmap_segment_place(older, hash, ref); /* R7: pairs with A7. */
		if (copy)
			return copy;
	}
	return low ? rmap_block_place(block, ref) : NULL; /* R7: pairs with A7. */
}

/* No room: back to ENTRY. True: it was taken meanwhile, and its slot is now @seal. */
static bool unmark(uint64_t *slot, uint64_t seal)
{
	uint64_t word = load_rlx(slot); /* RLX: only the compare-and-swap trusts it. */

	while (slot_kind(word) == SLOT_MOVING)
		/* RLX: what its adder released stays so, and the mover has done nothing to it. */
		if (cas_rlx(slot, &word, slot_with_kind(word, SLOT_ENTRY)))
			return false;
	return slot_kind(word) == SLOT_DEAD && cas_acqrel(slot, &word, seal); /* A10: pairs with R3. */
}

/* Steps 2 to 5 for @slot, which this mover has marked; @word was its ENTRY. True: the slot is now @seal. */
static bool move_entry(struct rmap_reserve *reserve, struct block *block, struct segment *segment, uint64_t *slot,
		       uint64_t word, uint64_t seal)
{
	uint64_t low = reserve->map->key_low;
	uint64_t hash = segment_hash(slot_key(word, low));
	uint64_t ref = slot_from_pointer(slot, SLOT_REF);
	uint64_t *copy;
	uint64_t unfinished = ref;

	INJECT();
	copy = place_copy(block, segment, hash, low, ref);
	if (!copy)
		return unmark(slot, seal);
	INJECT();
	word = load_rlx(slot); /* RLX: only the compare-and-swap trusts it. */
	while (slot_kind(word) == SLOT_MOVING)
		/* R5: pairs with A5: the copy is the truth from here on. A9: pairs with R2 of chain.c. */
		if (cas_acqrel(slot, &word, slot_with_kind(word, SLOT_COMMITTED))) {
			word = slot_with_kind(word, SLOT_COMMITTED);
			break;
		}
	INJECT();
	if (slot_kind(word) == SLOT_COMMITTED) {
		/* R9: step 4, if no helper was faster; pairs with A3 of chain.c. */
		cas_acqrel(copy, &unfinished, slot_with_kind(word, SLOT_ENTRY));
		reserve_count(reserve, STAT_ENTRIES_MOVED, 1);
	} else if (slot_kind(word) == SLOT_DEAD) {
		/* RLX: what the slot's last taker released stays so; the copy stood for nothing. */
		cas_rlx(copy, &unfinished, SLOT_EMPTY);
	} else {
		return false; /* the chain was retired around us */
	}
	INJECT();
	return cas_acqrel(slot, &word, seal); /* R6: pairs with A5. */
}

/*
 * Empties and seals one slot. True: this call sealed it. False: it is sealed, in another mover's hands, or finds no
 * room.
 */
static bool evacuate_slot(struct rmap_reserve *reserve, struct block *block, struct segment *segment, uint64_t *slot,
			  uint64_t seal)
{
	uint64_t word = load_rlx(slot); /* RLX: only the compare-and-swap trusts it. */

	for (;;) {
		if (slot_kind(word) == SLOT_EMPTY) {
			if (cas_acqrel(slot, &word, seal)) /* A10: pairs with R3. */
				return true;
		} else if (slot_kind(word) == SLOT_ENTRY) {
			/* RLX: step 1. R7 publishes it with the copy; the commit acquires what is handed on (A9). */
			if (cas_rlx(slot, &word, slot_with_kind(word, SLOT_MOVING)))
				return move_entry(reserve, block, segment, slot, word, seal);
		} else {
			return false;
		}
	}
}

/* Takes segments that are sealed throughout off the top. */
static void pop_sealed(struct rmap_reserve *reserve, struct block *block)
{
	for (;;) {
		uint64_t link = load_acq(&block->slots[BLOCK_LINK]); /* A1: pairs with R1 of chain.c. */
		struct segment *segment = slot_pointer(link);
		struct segment *below;
		uint64_t next;

		if (slot_kind(link) != SLOT_LINK || !rmap_segment_is_sealed(segment))
			return;
		below = segment_next(load_rlx(&segment->header)); /* RLX: ordered by A1. */
		next = below ? slot_from_pointer(below, SLOT_LINK) : SLOT_EMPTY;
		INJECT();
		/* R8: pairs with A8. */
		if (cas_acqrel(&block->slots[BLOCK_LINK], &link, next)) {
			reserve_count(reserve, STAT_POPS, 1);
			rmap_segment_retire(reserve, segment);
		}
	}
}

/*
 * Claims the next line to empty, of @lines; after the last the first again, for what found no room. How many were
 * claimed before, where the rounds after SHRINK_ROUNDS all count as the next one.
 */
static uint64_t claim_line(struct segment *segment, uint64_t lines)
{
	uint64_t word = load_rlx(&segment->slots[0]); /* RLX: only the compare-and-swap trusts it. */
	uint64_t claimed;

	do {
		claimed = closing_claimed(word);
		if (claimed == (SHRINK_ROUNDS + 1) * lines)
			claimed = SHRINK_ROUNDS * lines;
		/* RLX: a claim orders nothing, and the releases of counts before it stay in effect. */
	} while (!cas_rlx(&segment->slots[0], &word, word % CLOSING_CLAIMED_ONE + (claimed + 1) * CLOSING_CLAIMED_ONE));
	return claimed;
}

/* Empties the next line of @segment. True: it was one of the first SHRINK_ROUNDS rounds. */
static bool evacuate_line(struct rmap_reserve *reserve, struct block *block, struct segment *segment)
{
	uint64_t lines = segment_lines(segment_class(load_rlx(&segment->header))); /* RLX: fixed. */
	uint64_t claimed = claim_line(segment, lines);
	uint64_t line = claimed % lines;
	uint64_t *slots = &segment->header + line * LINE_SLOTS;
	uint64_t sealed = 0;

	/* In the first line the header and the closing word stay. */
	for (unsigned i = line == 0 ? 2 : 0; i < LINE_SLOTS; i++)
		sealed += evacuate_slot(reserve, block, segment, &slots[i], SLOT_SEALED);
	if (sealed)
		fetch_add_acqrel(&segment->slots[0], sealed * CLOSING_SEALED_ONE); /* R4: pairs with A4. */
	return claimed < SHRINK_ROUNDS * lines;
}

/* Begins to close @segment: empties slot 0, which becomes the closing word and counts itself. False: it could not. */
static bool close_segment(struct rmap_reserve *reserve, struct block *block, struct segment *segment)
{
	return evacuate_slot(reserve, block, segment, &segment->slots[0], SLOT_SEALED | CLOSING_SEALED_ONE);
}

void rmap_chain_drain(struct rmap_reserve *reserve, struct block *block)
{
	for (unsigned i = 0; i < SHRINK_LINES; i++) {
		uint64_t link = load_acq(&block->slots[BLOCK_LINK]); /* A8: pairs with R8. */

		if (slot_kind(link) != SLOT_LINK || !rmap_segment_is_closing(slot_pointer(link)))
			return;
		evacuate_line(reserve, block, slot_pointer(link));
		pop_sealed(reserve, block);
	}
}

/*
 * What there is below the newest segment.
 * @fit:        how many elements the open segments there may be left to hold
 * @unfinished: a closing segment that is not sealed throughout, at the top or below; NULL: there is none
 */
struct survey {
	uint64_t fit;
	struct segment *unfinished;
};

static struct survey survey_segments(struct segment *newest, uint64_t low)
{
	struct survey survey = { 0, NULL };
	uint64_t slots = low ? BLOCK_LINK : 0;

	for (struct segment *segment = newest; segment;) {
		uint64_t header = load_rlx(&segment->header); /* RLX: ordered by A1. */

		if (!rmap_segment_is_closing(segment))
			slots += segment == newest ? 0 : segment_slots(header);
		else if (!rmap_segment_is_sealed(segment) && !survey.unfinished)
			survey.unfinished = segment;
		segment = segment_next(header);
	}
	survey.fit = slots * SHRINK_LOAD / 8;
	return survey;
}

/*
 * At most one segment is being emptied at a time: a closing one that a push has covered is finished first. It is popped
 * after what covers it; until then the lines it has are no longer counted as room.
 */
void rmap_chain_shrink(struct rmap_reserve *reserve, struct block *block)
{
	uint64_t lines = SHRINK_LINES;

	for (uint64_t i = 0; i < lines; i++) {
		uint64_t link = load_acq(&block->slots[BLOCK_LINK]); /* A8: pairs with R8. */
		/* RLX: a figure; read anew each time, for others may remove much while this thread is preempted. */
		uint64_t meta = load_rlx(&block->meta);
		uint64_t chained = count_chained(meta);
		struct segment *newest = slot_pointer(link);
		struct survey survey;

		if (slot_kind(link) != SLOT_LINK)
			return;
		if (!reserve->map->key_low)
			chained -= chained < claim_count(meta) ? chained : claim_count(meta);
		if (i == 0 && chained > SHRINK_SHORT && ++reserve->removes % SHRINK_EVERY != 0 &&
		    !rmap_segment_is_closing(newest))
			return;
		survey = survey_segments(newest, reserve->map->key_low);
		if (!survey.unfinished) {
			if (chained > survey.fit || !close_segment(reserve, block, newest))
				return;
			survey.unfinished = newest;
		}
		if (!evacuate_line(reserve, block, survey.unfinished))
			lines = SHRINK_LINES;
		else if (chained < survey.fit / 2 && lines == SHRINK_LINES)
			lines += survey.fit / 4;
		pop_sealed(reserve, block);
	}
}
