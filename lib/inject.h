/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * inject.h - delays at the windows in which another thread may get in between
 *
 * INJECT() marks a window: between a read and the compare-and-swap that trusts it, between a load and the use of what
 * it found, between unlinking and retiring. In builds with -Dinject=true a window sometimes yields or spins, so that a
 * race that needs it open is met in seconds. In other builds it is nothing.
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
void rmap_inject(void);
#define INJECT() rmap_inject()
#else
#define INJECT() ((void)0)
#endif

#endif
