/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * rmap.h - a reverse map: its options, its life, its readers, its figures
 *
 * A reverse mapping answers "which page-table entries map this page?". A `struct rmap` is one independent reverse map:
 * it owns the memory that chains live in, and all state is in it: maps share nothing, and threads keep nothing, but for
 * what is the RCU's (see Flavors, below).
 *
 *      struct rmap ---- options (RCU, memory tiers, multiplicity, cap on waiting memory)
 *        |---- struct rmap_reserve     one per thread: blocks in hand, blocks to give back    (pool.h)
 *        |---- struct rmap_object      what linear ranges belong to: a file, a fork family    (object.h)
 *        `.... struct rmap_page        one word inside the embedder's own struct page         (page.h, walk.h)
 *
 * Not for: finding pages (the embedder's page cache), page tables, or deciding what to reclaim.
 *
 * What may run beside what. "yes" means from any number of threads, on the same page or object:
 *
 *      operation                         beside page ops   beside walks   beside itself     where it may be called
 *      rmap_page_add, remove, move ...   yes               yes            yes               inside a read-side section
 *      rmap_page_mapcount                yes               yes            yes               inside a read-side section
 *      rmap_walk, rmap_walk_batches      yes               yes            yes               inside a read-side section
 *      rmap_cursor_next                  yes               yes            yes               inside / anywhere
 *      rmap_object_attach, detach ...    yes               yes            yes (serialised)  outside a read-side section
 *      rmap_object_detach_nowait         yes               yes            yes (or -EAGAIN)  inside / anywhere
 *      rmap_unmap, rmap_truncate         yes               yes            yes               outside a read-side section
 *      rmap_reserve_fill, drain          yes               yes            own reserve only  outside a read-side section
 *      rmap_reserve_flush, fill_nowait   yes               yes            own reserve only  inside / anywhere
 *      rmap_destroy                      no                no             no                when all else has ended
 *
 * Where calls may be made. In a section, and in rmap_rcu_run() (an RCU's callback, rcu.h), nothing may wait for a grace
 * period; under a spinlock, and in an interrupt, nothing may sleep either:
 *
 *      calls                                       in a section   in a callback   under a spinlock   in an interrupt
 *      page operations, walks, cursors, stabs      yes            yes             yes                yes (1)
 *      rmap_reserve_fill_nowait, flush             yes            yes             yes                yes (1)
 *      rmap_object_truncate_seq, advance, ranges   yes            yes             yes                yes
 *      rmap_read_lock, read_unlock                 yes            yes             yes                yes (1)
 *      rmap_object_detach_nowait, rmap_stats       yes            yes (2)         no                 no
 *      rmap_object_destroy                         no             yes (2)         no                 no
 *      rmap_object_create, rmap_reserve_create     yes            yes (2)         no                 no
 *      all others                                  no             no              no                 no
 *
 * but for rmap_create(), which may be called in a section, too. (1) If the RCU's read_lock() and defer() may be called
 * there, and with a reserve that is not in use by what was interrupted: what it finds half done it never waits for
 * (G2). (2) They take the map's lock, which nobody holds who waits for anything; those that create ask the metadata
 * tier, which must not wait there.
 *
 * The first three lines take no lock at all, nor does the freeing of what page operations have retired. A callback that
 * frees nodes of range indexes takes the map's lock; one of a drain takes the pool's, which a fill holds while it is in
 * the tier's alloc. Two locks are held across a grace period, by those who wait for it, and no callback takes either.
 * Whether a section may sleep, or be preempted, the RCU decides: the library does neither in one, and what waits
 * meanwhile is bounded as ever (G8).
 *
 * Guarantees, quoted by number in all headers:
 *
 *   G1  An add with a filled reserve never fails for want of memory, never blocks and never allocates.
 *   G2  Add, remove, move and walk are lock-free, mapcount is wait-free: a thread stopped anywhere stops nobody else.
 *   G3  A walk visits every mapping that is present from its beginning to its end at least once, and none that was gone
 *       before it began. A mapping that is being moved is seen at its old address, its new one, or both. A walk that
 *       mappings of its page moved before in each of its rounds says that it is not complete (walk.h). One that is
 *       locked and not linear meanwhile has no address then, and is counted only. Of a page of several indexes all this
 *       is said of each index by itself: where a linear mapping has several, each of them is in the part of the page
 *       that one of the visits names.
 *   G4  The mapcount is exact and linearizable: the mappings that were added, one or several at once, less those that
 *       were removed. (Of each page: who compares counts of several pages that change meanwhile, and wants one order
 *       for all observers, must provide it.)
 *   G5  The remove, of one or several, that takes the mapcount to zero is told so, and no other is; likewise the first
 *       and the last lock.
 *   G6  A block is reused only after a grace period.
 *   G7  A page that has only linear or locked mappings takes no memory beyond its word.
 *   G8  Memory is bounded by the chained mappings, plus what the options let wait for grace periods, plus what fills
 *       asked for and what no drain has given back (pool.h has the figures).
 *   G9  Running out of memory is reported by the fill or the attach that met it, and nothing is changed.
 *   G10 A count that would overflow is refused (-EOVERFLOW) before anything changes; of several mappings at once none
 *       is added.
 *   G11 Misuse is -ENOENT or -EINVAL where that can be seen for free, and aborts with a message in checked builds.
 *
 * A thread may end before its reserve does: whoever inherits the reserve uses or destroys it.
 *
 * Flavors. A map's RCU is the embedder's (rcu.h), or a flavor of liburcu's (urcu.h; memb if the options say nothing).
 * Such a flavor has one registration for each thread, one order of grace periods and one helper thread, and all maps of
 * that flavor share them, with whatever else in the process uses it:
 *
 *   - a thread registers once with a flavor, not with each map (rmap_thread_register());
 *   - a section in one map holds up the grace periods of all, and a tier whose free is slow those who drain another
 *     map. Who must not be held up takes another flavor. RMAP_RECLAIM_BLOCKING, on either side, keeps frees out of the
 *     helper's hands; with qsbr grace periods wait for them still.
 *   - a qsbr reader is in a section whenever it is online, and "registered reader" means one that is online. "Outside
 *     any read-side section" it holds nothing that it found before: calls so marked may make it offline for a while. It
 *     goes offline itself before it waits for a thread that may be waiting for a grace period, such as for a lock.
 *   - a sandbox that lets the system call membarrier be asked what it offers, and then refuses its registration, ends
 *     any program that is linked with liburcu-memb, as those with librmap are, before main(): liburcu aborts. No option
 *     of a map helps; the sandbox must allow the call or refuse it whole (ENOSYS), with which liburcu does without.
 *
 * Threads. The library has none. With RMAP_RECLAIM_CALLBACK and liburcu the first rmap_create() makes the flavor's
 * helper thread start, in a thread that has ended when it returns, so that no page operation ever must. The helper
 * frees what all maps of the flavor have retired, blocks all signals, and goes on after the maps have ended; therefore
 * librmap.so, and liburcu-memb with it, stay in memory after a dlclose(). Another flavor's library, and librmap.a in a
 * plugin, are the embedder's to keep. With RMAP_RECLAIM_BLOCKING, or an RCU that does not ask for it, no thread is
 * started.
 *
 * Forks. A child that only calls exec or _exit needs nothing. For one that goes on to use maps, around the fork:
 *
 *   - no thread is inside an operation, and each has given back its registration, the one that forks included, as
 *     liburcu asks: it finds readers through their own memory, and a child that waits for those that are no more stands
 *     still. Checked builds notice registrations made with rmap_thread_register().
 *   - the forking thread blocks all signals (in the child a helper thread starts anew, with that mask), and calls
 *     rmap_before_fork() for each RCU in use. After the fork come rmap_after_fork_parent() or _child(), and the
 *     signals.
 *
 * Then both processes have maps of their own, in either reclaim mode, on the heap, in transparent huge pages and on a
 * node. A file or reserved huge pages stay with the parent, and are not there in the child: rmap_reserve_fill() and
 * rmap_destroy() return -ENOTSUP there, and any other use of such a map may end it with SIGSEGV. So may the child's
 * helper thread, which takes over what waits for the parent's: as its last operation before the fork, such a map is
 * drained.
 *
 * Not guaranteed: the order of a walk; whether a mapping that is added or removed during a walk is visited; that a
 * mapping is visited only once while its chain shrinks, or while it or a range of its object moves.
 *
 * Source: W. L. Irwin, "Re: What to expect with the 2.6 VM", 2 July 2003, argued for the hybrid this library realises.
 */
#ifndef RMAP_RMAP_H
#define RMAP_RMAP_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(RMAP_BUILDING)
#define RMAP_API __attribute__((visibility("default")))
#else
#define RMAP_API
#endif

struct rmap;
struct rmap_reserve;
struct rmap_object;
struct rmap_tier;
struct rmap_rcu_ops; /* rcu.h */

/** How retired memory waits for its grace period. */
enum rmap_reclaim {
	RMAP_RECLAIM_CALLBACK = 0, /* the RCU's defer(), one call a batch; with liburcu its helper thread frees */
	RMAP_RECLAIM_BLOCKING = 1, /* no helper thread: fill and drain wait for the grace period and free */
};

/** What memory may wait for grace periods before rmap_reserve_fill() holds its caller back, unless the options say. */
#define RMAP_WAITING_DEFAULT ((size_t)64 << 20)
/** The most multiplicity bits a map may have. */
#define RMAP_MULTIPLICITY_MAX 20u

/**
 * struct rmap_options - how a map is made
 * @size:              sizeof(struct rmap_options); fields beyond what the library knows must be zero
 * @reclaim:           see enum rmap_reclaim
 * @multiplicity_bits: 0: an element of a chain is one pte. k: it is a key with a count up to 2^k in the k bits above
 *                     the lowest three of a handle: a cluster window or a shared address (page.h)
 * @waiting_max:       bytes that may wait for grace periods, handed over to RCU or retired in a reserve, before a fill
 *                     holds its caller back; 0 means RMAP_WAITING_DEFAULT
 * @rcu:               the RCU that all readers of this map use (rcu.h); NULL means liburcu's memb, and where there is
 *                     no liburcu it is -EINVAL. Copied
 * @tier:              where chain blocks come from; NULL means the heap, and where there is none it is -EINVAL.
 *                     Copied; what its arg points to must outlive the map
 * @metadata:          where the map, reserves and range indexes come from; NULL means the same. Copied likewise
 * @hash_seed:         where a chain keeps an element depends on it. 0: one is drawn, so that nobody can choose handles
 *                     that share their places; another: for runs that shall repeat
 */
struct rmap_options {
	size_t size;
	enum rmap_reclaim reclaim;
	unsigned multiplicity_bits;
	size_t waiting_max;
	const struct rmap_rcu_ops *rcu;
	const struct rmap_tier *tier;
	const struct rmap_tier *metadata;
	uint64_t hash_seed;
};

/** All options at their defaults. */
#define RMAP_OPTIONS_DEFAULT                                                                                           \
	{                                                                                                              \
		sizeof(struct rmap_options), RMAP_RECLAIM_CALLBACK, 0, 0, NULL, NULL, NULL, 0                          \
	}

/**
 * rmap_create - make an empty reverse map
 * @options: NULL for all defaults
 * @out:     set to the map on success, untouched otherwise
 * Context:  any, also inside a section of another map; may sleep, but waits for no grace period
 * Return:   0; -EINVAL (options of an unknown size or value, no RCU or tier where there is no default, an RCU that
 *           lacks what it must have, or @out NULL); -ENOMEM (G9, or no thread could be made)
 */
RMAP_API int rmap_create(const struct rmap_options *options, struct rmap **out);

/**
 * rmap_destroy - end a map
 * @map:     NULL is allowed and does nothing
 * Context:  any thread, registered or not, outside any read-side section; no other operation on the map may run, now or
 *           later: readers have unregistered, if through this map. Waits for grace periods
 * Return:   0, and all its memory is back in its tiers; -EBUSY if a reserve, an object or a chain still exists, and
 *           nothing is changed (a checked build aborts and says which); -ENOTSUP in a child of fork(), if the tier's
 *           memory stayed with the parent
 */
RMAP_API int rmap_destroy(struct rmap *map);

/**
 * rmap_thread_register, rmap_thread_unregister - make the calling thread a reader in the map's RCU
 *
 * The same as the RCU's own calls: the registration is with the RCU, and good for all maps of it. So they are for
 * programs in which nothing but their maps uses it; a thread that has registered, through another map or by the RCU's
 * own call, must not do so again, for liburcu aborts. Nor does it matter through which map it unregisters, but that one
 * must still be there. With bp, where threads register by themselves, both do nothing.
 * Context:  outside any read-side section
 */
RMAP_API void rmap_thread_register(struct rmap *map);
RMAP_API void rmap_thread_unregister(struct rmap *map);

/**
 * rmap_before_fork, rmap_after_fork_parent, rmap_after_fork_child - what the map's RCU asks for around a fork whose
 * child goes on
 *
 * Once for each RCU in use, through any map of it: before the fork, and after it the one in the parent, the other in
 * the child. With liburcu all signals are blocked meanwhile (Forks, above).
 * Context:  outside any read-side section; the thread has unregistered
 */
RMAP_API void rmap_before_fork(struct rmap *map);
RMAP_API void rmap_after_fork_parent(struct rmap *map);
RMAP_API void rmap_after_fork_child(struct rmap *map);

/**
 * rmap_read_lock, rmap_read_unlock - a read-side section in the map's RCU; sections nest
 *
 * The same as the RCU's own calls, which may be used instead; but only these tell ThreadSanitizer what a grace
 * period orders, so use these in programs that will run under it, with a library built for it: of another's orders it
 * sees none.
 * Context:  registered reader
 * Progress: wait-free
 */
RMAP_API void rmap_read_lock(const struct rmap *map);
RMAP_API void rmap_read_unlock(const struct rmap *map);

/**
 * struct rmap_statistics - a map's figures
 *
 * Exact when quiescent; while operations run each figure is one that was true of each thread a moment ago.
 * Units: counts, except where a name says bytes. Counts of events run from rmap_create().
 *
 *      tier_bytes = chain_bytes + reserve_bytes + waiting_bytes + depot_bytes + rest_bytes
 *
 * as long as no nodes of range indexes wait, which waiting_bytes counts, too, and which are of the metadata tier.
 */
struct rmap_statistics {
	size_t size;              /* sizeof(struct rmap_statistics), set by the caller */
	uint64_t blocks;          /* first blocks in use: pages that have a chain */
	uint64_t pieces;          /* of lines, behind first blocks, in use: leaves, branches to them, overflow */
	uint64_t chain_bytes;     /* bytes of both */
	uint64_t reserve_bytes;   /* bytes in hand in reserves */
	uint64_t waiting_bytes;   /* bytes that are retired, handed over to RCU or not, and not free yet */
	uint64_t waiting_peak;    /* the most that ever waited, but for 256 bytes of each reserve */
	uint64_t tier_bytes;      /* bytes taken from the tier and not given back */
	uint64_t promotions;      /* a chain was made */
	uint64_t collapses;       /* a chain fell back to a count */
	uint64_t pushes;          /* a leaf was made larger, or split */
	uint64_t pops;            /* a leaf was made smaller, merged with others, or went */
	uint64_t entries_moved;   /* elements that were copied by either */
	uint64_t batches;         /* hand-overs to RCU */
	uint64_t fills_held_back; /* fills that waited because waiting_max was reached */
	uint64_t retries;         /* compare-and-swaps of page operations that lost to another writer */
	uint64_t depot_bytes;     /* free bytes, kept for fills and pushes until a drain */
	uint64_t rest_bytes;      /* bytes of slabs that are not carved: heads, gaps, what is left of the newest */
};

/**
 * rmap_stats - read a map's figures
 * @out:     as with struct rmap_options, the size is the caller's: a library that knows more fields leaves those out,
 *           one that knows fewer sets the rest to 0
 * Context:  any; may sleep (it takes the list of reserves)
 * Return:   0; -EINVAL (@map or @out NULL, or @out->size below that of the first version)
 */
RMAP_API int rmap_stats(struct rmap *map, struct rmap_statistics *out);

/**
 * rmap_check - verify a quiescent map's memory: what is in hand, waiting and free is looked up piece by piece and
 *              compared with the figures, and these with what the tier gave (G8)
 * Context:  outside any read-side section; no other operation on the map may run. Waits for grace periods
 * Return:   0; -EINVAL (@map NULL, or an equation does not hold: memory was lost, came back twice, or was miscounted)
 *
 * A checked build does so when a map ends, and aborts.
 */
RMAP_API int rmap_check(struct rmap *map);

#ifdef __cplusplus
}
#endif
#endif
