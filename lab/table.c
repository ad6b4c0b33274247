/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * table.c - a report as tables: one for each row, a line for each backend; then one of all rows, and the verdicts
 *
 * In 120 columns: heads have two lines.
 */
#include "lab.h"

#include <math.h>
#include <string.h>

#include "../bench/report.h"

static const struct {
	const char *figure;
	const char *heads[2];
} columns[] = {
	{ "rmap, ns", { "rmap", "ns" } },
	{ "x hybrid, rmap", { "x hy-", "brid" } },
	{ "ns", { "all", "ns" } },
	{ "ratio", { "x hy-", "brid" } },
	{ "k ops/s", { "k ops", "a sec" } },
	{ "peak, KiB", { "peak", "KiB" } },
	{ "bytes a mapping", { "bytes", "a pte" } },
	{ "wasted, %", { "wasted", "%" } },
	{ "failures in 1000", { "fail-", "ures" } },
	{ "left in 1000", { "left", "" } },
	{ "p99 of a walk, ns", { "p99 of", "a walk" } },
	{ "done, %", { "done", "%" } },
};

#define COLUMNS (sizeof(columns) / sizeof(columns[0]))

static const json_t *spread_of(const json_t *row, const char *contender, const char *figure)
{
	return json_object_get(json_object_get(json_object_get(row, "contenders"), contender), figure);
}

/* At most six characters. A difference may be below 0. */
static const char *short_number(double value, char text[16])
{
	char size[16];

	if (value == 0)
		return "0";
	snprintf(text, 16, "%s%s", value < 0 ? "-" : "", bench_short_number(fabs(value), size));
	return text;
}

/* One backend; and in brackets the spread of the first column. */
static void print_backend(const json_t *row, const char *name, FILE *out)
{
	const json_t *spread = spread_of(row, name, columns[0].figure);
	char text[16], most[16];

	fprintf(out, "%-16s", name);
	for (size_t i = 0; i < COLUMNS; i++) {
		const json_t *median = json_object_get(spread_of(row, name, columns[i].figure), "median");

		fprintf(out, " %6s", median ? short_number(json_real_value(median), text) : "-");
	}
	fprintf(out, "  (%s .. %s)\n", short_number(json_real_value(json_object_get(spread, "min")), text),
		short_number(json_real_value(json_object_get(spread, "max")), most));
}

static void print_published(const json_t *row, FILE *out)
{
	const json_t *published = json_object_get(row, "published"), *entry;
	const char *name;
	json_t *value;
	size_t i;

	if (!json_is_object(published))
		return;
	json_array_foreach(json_object_get(published, "elsewhere"), i, entry)
	{
		fprintf(out, "%d, x pte chains:", (int)json_integer_value(json_object_get(entry, "year")));
		json_object_foreach((json_t *)entry, name, value)
		{
			if (json_is_real(value))
				fprintf(out, "  %s %.2f", name, json_real_value(value));
		}
		fprintf(out, "\n");
	}
	fprintf(out, "here, x pte chains:");
	json_object_foreach(json_object_get(published, "here"), name, value)
	{
		fprintf(out, "  %s %.2f", name, json_real_value(value));
	}
	fprintf(out, "\n");
}

static void print_row(const json_t *row, FILE *out)
{
	const char *name, *how = json_string_value(json_object_get(row, "rmap"));
	json_t *figures, *value;
	size_t i;

	fprintf(out, "%s/%d: ", json_string_value(json_object_get(row, "case")),
		(int)json_integer_value(json_object_get(row, "n")));
	json_object_foreach(json_object_get(row, "parameters"), name, value)
	{
		fprintf(out, "%s=%lld ", name, (long long)json_integer_value(value));
	}
	fprintf(out, "\nan operation is %s\ntime in the reverse map is %s\n",
		json_string_value(json_object_get(row, "operation")),
		strcmp(how, "clock") ? "the difference to null" : "what a clock says of a sample of calls");
	for (unsigned line = 0; line < 2; line++) {
		fprintf(out, "%-16s", "");
		for (size_t k = 0; k < COLUMNS; k++)
			fprintf(out, " %6s", columns[k].heads[line]);
		fprintf(out, "\n");
	}
	json_object_foreach(json_object_get(row, "contenders"), name, figures)
	{
		print_backend(row, name, out);
	}
	json_array_foreach(json_object_get(row, "unable"), i, value)
	{
		fprintf(out, "%-16s does not do this\n", json_string_value(value));
	}
	print_published(row, out);
	fprintf(out, "\n");
}

