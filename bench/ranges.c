/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ranges.c - `rmap bench ranges`: updates and stabs of an object with 10 to 10^5 ranges
 *
 * Ranges lie in groups that cover the same 16 indexes, so that a stab finds one group: of 1, 10 or 100 ranges; updates
 * are of groups of 10. What an update has changed, the next one finds: a range is detached and another attached, moved
 * on, or split and put together again (a split, a detach and a resize). librmap frees old versions after grace
 * periods, in liburcu's helper thread: that is waited for between batches, and not counted, as is what frees hold a
 * caller back.
 */
#include <stdlib.h>
#include <string.h>

#include "ranges.h"

#define KINDS 2
#define LANES (KINDS + 1) /* and where a list of changes may be made, rmap again, by one update */
#define GROUP_OF_UPDATES 10
#define WIDTH 16u
#define SHIFT 12u
#define EXITS 200u
#define STABS 64u

static const struct ranges_index *const kinds[LANES] = { &ranges_interval, &ranges_rmap, &ranges_rmap };
static const char *const names[LANES] = { "interval", "rmap", "rmap-list" };

/* An index and what is in it. @group: how many ranges cover one index. @lists: what can be one update is. */
struct lane {
	const struct ranges_index *kind;
	void *index;
	struct rmap_range *ranges;
	size_t n, group;
	bool lists;
	uint64_t random;
	uint64_t owner;
	uint64_t sum;
	int failed;
	double samples[BENCH_ROUNDS_MAX], p99[BENCH_ROUNDS_MAX];
};

static uint64_t xorshift(uint64_t *random)
{
	*random ^= *random << 13;
	*random ^= *random >> 7;
	*random ^= *random << 17;
	return *random >> 16;
}

static struct rmap_range fresh_range(struct lane *lane, size_t group)
{
	return (struct rmap_range){ .first = group * WIDTH,
				    .last = group * WIDTH + WIDTH - 1,
				    .address = (uint64_t)group << (SHIFT + 4),
				    .owner = ++lane->owner,
				    .page_shift = SHIFT };
}

static int lane_open(struct lane *lane, const struct ranges_index *kind, const struct bench_row *row, size_t n,
		     size_t group)
{
	*lane = (struct lane){ .kind = kind, .group = group, .random = 0x9e3779b97f4a7c15u };
	if (ranges_check(kind))
		return -1;
	lane->index = kind->open();
	lane->ranges = calloc(n, sizeof(*lane->ranges));
	if (!lane->index || !lane->ranges)
		return bench_failed(kind->name, row, "there is no memory for it");
	for (; lane->n < n; lane->n++) {
		lane->ranges[lane->n] = fresh_range(lane, lane->n / group);
		if (kind->attach(lane->index, &lane->ranges[lane->n]))
			return bench_failed(kind->name, row, "a range cannot be attached");
	}
	return 0;
}

static int lane_close(struct lane *lane, const struct bench_row *row)
{
	int error = lane->failed;

	for (size_t i = 0; lane->ranges && i < lane->n; i++)
		error |= lane->kind->detach(lane->index, &lane->ranges[i]);
	if (lane->index)
		error |= lane->kind->close(lane->index);
	free(lane->ranges);
	return error ? bench_failed(lane->kind->name, row, "it lost a range, or an update failed") : 0;
}

static struct rmap_range *pick(struct lane *lane)
{
	return &lane->ranges[xorshift(&lane->random) % lane->n];
}

static void replace(struct lane *lane)
{
	struct rmap_range *range = pick(lane);

	lane->failed |= lane->kind->detach(lane->index, range);
	*range = fresh_range(lane, xorshift(&lane->random) % ((lane->n + lane->group - 1) / lane->group));
	lane->failed |= lane->kind->attach(lane->index, range);
}

static double run_replace(void *state, size_t units)
{
	while (units--)
		replace(state);
	return 0;
}

static double run_move(void *state, size_t units)
{
	struct lane *lane = state;

	while (units--) {
		struct rmap_range *range = pick(lane);
		uint64_t address = range->address + (1u << SHIFT);

		lane->failed |= lane->kind->move(lane->index, range, address);
		range->address = address;
	}
	return 0;
}

static double run_split(void *state, size_t units)
{
	struct lane *lane = state;

	while (units--) {
		struct rmap_range *range = pick(lane), left = *range, right = *range;

		right.first = range->first + WIDTH / 2;
		right.address = rmap_range_address(range, right.first);
		left.last = right.first - 1;
		lane->failed |= lane->kind->split(lane->index, range, right.first);
		lane->failed |= lane->kind->detach(lane->index, &right);
		lane->failed |= lane->kind->resize(lane->index, &left, range->first, range->last);
	}
	return 0;
}

