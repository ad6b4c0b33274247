/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * frame.c - frames: their references, their contents, and the LRU lists
 *
 * A frame is free when nobody has a reference. A mapping has one, the page cache has one, and so has each operation
 * that looks at the page without holding one of its pte locks. Who lets the last one go frees the page; so an orphan
 * goes with its last mapping, wherever that is removed.
 *
 * Contents are atomic words without any order, as memory is to a CPU: what orders them is the lock under which a pte
 * that maps them is set, used or cleared. Those of a free frame belong to nobody.
 *
 * The LRU lists hold each page that reclaim may take. A backend may tell when the first mapping is locked and when the
 * last one no longer is, each to one thread exactly; the pages' count of these two is right in whichever order the
 * threads come to note them (system.h).
 */
#include "backend.h"

#include <stdio.h>
#include <stdlib.h>

void vm_bug(const char *file, int line, const char *what)
{
	fprintf(stderr, "vm: %s:%d: %s\n", file, line, what);
	abort();
}

/* --- references ------------------------------------------------------------------------------- */

/* On @node; @or_behind: or, if it has none, far ones. */
static struct page *take(struct vm_thread *thread, unsigned order, enum node node, bool or_behind)
{
	struct vm *vm = thread->vm;
	struct page *page;

	vm_lock(&thread->held, &vm->frame_lock);
	page = frames_take(vm, node, order);
	if (!page && or_behind)
		page = frames_take(vm, NODE_FAR, order);
	vm_unlock(&thread->held, &vm->frame_lock);
	return page;
}

static struct page *page_begin(struct vm_thread *thread, struct page *page, struct object *object, uint64_t index,
			       unsigned order)
{
	page->object = object;
	page->anchor = NULL;
	page->order = order;
	for (uint32_t i = 0; i < page_frames(page); i++) {
		page[i].head = page;
		page[i].index = index + i;
		words_fresh(thread->vm, page[i].words, object, index + i);
	}
	atomic_store_explicit(&page->flags, 0, memory_order_relaxed);
	if (!object->is_file)
		atomic_fetch_add(&object->users, 1);
	atomic_store_explicit(&page->refs, 1, memory_order_release);
	return page;
}

struct page *page_alloc_on(struct vm_thread *thread, struct object *object, uint64_t index, unsigned order,
			   enum node node)
{
	struct page *page = take(thread, order, node, false);

	return page ? page_begin(thread, page, object, index, order) : NULL;
}

struct page *page_alloc_large(struct vm_thread *thread, struct object *object, uint64_t index, unsigned order)
{
	struct page *page = take(thread, order, NODE_NEAR, true);

	return page ? page_begin(thread, page, object, index, order) : NULL;
}

/* Reclaims if it has to, so no lock below the mm lock may be held. NULL: all is in use, mlocked, or swap is full. */
struct page *page_alloc(struct vm_thread *thread, struct object *object, uint64_t index)
{
	struct page *page;

	while (!(page = take(thread, 0, NODE_NEAR, true))) {
		if (thread->vm->reclaim(thread, 8) == 0) {
			count(thread, FIGURE_OUT_OF_FRAMES, 1);
			return NULL;
		}
	}
	return page_begin(thread, page, object, index, 0);
}

void page_get_many(struct page *page, uint32_t n)
{
	atomic_fetch_add(&page->refs, n);
}

void page_get(struct page *page)
{
	page_get_many(page, 1);
}

bool page_get_unless_free(struct page *page)
{
	uint32_t refs = atomic_load(&page->refs);

	while (refs > 0)
		if (atomic_compare_exchange_weak(&page->refs, &refs, refs + 1))
			return true;
	return false;
}

bool page_freeze(struct page *page, uint32_t refs)
{
	return atomic_compare_exchange_strong(&page->refs, &refs, 0);
}

void page_put_many(struct vm_thread *thread, struct page *page, uint32_t n)
{
	uint32_t refs = atomic_fetch_sub(&page->refs, n);

	vm_must(refs >= n);
	if (refs == n)
		page_free(thread, page);
}

void page_put(struct vm_thread *thread, struct page *page)
{
	page_put_many(thread, page, 1);
}

void page_free(struct vm_thread *thread, struct page *page)
{
	struct vm *vm = thread->vm;

	vm_must(page_mapcount(thread, page) == 0);
	vm_must(!page_has(page, PAGE_CACHED));
	vm_lock(&thread->held, &vm->lru_lock);
	vm_must(page->mlocks == 0);
	if (page->state == LRU_ACTIVE || page->state == LRU_INACTIVE)
		TAILQ_REMOVE(page->state == LRU_ACTIVE ? &vm->active : &vm->inactive, page, lru);
	page->state = LRU_NONE;
	vm_unlock(&thread->held, &vm->lru_lock);
	if (!page->object->is_file)
		atomic_fetch_sub(&page->object->users, 1);
	words_of_nobody(page->words, page_words(vm) * page_frames(page));
	vm_lock(&thread->held, &vm->frame_lock);
	frames_give(vm, page, page->order);
	vm_unlock(&thread->held, &vm->frame_lock);
}

