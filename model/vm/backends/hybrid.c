/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hybrid.c - librmap under the VM: each call of the library that an embedder needs, in one place
 *
 * A pte is told by its own bits which kind of mapping it is: linear ones are found by the range of their vma and only
 * counted, but that they tell their name in case that the page has no other; nonlinear ones are chained by their name;
 * locked ones are only counted. A name, or the owner of a range, stays meaningful when what it named is gone: an mm is
 * looked up by its number.
 *
 * A vma's range is attached before its first pte is set and detached after its last one is cleared, and a change
 * publishes the new range before it withdraws the old one; so a walk finds each linear mapping at each moment.
 *
 *      range.first   = offset >> cluster_bits
 *      range.last    = (offset + end - start - 1) >> cluster_bits
 *      range.address = where piece 0 of page range.first is, or would be if it is not mapped here
 *
 * With clusters a vma may begin and end inside a page. Its range covers that page as a whole, at the address where its
 * first piece would be. Two vmas may then share a page's index and address, and must differ in their owners: an owner
 * is the mm's number and a serial number.
 *
 * In the order of 2003 a pass over a page holds its chain lock, which lies below pte locks; so it only tries those.
 */
#include "../backend.h"

#include <errno.h>
#include <stdlib.h>

#define OWNER_MM_BITS 16u
#define HANDLE_VPN_BITS (VM_LEVELS * 9)

enum { PART_CHAINS, PART_RANGES };

/* @chains, @metadata: the heap, counted in the ledger */
struct hybrid {
	struct vm *vm;
	struct rmap *map;
	struct rmap_tier chains;
	struct rmap_tier metadata;
};

static struct rmap *map_of(const struct vm *vm)
{
	return ((const struct hybrid *)vm->map)->map;
}

static struct rmap_reserve *reserve_of(const struct vm_thread *thread)
{
	return thread->map;
}

static struct page *page_of(const struct rmap_page *rmap)
{
	return (struct page *)(uintptr_t)((uintptr_t)rmap - offsetof(struct page, rmap));
}

static struct rmap_target target_of(const struct page *page)
{
	return (struct rmap_target){ &page->rmap, page->object->index, page->index, page->index };
}

/* --- memory ----------------------------------------------------------------------------------- */

static void *tier_take(struct hybrid *hybrid, unsigned part, size_t bytes, size_t align)
{
	void *memory;

	if (!ledger_add(hybrid->vm, part, (int64_t)bytes))
		return NULL;
	memory = aligned_alloc(align, (bytes + align - 1) / align * align);
	if (!memory)
		ledger_add(hybrid->vm, part, -(int64_t)bytes);
	return memory;
}

static void *chains_alloc(void *arg, size_t bytes, size_t align)
{
	return tier_take(arg, PART_CHAINS, bytes, align);
}

static void chains_free(void *arg, void *memory, size_t bytes)
{
	free(memory);
	ledger_add(((struct hybrid *)arg)->vm, PART_CHAINS, -(int64_t)bytes);
}

static void *ranges_alloc(void *arg, size_t bytes, size_t align)
{
	return tier_take(arg, PART_RANGES, bytes, align);
}

static void ranges_free(void *arg, void *memory, size_t bytes)
{
	free(memory);
	ledger_add(((struct hybrid *)arg)->vm, PART_RANGES, -(int64_t)bytes);
}

static int hybrid_create(struct vm *vm)
{
	struct rmap_options options = RMAP_OPTIONS_DEFAULT;
	struct hybrid *hybrid = calloc(1, sizeof(*hybrid));

	if (!hybrid)
		return -ENOMEM;
	vm->map = hybrid;
	hybrid->vm = vm;
	hybrid->chains = (struct rmap_tier){ .alloc = chains_alloc, .free = chains_free, .arg = hybrid };
	hybrid->metadata = (struct rmap_tier){ .alloc = ranges_alloc, .free = ranges_free, .arg = hybrid };
	options.multiplicity_bits = vm->options.cluster_bits;
	options.reclaim = vm->options.reclaim;
	options.tier = &hybrid->chains;
	options.metadata = &hybrid->metadata;
	return rmap_create(&options, &hybrid->map);
}

static int hybrid_destroy(struct vm *vm)
{
	int error = vm->map ? rmap_destroy(map_of(vm)) : 0;

	if (!error)
		free(vm->map);
	return error;
}

static int hybrid_thread_begin(struct vm_thread *thread)
{
	struct rmap_reserve *reserve;
	int error = rmap_reserve_create(map_of(thread->vm), &reserve);

	if (error)
		return error;
	thread->map = reserve;
	rmap_thread_register(map_of(thread->vm));
	return 0;
}

