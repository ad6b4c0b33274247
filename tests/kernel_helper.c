/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kernel_helper.c - the helpers of kernel.c: system calls on command, and nothing else; and how they are commanded
 *
 * A helper links no map and takes no decision, so what its pagemap says is the kernel's doing alone.
 */
#include "kernel_helper.h"

#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* A helper's side ------------------------------------------------------------------------------------------------- */

static int64_t touch(const struct command *command)
{
	for (uint64_t i = 0; i < command->length / PAGE; i++) {
		volatile uint64_t *page = (uint64_t *)(uintptr_t)(command->address + i * PAGE);

		if (command->kind == COMMAND_WRITE)
			page[command->index] = command->value + i;
		else
			(void)page[command->index];
	}
	return 0;
}

static int64_t obey(const struct command *command, const int *files)
{
	void *at = (void *)(uintptr_t)command->address, *to = (void *)(uintptr_t)command->to;
	const uint64_t length = command->length;

	switch (command->kind) {
	case COMMAND_MMAP:
		at = mmap(at, length, PROT_READ | PROT_WRITE, MAP_FIXED | command->how,
			  command->how & MAP_ANONYMOUS ? -1 : files[command->file], (off_t)(command->index * PAGE));
		return at == MAP_FAILED ? -1 : 0;
	case COMMAND_REMAP:
		return remap_file_pages(at, length, 0, command->index, MAP_NONBLOCK);
	case COMMAND_READ:
	case COMMAND_WRITE:
		return touch(command);
	case COMMAND_MADVISE:
		return madvise(at, length, command->how);
	case COMMAND_MPROTECT:
		return mprotect(at, length, command->how);
	case COMMAND_MLOCK:
		return mlock(at, length);
	case COMMAND_MUNLOCK:
		return munlock(at, length);
	case COMMAND_EXIT:
		return munmap(at, length);
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

/* Obeys the commands that come in at @h's socket until EXIT or the end. A child of FORK takes the slot it is told. */
__attribute__((noreturn)) static void helper_main(const struct crew *crew, unsigned h, const int *files)
{
	struct command command;

	while (read(crew->at[h].end, &command, sizeof(command)) == (ssize_t)sizeof(command)) {
		struct answer answer = { 0, 0 };

		errno = 0;
		if (command.kind == COMMAND_FORK) {
			/* fork(), but with this helper's parent, who waits for all of them. */
			answer.value = syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);
			if (answer.value == 0) {
				h = command.helper;
				continue;
			}
		} else {
			answer.value = obey(&command, files);
		}
		answer.error = errno;
		if (write(crew->at[h].end, &answer, sizeof(answer)) != (ssize_t)sizeof(answer) ||
		    command.kind == COMMAND_EXIT)
			break;
	}
	_exit(0);
}

/* The commander's side -------------------------------------------------------------------------------------------- */

struct answer crew_tell(const struct crew *crew, unsigned h, struct command command)
{
	struct pollfd ready = { crew->at[h].socket, POLLIN, 0 };
	struct answer answer;

	expect(write(ready.fd, &command, sizeof(command)) == (ssize_t)sizeof(command));
	if (poll(&ready, 1, 60000) != 1 || read(ready.fd, &answer, sizeof(answer)) != (ssize_t)sizeof(answer)) {
		fprintf(stderr, "helper %u did not answer command %d\n", h, (int)command.kind);
		expect(!"an answer");
	}
	return answer;
}

void crew_order(const struct crew *crew, unsigned h, struct command command)
{
	struct answer answer = crew_tell(crew, h, command);

	if (answer.value < 0)
		fprintf(stderr, "command %d: %s\n", (int)command.kind, strerror(answer.error));
	expect(answer.value >= 0);
}

static void know(struct crew *crew, unsigned h, pid_t pid)
{
	char name[64];

	expect(pid > 0);
	snprintf(name, sizeof(name), "/proc/%d/pagemap", (int)pid);
	crew->at[h].pid = pid;
	crew->at[h].pagemap = open(name, O_RDONLY | O_CLOEXEC);
	expect(crew->at[h].pagemap >= 0);
}

void crew_start(struct crew *crew, unsigned n, const int *files)
{
	int ends[2];
	pid_t pid;

	expect(n <= CREW_MAX);
	memset(crew, 0, sizeof(*crew));
	crew->n = n;
	for (unsigned h = 0; h < n; h++) {
		expect(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
		crew->at[h].socket = ends[0];
		crew->at[h].end = ends[1];
	}
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		for (unsigned h = 0; h < n; h++)
			close(crew->at[h].socket); /* so that all helpers end when the commander does */
		helper_main(crew, 0, files);
	}
	know(crew, 0, pid);
}

void crew_fork(struct crew *crew, unsigned h, unsigned child)
{
	struct command command = { .kind = COMMAND_FORK, .helper = child };

	know(crew, child, (pid_t)crew_tell(crew, h, command).value);
}

void crew_exit(struct crew *crew, unsigned h, uint64_t address, uint64_t length)
{
	crew_order(crew, h, (struct command){ .kind = COMMAND_EXIT, .address = address, .length = length });
	expect(waitpid(crew->at[h].pid, NULL, 0) == crew->at[h].pid);
	close(crew->at[h].pagemap);
	crew->at[h].pid = 0;
}

void crew_fini(struct crew *crew)
{
	for (unsigned h = 0; h < crew->n; h++) {
		close(crew->at[h].socket);
		close(crew->at[h].end);
	}
}

unsigned crew_alive(const struct crew *crew)
{
	unsigned alive = 0;

	for (unsigned h = 0; h < crew->n; h++)
		alive += crew->at[h].pid != 0;
	return alive;
}

bool crew_one_vma(const struct crew *crew, unsigned h, uint64_t address, uint64_t length)
{
	uint64_t begin, end;
	bool found = false;
	char name[64], line[512];
	FILE *maps;

	snprintf(name, sizeof(name), "/proc/%d/maps", (int)crew->at[h].pid);
	maps = fopen(name, "r");
	expect(maps != NULL);
	while (fgets(line, sizeof(line), maps)) {
		if (sscanf(line, "%" SCNx64 "-%" SCNx64, &begin, &end) == 2)
			found |= begin <= address && address + length <= end;
	}
	fclose(maps);
	return found;
}
