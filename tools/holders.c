/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * holders.c - who has the files that some processes map or have open; see holders.h
 *
 *   1. files      those that the processes map, by /proc/PID/map_files, and those without a name that they have open
 *   2. mappings   of others, as maps said when the system was read
 *   3. fds        of others, as they are now; looked for if there is a file whose end depends on it
 *
 * Where maps and stat tell different devices for one file (btrfs, overlay), mappings are told by what maps says and
 * descriptors by what stat says. Files that are open only are looked for in maps, too: those are of tmpfs and
 * hugetlbfs, where both say the same.
 */
#include "holders.h"

#include "fds.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SHM_REMOVED 01000

struct finding {
	struct holders *holders;
	const struct system *system;
	const struct procfs *procfs;
	const struct chosen *chosen;
	bool inside;
};

static struct held_file *find_file(const struct holders *holders, uint64_t device, uint64_t inode)
{
	for (size_t i = 1; i < holders->n; i++)
		if (holders->files[i].inode == inode && holders->files[i].device == device)
			return &holders->files[i];
	return NULL;
}

static struct held_file *add_file(struct holders *holders, const struct held_file *file)
{
	holders->files = grow(holders->files, &holders->capacity, holders->n + 1, sizeof(*holders->files));
	holders->files[holders->n] = *file;
	return &holders->files[holders->n++];
}

/* ---- System V ---- */

enum segment { SEGMENT_STAYS, SEGMENT_REMOVED, SEGMENT_UNKNOWN };

/* The segment whose number is @inode, as this IPC namespace has it. */
static enum segment find_segment(const struct system *system, const struct procfs *procfs, uint64_t inode)
{
	const struct task here = { .path = "sysvipc" };
	struct reader *reader = &system->readers[0];

	if (procfs_read_text(procfs, &here, "shm", reader) != OUTCOME_READ)
		return SEGMENT_UNKNOWN;
	for (char *line = reader->text; *line; line = strchrnul(line, '\n'), line += *line == '\n') {
		uint64_t number;
		unsigned mode;

		if (sscanf(line, "%*d %" SCNu64 " %o", &number, &mode) == 2 && number == inode)
			return mode & SHM_REMOVED ? SEGMENT_REMOVED : SEGMENT_STAYS;
	}
	return SEGMENT_UNKNOWN;
}

/* ---- files ---- */

static void describe(const struct finding *finding, const struct task *task, const char *link, const struct statx *stat,
		     struct held_file *file)
{
	file->device = statx_device(stat);
	file->inode = stat->stx_ino;
	file->linked = stat->stx_nlink > 0;
	file->known = true;
	if (!file->linked && procfs_is_in_memory(finding->procfs, task, link))
		file->bytes = stat->stx_blocks * 512;
}

static void add_mapped(struct finding *finding, const struct process *process, const struct vma *vma)
{
	const struct system *system = finding->system;
	struct held_file file = { .name = system->names.strings[vma->name] }, *known = NULL;
	enum segment segment = SEGMENT_REMOVED;
	struct statx stat;
	char link[64];

	snprintf(link, sizeof(link), "map_files/%" PRIx64 "-%" PRIx64, vma->first << system->page_shift,
		 (vma->last + 1) << system->page_shift);
	if (procfs_stat(finding->procfs, &process->task, link, &stat) == OUTCOME_READ) {
		describe(finding, &process->task, link, &stat, &file);
		if (!strncmp(file.name, "/SYSV", 5) && !file.linked)
			segment = find_segment(system, finding->procfs, file.inode);
		file.linked |= segment == SEGMENT_STAYS;
		file.known = segment != SEGMENT_UNKNOWN;
		known = find_file(finding->holders, file.device, file.inode);
	}
	if (!known)
		known = add_file(finding->holders, &file);
	finding->holders->numbers[vma->file] = (uint32_t)(known - finding->holders->files);
}

static void add_open(struct finding *finding, const struct task *task, const char *link, const struct statx *stat)
{
	struct held_file file = { .known = true };

	if (!S_ISREG(stat->stx_mode) || stat->stx_nlink ||
	    find_file(finding->holders, statx_device(stat), stat->stx_ino))
		return;
	describe(finding, task, link, stat, &file);
	if (file.bytes)
		add_file(finding->holders, &file);
}

