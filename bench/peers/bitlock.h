/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bitlock.h - a spin lock in bit 0 of a page's word
 *
 * Where kernels spin with preemption off, a process is preempted with the lock held; so who has spun for long yields.
 */
#ifndef BENCH_BITLOCK_H
#define BENCH_BITLOCK_H

#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>

#define LOCKED ((uintptr_t)1)
#define SPINS_BEFORE_YIELD 1000u

static inline void spin_pause(unsigned *spins)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#endif
	if (++*spins % SPINS_BEFORE_YIELD == 0)
		sched_yield();
}

/* The word without the bit. */
static inline uintptr_t word_lock(atomic_uintptr_t *word)
{
	unsigned spins = 0;

	for (;;) {
		uintptr_t old = atomic_load_explicit(word, memory_order_relaxed) & ~LOCKED;

		if (atomic_compare_exchange_weak_explicit(word, &old, old | LOCKED, memory_order_acquire,
							  memory_order_relaxed))
			return old;
		spin_pause(&spins);
	}
}

static inline void word_unlock(atomic_uintptr_t *word, uintptr_t new)
{
	atomic_store_explicit(word, new, memory_order_release);
}

#endif
