/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * system.h - what the VM is made of, and the equations that hold between its parts; for model/vm/ alone
 *
 * Lifetimes need no garbage collection, because what others may name is never freed while the VM lives: pages are an
 * array, mms are an array whose members count references (a handle names an mm by number), tables stay tables of their
 * level (pagetable.c). So a handle or a range that is out of date leads to a leaf that is another's by now, or to a pte
 * that maps something else, which its reader sees under the pte lock; and a walk needs no reference to an mm.
 *
 * Each source calls those to its left, and no others but through the backend and vm->reclaim: lock, clock, buddy,
 * frame, tlb, pagetable, walk, file, swap, unmap, folio, the backends, vma, migrate, fault, change, check, reclaim, vm.
 *
 * A pte, 64 bits:
 *
 *      63           12  11     10..8  7     6     5       4          3      2         1      0
 *      [ value        |entry| moving| file| swap| locked| nonlinear| dirty| accessed| write| present ]
 *
 *      present   value = frame << cluster_bits | piece        kind = locked ? RMAP_LOCKED :
 *      swap      value = slot << cluster_bits | piece                nonlinear ? RMAP_CHAINED : RMAP_LINEAR
 *      file      value = the piece of the file to map here, a nonlinear pte that is not present
 *      moving    as present, but nobody uses it: the page is on its way to another frame (migrate.c)
 *      entry     present, and for as many ptes as a leaf has (struct leaf)
 *      0         not mapped yet: the vma says what belongs here
 *
 * It holds all that is needed to remove its mapping, so whoever clears it needs no vma, and no mm lock.
 */
#ifndef VM_SYSTEM_H
#define VM_SYSTEM_H

#include "backends/interval.h"
#include "lock.h"
#include "vm.h"

#include <stdatomic.h>
#include <sys/queue.h>

#define VM_PAGE_SHIFT 12u
#define VM_LEVELS 4u
#define VM_CLUSTER_MAX 16u
#define LINE_BYTES 64u

#define PTE_PRESENT ((uint64_t)1 << 0)
#define PTE_WRITE ((uint64_t)1 << 1)
#define PTE_ACCESSED ((uint64_t)1 << 2)
#define PTE_DIRTY ((uint64_t)1 << 3)
#define PTE_NONLINEAR ((uint64_t)1 << 4)
#define PTE_LOCKED ((uint64_t)1 << 5)
#define PTE_SWAP ((uint64_t)1 << 6)
#define PTE_FILE ((uint64_t)1 << 7)
#define PTE_SEEN ((uint64_t)1 << 8) /* vm_check() alone: a walk came by */
#define PTE_MOVING ((uint64_t)1 << 9)
#define PTE_ROUND ((uint64_t)1 << 10) /* of a moving pte: which walk has counted it */
#define PTE_ENTRY ((uint64_t)1 << 11) /* it is an entry, for as many ptes as a leaf has */
#define PTE_MAPS (PTE_PRESENT | PTE_MOVING)
#define PTE_VALUE_SHIFT 12u

static inline uint64_t pte_value(uint64_t pte)
{
	return pte >> PTE_VALUE_SHIFT;
}

static inline uint64_t pte_make(uint64_t value, uint64_t bits)
{
	return value << PTE_VALUE_SHIFT | bits;
}

/*
 * What pages belong to.
 * @index, @vmas: the backend's: by which it finds vmas, or how many there are
 * @sequence: of truncates that have begun, for backends without one of their own
 * @id:       in words: files count from 0, families after them
 * @users:    of a family: mms and pages. 0: the family is free
 */
struct object {
	union {
		void *index;
		_Atomic uint64_t vmas;
	};
	_Atomic uint64_t sequence;
	uint32_t id;
	bool is_file;
	_Atomic uint32_t users;
};

/*
 * Which pages a file has: index < size, and not hole_first <= index <= hole_last.
 * The hole is one that is being punched: as good as past the end; there is none if hole_first > hole_last
 * @collapses: the hole takes private copies, too
 */
struct extent {
	uint64_t size;
	uint64_t hole_first;
	uint64_t hole_last;
	bool collapses;
};

static inline bool extent_in_hole(const struct extent *extent, uint64_t index)
{
	return extent->hole_first <= index && index <= extent->hole_last;
}

static inline bool extent_holds(const struct extent *extent, uint64_t index)
{
	return index < extent->size && !extent_in_hole(extent, index);
}

/* Does its disk keep what is there? Also where a collapse has its hole: what is behind that moves to its place. */
static inline bool extent_keeps(const struct extent *extent, uint64_t index)
{
	return index < extent->size && (extent->collapses || !extent_in_hole(extent, index));
}

static inline bool extent_holds_copy(const struct extent *extent, uint64_t index)
{
	return index < extent->size && !(extent->collapses && extent_in_hole(extent, index));
}

