/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * chosen.h - processes that the user names: by number, or all of a cgroup, by its path or by a part of it
 */
#ifndef CHOSEN_H
#define CHOSEN_H

#include "system.h"

/** struct chosen - the words that name them, and, once found, which they are */
struct chosen {
	const char **words; /* a process's number, the path of a cgroup, or a part of one, such as cron.service */
	size_t words_n;
	size_t capacity;
	bool *is_in; /* of each process of the system */
	size_t n;
	size_t outside; /* that share the address space of one of these, but are none */
};

/** chosen_add - take one more word; false if it names neither a process nor a cgroup, whatever there is */
bool chosen_add(struct chosen *chosen, const char *word);
/** chosen_find - find them in @system; returns a status, after complaining of what is not there, or names several */
int chosen_find(struct chosen *chosen, const struct system *system);
void chosen_fini(struct chosen *chosen);

#endif
