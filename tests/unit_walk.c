/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * unit_walk.c - walk.h: walks and cursors against known content, at rest and while the page changes under them
 *
 * G3 (a walk misses nothing that stays) and G6 (no block is reused under a section) show here and are named so.
 */
#include "support.h"

#include <stdlib.h>
#include <string.h>

#define STAYING 20u

/* What a G3 walker saw: each staying mapping's visits, and the moving one's. */
struct sighting {
	unsigned staying[STAYING];
	unsigned moving;
	uint64_t gone;
};

static int sight(void *arg, const struct rmap_visit *visit)
{
	struct sighting *sighting = arg;
	uint64_t i = visit->handle / handle_of(0) - 1;

	expect(visit->kind == RMAP_CHAINED && visit->count == 1);
	expect(i < 5000);
	if (i < STAYING)
		sighting->staying[i]++;
	else if (i == 100 || i == 101)
		sighting->moving++;
	else
		expect(i >= 1000); /* nothing between was ever there, but for what was gone before */
	return 0;
}

static void g3_walk_often(struct worker *worker)
{
	const struct rmap_target target = { .page = worker->page };
	struct rmap *map = worker->fixture->map;
	struct rmap_cursor cursor;
	struct sighting sighting;

	for (unsigned round = 0; round < worker->rounds * 20; round++) {
		memset(&sighting, 0, sizeof(sighting));
		rmap_cursor_init(&cursor, map, &target);
		cursor.rounds_max = UINT32_MAX;
		if (round % 2) {
			expect(cursor_walk_apart(&cursor, map, sight, &sighting) == 0);
		} else {
			rmap_read_lock(map);
			expect(cursor_walk(&cursor, sight, &sighting) == 0);
			rmap_read_unlock(map);
		}
		for (unsigned i = 0; i < STAYING; i++)
			expect(sighting.staying[i] >= 1);
		expect(sighting.moving >= 1);
		expect(cursor.summary.rounds >= 1 && cursor.summary.complete);
	}
}

/* Worker 0 walks, 1 moves one mapping to and fro, the others grow and shrink the chain around the staying ones. */
static void *g3_body(void *arg)
{
	struct worker *worker = arg;
	struct rmap *map = worker->fixture->map;
	uint64_t base = 1000 + 1000 * (uint64_t)worker->number;
	struct rmap_reserve *reserve;

	worker_begin(worker, &reserve);
	if (worker->number == 0)
		g3_walk_often(worker);
	for (unsigned round = 0; worker->number && round < worker->rounds; round++) {
		for (unsigned i = 0; i < 200; i++) {
			expect(rmap_reserve_fill(reserve, 1) == 0);
			rmap_read_lock(map);
			if (worker->number == 1)
				expect(rmap_page_move(reserve, worker->page, rmap_chained(handle_of(100 + i % 2)),
						      rmap_chained(handle_of(101 - i % 2))) == 0);
			else
				expect(rmap_page_add(reserve, worker->page, rmap_chained(handle_of(base + i))) == 0);
			rmap_read_unlock(map);
		}
		for (unsigned i = 0; worker->number > 1 && i < 200; i++) {
			rmap_read_lock(map);
			expect(rmap_page_remove(reserve, worker->page, rmap_chained(handle_of(base + i))) == 0);
			rmap_read_unlock(map);
		}
	}
	worker_end(worker, reserve);
	return NULL;
}

static void g3_a_walk_misses_nothing_that_stays(void **state)
{
	struct worker workers[WORKERS];
	struct subject subject;
	struct fixture fixture;

	(void)state;
	fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	subject_init(&subject, &fixture, STAYING, 0, 0);
	for (unsigned i = 0; i < 50; i++) { /* gone before any walk begins */
		subject_add(&subject, mapping_of(RMAP_CHAINED, 200 + i));
		subject_remove(&subject, mapping_of(RMAP_CHAINED, 200 + i));
	}
	subject_add(&subject, mapping_of(RMAP_CHAINED, 100));
	workers_run(&fixture, &subject.page, g3_body, (unsigned)test_scaled(25), workers);
	subject_compare(&subject);
	subject_fini(&subject);
	fixture_fini(&fixture);
}

/* A walker that stops in the middle of a chain until the main thread has had its way with the page. */
struct paused_walk {
	struct fixture *fixture;
	struct rmap_page *page;
	pthread_barrier_t barrier;
	unsigned visits;
};

