/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * shares.c - `rmap shares`: who takes how much memory, and who shares it with whom
 *
 * The whole system is read, built and verified as `rmap snapshot` does it; tally.h says what is summed up. Text keeps
 * within 80 columns. JSON has the fields that docs/rmap.md names; fields may be added, none is taken away.
 */
#include "arguments.h"
#include "beside.h"
#include "changes.h"
#include "chosen.h"
#include "command.h"
#include "page.h"
#include "report.h"
#include "source.h"
#include "system_page.h"
#include "tally.h"
#include "unseen_report.h"
#include "verify.h"
#include "watch.h"

#include <inttypes.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

enum { KEY_WITH = VIEW_KEYS, KEY_MATRIX, KEY_KERNEL, KEY_LOAD, KEY_WATCH, KEY_HTML, KEY_SAMPLE };

/* Rows and columns of a matrix that fit into 80 columns. */
#define MATRIX 6

static const char *const figure_names[FIGURES] = { "Rss", "Pss", "Uss", "Swap" };
static const char *const figure_keys[FIGURES] = { "rss", "pss", "uss", "swap" };

static const struct {
	const char *key;
	const char *text;
} reasons[REASONS] = {
	[REASON_HUGETLB] = { "hugetlb", "hugetlb pages, which it leaves out" },
	[REASON_TWICE] = { "twice", "mapped more than once by the process" },
	[REASON_AVERAGE] = { "average", "mapcounts, averages of large folios" },
	[REASON_SHARED_SWAP] = { "shared_swap", "swapped pages of shared memory" },
	[REASON_ROUNDING] = { "rounding", "it rounds down" },
	[REASON_CHANGED] = { "changed", "changed meanwhile, or of a device" },
};

struct options {
	struct source source;
	struct chosen with;
	struct view view;
	bool matrix;
	bool kernel;
	unsigned watch; /* every so many seconds; 0 for once */
	bool fits;      /* as many lines as the terminal has room for */
	const char *html;
};

static const struct argp_option option_list[] = {
	{ "by", VIEW_BY, "WHAT", 0,
	  "Sum up by process (the default), cgroup, user, file or kind of memory; may be given several times", 0 },
	{ "sort", VIEW_SORT, "FIGURE", 0,
	  "The largest first by pss (the default), uss, rss or swap; or by name; or, beside --with, shared "
	  "(the default there)",
	  0 },
	{ "limit", VIEW_LIMIT, "N", 0, "How many lines at most, 0 for all; default 20, with --json or --csv all", 0 },
	{ "with", KEY_WITH, "PID|CGROUP", 0,
	  "Only who shares memory with this process, or with all of this cgroup, and how much; may be given several "
	  "times",
	  0 },
	{ "matrix", KEY_MATRIX, NULL, 0,
	  "How much the largest of those that are listed share with each other; with --json of up to 64", 0 },
	{ "kernel", KEY_KERNEL, NULL, 0,
	  "Beside each process the kernel's own sums (smaps_rollup), and why they differ", 0 },
	{ "threads", 't', "N", 0, "How many threads read and build; default: one for each online CPU", 0 },
	{ "json", VIEW_JSON, NULL, 0, "Report in JSON, in bytes", 0 },
	{ "csv", VIEW_CSV, NULL, 0, "Report in CSV, in bytes: a line for each group", 0 },
	{ "html", KEY_HTML, "FILE", 0,
	  "Write all of that as a page with charts, which any browser opens without a network, to FILE, which only its "
	  "owner may read",
	  0 },
	{ "load", KEY_LOAD, "FILE", 0, "Study a system that rmap snapshot --save has recorded", 0 },
	{ "sample", KEY_SAMPLE, "N", 0,
	  "Keep one page in N, chosen by a hash of its frame's number, and estimate; of each figure it is told how "
	  "far it may be from the truth, in 95 of 100 samples. N:SEED chooses other pages",
	  0 },
	{ "watch", KEY_WATCH, "N", 0,
	  "Read the system again every N seconds, and tell what changed since the reading before; with --json a line "
	  "for each reading",
	  0 },
	{ 0 },
};

