/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * procfs.c - reading the kernel's files about tasks and page tables; see procfs.h
 *
 * The maps of a task are read whole before they are parsed, for the kernel walks them under locks. Page-table entries
 * are read in stretches, which populated.c names, each from pagemap in pieces of ENTRIES.
 */
#include "procfs.h"

#include "populated.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ENTRIES 8192
/* Words of no interest that are read at most: each takes a third of what a call takes beside its words. */
#define GAP 3
/* What stat.st_ino of /proc/self/ns/pid is in the first PID namespace (the kernel's PROC_PID_INIT_INO). */
#define FIRST_PID_NAMESPACE 0xEFFFFFFCu
#define PF_KTHREAD 0x00200000u
#define KCMP_VM 1

static int open_task_file(const struct procfs *procfs, const struct task *task, const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "%s/%s", task->path, name);
	return openat(procfs->root, path, O_RDONLY | O_CLOEXEC);
}

/* ---- what fails ---- */

static bool is_gone(int error)
{
	return error == ENOENT || error == ESRCH;
}

static bool is_refused(int error)
{
	return error == EACCES || error == EPERM;
}

static enum outcome fail(const struct procfs *procfs, int error, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Note a failure, if it is the first. */
static enum outcome fail(const struct procfs *procfs, int error, const char *format, ...)
{
	int none = 0;
	va_list args;

	if (!atomic_compare_exchange_strong(&procfs->failure->error, &none, error))
		return OUTCOME_FAILED;
	va_start(args, format);
	vsnprintf(procfs->failure->what, sizeof(procfs->failure->what), format, args);
	va_end(args);
	return OUTCOME_FAILED;
}

/*
 * What it means that @name of a task could not be opened. Permission is asked for then, and never later. A process may
 * always read itself: if even that is refused, it is no matter of permission.
 */
static enum outcome open_failed(const struct procfs *procfs, const struct task *task, const char *name, int error)
{
	if (is_gone(error))
		return OUTCOME_GONE;
	if (is_refused(error) && task->pid != procfs->self)
		return OUTCOME_REFUSED;
	return fail(procfs, error, "/proc/%s/%s", task->path, name);
}

/* What it means that @name of a task could not be read on. */
static enum outcome read_failed(const struct procfs *procfs, const struct task *task, const char *name, int error)
{
	return is_gone(error) ? OUTCOME_GONE : fail(procfs, error, "/proc/%s/%s", task->path, name);
}

int procfs_status(const struct procfs *procfs)
{
	int error = refusal_of(atomic_load(&procfs->failure->error));

	if (!error)
		return STATUS_OK;
	return complain("%s: %s, so the answer would be incomplete: %s", procfs->failure->what, strerror(error),
			remedy(error));
}

/* ---- opening ---- */

static int open_kernel_file(const struct procfs *procfs, const char *name, int *out)
{
	*out = openat(procfs->root, name, O_RDONLY | O_CLOEXEC);
	if (*out >= 0)
		return STATUS_OK;
	if (errno == ENOENT)
		return complain(
			"/proc/%s is missing: this needs a kernel built with CONFIG_PROC_PAGE_MONITOR and a full /proc",
			name);
	if (errno == EACCES || errno == EPERM)
		return complain("/proc/%s may be read by root only: run this with sudo; " RECORDED, name);
	return complain("/proc/%s cannot be opened (%s): %s", name, strerror(errno), remedy(errno));
}

/*
 * Without CAP_SYS_ADMIN in the first user namespace, pagemap shows zeroes for frame numbers. A page of our own tells.
 */
static int check_frame_numbers(struct procfs *procfs)
{
	volatile char mine = 1;
	uint64_t vpn = (uint64_t)(uintptr_t)&mine >> procfs->page_shift;
	uint64_t entry = 0, flags;
	int fd = openat(procfs->root, "self/pagemap", O_RDONLY | O_CLOEXEC);
	ssize_t got;

	if (fd < 0)
		return complain("/proc/self/pagemap cannot be opened (%s): %s", strerror(errno),
				errno == ENOENT ? "this needs a kernel built with CONFIG_PROC_PAGE_MONITOR"
						: remedy(errno));
	got = pread(fd, &entry, sizeof(entry), (off_t)(vpn * sizeof(entry)));
	if (got < 0)
		fail(procfs, errno, "/proc/self/pagemap");
	populated_init(procfs, fd, vpn);
	close(fd);
	if (got < 0)
		return procfs_status(procfs);
	if (got != sizeof(entry) || !(entry & PTE_PRESENT) || !(entry & PTE_PFN))
		return complain(
			"the kernel hides frame numbers from this user: run as root with CAP_SYS_ADMIN; " RECORDED);
	/* KSM does not merge a page that was made just now, and is written. */
	entry &= PTE_PFN;
	procfs_flags(procfs, &entry, 1, &flags);
	procfs->ksm_unknown = flags & KPF_KSM;
	return STATUS_OK;
}

/* The first PID namespace is told by its number; a kernel without namespaces has no such file. */
static void look_at_namespace(struct procfs *procfs)
{
	struct stat namespace;

	if (!fstatat(procfs->root, "self/ns/pid", &namespace, 0))
		procfs->pid_namespace = namespace.st_ino != FIRST_PID_NAMESPACE;
	else if (errno != ENOENT)
		fail(procfs, errno, "/proc/self/ns/pid");
}

static void look_at_self(struct procfs *procfs)
{
	char text[32];
	ssize_t got = readlinkat(procfs->root, "self", text, sizeof(text) - 1);
	uint64_t self;

	if (got < 0 && errno != ENOENT)
		fail(procfs, errno, "/proc/self");
	text[got < 0 ? 0 : got] = '\0';
	if (parse_number(text, 1, INT32_MAX, &self))
		procfs->self = (pid_t)self;
}

int procfs_open(struct procfs *procfs)
{
	int status;

	*procfs = (struct procfs){ .root = -1, .counts = -1, .flags = -1, .mm = "/sys/kernel/mm", .threads = 1 };
	procfs->failure = zeroed(1, sizeof(*procfs->failure));
	procfs->page_shift = (unsigned)__builtin_ctzl((unsigned long)sysconf(_SC_PAGESIZE));
	procfs->root = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (procfs->root < 0)
		status = complain("/proc cannot be opened (%s): %s", strerror(errno),
				  errno == ENOENT ? "mount it with mount -t proc proc /proc" : remedy(errno));
	else
		status = open_kernel_file(procfs, "kpagecount", &procfs->counts);
	if (!status)
		status = open_kernel_file(procfs, "kpageflags", &procfs->flags);
	if (!status)
		status = check_frame_numbers(procfs);
	if (!status) {
		look_at_namespace(procfs);
		look_at_self(procfs);
		status = procfs_status(procfs);
	}
	if (status)
		procfs_close(procfs);
	return status;
}

void procfs_close(struct procfs *procfs)
{
	int *const files[] = { &procfs->root, &procfs->counts, &procfs->flags };

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		if (*files[i] >= 0)
			close(*files[i]);
		*files[i] = -1;
	}
	populated_fini(procfs);
	free(procfs->failure);
	procfs->failure = NULL;
}

