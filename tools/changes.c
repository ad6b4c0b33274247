/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * changes.c - what changed between two readings; see changes.h
 *
 * A process is the same in both if its number is and it began at the same time; where a reading does not say when, if
 * its name is the same. All other groups are told by their names, files by device and inode, too.
 */
#include "changes.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- keeping ---- */

void reading_init(struct reading *reading, const struct system *system)
{
	*reading = (struct reading){ .time = system->time, .begins = true };
	for (size_t i = 0; i < system->processes_n; i++)
		reading->begins &= system->processes[i].task.start_time != 0;
}

void reading_add(struct reading *reading, const struct system *system, enum by by, const struct tally *tally)
{
	static const struct file no_file;
	struct entry *entries = zeroed(tally->n, sizeof(*entries));

	for (size_t i = 0; i < tally->n; i++) {
		const struct group *group = &tally->groups[i];
		const struct file *file = by == BY_FILE ? &system->names.files[group->number >> 32] : &no_file;

		entries[i] = (struct entry){
			.number = by == BY_PROCESS || by == BY_USER ? group->key : 0,
			.begun = group->process ? group->process->task.start_time : 0,
			.device = file->device,
			.inode = file->inode,
			.name = strcpy(zeroed(strlen(group->name) + 1, 1), group->name),
			.sums = group->sums,
		};
	}
	reading->whole = tally->whole;
	reading->by[by].entries = entries;
	reading->by[by].n = tally->n;
}

void reading_fini(struct reading *reading)
{
	for (int by = 0; by < BYS; by++) {
		for (size_t i = 0; i < reading->by[by].n; i++)
			free(reading->by[by].entries[i].name);
		free(reading->by[by].entries);
	}
	*reading = (struct reading){ 0 };
}

/* ---- comparing ---- */

static const struct sums none;

/* A group of one reading, or of both. */
struct change {
	const struct entry *sides[2]; /* in the old and in the new one; NULL if it is not there */
};

/* What changed, and how groups are told and sorted. */
struct changes {
	struct change *items;
	size_t n;
	size_t unchanged;
	enum sort sort;
	bool begins; /* processes are told by when they began */
};

static const struct sums *sums_in(const struct change *change, int side)
{
	return change->sides[side] ? &change->sides[side]->sums : &none;
}

static int64_t grown(const struct change *change, enum sort sort)
{
	return (int64_t)(sums_figure(sums_in(change, 1), sort) - sums_figure(sums_in(change, 0), sort));
}

static bool is_changed(const struct change *change)
{
	return !change->sides[0] || !change->sides[1] || grown(change, SORT_PSS) || grown(change, SORT_USS) ||
	       grown(change, SORT_RSS) || grown(change, SORT_SWAP);
}

static const struct entry *last_of(const struct change *change)
{
	return change->sides[change->sides[1] ? 1 : 0];
}

