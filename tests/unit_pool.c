/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * unit_pool.c - pool.h: tiers, what a reserve promises, what waits for grace periods
 *
 * A tier that this machine does not offer must say -ENOTSUP, and then its test is skipped; one that is offered must
 * hold a chain of 10^5 mappings and get all of its memory back.
 */
#include "support.h"

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <urcu/urcu-memb.h>

#include <rmap/urcu.h>

RMAP_URCU(memb)

/* A chain of 10^5 in memory of @tier, which is to be ended afterwards. */
static void lives_in(struct rmap_tier *tier, enum rmap_reclaim reclaim)
{
	struct rmap_options options = RMAP_OPTIONS_DEFAULT;
	struct rmap_statistics stats = { .size = sizeof(stats) };
	const uint64_t n = LONE(100000);
	struct rmap_reserve *reserve;
	struct rmap_page page = { 0 };
	struct rmap *map;

	options.tier = tier;
	options.reclaim = reclaim;
	assert_int_equal(rmap_create(&options, &map), 0);
	reader_register(map);
	assert_int_equal(rmap_reserve_create(map, &reserve), 0);
	for (uint64_t i = 0; i < n; i++) {
		assert_int_equal(rmap_reserve_fill(reserve, 1), 0);
		rmap_read_lock(map);
		assert_int_equal(rmap_page_add(reserve, &page, rmap_chained((i + 1) << 3)), i ? 0 : RMAP_FIRST);
		rmap_read_unlock(map);
	}
	rmap_read_lock(map);
	assert_int_equal(rmap_page_check(map, &page, NULL), 0);
	rmap_read_unlock(map);
	assert_int_equal(rmap_stats(map, &stats), 0);
	assert_true(stats.tier_bytes >= stats.chain_bytes);
	for (uint64_t i = 0; i < n; i++) {
		rmap_read_lock(map);
		assert_int_equal(rmap_page_remove(reserve, &page, rmap_chained((i + 1) << 3)),
				 i < n - 1 ? 0 : RMAP_LAST);
		rmap_read_unlock(map);
		if (i % 256 == 0)
			assert_int_equal(rmap_reserve_fill(reserve, 1), 0);
	}
	rmap_reserve_drain(reserve);
	assert_int_equal(rmap_stats(map, &stats), 0);
	assert_int_equal(stats.chain_bytes, 0);
	assert_int_equal(stats.waiting_bytes, 0);
	rmap_reserve_destroy(reserve);
	reader_unregister(map);
	assert_int_equal(rmap_destroy(map), 0);
	rmap_tier_fini(tier);
}

static void skip_unless(int rc, const char *reason)
{
	if (rc == -ENOTSUP)
		test_not_run("kernel", reason);
	assert_int_equal(rc, 0);
}

static void tier_heap(void **state)
{
	struct rmap_tier tier;

	(void)state;
	assert_int_equal(rmap_tier_heap(&tier), 0);
	lives_in(&tier, RMAP_RECLAIM_CALLBACK);
	assert_int_equal(rmap_tier_heap(&tier), 0);
	lives_in(&tier, RMAP_RECLAIM_BLOCKING);
}

static void tier_huge(void **state)
{
	struct rmap_tier tier;

	(void)state;
	skip_unless(rmap_tier_huge(&tier), "it offers no huge pages");
	lives_in(&tier, RMAP_RECLAIM_CALLBACK);
}

static void tier_node_0(void **state)
{
	struct rmap_tier tier;

	(void)state;
	skip_unless(rmap_tier_node(&tier, 0), "it has no memory policies");
	lives_in(&tier, RMAP_RECLAIM_CALLBACK);
	assert_int_equal(rmap_tier_node(&tier, 1u << 20), -EINVAL);
}

static void tier_file(void **state)
{
	struct rmap_tier tier;
	int fd = memfd_create("chains", 0);

	(void)state;
	assert_true(fd >= 0);
	skip_unless(rmap_tier_file(&tier, fd), "it maps no files");
	lives_in(&tier, RMAP_RECLAIM_CALLBACK);
	assert_int_equal(lseek(fd, 0, SEEK_END), 0); /* all of it has been given back: unit_tier.c sees it there */
	close(fd);
}

static void tier_file_of_no_use(void **state)
{
	struct rmap_tier tier;
	int ends[2];

	(void)state;
	assert_int_equal(rmap_tier_file(&tier, -1), -EINVAL);
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(rmap_tier_file(&tier, ends[0]), -EINVAL);
	close(ends[0]);
	close(ends[1]);
}

