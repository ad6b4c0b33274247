/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * tool_reason.c - `rmap who` where there is no page, or a page of its own kind: does it give the right reason?
 *
 *      tool_reason PATH-TO-RMAP
 *
 * The program lays out memory of each kind and asks about its own addresses. What this kernel lacks is left out, and
 * that is said.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* The installed headers may be older than the running kernel. */
#define GUARD_INSTALL 102
#define WP_UNPOPULATED (UINT64_C(1) << 13)

static const char *rmap;
static size_t page_size;
static int failures, checks;

static void left_out(const char *what)
{
	printf("tool_reason: left out: %s (%s)\n", what, errno ? strerror(errno) : "this kernel has none");
}

/* Run rmap who with @arguments: it must end with @status and say @words. */
static void check(const char *what, int status, const char *words, const char *arguments)
{
	char command[512], output[65536], more[4096];
	size_t n;
	FILE *pipe;
	int got;

	snprintf(command, sizeof(command), "'%s' who %s 2>&1", rmap, arguments);
	pipe = popen(command, "r");
	n = pipe ? fread(output, 1, sizeof(output) - 1, pipe) : 0;
	output[n] = '\0';
	/* The zero page may be mapped anywhere: rmap is to end by itself, however much it has to say. */
	while (pipe && fread(more, 1, sizeof(more), pipe) > 0)
		;
	got = pipe ? pclose(pipe) : -1;
	checks++;
	if (WIFEXITED(got) && WEXITSTATUS(got) == status && strstr(output, words))
		return;
	failures++;
	output[n < 1000 ? n : 1000] = '\0';
	fprintf(stderr, "tool_reason: %s: expected status %d and \"%s\", got %#x and: %s\n", what, status, words, got,
		output);
}

static void check_address(const char *what, int status, const char *words, const void *at)
{
	char arguments[64];

	snprintf(arguments, sizeof(arguments), "--pid %d --addr %p", (int)getpid(), at);
	check(what, status, words, arguments);
}

static char *map(int protection)
{
	char *at = mmap(NULL, 4 * page_size, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED)
		exit(1);
	return at;
}

static void check_memory(void)
{
	char *untouched = map(PROT_READ), *zero = map(PROT_READ), *unmapped = map(PROT_READ);
	char *touched = map(PROT_READ | PROT_WRITE);

	munmap(unmapped, 4 * page_size);
	(void)*(volatile char *)zero;
	*(volatile char *)touched = 1;
	check_address("memory that was never touched", 2, "never touched it", untouched);
	check_address("nothing", 2, "nothing is mapped there", unmapped);
	check_address("the zero page", 0, "zero page", zero);
	check_address("a page", 0, "1 mapping\n", touched);
	madvise(touched, page_size, MADV_DONTNEED);
	check_address("a page that was given back", 2, "never touched it, or it was taken", touched);
}

/* The kernel's own data, which every process can read, is mapped as a device's is, by most kernels. */
static void check_device(void)
{
	FILE *smaps = fopen("/proc/self/smaps", "r");
	void *start, *at = NULL;
	bool device = false;
	char line[512];

	while (smaps && !device && fgets(line, sizeof(line), smaps)) {
		if (sscanf(line, "%p-%*x %*s", &start) == 1 && strchr(line, '-'))
			at = strstr(line, "[vvar") ? start : NULL;
		device = at && !strncmp(line, "VmFlags:", 8) && strstr(line, " pf");
	}
	if (smaps)
		fclose(smaps);
	errno = 0;
	if (device)
		check_address("memory mapped as a device's", 2, "of a device or of the kernel itself", at);
	else
		left_out("memory mapped as a device's, as no [vvar] is here");
}

static void check_guard(void)
{
	char *at = map(PROT_READ | PROT_WRITE);

	if (madvise(at, page_size, GUARD_INSTALL))
		left_out("a guard region");
	else
		check_address("a guard region", 2, "guard region", at);
}

static void check_protected(void)
{
	char *at = map(PROT_READ | PROT_WRITE);
	struct uffdio_api api = { .api = UFFD_API, .features = WP_UNPOPULATED };
	struct uffdio_register area = { .range = { (uintptr_t)at, 4 * page_size }, .mode = UFFDIO_REGISTER_MODE_WP };
	struct uffdio_writeprotect protect = { .range = { (uintptr_t)at, page_size },
					       .mode = UFFDIO_WRITEPROTECT_MODE_WP };
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (fd < 0 || ioctl(fd, UFFDIO_API, &api) || ioctl(fd, UFFDIO_REGISTER, &area) ||
	    ioctl(fd, UFFDIO_WRITEPROTECT, &protect))
		left_out("a page that userfaultfd protects and that is not there");
	else
		check_address("a page that userfaultfd protects and that is not there", 2, "userfaultfd", at);
	close(fd);
}

static int ready[2], hold[2];

static int sharing_main(void *arg)
{
	char byte = 'y';

	(void)arg;
	if (write(ready[1], &byte, 1) != 1)
		_exit(1);
	while (read(hold[0], &byte, 1) > 0)
		;
	_exit(0);
}

/* A process that shares our memory and is no thread of ours is named, though it maps nothing of its own. */
static void check_sharing(void)
{
	static char stack[65536];
	char *at = map(PROT_READ | PROT_WRITE), byte, words[64];
	pid_t pid;

	*(volatile char *)at = 1;
	if (pipe(ready) || pipe(hold))
		exit(1);
	fcntl(hold[1], F_SETFD, FD_CLOEXEC);
	pid = clone(sharing_main, stack + sizeof(stack), CLONE_VM | CLONE_FILES | SIGCHLD, NULL);
	if (pid < 0 || read(ready[0], &byte, 1) != 1)
		exit(1);
	snprintf(words, sizeof(words), "  %d", pid < getpid() ? (int)getpid() : (int)pid);
	check_address("a process that shares memory", 0, words, at);
	check_address("a process that shares memory", 0, "shares the memory of", at);
	check_address("a process that shares memory", 0, "1 mapping\n", at);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void check_processes(void)
{
	char arguments[64];
	pid_t pid = fork();

	if (pid < 0)
		exit(1);
	if (!pid)
		_exit(0);
	waitid(P_PID, (id_t)pid, NULL, WEXITED | WNOWAIT);
	snprintf(arguments, sizeof(arguments), "--pid %d --addr 0x1000", (int)pid);
	check("a zombie", 2, "(a zombie)", arguments);
	waitpid(pid, NULL, 0);
	check("a process that is not there", 2, "none of this number", arguments);
	check("a kernel thread", 2, "kernel thread", "--pid 2 --addr 0x1000");
	check("a frame beyond memory", 2, "no memory in page frame", "--pfn 0xffffffffff");
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fputs("usage: tool_reason PATH-TO-RMAP\n", stderr);
		return 2;
	}
	rmap = argv[1];
	page_size = (size_t)sysconf(_SC_PAGESIZE);
	check_memory();
	check_device();
	check_guard();
	check_protected();
	check_sharing();
	check_processes();
	printf("tool_reason: %d of %d answers give the right reason\n", checks - failures, checks);
	return failures ? 1 : 0;
}
