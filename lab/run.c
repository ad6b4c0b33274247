/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * run.c - one run: a VM, its workload in some threads, and whether all was right at the end
 *
 * A thread's time is that of its steps, less what it waited for a core that another program had; what it waited for
 * locks counts. The figures of the VM are those of the steps alone: what begin() did is taken off.
 */
#include "lab.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Fewer frames than a few operations hold at once would be a test of that. */
#define FRAMES_MIN 64u

void lab_one_file(struct vm_options *options, uint32_t tasks, uint32_t pages, uint32_t memory)
{
	uint32_t frames = (uint32_t)((uint64_t)pages * memory / 100);

	options->frames = frames > FRAMES_MIN ? frames : FRAMES_MIN;
	options->mms = tasks;
	options->files = 1;
	options->file_pages = pages;
}

uint32_t lab_below(struct lab_thread *thread, uint32_t n)
{
	thread->random ^= thread->random << 13;
	thread->random ^= thread->random >> 7;
	thread->random ^= thread->random << 17;
	return (uint32_t)((thread->random >> 32) * n >> 32);
}

uint32_t lab_mine(const struct lab_thread *thread, uint32_t n, uint64_t i)
{
	uint32_t threads = thread->run->threads;
	uint32_t mine = n > thread->id ? (n - thread->id + threads - 1) / threads : 0;

	return mine ? (uint32_t)(i % mine) * threads + thread->id : (uint32_t)(i % n);
}

int lab_touch(struct vm_thread *context, uint32_t mm, uint64_t vpn)
{
	uint64_t value;

	return vm_read(context, mm, vpn, 0, &value);
}

int lab_allow(struct lab_thread *thread, int error)
{
	if (error != -ENOMEM && error != -EAGAIN && error != -EBUSY)
		return error;
	thread->failures++;
	return 0;
}

static int failed(const struct lab_run *run, const char *what, int error)
{
	fprintf(stderr, "rmap lab: %s on %s: %s: %s\n", run->workload->name, vm_backend_name(run->backend), what,
		strerror(-error));
	return error;
}

/* --- threads ---------------------------------------------------------------------------------- */

/* @walks: of all threads */
struct team {
	pthread_barrier_t barrier;
	struct lab_thread threads[LAB_THREADS_MAX];
	struct bench_histogram walks;
};

struct member {
	struct team *team;
	struct lab_thread *thread;
};

