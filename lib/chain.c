/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * chain.c - elements in a first block and in hashed segments: insert, take, grow
 *
 * Layout and kinds are in slot.h, shrinking in shrink.c. An element's key picks a line in each segment; the element may
 * live there or in the line that pairs with it (line ^ 1), in any segment, or in the first block. Everyone searches in
 * one order:
 *
 *      slot 2 of the first block: an element, or the segments from newest to oldest, the even line of a pair
 *      before the odd one, slot by slot; then, in maps with multiplicity, slots 0 and 1
 *
 * (slots 0 and 1 of plain maps are claimed and found by claim.h: nothing moves between them and these), and nothing ever
 * moves against that order, so a search that meets no element has not been overtaken by it:
 *   - growing moves nothing, except that slot 2's element is copied into the first segment, and the one
 *     compare-and-swap that links the segment removes it from slot 2;
 *   - shrinking moves elements to older segments, and with multiplicity to slots 0 and 1 (shrink.c).
 *
 * What is linked where, and who may write it:
 *   - slot: anyone, by compare-and-swap;
 *   - slot 2 as LINK: pushing (to a newer segment), popping (to the next older one), and rmap_chain_retire(), which
 *     takes the list out by exchange: so each segment is unlinked by exactly one of these, and that one retires it;
 *   - header: nobody after publication. Segments form a stack, and only its top is unlinked.
 *
 * Values recur (a handle is removed and added again), addresses do not: a block or segment is not reused within a
 * section that has seen it. So a compare-and-swap from an element to nothing takes an equal element, which is as good;
 * from LINK it meets the very segment it read; and from slot 2's element to the LINK it replaces an equal of the copy.
 *
 *      label  orders                                                     breaks without it
 *      R1     a segment's header and slots before its link               readers follow garbage
 *      A1     pairs with R1: a search reads them
 *      A2     pairs with R1: as A1, when a compare-and-swap of slot 2 found another link
 *      R2     an adder's work before its element, and the count          a walker acts on a pte that it cannot see yet
 *      A3     pairs with R2: a search reads the element
 *      A4     pairs with R2 of page.c: a search sees claims, and what led to them (claim.h)
 *      R3     a taker's work before the slot is empty                    the slot's next user is ahead of the taker
 *      A11    pairs with R3, and with R2 of what R3's taker had seen:    a remover passes further places by what they
 *             who finds nothing at a place has seen what led to that     held long ago, and misses its own mapping
 *
 * A11 costs nothing on x86, where each load is one. On aarch64 a line is searched by up to eight ldar in a row, which
 * do not overlap.
 */
#include "chain.h"
#include "claim.h"
#include "pool.h"
#include "segment.h"

/*
 * What one slot says about @key, or does to it. ADJUST_TAKE takes one unit, ADJUST_MERGE adds one if there is room,
 * ADJUST_FIND only looks.
 */
enum adjust {
	ADJUST_TAKE,
	ADJUST_MERGE,
	ADJUST_FIND,
};

/* The word that replaces @word, an ENTRY or MOVING of the wanted key; @word itself if it cannot be adjusted. */
static inline uint64_t adjusted(uint64_t word, uint64_t low, enum adjust adjust)
{
	if (adjust == ADJUST_MERGE)
		return (word & low) == low ? word : word + SLOT_ONE;
	if (word & low)
		return word - SLOT_ONE;
	return slot_kind(word) == SLOT_MOVING ? SLOT_DEAD : SLOT_EMPTY;
}

/* The rarer kinds, out of line. True: done, as slot_adjust() says. */
static bool slot_adjust_moving(uint64_t *slot, uint64_t key, uint64_t low, enum adjust adjust);

/* True: the slot held an element of @key and it has been adjusted. Lock-free: a retry follows another's success. */
static inline bool slot_adjust(uint64_t *slot, uint64_t key, uint64_t low, enum adjust adjust)
{
	uint64_t word = load_acq(slot); /* A3: pairs with R2. A11: pairs with R3. */

	while (slot_kind(word) == SLOT_ENTRY) {
		uint64_t desired;

		if (slot_key(word, low) != key)
			return false;
		if (adjust == ADJUST_FIND)
			return true;
		desired = adjusted(word, low, adjust);
		if (desired == word)
			return false;
		INJECT();
		if (cas_acqrel(slot, &word, desired)) /* R3: pairs with A3, and with R2 of the slot's next user. */
			return true;
	}
	if (slot_kind(word) == SLOT_MOVING || slot_kind(word) == SLOT_REF)
		return slot_adjust_moving(slot, key, low, adjust);
	return false;
}

