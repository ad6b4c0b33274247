/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stress.h - what the stress tests share: the run, its threads and rounds, its maps, its handles
 *
 * A test is a body that every thread runs and a check that one thread runs while all others stand still:
 *
 *      body:  while (stress_round(thread))             all meet; one runs the check; is there another round?
 *                     while (stress_next(thread))      is there an operation left for this thread in this round?
 *                             one operation
 *
 * Theorems are asserted on each thread's private records. What a test keeps about the library it keeps in memory of one
 * thread only and sums up at the check: shared atomics would order the threads, and hide from ThreadSanitizer and from
 * weakly ordered CPUs the very orders that the library has to provide. Where a test does share something, it says why.
 *
 * A handle names its page, its thread and its key, so that a visit of a block that was reused too early is a visit of a
 * foreign handle, and fails.
 */
#ifndef RMAP_STRESS_H
#define RMAP_STRESS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rmap/object.h>
#include <rmap/page.h>
#include <rmap/pool.h>
#include <rmap/rmap.h>
#include <rmap/walk.h>

#include <vm.h>

#ifndef RMAP_INJECT
#define RMAP_INJECT 0
#endif

/* Exported by the library in inject builds only; their home is lib/inject.h. Elsewhere no step is counted. */
#if RMAP_INJECT
void rmap_inject_set(unsigned permille, uint64_t seed);
uint64_t rmap_inject_steps(void);
void rmap_inject_at(uint64_t nth, void (*hook)(void));
#else
static inline uint64_t rmap_inject_steps(void)
{
	return 0;
}
static inline void rmap_inject_at(uint64_t nth, void (*hook)(void))
{
	(void)nth;
	(void)hook;
}
#endif

#define STRESS_THREADS_MAX 64u

/* The bound of G8 on the bytes of a page with n stored elements, at rest, however it came to have them. */
#define STRESS_BOUND(elements) (24u * (uint64_t)(elements) + 384u)

struct stress;
struct stress_thread;

/** stress_get - one more reference, unless there is none: then false */
bool stress_get(_Atomic uint32_t *refs);

/**
 * stress_cut_or_mend - @range is split at @index, or if it was split, made whole
 * @cut: where it is split, or 0. The caller serialises this
 */
void stress_cut_or_mend(struct rmap_object *object, const struct rmap_range *range, uint64_t *cut, uint64_t index);

/** A walk of as many rounds as it takes: others may move the page's mappings all the time. */
int stress_walk_page(struct rmap *map, const struct rmap_target *target, rmap_walk_visit visit, void *arg,
		     struct rmap_walk_summary *summary);

/** struct stress_test - one entry of --list. @on_vm: it runs on the VM and takes the options about that */
struct stress_test {
	const char *name;
	const char *summary;
	void (*run)(struct stress *stress);
	bool on_vm;
};

extern const struct stress_test stress_mix;
extern const struct stress_test stress_grow;
extern const struct stress_test stress_collapse;
extern const struct stress_test stress_folio;
extern const struct stress_test stress_huge;
extern const struct stress_test stress_walk;
extern const struct stress_test stress_multiplicity;
extern const struct stress_test stress_reclaim;
extern const struct stress_test stress_object;
extern const struct stress_test stress_maps;
extern const struct stress_test stress_stop;
extern const struct stress_test stress_hostile_collide;
extern const struct stress_test stress_hostile_correlated;
extern const struct stress_test stress_hostile_reserves;
extern const struct stress_test stress_hostile_stop;
extern const struct stress_test stress_hostile_unit;
extern const struct stress_test stress_vm_mix;
extern const struct stress_test stress_vm_reclaim;
extern const struct stress_test stress_vm_fault;
extern const struct stress_test stress_vm_remap;
extern const struct stress_test stress_vm_mlock;
extern const struct stress_test stress_vm_fork;
extern const struct stress_test stress_vm_tlb;
extern const struct stress_test stress_vm_private;
extern const struct stress_test stress_vm_migrate;
extern const struct stress_test stress_vm_folio;

/* What the options about the VM call their values, in the order of their numbers; NULL behind the last. */
extern const char *const stress_strategies[];
extern const char *const stress_semantics[];
extern const char *const stress_orders[];
extern const char *const stress_flushes[];

