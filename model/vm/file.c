/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * file.c - files: page cache, disk, truncate and write-back
 *
 * The object lock is of the cache, the extent and the disk together. A page is read from the disk in the step that puts
 * it into the cache, and only if the file has all of it; a page leaves the cache in the step that writes it to the
 * disk. So disk and cache are never both in the wrong, and a page that is not in the extent does not enter the cache.
 *
 * A truncate first shrinks the extent, then has the backend unmap and drop what is there, by the functions of
 * unmap.c. A hole is taken out of the extent for that long, and faults that meet it wait for the resize lock.
 */
#include "backend.h"

#include <errno.h>

struct extent file_extent(struct vm_thread *thread, struct file *file)
{
	struct extent extent;

	vm_lock(&thread->held, &file->lock);
	extent = file->extent;
	vm_unlock(&thread->held, &file->lock);
	return extent;
}

static _Atomic uint64_t *disk_page(const struct vm *vm, struct file *file, uint64_t index)
{
	return &file->disk[index * page_words(vm)];
}

/* --- the page cache --------------------------------------------------------------------------- */

/* What the cache has at the indexes of @page. Holds: the object lock, as all up to the look-ups */
static void cache_set(struct file *file, const struct page *page, struct page *now)
{
	for (uint64_t i = page->index; i <= page_last(page); i++)
		file->cache[i] = now;
}

static void cache_insert(struct vm_thread *thread, struct file *file, struct page *page)
{
	words_copy(page->words, disk_page(thread->vm, file, page->index), page_words(thread->vm) * page_frames(page));
	page_get(page);
	page_set(page, PAGE_CACHED);
	cache_set(file, page, page);
	lru_add(thread, page);
}

/* Does the file have all of first .. last, and pages at none of these? */
static bool cache_fits(const struct file *file, uint64_t first, uint64_t last)
{
	for (uint64_t i = first; i <= last; i++)
		if (!extent_holds(&file->extent, i) || file->cache[i])
			return false;
	return true;
}

/* The largest page that fits at @index. */
static unsigned cache_room(const struct vm *vm, const struct file *file, uint64_t index)
{
	unsigned order = vm->options.folio_order;

	while (order > 0 && !cache_fits(file, index >> order << order, index | ((1u << order) - 1)))
		order--;
	return order;
}

enum lookup {
	LOOKUP_FOUND,
	LOOKUP_NONE,
	LOOKUP_END,
	LOOKUP_HOLE,
};

/*
 * @new: NULL, or what to insert if nothing is there, and it fits. *@out gets a reference. If there is none: *@room is
 * the order of what fits
 */
static enum lookup cache_lookup(struct vm_thread *thread, struct file *file, uint64_t index, struct page *new,
				struct page **out, unsigned *room)
{
	enum lookup result = LOOKUP_FOUND;

	vm_lock(&thread->held, &file->lock);
	if (index >= file->extent.size) {
		result = LOOKUP_END;
	} else if (extent_in_hole(&file->extent, index)) {
		result = LOOKUP_HOLE;
	} else {
		if (new && cache_fits(file, new->index, page_last(new)))
			cache_insert(thread, file, new);
		*out = file->cache[index];
		if (*out)
			page_get(*out);
		else
			result = LOOKUP_NONE;
		*room = *out ? 0 : cache_room(thread->vm, file, index);
	}
	vm_unlock(&thread->held, &file->lock);
	return result;
}

/* The largest that there are frames for, up to @order; a small one is worth a reclaim. */
static struct page *page_for(struct vm_thread *thread, struct file *file, uint64_t index, unsigned order)
{
	struct page *page = NULL;

	for (; order > 0 && !page; order--)
		page = page_alloc_large(thread, &file->object, index >> order << order, order);
	return page ? page : page_alloc(thread, &file->object, index);
}

