/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tlb.c - translations that processors keep, and the flushes that a changed pte owes
 *
 * Each thread is a processor, with a table of translations of its own. An access that finds one there uses it: no mm
 * lock, no pte lock, no look at the pte. What a translation allows is what the pte allowed when it was read; a write
 * through one that is not dirty goes back to the page table, so that a pte is dirty before its page is.
 *
 * A table's lock is held by its processor for one access, and by whoever takes translations out of it: that is what an
 * interrupt to that processor gives, after which it has ended what it was doing and looks again. A translation is put
 * in under the pte lock, which a processor does not have; so the window between the look at a pte and the use of what
 * it said is narrower here than in hardware.
 *
 * What is cleared, moved or restricted is noted (tlb_owe) and flushed for all notes together (tlb_flush), in the order
 * that unmap.h asks for:
 *
 *      munmap, fork, mprotect, mremap,     one flush for what a leaf owes, before its pte lock is let go; then the
 *                                          mappings
 *      copy on write, bulk pass, search    are removed, then their references go
 *      page pass of a truncate             mappings are removed at once. One flush for each batch of visits
 *      reclaim                             the same, and one flush for several pages, which stay locked until then
 *      write-back                          one for all dirty bits of a page that were cleared, before it is read
 *      aging                               one for all pages that were looked at, or none: an accessed bit is a hint
 *
 * While a page pass or reclaim owes something the mm counts it. A pte that was found empty may then be in use yet, by
 * the processors; so who gives its address away or copies what it says settles first.
 *
 * A stale access is caught by contents: a free page's words belong to nobody, a page that is used again has another's.
 * vm_check() finds stale translations at rest. vm_options.flush has the mistakes.
 */
#include "backend.h"

static struct translation *translation_at(struct vm_thread *thread, const struct mm *mm, uint64_t vpn)
{
	return &thread->translations[(vpn ^ (uint64_t)mm->id << 3) % TRANSLATIONS];
}

static bool translates(const struct translation *translation, const struct mm *mm, uint64_t vpn)
{
	return translation->pte && translation->mm == mm && translation->vpn == vpn;
}

/* --- the processor's side --------------------------------------------------------------------- */

void tlb_fill(struct vm_thread *thread, struct mm *mm, uint64_t vpn, uint64_t pte, uint64_t want)
{
	vm_lock(&thread->held, &thread->tlb_lock);
	*translation_at(thread, mm, vpn) = (struct translation){ mm, vpn, pte, want };
	vm_unlock(&thread->held, &thread->tlb_lock);
}

bool tlb_enter(struct vm_thread *thread, uint32_t id, uint64_t vpn, bool write, struct translation *out)
{
	const struct mm *mm = &thread->vm->mms[id];
	uint64_t needs = write ? PTE_WRITE | PTE_DIRTY : 0;

	vm_lock(&thread->held, &thread->tlb_lock);
	*out = *translation_at(thread, mm, vpn);
	if (translates(out, mm, vpn) && (out->pte & needs) == needs) {
		count(thread, FIGURE_TRANSLATED, 1);
		return true;
	}
	vm_unlock(&thread->held, &thread->tlb_lock);
	return false;
}

void tlb_leave(struct vm_thread *thread)
{
	vm_unlock(&thread->held, &thread->tlb_lock);
}

/* --- flushes ---------------------------------------------------------------------------------- */

/* Every processor forgets [first, end) of @mm. */
static void shoot_range(struct vm_thread *thread, const struct mm *mm, uint64_t first, uint64_t end)
{
	struct vm_thread *processor;

	pthread_rwlock_rdlock(&thread->vm->threads_lock);
	LIST_FOREACH (processor, &thread->vm->threads, link) {
		vm_lock(&thread->held, &processor->tlb_lock);
		for (unsigned i = 0; i < TRANSLATIONS; i++) {
			struct translation *one = &processor->translations[i];

			if (first <= one->vpn && one->vpn < end && translates(one, mm, one->vpn))
				one->pte = 0;
		}
		vm_unlock(&thread->held, &processor->tlb_lock);
	}
	pthread_rwlock_unlock(&thread->vm->threads_lock);
	count(thread, FIGURE_FLUSHES, 1);
}

