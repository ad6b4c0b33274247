/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * unit_folio.c - pages of several indexes: the parts of them that ranges cover, and several mappings that are counted
 * at once
 *
 * Walks are compared with what a look at each range says.
 */
#include "support.h"

#include <errno.h>
#include <string.h>

#define SHIFT 12u

/* --- walks ------------------------------------------------------------------------------------ */

#define RANGES 12u
#define VISITS 64u

struct found {
	struct rmap_visit visits[VISITS];
	size_t n;
};

static int find(void *arg, const struct rmap_visit *visit)
{
	struct found *found = arg;

	expect(found->n < VISITS);
	found->visits[found->n++] = *visit;
	return 0;
}

static int find_batch(void *arg, const struct rmap_visits *visits)
{
	struct rmap_visit visit;

	for (size_t i = 0; i < visits->n; i++) {
		rmap_visits_get(visits, i, &visit);
		expect(visit.count == rmap_visits_count(visits, i));
		if (visits->kind == RMAP_LINEAR)
			expect(rmap_visits_index(visits, i) == rmap_range_index(&visit.range, visit.address));
		find(arg, &visit);
	}
	return 0;
}

/* Each of @ranges once, with the part of @target that it covers; those that cover none not at all. */
static void expect_parts(const struct found *found, const struct rmap_target *target, const struct rmap_range *ranges,
			 size_t n)
{
	size_t linear = 0;

	for (size_t i = 0; i < n; i++) {
		uint64_t first = at_least(ranges[i].first, target->first);
		uint64_t last = at_most(ranges[i].last, target->last);
		unsigned met = 0;

		for (size_t j = 0; j < found->n; j++) {
			const struct rmap_visit *visit = &found->visits[j];

			if (visit->kind != RMAP_LINEAR || visit->range.owner != ranges[i].owner)
				continue;
			met++;
			expect(!memcmp(&visit->range, &ranges[i], sizeof(ranges[i])));
			expect(visit->address == rmap_range_address(&ranges[i], first));
			expect(visit->count == last - first + 1);
			expect(visit->handle == 0);
		}
		expect(met == (first <= last));
		linear += met;
	}
	for (size_t j = 0; j < found->n; j++)
		linear += found->visits[j].kind == RMAP_CHAINED;
	expect(linear == found->n);
}

/* By all three forms of a walk, and by a cursor in copies of @size. */
static void compare_walks(struct fixture *fixture, const struct rmap_target *target, const struct rmap_range *ranges,
			  size_t n, size_t size)
{
	struct rmap_visit copies[VISITS];
	struct rmap_walk_summary summary;
	struct rmap_cursor cursor;
	struct found found = { .n = 0 };
	size_t got;

	rmap_read_lock(fixture->map);
	assert_int_equal(rmap_walk(fixture->map, target, find, &found, &summary), 0);
	expect_parts(&found, target, ranges, n);
	assert_int_equal(summary.candidates + summary.chained, found.n);
	found.n = 0;
	rmap_cursor_init(&cursor, fixture->map, target);
	assert_int_equal(rmap_walk_batches(&cursor, find_batch, &found), 0);
	expect_parts(&found, target, ranges, n);
	rmap_read_unlock(fixture->map);
	found.n = 0;
	rmap_cursor_init(&cursor, fixture->map, target);
	while ((got = rmap_cursor_next(&cursor, copies, size)) > 0)
		for (size_t i = 0; i < got; i++)
			find(&found, &copies[i]);
	expect_parts(&found, target, ranges, n);
}

