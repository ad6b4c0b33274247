/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * unit_costs.c - how many read-modify-writes each operation takes: the table of docs/performance.md; and how many
 * accesses at most
 *
 * Counted where the library does them (lib/atomic.h), with no race lost. Where the memory comes from is the fill's
 * affair, and not counted; what an operation retires is.
 */
#include "support.h"

#include <stdlib.h>

#if RMAP_INJECT

/* What a checked build looks for in each operation takes two more. */
#define OF_CHECKS (CHECKED ? 2u : 0u)

/* Each answers with its read-modify-writes. Inside a section, with a filled reserve. */
static uint64_t add(struct fixture *fixture, struct rmap_page *page, struct rmap_mapping mapping)
{
	uint64_t before = rmap_inject_rmws();

	expect(rmap_page_add(fixture->reserve, page, mapping) >= 0);
	return rmap_inject_rmws() - before - OF_CHECKS;
}

static uint64_t take(struct fixture *fixture, struct rmap_page *page, struct rmap_mapping mapping)
{
	uint64_t before = rmap_inject_rmws();

	expect(rmap_page_remove(fixture->reserve, page, mapping) >= 0);
	return rmap_inject_rmws() - before - OF_CHECKS;
}

static uint64_t move(struct fixture *fixture, struct rmap_page *page, struct rmap_mapping from, struct rmap_mapping to)
{
	uint64_t before = rmap_inject_rmws();

	expect(rmap_page_move(fixture->reserve, page, from, to) >= 0);
	return rmap_inject_rmws() - before - OF_CHECKS;
}

static void begin(struct fixture *fixture, unsigned bits)
{
	fixture_init(fixture, bits, RMAP_RECLAIM_CALLBACK, 0);
	fixture_fill(fixture, 64);
	rmap_read_lock(fixture->map);
}

static void end(struct fixture *fixture, struct rmap_page *page)
{
	rmap_read_unlock(fixture->map);
	fixture_drop(fixture, page);
	fixture_fini(fixture);
}

static struct rmap_mapping pte(uint64_t n)
{
	return rmap_chained(0x1000 + 8 * n);
}

static void an_element_alone_and_counts_take_one(void **state)
{
	struct rmap_page page = { 0 };
	struct fixture fixture;

	(void)state;
	begin(&fixture, 0);
	expect(add(&fixture, &page, pte(0)) == 1);
	expect(move(&fixture, &page, pte(0), pte(1)) == 3); /* two for the log */
	expect(take(&fixture, &page, pte(1)) == 1);
	expect(add(&fixture, &page, rmap_linear()) == 1);
	expect(move(&fixture, &page, rmap_linear(), rmap_locked()) == 1);
	expect(take(&fixture, &page, rmap_locked()) == 1);
	expect(add(&fixture, &page, rmap_named(0x1000)) == 1);
	expect(add(&fixture, &page, rmap_named(0x2000)) == 1);
	expect(take(&fixture, &page, rmap_named(0x1000)) == 1);
	expect(move(&fixture, &page, rmap_named(0x2000), rmap_named(0x3000)) == 3); /* likewise */
	expect(take(&fixture, &page, rmap_named(0x3000)) == 1);
	end(&fixture, &page);
}

static void a_claim_takes_one(void **state)
{
	struct rmap_page page = { 0 };
	struct fixture fixture;

	(void)state;
	begin(&fixture, 0);
	expect(add(&fixture, &page, pte(0)) == 1);
	expect(add(&fixture, &page, pte(1)) == 1); /* makes the chain */
	expect(take(&fixture, &page, pte(0)) == 1);
	expect(add(&fixture, &page, pte(0)) == 1);
	expect(add(&fixture, &page, pte(2)) == 2); /* the third: count and slot */
	expect(take(&fixture, &page, pte(2)) == 2);
	expect(add(&fixture, &page, rmap_linear()) == 1); /* beside a chain */
	expect(take(&fixture, &page, rmap_linear()) == 1);
	expect(take(&fixture, &page, pte(0)) == 1);
	/* The last: meta, the word, and slot 2, which ends late adds. */
	expect(take(&fixture, &page, pte(1)) == 3);
	end(&fixture, &page);
}

