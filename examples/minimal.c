/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * minimal.c - the least an embedder does: map a page twice, ask who maps it, unmap it
 *
 * One file is mapped at two places: page by page at the addresses its range says (linear, only counted), and its page 5
 * once more at an address of its own (chained).
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rmap/walk.h>

/* The embedder's own page: zero bytes in the embedded word mean "no mapping". */
struct page {
	struct rmap_page rmap;
	uint64_t index;
};

static int must(int result, const char *what)
{
	if (result < 0) {
		fprintf(stderr, "minimal: %s: %s\n", what, strerror(-result));
		exit(1);
	}
	return result;
}

/* A pte's name: mm id and virtual page number, with the low three bits zero. */
static uint64_t pte_handle(uint64_t mm, uint64_t address)
{
	return (mm << 36 | address >> 12) << 3;
}

/* A mapping where the range says it is need not be stored. */
static struct rmap_mapping mapping_at(const struct rmap_range *range, const struct page *page, uint64_t address)
{
	if (rmap_range_is_linear(range, page->index, address))
		return rmap_linear();
	return rmap_chained(pte_handle(range->owner, address));
}

static int print_visit(void *arg, const struct rmap_visit *visit)
{
	(void)arg;
	if (visit->kind == RMAP_LINEAR)
		printf("linear: mm %" PRIu64 " at %#" PRIx64 ", if its pte is set\n", visit->range.owner,
		       visit->address);
	else
		printf("chained: mm %" PRIu64 " at %#" PRIx64 "\n", visit->handle >> 39,
		       (visit->handle >> 3 & ((UINT64_C(1) << 36) - 1)) << 12);
	return 0;
}

int main(void)
{
	struct rmap_range range = { .first = 0, .last = 15, .address = 0x100000, .owner = 1, .page_shift = 12 };
	struct page page = { .index = 5 };
	struct rmap_mapping first = mapping_at(&range, &page, 0x105000);
	struct rmap_mapping second = mapping_at(&range, &page, 0x700000);
	struct rmap_reserve *reserve;
	struct rmap_object *file;
	struct rmap *map;

	must(rmap_create(NULL, &map), "cannot create the map");
	rmap_thread_register(map); /* each thread once */
	must(rmap_reserve_create(map, &reserve), "cannot create the reserve");
	must(rmap_object_create(map, &file), "cannot create the object");
	must(rmap_object_attach(file, &range), "cannot attach the range");

	/* Here the thread may sleep and fail; inside the section below, adds can do neither. */
	must(rmap_reserve_fill(reserve, 2), "cannot fill the reserve");
	rmap_read_lock(map);
	must(rmap_page_add(reserve, &page.rmap, first), "cannot add the first mapping");
	must(rmap_page_add(reserve, &page.rmap, second), "cannot add the second mapping");
	printf("mapcount: %" PRIu32 "\n", rmap_page_mapcount(map, &page.rmap));
	must(rmap_walk(map, &(struct rmap_target){ &page.rmap, file, page.index }, print_visit, NULL, NULL), "walk");
	must(rmap_page_remove(reserve, &page.rmap, first), "cannot remove the first mapping");
	if (must(rmap_page_remove(reserve, &page.rmap, second), "cannot remove the second mapping") & RMAP_LAST)
		printf("no mapping is left\n");
	rmap_read_unlock(map);

	rmap_object_destroy(file);
	rmap_reserve_destroy(reserve);
	rmap_thread_unregister(map);
	must(rmap_destroy(map), "cannot destroy the map");
	return 0;
}
