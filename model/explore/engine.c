/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * engine.c - coroutines, and the search over their interleavings; see engine.h
 *
 * An execution is a row of nodes, one a step. Each node knows who could go on there, who has been tried, who must be
 * tried (backtrack), and who sleeps: whose next step was tried before and has met nothing since that depends on it.
 * When a step is over, each earlier step that races with it (they depend on each other, and nothing else orders them)
 * asks its node for the other order. The search is depth first over those.
 *
 * Why it is whole. Let e race with a later step t, and let v be the steps after e that e does not come before, and t.
 * In front of e, v can be taken without e, and t with it comes first. Whoever has a step in v that depends on none
 * before it there, an initial of v, can begin: the rest of v follows. So one initial has to be tried at e's node, and
 * any of them does; if one was tried, or sleeps, then executions that begin with it are seen there or were before. It
 * does not do to try the thread of t, as a persistent set would have it: if it is no initial, because its own next step
 * at the node is another one, or waits for another, what follows from it need not lead to v, and if it sleeps, nobody
 * is tried. An execution that is cut short, since all who could go on sleep, has looked for the races of all its steps;
 * what the sleepers would do was done before where they fell asleep, and their races were found there.
 *
 * The argument needs three things of a step. What it depends on has to be the same in each order of the others: so
 * races are looked for when it is over, since only then is it known whether a compare-and-swap wrote. Until then the
 * step that waits to be taken counts as a write, and wakes too early rather than too late. What ends a wait has to
 * depend on the step that waits: sync.c says by which byte. If e is what ends the wait of t, v cannot be taken, and its
 * initials may be none; the two do not race. And a wait that could end must not be made to wait again by others, or e
 * may keep t from going first and a third step end the wait and hide the race of the two. Only mutexes do so. There the
 * third step is known: it gives the mutex back, or is a try that failed meanwhile; it is passed over, and the
 * acquisition is found.
 *
 * reduction.c compares the outcomes with those of a search that leaves nothing out.
 *
 * Coroutines switch by setjmp and longjmp, which cost no system call. Nor does a new life of one: only its first begins
 * by setcontext(), and the others where actor_main() then called setjmp().
 */
#include "engine.h"
#include "step.h"
#include "weak.h"

#include <explore_step.h>

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#define ARENA_BYTES ((size_t)256 << 10)
#define STACK_BYTES ((size_t)64 << 10)

struct actor {
	jmp_buf start; /* on its stack, which it has once it was started */
	jmp_buf at;
	char *stack;
	bool fresh;
	bool done;
	struct step next;
	bool (*ready)(unsigned actor); /* NULL: it waits for nothing */
	unsigned taken;
};

struct node {
	unsigned enabled;
	unsigned backtrack;
	unsigned tried;
	unsigned sleep;
	unsigned chosen;
	unsigned preemptions; /* before this node */
	unsigned ran;         /* who took the step before */
	unsigned stale;       /* stale reads before this node */
	unsigned read;        /* which message the step reads, 0 the newest, */
	unsigned reads;       /* of so many */
	struct step step;
	uint16_t clock[ACTORS];
};

static struct {
	const struct engine_run *run;
	struct engine_result *result;
	struct actor actors[ACTORS];
	struct node nodes[STEPS_MAX];
	unsigned depth;  /* steps taken in this execution */
	unsigned prefix;      /* in how many of them the search says who goes on, */
	unsigned known_reads; /* and in how many what is read */
	unsigned current;
	bool inside; /* a coroutine runs */
	jmp_buf scheduler;
	uint16_t clocks[ACTORS][ACTORS];
	unsigned ended[ACTORS]; /* operations */
	unsigned outcome;
	uint64_t draws;
	size_t chosen; /* of the choices that are given, so many are used */
} engine;

enum outcome { GOES_ON, COMPLETE, BLOCKED, WRONG };

