/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * vm.h - an executable virtual-memory system on librmap's public headers
 *
 * It shows what an embedder has to do, and it is what the library's promises are tried on: mms with vmas and page
 * tables, files with a page cache, anonymous memory with copy-on-write and swap, LRU lists and a reclaimer. There is no
 * hardware underneath, but all else is real: ptes are words in tables, contents are words in frames, and every access
 * goes through them. Each thread is a processor and keeps translations (a TLB), which it uses without a look at the
 * pte. Any thread may call any operation at any time, on any mm and file.
 *
 *      mm --- vmas --- page tables --- pte ---> frame: struct page { struct rmap_page; refs; lock; object, index }
 *                                                ^ |
 *                      object (file, family) ----' `---> reverse map: rmap_object's ranges, the page's chain
 *
 * What finds the ptes of a page is a *backend*: librmap, or one of what it was argued against (vm_backends). They
 * differ in memory, time and locks, and in what they cannot do; all else is the same VM.
 *
 * A private mapping of a file shows the file's pages until it is written to; what is written are copies, which stay
 * when a hole is punched under them, and go when the file ends before them or is collapsed there.
 *
 * Pages may be large (vm_options.folio_order): of 2^k indexes, with one struct page, that is one reverse map, reference
 * count and lock. Each pte maps and counts one index, and vmas show what part of a page they like. A fault takes as
 * large a page as there is room for, in the file or the vma and among the frames, and maps what its vma has of it.
 * Reclaim, migration and write-back are of a page as a whole, a copy is of one index. A truncate into its middle splits
 * a file's page; an anonymous one is split for the frames that nobody maps any more (vm_deferred_split()). Where a vma
 * has as many pieces of a page as a table has ptes, in the same places, one entry of the table above maps them all.
 *
 * Addresses are virtual page numbers (vpn), one for each pte. A *page* holds 2^cluster_bits pieces of one pte each.
 * Offsets of a mapping into a file are in pieces, so a mapping may begin and end in the middle of a page, and need not
 * be aligned to pages; sizes of files and holes are in pages.
 *
 * Contents check themselves: each of the VM_WORDS words of a piece says which piece of which object it belongs to, and
 * carries a tag, which is 0 in fresh memory and what vm_write() wrote later; free memory says that it is nobody's. An
 * access through a wrong mapping or a stale translation meets a foreign word, says so on standard error and returns
 * -EIO.
 *
 * Errors are negative errno values: -ESRCH (no such mm, or it is exiting), -EFAULT (nothing mapped there), -EACCES (not
 * writable), -ENXIO (past the file's end: SIGBUS), -EEXIST (something is mapped there), -EINVAL, -ENOMEM (no frame to
 * be had, no memory for tables), -EAGAIN (failable: something stayed, call again), -EIO (wrong contents). An operation
 * that fails with -ENOMEM may be done in part, as mlock() may.
 *
 * Not for: speed.
 */
#ifndef VM_VM_H
#define VM_VM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rmap/unmap.h>

struct vm;
struct vm_thread;
struct vm_backend;

/** Words of a piece. */
#define VM_WORDS 8u
/** log2 of the most indexes of a page. */
#define VM_FOLIO_ORDER_MAX 4u
/** The largest tag. */
#define VM_TAG_MAX ((1u << 16) - 1)
/** The least vpn that can be mapped: below it there is room for the part of a page that a mapping leaves out. */
#define VM_FIRST_VPN 16u
/** Instead of a file's number: anonymous memory. */
#define VM_ANONYMOUS UINT32_MAX

enum vm_lock_order {
	VM_LOCKS_TODAY = 0,
	VM_LOCKS_2003 = 1,
	VM_LOCKS_2003_BLOCKING = 2, /* waits for pte locks with a chain lock held: known to be bad */
};

/** When translations are flushed of a pte that has changed. All but the first are known to be bad. */
enum vm_flush {
	VM_FLUSH_RIGHT = 0,
	VM_FLUSH_NEVER = 1,
	VM_FLUSH_LATE = 2,      /* many together, after mappings are removed, pages let go, operations at their end */
	VM_FLUSH_EARLY = 3,     /* before ptes are cleared */
	VM_FLUSH_UNSETTLED = 4, /* who finds an empty pte gives its address away, though a flush may be owed */
};

