/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * measure.c - rounds of runs, and what their figures come to
 *
 * A row is a workload with a number of threads. Time in the reverse map is told in two ways. Where no step asks who
 * maps a page it is what a run takes longer than the same steps do on the backend that only counts, in the same round,
 * and what the VM's clock says of that count: so a clock is in next to nothing that is measured. Where one does, that
 * backend cannot run, and it is all what that clock says around a sample of calls (vm.h), without what is done to each
 * pte that was found. The clock's figure is there for all rows.
 *
 * What a run takes is its threads' time without what they waited for a core; a ratio is taken in each round.
 */
#include "lab.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../bench/report.h"

#define BACKENDS_MAX 16u
/* Batches shorter than this say little: a run takes at least as long. */
#define SECONDS_LEAST 0.01

/* One backend in one row. @error: why it was not measured, or 0 */
struct contender {
	const struct vm_backend *backend;
	int error;
	struct lab_result results[BENCH_ROUNDS_MAX];
};

struct row {
	const struct lab_workload *workload;
	const uint32_t *values;
	const struct lab_options *options;
	unsigned threads;
	double seconds; /* of each run */
	uint64_t quota;
	struct contender *contenders;
	size_t n;
};

/* A row has a part of its name in --filter, "fork" or "fork/2". */
bool lab_wanted(const struct lab_workload *workload, const struct lab_options *options, unsigned threads)
{
	char label[64];

	if (workload->records && !options->recording)
		return false;
	snprintf(label, sizeof(label), "%s/%u", workload->name, threads);
	return !options->filter || strstr(label, options->filter);
}

/* The one without traits keeps no mappings: it is there to be taken off. */
static bool is_null(const struct contender *contender)
{
	return vm_backend_traits(contender->backend) == 0;
}

static bool is_measured(const struct vm_backend *backend, const struct lab_options *options)
{
	return !options->backend || backend == vm_backends[0] || vm_backend_traits(backend) == 0 ||
	       strstr(vm_backend_name(backend), options->backend);
}

/* --- runs ------------------------------------------------------------------------------------- */

static int run_one(const struct row *row, const struct vm_backend *backend, uint64_t seed, struct lab_result *result)
{
	struct lab_run run = {
		.options = row->options,
		.workload = row->workload,
		.values = row->values,
		.backend = backend,
		.threads = row->threads,
		.seed = seed,
		.quota = row->quota,
		.seconds = row->quota ? LAB_CUT_AT * row->seconds : row->seconds,
	};

	return lab_run(&run, result);
}

/* How many steps a run is to have: as many as the first backend does in its time. */
static int calibrate(struct row *row)
{
	struct lab_result result;
	int error = run_one(row, row->contenders[0].backend, row->options->seed, &result);

	row->quota = result.steps ? result.steps : 1;
	return error;
}

static int run_rounds(struct row *row)
{
	for (unsigned round = 0; round < row->options->repeat; round++) {
		for (size_t i = 0; i < row->n; i++) {
			struct contender *contender = &row->contenders[(i + round) % row->n];
			char label[128];

			if (contender->error)
				continue;
			snprintf(label, sizeof(label), "%s/%u: round %u of %u: %s", row->workload->name, row->threads,
				 round + 1, row->options->repeat, vm_backend_name(contender->backend));
			bench_progress(label);
			contender->error = run_one(row, contender->backend, row->options->seed + round,
						   &contender->results[round]);
			if (contender->error && contender->error != -EOPNOTSUPP)
				return contender->error;
		}
	}
	return 0;
}

/* --- figures ---------------------------------------------------------------------------------- */

typedef double (*figure_of)(const struct lab_result *result);

/* Figures of what the clock says, by kind of call. */
static const char *const calls[VM_CALLS] = {
	[VM_CALL_CHANGE] = "changes, ns", [VM_CALL_FILL] = "fills, ns",         [VM_CALL_VMA] = "vmas, ns",
	[VM_CALL_WALK] = "walks, ns",     [VM_CALL_TRUNCATE] = "truncates, ns",
};

static double all_ns(const struct lab_result *result)
{
	return result->ns;
}

static double clocked_ns(const struct lab_result *result)
{
	return result->clocked;
}

static double rate(const struct lab_result *result)
{
	return result->rate / 1e3;
}

static double peak(const struct lab_result *result)
{
	return result->peak / 1024;
}

static double bytes_each(const struct lab_result *result)
{
	return result->mappings > 0 ? result->bytes / result->mappings : 0;
}

static double wasted(const struct lab_result *result)
{
	return 100 * result->wasted;
}

static double failures(const struct lab_result *result)
{
	return result->failures;
}

static double left(const struct lab_result *result)
{
	return result->left;
}

static double p99(const struct lab_result *result)
{
	return result->p99;
}

static double done(const struct lab_result *result)
{
	return 100 * result->done;
}

/* The names are those in the JSON. */
static const struct {
	const char *name;
	figure_of of;
} figures[] = {
	{ "clocked, ns", clocked_ns },     { "k ops/s", rate },          { "peak, KiB", peak },
	{ "bytes a mapping", bytes_each }, { "wasted, %", wasted },      { "failures in 1000", failures },
	{ "left in 1000", left },          { "p99 of a walk, ns", p99 }, { "done, %", done },
};

static const struct contender *find_null(const struct row *row)
{
	for (size_t i = 0; i < row->n; i++)
		if (is_null(&row->contenders[i]) && !row->contenders[i].error)
			return &row->contenders[i];
	return NULL;
}

/* In one round. */
static double rmap_ns(const struct row *row, const struct contender *contender, unsigned round)
{
	const struct contender *null = find_null(row);

	if (!null)
		return contender->results[round].clocked;
	return contender->results[round].ns - null->results[round].ns + null->results[round].clocked;
}

