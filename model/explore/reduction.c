/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reduction.c - does the whole search miss nothing? See reduction.h
 *
 * A bounded search that may stop everyone at every step reduces nothing. Over programs that are small enough for it,
 * the whole search must reach the same outcomes: what all threads read, and what memory holds at the end; and if one
 * finds that nobody can go on, so must the other. A program is a row of words, where N is one of three words or two
 * mutexes:
 *
 *      rN  read         wN  write a value of its own     aN  add one
 *      cN  replace 0 by a value of its own (compare-and-swap)
 *      iN  read, and if it is 0 leave out the next       tN  try the mutex, and if it is held leave out the next
 *      lN  take the mutex                                uN  give it back, if it is held
 *      [   begin a section, if none is open              ]   end it, if one is open
 *      g   defer: the callback reads word 0 and adds to word 2
 *      s   synchronize, if no section is open            b   barrier: wait for callbacks, likewise
 *
 * At its end a thread ends its section and gives its mutexes back. Some programs are written down: those that an
 * unsound reduction has missed something of. The rest are drawn, the same ones every time.
 */
#include "reduction.h"
#include "engine.h"

#include <explore_env.h>
#include <explore_step.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define WORDS 3u
#define MUTEXES 2u
#define PLACES 8u
#define TEXT_MAX (3 * PLACES + 1)
#define OUTCOMES_MAX 65536u
#define UNREDUCED_LIMIT 5000u
#define DRAWN 3000u

struct program {
	unsigned threads;
	char text[THREADS_MAX][TEXT_MAX];
};

/* A thread, as far as its program tells what it may do. In the arena. */
struct state {
	uint64_t read[PLACES];
	bool section;
	bool held[MUTEXES];
	struct rmap_rcu_node nodes[PLACES];
};

static const struct program *running;
static uint64_t *words;
static struct state *states;
static struct env_mutex mutexes[MUTEXES];

/* The outcomes of a search, by their hashes; 0: no outcome. */
struct outcomes {
	uint64_t hashes[OUTCOMES_MAX];
	unsigned count;
};

static struct outcomes whole;
static struct outcomes unreduced;

/* Threads ----------------------------------------------------------------------------------- */

static void callback(struct rmap_rcu_node *node)
{
	(void)node;
	explore_fetch_add(&words[2], 16 + explore_load(&words[0], __ATOMIC_RELAXED), __ATOMIC_RELAXED);
}

static void end_section(struct state *state)
{
	if (state->section)
		engine_rcu.read_unlock();
	state->section = false;
}

static void begin_section(struct state *state)
{
	if (!state->section)
		engine_rcu.read_lock();
	state->section = true;
}

static void give_back(struct state *state, unsigned mutex)
{
	if (state->held[mutex])
		explore_mutex_unlock(&mutexes[mutex]);
	state->held[mutex] = false;
}

static void take(struct state *state, unsigned mutex)
{
	if (!state->held[mutex])
		explore_mutex_lock(&mutexes[mutex]);
	state->held[mutex] = true;
}

static bool try(struct state *state, unsigned mutex)
{
	if (!state->held[mutex])
		state->held[mutex] = explore_mutex_trylock(&mutexes[mutex]) == 0;
	return state->held[mutex];
}

