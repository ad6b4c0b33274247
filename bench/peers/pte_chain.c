/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pte_chain.c - the peer of 2003: chains of a cache line each, as Linux 2.5 had them
 *
 * A page's word is one handle, or a pointer to a line of handles. The lines are those of the VM's backends; a remove
 * unlinks a line that empties. The lock is a bit, here of the word, then of the page's flags.
 */
#include "bitlock.h"
#include "peer.h"

#include "../../model/vm/backends/lines.h"

#define MANY ((uintptr_t)2)

#define BLOCK_BYTES sizeof(struct chain_line)
#include "blocks.h"

struct head {
	atomic_uintptr_t word;
};

static inline struct chain_line *line_of(uintptr_t word)
{
	return word & MANY ? (struct chain_line *)(word & ~MANY) : NULL;
}

static inline struct chain_line *line_new(struct thread *thread, struct chain_line *next, uint64_t handle)
{
	struct chain_line *line = block_take(thread);

	if (line)
		line_begin(line, next, handle);
	return line;
}

static inline int head_add(struct thread *thread, struct head *head, uint64_t handle)
{
	uintptr_t word = word_lock(&head->word), new = (uintptr_t)handle;
	struct chain_line *line = line_of(word);

	if (line && line_first(line)) {
		line_put(line, handle);
		new = word;
	} else if (word) {
		line = line_new(thread, line, line ? handle : word);
		if (line && !(word & MANY))
			line_put(line, handle);
		new = line ? (uintptr_t)line | MANY : 0;
	}
	word_unlock(&head->word, new ? new : word);
	return new ? 0 : -1;
}

static inline int head_remove(struct thread *thread, struct head *head, uint64_t handle)
{
	uintptr_t word = word_lock(&head->word);
	struct chain_line *first = line_of(word), *now;
	uint64_t *gap;

	if (word && word == (uintptr_t)handle) {
		word_unlock(&head->word, 0);
		return 0;
	}
	gap = line_find(first, handle);
	if (!gap) {
		word_unlock(&head->word, word);
		return -1;
	}
	now = line_take(first, gap);
	if (now != first)
		block_give(thread, first);
	word_unlock(&head->word, now ? (uintptr_t)now | MANY : 0);
	return 0;
}

static inline uint64_t head_walk(struct thread *thread, struct head *head)
{
	uintptr_t word = word_lock(&head->word);
	uint64_t sum = word & MANY ? 0 : word;

	(void)thread;
	for (struct chain_line *line = line_of(word); line; line = line_next(line)) {
		for (unsigned i = line_first(line); i < LINE_ENTRIES; i++)
			sum += line->entries[i];
	}
	word_unlock(&head->word, word);
	return sum;
}

static size_t head_drop(struct thread *thread, struct head *head)
{
	uintptr_t word = word_lock(&head->word);
	size_t dropped = word && !(word & MANY);

	for (struct chain_line *line = line_of(word), *next; line; line = next) {
		dropped += LINE_ENTRIES - line_first(line);
		next = line_next(line);
		block_give(thread, line);
	}
	word_unlock(&head->word, 0);
	return dropped;
}

#define PEER_NAME pte_chain
#define PEER_SCANS true
#include "loops.h"
