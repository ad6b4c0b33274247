/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * figures.c - the figures of a run on the VM, as a line and as JSON; see figures.h
 */
#include "figures.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIGURE(name)                                                                                                   \
	{                                                                                                              \
#name, offsetof(struct vm_statistics, name)                                                            \
	}

static const struct figure {
	const char *name;
	size_t offset;
} figures[] = {
	FIGURE(faults),       FIGURE(restarts),      FIGURE(copies),        FIGURE(reuses),     FIGURE(duplicates),
	FIGURE(moves),        FIGURE(nonlinear),     FIGURE(locks),         FIGURE(unlocks),    FIGURE(unmaps),
	FIGURE(unmaps_again), FIGURE(unmaps_locked), FIGURE(truncations),   FIGURE(cleared),    FIGURE(refused),
	FIGURE(passes),       FIGURE(searches),      FIGURE(leftovers),     FIGURE(left_again), FIGURE(orphans),
	FIGURE(swap_ins),     FIGURE(swap_outs),     FIGURE(written_back),  FIGURE(reclaimed),  FIGURE(migrated),
	FIGURE(aged),         FIGURE(referenced),    FIGURE(out_of_frames), FIGURE(translated), FIGURE(flushes),
	FIGURE(promoted),     FIGURE(demoted),
	FIGURE(private_copies), FIGURE(copies_taken),
	FIGURE(settled),      FIGURE(wrong),         FIGURE(lock_violations),
	FIGURE(walked),       FIGURE(visits),        FIGURE(visits_empty),  FIGURE(walks_refused),
	FIGURE(conversions),  FIGURE(unconverted),   FIGURE(folios),        FIGURE(splits),     FIGURE(unsplit),
	FIGURE(collapses),    FIGURE(uncollapsed),   FIGURE(given_back),    FIGURE(entries),    FIGURE(entries_split),
};

static uint64_t figure_value(const struct figure *figure, const struct vm_statistics *statistics)
{
	return *(const uint64_t *)((const char *)statistics + figure->offset);
}

/* An object that cannot be had, and a file that cannot be written, are both the end of it. */
static void write_json(const struct stress *stress, const struct vm_statistics *statistics)
{
	json_t *root =
		json_pack("{s:s, s:I, s:I, s:I, s:s, s:s, s:s, s:s, s:i, s:i, s:{}}", "test", stress->test->name,
			  "seed", (json_int_t)stress->seed, "threads", (json_int_t)stress->threads, "operations",
			  (json_int_t)stress->done, "backend", vm_backend_name(stress->vm.backend), "strategy",
			  stress_strategies[stress->vm.strategy], "semantics", stress_semantics[stress->vm.semantics],
			  "order", stress_orders[stress->vm.order], "clusters", (int)stress->vm.clusters, "folios",
			  (int)stress->vm.folios, "figures");
	json_t *table = json_object_get(root, "figures");
	bool written = table != NULL;

	for (size_t i = 0; written && i < sizeof(figures) / sizeof(figures[0]); i++)
		written = json_object_set_new(table, figures[i].name,
					      json_integer((json_int_t)figure_value(&figures[i], statistics))) == 0;
	errno = 0;
	if (!written || json_dump_file(root, stress->vm.json, JSON_INDENT(1)) != 0) {
		fprintf(stderr, "rmap-stress: --json: cannot write '%s': %s\n", stress->vm.json,
			errno ? strerror(errno) : "no memory");
		exit(2);
	}
	json_decref(root);
}

void figures_print(const struct stress *stress, const struct vm_statistics *statistics)
{
	printf("  backend=%s strategy=%s semantics=%s order=%s clusters=%u folios=%u:",
	       vm_backend_name(stress->vm.backend), stress_strategies[stress->vm.strategy],
	       stress_semantics[stress->vm.semantics], stress_orders[stress->vm.order], stress->vm.clusters,
	       stress->vm.folios);
	for (size_t i = 0; i < sizeof(figures) / sizeof(figures[0]); i++)
		printf(" %s=%" PRIu64, figures[i].name, figure_value(&figures[i], statistics));
	putchar('\n');
	if (stress->vm.json)
		write_json(stress, statistics);
}
