/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * user.c - what tasks do: write to memory that they share with those they forked, and look whether they find it so
 * again
 *
 * All of it is in one section, which is mapped elsewhere than it was linked to: no calls, and no constants that would
 * be data.
 */
#include "kernel.h"

#define ROUNDS 100000u
#define FORKS 5u

#define USER __attribute__((section(".user"), noinline, used))

static inline __attribute__((always_inline)) int64_t call(uint64_t number, uint64_t argument)
{
	register uint64_t a0 __asm__("a0") = argument;
	register uint64_t a7 __asm__("a7") = number;

	__asm__ volatile("ecall" : "+r"(a0) : "r"(a7) : "memory");
	return (int64_t)a0;
}

/* Each word of memory has its complement beside it, and the task knows their sum. */
USER void user_main(uint64_t seed)
{
	uint64_t sum = 0;
	uint64_t forks = 0;

	for (unsigned round = 0; round < ROUNDS; round++) {
		uint64_t now = 0;

		for (uint64_t page = 0; page + 1 < USER_PAGES; page++) {
			volatile uint64_t *first = (volatile uint64_t *)(USER_DATA + page * FRAME_BYTES + 1024);

			if (round > 0 && first[0] != ~first[1])
				call(CALL_EXIT, 1);
			if (round == 0 || seed >> (page % 8) & 1) {
				sum += seed - (round ? first[0] : 0);
				first[0] = seed;
				first[1] = ~seed;
			}
			now += first[0];
			seed ^= seed << 13;
			seed ^= seed >> 7;
			seed ^= seed << 17;
		}
		if (now != sum)
			call(CALL_EXIT, 2);
		if ((seed >> 40 & 15) == 0 && forks < FORKS) {
			forks++;
			seed ^= call(CALL_FORK, 0) == 0 ? 0x5bd1e995u : 0;
		}
	}
	call(CALL_EXIT, 0);
	for (;;)
		;
}