/* --watch has nothing to do with some. */
static void complete_watch(struct options *options, struct argp_state *state)
{
	if (options->source.load)
		bad_usage(state, "--watch reads the running system, and --load a recording: give one of them");
	if (options->with.words_n)
		bad_usage(state, "--watch compares all groups, and --with leaves most of them out: give one of them");
	if (options->view.format == FORMAT_CSV)
		bad_usage(state, "--csv is one table of one reading: with --watch take --json");
	if (sample_is_taken(&options->source.sample))
		bad_usage(state,
			  "--watch tells what changed, and --sample not how far that may be from the truth: give "
			  "one of them");
	options->fits = !options->view.limit && options->view.format == FORMAT_TEXT;
}

/* A page has the document of --json with all that there is to see: what would choose among that goes with none. */
static void complete_html(struct options *options, struct argp_state *state)
{
	struct view *view = &options->view;

	if (view->format != FORMAT_TEXT || view->bys.n || view->sort != SORTS || options->matrix || options->kernel ||
	    options->with.words_n || options->watch || sample_is_taken(&options->source.sample))
		bad_usage(state, "--html shows all groups and their matrices: give it with --load, --threads and "
				 "--limit alone");
	page_require(&page_shares, state);
	view->format = FORMAT_JSON;
	for (enum by by = 0; by < BYS; by++)
		view->bys.items[view->bys.n++] = by;
}

