/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ranges.h - what keeps the ranges of an object: librmap, and the peer that it is measured against
 *
 * Updates take so long that a call through a pointer is nothing beside them; stabs are quick, and a call makes many.
 */
#ifndef BENCH_RANGES_H
#define BENCH_RANGES_H

#include <rmap/object.h>

#include "bench.h"

/* How many stabs one read-side section has, where there are such. */
#define RANGES_SECTION ((size_t)32)

/**
 * struct ranges_index - a kind of index of ranges
 * @open:  an empty one, or NULL; @close: 0, or -1 if something is left
 * @attach, @detach, @move, @split, @resize: as rmap_object_attach() and its like: 0, or less. By any thread
 * @detach_all: @n ranges go in one update; NULL: it has no such
 * @stabs: of @n indexes: how many ranges were found, and *@sum of their owners
 * @bytes: what the ranges take
 * @settle: wait for what was left to other threads
 */
struct ranges_index {
	const char *name;
	void *(*open)(void);
	int (*close)(void *index);
	int (*attach)(void *index, const struct rmap_range *range);
	int (*detach)(void *index, const struct rmap_range *range);
	int (*detach_all)(void *index, const struct rmap_range *ranges, size_t n);
	int (*move)(void *index, const struct rmap_range *range, uint64_t address);
	int (*split)(void *index, const struct rmap_range *range, uint64_t at);
	int (*resize)(void *index, const struct rmap_range *range, uint64_t first, uint64_t last);
	size_t (*stabs)(void *index, const uint64_t *at, size_t n, uint64_t *sum);
	uint64_t (*bytes)(void *index);
	void (*settle)(void *index);
};

extern const struct ranges_index ranges_interval; /* peers/interval.c */
extern const struct ranges_index ranges_rmap;     /* ranges_rmap.c */

/** ranges_check - the test that both pass before either is timed: 0, or -1 after a message (ranges_check.c) */
int ranges_check(const struct ranges_index *kind);

#endif
