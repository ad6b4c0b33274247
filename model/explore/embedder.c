/* SPDX-License-Identifier: BSD-2-Clause */
/* embedder.c - see embedder.h */
#include "embedder.h"
#include "step.h"

#include <string.h>

#define WAITS_FREE 3u

struct embedder embedder;

static struct {
	void (*run_word)(struct rmap_reserve *reserve, const char *word);
	const char *(*check)(bool truncated);
	const char *const *programs;
	struct rmap_reserve *reserves[THREADS_MAX];
	unsigned threads;
} running;

/*
 * The record of an execution. In the arena, so that each begins with zeroes.
 * @changes: threads that have ended; @awaited: by thread, how many of them it has seen; @waits: how often it waited
 */
static struct {
	uint64_t changes;
	uint64_t awaited[THREADS_MAX];
	unsigned waits[THREADS_MAX];
	bool truncated;
} * now;

static char change_byte;

void embedder_init(void (*run_word)(struct rmap_reserve *reserve, const char *word))
{
	memset(&running, 0, sizeof(running));
	running.run_word = run_word;
	embedder.map = case_map(0);
	now = engine_alloc(sizeof(*now), 64);
	embedder.setup = case_reserve(embedder.map);
	case_must(rmap_object_create(embedder.map, &embedder.object), "making the object");
}

void embedder_attach(const struct rmap_range *range)
{
	case_must(rmap_object_attach(embedder.object, range), "attaching a range");
}

static void run_program(struct rmap_reserve *reserve, const char *text)
{
	for (; *text; text += strcspn(text, " "), text += strspn(text, " "))
		running.run_word(reserve, text);
}

static void run_thread(void *arg, unsigned thread)
{
	(void)arg;
	run_program(running.reserves[thread], running.programs[thread]);
	engine_step(&change_byte, 1, true);
	now->changes++;
}

static const char *verify(void *arg)
{
	const char *wrong = running.check(now->truncated);

	(void)arg;
	if (wrong)
		return wrong;
	rmap_object_destroy(embedder.object);
	for (unsigned i = 0; i < running.threads; i++)
		rmap_reserve_destroy(running.reserves[i]);
	rmap_reserve_destroy(embedder.setup);
	return rmap_destroy(embedder.map) ? "a block was lost, or retired twice (G8)" : NULL;
}

struct engine_run embedder_run(const struct explore_case *test, const char *(*check)(bool truncated))
{
	running.check = check;
	running.programs = test->threads;
	while (running.threads < THREADS_MAX && test->threads[running.threads])
		running.reserves[running.threads++] = case_reserve(embedder.map);
	run_program(embedder.setup, test->initial);
	return (struct engine_run){ .threads = running.threads, .body = run_thread, .verify = verify, .victim = -1 };
}

bool embedder_blocks(const struct explore_case *test)
{
	(void)test;
	return true;
}

unsigned embedder_thread(const struct rmap_reserve *reserve)
{
	unsigned thread = 0;

	while (running.reserves[thread] != reserve)
		thread++;
	return thread;
}

void embedder_expect(int result)
{
	if (result < 0)
		engine_fail("an operation on a page failed that cannot fail");
}

int embedder_truncate(const struct rmap_unmap_callbacks *callbacks, struct rmap_reserve *reserve, const char *word,
		      uint64_t first, unsigned flags, struct rmap_unmap_report *report)
{
	struct rmap_truncation truncation = {
		.size = sizeof(truncation),
		.object = embedder.object,
		.first = first,
		.last = UINT64_MAX,
		.strategy = (enum rmap_strategy)(strchr("bscut", word[1]) - "bscut"),
		.semantics = word[2] == 'r' ? RMAP_RELIABLE : RMAP_FAILABLE,
		.flags = flags,
	};
	int result = rmap_truncate(embedder.map, callbacks, reserve, &truncation, report);

	if (result != RMAP_UNMAP_SUCCESS && truncation.semantics == RMAP_RELIABLE)
		engine_fail("a reliable truncate has left something");
	now->truncated |= result == RMAP_UNMAP_SUCCESS;
	return result;
}

static bool has_changed(unsigned thread)
{
	return now->changes != now->awaited[thread];
}

int embedder_wait(void *arg, const struct rmap_unmap_report *report)
{
	unsigned thread = embedder_thread(arg);

	(void)report;
	if (now->waits[thread]++ < WAITS_FREE)
		return 0;
	engine_step_when(&change_byte, has_changed);
	now->awaited[thread] = now->changes;
	return 0;
}
