/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * chain.c - `rmap bench chain`: one remove and one add, and walks, on chains of 1 to 10^6 mappings
 *
 * For each size all contenders are built from equal streams, measured in interleaved rounds, walked, checked (the sum
 * of the handles that a walk finds is that of the handles that should be there) and ended. A chain is walked after
 * its pairs, so it is a chain as use leaves it; its bytes are taken then as well. Memory where no churn is wanted
 * comes from chain_memory.c.
 *
 * The targets at the end are those that librmap is written to. They compare medians of ratios taken within a round.
 */
#include <stdlib.h>
#include <string.h>

#include <urcu/urcu-memb.h>

#include "bench.h"
#include "chain.h"

#define CONTENDERS_MAX 5
#define WALK_LEAST 64

static const struct chain_contender *const of_linear[] = { &chain_limit_linear, &chain_rmap_linear, NULL };
static const struct chain_contender *const of_chains[] = { &chain_limit,      &chain_loop, &chain_rmap,
							   &chain_descriptor, &chain_lfht, NULL };

static const struct chain_case {
	const char *name;
	size_t n;
	const struct chain_contender *const *contenders; /* the limit first */
} cases[] = {
	{ "linear", 1, of_linear },  { "pair", 1, of_chains },      { "pair", 2, of_chains },
	{ "pair", 3, of_chains },    { "pair", 7, of_chains },      { "pair", 64, of_chains },
	{ "pair", 1024, of_chains }, { "pair", 100000, of_chains }, { "pair", 1000000, of_chains },
};

#define CASES (sizeof(cases) / sizeof(cases[0]))

/* One contender of the case that is running. */
struct lane {
	const struct chain_contender *contender;
	struct chain_stream stream;
	void *state;
	double *pair_ns;
	double *walk_ns;
	uint64_t sum; /* so that no walk is optimised away */
};

static int stream_init(struct chain_stream *stream, size_t n)
{
	stream->handles = malloc(n * sizeof(*stream->handles));
	if (!stream->handles)
		return -1;
	stream->n = n;
	stream->random = 0x9e3779b97f4a7c15u;
	stream->fresh = 0;
	for (size_t i = 0; i < n; i++)
		stream->handles[i] = chain_handle(++stream->fresh);
	return 0;
}

static void lanes_close(struct lane *lanes, size_t count, int *failed)
{
	for (size_t i = 0; i < count; i++) {
		if (lanes[i].state && lanes[i].contender->destroy(lanes[i].state)) {
			fprintf(stderr, "rmap bench: %s lost a mapping or an operation failed at n = %zu\n",
				lanes[i].contender->name, lanes[i].stream.n);
			*failed = 1;
		}
		free(lanes[i].stream.handles);
		free(lanes[i].pair_ns);
		free(lanes[i].walk_ns);
	}
}

/* The number of contenders, whether or not all could be built: @failed says. */
static size_t lanes_open(struct lane *lanes, const struct chain_case *what, unsigned repeat, int *failed)
{
	size_t count = 0;

	for (; what->contenders[count] && !*failed; count++) {
		struct lane *lane = &lanes[count];

		lane->contender = what->contenders[count];
		lane->pair_ns = calloc(repeat, sizeof(double));
		lane->walk_ns = calloc(repeat, sizeof(double));
		if (lane->pair_ns && lane->walk_ns && !stream_init(&lane->stream, what->n))
			lane->state = lane->contender->create(&lane->stream);
		if (!lane->state) {
			fprintf(stderr, "rmap bench: no memory for %s at n = %zu\n", lane->contender->name, what->n);
			*failed = 1;
		}
	}
	return count;
}

static void measure_pairs(struct lane *lanes, size_t count, double batch_seconds, unsigned repeat)
{
	struct bench_contender contenders[CONTENDERS_MAX];

	for (size_t i = 0; i < count; i++) {
		contenders[i] = (struct bench_contender){ .run = lanes[i].contender->pairs,
							  .settle = lanes[i].contender->settle,
							  .state = lanes[i].state,
							  .samples = lanes[i].pair_ns };
	}
	bench_measure(contenders, count, batch_seconds, repeat);
}

static void run_walks(void *state, size_t walks)
{
	struct lane *lane = state;

	while (walks--)
		lane->sum += lane->contender->walk(lane->state);
}

