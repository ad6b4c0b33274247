/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * interval.c - the peer of ranges: an interval tree under a reader-writer lock, as kernels have for each file
 *
 * A balanced search tree (AVL) of ranges in the order of their first index, each node with the greatest last index
 * below it, which a stab prunes by: the textbook's augmented tree. Updates take the lock for writing, each stab for
 * reading. Nodes are in the embedder's vmas in kernels; here they come from a free list under the same lock.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "../ranges.h"

#define SLAB_NODES 64

struct node {
	struct rmap_range range;
	uint64_t greatest; /* last index in this tree */
	struct node *left, *right;
	int height;
};

struct slab {
	struct slab *next;
	struct node nodes[SLAB_NODES];
};

struct index {
	pthread_rwlock_t lock;
	struct node *root;
	struct node *free; /* linked by left */
	struct slab *slabs;
	size_t n;
};

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
		slab->nodes[i].left = index->free;
		index->free = &slab->nodes[i];
	}
	if (slab) {
		slab->next = index->slabs;
		index->slabs = slab;
	}
	node = index->free;
	if (node)
		index->free = node->left;
	return node;
}

static void node_give(struct index *index, struct node *node)
{
	node->left = index->free;
	index->free = node;
}

static int compare_words(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

static int compare(const struct rmap_range *a, const struct rmap_range *b)
{
	int order = compare_words(a->first, b->first);

	order = order ? order : compare_words(a->last, b->last);
	order = order ? order : compare_words(a->owner, b->owner);
	return order ? order : compare_words(a->address, b->address);
}

static int height(const struct node *node)
{
	return node ? node->height : 0;
}

/* Height and greatest last index from the children's. */
static void update(struct node *node)
{
	uint64_t greatest = node->range.last;

	if (node->left && node->left->greatest > greatest)
		greatest = node->left->greatest;
	if (node->right && node->right->greatest > greatest)
		greatest = node->right->greatest;
	node->greatest = greatest;
	node->height = 1 + (height(node->left) > height(node->right) ? height(node->left) : height(node->right));
}

static struct node *rotate_right(struct node *node)
{
	struct node *up = node->left;

	node->left = up->right;
	up->right = node;
	update(node);
	update(up);
	return up;
}

static struct node *rotate_left(struct node *node)
{
	struct node *up = node->right;

	node->right = up->left;
	up->left = node;
	update(node);
	update(up);
	return up;
}

static struct node *balance(struct node *node)
{
	int lean = height(node->left) - height(node->right);

	if (lean > 1) {
		if (height(node->left->left) < height(node->left->right))
			node->left = rotate_left(node->left);
		return rotate_right(node);
	}
	if (lean < -1) {
		if (height(node->right->right) < height(node->right->left))
			node->right = rotate_right(node->right);
		return rotate_left(node);
	}
	update(node);
	return node;
}

static struct node *insert(struct node *tree, struct node *new)
{
	if (!tree) {
		new->left = new->right = NULL;
		update(new);
		return new;
	}
	if (compare(&new->range, &tree->range) < 0)
		tree->left = insert(tree->left, new);
	else
		tree->right = insert(tree->right, new);
	return balance(tree);
}

static struct node *take_first(struct node *tree, struct node **first)
{
	if (!tree->left) {
		*first = tree;
		return tree->right;
	}
	tree->left = take_first(tree->left, first);
	return balance(tree);
}

/* *@found is the node that was taken out, or NULL. */
static struct node *take(struct node *tree, const struct rmap_range *range, struct node **found)
{
	int order = tree ? compare(range, &tree->range) : 0;
	struct node *next;

	if (!tree)
		return NULL;
	if (order < 0) {
		tree->left = take(tree->left, range, found);
		return balance(tree);
	}
	if (order > 0) {
		tree->right = take(tree->right, range, found);
		return balance(tree);
	}
	*found = tree;
	if (!tree->right)
		return tree->left;
	struct node *right = take_first(tree->right, &next);

	next->left = tree->left;
	next->right = right;
	return balance(next);
}

static int attach_locked(struct index *index, const struct rmap_range *range)
{
	struct node *node = node_take(index);

	if (!node)
		return -ENOMEM;
	node->range = *range;
	index->root = insert(index->root, node);
	index->n++;
	return 0;
}

static struct node *take_locked(struct index *index, const struct rmap_range *range)
{
	struct node *node = NULL;

	index->root = take(index->root, range, &node);
	index->n -= node != NULL;
	return node;
}

/* Replaces @range by @with, in its node. */
static int replace_locked(struct index *index, const struct rmap_range *range, const struct rmap_range *with)
{
	struct node *node = take_locked(index, range);

	if (!node)
		return -ENOENT;
	node->range = *with;
	index->root = insert(index->root, node);
	index->n++;
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

static size_t stab(const struct node *node, uint64_t at, uint64_t *sum)
{
	size_t found = 0;

	while (node && node->greatest >= at) {
		found += stab(node->left, at, sum);
		if (node->range.first > at)
			break;
		if (node->range.last >= at) {
			found++;
			*sum += node->range.owner;
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
