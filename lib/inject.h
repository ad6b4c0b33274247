/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * inject.h - delays at the windows in which another thread may get in between, and a count of steps
 *
 * INJECT() marks a window: between a read and the compare-and-swap that trusts it, between a load and the use of what
 * it found, between unlinking and retiring. In builds with -Dinject=true a window sometimes yields or spins, so that a
 * race that needs it open is met in seconds. STEP() stands before each operation of atomic.h, STEP_RMW() before those
 * that are read-modify-writes: such a build counts them, so that a test may assert what an operation costs whatever
 * else the machine does, and stop a thread at any of them. In other builds all three are nothing.
 */
#ifndef RMAP_LIB_INJECT_H
#define RMAP_LIB_INJECT_H

#include <rmap/rmap.h>

#ifndef RMAP_INJECT
#define RMAP_INJECT 0
#endif

#if RMAP_INJECT
/* Each window delays in @permille of 1000 passes; @seed makes each thread's choices repeatable. */
RMAP_API void rmap_inject_set(unsigned permille, uint64_t seed);
/* The atomic operations that this thread has done in the library. */
RMAP_API uint64_t rmap_inject_steps(void);
/* Of these, the read-modify-writes, lost ones too. */
RMAP_API uint64_t rmap_inject_rmws(void);
/* Calls @hook before the @nth step that this thread does from now on, once; 0: never. */
RMAP_API void rmap_inject_at(uint64_t nth, void (*hook)(void));
void rmap_inject(void);
void rmap_inject_step(void);
void rmap_inject_rmw(void);
#define INJECT() rmap_inject()
#define STEP() rmap_inject_step()
#define STEP_RMW() rmap_inject_rmw()
#else
#define INJECT() ((void)0)
#define STEP() ((void)0)
#define STEP_RMW() ((void)0)
#endif

#endif