/* A tier's own terms: slabs are of its granule. */
struct terms {
	struct probe probe;
	size_t granule;
	bool broken;
};

static void *terms_alloc(void *arg, size_t bytes, size_t align)
{
	struct terms *terms = arg;

	terms->broken |= bytes % 64 != 0;
	terms->broken |= bytes != terms->granule && bytes < terms->granule / 2 - 64;
	return terms->probe.tier.alloc(&terms->probe, bytes, align);
}

static void terms_free(void *arg, void *memory, size_t bytes)
{
	struct terms *terms = arg;

	terms->probe.tier.free(&terms->probe, memory, bytes);
}

static void a_granule_is_kept_to(void **state)
{
	static const size_t granules[] = { 1024, 1088, 4096, 65536, 2 << 20 };
	struct terms terms;

	(void)state;
	for (unsigned i = 0; i < LENGTH(granules); i++) {
		struct rmap_tier tier = { terms_alloc, terms_free, &terms, granules[i] };
		struct rmap_options options = RMAP_OPTIONS_DEFAULT;
		struct rmap_reserve *reserve;
		struct rmap_page page = { 0 };
		struct rmap *map;

		probe_init(&terms.probe);
		terms.granule = granules[i];
		terms.broken = false;
		options.tier = &tier;
		assert_int_equal(rmap_create(&options, &map), 0);
		reader_register(map);
		assert_int_equal(rmap_reserve_create(map, &reserve), 0);
		for (uint64_t h = 1; h <= LONE(20000); h++) {
			assert_int_equal(rmap_reserve_fill(reserve, 1), 0);
			rmap_read_lock(map);
			assert_true(rmap_page_add(reserve, &page, rmap_chained(h << 3)) >= 0);
			rmap_read_unlock(map);
		}
		rmap_read_lock(map);
		assert_int_equal(rmap_page_drop(reserve, &page), LONE(20000));
		rmap_read_unlock(map);
		rmap_reserve_destroy(reserve);
		reader_unregister(map);
		assert_int_equal(rmap_destroy(map), 0);
		assert_false(terms.broken);
		probe_fini(&terms.probe);
	}
}

/* Links have their form in bits 48 to 55: memory that has such an address is of no use, and goes back unread. */
#define TOO_HIGH ((uintptr_t)1 << 52 | 1 << 20)

struct high_tier {
	struct probe probe;
	bool high;
	unsigned given, back;
};

static void *high_alloc(void *arg, size_t bytes, size_t align)
{
	struct high_tier *tier = arg;

	tier->given += tier->high;
	/* The second time only its end is too high. */
	return !tier->high	? tier->probe.tier.alloc(&tier->probe, bytes, align)
	       : tier->given == 1 ? (void *)TOO_HIGH
				  : (void *)(((uintptr_t)1 << 48) - align);
}

static void high_free(void *arg, void *memory, size_t bytes)
{
	struct high_tier *tier = arg;

	if ((uintptr_t)memory == TOO_HIGH || (uintptr_t)memory + bytes > (uintptr_t)1 << 48)
		tier->back++;
	else
		tier->probe.tier.free(&tier->probe, memory, bytes);
}

static void memory_where_links_have_their_form(void **state)
{
	struct high_tier high = { 0 };
	struct rmap_tier tier = { high_alloc, high_free, &high, 4096 };
	struct rmap_options options = RMAP_OPTIONS_DEFAULT;
	struct rmap_reserve *reserve;
	struct rmap *map;

	(void)state;
	probe_init(&high.probe);
	options.tier = &tier;
	assert_int_equal(rmap_create(&options, &map), 0);
	reader_register(map);
	assert_int_equal(rmap_reserve_create(map, &reserve), 0);
	high.high = true;
	assert_int_equal(rmap_reserve_fill(reserve, 1), -ENOMEM);
	assert_true(high.given >= 2);
	assert_int_equal(high.back, high.given);
	high.high = false;
	assert_int_equal(rmap_reserve_fill(reserve, 1), 0);
	rmap_reserve_destroy(reserve);
	reader_unregister(map);
	assert_int_equal(rmap_destroy(map), 0);
	probe_fini(&high.probe);
}

