/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * interval.h - a tree of intervals, to be embedded: which of them have a point of first .. last?
 *
 * A balanced search tree (AVL) in the order of first, each node with the greatest last below it, by which a query
 * prunes: the textbook's augmented tree, as kernels have for each file. What a node is in tells its interval: who
 * includes this for more than the struct defines
 *
 *      INTERVAL_FIRST(node), INTERVAL_LAST(node)    its ends
 *      INTERVAL_ORDER(a, b)                         below zero, zero or above it, as strcmp(): by first, and then by
 *                                                   whatever tells nodes apart
 */
#ifndef VM_BACKENDS_INTERVAL_H
#define VM_BACKENDS_INTERVAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct interval {
	uint64_t greatest; /* last below here */
	struct interval *left, *right;
	int height;
};

#endif

#ifdef INTERVAL_FIRST
static inline int interval_height(const struct interval *node)
{
	return node ? node->height : 0;
}

/* Height and greatest last from the children's. */
static inline void interval_update(struct interval *node)
{
	node->greatest = INTERVAL_LAST(node);
	if (node->left && node->left->greatest > node->greatest)
		node->greatest = node->left->greatest;
	if (node->right && node->right->greatest > node->greatest)
		node->greatest = node->right->greatest;
	node->height = 1 + (interval_height(node->left) > interval_height(node->right) ? interval_height(node->left)
										       : interval_height(node->right));
}

static inline struct interval *interval_rotate_right(struct interval *node)
{
	struct interval *up = node->left;

	node->left = up->right;
	up->right = node;
	interval_update(node);
	interval_update(up);
	return up;
}

static inline struct interval *interval_rotate_left(struct interval *node)
{
	struct interval *up = node->right;

	node->right = up->left;
	up->left = node;
	interval_update(node);
	interval_update(up);
	return up;
}

static inline struct interval *interval_balance(struct interval *node)
{
	int lean = interval_height(node->left) - interval_height(node->right);

	if (lean > 1) {
		if (interval_height(node->left->left) < interval_height(node->left->right))
			node->left = interval_rotate_left(node->left);
		return interval_rotate_right(node);
	}
	if (lean < -1) {
		if (interval_height(node->right->right) < interval_height(node->right->left))
			node->right = interval_rotate_right(node->right);
		return interval_rotate_left(node);
	}
	interval_update(node);
	return node;
}

static inline struct interval *interval_tree_insert(struct interval *tree, struct interval *node)
{
	if (!tree) {
		node->left = node->right = NULL;
		interval_update(node);
		return node;
	}
	if (INTERVAL_ORDER(node, tree) < 0)
		tree->left = interval_tree_insert(tree->left, node);
	else
		tree->right = interval_tree_insert(tree->right, node);
	return interval_balance(tree);
}

static inline struct interval *interval_take_first(struct interval *tree, struct interval **first)
{
	if (!tree->left) {
		*first = tree;
		return tree->right;
	}
	tree->left = interval_take_first(tree->left, first);
	return interval_balance(tree);
}

/* *@found: what was taken out, or NULL. */
static inline struct interval *interval_take(struct interval *tree, const struct interval *key, struct interval **found)
{
	int order = tree ? INTERVAL_ORDER(key, tree) : 0;
	struct interval *next, *right;

	if (!tree)
		return NULL;
	if (order < 0) {
		tree->left = interval_take(tree->left, key, found);
		return interval_balance(tree);
	}
	if (order > 0) {
		tree->right = interval_take(tree->right, key, found);
		return interval_balance(tree);
	}
	*found = tree;
	if (!tree->right)
		return tree->left;
	right = interval_take_first(tree->right, &next);
	next->left = tree->left;
	next->right = right;
	return interval_balance(next);
}

/* It is in no tree. */
static inline void interval_insert(struct interval **root, struct interval *node)
{
	*root = interval_tree_insert(*root, node);
}

/* Return: the one that is the same as @key by its order, as it was when it was inserted; NULL: there is none */
static inline struct interval *interval_remove(struct interval **root, const struct interval *key)
{
	struct interval *found = NULL;

	*root = interval_take(*root, key, &found);
	return found;
}

/* In the order of first, until @visit says false. Return: whether it never did */
static inline bool interval_each(struct interval *root, uint64_t first, uint64_t last,
				 bool (*visit)(struct interval *node, void *arg), void *arg)
{
	while (root && root->greatest >= first) {
		if (!interval_each(root->left, first, last, visit, arg))
			return false;
		if (INTERVAL_FIRST(root) > last)
			return true;
		if (INTERVAL_LAST(root) >= first && !visit(root, arg))
			return false;
		root = root->right;
	}
	return true;
}

#endif
