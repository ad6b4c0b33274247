/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * object.c - ranges come, go, split, move, grow and change tags while readers stab
 *
 * Each thread owns a few ranges, told apart by their owner field, and changes them in turn; all threads stab, and know
 * of each owner what every single query must show, since an update takes effect in one step and a query sees one
 * moment:
 *
 *      FIXED   attached for good                            exactly once in each stab
 *      PIECES  split, and put together by resize + detach   each index covered once, or twice with one address
 *      MOVED   moves between two addresses                  exactly once, at one of the two
 *      TWIN    moves with MOVED, in one list of changes     exactly once, on MOVED's side
 *      TAGGED  has one of two tags                          exactly once in a query for both
 *      OUTER   attached before INNER, detached after it     INNER is never there without it
 *      INNER
 *
 * The truncate sequence ends at the number of advances.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "stress.h"

#define INDEXES 256u
#define PIECES_MAX 16u
#define PAGE_SHIFT 12u

enum role { FIXED, PIECES, MOVED, TWIN, TAGGED, OUTER, INNER, ROLES };

/* Tags of TAGGED. */
#define TAG_A 2u
#define TAG_B 4u

/*
 * struct worker - one thread's own memory: what is attached
 * @starts: the first indexes of the pieces, ascending; each reaches to the next
 */
struct worker {
	uint64_t starts[PIECES_MAX + 1];
	unsigned pieces;
	bool elsewhere;
	uint32_t tags;
	bool outer;
	bool inner;
	uint64_t advances;
	uint64_t seq;
};

/* @page: has a linear mapping of each thread, so that walks look for them */
struct object {
	struct rmap_object *object;
	struct rmap_page page;
	struct worker workers[STRESS_THREADS_MAX];
};

/* What one query showed, per thread and role. */
struct look {
	const struct stress_thread *thread;
	uint64_t index;
	unsigned found[STRESS_THREADS_MAX][ROLES];
	bool elsewhere[STRESS_THREADS_MAX][ROLES];
};

/* Roles lie far apart, MOVED and its twin at both ends of the tree, and these have a second place. */
static uint64_t address_of(unsigned thread, enum role role, bool elsewhere)
{
	return (uint64_t)(role == TWIN) << 60 | ((uint64_t)thread * ROLES + role + 1) << 32 | (uint64_t)elsewhere << 31;
}

static struct rmap_range range_of(unsigned thread, enum role role)
{
	return (struct rmap_range){ .first = 0,
				    .last = INDEXES - 1,
				    .page_shift = PAGE_SHIFT,
				    .address = address_of(thread, role, false),
				    .owner = (uint64_t)thread * ROLES + role };
}

static struct rmap_range piece_of(const struct stress_thread *thread, const struct worker *worker, unsigned i)
{
	struct rmap_range range = range_of(thread->id, PIECES);

	range.address = rmap_range_address(&range, worker->starts[i]);
	range.first = worker->starts[i];
	range.last = worker->starts[i + 1] - 1;
	return range;
}

static void must(int result, const char *what)
{
	stress_assert(result == 0, "an update of the thread's own range failed: %s: %s", what, strerror(-result));
}

/* --- owners ----------------------------------------------------------------------------------- */

static void split(struct stress_thread *thread, struct object *object, struct worker *worker)
{
	unsigned i = stress_below(thread, worker->pieces);
	struct rmap_range range = piece_of(thread, worker, i);
	uint64_t at;

	if (range.first == range.last)
		return;
	at = range.first + 1 + stress_below(thread, (unsigned)(range.last - range.first));
	must(rmap_object_split(object->object, &range, at), "split");
	memmove(&worker->starts[i + 2], &worker->starts[i + 1], (worker->pieces - i) * sizeof(worker->starts[0]));
	worker->starts[i + 1] = at;
	worker->pieces++;
}

