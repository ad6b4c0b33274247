/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * unmap.c - the mechanism behind rmap_unmap() and rmap_truncate(): finding ptes and clearing them
 *
 * A visit names an mm by its number and a window of ptes. None of that is trusted: the mm may have exited and its
 * number be another's, the window may map something else. What counts is whether a pte maps the page, seen under the
 * pte lock; and since the pte itself tells its mapping's kind, no vma is needed to remove it.
 *
 * Anonymous pages leave a swap entry behind. The slot gets its contents after the flush, when nobody writes what was
 * unmapped: if others map the page, too, they all share it read-only, and a write to it waits for the page lock. A
 * fault that finds the entry before that waits for that lock likewise.
 *
 * In the order of 2003 a pass over a page holds its chain lock, which lies below pte locks; so it only tries those.
 */
#include "system.h"

#include <errno.h>
#include <sched.h>

unsigned unmap_flags(const struct vm *vm)
{
	return vm->options.locks == VM_LOCKS_2003 ? RMAP_UNMAP_TRY : 0;
}

/* --- from visits to ptes ---------------------------------------------------------------------- */

#define HANDLE_VPN_BITS (VM_LEVELS * 9)

static struct mm *visit_mm(struct vm *vm, const struct rmap_visit *visit, uint64_t *vpn)
{
	if (visit->kind == RMAP_LINEAR) {
		*vpn = visit->address >> VM_PAGE_SHIFT;
		return mm_find(vm, range_owner_mm(visit->range.owner));
	}
	*vpn = visit->handle >> 3 & (((uint64_t)1 << HANDLE_VPN_BITS) - 1);
	return mm_find(vm, (uint32_t)(visit->handle >> (HANDLE_VPN_BITS + 3)));
}

static bool pte_maps(const struct vm *vm, uint64_t pte, const struct page *page)
{
	return (pte & PTE_MAPS) && pte_page(vm, pte) == page;
}

static int window_ptes(struct vm_thread *thread, const struct page *page, struct mm *mm, uint64_t first, uint64_t end,
		       bool try, pte_action action, void *arg)
{
	struct vm *vm = thread->vm;

	for (uint64_t vpn = first, stop; vpn < end; vpn = stop) {
		struct leaf *leaf = table_find(vm, mm, vpn);

		stop = leaf_end(vm, vpn) < end ? leaf_end(vm, vpn) : end;
		if (!leaf)
			continue;
		tlb_early(thread, mm, vpn, stop);
		if (!try)
			pte_lock(thread, leaf);
		else if (!pte_trylock(thread, leaf))
			return -EAGAIN;
		for (; vpn < stop; vpn++)
			if (pte_maps(vm, *leaf_pte(vm, leaf, vpn), page))
				action(thread, mm, leaf, vpn, arg);
		pte_unlock(thread, leaf);
	}
	return 0;
}

int visit_ptes(struct vm_thread *thread, const struct page *page, const struct rmap_visit *visit, bool try,
	       pte_action action, void *arg)
{
	struct vm *vm = thread->vm;
	uint64_t first, end;
	struct mm *mm = visit_mm(vm, visit, &first);
	int result;

	if (!mm)
		return 0;
	end = first + pieces(vm) < vpn_end(vm) ? first + pieces(vm) : vpn_end(vm);
	result = window_ptes(thread, page, mm, first, end, try, action, arg);
	mm_put(thread, mm);
	return result;
}

bool page_ptes_some(struct vm_thread *thread, struct page *page, struct rmap_cursor *cursor, size_t visits,
		    pte_action action, void *arg, const bool *ends)
{
	struct rmap_visit batch[16];
	size_t n;

	for (; visits > 0; visits -= n) {
		n = rmap_cursor_next(cursor, batch, visits < 16 ? visits : 16);
		for (size_t i = 0; i < n; i++)
			visit_ptes(thread, page, &batch[i], false, action, arg);
		if (n == 0 || *ends)
			return true;
	}
	return false;
}

uint32_t page_ptes(struct vm_thread *thread, struct page *page, pte_action action, void *arg)
{
	struct rmap_target target = { &page->rmap, page->object->map, page->index, page->index };
	struct rmap_cursor cursor;
	bool ends = false;

	rmap_cursor_init(&cursor, thread->vm->map, &target);
	page_ptes_some(thread, page, &cursor, SIZE_MAX, action, arg, &ends);
	/* What moved ahead of every round may have been missed: that is to be told like what has no name. */
	return cursor.summary.unnamed + !cursor.summary.complete;
}

/* --- clearing --------------------------------------------------------------------------------- */

typedef void (*pte_clearer)(struct vm_thread *thread, struct mm *mm, struct leaf *leaf, uint64_t vpn, uint64_t left);

/* @clearer: with the page lock held the mapping need not wait for the flush */
struct clearing {
	struct pass *pass;
	bool force;
	uint64_t *cleared;
	pte_clearer clearer;
};

