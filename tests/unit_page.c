/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * unit_page.c - page.h, one group of tests per guarantee; each test's name begins with the guarantee's number
 *
 * G3 and G6 show in walks and stand in unit_walk.c; G8 and what G9 says of fills stand in unit_pool.c.
 *
 * The states of a page's word are named by three numbers: how many chained, linear and locked mappings it has. A
 * handful of each covers count, direct, first block with and without link, and a leaf, with linear and locked ones
 * beside.
 */
#include "support.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const unsigned chained_states[] = { 0, 1, 2, 3, 4, 5, 9, 40 };
typedef void (*state_test)(struct subject *subject, unsigned chained);

/* Run @test on a fresh page in each state, in plain, cluster and address maps. */
static void each_state(state_test test)
{
	static const unsigned bits[] = { 0, 4, 9 };
	struct subject subject;
	struct fixture fixture;

	for (unsigned b = 0; b < LENGTH(bits); b++) {
		fixture_init(&fixture, bits[b], RMAP_RECLAIM_CALLBACK, 0);
		for (unsigned c = 0; c < LENGTH(chained_states); c++) {
			for (unsigned beside = 0; beside < 10; beside++) {
				subject_init(&subject, &fixture, chained_states[c], beside % 9 % 3, beside % 9 / 3);
				if (beside == 9)
					subject_add(&subject, mapping_of(RMAP_NAMED, 900));
				test(&subject, chained_states[c]);
				subject_fini(&subject);
			}
		}
		fixture_fini(&fixture);
	}
}

static void g1_one_page(struct fixture *fixture, unsigned adds, unsigned handles)
{
	struct rmap_page page = { 0 };
	uint64_t calls, metadata_calls;

	fixture_fill(fixture, adds);
	probe_fail_all(&fixture->chains, true);
	probe_fail_all(&fixture->metadata, true);
	calls = probe_calls(&fixture->chains);
	metadata_calls = probe_calls(&fixture->metadata);
	rmap_read_lock(fixture->map);
	for (unsigned i = 0; i < adds; i++)
		assert_int_equal(rmap_page_add(fixture->reserve, &page, rmap_chained(handle_of(i % handles))),
				 i ? 0 : RMAP_FIRST);
	assert_int_equal(rmap_page_mapcount(fixture->map, &page), adds);
	rmap_read_unlock(fixture->map);
	assert_int_equal(probe_calls(&fixture->chains), calls);
	assert_int_equal(probe_calls(&fixture->metadata), metadata_calls);
	probe_fail_all(&fixture->chains, false);
	probe_fail_all(&fixture->metadata, false);
	fixture_shape(fixture, &page);
	assert_int_equal(fixture_drop(fixture, &page), adds);
}

/* Every add here makes a chain: the dearest thing an add can need, on as many pages as the fill was for. */
static void g1_many_pages(struct fixture *fixture, unsigned n)
{
	struct rmap_page *pages = calloc(n, sizeof(*pages));
	struct rmap_mapping from, to;
	uint64_t calls;

	assert_non_null(pages);
	for (unsigned i = 0; i < n; i++) {
		fixture_add(fixture, &pages[i], i % 2 ? rmap_linear() : rmap_chained(handle_of(i)));
		fixture_add(fixture, &pages[i], rmap_locked());
		if (i % 2 == 0)
			fixture_remove(fixture, &pages[i], rmap_locked());
	}
	fixture_fill(fixture, n);
	probe_fail_all(&fixture->chains, true);
	calls = probe_calls(&fixture->chains);
	rmap_read_lock(fixture->map);
	for (unsigned i = 0; i < n; i++) {
		from = rmap_linear();
		to = rmap_chained(handle_of(n + i));
		if (i % 2)
			assert_int_equal(rmap_page_move(fixture->reserve, &pages[i], from, to), 0);
		else
			assert_int_equal(rmap_page_add(fixture->reserve, &pages[i], to), 0);
	}
	rmap_read_unlock(fixture->map);
	assert_int_equal(probe_calls(&fixture->chains), calls);
	probe_fail_all(&fixture->chains, false);
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(fixture_drop(fixture, &pages[i]), 2);
	free(pages);
}

static void g1_filled_adds_neither_fail_nor_allocate(void **state)
{
	static const unsigned counts[] = { 1, 2, 3, 4, 8, 30, 300, 4096 };
	struct fixture fixture;

	(void)state;
	for (unsigned bits = 0; bits <= 4; bits += 4) {
		fixture_init(&fixture, bits, RMAP_RECLAIM_CALLBACK, 0);
		for (unsigned i = 0; i < LENGTH(counts); i++) {
			g1_one_page(&fixture, counts[i], counts[i]); /* all different */
			/* All want the same places. In a plain map that is misuse, which checked builds refuse. */
			if (bits || !CHECKED) {
				g1_one_page(&fixture, counts[i], 1);
				g1_one_page(&fixture, counts[i], 2);
			}
			g1_many_pages(&fixture, counts[i]);
		}
		fixture_fini(&fixture);
	}
}

