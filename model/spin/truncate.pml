/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * truncate.pml - truncate and unmap against fault, fork, mremap, munmap, mlock and munlock
 *
 * A file of two pages is cut to one, by the passes of lib/unmap.c, while ACTORS threads do one operation each: every
 * choice of operations, from every initial mapping, in every interleaving.
 *
 *      index 0  page KEPT             range A, linear: pte 0, at the linear address of index 1
 *      index 1  page DOOMED, and      range B, tagged: pte 1, at the linear address of index 0; index 1 is nonlinear there
 *               NEW once it regrew    range C, tagged: pte 2, as pte 1: what fork and mremap make of B
 *
 * Steps that only let go of locks and sections are merged with the step before: all that they do is to let others run.
 *
 * A page has counts of linear, chained and locked mappings and the set of ptes that are chained. Its chain is changed
 * in the library's order (an add counts first, a remove takes first), so that mappings are on their way in and out. A
 * walk is one step that copies the linear addresses and the chain; what it tells may be out of date when it is used.
 *
 * Parameters, by -D:
 *
 *      STRATEGY    SEARCH CLEANUP UNMAP COMBINED TOLERATE       (unmap.h)
 *      SEMANTICS   FAILABLE RELIABLE
 *      ORDER       TODAY      page > pte
 *                  OLD        2003: page > chain > try pte in page passes, page > pte > chain everywhere else
 *                  OLD_WAITS  the same, waiting for the pte: known to be bad
 *                  PTE_FIRST  pte > page, page passes only try ptes: what RMAP_UNMAP_TRY is for, with one lock less
 *      ACTORS      how many threads beside the truncate
 *      OPERATIONS  a mask of what they choose from
 *      INITIAL     a mask of how the file may be mapped at first
 *      SECOND      the strategy of another truncate that runs at once; SECOND_SEMANTICS
 *      WIDE        a faulter's section begins before it looks for the page; otherwise at its recheck
 *      RETURNS     check instead that the truncate returns
 *      NOTHING_STAYS  assert that nothing is mapped when a failable truncate returns
 *      TLB         a processor keeps translations and uses them; there are operations that access, and flushes
 *
 * Flaws, by -D, each of which some property must notice:
 *
 *      NO_RECHECK SEQUENCE_LATE NO_GRACE NO_SEARCH MLOCK_BARE FORK_BARE INSERT_BARE ORPHAN_FLAG REGROWN_FORK
 *      NO_FLUSH FLUSH_EARLY FLUSH_LATE MUNMAP_DEFERS SEARCH_DEFERS MOVE_DEFERS (with TLB)
 *      (the protocol)
 *      DROPS_BLINDLY MISCOUNTS MISREPORTS CLEARS_ALL KEEPS_LOCK FREES_TWICE FREES_ORPHANS STOPS_EARLY
 *      (the model itself)
 */

#define SEARCH 1
#define CLEANUP 2
#define UNMAP 3
#define COMBINED 4
#define TOLERATE 5

#define FAILABLE 1
#define RELIABLE 2

#define TODAY 1
#define OLD 2
#define OLD_WAITS 3
#define PTE_FIRST 4

#ifndef STRATEGY
#define STRATEGY COMBINED
#endif
#ifndef SEMANTICS
#define SEMANTICS RELIABLE
#endif
#ifndef ORDER
#define ORDER TODAY
#endif
#ifndef ACTORS
#define ACTORS 2
#endif
#ifndef OPERATIONS
#define OPERATIONS 16383
#endif
#ifndef INITIAL
#define INITIAL 255
#endif
#ifdef SECOND
#ifndef SECOND_SEMANTICS
#define SECOND_SEMANTICS RELIABLE
#endif
#define TRUNCATES 2
#else
#define TRUNCATES 1
#endif

/* Operations, by bit in OPERATIONS. */
#define FAULT_LINEAR 0     /* 1 */
#define FAULT_NONLINEAR 1  /* 2: remap_file_pages */
#define FAULT_KEPT 2       /* 4: index 0, which stays */
#define FAULT_LOCKED 3     /* 8: nonlinear, in a locked vma */
#define MUNLOCK_LINEAR 4   /* 16 */
#define MUNLOCK 5          /* 32 */
#define MLOCK_LINEAR 6     /* 64 */
#define MLOCK 7            /* 128 */
#define MUNMAP_LINEAR 8    /* 256 */
#define MUNMAP 9           /* 512 */
#define FORK 10            /* 1024 */
#define MREMAP 11          /* 2048: there and back */
#define RECLAIM 12         /* 4096 */
#define INSERT 13          /* 8192: bring the page of index 1 in, if it is not in the file */
#define ACCESS_LINEAR 14   /* 16384: twice; with TLB */
#define ACCESS 15          /* 32768 */
#ifdef TLB
#define LAST_OPERATION 15
#else
#define LAST_OPERATION 13
#endif

