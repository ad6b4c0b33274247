/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * clusters.c - page clustering: one element of a chain stands for a window of 16 neighbouring ptes
 *
 * A software page of 16 hardware pages is mapped by ptes that mostly lie side by side. With multiplicity_bits = 4 the
 * library keeps one element per window with the number of its ptes that map the page; the walk hands out windows, and
 * the embedder scans each for the ptes themselves ("blast radius").
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rmap/walk.h>

#define WINDOW 16

/*
 * The embedder's page table; a pte holds the page it maps. Aligned, so that a window begins at a multiple of its size.
 */
static struct page *table[512] __attribute__((aligned(4096)));

struct page {
	struct rmap_page rmap;
};

static int must(int result, const char *what)
{
	if (result < 0) {
		fprintf(stderr, "clusters: %s: %s\n", what, strerror(-result));
		exit(1);
	}
	return result;
}

static void map_ptes(struct rmap_reserve *reserve, struct page *page, unsigned first, unsigned n)
{
	struct rmap *map = rmap_reserve_map(reserve);
	unsigned i;

	must(rmap_reserve_fill(reserve, n), "cannot fill the reserve");
	rmap_read_lock(map);
	for (i = first; i < first + n; i++) {
		must(rmap_page_add(reserve, &page->rmap, rmap_chained((uintptr_t)&table[i])), "cannot add a mapping");
		table[i] = page;
	}
	rmap_read_unlock(map);
}

/* Unmaps what the window holds of the page: remove is one of the operations that a visitor may do. */
struct unmap {
	struct rmap_reserve *reserve;
	struct page *page;
};

static int unmap_window(void *arg, const struct rmap_visit *visit)
{
	struct unmap *unmap = arg;
	struct page **pte = (struct page **)(uintptr_t)visit->handle;
	uint32_t left = visit->count;
	int events;

	printf("window at pte %td: %" PRIu32 " to find:", pte - table, left);
	for (; left; pte++) {
		if (*pte != unmap->page)
			continue;
		*pte = NULL;
		left--;
		printf(" %td", pte - table);
		events = must(rmap_page_remove(unmap->reserve, &unmap->page->rmap, rmap_chained((uintptr_t)pte)),
			      "cannot remove a mapping");
		if (events & RMAP_LAST)
			printf(", the last");
	}
	printf("\n");
	return 0;
}

int main(void)
{
	struct rmap_options options = RMAP_OPTIONS_DEFAULT;
	struct page page = { .rmap = { 0 } };
	struct rmap_reserve *reserve;
	struct rmap_shape shape;
	struct unmap unmap;
	struct rmap *map;

	options.multiplicity_bits = 4;
	must(rmap_create(&options, &map), "cannot create the map");
	rmap_thread_register(map);
	must(rmap_reserve_create(map, &reserve), "cannot create the reserve");

	map_ptes(reserve, &page, 2 * WINDOW, WINDOW); /* a whole window */
	map_ptes(reserve, &page, 5 * WINDOW + 3, 2);  /* two ptes of another */

	unmap = (struct unmap){ reserve, &page };
	rmap_read_lock(map);
	must(rmap_page_check(map, &page.rmap, &shape), "the page does not check");
	printf("mapcount %" PRIu32 " in %" PRIu32 " elements\n", rmap_page_mapcount(map, &page.rmap), shape.elements);
	must(rmap_walk(map, &(struct rmap_target){ .page = &page.rmap }, unmap_window, &unmap, NULL), "walk");
	rmap_read_unlock(map);

	rmap_reserve_destroy(reserve);
	rmap_thread_unregister(map);
	must(rmap_destroy(map), "cannot destroy the map");
	return 0;
}
