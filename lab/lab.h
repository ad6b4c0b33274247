/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lab.h - the `rmap lab` command: designs of reverse maps, each on the same workloads of the executable VM
 *
 * A *backend* of the VM (model/vm/vm.h) is a design: the library, and what kernels had before and after the mail of
 * 2003. A *workload* is what the designs were argued with, or are today: it makes mms, files and mappings in a VM, and
 * then repeats a step of some operations in each thread. A *run* is one workload on one backend in a VM of its own,
 * with one seed; at its end page tables and reverse map are compared, and contents were at each access.
 *
 * Runs of all backends are interleaved, as rmap bench does it (bench/bench.h): each round begins with another one. How
 * many steps a row's runs take is found out with the first backend, and is then the same for all; a run that takes
 * CUT_AT times as long is cut, and says how much of the work it has done.
 *
 *      lab.c        the command line
 *      measure.c    rounds, and what their figures come to
 *      run.c        one run; clock.c: what the VM's clock says of it
 *      table.c      tables; verdicts.c: what hybrid was to be; published.c: what was measured in 2003 and 2004
 *      tests.c, fork.c, database.c, shm.c, truncate.c, pages.c, recorded.c      workloads
 */
#ifndef LAB_LAB_H
#define LAB_LAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <jansson.h>

#include "../bench/bench.h"
#include "../model/vm/vm.h"
#include "clock.h"

struct system;

/** The workloads, in the order of --list. */
#define LAB_LIST(_)                                                                                                    \
	_(test_1)                                                                                                      \
	_(test_2)                                                                                                      \
	_(test_3)                                                                                                      \
	_(fork)                                                                                                        \
	_(database)                                                                                                    \
	_(database_tight)                                                                                              \
	_(database_clusters)                                                                                           \
	_(shm)                                                                                                         \
	_(shm_mlocked)                                                                                                 \
	_(truncate)                                                                                                    \
	_(migrate)                                                                                                     \
	_(aging)                                                                                                       \
	_(recorded)

/** The most that --threads takes. */
#define LAB_THREADS_MAX 64u
#define LAB_PARAMETERS_MAX 6u
/** A run that takes so many times its share of time is cut. */
#define LAB_CUT_AT 4

/**
 * struct lab_options - how to measure
 * @seconds:   all measured steps together; what is built and checked comes on top
 * @threads:   rows are measured with one thread and with so many
 * @backend:   NULL, or part of the name of each backend to be measured; hybrid always is
 * @recording: NULL, or a recorded system for the workload that replays one
 */
struct lab_options {
	double seconds;
	unsigned repeat;
	unsigned threads;
	bool quick;
	const char *filter;
	const char *backend;
	uint64_t seed;
	const struct system *recording;
};

/** struct lab_parameter - a number that a workload is made with; @quick: with --quick */
struct lab_parameter {
	const char *name;
	const char *what;
	uint32_t full, quick;
	uint32_t least, most;
};

struct lab_run;
struct lab_thread;

/**
 * struct lab_workload - what happens in a VM
 * @operation:  what is counted as one
 * @traits:     what a backend has to have for it: enum vm_backend_trait
 * @records:    it needs a recording
 * @parameters: ends with one that has no name
 * @options:    choose the VM
 * @begin:      make what is there when measuring begins; 0, or an error
 * @step:       do some operations. Return: how many; below 0: an error that must not be
 * @end:        NULL, or free @run->state
 */
struct lab_workload {
	const char *name;
	const char *summary;
	const char *operation;
	unsigned traits;
	bool records;
	const struct lab_parameter *parameters;
	void (*options)(const struct lab_run *run, struct vm_options *options);
	int (*begin)(struct lab_run *run, struct vm_thread *context);
	int (*step)(struct lab_thread *thread);
	void (*end)(struct lab_run *run);
};

/**
 * struct lab_run - one run
 * @values: of the workload's parameters, in their order
 * @state:  the workload's own
 * @quota:  steps for each thread; 0: until @seconds are over
 */
struct lab_run {
	const struct lab_options *options;
	const struct lab_workload *workload;
	const uint32_t *values;
	const struct vm_backend *backend;
	struct vm *vm;
	unsigned threads;
	uint64_t seed;
	uint64_t quota;
	double seconds;
	void *state;
};

/**
 * struct lab_thread - one thread of a run
 * @position: the workload's own: how far it is
 * @failures: operations that did not get what they wanted, and may not have: see lab_allow()
 */
struct lab_thread {
	struct lab_run *run;
	struct vm_thread *context;
	unsigned id;
	uint64_t random;
	uint64_t position;
	uint64_t steps;
	uint64_t operations;
	uint64_t failures;
	double ns;
	struct lab_clock clock;
	int error;
};

/**
 * struct lab_result - what a run has come to
 * @ns:       an operation's time in its thread, without what that waited for a core
 * @clocked:  of that in functions of the reverse map, by a clock around a sample of calls; @calls: by kind
 * @rate:     operations a second of all threads
 * @done:     share of the quota
 * @bytes:    of reverse map when the steps are done; @peak: at most
 * @mappings: when the steps are done
 * @wasted:   share of a walk's visits that found no mapping
 * @failures: for 1,000 operations: refused locks, conversions that failed, operations that did
 * @left:     pages that truncates left mapped, for 1,000 operations
 * @p99:      of a walk, in nanoseconds; 0: there was none
 */
struct lab_result {
	double ns;
	double clocked;
	double calls[VM_CALLS];
	double rate;
	double done;
	double bytes;
	double peak;
	double mappings;
	double wasted;
	double failures;
	double left;
	double p99;
	uint64_t steps;
	struct vm_bytes parts;
};

/**
 * lab_run - make a VM, begin, let all threads step, check, and end it
 * Return: 0; -EOPNOTSUPP: this backend does not do that; another error, after a message on standard error
 */
int lab_run(struct lab_run *run, struct lab_result *result);

/** lab_one_file - one file of @pages pages, mapped by @tasks tasks, and frames for @memory per cent of it */
void lab_one_file(struct vm_options *options, uint32_t tasks, uint32_t pages, uint32_t memory);

/** lab_allow - an operation's @error, of which those that say "not now" or "no room" are counted and come to 0 */
int lab_allow(struct lab_thread *thread, int error);

/** lab_below - a number below @n, at random */
uint32_t lab_below(struct lab_thread *thread, uint32_t n);

/** lab_mine - which of @n things is this thread's @i-th, modulo: threads share them out */
uint32_t lab_mine(const struct lab_thread *thread, uint32_t n, uint64_t i);

/** lab_touch - read what is mapped at @vpn; contents are compared with what belongs there */
int lab_touch(struct vm_thread *context, uint32_t mm, uint64_t vpn);

/** lab_wanted - does --filter name this workload with so many threads? */
bool lab_wanted(const struct lab_workload *workload, const struct lab_options *options, unsigned threads);

/** lab_measure - measure rows: a new report, or NULL after a message (measure.c); @values: of each workload */
json_t *lab_measure(const struct lab_workload *const *workloads, size_t n, uint32_t (*values)[LAB_PARAMETERS_MAX],
		    const struct lab_options *options);

/** lab_judge - the targets beside the rows' figures: a new array (verdicts.c) */
json_t *lab_judge(const json_t *rows);

/** lab_publish - what was published of a workload, beside this row's figures: an object or null, new (published.c) */
json_t *lab_publish(const json_t *row);

/** lab_print - the tables of a report (table.c) */
void lab_print(const json_t *report, FILE *out);

#endif
