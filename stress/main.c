/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * main.c - rmap-stress: the command line of the stress tests
 *
 * Runs one test for so many operations or seconds. The first line printed has everything needed to run it again, the
 * last one says that every theorem held; a theorem that does not hold is named on standard error and ends the process
 * with status 1, and so does a test that hangs. Status 2: a bad command line.
 *
 * The seed fixes what every thread does; which thread gets the CPU when, it cannot fix.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../tools/arguments.h"
#include "stress.h"

static const struct stress_test *const tests[] = {
	&stress_mix,
	&stress_grow,
	&stress_collapse,
	&stress_folio,
	&stress_huge,
	&stress_walk,
	&stress_multiplicity,
	&stress_reclaim,
	&stress_object,
	&stress_maps,
	&stress_stop,
	&stress_hostile_collide,
	&stress_hostile_correlated,
	&stress_hostile_reserves,
	&stress_hostile_stop,
	&stress_hostile_unit,
	&stress_vm_mix,
	&stress_vm_reclaim,
	&stress_vm_fault,
	&stress_vm_remap,
	&stress_vm_mlock,
	&stress_vm_fork,
	&stress_vm_tlb,
	&stress_vm_private,
	&stress_vm_migrate,
	&stress_vm_folio,
};

#define TESTS (sizeof(tests) / sizeof(tests[0]))

const char *const stress_strategies[] = { "combined", "search", "cleanup", "unmap", "tolerate", NULL };
const char *const stress_semantics[] = { "failable", "reliable", NULL };
const char *const stress_orders[] = { "today", "2003", "2003-blocking", NULL };
const char *const stress_flushes[] = { "right", "never", "late", "early", "unsettled", NULL };

enum {
	KEY_LIST = 1,
	KEY_TEST,
	KEY_THREADS,
	KEY_SECONDS,
	KEY_OPS,
	KEY_SEED,
	KEY_INJECT,
	KEY_BACKEND,
	KEY_STRATEGY,
	KEY_SEMANTICS,
	KEY_ORDER,
	KEY_FLUSH,
	KEY_CLUSTERS,
	KEY_FOLIOS,
	KEY_JSON,
};

static const struct argp_option options[] = {
	{ "list", KEY_LIST, NULL, 0, "Name the tests and what each asserts", 0 },
	{ "test", KEY_TEST, "NAME", 0, "Run this test", 0 },
	{ "threads", KEY_THREADS, "N", 0, "With N threads, 1 to 64 (default 4)", 0 },
	{ "seconds", KEY_SECONDS, "S", 0, "End after S seconds (default 5 if --ops is not given)", 0 },
	{ "ops", KEY_OPS, "N", 0, "End after N operations of all threads together", 0 },
	{ "seed", KEY_SEED, "X", 0, "Seed of the generators (default: the clock)", 0 },
	{ "inject", KEY_INJECT, "P", 0,
	  "Delay the library at its marked windows, and faults of the VM that hold a pte lock, with probability P in "
	  "1000 "
	  "(needs a build with -Dinject=true)",
	  0 },
	{ NULL, 0, NULL, 0, "Of tests on the VM:", 1 },
	{ "backend", KEY_BACKEND, "NAME", 0,
	  "Its reverse map: hybrid (default), one of its like or, without their options, another", 1 },
	{ "strategy", KEY_STRATEGY, "NAME", 0,
	  "How it truncates: combined (default), search, cleanup, unmap or tolerate", 1 },
	{ "semantics", KEY_SEMANTICS, "NAME", 0, "failable (default) or reliable", 1 },
	{ "order", KEY_ORDER, "NAME", 0, "Its order of locks: today (default), 2003, or the inversion 2003-blocking",
	  1 },
	{ "flush", KEY_FLUSH, "NAME", 0,
	  "When it flushes translations: right (default), or the mistakes never, late, early and unsettled", 1 },
	{ "clusters", KEY_CLUSTERS, "K", 0, "Its pages have 2^K ptes each, 0 to 4 (default 0)", 1 },
	{ "folios", KEY_FOLIOS, "K", 0, "Its pages have 1 to 2^K indexes each, 0 to 4 (default 0)", 1 },
	{ "json", KEY_JSON, "FILE", 0, "Write the figures there, too", 1 },
	{ 0 },
};

static uint64_t parse_number(struct argp_state *state, const char *option, const char *text, uint64_t min, uint64_t max)
{
	char *end;
	uint64_t value;

	errno = 0;
	value = strtoull(text, &end, 0);
	if (errno || end == text || *end || strchr(text, '-') || value < min || value > max)
		bad_usage(state, "--%s: '%s' is not a whole number from %" PRIu64 " to %" PRIu64 "; give one", option,
			  text, min, max);
	return value;
}

static unsigned parse_name(struct argp_state *state, const char *option, const char *text, const char *const *names)
{
	unsigned i = 0;

	while (names[i] && strcmp(names[i], text) != 0)
		i++;
	if (!names[i])
		bad_usage(state, "--%s: there is no '%s'; see --help for what there is", option, text);
	return i;
}