/*
 * Names of properties. All are false for ever: an assertion carries one so that its report names what was broken.
 */
hidden byte A_TRUNCATED_PAGE_IS_MAPPED_AGAIN, A_TRUNCATE_RETURNED_AND_A_PAGE_IS_MAPPED, A_PAGE_IS_DROPPED_WHILE_MAPPED;
hidden byte MORE_OR_LESS_IS_LEFT_THAN_REPORTED, A_RELIABLE_TRUNCATE_LEFT_SOMETHING, A_TRUNCATED_PAGE_STAYS_MAPPED;
hidden byte A_MAPPING_THAT_WAS_TO_STAY_IS_LOST, A_LOCKED_PAGE_IS_HALF_UNMAPPED, A_PAGE_PAST_THE_END_IS_IN_THE_FILE;
hidden byte A_PAGE_IS_FREED_TWICE, A_FREED_PAGE_IS_MAPPED, A_PAGE_IS_LEAKED, THE_MAPCOUNT_IS_NOT_THE_NUMBER_OF_PTES;
hidden byte AN_ORPHAN_GAINS_A_MAPPING, A_TRUNCATED_PAGE_IS_ACCESSED, A_FREED_PAGE_IS_ACCESSED;

/* Pages; NONE is no page. */
#define NONE 0
#define KEPT 1
#define DOOMED 2
#define NEW 3
#define PAGES 4

#define PTES 3
#define INDEX(page) ((page) != KEPT)

/* The file. Its page of each index is the embedder's page cache. */
byte end = 2;
byte sequence;
byte file[2];

/* Ptes. Written under their locks. */
byte pte[PTES];
bool pte_locked[PTES];
bool pte_lock[PTES];

#ifdef TLB
/* What the processor has of each pte: the page that it mapped. */
byte tlb[PTES];
#endif

/* Pages. @refs: one for the file, one for the mapcount while it is not zero; zero is free. */
bool page_lock[PAGES];
bool chain_lock[PAGES];
byte linear[PAGES];
byte chained[PAGES];
byte locked[PAGES];
byte chain[PAGES];
byte refs[PAGES];
bool orphan[PAGES];

/* Read-side sections that are open, by thread; and those that each truncate waits for. */
byte sections;
byte awaited[TRUNCATES];

/* For the properties. @gone: mappings of truncated pages removed since a truncate counted them. */
byte gone[TRUNCATES];
bool settled;
bool returned;
byte running;

#define MAPCOUNT(page) (linear[page] + chained[page] + locked[page])
#define PTES_OF(page) ((pte[0] == (page)) + (pte[1] == (page)) + (pte[2] == (page)))
#define BIT(n) (1 << (n))

/* Is pte @p at the linear address of @page? And all those that are. */
#define IS_LINEAR(p, page) (INDEX(page) == ((p) == 0))
#define LINEAR_PTES(page) (INDEX(page) -> 1 : 6)

/* --- Locks and sections ----------------------------------------------------------------------- */

#define LOCK(lock) atomic { !(lock) -> lock = true }
#define UNLOCK(lock) lock = false

/* What every change of a page's mappings holds in 2003. A page pass holds it from its beginning. */
#if ORDER == OLD || ORDER == OLD_WAITS
#define CHAIN_LOCK(page) LOCK(chain_lock[page])
#define CHAIN_UNLOCK(page) UNLOCK(chain_lock[page])
#else
#define CHAIN_LOCK(page) skip
#define CHAIN_UNLOCK(page) skip
#endif

#define SECTION_BEGIN(me) sections = sections | BIT(me)

#ifdef SECOND
#define FORGET(me) awaited[1] = awaited[1] & ~BIT(me)
#else
#define FORGET(me) skip
#endif
#define SECTION_END(me) sections = sections & ~BIT(me); awaited[0] = awaited[0] & ~BIT(me); FORGET(me)

#ifdef WIDE
#define WIDE_BEGIN(me) SECTION_BEGIN(me)
#define WIDE_END(me) SECTION_END(me)
#define NARROW_BEGIN(me) skip
#define NARROW_END(me) skip
#else
#define WIDE_BEGIN(me) skip
#define WIDE_END(me) skip
#define NARROW_BEGIN(me) SECTION_BEGIN(me)
#define NARROW_END(me) SECTION_END(me)
#endif

