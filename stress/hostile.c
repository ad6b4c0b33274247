/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hostile.c - callers that keep every rule and choose what hurts most
 *
 * Who maps pages chooses the addresses, and so the handles; the hash of chains is public, but for the seed of each map.
 * So these tests choose by it:
 *
 *      hostile-collide      all handles of a page have one hash but for its last bits, under a seed: of other maps, so
 *                           that it must not matter; then of this map, where they may cost what equal keys cost
 *      hostile-correlated   removes in no order, then in the order of the hash: what is left crowds into a few lines
 *      hostile-unit         one mapping of each thread moves, to a new address each time
 *      hostile-reserves     1,000 reserves, used in turn, each for a little
 *
 * Besides counts, events and walks, as everywhere, they assert what an operation costs and what memory is held, which
 * are what such callers are after:
 *   - steps: the library's atomic operations, in builds with -Dinject=true, which count them. Seconds would measure the
 *     machine. Means count, since a remove may do what earlier ones have left undone;
 *   - bytes: those of a page's chain (G8) and those that the map took from its tiers, while all stand still.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stress.h"

#define SHIFT 3u

/*
 * What an operation may cost in the mean of a round. In no order it is 120 to 330 with four threads, rebuilds and the
 * help for them included.
 */
#define STEPS_MOST 1024u

/*
 * Where mappings went in the order of the hash, each level of branches may have seven leaves in which nothing is left.
 * What the tests hold has two.
 */
#define BOUND_ORDERED(elements) (STRESS_BOUND(elements) + 2 * 512u)

/* Operations, and the steps that they took. */
struct meter {
	uint64_t operations;
	uint64_t steps;
};

static void meter_note(struct meter *meter, uint64_t before)
{
	meter->steps += rmap_inject_steps() - before;
	meter->operations++;
}

/* Adds @from to @sum, and begins it anew. */
static void meter_collect(struct meter *sum, struct meter *from)
{
	sum->operations += from->operations;
	sum->steps += from->steps;
	*from = (struct meter){ 0 };
}

static uint64_t meter_mean(const struct meter *meter)
{
	return meter->operations ? meter->steps / meter->operations : 0;
}

static int count_visit(void *arg, const struct rmap_visit *visit)
{
	*(uint32_t *)arg += visit->count;
	return 0;
}

static void walk_finds(struct rmap *map, const struct rmap_page *page, uint32_t mappings)
{
	struct rmap_target target = { .page = page };
	uint32_t visited = 0;

	rmap_read_lock(map);
	stress_assert(rmap_walk(map, &target, count_visit, &visited, NULL) == 0, "a walk ended early");
	rmap_read_unlock(map);
	stress_assert(visited == mappings, "G3: a walk of a page that stands still found %u of %u mappings", visited,
		      mappings);
}

/* --- handles chosen by their hash ------------------------------------------------------------- */

/* Handles of all threads together. A chain of colliding ones is a linear list, so there are fewer. */
#define COLLIDING 2048u
#define CORRELATED 4096u
/* Removes and adds by turns, after each way down. */
#define STEADY 64u
#define REMOVES_A_FILL 64u

/*
 * A seed that an embedder has given away; and the factors of key_hash() in lib/leaf.h. If those change, these handles
 * hurt no more.
 */
#define SEED 0x5DEECE66Du
#define FACTOR (SEED * (uint64_t)0x9E3779B97F4A7C15u | 1)
#define LAST_FACTOR ((uint64_t)0xD6E8FEB86659FD93u)

static uint64_t hash(uint64_t handle)
{
	handle = (handle ^ SEED) * FACTOR;
	handle = (handle ^ handle >> 32) * LAST_FACTOR;
	return handle ^ handle >> 32;
}

/* The inverse of an odd factor, by Newton's iteration. */
static uint64_t inverse(uint64_t factor)
{
	uint64_t result = factor;

	for (unsigned i = 0; i < 6; i++)
		result *= 2 - factor * result;
	return result;
}

