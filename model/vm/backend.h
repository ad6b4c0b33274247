/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * backend.h - the narrow side between the VM and a reverse map; for model/vm/ alone
 *
 * The VM owns mms, vmas, page tables, files and frames. A backend is told of each mapping that comes, goes, moves and
 * is copied, and of each vma; what it keeps of that is its own, with its locks and its memory. It is asked for the
 * mappings of a page, and told to take all of them off (unmap) or off a file's end (truncate), where designs differ
 * most.
 *
 *      VM                                                      backend
 *      fault, fork, mremap ...   before any lock               fill, prepare      may sleep, may fail
 *                                under the pte lock            add, duplicate, remove, move
 *      mmap, munmap, fork        under the mm lock             attach, detach, split, resize, tag
 *      aging, write-back ...                                   walk  ---> walk_leaf(), walk_window(): the pte lock,
 *                                                                         and what is done to each pte of the page
 *      reclaim, truncate                                       unmap, truncate  ---> walks, cut_ functions below
 *
 * A place where a pte may be found is a hint: walk_leaf() and walk_window() look at the pte under its lock.
 */
#ifndef VM_BACKEND_H
#define VM_BACKEND_H

#include "system.h"

/*
 * One walk over the mappings of a page.
 * @action:  for each pte that maps the page, under its lock, with @arg
 * @ends:    NULL, or: the walk may end when it is true
 * @origin:  0, or: only ptes that map the page so that it begins there
 * @ages:    it looks at accessed bits, as reclaim and aging do
 * @entries: @action can do with an entry for all ptes of a leaf, which otherwise is taken apart
 * @visits_max: it ends after so many, WALK_LOOK_MAX at most with @look; 0: it does not
 * @look:    NULL, or: it goes on there, if that is of this page; otherwise there begins one that is. Backends without
 *           cursors begin anew each time
 * @unfinished: it ended so, and will go on
 * @visited: NULL, or: after each visit, how many nonlinear mappings it stands for; WALK_UNKNOWN: the backend cannot
 * tell
 * @visits, @empty: places looked at; those where no pte mapped the page
 * @found:   ptes
 * @refused: locks
 * @unnamed: mappings that were there, so far as the backend knows, and were not visited
 */
struct walk {
	pte_action action;
	void *arg;
	const bool *ends;
	uint64_t origin;
	bool ages;
	bool entries;
	uint32_t visits_max;
	struct rmap_cursor *look;
	bool unfinished;
	void (*visited)(struct walk *walk, uint32_t expected);
	uint32_t visits;
	uint32_t empty;
	uint32_t found;
	uint32_t refused;
	uint32_t unnamed;
};

#define WALK_UNKNOWN UINT32_MAX
#define WALK_LOOK_MAX 32u

/* What page tables say of a page's mappings, at rest. */
struct mappings {
	uint32_t linear;
	uint32_t nonlinear;
	uint32_t locked;
};

/*
 * struct vm_backend - one reverse map
 * @order:    of its locks; NULL: as options.locks says
 * @parts:    what the ledger calls its memory
 *
 * Those marked so may be NULL, which does nothing, succeeds, or is 0.
 *
 * @create:       sets vm->map. After it failed: destroy
 * @destroy:      after all threads' ends, all objects' too. vm->map may be NULL, and what it has half done. Return: 0;
 *                -EBUSY: something leaked
 * @thread_begin, @thread_end: set and end thread->map; the end with locks for whoever is to be waited for
 * @object_begin: a file, or a fork family that has no mm and no page, begins a life
 * @object_end:   (NULL) it ends, or never began. No thread is at it
 * @mm_begin:     (NULL) before anybody sees the mm, its family set. mm_end: when nothing of it is mapped any more
 * @prepare:      (NULL) @page is new, anonymous, and will be mapped by @vma. Holds: the mm lock, shared
 * @forks_freely: (NULL: no) to duplicate what this vma maps needs no memory
 * @nonlinear:    (NULL) @page of a file will be mapped by a nonlinear vma. Holds: the mm lock and the page lock. May
 *                fail
 * @fill:         so many adds, duplicates and moves will not lack memory
 * @enter, @leave: (NULL) a section in which the sequence is looked at, and mappings are made: truncates wait for those
 *                under way when they began. Without, a fault looks again after it
 * @sequence:     of truncates of @object that have begun. NULL: object->sequence
 * @add:          the pte of @leaf at @vpn is to be @pte, which maps @page. Holds: the pte lock. Filled
 * @duplicate:    (NULL: add) the same, and the page is mapped by the parent, at the same vpn
 * @remove:       it no longer is @pte; FLUSH_LATE: @leaf may be gone. Holds: the pte lock
 * @move:         what @from maps is mapped elsewhere, or by another kind of pte. Filled
 * @mapcount:     moments ago, unless the page is locked
 * @locked:       of these those whose ptes are locked; 0: it does not know
 * @walk:         no lock above pte locks held, but page locks
 * @unmap:        clear all ptes of @page, unless one is locked, or as pass->forces says; no flush. Holds: the page
 *                lock. Return: an rmap_unmap_result
 * @truncate:     unmap and drop what @cut says. Holds: the file's resize lock
 * @may_truncate: (NULL: yes) is it able to? Holds: the file's resize lock
 * @attach:       @vma, in its place, is one of its object's; @like: NULL, or the vma of the parent or of this mm that
 *                it is a copy of. Holds: the mm lock, exclusively
 * @detach:       nothing maps anything there
 * @split:        @high, in its place, gets what is behind its start, and @vma ends there
 * @resize:       it grows at its end, to @end
 * @tag:          (NULL) nonlinear ptes will be there
 * @check:        NULL, or what does not hold of @page, at rest. check_object: (NULL) the same; @vmas: how many it has
 * @bytes:        (NULL) bring the ledger up to date
 */
