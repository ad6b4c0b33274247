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
 * these indexes only get fewer, and move. So a page of no other indexes whose mapcount is zero, seen under its lock,
 * has no mapping and gets none: it is dropped. Reliable semantics go on until every page is dropped. Of a page that has
 * other indexes, too, the mapcount does not tell, for it is of all of them: so it must be split first.
 *
 * They end. A mapping is missed by a pass only if a lock was refused, if it was moving or on its way in or out, or if
 * nothing names it. The last is so for nonlinear mappings that are locked; bulk pass and search look at every pte at
 * which one can be, and wait for its lock. The others are in the hands of threads that wait for nothing that a truncate
 * holds between two passes. So each round of passes after they are through clears something, or finds nothing. An
 * embedder that breaks a rule (a range that is not tagged) leaves a mapping that no pass finds; then rounds clear
 * nothing for ever, and that has an end, too: @wait sees how many did so, and without it RMAP_UNMAP_FRUITLESS are
 * enough. So has a page with other indexes that nobody can split.
 *
 * Copies no count tells of. A bulk pass over ranges that keep the keys they have, or that are through with changing,
 * has looked at each; one that gave up on ranges that change faster than it looks at them has not, and is made again,
 * or told.
 */
#include "map.h"
#include "object.h"

#include <rmap/unmap.h>

/* How many passes a bulk pass or a search makes over ranges that move meanwhile. */
#define LATE_MAX 64u

/* Ends a walk or a query: the page has no mapping left, the batch is full, or a callback ended the call. */
#define STOP 1

/* There are smaller pages in the place of one: look again. */
#define SPLIT 2

/* Ends a section in the middle of a walk, which goes on in another. */
#define PAUSE 3

/* How often a page pass splits what is in one place: halves of halves come to an end sooner. */
#define SPLITS_MAX 64u

/* So many rounds that clear nothing only yield the CPU before the next; later ones sleep for a millisecond. */
#define FRUITLESS_YIELDS 100u

/*
 * One unmap or truncate.
 * @worst: what became of the pages that the last page pass left
 * @gone:  the last walk has seen that its page has no mapping any more, in the section in which it cleared one
 */
