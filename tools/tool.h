/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * tool.h - what every part of the `rmap` command shares: exit codes, complaints, memory, threads
 *
 * A complaint is one sentence on standard error that says what is wrong and what to do. Memory for what the tool
 * reads is taken from malloc; where it runs out the tool says so and ends, for there is nothing useful to do without
 * it. (The library's own shortages are reported by the library and handled where they arise.)
 */
#ifndef TOOL_H
#define TOOL_H

#include "printable.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/** Exit codes of `rmap`. */
enum status {
	STATUS_OK = 0,      /* done, and verified where there is something to verify */
	STATUS_DIFFERS = 1, /* some page's mapcount still differs from the kernel's */
	STATUS_LACKING = 2, /* usage, privilege, kernel support or memory is lacking; a sentence says which */
};

/** complain - print one sentence after "rmap: " on standard error; returns STATUS_LACKING */
int complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/** out_of_memory - end the program, and say why no more memory can be had */
void *out_of_memory(void) __attribute__((noreturn));

/**
 * grow - make room for @need items of @size bytes in @items, which holds *@capacity; ends the program if memory runs
 * out
 */
void *grow(void *items, size_t *capacity, size_t need, size_t size);

/** zeroed - @n zeroed items of @size bytes; ends the program if memory runs out */
void *zeroed(size_t n, size_t size);

/** seconds_now - a monotonic clock */
double seconds_now(void);

/** parse_number - all of @text as a number @min .. @max, decimal or 0x; false if it is not one */
bool parse_number(const char *text, uint64_t min, uint64_t max, uint64_t *out);

/**
 * refusal_of - @error, or if that is ENOMEM and the kernel refuses to map memory, the error with which it does so
 *
 * malloc() says ENOMEM, and so do all that call it, whatever it was that mmap() said.
 */
int refusal_of(int error);

/** What there is to do without privileges, said by whichever command: not all of them take --load. */
#define RECORDED "snapshot, shares and who can study a recorded system, with --load"

/** remedy - what one may do about a system call that failed with @error, to end a complaint */
const char *remedy(int error);

/**
 * team_run - call @work(@arg, 0 .. @threads - 1), each in a thread of its own, and wait for all
 * @threads: at least 1; number 0 is the calling thread
 * Return:   how many threads it had to start; fewer than @threads - 1 if the system gave no more, and errno says why
 */
unsigned team_run(unsigned threads, void (*work)(void *arg, unsigned number), void *arg);

/**
 * struct progress - a bar on standard error, if that is a terminal and the work is long
 *
 * Any thread may call progress_show(), often; the bar appears once the work has lasted a third of a second.
 */
struct progress {
	const char *what;
	double began;
	double shown;
	bool terminal;
	bool drawn;
	atomic_flag drawing; /* one thread is at it; others go on with their work */
};

void progress_begin(struct progress *progress, const char *what);
void progress_show(struct progress *progress, uint64_t done, uint64_t total);
void progress_end(struct progress *progress);

/**
 * printable - @name as printable_copy() writes it; it stays until the second next call
 *
 * Names are kept as they are, and every one that is printed as text passes here.
 */
const char *printable(const char *name);

/** is_unicode - may the terminal be shown block characters? */
bool is_unicode(void);

/** print_bar - a bar of @part / @whole of @width columns; returns how many it has */
unsigned print_bar(FILE *out, double part, double whole, unsigned width);

#endif
