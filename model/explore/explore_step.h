/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * explore_step.h - what the library's sources call when they are built for the explorer
 *
 * lib/atomic.h calls a step before each atomic operation. The step hands over to the scheduler and returns when it is
 * this thread's turn; what follows, up to the next step, runs undisturbed.
 */
#ifndef RMAP_EXPLORE_STEP_H
#define RMAP_EXPLORE_STEP_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void explore_step(const void *address, size_t bytes, bool write);
void explore_step_cas(const uint64_t *word, uint64_t expected);

/* Memory that nobody may touch until it is taken again. */
void explore_poison(const void *memory, size_t bytes);
void explore_unpoison(const void *memory, size_t bytes);

/* A mutex that blocks a coroutine, not the process. */
int explore_mutex_lock(pthread_mutex_t *mutex);
int explore_mutex_unlock(pthread_mutex_t *mutex);
#define pthread_mutex_lock explore_mutex_lock
#define pthread_mutex_unlock explore_mutex_unlock

#define STEP_LOAD(word) explore_step(word, sizeof(*(word)), false)
#define STEP_STORE(word) explore_step(word, sizeof(*(word)), true)
#define STEP_CAS(word, expected) explore_step_cas(word, expected)

#endif