static int pause_at_first(void *arg, const struct rmap_visit *visit)
{
	struct paused_walk *walk = arg;

	expect(visit->handle <=
	       handle_of(99)); /* a mapping of the other page: the block was reused under this section */
	if (walk->visits++ == 0) {
		pthread_barrier_wait(&walk->barrier);
		pthread_barrier_wait(&walk->barrier);
	}
	return 0;
}

static void *g6_walker(void *arg)
{
	struct paused_walk *walk = arg;
	const struct rmap_target target = { .page = walk->page };

	reader_register(walk->fixture->map);
	rmap_read_lock(walk->fixture->map);
	expect(rmap_walk(walk->fixture->map, &target, pause_at_first, walk, NULL) == 0);
	rmap_read_unlock(walk->fixture->map);
	reader_unregister(walk->fixture->map);
	return NULL;
}

#define OTHERS 400u

static void g6_drop_others(struct fixture *fixture, struct rmap_page others[OTHERS])
{
	for (unsigned i = 0; i < OTHERS; i++)
		fixture_drop(fixture, &others[i]);
}

/*
 * Makes chains on many other pages, drops them and makes them again: the drops retire so much that all of it, and what
 * was retired before, is handed over to RCU; and the second time wants every block and piece that could be had.
 */
static void g6_want_all_memory(struct fixture *fixture, struct rmap_page others[OTHERS])
{
	for (unsigned round = 1; round <= 2; round++) {
		for (unsigned i = 0; i < round * OTHERS / 2 * 12; i++)
			assert_true(fixture_add(fixture, &others[i / 12], mapping_of(RMAP_CHAINED, 1000 + i)) >= 0);
		if (round == 1)
			g6_drop_others(fixture, others);
	}
}

static void g6_no_reuse_within_a_section(void **state)
{
	static const unsigned lengths[] = { 2, 3, 5, 10, 30, 100 };
	static struct rmap_page others[OTHERS];
	struct paused_walk walk;
	struct fixture fixture;
	struct rmap_page page;
	pthread_t thread;

	(void)state;
	for (unsigned l = 0; l < LENGTH(lengths); l++) {
		fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
		page.word = 0;
		walk = (struct paused_walk){ .fixture = &fixture, .page = &page };
		for (unsigned i = 0; i < lengths[l]; i++)
			assert_true(fixture_add(&fixture, &page, mapping_of(RMAP_CHAINED, i)) >= 0);
		assert_int_equal(pthread_barrier_init(&walk.barrier, NULL, 2), 0);
		assert_int_equal(pthread_create(&thread, NULL, g6_walker, &walk), 0);
		pthread_barrier_wait(&walk.barrier);
		for (unsigned i = 0; i < lengths[l]; i++)
			assert_true(fixture_remove(&fixture, &page, mapping_of(RMAP_CHAINED, i)) >= 0);
		g6_want_all_memory(&fixture, others);
		pthread_barrier_wait(&walk.barrier);
		assert_int_equal(pthread_join(thread, NULL), 0);
		assert_in_range(walk.visits, 1, lengths[l]);
		g6_drop_others(&fixture, others);
		pthread_barrier_destroy(&walk.barrier);
		fixture_fini(&fixture);
	}
}

/* What the tests at rest collect; room for all that they put in. */
struct collected {
	struct rmap_visit visits[4096];
	size_t n;
	size_t end_after; /* 0: never */
};

static int collect_until(void *arg, const struct rmap_visit *visit)
{
	struct collected *collected = arg;

	expect(collected->n < LENGTH(collected->visits));
	collected->visits[collected->n++] = *visit;
	return collected->n == collected->end_after ? 4242 : 0;
}

static struct collected collected;

static int walk(struct fixture *fixture, const struct rmap_target *target, size_t end_after,
		struct rmap_walk_summary *summary)
{
	int rc;

	collected.n = 0;
	collected.end_after = end_after;
	rmap_read_lock(fixture->map);
	rc = rmap_walk(fixture->map, target, collect_until, &collected, summary);
	rmap_read_unlock(fixture->map);
	return rc;
}

static bool seen(uint64_t handle)
{
	for (size_t i = 0; i < collected.n; i++) {
		if (collected.visits[i].kind == RMAP_CHAINED && collected.visits[i].handle == handle)
			return true;
	}
	return false;
}

