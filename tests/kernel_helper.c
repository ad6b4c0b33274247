/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kernel_helper.c - the helpers' side of kernel.c: system calls on command, and nothing else
 *
 * A helper links no map and takes no decision, so what its pagemap says is the kernel's doing alone.
 */
#include "kernel_helper.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static int64_t obey(const struct command *command, const int *files)
{
	void *at = (void *)(uintptr_t)command->address, *to = (void *)(uintptr_t)command->to;
	const uint64_t length = command->length;

	switch (command->kind) {
	case COMMAND_MMAP:
		at = mmap(at, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, files[command->file],
			  (off_t)(command->index * PAGE));
		return at == MAP_FAILED ? -1 : 0;
	case COMMAND_REMAP:
		return remap_file_pages(at, length, 0, command->index, MAP_NONBLOCK);
	case COMMAND_TOUCH:
		*(volatile char *)at = 1;
		return 0;
	case COMMAND_MLOCK:
		return mlock(at, length);
	case COMMAND_MUNLOCK:
		return munlock(at, length);
	case COMMAND_MUNMAP:
		if (munmap(at, length) != 0)
			return -1;
		break;
	case COMMAND_MREMAP:
		if (mremap(at, length, length, MREMAP_MAYMOVE | MREMAP_FIXED, to) == MAP_FAILED)
			return -1;
		break;
	default:
		return 0;
	}
	/* Nobody else shall map anything into the arena's holes. */
	at = mmap(at, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
	return at == MAP_FAILED ? -1 : 0;
}

void helper_main(int socket, const int *files, const int *ends)
{
	struct command command;

	while (read(socket, &command, sizeof(command)) == (ssize_t)sizeof(command)) {
		struct answer answer = { 0, 0 };

		errno = 0;
		if (command.kind == COMMAND_FORK) {
			/* fork(), but with this helper's parent, who waits for all of them. */
			answer.value = syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);
			if (answer.value == 0) {
				socket = ends[command.helper];
				continue;
			}
		} else {
			answer.value = obey(&command, files);
		}
		answer.error = errno;
		if (write(socket, &answer, sizeof(answer)) != (ssize_t)sizeof(answer) || command.kind == COMMAND_EXIT)
			break;
	}
	_exit(0);
}