#ifdef NO_RECHECK
#define RECHECKED(seen) true
#else
#define RECHECKED(seen) (sequence == seen)
#endif

/* --- Translations ------------------------------------------------------------------------------ */

#if defined(TLB) && !defined(NO_FLUSH)
#define FLUSH(p) tlb[p] = NONE
#else
#define FLUSH(p) skip
#endif

#if defined(TLB) && defined(FLUSH_EARLY)
#define FLUSH_BEFORE(p) FLUSH(p)
#else
#define FLUSH_BEFORE(p) skip
#endif

/* Where nobody holds the page: before the mapping is removed. */
#if defined(TLB) && !defined(FLUSH_EARLY)
#define FLUSH_IF(now, p) if :: now -> FLUSH(p) :: else fi
#define OWE(p) owed = owed | BIT(p)
#else
#define FLUSH_IF(now, p) skip
#define OWE(p) skip
#endif

#ifdef SEARCH_DEFERS
#define SEARCH_NOW false
#define SEARCH_THEN(p) FLUSH(p)
#else
#define SEARCH_NOW true
#define SEARCH_THEN(p) skip
#endif

#ifdef MUNMAP_DEFERS
#define MUNMAP_NOW false
#define MUNMAP_THEN(p) FLUSH(p)
#else
#define MUNMAP_NOW true
#define MUNMAP_THEN(p) skip
#endif

/* --- Mappings: rmap_page_add, remove, move, under the pte lock -------------------------------- */

/* The page's last reference gone, its memory goes. */
inline put(page)
{
	d_step {
		assert(refs[page] > 0 || A_PAGE_IS_FREED_TWICE);
		refs[page]--;
		assert(refs[page] > 0 || PTES_OF(page) == 0 || A_FREED_PAGE_IS_MAPPED);
	}
}

inline set_pte(p, page, lock)
{
	d_step {
		pte[p] = page;
		pte_locked[p] = lock;
		assert(!settled || page != DOOMED || A_TRUNCATED_PAGE_IS_MAPPED_AGAIN);
		assert(refs[page] > 0 || A_FREED_PAGE_IS_MAPPED);
	}
}

inline add(p, page, lock)
{
	set_pte(p, page, lock);
	d_step {
#ifndef ORPHAN_FLAG
		refs[page] = refs[page] + (MAPCOUNT(page) == 0);
#endif
		if
		:: lock -> locked[page]++
		:: else ->
			if
			:: IS_LINEAR(p, page) -> linear[page]++
			:: else -> chained[page]++
			fi
		fi
	}
	if
	:: !lock && !IS_LINEAR(p, page) -> chain[page] = chain[page] | BIT(p)
	:: else
	fi
}

/* Sets the caller's @lock and @last. @now: a flush comes first; otherwise the page is locked, and flush_owed() follows. */
inline remove(p, page, now)
{
	d_step {
		lock = pte_locked[p];
		pte[p] = NONE;
		pte_locked[p] = false
	}
#ifdef TLB
	FLUSH_IF(now, p);
#endif
	if
	:: !lock && !IS_LINEAR(p, page) -> chain[page] = chain[page] & ~BIT(p)
	:: else
	fi;
	d_step {
		if
		:: lock -> locked[page]--
		:: else ->
			if
			:: IS_LINEAR(p, page) -> linear[page]--
			:: else -> chained[page]--
			fi
		fi;
#if SEMANTICS == FAILABLE
		gone[0] = gone[0] + INDEX(page);
#endif
#ifdef SECOND
		gone[1] = gone[1] + INDEX(page);
#endif
		last = MAPCOUNT(page) == 0;
		lock = false
	}
	if
#ifdef ORPHAN_FLAG
	:: last && orphan[page] -> put(page)
#elif defined(TLB)
	:: last && now -> put(page)
	:: last && !now -> puts++
#else
	:: last -> put(page)
#endif
	:: else
	fi;
#ifdef FREES_TWICE
	if
	:: last && orphan[page] -> put(page)
	:: else
	fi;
#endif
	last = false
}

#ifdef TLB
/* References of mappings that were removed before the flush. */
inline put_owed(page)
{
	d_step {
		assert(refs[page] >= puts || A_PAGE_IS_FREED_TWICE);
		refs[page] = refs[page] - puts;
		assert(puts == 0 || refs[page] > 0 || PTES_OF(page) == 0 || A_FREED_PAGE_IS_MAPPED);
		puts = 0
	}
}

