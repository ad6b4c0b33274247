/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * unmap.c - the passes of unmap and truncate, and what follows from what they leave
 *
 * Nothing here is lock-free, and nothing here orders memory: the embedder's locks do. What remains to be argued is that
 * reliable semantics end, and that nothing is mapped then.
 *
 * Nothing is mapped any more. A truncate advances the sequence and waits for a grace period. Whoever rechecks the
 * sequence later, in the section in which it would set its pte, sees the new one (R2 and A2 of object.c) and makes no
 * mapping; whoever rechecked it earlier has left its section, and its mapping is counted. From then on the mappings of
 * a page of these indexes only get fewer, and move. So a page whose mapcount is zero, seen under its lock, has no
 * mapping and gets none: it is dropped. Reliable semantics go on until every page is dropped.
 *
 * They end. A mapping is missed by a pass only if a lock was refused, if it was moving or on its way in or out, or if
 * nothing names it. The last is so for nonlinear mappings that are locked; bulk pass and search look at every pte at
 * which one can be, and wait for its lock. The others are in the hands of threads that wait for nothing that a truncate
 * holds between two passes. So each round of passes after they are through clears something, or finds nothing.
 */
#include "map.h"
#include "object.h"

#include <rmap/unmap.h>

#include <errno.h>
#include <sched.h>

/* How many visits and ranges are copied out of one read-side section. */
#define BATCH 16u

/* How many passes a bulk pass or a search makes over ranges that move meanwhile. */
#define LATE_MAX 64u

/* Ends a walk: the page has no mapping left. */
#define DONE 1

/*
 * One unmap or truncate.
 * @worst: what became of the pages that the last page pass left
 */
struct unmap {
	struct rmap *map;
	const struct rmap_unmap_callbacks *callbacks;
	void *arg;
	unsigned flags;
	enum rmap_unmap_result worst;
	struct rmap_unmap_report report;
};

static struct rmap_counts page_counts(const struct unmap *unmap, const struct rmap_page *page)
{
	struct rmap_counts counts;

	rcu_read_enter(&unmap->map->rcu);
	counts = rmap_page_counts(unmap->map, page);
	rcu_read_leave(&unmap->map->rcu);
	return counts;
}

static bool is_mapped(struct rmap_counts counts)
{
	return counts.chained || counts.linear || counts.locked;
}

static void add_left(struct rmap_unmap_left *left, struct rmap_counts counts)
{
	left->chained += counts.chained;
	left->linear += counts.linear;
	left->locked += counts.locked;
}

static void wait_a_little(const struct unmap *unmap)
{
	rmap_rcu_quiesce(&unmap->map->rcu);
	if (unmap->callbacks->wait)
		unmap->callbacks->wait(unmap->arg);
	else
		sched_yield();
}

/* --- one page --------------------------------------------------------------------------------- */

struct page_pass {
	struct unmap *unmap;
	const struct rmap_target *target;
};

/* A refused lock ends nothing: what else can be cleared is. */
static int clear_visit(void *arg, const struct rmap_visit *visit)
{
	struct page_pass *pass = arg;
	struct unmap *unmap = pass->unmap;
	uint64_t cleared = unmap->report.cleared;
	int error = unmap->callbacks->clear(unmap->arg, pass->target, visit, unmap->flags, &unmap->report.cleared);

	if (error == -EAGAIN)
		unmap->report.refused++;
	else if (error)
		return error;
	if (unmap->report.cleared != cleared && !is_mapped(page_counts(unmap, pass->target->page)))
		return DONE;
	return 0;
}

