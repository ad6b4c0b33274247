/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * unit_chain.c - chains that grow to 10^5 mappings and shrink to none: their memory, their shape, their content
 *
 * At each step of a log scale the equations of rmap_page_check() must hold and the bytes stay under the bounds that
 * page.h and docs/design.md state; at the end, adds get less memory than they ask for. Time is not measured here;
 * unit_costs.c counts what an operation does.
 */
#include "support.h"

#include <errno.h>
#include <string.h>

#define LONGEST LONE(100000u)

static void small_chains_take_8_40_40(void **state)
{
	static const unsigned elements[] = { 0, 1, 2, 3 }, bytes[] = { 8, 8, 40, 40 };
	struct subject subject;
	struct fixture fixture;

	(void)state;
	fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	for (unsigned i = 0; i < LENGTH(bytes); i++) {
		struct rmap_shape shape;

		subject_init(&subject, &fixture, elements[i], 0, 0);
		shape = fixture_shape(&fixture, &subject.page);
		assert_int_equal(shape.bytes, bytes[i]);
		assert_int_equal(shape.elements, elements[i]);
		assert_int_equal(shape.pieces, 0);
		subject_fini(&subject);
	}
	subject_init(&subject, &fixture, 0, 1, 0);
	assert_int_equal(fixture_shape(&fixture, &subject.page).bytes, 8);
	subject_add(&subject, mapping_of(RMAP_CHAINED, 0));
	assert_true(fixture_shape(&fixture, &subject.page).bytes <= 40); /* page.h: a direct one beside a linear one */
	subject_fini(&subject);
	fixture_fini(&fixture);
}

static void expect_small(struct fixture *fixture, const struct rmap_page *page, uint32_t elements, uint32_t pieces)
{
	struct rmap_shape shape = fixture_shape(fixture, page);

	assert_int_equal(shape.elements, elements);
	assert_int_equal(shape.pieces, pieces);
	assert_int_equal(shape.bytes, 40 + pieces * 64);
}

/* Of a page with two or three mappings, the oldest is replaced over and over. */
static void claims_are_used_again(void **state)
{
	struct rmap_page page = { 0 };
	struct fixture fixture;

	(void)state;
	fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	for (uint64_t n = 2; n < 4; n++) {
		for (uint64_t i = 1; i <= n; i++)
			fixture_add(&fixture, &page, rmap_chained(8 * i));
		for (uint64_t i = 1; i <= 60; i++) {
			assert_int_equal(fixture_remove(&fixture, &page, rmap_chained(8 * i)), 0);
			assert_int_equal(fixture_remove(&fixture, &page, rmap_chained(8 * i)), -ENOENT);
			assert_int_equal(fixture_add(&fixture, &page, rmap_chained(8 * (i + n))), 0);
			expect_small(&fixture, &page, (uint32_t)n, 0);
		}
		fixture_drop(&fixture, &page);
	}
	fixture_fini(&fixture);
}

/* What is in claim slots needs no leaf: one behind slot 2 goes when its own elements have gone, and not before. */
static void an_empty_leaf_goes_beside_claims(void **state)
{
	struct rmap_page page = { 0 };
	struct fixture fixture;

	(void)state;
	fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	for (uint64_t i = 1; i <= 4; i++)
		fixture_add(&fixture, &page, rmap_chained(8 * i));
	expect_small(&fixture, &page, 4, 1);
	fixture_remove(&fixture, &page, rmap_chained(8));
	fixture_remove(&fixture, &page, rmap_chained(16));
	expect_small(&fixture, &page, 2, 1);
	for (uint64_t i = 5; i <= 6; i++)
		fixture_add(&fixture, &page, rmap_chained(8 * i)); /* to slots 0 and 1 */
	fixture_remove(&fixture, &page, rmap_chained(24));
	expect_small(&fixture, &page, 3, 1);
	fixture_remove(&fixture, &page, rmap_chained(32));
	expect_small(&fixture, &page, 2, 0);
	fixture_drop(&fixture, &page);
	fixture_fini(&fixture);
}

