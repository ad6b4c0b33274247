/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fork_family.c - distinct addresses with a multiplicity: fork bumps a number and allocates nothing
 *
 * A page of anonymous memory is mapped by a parent and its children, nearly always at the same address. With
 * multiplicity_bits = 9 an element is an address and how many mms of the family map the page there: 12 low bits of an
 * address are zero, 3 the library keeps for itself, 9 hold the number. A child that moves the mapping (mremap) gets an
 * element of its own.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rmap/walk.h>

#define CHILDREN 99

struct page {
	struct rmap_page rmap;
};

static int must(int result, const char *what)
{
	if (result < 0) {
		fprintf(stderr, "fork_family: %s: %s\n", what, strerror(-result));
		exit(1);
	}
	return result;
}

static int print_visit(void *arg, const struct rmap_visit *visit)
{
	(void)arg;
	printf("at %#" PRIx64 " in %" PRIu32 " of the family's mms\n", visit->handle, visit->count);
	return 0;
}

static void print_page(struct rmap *map, const struct page *page)
{
	struct rmap_shape shape;

	must(rmap_page_check(map, &page->rmap, &shape), "the page does not check");
	printf("mapcount %" PRIu32 ", %" PRIu64 " bytes\n", rmap_page_mapcount(map, &page->rmap), shape.bytes);
	must(rmap_walk(map, &(struct rmap_target){ .page = &page->rmap }, print_visit, NULL, NULL), "walk");
}

static void live(struct rmap_reserve *reserve, struct page *page)
{
	struct rmap *map = rmap_reserve_map(reserve);
	struct rmap_mapping there = rmap_chained(0x400000), elsewhere = rmap_chained(0x900000);
	int i;

	must(rmap_page_add(reserve, &page->rmap, there), "cannot add the parent's mapping");
	for (i = 0; i < CHILDREN; i++)
		must(rmap_page_duplicate(reserve, &page->rmap, there), "cannot fork");
	print_page(map, page);

	must(rmap_page_move(reserve, &page->rmap, there, elsewhere), "cannot move a child's mapping");
	print_page(map, page);

	must(rmap_page_remove(reserve, &page->rmap, elsewhere), "cannot remove the moved mapping");
	for (i = 0; i < CHILDREN - 1; i++)
		must(rmap_page_remove(reserve, &page->rmap, there), "cannot remove a child's mapping");
	if (must(rmap_page_remove(reserve, &page->rmap, there), "cannot remove the parent's mapping") & RMAP_LAST)
		printf("no mapping is left\n");
}

int main(void)
{
	struct rmap_options options = RMAP_OPTIONS_DEFAULT;
	struct page page = { .rmap = { 0 } };
	struct rmap_reserve *reserve;
	struct rmap *map;

	options.multiplicity_bits = 9;
	must(rmap_create(&options, &map), "cannot create the map");
	rmap_thread_register(map);
	must(rmap_reserve_create(map, &reserve), "cannot create the reserve");

	/* Each add, duplicate and move may need a block as far as the reserve knows. */
	must(rmap_reserve_fill(reserve, CHILDREN + 2), "cannot fill the reserve");
	rmap_read_lock(map);
	live(reserve, &page);
	rmap_read_unlock(map);

	rmap_reserve_destroy(reserve);
	rmap_thread_unregister(map);
	must(rmap_destroy(map), "cannot destroy the map");
	return 0;
}