/* The handle that hashes to @value; if it is one. */
static uint64_t handle_of(uint64_t value)
{
	value = (value ^ value >> 32) * inverse(LAST_FACTOR);
	return ((value ^ value >> 32) * inverse(FACTOR)) ^ SEED;
}

/*
 * struct hasher - one thread's own memory
 * @handles: the first @n are held
 */
struct hasher {
	uint64_t *handles;
	unsigned n;
	struct meter meter;
	struct stress_events events;
};

/*
 * struct hashed
 * @collide, @ordered: which handles, and in which order they are removed
 * @keys:   handles of each thread
 * @target: how many of them each is to hold at the end of the round; written by the thread that checks
 * @meter:  all operations; @worst: the highest mean of a round in which mappings were removed
 * @bytes, @elements: the most memory that an element has taken
 */
struct hashed {
	struct rmap_page page;
	struct hasher hashers[STRESS_THREADS_MAX];
	bool collide;
	bool ordered;
	unsigned keys;
	unsigned target;
	struct meter meter;
	uint64_t worst;
	uint64_t bytes;
	uint64_t elements;
};

static void choose_handles(struct stress_thread *thread, struct hashed *hashed, struct hasher *hasher)
{
	hasher->handles = stress_zalloc(hashed->keys, sizeof(hasher->handles[0]));
	for (unsigned i = 0, key = 0; i < hashed->keys; key++) {
		uint64_t last = (uint64_t)key * STRESS_THREADS_MAX + thread->id;
		uint64_t handle = hashed->collide ? handle_of(0xC0111DE0ull << 32 | last)
						  : stress_handle(0, thread->id, key, SHIFT);

		if (handle % (1u << SHIFT) == 0)
			hasher->handles[i++] = handle;
	}
}

static int by_hash(const void *a, const void *b)
{
	uint64_t left = hash(*(const uint64_t *)a), right = hash(*(const uint64_t *)b);

	return left < right ? -1 : left > right;
}

static void shuffle(struct stress_thread *thread, uint64_t *handles, unsigned n)
{
	for (unsigned i = n; i > 1; i--) {
		unsigned other = stress_below(thread, i);
		uint64_t handle = handles[other];

		handles[other] = handles[i - 1];
		handles[i - 1] = handle;
	}
}

static void add(struct stress_thread *thread, struct hashed *hashed)
{
	struct hasher *hasher = &hashed->hashers[thread->id];
	uint64_t before;
	int result;

	stress_assert(rmap_reserve_fill(thread->reserve, 1) == 0, "a fill found no memory");
	rmap_read_lock(thread->map);
	before = rmap_inject_steps();
	result = rmap_page_add(thread->reserve, &hashed->page, rmap_chained(hasher->handles[hasher->n]));
	meter_note(&hasher->meter, before);
	rmap_read_unlock(thread->map);
	stress_assert(result >= 0, "G1: an add with a filled reserve failed: %s", strerror(-result));
	stress_events_note(&hasher->events, result);
	hasher->n++;
}

/*
 * Removes need no memory, but a chain gives its own back for a copy of what is left, which has to come from somewhere
 * (pool.h).
 */
static void drop(struct stress_thread *thread, struct hashed *hashed)
{
	struct hasher *hasher = &hashed->hashers[thread->id];
	uint64_t before;
	int result;

	if (hasher->n % REMOVES_A_FILL == 0)
		stress_assert(rmap_reserve_fill(thread->reserve, 0) == 0, "a fill found no memory");
	rmap_read_lock(thread->map);
	before = rmap_inject_steps();
	result = rmap_page_remove(thread->reserve, &hashed->page, rmap_chained(hasher->handles[--hasher->n]));
	meter_note(&hasher->meter, before);
	rmap_read_unlock(thread->map);
	stress_assert(result >= 0, "a remove of the thread's own mapping failed: %s", strerror(-result));
	stress_events_note(&hasher->events, result);
}

