/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pagetable.c - four levels of tables, and all that changes one pte that maps a page
 *
 * A lookup takes no lock above the leaf, and needs no reference to the mm: entries of directories are set once, tables
 * stay until their mm has no reference left, and then become tables of the same level, perhaps another mm's. So whoever
 * goes down meets tables of the level he expects, however long he takes, and in the end a leaf, whose lock always is
 * one. Whose leaf that is he sees when he has its lock (leaf_is), at which moment his look takes effect.
 *
 * The compare-and-swap that publishes a table (table_enter) pairs with the loads on the way down: so its lock and its
 * zeroes are there. Of a table that is free or new its user alone changes entries and name, and the frame lock orders
 * one user after another; the accesses are atomic and relaxed, as somebody may come by on an old way. Finds he an old
 * name, no pte was set under the new one before he had the lock, and none is, since who sets one has both the name,
 * through the publication, and the lock. Finds he the new one, he is in the wrong place, or in the right one by chance.
 * An mm that has a mapping from before a look until after it has a reference of its own, so its tables stay, and the
 * look finds it. Memory is given back when the VM ends.
 *
 * Ptes are read and written under the lock of their leaf, which is the VM's pte lock. An entry that maps a large page
 * in the place of a leaf is kept with the leaf, which is there for when the entry is taken apart, and under that lock.
 *
 * Here a pte and its page's reverse map change together. The backend is told of the mapping as the pte has it, so page
 * tables and reverse map can disagree only by an error.
 */
#include "backend.h"

#include <stdlib.h>
#include <string.h>

/* --- tables ----------------------------------------------------------------------------------- */

static size_t table_bytes(const struct vm *vm, unsigned level)
{
	size_t bytes = level > 0 ? sizeof(struct directory) + (sizeof(_Atomic(void *)) << vm->options.table_bits) :
				   sizeof(struct leaf) + (sizeof(uint64_t) << vm->options.table_bits);

	return (bytes + LINE_BYTES - 1) / LINE_BYTES * LINE_BYTES;
}

/* The leaf of a vpn is found by its three upper parts. */
static uint64_t level_index(const struct vm *vm, uint64_t vpn, unsigned level)
{
	return vpn >> level * vm->options.table_bits & (leaf_size(vm) - 1);
}

/* Return: NULL: there is none. Without a reference to the mm: what leaf it is leaf_is() tells */
struct leaf *table_find(const struct vm *vm, struct mm *mm, uint64_t vpn)
{
	void *table = atomic_load_explicit(&mm->top, memory_order_acquire);

	for (unsigned level = VM_LEVELS - 1; table && level > 0; level--)
		table = atomic_load_explicit(&((struct directory *)table)->entries[level_index(vm, vpn, level)],
					     memory_order_acquire);
	return table;
}

static void *table_alloc(const struct vm *vm, unsigned level)
{
	size_t bytes = table_bytes(vm, level);
	void *table = aligned_alloc(LINE_BYTES, bytes);

	if (!table)
		return NULL;
	memset(table, 0, bytes);
	if (level == 0)
		vm_lock_init(&((struct leaf *)table)->lock, VM_CLASS_PTE);
	return table;
}

/* Without an entry or a pte. */
static void *table_new(struct vm_thread *thread, struct mm *mm, uint64_t vpn, unsigned level)
{
	struct vm *vm = thread->vm;
	struct leaf *leaf;
	struct table *table;

	vm_lock(&thread->held, &vm->frame_lock);
	table = SLIST_FIRST(&vm->free_tables[level]);
	if (table)
		SLIST_REMOVE_HEAD(&vm->free_tables[level], free);
	vm_unlock(&thread->held, &vm->frame_lock);
	leaf = table ? (void *)table : table_alloc(vm, level);
	if (leaf && level == 0) {
		atomic_store_explicit(&leaf->mm, mm, memory_order_relaxed);
		atomic_store_explicit(&leaf->first, vpn & ~(leaf_size(vm) - 1), memory_order_relaxed);
	}
	return leaf;
}

static void table_put(struct vm_thread *thread, void *table, unsigned level)
{
	vm_lock(&thread->held, &thread->vm->frame_lock);
	SLIST_INSERT_HEAD(&thread->vm->free_tables[level], (struct table *)table, free);
	vm_unlock(&thread->held, &thread->vm->frame_lock);
}

