/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * chosen.c - processes that the user names; see chosen.h
 */
#include "chosen.h"

#include "near.h"
#include "owners.h"

#include <stdlib.h>
#include <string.h>

static bool is_number(const char *word)
{
	uint64_t pid;

	return parse_number(word, 1, INT32_MAX, &pid);
}

bool chosen_add(struct chosen *chosen, const char *word)
{
	if (!is_number(word) && !word[strspn(word, "0123456789")])
		return false;
	chosen->words = grow(chosen->words, &chosen->capacity, chosen->words_n + 1, sizeof(*chosen->words));
	chosen->words[chosen->words_n++] = word;
	return true;
}

/* Is process @pid named by a word? */
static bool is_named(const struct chosen *chosen, pid_t pid)
{
	uint64_t number;

	for (size_t i = 0; i < chosen->words_n; i++)
		if (parse_number(chosen->words[i], 1, INT32_MAX, &number) && (pid_t)number == pid)
			return true;
	return false;
}

static void choose(struct chosen *chosen, size_t number)
{
	chosen->n += !chosen->is_in[number];
	chosen->is_in[number] = true;
}

static int choose_process(struct chosen *chosen, const struct system *system, const char *word)
{
	const struct process *process;
	uint64_t pid = 0;

	parse_number(word, 1, INT32_MAX, &pid);
	process = system_process(system, pid);
	if (!process)
		return complain("the memory of process %s cannot be read: it is not there, has none of its own, as "
				"kernel threads, or this user may not read it",
				word);
	choose(chosen, (size_t)(process - system->processes));
	return STATUS_OK;
}

/* Words that would name cgroups, for near_word(): each path, and each part of it, of which *@text is made. */
static size_t list_cgroups(const struct system *system, char **text, const char ***words)
{
	bool *seen = zeroed(system->names.strings_n, sizeof(*seen));
	size_t size = 0, capacity = 0, n = 0;
	char *at;

	for (size_t i = 0; i < system->processes_n; i++)
		size += 2 * strlen(system->names.strings[system->processes[i].cgroup]) + 2;
	at = *text = zeroed(size, 1);
	*words = NULL;
	for (size_t i = 0; i < system->processes_n; i++) {
		const char *path = system->names.strings[system->processes[i].cgroup];

		if (seen[system->processes[i].cgroup])
			continue;
		seen[system->processes[i].cgroup] = true;
		*words = grow(*words, &capacity, n + 1 + strlen(path), sizeof(**words));
		(*words)[n++] = strcpy(at, path);
		at += strlen(at) + 1;
		for (char *part = strtok(strcpy(at, path), "/"); part; part = strtok(NULL, "/")) {
			(*words)[n++] = part;
			at = part + strlen(part);
		}
		at++;
	}
	free(seen);
	return n;
}

/* There is no cgroup @word. What was meant may be nearly that, or a process's name. */
static int no_cgroup(const struct system *system, const char *word)
{
	const struct process *named = NULL;
	const char **words, *near;
	char *text;
	size_t n = list_cgroups(system, &text, &words);
	int status;

	for (size_t i = system->processes_n; i-- > 0;)
		if (!strcmp(system->processes[i].task.comm, word))
			named = &system->processes[i];
	near = near_word(word, words, n);
	if (near)
		status = complain("no process that was read is in a cgroup \"%s\"; did you mean %s?", word, near);
	else if (named)
		status = complain(
			"no process that was read is in a cgroup \"%s\", but process %d has that name: name it by "
			"its number, or the cgroup that /proc/%d/cgroup tells",
			word, (int)named->task.pid, (int)named->task.pid);
	else
		status = complain("no process that was read is in a cgroup \"%s\": rmap shares --by cgroup --csv lists "
				  "those there are",
				  word);
	free(words);
	free(text);
	return status;
}

static int choose_cgroup(struct chosen *chosen, const struct system *system, const char *word)
{
	const char *path = NULL;
	size_t path_n = 0;

	for (size_t i = 0; i < system->processes_n; i++) {
		const char *its = system->names.strings[system->processes[i].cgroup];
		size_t n;

		if (!process_in_cgroup(system, &system->processes[i], word, &n))
			continue;
		if (path && (n != path_n || strncmp(its, path, n)))
			return complain("\"%s\" is a part of %.*s and of %.*s: name a cgroup by its path", word,
					(int)path_n, path, (int)n, its);
		path = its;
		path_n = n;
		choose(chosen, i);
	}
	if (!path)
		return no_cgroup(system, word);
	return STATUS_OK;
}

/* Processes of one address space go on if any of them does: are all named, of those of which one is? */
static void find_outside(struct chosen *chosen, const struct system *system)
{
	for (size_t i = 0; i < system->processes_n; i++) {
		pid_t pid = system->processes[i].task.pid;
		bool by_cgroup = false;
		size_t length;

		for (size_t k = 0; k < chosen->words_n; k++)
			by_cgroup |= !is_number(chosen->words[k]) &&
				     process_in_cgroup(system, &system->processes[i], chosen->words[k], &length);
		if (!chosen->is_in[i] || by_cgroup)
			continue;
		chosen->outside += !is_named(chosen, pid);
		for (size_t k = 0; system->aliases && k < system->sharing; k++)
			if (system->aliases[k].owner == pid)
				chosen->outside += !is_named(chosen, system->aliases[k].pid);
	}
}

int chosen_find(struct chosen *chosen, const struct system *system)
{
	int status = STATUS_OK;

	chosen->is_in = zeroed(system->processes_n, sizeof(*chosen->is_in));
	for (size_t i = 0; i < chosen->words_n && !status; i++)
		status = (is_number(chosen->words[i]) ? choose_process : choose_cgroup)(chosen, system,
											chosen->words[i]);
	find_outside(chosen, system);
	return status;
}

void chosen_fini(struct chosen *chosen)
{
	free(chosen->words);
	free(chosen->is_in);
	*chosen = (struct chosen){ 0 };
}
