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
 * program wait for an hour
 * @argp: has one child at most
 */
void arguments_parse(const struct argp *argp, int argc, char **argv, void *input);

#endif
