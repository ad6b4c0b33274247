/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * interval.h - a tree of intervals, to be embedded: which of them have a point of first .. last?
 *
 * A balanced search tree (AVL) in the order of first, each node with the greatest last below it, by which a query prunes:
 * the textbook's augmented tree, as kernels have for each file. Nodes of one interval are told apart by their addresses.
 */
#ifndef VM_BACKENDS_INTERVAL_H
#define VM_BACKENDS_INTERVAL_H

#include <stdbool.h>
#include <stdint.h>

struct interval {
	uint64_t first;
	uint64_t last;
	uint64_t greatest; /* last below here */
	struct interval *left, *right;
	int height;
};

/* What a node adds to whom it is embedded in, and who tells first and last anyway. */
#define INTERVAL_BYTES (sizeof(struct interval) - 2 * sizeof(uint64_t))

void interval_insert(struct interval **root, struct interval *node);
/* It is in the tree, and its first and last are what they were when it was inserted. */
void interval_remove(struct interval **root, struct interval *node);
/* In the order of first, until @visit says false. Return: whether it never did */
bool interval_each(struct interval *root, uint64_t first, uint64_t last,
		   bool (*visit)(struct interval *node, void *arg), void *arg);

#endif
