/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * chunk168.c - the peer of list entries in chunks of their address space: FreeBSD's pv entries
 *
 * A page heads a doubly linked list of entries, an address and two links; 168 of them, a bitmap of those that are free
 * and the name of the address space they are of make a chunk of 4 KiB, so that an entry need not say whose it is. An
 * add puts its entry at the end of the page's list; a remove looks for it from the front, O(n). Pages hash to one of
 * 256 locks. A thread stands for an address space, whose lock guards its chunks (there, whoever changes a pte has it
 * anyway).
 */
#include "bitlock.h"
#include "peer.h"
#include "threads.h"

#define ENTRIES 168u
#define CHUNK_BYTES 4096u
#define LOCKS 256u

struct entry {
	uint64_t handle;
	struct entry *next;
	struct entry **link; /* what points to this one */
};

struct chunk {
	struct thread *owner;
	struct chunk *next, **link; /* among the owner's chunks that are not full */
	uint64_t free[3];           /* bitmap */
	uint64_t unused[2];
	struct entry entries[ENTRIES];
};

_Static_assert(sizeof(struct chunk) == CHUNK_BYTES, "a chunk is a page");

struct thread {
	struct thread_own own;
	atomic_uintptr_t lock;
	struct chunk *partial;
};

struct lock {
	_Alignas(64) atomic_uintptr_t word;
};

struct map {
	struct registry registry;
	struct lock locks[LOCKS];
};

struct head {
	struct entry *first;
	struct entry **last;
};

#include "registered.h"

static int map_close(struct map *map)
{
	return registry_close(map);
}

static void chunk_link(struct thread *owner, struct chunk *chunk)
{
	chunk->next = owner->partial;
	chunk->link = &owner->partial;
	if (chunk->next)
		chunk->next->link = &chunk->next;
	owner->partial = chunk;
}

static void chunk_unlink(struct chunk *chunk)
{
	*chunk->link = chunk->next;
	if (chunk->next)
		chunk->next->link = chunk->link;
}

static struct chunk *chunk_new(struct thread *owner)
{
	struct chunk *chunk = aligned_alloc(CHUNK_BYTES, CHUNK_BYTES);

	if (!chunk)
		return NULL;
	chunk->owner = owner;
	chunk->free[0] = chunk->free[1] = UINT64_MAX;
	chunk->free[2] = (UINT64_C(1) << (ENTRIES - 128)) - 1;
	chunk_link(owner, chunk);
	owner->own.bytes += CHUNK_BYTES;
	return chunk;
}

/* NULL if there is no memory. */
static inline struct entry *entry_take(struct thread *owner)
{
	struct entry *entry = NULL;
	uintptr_t word = word_lock(&owner->lock);
	struct chunk *chunk = owner->partial ? owner->partial : chunk_new(owner);

	if (chunk) {
		unsigned field = chunk->free[0] ? 0 : chunk->free[1] ? 1 : 2;
		unsigned bit = (unsigned)__builtin_ctzll(chunk->free[field]);

		chunk->free[field] &= chunk->free[field] - 1;
		entry = &chunk->entries[field * 64 + bit];
		if (!(chunk->free[0] | chunk->free[1] | chunk->free[2]))
			chunk_unlink(chunk);
	}
	word_unlock(&owner->lock, word);
	return entry;
}

static inline void entry_give(struct entry *entry)
{
	struct chunk *chunk = (struct chunk *)((uintptr_t)entry & ~(uintptr_t)(CHUNK_BYTES - 1));
	struct thread *owner = chunk->owner;
	unsigned index = (unsigned)(entry - chunk->entries);
	uintptr_t word = word_lock(&owner->lock);

	if (!(chunk->free[0] | chunk->free[1] | chunk->free[2]))
		chunk_link(owner, chunk);
	chunk->free[index / 64] |= UINT64_C(1) << index % 64;
	if (chunk->free[0] == UINT64_MAX && chunk->free[1] == UINT64_MAX &&
	    chunk->free[2] == (UINT64_C(1) << (ENTRIES - 128)) - 1) {
		chunk_unlink(chunk);
		owner->own.bytes -= CHUNK_BYTES;
		free(chunk);
	}
	word_unlock(&owner->lock, word);
}

static inline atomic_uintptr_t *lock_of(struct thread *thread, const struct head *head)
{
	return &thread->own.map->locks[((uintptr_t)head / sizeof(struct peer_page)) % LOCKS].word;
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
	struct entry *entry = entry_take(thread);

	if (!entry)
		return -1;
	uintptr_t word = word_lock(lock_of(thread, head));

	entry->handle = handle;
	entry->next = NULL;
	entry->link = head->first ? head->last : &head->first;
	*entry->link = entry;
	head->last = &entry->next;
	word_unlock(lock_of(thread, head), word);
	return 0;
}

static inline int head_remove(struct thread *thread, struct head *head, uint64_t handle)
{
	uintptr_t word = word_lock(lock_of(thread, head));
	struct entry *entry = head->first;

	while (entry && entry->handle != handle)
		entry = entry->next;
	if (entry) {
		*entry->link = entry->next;
		if (entry->next)
			entry->next->link = entry->link;
		else
			head->last = entry->link;
	}
	word_unlock(lock_of(thread, head), word);
	if (!entry)
		return -1;
	entry_give(entry);
	return 0;
}

static inline uint64_t head_walk(struct thread *thread, struct head *head)
{
	uintptr_t word = word_lock(lock_of(thread, head));
	uint64_t sum = 0;

	for (struct entry *entry = head->first; entry; entry = entry->next)
		sum += entry->handle;
	word_unlock(lock_of(thread, head), word);
	return sum;
}

static size_t head_drop(struct thread *thread, struct head *head)
{
	size_t dropped = 0;

	(void)thread;
	for (struct entry *entry = head->first, *next; entry; entry = next) {
		next = entry->next;
		entry_give(entry);
		dropped++;
	}
	head->first = NULL;
	return dropped;
}

#define PEER_NAME chunk168
#define PEER_SCANS true
#include "loops.h"