static void hybrid_thread_end(struct vm_thread *thread)
{
	rmap_reserve_destroy(reserve_of(thread));
	rmap_thread_unregister(map_of(thread->vm));
}

static int hybrid_fill(struct vm_thread *thread, unsigned adds)
{
	return rmap_reserve_fill(reserve_of(thread), adds);
}

static void hybrid_enter(struct vm_thread *thread)
{
	rmap_read_lock(map_of(thread->vm));
}

static void hybrid_leave(struct vm_thread *thread)
{
	rmap_read_unlock(map_of(thread->vm));
}

/* --- mappings --------------------------------------------------------------------------------- */

static struct rmap_mapping mapping_of(const struct mm *mm, uint64_t vpn, uint64_t pte)
{
	uint64_t name = ((uint64_t)mm->id << HANDLE_VPN_BITS | vpn) << 3;

	if (pte & PTE_LOCKED)
		return rmap_locked();
	return pte & PTE_NONLINEAR ? rmap_chained(name) : rmap_named(name);
}

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

typedef int (*rmap_adder)(struct rmap_reserve *reserve, struct rmap_page *page, struct rmap_mapping mapping);

static void add_by(struct vm_thread *thread, struct page *page, struct rmap_mapping mapping, rmap_adder add)
{
	int events;

	chain_lock(thread, page);
	hybrid_enter(thread);
	events = add(reserve_of(thread), &page->rmap, mapping);
	hybrid_leave(thread);
	done(thread, page, events);
}

static void hybrid_add(struct vm_thread *thread, struct page *page, struct leaf *leaf, uint64_t vpn, uint64_t pte)
{
	add_by(thread, page, mapping_of(leaf->mm, vpn, pte), rmap_page_add);
}

static void hybrid_duplicate(struct vm_thread *thread, struct page *page, struct leaf *leaf, uint64_t vpn, uint64_t pte)
{
	add_by(thread, page, mapping_of(leaf->mm, vpn, pte), rmap_page_duplicate);
}

static void hybrid_remove(struct vm_thread *thread, struct page *page, const struct mm *mm, struct leaf *leaf,
			  uint64_t vpn, uint64_t pte)
{
	(void)leaf;
	add_by(thread, page, mapping_of(mm, vpn, pte), rmap_page_remove);
}

static void hybrid_move(struct vm_thread *thread, struct page *page, const struct place *from, const struct place *to)
{
	int events;

	chain_lock(thread, page);
	hybrid_enter(thread);
	events = rmap_page_move(reserve_of(thread), &page->rmap, mapping_of(from->leaf->mm, from->vpn, from->pte),
				mapping_of(to->leaf->mm, to->vpn, to->pte));
	hybrid_leave(thread);
	done(thread, page, events);
}

static uint32_t hybrid_mapcount(struct vm_thread *thread, const struct page *page)
{
	uint32_t mapcount;

	hybrid_enter(thread);
	mapcount = rmap_page_mapcount(map_of(thread->vm), &page->rmap);
	hybrid_leave(thread);
	return mapcount;
}

static uint32_t hybrid_locked(struct vm_thread *thread, const struct page *page)
{
	struct rmap_counts counts;

	hybrid_enter(thread);
	counts = rmap_page_counts(map_of(thread->vm), &page->rmap);
	hybrid_leave(thread);
	return counts.locked;
}

/* --- walks ------------------------------------------------------------------------------------ */

static uint32_t owner_mm(uint64_t owner)
{
	return (uint32_t)(owner & ((1u << OWNER_MM_BITS) - 1));
}

static struct spot spot_from(const struct vm *vm, struct mm *mm, uint64_t vpn)
{
	uint64_t end = vpn + pieces(vm) < vpn_end(vm) ? vpn + pieces(vm) : vpn_end(vm);
	struct spot spot = { .mm = mm, .first = vpn, .end = end };

	spot_find(vm, &spot);
	return spot;
}

static struct spot linear_spot(const struct vm *vm, const struct rmap_range *range, uint64_t address)
{
	return spot_from(vm, mm_at(vm, owner_mm(range->owner)), address >> VM_PAGE_SHIFT);
}

static struct spot named_spot(const struct vm *vm, uint64_t name)
{
	return spot_from(vm, mm_at(vm, (uint32_t)(name >> (HANDLE_VPN_BITS + 3))),
			 name >> 3 & (((uint64_t)1 << HANDLE_VPN_BITS) - 1));
}

static struct spot batch_spot(const struct vm *vm, const struct rmap_visits *visits, size_t i)
{
	const struct rmap_range *range;

