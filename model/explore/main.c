/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * main.c - the explorer's command line
 */
#include "../../tools/arguments.h"
#include "bytes.h"
#include "cases.h"
#include "embedder.h"
#include "enumerate.h"
#include "folio.h"
#include "litmus.h"
#include "reduction.h"
#include "vm.h"

#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct request {
	char **files; /* and no case: what the fuzzer wrote */
	const char *name;
	const char *replay;
	uint64_t limit;
	unsigned preemptions;
	unsigned stale;
	uint64_t seed;
	unsigned piece; /* of so many @pieces of the programs that are enumerated */
	unsigned pieces;
	bool enumerate;
	bool contended;
	bool bounded;
	bool random;
	bool litmus;
	bool reduction;
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
	{ "enumerate", 'e', NULL, 0, "all small programs (enumerate.h) instead of the cases", 0 },
	{ "piece", 'k', "K/N", 0, "with --enumerate: the K-th of N pieces, every N-th program", 0 },
	{ "contended", 'o', NULL, 0, "with --enumerate: those whose calls are all about one handle", 0 },
	{ "first", 'f', NULL, 0, "end with the first case that fails", 0 },
	{ "no-pins", 'u', NULL, 0, "do not compare numbers of executions: for a library that is broken on purpose", 0 },
	{ "random", 'x', "SEED", 0, "no search: --limit executions drawn at random (default 100000)", 0 },
	{ "litmus", 't', NULL, 0, "show what the model of weak memory finds, and what it does not", 0 },
	{ "reduction", 'd', NULL, 0, "compare the whole search with one that leaves nothing out", 0 },
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
		bad_usage(state, "--%s takes a number from %" PRIu64 " to %" PRIu64 ", not '%s'", name, least, most,
			   value);
	return number;
}

static void read_piece(struct argp_state *state, char *value, struct request *request)
{
	char *pieces = strchr(value, '/');

	if (!pieces)
		bad_usage(state, "--piece takes K/N, as in 1/100, not '%s'", value);
	*pieces++ = '\0';
	request->pieces = (unsigned)read_number(state, "piece", pieces, 1, UINT32_MAX);
	request->piece = (unsigned)read_number(state, "piece", value, 1, request->pieces);
}

/* Options that do not go together. */
static void check_request(struct argp_state *state, struct request *request)
{
	const char *replay = request->replay;

	if (replay && !request->name)
		bad_usage(state, "--replay needs --case");
	if (replay && (replay[strspn(replay, "abcdr0123456789")] || (*replay >= '0' && *replay <= '9')))
		bad_usage(state, "--replay takes what a failure printed: letters of a to d and r, and numbers");
	if ((request->pieces || request->contended) && !request->enumerate)
		bad_usage(state, "--piece and --contended need --enumerate");
	if (request->enumerate && (request->stop || request->random))
		bad_usage(state, "--enumerate is a search: it goes with neither --stop nor --random");
	if (request->stale && !request->bounded && !request->random)
		bad_usage(state, "--stale needs --preemptions or --random: the whole search knows no stale reads");
	if (request->random && (request->bounded || request->stop))
		bad_usage(state, "--random is no search: it goes with neither --preemptions nor --stop");
	if (request->random && !request->limit)
		request->limit = 100000;
}

