/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * measure.c - the harness: interleaved batches, spreads, durations, teams of threads
 *
 * Contenders are interleaved (bench.h says why), and each one's batches are sized by doubling until a batch is long
 * enough to scale from, so that an O(n) contender needs no special case.
 *
 * A batch's time is the clock's, less what the thread waited for a core that another program had: on a busy machine
 * the figures are still those of the work, but for caches and memory that are shared. What a contender waits for
 * itself, such as a grace period, counts.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <urcu/urcu-memb.h>

#include "bench.h"

/* Before each timed batch a quarter of one runs untimed: the contender before it has taken the caches. */
#define WARMUP_SHARE 4

uint64_t bench_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static _Thread_local int delay_fd = -1;

uint64_t bench_waited(void)
{
	char text[96], *end;

	if (delay_fd < 0)
		delay_fd = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
	ssize_t length = delay_fd < 0 ? -1 : pread(delay_fd, text, sizeof(text) - 1, 0);

	if (length <= 0)
		return 0;
	text[length] = '\0';
	strtoull(text, &end, 10); /* the first number: nanoseconds on a core */
	return strtoull(end, NULL, 10);
}

void bench_work_end(void)
{
	if (delay_fd >= 0)
		close(delay_fd);
	delay_fd = -1;
}

/*
 * Both of one moment: a wait between the two would count as work at the beginning of a batch, and be taken off at its
 * end.
 */
uint64_t bench_work_now(void)
{
	uint64_t delay, now;

	do {
		delay = bench_waited();
		now = bench_now();
	} while (bench_waited() != delay);
	return now - delay;
}

static double run_batch(struct bench_contender *c, size_t units)
{
	uint64_t start = bench_work_now();
	double counted = c->run(c->state, units);
	uint64_t end = bench_work_now();

	if (c->settle)
		c->settle(c->state);
	return counted > 0 ? counted : (double)(end - start);
}

/* How many units take about @batch_ns, with what does not count: at least one. */
static size_t calibrate(struct bench_contender *c, double batch_ns)
{
	size_t units = 1;

	for (;;) {
		uint64_t start = bench_now();

		c->run(c->state, units);
		double ns = (double)(bench_now() - start);

		if (c->settle)
			c->settle(c->state);
		if (ns >= batch_ns / 8) {
			double scaled = (double)units * batch_ns / ns;

			return scaled < 1 ? 1 : (size_t)scaled;
		}
		units *= 2;
	}
}

