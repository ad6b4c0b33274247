/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * map.h - the map and the reserve as the library's own files see them
 *
 *      lib/atomic.h, rcu.h <- pool, hand <- leaf <- chain <- page <- walk <- unmap      nodes <- tree <- object <-
 *      walk, unmap moves <- pool, page, walk
 */
#ifndef RMAP_LIB_MAP_H
#define RMAP_LIB_MAP_H

#include "check.h"
#include "inject.h"
#include "rcu.h"
#include "slot.h"

#include <rmap/pool.h>

/* The smallest slab a tier may ask for. */
#define RMAP_GRANULE_MIN ((size_t)1024)

/*
 * The log of moves (moves.c): how many stripes of pages, how many moves each remembers, and how many reserves can be
 * told apart in it. The explorer wants every ring to be lapped.
 */
#ifdef RMAP_EXPLORE
#define MOVE_STRIPES 1u
#define MOVE_ENTRIES 2u
#else
#define MOVE_STRIPES 64u
#define MOVE_ENTRIES (RMAP_CHECK ? 7u : 29u)
#endif
#define MOVERS 4096u

struct move_log {
	uint64_t begun; /* crossings, and how many have ended */
	uint64_t ended;
	uint64_t head;
	uint64_t entries[MOVE_ENTRIES];
};

/* Per-reserve event counts; the names of struct rmap_statistics. */
enum statistic {
	STAT_BLOCKS_MADE,
	STAT_BLOCKS_RETIRED,
	STAT_PIECES_MADE,
	STAT_PIECES_RETIRED,
	STAT_BYTES_MADE,
	STAT_BYTES_RETIRED,
	STAT_PUSHES,
	STAT_POPS,
	STAT_ENTRIES_MOVED,
	STAT_BATCHES,
	STAT_FILLS_HELD_BACK,
	STAT_RETRIES,
	STATISTICS
};

/* A sweep sorts by so many bits at a time (sweep.c). */
#define SWEEP_BITS 8u
#define SWEEP_RINGS (1u << SWEEP_BITS)

/*
 * struct rmap_pool - the shared part of the memory
 * @depots:  per class a stack of magazines. Pushed by anyone, popped inside read-side sections only
 * @regroup: held by who waits for a sweep until he has taken what he needs; no other begins meanwhile
 * @lock:    serialises carving and preparing, and what follows down to @gone
 * @carved:  bytes of all pieces that are carved
 * @slabs:   address of the first slab of a list that anyone may read in a section
 * @newest:  the slab that is carved now, from @bump to @bump_end; meaningless if @bump is NULL
 * @sweeps:  how many sweeps have begun; @sweeping: one runs; @kept: what was carved when the last one had ended;
 *           @sweep: deferred work of the one that runs; @swept: what it took out of the depots; @gone: slabs it gives
 *           back; @rings: what it sorts, by some bits of the address: the last such item, which leads to the first
 * @waiting: bytes that are retired and not yet free, but for a step of each reserve (pool.c); @peak: the most of it
 *           that was seen
 * @wanted:  0 until somebody has lacked a piece; then leaf_lines: of these each fill sees to two
 * @bytes:   bytes taken from the tier and not given back
 * @rest:    of slabs, what is not carved; stored under @lock
 */
struct rmap_pool {
	uint64_t depots[SLOT_CLASSES];
	struct env_mutex regroup;
	struct env_mutex lock;
	uint64_t carved;
	uint64_t slabs;
	struct slab *newest;
	char *bump;
	char *bump_end;
	uint64_t sweeps;
	bool sweeping;
	uint64_t kept;
	struct rmap_deferred sweep;
	uint64_t swept[SLOT_CLASSES];
	uint64_t *rings[SWEEP_RINGS];
	struct slab *gone;
	uint64_t waiting;
	uint64_t peak;
	uint64_t wanted;
	uint64_t bytes;
	uint64_t rest;
};

/* A list of nodes, linked through next (tree.h). @last: of those that are there. */
struct node_list {
	struct node *first;
	struct node *last;
	uint64_t n;
};

/*
 * struct rmap_nodes - nodes of range indexes (nodes.c)
 * @free:     for updates to come; @spares of them for those that get no memory
 * @retired:  on no way through RCU yet
 * @waiting:  handed over to RCU with @deferred, which has not come back while @handed_over
 * @settling: how many were either, and updates wait for their grace periods now
 * @made:     taken from the metadata tier and not given back; @in_trees: those in trees
 */