void tables_end(struct vm *vm)
{
	for (unsigned level = 0; level < VM_LEVELS; level++) {
		struct table *table;

		while ((table = SLIST_FIRST(&vm->free_tables[level]))) {
			SLIST_REMOVE_HEAD(&vm->free_tables[level], free);
			if (level == 0)
				vm_lock_fini(&((struct leaf *)(void *)table)->lock);
			free(table);
		}
	}
}

/* The table that @entry leads to, which is made if it is not there. */
static void *table_enter(struct vm_thread *thread, struct mm *mm, uint64_t vpn, _Atomic(void *) *entry, unsigned level)
{
	void *table = atomic_load_explicit(entry, memory_order_acquire);
	void *mine;

	if (table)
		return table;
	mine = table_new(thread, mm, vpn, level);
	if (!mine ||
	    atomic_compare_exchange_strong_explicit(entry, &table, mine, memory_order_acq_rel, memory_order_acquire))
		return mine;
	table_put(thread, mine, level);
	return table;
}

struct leaf *table_get(struct vm_thread *thread, struct mm *mm, uint64_t vpn)
{
	const struct vm *vm = thread->vm;
	_Atomic(void *) *entry = &mm->top;
	void *table = NULL;

	for (unsigned level = VM_LEVELS; level-- > 0;) {
		table = table_enter(thread, mm, vpn, entry, level);
		if (!table)
			return NULL;
		if (level > 0)
			entry = &((struct directory *)table)->entries[level_index(vm, vpn, level)];
	}
	return table;
}

/* No pte is set any more. */
static void tables_put_below(struct vm_thread *thread, void *table, unsigned level)
{
	for (uint64_t i = 0; level > 0 && i < leaf_size(thread->vm); i++) {
		_Atomic(void *) *entry = &((struct directory *)table)->entries[i];
		void *below = atomic_load_explicit(entry, memory_order_relaxed);

		if (!below)
			continue;
		atomic_store_explicit(entry, NULL, memory_order_relaxed);
		tables_put_below(thread, below, level - 1);
	}
	table_put(thread, table, level);
}

void tables_put(struct vm_thread *thread, struct mm *mm)
{
	void *top = atomic_load_explicit(&mm->top, memory_order_acquire);

	atomic_store_explicit(&mm->top, NULL, memory_order_relaxed);
	if (top)
		tables_put_below(thread, top, VM_LEVELS - 1);
}

static void leaves_below(const struct vm *vm, void *table, unsigned level, uint64_t vpn, leaf_action action, void *arg)
{
	if (level == 0) {
		action(table, vpn, arg);
		return;
	}
	for (uint64_t i = 0; i < leaf_size(vm); i++) {
		void *below = atomic_load_explicit(&((struct directory *)table)->entries[i], memory_order_acquire);

		if (below)
			leaves_below(vm, below, level - 1, vpn | i << level * vm->options.table_bits, action, arg);
	}
}

void leaves_each(const struct vm *vm, struct mm *mm, leaf_action action, void *arg)
{
	void *top = atomic_load_explicit(&mm->top, memory_order_acquire);

	if (top)
		leaves_below(vm, top, VM_LEVELS - 1, 0, action, arg);
}

/* --- one mapping ------------------------------------------------------------------------------ */

typedef void (*mapping_adder)(struct vm_thread *thread, struct page *page, struct leaf *leaf, uint64_t vpn,
			      uint64_t pte);

static void pte_set(struct vm_thread *thread, struct leaf *leaf, uint64_t vpn, uint64_t pte, mapping_adder add)
{
	struct page *page = pte_page(thread->vm, pte);

	page_get(page);
	add(thread, page, leaf, vpn, pte);
	*leaf_pte(thread->vm, leaf, vpn) = pte;
	if (pte & PTE_NONLINEAR)
		count(thread, FIGURE_NONLINEAR, 1);
	if (pte & PTE_LOCKED)
		count(thread, FIGURE_LOCKS, 1);
}

static uint64_t pte_to(const struct vm *vm, const struct page *page, uint32_t piece, uint64_t bits)
{
	uint64_t frame = (uint64_t)(page - vm->pages);

	return pte_make((frame << vm->options.cluster_bits) + piece, bits | PTE_PRESENT);
}

void pte_map(struct vm_thread *thread, struct leaf *leaf, uint64_t vpn, struct page *page, uint32_t piece,
	     uint64_t bits)
{
	pte_set(thread, leaf, vpn, pte_to(thread->vm, page, piece, bits), thread->vm->backend->add);
}

