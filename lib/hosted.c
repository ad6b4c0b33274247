/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hosted.c - what an ordinary program's maps use if their options say nothing: liburcu's memb, the heap (tier.c)
 */
#include "rcu.h"

#include <signal.h>

/*
 * Makes the begin and the end of a section a few instructions each, where they would be calls of a shared library that
 * looks its thread's state up twice. These functions are short enough for any program to have them inline, as their
 * header says. ThreadSanitizer would report how they access words that threads share.
 */
#ifndef RMAP_TSAN
#define _LGPL_SOURCE
#endif
#include <urcu/urcu-memb.h>

RMAP_URCU(memb)

const struct rmap_rcu_ops *env_rcu(void)
{
	return &rmap_urcu_memb;
}

struct start {
	void (*work)(void *arg);
	void *arg;
};

static void *run_start(void *arg)
{
	const struct start *start = arg;

	start->work(start->arg);
	return NULL;
}

/* The helper thread that @work makes liburcu start begins with the mask of its creator: signals are not for it. */
int rmap_urcu_start(void (*work)(void *arg), void *arg)
{
	struct start start = { work, arg };
	pthread_t thread;
	sigset_t all;
	sigset_t before;
	int error;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&thread, NULL, run_start, &start);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (error)
		return -ENOMEM;
	pthread_join(thread, NULL);
	return 0;
}
