/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mix.c - every page operation on a few pages, from every thread
 *
 * Each thread owns its handles and keeps a private record of what it holds on each page. Only it removes them, so the
 * record is exact for its own mappings whatever the others do:
 *
 *      held     remove and move never fail; every walk visits it, each cursor too; no count is below what is held
 *      not held remove and move are -ENOENT and change nothing; no walk visits it
 *      a walk that removes what it visits leaves nothing of the thread's own
 *
 * At each check, with all threads still, the counts are exactly the sums of the records, and first and last reports add
 * up. Each thread has a mood, how much it wants to hold, so that pages go back and forth between nothing, direct, a
 * block and leaves.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "stress.h"

#define PAGES 4u
#define KEYS 24u
#define BATCH 4u
#define SECTION_OPS 8u
#define SHIFT 3u

/* What one thread holds on one page. A handle is a plain pte and held once, chained or by its name, or not. */
struct record {
	uint32_t handles[KEYS];
	uint32_t names[KEYS];
	struct rmap_counts counts;
	struct stress_events events;
};

/*
 * struct worker - one thread's own memory
 * @seen:     per key, visits of its own handles by the walk that runs
 * @removing: the walk removes its own mappings as it visits them
 * @mood:     how many mappings it wants to hold on a page
 */
struct worker {
	struct stress_thread *thread;
	struct rmap_page *pages;
	struct record records[PAGES];
	uint32_t seen[KEYS];
	unsigned page;
	bool removing;
	unsigned mood;
};

struct mix {
	struct rmap_page pages[PAGES];
	struct worker workers[STRESS_THREADS_MAX];
};

static uint64_t handle_of(const struct worker *worker, unsigned page, unsigned key)
{
	return stress_handle(page, worker->thread->id, key, SHIFT);
}

static void note(struct worker *worker, unsigned page, struct rmap_mapping mapping, int change)
{
	struct record *record = &worker->records[page];
	uint32_t by = (uint32_t)change;

	switch (mapping.kind) {
	case RMAP_CHAINED:
		record->handles[stress_handle_key(mapping.handle, SHIFT)] += by;
		record->counts.chained += by;
		break;
	case RMAP_NAMED:
		record->names[stress_handle_key(mapping.handle, SHIFT)] += by;
		record->counts.linear += by;
		break;
	case RMAP_LINEAR:
		record->counts.linear += by;
		break;
	case RMAP_LOCKED:
		record->counts.locked += by;
		break;
	}
}

static uint32_t held(const struct record *record)
{
	return record->counts.chained + record->counts.linear + record->counts.locked;
}

/* A mapping that may come to be: of a pte that the thread does not hold, or a counted one. */
static struct rmap_mapping any_mapping(struct worker *worker, unsigned page)
{
	static const enum rmap_kind kinds[] = { RMAP_CHAINED, RMAP_CHAINED, RMAP_CHAINED,
						RMAP_LINEAR,  RMAP_NAMED,   RMAP_LOCKED };
	enum rmap_kind kind = kinds[stress_below(worker->thread, 6)];
	unsigned key = stress_below(worker->thread, KEYS);

	if (worker->records[page].handles[key] || worker->records[page].names[key])
		kind = RMAP_LINEAR;
	return stress_mapping(kind, handle_of(worker, page, key));
}

/* Of those that the record holds one without a name, or if there is none, any. */
static struct rmap_mapping linear_mapping(struct worker *worker, unsigned page)
{
	const struct record *record = &worker->records[page];
	uint32_t named = 0;
	unsigned key = KEYS;

	for (unsigned i = 0; i < KEYS; i++) {
		named += record->names[i];
		key = record->names[i] ? i : key;
	}
	return named == record->counts.linear ? rmap_named(handle_of(worker, page, key)) : rmap_linear();
}

/* A mapping that the record holds; it must hold one. */
static struct rmap_mapping held_mapping(struct worker *worker, unsigned page)
{
	const struct record *record = &worker->records[page];
	uint32_t pick = stress_below(worker->thread, held(record));
	unsigned key = stress_below(worker->thread, KEYS);