static void an_empty_page_has_nothing(void **state)
{
	struct rmap_page page = { 0 };
	const struct rmap_target target = { .page = &page };
	struct rmap_walk_summary summary;
	struct rmap_cursor cursor;
	struct rmap_visit visit;
	struct fixture fixture;

	(void)state;
	fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	memset(&summary, 0xff, sizeof(summary));
	assert_int_equal(walk(&fixture, &target, 0, &summary), 0);
	assert_int_equal(walk(&fixture, &target, 0, NULL), 0);
	assert_int_equal(collected.n, 0);
	assert_int_equal(summary.chained + summary.candidates + summary.linear + summary.unnamed, 0);
	assert_int_equal(summary.rounds, 1);
	rmap_cursor_init(&cursor, fixture.map, &target);
	assert_int_equal(rmap_cursor_next(&cursor, &visit, 1), 0);
	assert_int_equal(rmap_cursor_next(&cursor, &visit, 1), 0); /* the end stays the end */
	assert_int_equal(cursor.summary.rounds, 1);
	fixture_fini(&fixture);
}

static void every_batch_size(void **state)
{
	static const unsigned lengths[] = { 1, 2, 3, 4, 7, 20, 65 };
	static const unsigned bits[] = { 0, 4, 9 };
	struct subject subject;
	struct fixture fixture;

	(void)state;
	for (unsigned b = 0; b < LENGTH(bits); b++) {
		fixture_init(&fixture, bits[b], RMAP_RECLAIM_CALLBACK, 0);
		for (unsigned l = 0; l < LENGTH(lengths); l++) {
			subject_init(&subject, &fixture, lengths[l], l % 3, l % 2);
			for (unsigned i = 0; bits[b] && i < lengths[l]; i += 2) /* elements that stand for several */
				subject_add(&subject, mapping_of(RMAP_CHAINED, i));
			for (size_t batch = 1; batch <= lengths[l] + 1; batch++)
				reference_compare(&subject.reference, fixture.map, &subject.page, batch);
			subject_fini(&subject);
		}
		fixture_fini(&fixture);
	}
}

static void a_visitor_ends_the_walk(void **state)
{
	struct rmap_walk_summary summary;
	struct rmap_target target;
	struct subject subject;
	struct fixture fixture;

	(void)state;
	fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	subject_init(&subject, &fixture, 30, 2, 3);
	target = (struct rmap_target){ .page = &subject.page };
	for (size_t end = 1; end <= 30; end++) {
		memset(&summary, 0, sizeof(summary));
		assert_int_equal(walk(&fixture, &target, end, &summary), 4242);
		assert_int_equal(collected.n, end);
		assert_int_equal(summary.chained, end);
		assert_int_equal(summary.rounds, 1);
	}
	assert_int_equal(walk(&fixture, &target, 31, &summary), 0);
	subject_fini(&subject);
	fixture_fini(&fixture);
}

/* Ranges that cover the page's index, and some that do not; chained and locked ones beside. */
static void linear_candidates_and_unnamed_ones(void **state)
{
	struct rmap_range ranges[10], visited;
	struct rmap_walk_summary summary;
	struct rmap_object *object;
	struct rmap_target target;
	struct rmap_cursor cursor;
	struct rmap_visit batch[3];
	struct subject subject;
	struct fixture fixture;
	size_t n, linear = 0;

	(void)state;
	fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	subject_init(&subject, &fixture, 5, 4, 3);
	assert_int_equal(rmap_object_create(fixture.map, &object), 0);
	for (uint64_t i = 0; i < 10; i++) { /* ranges 0 .. 5 cover index 7, 6 .. 9 do not */
		ranges[i] = (struct rmap_range){ .first = i < 6 ? i : 8 + i,
						 .last = 20,
						 .address = (i + 1) << 30,
						 .owner = i,
						 .page_shift = 12,
						 .tags = (uint32_t)i };
		assert_int_equal(rmap_object_attach(object, &ranges[i]), 0);
	}
	target = (struct rmap_target){ &subject.page, object, 7, 7 };
	assert_int_equal(walk(&fixture, &target, 0, &summary), 0);
	assert_int_equal(collected.n, 11);
	assert_int_equal(summary.candidates, 6);
	assert_int_equal(summary.chained, 5);
	assert_int_equal(summary.linear, 4);
	assert_int_equal(summary.unnamed, 3);
	for (size_t i = 0; i < collected.n; i++) {
		visited = collected.visits[i].range;
		if (collected.visits[i].kind != RMAP_LINEAR)
			continue;
		linear++;
		assert_memory_equal(&visited, &ranges[visited.owner], sizeof(visited));
		assert_int_equal(collected.visits[i].address, rmap_range_address(&visited, 7));
		assert_int_equal(collected.visits[i].count, 1);
		assert_int_equal(collected.visits[i].handle, 0);
	}
	assert_int_equal(linear, 6);
	rmap_cursor_init(&cursor, fixture.map, &target);
	for (linear = 0; (n = rmap_cursor_next(&cursor, batch, 3)) > 0;) {
		for (size_t i = 0; i < n; i++)
			linear += batch[i].kind == RMAP_LINEAR ? (size_t)1 << 8 * batch[i].range.owner : 0;
	}
	assert_int_equal(linear, 0x010101010101); /* each covering range exactly once */
	assert_int_equal(cursor.summary.candidates, 6);
	assert_int_equal(cursor.summary.chained, 5);
	assert_int_equal(cursor.summary.linear, 4);
	assert_int_equal(cursor.summary.unnamed, 3);
	rmap_object_destroy(object);
	subject_fini(&subject);
	fixture_fini(&fixture);
}

