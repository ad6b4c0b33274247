/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * published.c - what was measured of rmap-test in 2003 and 2004, beside what is measured here
 *
 * System seconds: April 2003, on a Pentium 4 with 256 MB; and March 2004, on a Pentium II, where two lists were stopped
 * after hours. They include all that a kernel does for the test, and so are set beside this row's time of all. Ratios
 * to pte chains of the same year: seconds of other machines say nothing here.
 */
#include "lab.h"

#include <string.h>

/* @chain, @list, @tree: seconds; 0: there was none */
static const struct {
	const char *workload;
	int year;
	double chain, list, tree;
} published[] = {
	{ "rmap-test-1", 2003, 86.91, 1143.26, 0 }, { "rmap-test-1", 2004, 277.14, 19834, 203.90 },
	{ "rmap-test-2", 2003, 6.05, 2.10, 0 },     { "rmap-test-2", 2004, 212.50, 605.97, 101.77 },
	{ "rmap-test-3", 2003, 3.75, 146.45, 0 },   { "rmap-test-3", 2004, 31.08, 1588, 31.41 },
};

static double median_of(const json_t *row, const char *contender)
{
	const json_t *figures = json_object_get(json_object_get(row, "contenders"), contender);

	return json_real_value(json_object_get(json_object_get(figures, "ns"), "median"));
}

static void add(json_t *entry, const char *what, double value, double by)
{
	if (value > 0 && by > 0)
		json_object_set_new(entry, what, json_real(value / by));
}

json_t *lab_publish(const json_t *row)
{
	const char *workload = json_string_value(json_object_get(row, "case"));
	json_t *all = json_array(), *here = json_object();

	for (size_t i = 0; i < sizeof(published) / sizeof(published[0]); i++) {
		json_t *entry;

		if (strcmp(published[i].workload, workload) != 0)
			continue;
		entry = json_pack("{s:i}", "year", published[i].year);
		add(entry, "objrmap", published[i].list, published[i].chain);
		add(entry, "objrmap-interval", published[i].tree, published[i].chain);
		json_array_append_new(all, entry);
	}
	if (json_array_size(all) == 0) {
		json_decref(all);
		json_decref(here);
		return json_null();
	}
	add(here, "objrmap", median_of(row, "objrmap"), median_of(row, "ptechain"));
	add(here, "objrmap-interval", median_of(row, "objrmap-interval"), median_of(row, "ptechain"));
	add(here, "hybrid", median_of(row, "hybrid"), median_of(row, "ptechain"));
	return json_pack("{s:s, s:o, s:o}", "unit", "x ptechain, ns of all", "elsewhere", all, "here", here);
}