/* ---- tasks ---- */

/*
 * Read a small file of a task whole; it is shorter than @size. What cannot be read at all is gone, refused, or a
 * failure.
 */
static enum outcome read_small(const struct procfs *procfs, const struct task *task, const char *name, char *text,
			       size_t size)
{
	int fd = open_task_file(procfs, task, name);
	ssize_t got;
	int error;

	if (fd < 0)
		return open_failed(procfs, task, name, errno);
	got = read(fd, text, size - 1);
	error = errno;
	close(fd);
	if (got < 0)
		return read_failed(procfs, task, name, error);
	text[got] = '\0';
	return got ? OUTCOME_READ : OUTCOME_GONE;
}

struct stat_line {
	char state;
	bool kernel_thread;
	uint64_t threads;
};

/* Fill @task from the stat file at @task->path. The comm stands in parentheses and may contain any of "() ". */
static enum outcome read_stat(const struct procfs *procfs, struct task *task, struct stat_line *line)
{
	enum outcome outcome;
	char text[1024], *field, *end, *comm;
	uint64_t value[29] = { 0 };
	size_t length;

	outcome = read_small(procfs, task, "stat", text, sizeof(text));
	if (outcome != OUTCOME_READ)
		return outcome;
	comm = strchr(text, '(');
	end = strrchr(text, ')');
	if (!comm || !end || end[1] != ' ')
		return fail(procfs, EBADMSG, "/proc/%s/stat", task->path);
	length = (size_t)(end - comm - 1);
	length = length < COMM_SIZE ? length : COMM_SIZE - 1;
	memcpy(task->comm, comm + 1, length);
	task->comm[length] = '\0';
	line->state = end[2];
	field = end + 3;
	for (int i = 4; i <= 28; i++)
		value[i] = strtoull(field, &field, 10);
	line->kernel_thread = value[9] & PF_KTHREAD;
	line->threads = value[20];
	task->start_time = value[22];
	task->resident = value[24];
	memcpy(task->layout, &value[26], sizeof(task->layout)); /* startcode, endcode, startstack */
	return OUTCOME_READ;
}