	if (pick < record->counts.linear && record->names[key])
		return rmap_named(handle_of(worker, page, key));
	if (pick < record->counts.linear)
		return linear_mapping(worker, page);
	if (pick < record->counts.linear + record->counts.locked)
		return rmap_locked();
	while (!record->handles[key])
		key = (key + 1) % KEYS;
	return rmap_chained(handle_of(worker, page, key));
}

/* --- operations ------------------------------------------------------------------------------- */

static void add(struct worker *worker, unsigned page)
{
	struct rmap_mapping mapping = any_mapping(worker, page);
	bool fork = held(&worker->records[page]) && stress_one_in(worker->thread, 4);
	int result;

	if (fork)
		result = rmap_page_duplicate(worker->thread->reserve, &worker->pages[page], mapping);
	else
		result = rmap_page_add(worker->thread->reserve, &worker->pages[page], mapping);
	stress_assert(result >= 0, "G1: an add of kind %d with a filled reserve failed: %s", mapping.kind,
		      strerror(-result));
	stress_assert(!fork || !(result & RMAP_FIRST),
		      "G5: a duplicate was told RMAP_FIRST beside a mapping that stays");
	note(worker, page, mapping, 1);
	stress_events_note(&worker->records[page].events, result);
}

static int remove_held(struct worker *worker, unsigned page, struct rmap_mapping mapping)
{
	int result = rmap_page_remove(worker->thread->reserve, &worker->pages[page], mapping);

	stress_assert(result >= 0, "a remove of the thread's own mapping (kind %d, handle %llx) failed: %s",
		      mapping.kind, (unsigned long long)mapping.handle, strerror(-result));
	note(worker, page, mapping, -1);
	stress_events_note(&worker->records[page].events, result);
	stress_assert(!(result & RMAP_LAST) || held(&worker->records[page]) == 0,
		      "G5: RMAP_LAST was told, but the thread holds %u more mappings of the page",
		      held(&worker->records[page]));
	return result;
}

static void add_or_remove(struct worker *worker, unsigned page)
{
	unsigned holds = held(&worker->records[page]);

	if (holds < worker->mood || (holds == worker->mood && stress_one_in(worker->thread, 2)))
		add(worker, page);
	else if (holds)
		remove_held(worker, page, held_mapping(worker, page));
}

static void move(struct worker *worker, unsigned page)
{
	struct rmap_mapping from, to = any_mapping(worker, page);
	int result;

	if (!held(&worker->records[page]))
		return;
	from = held_mapping(worker, page);
	result = rmap_page_move(worker->thread->reserve, &worker->pages[page], from, to);
	stress_assert(result >= 0, "a move of the thread's own mapping from kind %d to %d failed: %s", from.kind,
		      to.kind, strerror(-result));
	stress_assert(!(result & (RMAP_FIRST | RMAP_LAST)),
		      "G5: a move was told that the mapcount left or reached zero");
	note(worker, page, from, -1);
	note(worker, page, to, 1);
	stress_events_note(&worker->records[page].events, result);
}

static void misuse(struct worker *worker, unsigned page)
{
	unsigned key = stress_below(worker->thread, KEYS);
	struct rmap_mapping absent = rmap_chained(handle_of(worker, page, key));
	int result;

	if (worker->records[page].handles[key] || worker->records[page].names[key])
		return;
	if (stress_one_in(worker->thread, 2))
		result = rmap_page_remove(worker->thread->reserve, &worker->pages[page], absent);
	else
		result = rmap_page_move(worker->thread->reserve, &worker->pages[page], absent,
					any_mapping(worker, page));
	stress_assert(result == -ENOENT, "G11: removing or moving a handle that nobody holds gave %d, not -ENOENT",
		      result);
}

static void count(struct worker *worker, unsigned page)
{
	const struct rmap_counts own = worker->records[page].counts;
	struct rmap_counts counts = rmap_page_counts(worker->thread->map, &worker->pages[page]);
	uint32_t mapcount = rmap_page_mapcount(worker->thread->map, &worker->pages[page]);

	stress_assert(counts.chained >= own.chained && counts.linear >= own.linear && counts.locked >= own.locked,
		      "G4: counts of %u chained, %u linear, %u locked are below the thread's own %u, %u, %u",
		      counts.chained, counts.linear, counts.locked, own.chained, own.linear, own.locked);
	stress_assert(mapcount >= held(&worker->records[page]), "G4: mapcount %u is below the thread's own %u",
		      mapcount, held(&worker->records[page]));
}

