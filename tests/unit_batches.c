/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * unit_batches.c - walk.h: batches, in one section and in sections of their own, and what may happen between two
 *
 * At rest a walk by batches says what a walk by single visits says, in its order. What a visitor of a batch does to the
 * page stands for what any thread might do at that moment.
 */
#include "support.h"

#include <rmap/unmap.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <urcu/urcu-memb.h>

#define RANGES_MAX 300u
#define VISITS_MAX 4096u
#define INDEX 7u
#define STOP 4242

/*
 * What was found, in order. @end_after: so many batches end the call, from where it goes on; 0: never
 * @sizes: of the batches, with the kind in bit 16
 * @words, @room: NULL, or where batches must be
 */
struct found {
	struct rmap_visit visits[VISITS_MAX];
	unsigned sizes[VISITS_MAX];
	size_t n;
	size_t batches;
	size_t end_after;
	const uint64_t *words;
	size_t room;
};

static struct found singly, by_batch;

static int find_one(void *arg, const struct rmap_visit *visit)
{
	struct found *found = arg;

	expect(found->n < VISITS_MAX);
	found->visits[found->n++] = *visit;
	return 0;
}

static int find_batch(void *arg, const struct rmap_visits *visits)
{
	struct found *found = arg;

	expect(visits->n >= 1 && visits->n <= RMAP_VISITS_MAX);
	expect(!found->words || (visits->words == found->words && visits->n <= found->room));
	expect(visits->kind == RMAP_LINEAR || visits->kind == RMAP_CHAINED);
	for (size_t i = 0; i < visits->n; i++) {
		struct rmap_visit visit;

		memset(&visit, 0xff, sizeof(visit));
		rmap_visits_get(visits, i, &visit);
		expect(visit.kind == visits->kind);
		expect(visit.count == rmap_visits_count(visits, i));
		if (visits->kind == RMAP_CHAINED)
			expect(visit.handle == rmap_visits_handle(visits, i));
		else
			expect(visit.range.owner == rmap_visits_range(visits, i)->owner);
		find_one(found, &visit);
	}
	found->sizes[found->batches++] = (unsigned)visits->n | (unsigned)visits->kind << 16;
	return found->batches == found->end_after ? STOP : 0;
}

static void same_visits(const struct found *a, const struct found *b)
{
	assert_int_equal(a->n, b->n);
	for (size_t i = 0; i < a->n; i++) {
		assert_int_equal(a->visits[i].kind, b->visits[i].kind);
		assert_int_equal(a->visits[i].count, b->visits[i].count);
		assert_int_equal(a->visits[i].handle, b->visits[i].handle);
		assert_int_equal(a->visits[i].address, b->visits[i].address);
		assert_memory_equal(&a->visits[i].range, &b->visits[i].range, sizeof(a->visits[i].range));
	}
}

/* Ranges first, and all batches of them but the last are as large as may be; the chain's end where its parts do. */
static void batches_are_full(const struct found *found)
{
	unsigned full = CHECKED ? 6 : RMAP_VISITS_MAX;

	for (size_t i = 0; i + 1 < found->batches; i++) {
		if (found->sizes[i] >> 16 != found->sizes[i + 1] >> 16)
			assert_int_equal(found->sizes[i] >> 16, RMAP_LINEAR);
		else if (found->sizes[i] >> 16 == RMAP_LINEAR)
			assert_int_equal(found->sizes[i] & 0xffff, full);
		else
			assert_in_range(found->sizes[i] & 0xffff, CHECKED ? 1 : 64, full);
	}
}

static void same_summaries(const struct rmap_walk_summary *a, const struct rmap_walk_summary *b)
{
	assert_int_equal(a->chained, b->chained);
	assert_int_equal(a->candidates, b->candidates);
	assert_int_equal(a->linear, b->linear);
	assert_int_equal(a->unnamed, b->unnamed);
	assert_int_equal(a->rounds, b->rounds);
	assert_int_equal(a->complete, b->complete);
}

static int compare_visits(const void *a, const void *b)
{
	const struct rmap_visit *x = a, *y = b;

	if (x->handle != y->handle)
		return x->handle < y->handle ? -1 : 1;
	if (x->range.owner != y->range.owner)
		return x->range.owner < y->range.owner ? -1 : 1;
	return x->count < y->count ? -1 : x->count > y->count;
}