/* Open a directory below /proc; NULL if it is gone or, noted, cannot be read. */
static DIR *open_directory(const struct procfs *procfs, const char *path)
{
	int fd = openat(procfs->root, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), error;
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;

	if (dir)
		return dir;
	error = errno;
	if (fd >= 0)
		close(fd);
	if (!is_gone(error))
		fail(procfs, error, "/proc/%s", path);
	return NULL;
}

/* The next entry of a directory; NULL at its end, where it is gone, or, noted, where it cannot be read on. */
static struct dirent *next_entry(const struct procfs *procfs, DIR *dir)
{
	struct dirent *entry;

	errno = 0;
	entry = readdir(dir);
	if (!entry && errno && !is_gone(errno))
		fail(procfs, errno, "the list of processes in /proc");
	return entry;
}

/*
 * The thread that gave the process its number may have ended while others live on: its maps are empty then. Take
 * another.
 */
static bool find_living_thread(const struct procfs *procfs, struct task *task)
{
	struct dirent *entry;
	bool found = false;
	DIR *dir;

	snprintf(task->path, sizeof(task->path), "%d/task", (int)task->pid);
	dir = open_directory(procfs, task->path);
	if (!dir)
		return false;
	while (!found && (entry = next_entry(procfs, dir))) {
		struct stat_line line;
		uint64_t tid;

		if (!parse_number(entry->d_name, 1, INT32_MAX, &tid))
			continue;
		task->tid = (pid_t)tid;
		snprintf(task->path, sizeof(task->path), "%d/task/%d", (int)task->pid, (int)tid);
		found = read_stat(procfs, task, &line) == OUTCOME_READ && !strchr("ZX", line.state);
	}
	closedir(dir);
	return found;
}

/*
 * Does the process @pid own an address space? Then @task names it. Of one that may not be looked at, all that is known
 * is that it may have as many pages as the machine.
 */
static bool task_of(const struct procfs *procfs, pid_t pid, struct task *task, struct tasks *tasks)
{
	struct stat_line line;
	enum outcome outcome;

	*task = (struct task){ .pid = pid, .tid = pid };
	snprintf(task->path, sizeof(task->path), "%d", (int)pid);
	outcome = read_stat(procfs, task, &line);
	if (outcome == OUTCOME_REFUSED)
		task->resident = (uint64_t)sysconf(_SC_PHYS_PAGES);
	if (outcome != OUTCOME_READ)
		return outcome == OUTCOME_REFUSED;
	if (line.kernel_thread) {
		tasks->kernel_threads++;
		return false;
	}
	if (strchr("ZX", line.state))
		return line.threads > 1 && find_living_thread(procfs, task);
	return true;
}

static int compare_layout(const void *left, const void *right)
{
	const struct task *a = left, *b = right;
	int order = memcmp(a->layout, b->layout, sizeof(a->layout));

	return order ? order : (a->pid > b->pid) - (a->pid < b->pid);
}

static int compare_pid(const void *left, const void *right)
{
	const struct task *a = left, *b = right;

	return (a->pid > b->pid) - (a->pid < b->pid);
}

enum order { ORDER_SAME, ORDER_BELOW, ORDER_ABOVE, ORDER_LEFT_GONE, ORDER_RIGHT_GONE };

/*
 * Compare the address spaces of two tasks. The kernel refuses what may not be read; such tasks will not be read
 * either, and count as different. If it refuses even to compare us with ourselves, it is a sandbox that does.
 */
static enum order compare_spaces(const struct procfs *procfs, pid_t left, pid_t right)
{
	long order = syscall(SYS_kcmp, left, right, KCMP_VM, 0, 0);
	int error = errno;