/* Where handle @i lies: the three ways in which embedders' handles are laid out. */
static uint64_t spread(uint64_t i, unsigned way)
{
	struct generator generator = { i };

	if (way == 0)
		return (i + 1) << 3; /* neighbouring ptes */
	if (way == 1)
		return (i + 1) << 12; /* pages apart: the low bits are all alike */
	return generator_next(&generator) & ~(uint64_t)7;
}

static unsigned log2_of(uint64_t n)
{
	return 63 - (unsigned)__builtin_clzll(n);
}

/* Is @n a step of the log scale: every length at first, then about eight in a doubling? */
static bool is_step(uint64_t n)
{
	return n < 16 || n % ((uint64_t)1 << (log2_of(n) - 3)) == 0;
}

static void check_growing(struct fixture *fixture, const struct rmap_page *page, uint64_t n)
{
	struct rmap_shape shape = fixture_shape(fixture, page);

	assert_int_equal(shape.elements, n);
	assert_true(shape.slots >= n || n == 1); /* one alone is in the word */
	if (n >= 14)
		assert_true(shape.bytes <= 16 * n);
}

static void check_shrinking(struct fixture *fixture, const struct rmap_page *page, uint64_t n)
{
	struct rmap_shape shape = fixture_shape(fixture, page);

	assert_int_equal(shape.elements, n);
	assert_true(shape.bytes <= 24 * n + 384); /* design.md, G8: 64 removes at most go between two fills */
}

/* @order 0: the oldest goes first; 1: the newest; beyond: shuffled, by that seed */
static void order_of_going(uint64_t *going, uint64_t n, unsigned order)
{
	struct generator generator = { order };

	for (uint64_t i = 0; i < n; i++)
		going[i] = order == 1 ? n - 1 - i : i;
	for (uint64_t i = n; order > 1 && i > 1; i--) {
		uint64_t other = generator_below(&generator, i), swapped = going[other];

		going[other] = going[i - 1];
		going[i - 1] = swapped;
	}
}

static void grow_and_shrink(struct fixture *fixture, unsigned way, unsigned order, uint64_t longest)
{
	static uint64_t going[LONGEST];
	struct rmap_page page = { 0 };

	order_of_going(going, longest, order);
	for (uint64_t i = 0; i < longest; i++) {
		assert_int_equal(fixture_add(fixture, &page, rmap_chained(spread(i, way))), i ? 0 : RMAP_FIRST);
		if (is_step(i + 1))
			check_growing(fixture, &page, i + 1);
	}
	for (uint64_t i = 0; i < longest; i++) {
		uint64_t left = longest - 1 - i;

		/* A fill now and then hands over what was retired, as any embedder's does. */
		if (i % 64 == 0)
			fixture_fill(fixture, 1);
		assert_int_equal(fixture_remove(fixture, &page, rmap_chained(spread(going[i], way))),
				 left ? 0 : RMAP_LAST);
		if (left < 64 || is_step(left))
			check_shrinking(fixture, &page, left);
	}
	assert_int_equal(page.word, 0);
	assert_int_equal(fixture_stats(fixture).chain_bytes, 0);
}

static void in_a_map_of_its_own(unsigned way, unsigned order, uint64_t longest)
{
	struct fixture fixture;

	fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	grow_and_shrink(&fixture, way, order, longest);
	fixture_fini(&fixture);
}

static void grows_long_and_shrinks_oldest_first(void **state)
{
	(void)state;
	in_a_map_of_its_own(0, 0, LONGEST);
}

static void grows_long_and_shrinks_newest_first(void **state)
{
	(void)state;
	in_a_map_of_its_own(1, 1, LONGEST);
}

static void grows_long_and_shrinks_scattered(void **state)
{
	(void)state;
	in_a_map_of_its_own(2, 2, LONGEST);
}

static void every_way_and_order_in_small(void **state)
{
	struct fixture fixture;

	(void)state;
	fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	for (unsigned way = 0; way < 3; way++) {
		for (unsigned order = 0; order < 20; order++) {
			for (uint64_t n = 1; n <= 2000; n = n < 20 ? n + 1 : n * 5 / 3)
				grow_and_shrink(&fixture, way, order, n + order);
		}
	}
	fixture_fini(&fixture);
}

