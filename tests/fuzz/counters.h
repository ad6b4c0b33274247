/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * counters.h - where the compiler put the coverage counters of the code under test
 */
#ifndef FUZZ_COUNTERS_H
#define FUZZ_COUNTERS_H

extern char *const counters_start;
extern char *const counters_end;

#endif