/* One of two neighbours grows over the other, which then goes: both ends grow in turn. */
static void unite(struct stress_thread *thread, struct object *object, struct worker *worker)
{
	unsigned i = stress_below(thread, worker->pieces - 1);
	struct rmap_range left = piece_of(thread, worker, i), right = piece_of(thread, worker, i + 1);

	if (stress_one_in(thread, 2)) {
		must(rmap_object_resize(object->object, &left, left.first, right.last), "resize of the last index");
		must(rmap_object_detach(object->object, &right), "detach of the piece behind");
	} else {
		must(rmap_object_resize(object->object, &right, left.first, right.last), "resize of the first index");
		must(rmap_object_detach(object->object, &left), "detach of the piece in front");
	}
	memmove(&worker->starts[i + 1], &worker->starts[i + 2], (worker->pieces - i - 1) * sizeof(worker->starts[0]));
	worker->pieces--;
}

static void move(struct stress_thread *thread, struct object *object, struct worker *worker)
{
	struct rmap_range from[2] = { range_of(thread->id, MOVED), range_of(thread->id, TWIN) };
	struct rmap_range to[2] = { from[0], from[1] };
	struct rmap_change changes[2] = { { &from[0], &to[0], 1, 0 }, { &from[1], &to[1], 1, 0 } };

	from[0].address = address_of(thread->id, MOVED, worker->elsewhere);
	from[1].address = address_of(thread->id, TWIN, worker->elsewhere);
	worker->elsewhere = !worker->elsewhere;
	to[0].address = address_of(thread->id, MOVED, worker->elsewhere);
	to[1].address = address_of(thread->id, TWIN, worker->elsewhere);
	must(rmap_object_update(object->object, changes, 2), "a list of two moves");
}

static void tag(struct stress_thread *thread, struct object *object, struct worker *worker)
{
	struct rmap_range range = range_of(thread->id, TAGGED);

	worker->tags ^= TAG_A | TAG_B;
	must(rmap_object_tag(object->object, &range, worker->tags), "tag");
}

static void nest(struct stress_thread *thread, struct object *object, struct worker *worker)
{
	struct rmap_range outer = range_of(thread->id, OUTER), inner = range_of(thread->id, INNER);

	if (!worker->outer) {
		must(rmap_object_attach(object->object, &outer), "attach of the outer");
		worker->outer = true;
		return;
	}
	if (!worker->inner) {
		must(rmap_object_attach(object->object, &inner), "attach of the inner");
		worker->inner = true;
		return;
	}
	must(rmap_object_detach(object->object, &inner), "detach of the inner");
	worker->inner = false;
	if (stress_one_in(thread, 2)) {
		must(rmap_object_detach(object->object, &outer), "detach of the outer");
		worker->outer = false;
	}
}

static void change(struct stress_thread *thread, struct object *object)
{
	struct worker *worker = &object->workers[thread->id];

	switch (stress_below(thread, 5)) {
	case 0:
		move(thread, object, worker);
		break;
	case 1:
		tag(thread, object, worker);
		break;
	case 2:
		nest(thread, object, worker);
		break;
	default:
		if (worker->pieces == PIECES_MAX || (worker->pieces > 1 && stress_one_in(thread, 2)))
			unite(thread, object, worker);
		else
			split(thread, object, worker);
	}
}

/* --- readers ---------------------------------------------------------------------------------- */

static int visit(void *arg, const struct rmap_range *range)
{
	struct look *look = arg;
	unsigned thread = (unsigned)(range->owner / ROLES);
	enum role role = (enum role)(range->owner % ROLES);
	uint64_t address, want;

	stress_assert(thread < look->thread->stress->threads && range->page_shift == PAGE_SHIFT &&
			      range->last < INDEXES,
		      "a query showed a range that was never attached (owner %" PRIu64 ", %" PRIu64 " to %" PRIu64 ")",
		      range->owner, range->first, range->last);
	stress_assert(rmap_range_covers(range, look->index),
		      "a stab of %" PRIu64 " showed a range of %" PRIu64 " to %" PRIu64, look->index, range->first,
		      range->last);
	address = rmap_range_address(range, look->index);
	want = address_of(thread, role, false) + (look->index << PAGE_SHIFT);
	look->elsewhere[thread][role] = address != want;
	stress_assert(address == want || ((role == MOVED || role == TWIN) && address == want + (1ull << 31)),
		      "index %" PRIu64 " of role %d lies at %" PRIx64 ", not at %" PRIx64, look->index, role, address,
		      want);
	look->found[thread][role]++;
	return 0;
}

