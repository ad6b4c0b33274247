/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm.h - small programs on a VM of one page and three ptes: the steps of unmap and truncate beside everything else
 *
 * The page is index 5 of a file. Pte 0 lies where a range says (linear); ptes 1 and 2 lie in a tagged range that covers
 * other indexes (nonlinear). Words of a program, where N and M are ptes:
 *
 *      fN  fault          lN  fault in a locked vma       FN  a fault that forgets to recheck the sequence
 *      uN  munmap         kN  mlock     nN  munlock       dNM fork: copy pte N to M       mNM mremap: move it
 *      R   reclaim: unmap the page, failable
 *      Txy truncate by strategy x with semantics y (embedder.h); Txy! asserts that nothing was left
 *      aN  access: by the translation of pte N that the processor has, or by the pte, and then it has one
 *
 * The locks are those of an embedder; bits of a case choose their order. All accesses are of one processor, whose
 * translations are flushed in cases that say so, rightly or with a mistake: reclaim does it once, before it lets go of
 * the page.
 */
#ifndef RMAP_EXPLORE_VM_H
#define RMAP_EXPLORE_VM_H

#include "cases.h"

/* Orders of locks: page > pte; pte > chain and page > chain > try pte (2003); the same, but waiting for the pte. */
enum vm_order { VM_TODAY, VM_2003, VM_2003_WAITING };

/*
 * Flushes, or-ed to them: there are none; before a mapping is removed, or the page is dropped or let go; one mistake
 * each.
 */
enum vm_flush {
	VM_NO_TLB,
	VM_FLUSH = 4,
	VM_FLUSH_NEVER = 8,
	VM_FLUSH_LATE = 12,  /* when the mapping is removed, the page dropped and let go */
	VM_FLUSH_EARLY = 16, /* before the pte is cleared */
};

struct engine_run vm_prepare(const struct explore_case *test);

extern const struct explore_case vm_cases[];
extern const unsigned vm_cases_count;

#endif
