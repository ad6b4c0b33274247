/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * verdicts.c - what hybrid was to be, beside what it is
 *
 * Of each row: first, or within 5 % of the first, in time of the reverse map and in time for an operation, of all
 * threads; and of all that keep mappings with the least memory. Of some rows: how much better than another design. They
 * are printed and decide nothing.
 */
#include "lab.h"

#include <math.h>
#include <string.h>

#define NEAR 1.05
#define HYBRID "hybrid"

static double median_of(const json_t *row, const char *contender, const char *figure)
{
	const json_t *figures = json_object_get(json_object_get(row, "contenders"), contender);
	const json_t *median = json_object_get(json_object_get(figures, figure), "median");

	return median ? json_real_value(median) : NAN;
}

/* A design that has not done all of the work, or leaves pages mapped that hybrid does not, is not better for it. */
static bool competes(const json_t *row, const char *name)
{
	return strcmp(name, HYBRID) != 0 && strcmp(name, "null") != 0 && median_of(row, name, "done, %") > 99.9 &&
	       median_of(row, name, "left in 1000") <= median_of(row, HYBRID, "left in 1000");
}

/* The best of the others, or NULL. */
static const char *best_of(const json_t *row, const char *figure, bool most)
{
	const char *name, *best = NULL;
	json_t *figures;

	json_object_foreach(json_object_get(row, "contenders"), name, figures)
	{
		double value = median_of(row, name, figure);

		if (!competes(row, name) || isnan(value))
			continue;
		if (!best || (most ? value > median_of(row, best, figure) : value < median_of(row, best, figure)))
			best = name;
	}
	return best;
}

static json_t *verdict(const json_t *row, const char *what, const char *than, double measured, double target)
{
	return json_pack("{s:s, s:O, s:s, s:s, s:s, s:f, s:f, s:b}", "case",
			 json_string_value(json_object_get(row, "case")), "n", json_object_get(row, "n"), "what", what,
			 "than", than, "bound", "at most", "target", target, "measured", measured, "met",
			 measured <= target);
}

/* @most: a rate, so that its inverse is compared */
static void judge_first(json_t *judged, const json_t *row, const char *what, const char *figure, bool most)
{
	const char *best = best_of(row, figure, most);
	double mine = median_of(row, HYBRID, figure), others;

	if (!best)
		return;
	others = median_of(row, best, figure);
	/* Of nothing, or less than can be told, there is no ratio. */
	if (mine > 0 && others > 0)
		json_array_append_new(judged, verdict(row, what, best, most ? others / mine : mine / others, NEAR));
}

static const struct {
	const char *workload;
	const char *than;
	double target;
} ratios[] = {
	{ "rmap-test-1", "ptechain", 0.5 }, { "rmap-test-2", "ptechain", 0.5 }, { "rmap-test-3", "ptechain", 0.5 },
	{ "fork", "folio", 1.05 },          { "fork", "ptechain", 0.7 },
};

static void judge_ratios(json_t *judged, const json_t *row)
{
	const char *workload = json_string_value(json_object_get(row, "case"));

	for (size_t i = 0; i < sizeof(ratios) / sizeof(ratios[0]); i++) {
		double other = median_of(row, ratios[i].than, "rmap, ns"), mine = median_of(row, HYBRID, "rmap, ns");

		if (strcmp(ratios[i].workload, workload) == 0 && other > 0 && mine > 0)
			json_array_append_new(judged, verdict(row, "time of the reverse map", ratios[i].than,
							      mine / other, ratios[i].target));
	}
}

json_t *lab_judge(const json_t *rows)
{
	json_t *judged = json_array(), *row;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		judge_first(judged, row, "time of the reverse map, to the first", "rmap, ns", false);
		judge_first(judged, row, "time for an operation, to the first", "k ops/s", true);
		judge_first(judged, row, "most memory, to the least", "peak, KiB", false);
		judge_ratios(judged, row);
	}
	return judged;
}
