/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * step.h - what operations.c and sync.c are built of, and what the engine asks of sync.c
 */
#ifndef RMAP_EXPLORE_STEP_INTERNAL_H
#define RMAP_EXPLORE_STEP_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a step does. Two of them depend on each other if their bytes meet and one writes. */
struct step {
	uintptr_t address;
	size_t bytes;
	bool write;
	enum step_lock { NO_LOCK, ACQUIRES, RELEASES } lock;
};

/* Does an execution run, and who? */
bool engine_is_inside(void);
unsigned engine_self(void);

/* Returns when it is this actor's turn; with @ready, not before that holds of it. */
void engine_step(const void *address, size_t bytes, bool write);
void engine_step_when(const void *address, bool (*ready)(unsigned actor));

/* A step that takes a mutex, when it is @ready, and one that gives it back. */
void engine_acquire(const void *mutex, bool (*ready)(unsigned actor));
void engine_release(const void *mutex);

/* The step that has begun reads: which message (weak.h). */
unsigned engine_read_choice(const uint64_t *word, const uint64_t *expected);

/* The step that has begun was said to write, and did not. */
void engine_step_has_only_read(void);

/* Is this memory one thread's alone? */
bool engine_is_private(const void *address);

/* The state of mutexes and RCU at the beginning of an execution. */
void sync_begin(void);

/* The reclaimer: it takes callbacks whose sections have ended and runs them. */
struct step sync_work_step(void);
bool sync_has_work(unsigned actor);
void sync_reclaim(void) __attribute__((noreturn));

#endif
