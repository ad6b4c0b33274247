/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * unit_watch.c - `rmap shares --watch` takes no more memory from round to round
 *
 *      unit_watch RECORDING
 *
 * The command runs as it is, but in the place of watch.c stands a loop that waits for nothing, and between two rounds
 * counts the bytes that are allocated. Those of a recording are the same in each round, to a hundred bytes that the C
 * library keeps of threads. Of the running system this process is read, alone: others come and go.
 */
#include "support.h"

#include "../tools/command.h"
#include "../tools/page.h"
#include "../tools/source.h"
#include "../tools/watch.h"

#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Only --html, which does not go with --watch, has need of it. */
const struct page page_shares;

/* Sanitizers have memory of their own, and say how much of it is in use. */
size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

/* glibc counts as in use what threads keep of freed memory, and chains take pieces of other lengths in each round. */
#define TUNABLES "glibc.malloc.arena_max=1:glibc.malloc.tcache_count=0"

static const char *recording;

/* One experiment: the system to be read, how many rounds, and what they leave. */
static struct {
	const char *load; /* NULL for this process as it runs */
	unsigned rounds;
	size_t early; /* bytes at most between two of the first rounds */
	size_t late;  /* and at least between two of the last */
	int status;
} rounds;

static size_t allocated(void)
{
	struct mallinfo2 info;

	if (__sanitizer_get_current_allocated_bytes)
		return __sanitizer_get_current_allocated_bytes();
	info = mallinfo2();
	return info.uordblks + info.hblkhd;
}

int __wrap_watch(unsigned seconds, int (*report)(void *arg), void *arg);

int __wrap_watch(unsigned seconds, int (*report)(void *arg), void *arg)
{
	struct source *source = arg;
	pid_t self = getpid();

	source->load = rounds.load;
	source->pids = &self;
	source->pids_n = 1;
	rounds.early = 0;
	rounds.late = SIZE_MAX;
	for (unsigned round = 0; round < rounds.rounds; round++) {
		int status = report(arg);
		size_t bytes = allocated();

		rounds.status = status > rounds.status ? status : rounds.status;
		if (round >= 2 && round < 5)
			rounds.early = bytes > rounds.early ? bytes : rounds.early;
		if (round + 3 >= rounds.rounds)
			rounds.late = bytes < rounds.late ? bytes : rounds.late;
	}
	return seconds ? STATUS_OK : STATUS_LACKING;
}

/* Run `rmap shares --watch` with what it prints thrown away. */
static void watch_rounds(const char *load, unsigned n, size_t bound)
{
	char *argv[] = { "rmap shares", "--watch=1", "--json", "--by=process", "--by=cgroup", "--by=user",
			 "--by=file",   "--by=kind", NULL };
	int nothing = open("/dev/null", O_WRONLY | O_CLOEXEC), out = dup(STDOUT_FILENO);

	assert_true(nothing >= 0 && out >= 0);
	rounds.load = load;
	rounds.rounds = n;
	rounds.status = 0;
	fflush(stdout);
	dup2(nothing, STDOUT_FILENO);
	assert_int_equal(shares_main(sizeof(argv) / sizeof(argv[0]) - 1, argv), STATUS_OK);
	fflush(stdout);
	dup2(out, STDOUT_FILENO);
	close(out);
	close(nothing);
	assert_true(rounds.status <= STATUS_DIFFERS);
	if (rounds.late > rounds.early + bound)
		fail_msg("%zu bytes after a few rounds, %zu after %u", rounds.early, rounds.late, n);
}

static void a_recording_takes_the_same_each_time(void **state)
{
	(void)state;
	watch_rounds(recording, 20, 4096);
}

static void a_running_process_takes_the_same_each_time(void **state)
{
	struct procfs procfs;

	(void)state;
	if (geteuid() != 0)
		test_not_run("root", "only root may read page tables");
	if (procfs_open(&procfs) != STATUS_OK) {
		procfs_close(&procfs);
		test_not_run("kernel", "page tables cannot be read here");
	}
	procfs_close(&procfs);
	watch_rounds(NULL, 20, 16384);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_recording_takes_the_same_each_time),
		cmocka_unit_test(a_running_process_takes_the_same_each_time),
	};

	if (argc != 2) {
		fprintf(stderr, "usage: unit_watch RECORDING\n");
		return 2;
	}
	recording = argv[1];
	/* The allocator reads them at the start. */
	if (!getenv("UNIT_WATCH_TUNED")) {
		setenv("UNIT_WATCH_TUNED", "1", 1);
		setenv("GLIBC_TUNABLES", TUNABLES, 1);
		execv("/proc/self/exe", argv);
		perror("unit_watch: /proc/self/exe");
		return 1;
	}
	return cmocka_run_group_tests_name("unit_watch", tests, NULL, NULL);
}