/*
 * A file: its page cache, its size, its disk.
 * @object:   first, so that a page's object is its file
 * @resize:   taken by who changes size or hole, and by faults that wait for a hole
 * @lock:     the object lock: of all below
 * @cache:    cache[i] != NULL  =>  its page has index i, flag CACHED, and a reference for the cache
 * @extent:   cache[i] == NULL where it does not hold i, but for LEFT pages and those that a truncate is about to drop
 * @disk:     file_pages pages of words
 */
struct file {
	struct object object;
	struct vm_sleeping_lock resize;
	struct vm_lock lock;
	struct page **cache;
	struct extent extent;
	_Atomic uint64_t *disk;
};

enum page_flag {
	PAGE_CACHED = 1 << 0, /* in its file's cache. Changes under the page lock and the object lock */
	PAGE_DIRTY = 1 << 1,  /* newer than the disk */
	PAGE_LEFT = 1 << 2,   /* a failable truncate left it in the cache. Under the page lock */
	PAGE_ORPHAN = 1 << 3, /* a truncate dropped it mapped */
	PAGE_MOVING = 1 << 5, /* on its way to another frame: no new mappings. Changes under the page lock */
	PAGE_CONVERTED = 1 << 6, /* of the backend objrmap: a file's page that has a chain */
	PAGE_MISSES = 1 << 7,    /* the backend knows that it has lost mappings of it */
	PAGE_COPY = 1 << 4,   /* a private copy of a file's page, by whose ranges it is found; fixed, as its object */
};

enum lru_state {
	LRU_NONE,     /* free, mlocked, or not yet there */
	LRU_INACTIVE, /* on that list */
	LRU_ACTIVE,
	LRU_ISOLATED, /* a reclaimer has it */
};

TAILQ_HEAD(page_list, page);

/*
 * A frame and its struct page. A page has 2^order frames side by side, as many indexes and one struct, that of its
 * first frame, its head; the others have no more than their words, their index, and where the head is.
 *
 *      refs = mapcount + (CACHED ? 1 : 0) + references of operations under way
 *      refs = 0  <=>  free, or not a head
 *      mlocks = locked count > 0 ? 1 : 0,  if no event is under way
 *      on a list or isolated  <=>  refs > 0 and mlocks <= 0
 *
 * @object, @index, @head, @order: fixed from allocation until the page is free, also when it was truncated; but who has
 *                  the page locked, and all references beside the file's, splits it (folio.c)
 * @block:          the first frame of a free block of 2^order, in a list by @lru. Under the frame lock
 * @rmap, @word, @counts: the backend's word, in one of these forms, and @anchor and @base: what kernels have in the
 *                  mapping and index of an anonymous page. Where the first mapping was made: NULL, if none was yet
 * @lru, @state, @mlocks: under the LRU lock. Each first lock adds one to mlocks and each last lock takes one; so two
 *                  that are noted in the wrong order end right
 * @words:          contents: VM_WORDS for each piece
 */
struct page {
	union {
		struct rmap_page rmap;
		uint64_t word;
		_Atomic uint64_t counts;
	};
	void *anchor;
	uint64_t base;
	_Atomic uint32_t refs;
	_Atomic uint32_t flags;
	struct object *object;
	uint64_t index;
	struct page *head;
	unsigned order;
	bool block;
	struct vm_lock lock;
	struct vm_lock chain;
	TAILQ_ENTRY(page) lru;
	enum lru_state state;
	int mlocks;
	_Atomic uint64_t *words;
};

/*
 * A slot of swap. Under the swap lock, but for its words, which are written while @source stands.
 * @refs:   ptes that name it, and who is swapping out to it. 0: free
 * @source: whose contents are on their way here: who is swapping out has its lock, and a reference. NULL: they are here
 */
struct slot {
	uint32_t refs;
	uint32_t next_free;
	struct page *source;
	struct object *object;
	uint64_t index;
	_Atomic uint64_t *words;
};

/* What tables begin with. @free: in the list of free ones of its level, under the frame lock */
struct table {
	SLIST_ENTRY(table) free;
};

SLIST_HEAD(table_list, table);

/*
 * A table of the lowest level. @ptes, @entry: under @lock
 * @entry: 0, or the entry of the table above maps a large page as a whole, and all ptes are empty: it stands for each
 *         of them, counts as many, and has as many references. Whoever would change one of them takes it apart first
 * @mm, @first: whose, and the vpn of its first pte. They change while it is free, and nobody else sets ptes
 */
struct leaf {
	struct table table;
	struct vm_lock lock;
	_Atomic(struct mm *) mm;
	_Atomic uint64_t first;
	uint64_t entry;
	uint64_t ptes[];
};

/* A table of a higher level. Entries are set once, by compare-and-swap, and stay until it is free */
struct directory {
	struct table table;
	_Atomic(void *) entries[];
};