static _Alignas(4096) unsigned char arena[ARENA_BYTES];
static unsigned char snapshot[ARENA_BYTES];
static unsigned char poisoned[ARENA_BYTES / 8];
static unsigned char poisoned_snapshot[ARENA_BYTES / 8];
static unsigned char private_words[ARENA_BYTES / 8];
static size_t arena_used;
static size_t snapshot_used;

/* Memory ------------------------------------------------------------------------------------ */

void *engine_alloc(size_t bytes, size_t align)
{
	size_t start = (arena_used + align - 1) & ~(align - 1);

	if (start + bytes > ARENA_BYTES)
		return NULL;
	arena_used = start + bytes;
	return arena + start;
}

void engine_reset(void)
{
	size_t words = arena_used / 8 + 1;

	memset(arena, 0, arena_used);
	memset(poisoned, 0, words);
	memset(private_words, 0, words);
	arena_used = 0;
	sync_begin(); /* the last execution may have been cut short in a section */
}

void engine_private(const void *memory, size_t bytes)
{
	memset(&private_words[((const unsigned char *)memory - arena) / 8], 1, bytes / 8);
}

bool engine_is_private(const void *address)
{
	size_t offset = (size_t)((const unsigned char *)address - arena);

	return offset < ARENA_BYTES && private_words[offset / 8];
}

static void set_poison(const void *memory, size_t bytes, unsigned char value)
{
	size_t offset = (size_t)((const unsigned char *)memory - arena);

	if (offset < ARENA_BYTES)
		memset(&poisoned[offset / 8], value, bytes / 8);
}

void explore_poison(const void *memory, size_t bytes)
{
	engine_step(memory, bytes, true);
	set_poison(memory, bytes, 1);
}

/* A step, too, or a use between the two would be taken for one that comes after both. */
void explore_unpoison(const void *memory, size_t bytes)
{
	engine_step(memory, bytes, true);
	set_poison(memory, bytes, 0);
}

static void check_poison(const struct step *step)
{
	size_t offset = (size_t)(step->address - (uintptr_t)arena);

	if (offset < ARENA_BYTES && step->bytes == 8 && poisoned[offset / 8])
		engine_fail("memory is used after its grace period");
}

/* Who can go on ----------------------------------------------------------------------------- */

static bool can_go_on(unsigned index)
{
	const struct actor *actor = &engine.actors[index];

	if (actor->done)
		return false;
	if ((int)index == engine.run->victim && actor->taken >= engine.run->victim_steps)
		return false;
	return !actor->ready || actor->ready(index);
}

static unsigned enabled_set(void)
{
	unsigned set = 0;

	for (unsigned i = 0; i < ACTORS; i++)
		if ((i < engine.run->threads || i == RECLAIMER) && can_go_on(i))
			set |= 1u << i;
	return set;
}

/* All threads but a stopped one are through. */
static bool all_done(void)
{
	for (unsigned i = 0; i < engine.run->threads; i++)
		if (!engine.actors[i].done && (int)i != engine.run->victim)
			return false;
	return true;
}

/* The search -------------------------------------------------------------------------------- */

static bool depend(const struct step *a, const struct step *b)
{
	return (a->write || b->write) && a->address < b->address + b->bytes && b->address < a->address + a->bytes;
}

static void join(uint16_t *into, const uint16_t *from)
{
	for (unsigned i = 0; i < ACTORS; i++)
		if (into[i] < from[i])
			into[i] = from[i];
}

/* A search that reduces. */
static bool is_whole(void)
{
	return !engine.run->bounded && !engine.run->random;
}

static unsigned lowest(unsigned set)
{
	return (unsigned)__builtin_ctz(set);
}

/*
 * Was the step at @later after the one at @earlier in every order that keeps those of steps that depend on each other?
 */
static bool is_after(const struct node *later, const struct node *earlier)
{
	return later->clock[earlier->chosen] >= earlier->clock[earlier->chosen];
}

/*
 * Who can begin what leads to the step at @last without the one at @skipped: the threads whose next step there has
 * nothing before it that it depends on, among the steps from @skipped to @last that do not come after @skipped.
 */