/* @units: exits of a process with EXITS ranges; that they are attached again does not count. */
static double run_exit(void *state, size_t units)
{
	struct lane *lane = state;
	size_t exits = lane->n < EXITS ? lane->n : EXITS;
	uint64_t counted = 0;

	while (units--) {
		size_t first = xorshift(&lane->random) % (lane->n - exits + 1);
		uint64_t began = bench_work_now();

		if (lane->lists)
			lane->failed |= lane->kind->detach_all(lane->index, &lane->ranges[first], exits);
		for (size_t i = 0; i < exits && !lane->lists; i++)
			lane->failed |= lane->kind->detach(lane->index, &lane->ranges[first + i]);
		counted += bench_work_now() - began;
		for (size_t i = 0; i < exits; i++)
			lane->failed |= lane->kind->attach(lane->index, &lane->ranges[first + i]);
	}
	return (double)counted / (double)exits;
}

static double run_stab(void *state, size_t units)
{
	struct lane *lane = state;
	size_t groups = lane->n / lane->group;
	uint64_t at[STABS];

	while (units) {
		size_t n = units < STABS ? units : STABS;

		for (size_t i = 0; i < n; i++)
			at[i] = xorshift(&lane->random) % (groups * WIDTH);
		if (lane->kind->stabs(lane->index, at, n, &lane->sum) != n * lane->group)
			lane->failed = 1;
		units -= n;
	}
	return 0;
}

static void settle(void *state)
{
	struct lane *lane = state;

	lane->kind->settle(lane->index);
}

static struct lane *lanes_open(const struct bench_row *row, size_t lanes_n, size_t n, size_t group, int *error)
{
	struct lane *lanes = calloc(LANES, sizeof(*lanes));

	*error = lanes ? 0 : bench_failed("the harness", row, "there is no memory for it");
	for (size_t i = 0; i < lanes_n && !*error; i++) {
		*error = lane_open(&lanes[i], kinds[i], row, n, group);
		lanes[i].lists = i >= KINDS;
	}
	return lanes;
}

static int lanes_close(struct lane *lanes, const struct bench_row *row)
{
	int error = 0;

	for (size_t i = 0; lanes && i < LANES; i++) {
		if (lanes[i].kind)
			error |= lane_close(&lanes[i], row);
	}
	free(lanes);
	return error;
}

/* A row of one thread. */
static int measure_row(const struct bench_row *row, const struct bench_budget *budget, json_t *report, size_t group,
		       double (*run)(void *state, size_t units))
{
	size_t n = bench_size(row->n) / group * group, lanes_n = run == run_exit ? LANES : KINDS;
	struct bench_contender contenders[LANES];
	int error;
	struct lane *lanes = lanes_open(row, lanes_n, n, group, &error);

	if (!error) {
		for (size_t i = 0; i < lanes_n; i++)
			contenders[i] = (struct bench_contender){ run, settle, &lanes[i], lanes[i].samples };
		bench_measure(contenders, lanes_n, budget->seconds / (double)lanes_n / budget->repeat, budget->repeat);
		for (size_t i = 0; i < lanes_n; i++) {
			bench_report(report, row, names[i], row->unit, lanes[i].samples, budget->repeat);
			if (run == run_replace)
				bench_report_one(report, row, names[i], "bytes a range",
						 (double)kinds[i]->bytes(lanes[i].index) / (double)n);
		}
	}
	return error | lanes_close(lanes, row);
}

static int replace_row(const struct bench_row *row, const struct bench_budget *budget, json_t *report)
{
	return measure_row(row, budget, report, GROUP_OF_UPDATES, run_replace);
}

static int move_row(const struct bench_row *row, const struct bench_budget *budget, json_t *report)
{
	return measure_row(row, budget, report, GROUP_OF_UPDATES, run_move);
}

static int split_row(const struct bench_row *row, const struct bench_budget *budget, json_t *report)
{
	return measure_row(row, budget, report, GROUP_OF_UPDATES, run_split);
}

static int exit_row(const struct bench_row *row, const struct bench_budget *budget, json_t *report)
{
	return measure_row(row, budget, report, GROUP_OF_UPDATES, run_exit);
}

static int stab_row(const struct bench_row *row, const struct bench_budget *budget, json_t *report)
{
	return measure_row(row, budget, report, *(const size_t *)row->arg, run_stab);
}