struct anon_vma;
struct anon_link;

/*
 * What [start, end) maps: pieces of @object from @offset on, linearly, unless a pte is nonlinear. If it is @private,
 * what was written are copies of those pieces.
 *
 * Anonymous memory: offset = the vpn at which it was mapped first. All under the mm lock; backends that read start, end
 * and offset when they walk have a lock of their own, and change them.
 * @nonlinear: a pte of it may be, or was
 * The last members are the backend's.
 */
struct vma {
	struct mm *mm;
	uint64_t start;
	uint64_t end;
	uint64_t offset;
	struct object *object;
	bool private;
	bool writable;
	bool locked;
	bool nonlinear;
	union {
		struct rmap_range range;
		LIST_ENTRY(vma) in_list;
		struct {
			struct interval interval;
			uint64_t first; /* of the interval, what the others say; as they were when it went in */
			uint64_t last;
			_Atomic(struct anon_vma *) anon;
			LIST_HEAD(, anon_link) anon_links;
		};
	};
};

/*
 * An address space.
 * @refs:   its own until it has exited, and those of operations, but walks. 0: its number is free; MM_ENDING: its
 *          tables are being given back
 * @dead:   not yet born or exiting. Until it is born all is its creator's, without the lock
 * @lock:   the mm lock, of all below but @top
 * @vmas:   a tsearch() tree of disjoint ones
 * @ranges: the backend's: how many were named; makes owners differ. @member: likewise: what it is of its family
 * @owed:   mappings of this mm that were removed and may be in use by processors yet (tlb.c)
 */
#define MM_ENDING (1u << 31)

struct mm {
	uint32_t id;
	_Atomic uint32_t refs;
	struct vm_sleeping_lock lock;
	bool dead;
	void *vmas;
	uint64_t ranges;
	struct object *family;
	void *member;
	_Atomic(void *) top;
	_Atomic uint32_t owed;
};

/* Of two nodes of memory the far one has the last options.far frames. */
enum node {
	NODE_NEAR,
	NODE_FAR,
	NODES,
};

/*
 * Bytes of the backend's parts, their sum and the most that ever was.
 */
struct ledger {
	_Atomic int64_t parts[VM_PARTS_MAX];
	_Atomic int64_t total;
	_Atomic int64_t peak;
};

/* @reclaim: who frees frames (reclaim.c). The one call upwards: those who use frames are above them */
struct vm {
	struct vm_options options;
	const struct vm_backend *backend;
	void *map; /* the backend's */
	struct clock *clock; /* NULL: none */
	struct ledger ledger;
	struct vm_checker checker;
	uint32_t (*reclaim)(struct vm_thread *thread, uint32_t n);
	struct page *pages;
	struct page_list free_blocks[NODES][VM_FOLIO_ORDER_MAX + 1]; /* by order: under frame_lock */
	uint32_t free_n[NODES]; /* frames in them */
	struct table_list free_tables[VM_LEVELS]; /* under frame_lock, too */
	struct vm_lock frame_lock;
	struct mm *mms;
	struct object *families; /* as many as mms, and as pages may outlive them */
	uint32_t families_n;
	struct file *files;
	struct slot *slots;
	uint32_t slots_free; /* the first free one; options.swap_slots: none. Under swap_lock */
	struct vm_lock swap_lock;
	struct page_list active; /* under lru_lock, as all pages' places on it */
	struct page_list inactive;
	struct vm_lock lru_lock;
	pthread_rwlock_t threads_lock;
	LIST_HEAD(, vm_thread) threads; /* under threads_lock; so is retired */
	struct vm_statistics retired;
};

static inline void window(const struct vm *vm, enum vm_window where)
{
	if (vm->options.window)
		vm->options.window(vm->options.window_arg, where);
}

