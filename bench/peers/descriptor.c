/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * descriptor.c - the peer of today's hypervisors: a chain of descriptors under a lock bit in the head word
 *
 * The design of KVM's pte_list, written from its description. Bit 0 of a page's head word is a spin lock. The rest is
 * one handle, or (bit 1) a pointer to a descriptor of 14 handles with a count and a link to the next. Adds go to the
 * first descriptor, and a full one gets a new one in front of it. A remove scans from the front, O(n), and fills the
 * gap with the last handle of the first descriptor, so that only the first is ever part full; when it empties it is
 * unlinked. Walks take the lock as well: KVM's descriptors are not protected by RCU.
 */
#include "bitlock.h"
#include "peer.h"

#define SLOTS 14
#define MANY ((uintptr_t)2)

struct descriptor {
	struct descriptor *next;
	uint64_t count;
	uint64_t handles[SLOTS];
};

#define BLOCK_BYTES sizeof(struct descriptor)
#include "blocks.h"

struct head {
	atomic_uintptr_t word;
};

static inline struct descriptor *descriptor_of(uintptr_t word)
{
	return (struct descriptor *)(word & ~MANY);
}

static inline struct descriptor *descriptor_new(struct thread *thread, struct descriptor *next)
{
	struct descriptor *desc = block_take(thread);

	if (desc) {
		desc->next = next;
		desc->count = 0;
	}
	return desc;
}

static inline int head_add(struct thread *thread, struct head *head, uint64_t handle)
{
	uintptr_t word = word_lock(&head->word);
	struct descriptor *desc;

	if (!word) {
		word_unlock(&head->word, (uintptr_t)handle);
		return 0;
	}
	if (!(word & MANY)) {
		desc = descriptor_new(thread, NULL);
		if (desc)
			desc->handles[desc->count++] = word;
	} else if (descriptor_of(word)->count == SLOTS) {
		desc = descriptor_new(thread, descriptor_of(word));
	} else {
		desc = descriptor_of(word);
	}
	if (desc)
		desc->handles[desc->count++] = handle;
	word_unlock(&head->word, desc ? (uintptr_t)desc | MANY : word);
	return desc ? 0 : -1;
}

/* The word after the last handle of the first descriptor has filled @gap. */
static inline uintptr_t fill_gap(struct thread *thread, uintptr_t word, uint64_t *gap)
{
	struct descriptor *first = descriptor_of(word);

	*gap = first->handles[--first->count];
	if (first->count)
		return word;
	word = first->next ? (uintptr_t)first->next | MANY : 0;
	block_give(thread, first);
	return word;
}

static inline int head_remove(struct thread *thread, struct head *head, uint64_t handle)
{
	uintptr_t word = word_lock(&head->word);

	if (word && word == (uintptr_t)handle) {
		word_unlock(&head->word, 0);
		return 0;
	}
	for (struct descriptor *desc = word & MANY ? descriptor_of(word) : NULL; desc; desc = desc->next) {
		for (size_t i = 0; i < desc->count; i++) {
			if (desc->handles[i] != handle)
				continue;
			word_unlock(&head->word, fill_gap(thread, word, &desc->handles[i]));
			return 0;
		}
	}
	word_unlock(&head->word, word);
	return -1;
}

static inline uint64_t head_walk(struct thread *thread, struct head *head)
{
	uintptr_t word = word_lock(&head->word);
	uint64_t sum = word & MANY ? 0 : word;

	(void)thread;
	for (struct descriptor *desc = word & MANY ? descriptor_of(word) : NULL; desc; desc = desc->next) {
		for (size_t i = 0; i < desc->count; i++)
			sum += desc->handles[i];
	}
	word_unlock(&head->word, word);
	return sum;
}

static size_t head_drop(struct thread *thread, struct head *head)
{
	uintptr_t word = word_lock(&head->word);
	size_t dropped = word && !(word & MANY);

	for (struct descriptor *desc = word & MANY ? descriptor_of(word) : NULL, *next; desc; desc = next) {
		dropped += desc->count;
		next = desc->next;
		block_give(thread, desc);
	}
	word_unlock(&head->word, 0);
	return dropped;
}

#define PEER_NAME descriptor
#define PEER_SCANS true
#include "loops.h"
