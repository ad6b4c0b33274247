/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * enumerate.h - all small programs, where cases.c has chosen ones
 *
 * Every program of two threads with two calls each, and of three threads with one, on up to three handles, from starts
 * that lie in each state of the structure; in a plain map, and in one whose elements count to two, so that threads
 * share keys and a key has several elements. A call is an add, a remove or a move of a chained or linear mapping, a
 * mapcount or a walk. Left out are programs that page.h does not allow (a thread removes and moves only what is its
 * own, and in a plain map a pte is added once), those that no call changes anything in, and all but one of those that
 * differ only in the names of threads or of handles that are not there at the start. Locked mappings are counted as
 * linear ones are, and duplicates are adds: cases.c has programs of them.
 *
 * Programs are numbered from 1, and the numbers are their names. They stay while the tables of starts and calls do.
 */
#ifndef RMAP_EXPLORE_ENUMERATE_H
#define RMAP_EXPLORE_ENUMERATE_H

#include "cases.h"

#define ENUMERATE_TEXT 16u

/*
 * struct enumeration - where one stands; zeroes: before the first
 * @number:    of the program in @test, whose texts are here
 * @contended: all of its calls are adds and removes of one handle
 */
struct enumeration {
	unsigned start;
	unsigned shape;
	uint64_t code;
	unsigned number;
	bool contended;
	struct explore_case test;
	char name[ENUMERATE_TEXT];
	char texts[THREADS_MAX][ENUMERATE_TEXT];
};

/* Goes on to the next program. False: there is none. */
bool enumerate_next(struct enumeration *at);

/* How many there are; pinned. */
extern const unsigned enumerate_count;

#endif
