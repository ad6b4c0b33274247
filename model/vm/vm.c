/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm.c - the VM as a whole, and what each thread has of it
 *
 * All that has a number is allocated here, once: frames, mms, families, files, slots. What may fail is done first, and
 * an end undoes whatever there is, so one function cleans up after a failed begin, too.
 */
#include "backend.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* Families outlive their mms by pages that operations under way hold. */
#define SPARE_FAMILIES 64u

static void option(uint32_t *option, uint32_t value)
{
	if (*option == 0)
		*option = value;
}

static bool options_set(struct vm_options *options, const struct vm_options *given)
{
	if (given && given->size != sizeof(*given))
		return false;
	*options = given ? *given : (struct vm_options){ .size = sizeof(*options) };
	option(&options->frames, 256);
	option(&options->swap_slots, 256);
	option(&options->mms, 64);
	option(&options->files, 4);
	option(&options->file_pages, 64);
	option(&options->table_bits, 9);
	if (!options->backend)
		options->backend = vm_backends[0];
	return options->mms <= 2048 && options->files <= 512 && options->frames <= 1u << 20 &&
	       options->far < options->frames && options->swap_slots <= 1u << 20 && options->file_pages <= 1u << 20 &&
	       options->table_bits >= 4 && options->table_bits <= 9 && options->cluster_bits <= 4 &&
	       options->folio_order <= VM_FOLIO_ORDER_MAX &&
	       options->locks <= VM_LOCKS_2003_BLOCKING && options->flush <= VM_FLUSH_UNSETTLED &&
	       (unsigned)options->strategy <= RMAP_TOLERATE && (unsigned)options->semantics <= RMAP_RELIABLE;
}

/* --- parts ------------------------------------------------------------------------------------ */

/* Contents of @n pages, handed out one by one. */
static _Atomic uint64_t *words_new(const struct vm *vm, uint64_t n)
{
	return calloc(n * page_words(vm), sizeof(_Atomic uint64_t));
}

static int frames_init(struct vm *vm)
{
	_Atomic uint64_t *words = words_new(vm, vm->options.frames);

	vm->pages = calloc(vm->options.frames, sizeof(*vm->pages));
	if (vm->pages)
		vm->pages[0].words = words;
	if (!words || !vm->pages) {
		if (!vm->pages)
			free((void *)words);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < vm->options.frames; i++) {
		struct page *page = &vm->pages[i];

		page->words = &words[(size_t)i * page_words(vm)];
		vm_lock_init(&page->lock, VM_CLASS_PAGE);
		vm_lock_init(&page->chain, VM_CLASS_CHAIN);
	}
	words_of_nobody(words, vm->options.frames * page_words(vm));
	for (uint32_t i = 0; i < vm->options.frames; i++)
		frames_give(vm, &vm->pages[i], 0);
	return 0;
}

static int slots_init(struct vm *vm)
{
	vm->slots = calloc(vm->options.swap_slots, sizeof(*vm->slots));
	if (!vm->slots)
		return -ENOMEM;
	vm->slots[0].words = words_new(vm, vm->options.swap_slots);
	if (!vm->slots[0].words)
		return -ENOMEM;
	for (uint32_t i = 0; i < vm->options.swap_slots; i++) {
		vm->slots[i].words = &vm->slots[0].words[(size_t)i * page_words(vm)];
		vm->slots[i].next_free = i + 1;
	}
	return 0;
}

static int file_init(struct vm *vm, struct file *file, uint32_t number)
{
	int error;

	file->object.id = number;
	file->object.is_file = true;
	error = vm->backend->object_begin(NULL, vm, &file->object);
	file->extent = (struct extent){ .size = vm->options.file_pages, .hole_first = 1, .hole_last = 0 };
	file->cache = calloc(vm->options.file_pages, sizeof(struct page *));
	file->disk = words_new(vm, vm->options.file_pages);
	vm_sleeping_init(&file->resize, VM_CLASS_FILE);
	vm_lock_init(&file->lock, VM_CLASS_OBJECT);
	if (error || !file->cache || !file->disk)
		return -ENOMEM;
	for (uint64_t i = 0; i < vm->options.file_pages; i++)
		words_fresh(vm, &file->disk[i * page_words(vm)], &file->object, i);
	return 0;
}

static int files_init(struct vm *vm)
{
	int error = 0;

	vm->files = calloc(vm->options.files, sizeof(*vm->files));
	for (uint32_t i = 0; vm->files && i < vm->options.files; i++)
		if (file_init(vm, &vm->files[i], i))
			error = -ENOMEM;
	return vm->files ? error : -ENOMEM;
}

