/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * page.h - reports as pages: one file with charts, tables and all that draws them, which opens without a network
 *
 * A page is a template (page/), of which page/embed makes an array of bytes when rmap is built, and the JSON document
 * that its script draws.
 */
#ifndef PAGE_H
#define PAGE_H

#include <jansson.h>
#include <stdbool.h>

/** struct page - a template: what stands before the document, and what behind it */
struct page {
	const unsigned char *before;
	size_t before_n;
	const unsigned char *after;
	size_t after_n;
};

/** page_shares - that of `rmap shares` */
extern const struct page page_shares;

/** page_is_built - false if the library that draws was missing when rmap was built: then there is no page */
static inline bool page_is_built(const struct page *page)
{
	return page->before_n;
}

/** page_write - write @page with @json to the file @path, and free @json; returns a status, after complaining */
int page_write(const char *path, const struct page *page, json_t *json);

#endif
