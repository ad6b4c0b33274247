/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * library.c - librmap under the VM: each call of the library that an embedder needs, in one place
 *
 * What an element of a chain stands for is left to hybrid.c, hybrid_clusters.c and hybrid_addresses.c (library.h); all
 * else is here.
 *
 * A pte is told by its own bits which kind of mapping it is: linear ones are found by the range of their vma and only
 * counted, but that they may tell their name in case that the page has no other; nonlinear ones are chained by their
 * name; locked ones are only counted. A name, or the owner of a range, stays meaningful when what it named is gone: an
 * mm is looked up by its number.
 *
 * A vma's range is attached before its first pte is set and detached after its last one is cleared, and a change
 * publishes the new range before it withdraws the old one; so a walk finds each linear mapping at each moment.
 *
 *      range.first   = offset >> cluster_bits
 *      range.last    = (offset + end - start - 1) >> cluster_bits
 *      range.address = where piece 0 of page range.first is, or would be if it is not mapped here
 *
 * With pages of several pieces a vma may begin and end inside a page. Its range covers that page as a whole, at the
 * address where its first piece would be. Two vmas may then share a page's index and address, and must differ in their
 * owners: an owner is the mm's number and a serial number.
 *
 * In the order of 2003 a pass over a page holds its chain lock, which lies below pte locks; so it only tries those.
 */
#include "library.h"

#include <errno.h>
#include <stdlib.h>

#define OWNER_MM_BITS 16u

enum { PART_CHAINS, PART_RANGES };

static struct rmap *map_of(const struct vm *vm)
{
	return library_of(vm)->map;
}

static struct rmap_reserve *reserve_of(const struct vm_thread *thread)
{
	return thread->map;
}

static struct page *page_of(const struct rmap_page *rmap)
{
	return (struct page *)(uintptr_t)((uintptr_t)rmap - offsetof(struct page, rmap));
}

/* Does a range tell of the page's mappings where they are, but for nonlinear ones? */
static bool has_linear(const struct vm *vm, const struct page *page)
{
	return page_is_file(page) || !library_of(vm)->chaining->anonymous;
}

struct rmap_target library_target(const struct vm *vm, const struct page *page)
{
	return (struct rmap_target){ &page->rmap, has_linear(vm, page) ? page->object->index : NULL, page->index,
				     page_last(page) };
}

/* --- memory ----------------------------------------------------------------------------------- */

static void *tier_take(struct library *library, unsigned part, size_t bytes, size_t align)
{
	void *memory;

	if (!ledger_add(library->vm, part, (int64_t)bytes))
		return NULL;
	memory = aligned_alloc(align, (bytes + align - 1) / align * align);
	if (!memory)
		ledger_add(library->vm, part, -(int64_t)bytes);
	return memory;
}

static void *chains_alloc(void *arg, size_t bytes, size_t align)
{
	return tier_take(arg, PART_CHAINS, bytes, align);
}

static void chains_free(void *arg, void *memory, size_t bytes)
{
	free(memory);
	ledger_add(((struct library *)arg)->vm, PART_CHAINS, -(int64_t)bytes);
}

static void *ranges_alloc(void *arg, size_t bytes, size_t align)
{
	return tier_take(arg, PART_RANGES, bytes, align);
}

static void ranges_free(void *arg, void *memory, size_t bytes)
{
	free(memory);
	ledger_add(((struct library *)arg)->vm, PART_RANGES, -(int64_t)bytes);
}

int library_create(struct vm *vm, const struct chaining *chaining)
{
	struct rmap_options options = RMAP_OPTIONS_DEFAULT;
	struct library *library = calloc(1, sizeof(*library));

	if (!library)
		return -ENOMEM;
	vm->map = library;
	library->vm = vm;
	library->chaining = chaining;
	library->chains = (struct rmap_tier){ .alloc = chains_alloc, .free = chains_free, .arg = library };
	library->metadata = (struct rmap_tier){ .alloc = ranges_alloc, .free = ranges_free, .arg = library };
	options.multiplicity_bits = chaining->bits;
	options.reclaim = vm->options.reclaim;
	options.tier = &library->chains;
	options.metadata = &library->metadata;
	return rmap_create(&options, &library->map);
}

int library_destroy(struct vm *vm)
{
	int error = vm->map ? rmap_destroy(map_of(vm)) : 0;

	if (!error)
		free(vm->map);
	return error;
}

