/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * unit_object.c - object.h: ranges against a naive list, at the edges of 64 bits, under the historical attacks, beside
 * readers
 *
 * The naive list is an unsorted array and its rules are those that object.h states; after each update of a random
 * sequence the object must hold the same ranges, answer stabs and tagged queries alike, and pass rmap_object_check().
 */
#include "support.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NAIVE_MAX 12000u

struct naive {
	struct fixture *fixture;
	struct rmap_object *object;
	struct rmap_range *ranges;
	size_t n;
};

static void naive_init(struct naive *naive, struct fixture *fixture)
{
	naive->fixture = fixture;
	naive->n = 0;
	naive->ranges = calloc(NAIVE_MAX, sizeof(*naive->ranges));
	expect(naive->ranges != NULL);
	expect(rmap_object_create(fixture->map, &naive->object) == 0);
}

static void naive_fini(struct naive *naive)
{
	rmap_object_destroy(naive->object);
	free(naive->ranges);
}

static bool same_range(const struct rmap_range *a, const struct rmap_range *b)
{
	return a->first == b->first && a->last == b->last && a->address == b->address && a->owner == b->owner;
}

static struct rmap_range *naive_find(struct naive *naive, const struct rmap_range *range)
{
	for (size_t i = 0; i < naive->n; i++) {
		if (same_range(&naive->ranges[i], range))
			return &naive->ranges[i];
	}
	return NULL;
}

/* Is it a range, and does the address of its last index fit 64 bits? */
static bool valid(const struct rmap_range *range)
{
	uint64_t length = range->last - range->first;

	if (range->last < range->first || range->page_shift > 63)
		return false;
	if (length << range->page_shift >> range->page_shift != length)
		return false;
	return range->address + (length << range->page_shift) >= range->address;
}

static int naive_attach(struct naive *naive, const struct rmap_range *range)
{
	if (!valid(range))
		return -EINVAL;
	if (naive_find(naive, range))
		return -EEXIST;
	expect(naive->n < NAIVE_MAX);
	naive->ranges[naive->n++] = *range;
	return 0;
}

static int naive_detach(struct naive *naive, const struct rmap_range *range)
{
	struct rmap_range *found = naive_find(naive, range);

	if (!found)
		return -ENOENT;
	*found = naive->ranges[--naive->n];
	return 0;
}

/* Puts @with in the place of @range; @with may be what @range already is. */
static int naive_replace(struct naive *naive, const struct rmap_range *range, struct rmap_range with)
{
	struct rmap_range *found = naive_find(naive, range), *other;

	if (!found)
		return -ENOENT;
	with.tags = found->tags;
	with.page_shift = found->page_shift;
	if (!valid(&with))
		return -EINVAL;
	other = naive_find(naive, &with);
	if (other && other != found)
		return -EEXIST;
	*found = with;
	return 0;
}

static int naive_split(struct naive *naive, const struct rmap_range *range, uint64_t index)
{
	struct rmap_range *found = naive_find(naive, range);
	struct rmap_range left, right;

	if (!found)
		return -ENOENT;
	if (index <= range->first || index > range->last)
		return -EINVAL;
	left = right = *found;
	left.last = index - 1;
	right.first = index;
	right.address = rmap_range_address(found, index);
	if (naive_find(naive, &left) || naive_find(naive, &right))
		return -EEXIST;
	*found = left;
	expect(naive->n < NAIVE_MAX);
	naive->ranges[naive->n++] = right;
	return 0;
}

static int naive_resize(struct naive *naive, const struct rmap_range *range, uint64_t first, uint64_t last)
{
	struct rmap_range *found = naive_find(naive, range), with;
	uint64_t delta;

	if (!found)
		return -ENOENT;
	with = *found;
	with.first = first;
	with.last = last;
	delta = first >= found->first ? first - found->first : found->first - first;
	if (last < first || delta << found->page_shift >> found->page_shift != delta)
		return -EINVAL;
	delta <<= found->page_shift;
	with.address = first >= found->first ? found->address + delta : found->address - delta;
	if (first >= found->first ? with.address < found->address : with.address > found->address)
		return -EINVAL;
	return naive_replace(naive, range, with);
}

/* The ranges that a query handed out, to be taken off the naive answer one by one. */
struct answer {
	struct naive *naive;
	unsigned char *taken;
	uint64_t found;
};

