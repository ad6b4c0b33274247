/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * anobjrmap.c - the reverse map that was tried in March 2003: objects for all pages, and distinct addresses for the
 * rest
 *
 *      word = 0                      nothing maps the page
 *           = mapcount << 1 | 1      all is where the object says
 *           = pointer to a block     of 64 bytes: the mapcount and six addresses; a link to blocks of seven, filled one
 *                                    after the other
 *
 * A file's page is found by the list of the file's vmas, an anonymous one or a private copy by the list of mms of its
 * fork family: at the place where its first mapping was made (page->base), for forks leave it there. What is mapped
 * elsewhere has its *address* chained, once, whoever maps it there; so a walk asks each vma or mm for each address, as
 * many as there are mappings. A fork bumps the count.
 *
 * A remove is told no address: it takes one off the count. So addresses that nobody uses stay until the last mapping
 * goes, each of them looked at by each walk.
 *
 * Order of locks: vmas > pte > chain > family. A walk holds the chain lock, so it only tries those above. A block is in
 * hand before the pte lock is taken.
 */
#include "chains.h"
#include "common.h"
#include "vmas.h"

#include <errno.h>
#include <stdlib.h>

enum { PART_BLOCKS, PART_VMAS, PART_MMS };

#define SLOTS 7u
#define COUNTED ((uint64_t)1)

/* Slots in use are before the others, which are 0, and there are none between. */
struct addresses {
	uint64_t slots[SLOTS]; /* of the first one, slots[0] is the mapcount */
	struct addresses *next;
};

_Static_assert(sizeof(struct addresses) == 64, "a block is a cache line");

/* An mm, in the list of its family. */
struct member {
	struct mm *mm;
	LIST_ENTRY(member) link;
};

/* A fork family. @members: under @lock */
struct family {
	struct vm_lock lock;
	LIST_HEAD(, member) members;
};

static int anobjrmap_create(struct vm *vm)
{
	return store_create(vm, PART_BLOCKS, sizeof(struct addresses));
}

/* --- objects ---------------------------------------------------------------------------------- */

static void *counted_alloc(struct vm *vm, size_t bytes)
{
	void *memory;

	if (!ledger_add(vm, PART_MMS, (int64_t)bytes))
		return NULL;
	memory = calloc(1, bytes);
	if (!memory)
		ledger_add(vm, PART_MMS, -(int64_t)bytes);
	return memory;
}

static void counted_free(struct vm *vm, void *memory, size_t bytes)
{
	free(memory);
	ledger_add(vm, PART_MMS, -(int64_t)bytes);
}

static int anobjrmap_object_begin(struct vm_thread *thread, struct vm *vm, struct object *object)
{
	struct family *family;

	(void)thread;
	if (object->is_file)
		return vmas_begin(vm, object, PART_VMAS, false, false);
	family = counted_alloc(vm, sizeof(*family));
	if (!family)
		return -ENOMEM;
	vm_lock_init(&family->lock, VM_CLASS_FAMILY);
	LIST_INIT(&family->members);
	object->index = family;
	return 0;
}

static void anobjrmap_object_end(struct vm *vm, struct object *object)
{
	struct family *family = object->index;

	if (object->is_file) {
		vmas_end(vm, object, PART_VMAS);
	} else if (family) {
		vm_lock_fini(&family->lock);
		counted_free(vm, family, sizeof(*family));
		object->index = NULL;
	}
}

static int anobjrmap_mm_begin(struct vm_thread *thread, struct mm *mm)
{
	struct family *family = mm->family->index;
	struct member *member = counted_alloc(thread->vm, sizeof(*member));

	if (!member)
		return -ENOMEM;
	member->mm = mm;
	vm_lock(&thread->held, &family->lock);
	LIST_INSERT_HEAD(&family->members, member, link);
	vm_unlock(&thread->held, &family->lock);
	mm->member = member;
	return 0;
}