/* Two threads: lanes[0 .. threads - 1], each with its own ranges, in one index or in several. */
struct shared {
	struct lane *lanes;
	double rates[BENCH_THREADS_MAX];
	struct bench_histogram stabs;
};

static void work_replace(void *arg, unsigned number, struct bench_team *team)
{
	struct shared *shared = arg;
	uint64_t done = 0;

	bench_team_begin(team);
	uint64_t began = bench_work_now();

	for (; !bench_team_stopped(team); done++)
		replace(&shared->lanes[number]);
	shared->rates[number] = (double)done * 1e3 / (double)(bench_work_now() - began);
}

/* Number 0 replaces ranges, number 1 stabs, a section of stabs at a time. */
static void work_stab(void *arg, unsigned number, struct bench_team *team)
{
	struct shared *shared = arg;
	struct lane *lane = &shared->lanes[0];
	uint64_t at[RANGES_SECTION], random = 1, sum = 0;

	if (number == 0) {
		work_replace(arg, number, team);
		return;
	}
	bench_team_begin(team);
	while (!bench_team_stopped(team)) {
		for (size_t i = 0; i < RANGES_SECTION; i++)
			at[i] = xorshift(&random) % (lane->n / lane->group * WIDTH);
		uint64_t began = bench_now();

		lane->kind->stabs(lane->index, at, RANGES_SECTION, &sum);
		bench_histogram_add(&shared->stabs, (bench_now() - began) / RANGES_SECTION);
	}
}

/* @apart: an index for each thread; otherwise one, of which each thread replaces a part of the ranges. */
static struct lane *shared_open(const struct ranges_index *kind, const struct bench_row *row, unsigned threads,
				bool apart, int *error)
{
	struct lane *lanes = calloc(threads, sizeof(*lanes));
	size_t n = bench_size(row->n) / GROUP_OF_UPDATES * GROUP_OF_UPDATES;

	*error = lanes ? 0 : bench_failed(kind->name, row, "there is no memory for it");
	for (unsigned i = 0; i < threads && !*error; i++) {
		void *index = i && !apart ? lanes[0].index : NULL;

		if (!index) {
			*error = lane_open(&lanes[i], kind, row, n, GROUP_OF_UPDATES);
			continue;
		}
		lanes[i] = (struct lane){ .kind = kind,
					  .index = index,
					  .group = GROUP_OF_UPDATES,
					  .random = i + 1,
					  .owner = (uint64_t)i << 32 };
		lanes[i].ranges = calloc(n, sizeof(*lanes[i].ranges));
		for (; lanes[i].ranges && lanes[i].n < n && !*error; lanes[i].n++) {
			lanes[i].ranges[lanes[i].n] = fresh_range(&lanes[i], lanes[i].n / GROUP_OF_UPDATES);
			*error = kind->attach(index, &lanes[i].ranges[lanes[i].n]);
		}
		if (!lanes[i].ranges || *error)
			*error = bench_failed(kind->name, row, "there is no memory for it");
	}
	return lanes;
}

static int shared_close(struct lane *lanes, const struct bench_row *row, unsigned threads, bool apart)
{
	int error = 0;

	for (unsigned i = threads; lanes && i-- > 0;) {
		struct lane *lane = &lanes[i];

		if (i && !apart) {
			for (size_t k = 0; lane->ranges && k < lane->n; k++)
				lane->failed |= lane->kind->detach(lane->index, &lane->ranges[k]);
			lanes[0].failed |= lane->failed;
			free(lane->ranges);
		} else if (lane->kind) {
			error |= lane_close(lane, row);
		}
	}
	free(lanes);
	return error;
}

/* One sample of one kind: M/s of updates, or (@stabs) nanoseconds of a stab. */
static int shared_round(struct lane *lanes, unsigned threads, double seconds, bool stabs, double *sample, double *p99)
{
	struct shared *shared = calloc(1, sizeof(*shared));
	double delayed = -1;

	*sample = 0;
	if (shared) {
		shared->lanes = lanes;
		delayed = bench_team_run(threads, seconds, stabs ? work_stab : work_replace, shared);
		for (unsigned i = 0; i < threads; i++)
			*sample += shared->rates[i];
		if (stabs) {
			*sample = bench_histogram_at(&shared->stabs, 0.5);
			*p99 = bench_histogram_at(&shared->stabs, 0.99);
		}
		lanes[0].kind->settle(lanes[0].index);
	}
	free(shared);
	return delayed < 0 ? -1 : 0;
}

