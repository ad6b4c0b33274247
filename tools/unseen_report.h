/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * unseen_report.h - what no mapping shows, as people and JSON are told it
 */
#ifndef UNSEEN_REPORT_H
#define UNSEEN_REPORT_H

#include "unseen.h"

#include <jansson.h>

/** unseen_print - as text, if there is anything to say; unseen_lines - how many lines that takes */
void unseen_print(const struct unseen *unseen);
size_t unseen_lines(const struct unseen *unseen);

json_t *unseen_to_json(const struct unseen *unseen);

#endif
