/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * embedding.c - what happens in a process that embeds the library: memory runs out while threads work, a thread ends
 * with all it has
 */
#include "support.h"

#include <errno.h>

/* Memory that runs out under load (G9) ------------------------------------------------------ */

#define ROUNDS 2000u
#define ADDS_MAX 50u
#define FAIL_EVERY 64u /* rounds of a thread, of which half find the tier without memory */

/* Adds that took place; each thread's own until all have ended. */
struct load {
	struct fixture *fixture;
	struct rmap_page *page;
	unsigned number;
	unsigned refused;
	unsigned kept;
};

/* A page of the thread's own, which needs a block for its second element. */
static void use_a_block(struct fixture *fixture, struct rmap_reserve *reserve, struct rmap_page *page)
{
	for (unsigned i = 0; i < 2; i++)
		expect(rmap_page_add(reserve, page, mapping_of(RMAP_CHAINED, i)) >= 0);
	expect(rmap_page_mapcount(fixture->map, page) == 2);
}

/* One round: the fill may fail, and says so; after one that did not, as many adds must not (G1). */
static void work_round(struct load *load, struct rmap_reserve *reserve, unsigned round)
{
	struct fixture *fixture = load->fixture;
	struct rmap_page own[ADDS_MAX] = { { 0 } };
	unsigned adds = 1 + round % ADDS_MAX;
	uint64_t first = (round * ADDS_MAX) * WORKERS + load->number;
	int rc;

	probe_fail_all(&fixture->chains, round % FAIL_EVERY < FAIL_EVERY / 2);
	rc = rmap_reserve_fill(reserve, 2 * adds);
	expect(rc == 0 || rc == -ENOMEM);
	load->refused += rc != 0;
	if (rc)
		return;
	rmap_read_lock(fixture->map);
	for (unsigned i = 0; i < adds; i++) {
		expect(rmap_page_add(reserve, load->page, mapping_of(RMAP_CHAINED, first + i * WORKERS)) >= 0);
		use_a_block(fixture, reserve, &own[i]);
	}
	for (unsigned i = 0; i < adds; i++)
		expect(rmap_page_drop(reserve, &own[i]) == 2);
	for (unsigned i = 1; i < adds; i++)
		expect(rmap_page_remove(reserve, load->page, mapping_of(RMAP_CHAINED, first + i * WORKERS)) >= 0);
	load->kept++;
	rmap_read_unlock(fixture->map);
}

static void *work_while_memory_fails(void *arg)
{
	struct load *load = arg;
	struct rmap_reserve *reserve;

	rmap_thread_register(load->fixture->map);
	expect(rmap_reserve_create(load->fixture->map, &reserve) == 0);
	for (unsigned round = 1; round <= ROUNDS; round++)
		work_round(load, reserve, round);
	rmap_reserve_destroy(reserve);
	rmap_thread_unregister(load->fixture->map);
	return NULL;
}

static void g9_memory_runs_out_under_load(void **state)
{
	struct load loads[WORKERS];
	struct rmap_page page = { 0 };
	struct fixture fixture;
	unsigned refused = 0;
	unsigned kept = 0;

	(void)state;
	for (unsigned reclaim = RMAP_RECLAIM_CALLBACK; reclaim <= RMAP_RECLAIM_BLOCKING; reclaim++) {
		fixture_init(&fixture, 0, (enum rmap_reclaim)reclaim, 0);
		for (unsigned i = 0; i < WORKERS; i++)
			loads[i] = (struct load){ &fixture, &page, i, 0, 0 };
		run_threads(work_while_memory_fails, loads, sizeof(loads[0]), WORKERS);
		probe_fail_all(&fixture.chains, false);
		for (unsigned i = 0; i < WORKERS; i++) {
			refused += loads[i].refused;
			kept += loads[i].kept;
		}
		fixture_shape(&fixture, &page);
		assert_int_equal(fixture_drop(&fixture, &page), kept);
		kept = 0;
		fixture_fini(&fixture);
	}
	assert_true(refused > 0);
}

/* A thread that ends with all it has -------------------------------------------------------- */

struct estate {
	struct fixture *fixture;
	struct rmap_reserve *reserve;
};

/* Ends with blocks in hand and others retired, and tells nobody. */
static void *end_with_a_reserve(void *arg)
{
	struct estate *estate = arg;
	struct rmap_page page = { 0 };

	rmap_thread_register(estate->fixture->map);
	expect(rmap_reserve_create(estate->fixture->map, &estate->reserve) == 0);
	expect(rmap_reserve_fill(estate->reserve, 100) == 0);
	rmap_read_lock(estate->fixture->map);
	for (unsigned i = 0; i < 2; i++)
		expect(rmap_page_add(estate->reserve, &page, mapping_of(RMAP_CHAINED, i)) >= 0);
	for (unsigned i = 0; i < 2; i++)
		expect(rmap_page_remove(estate->reserve, &page, mapping_of(RMAP_CHAINED, i)) >= 0);
	rmap_read_unlock(estate->fixture->map);
	rmap_thread_unregister(estate->fixture->map);
	return NULL;
}

static void a_thread_ends_with_a_reserve(void **state)
{
	struct fixture fixture;
	struct estate estate = { &fixture, NULL };

	(void)state;
	for (unsigned reclaim = RMAP_RECLAIM_CALLBACK; reclaim <= RMAP_RECLAIM_BLOCKING; reclaim++) {
		fixture_init(&fixture, 0, (enum rmap_reclaim)reclaim, 0);
		run_threads(end_with_a_reserve, &estate, sizeof(estate), 1);
		assert_true(fixture_stats(&fixture).reserve_bytes > 0);
		assert_true(fixture_stats(&fixture).waiting_bytes > 0);
		rmap_reserve_destroy(estate.reserve); /* by whoever inherits it */
		fixture_fini(&fixture);               /* expects that all memory is back */
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(g9_memory_runs_out_under_load),
		cmocka_unit_test(a_thread_ends_with_a_reserve),
	};

	return cmocka_run_group_tests_name("embedding", tests, NULL, NULL);
}
