/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * tool_json.c - check what `rmap snapshot --json` says, and print the part of it that is always the same
 *
 *      rmap snapshot --json | tool_json
 *
 * Every field that scripts may rely on must be there with its type, and the figures must fit each other. What is then
 * printed is all but "seconds", "processor", "threads" and what the chains take, with sorted keys, so that two reports
 * of one system can be compared as text.
 */
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

static int failures;

static void expect(bool right, const char *what)
{
	if (right)
		return;
	fprintf(stderr, "tool_json: this should hold: %s\n", what);
	failures++;
}

static json_int_t integer(const json_t *object, const char *name)
{
	const json_t *field = json_object_get(object, name);

	if (!json_is_integer(field) || json_integer_value(field) < 0) {
		fprintf(stderr, "tool_json: \"%s\" is no natural number\n", name);
		failures++;
		return 0;
	}
	return json_integer_value(field);
}

static void check_histogram(const json_t *report)
{
	const json_t *histogram = json_object_get(report, "histogram"), *bucket;
	json_int_t pages = 0, least = 0, most = 0, above = 0;
	size_t i;

	expect(json_array_size(histogram) > 0, "histogram has buckets");
	json_array_foreach(histogram, i, bucket)
	{
		json_int_t n = integer(bucket, "pages"), min = integer(bucket, "min"), max = integer(bucket, "max");

		expect(min > above && max >= min, "buckets are in order and do not overlap");
		above = max;
		pages += n;
		least += n * min;
		most += n * max;
	}
	expect(pages == integer(report, "pages"), "histogram pages = pages");
	expect(least <= integer(report, "mappings") && integer(report, "mappings") <= most,
	       "mappings lie between what the buckets allow");
}

static void check_bytes(const json_t *report)
{
	const json_t *bytes = json_object_get(report, "bytes");
	json_int_t pages = integer(report, "pages"), mappings = integer(report, "mappings");

	expect(integer(bytes, "rmap") >= 8 * pages, "rmap takes a word a page at least");
	expect(integer(bytes, "rmap") <= 8 * pages + 40 * integer(report, "chained"),
	       "rmap's chains are not larger than they may be");
	expect(integer(bytes, "pte_chain") >= 8 * pages, "a pte_chain takes a word a page at least");
	expect(integer(bytes, "kvm") >= 8 * pages, "KVM takes a word a page at least");
	expect(integer(bytes, "xnu_arm64") >= 8 * pages, "XNU takes a word a page at least");
	expect(integer(bytes, "freebsd") >= 16 * pages + 24 * mappings,
	       "FreeBSD takes a list head a page and an entry a mapping");
}

static void check_seconds(const json_t *report, const char *of)
{
	static const char *const names[] = { "scan", "build", "verify" };
	const json_t *seconds = json_object_get(report, of);

	for (int i = 0; i < 3; i++)
		expect(json_is_real(json_object_get(seconds, names[i])) &&
			       json_real_value(json_object_get(seconds, names[i])) >= 0,
		       "seconds are numbers");
}

int main(void)
{
	json_error_t error;
	json_t *report = json_loadf(stdin, 0, &error);
	const json_t *verified = json_object_get(report, "verified");

	if (!report) {
		fprintf(stderr, "tool_json: no JSON: %s in line %d\n", error.text, error.line);
		return 1;
	}
	expect(integer(report, "processes") > 0 && integer(report, "pages") > 0, "there are processes and pages");
	expect(integer(report, "linear") + integer(report, "direct") + integer(report, "chained") ==
		       integer(report, "mappings"),
	       "linear + direct + chained = mappings");
	expect(integer(verified, "pages") == integer(report, "pages"), "all pages are verified");
	expect(integer(verified, "matched") + integer(verified, "changed") + integer(verified, "mismatched") ==
		       integer(verified, "pages"),
	       "matched + changed + mismatched = verified pages");
	expect(integer(verified, "exclusive") <= integer(verified, "matched"),
	       "what pagemap calls exclusive is part of what matched");
	check_histogram(report);
	check_bytes(report);
	check_seconds(report, "seconds");
	check_seconds(report, "processor");
	json_object_del(report, "seconds");
	json_object_del(report, "processor");
	json_object_del(report, "threads");
	/* In which order mappings come to a page decides how its chain grows. */
	json_object_del(json_object_get(report, "bytes"), "rmap");
	json_dumpf(report, stdout, JSON_INDENT(1) | JSON_SORT_KEYS);
	putchar('\n');
	json_decref(report);
	return failures ? 1 : 0;
}
