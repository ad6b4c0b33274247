/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kernel.h - what the files of the kernel share
 */
#ifndef KERNEL_H
#define KERNEL_H

#include "kernel_env.h"

#include <rmap/rcu.h>

#define HARTS 3u
#define FRAME_BYTES 4096u

/* Tasks' memory, and what they ask of the kernel. */
#define USER_CODE 0x40000000ul
#define USER_DATA 0x40010000ul
#define USER_PAGES 17u /* the last is the stack */
#define USER_END (USER_DATA + USER_PAGES * FRAME_BYTES)
enum { CALL_FORK, CALL_EXIT };

#define FINISHER (*(volatile uint32_t *)0x100000ul)

#define csr_read(name) ({ uint64_t value_; __asm__ volatile("csrr %0, " #name : "=r"(value_)); value_; })
#define csr_write(name, value) __asm__ volatile("csrw " #name ", %0" ::"r"((uint64_t)(value)) : "memory")

#define must(condition) ((condition) ? (void)0 : panic(#condition))

struct hart {
	uint64_t counter;
	unsigned sections;
	struct rmap_reserve *reserve;
	struct task *task;
	uint64_t random;
	bool parked;
};

extern struct hart harts[HARTS];

static inline struct hart *self(void)
{
	return &harts[csr_read(mhartid)];
}

void print(const char *text);
void print_number(const char *name, uint64_t value);

/* RCU: here the hart is in no section; or it waits, and may be in one. */
void pass(void);

/* A grace period. */
void synchronize(void);

/* At ticks: what was deferred and has waited. */
void run_deferred(void);

extern const struct rmap_rcu_ops rcu;

/* The library's memory. */
void heap_init(char *begin, size_t bytes);
void *tier_alloc(void *arg, size_t bytes, size_t align);
void tier_free(void *arg, void *place, size_t bytes);

void user_main(uint64_t seed);

#endif