/*
 * Run a cursor in batches of @batch over @subject; after each batch @change is called with how many batches were had.
 */
typedef void (*change_page)(struct subject *subject, unsigned had);

static struct rmap_walk_summary walk_in_batches(struct subject *subject, size_t batch, change_page change)
{
	const struct rmap_target target = { .page = &subject->page };
	struct rmap_visit visits[16];
	struct rmap_cursor cursor;
	unsigned had = 0;
	size_t n;

	collected.n = 0;
	rmap_cursor_init(&cursor, subject->fixture->map, &target);
	while ((n = rmap_cursor_next(&cursor, visits, batch)) > 0) {
		assert_true(n <= batch);
		assert_true(collected.n + n <= LENGTH(collected.visits));
		memcpy(&collected.visits[collected.n], visits, n * sizeof(*visits));
		collected.n += n;
		change(subject, ++had);
	}
	return cursor.summary;
}

static void grow_between(struct subject *subject, unsigned had)
{
	for (unsigned i = 0; i < 60 && had <= 10; i++)
		subject_add(subject, mapping_of(RMAP_CHAINED, 1000 + 60 * had + i));
}

/* Takes away all but the STAYING ones, some at a time, so that leaves shrink and merge between the batches. */
static void shrink_between(struct subject *subject, unsigned had)
{
	(void)had;
	for (unsigned i = 0; i < 40 && subject->reference.n > STAYING; i++)
		subject_remove(subject, rmap_chained(subject->reference.entries[subject->reference.n - 1].key));
}

static void collapse_between(struct subject *subject, unsigned had)
{
	if (had == 1) {
		while (subject->reference.n)
			subject_remove(subject, rmap_chained(subject->reference.entries[0].key));
	}
	if (had == 2) {
		for (unsigned i = 0; i < 30; i++)
			subject_add(subject, mapping_of(RMAP_CHAINED, 2000 + i));
	}
}

/* Moves one of the staying ones far away and another one home again: wherever it is, each must be seen somewhere. */
static void move_between(struct subject *subject, unsigned had)
{
	uint64_t i = had % STAYING;

	if (had > 60)
		return;
	if (reference_count(&subject->reference, handle_of(i)))
		assert_int_equal(fixture_move(subject->fixture, &subject->page, mapping_of(RMAP_CHAINED, i),
					      mapping_of(RMAP_CHAINED, 500 + i)),
				 reference_move(&subject->reference, mapping_of(RMAP_CHAINED, i),
						mapping_of(RMAP_CHAINED, 500 + i)));
	else
		assert_int_equal(fixture_move(subject->fixture, &subject->page, mapping_of(RMAP_CHAINED, 500 + i),
					      mapping_of(RMAP_CHAINED, i)),
				 reference_move(&subject->reference, mapping_of(RMAP_CHAINED, 500 + i),
						mapping_of(RMAP_CHAINED, i)));
}

static void all_staying_seen(bool anywhere)
{
	for (uint64_t i = 0; i < STAYING; i++)
		assert_true(seen(handle_of(i)) || (anywhere && seen(handle_of(500 + i))));
}

