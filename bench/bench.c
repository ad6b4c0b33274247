/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench.c - the `rmap bench` command and the harness
 *
 * The command line picks a benchmark; the benchmark returns JSON; the machine and the compiler are added here; the
 * result goes out as tables, as JSON, or both. The harness interleaves contenders (bench.h says why) and sizes each
 * one's batches by doubling until a batch is long enough to scale from, so that an O(n) contender needs no special
 * case.
 */
#include <argp.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

#define BENCH_DECLARE(word) extern const struct benchmark bench_##word;
BENCH_LIST(BENCH_DECLARE)

#define BENCH_ADDRESS(word) &bench_##word,
static const struct benchmark *const benchmarks[] = { BENCH_LIST(BENCH_ADDRESS) };

#define BENCHMARKS (sizeof(benchmarks) / sizeof(benchmarks[0]))

/* The compiler options, as the build says them. */
#ifndef RMAP_BENCH_FLAGS
#define RMAP_BENCH_FLAGS "unknown"
#endif

/* Times count in a plain build only; sizes in all but a checked one, which shrinks segments. */
#if defined(RMAP_CHECK) || defined(RMAP_INJECT)
#define BENCH_BUILD "checked"
#elif !defined(__OPTIMIZE__)
#define BENCH_BUILD "unoptimised"
#else
#define BENCH_BUILD "plain"
#endif

#if defined(__clang__)
#define BENCH_COMPILER __VERSION__
#else
#define BENCH_COMPILER "gcc " __VERSION__
#endif

/* Before each timed batch a quarter of one runs untimed: the contender before it has taken the caches. */
#define WARMUP_SHARE 4

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static double run_batch(struct bench_contender *c, size_t units)
{
	uint64_t start = now_ns();

	c->run(c->state, units);
	uint64_t end = now_ns();

	if (c->settle)
		c->settle(c->state);
	return (double)(end - start);
}