/* What goes with what, and what is meant where nothing is said. */
static void complete(struct options *options, struct argp_state *state)
{
	if (options->kernel && options->source.load)
		bad_usage(state, "--kernel asks the running kernel, and --load reads a recording: give one of them");
	if (options->watch)
		complete_watch(options, state);
	if (options->html)
		complete_html(options, state);
	view_complete(&options->view);
	if (options->kernel && !bys_have(&options->view.bys, BY_PROCESS))
		bad_usage(state, "--kernel goes with --by process: the kernel sums up processes alone");
	if (options->matrix && bys_have(&options->view.bys, BY_KIND))
		bad_usage(state, "--matrix does not go with --by kind: no page is of two kinds");
	if (options->view.format == FORMAT_CSV && (options->matrix || options->kernel))
		bad_usage(state, "--csv is a table of groups, and has no place for --matrix and --kernel: take --json");
	if (sample_is_taken(&options->source.sample) && (options->matrix || options->kernel))
		bad_usage(state, "--sample estimates, and --matrix and --kernel tell exact figures: leave it out");
	if (options->view.sort == SORTS)
		options->view.sort = options->with.words_n ? SORT_SHARED : SORT_PSS;
	if (options->view.sort == SORT_SHARED && !options->with.words_n)
		bad_usage(state, "--sort shared goes with --with");
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct options *options = state->input;
	uint64_t seconds = 0;

	if (view_parse(&options->view, key, arg, SORTS, state))
		return 0;
	switch (key) {
	case KEY_WITH:
		if (!chosen_add(&options->with, arg))
			bad_usage(state,
				  "--with wants a process's number or a cgroup, such as cron.service, not \"%s\"", arg);
		return 0;
	case KEY_MATRIX:
		options->matrix = true;
		return 0;
	case KEY_KERNEL:
		options->kernel = true;
		return 0;
	case 't':
		options->source.threads = source_threads_parse(arg, state);
		return 0;
	case KEY_LOAD:
		options->source.load = arg;
		return 0;
	case KEY_WATCH:
		if (!parse_number(arg, 1, WATCH_SECONDS_MAX, &seconds))
			bad_usage(state, "--watch wants seconds, from 1 to %d, not \"%s\"", WATCH_SECONDS_MAX, arg);
		options->watch = (unsigned)seconds;
		return 0;
	case KEY_HTML:
		options->html = arg;
		return 0;
	case KEY_SAMPLE:
		source_sample_parse(arg, &options->source.sample, state);
		return 0;
	case ARGP_KEY_ARG:
		bad_usage(state, "\"%s\" is no option: all that it takes begins with --", arg);
		return EINVAL;
	case ARGP_KEY_END:
		complete(options, state);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp parser = {
	.options = option_list,
	.parser = parse_option,
	.doc = "Who takes how much memory: exact sums over every page of the system and everyone who maps it."
	       "\vRss is all that is mapped, each page once; Pss parts each page among its mappings, so that it sums "
	       "up to all memory; Uss is what nobody else maps (by file or kind: what a single process maps); Swap is "
	       "what is swapped out. What ending a process or a service gives back, rmap freed tells.\n\n"
	       "Below the tables stands, if there is any, what no mapping shows: memory that is left in cgroups "
	       "without a process, that of files without a name (memfds), parts of huge pages that were given back and "
	       "are not free, and devices.\n\n"
	       "--watch goes on until it is interrupted (SIGINT, SIGTERM), which ends it behind the report under way, "
	       "or until nobody reads its output any more; its exit status is the worst of all readings.\n\n"
	       "Needs root, unless with --load. Exit status: 0 done, and the kernel counts the same mappings; 1 of "
	       "some pages it counts others though nothing changed; 2 usage, privilege or kernel support lacking.",
};

/* ---- order ---- */

static int compare_groups(const void *left, const void *right, void *arg)
{
	const struct group *a = left, *b = right;
	enum sort sort = *(enum sort *)arg;
	uint64_t of_a = sums_figure(&a->sums, sort), of_b = sums_figure(&b->sums, sort);
	int order = strcmp(a->name, b->name);

	if (sort != SORT_NAME && of_a != of_b)
		return of_a < of_b ? 1 : -1;
	return order ? order : (a->key > b->key) - (a->key < b->key);
}

/* The user's name here; of a recorded system, which may be another one, the number. */
static const char *user_name(const struct options *options, uint64_t uid)
{
	const struct passwd *user = options->source.load || uid == UID_UNKNOWN ? NULL : getpwuid((uid_t)uid);
	char *out = text_buffer();

	if (user)
		return user->pw_name;
	snprintf(out, 32, uid == UID_UNKNOWN ? "?" : "%" PRIu64, uid);
	return out;
}

/* ---- text ---- */

/* A figure and its error, @error, in the room of two. */
static void print_estimate(uint64_t bytes, uint64_t error)
{
	printf("  %10s +-%-9s", sized((double)bytes), sized_short((double)error));
}

/* Of a sample the two leading figures, with how far they may be from the truth. */
static void print_estimates(const struct options *options, const struct system *system, const struct sums *sums)
{
	if (options->with.words_n)
		print_estimate(sums->common, sums_error(system, sums->common));
	print_estimate(sums->pss, sums_error_pss(system, sums));
	if (!options->with.words_n)
		print_estimate(sums->uss, sums_error(system, sums->uss));
}

static void print_sums(const struct options *options, const struct system *system, const struct sums *sums)
{
	if (sample_is_taken(&system->sample)) {
		print_estimates(options, system, sums);
		return;
	}
	if (options->with.words_n)
		printf("  %10s", sized((double)sums->common));
	printf("  %10s  %10s  %10s", sized((double)sums->pss), sized((double)sums->uss), sized((double)sums->rss));
	if (!options->with.words_n)
		printf("  %10s", sized((double)sums->swap));
}

static void print_group(const struct options *options, const struct system *system, enum by by,
			const struct group *group)
{
	print_sums(options, system, &group->sums);
	if (by == BY_PROCESS)
		printf("  %7" PRIu64, group->key);
	printf("  ");
	print_name(by == BY_USER ? user_name(options, group->key) : group->name, by == BY_PROCESS ? 20 : 29, false);
	printf("\n");
}

static void print_beside(const struct group *group, const struct beside *beside)
{
	bool any = false;

	if (!beside->known) {
		printf("%13s the kernel's sums cannot be read: it has ended, or may not be read\n", "");
		return;
	}
	for (int figure = 0; figure < FIGURES; figure++) {
		const uint64_t theirs[] = { beside->kernel.rss, beside->kernel.pss, beside->kernel.uss,
					    beside->kernel.swap };

		for (int i = 0; i < REASONS; i++) {
			int64_t part = beside->parts[figure][i];

			if (!part || i == REASON_ROUNDING)
				continue;
			if (!any)
				printf("%13s the kernel says otherwise of %" PRIu64 ":\n", "", group->key);
			any = true;
			printf("%13s %-4s %10s, %s%s: %s\n", "", figure_names[figure], sized((double)theirs[figure]),
			       part < 0 ? "-" : "+", sized(part < 0 ? -(double)part : (double)part), reasons[i].text);
		}
	}
}

/* Names of the columns, each of ten characters: four figures, or two with their errors. */
static void print_columns(const struct options *options, const struct system *system, enum by by)
{
	bool with = options->with.words_n;

	if (sample_is_taken(&system->sample))
		printf("\n  %10s  %10s  %10s  %10s", with ? "Shared" : "Pss", "", with ? "Pss" : "Uss", "");
	else
		printf("\n  %10s  %10s  %10s  %10s", with ? "Shared" : "Pss", with ? "Pss" : "Uss",
		       with ? "Uss" : "Rss", with ? "Rss" : "Swap");
	printf("  %s\n", by == BY_PROCESS ? "    pid  command" : by_words[by]);
}

static void print_tally(const struct options *options, const struct system *system, enum by by,
			const struct tally *tally, const struct beside *besides)
{
	size_t shown = view_shown(&options->view, tally->n);
	bool with = options->with.words_n;
	uint64_t rest = 0;

	print_columns(options, system, by);
	for (size_t i = 0; i < tally->n; i++) {
		const struct sums *sums = &tally->groups[i].sums;

		rest += i < shown ? 0 : with ? sums->common : sums->pss;
		if (i < shown)
			print_group(options, system, by, &tally->groups[i]);
		if (i < shown && besides)
			print_beside(&tally->groups[i], &besides[i]);
	}
	if (shown < tally->n)
		printf("  %10s  %34s  and %s more: --limit 0\n", sized((double)rest), "", grouped(tally->n - shown));
	if (!tally->n)
		printf("  %10s  %34s  none\n", "", "");
}

static void print_matrix(const struct options *options, enum by by, const struct tally *tally, size_t n,
			 const uint64_t *common)
{
	printf("\nThe largest, and what they share\n%14s", "");
	for (size_t i = 0; i < n; i++)
		printf("  %9zu", i + 1);
	printf("\n");
	for (size_t i = 0; i < n; i++) {
		const struct group *group = &tally->groups[i];
		const char *name = by == BY_USER ? user_name(options, group->key) : group->name;

		printf("%2zu ", i + 1);
		if (by == BY_PROCESS)
			printf("%-11" PRIu64, group->key);
		else
			print_name(name, 11, true);
		for (size_t k = 0; k < n; k++)
			printf(" %10s", common[i * n + k] ? sized((double)common[i * n + k]) : "-");
		printf("\n");
	}
}

/* What is not in the sums, or not certain; returns how many lines that takes. */
static unsigned print_notes(const struct system *system, const struct sums *whole)
{
	const struct {
		const char *figure;
		bool any;
		const char *text;
	} notes[] = {
		{ sized((double)whole->locked), whole->locked, "of it cannot be reclaimed: locked, or of a ramfs" },
		{ sized((double)whole->unsettled), whole->unsettled,
		  "of it changed while it was read: its parts are not certain" },
		{ grouped(system->refused), system->refused,
		  plural(system->refused, "process may not be read; it is in nobody's sums",
			 "processes may not be read; they are in nobody's sums") },
		{ grouped(system->gone), system->gone, "processes ended while they were read" },
		{ grouped(system->sharing), system->sharing,
		  "processes have the memory of another one, and are not listed" },
	};
	unsigned lines = 0;

	for (size_t i = 0; i < sizeof(notes) / sizeof(notes[0]); i++) {
		if (!notes[i].any)
			continue;
		printf("  %10s  %s\n", notes[i].figure, notes[i].text);
		lines++;
	}
	if (system->pid_namespace)
		printf("  Processes outside this container are not read; what they map is shared.\n");
	if (system->averaging)
		printf("  Of large folios this kernel tells averages: what others map there is not known.\n");
	return lines + system->pid_namespace + system->averaging;
}

/* Returns how many lines it takes. */
static unsigned print_head(const struct system *system, const struct sums *whole)
{
	printf("Memory of %s, each page once: %s mapped", system->pid_namespace ? "this container" : "the whole system",
	       sized((double)whole->rss));
	if (whole->swap)
		printf(", %s swapped out", sized((double)whole->swap));
	printf("\n");
	if (sample_is_taken(&system->sample))
		printf("  Estimated from %s %s, one in %s. In 95 of 100 samples the\n"
		       "  truth is within +-; of what is mapped, within %s.\n",
		       grouped(system->frames_n), plural(system->frames_n, "page", "pages"),
		       grouped(system->sample.one_in), sized((double)sums_error(system, whole->rss)));
	return (sample_is_taken(&system->sample) ? 3 : 1) + print_notes(system, whole);
}

/* ---- JSON ---- */

static json_t *json_matrix(const uint64_t *common, size_t n)
{
	json_t *rows = json_array();

	for (size_t i = 0; i < n; i++) {
		json_t *row = json_array();

		for (size_t k = 0; k < n; k++)
			json_array_append_new(row, json_of_number(common[i * n + k]));
		json_array_append_new(rows, row);
	}
	return rows;
}

static json_t *json_beside(const struct beside *beside)
{
	json_t *json = json_pack("{s:o, s:o, s:o, s:o}", "rss", json_of_number(beside->kernel.rss), "pss",
				 json_of_number(beside->kernel.pss), "uss", json_of_number(beside->kernel.uss), "swap",
				 json_of_number(beside->kernel.swap));
	json_t *differences = json_object();

	for (int figure = 0; figure < FIGURES; figure++) {
		json_t *parts = json_object();

		for (int i = 0; i < REASONS; i++)
			if (beside->parts[figure][i])
				json_object_set_new(parts, reasons[i].key, json_integer(beside->parts[figure][i]));
		json_object_set_new(differences, figure_keys[figure], parts);
	}
	json_object_set_new(json, "differences", differences);
	return json;
}

/* How far each figure of a sample may be from the truth. */
static json_t *json_errors(const struct system *system, const struct sums *sums, bool shared)
{
	struct sums errors = {
		.rss = sums_error(system, sums->rss),
		.pss = sums_error_pss(system, sums),
		.uss = sums_error(system, sums->uss),
		.swap = sums_error(system, sums->swap),
		.locked = sums_error(system, sums->locked),
		.unsettled = sums_error(system, sums->unsettled),
	};
	json_t *json = json_object();

	sums_to_json(json, &errors);
	if (shared)
		json_object_set_new(json, "shared", json_of_number(sums_error(system, sums->common)));
	return json;
}

static json_t *json_group(const struct system *system, const struct options *options, enum by by,
			  const struct group *group, const struct beside *beside)
{
	json_t *json = json_object();
	const struct process *process = group->process;

	json_object_set_new(json, "name", json_of_name(by == BY_USER ? user_name(options, group->key) : group->name));
	if (by == BY_USER && group->key != UID_UNKNOWN)
		json_object_set_new(json, "uid", json_of_number(group->key));
	if (process) {
		json_object_set_new(json, "pid", json_of_number(group->key));
		json_object_set_new(json, "uid",
				    process->uid == UID_UNKNOWN ? json_null() : json_of_number(process->uid));
		json_object_set_new(json, "cgroup", json_of_name(system->names.strings[process->cgroup]));
	}
	sums_to_json(json, &group->sums);
	if (options->with.words_n)
		json_object_set_new(json, "shared", json_of_number(group->sums.common));
	if (sample_is_taken(&system->sample))
		json_object_set_new(json, "error", json_errors(system, &group->sums, options->with.words_n));
	if (beside)
		json_object_set_new(json, "kernel", beside->known ? json_beside(beside) : json_null());
	return json;
}

static json_t *json_tally(const struct system *system, const struct options *options, enum by by,
			  const struct tally *tally, const struct beside *besides)
{
	size_t shown = view_shown(&options->view, tally->n);
	json_t *groups = json_array();

	for (size_t i = 0; i < shown; i++)
		json_array_append_new(groups,
				      json_group(system, options, by, &tally->groups[i], besides ? &besides[i] : NULL));
	return json_pack("{s:s, s:o, s:o}", "by", by_words[by], "groups", groups, "left_out",
			 json_of_number(tally->n - shown));
}

static json_t *json_head(const struct system *system, const struct sums *whole)
{
	json_t *json = json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:b, s:b, s:o}", "time", json_of_number(system->time),
				 "page_size", json_of_number(UINT64_C(1) << system->page_shift), "processes",
				 json_of_number(system->processes_n), "refused", json_of_number(system->refused),
				 "gone", json_of_number(system->gone), "sharing", json_of_number(system->sharing),
				 "pid_namespace", system->pid_namespace, "averaging", system->averaging, "mismatched",
				 json_of_number(verify_sum(system).mismatched));
	json_t *sums = json_object();

	sums_to_json(sums, whole);
	json_object_set_new(json, "whole", sums);
	if (sample_is_taken(&system->sample)) {
		json_object_set_new(sums, "error", json_errors(system, whole, false));
		json_object_set_new(json, "sample", json_of_sample(&system->sample, system->frames_n));
	}
	return json;
}

