/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench.c - the `rmap bench` command
 *
 * The command line picks a benchmark and rows of it; each row measures into its part of the report, which goes out as
 * tables, as JSON, as a page, or as all of them.
 */
#include <string.h>

#include <urcu/urcu-memb.h>

#include "report.h"

#define BENCH_DECLARE(word) extern const struct benchmark bench_##word;
BENCH_LIST(BENCH_DECLARE)

#define BENCH_ADDRESS(word) &bench_##word,
static const struct benchmark *const benchmarks[] = { BENCH_LIST(BENCH_ADDRESS) };

#define BENCHMARKS (sizeof(benchmarks) / sizeof(benchmarks[0]))

struct arguments {
	struct bench_options options;
	const struct benchmark *benchmark;
	struct bench_output output;
	bool list;
};

enum { KEY_FROM = BENCH_KEYS };

static const struct argp_option argp_options[] = {
	{ "quick", 'q', NULL, 0, "Take seconds instead of minutes: fewer rounds, and no rows that take long", 0 },
	{ "filter", 'f', "TEXT", 0, "Measure only the rows whose name, such as pair/64, has TEXT in it", 0 },
	{ "threads", 't', "N", 0, "Let N threads run in rows that have several (default 2)", 0 },
	{ "from", KEY_FROM, "FILE", 0, "pages: take the sharing of a system that rmap snapshot --save recorded", 0 },
	{ "seconds", 's', "S", 0, "Measure for S seconds in all (default 90, with --quick 10), beside building", 0 },
	{ "repeat", 'r', "N", 0, "Measure in N interleaved rounds (default 11, with --quick 5)", 0 },
	{ "list", 'l', NULL, 0, "List the benchmarks, or of BENCHMARK the rows", 0 },
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

static const char *row_label(const struct bench_row *row, char label[64])
{
	snprintf(label, 64, "%s/%zu", row->name, row->n);
	return label;
}

static bool is_wanted(const struct benchmark *benchmark, const struct bench_row *row,
		      const struct bench_options *options)
{
	char label[64];

	if (benchmark->records && (row->n == 0) != (options->from != NULL))
		return false;
	if (row->slow && options->quick)
		return false;
	return !options->filter || strstr(row_label(row, label), options->filter);
}

/* What is asked for must be there to be measured. */
static void check_arguments(struct argp_state *state, const struct arguments *arguments)
{
	const struct benchmark *benchmark = arguments->benchmark;
	const struct bench_options *options = &arguments->options;
	bool wanted = false;

	if (!benchmark && !arguments->list && !arguments->output.load)
		bad_usage(state, "name a benchmark; --list names them");
	if (!benchmark)
		return;
	for (size_t i = 0; i < benchmark->rows_n; i++)
		wanted |= is_wanted(benchmark, &benchmark->rows[i], options);
	if (!wanted)
		bad_usage(state, "no row of \"%s\" has \"%s\" in its name%s; --list %s names them", benchmark->name,
			  options->filter, options->quick ? " and is quick" : "", benchmark->name);
	if (options->from && !benchmark->records)
		bad_usage(state, "--from is for \"pages\", and \"%s\" makes up what it measures", benchmark->name);
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct arguments *arguments = state->input;

	/* An option, or an argument. */
	arguments->output.chosen |= key < ARGP_KEY_END;
	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &arguments->output;
		return 0;
	case 'q':
		arguments->options.quick = true;
		return 0;
	case 's':
		arguments->options.seconds = bench_parse_seconds(state, arg);
		return 0;
	case 'r':
		arguments->options.repeat = bench_parse_whole(state, "repeat", arg, 1, BENCH_ROUNDS_MAX);
		return 0;
	case 't':
		arguments->options.threads = bench_parse_whole(state, "threads", arg, 2, BENCH_THREADS_MAX);
		return 0;
	case 'f':
		arguments->options.filter = arg;
		return 0;
	case KEY_FROM:
		arguments->options.from = arg;
		return 0;
	case 'l':
		arguments->list = true;
		return 0;
	case ARGP_KEY_ARG:
		if (arguments->benchmark)
			bad_usage(state, "one benchmark at a time, and \"%s\" is a second one", arg);
		arguments->benchmark = find_benchmark(arg);
		if (!arguments->benchmark)
			bad_usage(state, "there is no benchmark \"%s\"; --list names them", arg);
		return 0;
	case ARGP_KEY_END:
		check_arguments(state, arguments);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	.options = argp_options,
	.parser = parse_option,
	.children = (struct argp_child[]){ { .argp = &bench_output_argp }, { 0 } },
	.args_doc = "BENCHMARK\n--list [BENCHMARK]\n--load FILE --html FILE",
	.doc = "Measure librmap against its limit and its peers, interleaved in one run."
	       "\vA row's name is what it does and how many mappings or ranges there are. Peers are tested before they "
	       "are "
	       "timed. Verdicts on targets are printed and decide nothing: the exit status is 0 when all was measured, "
	       "1 "
	       "if a contender failed its test or lost a mapping, 2 for usage or output that cannot be written. "
	       "Measure "
	       "on an idle machine.",
};

static json_t *run_row(const struct bench_row *row, const struct bench_budget *budget)
{
	json_t *report = json_pack("{s:s, s:I, s:s, s:{}}", "case", row->name, "n", (json_int_t)row->n, "unit",
				   row->unit, "contenders");

	if (!row->run(row, budget, report))
		return report;
	json_decref(report);
	return NULL;
}

static json_t *run_rows(const struct benchmark *benchmark, const struct bench_options *options)
{
	struct bench_budget budget = { .options = options, .repeat = options->repeat };
	json_t *rows = json_array();
	size_t wanted = 0;

	for (size_t i = 0; i < benchmark->rows_n; i++)
		wanted += is_wanted(benchmark, &benchmark->rows[i], options);
	budget.seconds = options->seconds / (double)wanted;
	for (size_t i = 0; i < benchmark->rows_n; i++) {
		const struct bench_row *row = &benchmark->rows[i];
		char label[64];

		if (!is_wanted(benchmark, row, options))
			continue;
		bench_progress(row_label(row, label));
		json_t *report = run_row(row, &budget);

		if (!report) {
			json_decref(rows);
			return NULL;
		}
		bench_add_ratios(report);
		json_array_append_new(rows, report);
	}
	return rows;
}

static json_t *run_benchmark(const struct benchmark *benchmark, const struct bench_options *options)
{
	json_t *machine = bench_machine();

	/* Registered once for all contenders that use RCU: they share the flavor. */
	urcu_memb_register_thread();
	json_t *rows = run_rows(benchmark, options);

	urcu_memb_unregister_thread();
	bench_progress("");
	if (!rows) {
		json_decref(machine);
		return NULL;
	}
	return json_pack("{s:s, s:b, s:f, s:i, s:i, s:o, s:o, s:o}", "benchmark", benchmark->name, "quick",
			 options->quick, "seconds", options->seconds, "repeat", (int)options->repeat, "threads",
			 (int)options->threads, "machine", machine, "cases", rows, "targets",
			 bench_judge(benchmark, rows));
}

static int list(const struct benchmark *benchmark)
{
	char label[64];

	for (size_t i = 0; !benchmark && i < BENCHMARKS; i++)
		printf("%-10s %s\n", benchmarks[i]->name, benchmarks[i]->summary);
	for (size_t i = 0; benchmark && i < benchmark->rows_n; i++)
		printf("%-24s %s%s\n", row_label(&benchmark->rows[i], label), benchmark->rows[i].unit,
		       benchmark->records && !benchmark->rows[i].n ? ", with --from"
		       : benchmark->rows[i].slow                   ? ", not with --quick"
								   : "");
	return 0;
}

/* What the page tells beside the result. */
static json_t *about(const json_t *report)
{
	const struct benchmark *benchmark = find_benchmark(json_string_value(json_object_get(report, "benchmark")));

	return benchmark ? json_pack("{s:s, s:s}", "summary", benchmark->summary, "legend", benchmark->legend) : NULL;
}

/* Measure and put the result out. */
static int measure(char **argv, struct arguments *arguments)
{
	struct bench_output *output = &arguments->output;
	int status = bench_output_begin(argv[0], output);

	if (status)
		return status;
	json_t *report = run_benchmark(arguments->benchmark, &arguments->options);

	if (!report) {
		bench_output_abandon(output);
		return 1;
	}
	if (output->file != stdout)
		bench_print(arguments->benchmark, report, stdout);
	status = bench_output_end(argv[0], output, argv, report, about(report));
	json_decref(report);
	return status;
}

int bench_main(int argc, char **argv)
{
	struct arguments arguments = { .options = { .threads = 2 }, .output = { .page = &page_bench } };
	struct bench_options *options = &arguments.options;

	arguments_parse(&argp, argc, argv, &arguments);
	if (arguments.list)
		return list(arguments.benchmark);
	if (arguments.output.load)
		return bench_output_draw(argv, &arguments.output, about);
	if (options->seconds == 0)
		options->seconds = options->quick ? 10 : 90;
	if (options->repeat == 0)
		options->repeat = options->quick ? 5 : 11;
	const struct benchmark *benchmark = arguments.benchmark;
	int status = benchmark->prepare && benchmark->prepare(options) ? 2 : measure(argv, &arguments);

	if (benchmark->finish)
		benchmark->finish();
	return status;
}
