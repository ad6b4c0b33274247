/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * history.h - what threads did to one page, and whether a sequential page could have answered the same
 */
#ifndef RMAP_EXPLORE_HISTORY_H
#define RMAP_EXPLORE_HISTORY_H

#include "engine.h"

#include <rmap/page.h>

#define LETTERS 26u
#define NAMES 2u
#define LABELS (LETTERS + NAMES)
#define OPS_MAX 24u

/* Those before OP_CURSOR run inside a read-side section. */
enum op_kind {
	OP_ADD,
	OP_REMOVE,
	OP_MOVE,
	OP_DUPLICATE,
	OP_COUNT,
	OP_WALK,
	OP_CURSOR,
	OP_BATCHES,
	OP_FILL,
	OP_FILL_MORE,
	OP_DRAIN,
	OP_SPLIT,
	OP_SHIFT,
	OP_TAG,
	OP_ATTACH,
	OP_TRUNCATE,
	OP_FAULT,
};

/* @from: what is removed or moved; @to: what is added. Handles are labels here: letters, 0 is A, then names. */
struct op {
	enum op_kind kind;
	struct rmap_mapping from;
	struct rmap_mapping to;
};

/* Has it a label: is its pte told? */
bool is_labelled(struct rmap_mapping mapping);

/*
 * struct record - an operation
 * @before: how many operations of each thread had ended when it began; @ended: of a walk, at its last visit
 * @seen:   a walk: how often it visited each label; @found: and found the pte set; @ranges: how many ranges; @indexes:
 *          of the page's, a bit for each that these cover
 * @blind:  a walk: it visited a mapping whose adder's work it could not see
 * @saw:    of each thread, how many operations whoever was told RMAP_LAST saw begun
 */
struct record {
	struct op op;
	unsigned before[THREADS_MAX];
	unsigned ended[THREADS_MAX];
	int result;
	uint8_t seen[LABELS];
	uint8_t found[LABELS];
	uint8_t ranges;
	unsigned indexes;
	bool blind;
	unsigned saw[THREADS_MAX];
};

/* A page as its specification has it. */
struct spec {
	uint32_t labelled[LABELS];
	uint32_t linear; /* without a name */
	uint32_t locked;
};

struct history {
	struct spec initial;
	bool has_object; /* which names the page's linear mappings */
	unsigned indexes; /* and ranges of it cover these of the page all the time, and no others */
	struct record records[THREADS_MAX][OPS_MAX];
	unsigned counts[THREADS_MAX];
	unsigned threads;
};

/* What @op answers on @spec, which it changes. Walks answer 0. */
int spec_apply(struct spec *spec, const struct op *op);

uint32_t spec_mapcount(const struct spec *spec);

/* NULL, or what is wrong: no order of the operations explains the answers, or a walk breaks G3. */
const char *history_check(const struct history *history);

#endif
