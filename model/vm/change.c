/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * change.c - what changes mappings that are there: fork, mremap, mprotect, mlock, munlock, remap_file_pages
 *
 * All hold the mm lock exclusively, so vmas stand still and nobody faults in this mm. Reclaim, truncate and migration
 * go on and clear ptes meanwhile; so each pte is looked at under its lock, and what was seen before is not relied on.
 */
#include "backend.h"

#include <errno.h>

/* What @object has: all there may be, unless it is a file. Read after the truncate sequence. */
static struct extent extent_of(struct vm_thread *thread, struct object *object)
{
	if (object->is_file && !thread->vm->options.no_recheck)
		return file_extent(thread, file_of(object));
	return (struct extent){ .size = UINT64_MAX, .hole_first = 1 };
}

/* --- fork ------------------------------------------------------------------------------------- */

/*
 * One leaf of one vma.
 * @extent: of the vma's file, read after the truncate sequence
 */
struct copying {
	struct vm_thread *thread;
	struct mm *parent;
	struct mm *child;
	const struct vma *vma;
	struct leaf *from;
	struct leaf *to;
	struct extent extent;
};

/* A truncated page gets no new mapping: neither one past the end nor an orphan. The child faults and sees. */
static bool may_copy(const struct copying *copying, uint64_t pte)
{
	const struct page *page = pte_page(copying->thread->vm, pte);
	uint64_t index = pte_frame(copying->thread->vm, pte)->index;

	if (page_has(page, PAGE_COPY))
		return extent_holds_copy(&copying->extent, index);
	return !page_is_file(page) || (extent_holds(&copying->extent, index) && !page_has(page, PAGE_ORPHAN));
}

static void copy_pte(const struct copying *copying, uint64_t vpn)
{
	struct vm_thread *thread = copying->thread;
	struct vm *vm = thread->vm;
	uint64_t *from = leaf_pte(vm, copying->from, vpn);
	uint64_t *to = leaf_pte(vm, copying->to, vpn);
	struct page *page;

	if (!(*from & PTE_PRESENT)) {
		uint64_t index;

		if (pte_copy_index(vm, *from, &index) && !extent_holds_copy(&copying->extent, index))
			return;
		*to = *from;
		if (*from & PTE_SWAP)
			slot_get(thread, pte_slot(vm, *from));
		return;
	}
	page = pte_page(vm, *from);
	if (!page_is_file(page) && (*from & PTE_WRITE)) {
		tlb_owe(thread, copying->from, vpn, 0, OWED_NOTHING);
		*from &= ~PTE_WRITE;
	}
	if (may_copy(copying, *from))
		pte_copy(thread, copying->to, vpn, page, pte_piece(vm, *from),
			 *from & (PTE_WRITE | PTE_NONLINEAR));
	else if (*from & PTE_NONLINEAR)
		*to = pte_make(pte_offset(vm, *from), PTE_FILE);
}

/* If there is an entry for [start, end), and all of its page may be mapped, the child has it. Return: whether */
static bool copied_entry(const struct copying *copying, uint64_t start, uint64_t end)
{
	struct vm_thread *thread = copying->thread;
	struct leaf *from = copying->from;
	struct page *page;

	if (!from->entry || !is_all_of_leaf(thread->vm, start, end))
		return false;
	for (uint64_t vpn = start; vpn < end; vpn++)
		if (!may_copy(copying, leaf_pte_at(thread->vm, from, vpn)))
			return false;
	page = pte_page(thread->vm, from->entry);
	if (!page_is_file(page) && (from->entry & PTE_WRITE)) {
		tlb_owe(thread, from, start, 0, OWED_NOTHING);
		from->entry &= ~PTE_WRITE;
	}
	entry_copy(thread, copying->to, page, from->entry & PTE_WRITE);
	return true;
}