/* Fills where the depot has lines and blocks enough, so that all that is carved are leaves of long chains. */
static void g8_little_of_a_slab_is_lost(void **state)
{
	static struct rmap_page pages[60];
	struct probe probe;
	struct rmap_tier tier;
	struct rmap_options options = RMAP_OPTIONS_DEFAULT;
	struct rmap_statistics after = { .size = sizeof(after) };
	struct fixture fixture = { 0 };
	struct rmap_reserve *other;

	(void)state;
	probe_init(&probe);
	tier = probe.tier;
	tier.granule = 1024;
	options.hash_seed = 1; /* as a fixture's */
	options.tier = &tier;
	assert_int_equal(rmap_create(&options, &fixture.map), 0);
	reader_register(fixture.map);
	assert_int_equal(rmap_reserve_create(fixture.map, &fixture.reserve), 0);
	assert_int_equal(rmap_reserve_create(fixture.map, &other), 0);
	assert_int_equal(rmap_reserve_fill(other, RMAP_RESERVE_ADDS_MAX), 0);
	rmap_reserve_destroy(other);
	assert_int_equal(rmap_check(fixture.map), 0); /* waits until all of that is in the depot */
	for (unsigned i = 0; i < 120; i++)
		for (unsigned p = 0; p < LENGTH(pages); p++)
			assert_true(fixture_add(&fixture, &pages[p], mapping_of(RMAP_CHAINED, i)) >= 0);
	assert_int_equal(rmap_stats(fixture.map, &after), 0);
	assert_true(after.tier_bytes > 30 * tier.granule); /* sweeps have given some of what was there back */
	/*
	 * Of a slab its head's line, and one until the next multiple of two; of the newest one all that is not carved
	 * yet.
	 */
	assert_in_range(after.rest_bytes, 0, tier.granule + 128 * (after.tier_bytes / tier.granule));
	for (unsigned p = 0; p < LENGTH(pages); p++)
		assert_int_equal(fixture_drop(&fixture, &pages[p]), 120);
	rmap_reserve_destroy(fixture.reserve);
	reader_unregister(fixture.map);
	assert_int_equal(rmap_destroy(fixture.map), 0);
	probe_fini(&probe);
}

static void g8_churn(struct fixture *fixture, struct rmap_page *pages, unsigned n, unsigned length)
{
	for (unsigned p = 0; p < n; p++) {
		for (unsigned i = 0; i < length; i++)
			assert_true(fixture_add(fixture, &pages[p], mapping_of(RMAP_CHAINED, i)) >= 0);
	}
	for (unsigned p = 0; p < n; p++) {
		for (unsigned i = 0; i < length; i++)
			assert_true(fixture_remove(fixture, &pages[p], mapping_of(RMAP_CHAINED, i)) >= 0);
	}
}

static void g8_memory_is_bounded(void **state)
{
	const size_t waiting_max = 64 << 10;
	struct rmap_page pages[8];
	struct rmap_statistics stats;
	struct fixture fixture;
	size_t early;

	(void)state;
	for (unsigned reclaim = RMAP_RECLAIM_CALLBACK; reclaim <= RMAP_RECLAIM_BLOCKING; reclaim++) {
		memset(pages, 0, sizeof(pages));
		fixture_init(&fixture, 0, (enum rmap_reclaim)reclaim, waiting_max);
		for (unsigned round = 0; round < 20; round++)
			g8_churn(&fixture, pages, 8, 60);
		early = fixture.chains.peak_bytes;
		for (unsigned round = 0; round < 200; round++)
			g8_churn(&fixture, pages, 8, 60);
		stats = fixture_stats(&fixture);
		/*
		 * One churn of 8 x 60 mappings fits many times into the cap, so what went over it did so by one hand-
		 * over.
		 */
		assert_in_range(stats.waiting_peak, 1, 2 * waiting_max);
		assert_in_range(fixture.chains.peak_bytes, early, early + 4 * waiting_max);
		rmap_reserve_drain(fixture.reserve);
		assert_int_equal(fixture_stats(&fixture).waiting_bytes, 0);
		assert_int_equal(fixture_stats(&fixture).chain_bytes, 0);
		fixture_fini(&fixture);
	}
}

