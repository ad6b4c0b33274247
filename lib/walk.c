/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * walk.c - ranges or a name, then the chain, then: did a mapping of this page move meanwhile?
 *
 * Ranges are asked only for what the counts say there is. A mapping that is there from the walk's beginning is counted
 * in all that the walk can read. So if one is named, and with it alone, no range needs to be asked; nor if none is
 * linear, nor locked, which a range may find: then all are chained, and none was on its way into the chain or out of it
 * when the counts were read (moves.c).
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
 * the next round. A linear mapping that moves to another range or name is written down, too, for ranges are visited one
 * after the other, and a name that was read is looked at later; so is an element alone in the word that gets another
 * handle. That is done when the new word can be read: a walk that begins behind the entry reads no other.
 *
 * The walker's own moves are left out. Of its own mapping it knows both places; and whatever it moves, it does so in a
 * step between two batches, so it knows which of them the walk has passed.
 *
 * The other direction, linear to chained, needs no entry: the old pte is set until the move has returned (page.h), so
 * who finds it clear reads a chain that has the new place. For that the ranges' batches are handed over before the
 * chain is read, and none has visits of both kinds. A locked mapping has no old pte that a walk looks at, so its unlock
 * is written down when the new place can be found: a walk that ends before has met it locked.
 *
 * Everything is handed over in batches, and runs in run(): rmap_walk() takes them apart, rmap_cursor_next() copies one
 * out. A batch has been visited when it was handed over, whatever its visitor returns, so the place to go on from is
 * behind it. The last one of a round is handed over before the round ends: what moves meanwhile is met.
 *
 * A cursor reads ranges in several versions if they fill several batches, and stops between these. It goes on after the
 * last one in key order, and in the end visits those that a split, a move or a resize has given another key since it
 * began (object.h).
 *
 *      label  orders                                            breaks without it
 *      A1     pairs with R1 of page.c: the chain behind the word
 *      A2     pairs with R2 of page.c: a visitor acts on a named pte that it cannot see yet
 */
#include "chain.h"
#include "compiler.h"
#include "moves.h"
#include "object.h"

#include <rmap/walk.h>

/* The stages of a cursor. */
enum stage {
	STAGE_BEGIN,
	STAGE_RANGES,
	STAGE_CHAIN,
	STAGE_END,
};

/*
 * What a call does from where the cursor stands.
 * @words: room for @room of them; visits.n are there
 * @visit: gets each batch. Nonzero stops the call behind that batch
 */
struct round {
	struct rmap_cursor *cursor;
	rmap_walk_visits visit;
	void *arg;
	struct rmap_visits visits;
	uint64_t *words;
	size_t room;
};

/* The log is read after each batch, so that a walk loses no entries; checked builds have more and smaller ones. */
#define ROOM_MAX (RMAP_CHECK ? 6u : RMAP_VISITS_MAX)

static void look_for_moves(struct rmap_cursor *cursor)
{
	if (rmap_moves_since(cursor))
		cursor->again = 1;
}

/* The figure that counts visits like these. */
static uint64_t *figure(struct rmap_cursor *cursor, const struct rmap_visits *visits)
{
	return visits->kind == RMAP_CHAINED ? &cursor->summary.chained : &cursor->summary.candidates;
}

/* The sum of counts, from @first on. */
static uint64_t count_visits(const struct rmap_visits *visits, size_t first)
{
	uint64_t count = visits->n - first;

	for (size_t i = first; visits->low && i < visits->n; i++)
		count += rmap_visits_count(visits, i) - 1;
	return count;
}

static int hand_over(struct round *round, enum rmap_kind kind)
{
	struct rmap_cursor *cursor = round->cursor;
	struct rmap_visits *visits = &round->visits;
	int stop;

	INJECT();
	CHECK(visits->n <= round->room, "a batch of %zu, and room for %zu", visits->n, round->room);
	visits->kind = kind;
	visits->low = kind == RMAP_CHAINED ? cursor->map->key_low : 0;
	*figure(cursor, visits) += count_visits(visits, 0);
	stop = round->visit(round->arg, visits);
	visits->n = 0;
	return stop;
}

