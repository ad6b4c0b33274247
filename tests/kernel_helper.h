/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kernel_helper.h - a process that maps, touches and forks as it is told; see kernel.c
 */
#ifndef TESTS_KERNEL_HELPER_H
#define TESTS_KERNEL_HELPER_H

#include <stdint.h>

#define PAGE ((uint64_t)4096)

/* What helpers are told, and what they answer. */
enum command_kind {
	COMMAND_MMAP,
	COMMAND_MUNMAP,
	COMMAND_MREMAP,
	COMMAND_REMAP,
	COMMAND_TOUCH,
	COMMAND_MLOCK,
	COMMAND_MUNLOCK,
	COMMAND_FORK,
	COMMAND_EXIT,
};

struct command {
	enum command_kind kind;
	unsigned helper; /* FORK: which slot the child takes */
	unsigned file;
	uint64_t address, length, to, index;
};

struct answer {
	int64_t value;
	int error;
};

/*
 * Obeys the commands that come in at @socket until EXIT or the end. @files are the memfds by number, @ends the helpers'
 * ends of all sockets: a child of FORK takes the one it is told.
 */
__attribute__((noreturn)) void helper_main(int socket, const int *files, const int *ends);

#endif