struct unmap {
	struct rmap *map;
	const struct rmap_unmap_callbacks *callbacks;
	void *arg;
	unsigned flags;
	enum rmap_unmap_result worst;
	bool gone;
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

static void set_left(struct rmap_unmap_left *left, struct rmap_counts counts)
{
	*left = (struct rmap_unmap_left){ counts.chained, counts.linear, counts.locked };
}

static void add_left(struct rmap_unmap_left *left, struct rmap_counts counts)
{
	left->chained += counts.chained;
	left->linear += counts.linear;
	left->locked += counts.locked;
}

/* A callback returned @value, which is not 0. */
static int stop_with(struct unmap *unmap, int value)
{
	unmap->report.stopped = value;
	return STOP;
}

/*
 * Between two rounds of reliable semantics, of which the last one cleared something or did not. STOP: it was the last.
 */
static int wait_a_little(struct unmap *unmap, bool clears)
{
	uint64_t fruitless = clears ? 0 : unmap->report.fruitless + 1;

	unmap->report.fruitless = fruitless;
	rmap_rcu_quiesce(&unmap->map->rcu);
	if (unmap->callbacks->wait) {
		int value = unmap->callbacks->wait(unmap->arg, &unmap->report);

		return value ? stop_with(unmap, value) : 0;
	}
	if (fruitless >= RMAP_UNMAP_FRUITLESS)
		return STOP;
	if (fruitless < FRUITLESS_YIELDS)
		env_yield();
	else
		env_sleep();
	return 0;
}

/* What the call returns if @worst became of its pages. */
static int result_of(const struct unmap *unmap, enum rmap_unmap_result worst)
{
	if (unmap->report.stopped)
		return unmap->report.stopped < 0 ? unmap->report.stopped : RMAP_UNMAP_STOPPED;
	return (int)worst;
}

/* --- one page --------------------------------------------------------------------------------- */

/* Inside a section. */
static bool is_gone(struct unmap *unmap, const struct rmap_page *page)
{
	unmap->gone = !is_mapped(rmap_page_counts(unmap->map, page));
	return unmap->gone;
}

/* A refused lock ends nothing: what else can be cleared is. */
static int clear_visit(struct unmap *unmap, const struct rmap_target *target, const struct rmap_visit *visit)
{
	uint64_t cleared = unmap->report.cleared;
	int error = unmap->callbacks->clear(unmap->arg, target, visit, unmap->flags, &unmap->report.cleared);

	if (error == -EAGAIN)
		unmap->report.refused++;
	else if (error)
		return stop_with(unmap, error);
	if (unmap->report.cleared == cleared)
		return 0;
	if (unmap->flags & RMAP_UNMAP_SECTION)
		return is_gone(unmap, target->page) ? STOP : 0;
	return is_mapped(page_counts(unmap, target->page)) ? 0 : STOP;
}

/* What has been cleared since there were @cleared. Outside any section. */
static void flush(struct unmap *unmap, const struct rmap_target *target, uint64_t cleared)
{
	if (unmap->callbacks->flush && unmap->report.cleared != cleared)
		unmap->callbacks->flush(unmap->arg, target);
}

static void clear_outside(struct unmap *unmap, const struct rmap_target *target, struct rmap_cursor *cursor)
{
	struct rmap_visit visits[ENV_BATCH];
	int stop = 0;
	size_t n;

	do {
		uint64_t cleared = unmap->report.cleared;

		n = rmap_cursor_next(cursor, visits, ENV_BATCH);
		for (size_t i = 0; i < n && stop == 0; i++)
			stop = clear_visit(unmap, target, &visits[i]);
		flush(unmap, target, cleared);
	} while (n > 0 && stop == 0);
}

/* struct batches - those of one section. @visits: in them */
struct batches {
	struct unmap *unmap;
	const struct rmap_target *target;
	uint64_t visits;
};

static int clear_batch(void *arg, const struct rmap_visits *visits)
{
	struct batches *batches = arg;
	struct rmap_visit visit;
	int stop = 0;

	for (size_t i = 0; i < visits->n && stop == 0; i++) {
		rmap_visits_get(visits, i, &visit);
		stop = clear_visit(batches->unmap, batches->target, &visit);
	}
	batches->visits += visits->n;
	if (!stop && batches->visits >= RMAP_VISITS_MAX)
		stop = PAUSE;
	return stop;
}

static void clear_inside(struct unmap *unmap, const struct rmap_target *target, struct rmap_cursor *cursor)
{
	int stop;

	do {
		struct batches batches = { unmap, target, 0 };
		uint64_t cleared = unmap->report.cleared;

		rcu_read_enter(&unmap->map->rcu);
		stop = rmap_walk_batches(cursor, clear_batch, &batches);
		rcu_read_leave(&unmap->map->rcu);
		flush(unmap, target, cleared);
	} while (stop == PAUSE);
}

/*
 * One walk over the page's mappings, in batches: in the section that finds them, or each outside. One section is for so
 * many visits, lest all retired memory wait for a page of many mappings. What a batch or the batches of a section have
 * cleared is flushed before the next, also if it ends the call. STOP: a callback ended the call. A walk that was not
 * complete leaves what it missed to the counts.
 */
static int clear_page(struct unmap *unmap, const struct rmap_target *target)
{
	struct rmap_cursor cursor;

	unmap->report.passes++;
	unmap->gone = false;
	rmap_cursor_init(&cursor, unmap->map, target);
	if (unmap->flags & RMAP_UNMAP_SECTION)
		clear_inside(unmap, target, &cursor);
	else
		clear_outside(unmap, target, &cursor);
	return unmap->report.stopped ? STOP : 0;
}

/* What is left behind clear_page(), which may have seen that nothing is. */
static struct rmap_counts counts_behind(const struct unmap *unmap, const struct rmap_page *page)
{
	return unmap->gone ? (struct rmap_counts){ 0, 0, 0 } : page_counts(unmap, page);
}

/* --- ranges ----------------------------------------------------------------------------------- */

/* Ranges copied out of the index, and how far that has got. */
struct range_batch {
	struct rmap_range_position position;
	struct rmap_range ranges[ENV_BATCH];
	size_t n;
};

static int copy_range(void *arg, const struct rmap_range *range)
{
	struct range_batch *batch = arg;

	batch->ranges[batch->n++] = *range;
	batch->position.after = *range;
	batch->position.resumes = 1;
	return batch->n == ENV_BATCH ? STOP : 0;
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
 * many passes: what they map is counted, but for copies.
 */
static int clear_ranges(struct unmap *unmap, const struct rmap_object *object, uint64_t first, uint64_t last,
			bool tagged)
{
	const struct rmap_range like = {
		.first = tagged ? 0 : first,
		.last = tagged ? UINT64_MAX : last,
		.tags = tagged ? RMAP_RANGE_NONLINEAR : 0,
	};
	struct rmap_search search = { .object = object, .first = first, .last = last, .flags = unmap->flags };
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
				return stop_with(unmap, error);
		}
	} while (stop != 0 && batch.position.late < LATE_MAX);
	if (!tagged)
		unmap->report.unseen = stop != 0 && (unmap->flags & RMAP_UNMAP_COPIES);
	return 0;
}

/* --- unmap ------------------------------------------------------------------------------------ */

static enum rmap_unmap_result why(struct rmap_counts left)
{
	if (!is_mapped(left))
		return RMAP_UNMAP_SUCCESS;
	return left.locked ? RMAP_UNMAP_LOCKED : RMAP_UNMAP_AGAIN;
}

