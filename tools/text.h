/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * text.h - figures and names as people, JSON and CSV are told them
 */
#ifndef TEXT_H
#define TEXT_H

#include "sample.h"
#include "tool.h"

#include <jansson.h>

/** enum format - what a report is for: to be read, or for a program, as a document or as a table */
enum format { FORMAT_TEXT, FORMAT_JSON, FORMAT_CSV };

/** grouped, sized - a number such as 12,345, and bytes such as 1.2 MiB; each stays until the eighth next call */
const char *grouped(uint64_t value);
const char *sized(double bytes);

/** sized_short - as sized(), with two digits or a few more, in eight columns */
const char *sized_short(double bytes);

static inline const char *plural(uint64_t n, const char *one, const char *many)
{
	return n == 1 ? one : many;
}

/** dated - the local date and time of @seconds since 1970; stays until the eighth next call, too */
const char *dated(uint64_t seconds);

/** text_buffer - 32 bytes that stay until the eighth next call of any of these */
char *text_buffer(void);

/** print_name - print @name in @width columns, without its first directories if it is longer; @pad: fill them up */
void print_name(const char *name, size_t width, bool pad);

/** json_of_name - names may hold any bytes, and JSON holds Unicode: what is none becomes question marks */
json_t *json_of_name(const char *name);

static inline json_t *json_of_number(uint64_t value)
{
	return json_integer((json_int_t)value);
}

/** json_of_sample - what was chosen, of which @kept pages were found */
json_t *json_of_sample(const struct sample *sample, uint64_t kept);

/**
 * print_json, print_json_line - print @json, in ASCII, for it may go to a terminal; and free it
 *
 * The second one prints a single line, for documents that follow each other. main() looks whether it was written.
 */
void print_json(json_t *json);
void print_json_line(json_t *json);

/**
 * csv_name, csv_number - print a comma and a cell of CSV as RFC 4180 has it
 *
 * Names are UTF-8, those of JSON, but CSV has no escapes, and may go to a terminal: what would command that is a
 * question mark. A newline commands nothing and stays. @known: the cell is empty otherwise
 */
void csv_name(const char *name);
void csv_number(bool known, uint64_t value);

#endif
