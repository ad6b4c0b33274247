/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * output.c - where results of the commands that measure go, beside standard output: JSON, and the page made of it
 *
 * A page may be made of an older result, too. That comes from outside: what the scripts of the pages rely on is looked
 * at here, so that a file that is none is refused by a sentence, and not shown as an empty page.
 */
#include <errno.h>
#include <string.h>

#include "report.h"

static const struct argp_option options[] = {
	{ "json", 'j', "FILE", 0, "Also write the result to FILE as JSON; - means standard output, and then no tables",
	  0 },
	{ "html", BENCH_HTML, "FILE", 0,
	  "Also write the result as a page with charts, which any browser opens without a network, to FILE, which only "
	  "its owner may read",
	  0 },
	{ "load", BENCH_LOAD, "FILE", 0, "Measure nothing: make the page of --html of what --json has written to FILE",
	  0 },
	{ 0 },
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct bench_output *output = state->input;

	switch (key) {
	case 'j':
		output->json = arg;
		return 0;
	case BENCH_HTML:
		output->html = arg;
		return 0;
	case BENCH_LOAD:
		output->load = arg;
		return 0;
	case ARGP_KEY_END:
		if (output->load && (!output->html || output->json || output->chosen))
			bad_usage(state, "--load makes the page of --html of what --json wrote: give these two alone");
		if (output->html)
			page_require(output->page, state);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

const struct argp bench_output_argp = { .options = options, .parser = parse };

int bench_output_begin(const char *program, struct bench_output *output)
{
	int status = output->html ? page_prepare(output->html) : 0;

	if (status || !output->json)
		return status;
	output->file = strcmp(output->json, "-") == 0 ? stdout : fopen(output->json, "w");
	if (output->file)
		return 0;
	fprintf(stderr, "%s: cannot write \"%s\": %s; name a file in a writable directory\n", program, output->json,
		strerror(errno));
	return 2;
}

void bench_output_abandon(struct bench_output *output)
{
	if (output->file && output->file != stdout)
		fclose(output->file);
}

static int write_json(const char *program, struct bench_output *output, const json_t *report)
{
	FILE *file = output->file;
	int failed = json_dumpf(report, file, JSON_INDENT(2) | JSON_REAL_PRECISION(6)) || fputc('\n', file) == EOF;

	/* Whether standard output was written is seen to by tools/main.c. */
	if (file == stdout)
		return 0;
	failed |= fclose(file);
	if (failed)
		fprintf(stderr, "%s: writing \"%s\" failed: %s; make room where it goes\n", program, output->json,
			strerror(errno));
	return failed ? 2 : 0;
}

int bench_output_end(const char *program, struct bench_output *output, char **argv, json_t *report, json_t *about)
{
	int status = output->file ? write_json(program, output, report) : 0, paged = 0;
	json_t *document = page_document(argv, json_incref(report));

	json_object_set_new(document, "about", about);
	if (output->html)
		paged = page_write(output->html, output->page, document);
	else
		json_decref(document);
	return status ? status : paged;
}

static bool is_figure(const json_t *value)
{
	double median, min, max;

	return json_is_array(value) ||
	       !json_unpack((json_t *)value, "{s:F, s:F, s:F}", "median", &median, "min", &min, "max", &max);
}

static bool is_row(json_t *row)
{
	json_t *contenders, *figures, *value;
	const char *word, *unit, *name, *figure;
	json_int_t n;

	if (json_unpack(row, "{s:s, s:I, s:s, s:o}", "case", &word, "n", &n, "unit", &unit, "contenders",
			&contenders) ||
	    !json_object_size(contenders))
		return false;
	json_object_foreach(contenders, name, figures)
	{
		if (!json_is_object(figures))
			return false;
		json_object_foreach(figures, figure, value)
		{
			if (!is_figure(value))
				return false;
		}
	}
	return true;
}

/* A target; or, of the lab, a verdict. */
static bool is_judged(json_t *entry, bool lab)
{
	const char *name, *bound, *other;
	double target, measured;
	json_int_t n;
	int met;

	if (lab)
		return !json_unpack(entry, "{s:s, s:I, s:s, s:s, s:F, s:F, s:b}", "case", &name, "n", &n, "what",
				    &bound, "than", &other, "target", &target, "measured", &measured, "met", &met);
	return !json_unpack(entry, "{s:s, s:s, s:F}", "name", &name, "bound", &bound, "target", &target) &&
	       (!json_unpack(entry, "{s:s}", "elsewhere", &other) ||
		!json_unpack(entry, "{s:F, s:b}", "measured", &measured, "met", &met));
}

/* Of the lab's there are names of backends, and verdicts in the place of targets. */
static bool is_result(json_t *report, bool lab)
{
	const char *benchmark, *cpu, *kernel, *compiler, *flags, *build;
	json_t *rows, *judged, *backends, *row, *entry;
	int cores, repeat;
	double load, seconds;
	size_t i;

	if (json_unpack(report, "{s:s, s:i, s:F, s:{s:s, s:i, s:s, s:s, s:s, s:s, s:F}, s:o, s:o}", "benchmark",
			&benchmark, "repeat", &repeat, "seconds", &seconds, "machine", "cpu", &cpu, "cores", &cores,
			"kernel", &kernel, "compiler", &compiler, "flags", &flags, "build", &build, "load", &load,
			"cases", &rows, lab ? "verdicts" : "targets", &judged) ||
	    lab != !strcmp(benchmark, "lab") || !json_array_size(rows) || !json_is_array(judged))
		return false;
	if (lab && (json_unpack(report, "{s:o}", "backends", &backends) || !json_is_array(backends)))
		return false;
	json_array_foreach(judged, i, entry)
	{
		if (!is_judged(entry, lab))
			return false;
	}
	json_array_foreach(rows, i, row)
	{
		if (!is_row(row))
			return false;
	}
	return true;
}

int bench_output_draw(char **argv, struct bench_output *output, json_t *(*about)(const json_t *report))
{
	int status = bench_output_begin(argv[0], output);
	json_t *report, *more = NULL;
	json_error_t error;

	if (status)
		return status;
	report = json_load_file(output->load, 0, &error);
	if (report && is_result(report, strcmp(argv[0], "rmap lab") == 0))
		more = about(report);
	if (more) {
		status = bench_output_end(argv[0], output, argv, report, more);
	} else {
		fprintf(stderr, "%s: \"%s\" is no result of this command (%s); name what %s --json wrote\n", argv[0],
			output->load, report ? "it has other fields" : error.text, argv[0]);
		status = 2;
	}
	json_decref(report);
	return status;
}