/* ---- CSV ---- */

static void csv_tally(const struct system *system, const struct options *options, enum by by, const struct tally *tally)
{
	size_t shown = view_shown(&options->view, tally->n);

	for (size_t i = 0; i < shown; i++) {
		const struct group *group = &tally->groups[i];
		const struct process *process = group->process;
		uint64_t uid = process ? process->uid : by == BY_USER ? group->key : UID_UNKNOWN;

		fputs(by_words[by], stdout);
		csv_name(by == BY_USER ? user_name(options, group->key) : group->name);
		csv_number(process, group->key);
		csv_number(uid != UID_UNKNOWN, uid);
		csv_name(process ? system->names.strings[process->cgroup] : "");
		sums_to_csv(&group->sums);
		csv_number(options->with.words_n, group->sums.common);
		if (sample_is_taken(&system->sample))
			printf(",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64, sums_error(system, group->sums.rss),
			       sums_error_pss(system, &group->sums), sums_error(system, group->sums.uss),
			       sums_error(system, group->sums.swap));
		putchar('\n');
	}
}

/* ---- asking ---- */

struct asking {
	struct options *options;
	char **argv;
	struct weights weights;
	json_t *json;
	json_t *tallies;
	struct unseen unseen;
	bool has_unseen;       /* it was looked for */
	struct reading before; /* with --watch: what it compares with; without groups at first */
	struct reading now;
	bool again; /* there was one before */
};