static unsigned initials(unsigned skipped, unsigned last)
{
	uint16_t first[ACTORS] = { 0 }; /* of each actor, the first of these steps as its clock counts */
	unsigned seen = 0;
	unsigned set = 0;

	for (unsigned i = skipped + 1; i <= last; i++) {
		const struct node *node = &engine.nodes[i];
		bool begins = !(seen & (1u << node->chosen));

		if (i < last && is_after(node, &engine.nodes[skipped]))
			continue;
		for (unsigned j = 0; begins && j < ACTORS; j++)
			begins = !(seen & (1u << j)) || node->clock[j] < first[j];
		set |= begins ? 1u << node->chosen : 0;
		if (!(seen & (1u << node->chosen)))
			first[node->chosen] = node->clock[node->chosen];
		seen |= 1u << node->chosen;
	}
	return set & engine.nodes[skipped].enabled;
}

/* The step at @last races with the one at @first: someone has to be tried there who can lead to the other order. */
static void reverse(unsigned first, unsigned last)
{
	struct node *node = &engine.nodes[first];
	unsigned set = initials(first, last);
	unsigned self = 1u << engine.nodes[last].chosen;

	if (set && !(set & (node->backtrack | node->sleep)))
		node->backtrack |= set & self ? self : 1u << lowest(set);
}

/* From this step on there are steps that are not known to come before one with this @clock. */
static unsigned first_unordered(const uint16_t *clock)
{
	unsigned first = engine.depth;

	for (unsigned i = 0; i < ACTORS; i++)
		if (clock[i] < engine.clocks[i][i] && clock[i] < first)
			first = clock[i];
	return first;
}

/*
 * The last step is over, and what it did is known: finds the earlier ones that race with it, and gives it its clock. A
 * mutex that is waited for is held before it is given back, and before a try that fails: these come first in any order.
 * But they must not hide the acquisition before them, which need not.
 */
static void find_races(void)
{
	unsigned last = engine.depth - 1;
	struct node *node = &engine.nodes[last];
	uint16_t *clock = node->clock;
	uint16_t held[ACTORS] = { 0 };
	unsigned races[ACTORS];
	unsigned count = 0;
	unsigned first;

	memcpy(clock, engine.clocks[node->chosen], sizeof(node->clock));
	first = first_unordered(clock);
	for (unsigned i = last; i-- > first;) {
		const struct node *earlier = &engine.nodes[i];

		if (!depend(&earlier->step, &node->step) || is_after(node, earlier))
			continue;
		if (node->step.lock == ACQUIRES && (earlier->step.lock == RELEASES || !earlier->step.write)) {
			join(held, earlier->clock);
			continue;
		}
		races[count++] = i;
		join(clock, earlier->clock);
		first = first_unordered(clock);
	}
	while (count > 0)
		reverse(races[--count], last);
	join(clock, held);
	clock[node->chosen] = (uint16_t)(last + 1);
	memcpy(engine.clocks[node->chosen], clock, sizeof(node->clock));
}

/* The next choice of a random execution: given, or of xorshift64*. */
static uint64_t draw(void)
{
	if (engine.run->choices)
		return engine.chosen < engine.run->choices_n ? engine.run->choices[engine.chosen++] : 1;
	engine.draws ^= engine.draws >> 12;
	engine.draws ^= engine.draws << 25;
	engine.draws ^= engine.draws >> 27;
	return (engine.draws * 0x2545F4914F6CDD1Du) >> 32;
}

/* One in so many steps of a random execution stops who runs. */
#define RANDOM_PREEMPTION 8u

static unsigned choose_randomly(const struct node *node)
{
	unsigned chosen;

	if ((node->enabled & (1u << node->ran)) && draw() % RANDOM_PREEMPTION != 0)
		return node->ran;
	for (chosen = (unsigned)(draw() % ACTORS); !(node->enabled & (1u << chosen));)
		chosen = (chosen + 1) % ACTORS;
	return chosen;
}

