/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * shm.c - many tasks that attach one segment of shared memory
 *
 * Each mapping took a place in a chain in 2003, in memory that the kernel could address, and 5,000 tasks with 2 GB each
 * took 10 GB of it. Many such segments are mlocked, and then nobody reclaims their pages: the mail does not chain
 * those.
 */
#include "lab.h"

#include <errno.h>
#include <stdlib.h>

enum { TASKS, PAGES };

static const struct lab_parameter parameters[] = {
	[TASKS] = { "tasks", "that have it attached", 100, 50, 1, 2000 },
	[PAGES] = { "pages", "of the segment", 2048, 512, 1, 1u << 17 },
	{ .name = NULL },
};

/* Each thread ends tasks of its own. */
static uint32_t tasks(const struct lab_run *run)
{
	return run->values[TASKS] > run->threads ? run->values[TASKS] : run->threads;
}

static void options(const struct lab_run *run, struct vm_options *options)
{
	options->frames = run->values[PAGES] + 64;
	options->mms = tasks(run) + run->threads;
	options->files = 1;
	options->file_pages = run->values[PAGES];
}

static int attach(const struct lab_run *run, struct vm_thread *context, bool locked, uint32_t *mm)
{
	int error = vm_mm_create(context, mm);

	if (!error)
		error = vm_mmap(context, *mm, VM_FIRST_VPN, run->values[PAGES], true, 0, 0);
	if (!error && locked)
		error = vm_mlock(context, *mm, VM_FIRST_VPN, run->values[PAGES]);
	for (uint32_t i = 0; i < run->values[PAGES] && !error; i++)
		error = lab_touch(context, *mm, VM_FIRST_VPN + i);
	return error;
}

/* The state is the number of each task's mm. */
static int begin_as(struct lab_run *run, struct vm_thread *context, bool locked)
{
	uint32_t *mms = calloc(tasks(run), sizeof(*mms));
	int error = mms ? 0 : -ENOMEM;

	run->state = mms;
	for (uint32_t i = 0; i < tasks(run) && !error; i++)
		error = attach(run, context, locked, &mms[i]);
	return error;
}

static int step_as(struct lab_thread *thread, bool locked)
{
	const struct lab_run *run = thread->run;
	uint32_t *mms = run->state;
	uint32_t task = lab_mine(thread, tasks(run), thread->position++);
	int error = vm_exit(thread->context, mms[task]);

	if (!error)
		error = attach(run, thread->context, locked, &mms[task]);
	return error ? error : (int)run->values[PAGES];
}

static int begin_ordinary(struct lab_run *run, struct vm_thread *context)
{
	return begin_as(run, context, false);
}

static int begin_locked(struct lab_run *run, struct vm_thread *context)
{
	return begin_as(run, context, true);
}

static int step_ordinary(struct lab_thread *thread)
{
	return step_as(thread, false);
}

static int step_locked(struct lab_thread *thread)
{
	return step_as(thread, true);
}

static void end(struct lab_run *run)
{
	free(run->state);
}

const struct lab_workload lab_shm = {
	.name = "shm",
	.summary = "many tasks have one segment; one after the other ends, and a new one attaches it",
	.operation = "a page of a task that ends, and of its successor",
	.parameters = parameters,
	.options = options,
	.begin = begin_ordinary,
	.step = step_ordinary,
	.end = end,
};

const struct lab_workload lab_shm_mlocked = {
	.name = "shm-mlocked",
	.summary = "the same, and the segment is mlocked",
	.operation = "a page of a task that ends, and of its successor",
	.parameters = parameters,
	.options = options,
	.begin = begin_locked,
	.step = step_locked,
	.end = end,
};
