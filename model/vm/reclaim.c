/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reclaim.c - swap, aging, reclaim and migration: who asks the reverse map for all ptes of a page
 *
 * Reclaim isolates the oldest inactive page, sees whether it was accessed, unmaps it, and frees it if nobody else has a
 * reference. It runs in any thread that needs a frame, whatever mm locks are held, since it takes none.
 *
 * A slot of swap is owned by the ptes that name it. Each mm reads it into a page of its own: after a fork they would
 * have to be copied at the first write anyway. Anonymous pages migrate by way of swap, because only ptes know them.
 */
#include "system.h"

#include <errno.h>

/* --- swap ------------------------------------------------------------------------------------- */

/* A slot with a copy of @page, and one reference. SLOT_NONE: swap is full */
uint32_t slot_alloc(struct vm_thread *thread, struct page *page)
{
	struct vm *vm = thread->vm;
	uint32_t number;

	vm_lock(&thread->held, &vm->swap_lock);
	number = vm->slots_free;
	if (number < vm->options.swap_slots) {
		struct slot *slot = &vm->slots[number];

		vm->slots_free = slot->next_free;
		slot->refs = 1;
		slot->object = page->object;
		slot->index = page->index;
		words_copy(slot->words, page->words, page_words(vm));
	}
	vm_unlock(&thread->held, &vm->swap_lock);
	return number < vm->options.swap_slots ? number : SLOT_NONE;
}

void slot_get(struct vm_thread *thread, uint32_t slot)
{
	vm_lock(&thread->held, &thread->vm->swap_lock);
	thread->vm->slots[slot].refs++;
	vm_unlock(&thread->held, &thread->vm->swap_lock);
}

void slot_put(struct vm_thread *thread, uint32_t number)
{
	struct vm *vm = thread->vm;
	struct slot *slot = &vm->slots[number];

	vm_lock(&thread->held, &vm->swap_lock);
	vm_must(slot->refs > 0);
	if (--slot->refs == 0) {
		slot->next_free = vm->slots_free;
		vm->slots_free = number;
	}
	vm_unlock(&thread->held, &vm->swap_lock);
}

/* --- aging ------------------------------------------------------------------------------------ */

static void age_pte(struct vm_thread *thread, struct mm *mm, struct leaf *leaf, uint64_t vpn, void *arg)
{
	uint64_t *pte = leaf_pte(thread->vm, leaf, vpn);
	bool *accessed = arg;

	(void)mm;
	if (*pte & PTE_ACCESSED)
		*accessed = true;
	*pte &= ~PTE_ACCESSED;
}

static bool page_referenced(struct vm_thread *thread, struct page *page)
{
	bool accessed = false;

	page_ptes(thread, page, age_pte, &accessed);
	count(thread, FIGURE_AGED, 1);
	count(thread, FIGURE_REFERENCED, accessed);
	return accessed;
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
		lru_put_back(thread, page, page_referenced(thread, page));
		page_put(thread, page);
		aged++;
	}
	return aged;
}

/* --- reclaim ---------------------------------------------------------------------------------- */

/* Unmap a page, whose lock this thread has. Return: an rmap_unmap_result; -ENOMEM: swap is full */
static int unmap_out(struct vm_thread *thread, struct page *page, enum rmap_semantics semantics)
{
	uint32_t slot = SLOT_NONE;
	int result;

	if (page_mapcount(thread, page) == 0)
		return RMAP_UNMAP_SUCCESS;
	if (!page->object->is_file) {
		slot = slot_alloc(thread, page);
		if (slot == SLOT_NONE)
			return -ENOMEM;
	}
	result = page_unmap(thread, page, slot, semantics);
	if (slot != SLOT_NONE)
		slot_put(thread, slot);
	if (slot != SLOT_NONE && result == RMAP_UNMAP_SUCCESS)
		count(thread, FIGURE_SWAP_OUTS, 1);
	return result;
}

