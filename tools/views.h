/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * views.h - what `rmap shares` and `rmap diff` are asked for alike: which groups, in what order, how many
 */
#ifndef VIEWS_H
#define VIEWS_H

#include "arguments.h"
#include "tally.h"
#include "text.h"

enum sort { SORT_PSS, SORT_USS, SORT_RSS, SORT_SWAP, SORT_NAME, SORT_SHARED, SORTS };

/** What stands behind --by, by enum by. */
extern const char *const by_words[BYS];

/** struct bys - what was asked for, in order, each once */
struct bys {
	enum by items[BYS];
	size_t n;
};

bool bys_have(const struct bys *bys, enum by by);

/** Keys of the options that both have; their own begin at VIEW_KEYS. */
enum { VIEW_BY = 256, VIEW_SORT, VIEW_LIMIT, VIEW_JSON, VIEW_CSV, VIEW_KEYS };

/** So many lines of text, if nothing else was said. */
#define VIEW_LIMIT_TEXT 20

struct view {
	struct bys bys;
	enum sort sort;
	size_t limit; /* lines at most; 0: not said yet */
	enum format format;
};

/** format_choose - take --json or --csv, or end the program with a complaint if both are given */
void format_choose(enum format *format, enum format chosen, struct argp_state *state);

/**
 * view_parse - take one of these options, or end the program with a complaint; false if @key is none of them
 * @sorts: --sort takes those before this one
 */
bool view_parse(struct view *view, int key, const char *arg, enum sort sorts, struct argp_state *state);

/** view_complete - after the last option: by process, and as many lines of text, if nothing else was said */
void view_complete(struct view *view);

/** view_shown - how many of @n groups are shown */
static inline size_t view_shown(const struct view *view, size_t n)
{
	return n < view->limit ? n : view->limit;
}

/** sums_figure - the one to sort by */
uint64_t sums_figure(const struct sums *sums, enum sort sort);

/** sums_to_json - set all of @sums in @json */
void sums_to_json(json_t *json, const struct sums *sums);

/** sums_to_csv - print all of @sums as cells, or empty ones if it is NULL; SUMS_CSV names them, behind @prefix */
#define SUMS_CSV(prefix) prefix "rss," prefix "pss," prefix "uss," prefix "swap," prefix "locked," prefix "unsettled"
void sums_to_csv(const struct sums *sums);

#endif
