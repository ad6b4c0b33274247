/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * walk.c - ranges, then the chain, then: did a mapping of this page move meanwhile?
 *
 * A mapping that stays where it is cannot be missed: ranges are read in one version, and scan.c argues the chain. One
 * that moves from one handle to another may appear behind the scan and disappear ahead of it; and one that becomes
 * linear may appear in a range behind and disappear from the chain ahead. rmap_page_move() writes an entry into the
 * map's log of moves (moves.c) between the two, so:
 *
 *      entry before the walk began to read the log   the new place was there before the walk began
 *      entry after its last read                     the old place was still there when the walk ended
 *      in between                                    the walk meets the entry, and goes over the page again
 *
 * A round reads the log now and then, so that it loses no entries, and in the end. What it has read by then is behind
 * the next round. A linear mapping that moves to another range is written down, too, for ranges are visited one after
 * the other.
 *
 * The walker's own moves are left out. Of its own mapping it knows both places; and whatever it moves, it does so in a
 * step between two visits, so it knows which of them the walk has passed.
 *
 * The other direction, linear to chained, needs no entry: the range is there until the move has returned, and ranges
 * are read first.
 *
 * A cursor reads ranges in several versions if they fill several batches. It goes on after the last one in key order,
 * and in the end visits those that a split, a move or a resize has given another key since it began (object.h).
 *
 *      label  orders                                            breaks without it
 *      A1     pairs with R1 of page.c: the chain behind the word
 */
#include "chain.h"
#include "moves.h"
#include "object.h"

#include <rmap/walk.h>

#include <errno.h>
#include <string.h>

/* The stages of a cursor; rmap_walk() runs through the same ones. */
enum stage {
	STAGE_BEGIN,
	STAGE_RANGES,
	STAGE_CHAIN,
	STAGE_END,
};

/*
 * One round, from where the cursor stands.
 * @sink:    gets each visit. Nonzero stops the round at this visit
 * @resumes: a visit that stopped the round did not take place, and is made again
 * @look_at: with so many chained mappings visited, the log of moves is read again
 * @visit:   of chained mappings; made once, for most walks have many
 */
struct round {
	struct rmap_cursor *cursor;
	rmap_walk_visit sink;
	void *arg;
	bool resumes;
	uint64_t look_at;
	struct rmap_visit visit;
};

/* The log is read once in so many mappings. */
#define LOOK_EVERY (RMAP_CHECK ? 2u : 64u)

static void look_for_moves(struct rmap_cursor *cursor)
{
	if (rmap_moves_since(cursor))
		cursor->again = 1;
}

static int round_range(void *arg, const struct rmap_range *range)
{
	struct round *round = arg;
	struct rmap_cursor *cursor = round->cursor;
	struct rmap_visit visit = {
		.kind = RMAP_LINEAR,
		.count = 1,
		.address = rmap_range_address(range, cursor->target.index),
		.range = *range,
	};
	int stop = round->sink(round->arg, &visit);

	if (stop && round->resumes)
		return stop;
	cursor->ranges.after = *range;
	cursor->ranges.resumes = 1;
	cursor->summary.candidates++;
	return stop;
}

static int round_entry(void *arg, uint64_t entry)
{
	struct round *round = arg;
	struct rmap_cursor *cursor = round->cursor;
	uint64_t low = cursor->map->key_low;
	int stop;

	round->visit.count = slot_multiplicity(entry, low);
	round->visit.handle = slot_key(entry, low);
	stop = round->sink(round->arg, &round->visit);
	if (stop && round->resumes)
		return stop;
	cursor->summary.chained += slot_multiplicity(entry, low);
	if (cursor->summary.chained >= round->look_at) {
		round->look_at = cursor->summary.chained + LOOK_EVERY;
		look_for_moves(cursor);
	}
	return stop;
}

static int round_ranges(struct round *round)
{
	struct rmap_cursor *cursor = round->cursor;
	const struct rmap_target *target = &cursor->target;
	const struct rmap_range like = { .first = target->index, .last = target->index };

	if (!target->object)
		return 0;
	/* Ranges that others move as fast as they are visited: nothing of them stays. */
	if (cursor->ranges.late > cursor->rounds_max) {
		cursor->again = 1;
		return 0;
	}
	return rmap_object_visit_next(target->object, &like, &cursor->ranges, round_range, round);
}

static int round_chain(struct round *round)
{
	struct rmap_cursor *cursor = round->cursor;
	struct chain_position position = { cursor->line, cursor->depth, cursor->slot };
	uint64_t word = load_acq(&cursor->target.page->word); /* A1: pairs with R1 of page.c. */
	int stop = 0;

	/* A direct element met by a scan that has begun a chain is newer than the scan, but a visit does no harm. */
	if (slot_kind(word) == SLOT_ENTRY && position.depth == CHAIN_START.depth)
		stop = round_entry(round, word);
	else if (slot_kind(word) == SLOT_LINK)
		stop = rmap_chain_scan(slot_pointer(word), &position, round_entry, round);
	cursor->line = position.line;
	cursor->depth = position.depth;
	cursor->slot = position.slot;
	return stop;
}

