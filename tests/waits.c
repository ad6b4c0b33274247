/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * waits.c - the functions that may wait, in every flavor and both reclaim modes; and where each function may be called
 *
 * Two threads call any two of them at once, on one map whose cap on waiting memory is so small that all of them wait
 * for grace periods, and whose tiers now and then wait for one, too. What is tested is that they come back: none waits
 * for a grace period with something in hand that a registered reader, who in qsbr is in a section while it is online,
 * needs to go on.
 *
 * Each combination of flavor and reclaim mode runs in a process of its own, for flavors have threads and registrations
 * that outlive a map. A process that does not come back is ended by its alarm, and says what it was doing.
 */
#include "flavors.h"
#include "support.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rmap/unmap.h>

#define ALARM_SECONDS 60
#define WAITING_MAX 1024u /* a handful of nodes */

/* struct shared - what both threads use. @tier is the probe's, but that with @tier_waits one call in eight waits */
struct shared {
	const struct flavor *flavor;
	enum rmap_reclaim reclaim;
	struct rmap *map;
	struct rmap_object *object;
	pthread_barrier_t rendezvous;
	struct probe probe;
	struct rmap_tier tier;
	bool tier_waits;
	atomic_uint allocs;
	struct rmap *second; /* of call_anywhere(), as the next two */
	struct rmap_reserve *empty_reserve;
	struct rmap_object *empty_object;
};

/* struct party - one of two threads. @object is its own, and has one page at index 0 */
struct party {
	struct shared *shared;
	unsigned me;
	struct rmap_reserve *reserve;
	struct rmap_object *object;
	struct rmap_page page;
	bool dropped;
};

/* What an alarm says; written before the parties meet. */
static char doing[128];

static void too_long(int signal)
{
	static const char text[] = " does not come back\n";

	(void)signal;
	(void)!write(STDERR_FILENO, doing, strlen(doing));
	(void)!write(STDERR_FILENO, text, sizeof(text) - 1);
	_exit(1);
}

/* The calling thread gets no memory. */
static _Thread_local bool poor;

static void *waiting_alloc(void *arg, size_t bytes, size_t align)
{
	struct shared *shared = arg;

	if (poor)
		return NULL;
	if (shared->tier_waits && atomic_fetch_add(&shared->allocs, 1) % 8 == 7)
		shared->flavor->rcu->synchronize();
	return shared->probe.tier.alloc(shared->probe.tier.arg, bytes, align);
}

static void waiting_free(void *arg, void *memory, size_t bytes)
{
	struct shared *shared = arg;

	shared->probe.tier.free(shared->probe.tier.arg, memory, bytes);
}

static struct rmap_options options_of(struct shared *shared)
{
	struct rmap_options options = RMAP_OPTIONS_DEFAULT;

	options.rcu = shared->flavor->rcu;
	options.reclaim = shared->reclaim;
	options.waiting_max = WAITING_MAX;
	options.tier = &shared->tier;
	options.metadata = &shared->tier;
	return options;
}

/* --- what may wait ---------------------------------------------------------------------------- */

/* Makes a chain on the party's page, if none is there. */
static void add_mappings(struct party *party, unsigned n)
{
	expect(rmap_reserve_fill(party->reserve, n) == 0);
	rmap_read_lock(party->shared->map);
	for (unsigned i = 0; i < n; i++)
		expect(rmap_page_add(party->reserve, &party->page, mapping_of(RMAP_CHAINED, i)) >= 0);
	rmap_read_unlock(party->shared->map);
}

static void drop_mappings(struct party *party)
{
	rmap_read_lock(party->shared->map);
	rmap_page_drop(party->reserve, &party->page);
	rmap_read_unlock(party->shared->map);
}

static void create_and_destroy(struct party *party)
{
	struct rmap_options options = options_of(party->shared);
	struct rmap *map;

	expect(rmap_create(&options, &map) == 0);
	expect(rmap_destroy(map) == 0);
}

