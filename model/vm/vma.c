/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vma.c - mms and their vmas, of which the backend is told, so that it finds what those map
 *
 * A vma is attached before its first pte is set and detached after its last one is cleared.
 *
 * vmas are in a tree of the C library, disjoint and compared so that overlapping ones are equal: a look-up of an
 * interval finds any vma that overlaps it.
 */
#include "backend.h"

#include <errno.h>
#include <search.h>
#include <stdlib.h>

/* --- mms -------------------------------------------------------------------------------------- */

struct mm *mm_find(struct vm *vm, uint32_t id)
{
	struct mm *mm = mm_at(vm, id);
	uint32_t refs;

	if (!mm)
		return NULL;
	refs = atomic_load(&mm->refs);
	while (refs > 0 && refs < MM_ENDING)
		if (atomic_compare_exchange_weak(&mm->refs, &refs, refs + 1))
			return mm;
	return NULL;
}

/* The last one gives the tables back, and only then the number. */
void mm_put(struct vm_thread *thread, struct mm *mm)
{
	uint32_t refs = atomic_load(&mm->refs);

	while (!atomic_compare_exchange_weak(&mm->refs, &refs, refs == 1 ? MM_ENDING : refs - 1))
		;
	vm_must(refs > 0 && refs < MM_ENDING);
	if (refs > 1)
		return;
	tables_put(thread, mm);
	atomic_store(&mm->refs, 0);
}

struct mm *mm_enter(struct vm_thread *thread, uint32_t id, bool exclusive)
{
	struct mm *mm = mm_find(thread->vm, id);

	if (!mm)
		return NULL;
	if (exclusive)
		vm_lock_exclusive(&thread->held, &mm->lock);
	else
		vm_lock_shared(&thread->held, &mm->lock);
	if (!mm->dead)
		return mm;
	mm_leave(thread, mm);
	return NULL;
}

void mm_leave(struct vm_thread *thread, struct mm *mm)
{
	vm_unlock_sleeping(&thread->held, &mm->lock);
	mm_put(thread, mm);
}

/* A family that nobody uses: no mm, and no page, hence no walk. It begins anew. */
static struct object *family_new(struct vm_thread *thread)
{
	struct vm *vm = thread->vm;

	for (uint32_t i = 0; i < vm->families_n; i++) {
		struct object *family = &vm->families[i];
		uint32_t users = 0;

		if (!atomic_compare_exchange_strong(&family->users, &users, 1))
			continue;
		if (vm->backend->object_end)
			vm->backend->object_end(vm, family);
		if (vm->backend->object_begin(thread, vm, family)) {
			atomic_fetch_sub(&family->users, 1);
			return NULL;
		}
		return family;
	}
	return NULL;
}

struct mm *mm_new(struct vm_thread *thread, struct object *family)
{
	struct vm *vm = thread->vm;

	for (uint32_t i = 0; family && i < vm->options.mms; i++) {
		struct mm *mm = &vm->mms[i];
		uint32_t refs = 0;

		if (!atomic_compare_exchange_strong(&mm->refs, &refs, 1))
			continue;
		mm->vmas = NULL;
		mm->family = family;
		if (!vm->backend->mm_begin || vm->backend->mm_begin(thread, mm) == 0)
			return mm;
		atomic_store(&mm->refs, 0);
		break;
	}
	if (family)
		atomic_fetch_sub(&family->users, 1);
	return NULL;
}

void mm_born(struct vm_thread *thread, struct mm *mm)
{
	vm_lock_exclusive(&thread->held, &mm->lock);
	mm->dead = false;
	vm_unlock_sleeping(&thread->held, &mm->lock);
}

int vm_mm_create(struct vm_thread *thread, uint32_t *id)
{
	struct mm *mm = mm_new(thread, family_new(thread));

	if (!mm)
		return -EMFILE;
	*id = mm->id;
	mm_born(thread, mm);
	return 0;
}