/* One process maps the whole folio, another only its tail: it is found, whatever the folio's first index is. */
static void a_range_of_the_tail_is_found(void **state)
{
	const struct rmap_range ranges[] = {
		{ .first = 0, .last = 15, .address = 0x100000, .owner = 1, .page_shift = SHIFT },
		{ .first = 8, .last = 11, .address = 0x900000, .owner = 2, .page_shift = SHIFT },
	};
	struct rmap_walk_summary summary;
	struct rmap_page page = { 0 };
	struct rmap_object *object;
	struct rmap_target target;
	struct found found = { .n = 0 };
	struct fixture fixture;

	(void)state;
	fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	assert_int_equal(rmap_object_create(fixture.map, &object), 0);
	for (unsigned i = 0; i < LENGTH(ranges); i++) {
		assert_int_equal(rmap_object_attach(object, &ranges[i]), 0);
		assert_true(fixture_add(&fixture, &page, rmap_linear()) >= 0);
	}
	target = (struct rmap_target){ .page = &page, .object = object, .first = 0, .last = 15 };
	rmap_read_lock(fixture.map);
	assert_int_equal(rmap_walk(fixture.map, &target, find, &found, &summary), 0);
	rmap_read_unlock(fixture.map);
	expect_parts(&found, &target, ranges, 2);
	assert_int_equal(summary.candidates, 2);
	assert_int_equal(summary.linear, 2);
	assert_int_equal(summary.unnamed, 0);
	assert_int_equal(fixture_drop(&fixture, &page), 2);
	rmap_object_destroy(object);
	fixture_fini(&fixture);
}

static struct rmap_range any_range(struct generator *generator, uint64_t owner)
{
	uint64_t first = generator_below(generator, 40);

	return (struct rmap_range){ .first = first,
				    .last = first + generator_below(generator, 20),
				    .address = generator_below(generator, 1000) << SHIFT,
				    .owner = owner,
				    .page_shift = SHIFT };
}

static void parts_of_pages_of_any_size(void **state)
{
	struct generator generator = { test_seed() };
	struct rmap_range ranges[RANGES];
	struct rmap_object *object;
	struct subject subject;
	struct fixture fixture;

	(void)state;
	fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	for (unsigned round = 0; round < 200; round++) {
		size_t n = generator_below(&generator, RANGES + 1);

		subject_init(&subject, &fixture, (unsigned)generator_below(&generator, 6), 1, 0);
		assert_int_equal(rmap_object_create(fixture.map, &object), 0);
		for (size_t i = 0; i < n; i++) {
			ranges[i] = any_range(&generator, i);
			assert_int_equal(rmap_object_attach(object, &ranges[i]), 0);
		}
		for (unsigned order = 0; order < 7; order++) {
			uint64_t first = generator_below(&generator, 64) >> order << order;
			struct rmap_target target = { &subject.page, object, first, first + (1ull << order) - 1 };

			compare_walks(&fixture, &target, ranges, n, 1 + order);
		}
		rmap_object_destroy(object);
		subject_fini(&subject);
	}
	fixture_fini(&fixture);
}

#define PIECES_MAX 16u
#define FOLIO 16u

/* What a cursor must see between batches: of each owner each index, wherever cuts lie. */
struct cut_up {
	struct rmap_object *object;
	struct rmap_range pieces[PIECES_MAX];
	unsigned n;
};

static void cut(struct cut_up *cut_up, struct generator *generator)
{
	struct rmap_range *piece = &cut_up->pieces[generator_below(generator, cut_up->n)];
	struct rmap_range *right = &cut_up->pieces[cut_up->n];
	uint64_t at;

	if (cut_up->n == PIECES_MAX || piece->first == piece->last)
		return;
	at = piece->first + 1 + generator_below(generator, piece->last - piece->first);
	assert_int_equal(rmap_object_split(cut_up->object, piece, at), 0);
	*right = *piece;
	right->address = rmap_range_address(piece, at);
	right->first = at;
	piece->last = at - 1;
	cut_up->n++;
}

/* Two neighbours become one again: a list, so that no version has neither. */
static void mend(struct cut_up *cut_up, struct generator *generator)
{
	struct rmap_range *left = &cut_up->pieces[generator_below(generator, cut_up->n)];

	for (unsigned i = 0; i < cut_up->n; i++) {
		struct rmap_range *right = &cut_up->pieces[i];
		struct rmap_range both = *left;
		struct rmap_change changes[] = { { .range = left }, { .range = right, .with = &both, .n = 1 } };

		if (right->owner != left->owner || right->first != left->last + 1)
			continue;
		both.last = right->last;
		assert_int_equal(rmap_object_update(cut_up->object, changes, 2), 0);
		*left = both;
		*right = cut_up->pieces[--cut_up->n];
		return;
	}
}