/* One walk over the page's mappings, in the section that finds them or in batches outside. 0 or a callback's error. */
static int clear_page(struct unmap *unmap, const struct rmap_target *target)
{
	struct page_pass pass = { unmap, target };
	struct rmap_visit visits[BATCH];
	struct rmap_cursor cursor;
	int stop = 0;
	size_t n;

	unmap->report.passes++;
	if (unmap->flags & RMAP_UNMAP_SECTION) {
		rcu_read_enter(&unmap->map->rcu);
		stop = rmap_walk(unmap->map, target, clear_visit, &pass, NULL);
		rcu_read_leave(&unmap->map->rcu);
		return stop == DONE ? 0 : stop;
	}
	rmap_cursor_init(&cursor, unmap->map, target);
	while (stop == 0 && (n = rmap_cursor_next(&cursor, visits, BATCH)) > 0)
		for (size_t i = 0; i < n && stop == 0; i++)
			stop = clear_visit(&pass, &visits[i]);
	return stop == DONE ? 0 : stop;
}

/* --- ranges ----------------------------------------------------------------------------------- */

/* Ranges copied out of the index, and how far that has got. */
struct range_batch {
	struct rmap_range_position position;
	struct rmap_range ranges[BATCH];
	size_t n;
};

static int copy_range(void *arg, const struct rmap_range *range)
{
	struct range_batch *batch = arg;

	batch->ranges[batch->n++] = *range;
	batch->position.after = *range;
	batch->position.resumes = 1;
	return batch->n == BATCH ? DONE : 0;
}

/* The ptes of @range that a search looks at: all if it is tagged @whole, and otherwise the linear ones. */
static int clear_range(struct unmap *unmap, struct rmap_search *search, const struct rmap_range *range, bool whole)
{
	search->range = *range;
	search->from = whole || range->first > search->first ? range->first : search->first;
	search->to = whole || range->last < search->last ? range->last : search->last;
	return unmap->callbacks->clear_range(unmap->arg, search, &unmap->report.cleared);
}

/*
 * Looks at ptes range by range for pages first .. last of @object: at their linear addresses in all ranges, or
 * everywhere in those that are tagged. Ranges that others move or split as fast as it looks at them are left after so
 * many passes: what they map is counted.
 */
static int clear_ranges(struct unmap *unmap, const struct rmap_object *object, uint64_t first, uint64_t last,
			bool tagged)
{
	const struct rmap_range like = {
		.first = tagged ? 0 : first,
		.last = tagged ? UINT64_MAX : last,
		.tags = tagged ? RMAP_RANGE_NONLINEAR : 0,
	};
	struct rmap_search search = { .object = object, .first = first, .last = last };
	struct range_batch batch = { .n = 0 };
	int stop;

	unmap->report.passes++;
	unmap->report.searches += tagged;
	do {
		batch.n = 0;
		rcu_read_enter(&unmap->map->rcu);
		stop = rmap_object_visit_next(object, &like, &batch.position, copy_range, &batch);
		rcu_read_leave(&unmap->map->rcu);
		for (size_t i = 0; i < batch.n; i++) {
			int error = clear_range(unmap, &search, &batch.ranges[i], tagged);

			if (error)
				return error;
		}
	} while (stop != 0 && batch.position.late < LATE_MAX);
	return 0;
}

/* --- unmap ------------------------------------------------------------------------------------ */

static enum rmap_unmap_result why(struct rmap_counts left)
{
	if (!is_mapped(left))
		return RMAP_UNMAP_SUCCESS;
	return left.locked ? RMAP_UNMAP_LOCKED : RMAP_UNMAP_AGAIN;
}

static int unmap_reliably(struct unmap *unmap, const struct rmap_target *target)
{
	uint64_t cleared = unmap->report.cleared;
	int error = clear_page(unmap, target);
	struct rmap_counts left = page_counts(unmap, target->page);

	while (!error && is_mapped(left)) {
		if (left.locked && (!(unmap->flags & RMAP_UNMAP_FORCE) || !target->object))
			break;
		wait_a_little(unmap);
		if (left.locked && unmap->report.cleared == cleared)
			error = clear_ranges(unmap, target->object, target->index, target->index, true);
		cleared = unmap->report.cleared;
		if (!error)
			error = clear_page(unmap, target);
		left = page_counts(unmap, target->page);
	}
	return error;
}