static void batch(struct worker *worker, unsigned page)
{
	struct rmap_page *pages[BATCH];
	struct rmap_mapping mappings[BATCH];
	int events[BATCH], error;
	size_t n = 0, done;

	while (n < BATCH) {
		pages[n] = &worker->pages[(page + n) % PAGES];
		mappings[n] = any_mapping(worker, (unsigned)(page + n) % PAGES);
		n++;
	}
	done = rmap_page_add_batch(worker->thread->reserve, pages, mappings, events, n, &error);
	stress_assert(done == n && error == 0, "G1: a batch of %zu adds ended after %zu: %s", n, done,
		      strerror(-error));
	for (size_t i = 0; i < n; i++) {
		note(worker, (page + i) % PAGES, mappings[i], 1);
		stress_events_note(&worker->records[(page + i) % PAGES].events, events[i]);
	}
	stress_perturb(worker->thread);
	done = rmap_page_remove_batch(worker->thread->reserve, pages, mappings, events, n, &error);
	stress_assert(done == n && error == 0, "a batch of %zu removes of own mappings ended after %zu: %s", n, done,
		      strerror(-error));
	for (size_t i = 0; i < n; i++) {
		note(worker, (page + i) % PAGES, mappings[i], -1);
		stress_events_note(&worker->records[(page + i) % PAGES].events, events[i]);
	}
}

/* --- walks ------------------------------------------------------------------------------------ */

static int visit(void *arg, const struct rmap_visit *visit)
{
	struct worker *worker = arg;
	const struct stress *stress = worker->thread->stress;
	unsigned key = stress_handle_key(visit->handle, SHIFT);

	stress_assert((visit->kind == RMAP_CHAINED || visit->kind == RMAP_NAMED) && visit->count == 1,
		      "a walk of a plain page visited kind %d, count %u", visit->kind, visit->count);
	stress_assert(stress_handle_of(stress, visit->handle, worker->page, SHIFT, KEYS),
		      "G6: a walk of page %u visited %llx, which nobody ever added to it", worker->page,
		      (unsigned long long)visit->handle);
	stress_perturb(worker->thread);
	if (stress_handle_thread(visit->handle) != worker->thread->id)
		return 0;
	if (visit->kind == RMAP_NAMED) {
		stress_assert(worker->removing || worker->records[worker->page].names[key],
			      "G3: a walk visited name %u, which was gone before it", key);
		return 0;
	}
	worker->seen[key]++;
	if (!worker->removing)
		stress_assert(worker->records[worker->page].handles[key],
			      "G3: a walk visited key %u, which was gone before it", key);
	if (worker->removing && worker->records[worker->page].handles[key])
		remove_held(worker, worker->page, rmap_chained(visit->handle));
	return 0;
}

static void seen_all(struct worker *worker, const char *what)
{
	const struct record *record = &worker->records[worker->page];

	for (unsigned key = 0; key < KEYS; key++)
		stress_assert(worker->seen[key] >= record->handles[key],
			      "G3: %s saw key %u %u times, but it is there %u times (page %u, %u held)", what, key,
			      worker->seen[key], record->handles[key], worker->page, record->counts.chained);
}

static void walk(struct worker *worker, unsigned page)
{
	const struct rmap_counts own = worker->records[page].counts;
	struct rmap_target target = { .page = &worker->pages[page] };
	struct rmap_walk_summary summary;

	memset(worker->seen, 0, sizeof(worker->seen));
	worker->page = page;
	worker->removing = stress_one_in(worker->thread, 16);
	stress_assert(stress_walk_page(worker->thread->map, &target, visit, worker, &summary) == 0,
		      "a walk ended early");
	if (worker->removing)
		stress_assert(worker->records[page].counts.chained == 0,
			      "G3: a walk that removes what it visits left %u of the thread's own",
			      worker->records[page].counts.chained);
	else
		seen_all(worker, "a walk");
	stress_assert((worker->removing || summary.chained >= own.chained) && summary.linear >= own.linear &&
			      summary.unnamed >= own.locked,
		      "a walk counted %u chained, %u linear, %u unnamed, the thread's own are %u, %u, %u",
		      (unsigned)summary.chained, summary.linear, summary.unnamed, own.chained, own.linear, own.locked);
}

