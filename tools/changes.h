/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * changes.h - who grew between two readings of a system, and by how much
 *
 * A reading is what is kept of a system for that: the sums of its groups, and what tells these from each other. The
 * system itself, which is a thousand times as large, need not stay.
 */
#ifndef CHANGES_H
#define CHANGES_H

#include "views.h"

/** struct entry - a group of a reading */
struct entry {
	uint64_t number; /* of a process its pid, of a user its uid; 0 otherwise */
	uint64_t begun;  /* when the process began; 0 if that is not known */
	uint64_t device; /* of a file */
	uint64_t inode;
	char *name;
	struct sums sums;
};

struct reading {
	uint64_t time; /* seconds since 1970 */
	bool begins;   /* it is known of every process when it began */
	struct sums whole;
	struct {
		struct entry *entries;
		size_t n;
	} by[BYS];
};

/** reading_init - begin to keep what @system has */
void reading_init(struct reading *reading, const struct system *system);
/** reading_add - keep @tally, that of the same system by @by */
void reading_add(struct reading *reading, const struct system *system, enum by by, const struct tally *tally);
void reading_fini(struct reading *reading);

/**
 * changes_to_text, changes_to_csv, changes_to_json - tell what changed from @old to @new, of all groups of @view
 * @title: of the line that tells how the whole changed
 */
void changes_to_text(const struct reading *old, const struct reading *new, const struct view *view, const char *title);
void changes_to_csv(const struct reading *old, const struct reading *new, const struct view *view);
json_t *changes_to_json(const struct reading *old, const struct reading *new, const struct view *view);

#endif
