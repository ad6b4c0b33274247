/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * enumerate.c - programs as numbers: a digit for each call; see enumerate.h
 */
#include "enumerate.h"

#include <stdio.h>
#include <string.h>

/* Where a mapping is: at one of three handles, or counted as linear. */
#define HANDLES 3u
#define LINEAR HANDLES
#define PLACES (HANDLES + 1)
#define NOWHERE PLACES

/* A move has both, an add @to, a remove @from; a count and a walk have neither. */
struct call {
	unsigned from;
	unsigned to;
	bool walks;
};

/* Adds and removes of each place, moves between each two, a mapcount, a walk. */
#define CALLS (PLACES * (PLACES + 1) + 2)

/* @calls of each of @threads */
struct shape {
	unsigned threads;
	unsigned calls;
};

#define SHAPE_CALLS 4u /* at most, of all threads */

static const struct shape shapes[] = { { 2, 2 }, { 3, 1 } };

struct program {
	struct call calls[SHAPE_CALLS];
};

/*
 * struct start - a state of the structure
 * @handles: the letters of the program's handles; of those in the chain, ones that lie in different parts of it
 * @units:   how many mappings there are at each place
 */
struct start {
	unsigned bits;
	const char *initial;
	char handles[HANDLES + 1];
	unsigned units[PLACES];
};

static const struct start starts[] = {
	/* a count; a direct element; a full one */
	{ 0, "", "ABC", { 0, 0, 0, 0 } },
	{ 1, "", "ABC", { 0, 0, 0, 0 } },
	{ 0, "+l", "ABC", { 0, 0, 0, 1 } },
	{ 0, "+A", "ABC", { 1, 0, 0, 0 } },
	{ 1, "+A", "ABC", { 1, 0, 0, 0 } },
	{ 1, "+A +A", "ABC", { 2, 0, 0, 0 } },
	/* a block: the next add goes to slot 2; and with a linear mapping, the chain about to collapse */
	{ 0, "+A +B", "ABC", { 1, 1, 0, 0 } },
	{ 1, "+A +B", "ABC", { 1, 1, 0, 0 } },
	{ 0, "+A +l", "ABC", { 1, 0, 0, 1 } },
	/* slot 2 an element: the next add takes slot 0; the next add makes a leaf */
	{ 0, "+A +B +C -A", "BCD", { 1, 1, 0, 0 } },
	{ 0, "+A +B +C", "ACD", { 1, 1, 0, 0 } },
	{ 1, "+A +B +C +C", "ACD", { 1, 2, 0, 0 } },
	/* a leaf of one line, full; A in slot 0, D in the leaf; all elements in the leaf */
	{ 0, "+A +B +C +D", "ADE", { 1, 1, 0, 0 } },
	{ 1, "+A +B +C +D", "ADE", { 1, 1, 0, 0 } },
	{ 1, "+A +B +C +D +D", "ADE", { 1, 2, 0, 0 } },
	{ 1, "+A +B +C +D -A -B", "CDE", { 1, 1, 0, 0 } },
	/* with a slot VACANT, so that the leaf goes with the next remove */
	{ 0, "+A +B +C +D -C", "ADE", { 1, 1, 0, 0 } },
	{ 1, "+A +B +C +D -C", "ADE", { 1, 1, 0, 0 } },
	/* two lines, of which one is full: F makes a branch; and about to shrink, when D goes */
	{ 0, "+A +B +C +D +E", "CDF", { 1, 1, 0, 0 } },
	{ 1, "+A +B +C +D +E", "CDF", { 1, 1, 0, 0 } },
	{ 0, "+A +B +C +D +E -C", "DEF", { 1, 1, 0, 0 } },
	{ 1, "+A +B +C +D +E -C", "DEF", { 1, 1, 0, 0 } },
	/*
	 * a branch: C and D under different words, and G makes the leaf of D larger; and about to be merged, when F
	 * goes
	 */
	{ 0, "+A +B +C +D +E +F", "CDG", { 1, 1, 0, 0 } },
	{ 1, "+A +B +C +D +E +F", "CDG", { 1, 1, 0, 0 } },
	{ 0, "+A +B +C +D +E +F -C", "DFH", { 1, 1, 0, 0 } },
	{ 1, "+A +B +C +D +E +F -C", "DFH", { 1, 1, 0, 0 } },
	/* overflow: a line with F on top of a leaf; and one with a C, of which four units fill a line of the leaf */
	{ 0, "+A +B +C +D +E -D +F", "CFG", { 1, 1, 0, 0 } },
	{ 1, "+A +B +C +C +C +C +C", "ACD", { 1, 5, 0, 0 } },
	/*
	 * No start has a leaf whose free slots are shut: a remove of a lone thread that shuts them has the memory to
	 * rebuild the leaf. They are shut while calls of the programs run.
	 */
};

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

