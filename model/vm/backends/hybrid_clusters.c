/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hybrid_clusters.c - librmap, whose chains have an element for each window of 16 neighbouring ptes
 *
 * Names are those of hybrid.c, and the map's multiplicity makes one of all in a window: an element has the window's
 * first vpn, and how many of its ptes map the page. A walk looks at the whole window ("blast radius"), which begins at
 * a multiple of 16 and so lies in one table.
 *
 * Good where a page is mapped by several ptes next to each other, as pages of several pieces are: then a window is one
 * element instead of up to 16, and one visit. Where a page is mapped by one pte of a window it is the memory of
 * hybrid.c, and a look at 15 ptes more.
 */
#include "library.h"
#include "ptes.h"

#define WINDOW_BITS 4u
#define WINDOW (1u << WINDOW_BITS)

static bool clusters_look(struct looking *looking, uint64_t handle, uint32_t count)
{
	uint64_t vpn = handle_vpn(handle);

	return library_look(looking, handle_mm(looking->thread->vm, handle), vpn, vpn + WINDOW, count);
}

static int clusters_create(struct vm *vm)
{
	static const struct chaining chaining = { .bits = WINDOW_BITS, .look = clusters_look };

	return library_create(vm, &chaining);
}

const struct vm_backend vm_backend_hybrid_clusters = {
	.name = "hybrid-clusters",
	.summary = "librmap, an element of a chain for 16 neighbouring ptes",
	.traits = LIBRARY_TRAITS,
	.create = clusters_create,
	PTES_OPERATIONS,
	LIBRARY_OPERATIONS,
};