static int mms_init(struct vm *vm)
{
	vm->families_n = vm->options.mms + SPARE_FAMILIES;
	vm->families = calloc(vm->families_n, sizeof(*vm->families));
	vm->mms = calloc(vm->options.mms, sizeof(*vm->mms));
	if (!vm->families || !vm->mms)
		return -ENOMEM;
	for (uint32_t i = 0; i < vm->families_n; i++)
		vm->families[i].id = vm->options.files + i;
	for (uint32_t i = 0; i < vm->options.mms; i++) {
		vm->mms[i].id = i;
		vm->mms[i].dead = true;
		vm_sleeping_init(&vm->mms[i].lock, VM_CLASS_MM);
	}
	return 0;
}

static void vm_free(struct vm *vm)
{
	for (uint32_t i = 0; vm->pages && i < vm->options.frames; i++) {
		vm_lock_fini(&vm->pages[i].lock);
		vm_lock_fini(&vm->pages[i].chain);
	}
	for (uint32_t i = 0; vm->files && i < vm->options.files; i++) {
		vm_lock_fini(&vm->files[i].lock);
		vm_sleeping_fini(&vm->files[i].resize);
		free(vm->files[i].cache);
		free((void *)vm->files[i].disk);
	}
	for (uint32_t i = 0; vm->mms && i < vm->options.mms; i++)
		vm_sleeping_fini(&vm->mms[i].lock);
	if (vm->pages)
		free((void *)vm->pages[0].words);
	if (vm->slots)
		free((void *)vm->slots[0].words);
	tables_end(vm);
	free(vm->pages);
	free(vm->slots);
	free(vm->files);
	free(vm->mms);
	free(vm->families);
	vm_lock_fini(&vm->frame_lock);
	vm_lock_fini(&vm->swap_lock);
	vm_lock_fini(&vm->lru_lock);
	pthread_rwlock_destroy(&vm->threads_lock);
	clock_end(vm);
	free(vm);
}

static void objects_destroy(struct vm *vm)
{
	void (*end)(struct vm *vm, struct object *object) = vm->backend->object_end;

	for (uint32_t i = 0; end && vm->files && i < vm->options.files; i++)
		end(vm, &vm->files[i].object);
	for (uint32_t i = 0; end && vm->families && i < vm->families_n; i++)
		end(vm, &vm->families[i]);
}

/* --- the whole -------------------------------------------------------------------------------- */

/* What the backend does not have. NULL: it has all */
static const char *lacks(const struct vm_options *options)
{
	unsigned traits = options->backend->traits;

	if (options->locks && !(traits & VM_BACKEND_CHOICES))
		return "orders of locks";
	if (options->strategy && !(traits & VM_BACKEND_CHOICES))
		return "strategies of truncates";
	if (options->reclaim && !(traits & VM_BACKEND_CHOICES))
		return "ways to reclaim its memory";
	if (options->flush && options->backend != vm_backends[0])
		return "mistakes of flushes";
	if (options->folio_order && !(traits & VM_BACKEND_FOLIOS))
		return "large pages";
	return options->far && !(traits & VM_BACKEND_MIGRATES) ? "migration, so there is no use for far memory" : NULL;
}

static int backend_create(struct vm *vm)
{
	const struct vm_order *by_option = vm->options.locks == VM_LOCKS_TODAY ? &vm_order_today : &vm_order_2003;

	vm->backend = vm->options.backend;
	vm->checker.order = vm->backend->order ? vm->backend->order : by_option;
	return vm->backend->create(vm);
}

static int vm_init(struct vm *vm)
{
	int error = backend_create(vm);

	vm->checker.report_only = vm->options.report_only;
	vm_lock_init(&vm->frame_lock, VM_CLASS_FRAME);
	vm_lock_init(&vm->swap_lock, VM_CLASS_SWAP);
	vm_lock_init(&vm->lru_lock, VM_CLASS_LRU);
	pthread_rwlock_init(&vm->threads_lock, NULL);
	LIST_INIT(&vm->threads);
	TAILQ_INIT(&vm->active);
	TAILQ_INIT(&vm->inactive);
	for (unsigned order = 0; order <= VM_FOLIO_ORDER_MAX; order++) {
		TAILQ_INIT(&vm->free_blocks[NODE_NEAR][order]);
		TAILQ_INIT(&vm->free_blocks[NODE_FAR][order]);
	}
	if (!error)
		error = clock_begin(vm);
	if (!error)
		error = frames_init(vm);
	if (!error)
		error = slots_init(vm);
	if (!error)
		error = mms_init(vm);
	return error ? error : files_init(vm);
}

/* Objects are ended by a thread that the backend knows. */
static void vm_undo(struct vm *vm)
{
	struct vm_thread *thread;

	if (vm_thread_create(vm, &thread) == 0) {
		objects_destroy(vm);
		vm_thread_destroy(thread);
	}
	vm->backend->destroy(vm);
}