/* Up in no order, down in none or from the highest hash; then a while up and down by one. */
static void reach_target(struct stress_thread *thread, struct hashed *hashed)
{
	struct hasher *hasher = &hashed->hashers[thread->id];

	shuffle(thread, hasher->handles + hasher->n, hashed->keys - hasher->n);
	while (hasher->n < hashed->target && stress_next(thread))
		add(thread, hashed);
	if (hashed->ordered)
		qsort(hasher->handles, hasher->n, sizeof(hasher->handles[0]), by_hash);
	else
		shuffle(thread, hasher->handles, hasher->n);
	while (hasher->n > hashed->target && stress_next(thread))
		drop(thread, hashed);
	for (unsigned i = 0; i < STEADY && hasher->n > 0 && stress_next(thread); i++) {
		drop(thread, hashed);
		add(thread, hashed);
	}
}

static void hashed_body(struct stress_thread *thread, void *arg)
{
	struct hashed *hashed = arg;
	struct hasher *hasher = &hashed->hashers[thread->id];

	choose_handles(thread, hashed, hasher);
	while (stress_round(thread))
		reach_target(thread, hashed);
	shuffle(thread, hasher->handles, hasher->n);
	while (hasher->n)
		drop(thread, hashed);
	free(hasher->handles);
}

static void hashed_check(struct stress_thread *thread, void *arg)
{
	static const unsigned shares[] = { 1, 0, 1, 64, 1, 16, 1, 4 };
	struct hashed *hashed = arg;
	struct rmap_counts sum = { 0 };
	struct stress_events events = { 0 };
	struct meter meter = { 0 };
	struct rmap_shape shape;
	uint64_t bound;
	unsigned share = shares[(thread->round + 1) % (sizeof(shares) / sizeof(shares[0]))];

	for (unsigned i = 0; i < thread->stress->threads; i++) {
		sum.chained += hashed->hashers[i].n;
		meter_collect(&meter, &hashed->hashers[i].meter);
		stress_events_sum(&events, &hashed->hashers[i].events);
	}
	shape = stress_page_verify(thread->map, &hashed->page, 0, sum, &events);
	walk_finds(thread->map, &hashed->page, sum.chained);
	bound = hashed->ordered ? BOUND_ORDERED(shape.elements) : STRESS_BOUND(shape.elements);
	if (shape.bytes > bound && shape.bytes * hashed->elements >= hashed->bytes * shape.elements) {
		hashed->bytes = shape.bytes;
		hashed->elements = shape.elements;
	}
	if (hashed->target < hashed->keys && meter_mean(&meter) > hashed->worst)
		hashed->worst = meter_mean(&meter);
	meter_collect(&hashed->meter, &meter);
	hashed->target = share ? hashed->keys / share : 0;
}

/* One of two runs of a test. @known: the map has SEED. Returns what it has measured. */
static struct hashed run_hashed(struct stress *stress, bool collide, bool ordered, bool known)
{
	static struct hashed hashed;
	struct stress_plan plan = { .body = hashed_body, .check = hashed_check, .arg = &hashed, .parts = 2 };
	struct rmap_options options = RMAP_OPTIONS_DEFAULT;
	struct stress_map map;

	hashed = (struct hashed){ .collide = collide, .ordered = ordered };
	hashed.keys = (collide ? COLLIDING : CORRELATED) / stress->threads;
	options.hash_seed = known ? SEED : 0;
	plan.round_ops = 2 * hashed.keys + STEADY;
	stress_map_init(&map, &options, false);
	plan.map = map.map;
	stress_run(stress, &plan);
	stress_map_fini(&map, ordered	 ? "by hash"
			      : !collide ? "in no order"
			      : known	 ? "colliding"
					 : "chosen for another map");
	printf("  steps=%" PRIu64 " worst=%" PRIu64 "\n", meter_mean(&hashed.meter), hashed.worst);
	return hashed;
}

