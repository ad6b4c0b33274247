/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * charges.c - to which cgroups pages are charged, by /proc/kpagecgroup; see charges.h
 *
 * It names a cgroup by the number of its directory (st_ino), 0 if none is charged. Of a large folio's pages but the
 * first one old kernels, 6.1 among them, say 0, too.
 */
#include "charges.h"

#include "folio.h"

#include <stdlib.h>
#include <sys/stat.h>

/* The number of the cgroup @path, where the hierarchy that accounts memory usually is; 0 if it is not there. */
static uint64_t number_of(const char *path)
{
	static const char *const roots[] = { "/sys/fs/cgroup/memory", "/sys/fs/cgroup" };
	char name[4096];
	struct stat stat_of;

	for (size_t i = 0; *path && i < sizeof(roots) / sizeof(roots[0]); i++) {
		snprintf(name, sizeof(name), "%s%s", roots[i], path);
		if (!stat(name, &stat_of))
			return stat_of.st_ino;
	}
	return 0;
}

static int compare_numbers(const void *left, const void *right)
{
	const uint64_t *a = left, *b = right;

	return (*a > *b) - (*a < *b);
}

/* The numbers of the cgroups that the processes are in, in ascending order, to be freed; NULL if one has none. */
static uint64_t *find_numbers(const struct system *system, const struct chosen *chosen, size_t *n)
{
	uint64_t *numbers = zeroed(chosen->n, sizeof(*numbers));
	bool *seen = zeroed(system->names.strings_n, sizeof(*seen)), known = true;

	*n = 0;
	for (size_t i = 0; i < system->processes_n && known; i++) {
		uint32_t name = system->processes[i].cgroup;

		if (!chosen->is_in[i] || seen[name])
			continue;
		seen[name] = true;
		numbers[*n] = number_of(system->names.strings[name]);
		known = numbers[(*n)++];
	}
	free(seen);
	qsort(numbers, *n, sizeof(*numbers), compare_numbers);
	if (known)
		return numbers;
	free(numbers);
	return NULL;
}

/* To whom the frames are charged. */
static bool read_charges(const struct procfs *procfs, const uint64_t *pfns, size_t n, uint64_t *words)
{
	struct folio folio = { 0 };
	uint64_t of_folio = 0;

	if (!procfs_cgroups(procfs, pfns, n, words))
		return false;
	for (size_t i = 0; i < n; i++) {
		if (words[i])
			continue;
		if (pfns[i] - folio.head >= folio.pages) {
			folio = folio_of(procfs, pfns[i]);
			procfs_cgroups(procfs, &folio.head, 1, &of_folio);
		}
		words[i] = of_folio;
	}
	return true;
}

size_t charges_elsewhere(const struct system *system, const struct procfs *procfs, const struct chosen *chosen,
			 const uint64_t *pfns, size_t n)
{
	size_t numbers_n, elsewhere = PAGES_UNKNOWN;
	uint64_t *numbers = find_numbers(system, chosen, &numbers_n), *words = zeroed(n, sizeof(*words));

	if (numbers && read_charges(procfs, pfns, n, words)) {
		elsewhere = 0;
		for (size_t i = 0; i < n; i++)
			elsewhere +=
				words[i] && !bsearch(&words[i], numbers, numbers_n, sizeof(*numbers), compare_numbers);
	}
	free(numbers);
	free(words);
	return elsewhere;
}