static void anobjrmap_mm_end(struct vm_thread *thread, struct mm *mm)
{
	struct family *family = mm->family->index;
	struct member *member = mm->member;

	vm_lock(&thread->held, &family->lock);
	LIST_REMOVE(member, link);
	vm_unlock(&thread->held, &family->lock);
	counted_free(thread->vm, member, sizeof(*member));
}

/* --- the page's word: under the chain lock -------------------------------------------------------- */

static struct addresses *first_block(const struct page *page)
{
	return page->word & COUNTED ? NULL : (struct addresses *)(uintptr_t)page->word;
}

static uint32_t word_count(const struct page *page)
{
	const struct addresses *first = first_block(page);

	return (uint32_t)(first ? first->slots[0] : page->word >> 1);
}

static void count_one(struct page *page)
{
	struct addresses *first = first_block(page);

	if (first)
		first->slots[0]++;
	else
		page->word = (page->word | COUNTED) + 2;
}

/* The last one frees all addresses. */
static void uncount_one(struct vm_thread *thread, struct page *page)
{
	struct addresses *block = first_block(page);

	vm_must(word_count(page) > 0);
	if (!block) {
		page->word = page->word == (2 | COUNTED) ? 0 : page->word - 2;
		return;
	}
	if (--block->slots[0] > 0)
		return;
	page->word = 0;
	for (struct addresses *next; block; block = next) {
		next = block->next;
		hand_give(thread, block);
	}
}

static struct addresses *block_new(struct vm_thread *thread)
{
	struct addresses *block = hand_take(thread);

	*block = (struct addresses){ .next = NULL };
	return block;
}

/* One that is there is enough. The page is counted already. */
static void chain_address(struct vm_thread *thread, struct page *page, uint64_t address)
{
	struct addresses *block = first_block(page);
	unsigned i = 1;

	if (!block) {
		block = block_new(thread);
		block->slots[0] = word_count(page);
		page->word = (uintptr_t)block;
	}
	for (;; i = 0) {
		for (; i < SLOTS && block->slots[i]; i++)
			if (block->slots[i] == address)
				return;
		if (i < SLOTS)
			break;
		if (!block->next)
			block->next = block_new(thread);
		block = block->next;
	}
	block->slots[i] = address;
}

/* --- mappings --------------------------------------------------------------------------------- */

/* Where the page would begin, if all of it were mapped there. */
static uint64_t address_of(const struct vm *vm, const struct place *place)
{
	return place->vpn - piece_of(vm, pte_value(place->pte));
}

static void anobjrmap_add(struct vm_thread *thread, struct page *page, struct leaf *leaf, uint64_t vpn, uint64_t pte)
{
	uint64_t address = address_of(thread->vm, &(struct place){ leaf, vpn, pte });

	chain_lock(thread, page);
	count_one(page);
	if (page_is_file(page)) {
		if (pte & PTE_NONLINEAR)
			chain_address(thread, page, address);
	} else if (!page->anchor) {
		page->anchor = leaf->mm->family;
		page->base = address;
	} else if (address != page->base) {
		chain_address(thread, page, address);
	}
	chain_unlock(thread, page);
}

static bool anobjrmap_forks_freely(const struct vma *vma)
{
	(void)vma;
	return true;
}

static void anobjrmap_duplicate(struct vm_thread *thread, struct page *page, struct leaf *leaf, uint64_t vpn,
				uint64_t pte)
{
	(void)leaf, (void)vpn, (void)pte;
	chain_lock(thread, page);
	count_one(page);
	chain_unlock(thread, page);
}

static void anobjrmap_remove(struct vm_thread *thread, struct page *page, const struct mm *mm, struct leaf *leaf,
			     uint64_t vpn, uint64_t pte)
{
	(void)mm, (void)leaf, (void)vpn, (void)pte;
	chain_lock(thread, page);
	uncount_one(thread, page);
	chain_unlock(thread, page);
}

