/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * report.h - what the commands that measure share: numbers of their command lines, the machine, ratios, files of JSON
 */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include "../tools/arguments.h"
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
 * bench_open_json - the file @path, or for - standard output; NULL after a message
 * Before anything is measured: a wrong path should not cost the user a minute.
 */
FILE *bench_open_json(const char *program, const char *path);

/** bench_write_json - write and close it: an exit status, after a message if it is not 0 */
int bench_write_json(const char *program, const char *path, FILE *file, const json_t *report);

/** bench_print_machine - what @report says of it, with warnings if it is not fit for measuring (table.c) */
void bench_print_machine(const json_t *report, FILE *out);

/** bench_short_number - @value in three digits or so: enough to compare, and narrow (table.c) */
const char *bench_short_number(double value, char text[16]);

#endif
