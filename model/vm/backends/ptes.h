/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ptes.h - names of ptes, for chains whose elements are of ptes or of windows of them
 *
 *      handle      [ mm | vpn: HANDLE_VPN_BITS | 0: HANDLE_LOW_BITS ]
 */
#ifndef VM_BACKENDS_PTES_H
#define VM_BACKENDS_PTES_H

#include "library.h"

static inline struct mm *handle_mm(const struct vm *vm, uint64_t handle)
{
	return mm_at(vm, (uint32_t)(handle >> (HANDLE_VPN_BITS + HANDLE_LOW_BITS)));
}

static inline uint64_t handle_vpn(uint64_t handle)
{
	return handle >> HANDLE_LOW_BITS & (((uint64_t)1 << HANDLE_VPN_BITS) - 1);
}

/* Backend operations. */
void ptes_add(struct vm_thread *thread, struct page *page, struct leaf *leaf, uint64_t vpn, uint64_t pte);
bool ptes_forks_freely(const struct vma *vma);
void ptes_duplicate(struct vm_thread *thread, struct page *page, struct leaf *leaf, uint64_t vpn, uint64_t pte);
void ptes_remove(struct vm_thread *thread, struct page *page, const struct mm *mm, struct leaf *leaf, uint64_t vpn,
		 uint64_t pte);
void ptes_move(struct vm_thread *thread, struct page *page, const struct place *from, const struct place *to);

#define PTES_OPERATIONS												       \
	.destroy = library_destroy, .forks_freely = ptes_forks_freely, .add = ptes_add, .duplicate = ptes_duplicate,   \
	.remove = ptes_remove, .move = ptes_move, .check = library_check, .check_object = library_check_object

#endif
