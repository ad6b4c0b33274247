/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * clock.h - what the VM's clock (vm_options.timed) tells of a thread's calls of the backend
 */
#ifndef LAB_CLOCK_H
#define LAB_CLOCK_H

#include "../bench/bench.h"
#include "../model/vm/vm.h"

/**
 * struct lab_clock - a thread's
 * @ns:     of all calls of a kind, as a sample says
 * @walks:  those that were timed, each
 * @waited: for a core, when it was asked last
 */
struct lab_clock {
	double ns[VM_CALLS];
	struct bench_histogram walks;
	uint64_t waited;
};

/** lab_clock_begin, lab_clock_end - from now on the calling thread's calls go to @clock; to none */
void lab_clock_begin(struct lab_clock *clock);
void lab_clock_end(void);

/** lab_clock_timed - vm_options.timed: refuses a call in which the thread waited for a core */
bool lab_clock_timed(void *arg, enum vm_call call, uint64_t weight, uint64_t ns);

#endif