/* The stopped thread of the G2 test: it is stopped by a signal wherever it happens to be inside a page operation. */
struct victim {
	struct fixture *fixture;
	struct rmap_page *page;
	pthread_t thread;
};

static int stopped_pipe[2], resume_pipe[2];
static volatile sig_atomic_t victim_may_end; /* only the victim's own handler sets it */

static void stop_here(int signal)
{
	int saved = errno;
	char byte = 0;

	(void)signal;
	if (write(stopped_pipe[1], &byte, 1) != 1 || read(resume_pipe[0], &byte, 1) != 1)
		abort();
	if (byte == 'e')
		victim_may_end = 1;
	errno = saved;
}

static void *victim_body(void *arg)
{
	struct victim *victim = arg;
	struct rmap *map = victim->fixture->map;
	struct rmap_reserve *reserve;
	sigset_t stop;

	reader_register(map);
	expect(rmap_reserve_create(map, &reserve) == 0);
	sigemptyset(&stop);
	sigaddset(&stop, SIGUSR1);
	while (!victim_may_end) {
		expect(rmap_reserve_fill(reserve, 64) ==
		       0); /* SIGUSR1 is blocked here: a fill may hold malloc's lock */
		pthread_sigmask(SIG_UNBLOCK, &stop, NULL);
		rmap_read_lock(map);
		for (uint64_t i = 0; i < 30; i++)
			expect(rmap_page_add(reserve, victim->page, rmap_chained(handle_of(1000 + i))) >= 0);
		for (uint64_t i = 0; i < 30; i++)
			expect(rmap_page_move(reserve, victim->page, rmap_chained(handle_of(1000 + i)),
					      rmap_chained(handle_of(2000 + i))) >= 0);
		for (uint64_t i = 0; i < 30; i++)
			expect(rmap_page_remove(reserve, victim->page, rmap_chained(handle_of(2000 + i))) >= 0);
		rmap_read_unlock(map);
		pthread_sigmask(SIG_BLOCK, &stop, NULL);
	}
	rmap_reserve_destroy(reserve);
	reader_unregister(map);
	return NULL;
}

static int count_own(void *arg, const struct rmap_visit *visit)
{
	if (visit->handle < handle_of(1000))
		++*(unsigned *)arg;
	return 0;
}

static void work_beside_the_stopped(struct fixture *fixture, struct rmap_page *page, uint64_t n)
{
	const struct rmap_target target = { .page = page };
	uint32_t stopped = fixture_mapcount(fixture, page); /* the victim's share cannot change while it is stopped */
	unsigned own = 0;

	for (uint64_t i = 0; i < n; i++)
		assert_true(fixture_add(fixture, page, rmap_chained(handle_of(i))) >= 0);
	for (uint64_t i = 0; i < n; i += 2)
		assert_int_equal(
			fixture_move(fixture, page, rmap_chained(handle_of(i)), rmap_chained(handle_of(500 + i))), 0);
	assert_int_equal(fixture_mapcount(fixture, page), stopped + n);
	rmap_read_lock(fixture->map);
	assert_int_equal(rmap_walk(fixture->map, &target, count_own, &own, NULL), 0);
	rmap_read_unlock(fixture->map);
	assert_true(own >= n);
	for (uint64_t i = 0; i < n; i++)
		assert_true(fixture_remove(fixture, page, rmap_chained(handle_of(i % 2 ? i : 500 + i))) >= 0);
	assert_int_equal(fixture_mapcount(fixture, page), stopped);
}

static void g2_a_stopped_thread_stops_nobody(void **state)
{
	struct sigaction action = { .sa_handler = stop_here };
	const unsigned rounds = (unsigned)test_scaled(150);
	struct rmap_page page = { 0 };
	struct fixture fixture;
	struct victim victim = { &fixture, &page, 0 };
	sigset_t stop;
	char byte;

	(void)state;
	fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	assert_int_equal(pipe(stopped_pipe), 0);
	assert_int_equal(pipe(resume_pipe), 0);
	assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
	sigemptyset(&stop);
	sigaddset(&stop, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &stop, NULL);
	assert_int_equal(pthread_create(&victim.thread, NULL, victim_body, &victim), 0);
	alarm(120); /* whoever waits for the stopped thread waits for ever, and the alarm ends the program */
	for (unsigned i = 0; i < rounds; i++) {
		assert_int_equal(pthread_kill(victim.thread, SIGUSR1), 0);
		assert_int_equal(read(stopped_pipe[0], &byte, 1), 1);
		work_beside_the_stopped(&fixture, &page, i % 40);
		byte = i + 1 == rounds ? 'e' : 'g';
		assert_int_equal(write(resume_pipe[1], &byte, 1), 1);
	}
	assert_int_equal(pthread_join(victim.thread, NULL), 0);
	alarm(0);
	assert_int_equal(fixture_mapcount(&fixture, &page), 0);
	for (unsigned i = 0; i < 2; i++) {
		close(stopped_pipe[i]);
		close(resume_pipe[i]);
	}
	fixture_fini(&fixture);
}