static void g9_fill_keeps_what_was_in_hand(void **state)
{
	struct rmap_page pages[32];
	struct fixture fixture;

	(void)state;
	memset(pages, 0, sizeof(pages));
	fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	for (unsigned i = 0; i < LENGTH(pages); i++)
		assert_int_equal(fixture_add(&fixture, &pages[i], mapping_of(RMAP_CHAINED, 0)), RMAP_FIRST);
	fixture_fill(&fixture, LENGTH(pages));
	probe_fail_all(&fixture.chains, true);
	assert_int_equal(rmap_reserve_fill(fixture.reserve, 4096), -ENOMEM);
	assert_int_equal(rmap_reserve_fill(fixture.reserve, 4097), -EINVAL);
	rmap_read_lock(fixture.map);
	for (unsigned i = 0; i < LENGTH(pages); i++)
		assert_int_equal(rmap_page_add(fixture.reserve, &pages[i], mapping_of(RMAP_CHAINED, 1)), 0);
	rmap_read_unlock(fixture.map);
	probe_fail_all(&fixture.chains, false);
	for (unsigned i = 0; i < LENGTH(pages); i++)
		assert_int_equal(fixture_drop(&fixture, &pages[i]), 2);
	fixture_fini(&fixture);
}

/* Whatever the chain, a fill for 32 adds has no more in hand than this. */
static void g8_in_hand_for_32_adds(void **state)
{
	static const unsigned fills[] = { 1, 32 };
	static const uint64_t most[] = { 3200, 16384 };
	struct rmap_page page = { 0 };
	struct fixture fixture;
	uint64_t peak = 0;

	(void)state;
	fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	fixture_fill(&fixture, fills[0]);
	assert_in_range(fixture_stats(&fixture).reserve_bytes, 1, most[0]);
	for (uint64_t i = 0; i < 20000; i++) {
		uint64_t held;

		if (i % fills[1] == 0) {
			fixture_fill(&fixture, fills[1]);
			held = fixture_stats(&fixture).reserve_bytes;
			peak = held > peak ? held : peak;
		}
		rmap_read_lock(fixture.map);
		assert_true(rmap_page_add(fixture.reserve, &page, mapping_of(RMAP_CHAINED, i)) >= 0);
		rmap_read_unlock(fixture.map);
	}
	print_message("# in hand after a fill of 32: %llu bytes at most\n", (unsigned long long)peak);
	assert_in_range(peak, 32 * 96, most[1]);
	assert_true(fixture_drop_by(&fixture, fixture.reserve, &page) > 0);
	fixture_fini(&fixture);
}

/* What fills asked for is had no longer than 512 fills that ask for less: 96 bytes for each add of those and 10 KiB. */
static void g8_in_hand_after_512_smaller_fills(void **state)
{
	static const unsigned adds[] = { 4096, 2000, 500, 1 };
	struct fixture fixture;

	(void)state;
	fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	for (unsigned i = 0; i < LENGTH(adds); i++) {
		for (unsigned fills = 0; fills < 512; fills++)
			fixture_fill(&fixture, adds[i]);
		assert_in_range(fixture_stats(&fixture).reserve_bytes, adds[i] * 96, adds[i] * 96 + (10 << 10));
	}
	fixture_fini(&fixture);
}

/*
 * One fill serves as many adds as there may be, also if nothing is freed meanwhile: what rebuilds take is what adds
 * leave, so pages in turns do without it at times, and not for long. Each piece that a chain has beyond two for each
 * hundred elements and a few is a line of overflow.
 */
static void adds_of_a_large_fill(unsigned pages, unsigned before)
{
	static struct rmap_page page[32];
	struct fixture fixture;
	struct rmap_shape shape;

	memset(page, 0, sizeof(page));
	fixture_init(&fixture, 0, RMAP_RECLAIM_BLOCKING, 0);
	for (unsigned i = 0; i < before; i++)
		for (unsigned p = 0; p < pages; p++)
			assert_true(fixture_add(&fixture, &page[p], mapping_of(RMAP_CHAINED, i)) >= 0);
	fixture_fill(&fixture, RMAP_RESERVE_ADDS_MAX);
	for (unsigned i = 0; i < RMAP_RESERVE_ADDS_MAX; i++) {
		unsigned p = i % pages;
		unsigned n = before + i / pages + 1;

		rmap_read_lock(fixture.map);
		assert_true(rmap_page_add(fixture.reserve, &page[p], mapping_of(RMAP_CHAINED, n - 1)) >= 0);
		rmap_read_unlock(fixture.map);
		if (n % 64)
			continue;
		shape = fixture_shape(&fixture, &page[p]);
		assert_int_equal(shape.elements, n);
		assert_in_range(shape.pieces, 1, 20 + 32 + n / 16);
		assert_in_range(shape.bytes, 1, 16 * n + 256);
	}
	for (unsigned p = 0; p < pages; p++)
		assert_true(fixture_drop_by(&fixture, fixture.reserve, &page[p]) > 0);
	fixture_fini(&fixture);
}