int file_page(struct vm_thread *thread, struct file *file, uint64_t index, struct page **out)
{
	struct page *new = NULL;
	enum lookup result;
	unsigned room;

	while ((result = cache_lookup(thread, file, index, new, out, &room)) != LOOKUP_FOUND && result != LOOKUP_END) {
		if (result == LOOKUP_HOLE) {
			vm_lock_shared(&thread->held, &file->resize);
			vm_unlock_sleeping(&thread->held, &file->resize);
			continue;
		}
		if (new)
			page_put(thread, new); /* it no longer fits */
		new = page_for(thread, file, index, room);
		if (!new)
			return -ENOMEM;
	}
	if (new) {
		count(thread, FIGURE_FOLIOS, result == LOOKUP_FOUND && *out == new && new->order > 0);
		page_put(thread, new);
	}
	return result == LOOKUP_END ? -ENXIO : 0;
}

void file_part(struct vm_thread *thread, const struct page *page, uint64_t *first, uint64_t *last)
{
	const struct extent extent = file_extent(thread, file_of(page->object));

	while (*first > page->index && extent_holds(&extent, *first - 1))
		--*first;
	while (*last < page_last(page) && extent_holds(&extent, *last + 1))
		++*last;
}

/* The disk gets what the page has, if it is @dirty, or is fresh where the file keeps nothing. Holds: the object lock */
static void disk_settle(const struct vm *vm, struct file *file, struct page *page, bool dirty)
{
	for (uint32_t i = 0; i < page_frames(page); i++) {
		_Atomic uint64_t *words = disk_page(vm, file, page->index + i);

		if (!extent_keeps(&file->extent, page->index + i))
			words_fresh(vm, words, &file->object, page->index + i);
		else if (dirty)
			words_copy(words, page[i].words, page_words(vm));
	}
}

/*
 * Nobody else has a reference, and so nobody maps it: it goes. What a truncate left goes as if it had not. Holds: the
 * page lock.
 */
bool file_evict(struct vm_thread *thread, struct page *page)
{
	struct file *file = file_of(page->object);
	bool dirty, evicted;

	vm_lock(&thread->held, &file->lock);
	evicted = page_has(page, PAGE_CACHED) && page_freeze(page, 2);
	if (evicted) {
		dirty = page_clear(page, PAGE_DIRTY);
		disk_settle(thread->vm, file, page, dirty);
		page_clear(page, PAGE_CACHED);
		cache_set(file, page, NULL);
		count(thread, FIGURE_WRITTEN_BACK, dirty);
	}
	vm_unlock(&thread->held, &file->lock);
	return evicted;
}

void file_replace(struct vm_thread *thread, struct page *page, struct page *new)
{
	struct file *file = file_of(page->object);

	vm_lock(&thread->held, &file->lock);
	vm_must(file->cache[page->index] == page);
	cache_set(file, page, new);
	page_get(new);
	page_set(new, PAGE_CACHED);
	page_clear(page, PAGE_CACHED);
	if (page_clear(page, PAGE_DIRTY))
		page_set(new, PAGE_DIRTY);
	if (page_has(page, PAGE_LEFT))
		page_set(new, PAGE_LEFT);
	vm_unlock(&thread->held, &file->lock);
	page_put(thread, page);
}

/* --- one page becomes two, or several one -------------------------------------------------------- */

bool file_split(struct vm_thread *thread, struct page *page)
{
	struct file *file = file_of(page->object);
	unsigned order = page->order - 1;
	struct page *half = page + (1u << order);
	bool frozen;

	vm_lock(&thread->held, &file->lock);
	frozen = page_freeze(page, 2);
	if (frozen) {
		half->object = page->object;
		half->anchor = NULL;
		half->order = page->order = order;
		for (uint32_t i = 0; i < page_frames(half); i++)
			half[i].head = half;
		atomic_store_explicit(&half->flags, atomic_load(&page->flags) & ~(uint32_t)PAGE_MOVING,
				      memory_order_relaxed);
		atomic_store_explicit(&half->refs, 1, memory_order_release);
		cache_set(file, half, half);
		lru_add(thread, half);
		atomic_store_explicit(&page->refs, 2, memory_order_release);
	}
	vm_unlock(&thread->held, &file->lock);
	return frozen;
}

