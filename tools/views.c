/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * views.c - the options of a view, and its names of groups and figures; see views.h
 */
#include "views.h"

#include <inttypes.h>
#include <string.h>

#define LIMIT_MAX 1000000

const char *const by_words[BYS] = { "process", "cgroup", "user", "file", "kind" };
static const char *const sort_words[SORTS] = { "pss", "uss", "rss", "swap", "name", "shared" };

/* The number of @word among @n @words; @n if it is none of them. */
static unsigned word_number(const char *word, const char *const *words, unsigned n)
{
	unsigned at = 0;

	while (at < n && strcmp(word, words[at]))
		at++;
	return at;
}

bool bys_have(const struct bys *bys, enum by by)
{
	for (size_t i = 0; i < bys->n; i++)
		if (bys->items[i] == by)
			return true;
	return false;
}

static void bys_add(struct bys *bys, const char *word, struct argp_state *state)
{
	enum by by = (enum by)word_number(word, by_words, BYS);

	if (by == BYS)
		bad_usage(state, "--by wants process, cgroup, user, file or kind, not \"%s\"", word);
	if (!bys_have(bys, by))
		bys->items[bys->n++] = by;
}

static enum sort sort_parse(const char *word, enum sort end, struct argp_state *state)
{
	enum sort sort = (enum sort)word_number(word, sort_words, end);

	if (sort == end)
		bad_usage(state, "--sort wants pss, uss, rss, swap or name%s, not \"%s\"",
			  end == SORTS ? ", or shared beside --with" : "", word);
	return sort;
}

/* So many lines as @word says; 0 for all. */
static size_t limit_parse(const char *word, struct argp_state *state)
{
	uint64_t value = 0;

	if (!parse_number(word, 0, LIMIT_MAX, &value))
		bad_usage(state, "--limit wants a number from 0 to %d, not \"%s\"", LIMIT_MAX, word);
	return value ? (size_t)value : SIZE_MAX;
}

void format_choose(enum format *format, enum format chosen, struct argp_state *state)
{
	if (*format != FORMAT_TEXT && *format != chosen)
		bad_usage(state, "--json and --csv are two formats of one report: give one of them");
	*format = chosen;
}

bool view_parse(struct view *view, int key, const char *arg, enum sort sorts, struct argp_state *state)
{
	switch (key) {
	case VIEW_BY:
		bys_add(&view->bys, arg, state);
		return true;
	case VIEW_SORT:
		view->sort = sort_parse(arg, sorts, state);
		return true;
	case VIEW_LIMIT:
		view->limit = limit_parse(arg, state);
		return true;
	case VIEW_JSON:
		format_choose(&view->format, FORMAT_JSON, state);
		return true;
	case VIEW_CSV:
		format_choose(&view->format, FORMAT_CSV, state);
		return true;
	default:
		return false;
	}
}

void view_complete(struct view *view)
{
	if (!view->bys.n)
		view->bys.items[view->bys.n++] = BY_PROCESS;
	if (!view->limit)
		view->limit = view->format == FORMAT_TEXT ? VIEW_LIMIT_TEXT : SIZE_MAX;
}

uint64_t sums_figure(const struct sums *sums, enum sort sort)
{
	switch (sort) {
	case SORT_USS:
		return sums->uss;
	case SORT_RSS:
		return sums->rss;
	case SORT_SWAP:
		return sums->swap;
	case SORT_SHARED:
		return sums->common;
	default:
		return sums->pss;
	}
}

void sums_to_json(json_t *json, const struct sums *sums)
{
	json_object_set_new(json, "rss", json_of_number(sums->rss));
	json_object_set_new(json, "pss", json_of_number(sums->pss));
	json_object_set_new(json, "uss", json_of_number(sums->uss));
	json_object_set_new(json, "swap", json_of_number(sums->swap));
	json_object_set_new(json, "locked", json_of_number(sums->locked));
	json_object_set_new(json, "unsettled", json_of_number(sums->unsettled));
}

void sums_to_csv(const struct sums *sums)
{
	if (sums)
		printf(",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64, sums->rss, sums->pss,
		       sums->uss, sums->swap, sums->locked, sums->unsettled);
	else
		fputs(",,,,,,", stdout);
}
