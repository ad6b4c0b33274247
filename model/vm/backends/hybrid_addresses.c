/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hybrid_addresses.c - librmap, whose chains have an element for each address at which a fork family maps a page
 *
 * anobjrmap's idea, by the multiplicity of the map: an element is a fork family and a vpn, and how many mms of that
 * family have the page there. A fork adds one to it and needs no memory. Unlike in anobjrmap a remove tells the
 * address, so an element goes when nobody maps the page there any more; and a file's page may have elements of several
 * families.
 *
 *      handle      [ family: the rest | vpn: HANDLE_VPN_BITS | count: MEMBER_BITS | 0: HANDLE_LOW_BITS ]
 *
 * Anonymous pages and private copies have elements for all mappings, linear or not: the address at which a family has
 * them is mostly one, which the page's word has room for. So anonymous vmas need no ranges. Pages of files, where they
 * are linear, have ranges as in hybrid.c.
 *
 * Where its mappings are an element does not tell, only in which family. Mms are found by ranges of an object for all
 * families: an mm's is the index of its family. A walk asks each mm of the family at that address; a pte there that
 * maps the page is one of those counted, or of a linear or locked mapping.
 *
 * Bounds: an element counts up to 2^MEMBER_BITS mms, as many as a VM has at most; there is room for four times as many
 * families. An anonymous page of several pieces has an element for each pte, where hybrid.c needs none; and like
 * nonlinear ones, locked mappings of anonymous pages have no name.
 */
#include "library.h"

#include <errno.h>

#define MEMBER_BITS 11u
#define VPN_SHIFT (HANDLE_LOW_BITS + MEMBER_BITS)
#define FAMILY_SHIFT (VPN_SHIFT + HANDLE_VPN_BITS)

_Static_assert(FAMILY_SHIFT + MEMBER_BITS + 2 <= 64, "families have numbers that fit");

static uint64_t family_of(const struct vm *vm, const struct mm *mm)
{
	return mm->family->id - vm->options.files;
}

static uint64_t handle_vpn(uint64_t handle)
{
	return handle >> VPN_SHIFT & (((uint64_t)1 << HANDLE_VPN_BITS) - 1);
}

/* --- families --------------------------------------------------------------------------------- */

static bool addresses_look(struct looking *looking, uint64_t handle, uint32_t count);

static int addresses_create(struct vm *vm)
{
	static const struct chaining chaining = { .bits = MEMBER_BITS, .anonymous = true, .look = addresses_look };
	int error = library_create(vm, &chaining);

	vm_must(vm->options.mms <= 1u << MEMBER_BITS);
	return error ? error : rmap_object_create(library_of(vm)->map, &library_of(vm)->members);
}

static int addresses_destroy(struct vm *vm)
{
	struct library *library = vm->map;

	if (library && library->members) {
		rmap_thread_register(library->map);
		rmap_object_destroy(library->members);
		rmap_thread_unregister(library->map);
	}
	return library_destroy(vm);
}

static struct rmap_range member_of(const struct vm *vm, const struct mm *mm)
{
	uint64_t family = family_of(vm, mm);

	return (struct rmap_range){ .first = family, .last = family, .owner = mm->id };
}

static int addresses_mm_begin(struct vm_thread *thread, struct mm *mm)
{
	const struct rmap_range member = member_of(thread->vm, mm);

	return rmap_object_attach(library_of(thread->vm)->members, &member);
}

static void addresses_mm_end(struct vm_thread *thread, struct mm *mm)
{
	const struct rmap_range member = member_of(thread->vm, mm);

	vm_must(rmap_object_detach(library_of(thread->vm)->members, &member) == 0);
}

/* --- mappings --------------------------------------------------------------------------------- */

static struct rmap_mapping mapping_of(const struct vm *vm, const struct page *page, const struct mm *mm, uint64_t vpn,
				      uint64_t pte)
{
	if (pte & PTE_LOCKED)
		return rmap_locked();
	if (!(pte & PTE_NONLINEAR) && page_is_file(page))
		return rmap_linear();
	return rmap_chained(family_of(vm, mm) << FAMILY_SHIFT | vpn << VPN_SHIFT);
}

static void addresses_add(struct vm_thread *thread, struct page *page, struct leaf *leaf, uint64_t vpn, uint64_t pte)
{
	library_add(thread, page, mapping_of(thread->vm, page, leaf->mm, vpn, pte));
}

/* The parent's mapping stays meanwhile, and so does the element that the child's is a unit of; unless it was locked. */
static bool addresses_forks_freely(const struct vma *vma)
{
	return !vma->locked;
}

static void addresses_duplicate(struct vm_thread *thread, struct page *page, struct leaf *leaf, uint64_t vpn,
				uint64_t pte)
{
	library_duplicate(thread, page, mapping_of(thread->vm, page, leaf->mm, vpn, pte));
}

static void addresses_remove(struct vm_thread *thread, struct page *page, const struct mm *mm, struct leaf *leaf,
			     uint64_t vpn, uint64_t pte)
{
	(void)leaf;
	library_remove(thread, page, mapping_of(thread->vm, page, mm, vpn, pte));
}

