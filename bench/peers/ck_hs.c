/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ck_hs.c - Concurrency Kit's hash set under a lock: what a user of that library has at hand
 *
 * A page's word is a lock bit and a pointer to a ck_hs of handles, made by the first add. Removes leave tombstones,
 * which the mode for workloads with many of them reuses; when half of a set's slots have been given to adds since, it
 * is rebuilt. Walks hold the lock: the set has one writer, and its readers need memory to be reclaimed safely.
 */
#include <ck_hs.h>

#include "bitlock.h"
#include "peer.h"
#include "threads.h"

#define LEAST 8u

struct head {
	atomic_uintptr_t word;
};

struct set {
	ck_hs_t hs;
	size_t removes; /* since it was rebuilt */
	size_t n;
};

struct thread {
	struct thread_own own;
};

struct map {
	struct registry registry;
};

/* The set's callbacks know no thread, so what sets take is counted for the thread that calls. */
static _Thread_local int64_t *bytes_of_caller;

static void *set_malloc(size_t size)
{
	*bytes_of_caller += (int64_t)size;
	return malloc(size);
}

static void set_free(void *memory, size_t size, bool defer)
{
	(void)defer;
	*bytes_of_caller -= (int64_t)size;
	free(memory);
}

static struct ck_malloc set_memory = { .malloc = set_malloc, .free = set_free };

static unsigned long set_hash(const void *handle, unsigned long seed)
{
	uint64_t value = ((uint64_t)(uintptr_t)handle ^ seed) * 0x9e3779b97f4a7c15u;

	return (unsigned long)(value ^ (value >> 32));
}

static bool set_compare(const void *a, const void *b)
{
	return a == b;
}

#include "registered.h"

static int map_close(struct map *map)
{
	return registry_close(map);
}

static inline void section_begin(struct thread *thread, size_t adds)
{
	(void)adds;
	bytes_of_caller = &thread->own.bytes;
}

static inline void section_end(struct thread *thread)
{
	(void)thread;
}

static struct set *set_new(struct thread *thread)
{
	struct set *set = calloc(1, sizeof(*set));

	if (!set)
		return NULL;
	if (!ck_hs_init(&set->hs, CK_HS_MODE_SPMC | CK_HS_MODE_DIRECT | CK_HS_MODE_DELETE, set_hash, set_compare,
			&set_memory, LEAST, 0)) {
		free(set);
		return NULL;
	}
	thread->own.bytes += (int64_t)sizeof(*set);
	return set;
}

static inline const void *value_of(uint64_t handle)
{
	return (const void *)(uintptr_t)handle;
}

static inline int head_add(struct thread *thread, struct head *head, uint64_t handle)
{
	uintptr_t word = word_lock(&head->word);
	struct set *set = word ? (struct set *)word : set_new(thread);
	int error = -1;

	if (set && ck_hs_put(&set->hs, set_hash(value_of(handle), 0), value_of(handle))) {
		set->n++;
		error = 0;
	}
	word_unlock(&head->word, (uintptr_t)set);
	return error;
}

static inline int head_remove(struct thread *thread, struct head *head, uint64_t handle)
{
	uintptr_t word = word_lock(&head->word);
	struct set *set = (struct set *)word;
	int error = -1;

	(void)thread;
	if (set && ck_hs_remove(&set->hs, set_hash(value_of(handle), 0), value_of(handle))) {
		set->n--;
		error = 0;
		if (++set->removes > set->n + LEAST) {
			set->removes = 0;
			(void)ck_hs_rebuild(&set->hs);
		}
	}
	word_unlock(&head->word, word);
	return error;
}

static inline uint64_t head_walk(struct thread *thread, struct head *head)
{
	uintptr_t word = word_lock(&head->word);
	ck_hs_iterator_t iterator = CK_HS_ITERATOR_INITIALIZER;
	uint64_t sum = 0;
	void *handle;

	(void)thread;
	while (word && ck_hs_next(&((struct set *)word)->hs, &iterator, &handle))
		sum += (uint64_t)(uintptr_t)handle;
	word_unlock(&head->word, word);
	return sum;
}

static size_t head_drop(struct thread *thread, struct head *head)
{
	uintptr_t word = word_lock(&head->word);
	struct set *set = (struct set *)word;
	size_t dropped = set ? set->n : 0;

	if (set) {
		bytes_of_caller = &thread->own.bytes;
		ck_hs_destroy(&set->hs);
		free(set);
		thread->own.bytes -= (int64_t)sizeof(*set);
	}
	word_unlock(&head->word, 0);
	return dropped;
}

#define PEER_NAME ck_hs
#define PEER_SCANS false
#include "loops.h"