/* In an array of so many words, behind which nothing is written; its size may change the order. */
static void walk_in_array(struct fixture *fixture, const struct rmap_target *target, uint32_t room)
{
	static uint64_t words[RMAP_VISITS_MAX + 1];
	static struct rmap_visit copies[RMAP_VISITS_MAX];
	struct rmap_cursor cursor;
	size_t n, copied = 0;

	by_batch.n = by_batch.batches = by_batch.end_after = 0;
	by_batch.words = words;
	by_batch.room = room;
	words[room] = STOP;
	rmap_cursor_init(&cursor, fixture->map, target);
	cursor.words = words;
	cursor.room = room;
	rmap_read_lock(fixture->map);
	assert_int_equal(rmap_walk_batches(&cursor, find_batch, &by_batch), 0);
	rmap_read_unlock(fixture->map);
	by_batch.words = NULL;
	qsort(by_batch.visits, by_batch.n, sizeof(by_batch.visits[0]), compare_visits);
	same_visits(&singly, &by_batch);
	rmap_cursor_init(&cursor, fixture->map, target);
	cursor.words = words;
	cursor.room = room;
	while ((n = rmap_cursor_next(&cursor, copies, RMAP_VISITS_MAX)) > 0) {
		assert_in_range(n, 1, room);
		copied += n;
	}
	assert_int_equal(copied, singly.n);
	assert_int_equal(words[room], STOP);
}

static void in_arrays_of_the_callers(struct fixture *fixture, const struct rmap_target *target)
{
	static const uint32_t rooms[] = { 1, 5, 64, RMAP_VISITS_MAX };

	singly.n = 0;
	rmap_read_lock(fixture->map);
	assert_int_equal(rmap_walk(fixture->map, target, find_one, &singly, NULL), 0);
	rmap_read_unlock(fixture->map);
	qsort(singly.visits, singly.n, sizeof(singly.visits[0]), compare_visits);
	for (unsigned i = 0; i < LENGTH(rooms); i++)
		walk_in_array(fixture, target, rooms[i]);
}

/* By single visits; by batches in one section; and in sections that end behind each @end_after-th batch. */
static void compare_walks(struct fixture *fixture, const struct rmap_target *target, size_t end_after)
{
	struct rmap_walk_summary summary;
	struct rmap_cursor cursor;
	size_t calls = 1;
	int result;

	singly.n = by_batch.n = by_batch.batches = by_batch.end_after = 0;
	rmap_cursor_init(&cursor, fixture->map, target);
	rmap_read_lock(fixture->map);
	assert_int_equal(rmap_walk(fixture->map, target, find_one, &singly, &summary), 0);
	assert_int_equal(rmap_walk_batches(&cursor, find_batch, &by_batch), 0);
	rmap_read_unlock(fixture->map);
	assert_true(rmap_cursor_at_end(&cursor));
	same_visits(&singly, &by_batch);
	same_summaries(&summary, &cursor.summary);
	batches_are_full(&by_batch);

	by_batch.n = by_batch.batches = 0;
	rmap_cursor_init(&cursor, fixture->map, target);
	do {
		by_batch.end_after = calls++ * end_after;
		rmap_read_lock(fixture->map);
		result = rmap_walk_batches(&cursor, find_batch, &by_batch);
		rmap_read_unlock(fixture->map);
		assert_int_equal(rmap_cursor_at_end(&cursor), result == 0);
	} while (result == STOP);
	assert_int_equal(result, 0);
	same_visits(&singly, &by_batch);
	same_summaries(&summary, &cursor.summary);
}

/* The @i-th of ranges that all cover INDEX. */
static struct rmap_range range_of(uint64_t i)
{
	return (struct rmap_range){
		.first = i % (INDEX + 1), .last = INDEX + i, .address = (i + 1) << 20, .owner = i, .page_shift = 12
	};
}

static struct rmap_object *object_of(struct fixture *fixture, unsigned ranges)
{
	struct rmap_object *object;

	assert_int_equal(rmap_object_create(fixture->map, &object), 0);
	for (unsigned i = 0; i < ranges; i++) {
		struct rmap_range range = range_of(i);

		assert_int_equal(rmap_object_attach(object, &range), 0);
	}
	return object;
}

