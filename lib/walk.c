/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * walk.c - ranges, then the chain, then: did a mapping move meanwhile?
 *
 * A mapping that stays where it is cannot be missed: ranges are read in one version, and scan.c argues the chain. One
 * that moves from one handle to another may appear behind the scan and disappear ahead of it; and one that becomes
 * linear may appear in a range behind and disappear from the chain ahead. rmap_page_move() bumps a counter of the map
 * between the two, so:
 *
 *      bump before the walk's first read of the counter   the new place was there before the walk began
 *      bump after its last read                           the old place was still there when the walk ended
 *      in between                                         the two reads differ, and the walk goes over the page again
 *
 * A linear mapping that moves to another range bumps it, too, for ranges are visited one after the other.
 *
 * The other direction, linear to chained, needs no bump: the range is there until the move has returned, and ranges are
 * read first.
 *
 * A cursor reads ranges in several versions if they fill several batches. It goes on after the last one in key order,
 * and in the end visits those that a split, a move or a resize has given another key since it began (object.h).
 *
 *      label  orders                                            breaks without it
 *      R4     (page.c, note_move) new place, bump, old place    a walk sees neither
 *      A4     pairs with R4: counter, scan, counter (the scan's own acquire loads come before the second)
 *      A1     pairs with R1 of page.c: the chain behind the word
 */
#include "chain.h"
#include "object.h"

#include <rmap/walk.h>

#include <errno.h>
#include <string.h>

/* The stages of a cursor; rmap_walk() runs through the same ones. */
enum stage {
	STAGE_BEGIN, /* read the move counter */
	STAGE_RANGES,
	STAGE_CHAIN,
	STAGE_END,
};

/* Gets one visit. Nonzero stops the round at this visit. */
typedef int (*walk_sink)(void *arg, const struct rmap_visit *visit);

/*
 * One round, from where the cursor stands.
 * @resumes: a visit that stopped the round did not take place, and is made again
 * @visit:   of chained mappings; made once, for most walks have many
 */
struct round {
	struct rmap_cursor *cursor;
	walk_sink sink;
	void *arg;
	bool resumes;
	struct rmap_visit visit;
};

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
	return stop;
}

static int round_ranges(struct round *round)
{
	struct rmap_cursor *cursor = round->cursor;
	const struct rmap_target *target = &cursor->target;
	const struct rmap_range like = { .first = target->index, .last = target->index };

	if (!target->object)
		return 0;
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
	cursor->moves = load_acq(map_moves(cursor->map, cursor->target.page)); /* A4: pairs with R4. */
	cursor->line = CHAIN_START.line;
	cursor->depth = CHAIN_START.depth;
	cursor->slot = CHAIN_START.slot;
	memset(&cursor->ranges, 0, sizeof(cursor->ranges));
	cursor->stage = STAGE_RANGES;
	cursor->named_before = cursor->summary.chained;
	cursor->summary.rounds++;
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

/* Goes on until the sink stops it or all is visited. Inside a read-side section. 0, or what the sink returned. */
static int run(struct rmap_cursor *cursor, walk_sink sink, void *arg, bool resumes)
{
	struct round round = { cursor, sink, arg, resumes, { .kind = RMAP_CHAINED } };
	int stop;

	while (cursor->stage != STAGE_END) {
		if (cursor->stage == STAGE_BEGIN)
			begin_round(cursor);
		if (cursor->stage == STAGE_RANGES) {
			stop = round_ranges(&round);
			if (stop)
				return stop;
			cursor->stage = STAGE_CHAIN;
		}
		stop = round_chain(&round);
		if (stop)
			return stop;
		INJECT();
		/* RLX: the acquire loads of the scan keep this one behind them, which is all that A4 needs. */
		if (load_rlx(map_moves(cursor->map, cursor->target.page)) == cursor->moves)
			cursor->stage = STAGE_END;
		else
			cursor->stage = STAGE_BEGIN;
	}
	summarize(cursor);
	return 0;
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
	cursor->stage = STAGE_BEGIN;
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