/* Handles that cost no more than any others. */
static void costs_as_usual(const struct hashed *hashed)
{
	stress_assert(hashed->worst <= STEPS_MOST,
		      "O(1): an operation takes %" PRIu64 " steps, %u at most are expected", hashed->worst, STEPS_MOST);
	stress_assert(hashed->bytes == 0, "G8: a page takes %" PRIu64 " bytes for %" PRIu64 " elements", hashed->bytes,
		      hashed->elements);
}

static void run_collide(struct stress *stress)
{
	struct hashed hashed = run_hashed(stress, true, false, false);

	costs_as_usual(&hashed);
	hashed = run_hashed(stress, true, false, true);
	if (hashed.bytes)
		printf("  bytes=%" PRIu64 " elements=%" PRIu64 "\n", hashed.bytes, hashed.elements);
}

static void run_correlated(struct stress *stress)
{
	struct hashed hashed = run_hashed(stress, false, false, true);

	costs_as_usual(&hashed);
	hashed = run_hashed(stress, false, true, true);
	costs_as_usual(&hashed);
}

/* --- one mapping that moves ------------------------------------------------------------------- */

/* Mappings of each thread that stay, beside the one that moves: many enough for a leaf. */
#define STANDING 32u
#define ADDRESSES (1u << 24)
/* What the map holds beyond the chain, in slabs of 16 KiB: what is in the threads' hands, and what is waiting. */
#define UNIT_HELD(threads) (((uint64_t)(threads) + 1) * 32768)

/* struct mover - one thread's own memory; @address: where its moving mapping is */
struct mover {
	unsigned address;
	struct meter meter;
	struct stress_events events;
};

struct unit {
	struct rmap_page page;
	struct mover movers[STRESS_THREADS_MAX];
	struct stress_map map;
	struct meter meter;
};

static struct rmap_mapping mapping_at(const struct stress_thread *thread, unsigned address)
{
	return rmap_chained(stress_handle(0, thread->id, address, SHIFT));
}

static void move(struct stress_thread *thread, struct unit *unit)
{
	struct mover *mover = &unit->movers[thread->id];
	unsigned next = STANDING + (mover->address + 1 - STANDING) % ADDRESSES;
	uint64_t before;
	int result;

	stress_assert(rmap_reserve_fill(thread->reserve, 1) == 0, "a fill found no memory");
	rmap_read_lock(thread->map);
	before = rmap_inject_steps();
	result = rmap_page_move(thread->reserve, &unit->page, mapping_at(thread, mover->address),
				mapping_at(thread, next));
	meter_note(&mover->meter, before);
	rmap_read_unlock(thread->map);
	stress_assert(result == 0, "move %u of the thread's own mapping failed: %s", mover->address, strerror(-result));
	mover->address = next;
}

/* All that a thread has, on or off the page. */
static void stand(struct stress_thread *thread, struct unit *unit, bool there)
{
	struct mover *mover = &unit->movers[thread->id];

	stress_assert(rmap_reserve_fill(thread->reserve, STANDING + 1) == 0, "a fill found no memory");
	rmap_read_lock(thread->map);
	for (unsigned i = 0; i <= STANDING; i++) {
		struct rmap_mapping mapping = mapping_at(thread, i < STANDING ? i : mover->address);
		int result = there ? rmap_page_add(thread->reserve, &unit->page, mapping)
				   : rmap_page_remove(thread->reserve, &unit->page, mapping);

		stress_assert(result >= 0, "an operation on the thread's own mapping failed: %s", strerror(-result));
		stress_events_note(&mover->events, result);
	}
	rmap_read_unlock(thread->map);
}

