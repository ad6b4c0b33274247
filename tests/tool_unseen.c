/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * tool_unseen.c - `rmap shares` of what no mapping shows, against memory that is known to the page
 *
 *      tool_unseen PATH-TO-RMAP
 *
 * This process lays it out and asks about what it has itself, so others may do what they like: memfds that it holds by
 * a descriptor alone, maps in part, or has in swap; huge pages given back in part; memory of a device, which its own
 * smaps marks. Of cgroups it makes some, has children touch memory there, and removes those in which that was. When the
 * memory is gone, nothing may be told of it any more. What a machine does not have is left out, and said.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <linux/perf_event.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define HUGE_SIZE ((size_t)2 << 20)
#define HUGE_PAGES 3
#define HUGE_AT ((char *)0x100000000000)
#define DEVICE_AT 0xf0000 /* the firmware of a PC */
#define STAT_BATCH 64     /* the pages for each CPU by which memory.stat may lag behind */

static size_t page_size;
static int failures, checks;
static const char *rmap;

static void die(const char *what)
{
	fprintf(stderr, "tool_unseen: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void check(bool right, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void check(bool right, const char *format, ...)
{
	va_list args;

	checks++;
	if (right)
		return;
	failures++;
	fputs("tool_unseen: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
}

/* ---- asking ---- */

/* What `rmap shares` says, to be freed. @in: a command that runs it somewhere */
static json_t *report(const char *in, const char *options)
{
	char command[512];
	json_error_t error;
	json_t *answer;
	FILE *pipe;
	int status;

	snprintf(command, sizeof(command), "%s '%s' shares %s --json", in, rmap, options);
	pipe = popen(command, "r");
	if (!pipe)
		die("popen");
	answer = json_loadf(pipe, 0, &error);
	status = pclose(pipe);
	check(status == 0 && answer, "rmap shares: status %d, %s", status, answer ? "JSON" : error.text);
	return answer;
}

static json_t *ask_in(const char *in)
{
	json_t *answer = report(in, "--by kind"), *unseen = json_incref(json_object_get(answer, "unseen"));

	json_decref(answer);
	return unseen;
}

static json_t *ask(void)
{
	return ask_in("");
}

static uint64_t integer(const json_t *object, const char *name)
{
	return (uint64_t)json_integer_value(json_object_get(object, name));
}

/* The items of a class, which sum up to what is said of it. */
static const json_t *items_of(const json_t *unseen, const char *class)
{
	const json_t *list = json_object_get(unseen, class), *items = json_object_get(list, "items"), *item;
	uint64_t sum = 0;
	size_t i;

	json_array_foreach(items, i, item) sum += integer(item, "bytes");
	check(json_is_array(items) && sum == integer(list, "bytes"), "%s: the items sum up", class);
	return items;
}

/* Is @name at the end of @its, but for what is said behind names of files that have none any more? */
static bool fits(const char *its, const char *name)
{
	const char *at = its ? strstr(its, name) : NULL;

	return !*name || (at && (!at[strlen(name)] || !strcmp(at + strlen(name), " (deleted)")));
}

/* The item whose name ends so, and whose process is @pid; NULL if there is none. */
static const json_t *item_of(const json_t *unseen, const char *class, const char *name, pid_t pid)
{
	const json_t *items = items_of(unseen, class), *item;
	size_t i;

	json_array_foreach(items, i, item)
	{
		if (json_integer_value(json_object_get(item, "pid")) == pid &&
		    fits(json_string_value(json_object_get(item, "name")), name))
			return item;
	}
	return NULL;
}

static void check_bytes(const json_t *unseen, const char *class, const char *name, uint64_t bytes)
{
	uint64_t told = integer(item_of(unseen, class, name, getpid()), "bytes");

	check(told == bytes, "%s: %" PRIu64 " bytes of \"%s\", not %" PRIu64, class, bytes, name, told);
}

/* ---- files ---- */

static char *map(size_t size, int flags, int fd)
{
	char *at = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0);

	if (at == MAP_FAILED)
		die("mmap");
	return at;
}

static void fill(char *at, size_t size)
{
	for (size_t i = 0; i < size; i += page_size)
		((volatile char *)at)[i] = 'y';
}

/* Pages of a file, without ever mapping them. */
static void write_pages(int fd, size_t n)
{
	char *page = calloc(1, page_size);

	for (size_t i = 0; i < n; i++)
		if (!page || write(fd, page, page_size) != (ssize_t)page_size)
			die("write");
	free(page);
}

static int make_file(const char *name, size_t pages)
{
	int fd = memfd_create(name, MFD_CLOEXEC);

	if (fd < 0)
		die("memfd_create");
	write_pages(fd, pages);
	return fd;
}

/* Keep the page at @at in @pipe, so that the kernel neither moves its folio, while it is asked about, nor splits it. */
static void pin(const char *at, int pipe)
{
	struct iovec piece = { .iov_base = (void *)at, .iov_len = 1 };

	if (vmsplice(pipe, &piece, 1, 0) != 1)
		die("vmsplice");
}

/* Of 16 pages each: nobody maps any; 5 are mapped, some of them twice; of 2 there are copies in a private mapping. */
static void check_files(void)
{
	int held = make_file("rmap-unseen-held", 16), part = make_file("rmap-unseen-part", 16);
	int copied = make_file("rmap-unseen-copied", 16);
	char *at = map(5 * page_size, MAP_SHARED, part), *again = map(5 * page_size, MAP_SHARED, part);
	char *copy = map(2 * page_size, MAP_PRIVATE, copied);
	json_t *unseen;
	int pins[2];

	if (pipe(pins))
		die("pipe");
	fill(at, 5 * page_size);
	fill(again, 3 * page_size);
	for (size_t i = 0; i < 5; i++)
		pin(at + i * page_size, pins[1]);
	fill(copy, 2 * page_size);
	unseen = ask();
	check_bytes(unseen, "files", "/memfd:rmap-unseen-held", 16 * page_size);
	check_bytes(unseen, "files", "/memfd:rmap-unseen-part", 11 * page_size);
	check_bytes(unseen, "files", "/memfd:rmap-unseen-copied", 16 * page_size);
	check(integer(item_of(unseen, "files", "/memfd:rmap-unseen-part", getpid()), "mapped") == 5 * page_size,
	      "files: 5 pages of one are mapped");
	json_decref(unseen);
	close(part); /* which stays, for it is mapped */
	close(held);
	close(copied);
	munmap(copy, 2 * page_size);
	unseen = ask();
	check_bytes(unseen, "files", "/memfd:rmap-unseen-part", 11 * page_size);
	check_bytes(unseen, "files", "/memfd:rmap-unseen-held", 0);
	check_bytes(unseen, "files", "/memfd:rmap-unseen-copied", 0);
	json_decref(unseen);
	close(pins[0]);
	close(pins[1]);
	munmap(at, 5 * page_size);
	munmap(again, 5 * page_size);
}

/* ---- pages in no page table ---- */

static uint64_t word_at(const char *path, uint64_t number)
{
	uint64_t word = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || pread(fd, &word, sizeof(word), (off_t)(number * sizeof(word))) < 0)
		die(path);
	close(fd);
	return word;
}

static uint64_t entry_of(const char *at)
{
	return word_at("/proc/self/pagemap", (uintptr_t)at / page_size);
}

/* What the kernel counts as swapped in the vmas of the file @name, as smaps has it: for each of them all. */
static uint64_t swapped_of(const char *name)
{
	char line[512];
	uint64_t sum = 0, kilobytes;
	bool here = false;
	FILE *smaps = fopen("/proc/self/smaps", "r");

	while (smaps && fgets(line, sizeof(line), smaps)) {
		uintptr_t from, to;

		if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", &from, &to) == 2)
			here = strstr(line, name);
		if (here && sscanf(line, "Swap: %" SCNu64, &kilobytes) == 1)
			sum += kilobytes << 10;
	}
	if (!smaps)
		die("/proc/self/smaps");
	fclose(smaps);
	return sum;
}

/* 16 pages of a file, swapped out, that two vmas map: no page table tells of them, and smaps does for each vma. */
static void check_swapped(void)
{
	static const char name[] = "/memfd:rmap-unseen-swapped";
	size_t size = 16 * page_size, present = 0, i;
	int fd = make_file(strchr(name, ':') + 1, 16);
	char *at = map(size, MAP_SHARED, fd), *again;
	const json_t *group, *groups;
	json_t *answer;

	fill(at, size);
	madvise(at, size, MADV_PAGEOUT);
	again = map(size, MAP_SHARED, fd);
	answer = report("", "--kernel --limit 0");
	for (i = 0; i < 16; i++)
		present += (entry_of(at + i * page_size) | entry_of(again + i * page_size)) >> 63;
	check_bytes(json_object_get(answer, "unseen"), "files", name, size - present * page_size);
	groups = json_object_get(json_array_get(json_object_get(answer, "tallies"), 0), "groups");
	json_array_foreach(groups, i, group)
	{
		const json_t *kernel = json_object_get(group, "kernel"),
			     *swap = json_object_get(json_object_get(kernel, "differences"), "swap");

		if (json_integer_value(json_object_get(group, "pid")) == getpid())
			check(-integer(swap, "shared_swap") == swapped_of(name),
			      "%" PRIu64 " bytes of shared swap, not %" PRId64, swapped_of(name),
			      -(int64_t)integer(swap, "shared_swap"));
	}
	if (!swapped_of(name))
		printf("left out: shared memory in swap, of which there is none\n");
	json_decref(answer);
	munmap(at, size);
	munmap(again, size);
	close(fd);
}

/* ---- parts of huge pages ---- */

static bool is_tail(uint64_t pfn)
{
	return word_at("/proc/kpageflags", pfn) >> 16 & 1;
}

/* How many pages has the folio that the page at @at is in? It may be a smaller one than was asked for. */
static uint64_t folio_pages(const char *at)
{
	uint64_t head = entry_of(at) & ((UINT64_C(1) << 55) - 1), end;

	for (end = head + 1; is_tail(end); end++)
		;
	while (is_tail(head))
		head--;
	return end - head;
}

static void give_back(char *at, size_t first, size_t pages)
{
	if (madvise(at + first * page_size, pages * page_size, MADV_DONTNEED))
		die("madvise");
}

/* Of one huge page nothing is given back, of one all but its first page, of one all but its last. */
static void check_parts(void)
{
	size_t size = HUGE_PAGES * HUGE_SIZE, n = HUGE_SIZE / page_size;
	char *at =
		mmap(HUGE_AT, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	char *first = at + HUGE_SIZE, *last = at + 2 * HUGE_SIZE + (n - 1) * page_size;
	uint64_t parts;
	json_t *unseen;
	int pins[2];

	if (at != HUGE_AT || pipe(pins))
		die("huge pages");
	madvise(at, size, MADV_HUGEPAGE);
	fill(at, size);
	pin(first, pins[1]);
	pin(last, pins[1]);
	parts = folio_pages(first) - 1 + folio_pages(last) - 1;
	give_back(at + HUGE_SIZE, 1, n - 1);
	give_back(at + 2 * HUGE_SIZE, 0, n - 1);
	unseen = ask();
	check_bytes(unseen, "parts", "", parts * page_size);
	json_decref(unseen);
	if (!parts)
		printf("left out: parts of huge pages, of which the kernel made none\n");
	close(pins[0]);
	close(pins[1]);
	munmap(at, size);
}

/* ---- devices ---- */

/* A page of the firmware, or else a ring of events, which has no pages on newer kernels. */
static char *map_device(size_t *size)
{
	struct perf_event_attr event = { .type = PERF_TYPE_SOFTWARE,
					 .size = sizeof(event),
					 .config = PERF_COUNT_SW_DUMMY };
	int fd = open("/dev/mem", O_RDONLY | O_CLOEXEC);
	char *at = fd < 0 ? MAP_FAILED : mmap(NULL, page_size, PROT_READ, MAP_SHARED, fd, DEVICE_AT);

	*size = page_size;
	if (fd >= 0)
		close(fd);
	if (at != MAP_FAILED)
		return at;
	fd = (int)syscall(SYS_perf_event_open, &event, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
	*size = 9 * page_size;
	at = fd < 0 ? MAP_FAILED : mmap(NULL, *size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (fd >= 0)
		close(fd);
	return at;
}

/* Does the kernel mark the vma at @at as one without pages? */
static bool is_without_pages(const char *at)
{
	char line[512];
	bool here = false, marked = false;
	FILE *smaps = fopen("/proc/self/smaps", "r");

	while (smaps && fgets(line, sizeof(line), smaps)) {
		uintptr_t from, to;

		if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", &from, &to) == 2)
			here = from == (uintptr_t)at;
		marked |= here && !strncmp(line, "VmFlags:", 8) && strstr(line, " pf");
	}
	if (!smaps)
		die("/proc/self/smaps");
	fclose(smaps);
	return marked;
}

static void check_devices(void)
{
	size_t size;
	char *at = map_device(&size);
	json_t *unseen = ask();

	if (at == MAP_FAILED || !is_without_pages(at))
		printf("left out: memory of devices, of which there is none without pages\n");
	else
		check_bytes(unseen, "devices", "", size);
	json_decref(unseen);
	if (at != MAP_FAILED)
		munmap(at, size);
}

/* ---- cgroups ---- */

static char root[64], parent[128], gone[160], beside[128]; /* of cgroups; the last below one that has processes */

static bool write_word(const char *directory, const char *name, const char *word)
{
	char path[256];
	int fd;
	bool written;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	written = fd >= 0 && write(fd, word, strlen(word)) == (ssize_t)strlen(word);
	if (fd >= 0)
		close(fd);
	return written;
}

static bool is_v1(void)
{
	return !strcmp(root, "/sys/fs/cgroup/memory");
}

static void remove_cgroups(void)
{
	rmdir(gone);
	rmdir(parent);
	rmdir(beside);
}

static bool make_cgroups(void)
{
	strcpy(root, access("/sys/fs/cgroup/memory/memory.stat", R_OK) ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory");
	snprintf(parent, sizeof(parent), "%s/rmap-unseen-%d", root, (int)getpid());
	snprintf(gone, sizeof(gone), "%s/gone", parent);
	snprintf(beside, sizeof(beside), "%s/rmap-unseen-beside-%d", root, (int)getpid());
	if (!is_v1() && !write_word(root, "cgroup.subtree_control", "+memory"))
		return false;
	atexit(remove_cgroups);
	return !mkdir(parent, 0755) && (is_v1() || write_word(parent, "cgroup.subtree_control", "+memory")) &&
	       !mkdir(gone, 0755) && !mkdir(beside, 0755);
}

/* A child that writes @pages to @fd, which are charged to @cgroup, and stays until *@hold is closed. */
static pid_t write_in(const char *cgroup, int fd, size_t pages, int *hold)
{
	int ready[2], held[2];
	pid_t child;
	char byte;

	if (pipe(ready) || pipe(held))
		die("pipe");
	child = fork();
	if (!child) {
		close(held[1]);
		if (!write_word(cgroup, "cgroup.procs", "0"))
			die(cgroup);
		write_pages(fd, pages);
		_exit(write(ready[1], "", 1) != 1 || read(held[0], &byte, 1));
	}
	close(ready[1]);
	if (child < 0 || read(ready[0], &byte, 1) != 1)
		die("a child in a cgroup");
	close(ready[0]);
	close(held[0]);
	*hold = held[1];
	return child;
}

static void end(pid_t child, int hold)
{
	int status;

	close(hold);
	if (waitpid(child, &status, 0) != child || status)
		die("a child in a cgroup");
}

/* A cgroup that has just lost its last process may be busy for a moment. */
static void remove_cgroup(const char *path)
{
	while (rmdir(path))
		if (errno != EBUSY)
			die(path);
}

static void check_left(const json_t *unseen, const char *name, uint64_t least, uint64_t most, const char *when)
{
	uint64_t told = integer(item_of(unseen, "cgroups", name, 0), "bytes");

	check(least <= told && told <= most, "cgroups: %s, %s: %" PRIu64 " bytes, not %" PRIu64 " to %" PRIu64, name,
	      when, told, least, most);
}

/* Does the kernel still know of cgroups that are gone? Linux 7.3 charges the parent outright, and forgets them. */
static bool knows_gone(void)
{
	char path[128], line[128];
	unsigned long n, sum = 0;
	FILE *stat;

	snprintf(path, sizeof(path), "%s/cgroup.stat", root);
	stat = fopen(path, "r");
	while (stat && fgets(line, sizeof(line), stat))
		if (sscanf(line, "nr_dying_subsys_memory %lu", &n) == 1 ||
		    sscanf(line, "nr_dying_descendants %lu", &n) == 1)
			sum += n;
	if (!stat)
		die(path);
	fclose(stat);
	return sum;
}

/*
 * One is gone below the first of all, which has processes, and another below @name, where a child of ours is. The
 * second version of cgroups tells of the first, and lets nobody be in the other; the first version tells of both, but
 * of the first of all only roughly, for everybody else is there.
 */
static void check_beside(const char *name, uint64_t left, uint64_t slack)
{
	json_t *unseen = ask();

	if (is_v1())
		check_left(unseen, name, left - slack, left + slack, "beside a process");
	else if (knows_gone())
		check(integer(unseen, "cgroups_gone") > 0,
		      "cgroups: one is gone below the first one, which has others");
	else
		printf("left out: cgroups that are gone below one with processes, which this kernel forgets\n");
	json_decref(unseen);
}

/* As long as a process is there nothing is left, seen from a PID namespace that does not have it, too. */
static void check_populated(uint64_t slack)
{
	static const char namespace[] = "unshare --pid --fork --mount-proc";
	json_t *unseen = ask();
	char words[64];

	check_left(unseen, "/gone", 0, slack, "has a process");
	json_decref(unseen);
	snprintf(words, sizeof(words), "%s true", namespace);
	if (system(words)) {
		printf("left out: a PID namespace, as none can be made\n");
		return;
	}
	unseen = ask_in(namespace);
	check_left(unseen, "/gone", 0, slack, "has a process elsewhere");
	json_decref(unseen);
}

/* When the memory has gone, too, and all that was laid out before. */
static void check_nothing(const char *cgroup, uint64_t slack)
{
	json_t *unseen = ask();

	if (cgroup)
		check_left(unseen, cgroup, 0, slack, "when the memory has gone");
	check_bytes(unseen, "files", "/memfd:rmap-unseen-part", 0);
	check_bytes(unseen, "parts", "", 0);
	check_bytes(unseen, "devices", "", 0);
	json_decref(unseen);
}

/* Figures of the kernel lag behind by some pages of each CPU; so much is left that it does not matter. */
static void check_cgroups(void)
{
	uint64_t slack = STAT_BATCH * (uint64_t)sysconf(_SC_NPROCESSORS_CONF) * page_size, left = 4 * slack;
	int fd = make_file("rmap-unseen-charged", 0), other = make_file("rmap-unseen-beside", 0), hold;
	const char *name = strrchr(parent, '/');
	json_t *unseen;
	pid_t child;

	child = write_in(gone, fd, left / page_size, &hold);
	check_populated(slack);
	end(child, hold);
	unseen = ask();
	check_left(unseen, "/gone", left - slack, left + slack, "is without processes");
	check_left(unseen, name, 0, slack, "is charged nothing itself");
	json_decref(unseen);
	remove_cgroup(gone);
	unseen = ask();
	check_left(unseen, name, left - slack, left + slack, "after one below it has gone");
	json_decref(unseen);
	child = write_in(beside, other, left / page_size, &hold);
	end(child, hold);
	remove_cgroup(beside);
	child = write_in(is_v1() ? parent : root, other, 0, &hold);
	check_beside(name, left, slack);
	end(child, hold);
	close(fd);
	close(other);
	check_nothing(name, slack);
}

int main(int argc, char **argv)
{
	page_size = (size_t)sysconf(_SC_PAGESIZE);
	if (argc != 2) {
		fputs("usage: tool_unseen PATH-TO-RMAP\n", stderr);
		return 2;
	}
	rmap = argv[1];
	check_files();
	check_swapped();
	check_parts();
	check_devices();
	if (make_cgroups()) {
		check_cgroups();
	} else {
		printf("left out: cgroups, which cannot be made (%s)\n", strerror(errno));
		check_nothing(NULL, 0);
	}
	printf("tool_unseen: %d of %d checks hold\n", checks - failures, checks);
	return failures ? 1 : 0;
}
