/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * owners.c - users, cgroups and the kernel's own sums, from /proc/PID/status, cgroup and smaps_rollup; see owners.h
 *
 * The user is the effective one, as ps shows it. A process is in one cgroup of version 2, and in one of each hierarchy
 * of version 1: that of the hierarchy that accounts memory is taken, if there is one.
 */
#include "owners.h"

#include <stdlib.h>
#include <string.h>

/* What follows @word at the beginning of a line of @text; NULL if it is not there. */
static const char *line_of(const char *text, const char *word)
{
	size_t length = strlen(word);

	for (const char *line = text; *line; line = strchrnul(line, '\n'), line += *line == '\n')
		if (!strncmp(line, word, length))
			return line + length;
	return NULL;
}

/* The kernel's figures are in kB. */
static uint64_t bytes_of(const char *text, const char *word)
{
	const char *at = line_of(text, word);

	return at ? strtoull(at, NULL, 10) << 10 : 0;
}

/* Is "memory" among the controllers of this line, N:CONTROLLERS:PATH? */
static bool accounts_memory(const char *controllers, const char *end)
{
	static const char word[] = "memory";
	size_t length = sizeof(word) - 1;

	for (const char *at = controllers; at < end; at += strcspn(at, ",:") + 1)
		if ((size_t)(end - at) >= length && !strncmp(at, word, length) && strchr(",:", at[length]))
			return true;
	return false;
}

static uint32_t find_cgroup(struct names *names, char *text)
{
	const char *path = "";

	for (char *line = text, *next; *line; line = next) {
		char *controllers = strchr(line, ':'), *end;

		next = strchrnul(line, '\n');
		if (*next)
			*next++ = '\0';
		end = controllers ? strchr(controllers + 1, ':') : NULL;
		if (!end)
			continue;
		if (accounts_memory(controllers + 1, end))
			return names_string(names, end + 1);
		if (end == controllers + 1)
			path = end + 1;
	}
	return names_string(names, path);
}

static void read_owner(struct system *system, const struct procfs *procfs, struct process *process)
{
	struct reader *reader = &system->readers[0];
	const char *ids;
	char *end;

	process->uid = UID_UNKNOWN;
	if (procfs_read_text(procfs, &process->task, "status", reader) == OUTCOME_READ) {
		ids = line_of(reader->text, "Uid:");
		if (ids) {
			strtoul(ids, &end, 10); /* the real one */
			process->uid = (uint32_t)strtoul(end, NULL, 10);
		}
	}
	if (procfs_read_text(procfs, &process->task, "cgroup", reader) == OUTCOME_READ)
		process->cgroup = find_cgroup(&system->names, reader->text);
}

int owners_read(struct system *system, const struct procfs *procfs)
{
	for (size_t i = 0; i < system->processes_n; i++)
		read_owner(system, procfs, &system->processes[i]);
	return procfs_status(procfs);
}

bool process_in_cgroup(const struct system *system, const struct process *process, const char *word, size_t *length)
{
	const char *cgroup = system->names.strings[process->cgroup], *at = cgroup;
	size_t n = strlen(word);
	bool is_path = *word == '/';

	while (n && word[n - 1] == '/')
		n--;
	do {
		at += !is_path && *at;
		*length = (size_t)(at - cgroup) + n;
		if (*cgroup && !strncmp(at, word, n) && (!at[n] || at[n] == '/'))
			return true;
		at = strchrnul(at, '/');
	} while (*at && !is_path);
	return false;
}

bool rollup_read(struct system *system, const struct procfs *procfs, const struct process *process,
		 struct rollup *rollup)
{
	struct reader *reader = &system->readers[0];

	if (procfs_read_text(procfs, &process->task, "smaps_rollup", reader) != OUTCOME_READ)
		return false;
	*rollup = (struct rollup){ .rss = bytes_of(reader->text, "Rss:"),
				   .pss = bytes_of(reader->text, "Pss:"),
				   .uss = bytes_of(reader->text, "Private_Clean:") +
					  bytes_of(reader->text, "Private_Dirty:"),
				   .swap = bytes_of(reader->text, "Swap:") };
	return line_of(reader->text, "Rss:");
}

uint64_t tables_read(struct system *system, const struct procfs *procfs, const struct process *process)
{
	struct reader *reader = &system->readers[0];

	if (procfs_read_text(procfs, &process->task, "status", reader) != OUTCOME_READ)
		return 0;
	return bytes_of(reader->text, "VmPTE:");
}
