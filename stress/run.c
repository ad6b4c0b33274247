/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * run.c - the runner of the stress tests: threads, rounds, deadlines, and the tiers that see every byte
 *
 * Threads meet at a barrier between rounds; nothing else that the runner shares orders them, so the budget and the
 * clock are read relaxed. Operations are claimed from the budget in handfuls: --ops is exact, and the claims cost
 * little.
 */
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "stress.h"

#define ROUND_OPS 2000u
#define HANDFUL 64u
#define NO_DEADLINE UINT64_MAX
/* A run hangs if no thread claims an operation for so many ticks of so many seconds: claims are milliseconds apart. */
#define WATCH_TICK 10u
#define WATCH_TICKS 4u

/* The one run of this process: for the message of a theorem that does not hold. */
static const struct stress *running;

void stress_fail(const char *file, int line, const char *format, ...)
{
	static atomic_flag told = ATOMIC_FLAG_INIT;
	char sentence[400];
	va_list args;

	va_start(args, format);
	vsnprintf(sentence, sizeof(sentence), format, args);
	va_end(args);
	/* The first failure is the one to look at: what other threads meet after it is its consequence. */
	if (atomic_flag_test_and_set(&told))
		pause();
	fflush(stdout);
	fprintf(stderr, "rmap-stress: %s: FAILED: %s (%s:%d; seed=%" PRIu64 ")\n",
		running ? running->test->name : "start", sentence, file, line, running ? running->seed : 0);
	_exit(1);
}

bool stress_counts_steps(void)
{
	if (!RMAP_INJECT)
		puts("not run: build: steps are counted with -Dinject=true only");
	return RMAP_INJECT;
}