/* Whose turn it is at a new node: who ran goes on, if it may. */
static unsigned choose(const struct node *node)
{
	unsigned set = node->enabled & ~node->sleep;

	if (engine.run->random)
		return choose_randomly(node);
	if (set & (1u << engine.current))
		return engine.current;
	return lowest(set);
}

/* Was the thread that ran before stopped at @node, though it could have gone on? */
static bool preempts(const struct node *node)
{
	return node->chosen != node->ran && (node->enabled & (1u << node->ran));
}

/* Whom a bounded search tries at a new node besides the one who goes on. */
static unsigned bounded_backtrack(const struct node *node)
{
	if ((node->enabled & (1u << node->ran)) && node->preemptions >= engine.run->preemptions)
		return 0;
	return node->enabled;
}

static unsigned sleepers(const struct node *before)
{
	unsigned set = 0;
	unsigned all = before->sleep | (before->tried & ~(1u << before->chosen));

	for (unsigned i = 0; i < ACTORS; i++)
		if ((all & (1u << i)) && !depend(&engine.actors[i].next, &before->step))
			set |= 1u << i;
	return set;
}

static unsigned letter_index(char letter)
{
	return letter == 'r' ? RECLAIMER : (unsigned)(letter - 'a');
}

static char letter_of(unsigned index)
{
	return index == RECLAIMER ? 'r' : (char)('a' + index);
}

/* A letter a step, and behind it which message it reads, if that is not the newest. */
void engine_save_schedule(struct engine_result *result)
{
	size_t length = 0;

	for (unsigned i = 0; i < engine.depth && length + 8 < sizeof(result->schedule); i++) {
		result->schedule[length++] = letter_of(engine.nodes[i].chosen);
		if (engine.nodes[i].read)
			length += (size_t)sprintf(&result->schedule[length], "%u", engine.nodes[i].read % 1000);
	}
	result->schedule[length] = '\0';
}

/* Makes a schedule the given part of the execution. False: it is too long. */
static bool read_schedule(const char *text)
{
	char *end;

	while (*text) {
		struct node *node = &engine.nodes[engine.prefix];

		if (engine.prefix == STEPS_MAX)
			return false;
		memset(node, 0, sizeof(*node));
		node->chosen = letter_index(*text++);
		if (*text >= '0' && *text <= '9') {
			node->read = (unsigned)strtoul(text, &end, 10);
			text = end;
		}
		engine.known_reads = ++engine.prefix;
	}
	return true;
}

/* Picks the actor whose next step is taken. GOES_ON, or how the execution ends. */
static enum outcome pick(unsigned *chosen)
{
	struct node *node = &engine.nodes[engine.depth];
	unsigned enabled = enabled_set();

	if (engine.depth > 0 && is_whole())
		find_races();
	if (all_done() && enabled == 0)
		return COMPLETE;
	if (enabled == 0) {
		engine.result->error = "nobody can go on";
		return WRONG;
	}
	if (engine.depth == STEPS_MAX) {
		engine.result->error = "the threads do not come to an end";
		return WRONG;
	}
	if (engine.depth < engine.prefix) {
		if (!(enabled & (1u << node->chosen))) {
			engine.result->error = "the schedule does not fit: this thread cannot go on here";
			return WRONG;
		}
	} else {
		node->enabled = enabled;
		node->ran = engine.current;
		node->preemptions = engine.depth ? (node - 1)->preemptions + preempts(node - 1) : 0;
		node->stale = engine.depth ? (node - 1)->stale + ((node - 1)->read > 0) : 0;
		node->read = 0;
		node->reads = 1;
		node->sleep = engine.depth && is_whole() ? sleepers(node - 1) : 0;
		if ((enabled & ~node->sleep) == 0)
			return BLOCKED;
		node->chosen = choose(node);
		node->backtrack = node->tried = 1u << node->chosen;
		if (engine.run->bounded)
			node->backtrack |= bounded_backtrack(node);
	}
	*chosen = node->chosen;
	node->step = engine.actors[*chosen].next;
	engine.depth++;
	engine.actors[*chosen].taken++;
	return GOES_ON;
}