/** Where an operation may be met by another. */
enum vm_window {
	VM_WINDOW_FAULT,    /* a fault has found a file's page, and not locked its pte */
	VM_WINDOW_LOCKED,   /* the same fault, with the pte lock held */
	VM_WINDOW_CHECKED,  /* and has seen that no truncate began; not where these wait for sections */
	VM_WINDOW_MOVE,     /* an mremap has moved the ptes of a leaf, perhaps not all */
	VM_WINDOW_FLUSHED,  /* VM_FLUSH_EARLY has flushed, and not cleared the ptes */
	VM_WINDOW_RANGE,    /* a truncate has found a range, and not looked at its ptes; librmap's alone */
	VM_WINDOW_SPOTS,    /* a walk has looked tables up, and not locked them; librmap's alone */
	VM_WINDOW_OWED,     /* a page is unmapped, and its flush is owed */
	VM_WINDOW_MOVING,   /* ptes of pages on their way to other frames are moving ones; the pages are locked */
	VM_WINDOW_REPLACED, /* a file has the new frame, to which no pte leads yet */
	VM_WINDOW_PUNCH,    /* a hole is unmapped, and still out of the file's extent; its resize lock is held */
	VM_WINDOW_SPLIT,    /* a page is unmapped, and will be split if nobody has a reference; it is locked */
	VM_WINDOW_COLLAPSE, /* pages are unmapped, and will be one if nobody has a reference; they are locked */
};

/** What a backend is called for. */
enum vm_call {
	VM_CALL_CHANGE,   /* a mapping comes, goes or becomes another; a mapcount */
	VM_CALL_FILL,     /* memory for changes, before locks are taken; what a page needs to be mapped nonlinearly */
	VM_CALL_VMA,      /* a vma or an mm begins, changes or ends */
	VM_CALL_WALK,     /* of a page's mappings, to look at or to unmap them */
	VM_CALL_TRUNCATE, /* of a file, or a hole */
	VM_CALLS,
};

/**
 * struct vm_options - how a VM is made
 * @size:         sizeof(struct vm_options); zero in the others means the default
 * @frames:       pages of memory; 256
 * @far:          how many of them are far: used when no near one is free, and for what nobody uses
 * @swap_slots:   pages of swap; 256
 * @mms:          how many mms there may be at once, at most 2,048; 64
 * @files:        how many files there are, at most 512; 4
 * @file_pages:   each file's size at first, and the most it may ever have; 64
 * @table_bits:   log2 of the entries of a table, of which there are four levels: 4 .. 9; 9
 * @cluster_bits: log2 of the pieces of a page: 0 .. 4
 * @folio_order:  log2 of the most indexes that a page has: 0 .. VM_FOLIO_ORDER_MAX
 * @backend:      the reverse map underneath; vm_backends[0], which is librmap
 * @map_bytes:    the most memory it may have; without a limit
 * @locks:        the order of locks
 * @strategy:     of truncates
 * @semantics:    of truncates
 * @reclaim:      the map's, see rmap.h
 * @flush:        of translations
 * @no_recheck:   known to be bad: faults do not recheck the truncate sequence, and forks and mremaps do not look where
 *                the file of a private copy ends
 * @report_only:  the lock checker counts violations and goes on
 * @window:       NULL, or: called with @window_arg in the middle of operations, so that a test can do there what
 *                another thread might
 *
 * @timed:  NULL, or: a clock is read around a sample of the backend's calls, and this is called after each that was
 *         timed with what it took, less what was done to ptes that a walk had found; @weight: for how many it stands.
 *         Return: false: something came between; another one is to stand for these
 *
 * @locks, @strategy and @reclaim are choices that those backends have which are librmap (VM_BACKEND_CHOICES), large
 * pages those with VM_BACKEND_FOLIOS, and the mistakes of @flush the first one alone. Others have locks and truncates
 * of their own, and are refused with any other value than 0 (-ENOTSUP). Of @semantics they have both.
 */
