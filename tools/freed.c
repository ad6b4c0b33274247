/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * freed.c - `rmap freed`: what ending some processes would give back
 *
 * A page comes back if nobody else maps it; what then becomes of it depends on what it is. Anonymous memory is free at
 * once, but a page of a huge one only if nobody else maps any other page of that; files' pages stay as a cache; those
 * of tmpfs, memfds and shared memory stay as long as their file does, see holders.h. Nothing is ended.
 */
#include "arguments.h"
#include "charges.h"
#include "command.h"
#include "folio.h"
#include "holders.h"
#include "owners.h"
#include "source.h"
#include "tally.h"
#include "verify.h"
#include "views.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { KEY_FRAMES = 256, KEY_JSON, KEY_CSV };

enum fate {
	FATE_FREE,    /* anonymous */
	FATE_PARTS,   /* parts of huge pages that nobody maps any more */
	FATE_FILE,    /* of a file that ends with them */
	FATE_POOL,    /* hugetlb */
	FATE_UNKNOWN, /* of a file without a name that somebody else may have */
	FATE_CACHE,   /* of a file */
	FATE_STAYS,   /* of a file in memory that stays */
	FATE_HUGE,    /* of a huge page of which others map a part */
	FATE_KERNEL,  /* whatever mapped it there decides */
	FATE_SHARED,  /* others map it */
	FATES,
};

static const struct {
	const char *key;
	const char *text;
} fates[FATES] = {
	[FATE_FREE] = { "free", "free at once: anonymous memory" },
	[FATE_PARTS] = { "parts", "free at once: parts of huge pages given back before" },
	[FATE_FILE] = { "files", "free with memfds, shared memory, deleted files: nobody else has them" },
	[FATE_POOL] = { "hugetlb", "back to the pool of huge pages (hugetlb)" },
	[FATE_UNKNOWN] = { "unknown", "free unless a process that cannot be read has the file" },
	[FATE_CACHE] = { "cache", "stays as cache of files, which can be reclaimed" },
	[FATE_STAYS] = { "stays", "stays in tmpfs files, memfds, shared memory that live on" },
	[FATE_HUGE] = { "huge", "stays in huge pages of which others map a part" },
	[FATE_KERNEL] = { "kernel", "is the kernel's or a driver's, which decides" },
	[FATE_SHARED] = { "shared", "stays: others map it, too" },
};

struct options {
	struct source source;
	struct chosen chosen;
	bool frames;
	enum format format;
};