/* The next choice: the deepest node at which someone is left to be tried. False: there is none. */
static bool next_execution(void)
{
	if (engine.run->random) {
		engine.draws = (engine.run->seed + engine.result->executions) * 0x9E3779B97F4A7C15u | 1;
		return true;
	}
	while (engine.depth > 0) {
		struct node *node = &engine.nodes[--engine.depth];
		unsigned left = node->backtrack & ~node->tried & ~node->sleep;

		if (node->read + 1 < node->reads) {
			node->read++;
			engine.prefix = engine.known_reads = engine.depth + 1;
			return true;
		}
		if (left) {
			node->read = 0;
			node->reads = 1;
			node->chosen = lowest(left);
			node->tried |= 1u << node->chosen;
			engine.prefix = engine.depth + 1;
			engine.known_reads = engine.depth;
			return true;
		}
	}
	return false;
}

/* Coroutines -------------------------------------------------------------------------------- */

static void __attribute__((noreturn)) end_execution(enum outcome outcome)
{
	engine.outcome = outcome;
	longjmp(engine.scheduler, 1);
}

void engine_fail(const char *why)
{
	if (!engine.inside) {
		fprintf(stderr, "explore: %s\n", why);
		abort();
	}
	engine.result->error = why;
	end_execution(WRONG);
}

void engine_op_ends(void)
{
	if (!engine.inside)
		return;
	engine.ended[engine.current]++;
	weak_tick(engine.current);
}

unsigned engine_ended(unsigned thread)
{
	if (!engine.inside)
		return 0;
	return engine.run->stale ? weak_known(engine.current, thread) : engine.ended[thread];
}

static void actor_main(void);

/* The first start of a coroutine. */
static void __attribute__((noreturn)) start_first(struct actor *actor)
{
	ucontext_t context;

	actor->stack = malloc(STACK_BYTES);
	if (!actor->stack) {
		fprintf(stderr, "explore: no memory for a stack\n");
		abort();
	}
	getcontext(&context);
	context.uc_stack.ss_sp = actor->stack;
	context.uc_stack.ss_size = STACK_BYTES;
	context.uc_link = NULL;
	makecontext(&context, actor_main, 0);
	setcontext(&context);
	abort();
}

static void switch_to_chosen(void)
{
	unsigned chosen;
	enum outcome outcome = pick(&chosen);
	struct actor *actor = &engine.actors[chosen];

	if (outcome != GOES_ON)
		end_execution(outcome);
	if (chosen == engine.current && !actor->fresh)
		return;
	engine.current = chosen;
	if (!actor->fresh)
		longjmp(actor->at, 1);
	actor->fresh = false;
	if (actor->stack)
		longjmp(actor->start, 1);
	start_first(actor);
}

/* Stops before a step until it is this actor's turn. The step is written part by part: so it is read, soon after. */
static void stop_before(const void *address, size_t bytes, bool write, enum step_lock lock,
			bool (*ready)(unsigned actor))
{
	struct actor *actor = &engine.actors[engine.current];

	actor->next.address = (uintptr_t)address;
	actor->next.bytes = bytes;
	actor->next.write = write;
	actor->next.lock = lock;
	actor->ready = ready;
	if (setjmp(actor->at) == 0)
		switch_to_chosen();
	actor->ready = NULL;
	check_poison(&actor->next);
}

void engine_step(const void *address, size_t bytes, bool write)
{
	if (engine.inside)
		stop_before(address, bytes, write, NO_LOCK, NULL);
}

void engine_step_when(const void *address, bool (*ready)(unsigned actor))
{
	stop_before(address, 1, true, NO_LOCK, ready);
}