/* Leave those out that share nothing with the chosen ones, and these themselves. */
static void keep_sharers(const struct system *system, const struct options *options, struct tally *tally)
{
	size_t kept = 0;

	for (size_t i = 0; i < tally->n; i++) {
		const struct group *group = &tally->groups[i];

		if (group->sums.common && !(group->process && options->with.is_in[group->process - system->processes]))
			tally->groups[kept++] = *group;
	}
	tally->n = kept;
}

/* The kernel's sums of the processes that will be shown. @procfs: NULL if it was recorded */
static struct beside *look_beside(const struct asking *asking, enum by by, struct system *system,
				  const struct procfs *procfs, const struct tally *tally)
{
	struct beside *besides;

	if (!asking->options->kernel || by != BY_PROCESS || !procfs)
		return NULL;
	besides = zeroed(tally->n, sizeof(*besides));
	for (size_t i = 0; i < tally->n && i < asking->options->view.limit; i++)
		beside_kernel(system, procfs, &asking->weights, &tally->groups[i], &besides[i]);
	return besides;
}

/*
 * As many groups as the terminal has room for below @head lines: four more are there once, and seven in the two tables
 * of each grouping. What --kernel and --matrix add is not counted.
 */
static void fit(struct view *view, size_t head)
{
	size_t rows = watch_rows(), others = head + 4 + 7 * view->bys.n, tables = 2 * view->bys.n;

	if (rows && rows < others + tables * view->limit)
		view->limit = rows > others + tables ? (rows - others) / tables : 1;
}