	if (order >= 0)
		return order == 0 ? ORDER_SAME : order == 1 ? ORDER_BELOW : ORDER_ABOVE;
	if (error == ESRCH)
		return syscall(SYS_kcmp, left, left, KCMP_VM, 0, 0) < 0 && errno == ESRCH ? ORDER_LEFT_GONE
											  : ORDER_RIGHT_GONE;
	if (!is_refused(error) || syscall(SYS_kcmp, getpid(), getpid(), KCMP_VM, 0, 0) != 0)
		fail(procfs, error, "kcmp");
	return ORDER_ABOVE;
}

/* Some tasks of one layout, in the order of kcmp, each with an address space of its own. */
struct kept {
	struct task **items;
	size_t n;
};

/*
 * Find the one among @kept that has the address space of @task, or keep @task. False if @task has ended; those found
 * to have ended are taken out.
 */
static bool keep_or_find(const struct procfs *procfs, struct kept *kept, struct task *task, const struct task **same)
{
	size_t low = 0, high = kept->n;

	*same = NULL;
	while (low < high) {
		size_t middle = (low + high) / 2;

		switch (compare_spaces(procfs, task->tid, kept->items[middle]->tid)) {
		case ORDER_SAME:
			*same = kept->items[middle];
			return true;
		case ORDER_BELOW:
			high = middle;
			break;
		case ORDER_ABOVE:
			low = middle + 1;
			break;
		case ORDER_LEFT_GONE:
			return false;
		case ORDER_RIGHT_GONE:
			kept->n--;
			high--;
			memmove(&kept->items[middle], &kept->items[middle + 1],
				(kept->n - middle) * sizeof(struct task *));
			break;
		}
	}
	memmove(&kept->items[low + 1], &kept->items[low], (kept->n - low) * sizeof(struct task *));
	kept->items[low] = task;
	kept->n++;
	return true;
}

/*
 * Keep one task for each address space. Tasks of one address space have the same layout, and so have fork families,
 * so kcmp decides among the tasks of each layout; its order is total, which lets us insert into a sorted list of
 * those kept.
 */
static void leave_out_sharing(const struct procfs *procfs, struct tasks *tasks)
{
	struct task *items = tasks->items;
	struct kept kept = { .items = zeroed(tasks->n, sizeof(struct task *)) };
	const struct task *same;

	qsort(items, tasks->n, sizeof(*items), compare_layout);
	for (size_t i = 0; i < tasks->n; i++) {
		if (i && memcmp(items[i].layout, items[i - 1].layout, sizeof(items[i].layout)))
			kept.n = 0;
		if (!keep_or_find(procfs, &kept, &items[i], &same) || !same)
			continue; /* one that has ended will be found gone when it is read, and be counted */
		tasks->aliases =
			grow(tasks->aliases, &tasks->aliases_capacity, tasks->aliases_n + 1, sizeof(*tasks->aliases));
		tasks->aliases[tasks->aliases_n] = (struct alias){ .pid = items[i].pid, .owner = same->pid };
		strcpy(tasks->aliases[tasks->aliases_n++].comm, items[i].comm);
		items[i].path[0] = '\0';
	}
	free(kept.items);
}

static bool is_wanted(pid_t pid, const pid_t *only, size_t only_n)
{
	for (size_t i = 0; i < only_n; i++)
		if (only[i] == pid)
			return true;
	return !only;
}

void procfs_tasks(const struct procfs *procfs, const pid_t *only, size_t only_n, struct tasks *tasks)
{
	DIR *dir = open_directory(procfs, ".");
	struct dirent *entry;
	size_t kept = 0;

	tasks->n = tasks->kernel_threads = tasks->aliases_n = 0;
	while (dir && (entry = next_entry(procfs, dir))) {
		struct task task;
		uint64_t pid;

		if (!parse_number(entry->d_name, 1, INT32_MAX, &pid) || !is_wanted((pid_t)pid, only, only_n) ||
		    !task_of(procfs, (pid_t)pid, &task, tasks))
			continue;
		tasks->items = grow(tasks->items, &tasks->capacity, tasks->n + 1, sizeof(*tasks->items));
		tasks->items[tasks->n++] = task;
	}
	if (dir)
		closedir(dir);
	if (!tasks->n)
		return;
	leave_out_sharing(procfs, tasks);
	for (size_t i = 0; i < tasks->n; i++)
		if (tasks->items[i].path[0])
			tasks->items[kept++] = tasks->items[i];
	tasks->n = kept;
	qsort(tasks->items, kept, sizeof(*tasks->items), compare_pid);
}

