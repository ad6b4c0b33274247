/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * pool.h - where chain memory comes from: tiers, and the reserve a thread carries
 *
 * A *reserve* is one thread's whole context: blocks in hand, retired blocks it has yet to hand over, its share of the
 * statistics. Page operations get it as their first argument and touch no other thread-local state. Fill it where
 * sleeping and failing are allowed; then operations inside read-side sections cannot fail for want of memory (G1).
 *
 *      tier --(slabs)--> depot (lock-free, shared) --(blocks, lines)--> reserve --> chains
 *       ^                   |  ^                                           |
 *       `- a sweep <--------'  `--- grace period <--- batches <------------' retired
 *
 * Progress: taking from and giving to a reserve is wait-free; the depot is lock-free; only rmap_reserve_create(),
 * rmap_reserve_destroy(), rmap_reserve_fill() and rmap_reserve_drain() may sleep.
 *
 * How much memory there is (G8), in the figures of struct rmap_statistics:
 *   - reserve_bytes: a reserve has at most what the largest of its last 512 fills asked for, 96 bytes an add, and 10
 *     KiB, for rebuilding leaves, however long chains are. Nothing after a drain
 *   - waiting_bytes: at most waiting_max, and 256 bytes of each reserve, and what each thread retires between two of
 *     its fills. Half of waiting_max is left to reserves that are in use: what those that nobody uses have retired is
 *     in the other half, until an rmap_reserve_flush() of each. A hand-over takes a line for its record: in hand there
 *     are eight from each fill, and one from each add or move that a fill was for and that has ended without it,
 *     besides those that adds to come were promised. Where there is none, and none in the depots, what is retired stays
 *     until the next fill
 *   - a thread that only removes, as an exit does, is never held back: it must not fail and need not fill. What it
 *     retires was in chains, so chain_bytes + waiting_bytes do not grow by it, and those who add are held back instead
 *     of it. But a chain gives memory back for a smaller copy of itself: without memory for that, in hand or free, it
 *     keeps what it has until a later remove finds some. A chain of which 64 mappings at most go between two fills
 *     takes 24 bytes a mapping and 384 at most (256 in all but a few of 100,000: what the hash puts where decides when
 *     a leaf is looked at); so let who removes many of one page call rmap_reserve_fill(reserve, 0) now and then. That
 *     also holds it back. Mappings that go in the order of their hashes may leave 512 bytes more for each level of
 *     branches: one from some 200 mappings on, and another for each factor of eight beyond; but only who knows
 *     hash_seed can choose that order
 *   - depot_bytes: free memory is kept for later fills. When slabs are carved although a fifth of what is carved may be
 *     free, and as a drain, or before a fill says -ENOMEM, a sweep joins what lies side by side and gives whole slabs
 *     to the tier
 *   - rest_bytes: of each slab 64 bytes, and less than 128 before a piece that must be aligned; of the newest slab also
 *     what is not carved yet
 */
#ifndef RMAP_POOL_H
#define RMAP_POOL_H

#include <rmap/rmap.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * struct rmap_tier - a source of memory
 * @alloc:   return @bytes of memory aligned to @align (a power of two), or NULL. Called by rmap_reserve_fill(); of the
 *           options' metadata tier by the functions that create, and by all updates of an object's ranges. May sleep,
 *           and outside any read-side section wait for a grace period; not for RCU callbacks nor for @free, which wait
 *           for a lock that fills hold meanwhile
 * @free:    take back what @alloc returned, with the same @bytes. Called by fill, drain, destroy, updates of ranges and
 *           RCU callbacks, so it must not wait for a grace period; all maps of an RCU may wait while it sleeps (rmap.h)
 * @arg:     handed to both
 * @granule: bytes of a slab, out of which blocks and lines are carved: a multiple of 64, at least 1024; 0 means 16 KiB.
 *           Where it is less than 4 KiB leaves of long chains are smaller
 *
 * Memory need not be zeroed. Bits 48 to 55 of its addresses are zero, as all are that a process has without asking for
 * more than 47 bits: what lies elsewhere goes back at once, unread, and the fill fails with -ENOMEM.
 */
struct rmap_tier {
	void *(*alloc)(void *arg, size_t bytes, size_t align);
	void (*free)(void *arg, void *memory, size_t bytes);
	void *arg;
	size_t granule;
};

/**
 * rmap_tier_heap - memory from aligned_alloc and free; cannot fail to be made
 * rmap_tier_huge - memory in transparent or reserved huge pages, 2 MiB at a time
 * rmap_tier_node - memory bound to NUMA node @node
 * rmap_tier_file - memory that is a shared mapping of the file @fd, beginning where that ends. Its end moves out and
 *                  back with what is in use, and what is given back in between is punched out and used again. Where it
 *                  cannot grow, for lack of room or by RLIMIT_FSIZE, a fill fails. The tier has a descriptor of its
 *                  own. Nobody else changes the file's length or that part meanwhile, but for other tiers of this
 *                  process
 * @tier:    set on success; to be ended by rmap_tier_fini()
 * Context:  any; may sleep
 * Return:   0; -ENOTSUP (the kernel offers no huge pages, or no memory policies); -EINVAL (no such node, or @fd is not
 *           a regular file that can be mapped shared and writable, by small pages); -EMFILE (no descriptor); -ENOMEM
 *
 * What a child of fork() has of each is said in rmap.h.
 */