void *stress_zalloc(size_t n, size_t size)
{
	void *memory = calloc(n, size);

	stress_assert(memory, "out of memory: %zu x %zu bytes for the test itself", n, size);
	return memory;
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* --- rounds ----------------------------------------------------------------------------------- */

/* Each run of a test, and each thread of a run, has its own sequence. splitmix64 keeps neighbouring seeds apart. */
static uint64_t thread_seed(const struct stress *stress, unsigned id)
{
	uint64_t x = stress->seed + 0x9e3779b97f4a7c15ull * (stress->runs * (STRESS_THREADS_MAX + 1) + id + 1);

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
	x ^= x >> 31;
	return x ? x : 1;
}

void stress_perturb(struct stress_thread *thread)
{
	unsigned dice = stress_below(thread, 256);

	if (dice == 0) {
		sched_yield();
	} else if (dice < 8) {
		for (volatile unsigned spin = stress_below(thread, 400); spin; spin--)
			;
	}
}

static bool claim(struct stress_thread *thread)
{
	struct stress *stress = thread->stress;
	uint64_t budget = atomic_load_explicit(&stress->budget, memory_order_relaxed);
	uint64_t take;

	do {
		/* Read inside the loop, so that no claim is made after the end. */
		if (budget == 0 || now_ns() >= stress->deadline)
			return false;
		take = budget < HANDFUL ? budget : HANDFUL;
	} while (!atomic_compare_exchange_weak_explicit(&stress->budget, &budget, budget - take, memory_order_relaxed,
							memory_order_relaxed));
	thread->claimed = take;
	return true;
}

bool stress_next(struct stress_thread *thread)
{
	if (thread->share == 0 || (thread->claimed == 0 && !claim(thread)))
		return false;
	thread->share--;
	thread->claimed--;
	thread->done++;
	stress_perturb(thread);
	return true;
}

bool stress_meet(struct stress_thread *thread)
{
	return pthread_barrier_wait(&thread->stress->barrier) == PTHREAD_BARRIER_SERIAL_THREAD;
}

bool stress_round(struct stress_thread *thread)
{
	struct stress *stress = thread->stress;

	if (stress_meet(thread)) {
		if (stress->plan->check)
			stress->plan->check(thread, stress->plan->arg);
		/* A handful that its thread has not used up is done in the next round, so ask what it would find. */
		stress->more =
			now_ns() < stress->deadline && atomic_load_explicit(&stress->budget, memory_order_relaxed) > 0;
		stress->rounds += stress->more;
	}
	stress_meet(thread);
	thread->round++;
	thread->share = stress->plan->round_ops ? stress->plan->round_ops : ROUND_OPS;
	return stress->more;
}

/*
 * What a reserve counted stays counted when it ends. (It may hand over what it had in hand, which is one more batch.)
 */
static void compare_events(const struct rmap_statistics *before, const struct rmap_statistics *after)
{
	stress_assert(before->promotions == after->promotions && before->collapses == after->collapses &&
			      before->pushes == after->pushes && before->pops == after->pops &&
			      before->entries_moved == after->entries_moved && before->batches <= after->batches &&
			      before->fills_held_back == after->fills_held_back && before->retries == after->retries,
		      "a figure changed as reserves ended: retries from %" PRIu64 " to %" PRIu64
		      ", or one of the other events",
		      before->retries, after->retries);
}

/*
 * Everything a thread retired is handed over and freed, and all that is whole given back, before one of them looks
 * whether anything is left.
 */
static void end_reserve(struct stress_thread *thread)
{
	struct rmap_statistics stats = { .size = sizeof(stats) }, after = { .size = sizeof(after) };
	bool looks;

	stress_meet(thread);
	rmap_reserve_drain(thread->reserve);
	looks = stress_meet(thread);
	if (looks) {
		stress_assert(rmap_stats(thread->map, &stats) == 0, "rmap_stats refused its own size");
		stress_assert(stats.blocks == 0 && stats.pieces == 0 && stats.chain_bytes == 0,
			      "no page has a mapping, but %" PRIu64 " blocks, %" PRIu64 " pieces, %" PRIu64
			      " bytes of chains are in use",
			      stats.blocks, stats.pieces, stats.chain_bytes);
		stress_assert(stats.waiting_bytes == 0, "every reserve was drained, but %" PRIu64 " bytes wait",
			      stats.waiting_bytes);
		stress_assert(stats.tier_bytes == 0,
			      "G8: every reserve was drained, but the map keeps %" PRIu64 " bytes", stats.tier_bytes);
		stress_assert(rmap_check(thread->map) == 0, "G8: memory is not where the figures say");
	}
	stress_meet(thread);
	rmap_reserve_destroy(thread->reserve);
	stress_meet(thread);
	if (looks) {
		stress_assert(rmap_stats(thread->map, &after) == 0, "rmap_stats refused its own size");
		compare_events(&stats, &after);
	}
}

static void *thread_main(void *arg)
{
	struct stress_thread *thread = arg;
	const struct stress_plan *plan = thread->stress->plan;

	if (plan->map) {
		rmap_thread_register(plan->map);
		stress_assert(rmap_reserve_create(plan->map, &thread->reserve) == 0, "a reserve cannot be made");
	}
	plan->body(thread, plan->arg);
	if (plan->map) {
		end_reserve(thread);
		rmap_thread_unregister(plan->map);
	}
	return NULL;
}

/* What the watch writes: put together beforehand, for a signal handler must not format. */
static char hang_message[200];

/*
 * Runs in the main thread, the only one that does not block the signal. What hangs may be the library: so this looks at
 * nothing but the budget, which falls by every claim, and calls nothing but what a signal handler may.
 */
static void watch(int signal)
{
	static uint64_t last;
	static unsigned ticks;
	uint64_t budget = atomic_load_explicit(&running->budget, memory_order_relaxed);
	ssize_t written;

	(void)signal;
	ticks = budget == last ? ticks + 1 : 0;
	last = budget;
	if (ticks < WATCH_TICKS)
		return;
	written = write(STDERR_FILENO, hang_message, strlen(hang_message));
	(void)written;
	_exit(1);
}

/* From the first run of a test to the end of the process, so that the making and ending of maps is watched as well. */
static void start_watch(const struct stress *stress)
{
	const struct itimerval tick = { { WATCH_TICK, 0 }, { WATCH_TICK, 0 } };
	struct sigaction action = { .sa_handler = watch, .sa_flags = SA_RESTART };

	snprintf(hang_message, sizeof(hang_message),
		 "rmap-stress: %s: FAILED: it hangs, no operation was begun for %u seconds (seed=%" PRIu64 ")\n",
		 stress->test->name, WATCH_TICK * WATCH_TICKS, stress->seed);
	stress_assert(sigaction(SIGALRM, &action, NULL) == 0 && setitimer(ITIMER_REAL, &tick, NULL) == 0,
		      "the watch for hangs cannot be started");
}

/* The threads that are created between the two calls leave the signal to the main thread. */
static void block_watch(bool block)
{
	sigset_t alarm;

	sigemptyset(&alarm);
	sigaddset(&alarm, SIGALRM);
	pthread_sigmask(block ? SIG_BLOCK : SIG_UNBLOCK, &alarm, NULL);
}

static void prepare(struct stress *stress, const struct stress_plan *plan)
{
	unsigned parts = plan->parts ? plan->parts : 1;

	running = stress;
	stress->plan = plan;
	stress->runs++;
	stress->deadline = stress->seconds ? now_ns() + stress->seconds * 1000000000u / parts : NO_DEADLINE;
	/* The first parts get what does not divide evenly. */
	atomic_init(&stress->budget,
		    stress->ops ? stress->ops / parts + (stress->runs <= stress->ops % parts) : UINT64_MAX);
	stress_assert(pthread_barrier_init(&stress->barrier, NULL, stress->threads) == 0, "a barrier cannot be made");
	if (stress->runs == 1)
		start_watch(stress);
}

void stress_run(struct stress *stress, const struct stress_plan *plan)
{
	pthread_t ids[STRESS_THREADS_MAX];
	struct stress_thread *threads = stress_zalloc(stress->threads, sizeof(*threads));

	prepare(stress, plan);
	block_watch(true);
	for (unsigned i = 0; i < stress->threads; i++) {
		threads[i].stress = stress;
		threads[i].map = plan->map;
		threads[i].id = i;
		threads[i].random = thread_seed(stress, i);
		stress_assert(pthread_create(&ids[i], NULL, thread_main, &threads[i]) == 0,
			      "thread %u cannot be started; give fewer --threads", i);
	}
	block_watch(false);
	for (unsigned i = 0; i < stress->threads; i++) {
		pthread_join(ids[i], NULL);
		/* What was claimed and not done is lost to the run, not to the figure that it prints. */
		stress->done += threads[i].done;
	}
	pthread_barrier_destroy(&stress->barrier);
	free(threads);
}

/* --- checks ----------------------------------------------------------------------------------- */

struct rmap_shape stress_page_verify(struct rmap *map, const struct rmap_page *page, unsigned number,
				     struct rmap_counts want, const struct stress_events *events)
{
	uint32_t mapped = want.chained + want.linear + want.locked;
	struct rmap_counts counts;
	struct rmap_shape shape;

	rmap_read_lock(map);
	counts = rmap_page_counts(map, page);
	stress_assert(rmap_page_mapcount(map, page) == mapped, "G4: page %u has mapcount %u, the records say %u",
		      number, rmap_page_mapcount(map, page), mapped);
	stress_assert(counts.chained == want.chained && counts.linear == want.linear && counts.locked == want.locked,
		      "G4: page %u counts %u chained, %u linear, %u locked, the records say %u, %u, %u", number,
		      counts.chained, counts.linear, counts.locked, want.chained, want.linear, want.locked);
	stress_assert(rmap_page_check(map, page, &shape) == 0, "an equation of page %u does not hold", number);
	rmap_read_unlock(map);

	stress_assert(events->first - events->last == (mapped > 0),
		      "G5: page %u has mapcount %u, but RMAP_FIRST was told %" PRIu64 " times and RMAP_LAST %" PRIu64,
		      number, mapped, events->first, events->last);
	stress_assert(events->first_lock - events->last_lock == (want.locked > 0),
		      "G5: page %u has %u locked, but RMAP_FIRST_LOCK was told %" PRIu64
		      " times and RMAP_LAST_LOCK %" PRIu64,
		      number, want.locked, events->first_lock, events->last_lock);
	return shape;
}

/* --- tiers ------------------------------------------------------------------------------------ */

/* Written behind every area: an overrun, or a free of other bytes than were asked for, breaks it. */
#define CANARY_BYTES 64u

static uint64_t canary(const void *memory, size_t bytes)
{
	return ((uintptr_t)memory ^ bytes) * 0x9e3779b97f4a7c15ull;
}

static void *poisoning_alloc(size_t bytes, size_t align)
{
	size_t room = bytes + CANARY_BYTES + align;
	char *memory = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *aligned;

	if (memory == MAP_FAILED)
		return NULL;
	/*
	 * Whole pages before and after the aligned area go back at once, so that its own bounds are enough to free it.
	 */
	aligned = (char *)(((uintptr_t)memory + align - 1) & ~(uintptr_t)(align - 1));
	if (aligned > memory && ((uintptr_t)aligned & 4095) == 0)
		munmap(memory, (size_t)(aligned - memory));
	return aligned;
}

/* Nobody may read what was given back. Old areas leave the quarantine so that the test's own memory is bounded. */
static void poisoning_free(struct stress_tier *tier, void *memory, size_t bytes)
{
	size_t room = (bytes + CANARY_BYTES + 4095) & ~(size_t)4095;
	struct stress_area *area;

	memset(memory, 0xdb, bytes);
	stress_assert(mprotect(memory, room, PROT_NONE) == 0, "an area given back cannot be made unreadable");
	pthread_mutex_lock(&tier->lock);
	area = &tier->quarantine[tier->next++ % (sizeof(tier->quarantine) / sizeof(tier->quarantine[0]))];
	if (area->memory)
		munmap(area->memory, area->bytes);
	area->memory = memory;
	area->bytes = room;
	pthread_mutex_unlock(&tier->lock);
}

static void *counting_alloc(void *arg, size_t bytes, size_t align)
{
	struct stress_tier *tier = arg;
	uint64_t now, peak, mark;
	void *memory = NULL;

	if (tier->poison)
		memory = poisoning_alloc(bytes, align < 4096 ? 4096 : align);
	else if (posix_memalign(&memory, align < sizeof(void *) ? sizeof(void *) : align, bytes + CANARY_BYTES))
		memory = NULL;
	if (!memory)
		return NULL;
	/* The contract says that memory need not be zeroed. */
	memset(memory, 0xc5, bytes);
	mark = canary(memory, bytes);
	memcpy((char *)memory + bytes, &mark, sizeof(mark));
	now = atomic_fetch_add_explicit(&tier->bytes, bytes, memory_order_relaxed) + bytes;
	peak = atomic_load_explicit(&tier->peak, memory_order_relaxed);
	while (now > peak && !atomic_compare_exchange_weak_explicit(&tier->peak, &peak, now, memory_order_relaxed,
								    memory_order_relaxed))
		;
	return memory;
}

static void counting_free(void *arg, void *memory, size_t bytes)
{
	struct stress_tier *tier = arg;
	uint64_t mark;

	memcpy(&mark, (char *)memory + bytes, sizeof(mark));
	stress_assert(mark == canary(memory, bytes),
		      "%zu bytes given back to a tier are not what was taken, or were overrun", bytes);
	atomic_fetch_sub_explicit(&tier->bytes, bytes, memory_order_relaxed);
	if (tier->poison)
		poisoning_free(tier, memory, bytes);
	else
		free(memory);
}

void stress_tier_init(struct stress_tier *tier, bool poison)
{
	memset(tier, 0, sizeof(*tier));
	tier->poison = poison;
	tier->tier.alloc = counting_alloc;
	tier->tier.free = counting_free;
	tier->tier.arg = tier;
	pthread_mutex_init(&tier->lock, NULL);
}

void stress_tier_fini(struct stress_tier *tier, const char *what)
{
	uint64_t bytes = atomic_load_explicit(&tier->bytes, memory_order_relaxed);

	stress_assert(bytes == 0, "the map is destroyed, but %" PRIu64 " bytes of its %s are not given back", bytes,
		      what);
	for (size_t i = 0; i < sizeof(tier->quarantine) / sizeof(tier->quarantine[0]); i++) {
		if (tier->quarantine[i].memory)
			munmap(tier->quarantine[i].memory, tier->quarantine[i].bytes);
	}
	pthread_mutex_destroy(&tier->lock);
}

void stress_map_init(struct stress_map *map, const struct rmap_options *options, bool poison)
{
	struct rmap_options own = RMAP_OPTIONS_DEFAULT;

	if (options)
		own = *options;
	stress_tier_init(&map->chains, poison);
	stress_tier_init(&map->metadata, false);
	own.tier = &map->chains.tier;
	own.metadata = &map->metadata.tier;
	stress_assert(rmap_create(&own, &map->map) == 0, "the map cannot be made");
}

static void print_figures(const char *what, const struct rmap_statistics *stats, uint64_t peak)
{
	printf("  %s: promotions=%" PRIu64 " collapses=%" PRIu64 " pushes=%" PRIu64 " pops=%" PRIu64
	       " entries_moved=%" PRIu64 " batches=%" PRIu64 " held_back=%" PRIu64 " retries=%" PRIu64
	       " tier_peak=%" PRIu64 "\n",
	       what, stats->promotions, stats->collapses, stats->pushes, stats->pops, stats->entries_moved,
	       stats->batches, stats->fills_held_back, stats->retries, peak);
}

void stress_map_fini(struct stress_map *map, const char *what)
{
	struct rmap_statistics stats = { .size = sizeof(stats) };
	uint64_t given;
	int error;

	stress_assert(rmap_check(map->map) == 0, "G8: memory is not where the figures say");
	stress_assert(rmap_stats(map->map, &stats) == 0, "rmap_stats refused its own size");
	given = atomic_load_explicit(&map->chains.bytes, memory_order_relaxed);
	stress_assert(stats.chain_bytes == 0 && stats.reserve_bytes == 0,
		      "all reserves are destroyed, but %" PRIu64 " bytes are in chains and %" PRIu64 " in hand",
		      stats.chain_bytes, stats.reserve_bytes);
	stress_assert(stats.tier_bytes == given, "G8: the tier gave %" PRIu64 " bytes, the map knows of %" PRIu64,
		      given, stats.tier_bytes);
	stress_assert(stats.promotions == stats.collapses,
		      "no chain is left, but %" PRIu64 " were made and %" PRIu64 " fell back", stats.promotions,
		      stats.collapses);
	error = rmap_destroy(map->map);
	stress_assert(error == 0, "the map cannot be destroyed: %s", strerror(-error));
	stress_tier_fini(&map->chains, "tier");
	stress_tier_fini(&map->metadata, "metadata");
	if (what)
		print_figures(what, &stats, atomic_load_explicit(&map->chains.peak, memory_order_relaxed));
}

bool stress_get(_Atomic uint32_t *refs)
{
	uint32_t now = atomic_load_explicit(refs, memory_order_relaxed);

	while (now > 0)
		if (atomic_compare_exchange_weak(refs, &now, now + 1))
			return true;
	return false;
}

void stress_cut_or_mend(struct rmap_object *object, const struct rmap_range *range, uint64_t *cut, uint64_t index)
{
	struct rmap_range left = *range, right = *range;
	struct rmap_change changes[] = { { .range = &left }, { .range = &right, .with = range, .n = 1 } };
	int result;

	if (!*cut) {
		*cut = index;
		result = rmap_object_split(object, range, index);
	} else {
		left.last = *cut - 1;
		right.first = *cut;
		right.address = rmap_range_address(range, *cut);
		result = rmap_object_update(object, changes, 2);
		*cut = 0;
	}
	stress_assert(result == 0, "a range could not be cut or mended: %s", strerror(-result));
}

struct one_by_one {
	rmap_walk_visit visit;
	void *arg;
};

static int visit_each(void *arg, const struct rmap_visits *visits)
{
	const struct one_by_one *each = arg;
	struct rmap_visit visit;
	int stop = 0;

	for (size_t i = 0; i < visits->n && !stop; i++) {
		rmap_visits_get(visits, i, &visit);
		stop = each->visit(each->arg, &visit);
	}
	return stop;
}

int stress_walk_page(struct rmap *map, const struct rmap_target *target, rmap_walk_visit visit, void *arg,
		     struct rmap_walk_summary *summary)
{
	struct one_by_one each = { visit, arg };
	struct rmap_cursor cursor;
	int result;

	rmap_cursor_init(&cursor, map, target);
	cursor.rounds_max = UINT32_MAX;
	result = rmap_walk_batches(&cursor, visit_each, &each);
	if (summary)
		*summary = cursor.summary;
	return result;
}