void tasks_fini(struct tasks *tasks)
{
	free(tasks->items);
	free(tasks->aliases);
	*tasks = (struct tasks){ 0 };
}

/* The number of the process whose thread @task is; 0 if that cannot be told. */
static pid_t process_of(const struct procfs *procfs, const struct task *task)
{
	char text[4096], *line;

	if (read_small(procfs, task, "status", text, sizeof(text)) != OUTCOME_READ)
		return 0;
	line = strstr(text, "\nTgid:");
	return line ? (pid_t)strtol(line + strlen("\nTgid:"), NULL, 10) : 0;
}

/* Complain that process @pid has no memory, and why. */
static int no_memory(const struct procfs *procfs, pid_t pid)
{
	struct task task = { .pid = pid };
	const char *reason = "there is none of this number; name one that ps shows";
	struct stat_line line;

	snprintf(task.path, sizeof(task.path), "%d", (int)pid);
	if (read_stat(procfs, &task, &line) == OUTCOME_READ) {
		if (line.kernel_thread)
			reason = "it is a kernel thread, which has none";
		else if (strchr("ZX", line.state))
			reason = "it has ended, and only its parent has yet to take notice (a zombie)";
		else
			reason = "it is ending";
	}
	return complain("no process %d with memory of its own: %s", (int)pid, reason);
}

int procfs_check_pid(const struct procfs *procfs, pid_t pid)
{
	struct tasks ignored = { 0 };
	struct task task;
	pid_t process;

	if (!task_of(procfs, pid, &task, &ignored)) {
		int status = procfs_status(procfs);

		return status ? status : no_memory(procfs, pid);
	}
	/* Threads have their files in /proc too, though they are not listed. */
	process = process_of(procfs, &task);
	if (process && process != pid)
		return complain("%d is no process but a thread of process %d: name that one", (int)pid, (int)process);
	return procfs_status(procfs);
}

uint64_t procfs_forks(const struct procfs *procfs)
{
	char text[8192], *line;
	int fd = openat(procfs->root, "stat", O_RDONLY | O_CLOEXEC);
	size_t carried = 0;
	ssize_t got;
	int error;

	/*
	 * The line is near the end of a file that grows with CPUs and interrupts: go through it, keeping what a cut
	 * line needs.
	 */
	while (fd >= 0 && (got = read(fd, text + carried, sizeof(text) - carried - 1)) > 0) {
		size_t length = carried + (size_t)got;

		text[length] = '\0';
		line = strstr(text, "\nprocesses ");
		if (line && strchr(line + 1, '\n')) {
			close(fd);
			return strtoull(line + strlen("\nprocesses "), NULL, 10);
		}
		carried = length < 64 ? length : 64;
		memmove(text, text + length - carried, carried);
	}
	error = fd < 0 || got < 0 ? errno : EBADMSG;
	fail(procfs, error, "/proc/stat");
	if (fd >= 0)
		close(fd);
	return 0;
}

/* ---- maps ---- */

void reader_init(struct reader *reader)
{
	*reader = (struct reader){ .entries = zeroed(ENTRIES, sizeof(uint64_t)) };
}

static void reader_fini(struct reader *reader)
{
	free(reader->text);
	free(reader->lines);
	free(reader->ranges);
	free(reader->entries);
	*reader = (struct reader){ 0 };
}

void readers_free(struct reader *readers, size_t n)
{
	for (size_t i = 0; i < n; i++)
		reader_fini(&readers[i]);
	free(readers);
}

/*
 * Parse one line: first-last rwxp offset major:minor inode name. Addresses beyond user space (vsyscall) are no part
 * of a task.
 */
static bool parse_map_line(char *text, unsigned page_shift, struct map_line *line)
{
	uint64_t start, end, major;
	char *at = text;

	start = strtoull(at, &at, 16);
	if (*at++ != '-')
		return false;
	end = strtoull(at, &at, 16);
	if (*at++ != ' ' || strnlen(at, 5) < 5 || start >> 63 || start >= end)
		return false;
	line->shared = at[3] == 's';
	line->access = (at[0] == 'r' ? ACCESS_READ : 0) | (at[1] == 'w' ? ACCESS_WRITE : 0) |
		       (at[2] == 'x' ? ACCESS_EXECUTE : 0);
	line->index = strtoull(at + 5, &at, 16) >> page_shift;
	major = strtoull(at, &at, 16);
	if (*at++ != ':')
		return false;
	line->device = major << 32 | strtoull(at, &at, 16);
	line->inode = strtoull(at, &at, 10);
	line->name = at + strspn(at, " ");
	line->first = start >> page_shift;
	line->last = (end - 1) >> page_shift;
	return true;
}

