/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * unmap.c - the mechanism behind unmaps and truncates, whoever decides which ptes to look at: clearing them
 *
 * Anonymous pages leave swap entries behind. Their slots, one for each frame, get the contents after the flush, when
 * nobody writes what was unmapped: if others map the page, too, they all share it read-only, and a write to it waits
 * for the page lock. A fault that finds the entry before that waits for that lock likewise.
 */
#include "backend.h"

#include <sched.h>

/* --- clearing --------------------------------------------------------------------------------- */

/* What the pte says afterwards: where its contents are, if the vma does not tell. */
static uint64_t pte_left(const struct pass *pass, uint64_t pte)
{
	struct vm *vm = pass->thread->vm;
	struct page *page = pte_page(vm, pte);
	uint32_t piece = piece_of(vm, pte_value(pte)), slot;

	if (page_is_file(page))
		return pte & PTE_NONLINEAR ? pte_make(pte_offset(vm, pte), PTE_FILE) : 0;
	vm_must(pass->slots);
	slot = pass->slots[pte_frame(vm, pte) - page];
	slot_get(pass->thread, slot);
	return pte_make((uint64_t)slot << vm->options.cluster_bits | piece, PTE_SWAP);
}

void clear_pte(struct vm_thread *thread, struct leaf *leaf, uint64_t vpn, void *arg)
{
	struct clearing *clearing = arg;
	uint64_t pte = *leaf_pte(thread->vm, leaf, vpn);

	if ((pte & PTE_LOCKED) && !clearing->force) {
		clearing->locked = true;
		return;
	}
	pte_unmap(thread, leaf, vpn, pte_left(clearing->pass, pte));
	++*clearing->cleared;
}

bool pte_copy_index(const struct vm *vm, uint64_t pte, uint64_t *index)
{
	if (pte & PTE_SWAP) {
		const struct slot *slot = &vm->slots[pte_slot(vm, pte)];

		*index = slot->index;
		return slot->object->is_file;
	}
	if (!(pte & PTE_MAPS))
		return false;
	*index = pte_frame(vm, pte)->index;
	return page_has(pte_page(vm, pte), PAGE_COPY);
}

bool zap_copy(struct vm_thread *thread, struct leaf *leaf, uint64_t vpn)
{
	uint64_t *pte = leaf_pte(thread->vm, leaf, vpn);
	uint64_t index;

	if (!pte_copy_index(thread->vm, *pte, &index))
		return false;
	if (*pte & PTE_MAPS)
		pte_clear(thread, leaf, vpn, 0);
	else
		slot_put(thread, pte_slot(thread->vm, *pte));
	*pte = 0;
	count(thread, FIGURE_COPIES_TAKEN, 1);
	return true;
}

/* Is it about this pte? A slot stays what it is as long as a pte names it. */
static bool cut_wants(const struct vm *vm, const struct cut *cut, uint64_t pte)
{
	uint64_t index;
	bool copy = pte_copy_index(vm, pte, &index);
	const struct object *object;

	if (!(pte & (PTE_MAPS | PTE_SWAP)) || (copy && !cut->copies))
		return false;
	if (pte & PTE_MAPS)
		object = pte_page(vm, pte)->object;
	else
		object = vm->slots[pte_slot(vm, pte)].object;
	return object == &cut->file->object && cut->first <= index && index <= cut->last;
}

/* No page is locked; so a copy that is on its way to swap may be in use until it is settled. */
static void cut_leaf(struct pass *pass, const struct cut *cut, struct leaf *leaf, uint64_t first, uint64_t end,
		     uint64_t *cleared)
{
	struct vm_thread *thread = pass->thread;
	struct vm *vm = thread->vm;
	struct mm *mm = leaf->mm;
	struct stopwatch_pause pause;

	tlb_early(thread, mm, first, end);
	pte_lock(thread, leaf);
	if (cut->copies)
		tlb_settle(thread, mm, first, end);
	for (uint64_t vpn = first; vpn < end; vpn++) {
		uint64_t *pte = leaf_pte(vm, leaf, vpn);

		if (!cut_wants(vm, cut, *pte))
			continue;
		pause = clock_pause(thread);
		if (!zap_copy(thread, leaf, vpn))
			pte_clear(thread, leaf, vpn, pte_left(pass, *pte));
		clock_resume(thread, &pause);
		*cleared += 1;
	}
	pause = clock_pause(thread);
	tlb_flush(thread);
	clock_resume(thread, &pause);
	pte_unlock(thread, leaf);
}

