/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rmap.c - librmap among its peers
 *
 * A thread does what an embedder's would: it fills its reserve outside the read-side section, and takes a section for
 * every CHAIN_SECTION pairs. All of that is inside the measured time.
 */
#include <stdlib.h>

#include <rmap/walk.h>

#include "peer.h"

struct head {
	struct rmap_page page;
};

struct map {
	struct rmap *map;
};

struct thread {
	struct {
		int failed;
	} own;
	struct rmap *map;
	struct rmap_reserve *reserve;
};

static struct map *map_open(size_t expected)
{
	struct map *map = calloc(1, sizeof(*map));

	(void)expected;
	if (map && rmap_create(NULL, &map->map)) {
		free(map);
		map = NULL;
	}
	return map;
}

struct rmap *peer_rmap_map(void *map)
{
	return ((struct map *)map)->map;
}

/* What is still mapped, or in a reserve that was not destroyed, is seen by rmap_destroy(). */
static int map_close(struct map *map)
{
	int error = rmap_destroy(map->map) ? -1 : 0;

	free(map);
	return error;
}

static uint64_t map_bytes(struct map *map)
{
	struct rmap_statistics stats = { .size = sizeof(stats) };

	return rmap_stats(map->map, &stats) ? 0 : stats.chain_bytes;
}

static struct thread *thread_enter(struct map *map)
{
	struct thread *thread = calloc(1, sizeof(*thread));

	if (!thread)
		return NULL;
	thread->map = map->map;
	if (rmap_reserve_create(map->map, &thread->reserve)) {
		free(thread);
		return NULL;
	}
	return thread;
}

static int thread_leave(struct thread *thread)
{
	int error = thread->own.failed ? -1 : 0;

	rmap_reserve_destroy(thread->reserve);
	free(thread);
	return error;
}

static inline void section_begin(struct thread *thread, size_t adds)
{
	if (adds && rmap_reserve_fill(thread->reserve, (unsigned)adds))
		thread->own.failed = -1;
	rmap_read_lock(thread->map);
}

static inline void section_end(struct thread *thread)
{
	rmap_read_unlock(thread->map);
}

static inline int head_add(struct thread *thread, struct head *head, uint64_t handle)
{
	return rmap_page_add(thread->reserve, &head->page, rmap_chained(handle)) < 0 ? -1 : 0;
}

static inline int head_remove(struct thread *thread, struct head *head, uint64_t handle)
{
	return rmap_page_remove(thread->reserve, &head->page, rmap_chained(handle)) < 0 ? -1 : 0;
}

static int sum_handles(void *arg, const struct rmap_visit *visit)
{
	*(uint64_t *)arg += visit->handle;
	return 0;
}

static inline uint64_t head_walk(struct thread *thread, struct head *head)
{
	const struct rmap_target target = { .page = &head->page };
	uint64_t sum = 0;

	rmap_walk(thread->map, &target, sum_handles, &sum, NULL);
	return sum;
}

static int sum_batch(void *arg, const struct rmap_visits *visits)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < visits->n; i++)
		sum += rmap_visits_handle(visits, i);
	*(uint64_t *)arg += sum;
	return 0;
}

static uint64_t head_batches(struct thread *thread, struct head *head)
{
	const struct rmap_target target = { .page = &head->page };
	struct rmap_cursor cursor;
	uint64_t sum = 0;

	rmap_cursor_init(&cursor, thread->map, &target);
	rmap_walk_batches(&cursor, sum_batch, &sum);
	return sum;
}

static size_t head_drop(struct thread *thread, struct head *head)
{
	rmap_read_lock(thread->map);
	size_t dropped = rmap_page_drop(thread->reserve, &head->page);

	rmap_read_unlock(thread->map);
	return dropped;
}

typedef size_t (*page_batch)(struct rmap_reserve *reserve, struct rmap_page *const *pages,
			     const struct rmap_mapping *mappings, int *events, size_t n, int *error);

static inline int batch(page_batch call, struct thread *thread, struct head *const *heads, const uint64_t *handles,
			size_t n)
{
	struct rmap_mapping mappings[CHAIN_SECTION];
	struct rmap_page *pages[CHAIN_SECTION];
	int error;

	for (size_t i = 0; i < n; i++) {
		mappings[i] = rmap_chained(handles[i]);
		pages[i] = &heads[i]->page;
	}
	return call(thread->reserve, pages, mappings, NULL, n, &error) == n ? 0 : -1;
}

static inline int batch_add(struct thread *thread, struct head *const *heads, const uint64_t *handles, size_t n)
{
	return batch(rmap_page_add_batch, thread, heads, handles, n);
}

static inline int batch_remove(struct thread *thread, struct head *const *heads, const uint64_t *handles, size_t n)
{
	return batch(rmap_page_remove_batch, thread, heads, handles, n);
}

#define PEER_BATCHES
#define PEER_NAME rmap
#define PEER_SCANS false
#include "loops.h"
