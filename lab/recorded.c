/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * recorded.c - a recorded system, replayed: who shared what of which file is not made up
 *
 * Each process of a recording by `rmap snapshot --save` becomes a task, with the part of each of its vmas in which
 * something was present, at the same addresses and of the same pages of the same files. It touches what it had: a page
 * of a file is read; one that was anonymous, or a private copy, is written. (Recordings do not tell who forked whom, so
 * anonymous pages begin unshared.) Then tasks fork, their children use what the parent had, and exit; and as there are
 * frames for some of it alone, pages are reclaimed, with the mappings that the recorded system had.
 *
 * The VM has room for so many processes, files, and pages of a file: what is beyond is left out.
 */
#include "lab.h"

#include <errno.h>
#include <stdlib.h>

#include "../tools/system.h"
#include "../tools/tool.h"

enum { MEMORY, TOUCHES };

#define MMS_MAX 1024u
#define FILES_MAX 512u
#define CACHE_MAX (1u << 21) /* pages of all files together, most of which nobody touches */
#define FRAMES_MAX (1u << 20)
#define VPN_MAX ((uint64_t)1 << 36)

static const struct lab_parameter parameters[] = {
	[MEMORY] = { "memory", "% of the recorded pages that there are frames for", 80, 80, 1, 200 },
	[TOUCHES] = { "touches", "of a child, and then of its parent", 64, 64, 1, 100000 },
	{ .name = NULL },
};

/*
 * The part of a vma that is replayed. @file: the VM's number, or VM_ANONYMOUS; @offset: as if the file began at its
 * base
 */
struct part {
	uint64_t first, last;
	uint64_t offset;
	uint32_t file;
	bool shared;
};

/* A pte. */
struct place {
	uint64_t vpn;
	bool written;
};

struct task_plan {
	struct part *parts;
	size_t parts_n, parts_capacity;
	struct place *places;
	size_t places_n, places_capacity;
};

/*
 * @numbers: the VM's file number of a recorded one, plus 1; 0: none yet
 * @bases:   the first page of each file that is replayed, by the VM's number
 * @distinct: pages, as each file's and each anonymous one counts once
 */
struct plan {
	struct task_plan *tasks;
	uint32_t tasks_n;
	uint32_t *numbers;
	uint64_t bases[FILES_MAX];
	uint32_t files_n;
	uint32_t file_pages;
	uint64_t distinct;
};

