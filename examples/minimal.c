/* SPDX-License-Identifier: BSD-2-Clause */
#include <inttypes.h>
#include <stdio.h>
#include <rmap/walk.h>

static int print(void *arg, const struct rmap_visit *visit)
{
	if (visit->kind == RMAP_LINEAR)
		printf("linear: %#" PRIx64 ", if its pte is set\n", visit->address);
	else
		printf("chained: %#" PRIx64 "\n", visit->handle);
	return arg != NULL;
}

int main(void)
{
	struct rmap_range range = { .last = 15, .address = 0x100000, .owner = 1, .page_shift = 12 };
	struct rmap_page page = { 0 }; /* to be embedded in a struct page; zero: no mapping */
	struct rmap_target target = { .page = &page, .first = 5, .last = 5 };
	struct rmap_object *file;
	struct rmap_reserve *reserve;
	struct rmap *map;

	if (rmap_create(NULL, &map) || rmap_reserve_create(map, &reserve) || rmap_object_create(map, &file))
		return 1;
	target.object = file;
	rmap_thread_register(map); /* each thread once */
	if (rmap_object_attach(file, &range) || rmap_reserve_fill(reserve, 2)) /* here it may sleep and fail */
		return 1;
	rmap_read_lock(map); /* in here adds can do neither */
	rmap_page_add(reserve, &page, rmap_linear()); /* where the range says it is: only counted */
	rmap_page_add(reserve, &page, rmap_chained(0x700000)); /* elsewhere: the name of its pte is stored */
	printf("mapcount: %" PRIu32 "\n", rmap_page_mapcount(map, &page));
	rmap_walk(map, &target, print, NULL, NULL);
	rmap_page_remove(reserve, &page, rmap_linear());
	if (rmap_page_remove(reserve, &page, rmap_chained(0x700000)) & RMAP_LAST)
		printf("no mapping is left\n");
	rmap_read_unlock(map);
	rmap_object_destroy(file);
	rmap_reserve_destroy(reserve);
	rmap_thread_unregister(map);
	return rmap_destroy(map) != 0;
}