static const struct argp_option option_list[] = {
	{ "frames", KEY_FRAMES, NULL, 0, "With --json: name the page frames", 0 },
	{ "json", KEY_JSON, NULL, 0, "Report in JSON, in bytes", 0 },
	{ "csv", KEY_CSV, NULL, 0, "Report in CSV, in bytes: a line for each fate", 0 },
	{ "threads", 't', "N", 0, "How many threads read and build; default: one for each online CPU", 0 },
	{ 0 },
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct options *options = state->input;

	switch (key) {
	case KEY_FRAMES:
		options->frames = true;
		return 0;
	case KEY_JSON:
		format_choose(&options->format, FORMAT_JSON, state);
		return 0;
	case KEY_CSV:
		format_choose(&options->format, FORMAT_CSV, state);
		return 0;
	case 't':
		options->source.threads = source_threads_parse(arg, state);
		return 0;
	case ARGP_KEY_ARG:
		if (!chosen_add(&options->chosen, arg))
			bad_usage(state, "\"%s\" is neither a process's number nor a cgroup, such as cron.service",
				  arg);
		return 0;
	case ARGP_KEY_END:
		if (!options->chosen.words_n)
			bad_usage(state, "name processes by their numbers, or a cgroup, such as cron.service");
		if (options->frames && options->format != FORMAT_JSON)
			bad_usage(state, "--frames goes with --json");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp parser = {
	.options = option_list,
	.parser = parse_option,
	.args_doc = "PID|CGROUP...",
	.doc = "What ending these processes, or all of these cgroups, would give back. Nothing is ended."
	       "\vA service is a cgroup, which is named by its path, as in /proc/PID/cgroup or rmap shares --by "
	       "cgroup, "
	       "or by a part of that, such as cron.service; those below it belong to it. Needs root. Exit status: 0 "
	       "done; 1 of some pages the kernel counts other mappings though nothing changed; 2 usage, privilege or "
	       "kernel support lacking.",
};

/* ---- finding out ---- */

struct asking {
	const struct options *options;
	struct system *system;
	const struct procfs *procfs;
	struct weights weights;
	struct holders holders;
	uint32_t *own; /* of each frame: how many mappings are theirs */
	uint8_t *fate; /* of each frame they map */
	uint64_t page;
	struct sums mapped; /* by sums_add() */
	uint64_t bytes[FATES];
	uint64_t unmapped; /* of files that end with them: what they do not map */
	uint64_t swap;
	uint64_t tables;    /* page tables */
	uint64_t elsewhere; /* of what nobody else maps: what other cgroups are charged; UINT64_MAX if nothing tells */
	uint64_t *parts;    /* frames of FATE_PARTS */
	size_t parts_n;
	size_t parts_capacity;
};

static struct held_file *file_of(const struct asking *asking, size_t number)
{
	uint64_t identity = frame_identity(asking->system, &asking->system->frames[number]);

	return &asking->holders.files[asking->holders.numbers[IDENTITY_FILE(identity)]];
}

/* Whatever @file ends as, what becomes of a page of it; of a file on a disk that has a name it stays as cache. */
static enum fate fate_of_file(const struct held_file *file, enum fate freed, enum fate stays)
{
	return file->end == END_FREED ? freed : file->end == END_STAYS ? stays : FATE_UNKNOWN;
}

static enum fate fate_of(const struct asking *asking, size_t number)
{
	const struct frame *frame = &asking->system->frames[number];
	const struct held_file *file = file_of(asking, number);

	if (asking->own[number] < weights_mappings(&asking->weights, asking->system, number))
		return FATE_SHARED;
	switch (page_kind(frame)) {
	case PAGE_HUGETLB:
		return frame->flags & KPF_ANON ? FATE_POOL : fate_of_file(file, FATE_POOL, FATE_STAYS);
	case PAGE_SHARED:
		return fate_of_file(file, FATE_FILE, FATE_STAYS);
	case PAGE_FILE:
		return fate_of_file(file, FATE_FILE, FATE_CACHE);
	case PAGE_KERNEL:
		return FATE_KERNEL;
	default:
		return FATE_FREE;
	}
}

/* One huge page, of which they have @numbers[from .. to]: it is free if nobody else maps any of it. */
static void judge_folio(struct asking *asking, struct folio folio)
{
	struct system *system = asking->system;
	bool shared = false;

	for (uint64_t i = 0; i < folio.pages; i++) {
		const struct frame *frame = system_frame(system, folio.head + i);
		size_t number = frame ? (size_t)(frame - system->frames) : 0;

		shared |= frame && asking->own[number] < weights_mappings(&asking->weights, system, number);
	}
	for (uint64_t i = 0; i < folio.pages; i++) {
		const struct frame *frame = system_frame(system, folio.head + i);

		if (frame && shared && asking->fate[frame - system->frames] == FATE_FREE) {
			asking->fate[frame - system->frames] = FATE_HUGE;
		} else if (!frame && !shared) {
			asking->parts = grow(asking->parts, &asking->parts_capacity, asking->parts_n + 1,
					     sizeof(*asking->parts));
			asking->parts[asking->parts_n++] = folio.head + i;
		}
	}
}

/* Frames are in ascending order, and so are those of a huge page. */
static void judge_folios(struct asking *asking)
{
	struct system *system = asking->system;
	struct folio folio = { 0 };

	for (size_t i = 0; i < system->frames_n; i++) {
		uint64_t pfn;

		if (!asking->own[i] || asking->fate[i] != FATE_FREE || !(system->frames[i].flags & KPF_COMPOUND))
			continue;
		pfn = system_pfn(system, &system->frames[i]);
		if (pfn - folio.head < folio.pages)
			continue;
		folio = folio_of(asking->procfs, pfn);
		judge_folio(asking, folio);
	}
}

static void sum_up(struct asking *asking)
{
	struct system *system = asking->system;

	for (size_t i = 0; i < system->frames_n; i++) {
		const struct frame *frame = &system->frames[i];

		if (!asking->own[i])
			continue;
		sums_add(&asking->mapped, frame, asking->page);
		asking->bytes[asking->fate[i]] += asking->page;
		if (!(frame->flags & KPF_ANON))
			file_of(asking, i)->pages++;
	}
	asking->bytes[FATE_PARTS] = asking->parts_n * asking->page;
	for (size_t i = 1; i < asking->holders.n; i++) {
		const struct held_file *file = &asking->holders.files[i];

		if (file->end != END_STAYS && file->bytes > file->pages * asking->page)
			asking->unmapped += file->bytes - file->pages * asking->page;
	}
}

static void sum_up_swap(struct asking *asking)
{
	const struct system *system = asking->system;
	uint32_t *own = zeroed(asking->weights.slots_n, sizeof(*own));

	for (size_t i = 0; i < system->processes_n; i++)
		for (size_t k = 0; asking->options->chosen.is_in[i] && k < system->processes[i].swapped_n; k++) {
			size_t number = pfnset_find(&asking->weights.slots, system->processes[i].swapped[k].slot);

			asking->swap += ++own[number] == asking->weights.slot_refs[number] ? asking->page : 0;
		}
	free(own);
}

static void sum_up_charges(struct asking *asking)
{
	const struct system *system = asking->system;
	uint64_t *pfns = zeroed(system->frames_n, sizeof(*pfns));
	size_t n = 0, elsewhere;

	for (size_t i = 0; i < system->frames_n; i++)
		if (asking->own[i] && asking->fate[i] != FATE_SHARED)
			pfns[n++] = system_pfn(system, &system->frames[i]);
	elsewhere = charges_elsewhere(system, asking->procfs, &asking->options->chosen, pfns, n);
	asking->elsewhere = elsewhere == PAGES_UNKNOWN ? UINT64_MAX : elsewhere * asking->page;
	free(pfns);
}

static void judge(struct asking *asking)
{
	struct system *system = asking->system;

	asking->own = zeroed(system->frames_n, sizeof(*asking->own));
	asking->fate = zeroed(system->frames_n, sizeof(*asking->fate));
	for (size_t i = 0; i < system->processes_n; i++) {
		if (!asking->options->chosen.is_in[i])
			continue;
		process_count(system, &system->processes[i], asking->own);
		asking->tables += tables_read(system, asking->procfs, &system->processes[i]);
	}
	for (size_t i = 0; i < system->frames_n; i++)
		asking->fate[i] = asking->own[i] ? (uint8_t)fate_of(asking, i) : 0;
	judge_folios(asking);
	sum_up(asking);
	sum_up_swap(asking);
	sum_up_charges(asking);
}

/* ---- text ---- */

static void print_line(uint64_t bytes, const char *text)
{
	if (bytes)
		printf("  %10s  %s\n", sized((double)bytes), text);
}

/* The largest files that stay, and who has them. */
static void print_holders(const struct asking *asking)
{
	unsigned shown = 0;

	for (size_t i = 1; i < asking->holders.n && shown < 5; i++) {
		const struct held_file *file = &asking->holders.files[i];

		if (!file->holder || file->linked || !file->pages)
			continue;
		printf("%s  %10s  ", shown++ ? "" : "\nFiles without a name that others have, too:\n",
		       sized((double)(file->pages * asking->page)));
		print_name(file->name ? file->name : "?", 44, false);
		printf(": process %d\n", (int)file->holder);
	}
}

static void print_text(const struct asking *asking)
{
	const struct chosen *chosen = &asking->options->chosen;
	uint64_t back = asking->bytes[FATE_FREE] + asking->bytes[FATE_PARTS] + asking->bytes[FATE_FILE] +
			asking->bytes[FATE_POOL];

	printf("Ending %s %s would give back %s of the %s %s\n", grouped(chosen->n),
	       plural(chosen->n, "process", "processes"), sized((double)back), sized((double)asking->mapped.rss),
	       plural(chosen->n, "that it maps:", "that they map:"));
	if (asking->bytes[FATE_UNKNOWN])
		printf("(%s, if no process that cannot be read has files of theirs)\n",
		       sized((double)(back + asking->bytes[FATE_UNKNOWN])));
	printf("\n");
	for (int fate = 0; fate < FATES; fate++)
		print_line(asking->bytes[fate], fates[fate].text);
	if (asking->unmapped || asking->swap || asking->tables)
		printf("\nBeside what is mapped:\n");
	print_line(asking->unmapped, asking->holders.unreadable
					     ? "of such files, mapped by nobody, or swapped: as the file"
					     : "free with such files, mapped by nobody, or swapped");
	print_line(asking->swap, "of swap areas");
	print_line(asking->tables, "of page tables");
	print_holders(asking);
	printf("\n");
	print_line(asking->mapped.locked, "of what is mapped is locked; that changes nothing");
	if (asking->elsewhere != UINT64_MAX)
		print_line(asking->elsewhere, "of what nobody else maps is charged to other cgroups than theirs");
	print_line(asking->mapped.unsettled, "changed while it was read, and may be otherwise");
	if (chosen->outside)
		printf("  %s more %s the memory of these: nothing comes back before they end.\n",
		       grouped(chosen->outside), plural(chosen->outside, "process has", "processes have"));
	if (asking->system->refused || asking->holders.unreadable || asking->system->pid_namespace)
		printf("  What others have was not read of all processes; they may have more of it.\n");
	printf("  Not seen: pages pinned for input and output, in pipes, and files in messages\n"
	       "  under way or of loop devices, which live on until that is done; memory of\n"
	       "  devices of which the kernel shows no page.\n");
}

/* ---- JSON ---- */

/* Frames as [first, how many]. */
static void add_frame(json_t *list, uint64_t pfn)
{
	json_t *last = json_array_get(list, json_array_size(list) - 1);
	json_int_t first = json_integer_value(json_array_get(last, 0)), n = json_integer_value(json_array_get(last, 1));

	if (last && (uint64_t)(first + n) == pfn)
		json_array_set_new(last, 1, json_integer(n + 1));
	else
		json_array_append_new(list, json_pack("[o, i]", json_of_number(pfn), 1));
}

static json_t *json_frames(const struct asking *asking)
{
	json_t *frames = json_object(), *lists[FATES];

	for (int fate = 0; fate < FATES; fate++) {
		lists[fate] = json_array();
		json_object_set_new(frames, fates[fate].key, lists[fate]);
	}
	for (size_t i = 0; i < asking->system->frames_n; i++)
		if (asking->own[i])
			add_frame(lists[asking->fate[i]], system_pfn(asking->system, &asking->system->frames[i]));
	for (size_t i = 0; i < asking->parts_n; i++)
		add_frame(lists[FATE_PARTS], asking->parts[i]);
	return frames;
}

static json_t *json_files(const struct asking *asking)
{
	static const char *const ends[] = { [END_STAYS] = "stays", [END_FREED] = "freed", [END_UNKNOWN] = "unknown" };
	json_t *files = json_array();

	for (size_t i = 1; i < asking->holders.n; i++) {
		const struct held_file *file = &asking->holders.files[i];

		if (!file->linked)
			json_array_append_new(files,
					      json_pack("{s:o, s:o, s:o, s:s, s:o}", "name",
							file->name ? json_of_name(file->name) : json_null(), "mapped",
							json_of_number(file->pages * asking->page), "bytes",
							json_of_number(file->bytes), "end", ends[file->end], "holder",
							file->holder ? json_integer(file->holder) : json_null()));
	}
	return files;
}

static void print_as_json(const struct asking *asking)
{
	json_t *json = json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:b}", "processes",
				 json_of_number(asking->options->chosen.n), "outside",
				 json_of_number(asking->options->chosen.outside), "mapped",
				 json_of_number(asking->mapped.rss), "unmapped", json_of_number(asking->unmapped),
				 "swap", json_of_number(asking->swap), "page_tables", json_of_number(asking->tables),
				 "locked", json_of_number(asking->mapped.locked), "elsewhere",
				 asking->elsewhere == UINT64_MAX ? json_null() : json_of_number(asking->elsewhere),
				 "unsettled", json_of_number(asking->mapped.unsettled), "unreadable",
				 json_of_number(asking->holders.unreadable + asking->system->refused), "files",
				 json_files(asking), "pid_namespace", asking->system->pid_namespace);
	json_t *bytes = json_object();

	for (int fate = 0; fate < FATES; fate++)
		json_object_set_new(bytes, fates[fate].key, json_of_number(asking->bytes[fate]));
	json_object_set_new(json, "bytes", bytes);
	if (asking->options->frames)
		json_object_set_new(json, "frames", json_frames(asking));
	print_json(json);
}