static void every_shape(void **state)
{
	static const unsigned lengths[] = { 0, 1, 2, 3, 4, 9, 10, 62, 63, 64, 65, 130, 1000 };
	static const unsigned ranges[] = { 0, 1, 8, 9, 127, 128, 129, RANGES_MAX };
	static const unsigned bits[] = { 0, 4, 9 };
	struct subject subject;
	struct fixture fixture;

	(void)state;
	for (unsigned b = 0; b < LENGTH(bits); b++) {
		fixture_init(&fixture, bits[b], RMAP_RECLAIM_CALLBACK, 0);
		for (unsigned l = 0; l < LENGTH(lengths); l++) {
			struct rmap_object *object = object_of(&fixture, ranges[(b + l) % LENGTH(ranges)]);

			subject_init(&subject, &fixture, lengths[l], l % 3, l % 2);
			for (unsigned i = 0; bits[b] && i < lengths[l]; i += 2) /* elements that stand for several */
				subject_add(&subject, mapping_of(RMAP_CHAINED, i));
			compare_walks(&fixture, &(struct rmap_target){ .page = &subject.page }, 1);
			compare_walks(&fixture, &(struct rmap_target){ &subject.page, object, INDEX, INDEX }, 1);
			compare_walks(&fixture, &(struct rmap_target){ &subject.page, object, INDEX, INDEX }, 3);
			in_arrays_of_the_callers(&fixture,
						 &(struct rmap_target){ &subject.page, object, INDEX, INDEX });
			rmap_object_destroy(object);
			subject_fini(&subject);
		}
		fixture_fini(&fixture);
	}
}

/* Chains that have holes, and leaves that shrink. */
static void every_hole(void **state)
{
	struct generator generator = { test_seed() };
	struct subject subject;
	struct fixture fixture;

	(void)state;
	fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	for (unsigned round = 0; round < 20; round++) {
		subject_init(&subject, &fixture, 400, 0, 0);
		while (subject.reference.n > 0) {
			const struct rmap_target target = { .page = &subject.page };
			size_t i = generator_below(&generator, subject.reference.n);

			subject_remove(&subject, rmap_chained(subject.reference.entries[i].key));
			if (subject.reference.n % 7 == round % 7)
				compare_walks(&fixture, &target, 1);
		}
		subject_fini(&subject);
	}
	fixture_fini(&fixture);
}

/* What a visitor of batches or of single mappings does at its first call, and what it saw from then on. */
struct meddler {
	struct rmap_reserve *reserve;
	struct rmap_page *page;
	struct rmap_mapping from, to;
	enum rmap_kind at; /* at its first call for one of these */
	bool done;
	unsigned calls;
	uint64_t seen;
};

static void meddle(struct meddler *meddler, enum rmap_kind kind)
{
	meddler->calls++;
	if (meddler->done || kind != meddler->at)
		return;
	meddler->done = true;
	expect(rmap_page_move(meddler->reserve, meddler->page, meddler->from, meddler->to) >= 0);
}

static int meddle_singly(void *arg, const struct rmap_visit *visit)
{
	struct meddler *meddler = arg;

	meddle(meddler, visit->kind);
	meddler->seen += visit->kind == RMAP_CHAINED && visit->handle == meddler->to.handle;
	return 0;
}

static int meddle_by_batch(void *arg, const struct rmap_visits *visits)
{
	struct rmap_visit visit;

	for (size_t i = 0; i < visits->n; i++) {
		rmap_visits_get(visits, i, &visit);
		meddle_singly(arg, &visit);
	}
	return 0;
}

/* The three forms of a walk. */
enum form {
	BY_BATCHES,
	BY_VISITS,
	BY_COPIES,
	FORMS,
};

static void by_copies(struct fixture *fixture, struct rmap_cursor *cursor, struct meddler *meddler)
{
	struct rmap_visit visits[RMAP_VISITS_MAX];
	size_t n;

	while ((n = rmap_cursor_next(cursor, visits, LENGTH(visits))) > 0) {
		rmap_read_lock(fixture->map);
		for (size_t i = 0; i < n; i++)
			meddle_singly(meddler, &visits[i]);
		rmap_read_unlock(fixture->map);
	}
}

