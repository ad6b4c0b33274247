/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * procfs.c - reading the kernel's files about tasks and page tables; see procfs.h
 *
 * The maps of a task are read whole before they are parsed, for the kernel walks them under locks. Page-table entries
 * are read in stretches: PAGEMAP_SCAN names the populated ones, neighbours closer than GAP pages are joined (one read
 * costs as much as some dozens of entries), and each stretch is read from pagemap in pieces of ENTRIES.
 */
#include "procfs.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ENTRIES 8192
#define GAP 64
/* What stat.st_ino of /proc/self/ns/pid is in the first PID namespace (the kernel's PROC_PID_INIT_INO). */
#define FIRST_PID_NAMESPACE 0xEFFFFFFCu
#define PF_KTHREAD 0x00200000u
#define KCMP_VM 1

/* The kernel's <linux/fs.h> has these since 6.7; the installed headers may be older than the running kernel. */
struct scan_region {
	uint64_t start;
	uint64_t end;
	uint64_t categories;
};

struct scan_arg {
	uint64_t size;
	uint64_t flags;
	uint64_t start;
	uint64_t end;
	uint64_t walk_end;
	uint64_t vec;
	uint64_t vec_len;
	uint64_t max_pages;
	uint64_t category_inverted;
	uint64_t category_mask;
	uint64_t category_anyof_mask;
	uint64_t return_mask;
};

#define SCAN_IOCTL _IOWR('f', 16, struct scan_arg)
#define SCAN_IS_PRESENT (UINT64_C(1) << 3)
#define SCAN_REGIONS 512

static int open_task_file(const struct procfs *procfs, const struct task *task, const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "%s/%s", task->path, name);
	return openat(procfs->root, path, O_RDONLY | O_CLOEXEC);
}

static enum outcome outcome_of(int error)
{
	return error == EACCES || error == EPERM ? OUTCOME_REFUSED : OUTCOME_GONE;
}

/* Names are chosen by those who run: none shall reach a terminal as a command to it. */
static void make_printable(char *name)
{
	for (; *name; name++)
		if (iscntrl((unsigned char)*name))
			*name = '?';
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
		return complain(
			"/proc/%s may be read by root only: run this with sudo, or study a recorded system with --load",
			name);
	return complain("/proc/%s cannot be opened (%s): is /proc mounted?", name, strerror(errno));
}

/*
 * Without CAP_SYS_ADMIN in the first user namespace, pagemap shows zeroes for frame numbers. A page of our own tells.
 */
static int check_frame_numbers(struct procfs *procfs)
{
	volatile char mine = 1;
	uint64_t vpn = (uint64_t)(uintptr_t)&mine >> procfs->page_shift;
	uint64_t entry = 0;
	struct scan_arg scan = { .size = sizeof(scan),
				 .start = vpn << procfs->page_shift,
				 .end = (vpn + 1) << procfs->page_shift,
				 .category_anyof_mask = SCAN_IS_PRESENT,
				 .return_mask = SCAN_IS_PRESENT };
	struct scan_region region;
	int fd = openat(procfs->root, "self/pagemap", O_RDONLY | O_CLOEXEC);
	ssize_t got;

	if (fd < 0)
		return complain("/proc/self/pagemap cannot be opened (%s): this needs a kernel built with "
				"CONFIG_PROC_PAGE_MONITOR",
				strerror(errno));
	got = pread(fd, &entry, sizeof(entry), (off_t)(vpn * sizeof(entry)));
	scan.vec = (uint64_t)(uintptr_t)&region;
	scan.vec_len = 1;
	procfs->pagemap_scan = ioctl(fd, SCAN_IOCTL, &scan) == 1;
	close(fd);
	if (got != sizeof(entry) || !(entry & PTE_PRESENT) || !(entry & PTE_PFN))
		return complain(
			"the kernel hides frame numbers from this user: run as root with CAP_SYS_ADMIN, or use --load");
	return STATUS_OK;
}

int procfs_open(struct procfs *procfs)
{
	struct stat namespace;
	int status;

	*procfs = (struct procfs){ .root = -1, .counts = -1, .flags = -1 };
	procfs->page_shift = (unsigned)__builtin_ctzl((unsigned long)sysconf(_SC_PAGESIZE));
	procfs->root = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (procfs->root < 0)
		return complain("/proc cannot be opened (%s): mount it with mount -t proc proc /proc", strerror(errno));
	status = open_kernel_file(procfs, "kpagecount", &procfs->counts);
	if (!status)
		status = open_kernel_file(procfs, "kpageflags", &procfs->flags);
	if (!status)
		status = check_frame_numbers(procfs);
	procfs->pid_namespace =
		!fstatat(procfs->root, "self/ns/pid", &namespace, 0) && namespace.st_ino != FIRST_PID_NAMESPACE;
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
}