int library_thread_begin(struct vm_thread *thread)
{
	struct rmap_reserve *reserve;
	int error = rmap_reserve_create(map_of(thread->vm), &reserve);

	if (error)
		return error;
	thread->map = reserve;
	rmap_thread_register(map_of(thread->vm));
	return 0;
}

void library_thread_end(struct vm_thread *thread)
{
	rmap_reserve_destroy(reserve_of(thread));
	rmap_thread_unregister(map_of(thread->vm));
}

int library_fill(struct vm_thread *thread, unsigned adds)
{
	return rmap_reserve_fill(reserve_of(thread), adds);
}

void library_enter(struct vm_thread *thread)
{
	rmap_read_lock(map_of(thread->vm));
}

void library_leave(struct vm_thread *thread)
{
	rmap_read_unlock(map_of(thread->vm));
}

/* --- mappings --------------------------------------------------------------------------------- */

/* In the order of 2003: around operations on the page's reverse map, unless a pass holds it. */
static void chain_lock(struct vm_thread *thread, struct page *page)
{
	if (thread->vm->options.locks != VM_LOCKS_TODAY && thread->chained != page)
		vm_lock(&thread->held, &page->chain);
}

static void chain_unlock(struct vm_thread *thread, struct page *page)
{
	if (thread->vm->options.locks != VM_LOCKS_TODAY && thread->chained != page)
		vm_unlock(&thread->held, &page->chain);
}

/* Each of these has been told its kind by the pte, so an error of the library's is an error of the VM's. */
static void done(struct vm_thread *thread, struct page *page, int events)
{
	vm_must(events >= 0);
	lru_note(thread, page, events);
	chain_unlock(thread, page);
}

typedef int (*page_operation)(struct rmap_reserve *reserve, struct rmap_page *page, struct rmap_mapping mapping);

static void operate(struct vm_thread *thread, struct page *page, struct rmap_mapping mapping, page_operation operation)
{
	int events;

	chain_lock(thread, page);
	library_enter(thread);
	events = operation(reserve_of(thread), &page->rmap, mapping);
	library_leave(thread);
	done(thread, page, events);
}

void library_add(struct vm_thread *thread, struct page *page, struct rmap_mapping mapping)
{
	operate(thread, page, mapping, rmap_page_add);
}

void library_duplicate(struct vm_thread *thread, struct page *page, struct rmap_mapping mapping)
{
	operate(thread, page, mapping, rmap_page_duplicate);
}

void library_remove(struct vm_thread *thread, struct page *page, struct rmap_mapping mapping)
{
	operate(thread, page, mapping, rmap_page_remove);
}

void library_move(struct vm_thread *thread, struct page *page, struct rmap_mapping from, struct rmap_mapping to)
{
	int events;

	chain_lock(thread, page);
	library_enter(thread);
	events = rmap_page_move(reserve_of(thread), &page->rmap, from, to);
	library_leave(thread);
	done(thread, page, events);
}

uint32_t library_mapcount(struct vm_thread *thread, const struct page *page)
{
	uint32_t mapcount;

	library_enter(thread);
	mapcount = rmap_page_mapcount(map_of(thread->vm), &page->rmap);
	library_leave(thread);
	return mapcount;
}

uint32_t library_locked(struct vm_thread *thread, const struct page *page)
{
	struct rmap_counts counts;

	library_enter(thread);
	counts = rmap_page_counts(map_of(thread->vm), &page->rmap);
	library_leave(thread);
	return counts.locked;
}

/* --- walks ------------------------------------------------------------------------------------ */

static uint32_t owner_mm(uint64_t owner)
{
	return (uint32_t)(owner & ((1u << OWNER_MM_BITS) - 1));
}

/* But for the places, of which there are none yet. */
static void looking_begin(struct looking *looking, struct vm_thread *thread, struct page *page, struct walk *walk)
{
	looking->thread = thread;
	looking->page = page;
	looking->walk = walk;
	looking->tries = false;
	looking->enough = UINT32_MAX;
	looking->places = 0;
	looking->n = 0;
}

/* Looks at all that is named. Return: whether to go on */
static bool look_at_spots(struct looking *looking)
{
	struct walk *walk = looking->walk;
	unsigned n = looking->n;

	if (n > 0)
		window(looking->thread->vm, VM_WINDOW_SPOTS);
	looking->n = 0;
	for (unsigned i = 0; i < n; i++) {
		bool goes_on = walk_spot(looking->thread, looking->page, &looking->spots[i], looking->tries, walk);

		if (walk->visited)
			walk->visited(walk, looking->counts[i]);
		if (!goes_on || walk->found >= looking->enough)
			return false;
	}
	return true;
}

