/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * chain.c - elements in a first block and in the leaves behind it: insert, take, end
 *
 * Layout and kinds are in slot.h, how leaves are rebuilt in leaf.c. Slot 2 of the first block is an element, or leads
 * to a leaf or to a tree of branches with leaves. A key's hash picks the leaf, and in it a line; the element is in that
 * line or, if it was full, in one of the next few; or, if those were full and no memory to rebuild the leaf was there,
 * in a line of overflow on top of it. Everyone searches in one order:
 *
 *      slot 2 of the first block: an element, or what it leads to: overflow from the top, then the leaf, line by
 *      line from the key's own one on; then, in maps with multiplicity, slots 0 and 1
 *
 * (Slots 0 and 1 of plain maps are claimed and found by claim.h: nothing moves between them and these.)
 *
 * A slot of a leaf that was used is never EMPTY again but VACANT, and adds and copies take the first free slot. So a
 * search ends at the first line whose last slot is EMPTY: when that was read, after all others of the line, no element
 * had been put past it.
 *
 * Elements move from a leaf to its copy only, by leaf.c, and are HELD in the leaf from before the copy is read until
 * nobody can read the leaf. A search that meets its own key HELD helps and begins again; it passes over all else that
 * is frozen.
 *
 * What is linked where, and who may write it:
 *   - slot: anyone, by compare-and-swap, until it is frozen
 *   - slot 2 as LINK, and words of branches: a push (a line on top), a plan, the swing to its copy, or past what is
 *     empty (slot
 *     2 then to EMPTY); rmap_chain_retire(), which takes slot 2 by exchange and freezes the words of branches
 *
 * Values recur (a handle is removed and added again), addresses do not: a block or piece is not reused within a section
 * that has seen it. So a compare-and-swap from an element to nothing takes an equal element, which is as good; from
 * LINK it meets the very thing it read; from slot 2's element to the LINK it replaces an equal of the copy; and from
 * EMPTY it finds slot 2 free, whatever was behind it in between. A search that loses slot 2's element to a LINK looks
 * again, by the word it met, not by another look: by then the leaf may have gone and an equal element have come, which
 * is another's.
 *
 *      label  orders                                                     breaks without it
 *      R1     a leaf's and a line's words before their link              readers follow garbage
 *      A1     pairs with R1: when a compare-and-swap of slot 2 found another word
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
#include "leaf.h"
#include "pool.h"

/*
 * What one slot says about @key, or does to it. ADJUST_TAKE takes one unit, ADJUST_MERGE adds one if there is room,
 * ADJUST_FIND only looks.
 */
enum adjust {
	ADJUST_TAKE,
	ADJUST_MERGE,
	ADJUST_FIND,
};

/* ADJUST_HELD: the element is frozen, and can be adjusted in the copy. */
enum adjusted {
	ADJUSTED_NOT,
	ADJUSTED,
	ADJUSTED_HELD,
};

/* What is searched for, and how; known to the compiler where it is inlined. */
struct search {
	uint64_t key;
	uint64_t low;
	enum adjust adjust;
};

/*
 * Lock-free: a retry follows another's success. *@word: what an acquire load of @slot found last; @empty: what it
 * becomes when its last unit is taken.
 */
static ALWAYS_INLINE enum adjusted slot_adjust(uint64_t *slot, uint64_t *word, struct search search, uint64_t empty)
{
	while ((*word & ~(search.low | SLOT_FROZEN)) == (search.key | SLOT_ENTRY)) {
		uint64_t desired = *word - SLOT_ONE;

		if (search.adjust == ADJUST_FIND)
			return ADJUSTED;
		if (search.adjust == ADJUST_MERGE) {
			if ((*word & search.low) == search.low)
				return ADJUSTED_NOT;
			desired = *word + SLOT_ONE;
		} else if (!(*word & search.low)) {
			desired = empty;
		}
		if (*word & SLOT_FROZEN)
			return ADJUSTED_HELD;
		INJECT();
		if (cas_acqrel(slot, word, desired)) /* R3: pairs with A3, and with R2 of the slot's next user. */
			return ADJUSTED;
	}
	return ADJUSTED_NOT;
}