/* What clear_page() has left: the flush, and then the references of the mappings. */
inline flush_owed(page)
{
	d_step {
		FLUSH_IF(owed & 1, 0);
		FLUSH_IF(owed & 2, 1);
		FLUSH_IF(owed & 4, 2);
		owed = 0
	}
	put_owed(page)
}

/* By the translation that the processor has of pte @p, or by the pte, of which it then has one. Twice. */
proctype accessor(byte p)
{
	byte times;

	do
	:: times < 2 ->
		atomic {
			if
			:: tlb[p] != NONE
			:: tlb[p] == NONE ->
				!pte_lock[p];
				tlb[p] = pte[p]
			fi;
			assert(tlb[p] == NONE || refs[tlb[p]] > 0 || A_FREED_PAGE_IS_ACCESSED);
			assert(tlb[p] != DOOMED || !settled || A_TRUNCATED_PAGE_IS_ACCESSED);
			times++
		}
	:: else -> break
	od;
	atomic {
		times = 0;
		running--
	}
}
#endif

/* --- The embedder's threads -------------------------------------------------------------------- */

/* A fault; nonlinear where @index is not what the range says of pte @p (remap_file_pages). */
proctype faulter(byte me; byte p; byte index; bool lock)
{
	byte page;
	byte seen;
	bool same;

again:
	WIDE_BEGIN(me);
#ifndef SEQUENCE_LATE
	seen = sequence;
#endif
	if
	:: end <= index ->
		atomic {
			WIDE_END(me);
			goto done
		}
	:: else
	fi;
#ifdef SEQUENCE_LATE
	seen = sequence;
#endif
	page = file[index];
	if
	:: page == NONE ->
		atomic {
			WIDE_END(me);
			goto done
		}
	:: else
	fi;
#if ORDER == PTE_FIRST
	LOCK(pte_lock[p]);
	if
	:: lock -> LOCK(page_lock[page])
	:: else
	fi;
#else
	if
	:: lock -> LOCK(page_lock[page])
	:: else
	fi;
	LOCK(pte_lock[p]);
#endif
	CHAIN_LOCK(page);
	NARROW_BEGIN(me);
	same = RECHECKED(seen);
	if
	:: same && pte[p] == NONE -> add(p, page, lock)
	:: else
	fi;
	atomic {
		NARROW_END(me);
		CHAIN_UNLOCK(page);
		UNLOCK(pte_lock[p]);
		if
		:: lock -> UNLOCK(page_lock[page])
		:: else
		fi;
		WIDE_END(me);
		page = NONE;
		seen = 0;
		if
		:: !same -> goto again
		:: else
		fi;
done:
		seen = 0;
		same = false;
		running--
	}
}

/* Brings the page of index 1 into the file: what a fault or a write does that does not find it there. */
proctype inserter(byte me)
{
	byte seen;

	seen = sequence;
	if
	:: end > 1 ->
		SECTION_BEGIN(me);
		if
#ifdef INSERT_BARE
		:: true ->
#else
		:: sequence == seen ->
#endif
			d_step {
				if
				:: file[1] == NONE ->
					file[1] = DOOMED;
					refs[DOOMED] = 1;
					assert(!settled || A_PAGE_PAST_THE_END_IS_IN_THE_FILE)
				:: else
				fi
			}
		:: else
		fi;
		d_step {
			SECTION_END(me)
		}
	:: else
	fi;
	d_step {
		seen = 0;
		running--
	}
}

/* Locked to chained or linear, under the pte lock alone. */
proctype munlocker(byte p)
{
	byte page;

	LOCK(pte_lock[p]);
	page = pte[p];
	if
	:: page != NONE && pte_locked[p] ->
		CHAIN_LOCK(page);
		d_step {
#ifndef MISCOUNTS
			locked[page]--;
#endif
			if
			:: IS_LINEAR(p, page) -> linear[page]++
			:: else -> chained[page]++
			fi
		}
		if
		:: !IS_LINEAR(p, page) -> chain[page] = chain[page] | BIT(p)
		:: else
		fi;
		d_step {
			pte_locked[p] = false;
			CHAIN_UNLOCK(page)
		}
	:: else
	fi;
	d_step {
		UNLOCK(pte_lock[p]);
		page = NONE;
		running--
	}
}

