/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * twopte.c - the peer of small nodes: a list of nodes with two handles each, as XNU has on arm64
 *
 * A page's word is a lock bit and one handle, or a pointer to a list of nodes of 24 bytes: a link and two handles, of
 * which either may be empty. An add looks for room in the first node only, and puts a new one in front of it; a remove
 * scans, O(n), and unlinks a node that empties.
 */
#include "bitlock.h"
#include "peer.h"

#define SLOTS 2
#define MANY ((uintptr_t)2)

struct node {
	struct node *next;
	uint64_t handles[SLOTS];
};

#define BLOCK_BYTES sizeof(struct node)
#include "blocks.h"

struct head {
	atomic_uintptr_t word;
};

static inline struct node *node_of(uintptr_t word)
{
	return word & MANY ? (struct node *)(word & ~MANY) : NULL;
}

static inline struct node *node_new(struct thread *thread, struct node *next, uint64_t first, uint64_t second)
{
	struct node *node = block_take(thread);

	if (node)
		*node = (struct node){ next, { first, second } };
	return node;
}

static inline int head_add(struct thread *thread, struct head *head, uint64_t handle)
{
	uintptr_t word = word_lock(&head->word);
	struct node *node = node_of(word);

	if (!word) {
		word_unlock(&head->word, (uintptr_t)handle);
		return 0;
	}
	if (!node)
		node = node_new(thread, NULL, word, handle);
	else if (!node->handles[0])
		node->handles[0] = handle;
	else if (!node->handles[1])
		node->handles[1] = handle;
	else
		node = node_new(thread, node, handle, 0);
	word_unlock(&head->word, node ? (uintptr_t)node | MANY : word);
	return node ? 0 : -1;
}

static inline int head_remove(struct thread *thread, struct head *head, uint64_t handle)
{
	uintptr_t word = word_lock(&head->word);
	struct node *node = node_of(word), *before = NULL;

	if (word && word == (uintptr_t)handle) {
		word_unlock(&head->word, 0);
		return 0;
	}
	while (node && node->handles[0] != handle && node->handles[1] != handle) {
		before = node;
		node = node->next;
	}
	if (!node) {
		word_unlock(&head->word, word);
		return -1;
	}
	node->handles[node->handles[0] != handle] = 0;
	if (!node->handles[0] && !node->handles[1]) {
		if (before)
			before->next = node->next;
		else
			word = node->next ? (uintptr_t)node->next | MANY : 0;
		block_give(thread, node);
	}
	word_unlock(&head->word, word);
	return 0;
}

static inline uint64_t head_walk(struct thread *thread, struct head *head)
{
	uintptr_t word = word_lock(&head->word);
	uint64_t sum = word & MANY ? 0 : word;

	(void)thread;
	for (struct node *node = node_of(word); node; node = node->next)
		sum += node->handles[0] + node->handles[1];
	word_unlock(&head->word, word);
	return sum;
}

static size_t head_drop(struct thread *thread, struct head *head)
{
	uintptr_t word = word_lock(&head->word);
	size_t dropped = word && !(word & MANY);

	for (struct node *node = node_of(word), *next; node; node = next) {
		dropped += (size_t)(!!node->handles[0] + !!node->handles[1]);
		next = node->next;
		block_give(thread, node);
	}
	word_unlock(&head->word, 0);
	return dropped;
}

#define PEER_NAME twopte
#define PEER_SCANS true
#include "loops.h"