static int take_answer(void *arg, const struct rmap_range *range)
{
	struct answer *answer = arg;
	struct rmap_range *known = naive_find(answer->naive, range);

	expect(known != NULL);
	expect(known->tags == range->tags && known->page_shift == range->page_shift);
	expect(!answer->taken[known - answer->naive->ranges]); /* each once */
	answer->taken[known - answer->naive->ranges] = 1;
	answer->found++;
	return 0;
}

static void compare_stab(struct naive *naive, uint64_t index)
{
	static unsigned char taken[NAIVE_MAX];
	struct answer answer = { naive, taken, 0 };
	uint64_t covering = 0;

	memset(taken, 0, naive->n);
	expect(rmap_object_stab(naive->object, index, take_answer, &answer) == 0);
	for (size_t i = 0; i < naive->n; i++) {
		bool covers = rmap_range_covers(&naive->ranges[i], index);

		covering += covers;
		expect(taken[i] == covers);
	}
	expect(answer.found == covering);
}

static void compare_tagged(struct naive *naive, uint32_t tags, uint64_t first, uint64_t last)
{
	static unsigned char taken[NAIVE_MAX];
	struct answer answer = { naive, taken, 0 };

	memset(taken, 0, naive->n);
	expect(rmap_object_tagged(naive->object, tags, first, last, take_answer, &answer) == 0);
	for (size_t i = 0; i < naive->n; i++) {
		const struct rmap_range *range = &naive->ranges[i];

		expect(taken[i] == ((range->tags & tags) && range->first <= last && first <= range->last));
	}
}

static void compare_all(struct naive *naive, struct generator *generator, uint64_t space)
{
	uint64_t a = generator_below(generator, space), b = generator_below(generator, space);

	rmap_read_lock(naive->fixture->map);
	expect(rmap_object_ranges(naive->object) == naive->n);
	expect(rmap_object_check(naive->object) == 0);
	compare_stab(naive, a);
	compare_tagged(naive, 1u << generator_below(generator, 4), a < b ? a : b, a < b ? b : a);
	rmap_read_unlock(naive->fixture->map);
}

/* A split at a pte inside a page: both parts cover @index, and have new owners. */
static void replace_by_two(struct naive *naive, const struct rmap_range *range, uint64_t index)
{
	struct rmap_range parts[] = { *range, *range };
	bool clash;

	parts[0].last = parts[1].first = index;
	parts[0].owner += 8;
	parts[1].owner += 16;
	parts[1].address += (index - range->first) << range->page_shift;
	clash = naive_find(naive, &parts[0]) || naive_find(naive, &parts[1]);
	expect(rmap_object_replace(naive->object, range, parts, 2) == (clash ? -EEXIST : 0));
	if (clash)
		return;
	expect(naive_detach(naive, range) == 0);
	expect(naive_attach(naive, &parts[0]) == 0);
	expect(naive_attach(naive, &parts[1]) == 0);
}

/*
 * A list: some ranges go, some come or change, and one in three lists names what is not there or is there already, or
 * makes no sense: then that change is named and all stays as it was.
 */
static void random_list(struct naive *naive, struct generator *generator, uint64_t space)
{
	enum { CHANGES = 12 };
	struct naive tried = *naive;
	struct rmap_range ranges[CHANGES], with[CHANGES][2];
	struct rmap_change changes[CHANGES];
	size_t n = generator_below(generator, CHANGES + 1);
	size_t fails = SIZE_MAX;
	int error = 0;

	tried.ranges = malloc(NAIVE_MAX * sizeof(*tried.ranges));
	expect(tried.ranges != NULL);
	memcpy(tried.ranges, naive->ranges, naive->n * sizeof(*tried.ranges));
	for (size_t i = 0; i < n; i++) {
		struct rmap_range range = { .first = generator_below(generator, space), .page_shift = 12 };
		size_t parts = generator_below(generator, 3);

		range.last = range.first + generator_below(generator, space);
		range.address = generator_below(generator, 64) << 32;
		range.tags = (uint32_t)generator_below(generator, 4);
		with[i][0] = with[i][1] = range;
		with[i][1].owner = 1 + generator_below(generator, 64);
		if (generator_below(generator, 60) == 0)
			with[i][0].page_shift = 64;
		ranges[i] = tried.n && generator_below(generator, 40)
				    ? tried.ranges[generator_below(generator, tried.n)]
				    : range;
		changes[i] = (struct rmap_change){ &ranges[i], with[i], parts, 1 };
		if (parts > 0 && tried.n < 40)
			changes[i].range = NULL;
		if (!error && changes[i].range)
			error = naive_detach(&tried, &ranges[i]);
		for (size_t k = 0; k < parts && !error; k++)
			error = naive_attach(&tried, &with[i][k]);
		if (error && fails == SIZE_MAX)
			fails = i;
	}
	expect(rmap_object_update(naive->object, changes, n) == error);
	for (size_t i = 0; i < n; i++)
		expect(changes[i].error == (i == fails ? error : 0));
	if (!error) {
		memcpy(naive->ranges, tried.ranges, tried.n * sizeof(*tried.ranges));
		naive->n = tried.n;
	}
	free(tried.ranges);
}