/* The part of a backend's name that is in this line of two: "objrmap-" and "interval". */
static int head_of(const char *name, unsigned line, const char **head)
{
	const char *dash = strchr(name, '-');
	size_t first = dash ? (size_t)(dash + 1 - name) : strlen(name);

	*head = line ? name + first : name;
	return (int)(line ? strlen(*head) : first);
}

/* Time in the reverse map, as a ratio to hybrid's: rows down, backends across. */
static void print_all(const json_t *report, FILE *out)
{
	const json_t *rows = json_object_get(report, "cases"), *row, *backend;
	const json_t *backends = json_object_get(report, "backends");
	size_t i, k;

	fprintf(out, "time in the reverse map, x hybrid\n");
	for (unsigned line = 0; line < 2; line++) {
		fprintf(out, "%-19s", "");
		json_array_foreach(backends, k, backend)
		{
			const char *head;
			int n = head_of(json_string_value(backend), line, &head);

			fprintf(out, " %*s%.*s", 10 - n, "", n, head);
		}
		fprintf(out, "\n");
	}
	json_array_foreach(rows, i, row)
	{
		fprintf(out, "%-17s/%d", json_string_value(json_object_get(row, "case")),
			(int)json_integer_value(json_object_get(row, "n")));
		json_array_foreach(backends, k, backend)
		{
			const json_t *spread = spread_of(row, json_string_value(backend), "x hybrid, rmap");

			if (spread)
				fprintf(out, " %10.2f", json_real_value(json_object_get(spread, "median")));
			else
				fprintf(out, " %10s", "-");
		}
		fprintf(out, "\n");
	}
	fprintf(out, "\n");
}

static void print_verdicts(const json_t *verdicts, FILE *out)
{
	const json_t *verdict;
	char than[64];
	size_t i;

	fprintf(out, "%-19s %-38s %-19s %8s %9s\n", "hybrid, target", "of those that do all of the work", "", "at most",
		"measured");
	json_array_foreach(verdicts, i, verdict)
	{
		snprintf(than, sizeof(than), "x %s", json_string_value(json_object_get(verdict, "than")));
		fprintf(out, "%-17s/%d %-38s %-19s %8.2f %9.2f %s\n",
			json_string_value(json_object_get(verdict, "case")),
			(int)json_integer_value(json_object_get(verdict, "n")),
			json_string_value(json_object_get(verdict, "what")), than,
			json_real_value(json_object_get(verdict, "target")),
			json_real_value(json_object_get(verdict, "measured")),
			json_is_true(json_object_get(verdict, "met")) ? "met" : "MISSED");
	}
}

static const char legend[] =
	"rmap ns: of an operation, in functions of the reverse map. all ns: in all, of the thread that does it.\n"
	"x hybrid: the ratio to hybrid's, in each round. Bytes are of all that exists for the reverse map alone.\n"
	"wasted: visits of walks that found no mapping. failures: refused locks, conversions and operations that\n"
	"failed; left: pages that truncates left mapped; both for 1,000 operations. done: of the work; a run that\n"
	"takes too long is cut. In brackets: least and most of the first column.\n";

void lab_print(const json_t *report, FILE *out)
{
	const json_t *row;
	size_t i;

	fprintf(out, "lab: designs of reverse maps on the same workloads of the executable VM\n");
	bench_print_machine(report, out);
	fprintf(out, "\nMedians of %d interleaved rounds, seed %lld.\n%s\n",
		(int)json_integer_value(json_object_get(report, "repeat")),
		(long long)json_integer_value(json_object_get(report, "seed")), legend);
	json_array_foreach(json_object_get(report, "cases"), i, row)
	{
		print_row(row, out);
	}
	print_all(report, out);
	print_verdicts(json_object_get(report, "verdicts"), out);
}