/* As struct vm_statistics, of one thread, which alone writes it. */
enum figure {
	FIGURE_FAULTS,
	FIGURE_RESTARTS,
	FIGURE_COPIES,
	FIGURE_PRIVATE_COPIES,
	FIGURE_COPIES_TAKEN,
	FIGURE_REUSES,
	FIGURE_DUPLICATES,
	FIGURE_MOVES,
	FIGURE_NONLINEAR,
	FIGURE_LOCKS,
	FIGURE_UNLOCKS,
	FIGURE_UNMAPS,
	FIGURE_UNMAPS_AGAIN,
	FIGURE_UNMAPS_LOCKED,
	FIGURE_TRUNCATIONS,
	FIGURE_CLEARED,
	FIGURE_REFUSED,
	FIGURE_WALKED,
	FIGURE_VISITS,
	FIGURE_VISITS_EMPTY,
	FIGURE_WALKS_REFUSED,
	FIGURE_CONVERSIONS,
	FIGURE_UNCONVERTED,
	FIGURE_PASSES,
	FIGURE_SEARCHES,
	FIGURE_LEFTOVERS,
	FIGURE_LEFT_AGAIN,
	FIGURE_ORPHANS,
	FIGURE_SWAP_INS,
	FIGURE_SWAP_OUTS,
	FIGURE_WRITTEN_BACK,
	FIGURE_RECLAIMED,
	FIGURE_MIGRATED,
	FIGURE_PROMOTED,
	FIGURE_DEMOTED,
	FIGURE_AGED,
	FIGURE_REFERENCED,
	FIGURE_OUT_OF_FRAMES,
	FIGURE_FOLIOS,
	FIGURE_SPLITS,
	FIGURE_UNSPLIT,
	FIGURE_COLLAPSES,
	FIGURE_UNCOLLAPSED,
	FIGURE_GIVEN_BACK,
	FIGURE_ENTRIES,
	FIGURE_ENTRIES_SPLIT,
	FIGURE_TRANSLATED,
	FIGURE_FLUSHES,
	FIGURE_SETTLED,
	FIGURE_WRONG,
	FIGURES,
};

/* How a thread came to a page last time: what @pte said, and what word it found there. @pte 0: none */
struct translation {
	const struct mm *mm;
	uint64_t vpn;
	uint64_t pte;
	uint64_t want;
};

#define TRANSLATIONS 256u

/* What waits for a flush, beside the page's reference. */
enum owed_until {
	OWED_NOTHING,
	OWED_PUT,    /* nothing: the mapping is removed already, and the page locked */
	OWED_REMOVE, /* the removal of the mapping; the pte lock is held that long */
};

/*
 * Translations that processors may have and must forget, of @n ptes. @pte: what it was, or the entry for them, if that
 * was cleared; 0: it was not, or moved
 */
struct owed {
	struct mm *mm;
	struct leaf *leaf;
	uint64_t vpn;
	uint32_t n;
	uint64_t pte;
	enum owed_until until;
};

#define OWED_MAX 64u

/*
 * Which calls of the backend are timed (clock.c).
 * @calls: of each kind, since one was timed; the @due-th is; 0: not drawn yet
 * @depth: of calls under way, of which the outermost counts
 * @runs:  one is timed: @ns so far, and what is @since; the clock was read for so many stretches
 */
struct stopwatch {
	uint64_t calls[VM_CALLS];
	uint64_t due[VM_CALLS];
	uint64_t random;
	unsigned depth;
	bool runs;
	uint64_t readings;
	uint64_t ns;
	uint64_t since;
};

/* What clock_resume() goes on with. */
struct stopwatch_pause {
	unsigned depth;
	bool runs;
	uint64_t readings;
	uint64_t ns;
};

#define LOOKS 16u

/*
 * A thread's context. It is a processor, too.
 * @map:          the backend's: what it has in hand
 * @chained:      the page whose chain lock this thread holds over a walk; NULL: none
 * @translations: under @tlb_lock, by which others take theirs out
 * @owed:         [0, owed_n): what this thread has to flush
 * @looks:        how far walks that were cut short have got, of pages whose frames have these numbers modulo LOOKS
 * @watch:        if there is a clock
 */
struct vm_thread {
	struct vm *vm;
	void *map;
	struct vm_held held;
	struct page *chained;
	struct vm_lock tlb_lock;
	struct translation translations[TRANSLATIONS];
	struct owed owed[OWED_MAX];
	unsigned owed_n;
	struct rmap_cursor looks[LOOKS];
	struct stopwatch watch;
	_Atomic uint64_t figures[FIGURES];
	LIST_ENTRY(vm_thread) link;
};

static inline void count(struct vm_thread *thread, enum figure figure, uint64_t n)
{
	uint64_t old = atomic_load_explicit(&thread->figures[figure], memory_order_relaxed);

	atomic_store_explicit(&thread->figures[figure], old + n, memory_order_relaxed);
}

/* An error of the VM or of the library: say where and end. */
_Noreturn void vm_bug(const char *file, int line, const char *what);
#define vm_must(holds) ((holds) ? (void)0 : vm_bug(__FILE__, __LINE__, #holds))

/* --- geometry --------------------------------------------------------------------------------- */

static inline uint32_t pieces(const struct vm *vm)
{
	return 1u << vm->options.cluster_bits;
}

static inline uint64_t index_of(const struct vm *vm, uint64_t offset)
{
	return offset >> vm->options.cluster_bits;
}

static inline uint32_t piece_of(const struct vm *vm, uint64_t offset)
{
	return (uint32_t)(offset & (pieces(vm) - 1));
}

static inline uint64_t vpn_end(const struct vm *vm)
{
	return (uint64_t)1 << (VM_LEVELS * vm->options.table_bits);
}

static inline uint64_t leaf_size(const struct vm *vm)
{
	return (uint64_t)1 << vm->options.table_bits;
}

