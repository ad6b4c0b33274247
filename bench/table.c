/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * table.c - what a report says, as tables
 *
 * Rows that follow each other with the same unit and the same contenders make a table: medians in a column for each
 * contender, and the spread of librmap's. Where the first contender is a limit, a table of ratios to it follows; then
 * one for each further figure, such as bytes. The verdicts on the targets stand at the end.
 */
#include <string.h>

#include "report.h"

#define CONTENDERS_MAX 16
#define FIGURES_MAX 16
#define SUBJECT "rmap"

struct table {
	const json_t *rows;
	size_t from, to; /* of @rows */
	const char *unit;
	const char *names[CONTENDERS_MAX];
	size_t names_n;
	const char *figures[FIGURES_MAX];
	size_t figures_n;
};

const char *bench_short_number(double value, char text[16])
{
	if (value < 10)
		snprintf(text, 16, "%.2f", value);
	else if (value < 100)
		snprintf(text, 16, "%.1f", value);
	else if (value < 10000)
		snprintf(text, 16, "%.0f", value);
	else if (value < 1e7)
		snprintf(text, 16, "%.0fk", value / 1e3);
	else
		snprintf(text, 16, "%.0fM", value / 1e6);
	return text;
}

static const json_t *contenders_of(const json_t *rows, size_t i)
{
	return json_object_get(json_array_get(rows, i), "contenders");
}

static bool same_contenders(const json_t *a, const json_t *b)
{
	const char *name;
	json_t *figures;

	if (json_object_size(a) != json_object_size(b))
		return false;
	json_object_foreach((json_t *)a, name, figures)
	{
		if (!json_object_get(b, name))
			return false;
	}
	return true;
}

static const char *unit_of(const json_t *rows, size_t i)
{
	return json_string_value(json_object_get(json_array_get(rows, i), "unit"));
}

static void add_figure(struct table *table, const char *figure)
{
	for (size_t i = 0; i < table->figures_n; i++) {
		if (strcmp(table->figures[i], figure) == 0)
			return;
	}
	if (table->figures_n < FIGURES_MAX && strcmp(figure, table->unit) && strcmp(figure, "rounds") &&
	    strcmp(figure, "ratio"))
		table->figures[table->figures_n++] = figure;
}

/* The table that begins at @from. */
static void table_init(struct table *table, const json_t *rows, size_t from)
{
	const json_t *contenders = contenders_of(rows, from);
	const char *name, *figure;
	json_t *figures, *value;

	*table = (struct table){ .rows = rows, .from = from, .to = from, .unit = unit_of(rows, from) };
	json_object_foreach((json_t *)contenders, name, figures)
	{
		if (table->names_n < CONTENDERS_MAX)
			table->names[table->names_n++] = name;
	}
	while (table->to < json_array_size(rows) && strcmp(unit_of(rows, table->to), table->unit) == 0 &&
	       same_contenders(contenders, contenders_of(rows, table->to))) {
		json_object_foreach((json_t *)contenders_of(rows, table->to), name, figures)
		{
			json_object_foreach(figures, figure, value)
			{
				add_figure(table, figure);
			}
		}
		table->to++;
	}
}

static void print_cell(FILE *out, const json_t *figures, const char *figure)
{
	const json_t *median = json_object_get(json_object_get(figures, figure), "median");
	char text[16];

	fprintf(out, " %10s", median ? bench_short_number(json_real_value(median), text) : "-");
}

static void print_spread(FILE *out, const json_t *figures, const char *figure)
{
	const json_t *spread = json_object_get(figures, figure);
	double min = json_real_value(json_object_get(spread, "min"));
	double max = json_real_value(json_object_get(spread, "max"));
	char low[16], high[16];

	if (min < max)
		fprintf(out, "  (%s-%s)", bench_short_number(min, low), bench_short_number(max, high));
}

static bool has_figure(const json_t *contenders, const char *figure)
{
	const char *name;
	json_t *figures;

	json_object_foreach((json_t *)contenders, name, figures)
	{
		if (json_object_get(figures, figure))
			return true;
	}
	return false;
}