/* What the pte says afterwards: where its contents are, if the vma does not tell. */
static uint64_t pte_left(const struct pass *pass, uint64_t pte)
{
	struct vm *vm = pass->thread->vm;
	struct page *page = pte_page(vm, pte);
	uint32_t piece = piece_of(vm, pte_value(pte));

	if (page_is_file(page))
		return pte & PTE_NONLINEAR ? pte_make(pte_offset(vm, pte), PTE_FILE) : 0;
	vm_must(pass->slot != SLOT_NONE);
	slot_get(pass->thread, pass->slot);
	return pte_make((uint64_t)pass->slot << vm->options.cluster_bits | piece, PTE_SWAP);
}

static void clear_pte(struct vm_thread *thread, struct mm *mm, struct leaf *leaf, uint64_t vpn, void *arg)
{
	struct clearing *clearing = arg;
	uint64_t pte = *leaf_pte(thread->vm, leaf, vpn);

	if ((pte & PTE_LOCKED) && !clearing->force)
		return;
	clearing->clearer(thread, mm, leaf, vpn, pte_left(clearing->pass, pte));
	++*clearing->cleared;
}

static int clear(void *arg, const struct rmap_target *target, const struct rmap_visit *visit, unsigned flags,
		 uint64_t *cleared)
{
	struct pass *pass = arg;
	struct clearing clearing = { pass, flags & RMAP_UNMAP_FORCE, cleared, pte_unmap };

	return visit_ptes(pass->thread, page_of(target->page), visit, flags & RMAP_UNMAP_TRY, clear_pte, &clearing);
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
	*index = pte_page(vm, pte)->index;
	return page_has(pte_page(vm, pte), PAGE_COPY);
}

bool zap_copy(struct vm_thread *thread, struct mm *mm, struct leaf *leaf, uint64_t vpn)
{
	uint64_t *pte = leaf_pte(thread->vm, leaf, vpn);
	uint64_t index;

	if (!pte_copy_index(thread->vm, *pte, &index))
		return false;
	if (*pte & PTE_MAPS)
		pte_clear(thread, mm, leaf, vpn, 0);
	else
		slot_put(thread, pte_slot(thread->vm, *pte));
	*pte = 0;
	count(thread, FIGURE_COPIES_TAKEN, 1);
	return true;
}

/* Is it about this pte? A slot stays what it is as long as a pte names it. */
static bool search_wants(const struct vm *vm, const struct rmap_search *search, uint64_t pte)
{
	uint64_t index;
	bool copy = pte_copy_index(vm, pte, &index);
	const struct object *object;

	if (!(pte & (PTE_MAPS | PTE_SWAP)) || (copy && !(search->flags & RMAP_UNMAP_COPIES)))
		return false;
	if (pte & PTE_MAPS)
		object = pte_page(vm, pte)->object;
	else
		object = vm->slots[pte_slot(vm, pte)].object;
	return object->map == search->object && search->first <= index && index <= search->last;
}

/* No page is locked; so a copy that is on its way to swap may be in use until it is settled. */
static void clear_leaf(struct pass *pass, struct mm *mm, struct leaf *leaf, const struct rmap_search *search,
		       uint64_t first, uint64_t end, uint64_t *cleared)
{
	struct vm_thread *thread = pass->thread;
	struct vm *vm = thread->vm;
	struct clearing clearing = { pass, true, cleared, pte_clear };

	tlb_early(thread, mm, first, end);
	pte_lock(thread, leaf);
	if (search->flags & RMAP_UNMAP_COPIES)
		tlb_settle(thread, mm, first, end);
	for (uint64_t vpn = first; vpn < end; vpn++) {
		uint64_t *pte = leaf_pte(vm, leaf, vpn);

		if (!search_wants(vm, search, *pte))
			continue;
		if (zap_copy(thread, mm, leaf, vpn))
			*cleared += 1;
		else
			clear_pte(thread, mm, leaf, vpn, &clearing);
	}
	tlb_flush(thread);
	pte_unlock(thread, leaf);
}

static int clear_range(void *arg, const struct rmap_search *search, uint64_t *cleared)
{
	struct pass *pass = arg;
	struct vm *vm = pass->thread->vm;
	struct mm *mm = mm_find(vm, range_owner_mm(search->range.owner));
	uint64_t first = rmap_range_address(&search->range, search->from) >> VM_PAGE_SHIFT;
	uint64_t end = first + ((search->to - search->from + 1) << vm->options.cluster_bits);

	window(vm, VM_WINDOW_RANGE);
	if (!mm)
		return 0;
	if (end > vpn_end(vm))
		end = vpn_end(vm);
	for (uint64_t vpn = first, stop; vpn < end; vpn = stop) {
		struct leaf *leaf = table_find(vm, mm, vpn);

		stop = leaf_end(vm, vpn) < end ? leaf_end(vm, vpn) : end;
		if (leaf)
			clear_leaf(pass, mm, leaf, search, vpn, stop, cleared);
	}
	mm_put(pass->thread, mm);
	return 0;
}

