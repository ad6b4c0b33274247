/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * tool_refuse.c - run a command while one of its system calls is refused, as containers and shortages do
 *
 *      tool_refuse --list                             name the system calls that may be refused here
 *      tool_refuse CALL ERROR AFTER COMMAND...        after @AFTER calls of CALL, each further one fails with ERROR
 *      tool_refuse CALL count 0 COMMAND...            refuse none, say nothing but how many calls there were
 *
 * A seccomp filter hands each call of that number to this process, which counts it and answers for the kernel; all
 * other calls go on undisturbed. So one program can be tried with a call that fails from the start, as in a container,
 * and with one that fails later, as when descriptors run out. One that always fails is refused by the filter itself, as
 * containers do it; then the command may be another tool_refuse. ERROR is one of the names in the table below.
 *
 * Exit status: the command's, or 128 + the signal that ended it; 77 if this kernel has no such filters.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define SKIPPED 77

struct named {
	const char *name;
	int number;
};

/*
 * All that `rmap` was seen to call, but for what no program with glibc can be refused: futex and rt_sigprocmask, brk
 * (which never fails with an errno), exit_group, and what only its start calls.
 */
static const struct named calls[] = {
	{ "clone", SYS_clone },
	{ "clone3", SYS_clone3 },
	{ "close", SYS_close },
	{ "fcntl", SYS_fcntl },
	{ "fsync", SYS_fsync },
	{ "getdents64", SYS_getdents64 },
	{ "getpid", SYS_getpid },
	{ "getrandom", SYS_getrandom },
	{ "ioctl", SYS_ioctl },
	{ "kcmp", SYS_kcmp },
	{ "madvise", SYS_madvise },
	{ "membarrier", SYS_membarrier },
	{ "mmap", SYS_mmap },
	{ "mprotect", SYS_mprotect },
	{ "mremap", SYS_mremap },
	{ "munmap", SYS_munmap },
	{ "newfstatat", SYS_newfstatat },
	{ "openat", SYS_openat },
	{ "ppoll", SYS_ppoll },
	{ "pread64", SYS_pread64 },
	{ "prlimit64", SYS_prlimit64 },
	{ "read", SYS_read },
	{ "readlinkat", SYS_readlinkat },
	{ "renameat", SYS_renameat },
	{ "rseq", SYS_rseq },
	{ "rt_sigaction", SYS_rt_sigaction },
	{ "sched_getaffinity", SYS_sched_getaffinity },
	{ "set_robust_list", SYS_set_robust_list },
	{ "statx", SYS_statx },
	{ "sysinfo", SYS_sysinfo },
	{ "umask", SYS_umask },
	{ "uname", SYS_uname },
	{ "unlinkat", SYS_unlinkat },
	{ "write", SYS_write },
#ifdef SYS_poll
	{ "poll", SYS_poll },
	{ "rename", SYS_rename },
	{ "unlink", SYS_unlink },
#endif
};
#define CALLS (sizeof(calls) / sizeof(calls[0]))

static const struct named errors[] = {
	{ "count", 0 },       { "EACCES", EACCES }, { "EINTR", EINTR },   { "EIO", EIO },
	{ "EMFILE", EMFILE }, { "ENFILE", ENFILE }, { "ENOMEM", ENOMEM }, { "EPERM", EPERM },
	{ "ENOSYS", ENOSYS }, { "ENOSPC", ENOSPC }, { "ENOTTY", ENOTTY },
};
#define ERRORS (sizeof(errors) / sizeof(errors[0]))

static int number_of(const struct named *list, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(list[i].name, name))
			return list[i].number;
	fprintf(stderr, "tool_refuse: it knows no \"%s\"\n", name);
	exit(2);
}

/* The message that carries a descriptor over a socket. */
union control {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(sizeof(int))];
};

static struct msghdr message_of(union control *control, struct iovec *text)
{
	return (struct msghdr){
		.msg_iov = text, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(*control)
	};
}