/* The first vpn that is in another leaf than @vpn. */
static inline uint64_t leaf_end(const struct vm *vm, uint64_t vpn)
{
	return (vpn | (leaf_size(vm) - 1)) + 1;
}

/* Under its lock: does it have the ptes of @mm around @vpn? */
static inline bool leaf_is(const struct vm *vm, const struct leaf *leaf, const struct mm *mm, uint64_t vpn)
{
	return atomic_load_explicit(&leaf->mm, memory_order_relaxed) == mm &&
	       atomic_load_explicit(&leaf->first, memory_order_relaxed) == (vpn & ~(leaf_size(vm) - 1));
}

static inline uint64_t *leaf_pte(const struct vm *vm, struct leaf *leaf, uint64_t vpn)
{
	return &leaf->ptes[vpn & (leaf_size(vm) - 1)];
}

/* What the pte says, or says if an entry stands for it. */
static inline uint64_t leaf_pte_at(const struct vm *vm, const struct leaf *leaf, uint64_t vpn)
{
	uint64_t i = vpn & (leaf_size(vm) - 1);

	return leaf->entry ? (leaf->entry & ~PTE_ENTRY) + (i << PTE_VALUE_SHIFT) : leaf->ptes[i];
}

/* Where the bits are of that. */
static inline uint64_t *leaf_bits(const struct vm *vm, struct leaf *leaf, uint64_t vpn)
{
	return leaf->entry ? &leaf->entry : leaf_pte(vm, leaf, vpn);
}

/* Of a leaf, of which all of [first, end) are. */
static inline bool is_all_of_leaf(const struct vm *vm, uint64_t first, uint64_t end)
{
	return (first & (leaf_size(vm) - 1)) == 0 && end - first == leaf_size(vm);
}

/* The piece of its object that the vma maps at @vpn, if it is linear there. */
static inline uint64_t vma_offset(const struct vma *vma, uint64_t vpn)
{
	return vma->offset + (vpn - vma->start);
}

/* All of it but the backend's members, which others may be changing. */
static inline struct vma vma_like(const struct vma *vma)
{
	return (struct vma){
		.mm = vma->mm,
		.start = vma->start,
		.end = vma->end,
		.offset = vma->offset,
		.object = vma->object,
		.private = vma->private,
		.writable = vma->writable,
		.locked = vma->locked,
		.nonlinear = vma->nonlinear,
	};
}

static inline uint32_t node_first(const struct vm *vm, enum node node)
{
	return node == NODE_FAR ? vm->options.frames - vm->options.far : 0;
}

static inline enum node page_node(const struct vm *vm, const struct page *page)
{
	return page - vm->pages >= (ptrdiff_t)node_first(vm, NODE_FAR) ? NODE_FAR : NODE_NEAR;
}

static inline uint32_t frames_free(const struct vm *vm)
{
	return vm->free_n[NODE_NEAR] + vm->free_n[NODE_FAR];
}

static inline struct page *pte_frame(const struct vm *vm, uint64_t pte)
{
	return &vm->pages[pte_value(pte) >> vm->options.cluster_bits];
}

/* Under the pte lock, which keeps it mapped. */
static inline struct page *pte_page(const struct vm *vm, uint64_t pte)
{
	return pte_frame(vm, pte)->head;
}

/* The same of a pte that need not map @page; does it? Its own page is not looked at. */
static inline bool pte_maps(const struct vm *vm, uint64_t pte, const struct page *page)
{
	return (pte & PTE_MAPS) && (uint64_t)(pte_frame(vm, pte) - page) < 1u << page->order;
}

/* Which piece of its page a pte maps. */
static inline uint32_t pte_piece(const struct vm *vm, uint64_t pte)
{
	uint64_t frame = (uint64_t)(pte_page(vm, pte) - vm->pages);

	return (uint32_t)(pte_value(pte) - (frame << vm->options.cluster_bits));
}

static inline uint32_t page_frames(const struct page *page)
{
	return 1u << page->order;
}

static inline uint64_t page_last(const struct page *page)
{
	return page->index + page_frames(page) - 1;
}

static inline bool page_has_index(const struct page *page, uint64_t index)
{
	return page->index <= index && index <= page_last(page);
}

/* Of a swap entry. */
static inline uint32_t pte_slot(const struct vm *vm, uint64_t pte)
{
	return (uint32_t)(pte_value(pte) >> vm->options.cluster_bits);
}

/* The piece of the object that a present pte maps. */
static inline uint64_t pte_offset(const struct vm *vm, uint64_t pte)
{
	return pte_frame(vm, pte)->index << vm->options.cluster_bits | piece_of(vm, pte_value(pte));
}

static inline struct file *file_of(struct object *object)
{
	return (struct file *)(void *)object;
}