/* G3 for each index by itself: ranges are cut inside the folio and mended again between the batches of a cursor. */
static void g3_ranges_are_cut_inside_the_page(void **state)
{
	struct generator generator = { test_seed() };
	struct rmap_page page = { 0 };
	struct rmap_visit visits[3];
	struct rmap_target target;
	struct rmap_cursor cursor;
	struct fixture fixture;
	struct cut_up cut_up;

	(void)state;
	fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	fixture_add(&fixture, &page, rmap_linear());
	for (unsigned round = 0; round < 1000; round++) {
		size_t size = 1 + generator_below(&generator, LENGTH(visits));
		uint64_t seen[2] = { 0, 0 };
		size_t n;

		assert_int_equal(rmap_object_create(fixture.map, &cut_up.object), 0);
		cut_up.n = 2;
		cut_up.pieces[0] = (struct rmap_range){ 0, 3 * FOLIO, 1 << 20, 0, SHIFT, 0 };
		cut_up.pieces[1] = (struct rmap_range){ FOLIO + 3, 2 * FOLIO - 2, 2 << 20, 1, SHIFT, 0 };
		for (unsigned i = 0; i < 2; i++)
			assert_int_equal(rmap_object_attach(cut_up.object, &cut_up.pieces[i]), 0);
		for (unsigned i = 0; i < round % 8; i++)
			cut(&cut_up, &generator);
		target = (struct rmap_target){ &page, cut_up.object, FOLIO, 2 * FOLIO - 1 };
		rmap_cursor_init(&cursor, fixture.map, &target);
		for (unsigned batch = 0; (n = rmap_cursor_next(&cursor, visits, size)) > 0; batch++) {
			for (size_t i = 0; i < n; i++) {
				uint64_t first = rmap_range_index(&visits[i].range, visits[i].address);

				for (uint64_t j = first; j < first + visits[i].count; j++) {
					uint64_t base = (visits[i].range.owner + 1) << 20;
					uint64_t from = visits[i].range.owner ? FOLIO + 3 : 0;

					expect(j >= FOLIO && j < 2 * FOLIO);
					expect(rmap_range_address(&visits[i].range, j) == base + ((j - from) << SHIFT));
					seen[visits[i].range.owner] |= 1ull << (j - FOLIO);
				}
			}
			if (batch < 12 && generator_below(&generator, 2))
				cut(&cut_up, &generator);
			else if (batch < 12)
				mend(&cut_up, &generator);
		}
		assert_int_equal(seen[0], 0xffff);
		assert_int_equal(seen[1], 0x7ff8);
		assert_true(cursor.summary.complete);
		rmap_object_destroy(cut_up.object);
	}
	fixture_drop(&fixture, &page);
	fixture_fini(&fixture);
}

/* --- counts ----------------------------------------------------------------------------------- */

static struct rmap_mapping many(enum rmap_kind kind, uint64_t n)
{
	return kind == RMAP_LINEAR ? rmap_linear_many(n) : rmap_locked_many(n);
}

static uint32_t limit_of(enum rmap_kind kind)
{
	return kind == RMAP_LINEAR ? RMAP_LINEAR_MAX : RMAP_LOCKED_MAX;
}

static uint64_t counted(const struct subject *subject, enum rmap_kind kind)
{
	return kind == RMAP_LINEAR ? subject->reference.linear : subject->reference.locked;
}

/* Refused as a whole: what would be one too many, and what would not fit the word either. */
static void refuse_too_many(struct subject *subject, enum rmap_kind kind)
{
	uint32_t room = limit_of(kind) - (uint32_t)counted(subject, kind);
	uint32_t there = (uint32_t)counted(subject, kind);
	const uint64_t too_many[] = { room + 1, room + 2, limit_of(kind) - 1, limit_of(kind), RMAP_LINEAR_MAX };
	const enum rmap_kind other = kind == RMAP_LINEAR ? RMAP_LOCKED : RMAP_LINEAR;

	for (unsigned i = 0; i < LENGTH(too_many); i++) {
		if (too_many[i] <= room || too_many[i] > RMAP_LINEAR_MAX)
			continue;
		assert_int_equal(fixture_add(subject->fixture, &subject->page, many(kind, too_many[i])), -EOVERFLOW);
		if (too_many[i] > there)
			assert_int_equal(fixture_remove(subject->fixture, &subject->page, many(kind, too_many[i])),
					 -ENOENT);
	}
	if (there < RMAP_LINEAR_MAX) {
		const struct rmap_mapping more = many(kind, there + 1);

		assert_int_equal(fixture_remove(subject->fixture, &subject->page, more), -ENOENT);
		assert_int_equal(fixture_move(subject->fixture, &subject->page, more, many(other, there + 1)), -ENOENT);
	}
	subject_compare(subject);
}