/* One random update on both sides; most name a range that is there, some one that is not, some make no sense. */
static void random_update(struct naive *naive, struct generator *generator, uint64_t space)
{
	struct rmap_range range = { .first = generator_below(generator, space), .page_shift = 12 };
	uint64_t action = generator_below(generator, 12), a, b;

	range.last = range.first + generator_below(generator, 1 + generator_below(generator, space));
	range.address = generator_below(generator, 8) << 32;
	range.owner = generator_below(generator, 3);
	range.tags = (uint32_t)generator_below(generator, 16) & (uint32_t)generator_below(generator, 16);
	if (action > 2 && naive->n && generator_below(generator, 20))
		range = naive->ranges[generator_below(generator, naive->n)];
	a = range.first + generator_below(generator, range.last - range.first + 2);
	b = a + generator_below(generator, 20);
	if (action <= 2 && naive->n < 120) {
		expect(rmap_object_attach(naive->object, &range) == naive_attach(naive, &range));
	} else if (action <= 4) {
		expect(rmap_object_detach(naive->object, &range) == naive_detach(naive, &range));
	} else if (action <= 6 && naive->n < 120) {
		if (naive_find(naive, &range))
			expect(rmap_object_split(naive->object, &range, a) == naive_split(naive, &range, a));
	} else if (action == 7) {
		struct rmap_range with = range;

		with.address = range.address ^ (1 + generator_below(generator, 7)) << 32;
		expect(rmap_object_move(naive->object, &range, with.address) == naive_replace(naive, &range, with));
	} else if (action == 8) {
		a = range.first > 5 ? a - 5 : a;
		if (naive_find(naive, &range) && (a != range.first || b != range.last))
			expect(rmap_object_resize(naive->object, &range, a, b) == naive_resize(naive, &range, a, b));
	} else if (action == 10 && naive->n < 120) {
		random_list(naive, generator, space);
	} else if (action == 9 && naive->n < 120) {
		if (naive_find(naive, &range) && a <= range.last)
			replace_by_two(naive, &range, a);
	} else {
		struct rmap_range *found = naive_find(naive, &range);
		uint32_t tags = (uint32_t)generator_below(generator, 16);

		expect(rmap_object_tag(naive->object, &range, tags) == (found ? 0 : -ENOENT));
		if (found)
			found->tags = tags;
	}
}

static void random_sequences(void **state)
{
	static const uint64_t spaces[] = { 4, 60, 5000 };
	struct generator generator = { test_seed() };
	const uint64_t steps = test_scaled(3000);
	struct fixture fixture;
	struct naive naive;

	(void)state;
	for (unsigned s = 0; s < LENGTH(spaces); s++) {
		fixture_init(&fixture, 0, s % 2 ? RMAP_RECLAIM_BLOCKING : RMAP_RECLAIM_CALLBACK, 0);
		naive_init(&naive, &fixture);
		for (uint64_t i = 0; i < steps; i++) {
			random_update(&naive, &generator, spaces[s]);
			compare_all(&naive, &generator, spaces[s]);
		}
		while (naive.n) {
			struct rmap_range range = naive.ranges[generator_below(&generator, naive.n)];

			expect(rmap_object_detach(naive.object, &range) == naive_detach(&naive, &range));
			if (naive.n % 16 == 0)
				compare_all(&naive, &generator, spaces[s]);
		}
		naive_fini(&naive);
		fixture_fini(&fixture);
	}
}