static void fill(struct party *party)
{
	for (unsigned i = 0; i < 4; i++) {
		add_mappings(party, 30);
		drop_mappings(party);
	}
}

static void drain(struct party *party)
{
	add_mappings(party, 10);
	drop_mappings(party);
	rmap_reserve_drain(party->reserve);
}

static void reserve_create_and_destroy(struct party *party)
{
	struct rmap_reserve *reserve;

	expect(rmap_reserve_create(party->shared->map, &reserve) == 0);
	expect(rmap_reserve_fill(reserve, 10) == 0);
	rmap_reserve_destroy(reserve);
}

static struct rmap_range range_of(const struct party *party, uint64_t i)
{
	return (struct rmap_range){
		.first = 10 * i, .last = 10 * i + 9, .address = (i + 1) << 20, .owner = party->me, .page_shift = 12
	};
}

/* In the object of both: its updates are serialised by one mutex. */
static void attach_and_detach(struct party *party)
{
	for (uint64_t i = 0; i < 12; i++) {
		struct rmap_range range = range_of(party, i);

		expect(rmap_object_attach(party->shared->object, &range) == 0);
	}
	for (uint64_t i = 0; i < 12; i++) {
		struct rmap_range range = range_of(party, i);

		expect(rmap_object_detach(party->shared->object, &range) == 0);
	}
}

static void update(struct party *party)
{
	struct rmap_object *object = party->shared->object;
	struct rmap_range range = range_of(party, 0);
	struct rmap_range other = range_of(party, 1);
	struct rmap_range half = range;

	half.last = 4;
	expect(rmap_object_attach(object, &range) == 0);
	expect(rmap_object_tag(object, &range, RMAP_RANGE_NONLINEAR) == 0);
	expect(rmap_object_split(object, &range, 5) == 0);
	expect(rmap_object_move(object, &half, 1 << 30) == 0);
	half.address = 1 << 30;
	expect(rmap_object_resize(object, &half, 0, 9) == 0);
	half.last = 9;
	expect(rmap_object_replace(object, &half, &other, 1) == 0);
	expect(rmap_object_detach(object, &other) == 0);
	range.address += 5 << 12;
	range.first = 5;
	expect(rmap_object_detach(object, &range) == 0);
}

static void object_create_and_destroy(struct party *party)
{
	struct rmap_object *object;

	expect(rmap_object_create(party->shared->map, &object) == 0);
	for (uint64_t i = 0; i < 12; i++) {
		struct rmap_range range = range_of(party, i);

		expect(rmap_object_attach(object, &range) == 0);
	}
	rmap_object_destroy(object);
}

static int clear(void *arg, const struct rmap_target *target, const struct rmap_visit *visit, unsigned flags,
		 uint64_t *cleared)
{
	struct party *party = arg;

	(void)flags;
	expect(target->page == &party->page);
	expect(rmap_reserve_fill(party->reserve, 1) == 0); /* as callbacks may */
	rmap_read_lock(party->shared->map);
	*cleared += rmap_page_remove(party->reserve, &party->page, rmap_chained(visit->handle)) >= 0;
	rmap_read_unlock(party->shared->map);
	return 0;
}

static int clear_range(void *arg, const struct rmap_search *search, uint64_t *cleared)
{
	(void)arg;
	(void)search;
	(void)cleared;
	return 0;
}

static int lock_next(void *arg, struct rmap_object *object, uint64_t first, uint64_t last, struct rmap_target *target)
{
	struct party *party = arg;

	(void)last;
	if (party->dropped || first > 0)
		return -ENOENT;
	*target = (struct rmap_target){ &party->page, object, 0, 0 };
	return 0;
}

static void unlock(void *arg, const struct rmap_target *target)
{
	(void)arg;
	(void)target;
}

static void drop(void *arg, const struct rmap_target *target, int orphan)
{
	struct party *party = arg;

	(void)target;
	(void)orphan;
	party->dropped = true;
}