/* ---- tasks ---- */

/* Read a small file whole; it is shorter than @size. Returns its length, or -1. */
static ssize_t read_small(const struct procfs *procfs, const char *path, char *text, size_t size)
{
	int fd = openat(procfs->root, path, O_RDONLY | O_CLOEXEC);
	ssize_t got;

	if (fd < 0)
		return -1;
	got = read(fd, text, size - 1);
	close(fd);
	if (got >= 0)
		text[got] = '\0';
	return got;
}

struct stat_line {
	char state;
	bool kernel_thread;
	uint64_t threads;
};

/* Fill @task from the stat file at @task->path. The comm stands in parentheses and may contain any of "() ". */
static bool read_stat(const struct procfs *procfs, struct task *task, struct stat_line *line)
{
	char path[64], text[1024], *field, *end, *comm;
	uint64_t value[29] = { 0 };
	size_t length;

	snprintf(path, sizeof(path), "%s/stat", task->path);
	if (read_small(procfs, path, text, sizeof(text)) <= 0)
		return false;
	comm = strchr(text, '(');
	end = strrchr(text, ')');
	if (!comm || !end || end[1] != ' ')
		return false;
	length = (size_t)(end - comm - 1);
	length = length < COMM_SIZE ? length : COMM_SIZE - 1;
	memcpy(task->comm, comm + 1, length);
	task->comm[length] = '\0';
	make_printable(task->comm);
	line->state = end[2];
	field = end + 3;
	for (int i = 4; i <= 28; i++)
		value[i] = strtoull(field, &field, 10);
	line->kernel_thread = value[9] & PF_KTHREAD;
	line->threads = value[20];
	task->start_time = value[22];
	task->resident = value[24];
	memcpy(task->layout, &value[26], sizeof(task->layout)); /* startcode, endcode, startstack */
	return true;
}

/*
 * The thread that gave the process its number may have ended while others live on: its maps are empty then. Take
 * another.
 */
