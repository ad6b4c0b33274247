/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * who.c - `rmap who`: everyone who maps some pages
 *
 * The whole system is read and built, for anyone may map a page; then the reverse map is walked. Because the system
 * lives, the ptes that it names are looked at again, and the answer is those that are there if the kernel counts as
 * many. If it does not, look after look, somebody else has mapped the page meanwhile, and all is read again: up to
 * READINGS times, and not later than READING_SECONDS after the first.
 */
#include "arguments.h"
#include "asked.h"
#include "command.h"
#include "report.h"
#include "scan.h"
#include "verify.h"

#include <inttypes.h>
#include <stdlib.h>

#define READINGS 3
#define READING_SECONDS 10

enum { KEY_PFN = 256, KEY_FILE, KEY_OFFSET, KEY_LOAD, KEY_JSON };

struct options {
	struct questions questions;
	uint64_t pid; /* the last one that was named */
	bool json;
	const char *load;
};

static const struct argp_option option_list[] = {
	{ "pid", 'p', "PID", 0, "With --addr: the page that this process has there", 0 },
	{ "addr", 'a', "ADDR", 0,
	  "An address, such as 0x7f0123456000; or some: ADDR-END, END not included, or ADDR+SIZE", 0 },
	{ "file", KEY_FILE, "PATH", 0, "All mapped pages of this file", 0 },
	{ "offset", KEY_OFFSET, "OFFSET", 0, "With --file: the page there; or some: OFFSET-END or OFFSET+SIZE", 0 },
	{ "pfn", KEY_PFN, "PFN", 0,
	  "The page in this page frame, decimal or 0x; or those in some: PFN-END or PFN+NUMBER", 0 },
	{ "json", KEY_JSON, NULL, 0, "Report in JSON", 0 },
	{ "load", KEY_LOAD, "FILE", 0, "Ask a recorded system, which needs no privileges", 0 },
	{ 0 },
};

static struct question *add_question(struct options *options, enum asked_by by)
{
	struct questions *questions = &options->questions;

	questions->items = grow(questions->items, &questions->capacity, questions->n + 1, sizeof(*questions->items));
	questions->items[questions->n] =
		(struct question){ .by = by, .pid = options->pid, .last = INT64_MAX, .range = true };
	return &questions->items[questions->n++];
}

/* An address may stand before its process. */
static void name_process(struct options *options, uint64_t pid)
{
	options->pid = pid;
	for (size_t i = 0; i < options->questions.n; i++)
		if (!options->questions.items[i].pid)
			options->questions.items[i].pid = pid;
}