/* Content, not just counts, while a chain breathes. */
static void content_survives_breathing(void **state)
{
	static const unsigned peaks[] = { 10, 300, 20, 1000, 3, 700, 1, 50 };
	struct generator generator = { 7 };
	struct subject subject;
	struct fixture fixture;

	(void)state;
	fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	subject_init(&subject, &fixture, 0, 0, 0);
	for (unsigned p = 0; p < LENGTH(peaks); p++) {
		while (subject.reference.n < peaks[p])
			subject_add(&subject, rmap_chained(generator_next(&generator) & ~(uint64_t)7));
		subject_compare(&subject);
		while (subject.reference.n > peaks[p]) {
			uint64_t i = generator_below(&generator, subject.reference.n);

			subject_remove(&subject, rmap_chained(subject.reference.entries[i].key));
			if (is_step(subject.reference.n))
				subject_compare(&subject);
		}
		subject_compare(&subject);
	}
	subject_fini(&subject);
	fixture_fini(&fixture);
}

/* Linear and locked mappings come and go beside a chain of any length, and take no memory. */
static void counts_beside_a_long_chain(void **state)
{
	struct subject subject;
	struct fixture fixture;
	uint64_t bytes;

	(void)state;
	fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	subject_init(&subject, &fixture, 1000, 0, 0);
	bytes = fixture_shape(&fixture, &subject.page).bytes;
	for (unsigned i = 0; i < 100; i++) {
		subject_add(&subject, rmap_linear());
		subject_add(&subject, rmap_locked());
	}
	subject_compare(&subject);
	assert_int_equal(fixture_shape(&fixture, &subject.page).bytes, bytes);
	subject_fini(&subject);
	fixture_fini(&fixture);
}

/* Clusters: 16 neighbouring ptes are one element, whatever the order they come and go in. */
static void clusters_share_an_element(void **state)
{
	struct subject subject;
	struct fixture fixture;
	struct rmap_shape shape;

	(void)state;
	fixture_init(&fixture, 4, RMAP_RECLAIM_CALLBACK, 0);
	subject_init(&subject, &fixture, 0, 0, 0);
	for (uint64_t i = 0; i < 16; i++)
		subject_add(&subject, rmap_chained(0x1000 + (i * 7 % 16) * 8));
	assert_int_equal(fixture_shape(&fixture, &subject.page).bytes, 8); /* one full window fits the word */
	for (uint64_t i = 0; i < 6400; i++)
		subject_add(&subject, rmap_chained(0x100000 + i * 8));
	subject_compare(&subject);
	shape = fixture_shape(&fixture, &subject.page);
	assert_int_equal(shape.elements, 401);
	assert_true(shape.bytes <= 16 * 401);
	for (uint64_t i = 0; i < 6400; i++) /* of each window the last stays until the end */
		subject_remove(&subject, rmap_chained(0x100000 + (i * 16 + i / 400) % 6400 * 8));
	subject_compare(&subject);
	subject_fini(&subject);
	fixture_fini(&fixture);
}

/* Addresses: a fork family of 2,000 at one address is four elements of up to 512, and a fork allocates nothing. */
static void shared_addresses_count_sharers(void **state)
{
	const struct rmap_mapping address = rmap_chained((uint64_t)0x7f0000 << 12);
	struct rmap_reserve *unfilled;
	struct subject subject;
	struct fixture fixture;

	(void)state;
	fixture_init(&fixture, 9, RMAP_RECLAIM_CALLBACK, 0);
	subject_init(&subject, &fixture, 0, 0, 0);
	subject_add(&subject, address);
	assert_int_equal(rmap_reserve_create(fixture.map, &unfilled), 0);
	rmap_read_lock(fixture.map);
	for (unsigned i = 1; i < 512; i++)
		assert_int_equal(rmap_page_duplicate(unfilled, &subject.page, address),
				 reference_add(&subject.reference, address));
	rmap_read_unlock(fixture.map);
	rmap_reserve_destroy(unfilled);
	assert_int_equal(fixture_shape(&fixture, &subject.page).bytes, 8);
	for (unsigned i = 512; i < 2000; i++)
		subject_add(&subject, address);
	assert_int_equal(fixture_shape(&fixture, &subject.page).elements, 4);
	subject_compare(&subject);
	for (uint64_t i = 1; i < 100; i++)
		subject_add(&subject, rmap_chained(address.handle + (i << 12)));
	assert_int_equal(fixture_shape(&fixture, &subject.page).elements, 103);
	subject_compare(&subject);
	subject_fini(&subject);
	fixture_fini(&fixture);
}