/* Does the file have all of first .. last, and no page there but @pages, [0, n), which are in it? */
static bool cache_has_all(const struct file *file, uint64_t first, uint64_t last, struct page **pages, unsigned n)
{
	unsigned j = 0;

	for (uint64_t i = first; i <= last; i++) {
		if (!extent_holds(&file->extent, i))
			return false;
		j += j < n && i > page_last(pages[j]);
		if (file->cache[i] && !(j < n && file->cache[i] == pages[j]))
			return false;
	}
	return true;
}

/* All or none of @pages are nobody's but the file's and the caller's, and lose these references. */
static bool freeze_all(struct page **pages, unsigned n)
{
	unsigned frozen = 0;

	while (frozen < n && page_freeze(pages[frozen], 2))
		frozen++;
	if (frozen == n)
		return true;
	while (frozen > 0)
		atomic_store_explicit(&pages[--frozen]->refs, 2, memory_order_release);
	return false;
}

bool file_collapse(struct vm_thread *thread, struct file *file, struct page **old, unsigned n, struct page *new)
{
	bool done;

	vm_lock(&thread->held, &file->lock);
	done = cache_has_all(file, new->index, page_last(new), old, n) && freeze_all(old, n);
	if (done)
		cache_insert(thread, file, new);
	for (unsigned i = 0; done && i < n; i++) {
		words_copy(new[old[i]->index - new->index].words, old[i]->words,
			   page_words(thread->vm) * page_frames(old[i]));
		atomic_fetch_or(&new->flags, atomic_load(&old[i]->flags) & (PAGE_DIRTY | PAGE_LEFT));
		page_clear(old[i], PAGE_CACHED);
	}
	vm_unlock(&thread->held, &file->lock);
	return done;
}

/* --- truncate --------------------------------------------------------------------------------- */

/*
 * What is not in the cache is fresh on the disk from now on. Holds: the resize lock; nobody read it since it was cut.
 */
static void disk_fresh(struct vm_thread *thread, struct file *file, uint64_t first, uint64_t last)
{
	struct vm *vm = thread->vm;

	vm_lock(&thread->held, &file->lock);
	for (uint64_t i = first; i <= last && i < vm->options.file_pages; i++)
		if (!file->cache[i])
			words_fresh(vm, disk_page(vm, file, i), &file->object, i);
	vm_unlock(&thread->held, &file->lock);
}

static void extent_set(struct vm_thread *thread, struct file *file, struct extent extent)
{
	vm_lock(&thread->held, &file->lock);
	file->extent = extent;
	vm_unlock(&thread->held, &file->lock);
}

/*
 * Without mappings of the file there is nothing to find. Asked when no mapping can come any more that goes beyond it.
 */
static bool may_truncate(const struct vm *vm, const struct file *file)
{
	return !vm->backend->may_truncate || vm->backend->may_truncate(&file->object);
}

/*
 * Holds: the resize lock, exclusively; the pages are no longer in the extent. -ENOTSUP: nothing was done, and they are
 * to be in it again
 */
static int truncate_pages(struct vm_thread *thread, struct file *file, uint64_t first, uint64_t last, bool copies,
			  bool saves)
{
	struct pass pass = { .thread = thread, .file = file, .saves = saves };
	const struct cut cut = { file, first, last, copies };
	struct rmap_unmap_report report = { .cleared = 0 };

	if (!may_truncate(thread->vm, file))
		return -ENOTSUP;
	thread->vm->backend->truncate(&pass, &cut, &report);
	if (!saves)
		disk_fresh(thread, file, first, last);
	count(thread, FIGURE_TRUNCATIONS, 1);
	count(thread, FIGURE_CLEARED, report.cleared);
	count(thread, FIGURE_REFUSED, report.refused);
	count(thread, FIGURE_PASSES, report.passes);
	count(thread, FIGURE_SEARCHES, report.searches);
	count(thread, FIGURE_ORPHANS, report.orphans);
	return report.mapped || report.unsplit ? -EAGAIN : 0;
}