/* Chained or linear to locked, under the page lock and the pte lock. */
proctype mlocker(byte p)
{
	byte page;

#if ORDER == PTE_FIRST
	LOCK(pte_lock[p]);
#endif
	page = pte[p];
#ifndef MLOCK_BARE
	if
	:: page != NONE -> LOCK(page_lock[page])
	:: else
	fi;
#endif
#if ORDER != PTE_FIRST
	LOCK(pte_lock[p]);
#endif
	if
	:: page != NONE && pte[p] == page && !pte_locked[p] ->
		CHAIN_LOCK(page);
		d_step {
			locked[page]++;
			if
			:: IS_LINEAR(p, page) -> linear[page]--
			:: else -> chained[page]--
			fi
		}
		if
		:: !IS_LINEAR(p, page) -> chain[page] = chain[page] & ~BIT(p)
		:: else
		fi;
		d_step {
			pte_locked[p] = true;
			CHAIN_UNLOCK(page)
		}
	:: else
	fi;
	d_step {
		UNLOCK(pte_lock[p]);
#ifndef MLOCK_BARE
		if
		:: page != NONE -> UNLOCK(page_lock[page])
		:: else
		fi;
#endif
		page = NONE;
		running--
	}
}

proctype munmapper(byte p)
{
	byte page;
	bool lock;
	bool last;
#ifdef TLB
	byte puts;
#endif

#ifdef TLB
	FLUSH_BEFORE(p);
#endif
	LOCK(pte_lock[p]);
	page = pte[p];
	if
	:: page != NONE ->
		CHAIN_LOCK(page);
		remove(p, page, MUNMAP_NOW);
		CHAIN_UNLOCK(page)
	:: else
	fi;
	d_step {
#ifndef KEEPS_LOCK
		UNLOCK(pte_lock[p]);
#endif
#ifndef TLB
		page = NONE;
		running--
#endif
	}
#ifdef TLB
	MUNMAP_THEN(p);
	put_owed(page);
	d_step {
		page = NONE;
		running--
	}
#endif
}

/* Copies pte 1 to pte 2. A child's mapping is never locked. */
proctype forker(byte me)
{
	byte page;
	byte seen;

	seen = sequence;
	LOCK(pte_lock[1]);
	LOCK(pte_lock[2]);
	page = pte[1];
	if
#ifdef FORK_BARE
	:: page != NONE && pte[2] == NONE ->
#else
	:: page != NONE && pte[2] == NONE && end > INDEX(page) ->
#endif
		CHAIN_LOCK(page);
		SECTION_BEGIN(me);
		if
#ifdef FORK_BARE
		:: true ->
#elif defined(REGROWN_FORK)
		:: sequence == seen ->
#else
		:: sequence == seen && !orphan[page] ->
#endif
			assert(!orphan[page] || AN_ORPHAN_GAINS_A_MAPPING);
			add(2, page, false)
		:: else
		fi;
		d_step {
			SECTION_END(me);
			CHAIN_UNLOCK(page)
		}
	:: else
	fi;
	d_step {
		UNLOCK(pte_lock[2]);
		UNLOCK(pte_lock[1]);
		page = NONE;
		seen = 0;
		running--
	}
}

inline move_pte(from, to)
{
	LOCK(pte_lock[1]);
	LOCK(pte_lock[2]);
	page = pte[from];
	if
	:: page != NONE && pte[to] == NONE ->
		CHAIN_LOCK(page);
		if
		:: !pte_locked[from] && !IS_LINEAR(from, page) ->
			chain[page] = chain[page] | BIT(to);
			chain[page] = chain[page] & ~BIT(from)
		:: else
		fi;
		d_step {
			pte[to] = page;
			pte_locked[to] = pte_locked[from];
			pte[from] = NONE;
			pte_locked[from] = false;
#ifndef MOVE_DEFERS
			FLUSH(from);
#endif
			CHAIN_UNLOCK(page)
		}
	:: else
	fi;
	d_step {
		UNLOCK(pte_lock[2]);
		UNLOCK(pte_lock[1]);
		page = NONE
	}
#ifdef MOVE_DEFERS
	FLUSH(from)
#endif
}

/* There and back, so that it can pass behind a search. */
proctype mremapper()
{
	byte page;

	move_pte(1, 2);
	move_pte(2, 1);
	running--
}

/* --- lib/unmap.c -------------------------------------------------------------------------------- */

/* Sets the caller's @got: a page pass locks pte @p, or tries. */
inline lock_pte(p)
{
#if ORDER == OLD || ORDER == PTE_FIRST
	atomic {
		if
		:: !pte_lock[p] ->
			pte_lock[p] = true;
			got = true
		:: else -> got = false
		fi
	}
#else
	atomic {
		!pte_lock[p] -> pte_lock[p] = true;
		got = true
	}
#endif
}