static struct rmap_walk_summary walk_meddled(struct fixture *fixture, const struct rmap_target *target, enum form form,
					     struct meddler *meddler)
{
	struct rmap_cursor cursor;

	rmap_cursor_init(&cursor, fixture->map, target);
	if (form == BY_COPIES) {
		by_copies(fixture, &cursor, meddler);
		return cursor.summary;
	}
	rmap_read_lock(fixture->map);
	if (form == BY_VISITS)
		assert_int_equal(rmap_walk(fixture->map, target, meddle_singly, meddler, &cursor.summary), 0);
	else
		assert_int_equal(rmap_walk_batches(&cursor, meddle_by_batch, meddler), 0);
	rmap_read_unlock(fixture->map);
	return cursor.summary;
}

/* A linear mapping of @others more becomes a chained one while the walk's caller looks at its range. */
static void linear_becomes_chained(struct fixture *fixture, struct rmap_object *object, unsigned others, enum form form)
{
	struct subject subject;
	struct rmap_target target = { &subject.page, object, INDEX, INDEX };
	struct meddler meddler = { .reserve = fixture->reserve,
				   .page = &subject.page,
				   .from = rmap_linear(),
				   .to = mapping_of(RMAP_CHAINED, 50),
				   .at = RMAP_LINEAR };

	subject_init(&subject, fixture, others, 1, 0);
	assert_int_equal(rmap_reserve_fill(fixture->reserve, 1), 0);
	walk_meddled(fixture, &target, form, &meddler);
	assert_true(meddler.done && meddler.seen >= 1);
	reference_move(&subject.reference, meddler.from, meddler.to);
	subject_compare(&subject);
	subject_fini(&subject);
}

/* Whose pte it finds clear: then the chain has not been read yet. */
static void g3_linear_becomes_chained_while_its_range_is_looked_at(void **state)
{
	struct fixture fixture;

	(void)state;
	fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	for (unsigned ranges = 1; ranges <= 2 * RMAP_VISITS_MAX; ranges = ranges * 2 + 1) {
		struct rmap_object *object = object_of(&fixture, ranges);

		for (unsigned others = 0; others < 20; others++)
			for (unsigned form = 0; form < FORMS; form++)
				linear_becomes_chained(&fixture, object, others, form);
		rmap_object_destroy(object);
	}
	fixture_fini(&fixture);
}

/*
 * The leaf in which a walk stopped is gone when it goes on, and another, smaller or larger, is where it was. Its memory
 * belongs to other pages.
 */
static void g3_another_leaf_is_where_a_walk_stopped(void **state)
{
	enum { LONG = 600, STAY = 6, NEW = 1000, ADDED = 100, OTHER = 5000 };
	static struct found found;
	struct subject others[8];
	struct fixture fixture;

	(void)state;
	fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	for (unsigned stop = 1; stop < LONG; stop += 7) {
		struct subject subject;
		struct rmap_target target = { .page = &subject.page };
		struct rmap_cursor cursor;
		struct rmap_visit visit;
		uint64_t stayed = 0;

		subject_init(&subject, &fixture, LONG, 0, 0);
		rmap_cursor_init(&cursor, fixture.map, &target);
		found.n = 0;
		for (unsigned i = 0; i < stop; i++) {
			assert_int_equal(rmap_cursor_next(&cursor, &visit, 1), 1);
			find_one(&found, &visit);
		}
		for (unsigned i = STAY; i < LONG; i++)
			subject_remove(&subject, mapping_of(RMAP_CHAINED, i));
		for (unsigned i = 0; i < LENGTH(others); i++) {
			subject_init(&others[i], &fixture, 0, 0, 0);
			for (unsigned j = 0; j < 40; j++)
				subject_add(&others[i], mapping_of(RMAP_CHAINED, OTHER + j));
		}
		assert_int_equal(rmap_reserve_fill(fixture.reserve, ADDED), 0);
		rmap_read_lock(fixture.map);
		for (unsigned i = 0; i < ADDED; i++) {
			struct rmap_mapping mapping = mapping_of(RMAP_CHAINED, NEW + i);

			reference_add(&subject.reference, mapping);
			assert_int_equal(rmap_page_add(fixture.reserve, &subject.page, mapping), 0);
		}
		rmap_read_unlock(fixture.map);
		while (rmap_cursor_next(&cursor, &visit, 1))
			find_one(&found, &visit);
		for (size_t i = 0; i < found.n; i++) {
			assert_true(found.visits[i].handle < handle_of(OTHER));
			for (unsigned j = 0; j < STAY; j++)
				stayed |= (uint64_t)(found.visits[i].handle == handle_of(j)) << j;
		}
		assert_int_equal(stayed, (1u << STAY) - 1);
		for (unsigned i = 0; i < LENGTH(others); i++)
			subject_fini(&others[i]);
		subject_fini(&subject);
	}
	fixture_fini(&fixture);
}