/** struct stress_vm - the options about the VM. @given: any of them was; @json: a file's name, or NULL */
struct stress_vm {
	const struct vm_backend *backend;
	enum rmap_strategy strategy;
	enum rmap_semantics semantics;
	enum vm_lock_order order;
	enum vm_flush flush;
	unsigned clusters;
	unsigned folios;
	const char *json;
	bool given;
};

/**
 * struct stress_plan - what stress_run() is to do
 * @map:       registered with and given a reserve in by every thread; NULL: the body does both itself
 * @body:      what every thread runs
 * @check:     what one thread runs between rounds; NULL: nothing
 * @arg:       handed to both
 * @parts:     into how many runs this test divides its operations and seconds; 0 means 1
 * @round_ops: operations of one thread in one round; 0 means 2,000
 */
struct stress_plan {
	struct rmap *map;
	void (*body)(struct stress_thread *thread, void *arg);
	void (*check)(struct stress_thread *thread, void *arg);
	void *arg;
	unsigned parts;
	uint64_t round_ops;
};

/**
 * struct stress - one run of one test. The command line sets the first group, the runner the others
 * @budget: operations that no thread has claimed yet
 * @more:   written by the thread that checks, read by all after they met again
 */
struct stress {
	const struct stress_test *test;
	unsigned threads;
	uint64_t seconds;
	uint64_t ops;
	uint64_t seed;
	unsigned inject;
	struct stress_vm vm;

	const struct stress_plan *plan;
	unsigned runs;
	pthread_barrier_t barrier;
	_Atomic uint64_t budget;
	uint64_t deadline;
	bool more;

	uint64_t done;
	uint64_t rounds;
};

/**
 * struct stress_thread - one thread of a run; nothing here is touched by another thread
 * @round:   which round this is, from 1
 * @share:   operations left in this round
 * @claimed: operations taken from the budget and not yet done
 */
struct stress_thread {
	struct stress *stress;
	struct rmap *map;
	struct rmap_reserve *reserve;
	unsigned id;
	uint64_t random;
	uint64_t round;
	uint64_t share;
	uint64_t claimed;
	uint64_t done;
};

/** stress_fail - a theorem does not hold: say which and end the process with status 1 */
_Noreturn void stress_fail(const char *file, int line, const char *format, ...) __attribute__((format(printf, 3, 4)));

/** stress_assert - the theorem, and the sentence with its figures that is printed when it does not hold */
#define stress_assert(holds, ...)                                                                                      \
	do {                                                                                                           \
		if (!(holds))                                                                                          \
			stress_fail(__FILE__, __LINE__, __VA_ARGS__);                                                  \
	} while (0)

/**
 * stress_counts_steps - does this build count the library's steps? If not, says that what is asserted of them is not
 * run
 */
bool stress_counts_steps(void);

/** stress_zalloc - zeroed memory; ends the process if there is none */
void *stress_zalloc(size_t n, size_t size);

void stress_run(struct stress *stress, const struct stress_plan *plan);
bool stress_round(struct stress_thread *thread);
bool stress_next(struct stress_thread *thread);
/** stress_meet - all threads meet in mid-round; true in exactly one of them */
bool stress_meet(struct stress_thread *thread);
/** stress_perturb - give the CPU away, or burn a little time, at random */
void stress_perturb(struct stress_thread *thread);

/* The generator of one thread: xorshift64*, whose state is never zero. */
static inline uint64_t stress_random(struct stress_thread *thread)
{
	uint64_t x = thread->random;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	thread->random = x;
	return x * 0x2545f4914f6cdd1dull;
}

/** stress_below - a number from 0 to @n - 1 */
static inline unsigned stress_below(struct stress_thread *thread, unsigned n)
{
	return (unsigned)(((stress_random(thread) >> 32) * n) >> 32);
}

static inline bool stress_one_in(struct stress_thread *thread, unsigned n)
{
	return stress_below(thread, n) == 0;
}

/* Handles: magic in the highest byte, so that neither zeroes nor poison look like one; the low @shift bits zero. */
#define STRESS_MAGIC 0xa7ull