/* In each state of the word: several come, change and go in one step, with the events of that step. */
static void g10_several_at_once(void **state)
{
	static const enum rmap_kind counted_kinds[] = { RMAP_LINEAR, RMAP_LOCKED };
	struct subject subject;
	struct fixture fixture;

	(void)state;
	fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	for (unsigned chained = 0; chained < 6; chained++) {
		for (unsigned k = 0; k < 2; k++) {
			enum rmap_kind kind = counted_kinds[k], other = counted_kinds[!k];

			subject_init(&subject, &fixture, chained, 0, 0);
			refuse_too_many(&subject, kind);
			subject_add(&subject, many(kind, 16));
			refuse_too_many(&subject, kind);
			subject_remove(&subject, many(kind, 5));
			assert_int_equal(fixture_move(&fixture, &subject.page, many(kind, 8), many(other, 8)),
					 reference_move(&subject.reference, many(kind, 8), many(other, 8)));
			subject_compare(&subject);
			subject_remove(&subject, many(kind, 3));
			subject_remove(&subject, many(other, 8));
			assert_int_equal(fixture_counts(&fixture, &subject.page).chained, chained);
			subject_add(&subject, many(kind, limit_of(kind)));
			refuse_too_many(&subject, kind);
			subject_remove(&subject, many(kind, 7));
			refuse_too_many(&subject, kind);
			subject_add(&subject, many(kind, 7));
			subject_add(&subject, many(other, 4));
			if (limit_of(kind) >= limit_of(other)) /* of which all but four would fit */
				assert_int_equal(fixture_move(&fixture, &subject.page, many(kind, limit_of(other)),
							      many(other, limit_of(other))),
						 -EOVERFLOW);
			assert_int_equal(fixture_move(&fixture, &subject.page, many(kind, 9), many(kind, 9)), 0);
			subject_compare(&subject);
			subject_remove(&subject, many(kind, limit_of(kind)));
			subject_fini(&subject);
		}
	}
	fixture_fini(&fixture);
}

/* mlock and munlock of a folio: its lock is told once. A page that has no more is told with the last of several. */
static void g5_one_event_for_several(void **state)
{
	struct rmap_page page = { 0 };
	struct fixture fixture;

	(void)state;
	fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	for (unsigned chained = 0; chained < 4; chained++) {
		int first = chained ? 0 : RMAP_FIRST, last = chained ? 0 : RMAP_LAST, locked;

		for (unsigned i = 0; i < chained; i++)
			assert_true(fixture_add(&fixture, &page, mapping_of(RMAP_CHAINED, i)) >= 0);
		assert_int_equal(fixture_add(&fixture, &page, rmap_linear_many(16)), first);
		fixture_fill(&fixture, 2);
		rmap_read_lock(fixture.map);
		locked = rmap_page_lock(fixture.reserve, &page, rmap_linear_many(12));
		assert_int_equal(locked, RMAP_FIRST_LOCK);
		assert_int_equal(rmap_page_lock(fixture.reserve, &page, rmap_linear_many(4)), 0);
		assert_int_equal(rmap_page_unlock(fixture.reserve, &page, rmap_linear_many(15)), 0);
		assert_int_equal(rmap_page_unlock(fixture.reserve, &page, rmap_linear_many(1)), RMAP_LAST_LOCK);
		rmap_read_unlock(fixture.map);
		assert_int_equal(fixture_add(&fixture, &page, rmap_locked_many(2)), RMAP_FIRST_LOCK);
		assert_int_equal(fixture_remove(&fixture, &page, rmap_locked_many(2)), RMAP_LAST_LOCK);
		assert_int_equal(fixture_remove(&fixture, &page, rmap_linear_many(15)), 0);
		assert_int_equal(fixture_remove(&fixture, &page, rmap_linear()), last);
		assert_int_equal(fixture_drop(&fixture, &page), chained);
	}
	fixture_fini(&fixture);
}

