/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * migrate.c - pages get other frames, without swap: alone, and several for one flush
 *
 * Each pte of the page becomes a moving entry: all of the pte but PRESENT. It still is a mapping of the old frame,
 * counted and named, so that munmap, mremap and truncate do with it what they do with any, and a walk finds it again.
 * When all are, the contents are copied, the file gets the new frame, and a second walk makes each entry a pte of it.
 * The page is locked that long. Who faults at an entry, forks or mlocks it, waits for that lock; a fault that finds the
 * entry after that restores it.
 *
 * All are entries when a walk found no pte that is present, and as many entries as the page had mappings when that walk
 * began. Mappings come only from two sides. A fork copies ptes that are present, which that count includes. A fault of
 * a file's page looks for MOVING under the pte lock; those that did so before hold a reference, and there must be none
 * but the file's, the mappings' and this thread's. References are counted, then mappings, once: if the walk then finds
 * as many entries, these were all mappings there were, and had been entries when the references were counted, for
 * entries only get fewer. So no reference was hidden behind a mapping that came later.
 *
 * All are new when the old frame has no mapping. Mlocked pages stay: of those that are nonlinear no walk tells.
 *
 * Memory has two nodes (vm_options.far), and a look at the accessed bits says on which a page is better kept.
 */
#include "backend.h"

#include <errno.h>
#include <sched.h>

/* How often a walk is repeated because something moved or went, before the page is left. */
#define ROUNDS_MAX 8u

/* One walk. @round: what the entries that it has counted bear; @there: ptes or entries that are as they shall be */
struct round {
	struct page *page;
	uint64_t round;
	uint32_t changed;
	uint32_t there;
};

static void count_entry(struct round *round, uint64_t *pte)
{
	if ((*pte & PTE_ROUND) == round->round)
		return;
	*pte ^= PTE_ROUND;
	round->there++;
}

static void begin_pte(struct vm_thread *thread, struct leaf *leaf, uint64_t vpn, void *arg)
{
	uint64_t *pte = leaf_pte(thread->vm, leaf, vpn);
	struct round *round = arg;

	if (*pte & PTE_PRESENT) {
		tlb_owe(thread, leaf, vpn, 0, OWED_NOTHING);
		/* Of the page, from now on: who clears the entry later does not know of the new one. */
		if (*pte & PTE_DIRTY)
			page_set(round->page, PAGE_DIRTY);
		*pte = (*pte & ~(PTE_PRESENT | PTE_DIRTY | PTE_ROUND)) | PTE_MOVING | (round->round ^ PTE_ROUND);
		round->changed++;
	}
	count_entry(round, pte);
}

static void restore_pte(struct vm_thread *thread, struct leaf *leaf, uint64_t vpn, void *arg)
{
	uint64_t *pte = leaf_pte(thread->vm, leaf, vpn);
	struct round *round = arg;

	if (!(*pte & PTE_MOVING))
		return;
	*pte = (*pte & ~(PTE_MOVING | PTE_ROUND)) | PTE_PRESENT;
	round->changed++;
}

/* @arg: the new page. The reserve was filled before the pte lock. */
static void renew_pte(struct vm_thread *thread, struct leaf *leaf, uint64_t vpn, void *arg)
{
	uint64_t old = *leaf_pte(thread->vm, leaf, vpn);

	if (!(old & PTE_MOVING))
		return;
	pte_map(thread, leaf, vpn, arg, pte_piece(thread->vm, old),
		old & (PTE_WRITE | PTE_ACCESSED | PTE_NONLINEAR));
	mapping_remove(thread, leaf->mm, leaf, vpn, old);
	page_put(thread, pte_page(thread->vm, old));
}

void pte_help(struct vm_thread *thread, struct leaf *leaf, uint64_t vpn)
{
	struct page *page = NULL;
	struct round round = { .page = NULL };
	uint64_t pte;

	pte_lock(thread, leaf);
	pte = *leaf_pte(thread->vm, leaf, vpn);
	if (pte & PTE_MOVING)
		page = pte_page(thread->vm, pte);
	pte_unlock(thread, leaf);
	if (!page)
		return;
	vm_lock(&thread->held, &page->lock);
	pte_lock(thread, leaf);
	pte = *leaf_pte(thread->vm, leaf, vpn);
	if ((pte & PTE_MOVING) && pte_page(thread->vm, pte) == page)
		restore_pte(thread, leaf, vpn, &round);
	pte_unlock(thread, leaf);
	vm_unlock(&thread->held, &page->lock);
}

