/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * chains.h - the pte chains of Linux 2.5, of pages that have one
 *
 *      word = 0                    nothing maps the page
 *           = entry | DIRECT       one pte does, without a line, if no second one ever did
 *           = pointer to a line    of entries (lines.h)
 *
 * A chain of one entry becomes a direct one when aging comes by, and not before.
 *
 * An entry is a pte's address: its leaf, and its index there. The leaf says whose it is and where. All under the page's
 * chain lock, which is below pte locks; so a walk, which holds it, tries those.
 */
#ifndef VM_BACKENDS_CHAINS_H
#define VM_BACKENDS_CHAINS_H

#include "lines.h"
#include "store.h"

/* The page's chain lock, unless a walk holds it. */
void chain_lock(struct vm_thread *thread, struct page *page);
void chain_unlock(struct vm_thread *thread, struct page *page);

/* Holds: the chain lock, of all below. What they need is in hand */
void chain_add(struct vm_thread *thread, struct page *page, const struct leaf *leaf, uint64_t vpn);
/* Return: whether it was there */
bool chain_remove(struct vm_thread *thread, struct page *page, const struct leaf *leaf, uint64_t vpn);
uint32_t chain_count(const struct page *page);
/* Removes of what is visited may come. */
void chain_walk(struct vm_thread *thread, struct page *page, struct walk *walk);
/* NULL, or what does not hold of its form. */
const char *chain_check(const struct page *page);

#endif
