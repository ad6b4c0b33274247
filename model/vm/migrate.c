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
 * A large anonymous page is split in the same way, into pages of one frame each, in the place of those that the walk
 * found mapped; what it did not find mapped is mapped by nobody, since all mappings were found, and comes free.
 *
 * Memory has two nodes (vm_options.far), and a look at the accessed bits says on which a page is better kept.
 */
#include "backend.h"

#include <errno.h>
#include <sched.h>

/* How often a walk is repeated because something moved or went, before the page is left. */
#define ROUNDS_MAX 8u

/*
 * One walk. @round: what the entries that it has counted bear; @there: ptes or entries that are as they shall be;
 * @frames: of the page, a bit for each that they map
 */
struct round {
	struct page *page;
	uint64_t round;
	uint32_t changed;
	uint32_t there;
	uint32_t frames;
};

/* What comes in the place of @page: [0, n) of 2^order frames each. NULL: nobody maps anything there */
struct parts {
	struct page *page;
	struct page *pages[1u << VM_FOLIO_ORDER_MAX];
	uint32_t n;
	unsigned order;
};

static void count_entry(const struct vm *vm, struct round *round, uint64_t *pte)
{
	round->frames |= 1u << (pte_frame(vm, *pte) - round->page);
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
	count_entry(thread->vm, round, pte);
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

/* @arg: the parts. The reserve was filled before the pte lock. */
static void renew_pte(struct vm_thread *thread, struct leaf *leaf, uint64_t vpn, void *arg)
{
	const struct vm *vm = thread->vm;
	const struct parts *parts = arg;
	uint64_t old = *leaf_pte(vm, leaf, vpn);
	uint32_t piece, i;

	if (!(old & PTE_MOVING))
		return;
	piece = pte_piece(vm, old);
	i = piece >> (vm->options.cluster_bits + parts->order);
	vm_must(parts->pages[i]);
	pte_map(thread, leaf, vpn, parts->pages[i], piece - (i << (vm->options.cluster_bits + parts->order)),
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

/* *@frames: a bit for each that is mapped */
static bool all_moving(struct vm_thread *thread, struct page *page, uint32_t *frames)
{
	bool file = page_is_file(page);

	for (unsigned i = 0; i < ROUNDS_MAX; i++) {
		struct round round = { .page = page, .round = i % 2 ? PTE_ROUND : 0 };
		uint32_t refs = atomic_load(&page->refs), mapped = page_mapcount(thread, page);
		bool alone = !file || refs == mapped + 2; /* the file's, and this thread's */

		if (page_ptes(thread, page, begin_pte, &round, false))
			return false;
		*frames = round.frames;
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
		page_ptes(thread, page, restore_pte, &round, false);
	} while (round.changed > 0);
}

/* Return: 0; -EPERM: mlocked; -EAGAIN: it is as it was. Holds: the page lock. Owes a flush. @frames: as above */
static int move_begin(struct vm_thread *thread, struct page *page, uint32_t *frames)
{
	if (page_is_file(page) && !page_has(page, PAGE_CACHED))
		return -EAGAIN;
	if (thread->vm->backend->locked && thread->vm->backend->locked(thread, page))
		return -EPERM;
	page_set(page, PAGE_MOVING);
	if (all_moving(thread, page, frames))
		return 0;
	restore_all(thread, page);
	return -EAGAIN;
}

/* Who waits for what the frame held before (fault.c) has it for a moment. */
static void lock_new(struct vm_thread *thread, struct page *new)
{
	while (!vm_trylock(&thread->held, &new->lock))
		sched_yield();
}

static void unlock_new(struct vm_thread *thread, struct page *new)
{
	vm_unlock(&thread->held, &new->lock);
	lru_add(thread, new);
}

/*
 * After the flush. No memory for the reverse map: then it stays where it is. The new frames are locked from the moment
 * at which a truncate or another walk can find them until they have all their mappings. The old ones stay MOVING:
 * faults may have found them before.
 */
static int move_end(struct vm_thread *thread, struct parts *parts)
{
	struct vm *vm = thread->vm;
	struct page *page = parts->page;
	uint32_t mapped = page_mapcount(thread, page);

	if (thread->vm->backend->fill(thread, mapped)) {
		restore_all(thread, page);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < parts->n; i++) {
		struct page *new = parts->pages[i];

		if (!new)
			continue;
		words_copy(new->words, page[i << parts->order].words, page_words(vm) << parts->order);
		lock_new(thread, new);
		if (!page_is_file(page))
			continue;
		file_replace(thread, page, new);
		window(vm, VM_WINDOW_REPLACED);
	}
	while (page_mapcount(thread, page) > 0)
		page_ptes(thread, page, renew_pte, parts, false);
	for (uint32_t i = 0; i < parts->n; i++)
		if (parts->pages[i])
			unlock_new(thread, parts->pages[i]);
	return 0;
}

/* One of the same size. */
static int move_whole(struct vm_thread *thread, struct page *page, struct page *new)
{
	struct parts parts = { .page = page, .pages = { new }, .n = 1, .order = page->order };

	return move_end(thread, &parts);
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

/* *@page, with a reference, is what @vpn maps. Return: 0; -ESRCH, -EFAULT */
static int find_mapped(struct vm_thread *thread, uint32_t id, uint64_t vpn, struct page **page)
{
	struct mm *mm;

	if (!vpns_fit(thread->vm, vpn, 1))
		return -EFAULT;
	mm = mm_enter(thread, id, false);
	if (!mm)
		return -ESRCH;
	*page = mapped_page(thread, mm, vpn);
	mm_leave(thread, mm);
	return *page ? 0 : -EFAULT;
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
	uint32_t frames;
	int error;

	if (!backend_has(thread->vm, VM_BACKEND_MIGRATES))
		return -ENOTSUP;
	error = find_mapped(thread, id, vpn, &page);
	if (error)
		return error;
	new = frame_for(thread, page, ANYWHERE);
	error = new ? 0 : -ENOMEM;
	if (new) {
		vm_lock(&thread->held, &page->lock);
		error = move_begin(thread, page, &frames);
		tlb_flush(thread);
		window(thread->vm, VM_WINDOW_MOVING);
		if (!error)
			error = move_whole(thread, page, new);
		vm_unlock(&thread->held, &page->lock);
		page_put(thread, new);
	}
	page_put(thread, page);
	count(thread, FIGURE_MIGRATED, error == 0);
	return error;
}

/* --- large anonymous pages are split ---------------------------------------------------------------- */

static void parts_put(struct vm_thread *thread, const struct parts *parts)
{
	for (uint32_t i = 0; i < parts->n; i++)
		if (parts->pages[i])
			page_put(thread, parts->pages[i]);
}

/* Small ones in the place of @frames. No reclaim: the page is locked. */
static bool parts_alloc(struct vm_thread *thread, struct parts *parts, uint32_t frames)
{
	const struct page *page = parts->page;

	for (; parts->n < page_frames(page); parts->n++) {
		if (!(frames >> parts->n & 1))
			continue;
		parts->pages[parts->n] = page_alloc_large(thread, page->object, page->index + parts->n, 0);
		if (!parts->pages[parts->n])
			return false;
	}
	return true;
}

/* *@freed: frames that come free with the page. Return: as vm_anon_split(). Holds: the page lock, and a reference */
static int scatter(struct vm_thread *thread, struct page *page, uint32_t *freed)
{
	struct parts parts = { .page = page };
	uint32_t frames;
	int error = move_begin(thread, page, &frames);

	tlb_flush(thread);
	window(thread->vm, VM_WINDOW_MOVING);
	if (!error && !parts_alloc(thread, &parts, frames)) {
		restore_all(thread, page);
		error = -ENOMEM;
	}
	if (!error)
		error = move_end(thread, &parts);
	if (!error)
		*freed = page_frames(page) - (uint32_t)__builtin_popcount(frames);
	parts_put(thread, &parts);
	count(thread, error ? FIGURE_UNSPLIT : FIGURE_SPLITS, 1);
	return error;
}

static bool is_large_anonymous(const struct page *page)
{
	return page->order > 0 && !page_is_file(page);
}

int vm_anon_split(struct vm_thread *thread, uint32_t id, uint64_t vpn)
{
	struct page *page;
	uint32_t freed;
	int error = find_mapped(thread, id, vpn, &page);

	if (error)
		return error;
	error = -ENOENT;
	if (is_large_anonymous(page)) {
		vm_lock(&thread->held, &page->lock);
		error = scatter(thread, page, &freed);
		vm_unlock(&thread->held, &page->lock);
	}
	page_put(thread, page);
	return error;
}

static uint32_t all_frames(const struct page *page)
{
	return (UINT32_C(1) << page_frames(page)) - 1;
}

static void mark_frame(struct vm_thread *thread, struct leaf *leaf, uint64_t vpn, void *arg)
{
	struct round *round = arg;

	if (leaf->entry)
		round->frames = all_frames(round->page);
	else
		round->frames |= 1u << (pte_frame(thread->vm, *leaf_pte(thread->vm, leaf, vpn)) - round->page);
}

static struct page *isolate_any(struct vm_thread *thread, bool active)
{
	struct page *page = lru_isolate(thread, active);

	return page ? page : lru_isolate(thread, !active);
}

/* Does the walk find no pte of some of its frames? A hint: what a walk misses a split will not. */
static bool is_partly_mapped(struct vm_thread *thread, struct page *page)
{
	struct round round = { .page = page };

	page_ptes(thread, page, mark_frame, &round, true);
	return round.frames != all_frames(page);
}

uint32_t vm_deferred_split(struct vm_thread *thread, uint32_t n)
{
	uint32_t freed = 0;

	for (uint32_t i = 0; i < n; i++) {
		struct page *page = isolate_any(thread, i % 2);
		uint32_t frames = 0;

		if (!page)
			break;
		if (is_large_anonymous(page) && is_partly_mapped(thread, page) &&
		    vm_trylock(&thread->held, &page->lock)) {
			scatter(thread, page, &frames);
			vm_unlock(&thread->held, &page->lock);
		}
		lru_put_back(thread, page, false);
		page_put(thread, page);
		freed += frames;
	}
	count(thread, FIGURE_GIVEN_BACK, freed);
	return freed;
}

/* --- many pages ------------------------------------------------------------------------------------ */

/* How many pages one flush is for. */
#define BATCH 6u

/* An isolated page, and the frame that it is to have. NULL: it stays */
struct move {
	struct page *page;
	struct page *frame;
	bool begun;
};

/* The isolated pages are put back. */
static void move_pages(struct vm_thread *thread, struct move *moves, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		struct page *page = moves[i].page;
		uint32_t frames;

		moves[i].begun = moves[i].frame && vm_trylock(&thread->held, &page->lock);
		if (moves[i].begun && move_begin(thread, page, &frames)) {
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

		if (moves[i].begun && move_whole(thread, page, moves[i].frame) == 0) {
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
#define VISITS WALK_LOOK_MAX

static void look_at_pte(struct vm_thread *thread, struct leaf *leaf, uint64_t vpn, void *arg)
{
	bool *accessed = arg;

	if (*leaf_bits(thread->vm, leaf, vpn) & PTE_ACCESSED)
		*accessed = true;
}

/*
 * The walk ends at the first access. It clears nothing: aging does, which alone tells when. Bounded, it goes on the
 * next time, and until it has seen all the page stays where it is; if the backend cannot go on, it says "no" too often.
 */
static enum node best_node(struct vm_thread *thread, struct page *page)
{
	bool accessed = false;
	struct walk walk = {
		.action = look_at_pte,
		.arg = &accessed,
		.ends = &accessed,
		.visits_max = VISITS,
		.look = &thread->looks[(page - thread->vm->pages) % LOOKS],
		.entries = true,
	};

	page_walk(thread, page, &walk);
	if (walk.unfinished)
		return page_node(thread->vm, page);
	return accessed ? NODE_NEAR : NODE_FAR;
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
				node = best_node(thread, page);
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
