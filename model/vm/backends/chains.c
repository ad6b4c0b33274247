/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * chains.c - see chains.h
 */
#include "chains.h"

#define DIRECT ((uint64_t)1)
#define ENTRY_INDEX_SHIFT 48u
#define LINK_FIRST ((uintptr_t)7) /* of a link: the index of the first entry in use */

_Static_assert(sizeof(struct chain_line) == 64, "a line is a cache line");

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

static struct chain_line *next_line(const struct chain_line *line)
{
	return (struct chain_line *)(line->link & ~LINK_FIRST);
}

static unsigned first_entry(const struct chain_line *line)
{
	return (unsigned)(line->link & LINK_FIRST);
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
	struct chain_line *next = first_line(page);
	struct chain_line *line = hand_take(thread);

	line->link = (uintptr_t)next | (CHAIN_SLOTS - 1);
	line->entries[CHAIN_SLOTS - 1] = entry;
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
	if (first_entry(line) == 0) {
		push_line(thread, page, entry);
		return;
	}
	line->link--;
	line->entries[first_entry(line)] = entry;
}

/* What a walk is at needs no search. */
static uint64_t *find(const struct page *page, const struct hand *hand, uint64_t entry)
{
	if (hand->at && *hand->at == entry)
		return hand->at;
	for (struct chain_line *line = first_line(page); line; line = next_line(line))
		for (unsigned i = first_entry(line); i < CHAIN_SLOTS; i++)
			if (line->entries[i] == entry)
				return &line->entries[i];
	return NULL;
}

bool chain_remove(struct vm_thread *thread, struct page *page, const struct leaf *leaf, uint64_t vpn)
{
	uint64_t entry = entry_of(leaf, vpn);
	struct chain_line *first = first_line(page);
	uint64_t *gap;

	if (page->word & DIRECT) {
		if (page->word != (entry | DIRECT))
			return false;
		page->word = 0;
		return true;
	}
	gap = find(page, hand_of(thread), entry);
	if (!gap)
		return false;
	*gap = first->entries[first_entry(first)];
	if (first_entry(first) < CHAIN_SLOTS - 1) {
		first->link++;
		return true;
	}
	page->word = (uintptr_t)next_line(first);
	hand_give(thread, first);
	return true;
}

uint32_t chain_count(const struct page *page)
{
	uint32_t n = page->word & DIRECT;

	for (const struct chain_line *line = first_line(page); line; line = next_line(line))
		n += CHAIN_SLOTS - first_entry(line);
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
		unsigned i = first_entry(line);

		next = next_line(line);
		for (; i < CHAIN_SLOTS && goes_on; i++) {
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

	if (!line || next_line(line) || first_entry(line) < CHAIN_SLOTS - 1)
		return;
	page->word = line->entries[CHAIN_SLOTS - 1] | DIRECT;
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

	for (const struct chain_line *line = first; line; line = next_line(line)) {
		if (line != first && first_entry(line) != 0)
			return "a line behind the first one has free entries";
		if (first_entry(line) >= CHAIN_SLOTS)
			return "a line without entries";
	}
	return NULL;
}