static void g4_each_operation(struct subject *subject, unsigned chained)
{
	for (unsigned k = 0; k < LENGTH(kinds); k++) {
		subject_add(subject, mapping_of(kinds[k], 100));
		subject_compare(subject);
		subject_remove(subject, mapping_of(kinds[k], 100));
		subject_compare(subject);
	}
	for (unsigned i = 0; i < chained; i++) { /* each place in the chain emptied, and filled again */
		subject_remove(subject, mapping_of(RMAP_CHAINED, i));
		subject_compare(subject);
		subject_add(subject, mapping_of(RMAP_CHAINED, i));
	}
	subject_compare(subject);
}

static void g4_add_and_remove_in_every_state(void **state)
{
	(void)state;
	each_state(g4_each_operation);
}

static void g4_move(struct subject *subject, struct rmap_mapping from, struct rmap_mapping to)
{
	uint64_t mapcount = reference_mapcount(&subject->reference);
	int events = reference_move(&subject->reference, from, to);

	assert_int_equal(fixture_move(subject->fixture, &subject->page, from, to), events);
	assert_int_equal(reference_mapcount(&subject->reference), mapcount);
	subject_compare(subject);
}

/* There and back, for each two kinds; where there is no such mapping the answer is -ENOENT on both sides. */
static void g4_each_move(struct subject *subject, unsigned chained)
{
	for (unsigned f = 0; f < LENGTH(kinds); f++) {
		for (unsigned t = 0; t < LENGTH(kinds); t++) {
			g4_move(subject, mapping_of(kinds[f], 0), mapping_of(kinds[t], 300));
			g4_move(subject, mapping_of(kinds[t], 300), mapping_of(kinds[f], 0));
		}
	}
	if (chained)
		g4_move(subject, mapping_of(RMAP_CHAINED, 0), mapping_of(RMAP_CHAINED, 0)); /* to where it is */
}

static void g4_move_in_every_state(void **state)
{
	(void)state;
	each_state(g4_each_move);
}

static void g4_each_duplicate(struct subject *subject, unsigned chained)
{
	for (unsigned k = 0; k < LENGTH(kinds); k++) {
		/* With multiplicity bits the parent's own key: a number goes up. Without, another pte. */
		struct rmap_mapping child = mapping_of(kinds[k], subject->fixture->bits ? chained / 2 : chained);

		if (!reference_mapcount(&subject->reference)) {
			assert_int_equal(fixture_duplicate(subject->fixture, &subject->page, child), -ENOENT);
			continue;
		}
		assert_int_equal(fixture_duplicate(subject->fixture, &subject->page, child),
				 reference_add(&subject->reference, child));
		subject_compare(subject);
		if (subject->fixture->bits && kinds[k] == RMAP_CHAINED && chained)
			assert_int_equal(fixture_shape(subject->fixture, &subject->page).elements, chained);
	}
}

static void g4_duplicate_in_every_state(void **state)
{
	(void)state;
	each_state(g4_each_duplicate);
}

static void g4_drop_in_state(struct subject *subject, unsigned chained)
{
	(void)chained;
	assert_int_equal(fixture_drop(subject->fixture, &subject->page), reference_mapcount(&subject->reference));
	reference_clear(&subject->reference);
	subject_compare(subject);
	subject_add(subject, mapping_of(RMAP_CHAINED, 1)); /* the page is as new */
	subject_add(subject, mapping_of(RMAP_CHAINED, 2));
}

static void g4_drop_in_every_state(void **state)
{
	(void)state;
	each_state(g4_drop_in_state);
}

/*
 * Worker 0 reads; the others change kinds and addresses. Moves never show in the mapcount: it is the same at every
 * moment.
 */
static void *g4_body(void *arg)
{
	struct worker *worker = arg;
	struct rmap *map = worker->fixture->map;
	struct generator generator = { worker->number };
	struct rmap_mapping at[5], to;
	struct rmap_reserve *reserve;

	worker_begin(worker, &reserve);
	for (unsigned i = 0; i < LENGTH(at); i++)
		at[i] = mapping_of(RMAP_CHAINED, worker->number * LENGTH(at) + i);
	for (unsigned round = 0; round < worker->rounds; round++) {
		unsigned i = (unsigned)generator_below(&generator, LENGTH(at));

		expect(rmap_reserve_fill(reserve, 1) == 0);
		rmap_read_lock(map);
		if (worker->number == 0) {
			struct rmap_counts counts = rmap_page_counts(map, worker->page);

			expect(rmap_page_mapcount(map, worker->page) == WORKERS * LENGTH(at));
			expect(counts.chained + counts.linear + counts.locked == WORKERS * LENGTH(at));
		} else {
			to = mapping_of(kinds[generator_below(&generator, LENGTH(kinds))],
					1000 * worker->number + 180 * i + generator_below(&generator, 180));
			expect(rmap_page_move(reserve, worker->page, at[i], to) >= 0);
			at[i] = to;
		}
		rmap_read_unlock(map);
	}
	pthread_barrier_wait(worker->barrier); /* nobody removes while another one still expects a full count */
	for (unsigned i = 0; i < LENGTH(at); i++) {
		rmap_read_lock(map);
		expect(rmap_page_remove(reserve, worker->page, at[i]) >= 0);
		rmap_read_unlock(map);
	}
	worker_end(worker, reserve);
	return NULL;
}