static void a_cursor_across_growth(void **state)
{
	struct subject subject;
	struct fixture fixture;

	(void)state;
	for (size_t batch = 1; batch <= 16; batch++) {
		fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
		for (unsigned length = 1; length <= STAYING; length++) {
			subject_init(&subject, &fixture, length, 0, 0);
			walk_in_batches(&subject, batch, grow_between);
			for (uint64_t i = 0; i < length; i++)
				assert_true(seen(handle_of(i)));
			subject_compare(&subject);
			subject_fini(&subject);
		}
		fixture_fini(&fixture);
	}
}

static void a_cursor_across_shrinking(void **state)
{
	struct subject subject;
	struct fixture fixture;

	(void)state;
	for (size_t batch = 1; batch <= 16; batch++) {
		fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
		for (unsigned length = STAYING; length <= 1600; length *= 3) {
			subject_init(&subject, &fixture, length, 0, 0);
			walk_in_batches(&subject, batch, shrink_between);
			all_staying_seen(false);
			subject_compare(&subject);
			subject_fini(&subject);
		}
		fixture_fini(&fixture);
	}
}

static void a_cursor_across_collapse(void **state)
{
	struct subject subject;
	struct fixture fixture;

	(void)state;
	fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	for (unsigned length = 1; length <= 200; length = length * 2 + 1) {
		subject_init(&subject, &fixture, length, 1, 1);
		walk_in_batches(&subject, 1, collapse_between);
		for (size_t i = 0; i < collected.n;
		     i++) /* the first, and of the new ones what it found; nothing else */
			assert_true(i == 0 || collected.visits[i].handle >= handle_of(2000));
		subject_compare(&subject);
		subject_fini(&subject);
	}
	fixture_fini(&fixture);
}

static void a_cursor_across_moves(void **state)
{
	struct rmap_walk_summary summary;
	struct subject subject;
	struct fixture fixture;

	(void)state;
	fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	for (size_t batch = 1; batch <= 16; batch++) {
		subject_init(&subject, &fixture, STAYING, 0, 0);
		summary = walk_in_batches(&subject, batch, move_between);
		all_staying_seen(true);
		assert_true(summary.rounds >= 2); /* it said that it went over the page again */
		subject_compare(&subject);
		subject_fini(&subject);
	}
	fixture_fini(&fixture);
}

/*
 * Between two batches a chain loses all mappings but one, wherever in it the cursor was.
 */
static void a_cursor_across_the_end_of_all_others(void **state)
{
	struct rmap_cursor cursor;
	struct rmap_visit visit;
	struct subject subject;
	struct fixture fixture;

	(void)state;
	fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	for (unsigned length = 4; length <= 40; length++) {
		for (unsigned had = 1; had < length; had++) {
			const struct rmap_target target = { .page = &subject.page };
			uint64_t last = 0;
			bool found = false;

			subject_init(&subject, &fixture, length, 0, 0);
			rmap_cursor_init(&cursor, fixture.map, &target);
			while (rmap_cursor_next(&cursor, &visit, 1))
				last = visit.handle;
			rmap_cursor_init(&cursor, fixture.map, &target);
			for (unsigned i = 0; i < had; i++)
				assert_int_equal(rmap_cursor_next(&cursor, &visit, 1), 1);
			for (uint64_t i = 0; i < length; i++)
				if (handle_of(i) != last)
					subject_remove(&subject, mapping_of(RMAP_CHAINED, i));
			while (rmap_cursor_next(&cursor, &visit, 1))
				found |= visit.handle == last;
			assert_true(found);
			subject_fini(&subject);
		}
	}
	fixture_fini(&fixture);
}

/* What a walk cannot name is told of its last round, not of all. */
static void a_mapping_behind_the_cursor_is_unnamed(void **state)
{
	const struct rmap_mapping linear = rmap_linear();
	struct rmap_cursor cursor;
	struct rmap_visit visit;
	struct subject subject;
	struct fixture fixture;
	unsigned firsts = 0;

	(void)state;
	fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	subject_init(&subject, &fixture, 2, 1, 0);
	rmap_cursor_init(&cursor, fixture.map, &(const struct rmap_target){ .page = &subject.page });
	while (rmap_cursor_next(&cursor, &visit, 1)) {
		if (visit.handle != handle_of(0))
			continue;
		/* To another range: the walk goes over the page again. Then, behind the cursor, slot 2 is free. */
		if (firsts++ == 0)
			assert_int_equal(fixture_move(&fixture, &subject.page, linear, linear), 0);
		else
			subject_add(&subject, mapping_of(RMAP_CHAINED, 2));
	}
	assert_int_equal(cursor.summary.unnamed, firsts == 2);
	subject_fini(&subject);
	fixture_fini(&fixture);
}

