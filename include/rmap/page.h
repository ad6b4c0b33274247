/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * page.h - one page's mappings in one word
 *
 * The embedder's struct page embeds a `struct rmap_page`; zero bytes mean "no mapping". A mapping is
 *
 *   linear   its address is what a range of the page's object says: it is only counted (object.h finds it)
 *   named    linear, and its pte handle is told: a walk of a page that has no other mapping asks no range
 *   chained  its address is not: its pte handle is stored, in the word itself or in a chain
 *   locked   it is mlocked: it is only counted, and no walk can name it
 *
 *      word: [ count: linear, locked ]                          no chained mapping: no memory (G7)
 *            [ name: one linear mapping ]                       named, nothing else: no memory
 *            [ direct: one element ]                            one chained element, nothing else: no memory
 *            [ chain: pointer ] -> [ counts | e | e | e ]                          32 bytes, up to 3 elements
 *                                  [ counts | e | e | link ] -> a hashed leaf of 64-byte lines, or leaves
 *
 * Memory a page: 8 bytes; 40 with a chain of up to 3 elements (104 for those left of more, at worst); beyond that 11-12
 * bytes an element on average and at most 16 while a chain grows. A chain is made for a second element, and for one
 * beside a linear or locked mapping; it stays until the last chained mapping goes, also when only one is left, and
 * gives memory back as it empties: see docs/design.md for the bound.
 * Complexity: O(1) expected for every operation but walks, whatever the number of mappings and whatever the handles,
 * for each map hashes with a seed of its own (rmap.h); no add, remove or move of one page takes more than 3,000 atomic
 * accesses where no race is lost. Elements of one key, which only multiplicity makes, take time linear in their number,
 * and cost others nothing.
 *
 * Multiplicity. With options.multiplicity_bits = k an element is a key and a count of 1 .. 2^k; the key is the handle
 * without its low 3 + k bits. Three designs come of it:
 *
 *   plain (k = 0)       an element is one pte. The handle: a pte's address, or mm id and page number, shifted so
 *                       that the low three bits are zero (-EINVAL otherwise: of 4-byte ptes the address, shifted left
 *                       by one).
 *                           rmap_page_add(reserve, page, rmap_chained((uintptr_t)pte));
 *
 *   clusters (k = 4)    an element is a window of 16 neighbouring ptes ("blast radius") and how many of them map the
 *                       page. The handle is the pte's address; ptes are 8 bytes, so its low 7 bits are the place in
 *                       the window.
 *                           rmap_page_add(reserve, page, rmap_chained((uintptr_t)pte));
 *                           // a walk hands out handle = the window's first pte, count = how many to look for in it
 *
 *   addresses (k = 9)   an element is a distinct user address, and how many members of a fork family map the page
 *                       there. The handle is the address, whose low 12 bits are zero: up to 512 sharers an element.
 *                           rmap_page_duplicate(reserve, page, rmap_chained(address));   // fork: a number goes up
 *                           // a walk hands out handle = the address, count = in how many mms of the family to find it
 *
 * An element whose count is full gets a second one beside it; a walk then hands out both, and their counts add up.
 *
 * In a plain map a handle names one pte, and a pte maps a page once: it is added again only when the remove or move of
 * its mapping has returned. A second mapping of one handle is misuse (G11), and in checked builds the add aborts. Other
 * builds tolerate it today and do not promise to: the two count as two, walks visit both, and each remove or move takes
 * one. One mapping of another handle may be lost where two threads remove or move one handle of a page at once: if one
 * of them is held up while the other has taken the mapping, and then two more came to its place; or if somebody removes
 * a mapping while its owner moves it. The counts stay those of what was added and removed.
 *
 * Named mappings are linear ones, with all that is said of these, and may be removed and moved as these (but not by
 * another's name). The name is kept while the page has this mapping alone, until another comes; one that moves out of a
 * chain has none. It takes no memory, and a page that is mapped once, as most are, is walked without a look at any
 * range. Of pages of several indexes a name says no more than where the first of its ptes was when it was told: who
 * counts one a range looks for the others from there, also if that one is clear by now. In maps with multiplicity names
 * are forgotten.
 *
 * Pages of several indexes (walk.h). What a mapping of a part of the page counts as is the embedder's choice; the
 * counts are of the page, in the word that it has anyway:
 *
 *   one a pte      rmap_page_add(reserve, page, rmap_linear_many(n));     // n ptes set, or one that stands for n
 *                  rmap_page_remove(reserve, page, rmap_linear_many(m));  // any m of them are cleared
 *                  Splitting a range, or an entry of an upper table into ptes, changes no count, and what is left tells
 *                  whether all is mapped. RMAP_LINEAR_MAX is then 4,095 mappings of 512 ptes each, RMAP_LOCKED_MAX 255:
 *                  what is refused (G10) is mapped in parts, or not
 *
 *   one a range    rmap_page_add(reserve, page, rmap_linear());           // the first pte of a range's part
 *                  rmap_page_remove(reserve, page, rmap_linear());        // its last pte
 *                  The embedder finds out which these are, under the lock that its ptes have in common, and adds one
 *                  more before it splits a range inside a mapped part
 *
 * Chained mappings are of a pte each, or of a window (clusters), wherever in the page they lead.
 *
 * A page's memory must not become anything else but another page's, with a zero word, before a grace period has passed
 * since the last operation on it: a thread that was told nothing may still be about to help, by a compare-and-swap of
 * the word that fails.
 *
 * All functions below: Context: registered reader of the map's RCU, inside a read-side section. They take a reserve
 * of the page's map that no other thread is using. Errors leave everything as it was.
 */
#ifndef RMAP_PAGE_H
#define RMAP_PAGE_H

#include <rmap/pool.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * struct rmap_page - a page's reverse mapping, to be embedded in the embedder's struct page
 * @word: zero when the page has no mapping; otherwise the library's. 8-byte aligned
 */
struct rmap_page {
	uint64_t word;
};

enum rmap_kind {
	RMAP_LINEAR = 0,
	RMAP_CHAINED = 1,
	RMAP_LOCKED = 2,
	RMAP_NAMED = 3,
};

/**
 * struct rmap_mapping - a mapping as operations name it, or several at once
 * @handle: RMAP_CHAINED, RMAP_NAMED: the pte handle, its low three bits zero
 * @count:  otherwise: how many, 1 .. RMAP_LINEAR_MAX. An operation adds, removes or moves all of them in one step, or
 *          is refused
 */
struct rmap_mapping {
	union {
		uint64_t handle;
		uint64_t count;
	};
	enum rmap_kind kind;
};

static inline struct rmap_mapping rmap_linear_many(uint64_t n)
{
	struct rmap_mapping mapping = { { n }, RMAP_LINEAR };
	return mapping;
}

static inline struct rmap_mapping rmap_linear(void)
{
	return rmap_linear_many(1);
}

static inline struct rmap_mapping rmap_named(uint64_t handle)
{
	struct rmap_mapping mapping = { { handle }, RMAP_NAMED };
	return mapping;
}

static inline struct rmap_mapping rmap_chained(uint64_t handle)
{
	struct rmap_mapping mapping = { { handle }, RMAP_CHAINED };
	return mapping;
}

static inline struct rmap_mapping rmap_locked_many(uint64_t n)
{
	struct rmap_mapping mapping = { { n }, RMAP_LOCKED };
	return mapping;
}

static inline struct rmap_mapping rmap_locked(void)
{
	return rmap_locked_many(1);
}

/** rmap_mapping_count - of how many mappings @mapping speaks */
static inline uint64_t rmap_mapping_count(struct rmap_mapping mapping)
{
	return mapping.kind == RMAP_CHAINED || mapping.kind == RMAP_NAMED ? 1 : mapping.count;
}

/** The limits of one page's counts (G10). */
#define RMAP_CHAINED_MAX ((1u << 22) - 1)
#define RMAP_LINEAR_MAX ((1u << 21) - 1)
#define RMAP_LOCKED_MAX ((1u << 17) - 1)

/** What successful operations report, or-ed together (G5); each of several mappings at once is of one step. */
enum rmap_event {
	RMAP_FIRST = 1 << 0,      /* the mapcount left zero */
	RMAP_LAST = 1 << 1,       /* the mapcount reached zero */
	RMAP_FIRST_LOCK = 1 << 2, /* the locked count left zero: take the page off its LRU */
	RMAP_LAST_LOCK = 1 << 3,  /* the locked count reached zero: put it back */
};

/**
 * rmap_page_add - a pte now maps @page, or @mapping.count of them
 *
 * The first mapping of a page needs no memory, nor does a linear or locked one beside linear and locked ones. Any other
 * may: a linear or locked one beside a single chained element makes a chain. So fill for each add, whatever its kind.
 * Progress: lock-free; a retry means another writer of this page got through. Never blocks or allocates (G1)
 * Ordering: acquire and release on success. The mapcount linearizes at the compare-and-swap of the counts
 * Reclaim:  nothing is owed
 * Return:   0, or RMAP_FIRST and RMAP_FIRST_LOCK as they apply; -ENOMEM (the reserve was not filled for this add);
 *           -EOVERFLOW (G10: not one of them was added); -EINVAL (bad handle, kind or count)
 */
RMAP_API int rmap_page_add(struct rmap_reserve *reserve, struct rmap_page *page, struct rmap_mapping mapping);

/**
 * rmap_page_remove - a pte no longer maps @page, or @mapping.count of them
 * Progress: lock-free; needs no filled reserve
 * Ordering: acquire and release on success: what every earlier remover did before its remove is visible to the one that
 *           is told RMAP_LAST. Linearizes at the compare-and-swap of the counts
 * Reclaim:  nothing is owed; an emptied chain goes back by itself after a grace period
 * Return:   0, or RMAP_LAST and RMAP_LAST_LOCK as they apply; -ENOENT (no such mapping, or not so many, G11); -EINVAL
 *           (bad handle, kind or count)
 */
RMAP_API int rmap_page_remove(struct rmap_reserve *reserve, struct rmap_page *page, struct rmap_mapping mapping);

/**
 * rmap_page_move - a mapping of @page changes its address or its kind (mremap, mlock, munlock), or several do
 * @from:      the caller's own: nobody else removes or moves that mapping meanwhile (the pte lock sees to it)
 * @from, @to: any kinds, and equal counts. A chained mapping that becomes linear must find its range attached already,
 *             and its pte there set; a linear one that becomes chained keeps its range attached, and its old pte set,
 *             until this returns: a walk that looks at ranges first and finds that pte clear may be through with the
 *             chain. A linear one that moves to another range has both attached. Of it, and of one that stays chained,
 *             the new pte is set before this call and the old one cleared after it. Instead of all this both pte locks
 *             may be held. Then no walk misses it (G3). One that is locked where a range finds it is to these rules as
 *             a linear one
 *
 * Fill the reserve if @to is chained; in a map with multiplicity always, for where an element of several units loses
 * one, a lock may make a chain, too.
 * Progress: lock-free
 * Ordering: acquire and release. The mapcount is the same before, during and after
 * Return:   0, or RMAP_FIRST_LOCK or RMAP_LAST_LOCK; -ENOENT (no @from, G11); -ENOMEM (reserve not filled); -EOVERFLOW
 *           (G10); -EINVAL (bad handle or kind, other counts)
 */
RMAP_API int rmap_page_move(struct rmap_reserve *reserve, struct rmap_page *page, struct rmap_mapping from,
			    struct rmap_mapping to);

/**
 * rmap_page_duplicate - fork: @child maps @page as well, beside a mapping of which the caller knows that it stays
 * meanwhile
 *
 * Where @child has the key of an element that is there already (multiplicity), its count goes up and nothing is
 * allocated.
 * Progress, Ordering: as rmap_page_add()
 * Return:   as rmap_page_add() without RMAP_FIRST; -ENOENT if @page has no mapping at all (G11)
 */
RMAP_API int rmap_page_duplicate(struct rmap_reserve *reserve, struct rmap_page *page, struct rmap_mapping child);

/**
 * rmap_page_add_batch, rmap_page_remove_batch - the same, over arrays, with the page words fetched ahead (fork, exit)
 * @pages:    @n pages; one page may stand in several places
 * @mappings: @n of them, mappings[i] of pages[i], each of any count that it may have
 * @events:   @n results of the single operation, or NULL
 * @error:    set to 0, or to why operation [result] failed; or NULL
 * Progress:  lock-free each. The batch is no transaction: each operation takes effect by itself, in order
 * Return:    how many were done: @n, or fewer if operation [result] failed
 *
 * Adds need a reserve that is filled for all @n of them, which RMAP_RESERVE_ADDS_MAX bounds: a longer array is added in
 * parts, with a fill before each. Removes need none.
 */
RMAP_API size_t rmap_page_add_batch(struct rmap_reserve *reserve, struct rmap_page *const *pages,
				    const struct rmap_mapping *mappings, int *events, size_t n, int *error);
RMAP_API size_t rmap_page_remove_batch(struct rmap_reserve *reserve, struct rmap_page *const *pages,
				       const struct rmap_mapping *mappings, int *events, size_t n, int *error);

/** rmap_page_lock - mlock: a mapping that is there becomes a locked one. See rmap_page_move(), also for when to fill */
static inline int rmap_page_lock(struct rmap_reserve *reserve, struct rmap_page *page, struct rmap_mapping from)
{
	return rmap_page_move(reserve, page, from, rmap_locked_many(rmap_mapping_count(from)));
}

/** rmap_page_unlock - munlock: a locked mapping becomes @to (if chained, fill the reserve). See rmap_page_move() */
static inline int rmap_page_unlock(struct rmap_reserve *reserve, struct rmap_page *page, struct rmap_mapping to)
{
	return rmap_page_move(reserve, page, rmap_locked_many(rmap_mapping_count(to)), to);
}

/** struct rmap_counts - a page's mappings by kind, all of one moment */
struct rmap_counts {
	uint32_t chained;
	uint32_t linear;
	uint32_t locked;
};

/**
 * rmap_page_mapcount - how many mappings @page has
 * rmap_page_counts   - the same by kind
 * Progress: wait-free: at most two loads (G2)
 * Ordering: acquire; linearizable (G4)
 */
RMAP_API uint32_t rmap_page_mapcount(const struct rmap *map, const struct rmap_page *page);
RMAP_API struct rmap_counts rmap_page_counts(const struct rmap *map, const struct rmap_page *page);

/**
 * rmap_page_drop - forget all mappings of @page at once and give its chain back
 *
 * For tearing a model down; an embedder that has page tables removes mappings one by one.
 * Context:  as above; and no add, remove or move of this page runs meanwhile. Walks may
 * Return:   how many mappings there were
 */
RMAP_API uint32_t rmap_page_drop(struct rmap_reserve *reserve, struct rmap_page *page);

/** struct rmap_shape - what a page's mappings take; for tests, tools and benchmarks */
struct rmap_shape {
	uint32_t elements; /* stored elements, in the word or in slots */
	uint32_t pieces; /* of lines, behind the first block: leaves, branches to them, overflow */
	uint64_t slots;  /* that could hold an element */
	uint64_t bytes;  /* of the word, the first block and the pieces */
};

/**
 * rmap_page_check - verify every equation that must hold between the parts of @page's word and chain
 * @shape:   filled in if not NULL
 * Context:  as above, and quiescent: no operation on this page runs meanwhile
 * Return:   0; -EINVAL if one does not hold (with the equation on standard error)
 */
RMAP_API int rmap_page_check(const struct rmap *map, const struct rmap_page *page, struct rmap_shape *shape);

#ifdef __cplusplus
}
#endif
#endif