static void unit_body(struct stress_thread *thread, void *arg)
{
	struct unit *unit = arg;

	unit->movers[thread->id].address = STANDING;
	stand(thread, unit, true);
	while (stress_round(thread))
		while (stress_next(thread))
			move(thread, unit);
	stand(thread, unit, false);
}

static void unit_check(struct stress_thread *thread, void *arg)
{
	struct unit *unit = arg;
	struct rmap_counts sum = { .chained = thread->stress->threads * (STANDING + 1) };
	struct stress_events events = { 0 };
	struct rmap_shape shape;
	uint64_t held = atomic_load_explicit(&unit->map.chains.bytes, memory_order_relaxed);

	for (unsigned i = 0; i < thread->stress->threads; i++) {
		meter_collect(&unit->meter, &unit->movers[i].meter);
		stress_events_sum(&events, &unit->movers[i].events);
	}
	shape = stress_page_verify(thread->map, &unit->page, 0, sum, &events);
	walk_finds(thread->map, &unit->page, sum.chained);
	stress_assert(meter_mean(&unit->meter) <= STEPS_MOST,
		      "O(1): a move takes %" PRIu64 " steps, %u at most are expected", meter_mean(&unit->meter),
		      STEPS_MOST);
	stress_assert(shape.bytes <= STRESS_BOUND(shape.elements), "G8: a page takes %" PRIu64 " bytes for %u elements",
		      shape.bytes, shape.elements);
	stress_assert(held <= STRESS_BOUND(shape.elements) + UNIT_HELD(thread->stress->threads),
		      "G8: %" PRIu64 " bytes are taken for %u elements: moves leave something behind", held,
		      shape.elements);
}

static void run_unit(struct stress *stress)
{
	struct unit *unit = stress_zalloc(1, sizeof(*unit));
	struct stress_plan plan = { .body = unit_body, .check = unit_check, .arg = unit, .round_ops = 100000 };

	stress_map_init(&unit->map, NULL, false);
	plan.map = unit->map.map;
	stress_run(stress, &plan);
	stress_map_fini(&unit->map, "the map");
	if (stress_counts_steps())
		printf("  moves=%" PRIu64 " steps=%" PRIu64 "\n", unit->meter.operations, meter_mean(&unit->meter));
	free(unit);
}

/* --- reserves --------------------------------------------------------------------------------- */

#define RESERVES 1000u
#define ADDS_MOST 64u
#define WAITING_MAX (1u << 20)
/* What waits beyond that: of each reserve (pool.h), and of each thread what it retires between two fills. */
#define UNTOLD 256u
#define BETWEEN_FILLS 16384u
/*
 * What one reserve may have in hand that was filled for ADDS_MOST adds: a block and a single line for each, and some
 * more.
 */
#define RESERVE_HELD (ADDS_MOST * 96u + 16384u)

/* struct user - one thread's own memory; the first @n of its addresses are mapped */
struct user {
	struct rmap_reserve **reserves;
	unsigned n;
	struct stress_events events;
};

struct reserves {
	struct rmap_page page;
	struct user users[STRESS_THREADS_MAX];
	struct stress_map map;
};

/* Up to some number of mappings or down to none, with one reserve; the next time it will be another. */
static void use(struct stress_thread *thread, struct reserves *reserves)
{
	unsigned share = RESERVES / thread->stress->threads;
	struct user *user = &reserves->users[thread->id];
	struct rmap_reserve *reserve = user->reserves[stress_below(thread, share)];
	unsigned target = stress_one_in(thread, 2) ? 0 : 1 + stress_below(thread, ADDS_MOST);
	int result;

	if (target > user->n)
		stress_assert(rmap_reserve_fill(reserve, target - user->n) == 0, "a fill found no memory");
	rmap_read_lock(thread->map);
	while (user->n != target) {
		bool more = user->n < target;

		if (more)
			result = rmap_page_add(reserve, &reserves->page, mapping_at(thread, user->n++));
		else
			result = rmap_page_remove(reserve, &reserves->page, mapping_at(thread, --user->n));
		stress_assert(result >= 0, "an operation on the thread's own mapping failed: %s", strerror(-result));
		stress_events_note(&user->events, result);
	}
	rmap_read_unlock(thread->map);
}

