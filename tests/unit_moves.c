/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * unit_moves.c - walks and cursors while mappings move: which moves make them look again, and where that ends
 *
 * A visitor moves the mappings itself, as any thread might at that moment; by which reserve, tells the walk whose move
 * it was. The mappings of a page are numbered, and each lies low or high.
 */
#include "support.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HIGH ((uint64_t)1 << 40)

/*
 * @how:     what the visitor moves: a mapping of one of @others; each mapping that it finds low, to high; or each to
 *           the other place
 * @reserve: with which it moves
 */
struct moving {
	struct rmap_reserve *reserve;
	struct rmap_page page;
	struct rmap_page others[256];
	enum { MOVE_OTHERS, MOVE_LOW, MOVE_ALL, MOVE_NONE } how;
	unsigned n;
	unsigned moves;
	unsigned visits;
	unsigned seen[64];
};

static uint64_t low_handle(unsigned i)
{
	return (uint64_t)(i + 1) << 12;
}

static void moving_init(struct moving *moving, struct fixture *fixture, unsigned n)
{
	memset(moving, 0, sizeof(*moving));
	fixture_init(fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	expect(rmap_reserve_create(fixture->map, &moving->reserve) == 0);
	expect(rmap_reserve_fill(moving->reserve, 4000) == 0);
	moving->n = n;
	for (unsigned i = 0; i < n; i++)
		expect(fixture_add(fixture, &moving->page, rmap_chained(low_handle(i))) >= 0);
	for (unsigned i = 0; i < LENGTH(moving->others); i++)
		for (unsigned j = 0; j < 3; j++)
			expect(fixture_add(fixture, &moving->others[i], rmap_chained(low_handle(j))) >= 0);
}

static void moving_fini(struct moving *moving, struct fixture *fixture)
{
	fixture_drop(fixture, &moving->page);
	for (unsigned i = 0; i < LENGTH(moving->others); i++)
		fixture_drop(fixture, &moving->others[i]);
	rmap_reserve_destroy(moving->reserve);
	fixture_fini(fixture);
}

/* To and fro. */
static void move_other(struct moving *moving)
{
	unsigned time = moving->moves++;
	struct rmap_page *page = &moving->others[time % LENGTH(moving->others)];
	uint64_t high = time / LENGTH(moving->others) % 2 * HIGH;

	expect(rmap_page_move(moving->reserve, page, rmap_chained(low_handle(0) ^ high),
			      rmap_chained(low_handle(0) ^ high ^ HIGH)) == 0);
}

static int move_and_count(void *arg, const struct rmap_visit *visit)
{
	struct moving *moving = arg;
	uint64_t handle = visit->handle;

	if (++moving->visits > 100000)
		return 1; /* it does not end */
	moving->seen[((handle & ~HIGH) >> 12) - 1]++;
	if (moving->how == MOVE_OTHERS)
		move_other(moving);
	else if (moving->how == MOVE_ALL || (moving->how == MOVE_LOW && !(handle & HIGH)))
		expect(rmap_page_move(moving->reserve, &moving->page, rmap_chained(handle),
				      rmap_chained(handle ^ HIGH)) == 0);
	return 0;
}

static int walk_moving(struct moving *moving, struct fixture *fixture, struct rmap_cursor *cursor)
{
	int result;

	moving->visits = 0;
	memset(moving->seen, 0, sizeof(moving->seen));
	rmap_read_lock(fixture->map);
	result = cursor_walk(cursor, move_and_count, moving);
	rmap_read_unlock(fixture->map);
	for (unsigned i = 0; i < moving->n; i++)
		expect(moving->seen[i] >= 1);
	return result;
}

static void moves_of_other_pages_are_no_reason_to_look_again(void **state)
{
	struct moving moving;
	struct rmap_target target = { .page = &moving.page };
	struct rmap_visit visit;
	struct rmap_cursor cursor;
	struct fixture fixture;
	unsigned batches = 0;

	(void)state;
	moving_init(&moving, &fixture, 60);
	for (unsigned i = 0; i < 20; i++) {
		struct rmap_walk_summary summary;

		moving.visits = 0;
		rmap_read_lock(fixture.map);
		assert_int_equal(rmap_walk(fixture.map, &target, move_and_count, &moving, &summary), 0);
		rmap_read_unlock(fixture.map);
		assert_int_equal(moving.visits, 60);
		assert_int_equal(summary.rounds, 1);
		assert_int_equal(summary.complete, 1);
	}
	/* Between all batches of a cursor together they are more than a log holds, between two of them they are not. */
	rmap_cursor_init(&cursor, fixture.map, &target);
	while (rmap_cursor_next(&cursor, &visit, 1) > 0) {
		expect(++batches < 1000);
		expect(rmap_reserve_fill(moving.reserve, 64) == 0);
		rmap_read_lock(fixture.map);
		for (unsigned i = 0; i < 64; i++) /* one in each log, about */
			move_other(&moving);
		rmap_read_unlock(fixture.map);
	}
	assert_int_equal(cursor.summary.rounds, 1);
	moving_fini(&moving, &fixture);
}

static void a_walker_does_not_chase_itself(void **state)
{
	struct moving moving;
	struct rmap_target target = { .page = &moving.page };
	struct rmap_visit visits[60];
	struct rmap_cursor cursor;
	struct fixture fixture;

	(void)state;
	moving_init(&moving, &fixture, 60);
	for (moving.how = MOVE_OTHERS; moving.how <= MOVE_ALL; moving.how++) {
		rmap_cursor_init(&cursor, fixture.map, &target);
		cursor.mover = moving.reserve;
		assert_int_equal(walk_moving(&moving, &fixture, &cursor), 0);
		assert_int_equal(cursor.summary.rounds, 1);
		assert_int_equal(cursor.summary.complete, 1);
		assert_true(moving.visits < 60 * 8);
	}
	for (size_t size = 1; size <= LENGTH(visits); size++) {
		unsigned batches = 0;
		size_t n;

		rmap_cursor_init(&cursor, fixture.map, &target);
		cursor.mover = moving.reserve;
		while ((n = rmap_cursor_next(&cursor, visits, size)) > 0) {
			expect(++batches < 1000);
			rmap_read_lock(fixture.map);
			for (size_t i = 0; i < n; i++)
				move_and_count(&moving, &visits[i]);
			rmap_read_unlock(fixture.map);
		}
		assert_int_equal(cursor.summary.rounds, 1);
	}
	moving_fini(&moving, &fixture);
}

/*
 * Without a mover, or with another one, a walk cannot tell the moves from anyone's. It looks again, and says where it
 * ends.
 */
static void a_walk_that_cannot_keep_up_says_so(void **state)
{
	struct moving moving;
	struct rmap_target target = { .page = &moving.page };
	struct rmap_walk_summary summary;
	struct rmap_cursor cursor;
	struct fixture fixture;

	(void)state;
	moving_init(&moving, &fixture, 60);
	moving.how = MOVE_LOW;
	rmap_cursor_init(&cursor, fixture.map, &target);
	cursor.mover = fixture.reserve;
	assert_int_equal(walk_moving(&moving, &fixture, &cursor), 0);
	assert_int_equal(cursor.summary.rounds, 2);
	assert_int_equal(cursor.summary.complete, 1);
	moving.how = MOVE_ALL;
	for (uint32_t rounds = 1; rounds < 9; rounds++) {
		rmap_cursor_init(&cursor, fixture.map, &target);
		cursor.rounds_max = rounds;
		assert_int_equal(walk_moving(&moving, &fixture, &cursor), -EAGAIN);
		assert_int_equal(cursor.summary.rounds, rounds);
		assert_int_equal(cursor.summary.complete, 0);
		assert_true(rmap_cursor_at_end(&cursor));
	}
	moving.visits = 0;
	rmap_read_lock(fixture.map);
	assert_int_equal(rmap_walk(fixture.map, &target, move_and_count, &moving, &summary), -EAGAIN);
	rmap_read_unlock(fixture.map);
	assert_int_equal(summary.rounds, RMAP_WALK_ROUNDS);
	assert_int_equal(summary.complete, 0);
	moving_fini(&moving, &fixture);
}

/* A walk whose mover moves more than the log holds between two batches, and others do, too, @others times. */
static void own_moves_beside(unsigned others)
{
	struct moving moving;
	struct rmap_target target = { .page = &moving.page };
	struct rmap_visit visits[8];
	struct rmap_reserve *mine;
	struct rmap_cursor cursor;
	struct fixture fixture;
	unsigned batches = 0;

	moving_init(&moving, &fixture, 60);
	mine = fixture.reserve;
	assert_int_equal(rmap_reserve_fill(mine, 4000), 0);
	rmap_cursor_init(&cursor, fixture.map, &target);
	cursor.mover = mine;
	while (rmap_cursor_next(&cursor, visits, 8) > 0) {
		uint64_t high = 0;

		rmap_read_lock(fixture.map);
		for (unsigned i = 0; i < 200 && batches < 3; i++, high ^= HIGH)
			expect(rmap_page_move(batches == 1 && i < others ? moving.reserve : mine, &moving.page,
					      rmap_chained(low_handle(0) ^ high),
					      rmap_chained(low_handle(0) ^ high ^ HIGH)) == 0);
		rmap_read_unlock(fixture.map);
		batches++;
	}
	assert_int_equal(cursor.summary.rounds, others ? 2 : 1);
	assert_int_equal(cursor.summary.complete, 1);
	moving_fini(&moving, &fixture);
}

/* The walk must notice the others' moves among its own. */
static void own_moves_do_not_hide_those_of_others(void **state)
{
	(void)state;
	own_moves_beside(0);
	own_moves_beside(2);
}

/* A mapping that lies low goes to and fro @n times, the last time not back if @n is odd. */
static void move_often(struct rmap_reserve *reserve, struct rmap_page *page, unsigned i, unsigned n)
{
	uint64_t high = 0;

	for (; n > 0; n--, high ^= HIGH)
		expect(rmap_page_move(reserve, page, rmap_chained(low_handle(i) ^ high),
				      rmap_chained(low_handle(i) ^ high ^ HIGH)) == 0);
}

/* As many own moves of another page, and one of this: the log has lost them all, and numbers alone would fit. */
static void own_moves_of_other_pages_hide_none(void **state)
{
	(void)state;
	for (unsigned other = 0; other < 8; other++) { /* some of which have another part of the log */
		struct moving moving;
		struct rmap_target target = { .page = &moving.page };
		struct rmap_visit visits[8];
		struct rmap_cursor cursor;
		struct fixture fixture;

		moving_init(&moving, &fixture, 60);
		assert_int_equal(rmap_reserve_fill(fixture.reserve, 400), 0);
		rmap_cursor_init(&cursor, fixture.map, &target);
		cursor.mover = fixture.reserve;
		assert_true(rmap_cursor_next(&cursor, visits, 8) > 0);
		rmap_read_lock(fixture.map);
		move_often(moving.reserve, &moving.page, 0, 100);
		move_often(fixture.reserve, &moving.others[other], 0, 100);
		move_often(fixture.reserve, &moving.page, 1, 1);
		rmap_read_unlock(fixture.map);
		while (rmap_cursor_next(&cursor, visits, 8) > 0)
			;
		assert_int_equal(cursor.summary.rounds, 2);
		moving_fini(&moving, &fixture);
	}
}

/* More moves of other pages than the log holds, between two batches: one of this page may have been among them. */
static void a_walk_that_lost_its_place_in_the_log_looks_again(void **state)
{
	struct moving moving;
	struct rmap_target target = { .page = &moving.page };
	struct rmap_visit visits[8];
	struct rmap_cursor cursor;
	struct fixture fixture;
	unsigned batches = 0;

	(void)state;
	moving_init(&moving, &fixture, 60);
	rmap_cursor_init(&cursor, fixture.map, &target);
	while (rmap_cursor_next(&cursor, visits, 8) > 0) {
		rmap_read_lock(fixture.map);
		for (unsigned i = 0; i < 20000 && batches == 3; i++)
			move_other(&moving);
		rmap_read_unlock(fixture.map);
		batches++;
	}
	assert_int_equal(cursor.summary.rounds, 2);
	assert_int_equal(cursor.summary.complete, 1);
	moving_fini(&moving, &fixture);
}

#if RMAP_INJECT
static struct moving *lapping;
static struct rmap_reserve *other_reserve;

/* More moves of other pages than a ring holds, in each ring. */
static void lap_log(void)
{
	for (unsigned i = 0; i < 4 * LENGTH(lapping->others); i++)
		move_other(lapping);
}

/* In the last batch, after which the walk reads the log once. */
static int move_last(void *arg, const struct rmap_visits *visits)
{
	struct moving *moving = arg;
	uint64_t handle = rmap_visits_handle(visits, visits->n - 1);

	moving->visits += visits->n;
	if (moving->visits == moving->n)
		expect(rmap_page_move(other_reserve, &moving->page, rmap_chained(handle),
				      rmap_chained(handle ^ HIGH)) == 0);
	return 0;
}

/* The same, while the walk reads the log: the entry of a move of its page is gone when it comes to it. */
static void a_walk_that_is_lapped_in_the_log_looks_again(void **state)
{
	struct moving moving;
	struct rmap_target target = { .page = &moving.page };
	struct rmap_cursor cursor;
	struct fixture fixture;

	(void)state;
	moving_init(&moving, &fixture, 5);
	lapping = &moving;
	other_reserve = fixture.reserve;
	/* Each step twice: the mapping lies low, then high. */
	for (uint64_t turn = 0; moving.moves == turn * 4 * LENGTH(moving.others); turn++) {
		assert_int_equal(rmap_reserve_fill(moving.reserve, 4000), 0);
		assert_int_equal(rmap_reserve_fill(other_reserve, 1), 0);
		rmap_cursor_init(&cursor, fixture.map, &target);
		moving.visits = 0;
		rmap_read_lock(fixture.map);
		rmap_inject_at(1 + turn / 2, lap_log);
		expect(rmap_walk_batches(&cursor, move_last, &moving) == 0);
		rmap_inject_at(0, NULL);
		rmap_read_unlock(fixture.map);
		assert_true(cursor.summary.rounds >= 2);
	}
	assert_true(moving.moves > 0);
	moving_fini(&moving, &fixture);
}
#else
static void a_walk_that_is_lapped_in_the_log_looks_again(void **state)
{
	(void)state;
	test_not_run("build", "steps are counted with -Dinject=true");
}
#endif

/* The log tells so many reserves apart. The others' moves are nobody's own, until one that has a number ends. */
static void more_reserves_than_the_log_tells_apart(void **state)
{
	enum { RESERVES = 4200 };
	struct rmap_reserve **reserves = calloc(RESERVES, sizeof(struct rmap_reserve *));
	struct rmap_reserve *first;
	struct moving moving;
	struct rmap_target target = { .page = &moving.page };
	struct rmap_cursor cursor;
	struct fixture fixture;

	(void)state;
	assert_non_null(reserves);
	moving_init(&moving, &fixture, 20);
	first = moving.reserve;
	for (unsigned i = 0; i < RESERVES; i++)
		assert_int_equal(rmap_reserve_create(fixture.map, &reserves[i]), 0);
	for (unsigned round = 0; round < 2; round++) {
		moving.reserve = reserves[RESERVES - 1];
		assert_int_equal(rmap_reserve_fill(moving.reserve, 1000), 0);
		moving.how = MOVE_ALL;
		rmap_cursor_init(&cursor, fixture.map, &target);
		cursor.mover = moving.reserve;
		cursor.rounds_max = 2;
		assert_int_equal(walk_moving(&moving, &fixture, &cursor), round == 0 ? -EAGAIN : 0);
		rmap_reserve_destroy(reserves[RESERVES - 1]);
		rmap_reserve_destroy(reserves[round]);
		reserves[round] = NULL;
		assert_int_equal(rmap_reserve_create(fixture.map, &reserves[RESERVES - 1]), 0);
	}
	for (unsigned i = 0; i < RESERVES; i++)
		rmap_reserve_destroy(reserves[i]);
	free(reserves);
	moving.reserve = first;
	moving_fini(&moving, &fixture);
}

/* A walk has read the word, and what it names has moved before the visitor looks: at its other place it is found. */
static void a_mapping_alone_is_followed(void **state)
{
	struct moving moving;
	struct rmap_target target = { .page = &moving.page };
	struct rmap_cursor cursor;
	struct fixture fixture;

	(void)state;
	moving_init(&moving, &fixture, 1);
	moving.how = MOVE_LOW;
	rmap_cursor_init(&cursor, fixture.map, &target);
	assert_int_equal(walk_moving(&moving, &fixture, &cursor), 0);
	assert_int_equal(moving.seen[0], 2);
	assert_int_equal(cursor.summary.rounds, 2);
	moving_fini(&moving, &fixture);
}

static void no_room_is_not_the_end(void **state)
{
	struct moving moving;
	struct rmap_target target = { .page = &moving.page };
	struct rmap_visit visits[4];
	struct rmap_cursor cursor;
	struct fixture fixture;

	(void)state;
	moving_init(&moving, &fixture, 6);
	rmap_cursor_init(&cursor, fixture.map, &target);
	assert_int_equal(rmap_cursor_next(&cursor, visits, 0), 0);
	assert_false(rmap_cursor_at_end(&cursor));
	assert_int_equal(rmap_cursor_next(&cursor, visits, 4), 4);
	assert_int_equal(rmap_cursor_next(&cursor, visits, 0), 0);
	assert_false(rmap_cursor_at_end(&cursor));
	assert_int_equal(rmap_cursor_next(&cursor, visits, 4), 2);
	assert_false(rmap_cursor_at_end(&cursor));
	assert_int_equal(rmap_cursor_next(&cursor, visits, 4), 0);
	assert_true(rmap_cursor_at_end(&cursor));
	moving_fini(&moving, &fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(moves_of_other_pages_are_no_reason_to_look_again),
		cmocka_unit_test(a_walker_does_not_chase_itself),
		cmocka_unit_test(a_walk_that_cannot_keep_up_says_so),
		cmocka_unit_test(own_moves_do_not_hide_those_of_others),
		cmocka_unit_test(own_moves_of_other_pages_hide_none),
		cmocka_unit_test(a_walk_that_lost_its_place_in_the_log_looks_again),
		cmocka_unit_test(a_walk_that_is_lapped_in_the_log_looks_again),
		cmocka_unit_test(more_reserves_than_the_log_tells_apart),
		cmocka_unit_test(a_mapping_alone_is_followed),
		cmocka_unit_test(no_room_is_not_the_end),
	};

	return cmocka_run_group_tests_name("moves", tests, NULL, NULL);
}