/*
 * Several threads make a short chain and unmake it without pause: each meets blocks that another has just frozen, and
 * must help and look again, or its mapping is lost with the block. Each thread's own mappings are there when it takes
 * them back.
 */
static void *flicker(void *arg)
{
	struct worker *worker = arg;
	struct rmap *map = worker->fixture->map;
	struct rmap_mapping mine[3] = { mapping_of(RMAP_CHAINED, 2 * worker->number), rmap_linear(),
					mapping_of(RMAP_CHAINED, 2 * worker->number + 1) };
	struct rmap_reserve *reserve;

	worker_begin(worker, &reserve);
	for (unsigned round = 0; round < worker->rounds; round++) {
		unsigned n = 1 + (round + worker->number) % 3;

		expect(rmap_reserve_fill(reserve, n) == 0);
		rmap_read_lock(map);
		for (unsigned i = 0; i < n; i++) {
			int events = rmap_page_add(reserve, worker->page, mine[i]);

			expect(events >= 0);
			worker->firsts += events == RMAP_FIRST;
		}
		expect(rmap_page_mapcount(map, worker->page) >= n);
		for (unsigned i = n; i-- > 0;) {
			int events = rmap_page_remove(reserve, worker->page, mine[i]);

			expect(events >= 0);
			worker->lasts += events == RMAP_LAST;
		}
		rmap_read_unlock(map);
	}
	worker_end(worker, reserve);
	return NULL;
}

static void chains_flicker(void **state)
{
	struct worker workers[WORKERS];
	struct rmap_page page = { 0 };
	unsigned firsts = 0, lasts = 0;
	struct fixture fixture;

	(void)state;
	fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	workers_run(&fixture, &page, flicker, (unsigned)test_scaled(60000), workers);
	for (unsigned i = 0; i < WORKERS; i++) {
		firsts += workers[i].firsts;
		lasts += workers[i].lasts;
	}
	assert_int_equal(firsts, lasts);
	assert_int_equal(page.word, 0);
	assert_int_equal(fixture_stats(&fixture).blocks, 0);
	fixture_fini(&fixture);
}

static void add_the_first_handle(void *subject)
{
	subject_add(subject, mapping_of(RMAP_CHAINED, 0));
}

/*
 * One pte handle many times over in a plain map is misuse. A checked build sees it, whether the handle is in the word,
 * in the block or in a leaf; in others nothing breaks.
 */
static void one_handle_many_times(void **state)
{
	struct subject subject;
	struct fixture fixture;

	(void)state;
	fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	for (unsigned i = 0; CHECKED && i < 40; i++) {
		subject_init(&subject, &fixture, i + 1, 0, 0);
		assert_true(aborted(in_child(add_the_first_handle, &subject)));
		subject_fini(&subject);
	}
	if (CHECKED) {
		fixture_fini(&fixture);
		return;
	}
	subject_init(&subject, &fixture, 0, 0, 0);
	for (unsigned i = 0; i < 300; i++) {
		subject_add(&subject, mapping_of(RMAP_CHAINED, 0));
		subject_add(&subject, mapping_of(RMAP_CHAINED, i));
	}
	subject_compare(&subject);
	subject_fini(&subject);
	fixture_fini(&fixture);
}

/* Removes that make leaves smaller and adds that make them larger, in turns: nothing must pile up. */
static void a_saw_tooth_piles_nothing_up(void **state)
{
	static uint64_t live[8192];
	struct generator generator = { 1 };
	struct rmap_page page = { 0 };
	struct fixture fixture;
	uint64_t n = 0;
	uint64_t next = 1;

	(void)state;
	for (uint64_t low = 2000; low <= 2600; low += 100) {
		fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
		for (unsigned turn = 0; turn < 25; turn++) {
			uint64_t pushes = fixture_stats(&fixture).pushes;

			while (n < low || fixture_stats(&fixture).pushes == pushes) {
				live[n] = next++ << 12;
				assert_true(fixture_add(&fixture, &page, rmap_chained(live[n++])) >= 0);
			}
			while (n > low) {
				uint64_t i = generator_below(&generator, n);

				assert_true(fixture_remove(&fixture, &page, rmap_chained(live[i])) >= 0);
				live[i] = live[--n];
			}
			check_shrinking(&fixture, &page, n);
		}
		assert_int_equal(fixture_drop(&fixture, &page), n);
		n = 0;
		fixture_fini(&fixture);
	}
}