/* Two of them for the log of moves, and two for a crossing. */
static void moves(void **state)
{
	struct rmap_page page = { 0 };
	struct fixture fixture;

	(void)state;
	begin(&fixture, 0);
	for (unsigned i = 0; i < 2; i++)
		expect(rmap_page_add(fixture.reserve, &page, pte(i)) >= 0);
	expect(move(&fixture, &page, pte(1), rmap_linear()) == 5); /* both */
	expect(move(&fixture, &page, rmap_linear(), pte(1)) == 3);
	expect(move(&fixture, &page, pte(1), pte(2)) == 4); /* to slot 2 */
	expect(move(&fixture, &page, pte(2), pte(1)) == 4);
	expect(move(&fixture, &page, pte(1), rmap_locked()) == 5);
	expect(move(&fixture, &page, rmap_locked(), pte(1)) == 5);
	end(&fixture, &page);
}

static void equal_keys_take_two(void **state)
{
	struct rmap_page page = { 0 };
	struct fixture fixture;

	(void)state;
	begin(&fixture, 9);
	expect(add(&fixture, &page, rmap_chained(0x10000)) == 1);
	expect(add(&fixture, &page, rmap_chained(0x10000)) == 1);
	expect(add(&fixture, &page, rmap_chained(0x20000)) == 1);
	expect(add(&fixture, &page, rmap_chained(0x20000)) == 2);
	expect(take(&fixture, &page, rmap_chained(0x20000)) == 2);
	end(&fixture, &page);
}

/*
 * Two each for count and slot; what a pair takes besides is for leaves that are rebuilt: a slot takes one, an element
 * another.
 */
static void long_chains_take_two(void **state)
{
	static const unsigned sizes[] = { 7, 64, 1024 };

	(void)state;
	for (unsigned s = 0; s < LENGTH(sizes); s++) {
		unsigned n = sizes[s];
		unsigned pairs = 2000;
		struct rmap_page page = { 0 };
		struct generator generator = { 1 };
		uint64_t *handles = calloc(n, sizeof(*handles));
		uint64_t rmws = 0;
		struct fixture fixture;

		assert_non_null(handles);
		fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
		for (unsigned i = 0; i < n; i++) {
			handles[i] = generator_next(&generator) << 3 & 0xFFFFFFFFFFFF;
			assert_true(fixture_add(&fixture, &page, rmap_chained(handles[i])) >= 0);
		}
		for (unsigned i = 0; i < pairs; i++) {
			uint64_t *handle = &handles[generator_below(&generator, n)];

			fixture_fill(&fixture, 1);
			rmap_read_lock(fixture.map);
			rmws += take(&fixture, &page, rmap_chained(*handle));
			*handle = generator_next(&generator) << 3 & 0xFFFFFFFFFFFF;
			rmws += add(&fixture, &page, rmap_chained(*handle));
			rmap_read_unlock(fixture.map);
		}
		print_message("# %u mappings: %.2f read-modify-writes a pair\n", n, (double)rmws / pairs);
		/* Two in seven elements have claims, and take two a pair. */
		assert_in_range(10 * rmws, (n == 7 ? 30 : 38) * pairs, 60 * pairs);
		free(handles);
		fixture_drop(&fixture, &page);
		fixture_fini(&fixture);
	}
}

/* Accesses, of which most are loads. Each answers with those of one operation. */
static uint64_t add_steps(struct fixture *fixture, struct rmap_page *page, uint64_t handle)
{
	uint64_t before = rmap_inject_steps();

	expect(rmap_page_add(fixture->reserve, page, rmap_chained(handle)) >= 0);
	return rmap_inject_steps() - before;
}

static uint64_t take_steps(struct fixture *fixture, struct rmap_page *page, uint64_t handle)
{
	uint64_t before = rmap_inject_steps();

	expect(rmap_page_remove(fixture->reserve, page, rmap_chained(handle)) >= 0);
	return rmap_inject_steps() - before;
}

static uint64_t move_steps(struct fixture *fixture, struct rmap_page *page, uint64_t from, uint64_t to)
{
	uint64_t before = rmap_inject_steps();

	expect(rmap_page_move(fixture->reserve, page, rmap_chained(from), rmap_chained(to)) >= 0);
	return rmap_inject_steps() - before;
}

#define EQUAL_HANDLE 0x5000u
#define OTHERS 4000u