/* Of this thread: on a busy machine a run is to do as much as on another one. */
static double seconds_worked(void)
{
	struct timespec time;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static bool goes_on(const struct lab_thread *thread, double end)
{
	const struct lab_run *run = thread->run;

	if (run->quota && thread->steps >= run->quota)
		return false;
	return thread->steps == 0 || seconds_worked() < end;
}

static void all_steps(struct lab_thread *thread)
{
	const struct lab_run *run = thread->run;
	uint64_t began = bench_work_now();
	double end = seconds_worked() + run->seconds;

	lab_clock_begin(&thread->clock);
	while (!thread->error && goes_on(thread, end)) {
		int done = run->workload->step(thread);

		thread->steps++;
		if (done < 0)
			thread->error = done;
		else
			thread->operations += (unsigned)done;
	}
	lab_clock_end();
	thread->ns = (double)(bench_work_now() - began);
}

static void *member_main(void *arg)
{
	struct member *member = arg;
	struct lab_thread *thread = member->thread;

	thread->error = vm_thread_create(thread->run->vm, &thread->context);
	pthread_barrier_wait(&member->team->barrier);
	if (!thread->error)
		all_steps(thread);
	if (thread->context)
		vm_thread_destroy(thread->context);
	bench_work_end();
	return NULL;
}

/* If one cannot be had the others would wait for it: so this ends the program, as tools do without memory. */
static void team_run(struct lab_run *run, struct team *team)
{
	pthread_t ids[LAB_THREADS_MAX];
	struct member members[LAB_THREADS_MAX];

	if (pthread_barrier_init(&team->barrier, NULL, run->threads))
		abort();
	for (unsigned i = 0; i < run->threads; i++) {
		struct lab_thread *thread = &team->threads[i];

		/* A seed of 0 would stay 0. */
		*thread = (struct lab_thread){ .run = run, .id = i };
		thread->random = (run->seed * LAB_THREADS_MAX + i) * 0x9e3779b97f4a7c15u + 1;
		members[i] = (struct member){ team, thread };
		if (pthread_create(&ids[i], NULL, member_main, &members[i])) {
			fprintf(stderr, "rmap lab: %u threads cannot be had: ask for fewer by --threads\n",
				run->threads);
			exit(2);
		}
	}
	for (unsigned i = 0; i < run->threads; i++)
		pthread_join(ids[i], NULL);
	pthread_barrier_destroy(&team->barrier);
}

/* --- what it came to -------------------------------------------------------------------------- */

static double share(double part, double whole)
{
	return whole > 0 ? part / whole : 0;
}

static int add_threads(const struct lab_run *run, struct team *team, struct lab_result *result, double *operations,
		       double *failures)
{
	double ns = 0, longest = 0, steps = 0;

	for (unsigned i = 0; i < run->threads; i++) {
		const struct lab_thread *thread = &team->threads[i];

		if (thread->error)
			return thread->error;
		*operations += (double)thread->operations;
		*failures += (double)thread->failures;
		steps += (double)thread->steps;
		ns += thread->ns;
		for (unsigned call = 0; call < VM_CALLS; call++)
			result->calls[call] += thread->clock.ns[call];
		bench_histogram_merge(&team->walks, &thread->clock.walks);
		longest = thread->ns > longest ? thread->ns : longest;
	}
	result->ns = share(ns, *operations);
	for (unsigned call = 0; call < VM_CALLS; call++) {
		result->calls[call] = share(result->calls[call], *operations);
		result->clocked += result->calls[call];
	}
	result->p99 = bench_histogram_at(&team->walks, 0.99);
	result->rate = share(*operations * 1e9, longest);
	result->steps = (uint64_t)(steps / run->threads);
	result->done = run->quota ? steps / ((double)run->quota * run->threads) : 1;
	return 0;
}

static int add_figures(const struct lab_run *run, struct team *team, const struct vm_statistics *before,
		       struct lab_result *result)
{
	struct vm_statistics after;
	double operations = 0, failures = 0;
	int error = add_threads(run, team, result, &operations, &failures);

	if (error)
		return error;
	vm_stats(run->vm, &after);
	failures += (double)(after.refused - before->refused) + (double)(after.walks_refused - before->walks_refused) +
		    (double)(after.unconverted - before->unconverted);
	result->wasted =
		share((double)(after.visits_empty - before->visits_empty), (double)(after.visits - before->visits));
	result->failures = share(1000 * failures, operations);
	result->left = share(1000 * (double)(after.leftovers + after.orphans - before->leftovers - before->orphans),
			     operations);
	vm_bytes(run->vm, &result->parts);
	result->bytes = (double)result->parts.total;
	result->peak = (double)result->parts.peak;
	return operations > 0 ? 0 : -ETIME;
}

/* At rest. Contents were compared at each access. */
static int check(struct lab_run *run, struct vm_thread *context)
{
	struct vm_statistics statistics;
	uint64_t wrong = vm_check(context);

	vm_stats(run->vm, &statistics);
	if (!wrong && !statistics.wrong && !statistics.lock_violations)
		return 0;
	fprintf(stderr,
		"rmap lab: %s on %s: at the end %ju equations do not hold, %ju accesses met foreign words, "
		"%ju locks were out of order\n",
		run->workload->name, vm_backend_name(run->backend), (uintmax_t)wrong, (uintmax_t)statistics.wrong,
		(uintmax_t)statistics.lock_violations);
	return -EIO;
}

static int run_in(struct lab_run *run, struct vm_thread *context, struct lab_result *result)
{
	struct vm_statistics before;
	struct team *team;
	int error = run->workload->begin(run, context);

	if (error)
		return failed(run, "it cannot begin", error);
	team = calloc(1, sizeof(*team));
	if (!team)
		return failed(run, "it cannot begin", -ENOMEM);
	vm_stats(run->vm, &before);
	team_run(run, team);
	error = add_figures(run, team, &before, result);
	free(team);
	if (error)
		return failed(run, "a step failed", error);
	result->mappings = (double)vm_mappings(context);
	return check(run, context);
}

int lab_run(struct lab_run *run, struct lab_result *result)
{
	struct vm_options options = { .size = sizeof(options), .backend = run->backend, .timed = lab_clock_timed };
	struct vm_thread *context;
	int error, leaked;

	if (run->workload->traits & ~vm_backend_traits(run->backend))
		return -EOPNOTSUPP;
	*result = (struct lab_result){ .ns = 0 };
	run->state = NULL;
	run->workload->options(run, &options);
	error = vm_create(&options, &run->vm);
	if (error)
		return failed(run, "its VM cannot be made", error);
	error = vm_thread_create(run->vm, &context);
	if (!error) {
		error = run_in(run, context, result);
		vm_thread_destroy(context);
	}
	if (run->workload->end)
		run->workload->end(run);
	leaked = vm_destroy(run->vm);
	return leaked ? failed(run, "its VM does not end", leaked) : error;
}