/*
 * A worker moves one mapping between an address that its range gives and one that it does not; walks see one or the
 * other.
 */
struct crossing {
	struct fixture *fixture;
	struct rmap_object *object;
	struct rmap_page page;
	unsigned rounds;
};

#define CROSSING_INDEX 5u

/*
 * Order of walk.h and page.h: attach before a chained mapping becomes linear, detach after a linear one became chained.
 */
static void *cross_often(void *arg)
{
	struct crossing *crossing = arg;
	const struct rmap_range range = { .first = 0, .last = 9, .address = 1 << 20, .owner = 1, .page_shift = 12 };
	struct rmap *map = crossing->fixture->map;
	struct rmap_reserve *reserve;

	reader_register(map);
	expect(rmap_reserve_create(map, &reserve) == 0);
	for (unsigned i = 0; i < crossing->rounds; i++) {
		expect(rmap_object_attach(crossing->object, &range) == 0);
		rmap_read_lock(map);
		expect(rmap_page_move(reserve, &crossing->page, mapping_of(RMAP_CHAINED, 0), rmap_linear()) == 0);
		rmap_read_unlock(map);
		expect(rmap_reserve_fill(reserve, 1) == 0);
		rmap_read_lock(map);
		expect(rmap_page_move(reserve, &crossing->page, rmap_linear(), mapping_of(RMAP_CHAINED, 0)) == 0);
		rmap_read_unlock(map);
		expect(rmap_object_detach(crossing->object, &range) == 0);
	}
	rmap_reserve_destroy(reserve);
	reader_unregister(map);
	return NULL;
}

static void g3_linear_or_chained_but_never_neither(void **state)
{
	struct crossing crossing = { .rounds = (unsigned)test_scaled(3000) };
	struct rmap_target target;
	struct fixture fixture;
	pthread_t thread;

	(void)state;
	fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	crossing.fixture = &fixture;
	assert_int_equal(rmap_object_create(fixture.map, &crossing.object), 0);
	assert_int_equal(fixture_add(&fixture, &crossing.page, mapping_of(RMAP_CHAINED, 0)), RMAP_FIRST);
	target = (struct rmap_target){ &crossing.page, crossing.object, CROSSING_INDEX, CROSSING_INDEX };
	assert_int_equal(pthread_create(&thread, NULL, cross_often, &crossing), 0);
	for (unsigned i = 0; i < crossing.rounds * 4; i++) {
		assert_int_equal(walk(&fixture, &target, 0, NULL), 0);
		assert_true(collected.n >= 1);
		assert_int_equal(fixture_mapcount(&fixture, &crossing.page), 1);
	}
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(fixture_drop(&fixture, &crossing.page), 1);
	rmap_object_destroy(crossing.object);
	fixture_fini(&fixture);
}

/* A visitor may operate on pages, this one too. */
struct emptier {
	struct subject *subject;
	unsigned visits;
};

static int empty_it(void *arg, const struct rmap_visit *visit)
{
	struct emptier *emptier = arg;
	struct rmap_mapping mapping = rmap_chained(visit->handle);
	int events = reference_remove(&emptier->subject->reference, mapping);

	emptier->visits++;
	if (events >= 0) /* a chain that shrinks may show a mapping again */
		expect(rmap_page_remove(emptier->subject->fixture->reserve, &emptier->subject->page, mapping) ==
		       events);
	return 0;
}

static void a_visitor_may_unmap_what_it_visits(void **state)
{
	struct emptier emptier;
	struct rmap_target target;
	struct subject subject;
	struct fixture fixture;

	(void)state;
	fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	for (unsigned length = 1; length <= 3000; length = length * 2 + 1) {
		subject_init(&subject, &fixture, length, 0, 0);
		emptier = (struct emptier){ &subject, 0 };
		target = (struct rmap_target){ .page = &subject.page };
		rmap_read_lock(fixture.map);
		assert_int_equal(rmap_walk(fixture.map, &target, empty_it, &emptier, NULL), 0);
		rmap_read_unlock(fixture.map);
		assert_true(emptier.visits >= length);
		assert_int_equal(subject.page.word, 0);
		subject_fini(&subject);
	}
	fixture_fini(&fixture);
}