static void addresses_move(struct vm_thread *thread, struct page *page, const struct place *from,
			   const struct place *to)
{
	library_move(thread, page, mapping_of(thread->vm, page, from->leaf->mm, from->vpn, from->pte),
		     mapping_of(thread->vm, page, to->leaf->mm, to->vpn, to->pte));
}

/* --- walks ------------------------------------------------------------------------------------ */

struct asking {
	struct looking *looking;
	uint64_t vpn;
};

static int ask_member(void *arg, const struct rmap_range *member)
{
	const struct asking *asking = arg;
	struct mm *mm = mm_at(asking->looking->thread->vm, (uint32_t)member->owner);

	return !library_look(asking->looking, mm, asking->vpn, asking->vpn + 1, WALK_UNKNOWN);
}

static bool addresses_look(struct looking *looking, uint64_t handle, uint32_t count)
{
	struct asking asking = { looking, handle_vpn(handle) };

	(void)count;
	return rmap_object_stab(library_of(looking->thread->vm)->members, handle >> FAMILY_SHIFT, ask_member,
				&asking) == 0;
}

/* --- checks ----------------------------------------------------------------------------------- */

/* @n: of one address, mappings of @page that elements count, less the ptes that there are */
struct balance {
	struct vm_thread *thread;
	const struct page *page;
	uint64_t handle;
	int64_t n;
	bool wrong;
};

static int count_element(void *arg, const struct rmap_visit *visit)
{
	struct balance *balance = arg;

	if (visit->kind == RMAP_CHAINED && visit->handle == balance->handle)
		balance->n += visit->count;
	return 0;
}

static int count_pte(void *arg, const struct rmap_range *member)
{
	struct balance *balance = arg;
	struct vm *vm = balance->thread->vm;
	uint64_t vpn = handle_vpn(balance->handle);
	struct leaf *leaf = table_find(vm, mm_at(vm, (uint32_t)member->owner), vpn);
	uint64_t pte = leaf ? *leaf_pte(vm, leaf, vpn) : 0;
	bool maps = (pte & PTE_MAPS) && pte_page(vm, pte) == balance->page;

	balance->n -= maps && mapping_of(vm, balance->page, leaf->mm, vpn, pte).kind == RMAP_CHAINED;
	return 0;
}

/* Two forks at once may have made two elements of an address. */
static int check_element(void *arg, const struct rmap_visit *visit)
{
	struct balance *balance = arg;
	struct library *library = library_of(balance->thread->vm);
	struct rmap_target target = { .page = &balance->page->rmap };

	if (visit->kind != RMAP_CHAINED)
		return 0;
	balance->handle = visit->handle;
	balance->n = 0;
	rmap_walk(library->map, &target, count_element, balance, NULL);
	rmap_object_stab(library->members, visit->handle >> FAMILY_SHIFT, count_pte, balance);
	balance->wrong |= balance->n != 0;
	return 0;
}

static const char *addresses_check(struct vm_thread *thread, struct page *page, const struct mappings *found)
{
	struct balance balance = { .thread = thread, .page = page };
	struct rmap_target target = { .page = &page->rmap };
	const char *wrong = library_check(thread, page, found);

	if (wrong)
		return wrong;
	library_enter(thread);
	rmap_walk(library_of(thread->vm)->map, &target, check_element, &balance, NULL);
	library_leave(thread);
	return balance.wrong ? "an address counts other mms than those that map the page there" : NULL;
}

static int count_member(void *arg, const struct rmap_range *member)
{
	uint64_t *n = arg;

	(void)member;
	++*n;
	return 0;
}

static const char *addresses_check_object(struct vm *vm, const struct object *object, uint64_t vmas)
{
	struct library *library = library_of(vm);
	uint64_t mms = 0, members = 0;

	if (object->is_file)
		return library_check_object(vm, object, vmas);
	for (uint32_t i = 0; i < vm->options.mms; i++)
		mms += !vm->mms[i].dead && vm->mms[i].family == object;
	rmap_read_lock(library->map);
	rmap_object_stab(library->members, object->id - vm->options.files, count_member, &members);
	rmap_read_unlock(library->map);
	return members == mms ? NULL : "it has not as many members as mms";
}

const struct vm_backend vm_backend_hybrid_addresses = {
	.name = "hybrid-addresses",
	.summary = "librmap, an element of a chain for an address of a fork family, and no ranges of anonymous vmas",
	.traits = LIBRARY_TRAITS,
	.create = addresses_create,
	.destroy = addresses_destroy,
	.mm_begin = addresses_mm_begin,
	.mm_end = addresses_mm_end,
	.forks_freely = addresses_forks_freely,
	.add = addresses_add,
	.duplicate = addresses_duplicate,
	.remove = addresses_remove,
	.move = addresses_move,
	.check = addresses_check,
	.check_object = addresses_check_object,
	LIBRARY_OPERATIONS,
};
