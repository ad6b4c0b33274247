/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * chains.c - see chains.h
 */
#include "chains.h"

#define DIRECT ((uint64_t)1)
#define ENTRY_INDEX_SHIFT 48u

static uint64_t entry_of(const struct leaf *leaf, uint64_t vpn)
{
	return (uintptr_t)leaf | (vpn - leaf->first) << ENTRY_INDEX_SHIFT;
}

static struct leaf *entry_leaf(uint64_t entry)
{
	return (struct leaf *)(uintptr_t)(entry & (((uint64_t)1 << ENTRY_INDEX_SHIFT) - 1));
}

static uint64_t entry_vpn(uint64_t entry)
{
	return entry_leaf(entry)->first + (entry >> ENTRY_INDEX_SHIFT);
}

static struct chain_line *first_line(const struct page *page)
{
	return page->word & DIRECT ? NULL : (struct chain_line *)(uintptr_t)page->word;
}

void chain_lock(struct vm_thread *thread, struct page *page)
{
	if (thread->chained != page)
		vm_lock(&thread->held, &page->chain);
}

void chain_unlock(struct vm_thread *thread, struct page *page)
{
	if (thread->chained != page)
		vm_unlock(&thread->held, &page->chain);
}

static void push_line(struct vm_thread *thread, struct page *page, uint64_t entry)
{
	struct chain_line *line = hand_take(thread);

	line_begin(line, first_line(page), entry);
	page->word = (uintptr_t)line;
}

void chain_add(struct vm_thread *thread, struct page *page, const struct leaf *leaf, uint64_t vpn)
{
	uint64_t entry = entry_of(leaf, vpn);
	struct chain_line *line;

	if (page->word == 0) {
		page->word = entry | DIRECT;
		return;
	}
	if (page->word & DIRECT)
		push_line(thread, page, page->word & ~DIRECT);
	line = first_line(page);
	if (line_first(line) == 0)
		push_line(thread, page, entry);
	else
		line_put(line, entry);
}

bool chain_remove(struct vm_thread *thread, struct page *page, const struct leaf *leaf, uint64_t vpn)
{
	uint64_t entry = entry_of(leaf, vpn);
	struct chain_line *first = first_line(page), *now;
	const struct hand *hand = hand_of(thread);
	uint64_t *gap;

	if (page->word & DIRECT) {
		if (page->word != (entry | DIRECT))
			return false;
		page->word = 0;
		return true;
	}
	/* What a walk is at needs no search. */
	gap = hand->at && *hand->at == entry ? hand->at : line_find(first, entry);
	if (!gap)
		return false;
	now = line_take(first, gap);
	if (now != first) {
		page->word = (uintptr_t)now;
		hand_give(thread, first);
	}
	return true;
}

uint32_t chain_count(const struct page *page)
{
	uint32_t n = page->word & DIRECT;

	for (const struct chain_line *line = first_line(page); line; line = line_next(line))
		n += LINE_ENTRIES - line_first(line);
	return n;
}

static bool visit(struct vm_thread *thread, struct page *page, uint64_t entry, struct walk *walk)
{
	uint64_t vpn = entry_vpn(entry);

	return walk_leaf(thread, page, entry_leaf(entry), vpn, vpn + 1, true, walk);
}

/* What fills the gap of a removed entry comes from the first line, where the walk has been. */
static void visit_lines(struct vm_thread *thread, struct page *page, struct walk *walk)
{
	struct hand *hand = hand_of(thread);
	bool goes_on = true;

	for (struct chain_line *line = first_line(page), *next; line && goes_on; line = next) {
		unsigned i = line_first(line);

		next = line_next(line);
		for (; i < LINE_ENTRIES && goes_on; i++) {
			hand->at = &line->entries[i];
			goes_on = visit(thread, page, line->entries[i], walk);
		}
	}
	hand->at = NULL;
}

/* One entry alone needs no line. */
static void collapse(struct vm_thread *thread, struct page *page)
{
	struct chain_line *line = first_line(page);

	if (!line || line_next(line) || line_first(line) < LINE_ENTRIES - 1)
		return;
	page->word = line->entries[LINE_ENTRIES - 1] | DIRECT;
	hand_give(thread, line);
}

void chain_walk(struct vm_thread *thread, struct page *page, struct walk *walk)
{
	if (page->word & DIRECT)
		visit(thread, page, page->word & ~DIRECT, walk);
	else
		visit_lines(thread, page, walk);
	if (walk->ages)
		collapse(thread, page);
}

const char *chain_check(const struct page *page)
{
	const struct chain_line *first = first_line(page);

	for (const struct chain_line *line = first; line; line = line_next(line)) {
		if (line != first && line_first(line) != 0)
			return "a line behind the first one has free entries";
		if (line_first(line) >= LINE_ENTRIES)
			return "a line without entries";
	}
	return NULL;
}
