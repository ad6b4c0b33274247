/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * support.h - what the tests share
 *
 * A *probe*, a memory tier that counts what it gave, can refuse, hands out garbage and poisons what comes back; a
 * *fixture*, one map on probes with one reserve; a seeded *generator*; the *reference*, the plainest thing that can be
 * right: a sorted array of keys with counts and two integers, against which a page is compared as a whole; a *subject*,
 * a page with its reference; and *workers*, threads at one page.
 *
 * expect() may be used in any thread, where cmocka's asserts, which jump, may not: it names the place and aborts.
 */
#ifndef RMAP_TESTS_SUPPORT_H
#define RMAP_TESTS_SUPPORT_H

#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>

#include <cmocka.h>
#include <rmap/object.h>
#include <rmap/page.h>
#include <rmap/pool.h>
#include <rmap/rmap.h>
#include <rmap/walk.h>

#if defined(RMAP_CHECK) && RMAP_CHECK
#define CHECKED 1
#else
#define CHECKED 0
#endif

#if defined(__SANITIZE_THREAD__)
#define TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TSAN 1
#endif
#endif
#ifndef TSAN
#define TSAN 0
#endif

/*
 * Of a long test of one thread: ThreadSanitizer has nothing to find there, takes twenty times as long, and gets a
 * tenth.
 */
#define LONE(n) (TSAN ? (n) / 10 : (n))

#ifndef RMAP_INJECT
#define RMAP_INJECT 0
#endif

/* Exported by the library in inject builds only; their home is lib/inject.h. */
#if RMAP_INJECT
uint64_t rmap_inject_steps(void);
uint64_t rmap_inject_rmws(void);
void rmap_inject_at(uint64_t nth, void (*hook)(void));
#endif

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