int vm_create(const struct vm_options *options, struct vm **out)
{
	struct vm_options set;
	struct vm *vm;
	int error;

	if (!out || !options_set(&set, options))
		return -EINVAL;
	if (lacks(&set)) {
		fprintf(stderr, "vm: the backend %s has no %s: leave that option at 0\n", set.backend->name,
			lacks(&set));
		return -ENOTSUP;
	}
	vm = calloc(1, sizeof(*vm));
	if (!vm)
		return -ENOMEM;
	vm->options = set;
	vm->reclaim = vm_reclaim;
	error = vm_init(vm);
	if (!error) {
		*out = vm;
		return 0;
	}
	vm_undo(vm);
	vm_free(vm);
	return error;
}

/* All mms exit, all files are emptied: nothing may be left then. */
static bool vm_empty(struct vm_thread *thread)
{
	struct vm *vm = thread->vm;
	uint32_t frames = 0, slots = 0;

	vm->options.semantics = RMAP_RELIABLE;
	for (uint32_t i = 0; i < vm->options.mms; i++)
		vm_exit(thread, i);
	for (uint32_t i = 0; i < vm->options.files; i++)
		vm_truncate(thread, i, 0);
	for (uint32_t i = 0; i < vm->options.frames; i++)
		frames += atomic_load(&vm->pages[i].refs) != 0;
	for (uint32_t i = 0; i < vm->options.swap_slots; i++)
		slots += vm->slots[i].refs != 0;
	if (frames || slots || frames_free(vm) != vm->options.frames)
		fprintf(stderr, "vm: %u frames and %u slots leaked\n", frames, slots);
	return !frames && !slots && frames_free(vm) == vm->options.frames;
}

int vm_destroy(struct vm *vm)
{
	struct vm_thread *thread;
	int error;

	if (!vm)
		return 0;
	error = vm_thread_create(vm, &thread);
	if (error)
		return error;
	if (vm_empty(thread))
		objects_destroy(vm);
	else
		error = -EBUSY;
	vm_thread_destroy(thread);
	if (!error)
		error = vm->backend->destroy(vm);
	if (!error)
		vm_free(vm);
	return error;
}

uint64_t vm_mappings(struct vm_thread *thread)
{
	struct vm *vm = thread->vm;
	uint64_t mappings = 0;

	for (uint32_t i = 0; i < vm->options.frames; i++)
		if (atomic_load(&vm->pages[i].refs) > 0)
			mappings += page_mapcount(thread, &vm->pages[i]);
	return mappings;
}

/* --- threads ---------------------------------------------------------------------------------- */

int vm_thread_create(struct vm *vm, struct vm_thread **out)
{
	struct vm_thread *thread = calloc(1, sizeof(*thread));

	if (!thread)
		return -ENOMEM;
	thread->vm = vm;
	thread->held.checker = &vm->checker;
	vm_lock_init(&thread->tlb_lock, VM_CLASS_TLB);
	if (vm->backend->thread_begin(thread)) {
		vm_lock_fini(&thread->tlb_lock);
		free(thread);
		return -ENOMEM;
	}
	pthread_rwlock_wrlock(&vm->threads_lock);
	LIST_INSERT_HEAD(&vm->threads, thread, link);
	pthread_rwlock_unlock(&vm->threads_lock);
	*out = thread;
	return 0;
}

_Static_assert(sizeof(struct vm_statistics) == (FIGURES + 1) * sizeof(uint64_t), "a figure is missing");

static void figures_add(struct vm_statistics *sum, const struct vm_thread *thread)
{
	uint64_t *figures = (uint64_t *)(void *)sum;

	for (unsigned i = 0; i < FIGURES; i++)
		figures[i] += atomic_load_explicit(&thread->figures[i], memory_order_relaxed);
}

void vm_thread_destroy(struct vm_thread *thread)
{
	struct vm *vm = thread->vm;

	vm_must(thread->held.n == 0);
	pthread_rwlock_wrlock(&vm->threads_lock);
	figures_add(&vm->retired, thread);
	LIST_REMOVE(thread, link);
	pthread_rwlock_unlock(&vm->threads_lock);
	vm->backend->thread_end(thread);
	vm_lock_fini(&thread->tlb_lock);
	free(thread);
}

void vm_stats(struct vm *vm, struct vm_statistics *out)
{
	const struct vm_thread *thread;

	pthread_rwlock_rdlock(&vm->threads_lock);
	*out = vm->retired;
	LIST_FOREACH (thread, &vm->threads, link)
		figures_add(out, thread);
	pthread_rwlock_unlock(&vm->threads_lock);
	out->lock_violations = atomic_load(&vm->checker.violations);
}
