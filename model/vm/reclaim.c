/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reclaim.c - aging and reclaim: who asks the reverse map for all ptes of a page
 *
 * Reclaim isolates the oldest inactive pages, sees whether they were accessed, unmaps them, flushes once for all, and
 * frees those to which nobody else has a reference. It runs in any thread that needs a frame, whatever mm locks are
 * held, since it takes none; it tries page locks, as it holds several.
 */
#include "backend.h"

#include <errno.h>

/* --- aging ------------------------------------------------------------------------------------ */

/* @owes: a translation that stays hides accesses, until it goes for another reason */
struct aging {
	bool accessed;
	bool owes;
};

static void age_pte(struct vm_thread *thread, struct leaf *leaf, uint64_t vpn, void *arg)
{
	uint64_t *pte = leaf_bits(thread->vm, leaf, vpn);
	struct aging *aging = arg;

	if (!(*pte & PTE_ACCESSED))
		return;
	aging->accessed = true;
	if (aging->owes)
		tlb_owe(thread, leaf, vpn, 0, OWED_NOTHING);
	*pte &= ~PTE_ACCESSED;
}

/*
 * An accessed bit is a hint: a flush may come at any time, or not at all. Where a lock is refused the page counts as
 * accessed, as it did in 2003.
 */
static bool page_referenced(struct vm_thread *thread, struct page *page, bool owes)
{
	struct aging aging = { .owes = owes };
	struct walk walk = { .action = age_pte, .arg = &aging, .ages = true, .entries = true };

	page_walk(thread, page, &walk);
	aging.accessed |= walk.refused > 0;
	count(thread, FIGURE_AGED, 1);
	count(thread, FIGURE_REFERENCED, aging.accessed);
	return aging.accessed;
}

/* Half of them active ones, which become inactive if nobody used them. */
uint32_t vm_age(struct vm_thread *thread, uint32_t n)
{
	uint32_t aged = 0;

	while (aged < n) {
		struct page *page = lru_isolate(thread, aged % 2);

		if (!page)
			page = lru_isolate(thread, !(aged % 2));
		if (!page)
			break;
		lru_put_back(thread, page, page_referenced(thread, page, true));
		page_put(thread, page);
		aged++;
	}
	tlb_flush(thread);
	return aged;
}

/* --- reclaim ---------------------------------------------------------------------------------- */

/*
 * A page that is to go, and whose lock this thread has. @slots: [0, n), of its frames, if it is anonymous and mapped.
 * @result: an rmap_unmap_result; -ENOMEM: swap is full
 */
struct victim {
	struct page *page;
	uint32_t slots[1u << VM_FOLIO_ORDER_MAX];
	uint32_t n;
	int result;
};

/* Return: whether there were enough; unmap_end() puts what was had. */
static bool take_slots(struct vm_thread *thread, struct victim *victim)
{
	for (; victim->n < page_frames(victim->page); victim->n++) {
		victim->slots[victim->n] = slot_alloc(thread, victim->page, victim->n);
		if (victim->slots[victim->n] == SLOT_NONE)
			return false;
	}
	return true;
}

static void unmap_begin(struct vm_thread *thread, struct victim *victim)
{
	struct page *page = victim->page;

	victim->n = 0;
	victim->result = RMAP_UNMAP_SUCCESS;
	if (page_mapcount(thread, page) == 0)
		return;
	if (page_is_file(page) || take_slots(thread, victim))
		victim->result = page_unmap(thread, page, victim->slots);
	else
		victim->result = -ENOMEM;
}

/* No processor uses what was unmapped. */
static void unmap_end(struct vm_thread *thread, const struct victim *victim)
{
	for (uint32_t i = 0; i < victim->n; i++) {
		slot_fill(thread, victim->slots[i], victim->page, i);
		slot_put(thread, victim->slots[i]);
	}
	count(thread, FIGURE_SWAP_OUTS, victim->n > 0 && victim->result == RMAP_UNMAP_SUCCESS);
}

/* It is not mapped. Return: whether this thread had the last reference, which is gone. Holds: the page lock */
static bool give_up(struct vm_thread *thread, struct page *page)
{
	if (page_has(page, PAGE_CACHED))
		return file_evict(thread, page);
	return page_freeze(page, 1);
}

/* How many pages one flush is for. */
#define VICTIMS 6u

/* An isolated page. Return: whether it is locked and a victim; otherwise it is where it was */
static bool victim_begin(struct vm_thread *thread, struct victim *victim, struct page *page)
{
	if (page_referenced(thread, page, false) || !vm_trylock(&thread->held, &page->lock)) {
		lru_put_back(thread, page, true);
		page_put(thread, page);
		return false;
	}
	victim->page = page;
	unmap_begin(thread, victim);
	return true;
}

/* After the flush. The isolated page's reference goes. Return: how many frames are free now */
static uint32_t victim_end(struct vm_thread *thread, const struct victim *victim)
{
	struct page *page = victim->page;
	uint32_t frames = page_frames(page);
	bool unmapped = victim->result == RMAP_UNMAP_SUCCESS;
	bool freed;

	unmap_end(thread, victim);
	freed = unmapped && give_up(thread, page);
	vm_unlock(&thread->held, &page->lock);
	lru_put_back(thread, page, !unmapped);
	if (freed)
		page_free(thread, page);
	else
		page_put(thread, page);
	return freed ? frames : 0;
}

/* Up to VICTIMS pages, with one flush. *@looks: how many more pages may be looked at; 0: there is none */
static uint32_t reclaim_some(struct vm_thread *thread, uint32_t n, uint32_t *looks)
{
	struct victim victims[VICTIMS];
	uint32_t begun = 0, freed = 0;

	for (; *looks > 0 && begun < n && begun < VICTIMS; --*looks) {
		struct page *page = lru_isolate(thread, false);

		if (!page)
			page = lru_isolate(thread, true);
		if (!page) {
			*looks = 0;
			break;
		}
		begun += victim_begin(thread, &victims[begun], page);
	}
	window(thread->vm, VM_WINDOW_OWED);
	tlb_flush(thread);
	for (uint32_t i = 0; i < begun; i++)
		freed += victim_end(thread, &victims[i]);
	return freed;
}

uint32_t vm_reclaim(struct vm_thread *thread, uint32_t n)
{
	uint32_t freed = 0;

	for (uint32_t looks = 2 * thread->vm->options.frames; looks > 0 && freed < n;)
		freed += reclaim_some(thread, n - freed, &looks);
	count(thread, FIGURE_RECLAIMED, freed);
	return freed;
}