static int compare_keys(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* --- planning ----------------------------------------------------------------------------------- */

static bool is_of_file(const struct process *process, const struct extent *extent, uint64_t i)
{
	return (process->ptes[extent->first + i] & PTE_FILE) && process->vmas[extent->vma].file;
}

static uint64_t vma_page(const struct vma *vma, uint64_t vpn)
{
	return vma->index + (vpn - vma->first);
}

/* Which files there are, and from which page on; those that there is no room for have no number. */
static void plan_file(struct plan *plan, const struct process *process, const struct extent *extent)
{
	const struct vma *vma = &process->vmas[extent->vma];
	uint64_t page = vma_page(vma, extent->vpn);

	if (!vma->file)
		return;
	if (!plan->numbers[vma->file]) {
		if (plan->files_n == FILES_MAX)
			return;
		plan->bases[plan->files_n++] = page;
		plan->numbers[vma->file] = plan->files_n;
	}
	uint32_t number = plan->numbers[vma->file] - 1;

	if (page < plan->bases[number])
		plan->bases[number] = page;
}

static bool has_place(const struct extent *extent)
{
	return extent->vma != NO_VMA && extent->vpn >= VM_FIRST_VPN && extent->vpn + extent->n < VPN_MAX;
}

static void plan_files(struct plan *plan, const struct system *system)
{
	uint64_t pages_max;

	for (uint32_t i = 0; i < plan->tasks_n; i++) {
		const struct process *process = &system->processes[i];

		for (size_t k = 0; k < process->extents_n; k++)
			if (has_place(&process->extents[k]))
				plan_file(plan, process, &process->extents[k]);
	}
	pages_max = CACHE_MAX / (plan->files_n ? plan->files_n : 1);
	plan->file_pages = (uint32_t)(pages_max < 1u << 17 ? pages_max : 1u << 17);
}

/* The vma's part grows to have this extent, too; a new one begins where the vma does. */
static void plan_part(struct plan *plan, struct task_plan *task, const struct process *process,
		      const struct extent *extent, uint32_t *last_vma)
{
	const struct vma *vma = &process->vmas[extent->vma];
	uint64_t last = extent->vpn + extent->n - 1;
	struct part part = { .first = extent->vpn, .last = last, .file = VM_ANONYMOUS, .shared = vma->shared };

	if (*last_vma == extent->vma) {
		task->parts[task->parts_n - 1].last = last;
		return;
	}
	if (vma->file) {
		part.file = plan->numbers[vma->file] - 1;
		part.offset = vma_page(vma, extent->vpn) - plan->bases[part.file];
	}
	task->parts = grow(task->parts, &task->parts_capacity, task->parts_n + 1, sizeof(*task->parts));
	task->parts[task->parts_n++] = part;
	*last_vma = extent->vma;
}

static bool fits(const struct plan *plan, const struct process *process, const struct extent *extent)
{
	const struct vma *vma = &process->vmas[extent->vma];

	if (!has_place(extent))
		return false;
	if (!vma->file)
		return true;
	return plan->numbers[vma->file] &&
	       vma_page(vma, extent->vpn + extent->n) - plan->bases[plan->numbers[vma->file] - 1] <= plan->file_pages;
}

/*
 * What is shared memory without a file's name is anonymous here. Keys of files' pages are collected to be counted once.
 */
static void plan_task(struct plan *plan, struct task_plan *task, const struct process *process, uint64_t **keys,
		      size_t *keys_n, size_t *keys_capacity)
{
	uint32_t last_vma = NO_VMA;

	for (size_t k = 0; k < process->extents_n; k++) {
		const struct extent *extent = &process->extents[k];

		if (!has_place(extent) || !fits(plan, process, extent))
			continue;
		plan_part(plan, task, process, extent, &last_vma);
		task->places =
			grow(task->places, &task->places_capacity, task->places_n + extent->n, sizeof(*task->places));
		*keys = grow(*keys, keys_capacity, *keys_n + extent->n, sizeof(**keys));
		for (uint64_t i = 0; i < extent->n; i++) {
			bool of_file = is_of_file(process, extent, i);
			const struct vma *vma = &process->vmas[extent->vma];

			task->places[task->places_n++] = (struct place){ extent->vpn + i, !of_file };
			if (of_file)
				(*keys)[(*keys_n)++] = (uint64_t)vma->file << 40 | vma_page(vma, extent->vpn + i);
			else
				plan->distinct++;
		}
	}
}

static void plan_end(struct plan *plan)
{
	for (uint32_t i = 0; plan->tasks && i < plan->tasks_n; i++) {
		free(plan->tasks[i].parts);
		free(plan->tasks[i].places);
	}
	free(plan->tasks);
	free(plan->numbers);
	free(plan);
}

static struct plan *plan_make(const struct system *system)
{
	struct plan *plan = zeroed(1, sizeof(*plan));
	uint64_t *keys = NULL;
	size_t keys_n = 0, keys_capacity = 0;

	plan->tasks_n = (uint32_t)(system->processes_n < MMS_MAX ? system->processes_n : MMS_MAX);
	plan->tasks = zeroed(plan->tasks_n ? plan->tasks_n : 1, sizeof(*plan->tasks));
	plan->numbers = zeroed(system->names.files_n + 1, sizeof(*plan->numbers));
	plan_files(plan, system);
	for (uint32_t i = 0; i < plan->tasks_n; i++)
		plan_task(plan, &plan->tasks[i], &system->processes[i], &keys, &keys_n, &keys_capacity);
	if (keys_n)
		qsort(keys, keys_n, sizeof(*keys), compare_keys);
	for (size_t i = 0; i < keys_n; i++)
		plan->distinct += i == 0 || keys[i] != keys[i - 1];
	free(keys);
	return plan;
}

/* --- the workload ------------------------------------------------------------------------------- */

static void options(const struct lab_run *run, struct vm_options *options)
{
	struct plan *plan = plan_make(run->options->recording);
	uint64_t frames = plan->distinct * run->values[MEMORY] / 100;

	if (frames > FRAMES_MAX)
		frames = FRAMES_MAX;
	options->frames = frames > 64 ? (uint32_t)frames : 64;
	options->mms = plan->tasks_n + 2 * run->threads;
	options->files = plan->files_n ? plan->files_n : 1;
	options->file_pages = plan->file_pages;
	/* All that is anonymous, and what children write: each swapped out. */
	options->swap_slots = (uint32_t)(plan->distinct < FRAMES_MAX / 2 ? 2 * plan->distinct + 64 : FRAMES_MAX);
	plan_end(plan);
}

static int touch(struct vm_thread *context, uint32_t mm, const struct place *place)
{
	return place->written ? vm_write(context, mm, place->vpn, 0, 1) : lab_touch(context, mm, place->vpn);
}

static int make_task(struct vm_thread *context, const struct task_plan *task)
{
	uint32_t mm;
	int error = vm_mm_create(context, &mm);

	for (size_t i = 0; i < task->parts_n && !error; i++) {
		const struct part *part = &task->parts[i];
		uint64_t n = part->last - part->first + 1;

		error = part->shared || part->file == VM_ANONYMOUS
				? vm_mmap(context, mm, part->first, n, true, part->file, part->offset)
				: vm_mmap_private(context, mm, part->first, n, true, part->file, part->offset);
	}
	for (size_t i = 0; i < task->places_n && !error; i++)
		error = touch(context, mm, &task->places[i]);
	return error;
}

static int begin(struct lab_run *run, struct vm_thread *context)
{
	struct plan *plan = plan_make(run->options->recording);
	int error = 0;

	run->state = plan;
	for (uint32_t i = 0; i < plan->tasks_n && !error; i++)
		error = make_task(context, &plan->tasks[i]);
	return error;
}

static int use(struct lab_thread *thread, uint32_t mm, const struct task_plan *task)
{
	int error = 0;

	for (uint32_t i = 0; i < thread->run->values[TOUCHES] && !error && task->places_n; i++)
		error = lab_allow(
			thread, touch(thread->context, mm, &task->places[lab_below(thread, (uint32_t)task->places_n)]));
	return error;
}

static int step(struct lab_thread *thread)
{
	const struct plan *plan = thread->run->state;
	uint32_t number = lab_mine(thread, plan->tasks_n, lab_below(thread, plan->tasks_n)), child;
	const struct task_plan *task = &plan->tasks[number];
	int error = vm_fork(thread->context, number, &child);

	if (!error)
		error = use(thread, child, task);
	if (!error)
		error = vm_exit(thread->context, child);
	if (!error)
		error = use(thread, number, task);
	return error ? error : 1;
}

static void end(struct lab_run *run)
{
	if (run->state)
		plan_end(run->state);
}

const struct lab_workload lab_recorded = {
	.name = "recorded",
	.summary =
		"tasks of a recorded system (--from) fork, children use what those had, and exit; pages are reclaimed",
	.operation = "a child, and as many touches of its parent",
	.traits = VM_BACKEND_WALKS,
	.records = true,
	.parameters = parameters,
	.options = options,
	.begin = begin,
	.step = step,
	.end = end,
};