static uint64_t swap(uint64_t *word, uint64_t value)
{
	uint64_t expected = 0;

	explore_cas(word, &expected, value, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
	return expected;
}

/* The operations on RCU. */
static void run_rcu(struct state *state, char letter, unsigned place)
{
	if (letter == '[')
		begin_section(state);
	else if (letter == ']')
		end_section(state);
	else if (letter == 'g')
		sync_defer(&state->nodes[place], callback);
	else if (letter == 's' && !state->section)
		engine_rcu.synchronize();
	else if (letter == 'b' && !state->section)
		engine_rcu.barrier();
}

/* False: the next one is left out. */
static bool run_word(struct state *state, const char *text, uint64_t value, unsigned place)
{
	unsigned n = (unsigned)(text[1] - '0');

	switch (text[0]) {
	case 'r':
		state->read[place] = explore_load(&words[n], __ATOMIC_RELAXED);
		return true;
	case 'i':
		state->read[place] = explore_load(&words[n], __ATOMIC_RELAXED);
		return state->read[place] != 0;
	case 'w':
		explore_store(&words[n], value, __ATOMIC_RELAXED);
		return true;
	case 'a':
		state->read[place] = explore_fetch_add(&words[n], 1, __ATOMIC_RELAXED);
		return true;
	case 'c':
		state->read[place] = swap(&words[n], value);
		return true;
	case 'l':
		take(state, n);
		return true;
	case 'u':
		give_back(state, n);
		return true;
	case 't':
		state->read[place] = try(state, n);
		return state->read[place];
	default:
		run_rcu(state, text[0], place);
		return true;
	}
}

static void run_thread(void *arg, unsigned thread)
{
	const char *text = running->text[thread];
	struct state *state = &states[thread];
	bool leave_out = false;

	(void)arg;
	for (unsigned place = 0; *text; place++) {
		leave_out = !leave_out && !run_word(state, text, 256 * (thread + 1) + place, place);
		text += strcspn(text, " ");
		text += strspn(text, " ");
	}
	end_section(state);
	for (unsigned i = 0; i < MUTEXES; i++)
		give_back(state, i);
}

/* Outcomes ---------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t hash, uint64_t value)
{
	hash = (hash ^ value) * 0x9E3779B97F4A7C15u;
	return hash ^ hash >> 29;
}

static bool contains(const struct outcomes *outcomes, uint64_t hash)
{
	unsigned place = (unsigned)(hash % OUTCOMES_MAX);

	while (outcomes->hashes[place] && outcomes->hashes[place] != hash)
		place = (place + 1) % OUTCOMES_MAX;
	return outcomes->hashes[place] == hash;
}

static void add(struct outcomes *outcomes, uint64_t hash)
{
	unsigned place = (unsigned)(hash % OUTCOMES_MAX);

	if (contains(outcomes, hash))
		return;
	while (outcomes->hashes[place])
		place = (place + 1) % OUTCOMES_MAX;
	outcomes->hashes[place] = hash;
	outcomes->count++;
}

static const char *note_outcome(void *arg)
{
	uint64_t hash = 1;

	for (unsigned i = 0; i < WORDS; i++)
		hash = mix(hash, words[i]);
	for (unsigned i = 0; i < running->threads; i++)
		for (unsigned j = 0; j < PLACES; j++)
			hash = mix(hash, states[i].read[j]);
	add(arg, hash | 1);
	return NULL;
}

static struct engine_result search(const struct program *program, bool reduces, struct outcomes *outcomes)
{
	static struct engine_result result;
	struct engine_run run = {
		.threads = program->threads,
		.body = run_thread,
		.verify = note_outcome,
		.arg = outcomes,
		.bounded = !reduces,
		.preemptions = STEPS_MAX,
		.limit = reduces ? 0 : UNREDUCED_LIMIT,
		.victim = -1,
	};

	engine_reset();
	words = engine_alloc(WORDS * sizeof(*words), 64);
	states = engine_alloc(THREADS_MAX * sizeof(*states), 64);
	memset(outcomes, 0, sizeof(*outcomes));
	running = program;
	engine_explore(&run, &result);
	return result;
}

/* Programs ---------------------------------------------------------------------------------- */

static const struct program written[] = {
	/*
	 * At w0 the second thread tries r0, and the third begins. Behind r0 the first sleeps: r1 has to be tried, not
	 * w0.
	 */
	{ 3, { "w0", "r0", "r1 r0" } },
	{ 3, { "w1 w0", "r0", "r1 r0" } },
	{ 3, { "c0 r0", "r0", "w1 r1 r0" } },
	{ 3, { "w2", "r1 r2", "i2 w2 w0" } },
	/* A try that fails tells that the mutex is held: it must not hide who took it from one who waits. */
	{ 3, { "l1 t0 w0", "t0 l1 l0", "l0 t0" } },
	/* A barrier waits for the end of a callback, and not for one that is queued later. */
	{ 2, { "g", "b r2" } },
	{ 2, { "b r2", "g" } },
	{ 3, { "g", "b r2", "g w0" } },
};

static uint64_t draws = 1;

static unsigned draw(unsigned below)
{
	draws ^= draws << 13;
	draws ^= draws >> 7;
	draws ^= draws << 17;
	return (unsigned)((draws >> 20) % below);
}

/* @kinds: the letters there may be, the likely ones more than once; @length: at most so many words a thread. */
static struct program draw_program(const char *kinds, unsigned threads, unsigned length)
{
	struct program program = { .threads = threads };

	for (unsigned i = 0; i < threads; i++) {
		unsigned count = 1 + draw(length);
		char *text = program.text[i];

		for (unsigned j = 0; j < count; j++) {
			char kind = kinds[draw((unsigned)strlen(kinds))];
			unsigned n = draw(strchr("ltu", kind) ? MUTEXES : WORDS);

			text += sprintf(text, strchr("[]gsb", kind) ? "%s%c" : "%s%c%u", j ? " " : "", kind, n);
		}
	}
	return program;
}

struct totals {
	unsigned compared;
	unsigned large; /* too large to leave nothing out */
	unsigned wrong;
	uint64_t executions;
	uint64_t unreduced;
};

static void compare(const struct program *program, struct totals *totals)
{
	struct engine_result all = search(program, false, &unreduced);
	struct engine_result some;

	if (!all.exhausted && !all.error) {
		totals->large++;
		return;
	}
	some = search(program, true, &whole);
	totals->compared++;
	totals->executions += some.executions;
	totals->unreduced += all.executions;
	if (!all.error == !some.error && (all.error || whole.count == unreduced.count))
		return;
	totals->wrong++;
	printf("reduction: FAILED: of %u outcomes the whole search reached %u (%s; %s):", unreduced.count, whole.count,
	       all.error ? all.error : "all end", some.error ? some.error : "all end");
	for (unsigned i = 0; i < program->threads; i++)
		printf(" | %s", program->text[i]);
	printf("\n");
}

bool reduction_run(void)
{
	static const char *const kinds[] = { "rrwwaci", "rrwwci", "rwlluut", "rwi[]gsb", "rwcilut[]gsb" };
	struct totals totals = { 0 };

	for (size_t i = 0; i < sizeof(written) / sizeof(written[0]); i++)
		compare(&written[i], &totals);
	for (unsigned i = 0; i < DRAWN; i++) {
		unsigned threads = 2 + i % 3;
		struct program program = draw_program(kinds[i % 5], threads, threads == 2 ? 5 : threads == 3 ? 3 : 2);

		compare(&program, &totals);
	}
	printf("reduction: %u programs compared, %u too large: %" PRIu64 " executions for %" PRIu64 ", %u failed\n",
	       totals.compared, totals.large, totals.executions, totals.unreduced, totals.wrong);
	return totals.wrong == 0;
}