struct vm_options {
	size_t size;
	uint32_t frames;
	uint32_t far;
	uint32_t swap_slots;
	uint32_t mms;
	uint32_t files;
	uint32_t file_pages;
	uint32_t table_bits;
	uint32_t cluster_bits;
	uint32_t folio_order;
	enum vm_lock_order locks;
	enum rmap_strategy strategy;
	enum rmap_semantics semantics;
	enum rmap_reclaim reclaim;
	enum vm_flush flush;
	const struct vm_backend *backend;
	uint64_t map_bytes;
	bool no_recheck;
	bool report_only;
	void (*window)(void *arg, enum vm_window where);
	void *window_arg;
	bool (*timed)(void *arg, enum vm_call call, uint64_t weight, uint64_t ns);
	void *timed_arg;
};

/**
 * struct vm_statistics - how often what has happened
 * Sums over all threads, of moments shortly before; exact when quiescent.
 */
struct vm_statistics {
	uint64_t faults;        /* that made or changed a mapping */
	uint64_t restarts;      /* of faults and forks, because a truncate came between */
	uint64_t copies;        /* copy-on-write */
	uint64_t private_copies; /* those of files' pages */
	uint64_t copies_taken;  /* those of these that truncates, forks and mremaps took away */
	uint64_t reuses;        /* a write to a page that nobody else maps any more */
	uint64_t duplicates;    /* mappings that forks copied */
	uint64_t moves;         /* mappings that mremap moved */
	uint64_t nonlinear;     /* mappings made elsewhere than at their linear address */
	uint64_t locks;         /* mappings made locked ones */
	uint64_t unlocks;       /* mappings made ordinary ones again */
	uint64_t unmaps;        /* pages from which an unmap cleared all */
	uint64_t unmaps_again;  /* unmaps that were refused a lock, or missed something */
	uint64_t unmaps_locked; /* unmaps that met mlocked mappings */
	uint64_t truncations;   /* shrinks and holes */
	uint64_t cleared;       /* mappings that truncates cleared */
	uint64_t refused;       /* pte locks that truncates and unmaps were refused */
	uint64_t walked;        /* pages whose mappings were looked for */
	uint64_t visits;        /* places in page tables that these walks looked at */
	uint64_t visits_empty;  /* those of them where no pte mapped the page */
	uint64_t walks_refused; /* locks that walks only try, and were refused */
	uint64_t conversions;   /* pages whose mappings were given another kind of reverse map, one by one */
	uint64_t unconverted;   /* those of them for which memory ran out half way */
	uint64_t passes;        /* of truncates over ranges, and over a page's mappings */
	uint64_t searches;      /* those of them over tagged ranges */
	uint64_t leftovers;     /* pages that failable truncates left mapped in their file */
	uint64_t left_again;    /* those for which a pte lock was refused, or a mapping was on its way */
	uint64_t orphans;       /* pages that truncates dropped mapped */
	uint64_t swap_ins;      /* pages */
	uint64_t swap_outs;     /* pages */
	uint64_t written_back;  /* pages */
	uint64_t reclaimed;     /* pages */
	uint64_t migrated;      /* pages */
	uint64_t promoted;      /* those of them that came to near memory, as they were used */
	uint64_t demoted;       /* that came to far memory, as they were not */
	uint64_t aged;          /* pages */
	uint64_t referenced;    /* pages that aging found accessed */
	uint64_t out_of_frames; /* allocations that failed */
	uint64_t folios;        /* large pages that faults made */
	uint64_t splits;        /* of files' pages into two, and of anonymous ones into small ones */
	uint64_t unsplit;       /* that should have, and somebody was at them, or memory was out */
	uint64_t collapses;     /* large pages made of smaller ones */
	uint64_t uncollapsed;   /* that should have been, and somebody was at these */
	uint64_t given_back;    /* frames of split pages that nobody mapped */
	uint64_t entries;       /* large pages that an entry of an upper table was made to map */
	uint64_t entries_split; /* those that became ptes */
	uint64_t translated;    /* accesses that did not look at their pte */
	uint64_t flushes;       /* of translations */
	uint64_t settled;       /* those of them because somebody else owed one */
	uint64_t wrong;         /* accesses that met a foreign word: each an error of the VM or of the library */
	uint64_t lock_violations;
};

