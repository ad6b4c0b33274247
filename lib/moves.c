/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * moves.c - a log of moves, in the map, for walks that pass while mappings move
 *
 * A walk has to know whether a mapping of *its* page moved while it was under way. A counter in each page would take 8
 * bytes of each; a counter that pages share tells only that some page's did. So a move writes down whose it is: each
 * stripe of pages has a ring of the last moves, and a walk reads what was added since it looked last.
 *
 *      head       how many moves were written down, or one less: the last one is not counted yet
 *      entries    [ lap | page | mover ]   move i is in entries[i % MOVE_ENTRIES]; its lap is 1 + i / MOVE_ENTRIES
 *                 63  32 31  12 11   0
 *
 * An entry is one word, and the compare-and-swap that stores it claims it: no thread can be stopped between the two, so
 * a walk never has to wait for an entry. The lap tells whether entry i is there (its lap), not yet there (one less), or
 * gone (more): then the walk takes it for a move of its page. So does it with another page of the same 26 bits of hash
 * (of which 6 choose the stripe). Both cost a round of a walk, and are no error. Laps are told apart as long as fewer
 * than 2^32 of them pass between two loads of one call; head, which has 64 bits, tells how many passed between calls.
 *
 * The mover is the number of its reserve, which no other reserve of the map bears as long as it lives; 0 is nobody's. A
 * walk that knows its own reserve passes over that one's entries, and if they are gone asks the reserve how many it
 * wrote.
 *
 * Complete. If a walk has seen what a move did after its entry, it sees the entry: the move came from R1 to there, and
 * the walk from there to A1. It sees head no older than the mover, which had read its own place there, so it reads on
 * to that entry. A walk begins at a head by which R2 counted all entries before (each R2 is a read-modify-write, and
 * passes on those before it) and sees what led to them; of each that it reads itself, A1 shows that.
 *
 * Ends. Where the first look does not fit, a mover reads head again and finds its place there no older than a lap
 * before (A2). Finds it that, it claims the place, or another has; finds it the entry that head lacks, it counts that;
 * finds it a later lap, it sees the head that led there (A1). So each time round is a step of another mover, however
 * old a value a load may find; without A2 a place two laps old would tell nothing, and go on doing so.
 *
 * Crossings. A move between what is counted only and the chain changes the counts in one step, the places in others. A
 * locked mapping may be where a range finds it, so locks and unlocks of chained ones cross as well. A walk may believe
 * counts that say that nothing is linear or locked if no such move is under way when it reads them. A crossing that it
 * sees the counts of has begun before, and if it has ended before the walk read how many had, its place in the chain is
 * visible (A3). One that wrote its entry before the walk began, and changes the counts behind the walk's look,
 * has begun and not ended. All that are counted as ended are counted as begun, by whoever reads that later; so the
 * numbers are the same only if there is none. A thread that is stopped on the way costs walks of its stripe the look at
 * their ranges.
 *
 *      label  orders                                            breaks without it
 *      R1     the new place before the entry                    a walk that begins behind the entry finds no new place
 *             (and the entry before the old place's end)        a walk finds neither place, and no entry
 *      A1     pairs with R1: a walk or a mover sees what led to the entry
 *      R2     an entry before the head that counts it           a walk that begins at head finds no new place
 *      A2     pairs with R2: what led to the entries before head is visible, and the entries are
 *      R3     a crossing's new place before its end             a walk believes counts that do not tell where the
 *                                                               mapping is, and passes over it
 *      A3     pairs with R3: who sees a crossing's end sees its beginning, counts and place
 */
#include "moves.h"

#define MOVER_BITS 12u
#define PAGE_BITS 20u
#define LAP_SHIFT (MOVER_BITS + PAGE_BITS)

_Static_assert(MOVERS == 1u << MOVER_BITS, "a mover's number fits an entry");

static uint64_t page_hash(const struct rmap_page *page)
{
	return (uint64_t)(uintptr_t)page * 0x9E3779B97F4A7C15u;
}

static struct move_log *log_of(struct rmap *map, const struct rmap_page *page)
{
	return &map->moves[(page_hash(page) >> 58) % MOVE_STRIPES];
}

static uint64_t page_bits(const struct rmap_page *page)
{
	return (page_hash(page) >> 38 & ((1u << PAGE_BITS) - 1)) << MOVER_BITS;
}

/* How many laps @entry is ahead of what place @i of the ring holds once it is written. */
static uint32_t laps_ahead(uint64_t entry, uint64_t i)
{
	return (uint32_t)(entry >> LAP_SHIFT) - (uint32_t)(1 + i / MOVE_ENTRIES);
}

#define NOT_YET UINT32_MAX /* one lap behind */

void rmap_moves_enter(struct rmap_reserve *reserve)
{
	struct rmap *map = reserve->map;

	for (unsigned i = 1; i < MOVERS; i++) {
		if (map->movers[i / 64] >> i % 64 & 1)
			continue;
		map->movers[i / 64] |= (uint64_t)1 << i % 64;
		reserve->mover = i;
		return;
	}
}

void rmap_moves_leave(const struct rmap_reserve *reserve)
{
	if (reserve->mover)
		reserve->map->movers[reserve->mover / 64] &= ~((uint64_t)1 << reserve->mover % 64);
}

void rmap_moves_note(struct rmap_reserve *reserve, const struct rmap_page *page)
{
	struct move_log *log = log_of(reserve->map, page);
	/* RLX: if it is not the newest, the place there tells. */
	uint64_t head = load_rlx(&log->head);

	for (;;) {
		uint64_t *entry = &log->entries[head % MOVE_ENTRIES];
		uint64_t old = load_acq(entry); /* A1: pairs with R1. */
		uint64_t lap = (1 + head / MOVE_ENTRIES) << LAP_SHIFT;

		INJECT();
		/* R1: writes the move down; pairs with A1. */
		if (laps_ahead(old, head) == NOT_YET && cas_acqrel(entry, &old, lap | page_bits(page) | reserve->mover))
			break;
		INJECT();
		if (laps_ahead(old, head) != 0)
			head = load_acq(&log->head);              /* A2: pairs with R2. */
		else if (cas_acqrel(&log->head, &head, head + 1)) /* R2: pairs with A2. Counts another's entry. */
			head++;
	}
	INJECT();
	cas_acqrel(&log->head, &head, head + 1); /* R2: pairs with A2. */
	if (reserve->moved != page)
		reserve->moved_since = reserve->moves;
	reserve->moved = page;
	reserve->moves++;
}

void rmap_moves_begin(struct rmap_cursor *cursor)
{
	CHECK(!cursor->mover || cursor->mover->map == cursor->map, "the mover belongs to another map than the walk");
	cursor->moves = load_acq(&log_of(cursor->map, cursor->target.page)->head); /* A2: pairs with R2. */
	if (cursor->mover)
		cursor->own_moves = cursor->mover->moves;
}

/* Are the @entries since @cursor looked last all of its own? */
static bool all_own(const struct rmap_cursor *cursor, uint64_t entries)
{
	const struct rmap_reserve *self = cursor->mover;

	return self && self->moved == cursor->target.page && self->moved_since <= cursor->own_moves &&
	       self->moves - cursor->own_moves == entries;
}

static bool concerns(const struct rmap_cursor *cursor, uint64_t entry)
{
	const struct rmap_reserve *self = cursor->mover;
	uint64_t mover = entry & (MOVERS - 1);

	entry &= (uint64_t)((1u << PAGE_BITS) - 1) << MOVER_BITS;
	return entry == page_bits(cursor->target.page) && !(self && mover && self->mover == mover);
}

bool rmap_moves_since(struct rmap_cursor *cursor)
{
	struct move_log *log = log_of(cursor->map, cursor->target.page);
	uint64_t head = load_acq(&log->head); /* A2: pairs with R2. */
	bool moved = false;

	if (head > cursor->moves + MOVE_ENTRIES) {
		moved = !all_own(cursor, head - cursor->moves);
		cursor->moves = head;
	}
	for (; cursor->moves <= head; cursor->moves++) {
		/* A1: pairs with R1. */
		uint64_t entry = load_acq(&log->entries[cursor->moves % MOVE_ENTRIES]);
		uint32_t ahead = laps_ahead(entry, cursor->moves);

		if (ahead == NOT_YET)
			break;
		INJECT();
		if (ahead != 0 || concerns(cursor, entry))
			moved = true;
	}
	if (cursor->mover)
		cursor->own_moves = cursor->mover->moves;
	return moved;
}

void rmap_crossing_begin(struct rmap *map, const struct rmap_page *page)
{
	fetch_add_rlx(&log_of(map, page)->begun, 1); /* RLX: its entry (R1) and its counts (R2 of page.c) carry it. */
	INJECT();
}

void rmap_crossing_end(struct rmap *map, const struct rmap_page *page)
{
	INJECT();
	fetch_add_acqrel(&log_of(map, page)->ended, 1); /* R3: pairs with A3. */
}

uint64_t rmap_crossings_ended(struct rmap *map, const struct rmap_page *page)
{
	return load_acq(&log_of(map, page)->ended); /* A3: pairs with R3. */
}

uint64_t rmap_crossings_begun(struct rmap *map, const struct rmap_page *page)
{
	/* RLX: behind the counts, which were acquired; whose counts or end were seen, its beginning is. */
	return load_rlx(&log_of(map, page)->begun);
}