/* False: a page is on its way to another frame, at *@moving */
static bool copy_ptes(const struct copying *copying, uint64_t start, uint64_t end, uint64_t *moving)
{
	const struct vm *vm = copying->thread->vm;

	for (uint64_t vpn = start; vpn < end; vpn++) {
		*moving = vpn;
		if (*leaf_pte(vm, copying->from, vpn) & PTE_MOVING)
			return false;
	}
	for (uint64_t vpn = start; vpn < end; vpn++)
		copy_pte(copying, vpn);
	return true;
}

/* Return: false if a truncate began meanwhile, or a page is on its way to another frame */
static bool copy_leaf(struct copying *copying, uint64_t start, uint64_t end)
{
	struct vm_thread *thread = copying->thread;
	struct vm *vm = thread->vm;
	struct object *object = copying->vma->object;
	uint64_t moving = start;
	uint64_t seq = object_sequence(vm, object);
	bool valid;

	copying->extent = extent_of(thread, object);
	vm_lock_two(&thread->held, &copying->from->lock, &copying->to->lock);
	tlb_settle(thread, copying->parent, start, end);
	section_enter(thread);
	valid = !object->is_file || object_sequence(vm, object) == seq;
	if (valid && !copied_entry(copying, start, end)) {
		entry_split(thread, copying->from);
		valid = copy_ptes(copying, start, end, &moving);
	}
	section_leave(thread);
	tlb_flush(thread);
	vm_unlock_two(&thread->held, &copying->from->lock, &copying->to->lock);
	if (!valid)
		pte_help(thread, copying->from, moving);
	return valid;
}

static int copy_vma(struct copying *copying)
{
	struct vm_thread *thread = copying->thread;
	struct vm *vm = thread->vm;
	const struct vma *vma = copying->vma;
	bool freely = vm->backend->forks_freely && vm->backend->forks_freely(vma);

	for (uint64_t vpn = vma->start, stop; vpn < vma->end; vpn = stop) {
		stop = leaf_end(vm, vpn) < vma->end ? leaf_end(vm, vpn) : vma->end;
		copying->from = table_find(vm, copying->parent, vpn);
		if (!copying->from)
			continue;
		copying->to = table_get(thread, copying->child, vpn);
		if (!copying->to || vm->backend->fill(thread, freely ? 0 : (unsigned)leaf_size(vm)))
			return -ENOMEM;
		while (!copy_leaf(copying, vpn, stop))
			count(thread, FIGURE_RESTARTS, 1);
	}
	return 0;
}

static int copy_mm(struct vm_thread *thread, struct mm *parent, struct mm *child)
{
	struct vma *vma;
	int error = 0;

	for (uint64_t next = 0; !error && (vma = vma_first(parent, next, vpn_end(thread->vm))); next = vma->end) {
		struct copying copying = { .thread = thread, .parent = parent, .child = child, .vma = vma };
		struct vma copy = vma_like(vma);

		copy.locked = false;
		error = vma_insert(thread, child, &copy, vma);
		if (!error)
			error = copy_vma(&copying);
	}
	return error;
}

int vm_fork(struct vm_thread *thread, uint32_t id, uint32_t *child_id)
{
	struct mm *mm = mm_enter(thread, id, true);
	struct mm *child;
	int error;

	if (!mm)
		return -ESRCH;
	atomic_fetch_add(&mm->family->users, 1);
	child = mm_new(thread, mm->family);
	error = child ? copy_mm(thread, mm, child) : -EMFILE;
	mm_leave(thread, mm);
	if (!child)
		return error;
	if (error) {
		mm_exit(thread, child);
		mm_put(thread, child);
		return error;
	}
	*child_id = child->id;
	mm_born(thread, child);
	return 0;
}

/* --- mremap ----------------------------------------------------------------------------------- */

/* What is moved from leaf to leaf: @object's */
struct moving {
	struct object *object;
	struct leaf *old;
	struct leaf *new;
};

/*
 * Both pte locks are held, so whoever clears ptes sees each mapping at one of its places; and until the flush, or who
 * clears it at the new one would not know of translations at the old one.
 *
 * Copies have no count: a truncate that takes them either comes after the section, or this sees the file as it is then.
 */