/**
 * vm_create - make a VM without mms, whose files are full of fresh words
 * Return:   0; -EINVAL; -ENOMEM; -ENOTSUP: the backend has no such locks, truncates, flushes, far memory or large pages
 * vm_destroy - end it, after all its threads' contexts; exits all mms that are left
 * Return:   0; -EBUSY: something leaked, named on standard error
 */
int vm_create(const struct vm_options *options, struct vm **out);
int vm_destroy(struct vm *vm);

/**
 * vm_thread_create - make the calling thread's context: its registration as a reader, its reserve, its locks held
 * Return:   0; -ENOMEM
 * vm_thread_destroy - end it, in the same thread
 */
int vm_thread_create(struct vm *vm, struct vm_thread **out);
void vm_thread_destroy(struct vm_thread *thread);

/*
 * All below: Context: the thread's own @thread, no locks held. Locks, in the order of lock.h: what the comment names.
 */

/**
 * vm_mm_create - an empty mm, of a fork family of its own
 * vm_fork      - a copy of @mm; mlocked memory is not locked in the child
 * vm_exit      - unmap all of @mm; its number becomes free
 * @mm, @child: numbers from 0 to options.mms - 1, used again after an exit
 * Locks:    mm; fork: pte (two), lru; exit: pte, lru
 * Return:   0; -ESRCH, -ENOMEM; -EMFILE (no number is free)
 */
int vm_mm_create(struct vm_thread *thread, uint32_t *mm);
int vm_fork(struct vm_thread *thread, uint32_t mm, uint32_t *child);
int vm_exit(struct vm_thread *thread, uint32_t mm);

/**
 * vm_mmap    - map @n ptes from @vpn on
 * @file:     a file's number, shared; or VM_ANONYMOUS, private
 * @offset:   of the file: the piece that @vpn maps. Anonymous memory: not looked at
 * vm_mmap_private - the same of a file, private
 * vm_munmap  - unmap whatever is in @vpn .. @vpn + @n - 1; vmas that cross the ends are split
 * vm_protect - make all of @vpn .. @vpn + @n - 1 writable or not; vmas are split likewise
 * Locks:    mm, pte, lru
 * Return:   0; -ESRCH, -EEXIST, -EINVAL, -ENOMEM; protect: -EFAULT where nothing is mapped
 */
int vm_mmap(struct vm_thread *thread, uint32_t mm, uint64_t vpn, uint64_t n, bool writable, uint32_t file,
	    uint64_t offset);
int vm_mmap_private(struct vm_thread *thread, uint32_t mm, uint64_t vpn, uint64_t n, bool writable, uint32_t file,
		    uint64_t offset);
int vm_munmap(struct vm_thread *thread, uint32_t mm, uint64_t vpn, uint64_t n);
int vm_protect(struct vm_thread *thread, uint32_t mm, uint64_t vpn, uint64_t n, bool writable);

/**
 * vm_mremap - move what @n ptes from @vpn on map to @new_vpn, and map @new_n ptes from there on
 *
 * With @new_vpn = @vpn it grows or shrinks in place. All @n belong to one vma. @new_n >= @n if it moves.
 * Locks:    mm, pte (two), chain
 * Return:   0; -ESRCH, -EFAULT, -EEXIST, -EINVAL, -ENOMEM
 */
int vm_mremap(struct vm_thread *thread, uint32_t mm, uint64_t vpn, uint64_t n, uint64_t new_vpn, uint64_t new_n);

/**
 * vm_mlock   - keep @vpn .. @vpn + @n - 1 in memory: mappings become locked ones, missing pages are faulted in
 * vm_munlock - no longer
 * Locks:    mm, page, pte, lru
 * Return:   0; -ESRCH, -EFAULT where nothing is mapped, -ENOMEM; mlock: what a fault returned: it is locked, but not
 *           all of it is there
 */
int vm_mlock(struct vm_thread *thread, uint32_t mm, uint64_t vpn, uint64_t n);
int vm_munlock(struct vm_thread *thread, uint32_t mm, uint64_t vpn, uint64_t n);