static bool is_complete(const struct options *options)
{
	bool any_address = false;

	for (size_t i = 0; i < options->questions.n; i++) {
		const struct question *question = &options->questions.items[i];

		any_address |= question->by == ASKED_ADDRESS;
		if (question->by == ASKED_ADDRESS && !question->pid)
			return false;
	}
	return options->questions.n && any_address == !!options->pid;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct options *options = state->input;
	struct questions *questions = &options->questions;
	uint64_t pid;

	switch (key) {
	case 'p':
		if (!parse_number(arg, 1, INT32_MAX, &pid))
			bad_usage(state, "--pid wants a process's number, not \"%s\"", arg);
		name_process(options, pid);
		return 0;
	case 'a':
		if (!question_parse(arg, INT64_MAX, add_question(options, ASKED_ADDRESS)))
			bad_usage(
				state,
				"--addr wants an address such as 0x7f0123456000, or ADDR-END or ADDR+SIZE, not \"%s\"",
				arg);
		return 0;
	case KEY_PFN:
		if (!question_parse(arg, PFN_MAX, add_question(options, ASKED_PFN)))
			bad_usage(state,
				  "--pfn wants a page frame's number, decimal or 0x, or PFN-END or PFN+NUMBER, not "
				  "\"%s\"",
				  arg);
		return 0;
	case KEY_FILE:
		add_question(options, ASKED_FILE)->path = arg;
		return 0;
	case KEY_OFFSET:
		if (!questions->n || questions->items[questions->n - 1].by != ASKED_FILE)
			bad_usage(state, "--offset belongs to the --file before it");
		if (!question_parse(arg, INT64_MAX, &questions->items[questions->n - 1]))
			bad_usage(state, "--offset wants a number of bytes, or OFFSET-END or OFFSET+SIZE, not \"%s\"",
				  arg);
		return 0;
	case KEY_JSON:
		options->json = true;
		return 0;
	case KEY_LOAD:
		options->load = arg;
		return 0;
	case ARGP_KEY_ARG:
		bad_usage(state, "\"%s\" is no option: all that it takes begins with --", arg);
		return EINVAL;
	case ARGP_KEY_END:
		if (!is_complete(options))
			bad_usage(state, "name the page: --pid and --addr, --file, or --pfn");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp parser = {
	.options = option_list,
	.parser = parse_option,
	.args_doc = "--pid PID --addr ADDR\n--file PATH --offset OFFSET\n--pfn PFN",
	.doc = "Name everyone who maps one page of memory, or each of several: all may be given several times."
	       "\vNeeds root, unless with --load. Exit status: 0 done, and the kernel counts as many; 1 it counts "
	       "otherwise, reading after reading; 2 usage, privilege or kernel support lacking, or there is no page "
	       "there.",
};

/* One question about one page, whose answer is no list. */
static bool is_single(const struct questions *questions)
{
	return questions->n == 1 && !questions->items[0].range && questions->items[0].by != ASKED_FILE;
}

/* The mappers of each page; nobody may map it. */
static struct answer *answers_of(const struct system *system, const struct pages *pages)
{
	struct answer *answers = zeroed(pages->n, sizeof(*answers));

	for (size_t i = 0; i < pages->n; i++) {
		const struct frame *frame = system_frame(system, pages->items[i].pfn);

		answers[i].pfn = pages->items[i].pfn;
		if (frame)
			answers[i].n = system_mappers(system, frame, &answers[i].mappers);
	}
	return answers;
}

static void report(const struct options *options, const struct system *system, const struct pages *pages,
		   const struct answer *answers)
{
	if (is_single(&options->questions))
		report_who(system, &answers[0], options->json);
	else
		report_who_all(system, answers, pages->n, pages->absent, options->json);
}

static void answers_free(struct answer *answers, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(answers[i].mappers);
	free(answers);
}

static int answer_recorded(void *arg, struct system *system, const struct procfs *procfs)
{
	const struct options *options = arg;
	struct pages pages;
	int status = pages_find(system, procfs, &options->questions, &pages);

	if (!status) {
		struct answer *answers = answers_of(system, &pages);

		report(options, system, &pages, answers);
		answers_free(answers, pages.n);
	}
	free(pages.items);
	return status;
}

static int ask_recorded(struct options *options)
{
	struct source source = { .threads = 1, .load = options->load, .ask = answer_recorded, .arg = options };
	struct timing timing;
	struct system system;
	int status;

	system_init(&system);
	status = source_take(&source, &system, &timing);
	system_fini(&system);
	return status;
}

/* Is the page that was asked for still where it was asked for? */
static bool is_still_there(const struct asked *asked, const struct answer *answer)
{
	for (size_t i = 0; i < answer->n; i++)
		if (answer->mappers[i].process == asked->process && answer->mappers[i].vpn == asked->vpn)
			return true;
	return asked->process == NOBODY;
}

/* Asking the running system. */
struct asking {
	const struct options *options;
	struct procfs procfs;
	double began;
	int readings;
	uint64_t *surplus; /* of each page: how many mappings more the kernel counted in the last reading */
	size_t surplus_n;
	bool agrees; /* the answer was verified, and reported */
	bool over;   /* no more readings: it was reported anyhow */
};

/*
 * Compare with the kernel's count. More mappings are those of processes that may not be read if there are as many in
 * two readings: others come and go.
 */
static bool verify_answer(struct asking *asking, struct system *system, const struct asked *asked,
			  struct answer *answer, uint64_t *surplus)
{
	uint64_t before = *surplus;
	enum verdict verdict = verify_frame(system, &asking->procfs, answer->pfn, answer->mappers, &answer->n, surplus);

	if (!is_still_there(asked, answer))
		return false;
	return verdict == VERDICT_MATCHED || verdict == VERDICT_AVERAGED ||
	       (verdict == VERDICT_BOUNDED && (asking->over || *surplus == before));
}

static bool verify_answers(struct asking *asking, struct system *system, const struct pages *pages,
			   struct answer *answers)
{
	uint64_t *pfns = zeroed(pages->n, sizeof(*pfns));
	bool agrees = true;

	if (asking->surplus_n != pages->n) {
		free(asking->surplus);
		asking->surplus = zeroed(pages->n, sizeof(*asking->surplus));
		asking->surplus_n = pages->n;
	}
	for (size_t i = 0; i < pages->n; i++)
		pfns[i] = pages->items[i].pfn;
	verify_prepare(system, &asking->procfs, pfns, pages->n);
	free(pfns);
	asking->over = ++asking->readings == READINGS || seconds_now() - asking->began > READING_SECONDS;
	for (size_t i = 0; i < pages->n; i++)
		agrees &= verify_answer(asking, system, &pages->items[i], &answers[i], &asking->surplus[i]);
	return agrees;
}

static int ask_once(struct asking *asking)
{
	const struct options *options = asking->options;
	struct pages pages = { 0 };
	struct answer *answers;
	struct system system;
	int status;

	system_init(&system);
	status = scan_system(&system, &asking->procfs, NULL, 0, asking->procfs.threads);
	if (!status)
		status = system_build(&system, asking->procfs.threads);
	if (!status)
		status = pages_find(&system, &asking->procfs, &options->questions, &pages);
	if (!status) {
		answers = answers_of(&system, &pages);
		asking->agrees = verify_answers(asking, &system, &pages, answers);
		status = procfs_status(&asking->procfs);
		if (!status && (asking->agrees || asking->over))
			report(options, &system, &pages, answers);
		answers_free(answers, pages.n);
	}
	free(pages.items);
	system_fini(&system);
	return status;
}

static int ask_running(const struct options *options)
{
	struct asking asking = { .options = options, .began = seconds_now() };
	int status = procfs_open(&asking.procfs);

	if (status)
		return status;
	asking.procfs.threads = source_threads();
	for (size_t i = 0; i < options->questions.n && !status; i++)
		if (options->questions.items[i].by == ASKED_ADDRESS)
			status = procfs_check_pid(&asking.procfs, (pid_t)options->questions.items[i].pid);
	while (!status && !asking.agrees && !asking.over)
		status = ask_once(&asking);
	procfs_close(&asking.procfs);
	free(asking.surplus);
	if (status || asking.agrees)
		return status;
	complain("the kernel counts otherwise, reading after reading (%d of at most %d, none begun after "
		 "%d seconds): the page's mappings change too fast, or rmap missed some",
		 asking.readings, READINGS, READING_SECONDS);
	return STATUS_DIFFERS;
}

int who_main(int argc, char **argv)
{
	struct options options = { 0 };
	int status;

	arguments_parse(&parser, argc, argv, &options);
	status = options.load ? ask_recorded(&options) : ask_running(&options);
	free(options.questions.items);
	return status;
}