/* Walks of those that can be walked; samples are turned into nanoseconds a mapping. */
static void measure_walks(struct lane *lanes, size_t count, double batch_seconds, unsigned repeat)
{
	struct bench_contender contenders[CONTENDERS_MAX];
	size_t walkers = 0;

	for (size_t i = 0; i < count; i++) {
		if (lanes[i].contender->walk)
			contenders[walkers++] = (struct bench_contender){ .run = run_walks,
									  .state = &lanes[i],
									  .samples = lanes[i].walk_ns };
	}
	bench_measure(contenders, walkers, batch_seconds, repeat);
	for (size_t i = 0; i < count; i++) {
		for (unsigned round = 0; round < repeat; round++)
			lanes[i].walk_ns[round] /= (double)lanes[i].stream.n;
	}
}

/* Every walk must find exactly what the stream says is there. */
static int check_sums(struct lane *lanes, size_t count)
{
	int failed = 0;

	for (size_t i = 0; i < count; i++) {
		uint64_t expected = 0;

		if (!lanes[i].contender->walk)
			continue;
		for (size_t k = 0; k < lanes[i].stream.n; k++)
			expected += lanes[i].stream.handles[k];
		if (lanes[i].contender->walk(lanes[i].state) != expected) {
			fprintf(stderr, "rmap bench: a walk of %s at n = %zu does not find what was added\n",
				lanes[i].contender->name, lanes[i].stream.n);
			failed = 1;
		}
	}
	return failed;
}

/* { name: { "ns", "ratio", and with @bytes "bytes" (a mapping) } }; the limit stands first. */
static json_t *report_lanes(const struct lane *lanes, size_t count, bool walks, unsigned repeat)
{
	const double *limit = walks ? lanes[0].walk_ns : lanes[0].pair_ns;
	json_t *report = json_object();

	for (size_t i = 0; i < count; i++) {
		const struct chain_contender *contender = lanes[i].contender;
		const double *ns = walks ? lanes[i].walk_ns : lanes[i].pair_ns;

		if (walks && !contender->walk)
			continue;
		json_t *figures = json_pack("{s:o, s:o}", "ns", bench_spread(ns, repeat), "ratio",
					    bench_ratios(ns, limit, repeat));

		if (!walks && contender->bytes)
			json_object_set_new(
				figures, "bytes",
				json_real((double)contender->bytes(lanes[i].state) / (double)lanes[i].stream.n));
		json_object_set_new(report, contender->name, figures);
	}
	return report;
}

static void append_case(json_t *report, const char *name, size_t n, json_t *contenders)
{
	json_array_append_new(report,
			      json_pack("{s:s, s:I, s:o}", "case", name, "n", (json_int_t)n, "contenders", contenders));
}

/* Measure one case and add it, and its walks, to @pairs and @walks. */
static int run_case(const struct chain_case *what, double batch_seconds, unsigned repeat, json_t *pairs, json_t *walks)
{
	struct lane lanes[CONTENDERS_MAX] = { 0 };
	char progress[64];
	int failed = 0;

	snprintf(progress, sizeof(progress), "chain: %s, n = %zu ", what->name, what->n);
	bench_progress(progress);
	size_t count = lanes_open(lanes, what, repeat, &failed);

	if (!failed) {
		measure_pairs(lanes, count, batch_seconds, repeat);
		failed = check_sums(lanes, count);
		append_case(pairs, what->name, what->n, report_lanes(lanes, count, false, repeat));
		if (what->n >= WALK_LEAST) {
			measure_walks(lanes, count, batch_seconds, repeat);
			append_case(walks, "walk", what->n, report_lanes(lanes, count, true, repeat));
		}
	}
	lanes_close(lanes, count, &failed);
	return failed;
}

/* The batches of one round, so that all of them share the seconds evenly. */
static size_t batches(void)
{
	size_t count = 0;

	for (size_t i = 0; i < CASES; i++) {
		for (size_t k = 0; cases[i].contenders[k]; k++)
			count += 1 + (cases[i].n >= WALK_LEAST && cases[i].contenders[k]->walk);
	}
	return count;
}

static void append_target(json_t *targets, const char *name, double target, double measured)
{
	json_array_append_new(targets, json_pack("{s:s, s:f, s:f, s:b}", "name", name, "target", target, "measured",
						 measured, "met", measured <= target));
}