static const struct rmap_unmap_callbacks callbacks = {
	.size = sizeof(callbacks),
	.clear = clear,
	.clear_range = clear_range,
	.lock_next = lock_next,
	.unlock = unlock,
	.drop = drop,
};

static void unmap(struct party *party)
{
	struct rmap_target target = { &party->page, party->object, 0, 0 };

	add_mappings(party, 10);
	expect(rmap_unmap(party->shared->map, &callbacks, party, &target, 0, RMAP_RELIABLE, NULL) == 0);
}

static void truncate_object(struct party *party)
{
	struct rmap_truncation truncation = {
		.size = sizeof(truncation),
		.object = party->object,
		.last = UINT64_MAX,
		.strategy = RMAP_COMBINED,
		.semantics = RMAP_RELIABLE,
	};

	add_mappings(party, 10);
	party->dropped = false;
	expect(rmap_truncate(party->shared->map, &callbacks, party, &truncation, NULL) == 0);
	expect(party->dropped);
}

/* Detaches whose memory comes out of the map's spares, and goes back after a grace period. */
static void detach_without_memory(struct party *party)
{
	struct rmap_range ranges[2];

	for (uint64_t i = 0; i < 2; i++) {
		ranges[i] = range_of(party, 20 + i);
		expect(rmap_object_attach(party->shared->object, &ranges[i]) == 0);
	}
	poor = true;
	for (unsigned i = 0; i < 2; i++)
		expect(rmap_object_detach(party->shared->object, &ranges[i]) == 0);
	poor = false;
}

static void read_statistics(struct party *party)
{
	struct rmap_statistics statistics = { .size = sizeof(statistics) };

	for (unsigned i = 0; i < 100; i++)
		expect(rmap_stats(party->shared->map, &statistics) == 0);
}

static const struct {
	const char *name;
	void (*call)(struct party *party);
} waiting[] = {
	{ "create, destroy", create_and_destroy },
	{ "fill", fill },
	{ "drain", drain },
	{ "reserve_create, destroy", reserve_create_and_destroy },
	{ "attach, detach", attach_and_detach },
	{ "updates of ranges", update },
	{ "object_create, destroy", object_create_and_destroy },
	{ "unmap", unmap },
	{ "truncate", truncate_object },
	{ "stats", read_statistics },
	{ "detach without memory", detach_without_memory },
};

static void watch(const struct shared *shared, const char *one, const char *other)
{
	snprintf(doing, sizeof(doing), "%s, %s: %s beside %s", shared->flavor->name, reclaim_names[shared->reclaim],
		 one, other);
	signal(SIGALRM, too_long);
	alarm(ALARM_SECONDS);
}

/* --- any two at once -------------------------------------------------------------------------- */

/* Both parties are here; meanwhile they hold nothing that a grace period waits for. */
static void meet(struct shared *shared)
{
	flavor_offline(shared->flavor);
	pthread_barrier_wait(&shared->rendezvous);
	flavor_online(shared->flavor);
}

/* How often, so that they overlap; a callback takes a helper thread's time to come. */
static const unsigned rounds[] = { [RMAP_RECLAIM_CALLBACK] = 1, [RMAP_RECLAIM_BLOCKING] = 50 };

static void *call_in_turn(void *arg)
{
	struct party *party = arg;
	struct shared *shared = party->shared;

	rmap_thread_register(shared->map);
	expect(rmap_reserve_create(shared->map, &party->reserve) == 0);
	expect(rmap_object_create(shared->map, &party->object) == 0);
	for (size_t i = 0; i < LENGTH(waiting); i++)
		for (size_t j = i; j < LENGTH(waiting); j++) {
			if (party->me == 0)
				watch(shared, waiting[i].name, waiting[j].name);
			meet(shared);
			for (unsigned n = 0; n < rounds[shared->reclaim]; n++)
				waiting[party->me == 0 ? i : j].call(party);
		}
	meet(shared);
	rmap_reserve_drain(party->reserve);
	rmap_object_destroy(party->object);
	rmap_reserve_destroy(party->reserve);
	rmap_thread_unregister(shared->map);
	return NULL;
}

