/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pte_chain.c - the peer of 2003: chains of a cache line each, as Linux 2.5 had them
 *
 * A page's word is one handle, or a pointer to a line of seven handles and a word that is the link to the next line
 * and, in the low bits that alignment leaves free, the index of the first handle in use: a line fills from its end to
 * its beginning. Only the first line is part full: a remove scans, O(n), fills the gap with the first line's first
 * handle, and unlinks a line that empties. The lock is a bit, here of the word, then of the page's flags.
 */
#include "bitlock.h"
#include "peer.h"

#define SLOTS 7u
#define INDEX ((uintptr_t)63)
#define MANY ((uintptr_t)2)

struct line {
	uintptr_t link; /* next | index of the first handle in use */
	uint64_t handles[SLOTS];
};

#define BLOCK_BYTES sizeof(struct line)
#include "blocks.h"

struct head {
	atomic_uintptr_t word;
};

static inline struct line *line_of(uintptr_t word)
{
	return word & MANY ? (struct line *)(word & ~MANY) : NULL;
}

static inline struct line *line_next(const struct line *line)
{
	return (struct line *)(line->link & ~INDEX);
}

static inline size_t line_first(const struct line *line)
{
	return (size_t)(line->link & INDEX);
}

static inline struct line *line_new(struct thread *thread, struct line *next, uint64_t handle)
{
	struct line *line = block_take(thread);

	if (line) {
		line->link = (uintptr_t)next | (SLOTS - 1);
		line->handles[SLOTS - 1] = handle;
	}
	return line;
}

static inline int head_add(struct thread *thread, struct head *head, uint64_t handle)
{
	uintptr_t word = word_lock(&head->word), new = (uintptr_t)handle;
	struct line *line = line_of(word);

	if (line && line_first(line)) {
		line->link--;
		line->handles[line_first(line)] = handle;
		new = word;
	} else if (word) {
		line = line_new(thread, line, line ? handle : word);
		if (line && !(word & MANY)) {
			line->link--;
			line->handles[SLOTS - 2] = handle;
		}
		new = line ? (uintptr_t)line | MANY : 0;
	}
	word_unlock(&head->word, new ? new : word);
	return new ? 0 : -1;
}

/* The word after the first handle of the first line has filled @gap. */
static inline uintptr_t fill_gap(struct thread *thread, uintptr_t word, uint64_t *gap)
{
	struct line *first = line_of(word);

	*gap = first->handles[line_first(first)];
	first->link++;
	if (line_first(first) < SLOTS)
		return word;
	first->link -= SLOTS;
	word = first->link ? first->link | MANY : 0;
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
	for (struct line *line = line_of(word); line; line = line_next(line)) {
		for (size_t i = line_first(line); i < SLOTS; i++) {
			if (line->handles[i] != handle)
				continue;
			word_unlock(&head->word, fill_gap(thread, word, &line->handles[i]));
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
	for (struct line *line = line_of(word); line; line = line_next(line)) {
		for (size_t i = line_first(line); i < SLOTS; i++)
			sum += line->handles[i];
	}
	word_unlock(&head->word, word);
	return sum;
}

static size_t head_drop(struct thread *thread, struct head *head)
{
	uintptr_t word = word_lock(&head->word);
	size_t dropped = word && !(word & MANY);

	for (struct line *line = line_of(word), *next; line; line = next) {
		dropped += SLOTS - line_first(line);
		next = line_next(line);
		block_give(thread, line);
	}
	word_unlock(&head->word, 0);
	return dropped;
}

#define PEER_NAME pte_chain
#define PEER_SCANS true
#include "loops.h"