static bool find_living_thread(const struct procfs *procfs, struct task *task)
{
	char path[32];
	struct dirent *entry;
	bool found = false;
	DIR *dir;
	int fd;

	snprintf(path, sizeof(path), "%d/task", (int)task->pid);
	fd = openat(procfs->root, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	dir = fd >= 0 ? fdopendir(fd) : NULL;
	if (!dir)
		return false;
	while (!found && (entry = readdir(dir))) {
		struct stat_line line;
		uint64_t tid;

		if (!parse_number(entry->d_name, 1, INT32_MAX, &tid))
			continue;
		task->tid = (pid_t)tid;
		snprintf(task->path, sizeof(task->path), "%d/task/%d", (int)task->pid, (int)tid);
		found = read_stat(procfs, task, &line) && !strchr("ZX", line.state);
	}
	closedir(dir);
	return found;
}

/* Does the process @pid own an address space? Then @task names it. */
static bool task_of(const struct procfs *procfs, pid_t pid, struct task *task, struct tasks *tasks)
{
	struct stat_line line;

	*task = (struct task){ .pid = pid, .tid = pid };
	snprintf(task->path, sizeof(task->path), "%d", (int)pid);
	if (!read_stat(procfs, task, &line))
		return false;
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

/*
 * Keep one task for each address space. Tasks of one address space have the same layout, and so have fork families,
 * so kcmp decides among the tasks of each layout; its order is total, which lets us insert into a sorted list of
 * those kept.
 */
static void leave_out_sharing(struct tasks *tasks)
{
	struct task *items = tasks->items;
	struct task **kept = zeroed(tasks->n, sizeof(*kept));
	size_t kept_n = 0;

	qsort(items, tasks->n, sizeof(*items), compare_layout);
	for (size_t i = 0; i < tasks->n; i++) {
		size_t low = 0, high;
		const struct task *same = NULL;

		if (i && memcmp(items[i].layout, items[i - 1].layout, sizeof(items[i].layout)))
			kept_n = 0;
		for (high = kept_n; low < high && !same;) {
			size_t middle = (low + high) / 2;
			long order = syscall(SYS_kcmp, items[i].tid, kept[middle]->tid, KCMP_VM, 0, 0);

			if (order == 0)
				same = kept[middle];
			if (order == 1)
				high = middle;
			else
				low = middle + 1;
		}
		if (same) {
			tasks->aliases = grow(tasks->aliases, &tasks->aliases_capacity, tasks->aliases_n + 1,
					      sizeof(*tasks->aliases));
			tasks->aliases[tasks->aliases_n++] = (struct alias){ items[i].pid, same->pid };
			items[i].path[0] = '\0';
			continue;
		}
		memmove(&kept[low + 1], &kept[low], (kept_n - low) * sizeof(*kept));
		kept[low] = &items[i];
		kept_n++;
	}
	free(kept);
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
	DIR *dir = fdopendir(openat(procfs->root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	struct dirent *entry;
	size_t kept = 0;

	tasks->n = tasks->kernel_threads = tasks->aliases_n = 0;
	while (dir && (entry = readdir(dir))) {
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
	leave_out_sharing(tasks);
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

bool procfs_has_memory(const struct procfs *procfs, pid_t pid)
{
	struct tasks ignored = { 0 };
	struct task task;

	return task_of(procfs, pid, &task, &ignored);
}

uint64_t procfs_forks(const struct procfs *procfs)
{
	char text[8192], *line;
	int fd = openat(procfs->root, "stat", O_RDONLY | O_CLOEXEC);
	size_t carried = 0;
	uint64_t forks = 0;
	ssize_t got;

	/*
	 * The line is near the end of a file that grows with CPUs and interrupts: go through it, keeping what a cut
	 * line needs.
	 */
	while (fd >= 0 && (got = read(fd, text + carried, sizeof(text) - carried - 1)) > 0) {
		size_t length = carried + (size_t)got;

		text[length] = '\0';
		line = strstr(text, "\nprocesses ");
		if (line && strchr(line + 1, '\n')) {
			forks = strtoull(line + strlen("\nprocesses "), NULL, 10);
			break;
		}
		carried = length < 64 ? length : 64;
		memmove(text, text + length - carried, carried);
	}
	if (fd >= 0)
		close(fd);
	return forks;
}

/* ---- maps ---- */

void reader_init(struct reader *reader)
{
	*reader = (struct reader){ .entries = zeroed(ENTRIES, sizeof(uint64_t)) };
}

void reader_fini(struct reader *reader)
{
	free(reader->text);
	free(reader->lines);
	free(reader->ranges);
	free(reader->entries);
	*reader = (struct reader){ 0 };
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
	line->index = strtoull(at + 5, &at, 16) >> page_shift;
	major = strtoull(at, &at, 16);
	if (*at++ != ':')
		return false;
	line->device = major << 32 | strtoull(at, &at, 16);
	line->inode = strtoull(at, &at, 10);
	line->name = at + strspn(at, " ");
	make_printable(at);
	line->first = start >> page_shift;
	line->last = (end - 1) >> page_shift;
	return true;
}

enum outcome procfs_read_maps(const struct procfs *procfs, const struct task *task, struct reader *reader)
{
	int fd = open_task_file(procfs, task, "maps");
	size_t length = 0;
	ssize_t got;

	reader->lines_n = 0;
	if (fd < 0)
		return outcome_of(errno);
	for (;;) {
		reader->text = grow(reader->text, &reader->text_capacity, length + 65536, 1);
		got = read(fd, reader->text + length, reader->text_capacity - length - 1);
		if (got <= 0)
			break;
		length += (size_t)got;
	}
	close(fd);
	if (got < 0)
		return outcome_of(errno);
	reader->text[length] = '\0';
	for (char *line = reader->text, *next; *line; line = next) {
		next = strchrnul(line, '\n');
		if (*next)
			*next++ = '\0';
		reader->lines =
			grow(reader->lines, &reader->lines_capacity, reader->lines_n + 1, sizeof(*reader->lines));
		if (parse_map_line(line, procfs->page_shift, &reader->lines[reader->lines_n]))
			reader->lines_n++;
	}
	return length ? OUTCOME_READ : OUTCOME_GONE;
}

/* ---- page-table entries ---- */

/* Append a stretch to read, joined with the one before if they are close. */
static void add_range(struct reader *reader, uint64_t first, uint64_t last)
{
	struct page_range *before = reader->ranges_n ? &reader->ranges[reader->ranges_n - 1] : NULL;

	if (before && first <= before->last + GAP) {
		before->last = last > before->last ? last : before->last;
		return;
	}
	reader->ranges = grow(reader->ranges, &reader->ranges_capacity, reader->ranges_n + 1, sizeof(*reader->ranges));
	reader->ranges[reader->ranges_n++] = (struct page_range){ first, last };
}

/* Ask which addresses are populated. */
static bool scan_populated(const struct procfs *procfs, int fd, struct reader *reader)
{
	struct scan_region regions[SCAN_REGIONS];
	struct scan_arg scan = { .size = sizeof(scan),
				 .vec = (uint64_t)(uintptr_t)regions,
				 .vec_len = SCAN_REGIONS,
				 .category_anyof_mask = SCAN_IS_PRESENT,
				 .return_mask = SCAN_IS_PRESENT };
	unsigned shift = procfs->page_shift;

	scan.start = reader->lines[0].first << shift;
	scan.end = (reader->lines[reader->lines_n - 1].last + 1) << shift;
	while (scan.start < scan.end) {
		long got = ioctl(fd, SCAN_IOCTL, &scan);

		if (got < 0)
			return false;
		for (long i = 0; i < got; i++)
			add_range(reader, regions[i].start >> shift, (regions[i].end >> shift) - 1);
		if (scan.walk_end <= scan.start)
			return false;
		scan.start = scan.walk_end;
	}
	return true;
}

static enum outcome read_range(int fd, struct page_range range, uint64_t *entries, pte_visit visit, void *arg)
{
	for (uint64_t vpn = range.first; vpn <= range.last;) {
		uint64_t left = range.last - vpn + 1;
		size_t want = left < ENTRIES ? (size_t)left : ENTRIES;
		ssize_t got = pread(fd, entries, want * sizeof(*entries), (off_t)(vpn * sizeof(*entries)));

		if (got < 0)
			return outcome_of(errno);
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
		return outcome_of(errno);
	reader->ranges_n = 0;
	if (!procfs->pagemap_scan || !scan_populated(procfs, fd, reader)) {
		reader->ranges_n = 0;
		for (size_t i = 0; i < reader->lines_n; i++)
			add_range(reader, reader->lines[i].first, reader->lines[i].last);
	}
	for (size_t i = 0; i < reader->ranges_n && outcome == OUTCOME_READ; i++)
		outcome = read_range(fd, reader->ranges[i], reader->entries, visit, arg);
	close(fd);
	return outcome;
}

enum outcome procfs_read_pte(const struct procfs *procfs, const struct task *task, uint64_t vpn, uint64_t *entry)
{
	int fd = open_task_file(procfs, task, "pagemap");
	enum outcome outcome = OUTCOME_READ;

	*entry = 0;
	if (fd < 0)
		return outcome_of(errno);
	if (pread(fd, entry, sizeof(*entry), (off_t)(vpn * sizeof(*entry))) < 0)
		outcome = outcome_of(errno);
	close(fd);
	return outcome;
}

/* ---- the kernel's own figures ---- */

/* Frames are neighbours more often than not, so read them in stretches, across small gaps. */
static void read_frames(int fd, const uint64_t *pfns, size_t n, uint64_t *out)
{
	uint64_t buffer[512];

	for (size_t i = 0, next; i < n; i = next) {
		ssize_t got;

		for (next = i + 1; next < n && pfns[next] - pfns[next - 1] <= 8 && pfns[next] - pfns[i] < 512;)
			next++;
		got = pread(fd, buffer, (pfns[next - 1] - pfns[i] + 1) * sizeof(*buffer),
			    (off_t)(pfns[i] * sizeof(*buffer)));
		for (size_t k = i; k < next; k++)
			out[k] = got > 0 && (pfns[k] - pfns[i]) < (size_t)got / sizeof(*buffer)
					 ? buffer[pfns[k] - pfns[i]]
					 : 0;
	}
}

void procfs_counts(const struct procfs *procfs, const uint64_t *pfns, size_t n, uint64_t *out)
{
	read_frames(procfs->counts, pfns, n, out);
}

void procfs_flags(const struct procfs *procfs, const uint64_t *pfns, size_t n, uint64_t *out)
{
	read_frames(procfs->flags, pfns, n, out);
}
