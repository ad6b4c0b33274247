/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * report.h - what commands that measure share: numbers of their command lines, the machine, ratios, where results go
 */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include "../tools/arguments.h"
#include "../tools/page.h"
#include "bench.h"

/** bench_parse_seconds - what --seconds takes; or the command ends */
double bench_parse_seconds(struct argp_state *state, const char *text);

/** bench_parse_whole - a whole number @least .. @most that --@option takes; or the command ends */
unsigned bench_parse_whole(struct argp_state *state, const char *option, const char *text, unsigned least,
			   unsigned most);

/** bench_machine - a new object: processor, kernel, compiler, build, and load at this moment */
json_t *bench_machine(void);

/** bench_add_ratios - to the row's @report: of the unit's rounds, ratios to the first contender's */
void bench_add_ratios(json_t *report);

/**
 * struct bench_output - where a result goes beside standard output
 * @json, @html: files, or NULL; @json may be "-" for standard output
 * @load: NULL, or what was measured before: nothing is, then, but @html made of it
 * @page: what @html is made with
 * @chosen: set by the command's own parser where it is given anything else, which does not go with @load
 * @file: @json, once bench_output_begin() has opened it
 */
struct bench_output {
	const char *json;
	const char *html;
	const char *load;
	const struct page *page;
	bool chosen;
	FILE *file;
};

/**
 * bench_output_argp - takes --json, --html and --load, as a child of a command's parser: its input is a struct
 * bench_output. Keys of the parent's own begin at BENCH_KEYS
 */
extern const struct argp bench_output_argp;
enum { BENCH_HTML = 256, BENCH_LOAD, BENCH_KEYS };

/**
 * bench_output_begin - see to it that all can be written, before anything is measured: a wrong path should not cost the
 * user a minute. Return: an exit status, after a message if it is not 0
 */
int bench_output_begin(const char *program, struct bench_output *output);

/** bench_output_abandon - there is no result */
void bench_output_abandon(struct bench_output *output);

/**
 * bench_output_end - write @report to all files
 * @argv:  the command, as main() got it
 * @about: what the page has to know beside the report; is freed
 * Return: an exit status, after a message if it is not 0
 */
int bench_output_end(const char *program, struct bench_output *output, char **argv, json_t *report, json_t *about);

/**
 * bench_output_draw - measure nothing, and write the page of what --load names
 * @about: what the page has to know beside this report, new; or NULL if it is of something that there is not
 * Return: an exit status, after a message if it is not 0
 */
int bench_output_draw(char **argv, struct bench_output *output, json_t *(*about)(const json_t *report));

/** bench_print_machine - what @report says of it, with warnings if it is not fit for measuring (table.c) */
void bench_print_machine(const json_t *report, FILE *out);

/** bench_short_number - @value in three digits or so: enough to compare, and narrow (table.c) */
const char *bench_short_number(double value, char text[16]);

#endif