static void a_large_fill_starves_no_rebuild(void **state)
{
	(void)state;
	adds_of_a_large_fill(1, 0);
	adds_of_a_large_fill(1, 3000);
	adds_of_a_large_fill(32, 0);
	adds_of_a_large_fill(32, 300);
}

static void fill_limits(void **state)
{
	struct fixture fixture;

	(void)state;
	fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	assert_int_equal(rmap_reserve_fill(fixture.reserve, 0), 0);
	assert_int_equal(rmap_reserve_fill(fixture.reserve, 4096), 0);
	assert_int_equal(rmap_reserve_fill(fixture.reserve, 4097), -EINVAL);
	assert_int_equal(rmap_reserve_fill(fixture.reserve, ~0u), -EINVAL);
	assert_int_equal(rmap_reserve_create(fixture.map, NULL), -EINVAL);
	assert_int_equal(rmap_reserve_create(NULL, &fixture.reserve), -EINVAL);
	assert_ptr_equal(rmap_reserve_map(fixture.reserve), fixture.map);
	fixture_fini(&fixture);
}

/* A fill is a "make sure that", not an "and more": it does not heap up. */
static void filling_again_takes_nothing_more(void **state)
{
	struct fixture fixture;
	uint64_t calls;

	(void)state;
	fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	fixture_fill(&fixture, 100);
	calls = probe_calls(&fixture.chains);
	for (unsigned i = 0; i < 1000; i++)
		fixture_fill(&fixture, 1 + i % 100);
	assert_int_equal(probe_calls(&fixture.chains), calls);
	assert_true(fixture_stats(&fixture).reserve_bytes > 0);
	fixture_fini(&fixture);
}

/* What one thread retires another can be given, and a reserve may be handed from thread to thread. */
static void *use_reserve(void *arg)
{
	struct fixture *fixture = arg;
	struct rmap_page page = { 0 };

	reader_register(fixture->map);
	for (unsigned i = 0; i < 2000; i++) {
		expect(fixture_add(fixture, &page, mapping_of(RMAP_CHAINED, i % 20)) >= 0);
		if (i % 20 == 19)
			expect(fixture_drop(fixture, &page) == 20);
	}
	reader_unregister(fixture->map);
	return NULL;
}

static void a_reserve_passes_from_thread_to_thread(void **state)
{
	struct fixture fixture;

	(void)state;
	for (unsigned reclaim = RMAP_RECLAIM_CALLBACK; reclaim <= RMAP_RECLAIM_BLOCKING; reclaim++) {
		fixture_init(&fixture, 0, (enum rmap_reclaim)reclaim, 1 << 16);
		for (unsigned i = 0; i < 3; i++)
			run_threads(use_reserve, &fixture, sizeof(fixture), 1);
		fixture_fini(&fixture);
	}
}

/*
 * A section that lasts makes memory wait, and at the cap a fill holds its caller back until the section ends. That a
 * fill has begun to wait is learnt from the RCU: it is liburcu's with two calls that first say that they were made.
 */
static atomic_bool waits;

static void synchronize_and_say(void)
{
	waits = true;
	urcu_memb_synchronize_rcu();
}

static void barrier_and_say(void)
{
	waits = true;
	urcu_memb_barrier();
}

struct holder {
	struct rmap *map;
	pthread_barrier_t barrier;
	atomic_bool over;
};

static void *hold_section(void *arg)
{
	struct holder *holder = arg;

	reader_register(holder->map);
	rmap_read_lock(holder->map);
	pthread_barrier_wait(&holder->barrier);
	while (!waits && !holder->over)
		sched_yield();
	rmap_read_unlock(holder->map);
	reader_unregister(holder->map);
	return NULL;
}

/* A fixture beside whose threads another is in a section, until somebody waits or let_go() is called. */
struct holding {
	struct fixture fixture;
	struct rmap_rcu_ops rcu;
	struct holder holder;
	pthread_t thread;
};

static void hold_section_in(struct holding *holding, enum rmap_reclaim reclaim, size_t waiting_max)
{
	struct rmap_options options = RMAP_OPTIONS_DEFAULT;

	holding->rcu = rmap_urcu_memb;
	holding->rcu.synchronize = synchronize_and_say;
	holding->rcu.barrier = barrier_and_say;
	options.rcu = &holding->rcu;
	options.reclaim = reclaim;
	options.waiting_max = waiting_max;
	fixture_init_with(&holding->fixture, options);
	holding->holder.map = holding->fixture.map;
	holding->holder.over = false;
	waits = false;
	assert_int_equal(pthread_barrier_init(&holding->holder.barrier, NULL, 2), 0);
	assert_int_equal(pthread_create(&holding->thread, NULL, hold_section, &holding->holder), 0);
	pthread_barrier_wait(&holding->holder.barrier);
}

