/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pages.c - what asks for the mappings of one page after another while tasks use them: compaction, and aging
 *
 * Tasks share a file, and in families of eight what their parent wrote before it forked them. So half of the pages have
 * as many mappings as there are tasks, the others eight; few of either are written.
 */
#include "lab.h"

#include <stdlib.h>

enum { TASKS, PAGES, ANONYMOUS };

#define FAMILY 8u
#define TOUCHES 32u
#define AGED 64u
#define MOVED 16u

static const struct lab_parameter parameters[] = {
	[TASKS] = { "tasks", "address spaces, in families of eight", 64, 32, 1, 1000 },
	[PAGES] = { "pages", "of the file that all share", 1024, 256, 1, 1u << 16 },
	[ANONYMOUS] = { "anonymous", "pages that a family shares", 128, 64, 1, 1u << 16 },
	{ .name = NULL },
};

static uint64_t file_vpn(uint32_t page)
{
	return VM_FIRST_VPN + page;
}

static uint64_t anonymous_vpn(const struct lab_run *run, uint32_t page)
{
	return VM_FIRST_VPN + run->values[PAGES] + 1 + page;
}

static uint32_t tasks(const struct lab_run *run)
{
	return (run->values[TASKS] + FAMILY - 1) / FAMILY * FAMILY;
}

/* Twice what is there: compaction needs frames to move to. */
static void options(const struct lab_run *run, struct vm_options *options)
{
	options->frames = 2 * (run->values[PAGES] + tasks(run) / FAMILY * run->values[ANONYMOUS]) + 64;
	options->mms = tasks(run);
	options->files = 1;
	options->file_pages = run->values[PAGES];
}

static int make_parent(const struct lab_run *run, struct vm_thread *context, uint32_t *mm)
{
	int error = vm_mm_create(context, mm);

	if (!error)
		error = vm_mmap(context, *mm, file_vpn(0), run->values[PAGES], true, 0, 0);
	if (!error)
		error = vm_mmap(context, *mm, anonymous_vpn(run, 0), run->values[ANONYMOUS], true, VM_ANONYMOUS, 0);
	for (uint32_t i = 0; i < run->values[PAGES] && !error; i++)
		error = lab_touch(context, *mm, file_vpn(i));
	for (uint32_t i = 0; i < run->values[ANONYMOUS] && !error; i++)
		error = vm_write(context, *mm, anonymous_vpn(run, i), 0, 1);
	return error;
}

static int begin(struct lab_run *run, struct vm_thread *context)
{
	uint32_t parent = 0, child;
	int error = 0;

	for (uint32_t i = 0; i < tasks(run) && !error; i++)
		error = i % FAMILY == 0 ? make_parent(run, context, &parent) : vm_fork(context, parent, &child);
	for (uint32_t i = 0; i < tasks(run) && !error; i++) {
		for (uint32_t page = 0; page < run->values[PAGES] && !error; page++)
			error = lab_touch(context, i, file_vpn(page));
	}
	return error;
}

static int touch(struct lab_thread *thread)
{
	const struct lab_run *run = thread->run;
	int error = 0;

	for (unsigned i = 0; i < TOUCHES && !error; i++) {
		uint32_t task = lab_mine(thread, tasks(run), lab_below(thread, tasks(run)));

		error = i % 2 ? lab_touch(thread->context, task, file_vpn(lab_below(thread, run->values[PAGES])))
			      : lab_touch(thread->context, task,
					  anonymous_vpn(run, lab_below(thread, run->values[ANONYMOUS])));
	}
	return error;
}

static int step_migrate(struct lab_thread *thread)
{
	int error = touch(thread);

	return error ? error : (int)vm_compact(thread->context, MOVED);
}

static int step_aging(struct lab_thread *thread)
{
	int error = touch(thread);

	return error ? error : (int)vm_age(thread->context, AGED);
}

const struct lab_workload lab_migrate = {
	.name = "migrate",
	.summary = "compaction: pages that tasks share and use get other frames",
	.operation = "a page moved, and two touches",
	.traits = VM_BACKEND_WALKS | VM_BACKEND_MIGRATES,
	.parameters = parameters,
	.options = options,
	.begin = begin,
	.step = step_migrate,
};

const struct lab_workload lab_aging = {
	.name = "aging",
	.summary = "of page after page, whether any task has used it",
	.operation = "a page looked at, and half a touch",
	.traits = VM_BACKEND_WALKS,
	.parameters = parameters,
	.options = options,
	.begin = begin,
	.step = step_aging,
};