/* A mapping of a chain moves when the last batch has been handed over, and the walk has not ended. */
static void g3_a_move_behind_the_last_batch(void **state)
{
	struct fixture fixture;

	(void)state;
	fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	for (unsigned length = 2; length <= 6; length++) {
		for (unsigned form = 0; form < FORMS; form++) {
			struct subject subject;
			struct rmap_target target = { .page = &subject.page };
			struct meddler meddler = { .reserve = fixture.reserve,
						   .page = &subject.page,
						   .from = mapping_of(RMAP_CHAINED, length - 1),
						   .to = mapping_of(RMAP_CHAINED, 50),
						   .at = RMAP_CHAINED };
			struct rmap_walk_summary summary;

			subject_init(&subject, &fixture, length, 0, 0);
			assert_int_equal(rmap_reserve_fill(fixture.reserve, 1), 0);
			summary = walk_meddled(&fixture, &target, form, &meddler);
			assert_int_equal(summary.rounds, 2);
			assert_int_equal(summary.complete, 1);
			assert_true(meddler.seen >= 1);
			reference_move(&subject.reference, meddler.from, meddler.to);
			subject_compare(&subject);
			subject_fini(&subject);
		}
	}
	fixture_fini(&fixture);
}

/* To and fro, in each batch, with a reserve that the walk knows or does not. */
static int move_always(void *arg, const struct rmap_visits *visits)
{
	struct meddler *meddler = arg;
	struct rmap_mapping from = meddler->from;

	(void)visits;
	if (++meddler->calls > 10000)
		return STOP; /* it does not end */
	expect(rmap_page_move(meddler->reserve, meddler->page, from, meddler->to) >= 0);
	meddler->from = meddler->to;
	meddler->to = from;
	return 0;
}

static void moves_interrupt_it(void **state)
{
	struct subject subject;
	struct fixture fixture;

	(void)state;
	fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	subject_init(&subject, &fixture, 300, 0, 0);
	for (unsigned own = 0; own < 2; own++) {
		for (unsigned rounds = 1; rounds < 5; rounds++) {
			const struct rmap_target target = { .page = &subject.page };
			struct meddler meddler = { .reserve = fixture.reserve,
						   .page = &subject.page,
						   .from = mapping_of(RMAP_CHAINED, 0),
						   .to = mapping_of(RMAP_CHAINED, 1000) };
			struct rmap_cursor cursor;

			assert_int_equal(rmap_reserve_fill(fixture.reserve, RMAP_RESERVE_ADDS_MAX), 0);
			rmap_cursor_init(&cursor, fixture.map, &target);
			cursor.mover = own ? fixture.reserve : NULL;
			cursor.rounds_max = rounds;
			rmap_read_lock(fixture.map);
			assert_int_equal(rmap_walk_batches(&cursor, move_always, &meddler), own ? 0 : -EAGAIN);
			if (meddler.from.handle != handle_of(0))
				move_always(&meddler, NULL);
			rmap_read_unlock(fixture.map);
			assert_int_equal(cursor.summary.rounds, own ? 1 : rounds);
			assert_int_equal(cursor.summary.complete, own);
			assert_true(rmap_cursor_at_end(&cursor));
		}
	}
	subject_fini(&subject);
	fixture_fini(&fixture);
}

/* A visitor may take what it visits, and what the walk has not reached yet. */
static int take_all_of_it(void *arg, const struct rmap_visits *visits)
{
	struct subject *subject = arg;

	for (size_t i = 0; i < visits->n; i++) {
		struct rmap_mapping mapping = rmap_chained(rmap_visits_handle(visits, i));
		int events = reference_remove(&subject->reference, mapping);

		if (events >= 0) /* a chain that shrinks may show a mapping again */
			expect(rmap_page_remove(subject->fixture->reserve, &subject->page, mapping) == events);
	}
	return 0;
}