	if (visits->kind != RMAP_LINEAR)
		return named_spot(vm, rmap_visits_handle(visits, i));
	range = rmap_visits_range(visits, i);
	return linear_spot(vm, range, rmap_range_address(range, rmap_visits_index(visits, i)));
}

/* So many are looked up together. */
#define SPOTS 8u

/* @enough: so many ptes. @visits: in this section */
struct looking {
	struct vm_thread *thread;
	struct page *page;
	struct walk *walk;
	uint32_t enough;
	size_t visits;
};

/* What ends a call of rmap_walk_batches(): the walk has ended, or is to go on in another section. */
enum { ENDED = 1, PAUSED };

static void find_spots(const struct vm *vm, const struct rmap_visits *visits, size_t first, struct spot *spots)
{
	for (size_t i = first; i < visits->n && i < first + SPOTS; i++)
		spots[i - first] = batch_spot(vm, visits, i);
	window(vm, VM_WINDOW_SPOTS);
}

static int look_at_batch(void *arg, const struct rmap_visits *visits)
{
	struct looking *looking = arg;
	struct walk *walk = looking->walk;
	struct spot spots[SPOTS];

	for (size_t i = 0; i < visits->n; i++) {
		bool goes_on;

		if (i % SPOTS == 0)
			find_spots(looking->thread->vm, visits, i, spots);
		goes_on = walk_spot(looking->thread, looking->page, &spots[i % SPOTS], false, walk);
		if (walk->visited)
			walk->visited(walk, visits->kind == RMAP_CHAINED ? rmap_visits_count(visits, i) : WALK_UNKNOWN);
		if (!goes_on || walk->found >= looking->enough)
			return ENDED;
	}
	looking->visits += visits->n;
	return looking->visits >= RMAP_VISITS_MAX ? PAUSED : 0;
}