/* A pte and where it is. */
struct place {
	struct leaf *leaf;
	uint64_t vpn;
	uint64_t pte;
};

/* What of @file's a truncate takes: page indexes @first .. @last. @copies: private copies of them, too */
struct cut {
	struct file *file;
	uint64_t first;
	uint64_t last;
	bool copies;
};

/* --- buddy.c: free frames. Context: the frame lock, or the VM is being made --------------------- */

/* 2^order of them side by side. NULL: there are none */
struct page *frames_take(struct vm *vm, enum node node, unsigned order);
void frames_give(struct vm *vm, struct page *page, unsigned order);

/* --- frame.c: frames, their references and contents, the LRU lists ---------------------------- */

struct page *page_alloc(struct vm_thread *thread, struct object *object, uint64_t index);
/* Of 2^order frames; the same on a node. NULL: there are not as many side by side */
struct page *page_alloc_large(struct vm_thread *thread, struct object *object, uint64_t index, unsigned order);
struct page *page_alloc_on(struct vm_thread *thread, struct object *object, uint64_t index, unsigned order,
			   enum node node);
void page_get(struct page *page);
void page_get_many(struct page *page, uint32_t n);
bool page_get_unless_free(struct page *page);
void page_put(struct vm_thread *thread, struct page *page);
void page_put_many(struct vm_thread *thread, struct page *page, uint32_t n);
/* If @refs are all there are, none is left and the page is the caller's to free. */
bool page_freeze(struct page *page, uint32_t refs);
void page_free(struct vm_thread *thread, struct page *page);
bool page_has(const struct page *page, enum page_flag flag);
void page_set(struct page *page, enum page_flag flag);
/* Return: whether it was set. */
bool page_clear(struct page *page, enum page_flag flag);
uint32_t page_mapcount(struct vm_thread *thread, const struct page *page);

uint64_t word_fresh(const struct object *object, uint64_t offset);
/* What a piece of @object has that is mapped from @page, which tells whether it is a private copy. */
uint64_t word_of(const struct object *object, const struct page *page, uint64_t offset);
void words_copy_private(const struct vm *vm, struct page *copy, const struct page *frame);
/* Is it in its file, or anonymous memory, whose contents are nowhere else? */
bool page_is_file(const struct page *page);
void words_fresh(const struct vm *vm, _Atomic uint64_t *words, const struct object *object, uint64_t index);
/* Of free frames. */
#define WORD_OF_NOBODY UINT64_MAX
void words_of_nobody(_Atomic uint64_t *words, uint32_t n);
void words_copy(_Atomic uint64_t *to, const _Atomic uint64_t *from, uint32_t n);
static inline uint32_t page_words(const struct vm *vm)
{
	return VM_WORDS << vm->options.cluster_bits;
}

void lru_add(struct vm_thread *thread, struct page *page);
/* @events: RMAP_FIRST_LOCK and RMAP_LAST_LOCK, from a backend that tells them */
void lru_note(struct vm_thread *thread, struct page *page, int events);
/* The oldest page of a list, with a reference; NULL: none. */
struct page *lru_isolate(struct vm_thread *thread, bool active);
void lru_put_back(struct vm_thread *thread, struct page *page, bool active);

/* --- pagetable.c: tables, and making, clearing and moving one mapping ------------------------- */

struct leaf *table_find(const struct vm *vm, struct mm *mm, uint64_t vpn);
struct leaf *table_get(struct vm_thread *thread, struct mm *mm, uint64_t vpn);
/* All of @mm are free. */
void tables_put(struct vm_thread *thread, struct mm *mm);
/* There are no more. */
void tables_end(struct vm *vm);
typedef void (*leaf_action)(struct leaf *leaf, uint64_t vpn, void *arg);
/* Each leaf, and its first vpn. */
void leaves_each(const struct vm *vm, struct mm *mm, leaf_action action, void *arg);
/* Macros, for the place that the checker reports. */
#define entry_lock(thread, leaf) vm_lock(&(thread)->held, &(leaf)->lock)
#define entry_trylock(thread, leaf) vm_trylock(&(thread)->held, &(leaf)->lock)
/* The same of who looks at ptes, and knows of no entry. */
#define pte_lock(thread, leaf) (entry_lock(thread, leaf), entry_split(thread, leaf))
#define pte_unlock(thread, leaf) vm_unlock(&(thread)->held, &(leaf)->lock)

/*
 * All: Context: pte lock held; map, copy, move: a filled reserve.
 * pte_map   - @vpn maps @piece of @page; @bits: WRITE, ACCESSED, NONLINEAR, LOCKED. Takes a reference
 * pte_copy  - the same in a fork: the page is mapped elsewhere and stays so meanwhile
 * pte_clear - clear a present pte, to @left. A flush is owed, under the same pte lock, which removes the mapping and
 *             lets the reference go. So is what follows, but under the page lock:
 * pte_unmap - clear a present pte, to @left, and remove its mapping at once; the flush lets the reference go
 * pte_set_locked - a present pte becomes a locked one or no longer is
 * pte_move  - what @from maps is mapped by @to instead; both pte locks held. A flush is owed
 */