static void linear_addresses_and_their_inverse(void **state)
{
	const struct rmap_range range = { .first = 10, .last = 19, .address = 0x40000, .page_shift = 12 };
	const struct rmap_range huge = { .first = 512, .last = 1023, .address = 0, .page_shift = 21 };

	(void)state;
	assert_false(rmap_range_covers(&range, 9));
	assert_true(rmap_range_covers(&range, 10));
	assert_true(rmap_range_covers(&range, 19));
	assert_false(rmap_range_covers(&range, 20));
	for (uint64_t i = 10; i < 20; i++) {
		assert_int_equal(rmap_range_address(&range, i), 0x40000 + (i - 10) * 0x1000);
		assert_int_equal(rmap_range_index(&range, rmap_range_address(&range, i) + 0xfff), i);
		assert_true(rmap_range_is_linear(&range, i, rmap_range_address(&range, i)));
		assert_false(rmap_range_is_linear(&range, i, rmap_range_address(&range, i) + 0x1000));
		assert_false(rmap_range_is_linear(&range, i + 10, 0x40000));
	}
	assert_int_equal(rmap_range_address(&huge, 513), (uint64_t)2 << 20);
	assert_int_equal(rmap_range_index(&huge, (uint64_t)2 << 20), 513);
}

static void edges_of_64_bits(void **state)
{
	const uint64_t top = UINT64_MAX;
	const struct rmap_range good[] = {
		{ .first = 0, .last = 0, .address = 0, .page_shift = 63 },
		{ .first = 0, .last = top, .address = 0, .page_shift = 0 },
		{ .first = top, .last = top, .address = 0x1000, .page_shift = 12 },
		{ .first = top - 3, .last = top, .address = 0 - ((uint64_t)4 << 12), .page_shift = 12 },
		{ .first = 0, .last = 1, .address = 0, .page_shift = 63 },
		{ .first = 0, .last = (top >> 12), .address = 0, .page_shift = 12 },
	};
	const struct rmap_range bad[] = {
		{ .first = 1, .last = 0, .address = 0, .page_shift = 12 },
		{ .first = 0, .last = 0, .address = 0, .page_shift = 64 },
		{ .first = 0, .last = 2, .address = 0, .page_shift = 63 },
		{ .first = 0, .last = top, .address = 0, .page_shift = 1 },
		{ .first = 0, .last = top, .address = 0x1000, .page_shift = 0 },
		{ .first = 0, .last = 4, .address = 0 - ((uint64_t)4 << 12), .page_shift = 12 },
		{ .first = 0, .last = (uint64_t)1 << 52, .address = 0, .page_shift = 12 },
	};
	struct generator generator = { 1 };
	struct fixture fixture;
	struct naive naive;

	(void)state;
	fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	naive_init(&naive, &fixture);
	for (unsigned i = 0; i < LENGTH(good); i++)
		assert_int_equal(rmap_object_attach(naive.object, &good[i]), naive_attach(&naive, &good[i]));
	assert_int_equal(naive.n, LENGTH(good));
	for (unsigned i = 0; i < LENGTH(bad); i++)
		assert_int_equal(rmap_object_attach(naive.object, &bad[i]), -EINVAL);
	rmap_read_lock(fixture.map);
	compare_stab(&naive, 0);
	compare_stab(&naive, 1);
	compare_stab(&naive, top);
	compare_stab(&naive, top - 1);
	compare_stab(&naive, top - 4);
	compare_tagged(&naive, ~0u, 0, top);
	rmap_read_unlock(fixture.map);
	/* To split off the last index, to move past the end, to grow below zero or over the top. */
	assert_int_equal(rmap_object_split(naive.object, &good[1], top), naive_split(&naive, &good[1], top));
	assert_int_equal(rmap_object_split(naive.object, &good[3], top - 3), -EINVAL);
	assert_int_equal(rmap_object_split(naive.object, &good[3], 0), -EINVAL);
	assert_int_equal(rmap_object_move(naive.object, &good[3], 0 - ((uint64_t)3 << 12)), -EINVAL);
	assert_int_equal(rmap_object_resize(naive.object, &good[3], top - 2, top - 3), -EINVAL);
	assert_int_equal(rmap_object_resize(naive.object, &good[2], top - 1, top),
			 naive_resize(&naive, &good[2], top - 1, top));
	assert_int_equal(rmap_object_resize(naive.object, &good[3], 0, top), -EINVAL);
	compare_all(&naive, &generator, 10);
	naive_fini(&naive);
	fixture_fini(&fixture);
}

