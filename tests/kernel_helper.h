/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kernel_helper.h - processes that map, touch and fork as they are told, and who tells them; see kernel.c
 */
#ifndef TESTS_KERNEL_HELPER_H
#define TESTS_KERNEL_HELPER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define PAGE ((uint64_t)4096)

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

/* What helpers are told, and what they answer. */
enum command_kind {
	COMMAND_MMAP,
	COMMAND_MUNMAP,
	COMMAND_MREMAP,
	COMMAND_REMAP,
	COMMAND_READ,
	COMMAND_WRITE,
	COMMAND_MADVISE,
	COMMAND_MPROTECT,
	COMMAND_MLOCK,
	COMMAND_MUNLOCK,
	COMMAND_FORK,
	COMMAND_EXIT,
};

/*
 * struct command
 * @helper: FORK: which slot the child takes
 * @how:    MMAP: its flags; MADVISE: the advice; MPROTECT: the protection
 * @index:  MMAP, REMAP: of the file's page. WRITE: which word of each page
 * @value:  WRITE: of the first page; that of each next one is one more
 */
struct command {
	enum command_kind kind;
	unsigned helper;
	unsigned file;
	int how;
	uint64_t address, length, to, index, value;
};

struct answer {
	int64_t value;
	int error;
};

#define CREW_MAX 8u

/*
 * struct crew - the helpers, as their commander sees them
 * @pid:     0: there is none in this slot
 * @socket:  the commander's end
 * @end:     the helpers' end; they keep all of them, for their children
 * @pagemap: /proc/PID/pagemap, open
 */
struct crew {
	unsigned n;
	struct {
		pid_t pid;
		int socket;
		int end;
		int pagemap;
	} at[CREW_MAX];
};

/* Starts helper 0, which knows @files, the memfds, by number. From a process of one thread. */
void crew_start(struct crew *crew, unsigned n, const int *files);
struct answer crew_tell(const struct crew *crew, unsigned h, struct command command);
/* The same, and it must succeed. */
void crew_order(const struct crew *crew, unsigned h, struct command command);
void crew_fork(struct crew *crew, unsigned h, unsigned child);
/*
 * Its arena is unmapped before: whoever reads /proc/PID/smaps at that moment keeps the memory of a process that has
 * ended for as long, with all its ptes.
 */
void crew_exit(struct crew *crew, unsigned h, uint64_t address, uint64_t length);
/* After all of them have ended. */
void crew_fini(struct crew *crew);
unsigned crew_alive(const struct crew *crew);
/* Is this within one vma of the kernel's? */
bool crew_one_vma(const struct crew *crew, unsigned h, uint64_t address, uint64_t length);

#endif