/* Have the kernel do @action with each call @number from now on; returns what seccomp returns. */
static int filter(int number, unsigned flags, unsigned action)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)number, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, action),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(code) / sizeof(code[0]), code };

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
}

/* The command's process: put up the filter, send its descriptor, become the command. */
static void become(int number, int socket, bool quiet, char **command)
{
	char byte = 0;
	struct iovec text = { &byte, 1 };
	union control control = {
		.header = { .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS }
	};
	struct msghdr message = message_of(&control, &text);
	int none = open("/dev/null", O_RDWR | O_CLOEXEC), listener;

	if (quiet && none >= 0 && (dup2(none, STDOUT_FILENO) < 0 || dup2(none, STDERR_FILENO) < 0))
		_exit(SKIPPED);
	listener = filter(number, SECCOMP_FILTER_FLAG_NEW_LISTENER, SECCOMP_RET_USER_NOTIF);
	if (listener < 0)
		_exit(SKIPPED);
	memcpy(CMSG_DATA(&control.header), &listener, sizeof(listener));
	if (sendmsg(socket, &message, 0) != 1)
		_exit(SKIPPED);
	/* Both descriptors close when the command begins, so that the listener hangs up when it ends. */
	execvp(command[0], command);
	_exit(127);
}

/* Receive the filter's descriptor; -1 if there is none. */
static int receive(int socket)
{
	char byte;
	struct iovec text = { &byte, 1 };
	union control control;
	struct msghdr message = message_of(&control, &text);
	int listener = -1;

	if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC) == 1 && CMSG_FIRSTHDR(&message))
		memcpy(&listener, CMSG_DATA(&control.header), sizeof(listener));
	return listener;
}

/* Answer for the kernel until all who are under the filter have ended; returns how many calls there were. */
static unsigned long answer(int listener, int error, unsigned long after)
{
	/* The kernel's structures may be larger than the headers'. */
	union {
		struct seccomp_notif notif;
		char bytes[512];
	} call;
	union {
		struct seccomp_notif_resp resp;
		char bytes[512];
	} reply;
	struct pollfd ready = { .fd = listener, .events = POLLIN };
	unsigned long count = 0;

	while (poll(&ready, 1, -1) >= 0 && !(ready.revents & POLLHUP)) {
		memset(&call, 0, sizeof(call));
		if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &call))
			continue; /* a signal came, or who called has ended */
		memset(&reply, 0, sizeof(reply));
		reply.resp.id = call.notif.id;
		if (count++ < after || !error)
			reply.resp.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
		else
			reply.resp.error = -error;
		(void)ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &reply);
	}
	return count;
}

int main(int argc, char **argv)
{
	int sockets[2], number, error, listener, status;
	unsigned long after, count;
	pid_t child;

	if (argc == 2 && !strcmp(argv[1], "--list")) {
		for (size_t i = 0; i < CALLS; i++)
			puts(calls[i].name);
		return 0;
	}
	if (argc < 5) {
		fputs("usage: tool_refuse CALL ERROR AFTER COMMAND...\n", stderr);
		return 2;
	}
	number = number_of(calls, CALLS, argv[1]);
	error = number_of(errors, ERRORS, argv[2]);
	after = strtoul(argv[3], NULL, 10);
	if (error && !after) {
		if (filter(number, 0, SECCOMP_RET_ERRNO | (unsigned)error))
			return SKIPPED;
		execvp(argv[4], argv + 4);
		return 127;
	}
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets))
		return SKIPPED;
	child = fork();
	if (!child)
		become(number, sockets[1], !error, argv + 4);
	close(sockets[1]);
	listener = child > 0 ? receive(sockets[0]) : -1;
	count = listener >= 0 ? answer(listener, error, after) : 0;
	if (child < 0 || waitpid(child, &status, 0) != child)
		return SKIPPED;
	if (!error && WIFEXITED(status) && WEXITSTATUS(status) != SKIPPED)
		printf("%lu\n", count);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
