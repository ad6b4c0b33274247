/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * peer_descriptor.c - the peer of today's hypervisors: a chain of descriptors under a lock bit in the head word
 *
 * The design of KVM's pte_list, written from its description. Bit 0 of a page's head word is a spin lock. The rest is
 * one handle, or (bit 1) a pointer to a descriptor of 14 handles with a count and a link to the next. Adds go to the
 * first descriptor, and a full one gets a new one in front of it. A remove scans from the front, O(n), and fills the
 * gap with the last handle of the first descriptor, so that only the first is ever part full; when it empties it is
 * unlinked.
 *
 * Descriptors come from a free list, as KVM's come from a cache that was topped up beforehand. Walks take the lock as
 * well: KVM's descriptors are not protected by RCU.
 */
#include <stdatomic.h>
#include <stdlib.h>

#include "chain.h"

#define SLOTS 14
#define LOCKED ((uintptr_t)1)
#define MANY ((uintptr_t)2)

struct descriptor {
	struct descriptor *next;
	uint64_t count;
	uint64_t handles[SLOTS];
};

struct peer {
	atomic_uintptr_t head;
	struct descriptor *free;
	struct chain_stream *stream;
	size_t descriptors; /* in the chain */
	int failed;
};

static inline void cpu_relax(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#endif
}

static inline uintptr_t head_lock(struct peer *peer)
{
	for (;;) {
		uintptr_t head = atomic_load_explicit(&peer->head, memory_order_relaxed) & ~LOCKED;

		if (atomic_compare_exchange_weak_explicit(&peer->head, &head, head | LOCKED, memory_order_acquire,
							  memory_order_relaxed))
			return head;
		cpu_relax();
	}
}

static inline void head_unlock(struct peer *peer, uintptr_t head)
{
	atomic_store_explicit(&peer->head, head, memory_order_release);
}

static inline struct descriptor *head_descriptor(uintptr_t head)
{
	return (struct descriptor *)(head & ~MANY);
}

/* NULL if there is no memory. */
static inline struct descriptor *descriptor_take(struct peer *peer, struct descriptor *next)
{
	struct descriptor *desc = peer->free;

	if (desc)
		peer->free = desc->next;
	else
		desc = aligned_alloc(64, sizeof(*desc));
	if (!desc)
		return NULL;
	desc->next = next;
	desc->count = 0;
	peer->descriptors++;
	return desc;
}

static inline void descriptor_give(struct peer *peer, struct descriptor *desc)
{
	desc->next = peer->free;
	peer->free = desc;
	peer->descriptors--;
}

/* @head with @handle added; the old @head and a failure if there is no memory. */
static inline uintptr_t add_locked(struct peer *peer, uintptr_t head, uint64_t handle)
{
	struct descriptor *desc;

	if (!head)
		return (uintptr_t)handle;
	if (!(head & MANY)) {
		desc = descriptor_take(peer, NULL);
		if (desc)
			desc->handles[desc->count++] = head;
	} else if (head_descriptor(head)->count == SLOTS) {
		desc = descriptor_take(peer, head_descriptor(head));
	} else {
		desc = head_descriptor(head);
	}
	if (!desc) {
		peer->failed = 1;
		return head;
	}
	desc->handles[desc->count++] = handle;
	return (uintptr_t)desc | MANY;
}

static inline uintptr_t remove_locked(struct peer *peer, uintptr_t head, uint64_t handle)
{
	if (head == (uintptr_t)handle)
		return 0;
	if (!(head & MANY)) {
		peer->failed = 1;
		return head;
	}
	struct descriptor *first = head_descriptor(head);

	for (struct descriptor *desc = first; desc; desc = desc->next) {
		for (size_t i = 0; i < desc->count; i++) {
			if (desc->handles[i] != handle)
				continue;
			desc->handles[i] = first->handles[--first->count];
			if (first->count)
				return head;
			head = first->next ? (uintptr_t)first->next | MANY : 0;
			descriptor_give(peer, first);
			return head;
		}
	}
	peer->failed = 1;
	return head;
}

static void descriptor_pairs(void *state, size_t pairs)
{
	struct peer *peer = state;

	while (pairs--) {
		struct chain_swap swap = chain_stream_next(peer->stream);

		head_unlock(peer, remove_locked(peer, head_lock(peer), swap.out));
		head_unlock(peer, add_locked(peer, head_lock(peer), swap.in));
	}
}

static uint64_t descriptor_walk(void *state)
{
	struct peer *peer = state;
	uintptr_t head = head_lock(peer);
	uint64_t sum = 0;

	if (head & MANY) {
		for (struct descriptor *desc = head_descriptor(head); desc; desc = desc->next) {
			for (size_t i = 0; i < desc->count; i++)
				sum += desc->handles[i];
		}
	} else {
		sum = head;
	}
	head_unlock(peer, head);
	return sum;
}

static int descriptor_destroy(void *state)
{
	struct peer *peer = state;
	uintptr_t head = head_lock(peer);
	int failed = peer->failed;

	for (struct descriptor *desc = head & MANY ? head_descriptor(head) : NULL, *next; desc; desc = next) {
		next = desc->next;
		free(desc);
	}
	for (struct descriptor *desc = peer->free, *next; desc; desc = next) {
		next = desc->next;
		free(desc);
	}
	free(peer);
	return failed ? -1 : 0;
}

static void *descriptor_create(struct chain_stream *stream)
{
	struct peer *peer = calloc(1, sizeof(*peer));

	if (!peer)
		return NULL;
	atomic_init(&peer->head, 0);
	peer->stream = stream;
	for (size_t i = 0; i < stream->n && !peer->failed; i++)
		head_unlock(peer, add_locked(peer, head_lock(peer), stream->handles[i]));
	if (peer->failed) {
		descriptor_destroy(peer);
		return NULL;
	}
	return peer;
}

/* What is asked of the allocator for descriptors in the chain, and the word. */
static uint64_t descriptor_bytes(void *state)
{
	struct peer *peer = state;

	return sizeof(peer->head) + peer->descriptors * sizeof(struct descriptor);
}

const struct chain_contender chain_descriptor = {
	.name = "descriptor",
	.create = descriptor_create,
	.pairs = descriptor_pairs,
	.walk = descriptor_walk,
	.bytes = descriptor_bytes,
	.destroy = descriptor_destroy,
};