/* --- pages of a truncate ---------------------------------------------------------------------- */

static void pass_begin(struct vm_thread *thread, struct page *page)
{
	if (thread->vm->options.locks == VM_LOCKS_TODAY)
		return;
	vm_lock(&thread->held, &page->chain);
	thread->chained = page;
}

static void pass_end(struct vm_thread *thread, struct page *page)
{
	if (!thread->chained)
		return;
	thread->chained = NULL;
	vm_unlock(&thread->held, &page->chain);
}

static int lock_next(void *arg, struct rmap_object *object, uint64_t first, uint64_t last, struct rmap_target *target)
{
	struct pass *pass = arg;
	struct vm_thread *thread = pass->thread;
	struct page *page;

	vm_must(object == pass->file->object.map);
	while ((page = cache_next(thread, pass->file, first, last))) {
		vm_lock(&thread->held, &page->lock);
		if (page_has(page, PAGE_CACHED))
			break;
		vm_unlock(&thread->held, &page->lock);
		page_put(thread, page);
	}
	if (!page)
		return -ENOENT;
	pass_begin(thread, page);
	*target = (struct rmap_target){ &page->rmap, object, page->index, page->index };
	return 0;
}

static void unlock(void *arg, const struct rmap_target *target)
{
	struct vm_thread *thread = ((struct pass *)arg)->thread;
	struct page *page = page_of(target->page);

	pass_end(thread, page);
	vm_unlock(&thread->held, &page->lock);
	page_put(thread, page);
}

/* The object lock is above the chain lock, and no mapping is touched any more. */
static void drop(void *arg, const struct rmap_target *target, int orphan)
{
	struct pass *pass = arg;
	struct page *page = page_of(target->page);

	pass_end(pass->thread, page);
	if (pass->saves)
		file_save(pass->thread, pass->file, page);
	if (orphan)
		page_set(page, PAGE_ORPHAN);
	cache_drop(pass->thread, pass->file, page);
}

static void left(void *arg, const struct rmap_target *target, struct rmap_counts counts, enum rmap_unmap_result why)
{
	struct pass *pass = arg;

	(void)counts;
	page_set(page_of(target->page), PAGE_LEFT);
	count(pass->thread, FIGURE_LEFTOVERS, 1);
	count(pass->thread, FIGURE_LEFT_AGAIN, why == RMAP_UNMAP_AGAIN);
}

static void flush(void *arg, const struct rmap_target *target)
{
	struct pass *pass = arg;

	(void)target;
	if (pass->defers)
		return;
	window(pass->thread->vm, VM_WINDOW_OWED);
	tlb_flush(pass->thread);
}

/* Far more rounds than any lock is held for: a tag was forgotten, or a mapping lost. */
#define FRUITLESS_MAX (1u << 20)

static int wait_for_others(void *arg, const struct rmap_unmap_report *report)
{
	(void)arg;
	vm_must(report->fruitless < FRUITLESS_MAX);
	sched_yield();
	return 0;
}

const struct rmap_unmap_callbacks unmap_callbacks = {
	.size = sizeof(unmap_callbacks),
	.clear = clear,
	.clear_range = clear_range,
	.lock_next = lock_next,
	.unlock = unlock,
	.drop = drop,
	.left = left,
	.flush = flush,
	.wait = wait_for_others,
};

/* --- one page --------------------------------------------------------------------------------- */

int page_unmap(struct vm_thread *thread, struct page *page, uint32_t slot)
{
	static const enum figure figures[] = {
		[RMAP_UNMAP_SUCCESS] = FIGURE_UNMAPS,
		[RMAP_UNMAP_AGAIN] = FIGURE_UNMAPS_AGAIN,
		[RMAP_UNMAP_LOCKED] = FIGURE_UNMAPS_LOCKED,
	};
	struct vm *vm = thread->vm;
	struct pass pass = { .thread = thread, .slot = slot, .defers = true };
	struct rmap_target target = { &page->rmap, page->object->map, page->index, page->index };
	struct rmap_unmap_report report;
	int result;

	pass_begin(thread, page);
	result = rmap_unmap(vm->map, &unmap_callbacks, &pass, &target, unmap_flags(vm), RMAP_FAILABLE, &report);
	pass_end(thread, page);
	vm_must(result >= 0 && result != RMAP_UNMAP_STOPPED);
	vm_must(result != RMAP_UNMAP_LOCKED || report.cleared == 0); /* no page is left half unmapped */
	count(thread, FIGURE_REFUSED, report.refused);
	count(thread, figures[result], 1);
	return result;
}
