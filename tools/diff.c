/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * diff.c - `rmap diff`: who grew between two recordings; changes.h compares them
 */
#include "arguments.h"
#include "changes.h"
#include "command.h"
#include "source.h"
#include "verify.h"

struct options {
	const char *recordings[2];
	unsigned recordings_n;
	unsigned threads;
	struct view view;
};

static const struct argp_option option_list[] = {
	{ "by", VIEW_BY, "WHAT", 0,
	  "Compare by process (the default), cgroup, user, file or kind of memory; may be given several times", 0 },
	{ "sort", VIEW_SORT, "FIGURE", 0, "The largest change first of pss (the default), uss, rss or swap; or by name",
	  0 },
	{ "limit", VIEW_LIMIT, "N", 0, "How many lines at most, 0 for all; default 20, with --json or --csv all", 0 },
	{ "json", VIEW_JSON, NULL, 0, "Report in JSON, in bytes", 0 },
	{ "csv", VIEW_CSV, NULL, 0, "Report in CSV, in bytes: a line for each group that changed", 0 },
	{ 0 },
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct options *options = state->input;

	if (view_parse(&options->view, key, arg, SORT_SHARED, state))
		return 0;
	switch (key) {
	case ARGP_KEY_ARG:
		if (options->recordings_n == 2)
			bad_usage(state, "two recordings are compared, and \"%s\" is a third one", arg);
		options->recordings[options->recordings_n++] = arg;
		return 0;
	case ARGP_KEY_END:
		if (options->recordings_n < 2)
			bad_usage(state, "name two recordings that rmap snapshot --save has written");
		view_complete(&options->view);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp parser = {
	.options = option_list,
	.parser = parse_option,
	.args_doc = "OLD NEW",
	.doc = "Who grew between two recordings of rmap snapshot --save, and by how much; rmap shares --help tells the "
	       "figures."
	       "\vExit status: 0 done; 1 in a recording the kernel counts other mappings of some pages; 2 a recording "
	       "cannot be read.",
};

/* ---- asking ---- */

/* Read a recording, and keep its sums: only one of two is in memory at a time. */
static int take(const struct options *options, const char *path, struct reading *reading)
{
	struct source source = { .threads = options->threads, .load = path };
	struct weights weights = { 0 };
	struct timing timing;
	struct system system;
	int status;

	system_init(&system);
	status = source_take(&source, &system, &timing);
	system_drop_map(&system);
	if (!status)
		status = weights_init(&weights, &system);
	if (!status) {
		reading_init(reading, &system);
		for (size_t i = 0; i < options->view.bys.n; i++) {
			struct tally tally;

			tally_system(&system, &weights, options->view.bys.items[i], &tally);
			reading_add(reading, &system, options->view.bys.items[i], &tally);
			tally_fini(&tally);
		}
		status = verify_sum(&system).mismatched ? STATUS_DIFFERS : STATUS_OK;
	}
	weights_fini(&weights);
	system_fini(&system);
	return status;
}

static void print_head(const char *which, const struct reading *reading)
{
	printf("%s, of %s: %s mapped, %s swapped out\n", which, dated(reading->time), sized((double)reading->whole.rss),
	       sized((double)reading->whole.swap));
}

static void show(const struct view *view, const struct reading *old, const struct reading *new)
{
	switch (view->format) {
	case FORMAT_JSON:
		print_json(changes_to_json(old, new, view));
		return;
	case FORMAT_CSV:
		changes_to_csv(old, new, view);
		return;
	case FORMAT_TEXT:
		print_head("Old", old);
		print_head("New", new);
		changes_to_text(old, new, view, "Change");
	}
}

int diff_main(int argc, char **argv)
{
	struct options options = { .threads = source_threads() };
	struct reading readings[2] = { 0 };
	int status = STATUS_OK;

	arguments_parse(&parser, argc, argv, &options);
	for (int side = 0; side < 2 && status != STATUS_LACKING; side++) {
		int of_side = take(&options, options.recordings[side], &readings[side]);

		status = of_side > status ? of_side : status;
	}
	if (status != STATUS_LACKING)
		show(&options.view, &readings[0], &readings[1]);
	for (int side = 0; side < 2; side++)
		reading_fini(&readings[side]);
	return status;
}
