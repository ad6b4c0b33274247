/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cases.h - small programs of a few threads on one page
 *
 * A program is a row of words:
 *
 *      +A  -A      add, remove the chained mapping A        +l -l +k -k    the same, linear and locked; l3, k3: three
 *      A>B         move; any two of a letter, l and k       =A             duplicate: fork
 *      #           mapcount                                 ?  c           walk; cursor, a batch of one at a time
 *      f           fill the reserve                         s m t         split, move, tag the range of its object
 *      e q         truncate the object, fault in it          F           fill it beyond what it has: from the depot
 *      a           attach the range                         d           drain the reserve
 *
 * Programs of s, m, t, e and q have an object with one range that covers the page, so that walks visit it; those of a
 * have the object, and attach the range. The page has one index; an initial program may begin with words for others
 * (cases.c).
 */
#ifndef RMAP_EXPLORE_CASES_H
#define RMAP_EXPLORE_CASES_H

#include "engine.h"

/*
 * struct explore_case
 * @bits:    multiplicity bits
 * @initial: done before, by one thread
 * @threads: their programs
 * @pinned:  the executions there are; a change of code that changes them shows. 0: too many, or not known. Beside a
 *           number that was changed stands which steps came or went. It says that something has changed, never that it
 *           is right: what may not change needs a check that fails
 * @flaw:    the program breaks a rule, and this is what a search has to find; NULL: it must find nothing
 */
struct explore_case {
	const char *name;
	unsigned bits;
	const char *initial;
	const char *threads[THREADS_MAX];
	uint64_t pinned;
	const char *flaw;
};

extern const struct explore_case explore_cases[];
extern const unsigned explore_cases_count;

/* Builds the page of @test; the run that explores it. Aborts with a message if that cannot be. */
struct engine_run case_prepare(const struct explore_case *test);

/* Aborts with a message about @what if @result is an error. */
void case_must(int result, const char *what);

/* An empty map of the explorer's memory and RCU. Aborts with a message if that cannot be. */
struct rmap *case_map(unsigned bits);

/* A filled reserve, of one thread alone. */
struct rmap_reserve *case_reserve(struct rmap *map);

/* Does one of its threads take a mutex: fill a reserve, update a range? G2 is not about those. */
bool case_blocks(const struct explore_case *test);

#endif