static void begin_text(struct asking *asking, const struct system *system, const struct sums *whole)
{
	unsigned seconds = asking->options->watch, head;

	if (seconds) {
		watch_part(!asking->again);
		printf("%s, every %s %s\n", dated(system->time), grouped(seconds),
		       plural(seconds, "second", "seconds"));
	}
	head = print_head(system, whole);
	if (asking->has_unseen)
		head += (unsigned)unseen_lines(&asking->unseen);
	if (asking->options->fits)
		fit(&asking->options->view, head);
}

/* Files share no pages but where one is seen through another: a page shows that of processes, cgroups and users. */
static bool has_matrix(const struct options *options, enum by by)
{
	return options->matrix || (options->html && by < BY_FILE);
}

static void show(struct asking *asking, size_t number, const struct system *system, const struct tally *tally,
		 const struct beside *besides)
{
	enum by by = asking->options->view.bys.items[number];
	size_t most = asking->options->view.format == FORMAT_JSON ? COMMON_MAX : MATRIX,
	       shown = view_shown(&asking->options->view, tally->n), n = shown < most ? shown : most;
	uint64_t common[COMMON_MAX * COMMON_MAX];
	json_t *json;

	if (has_matrix(asking->options, by))
		tally_common(system, &asking->weights, by, tally, n, common);

	if (asking->options->view.format == FORMAT_CSV) {
		if (!number)
			printf("by,name,pid,uid,cgroup," SUMS_CSV("") ",shared%s\n",
			       sample_is_taken(&system->sample) ? ",rss_error,pss_error,uss_error,swap_error" : "");
		csv_tally(system, asking->options, by, tally);
		return;
	}
	if (asking->options->view.format == FORMAT_TEXT) {
		if (!number)
			begin_text(asking, system, &tally->whole);
		print_tally(asking->options, system, by, tally, besides);
		if (asking->options->matrix)
			print_matrix(asking->options, by, tally, n, common);
		return;
	}
	if (!number) {
		asking->json = json_head(system, &tally->whole);
		asking->tallies = json_array();
		json_object_set_new(asking->json, "tallies", asking->tallies);
		json_object_set_new(asking->json, "unseen",
				    asking->has_unseen ? unseen_to_json(&asking->unseen) : json_null());
	}
	json = json_tally(system, asking->options, by, tally, besides);
	if (has_matrix(asking->options, by))
		json_object_set_new(json, "matrix", json_matrix(common, n));
	json_array_append_new(asking->tallies, json);
}