/* The worst of rmap's ratios among @cases called @name with @least <= n <= @most. */
static double worst_ratio(const json_t *list, const char *name, json_int_t least, json_int_t most)
{
	double worst = 0;
	size_t i;
	json_t *entry;

	json_array_foreach(list, i, entry)
	{
		const char *found;
		json_int_t n;
		double ratio;

		json_unpack(entry, "{s:s, s:I, s:{s:{s:{s:f}}}}", "case", &found, "n", &n, "contenders", "rmap",
			    "ratio", "median", &ratio);
		if (strcmp(found, name) == 0 && least <= n && n <= most && ratio > worst)
			worst = ratio;
	}
	return worst;
}

static json_t *compare_targets(const json_t *list, const json_t *memory)
{
	json_t *targets = json_array();
	double average, worst, published, clusters;
	int one, two, three;

	json_unpack((json_t *)memory, "{s:{s:f, s:f}, s:[i, i, i], s:{s:f}, s:{s:f}}", "sweep", "average", &average,
		    "worst", &worst, "small", &one, &two, &three, "distribution", "rmap", &published, "clusters",
		    "average", &clusters);
	append_target(targets, "linear pair, x limit", 1.3, worst_ratio(list, "linear", 1, 1));
	append_target(targets, "pair at n = 1, x limit", 1.3, worst_ratio(list, "pair", 1, 1));
	append_target(targets, "pair at n = 2..7, x limit", 2, worst_ratio(list, "pair", 2, 7));
	append_target(targets, "pair at n = 64..10^6, x limit", 2.5, worst_ratio(list, "pair", 64, 1000000));
	append_target(targets, "walk at n >= 64, x limit", 2.5, worst_ratio(list, "walk", 64, 1000000));
	append_target(targets, "bytes a page at n = 1", 8, one);
	append_target(targets, "bytes a page at n = 2", 40, two);
	append_target(targets, "bytes a page at n = 3", 40, three);
	append_target(targets, "bytes a mapping, average of n = 14..10^6", 12, average);
	append_target(targets, "bytes a mapping, worst of n = 14..10^6", 16, worst);
	append_target(targets, "bytes a mapping, published distribution", 12, published);
	append_target(targets, "bytes a pte, clusters of 16", 0.8, clusters);
	return targets;
}

static json_t *run_registered(const struct bench_options *options)
{
	double batch_seconds = options->seconds / (double)(batches() * options->repeat);
	json_t *list = json_array(), *walks = json_array();
	int failed = 0;

	for (size_t i = 0; i < CASES && !failed; i++)
		failed = run_case(&cases[i], batch_seconds, options->repeat, list, walks);
	json_array_extend(list, walks);
	json_decref(walks);
	bench_progress("chain: memory ");
	json_t *memory = failed ? NULL : chain_memory();

	if (!memory) {
		if (!failed)
			fprintf(stderr,
				"rmap bench: the memory figures could not be taken: memory is short, or a chain "
				"does not hold what was added\n");
		json_decref(list);
		return NULL;
	}
	json_t *targets = compare_targets(list, memory);

	return json_pack("{s:s, s:s, s:o, s:o, s:o}", "pair",
			 "one remove of a random mapping and one add of a fresh one", "walk",
			 "the handles of all mappings summed, a mapping", "cases", list, "memory", memory, "targets",
			 targets);
}

/*
 * Registered once for all contenders that use RCU: the maps and the hash table share the flavor, and a thread registers
 * with a flavor once.
 */
static json_t *chain_run(const struct bench_options *options)
{
	urcu_memb_register_thread();
	json_t *result = run_registered(options);

	urcu_memb_unregister_thread();
	return result;
}

/* Three digits or so: enough to compare, and narrow. */
static const char *short_number(double value, char text[16])
{
	if (value < 10)
		snprintf(text, 16, "%.2f", value);
	else if (value < 100)
		snprintf(text, 16, "%.1f", value);
	else if (value < 10000)
		snprintf(text, 16, "%.0f", value);
	else
		snprintf(text, 16, "%.0fk", value / 1000);
	return text;
}

static void print_cell(FILE *out, const json_t *figures, const char *what)
{
	char text[64] = "-", middle[16], low[16], high[16];
	double median, min, max;

	if (figures &&
	    !json_unpack((json_t *)figures, "{s:{s:f, s:f, s:f}}", what, "median", &median, "min", &min, "max", &max))
		snprintf(text, sizeof(text), "%s (%s-%s)", short_number(median, middle), short_number(min, low),
			 short_number(max, high));
	fprintf(out, " %17s", text);
}

static const char *const columns[] = { "limit", "loop", "rmap", "descriptor", "lfht" };

#define COLUMNS (sizeof(columns) / sizeof(columns[0]))
#define RATIOS 2 /* the first of them that is worth a ratio */

