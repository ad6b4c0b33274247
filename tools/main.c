/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * main.c - the `rmap` command: finds the word and hands over
 */
#include "../bench/bench.h"
#include "command.h"
#include "near.h"
#include "tool.h"

#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct {
	const char *word;
	const char *name;
	int (*main)(int argc, char **argv);
	const char *summary;
} commands[] = {
	{ "snapshot", "rmap snapshot", snapshot_main, "the system's reverse map, checked against the kernel's counts" },
	{ "shares", "rmap shares", shares_main, "who takes how much memory, exactly, and who shares it with whom" },
	{ "diff", "rmap diff", diff_main, "who grew between two recordings of rmap snapshot --save" },
	{ "freed", "rmap freed", freed_main, "what ending a service, or some processes, would give back" },
	{ "who", "rmap who", who_main, "everyone who maps a page of memory, or each of several" },
	{ "bench", "rmap bench", bench_main, "measure the library beside its peers" },
	{ "lab", "rmap lab", lab_main, "measure designs of reverse maps on the same workloads" },
};

#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static const char *near_command(const char *word)
{
	const char *words[COMMANDS];

	for (size_t i = 0; i < COMMANDS; i++)
		words[i] = commands[i].word;
	return near_word(word, words, COMMANDS);
}

static int help(FILE *out)
{
	fputs("Usage: rmap COMMAND [OPTION...]\nReverse mappings: which page-table entries map a page?\n\n", out);
	for (size_t i = 0; i < COMMANDS; i++)
		fprintf(out, "  %-10s %s\n", commands[i].word, commands[i].summary);
	fputs("\nrmap COMMAND --help tells what a command is given. To begin with, as root:\n"
	      "    rmap shares                where the memory is\n"
	      "    rmap shares --by cgroup    the same, by services and containers\n"
	      "    rmap freed cron.service    what would come back if that service ended\n\n"
	      "Exit status: 0 done, and verified where there is something to verify;\n"
	      "1 something differs; 2 usage, privilege, or kernel support lacking,\n"
	      "with a sentence that says what to do.\n",
	      out);
	return STATUS_OK;
}

/* A descriptor that is closed would be given to the next file that is opened: let it be one that cannot be used. */
static void occupy_descriptors(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 && errno == EBADF && open("/", O_RDONLY | O_DIRECTORY) < 0)
			exit(STATUS_LACKING);
}

/*
 * The one place that looks whether all output was written. It is called however the program ends, be it by exit() in
 * argp.
 */
static void close_output(void)
{
	bool lost = ferror(stdout);

	errno = 0;
	if (!fclose(stdout) && !lost)
		return;
	if (errno == EPERM || errno == EACCES || errno == ENOSYS)
		complain("the output could not be written (%s): %s", strerror(errno), remedy(errno));
	else
		complain("the output could not be written (%s): make room where it goes",
			 errno ? strerror(errno) : "an earlier part of it");
	_exit(STATUS_LACKING);
}

static void *allocate(size_t size)
{
	return zeroed(size, 1);
}

int main(int argc, char **argv)
{
	const char *word = argc > 1 ? argv[1] : "", *near;

	occupy_descriptors();
	if (atexit(close_output))
		return complain("memory ran out at the start: end other programs");
	/* A limit on the size of files (ulimit -f) is an error like a full disk, which is told and cleaned up after. */
	signal(SIGXFSZ, SIG_IGN);
	/* JSON without some of its members would be output lost, too. */
	json_set_alloc_funcs(allocate, free);
	/* The terminal's characters are wanted, but no other locale: numbers are read and written alike everywhere. */
	setlocale(LC_CTYPE, "");
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
	near = near_command(word);
	if (near)
		return complain("there is no command \"%s\"; did you mean rmap %s?", word, near);
	return complain("there is no command \"%s\": rmap --help lists those there are", word);
}
