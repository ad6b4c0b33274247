/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * explore_step.h - what the library's sources call when they are built for the explorer
 *
 * The operations of lib/atomic.h come here. Each is a step: it hands over to the scheduler, which returns when it is
 * this thread's turn; what follows, up to the next step, runs undisturbed.
 */
#ifndef RMAP_EXPLORE_STEP_H
#define RMAP_EXPLORE_STEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* @order is one of C11's as the compiler names them, __ATOMIC_RELAXED and so on. */
uint64_t explore_load(const uint64_t *word, int order);
void explore_store(uint64_t *word, uint64_t value, int order);
bool explore_cas(uint64_t *word, uint64_t *expected, uint64_t desired, int order, int failure);
uint64_t explore_exchange(uint64_t *word, uint64_t value, int order);
uint64_t explore_fetch_add(uint64_t *word, uint64_t value, int order);
uint64_t explore_fetch_or(uint64_t *word, uint64_t value, int order);

#define ATOMIC_LOAD(word, order) explore_load(word, order)
#define ATOMIC_LOAD_STRAY(word) explore_load_stray(word)
#define ATOMIC_STORE(word, value, order) explore_store(word, value, order)
#define ATOMIC_CAS(word, expected, desired, order, failure) explore_cas(word, expected, desired, order, failure)
#define ATOMIC_EXCHANGE(word, value, order) explore_exchange(word, value, order)
#define ATOMIC_FETCH_ADD(word, value, order) explore_fetch_add(word, value, order)
#define ATOMIC_FETCH_OR(word, value, order) explore_fetch_or(word, value, order)

/* A relaxed load that may find anything. */
uint64_t explore_load_stray(const uint64_t *word);

/* Plain stores of zeroes to memory that is private yet. */
void explore_clear(void *memory, size_t bytes);

/* Memory begins a new life: a load that finds what it held before is an error, for nothing ordered it. */
void explore_taken(const void *memory, size_t bytes);

/* Memory that nobody may touch until it is taken again. */
void explore_poison(const void *memory, size_t bytes);
void explore_unpoison(const void *memory, size_t bytes);

#endif