static void let_go(struct holding *holding)
{
	holding->holder.over = true;
	assert_int_equal(pthread_join(holding->thread, NULL), 0);
	pthread_barrier_destroy(&holding->holder.barrier);
}

static void hold_back_in(enum rmap_reclaim reclaim)
{
	const size_t waiting_max = 32 << 10;
	struct rmap_page page = { 0 };
	struct holding holding;

	hold_section_in(&holding, reclaim, waiting_max);
	/*
	 * Chains made and emptied under the section, many times the cap; without the cap this would end under the
	 * section.
	 */
	for (unsigned i = 0; i < 20000; i++) {
		assert_true(fixture_add(&holding.fixture, &page, mapping_of(RMAP_CHAINED, i % 8)) >= 0);
		if (i % 8 == 7)
			assert_int_equal(fixture_drop(&holding.fixture, &page), 8);
	}
	assert_true(waits);
	let_go(&holding);
	assert_true(fixture_stats(&holding.fixture).fills_held_back > 0);
	assert_in_range(fixture_stats(&holding.fixture).waiting_peak, waiting_max / 2, 2 * waiting_max);
	fixture_fini(&holding.fixture);
}

static void waiting_memory_holds_fills_back(void **state)
{
	(void)state;
	hold_back_in(RMAP_RECLAIM_CALLBACK);
	hold_back_in(RMAP_RECLAIM_BLOCKING);
}

/*
 * The cap is what fills are held back by: never below it, and at the first fill above it; idle reserves' share counts.
 */
static void the_cap_counts_all_that_waits(enum rmap_reclaim reclaim)
{
	struct rmap_page page = { 0 };
	struct rmap_reserve *idle;
	struct holding holding;
	uint64_t waiting;

	hold_section_in(&holding, reclaim, 32 << 10);
	assert_int_equal(rmap_reserve_create(holding.fixture.map, &idle), 0);
	for (unsigned i = 0; i < 40; i++) {
		assert_true(fixture_add_by(&holding.fixture, idle, &page, mapping_of(RMAP_CHAINED, 0)) >= 0);
		assert_true(fixture_add_by(&holding.fixture, idle, &page, mapping_of(RMAP_CHAINED, 1)) >= 0);
		assert_true(fixture_drop_by(&holding.fixture, idle, &page) > 0);
	}
	for (unsigned i = 0; !waits; i++) {
		assert_true(i < 10000);
		for (unsigned k = 0; k < 2; k++) {
			waiting = fixture_stats(&holding.fixture).waiting_bytes;
			/* What one reserve has retired and not told the map is in nobody else's sum. */
			assert_true(fixture_add_by(&holding.fixture, holding.fixture.reserve, &page,
						   mapping_of(RMAP_CHAINED, k)) >= 0);
			if (waits)
				assert_in_range(waiting, (32 << 10) + 1, (33 << 10));
			else
				assert_in_range(waiting, 0, (32 << 10) + 256);
			if (waits)
				break;
		}
		assert_true(fixture_drop_by(&holding.fixture, holding.fixture.reserve, &page) > 0);
	}
	assert_int_equal(fixture_stats(&holding.fixture).fills_held_back, 1);
	let_go(&holding);
	rmap_reserve_destroy(idle);
	fixture_fini(&holding.fixture);
}

static void g8_the_cap_is_exact(void **state)
{
	(void)state;
	the_cap_counts_all_that_waits(RMAP_RECLAIM_CALLBACK);
	the_cap_counts_all_that_waits(RMAP_RECLAIM_BLOCKING);
}

