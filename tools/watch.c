/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * watch.c - a report that is made again and again; see watch.h
 *
 * The signals that end it are blocked, in all threads that reports start, too, and only looked at between two reports:
 * so none is cut in half. In the meantime a pipe that nobody reads any more is noticed by poll(); while a report is
 * written SIGPIPE ends the program, as it does any other.
 */
#include "watch.h"

#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

/* Block those of the ending signals that are not ignored, as by nohup; returns a descriptor that tells them, or -1. */
static int block_signals(void)
{
	static const int numbers[] = { SIGINT, SIGTERM };
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < 2; i++) {
		struct sigaction action;

		if (!sigaction(numbers[i], NULL, &action) && action.sa_handler != SIG_IGN)
			sigaddset(&set, numbers[i]);
	}
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC);
}

/* Wait until seconds_now() is @until; false if it is to end instead. */
static bool wait_until(int signals, double until)
{
	struct pollfd polled[] = { { .fd = signals, .events = POLLIN }, { .fd = STDOUT_FILENO } };
	double left = 0;

	do {
		int ready = poll(polled, 2, left > 0 ? (int)(left * 1000) + 1 : 0);

		if (ready > 0 || (ready < 0 && errno != EINTR))
			return false;
		left = until - seconds_now();
	} while (left > 0);
	return true;
}

int watch(unsigned seconds, int (*report)(void *arg), void *arg)
{
	double next = seconds_now();
	int signals = block_signals(), status, worst = STATUS_OK;

	if (signals < 0)
		return complain("signals cannot be waited for (%s): %s", strerror(errno), remedy(errno));
	do {
		status = report(arg);
		worst = status > worst ? status : worst;
		/* Of a reading that took longer than that, the next ones are left out: the system is to have a rest. */
		while (next <= seconds_now())
			next += seconds;
		/* Nobody shall miss the memory of a reading that is over: free() keeps it for the next one. */
		malloc_trim(0);
	} while (status != STATUS_LACKING && !fflush(stdout) && !ferror(stdout) && wait_until(signals, next));
	close(signals);
	return worst;
}

unsigned watch_rows(void)
{
	struct winsize size;

	return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) ? 0 : size.ws_row;
}

void watch_part(bool first)
{
	if (isatty(STDOUT_FILENO))
		fputs("\033[H\033[J", stdout);
	else if (!first)
		putchar('\n');
}