static void g4_moves_never_show_in_the_mapcount(void **state)
{
	struct worker workers[WORKERS];
	struct subject subject;
	struct fixture fixture;

	(void)state;
	fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	subject_init(&subject, &fixture, WORKERS * 5, 0, 0);
	workers_run(&fixture, &subject.page, g4_body, (unsigned)test_scaled(20000), workers);
	assert_int_equal(fixture_mapcount(&fixture, &subject.page), 0);
	reference_fini(&subject.reference);
	fixture_fini(&fixture);
}

#define G5_MANY 6u

/*
 * Each round every worker adds a mapping, or several at once, and locks it, and after a barrier takes both back: each
 * event exactly once.
 */
static void *g5_body(void *arg)
{
	struct worker *worker = arg;
	struct rmap *map = worker->fixture->map;
	struct rmap_mapping mapping =
		worker->number % 2 ? rmap_chained(handle_of(worker->number)) : rmap_linear_many(G5_MANY);
	struct rmap_reserve *reserve;
	int added, locked, unlocked, removed;

	worker_begin(worker, &reserve);
	for (unsigned round = 0; round < worker->rounds; round++) {
		expect(rmap_reserve_fill(reserve, 3) == 0);
		pthread_barrier_wait(worker->barrier);
		rmap_read_lock(map);
		added = rmap_page_add(reserve, worker->page, mapping);
		locked = rmap_page_lock(reserve, worker->page, mapping);
		rmap_read_unlock(map);
		pthread_barrier_wait(worker->barrier);
		rmap_read_lock(map);
		expect(rmap_page_mapcount(map, worker->page) == WORKERS / 2 * (1 + G5_MANY));
		rmap_read_unlock(map);
		pthread_barrier_wait(worker->barrier);
		rmap_read_lock(map);
		unlocked = rmap_page_unlock(reserve, worker->page, mapping);
		removed = rmap_page_remove(reserve, worker->page, mapping);
		rmap_read_unlock(map);
		expect(added == 0 || added == RMAP_FIRST);
		expect(locked == 0 || locked == RMAP_FIRST_LOCK);
		expect(unlocked == 0 || unlocked == RMAP_LAST_LOCK);
		expect(removed == 0 || removed == RMAP_LAST);
		worker->firsts += added == RMAP_FIRST;
		worker->first_locks += locked == RMAP_FIRST_LOCK;
		worker->last_locks += unlocked == RMAP_LAST_LOCK;
		worker->lasts += removed == RMAP_LAST;
	}
	worker_end(worker, reserve);
	return NULL;
}

static void g5_each_event_is_told_once(void **state)
{
	const unsigned rounds = (unsigned)test_scaled(1000);
	unsigned firsts = 0, lasts = 0, first_locks = 0, last_locks = 0;
	struct worker workers[WORKERS];
	struct rmap_page page = { 0 };
	struct fixture fixture;

	(void)state;
	fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	workers_run(&fixture, &page, g5_body, rounds, workers);
	for (unsigned i = 0; i < WORKERS; i++) {
		firsts += workers[i].firsts;
		lasts += workers[i].lasts;
		first_locks += workers[i].first_locks;
		last_locks += workers[i].last_locks;
	}
	assert_int_equal(firsts, rounds);
	assert_int_equal(lasts, rounds);
	assert_int_equal(first_locks, rounds);
	assert_int_equal(last_locks, rounds);
	assert_int_equal(fixture_mapcount(&fixture, &page), 0);
	fixture_fini(&fixture);
}

/* Taken back in any order, the event comes with the one that leaves nothing. */
static void g5_last_in_any_order(void **state)
{
	struct rmap_mapping mappings[4] = { rmap_linear(), rmap_locked(), mapping_of(RMAP_CHAINED, 0),
					    mapping_of(RMAP_CHAINED, 1) };
	struct subject subject;
	struct fixture fixture;

	(void)state;
	fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	for (unsigned order = 0; order < 256; order++) {
		unsigned left = 4, code = order;

		subject_init(&subject, &fixture, 0, 0, 0);
		for (unsigned i = 0; i < 4; i++)
			subject_add(&subject, mappings[(i + order) % 4]);
		for (; left; left--, code >>= 2) {
			unsigned i = code % left;
			struct rmap_mapping taken = mappings[i];

			subject_remove(&subject, taken);
			mappings[i] = mappings[left - 1];
			mappings[left - 1] = taken;
		}
		subject_fini(&subject);
	}
	fixture_fini(&fixture);
}