/* The page's one mapping, by its name. */
static int round_name(struct round *round, uint64_t word)
{
	round->words[round->visits.n++] = slot_payload(word);
	return hand_over(round, RMAP_NAMED);
}

/* Do the counts say that no range has anything? */
static bool all_are_chained(const struct rmap_cursor *cursor)
{
	const struct rmap_page *page = cursor->target.page;
	uint64_t ended = rmap_crossings_ended(cursor->map, page);
	struct rmap_counts counts = rmap_page_counts(cursor->map, page);

	return counts.linear == 0 && counts.locked == 0 && rmap_crossings_begun(cursor->map, page) == ended;
}

static int round_chain(struct round *round)
{
	struct rmap_cursor *cursor = round->cursor;
	uint64_t word = load_acq(&cursor->target.page->word); /* A1: pairs with R1 of page.c. */
	struct chain_position position = { cursor->hash, cursor->depth, cursor->units };
	size_t n;
	int stop = 0;

	/* A page whose word holds its one element. One met by a scan that has begun a chain is newer than the scan. */
	if (slot_kind(word) == SLOT_ENTRY && position.depth == CHAIN_START.depth) {
		position = CHAIN_END;
		round->words[round->visits.n++] = word;
		stop = hand_over(round, RMAP_CHAINED);
	} else if (slot_kind(word) == SLOT_LINK) {
		while (!stop && (n = rmap_chain_gather(cursor->map, slot_pointer(word), &position, round->words,
						       round->room)) > 0) {
			round->visits.n = n;
			stop = hand_over(round, RMAP_CHAINED);
			if (!stop && !chain_at_end(position))
				look_for_moves(cursor);
		}
	}
	cursor->hash = position.hash;
	cursor->depth = position.depth;
	cursor->units = position.units;
	return stop;
}

static int round_range(void *arg, const struct rmap_range *range)
{
	struct round *round = arg;
	int stop = round->visits.n == round->room ? hand_over(round, RMAP_LINEAR) : 0;

	if (stop)
		return stop;
	round->words[round->visits.n++] = (uint64_t)(uintptr_t)range;
	round->cursor->ranges.resumes = 1;
	return 0;
}

static int round_ranges(struct round *round)
{
	struct rmap_cursor *cursor = round->cursor;
	const struct rmap_target *target = &cursor->target;
	const struct rmap_range like = { .first = target->first, .last = target->last };
	uint64_t word = load_acq(&target->page->word); /* A2: pairs with R2 of page.c. */
	int stop;

	cursor->stage = STAGE_CHAIN;
	if (slot_kind(word) == SLOT_NAMED)
		return round_name(round, word);
	if (!target->object || all_are_chained(cursor))
		return 0;
	/* Ranges that others move as fast as they are visited: nothing of them stays. */
	if (cursor->ranges.late > cursor->rounds_max) {
		cursor->again = 1;
		return 0;
	}
	stop = rmap_object_visit_next(target->object, &like, &cursor->ranges, round_range, round);
	if (stop) {
		/* Behind the full batch, unless it is all of the pass before the one that begins. */
		if (cursor->ranges.resumes)
			cursor->ranges.after = *rmap_visits_range(&round->visits, round->room - 1);
		cursor->stage = STAGE_RANGES;
		return stop;
	}
	cursor->summary.rounds += cursor->ranges.late;
	return round->visits.n ? hand_over(round, RMAP_LINEAR) : 0;
}

static void begin_round(struct rmap_cursor *cursor)
{
	if (cursor->summary.rounds == 0)
		rmap_moves_begin(cursor);
	cursor->again = 0;
	cursor->hash = CHAIN_START.hash;
	cursor->depth = CHAIN_START.depth;
	cursor->units = CHAIN_START.units;
	if (cursor->target.object)
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
 * Goes on until @visit stops it or all is visited, with batches of at most @room, in @words. Inside a read-side
 * section. 0; -EAGAIN: not all, for rounds_max came first; or what @visit returned.
 */
static int run(struct rmap_cursor *cursor, uint64_t *words, size_t room, rmap_walk_visits visit, void *arg)
{
	struct round round = {
		.cursor = cursor,
		.visit = visit,
		.arg = arg,
		.visits = { .words = words, .first = cursor->target.first, .last = cursor->target.last },
		.words = words,
		.room = room < ROOM_MAX ? room : ROOM_MAX,
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
		}
		stop = round_chain(&round);
		if (stop)
			return stop;
		end_round(cursor);
	}
	summarize(cursor);
	return cursor->summary.complete ? 0 : -EAGAIN;
}

