/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * report.h - what `rmap snapshot` and `rmap who` print; whether it could be written is seen to by main.c
 */
#ifndef REPORT_H
#define REPORT_H

#include "figures.h"
#include "source.h"

#include <jansson.h>

/**
 * report_snapshot - print a verified system for people; json_snapshot - the same as JSON
 * @top: how many of the most shared pages to name
 * Context: as a registered reader
 */
void report_snapshot(const struct system *system, const struct timing *timing, const struct figures *figures,
		     unsigned top);
json_t *json_snapshot(const struct system *system, const struct timing *timing, const struct figures *figures,
		      unsigned top);

/** json_histogram - how many pages have how many mappings */
json_t *json_histogram(const struct figures *figures);

/** struct answer - everyone who maps a frame */
struct answer {
	uint64_t pfn;
	struct mapper *mappers;
	size_t n;
};

/** report_who - print one answer; context as report_snapshot()'s */
void report_who(const struct system *system, const struct answer *answer, bool json);
/** report_who_all - print several; of @absent pages that were asked for there are none, for they are not in memory */
void report_who_all(const struct system *system, const struct answer *answers, size_t n, uint64_t absent, bool json);

#endif
