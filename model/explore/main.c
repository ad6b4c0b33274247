/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * main.c - the explorer's command line
 */
#include "cases.h"
#include "litmus.h"
#include "vm.h"

#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct request {
	const char *name;
	const char *replay;
	uint64_t limit;
	unsigned preemptions;
	unsigned stale;
	uint64_t seed;
	bool bounded;
	bool random;
	bool litmus;
	bool first;
	bool no_pins;
	bool list;
	bool stop;
};

static struct engine_result result;

static const struct argp_option options[] = {
	{ "case", 'c', "NAME", 0, "explore this case; without it, all of them", 0 },
	{ "limit", 'n', "N", 0, "give up a case after N executions (default: never)", 0 },
	{ "list", 'l', NULL, 0, "list the cases", 0 },
	{ "preemptions", 'p', "N", 0, "search all executions with at most N preemptions, instead of whole", 0 },
	{ "stale", 'w', "N", 0, "weak memory: at most N loads of an execution read stale values", 0 },
	{ "first", 'f', NULL, 0, "end with the first case that fails", 0 },
	{ "no-pins", 'u', NULL, 0, "do not compare numbers of executions: for a library that is broken on purpose", 0 },
	{ "random", 'x', "SEED", 0, "no search: --limit executions drawn at random (default 100000)", 0 },
	{ "litmus", 't', NULL, 0, "show what the model of weak memory finds, and what it does not", 0 },
	{ "replay", 'r', "SCHEDULE", 0, "run one schedule, as a failure printed it, of --case", 0 },
	{ "stop", 's', NULL, 0, "stop each thread for ever at each of its steps: the others must finish (G2)", 0 },
	{ 0 },
};

static uint64_t read_number(struct argp_state *state, const char *name, const char *value, uint64_t least,
			    uint64_t most)
{
	char *end;
	uint64_t number;

	errno = 0;
	number = strtoull(value, &end, 10);
	if (errno || *end || end == value || *value == '-' || number < least || number > most)
		argp_error(state, "--%s takes a number from %" PRIu64 " to %" PRIu64 ", not '%s'", name, least, most,
			   value);
	return number;
}

