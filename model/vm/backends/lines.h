/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lines.h - the lines of a pte chain of Linux 2.5, for who has the chain's lock
 *
 * A line of 64 bytes is the link to the next one, with the index of the first entry in use in its low bits, and seven
 * entries, which fill from the last to the first. Only the first line has free entries: an add takes the next of them
 * or puts a line in front, O(1). A remove looks at entry after entry, O(n), and fills the gap with the first entry of
 * the first line.
 */
#ifndef VM_BACKENDS_LINES_H
#define VM_BACKENDS_LINES_H

#include <stddef.h>
#include <stdint.h>

#define LINE_ENTRIES 7u
#define LINE_FIRST ((uintptr_t)7)

struct chain_line {
	uintptr_t link;
	uint64_t entries[LINE_ENTRIES];
};

_Static_assert(sizeof(struct chain_line) == 64, "a line is a cache line");

static inline struct chain_line *line_next(const struct chain_line *line)
{
	return (struct chain_line *)(line->link & ~LINE_FIRST);
}

/* LINE_ENTRIES - 1 at most; 0: the line is full. */
static inline unsigned line_first(const struct chain_line *line)
{
	return (unsigned)(line->link & LINE_FIRST);
}

/* A line of one entry. */
static inline void line_begin(struct chain_line *line, struct chain_line *next, uint64_t entry)
{
	line->link = (uintptr_t)next | (LINE_ENTRIES - 1);
	line->entries[LINE_ENTRIES - 1] = entry;
}

/* The line is not full. */
static inline void line_put(struct chain_line *line, uint64_t entry)
{
	line->link--;
	line->entries[line_first(line)] = entry;
}

/* Where @entry is, in @line or those behind it. NULL: nowhere */
static inline uint64_t *line_find(struct chain_line *line, uint64_t entry)
{
	for (; line; line = line_next(line))
		for (unsigned i = line_first(line); i < LINE_ENTRIES; i++)
			if (line->entries[i] == entry)
				return &line->entries[i];
	return NULL;
}

/* What is at @gap goes. Return: the first line from now on: @first, or if that is empty, the next one or NULL */
static inline struct chain_line *line_take(struct chain_line *first, uint64_t *gap)
{
	*gap = first->entries[line_first(first)];
	if (line_first(first) == LINE_ENTRIES - 1)
		return line_next(first);
	first->link++;
	return first;
}

#endif
