/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ptes.c - the operations of hybrid.c and hybrid_clusters.c on mappings, whose names they have in common
 */
#include "ptes.h"

static struct rmap_mapping mapping_of(const struct vm *vm, const struct mm *mm, uint64_t vpn, uint64_t pte)
{
	uint64_t n = pte & PTE_ENTRY ? leaf_size(vm) : 1;
	uint64_t name = ((uint64_t)mm->id << HANDLE_VPN_BITS | vpn) << HANDLE_LOW_BITS;

	if (pte & PTE_LOCKED)
		return rmap_locked_many(n);
	if (n > 1)
		return rmap_linear_many(n);
	return pte & PTE_NONLINEAR ? rmap_chained(name) : rmap_named(name);
}

void ptes_add(struct vm_thread *thread, struct page *page, struct leaf *leaf, uint64_t vpn, uint64_t pte)
{
	library_add(thread, page, mapping_of(thread->vm, leaf->mm, vpn, pte));
}

/* The parent's mapping is counted and stays meanwhile; one more, beside one that is only counted, takes no memory. */
bool ptes_forks_freely(const struct vma *vma)
{
	return !vma->nonlinear;
}

void ptes_duplicate(struct vm_thread *thread, struct page *page, struct leaf *leaf, uint64_t vpn, uint64_t pte)
{
	library_duplicate(thread, page, mapping_of(thread->vm, leaf->mm, vpn, pte));
}

void ptes_remove(struct vm_thread *thread, struct page *page, const struct mm *mm, struct leaf *leaf, uint64_t vpn,
		 uint64_t pte)
{
	(void)leaf;
	library_remove(thread, page, mapping_of(thread->vm, mm, vpn, pte));
}

void ptes_move(struct vm_thread *thread, struct page *page, const struct place *from, const struct place *to)
{
	library_move(thread, page, mapping_of(thread->vm, from->leaf->mm, from->vpn, from->pte),
		     mapping_of(thread->vm, to->leaf->mm, to->vpn, to->pte));
}