void pte_map(struct vm_thread *thread, struct leaf *leaf, uint64_t vpn, struct page *page, uint32_t piece,
	     uint64_t bits);
/*
 * The same by an entry and for all ptes of an empty leaf, of which there are as many as pieces of the page.
 * entry_split - if there is an entry, there are ptes instead; nothing else changes
 */
void entry_map(struct vm_thread *thread, struct leaf *leaf, struct page *page, uint64_t bits);
void entry_copy(struct vm_thread *thread, struct leaf *leaf, struct page *page, uint64_t bits);
void entry_clear(struct vm_thread *thread, struct leaf *leaf);
void entry_split(struct vm_thread *thread, struct leaf *leaf);
void pte_copy(struct vm_thread *thread, struct leaf *leaf, uint64_t vpn, struct page *page, uint32_t piece,
	      uint64_t bits);
void pte_clear(struct vm_thread *thread, struct leaf *leaf, uint64_t vpn, uint64_t left);
void pte_unmap(struct vm_thread *thread, struct leaf *leaf, uint64_t vpn, uint64_t left);
void pte_set_locked(struct vm_thread *thread, struct leaf *leaf, uint64_t vpn, bool locked);
void pte_move(struct vm_thread *thread, struct leaf *from, uint64_t from_vpn, struct leaf *to, uint64_t to_vpn);

/* --- tlb.c: what processors keep of ptes, and what a change of them owes ------------------------ */

/*
 * This thread's translation of @vpn from now on; @want: the word that belongs there, without a tag. Context: pte lock
 */
void tlb_fill(struct vm_thread *thread, struct mm *mm, uint64_t vpn, uint64_t pte, uint64_t want);
/* If this thread has a translation that allows the access, it stays until tlb_leave(). Context: no lock but MM's */
bool tlb_enter(struct vm_thread *thread, uint32_t mm, uint64_t vpn, bool write, struct translation *out);
void tlb_leave(struct vm_thread *thread);
/* Before the pte changes, under its lock. A mapping removed at once is counted in the mm as owed. */
void tlb_owe(struct vm_thread *thread, struct leaf *leaf, uint64_t vpn, uint64_t pte, enum owed_until until);
/* All that this thread owes. */
void tlb_flush(struct vm_thread *thread);
/* Before ptes that are empty or swapped are given away or copied, under their lock: what others owe [first, end). */
void tlb_settle(struct vm_thread *thread, struct mm *mm, uint64_t first, uint64_t end);
/* The mistake VM_FLUSH_EARLY, before the pte lock is taken. */
void tlb_early(struct vm_thread *thread, const struct mm *mm, uint64_t first, uint64_t end);

/* --- vma.c: mms, their vmas and ranges -------------------------------------------------------- */

/* Without a reference: for walks, and a look at its tables. NULL: no mm has that number. */
static inline struct mm *mm_at(const struct vm *vm, uint32_t id)
{
	return id < vm->options.mms ? &vm->mms[id] : NULL;
}

struct mm *mm_find(struct vm *vm, uint32_t id);
void mm_put(struct vm_thread *thread, struct mm *mm);
/* With a reference and the mm lock, shared or exclusive. NULL: no such mm. */
struct mm *mm_enter(struct vm_thread *thread, uint32_t id, bool exclusive);
void mm_leave(struct vm_thread *thread, struct mm *mm);
/* A dead mm without anything, with its own reference; @family's is given up if it fails. NULL: no number is free */
struct mm *mm_new(struct vm_thread *thread, struct object *family);
void mm_born(struct vm_thread *thread, struct mm *mm);

bool vpns_fit(const struct vm *vm, uint64_t vpn, uint64_t n);
/* Any vma that overlaps [start, end), or the first one. NULL: none. */
struct vma *vma_any(struct mm *mm, uint64_t start, uint64_t end);
struct vma *vma_first(struct mm *mm, uint64_t start, uint64_t end);
/* A copy of @new, attached; @like: NULL, or the vma that it is a copy of */
int vma_insert(struct vm_thread *thread, struct mm *mm, const struct vma *new, struct vma *like);
void vma_remove(struct vm_thread *thread, struct vma *vma);
/* Make sure that no vma crosses @vpn. */
int vma_split(struct vm_thread *thread, struct mm *mm, uint64_t vpn);
bool vma_covers(struct mm *mm, uint64_t start, uint64_t end);
void zap_range(struct vm_thread *thread, struct mm *mm, uint64_t start, uint64_t end);
int unmap_range(struct vm_thread *thread, struct mm *mm, uint64_t start, uint64_t end);
void mm_exit(struct vm_thread *thread, struct mm *mm);