static bool move_leaf(struct vm_thread *thread, struct mm *mm, struct moving *moving, uint64_t from, uint64_t to,
		      uint64_t n)
{
	struct vm *vm = thread->vm;
	uint64_t seq = object_sequence(vm, moving->object);
	const struct extent extent = extent_of(thread, moving->object);
	uint64_t index;
	bool valid;

	vm_lock_two(&thread->held, &moving->old->lock, &moving->new->lock);
	entry_split(thread, moving->old);
	entry_split(thread, moving->new);
	tlb_settle(thread, mm, from, from + n);
	section_enter(thread);
	valid = !moving->object->is_file || object_sequence(vm, moving->object) == seq;
	for (uint64_t i = 0; valid && i < n; i++) {
		if (pte_copy_index(vm, *leaf_pte(vm, moving->old, from + i), &index) &&
		    !extent_holds_copy(&extent, index))
			zap_copy(thread, moving->old, from + i);
		pte_move(thread, moving->old, from + i, moving->new, to + i);
	}
	section_leave(thread);
	tlb_flush(thread);
	vm_unlock_two(&thread->held, &moving->old->lock, &moving->new->lock);
	return valid;
}

static int move_ptes(struct vm_thread *thread, struct mm *mm, struct object *object, uint64_t from, uint64_t to,
		     uint64_t n)
{
	struct vm *vm = thread->vm;
	uint64_t i = 0;

	while (i < n) {
		struct moving moving = { .object = object,
					 .old = table_find(vm, mm, from + i),
					 .new = table_get(thread, mm, to + i) };
		uint64_t stop = leaf_end(vm, from + i) - from;

		if (!moving.new || vm->backend->fill(thread, (unsigned)leaf_size(vm)))
			return -ENOMEM;
		if (stop > leaf_end(vm, to + i) - to)
			stop = leaf_end(vm, to + i) - to;
		if (stop > n)
			stop = n;
		while (moving.old && !move_leaf(thread, mm, &moving, from + i, to + i, stop - i))
			count(thread, FIGURE_RESTARTS, 1);
		i = stop;
		if (moving.old)
			window(vm, VM_WINDOW_MOVE);
	}
	return 0;
}

/* The new range is there before the first pte moves, and the old one until the last one has. */
static int move_vma(struct vm_thread *thread, struct mm *mm, struct vma *vma, uint64_t to, uint64_t new_n)
{
	struct vma new = vma_like(vma);
	uint64_t start = vma->start, n = vma->end - vma->start;
	int error;

	new.start = to;
	new.end = to + new_n;
	error = vma_insert(thread, mm, &new, vma);
	if (error)
		return error;
	error = move_ptes(thread, mm, vma->object, start, to, n);
	if (error)
		vm_must(move_ptes(thread, mm, vma->object, to, start, n) == 0);
	vma_remove(thread, error ? vma_any(mm, to, to + 1) : vma);
	return error;
}

static int resize_vma(struct vm_thread *thread, struct mm *mm, struct vma *vma, uint64_t start, uint64_t n,
		      uint64_t new_n)
{
	uint64_t end = start + n, new_end = start + new_n;

	if (new_n <= n)
		return new_n < n ? unmap_range(thread, mm, new_end, end) : 0;
	if (vma->end != end || vma_any(mm, end, new_end))
		return -EEXIST;
	return thread->vm->backend->resize(thread, vma, new_end);
}

static int remap_vma(struct vm_thread *thread, struct mm *mm, uint64_t vpn, uint64_t n, uint64_t new_vpn,
		     uint64_t new_n)
{
	struct vma *vma = vma_any(mm, vpn, vpn + 1);
	int error;

	if (!vma || vma->end < vpn + n)
		return -EFAULT;
	if (vma_offset(vma, vpn) + new_n > vpn_end(thread->vm))
		return -EINVAL;
	if (new_vpn == vpn)
		return resize_vma(thread, mm, vma, vpn, n, new_n);
	if (vma_any(mm, new_vpn, new_vpn + new_n))
		return -EEXIST;
	error = vma_split(thread, mm, vpn);
	if (!error)
		error = vma_split(thread, mm, vpn + n);
	return error ? error : move_vma(thread, mm, vma_any(mm, vpn, vpn + 1), new_vpn, new_n);
}