/* Between two batches a range gets a place in the order of ranges that the cursor has passed already. */
static void g3_a_range_moves_behind_a_cursor(void **state)
{
	const struct rmap_range first = { .first = 0, .last = 9, .address = 2 << 20, .owner = 1, .page_shift = 12 };
	const struct rmap_range grows = { .first = 3, .last = 9, .address = 1 << 20, .owner = 2, .page_shift = 12 };
	struct rmap_page page = { 0 };
	struct rmap_object *object;
	struct rmap_target target;
	struct rmap_cursor cursor;
	struct rmap_visit visit;
	struct fixture fixture;
	unsigned seen = 0;

	(void)state;
	fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	fixture_add(&fixture, &page, rmap_linear());
	assert_int_equal(rmap_object_create(fixture.map, &object), 0);
	assert_int_equal(rmap_object_attach(object, &first), 0);
	assert_int_equal(rmap_object_attach(object, &grows), 0);
	target = (struct rmap_target){ .page = &page, .object = object, .first = 5, .last = 5 };
	rmap_cursor_init(&cursor, fixture.map, &target);
	assert_int_equal(rmap_cursor_next(&cursor, &visit, 1), 1);
	assert_int_equal(visit.range.owner, 1);
	assert_int_equal(rmap_object_resize(object, &grows, 0, 9), 0);
	while (rmap_cursor_next(&cursor, &visit, 1) > 0)
		seen += visit.range.owner == 2;
	assert_true(seen > 0);
	rmap_object_destroy(object);
	fixture_drop(&fixture, &page);
	fixture_fini(&fixture);
}

/* Between two batches a list detaches a range and attaches it again: it is there in every version. */
static void g3_a_list_brings_a_range_back(void **state)
{
	const struct rmap_range first = { .last = 9, .address = 1 << 20, .owner = 1, .page_shift = 12 };
	const struct rmap_range back = { .last = 9, .address = 2 << 20, .owner = 2, .page_shift = 12 };
	struct rmap_change changes[2] = { { .range = &back }, { .with = &back, .n = 1 } };
	struct rmap_page page = { 0 };
	struct rmap_object *object;
	struct rmap_target target;
	struct rmap_cursor cursor;
	struct rmap_visit visit;
	struct fixture fixture;

	(void)state;
	fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	fixture_add(&fixture, &page, rmap_linear());
	assert_int_equal(rmap_object_create(fixture.map, &object), 0);
	assert_int_equal(rmap_object_attach(object, &first), 0);
	assert_int_equal(rmap_object_attach(object, &back), 0);
	target = (struct rmap_target){ .page = &page, .object = object, .first = 5, .last = 5 };
	rmap_cursor_init(&cursor, fixture.map, &target);
	assert_int_equal(rmap_cursor_next(&cursor, &visit, 1), 1);
	assert_int_equal(rmap_object_update(object, changes, 2), 0);
	assert_int_equal(rmap_cursor_next(&cursor, &visit, 1), 1);
	assert_int_equal(visit.range.owner, 2);
	rmap_object_destroy(object);
	fixture_drop(&fixture, &page);
	fixture_fini(&fixture);
}

#define JUMP_INDEX 100u

/*
 * Ranges that cover the page all the time get other keys between the batches: they move, grow at both ends and shrink
 * again. Each must be visited, whichever way it jumps.
 */
static void jump(struct rmap_object *object, struct rmap_range *range, struct generator *generator)
{
	struct rmap_range to = *range;

	to.first = 1 + generator_below(generator, JUMP_INDEX);
	to.last = JUMP_INDEX + generator_below(generator, JUMP_INDEX);
	to.address += to.first - range->first;
	assert_int_equal(rmap_object_resize(object, range, to.first, to.last), 0);
	*range = to;
}