static int take_ahead(void *arg, const struct rmap_visits *visits)
{
	struct subject *subject = arg;

	(void)visits;
	while (subject->reference.n > 0) {
		struct rmap_mapping mapping = rmap_chained(subject->reference.entries[0].key);
		int events = reference_remove(&subject->reference, mapping);

		expect(rmap_page_remove(subject->fixture->reserve, &subject->page, mapping) == events);
	}
	return 0;
}

static void a_visitor_may_unmap(void **state)
{
	struct rmap_cursor cursor;
	struct subject subject;
	struct fixture fixture;

	(void)state;
	fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	for (unsigned length = 1; length <= 3000; length = length * 2 + 1) {
		for (unsigned ahead = 0; ahead < 2; ahead++) {
			subject_init(&subject, &fixture, length, 0, 0);
			rmap_cursor_init(&cursor, fixture.map, &(struct rmap_target){ .page = &subject.page });
			rmap_read_lock(fixture.map);
			assert_int_equal(rmap_walk_batches(&cursor, ahead ? take_ahead : take_all_of_it, &subject), 0);
			rmap_read_unlock(fixture.map);
			assert_int_equal(subject.page.word, 0);
			subject_fini(&subject);
		}
	}
	fixture_fini(&fixture);
}

/* A visitor of single mappings ends the walk: what of its batch it was not called for counts as not visited. */
static int end_at(void *arg, const struct rmap_visit *visit)
{
	(void)visit;
	return --*(unsigned *)arg == 0 ? STOP : 0;
}

static void g3_what_a_visitor_did_not_get_is_not_counted(void **state)
{
	enum { RANGES = 9, ELEMENTS = 20 };
	struct rmap_walk_summary summary;
	struct subject subject;
	struct fixture fixture;

	(void)state;
	fixture_init(&fixture, 4, RMAP_RECLAIM_CALLBACK, 0);
	struct rmap_object *object = object_of(&fixture, RANGES);
	struct rmap_target target = { &subject.page, object, INDEX, INDEX };

	subject_init(&subject, &fixture, ELEMENTS, 0, 2);
	for (unsigned i = 0; i < 2 * ELEMENTS; i++) /* each stands for three */
		subject_add(&subject, mapping_of(RMAP_CHAINED, i / 2));
	for (unsigned end = 1; end <= RANGES + ELEMENTS; end++) {
		unsigned left = end;

		rmap_read_lock(fixture.map);
		assert_int_equal(rmap_walk(fixture.map, &target, end_at, &left, &summary), STOP);
		rmap_read_unlock(fixture.map);
		assert_int_equal(summary.candidates, end < RANGES ? end : RANGES);
		assert_int_equal(summary.chained, end < RANGES ? 0 : (end - RANGES) * 3);
		assert_int_equal(summary.unnamed, 2 + ELEMENTS * 3 - summary.chained);
		assert_int_equal(summary.complete, 0);
	}
	rmap_object_destroy(object);
	subject_fini(&subject);
	fixture_fini(&fixture);
}

/* The mapping is locked where a walk is to come, and unlocked where it has been. */
static void g3_an_unlock_behind_a_walk(void **state)
{
	enum { A = 0x1000, B = 0x2000, X = 0x3000 };
	struct rmap_page page = { 0 };
	struct rmap_target target = { .page = &page };
	struct rmap_visit visit;
	struct rmap_cursor cursor;
	struct fixture fixture;
	unsigned visits = 0;
	unsigned seen = 0;

	(void)state;
	fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	assert_true(fixture_add(&fixture, &page, rmap_chained(A)) >= 0);
	assert_true(fixture_add(&fixture, &page, rmap_chained(X)) >= 0);
	rmap_cursor_init(&cursor, fixture.map, &target);
	while (rmap_cursor_next(&cursor, &visit, 1)) {
		seen += visit.handle == X;
		if (++visits == 1)
			assert_true(fixture_move(&fixture, &page, rmap_chained(X), rmap_locked()) >= 0);
		if (visits != 2)
			continue;
		assert_true(fixture_add(&fixture, &page, rmap_chained(B)) >= 0); /* into the place that X had */
		assert_true(fixture_move(&fixture, &page, rmap_locked(), rmap_chained(X)) >= 0);
		assert_true(fixture_remove(&fixture, &page, rmap_chained(A)) >= 0);
	}
	assert_int_equal(seen, 1);
	assert_int_equal(cursor.summary.complete, 1);
	fixture_drop(&fixture, &page);
	fixture_fini(&fixture);
}

