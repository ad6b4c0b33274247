/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ranges_check.c - the test that an index of ranges passes before it is timed
 *
 * Compared with an array, step by step: each kind of update, of ranges that overlap, and of one that is not there;
 * after each a stab must find as many ranges, of the same owners.
 */
#include <string.h>

#include "ranges.h"

#define STEPS 3000u
#define RANGES_MAX 80u
#define SPAN 200u

struct model {
	struct rmap_range ranges[RANGES_MAX + 1];
	size_t n;
	uint64_t owner;
	uint64_t random;
};

static uint64_t next(struct model *model)
{
	model->random ^= model->random << 13;
	model->random ^= model->random >> 7;
	model->random ^= model->random << 17;
	return model->random >> 16;
}

static int attach(const struct ranges_index *kind, void *index, struct model *model)
{
	uint64_t first = next(model) % SPAN;
	struct rmap_range *range = &model->ranges[model->n++];

	*range = (struct rmap_range){ .first = first,
				      .last = first + next(model) % 32,
				      .address = 0x10000000,
				      .owner = ++model->owner,
				      .page_shift = 12 };
	return kind->attach(index, range);
}

/* What is done to range @i, one in four times each. */
static int change(const struct ranges_index *kind, void *index, struct model *model, size_t i)
{
	struct rmap_range *range = &model->ranges[i], old = *range;
	unsigned what = (unsigned)(next(model) % 4);

	if (what == 0) {
		*range = model->ranges[--model->n];
		return kind->detach(index, &old) || !kind->detach(index, &old);
	}
	if (what == 1) {
		range->address += 0x1000;
		return kind->move(index, &old, range->address);
	}
	if (what == 2 && old.first < old.last && model->n < RANGES_MAX) {
		struct rmap_range *right = &model->ranges[model->n++];

		*right = old;
		right->first = old.first + 1 + (old.last - old.first) / 2;
		right->address = rmap_range_address(&old, right->first);
		range->last = right->first - 1;
		return kind->split(index, &old, right->first);
	}
	if (old.first == old.last)
		return 0;
	/* Smaller and as it was: parts of one range that grew into each other might come to be equal. */
	range->last--;
	if (kind->resize(index, &old, old.first, range->last))
		return -1;
	struct rmap_range smaller = *range;

	*range = old;
	return kind->resize(index, &smaller, old.first, old.last);
}

static int check_stab(const struct ranges_index *kind, void *index, struct model *model)
{
	uint64_t at = next(model) % (SPAN + 32), wanted = 0, found = 0;
	size_t n = 0;

	for (size_t i = 0; i < model->n; i++) {
		if (rmap_range_covers(&model->ranges[i], at)) {
			wanted += model->ranges[i].owner;
			n++;
		}
	}
	return kind->stabs(index, &at, 1, &found) != n || found != wanted;
}

static int check_once(const struct ranges_index *kind)
{
	struct model model = { .random = 0x9e3779b97f4a7c15u };
	void *index = kind->open();
	int error = !index;

	for (unsigned step = 0; step < STEPS && !error; step++) {
		if (model.n < 2 || (model.n < RANGES_MAX && next(&model) % 4 == 0))
			error = attach(kind, index, &model);
		else
			error = change(kind, index, &model, next(&model) % model.n);
		error = error || check_stab(kind, index, &model);
	}
	while (model.n && !error)
		error = kind->detach(index, &model.ranges[--model.n]);
	if (index && kind->close(index))
		error = 1;
	if (error)
		fprintf(stderr, "rmap bench: the ranges of %s failed their test, so they are not timed\n", kind->name);
	return error ? -1 : 0;
}

int ranges_check(const struct ranges_index *kind)
{
	static const struct ranges_index *passed[2];

	if (passed[0] == kind || passed[1] == kind)
		return 0;
	if (check_once(kind))
		return -1;
	passed[passed[0] != NULL] = kind;
	return 0;
}
