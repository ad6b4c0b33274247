/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * figures.h - the figures of a snapshot that text and JSON both show
 */
#ifndef FIGURES_H
#define FIGURES_H

#include "verify.h"

/** Mapcounts by powers of two: bucket i holds 2^i .. 2^(i+1) - 1. */
#define BUCKETS 23

/** What the same pages take in other systems; see figures.c for how each is counted. */
enum design {
	DESIGN_RMAP,
	DESIGN_PTE_CHAIN,
	DESIGN_KVM,
	DESIGN_FREEBSD,
	DESIGN_XNU_ARM64,
	DESIGNS,
};

struct figures {
	uint64_t pages;
	uint64_t mappings;
	uint64_t linear;  /* counted only */
	uint64_t direct;  /* in the page's word */
	uint64_t chained; /* in chains */
	uint64_t histogram[BUCKETS];
	uint64_t classes[CLASSES];
	double bytes[DESIGNS];
	double squares; /* the sum of the squares of the pages' mappings */
	struct rmap_statistics stats;
	struct verified verified;
};

/** figures_collect - look at every page; returns a status. Context: as a registered reader */
int figures_collect(const struct system *system, struct figures *figures);

/** figures_error - the error of so many pages or mappings of a sample, of which these are the squares; see sample.h */
uint64_t figures_error(const struct system *system, double squares);

/** struct stretch - the pages of one file, or neighbouring frames of none, that have the same mapcount; or one page */
struct stretch {
	const struct frame *frame; /* the first */
	uint64_t identity;
	uint64_t pages;
	uint32_t mapcount;
};

/**
 * figures_top - the most shared stretches, the most shared first
 * @max:  how many at most; pages that are mapped once are never among them
 * @join: join pages that belong together; otherwise each stretch is one page
 * Return: how many there are; *@out is to be freed
 */
size_t figures_top(const struct system *system, size_t max, bool join, struct stretch **out);

#endif
