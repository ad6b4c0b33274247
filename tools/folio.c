/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * folio.c - large folios, and kernels that tell averages of them; see folio.h
 */
#include "folio.h"

#include "verify.h"

#include <errno.h>
#include <glob.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FOLIO_MAX 65536
#define WINDOW 512

/* Flags of neighbouring frames, read together. */
struct window {
	bool filled;
	uint64_t first;
	uint64_t flags[WINDOW];
};

static uint64_t flags_at(const struct procfs *procfs, struct window *window, uint64_t pfn)
{
	if (!window->filled || pfn - window->first >= WINDOW) {
		uint64_t pfns[WINDOW];

		window->filled = true;
		window->first = pfn - pfn % WINDOW;
		for (uint64_t i = 0; i < WINDOW; i++)
			pfns[i] = window->first + i;
		procfs_flags(procfs, pfns, WINDOW, window->flags);
	}
	return window->flags[pfn - window->first];
}

struct folio folio_of(const struct procfs *procfs, uint64_t pfn)
{
	struct folio folio = { .head = pfn };
	struct window window = { .filled = false };

	while (folio.head && pfn - folio.head < FOLIO_MAX && flags_at(procfs, &window, folio.head) & KPF_COMPOUND_TAIL)
		folio.head--;
	do
		folio.pages++;
	while (folio.pages < FOLIO_MAX && flags_at(procfs, &window, folio.head + folio.pages) & KPF_COMPOUND_TAIL);
	return folio;
}

static bool read_figure(const char *path, uint64_t *value)
{
	FILE *file = fopen(path, "re");
	bool read = file && fscanf(file, "%" SCNu64, value) == 1;

	if (file)
		fclose(file);
	return read;
}

/*
 * Below @mm/@directory is a directory for each size; where @figure in it is not 0, such pages exist. @least becomes the
 * smallest such size, in pages. False if the directory is there, but not the figure of any size.
 */
static bool find_least(const struct procfs *procfs, const char *directory, const char *figure, uint64_t *least)
{
	char path[256];
	uint64_t kilobytes, n;
	bool told = false;
	glob_t sizes;

	snprintf(path, sizeof(path), "%s/%s", procfs->mm, directory);
	if (access(path, F_OK))
		return errno == ENOENT;
	snprintf(path, sizeof(path), "%s/%s/hugepages-*kB", procfs->mm, directory);
	if (glob(path, GLOB_ERR, NULL, &sizes))
		return false;
	for (size_t i = 0; i < sizes.gl_pathc; i++) {
		const char *size = strrchr(sizes.gl_pathv[i], '-');

		snprintf(path, sizeof(path), "%s/%s", sizes.gl_pathv[i], figure);
		/* Sizes that files alone can have lack the figure of anonymous memory. */
		if (sscanf(size, "-%" SCNu64, &kilobytes) != 1 || !read_figure(path, &n))
			continue;
		told = true;
		kilobytes >>= procfs->page_shift - 10;
		if (n && kilobytes < *least)
			*least = kilobytes;
	}
	globfree(&sizes);
	return told;
}

uint64_t folio_least(const struct procfs *procfs)
{
	uint64_t least = UINT64_MAX, merged = 0;
	char path[256];

	if (!procfs->mm || access(procfs->mm, F_OK))
		return 1;
	snprintf(path, sizeof(path), "%s/ksm", procfs->mm);
	if (!access(path, F_OK) || errno != ENOENT) {
		snprintf(path, sizeof(path), "%s/ksm/pages_shared", procfs->mm);
		if (!read_figure(path, &merged) || merged)
			return 1;
	}
	if (!find_least(procfs, "transparent_hugepage", "stats/nr_anon", &least) ||
	    !find_least(procfs, "hugepages", "nr_hugepages", &least))
		return 1;
	return least;
}

void folio_sum_add(struct folio_sum *sum, uint64_t ours, uint64_t kernel)
{
	sum->uneven |= sum->pages && ours != sum->ours;
	sum->differing |= sum->pages && kernel != sum->kernel;
	sum->above |= ours > kernel;
	sum->mappings += ours;
	sum->ours = ours;
	sum->kernel = kernel;
	sum->pages++;
}

bool folio_is_average(const struct system *system, const struct folio_sum *sum)
{
	uint64_t average = sum->pages ? (sum->mappings + sum->pages / 2) / sum->pages : 0;

	return sum->mappings && !sum->differing && counts_fit(system, average ? average : 1, sum->kernel);
}

bool folio_proves_average(const struct system *system, const struct folio_sum *sum)
{
	/* What we do not know of, processes that may not be read may map: then only knowing more than it proves. */
	return sum->uneven && folio_is_average(system, sum) && (sum->above || !system->refused);
}
