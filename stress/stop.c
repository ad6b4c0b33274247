/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stop.c - a thread that is stopped anywhere in an operation stops nobody else (G2), nor makes them work much harder
 *
 * In each round one thread is the victim. Another one sends it signals; whenever one arrives inside a read-side
 * section, the victim stands still in the handler, at whatever instruction of the library it was, until each other
 * thread has done PROGRESS more operations on the same pages, or all of its round. If any of them had to wait for the
 * victim, both would wait for ever, and the runner's watch would report it.
 *
 * Nobody may wait for a grace period meanwhile, which the victim holds up by right: the cap on waiting memory is out of
 * reach, and a fill that finds it not reached never waits. (ThreadSanitizer puts signals off to places of its own
 * choice: there the test sees less than elsewhere.)
 *
 * hostile-stop has chains of hundreds, and where steps are counted (lib/inject.h) it needs no signals: the victim
 * stands still at a step, the next one each time.
 *
 *      at each check   counts are the sums of the records, and the equations hold; hostile-stop: what the others'
 *                      operations cost, in steps
 */
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stress.h"

#define PAGES 2u
#define KEYS 24u
#define KEYS_HOSTILE 200u
#define SHIFT 3u
#define PROGRESS 40u
#define SIGNAL_EVERY 8u
/* hostile-stop: the last step of an operation at which the victim stops; then it begins again with the first. */
#define STEPS_STOPPED 250u
/* What an operation of the others may cost, as a mean: rebuilds, and help for what the victim has begun, are in it. */
#define STEPS_MOST 2048u

/*
 * struct worker - one thread's own memory, but for what the handler of another reads
 * @inside: in a section, where it may be stopped; the thread's own handler reads it
 * @steps:  operations done; @idle: it has none left in this round. Relaxed: the handler waits for them and nothing else
 * @stops:  how often it was stopped
 * @at:     the step at which it is to stop next
 * @operations, @spent: those of this round as no victim, and their steps
 */
struct worker {
	struct stop *stop;
	struct stress_thread *thread;
	pthread_t self;
	volatile sig_atomic_t inside;
	_Atomic uint64_t steps;
	_Atomic bool idle;
	uint64_t stops;
	uint64_t at;
	uint64_t operations;
	uint64_t spent;
	bool held[PAGES][KEYS_HOSTILE];
	uint32_t n[PAGES];
	struct stress_events events[PAGES];
};

/*
 * struct stop
 * @targets: mappings of each thread on each page in this round; written by the thread that checks
 * @keys:    handles of each thread on each page
 * @hostile: what the operations of the others cost is asserted, where steps are counted
 * @at_steps: the victim stops at steps, not where signals meet it
 * @spent:   the highest mean of a round
 */
struct stop {
	struct rmap_page pages[PAGES];
	unsigned targets[PAGES];
	unsigned keys;
	bool hostile;
	bool at_steps;
	uint64_t spent;
	struct worker workers[STRESS_THREADS_MAX];
};

static __thread struct worker *own;

static void stand_still(void)
{
	const struct worker *workers = own->stop->workers;
	uint64_t before[STRESS_THREADS_MAX];
	unsigned threads = own->thread->stress->threads;

	own->stops++;
	for (unsigned i = 0; i < threads; i++)
		before[i] = atomic_load_explicit(&workers[i].steps, memory_order_relaxed);
	for (unsigned i = 0; i < threads; i++)
		while (i != own->thread->id && !atomic_load_explicit(&workers[i].idle, memory_order_relaxed) &&
		       atomic_load_explicit(&workers[i].steps, memory_order_relaxed) < before[i] + PROGRESS)
			sched_yield();
}

static void be_stopped(int signal)
{
	(void)signal;
	if (own->inside)
		stand_still();
}

static int visit(void *arg, const struct rmap_visit *visit)
{
	unsigned *found = arg;

	*found += visit->count;
	return 0;
}

static void walk(struct worker *worker, unsigned page)
{
	struct rmap_target target = { .page = &worker->stop->pages[page] };
	unsigned found = 0;

	stress_assert(stress_walk_page(worker->thread->map, &target, visit, &found, NULL) == 0, "a walk ended early");
	stress_assert(found >= worker->n[page], "G3: a walk found %u mappings, the thread itself holds %u", found,
		      worker->n[page]);
}

/* Adds the mapping if it is not held, removes it if it is. */
static void change(struct worker *worker, unsigned page, unsigned key)
{
	struct rmap_mapping mapping = rmap_chained(stress_handle(page, worker->thread->id, key, SHIFT));
	struct rmap_page *where = &worker->stop->pages[page];
	bool more = !worker->held[page][key];
	int result;

	if (more)
		result = rmap_page_add(worker->thread->reserve, where, mapping);
	else
		result = rmap_page_remove(worker->thread->reserve, where, mapping);
	stress_assert(result >= 0, "an operation on the thread's own mapping failed: %s", strerror(-result));
	worker->held[page][key] = more;
	worker->n[page] += more ? 1 : -1u;
	stress_events_note(&worker->events[page], result);
}

