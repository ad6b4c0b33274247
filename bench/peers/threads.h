/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * threads.h - the threads of a peer's map, and what their mappings take
 *
 * The includer's struct map begins with a struct registry, its struct thread with a struct thread_own. A context stays
 * until the map is closed, since what it has handed out may be in pages.
 */
#ifndef BENCH_THREADS_H
#define BENCH_THREADS_H

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct map;
struct thread;

struct registry {
	pthread_mutex_t mutex;
	struct thread_own *threads;
};

/* @bytes: taken less given back by this thread; of all threads together, what is in pages. */
struct thread_own {
	int failed;
	int64_t bytes;
	struct map *map;
	struct thread_own *next;
};

/* A map of @size bytes, zeroed and aligned to a line, or NULL. */
static inline struct map *registry_open(size_t size)
{
	struct registry *registry = aligned_alloc(64, (size + 63) / 64 * 64);

	if (!registry)
		return NULL;
	memset(registry, 0, size);
	pthread_mutex_init(&registry->mutex, NULL);
	return (struct map *)registry;
}

static inline struct thread *registry_enter(struct map *map, size_t size)
{
	struct registry *registry = (struct registry *)map;
	struct thread_own *own = calloc(1, size);

	if (!own)
		return NULL;
	pthread_mutex_lock(&registry->mutex);
	own->map = map;
	own->next = registry->threads;
	registry->threads = own;
	pthread_mutex_unlock(&registry->mutex);
	return (struct thread *)own;
}

static inline int thread_leave(struct thread *thread)
{
	return ((struct thread_own *)thread)->failed ? -1 : 0;
}

static inline uint64_t map_bytes(struct map *map)
{
	const struct registry *registry = (struct registry *)map;
	int64_t bytes = 0;

	for (const struct thread_own *own = registry->threads; own; own = own->next)
		bytes += own->bytes;
	return (uint64_t)bytes;
}

/* -1 if something is still in a page. */
static inline int registry_close(struct map *map)
{
	struct registry *registry = (struct registry *)map;
	int error = map_bytes(map) ? -1 : 0;

	for (struct thread_own *own = registry->threads, *next; own; own = next) {
		next = own->next;
		free(own);
	}
	pthread_mutex_destroy(&registry->mutex);
	free(registry);
	return error;
}

#endif
