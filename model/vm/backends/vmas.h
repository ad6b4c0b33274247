/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vmas.h - what vmas a file has, as kernels keep them: a list of 2003, or a tree by interval of today; and their lock
 */
#ifndef VM_BACKENDS_VMAS_H
#define VM_BACKENDS_VMAS_H

#include "../backend.h"

/*
 * A file's. Holds for all below but the functions that take it: @lock, which start, end and offset of its vmas are
 * changed under.
 * @tree: by interval; otherwise it is a list. @shared: so is the lock, by who only looks
 */
struct vmas {
	struct vm_sleeping_lock lock;
	LIST_HEAD(, vma) list;
	struct interval *root;
	bool tree;
	bool shared;
	uint64_t n;
};

/* @part: of the ledger */
int vmas_begin(struct vm *vm, struct object *object, unsigned part, bool tree, bool shared);
void vmas_end(struct vm *vm, struct object *object, unsigned part);

/* The backend operations, for vmas of files; others are changed and not kept. They take the lock, exclusively. */
int vmas_attach(struct vm_thread *thread, struct vma *vma, unsigned part);
void vmas_detach(struct vm_thread *thread, struct vma *vma, unsigned part);
int vmas_split(struct vm_thread *thread, struct vma *vma, struct vma *high, unsigned part);
int vmas_resize(struct vm_thread *thread, struct vma *vma, uint64_t end);
const char *vmas_check(const struct object *object, uint64_t n);

/*
 * Where what maps the object from @offset on at [from, to) maps page indexes [first, last], if it is linear: [*start,
 * *end)
 */
bool linear_window(const struct vm *vm, uint64_t from, uint64_t to, uint64_t offset, uint64_t first, uint64_t last,
		   uint64_t *start, uint64_t *end);
bool vma_window(const struct vm *vm, const struct vma *vma, uint64_t first, uint64_t last, uint64_t *start,
		uint64_t *end);

/* Return: whether to go on */
typedef bool (*vmas_visit)(struct vma *vma, void *arg);
/* All that the list has, or those of the tree that have an index of first .. last. */
void vmas_each(struct vmas *vmas, uint64_t first, uint64_t last, vmas_visit visit, void *arg);

/* A passes_bulk, which takes the lock. */
void vmas_bulk(struct pass *pass, const struct cut *cut, uint64_t *cleared);

/*
 * One walk over the linear addresses of @page. @tries: pte locks. The walk may end when as many ptes were found as
 * *@enough
 */
void vmas_walk(struct vm_thread *thread, struct page *page, struct vmas *vmas, bool tries, const uint32_t *enough,
	       struct walk *walk);

#endif
