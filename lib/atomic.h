/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * atomic.h - every atomic operation of the library, with its memory order in its name
 *
 * This is the proof inventory: nothing else in lib/ names an atomic primitive, so whoever wants to check the orders,
 * replace them or schedule between them has one place to do it. Orders sit on accesses, never on free-standing fences,
 * which ThreadSanitizer does not see. The operations are the C11 ones; the words are plain uint64_t because public
 * structs hold them and C++ includes those.
 *
 *   rlx     relaxed                     acq     acquire                    rel    release
 *   acqrel  acquire and release; a compare-and-swap that fails is an acquire load of what it found
 *
 * A build with RMAP_EXPLORE does them through model/explore, which chooses which thread goes on, and what a load finds;
 * one with RMAP_INJECT counts them (inject.h).
 */
#ifndef RMAP_LIB_ATOMIC_H
#define RMAP_LIB_ATOMIC_H

#include <stdbool.h>
#include <stdint.h>

#include "inject.h"

_Static_assert(sizeof(void *) == sizeof(uint64_t), "pointers are kept in words");
_Static_assert(__GCC_ATOMIC_LLONG_LOCK_FREE == 2, "the machine has atomic operations on 64 bits");

#ifdef RMAP_EXPLORE
#include <explore_step.h>
#else
#define ATOMIC_LOAD(word, order) (STEP(), __atomic_load_n(word, order))
#define ATOMIC_LOAD_STRAY(word) (STEP(), __atomic_load_n(word, __ATOMIC_RELAXED))
#define ATOMIC_STORE(word, value, order) (STEP(), __atomic_store_n(word, value, order))
#define ATOMIC_CAS(word, expected, desired, order, failure)                                                            \
	(STEP_RMW(), __atomic_compare_exchange_n(word, expected, desired, false, order, failure))
#define ATOMIC_EXCHANGE(word, value, order) (STEP_RMW(), __atomic_exchange_n(word, value, order))
#define ATOMIC_FETCH_ADD(word, value, order) (STEP_RMW(), __atomic_fetch_add(word, value, order))
#define ATOMIC_FETCH_OR(word, value, order) (STEP_RMW(), __atomic_fetch_or(word, value, order))
#endif

static inline uint64_t load_rlx(const uint64_t *word)
{
	return ATOMIC_LOAD(word, __ATOMIC_RELAXED);
}

static inline uint64_t load_acq(const uint64_t *word)
{
	return ATOMIC_LOAD(word, __ATOMIC_ACQUIRE);
}

/* A relaxed load of memory that may have become another's: whatever it finds, a compare-and-swap must revalidate it. */
static inline uint64_t load_stray(const uint64_t *word)
{
	return ATOMIC_LOAD_STRAY(word);
}

static inline void store_rlx(uint64_t *word, uint64_t value)
{
	ATOMIC_STORE(word, value, __ATOMIC_RELAXED);
}

static inline void store_rel(uint64_t *word, uint64_t value)
{
	ATOMIC_STORE(word, value, __ATOMIC_RELEASE);
}

/* On failure *expected is what the word held. */
static inline bool cas_acqrel(uint64_t *word, uint64_t *expected, uint64_t desired)
{
	return ATOMIC_CAS(word, expected, desired, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

/* The same, for what orders nothing itself. The release of whoever wrote @word before stays in effect. */
static inline bool cas_rlx(uint64_t *word, uint64_t *expected, uint64_t desired)
{
	return ATOMIC_CAS(word, expected, desired, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

static inline uint64_t exchange_acqrel(uint64_t *word, uint64_t value)
{
	return ATOMIC_EXCHANGE(word, value, __ATOMIC_ACQ_REL);
}

static inline uint64_t fetch_add_rlx(uint64_t *word, uint64_t value)
{
	return ATOMIC_FETCH_ADD(word, value, __ATOMIC_RELAXED);
}

static inline uint64_t fetch_add_acqrel(uint64_t *word, uint64_t value)
{
	return ATOMIC_FETCH_ADD(word, value, __ATOMIC_ACQ_REL);
}

static inline uint64_t fetch_or_acqrel(uint64_t *word, uint64_t value)
{
	return ATOMIC_FETCH_OR(word, value, __ATOMIC_ACQ_REL);
}

/* Leaves the core to others for some cycles, between two looks at a word that others want. */
static inline void cpu_relax(void)
{
#if defined(RMAP_EXPLORE)
#elif defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("isb" ::: "memory"); /* what yield is there, most cores take no time for */
#endif
}

/* For a word that only one thread writes and others may read: no read-modify-write is needed. */
static inline void count_private(uint64_t *word, uint64_t value)
{
	store_rlx(word, load_rlx(word) + value);
}

#endif