/* What a search saw of a line besides its key. @end: the last slot was never used; @entries: how many elements. */
struct seen {
	bool end;
	unsigned entries;
};

/*
 * The @n slots of a line, in order. The first loop only looks, without branches; from the first candidate on the second
 * takes the slots one by one: a place counts as passed only when all before it have been (rmap_chain_take()).
 */
static ALWAYS_INLINE enum adjusted line_adjust(uint64_t *slots, unsigned n, struct search search, struct seen *seen)
{
	unsigned candidates = 0;
	uint64_t entries = 0;

	UNROLLED
	for (unsigned i = 0; i < n; i++) {
		uint64_t word = load_acq(&slots[i]); /* A11: pairs with R3. A candidate is read anew (A3). */

		candidates |= (unsigned)((word & ~(search.low | SLOT_FROZEN)) == (search.key | SLOT_ENTRY)) << i;
		entries += word & SLOT_ENTRY;
		seen->end = word == SLOT_EMPTY;
	}
	seen->entries = (unsigned)entries;
	if (!candidates)
		return ADJUSTED_NOT;
	for (unsigned i = (unsigned)__builtin_ctz(candidates); i < n; i++) {
		uint64_t word = load_acq(&slots[i]); /* A3: pairs with R2. A11: pairs with R3. */
		enum adjusted adjusted = slot_adjust(&slots[i], &word, search, SLOT_VACANT);

		if (adjusted != ADJUSTED_NOT)
			return adjusted;
		seen->end = word == SLOT_EMPTY;
	}
	return ADJUSTED_NOT;
}

/*
 * A take looks whether a leaf of @lines lines is too large when it took one of so few elements in a line. They were
 * counted before it: that costs nothing beside the search, and after it the loads would wait for the compare-and-swap.
 * So takes that overlap in a line count each other's elements, and three of them may leave less unnoticed, until the
 * next take there or of another line that gets thin.
 */
static inline bool is_thin(unsigned entries, unsigned lines)
{
	return entries <= 1 + (lines < 5 ? LEAF_SLOTS / 4 : LEAF_SLOTS / 8);
}

/* The leaf @link. *@thin: a take left few elements where it was. */
static ALWAYS_INLINE enum adjusted leaf_adjust(uint64_t link, uint64_t hash, struct search search, bool *thin)
{
	uint64_t *memory = link_memory(link);
	unsigned lines = link_lines(link);
	unsigned line = hash_line(hash, lines);
	bool spilled = link_form(link) > FORM_SPILLED;

	for (unsigned left = leaf_window(link); left > 0; left--) {
		struct seen seen;
		enum adjusted adjusted = line_adjust(memory + (size_t)line * LINE_SLOTS, LEAF_SLOTS, search, &seen);

		if (search.adjust == ADJUST_TAKE && adjusted == ADJUSTED)
			*thin = is_thin(seen.entries, lines);
		if (adjusted != ADJUSTED_NOT || (seen.end && !spilled))
			return adjusted;
		line = line + 1 == lines ? 0 : line + 1;
	}
	return ADJUSTED_NOT;
}

/* Where slot 2 is an element, @word. ADJUSTED_HELD: look again, it has become a link (A1: pairs with R1). */
static ALWAYS_INLINE enum adjusted link_slot_adjust(struct block *block, uint64_t word, struct search search)
{
	enum adjusted adjusted = slot_adjust(&block->slots[BLOCK_LINK], &word, search, SLOT_EMPTY);

	return slot_kind(word) == SLOT_LINK ? ADJUSTED_HELD : adjusted;
}

/* Where there is a plan or overflow, too. ADJUSTED_HELD: look again. */
static OUT_OF_LINE enum adjusted place_adjust(struct rmap_reserve *reserve, struct block *block, uint64_t hash,
					      struct search search)
{
	struct place place = leaf_find(reserve, block, hash);
	enum adjusted adjusted = ADJUSTED_NOT;
	uint64_t link;