/* ---- who else ---- */

static void note_holder(struct held_file *file, pid_t pid)
{
	if (!file->holder || pid < file->holder)
		file->holder = pid;
}

static void look_at_fd(void *arg, const struct task *task, const char *link, const struct statx *stat)
{
	struct finding *finding = arg;
	struct held_file *file;

	if (finding->inside) {
		add_open(finding, task, link, stat);
		return;
	}
	file = find_file(finding->holders, statx_device(stat), stat->stx_ino);
	if (file)
		note_holder(file, task->pid);
}

static void look_at_fds(struct finding *finding, const struct task *task)
{
	finding->holders->unreadable += !fds_visit(finding->procfs, task, look_at_fd, finding);
}

static void look_inside(struct finding *finding)
{
	const struct system *system = finding->system;

	finding->inside = true;
	for (size_t i = 0; i < system->processes_n; i++) {
		const struct process *process = &system->processes[i];

		for (size_t k = 0; finding->chosen->is_in[i] && k < process->vmas_n; k++)
			if (process->vmas[k].file && !finding->holders->numbers[process->vmas[k].file])
				add_mapped(finding, process, &process->vmas[k]);
		if (finding->chosen->is_in[i])
			look_at_fds(finding, &process->task);
	}
	finding->inside = false;
}

static void look_at_mappings(struct finding *finding)
{
	const struct system *system = finding->system;
	struct holders *holders = finding->holders;
	bool *others = zeroed(system->names.files_n, sizeof(*others));
	pid_t *holder = zeroed(system->names.files_n, sizeof(*holder));

	for (size_t i = system->processes_n; i-- > 0;)
		for (size_t k = 0; !finding->chosen->is_in[i] && k < system->processes[i].vmas_n; k++) {
			others[system->processes[i].vmas[k].file] = true;
			holder[system->processes[i].vmas[k].file] = system->processes[i].task.pid;
		}
	for (size_t i = 1; i < system->names.files_n; i++) {
		if (!others[i])
			continue;
		for (size_t k = 1; k < holders->n; k++)
			if (holders->numbers[i] == k || (holders->files[k].inode == system->names.files[i].inode &&
							 holders->files[k].device == system->names.files[i].device))
				note_holder(&holders->files[k], holder[i]);
	}
	free(others);
	free(holder);
}

/* Is @pid one of those chosen, or has it the memory of one of them? */
static bool is_inside(const struct finding *finding, pid_t pid)
{
	const struct process *process = system_process(finding->system, (uint64_t)pid);

	return process && finding->chosen->is_in[process - finding->system->processes];
}

/* The processes of now: more of them may have it than when the system was read. */
static void look_outside(void *arg, const struct task *task)
{
	if (!is_inside(arg, task->pid))
		look_at_fds(arg, task);
}

static bool is_open_question(const struct held_file *file)
{
	return file->known && !file->linked && !file->holder;
}

int holders_find(struct holders *holders, const struct system *system, const struct procfs *procfs,
		 const struct chosen *chosen)
{
	struct finding finding = { .holders = holders, .system = system, .procfs = procfs, .chosen = chosen };
	bool question = false;

	*holders = (struct holders){ .numbers = zeroed(system->names.files_n, sizeof(uint32_t)) };
	add_file(holders, &(struct held_file){ .known = false });
	look_inside(&finding);
	look_at_mappings(&finding);
	for (size_t i = 1; i < holders->n; i++)
		question |= is_open_question(&holders->files[i]);
	if (question)
		fds_each_process(procfs, look_outside, &finding);
	for (size_t i = 0; i < holders->n; i++) {
		struct held_file *file = &holders->files[i];
		bool sure = file->known && !holders->unreadable && !system->pid_namespace && !system->refused;

		file->end = file->linked || file->holder ? END_STAYS : sure ? END_FREED : END_UNKNOWN;
	}
	return procfs_status(procfs);
}

void holders_fini(struct holders *holders)
{
	free(holders->files);
	free(holders->numbers);
	*holders = (struct holders){ 0 };
}
