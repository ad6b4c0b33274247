/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * support.c - probe, fixture, generator and reference for the tests; support.h says what each is for
 */
#include "support.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

void expect_failed(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: expected: %s\n", file, line, what);
	fflush(NULL);
	abort();
}

uint64_t generator_next(struct generator *generator)
{
	uint64_t z = generator->state += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

uint64_t generator_below(struct generator *generator, uint64_t n)
{
	return generator_next(generator) % n;
}

uint64_t test_seed(void)
{
	const char *text = getenv("RMAP_SEED");
	struct timespec now;
	char *end = NULL;
	uint64_t seed;

	if (text) {
		errno = 0;
		seed = strtoull(text, &end, 0);
		if (errno || end == text || *end || *text == '-') {
			fprintf(stderr, "RMAP_SEED is \"%s\": set it to a number from 0 to 2^64 - 1, or unset it.\n",
				text);
			exit(2);
		}
	} else {
		clock_gettime(CLOCK_REALTIME, &now);
		seed = ((uint64_t)now.tv_sec << 20) ^ (uint64_t)now.tv_nsec;
	}
	printf("# RMAP_SEED=%" PRIu64 "\n", seed);
	fflush(stdout);
	return seed;
}

uint64_t test_scaled(uint64_t n)
{
	const char *text = getenv("RMAP_SCALE");
	char *end = NULL;
	double scale = 1;

	if (text) {
		scale = strtod(text, &end);
		if (end == text || *end || !(scale > 0 && scale <= 1e6)) {
			fprintf(stderr,
				"RMAP_SCALE is \"%s\": set it to a number over 0 and up to 1000000, or unset it.\n",
				text);
			exit(2);
		}
	}
	n = (uint64_t)((double)n * scale);
	return n ? n : 1;
}

static void *probe_alloc(void *arg, size_t bytes, size_t align)
{
	struct probe *probe = arg;
	void *memory = NULL;
	bool fail;

	expect(bytes > 0);
	expect(align > 0 && (align & (align - 1)) == 0);
	pthread_mutex_lock(&probe->lock);
	probe->calls++;
	fail = probe->fail_all || probe->calls == probe->fail_at;
	if (fail)
		probe->failed++;
	pthread_mutex_unlock(&probe->lock);
	if (fail)
		return NULL;
	expect(posix_memalign(&memory, align < sizeof(void *) ? sizeof(void *) : align, bytes) == 0);
	memset(memory, 0xa5, bytes); /* the contract: tiers need not zero */
	pthread_mutex_lock(&probe->lock);
	probe->live++;
	probe->live_bytes += bytes;
	if (probe->peak_bytes < probe->live_bytes)
		probe->peak_bytes = probe->live_bytes;
	pthread_mutex_unlock(&probe->lock);
	return memory;
}

static void probe_free(void *arg, void *memory, size_t bytes)
{
	struct probe *probe = arg;

	expect(memory != NULL);
	pthread_mutex_lock(&probe->lock);
	expect(probe->live > 0 && probe->live_bytes >= bytes);
	probe->live--;
	probe->live_bytes -= bytes;
	pthread_mutex_unlock(&probe->lock);
	memset(memory, 0x5a, bytes); /* a late reader shall meet nothing that looks right */
	free(memory);
}

void probe_init(struct probe *probe)
{
	memset(probe, 0, sizeof(*probe));
	expect(pthread_mutex_init(&probe->lock, NULL) == 0);
	probe->tier.alloc = probe_alloc;
	probe->tier.free = probe_free;
	probe->tier.arg = probe;
}

void probe_fini(struct probe *probe)
{
	pthread_mutex_lock(&probe->lock);
	expect(probe->live == 0);
	expect(probe->live_bytes == 0);
	pthread_mutex_unlock(&probe->lock);
	pthread_mutex_destroy(&probe->lock);
}

uint64_t probe_calls(struct probe *probe)
{
	uint64_t calls;

	pthread_mutex_lock(&probe->lock);
	calls = probe->calls;
	pthread_mutex_unlock(&probe->lock);
	return calls;
}

size_t probe_live_bytes(struct probe *probe)
{
	size_t bytes;

	pthread_mutex_lock(&probe->lock);
	bytes = probe->live_bytes;
	pthread_mutex_unlock(&probe->lock);
	return bytes;
}

void probe_fail_at(struct probe *probe, uint64_t call)
{
	pthread_mutex_lock(&probe->lock);
	probe->fail_at = call;
	pthread_mutex_unlock(&probe->lock);
}

void probe_fail_all(struct probe *probe, bool all)
{
	pthread_mutex_lock(&probe->lock);
	probe->fail_all = all;
	pthread_mutex_unlock(&probe->lock);
}

/* A thread registers once with a flavor, and all maps here share liburcu's memb. */
static _Thread_local unsigned registrations;

void reader_register(struct rmap *map)
{
	if (!registrations++)
		rmap_thread_register(map);
}

void reader_unregister(struct rmap *map)
{
	if (!--registrations)
		rmap_thread_unregister(map);
}

void fixture_init_with(struct fixture *fixture, struct rmap_options options)
{
	memset(fixture, 0, sizeof(*fixture));
	probe_init(&fixture->chains);
	probe_init(&fixture->metadata);
	fixture->bits = options.multiplicity_bits;
	if (!options.hash_seed)
		options.hash_seed = 1;
	options.tier = &fixture->chains.tier;
	options.metadata = &fixture->metadata.tier;
	expect(rmap_create(&options, &fixture->map) == 0);
	reader_register(fixture->map);
	expect(rmap_reserve_create(fixture->map, &fixture->reserve) == 0);
}

void fixture_init(struct fixture *fixture, unsigned multiplicity_bits, enum rmap_reclaim reclaim, size_t waiting_max)
{
	struct rmap_options options = RMAP_OPTIONS_DEFAULT;

	options.multiplicity_bits = multiplicity_bits;
	options.reclaim = reclaim;
	options.waiting_max = waiting_max;
	fixture_init_with(fixture, options);
}

void fixture_account(struct fixture *fixture)
{
	struct rmap_statistics stats;

	expect(rmap_check(fixture->map) == 0);
	stats = fixture_stats(fixture);
	expect(stats.tier_bytes == probe_live_bytes(&fixture->chains));
	expect(stats.tier_bytes ==
	       stats.chain_bytes + stats.reserve_bytes + stats.waiting_bytes + stats.depot_bytes + stats.rest_bytes);
	expect(stats.waiting_peak >= stats.waiting_bytes);
}

void fixture_fini(struct fixture *fixture)
{
	fixture_account(fixture);
	rmap_reserve_drain(fixture->reserve);
	fixture_account(fixture);
	expect(probe_live_bytes(&fixture->chains) == 0);
	rmap_reserve_destroy(fixture->reserve);
	reader_unregister(fixture->map);
	expect(rmap_destroy(fixture->map) == 0);
	probe_fini(&fixture->chains);
	probe_fini(&fixture->metadata);
}

void fixture_fill(struct fixture *fixture, unsigned adds)
{
	expect(rmap_reserve_fill(fixture->reserve, adds) == 0);
}

int fixture_add_by(struct fixture *fixture, struct rmap_reserve *reserve, struct rmap_page *page,
		   struct rmap_mapping mapping)
{
	int rc;

	expect(rmap_reserve_fill(reserve, 1) == 0);
	rmap_read_lock(fixture->map);
	rc = rmap_page_add(reserve, page, mapping);
	rmap_read_unlock(fixture->map);
	return rc;
}

int fixture_add(struct fixture *fixture, struct rmap_page *page, struct rmap_mapping mapping)
{
	return fixture_add_by(fixture, fixture->reserve, page, mapping);
}

int fixture_remove(struct fixture *fixture, struct rmap_page *page, struct rmap_mapping mapping)
{
	int rc;

	rmap_read_lock(fixture->map);
	rc = rmap_page_remove(fixture->reserve, page, mapping);
	rmap_read_unlock(fixture->map);
	return rc;
}

int fixture_move(struct fixture *fixture, struct rmap_page *page, struct rmap_mapping from, struct rmap_mapping to)
{
	int rc;

	fixture_fill(fixture, 1);
	rmap_read_lock(fixture->map);
	rc = rmap_page_move(fixture->reserve, page, from, to);
	rmap_read_unlock(fixture->map);
	return rc;
}

int fixture_duplicate(struct fixture *fixture, struct rmap_page *page, struct rmap_mapping child)
{
	int rc;

	fixture_fill(fixture, 1);
	rmap_read_lock(fixture->map);
	rc = rmap_page_duplicate(fixture->reserve, page, child);
	rmap_read_unlock(fixture->map);
	return rc;
}

uint32_t fixture_drop_by(struct fixture *fixture, struct rmap_reserve *reserve, struct rmap_page *page)
{
	uint32_t dropped;

	rmap_read_lock(fixture->map);
	dropped = rmap_page_drop(reserve, page);
	rmap_read_unlock(fixture->map);
	return dropped;
}

uint32_t fixture_drop(struct fixture *fixture, struct rmap_page *page)
{
	return fixture_drop_by(fixture, fixture->reserve, page);
}

struct rmap_counts fixture_counts(struct fixture *fixture, const struct rmap_page *page)
{
	struct rmap_counts counts;

	rmap_read_lock(fixture->map);
	counts = rmap_page_counts(fixture->map, page);
	expect(rmap_page_mapcount(fixture->map, page) == counts.chained + counts.linear + counts.locked);
	rmap_read_unlock(fixture->map);
	return counts;
}

uint32_t fixture_mapcount(struct fixture *fixture, const struct rmap_page *page)
{
	uint32_t mapcount;

	rmap_read_lock(fixture->map);
	mapcount = rmap_page_mapcount(fixture->map, page);
	rmap_read_unlock(fixture->map);
	return mapcount;
}

struct rmap_shape fixture_shape(struct fixture *fixture, const struct rmap_page *page)
{
	struct rmap_shape shape;

	rmap_read_lock(fixture->map);
	expect(rmap_page_check(fixture->map, page, &shape) == 0);
	rmap_read_unlock(fixture->map);
	return shape;
}

struct rmap_statistics fixture_stats(struct fixture *fixture)
{
	struct rmap_statistics stats = { .size = sizeof(stats) };

	expect(rmap_stats(fixture->map, &stats) == 0);
	return stats;
}

void reference_init(struct reference *reference, unsigned multiplicity_bits)
{
	memset(reference, 0, sizeof(*reference));
	reference->bits = multiplicity_bits;
}

void reference_fini(struct reference *reference)
{
	free(reference->entries);
	memset(reference, 0, sizeof(*reference));
}

void reference_clear(struct reference *reference)
{
	reference->n = 0;
	reference->chained = 0;
	reference->linear = 0;
	reference->locked = 0;
	reference->name = 0;
	reference->is_chain = false;
}

uint64_t reference_mapcount(const struct reference *reference)
{
	return reference->chained + reference->linear + reference->locked;
}

uint64_t reference_key(const struct reference *reference, uint64_t handle)
{
	return handle & ~(((uint64_t)8 << reference->bits) - 1);
}

/* The place of @key, or where it would go. */
static size_t reference_place(const struct reference *reference, uint64_t key)
{
	size_t low = 0, high = reference->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (reference->entries[middle].key < key)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Room for one more entry. */
static void reference_grow(struct reference *reference)
{
	if (reference->n < reference->room)
		return;
	reference->room = reference->room ? 2 * reference->room : 16;
	reference->entries = realloc(reference->entries, reference->room * sizeof(*reference->entries));
	expect(reference->entries != NULL);
}

static void reference_put(struct reference *reference, uint64_t key, uint64_t count)
{
	size_t place = reference_place(reference, key);

	reference->chained += count;
	if (place < reference->n && reference->entries[place].key == key) {
		reference->entries[place].count += count;
		return;
	}
	reference_grow(reference);
	memmove(&reference->entries[place + 1], &reference->entries[place],
		(reference->n - place) * sizeof(*reference->entries));
	reference->entries[place] = (struct reference_entry){ key, count };
	reference->n++;
}

uint64_t reference_count(const struct reference *reference, uint64_t handle)
{
	uint64_t key = reference_key(reference, handle);
	size_t place = reference_place(reference, key);

	return place < reference->n && reference->entries[place].key == key ? reference->entries[place].count : 0;
}

int reference_add(struct reference *reference, struct rmap_mapping mapping)
{
	int events = reference_mapcount(reference) ? 0 : RMAP_FIRST;

	reference->name = 0;
	if (mapping.kind == RMAP_CHAINED)
		reference_put(reference, reference_key(reference, mapping.handle), 1);
	else if (mapping.kind == RMAP_LOCKED && (reference->locked += mapping.count) == mapping.count)
		events |= RMAP_FIRST_LOCK;
	else if (mapping.kind != RMAP_LOCKED)
		reference->linear += rmap_mapping_count(mapping);
	if (mapping.kind == RMAP_NAMED && reference_mapcount(reference) == 1 && reference->bits == 0)
		reference->name = mapping.handle | 1;
	reference->is_chain |= reference->chained && reference_mapcount(reference) > 1;
	return events;
}

static int reference_take(struct reference *reference, uint64_t key)
{
	size_t place = reference_place(reference, key);

	if (place == reference->n || reference->entries[place].key != key)
		return -ENOENT;
	reference->chained--;
	if (--reference->entries[place].count)
		return 0;
	reference->n--;
	memmove(&reference->entries[place], &reference->entries[place + 1],
		(reference->n - place) * sizeof(*reference->entries));
	return 0;
}

int reference_remove(struct reference *reference, struct rmap_mapping mapping)
{
	int events = 0;

	if (mapping.kind == RMAP_CHAINED) {
		events = reference_take(reference, reference_key(reference, mapping.handle));
		if (events < 0)
			return events;
	} else if (mapping.kind != RMAP_LOCKED) {
		if (reference->linear < rmap_mapping_count(mapping))
			return -ENOENT;
		if (mapping.kind == RMAP_NAMED && reference->name && reference->name != (mapping.handle | 1))
			return -ENOENT;
		reference->linear -= rmap_mapping_count(mapping);
		reference->name = 0;
	} else {
		if (reference->locked < mapping.count)
			return -ENOENT;
		reference->locked -= mapping.count;
		if (!reference->locked)
			events |= RMAP_LAST_LOCK;
	}
	reference->is_chain &= reference->chained > 0;
	return events | (reference_mapcount(reference) ? 0 : RMAP_LAST);
}

int reference_move(struct reference *reference, struct rmap_mapping from, struct rmap_mapping to)
{
	uint64_t locked = reference->locked;
	bool is_chain = reference->is_chain;
	int rc = reference_remove(reference, from);

	if (rc < 0)
		return rc;
	reference_add(reference, to);
	reference->is_chain |= is_chain && reference->chained;
	if (is_chain)
		reference->name = 0;
	if (!locked && reference->locked)
		return RMAP_FIRST_LOCK;
	return locked && !reference->locked ? RMAP_LAST_LOCK : 0;
}

void reference_merge(struct reference *reference, const struct reference *other)
{
	for (size_t i = 0; i < other->n; i++)
		reference_put(reference, other->entries[i].key, other->entries[i].count);
	reference->linear += other->linear;
	reference->locked += other->locked;
	reference->name = NAME_ANY; /* others may have come and gone since it was told */
}

static int by_key(const void *left, const void *right)
{
	uint64_t a = ((const struct reference_entry *)left)->key;
	uint64_t b = ((const struct reference_entry *)right)->key;

	return (a > b) - (a < b);
}

/* What a walk found comes in no order, and a key may come in several elements: sort, and add those up. */
static void reference_sort(struct reference *found)
{
	size_t n = 0;

	if (found->n)
		qsort(found->entries, found->n, sizeof(*found->entries), by_key);
	for (size_t i = 0; i < found->n; i++) {
		if (n && found->entries[n - 1].key == found->entries[i].key)
			found->entries[n - 1].count += found->entries[i].count;
		else
			found->entries[n++] = found->entries[i];
	}
	found->n = n;
}

static void same_content(struct reference *found, const struct reference *wanted, const char *who)
{
	reference_sort(found);
	for (size_t i = 0; i < found->n && i < wanted->n; i++) {
		if (found->entries[i].key != wanted->entries[i].key ||
		    found->entries[i].count != wanted->entries[i].count) {
			fprintf(stderr,
				"%s: entry %zu is %#" PRIx64 " x %" PRIu64 ", wanted %#" PRIx64 " x %" PRIu64 "\n", who,
				i, found->entries[i].key, found->entries[i].count, wanted->entries[i].key,
				wanted->entries[i].count);
			expect(!"the same content");
		}
	}
	if (found->n != wanted->n)
		fprintf(stderr, "%s: %zu keys, wanted %zu\n", who, found->n, wanted->n);
	expect(found->n == wanted->n);
	expect(found->chained == wanted->chained);
	expect(wanted->name == NAME_ANY || found->name == wanted->name);
}

static void collect(struct reference *found, const struct rmap_visit *visit)
{
	if (visit->kind == RMAP_NAMED) {
		expect(visit->count == 1 && found->name == 0);
		found->name = visit->handle | 1;
		return;
	}
	expect(visit->kind == RMAP_CHAINED);
	expect(visit->handle == reference_key(found, visit->handle));
	expect(visit->count >= 1 && visit->count <= (uint32_t)1 << found->bits);
	reference_grow(found);
	found->entries[found->n++] = (struct reference_entry){ visit->handle, visit->count };
	found->chained += visit->count;
}

static int collect_visit(void *arg, const struct rmap_visit *visit)
{
	collect(arg, visit);
	return 0;
}

static void same_summary(const struct rmap_walk_summary *summary, const struct reference *reference,
			 const struct reference *found)
{
	expect(summary->chained == reference->chained);
	expect(summary->linear == reference->linear);
	expect(summary->unnamed == reference->locked);
	expect(summary->candidates == (found->name != 0));
	expect(summary->rounds == 1);
}

void reference_compare(const struct reference *reference, struct rmap *map, const struct rmap_page *page, size_t batch)
{
	const struct rmap_target target = { .page = page };
	struct rmap_walk_summary summary;
	struct rmap_cursor cursor;
	struct rmap_counts counts;
	struct rmap_shape shape;
	struct reference found;
	size_t n;

	reference_init(&found, reference->bits);
	rmap_read_lock(map);
	counts = rmap_page_counts(map, page);
	expect(counts.chained == reference->chained);
	expect(counts.linear == reference->linear);
	expect(counts.locked == reference->locked);
	expect(rmap_page_mapcount(map, page) == reference_mapcount(reference));
	expect(rmap_page_check(map, page, &shape) == 0);
	expect(shape.elements >= reference->n && shape.elements <= reference->chained);
	expect(rmap_walk(map, &target, collect_visit, &found, &summary) == 0);
	rmap_read_unlock(map);
	same_content(&found, reference, "walk");
	same_summary(&summary, reference, &found);
	if (batch) {
		struct rmap_visit *visits = calloc(batch, sizeof(*visits));

		expect(visits != NULL);
		reference_clear(&found);
		rmap_cursor_init(&cursor, map, &target);
		while ((n = rmap_cursor_next(&cursor, visits, batch)) > 0) {
			expect(n <= batch);
			for (size_t i = 0; i < n; i++)
				collect(&found, &visits[i]);
		}
		free(visits);
		same_content(&found, reference, "cursor");
		same_summary(&cursor.summary, reference, &found);
	}
	reference_fini(&found);
}

#define NEXT_BATCH 1000000

/* @then: what ends each batch whose visits did not */
struct one_by_one {
	rmap_walk_visit visit;
	void *arg;
	int then;
};

static int visit_each(void *arg, const struct rmap_visits *visits)
{
	const struct one_by_one *each = arg;
	struct rmap_visit visit;
	int stop = 0;

	for (size_t i = 0; i < visits->n && !stop; i++) {
		rmap_visits_get(visits, i, &visit);
		stop = each->visit(each->arg, &visit);
	}
	return stop ? stop : each->then;
}

int cursor_walk(struct rmap_cursor *cursor, rmap_walk_visit visit, void *arg)
{
	struct one_by_one each = { visit, arg, 0 };

	return rmap_walk_batches(cursor, visit_each, &each);
}

int cursor_walk_apart(struct rmap_cursor *cursor, struct rmap *map, rmap_walk_visit visit, void *arg)
{
	struct one_by_one each = { visit, arg, NEXT_BATCH };
	int result;

	do {
		rmap_read_lock(map);
		result = rmap_walk_batches(cursor, visit_each, &each);
		rmap_read_unlock(map);
	} while (result == NEXT_BATCH);
	return result;
}

const enum rmap_kind kinds[4] = { RMAP_LINEAR, RMAP_CHAINED, RMAP_LOCKED, RMAP_NAMED };

uint64_t handle_of(uint64_t i)
{
	return (i + 1) << 16;
}

struct rmap_mapping mapping_of(enum rmap_kind kind, uint64_t i)
{
	return (struct rmap_mapping){ { kind == RMAP_CHAINED || kind == RMAP_NAMED ? handle_of(i) : 1 }, kind };
}

void subject_add(struct subject *subject, struct rmap_mapping mapping)
{
	int events = reference_add(&subject->reference, mapping);

	expect(fixture_add(subject->fixture, &subject->page, mapping) == events);
}

void subject_remove(struct subject *subject, struct rmap_mapping mapping)
{
	int events = reference_remove(&subject->reference, mapping);

	expect(fixture_remove(subject->fixture, &subject->page, mapping) == events);
}

void subject_compare(struct subject *subject)
{
	reference_compare(&subject->reference, subject->fixture->map, &subject->page, 3);
}

void subject_init(struct subject *subject, struct fixture *fixture, unsigned chained, unsigned linear, unsigned locked)
{
	memset(subject, 0, sizeof(*subject));
	subject->fixture = fixture;
	reference_init(&subject->reference, fixture->bits);
	for (unsigned i = 0; i < chained; i++)
		subject_add(subject, mapping_of(RMAP_CHAINED, i));
	for (unsigned i = 0; i < linear; i++)
		subject_add(subject, rmap_linear());
	for (unsigned i = 0; i < locked; i++)
		subject_add(subject, rmap_locked());
	subject_compare(subject);
}

void subject_fini(struct subject *subject)
{
	while (subject->reference.locked)
		subject_remove(subject, rmap_locked());
	while (subject->reference.n)
		subject_remove(subject, rmap_chained(subject->reference.entries[subject->reference.n / 2].key));
	while (subject->reference.linear)
		subject_remove(subject, rmap_linear());
	subject_compare(subject);
	expect(subject->page.word == 0);
	reference_fini(&subject->reference);
}

void run_threads(void *(*body)(void *), void *args, size_t bytes, unsigned n)
{
	pthread_t threads[16];

	expect(n <= LENGTH(threads));
	for (unsigned i = 0; i < n; i++)
		expect(pthread_create(&threads[i], NULL, body, (char *)args + i * bytes) == 0);
	for (unsigned i = 0; i < n; i++)
		expect(pthread_join(threads[i], NULL) == 0);
}

void worker_begin(struct worker *worker, struct rmap_reserve **reserve)
{
	reader_register(worker->fixture->map);
	expect(rmap_reserve_create(worker->fixture->map, reserve) == 0);
}

void worker_end(struct worker *worker, struct rmap_reserve *reserve)
{
	rmap_reserve_destroy(reserve);
	reader_unregister(worker->fixture->map);
}

void workers_run(struct fixture *fixture, struct rmap_page *page, void *(*body)(void *), unsigned rounds,
		 struct worker workers[WORKERS])
{
	pthread_barrier_t barrier;

	expect(pthread_barrier_init(&barrier, NULL, WORKERS) == 0);
	for (unsigned i = 0; i < WORKERS; i++)
		workers[i] = (struct worker){
			.fixture = fixture, .page = page, .barrier = &barrier, .number = i, .rounds = rounds
		};
	run_threads(body, workers, sizeof(*workers), WORKERS);
	pthread_barrier_destroy(&barrier);
}

int in_child(void (*body)(void *), void *arg)
{
	const struct rlimit none = { 0, 0 };
	int status = 0;
	pid_t child;

	fflush(NULL);
	child = fork();
	expect(child >= 0);
	if (child == 0) {
		setrlimit(RLIMIT_CORE, &none);
		body(arg);
		_exit(0);
	}
	expect(waitpid(child, &status, 0) == child);
	return status;
}

bool aborted(int status)
{
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}
