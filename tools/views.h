/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * views.h - how the options of `rmap shares` and `rmap diff` name groups and figures
 */
#ifndef VIEWS_H
#define VIEWS_H

#include "tally.h"

#include <argp.h>
#include <jansson.h>

enum sort { SORT_PSS, SORT_USS, SORT_RSS, SORT_SWAP, SORT_NAME, SORT_SHARED, SORTS };

/** What stands behind --by, by enum by. */
extern const char *const by_words[BYS];

/** struct bys - what was asked for, in order, each once */
struct bys {
	enum by items[BYS];
	size_t n;
};

/** bys_add - add what @word says, or end the program with a complaint */
void bys_add(struct bys *bys, const char *word, struct argp_state *state);
bool bys_have(const struct bys *bys, enum by by);

/** sort_parse - what @word says, one of those before @end; or end the program with a complaint */
enum sort sort_parse(const char *word, enum sort end, struct argp_state *state);

/** limit_parse - so many lines as @word says, SIZE_MAX for 0; or end the program with a complaint */
size_t limit_parse(const char *word, struct argp_state *state);

/** sums_figure - the one to sort by */
uint64_t sums_figure(const struct sums *sums, enum sort sort);

/** sums_to_json - set all of @sums in @json */
void sums_to_json(json_t *json, const struct sums *sums);

#endif
