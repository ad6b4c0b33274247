/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * scan.c - reading the running system's page tables; see scan.h
 *
 * Threads take tasks one by one, the largest first so that none is left with a large one at the end; our own comes
 * last, for what we have read of the others changes it. Each thread keeps its buffers from task to task, and they are
 * kept until the comparison is done: freed, they would be pages of our own that are gone when they are compared.
 */
#include "scan.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

struct scan {
	const struct procfs *procfs;
	const struct tasks *tasks;
	size_t *order;
	atomic_size_t next;
	atomic_uint_fast64_t done; /* ptes that were read, of about as many as there are resident pages */
	uint64_t total;
	struct progress progress;
	struct reader *readers; /* of each thread */

	/* Either keep everything here ... */
	struct system *system;
	pthread_mutex_t names_lock;
	/* ... or hand it on. */
	scan_visit visit;
	void *arg;
};

/* One task while one thread reads it. */
struct scan_task {
	struct scan *scan;
	struct process *process;
	unsigned thread;
	size_t number;
	size_t vma; /* see process_add_pte() */
};

static void keep_swapped(struct scan_task *task, uint64_t vpn, uint64_t slot)
{
	if (system_has_slot(task->scan->system, slot))
		process_add_swapped(task->process, &task->vma, vpn, slot);
}

static void keep_pte(struct scan_task *task, uint64_t vpn, uint64_t entry)
{
	if (system_has_pfn(task->scan->system, entry & PTE_PFN))
		process_add_pte(task->process, &task->vma, vpn, entry);
}

/* Both ways go through here, so that reading again cannot agree with the kernel where the first reading went wrong. */
static void take_ptes(void *arg, uint64_t vpn, const uint64_t *entries, size_t n)
{
	struct scan_task *task = arg;
	struct scan *scan = task->scan;
	uint64_t taken = 0;

	for (size_t i = 0; i < n; i++) {
		if (scan->system && pte_is_swapped(entries[i]) && !(SWAP_OFFSET(entries[i]) >> SLOT_AREA_SHIFT))
			keep_swapped(task, vpn + i,
				     (uint64_t)SWAP_TYPE(entries[i]) << SLOT_AREA_SHIFT | SWAP_OFFSET(entries[i]));
		if (!(entries[i] & PTE_PRESENT) || (entries[i] & PTE_PFN) > PFN_MAX)
			continue;
		taken++;
		if (scan->system)
			keep_pte(task, vpn + i, entries[i]);
		else
			scan->visit(scan->arg, task->thread, task->number, vpn + i, entries[i]);
	}
	progress_show(&scan->progress, atomic_fetch_add(&scan->done, taken) + taken, scan->total);
}

/* ---- keeping ---- */

static void keep_vmas(struct scan *scan, struct process *process, const struct reader *reader)
{
	struct names *names = &scan->system->names;

	pthread_mutex_lock(&scan->names_lock);
	for (size_t i = 0; i < reader->lines_n; i++) {
		const struct map_line *line = &reader->lines[i];
		struct vma vma = { .first = line->first,
				   .last = line->last,
				   .index = line->index,
				   .shared = line->shared,
				   .access = line->access };
		const struct vma *before = process->vmas_n ? &process->vmas[process->vmas_n - 1] : NULL;

		/* The kernel hands out maps a page at a time: what changed between two pages may seem to overlap. */
		if (before && vma.first <= before->last)
			continue;
		vma.name = names_string(names, line->name);
		vma.file = names_file(names, line->device, line->inode, vma.name);
		process_add_vma(process, &vma);
	}
	pthread_mutex_unlock(&scan->names_lock);
}

static void keep_task(struct scan *scan, unsigned thread, size_t number, struct reader *reader)
{
	struct process *process = &scan->system->processes[number];
	struct scan_task task = { .scan = scan, .process = process, .thread = thread, .number = number };

	process->task = scan->tasks->items[number];
	process->outcome = procfs_read_maps(scan->procfs, &process->task, reader);
	if (process->outcome != OUTCOME_READ)
		return;
	keep_vmas(scan, process, reader);
	process->outcome = procfs_read_ptes(scan->procfs, &process->task, reader, take_ptes, &task);
}

/* ---- handing on ---- */

static void hand_on_task(struct scan *scan, unsigned thread, size_t number, struct reader *reader)
{
	const struct task *task = &scan->tasks->items[number];
	struct scan_task scan_task = { .scan = scan, .thread = thread, .number = number };

	if (procfs_read_maps(scan->procfs, task, reader) == OUTCOME_READ)
		procfs_read_ptes(scan->procfs, task, reader, take_ptes, &scan_task);
}

