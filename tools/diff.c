/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * diff.c - `rmap diff`: who grew between two recordings
 *
 * A process is the same in both if its number is and it began at the same time; where a recording does not say when, if
 * its name is the same. All other groups are told by their names, files by device and inode, too.
 */
#include "command.h"
#include "source.h"
#include "verify.h"
#include "views.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct options {
	const char *recordings[2];
	unsigned recordings_n;
	unsigned threads;
	struct view view;
};

static const struct argp_option option_list[] = {
	{ "by", VIEW_BY, "WHAT", 0,
	  "Compare by process (the default), cgroup, user, file or kind of memory; may be given several times", 0 },
	{ "sort", VIEW_SORT, "FIGURE", 0, "The largest change first of pss (the default), uss, rss or swap; or by name",
	  0 },
	{ "limit", VIEW_LIMIT, "N", 0, "How many lines at most, 0 for all; default 20, with --json or --csv all", 0 },
	{ "json", VIEW_JSON, NULL, 0, "Report in JSON, in bytes", 0 },
	{ "csv", VIEW_CSV, NULL, 0, "Report in CSV, in bytes: a line for each group that changed", 0 },
	{ 0 },
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct options *options = state->input;

	if (view_parse(&options->view, key, arg, SORT_SHARED, state))
		return 0;
	switch (key) {
	case ARGP_KEY_ARG:
		if (options->recordings_n == 2)
			argp_error(state, "two recordings are compared, and \"%s\" is a third one", arg);
		options->recordings[options->recordings_n++] = arg;
		return 0;
	case ARGP_KEY_END:
		if (options->recordings_n < 2)
			argp_error(state, "name two recordings that rmap snapshot --save has written");
		view_complete(&options->view);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp parser = {
	.options = option_list,
	.parser = parse_option,
	.args_doc = "OLD NEW",
	.doc = "Who grew between two recordings of rmap snapshot --save, and by how much; rmap shares --help tells the "
	       "figures."
	       "\vExit status: 0 done; 1 in a recording the kernel counts other mappings of some pages; 2 a recording "
	       "cannot be read.",
};

/* ---- comparing ---- */

static const struct sums none;

/* A group of one recording, or of both. */
struct change {
	char *key;                     /* the same in both */
	const struct group *groups[2]; /* in the old and in the new one; NULL if it is not there */
};

struct side {
	struct system system;
	struct weights weights;
	struct tally tally;
};

struct comparison {
	const struct options *options;
	struct side sides[2];
	bool begins; /* both say when processes began */
	struct change *changes;
	size_t n;
	size_t unchanged;
	json_t *tallies;
};

static const struct sums *sums_in(const struct change *change, int side)
{
	return change->groups[side] ? &change->groups[side]->sums : &none;
}

static int64_t grown(const struct change *change, enum sort sort)
{
	return (int64_t)(sums_figure(sums_in(change, 1), sort) - sums_figure(sums_in(change, 0), sort));
}

static bool is_changed(const struct change *change)
{
	return !change->groups[0] || !change->groups[1] || grown(change, SORT_PSS) || grown(change, SORT_USS) ||
	       grown(change, SORT_RSS) || grown(change, SORT_SWAP);
}

static char *key_of(const struct comparison *comparison, const struct system *system, enum by by,
		    const struct group *group)
{
	const struct file *file = &system->names.files[by == BY_FILE ? group->number >> 32 : 0];
	char *key;
	int length;

	if (by == BY_PROCESS && comparison->begins)
		length = asprintf(&key, "%" PRIu64 " %" PRIu64, group->key, group->process->task.start_time);
	else if (by == BY_PROCESS || by == BY_USER)
		length = asprintf(&key, "%" PRIu64 " %s", group->key, group->name);
	else
		length = asprintf(&key, "%s %" PRIx64 " %" PRIu64, group->name, file->device, file->inode);
	if (length < 0)
		out_of_memory();
	return key;
}

static int compare_keys(const void *left, const void *right)
{
	const struct change *a = left, *b = right;
	int order = strcmp(a->key, b->key);

	return order ? order : (a->groups[1] != NULL) - (b->groups[1] != NULL);
}

static const struct group *last_of(const struct change *change)
{
	return change->groups[change->groups[1] ? 1 : 0];
}

static int compare_changes(const void *left, const void *right, void *arg)
{
	const struct change *a = left, *b = right;
	enum sort sort = *(enum sort *)arg;
	uint64_t of_a = (uint64_t)llabs(grown(a, sort)), of_b = (uint64_t)llabs(grown(b, sort));
	int order = strcmp(last_of(a)->name, last_of(b)->name);

	if (sort != SORT_NAME && of_a != of_b)
		return of_a < of_b ? 1 : -1;
	return order ? order : strcmp(a->key, b->key);
}

/* List the groups of both, put those together that are the same, and leave out those that did not change. */
static void compare(struct comparison *comparison, enum by by)
{
	enum sort sort = comparison->options->view.sort;
	struct change *changes;
	size_t n = 0, kept = 0;

	for (int side = 0; side < 2; side++)
		tally_system(&comparison->sides[side].system, &comparison->sides[side].weights, by,
			     &comparison->sides[side].tally);
	changes = zeroed(comparison->sides[0].tally.n + comparison->sides[1].tally.n, sizeof(*changes));
	for (int side = 0; side < 2; side++)
		for (size_t i = 0; i < comparison->sides[side].tally.n; i++) {
			struct change *change = &changes[n++];

			change->groups[side] = &comparison->sides[side].tally.groups[i];
			change->key = key_of(comparison, &comparison->sides[side].system, by, change->groups[side]);
		}
	qsort(changes, n, sizeof(*changes), compare_keys);
	comparison->unchanged = 0;
	for (size_t i = 0, next; i < n; i = next) {
		struct change change = changes[i];

		next = i + 1;
		if (next < n && !change.groups[1] && changes[next].groups[1] &&
		    !strcmp(change.key, changes[next].key)) {
			change.groups[1] = changes[next].groups[1];
			free(changes[next++].key);
		}
		if (is_changed(&change)) {
			changes[kept++] = change;
		} else {
			comparison->unchanged++;
			free(change.key);
		}
	}
	qsort_r(changes, kept, sizeof(*changes), compare_changes, &sort);
	comparison->changes = changes;
	comparison->n = kept;
}

static void forget(struct comparison *comparison)
{
	for (size_t i = 0; i < comparison->n; i++)
		free(comparison->changes[i].key);
	free(comparison->changes);
	comparison->changes = NULL;
	for (int side = 0; side < 2; side++)
		tally_fini(&comparison->sides[side].tally);
}

/* ---- text ---- */

static const char *signed_size(int64_t bytes)
{
	char *out = text_buffer();

	snprintf(out, 32, "%s%s", bytes < 0 ? "-" : bytes ? "+" : "", sized((double)llabs(bytes)));
	return out;
}

static const char *what_happened(const struct change *change)
{
	return !change->groups[0] ? "new" : !change->groups[1] ? "gone" : "";
}

static void print_change(const struct change *change, enum by by)
{
	printf(" %11s %11s %11s %11s  %-4s ", signed_size(grown(change, SORT_PSS)),
	       signed_size(grown(change, SORT_USS)), signed_size(grown(change, SORT_RSS)),
	       signed_size(grown(change, SORT_SWAP)), what_happened(change));
	if (by == BY_PROCESS)
		printf("%7" PRIu64 " ", last_of(change)->key);
	if (by != BY_USER)
		print_name(last_of(change)->name, by == BY_PROCESS ? 17 : 25, false);
	else if (last_of(change)->key == UID_UNKNOWN)
		printf("?");
	else
		printf("%" PRIu64, last_of(change)->key);
	printf("\n");
}

static void print_head(const struct comparison *comparison)
{
	struct sums whole[2];

	for (int side = 0; side < 2; side++) {
		const struct system *system = &comparison->sides[side].system;
		time_t seconds = (time_t)system->time;
		char when[64] = "?";
		struct tm tm;

		if (localtime_r(&seconds, &tm))
			strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &tm);
		whole[side] = comparison->sides[side].tally.whole;
		printf("%s of %s: %s mapped, %s swapped out\n", side ? "New," : "Old,", when,
		       sized((double)whole[side].rss), sized((double)whole[side].swap));
	}
	printf("Change: %s mapped, %s swapped out\n", signed_size((int64_t)(whole[1].rss - whole[0].rss)),
	       signed_size((int64_t)(whole[1].swap - whole[0].swap)));
}

static void print_text(const struct comparison *comparison, enum by by)
{
	size_t shown = view_shown(&comparison->options->view, comparison->n);

	printf("\n %11s %11s %11s %11s       %s\n", "Pss", "Uss", "Rss", "Swap",
	       by == BY_PROCESS ? "    pid command" : by_words[by]);
	for (size_t i = 0; i < shown; i++)
		print_change(&comparison->changes[i], by);
	if (shown < comparison->n)
		printf("  and %s more that changed: --limit 0\n", grouped(comparison->n - shown));
	printf("  %s did not change\n", grouped(comparison->unchanged));
}

/* ---- JSON ---- */

static json_t *json_sums(const struct sums *sums)
{
	json_t *json = json_object();

	sums_to_json(json, sums);
	return json;
}

static json_t *json_change(const struct change *change, enum by by)
{
	json_t *json = json_pack("{s:o, s:o}", "old", change->groups[0] ? json_sums(sums_in(change, 0)) : json_null(),
				 "new", change->groups[1] ? json_sums(sums_in(change, 1)) : json_null());

	if (by != BY_USER)
		json_object_set_new(json, "name", json_of_name(last_of(change)->name));
	else
		json_object_set_new(json, "uid",
				    last_of(change)->key == UID_UNKNOWN ? json_null()
									: json_of_number(last_of(change)->key));
	if (by == BY_PROCESS)
		json_object_set_new(json, "pid", json_of_number(last_of(change)->key));
	return json;
}

static void add_json(struct comparison *comparison, enum by by)
{
	size_t shown = view_shown(&comparison->options->view, comparison->n);
	json_t *groups = json_array();

	for (size_t i = 0; i < shown; i++)
		json_array_append_new(groups, json_change(&comparison->changes[i], by));
	json_array_append_new(comparison->tallies, json_pack("{s:s, s:o, s:o, s:o}", "by", by_words[by], "groups",
							     groups, "left_out", json_of_number(comparison->n - shown),
							     "unchanged", json_of_number(comparison->unchanged)));
}

/* ---- CSV ---- */

static void print_csv(const struct comparison *comparison, enum by by)
{
	size_t shown = view_shown(&comparison->options->view, comparison->n);

	for (size_t i = 0; i < shown; i++) {
		const struct change *change = &comparison->changes[i];
		const struct group *group = last_of(change);

		fputs(by_words[by], stdout);
		csv_name(by == BY_USER ? "" : group->name);
		csv_number(by == BY_PROCESS, group->key);
		csv_number(by == BY_USER && group->key != UID_UNKNOWN, group->key);
		for (int side = 0; side < 2; side++)
			sums_to_csv(change->groups[side] ? &change->groups[side]->sums : NULL);
		putchar('\n');
	}
}

/* ---- asking ---- */

static int load(const struct options *options, struct side *side, const char *path)
{
	struct source source = { .threads = options->threads, .load = path };
	struct timing timing;
	int status = source_take(&source, &side->system, &timing);

	if (!status)
		status = weights_init(&side->weights, &side->system);
	system_drop_map(&side->system);
	return status;
}

static bool says_begins(const struct system *system)
{
	for (size_t i = 0; i < system->processes_n; i++)
		if (!system->processes[i].task.start_time)
			return false;
	return true;
}

static void show_all(struct comparison *comparison)
{
	const struct options *options = comparison->options;
	json_t *json = NULL;

	comparison->begins = says_begins(&comparison->sides[0].system) && says_begins(&comparison->sides[1].system);
	comparison->tallies = json_array();
	for (size_t i = 0; i < options->view.bys.n; i++) {
		compare(comparison, options->view.bys.items[i]);
		if (!i && options->view.format == FORMAT_JSON)
			json = json_pack("{s:o, s:o, s:o}", "old", json_sums(&comparison->sides[0].tally.whole), "new",
					 json_sums(&comparison->sides[1].tally.whole), "tallies", comparison->tallies);
		if (!i && options->view.format == FORMAT_CSV)
			puts("by,name,pid,uid," SUMS_CSV("old_") "," SUMS_CSV("new_"));
		if (!i && options->view.format == FORMAT_TEXT)
			print_head(comparison);
		if (options->view.format == FORMAT_JSON)
			add_json(comparison, options->view.bys.items[i]);
		else if (options->view.format == FORMAT_CSV)
			print_csv(comparison, options->view.bys.items[i]);
		else
			print_text(comparison, options->view.bys.items[i]);
		forget(comparison);
	}
	if (json)
		print_json(json);
	else
		json_decref(comparison->tallies);
}

int diff_main(int argc, char **argv)
{
	struct options options = { .threads = source_threads() };
	struct comparison comparison = { .options = &options };
	int status = STATUS_OK;

	argp_parse(&parser, argc, argv, 0, NULL, &options);
	for (int side = 0; side < 2; side++)
		system_init(&comparison.sides[side].system);
	for (int side = 0; side < 2 && !status; side++)
		status = load(&options, &comparison.sides[side], options.recordings[side]);
	if (!status)
		show_all(&comparison);
	for (int side = 0; side < 2; side++) {
		if (!status && verify_sum(&comparison.sides[side].system).mismatched)
			status = STATUS_DIFFERS;
		weights_fini(&comparison.sides[side].weights);
		system_fini(&comparison.sides[side].system);
	}
	return status;
}
