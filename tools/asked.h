/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * asked.h - the pages that `rmap who` is asked about
 */
#ifndef ASKED_H
#define ASKED_H

#include "system.h"

/** Of one question: the answers have to be kept together. */
#define ASKED_MAX 65536

enum asked_by { ASKED_ADDRESS, ASKED_PFN, ASKED_FILE };

/** struct question - addresses of a process, page frames, or bytes of a file: @first to @last, both included */
struct question {
	enum asked_by by;
	uint64_t pid;
	const char *path;
	uint64_t first;
	uint64_t last;
	bool range; /* it is no complaint if a page of it is not in memory */
};

struct questions {
	struct question *items;
	size_t n;
	size_t capacity;
};

/** question_parse - set the question's bytes from "FIRST", "FIRST-END" or "FIRST+SIZE"; false if it is none of these */
bool question_parse(const char *text, uint64_t max, struct question *question);

/** struct asked - a page that was asked for and is in memory */
struct asked {
	uint64_t pfn;
	uint32_t process; /* of an address: of which process, at which page; NOBODY otherwise */
	uint64_t vpn;
};

#define NOBODY UINT32_MAX

struct pages {
	struct asked *items;
	size_t n;
	size_t capacity;
	uint64_t absent; /* pages of ranges that are not in memory, or that nobody maps */
};

/**
 * pages_find - find the pages of all questions in a built system
 * @procfs: NULL if it was recorded
 * Return:  a status, after complaining where there is no page
 */
int pages_find(const struct system *system, const struct procfs *procfs, const struct questions *questions,
	       struct pages *pages);

#endif