void cut_window(struct pass *pass, const struct cut *cut, struct mm *mm, uint64_t first, uint64_t end,
		uint64_t *cleared)
{
	struct vm *vm = pass->thread->vm;

	if (end > vpn_end(vm))
		end = vpn_end(vm);
	for (uint64_t vpn = first, stop; vpn < end; vpn = stop) {
		struct leaf *leaf = table_find(vm, mm, vpn);

		stop = leaf_end(vm, vpn) < end ? leaf_end(vm, vpn) : end;
		if (leaf)
			cut_leaf(pass, cut, leaf, vpn, stop, cleared);
	}
}

/* --- pages of a truncate ---------------------------------------------------------------------- */

struct page *cut_lock_next(struct pass *pass, uint64_t first, uint64_t last)
{
	struct vm_thread *thread = pass->thread;
	struct stopwatch_pause pause = clock_pause(thread);
	struct page *page;

	while ((page = cache_next(thread, pass->file, first, last))) {
		vm_lock(&thread->held, &page->lock);
		if (page_has(page, PAGE_CACHED))
			break;
		vm_unlock(&thread->held, &page->lock);
		page_put(thread, page);
	}
	clock_resume(thread, &pause);
	return page;
}

void cut_unlock(struct pass *pass, struct page *page)
{
	vm_unlock(&pass->thread->held, &page->lock);
	page_put(pass->thread, page);
}

void cut_drop(struct pass *pass, struct page *page, bool orphan)
{
	struct stopwatch_pause pause = clock_pause(pass->thread);

	if (pass->saves)
		file_save(pass->thread, pass->file, page);
	if (orphan)
		page_set(page, PAGE_ORPHAN);
	cache_drop(pass->thread, pass->file, page);
	clock_resume(pass->thread, &pause);
}

void cut_left(struct pass *pass, struct page *page, bool again)
{
	page_set(page, PAGE_LEFT);
	count(pass->thread, FIGURE_LEFTOVERS, 1);
	count(pass->thread, FIGURE_LEFT_AGAIN, again);
}

void cut_flush(struct pass *pass)
{
	if (pass->defers)
		return;
	window(pass->thread->vm, VM_WINDOW_OWED);
	tlb_flush(pass->thread);
}

/* Far more rounds than any lock is held for: a tag was forgotten, or a mapping lost. */
#define FRUITLESS_MAX (1u << 20)

void cut_wait(uint64_t fruitless)
{
	vm_must(fruitless < FRUITLESS_MAX);
	sched_yield();
}

/* --- one page --------------------------------------------------------------------------------- */

int page_unmap(struct vm_thread *thread, struct page *page, const uint32_t *slots)
{
	static const enum figure figures[] = {
		[RMAP_UNMAP_SUCCESS] = FIGURE_UNMAPS,
		[RMAP_UNMAP_AGAIN] = FIGURE_UNMAPS_AGAIN,
		[RMAP_UNMAP_LOCKED] = FIGURE_UNMAPS_LOCKED,
	};
	struct pass pass = { .thread = thread, .slots = slots, .defers = true };
	struct rmap_unmap_report report = { .cleared = 0 };
	int result = thread->vm->backend->unmap(&pass, page, &report);

	count(thread, FIGURE_REFUSED, report.refused);
	count(thread, figures[result], 1);
	return result;
}

bool page_unmap_all(struct vm_thread *thread, struct page *page)
{
	struct pass pass = { .thread = thread,
			     .defers = true,
			     .forces = true,
			     .file = file_of(page->object) };
	struct rmap_unmap_report report = { .cleared = 0 };
	int result = thread->vm->backend->unmap(&pass, page, &report);

	count(thread, FIGURE_UNMAPS, report.cleared > 0);
	return result == RMAP_UNMAP_SUCCESS;
}
