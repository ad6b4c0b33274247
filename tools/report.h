/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * report.h - what `rmap snapshot` and `rmap who` print; whether it could be written is seen to by main.c
 */
#ifndef REPORT_H
#define REPORT_H

#include "source.h"

/**
 * report_snapshot - print a verified system
 * @top:  how many of the most shared pages to name
 * @json: as JSON, rather than for people
 * Context: as a registered reader
 * Return:  a status, after complaining
 */
int report_snapshot(const struct system *system, const struct timing *timing, unsigned top, bool json);

/** report_who - print the @n @mappers of frame @pfn; context as report_snapshot()'s */
void report_who(const struct system *system, uint64_t pfn, const struct mapper *mappers, size_t n, bool json);

#endif
