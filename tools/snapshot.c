/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * snapshot.c - `rmap snapshot`: read or load a system, build its reverse map, verify it, report
 */
#include "arguments.h"
#include "command.h"
#include "file.h"
#include "page.h"
#include "report.h"
#include "source.h"
#include "system_page.h"
#include "text.h"
#include "verify.h"

#include <stdlib.h>

#define TOP_MAX 1000000

enum { KEY_LOAD = 256, KEY_SAVE, KEY_TOP, KEY_JSON, KEY_HTML, KEY_SAMPLE };

struct options {
	struct source source;
	pid_t *pids;
	size_t pids_n;
	size_t pids_capacity;
	unsigned top;
	bool json;
	const char *html;
	const char *save;
};

static const struct argp_option option_list[] = {
	{ "pid", 'p', "PID", 0, "Read only this process; may be given several times", 0 },
	{ "threads", 't', "N", 0, "How many threads read and build; default: one for each online CPU", 0 },
	{ "top", KEY_TOP, "N", 0, "How many of the most shared pages to name; default 8", 0 },
	{ "json", KEY_JSON, NULL, 0, "Report in JSON", 0 },
	{ "html", KEY_HTML, "FILE", 0,
	  "Also write the report as a page with charts, which any browser opens without a network, to FILE, which only "
	  "its owner may read",
	  0 },
	{ "save", KEY_SAVE, "FILE", 0,
	  "Record the system in FILE: processes, paths, page tables and counts, no contents", 0 },
	{ "sample", KEY_SAMPLE, "N", 0,
	  "Keep one page in N, chosen by a hash of its frame's number; all figures are of these, and it is told "
	  "how many there are of all. N:SEED chooses other pages",
	  0 },
	{ "load", KEY_LOAD, "FILE", 0, "Study a recorded system, which needs no privileges", 0 },
	{ 0 },
};

/* What goes with what. */
static void complete(const struct options *options, struct argp_state *state)
{
	if (options->save && sample_is_taken(&options->source.sample))
		bad_usage(state, "--save records all pages, and --sample leaves most of them out: give one of them");
	if (options->source.load && options->pids_n)
		bad_usage(state,
			  "--pid chooses among running processes and --load reads a recording: give one of them");
	if (options->html)
		page_require(&page_snapshot, state);
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct options *options = state->input;
	uint64_t value;

	switch (key) {
	case 'p':
		if (!parse_number(arg, 1, INT32_MAX, &value))
			bad_usage(state, "--pid wants a process's number, not \"%s\"", arg);
		options->pids =
			grow(options->pids, &options->pids_capacity, options->pids_n + 1, sizeof(*options->pids));
		options->pids[options->pids_n++] = (pid_t)value;
		return 0;
	case 't':
		options->source.threads = source_threads_parse(arg, state);
		return 0;
	case KEY_TOP:
		if (!parse_number(arg, 0, TOP_MAX, &value))
			bad_usage(state, "--top wants a number from 0 to %d, not \"%s\"", TOP_MAX, arg);
		options->top = (unsigned)value;
		return 0;
	case KEY_JSON:
		options->json = true;
		return 0;
	case KEY_HTML:
		options->html = arg;
		return 0;
	case KEY_SAVE:
		options->save = arg;
		return 0;
	case KEY_LOAD:
		options->source.load = arg;
		return 0;
	case KEY_SAMPLE:
		source_sample_parse(arg, &options->source.sample, state);
		return 0;
	case ARGP_KEY_ARG:
		bad_usage(state, "\"%s\" is no option: all that it takes begins with --", arg);
		return EINVAL;
	case ARGP_KEY_END:
		complete(options, state);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp parser = {
	.options = option_list,
	.parser = parse_option,
	.doc = "Build the reverse map of the running system from /proc, and check the mapcount of every page against "
	       "the kernel's own, in /proc/PID/pagemap and /proc/kpagecount."
	       "\vNeeds root, unless with --load. Exit status: 0 all pages agree; 1 some differ though nothing "
	       "changed (what differs is looked at again, for ten more seconds at most); "
	       "2 usage, privilege or kernel support lacking.",
};

/* Whatever is asked for is of the same figures. */
static int report(const struct options *options, const struct system *system, const struct timing *timing, char **argv)
{
	json_t *json = NULL;
	struct figures figures;
	int status = figures_collect(system, &figures);

	if (status)
		return status;
	if (options->json || options->html)
		json = json_snapshot(system, timing, &figures, options->top);
	if (options->json)
		print_json(json_incref(json));
	else
		report_snapshot(system, timing, &figures, options->top);
	if (options->html)
		status = page_write(options->html, &page_snapshot,
				    system_document(argv, &options->source, system, &figures, json));
	else
		json_decref(json);
	return status;
}

int snapshot_main(int argc, char **argv)
{
	struct options options = { .source.threads = source_threads(), .top = 8 };
	struct timing timing;
	struct system system;
	int status;

	arguments_parse(&parser, argc, argv, &options);
	options.source.pids = options.pids;
	options.source.pids_n = options.pids_n;
	options.source.kinds_only = !options.save;
	system_init(&system);
	status = options.html ? page_prepare(options.html) : STATUS_OK;
	if (!status)
		status = source_take(&options.source, &system, &timing);
	if (!status && options.save)
		status = file_save(options.save, &system);
	if (!status)
		status = report(&options, &system, &timing, argv);
	if (!status && verify_sum(&system).mismatched)
		status = STATUS_DIFFERS;
	system_fini(&system);
	free(options.pids);
	return status;
}