/* Tell what changed since the reading before, and keep this one in its place. */
static void show_changes(struct asking *asking)
{
	const struct options *options = asking->options;
	char title[64];

	if (asking->json)
		json_object_set_new(asking->json, "changes",
				    asking->again ? changes_to_json(&asking->before, &asking->now, &options->view)
						  : json_null());
	if (!asking->json && asking->again) {
		snprintf(title, sizeof(title), "\nChange since %s", dated(asking->before.time));
		changes_to_text(&asking->before, &asking->now, &options->view, title);
	}
	reading_fini(&asking->before);
	asking->before = asking->now;
	asking->now = (struct reading){ 0 };
	asking->again = true;
}

/* The page has the histogram of `rmap snapshot --json`, too. */
static int write_page(const struct asking *asking, const struct system *system)
{
	struct figures figures;
	int status = figures_collect(system, &figures);
	json_t *document;

	if (status) {
		json_decref(asking->json);
		return status;
	}
	document = system_document(asking->argv, &asking->options->source, system, &figures, asking->json);
	json_object_set_new(document, "histogram", json_histogram(&figures));
	return page_write(asking->options->html, &page_shares, document);
}

/* A recording does not tell of it, a table has no place for it, and it is shared with nobody. */
static void look_for_unseen(struct asking *asking, struct system *system, const struct procfs *procfs)
{
	const struct options *options = asking->options;

	asking->has_unseen = procfs && !options->with.words_n && options->view.format != FORMAT_CSV;
	if (asking->has_unseen)
		unseen_find(&asking->unseen, system, &asking->weights, procfs);
}