static bool slot_adjust_moving(uint64_t *slot, uint64_t key, uint64_t low, enum adjust adjust)
{
	for (;;) {
		uint64_t word;
		uint64_t *truth = rmap_slot_truth(slot, &word);
		uint64_t desired;

		if (!truth || slot_key(word, low) != key)
			return false;
		if (adjust == ADJUST_FIND)
			return true;
		desired = adjusted(word, low, adjust);
		if (desired == word)
			return false;
		INJECT();
		if (cas_acqrel(truth, &word, desired)) /* R3: as above; the mover meets the change when it commits. */
			return true;
	}
}

/*
 * The slots of one line of @segment, in order. The first loop knows only entries; as soon as it has passed a rarer
 * kind, and from the first candidate on, the second takes the slots one by one: a place counts as passed only when all
 * before it have been (see rmap_chain_take()).
 */
static inline bool line_adjust(struct segment *segment, uint64_t line, uint64_t key, uint64_t low, enum adjust adjust)
{
	uint64_t *slots = &segment->header + line * LINE_SLOTS;
	unsigned first = line == 0; /* slot 0 of line 0 is the header */
	uint64_t met = 0;
	unsigned i;

	for (i = first; i < LINE_SLOTS; i++) {
		uint64_t word = load_acq(&slots[i]); /* A11: pairs with R3. A candidate is read anew (A3). */

		if ((word & ~low) == (key | SLOT_ENTRY))
			break;
		met |= word;
	}
	if (met & RARE_KINDS)
		i = first;
	for (; i < LINE_SLOTS; i++)
		if (slot_adjust(&slots[i], key, low, adjust))
			return true;
	return false;
}

/* All segments under @link, newest first. */
static inline bool segments_adjust(uint64_t link, uint64_t key, uint64_t low, enum adjust adjust)
{
	uint64_t hash = segment_hash(key);
	struct segment *segment = slot_pointer(link);

	while (segment) {
		uint64_t header = load_rlx(&segment->header); /* RLX: ordered by A1, fixed since R1. */
		uint64_t line = segment_line(header, hash) & ~(uint64_t)1;

		if (line_adjust(segment, line, key, low, adjust))
			return true;
		if (segment_class(header) > 0 && line_adjust(segment, line + 1, key, low, adjust))
			return true;
		segment = segment_next(header);
	}
	return false;
}

/* One pass over the places where @key may live, in search order. */
static inline __attribute__((always_inline)) bool chain_adjust(struct block *block, uint64_t key, uint64_t low,
							       enum adjust adjust)
{
	uint64_t link = load_acq(&block->slots[BLOCK_LINK]); /* A1: pairs with R1. */

	if (slot_kind(link) == SLOT_ENTRY) {
		if (slot_adjust(&block->slots[BLOCK_LINK], key, low, adjust))
			return true;
		link = load_acq(&block->slots[BLOCK_LINK]); /* A1: it may have become a link meanwhile. */
	}
	if (slot_kind(link) == SLOT_LINK && segments_adjust(link, key, low, adjust))
		return true;
	if (!low)
		return false;
	INJECT();
	return slot_adjust(&block->slots[0], key, low, adjust) || slot_adjust(&block->slots[1], key, low, adjust);
}

/*
 * One pass is exact: a caller whose mapping is in the chain finds a unit of its key, also where several elements have
 * that key, others add and take units of it meanwhile, and loads see stores in no common order.
 *
 * Let K be any set of steps that holds, with each step, all that happened before it. For each place P in search order
 * let U(P) be the units that were added at P or further on, less those taken there, and R(P) the callers that own a
 * unit, have passed all places before P, and have taken none; counting steps of K only. Then U(P) >= R(P), always:
 *   - at the first place, for each caller owns a unit whose add happened before its search, and takes only one;
 *   - otherwise take the smallest K, and its first P, for which it fails, and let Q be the place before P. The last
 *     steps of K, which no step of K follows, are passes of Q, for K without any other last step would fail as well: an
 *     add raises U(P) or nothing, a take at P or further on lowers both sides, another step lowers neither. A pass of Q
 *     has acquired all that was done at Q up to what it read (A11; each step there is a compare-and-swap, so R2 and R3
 *     reach down the row of them), and whoever read the newest of that found no unit there. So in K as much was taken
 *     at Q as was added, U(P) = U(Q) >= R(Q) >= R(P), and it does not fail.
 * Behind the last place there is no unit, so no owner passes that place.
 *
 * A move by shrinking is a unit that leaves a place for one further on, in one step, the commit (A5 tells both places),
 * and so lowers no U. A new segment lies before what callers have read of slot 2: they have passed its places, empty,
 * by that read. All that this needs is one order for all, place by place, and that who finds nothing acquires.
 */