void bench_measure(struct bench_contender *contenders, size_t count, double batch_seconds, unsigned repeat)
{
	double batch_ns = batch_seconds * 1e9 / (1 + 1.0 / WARMUP_SHARE);
	size_t *units = calloc(count ? count : 1, sizeof(*units));

	if (!units)
		abort();
	for (size_t i = 0; i < count; i++)
		units[i] = calibrate(&contenders[i], batch_ns);
	for (unsigned round = 0; round < repeat; round++) {
		for (size_t i = 0; i < count; i++) {
			size_t which = (i + round) % count;
			struct bench_contender *c = &contenders[which];

			if (units[which] >= WARMUP_SHARE)
				run_batch(c, units[which] / WARMUP_SHARE);
			c->samples[round] = run_batch(c, units[which]) / (double)units[which];
		}
	}
	free(units);
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

json_t *bench_spread(const double *samples, size_t count)
{
	double *sorted = malloc(count * sizeof(*sorted));

	if (!sorted)
		abort();
	memcpy(sorted, samples, count * sizeof(*sorted));
	qsort(sorted, count, sizeof(*sorted), compare_doubles);
	double median = (sorted[(count - 1) / 2] + sorted[count / 2]) / 2;
	json_t *spread = json_pack("{s:f, s:f, s:f}", "median", median, "min", sorted[0], "max", sorted[count - 1]);

	free(sorted);
	return spread;
}

static json_t *contender_of(json_t *report, const char *contender)
{
	json_t *contenders = json_object_get(report, "contenders");

	if (!json_object_get(contenders, contender))
		json_object_set_new(contenders, contender, json_object());
	return json_object_get(contenders, contender);
}

void bench_report(json_t *report, const struct bench_row *row, const char *contender, const char *figure,
		  const double *samples, size_t count)
{
	json_t *figures = contender_of(report, contender);

	json_object_set_new(figures, figure, bench_spread(samples, count));
	if (strcmp(figure, row->unit) != 0)
		return;
	json_t *rounds = json_array();

	for (size_t i = 0; i < count; i++)
		json_array_append_new(rounds, json_real(samples[i]));
	json_object_set_new(figures, "rounds", rounds);
}

void bench_report_one(json_t *report, const struct bench_row *row, const char *contender, const char *figure,
		      double value)
{
	bench_report(report, row, contender, figure, &value, 1);
}

/* Durations below 2 x STEPS have a place each; above, STEPS places for each power of two. */
static size_t histogram_place(uint64_t ns)
{
	unsigned shift;

	if (ns < 2 * BENCH_HISTOGRAM_STEPS)
		return (size_t)ns;
	shift = 63u - 5u - (unsigned)__builtin_clzll(ns);
	return (size_t)(shift * BENCH_HISTOGRAM_STEPS + (ns >> shift));
}

static double histogram_middle(size_t place)
{
	if (place < 2 * BENCH_HISTOGRAM_STEPS)
		return (double)place;
	size_t shift = place / BENCH_HISTOGRAM_STEPS - 1;

	return ((double)(place - shift * BENCH_HISTOGRAM_STEPS) + 0.5) * (double)(1ull << shift);
}

void bench_histogram_add(struct bench_histogram *histogram, uint64_t ns)
{
	histogram->count[histogram_place(ns)]++;
	histogram->total++;
	if (ns > histogram->max)
		histogram->max = ns;
}

void bench_histogram_merge(struct bench_histogram *into, const struct bench_histogram *from)
{
	for (size_t i = 0; i < sizeof(into->count) / sizeof(into->count[0]); i++)
		into->count[i] += from->count[i];
	into->total += from->total;
	if (from->max > into->max)
		into->max = from->max;
}

double bench_histogram_at(const struct bench_histogram *histogram, double share)
{
	double wanted = share * (double)histogram->total, seen = 0;

	for (size_t i = 0; i < sizeof(histogram->count) / sizeof(histogram->count[0]); i++) {
		seen += (double)histogram->count[i];
		if (histogram->count[i] && seen >= wanted)
			return histogram_middle(i);
	}
	return 0;
}

struct member {
	struct bench_team *team;
	void (*work)(void *arg, unsigned number, struct bench_team *team);
	void *arg;
	unsigned number;
	double delayed; /* of its time, how much it waited for a core */
	pthread_t thread;
};

/* Waiting is yielding, since there may be fewer cores than threads. */
void bench_team_begin(struct bench_team *team)
{
	atomic_fetch_sub_explicit(&team->waiting, 1, memory_order_acq_rel);
	while (atomic_load_explicit(&team->waiting, memory_order_acquire) && !bench_team_stopped(team))
		sched_yield();
}

static void *member_main(void *arg)
{
	struct member *member = arg;

	urcu_memb_register_thread();
	uint64_t began = bench_now(), delay = bench_waited();

	member->work(member->arg, member->number, member->team);
	member->delayed = (double)(bench_waited() - delay) / (double)(bench_now() - began);
	bench_work_end();
	urcu_memb_unregister_thread();
	return NULL;
}

static void sleep_seconds(double seconds)
{
	struct timespec left = { .tv_sec = (time_t)seconds,
				 .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9) };

	while (nanosleep(&left, &left) && errno == EINTR)
		;
}

double bench_team_run(unsigned threads, double seconds,
		      void (*work)(void *arg, unsigned number, struct bench_team *team), void *arg)
{
	struct bench_team team = { .waiting = threads + 1, .threads = threads };
	struct member *members = calloc(threads, sizeof(*members));
	unsigned started = 0;
	double delayed = 0;

	if (!members)
		return -1;
	for (; started < threads; started++) {
		struct member *member = &members[started];

		*member = (struct member){ .team = &team, .work = work, .arg = arg, .number = started };
		if (pthread_create(&member->thread, NULL, member_main, member))
			break;
	}
	if (started == threads) {
		bench_team_begin(&team);
		sleep_seconds(seconds);
	}
	atomic_store_explicit(&team.stop, true, memory_order_relaxed);
	for (unsigned i = 0; i < started; i++) {
		pthread_join(members[i].thread, NULL);
		delayed = members[i].delayed > delayed ? members[i].delayed : delayed;
	}
	free(members);
	return started == threads ? delayed : -1;
}

int bench_failed(const char *contender, const struct bench_row *row, const char *what)
{
	fprintf(stderr, "rmap bench: %s at %s/%zu: %s\n", contender, row->name, row->n, what);
	return -1;
}

void bench_progress(const char *what)
{
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r\033[K%s", what);
}
