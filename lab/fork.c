/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fork.c - a shell's children: fork, use some of it, exit
 *
 * Libraries are files of four vmas each, as a linker lays them out: three are only read, the fourth is written, so its
 * pages become private copies. Beside them is anonymous memory, a heap and a stack. Other tasks, which have the same
 * libraries, do nothing: but they are why a library's page has many mappings.
 */
#include "lab.h"

#include <stdlib.h>

enum { VMAS, PAGES, OTHERS, READS, WRITES };

#define VMAS_A_FILE 4u
#define ANONYMOUS_PAGES 128u

static const struct lab_parameter parameters[] = {
	[VMAS] = { "vmas", "of libraries, four for each", 200, 200, VMAS_A_FILE, 2000 },
	[PAGES] = { "pages", "of a vma", 8, 8, 1, 512 },
	[OTHERS] = { "others", "tasks that have the same libraries", 60, 30, 0, 1000 },
	[READS] = { "reads", "of a child, of libraries", 200, 200, 0, 1000000 },
	[WRITES] = { "writes", "of a child, a fourth of them to libraries", 64, 64, 0, 1000000 },
	{ .name = NULL },
};

static uint64_t vma_vpn(const struct lab_run *run, uint32_t vma)
{
	return VM_FIRST_VPN + ANONYMOUS_PAGES + 1 + (uint64_t)vma * (run->values[PAGES] + 1);
}

static bool is_written(uint32_t vma)
{
	return vma % VMAS_A_FILE == VMAS_A_FILE - 1;
}

static void options(const struct lab_run *run, struct vm_options *options)
{
	uint32_t libraries = run->values[VMAS] / VMAS_A_FILE;
	uint32_t pages = run->values[VMAS] * run->values[PAGES];

	options->mms = run->values[OTHERS] + 2 * run->threads;
	options->files = libraries;
	options->file_pages = VMAS_A_FILE * run->values[PAGES];
	/* Cache, and each task's copies and anonymous memory; and a child's. */
	options->frames =
		2 * pages + (run->values[OTHERS] + 2 * run->threads) * (pages / VMAS_A_FILE + ANONYMOUS_PAGES + 1);
	options->frames += run->threads * run->values[WRITES];
}

static int use_all(const struct lab_run *run, struct vm_thread *context, uint32_t mm)
{
	int error = 0;

	for (uint32_t i = 0; i < ANONYMOUS_PAGES && !error; i++)
		error = vm_write(context, mm, VM_FIRST_VPN + i, 0, 1);
	for (uint32_t vma = 0; vma < run->values[VMAS] / VMAS_A_FILE * VMAS_A_FILE; vma++) {
		for (uint32_t i = 0; i < run->values[PAGES] && !error; i++)
			error = is_written(vma) ? vm_write(context, mm, vma_vpn(run, vma) + i, 0, 1)
						: lab_touch(context, mm, vma_vpn(run, vma) + i);
	}
	return error;
}

static int make_task(const struct lab_run *run, struct vm_thread *context)
{
	uint32_t libraries = run->values[VMAS] / VMAS_A_FILE, mm;
	int error = vm_mm_create(context, &mm);

	if (!error)
		error = vm_mmap(context, mm, VM_FIRST_VPN, ANONYMOUS_PAGES, true, VM_ANONYMOUS, 0);
	for (uint32_t vma = 0; vma < libraries * VMAS_A_FILE && !error; vma++)
		error = vm_mmap_private(context, mm, vma_vpn(run, vma), run->values[PAGES], is_written(vma),
					vma / VMAS_A_FILE, (uint64_t)(vma % VMAS_A_FILE) * run->values[PAGES]);
	return error ? error : use_all(run, context, mm);
}

/* The first mms are the shells, one for each thread. */
static int begin(struct lab_run *run, struct vm_thread *context)
{
	int error = 0;

	for (uint32_t i = 0; i < run->threads + run->values[OTHERS] && !error; i++)
		error = make_task(run, context);
	return error;
}

static uint64_t any_page(struct lab_thread *thread, bool written)
{
	const struct lab_run *run = thread->run;
	uint32_t vma = lab_below(thread, run->values[VMAS] / VMAS_A_FILE) * VMAS_A_FILE;

	vma += written ? VMAS_A_FILE - 1 : lab_below(thread, VMAS_A_FILE - 1);
	return vma_vpn(run, vma) + lab_below(thread, run->values[PAGES]);
}

static int live(struct lab_thread *thread, uint32_t child)
{
	const struct lab_run *run = thread->run;
	int error = 0;

	for (uint32_t i = 0; i < run->values[READS] && !error; i++)
		error = lab_touch(thread->context, child, any_page(thread, false));
	for (uint32_t i = 0; i < run->values[WRITES] && !error; i++)
		error = vm_write(thread->context, child,
				 i % 4 ? VM_FIRST_VPN + lab_below(thread, ANONYMOUS_PAGES) : any_page(thread, true), 0,
				 i);
	return error;
}

static int step(struct lab_thread *thread)
{
	uint32_t child;
	int error = vm_fork(thread->context, thread->id, &child);

	if (!error)
		error = live(thread, child);
	if (!error)
		error = vm_exit(thread->context, child);
	return error ? error : 1;
}

const struct lab_workload lab_fork = {
	.name = "fork",
	.summary = "a shell's children, over the libraries that many tasks have: fork, use some, exit",
	.operation = "a child",
	.parameters = parameters,
	.options = options,
	.begin = begin,
	.step = step,
};
