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
#include "text.h"
#include "tool.h"

#include <errno.h>
#include <stdio.h>
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

static const char less_escaped[] = "\\u003c";

static void put_escaped(char **at, const char *text)
{
	const char *less;

	for (; (less = strchr(text, '<')); text = less + 1) {
		put(at, text, (size_t)(less - text));
		put(at, less_escaped, strlen(less_escaped));
	}
	put(at, text, strlen(text));
}

void page_require(const struct page *page, struct argp_state *state)
{
	if (!page->pieces_n)
		argp_failure(state, STATUS_LACKING, 0,
			     "--html: this rmap was built without d3, which draws the charts: install node-d3, "
			     "configure anew and build");
}

int page_prepare(const char *path)
{
	if (aside_is_possible(path))
		return STATUS_OK;
	return complain("\"%s\" cannot be written (%s): name a file in a directory of yours", path, strerror(errno));
}

/* Add @word as a shell reads it. */
static void put_word(FILE *out, const char *word)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-=./,:+@%";

	if (*word && !word[strspn(word, plain)]) {
		fputs(word, out);
		return;
	}
	fputc('\'', out);
	for (; *word; word++)
		fputs(*word == '\'' ? "'\\''" : (char[]){ *word, '\0' }, out);
	fputc('\'', out);
}

/* The first word of a command is one such as "rmap shares". */
static json_t *json_command(char **argv)
{
	char *text = NULL;
	size_t n = 0;
	FILE *out = open_memstream(&text, &n);
	json_t *json;

	if (!out)
		out_of_memory();
	fputs(*argv++, out);
	for (; *argv; argv++) {
		fputc(' ', out);
		put_word(out, *argv);
	}
	if (fclose(out))
		out_of_memory();
	json = json_of_name(text);
	free(text);
	return json;
}

json_t *page_document(char **argv, json_t *report)
{
	return json_pack("{s:o, s:o}", "command", json_command(argv), "report", report);
}

/* How long @page is with @text. */
static size_t length(const struct page *page, const char *text)
{
	size_t n = strlen(text) + (strlen(less_escaped) - 1) * count(text, '<');

	for (size_t i = 0; i < page->pieces_n; i++)
		n += page->pieces[i].n;
	return n;
}

int page_write(const char *path, const struct page *page, json_t *document)
{
	char *text = json_dumps(document, JSON_ENSURE_ASCII | JSON_COMPACT | JSON_REAL_PRECISION(6));
	int status = STATUS_OK;
	char *file, *at;
	size_t n;

	if (!text)
		out_of_memory();
	n = length(page, text);
	at = file = zeroed(n, 1);
	for (size_t i = 0; i < page->pieces_n; i++) {
		const struct page_piece *piece = &page->pieces[i];

		if (piece->bytes)
			put(&at, piece->bytes, piece->n);
		else
			put_escaped(&at, text);
	}
	if (!aside_write(path, file, n))
		status = complain(
			"\"%s\" cannot be written (%s): name a file in a directory of yours with room for %zu bytes",
			path, strerror(errno), n);
	free(file);
	free(text);
	json_decref(document);
	return status;
}