/* A tag gives a range no other key: who has visited it is not led over it again. */
static void tags_are_no_reason_to_visit_again(void **state)
{
	struct rmap_page page = { 0 };
	struct rmap_visit visit;
	struct rmap_cursor cursor;
	struct fixture fixture;

	(void)state;
	fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	struct rmap_object *object = object_of(&fixture, 200);
	struct rmap_target target = { &page, object, INDEX, INDEX };

	assert_true(fixture_add(&fixture, &page, rmap_linear()) >= 0);
	rmap_cursor_init(&cursor, fixture.map, &target);
	for (unsigned visits = 0; rmap_cursor_next(&cursor, &visit, 1); visits++)
		if (visits < 400)
			assert_int_equal(rmap_object_tag(object, &visit.range, visits + 1), 0);
	assert_int_equal(cursor.summary.candidates, 200);
	fixture_drop(&fixture, &page);
	rmap_object_destroy(object);
	fixture_fini(&fixture);
}

#if RMAP_INJECT
/*
 * Beside a walk: a unit comes to a key, in whichever of its elements has room, and one goes, from the first that is
 * found.
 */
static struct {
	struct rmap_reserve *reserve;
	struct rmap_page *page;
	struct rmap_mapping mapping;
	bool ran;
} beside;

static void come_and_go(void)
{
	beside.ran = true;
	expect(rmap_page_add(beside.reserve, beside.page, beside.mapping) == 0);
	expect(rmap_page_remove(beside.reserve, beside.page, beside.mapping) == 0);
}

static int count_units(void *arg, const struct rmap_visit *visit)
{
	if (visit->handle == beside.mapping.handle)
		*(unsigned *)arg += visit->count;
	return 0;
}

/*
 * @units of the key, all of whose elements but the last are full; and a walk during which that happens before its step
 * @step. False: it has not so many.
 */
static bool sees_all_units(struct fixture *fixture, uint64_t step, unsigned units)
{
	const struct rmap_target target = { .page = beside.page };
	unsigned seen = 0;

	for (unsigned i = 0; i < units; i++)
		assert_int_equal(fixture_add(fixture, beside.page, beside.mapping), 0);
	fixture_fill(fixture, 1);
	beside.ran = false;
	rmap_read_lock(fixture->map);
	rmap_inject_at(step, come_and_go);
	assert_int_equal(rmap_walk(fixture->map, &target, count_units, &seen, NULL), 0);
	rmap_inject_at(0, NULL);
	rmap_read_unlock(fixture->map);
	assert_true(seen >= units);
	for (unsigned i = 0; i < units; i++)
		assert_int_equal(fixture_remove(fixture, beside.page, beside.mapping), 0);
	return beside.ran;
}

/*
 * key_hash() of lib/leaf.h: does @key begin in the last line of its leaf, however many it has, and is it among the last
 * that a walk visits there? If that changes, this finds less.
 */
static bool comes_last(uint64_t key, uint64_t seed)
{
	uint64_t hash = (key ^ seed) * (seed * 0x9E3779B97F4A7C15u | 1);

	hash = (hash ^ hash >> 32) * 0xD6E8FEB86659FD93u;
	hash ^= hash >> 32;
	return (uint32_t)hash >= 0xF8000000u && hash >> 58 == 63;
}

