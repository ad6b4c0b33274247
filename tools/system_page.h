/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * system_page.h - what pages of `rmap shares` and `snapshot` have beside the report: the system that it is about
 */
#ifndef SYSTEM_PAGE_H
#define SYSTEM_PAGE_H

#include "figures.h"
#include "source.h"

#include <jansson.h>

/** system_document - a new page_document() with the `system` */
json_t *system_document(char **argv, const struct source *source, const struct system *system,
			const struct figures *figures, json_t *report);

#endif