OUT_OF_LINE static int run_on_stack(struct rmap_cursor *cursor, size_t room, rmap_walk_visits visit, void *arg)
{
	uint64_t words[ENV_VISITS];

	return run(cursor, words, room < ENV_VISITS ? room : ENV_VISITS, visit, arg);
}

/* In the caller's array, if there is one. */
static int run_in_array(struct rmap_cursor *cursor, size_t room, rmap_walk_visits visit, void *arg)
{
	if (!cursor->words)
		return run_on_stack(cursor, room, visit, arg);
	CHECK(cursor->room > 0, "an array for no visit");
	return run(cursor, cursor->words, room < cursor->room ? room : cursor->room, visit, arg);
}

/* A visitor of one at a time. */
struct one_by_one {
	rmap_walk_visit visit;
	void *arg;
	struct rmap_cursor *cursor;
};

static int visit_each(void *arg, const struct rmap_visits *batch)
{
	const struct rmap_visits visits = *batch; /* so that a compiler knows that visitors change none of it */
	struct one_by_one *each = arg;
	struct rmap_visit visit;

	rmap_visits_get(&visits, 0, &visit);
	for (size_t i = 0; i < visits.n; i++) {
		int stop;

		if (visits.kind == RMAP_CHAINED) {
			visit.handle = rmap_visits_handle(&visits, i);
			visit.count = rmap_visits_count(&visits, i);
		} else if (i > 0) { /* a name is alone */
			rmap_visits_get(&visits, i, &visit);
		}
		stop = each->visit(each->arg, &visit);
		if (stop) {
			*figure(each->cursor, batch) -= count_visits(batch, i + 1);
			return stop;
		}
	}
	return 0;
}

int rmap_walk(struct rmap *map, const struct rmap_target *target, rmap_walk_visit visit, void *arg,
	      struct rmap_walk_summary *summary)
{
	struct rmap_cursor cursor;
	struct one_by_one each = { visit, arg, &cursor };
	int stop;

	CHECK_INSIDE(&map->rcu);
	rmap_cursor_init(&cursor, map, target);
	stop = run_on_stack(&cursor, RMAP_VISITS_MAX, visit_each, &each);
	if (summary) {
		if (stop)
			summarize(&cursor);
		*summary = cursor.summary;
	}
	return stop;
}

void rmap_cursor_init(struct rmap_cursor *cursor, struct rmap *map, const struct rmap_target *target)
{
	CHECK(target->last - target->first < UINT32_MAX, "a page of so many indexes");
	cursor->mover = NULL;
	cursor->words = NULL;
	cursor->room = 0;
	cursor->rounds_max = RMAP_WALK_ROUNDS;
	cursor->summary = (struct rmap_walk_summary){ 0 };
	cursor->map = map;
	cursor->target = *target;
	cursor->stage = STAGE_BEGIN;
}

int rmap_walk_batches(struct rmap_cursor *cursor, rmap_walk_visits visit, void *arg)
{
	CHECK_INSIDE(&cursor->map->rcu);
	return run_in_array(cursor, RMAP_VISITS_MAX, visit, arg);
}

int rmap_cursor_at_end(const struct rmap_cursor *cursor)
{
	return cursor->stage == STAGE_END;
}

/* Stops behind one batch: who gets it looks at it before more is read. */
static int copy_out(void *arg, const struct rmap_visits *visits)
{
	for (size_t i = 0; i < visits->n; i++)
		rmap_visits_get(visits, i, (struct rmap_visit *)arg + i);
	return (int)visits->n;
}

size_t rmap_cursor_next(struct rmap_cursor *cursor, struct rmap_visit *visits, size_t n)
{
	int copied;

	if (n == 0)
		return 0;
	rcu_read_enter(&cursor->map->rcu);
	copied = run_in_array(cursor, n, copy_out, visits);
	rcu_read_leave(&cursor->map->rcu);
	return copied > 0 ? (size_t)copied : 0;
}