bool page_has(const struct page *page, enum page_flag flag)
{
	return atomic_load(&page->flags) & flag;
}

void page_set(struct page *page, enum page_flag flag)
{
	atomic_fetch_or(&page->flags, flag);
}

bool page_clear(struct page *page, enum page_flag flag)
{
	return atomic_fetch_and(&page->flags, ~(uint32_t)flag) & flag;
}

uint32_t page_mapcount(struct vm_thread *thread, const struct page *page)
{
	return thread->vm->backend->mapcount(thread, page);
}

/* --- contents --------------------------------------------------------------------------------- */

uint64_t word_fresh(const struct object *object, uint64_t offset)
{
	return (uint64_t)object->id << 52 | offset << 16;
}

bool page_is_file(const struct page *page)
{
	return page->object->is_file && !page_has(page, PAGE_COPY);
}

uint64_t word_of(const struct object *object, const struct page *page, uint64_t offset)
{
	const struct object copies = { .id = VM_COPY_OF(object->id) };

	return word_fresh(page_has(page, PAGE_COPY) ? &copies : object, offset);
}

/* A copy says that it is one, and is of one frame. */
void words_copy_private(const struct vm *vm, struct page *copy, const struct page *frame)
{
	for (uint32_t i = 0; i < page_words(vm); i++) {
		uint64_t word = atomic_load_explicit(&frame->words[i], memory_order_relaxed);
		uint64_t offset = (copy->index << vm->options.cluster_bits) + i / VM_WORDS;

		atomic_store_explicit(&copy->words[i], word_of(copy->object, copy, offset) | vm_word_tag(word),
				      memory_order_relaxed);
	}
}

void words_fresh(const struct vm *vm, _Atomic uint64_t *words, const struct object *object, uint64_t index)
{
	for (uint32_t i = 0; i < page_words(vm); i++)
		atomic_store_explicit(&words[i], word_fresh(object, (index << vm->options.cluster_bits) + i / VM_WORDS),
				      memory_order_relaxed);
}

void words_of_nobody(_Atomic uint64_t *words, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		atomic_store_explicit(&words[i], WORD_OF_NOBODY, memory_order_relaxed);
}

void words_copy(_Atomic uint64_t *to, const _Atomic uint64_t *from, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		atomic_store_explicit(&to[i], atomic_load_explicit(&from[i], memory_order_relaxed),
				      memory_order_relaxed);
}

/* --- LRU lists -------------------------------------------------------------------------------- */

static void list_add(struct vm *vm, struct page *page, bool active)
{
	page->state = active ? LRU_ACTIVE : LRU_INACTIVE;
	TAILQ_INSERT_HEAD(active ? &vm->active : &vm->inactive, page, lru);
}

/* A page begins its life; it may be mlocked already. */
void lru_add(struct vm_thread *thread, struct page *page)
{
	vm_lock(&thread->held, &thread->vm->lru_lock);
	if (page->state == LRU_NONE && page->mlocks <= 0)
		list_add(thread->vm, page, false);
	vm_unlock(&thread->held, &thread->vm->lru_lock);
}

void lru_note(struct vm_thread *thread, struct page *page, int events)
{
	struct vm *vm = thread->vm;

	if (!(events & (RMAP_FIRST_LOCK | RMAP_LAST_LOCK)))
		return;
	vm_lock(&thread->held, &vm->lru_lock);
	page->mlocks += ((events & RMAP_FIRST_LOCK) != 0) - ((events & RMAP_LAST_LOCK) != 0);
	if (page->mlocks > 0 && (page->state == LRU_ACTIVE || page->state == LRU_INACTIVE)) {
		TAILQ_REMOVE(page->state == LRU_ACTIVE ? &vm->active : &vm->inactive, page, lru);
		page->state = LRU_NONE;
	} else if (page->mlocks <= 0 && page->state == LRU_NONE) {
		list_add(vm, page, true);
	}
	vm_unlock(&thread->held, &vm->lru_lock);
}

struct page *lru_isolate(struct vm_thread *thread, bool active)
{
	struct vm *vm = thread->vm;
	struct page_list *list = active ? &vm->active : &vm->inactive;
	struct page *page;

	vm_lock(&thread->held, &vm->lru_lock);
	TAILQ_FOREACH_REVERSE (page, list, page_list, lru) {
		if (!page_get_unless_free(page))
			continue;
		TAILQ_REMOVE(list, page, lru);
		page->state = LRU_ISOLATED;
		break;
	}
	vm_unlock(&thread->held, &vm->lru_lock);
	return page;
}

/*
 * Nobody else has put it on a list since, or could isolate it: only here it is seen whether it was mlocked meanwhile.
 */
void lru_put_back(struct vm_thread *thread, struct page *page, bool active)
{
	vm_lock(&thread->held, &thread->vm->lru_lock);
	vm_must(page->state == LRU_ISOLATED);
	if (page->mlocks > 0)
		page->state = LRU_NONE;
	else
		list_add(thread->vm, page, active);
	vm_unlock(&thread->held, &thread->vm->lru_lock);
}
