/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * unseen_report.c - what no mapping shows, as people and JSON are told it; see unseen_report.h
 *
 * A line for each class, and below it the largest of it; JSON has all.
 */
#include "unseen_report.h"

#include "text.h"

#define SHOWN 3

static size_t shown(const struct unseen_list *list)
{
	return list->n < SHOWN ? list->n : SHOWN;
}

static bool is_any(const struct unseen *unseen)
{
	return unseen->cgroups.bytes || unseen->files.bytes || unseen->parts.bytes || unseen->devices.bytes;
}

/* Columns: 2, a size of 10, 2, and what it is of. */
static void print_list(const struct unseen_list *list, const char *text)
{
	if (!list->bytes)
		return;
	printf("  %10s  %s:\n", sized((double)list->bytes), text);
	for (size_t i = 0; i < shown(list); i++) {
		const struct unseen_item *item = &list->items[i];

		printf("    %10s  ", sized((double)item->bytes));
		print_name(item->name, item->pid ? 32 : 64, false);
		if (item->pid)
			printf("%s%.16s (%d)", *item->name ? ": " : "", printable(item->comm), (int)item->pid);
		printf("\n");
	}
	if (list->n > SHOWN)
		printf("    %10s  and %s more: --json\n", "", grouped(list->n - SHOWN));
}

void unseen_print(const struct unseen *unseen)
{
	if (!is_any(unseen))
		return;
	printf("\nWhat no sum above shows:\n");
	print_list(&unseen->cgroups, "left by what has ended, charged to cgroups without a process");
	print_list(&unseen->files, "in memfds and other files without a name, mapped by nobody");
	print_list(&unseen->parts, "in huge pages that were given back in part, and not free yet");
	print_list(&unseen->devices, "of addresses that map devices, of which the kernel shows no page");
	if (!unseen->cgroups_known)
		printf("  What cgroups are charged is not known: none of memory can be read here.\n");
	if (unseen->cgroups_gone)
		printf("  Of %s %s gone, below others with processes, it is not known.\n",
		       grouped(unseen->cgroups_gone),
		       plural(unseen->cgroups_gone, "cgroup that is", "cgroups that are"));
	if (unseen->unreadable)
		printf("  What %s %s open may not be looked at.\n", grouped(unseen->unreadable),
		       plural(unseen->unreadable, "process has", "processes have"));
}

static size_t list_lines(const struct unseen_list *list)
{
	return list->bytes ? 1 + shown(list) + (list->n > SHOWN) : 0;
}

size_t unseen_lines(const struct unseen *unseen)
{
	if (!is_any(unseen))
		return 0;
	return 2 + list_lines(&unseen->cgroups) + list_lines(&unseen->files) + list_lines(&unseen->parts) +
	       list_lines(&unseen->devices) + !unseen->cgroups_known + (unseen->cgroups_gone > 0) +
	       (unseen->unreadable > 0);
}

static json_t *json_list(const struct unseen_list *list, bool of_files)
{
	json_t *items = json_array();

	for (size_t i = 0; i < list->n; i++) {
		const struct unseen_item *item = &list->items[i];
		json_t *json =
			json_pack("{s:o, s:o}", "name", json_of_name(item->name), "bytes", json_of_number(item->bytes));

		if (item->pid) {
			json_object_set_new(json, "pid", json_integer(item->pid));
			json_object_set_new(json, "command", json_of_name(item->comm));
		}
		if (of_files)
			json_object_set_new(json, "mapped", json_of_number(item->mapped));
		json_array_append_new(items, json);
	}
	return json_pack("{s:o, s:o}", "bytes", json_of_number(list->bytes), "items", items);
}

json_t *unseen_to_json(const struct unseen *unseen)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "cgroups",
			 unseen->cgroups_known ? json_list(&unseen->cgroups, false) : json_null(), "cgroups_gone",
			 json_of_number(unseen->cgroups_gone), "files", json_list(&unseen->files, true), "parts",
			 unseen->parts_known ? json_list(&unseen->parts, false) : json_null(), "devices",
			 json_list(&unseen->devices, false), "unreadable", json_of_number(unseen->unreadable));
}