static uint64_t other(uint64_t i)
{
	return (i + 0x100) << 12;
}

/* The accesses of so many pairs among the others, each time the one whose turn it is. */
static uint64_t pairs_of_others(struct fixture *fixture, struct rmap_page *page, unsigned pairs, uint64_t *turn)
{
	uint64_t steps = 0;

	for (unsigned i = 0; i < pairs; i++, ++*turn) {
		fixture_fill(fixture, 1);
		rmap_read_lock(fixture->map);
		steps += take_steps(fixture, page, other(*turn));
		steps += add_steps(fixture, page, other(*turn + OTHERS));
		rmap_read_unlock(fixture->map);
	}
	return steps;
}

/* Beside one key many times over, others cost what they cost alone; and it leaves as it came. */
static void equal_keys_harm_no_others(void **state)
{
	const unsigned units = 4000, pairs = 8000;
	struct rmap_page page = { 0 };
	struct fixture fixture;
	uint64_t turn = 0;
	uint64_t alone, beside;

	(void)state;
	fixture_init(&fixture, 1, RMAP_RECLAIM_CALLBACK, 0);
	for (uint64_t i = 0; i < OTHERS; i++)
		assert_true(fixture_add(&fixture, &page, rmap_chained(other(i))) >= 0);
	pairs_of_others(&fixture, &page, pairs, &turn);
	alone = pairs_of_others(&fixture, &page, pairs, &turn);
	for (unsigned i = 0; i < units; i++) {
		assert_true(fixture_add(&fixture, &page, rmap_chained(EQUAL_HANDLE)) >= 0);
		if (i % 100 == 0) {
			struct rmap_shape shape = fixture_shape(&fixture, &page);

			assert_true(shape.bytes <= 24 * shape.elements + 8192);
		}
	}
	beside = pairs_of_others(&fixture, &page, pairs, &turn);
	print_message("# %.1f accesses a pair of others, %.1f beside %u units of one key\n", (double)alone / pairs,
		      (double)beside / pairs, units);
	assert_true(beside * 5 <= alone * 6);
	for (unsigned i = units; i-- > 0;) {
		fixture_fill(&fixture, 1);
		assert_true(fixture_remove(&fixture, &page, rmap_chained(EQUAL_HANDLE)) >= 0);
		if (i % 100 == 0) {
			struct rmap_shape shape = fixture_shape(&fixture, &page);

			assert_true(shape.bytes <= 24 * shape.elements + 8192);
		}
	}
	fixture_drop(&fixture, &page);
	fixture_fini(&fixture);
}

struct worst {
	uint64_t add, take, move;
};

static void note(uint64_t *worst, uint64_t steps)
{
	*worst = steps > *worst ? steps : *worst;
}

/* Grows to @n, moves some, and shrinks to none, with fills of 32. @order 0: oldest first; 1: newest; 2: scattered */
static void breathe(struct fixture *fixture, uint64_t n, unsigned order, struct worst *worst)
{
	uint64_t *handles = calloc(n, sizeof(*handles));
	struct generator generator = { order };
	struct rmap_page page = { 0 };

	assert_non_null(handles);
	for (unsigned i = 0; order == 2 && i < 4000; i++)
		assert_true(fixture_add(fixture, &page, rmap_chained(EQUAL_HANDLE)) >= 0);
	for (uint64_t i = 0; i < n; i++) {
		handles[i] = generator_next(&generator) << 4 & 0xFFFFFFFFFFFF;
		if (i % 32 == 0)
			fixture_fill(fixture, 32);
		rmap_read_lock(fixture->map);
		note(&worst->add, add_steps(fixture, &page, handles[i]));
		rmap_read_unlock(fixture->map);
	}
	for (uint64_t i = 0; i < n; i += 16) {
		uint64_t handle = generator_next(&generator) << 4 & 0xFFFFFFFFFFFF;

		fixture_fill(fixture, 1);
		rmap_read_lock(fixture->map);
		note(&worst->move, move_steps(fixture, &page, handles[i], handle));
		rmap_read_unlock(fixture->map);
		handles[i] = handle;
	}
	for (uint64_t i = 0; i < n; i++) {
		uint64_t at = order == 0 ? i : order == 1 ? n - 1 - i : i + generator_below(&generator, n - i);
		uint64_t handle = handles[at];

		handles[at] = order == 2 ? handles[i] : handle;
		if (i % 32 == 0)
			fixture_fill(fixture, 32);
		rmap_read_lock(fixture->map);
		note(&worst->take, take_steps(fixture, &page, handle));
		rmap_read_unlock(fixture->map);
	}
	free(handles);
	fixture_drop(fixture, &page);
}

