/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lab.c - the command line of `rmap lab`
 *
 * Which rows, what sizes, how long: then measure.c measures, and the result goes out as tables, as JSON, as a page, or
 * as all of them.
 */
#include "lab.h"

#include <stdlib.h>
#include <string.h>

#include "../bench/report.h"
#include "../tools/command.h"
#include "../tools/file.h"
#include "../tools/system.h"
#include "../tools/tool.h"

#define LAB_DECLARE(word) extern const struct lab_workload lab_##word;
LAB_LIST(LAB_DECLARE)

#define LAB_ADDRESS(word) &lab_##word,
static const struct lab_workload *const workloads[] = { LAB_LIST(LAB_ADDRESS) };

#define WORKLOADS (sizeof(workloads) / sizeof(workloads[0]))

/** --set may be given so often. */
#define SETTINGS_MAX 32u

/* @system: for what --from names, read when all of the command line is known to be right */
struct arguments {
	struct lab_options options;
	struct bench_output output;
	const char *from;
	struct system system;
	bool list;
	char *settings[SETTINGS_MAX];
	size_t settings_n;
	uint32_t values[WORKLOADS][LAB_PARAMETERS_MAX];
};

enum { KEY_FROM = BENCH_KEYS, KEY_SEED, KEY_SET };

static const struct argp_option argp_options[] = {
	{ "quick", 'q', NULL, 0, "Take two minutes instead of half an hour: smaller sizes, fewer rounds", 0 },
	{ "filter", 'f', "TEXT", 0, "Measure only the rows whose name, such as fork/2, has TEXT in it", 0 },
	{ "backend", 'b', "TEXT", 0, "Measure only hybrid and the backends whose name has TEXT in it", 0 },
	{ "threads", 't', "N", 0, "Measure each workload with one thread and with N (default 2)", 0 },
	{ "from", KEY_FROM, "FILE", 0, "Replay a system that rmap snapshot --save recorded, too", 0 },
	{ "set", KEY_SET, "SETTING", 0, "Give a parameter of workloads a value: tasks=10", 0 },
	{ "seed", KEY_SEED, "N", 0, "Draw random numbers from this seed (default 1)", 0 },
	{ "seconds", 's', "S", 0, "Measure for S seconds in all (default 600, with --quick 30), beside building", 0 },
	{ "repeat", 'r', "N", 0, "Measure in N interleaved rounds (default 5, with --quick 3)", 0 },
	{ "list", 'l', NULL, 0, "List the workloads with their parameters, and the backends", 0 },
	{ 0 },
};

/* --- what is measured ------------------------------------------------------------------------- */

static unsigned variants(const struct lab_options *options, size_t workload)
{
	return lab_wanted(workloads[workload], options, 1) + lab_wanted(workloads[workload], options, options->threads);
}

/* Kept until it is known which workloads are wanted. */
static void add_setting(struct argp_state *state, struct arguments *arguments, char *setting)
{
	if (arguments->settings_n == SETTINGS_MAX)
		bad_usage(state, "--set can be given %u times", SETTINGS_MAX);
	arguments->settings[arguments->settings_n++] = setting;
}

/* "tasks=10" goes to all workloads wanted that have such a parameter. */
static void set(struct argp_state *state, struct arguments *arguments, char *setting)
{
	char *equals = strchr(setting, '=');
	bool known = false;

	if (!equals)
		bad_usage(state,
			  "--set takes a name and a number, such as tasks=10, not \"%s\"; --list tells the names",
			  setting);
	*equals = '\0';
	for (size_t i = 0; i < WORKLOADS; i++) {
		const struct lab_parameter *parameters = workloads[i]->parameters;

		for (size_t k = 0; parameters[k].name && variants(&arguments->options, i); k++) {
			if (strcmp(parameters[k].name, setting) != 0)
				continue;
			arguments->values[i][k] =
				bench_parse_whole(state, "set", equals + 1, parameters[k].least, parameters[k].most);
			known = true;
		}
	}
	if (!known)
		bad_usage(state, "no workload to be measured has a parameter \"%s\"; --list tells them", setting);
}

static void check_arguments(struct argp_state *state, struct arguments *arguments)
{
	struct lab_options *options = &arguments->options;
	unsigned wanted = 0;
	bool backends = !options->backend;

	if (arguments->list || arguments->output.load)
		return;
	options->recording = arguments->from ? &arguments->system : NULL;
	for (size_t i = 0; i < WORKLOADS; i++) {
		for (size_t k = 0; workloads[i]->parameters[k].name; k++)
			arguments->values[i][k] =
				options->quick ? workloads[i]->parameters[k].quick : workloads[i]->parameters[k].full;
		wanted += variants(options, i);
	}
	if (!wanted)
		bad_usage(state, "no row has \"%s\" in its name%s; --list names them", options->filter,
			  arguments->from ? "" : ", or it needs --from");
	for (size_t i = 0; vm_backends[i] && !backends; i++)
		backends = strstr(vm_backend_name(vm_backends[i]), options->backend);
	if (!backends)
		bad_usage(state, "no backend has \"%s\" in its name; --list names them", options->backend);
	for (size_t i = 0; i < arguments->settings_n; i++)
		set(state, arguments, arguments->settings[i]);
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct arguments *arguments = state->input;
	struct lab_options *options = &arguments->options;

	/* An option, or an argument. */
	arguments->output.chosen |= key < ARGP_KEY_END;
	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &arguments->output;
		return 0;
	case 'q':
		options->quick = true;
		return 0;
	case 'f':
		options->filter = arg;
		return 0;
	case 'b':
		options->backend = arg;
		return 0;
	case 't':
		options->threads = bench_parse_whole(state, "threads", arg, 1, LAB_THREADS_MAX);
		return 0;
	case 's':
		options->seconds = bench_parse_seconds(state, arg);
		return 0;
	case 'r':
		options->repeat = bench_parse_whole(state, "repeat", arg, 1, BENCH_ROUNDS_MAX);
		return 0;
	case 'l':
		arguments->list = true;
		return 0;
	case KEY_SEED:
		options->seed = bench_parse_whole(state, "seed", arg, 0, UINT32_MAX);
		return 0;
	case KEY_FROM:
		arguments->from = arg;
		return 0;
	case KEY_SET:
		add_setting(state, arguments, arg);
		return 0;
	case ARGP_KEY_ARG:
		bad_usage(state, "\"%s\" is no option; --filter picks workloads", arg);
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
	.doc = "Measure designs of reverse maps, of 2003 and of today, on the same workloads of an executable VM."
	       "\vEach run is checked: page tables and reverse map against each other, and what each access read. "
	       "Verdicts on targets are printed and decide nothing: the exit status is 0 when all was measured, 1 if a "
	       "run was not in order, 2 for usage or output that cannot be written. Measure on an idle machine.",
};