static void errors_change_nothing(void **state)
{
	const struct rmap_range range = {
		.first = 10, .last = 19, .address = 0x40000, .owner = 1, .page_shift = 12, .tags = 2
	};
	const struct rmap_range left = {
		.first = 10, .last = 14, .address = 0x40000, .owner = 1, .page_shift = 12, .tags = 4
	};
	const struct rmap_range moved = {
		.first = 10, .last = 19, .address = 0x80000, .owner = 1, .page_shift = 12, .tags = 8
	};
	const struct rmap_range missing = { .first = 10, .last = 19, .address = 0x40000, .owner = 2, .page_shift = 12 };
	const struct rmap_range twins[] = { missing, missing };
	const struct rmap_range taken[] = { missing, left };
	struct rmap_range another = { .first = 12, .last = 20, .address = 0x40000, .owner = 3, .page_shift = 12 };
	struct generator generator = { 1 };
	struct fixture fixture;
	struct naive naive;
	int error = 0;

	(void)state;
	fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	assert_int_equal(rmap_object_create(fixture.map, NULL), -EINVAL);
	naive_init(&naive, &fixture);
	assert_int_equal(rmap_object_create(NULL, &naive.object), -EINVAL);
	assert_int_equal(rmap_object_attach(naive.object, &range), naive_attach(&naive, &range));
	assert_int_equal(rmap_object_attach(naive.object, &left), naive_attach(&naive, &left));
	assert_int_equal(rmap_object_attach(naive.object, &moved), naive_attach(&naive, &moved));
	assert_int_equal(rmap_object_attach(naive.object, &range), -EEXIST);
	assert_int_equal(rmap_object_split(naive.object, &range, 15), -EEXIST); /* its left half is there already */
	assert_int_equal(rmap_object_move(naive.object, &range, 0x80000), -EEXIST);
	assert_int_equal(rmap_object_resize(naive.object, &range, 10, 14), -EEXIST);
	assert_int_equal(rmap_object_split(naive.object, &range, 10), -EINVAL);
	assert_int_equal(rmap_object_split(naive.object, &range, 20), -EINVAL);
	assert_int_equal(rmap_object_detach(naive.object, &missing), -ENOENT);
	assert_int_equal(rmap_object_split(naive.object, &missing, 15), -ENOENT);
	assert_int_equal(rmap_object_move(naive.object, &missing, 0), -ENOENT);
	assert_int_equal(rmap_object_resize(naive.object, &missing, 10, 11), -ENOENT);
	assert_int_equal(rmap_object_tag(naive.object, &missing, 1), -ENOENT);
	assert_int_equal(rmap_object_replace(naive.object, &missing, &range, 1), -ENOENT);
	assert_int_equal(rmap_object_replace(naive.object, &range, NULL, 1), -EINVAL);
	assert_int_equal(rmap_object_replace(naive.object, &range, &missing, 0), -EINVAL);
	assert_int_equal(rmap_object_replace(naive.object, &range, twins, 2), -EEXIST);
	assert_int_equal(rmap_object_replace(naive.object, &range, taken, 2), -EEXIST);
	rmap_reserve_drain(fixture.reserve); /* else nodes are left that updates have replaced */
	probe_fail_all(&fixture.metadata, true);
	for (; !error; another.owner++) { /* until the leaf is full */
		error = rmap_object_attach(naive.object, &another);
		if (!error)
			naive_attach(&naive, &another);
	}
	assert_int_equal(error, -ENOMEM);
	assert_int_equal(rmap_object_replace(naive.object, &range, &missing, 1), -ENOMEM);
	assert_int_equal(rmap_object_split(naive.object, &range, 12), -ENOMEM);
	probe_fail_all(&fixture.metadata, false);
	for (unsigned i = 0; i < 20; i++)
		compare_all(&naive, &generator, 25);
	naive_fini(&naive);
	fixture_fini(&fixture);
}

static int end_at_three(void *arg, const struct rmap_range *range)
{
	(void)range;
	return ++*(unsigned *)arg == 3 ? 33 : 0;
}

static void a_visitor_ends_the_query(void **state)
{
	struct fixture fixture;
	unsigned visits = 0;
	struct naive naive;

	(void)state;
	fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	naive_init(&naive, &fixture);
	for (uint64_t i = 0; i < 10; i++) {
		const struct rmap_range range = { .first = i, .last = 30, .owner = i, .page_shift = 12, .tags = 1 };

		assert_int_equal(rmap_object_attach(naive.object, &range), 0);
	}
	rmap_read_lock(fixture.map);
	assert_int_equal(rmap_object_stab(naive.object, 20, end_at_three, &visits), 33);
	assert_int_equal(visits, 3);
	visits = 0;
	assert_int_equal(rmap_object_tagged(naive.object, 1, 0, 100, end_at_three, &visits), 33);
	assert_int_equal(visits, 3);
	rmap_read_unlock(fixture.map);
	naive_fini(&naive);
	fixture_fini(&fixture);
}

