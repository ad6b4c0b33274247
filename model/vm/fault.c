/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fault.c - accesses, and the faults that make them possible
 *
 * An access goes by a translation that its processor has, without any lock of the page tables (tlb.c); or it reads the
 * pte, and has one. If that does not allow it, it faults, and is done again. A fault holds the mm lock, which keeps
 * vmas as they are, but no pte lock while it looks for a page; so it rechecks the pte when it has it.
 *
 * With clusters a fault maps all neighbours that want a piece of the same page, within the vma and the leaf: that is
 * what a page of 2^k pieces is for. Copy-on-write likewise. With large pages a fault maps all neighbours that want an
 * index of it, and a write through a private mapping copies one index.
 *
 * Two rules are the library's (unmap.h):
 *
 *   - A file's page may be truncated between the look-up and the pte. So the truncate sequence is read before the
 *     file's end is looked at, and rechecked in the backend's section and under the pte lock in which the pte is set.
 *     Where a backend has no sections, for truncates to wait for, it is rechecked again when the mapping can be seen.
 *   - In an mlocked vma the page is locked meanwhile, for a locked mapping must not come into being during an unmap.
 *     A new anonymous page needs no lock: nobody can find it before its pte is set.
 */
#include "backend.h"

#include <errno.h>
#include <stdio.h>

/*
 * One fault.
 * @first, @end: the ptes that may want pieces of the same page
 */
struct attempt {
	struct vm_thread *thread;
	struct mm *mm;
	struct vma *vma;
	struct leaf *leaf;
	uint64_t vpn;
	uint64_t first;
	uint64_t end;
};