struct vm_backend {
	const char *name;
	const char *summary;
	unsigned traits;
	const struct vm_order *order;
	const char *parts[VM_PARTS_MAX];
	int (*create)(struct vm *vm);
	int (*destroy)(struct vm *vm);
	int (*thread_begin)(struct vm_thread *thread);
	void (*thread_end)(struct vm_thread *thread);
	int (*object_begin)(struct vm_thread *thread, struct vm *vm, struct object *object);
	void (*object_end)(struct vm *vm, struct object *object);
	int (*mm_begin)(struct vm_thread *thread, struct mm *mm);
	void (*mm_end)(struct vm_thread *thread, struct mm *mm);
	int (*prepare)(struct vm_thread *thread, struct vma *vma, struct page *page);
	bool (*forks_freely)(const struct vma *vma);
	int (*nonlinear)(struct vm_thread *thread, struct page *page);
	int (*fill)(struct vm_thread *thread, unsigned adds);
	void (*enter)(struct vm_thread *thread);
	void (*leave)(struct vm_thread *thread);
	uint64_t (*sequence)(const struct object *object);
	void (*add)(struct vm_thread *thread, struct page *page, struct leaf *leaf, uint64_t vpn, uint64_t pte);
	void (*duplicate)(struct vm_thread *thread, struct page *page, struct leaf *leaf, uint64_t vpn, uint64_t pte);
	void (*remove)(struct vm_thread *thread, struct page *page, const struct mm *mm, struct leaf *leaf,
		       uint64_t vpn, uint64_t pte);
	void (*move)(struct vm_thread *thread, struct page *page, const struct place *from, const struct place *to);
	uint32_t (*mapcount)(struct vm_thread *thread, const struct page *page);
	uint32_t (*locked)(struct vm_thread *thread, const struct page *page);
	void (*walk)(struct vm_thread *thread, struct page *page, struct walk *walk);
	int (*unmap)(struct pass *pass, struct page *page, struct rmap_unmap_report *report);
	bool (*may_truncate)(const struct object *object);
	int (*truncate)(struct pass *pass, const struct cut *cut, struct rmap_unmap_report *report);
	int (*attach)(struct vm_thread *thread, struct vma *vma, struct vma *like);
	void (*detach)(struct vm_thread *thread, struct vma *vma);
	int (*split)(struct vm_thread *thread, struct vma *vma, struct vma *high);
	int (*resize)(struct vm_thread *thread, struct vma *vma, uint64_t end);
	int (*tag)(struct vm_thread *thread, struct vma *vma);
	const char *(*check)(struct vm_thread *thread, struct page *page, const struct mappings *found);
	const char *(*check_object)(struct vm *vm, const struct object *object, uint64_t vmas);
	void (*bytes)(struct vm *vm);
};

static inline bool backend_has(const struct vm *vm, enum vm_backend_trait trait)
{
	return vm->backend->traits & trait;
}

static inline void section_enter(struct vm_thread *thread)
{
	if (thread->vm->backend->enter)
		thread->vm->backend->enter(thread);
}

