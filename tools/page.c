/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * page.c - a template and a document become a file; see page.h
 *
 * The document stands in a script element, which ends at "</script" and changes its meaning at "<!--", wherever these
 * stand; and names of processes and files may be just that. In JSON a < can only be in a string, where \u003c is the
 * same: so none is left.
 */
#include "page.h"

#include "aside.h"
#include "tool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void put(char **at, const void *bytes, size_t n)
{
	memcpy(*at, bytes, n);
	*at += n;
}

static size_t count(const char *text, char c)
{
	size_t n = 0;

	while ((text = strchr(text, c))) {
		text++;
		n++;
	}
	return n;
}

static void put_escaped(char **at, const char *text)
{
	static const char escape[] = "\\u003c";
	const char *less;

	for (; (less = strchr(text, '<')); text = less + 1) {
		put(at, text, (size_t)(less - text));
		put(at, escape, strlen(escape));
	}
	put(at, text, strlen(text));
}

int page_write(const char *path, const struct page *page, json_t *json)
{
	char *text = json_dumps(json, JSON_ENSURE_ASCII | JSON_COMPACT | JSON_REAL_PRECISION(6));
	int status = STATUS_OK;
	char *file, *at;
	size_t n;

	if (!text)
		out_of_memory();
	n = page->before_n + strlen(text) + 5 * count(text, '<') + page->after_n;
	at = file = zeroed(n, 1);
	put(&at, page->before, page->before_n);
	put_escaped(&at, text);
	put(&at, page->after, page->after_n);
	if (!aside_write(path, file, n))
		status = complain(
			"%s cannot be written (%s): name a file in a directory of yours with room for %zu bytes", path,
			strerror(errno), n);
	free(file);
	free(text);
	json_decref(json);
	return status;
}