static void cursor(struct worker *worker, unsigned page)
{
	static const size_t sizes[] = { 1, 3, 64 };
	size_t size = sizes[stress_below(worker->thread, 3)], n;
	struct rmap_target target = { .page = &worker->pages[page] };
	struct rmap_cursor cursor;
	struct rmap_visit visits[64];

	memset(worker->seen, 0, sizeof(worker->seen));
	worker->page = page;
	worker->removing = false;
	rmap_cursor_init(&cursor, worker->thread->map, &target);
	cursor.rounds_max = UINT32_MAX;
	while ((n = rmap_cursor_next(&cursor, visits, size)) > 0) {
		for (size_t i = 0; i < n; i++)
			visit(worker, &visits[i]);
	}
	seen_all(worker, "a cursor");
}

/* --- the run ---------------------------------------------------------------------------------- */

static void operate(struct worker *worker)
{
	unsigned page = stress_below(worker->thread, PAGES);
	unsigned dice = stress_below(worker->thread, 64);

	if (dice < 40)
		add_or_remove(worker, page);
	else if (dice < 48)
		move(worker, page);
	else if (dice < 52)
		misuse(worker, page);
	else if (dice < 56)
		count(worker, page);
	else if (dice < 59)
		batch(worker, page);
	else
		walk(worker, page);
}

static void change_mood(struct worker *worker)
{
	static const unsigned moods[] = { 0, 0, 1, 2, 4, 30 };

	worker->mood = moods[stress_below(worker->thread, 6)];
}

static void leave(struct worker *worker)
{
	for (unsigned page = 0; page < PAGES; page++) {
		while (held(&worker->records[page])) {
			rmap_read_lock(worker->thread->map);
			remove_held(worker, page, held_mapping(worker, page));
			rmap_read_unlock(worker->thread->map);
		}
	}
}

static void body(struct stress_thread *thread, void *arg)
{
	struct mix *mix = arg;
	struct worker *worker = &mix->workers[thread->id];
	unsigned n;

	worker->thread = thread;
	worker->pages = mix->pages;
	while (stress_round(thread)) {
		while (stress_next(thread)) {
			if (stress_one_in(thread, 64))
				change_mood(worker);
			n = 1 + stress_below(thread, stress_one_in(thread, 4) ? SECTION_OPS : 1);
			stress_assert(rmap_reserve_fill(thread->reserve, n * BATCH) == 0, "a fill found no memory");
			rmap_read_lock(thread->map);
			operate(worker);
			while (--n && stress_next(thread))
				operate(worker);
			rmap_read_unlock(thread->map);
			if (stress_one_in(thread, 32))
				cursor(worker, stress_below(thread, PAGES));
		}
	}
	leave(worker);
	stress_meet(thread);
}

static void check(struct stress_thread *thread, void *arg)
{
	struct mix *mix = arg;

	for (unsigned page = 0; page < PAGES; page++) {
		struct rmap_counts sum = { 0 };
		struct stress_events events = { 0 };

		for (unsigned i = 0; i < thread->stress->threads; i++) {
			const struct record *record = &mix->workers[i].records[page];

			sum.chained += record->counts.chained;
			sum.linear += record->counts.linear;
			sum.locked += record->counts.locked;
			stress_events_sum(&events, &record->events);
		}
		stress_page_verify(thread->map, &mix->pages[page], page, sum, &events);
	}
}

static void run(struct stress *stress)
{
	struct mix *mix = stress_zalloc(1, sizeof(*mix));
	struct stress_map map;
	struct stress_plan plan = { .body = body, .check = check, .arg = mix };

	stress_map_init(&map, NULL, false);
	plan.map = map.map;
	stress_run(stress, &plan);
	for (unsigned page = 0; page < PAGES; page++)
		stress_assert(mix->pages[page].word == 0, "page %u has no mapping left, but its word is not zero",
			      page);
	stress_map_fini(&map, "the map");
	free(mix);
}

const struct stress_test stress_mix = { "mix",
					"every page operation on few pages; each thread's own mappings are exact", run,
					false };