static int ask(void *arg, struct system *system, const struct procfs *procfs)
{
	struct asking *asking = arg;
	enum sort sort = asking->options->view.sort;
	int status;

	/* The page tells how many mappings pages have, for which it asks the map. */
	if (!asking->options->html)
		system_drop_map(system);
	status = weights_init(&asking->weights, system);
	asking->json = NULL;
	if (asking->options->fits)
		asking->options->view.limit = VIEW_LIMIT_TEXT;
	if (asking->options->watch)
		reading_init(&asking->now, system);
	if (!status && asking->options->with.words_n)
		status = chosen_find(&asking->options->with, system);
	if (!status && asking->options->with.words_n)
		weights_mark(&asking->weights, system, asking->options->with.is_in);
	if (!status)
		look_for_unseen(asking, system, procfs);
	for (size_t i = 0; i < asking->options->view.bys.n && !status; i++) {
		enum by by = asking->options->view.bys.items[i];
		struct beside *besides;
		struct tally tally;

		tally_system(system, &asking->weights, by, &tally);
		if (asking->options->with.words_n)
			keep_sharers(system, asking->options, &tally);
		if (tally.n)
			qsort_r(tally.groups, tally.n, sizeof(*tally.groups), compare_groups, &sort);
		if (asking->options->watch)
			reading_add(&asking->now, system, by, &tally);
		besides = look_beside(asking, by, system, procfs, &tally);
		status = procfs ? procfs_status(procfs) : STATUS_OK;
		if (!status)
			show(asking, i, system, &tally, besides);
		free(besides);
		tally_fini(&tally);
	}
	if (!status && asking->has_unseen && asking->options->view.format == FORMAT_TEXT)
		unseen_print(&asking->unseen);
	if (!status && asking->options->watch)
		show_changes(asking);
	if (asking->json && !asking->options->html)
		(asking->options->watch ? print_json_line : print_json)(asking->json);
	else if (asking->json && !status)
		status = write_page(asking, system);
	else
		json_decref(asking->json);
	unseen_fini(&asking->unseen);
	weights_fini(&asking->weights);
	return status;
}

static int report(void *arg)
{
	return source_ask(arg);
}

int shares_main(int argc, char **argv)
{
	struct options options = { .source.threads = source_threads(), .view.sort = SORTS };
	struct asking asking = { .options = &options, .argv = argv };
	int status;

	arguments_parse(&parser, argc, argv, &options);
	options.source.ask = ask;
	options.source.arg = &asking;
	status = options.watch ? watch(options.watch, report, &options.source) : source_ask(&options.source);
	reading_fini(&asking.before);
	reading_fini(&asking.now);
	chosen_fini(&options.with);
	return status;
}
