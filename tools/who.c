/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * who.c - `rmap who`: everyone who maps one page
 *
 * The whole system is read and built, for anyone may map the page; then the reverse map is walked. Because the system
 * lives, the ptes that it names are looked at again, and the answer is those that are there if the kernel counts as
 * many. If it does not, look after look, somebody else has mapped the page meanwhile, and all is read again: up to
 * READINGS times, and not later than READING_SECONDS after the first.
 */
#include "command.h"
#include "file.h"
#include "reason.h"
#include "report.h"
#include "scan.h"
#include "verify.h"

#include <argp.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#define READINGS 3
#define READING_SECONDS 10

enum { KEY_PFN = 256, KEY_LOAD, KEY_JSON };

struct options {
	uint64_t pid;
	uint64_t address;
	uint64_t pfn;
	bool has_address;
	bool has_pfn;
	bool json;
	const char *load;
};

static const struct argp_option option_list[] = {
	{ "pid", 'p', "PID", 0, "With --addr: the page that this process has there", 0 },
	{ "addr", 'a', "ADDR", 0, "An address, such as 0x7f0123456000", 0 },
	{ "pfn", KEY_PFN, "PFN", 0, "The page in this page frame, decimal or 0x", 0 },
	{ "json", KEY_JSON, NULL, 0, "Report in JSON", 0 },
	{ "load", KEY_LOAD, "FILE", 0, "Ask a recorded system, which needs no privileges", 0 },
	{ 0 },
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct options *options = state->input;

	switch (key) {
	case 'p':
		if (!parse_number(arg, 1, INT32_MAX, &options->pid))
			argp_error(state, "--pid wants a process's number, not \"%s\"", arg);
		return 0;
	case 'a':
		if (!parse_number(arg, 0, INT64_MAX, &options->address))
			argp_error(state, "--addr wants an address such as 0x7f0123456000, not \"%s\"", arg);
		options->has_address = true;
		return 0;
	case KEY_PFN:
		if (!parse_number(arg, 0, PFN_MAX, &options->pfn))
			argp_error(state, "--pfn wants a page frame's number, decimal or 0x, not \"%s\"", arg);
		options->has_pfn = true;
		return 0;
	case KEY_JSON:
		options->json = true;
		return 0;
	case KEY_LOAD:
		options->load = arg;
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "\"%s\" is no option: all that it takes begins with --", arg);
		return EINVAL;
	case ARGP_KEY_END:
		if (options->has_pfn ? options->pid || options->has_address : !options->pid || !options->has_address)
			argp_error(state, "name the page: either --pid and --addr, or --pfn");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp parser = {
	.options = option_list,
	.parser = parse_option,
	.args_doc = "--pid PID --addr ADDR\n--pfn PFN",
	.doc = "Name everyone who maps one page of memory."
	       "\vNeeds root, unless with --load. Exit status: 0 done, and the kernel counts as many; 1 it counts "
	       "otherwise, reading after reading; 2 usage, privilege or kernel support lacking, or there is no page there.",
};

/*
 * The number of the process that is named, or of the one whose address space it shares; processes_n if it was not
 * read.
 */
static size_t find_process(const struct options *options, const struct system *system)
{
	uint64_t pid = options->pid;
	size_t at = 0;

	for (size_t i = 0; system->aliases && i < system->sharing; i++)
		if ((uint64_t)system->aliases[i].pid == pid)
			pid = (uint64_t)system->aliases[i].owner;
	while (at < system->processes_n && (uint64_t)system->processes[at].task.pid != pid)
		at++;
	return at;
}

/* Which frame is asked for? Looks at what was read. @procfs: NULL if it was recorded. */
static int find_frame(const struct options *options, const struct system *system, const struct procfs *procfs,
		      uint64_t *pfn)
{
	size_t number = find_process(options, system);
	const struct extent *extent;
	const uint64_t *pte;

	*pfn = options->pfn;
	if (options->has_pfn)
		return STATUS_OK;
	if (number == system->processes_n)
		return complain("the memory of process %" PRIu64
				" cannot be read: it is not there, or this user may not read it",
				options->pid);
	pte = process_find_pte(&system->processes[number], options->address >> system->page_shift, &extent);
	if (!pte)
		return reason_no_page(procfs, &system->processes[number], options->address, system->page_shift);
	*pfn = *pte & PTE_PFN;
	return STATUS_OK;
}

/* The mappers of frame @pfn, and how many; nobody may map it. */
static size_t mappers_of(const struct system *system, uint64_t pfn, struct mapper **out)
{
	const struct frame *frame = system_frame(system, pfn);

	*out = NULL;
	return frame ? system_mappers(system, frame, out) : 0;
}

static int ask_recorded(const struct options *options)
{
	struct mapper *mappers;
	struct system system;
	size_t n;
	uint64_t pfn;
	int status;

	system_init(&system);
	status = file_load(options->load, &system);
	if (!status)
		status = system_build(&system, 1);
	if (!status)
		status = verify_recorded(&system, 1);
	if (!status)
		status = find_frame(options, &system, NULL, &pfn);
	if (!status && (!system.frames_n || pfn > system.frames[system.frames_n - 1].pfn))
		status = complain("the recording says nothing of page frame 0x%" PRIx64
				  ": it lies beyond the last one that was mapped, 0x%" PRIx64,
				  pfn, system.frames_n ? system.frames[system.frames_n - 1].pfn : 0);
	if (!status) {
		n = mappers_of(&system, pfn, &mappers);
		report_who(&system, pfn, mappers, n, options->json);
		free(mappers);
	}
	system_fini(&system);
	return status;
}

/* Is the page that was asked for still where it was asked for? */
static bool is_still_there(const struct options *options, const struct system *system, const struct mapper *mappers,
			   size_t n)
{
	size_t number = find_process(options, system);

	for (size_t i = 0; i < n; i++)
		if (mappers[i].process == number && mappers[i].vpn == options->address >> system->page_shift)
			return true;
	return options->has_pfn;
}

/* Asking the running system. */
struct asking {
	const struct options *options;
	struct procfs procfs;
	double began;
	int readings;
	uint64_t surplus; /* how many mappings more the kernel counted in the last reading */
	bool agrees;      /* the answer was verified, and reported */
	bool over;        /* no more readings: it was reported anyhow */
};

/*
 * Compare with the kernel's count. More mappings are those of processes that may not be read if there are as many in
 * two readings: others come and go.
 */
static bool verify_answer(struct asking *asking, struct system *system, uint64_t pfn, struct mapper *mappers, size_t *n)
{
	uint64_t before = asking->surplus;
	enum verdict verdict = verify_frame(system, &asking->procfs, pfn, mappers, n, &asking->surplus);

	asking->over = ++asking->readings == READINGS || seconds_now() - asking->began > READING_SECONDS;
	if (!is_still_there(asking->options, system, mappers, *n))
		return false;
	return verdict == VERDICT_MATCHED || verdict == VERDICT_AVERAGED ||
	       (verdict == VERDICT_BOUNDED && (asking->over || asking->surplus == before));
}

static int ask_once(struct asking *asking)
{
	const struct options *options = asking->options;
	struct mapper *mappers;
	struct system system;
	size_t n;
	uint64_t pfn;
	int status;

	system_init(&system);
	status = scan_system(&system, &asking->procfs, NULL, 0, asking->procfs.threads);
	if (!status)
		status = find_frame(options, &system, &asking->procfs, &pfn);
	if (!status)
		status = system_build(&system, asking->procfs.threads);
	if (!status && !system_frame(&system, pfn) && !procfs_has_frame(&asking->procfs, pfn))
		status = complain("the kernel knows no memory in page frame 0x%" PRIx64
				  ": it lies beyond the last one or in a hole, and nobody maps it",
				  pfn);
	if (!status) {
		n = mappers_of(&system, pfn, &mappers);
		asking->agrees = verify_answer(asking, &system, pfn, mappers, &n);
		status = procfs_status(&asking->procfs);
		if (!status && (asking->agrees || asking->over))
			report_who(&system, pfn, mappers, n, options->json);
		free(mappers);
	}
	system_fini(&system);
	return status;
}

static int ask_running(const struct options *options)
{
	struct asking asking = { .options = options, .began = seconds_now() };
	long online = sysconf(_SC_NPROCESSORS_ONLN);
	int status = procfs_open(&asking.procfs);

	if (status)
		return status;
	asking.procfs.threads = online > 0 ? (unsigned)online : 1;
	if (options->pid)
		status = procfs_check_pid(&asking.procfs, (pid_t)options->pid);
	while (!status && !asking.agrees && !asking.over)
		status = ask_once(&asking);
	procfs_close(&asking.procfs);
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

	argp_parse(&parser, argc, argv, 0, NULL, &options);
	return options.load ? ask_recorded(&options) : ask_running(&options);
}