/* rmap-test's 100 tasks, 100 vmas each, all over the same 600 pages; then one task's 10,000 vmas of 7 pages. */
static void historical_attacks(void **state)
{
	struct generator generator = { 1 };
	struct fixture fixture;
	struct naive naive;

	(void)state;
	for (unsigned attack = 0; attack < 2; attack++) {
		fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
		naive_init(&naive, &fixture);
		for (uint64_t i = 0; i < 10000; i++) {
			const struct rmap_range range = {
				.first = attack ? i * 7 : 0,
				.last = attack ? i * 7 + 6 : 599,
				.address = (i % 100) << 32,
				.owner = attack ? 1 : i / 100,
				.page_shift = 12,
				.tags = (uint32_t)(i % 97 == 0),
			};

			assert_int_equal(rmap_object_attach(naive.object, &range), 0);
			naive.ranges[naive.n++] = range;
		}
		rmap_read_lock(fixture.map);
		assert_int_equal(rmap_object_check(naive.object), 0);
		assert_int_equal(rmap_object_ranges(naive.object), 10000);
		rmap_read_unlock(fixture.map);
		for (unsigned i = 0; i < (attack ? 20 : 2); i++)
			compare_all(&naive, &generator, attack ? 70000 : 600);
		for (uint64_t i = 0; i < 10000; i++)
			assert_int_equal(rmap_object_detach(naive.object, &naive.ranges[i * 7919 % 10000]), 0);
		rmap_read_lock(fixture.map);
		assert_int_equal(rmap_object_ranges(naive.object), 0);
		assert_int_equal(rmap_object_check(naive.object), 0);
		rmap_read_unlock(fixture.map);
		naive_fini(&naive);
		fixture_fini(&fixture);
	}
}

/* Nanoseconds of this thread's CPU. */
static uint64_t cpu_time(void)
{
	struct timespec now;

	expect(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now) == 0);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static int count_visits(void *arg, const struct rmap_range *range)
{
	(void)range;
	++*(uint64_t *)arg;
	return 0;
}

/* The least CPU of several tagged queries, all of which must visit @visits ranges. */
static uint64_t tagged_time(struct rmap_object *object, uint64_t first, uint64_t last, uint64_t visits)
{
	uint64_t least = UINT64_MAX;

	for (unsigned i = 0; i < 5; i++) {
		uint64_t visited = 0;
		uint64_t begun = cpu_time();
		uint64_t taken;

		assert_int_equal(rmap_object_tagged(object, RMAP_RANGE_NONLINEAR, first, last, count_visits, &visited),
				 0);
		taken = cpu_time() - begun;
		assert_int_equal(visited, visits);
		if (taken < least)
			least = taken;
	}
	return least;
}

/*
 * Short tagged ranges among long ones without a tag: each subtree has both a tag and an end far away, though not of one
 * range. A query that finds nothing may not cost what one costs that visits them all.
 */
static void a_tagged_query_is_not_led_astray(void **state)
{
	enum { RANGES = 20000 };
	struct rmap_object *object;
	struct fixture fixture;
	uint64_t vain, full;

	(void)state;
	fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	assert_int_equal(rmap_object_create(fixture.map, &object), 0);
	for (uint64_t i = 0; i < RANGES; i++) {
		const struct rmap_range range = {
			.first = i,
			.last = i % 2 ? i : 2 * RANGES,
			.owner = 1,
			.page_shift = 12,
			.tags = i % 2 ? RMAP_RANGE_NONLINEAR : 0,
		};

		assert_int_equal(rmap_object_attach(object, &range), 0);
	}
	rmap_read_lock(fixture.map);
	vain = tagged_time(object, RANGES, 2 * RANGES, 0);
	full = tagged_time(object, 0, RANGES, RANGES / 2);
	assert_int_equal(rmap_object_check(object), 0);
	rmap_read_unlock(fixture.map);
	assert_true(vain < full / 20);
	rmap_object_destroy(object);
	fixture_fini(&fixture);
}