static uint64_t greatest(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static void attempt_window(struct attempt *attempt)
{
	const struct vm *vm = attempt->thread->vm;
	uint64_t reach = ((uint64_t)pieces(vm) << vm->options.folio_order) - 1;
	uint64_t leaf_start = attempt->vpn & ~(leaf_size(vm) - 1);

	attempt->first = greatest(greatest(attempt->vma->start, leaf_start), attempt->vpn - least(attempt->vpn, reach));
	attempt->end = least(least(attempt->vma->end, leaf_end(vm, attempt->vpn)), attempt->vpn + reach + 1);
}

/* Of a pte that maps @page there. A file's page is not written through a private mapping. */
static uint64_t vma_bits(const struct vma *vma, const struct page *page)
{
	bool writable = vma->writable && !(vma->private && page_is_file(page));

	return (writable ? PTE_WRITE : 0) | (vma->locked ? PTE_LOCKED : 0);
}

/* What a pte that is not present is to map: a piece of the vma's object. False: it is present or swapped out. */
static bool pte_wants(const struct attempt *attempt, uint64_t vpn, uint64_t *offset)
{
	uint64_t pte = *leaf_pte(attempt->thread->vm, attempt->leaf, vpn);

	*offset = pte & PTE_FILE ? pte_value(pte) : vma_offset(attempt->vma, vpn);
	return !(pte & (PTE_MAPS | PTE_SWAP));
}

/* Has the vma all of a large page just where an entry would map it? Are there no ptes yet? Holds: the pte lock */
static bool wants_entry(const struct attempt *attempt, const struct page *page)
{
	const struct vm *vm = attempt->thread->vm;
	uint64_t start = attempt->vpn & ~(leaf_size(vm) - 1), end = start + leaf_size(vm);

	if (page->order == 0 || (uint64_t)pieces(vm) << page->order != leaf_size(vm) || attempt->first > start ||
	    attempt->end < end || vma_offset(attempt->vma, start) != page->index << vm->options.cluster_bits)
		return false;
	for (uint64_t vpn = start; vpn < end; vpn++)
		if (*leaf_pte(vm, attempt->leaf, vpn))
			return false;
	return true;
}

/*
 * All that want a piece of @page, of the indexes first .. last, get it. Holds: the pte lock. Where there is an entry
 * nobody wants anything.
 */
static void map_window(const struct attempt *attempt, struct page *page, uint64_t first, uint64_t last)
{
	const struct vm *vm = attempt->thread->vm;
	uint64_t bits = vma_bits(attempt->vma, page);
	uint64_t offset;

	if (attempt->leaf->entry)
		return;
	if (first == page->index && last == page_last(page) && wants_entry(attempt, page)) {
		entry_map(attempt->thread, attempt->leaf, page, bits);
		return;
	}
	for (uint64_t vpn = attempt->first; vpn < attempt->end; vpn++) {
		bool linear;

		if (!pte_wants(attempt, vpn, &offset) || index_of(vm, offset) < first || index_of(vm, offset) > last)
			continue;
		linear = offset == vma_offset(attempt->vma, vpn);
		pte_map(attempt->thread, attempt->leaf, vpn, page,
			(uint32_t)(offset - (page->index << vm->options.cluster_bits)),
			bits | (linear ? 0 : PTE_NONLINEAR));
	}
}

/* --- files ------------------------------------------------------------------------------------ */

static bool maps_page(const struct attempt *attempt, uint64_t vpn, const struct page *page)
{
	uint64_t pte = *leaf_pte(attempt->thread->vm, attempt->leaf, vpn);

	return (pte & PTE_PRESENT) && pte_maps(attempt->thread->vm, pte, page);
}

/* Nobody has used what was mapped: the pte lock is held all the time. */
static void unmap_window(const struct attempt *attempt, const struct page *page)
{
	struct vm_thread *thread = attempt->thread;
	struct vm *vm = thread->vm;

	for (uint64_t vpn = attempt->first; vpn < attempt->end; vpn++) {
		uint64_t pte = *leaf_pte(vm, attempt->leaf, vpn);

		if (maps_page(attempt, vpn, page))
			pte_clear(thread, attempt->leaf, vpn,
				  pte & PTE_NONLINEAR ? pte_make(pte_offset(vm, pte), PTE_FILE) : 0);
	}
	tlb_flush(thread);
}

/*
 * Of the page, which has @index. It may have indexes that the file does not, if a truncate could not split it; the end
 * is looked at after the sequence, so that it is one that a truncate does not come after.
 */
static bool map_file_page(const struct attempt *attempt, struct page *page, uint64_t index, uint64_t seq)
{
	struct vm_thread *thread = attempt->thread;
	struct vm *vm = thread->vm;
	const struct vm_backend *backend = vm->backend;
	bool locked = attempt->vma->locked;
	uint64_t first = index, last = index;
	bool valid;

	if (page->order > 0)
		file_part(thread, page, &first, &last);
	if (locked)
		vm_lock(&thread->held, &page->lock);
	entry_lock(thread, attempt->leaf);
	window(vm, VM_WINDOW_LOCKED);
	section_enter(thread);
	valid = vm->options.no_recheck || object_sequence(vm, page->object) == seq;
	if (!backend->enter)
		window(vm, VM_WINDOW_CHECKED);
	if (valid && !page_has(page, PAGE_MOVING))
		map_window(attempt, page, first, last);
	section_leave(thread);
	if (valid && !backend->enter && !vm->options.no_recheck && object_sequence(vm, page->object) != seq) {
		unmap_window(attempt, page);
		valid = false;
	}
	pte_unlock(thread, attempt->leaf);
	if (locked)
		vm_unlock(&thread->held, &page->lock);
	return valid;
}

/* Whoever has the page locked. No reference is needed, as struct pages stay; and one would keep it from moving. */
static void wait_for(struct vm_thread *thread, struct page *page)
{
	vm_lock(&thread->held, &page->lock);
	vm_unlock(&thread->held, &page->lock);
}

/* Before a nonlinear vma maps it. */
static int prepare_nonlinear(const struct attempt *attempt, struct page *page)
{
	struct vm_thread *thread = attempt->thread;
	const struct vm_backend *backend = thread->vm->backend;
	int error;

	if (!attempt->vma->nonlinear || !backend->nonlinear)
		return 0;
	vm_lock(&thread->held, &page->lock);
	error = backend->nonlinear(thread, page);
	vm_unlock(&thread->held, &page->lock);
	return error;
}

static int fault_file(const struct attempt *attempt, uint64_t offset)
{
	struct vm_thread *thread = attempt->thread;
	struct vm *vm = thread->vm;
	struct object *object = attempt->vma->object;
	bool mapped;

	do {
		uint64_t seq = object_sequence(vm, object);
		struct page *page;
		int error = file_page(thread, file_of(object), index_of(vm, offset), &page);

		if (error)
			return error;
		error = prepare_nonlinear(attempt, page);
		if (error) {
			page_put(thread, page);
			return error;
		}
		window(vm, VM_WINDOW_FAULT);
		mapped = map_file_page(attempt, page, index_of(vm, offset), seq);
		page_put(thread, page);
		if (page_has(page, PAGE_MOVING))
			wait_for(thread, page);
		count(thread, mapped ? FIGURE_FAULTS : FIGURE_RESTARTS, 1);
	} while (!mapped);
	return 0;
}

/* --- anonymous memory ------------------------------------------------------------------------- */

/* In a file's vma: for a private copy. */
static struct page *anonymous_page(const struct attempt *attempt)
{
	const struct vm_backend *backend = attempt->thread->vm->backend;
	struct vma *vma = attempt->vma;
	uint64_t index = index_of(attempt->thread->vm, vma_offset(vma, attempt->vpn));
	struct page *page = page_alloc(attempt->thread, vma->object, index);

	if (page && vma->object->is_file)
		page_set(page, PAGE_COPY);
	if (page && backend->prepare && backend->prepare(attempt->thread, vma, page)) {
		page_put(attempt->thread, page);
		page = NULL;
	}
	return page;
}

/* A new page is mapped, or was not needed after all; this thread's reference goes. */
static void anonymous_done(const struct attempt *attempt, struct page *page)
{
	struct vm_thread *thread = attempt->thread;

	lru_add(thread, page);
	page_put(thread, page);
	count(thread, FIGURE_FAULTS, 1);
}

/* Has the vma all ptes of the page of 2^order around the fault in this leaf, and are they empty? Holds: the pte lock */
static bool is_empty(const struct attempt *attempt, unsigned order)
{
	const struct vm *vm = attempt->thread->vm;
	uint64_t n = (uint64_t)pieces(vm) << order;
	uint64_t before = vma_offset(attempt->vma, attempt->vpn) & (n - 1);
	uint64_t first = attempt->vpn - least(before, attempt->vpn);

	if (first < attempt->first || first + n > attempt->end || attempt->leaf->entry)
		return false;
	for (uint64_t vpn = first; vpn < first + n; vpn++)
		if (*leaf_pte(vm, attempt->leaf, vpn))
			return false;
	return true;
}

/* As large as there is room for, among the ptes and the frames; a small one is worth a reclaim. */
static struct page *anonymous_room(const struct attempt *attempt)
{
	struct vm_thread *thread = attempt->thread;
	uint64_t index = index_of(thread->vm, vma_offset(attempt->vma, attempt->vpn));
	unsigned order = thread->vm->options.folio_order;
	struct page *page = NULL;

	entry_lock(thread, attempt->leaf);
	while (order > 0 && !is_empty(attempt, order))
		order--;
	pte_unlock(thread, attempt->leaf);
	for (; order > 0 && !page; order--)
		page = page_alloc_large(thread, attempt->vma->object, index >> order << order, order);
	count(thread, FIGURE_FOLIOS, page != NULL);
	return page ? page : anonymous_page(attempt);
}

static int fault_anonymous(const struct attempt *attempt)
{
	struct page *page = anonymous_room(attempt);

	if (!page)
		return -ENOMEM;
	entry_lock(attempt->thread, attempt->leaf);
	map_window(attempt, page, page->index, page_last(page));
	pte_unlock(attempt->thread, attempt->leaf);
	anonymous_done(attempt, page);
	return 0;
}

/* All of the window that is in the same slot comes back into one page. Each mm gets a page of its own. */
static void map_swapped(const struct attempt *attempt, struct page *page, uint32_t slot)
{
	struct vm_thread *thread = attempt->thread;
	struct vm *vm = thread->vm;

	vm_must(vm->slots[slot].object == page->object && vm->slots[slot].index == page->index);
	words_copy(page->words, vm->slots[slot].words, page_words(vm));
	for (uint64_t vpn = attempt->first; vpn < attempt->end; vpn++) {
		uint64_t offset = vma_offset(attempt->vma, vpn);
		uint64_t want = pte_make((uint64_t)slot << vm->options.cluster_bits | piece_of(vm, offset), PTE_SWAP);

		if (*leaf_pte(vm, attempt->leaf, vpn) != want || index_of(vm, offset) != page->index)
			continue;
		pte_map(thread, attempt->leaf, vpn, page, piece_of(vm, offset),
			vma_bits(attempt->vma, page));
		slot_put(thread, slot);
	}
}

static int fault_swap(const struct attempt *attempt, uint64_t pte)
{
	struct vm_thread *thread = attempt->thread;
	uint32_t slot = pte_slot(thread->vm, pte);
	struct page *page = anonymous_page(attempt);
	struct page *source = NULL;

	if (!page)
		return -ENOMEM;
	pte_lock(thread, attempt->leaf);
	if (*leaf_pte(thread->vm, attempt->leaf, attempt->vpn) == pte) {
		source = slot_source(thread, slot);
		if (!source)
			map_swapped(attempt, page, slot);
		count(thread, FIGURE_SWAP_INS, !source);
	}
	pte_unlock(thread, attempt->leaf);
	anonymous_done(attempt, page);
	if (source)
		wait_for(thread, source); /* who swaps it out holds its lock until the slot has the contents */
	return 0;
}

/* --- writes to what is present ---------------------------------------------------------------- */

/* Does nothing but this window map @page? Holds: page and pte lock. Only who maps it could fork: nobody begins to. */
static bool window_has_all(const struct attempt *attempt, struct page *page)
{
	uint32_t mapped = 0;

	for (uint64_t vpn = attempt->first; vpn < attempt->end; vpn++)
		mapped += maps_page(attempt, vpn, page);
	return mapped == page_mapcount(attempt->thread, page);
}

static void make_writable(const struct attempt *attempt, const struct page *page)
{
	for (uint64_t vpn = attempt->first; vpn < attempt->end; vpn++)
		if (maps_page(attempt, vpn, page))
			*leaf_pte(attempt->thread->vm, attempt->leaf, vpn) |= PTE_WRITE;
}

/*
 * What maps the index of @old that @new has. Nobody writes @old while it is shared; and nobody reads @new before the
 * flush, for who could has to fault.
 */
static void copy_window(const struct attempt *attempt, struct page *old, struct page *new)
{
	const struct page *frame = old + (new->index - old->index);
	struct vm_thread *thread = attempt->thread;
	struct vm *vm = thread->vm;

	if (page_is_file(old))
		words_copy_private(vm, new, frame);
	else
		words_copy(new->words, frame->words, page_words(vm));
	for (uint64_t vpn = attempt->first; vpn < attempt->end; vpn++) {
		uint64_t pte = *leaf_pte(vm, attempt->leaf, vpn);

		if (!maps_page(attempt, vpn, old) || pte_frame(vm, pte) != frame)
			continue;
		pte_clear(thread, attempt->leaf, vpn, 0);
		pte_map(thread, attempt->leaf, vpn, new, piece_of(vm, pte_value(pte)),
			vma_bits(attempt->vma, new));
	}
	tlb_flush(thread);
}

/* Return: whether a page to copy to is needed, and there was none. */
static bool break_sharing(const struct attempt *attempt, struct page *page, struct page *new)
{
	struct vm_thread *thread = attempt->thread;
	bool missing = false;

	vm_lock(&thread->held, &page->lock);
	pte_lock(thread, attempt->leaf);
	if (!maps_page(attempt, attempt->vpn, page)) {
		/* Somebody else was here. */
	} else if (window_has_all(attempt, page)) {
		make_writable(attempt, page);
		count(thread, FIGURE_REUSES, 1);
	} else if (new) {
		copy_window(attempt, page, new);
		count(thread, FIGURE_COPIES, 1);
	} else {
		missing = true;
	}
	pte_unlock(thread, attempt->leaf);
	vm_unlock(&thread->held, &page->lock);
	return missing;
}

static int fault_shared(const struct attempt *attempt, struct page *page)
{
	struct page *new;

	if (!break_sharing(attempt, page, NULL))
		return 0;
	new = anonymous_page(attempt);
	if (!new)
		return -ENOMEM;
	break_sharing(attempt, page, new);
	anonymous_done(attempt, new);
	return 0;
}

/*
 * An orphan is nothing to copy: it goes, and the next fault finds what the file has now, or that it has nothing. Holds:
 * the pte lock.
 */
static void forget_orphan(const struct attempt *attempt)
{
	struct vm_thread *thread = attempt->thread;
	uint64_t pte = *leaf_pte(thread->vm, attempt->leaf, attempt->vpn);

	if ((pte & PTE_PRESENT) && page_has(pte_page(thread->vm, pte), PAGE_ORPHAN))
		pte_clear(thread, attempt->leaf, attempt->vpn, 0);
	tlb_flush(thread);
}

/*
 * A write through a private mapping to what the file has there, @page. Done or not, the access is tried again.
 *
 * A truncate that takes copies comes by this pte after the end was looked at, if it began after that, for the range has
 * been there longer; then it finds the copy, or has cleared the pte. So it is enough that the pte still maps the page.
 */
static int copy_private(const struct attempt *attempt, struct page *page)
{
	struct vm_thread *thread = attempt->thread;
	struct page *new = anonymous_page(attempt);

	if (!new)
		return -ENOMEM;
	window(thread->vm, VM_WINDOW_FAULT);
	pte_lock(thread, attempt->leaf);
	if (maps_page(attempt, attempt->vpn, page)) {
		copy_window(attempt, page, new);
		count(thread, FIGURE_PRIVATE_COPIES, 1);
	} else {
		forget_orphan(attempt);
	}
	pte_unlock(thread, attempt->leaf);
	anonymous_done(attempt, new);
	return 0;
}

/* This thread has no reference while it waits for a hole: a truncate that splits the page waits for that. */
static int fault_private(const struct attempt *attempt)
{
	struct vm_thread *thread = attempt->thread;
	uint64_t index = index_of(thread->vm, vma_offset(attempt->vma, attempt->vpn));
	struct page *page;
	int error = file_page(thread, file_of(attempt->vma->object), index, &page);

	if (error)
		return error;
	error = copy_private(attempt, page);
	page_put(thread, page);
	return error;
}

/* The pte was present and did not allow the write. @page: with a reference, which goes. */
static int fault_write(const struct attempt *attempt, struct page *page)
{
	struct vm_thread *thread = attempt->thread;
	int error = 0;

	if (page_is_file(page) && attempt->vma->private) {
		page_put(thread, page);
		return fault_private(attempt);
	}
	if (page_is_file(page)) {
		pte_lock(thread, attempt->leaf);
		make_writable(attempt, page);
		pte_unlock(thread, attempt->leaf);
		count(thread, FIGURE_FAULTS, 1);
	} else {
		error = fault_shared(attempt, page);
	}
	page_put(thread, page);
	return error;
}

/* --- faults and accesses ---------------------------------------------------------------------- */

/* So many ptes may come into being: as many as a window has. */
static unsigned fault_adds(const struct vm *vm)
{
	return 2 * VM_CLUSTER_MAX << vm->options.folio_order;
}

int fault(struct vm_thread *thread, struct mm *mm, uint64_t vpn, bool write)
{
	struct vm *vm = thread->vm;
	struct attempt attempt = { .thread = thread, .mm = mm, .vpn = vpn };
	struct page *page = NULL;
	uint64_t pte;

	attempt.vma = vma_any(mm, vpn, vpn + 1);
	if (!attempt.vma)
		return -EFAULT;
	if (write && !attempt.vma->writable)
		return -EACCES;
	attempt.leaf = table_get(thread, mm, vpn);
	if (!attempt.leaf || vm->backend->fill(thread, fault_adds(vm)))
		return -ENOMEM;
	attempt_window(&attempt);
	entry_lock(thread, attempt.leaf);
	pte = leaf_pte_at(vm, attempt.leaf, vpn);
	if (pte & PTE_PRESENT) {
		page = pte_page(vm, pte);
		page_get(page);
	}
	pte_unlock(thread, attempt.leaf);
	if (page && write)
		return fault_write(&attempt, page);
	if (page) {
		page_put(thread, page); /* somebody else was here */
		return 0;
	}
	if (pte & PTE_MOVING) {
		pte_help(thread, attempt.leaf, vpn);
		return fault(thread, mm, vpn, write);
	}
	if (pte & PTE_SWAP)
		return fault_swap(&attempt, pte);
	if (attempt.vma->object->is_file)
		return fault_file(&attempt, pte & PTE_FILE ? pte_value(pte) : vma_offset(attempt.vma, vpn));
	return fault_anonymous(&attempt);
}

/* What a CPU is asked to do. @word: VM_WORDS: only to touch the page */
struct access {
	uint64_t vpn;
	unsigned word;
	bool write;
	uint32_t tag;
	uint64_t value;
};

/*
 * In one moment: under the pte lock or that of the translations. Return: 0; -EIO: what is there is not what belongs
 * there
 */
static int access_words(struct vm_thread *thread, uint64_t pte, uint64_t want, struct access *access)
{
	struct vm *vm = thread->vm;
	_Atomic uint64_t *word;

	if (access->word == VM_WORDS)
		return 0;
	word = &pte_frame(vm, pte)->words[piece_of(vm, pte_value(pte)) * VM_WORDS + access->word];
	access->value = atomic_load_explicit(word, memory_order_relaxed);
	if ((access->value & ~(uint64_t)VM_TAG_MAX) != want) {
		fprintf(stderr, "vm: vpn %#jx has word %#jx where %#jx belongs\n", (uintmax_t)access->vpn,
			(uintmax_t)access->value, (uintmax_t)want);
		count(thread, FIGURE_WRONG, 1);
		return -EIO;
	}
	if (access->write)
		atomic_store_explicit(word, want | access->tag, memory_order_relaxed);
	return 0;
}

/* Return: whether this processor has a translation for it; then *@result is as access_words() says. */
static bool access_translated(struct vm_thread *thread, uint32_t id, struct access *access, int *result)
{
	struct translation translation;

	if (!tlb_enter(thread, id, access->vpn, access->write, &translation))
		return false;
	*result = access_words(thread, translation.pte, translation.want, access);
	tlb_leave(thread);
	return true;
}

/* By the page table. Return: 0; -EIO; 1: it has to fault */
static int access_once(struct vm_thread *thread, struct mm *mm, struct access *access)
{
	struct vm *vm = thread->vm;
	struct leaf *leaf = table_find(vm, mm, access->vpn);
	const struct vma *vma = vma_any(mm, access->vpn, access->vpn + 1);
	int result = 1;
	uint64_t pte;

	if (!leaf || !vma)
		return 1;
	entry_lock(thread, leaf);
	pte = leaf_pte_at(vm, leaf, access->vpn);
	if ((pte & PTE_PRESENT) && (!access->write || (pte & PTE_WRITE))) {
		uint64_t offset = pte & PTE_NONLINEAR ? pte_offset(vm, pte) : vma_offset(vma, access->vpn);
		uint64_t want = word_of(vma->object, pte_page(vm, pte), offset);

		*leaf_bits(vm, leaf, access->vpn) |= PTE_ACCESSED | (access->write ? PTE_DIRTY : 0);
		pte = leaf_pte_at(vm, leaf, access->vpn);
		tlb_fill(thread, mm, access->vpn, pte, want);
		result = access_words(thread, pte, want, access);
	}
	pte_unlock(thread, leaf);
	return result;
}

static int access_page(struct vm_thread *thread, uint32_t id, struct access *access)
{
	struct mm *mm;
	int result;

	if (!vpns_fit(thread->vm, access->vpn, 1))
		return -EFAULT;
	if (id < thread->vm->options.mms && access_translated(thread, id, access, &result))
		return result;
	mm = mm_enter(thread, id, false);
	if (!mm)
		return -ESRCH;
	while ((result = access_once(thread, mm, access)) == 1) {
		result = fault(thread, mm, access->vpn, access->write);
		if (result)
			break;
	}
	mm_leave(thread, mm);
	return result;
}

int vm_fault(struct vm_thread *thread, uint32_t mm, uint64_t vpn, bool write)
{
	struct access access = { .vpn = vpn, .word = VM_WORDS, .write = write };

	return access_page(thread, mm, &access);
}

int vm_read(struct vm_thread *thread, uint32_t mm, uint64_t vpn, unsigned word, uint64_t *value)
{
	struct access access = { .vpn = vpn, .word = word };
	int error = word < VM_WORDS ? access_page(thread, mm, &access) : -EINVAL;

	if (!error)
		*value = access.value;
	return error;
}

int vm_write(struct vm_thread *thread, uint32_t mm, uint64_t vpn, unsigned word, uint32_t tag)
{
	struct access access = { .vpn = vpn, .word = word, .write = true, .tag = tag };

	if (word >= VM_WORDS || tag > VM_TAG_MAX)
		return -EINVAL;
	return access_page(thread, mm, &access);
}