static void g11_counts_that_are_none(void **state)
{
	struct subject subject;
	struct fixture fixture;

	(void)state;
	fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	for (unsigned chained = 0; chained < 4; chained++) {
		const struct rmap_mapping bad[] = { rmap_linear_many(0),
						    rmap_locked_many(0),
						    rmap_linear_many(RMAP_LINEAR_MAX + 1),
						    rmap_locked_many(1ull << 43),
						    rmap_linear_many(1ull << 60 | 1),
						    rmap_linear_many(UINT64_MAX) };

		subject_init(&subject, &fixture, chained, 2, 2);
		for (unsigned i = 0; i < LENGTH(bad); i++) {
			assert_int_equal(fixture_add(&fixture, &subject.page, bad[i]), -EINVAL);
			assert_int_equal(fixture_duplicate(&fixture, &subject.page, bad[i]), -EINVAL);
			assert_int_equal(fixture_remove(&fixture, &subject.page, bad[i]), -EINVAL);
			assert_int_equal(fixture_move(&fixture, &subject.page, bad[i], rmap_linear()), -EINVAL);
			assert_int_equal(fixture_move(&fixture, &subject.page, rmap_linear(), bad[i]), -EINVAL);
		}
		assert_int_equal(fixture_move(&fixture, &subject.page, rmap_linear_many(2), rmap_locked()), -EINVAL);
		assert_int_equal(
			fixture_move(&fixture, &subject.page, rmap_linear_many(2), mapping_of(RMAP_CHAINED, 9)),
			-EINVAL);
		subject_compare(&subject);
		subject_fini(&subject);
	}
	fixture_fini(&fixture);
}

/* Batches take counts as they come; one that is refused has added none of its own. */
static void batches_of_several_at_once(void **state)
{
	const struct rmap_mapping mappings[] = { rmap_linear_many(16), rmap_locked_many(3), rmap_chained(handle_of(0)),
						 rmap_linear_many(RMAP_LINEAR_MAX - 15), rmap_linear() };
	struct rmap_page page = { 0 };
	struct rmap_page *pages[LENGTH(mappings)];
	int events[LENGTH(mappings)] = { 99, 99, 99, 99, 99 };
	struct fixture fixture;
	int error;

	(void)state;
	fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	for (unsigned i = 0; i < LENGTH(mappings); i++)
		pages[i] = &page;
	fixture_fill(&fixture, LENGTH(mappings));
	rmap_read_lock(fixture.map);
	assert_int_equal(rmap_page_add_batch(fixture.reserve, pages, mappings, events, LENGTH(mappings), &error), 3);
	assert_int_equal(error, -EOVERFLOW);
	assert_int_equal(events[0], RMAP_FIRST);
	assert_int_equal(events[1], RMAP_FIRST_LOCK);
	assert_int_equal(events[2], 0);
	assert_int_equal(rmap_page_counts(fixture.map, &page).linear, 16);
	assert_int_equal(rmap_page_remove_batch(fixture.reserve, pages, mappings, events, 3, &error), 3);
	assert_int_equal(error, 0);
	assert_int_equal(events[1], RMAP_LAST_LOCK);
	assert_int_equal(events[2], RMAP_LAST);
	rmap_read_unlock(fixture.map);
	fixture_fini(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_range_of_the_tail_is_found),
		cmocka_unit_test(parts_of_pages_of_any_size),
		cmocka_unit_test(g3_ranges_are_cut_inside_the_page),
		cmocka_unit_test(g5_one_event_for_several),
		cmocka_unit_test(g10_several_at_once),
		cmocka_unit_test(g11_counts_that_are_none),
		cmocka_unit_test(batches_of_several_at_once),
	};

	return cmocka_run_group_tests_name("folio", tests, NULL, NULL);
}