/*
 * Elements of one key share the lines of one hash: when those are full, the chain must not grow as if all lines were.
 */
static void one_key_takes_no_more_than_others(void **state)
{
	struct rmap_page page = { 0 };
	struct fixture fixture;

	(void)state;
	fixture_init(&fixture, 1, RMAP_RECLAIM_CALLBACK, 0);
	for (uint64_t units = 1; units <= 2048; units++) {
		assert_true(fixture_add(&fixture, &page, rmap_chained(4096)) >= 0);
		assert_true(fixture_shape(&fixture, &page).bytes <= 24 * units + 256);
	}
	for (uint64_t units = 2048; units > 0; units--)
		assert_int_equal(fixture_remove(&fixture, &page, rmap_chained(4096)), units == 1 ? RMAP_LAST : 0);
	fixture_fini(&fixture);
}

/*
 * Adds of one key that no fill came in between use up what leaves are rebuilt with, and overflow; the next ones have
 * memory, and split what is there, of which one child gets more than a leaf holds. Nothing is lost by that.
 */
static void what_no_leaf_holds_overflows(void **state)
{
	struct fixture fixture;

	(void)state;
	fixture_init(&fixture, 1, RMAP_RECLAIM_CALLBACK, 0);
	for (unsigned units = 200; units <= 1000; units += 50) {
		struct rmap_page page = { 0 };

		for (unsigned i = 0; i < 3; i++)
			assert_true(fixture_add(&fixture, &page, rmap_chained((i + 1) << 12)) >= 0);
		fixture_fill(&fixture, units);
		rmap_read_lock(fixture.map);
		for (unsigned i = 0; i < units; i++)
			expect(rmap_page_add(fixture.reserve, &page, rmap_chained(1 << 20)) == 0);
		rmap_read_unlock(fixture.map);
		for (unsigned i = 0; i < 60; i++) {
			assert_int_equal(fixture_add(&fixture, &page, rmap_chained(1 << 20)), 0);
			fixture_shape(&fixture, &page);
		}
		for (unsigned i = 0; i < units + 60; i++)
			assert_int_equal(fixture_remove(&fixture, &page, rmap_chained(1 << 20)), 0);
		assert_int_equal(fixture_drop(&fixture, &page), 3);
	}
	fixture_fini(&fixture);
}

/* struct found - what a walk has found, leaf by leaf */
struct found {
	uint64_t handles[40000];
	uint64_t n;
};

static int found_visit(void *arg, const struct rmap_visit *visit)
{
	struct found *found = arg;

	found->handles[found->n++] = visit->handle;
	return 0;
}

/*
 * Leaves that are emptied one after another, as in the order of the hash, are merged as well: the last remove finds all
 * leaves empty but for its own, which has more than a few. A remove that makes little of a branch need not be in a leaf
 * that has little.
 */
static void leaves_emptied_in_order_are_merged(void **state)
{
	static struct found found;

	(void)state;
	for (uint64_t n = 500; n <= LENGTH(found.handles); n *= 2) {
		struct rmap_page page = { 0 };
		struct fixture fixture;

		fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
		for (uint64_t i = 0; i < n; i++)
			assert_true(fixture_add(&fixture, &page, rmap_chained(spread(i, 0))) >= 0);
		found.n = 0;
		rmap_read_lock(fixture.map);
		expect(rmap_walk(fixture.map, &(struct rmap_target){ .page = &page }, found_visit, &found, NULL) == 0);
		rmap_read_unlock(fixture.map);
		assert_int_equal(found.n, n);
		while (found.n > 16) {
			fixture_fill(&fixture, 0);
			assert_int_equal(fixture_remove(&fixture, &page, rmap_chained(found.handles[--found.n])), 0);
			if (found.n <= 24)
				check_shrinking(&fixture, &page, found.n);
		}
		assert_int_equal(fixture_drop(&fixture, &page), found.n);
		fixture_fini(&fixture);
	}
}