RMAP_API int rmap_tier_heap(struct rmap_tier *tier);
RMAP_API int rmap_tier_huge(struct rmap_tier *tier);
RMAP_API int rmap_tier_node(struct rmap_tier *tier, unsigned node);
RMAP_API int rmap_tier_file(struct rmap_tier *tier, int fd);

/** rmap_tier_fini - end a tier made by the functions above, after the maps that used it */
RMAP_API void rmap_tier_fini(struct rmap_tier *tier);

/**
 * rmap_reserve_create - make an empty reserve for one thread
 * @out:     set on success
 * Context:  any; may sleep
 * Return:   0; -EINVAL (@map or @out NULL); -ENOMEM (G9)
 *
 * A reserve serves one operation at a time. It may pass from thread to thread with outside synchronisation.
 */
RMAP_API int rmap_reserve_create(struct rmap *map, struct rmap_reserve **out);

/**
 * rmap_reserve_destroy - give everything in hand back and end the reserve
 * @reserve: NULL is allowed and does nothing
 * Context:  registered reader, outside any read-side section. May sleep, and waits for a grace period while more than
 *           the options' waiting_max bytes wait for one: what was in hand waits, too
 */
RMAP_API void rmap_reserve_destroy(struct rmap_reserve *reserve);

/** The most adds that a reserve can be filled for at once. */
#define RMAP_RESERVE_ADDS_MAX 4096u

/**
 * rmap_reserve_fill - make sure that the next @adds adds and moves cannot fail for want of memory
 * @adds:    up to RMAP_RESERVE_ADDS_MAX
 * Context:  registered reader, outside any read-side section. May sleep: it allocates, it hands retired blocks over to
 *           RCU, and it waits for a grace period if more than the options' waiting_max bytes wait for one
 * Return:   0; -ENOMEM (G9): what was in hand before still is, what the fill got besides is given back, and what waited
 *           in the map has become free and did not help; -EINVAL (@adds too large); -ENOTSUP (in a child of
 *           fork(), of memory that stayed with the parent)
 *
 * Each call of an add or move is one of them, whatever it returns; one that was promised by an earlier fill and has not
 * come yet is so still, as one of @adds.
 *
 * Calling it with a small @adds before each operation is cheap and best: long chains then also find the memory for the
 * larger leaf that they are about to need, which adds that outrun their fills may have to do without (they put a line
 * on top of it).
 */
RMAP_API int rmap_reserve_fill(struct rmap_reserve *reserve, unsigned adds);

/**
 * rmap_reserve_fill_nowait - the same where nobody may sleep: under a spinlock, inside a read-side section
 * @adds:    as above
 * Context:  registered reader, anywhere
 * Progress: lock-free: it takes what is free in the depots, and asks the tier for nothing
 * Return:   0: what rmap_reserve_fill() promises; -EAGAIN: there is too little in hand and free. Call
 *           rmap_reserve_fill() where it may sleep, which goes on from what this one got, then try again; -EINVAL
 *           (@adds too large)
 */
RMAP_API int rmap_reserve_fill_nowait(struct rmap_reserve *reserve, unsigned adds);

/**
 * rmap_reserve_flush - hand over to RCU all that the reserve has retired, and wait for nothing
 *
 * For a timer tick or an idle loop: what a reserve has retired is handed over in batches, so that one which is used no
 * more keeps up to 16 KiB from becoming free.
 * Context:  registered reader, anywhere
 * Progress: lock-free
 * Return:   0: nothing is left to hand over; -EAGAIN: the 64 bytes that a record takes were neither in hand, beyond
 *           what adds to come were promised, nor in a depot. The next fill gets them, and nothing is lost
 */
RMAP_API int rmap_reserve_flush(struct rmap_reserve *reserve);

/**
 * rmap_reserve_drain - give back all that the reserve has in hand and has retired, wait until all that the map retired
 * is free, and give to the tier what of it makes whole slabs
 *
 * After it the reserve is as new: fill it before the next add. When no page has a chain and all other reserves are
 * drained or destroyed, the tier has everything back. What other reserves have not handed over is not waited for.
 * Context:  registered reader, outside any read-side section; waits for three grace periods
 */
RMAP_API void rmap_reserve_drain(struct rmap_reserve *reserve);

/** rmap_reserve_map - the map that a reserve belongs to */
RMAP_API struct rmap *rmap_reserve_map(const struct rmap_reserve *reserve);

#ifdef __cplusplus
}
#endif
#endif