/* It is not mapped. Return: whether this thread had the last reference, which is gone. Holds: the page lock */
static bool give_up(struct vm_thread *thread, struct page *page)
{
	if (page->object->is_file && page_has(page, PAGE_CACHED))
		return file_evict(thread, page, NULL);
	return page_freeze(page, 1);
}

/* An isolated page, whose reference goes. Return: whether its frame is free */
static bool reclaim_page(struct vm_thread *thread, struct page *page)
{
	bool unmapped, freed;

	if (page_referenced(thread, page) || !vm_trylock(&thread->held, &page->lock)) {
		lru_put_back(thread, page, true);
		page_put(thread, page);
		return false;
	}
	unmapped = unmap_out(thread, page, RMAP_FAILABLE) == RMAP_UNMAP_SUCCESS;
	freed = unmapped && give_up(thread, page);
	vm_unlock(&thread->held, &page->lock);
	lru_put_back(thread, page, !unmapped);
	if (freed)
		page_free(thread, page);
	else
		page_put(thread, page);
	return freed;
}

uint32_t reclaim(struct vm_thread *thread, uint32_t n)
{
	uint32_t freed = 0;

	for (uint32_t looks = 2 * thread->vm->options.frames; looks > 0 && freed < n; looks--) {
		struct page *page = lru_isolate(thread, false);

		if (!page)
			page = lru_isolate(thread, true);
		if (!page)
			break;
		freed += reclaim_page(thread, page);
	}
	count(thread, FIGURE_RECLAIMED, freed);
	return freed;
}

uint32_t vm_reclaim(struct vm_thread *thread, uint32_t n)
{
	return reclaim(thread, n);
}

/* --- migration -------------------------------------------------------------------------------- */

/* @new: NULL for anonymous pages. Both with a reference of the caller's, of which @page's goes. */
static int migrate_page(struct vm_thread *thread, struct page *page, struct page *new)
{
	struct vm *vm = thread->vm;
	enum rmap_semantics semantics = unmap_flags(vm) & RMAP_UNMAP_TRY ? RMAP_FAILABLE : vm->options.semantics;
	bool evicted = false;
	int result;

	vm_lock(&thread->held, &page->lock);
	result = unmap_out(thread, page, semantics);
	if (result == RMAP_UNMAP_SUCCESS && new)
		evicted = file_evict(thread, page, new);
	vm_unlock(&thread->held, &page->lock);
	if (evicted)
		page_free(thread, page);
	else
		page_put(thread, page);
	if (result == RMAP_UNMAP_LOCKED)
		return -EPERM;
	return result == RMAP_UNMAP_SUCCESS && (evicted || !new) ? 0 : result < 0 ? result : -EAGAIN;
}

static struct page *mapped_page(struct vm_thread *thread, struct mm *mm, uint64_t vpn)
{
	struct leaf *leaf = table_find(thread->vm, mm, vpn);
	struct page *page = NULL;
	uint64_t pte;

	if (!leaf)
		return NULL;
	pte_lock(thread, leaf);
	pte = *leaf_pte(thread->vm, leaf, vpn);
	if (pte & PTE_PRESENT) {
		page = pte_page(thread->vm, pte);
		page_get(page);
	}
	pte_unlock(thread, leaf);
	return page;
}

int vm_migrate(struct vm_thread *thread, uint32_t id, uint64_t vpn)
{
	struct page *page, *new = NULL;
	struct mm *mm;
	int error;

	if (!vpns_fit(thread->vm, vpn, 1))
		return -EFAULT;
	mm = mm_enter(thread, id, false);
	if (!mm)
		return -ESRCH;
	page = mapped_page(thread, mm, vpn);
	mm_leave(thread, mm);
	if (!page)
		return -EFAULT;
	if (page->object->is_file && !(new = page_alloc(thread, page->object, page->index))) {
		page_put(thread, page);
		return -ENOMEM;
	}
	error = migrate_page(thread, page, new);
	if (new)
		page_put(thread, new);
	count(thread, FIGURE_MIGRATED, error == 0);
	return error;
}