static void operate(struct worker *worker)
{
	struct stress_thread *thread = worker->thread;
	unsigned page = stress_below(thread, PAGES), key = stress_below(thread, worker->stop->keys);
	bool more = worker->n[page] < worker->stop->targets[page];

	if (stress_one_in(thread, 32)) {
		walk(worker, page);
		return;
	}
	/* A step back now and then, seldom enough for pages to empty. */
	if (stress_one_in(thread, worker->stop->keys))
		more = !more;
	if (worker->held[page][key] != more)
		change(worker, page, key);
}

/* One operation; a victim of hostile-stop stops at its next step, if the operation has so many. */
static void operate_counted(struct worker *worker, bool victim)
{
	uint64_t before = rmap_inject_steps();

	if (victim) {
		worker->at = worker->at % STEPS_STOPPED + 1;
		rmap_inject_at(worker->at, stand_still);
		operate(worker);
		rmap_inject_at(0, NULL);
		return;
	}
	operate(worker);
	worker->operations++;
	worker->spent += rmap_inject_steps() - before;
}

static void operate_inside(struct worker *worker, bool victim)
{
	struct stress_thread *thread = worker->thread;

	stress_assert(rmap_reserve_fill(thread->reserve, 1) == 0, "a fill found no memory");
	rmap_read_lock(thread->map);
	worker->inside = 1;
	operate_counted(worker, victim && worker->stop->at_steps);
	worker->inside = 0;
	rmap_read_unlock(thread->map);
	atomic_fetch_add_explicit(&worker->steps, 1, memory_order_relaxed);
}

static void leave(struct worker *worker)
{
	rmap_read_lock(worker->thread->map);
	for (unsigned page = 0; page < PAGES; page++) {
		for (unsigned key = 0; key < worker->stop->keys; key++) {
			if (worker->held[page][key])
				change(worker, page, key);
		}
	}
	rmap_read_unlock(worker->thread->map);
}

static void body(struct stress_thread *thread, void *arg)
{
	struct stop *stop = arg;
	struct worker *worker = own = &stop->workers[thread->id];
	unsigned threads = thread->stress->threads;

	worker->stop = stop;
	worker->thread = thread;
	worker->self = pthread_self();
	while (stress_round(thread)) {
		unsigned victim = (unsigned)(thread->round % threads);
		bool sends = threads > 1 && thread->id == (victim + 1) % threads && !stop->at_steps;

		atomic_store_explicit(&worker->idle, false, memory_order_relaxed);
		while (stress_next(thread)) {
			operate_inside(worker, thread->id == victim);
			if (sends && stress_one_in(thread, SIGNAL_EVERY))
				pthread_kill(stop->workers[victim].self, SIGUSR1);
		}
		atomic_store_explicit(&worker->idle, true, memory_order_relaxed);
	}
	leave(worker);
}

static void check(struct stress_thread *thread, void *arg)
{
	struct stop *stop = arg;
	uint64_t operations = 0, spent = 0;

	for (unsigned page = 0; page < PAGES; page++) {
		struct rmap_counts sum = { 0 };
		struct stress_events events = { 0 };

		for (unsigned i = 0; i < thread->stress->threads; i++) {
			sum.chained += stop->workers[i].n[page];
			stress_events_sum(&events, &stop->workers[i].events[page]);
		}
		stress_page_verify(thread->map, &stop->pages[page], page, sum, &events);
		stop->targets[page] = stress_below(thread, 2) ? stress_below(thread, stop->keys) : 0;
	}
	for (unsigned i = 0; i < thread->stress->threads; i++) {
		operations += stop->workers[i].operations;
		spent += stop->workers[i].spent;
		stop->workers[i].operations = stop->workers[i].spent = 0;
	}
	if (operations && spent / operations > stop->spent)
		stop->spent = spent / operations;
	if (stop->hostile)
		stress_assert(stop->spent <= STEPS_MOST,
			      "an operation beside a stopped thread takes %" PRIu64 " steps, %u at most are expected",
			      stop->spent, STEPS_MOST);
}

static void run_stop(struct stress *stress, bool hostile)
{
	struct stop *stop = stress_zalloc(1, sizeof(*stop));
	struct rmap_options options = RMAP_OPTIONS_DEFAULT;
	struct sigaction action = { .sa_handler = be_stopped, .sa_flags = SA_RESTART };
	struct stress_map map;
	struct stress_plan plan = { .body = body, .check = check, .arg = stop };
	uint64_t stops = 0;

	stop->hostile = hostile;
	stop->at_steps = hostile && stress_counts_steps();
	stop->keys = hostile ? KEYS_HOSTILE : KEYS;
	options.waiting_max = SIZE_MAX / 2;
	stress_assert(sigaction(SIGUSR1, &action, NULL) == 0, "the signal to stop at cannot be handled");
	stress_map_init(&map, &options, false);
	plan.map = map.map;
	stress_run(stress, &plan);
	stress_map_fini(&map, "the map");
	for (unsigned i = 0; i < stress->threads; i++)
		stops += stop->workers[i].stops;
	printf("  stops=%" PRIu64 " steps=%" PRIu64 "\n", stops, stop->spent);
	free(stop);
}

static void run(struct stress *stress)
{
	run_stop(stress, false);
}

static void run_hostile(struct stress *stress)
{
	run_stop(stress, true);
}

const struct stress_test stress_stop = { "stop", "a thread stopped anywhere in an operation stops nobody else", run,
					 false };
const struct stress_test stress_hostile_stop = {
	"hostile-stop", "a thread stopped at each step in turn: what operations of the others cost", run_hostile, false
};
