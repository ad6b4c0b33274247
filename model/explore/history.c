/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * history.c - linearizability by trying all orders, and G3; see history.h
 *
 * A history is linearizable if its operations can be put in one order that keeps every order there was (an operation
 * that ended before another began comes first) and in which the specification gives the answers that were given. With a
 * handful of operations all orders can be tried. Threads only remove what is theirs, as page.h asks of callers; an
 * operation on what was never there may be part of a case.
 *
 * A walk is no part of that order. G3 asks: a mapping that was there from its beginning to its end is visited, one that
 * was gone before it began is not, and one that moved meanwhile, once or more, is seen at one of its places.
 */
#include "history.h"

#include <errno.h>
#include <string.h>

uint32_t spec_mapcount(const struct spec *spec)
{
	uint32_t count = spec->linear + spec->locked;

	for (unsigned i = 0; i < LABELS; i++)
		count += spec->labelled[i];
	return count;
}

bool is_labelled(struct rmap_mapping mapping)
{
	return mapping.kind == RMAP_CHAINED || mapping.kind == RMAP_NAMED;
}

static uint32_t *spec_field(struct spec *spec, struct rmap_mapping mapping)
{
	if (is_labelled(mapping))
		return &spec->labelled[mapping.handle];
	return mapping.kind == RMAP_LINEAR ? &spec->linear : &spec->locked;
}

static int spec_events(uint32_t count, uint32_t locked, const struct spec *after)
{
	int event = 0;

	if (!count != !spec_mapcount(after))
		event |= count ? RMAP_LAST : RMAP_FIRST;
	if (!locked != !after->locked)
		event |= locked ? RMAP_LAST_LOCK : RMAP_FIRST_LOCK;
	return event;
}

int spec_apply(struct spec *spec, const struct op *op)
{
	uint32_t count = spec_mapcount(spec);
	uint32_t locked = spec->locked;

	switch (op->kind) {
	case OP_REMOVE:
	case OP_MOVE:
		if (*spec_field(spec, op->from) < rmap_mapping_count(op->from))
			return -ENOENT;
		*spec_field(spec, op->from) -= rmap_mapping_count(op->from);
		if (op->kind == OP_MOVE)
			*spec_field(spec, op->to) += rmap_mapping_count(op->to);
		break;
	case OP_DUPLICATE:
		if (count == 0)
			return -ENOENT;
		*spec_field(spec, op->to) += rmap_mapping_count(op->to);
		return spec_events(count, locked, spec) & ~RMAP_FIRST;
	case OP_ADD:
		*spec_field(spec, op->to) += rmap_mapping_count(op->to);
		break;
	case OP_COUNT:
		return (int)count;
	default:
		return 0;
	}
	return spec_events(count, locked, spec);
}

/* Can @record come next, if each thread has done the first @done of its own? All that ended before it have. */
static bool may_be_next(const struct history *history, const unsigned *done, const struct record *record)
{
	for (unsigned i = 0; i < history->threads; i++)
		if (done[i] < record->before[i])
			return false;
	return true;
}

static bool explained(const struct history *history, unsigned *done, const struct spec *spec)
{
	bool through = true;

	for (unsigned i = 0; i < history->threads; i++) {
		const struct record *record = &history->records[i][done[i]];
		struct spec after = *spec;

		if (done[i] == history->counts[i])
			continue;
		through = false;
		if (!may_be_next(history, done, record) || spec_apply(&after, &record->op) != record->result)
			continue;
		done[i]++;
		if (explained(history, done, &after))
			return true;
		done[i]--;
	}
	return through;
}

static bool adds(const struct op *op)
{
	return op->kind == OP_ADD || op->kind == OP_DUPLICATE || op->kind == OP_MOVE;
}

static bool removes(const struct op *op)
{
	return op->kind == OP_REMOVE || op->kind == OP_MOVE;
}

/*
 * A walk: the @place-th operation of @thread. What had ended when it began is before it, what began when it had ended
 * is behind.
 */
struct moment {
	const struct history *history;
	const struct record *walk;
	unsigned thread;
	unsigned place;
};

static bool is_before(const struct moment *moment, unsigned thread, unsigned place)
{
	return place < moment->walk->before[thread];
}

static bool is_behind(const struct moment *moment, const struct record *record)
{
	return record->before[moment->thread] > moment->place;
}

/*
 * A set of places has a bit for each label, and one for other linear mappings if there is an object that finds them.
 * Locked ones are there as well: the cases lock nothing that a range would not find.
 */
#define LINEAR_BIT (1u << LABELS)
#define NAME_BITS (LINEAR_BIT - (1u << LETTERS))

static unsigned place_bit(const struct history *history, struct rmap_mapping mapping)
{
	if (is_labelled(mapping))
		return 1u << mapping.handle;
	return history->has_object ? LINEAR_BIT : 0;
}