static const struct vm_backend *parse_backend(struct argp_state *state, const char *text)
{
	char names[256] = "";

	for (unsigned i = 0; vm_backends[i]; i++) {
		const char *name = vm_backend_name(vm_backends[i]);

		if (strcmp(name, text) == 0)
			return vm_backends[i];
		snprintf(names + strlen(names), sizeof(names) - strlen(names), "%s%s", i ? ", " : "", name);
	}
	bad_usage(state, "--backend: there is no '%s'; there are %s", text, names);
	return NULL;
}

static error_t parse_vm(int key, char *text, struct argp_state *state, struct stress_vm *vm)
{
	vm->given = true;
	switch (key) {
	case KEY_BACKEND:
		vm->backend = parse_backend(state, text);
		return 0;
	case KEY_STRATEGY:
		vm->strategy = (enum rmap_strategy)parse_name(state, "strategy", text, stress_strategies);
		return 0;
	case KEY_SEMANTICS:
		vm->semantics = (enum rmap_semantics)parse_name(state, "semantics", text, stress_semantics);
		return 0;
	case KEY_ORDER:
		vm->order = (enum vm_lock_order)parse_name(state, "order", text, stress_orders);
		return 0;
	case KEY_FLUSH:
		vm->flush = (enum vm_flush)parse_name(state, "flush", text, stress_flushes);
		return 0;
	case KEY_CLUSTERS:
		vm->clusters = (unsigned)parse_number(state, "clusters", text, 0, 4);
		return 0;
	case KEY_FOLIOS:
		vm->folios = (unsigned)parse_number(state, "folios", text, 0, VM_FOLIO_ORDER_MAX);
		return 0;
	default:
		vm->json = text;
		return 0;
	}
}

static void list(void)
{
	for (size_t i = 0; i < TESTS; i++)
		printf("%-20s%s\n", tests[i]->name, tests[i]->summary);
}

static const struct stress_test *find_test(struct argp_state *state, const char *name)
{
	for (size_t i = 0; i < TESTS; i++) {
		if (strcmp(tests[i]->name, name) == 0)
			return tests[i];
	}
	bad_usage(state, "--test: there is no test named '%s'; --list names them", name);
	return NULL;
}

static error_t parse(int key, char *text, struct argp_state *state)
{
	struct stress *stress = state->input;

	switch (key) {
	case KEY_LIST:
		list();
		exit(0);
	case KEY_TEST:
		stress->test = find_test(state, text);
		return 0;
	case KEY_THREADS:
		stress->threads = (unsigned)parse_number(state, "threads", text, 1, STRESS_THREADS_MAX);
		return 0;
	case KEY_SECONDS:
		stress->seconds = parse_number(state, "seconds", text, 1, 1000000);
		return 0;
	case KEY_OPS:
		stress->ops = parse_number(state, "ops", text, 1, 1000000000000000);
		return 0;
	case KEY_SEED:
		stress->seed = parse_number(state, "seed", text, 0, UINT64_MAX);
		return 0;
	case KEY_INJECT:
		stress->inject = (unsigned)parse_number(state, "inject", text, 0, 1000);
#if !RMAP_INJECT
		if (stress->inject)
			bad_usage(state, "--inject: this build has no marked windows; build with -Dinject=true");
#endif
		return 0;
	case ARGP_KEY_ARG:
		bad_usage(state, "'%s' is not an option; name a test with --test %s", text, text);
		return 0;
	case ARGP_KEY_END:
		if (!stress->test)
			bad_usage(state, "no test was named; give --test NAME (--list names them)");
		if (stress->vm.given && !stress->test->on_vm)
			bad_usage(state, "%s does not run on the VM: leave out the options about that",
				  stress->test->name);
		return 0;
	case KEY_BACKEND:
	case KEY_STRATEGY:
	case KEY_SEMANTICS:
	case KEY_ORDER:
	case KEY_FLUSH:
	case KEY_CLUSTERS:
	case KEY_FOLIOS:
	case KEY_JSON:
		return parse_vm(key, text, state, &stress->vm);
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

int main(int argc, char **argv)
{
	static const struct argp argp = { options,
					  parse,
					  NULL,
					  "Stress tests of librmap: theorems under concurrency."
					  "\vStatus: 0 every theorem held; 1 one did not, or the test hangs; 2 a bad "
					  "command line. Tests run one at a time; --list names them.",
					  NULL,
					  NULL,
					  NULL };
	struct stress stress = { .threads = 4, .vm.backend = vm_backends[0] };
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	stress.seed = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	arguments_parse(&argp, argc, argv, &stress);
	if (!stress.ops && !stress.seconds)
		stress.seconds = 5;

	/* Whoever reads a log of a run that crashed needs the seed. */
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("rmap-stress: %s: seed=%" PRIu64 " threads=%u ops=%" PRIu64 " seconds=%" PRIu64 " inject=%u\n",
	       stress.test->name, stress.seed, stress.threads, stress.ops, stress.seconds, stress.inject);
#if RMAP_INJECT
	rmap_inject_set(stress.inject, stress.seed);
#endif
	stress.test->run(&stress);
	printf("rmap-stress: %s: ok ops=%" PRIu64 " rounds=%" PRIu64 " seed=%" PRIu64 "\n", stress.test->name,
	       stress.done, stress.rounds, stress.seed);
	return 0;
}