static void print_figure(const struct table *table, const char *figure, const char *title, FILE *out)
{
	fprintf(out, "%-27s", title);
	for (size_t k = 0; k < table->names_n; k++)
		fprintf(out, " %10s", table->names[k]);
	fprintf(out, "\n");
	for (size_t i = table->from; i < table->to; i++) {
		const json_t *row = json_array_get(table->rows, i), *contenders = contenders_of(table->rows, i);

		if (!has_figure(contenders, figure))
			continue;
		fprintf(out, "%-19s %7lld", json_string_value(json_object_get(row, "case")),
			(long long)json_integer_value(json_object_get(row, "n")));
		for (size_t k = 0; k < table->names_n; k++)
			print_cell(out, json_object_get(contenders, table->names[k]), figure);
		print_spread(out, json_object_get(contenders, SUBJECT), figure);
		fprintf(out, "\n");
	}
	fprintf(out, "\n");
}

static void print_targets(const json_t *targets, FILE *out)
{
	size_t i;
	json_t *target;

	if (!json_array_size(targets))
		return;
	fprintf(out, "%-64s %17s %9s\n", "target", "", "measured");
	json_array_foreach(targets, i, target)
	{
		const char *elsewhere = json_string_value(json_object_get(target, "elsewhere"));

		fprintf(out, "%-64s %8s %8.2f ", json_string_value(json_object_get(target, "name")),
			json_string_value(json_object_get(target, "bound")),
			json_real_value(json_object_get(target, "target")));
		if (elsewhere)
			fprintf(out, "        - told by %s\n", elsewhere);
		else
			fprintf(out, "%9.2f %s\n", json_real_value(json_object_get(target, "measured")),
				json_is_true(json_object_get(target, "met")) ? "met" : "MISSED");
	}
}

void bench_print_machine(const json_t *report, FILE *out)
{
	const json_t *machine = json_object_get(report, "machine");

	fprintf(out, "machine: %s, %d cores, %s, load %.2f at the start\n",
		json_string_value(json_object_get(machine, "cpu")),
		(int)json_integer_value(json_object_get(machine, "cores")),
		json_string_value(json_object_get(machine, "kernel")),
		json_real_value(json_object_get(machine, "load")));
	fprintf(out, "compiler: %s, flags: %s\n", json_string_value(json_object_get(machine, "compiler")),
		json_string_value(json_object_get(machine, "flags")));
	if (strcmp(BENCH_BUILD, "plain") != 0)
		fprintf(out,
			"warning: this is a build for tests (%s), so the times below say little; set up one with "
			"--buildtype=release\n",
			BENCH_BUILD);
	if (json_real_value(json_object_get(machine, "load")) > 0.5)
		fprintf(out,
			"warning: other programs were running, which took caches, memory and cores: ratios bear it "
			"better than times, and\nrows with several threads bear it badly\n");
}

static void print_heading(const struct benchmark *benchmark, const json_t *report, FILE *out)
{
	fprintf(out, "%s: %s\n", benchmark->name, benchmark->summary);
	bench_print_machine(report, out);
	fprintf(out,
		"\nMedians of %d interleaved rounds; in brackets the least and the greatest of " SUBJECT "'s.\n%s\n",
		(int)json_integer_value(json_object_get(report, "repeat")), benchmark->legend);
}

void bench_print(const struct benchmark *benchmark, const json_t *report, FILE *out)
{
	const json_t *rows = json_object_get(report, "cases");
	char title[64];

	print_heading(benchmark, report, out);
	for (size_t from = 0; from < json_array_size(rows);) {
		struct table table;

		table_init(&table, rows, from);
		print_figure(&table, table.unit, table.unit, out);
		if (strcmp(table.names[0], "limit") == 0) {
			snprintf(title, sizeof(title), "times the %s", table.names[0]);
			print_figure(&table, "ratio", title, out);
		}
		for (size_t i = 0; i < table.figures_n; i++)
			print_figure(&table, table.figures[i], table.figures[i], out);
		from = table.to;
	}
	print_targets(json_object_get(report, "targets"), out);
}