static void unmap_reliably(struct unmap *unmap, const struct rmap_target *target)
{
	uint64_t cleared = 0;
	int stop = clear_page(unmap, target);
	struct rmap_counts left = counts_behind(unmap, target->page);

	while (!stop && is_mapped(left)) {
		bool clears = unmap->report.cleared != cleared;

		if (left.locked && (!(unmap->flags & RMAP_UNMAP_FORCE) || !target->object))
			break;
		cleared = unmap->report.cleared;
		set_left(&unmap->report.left, left);
		stop = wait_a_little(unmap, clears);
		if (!stop && left.locked && !clears)
			stop = clear_ranges(unmap, target->object, target->first, target->last, true);
		if (!stop)
			stop = clear_page(unmap, target);
		left = counts_behind(unmap, target->page);
	}
}

static bool callbacks_fit(const struct rmap_unmap_callbacks *callbacks)
{
	return callbacks && callbacks->size == sizeof(*callbacks) && callbacks->clear;
}

#define PAGE_FLAGS ((unsigned)(RMAP_UNMAP_TRY | RMAP_UNMAP_FORCE | RMAP_UNMAP_SECTION))
#define TRUNCATE_FLAGS (PAGE_FLAGS | (unsigned)RMAP_UNMAP_COPIES)

int rmap_unmap(struct rmap *map, const struct rmap_unmap_callbacks *callbacks, void *arg,
	       const struct rmap_target *target, unsigned flags, enum rmap_semantics semantics,
	       struct rmap_unmap_report *report)
{
	struct unmap unmap = { .map = map, .callbacks = callbacks, .arg = arg, .flags = flags };
	struct rmap_counts counts;

	if (!map || !callbacks_fit(callbacks) || !target || !target->page || target->last < target->first ||
	    (flags & ~PAGE_FLAGS) || (semantics != RMAP_FAILABLE && semantics != RMAP_RELIABLE))
		return -EINVAL;
	if (semantics == RMAP_RELIABLE &&
	    ((flags & RMAP_UNMAP_TRY) || ((flags & RMAP_UNMAP_FORCE) && !callbacks->clear_range)))
		return -EINVAL;
	CHECK_OUTSIDE(&map->rcu);
	counts = page_counts(&unmap, target->page);
	if (is_mapped(counts) && (!counts.locked || (flags & RMAP_UNMAP_FORCE))) {
		if (semantics == RMAP_RELIABLE)
			unmap_reliably(&unmap, target);
		else
			clear_page(&unmap, target);
	}
	counts = counts_behind(&unmap, target->page);
	set_left(&unmap.report.left, counts);
	if (report)
		*report = unmap.report;
	return result_of(&unmap, why(counts));
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
	[RMAP_COMBINED] = { PASS_BULK, PASS_PAGES, PASS_PAGES, PASS_SEARCH, PASS_DROP },
	[RMAP_SEARCH] = { PASS_BULK, PASS_SEARCH, PASS_DROP },
	[RMAP_CLEANUP] = { PASS_BULK, PASS_PAGES },
	[RMAP_UNMAP] = { PASS_PAGES },
	[RMAP_TOLERATE] = { PASS_BULK, PASS_ORPHANS },
};

/* Only ranges tell where copies are: what is missing where a strategy has no bulk pass. */
static const enum pass for_copies[] = { PASS_BULK, PASS_END };
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
	int stop = pass == PASS_DROP ? 0 : clear_page(unmap, target);
	struct rmap_counts counts = pass == PASS_DROP ? page_counts(unmap, target->page) :
							counts_behind(unmap, target->page);
	bool mapped = is_mapped(counts);

	if (stop)
		return stop;
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

/*
 * A page of which only a part is to go: SPLIT, or STOP; or, as it could not be split or @may_split is false, it stays,
 * and the mappings of that part go.
 */
static int finish_part(struct unmap *unmap, const struct rmap_target *target, const struct rmap_truncation *truncation,
		       enum pass pass, bool listed, bool may_split)
{
	const struct rmap_unmap_callbacks *callbacks = unmap->callbacks;
	struct rmap_target part = *target;
	int error = -EAGAIN;

	if (callbacks->split && may_split)
		error = callbacks->split(unmap->arg, target, truncation->first, truncation->last);
	if (error != -EAGAIN)
		return error ? stop_with(unmap, error) : SPLIT;
	if (part.first < truncation->first)
		part.first = truncation->first;
	if (part.last > truncation->last)
		part.last = truncation->last;
	if (pass != PASS_DROP && clear_page(unmap, &part))
		return STOP;
	unmap->report.unsplit++;
	if (unmap->worst < RMAP_UNMAP_AGAIN)
		unmap->worst = RMAP_UNMAP_AGAIN;
	if (listed && callbacks->left)
		callbacks->left(unmap->arg, target, page_counts(unmap, target->page), RMAP_UNMAP_AGAIN);
	return 0;
}