static void entry_set(struct vm_thread *thread, struct leaf *leaf, struct page *page, uint64_t bits, mapping_adder add)
{
	uint64_t entry = pte_to(thread->vm, page, 0, bits | PTE_ENTRY);

	page_get_many(page, (uint32_t)leaf_size(thread->vm));
	add(thread, page, leaf, leaf->first, entry);
	leaf->entry = entry;
	count(thread, FIGURE_ENTRIES, 1);
	if (entry & PTE_LOCKED)
		count(thread, FIGURE_LOCKS, leaf_size(thread->vm));
}

void entry_map(struct vm_thread *thread, struct leaf *leaf, struct page *page, uint64_t bits)
{
	entry_set(thread, leaf, page, bits, thread->vm->backend->add);
}

void entry_copy(struct vm_thread *thread, struct leaf *leaf, struct page *page, uint64_t bits)
{
	entry_set(thread, leaf, page, bits, thread->vm->backend->duplicate);
	count(thread, FIGURE_DUPLICATES, leaf_size(thread->vm));
}

void entry_split(struct vm_thread *thread, struct leaf *leaf)
{
	const struct vm *vm = thread->vm;

	if (!leaf->entry)
		return;
	for (uint64_t i = 0; i < leaf_size(vm); i++)
		leaf->ptes[i] = leaf_pte_at(vm, leaf, i);
	leaf->entry = 0;
	count(thread, FIGURE_ENTRIES_SPLIT, 1);
}

void entry_clear(struct vm_thread *thread, struct leaf *leaf)
{
	tlb_owe(thread, leaf, leaf->first, leaf->entry, OWED_REMOVE);
	if (leaf->entry & PTE_DIRTY)
		page_set(pte_page(thread->vm, leaf->entry), PAGE_DIRTY);
	leaf->entry = 0;
}

void pte_copy(struct vm_thread *thread, struct leaf *leaf, uint64_t vpn, struct page *page, uint32_t piece,
	      uint64_t bits)
{
	const struct vm_backend *backend = thread->vm->backend;

	pte_set(thread, leaf, vpn, pte_to(thread->vm, page, piece, bits),
		backend->duplicate ? backend->duplicate : backend->add);
	count(thread, FIGURE_DUPLICATES, 1);
}

static uint64_t pte_change(struct vm_thread *thread, struct leaf *leaf, uint64_t vpn, uint64_t left,
			   enum owed_until until)
{
	uint64_t *pte = leaf_pte(thread->vm, leaf, vpn);
	uint64_t old = *pte;

	tlb_owe(thread, leaf, vpn, old, until);
	if (old & PTE_DIRTY)
		page_set(pte_page(thread->vm, old), PAGE_DIRTY);
	*pte = left;
	return old;
}

void pte_clear(struct vm_thread *thread, struct leaf *leaf, uint64_t vpn, uint64_t left)
{
	pte_change(thread, leaf, vpn, left, OWED_REMOVE);
}

void pte_unmap(struct vm_thread *thread, struct leaf *leaf, uint64_t vpn, uint64_t left)
{
	mapping_remove(thread, leaf->mm, leaf, vpn, pte_change(thread, leaf, vpn, left, OWED_PUT));
}

static void mapping_move(struct vm_thread *thread, const struct place *from, const struct place *to)
{
	thread->vm->backend->move(thread, pte_page(thread->vm, from->pte), from, to);
}

void pte_set_locked(struct vm_thread *thread, struct leaf *leaf, uint64_t vpn, bool locked)
{
	uint64_t *pte = leaf_pte(thread->vm, leaf, vpn);
	uint64_t new = locked ? *pte | PTE_LOCKED : *pte & ~PTE_LOCKED;

	mapping_move(thread, &(struct place){ leaf, vpn, *pte }, &(struct place){ leaf, vpn, new });
	*pte = new;
	count(thread, locked ? FIGURE_LOCKS : FIGURE_UNLOCKS, 1);
}

/* A linear mapping that moves with its vma stays linear; the backend is told all the same. */
void pte_move(struct vm_thread *thread, struct leaf *from, uint64_t from_vpn, struct leaf *to, uint64_t to_vpn)
{
	uint64_t *old = leaf_pte(thread->vm, from, from_vpn);
	uint64_t *new = leaf_pte(thread->vm, to, to_vpn);

	if (*old == 0)
		return;
	if (*old & PTE_MAPS) {
		tlb_owe(thread, from, from_vpn, 0, OWED_NOTHING);
		mapping_move(thread, &(struct place){ from, from_vpn, *old }, &(struct place){ to, to_vpn, *old });
		count(thread, FIGURE_MOVES, 1);
	}
	*new = *old;
	*old = 0;
}