bool library_look(struct looking *looking, struct mm *mm, uint64_t first, uint64_t end, uint32_t count)
{
	const struct vm *vm = looking->thread->vm;
	struct spot *spot = &looking->spots[looking->n];

	*spot = (struct spot){ .mm = mm, .first = first, .end = end < vpn_end(vm) ? end : vpn_end(vm) };
	spot_find(vm, spot);
	looking->counts[looking->n++] = count;
	looking->places++;
	return looking->n < SPOTS || look_at_spots(looking);
}

/* @n indexes that the range has side by side. */
static bool look_linear(struct looking *looking, const struct rmap_range *range, uint64_t address, uint32_t n)
{
	const struct vm *vm = looking->thread->vm;
	uint64_t vpn = address >> VM_PAGE_SHIFT;

	return library_look(looking, mm_at(vm, owner_mm(range->owner)), vpn, vpn + (uint64_t)n * pieces(vm),
			    WALK_UNKNOWN);
}

/* A chained mapping, or several; or a linear one that has a name. */
static bool look_named(struct looking *looking, enum rmap_kind kind, uint64_t handle, uint32_t count)
{
	const struct chaining *chaining = library_of(looking->thread->vm)->chaining;

	return chaining->look(looking, handle, kind == RMAP_CHAINED ? count : WALK_UNKNOWN);
}

static bool look_at_visit(struct looking *looking, const struct rmap_visits *visits, size_t i)
{
	const struct rmap_range *range;

	if (visits->kind != RMAP_LINEAR)
		return look_named(looking, visits->kind, rmap_visits_handle(visits, i), rmap_visits_count(visits, i));
	range = rmap_visits_range(visits, i);
	return look_linear(looking, range, rmap_range_address(range, rmap_visits_index(visits, i)),
			   rmap_visits_count(visits, i));
}

/* What ends a call of rmap_walk_batches(): the walk has ended, or is to go on in another section. */
enum { ENDED = 1, PAUSED };

static int look_at_batch(void *arg, const struct rmap_visits *visits)
{
	struct looking *looking = arg;

	for (size_t i = 0; i < visits->n; i++)
		if (!look_at_visit(looking, visits, i))
			return ENDED;
	if (!look_at_spots(looking) || looking->walk->look)
		return ENDED;
	return looking->places >= RMAP_VISITS_MAX ? PAUSED : 0;
}

static bool is_of(const struct rmap_cursor *look, const struct rmap_target *target)
{
	return look->target.page == target->page && look->target.object == target->object &&
	       look->target.first == target->first && look->target.last == target->last;
}

/*
 * A batch is as long as the walk's budget allows, and one that is shorter leaves some for the next. What the look was
 * of may be gone: then it is not used. If it came back in the meantime, the walk sees only what is behind that place.
 */
static void look_on(struct vm_thread *thread, struct looking *looking, const struct rmap_target *target)
{
	struct walk *walk = looking->walk;
	struct rmap_cursor *look = walk->look;
	uint64_t words[WALK_LOOK_MAX];

	if (!is_of(look, target))
		rmap_cursor_init(look, map_of(thread->vm), target);
	look->words = words;
	while (!*walk->ends && !rmap_cursor_at_end(look) && walk->visits < walk->visits_max) {
		look->room = walk->visits_max - walk->visits;
		library_enter(thread);
		rmap_walk_batches(look, look_at_batch, looking);
		library_leave(thread);
	}
	walk->unfinished = !*walk->ends && !rmap_cursor_at_end(look);
	look->words = NULL;
	if (!walk->unfinished)
		look->target.page = NULL;
}

/* Tables need no section; batches do, and one section is for so many visits, lest all retired memory wait. */
void library_walk(struct vm_thread *thread, struct page *page, struct walk *walk)
{
	struct rmap_target target = library_target(thread->vm, page);
	struct looking looking;
	struct rmap_cursor cursor;
	int stop;

	looking_begin(&looking, thread, page, walk);
	if (walk->look) {
		look_on(thread, &looking, &target);
		return;
	}
	rmap_cursor_init(&cursor, map_of(thread->vm), &target);
	do {
		looking.places = 0;
		library_enter(thread);
		/* Accessed bits are hints: it is enough to have seen as many ptes as there were. */
		if (walk->ages && looking.enough == UINT32_MAX)
			looking.enough = rmap_page_mapcount(map_of(thread->vm), &page->rmap);
		stop = rmap_walk_batches(&cursor, look_at_batch, &looking);
		library_leave(thread);
	} while (stop == PAUSED);
	/* What moved ahead of every round may have been missed: that is to be told like what has no name. */
	walk->unnamed += cursor.summary.unnamed + !cursor.summary.complete;
}