static void shared_init(struct shared *shared, const struct flavor *flavor, enum rmap_reclaim reclaim, bool tier_waits)
{
	struct rmap_options options;

	*shared = (struct shared){ .flavor = flavor, .reclaim = reclaim, .tier_waits = tier_waits };
	probe_init(&shared->probe);
	shared->tier =
		(struct rmap_tier){ .alloc = waiting_alloc, .free = waiting_free, .arg = shared, .granule = 1024 };
	expect(pthread_barrier_init(&shared->rendezvous, NULL, 2) == 0);
	options = options_of(shared);
	expect(rmap_create(&options, &shared->map) == 0);
}

static void shared_fini(struct shared *shared)
{
	expect(rmap_destroy(shared->map) == 0);
	pthread_barrier_destroy(&shared->rendezvous);
	probe_fini(&shared->probe);
}

static void any_two_at_once(const struct flavor *flavor, enum rmap_reclaim reclaim)
{
	struct party parties[2];
	struct shared shared;

	shared_init(&shared, flavor, reclaim, true);
	rmap_thread_register(shared.map);
	expect(rmap_object_create(shared.map, &shared.object) == 0);
	rmap_thread_unregister(shared.map);
	for (unsigned i = 0; i < 2; i++)
		parties[i] = (struct party){ .shared = &shared, .me = i };
	run_threads(call_in_turn, parties, sizeof(parties[0]), 2);
	rmap_thread_register(shared.map);
	rmap_object_destroy(shared.object);
	rmap_thread_unregister(shared.map);
	shared_fini(&shared);
}

static void waiting_functions_come_back(void **state)
{
	(void)state;
	in_each_flavor(any_two_at_once);
}

/* --- slabs of a tier that waits --------------------------------------------------------------- */

#define SLABS_ADDS 1000u

static void *take_slabs(void *arg)
{
	struct party *party = arg;
	struct rmap *map = party->shared->map;

	rmap_thread_register(map);
	expect(rmap_reserve_create(map, &party->reserve) == 0);
	meet(party->shared);
	expect(rmap_reserve_fill(party->reserve, SLABS_ADDS) == 0);
	rmap_reserve_destroy(party->reserve);
	rmap_thread_unregister(map);
	return NULL;
}

static void fill_an_empty_map(const struct flavor *flavor, enum rmap_reclaim reclaim)
{
	struct party parties[2];
	struct shared shared;

	shared_init(&shared, flavor, reclaim, true);
	watch(&shared, "fill from the tier", "another");
	for (unsigned i = 0; i < 2; i++)
		parties[i] = (struct party){ .shared = &shared, .me = i };
	run_threads(take_slabs, parties, sizeof(parties[0]), 2);
	shared_fini(&shared);
}

static void slabs_may_be_waited_for(void **state)
{
	(void)state;
	in_each_flavor(fill_an_empty_map);
}

/* --- an unmap that waits for who waits -------------------------------------------------------- */

/*
 * A mapping on its way out: its pte is clear, so the unmap finds nothing to do, and who cleared it first waits for a
 * grace period. The unmap goes on trying, and must let that period end.
 */
struct way_out {
	struct shared *shared;
	struct rmap_page page;
	struct rmap_reserve *reserve;
	atomic_bool tried;
};

static int find_nothing(void *arg, const struct rmap_target *target, const struct rmap_visit *visit, unsigned flags,
			uint64_t *cleared)
{
	struct way_out *way_out = arg;

	(void)target;
	(void)visit;
	(void)flags;
	(void)cleared;
	way_out->tried = true;
	return 0;
}