/* @once: the query showed one moment, so nothing twice. */
static void judge(const struct look *look, const char *what, bool once)
{
	for (unsigned i = 0; i < look->thread->stress->threads; i++) {
		const unsigned *found = look->found[i];

		stress_assert(found[FIXED] >= 1 && found[PIECES] >= 1 && found[MOVED] >= 1 && found[TWIN] >= 1 &&
				      found[TAGGED] >= 1,
			      "%s of index %" PRIu64
			      " saw thread %u's fixed range %u, pieces %u, moved %u, twin %u, tagged %u times",
			      what, look->index, i, found[FIXED], found[PIECES], found[MOVED], found[TWIN],
			      found[TAGGED]);
		if (!once)
			continue;
		stress_assert(found[FIXED] == 1 && found[PIECES] <= 2 && found[MOVED] == 1 && found[TWIN] == 1 &&
				      found[TAGGED] == 1,
			      "%s of index %" PRIu64
			      " saw thread %u's fixed range %u, pieces %u, moved %u, twin %u, tagged %u times",
			      what, look->index, i, found[FIXED], found[PIECES], found[MOVED], found[TWIN],
			      found[TAGGED]);
		stress_assert(look->elsewhere[i][MOVED] == look->elsewhere[i][TWIN],
			      "%s of index %" PRIu64 " saw half of a list of thread %u's", what, look->index, i);
		stress_assert(found[INNER] <= found[OUTER] && found[OUTER] <= 1,
			      "%s of index %" PRIu64 " saw thread %u's inner range %u times, its outer one %u times",
			      what, look->index, i, found[INNER], found[OUTER]);
	}
}

static void stab(struct stress_thread *thread, struct object *object)
{
	struct look look = { .thread = thread, .index = stress_below(thread, INDEXES) };

	rmap_read_lock(thread->map);
	stress_assert(rmap_object_stab(object->object, look.index, visit, &look) == 0, "a stab ended early");
	rmap_read_unlock(thread->map);
	judge(&look, "a stab", true);
}

static int visit_tagged(void *arg, const struct rmap_range *range)
{
	struct look *look = arg;

	stress_assert(range->tags == TAG_A || range->tags == TAG_B, "a query for tags showed a range with tags %u",
		      range->tags);
	return visit(arg, range) || look->found[range->owner / ROLES][range->owner % ROLES] > 1;
}

static void search(struct stress_thread *thread, struct object *object)
{
	struct look look = { .thread = thread, .index = stress_below(thread, INDEXES) };

	rmap_read_lock(thread->map);
	stress_assert(rmap_object_tagged(object->object, TAG_A | TAG_B, look.index, look.index, visit_tagged, &look) ==
			      0,
		      "a query for tags showed one range twice");
	rmap_read_unlock(thread->map);
	for (unsigned i = 0; i < thread->stress->threads; i++)
		stress_assert(look.found[i][TAGGED] == 1, "a query for both tags saw thread %u's tagged range %u times",
			      i, look.found[i][TAGGED]);
}

static int visit_walk(void *arg, const struct rmap_visit *visited)
{
	stress_assert(visited->kind == RMAP_LINEAR &&
			      visited->address == rmap_range_address(&visited->range, ((struct look *)arg)->index),
		      "a walk of a page without chained mappings visited kind %d, address %" PRIx64, visited->kind,
		      visited->address);
	return visit(arg, &visited->range);
}

/*
 * A cursor leaves its section between batches, so it may see ranges twice or half of a nest, but misses nothing that
 * stays.
 */