/* clear_page() and the callback clear(): one walk over @page, which is locked. */
inline clear_page(page, force)
{
	todo = chain[page] | LINEAR_PTES(page);
	do
	:: todo != 0 ->
		d_step {
			p = 0;
			do
			:: todo & BIT(p) -> break
			:: else -> p++
			od;
			todo = todo & ~BIT(p)
		}
#ifdef TLB
		FLUSH_BEFORE(p);
#endif
		lock_pte(p);
		if
		:: got ->
			if
			:: pte[p] == page && (force || !pte_locked[p]) ->
				remove(p, page, false);
				d_step {
					cleared = true;
					OWE(p);
					UNLOCK(pte_lock[p])
				}
			:: else -> UNLOCK(pte_lock[p])
			fi
		:: else
		fi
	:: else -> break
	od;
	atomic {
		p = 0;
		got = false
	}
#if defined(TLB) && !defined(FLUSH_LATE)
	flush_owed(page)
#endif
}

/* Reclaim: a failable rmap_unmap() of the page of index 1. */
proctype unmapper()
{
	byte page;
	byte todo;
	byte p;
	bool got;
	bool cleared;
	bool lock;
	bool last;
#ifdef TLB
	byte owed;
	byte puts;
#endif

	page = file[1];
	if
	:: page != NONE ->
		LOCK(page_lock[page]);
		CHAIN_LOCK(page);
		if
		:: locked[page] == 0 -> clear_page(page, false)
		:: else
		fi;
		assert(!cleared || locked[page] == 0 || A_LOCKED_PAGE_IS_HALF_UNMAPPED);
		d_step {
			CHAIN_UNLOCK(page);
			UNLOCK(page_lock[page]);
#ifndef FLUSH_LATE
			page = NONE;
#endif
			cleared = false
		}
#if defined(TLB) && defined(FLUSH_LATE)
		flush_owed(page);
		page = NONE
#endif
	:: else
	fi;
	running--
}

/* The callback clear_range(), for one pte. */
inline clear_at(place)
{
#ifdef TLB
	FLUSH_BEFORE(place);
#endif
	LOCK(pte_lock[place]);
	page = pte[place];
	if
#ifdef CLEARS_ALL
	:: page != NONE ->
#else
	:: page != NONE && INDEX(page) == 1 ->
#endif
		assert(INDEX(page) == 1 || A_MAPPING_THAT_WAS_TO_STAY_IS_LOST);
		CHAIN_LOCK(page);
		remove(place, page, SEARCH_NOW);
		d_step {
			cleared = true;
			CHAIN_UNLOCK(page)
		}
	:: else
	fi;
	d_step {
#ifndef SEARCH_DEFERS
		page = NONE;
#endif
		UNLOCK(pte_lock[place])
	}
#ifdef SEARCH_DEFERS
	SEARCH_THEN(place);
	flush_owed(page);
	page = NONE
#endif
}

/* Passes, and lists of them: the first is the last octal digit. */
#define PASS_END 0
#define PASS_BULK 1
#define PASS_SEARCH 2
#define PASS_DROP 3
#define PASS_PAGES 4
#define PASS_ORPHANS 5
#define LIST5(a, b, c, d, e) (a + 8 * (b + 8 * (c + 8 * (d + 8 * e))))
#define LIST(a, b, c) LIST5(a, b, c, PASS_END, PASS_END)

#define SEARCH_PASSES LIST(PASS_BULK, PASS_SEARCH, PASS_DROP)
#define CLEANUP_PASSES LIST(PASS_BULK, PASS_PAGES, PASS_END)
#define UNMAP_PASSES LIST(PASS_PAGES, PASS_END, PASS_END)
#define COMBINED_PASSES LIST5(PASS_BULK, PASS_PAGES, PASS_PAGES, PASS_SEARCH, PASS_DROP)
#define TOLERATE_PASSES LIST(PASS_BULK, PASS_ORPHANS, PASS_END)
#define WHILE_IT_CLEARS LIST(PASS_PAGES, PASS_END, PASS_END)
#ifdef NO_SEARCH
#define WHEN_IT_DOES_NOT LIST(PASS_BULK, PASS_PAGES, PASS_END)
#else
#define WHEN_IT_DOES_NOT LIST(PASS_BULK, PASS_SEARCH, PASS_DROP)
#endif