/* @labels, and where mappings of them may have moved to during the walk. */
static unsigned reached(const struct moment *moment, unsigned labels)
{
	unsigned before;

	do {
		before = labels;
		for (unsigned i = 0; i < moment->history->threads; i++) {
			for (unsigned j = 0; j < moment->history->counts[i]; j++) {
				const struct record *record = &moment->history->records[i][j];

				if (record->op.kind == OP_MOVE && record->result >= 0 &&
				    (labels & place_bit(moment->history, record->op.from)) &&
				    !is_before(moment, i, j) && !is_behind(moment, record))
					labels |= place_bit(moment->history, record->op.to);
			}
		}
	} while (labels != before);
	return labels;
}

/*
 * Did the move @place of @thread unlock a mapping that was locked where no range finds it when the walk began, and was
 * over when the walk had yet to end? Where all that are unlocked were locked from the beginning their number says so.
 */
static bool unlocks(const struct moment *moment, unsigned thread, unsigned place)
{
	const struct history *history = moment->history;
	const struct op *op = &history->records[thread][place].op;
	long left = history->initial.locked;

	for (unsigned i = 0; i < history->threads; i++) {
		for (unsigned j = 0; j < history->counts[i]; j++) {
			const struct record *record = &history->records[i][j];

			if (removes(&record->op) && record->op.from.kind == RMAP_LOCKED && record->result >= 0)
				left -= (long)rmap_mapping_count(record->op.from);
		}
	}
	return left >= 0 && !history->has_object && removes(op) && op->from.kind == RMAP_LOCKED &&
	       place < moment->walk->ended[thread];
}

/* Mappings of @labels that were there all the time, and those that could have been there at some time. */
static void count_units(const struct moment *moment, unsigned labels, long *surely, long *possibly)
{
	*surely = labels & LINEAR_BIT ? moment->history->initial.linear + moment->history->initial.locked : 0;
	for (unsigned label = 0; label < LABELS; label++)
		if (labels >> label & 1)
			*surely += moment->history->initial.labelled[label];
	*possibly = *surely;
	for (unsigned i = 0; i < moment->history->threads; i++) {
		for (unsigned j = 0; j < moment->history->counts[i]; j++) {
			const struct record *record = &moment->history->records[i][j];
			bool in = adds(&record->op) && (labels & place_bit(moment->history, record->op.to));
			bool out = removes(&record->op) && (labels & place_bit(moment->history, record->op.from));
			long units = (long)rmap_mapping_count(in ? record->op.to : record->op.from);

			if (record->result < 0 || in == out)
				continue;
			*surely += in ? (is_before(moment, i, j) || unlocks(moment, i, j)) * units
				      : -!is_behind(moment, record) * units;
			*possibly += in ? !is_behind(moment, record) * units : -is_before(moment, i, j) * units;
		}
	}
}

/* @label: LABELS for the mappings that have none. */
static const char *check_label(const struct moment *moment, unsigned label)
{
	unsigned labels = reached(moment, 1u << label);
	long found = 0;
	long surely;
	long possibly;

	for (unsigned i = 0; i < LABELS; i++)
		found += labels >> i & 1 ? moment->walk->found[i] : 0;
	if ((labels & (LINEAR_BIT | NAME_BITS)) && moment->walk->ranges)
		found += UINT8_MAX; /* a range stands for any number of linear mappings */
	count_units(moment, labels, &surely, &possibly);
	if (found < surely)
		return labels == 1u << label ? "a walk missed a mapping that was there all the time (G3)"
					       : "a walk saw a moving mapping at none of its places (G3)";
	count_units(moment, 1u << label, &surely, &possibly);
	if (label < LABELS && possibly <= 0 && moment->walk->seen[label])
		return "a walk visited a mapping that was gone (G3)";
	return NULL;
}

static const char *check_walk(const struct history *history, unsigned thread, unsigned place)
{
	const struct record *walk = &history->records[thread][place];
	const struct moment moment = { history, walk, thread, place };
	long surely, possibly;

	count_units(&moment, LINEAR_BIT, &surely, &possibly);
	if (walk->blind)
		return "a walk visited a mapping and cannot see what its adder did before (walk.h, Ordering)";
	if (surely > 0 && (history->indexes & ~walk->indexes))
		return "a walk saw no range of an index, though one covered it all the time (G3)";
	if (history->indexes && (walk->indexes & ~history->indexes))
		return "a walk says that a range covers an index of the page, and none does";
	for (unsigned label = 0; label < LABELS + history->has_object; label++) {
		const char *wrong = check_label(&moment, label);

		if (wrong)
			return wrong;
	}
	return NULL;
}

const char *history_check(const struct history *history)
{
	unsigned done[THREADS_MAX] = { 0 };

	for (unsigned i = 0; i < history->threads; i++) {
		for (unsigned j = 0; j < history->counts[i]; j++) {
			const struct record *record = &history->records[i][j];
			const char *wrong = NULL;

			if (record->op.kind >= OP_WALK && record->op.kind <= OP_BATCHES)
				wrong = check_walk(history, i, j);
			if (wrong)
				return wrong;
		}
	}
	if (!explained(history, done, &history->initial))
		return "no order of the operations explains what they answered (G4, G5)";
	return NULL;
}