/* --- fault.c, file.c, unmap.c, folio.c, migrate.c, swap.c --------------------------------------- */

/* Context: the mm lock, shared or exclusive, no other. Return: as vm_fault() */
int fault(struct vm_thread *thread, struct mm *mm, uint64_t vpn, bool write);

/* A copy of the extent as it is. */
struct extent file_extent(struct vm_thread *thread, struct file *file);
/* The page, found or read, with a reference. Return: 0; -ENXIO, -ENOMEM. Waits for a hole that is being punched */
int file_page(struct vm_thread *thread, struct file *file, uint64_t index, struct page **out);
/* Indexes of @page, which has first .. last: as many around these as the file has */
void file_part(struct vm_thread *thread, const struct page *page, uint64_t *first, uint64_t *last);
/*
 * Give an unmapped page back, which is locked, and of which the caller has a reference. Return: whether nobody else has
 */
bool file_evict(struct vm_thread *thread, struct page *page);

/* Does the pte map a private copy, or say where it is swapped out? *@index: of what page of the file */
bool pte_copy_index(const struct vm *vm, uint64_t pte, uint64_t *index);
/* If the pte is a moving one: wait until the page has moved, and make it one that is not. Context: no lock but MM's */
void pte_help(struct vm_thread *thread, struct leaf *leaf, uint64_t vpn);
/*
 * Nobody but the file and the caller has a reference: in the place of the page come two, each half as large. Of the
 * first, which still is @page, the caller keeps his, and the lock. Return: whether. Holds: the page lock
 */
bool file_split(struct vm_thread *thread, struct page *page);
/*
 * The same of @old, [0, n), all locked: @new comes in their place, and of what the file has on its disk alone. They are
 * the caller's to free. Return: whether
 */
bool file_collapse(struct vm_thread *thread, struct file *file, struct page **old, unsigned n, struct page *new);
/* The file has @new, locked, in the place of @page, which goes but for its mappings. Holds: the page lock */
void file_replace(struct vm_thread *thread, struct page *page, struct page *new);
/* If so, it is no more, and a flush owed. Context: pte lock */
bool zap_copy(struct vm_thread *thread, struct leaf *leaf, uint64_t vpn);

struct page *cache_next(struct vm_thread *thread, struct file *file, uint64_t first, uint64_t last);
/* To the disk, if it is dirty; or fresh there, if it is past the end. Holds: the page lock */
void file_save(struct vm_thread *thread, struct file *file, struct page *page);
void cache_drop(struct vm_thread *thread, struct file *file, struct page *page);

/* For what frame @i of the page has. SLOT_NONE: swap is full */
uint32_t slot_alloc(struct vm_thread *thread, struct page *page, uint32_t i);
/* The contents are there, now that nobody writes the page any more. Holds: its lock */
void slot_fill(struct vm_thread *thread, uint32_t slot, const struct page *page, uint32_t i);
/* Whose contents the slot waits for; NULL: it has them */
struct page *slot_source(struct vm_thread *thread, uint32_t slot);
void slot_get(struct vm_thread *thread, uint32_t slot);
void slot_put(struct vm_thread *thread, uint32_t slot);
#define SLOT_NONE UINT32_MAX

/*
 * An unmap or a truncate under way. @slots: where the frames of an anonymous page go; @file: what is truncated;
 * @defers: the caller flushes; @saves: what is dropped goes to the disk before; @forces: an unmap takes locked
 * mappings, too, and waits for pte locks, until nothing is mapped
 */
struct pass {
	struct vm_thread *thread;
	const uint32_t *slots;
	bool defers;
	bool saves;
	bool forces;
	struct file *file;
};
/* Failable. Context: the page lock; the caller flushes before it lets that go. Return: an rmap_unmap_result */
int page_unmap(struct vm_thread *thread, struct page *page, const uint32_t *slots);
/* Reliable, also of locked mappings; the same otherwise. Return: false: a fault under way has mapped it anew */
bool page_unmap_all(struct vm_thread *thread, struct page *page);
/*
 * Into halves; nothing of it is mapped then. Return: 0; -EAGAIN: somebody is at it. Holds: the page lock, and a
 * reference, as file_split()
 */
int page_split(struct vm_thread *thread, struct page *page);

/* What is done to one pte that maps a page, under its lock. */
typedef void (*pte_action)(struct vm_thread *thread, struct leaf *leaf, uint64_t vpn, void *arg);
/*
 * Each pte that a walk over @page's mappings finds; @entries: or entry, at the first vpn that it is for. Return: how
 * many mappings it may have missed: it could not name them, or was refused a lock
 */
uint32_t page_ptes(struct vm_thread *thread, struct page *page, pte_action action, void *arg, bool entries);

#endif
