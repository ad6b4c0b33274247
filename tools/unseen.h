/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * unseen.h - what no mapping shows, and so no sum over mappings has
 *
 *      cgroups   what cgroups without a process are charged: whoever touched it has ended or moved. A cgroup that is
 *                gone is charged no more, its parent is (leftover.c)
 *      files     memfds and other files in memory that have no name, as far as nobody maps them, be it that somebody
 *                has them open and no more
 *      parts     parts of huge pages that were given back, and take memory until all of that is
 *      devices   address space of devices and of the kernel, of which it shows no page: it need not be memory
 *
 * A page may be in several of them: of a file that nobody maps, charged to a cgroup without a process.
 */
#ifndef UNSEEN_H
#define UNSEEN_H

#include "tally.h"

struct unseen_item {
	char *name; /* of the cgroup; or of the file, as the kernel tells it; "" of parts */
	pid_t pid;  /* who has it, of a file the first one who does; 0 of cgroups, and of parts that several have */
	char comm[COMM_SIZE]; /* and that process's name */
	uint64_t bytes;
	uint64_t mapped; /* of a file: what it has beside @bytes */
};

struct unseen_list {
	struct unseen_item *items; /* the largest first */
	size_t n;
	size_t capacity;
	uint64_t bytes; /* of all */
};

struct unseen {
	struct unseen_list cgroups;
	bool cgroups_known;    /* memory's cgroups are where they usually are, and could be read */
	uint64_t cgroups_gone; /* that are gone, and whose parent has processes itself: their part of it is not told */
	struct unseen_list files;
	struct unseen_list parts;
	bool parts_known; /* all pages were read, and of each it is known whether others map it */
	struct unseen_list devices;
	size_t unreadable; /* processes whose descriptors or mappings may not be read */
};

/** unseen_find - find it on the running system, as which @system was read; a failure is noted in @procfs */
void unseen_find(struct unseen *unseen, struct system *system, const struct weights *weights,
		 const struct procfs *procfs);
void unseen_fini(struct unseen *unseen);

/** unseen_add - append an item that has nothing but these, and return it */
struct unseen_item *unseen_add(struct unseen_list *list, const char *name, uint64_t bytes);
/** unseen_clear - take all items out */
void unseen_clear(struct unseen_list *list);

#endif