/* Elements of one key fill the last line, and go on in the first ones. */
static void walk_beside_units(uint64_t seed)
{
	struct rmap_options options = RMAP_OPTIONS_DEFAULT;
	unsigned others = 20 + 2 * (unsigned)seed, key = 100;
	struct rmap_page page = { 0 };
	struct fixture fixture;

	options.multiplicity_bits = 1;
	options.hash_seed = seed;
	fixture_init_with(&fixture, options);
	for (unsigned i = 0; i < others; i++)
		assert_true(fixture_add(&fixture, &page, mapping_of(RMAP_CHAINED, i / 2)) >= 0);
	while (!comes_last(handle_of(key), seed))
		key++;
	beside.reserve = fixture.reserve;
	beside.page = &page;
	beside.mapping = mapping_of(RMAP_CHAINED, key);
	for (unsigned units = 3; units <= 9; units += 2) {
		for (uint64_t step = 1; sees_all_units(&fixture, step, units); step++)
			;
	}
	assert_int_equal(fixture_drop(&fixture, &page), others);
	fixture_fini(&fixture);
}

/* A walk must read them in the order in which they are searched. */
static void g3_units_of_one_key_are_read_as_they_are_searched(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= LONE(20); seed++)
		walk_beside_units(seed);
}
#else
static void g3_units_of_one_key_are_read_as_they_are_searched(void **state)
{
	(void)state;
	test_not_run("build", "steps are counted with -Dinject=true");
}
#endif

/* --- unmap ------------------------------------------------------------------------------------ */

#define CROWD (4 * RMAP_VISITS_MAX)

/* One page of many chained mappings. @owed: cleared since the last flush; @flushes: so many */
struct crowd {
	struct fixture fixture;
	struct rmap_page page;
	unsigned owed;
	unsigned flushes;
};

static int crowd_clear(void *arg, const struct rmap_target *target, const struct rmap_visit *visit, unsigned flags,
		       uint64_t *cleared)
{
	struct crowd *crowd = arg;

	(void)target, (void)flags;
	expect(fixture_remove(&crowd->fixture, &crowd->page, rmap_chained(visit->handle)) >= 0);
	crowd->owed++;
	++*cleared;
	return 0;
}

static void crowd_flush(void *arg, const struct rmap_target *target)
{
	struct crowd *crowd = arg;

	expect(!urcu_memb_read_ongoing() && target->page == &crowd->page);
	expect(crowd->owed > 0 && crowd->owed < 2 * RMAP_VISITS_MAX);
	crowd->owed = 0;
	crowd->flushes++;
}

/* A section that lasted for all of them would keep all retired memory waiting. */
static void a_section_of_an_unmap_is_for_so_many_visits(void **state)
{
	static const struct rmap_unmap_callbacks crowd_callbacks = {
		.size = sizeof(crowd_callbacks), .clear = crowd_clear, .flush = crowd_flush
	};
	struct crowd crowd = { .owed = 0 };
	const struct rmap_target target = { .page = &crowd.page };
	struct rmap_unmap_report report;

	(void)state;
	fixture_init(&crowd.fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	for (uint64_t i = 1; i <= CROWD; i++)
		expect(fixture_add(&crowd.fixture, &crowd.page, rmap_chained(i << 12)) >= 0);
	assert_int_equal(rmap_unmap(crowd.fixture.map, &crowd_callbacks, &crowd, &target, RMAP_UNMAP_SECTION,
				    RMAP_FAILABLE, &report),
			 RMAP_UNMAP_SUCCESS);
	assert_int_equal(report.cleared, CROWD);
	assert_int_equal(crowd.owed, 0);
	assert_in_range(crowd.flushes, 3, 4);
	fixture_fini(&crowd.fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_shape),
		cmocka_unit_test(every_hole),
		cmocka_unit_test(g3_linear_becomes_chained_while_its_range_is_looked_at),
		cmocka_unit_test(g3_another_leaf_is_where_a_walk_stopped),
		cmocka_unit_test(g3_a_move_behind_the_last_batch),
		cmocka_unit_test(g3_an_unlock_behind_a_walk),
		cmocka_unit_test(moves_interrupt_it),
		cmocka_unit_test(a_visitor_may_unmap),
		cmocka_unit_test(tags_are_no_reason_to_visit_again),
		cmocka_unit_test(g3_what_a_visitor_did_not_get_is_not_counted),
		cmocka_unit_test(g3_units_of_one_key_are_read_as_they_are_searched),
		cmocka_unit_test(a_section_of_an_unmap_is_for_so_many_visits),
	};

	return cmocka_run_group_tests_name("batches", tests, NULL, NULL);
}