struct rmap_nodes {
	struct node_list free;
	struct node_list retired;
	struct node_list waiting;
	uint64_t settling;
	struct rmap_deferred deferred;
	bool handed_over;
	uint64_t made;
	uint64_t in_trees;
	unsigned spares;
};

/*
 * struct rmap
 * @key_low:   the bits of a handle that hold a multiplicity: ((1 << bits) - 1) << 3
 * @hash_seed, @hash_factor: of the hash that places elements (leaf.h)
 * @leaf_lines: the most lines that a leaf may have: a slab must hold them
 * @movers:    a bit for each number that a reserve bears in the log of moves
 * @lock:      serialises the list of @reserves, @movers, @folded, the counts of reserves that have ended, and @nodes.
 *             Taken last: updates of ranges hold their object's mutex
 * @objects:   how many objects there are
 * @nodes:     of range indexes
 */
struct rmap {
	struct rmap_rcu rcu;
	struct rmap_tier tier;
	struct rmap_tier metadata;
	uint64_t key_low;
	uint64_t hash_seed;
	uint64_t hash_factor;
	unsigned leaf_lines;
	size_t waiting_max;
	struct rmap_pool pool;
	struct move_log moves[MOVE_STRIPES];
	uint64_t movers[MOVERS / 64];
	struct env_mutex lock;
	struct rmap_reserve *reserves;
	uint64_t folded[STATISTICS];
	uint64_t objects;
	struct rmap_nodes nodes;
};

/*
 * struct hand - blocks and lines that a reserve has in hand (hand.c)
 * @blocks:  a stack of first blocks, linked as a magazine is; @magazines: whole ones, as in the depot; @n_blocks: how
 *           many blocks all of them are
 * @runs:    runs of lines that lie one behind the other, by their length less one: stacks like that; @lengths: a bit
 *           for each that is not empty; @lines: of all of them
 */
struct hand {
	uint64_t *blocks;
	uint64_t *magazines;
	uint64_t n_blocks;
	uint64_t *runs[LEAF_LINES_MAX];
	uint64_t lengths;
	uint64_t lines;
};

/*
 * struct retired - memory that waits for a grace period (pool.c): lists through SEALED payloads
 * @plain:  @n_plain first blocks, with which nothing else becomes free: a magazine
 * @blocks: those of chains that had more, and plans
 * @pieces: of lines
 */
struct retired {
	uint64_t *plain;
	uint64_t n_plain;
	uint64_t *blocks;
	uint64_t *pieces;
};

/*
 * struct rmap_reserve - one thread's context. Only its owner writes it; rmap_stats() reads @stats, the counts of what
 * is in @hand, @retired_bytes and @announced
 * @thin:           the last take left few elements where it was
 * @promised:       so many adds and moves to come were promised a block and a line each of those in hand; lines beyond
 *                  them serve as records of batches. Below zero: so many came that no fill was for
 * @lists:          what is retired and not handed over: @retired members of @retired_bytes bytes, of which @announced
 *                  are in the map's figure
 * @asked:          the most adds that one of the fills since the last multiple of KEEP_FILLS asked for, of @fills
 * @pauses:         how long an operation backs off if it loses once more (page.c)
 * @mover:          its number in the log of moves, or 0; @moves: how many it wrote there, the last ones, from number
 *                  @moved_since on, all of the page @moved
 * @busy:           checked builds: an operation is using the reserve
 */
struct rmap_reserve {
	struct rmap *map;
	struct hand hand;
	bool thin;
	int64_t promised;
	struct retired lists;
	unsigned retired;
	uint64_t retired_bytes;
	uint64_t announced;
	unsigned asked;
	unsigned fills;
	unsigned pauses;
	unsigned mover;
	uint64_t moves;
	uint64_t moved_since;
	const void *moved;
	uint64_t busy;
	uint64_t stats[STATISTICS];
	struct rmap_reserve *next;
	struct rmap_reserve *previous;
};

static inline void reserve_count(struct rmap_reserve *reserve, enum statistic statistic, uint64_t value)
{
	count_private(&reserve->stats[statistic], value);
}

/* How many of the blocks, and of the lines, in hand adds to come were promised. */
static inline unsigned reserve_promised(const struct rmap_reserve *reserve)
{
	return reserve->promised > 0 ? (unsigned)reserve->promised : 0;
}

/* Metadata memory, zeroed; NULL if there is none. */
void *rmap_metadata_alloc(struct rmap *map, size_t bytes, size_t align);
void rmap_metadata_free(struct rmap *map, void *memory, size_t bytes);

#endif