static void g7_unchained_mappings_take_no_memory(void **state)
{
	struct rmap_reserve *unfilled;
	struct rmap_page pages[100];
	struct fixture fixture;
	uint64_t calls;

	(void)state;
	memset(pages, 0, sizeof(pages));
	fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	assert_int_equal(rmap_reserve_create(fixture.map, &unfilled), 0);
	calls = probe_calls(&fixture.chains) + probe_calls(&fixture.metadata);
	rmap_read_lock(fixture.map);
	for (unsigned i = 0; i < 100 * 30; i++)
		assert_true(rmap_page_add(unfilled, &pages[i % 100], i % 3 ? rmap_linear() : rmap_locked()) >= 0);
	rmap_read_unlock(fixture.map);
	assert_int_equal(probe_calls(&fixture.chains) + probe_calls(&fixture.metadata), calls);
	assert_int_equal(fixture_stats(&fixture).chain_bytes, 0);
	for (unsigned i = 0; i < 100; i++) {
		assert_int_equal(fixture_shape(&fixture, &pages[i]).bytes, sizeof(struct rmap_page));
		assert_int_equal(fixture_shape(&fixture, &pages[i]).elements, 0);
		assert_int_equal(fixture_drop(&fixture, &pages[i]), 30);
	}
	rmap_reserve_destroy(unfilled);
	fixture_fini(&fixture);
}

/* A page whose last chained mapping went is as small as one that never had any. */
static void g7_memory_goes_back_with_the_last_chained(void **state)
{
	struct rmap_page page = { 0 };
	struct fixture fixture;

	(void)state;
	fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	assert_int_equal(fixture_add(&fixture, &page, rmap_linear()), RMAP_FIRST);
	for (unsigned i = 0; i < 50; i++)
		assert_int_equal(fixture_add(&fixture, &page, mapping_of(RMAP_CHAINED, i)), 0);
	for (unsigned i = 0; i < 50; i++)
		assert_int_equal(fixture_move(&fixture, &page, mapping_of(RMAP_CHAINED, i),
					      i % 2 ? rmap_linear() : rmap_locked()),
				 i ? 0 : RMAP_FIRST_LOCK);
	assert_int_equal(fixture_shape(&fixture, &page).bytes, sizeof(page));
	rmap_reserve_drain(fixture.reserve);
	assert_int_equal(fixture_stats(&fixture).chain_bytes, 0);
	assert_int_equal(fixture_stats(&fixture).waiting_bytes, 0);
	assert_int_equal(fixture_drop(&fixture, &page), 51);
	fixture_fini(&fixture);
}

/*
 * With an empty reserve an operation that needs a block is refused, one that needs none is not, and all stays as it
 * was.
 */
static void g9_refused(struct subject *subject, struct rmap_reserve *unfilled, struct rmap_mapping mapping)
{
	struct rmap_page *page = &subject->page;
	int rc;

	rmap_read_lock(subject->fixture->map);
	rc = rmap_page_add(unfilled, page, mapping);
	if (rc != -ENOMEM) {
		assert_int_equal(rc, reference_add(&subject->reference, mapping));
		assert_int_equal(rmap_page_remove(unfilled, page, mapping),
				 reference_remove(&subject->reference, mapping));
	}
	if (subject->reference.linear && mapping.kind == RMAP_CHAINED) {
		rc = rmap_page_move(unfilled, page, rmap_linear(), mapping);
		if (rc != -ENOMEM)
			assert_int_equal(rc, reference_move(&subject->reference, rmap_linear(), mapping));
	}
	rmap_read_unlock(subject->fixture->map);
	subject_compare(subject);
}

static void g9_unfilled_in_state(struct subject *subject, unsigned chained)
{
	struct rmap_reserve *unfilled;

	(void)chained;
	assert_int_equal(rmap_reserve_create(subject->fixture->map, &unfilled), 0);
	for (unsigned k = 0; k < LENGTH(kinds); k++)
		g9_refused(subject, unfilled, mapping_of(kinds[k], 500));
	rmap_reserve_destroy(unfilled);
}

static void g9_unfilled_reserve_changes_nothing(void **state)
{
	(void)state;
	each_state(g9_unfilled_in_state);
}

static void g9_expect_refusal(struct fixture *fixture, struct rmap_reserve *unfilled, struct rmap_page *page,
			      uint32_t mapcount)
{
	const struct rmap_mapping mapping = mapping_of(RMAP_CHAINED, mapcount);
	struct rmap_page *const pages[] = { page };
	int error = 0;

	rmap_read_lock(fixture->map);
	assert_int_equal(rmap_page_add(unfilled, page, mapping), -ENOMEM);
	assert_int_equal(rmap_page_duplicate(unfilled, page, mapping), -ENOMEM);
	assert_int_equal(rmap_page_add_batch(unfilled, pages, &mapping, NULL, 1, &error), 0);
	assert_int_equal(error, -ENOMEM);
	assert_int_equal(rmap_page_mapcount(fixture->map, page), mapcount);
	rmap_read_unlock(fixture->map);
}

