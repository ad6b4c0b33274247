/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * interval.c - the peer of ranges: an interval tree under a reader-writer lock, as kernels have for each file
 *
 * The tree is that of the VM's backends. Updates take the lock for writing, each stab for reading. Nodes are in the
 * embedder's vmas in kernels; here they come from a free list under the same lock.
 */
#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>

#include "../ranges.h"
#include "../../model/vm/backends/interval.h"

#define SLAB_NODES 64

struct node {
	struct rmap_range range;
	struct interval interval;
};

struct slab {
	struct slab *next;
	struct node nodes[SLAB_NODES];
};

struct index {
	pthread_rwlock_t lock;
	struct interval *root;
	struct interval *free; /* linked by left */
	struct slab *slabs;
	size_t n;
};

static struct node *node_of(const struct interval *interval)
{
	return (struct node *)(uintptr_t)((uintptr_t)interval - offsetof(struct node, interval));
}

static int compare_words(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

static inline int compare(const struct interval *one, const struct interval *two)
{
	const struct rmap_range *a = &node_of(one)->range, *b = &node_of(two)->range;
	int order = compare_words(a->first, b->first);

	order = order ? order : compare_words(a->last, b->last);
	order = order ? order : compare_words(a->owner, b->owner);
	return order ? order : compare_words(a->address, b->address);
}

#define INTERVAL_FIRST(node) (node_of(node)->range.first)
#define INTERVAL_LAST(node) (node_of(node)->range.last)
#define INTERVAL_ORDER compare
#include "../../model/vm/backends/interval.h"

static void *index_open(void)
{
	struct index *index = calloc(1, sizeof(*index));

	if (index)
		pthread_rwlock_init(&index->lock, NULL);
	return index;
}

static int index_close(void *state)
{
	struct index *index = state;
	int error = index->n ? -1 : 0;

	for (struct slab *slab = index->slabs, *next; slab; slab = next) {
		next = slab->next;
		free(slab);
	}
	pthread_rwlock_destroy(&index->lock);
	free(index);
	return error;
}

static struct node *node_take(struct index *index)
{
	struct slab *slab = index->free ? NULL : malloc(sizeof(*slab));
	struct node *node;

	for (size_t i = 0; slab && i < SLAB_NODES; i++) {
		slab->nodes[i].interval.left = index->free;
		index->free = &slab->nodes[i].interval;
	}
	if (slab) {
		slab->next = index->slabs;
		index->slabs = slab;
	}
	if (!index->free)
		return NULL;
	node = node_of(index->free);
	index->free = node->interval.left;
	return node;
}

static void node_give(struct index *index, struct node *node)
{
	node->interval.left = index->free;
	index->free = &node->interval;
}

static void insert(struct index *index, struct node *node, const struct rmap_range *range)
{
	node->range = *range;
	interval_insert(&index->root, &node->interval);
	index->n++;
}

static int attach_locked(struct index *index, const struct rmap_range *range)
{
	struct node *node = node_take(index);

	if (!node)
		return -ENOMEM;
	insert(index, node, range);
	return 0;
}

static struct node *take_locked(struct index *index, const struct rmap_range *range)
{
	const struct node key = { .range = *range };
	struct interval *found = interval_remove(&index->root, &key.interval);

	index->n -= found != NULL;
	return found ? node_of(found) : NULL;
}

/* Replaces @range by @with, in its node. */
static int replace_locked(struct index *index, const struct rmap_range *range, const struct rmap_range *with)
{
	struct node *node = take_locked(index, range);

	if (!node)
		return -ENOENT;
	insert(index, node, with);
	return 0;
}

static int index_attach(void *state, const struct rmap_range *range)
{
	struct index *index = state;

	pthread_rwlock_wrlock(&index->lock);
	int error = attach_locked(index, range);

	pthread_rwlock_unlock(&index->lock);
	return error;
}

static int index_detach(void *state, const struct rmap_range *range)
{
	struct index *index = state;

	pthread_rwlock_wrlock(&index->lock);
	struct node *node = take_locked(index, range);

	if (node)
		node_give(index, node);
	pthread_rwlock_unlock(&index->lock);
	return node ? 0 : -ENOENT;
}

static int index_move(void *state, const struct rmap_range *range, uint64_t address)
{
	struct index *index = state;
	struct rmap_range moved = *range;

	moved.address = address;
	pthread_rwlock_wrlock(&index->lock);
	int error = replace_locked(index, range, &moved);

	pthread_rwlock_unlock(&index->lock);
	return error;
}

static int index_split(void *state, const struct rmap_range *range, uint64_t at)
{
	struct index *index = state;
	struct rmap_range left = *range, right = *range;

	left.last = at - 1;
	right.address = rmap_range_address(range, at);
	right.first = at;
	pthread_rwlock_wrlock(&index->lock);
	int error = replace_locked(index, range, &left);

	if (!error)
		error = attach_locked(index, &right);
	pthread_rwlock_unlock(&index->lock);
	return error;
}

static int index_resize(void *state, const struct rmap_range *range, uint64_t first, uint64_t last)
{
	struct index *index = state;
	struct rmap_range resized = *range;

	resized.address = range->address + ((first - range->first) << range->page_shift);
	resized.first = first;
	resized.last = last;
	pthread_rwlock_wrlock(&index->lock);
	int error = replace_locked(index, range, &resized);

	pthread_rwlock_unlock(&index->lock);
	return error;
}

/* As interval_each(), with nothing to call. */
static size_t stab(struct interval *node, uint64_t at, uint64_t *sum)
{
	size_t found = 0;

	while (node && node->greatest >= at) {
		found += stab(node->left, at, sum);
		if (INTERVAL_FIRST(node) > at)
			break;
		if (INTERVAL_LAST(node) >= at) {
			found++;
			*sum += node_of(node)->range.owner;
		}
		node = node->right;
	}
	return found;
}

static size_t index_stabs(void *state, const uint64_t *at, size_t n, uint64_t *sum)
{
	struct index *index = state;
	size_t found = 0;

	for (size_t i = 0; i < n; i++) {
		pthread_rwlock_rdlock(&index->lock);
		found += stab(index->root, at[i], sum);
		pthread_rwlock_unlock(&index->lock);
	}
	return found;
}

static uint64_t index_bytes(void *state)
{
	return ((struct index *)state)->n * sizeof(struct node);
}

static void index_settle(void *state)
{
	(void)state;
}

const struct ranges_index ranges_interval = {
	.name = "interval",
	.open = index_open,
	.close = index_close,
	.attach = index_attach,
	.detach = index_detach,
	.move = index_move,
	.split = index_split,
	.resize = index_resize,
	.stabs = index_stabs,
	.bytes = index_bytes,
	.settle = index_settle,
};