static void print_cases(const json_t *list, FILE *out, const char *title, const char *what, size_t first)
{
	size_t i;
	json_t *entry;

	fprintf(out, "%-15s", title);
	for (size_t k = first; k < COLUMNS; k++)
		fprintf(out, " %17s", columns[k]);
	fprintf(out, "\n");
	json_array_foreach(list, i, entry)
	{
		const json_t *contenders = json_object_get(entry, "contenders");

		fprintf(out, "%-6s %8lld", json_string_value(json_object_get(entry, "case")),
			(long long)json_integer_value(json_object_get(entry, "n")));
		for (size_t k = first; k < COLUMNS; k++)
			print_cell(out, json_object_get(contenders, columns[k]), what);
		fprintf(out, "\n");
	}
	fprintf(out, "\n");
}

static void print_bytes(const json_t *list, FILE *out)
{
	static const char *const holders[] = { "rmap", "descriptor", "lfht" };
	size_t i;
	json_t *entry;

	fprintf(out, "%-16s %14s %14s %14s\n", "bytes a mapping", holders[0], holders[1], holders[2]);
	json_array_foreach(list, i, entry)
	{
		const json_t *contenders = json_object_get(entry, "contenders");

		if (strcmp(json_string_value(json_object_get(entry, "case")), "pair") != 0)
			continue;
		fprintf(out, "after pairs at%8lld", (long long)json_integer_value(json_object_get(entry, "n")));
		for (size_t k = 0; k < sizeof(holders) / sizeof(holders[0]); k++) {
			const json_t *figures = json_object_get(contenders, holders[k]);

			fprintf(out, k ? " %14.2f" : " %8.2f", json_real_value(json_object_get(figures, "bytes")));
		}
		fprintf(out, "\n");
	}
}

static void print_memory(const json_t *memory, FILE *out)
{
	double average, worst, published, descriptor, tier, cluster, cluster_worst;
	json_int_t worst_n;
	int one, two, three;

	json_unpack((json_t *)memory, "{s:{s:f, s:f, s:I}, s:[i, i, i], s:{s:f, s:f, s:f}, s:{s:f, s:f}}", "sweep",
		    "average", &average, "worst", &worst, "worst_n", &worst_n, "small", &one, &two, &three,
		    "distribution", "rmap", &published, "descriptor", &descriptor, "tier", &tier, "clusters", "average",
		    &cluster, "worst", &cluster_worst);
	fprintf(out, "growing, n = 14..10^6:     average %.2f, worst %.2f (at n = %lld)\n", average, worst,
		(long long)worst_n);
	fprintf(out, "a page with 1, 2, 3:       %d, %d, %d bytes\n", one, two, three);
	fprintf(out, "published distribution:    %.2f (descriptors %.2f); %.2f with what the pool holds besides\n",
		published, descriptor, tier);
	fprintf(out, "clusters of 16, full:      average %.3f, worst %.3f bytes a pte\n\n", cluster, cluster_worst);
}

static void chain_print(const json_t *report, FILE *out)
{
	const json_t *list = json_object_get(report, "cases"), *targets = json_object_get(report, "targets");
	size_t i;
	json_t *target;

	fprintf(out, "Medians of %d interleaved rounds, with the least and the greatest.\npair: %s; walk: %s;\n",
		(int)json_integer_value(json_object_get(report, "repeat")),
		json_string_value(json_object_get(report, "pair")), json_string_value(json_object_get(report, "walk")));
	fprintf(out, "limit: the same loop with only the read-modify-writes that must be; loop: without those.\n\n");
	print_cases(list, out, "nanoseconds", "ns", 0);
	print_cases(list, out, "times the limit", "ratio", RATIOS);
	print_bytes(list, out);
	print_memory(json_object_get(report, "memory"), out);
	fprintf(out, "%-44s %8s %9s\n", "target", "at most", "measured");
	json_array_foreach(targets, i, target)
	{
		fprintf(out, "%-44s %8.2f %9.2f  %s\n", json_string_value(json_object_get(target, "name")),
			json_real_value(json_object_get(target, "target")),
			json_real_value(json_object_get(target, "measured")),
			json_is_true(json_object_get(target, "met")) ? "met" : "MISSED");
	}
}

const struct benchmark bench_chain = {
	.name = "chain",
	.summary = "one remove and one add, and walks, with 1 to 1000000 mappings a page",
	.run = chain_run,
	.print = chain_print,
};
