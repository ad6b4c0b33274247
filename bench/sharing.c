/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sharing.c - how many mappings each page of a machine has: as published, or as recorded
 */
#include "sharing.h"

#include <stdio.h>
#include <stdlib.h>

#include "../tools/file.h"
#include "chain.h"

void sharing_fini(struct sharing *sharing)
{
	free(sharing->mappings);
	*sharing = (struct sharing){ 0 };
}

/* The mappings of published page number @i, 0 .. the sum of all bins - 1. */
static uint32_t published_mappings(size_t i)
{
	const struct chain_bin *bin = chain_distribution;

	for (; i >= bin->pages; bin++)
		i -= bin->pages;
	return bin->least + (uint32_t)i % (bin->greatest - bin->least + 1);
}

void sharing_shuffle(uint32_t *items, size_t n)
{
	uint64_t random = 0x9e3779b97f4a7c15u;

	for (size_t i = n; i > 1; i--) {
		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		size_t k = (size_t)(((random >> 32) * i) >> 32);
		uint32_t swapped = items[k];

		items[k] = items[i - 1];
		items[i - 1] = swapped;
	}
}

int sharing_publish(struct sharing *sharing, size_t pages)
{
	size_t published = 0;

	for (const struct chain_bin *bin = chain_distribution; bin->pages; bin++)
		published += bin->pages;
	*sharing = (struct sharing){ .mappings = malloc(pages * sizeof(uint32_t)), .pages = pages };
	if (!sharing->mappings)
		return -1;
	for (size_t i = 0; i < pages; i++) {
		sharing->mappings[i] = published_mappings((size_t)((double)i * (double)published / (double)pages));
		sharing->total += sharing->mappings[i];
	}
	sharing_shuffle(sharing->mappings, pages);
	return 0;
}

static int compare_frames(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* The frame numbers of all ptes, sorted; their number in *@n. */
static uint64_t *all_ptes(const struct system *system, size_t *n)
{
	uint64_t *frames = NULL;
	size_t capacity = 0;

	*n = 0;
	for (size_t i = 0; i < system->processes_n; i++) {
		const struct process *process = &system->processes[i];

		frames = grow(frames, &capacity, *n + process->ptes_n, sizeof(*frames));
		for (size_t k = 0; k < process->ptes_n; k++)
			frames[(*n)++] = process->ptes[k] & PTE_PFN;
	}
	if (*n)
		qsort(frames, *n, sizeof(*frames), compare_frames);
	return frames;
}

int sharing_load(struct sharing *sharing, const char *path)
{
	struct system system;
	size_t n, capacity = 0, frame = 0;

	*sharing = (struct sharing){ 0 };
	system_init(&system);
	if (file_load(path, &system)) {
		system_fini(&system);
		return -1;
	}
	uint64_t *ptes = all_ptes(&system, &n);

	/* What was recorded of frames is in the order of their numbers, too, one for each that a pte maps. */
	for (size_t i = 0, end; i < n; i = end, frame++) {
		for (end = i; end < n && ptes[end] == ptes[i]; end++)
			;
		if (frame < system.recorded_n && system.recorded[frame].flags & KPF_ZERO_PAGE)
			continue;
		sharing->mappings = grow(sharing->mappings, &capacity, sharing->pages + 1, sizeof(*sharing->mappings));
		sharing->mappings[sharing->pages++] = (uint32_t)(end - i);
		sharing->total += end - i;
	}
	free(ptes);
	system_fini(&system);
	if (sharing->pages)
		return 0;
	fprintf(stderr, "rmap bench: \"%s\" has no pages: record a system by rmap snapshot --save\n", path);
	return -1;
}
