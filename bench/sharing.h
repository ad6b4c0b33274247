/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sharing.h - how many mappings each page of a machine has
 */
#ifndef BENCH_SHARING_H
#define BENCH_SHARING_H

#include <stddef.h>
#include <stdint.h>

/** struct sharing - @mappings of each of @pages pages, @total of all together */
struct sharing {
	uint32_t *mappings;
	size_t pages;
	size_t total;
};

/** sharing_publish - @pages pages as published for a real guest, in an order without a pattern; 0, or -1 */
int sharing_publish(struct sharing *sharing, size_t pages);

/**
 * sharing_load - the pages of a system that was recorded in the file @path, in the order of their frames' numbers
 *
 * Zero pages, which nobody's reverse map keeps, are left out.
 * Return: 0, or -1 after a message
 */
int sharing_load(struct sharing *sharing, const char *path);

/** sharing_shuffle - put @items into an order without a pattern, the same one each time */
void sharing_shuffle(uint32_t *items, size_t n);

void sharing_fini(struct sharing *sharing);

#endif