const unsigned enumerate_count = 178930;

static struct call call_of(unsigned digit)
{
	if (digit == 0)
		return (struct call){ NOWHERE, NOWHERE, false };
	if (digit == 1)
		return (struct call){ NOWHERE, NOWHERE, true };
	digit -= 2;
	if (digit < PLACES)
		return (struct call){ NOWHERE, digit, false };
	digit -= PLACES;
	return (struct call){ digit / PLACES, digit % PLACES == digit / PLACES ? NOWHERE : digit % PLACES, false };
}

static unsigned digit_of(struct call call)
{
	if (call.from == NOWHERE)
		return call.to == NOWHERE ? call.walks : 2 + call.to;
	return 2 + PLACES + call.from * PLACES + (call.to == NOWHERE ? call.from : call.to);
}

static struct program decode(const struct shape *shape, uint64_t code)
{
	struct program program;

	for (unsigned i = shape->threads * shape->calls; i-- > 0; code /= CALLS)
		program.calls[i] = call_of((unsigned)(code % CALLS));
	return program;
}

/* What page.h allows ------------------------------------------------------------------------- */

/* The units at @place that the thread of @calls must have from the start. */
static unsigned needed(const struct call *calls, unsigned n, unsigned place)
{
	unsigned has = 0, needs = 0;

	for (unsigned i = 0; i < n; i++) {
		if (calls[i].from == place && has == 0)
			needs++;
		else if (calls[i].from == place)
			has--;
		has += calls[i].to == place;
	}
	return needs;
}

/* A pte of a plain map: if it is added, then by the one thread that uses it, and while it is not there. */
static bool adds_once(const struct start *start, const struct shape *shape, const struct program *program,
		      unsigned place)
{
	unsigned users = 0, units = start->units[place];
	bool added = false, twice = false;

	for (unsigned i = 0; i < shape->threads * shape->calls; i++) {
		const struct call *call = &program->calls[i];

		if (call->from == place || call->to == place)
			users |= 1u << i / shape->calls;
		added |= call->to == place;
		twice |= call->to == place && units > 0;
		units += (call->to == place) - (call->from == place);
	}
	return !added || (!twice && (users & (users - 1)) == 0);
}

static bool is_allowed(const struct start *start, const struct shape *shape, const struct program *program)
{
	for (unsigned place = 0; place < PLACES; place++) {
		unsigned needs = 0;

		for (unsigned i = 0; i < shape->threads; i++)
			needs += needed(&program->calls[i * shape->calls], shape->calls, place);
		if (needs > start->units[place])
			return false;
		if (start->bits == 0 && place != LINEAR && !adds_once(start, shape, program, place))
			return false;
	}
	return true;
}

static bool changes(const struct shape *shape, const struct program *program)
{
	for (unsigned i = 0; i < shape->threads * shape->calls; i++)
		if (program->calls[i].from != NOWHERE || program->calls[i].to != NOWHERE)
			return true;
	return false;
}

/* One of each kind --------------------------------------------------------------------------- */