/* finish_page() and the callback drop(). */
inline finish_page()
{
	if
	:: passes % 8 != PASS_DROP -> clear_page(page, true)
	:: else
	fi;
	d_step {
		left = MAPCOUNT(page);
		gone[me] = 0
	}
	mapped = left > 0;
#ifdef MISREPORTS
	left = left + mapped;
#endif
	if
#ifndef DROPS_BLINDLY
	:: mapped && passes % 8 != PASS_ORPHANS
#endif
	:: else ->
		d_step {
			assert(PTES_OF(page) == 0 || (mapped && passes % 8 == PASS_ORPHANS) || A_PAGE_IS_DROPPED_WHILE_MAPPED);
			file[1] = NONE;
			orphan[page] = mapped
		}
#ifdef ORPHAN_FLAG
		if
		:: !mapped -> put(page)
		:: else
		fi;
#else
		put(page);
#endif
#ifdef FREES_ORPHANS
		if
		:: mapped -> put(page)
		:: else
		fi;
#endif
		mapped = false
	fi
}

/* page_pass() and the callbacks lock_next() and unlock(). Index 1 is all there is. */
inline page_pass()
{
	d_step {
		mapped = false;
		left = 0
	}
	do
	:: true ->
		d_step {
			page = file[1];
			if
			:: page == NONE -> gone[me] = 0
			:: else
			fi
		}
		if
		:: page == NONE -> break
		:: else
		fi;
		LOCK(page_lock[page]);
		if
		:: file[1] != page -> UNLOCK(page_lock[page])
		:: else ->
			CHAIN_LOCK(page);
			finish_page();
#if defined(TLB) && defined(FLUSH_LATE)
			d_step {
				CHAIN_UNLOCK(page);
				UNLOCK(page_lock[page])
			}
			flush_owed(page);
			break
#else
			atomic {
				CHAIN_UNLOCK(page);
				UNLOCK(page_lock[page]);
				break
			}
#endif
		fi
	od;
	page = NONE
}

/* rmap_truncate(), and the caller that sets the end before and may let the file grow again after. */
proctype truncater(byte me; byte strategy; byte semantics)
{
	int passes;
	byte page;
	byte todo;
	byte p;
	byte left;
	bool got;
	bool cleared;
	bool mapped;
	bool lock;
	bool last;
#ifdef TLB
	byte owed;
	byte puts;
#endif

	end = 1;
	sequence++;
#ifndef NO_GRACE
	awaited[me] = sections;
	awaited[me] == 0;
#endif
	d_step {
		if
		:: strategy == SEARCH -> passes = SEARCH_PASSES
		:: strategy == CLEANUP || (strategy == TOLERATE && semantics == RELIABLE) -> passes = CLEANUP_PASSES
		:: strategy == UNMAP -> passes = UNMAP_PASSES
		:: strategy == COMBINED -> passes = COMBINED_PASSES
		:: strategy == TOLERATE && semantics == FAILABLE -> passes = TOLERATE_PASSES
		fi
	}
	do
	:: passes == PASS_END ->
		if
#ifndef STOPS_EARLY
		:: semantics == RELIABLE && mapped ->
#else
		:: false ->
#endif
			d_step {
				if
				:: cleared -> passes = WHILE_IT_CLEARS
				:: else -> passes = WHEN_IT_DOES_NOT
				fi;
				cleared = false
			}
		:: else -> break
		fi
	:: passes % 8 == PASS_BULK ->
		clear_at(0);
		passes = passes / 8
	:: passes % 8 == PASS_SEARCH ->
		clear_at(1);
		clear_at(2);
		passes = passes / 8
	:: passes % 8 >= PASS_DROP ->
		page_pass();
		d_step {
			if
			:: mapped -> passes = passes / 8
			:: else -> passes = PASS_END
			fi
		}
	od;
	atomic {
		assert(semantics == FAILABLE || left == 0 || A_RELIABLE_TRUNCATE_LEFT_SOMETHING);
		assert(left > 0 || PTES_OF(DOOMED) == 0 || A_TRUNCATE_RETURNED_AND_A_PAGE_IS_MAPPED);
		assert(left > 0 || file[1] == NONE || A_PAGE_PAST_THE_END_IS_IN_THE_FILE);
#if SEMANTICS == FAILABLE || defined(SECOND)
		assert(semantics == RELIABLE || left == MAPCOUNT(DOOMED) + gone[me] || MORE_OR_LESS_IS_LEFT_THAN_REPORTED);
#endif
#ifdef NOTHING_STAYS
		assert(PTES_OF(DOOMED) == 0 || A_TRUNCATED_PAGE_STAYS_MAPPED);
#endif
		settled = settled || left == 0;
		returned = true
	}
	d_step {
		left = 0;
		cleared = false;
		mapped = false
	}
	/* A page that was left is in the file still, and not what a file that grows may show: then it does not. */
#ifndef SECOND
	if
	:: file[1] == NONE ->
		d_step {
			file[1] = NEW;
			refs[NEW] = 1;
			end = 2
		}
	:: true
	fi;
#endif
	running--
}