int vm_mremap(struct vm_thread *thread, uint32_t id, uint64_t vpn, uint64_t n, uint64_t new_vpn, uint64_t new_n)
{
	struct vm *vm = thread->vm;
	struct mm *mm;
	int error;

	if (!vpns_fit(vm, vpn, n) || !vpns_fit(vm, new_vpn, new_n) || (new_vpn != vpn && new_n < n))
		return -EINVAL;
	mm = mm_enter(thread, id, true);
	if (!mm)
		return -ESRCH;
	error = remap_vma(thread, mm, vpn, n, new_vpn, new_n);
	mm_leave(thread, mm);
	return error;
}

/* --- mprotect, mlock, munlock ----------------------------------------------------------------- */

static void pte_read_only(struct vm_thread *thread, struct leaf *leaf, uint64_t vpn)
{
	uint64_t *pte = leaf_pte(thread->vm, leaf, vpn);

	if ((*pte & PTE_PRESENT) && (*pte & PTE_WRITE))
		tlb_owe(thread, leaf, vpn, 0, OWED_NOTHING);
	*pte &= ~PTE_WRITE;
}

static void pte_munlock(struct vm_thread *thread, struct leaf *leaf, uint64_t vpn)
{
	uint64_t pte = *leaf_pte(thread->vm, leaf, vpn);

	if ((pte & PTE_PRESENT) && (pte & PTE_LOCKED))
		pte_set_locked(thread, leaf, vpn, false);
}

typedef void (*pte_change)(struct vm_thread *thread, struct leaf *leaf, uint64_t vpn);

/* @change each pte that is there, under the pte lock and with a filled reserve. */
static int change_ptes(struct vm_thread *thread, struct mm *mm, uint64_t start, uint64_t end, pte_change change)
{
	struct vm *vm = thread->vm;

	for (uint64_t vpn = start, stop; vpn < end; vpn = stop) {
		struct leaf *leaf = table_find(vm, mm, vpn);

		stop = leaf_end(vm, vpn) < end ? leaf_end(vm, vpn) : end;
		if (!leaf)
			continue;
		if (vm->backend->fill(thread, (unsigned)leaf_size(vm)))
			return -ENOMEM;
		pte_lock(thread, leaf);
		tlb_settle(thread, mm, vpn, stop);
		for (; vpn < stop; vpn++)
			change(thread, leaf, vpn);
		tlb_flush(thread);
		pte_unlock(thread, leaf);
	}
	return 0;
}

/* Makes [start, end) consist of whole vmas. */
static int isolate_vmas(struct vm_thread *thread, struct mm *mm, uint64_t start, uint64_t end)
{
	int error = vma_covers(mm, start, end) ? 0 : -EFAULT;

	if (!error)
		error = vma_split(thread, mm, start);
	return error ? error : vma_split(thread, mm, end);
}

static int protect(struct vm_thread *thread, struct mm *mm, uint64_t start, uint64_t end, bool writable)
{
	int error = isolate_vmas(thread, mm, start, end);

	if (error)
		return error;
	for (uint64_t vpn = start; vpn < end;) {
		struct vma *vma = vma_any(mm, vpn, vpn + 1);

		vma->writable = writable;
		vpn = vma->end;
	}
	return writable ? 0 : change_ptes(thread, mm, start, end, pte_read_only);
}

int vm_protect(struct vm_thread *thread, uint32_t id, uint64_t vpn, uint64_t n, bool writable)
{
	struct mm *mm;
	int error;

	if (!vpns_fit(thread->vm, vpn, n))
		return -EINVAL;
	mm = mm_enter(thread, id, true);
	if (!mm)
		return -ESRCH;
	error = protect(thread, mm, vpn, vpn + n, writable);
	mm_leave(thread, mm);
	return error;
}

