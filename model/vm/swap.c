/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * swap.c - the slots of swap
 *
 * A slot is owned by the ptes that name it. Each mm reads it into a page of its own: after a fork they would have to be
 * copied at the first write anyway.
 */
#include "system.h"

/* Its contents come later; it has one reference. Holds: the page lock */
uint32_t slot_alloc(struct vm_thread *thread, struct page *page, uint32_t i)
{
	struct vm *vm = thread->vm;
	uint32_t number;

	vm_lock(&thread->held, &vm->swap_lock);
	number = vm->slots_free;
	if (number < vm->options.swap_slots) {
		struct slot *slot = &vm->slots[number];

		vm->slots_free = slot->next_free;
		slot->refs = 1;
		slot->source = page;
		slot->object = page->object;
		slot->index = page->index + i;
	}
	vm_unlock(&thread->held, &vm->swap_lock);
	return number < vm->options.swap_slots ? number : SLOT_NONE;
}

void slot_fill(struct vm_thread *thread, uint32_t slot, const struct page *page, uint32_t i)
{
	words_copy(thread->vm->slots[slot].words, page[i].words, page_words(thread->vm));
	vm_lock(&thread->held, &thread->vm->swap_lock);
	thread->vm->slots[slot].source = NULL;
	vm_unlock(&thread->held, &thread->vm->swap_lock);
}

struct page *slot_source(struct vm_thread *thread, uint32_t slot)
{
	struct page *page;

	vm_lock(&thread->held, &thread->vm->swap_lock);
	page = thread->vm->slots[slot].source;
	vm_unlock(&thread->held, &thread->vm->swap_lock);
	return page;
}

void slot_get(struct vm_thread *thread, uint32_t slot)
{
	vm_lock(&thread->held, &thread->vm->swap_lock);
	thread->vm->slots[slot].refs++;
	vm_unlock(&thread->held, &thread->vm->swap_lock);
}

void slot_put(struct vm_thread *thread, uint32_t number)
{
	struct vm *vm = thread->vm;
	struct slot *slot = &vm->slots[number];

	vm_lock(&thread->held, &vm->swap_lock);
	vm_must(slot->refs > 0);
	if (--slot->refs == 0) {
		slot->next_free = vm->slots_free;
		vm->slots_free = number;
	}
	vm_unlock(&thread->held, &vm->swap_lock);
}