/* Nothing that a failable truncate left may come to life again. */
static int file_grow(struct vm_thread *thread, struct file *file, uint64_t size)
{
	int error = 0;

	vm_lock(&thread->held, &file->lock);
	for (uint64_t i = file->extent.size; i < size; i++)
		if (file->cache[i])
			error = -EBUSY;
	if (!error)
		file->extent.size = size;
	vm_unlock(&thread->held, &file->lock);
	return error;
}

int vm_truncate(struct vm_thread *thread, uint32_t number, uint64_t size)
{
	struct file *file;
	struct extent extent, old;
	int error;

	if (number >= thread->vm->options.files || size > thread->vm->options.file_pages)
		return -EINVAL;
	file = &thread->vm->files[number];
	vm_lock_exclusive(&thread->held, &file->resize);
	extent = old = file_extent(thread, file);
	if (size > extent.size) {
		error = file_grow(thread, file, size);
	} else {
		extent.size = size;
		extent_set(thread, file, extent);
		error = truncate_pages(thread, file, size, UINT64_MAX, true, false);
		if (error == -ENOTSUP)
			extent_set(thread, file, old);
	}
	vm_unlock_sleeping(&thread->held, &file->resize);
	return error;
}

int vm_punch(struct vm_thread *thread, uint32_t number, uint64_t first, uint64_t last)
{
	struct file *file;
	struct extent extent;
	int error = 0;

	if (number >= thread->vm->options.files || last < first || last >= thread->vm->options.file_pages)
		return -EINVAL;
	file = &thread->vm->files[number];
	vm_lock_exclusive(&thread->held, &file->resize);
	extent = file_extent(thread, file);
	if (first < extent.size) {
		extent.hole_first = first;
		extent.hole_last = last < extent.size ? last : extent.size - 1;
		extent_set(thread, file, extent);
		error = truncate_pages(thread, file, first, extent.hole_last, false, false);
		window(thread->vm, VM_WINDOW_PUNCH);
		extent.hole_first = 1;
		extent.hole_last = 0;
		extent_set(thread, file, extent);
	}
	vm_unlock_sleeping(&thread->held, &file->resize);
	return error;
}

/* The disk pages behind first .. last come to first, in words of their new places; the file ends earlier. */
static void disk_shift(struct vm_thread *thread, struct file *file, uint64_t first, uint64_t last)
{
	struct vm *vm = thread->vm;
	uint64_t n = last - first + 1;

	vm_lock(&thread->held, &file->lock);
	for (uint64_t i = first; i < file->extent.size; i++) {
		_Atomic uint64_t *to = disk_page(vm, file, i);

		words_fresh(vm, to, &file->object, i);
		for (uint32_t j = 0; i + n < file->extent.size && j < page_words(vm); j++) {
			uint64_t word = atomic_load_explicit(&disk_page(vm, file, i + n)[j], memory_order_relaxed);

			atomic_fetch_or_explicit(&to[j], vm_word_tag(word), memory_order_relaxed);
		}
	}
	file->extent.size -= n;
	vm_unlock(&thread->held, &file->lock);
}

/* As a hole from @first to the end, out of which all goes to the disk. */
int vm_collapse(struct vm_thread *thread, uint32_t number, uint64_t first, uint64_t last)
{
	struct file *file;
	struct extent extent;
	int error;

	if (number >= thread->vm->options.files || last < first)
		return -EINVAL;
	file = &thread->vm->files[number];
	vm_lock_exclusive(&thread->held, &file->resize);
	extent = file_extent(thread, file);
	error = last < extent.size ? 0 : -EINVAL;
	if (!error) {
		extent.hole_first = first;
		extent.hole_last = UINT64_MAX;
		extent.collapses = true;
		extent_set(thread, file, extent);
		error = truncate_pages(thread, file, first, UINT64_MAX, true, true);
		if (!error)
			disk_shift(thread, file, first, last);
		extent = file_extent(thread, file);
		extent.hole_first = 1;
		extent.hole_last = 0;
		extent.collapses = false;
		extent_set(thread, file, extent);
	}
	vm_unlock_sleeping(&thread->held, &file->resize);
	return error;
}

/* --- what truncates call ------------------------------------------------------------------------- */

