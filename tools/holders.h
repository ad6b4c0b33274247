/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * holders.h - who has a file that some processes map or have open: does it end with them?
 *
 * A file without a name ends when nobody maps it or has it open any more, and its pages with it. What has it beside
 * processes' mappings and descriptors (messages under way, loop devices, other processes' threads with tables of their
 * own) cannot be seen.
 */
#ifndef HOLDERS_H
#define HOLDERS_H

#include "chosen.h"

enum file_end {
	END_STAYS,   /* it has a name, or somebody else has it */
	END_FREED,   /* nobody else has it */
	END_UNKNOWN, /* what is known of it does not tell */
};

struct held_file {
	uint64_t device; /* as stat says, which need not be what maps says */
	uint64_t inode;
	uint64_t bytes;   /* that it has, in memory or swapped; 0 of a file on a disk */
	const char *name; /* as maps says; NULL if it is not mapped by these */
	bool linked;      /* has a name, or is a segment of System V that nobody has removed */
	bool known;       /* all the above */
	pid_t holder;     /* of somebody else who has it, 0 if there is none */
	enum file_end end;
	uint64_t pages; /* of it that these map, for the caller to count */
};

struct holders {
	struct held_file *files; /* files[0] stands for none, of which nothing is known */
	size_t n;
	size_t capacity;
	uint32_t *numbers; /* of each of system->names.files: which of these it is, or 0 */
	size_t unreadable; /* processes whose descriptors may not be read */
};

/** holders_find - find who has the files of the processes that were chosen; returns a status, after complaining */
int holders_find(struct holders *holders, const struct system *system, const struct procfs *procfs,
		 const struct chosen *chosen);
void holders_fini(struct holders *holders);

#endif
