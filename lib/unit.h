/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * unit.h - what mappings are to a word that counts them: amounts of its fields, or the word itself if one is alone
 */
#ifndef RMAP_LIB_UNIT_H
#define RMAP_LIB_UNIT_H

#include "map.h"
#include "slot.h"

#include <rmap/page.h>

/*
 * Mappings of a kind, one or several, in count layout, and the field they are counted in; zeroes for no mapping. Limits
 * are full fields (G10). An amount may be more than its field holds. @alone: the word of a page that has this mapping
 * and no other, if not the counts; or 0.
 */
struct unit {
	uint64_t amount;
	uint64_t field;
	uint64_t alone;
};

#define NO_UNIT ((struct unit){ 0, 0, 0 })
#define CHAINED_UNIT ((struct unit){ COUNT_CHAINED_ONE, COUNT_CHAINED_ONE * RMAP_CHAINED_MAX, 0 })
#define LINEAR_UNIT ((struct unit){ COUNT_LINEAR_ONE, COUNT_LINEAR_ONE * RMAP_LINEAR_MAX, 0 })
#define LOCKED_UNIT ((struct unit){ COUNT_LOCKED_ONE, COUNT_LOCKED_ONE * RMAP_LOCKED_MAX, 0 })

static inline bool is_linear(struct rmap_mapping mapping)
{
	return mapping.kind == RMAP_LINEAR || mapping.kind == RMAP_NAMED;
}

static inline uint64_t entry_of(const struct rmap *map, struct rmap_mapping mapping)
{
	return slot_key(mapping.handle, map->key_low) | SLOT_ENTRY;
}

/* The word of a page that has this mapping and no other; 0: the counts. A key of several ptes is no name of one. */
static inline uint64_t alone(const struct rmap *map, struct rmap_mapping mapping)
{
	if (mapping.kind == RMAP_CHAINED)
		return entry_of(map, mapping);
	return mapping.kind == RMAP_NAMED && !map->key_low ? mapping.handle | SLOT_NAMED : 0;
}

/* Of mappings that are not chained. */
static inline struct unit unit_of(const struct rmap *map, struct rmap_mapping mapping)
{
	uint64_t n = rmap_mapping_count(mapping);

	if (is_linear(mapping))
		return (struct unit){ n * COUNT_LINEAR_ONE, LINEAR_UNIT.field, alone(map, mapping) };
	return (struct unit){ n * COUNT_LOCKED_ONE, LOCKED_UNIT.field, 0 };
}

/* What the change from @old to @after counts means to the embedder (G5). */
static inline int events(uint64_t old, uint64_t after)
{
	uint64_t all = LOCKED_UNIT.field | LINEAR_UNIT.field | CHAINED_UNIT.field;
	uint64_t locked = LOCKED_UNIT.field;
	int event = 0;

	if (!(old & all) != !(after & all))
		event |= (old & all) ? RMAP_LAST : RMAP_FIRST;
	if (!(old & locked) != !(after & locked))
		event |= (old & locked) ? RMAP_LAST_LOCK : RMAP_FIRST_LOCK;
	return event;
}

/* @minus becomes @plus, all of it or nothing. 0, -ENOENT or -EOVERFLOW. */
static inline int change_counts(uint64_t old, struct unit minus, struct unit plus, uint64_t *after)
{
	if (minus.amount > (old & minus.field))
		return -ENOENT;
	if (plus.amount > plus.field - (old & plus.field) && minus.field != plus.field)
		return -EOVERFLOW;
	*after = old - minus.amount + plus.amount;
	return 0;
}

/* The counts of a word that is no chain. */
static inline uint64_t word_counts(const struct rmap *map, uint64_t word)
{
	if (slot_kind(word) == SLOT_EMPTY)
		return word;
	if (slot_kind(word) == SLOT_NAMED)
		return COUNT_LINEAR_ONE;
	return slot_multiplicity(word, map->key_low) * COUNT_CHAINED_ONE;
}

/* The word that counts @counts, of which @unit is a part. */
static inline uint64_t word_of(uint64_t counts, struct unit unit)
{
	return unit.alone && counts == unit.amount ? unit.alone : counts;
}

/*
 * @minus becomes @plus in @word, which is no chain: the counts behind that. 0, -ENOENT (also if @word has another's
 * name) or -EOVERFLOW.
 */
static inline int change_word(const struct rmap *map, uint64_t word, struct unit minus, struct unit plus,
			      uint64_t *after)
{
	if (slot_kind(word) == SLOT_NAMED && minus.alone && minus.alone != word)
		return -ENOENT;
	return change_counts(word_counts(map, word), minus, plus, after);
}

#endif