static error_t read_option(int key, char *value, struct argp_state *state)
{
	struct request *request = state->input;

	switch (key) {
	case 'e':
		request->enumerate = true;
		return 0;
	case 'o':
		request->contended = true;
		return 0;
	case 'k':
		read_piece(state, value, request);
		return 0;
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
	case 'd':
		request->reduction = true;
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
		return 0;
	case 's':
		request->stop = true;
		return 0;
	case ARGP_KEY_ARGS:
		request->files = state->argv + state->next;
		return 0;
	case ARGP_KEY_END:
		check_request(state, request);
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
	{ vm_cases, &vm_cases_count, vm_prepare, embedder_blocks },
	{ folio_cases, &folio_cases_count, folio_prepare, embedder_blocks },
};

/* Those have a bare number for a name. */
static bool is_enumerated(const struct explore_case *test)
{
	return test->name[0] >= '0' && test->name[0] <= '9';
}

static void print_failure(const struct explore_case *test, const struct engine_run *run)
{
	printf("%s: FAILED after %" PRIu64 " executions: %s\n", test->name, result.executions, result.error);
	if (run->random)
		printf("  the seed was %" PRIu64 "\n", run->seed);
	if (run->victim >= 0)
		printf("  thread %c was stopped before its step %u\n", 'a' + run->victim, run->victim_steps);
	printf("  again: rmap-explore %s--case %s", is_enumerated(test) ? "--enumerate " : "", test->name);
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

static struct engine_run prepare(const struct family *family, const struct explore_case *test,
				 const struct request *request)
{
	struct engine_run run = family->prepare(test);

	run.limit = request->limit;
	run.bounded = request->bounded;
	run.preemptions = request->preemptions;
	run.stale = request->stale;
	run.random = request->random;
	run.seed = request->seed;
	run.replay = request->replay;
	return run;
}

static bool explore(const struct family *family, const struct explore_case *test, const struct request *request)
{
	struct engine_run run = prepare(family, test, request);

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
	struct engine_run run = prepare(family, test, request);

	if (family->blocks(test))
		return true;
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
	fprintf(stderr, "%s: FAILED after %" PRIu64 " executions: %s\n  again: rmap-explore %s--case %s --replay %s\n",
		explored->name, result.executions, strsignal(signal), is_enumerated(explored) ? "--enumerate " : "",
		explored->name, result.schedule);
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

/* Programs that were enumerated, too many for a line each: one for those that fail, and one for all. */
static void run_enumerated(const struct request *request, struct totals *totals)
{
	static struct enumeration at;
	uint64_t executions = 0;
	unsigned limited = 0;

	while (enumerate_next(&at)) {
		bool chosen = !request->pieces || at.number % request->pieces == request->piece - 1;
		struct engine_run run;

		if (request->contended)
			chosen &= at.contended;
		if (request->name)
			chosen = strcmp(request->name, at.name) == 0;
		if (!chosen || (totals->failed && request->first))
			continue;
		totals->run++;
		explored = &at.test;
		if (request->list) {
			list(&at.test);
			continue;
		}
		run = prepare(&families[0], &at.test, request);
		engine_explore(&run, &result);
		executions += result.executions;
		limited += !result.exhausted && !result.error;
		if (!report(&at.test, &run)) {
			totals->failed++;
			list(&at.test);
			fflush(stdout);
		}
	}
	if (totals->run && !request->list)
		printf("%u of %u programs, %u of them not whole: %" PRIu64 " executions, %u failed\n", totals->run,
		       at.number, limited, executions, totals->failed);
	if (at.number != enumerate_count && !request->no_pins) {
		printf("enumerate: FAILED: there were %u programs: if the change is meant, pin the new number\n",
		       enumerate_count);
		totals->failed++;
	}
}

/* Programs and schedules of bytes.h. */
static void run_files(char **files, struct totals *totals)
{
	static uint8_t bytes[1 << 16];

	for (; *files; files++) {
		FILE *file = fopen(*files, "rb");
		size_t size;

		if (!file)
			err(2, "cannot read %s", *files);
		size = fread(bytes, 1, sizeof(bytes), file);
		fclose(file);
		totals->run++;
		if (!bytes_explore(bytes, size, &result)) {
			printf("%s: FAILED\n", *files);
			totals->failed++;
		}
	}
}

int main(int argc, char **argv)
{
	static const char doc[] = "Runs the library's sources in every interleaving of small programs, or those "
				  "programs and schedules that fuzz_schedule left in FILEs.";
	const struct argp argp = { options, read_option, "[FILE...]", doc, NULL, NULL, NULL };
	struct request request = { 0 };
	struct totals totals = { 0, 0 };

	arguments_parse(&argp, argc, argv, &request);
	if (request.litmus)
		return litmus_run() ? 0 : 1;
	if (request.reduction)
		return reduction_run() ? 0 : 1;
	if (request.files) {
		run_files(request.files, &totals);
		return totals.failed ? 1 : 0;
	}
	signal(SIGABRT, on_crash);
	signal(SIGSEGV, on_crash);
	if (request.enumerate)
		run_enumerated(&request, &totals);
	for (size_t i = 0; !request.enumerate && i < sizeof(families) / sizeof(families[0]); i++)
		run_family(&families[i], &request, &totals);
	if (totals.run == 0) {
		fprintf(stderr, "rmap-explore: there is no case '%s'; --list names them\n", request.name);
		return 2;
	}
	return totals.failed ? 1 : 0;
}