enum outcome procfs_read_text(const struct procfs *procfs, const struct task *task, const char *name,
			      struct reader *reader)
{
	int fd = open_task_file(procfs, task, name);
	size_t length = 0;
	ssize_t got;
	int error;

	if (fd < 0)
		return open_failed(procfs, task, name, errno);
	for (;;) {
		reader->text = grow(reader->text, &reader->text_capacity, length + 65536, 1);
		got = read(fd, reader->text + length, reader->text_capacity - length - 1);
		if (got <= 0)
			break;
		length += (size_t)got;
	}
	error = errno;
	close(fd);
	if (got < 0)
		return read_failed(procfs, task, name, error);
	reader->text[length] = '\0';
	return length ? OUTCOME_READ : OUTCOME_GONE;
}

enum outcome procfs_list(const struct procfs *procfs, const struct task *task, const char *name,
			 void (*visit)(void *arg, const char *entry), void *arg)
{
	char path[64];
	struct dirent *entry;
	int fd, error;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/%s", task->path, name);
	fd = openat(procfs->root, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return open_failed(procfs, task, name, errno);
	dir = fdopendir(fd);
	if (!dir) {
		error = errno;
		close(fd);
		return fail(procfs, error, "/proc/%s", path);
	}
	while ((entry = next_entry(procfs, dir)))
		if (entry->d_name[0] != '.')
			visit(arg, entry->d_name);
	closedir(dir);
	return OUTCOME_READ;
}

enum outcome procfs_stat(const struct procfs *procfs, const struct task *task, const char *name, struct statx *out)
{
	char path[96];

	snprintf(path, sizeof(path), "%s/%s", task->path, name);
	if (!statx(procfs->root, path, AT_STATX_DONT_SYNC, STATX_BASIC_STATS, out))
		return OUTCOME_READ;
	if (is_gone(errno))
		return OUTCOME_GONE;
	if (errno == ENOMEM || errno == ENOSYS || errno == EINTR)
		return fail(procfs, errno, "/proc/%s", path);
	return OUTCOME_REFUSED;
}

bool procfs_is_in_memory(const struct procfs *procfs, const struct task *task, const char *name)
{
	struct statfs of = { 0 };
	char path[96];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", task->path, name);
	fd = openat(procfs->root, path, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return false;
	if (fstatfs(fd, &of))
		of.f_type = 0;
	close(fd);
	return of.f_type == TMPFS_MAGIC || of.f_type == HUGETLBFS_MAGIC;
}

enum outcome procfs_read_maps(const struct procfs *procfs, const struct task *task, struct reader *reader)
{
	enum outcome outcome = procfs_read_text(procfs, task, "maps", reader);

	reader->lines_n = 0;
	if (outcome != OUTCOME_READ)
		return outcome;
	for (char *line = reader->text, *next; *line; line = next) {
		next = strchrnul(line, '\n');
		if (*next)
			*next++ = '\0';
		reader->lines =
			grow(reader->lines, &reader->lines_capacity, reader->lines_n + 1, sizeof(*reader->lines));
		if (parse_map_line(line, procfs->page_shift, &reader->lines[reader->lines_n]))
			reader->lines_n++;
	}
	return OUTCOME_READ;
}

/* ---- page-table entries ---- */

static enum outcome read_range(const struct procfs *procfs, const struct task *task, int fd, struct page_range range,
			       uint64_t *entries, pte_visit visit, void *arg)
{
	for (uint64_t vpn = range.first; vpn <= range.last;) {
		uint64_t left = range.last - vpn + 1;
		size_t want = left < ENTRIES ? (size_t)left : ENTRIES;
		ssize_t got = pread(fd, entries, want * sizeof(*entries), (off_t)(vpn * sizeof(*entries)));

		if (got < 0)
			return read_failed(procfs, task, "pagemap", errno);
		/* Nothing at all: the task has ended, and its address space with it. */
		if ((size_t)got < sizeof(*entries))
			return OUTCOME_GONE;
		visit(arg, vpn, entries, (size_t)got / sizeof(*entries));
		vpn += (size_t)got / sizeof(*entries);
	}
	return OUTCOME_READ;
}

enum outcome procfs_read_ptes(const struct procfs *procfs, const struct task *task, struct reader *reader,
			      pte_visit visit, void *arg)
{
	enum outcome outcome = OUTCOME_READ;
	int fd;

	if (!reader->lines_n)
		return OUTCOME_READ;
	fd = open_task_file(procfs, task, "pagemap");
	if (fd < 0)
		return open_failed(procfs, task, "pagemap", errno);
	populated_find(procfs, task, fd, reader);
	for (size_t i = 0; i < reader->ranges_n && outcome == OUTCOME_READ; i++)
		outcome = read_range(procfs, task, fd, reader->ranges[i], reader->entries, visit, arg);
	close(fd);
	return outcome;
}

/* ---- the kernel's own figures ---- */

/*
 * Read words of a file below /proc, of @n neighbouring frames or pages; 0 beyond its end, or where its task has ended.
 */
static void read_stretch(const struct procfs *procfs, int fd, const char *name, uint64_t pfn, size_t n, uint64_t *out)
{
	size_t size = n * sizeof(*out), done = 0;
	ssize_t got = 1;

	while (done < size && got > 0) {
		got = pread(fd, (char *)out + done, size - done, (off_t)(pfn * sizeof(*out) + done));
		if (got > 0)
			done += (size_t)got;
	}
	if (got < 0 && !is_gone(errno))
		fail(procfs, errno, "/proc/%s", name);
	memset((char *)out + done, 0, size - done);
}

/* They are neighbours more often than not, so read them in stretches, across gaps that cost less than a call. */
static void read_frames(const struct procfs *procfs, int fd, const char *name, const uint64_t *pfns, size_t n,
			uint64_t *out)
{
	uint64_t buffer[512];

	for (size_t i = 0, next; i < n; i = next) {
		for (next = i + 1; next < n && pfns[next] - pfns[next - 1] <= GAP && pfns[next] - pfns[i] < 512;)
			next++;
		read_stretch(procfs, fd, name, pfns[i], (size_t)(pfns[next - 1] - pfns[i] + 1), buffer);
		for (size_t k = i; k < next; k++)
			out[k] = buffer[pfns[k] - pfns[i]];
	}
}

void procfs_counts(const struct procfs *procfs, const uint64_t *pfns, size_t n, uint64_t *out)
{
	read_frames(procfs, procfs->counts, "kpagecount", pfns, n, out);
}

void procfs_flags(const struct procfs *procfs, const uint64_t *pfns, size_t n, uint64_t *out)
{
	read_frames(procfs, procfs->flags, "kpageflags", pfns, n, out);
	for (size_t i = 0; i < n && procfs->ksm_unknown; i++)
		out[i] &= ~(uint64_t)KPF_KSM;
}

bool procfs_cgroups(const struct procfs *procfs, const uint64_t *pfns, size_t n, uint64_t *out)
{
	int fd = openat(procfs->root, "kpagecgroup", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return false;
	read_frames(procfs, fd, "kpagecgroup", pfns, n, out);
	close(fd);
	return true;
}

bool procfs_has_frame(const struct procfs *procfs, uint64_t pfn)
{
	uint64_t flags;
	ssize_t got = pread(procfs->flags, &flags, sizeof(flags), (off_t)(pfn * sizeof(flags)));

	if (got < 0)
		fail(procfs, errno, "/proc/kpageflags");
	return got == sizeof(flags) && !(flags & KPF_NOPAGE);
}

enum outcome procfs_read_entries(const struct procfs *procfs, const struct task *task, const uint64_t *vpns, size_t n,
				 uint64_t *entries)
{
	int fd = open_task_file(procfs, task, "pagemap");
	char name[64];

	memset(entries, 0, n * sizeof(*entries));
	if (fd < 0)
		return open_failed(procfs, task, "pagemap", errno);
	snprintf(name, sizeof(name), "%s/pagemap", task->path);
	read_frames(procfs, fd, name, vpns, n, entries);
	close(fd);
	return OUTCOME_READ;
}