/* --- one page --------------------------------------------------------------------------------- */

static bool all_moving(struct vm_thread *thread, struct page *page)
{
	bool file = page_is_file(page);

	for (unsigned i = 0; i < ROUNDS_MAX; i++) {
		struct round round = { .page = page, .round = i % 2 ? PTE_ROUND : 0 };
		uint32_t refs = atomic_load(&page->refs), mapped = page_mapcount(thread, page);
		bool alone = !file || refs == mapped + 2; /* the file's, and this thread's */

		if (page_ptes(thread, page, begin_pte, &round))
			return false;
		if (alone && round.changed == 0 && round.there == mapped)
			return true;
	}
	return false;
}

static void restore_all(struct vm_thread *thread, struct page *page)
{
	struct round round;

	page_clear(page, PAGE_MOVING);
	do {
		round = (struct round){ .page = page };
		page_ptes(thread, page, restore_pte, &round);
	} while (round.changed > 0);
}

/* Return: 0; -EPERM: mlocked; -EAGAIN: it is as it was. Holds: the page lock. Owes a flush */
static int move_begin(struct vm_thread *thread, struct page *page)
{
	if (page_is_file(page) && !page_has(page, PAGE_CACHED))
		return -EAGAIN;
	if (thread->vm->backend->locked && thread->vm->backend->locked(thread, page))
		return -EPERM;
	page_set(page, PAGE_MOVING);
	if (all_moving(thread, page))
		return 0;
	restore_all(thread, page);
	return -EAGAIN;
}

/*
 * After the flush. No memory for the reverse map: then it stays where it is. The new frame is locked from the moment at
 * which a truncate can find it until it has all its mappings. The old one stays MOVING: faults may have found it
 * before.
 */
static int move_end(struct vm_thread *thread, struct page *page, struct page *new)
{
	struct vm *vm = thread->vm;
	uint32_t mapped = page_mapcount(thread, page);

	if (thread->vm->backend->fill(thread, mapped)) {
		restore_all(thread, page);
		return -ENOMEM;
	}
	words_copy(new->words, page->words, page_words(vm) * page_frames(page));
	/* Who waits for what the frame held before (fault.c) has it for a moment. */
	while (!vm_trylock(&thread->held, &new->lock))
		sched_yield();
	if (page_is_file(page)) {
		file_replace(thread, page, new);
		window(vm, VM_WINDOW_REPLACED);
	}
	while (page_mapcount(thread, page) > 0)
		page_ptes(thread, page, renew_pte, new);
	vm_unlock(&thread->held, &new->lock);
	lru_add(thread, new);
	return 0;
}

/* --- operations ------------------------------------------------------------------------------- */

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

/* Where what @page has is to be. ANYWHERE: on any node */
#define ANYWHERE NODES

/* One worth a reclaim, or so many side by side. */
static struct page *frame_anywhere(struct vm_thread *thread, const struct page *page)
{
	if (page->order > 0)
		return page_alloc_large(thread, page->object, page->index, page->order);
	return page_alloc(thread, page->object, page->index);
}

/* A frame for that, or as many as it has. It is nobody's yet. NULL: there is none */
static struct page *frame_for(struct vm_thread *thread, const struct page *page, enum node node)
{
	struct page *new = node == ANYWHERE ?
				   frame_anywhere(thread, page) :
				   page_alloc_on(thread, page->object, page->index, page->order, node);

	if (new && page_has(page, PAGE_COPY))
		page_set(new, PAGE_COPY);
	if (new) {
		new->anchor = page->anchor;
		new->base = page->base;
	}
	return new;
}

int vm_migrate(struct vm_thread *thread, uint32_t id, uint64_t vpn)
{
	struct page *page, *new;
	struct mm *mm;
	int error = -ENOMEM;

	if (!backend_has(thread->vm, VM_BACKEND_MIGRATES))
		return -ENOTSUP;
	if (!vpns_fit(thread->vm, vpn, 1))
		return -EFAULT;
	mm = mm_enter(thread, id, false);
	if (!mm)
		return -ESRCH;
	page = mapped_page(thread, mm, vpn);
	mm_leave(thread, mm);
	if (!page)
		return -EFAULT;
	new = frame_for(thread, page, ANYWHERE);
	if (new) {
		vm_lock(&thread->held, &page->lock);
		error = move_begin(thread, page);
		tlb_flush(thread);
		window(thread->vm, VM_WINDOW_MOVING);
		if (!error)
			error = move_end(thread, page, new);
		vm_unlock(&thread->held, &page->lock);
		page_put(thread, new);
	}
	page_put(thread, page);
	count(thread, FIGURE_MIGRATED, error == 0);
	return error;
}