/* The first cached page that has one of first .. last, with a reference. */
struct page *cache_next(struct vm_thread *thread, struct file *file, uint64_t first, uint64_t last)
{
	struct page *page = NULL;

	vm_lock(&thread->held, &file->lock);
	for (uint64_t i = first; !page && i <= last && i < thread->vm->options.file_pages; i++)
		page = file->cache[i];
	if (page)
		page_get(page);
	vm_unlock(&thread->held, &file->lock);
	return page;
}

void file_save(struct vm_thread *thread, struct file *file, struct page *page)
{
	bool dirty = page_clear(page, PAGE_DIRTY);

	vm_lock(&thread->held, &file->lock);
	disk_settle(thread->vm, file, page, dirty);
	vm_unlock(&thread->held, &file->lock);
	count(thread, FIGURE_WRITTEN_BACK, dirty);
}

/* It leaves the cache. Nobody reads it from the disk before that is fresh. Holds: the page lock. */
void cache_drop(struct vm_thread *thread, struct file *file, struct page *page)
{
	vm_lock(&thread->held, &file->lock);
	vm_must(file->cache[page->index] == page);
	cache_set(file, page, NULL);
	page_clear(page, PAGE_CACHED);
	vm_unlock(&thread->held, &file->lock);
	page_put(thread, page);
}

/* --- write-back ------------------------------------------------------------------------------- */

static void clean_pte(struct vm_thread *thread, struct leaf *leaf, uint64_t vpn, void *arg)
{
	uint64_t *pte = leaf_bits(thread->vm, leaf, vpn);
	bool *dirty = arg;

	if (!(*pte & PTE_DIRTY))
		return;
	*dirty = true;
	tlb_owe(thread, leaf, vpn, 0, OWED_NOTHING);
	*pte &= ~PTE_DIRTY;
}

/*
 * After the flush a write marks its pte again; what was written before is copied. What is mlocked cannot be found, and
 * may be dirty: such pages are written each time. Holds: the page lock.
 */
static void write_back_page(struct vm_thread *thread, struct file *file, struct page *page)
{
	struct vm *vm = thread->vm;
	bool dirty = page_clear(page, PAGE_DIRTY);
	uint32_t unnamed = page_ptes(thread, page, clean_pte, &dirty, true);

	tlb_flush(thread);
	if (!dirty && !unnamed)
		return;
	vm_lock(&thread->held, &file->lock);
	for (uint32_t i = 0; i < page_frames(page); i++)
		if (extent_keeps(&file->extent, page->index + i))
			words_copy(disk_page(vm, file, page->index + i), page[i].words, page_words(vm));
	vm_unlock(&thread->held, &file->lock);
	count(thread, FIGURE_WRITTEN_BACK, 1);
}

int vm_write_back(struct vm_thread *thread, uint32_t number)
{
	struct file *file;
	struct page *page;
	uint64_t next = 0;

	if (number >= thread->vm->options.files)
		return -EINVAL;
	file = &thread->vm->files[number];
	/* A page that left the cache before it was locked may have another in its place: look there again. */
	while ((page = cache_next(thread, file, next, UINT64_MAX))) {
		vm_lock(&thread->held, &page->lock);
		if (page_has(page, PAGE_CACHED)) {
			write_back_page(thread, file, page);
			next = page_last(page) + 1;
		}
		vm_unlock(&thread->held, &page->lock);
		page_put(thread, page);
	}
	return 0;
}

int vm_disk_word(struct vm_thread *thread, uint32_t number, uint64_t offset, unsigned word, uint64_t *value)
{
	struct vm *vm = thread->vm;
	struct file *file;

	if (number >= vm->options.files || index_of(vm, offset) >= vm->options.file_pages || word >= VM_WORDS)
		return -EINVAL;
	file = &vm->files[number];
	vm_lock(&thread->held, &file->lock);
	*value =
		atomic_load_explicit(&disk_page(vm, file, index_of(vm, offset))[piece_of(vm, offset) * VM_WORDS + word],
				     memory_order_relaxed);
	vm_unlock(&thread->held, &file->lock);
	return 0;
}
