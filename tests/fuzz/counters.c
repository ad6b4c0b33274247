/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * counters.c - a file of its own, built without coverage: the compiler's coverage pass declares these names itself, and
 * in a file that has them already it renames its own and registers nothing
 */
#include "counters.h"

extern char __start___sancov_cntrs[] __attribute__((visibility("hidden")));
extern char __stop___sancov_cntrs[] __attribute__((visibility("hidden")));

char *const counters_start = __start___sancov_cntrs;
char *const counters_end = __stop___sancov_cntrs;