/* Neither waits, allocates, or needs to be outside a section; the depot is all that the second takes from. */
static void flush_and_fill_nowait_in(enum rmap_reclaim reclaim)
{
	struct rmap_page page = { 0 };
	struct holding holding;
	struct rmap_reserve *other;
	uint64_t batches, calls;

	hold_section_in(&holding, reclaim, 0);
	assert_int_equal(rmap_reserve_flush(holding.fixture.reserve), 0); /* nothing to hand over */
	assert_int_equal(rmap_reserve_fill_nowait(holding.fixture.reserve, 1), -EAGAIN);
	assert_int_equal(rmap_reserve_fill_nowait(holding.fixture.reserve, 4097), -EINVAL);
	assert_int_equal(probe_calls(&holding.fixture.chains), 0);
	assert_true(fixture_add_by(&holding.fixture, holding.fixture.reserve, &page, mapping_of(RMAP_CHAINED, 0)) >= 0);
	assert_true(fixture_add_by(&holding.fixture, holding.fixture.reserve, &page, mapping_of(RMAP_CHAINED, 1)) >= 0);
	assert_true(fixture_drop_by(&holding.fixture, holding.fixture.reserve, &page) > 0);
	assert_int_equal(rmap_reserve_fill_nowait(holding.fixture.reserve, 1), 0); /* in hand */
	batches = fixture_stats(&holding.fixture).batches;
	rmap_read_lock(holding.fixture.map);
	assert_int_equal(rmap_reserve_flush(holding.fixture.reserve), 0);
	assert_int_equal(rmap_reserve_flush(holding.fixture.reserve), 0);
	rmap_read_unlock(holding.fixture.map);
	assert_int_equal(fixture_stats(&holding.fixture).batches, batches + 1);
	assert_true(fixture_stats(&holding.fixture).waiting_bytes >= 32);
	assert_false(waits);
	let_go(&holding);
	fixture_account(&holding.fixture);
	assert_int_equal(fixture_stats(&holding.fixture).waiting_bytes, 0);

	/* Now the depot has what another reserve gave back. */
	assert_int_equal(rmap_reserve_create(holding.fixture.map, &other), 0);
	assert_int_equal(rmap_reserve_fill(other, 500), 0);
	rmap_reserve_destroy(other);
	fixture_account(&holding.fixture);
	calls = probe_calls(&holding.fixture.chains);
	waits = false;
	rmap_read_lock(holding.fixture.map);
	assert_int_equal(rmap_reserve_fill_nowait(holding.fixture.reserve, 400), 0);
	for (unsigned i = 0; i < 400; i++)
		assert_true(rmap_page_add(holding.fixture.reserve, &page, mapping_of(RMAP_CHAINED, i)) >= 0);
	assert_int_equal(rmap_reserve_fill_nowait(holding.fixture.reserve, 4096), -EAGAIN);
	rmap_read_unlock(holding.fixture.map);
	assert_int_equal(probe_calls(&holding.fixture.chains), calls);
	assert_false(waits);
	assert_true(fixture_drop_by(&holding.fixture, holding.fixture.reserve, &page) > 0);
	fixture_fini(&holding.fixture);
}

static void flush_and_fill_nowait(void **state)
{
	(void)state;
	flush_and_fill_nowait_in(RMAP_RECLAIM_CALLBACK);
	flush_and_fill_nowait_in(RMAP_RECLAIM_BLOCKING);
}

/*
 * What a fill waits for is also what its own reserve has retired and not handed over: otherwise it would wait in vain.
 */
static void a_fill_held_back_hands_over_its_own(void **state)
{
	struct rmap_page page = { 0 };
	struct fixture fixture;

	(void)state;
	for (unsigned reclaim = RMAP_RECLAIM_CALLBACK; reclaim <= RMAP_RECLAIM_BLOCKING; reclaim++) {
		fixture_init(&fixture, 0, (enum rmap_reclaim)reclaim, 1);
		for (unsigned i = 0; i < 2; i++) /* the second makes a chain */
			assert_true(fixture_add(&fixture, &page, mapping_of(RMAP_CHAINED, i)) >= 0);
		assert_int_equal(fixture_drop(&fixture, &page), 2);
		assert_true(fixture_stats(&fixture).waiting_bytes > 0); /* one block, which is no batch yet */
		fixture_fill(&fixture, 1);
		assert_int_equal(fixture_stats(&fixture).waiting_bytes, 0);
		fixture_fini(&fixture);
	}
}

/* Few pieces are a batch if they are large: a reserve keeps little that it has retired. */
static void large_pieces_are_handed_over_at_once(void **state)
{
	struct rmap_page page = { 0 };
	struct fixture fixture;
	uint64_t batches;

	(void)state;
	fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	for (unsigned i = 0; i < 20000; i++)
		assert_true(fixture_add(&fixture, &page, mapping_of(RMAP_CHAINED, i)) >= 0);
	batches = fixture_stats(&fixture).batches;
	assert_int_equal(fixture_drop(&fixture, &page), 20000);
	assert_true(fixture_stats(&fixture).batches > batches);
	fixture_fini(&fixture);
}

