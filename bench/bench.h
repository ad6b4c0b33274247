/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench.h - the `rmap bench` command and the harness that its benchmarks share
 *
 * A benchmark is a struct benchmark named bench_<word>: rows, and targets that compare figures of rows. Adding one is
 * one word in BENCH_LIST and one in meson.build. Rows measure into JSON, and tables are printed from that JSON
 * (table.c), so that both outputs always say the same.
 *
 * The harness (measure.c) runs contenders side by side: in each round every contender runs one batch, and each round
 * begins with another contender, so that a slow moment of the machine strikes all of them alike. A ratio is taken
 * within a round, between batches that ran next to each other; what is reported is the median over the rounds, with
 * the least and the greatest.
 */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <jansson.h>

/* The benchmarks, in the order of --list. */
#define BENCH_LIST(_) _(chain) _(threads) _(ranges) _(pages)

/* Times count in a plain build only; sizes in all but a checked one. */
#if defined(RMAP_CHECK) || defined(RMAP_INJECT)
#define BENCH_BUILD "checked"
#define BENCH_SIZE_MAX ((size_t)1500)
#elif !defined(__OPTIMIZE__)
#define BENCH_BUILD "unoptimised"
#define BENCH_SIZE_MAX SIZE_MAX
#else
#define BENCH_BUILD "plain"
#define BENCH_SIZE_MAX SIZE_MAX
#endif

/** The most threads that --threads takes, and rounds that --repeat takes. */
#define BENCH_THREADS_MAX 256u
#define BENCH_ROUNDS_MAX 1000u

/**
 * bench_main - the `rmap bench` command
 * @argv:   argv[0] is the name for messages, such as "rmap bench"
 * Return:  an exit status: 0 done; 1 a measurement failed; 2 usage, or the result cannot be written
 */
int bench_main(int argc, char **argv);

/**
 * struct bench_options - how to measure
 * @seconds: wall-clock time that all batches together may take; what a contender needs to be built comes on top
 * @repeat:  rounds
 * @threads: of rows that have several; at least 2
 * @quick:   leave out slow rows; reported with the result
 * @filter:  NULL, or part of the name of each row to be measured
 * @from:    NULL, or a recorded system whose pages `pages` takes
 */
struct bench_options {
	double seconds;
	unsigned repeat;
	unsigned threads;
	bool quick;
	const char *filter;
	const char *from;
};

/**
 * struct bench_budget - what one row may use
 * @seconds: for all its batches
 */
struct bench_budget {
	const struct bench_options *options;
	double seconds;
	unsigned repeat;
};

/**
 * struct bench_row - one line of a table
 * @name, @n: a row is named NAME/N; what is measured is less in a checked build, see bench_size(). In a benchmark that
 *            takes recordings 0: measured if there is one, and then alone
 * @unit:     of its first figure: "ns", "us", "M/s" or "bytes"
 * @slow:     left out by --quick
 * @run:      measure, and put figures into @report by bench_report(); 0, or -1 after a message on standard error
 * @arg:      for @run
 */
struct bench_row {
	const char *name;
	size_t n;
	const char *unit;
	bool slow;
	int (*run)(const struct bench_row *row, const struct bench_budget *budget, json_t *report);
	const void *arg;
};

/**
 * struct bench_target - what a figure must be
 * @row, @least, @most: rows of this name and of sizes in between; the worst of them counts
 * @contender, @figure: whose, and which
 * @bases:    NULL, or names of contenders: the target is of the figure's ratio to theirs, in each round to the better
 * @at_least: the target is a least figure, not a greatest
 * @bound:    the target
 * @elsewhere: NULL, or why no run of this command can tell: what can
 */
struct bench_target {
	const char *name;
	const char *row;
	size_t least, most;
	const char *contender;
	const char *figure;
	const char *const *bases;
	bool at_least;
	double bound;
	const char *elsewhere;
};

/**
 * struct benchmark - one word of `rmap bench`
 * @legend:  what its rows and contenders are, for those who read the tables
 * @prepare: NULL, or called once before the rows: 0, or -1 after a message
 * @finish:  NULL, or called once after them
 * @records: rows take a recording: --from is for this benchmark
 */