/* The page lock keeps a mapping from becoming locked in the middle of an unmap, or on its way to another frame. */
static int mlock_pte(struct vm_thread *thread, struct mm *mm, uint64_t vpn)
{
	struct vm *vm = thread->vm;
	struct leaf *leaf = table_find(vm, mm, vpn);

	if (!leaf)
		return 0;
	if (vm->backend->fill(thread, 1))
		return -ENOMEM;
	for (bool done = false; !done;) {
		struct page *page = NULL;
		uint64_t pte;

		pte_help(thread, leaf, vpn);
		pte_lock(thread, leaf);
		pte = *leaf_pte(vm, leaf, vpn);
		if ((pte & PTE_MAPS) && !(pte & PTE_LOCKED))
			page = pte_page(vm, pte);
		pte_unlock(thread, leaf);
		if (!page)
			return 0;
		vm_lock(&thread->held, &page->lock);
		pte_lock(thread, leaf);
		pte = *leaf_pte(vm, leaf, vpn);
		done = (pte & PTE_PRESENT) && pte_page(vm, pte) == page;
		if (done && !(pte & PTE_LOCKED))
			pte_set_locked(thread, leaf, vpn, true);
		pte_unlock(thread, leaf);
		vm_unlock(&thread->held, &page->lock);
	}
	return 0;
}

static bool pte_is_present(struct vm_thread *thread, struct mm *mm, uint64_t vpn)
{
	struct leaf *leaf = table_find(thread->vm, mm, vpn);
	bool present = false;

	if (leaf) {
		pte_lock(thread, leaf);
		present = *leaf_pte(thread->vm, leaf, vpn) & PTE_PRESENT;
		pte_unlock(thread, leaf);
	}
	return present;
}

/* All that is there becomes locked; then what is missing is had. The first error is told, the rest is done. */
static int mlock_range(struct vm_thread *thread, struct mm *mm, uint64_t start, uint64_t end)
{
	int error = isolate_vmas(thread, mm, start, end);

	if (error)
		return error;
	for (uint64_t vpn = start; vpn < end;) {
		struct vma *vma = vma_any(mm, vpn, vpn + 1);

		vma->locked = true;
		vpn = vma->end;
	}
	for (uint64_t vpn = start; vpn < end; vpn++) {
		int result = mlock_pte(thread, mm, vpn);

		if (!result && !pte_is_present(thread, mm, vpn))
			result = fault(thread, mm, vpn, false);
		error = error ? error : result;
	}
	return error;
}

int vm_mlock(struct vm_thread *thread, uint32_t id, uint64_t vpn, uint64_t n)
{
	struct mm *mm;
	int error;

	if (!vpns_fit(thread->vm, vpn, n))
		return -EINVAL;
	mm = mm_enter(thread, id, true);
	if (!mm)
		return -ESRCH;
	error = mlock_range(thread, mm, vpn, vpn + n);
	mm_leave(thread, mm);
	return error;
}

int vm_munlock(struct vm_thread *thread, uint32_t id, uint64_t vpn, uint64_t n)
{
	struct mm *mm;
	int error;

	if (!vpns_fit(thread->vm, vpn, n))
		return -EINVAL;
	mm = mm_enter(thread, id, true);
	if (!mm)
		return -ESRCH;
	error = isolate_vmas(thread, mm, vpn, vpn + n);
	for (uint64_t at = vpn; !error && at < vpn + n;) {
		struct vma *vma = vma_any(mm, at, at + 1);

		vma->locked = false;
		error = change_ptes(thread, mm, vma->start, vma->end, pte_munlock);
		vma->locked = error != 0;
		at = vma->end;
	}
	mm_leave(thread, mm);
	return error;
}

/* --- remap_file_pages ------------------------------------------------------------------------- */

/* The tag comes first, so that a search finds the mappings from the first one on. */
static int tag_nonlinear(struct vm_thread *thread, struct vma *vma)
{
	const struct vm_backend *backend = thread->vm->backend;
	int error = vma->nonlinear || !backend->tag ? 0 : backend->tag(thread, vma);

	if (!error)
		vma->nonlinear = true;
	return error;
}

