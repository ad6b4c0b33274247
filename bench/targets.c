/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * targets.c - figures compared with what they must be
 *
 * A ratio is taken in each round, and the median over the rounds is compared. Where a target has several bases, each
 * round takes the better of them: the quicker, or of rates the higher. A target whose rows were not measured is left
 * out; one that no single run can tell is listed where its rows were, with what does tell it.
 */
#include <stdlib.h>
#include <string.h>

#include "bench.h"

static double median_of(const json_t *figures, const char *figure)
{
	return json_real_value(json_object_get(json_object_get(figures, figure), "median"));
}

/* The best of @bases in one round; 0 if none was measured. */
static double best_base(const json_t *contenders, const struct bench_target *target, size_t round)
{
	double best = 0;

	for (const char *const *base = target->bases; *base; base++) {
		const json_t *rounds = json_object_get(json_object_get(contenders, *base), "rounds");
		double value = json_real_value(json_array_get(rounds, round));

		if (value > 0 && (best == 0 || (target->at_least ? value > best : value < best)))
			best = value;
	}
	return best;
}

/* The median of the ratios; 0 if there is no base. */
static double ratio_of(const json_t *contenders, const struct bench_target *target)
{
	const json_t *rounds = json_object_get(json_object_get(contenders, target->contender), "rounds");
	size_t n = json_array_size(rounds), ratios_n = 0;
	double *ratios = calloc(n + 1, sizeof(*ratios)), median;

	if (!ratios)
		abort();
	for (size_t i = 0; i < n; i++) {
		double base = best_base(contenders, target, i);

		if (base > 0)
			ratios[ratios_n++] = json_real_value(json_array_get(rounds, i)) / base;
	}
	if (!ratios_n) {
		free(ratios);
		return 0;
	}
	json_t *spread = bench_spread(ratios, ratios_n);

	median = json_real_value(json_object_get(spread, "median"));
	json_decref(spread);
	free(ratios);
	return median;
}

static bool concerns(const struct bench_target *target, const json_t *row)
{
	size_t n = (size_t)json_integer_value(json_object_get(row, "n"));

	return strcmp(json_string_value(json_object_get(row, "case")), target->row) == 0 && target->least <= n &&
	       n <= target->most;
}

/* The worst of all rows, if this command can tell; false if none was measured. */
static bool measured(const struct bench_target *target, const json_t *rows, double *worst)
{
	bool found = false;
	size_t i;
	json_t *row;

	json_array_foreach(rows, i, row)
	{
		const json_t *contenders = json_object_get(row, "contenders");
		const json_t *figures = json_object_get(contenders, target->contender);

		if (!concerns(target, row) || !figures)
			continue;
		found |= target->elsewhere != NULL;
		if (target->elsewhere)
			continue;
		double value = target->bases ? ratio_of(contenders, target) : median_of(figures, target->figure);

		if (!found || (target->at_least ? value < *worst : value > *worst))
			*worst = value;
		found = true;
	}
	return found;
}

/* What the target is about: for those who draw it where its rows are. */
static json_t *subject_of(const struct bench_target *target)
{
	json_t *bases = json_array();

	for (const char *const *base = target->bases; base && *base; base++)
		json_array_append_new(bases, json_string(*base));
	return json_pack("{s:s, s:I, s:I, s:s, s:s, s:o}", "case", target->row, "from", (json_int_t)target->least, "to",
			 (json_int_t)target->most, "contender", target->contender, "figure", target->figure, "than",
			 bases);
}

json_t *bench_judge(const struct benchmark *benchmark, const json_t *rows)
{
	json_t *judged = json_array();

	for (size_t i = 0; i < benchmark->targets_n; i++) {
		const struct bench_target *target = &benchmark->targets[i];
		double value = 0;

		if (!measured(target, rows, &value))
			continue;
		json_t *entry = json_pack("{s:s, s:s, s:f, s:o}", "name", target->name, "bound",
					  target->at_least ? "at least" : "at most", "target", target->bound, "of",
					  subject_of(target));

		if (target->elsewhere) {
			json_object_set_new(entry, "elsewhere", json_string(target->elsewhere));
		} else {
			json_object_set_new(entry, "measured", json_real(value));
			json_object_set_new(
				entry, "met",
				json_boolean(target->at_least ? value >= target->bound : value <= target->bound));
		}
		json_array_append_new(judged, entry);
	}
	return judged;
}