/* The second chained mapping needs the first block, the fourth a leaf: neither can come out of an empty reserve. */
static void g9_a_chain_cannot_be_had_for_nothing(void **state)
{
	struct rmap_reserve *unfilled;
	struct rmap_page page = { 0 };
	struct fixture fixture;

	(void)state;
	fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	assert_int_equal(rmap_reserve_create(fixture.map, &unfilled), 0);
	assert_int_equal(fixture_add(&fixture, &page, mapping_of(RMAP_CHAINED, 0)), RMAP_FIRST);
	g9_expect_refusal(&fixture, unfilled, &page, 1);
	assert_int_equal(fixture_add(&fixture, &page, mapping_of(RMAP_CHAINED, 1)), 0);
	assert_int_equal(fixture_add(&fixture, &page, mapping_of(RMAP_CHAINED, 2)), 0);
	g9_expect_refusal(&fixture, unfilled, &page, 3);
	assert_int_equal(fixture_add(&fixture, &page, mapping_of(RMAP_CHAINED, 3)), 0);
	assert_int_equal(fixture_drop(&fixture, &page), 4);
	rmap_reserve_destroy(unfilled);
	fixture_fini(&fixture);
}

/* Adds @n of @mapping in batches. */
static void g10_add_many(struct subject *subject, struct rmap_mapping mapping, uint32_t n)
{
	static struct rmap_mapping mappings[1024];
	static struct rmap_page *pages[1024];
	uint32_t some;
	int error;

	for (unsigned i = 0; i < LENGTH(pages); i++) {
		pages[i] = &subject->page;
		mappings[i] = mapping;
	}
	for (; n; n -= some) {
		some = n < LENGTH(pages) ? n : LENGTH(pages);
		fixture_fill(subject->fixture, 2);
		rmap_read_lock(subject->fixture->map);
		assert_int_equal(rmap_page_add_batch(subject->fixture->reserve, pages, mappings, NULL, some, &error),
				 some);
		rmap_read_unlock(subject->fixture->map);
		for (uint32_t i = 0; i < some; i++)
			reference_add(&subject->reference, mapping);
	}
}

/* One more of @kind is refused in each way to have one more, and all stays as it was. */
static void g10_refused(struct subject *subject, enum rmap_kind kind)
{
	const struct rmap_mapping more = mapping_of(kind, 0);
	struct rmap_page *const pages[2] = { &subject->page, &subject->page };
	const struct rmap_mapping mappings[2] = { more, more };
	int error = 0, events[2] = { 99, 99 };

	subject_compare(subject);
	assert_int_equal(fixture_add(subject->fixture, &subject->page, more), -EOVERFLOW);
	assert_int_equal(fixture_duplicate(subject->fixture, &subject->page, more), -EOVERFLOW);
	fixture_fill(subject->fixture, 2);
	rmap_read_lock(subject->fixture->map);
	assert_int_equal(rmap_page_add_batch(subject->fixture->reserve, pages, mappings, events, 2, &error), 0);
	rmap_read_unlock(subject->fixture->map);
	assert_int_equal(error, -EOVERFLOW);
	for (unsigned k = 0; k < LENGTH(kinds); k++) {
		if (counted_as(kinds[k]) != counted_as(kind) &&
		    reference_remove(&subject->reference, mapping_of(kinds[k], 0)) >= 0) {
			reference_add(&subject->reference, mapping_of(kinds[k], 0));
			assert_int_equal(fixture_move(subject->fixture, &subject->page, mapping_of(kinds[k], 0), more),
					 -EOVERFLOW);
		}
	}
	/* A move within the kind adds none. */
	assert_int_equal(fixture_move(subject->fixture, &subject->page, more, more), 0);
	subject_compare(subject);
	subject_remove(subject, more); /* one less, and one more is possible again */
	subject_add(subject, more);
}

/* Each limit is met alone in a plain count, then beside a chain, then together. */
static void g10_overflow_is_refused(void **state)
{
	struct subject subject;
	struct fixture fixture;

	(void)state;
	fixture_init(&fixture, RMAP_MULTIPLICITY_MAX, RMAP_RECLAIM_CALLBACK, 0);
	subject_init(&subject, &fixture, 0, 0, 0);
	g10_add_many(&subject, rmap_locked(), RMAP_LOCKED_MAX);
	g10_refused(&subject, RMAP_LOCKED);
	g10_add_many(&subject, rmap_linear(), RMAP_LINEAR_MAX);
	g10_refused(&subject, RMAP_LINEAR);
	g10_refused(&subject, RMAP_LOCKED);
	subject_add(&subject, mapping_of(RMAP_CHAINED, 0));
	g10_refused(&subject, RMAP_LINEAR);
	g10_refused(&subject, RMAP_LOCKED);
	g10_add_many(&subject, mapping_of(RMAP_CHAINED, 0), RMAP_CHAINED_MAX - 1);
	for (unsigned k = 0; k < LENGTH(kinds); k++)
		g10_refused(&subject, kinds[k]);
	assert_int_equal(fixture_drop(&fixture, &subject.page), RMAP_CHAINED_MAX + RMAP_LINEAR_MAX + RMAP_LOCKED_MAX);
	reference_fini(&subject.reference);
	fixture_fini(&fixture);
}