/* ---- the threads ---- */

static void scan_thread(void *arg, unsigned thread)
{
	struct scan *scan = arg;
	struct reader *reader = &scan->readers[thread];
	size_t at;

	reader_init(reader);
	while (!procfs_has_failed(scan->procfs) && (at = atomic_fetch_add(&scan->next, 1)) < scan->tasks->n) {
		size_t number = scan->order[at];

		if (scan->system)
			keep_task(scan, thread, number, reader);
		else
			hand_on_task(scan, thread, number, reader);
	}
}

static int compare_resident(const void *left, const void *right, void *arg)
{
	const struct scan *scan = arg;
	const struct task *a = &scan->tasks->items[*(const size_t *)left];
	const struct task *b = &scan->tasks->items[*(const size_t *)right];
	bool a_is_us = a->pid == scan->procfs->self, b_is_us = b->pid == scan->procfs->self;

	if (a_is_us != b_is_us)
		return a_is_us - b_is_us;
	return (a->resident < b->resident) - (a->resident > b->resident);
}

static unsigned run_scan(struct scan *scan, unsigned threads, const char *what)
{
	unsigned started;

	scan->readers = zeroed(threads, sizeof(*scan->readers));
	scan->order = zeroed(scan->tasks->n, sizeof(*scan->order));
	for (size_t i = 0; i < scan->tasks->n; i++) {
		scan->order[i] = i;
		scan->total += scan->tasks->items[i].resident;
	}
	qsort_r(scan->order, scan->tasks->n, sizeof(*scan->order), compare_resident, scan);
	pthread_mutex_init(&scan->names_lock, NULL);
	progress_begin(&scan->progress, what);
	started = team_run(threads, scan_thread, scan);
	progress_end(&scan->progress);
	pthread_mutex_destroy(&scan->names_lock);
	free(scan->order);
	return started;
}

unsigned scan_again(const struct procfs *procfs, const struct tasks *tasks, unsigned threads, const char *what,
		    scan_visit visit, void *arg)
{
	struct scan scan = { .procfs = procfs, .tasks = tasks, .visit = visit, .arg = arg };
	unsigned started = run_scan(&scan, threads, what);

	readers_free(scan.readers, threads);
	return started;
}

static int check_pids(const struct procfs *procfs, const pid_t *pids, size_t pids_n)
{
	int status = STATUS_OK;

	for (size_t i = 0; i < pids_n && !status; i++)
		status = procfs_check_pid(procfs, pids[i]);
	return status;
}

/* Forget the processes that could not be read, and count them. */
static void drop_unread(struct system *system)
{
	size_t kept = 0;

	for (size_t i = 0; i < system->processes_n; i++) {
		struct process *process = &system->processes[i];

		if (process->outcome == OUTCOME_READ) {
			system->processes[kept++] = *process;
			continue;
		}
		if (process->outcome == OUTCOME_REFUSED) {
			system->refused++;
			system->refused_pages += process->task.resident;
		} else {
			system->gone++;
		}
		process_fini(process);
	}
	system->processes_n = kept;
}

int scan_system(struct system *system, const struct procfs *procfs, const pid_t *pids, size_t pids_n, unsigned threads)
{
	struct tasks tasks = { 0 };
	struct scan scan = { .procfs = procfs, .tasks = &tasks, .system = system };
	struct utsname uts = { .release = "unknown", .machine = "unknown" };
	int status;

	uname(&uts);
	snprintf(system->release, sizeof(system->release), "%s", uts.release);
	snprintf(system->machine, sizeof(system->machine), "%s", uts.machine);
	system->time = (uint64_t)time(NULL);
	system->page_shift = procfs->page_shift;
	system->partial = pids;
	system->pid_namespace = procfs->pid_namespace;
	system->ksm_unknown = procfs->ksm_unknown;
	system->has_access = true;
	procfs_tasks(procfs, pids, pids_n, &tasks);
	system->kernel_threads = tasks.kernel_threads;
	system->sharing = tasks.aliases_n;
	system->aliases = tasks.aliases;
	tasks.aliases = NULL;
	status = check_pids(procfs, pids, pids_n);
	if (!status) {
		system->processes = zeroed(tasks.n, sizeof(*system->processes));
		system->processes_n = tasks.n;
		run_scan(&scan, threads, "reading");
		system->readers = scan.readers;
		system->readers_n = threads;
		drop_unread(system);
		status = procfs_status(procfs);
		if (!status && !system->processes_n)
			status = complain("none of the processes %s can be read: they have ended, or this user may "
					  "not read them",
					  pids ? "named" : "in /proc");
	}
	tasks_fini(&tasks);
	return status;
}