/* One range falls into many parts for less than those parts cost when they are attached one by one. */
static void a_replacement_by_many_is_not_quadratic(void **state)
{
	enum { PARTS = 40000 };
	struct rmap_range *parts = calloc(PARTS, sizeof(*parts));
	struct rmap_range whole = { .last = PARTS - 1, .owner = 1 };
	struct rmap_object *objects[2];
	struct fixture fixture;
	uint64_t times[3];

	(void)state;
	assert_non_null(parts);
	fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	for (uint64_t i = 0; i < PARTS; i++)
		parts[i] = (struct rmap_range){ .first = i, .last = i, .address = i, .owner = 1 };
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(rmap_object_create(fixture.map, &objects[i]), 0);
	assert_int_equal(rmap_object_attach(objects[0], &whole), 0);
	times[0] = cpu_time();
	assert_int_equal(rmap_object_replace(objects[0], &whole, parts, PARTS), 0);
	times[1] = cpu_time();
	for (uint64_t i = 0; i < PARTS; i++)
		assert_int_equal(rmap_object_attach(objects[1], &parts[i]), 0);
	times[2] = cpu_time();
	assert_true(times[1] - times[0] < times[2] - times[1]);
	rmap_read_lock(fixture.map);
	assert_int_equal(rmap_object_check(objects[0]), 0);
	assert_int_equal(rmap_object_ranges(objects[0]), PARTS);
	rmap_read_unlock(fixture.map);
	parts[PARTS - 1] = parts[0]; /* a name twice, at the very end: nothing changes */
	assert_int_equal(rmap_object_replace(objects[0], &parts[1], parts, PARTS), -EEXIST);
	rmap_read_lock(fixture.map);
	assert_int_equal(rmap_object_ranges(objects[0]), PARTS);
	rmap_read_unlock(fixture.map);
	for (unsigned i = 0; i < 2; i++)
		rmap_object_destroy(objects[i]);
	fixture_fini(&fixture);
	free(parts);
}

/* A reader's view beside a writer: however the range is cut, moved and joined, exactly one range covers each index. */
struct cutter {
	struct fixture *fixture;
	struct rmap_object *object;
	unsigned rounds;
};

static void *cut_often(void *arg)
{
	struct cutter *cutter = arg;
	struct generator generator = { 5 };

	reader_register(cutter->fixture->map);
	for (unsigned i = 0; i < cutter->rounds; i++) {
		struct rmap_range whole = { .first = 0, .last = 99, .address = 1 << 20, .owner = 1, .page_shift = 12 };
		struct rmap_range left = whole, right = whole;
		uint64_t at = 1 + generator_below(&generator, 99);

		left.last = at - 1;
		right.first = at;
		right.address = rmap_range_address(&whole, at);
		expect(rmap_object_split(cutter->object, &whole, at) == 0);
		expect(rmap_object_move(cutter->object, &left, 1 << 30) == 0);
		left.address = 1 << 30;
		expect(rmap_object_tag(cutter->object, &right, 7) == 0);
		expect(rmap_object_move(cutter->object, &left, 1 << 20) == 0);
		left.address = 1 << 20;
		expect(rmap_object_detach(cutter->object, &right) ==
		       0); /* only the left half is sure to be there now */
		expect(rmap_object_resize(cutter->object, &left, 0, 99) == 0);
	}
	reader_unregister(cutter->fixture->map);
	return NULL;
}

static int count_range(void *arg, const struct rmap_range *range)
{
	expect(range->owner == 1);
	++*(unsigned *)arg;
	return 0;
}

static void readers_see_updates_whole(void **state)
{
	const struct rmap_range whole = { .first = 0, .last = 99, .address = 1 << 20, .owner = 1, .page_shift = 12 };
	struct cutter cutter = { .rounds = (unsigned)test_scaled(3000) };
	struct fixture fixture;
	pthread_t thread;
	unsigned found;

	(void)state;
	fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	cutter.fixture = &fixture;
	assert_int_equal(rmap_object_create(fixture.map, &cutter.object), 0);
	assert_int_equal(rmap_object_attach(cutter.object, &whole), 0);
	assert_int_equal(pthread_create(&thread, NULL, cut_often, &cutter), 0);
	for (unsigned i = 0; i < cutter.rounds * 10; i++) {
		rmap_read_lock(fixture.map);
		found = 0;
		assert_int_equal(rmap_object_stab(cutter.object, 0, count_range, &found), 0);
		assert_int_equal(found, 1);
		found = 0;
		assert_int_equal(rmap_object_stab(cutter.object, i % 100, count_range, &found), 0);
		assert_true(found <= 1);
		rmap_read_unlock(fixture.map);
	}
	assert_int_equal(pthread_join(thread, NULL), 0);
	rmap_object_destroy(cutter.object);
	fixture_fini(&fixture);
}

