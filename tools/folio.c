/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * folio.c - kernels that tell averages; see folio.h
 */
#include "folio.h"

#include "verify.h"

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