static void anobjrmap_move(struct vm_thread *thread, struct page *page, const struct place *from,
			   const struct place *to)
{
	uint64_t address = address_of(thread->vm, to);

	if (from->leaf == to->leaf && from->vpn == to->vpn)
		return;
	chain_lock(thread, page);
	if (page_is_file(page)) {
		if (to->pte & PTE_NONLINEAR)
			chain_address(thread, page, address);
	} else if (word_count(page) == 1) {
		page->base = address;
	} else if (address != page->base) {
		chain_address(thread, page, address);
	}
	chain_unlock(thread, page);
}

static uint32_t anobjrmap_mapcount(struct vm_thread *thread, const struct page *page)
{
	uint32_t n;

	chain_lock(thread, (struct page *)(uintptr_t)page);
	n = word_count(page);
	chain_unlock(thread, (struct page *)(uintptr_t)page);
	return n;
}

/* --- walks ------------------------------------------------------------------------------------ */

/* @mapped: so many mappings there were; the walk ends when all are found */
struct looking {
	struct vm_thread *thread;
	struct page *page;
	struct walk *walk;
	uint32_t mapped;
};

/*
 * What of [start, end) the page has if it begins at @origin, and nothing that is there for another reason: a pte that
 * was found twice would end the walk too early. Return: whether to go on: then the page is mapped, and its addresses
 * are what they were
 */
static bool look_at(const struct looking *looking, struct mm *mm, uint64_t origin, uint64_t start, uint64_t end)
{
	uint64_t last = origin + pieces(looking->thread->vm);

	looking->walk->origin = origin;
	return walk_window(looking->thread, looking->page, mm, origin > start ? origin : start, last < end ? last : end,
			   true, looking->walk) &&
	       looking->walk->found < looking->mapped;
}

/* The page's addresses in [start, end) of @mm, but the one that its object tells. */
static bool look_at_chained(const struct looking *looking, struct mm *mm, uint64_t told, uint64_t start, uint64_t end)
{
	uint32_t n = pieces(looking->thread->vm);
	unsigned i = 1;

	for (const struct addresses *block = first_block(looking->page); block; block = block->next, i = 0) {
		for (; i < SLOTS && block->slots[i]; i++) {
			uint64_t origin = block->slots[i];

			if (origin != told && origin < end && origin + n > start &&
			    !look_at(looking, mm, origin, start, end))
				return false;
		}
	}
	return true;
}

static bool look_vma(struct vma *vma, void *arg)
{
	const struct looking *looking = arg;
	struct vm_thread *thread = looking->thread;
	uint64_t index = looking->page->index;
	uint64_t told = vma->start + (index << thread->vm->options.cluster_bits) - vma->offset;
	uint64_t start, end;

	if (vma_window(thread->vm, vma, index, index, &start, &end)) {
		if (!look_at(looking, vma->mm, told, start, end))
			return false;
	} else if (!walk_nowhere(thread, looking->walk)) {
		return false;
	}
	return look_at_chained(looking, vma->mm, told, vma->start, vma->end);
}

static void walk_file(struct looking *looking)
{
	struct vm_thread *thread = looking->thread;
	struct vmas *vmas = looking->page->object->index;
	uint64_t index = looking->page->index;

	if (!vm_try_exclusive(&thread->held, &vmas->lock)) {
		looking->walk->refused++;
		count(thread, FIGURE_WALKS_REFUSED, 1);
		return;
	}
	vmas_each(vmas, index, index, look_vma, looking);
	vm_unlock_sleeping(&thread->held, &vmas->lock);
}

static void walk_family(struct looking *looking)
{
	struct vm_thread *thread = looking->thread;
	struct family *family = ((struct object *)looking->page->anchor)->index;
	uint64_t base = looking->page->base;
	uint64_t top = vpn_end(thread->vm);
	const struct member *member;

	vm_lock(&thread->held, &family->lock);
	LIST_FOREACH (member, &family->members, link)
		if (!look_at(looking, member->mm, base, 0, top) || !look_at_chained(looking, member->mm, base, 0, top))
			break;
	vm_unlock(&thread->held, &family->lock);
}