static void begin_round(struct rmap_cursor *cursor)
{
	if (cursor->summary.rounds == 0)
		rmap_moves_begin(cursor);
	cursor->again = 0;
	cursor->line = CHAIN_START.line;
	cursor->depth = CHAIN_START.depth;
	cursor->slot = CHAIN_START.slot;
	memset(&cursor->ranges, 0, sizeof(cursor->ranges));
	cursor->stage = STAGE_RANGES;
	cursor->named_before = cursor->summary.chained;
	cursor->summary.rounds++;
}

/* Everything has been visited once more. */
static void end_round(struct rmap_cursor *cursor)
{
	INJECT();
	look_for_moves(cursor);
	cursor->summary.complete = !cursor->again;
	if (cursor->again && cursor->summary.rounds < cursor->rounds_max)
		cursor->stage = STAGE_BEGIN;
	else
		cursor->stage = STAGE_END;
}

static void summarize(struct rmap_cursor *cursor)
{
	struct rmap_walk_summary *summary = &cursor->summary;
	struct rmap_counts counts = rmap_page_counts(cursor->map, cursor->target.page);
	uint64_t named = summary->chained - cursor->named_before;

	summary->linear = counts.linear;
	summary->unnamed = counts.locked;
	if (counts.chained > named)
		summary->unnamed += (uint32_t)(counts.chained - named);
}

/*
 * Goes on until the sink stops it or all is visited. Inside a read-side section. 0; -EAGAIN: not all, for rounds_max
 * came first; or what the sink returned.
 */
static int run(struct rmap_cursor *cursor, rmap_walk_visit sink, void *arg, bool resumes)
{
	struct round round = {
		.cursor = cursor,
		.sink = sink,
		.arg = arg,
		.resumes = resumes,
		.look_at = cursor->summary.chained + LOOK_EVERY,
		.visit = { .kind = RMAP_CHAINED },
	};
	int stop;

	if (cursor->stage != STAGE_BEGIN && cursor->stage != STAGE_END)
		look_for_moves(cursor); /* those since the last batch */
	while (cursor->stage != STAGE_END) {
		if (cursor->stage == STAGE_BEGIN)
			begin_round(cursor);
		if (cursor->stage == STAGE_RANGES) {
			stop = round_ranges(&round);
			if (stop)
				return stop;
			cursor->summary.rounds += cursor->ranges.late;
			cursor->stage = STAGE_CHAIN;
		}
		stop = round_chain(&round);
		if (stop)
			return stop;
		end_round(cursor);
	}
	summarize(cursor);
	return cursor->summary.complete ? 0 : -EAGAIN;
}

int rmap_walk(struct rmap *map, const struct rmap_target *target, rmap_walk_visit visit, void *arg,
	      struct rmap_walk_summary *summary)
{
	struct rmap_cursor cursor;
	int stop;

	CHECK_INSIDE(&map->rcu);
	rmap_cursor_init(&cursor, map, target);
	stop = run(&cursor, visit, arg, false);
	if (summary) {
		if (stop)
			summarize(&cursor);
		*summary = cursor.summary;
	}
	return stop;
}

void rmap_cursor_init(struct rmap_cursor *cursor, struct rmap *map, const struct rmap_target *target)
{
	memset(cursor, 0, sizeof(*cursor));
	cursor->map = map;
	cursor->target = *target;
	cursor->rounds_max = RMAP_WALK_ROUNDS;
	cursor->stage = STAGE_BEGIN;
}

int rmap_cursor_visit(struct rmap_cursor *cursor, rmap_walk_visit visit, void *arg)
{
	CHECK_INSIDE(&cursor->map->rcu);
	return run(cursor, visit, arg, true);
}

int rmap_cursor_at_end(const struct rmap_cursor *cursor)
{
	return cursor->stage == STAGE_END;
}

struct copy_out {
	struct rmap_visit *visits;
	size_t room;
	size_t copied;
};

static int copy_visit(void *arg, const struct rmap_visit *visit)
{
	struct copy_out *out = arg;

	if (out->copied == out->room)
		return 1;
	out->visits[out->copied++] = *visit;
	return 0;
}

size_t rmap_cursor_next(struct rmap_cursor *cursor, struct rmap_visit *visits, size_t n)
{
	struct copy_out out = { visits, n, 0 };

	if (n == 0)
		return 0;
	rcu_read_enter(&cursor->map->rcu);
	run(cursor, copy_visit, &out, true);
	rcu_read_leave(&cursor->map->rcu);
	return out.copied;
}