static bool callbacks_fit(const struct rmap_unmap_callbacks *callbacks)
{
	return callbacks && callbacks->size == sizeof(*callbacks) && callbacks->clear;
}

#define FLAGS ((unsigned)(RMAP_UNMAP_TRY | RMAP_UNMAP_FORCE | RMAP_UNMAP_SECTION))

int rmap_unmap(struct rmap *map, const struct rmap_unmap_callbacks *callbacks, void *arg,
	       const struct rmap_target *target, unsigned flags, enum rmap_semantics semantics,
	       struct rmap_unmap_report *report)
{
	struct unmap unmap = { .map = map, .callbacks = callbacks, .arg = arg, .flags = flags };
	struct rmap_counts counts;
	int error = 0;

	if (!map || !callbacks_fit(callbacks) || !target || !target->page || (flags & ~FLAGS) ||
	    (semantics != RMAP_FAILABLE && semantics != RMAP_RELIABLE))
		return -EINVAL;
	if (semantics == RMAP_RELIABLE &&
	    ((flags & RMAP_UNMAP_TRY) || ((flags & RMAP_UNMAP_FORCE) && !callbacks->clear_range)))
		return -EINVAL;
	CHECK_OUTSIDE(&map->rcu);
	counts = page_counts(&unmap, target->page);
	if (is_mapped(counts) && (!counts.locked || (flags & RMAP_UNMAP_FORCE)))
		error = semantics == RMAP_RELIABLE ? unmap_reliably(&unmap, target) : clear_page(&unmap, target);
	counts = page_counts(&unmap, target->page);
	add_left(&unmap.report.left, counts);
	if (report)
		*report = unmap.report;
	return error ? error : (int)why(counts);
}

/* --- truncate --------------------------------------------------------------------------------- */

enum pass {
	PASS_END,
	PASS_BULK,    /* the linear addresses in all ranges */
	PASS_SEARCH,  /* all of the tagged ranges */
	PASS_DROP,    /* drop pages that are not mapped */
	PASS_PAGES,   /* unmap pages, and drop those that are not mapped */
	PASS_ORPHANS, /* unmap pages, and drop all */
};

/* In this order, as long as something is left. */
static const enum pass strategies[][6] = {
	[RMAP_SEARCH] = { PASS_BULK, PASS_SEARCH, PASS_DROP },
	[RMAP_CLEANUP] = { PASS_BULK, PASS_PAGES },
	[RMAP_UNMAP] = { PASS_PAGES },
	[RMAP_COMBINED] = { PASS_BULK, PASS_PAGES, PASS_PAGES, PASS_SEARCH, PASS_DROP },
	[RMAP_TOLERATE] = { PASS_BULK, PASS_ORPHANS },
};

static const enum pass while_it_clears[] = { PASS_PAGES, PASS_END };
static const enum pass when_it_does_not[] = { PASS_BULK, PASS_SEARCH, PASS_DROP, PASS_END };

/* A page that is still mapped after @pass. It is listed if no pass comes behind that may clear it. */
static void leave_page(struct unmap *unmap, const struct rmap_target *target, struct rmap_counts counts, bool listed)
{
	enum rmap_unmap_result result = why(counts);

	add_left(&unmap->report.left, counts);
	if (result > unmap->worst)
		unmap->worst = result;
	if (listed && unmap->callbacks->left)
		unmap->callbacks->left(unmap->arg, target, counts, result);
}

static int finish_page(struct unmap *unmap, const struct rmap_target *target, enum pass pass, bool listed)
{
	const struct rmap_unmap_callbacks *callbacks = unmap->callbacks;
	int error = pass == PASS_DROP ? 0 : clear_page(unmap, target);
	struct rmap_counts counts = page_counts(unmap, target->page);
	bool mapped = is_mapped(counts);

	if (error)
		return error;
	if (mapped)
		leave_page(unmap, target, counts, listed);
	if (mapped && pass != PASS_ORPHANS) {
		unmap->report.mapped++;
		return 0;
	}
	unmap->report.pages++;
	unmap->report.orphans += mapped;
	callbacks->drop(unmap->arg, target, mapped);
	return 0;
}

