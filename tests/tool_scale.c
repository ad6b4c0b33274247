/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * tool_scale.c - large systems, real and recorded, on which scripts/scale measures the command
 *
 *      tool_scale beside MIB PROCESSES shared|forked|private COMMAND [ARGUMENT]...
 *                                                               run it while so many processes map so much memory
 *                                                               that they share, or have since a fork, or so much of
 *                                                               its own each
 *      tool_scale record FILE PAGES PROCESSES shared|private    write the recording of such a system, made up
 *      tool_scale pagemaps | rollups                            read those of all processes, and print the seconds it
 *                                                               took, by the clock and of the processor
 *
 * A recording has each page mapped by every process: at the place that its file says (shared), or as memory of no file
 * that they have since a fork (private), in frames of which every eighth run lies elsewhere. The format is described in
 * tools/file.c.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void die(const char *what)
{
	fprintf(stderr, "tool_scale: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* ---- beside ---- */

/* A process of its own that maps all of it, by writing if it is @private, tells so, and ends with its parent. */
static pid_t start_sharer(char *memory, size_t size, bool private, int ready)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	pid_t child = fork();

	if (child < 0)
		die("fork");
	if (child)
		return child;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (size_t at = 0; at < size; at += page) {
		if (private)
			*(volatile char *)(memory + at) = 1;
		else
			(void)*(volatile char *)(memory + at);
	}
	if (write(ready, "", 1) != 1)
		_exit(1);
	for (;;)
		pause();
}

static int run_beside(size_t size, unsigned long processes, const char *kind, char **argv)
{
	bool private = !strcmp(kind, "private");
	int flags = MAP_ANONYMOUS | (strcmp(kind, "shared") ? MAP_PRIVATE | MAP_NORESERVE : MAP_SHARED) |
		    (private ? 0 : MAP_POPULATE);
	char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, -1, 0), byte;
	pid_t *sharers = calloc(processes, sizeof(*sharers)), command;
	int ready[2], status = 0;

	if (memory == MAP_FAILED || !sharers || pipe2(ready, O_CLOEXEC))
		die("memory to be shared");
	for (unsigned long i = 0; i < processes; i++)
		sharers[i] = start_sharer(memory, size, private, ready[1]);
	munmap(memory, size);
	for (unsigned long i = 0; i < processes; i++)
		if (read(ready[0], &byte, 1) != 1)
			die("processes that share");
	command = fork();
	if (command < 0)
		die("fork");
	if (!command) {
		execvp(argv[0], argv);
		_exit(127);
	}
	waitpid(command, &status, 0);
	for (unsigned long i = 0; i < processes; i++)
		kill(sharers[i], SIGKILL);
	while (wait(NULL) > 0)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

/* ---- record ---- */

/* Bytes on their way into a file, and the hash of all of them. */
struct out {
	FILE *file;
	uint64_t hash;
	uint64_t n;
};

static void put_byte(struct out *out, uint8_t byte)
{
	if (out->file && putc(byte, out->file) == EOF)
		die("the recording");
	out->hash = (out->hash ^ byte) * UINT64_C(0x100000001b3);
	out->n++;
}

static void put(struct out *out, uint64_t value)
{
	for (; value >= 128; value >>= 7)
		put_byte(out, (uint8_t)(value | 128));
	put_byte(out, (uint8_t)value);
}

static void put_fixed(struct out *out, uint64_t value, unsigned size)
{
	for (unsigned i = 0; i < size; i++)
		put_byte(out, (uint8_t)(value >> 8 * i));
}

static void put_string(struct out *out, const char *string)
{
	put(out, strlen(string));
	while (*string)
		put_byte(out, (uint8_t)*string++);
}

/* The frame of page @at: in runs of 64, and every eighth run in the opposite direction, far above. */
static uint64_t frame_of(uint64_t at, uint64_t pages)
{
	uint64_t run = at / 64;

	return 4096 + (run % 8 == 7 ? 2 * pages - at : at);
}

static void put_ptes(struct out *out, uint64_t pages, bool shared)
{
	uint64_t expected = 0;

	put(out, 1);
	put(out, 0x10000);
	put(out, pages);
	for (uint64_t at = 0; at < pages; at++) {
		uint64_t frame = frame_of(at, pages);
		uint64_t delta = frame >= expected ? (frame - expected) << 1 : ((expected - frame) << 1) - 1;

		put(out, delta << 1 | shared);
		expected = frame + 1;
	}
}

/* See the list in tools/file.c. */
static void put_body(struct out *out, uint64_t pages, uint64_t processes, bool shared)
{
	const unsigned shared_flags = 1u << 9 | 1u << 11, private_flags = 1u << 0 | 1u << 9 | 1u << 11;

	put(out, 12);
	put(out, 0);
	put(out, 0);
	for (int i = 0; i < 5; i++)
		put(out, 0);
	put_string(out, "0.0.0-made-up");
	put_string(out, "none");
	put(out, shared);
	if (shared)
		put_string(out, "/dev/shm/common");
	put(out, shared);
	if (shared) {
		put(out, 1);
		put(out, 1);
		put(out, 1);
	}
	put(out, processes);
	for (uint64_t i = 0; i < processes; i++) {
		put(out, i + 1);
		put_string(out, "sharer");
		put(out, 1);
		put(out, 1);
		put(out, 0);
		put(out, 1);
		put(out, 0x10000);
		put(out, pages - 1);
		put(out, shared);
		put(out, (shared << 3 | 3u) << 1 | shared);
		put(out, 0);
		put_ptes(out, pages, shared);
		put(out, 0);
	}
	put(out, 0);
	put(out, pages);
	for (uint64_t i = 0; i < pages; i++) {
		put(out, processes << 3);
		put(out, shared ? shared_flags : private_flags);
	}
}

/* Made up twice, for its length stands before it. */
static int record(const char *path, uint64_t pages, uint64_t processes, bool shared)
{
	struct out length = { 0 }, out = { .file = fopen(path, "wb"), .hash = UINT64_C(0xcbf29ce484222325) };

	if (!out.file)
		die(path);
	put_body(&length, pages, processes, shared);
	for (const char *magic = "RMAPSNAP"; *magic; magic++)
		put_byte(&out, (uint8_t)*magic);
	put_fixed(&out, 3, 4);
	put_fixed(&out, length.n, 8);
	put_body(&out, pages, processes, shared);
	put_fixed(&out, out.hash, 8);
	if (fclose(out.file))
		die(path);
	return 0;
}

/* ---- what the kernel takes ---- */

static double seconds_of(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Read the bytes @from to @end of a file, or up to its own end. */
static void read_all(int fd, uint64_t from, uint64_t end)
{
	static char bytes[65536];
	ssize_t got = 1;

	while (from < end && got > 0) {
		got = pread(fd, bytes, end - from < sizeof(bytes) ? end - from : sizeof(bytes), (off_t)from);
		from += got > 0 ? (uint64_t)got : 0;
	}
}

static uint64_t resident(const char *pid)
{
	uint64_t pages = 0;
	char path[280];
	FILE *statm;

	snprintf(path, sizeof(path), "/proc/%s/statm", pid);
	statm = fopen(path, "r");
	if (!statm)
		return 0;
	if (fscanf(statm, "%*u %" SCNu64, &pages) != 1)
		pages = 0;
	fclose(statm);
	return pages;
}

/* All that is mapped, but for what is larger than twice all that is in memory: that is reserved and nearly empty. */
static void read_pagemap(const char *pid)
{
	uint64_t from, to, page = (uint64_t)sysconf(_SC_PAGESIZE), most = 2 * resident(pid) * page;
	char path[280], line[4096];
	FILE *maps;
	int fd;

	snprintf(path, sizeof(path), "/proc/%s/maps", pid);
	maps = fopen(path, "r");
	snprintf(path, sizeof(path), "/proc/%s/pagemap", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	while (maps && fd >= 0 && fgets(line, sizeof(line), maps))
		if (sscanf(line, "%" SCNx64 "-%" SCNx64, &from, &to) == 2 && !(from >> 63) && to - from <= most)
			read_all(fd, from / page * 8, to / page * 8);
	if (maps)
		fclose(maps);
	if (fd >= 0)
		close(fd);
}

static void read_rollup(const char *pid)
{
	char path[280];
	int fd;

	snprintf(path, sizeof(path), "/proc/%s/smaps_rollup", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	read_all(fd, 0, UINT64_MAX);
	close(fd);
}

static int read_processes(void (*read_one)(const char *pid))
{
	double began = seconds_of(CLOCK_MONOTONIC);
	DIR *dir = opendir("/proc");
	struct dirent *entry;

	if (!dir)
		die("/proc");
	while ((entry = readdir(dir)))
		if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9')
			read_one(entry->d_name);
	closedir(dir);
	printf("%.3f %.3f\n", seconds_of(CLOCK_MONOTONIC) - began, seconds_of(CLOCK_PROCESS_CPUTIME_ID));
	return 0;
}

static uint64_t number(const char *word)
{
	return strtoull(word, NULL, 10);
}

int main(int argc, char **argv)
{
	if (argc > 5 && !strcmp(argv[1], "beside"))
		return run_beside((size_t)number(argv[2]) << 20, number(argv[3]), argv[4], argv + 5);
	if (argc == 6 && !strcmp(argv[1], "record"))
		return record(argv[2], number(argv[3]), number(argv[4]), !strcmp(argv[5], "shared"));
	if (argc == 2 && !strcmp(argv[1], "pagemaps"))
		return read_processes(read_pagemap);
	if (argc == 2 && !strcmp(argv[1], "rollups"))
		return read_processes(read_rollup);
	fprintf(stderr, "usage: tool_scale beside MIB PROCESSES shared|forked|private COMMAND [ARGUMENT]...\n"
			"       tool_scale record FILE PAGES PROCESSES shared|private\n"
			"       tool_scale pagemaps | rollups\n");
	return 2;
}