static error_t read_option(int key, char *value, struct argp_state *state)
{
	struct request *request = state->input;

	switch (key) {
	case 'p':
		request->bounded = true;
		request->preemptions = (unsigned)read_number(state, "preemptions", value, 0, 64);
		return 0;
	case 'f':
		request->first = true;
		return 0;
	case 'u':
		request->no_pins = true;
		return 0;
	case 'x':
		request->random = true;
		request->seed = read_number(state, "random", value, 0, UINT64_MAX);
		return 0;
	case 't':
		request->litmus = true;
		return 0;
	case 'w':
		request->stale = (unsigned)read_number(state, "stale", value, 0, 64);
		return 0;
	case 'c':
		request->name = value;
		return 0;
	case 'l':
		request->list = true;
		return 0;
	case 'n':
		request->limit = read_number(state, "limit", value, 1, UINT64_MAX);
		return 0;
	case 'r':
		request->replay = value;
		if (value[strspn(value, "abcdr0123456789")] || (*value >= '0' && *value <= '9'))
			argp_error(state, "--replay takes what a failure printed: letters of a to d and r, and numbers");
		return 0;
	case 's':
		request->stop = true;
		return 0;
	case ARGP_KEY_END:
		if (request->replay && !request->name)
			argp_error(state, "--replay needs --case");
		if (request->stale && !request->bounded && !request->random)
			argp_error(state, "--stale needs --preemptions or --random: the whole search knows no stale reads");
		if (request->random && (request->bounded || request->stop))
			argp_error(state, "--random is no search: it goes with neither --preemptions nor --stop");
		if (request->random && !request->limit)
			request->limit = 100000;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* The families of cases, and how each is made ready. */
static const struct family {
	const struct explore_case *cases;
	const unsigned *count;
	struct engine_run (*prepare)(const struct explore_case *test);
	bool (*blocks)(const struct explore_case *test);
} families[] = {
	{ explore_cases, &explore_cases_count, case_prepare, case_blocks },
	{ vm_cases, &vm_cases_count, vm_prepare, vm_blocks },
};

static void print_failure(const struct explore_case *test, const struct engine_run *run)
{
	printf("%s: FAILED after %" PRIu64 " executions: %s\n", test->name, result.executions, result.error);
	if (run->random)
		printf("  the seed was %" PRIu64 "\n", run->seed);
	if (run->victim >= 0)
		printf("  thread %c was stopped before its step %u\n", 'a' + run->victim, run->victim_steps);
	printf("  again: rmap-explore --case %s", test->name);
	if (run->stale)
		printf(" --preemptions 0 --stale %u", run->stale);
	printf(" --replay %s\n", result.schedule);
}

/* A flaw has to be found, and nothing else. */
static bool report(const struct explore_case *test, const struct engine_run *run)
{
	if (result.error && test->flaw && strcmp(result.error, test->flaw) == 0)
		return true;
	if (result.error)
		print_failure(test, run);
	else if (test->flaw)
		printf("%s: FAILED: in %" PRIu64 " executions this was not found: %s\n", test->name, result.executions,
		       test->flaw);
	return !result.error && !test->flaw;
}

static const char *how_it_ended(const struct explore_case *test, const struct engine_run *run)
{
	if (test->flaw)
		return ", flaw found";
	return result.exhausted || run->random ? "" : ", not all";
}

static bool pins_apply(const struct explore_case *test, const struct request *request)
{
	return test->pinned && !request->no_pins && !request->bounded && !request->random && !request->replay;
}

static bool explore(const struct family *family, const struct explore_case *test, const struct request *request)
{
	struct engine_run run = family->prepare(test);

	run.limit = request->limit;
	run.bounded = request->bounded;
	run.preemptions = request->preemptions;
	run.stale = request->stale;
	run.random = request->random;
	run.seed = request->seed;
	run.replay = request->replay;
	engine_explore(&run, &result);
	if (!report(test, &run))
		return false;
	printf("%-18s %9" PRIu64 " executions, %9" PRIu64 " cut short, %10" PRIu64 " steps%s\n", test->name,
	       result.executions, result.blocked, result.steps, how_it_ended(test, &run));
	if (pins_apply(test, request) && result.exhausted && result.executions != test->pinned) {
		printf("%s: FAILED: there were %" PRIu64 " executions: if the change is meant, pin the new number\n",
		       test->name, test->pinned);
		return false;
	}
	return true;
}

/* Every stop of every thread. */
static bool explore_stops(const struct family *family, const struct explore_case *test, const struct request *request)
{
	uint64_t executions = 0;
	unsigned stops = 0;
	struct engine_run run = family->prepare(test);

	if (family->blocks(test))
		return true;
	run.limit = request->limit;
	run.bounded = request->bounded;
	run.preemptions = request->preemptions;
	run.stale = request->stale;
	for (run.victim = 0; run.victim < (int)run.threads; run.victim++) {
		for (run.victim_steps = 0;; run.victim_steps++) {
			engine_explore(&run, &result);
			executions += result.executions;
			if (!report(test, &run))
				return false;
			if (result.victim_end)
				break;
			stops++;
		}
	}
	printf("%-18s %9u stops, %9" PRIu64 " executions\n", test->name, stops, executions);
	return true;
}

static const struct explore_case *explored;

/* A failed assertion of the library, or a fault: the search is over, and the schedule that led there is printed. */
static void on_crash(int signal)
{
	engine_save_schedule(&result);
	fprintf(stderr, "%s: FAILED after %" PRIu64 " executions: %s\n  again: rmap-explore --case %s --replay %s\n",
		explored->name, result.executions, strsignal(signal), explored->name, result.schedule);
	_exit(1);
}

static void list(const struct explore_case *test)
{
	printf("%-18s %s |%s |%s |%s\n", test->name, test->initial, test->threads[0], test->threads[1],
	       test->threads[2] ? test->threads[2] : "");
}

struct totals {
	unsigned run;
	unsigned failed;
};

static void run_case(const struct family *family, const struct explore_case *test, const struct request *request,
		     struct totals *totals)
{
	bool passed = true;

	totals->run++;
	explored = test;
	if (request->list)
		list(test);
	else if (request->stop)
		passed = explore_stops(family, test, request);
	else
		passed = explore(family, test, request);
	totals->failed += !passed;
	fflush(stdout);
}

/* A flaw takes a whole search to be sure of, or to be asked for by name. */
static void run_family(const struct family *family, const struct request *request, struct totals *totals)
{
	for (unsigned i = 0; i < *family->count; i++) {
		const struct explore_case *test = &family->cases[i];
		bool chosen = request->name ? strcmp(request->name, test->name) == 0 :
					      !test->flaw || (!request->bounded && !request->random && !request->stop);

		if (chosen && !(totals->failed && request->first))
			run_case(family, test, request, totals);
	}
}

int main(int argc, char **argv)
{
	static const char doc[] = "Runs the library's sources in every interleaving of small programs.";
	const struct argp argp = { options, read_option, NULL, doc, NULL, NULL, NULL };
	struct request request = { 0 };
	struct totals totals = { 0, 0 };

	argp_parse(&argp, argc, argv, 0, NULL, &request);
	if (request.litmus)
		return litmus_run() ? 0 : 1;
	signal(SIGABRT, on_crash);
	signal(SIGSEGV, on_crash);
	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++)
		run_family(&families[i], &request, &totals);
	if (totals.run == 0) {
		fprintf(stderr, "rmap-explore: there is no case '%s'; --list names them\n", request.name);
		return 2;
	}
	return totals.failed ? 1 : 0;
}
