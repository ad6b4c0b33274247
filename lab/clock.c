/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * clock.c - what the VM's clock tells of a thread's calls of the backend: their sum, and how long walks take
 */
#include "clock.h"

#include <stdlib.h>

/* A call that takes longer may have been waiting for a core that another program had. */
#define SUSPECT_NS 10000u

/* Of the thread that runs, while it steps; NULL: nobody wants to know. */
static _Thread_local struct lab_clock *clock_here;

void lab_clock_begin(struct lab_clock *clock)
{
	clock->waited = bench_waited();
	clock_here = clock;
}

void lab_clock_end(void)
{
	clock_here = NULL;
}

/* Of what it has waited for since this was asked last: long calls are all asked about, so that it is theirs. */
static bool has_waited(uint64_t ns)
{
	uint64_t waited = bench_waited(), more = waited - clock_here->waited;

	clock_here->waited = waited;
	return more > ns / 4;
}

bool lab_clock_timed(void *arg, enum vm_call call, uint64_t weight, uint64_t ns)
{
	(void)arg;
	if (!clock_here)
		return true;
	if (ns > SUSPECT_NS && has_waited(ns))
		return false;
	clock_here->ns[call] += (double)weight * (double)ns;
	if (call == VM_CALL_WALK)
		bench_histogram_add(&clock_here->walks, ns);
	return true;
}