static void anobjrmap_walk(struct vm_thread *thread, struct page *page, struct walk *walk)
{
	struct looking looking = { thread, page, walk, 0 };

	vm_lock(&thread->held, &page->chain);
	thread->chained = page;
	looking.mapped = word_count(page);
	if (looking.mapped > 0) {
		if (page_is_file(page))
			walk_file(&looking);
		else
			walk_family(&looking);
	}
	thread->chained = NULL;
	vm_unlock(&thread->held, &page->chain);
}

static int anobjrmap_truncate(struct pass *pass, const struct cut *cut, struct rmap_unmap_report *report)
{
	return passes_truncate(pass, cut, report, vmas_bulk, 0);
}

/* --- vmas ------------------------------------------------------------------------------------- */

static int anobjrmap_attach(struct vm_thread *thread, struct vma *vma, struct vma *like)
{
	(void)like;
	return vmas_attach(thread, vma, PART_VMAS);
}

static void anobjrmap_detach(struct vm_thread *thread, struct vma *vma)
{
	vmas_detach(thread, vma, PART_VMAS);
}

static int anobjrmap_split(struct vm_thread *thread, struct vma *vma, struct vma *high)
{
	return vmas_split(thread, vma, high, PART_VMAS);
}

/* Is @address chained behind slot @i of @block? */
static bool is_behind(const struct addresses *block, unsigned i, uint64_t address)
{
	for (i++; block; block = block->next, i = 0)
		for (; i < SLOTS; i++)
			if (block->slots[i] == address)
				return true;
	return false;
}

/* Distinct, and without a gap. */
static const char *anobjrmap_check(struct vm_thread *thread, struct page *page, const struct mappings *found)
{
	const struct addresses *first = first_block(page);

	(void)thread, (void)found;
	for (const struct addresses *block = first; block; block = block->next) {
		for (unsigned i = block == first; i < SLOTS; i++) {
			if (!block->slots[i] && (block->next || (i + 1 < SLOTS && block->slots[i + 1])))
				return "an address is missing between others";
			if (block->slots[i] && is_behind(block, i, block->slots[i]))
				return "an address is chained twice";
		}
	}
	return NULL;
}

static const char *anobjrmap_check_object(struct vm *vm, const struct object *object, uint64_t vmas)
{
	(void)vm;
	return vmas_check(object, vmas);
}

const struct vm_backend vm_backend_anobjrmap = {
	.name = "anobjrmap",
	.summary = "2003: objects for all pages, distinct addresses for what they do not tell",
	.traits = VM_BACKEND_WALKS | VM_BACKEND_TRIES,
	.order = &vm_order_2003,
	.parts = { "slabs of addresses", "lists of vmas", "families and their mms" },
	.create = anobjrmap_create,
	.destroy = store_destroy,
	.thread_begin = store_thread_begin,
	.thread_end = store_thread_end,
	.object_begin = anobjrmap_object_begin,
	.object_end = anobjrmap_object_end,
	.mm_begin = anobjrmap_mm_begin,
	.mm_end = anobjrmap_mm_end,
	.forks_freely = anobjrmap_forks_freely,
	.fill = store_fill,
	.add = anobjrmap_add,
	.duplicate = anobjrmap_duplicate,
	.remove = anobjrmap_remove,
	.move = anobjrmap_move,
	.mapcount = anobjrmap_mapcount,
	.walk = anobjrmap_walk,
	.unmap = passes_unmap,
	.truncate = anobjrmap_truncate,
	.attach = anobjrmap_attach,
	.detach = anobjrmap_detach,
	.split = anobjrmap_split,
	.resize = vmas_resize,
	.check = anobjrmap_check,
	.check_object = anobjrmap_check_object,
};
