/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * library.h - librmap as a backend, whatever an element of a chain stands for
 *
 *      hybrid              a pte                      handle: mm, vpn
 *      hybrid-clusters     a window of 16 ptes        the same, and the library drops the low bits of the vpn
 *      hybrid-addresses    an address of a family     handle: family, vpn
 *
 * That is the multiplicity of the map, and with it: what name a pte's mapping has, and where ptes may be that an
 * element is about. Ranges, locks, unmaps and truncates are the same for all three.
 */
#ifndef VM_BACKENDS_LIBRARY_H
#define VM_BACKENDS_LIBRARY_H

#include "../backend.h"

/* A vpn in a handle, and the bits of a handle that are the library's. */
#define HANDLE_VPN_BITS (VM_LEVELS * 9)
#define HANDLE_LOW_BITS 3u

/* So many places are looked up together. */
#define SPOTS 8u

/*
 * A walk under way, or one visit of an unmap. @tries: pte locks. @enough: so many ptes. @places: in this section. @n:
 * places that are named, and not looked at yet; @counts: how many mappings each of these stands for
 */
struct looking {
	struct vm_thread *thread;
	struct page *page;
	struct walk *walk;
	bool tries;
	uint32_t enough;
	size_t places;
	unsigned n;
	struct spot spots[SPOTS];
	uint32_t counts[SPOTS];
};

/*
 * What an element stands for.
 * @bits:      of the map's multiplicity
 * @anonymous: all of an anonymous page's mappings are chained, and of a private copy's; so families have no ranges
 * @look:      name the places of an element, by library_look(). Return: as that
 */
struct chaining {
	unsigned bits;
	bool anonymous;
	bool (*look)(struct looking *looking, uint64_t handle, uint32_t count);
};

/*
 * vm->map. @chains, @metadata: the heap, counted in the ledger. @members: hybrid-addresses alone: a range for each mm,
 * whose index is its family
 */
struct library {
	struct vm *vm;
	struct rmap *map;
	const struct chaining *chaining;
	struct rmap_object *members;
	struct rmap_tier chains;
	struct rmap_tier metadata;
};

static inline struct library *library_of(const struct vm *vm)
{
	return vm->map;
}

/* Ptes [first, end) of @mm, or NULL; @count: WALK_UNKNOWN, or how many are there at rest. Return: whether to go on */
bool library_look(struct looking *looking, struct mm *mm, uint64_t first, uint64_t end, uint32_t count);

int library_create(struct vm *vm, const struct chaining *chaining);
int library_destroy(struct vm *vm);

/* The mapping of a pte comes, goes, becomes another. Holds: the pte lock */
void library_add(struct vm_thread *thread, struct page *page, struct rmap_mapping mapping);
void library_duplicate(struct vm_thread *thread, struct page *page, struct rmap_mapping mapping);
void library_remove(struct vm_thread *thread, struct page *page, struct rmap_mapping mapping);
void library_move(struct vm_thread *thread, struct page *page, struct rmap_mapping from, struct rmap_mapping to);

struct rmap_target library_target(const struct vm *vm, const struct page *page);
void library_enter(struct vm_thread *thread);
void library_leave(struct vm_thread *thread);
const char *library_check(struct vm_thread *thread, struct page *page, const struct mappings *found);
const char *library_check_object(struct vm *vm, const struct object *object, uint64_t vmas);

/* Backend operations that need no more than that. */
int library_thread_begin(struct vm_thread *thread);
void library_thread_end(struct vm_thread *thread);
int library_object_begin(struct vm_thread *thread, struct vm *vm, struct object *object);
void library_object_end(struct vm *vm, struct object *object);
int library_fill(struct vm_thread *thread, unsigned adds);
uint64_t library_sequence(const struct object *object);
uint32_t library_mapcount(struct vm_thread *thread, const struct page *page);
uint32_t library_locked(struct vm_thread *thread, const struct page *page);
void library_walk(struct vm_thread *thread, struct page *page, struct walk *walk);
int library_unmap(struct pass *pass, struct page *page, struct rmap_unmap_report *report);
int library_truncate(struct pass *pass, const struct cut *cut, struct rmap_unmap_report *report);
int library_attach(struct vm_thread *thread, struct vma *vma, struct vma *like);
void library_detach(struct vm_thread *thread, struct vma *vma);
int library_split(struct vm_thread *thread, struct vma *vma, struct vma *high);
int library_resize(struct vm_thread *thread, struct vma *vma, uint64_t end);
int library_tag(struct vm_thread *thread, struct vma *vma);

/* What all three have in their table of operations. */
#define LIBRARY_OPERATIONS											       \
	.parts = { "slabs of chains", "ranges, objects, reserves" }, .thread_begin = library_thread_begin,	       \
	.thread_end = library_thread_end, .object_begin = library_object_begin,					       \
	.object_end = library_object_end, .fill = library_fill, .enter = library_enter, .leave = library_leave,	       \
	.sequence = library_sequence, .mapcount = library_mapcount, .locked = library_locked,			       \
	.walk = library_walk, .unmap = library_unmap, .truncate = library_truncate, .attach = library_attach,	       \
	.detach = library_detach, .split = library_split, .resize = library_resize, .tag = library_tag

#define LIBRARY_TRAITS (VM_BACKEND_WALKS | VM_BACKEND_MIGRATES | VM_BACKEND_TELLS_LOCKS | VM_BACKEND_CHOICES)

#endif
