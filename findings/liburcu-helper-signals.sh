#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Version: liburcu-dev 0.13.2-1 (Debian 12)
#
# A process has a handler for a signal, and blocks that signal in each thread that it has started. The handler runs all the
# same, in a thread that the program has never heard of, and a sigwait() that comes later waits in vain: the first call_rcu()
# starts a helper thread with the mask that its caller happens to have at that moment, and does not block signals in it. What the program
# blocks later is open there for ever. The usual start, "block, then create threads", helps only if it comes before the first
# call_rcu(), which a library may have done.
#
# Expected output: "blocked after call_rcu(): handled by another thread, sigtimedwait() gets nothing", and "blocked before
# call_rcu(): not handled, sigtimedwait() gets it".
# Exit status: 0 as expected; 1 the behaviour is another; 2 could not run.
set -euo pipefail

need() {
	[ "$(dpkg-query -W -f='${Version}\n' "$1" 2>/dev/null | head -n 1)" = "$2" ] ||
		apt-get install -y --no-install-recommends "$1=$2" >/dev/null 2>&1 ||
		{ echo "$0: needs the package $1 $2"; exit 2; }
}

need liburcu-dev 0.13.2-1
need gcc-12 12.2.0-14+deb12u1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
cat >signals.c <<'PROGRAM'
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <urcu/urcu-memb.h>

static pthread_t only_thread;
static volatile sig_atomic_t here;
static volatile sig_atomic_t elsewhere;
static struct rcu_head head;

static void handle(int signal)
{
	(void)signal;
	if (pthread_equal(pthread_self(), only_thread))
		here = 1;
	else
		elsewhere = 1;
}

static void nothing(struct rcu_head *unused)
{
	(void)unused;
}

/* Starts the helper, and waits until it has run. */
static void use_call_rcu(void)
{
	urcu_memb_call_rcu(&head, nothing);
	urcu_memb_barrier();
}

int main(int argc, char **argv)
{
	const struct timespec moment = { 0, 10000000 };
	const struct timespec none = { 0, 0 };
	int first = argc > 1 && strcmp(argv[1], "before") == 0;
	sigset_t set;
	int got;

	only_thread = pthread_self();
	signal(SIGUSR1, handle);
	urcu_memb_register_thread();
	if (!first)
		use_call_rcu();
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	if (first)
		use_call_rcu();
	kill(getpid(), SIGUSR1);
	for (int i = 0; i < 100 && !elsewhere; i++) /* a second for any thread that would have it */
		nanosleep(&moment, NULL);
	got = sigtimedwait(&set, NULL, &none);
	printf("blocked %s call_rcu(): %s, sigtimedwait() gets %s\n", first ? "before" : "after",
	       elsewhere ? "handled by another thread" : here ? "handled here" : "not handled",
	       got == SIGUSR1 ? "it" : "nothing");
	urcu_memb_unregister_thread();
	return 0;
}
PROGRAM
gcc-12 -O1 -Wall -D_GNU_SOURCE -pthread signals.c -o signals -lurcu-memb || exit 2
timeout 60 ./signals after >output
timeout 60 ./signals before >>output
cat output
diff - output <<'EXPECTED'
blocked after call_rcu(): handled by another thread, sigtimedwait() gets nothing
blocked before call_rcu(): not handled, sigtimedwait() gets it
EXPECTED