bool rmap_chain_take(struct rmap_reserve *reserve, struct block *block, uint64_t key)
{
	uint64_t low = reserve->map->key_low;

	if (low == 0) /* the same, for the compiler to leave multiplicity out */
		return chain_adjust(block, key, 0, ADJUST_TAKE);
	return chain_adjust(block, key, low, ADJUST_TAKE);
}

bool rmap_chain_find(const struct rmap *map, struct block *block, uint64_t key)
{
	/* A4: pairs with R2 of page.c. */
	if (!map->key_low && claim_find(block, load_acq(&block->meta), key | SLOT_ENTRY) < CLAIMS)
		return true;
	return chain_adjust(block, key, map->key_low, ADJUST_FIND);
}

/* Insert ------------------------------------------------------------------------------------ */

/* Puts @word into an EMPTY slot of the line. NULL: there is none. */
static inline uint64_t *line_place(struct segment *segment, uint64_t line, uint64_t word)
{
	uint64_t *slots = &segment->header + line * LINE_SLOTS;

	for (unsigned i = line == 0; i < LINE_SLOTS; i++) {
		/*
		 * RLX: a hint; the compare-and-swap revalidates an empty slot. A stale full one costs a look elsewhere,
		 * at worst a segment: a caller that finds no room has one in hand, or leaves its element where it is.
		 */
		uint64_t empty = load_rlx(&slots[i]);

		if (empty != SLOT_EMPTY)
			continue;
		INJECT();
		if (cas_acqrel(&slots[i], &empty, word)) /* R2: pairs with A3. */
			return &slots[i];
	}
	return NULL;
}

uint64_t *rmap_segment_place(struct segment *segment, uint64_t hash, uint64_t word)
{
	uint64_t header = load_rlx(&segment->header); /* RLX: ordered by A1 where @segment was read. */
	uint64_t line = segment_line(header, hash);
	uint64_t *slot = line_place(segment, line, word);

	if (!slot && segment_class(header) > 0)
		slot = line_place(segment, line ^ 1, word);
	return slot;
}

uint64_t *rmap_block_place(struct block *block, uint64_t word)
{
	for (unsigned i = 0; i < BLOCK_LINK; i++) {
		uint64_t empty = load_rlx(&block->slots[i]); /* RLX: a hint, as in line_place(). */

		if (empty == SLOT_EMPTY && cas_acqrel(&block->slots[i], &empty, word)) /* R2: pairs with A3. */
			return &block->slots[i];
	}
	return NULL;
}

/*
 * The class to grow by: the largest that adds at most 2/5 to the open lines there are. That much keeps segments few
 * and, with two lines to choose from, memory below 12 bytes an element on average and 16 at worst (docs/design.md has
 * the measurements). If those lines are not half full, the key's own lines are, with elements of one key or of one
 * hash: they get a single line.
 */
static unsigned next_class(const struct block *block, const struct segment *newest)
{
	uint64_t chained = count_chained(load_rlx(&block->meta)); /* RLX: a figure */
	uint64_t lines = 0;
	unsigned class = 0;

	for (; newest; newest = segment_next(load_rlx(&newest->header))) /* RLX: ordered by A1. */
		if (!rmap_segment_is_closing(newest))
			lines += segment_lines(segment_class(load_rlx(&newest->header)));
	if (chained * 2 < lines * LINE_SLOTS)
		return 0;
	while (class + 1 < SEGMENT_CLASSES && segment_lines(class + 1) * 5 <= lines * 2)
		class += 1;
	return class;
}

/*
 * Links a new segment that holds @entry on top of @link, slot 2's word; if that is an element, the segment holds a copy
 * of it. A top segment that is sealed throughout is left out, which unlinks it. 0; -EAGAIN: slot 2 has changed, look
 * again; -ENOMEM.
 */
