/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * truncate.c - holes and ends of a file that tasks are using, partly out of order
 *
 * Each task maps the file twice: as it is, and out of order, by remap_file_pages() of single pages. What a truncate
 * does not find it leaves, mapped still: those are counted, and so are truncates that say so. Truncates are failable
 * ones: of some designs nothing else is to be had.
 */
#include "lab.h"

#include <errno.h>
#include <stdlib.h>

enum { TASKS, PAGES, HOLE, TOUCHES };

#define PUNCHES_A_CUT 16u /* so many holes, and then an end */

static const struct lab_parameter parameters[] = {
	[TASKS] = { "tasks", "address spaces", 16, 16, 1, 1000 },
	[PAGES] = { "pages", "of the file", 2048, 512, 64, 1u << 17 },
	[HOLE] = { "hole", "pages of one", 8, 8, 1, 64 },
	[TOUCHES] = { "touches", "between two holes", 48, 48, 1, 100000 },
	{ .name = NULL },
};

static uint64_t ordered_vpn(uint32_t page)
{
	return VM_FIRST_VPN + page;
}

static uint64_t mixed_vpn(const struct lab_run *run, uint32_t page)
{
	return VM_FIRST_VPN + run->values[PAGES] + 1 + page;
}

static void options(const struct lab_run *run, struct vm_options *options)
{
	options->frames = 2 * run->values[PAGES]; /* what is left behind needs some, too */
	options->mms = run->values[TASKS];
	options->files = 1;
	options->file_pages = run->values[PAGES];
}

static int begin(struct lab_run *run, struct vm_thread *context)
{
	uint32_t n = run->values[PAGES];
	int error = 0;

	for (uint32_t task = 0; task < run->values[TASKS] && !error; task++) {
		uint32_t mm;

		error = vm_mm_create(context, &mm);
		if (!error)
			error = vm_mmap(context, mm, ordered_vpn(0), n, true, 0, 0);
		if (!error)
			error = vm_mmap(context, mm, mixed_vpn(run, 0), n, true, 0, 0);
		for (uint32_t i = 0; i < n && !error; i++)
			error = lab_touch(context, mm, ordered_vpn(i));
	}
	return error;
}

/* Beyond an end there is nothing for the moment, and then nothing to be read. */
static int touch_some(struct lab_thread *thread)
{
	const struct lab_run *run = thread->run;
	uint32_t task = lab_mine(thread, run->values[TASKS], lab_below(thread, run->values[TASKS]));
	uint32_t page = lab_below(thread, run->values[PAGES]);
	uint64_t vpn = ordered_vpn(page);
	int error = 0;

	if (lab_below(thread, 4) == 0) {
		vpn = mixed_vpn(run, page);
		error = vm_remap_file_pages(thread->context, task, vpn, 1, lab_below(thread, run->values[PAGES]));
	}
	if (!error)
		error = lab_touch(thread->context, task, vpn);
	return error == -ENXIO ? 0 : lab_allow(thread, error);
}

static int cut(struct lab_thread *thread)
{
	uint32_t n = thread->run->values[PAGES];
	int error = lab_allow(thread, vm_truncate(thread->context, 0, n / 2 + lab_below(thread, n / 2)));

	return error ? error : lab_allow(thread, vm_truncate(thread->context, 0, n));
}

static int punch(struct lab_thread *thread)
{
	const struct lab_run *run = thread->run;
	uint32_t hole = run->values[HOLE], first = lab_below(thread, run->values[PAGES] - hole + 1);

	return lab_allow(thread, vm_punch(thread->context, 0, first, first + hole - 1));
}

static int step(struct lab_thread *thread)
{
	int error = 0;

	for (uint32_t i = 0; i < thread->run->values[TOUCHES] && !error; i++)
		error = touch_some(thread);
	if (!error)
		error = ++thread->position % PUNCHES_A_CUT ? punch(thread) : cut(thread);
	return error ? error : 1;
}

const struct lab_workload lab_truncate = {
	.name = "truncate",
	.summary = "holes and ends of a file that tasks are using, a fourth of it out of order",
	.operation = "a hole or an end, and the touches before it",
	.traits = VM_BACKEND_WALKS,
	.parameters = parameters,
	.options = options,
	.begin = begin,
	.step = step,
};