void engine_acquire(const void *mutex, bool (*ready)(unsigned actor))
{
	stop_before(mutex, 1, true, ACQUIRES, ready);
}

void engine_release(const void *mutex)
{
	stop_before(mutex, 1, true, RELEASES, NULL);
}

unsigned engine_read_choice(const uint64_t *word, const uint64_t *expected)
{
	struct node *node = &engine.nodes[engine.depth - 1];

	if (engine.depth > engine.known_reads && node->stale < engine.run->stale) {
		node->reads = weak_choices(engine.current, word, expected);
		if (engine.run->random && node->reads > 1)
			node->read = (unsigned)(draw() % node->reads);
	}
	return node->read;
}

void engine_step_has_only_read(void)
{
	engine.nodes[engine.depth - 1].step.write = false;
}

bool engine_is_inside(void)
{
	return engine.inside;
}

unsigned engine_self(void)
{
	return engine.inside ? engine.current : 0;
}

/* Each of its lives ends with a jump away, so its frame is there for the next one. */
static void actor_main(void)
{
	setjmp(engine.actors[engine.current].start);
	if (engine.current == RECLAIMER)
		sync_reclaim();
	engine.run->body(engine.run->arg, engine.current);
	engine.actors[engine.current].done = true;
	switch_to_chosen();
	abort();
}

static void prepare_actor(unsigned index)
{
	struct actor *actor = &engine.actors[index];

	actor->fresh = true;
	actor->done = false;
	actor->taken = 0;
	/* The first step is to begin: it touches nothing. The reclaimer's is to take work. */
	actor->ready = index == RECLAIMER ? sync_has_work : NULL;
	actor->next = index == RECLAIMER ? sync_work_step() : (struct step){ 0, 0, false, NO_LOCK };
}

static void restore_snapshot(void)
{
	memcpy(arena, snapshot, snapshot_used);
	memcpy(poisoned, poisoned_snapshot, arena_used / 8 + 1);
	arena_used = snapshot_used;
}

static void execute(void)
{
	restore_snapshot();
	memset(engine.clocks, 0, sizeof(engine.clocks));
	memset(engine.ended, 0, sizeof(engine.ended));
	sync_begin();
	weak_begin(engine.run->stale > 0);
	engine.depth = 0;
	engine.current = 0;
	for (unsigned i = 0; i < ACTORS; i++)
		prepare_actor(i);
	engine.inside = true;
	if (setjmp(engine.scheduler) == 0) {
		engine.current = ACTORS; /* nobody yet */
		switch_to_chosen();
	}
	engine.inside = false;
	engine.current = 0;
}

static void search(const struct engine_run *run, struct engine_result *result)
{
	*result = (struct engine_result){ .victim_end = true };
	engine.run = run;
	engine.result = result;
	engine.prefix = engine.known_reads = 0;
	engine.draws = run->seed * 0x9E3779B97F4A7C15u | 1;
	engine.chosen = 0;
	if (run->replay && !read_schedule(run->replay)) {
		result->error = "the schedule is too long";
		return;
	}
	do {
		if (run->limit && result->executions + result->blocked == run->limit)
			return;
		execute();
		result->steps += engine.depth;
		if (engine.outcome == BLOCKED) {
			result->blocked++;
			continue;
		}
		result->executions++;
		if (run->victim >= 0 && !engine.actors[run->victim].done)
			result->victim_end = false;
		if (engine.outcome == COMPLETE && run->verify && run->victim < 0)
			result->error = run->verify(run->arg);
		if (result->error) {
			engine_save_schedule(result);
			return;
		}
		if (run->replay)
			return;
	} while (next_execution());
	result->exhausted = true;
}

void engine_explore(const struct engine_run *run, struct engine_result *result)
{
	memcpy(snapshot, arena, arena_used);
	memcpy(poisoned_snapshot, poisoned, sizeof(poisoned));
	snapshot_used = arena_used;
	search(run, result);
	restore_snapshot();
}
