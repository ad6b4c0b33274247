/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench.h - the `rmap bench` command and the harness that its benchmarks share
 *
 * A benchmark is a struct benchmark named bench_<word>; adding one is one word in BENCH_LIST and one in meson.build. It
 * measures into JSON, and prints its table from that JSON, so that both outputs always say the same.
 *
 * The harness runs contenders side by side: in each round every contender runs one batch, and each round begins with
 * another contender, so that a slow moment of the machine strikes all of them alike. A ratio is taken within a round,
 * between batches that ran next to each other; what is reported is the median over the rounds, with the least and the
 * greatest.
 */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <jansson.h>

/* The benchmarks, in the order of --list. */
#define BENCH_LIST(_) _(chain)

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
 * @quick:   as asked for; reported with the result
 */
struct bench_options {
	double seconds;
	unsigned repeat;
	bool quick;
};

/**
 * struct benchmark - one word of `rmap bench`
 * @run:   measure; returns a new object, or NULL after a message on standard error
 * @print: print the tables of what @run returned
 */
struct benchmark {
	const char *name;
	const char *summary;
	json_t *(*run)(const struct bench_options *options);
	void (*print)(const json_t *report, FILE *out);
};

/**
 * struct bench_contender - something that runs the same work as others do
 * @run:     do the work @units times
 * @settle:  outside the measured time, after each batch: wait for what the batch left to other threads. May be NULL
 * @samples: set: nanoseconds a unit, one for each round. The caller's array of bench_options.repeat
 */
struct bench_contender {
	void (*run)(void *state, size_t units);
	void (*settle)(void *state);
	void *state;
	double *samples;
};

/** bench_measure - run @count contenders in @repeat interleaved rounds of batches of about @batch_seconds each */
void bench_measure(struct bench_contender *contenders, size_t count, double batch_seconds, unsigned repeat);

/** bench_spread - the median, least and greatest of @count samples, as a new object */
json_t *bench_spread(const double *samples, size_t count);

/** bench_ratios - the same of samples[i] / base[i] */
json_t *bench_ratios(const double *samples, const double *base, size_t count);

/** bench_progress - say on a terminal what is being measured now; nothing is written elsewhere */
void bench_progress(const char *what);

#endif
