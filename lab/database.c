/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * database.c - a file larger than address spaces were: tasks that move small windows over it by remap_file_pages()
 *
 * It is what the call was made for. Hardly any page is where its vma says; the mail is about who maps such a page. In
 * the first workload the file fits into memory, and nobody asks that; in the second it does not. In the third a page is
 * mapped by as many as 16 ptes, as with page clustering.
 */
#include "lab.h"

#include <stdlib.h>

enum { TASKS, WINDOWS, WINDOW, PAGES, MEMORY, BITS };

#define WINDOW_FULL 4u

static const struct lab_parameter fits[] = {
	[TASKS] = { "tasks", "address spaces", 16, 8, 1, 1000 },
	[WINDOWS] = { "windows", "of each task", 512, 256, 1, 65536 },
	[WINDOW] = { "window", "ptes of one", WINDOW_FULL, WINDOW_FULL, 1, 64 },
	[PAGES] = { "pages", "of the file; at least all of a task's windows", 8192, 2048, 64, 1u << 17 },
	[MEMORY] = { "memory", "% of the file that there are frames for", 110, 110, 1, 200 },
	[BITS] = { "bits", "log2 of the ptes of a page", 0, 0, 0, 4 },
	{ .name = NULL },
};

static const struct lab_parameter tight[] = {
	[TASKS] = { "tasks", "address spaces", 16, 8, 1, 1000 },
	[WINDOWS] = { "windows", "of each task", 512, 256, 1, 65536 },
	[WINDOW] = { "window", "ptes of one", WINDOW_FULL, WINDOW_FULL, 1, 64 },
	[PAGES] = { "pages", "of the file; at least all of a task's windows", 8192, 2048, 64, 1u << 17 },
	[MEMORY] = { "memory", "% of the file that there are frames for", 50, 50, 1, 200 },
	[BITS] = { "bits", "log2 of the ptes of a page", 0, 0, 0, 4 },
	{ .name = NULL },
};

static const struct lab_parameter clusters[] = {
	[TASKS] = { "tasks", "address spaces", 16, 8, 1, 1000 },
	[WINDOWS] = { "windows", "of each task", 512, 256, 1, 65536 },
	[WINDOW] = { "window", "ptes of one", 16, 16, 1, 64 },
	[PAGES] = { "pages", "of the file; at least all of a task's windows", 1024, 256, 64, 1u << 17 },
	[MEMORY] = { "memory", "% of the file that there are frames for", 50, 50, 1, 200 },
	[BITS] = { "bits", "log2 of the ptes of a page", 4, 4, 0, 4 },
	{ .name = NULL },
};

/* Of the vma that the windows are in: it begins linear. */
static uint32_t task_ptes(const struct lab_run *run)
{
	return run->values[WINDOWS] * run->values[WINDOW];
}

static uint32_t file_pages(const struct lab_run *run)
{
	uint32_t least = ((task_ptes(run) - 1) >> run->values[BITS]) + 1;

	return run->values[PAGES] > least ? run->values[PAGES] : least;
}

static void options(const struct lab_run *run, struct vm_options *options)
{
	lab_one_file(options, run->values[TASKS], file_pages(run), run->values[MEMORY]);
	options->cluster_bits = run->values[BITS];
}

static int begin(struct lab_run *run, struct vm_thread *context)
{
	int error = 0;

	for (uint32_t task = 0; task < run->values[TASKS] && !error; task++) {
		uint32_t mm;

		error = vm_mm_create(context, &mm);
		if (!error)
			error = vm_mmap(context, mm, VM_FIRST_VPN, task_ptes(run), true, 0, 0);
	}
	return error;
}

/* A window moves, and is read. A page's conversion that fails is told by the VM, and then the window may be read. */
static int step(struct lab_thread *thread)
{
	const struct lab_run *run = thread->run;
	uint32_t n = run->values[WINDOW];
	uint32_t task = lab_mine(thread, run->values[TASKS], lab_below(thread, run->values[TASKS]));
	uint32_t ptes = file_pages(run) << run->values[BITS];
	uint64_t vpn = VM_FIRST_VPN + (uint64_t)lab_below(thread, run->values[WINDOWS]) * n;
	int error = vm_remap_file_pages(thread->context, task, vpn, n, lab_below(thread, ptes - n + 1));

	error = lab_allow(thread, error);
	for (uint32_t i = 0; i < n && !error; i++)
		error = lab_allow(thread, lab_touch(thread->context, task, vpn + i));
	return error ? error : 1;
}

const struct lab_workload lab_database = {
	.name = "database",
	.summary = "tasks move small windows over one big file by remap_file_pages()",
	.operation = "a window moved and read",
	.parameters = fits,
	.options = options,
	.begin = begin,
	.step = step,
};

const struct lab_workload lab_database_tight = {
	.name = "database-tight",
	.summary = "the same, and half of the file fits into memory",
	.operation = "a window moved and read",
	.traits = VM_BACKEND_WALKS,
	.parameters = tight,
	.options = options,
	.begin = begin,
	.step = step,
};

const struct lab_workload lab_database_clusters = {
	.name = "database-clusters",
	.summary = "the same, and a page has as many as 16 ptes",
	.operation = "a window moved and read",
	.traits = VM_BACKEND_WALKS,
	.parameters = clusters,
	.options = options,
	.begin = begin,
	.step = step,
};