static void *take_out(void *arg)
{
	struct way_out *way_out = arg;
	struct rmap *map = way_out->shared->map;
	struct rmap_reserve *reserve;

	while (!way_out->tried)
		sched_yield();
	rmap_thread_register(map);
	expect(rmap_reserve_create(map, &reserve) == 0);
	rmap_reserve_drain(reserve);
	rmap_read_lock(map);
	expect(rmap_page_remove(reserve, &way_out->page, mapping_of(RMAP_CHAINED, 0)) == RMAP_LAST);
	rmap_read_unlock(map);
	rmap_reserve_destroy(reserve);
	rmap_thread_unregister(map);
	return NULL;
}

static void unmap_beside_a_waiter(const struct flavor *flavor, enum rmap_reclaim reclaim)
{
	static const struct rmap_unmap_callbacks finds_nothing = { .size = sizeof(finds_nothing),
								   .clear = find_nothing };
	struct way_out way_out = { .page = { 0 } };
	struct rmap_target target = { .page = &way_out.page };
	struct shared shared;
	pthread_t thread;

	shared_init(&shared, flavor, reclaim, false);
	watch(&shared, "reliable unmap", "drain");
	way_out.shared = &shared;
	rmap_thread_register(shared.map);
	expect(rmap_reserve_create(shared.map, &way_out.reserve) == 0);
	expect(rmap_reserve_fill(way_out.reserve, 1) == 0);
	rmap_read_lock(shared.map);
	expect(rmap_page_add(way_out.reserve, &way_out.page, mapping_of(RMAP_CHAINED, 0)) == RMAP_FIRST);
	rmap_read_unlock(shared.map);
	expect(pthread_create(&thread, NULL, take_out, &way_out) == 0);
	expect(rmap_unmap(shared.map, &finds_nothing, &way_out, &target, 0, RMAP_RELIABLE, NULL) == 0);
	flavor_offline(flavor);
	pthread_join(thread, NULL);
	flavor_online(flavor);
	rmap_reserve_destroy(way_out.reserve);
	rmap_thread_unregister(shared.map);
	shared_fini(&shared);
}

static void an_unmap_lets_grace_periods_end(void **state)
{
	(void)state;
	in_each_flavor(unmap_beside_a_waiter);
}

/* --- where functions may be called ------------------------------------------------------------ */

/* All functions whose context is "any": they wait for no grace period. */
static void call_anywhere(struct shared *shared)
{
	struct rmap_options options = RMAP_OPTIONS_DEFAULT;
	struct rmap_statistics statistics = { .size = sizeof(statistics) };
	struct rmap_target target = { .page = NULL };
	struct rmap_cursor cursor;
	struct rmap_reserve *reserve;
	struct rmap_object *object;
	struct rmap_tier tier;
	struct rmap *map;

	options.rcu = shared->flavor->rcu;
	options.reclaim = shared->reclaim;
	expect(rmap_create(&options, &map) == 0);
	shared->second = map;
	expect(rmap_stats(shared->map, &statistics) == 0);
	expect(rmap_reserve_create(shared->map, &reserve) == 0);
	expect(rmap_reserve_map(reserve) == shared->map);
	shared->empty_reserve = reserve;
	expect(rmap_object_create(shared->map, &object) == 0);
	shared->empty_object = object;
	rmap_object_truncate_advance(object);
	expect(rmap_object_truncate_seq(object) == 1);
	rmap_cursor_init(&cursor, shared->map, &target);
	expect(rmap_tier_heap(&tier) == 0);
	rmap_tier_fini(&tier);
	if (rmap_tier_node(&tier, 0) == 0)
		rmap_tier_fini(&tier);
	if (rmap_tier_huge(&tier) == 0)
		rmap_tier_fini(&tier);
}

/* By a registered reader; the map, by anyone. */
static void end_what_was_made(struct shared *shared)
{
	expect(rmap_destroy(shared->second) == 0);
	rmap_object_destroy(shared->empty_object);
	rmap_reserve_destroy(shared->empty_reserve);
}