static inline void section_leave(struct vm_thread *thread)
{
	if (thread->vm->backend->leave)
		thread->vm->backend->leave(thread);
}

/* The page that @pte mapped has lost that mapping. Holds: the pte lock */
static inline void mapping_remove(struct vm_thread *thread, struct mm *mm, struct leaf *leaf, uint64_t vpn,
				  uint64_t pte)
{
	thread->vm->backend->remove(thread, pte_page(thread->vm, pte), mm, leaf, vpn, pte);
}

static inline uint64_t object_sequence(const struct vm *vm, const struct object *object)
{
	return vm->backend->sequence ? vm->backend->sequence(object) : atomic_load(&object->sequence);
}

/* --- ledger.c --------------------------------------------------------------------------------- */

/* @part of the ledger grows by so many bytes, or shrinks. Return: false: options.map_bytes does not allow it */
bool ledger_add(struct vm *vm, unsigned part, int64_t bytes);

/* --- walk.c: from places to ptes ---------------------------------------------------------------- */

/*
 * Ptes that one visit looks at: [first, end) of @mm, which need no reference; NULL: of none. @leaf: spot_find() sets it
 */
struct spot {
	struct mm *mm;
	uint64_t first;
	uint64_t end;
	struct leaf *leaf;
};

/* Looks its table up, and has the processor fetch it. After what has named the spot was read */
void spot_find(const struct vm *vm, struct spot *spot);

/*
 * One visit: the ptes of [first, end) that map @page, in @leaf, whose mm has a mapping there that stays; in @mm; or of
 * @spot, which was looked up. @tries: their locks. Return: whether the walk goes on
 */
bool walk_leaf(struct vm_thread *thread, struct page *page, struct leaf *leaf, uint64_t first, uint64_t end, bool tries,
	       struct walk *walk);
bool walk_window(struct vm_thread *thread, struct page *page, struct mm *mm, uint64_t first, uint64_t end, bool tries,
		 struct walk *walk);
bool walk_spot(struct vm_thread *thread, struct page *page, const struct spot *spot, bool tries, struct walk *walk);
/* Where no mm is any more. */
bool walk_nowhere(struct vm_thread *thread, struct walk *walk);
/* The walk of the backend. */
void page_walk(struct vm_thread *thread, struct page *page, struct walk *walk);

/* --- unmap.c: clearing ---------------------------------------------------------------------------- */

/*
 * What is done to ptes of a page that is to be unmapped.
 * @cleared: is added to
 * @force:   locked ones, too. Without, @locked tells that there was one
 */
struct clearing {
	struct pass *pass;
	uint64_t *cleared;
	bool force;
	bool locked;
};

/* A pte_action; @arg: a struct clearing. Holds: the page lock, so the mapping goes before the flush */
void clear_pte(struct vm_thread *thread, struct leaf *leaf, uint64_t vpn, void *arg);
/*
 * Ptes [first, end) of @mm that map what @cut says, or copies, are cleared, flushed, and their mappings removed. Holds:
 * no page or pte lock
 */
void cut_window(struct pass *pass, const struct cut *cut, struct mm *mm, uint64_t first, uint64_t end,
		uint64_t *cleared);
/* The first page of the file with an index first .. last, locked, with a reference. NULL: none */
struct page *cut_lock_next(struct pass *pass, uint64_t first, uint64_t last);
void cut_unlock(struct pass *pass, struct page *page);
/* It leaves the file; @orphan: mapped. Holds: its lock */
void cut_drop(struct pass *pass, struct page *page, bool orphan);
/* It stays there, mapped. @again: for a lock was refused, or a mapping was on its way */
void cut_left(struct pass *pass, struct page *page, bool again);
/* What was cleared, by a pass that does not defer it. */
void cut_flush(struct pass *pass);
/* After a round that left something. @fruitless: how many in a row have cleared nothing */
void cut_wait(uint64_t fruitless);

/* --- clock.c ------------------------------------------------------------------------------------ */

/* From now on vm->backend is one that is timed, if options.timed says so. Return: 0; -ENOMEM */
int clock_begin(struct vm *vm);
void clock_end(struct vm *vm);
/* What is done in between is no part of the call under way. */
struct stopwatch_pause clock_pause(struct vm_thread *thread);
void clock_resume(struct vm_thread *thread, const struct stopwatch_pause *pause);

#endif