static void reserves_body(struct stress_thread *thread, void *arg)
{
	struct reserves *reserves = arg;
	struct user *user = &reserves->users[thread->id];
	unsigned share = RESERVES / thread->stress->threads;

	user->reserves = stress_zalloc(share, sizeof(user->reserves[0]));
	for (unsigned i = 0; i < share; i++)
		stress_assert(rmap_reserve_create(thread->map, &user->reserves[i]) == 0, "a reserve cannot be made");
	while (stress_round(thread))
		while (stress_next(thread))
			use(thread, reserves);
	rmap_read_lock(thread->map);
	while (user->n)
		rmap_page_remove(user->reserves[0], &reserves->page, mapping_at(thread, --user->n));
	rmap_read_unlock(thread->map);
	for (unsigned i = 0; i < share; i++)
		rmap_reserve_destroy(user->reserves[i]);
	free(user->reserves);
}

static void reserves_check(struct stress_thread *thread, void *arg)
{
	struct reserves *reserves = arg;
	struct rmap_statistics stats = { .size = sizeof(stats) };
	struct rmap_counts sum = { 0 };
	struct stress_events events = { 0 };
	struct rmap_shape shape;
	uint64_t held = atomic_load_explicit(&reserves->map.chains.bytes, memory_order_relaxed);

	for (unsigned i = 0; i < thread->stress->threads; i++) {
		sum.chained += reserves->users[i].n;
		stress_events_sum(&events, &reserves->users[i].events);
	}
	shape = stress_page_verify(thread->map, &reserves->page, 0, sum, &events);
	stress_assert(rmap_stats(thread->map, &stats) == 0, "rmap_stats refused its own size");
	stress_assert(held <= stats.waiting_bytes + STRESS_BOUND(shape.elements) + (uint64_t)RESERVES * RESERVE_HELD,
		      "G8: %" PRIu64 " bytes are taken for %u elements and %u reserves, %" PRIu64 " wait", held,
		      shape.elements, RESERVES, stats.waiting_bytes);
	stress_assert(stats.waiting_bytes <= WAITING_MAX + RESERVES * UNTOLD + thread->stress->threads * BETWEEN_FILLS,
		      "G8: %" PRIu64 " bytes wait in %u reserves, waiting_max is %u", stats.waiting_bytes, RESERVES,
		      WAITING_MAX);
}

static void run_reserves(struct stress *stress)
{
	struct reserves *reserves = stress_zalloc(1, sizeof(*reserves));
	struct rmap_options options = RMAP_OPTIONS_DEFAULT;
	struct stress_plan plan = { .body = reserves_body, .check = reserves_check, .arg = reserves };

	options.waiting_max = WAITING_MAX;
	stress_map_init(&reserves->map, &options, false);
	plan.map = reserves->map.map;
	stress_run(stress, &plan);
	stress_map_fini(&reserves->map, "the map");
	free(reserves);
}

const struct stress_test stress_hostile_collide = {
	"hostile-collide", "handles that collide under one seed: as any in other maps, exact and complete in that one",
	run_collide, false
};
const struct stress_test stress_hostile_correlated = {
	"hostile-correlated",
	"removes in no order, then in that of the hash: steps of an operation, memory of what is left", run_correlated,
	false
};
const struct stress_test stress_hostile_reserves = { "hostile-reserves",
						     "1,000 reserves in turn: what they hold and what waits is bounded",
						     run_reserves, false };
const struct stress_test stress_hostile_unit = {
	"hostile-unit",
	"one mapping of each thread moves for ever: steps of a move, and no memory beyond what is mapped", run_unit,
	false
};