/* How many pages one flush is for. */
#define BATCH 6u

/* An isolated page, and the frame that it is to have. NULL: it stays */
struct move {
	struct page *page;
	struct page *frame;
	bool begun;
};

static struct page *isolate_any(struct vm_thread *thread, bool active)
{
	struct page *page = lru_isolate(thread, active);

	return page ? page : lru_isolate(thread, !active);
}

/* The isolated pages are put back. */
static void move_pages(struct vm_thread *thread, struct move *moves, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		struct page *page = moves[i].page;

		moves[i].begun = moves[i].frame && vm_trylock(&thread->held, &page->lock);
		if (moves[i].begun && move_begin(thread, page)) {
			tlb_flush(thread);
			vm_unlock(&thread->held, &page->lock);
			moves[i].begun = false;
		}
	}
	tlb_flush(thread);
	window(thread->vm, VM_WINDOW_MOVING);
	for (uint32_t i = 0; i < n; i++) {
		struct page *page = moves[i].page;
		enum node from = page_node(thread->vm, page);

		if (moves[i].begun && move_end(thread, page, moves[i].frame) == 0) {
			enum node to = page_node(thread->vm, moves[i].frame);

			count(thread, FIGURE_MIGRATED, 1);
			count(thread, FIGURE_PROMOTED, from > to);
			count(thread, FIGURE_DEMOTED, from < to);
		}
		if (moves[i].begun)
			vm_unlock(&thread->held, &page->lock);
		lru_put_back(thread, page, false);
		page_put(thread, page);
		if (moves[i].frame)
			page_put(thread, moves[i].frame);
	}
}

static uint64_t migrated(struct vm_thread *thread)
{
	return atomic_load_explicit(&thread->figures[FIGURE_MIGRATED], memory_order_relaxed);
}

/* --- tiers ------------------------------------------------------------------------------------ */

/* As many visits as one look at a page may cost. */
#define VISITS 32u

static void look_at_pte(struct vm_thread *thread, struct leaf *leaf, uint64_t vpn, void *arg)
{
	bool *accessed = arg;

	if (*leaf_pte(thread->vm, leaf, vpn) & PTE_ACCESSED)
		*accessed = true;
}

/*
 * The walk ends at the first access. It clears nothing: aging does, which alone tells when. Bounded, it says "no" too
 * often.
 */
static bool is_used(struct vm_thread *thread, struct page *page)
{
	bool accessed = false;
	struct walk walk = { .action = look_at_pte, .arg = &accessed, .ends = &accessed, .visits_max = VISITS };

	page_walk(thread, page, &walk);
	return accessed;
}

/* Of several pages: those that are to be anywhere else, or on the other node. */
static uint32_t move_some(struct vm_thread *thread, uint32_t n, bool by_use)
{
	uint64_t before = migrated(thread);

	if (!backend_has(thread->vm, VM_BACKEND_MIGRATES))
		return 0;
	for (uint32_t done = 0; done < n; done += BATCH) {
		struct move moves[BATCH];
		uint32_t had = 0;

		/* Frames first: to have one may take a reclaim, which holds pages of its own. */
		for (; had < n - done && had < BATCH; had++) {
			struct page *page = moves[had].page = isolate_any(thread, by_use && had % 2);
			enum node node = ANYWHERE;

			if (!page)
				break;
			if (by_use)
				node = is_used(thread, page) ? NODE_NEAR : NODE_FAR;
			moves[had].frame = NULL;
			if (node != page_node(thread->vm, page))
				moves[had].frame = frame_for(thread, page, node);
		}
		move_pages(thread, moves, had);
	}
	return (uint32_t)(migrated(thread) - before);
}

uint32_t vm_compact(struct vm_thread *thread, uint32_t n)
{
	return move_some(thread, n, false);
}

uint32_t vm_balance(struct vm_thread *thread, uint32_t n)
{
	return move_some(thread, n, true);
}
