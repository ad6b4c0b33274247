/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * engine.h - every interleaving of a few threads that run the library's own sources
 *
 * Threads are coroutines that stop before each atomic operation. An execution starts from a snapshot of all memory (one
 * arena holds the map, its chains and the pages), so it depends on nothing but the choices of who goes on; the engine
 * runs one execution after the other until every order of operations that depend on each other has been seen.
 *
 * Two searches. Whole: dynamic partial-order reduction with source sets and sleep sets (Abdulla, Aronis, Jonsson and
 * Sagonas, POPL 2014); two steps depend on each other if they touch common bytes and one of them writes. Executions
 * that order such steps alike are one class, and of each class one is seen, so that whatever threads read, and what
 * memory holds at the end, is seen in all the ways there are. What is no step is not: when an operation began and
 * ended, beside others that it shares nothing with, is that of the one that was seen. Bounded, for longer programs:
 * every execution in which at most so many times a thread has to stop that could have gone on (Musuvathi and Qadeer,
 * PLDI 2007). With @stale, loads of a bounded search may also read what is not the newest, as weak memory lets them
 * (weak.h), so many times in an execution.
 *
 * RCU is modelled, too: a section is a pair of steps, a callback may run as soon as all sections that were open when it
 * was queued are closed, and it runs in a thread of its own, in any order with the rest.
 */
#ifndef RMAP_EXPLORE_ENGINE_H
#define RMAP_EXPLORE_ENGINE_H

#include <rmap/rcu.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define THREADS_MAX 4u /* and one more, the reclaimer, which runs callbacks */
#define RECLAIMER THREADS_MAX
#define ACTORS (THREADS_MAX + 1)
#define STEPS_MAX 4096u

/*
 * struct engine_run - one exploration
 * @threads:    how many, at most THREADS_MAX
 * @body:       what a thread does; called in every execution
 * @verify:     called after each complete execution; NULL if all is well, or what is wrong
 * @bounded:    search with at most @preemptions of them, instead of whole
 * @stale:      with @bounded or @random: at most so many loads of an execution read a stale value
 * @random:     no search: @limit executions drawn by @seed, each with any number of preemptions and stale reads
 * @choices:    with @random: @choices_n bytes that choose instead of a generator; behind them whoever runs goes on
 * @limit:      stop after so many executions; 0: never
 * @victim:     this thread stops for ever before its step @victim_steps; -1: none. The others must finish
 * @replay:     one schedule to run instead, a letter a step; NULL: explore
 */
struct engine_run {
	unsigned threads;
	void (*body)(void *arg, unsigned thread);
	const char *(*verify)(void *arg);
	void *arg;
	bool bounded;
	unsigned preemptions;
	unsigned stale;
	bool random;
	uint64_t seed;
	const uint8_t *choices;
	size_t choices_n;
	uint64_t limit;
	int victim;
	unsigned victim_steps;
	const char *replay;
};

/*
 * struct engine_result
 * @executions: complete ones; @blocked: abandoned, as they only repeat others in another order
 * @steps:      of all executions
 * @error:      what was wrong, or NULL; @schedule: how to see it again, a letter a step
 * @victim_end: the victim finished before its stop in every execution: later stops are no different
 */
struct engine_result {
	uint64_t executions;
	uint64_t blocked;
	uint64_t steps;
	bool exhausted;
	bool victim_end;
	const char *error;
	char schedule[2 * STEPS_MAX];
};

void engine_explore(const struct engine_run *run, struct engine_result *result);

/* The steps of the execution that runs or ran last. */
void engine_save_schedule(struct engine_result *result);

/* Memory for the map and all else that changes during executions. Never given back; part of the snapshot. */
void *engine_alloc(size_t bytes, size_t align);

/* Memory that one thread alone uses until the next reset: steps on it are no choices. */
void engine_private(const void *memory, size_t bytes);

/* Begins afresh: an empty arena. */
void engine_reset(void);

/*
 * Threads say when an operation of theirs has ended, and ask how many of @thread's have ended for them to know: in
 * fact, or with stale reads, as far as what they have read tells. That is the order a history has to keep.
 */
void engine_op_ends(void);
unsigned engine_ended(unsigned thread);

/* Ends the execution as wrong. */
void engine_fail(const char *why) __attribute__((noreturn));

/* The modelled RCU: hand it to rmap_create() in its options. */
extern const struct rmap_rcu_ops engine_rcu;

/* Its defer(), for programs that are none of the library: @work(@node) is called after a grace period. */
void sync_defer(struct rmap_rcu_node *node, void (*work)(struct rmap_rcu_node *node));

#endif