static void *drain_meanwhile(void *arg)
{
	struct party *party = arg;
	struct shared *shared = party->shared;

	rmap_thread_register(shared->map);
	expect(rmap_reserve_create(shared->map, &party->reserve) == 0);
	add_mappings(party, 10);
	drop_mappings(party);
	meet(shared);
	rmap_reserve_drain(party->reserve); /* which the other's section holds up */
	rmap_reserve_destroy(party->reserve);
	rmap_thread_unregister(shared->map);
	return NULL;
}

static void *call_inside_a_section(void *arg)
{
	struct party *party = arg;
	struct shared *shared = party->shared;

	rmap_thread_register(shared->map);
	meet(shared);
	rmap_read_lock(shared->map);
	call_anywhere(shared);
	rmap_read_unlock(shared->map);
	end_what_was_made(shared);
	rmap_thread_unregister(shared->map);
	return NULL;
}

static void *registered_and_not(void *arg)
{
	struct party *party = arg;
	struct shared *shared = party->shared;

	call_anywhere(shared);
	expect(rmap_destroy(shared->second) == 0);
	shared->second = NULL;
	rmap_thread_register(shared->map);
	end_what_was_made(shared);
	call_anywhere(shared);
	end_what_was_made(shared);
	rmap_thread_unregister(shared->map);
	return NULL;
}

static void *either_role(void *arg)
{
	struct party *party = arg;

	return party->me == 0 ? drain_meanwhile(party) : call_inside_a_section(party);
}

static void call_in_all_contexts(const struct flavor *flavor, enum rmap_reclaim reclaim)
{
	struct party parties[2];
	struct shared shared;

	shared_init(&shared, flavor, reclaim, false);
	watch(&shared, "functions to be called anywhere", "drain");
	for (unsigned i = 0; i < 2; i++)
		parties[i] = (struct party){ .shared = &shared, .me = i };
	run_threads(either_role, parties, sizeof(parties[0]), 2);
	run_threads(registered_and_not, parties, sizeof(parties[0]), 1);
	shared_fini(&shared);
}

static void contexts_are_as_said(void **state)
{
	(void)state;
	in_each_flavor(call_in_all_contexts);
}

/* Calls in the wrong place, which checked builds notice. Each is made in a process of its own, which it ends. */
static void call_fill(struct party *party)
{
	rmap_reserve_fill(party->reserve, 1);
}

static void call_drain(struct party *party)
{
	rmap_reserve_drain(party->reserve);
}

static void call_reserve_destroy(struct party *party)
{
	rmap_reserve_destroy(party->reserve);
}

static void call_object_destroy(struct party *party)
{
	rmap_object_destroy(party->object);
}

static void call_attach(struct party *party)
{
	struct rmap_range range = range_of(party, 0);

	rmap_object_attach(party->object, &range);
}

static void call_detach(struct party *party)
{
	struct rmap_range range = range_of(party, 0);

	rmap_object_detach(party->object, &range);
}

static void call_replace(struct party *party)
{
	struct rmap_range range = range_of(party, 0);

	rmap_object_replace(party->object, &range, &range, 1);
}

static void call_unmap(struct party *party)
{
	struct rmap_target target = { &party->page, party->object, 0, 0 };

	rmap_unmap(party->shared->map, &callbacks, party, &target, 0, RMAP_FAILABLE, NULL);
}

static void call_truncate(struct party *party)
{
	struct rmap_truncation truncation = { .size = sizeof(truncation), .object = party->object };

	rmap_truncate(party->shared->map, &callbacks, party, &truncation, NULL);
}

static void call_destroy(struct party *party)
{
	rmap_destroy(party->shared->map);
}

static void call_add(struct party *party)
{
	rmap_page_add(party->reserve, &party->page, rmap_linear());
}

static void call_counts(struct party *party)
{
	rmap_page_counts(party->shared->map, &party->page);
}

static int visit_nothing(void *arg, const struct rmap_visit *visit)
{
	(void)arg;
	(void)visit;
	return 0;
}

static void call_walk(struct party *party)
{
	struct rmap_target target = { &party->page, party->object, 0, 0 };

	rmap_walk(party->shared->map, &target, visit_nothing, NULL, NULL);
}

