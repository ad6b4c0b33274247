/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tests.c - rmap-test 1, 2 and 3 of 2003: many vmas of one file, and memory that is too small for it
 *
 * Tasks map the same segments of one file, one vma each; so for a page as many vmas matter as there are tasks, out of
 * tasks x segments. They touch all of it, and there are frames for some of it alone, so that pages are reclaimed all
 * the time: what it costs to find a page's mappings, not to make them, was what parted the designs. A touch for which
 * no frame is to be had, for nobody's mappings could be looked for, has failed, and is no operation.
 *
 * In the first test all tasks go through a segment before the next one, as they did when each touch waited for a disk;
 * in the second each touch is of a random page by a random task; the third is one task with very many small vmas. As
 * published: 100 tasks, 100 vmas, 600 pages; and one task, 10,000 vmas, 7 pages. The sizes here, which --set changes,
 * have as many vmas and tasks, and a tenth of the pages, so that a run takes a second.
 */
#include "lab.h"

#include <stdlib.h>

enum { TASKS, VMAS, PAGES, MEMORY };

#define GAP 1u /* vpns between two vmas */
#define TOUCHES 32u

static const struct lab_parameter linear[] = {
	[TASKS] = { "tasks", "address spaces", 100, 30, 1, 1000 },
	[VMAS] = { "vmas", "of each task, one for each segment of the file", 100, 30, 1, 20000 },
	[PAGES] = { "pages", "of a segment", 60, 40, 1, 4096 },
	[MEMORY] = { "memory", "% of the file that there are frames for", 80, 80, 1, 200 },
	{ .name = NULL },
};

static const struct lab_parameter single[] = {
	[TASKS] = { "tasks", "address spaces", 1, 1, 1, 1000 },
	[VMAS] = { "vmas", "of each task, one for each segment of the file", 10000, 1000, 1, 20000 },
	[PAGES] = { "pages", "of a segment", 7, 7, 1, 4096 },
	[MEMORY] = { "memory", "% of the file that there are frames for", 80, 80, 1, 200 },
	{ .name = NULL },
};

static uint32_t file_pages(const struct lab_run *run)
{
	return run->values[VMAS] * run->values[PAGES];
}

static uint64_t segment_vpn(const struct lab_run *run, uint32_t segment)
{
	return VM_FIRST_VPN + (uint64_t)segment * (run->values[PAGES] + GAP);
}

static void options(const struct lab_run *run, struct vm_options *options)
{
	lab_one_file(options, run->values[TASKS], file_pages(run), run->values[MEMORY]);
}

/* An mm's number is its task's: they are made in order. */
static int begin(struct lab_run *run, struct vm_thread *context)
{
	int error = 0;

	for (uint32_t task = 0; task < run->values[TASKS] && !error; task++) {
		uint32_t mm;

		error = vm_mm_create(context, &mm);
		for (uint32_t segment = 0; segment < run->values[VMAS] && !error; segment++)
			error = vm_mmap(context, mm, segment_vpn(run, segment), run->values[PAGES], true, 0,
					(uint64_t)segment * run->values[PAGES]);
	}
	return error;
}

/*
 * A segment of a task: then of the next task, and when all had it the next segment. Threads that have no task of their
 * own share one, and begin far from each other; each goes through all of the file.
 */
static int step_linear(struct lab_thread *thread)
{
	const struct lab_run *run = thread->run;
	uint32_t tasks = run->values[TASKS], vmas = run->values[VMAS], threads = run->threads;
	uint32_t mine = tasks < threads ? 1 : (tasks - thread->id + threads - 1) / threads;
	uint32_t begin_at = tasks < threads ? vmas / threads * thread->id : 0;
	uint32_t task = lab_mine(thread, tasks, thread->position);
	uint32_t segment = (uint32_t)((thread->position / mine + begin_at) % vmas);
	uint64_t vpn = segment_vpn(run, segment);
	uint64_t failures = thread->failures;
	int error = 0;

	for (uint32_t i = 0; i < run->values[PAGES] && !error; i++)
		error = lab_allow(thread, lab_touch(thread->context, task, vpn + i));
	thread->position++;
	return error ? error : (int)(run->values[PAGES] - (thread->failures - failures));
}

static int step_random(struct lab_thread *thread)
{
	const struct lab_run *run = thread->run;
	uint64_t failures = thread->failures;
	int error = 0;

	for (unsigned i = 0; i < TOUCHES && !error; i++) {
		uint32_t task = lab_mine(thread, run->values[TASKS], lab_below(thread, run->values[TASKS]));
		uint64_t vpn = segment_vpn(run, lab_below(thread, run->values[VMAS]));

		error = lab_touch(thread->context, task, vpn + lab_below(thread, run->values[PAGES]));
		error = lab_allow(thread, error);
	}
	return error ? error : (int)(TOUCHES - (thread->failures - failures));
}

const struct lab_workload lab_test_1 = {
	.name = "rmap-test-1",
	.summary = "many tasks go through the same segments of a file that does not fit",
	.operation = "a touch",
	.traits = VM_BACKEND_WALKS,
	.parameters = linear,
	.options = options,
	.begin = begin,
	.step = step_linear,
};

const struct lab_workload lab_test_2 = {
	.name = "rmap-test-2",
	.summary = "the same, at random",
	.operation = "a touch",
	.traits = VM_BACKEND_WALKS,
	.parameters = linear,
	.options = options,
	.begin = begin,
	.step = step_random,
};

const struct lab_workload lab_test_3 = {
	.name = "rmap-test-3",
	.summary = "one task with very many small vmas goes through such a file",
	.operation = "a touch",
	.traits = VM_BACKEND_WALKS,
	.parameters = single,
	.options = options,
	.begin = begin,
	.step = step_linear,
};