static void g11_missing_in_state(struct subject *subject, unsigned chained)
{
	(void)chained;
	for (unsigned k = 0; k < LENGTH(kinds); k++) {
		struct rmap_mapping missing = mapping_of(kinds[k], 700), there = mapping_of(RMAP_CHAINED, 0);

		if (counted_as(kinds[k]) == RMAP_LINEAR && subject->reference.linear &&
		    !(kinds[k] == RMAP_NAMED && subject->reference.name)) /* it has another name */
			continue;
		if (kinds[k] == RMAP_LOCKED && subject->reference.locked)
			continue;
		assert_int_equal(fixture_remove(subject->fixture, &subject->page, missing), -ENOENT);
		for (unsigned t = 0; t < LENGTH(kinds); t++)
			assert_int_equal(
				fixture_move(subject->fixture, &subject->page, missing, mapping_of(kinds[t], 701)),
				-ENOENT);
		assert_int_equal(fixture_move(subject->fixture, &subject->page, missing, there), -ENOENT);
		subject_compare(subject);
	}
}

static void g11_removing_what_is_not_there(void **state)
{
	(void)state;
	each_state(g11_missing_in_state);
}

static void g11_invalid_in_state(struct subject *subject, unsigned chained)
{
	struct fixture *fixture = subject->fixture;
	struct rmap_page *const pages[] = { &subject->page };
	struct rmap_mapping bad[] = { [13] = mapping_of((enum rmap_kind)4, 0), mapping_of((enum rmap_kind) - 1, 0) };
	int error = 0;

	for (uint64_t i = 0; i < 13; i++) /* a handle's low three bits are not the caller's */
		bad[i] = i < 7 ? rmap_chained(handle_of(0) + i + 1) : rmap_named(handle_of(0) + i - 6);
	for (unsigned i = 0; i < LENGTH(bad); i++) {
		assert_int_equal(fixture_add(fixture, &subject->page, bad[i]), -EINVAL);
		assert_int_equal(fixture_remove(fixture, &subject->page, bad[i]), -EINVAL);
		assert_int_equal(fixture_move(fixture, &subject->page, bad[i], rmap_linear()), -EINVAL);
		if (chained)
			assert_int_equal(fixture_move(fixture, &subject->page, mapping_of(RMAP_CHAINED, 0), bad[i]),
					 -EINVAL);
		if (reference_mapcount(&subject->reference))
			assert_int_equal(fixture_duplicate(fixture, &subject->page, bad[i]), -EINVAL);
		fixture_fill(fixture, 1);
		rmap_read_lock(fixture->map);
		assert_int_equal(rmap_page_add_batch(fixture->reserve, pages, &bad[i], NULL, 1, &error), 0);
		assert_int_equal(error, -EINVAL);
		assert_int_equal(rmap_page_remove_batch(fixture->reserve, pages, &bad[i], NULL, 1, &error), 0);
		assert_int_equal(error, -EINVAL);
		rmap_read_unlock(fixture->map);
	}
	subject_compare(subject);
}

static void g11_bad_handles_and_kinds(void **state)
{
	(void)state;
	each_state(g11_invalid_in_state);
}

static void outside_a_section(void *arg)
{
	struct subject *subject = arg;

	rmap_page_add(subject->fixture->reserve, &subject->page, rmap_linear());
}

static void fill_inside_a_section(void *arg)
{
	struct subject *subject = arg;

	rmap_read_lock(subject->fixture->map);
	rmap_reserve_fill(subject->fixture->reserve, 1);
}

/* A page of the subject's map, and the reserve of another. */
struct mismatch {
	struct subject *subject;
	struct fixture other;
};

static void foreign_reserve(void *arg)
{
	struct mismatch *mismatch = arg;

	rmap_read_lock(mismatch->other.map);
	rmap_page_add(mismatch->other.reserve, &mismatch->subject->page, rmap_linear());
}

/* What cannot be seen for free is seen by checked builds. */
static void g11_checked_builds_abort(void **state)
{
	struct mismatch mismatch;
	struct subject subject;
	struct fixture fixture;

	(void)state;
	if (!CHECKED)
		test_not_run("build", "without checks nobody looks for this");
	mismatch.subject = &subject;
	fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	subject_init(&subject, &fixture, 1, 0, 0);
	assert_true(aborted(in_child(outside_a_section, &subject)));
	assert_true(aborted(in_child(fill_inside_a_section, &subject)));
	subject_add(&subject, mapping_of(RMAP_CHAINED, 1));
	fixture_init(&mismatch.other, 0, RMAP_RECLAIM_CALLBACK, 0);
	assert_true(aborted(in_child(foreign_reserve, &mismatch)));
	fixture_fini(&mismatch.other);
	subject_fini(&subject);
	fixture_fini(&fixture);
}