static int compare_numbers(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

/* 0 if these are the same group. */
static int compare_entries(const struct entry *a, const struct entry *b, bool begins)
{
	int order = compare_numbers(a->number, b->number);

	if (!order && begins)
		return compare_numbers(a->begun, b->begun);
	order = order ? order : strcmp(a->name, b->name);
	order = order ? order : compare_numbers(a->device, b->device);
	return order ? order : compare_numbers(a->inode, b->inode);
}

static int compare_same(const void *left, const void *right, void *arg)
{
	const struct change *a = left, *b = right;
	const struct changes *changes = arg;
	int order = compare_entries(last_of(a), last_of(b), changes->begins);

	return order ? order : (a->sides[1] != NULL) - (b->sides[1] != NULL);
}

static int compare_changes(const void *left, const void *right, void *arg)
{
	const struct change *a = left, *b = right;
	const struct changes *changes = arg;
	uint64_t of_a = (uint64_t)llabs(grown(a, changes->sort)), of_b = (uint64_t)llabs(grown(b, changes->sort));
	int order = strcmp(last_of(a)->name, last_of(b)->name);

	if (changes->sort != SORT_NAME && of_a != of_b)
		return of_a < of_b ? 1 : -1;
	return order ? order : compare_entries(last_of(a), last_of(b), changes->begins);
}

/* List the groups of both, put those together that are the same, and leave out those that did not change. */
static void find(struct changes *changes, const struct reading *old, const struct reading *new, enum by by,
		 enum sort sort)
{
	const struct reading *readings[2] = { old, new };
	struct change *items = zeroed(old->by[by].n + new->by[by].n, sizeof(*items));
	size_t n = 0;

	*changes = (struct changes){ .items = items,
				     .sort = sort,
				     .begins = by == BY_PROCESS && old->begins && new->begins };
	for (int side = 0; side < 2; side++)
		for (size_t i = 0; i < readings[side]->by[by].n; i++)
			items[n++].sides[side] = &readings[side]->by[by].entries[i];
	qsort_r(items, n, sizeof(*items), compare_same, changes);
	for (size_t i = 0, next; i < n; i = next) {
		struct change change = items[i];

		next = i + 1;
		if (next < n && !change.sides[1] && items[next].sides[1] &&
		    !compare_entries(change.sides[0], items[next].sides[1], changes->begins))
			change.sides[1] = items[next++].sides[1];
		if (is_changed(&change))
			items[changes->n++] = change;
		else
			changes->unchanged++;
	}
	qsort_r(items, changes->n, sizeof(*items), compare_changes, changes);
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
	return !change->sides[0] ? "new" : !change->sides[1] ? "gone" : "";
}

static void print_change(const struct change *change, enum by by)
{
	printf(" %11s %11s %11s %11s  %-4s ", signed_size(grown(change, SORT_PSS)),
	       signed_size(grown(change, SORT_USS)), signed_size(grown(change, SORT_RSS)),
	       signed_size(grown(change, SORT_SWAP)), what_happened(change));
	if (by == BY_PROCESS)
		printf("%7" PRIu64 " ", last_of(change)->number);
	if (by != BY_USER)
		print_name(last_of(change)->name, by == BY_PROCESS ? 17 : 25, false);
	else if (last_of(change)->number == UID_UNKNOWN)
		printf("?");
	else
		printf("%" PRIu64, last_of(change)->number);
	printf("\n");
}

void changes_to_text(const struct reading *old, const struct reading *new, const struct view *view, const char *title)
{
	struct changes changes;

	printf("%s: %s mapped, %s swapped out\n", title, signed_size((int64_t)(new->whole.rss - old->whole.rss)),
	       signed_size((int64_t)(new->whole.swap - old->whole.swap)));
	for (size_t i = 0; i < view->bys.n; i++) {
		enum by by = view->bys.items[i];
		size_t shown;

		find(&changes, old, new, by, view->sort);
		shown = view_shown(view, changes.n);
		printf("\n %11s %11s %11s %11s       %s\n", "Pss", "Uss", "Rss", "Swap",
		       by == BY_PROCESS ? "    pid command" : by_words[by]);
		for (size_t k = 0; k < shown; k++)
			print_change(&changes.items[k], by);
		if (shown < changes.n)
			printf("  and %s more that changed: --limit 0\n", grouped(changes.n - shown));
		printf("  %s did not change\n", grouped(changes.unchanged));
		free(changes.items);
	}
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
	const struct entry *last = last_of(change);
	json_t *json = json_pack("{s:o, s:o}", "old", change->sides[0] ? json_sums(sums_in(change, 0)) : json_null(),
				 "new", change->sides[1] ? json_sums(sums_in(change, 1)) : json_null());

	if (by != BY_USER)
		json_object_set_new(json, "name", json_of_name(last->name));
	else
		json_object_set_new(json, "uid",
				    last->number == UID_UNKNOWN ? json_null() : json_of_number(last->number));
	if (by == BY_PROCESS)
		json_object_set_new(json, "pid", json_of_number(last->number));
	return json;
}

json_t *changes_to_json(const struct reading *old, const struct reading *new, const struct view *view)
{
	json_t *tallies = json_array();

	for (size_t i = 0; i < view->bys.n; i++) {
		enum by by = view->bys.items[i];
		json_t *groups = json_array();
		struct changes changes;
		size_t shown;

		find(&changes, old, new, by, view->sort);
		shown = view_shown(view, changes.n);
		for (size_t k = 0; k < shown; k++)
			json_array_append_new(groups, json_change(&changes.items[k], by));
		json_array_append_new(tallies, json_pack("{s:s, s:o, s:o, s:o}", "by", by_words[by], "groups", groups,
							 "left_out", json_of_number(changes.n - shown), "unchanged",
							 json_of_number(changes.unchanged)));
		free(changes.items);
	}
	return json_pack("{s:o, s:o, s:o}", "old", json_sums(&old->whole), "new", json_sums(&new->whole), "tallies",
			 tallies);
}

/* ---- CSV ---- */

static void csv_change(const struct change *change, enum by by)
{
	const struct entry *last = last_of(change);

	fputs(by_words[by], stdout);
	csv_name(by == BY_USER ? "" : last->name);
	csv_number(by == BY_PROCESS, last->number);
	csv_number(by == BY_USER && last->number != UID_UNKNOWN, last->number);
	for (int side = 0; side < 2; side++)
		sums_to_csv(change->sides[side] ? &change->sides[side]->sums : NULL);
	putchar('\n');
}

void changes_to_csv(const struct reading *old, const struct reading *new, const struct view *view)
{
	puts("by,name,pid,uid," SUMS_CSV("old_") "," SUMS_CSV("new_"));
	for (size_t i = 0; i < view->bys.n; i++) {
		struct changes changes;

		find(&changes, old, new, view->bys.items[i], view->sort);
		for (size_t k = 0; k < view_shown(view, changes.n); k++)
			csv_change(&changes.items[k], view->bys.items[i]);
		free(changes.items);
	}
}
