/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * unmap.h - clearing every pte of a page, and truncating an object
 *
 * Policy is here, mechanism is the embedder's: the library decides which ptes to look at, in what order, how often and
 * what to do about those that stay, and callbacks lock pages and ptes and clear them. *Unmap* is what reclaim and
 * migration do to one page; *truncate* takes an object's pages past an end (or in a hole) out of every address space
 * and out of the object.
 *
 *      rmap_truncate ---- bulk pass    the linear addresses of these indexes in every range    clear_range
 *                    |--- page pass    lock each page, walk its mappings, drop it              lock_next, clear, drop
 *                    `--- search       every pte of the ranges tagged RMAP_RANGE_NONLINEAR     clear_range
 *
 *      mapping               found by bulk pass      by page pass              by search
 *      linear                yes                     yes                       if its range is tagged
 *      chained               if it lies there        yes                       if its range is tagged
 *      locked, linear        yes                     yes                       if its range is tagged
 *      locked, nonlinear     if it lies there        no: nothing names it      if its range is tagged
 *
 * Strategies, after the three cures that the mail of 2003 lists for a truncate that misses nonlinear mappings, what
 * it says it takes to finish them, and living with the rest:
 *
 *      RMAP_COMBINED   bulk, page pass; while something is left: page pass, search
 *      RMAP_SEARCH     bulk, search, drop                           finds all that does not move (mremap) meanwhile;
 *                                                                   looks at every pte of the tagged ranges
 *      RMAP_CLEANUP    bulk, page pass                              what is locked and nonlinear stays
 *      RMAP_UNMAP      page pass                                    the same; touches no range without a mapped page
 *                      (copies go: bulk, page pass)
 *      RMAP_TOLERATE   bulk, page pass that drops mapped pages, too: they are orphans until their last mapping goes
 *
 * RMAP_COMBINED with RMAP_RELIABLE is the one to start with: it leaves nothing, and searches only for what nothing
 * names.
 *
 * Semantics. RMAP_FAILABLE runs the strategy once and reports what is still mapped; such pages stay in the object,
 * where another truncate finds them. RMAP_RELIABLE goes on until no page of the object with such an index is mapped,
 * with page passes while they clear anything, and with searches when they do not. It does not go on for ever: an
 * embedder that owes something below (a tag, say) may leave a mapping that no pass finds. @wait is told how many rounds
 * in a row have cleared nothing, and ends the call when it likes; without it RMAP_UNMAP_FRUITLESS rounds do. Then the
 * call returns what a failable one would, so whoever asked for reliable semantics looks at the result. With
 * RMAP_TOLERATE nothing is left to tolerate, and it is RMAP_CLEANUP. Orphans are of the object no more: a reliable
 * truncate after or beside one that tolerates does not answer for those that the other made.
 *
 * Pages of several indexes. A page pass may meet one that has indexes on both sides of @first or @last. @split makes
 * smaller pages of it, and those that are to go are dropped like any other. If that fails, which whoever holds a page
 * may bring about, nothing is lost: the page stays in the object, its ptes of indexes that are to go are cleared as in
 * any other, and the call tells of it, as of a page that is still mapped. A page has one count, so it cannot tell
 * whether all of those were found.
 *
 * Copies. In a private mapping a write makes a copy of the object's page: anonymous memory that lies at the address of
 * one of the object's indexes. Past a new end nothing may be there, so copies go with the pages; in a hole the pages
 * become zeros, and what a process wrote for itself is not theirs. The truncate says which (RMAP_UNMAP_COPIES). Copies
 * are in no object, so the bulk pass alone finds them, and no count tells of one that it missed. So who makes one looks
 * where the object ends first, and then has under the pte lock a mapping of the object's page that is there still; and
 * who copies or moves one (fork, mremap; also if it is swapped out) does as a fault does, below, and drops it if it is
 * past the end. Where ranges change faster than the pass looks at them a reliable truncate makes it again, and a
 * failable one tells of it (report->unseen).
 *
 * Order of locks. A page is locked before the ptes that map it, and a bulk pass or a search holds no page. An embedder
 * in which pte locks are ahead of page locks (as in 2003) says RMAP_UNMAP_TRY: page passes then only try them.
 *
 * What the embedder must do, or mappings escape:
 *
 *   - whatever makes a new mapping reads the truncate sequence (object.h), then finds the index within the object's
 *     end and the page, and then rechecks the sequence, sets the pte and adds the mapping, all three in one read-side
 *     section and under the pte lock. That goes for faults and for forks; a fork copies no mapping of an orphan. A
 *     truncate waits for a grace period after it advanced the sequence, hence for all that rechecked before.
 *   - a page is put into the object likewise, or under a lock under which the end is set and checked.
 *   - a pte is cleared and its mapping removed under the pte lock; a moving pte (mremap) holds both.
 *   - where processors keep translations of their own (TLBs), a pte that is cleared, moved or made read-only owes a
 *     flush, as below.
 *   - a locked page keeps its indexes: who splits one, or makes one of several, holds all of them locked, those that
 *     come as those that go, and these unmapped. Who has found one that goes and would map it keeps it from going (by a
 *     reference, say), or is kept from it as from a truncated page. And he waits for nothing that a truncate's caller
 *     holds (a lock of the file), or a reliable truncate, which waits for the split, waits for him for ever.
 *   - what makes a locked mapping holds the page lock, which unmaps hold: mlock, and in a locked vma a fault, a fork
 *     and an mremap. A munlock need not.
 *   - a range is tagged RMAP_RANGE_NONLINEAR before its first nonlinear mapping is made.
 *   - the object does not grow again over pages that a failable truncate left: they have their old contents.
 *   - an orphan keeps its object and indexes as long as it is mapped, for clear_range() to know it by. The object holds
 *     one reference to a page, and its mappings together one, from RMAP_FIRST to RMAP_LAST: then it does not matter
 *     whether the last mapping goes before, while or after the page is dropped.
 *   - with qsbr, a callback that waits for a lock is offline meanwhile, if who holds it may wait for a grace period.
 *   - with RMAP_UNMAP_SECTION nobody waits for a grace period (a fill may) while holding a pte lock that clear() takes.
 *
 * Flushes. A processor that has a translation uses it whatever the pte says by now. So, in this order: the pte changes,
 * the flush, and what relies on nobody using the page through it:
 *
 *      removing the mapping, where nobody holds the page      clear_range(), munmap, mremap (before it lets go of its
 *                                                             pte locks), a copy on write. Others conclude from a
 *                                                             mapcount: they drop the page, write it back, reuse it
 *      letting go of the page lock, and before it reading     clear(): its mapping may be removed before, since whoever
 *      the page's contents for good (swap, migration), and    concludes anything from a mapcount holds the page. One
 *      letting go of the references of cleared mappings       flush for many pages, if all stay locked until then
 *      drop()                                                 clear(), in a truncate: another truncate no longer finds
 *                                                             the page, and returns
 *
 * @flush is called where the second and the third need it. Reclaim of many pages has no @flush, notes in clear() what
 * it owes and flushes once before it lets go of the first page. While a flush is owed, a pte that is found empty is not
 * yet out of use: who gives its address away (munmap, mremap, an exit) or copies what stands there (fork) flushes
 * first.
 *
 * Progress: blocking, like the locks it takes. Nothing else of the library waits for it.
 * Not for: deciding what to reclaim; writing pages back; a truncate's part that zeroes half a page.
 */
#ifndef RMAP_UNMAP_H
#define RMAP_UNMAP_H

#include <rmap/walk.h>

#ifdef __cplusplus
extern "C" {
#endif

/** How to unmap; or-ed together. Callbacks are told. */
enum rmap_unmap_flag {
	RMAP_UNMAP_TRY = 1 << 0,   /* a page is locked: only try pte locks */
	RMAP_UNMAP_FORCE = 1 << 1, /* clear locked mappings, too (munlock them). A truncate always does */
	/*
	 * Call clear() inside the read-side section that found the visit, where it must not sleep: for handles that
	 * name memory which is freed after a grace period. It is faster, too: one section is for RMAP_VISITS_MAX
	 * visits or more, but fewer than twice as many, and none is copied.
	 */
	RMAP_UNMAP_SECTION = 1 << 2,
	/* Of a truncate: private copies of these pages go, too: a new end, a collapsed range; not a hole. */
	RMAP_UNMAP_COPIES = 1 << 3,
};

/** What became of a page, or of all pages of a truncate: the worst of them. */
enum rmap_unmap_result {
	RMAP_UNMAP_SUCCESS = 0, /* nothing is mapped */
	/*
	 * A pte lock was not to be had, a mapping was on its way, a split failed, ranges changed too fast: try later.
	 */
	RMAP_UNMAP_AGAIN = 1,
	RMAP_UNMAP_LOCKED = 2,  /* mlocked: needs RMAP_UNMAP_FORCE, or where it is nonlinear a search */
	RMAP_UNMAP_STOPPED = 3, /* of the call: a callback ended it by a positive value, which report->stopped holds */
};

/** Without @wait, reliable semantics give up after so many rounds in a row that clear nothing: some two seconds. */
#define RMAP_UNMAP_FRUITLESS 2000u

enum rmap_semantics {
	RMAP_FAILABLE = 0,
	RMAP_RELIABLE = 1,
};

enum rmap_strategy {
	RMAP_COMBINED = 0,
	RMAP_SEARCH = 1,
	RMAP_CLEANUP = 2,
	RMAP_UNMAP = 3,
	RMAP_TOLERATE = 4,
};

/**
 * struct rmap_search - ptes to look at one by one
 * @object:       whose pages are to go
 * @first, @last: the page indexes that are to go, both included
 * @range:        where to look: a copy
 * @from, @to:    which part of @range: the ptes at the linear addresses of these indexes, both included
 * @flags:        of enum rmap_unmap_flag: with RMAP_UNMAP_COPIES private copies are to go, without it they stay
 */
struct rmap_search {
	const struct rmap_object *object;
	uint64_t first;
	uint64_t last;
	struct rmap_range range;
	uint64_t from;
	uint64_t to;
	unsigned flags;
};

struct rmap_unmap_report;

/**
 * struct rmap_unmap_callbacks - the embedder's mechanism
 * @size: sizeof(struct rmap_unmap_callbacks)
 *
 * All are called outside any read-side section and may sleep (clear() with RMAP_UNMAP_SECTION excepted); they may
 * operate on pages, in sections of their own. What they find may be out of date: they check under the pte lock that
 * a pte still maps the page.
 *
 * @clear:       clear each pte that @visit stands for and that maps one of @target's indexes of its page: of a page
 *               that could not be split these are only a part, also where @visit is chained. Holds: the page lock.
 *               Takes: the pte lock, or with RMAP_UNMAP_TRY tries it. Under it: checks the pte, clears it, removes the
 *               mapping by rmap_page_remove(). Flushes, or leaves that to @flush. Leaves locked mappings alone without
 *               RMAP_UNMAP_FORCE. Adds to *@cleared. Return: 0; -EAGAIN if a lock was not to be had; any other value
 *               ends the unmap: a negative one is what that returns, for a positive one it returns RMAP_UNMAP_STOPPED;
 *               report->stopped is either
 * @clear_range: the same for each pte of @search that maps one of its indexes, locked ones included; with
 *               RMAP_UNMAP_COPIES also for each that maps a copy of one, or says where it is swapped out. Holds:
 *               nothing (called by rmap_unmap(): the page lock). Takes: pte locks, waiting. Flushes what it cleared
 *               before it removes the mappings, under the same pte lock. If the range has changed meanwhile: what is
 *               left of it. Return: 0, or what ends the call, as above
 * @lock_next:   fill in @target with @object's first page that has an index in @first .. @last, and all indexes of that
 *               page, lock it, and keep it from being freed. Holds: nothing. Takes: the page lock, waiting. Return: 0;
 *               -ENOENT: there is none; any other value ends the truncate, as above
 * @split:       NULL, or: that page has indexes on both sides of @first or @last; put smaller ones in its place, of
 *               which fewer have. Holds: the page lock, and @unlock follows. Return: 0; -EAGAIN: it stays as it is; any
 *               other value ends the truncate, as above
 * @unlock:      unlock that page and let it go. Holds: the page lock
 * @drop:        take that page out of the object. Holds: the page lock. @orphan: mappings were left (RMAP_TOLERATE);
 *               who removes the last one frees the page, and that may happen before this call or during it
 * @left:        NULL, or: told of each page that is still mapped when a failable truncate returns, and why; or that
 *               could not be split, with the counts of all of it. Holds: the page lock
 * @flush:       NULL, or: what @clear has cleared since the last call, at least one mapping of this page, is to leave
 *               the processors: once for each batch of visits (16 at most), or with RMAP_UNMAP_SECTION for each
 *               section, before anything is concluded from it. Holds: the page lock, no read-side section
 * @wait:        NULL, or: called before reliable semantics try again, which is a quiescent state, with what was done so
 *               far.
 *               Holds: what the caller of rmap_unmap() holds. Return: 0 to go on; anything else ends the call, as
 *               above.
 *               NULL: yields the CPU, or sleeps for a millisecond once many rounds have cleared nothing
 *
 * rmap_unmap() calls @clear, @flush and @wait, and @clear_range if it has to search.
 */
struct rmap_unmap_callbacks {
	size_t size;
	int (*clear)(void *arg, const struct rmap_target *target, const struct rmap_visit *visit, unsigned flags,
		     uint64_t *cleared);
	int (*clear_range)(void *arg, const struct rmap_search *search, uint64_t *cleared);
	int (*lock_next)(void *arg, struct rmap_object *object, uint64_t first, uint64_t last,
			 struct rmap_target *target);
	int (*split)(void *arg, const struct rmap_target *target, uint64_t first, uint64_t last);
	void (*unlock)(void *arg, const struct rmap_target *target);
	void (*drop)(void *arg, const struct rmap_target *target, int orphan);
	void (*left)(void *arg, const struct rmap_target *target, struct rmap_counts counts,
		     enum rmap_unmap_result why);
	void (*flush)(void *arg, const struct rmap_target *target);
	int (*wait)(void *arg, const struct rmap_unmap_report *report);
};

/** struct rmap_unmap_left - mappings that were left, of one page or of all pages of a truncate together */
struct rmap_unmap_left {
	uint64_t chained;
	uint64_t linear;
	uint64_t locked;
};

/**
 * struct rmap_unmap_report - what an unmap or a truncate did
 * @cleared:  mappings removed by callbacks
 * @left:     mappings that were left. unmap: the page's; truncate: of all pages together but those of @unsplit
 * @refused:  pte locks that were not to be had
 * @pages:    truncate: pages dropped
 * @orphans:  truncate: those of them that were mapped (RMAP_TOLERATE)
 * @mapped:   truncate: pages that stayed, for they are mapped
 * @unsplit:  truncate: pages that stayed, for they have other indexes, too, and could not be split
 * @unseen:   truncate: 1 if private copies may have stayed, for ranges changed faster than it looked at them
 * @passes:   passes over the page's mappings; truncate: bulk, page and search passes
 * @searches: those of them that searched tagged ranges
 * @fruitless: reliable semantics: how many rounds in a row, up to the last, have cleared nothing
 * @stopped:  what the callback returned that ended the call; 0: none did
 */
struct rmap_unmap_report {
	uint64_t cleared;
	struct rmap_unmap_left left;
	uint64_t refused;
	uint64_t pages;
	uint64_t orphans;
	uint64_t mapped;
	uint64_t unsplit;
	uint64_t unseen;
	uint64_t passes;
	uint64_t searches;
	uint64_t fruitless;
	int stopped;
};

/**
 * rmap_unmap - clear every pte of one page
 * @target:    the page, with all its indexes; the caller holds it and has locked it
 * @flags:     of enum rmap_unmap_flag, but RMAP_UNMAP_COPIES: a copy is unmapped as the page it is
 * @semantics: RMAP_FAILABLE: one pass. RMAP_RELIABLE: passes until nothing is mapped, waiting for pte locks; if only
 *             locked mappings are left, a search (RMAP_UNMAP_FORCE, and @target has an object). Not with
 *             RMAP_UNMAP_TRY: the holder of a pte lock may be waiting for this page, which must be let go between two
 *             tries, as rmap_truncate() does
 * @report:    filled in if not NULL
 * Context:  registered reader, outside any read-side section; the page lock held. May sleep
 * Ordering: when it returns RMAP_UNMAP_SUCCESS, what every remover did before its remove is visible. That nothing is
 *           mapped is true of one moment: a fault that found the page maps it again, unless the page lock or the
 *           embedder's recheck keeps it from that
 * Return:   an enum rmap_unmap_result. RMAP_UNMAP_LOCKED comes before anything is touched if the page had a locked
 *           mapping and RMAP_UNMAP_FORCE is not given. RMAP_RELIABLE: RMAP_UNMAP_AGAIN or RMAP_UNMAP_LOCKED also if it
 *           gave up. -EINVAL (what the above forbids, unknown flags, NULL or callbacks missing); what a callback
 *           returned, if negative
 */
RMAP_API int rmap_unmap(struct rmap *map, const struct rmap_unmap_callbacks *callbacks, void *arg,
			const struct rmap_target *target, unsigned flags, enum rmap_semantics semantics,
			struct rmap_unmap_report *report);

/**
 * struct rmap_truncation - what to truncate, and how
 * @size:         sizeof(struct rmap_truncation)
 * @object:       whose pages go
 * @first, @last: their indexes, both included: a new end is @first with @last UINT64_MAX, a hole both
 * @flags:        of enum rmap_unmap_flag. RMAP_UNMAP_FORCE is implied
 */
struct rmap_truncation {
	size_t size;
	struct rmap_object *object;
	uint64_t first;
	uint64_t last;
	enum rmap_strategy strategy;
	enum rmap_semantics semantics;
	unsigned flags;
};

/**
 * rmap_truncate - unmap and drop an object's pages from an end on, or in a hole
 * @report:   filled in if not NULL, also on error: what was done until then
 *
 * The caller has set the new size before, so that no fault finds these indexes valid, and keeps the object from growing
 * there until this, and every other truncate of these indexes, has returned (a lock of the file that nothing here
 * takes). Advances the truncate sequence and waits for a grace period before the first pass. Two truncates of one
 * object may run at once.
 * Context:  registered reader, outside any read-side section; no page or pte lock held. May sleep
 * Ordering: as rmap_unmap(), for each page it dropped
 * Return:   RMAP_UNMAP_SUCCESS: the object has no page with such an index, nor is an orphan of this call mapped, nor a
 *           copy, if copies were to go.
 *           RMAP_FAILABLE: also RMAP_UNMAP_AGAIN, or RMAP_UNMAP_LOCKED if pages that are left, or orphans, have locked
 *           mappings; RMAP_RELIABLE: these only if it gave up. RMAP_UNMAP_STOPPED. -EINVAL (last < first, unknown
 *           values, NULL or callbacks missing); what a callback returned, if negative. The same call again takes up the
 *           rest
 */
RMAP_API int rmap_truncate(struct rmap *map, const struct rmap_unmap_callbacks *callbacks, void *arg,
			   const struct rmap_truncation *truncation, struct rmap_unmap_report *report);

#ifdef __cplusplus
}
#endif
#endif
