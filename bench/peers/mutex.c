/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mutex.c - what anybody writes first: a mutex and a growable array in each page
 *
 * An add appends, and doubles a full array; a remove scans, O(n), and puts the last handle into the gap; an array that
 * is a quarter full is halved. Walks hold the mutex.
 */
#include <malloc.h>

#include "peer.h"
#include "threads.h"

#define LEAST 4u

struct head {
	pthread_mutex_t mutex; /* zero bytes are one that is not locked */
	uint64_t *handles;
	uint32_t n, capacity;
};

struct thread {
	struct thread_own own;
};

struct map {
	struct registry registry;
};

#include "registered.h"

static int map_close(struct map *map)
{
	return registry_close(map);
}

/* What malloc takes, with the word that it keeps beside. */
static int64_t array_bytes(uint64_t *handles)
{
	return handles ? (int64_t)(malloc_usable_size(handles) + sizeof(size_t)) : 0;
}

static int resize(struct thread *thread, struct head *head, uint32_t capacity)
{
	int64_t before = array_bytes(head->handles);
	uint64_t *handles = realloc(head->handles, capacity * sizeof(*handles));

	if (!handles)
		return -1;
	head->handles = handles;
	head->capacity = capacity;
	thread->own.bytes += array_bytes(handles) - before;
	return 0;
}

static inline void section_begin(struct thread *thread, size_t adds)
{
	(void)thread;
	(void)adds;
}

static inline void section_end(struct thread *thread)
{
	(void)thread;
}

static inline int head_add(struct thread *thread, struct head *head, uint64_t handle)
{
	int error = 0;

	pthread_mutex_lock(&head->mutex);
	if (head->n == head->capacity)
		error = resize(thread, head, head->capacity ? 2 * head->capacity : LEAST);
	if (!error)
		head->handles[head->n++] = handle;
	pthread_mutex_unlock(&head->mutex);
	return error;
}

static inline int head_remove(struct thread *thread, struct head *head, uint64_t handle)
{
	uint32_t i = 0;
	int error = -1;

	pthread_mutex_lock(&head->mutex);
	while (i < head->n && head->handles[i] != handle)
		i++;
	if (i < head->n) {
		head->handles[i] = head->handles[--head->n];
		error = 0;
		/* One that cannot be made smaller stays as it is. */
		if (head->capacity > LEAST && head->n <= head->capacity / 4)
			(void)resize(thread, head, head->capacity / 2);
	}
	pthread_mutex_unlock(&head->mutex);
	return error;
}

static inline uint64_t head_walk(struct thread *thread, struct head *head)
{
	uint64_t sum = 0;

	(void)thread;
	pthread_mutex_lock(&head->mutex);
	for (uint32_t i = 0; i < head->n; i++)
		sum += head->handles[i];
	pthread_mutex_unlock(&head->mutex);
	return sum;
}

static size_t head_drop(struct thread *thread, struct head *head)
{
	size_t dropped = head->n;

	thread->own.bytes -= array_bytes(head->handles);
	free(head->handles);
	head->handles = NULL;
	head->n = head->capacity = 0;
	return dropped;
}

#define PEER_NAME mutex
#define PEER_SCANS true
#include "loops.h"