/* --- unmap and truncate: what unmap.h calls ------------------------------------------------------ */

static void pass_begin(struct vm_thread *thread, struct page *page)
{
	if (thread->vm->options.locks == VM_LOCKS_TODAY)
		return;
	vm_lock(&thread->held, &page->chain);
	thread->chained = page;
}

static void pass_end(struct vm_thread *thread, struct page *page)
{
	if (!thread->chained)
		return;
	thread->chained = NULL;
	vm_unlock(&thread->held, &page->chain);
}

/*
 * Where an anonymous page is chained it has as many ptes as the visit says, for none is linear, and none locked where
 * an unmap begins. So when as many are cleared there are no more, but for one that a fork has made meanwhile, which
 * another unmap finds.
 */
static uint32_t enough(const struct page *page, const struct rmap_visit *visit)
{
	return visit->kind == RMAP_CHAINED && !page_is_file(page) ? visit->count : UINT32_MAX;
}

/* Of a page that could not be split all may go, as all went for the split: what stays is faulted in again. */
static int clear(void *arg, const struct rmap_target *target, const struct rmap_visit *visit, unsigned flags,
		 uint64_t *cleared)
{
	struct pass *pass = arg;
	struct clearing clearing = { .pass = pass, .cleared = cleared, .force = flags & RMAP_UNMAP_FORCE };
	struct walk walk = { .action = clear_pte, .arg = &clearing };
	struct looking looking;
	bool goes_on;

	looking_begin(&looking, pass->thread, page_of(target->page), &walk);
	looking.tries = flags & RMAP_UNMAP_TRY;
	looking.enough = enough(looking.page, visit);
	if (visit->kind == RMAP_LINEAR)
		goes_on = look_linear(&looking, &visit->range, visit->address, visit->count);
	else
		goes_on = look_named(&looking, visit->kind, visit->handle, visit->count);
	if (goes_on)
		look_at_spots(&looking);
	return walk.refused ? -EAGAIN : 0;
}

static int clear_range(void *arg, const struct rmap_search *search, uint64_t *cleared)
{
	struct pass *pass = arg;
	struct vm *vm = pass->thread->vm;
	struct mm *mm = mm_find(vm, owner_mm(search->range.owner));
	const struct cut cut = { pass->file, search->first, search->last, search->flags & RMAP_UNMAP_COPIES };
	uint64_t first = rmap_range_address(&search->range, search->from) >> VM_PAGE_SHIFT;
	uint64_t n = (search->to - search->from + 1) << vm->options.cluster_bits;

	window(vm, VM_WINDOW_RANGE);
	if (!mm)
		return 0;
	cut_window(pass, &cut, mm, first, first + n, cleared);
	mm_put(pass->thread, mm);
	return 0;
}

static int lock_next(void *arg, struct rmap_object *object, uint64_t first, uint64_t last, struct rmap_target *target)
{
	struct pass *pass = arg;
	struct page *page = cut_lock_next(pass, first, last);

	vm_must(object == pass->file->object.index);
	if (!page)
		return -ENOENT;
	count(pass->thread, FIGURE_WALKED, 1);
	pass_begin(pass->thread, page);
	*target = library_target(pass->thread->vm, page);
	return 0;
}

static void unlock(void *arg, const struct rmap_target *target)
{
	struct pass *pass = arg;

	pass_end(pass->thread, page_of(target->page));
	cut_unlock(pass, page_of(target->page));
}

/* A split takes object and pte locks, which are above the chain lock, too. */
static int split(void *arg, const struct rmap_target *target, uint64_t first, uint64_t last)
{
	struct pass *pass = arg;
	struct page *page = page_of(target->page);
	struct stopwatch_pause pause;
	int error;

	(void)first, (void)last;
	pass_end(pass->thread, page);
	pause = clock_pause(pass->thread);
	error = page_split(pass->thread, page);
	clock_resume(pass->thread, &pause);
	pass_begin(pass->thread, page);
	return error;
}

/* The object lock is above the chain lock, and no mapping is touched any more. */
static void drop(void *arg, const struct rmap_target *target, int orphan)
{
	struct pass *pass = arg;

	pass_end(pass->thread, page_of(target->page));
	cut_drop(pass, page_of(target->page), orphan);
}

