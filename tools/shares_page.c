/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * shares_page.c - `rmap shares --html`: the page of its report; see shares_page.h
 *
 * Its document has the `report`, as --json prints it, and beside it what only a page needs: the `command` that made it,
 * the `system` that it is about, and the `histogram` of `rmap snapshot --json`.
 */
#include "shares_page.h"

#include "page.h"
#include "report.h"
#include "text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

/* The first word of a command is "rmap shares". */
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

/* What memory the machine has is not in a recording. */
static json_t *json_memory(const struct source *source)
{
	long pages = source->load ? -1 : sysconf(_SC_PHYS_PAGES);

	return pages < 0 ? json_null() : json_of_number((uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE));
}

static json_t *json_system(const struct source *source, const struct system *system, const struct figures *figures)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:b}", "release", json_of_name(system->release), "machine",
			 json_of_name(system->machine), "time", json_of_number(system->time), "memory",
			 json_memory(source), "pages", json_of_number(figures->pages), "mappings",
			 json_of_number(figures->mappings), "loaded", source->load != NULL);
}

int shares_page_write(const char *path, const struct source *source, const struct system *system, char **argv,
		      json_t *report)
{
	struct figures figures;
	int status = figures_collect(system, &figures);
	json_t *json;

	if (status) {
		json_decref(report);
		return status;
	}
	json = json_pack("{s:o, s:o, s:o, s:o}", "command", json_command(argv), "system",
			 json_system(source, system, &figures), "histogram", json_histogram(&figures), "report",
			 report);
	return page_write(path, &page_shares, json);
}