static int page_pass(struct unmap *unmap, const struct rmap_truncation *truncation, enum pass pass, bool listed)
{
	const struct rmap_unmap_callbacks *callbacks = unmap->callbacks;
	struct rmap_target target;
	uint64_t next = truncation->first;
	int error;

	unmap->report.mapped = 0;
	unmap->report.left = (struct rmap_unmap_left){ 0, 0, 0 };
	unmap->worst = RMAP_UNMAP_SUCCESS;
	do {
		error = callbacks->lock_next(unmap->arg, truncation->object, next, truncation->last, &target);
		if (error)
			return error == -ENOENT ? 0 : error;
		error = finish_page(unmap, &target, pass, listed);
		callbacks->unlock(unmap->arg, &target);
		if (error)
			return error;
		next = target.index + 1;
	} while (target.index < truncation->last);
	return 0;
}

/* Passes up to PASS_END, or until a page pass leaves nothing. */
static int run_passes(struct unmap *unmap, const struct rmap_truncation *truncation, const enum pass *passes)
{
	for (; *passes != PASS_END; passes++) {
		bool listed = truncation->semantics == RMAP_FAILABLE && passes[1] == PASS_END;
		int error;

		if (*passes == PASS_BULK || *passes == PASS_SEARCH)
			error = clear_ranges(unmap, truncation->object, truncation->first, truncation->last,
					     *passes == PASS_SEARCH);
		else
			error = page_pass(unmap, truncation, *passes, listed);
		if (error)
			return error;
		if (*passes != PASS_BULK && *passes != PASS_SEARCH && unmap->report.mapped == 0)
			return 0;
	}
	return 0;
}

static int run_strategy(struct unmap *unmap, const struct rmap_truncation *truncation)
{
	bool reliable = truncation->semantics == RMAP_RELIABLE;
	enum rmap_strategy strategy = truncation->strategy;
	uint64_t cleared = 0;
	int error;

	if (reliable && strategy == RMAP_TOLERATE)
		strategy = RMAP_CLEANUP;
	error = run_passes(unmap, truncation, strategies[strategy]);
	while (reliable && !error && unmap->report.mapped) {
		bool clears = unmap->report.cleared != cleared;

		cleared = unmap->report.cleared;
		wait_a_little(unmap);
		error = run_passes(unmap, truncation, clears ? while_it_clears : when_it_does_not);
	}
	return error;
}

int rmap_truncate(struct rmap *map, const struct rmap_unmap_callbacks *callbacks, void *arg,
		  const struct rmap_truncation *truncation, struct rmap_unmap_report *report)
{
	struct unmap unmap = { .map = map, .callbacks = callbacks, .arg = arg };
	int error;

	if (!map || !callbacks_fit(callbacks) || !callbacks->clear_range || !callbacks->lock_next ||
	    !callbacks->unlock || !callbacks->drop || !truncation || truncation->size != sizeof(*truncation))
		return -EINVAL;
	if (!truncation->object || truncation->last < truncation->first || (truncation->flags & ~FLAGS) ||
	    (unsigned)truncation->strategy > RMAP_TOLERATE || (unsigned)truncation->semantics > RMAP_RELIABLE)
		return -EINVAL;
	CHECK_OUTSIDE(&map->rcu);
	unmap.flags = truncation->flags | RMAP_UNMAP_FORCE;
	rmap_object_truncate_advance(truncation->object);
	rmap_rcu_synchronize(&map->rcu);
	error = run_strategy(&unmap, truncation);
	if (report)
		*report = unmap.report;
	return error ? error : (int)unmap.worst;
}