	if (slot_kind(place.value) == SLOT_ENTRY)
		return link_slot_adjust(block, place.value, search);
	if (slot_kind(place.value) != SLOT_LINK)
		return ADJUSTED_NOT;
	link = link_below(place.value);
	/* RLX: fixed. */
	for (; adjusted == ADJUSTED_NOT && link_form(link) == FORM_OVER; link = load_rlx(link_memory(link))) {
		uint64_t *slots = link_memory(link) + 1;
		struct seen seen;

		adjusted = line_adjust(slots, OVER_SLOTS, search, &seen);
		reserve->thin = adjusted == ADJUSTED && line_entries(slots, OVER_SLOTS) == 0;
	}
	if (adjusted == ADJUSTED_NOT)
		adjusted = leaf_adjust(link, hash, search, &reserve->thin);
	if (adjusted == ADJUSTED_HELD && link_form(place.value) == FORM_PLAN)
		rmap_leaf_help(reserve, &place);
	return adjusted;
}

/* One pass over the places where @key may live, in search order. */
static ALWAYS_INLINE bool chain_adjust(struct rmap_reserve *reserve, struct block *block, struct search search)
{
	uint64_t hash = key_hash(reserve->map, search.key);
	uint64_t link = leaf_link(block, hash);
	enum adjusted adjusted;

	reserve->thin = false;
	if (link_is_leaf(link))
		adjusted = leaf_adjust(link, hash, search, &reserve->thin);
	else if (slot_kind(link) == SLOT_ENTRY)
		adjusted = link_slot_adjust(block, link, search);
	else
		adjusted = slot_kind(link) == SLOT_EMPTY ? ADJUSTED_NOT : ADJUSTED_HELD;
	while (adjusted == ADJUSTED_HELD)
		adjusted = place_adjust(reserve, block, hash, search);
	if (!search.low)
		return adjusted == ADJUSTED;
	INJECT();
	for (unsigned i = 0; adjusted == ADJUSTED_NOT && i < BLOCK_LINK; i++) {
		uint64_t word = load_acq(&block->slots[i]); /* A3: pairs with R2. A11: pairs with R3. */

		adjusted = slot_adjust(&block->slots[i], &word, search, SLOT_EMPTY);
	}
	return adjusted == ADJUSTED;
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
 * A rebuild takes no unit past a search: where one has passed a leaf and met nothing of its key HELD, the leaf was
 * frozen without a unit of that key, or will be with those that came behind it, whose owners are others. Overflow lies
 * before what callers have read of the place: they have passed its slots, empty, by that read. All that this needs is
 * one order for all, place by place, and that who finds nothing acquires.
 */
bool rmap_chain_take(struct rmap_reserve *reserve, struct block *block, uint64_t key)
{
	uint64_t low = reserve->map->key_low;

	if (low == 0) /* the same, for the compiler to leave multiplicity out */
		return chain_adjust(reserve, block, (struct search){ key, 0, ADJUST_TAKE });
	return chain_adjust(reserve, block, (struct search){ key, low, ADJUST_TAKE });
}

bool rmap_chain_find(struct rmap_reserve *reserve, struct block *block, uint64_t key)
{
	/* A4: pairs with R2 of page.c. */
	if (!reserve->map->key_low && claim_find(block, load_acq(&block->meta), key | SLOT_ENTRY) < CLAIMS)
		return true;
	return chain_adjust(reserve, block, (struct search){ key, reserve->map->key_low, ADJUST_FIND });
}

void rmap_chain_fetch(const struct rmap *map, const struct block *block, uint64_t key)
{
	uint64_t hash = key_hash(map, key);
	uint64_t link = leaf_link(block, hash);

	if (link_is_leaf(link))
		__builtin_prefetch(link_memory(link) + (size_t)hash_line(hash, link_lines(link)) * LINE_SLOTS, 1);
}

/* Insert ------------------------------------------------------------------------------------ */

/* Puts @entry into a free slot of the line. */
static ALWAYS_INLINE bool line_place(uint64_t *slots, unsigned n, uint64_t entry)
{
	unsigned free = 0;

	UNROLLED
	for (unsigned i = 0; i < n; i++)
		/*
		 * RLX: a hint; the compare-and-swap revalidates a free slot. A stale full one costs a look elsewhere;
		 * an EMPTY one is not missed, for what comes before it in the slot is ordered by A1.
		 */
		free |= (unsigned)((load_rlx(&slots[i]) & ~(uint64_t)SLOT_VACANT) == 0) << i;
	for (; free; free &= free - 1) {
		uint64_t *slot = &slots[__builtin_ctz(free)];
		uint64_t word = load_rlx(slot); /* RLX: likewise */

		INJECT();
		/* R2: pairs with A3. Linearizes the insert. */
		while (word == SLOT_EMPTY || word == SLOT_VACANT)
			if (cas_acqrel(slot, &word, entry))
				return true;
	}
	return false;
}

/* Puts @entry into the leaf under @link, no plan; not beyond its lines, also where others are. */
static inline bool leaf_place(uint64_t link, uint64_t hash, uint64_t entry)
{
	uint64_t leaf = leaf_under(link);
	unsigned lines = link_lines(leaf);
	unsigned line = hash_line(hash, lines);

	for (unsigned left = lines < LEAF_WINDOW ? lines : LEAF_WINDOW; left > 0; left--) {
		if (line_place(link_memory(leaf) + (size_t)line * LINE_SLOTS, LEAF_SLOTS, entry))
			return true;
		line = line + 1 == lines ? 0 : line + 1;
	}
	return false;
}

/* The same in the lines of overflow. */
static bool over_place(uint64_t link, uint64_t entry)
{
	for (; link_form(link) == FORM_OVER; link = load_rlx(link_memory(link))) /* RLX: fixed. */
		if (line_place(link_memory(link) + 1, OVER_SLOTS, entry))
			return true;
	return false;
}

/*
 * Puts a line into @place: on top of what it led to, or with the element that it was. 0; -EAGAIN: the place has
 * changed, look again; -ENOMEM.
 */
static int push_line(struct rmap_reserve *reserve, struct place *place, uint64_t entry)
{
	bool first = slot_kind(place->value) == SLOT_ENTRY;
	uint64_t *line = rmap_pool_take_line(reserve);

	if (!line)
		return -ENOMEM;
	/* PRIV: not published until R1. */
	store_rlx(&line[0], place->value);
	store_rlx(&line[1], entry);
	INJECT();
	/* R1: publishes the line; pairs with A1. Linearizes the insert. */
	if (cas_acqrel(place->word, &place->value, link_to(line, first ? 1 : FORM_OVER))) {
		reserve_made(reserve, 1, LINE_BYTES);
		return 0;
	}
	reserve_count(reserve, STAT_RETRIES, 1);
	rmap_pool_put_line(reserve, line);
	return -EAGAIN;
}

static bool block_place(struct block *block, uint64_t entry)
{
	for (unsigned i = 0; i < BLOCK_LINK; i++) {
		uint64_t empty = load_rlx(&block->slots[i]); /* RLX: a hint, as in line_place(). */

		if (empty == SLOT_EMPTY && cas_acqrel(&block->slots[i], &empty, entry)) /* R2: pairs with A3. */
			return true;
	}
	return false;
}

/*
 * Where the place leads to leaves. 0; -EAGAIN: look again; -ENOMEM. *@grown: an add rebuilds one leaf; if that did not
 * help, the next one may go on.
 */
static int insert_behind(struct rmap_reserve *reserve, struct place *place, uint64_t hash, uint64_t entry, bool *grown)
{
	if (link_form(place->value) == FORM_PLAN) {
		rmap_leaf_help(reserve, place);
		return -EAGAIN;
	}
	if (leaf_place(place->value, hash, entry))
		return 0;
	if (!*grown && rmap_leaf_grow(reserve, place)) {
		*grown = true;
		return -EAGAIN;
	}
	return over_place(place->value, entry) ? 0 : push_line(reserve, place, entry);
}

/* Where slot 2 is no link yet, and where a leaf has no room or is being rebuilt. */
static OUT_OF_LINE int insert_slowly(struct rmap_reserve *reserve, struct block *block, uint64_t hash, uint64_t entry)
{
	bool grown = false;
	int error = -EAGAIN;

	while (error == -EAGAIN) {
		struct place place = leaf_find(reserve, block, hash);

		switch (slot_kind(place.value)) {
		case SLOT_EMPTY:
			/* R2: pairs with A3. Linearizes the insert. A1: pairs with R1, when it fails. */
			error = cas_acqrel(place.word, &place.value, entry) ? 0 : -EAGAIN;
			break;
		case SLOT_ENTRY:
			error = push_line(reserve, &place, entry);
			break;
		case SLOT_LINK:
			error = insert_behind(reserve, &place, hash, entry, &grown);
			break;
		default:
			error = -ENOENT; /* retired: nothing in it is counted */
		}
	}
	return error;
}

int rmap_chain_insert(struct rmap_reserve *reserve, struct block *block, uint64_t entry)
{
	uint64_t low = reserve->map->key_low;
	uint64_t hash = key_hash(reserve->map, slot_key(entry, low));
	uint64_t link;

	if (low && chain_adjust(reserve, block, (struct search){ slot_key(entry, low), low, ADJUST_MERGE }))
		return 0;
	if (low && block_place(block, entry))
		return 0;
	link = leaf_link(block, hash);
	if (link_is_leaf(link) && leaf_place(link, hash, entry))
		return 0;
	/* R2: pairs with A3. Linearizes the insert. A1: pairs with R1, when it fails. */
	if (link == SLOT_EMPTY && cas_acqrel(&block->slots[BLOCK_LINK], &link, entry))
		return 0;
	return insert_slowly(reserve, block, hash, entry);
}

/* One take merges so many branches, one above the other, and then rebuilds what has become of them. */
#define MERGES_MAX 2u

/* Less, and end ----------------------------------------------------------------------------- */

void rmap_chain_shrink(struct rmap_reserve *reserve, struct block *block, uint64_t key)
{
	uint64_t hash = key_hash(reserve->map, key);
	struct place place = leaf_find(reserve, block, hash);

	for (unsigned merges = 0; slot_kind(place.value) == SLOT_LINK; merges++) {
		if (!rmap_leaf_shrink(reserve, &place, merges < MERGES_MAX))
			return;
		place = leaf_find(reserve, block, hash);
	}
}

void rmap_chain_retire(struct rmap_reserve *reserve, struct block *block)
{
	/*
	 * A1: pairs with R1, and R1, R2 of leaf.c. R3: pairs with A11 of scan.c: who finds slot 2 SEALED has seen the
	 * note of the move that emptied the chain around its element. The exchange takes the link from swings and
	 * pushes that are late.
	 */
	uint64_t link = exchange_acqrel(&block->slots[BLOCK_LINK], SLOT_SEALED);
	/*
	 * RLX: frozen, and acquired. A claim that is held still has its store to come, by misuse (claim.h): not to this
	 * slot.
	 */
	unsigned behind = load_rlx(&block->meta) & CLAIM_HELD(1) ? 0 : 1;
	struct extent extent = { 0, 0 };

	if (slot_kind(link) == SLOT_LINK)
		rmap_leaf_seal(link, &extent);
	else
		link = SLOT_EMPTY;
	reserve_unmade(reserve, extent.pieces, extent.bytes + sizeof(*block));
	reserve_count(reserve, STAT_BLOCKS_RETIRED, 1);
	INJECT();
	/*
	 * R3: pairs with A1 of claim.h: so has a walk that read a claim before it went, and finds this in its slot.
	 * What becomes free with the block is found there (pool.c).
	 */
	store_rel(&block->slots[behind], link);
	rmap_pool_retire_block(reserve, block, SLOT_SEALED, extent.bytes);
}