static int page_pass(struct unmap *unmap, const struct rmap_truncation *truncation, enum pass pass, bool listed)
{
	const struct rmap_unmap_callbacks *callbacks = unmap->callbacks;
	uint64_t next = truncation->first;
	struct rmap_target target;
	unsigned splits = 0;
	int stop;

	unmap->report.mapped = 0;
	unmap->report.unsplit = 0;
	unmap->report.left = (struct rmap_unmap_left){ 0, 0, 0 };
	unmap->worst = RMAP_UNMAP_SUCCESS;
	for (;;) {
		int error = callbacks->lock_next(unmap->arg, truncation->object, next, truncation->last, &target);

		if (error)
			return error == -ENOENT ? 0 : stop_with(unmap, error);
		if (target.first >= truncation->first && target.last <= truncation->last)
			stop = finish_page(unmap, &target, pass, listed);
		else
			stop = finish_part(unmap, &target, truncation, pass, listed, splits < SPLITS_MAX);
		callbacks->unlock(unmap->arg, &target);
		if (stop == STOP)
			return STOP;
		splits = stop == SPLIT ? splits + 1 : 0;
		if (stop == SPLIT)
			continue;
		if (target.last >= truncation->last)
			return 0;
		next = target.last + 1;
	}
}

/* Did the last page pass leave a page, or the last bulk pass perhaps a copy? */
static bool stays(const struct unmap *unmap)
{
	return unmap->report.mapped || unmap->report.unsplit || unmap->report.unseen;
}

/* Passes up to PASS_END, or until a page pass leaves nothing. */
static int run_passes(struct unmap *unmap, const struct rmap_truncation *truncation, const enum pass *passes)
{
	for (; *passes != PASS_END; passes++) {
		bool listed = truncation->semantics == RMAP_FAILABLE && passes[1] == PASS_END;
		int stop;

		if (*passes == PASS_BULK || *passes == PASS_SEARCH)
			stop = clear_ranges(unmap, truncation->object, truncation->first, truncation->last,
					    *passes == PASS_SEARCH);
		else
			stop = page_pass(unmap, truncation, *passes, listed);
		if (stop)
			return stop;
		if (*passes != PASS_BULK && *passes != PASS_SEARCH && !stays(unmap))
			return 0;
	}
	return 0;
}

static void run_strategy(struct unmap *unmap, const struct rmap_truncation *truncation)
{
	bool reliable = truncation->semantics == RMAP_RELIABLE;
	enum rmap_strategy strategy = truncation->strategy;
	uint64_t cleared = 0;
	int stop = 0;

	if (reliable && strategy == RMAP_TOLERATE)
		strategy = RMAP_CLEANUP;
	if (strategy == RMAP_UNMAP && (unmap->flags & RMAP_UNMAP_COPIES))
		stop = run_passes(unmap, truncation, for_copies);
	if (!stop)
		stop = run_passes(unmap, truncation, strategies[strategy]);
	while (reliable && !stop && stays(unmap)) {
		bool clears = unmap->report.cleared != cleared;

		cleared = unmap->report.cleared;
		stop = wait_a_little(unmap, clears);
		if (!stop)
			stop = run_passes(unmap, truncation, clears ? while_it_clears : when_it_does_not);
	}
}

int rmap_truncate(struct rmap *map, const struct rmap_unmap_callbacks *callbacks, void *arg,
		  const struct rmap_truncation *truncation, struct rmap_unmap_report *report)
{
	struct unmap unmap = { .map = map, .callbacks = callbacks, .arg = arg };

	if (!map || !callbacks_fit(callbacks) || !callbacks->clear_range || !callbacks->lock_next ||
	    !callbacks->unlock || !callbacks->drop || !truncation || truncation->size != sizeof(*truncation))
		return -EINVAL;
	if (!truncation->object || truncation->last < truncation->first || (truncation->flags & ~TRUNCATE_FLAGS) ||
	    (unsigned)truncation->strategy > RMAP_TOLERATE || (unsigned)truncation->semantics > RMAP_RELIABLE)
		return -EINVAL;
	CHECK_OUTSIDE(&map->rcu);
	unmap.flags = truncation->flags | RMAP_UNMAP_FORCE;
	rmap_object_truncate_advance(truncation->object);
	rmap_rcu_synchronize(&map->rcu);
	run_strategy(&unmap, truncation);
	if (unmap.report.unseen && unmap.worst < RMAP_UNMAP_AGAIN)
		unmap.worst = RMAP_UNMAP_AGAIN;
	if (report)
		*report = unmap.report;
	return result_of(&unmap, unmap.worst);
}