/* The number of @program with its places renamed and its threads in order. */
static uint64_t encode(const struct shape *shape, const struct program *program, const unsigned *names)
{
	uint64_t threads[THREADS_MAX];
	uint64_t base = 1;
	uint64_t code = 0;

	for (unsigned i = 0; i < shape->calls; i++)
		base *= CALLS;
	for (unsigned i = 0; i < shape->threads; i++) {
		uint64_t thread = 0;
		unsigned place = i;

		for (unsigned j = 0; j < shape->calls; j++) {
			struct call call = program->calls[i * shape->calls + j];

			call.from = names[call.from];
			call.to = names[call.to];
			thread = thread * CALLS + digit_of(call);
		}
		for (; place > 0 && threads[place - 1] > thread; place--)
			threads[place] = threads[place - 1];
		threads[place] = thread;
	}
	for (unsigned i = 0; i < shape->threads; i++)
		code = code * base + threads[i];
	return code;
}

/* Is @code the least of the numbers that its program has under other names of threads and absent handles? */
static bool is_first(const struct start *start, const struct shape *shape, const struct program *program, uint64_t code)
{
	static const unsigned orders[][PLACES + 1] = {
		{ 0, 1, 2, LINEAR, NOWHERE }, { 0, 2, 1, LINEAR, NOWHERE }, { 1, 0, 2, LINEAR, NOWHERE },
		{ 1, 2, 0, LINEAR, NOWHERE }, { 2, 0, 1, LINEAR, NOWHERE }, { 2, 1, 0, LINEAR, NOWHERE },
	};

	for (unsigned i = 0; i < LENGTH(orders); i++) {
		bool names_absent = true;

		for (unsigned j = 0; j < HANDLES; j++)
			names_absent &= orders[i][j] == j || start->units[j] + start->units[orders[i][j]] == 0;
		if (names_absent && encode(shape, program, orders[i]) < code)
			return false;
	}
	return true;
}

/* As a case ---------------------------------------------------------------------------------- */

static void write_call(char *text, const struct start *start, const struct call *call)
{
	char letters[PLACES];

	memcpy(letters, start->handles, HANDLES);
	letters[LINEAR] = 'l';
	text += strlen(text);
	if (call->from == NOWHERE && call->to == NOWHERE)
		sprintf(text, "%c ", call->walks ? '?' : '#');
	else if (call->from == NOWHERE)
		sprintf(text, "+%c ", letters[call->to]);
	else if (call->to == NOWHERE)
		sprintf(text, "-%c ", letters[call->from]);
	else
		sprintf(text, "%c>%c ", letters[call->from], letters[call->to]);
}

/* Is every call an add or a remove of one and the same handle? */
static bool is_contended(const struct shape *shape, const struct program *program)
{
	unsigned handles = 0;

	for (unsigned i = 0; i < shape->threads * shape->calls; i++) {
		const struct call *call = &program->calls[i];

		if ((call->from == NOWHERE) == (call->to == NOWHERE))
			return false;
		handles |= 1u << (call->from == NOWHERE ? call->to : call->from);
	}
	return (handles & (handles - 1)) == 0 && handles != 1u << LINEAR;
}

static void write_case(struct enumeration *at, const struct start *start, const struct shape *shape,
		       const struct program *program)
{
	memset(at->texts, 0, sizeof(at->texts));
	for (unsigned i = 0; i < shape->threads * shape->calls; i++)
		write_call(at->texts[i / shape->calls], start, &program->calls[i]);
	snprintf(at->name, sizeof(at->name), "%u", ++at->number);
	at->test = (struct explore_case){ .name = at->name, .bits = start->bits, .initial = start->initial };
	for (unsigned i = 0; i < shape->threads; i++)
		at->test.threads[i] = at->texts[i];
	at->contended = is_contended(shape, program);
}

bool enumerate_next(struct enumeration *at)
{
	for (; at->start < LENGTH(starts); at->start++, at->shape = 0) {
		for (; at->shape < LENGTH(shapes); at->shape++, at->code = 0) {
			const struct start *start = &starts[at->start];
			const struct shape *shape = &shapes[at->shape];
			uint64_t codes = 1;

			for (unsigned i = 0; i < shape->threads * shape->calls; i++)
				codes *= CALLS;
			while (at->code < codes) {
				uint64_t code = at->code++;
				struct program program = decode(shape, code);

				if (is_allowed(start, shape, &program) && changes(shape, &program) &&
				    is_first(start, shape, &program, code)) {
					write_case(at, start, shape, &program);
					return true;
				}
			}
		}
	}
	return false;
}