static int shared_row(const struct bench_row *row, const struct bench_budget *budget, json_t *report)
{
	bool apart = !strcmp(row->name, "apart"), stabs = !strcmp(row->name, "stab-beside");
	unsigned threads = stabs ? 2 : budget->options->threads;
	double samples[KINDS][BENCH_ROUNDS_MAX], p99[KINDS][BENCH_ROUNDS_MAX];
	double seconds = budget->seconds / KINDS / budget->repeat;
	struct lane *lanes[KINDS] = { NULL };
	int error = 0;

	for (size_t i = 0; i < KINDS && !error; i++)
		lanes[i] = shared_open(kinds[i], row, stabs ? 1 : threads, apart, &error);
	for (unsigned round = 0; round < budget->repeat && !error; round++) {
		for (size_t i = 0; i < KINDS && !error; i++) {
			size_t which = (i + round) % KINDS;

			error = shared_round(lanes[which], threads, seconds > 0.002 ? seconds : 0.002, stabs,
					     &samples[which][round], &p99[which][round]);
			if (error)
				bench_failed(kinds[which]->name, row, "so many threads cannot be had");
		}
	}
	for (size_t i = 0; i < KINDS; i++) {
		if (!error)
			bench_report(report, row, kinds[i]->name, row->unit, samples[i], budget->repeat);
		if (!error && stabs)
			bench_report(report, row, kinds[i]->name, "p99", p99[i], budget->repeat);
		error |= shared_close(lanes[i], row, stabs ? 1 : threads, apart);
	}
	return error;
}

static const size_t one = 1, ten = 10, hundred = 100;

static const struct bench_row rows[] = {
	{ "attach-detach", 10, "ns", false, replace_row, NULL },
	{ "attach-detach", 1000, "ns", false, replace_row, NULL },
	{ "attach-detach", 100000, "ns", true, replace_row, NULL },
	{ "move", 10, "ns", false, move_row, NULL },
	{ "move", 1000, "ns", false, move_row, NULL },
	{ "move", 100000, "ns", true, move_row, NULL },
	{ "split", 10, "ns", false, split_row, NULL },
	{ "split", 1000, "ns", false, split_row, NULL },
	{ "split", 100000, "ns", true, split_row, NULL },
	{ "exit", 1000, "ns", false, exit_row, NULL },
	{ "exit", 100000, "ns", true, exit_row, NULL },
	{ "stab-1", 10, "ns", false, stab_row, &one },
	{ "stab-1", 1000, "ns", false, stab_row, &one },
	{ "stab-1", 100000, "ns", true, stab_row, &one },
	{ "stab-10", 10, "ns", false, stab_row, &ten },
	{ "stab-10", 1000, "ns", false, stab_row, &ten },
	{ "stab-10", 100000, "ns", true, stab_row, &ten },
	{ "stab-100", 1000, "ns", false, stab_row, &hundred },
	{ "stab-100", 100000, "ns", true, stab_row, &hundred },
	{ "apart", 1000, "M/s", false, shared_row, NULL },
	{ "together", 1000, "M/s", false, shared_row, NULL },
	{ "stab-beside", 1000, "ns", false, shared_row, NULL },
};

static const char *const one_by_one[] = { "rmap", NULL };

static const struct bench_target targets[] = {
	{ "attach + detach among 1,000, x revision 2725a32", "attach-detach", 1000, 1000, "rmap", "ns", NULL, false,
	  0.1, "scripts/compare 2725a32" },
	{ "exit of 200 ranges in one update, x single detaches", "exit", 1000, 100000, "rmap-list", "ns", one_by_one,
	  false, 0.3, NULL },
};

const struct benchmark bench_ranges = {
	.name = "ranges",
	.summary = "the ranges of one object, 10 to 100000 of them: updates and stabs",
	.legend =
		"attach-detach: a range goes and another comes; move: one gets another address; split: one is split\n"
		"and put together again, three updates; exit: 200 ranges go, a range (rmap-list: in one update);\n"
		"stab-K: a query that K ranges answer;\n"
		"apart, together: attach-detach by several threads, on an object each or on one, with n ranges each;\n"
		"stab-beside: a stab of 10, while another thread attaches and detaches.\n"
		"interval: an interval tree under a reader-writer lock.\n",
	.rows = rows,
	.rows_n = sizeof(rows) / sizeof(rows[0]),
	.targets = targets,
	.targets_n = sizeof(targets) / sizeof(targets[0]),
};
