/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * main.c - the `rmap` command: finds the word and hands over
 */
#include "../bench/bench.h"
#include "command.h"
#include "tool.h"

#include <argp.h>
#include <locale.h>
#include <string.h>

static const struct {
	const char *word;
	const char *name;
	int (*main)(int argc, char **argv);
	const char *summary;
} commands[] = {
	{ "snapshot", "rmap snapshot", snapshot_main,
	  "the reverse map of the running system, checked against the kernel's counts" },
	{ "who", "rmap who", who_main, "everyone who maps one page of memory" },
	{ "bench", "rmap bench", bench_main, "measure the library beside its peers" },
};

#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static int help(FILE *out)
{
	fputs("Usage: rmap COMMAND [OPTION...]\nReverse mappings: which page-table entries map a page?\n\n", out);
	for (size_t i = 0; i < COMMANDS; i++)
		fprintf(out, "  %-10s %s\n", commands[i].word, commands[i].summary);
	fputs("\nrmap COMMAND --help tells a command's options.\n"
	      "Exit status: 0 done, and verified where there is something to verify; 1 something differs;\n"
	      "2 usage, privilege, or kernel support lacking, with a sentence that says what to do.\n",
	      out);
	return STATUS_OK;
}

int main(int argc, char **argv)
{
	const char *word = argc > 1 ? argv[1] : "";

	/* The terminal's characters are wanted, but no other locale: numbers are read and written alike everywhere. */
	setlocale(LC_CTYPE, "");
	argp_err_exit_status = STATUS_LACKING;
	for (size_t i = 0; i < COMMANDS; i++) {
		if (strcmp(word, commands[i].word))
			continue;
		argv[1] = (char *)commands[i].name;
		return commands[i].main(argc - 1, argv + 1);
	}
	if (!strcmp(word, "help") || !strcmp(word, "--help") || !strcmp(word, "-h") || !strcmp(word, "-?"))
		return help(stdout);
	if (!strcmp(word, "--version")) {
		puts("rmap " RMAP_VERSION);
		return STATUS_OK;
	}
	if (!*word) {
		help(stderr);
		return STATUS_LACKING;
	}
	return complain("there is no command \"%s\": rmap --help lists those there are", word);
}