static inline uint64_t at_least(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static inline uint64_t at_most(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

__attribute__((noreturn)) void expect_failed(const char *file, int line, const char *what);
#define expect(condition) ((condition) ? (void)0 : expect_failed(__FILE__, __LINE__, #condition))

/* Ends a test that cannot run here. What @lacks may be, and what then follows, is in CONTRIBUTING.md. */
#define test_not_run(lacks, why)                                                                                       \
	do {                                                                                                           \
		print_message("# not run: %s: %s\n", lacks, why);                                                      \
		skip();                                                                                                \
	} while (0)

/* splitmix64: every seed is good, and the whole state is one word that can be printed. */
struct generator {
	uint64_t state;
};

uint64_t generator_next(struct generator *generator);
uint64_t generator_below(struct generator *generator, uint64_t n);

/*
 * The environment's RMAP_SEED, or one of the clock's making; printed as a TAP comment, so that a failure can be had
 * again.
 */
uint64_t test_seed(void);
/* @n times the environment's RMAP_SCALE (a number such as 0.1 or 20; 1 if unset), at least 1. */
uint64_t test_scaled(uint64_t n);

/*
 * struct probe - a tier under watch
 * @fail_at:  the call, counted from 1, that returns NULL; 0: none
 * @fail_all: from now on every call returns NULL
 *
 * One probe may serve as tier and as metadata at once, so that a failing call is counted over both. The lock is there
 * since RCU's helper thread frees.
 */
struct probe {
	pthread_mutex_t lock;
	struct rmap_tier tier;
	size_t live_bytes;
	size_t peak_bytes;
	uint64_t live;
	uint64_t calls;
	uint64_t fail_at;
	uint64_t failed;
	bool fail_all;
};

void probe_init(struct probe *probe);
void probe_fini(struct probe *probe);
uint64_t probe_calls(struct probe *probe);
size_t probe_live_bytes(struct probe *probe);
void probe_fail_at(struct probe *probe, uint64_t call);
void probe_fail_all(struct probe *probe, bool all);

/* As rmap_thread_register() and unregister, but may be called again for a further map. */
void reader_register(struct rmap *map);
void reader_unregister(struct rmap *map);

/*
 * struct fixture - one map on probes of its own, and the calling thread's reserve
 *
 * Its hash seed is always the same, unless options give one: chance, which every bound on bytes and accesses leaves a
 * little to (docs/design.md, G8), must not decide what a test finds.
 */
struct fixture {
	struct probe chains;
	struct probe metadata;
	struct rmap *map;
	struct rmap_reserve *reserve;
	unsigned bits;
};

void fixture_init(struct fixture *fixture, unsigned multiplicity_bits, enum rmap_reclaim reclaim, size_t waiting_max);
/* The same with options of the caller's; the tiers become the fixture's. */
void fixture_init_with(struct fixture *fixture, struct rmap_options options);
/* The accounting theorem of a quiescent map: each byte of the tier is where the figures say (G8). */
void fixture_account(struct fixture *fixture);
/* Drains, which gives all memory back, and destroys. All other reserves have ended. */
void fixture_fini(struct fixture *fixture);

/* One operation in a section of its own, with a filled reserve where it may need one. */
int fixture_add(struct fixture *fixture, struct rmap_page *page, struct rmap_mapping mapping);
int fixture_remove(struct fixture *fixture, struct rmap_page *page, struct rmap_mapping mapping);
int fixture_move(struct fixture *fixture, struct rmap_page *page, struct rmap_mapping from, struct rmap_mapping to);
int fixture_duplicate(struct fixture *fixture, struct rmap_page *page, struct rmap_mapping child);
uint32_t fixture_drop(struct fixture *fixture, struct rmap_page *page);
/* The same by another reserve than the fixture's. */
int fixture_add_by(struct fixture *fixture, struct rmap_reserve *reserve, struct rmap_page *page,
		   struct rmap_mapping mapping);
uint32_t fixture_drop_by(struct fixture *fixture, struct rmap_reserve *reserve, struct rmap_page *page);
void fixture_fill(struct fixture *fixture, unsigned adds);
struct rmap_counts fixture_counts(struct fixture *fixture, const struct rmap_page *page);
uint32_t fixture_mapcount(struct fixture *fixture, const struct rmap_page *page);
/* The shape; expects rmap_page_check() to hold. */
struct rmap_shape fixture_shape(struct fixture *fixture, const struct rmap_page *page);
struct rmap_statistics fixture_stats(struct fixture *fixture);

struct reference_entry {
	uint64_t key;
	uint64_t count;
};

/*
 * struct reference - what a page should hold: @entries sorted by key, each count at least 1
 * @name: of the one mapping, handle | 1, if it is named; 0: no name; NAME_ANY: not known
 * @is_chain: its chained mappings are in a chain, which it stays, out of which no name is told
 */
struct reference {
	struct reference_entry *entries;
	size_t n;
	size_t room;
	uint64_t chained;
	uint64_t linear;
	uint64_t locked;
	uint64_t name;
	unsigned bits;
	bool is_chain;
};

#define NAME_ANY ((uint64_t)2)

void reference_init(struct reference *reference, unsigned multiplicity_bits);
void reference_fini(struct reference *reference);
uint64_t reference_mapcount(const struct reference *reference);
uint64_t reference_key(const struct reference *reference, uint64_t handle);
uint64_t reference_count(const struct reference *reference, uint64_t handle);
/* These answer as the library must: events, or -ENOENT. */
int reference_add(struct reference *reference, struct rmap_mapping mapping);
int reference_remove(struct reference *reference, struct rmap_mapping mapping);
int reference_move(struct reference *reference, struct rmap_mapping from, struct rmap_mapping to);
/* Adds all of @other, for a comparison of what several threads did. */
void reference_merge(struct reference *reference, const struct reference *other);
void reference_clear(struct reference *reference);

/*
 * Expect that quiescent @page holds exactly @reference: counts, the equations of rmap_page_check(), what a walk visits,
 * and what a cursor copies out in batches of @batch (0: no cursor). Call it outside a section.
 */
void reference_compare(const struct reference *reference, struct rmap *map, const struct rmap_page *page, size_t batch);

/*
 * Hands all that @cursor has left to a visitor of single mappings, inside a section: 0, -EAGAIN, or what @visit
 * returned, and then its batch counts as visited.
 */
int cursor_walk(struct rmap_cursor *cursor, rmap_walk_visit visit, void *arg);
/* The same outside any section, each batch in one of its own. */
int cursor_walk_apart(struct rmap_cursor *cursor, struct rmap *map, rmap_walk_visit visit, void *arg);

/* The kinds in the order of their numbers. */
extern const enum rmap_kind kinds[4];

static inline enum rmap_kind counted_as(enum rmap_kind kind)
{
	return kind == RMAP_NAMED ? RMAP_LINEAR : kind;
}

/*
 * Handles of the @i-th mapping of a test's page; far apart, so that no two share a key with up to 13 multiplicity bits.
 */
uint64_t handle_of(uint64_t i);
struct rmap_mapping mapping_of(enum rmap_kind kind, uint64_t i);

/* struct subject - a page under test and what it should hold; its operations compare the events */
struct subject {
	struct fixture *fixture;
	struct rmap_page page;
	struct reference reference;
};

/* Brings a fresh page into the state of so many mappings of each kind, chained ones with handles 0, 1, ... */
void subject_init(struct subject *subject, struct fixture *fixture, unsigned chained, unsigned linear, unsigned locked);
/* Takes the mappings away one by one until the word is empty again. */
void subject_fini(struct subject *subject);
void subject_add(struct subject *subject, struct rmap_mapping mapping);
void subject_remove(struct subject *subject, struct rmap_mapping mapping);
void subject_compare(struct subject *subject);

/* struct worker - one of the threads of a concurrent test */
struct worker {
	struct fixture *fixture;
	struct rmap_page *page;
	pthread_barrier_t *barrier;
	unsigned number;
	unsigned rounds;
	unsigned firsts, lasts, first_locks, last_locks;
};

#define WORKERS 4u

/* Registers the thread and makes its reserve; and the reverse. */
void worker_begin(struct worker *worker, struct rmap_reserve **reserve);
void worker_end(struct worker *worker, struct rmap_reserve *reserve);
/* Runs @body in WORKERS threads that share a page and a barrier, and leaves what each did in @workers. */
void workers_run(struct fixture *fixture, struct rmap_page *page, void *(*body)(void *), unsigned rounds,
		 struct worker workers[WORKERS]);

/* Run @body in @n threads at once, each with its own of the @n arguments of @bytes bytes at @args, and wait for all. */
void run_threads(void *(*body)(void *), void *args, size_t bytes, unsigned n);

/* Run @body in a child process and return its wait status; for calls that abort in checked builds. */
int in_child(void (*body)(void *), void *arg);
/* Did a child end by abort()? */
bool aborted(int status);

#endif