/* ---- CSV ---- */

static void print_csv(const struct asking *asking)
{
	puts("what,bytes");
	for (int fate = 0; fate < FATES; fate++)
		printf("%s,%" PRIu64 "\n", fates[fate].key, asking->bytes[fate]);
	printf("unmapped,%" PRIu64 "\nswap,%" PRIu64 "\npage_tables,%" PRIu64 "\n", asking->unmapped, asking->swap,
	       asking->tables);
}

/* ---- asking ---- */

static int ask(void *arg, struct system *system, const struct procfs *procfs)
{
	struct options *options = arg;
	struct asking asking = {
		.options = options, .system = system, .procfs = procfs, .page = UINT64_C(1) << system->page_shift
	};
	int status = chosen_find(&options->chosen, system);

	if (!status)
		status = weights_init(&asking.weights, system);
	if (!status)
		status = holders_find(&asking.holders, system, procfs, &options->chosen);
	if (!status) {
		judge(&asking);
		status = procfs_status(procfs);
	}
	if (!status && options->format == FORMAT_JSON)
		print_as_json(&asking);
	else if (!status && options->format == FORMAT_CSV)
		print_csv(&asking);
	else if (!status)
		print_text(&asking);
	free(asking.own);
	free(asking.fate);
	free(asking.parts);
	holders_fini(&asking.holders);
	weights_fini(&asking.weights);
	return status;
}

int freed_main(int argc, char **argv)
{
	struct options options = { .source.threads = source_threads() };
	int status;

	arguments_parse(&parser, argc, argv, &options);
	options.source.ask = ask;
	options.source.arg = &options;
	status = source_ask(&options.source);
	chosen_fini(&options.chosen);
	return status;
}