/* --- running ---------------------------------------------------------------------------------- */

static int list(void)
{
	for (size_t i = 0; i < WORKLOADS; i++) {
		printf("%-16s %s\n", workloads[i]->name, workloads[i]->summary);
		for (const struct lab_parameter *parameter = workloads[i]->parameters; parameter->name; parameter++)
			printf("    %-12s %7u, with --quick %7u: %s\n", parameter->name, parameter->full,
			       parameter->quick, parameter->what);
	}
	printf("\n");
	for (size_t i = 0; vm_backends[i]; i++)
		printf("%-16s %s\n", vm_backend_name(vm_backends[i]), vm_backend_summary(vm_backends[i]));
	return STATUS_OK;
}

static json_t *backend_names(void)
{
	json_t *names = json_array();

	for (size_t i = 0; vm_backends[i]; i++)
		json_array_append_new(names, json_string(vm_backend_name(vm_backends[i])));
	return names;
}

static json_t *report_of(struct arguments *arguments)
{
	const struct lab_options *options = &arguments->options;
	json_t *machine = bench_machine();
	json_t *rows = lab_measure(workloads, WORKLOADS, arguments->values, options);

	bench_progress("");
	if (!rows) {
		json_decref(machine);
		return NULL;
	}
	return json_pack("{s:s, s:b, s:f, s:i, s:i, s:I, s:o, s:o, s:o, s:o}", "benchmark", "lab", "quick",
			 options->quick, "seconds", options->seconds, "repeat", (int)options->repeat, "threads",
			 (int)options->threads, "seed", (json_int_t)options->seed, "machine", machine, "backends",
			 backend_names(), "cases", rows, "verdicts", lab_judge(rows));
}

/* What the page tells beside the result. */
static json_t *about(const json_t *report)
{
	json_t *summaries = json_object(), *backends = json_object();

	(void)report;
	for (size_t i = 0; i < WORKLOADS; i++)
		json_object_set_new(summaries, workloads[i]->name, json_string(workloads[i]->summary));
	for (size_t i = 0; vm_backends[i]; i++)
		json_object_set_new(backends, vm_backend_name(vm_backends[i]),
				    json_string(vm_backend_summary(vm_backends[i])));
	return json_pack("{s:o, s:o}", "workloads", summaries, "backends", backends);
}

static int measure(char **argv, struct arguments *arguments)
{
	struct bench_output *output = &arguments->output;
	int status = bench_output_begin(argv[0], output);

	if (status)
		return status;
	json_t *report = report_of(arguments);

	if (!report) {
		bench_output_abandon(output);
		return STATUS_DIFFERS;
	}
	if (output->file != stdout)
		lab_print(report, stdout);
	status = bench_output_end(argv[0], output, argv, report, about(report));
	json_decref(report);
	return status;
}

/* What could not be replayed is refused now, not after half an hour. */
static int load(const char *path, struct system *system)
{
	int status = file_load(path, system);
	size_t ptes = 0;

	for (size_t i = 0; i < system->processes_n; i++)
		ptes += system->processes[i].ptes_n;
	if (status == STATUS_OK && ptes == 0)
		return complain("\"%s\" has no pages: record a system by rmap snapshot --save", path);
	return status;
}

/* Return: STATUS_DIFFERS if a run was not in order. */
int lab_main(int argc, char **argv)
{
	struct arguments arguments = { .options = { .threads = 2, .seed = 1 }, .output = { .page = &page_lab } };
	struct lab_options *options = &arguments.options;
	int status = STATUS_OK;

	arguments_parse(&argp, argc, argv, &arguments);
	if (arguments.list)
		return list();
	if (arguments.output.load)
		return bench_output_draw(argv, &arguments.output, about);
	if (options->seconds == 0)
		options->seconds = options->quick ? 30 : 600;
	if (options->repeat == 0)
		options->repeat = options->quick ? 3 : 5;
	system_init(&arguments.system);
	if (arguments.from)
		status = load(arguments.from, &arguments.system);
	if (status == STATUS_OK)
		status = measure(argv, &arguments);
	system_fini(&arguments.system);
	return status;
}
