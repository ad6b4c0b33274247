/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * unit_name.c - named mappings, and whom a walk asks: a name, ranges or neither
 *
 * What operations answer is in unit_page.c, which has named mappings among its kinds.
 */
#include "support.h"

#include <errno.h>

#define INDEX 5u
#define RANGES 3u

/* A page, and RANGES ranges that cover its index. */
struct covered {
	struct fixture fixture;
	struct rmap_page page;
	struct rmap_object *object;
};

static void covered_init(struct covered *covered, unsigned bits)
{
	fixture_init(&covered->fixture, bits, RMAP_RECLAIM_CALLBACK, 0);
	covered->page.word = 0;
	assert_int_equal(rmap_object_create(covered->fixture.map, &covered->object), 0);
	for (uint64_t i = 0; i < RANGES; i++) {
		const struct rmap_range range = { .last = 9, .address = (1 + i) << 20, .owner = i, .page_shift = 12 };

		assert_int_equal(rmap_object_attach(covered->object, &range), 0);
	}
}

static void covered_fini(struct covered *covered)
{
	fixture_drop(&covered->fixture, &covered->page);
	rmap_object_destroy(covered->object);
	fixture_fini(&covered->fixture);
}

static void add(struct covered *covered, struct rmap_mapping mapping)
{
	assert_true(fixture_add(&covered->fixture, &covered->page, mapping) >= 0);
}

static void take(struct covered *covered, struct rmap_mapping mapping)
{
	assert_true(fixture_remove(&covered->fixture, &covered->page, mapping) >= 0);
}

static void move(struct covered *covered, struct rmap_mapping from, struct rmap_mapping to)
{
	assert_true(fixture_move(&covered->fixture, &covered->page, from, to) >= 0);
}

/* What a walk asked: so many ranges, and the name, or 0. */
struct asked {
	unsigned ranges;
	uint64_t name;
};

static int note(void *arg, const struct rmap_visit *visit)
{
	struct asked *asked = arg;

	asked->ranges += visit->kind == RMAP_LINEAR;
	if (visit->kind == RMAP_NAMED) {
		expect(asked->name == 0 && visit->count == 1 && visit->address == 0);
		asked->name = visit->handle;
	}
	return 0;
}

/* By each form of a walk, with an object and, for a name, without one. */
static void expect_asked(struct covered *covered, unsigned ranges, uint64_t name)
{
	struct rmap_target target = { &covered->page, covered->object, INDEX, INDEX };
	struct rmap *map = covered->fixture.map;
	struct rmap_walk_summary summary;
	struct rmap_cursor cursor;
	struct rmap_visit visit;
	struct asked asked[3] = { { 0, 0 } };

	rmap_read_lock(map);
	assert_int_equal(rmap_walk(map, &target, note, &asked[0], &summary), 0);
	rmap_read_unlock(map);
	assert_int_equal(summary.candidates, ranges + !!name);
	assert_true(summary.complete);
	rmap_cursor_init(&cursor, map, &target);
	assert_int_equal(cursor_walk_apart(&cursor, map, note, &asked[1]), 0);
	rmap_cursor_init(&cursor, map, &target);
	while (rmap_cursor_next(&cursor, &visit, 1) > 0)
		note(&asked[2], &visit);
	for (unsigned i = 0; i < LENGTH(asked); i++) {
		assert_int_equal(asked[i].ranges, ranges);
		assert_int_equal(asked[i].name, name);
	}
	target.object = NULL;
	asked[0] = (struct asked){ 0, 0 };
	rmap_read_lock(map);
	assert_int_equal(rmap_walk(map, &target, note, &asked[0], NULL), 0);
	rmap_read_unlock(map);
	assert_int_equal(asked[0].ranges, 0);
	assert_int_equal(asked[0].name, name);
}

/* From the first mapping until a second one comes, and through moves; not anew when that goes. */
static void a_name_is_told_while_it_is_alone(void **state)
{
	struct covered covered;

	(void)state;
	covered_init(&covered, 0);
	add(&covered, rmap_named(handle_of(1)));
	expect_asked(&covered, 0, handle_of(1));
	move(&covered, rmap_named(handle_of(1)), rmap_named(handle_of(2)));
	expect_asked(&covered, 0, handle_of(2));
	move(&covered, rmap_named(handle_of(2)), rmap_locked());
	expect_asked(&covered, RANGES, 0);
	move(&covered, rmap_locked(), rmap_named(handle_of(3)));
	expect_asked(&covered, 0, handle_of(3));
	move(&covered, rmap_named(handle_of(3)), rmap_chained(handle_of(4)));
	expect_asked(&covered, 0, 0);
	move(&covered, rmap_chained(handle_of(4)), rmap_named(handle_of(5)));
	expect_asked(&covered, 0, handle_of(5));
	add(&covered, rmap_named(handle_of(6)));
	expect_asked(&covered, RANGES, 0);
	take(&covered, rmap_named(handle_of(6)));
	expect_asked(&covered, RANGES, 0);
	take(&covered, rmap_named(handle_of(5)));
	assert_int_equal(covered.page.word, 0);
	add(&covered, rmap_named(handle_of(7)));
	expect_asked(&covered, 0, handle_of(7));
	take(&covered, rmap_linear());
	assert_int_equal(covered.page.word, 0);
	covered_fini(&covered);
}

/* Ranges may find linear mappings and locked ones, and are asked if there is one of these. */
static void ranges_are_asked_for_what_is_counted(void **state)
{
	static const unsigned chains[] = { 0, 1, 3, 40 };

	(void)state;
	for (unsigned c = 0; c < LENGTH(chains); c++) {
		struct covered covered;

		covered_init(&covered, 0);
		for (unsigned i = 0; i < chains[c]; i++)
			add(&covered, rmap_chained(handle_of(i)));
		expect_asked(&covered, 0, 0);
		add(&covered, rmap_linear());
		expect_asked(&covered, RANGES, 0);
		take(&covered, rmap_linear());
		expect_asked(&covered, 0, 0);
		add(&covered, rmap_locked());
		expect_asked(&covered, RANGES, 0);
		take(&covered, rmap_locked());
		expect_asked(&covered, 0, 0);
		if (chains[c]) { /* to a range, and back: no crossing is left behind */
			move(&covered, rmap_chained(handle_of(0)), rmap_linear());
			expect_asked(&covered, RANGES, 0);
			move(&covered, rmap_linear(), rmap_chained(handle_of(90)));
			expect_asked(&covered, 0, 0);
			/* Nor is one that is refused. */
			assert_int_equal(fixture_move(&covered.fixture, &covered.page, rmap_chained(handle_of(91)),
						      rmap_linear()),
					 -ENOENT);
			expect_asked(&covered, 0, 0);
		}
		covered_fini(&covered);
	}
}

/* A key stands for several ptes there, and so does a name. */
static void multiplicity_forgets_names(void **state)
{
	struct covered covered;

	(void)state;
	covered_init(&covered, 4);
	add(&covered, rmap_named(handle_of(1)));
	expect_asked(&covered, RANGES, 0);
	take(&covered, rmap_named(handle_of(1)));
	assert_int_equal(covered.page.word, 0);
	covered_fini(&covered);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_name_is_told_while_it_is_alone),
		cmocka_unit_test(ranges_are_asked_for_what_is_counted),
		cmocka_unit_test(multiplicity_forgets_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
