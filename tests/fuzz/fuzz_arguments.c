/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_arguments.c - command lines of `rmap snapshot`, `shares` and `who` out of the fuzzer's bytes
 *
 * The first byte picks the word, the rest are arguments with a zero byte between them; behind them stands --load and
 * the recording that RMAP_RECORDING names, so that nothing of the running system is read. Whatever is asked for, the
 * command must end with one of its three statuses. It may end the process (argp does), so it runs in a child, which
 * hands its coverage counters back, or the fuzzer would learn nothing.
 *
 * --save and --html are left out, in all their abbreviations: they would write to files of the fuzzer's choice.
 */
#include "counters.h"

#include "../../tools/command.h"
#include "../../tools/tool.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct {
	char *name;
	int (*main)(int argc, char **argv);
} words[] = {
	{ "rmap snapshot", snapshot_main },
	{ "rmap who", who_main },
	{ "rmap shares", shares_main },
};

#define WORDS (sizeof(words) / sizeof(words[0]))
#define ARGUMENTS_MAX 16
#define TEXT_MAX 256
#define CHILD_SECONDS 15

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);
const char *__asan_default_options(void);

static size_t counters(void)
{
	return (size_t)(counters_end - counters_start);
}

/* A child that finds an error must not end with a status that the command has, too. */
const char *__asan_default_options(void)
{
	return "abort_on_error=1";
}

/* What a child counted, for its parent. */
static char *counted;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	if (!getenv("RMAP_RECORDING")) {
		fputs("fuzz_arguments: RMAP_RECORDING must name a recording of rmap snapshot --save\n", stderr);
		exit(2);
	}
	counted = mmap(NULL, counters(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (counted == MAP_FAILED)
		abort();
	return 0;
}

/* Before the fuzzer's own handler, which takes every exit for a failure. */
static void leave(int status, void *arg)
{
	(void)arg;
	memcpy(counted, counters_start, counters());
	_exit(status);
}

/* In a child. @silent: what it says goes nowhere. */
static int run(int (*command)(int argc, char **argv), int argc, char **argv, bool silent)
{
	pid_t child = fork();
	int status;

	if (child < 0)
		abort();
	if (child > 0) {
		while (waitpid(child, &status, 0) != child)
			if (errno != EINTR) /* the fuzzer's own clock interrupts */
				abort();
		return status;
	}
	if (silent) {
		int null = open("/dev/null", O_RDWR);

		for (int fd = 0; fd < 3; fd++)
			dup2(null, fd);
	}
	signal(SIGALRM, SIG_DFL); /* the fuzzer's handler would go on */
	on_exit(leave, NULL);
	alarm(CHILD_SECONDS);
	exit(command(argc, argv));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static char load[] = "--load";
	char text[TEXT_MAX + 1] = "";
	size_t word = size ? bytes[0] % WORDS : 0;
	char *argv[ARGUMENTS_MAX + 4] = { words[word].name };
	int argc = 1;
	int status;

	if (size < 2 || size - 1 > TEXT_MAX)
		return 0;
	memcpy(text, bytes + 1, size - 1);
	for (size_t at = 0; at < size - 1 && argc <= ARGUMENTS_MAX; at += strlen(text + at) + 1) {
		if (!strncmp(text + at, "--s", 3) && strcmp(text + at, "--sort"))
			return 0;
		if (!strncmp(text + at, "--h", 3) && strcmp(text + at, "--help"))
			return 0;
		argv[argc++] = text + at;
	}
	argv[argc++] = load;
	argv[argc++] = getenv("RMAP_RECORDING");
	status = run(words[word].main, argc, argv, true);
	memcpy(counters_start, counted, counters());
	if (WIFEXITED(status) && WEXITSTATUS(status) <= STATUS_LACKING)
		return 0;
	fprintf(stderr, "fuzz_arguments: the command ended with wait status %#x; once more, for all to hear:\n",
		(unsigned)status);
	status = run(words[word].main, argc, argv, false);
	fprintf(stderr, "fuzz_arguments: now it ended with wait status %#x\n", (unsigned)status);
	abort();
}
