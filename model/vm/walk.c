/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * walk.c - from the places that a reverse map names to the ptes that map a page
 *
 * None of that is trusted: the place may map something else by now, and its table be another mm's. What counts is
 * whether a pte maps the page, seen under the pte lock; and since the pte itself tells its mapping's kind, no vma is
 * needed to remove it.
 *
 * Who has several places looks them up together (spot_find): the way down is a load after another, and those of several
 * places go side by side as long as no lock comes between them.
 */
#include "backend.h"

#include <errno.h>

static bool is_wanted(const struct vm *vm, uint64_t vpn, uint64_t pte, const struct page *page, const struct walk *walk)
{
	if (!pte_maps(vm, pte, page))
		return false;
	return walk->origin == 0 || vpn - walk->origin == pte_piece(vm, pte);
}

/* Under the pte lock. */
static void look_at_ptes(struct vm_thread *thread, const struct page *page, struct leaf *leaf, uint64_t first,
			 uint64_t end, struct walk *walk)
{
	for (uint64_t vpn = first; vpn < end; vpn++) {
		if (!is_wanted(thread->vm, vpn, *leaf_pte(thread->vm, leaf, vpn), page, walk))
			continue;
		struct stopwatch_pause pause = clock_pause(thread);

		walk->action(thread, leaf, vpn, walk->arg);
		clock_resume(thread, &pause);
		walk->found++;
	}
}

/* An entry of another page stays as it is, and that of @page if the walk's action can do with it. */
static void look_at_leaf(struct vm_thread *thread, const struct page *page, struct leaf *leaf, uint64_t first,
			 uint64_t end, struct walk *walk)
{
	struct stopwatch_pause pause;

	if (leaf->entry && !pte_maps(thread->vm, leaf->entry, page))
		return;
	if (!leaf->entry || !walk->entries || !is_all_of_leaf(thread->vm, first, end)) {
		entry_split(thread, leaf);
		look_at_ptes(thread, page, leaf, first, end, walk);
		return;
	}
	pause = clock_pause(thread);
	walk->action(thread, leaf, first, walk->arg);
	clock_resume(thread, &pause);
	walk->found += (uint32_t)leaf_size(thread->vm);
}

/* The ptes of @leaf, if it is still that of [first, end) in @mm. Return: whether the lock was to be had. */
static bool look_at(struct vm_thread *thread, const struct page *page, const struct mm *mm, struct leaf *leaf,
		    uint64_t first, uint64_t end, bool tries, struct walk *walk)
{
	tlb_early(thread, mm, first, end);
	if (!tries) {
		entry_lock(thread, leaf);
	} else if (!entry_trylock(thread, leaf)) {
		walk->refused++;
		count(thread, FIGURE_WALKS_REFUSED, 1);
		return false;
	}
	if (leaf_is(thread->vm, leaf, mm, first))
		look_at_leaf(thread, page, leaf, first, end, walk);
	pte_unlock(thread, leaf);
	return true;
}

/* @empty: it was all looked at, and nothing was there */
static bool visited(struct vm_thread *thread, struct walk *walk, bool empty)
{
	walk->visits++;
	walk->empty += empty;
	count(thread, FIGURE_VISITS, 1);
	count(thread, FIGURE_VISITS_EMPTY, empty);
	return !(walk->ends && *walk->ends) && (walk->visits_max == 0 || walk->visits < walk->visits_max);
}

bool walk_leaf(struct vm_thread *thread, struct page *page, struct leaf *leaf, uint64_t first, uint64_t end, bool tries,
	       struct walk *walk)
{
	uint32_t found = walk->found;
	bool looked = look_at(thread, page, leaf->mm, leaf, first, end, tries, walk);

	return visited(thread, walk, looked && walk->found == found);
}

void spot_find(const struct vm *vm, struct spot *spot)
{
	spot->leaf = spot->mm ? table_find(vm, spot->mm, spot->first) : NULL;
	if (!spot->leaf)
		return;
	__builtin_prefetch(spot->leaf, 1);
	__builtin_prefetch(leaf_pte(vm, spot->leaf, spot->first));
}

bool walk_spot(struct vm_thread *thread, struct page *page, const struct spot *spot, bool tries, struct walk *walk)
{
	struct vm *vm = thread->vm;
	uint32_t found = walk->found;
	struct leaf *leaf = spot->leaf;
	bool looked = true;

	for (uint64_t vpn = spot->first, stop; spot->mm && looked && vpn < spot->end; vpn = stop) {
		stop = leaf_end(vm, vpn) < spot->end ? leaf_end(vm, vpn) : spot->end;
		if (leaf)
			looked = look_at(thread, page, spot->mm, leaf, vpn, stop, tries, walk);
		if (stop < spot->end)
			leaf = table_find(vm, spot->mm, stop);
	}
	return visited(thread, walk, looked && walk->found == found);
}

bool walk_window(struct vm_thread *thread, struct page *page, struct mm *mm, uint64_t first, uint64_t end, bool tries,
		 struct walk *walk)
{
	struct spot spot = { .mm = mm, .first = first, .end = end };

	spot.leaf = table_find(thread->vm, mm, first);
	return walk_spot(thread, page, &spot, tries, walk);
}

bool walk_nowhere(struct vm_thread *thread, struct walk *walk)
{
	return visited(thread, walk, true);
}

void page_walk(struct vm_thread *thread, struct page *page, struct walk *walk)
{
	count(thread, FIGURE_WALKED, 1);
	thread->vm->backend->walk(thread, page, walk);
}

uint32_t page_ptes(struct vm_thread *thread, struct page *page, pte_action action, void *arg, bool entries)
{
	struct walk walk = { .action = action, .arg = arg, .entries = entries };

	page_walk(thread, page, &walk);
	return walk.unnamed + walk.refused;
}
