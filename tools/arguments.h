/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * arguments.h - how every program here reads its command line
 */
#ifndef ARGUMENTS_H
#define ARGUMENTS_H

#include <argp.h>

/** What a program ends with that was called wrongly. */
#define ARGUMENTS_STATUS 2

/**
 * arguments_parse - argp_parse(), with argp's --help and --usage, but without the hidden option by which argp lets a
 * program wait for an hour, and with the nearest name for an option that there is not
 * @argp: has one child at most
 */
void arguments_parse(const struct argp *argp, int argc, char **argv, void *input);

/**
 * bad_usage - end the program with a sentence that says what is wrong with its command line, and what to do
 *
 * In the place of argp_error(), which would show a terminal whatever was typed or pasted.
 */
void bad_usage(const struct argp_state *state, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