static void g3_ranges_jump_between_batches(void **state)
{
	enum { RANGES = 40 };
	struct generator generator = { test_seed() };
	struct rmap_range ranges[RANGES];
	struct rmap_page page = { 0 };
	struct rmap_visit visits[7];
	struct rmap_object *object;
	struct rmap_cursor cursor;
	struct fixture fixture;

	(void)state;
	fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	fixture_add(&fixture, &page, rmap_linear());
	for (unsigned round = 0; round < 2000; round++) {
		size_t size = 1 + generator_below(&generator, LENGTH(visits));
		unsigned at_once = 1 + (unsigned)generator_below(&generator, 6);
		unsigned jumps = (unsigned)generator_below(&generator, 100);
		uint64_t seen = 0;
		size_t n;

		assert_int_equal(rmap_object_create(fixture.map, &object), 0);
		for (unsigned i = 0; i < RANGES; i++) {
			ranges[i] = (struct rmap_range){
				.first = 2 * i + 1, .last = JUMP_INDEX + i, .address = 1 << 20, .owner = i
			};
			assert_int_equal(rmap_object_attach(object, &ranges[i]), 0);
		}
		rmap_cursor_init(&cursor, fixture.map, &(struct rmap_target){ &page, object, JUMP_INDEX, JUMP_INDEX });
		while ((n = rmap_cursor_next(&cursor, visits, size)) > 0) {
			for (size_t i = 0; i < n; i++)
				seen |= 1ull << visits[i].range.owner;
			for (unsigned i = 0; i < at_once && jumps > 0; i++, jumps--)
				jump(object, &ranges[generator_below(&generator, RANGES)], &generator);
		}
		assert_int_equal(seen, (1ull << RANGES) - 1);
		rmap_object_destroy(object);
	}
	fixture_drop(&fixture, &page);
	fixture_fini(&fixture);
}

/*
 * A linear mapping moves to another range while a walk is between the two: the walk has looked at the new pte before it
 * was set, and looks at the old one after it was cleared.
 */
struct mover {
	struct fixture *fixture;
	struct rmap_page *page;
	uint64_t set; /* the address whose pte is set */
	unsigned visits;
	unsigned seen;
};

static int move_at_the_second(void *arg, const struct rmap_visit *visit)
{
	struct mover *mover = arg;

	if (++mover->visits == 2) {
		mover->set = 1 << 20;
		expect(rmap_page_move(mover->fixture->reserve, mover->page, rmap_linear(), rmap_linear()) == 0);
	}
	mover->seen += visit->address == mover->set;
	return 0;
}

static void g3_linear_moves_to_a_range_already_visited(void **state)
{
	const struct rmap_range new = { .last = 9, .address = 1 << 20, .owner = 1, .page_shift = 12 };
	const struct rmap_range old = { .last = 9, .address = 2 << 20, .owner = 1, .page_shift = 12 };
	struct rmap_page page = { 0 };
	struct rmap_walk_summary summary;
	struct rmap_object *object;
	struct rmap_target target;
	struct fixture fixture;
	struct mover mover;

	(void)state;
	fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	assert_int_equal(rmap_object_create(fixture.map, &object), 0);
	assert_int_equal(rmap_object_attach(object, &new), 0);
	assert_int_equal(rmap_object_attach(object, &old), 0);
	assert_int_equal(fixture_add(&fixture, &page, rmap_linear()), RMAP_FIRST);
	mover = (struct mover){ .fixture = &fixture, .page = &page, .set = 2 << 20 };
	target = (struct rmap_target){ .page = &page, .object = object };
	rmap_read_lock(fixture.map);
	assert_int_equal(rmap_walk(fixture.map, &target, move_at_the_second, &mover, &summary), 0);
	rmap_read_unlock(fixture.map);
	assert_int_equal(summary.rounds, 2);
	assert_int_equal(mover.seen, 1);
	assert_int_equal(fixture_remove(&fixture, &page, rmap_linear()), RMAP_LAST);
	rmap_object_destroy(object);
	fixture_fini(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(g3_a_walk_misses_nothing_that_stays),
		cmocka_unit_test(g3_linear_or_chained_but_never_neither),
		cmocka_unit_test(g3_a_range_moves_behind_a_cursor),
		cmocka_unit_test(g3_a_list_brings_a_range_back),
		cmocka_unit_test(g3_ranges_jump_between_batches),
		cmocka_unit_test(g3_linear_moves_to_a_range_already_visited),
		cmocka_unit_test(g6_no_reuse_within_a_section),
		cmocka_unit_test(an_empty_page_has_nothing),
		cmocka_unit_test(every_batch_size),
		cmocka_unit_test(a_visitor_ends_the_walk),
		cmocka_unit_test(linear_candidates_and_unnamed_ones),
		cmocka_unit_test(a_cursor_across_growth),
		cmocka_unit_test(a_cursor_across_shrinking),
		cmocka_unit_test(a_cursor_across_collapse),
		cmocka_unit_test(a_cursor_across_moves),
		cmocka_unit_test(a_cursor_across_the_end_of_all_others),
		cmocka_unit_test(a_mapping_behind_the_cursor_is_unnamed),
		cmocka_unit_test(a_visitor_may_unmap_what_it_visits),
	};

	return cmocka_run_group_tests_name("walk", tests, NULL, NULL);
}