/* struct churn - adds and removes in no order; @handles: of the @n elements; @next: not used yet */
struct churn {
	struct generator generator;
	struct rmap_page page;
	uint64_t handles[16384];
	uint64_t next;
	uint64_t n;
};

/* One operation. Returns whether it was done: an add that nothing was promised to may be refused. */
static bool churn_step(struct churn *churn, const struct fixture *fixture)
{
	uint64_t i = generator_below(&churn->generator, churn->n + 1);
	bool done;

	if (i < churn->n && generator_below(&churn->generator, 5) < 2) {
		assert_true(rmap_page_remove(fixture->reserve, &churn->page, rmap_chained(churn->handles[i])) >= 0);
		churn->handles[i] = churn->handles[--churn->n];
		return true;
	}
	assert_in_range(churn->n, 0, sizeof(churn->handles) / sizeof(churn->handles[0]) - 1);
	i = generator_below(&churn->generator, 2) ? generator_below(&churn->generator, 2) : churn->next++;
	churn->handles[churn->n] = handle_of(i);
	done = rmap_page_add(fixture->reserve, &churn->page, rmap_chained(churn->handles[churn->n])) >= 0;
	churn->n += done;
	return done;
}

/*
 * An add that nothing was promised to is refused, or there: the last line in hand becomes no record, and no block,
 * while its add may need it. Elements of few keys overflow their leaf, so that an add rebuilds it and then pushes a
 * line, too. Now and then adds go on until one is refused: after a drain, hand and depots are not for ten thousand
 * more.
 */
static void g9_adds_beyond_their_fill_are_refused_or_there(void **state)
{
	static struct churn churn;
	struct fixture fixture;

	(void)state;
	churn = (struct churn){ .generator = { test_seed() } };
	fixture_init(&fixture, 1, RMAP_RECLAIM_CALLBACK, 0);
	for (unsigned round = 0; round < (unsigned)test_scaled(LONE(20000)); round++) {
		bool until_refused = round % 500 == 0;
		uint64_t left = generator_below(&churn.generator, generator_below(&churn.generator, 2) ? 3 : 400);

		if (until_refused) {
			rmap_reserve_drain(fixture.reserve);
			left = UINT64_MAX;
		}
		fixture_fill(&fixture, 1);
		rmap_read_lock(fixture.map);
		while (left && (churn_step(&churn, &fixture) || !until_refused))
			left--;
		for (; churn.n > 3000; churn.n = 5)
			for (uint64_t i = 5; i < churn.n; i++)
				assert_true(rmap_page_remove(fixture.reserve, &churn.page,
							     rmap_chained(churn.handles[i])) >= 0);
		rmap_read_unlock(fixture.map);
		assert_int_equal(fixture_mapcount(&fixture, &churn.page), churn.n);
	}
	fixture_shape(&fixture, &churn.page);
	fixture_drop(&fixture, &churn.page);
	fixture_fini(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(small_chains_take_8_40_40),
		cmocka_unit_test(claims_are_used_again),
		cmocka_unit_test(an_empty_leaf_goes_beside_claims),
		cmocka_unit_test(grows_long_and_shrinks_oldest_first),
		cmocka_unit_test(grows_long_and_shrinks_newest_first),
		cmocka_unit_test(grows_long_and_shrinks_scattered),
		cmocka_unit_test(every_way_and_order_in_small),
		cmocka_unit_test(content_survives_breathing),
		cmocka_unit_test(counts_beside_a_long_chain),
		cmocka_unit_test(clusters_share_an_element),
		cmocka_unit_test(shared_addresses_count_sharers),
		cmocka_unit_test(chains_flicker),
		cmocka_unit_test(one_handle_many_times),
		cmocka_unit_test(a_saw_tooth_piles_nothing_up),
		cmocka_unit_test(one_key_takes_no_more_than_others),
		cmocka_unit_test(what_no_leaf_holds_overflows),
		cmocka_unit_test(leaves_emptied_in_order_are_merged),
		cmocka_unit_test(g9_adds_beyond_their_fill_are_refused_or_there),
	};

	return cmocka_run_group_tests_name("chain", tests, NULL, NULL);
}