/* What was there goes; what is to be there is written into the pte, or is what the vma says anyway. */
static int set_file_pte(struct vm_thread *thread, struct mm *mm, const struct vma *vma, uint64_t vpn, uint64_t offset)
{
	struct leaf *leaf = table_get(thread, mm, vpn);
	uint64_t *pte;

	if (!leaf)
		return -ENOMEM;
	pte_lock(thread, leaf);
	tlb_settle(thread, mm, vpn, vpn + 1);
	pte = leaf_pte(thread->vm, leaf, vpn);
	if (*pte & PTE_MAPS)
		pte_clear(thread, leaf, vpn, 0);
	tlb_flush(thread);
	*pte = offset == vma_offset(vma, vpn) ? 0 : pte_make(offset, PTE_FILE);
	pte_unlock(thread, leaf);
	return 0;
}

/* Of one vma, or of several that a remap before has made of one. NULL: they are not */
static struct vma *vma_of_all(struct mm *mm, uint64_t vpn, uint64_t n)
{
	struct vma *first = vma_any(mm, vpn, vpn + 1);

	for (const struct vma *vma = first; vma && vma->end < vpn + n;) {
		vma = vma_any(mm, vma->end, vma->end + 1);
		if (!vma || vma->object != first->object || vma->private != first->private ||
		    vma->writable != first->writable || vma->locked != first->locked)
			return NULL;
	}
	return first;
}

/* A vma of its own is what maps the file there; what was there goes. */
static int map_elsewhere(struct vm_thread *thread, struct mm *mm, uint64_t vpn, uint64_t n, uint64_t offset)
{
	struct vma *vma = vma_of_all(mm, vpn, n);
	struct vma new;
	int error;

	if (!vma)
		return -EFAULT;
	if (!vma->object->is_file || vma->private)
		return -EINVAL;
	new = vma_like(vma);
	new.start = vpn;
	new.end = vpn + n;
	new.offset = offset;
	error = unmap_range(thread, mm, vpn, vpn + n);
	return error ? error : vma_insert(thread, mm, &new, NULL);
}

static int map_nonlinear(struct vm_thread *thread, struct mm *mm, uint64_t vpn, uint64_t n, uint64_t offset)
{
	struct vma *vma = vma_any(mm, vpn, vpn + 1);
	int error;

	if (!vma || vma->end < vpn + n)
		return -EFAULT;
	if (!vma->object->is_file || vma->private)
		return -EINVAL;
	error = tag_nonlinear(thread, vma);
	for (uint64_t i = 0; !error && i < n; i++)
		error = set_file_pte(thread, mm, vma, vpn + i, offset + i);
	return error;
}

static int remap_pages(struct vm_thread *thread, struct mm *mm, uint64_t vpn, uint64_t n, uint64_t offset)
{
	bool splits = backend_has(thread->vm, VM_BACKEND_SPLITS);
	int error = splits ? map_elsewhere(thread, mm, vpn, n, offset) : map_nonlinear(thread, mm, vpn, n, offset);

	for (uint64_t i = 0; !error && i < n; i++)
		if (!pte_is_present(thread, mm, vpn + i))
			fault(thread, mm, vpn + i, false); /* past the end it stays as it is; an access will tell */
	return error;
}

int vm_remap_file_pages(struct vm_thread *thread, uint32_t id, uint64_t vpn, uint64_t n, uint64_t offset)
{
	struct vm *vm = thread->vm;
	struct mm *mm;
	int error;

	if (!vpns_fit(vm, vpn, n) || offset >= vpn_end(vm) || n > vpn_end(vm) - offset)
		return -EINVAL;
	mm = mm_enter(thread, id, true);
	if (!mm)
		return -ESRCH;
	error = remap_pages(thread, mm, vpn, n, offset);
	mm_leave(thread, mm);
	return error;
}