/* Under the lock of its translations. */
static void forget(struct vm_thread *processor, const struct owed *owed)
{
	for (uint64_t vpn = owed->vpn; vpn < owed->vpn + owed->n; vpn++) {
		struct translation *one = translation_at(processor, owed->mm, vpn);

		if (translates(one, owed->mm, vpn))
			one->pte = 0;
	}
}

/*
 * Every processor forgets what this thread has noted. EARLY did so for ptes that are cleared, when they were not yet.
 */
static void shoot_owed(struct vm_thread *thread)
{
	bool early = thread->vm->options.flush == VM_FLUSH_EARLY;
	struct vm_thread *processor;

	pthread_rwlock_rdlock(&thread->vm->threads_lock);
	LIST_FOREACH (processor, &thread->vm->threads, link) {
		vm_lock(&thread->held, &processor->tlb_lock);
		for (unsigned i = 0; i < thread->owed_n; i++) {
			const struct owed *owed = &thread->owed[i];

			if (!(early && owed->pte))
				forget(processor, owed);
		}
		vm_unlock(&thread->held, &processor->tlb_lock);
	}
	pthread_rwlock_unlock(&thread->vm->threads_lock);
	count(thread, FIGURE_FLUSHES, 1);
}

/* What waited for the flush. */
static void finish_owed(struct vm_thread *thread, struct owed *owed)
{
	if (owed->until == OWED_REMOVE)
		mapping_remove(thread, owed->mm, owed->leaf, owed->vpn, owed->pte);
	if (owed->until == OWED_PUT)
		atomic_fetch_sub(&owed->mm->owed, 1);
	if (owed->pte)
		page_put_many(thread, pte_page(thread->vm, owed->pte), owed->n);
	owed->pte = 0;
	owed->until = OWED_NOTHING;
}

void tlb_owe(struct vm_thread *thread, struct leaf *leaf, uint64_t vpn, uint64_t pte, enum owed_until until)
{
	struct mm *mm = leaf->mm;
	uint32_t n = leaf->entry ? (uint32_t)leaf_size(thread->vm) : 1;

	if (thread->owed_n == OWED_MAX)
		tlb_flush(thread);
	thread->owed[thread->owed_n++] = (struct owed){ mm, leaf, vpn, n, pte, until };
	if (until == OWED_PUT)
		atomic_fetch_add(&mm->owed, 1);
}

void tlb_flush(struct vm_thread *thread)
{
	enum vm_flush flush = thread->vm->options.flush;

	if (thread->owed_n > 0 && flush != VM_FLUSH_NEVER && flush != VM_FLUSH_LATE)
		shoot_owed(thread);
	for (unsigned i = 0; i < thread->owed_n; i++)
		finish_owed(thread, &thread->owed[i]);
	if (flush == VM_FLUSH_LATE && thread->owed_n < OWED_MAX)
		return;
	if (flush == VM_FLUSH_LATE)
		shoot_owed(thread);
	thread->owed_n = 0;
}

/* The pte lock makes what others have noted before they cleared a pte of this leaf visible. */
void tlb_settle(struct vm_thread *thread, struct mm *mm, uint64_t first, uint64_t end)
{
	if (atomic_load(&mm->owed) == 0 || thread->vm->options.flush != VM_FLUSH_RIGHT)
		return;
	shoot_range(thread, mm, first, end);
	count(thread, FIGURE_SETTLED, 1);
}

void tlb_early(struct vm_thread *thread, const struct mm *mm, uint64_t first, uint64_t end)
{
	if (thread->vm->options.flush != VM_FLUSH_EARLY)
		return;
	shoot_range(thread, mm, first, end);
	window(thread->vm, VM_WINDOW_FLUSHED);
}