/* Batches: the same as single operations, in order, up to the first that fails. */
static void batches_stop_at_the_first_failure(void **state)
{
	struct rmap_mapping mappings[20];
	struct rmap_page *pages[20], page = { 0 }, other = { 0 };
	int events[20], error = 99;
	struct fixture fixture;

	(void)state;
	fixture_init(&fixture, 0, RMAP_RECLAIM_CALLBACK, 0);
	for (unsigned i = 0; i < 20; i++) {
		pages[i] = i % 2 ? &other : &page;
		mappings[i] = mapping_of(kinds[i % 3], i);
		events[i] = 99;
	}
	fixture_fill(&fixture, 20);
	rmap_read_lock(fixture.map);
	assert_int_equal(rmap_page_add_batch(fixture.reserve, pages, mappings, events, 20, &error), 20);
	assert_int_equal(error, 0);
	for (unsigned i = 0; i < 20; i++) /* 0 and 1 are each page's first; 2 and 5 are their first locked ones */
		assert_int_equal(events[i], i < 2 ? RMAP_FIRST : i == 2 || i == 5 ? RMAP_FIRST_LOCK : 0);
	mappings[13] = mapping_of(RMAP_CHAINED, 99);
	error = 99;
	assert_int_equal(rmap_page_remove_batch(fixture.reserve, pages, mappings, NULL, 20, &error), 13);
	assert_int_equal(error, -ENOENT);
	assert_int_equal(rmap_page_mapcount(fixture.map, &page), 3);
	assert_int_equal(rmap_page_mapcount(fixture.map, &other), 4);
	mappings[13] = mapping_of(RMAP_CHAINED, 13);
	assert_int_equal(rmap_page_remove_batch(fixture.reserve, &pages[13], &mappings[13], events, 7, NULL), 7);
	assert_int_equal(events[5] & RMAP_LAST, RMAP_LAST);
	assert_int_equal(events[6] & RMAP_LAST, RMAP_LAST);
	assert_int_equal(rmap_page_add_batch(fixture.reserve, pages, mappings, NULL, 0, &error), 0);
	assert_int_equal(error, 0);
	rmap_read_unlock(fixture.map);
	assert_int_equal(page.word | other.word, 0);
	fixture_fini(&fixture);
}

/* Handles at the edges of 64 bits are handles like others. */
static void every_aligned_handle_is_good(void **state)
{
	static const uint64_t handles[] = {
		0, 8, 0x7ffffffffffffff8, 0x8000000000000000, 0xfffffffffffffff8, 0x00ffffffffffff80
	};
	struct subject subject;
	struct fixture fixture;

	(void)state;
	for (unsigned bits = 0; bits <= RMAP_MULTIPLICITY_MAX; bits += 5) {
		fixture_init(&fixture, bits, RMAP_RECLAIM_CALLBACK, 0);
		for (unsigned n = 1; n <= LENGTH(handles); n++) {
			subject_init(&subject, &fixture, 0, 0, 0);
			for (unsigned i = 0; i < n; i++)
				subject_add(&subject, rmap_chained(handles[(i + n) % LENGTH(handles)]));
			subject_compare(&subject);
			subject_fini(&subject);
		}
		fixture_fini(&fixture);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(g1_filled_adds_neither_fail_nor_allocate),
		cmocka_unit_test(g2_a_stopped_thread_stops_nobody),
		cmocka_unit_test(g4_add_and_remove_in_every_state),
		cmocka_unit_test(g4_move_in_every_state),
		cmocka_unit_test(g4_duplicate_in_every_state),
		cmocka_unit_test(g4_drop_in_every_state),
		cmocka_unit_test(g4_moves_never_show_in_the_mapcount),
		cmocka_unit_test(g5_each_event_is_told_once),
		cmocka_unit_test(g5_last_in_any_order),
		cmocka_unit_test(g7_unchained_mappings_take_no_memory),
		cmocka_unit_test(g7_memory_goes_back_with_the_last_chained),
		cmocka_unit_test(g9_unfilled_reserve_changes_nothing),
		cmocka_unit_test(g9_a_chain_cannot_be_had_for_nothing),
		cmocka_unit_test(g10_overflow_is_refused),
		cmocka_unit_test(g11_removing_what_is_not_there),
		cmocka_unit_test(g11_bad_handles_and_kinds),
		cmocka_unit_test(g11_checked_builds_abort),
		cmocka_unit_test(batches_stop_at_the_first_failure),
		cmocka_unit_test(every_aligned_handle_is_good),
	};

	return cmocka_run_group_tests_name("page", tests, NULL, NULL);
}