static void call_ranges(struct party *party)
{
	rmap_object_ranges(party->object);
}

static void call_object_check(struct party *party)
{
	rmap_object_check(party->object);
}

static const struct {
	const char *name;
	void (*call)(struct party *party);
	bool inside; /* where it belongs */
} placed[] = {
	{ "fill", call_fill, false },
	{ "drain", call_drain, false },
	{ "reserve_destroy", call_reserve_destroy, false },
	{ "object_destroy", call_object_destroy, false },
	{ "attach", call_attach, false },
	{ "detach", call_detach, false },
	{ "replace", call_replace, false },
	{ "unmap", call_unmap, false },
	{ "truncate", call_truncate, false },
	{ "destroy", call_destroy, false },
	{ "add", call_add, true },
	{ "counts", call_counts, true },
	{ "walk", call_walk, true },
	{ "ranges", call_ranges, true },
	{ "object_check", call_object_check, true },
};

struct misplaced {
	struct party *party;
	size_t which;
};

static void call_in_the_wrong_place(void *arg)
{
	const struct misplaced *misplaced = arg;
	struct party *party = misplaced->party;

	rmap_thread_register(party->shared->map);
	if (placed[misplaced->which].inside)
		flavor_offline(party->shared->flavor); /* out of qsbr's section */
	else
		rmap_read_lock(party->shared->map);
	placed[misplaced->which].call(party);
}

static void call_all_in_the_wrong_place(const struct flavor *flavor, enum rmap_reclaim reclaim)
{
	struct shared shared;
	struct party party = { .shared = &shared };

	shared_init(&shared, flavor, reclaim, false);
	expect(rmap_reserve_create(shared.map, &party.reserve) == 0);
	expect(rmap_object_create(shared.map, &party.object) == 0);
	for (size_t i = 0; i < LENGTH(placed); i++) {
		struct misplaced misplaced = { &party, i };

		if (flavor->implicit_sections && !placed[i].inside)
			continue; /* a reader that is online is in no section that could be told */
		if (!aborted(in_child(call_in_the_wrong_place, &misplaced))) {
			fprintf(stderr, "%s: nobody notices a misplaced %s\n", flavor->name, placed[i].name);
			exit(1);
		}
	}
}

static void checked_builds_see_misplaced_calls(void **state)
{
	(void)state;
	if (!CHECKED)
		test_not_run("build", "without checks nobody looks for this");
	in_each_flavor(call_all_in_the_wrong_place);
}

/* A thread that is a reader in one map is one in all maps of the flavor, and may outlive the map it registered with. */
static void use_two_maps(const struct flavor *flavor, enum rmap_reclaim reclaim)
{
	struct party party = { .me = 0 };
	struct shared shared[2];

	for (unsigned i = 0; i < 2; i++)
		shared_init(&shared[i], flavor, reclaim, false);
	watch(&shared[1], "two maps", "none");
	rmap_thread_register(shared[0].map);
	for (unsigned i = 0; i < 2; i++) {
		party.shared = &shared[i];
		expect(rmap_reserve_create(shared[i].map, &party.reserve) == 0);
		drain(&party);
		rmap_reserve_destroy(party.reserve);
	}
	shared_fini(&shared[0]);
	rmap_thread_unregister(shared[1].map);
	shared_fini(&shared[1]);
}

static void a_registration_is_with_the_flavor(void **state)
{
	(void)state;
	in_each_flavor(use_two_maps);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(waiting_functions_come_back),       cmocka_unit_test(slabs_may_be_waited_for),
		cmocka_unit_test(an_unmap_lets_grace_periods_end),   cmocka_unit_test(contexts_are_as_said),
		cmocka_unit_test(checked_builds_see_misplaced_calls),
		cmocka_unit_test(a_registration_is_with_the_flavor),
	};

	return cmocka_run_group_tests_name("waits", tests, NULL, NULL);
}