/* docs/performance.md: no operation alone in its place takes more, however long the chain is. */
static void no_operation_takes_3000_accesses(void **state)
{
	struct worst worst = { 0 };

	(void)state;
	for (unsigned order = 0; order < 3; order++) {
		struct fixture fixture;

		fixture_init(&fixture, order == 2, RMAP_RECLAIM_CALLBACK, 0);
		breathe(&fixture, 1000, order, &worst);
		breathe(&fixture, test_scaled(40000), order, &worst);
		fixture_fini(&fixture);
	}
	print_message("# at most %lu accesses an add, %lu a remove, %lu a move\n", (unsigned long)worst.add,
		      (unsigned long)worst.take, (unsigned long)worst.move);
	assert_true(worst.add <= 3000 && worst.take <= 3000 && worst.move <= 3000);
}

static int pass_visit(void *arg, const struct rmap_visit *visit)
{
	(void)arg;
	(void)visit;
	return 0;
}

static int pass_visits(void *arg, const struct rmap_visits *visits)
{
	(void)arg;
	(void)visits;
	return 0;
}

static int pass_range(void *arg, const struct rmap_range *range)
{
	(void)arg;
	(void)range;
	return 0;
}

static void readers_take_none(void **state)
{
	struct rmap_range range = { .last = 15, .address = 0x100000, .owner = 1, .page_shift = 12 };
	struct rmap_page page = { 0 };
	struct rmap_target target = { .page = &page, .first = 5, .last = 5 };
	struct rmap_cursor cursor;
	struct rmap_object *object;
	struct fixture fixture;
	uint64_t before;

	(void)state;
	fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	assert_int_equal(rmap_object_create(fixture.map, &object), 0);
	assert_int_equal(rmap_object_attach(object, &range), 0);
	target.object = object;
	for (unsigned i = 0; i < 100; i++)
		assert_true(fixture_add(&fixture, &page, pte(i)) >= 0);
	assert_true(fixture_add(&fixture, &page, rmap_linear()) >= 0);
	rmap_cursor_init(&cursor, fixture.map, &target);
	rmap_read_lock(fixture.map);
	before = rmap_inject_rmws();
	expect(rmap_page_mapcount(fixture.map, &page) == 101);
	expect(rmap_walk(fixture.map, &target, pass_visit, NULL, NULL) == 0);
	expect(rmap_walk_batches(&cursor, pass_visits, NULL) == 0);
	expect(rmap_object_stab(target.object, 5, pass_range, NULL) == 0);
	expect(rmap_inject_rmws() == before);
	rmap_read_unlock(fixture.map);
	fixture_drop(&fixture, &page);
	rmap_object_destroy(object);
	fixture_fini(&fixture);
}

/* Another writer of the page, by a reserve of its own: a count goes up. */
static struct {
	struct rmap_reserve *reserve;
	struct rmap_page page;
	uint64_t rmws; /* its own */
} rival;

static void write_beside(void)
{
	uint64_t before = rmap_inject_rmws();

	expect(rmap_page_add(rival.reserve, &rival.page, rmap_linear()) >= 0);
	rival.rmws = rmap_inject_rmws() - before;
}

enum { LOSE_ADD, LOSE_TAKE, LOSE_MOVE };