/* How many units take about @batch_ns: at least one. */
static size_t calibrate(struct bench_contender *c, double batch_ns)
{
	size_t units = 1;

	for (;;) {
		double ns = run_batch(c, units);

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
	size_t *units = calloc(count, sizeof(*units));

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

json_t *bench_ratios(const double *samples, const double *base, size_t count)
{
	double *ratios = malloc(count * sizeof(*ratios));

	if (!ratios)
		abort();
	for (size_t i = 0; i < count; i++)
		ratios[i] = samples[i] / base[i];
	json_t *spread = bench_spread(ratios, count);

	free(ratios);
	return spread;
}

void bench_progress(const char *what)
{
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r\033[K%s", what);
}

/* The processor's name, or the architecture where /proc/cpuinfo does not give one (aarch64). */
static void processor_name(char *name, size_t size, const char *fallback)
{
	char line[256];
	FILE *cpuinfo = fopen("/proc/cpuinfo", "r");

	snprintf(name, size, "%s", fallback);
	while (cpuinfo && fgets(line, sizeof(line), cpuinfo)) {
		char *colon = strchr(line, ':');

		if (strncmp(line, "model name", 10) == 0 && colon && colon[1]) {
			colon[strcspn(colon, "\n")] = '\0';
			snprintf(name, size, "%s", colon + 2);
			break;
		}
	}
	if (cpuinfo)
		fclose(cpuinfo);
}

/* The load says how far the figures can be trusted: benchmarks want an idle machine. */
static json_t *describe_machine(double load)
{
	struct utsname uts;
	char cpu[256], kernel[256];

	uname(&uts);
	processor_name(cpu, sizeof(cpu), uts.machine);
	snprintf(kernel, sizeof(kernel), "%.64s %.64s %.64s", uts.sysname, uts.release, uts.machine);
	return json_pack("{s:s, s:I, s:s, s:s, s:s, s:s, s:f}", "cpu", cpu, "cores",
			 (json_int_t)sysconf(_SC_NPROCESSORS_ONLN), "kernel", kernel, "compiler", BENCH_COMPILER,
			 "flags", RMAP_BENCH_FLAGS, "build", BENCH_BUILD, "load", load);
}

static void print_heading(const json_t *report, const struct benchmark *benchmark)
{
	const json_t *machine = json_object_get(report, "machine");

	printf("%s: %s\n", benchmark->name, benchmark->summary);
	printf("machine: %s, %d cores, %s, load %.2f at the start\n",
	       json_string_value(json_object_get(machine, "cpu")),
	       (int)json_integer_value(json_object_get(machine, "cores")),
	       json_string_value(json_object_get(machine, "kernel")),
	       json_real_value(json_object_get(machine, "load")));
	printf("compiler: %s, flags: %s\n", json_string_value(json_object_get(machine, "compiler")),
	       json_string_value(json_object_get(machine, "flags")));
	if (strcmp(BENCH_BUILD, "plain") != 0)
		printf("warning: this is a build for tests (%s), so the times below say little; set up one with "
		       "--buildtype=release\n",
		       BENCH_BUILD);
	printf("\n");
}

struct arguments {
	struct bench_options options;
	const struct benchmark *benchmark;
	const char *json;
	bool list;
};

static const struct argp_option argp_options[] = {
	{ "quick", 'q', NULL, 0, "Take about 20 seconds instead of two minutes", 0 },
	{ "json", 'j', "FILE", 0, "Also write the result to FILE as JSON; - means standard output, and then no tables",
	  0 },
	{ "seconds", 's', "S", 0, "Measure for S seconds in all (default 90, with --quick 10), beside building", 0 },
	{ "repeat", 'r', "N", 0, "Measure in N interleaved rounds (default 11, with --quick 5)", 0 },
	{ "list", 'l', NULL, 0, "List the benchmarks", 0 },
	{ 0 },
};

static const struct benchmark *find_benchmark(const char *name)
{
	for (size_t i = 0; i < BENCHMARKS; i++) {
		if (strcmp(benchmarks[i]->name, name) == 0)
			return benchmarks[i];
	}
	return NULL;
}

static double parse_seconds(struct argp_state *state, const char *text)
{
	char *end;
	double value = strtod(text, &end);

	/* Written so that not-a-number is refused as well. */
	if (end == text || *end || !(value > 0 && value <= 86400))
		argp_error(state, "--seconds takes a number above 0 and up to 86400, not '%s'", text);
	return value;
}

static unsigned parse_repeat(struct argp_state *state, const char *text)
{
	char *end;
	long value = strtol(text, &end, 10);

	if (end == text || *end || value < 1 || value > 1000)
		argp_error(state, "--repeat takes a whole number from 1 to 1000, not '%s'", text);
	return (unsigned)value;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct arguments *arguments = state->input;

	switch (key) {
	case 'q':
		arguments->options.quick = true;
		return 0;
	case 'j':
		arguments->json = arg;
		return 0;
	case 's':
		arguments->options.seconds = parse_seconds(state, arg);
		return 0;
	case 'r':
		arguments->options.repeat = parse_repeat(state, arg);
		return 0;
	case 'l':
		arguments->list = true;
		return 0;
	case ARGP_KEY_ARG:
		if (arguments->benchmark)
			argp_error(state, "one benchmark at a time, and '%s' is a second one", arg);
		arguments->benchmark = find_benchmark(arg);
		if (!arguments->benchmark)
			argp_error(state, "there is no benchmark '%s'; --list names them", arg);
		return 0;
	case ARGP_KEY_END:
		if (!arguments->benchmark && !arguments->list)
			argp_error(state, "name a benchmark; --list names them");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	.options = argp_options,
	.parser = parse_option,
	.args_doc = "BENCHMARK\n--list",
	.doc = "Measure librmap against its limit and its peers, interleaved in one run.",
};

/* The file is opened before the measurement: a wrong path should not cost the user a minute. */
static FILE *open_json(const char *program, const char *path)
{
	if (strcmp(path, "-") == 0)
		return stdout;
	FILE *file = fopen(path, "w");

	if (!file)
		fprintf(stderr, "%s: cannot write '%s': %s; name a file in a writable directory\n", program, path,
			strerror(errno));
	return file;
}

static int write_json(const char *program, const char *path, FILE *file, const json_t *report)
{
	int failed = json_dumpf(report, file, JSON_INDENT(2) | JSON_REAL_PRECISION(6)) || fputc('\n', file) == EOF;

	/* Whether standard output was written is seen to by tools/main.c. */
	if (file == stdout)
		return 0;
	failed |= fclose(file);
	if (failed)
		fprintf(stderr, "%s: writing '%s' failed: %s; make room where it goes\n", program, path,
			strerror(errno));
	return failed ? 2 : 0;
}

static json_t *run_benchmark(const struct benchmark *benchmark, const struct bench_options *options)
{
	double load = 0;

	if (getloadavg(&load, 1) != 1)
		load = -1;
	json_t *result = benchmark->run(options);

	bench_progress("");
	if (!result)
		return NULL;
	json_t *report =
		json_pack("{s:s, s:b, s:f, s:i, s:o}", "benchmark", benchmark->name, "quick", options->quick, "seconds",
			  options->seconds, "repeat", (int)options->repeat, "machine", describe_machine(load));

	json_object_update(report, result);
	json_decref(result);
	return report;
}

int bench_main(int argc, char **argv)
{
	struct arguments arguments = { 0 };
	struct bench_options *options = &arguments.options;
	FILE *json = NULL;

	argp_err_exit_status = 2;
	if (argp_parse(&argp, argc, argv, 0, NULL, &arguments))
		return 2;
	if (arguments.list) {
		for (size_t i = 0; i < BENCHMARKS; i++)
			printf("%-10s %s\n", benchmarks[i]->name, benchmarks[i]->summary);
		return 0;
	}
	if (options->seconds == 0)
		options->seconds = options->quick ? 10 : 90;
	if (options->repeat == 0)
		options->repeat = options->quick ? 5 : 11;
	if (arguments.json && !(json = open_json(argv[0], arguments.json)))
		return 2;

	json_t *report = run_benchmark(arguments.benchmark, options);

	if (!report) {
		if (json && json != stdout)
			fclose(json);
		return 1;
	}
	if (json != stdout) {
		print_heading(report, arguments.benchmark);
		arguments.benchmark->print(report, stdout);
	}
	int status = json ? write_json(argv[0], arguments.json, json, report) : 0;

	json_decref(report);
	return status;
}
