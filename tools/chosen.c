/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * chosen.c - processes that the user names; see chosen.h
 */
#include "chosen.h"

#include "owners.h"

#include <stdlib.h>

bool chosen_add(struct chosen *chosen, const char *word)
{
	uint64_t pid;

	if (word[0] != '/' && !parse_number(word, 1, INT32_MAX, &pid))
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

/* Choose what @word names; how many that are. */
static size_t choose(struct chosen *chosen, const struct system *system, const char *word)
{
	uint64_t number = 0;
	bool is_pid = parse_number(word, 1, INT32_MAX, &number);
	const struct process *named = is_pid ? system_process(system, number) : NULL;
	size_t found = 0;

	for (size_t i = 0; i < system->processes_n; i++) {
		const struct process *process = &system->processes[i];

		if (is_pid ? process != named : !process_is_in(system, process, word))
			continue;
		found++;
		chosen->n += !chosen->is_in[i];
		chosen->is_in[i] = true;
	}
	return found;
}

/* Processes of one address space go on if any of them does: are all named, of those of which one is? */
static void find_outside(struct chosen *chosen, const struct system *system)
{
	for (size_t i = 0; i < system->processes_n; i++) {
		pid_t pid = system->processes[i].task.pid;
		bool by_cgroup = false;

		for (size_t k = 0; k < chosen->words_n; k++)
			by_cgroup |= chosen->words[k][0] == '/' &&
				     process_is_in(system, &system->processes[i], chosen->words[k]);
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
	chosen->is_in = zeroed(system->processes_n, sizeof(*chosen->is_in));
	for (size_t i = 0; i < chosen->words_n; i++) {
		const char *word = chosen->words[i];

		if (choose(chosen, system, word))
			continue;
		if (word[0] == '/')
			return complain("no process that was read is in a cgroup %s: rmap shares --by cgroup lists "
					"those there are",
					printable(word));
		return complain("the memory of process %s cannot be read: it is not there, has none of its own, as "
				"kernel threads, or this user may not read it",
				word);
	}
	find_outside(chosen, system);
	return STATUS_OK;
}

void chosen_fini(struct chosen *chosen)
{
	free(chosen->words);
	free(chosen->is_in);
	*chosen = (struct chosen){ 0 };
}