/* And many are one batch if they are small: each costs a line, and work after a grace period. */
static void small_pieces_share_batches(void **state)
{
	struct rmap_page page = { 0 };
	struct fixture fixture;

	(void)state;
	fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	for (unsigned i = 0; i < 200; i++) {
		assert_true(fixture_add(&fixture, &page, mapping_of(RMAP_CHAINED, 0)) >= 0);
		assert_true(fixture_add(&fixture, &page, mapping_of(RMAP_CHAINED, 1)) >= 0);
		assert_int_equal(fixture_drop(&fixture, &page), 2); /* retires one block */
	}
	assert_in_range(fixture_stats(&fixture).batches, 1, 100);
	fixture_fini(&fixture);
}

/* What is in hand waits for a grace period when a reserve ends; one after the other, ends keep to the cap. */
static void ends_are_held_back(void **state)
{
	const size_t waiting_max = 64 << 10;
	struct rmap_reserve *reserves[32];
	struct fixture fixture;
	uint64_t in_hand;

	(void)state;
	fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, waiting_max);
	for (unsigned i = 0; i < 32; i++) {
		assert_int_equal(rmap_reserve_create(fixture.map, &reserves[i]), 0);
		assert_int_equal(rmap_reserve_fill(reserves[i], 300), 0);
	}
	in_hand = fixture_stats(&fixture).reserve_bytes / 32;
	assert_true(in_hand > waiting_max / 4); /* so that together they are far beyond the cap */
	for (unsigned i = 0; i < 32; i++)
		rmap_reserve_destroy(reserves[i]);
	assert_in_range(fixture_stats(&fixture).waiting_peak, 1, waiting_max + 2 * in_hand);
	fixture_fini(&fixture);
}

static void drain_leaves_nothing_waiting(void **state)
{
	struct rmap_page page = { 0 };
	struct fixture fixture;

	(void)state;
	for (unsigned reclaim = RMAP_RECLAIM_CALLBACK; reclaim <= RMAP_RECLAIM_BLOCKING; reclaim++) {
		fixture_init(&fixture, 0, (enum rmap_reclaim)reclaim, 0);
		rmap_reserve_drain(fixture.reserve); /* with nothing to hand over */
		for (unsigned n = 2; n < 3000; n *= 3) {
			for (unsigned i = 0; i < n; i++)
				assert_true(fixture_add(&fixture, &page, mapping_of(RMAP_CHAINED, i)) >= 0);
			assert_int_equal(fixture_drop(&fixture, &page), n);
			rmap_reserve_drain(fixture.reserve);
			assert_int_equal(fixture_stats(&fixture).waiting_bytes, 0);
			assert_int_equal(fixture_stats(&fixture).chain_bytes, 0);
		}
		fixture_fini(&fixture);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tier_heap),
		cmocka_unit_test(tier_huge),
		cmocka_unit_test(tier_node_0),
		cmocka_unit_test(tier_file),
		cmocka_unit_test(tier_file_of_no_use),
		cmocka_unit_test(a_granule_is_kept_to),
		cmocka_unit_test(memory_where_links_have_their_form),
		cmocka_unit_test(g8_little_of_a_slab_is_lost),
		cmocka_unit_test(g8_memory_is_bounded),
		cmocka_unit_test(g9_fill_keeps_what_was_in_hand),
		cmocka_unit_test(fill_limits),
		cmocka_unit_test(g8_in_hand_for_32_adds),
		cmocka_unit_test(g8_in_hand_after_512_smaller_fills),
		cmocka_unit_test(a_large_fill_starves_no_rebuild),
		cmocka_unit_test(filling_again_takes_nothing_more),
		cmocka_unit_test(a_reserve_passes_from_thread_to_thread),
		cmocka_unit_test(waiting_memory_holds_fills_back),
		cmocka_unit_test(g8_the_cap_is_exact),
		cmocka_unit_test(flush_and_fill_nowait),
		cmocka_unit_test(a_fill_held_back_hands_over_its_own),
		cmocka_unit_test(large_pieces_are_handed_over_at_once),
		cmocka_unit_test(small_pieces_share_batches),
		cmocka_unit_test(ends_are_held_back),
		cmocka_unit_test(drain_leaves_nothing_waiting),
	};

	return cmocka_run_group_tests_name("pool", tests, NULL, NULL);
}