/* An mm that nobody else can enter any more gives up all it has. */
void mm_exit(struct vm_thread *thread, struct mm *mm)
{
	vm_must(unmap_range(thread, mm, 0, vpn_end(thread->vm)) == 0);
	if (thread->vm->backend->mm_end)
		thread->vm->backend->mm_end(thread, mm);
	atomic_fetch_sub(&mm->family->users, 1);
}

int vm_exit(struct vm_thread *thread, uint32_t id)
{
	struct mm *mm = mm_enter(thread, id, true);

	if (!mm)
		return -ESRCH;
	mm->dead = true;
	mm_exit(thread, mm);
	mm_leave(thread, mm);
	mm_put(thread, mm); /* its own */
	return 0;
}

/* --- the tree --------------------------------------------------------------------------------- */

static int vma_compare(const void *one, const void *two)
{
	const struct vma *a = one, *b = two;

	return a->end <= b->start ? -1 : b->end <= a->start;
}

bool vpns_fit(const struct vm *vm, uint64_t vpn, uint64_t n)
{
	return n > 0 && vpn >= VM_FIRST_VPN && vpn < vpn_end(vm) && n <= vpn_end(vm) - vpn;
}

struct vma *vma_any(struct mm *mm, uint64_t start, uint64_t end)
{
	const struct vma key = { .start = start, .end = end };
	void *node = start < end ? tfind(&key, &mm->vmas, vma_compare) : NULL;

	return node ? *(struct vma **)node : NULL;
}

struct vma *vma_first(struct mm *mm, uint64_t start, uint64_t end)
{
	struct vma *found = NULL, *vma;

	while ((vma = vma_any(mm, start, end))) {
		found = vma;
		end = vma->start;
	}
	return found;
}

bool vma_covers(struct mm *mm, uint64_t start, uint64_t end)
{
	const struct vma *vma;

	for (; start < end; start = vma->end) {
		vma = vma_any(mm, start, start + 1);
		if (!vma)
			return false;
	}
	return true;
}

/* --- vmas ------------------------------------------------------------------------------------- */

/* In its place. Return: NULL: there is no memory */
static struct vma *tree_insert(struct mm *mm, const struct vma *new)
{
	struct vma *vma = malloc(sizeof(*vma));
	void *node;

	if (!vma)
		return NULL;
	*vma = *new;
	vma->mm = mm;
	node = tsearch(vma, &mm->vmas, vma_compare);
	if (node && *(struct vma **)node == vma)
		return vma;
	vm_must(!node);
	free(vma);
	return NULL;
}

static void tree_remove(struct vma *vma)
{
	tdelete(vma, &vma->mm->vmas, vma_compare);
	free(vma);
}

int vma_insert(struct vm_thread *thread, struct mm *mm, const struct vma *new, struct vma *like)
{
	struct vma *vma = tree_insert(mm, new);
	int error;

	if (!vma)
		return -ENOMEM;
	error = thread->vm->backend->attach(thread, vma, like);
	if (error)
		tree_remove(vma);
	return error;
}

void vma_remove(struct vm_thread *thread, struct vma *vma)
{
	thread->vm->backend->detach(thread, vma);
	tree_remove(vma);
}

/* The upper part enters the tree when the lower one ends before it. */
int vma_split(struct vm_thread *thread, struct mm *mm, uint64_t vpn)
{
	struct vma *vma = vma_any(mm, vpn, vpn + 1);
	struct vma *high;
	int error;

	if (!vma || vma->start == vpn)
		return 0;
	high = malloc(sizeof(*high));
	if (!high)
		return -ENOMEM;
	*high = vma_like(vma);
	high->start = vpn;
	high->offset = vma_offset(vma, vpn);
	error = thread->vm->backend->split(thread, vma, high);
	if (!error)
		vm_must(tsearch(high, &mm->vmas, vma_compare));
	else
		free(high);
	return error;
}

/* --- mapping and unmapping -------------------------------------------------------------------- */

