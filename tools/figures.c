/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * figures.c - the figures of a snapshot; see figures.h
 *
 * What a page with n mappings takes elsewhere, its own fields included. All of these store every mapping, for none
 * tells linear from chained:
 *
 *   pte_chain (Linux 2.5)   8, and for n >= 2 a chain of 64-byte lines: a pointer to the next, and 7 ptes
 *   KVM                     8, and for n >= 2 a chain of 128-byte descriptors of 14 ptes
 *   FreeBSD amd64           16 for the list's head, and a pv_entry for each: 4,096-byte chunks hold 168, so 24.4 bytes
 *   XNU arm64               8, and for n >= 2 entries of 24 bytes that hold two
 *
 * rmap: 8 a page, and what chains take. The ranges of the vmas are not counted, as the others' vmas and shadow pages
 * are not.
 */
#include "figures.h"

#include <stdlib.h>
#include <string.h>

static uint64_t in_units(uint64_t n, uint64_t unit, uint64_t bytes)
{
	return 8 + (n > 1 ? (n + unit - 1) / unit * bytes : 0);
}

static void add_page(struct figures *figures, struct rmap_counts counts)
{
	uint64_t n = (uint64_t)counts.chained + counts.linear;

	figures->mappings += n;
	figures->squares += (double)n * (double)n;
	figures->linear += counts.linear;
	if (counts.chained == 1 && !counts.linear)
		figures->direct++;
	else
		figures->chained += counts.chained;
	if (n)
		figures->histogram[63 - __builtin_clzll(n)]++;
	figures->bytes[DESIGN_RMAP] += sizeof(struct rmap_page);
	figures->bytes[DESIGN_PTE_CHAIN] += (double)in_units(n, 7, 64);
	figures->bytes[DESIGN_KVM] += (double)in_units(n, 14, 128);
	figures->bytes[DESIGN_FREEBSD] += 16 + (double)n * 4096 / 168;
	figures->bytes[DESIGN_XNU_ARM64] += (double)in_units(n, 2, 24);
}

int figures_collect(const struct system *system, struct figures *figures)
{
	*figures = (struct figures){ .pages = system->frames_n, .stats.size = sizeof(figures->stats) };
	if (rmap_stats(system->map, &figures->stats))
		return complain("the library does not know the statistics this tool asks for: install tool and library "
				"together");
	rmap_read_lock(system->map);
	for (size_t i = 0; i < system->frames_n; i++) {
		const struct frame *frame = &system->frames[i];
		enum frame_class class = frame_class(system, frame);

		add_page(figures, rmap_page_counts(system->map, &system->pages[i]));
		if (class < CLASSES)
			figures->classes[class]++;
	}
	rmap_read_unlock(system->map);
	figures->bytes[DESIGN_RMAP] += (double)figures->stats.chain_bytes;
	figures->verified = verify_sum(system);
	return STATUS_OK;
}

uint64_t figures_error(const struct system *system, double squares)
{
	return (uint64_t)(sample_error(&system->sample, 1, squares) + 0.5);
}

/* The most shared first; then by file and index, so that neighbours stand together; then by number. */
static int compare_stretches(const void *left, const void *right)
{
	const struct stretch *a = left, *b = right;

	if (a->mapcount != b->mapcount)
		return a->mapcount < b->mapcount ? 1 : -1;
	if (a->identity != b->identity)
		return a->identity < b->identity ? -1 : 1;
	return (a->frame > b->frame) - (a->frame < b->frame);
}

static bool belongs(const struct system *system, const struct stretch *stretch, const struct stretch *next)
{
	if (next->mapcount != stretch->mapcount)
		return false;
	if (!stretch->identity)
		return !next->identity &&
		       next->frame == system_frame(system, system_pfn(system, stretch->frame) + stretch->pages);
	return IDENTITY_FILE(next->identity) == IDENTITY_FILE(stretch->identity);
}

/* Put those in order, join what belongs together if @join, and keep @max; returns how many that are. */
static size_t settle(const struct system *system, struct stretch *stretches, size_t n, size_t max, bool join)
{
	size_t kept = 0;

	if (n)
		qsort(stretches, n, sizeof(*stretches), compare_stretches);
	for (size_t i = 0; i < n; i++) {
		if (join && kept && belongs(system, &stretches[kept - 1], &stretches[i]))
			stretches[kept - 1].pages += stretches[i].pages;
		else if (kept < max)
			stretches[kept++] = stretches[i];
		else
			break;
	}
	return kept;
}

/*
 * What is not among the first @max of some pages is not among those of all: what comes later may stand before it or
 * belong to it, but does not bring it forward. So no more than twice as many are kept, and a few.
 */
size_t figures_top(const struct system *system, size_t max, bool join, struct stretch **out)
{
	size_t room = 2 * max + 4096, capacity = 0, n = 0;
	struct stretch *stretches = NULL;

	rmap_read_lock(system->map);
	for (size_t i = 0; i < system->frames_n && max; i++) {
		uint32_t mapcount = rmap_page_mapcount(system->map, &system->pages[i]);

		if (mapcount < 2)
			continue;
		if (n == room)
			n = settle(system, stretches, n, max, join);
		stretches = grow(stretches, &capacity, n + 1, sizeof(*stretches));
		stretches[n++] = (struct stretch){ .frame = &system->frames[i],
						   .pages = 1,
						   .mapcount = mapcount,
						   .identity = frame_identity(system, &system->frames[i]) };
	}
	rmap_read_unlock(system->map);
	*out = stretches;
	return settle(system, stretches, n, max, join);
}
