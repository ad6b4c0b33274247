/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * embedder.h - what the embedders that cases run on (vm.c, folio.c) share: a map and the object of a file, programs of
 * words and who runs them, truncates, and how a reliable one waits
 *
 * There is one at a time. Callbacks of unmap.h get the reserve of the thread that runs as their @arg.
 */
#ifndef RMAP_EXPLORE_EMBEDDER_H
#define RMAP_EXPLORE_EMBEDDER_H

#include "cases.h"

#include <rmap/unmap.h>

extern struct embedder {
	struct rmap *map;
	struct rmap_object *object;
	struct rmap_reserve *setup; /* of what comes before an execution and after it */
} embedder;

/* A new one, whose object has no range. @run_word does what the first word of a program says. */
void embedder_init(void (*run_word)(struct rmap_reserve *reserve, const char *word));

/* Before the execution. */
void embedder_attach(const struct rmap_range *range);

/*
 * Runs the initial program of @test; the run of the others. After each execution @check says what is wrong with the
 * pages, of which it drops all mappings, or NULL. @truncated: some truncate has succeeded
 */
struct engine_run embedder_run(const struct explore_case *test, const char *(*check)(bool truncated));

/* As case_blocks(): all do. */
bool embedder_blocks(const struct explore_case *test);

/* The thread that a reserve is of. */
unsigned embedder_thread(const struct rmap_reserve *reserve);

/* Of operations on pages that have all they need. */
void embedder_expect(int result);

/*
 * A truncate from @first on, as a word Txy says: by strategy x (s search, c cleanup, u unmap, b combined, t tolerate),
 * y: f failable, r reliable, which must succeed. Return: an rmap_unmap_result
 */
int embedder_truncate(const struct rmap_unmap_callbacks *callbacks, struct rmap_reserve *reserve, const char *word,
		      uint64_t first, unsigned flags, struct rmap_unmap_report *report);

/*
 * The callback of that name. The first tries are free; after that only what others do can help: until one of them ends.
 */
int embedder_wait(void *arg, const struct rmap_unmap_report *report);

#endif