static int map_vma(struct vm_thread *thread, uint32_t id, struct vma vma, uint32_t file, uint64_t offset)
{
	struct vm *vm = thread->vm;
	uint64_t vpn = vma.start, n = vma.end - vma.start;
	struct mm *mm;
	int error = -EEXIST;

	if (!vpns_fit(vm, vpn, n) || (file != VM_ANONYMOUS && file >= vm->options.files))
		return -EINVAL;
	vma.offset = file == VM_ANONYMOUS ? vpn : offset;
	if (vma.offset >= vpn_end(vm) || n > vpn_end(vm) - vma.offset)
		return -EINVAL;
	mm = mm_enter(thread, id, true);
	if (!mm)
		return -ESRCH;
	vma.object = file == VM_ANONYMOUS ? mm->family : &vm->files[file].object;
	if (!vma_any(mm, vma.start, vma.end))
		error = vma_insert(thread, mm, &vma, NULL);
	mm_leave(thread, mm);
	return error;
}

int vm_mmap(struct vm_thread *thread, uint32_t id, uint64_t vpn, uint64_t n, bool writable, uint32_t file,
	    uint64_t offset)
{
	return map_vma(thread, id, (struct vma){ .start = vpn, .end = vpn + n, .writable = writable }, file, offset);
}

int vm_mmap_private(struct vm_thread *thread, uint32_t id, uint64_t vpn, uint64_t n, bool writable, uint32_t file,
		    uint64_t offset)
{
	const struct vma vma = { .start = vpn, .end = vpn + n, .private = true, .writable = writable };

	return file == VM_ANONYMOUS ? -EINVAL : map_vma(thread, id, vma, file, offset);
}

static void zap_leaf(struct vm_thread *thread, struct mm *mm, struct leaf *leaf, uint64_t start, uint64_t end)
{
	tlb_early(thread, mm, start, end);
	entry_lock(thread, leaf);
	tlb_settle(thread, mm, start, end);
	if (leaf->entry && is_all_of_leaf(thread->vm, start, end))
		entry_clear(thread, leaf);
	entry_split(thread, leaf);
	for (uint64_t vpn = start; vpn < end; vpn++) {
		uint64_t *pte = leaf_pte(thread->vm, leaf, vpn);

		if (*pte & PTE_MAPS)
			pte_clear(thread, leaf, vpn, 0);
		else if (*pte & PTE_SWAP)
			slot_put(thread, pte_slot(thread->vm, *pte));
		*pte = 0;
	}
	tlb_flush(thread);
	pte_unlock(thread, leaf);
}

void zap_range(struct vm_thread *thread, struct mm *mm, uint64_t start, uint64_t end)
{
	for (uint64_t vpn = start, stop; vpn < end; vpn = stop) {
		struct leaf *leaf = table_find(thread->vm, mm, vpn);

		stop = leaf_end(thread->vm, vpn) < end ? leaf_end(thread->vm, vpn) : end;
		if (leaf)
			zap_leaf(thread, mm, leaf, vpn, stop);
	}
}

/* Ptes first, so that walks find them as long as they are set. */
int unmap_range(struct vm_thread *thread, struct mm *mm, uint64_t start, uint64_t end)
{
	struct vma *vma;
	int error = vma_split(thread, mm, start);

	if (!error)
		error = vma_split(thread, mm, end);
	while (!error && (vma = vma_any(mm, start, end))) {
		zap_range(thread, mm, vma->start, vma->end);
		vma_remove(thread, vma);
	}
	return error;
}

int vm_munmap(struct vm_thread *thread, uint32_t id, uint64_t vpn, uint64_t n)
{
	struct mm *mm;
	int error;

	if (!vpns_fit(thread->vm, vpn, n))
		return -EINVAL;
	mm = mm_enter(thread, id, true);
	if (!mm)
		return -ESRCH;
	error = unmap_range(thread, mm, vpn, vpn + n);
	mm_leave(thread, mm);
	return error;
}