/**
 * vm_remap_file_pages - let @n ptes from @vpn on map the file from piece @offset on, within one vma of a file. A
 *           backend that splits makes a vma of them, and does so also within several that are alike and side by side
 * Locks:    mm, page, pte, lru
 * Return:   0; -ESRCH, -EFAULT, -EINVAL (not one shared vma of a file), -ENOMEM
 */
int vm_remap_file_pages(struct vm_thread *thread, uint32_t mm, uint64_t vpn, uint64_t n, uint64_t offset);

/**
 * vm_fault - what an access to @vpn would make happen
 * vm_read  - read word @word of the piece at @vpn
 * vm_write - write @tag into it; the other fields of the word are what belongs there
 * Locks:    mm (shared), file, page, object, pte, lru; reclaim's, if there is no free frame
 * Return:   0; -ESRCH, -EFAULT, -EACCES, -ENXIO, -ENOMEM, -EIO
 */
int vm_fault(struct vm_thread *thread, uint32_t mm, uint64_t vpn, bool write);
int vm_read(struct vm_thread *thread, uint32_t mm, uint64_t vpn, unsigned word, uint64_t *value);
int vm_write(struct vm_thread *thread, uint32_t mm, uint64_t vpn, unsigned word, uint32_t tag);

/** The parts of a word: an object (a file's number, one of a fork family, or VM_COPY_OF one), a piece of it, a tag. */
#define VM_COPY_OF(file) (4094u - (file))
static inline uint32_t vm_word_object(uint64_t word)
{
	return (uint32_t)(word >> 52);
}

static inline uint64_t vm_word_offset(uint64_t word)
{
	return word >> 16 & (((uint64_t)1 << 36) - 1);
}

static inline uint32_t vm_word_tag(uint64_t word)
{
	return (uint32_t)(word & VM_TAG_MAX);
}

/**
 * vm_truncate - give @file @pages pages, with the VM's strategy and semantics
 * vm_punch    - make pages @first .. @last of @file fresh
 * vm_collapse - take them out, so that what is behind them follows what is before; the file is that much smaller
 * Locks:    file; then as unmap.h says: page, chain, object, pte, lru
 * Return:   0; -EINVAL; -EAGAIN: some are still mapped (failable): it has its new size, and does not grow past it until
 *           a truncate succeeded. A collapse that fails so has only taken the private copies from @first on. -EBUSY: it
 *           cannot grow for that reason. -ENOTSUP: it is mapped, and the backend finds no mappings; nothing was done
 */
int vm_truncate(struct vm_thread *thread, uint32_t file, uint64_t pages);
int vm_punch(struct vm_thread *thread, uint32_t file, uint64_t first, uint64_t last);
int vm_collapse(struct vm_thread *thread, uint32_t file, uint64_t first, uint64_t last);

/**
 * vm_folio_split    - put two pages in the place of the one that @file has at @index, which is unmapped for it, also
 *                     where it is mlocked
 * vm_folio_collapse - put one of 2^@order indexes in the place of all pages that have one of them; what is not in
 *                     memory is read
 * Locks:    page (collapse: tried), object, pte, lru
 * Return:   0; -EINVAL (no such file; no such order); -ENOENT (split: no page of several indexes is there; collapse:
 *           there is one as large, or the file ends before); -EAGAIN (somebody is at it; it is as it was, but for its
 *           mappings), -EPERM (collapse: mlocked), -ENOMEM (collapse: not as many frames are free side by side)
 */
int vm_folio_split(struct vm_thread *thread, uint32_t file, uint64_t index);
int vm_folio_collapse(struct vm_thread *thread, uint32_t file, uint64_t index, unsigned order);

/**
 * vm_anon_split     - put small pages in the place of the large anonymous one at @vpn, where anybody maps it
 * vm_deferred_split - look at up to @n pages of the LRU lists: the same of large anonymous ones of which nobody maps
 *                     some frames
 * Locks:    mm, page, pte, lru
 * Return:   split: as vm_migrate(); -ENOENT: no such page is there. deferred: how many frames have come free
 */
int vm_anon_split(struct vm_thread *thread, uint32_t mm, uint64_t vpn);
uint32_t vm_deferred_split(struct vm_thread *thread, uint32_t n);