static void walk(struct stress_thread *thread, struct object *object)
{
	static const size_t sizes[] = { 1, 3, 64 };
	size_t size = sizes[stress_below(thread, 3)], n;
	struct look look = { .thread = thread, .index = stress_below(thread, INDEXES) };
	struct rmap_target target = { &object->page, object->object, look.index, look.index };
	struct rmap_visit visits[64];
	struct rmap_cursor cursor;
	bool by_cursor = stress_one_in(thread, 2);

	if (by_cursor) {
		rmap_cursor_init(&cursor, thread->map, &target);
		cursor.rounds_max = UINT32_MAX;
		while ((n = rmap_cursor_next(&cursor, visits, size)) > 0) {
			for (size_t i = 0; i < n; i++)
				visit_walk(&look, &visits[i]);
		}
	} else {
		rmap_read_lock(thread->map);
		stress_assert(stress_walk_page(thread->map, &target, visit_walk, &look, NULL) == 0,
			      "a walk ended early");
		rmap_read_unlock(thread->map);
	}
	judge(&look, by_cursor ? "a cursor" : "a walk", !by_cursor);
}

/* --- the run ---------------------------------------------------------------------------------- */

static void truncate_sequence(struct stress_thread *thread, struct object *object)
{
	struct worker *worker = &object->workers[thread->id];
	uint64_t before = rmap_object_truncate_seq(object->object), after;

	stress_assert(before >= worker->seq, "the truncate sequence went back from %" PRIu64 " to %" PRIu64,
		      worker->seq, before);
	rmap_object_truncate_advance(object->object);
	worker->advances++;
	after = rmap_object_truncate_seq(object->object);
	stress_assert(after > before,
		      "the truncate sequence is %" PRIu64 " behind an advance, it was %" PRIu64 " before it", after,
		      before);
	worker->seq = after;
}

static void begin(struct stress_thread *thread, struct object *object)
{
	struct worker *worker = &object->workers[thread->id];
	static const enum role roles[] = { FIXED, PIECES, MOVED, TWIN, TAGGED };

	for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
		struct rmap_range range = range_of(thread->id, roles[i]);

		range.tags = roles[i] == TAGGED ? TAG_A : 0;
		must(rmap_object_attach(object->object, &range), "attach");
	}
	rmap_read_lock(thread->map);
	stress_assert(rmap_page_add(thread->reserve, &object->page, rmap_linear()) >= 0, "an add failed");
	rmap_read_unlock(thread->map);
	worker->pieces = 1;
	worker->starts[1] = INDEXES;
	worker->tags = TAG_A;
}

static void body(struct stress_thread *thread, void *arg)
{
	struct object *object = arg;

	begin(thread, object);
	while (stress_round(thread)) {
		while (stress_next(thread)) {
			unsigned dice = stress_below(thread, 16);

			if (dice < 6)
				change(thread, object);
			else if (dice < 12)
				stab(thread, object);
			else if (dice < 13)
				search(thread, object);
			else if (dice < 15)
				walk(thread, object);
			else
				truncate_sequence(thread, object);
		}
	}
}

static void check(struct stress_thread *thread, void *arg)
{
	struct object *object = arg;
	uint64_t ranges = 0, advances = 0;

	for (unsigned i = 0; i < thread->stress->threads; i++) {
		const struct worker *worker = &object->workers[i];

		ranges += 4 + worker->pieces + worker->outer + worker->inner;
		advances += worker->advances;
	}
	rmap_read_lock(thread->map);
	stress_assert(rmap_object_ranges(object->object) == ranges,
		      "%" PRIu64 " ranges are attached, the records say %" PRIu64, rmap_object_ranges(object->object),
		      ranges);
	stress_assert(rmap_object_check(object->object) == 0, "an equation of the object does not hold");
	rmap_read_unlock(thread->map);
	stress_assert(rmap_object_truncate_seq(object->object) == advances,
		      "the truncate sequence is %" PRIu64 " behind %" PRIu64 " advances",
		      rmap_object_truncate_seq(object->object), advances);
}

static void run(struct stress *stress)
{
	struct object *object = stress_zalloc(1, sizeof(*object));
	struct stress_map map;
	struct stress_plan plan = { .body = body, .check = check, .arg = object };

	stress_map_init(&map, NULL, false);
	stress_assert(rmap_object_create(map.map, &object->object) == 0, "an object cannot be made");
	plan.map = map.map;
	stress_run(stress, &plan);
	rmap_object_destroy(object->object);
	stress_map_fini(&map, "the map");
	free(object);
}

const struct stress_test stress_object = { "object", "ranges change in one step; every query shows one moment", run,
					   false };
