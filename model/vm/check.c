/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * check.c - every equation of the VM, checked when nothing runs
 *
 * Three views of the same mappings are compared: the page tables (each pte is looked at, in vmas and outside), the
 * counts of each page, and what a walk over each page names. A pte that a walk comes by is marked as seen; at the end
 * each present one must be, but for those that the walk said it could not name, and each visit must have found as many
 * ptes as it says. What else holds of the reverse map its backend checks.
 */
#include "backend.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* What the page tables say about one page. */
struct found {
	struct mappings mappings;
	uint32_t writable;
	const struct mm *mm; /* which maps it; @others: so do others */
	bool others;
	bool unnamed; /* a walk names none of its locked ones, or, without walks, none at all */
};

struct check {
	struct vm_thread *thread;
	struct vm *vm;
	struct found *pages;
	uint32_t *slots;
	uint64_t *vmas; /* of each file, then of each family; then pages of each */
	uint64_t violations;
	struct mm *mm;
	uint32_t users; /* mms of the family that is being checked */
};

static void violated(struct check *check, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void violated(struct check *check, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fprintf(stderr, "vm_check: ");
	vfprintf(stderr, format, arguments);
	fprintf(stderr, "\n");
	va_end(arguments);
	check->violations++;
}

#define equation(check, holds, ...) ((holds) ? (void)0 : violated(check, __VA_ARGS__))

static uint32_t page_number(const struct check *check, const struct page *page)
{
	return (uint32_t)(page - check->vm->pages);
}

static uint64_t total(const struct mappings *mappings)
{
	return (uint64_t)mappings->linear + mappings->nonlinear + mappings->locked;
}

/* --- page tables ------------------------------------------------------------------------------ */

static void check_words(struct check *check, const struct page *page, const struct vma *vma, uint64_t vpn, uint64_t pte)
{
	struct vm *vm = check->vm;
	const struct page *frame = pte_frame(vm, pte);
	uint32_t piece = piece_of(vm, pte_value(pte));
	uint64_t want = word_of(page->object, page, pte_offset(vm, pte));

	equation(check, page->object == vma->object, "mm %u vpn %#" PRIx64 ": a page of another object", check->mm->id,
		 vpn);

	for (uint32_t i = 0; i < VM_WORDS; i++) {
		uint64_t word = atomic_load_explicit(&frame->words[piece * VM_WORDS + i], memory_order_relaxed);

		equation(check, (word & ~(uint64_t)VM_TAG_MAX) == want,
			 "mm %u vpn %#" PRIx64 ": word %#" PRIx64 ", not %#" PRIx64, check->mm->id, vpn, word, want);
	}
}

/* A page of a file that is mapped is in the file, or was left there, or dropped mapped. */
static void check_mapped_file(struct check *check, const struct page *page, uint64_t vpn, uint64_t index)
{
	struct vm *vm = check->vm;
	const struct file *file = file_of(page->object);
	bool failable = vm->options.semantics == RMAP_FAILABLE;
	bool orphan = page_has(page, PAGE_ORPHAN);
	bool left = page_has(page, PAGE_LEFT);

	equation(check, page_has(page, PAGE_CACHED) || orphan || page_has(page, PAGE_MISSES),
		 "mm %u vpn %#" PRIx64 ": maps page %" PRIu64 " of file %u, which dropped it", check->mm->id, vpn,
		 index, page->object->id);
	equation(check, !orphan || !page_has(page, PAGE_CACHED), "an orphan is in its file");
	equation(check,
		 !orphan ||
			 (failable && (vm->options.strategy == RMAP_TOLERATE || backend_has(vm, VM_BACKEND_ORPHANS))),
		 "an orphan is not tolerated");
	equation(check, !page_has(page, PAGE_CACHED) || left || extent_holds(&file->extent, index),
		 "mm %u vpn %#" PRIx64 ": maps page %" PRIu64 " past the end of file %u", check->mm->id, vpn, index,
		 page->object->id);
}

/* Only a private mapping has copies, and only of what the file has. */
static void check_copy(struct check *check, const struct vma *vma, uint64_t vpn, uint64_t pte)
{
	uint64_t index;

	if (!pte_copy_index(check->vm, pte, &index))
		return;
	equation(check, vma->private, "mm %u vpn %#" PRIx64 ": a copy in a shared mapping", check->mm->id, vpn);
	equation(check, extent_holds_copy(&file_of(vma->object)->extent, index),
		 "mm %u vpn %#" PRIx64 ": a copy of page %" PRIu64 " past the end of file %u", check->mm->id, vpn,
		 index, vma->object->id);
}

static void check_present(struct check *check, const struct vma *vma, uint64_t vpn, uint64_t pte)
{
	struct vm *vm = check->vm;
	const struct page *page = pte_page(vm, pte);
	struct found *found = &check->pages[page_number(check, page)];
	bool linear = pte_offset(vm, pte) == vma_offset(vma, vpn);

	equation(check, linear == !(pte & PTE_NONLINEAR), "mm %u vpn %#" PRIx64 ": nonlinear bit", check->mm->id, vpn);
	equation(check, linear || vma->nonlinear, "mm %u vpn %#" PRIx64 ": vma not tagged",
		 check->mm->id, vpn);
	equation(check, vma->locked == ((pte & PTE_LOCKED) != 0), "mm %u vpn %#" PRIx64 ": locked bit", check->mm->id,
		 vpn);
	equation(check, vma->writable || !(pte & PTE_WRITE), "mm %u vpn %#" PRIx64 ": write bit", check->mm->id, vpn);
	if (pte & PTE_LOCKED)
		found->mappings.locked++;
	else if (pte & PTE_NONLINEAR)
		found->mappings.nonlinear++;
	else
		found->mappings.linear++;
	found->writable += (pte & PTE_WRITE) != 0;
	found->others |= found->mm && found->mm != check->mm;
	found->mm = check->mm;
	check_words(check, page, vma, vpn, pte);
	if (page_is_file(page))
		check_mapped_file(check, page, vpn, pte_frame(vm, pte)->index);
	equation(check, !vma->private || !page_is_file(page) || !(pte & PTE_WRITE),
		 "mm %u vpn %#" PRIx64 ": a private mapping writes the file", check->mm->id, vpn);
	check_copy(check, vma, vpn, pte);
}

static void check_pte(struct check *check, uint64_t vpn, uint64_t pte)
{
	struct vm *vm = check->vm;
	const struct vma *vma = vma_any(check->mm, vpn, vpn + 1);

	if (!vma) {
		violated(check, "mm %u vpn %#" PRIx64 ": a pte outside all vmas", check->mm->id, vpn);
	} else if (pte & PTE_PRESENT) {
		check_present(check, vma, vpn, pte);
	} else if (pte & PTE_SWAP) {
		uint32_t number = pte_slot(vm, pte);
		const struct slot *slot = &vm->slots[number];
		uint64_t offset = slot->index << vm->options.cluster_bits | piece_of(vm, pte_value(pte));

		check->slots[number]++;
		check_copy(check, vma, vpn, pte);
		equation(check, slot->object == vma->object && offset == vma_offset(vma, vpn),
			 "mm %u vpn %#" PRIx64 ": slot %u holds something else", check->mm->id, vpn, number);
	} else {
		equation(check, !(pte & PTE_MOVING), "mm %u vpn %#" PRIx64 ": a moving pte", check->mm->id, vpn);
		equation(check, vma->object->is_file && vma->nonlinear,
			 "mm %u vpn %#" PRIx64 ": a file pte, but no nonlinear vma", check->mm->id, vpn);
	}
}

static void check_leaf(struct leaf *leaf, uint64_t first, void *arg)
{
	struct check *check = arg;

	for (uint64_t i = 0; i < leaf_size(check->vm); i++) {
		uint64_t pte = leaf_pte_at(check->vm, leaf, i);

		equation(check, !leaf->entry || !leaf->ptes[i], "mm %u vpn %#" PRIx64 ": a pte beside an entry",
			 check->mm->id, first + i);
		if (pte)
			check_pte(check, first + i, pte);
	}
}

static void check_mm(struct check *check, struct mm *mm)
{
	struct vm *vm = check->vm;
	const struct vma *vma;

	equation(check, atomic_load(&mm->refs) == (mm->dead ? 0 : 1), "mm %u has %u references", mm->id,
		 atomic_load(&mm->refs));
	equation(check, atomic_load(&mm->owed) == 0, "mm %u is owed %u flushes", mm->id, atomic_load(&mm->owed));
	equation(check, !mm->dead || !atomic_load(&mm->top), "mm %u is dead and has tables", mm->id);
	if (mm->dead)
		return;
	check->mm = mm;
	leaves_each(vm, mm, check_leaf, check);
	for (uint64_t next = 0; (vma = vma_first(mm, next, vpn_end(vm))); next = vma->end)
		check->vmas[vma->object->id]++;
}

/* --- walks ------------------------------------------------------------------------------------ */

/* @seen: of one visit; @check, @page: for what is said of it */
struct seeing {
	uint32_t seen;
	struct check *check;
	const struct page *page;
};

static void see_pte(struct vm_thread *thread, struct leaf *leaf, uint64_t vpn, void *arg)
{
	uint64_t *pte = leaf_bits(thread->vm, leaf, vpn);
	struct seeing *seeing = arg;

	if ((*pte & PTE_NONLINEAR) && !(*pte & PTE_LOCKED))
		seeing->seen++;
	*pte |= PTE_SEEN;
}

static void check_visit(struct walk *walk, uint32_t expected)
{
	struct seeing *seeing = walk->arg;

	equation(seeing->check, expected == WALK_UNKNOWN || seeing->seen == expected,
		 "frame %u: a visit of %u mappings, but there are %u ptes",
		 page_number(seeing->check, seeing->page), expected, seeing->seen);
	seeing->seen = 0;
}

static void check_walk(struct check *check, struct page *page)
{
	struct found *found = &check->pages[page_number(check, page)];
	struct seeing seeing = { .check = check, .page = page };
	struct walk walk = { .action = see_pte, .arg = &seeing, .visited = check_visit, .entries = true };

	page_walk(check->thread, page, &walk);
	found->unnamed = walk.unnamed > 0;
	equation(check, walk.refused == 0, "frame %u: a walk was refused a lock", page_number(check, page));
	equation(check,
		 walk.unnamed == 0 || walk.unnamed == found->mappings.locked ||
			 !backend_has(check->vm, VM_BACKEND_WALKS),
		 "frame %u: a walk names all but %u mappings, of which %u are locked", page_number(check, page),
		 walk.unnamed, found->mappings.locked);
}

/* It is present, and the walk over its page has said that it did not see all. */
static bool may_miss(const struct check *check, uint64_t pte)
{
	const struct page *page = pte_page(check->vm, pte);

	if (page_has(page, PAGE_MISSES))
		return true;
	return check->pages[page_number(check, page)].unnamed &&
	       ((pte & PTE_LOCKED) || !backend_has(check->vm, VM_BACKEND_WALKS));
}

static void check_seen(struct leaf *leaf, uint64_t first, void *arg)
{
	struct check *check = arg;
	for (uint64_t i = 0; i < leaf_size(check->vm); i += leaf->entry ? leaf_size(check->vm) : 1) {
		uint64_t *pte = leaf_bits(check->vm, leaf, i);
		equation(check, !(*pte & PTE_PRESENT) || (*pte & PTE_SEEN) || may_miss(check, *pte),
			 "mm %u vpn %#" PRIx64 ": no walk found this pte", check->mm->id, first + i);
		*pte &= ~PTE_SEEN;
	}
}

/* --- pages ------------------------------------------------------------------------------------ */

static void check_counts(struct check *check, struct page *page)
{
	const struct vm_backend *backend = check->vm->backend;
	const struct found *found = &check->pages[page_number(check, page)];
	uint32_t mapcount = page_mapcount(check->thread, page);
	const char *wrong = backend->check ? backend->check(check->thread, page, &found->mappings) : NULL;

	equation(check,
		 mapcount == total(&found->mappings) ||
			 (page_has(page, PAGE_MISSES) && mapcount < total(&found->mappings)),
		 "frame %u: mapcount %u, and %" PRIu64 " ptes",
		 page_number(check, page), mapcount, total(&found->mappings));
	equation(check, !wrong, "frame %u, which %u linear, %u nonlinear, %u locked ptes map: %s",
		 page_number(check, page), found->mappings.linear, found->mappings.nonlinear, found->mappings.locked,
		 wrong);
}

static bool on_list(const struct page_list *list, const struct page *page)
{
	const struct page *other;

	TAILQ_FOREACH (other, list, lru)
		if (other == page)
			return true;
	return false;
}

/* All that it has are its own, and none is a page or free. */
static void check_frames(struct check *check, const struct page *page)
{
	equation(check, page->order == 0 || !page_has(page, PAGE_COPY), "frame %u: a large private copy",
		 page_number(check, page));
	for (uint32_t i = 0; i < page_frames(page); i++)
		equation(check,
			 page[i].head == page && page[i].index == page->index + i && !page[i].block &&
				 (i == 0 || atomic_load(&page[i].refs) == 0),
			 "frame %u of page %u is another's", i, page_number(check, page));
}

static void check_page(struct check *check, struct page *page)
{
	struct vm *vm = check->vm;
	uint32_t number = page_number(check, page);
	const struct found *found = &check->pages[number];
	uint32_t refs = atomic_load(&page->refs);
	bool cached = refs && page_has(page, PAGE_CACHED);
	bool locked = found->mappings.locked && backend_has(vm, VM_BACKEND_TELLS_LOCKS);

	check_counts(check, page);
	equation(check, refs == total(&found->mappings) + cached, "frame %u: %u references, %" PRIu64 " mappings",
		 number, refs, total(&found->mappings));
	equation(check, page->mlocks == locked, "frame %u: mlocks %d", number, page->mlocks);
	equation(check, (page->state != LRU_NONE) == (refs > 0 && !locked),
		 "frame %u: %u references, %u locked mappings, and list %d", number, refs, found->mappings.locked,
		 page->state);
	equation(check, page->state != LRU_ISOLATED, "frame %u is still isolated", number);
	equation(check, on_list(&vm->active, page) == (page->state == LRU_ACTIVE), "frame %u: active list", number);
	equation(check, on_list(&vm->inactive, page) == (page->state == LRU_INACTIVE), "frame %u: inactive list",
		 number);
	if (refs == 0)
		return;
	check_frames(check, page);
	if (!page_is_file(page))
		equation(check, found->writable == 0 ||
				(!found->others && total(&found->mappings) <= pieces(vm) * page_frames(page)),
			 "frame %u: written by one, and mapped by others", number);
	if (!page->object->is_file)
		check->vmas[vm->options.files + vm->families_n + page->object->id]++;
	check_walk(check, page);
}

/* --- files, swap, families -------------------------------------------------------------------- */

static void check_file(struct check *check, struct file *file)
{
	struct vm *vm = check->vm;

	equation(check, file->extent.hole_first > file->extent.hole_last, "file %u has a hole", file->object.id);
	for (uint64_t i = 0; i < vm->options.file_pages; i++) {
		const struct page *page = file->cache[i];
		uint64_t word = atomic_load_explicit(&file->disk[i * page_words(vm)], memory_order_relaxed);

		equation(check,
			 !page || (page->object == &file->object && page_has_index(page, i) &&
				   page_has(page, PAGE_CACHED) && atomic_load(&page->refs) > 0),
			 "file %u: page %" PRIu64 " is another", file->object.id, i);
		equation(check, !page || i < file->extent.size || page_has(page, PAGE_LEFT),
			 "file %u: page %" PRIu64 " is past the end", file->object.id, i);
		equation(check, !page || !page_has(page, PAGE_LEFT) || vm->options.semantics == RMAP_FAILABLE,
			 "file %u: a reliable truncate left page %" PRIu64, file->object.id, i);
		equation(check,
			 i < file->extent.size || page ||
				 word == word_fresh(&file->object, i << vm->options.cluster_bits),
			 "file %u: the disk is not fresh past the end", file->object.id);
	}
}

static void check_object(struct check *check, const struct object *object)
{
	const struct vm_backend *backend = check->vm->backend;
	const char *wrong = NULL;

	if (backend->check_object)
		wrong = backend->check_object(check->vm, object, check->vmas[object->id]);
	equation(check, !wrong, "object %u: %s", object->id, wrong);
}

static void check_family(struct check *check, const struct object *family)
{
	struct vm *vm = check->vm;
	uint64_t users = check->vmas[vm->options.files + vm->families_n + family->id];

	for (uint32_t i = 0; i < vm->options.mms; i++)
		users += !vm->mms[i].dead && vm->mms[i].family == family;
	equation(check, users == atomic_load(&family->users), "family %u: %u users, not %" PRIu64, family->id,
		 atomic_load(&family->users), users);
	check_object(check, family);
}

/* What a processor would find is what it has kept, or it has kept less. */
static void check_translation(struct check *check, const struct translation *translation)
{
	struct vm *vm = check->vm;
	struct mm *mm = &vm->mms[translation->mm->id];
	struct leaf *leaf = mm->dead ? NULL : table_find(vm, mm, translation->vpn);
	uint64_t pte = leaf ? leaf_pte_at(vm, leaf, translation->vpn) : 0;

	equation(check,
		 (pte & PTE_PRESENT) && pte_value(pte) == pte_value(translation->pte) &&
			 !(translation->pte & ~pte & (PTE_WRITE | PTE_DIRTY)),
		 "mm %u vpn %#" PRIx64 ": a translation of pte %#" PRIx64 ", which is %#" PRIx64, mm->id,
		 translation->vpn, translation->pte, pte);
}

static void check_threads(struct check *check)
{
	const struct vm_thread *thread;

	LIST_FOREACH (thread, &check->vm->threads, link) {
		equation(check, thread->owed_n == 0, "a thread owes %u flushes", thread->owed_n);
		for (unsigned i = 0; i < TRANSLATIONS; i++)
			if (thread->translations[i].pte)
				check_translation(check, &thread->translations[i]);
	}
}

/* Return: how many frames it has. */
static uint32_t check_block(struct check *check, const struct page *page)
{
	uint32_t n = page_words(check->vm) * page_frames(page), of_nobody = 0;

	for (uint32_t i = 0; i < n; i++)
		of_nobody += atomic_load_explicit(&page->words[i], memory_order_relaxed) == WORD_OF_NOBODY;
	equation(check, of_nobody == n, "%u free frames from %u on have words of somebody's", page_frames(page),
		 page_number(check, page));
	return page_frames(page);
}

static void check_free(struct check *check)
{
	struct vm *vm = check->vm;
	uint32_t used = 0, free = 0, slots = 0;

	for (uint32_t i = 0; i < vm->options.frames; i++) {
		used += atomic_load(&vm->pages[i].refs) > 0 ? page_frames(&vm->pages[i]) : 0;
		free += vm->pages[i].block ? check_block(check, &vm->pages[i]) : 0;
	}
	equation(check, used + free == vm->options.frames && free == frames_free(vm),
		 "%u frames used, %u free, or %u, of %u", used, free, frames_free(vm), vm->options.frames);
	for (uint32_t i = 0; i < vm->options.swap_slots; i++) {
		equation(check, vm->slots[i].refs == check->slots[i], "slot %u: %u references, %u ptes", i,
			 vm->slots[i].refs, check->slots[i]);
		equation(check, vm->slots[i].refs == 0 || !vm->slots[i].source, "slot %u has no contents yet", i);
		slots += vm->slots[i].refs > 0;
	}
	for (uint32_t i = vm->slots_free; i < vm->options.swap_slots; i = vm->slots[i].next_free)
		slots++;
	equation(check, slots == vm->options.swap_slots, "slots leaked");
}

static void check_all(struct check *check)
{
	struct vm *vm = check->vm;

	for (uint32_t i = 0; i < vm->options.mms; i++)
		check_mm(check, &vm->mms[i]);
	for (uint32_t i = 0; i < vm->options.frames; i++)
		check_page(check, &vm->pages[i]);
	for (uint32_t i = 0; i < vm->options.mms; i++) {
		check->mm = &vm->mms[i];
		leaves_each(vm, check->mm, check_seen, check);
	}
	for (uint32_t i = 0; i < vm->options.files; i++) {
		check_file(check, &vm->files[i]);
		check_object(check, &vm->files[i].object);
	}
	for (uint32_t i = 0; i < vm->families_n; i++)
		check_family(check, &vm->families[i]);
	check_threads(check);
	check_free(check);
}

uint64_t vm_check(struct vm_thread *thread)
{
	struct vm *vm = thread->vm;
	struct check check = { .thread = thread, .vm = vm };
	uint64_t objects = (uint64_t)vm->options.files + vm->families_n;

	check.pages = calloc(vm->options.frames, sizeof(*check.pages));
	check.slots = calloc(vm->options.swap_slots, sizeof(*check.slots));
	check.vmas = calloc(2 * objects, sizeof(*check.vmas));
	if (check.pages && check.slots && check.vmas)
		check_all(&check);
	else
		violated(&check, "no memory for the check");
	free(check.pages);
	free(check.slots);
	free(check.vmas);
	return check.violations;
}