/* Lists of changes are seen whole: all of a family's ranges are there, or all are elsewhere. */
#define FAMILY 40u

static void *move_house(void *arg)
{
	const struct cutter *cutter = arg;
	struct rmap_range from[FAMILY], to[FAMILY];
	struct rmap_change changes[FAMILY];

	reader_register(cutter->fixture->map);
	for (unsigned i = 0; i < FAMILY; i++) {
		from[i] = (struct rmap_range){ .last = 9, .address = i << 20, .owner = 0, .page_shift = 12 };
		to[i] = from[i];
		to[i].first = 1 + i; /* all over the tree */
		to[i].last = 9 + i;
		to[i].owner = 1;
	}
	for (unsigned round = 0; round < cutter->rounds; round++) {
		for (unsigned i = 0; i < FAMILY; i++)
			changes[i] = (struct rmap_change){ round % 2 ? &to[i] : &from[i], round % 2 ? &from[i] : &to[i],
							   1, 0 };
		expect(rmap_object_update(cutter->object, changes, FAMILY) == 0);
	}
	reader_unregister(cutter->fixture->map);
	return NULL;
}

static int count_owners(void *arg, const struct rmap_range *range)
{
	((unsigned *)arg)[range->owner]++;
	return 0;
}

static void lists_are_seen_whole(void **state)
{
	struct cutter cutter = { .rounds = (unsigned)test_scaled(2000) };
	struct rmap_change changes[FAMILY];
	struct rmap_range ranges[FAMILY];
	struct fixture fixture;
	pthread_t thread;

	(void)state;
	fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	cutter.fixture = &fixture;
	assert_int_equal(rmap_object_create(fixture.map, &cutter.object), 0);
	for (unsigned i = 0; i < FAMILY; i++) {
		ranges[i] =
			(struct rmap_range){ .last = 9, .address = i << 20, .owner = 0, .page_shift = 12, .tags = 0 };
		changes[i] = (struct rmap_change){ NULL, &ranges[i], 1, 0 };
	}
	assert_int_equal(rmap_object_update(cutter.object, changes, FAMILY), 0);
	assert_int_equal(pthread_create(&thread, NULL, move_house, &cutter), 0);
	for (unsigned i = 0; i < cutter.rounds * 4; i++) {
		unsigned owners[2] = { 0, 0 };

		rmap_read_lock(fixture.map);
		assert_int_equal(rmap_object_stab(cutter.object, 9, count_owners, owners), 0);
		rmap_read_unlock(fixture.map);
		/* Of those elsewhere that cover index 9 there are nine. */
		assert_true((owners[0] == FAMILY && owners[1] == 0) || (owners[0] == 0 && owners[1] == 9));
	}
	assert_int_equal(pthread_join(thread, NULL), 0);
	rmap_object_destroy(cutter.object);
	fixture_fini(&fixture);
}

static void the_truncate_sequence(void **state)
{
	struct rmap_object *object, *other;
	struct fixture fixture;
	uint64_t seq, other_seq;

	(void)state;
	fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	assert_int_equal(rmap_object_create(fixture.map, &object), 0);
	assert_int_equal(rmap_object_create(fixture.map, &other), 0);
	seq = rmap_object_truncate_seq(object);
	other_seq = rmap_object_truncate_seq(other);
	for (unsigned i = 0; i < 10; i++) {
		assert_int_equal(rmap_object_truncate_seq(object), seq);
		rmap_object_truncate_advance(object);
		assert_int_not_equal(rmap_object_truncate_seq(object), seq);
		seq = rmap_object_truncate_seq(object);
	}
	assert_int_equal(rmap_object_truncate_seq(other), other_seq);
	rmap_object_destroy(object);
	rmap_object_destroy(other);
	fixture_fini(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(linear_addresses_and_their_inverse),
		cmocka_unit_test(random_sequences),
		cmocka_unit_test(edges_of_64_bits),
		cmocka_unit_test(errors_change_nothing),
		cmocka_unit_test(a_visitor_ends_the_query),
		cmocka_unit_test(historical_attacks),
		cmocka_unit_test(a_tagged_query_is_not_led_astray),
		cmocka_unit_test(a_replacement_by_many_is_not_quadratic),
		cmocka_unit_test(readers_see_updates_whole),
		cmocka_unit_test(lists_are_seen_whole),
		cmocka_unit_test(the_truncate_sequence),
	};

	return cmocka_run_group_tests_name("object", tests, NULL, NULL);
}
