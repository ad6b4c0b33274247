/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * shares_page.h - `rmap shares --html`: the page of its report
 */
#ifndef SHARES_PAGE_H
#define SHARES_PAGE_H

#include "source.h"

#include <jansson.h>

/**
 * shares_page_write - write the page to the file @path
 * @argv:   the command, as main() got it
 * @report: what --json prints, for every grouping, with the matrix of those that share; is freed
 * Context: as a registered reader
 * Return:  a status, after complaining
 */
int shares_page_write(const char *path, const struct source *source, const struct system *system, char **argv,
		      json_t *report);

#endif