static inline uint64_t stress_handle(unsigned page, unsigned thread, unsigned key, unsigned shift)
{
	return STRESS_MAGIC << 56 | (uint64_t)page << 46 | (uint64_t)thread << 36 | (uint64_t)key << shift;
}

static inline unsigned stress_handle_page(uint64_t handle)
{
	return handle >> 46 & 0x3ff;
}

static inline unsigned stress_handle_thread(uint64_t handle)
{
	return handle >> 36 & 0x3ff;
}

static inline unsigned stress_handle_key(uint64_t handle, unsigned shift)
{
	return (unsigned)((handle & 0xfffffffffull) >> shift);
}

/** stress_handle_of - is @handle one that some thread may have added to @page? */
static inline bool stress_handle_of(const struct stress *stress, uint64_t handle, unsigned page, unsigned shift,
				    unsigned keys)
{
	return handle >> 56 == STRESS_MAGIC && stress_handle_page(handle) == page &&
	       stress_handle_thread(handle) < stress->threads && stress_handle_key(handle, shift) < keys &&
	       (handle & ((1ull << shift) - 1)) == 0;
}

/** stress_mapping - a mapping of @kind; @handle matters to chained ones only */
static inline struct rmap_mapping stress_mapping(enum rmap_kind kind, uint64_t handle)
{
	if (kind == RMAP_CHAINED)
		return rmap_chained(handle);
	if (kind == RMAP_NAMED)
		return rmap_named(handle);
	return kind == RMAP_LINEAR ? rmap_linear() : rmap_locked();
}

/**
 * struct stress_events - what one thread was told about one page (G5)
 * In any order in which the operations may have taken effect, firsts and lasts alternate; so their sums over all
 * threads differ by one while the page is mapped and are equal while it is not.
 */
struct stress_events {
	uint64_t first;
	uint64_t last;
	uint64_t first_lock;
	uint64_t last_lock;
};

static inline void stress_events_note(struct stress_events *events, int result)
{
	events->first += (result & RMAP_FIRST) != 0;
	events->last += (result & RMAP_LAST) != 0;
	events->first_lock += (result & RMAP_FIRST_LOCK) != 0;
	events->last_lock += (result & RMAP_LAST_LOCK) != 0;
}

static inline void stress_events_sum(struct stress_events *sum, const struct stress_events *events)
{
	sum->first += events->first;
	sum->last += events->last;
	sum->first_lock += events->first_lock;
	sum->last_lock += events->last_lock;
}

/**
 * stress_page_verify - at a check: @page's counts are exactly @want (G4), its events add up (G5), and its equations
 *                      hold
 * Return: the page's shape
 */
struct rmap_shape stress_page_verify(struct rmap *map, const struct rmap_page *page, unsigned number,
				     struct rmap_counts want, const struct stress_events *events);

/**
 * struct stress_tier - a tier that counts, and sees whether what comes back is what went out
 * @poison: what is given back is poisoned and becomes unreadable, so that a late reader is killed (pages of memory,
 *          slow)
 */
struct stress_tier {
	struct rmap_tier tier;
	_Atomic uint64_t bytes;
	_Atomic uint64_t peak;
	bool poison;
	pthread_mutex_t lock;
	struct stress_area {
		void *memory;
		size_t bytes;
	} quarantine[256];
	unsigned next;
};

void stress_tier_init(struct stress_tier *tier, bool poison);
/** stress_tier_fini - theorem: every byte that was taken was given back */
void stress_tier_fini(struct stress_tier *tier, const char *what);

/** struct stress_map - a map between two counting tiers */
struct stress_map {
	struct rmap *map;
	struct stress_tier chains;
	struct stress_tier metadata;
};

/** stress_map_init - make a map with @options (NULL: defaults), whose tiers are replaced by counting ones */
void stress_map_init(struct stress_map *map, const struct rmap_options *options, bool poison);
/**
 * stress_map_fini - theorems: nothing is in use or in hand, destroy returns 0, the tiers have everything back
 * @what: printed with the map's figures, so that a run which never came by some path is seen for what it is; NULL: no
 *        line
 */
void stress_map_fini(struct stress_map *map, const char *what);

#endif