/* An operation on a page of @named, @linear and @chained mappings that takes as many steps beside one linear more. */
static const struct losing {
	unsigned named, linear, chained;
	unsigned how;
	struct rmap_mapping from, to;
} losings[] = {
	{ 0, 2, 0, LOSE_ADD, { { 0 }, RMAP_LINEAR }, { { 1 }, RMAP_LINEAR } },
	{ 0, 2, 0, LOSE_TAKE, { { 1 }, RMAP_LINEAR }, { { 0 }, RMAP_LINEAR } },
	{ 0, 2, 0, LOSE_MOVE, { { 2 }, RMAP_LINEAR }, { { 2 }, RMAP_LOCKED } },
	{ 1, 0, 0, LOSE_ADD, { { 0 }, RMAP_LINEAR }, { { 3 }, RMAP_LOCKED } },
	{ 0, 0, 1, LOSE_ADD, { { 0 }, RMAP_LINEAR }, { { 0x9000 }, RMAP_CHAINED } },
	{ 0, 1, 2, LOSE_ADD, { { 0 }, RMAP_LINEAR }, { { 1 }, RMAP_LINEAR } },
	{ 0, 1, 2, LOSE_TAKE, { { 0x1000 }, RMAP_CHAINED }, { { 0 }, RMAP_LINEAR } },
	{ 0, 1, 2, LOSE_MOVE, { { 0x1000 }, RMAP_CHAINED }, { { 1 }, RMAP_LINEAR } },
};

/* Its read-modify-writes, if the rival writes before its @step-th step; 0: never. */
static uint64_t do_losing(struct fixture *fixture, const struct losing *losing, uint64_t step)
{
	uint64_t before;
	uint64_t rmws;

	fixture_fill(fixture, 8);
	expect(rmap_reserve_fill(rival.reserve, 8) == 0);
	rmap_read_lock(fixture->map);
	if (losing->named)
		expect(rmap_page_add(fixture->reserve, &rival.page, rmap_named(0x8000)) >= 0);
	for (unsigned i = 0; i < losing->linear; i++)
		expect(rmap_page_add(fixture->reserve, &rival.page, rmap_linear()) >= 0);
	for (unsigned i = 0; i < losing->chained; i++)
		expect(rmap_page_add(fixture->reserve, &rival.page, pte(512 * i)) >= 0);
	rival.rmws = 0;
	before = rmap_inject_rmws();
	rmap_inject_at(step, write_beside);
	if (losing->how == LOSE_ADD)
		expect(rmap_page_add(fixture->reserve, &rival.page, losing->to) >= 0);
	else if (losing->how == LOSE_TAKE)
		expect(rmap_page_remove(fixture->reserve, &rival.page, losing->from) >= 0);
	else
		expect(rmap_page_move(fixture->reserve, &rival.page, losing->from, losing->to) >= 0);
	rmap_inject_at(0, NULL);
	rmws = rmap_inject_rmws() - before - rival.rmws;
	rmap_read_unlock(fixture->map);
	fixture_drop(fixture, &rival.page);
	return rmws;
}

/* Wherever another writer comes in between: the figure is of what more it takes, and somewhere that is one. */
static void what_a_lost_race_takes_is_counted(void **state)
{
	struct fixture fixture;

	(void)state;
	fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	expect(rmap_reserve_create(fixture.map, &rival.reserve) == 0);
	for (unsigned i = 0; i < LENGTH(losings); i++) {
		uint64_t undisturbed = do_losing(&fixture, &losings[i], 0);
		uint64_t lost = 0;
		uint64_t step = 0;

		do {
			uint64_t before = fixture_stats(&fixture).retries;
			uint64_t rmws = do_losing(&fixture, &losings[i], step++);

			assert_int_equal(fixture_stats(&fixture).retries - before, rmws - undisturbed);
			lost += rmws - undisturbed;
		} while (step == 1 || rival.rmws); /* until the operation has ended before */
		assert_in_range(lost, 1, step);
	}
	rmap_reserve_destroy(rival.reserve);
	fixture_fini(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_element_alone_and_counts_take_one),
		cmocka_unit_test(a_claim_takes_one),
		cmocka_unit_test(moves),
		cmocka_unit_test(equal_keys_take_two),
		cmocka_unit_test(long_chains_take_two),
		cmocka_unit_test(equal_keys_harm_no_others),
		cmocka_unit_test(no_operation_takes_3000_accesses),
		cmocka_unit_test(readers_take_none),
		cmocka_unit_test(what_a_lost_race_takes_is_counted),
	};

	return cmocka_run_group_tests_name("costs", tests, NULL, NULL);
}

#else

static void read_modify_writes(void **state)
{
	(void)state;
	test_not_run("build", "read-modify-writes are counted with -Dinject=true");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(read_modify_writes),
	};

	return cmocka_run_group_tests_name("costs", tests, NULL, NULL);
}

#endif