struct benchmark {
	const char *name;
	const char *summary;
	const char *legend;
	const struct bench_row *rows;
	size_t rows_n;
	const struct bench_target *targets;
	size_t targets_n;
	int (*prepare)(const struct bench_options *options);
	void (*finish)(void);
	bool records;
};

/** bench_size - @n, or less in a build for tests, where every row is to run and none to say much */
static inline size_t bench_size(size_t n)
{
	return n < BENCH_SIZE_MAX ? n : BENCH_SIZE_MAX;
}

/**
 * struct bench_contender - something that runs the same work as others do
 * @run:     do the work @units times; returns 0, or the nanoseconds that count if not all of the call's do
 * @settle:  outside the measured time, after each batch: wait for what the batch left to other threads. May be NULL
 * @samples: set: nanoseconds a unit, one for each round. The caller's array of bench_budget.repeat
 */
struct bench_contender {
	double (*run)(void *state, size_t units);
	void (*settle)(void *state);
	void *state;
	double *samples;
};

/** bench_measure - run @count contenders in @repeat interleaved rounds of batches of about @batch_seconds each */
void bench_measure(struct bench_contender *contenders, size_t count, double batch_seconds, unsigned repeat);

/** bench_now - a monotonic clock, in nanoseconds */
uint64_t bench_now(void);

/** bench_work_now - the same without what this thread has waited for a core; a system call, some microseconds */
uint64_t bench_work_now(void);

/**
 * bench_waited - nanoseconds that this thread was ready to run and another one had its core; 0 where the kernel does
 * not tell. A system call
 */
uint64_t bench_waited(void);

/** bench_work_end - this thread, which has called one of these, ends: what it has open is closed */
void bench_work_end(void);

/** bench_spread - the median, least and greatest of @count samples, as a new object */
json_t *bench_spread(const double *samples, size_t count);

/**
 * bench_report - put a figure of @contender into the report of a row
 * @figure:  the row's unit, or what else it is. Of the unit the rounds are kept, too
 */
void bench_report(json_t *report, const struct bench_row *row, const char *contender, const char *figure,
		  const double *samples, size_t count);

/** bench_report_one - the same of a figure that has no spread */
void bench_report_one(json_t *report, const struct bench_row *row, const char *contender, const char *figure,
		      double value);

/**
 * struct bench_histogram - durations, to one part in 32
 * @count: how many there were, of each size; filled by one thread
 */
#define BENCH_HISTOGRAM_STEPS 32u
struct bench_histogram {
	uint64_t count[64 * BENCH_HISTOGRAM_STEPS];
	uint64_t total;
	uint64_t max;
};

void bench_histogram_add(struct bench_histogram *histogram, uint64_t ns);
void bench_histogram_merge(struct bench_histogram *into, const struct bench_histogram *from);
/** bench_histogram_at - what @share of the durations do not exceed; 0 if there is none */
double bench_histogram_at(const struct bench_histogram *histogram, double share);

/**
 * struct bench_team - threads that begin together and work until they are stopped
 *
 * Each thread is a reader of liburcu's memb flavor. Its work prepares, calls bench_team_begin(), goes on until @stop
 * is set, and returns.
 */
struct bench_team {
	atomic_uint waiting;
	atomic_bool stop;
	unsigned threads;
};

/**
 * bench_team_run - run @work(@arg, 0 .. @threads - 1, team) for @seconds
 * Return: the greatest share of its time that one of the threads has waited for a core; -1 if they cannot be had
 */
double bench_team_run(unsigned threads, double seconds,
		      void (*work)(void *arg, unsigned number, struct bench_team *team), void *arg);
void bench_team_begin(struct bench_team *team);
static inline bool bench_team_stopped(const struct bench_team *team)
{
	return atomic_load_explicit(&team->stop, memory_order_relaxed);
}

/** bench_failed - say on standard error that measuring went wrong, and where; returns -1 */
int bench_failed(const char *contender, const struct bench_row *row, const char *what);

/** bench_progress - say on a terminal what is being measured now; nothing is written elsewhere */
void bench_progress(const char *what);

/** bench_judge - compare with the targets: a new array (targets.c) */
json_t *bench_judge(const struct benchmark *benchmark, const json_t *rows);

/** bench_print - the tables of a report (table.c) */
void bench_print(const struct benchmark *benchmark, const json_t *report, FILE *out);

#endif