/* Tables need no section; batches do, and one section is for so many visits, lest all retired memory wait. */
static void hybrid_walk(struct vm_thread *thread, struct page *page, struct walk *walk)
{
	struct rmap_target target = target_of(page);
	struct looking looking = { thread, page, walk, UINT32_MAX, 0 };
	struct rmap_cursor cursor;
	int stop;

	rmap_cursor_init(&cursor, map_of(thread->vm), &target);
	do {
		looking.visits = 0;
		hybrid_enter(thread);
		/* Accessed bits are hints: it is enough to have seen as many ptes as there were. */
		if (walk->ages && looking.enough == UINT32_MAX)
			looking.enough = rmap_page_mapcount(map_of(thread->vm), &page->rmap);
		stop = rmap_walk_batches(&cursor, look_at_batch, &looking);
		hybrid_leave(thread);
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

static int clear(void *arg, const struct rmap_target *target, const struct rmap_visit *visit, unsigned flags,
		 uint64_t *cleared)
{
	struct pass *pass = arg;
	struct clearing clearing = { .pass = pass, .cleared = cleared, .force = flags & RMAP_UNMAP_FORCE };
	struct walk walk = { .action = clear_pte, .arg = &clearing };
	const struct vm *vm = pass->thread->vm;
	struct spot spot = visit->kind == RMAP_LINEAR ? linear_spot(vm, &visit->range, visit->address) :
							named_spot(vm, visit->handle);

	walk_spot(pass->thread, page_of(target->page), &spot, flags & RMAP_UNMAP_TRY, &walk);
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
	*target = target_of(page);
	return 0;
}

static void unlock(void *arg, const struct rmap_target *target)
{
	struct pass *pass = arg;

	pass_end(pass->thread, page_of(target->page));
	cut_unlock(pass, page_of(target->page));
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

static int hybrid_unmap(struct pass *pass, struct page *page, struct rmap_unmap_report *report)
{
	struct vm *vm = pass->thread->vm;
	struct rmap_target target = target_of(page);
	int result;

	count(pass->thread, FIGURE_WALKED, 1);
	pass_begin(pass->thread, page);
	result = rmap_unmap(map_of(vm), &callbacks, pass, &target, unmap_flags(vm), RMAP_FAILABLE, report);
	pass_end(pass->thread, page);
	vm_must(result >= 0 && result != RMAP_UNMAP_STOPPED);
	vm_must(result != RMAP_UNMAP_LOCKED || report->cleared == 0); /* no page is left half unmapped */
	return result;
}

static int hybrid_truncate(struct pass *pass, const struct cut *cut, struct rmap_unmap_report *report)
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

static int hybrid_object_begin(struct vm_thread *thread, struct vm *vm, struct object *object)
{
	struct rmap_object *index;
	int error = rmap_object_create(map_of(vm), &index);

	(void)thread;
	if (!error)
		object->index = index;
	return error;
}

static void hybrid_object_end(struct vm *vm, struct object *object)
{
	(void)vm;
	rmap_object_destroy(object->index);
	object->index = NULL;
}

static uint64_t hybrid_sequence(const struct object *object)
{
	return rmap_object_truncate_seq(object->index);
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

static int hybrid_attach(struct vm_thread *thread, struct vma *vma, struct vma *like)
{
	(void)like;
	vma->range = range_of(thread->vm, vma, vma->end, owner_new(vma->mm));
	return rmap_object_attach(vma->object->index, &vma->range);
}

static void hybrid_detach(struct vm_thread *thread, struct vma *vma)
{
	(void)thread;
	vm_must(rmap_object_detach(vma->object->index, &vma->range) == 0);
}

/* Two ranges in the place of one. If both cover the page that is split, they need new owners to differ in. */
static int hybrid_split(struct vm_thread *thread, struct vma *vma, struct vma *high)
{
	bool at_border = piece_of(thread->vm, high->offset) == 0;
	uint64_t owner = vma->range.owner;
	struct rmap_range ranges[] = {
		range_of(thread->vm, vma, high->start, at_border ? owner : owner_new(vma->mm)),
		range_of(thread->vm, high, high->end, at_border ? owner : owner_new(vma->mm)),
	};
	int error = rmap_object_replace(vma->object->index, &vma->range, ranges, 2);

	if (error)
		return error;
	vma->end = high->start;
	vma->range = ranges[0];
	high->range = ranges[1];
	return 0;
}

static int hybrid_resize(struct vm_thread *thread, struct vma *vma, uint64_t end)
{
	const struct rmap_range range = range_of(thread->vm, vma, end, vma->range.owner);
	int error = 0;

	if (range.last != vma->range.last)
		error = rmap_object_resize(vma->object->index, &vma->range, range.first, range.last);
	if (error)
		return error;
	vma->end = end;
	vma->range = range;
	return 0;
}

static int hybrid_tag(struct vm_thread *thread, struct vma *vma)
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

static const char *hybrid_check(struct vm_thread *thread, struct page *page, const struct mappings *found)
{
	struct rmap *map = map_of(thread->vm);
	struct rmap_walk_summary summary;
	struct rmap_target target;
	struct rmap_counts counts;
	const char *wrong = NULL;

	hybrid_enter(thread);
	counts = rmap_page_counts(map, &page->rmap);
	if (rmap_page_check(map, &page->rmap, NULL))
		wrong = "rmap_page_check";
	else if (counts.chained != found->nonlinear || counts.linear != found->linear || counts.locked != found->locked)
		wrong = "counts of chained, linear and locked mappings are not those of the ptes";
	if (!wrong && atomic_load(&page->refs) > 0) {
		target = target_of(page);
		rmap_walk(map, &target, pass_by, NULL, &summary);
		if (summary.chained != found->nonlinear || summary.linear != found->linear ||
		    summary.unnamed != found->locked)
			wrong = "a walk's summary is not what the ptes say";
	}
	hybrid_leave(thread);
	return wrong;
}

static const char *hybrid_check_object(struct vm *vm, const struct object *object, uint64_t vmas)
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

const struct vm_backend vm_backend_hybrid = {
	.name = "hybrid",
	.summary = "librmap: counts what is linear or locked, chains what is not",
	.traits = VM_BACKEND_WALKS | VM_BACKEND_MIGRATES | VM_BACKEND_TELLS_LOCKS,
	.parts = { "slabs of chains", "ranges, objects, reserves" },
	.create = hybrid_create,
	.destroy = hybrid_destroy,
	.thread_begin = hybrid_thread_begin,
	.thread_end = hybrid_thread_end,
	.object_begin = hybrid_object_begin,
	.object_end = hybrid_object_end,
	.fill = hybrid_fill,
	.enter = hybrid_enter,
	.leave = hybrid_leave,
	.sequence = hybrid_sequence,
	.add = hybrid_add,
	.duplicate = hybrid_duplicate,
	.remove = hybrid_remove,
	.move = hybrid_move,
	.mapcount = hybrid_mapcount,
	.locked = hybrid_locked,
	.walk = hybrid_walk,
	.unmap = hybrid_unmap,
	.truncate = hybrid_truncate,
	.attach = hybrid_attach,
	.detach = hybrid_detach,
	.split = hybrid_split,
	.resize = hybrid_resize,
	.tag = hybrid_tag,
	.check = hybrid_check,
	.check_object = hybrid_check_object,
};