static void left(void *arg, const struct rmap_target *target, struct rmap_counts counts, enum rmap_unmap_result why)
{
	(void)counts;
	cut_left(arg, page_of(target->page), why == RMAP_UNMAP_AGAIN);
}

static void flush(void *arg, const struct rmap_target *target)
{
	(void)target;
	cut_flush(arg);
}

static int wait_for_others(void *arg, const struct rmap_unmap_report *report)
{
	(void)arg;
	cut_wait(report->fruitless);
	return 0;
}

static const struct rmap_unmap_callbacks callbacks = {
	.size = sizeof(callbacks),
	.clear = clear,
	.clear_range = clear_range,
	.lock_next = lock_next,
	.split = split,
	.unlock = unlock,
	.drop = drop,
	.left = left,
	.flush = flush,
	.wait = wait_for_others,
};

/* Nobody waits for a grace period with a pte lock held, so clear() may run in the section that finds the mapping. */
static unsigned unmap_flags(const struct vm *vm)
{
	return RMAP_UNMAP_SECTION | (vm->options.locks == VM_LOCKS_2003 ? RMAP_UNMAP_TRY : 0);
}

/* No chain lock is held, so it may wait for pte locks in both orders. */
static int unmap_reliably(struct pass *pass, const struct rmap_target *target, struct rmap_unmap_report *report)
{
	return rmap_unmap(map_of(pass->thread->vm), &callbacks, pass, target, RMAP_UNMAP_SECTION | RMAP_UNMAP_FORCE,
			  RMAP_RELIABLE, report);
}

int library_unmap(struct pass *pass, struct page *page, struct rmap_unmap_report *report)
{
	struct vm *vm = pass->thread->vm;
	struct rmap_target target = library_target(vm, page);
	int result;

	count(pass->thread, FIGURE_WALKED, 1);
	if (pass->forces)
		return unmap_reliably(pass, &target, report);
	pass_begin(pass->thread, page);
	result = rmap_unmap(map_of(vm), &callbacks, pass, &target, unmap_flags(vm), RMAP_FAILABLE, report);
	pass_end(pass->thread, page);
	vm_must(result >= 0 && result != RMAP_UNMAP_STOPPED);
	vm_must(result != RMAP_UNMAP_LOCKED || report->cleared == 0); /* no page is left half unmapped */
	return result;
}

int library_truncate(struct pass *pass, const struct cut *cut, struct rmap_unmap_report *report)
{
	struct vm *vm = pass->thread->vm;
	const struct rmap_truncation truncation = {
		.size = sizeof(truncation),
		.object = cut->file->object.index,
		.first = cut->first,
		.last = cut->last,
		.strategy = vm->options.strategy,
		.semantics = vm->options.semantics,
		.flags = unmap_flags(vm) | (cut->copies ? RMAP_UNMAP_COPIES : 0),
	};
	int result;

	/* Copies are no pages that could be left. */
	do {
		struct rmap_unmap_report before = *report;

		result = rmap_truncate(map_of(vm), &callbacks, pass, &truncation, report);
		report->cleared += before.cleared;
		report->refused += before.refused;
		report->orphans += before.orphans;
		report->passes += before.passes;
		report->searches += before.searches;
	} while (report->unseen);
	vm_must(result >= 0 && result != RMAP_UNMAP_STOPPED);
	vm_must(truncation.semantics == RMAP_FAILABLE || result == RMAP_UNMAP_SUCCESS);
	return result;
}

/* --- objects and ranges ----------------------------------------------------------------------- */

int library_object_begin(struct vm_thread *thread, struct vm *vm, struct object *object)
{
	struct rmap_object *index;
	int error;

	(void)thread;
	if (!object->is_file && library_of(vm)->chaining->anonymous)
		return 0;
	error = rmap_object_create(map_of(vm), &index);
	if (!error)
		object->index = index;
	return error;
}

void library_object_end(struct vm *vm, struct object *object)
{
	(void)vm;
	rmap_object_destroy(object->index);
	object->index = NULL;
}

uint64_t library_sequence(const struct object *object)
{
	return object->index ? rmap_object_truncate_seq(object->index) : 0;
}

