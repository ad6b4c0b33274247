/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * interval.c - see interval.h
 */
#include "interval.h"

#include <stddef.h>

static int height(const struct interval *node)
{
	return node ? node->height : 0;
}

static bool before(const struct interval *a, const struct interval *b)
{
	return a->first != b->first ? a->first < b->first : (uintptr_t)a < (uintptr_t)b;
}

/* Height and greatest last from the children's. */
static void update(struct interval *node)
{
	node->greatest = node->last;
	if (node->left && node->left->greatest > node->greatest)
		node->greatest = node->left->greatest;
	if (node->right && node->right->greatest > node->greatest)
		node->greatest = node->right->greatest;
	node->height = 1 + (height(node->left) > height(node->right) ? height(node->left) : height(node->right));
}

static struct interval *rotate_right(struct interval *node)
{
	struct interval *up = node->left;

	node->left = up->right;
	up->right = node;
	update(node);
	update(up);
	return up;
}

static struct interval *rotate_left(struct interval *node)
{
	struct interval *up = node->right;

	node->right = up->left;
	up->left = node;
	update(node);
	update(up);
	return up;
}

static struct interval *balance(struct interval *node)
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

static struct interval *insert(struct interval *tree, struct interval *node)
{
	if (!tree) {
		node->left = node->right = NULL;
		update(node);
		return node;
	}
	if (before(node, tree))
		tree->left = insert(tree->left, node);
	else
		tree->right = insert(tree->right, node);
	return balance(tree);
}

static struct interval *take_first(struct interval *tree, struct interval **first)
{
	if (!tree->left) {
		*first = tree;
		return tree->right;
	}
	tree->left = take_first(tree->left, first);
	return balance(tree);
}

static struct interval *take(struct interval *tree, const struct interval *node)
{
	struct interval *next, *right;

	if (tree != node) {
		if (before(node, tree))
			tree->left = take(tree->left, node);
		else
			tree->right = take(tree->right, node);
		return balance(tree);
	}
	if (!tree->right)
		return tree->left;
	right = take_first(tree->right, &next);
	next->left = tree->left;
	next->right = right;
	return balance(next);
}

void interval_insert(struct interval **root, struct interval *node)
{
	*root = insert(*root, node);
}

void interval_remove(struct interval **root, struct interval *node)
{
	*root = take(*root, node);
}

bool interval_each(struct interval *root, uint64_t first, uint64_t last,
		   bool (*visit)(struct interval *node, void *arg), void *arg)
{
	while (root && root->greatest >= first) {
		if (!interval_each(root->left, first, last, visit, arg))
			return false;
		if (root->first > last)
			return true;
		if (root->last >= first && !visit(root, arg))
			return false;
		root = root->right;
	}
	return true;
}
