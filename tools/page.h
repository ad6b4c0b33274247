/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * page.h - reports as pages: one file with charts, tables and all that draws them, which opens without a network
 *
 * A page is a template (page/), of which page/embed makes arrays of bytes when rmap is built, and the JSON document
 * that its script draws: an object with the `report`, as --json prints it, the `command` that made it, and what else a
 * page needs.
 */
#ifndef PAGE_H
#define PAGE_H

#include "arguments.h"

#include <jansson.h>

/** struct page_piece - a part of a template; without bytes, the place of the document */
struct page_piece {
	const unsigned char *bytes;
	size_t n;
};

/** struct page - a template; without pieces if what draws it was missing when rmap was built: then there is no page */
struct page {
	const struct page_piece *pieces;
	size_t pieces_n;
};

/** page_bench, page_lab, page_shares, page_snapshot - that of the command */
extern const struct page page_bench, page_lab, page_shares, page_snapshot;

/** page_require - end the program with a complaint if there is no @page */
void page_require(const struct page *page, struct argp_state *state);

/** page_prepare - can @path be written, for all that is known before? Returns a status, after complaining */
int page_prepare(const char *path);

/** page_document - a new document with @report, which it takes; @argv: the command, as main() got it */
json_t *page_document(char **argv, json_t *report);

/** page_write - write @page with @document, which it frees, to the file @path; returns a status, after complaining */
int page_write(const char *path, const struct page *page, json_t *document);

#endif