static int push_segment(struct rmap_reserve *reserve, struct block *block, uint64_t link, uint64_t entry)
{
	struct segment *newest = slot_kind(link) == SLOT_LINK ? slot_pointer(link) : NULL;
	bool replace = newest && rmap_segment_is_sealed(newest);
	/* RLX: ordered by A1. */
	struct segment *below = replace ? segment_next(load_rlx(&newest->header)) : newest;
	uint64_t low = reserve->map->key_low;
	unsigned wanted = next_class(block, below);
	unsigned class = wanted;
	struct segment *segment = rmap_pool_take_segment(reserve, &class);
	uint64_t *placed[2] = { NULL, NULL };

	if (!segment)
		return -ENOMEM;
	store_rlx(&segment->header, (uintptr_t)below | class); /* PRIV: not published until R1. */
	placed[0] = rmap_segment_place(segment, segment_hash(slot_key(entry, low)), entry);
	if (slot_kind(link) == SLOT_ENTRY)
		placed[1] = rmap_segment_place(segment, segment_hash(slot_key(link, low)), link);
	INJECT();
	/* R1: publishes header and slots; pairs with A1, A2. Linearizes the insert. */
	if (cas_acqrel(&block->slots[BLOCK_LINK], &link, slot_from_pointer(segment, SLOT_LINK))) {
		reserve_count(reserve, STAT_PUSHES, 1);
		reserve_count(reserve, STAT_SEGMENTS_MADE, 1);
		reserve_count(reserve, STAT_BYTES_MADE, segment_bytes(class));
		if (replace)
			rmap_segment_retire(reserve, newest);
		reserve->wish = class == wanted ? 0 : wanted; /* another was faster, or none had been prepared */
		return 0;
	}
	reserve_count(reserve, STAT_RETRIES, 1);
	for (unsigned i = 0; i < 2; i++)
		if (placed[i])
			store_rlx(placed[i], SLOT_EMPTY); /* PRIV */
	store_rlx(&segment->header, class);               /* PRIV */
	rmap_pool_put_segment(reserve, segment);
	return -EAGAIN;
}

/* Tries the segments under @link. True: placed. Remembers in the reserve that a larger segment would be welcome. */
static bool place_in_segments(struct rmap_reserve *reserve, struct block *block, uint64_t link, uint64_t entry)
{
	uint64_t hash = segment_hash(slot_key(entry, reserve->map->key_low));
	struct segment *newest = slot_pointer(link);
	struct segment *segment = newest;

	while (segment) {
		if (!rmap_segment_is_closing(segment) && rmap_segment_place(segment, hash, entry))
			return true;
		if (segment == newest && !reserve->wish)
			reserve->wish = next_class(block, newest);
		segment = segment_next(load_rlx(&segment->header)); /* RLX: ordered by A1. */
	}
	return false;
}

int rmap_chain_insert(struct rmap_reserve *reserve, struct block *block, uint64_t entry)
{
	uint64_t low = reserve->map->key_low;
	int error;

	if (low && (chain_adjust(block, slot_key(entry, low), low, ADJUST_MERGE) || rmap_block_place(block, entry)))
		return 0;
	for (;;) {
		uint64_t link = load_acq(&block->slots[BLOCK_LINK]); /* A2: pairs with R1. */

		switch (slot_kind(link)) {
		case SLOT_EMPTY:
			if (cas_acqrel(&block->slots[BLOCK_LINK], &link, entry)) /* R2: pairs with A3. */
				return 0;
			break;
		case SLOT_LINK:
			/* Before the room below is used up that the entries of a closing segment need. */
			if (rmap_segment_is_closing(slot_pointer(link)))
				rmap_chain_drain(reserve, block);
			if (place_in_segments(reserve, block, link, entry))
				return 0;
			error = push_segment(reserve, block, link, entry);
			if (error != -EAGAIN)
				return error;
			break;
		case SLOT_ENTRY:
			error = push_segment(reserve, block, link, entry);
			if (error != -EAGAIN)
				return error;
			break;
		default:
			return -ENOENT; /* retired: nothing in it is counted */
		}
	}
}

/* End --------------------------------------------------------------------------------------- */

void rmap_chain_retire(struct rmap_reserve *reserve, struct block *block)
{
	/*
	 * R3: pairs with A11 of scan.c: who finds slot 2 SEALED has seen the note of the move that emptied the chain around its
	 * element. The exchange takes the list from pops and pushes that are late.
	 */
	uint64_t link = exchange_acqrel(&block->slots[BLOCK_LINK], SLOT_SEALED);
	struct segment *segment = slot_kind(link) == SLOT_LINK ? slot_pointer(link) : NULL;

	while (segment) {
		/* Read before retiring overwrites nothing of it; RLX: ordered by A1. */
		struct segment *next = segment_next(load_rlx(&segment->header));

		rmap_segment_retire(reserve, segment);
		segment = next;
	}
	reserve_count(reserve, STAT_BLOCKS_RETIRED, 1);
	reserve_count(reserve, STAT_BYTES_RETIRED, sizeof(*block));
	rmap_pool_retire_block(reserve, block);
}