/**
 * vm_write_back - write all dirty pages of @file to its disk
 * vm_disk_word  - read a word from there
 * Locks:    page, object, pte
 * Return:   0; -EINVAL
 */
int vm_write_back(struct vm_thread *thread, uint32_t file);
int vm_disk_word(struct vm_thread *thread, uint32_t file, uint64_t offset, unsigned word, uint64_t *value);

/**
 * vm_age     - see of up to @n pages whether they were accessed, and move them between the LRU lists
 * vm_reclaim - free up to @n pages: unmap them, to swap or to their file
 * vm_migrate - give the page at @vpn another frame, or as many as it has
 * vm_compact - the same for up to @n pages of the LRU lists, several for one flush
 * vm_balance - look at up to @n pages: what is used comes to near memory, what is not to far memory, if there is a
 * frame
 * Locks:    lru; page (tried), chain, object, pte, swap
 * Return:   age, reclaim, compact, balance: how many. migrate: 0; -ESRCH, -EFAULT, -ENOMEM, -EAGAIN (in use), -EPERM
 *           (mlocked), -ENOTSUP (the backend has no migration; compact and balance move nothing then)
 */
uint32_t vm_age(struct vm_thread *thread, uint32_t n);
uint32_t vm_reclaim(struct vm_thread *thread, uint32_t n);
int vm_migrate(struct vm_thread *thread, uint32_t mm, uint64_t vpn);
uint32_t vm_compact(struct vm_thread *thread, uint32_t n);
uint32_t vm_balance(struct vm_thread *thread, uint32_t n);

/**
 * vm_check - compare page tables, reverse map, caches, lists, counts and contents with each other, both ways
 * Context:  quiescent: no other operation runs
 * Return:   how many equations do not hold, each of them named on standard error
 */
uint64_t vm_check(struct vm_thread *thread);

/** vm_mappings - how many ptes map pages. Context: quiescent */
uint64_t vm_mappings(struct vm_thread *thread);

/** vm_stats - read the figures. Context: any thread */
void vm_stats(struct vm *vm, struct vm_statistics *out);

/** What a backend can do; or-ed together. */
enum vm_backend_trait {
	VM_BACKEND_WALKS = 1 << 0,      /* it finds mappings; without, pages that are mapped stay where they are */
	VM_BACKEND_MIGRATES = 1 << 1,   /* vm_migrate() and its like */
	VM_BACKEND_TELLS_LOCKS = 1 << 2, /* mlocked pages are not on the LRU lists */
	VM_BACKEND_TRIES = 1 << 3,      /* walks only try locks, so that they may miss mappings that are there */
	VM_BACKEND_SPLITS = 1 << 4,     /* remap_file_pages() makes vmas */
	VM_BACKEND_ORPHANS = 1 << 5,    /* failable truncates drop pages whose nonlinear mappings they miss */
	VM_BACKEND_CHOICES = 1 << 6,    /* it is librmap, with all orders of locks, strategies and ways to reclaim */
	VM_BACKEND_FOLIOS = 1 << 7,     /* pages of several indexes */
};

/**
 * vm_backends           - all there are, and NULL; the first one is librmap, whose elements are ptes
 * vm_backend_name       - its name on command lines
 * vm_backend_summary    - what it is, in a line
 * vm_backend_traits     - of enum vm_backend_trait
 */
extern const struct vm_backend *const vm_backends[];
const char *vm_backend_name(const struct vm_backend *backend);
const char *vm_backend_summary(const struct vm_backend *backend);
unsigned vm_backend_traits(const struct vm_backend *backend);

#define VM_PARTS_MAX 8u

/**
 * struct vm_bytes - memory that exists for the reverse map alone, beyond the word that every struct page has for it
 * @parts: n of them, which add up to @total: chains, links of vmas, what is in hand; and what is free in stores, but
 *         was not given back
 * @peak:  the most that @total ever was
 */
struct vm_bytes {
	size_t n;
	struct {
		const char *part;
		size_t bytes;
	} parts[VM_PARTS_MAX];
	size_t total;
	size_t peak;
};

/** vm_bytes - read them. Context: any thread. Exact when quiescent */
void vm_bytes(struct vm *vm, struct vm_bytes *out);

#endif
