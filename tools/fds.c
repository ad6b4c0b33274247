/* SPDX-License-Identifier: BSD-2-Clause */
#include "fds.h"

#include <string.h>

struct visiting {
	const struct procfs *procfs;
	const struct task *task;
	fd_visit visit;
	void *arg;
	bool refused;
};

static void look_at(void *arg, const char *entry)
{
	struct visiting *visiting = arg;
	struct statx stat;
	char link[32];
	enum outcome outcome;

	snprintf(link, sizeof(link), "fd/%.20s", entry);
	outcome = procfs_stat(visiting->procfs, visiting->task, link, &stat);
	visiting->refused |= outcome == OUTCOME_REFUSED;
	if (outcome == OUTCOME_READ)
		visiting->visit(visiting->arg, visiting->task, link, &stat);
}

bool fds_visit(const struct procfs *procfs, const struct task *task, fd_visit visit, void *arg)
{
	struct visiting visiting = { .procfs = procfs, .task = task, .visit = visit, .arg = arg };

	return procfs_list(procfs, task, "fd", look_at, &visiting) != OUTCOME_REFUSED && !visiting.refused;
}

void fds_each_process(const struct procfs *procfs, void (*visit)(void *arg, const struct task *task), void *arg)
{
	struct tasks tasks = { 0 };

	procfs_tasks(procfs, NULL, 0, &tasks);
	for (size_t i = 0; i < tasks.n; i++)
		visit(arg, &tasks.items[i]);
	for (size_t i = 0; i < tasks.aliases_n; i++) {
		struct task task = { .pid = tasks.aliases[i].pid };

		snprintf(task.path, sizeof(task.path), "%d", (int)task.pid);
		memcpy(task.comm, tasks.aliases[i].comm, sizeof(task.comm));
		visit(arg, &task);
	}
	tasks_fini(&tasks);
}