static struct rmap_range range_of(const struct vm *vm, const struct vma *vma, uint64_t end, uint64_t owner)
{
	return (struct rmap_range){
		.first = index_of(vm, vma->offset),
		.last = index_of(vm, vma->offset + (end - vma->start) - 1),
		.address = (vma->start - piece_of(vm, vma->offset)) << VM_PAGE_SHIFT,
		.owner = owner,
		.page_shift = VM_PAGE_SHIFT + vm->options.cluster_bits,
		.tags = vma->nonlinear ? RMAP_RANGE_NONLINEAR : 0,
	};
}

static uint64_t owner_new(struct mm *mm)
{
	return ++mm->ranges << OWNER_MM_BITS | mm->id;
}

int library_attach(struct vm_thread *thread, struct vma *vma, struct vma *like)
{
	(void)like;
	if (!vma->object->index)
		return 0;
	vma->range = range_of(thread->vm, vma, vma->end, owner_new(vma->mm));
	return rmap_object_attach(vma->object->index, &vma->range);
}

void library_detach(struct vm_thread *thread, struct vma *vma)
{
	(void)thread;
	vm_must(!vma->object->index || rmap_object_detach(vma->object->index, &vma->range) == 0);
}

/* Two ranges in the place of one. If both cover the page that is split, they need new owners to differ in. */
int library_split(struct vm_thread *thread, struct vma *vma, struct vma *high)
{
	bool at_border = piece_of(thread->vm, high->offset) == 0;
	uint64_t owner = vma->range.owner;
	struct rmap_range ranges[] = {
		range_of(thread->vm, vma, high->start, at_border ? owner : owner_new(vma->mm)),
		range_of(thread->vm, high, high->end, at_border ? owner : owner_new(vma->mm)),
	};
	int error = 0;

	if (vma->object->index)
		error = rmap_object_replace(vma->object->index, &vma->range, ranges, 2);
	if (error)
		return error;
	vma->end = high->start;
	vma->range = ranges[0];
	high->range = ranges[1];
	return 0;
}

int library_resize(struct vm_thread *thread, struct vma *vma, uint64_t end)
{
	const struct rmap_range range = range_of(thread->vm, vma, end, vma->range.owner);
	int error = 0;

	if (vma->object->index && range.last != vma->range.last)
		error = rmap_object_resize(vma->object->index, &vma->range, range.first, range.last);
	if (error)
		return error;
	vma->end = end;
	vma->range = range;
	return 0;
}

int library_tag(struct vm_thread *thread, struct vma *vma)
{
	int error = rmap_object_tag(vma->object->index, &vma->range, RMAP_RANGE_NONLINEAR);

	(void)thread;
	if (!error)
		vma->range.tags = RMAP_RANGE_NONLINEAR;
	return error;
}

/* --- checks ----------------------------------------------------------------------------------- */

static int pass_by(void *arg, const struct rmap_visit *visit)
{
	(void)arg, (void)visit;
	return 0;
}

const char *library_check(struct vm_thread *thread, struct page *page, const struct mappings *found)
{
	struct rmap *map = map_of(thread->vm);
	bool used = atomic_load(&page->refs) > 0, linear = !used || has_linear(thread->vm, page);
	struct mappings is = { linear ? found->linear : 0, found->nonlinear + (linear ? 0 : found->linear),
			       found->locked };
	struct rmap_walk_summary summary;
	struct rmap_target target;
	struct rmap_counts counts;
	const char *wrong = NULL;

	library_enter(thread);
	counts = rmap_page_counts(map, &page->rmap);
	if (rmap_page_check(map, &page->rmap, NULL))
		wrong = "rmap_page_check";
	else if (counts.chained != is.nonlinear || counts.linear != is.linear || counts.locked != is.locked)
		wrong = "counts of chained, linear and locked mappings are not those of the ptes";
	if (!wrong && used) {
		target = library_target(thread->vm, page);
		rmap_walk(map, &target, pass_by, NULL, &summary);
		if (summary.chained != is.nonlinear || summary.linear != is.linear || summary.unnamed != is.locked)
			wrong = "a walk's summary is not what the ptes say";
	}
	library_leave(thread);
	return wrong;
}

const char *library_check_object(struct vm *vm, const struct object *object, uint64_t vmas)
{
	const char *wrong = NULL;

	if (!object->index)
		return NULL;
	rmap_read_lock(map_of(vm));
	if (rmap_object_check(object->index))
		wrong = "rmap_object_check";
	else if (rmap_object_ranges(object->index) != vmas)
		wrong = "it has not as many ranges as vmas";
	rmap_read_unlock(map_of(vm));
	return wrong;
}