/* --- The worlds ---------------------------------------------------------------------------------- */

inline map_at_first(p, page, lock)
{
	pte[p] = page;
	pte_locked[p] = lock;
#ifdef TLB
	tlb[p] = page;
#endif
	refs[page] = refs[page] + (MAPCOUNT(page) == 0);
	if
	:: lock -> locked[page]++
	:: !lock && IS_LINEAR(p, page) -> linear[page]++
	:: else ->
		chained[page]++;
		chain[page] = chain[page] | BIT(p)
	fi
}

inline start(operation, me)
{
	if
	:: operation == FAULT_LINEAR -> run faulter(me, 0, 1, false)
	:: operation == FAULT_NONLINEAR -> run faulter(me, 1, 1, false)
	:: operation == FAULT_KEPT -> run faulter(me, 1, 0, false)
	:: operation == FAULT_LOCKED -> run faulter(me, 1, 1, true)
	:: operation == MUNLOCK_LINEAR -> run munlocker(0)
	:: operation == MUNLOCK -> run munlocker(1)
	:: operation == MLOCK_LINEAR -> run mlocker(0)
	:: operation == MLOCK -> run mlocker(1)
	:: operation == MUNMAP_LINEAR -> run munmapper(0)
	:: operation == MUNMAP -> run munmapper(1)
	:: operation == FORK -> run forker(me)
	:: operation == MREMAP -> run mremapper()
	:: operation == RECLAIM -> run unmapper()
	:: operation == INSERT -> run inserter(me)
#ifdef TLB
	:: operation == ACCESS_LINEAR -> run accessor(0)
	:: operation == ACCESS -> run accessor(1)
#endif
	fi
}

/* Operations in falling order, so that no choice is made twice. */
inline start_actors()
{
	actor = 0;
	operation = LAST_OPERATION;
	do
	:: actor < ACTORS && (OPERATIONS & (BIT(operation) - 1)) -> operation--
	:: actor < ACTORS && (OPERATIONS & BIT(operation)) ->
		start(operation, actor);
		running++;
		actor++
	:: actor == ACTORS -> break
	od;
	actor = 0;
	operation = 0
}

#define ENDED(page) (refs[page] == ((file[INDEX(page)] == page) + (MAPCOUNT(page) > 0)))
#define COUNTED(page) (PTES_OF(page) == MAPCOUNT(page))

/*
 * By bit in INITIAL: how pte 1 is mapped (0: not, 1: chained, 2: locked, 3: linear, to the page that stays), how pte 0
 * is (5: not, 6: linear, 7: locked); 4: nothing is mapped, and the page of index 1 is not in the file.
 */
init {
	byte actor;
	byte operation;

	atomic {
		file[0] = KEPT;
		refs[KEPT] = 1;
		if
		:: INITIAL & BIT(4)
		:: INITIAL & 15 ->
			file[1] = DOOMED;
			refs[DOOMED] = 1;
			if
			:: INITIAL & BIT(0)
			:: INITIAL & BIT(1) -> map_at_first(1, DOOMED, false)
			:: INITIAL & BIT(2) -> map_at_first(1, DOOMED, true)
			:: INITIAL & BIT(3) -> map_at_first(1, KEPT, false)
			fi;
			if
			:: INITIAL & BIT(5)
			:: INITIAL & BIT(6) -> map_at_first(0, DOOMED, false)
			:: INITIAL & BIT(7) -> map_at_first(0, DOOMED, true)
			fi
		fi;
		start_actors();
		running = running + TRUNCATES;
		run truncater(0, STRATEGY, SEMANTICS);
#ifdef SECOND
		run truncater(1, SECOND, SECOND_SEMANTICS);
#endif
	}
	running == 0;
	d_step {
		assert((COUNTED(KEPT) && COUNTED(DOOMED) && COUNTED(NEW)) || THE_MAPCOUNT_IS_NOT_THE_NUMBER_OF_PTES);
		assert(file[1] == DOOMED || MAPCOUNT(DOOMED) > 0 || refs[DOOMED] == 0 || A_PAGE_IS_LEAKED);
#ifndef ORPHAN_FLAG
		assert((ENDED(KEPT) && ENDED(DOOMED) && ENDED(NEW)) || A_PAGE_IS_LEAKED);
#endif
	}
}

#ifdef RETURNS
ltl returns { <> returned }
#endif