static void report_contender(const struct row *row, const struct contender *contender, json_t *report)
{
	const struct bench_row unit = { .unit = "ns" };
	const char *name = vm_backend_name(contender->backend);
	const struct contender *first = &row->contenders[0];
	double samples[BENCH_ROUNDS_MAX];
	unsigned n = row->options->repeat;

	for (unsigned i = 0; i < n; i++)
		samples[i] = all_ns(&contender->results[i]);
	bench_report(report, &unit, name, "ns", samples, n);
	for (unsigned i = 0; i < n; i++)
		samples[i] = rmap_ns(row, contender, i);
	bench_report(report, &unit, name, "rmap, ns", samples, n);
	for (unsigned i = 0; i < n; i++) {
		/* A difference below a nanosecond is none that can be told. */
		samples[i] = fmax(rmap_ns(row, contender, i), 1) / fmax(rmap_ns(row, first, i), 1);
	}
	bench_report(report, &unit, name, "x hybrid, rmap", samples, n);
	for (unsigned call = 0; call < VM_CALLS; call++) {
		for (unsigned i = 0; i < n; i++)
			samples[i] = contender->results[i].calls[call];
		bench_report(report, &unit, name, calls[call], samples, n);
	}
	for (size_t k = 0; k < sizeof(figures) / sizeof(figures[0]); k++) {
		for (unsigned i = 0; i < n; i++)
			samples[i] = figures[k].of(&contender->results[i]);
		bench_report(report, &unit, name, figures[k].name, samples, n);
	}
}

/* What the bytes are, in the last round. */
static json_t *parts_of(const struct row *row)
{
	json_t *all = json_object();

	for (size_t i = 0; i < row->n; i++) {
		const struct contender *contender = &row->contenders[i];
		const struct vm_bytes *bytes = &contender->results[row->options->repeat - 1].parts;
		json_t *parts = json_object();

		for (size_t k = 0; !contender->error && k < bytes->n; k++)
			json_object_set_new(parts, bytes->parts[k].part,
					    json_integer((json_int_t)bytes->parts[k].bytes));
		json_object_set_new(all, vm_backend_name(contender->backend), parts);
	}
	return all;
}

static json_t *parameters_of(const struct row *row)
{
	json_t *object = json_object();

	for (size_t i = 0; row->workload->parameters[i].name; i++)
		json_object_set_new(object, row->workload->parameters[i].name, json_integer(row->values[i]));
	return object;
}

static json_t *report_row(const struct row *row)
{
	json_t *report = json_pack("{s:s, s:i, s:s, s:s, s:o, s:I, s:s, s:{}, s:[]}", "case", row->workload->name, "n",
				   (int)row->threads, "unit", "ns", "operation", row->workload->operation, "parameters",
				   parameters_of(row), "steps", (json_int_t)row->quota, "rmap",
				   find_null(row) ? "difference" : "clock", "contenders", "unable");

	for (size_t i = 0; i < row->n; i++) {
		const struct contender *contender = &row->contenders[i];

		if (contender->error)
			json_array_append_new(json_object_get(report, "unable"),
					      json_string(vm_backend_name(contender->backend)));
		else
			report_contender(row, contender, report);
	}
	json_object_set_new(report, "parts", parts_of(row));
	bench_add_ratios(report);
	json_object_set_new(report, "published", lab_publish(report));
	return report;
}

/* --- rows ------------------------------------------------------------------------------------- */

static json_t *measure_row(struct row *row)
{
	json_t *report = NULL;
	char label[64];

	row->contenders = calloc(BACKENDS_MAX, sizeof(*row->contenders));
	if (!row->contenders)
		abort();
	for (const struct vm_backend *const *backend = vm_backends; *backend && row->n < BACKENDS_MAX; backend++) {
		struct contender *contender = &row->contenders[row->n];

		*contender = (struct contender){ .backend = *backend };
		row->n += is_measured(*backend, row->options);
	}
	snprintf(label, sizeof(label), "%s/%u", row->workload->name, row->threads);
	bench_progress(label);
	if (!calibrate(row) && !run_rounds(row))
		report = report_row(row);
	free(row->contenders);
	return report;
}

static size_t backends(const struct lab_options *options)
{
	size_t n = 0;

	for (const struct vm_backend *const *backend = vm_backends; *backend; backend++)
		n += is_measured(*backend, options);
	return n;
}

/* How many threads the rows of a workload have: one, and options.threads. */
static unsigned threads_of(const struct lab_options *options, unsigned which)
{
	return which ? options->threads : 1;
}

json_t *lab_measure(const struct lab_workload *const *workloads, size_t n, uint32_t (*values)[LAB_PARAMETERS_MAX],
		    const struct lab_options *options)
{
	unsigned variants = options->threads > 1 ? 2 : 1;
	json_t *rows = json_array();
	size_t wanted = 0;

	for (size_t i = 0; i < n; i++)
		for (unsigned k = 0; k < variants; k++)
			wanted += lab_wanted(workloads[i], options, threads_of(options, k));
	double seconds = options->seconds / (double)(wanted * backends(options) * options->repeat);

	for (size_t i = 0; i < n; i++) {
		for (unsigned k = 0; k < variants; k++) {
			struct row row = {
				.workload = workloads[i],
				.values = values[i],
				.options = options,
				.threads = threads_of(options, k),
				.seconds = seconds > SECONDS_LEAST ? seconds : SECONDS_LEAST,
			};
			json_t *report;

			if (!lab_wanted(workloads[i], options, row.threads))
				continue;
			report = measure_row(&row);
			if (!report) {
				json_decref(rows);
				return NULL;
			}
			json_array_append_new(rows, report);
		}
	}
	return rows;
}
