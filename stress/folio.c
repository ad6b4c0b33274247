/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * folio.c - a file whose pages have 1 to 16 indexes, split and collapsed while others fault, walk, unmap and truncate
 *
 * The file is mapped by three address spaces, of which each maps other indexes linearly, and by a fourth that maps any
 * of them nonlinearly. Each pte counts as one; what a fault or an unmap does to one folio in one address space is one
 * step. A fault takes as large a folio as there is room for. Ranges are cut and mended inside folios, and truncates and
 * punches begin and end inside them; of the splits that these ask for some fail.
 *
 * Theorems: a walk sees, of an address space that is locked, each pte that maps its folio (G3); when a truncate says
 * that nothing is mapped, no pte maps what it took away, and the file has no page there. While all stand: each folio's
 * mapcount is the number of ptes that map it (G4), RMAP_FIRST was told once more than RMAP_LAST for each that is mapped
 * (G5), and a pte maps the folio that the file has at its index.
 *
 * A folio is freed by whoever lets its last reference go, and is soon another one. References are of the file and of
 * who is at work; model/explore/folio.c says how a split and a collapse go by them. Here the file's lock makes
 * publishing one step, so new folios need not be locked.
 */
#include "stress.h"

#include <rmap/unmap.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INDEXES 64u
#define ORDER_MAX 4u
#define MMS 4u
#define NONLINEAR 3u /* the mm whose ptes may map any index */
#define FOLIOS (4 * INDEXES)
#define SHIFT 12u

/* @first, @last: while it has a reference. @lock: the page lock; ahead of the file's and the mms' */
struct folio {
	struct rmap_page rmap;
	pthread_mutex_t lock;
	_Atomic uint32_t refs;
	uint64_t first;
	uint64_t last;
};

/*
 * @lock:  the pte lock, of all below
 * @ptes:  of each slot the folio, @index: and which index of it
 * @vmas:  serialises changes of the ranges; @cut: where its range is split, or 0
 */
struct mm {
	pthread_mutex_t lock;
	struct folio *ptes[INDEXES];
	uint64_t index[INDEXES];
	struct rmap_range range;
	pthread_mutex_t vmas;
	uint64_t cut;
};

/* @gone_first, @gone_last: indexes that the file does not have, at the moment; under @lock, as @cache and @free */
struct file {
	struct rmap *map;
	struct rmap_object *object;
	pthread_mutex_t lock;
	struct folio *cache[INDEXES];
	uint64_t gone_first;
	uint64_t gone_last;
	pthread_mutex_t resize;
	struct folio folios[FOLIOS];
	struct folio *free[FOLIOS];
	unsigned free_n;
	struct mm mms[MMS];
	struct worker *workers;
};

/* @done, @refused: of each kind of what a page may refuse */
enum what { SPLITS, COLLAPSES, RECLAIMS, TRUNCATES, WHATS };

struct worker {
	struct stress_thread *thread;
	struct file *file;
	uint64_t firsts;
	uint64_t lasts;
	uint64_t done[WHATS];
	uint64_t refused[WHATS];
};

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t greatest(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static bool count(struct worker *worker, enum what what, bool done)
{
	++*(done ? &worker->done[what] : &worker->refused[what]);
	return done;
}

static void note(struct worker *worker, int result, const char *what)
{
	stress_assert(result >= 0, "%s failed: %s", what, strerror(-result));
	worker->firsts += (result & RMAP_FIRST) != 0;
	worker->lasts += (result & RMAP_LAST) != 0;
}

/* --- folios ----------------------------------------------------------------------------------- */

static uint32_t mapcount(const struct file *file, const struct folio *folio)
{
	uint32_t count;

	rmap_read_lock(file->map);
	count = rmap_page_mapcount(file->map, &folio->rmap);
	rmap_read_unlock(file->map);
	return count;
}

/* Under the file's lock. */
static struct folio *take_folio(struct file *file, uint64_t first, uint64_t last)
{
	struct folio *folio = file->free[--file->free_n];

	folio->first = first;
	folio->last = last;
	atomic_store_explicit(&folio->refs, 1, memory_order_release);
	for (uint64_t i = first; i <= last; i++)
		file->cache[i] = folio;
	return folio;
}

static void free_folio(struct file *file, struct folio *folio)
{
	stress_assert(mapcount(file, folio) == 0, "a folio is freed that is mapped");
	pthread_mutex_lock(&file->lock);
	file->free[file->free_n++] = folio;
	pthread_mutex_unlock(&file->lock);
}

static void put(struct file *file, struct folio *folio)
{
	if (atomic_fetch_sub(&folio->refs, 1) == 1)
		free_folio(file, folio);
}

/* It is locked and was unmapped. True: no reference is left, and no mapping. */
static bool freeze(const struct worker *worker, struct folio *folio)
{
	uint32_t refs = 2;

	stress_perturb(worker->thread);
	if (!atomic_compare_exchange_strong(&folio->refs, &refs, 0))
		return false;
	if (mapcount(worker->file, folio) == 0)
		return true;
	atomic_store(&folio->refs, 2);
	return false;
}

static bool has(const struct file *file, uint64_t first, uint64_t last)
{
	return last < INDEXES && (last < file->gone_first || first > file->gone_last);
}

/* The largest that there is room for, of an order up to @order. Under the file's lock. */
static struct folio *make_folio(struct file *file, uint64_t index, unsigned order)
{
	for (;; order--) {
		uint64_t first = index >> order << order, last = first + (1u << order) - 1;
		bool fits = has(file, first, last);

		for (uint64_t i = first; fits && i <= last; i++)
			fits = !file->cache[i];
		if (fits)
			return take_folio(file, first, last);
	}
}

/* With a reference. NULL: the file has no such index, or not now. */
static struct folio *find_folio(struct file *file, uint64_t index, bool make, unsigned order)
{
	struct folio *folio = NULL;

	pthread_mutex_lock(&file->lock);
	if (has(file, index, index)) {
		folio = file->cache[index];
		if (!folio && make)
			folio = make_folio(file, index, order);
		if (folio && !stress_get(&folio->refs))
			folio = NULL; /* it is being split */
	}
	pthread_mutex_unlock(&file->lock);
	return folio;
}

/* Is @folio, which is locked, at @index? Then it has a reference. */
static bool is_at(struct file *file, struct folio *folio, uint64_t index)
{
	bool is;

	pthread_mutex_lock(&file->lock);
	is = file->cache[index] == folio && stress_get(&folio->refs);
	pthread_mutex_unlock(&file->lock);
	return is;
}

static struct folio *lock_at(struct file *file, uint64_t index)
{
	for (;;) {
		struct folio *folio;

		pthread_mutex_lock(&file->lock);
		folio = file->cache[index];
		pthread_mutex_unlock(&file->lock);
		if (!folio)
			return NULL;
		pthread_mutex_lock(&folio->lock);
		if (is_at(file, folio, index))
			return folio;
		pthread_mutex_unlock(&folio->lock);
	}
}

/* A frozen one is at its end. */
static void unlock_folio(struct file *file, struct folio *folio)
{
	bool frozen = atomic_load(&folio->refs) == 0;

	pthread_mutex_unlock(&folio->lock);
	if (frozen)
		free_folio(file, folio);
	else
		put(file, folio);
}

/* --- ptes ------------------------------------------------------------------------------------- */

static struct rmap_mapping mapping_of(const struct mm *mm, unsigned slot, uint32_t n)
{
	return mm->range.tags ? rmap_chained(mm->range.address + ((uint64_t)slot << SHIFT)) : rmap_linear_many(n);
}

/* Under the pte lock: slots of @mm from @slot on, at most @n, that map one folio, are cleared. How many these were. */
static unsigned zap(struct worker *worker, struct mm *mm, unsigned slot, unsigned n)
{
	struct folio *folio = mm->ptes[slot];
	unsigned cleared = 0;

	do
		mm->ptes[slot + cleared++] = NULL;
	while (cleared < n && mm->ptes[slot + cleared] == folio && !mm->range.tags);
	rmap_read_lock(worker->file->map);
	note(worker, rmap_page_remove(worker->thread->reserve, &folio->rmap, mapping_of(mm, slot, cleared)),
	     "a remove");
	rmap_read_unlock(worker->file->map);
	return cleared;
}

/* All of @n slots from @slot on that map what of @folio (NULL: of any) has an index in @first .. @last. */
static uint64_t zap_all(struct worker *worker, struct mm *mm, unsigned slot, unsigned n, const struct folio *folio,
			uint64_t first, uint64_t last)
{
	uint64_t cleared = 0;

	pthread_mutex_lock(&mm->lock);
	for (unsigned i = slot, end = slot + n; i < end;) {
		unsigned run = 0;

		while (i + run < end && mm->ptes[i + run] && (!folio || mm->ptes[i + run] == folio) &&
		       mm->index[i + run] >= first && mm->index[i + run] <= last)
			run++;
		for (unsigned done = 0; done < run;)
			done += zap(worker, mm, i + done, run - done);
		cleared += run;
		i += run + !run;
	}
	pthread_mutex_unlock(&mm->lock);
	return cleared;
}

static unsigned slots(const struct mm *mm)
{
	return (unsigned)(mm->range.last - mm->range.first + 1);
}

/* A pte, or all that an mm can have of the folio and has not, in one step. */
static void fault(struct worker *worker, struct mm *mm)
{
	struct stress_thread *thread = worker->thread;
	struct file *file = worker->file;
	unsigned slot = stress_below(thread, slots(mm)), n = 0;
	uint64_t sequence = rmap_object_truncate_seq(file->object);
	uint64_t index = mm->range.tags ? stress_below(thread, INDEXES) : mm->range.first + slot, end = index + 1;
	struct folio *folio = find_folio(file, index, true, stress_below(thread, ORDER_MAX + 1));

	if (!folio)
		return;
	stress_perturb(thread);
	if (!mm->range.tags && stress_one_in(thread, 2)) {
		index = greatest(folio->first, mm->range.first);
		end = least(folio->last, mm->range.last) + 1;
		slot = (unsigned)(index - mm->range.first);
	}
	pthread_mutex_lock(&mm->lock);
	rmap_read_lock(file->map);
	for (; rmap_object_truncate_seq(file->object) == sequence && index < end; index++, slot++) {
		if (mm->ptes[slot])
			continue;
		mm->ptes[slot] = folio;
		mm->index[slot] = index;
		n++;
	}
	if (n)
		note(worker, rmap_page_add(thread->reserve, &folio->rmap, mapping_of(mm, slot - 1, n)), "an add");
	rmap_read_unlock(file->map);
	pthread_mutex_unlock(&mm->lock);
	put(file, folio);
}

static void munmap_some(struct worker *worker, struct mm *mm)
{
	unsigned slot = stress_below(worker->thread, slots(mm));
	unsigned n = 1 + stress_below(worker->thread, slots(mm) - slot);

	zap_all(worker, mm, slot, n < 20 ? n : 20, NULL, 0, INDEXES);
}

/* --- callbacks: @arg is the worker -------------------------------------------------------------- */

static struct folio *folio_of(const struct rmap_target *target)
{
	return (struct folio *)(uintptr_t)target->page;
}

static struct rmap_target target_of(struct file *file, const struct folio *folio)
{
	return (struct rmap_target){ &folio->rmap, file->object, folio->first, folio->last };
}

static int clear(void *arg, const struct rmap_target *target, const struct rmap_visit *visit, unsigned flags,
		 uint64_t *cleared)
{
	struct worker *worker = arg;
	bool chained = visit->kind == RMAP_CHAINED;
	struct mm *mm = &worker->file->mms[chained ? NONLINEAR : visit->range.owner];
	uint64_t address = chained ? visit->handle : visit->address;

	(void)flags;
	*cleared += zap_all(worker, mm, (unsigned)((address - mm->range.address) >> SHIFT), visit->count,
			    folio_of(target), target->first, target->last);
	return 0;
}

static int clear_range(void *arg, const struct rmap_search *search, uint64_t *cleared)
{
	struct worker *worker = arg;
	struct mm *mm = &worker->file->mms[search->range.owner];
	uint64_t address = rmap_range_address(&search->range, search->from);

	*cleared += zap_all(worker, mm, (unsigned)((address - mm->range.address) >> SHIFT),
			    (unsigned)(search->to - search->from + 1), NULL, search->first, search->last);
	return 0;
}

static int lock_next(void *arg, struct rmap_object *object, uint64_t first, uint64_t last, struct rmap_target *target)
{
	struct worker *worker = arg;

	(void)object;
	for (uint64_t i = first; i <= last && i < INDEXES; i++) {
		struct folio *folio = lock_at(worker->file, i);

		if (!folio)
			continue;
		*target = target_of(worker->file, folio);
		return 0;
	}
	return -ENOENT;
}

static void unlock(void *arg, const struct rmap_target *target)
{
	unlock_folio(((struct worker *)arg)->file, folio_of(target));
}

static void drop(void *arg, const struct rmap_target *target, int orphan)
{
	struct file *file = ((struct worker *)arg)->file;
	struct folio *folio = folio_of(target);

	stress_assert(!orphan && mapcount(file, folio) == 0, "a folio is dropped that is mapped");
	pthread_mutex_lock(&file->lock);
	stress_assert(folio->first >= file->gone_first && folio->last <= file->gone_last,
		      "a folio of %" PRIu64 " to %" PRIu64 " is dropped for %" PRIu64 " to %" PRIu64, folio->first,
		      folio->last, file->gone_first, file->gone_last);
	for (uint64_t i = folio->first; i <= folio->last; i++)
		file->cache[i] = NULL;
	pthread_mutex_unlock(&file->lock);
	put(file, folio);
}

static int split_for(void *arg, const struct rmap_target *target, uint64_t first, uint64_t last);

static const struct rmap_unmap_callbacks callbacks = {
	.size = sizeof(callbacks),
	.clear = clear,
	.clear_range = clear_range,
	.lock_next = lock_next,
	.split = split_for,
	.unlock = unlock,
	.drop = drop,
};

/* --- split and collapse --------------------------------------------------------------------------- */

static bool unmap(struct worker *worker, struct folio *folio)
{
	struct rmap_target target = target_of(worker->file, folio);
	int result = rmap_unmap(worker->file->map, &callbacks, worker, &target, 0, RMAP_FAILABLE, NULL);

	stress_assert(result == RMAP_UNMAP_SUCCESS || result == RMAP_UNMAP_AGAIN, "unmap says %d", result);
	return result == RMAP_UNMAP_SUCCESS;
}

/* Into halves. Locked. */
static bool split(struct worker *worker, struct folio *folio)
{
	uint64_t middle = folio->first + (folio->last - folio->first + 1) / 2;
	struct file *file = worker->file;

	if (!count(worker, SPLITS, unmap(worker, folio) && freeze(worker, folio)))
		return false;
	pthread_mutex_lock(&file->lock);
	take_folio(file, folio->first, middle - 1);
	take_folio(file, middle, folio->last);
	pthread_mutex_unlock(&file->lock);
	return true;
}

static int split_for(void *arg, const struct rmap_target *target, uint64_t first, uint64_t last)
{
	struct worker *worker = arg;

	stress_assert(target->first < first || target->last > last, "a folio is to be split that need not be");
	if (stress_one_in(worker->thread, 4))
		return -EAGAIN;
	return split(worker, folio_of(target)) ? 0 : -EAGAIN;
}

static void split_one(struct worker *worker)
{
	struct folio *folio = lock_at(worker->file, stress_below(worker->thread, INDEXES));

	if (!folio)
		return;
	if (folio->first < folio->last)
		split(worker, folio);
	unlock_folio(worker->file, folio);
}

/* The folios at first .. last, each locked, in the place of which comes one. */
static void collapse_locked(struct worker *worker, struct folio **folios, unsigned n, uint64_t first, uint64_t last)
{
	struct file *file = worker->file;
	unsigned frozen = 0;
	bool done = false;

	while (frozen < n && unmap(worker, folios[frozen]) && freeze(worker, folios[frozen]))
		frozen++;
	pthread_mutex_lock(&file->lock);
	if (frozen == n && has(file, first, last)) {
		take_folio(file, first, last);
		done = true;
	}
	pthread_mutex_unlock(&file->lock);
	count(worker, COLLAPSES, done);
	while (!done && frozen > 0)
		atomic_store(&folios[--frozen]->refs, 2);
}

/* Whoever holds one of them already may be waiting for another: so they are only tried. */
static void collapse(struct worker *worker)
{
	struct file *file = worker->file;
	unsigned order = 1 + stress_below(worker->thread, ORDER_MAX);
	uint64_t first = (uint64_t)stress_below(worker->thread, INDEXES) >> order << order;
	uint64_t last = first + (1u << order) - 1, next = first;
	struct folio *folios[1 << ORDER_MAX];
	unsigned n = 0;

	while (next <= last) {
		struct folio *folio;

		pthread_mutex_lock(&file->lock);
		folio = file->cache[next];
		pthread_mutex_unlock(&file->lock);
		if (!folio || pthread_mutex_trylock(&folio->lock))
			break;
		if (!is_at(file, folio, next)) {
			pthread_mutex_unlock(&folio->lock);
			break;
		}
		folios[n++] = folio;
		if (folio->first != next || folio->last > last)
			break;
		next = folio->last + 1;
	}
	if (next > last && n > 1)
		collapse_locked(worker, folios, n, first, last);
	while (n > 0)
		unlock_folio(file, folios[--n]);
}

static void reclaim(struct worker *worker)
{
	struct folio *folio = lock_at(worker->file, stress_below(worker->thread, INDEXES));

	if (!folio)
		return;
	count(worker, RECLAIMS, unmap(worker, folio));
	unlock_folio(worker->file, folio);
}

/* --- ranges ----------------------------------------------------------------------------------- */

static void cut_or_mend(struct worker *worker, struct mm *mm)
{
	if (mm->range.tags || pthread_mutex_trylock(&mm->vmas))
		return;
	stress_cut_or_mend(worker->file->object, &mm->range, &mm->cut,
			   mm->range.first + 1 + stress_below(worker->thread, slots(mm) - 1));
	pthread_mutex_unlock(&mm->vmas);
}

/* --- walks ------------------------------------------------------------------------------------ */

/* @seen: of each mm, by index, or of the nonlinear one by slot */
struct look {
	const struct file *file;
	struct rmap_target target;
	uint64_t seen[MMS];
};

static int see(void *arg, const struct rmap_visit *visit)
{
	struct look *look = arg;
	const struct mm *mm;
	uint64_t index;

	if (visit->kind == RMAP_CHAINED) {
		mm = &look->file->mms[NONLINEAR];
		look->seen[NONLINEAR] |= UINT64_C(1) << ((visit->handle - mm->range.address) >> SHIFT);
		return 0;
	}
	mm = &look->file->mms[visit->range.owner];
	index = rmap_range_index(&visit->range, visit->address);
	stress_assert(index >= look->target.first && index + visit->count - 1 <= look->target.last,
		      "a visit is of %" PRIu64 " and %" PRIu32 " more, the folio's are %" PRIu64 " to %" PRIu64, index,
		      visit->count - 1, look->target.first, look->target.last);
	stress_assert(rmap_range_address(&mm->range, index) == visit->address, "a visit has another's address");
	for (uint64_t i = index; i < index + visit->count; i++)
		look->seen[visit->range.owner] |= UINT64_C(1) << i;
	return 0;
}

static void walk(struct worker *worker)
{
	struct file *file = worker->file;
	struct folio *folio = find_folio(file, stress_below(worker->thread, INDEXES), false, 0);
	unsigned m = stress_below(worker->thread, MMS);
	struct mm *mm = &file->mms[m];
	struct look look = { .file = file };
	struct rmap_visit visits[3];
	struct rmap_cursor cursor;
	size_t n;

	if (!folio)
		return;
	look.target = target_of(file, folio);
	pthread_mutex_lock(&mm->lock);
	if (stress_one_in(worker->thread, 2)) {
		rmap_read_lock(file->map);
		stress_walk_page(file->map, &look.target, see, &look, NULL);
		rmap_read_unlock(file->map);
	} else {
		rmap_cursor_init(&cursor, file->map, &look.target);
		cursor.rounds_max = UINT32_MAX;
		while ((n = rmap_cursor_next(&cursor, visits, 3)) > 0)
			for (size_t i = 0; i < n; i++)
				see(&look, &visits[i]);
	}
	for (unsigned i = 0; i < slots(mm); i++)
		stress_assert(mm->ptes[i] != folio || look.seen[m] >> (m == NONLINEAR ? i : mm->index[i]) & 1,
			      "G3: a walk of a folio of %" PRIu64 " to %" PRIu64 " missed index %" PRIu64 " in mm %u",
			      look.target.first, look.target.last, mm->index[i], m);
	pthread_mutex_unlock(&mm->lock);
	put(file, folio);
}

/* --- truncate --------------------------------------------------------------------------------- */

static void set_gone(struct file *file, uint64_t first, uint64_t last)
{
	pthread_mutex_lock(&file->lock);
	file->gone_first = first;
	file->gone_last = last;
	pthread_mutex_unlock(&file->lock);
}

static void check_gone(struct file *file, uint64_t first, uint64_t last)
{
	pthread_mutex_lock(&file->lock);
	for (uint64_t i = first; i <= last && i < INDEXES; i++)
		stress_assert(!file->cache[i], "index %" PRIu64 " was truncated, and has a page", i);
	pthread_mutex_unlock(&file->lock);
	for (struct mm *mm = file->mms; mm < file->mms + MMS; mm++) {
		pthread_mutex_lock(&mm->lock);
		for (unsigned i = 0; i < slots(mm); i++)
			stress_assert(!mm->ptes[i] || mm->index[i] < first || mm->index[i] > last,
				      "index %" PRIu64 " was truncated, and is mapped", mm->index[i]);
		pthread_mutex_unlock(&mm->lock);
	}
}

/* An end, or a hole. Whoever asks for a failable one takes up the rest, for the file is to have these indexes again. */
static void truncate(struct worker *worker)
{
	struct file *file = worker->file;
	uint64_t first = stress_below(worker->thread, INDEXES);
	struct rmap_truncation truncation = {
		.size = sizeof(truncation),
		.object = file->object,
		.first = first,
		.last = stress_one_in(worker->thread, 2) ? UINT64_MAX : first + stress_below(worker->thread, 20),
		.strategy = (enum rmap_strategy)stress_below(worker->thread, RMAP_UNMAP + 1),
		.semantics = stress_one_in(worker->thread, 2) ? RMAP_RELIABLE : RMAP_FAILABLE,
	};
	struct rmap_unmap_report report;
	int result;

	if (pthread_mutex_trylock(&file->resize))
		return;
	set_gone(file, first, truncation.last);
	while ((result = rmap_truncate(file->map, &callbacks, worker, &truncation, &report)) != RMAP_UNMAP_SUCCESS) {
		stress_assert(truncation.semantics == RMAP_FAILABLE, "a reliable truncate says %d", result);
		stress_assert(result == RMAP_UNMAP_AGAIN && report.mapped + report.unsplit > 0,
			      "a failable truncate says %d and not why", result);
		truncation.semantics = RMAP_RELIABLE;
		count(worker, TRUNCATES, false);
	}
	count(worker, TRUNCATES, true);
	check_gone(file, first, truncation.last);
	set_gone(file, INDEXES, INDEXES);
	pthread_mutex_unlock(&file->resize);
}

/* --- running ---------------------------------------------------------------------------------- */

static void step(struct worker *worker)
{
	struct mm *mm = &worker->file->mms[stress_below(worker->thread, MMS)];
	unsigned drawn = stress_below(worker->thread, 1000);

	stress_assert(rmap_reserve_fill(worker->thread->reserve, 1) == 0, "a fill failed");
	if (drawn < 500)
		fault(worker, mm);
	else if (drawn < 650)
		munmap_some(worker, mm);
	else if (drawn < 750)
		split_one(worker);
	else if (drawn < 850)
		collapse(worker);
	else if (drawn < 900)
		walk(worker);
	else if (drawn < 950)
		reclaim(worker);
	else if (drawn < 997)
		cut_or_mend(worker, mm);
	else
		truncate(worker);
}

static void check(struct stress_thread *thread, void *arg)
{
	struct file *file = arg;
	unsigned ptes[FOLIOS] = { 0 };
	uint64_t mapped = 0, told = 0;

	for (struct mm *mm = file->mms; mm < file->mms + MMS; mm++) {
		for (unsigned i = 0; i < slots(mm); i++) {
			if (!mm->ptes[i])
				continue;
			stress_assert(file->cache[mm->index[i]] == mm->ptes[i],
				      "a pte maps a folio that index %" PRIu64 " of the file no longer has",
				      mm->index[i]);
			ptes[mm->ptes[i] - file->folios]++;
		}
	}
	rmap_read_lock(file->map);
	for (unsigned i = 0; i < FOLIOS; i++) {
		const struct folio *folio = &file->folios[i];

		stress_assert(rmap_page_check(file->map, &folio->rmap, NULL) == 0, "folio %u does not check", i);
		stress_assert(rmap_page_mapcount(file->map, &folio->rmap) == ptes[i],
			      "G4: a folio of %" PRIu64 " to %" PRIu64 " is mapped by %u ptes and counts %" PRIu32,
			      folio->first, folio->last, ptes[i], rmap_page_mapcount(file->map, &folio->rmap));
		mapped += ptes[i] > 0;
	}
	rmap_read_unlock(file->map);
	for (unsigned i = 0; i < thread->stress->threads; i++)
		told += file->workers[i].firsts - file->workers[i].lasts;
	stress_assert(told == mapped,
		      "G5: %" PRIu64 " folios are mapped, and RMAP_FIRST was told %" PRIu64 " times more "
		      "than RMAP_LAST",
		      mapped, told);
}

static void body(struct stress_thread *thread, void *arg)
{
	struct file *file = arg;
	struct worker *worker = &file->workers[thread->id];

	worker->thread = thread;
	worker->file = file;
	while (stress_round(thread))
		while (stress_next(thread))
			step(worker);
	if (thread->id)
		return;
	rmap_read_lock(file->map);
	for (unsigned i = 0; i < FOLIOS; i++)
		rmap_page_drop(thread->reserve, &file->folios[i].rmap);
	rmap_read_unlock(file->map);
}

static void file_init(struct file *file)
{
	static const uint64_t firsts[MMS] = { 0, 5, 24, 100 }, lasts[MMS] = { INDEXES - 1, 40, INDEXES - 1, 115 };

	file->gone_first = file->gone_last = INDEXES;
	pthread_mutex_init(&file->lock, NULL);
	pthread_mutex_init(&file->resize, NULL);
	for (unsigned i = 0; i < FOLIOS; i++) {
		pthread_mutex_init(&file->folios[i].lock, NULL);
		file->free[file->free_n++] = &file->folios[i];
	}
	for (unsigned i = 0; i < MMS; i++) {
		struct mm *mm = &file->mms[i];

		pthread_mutex_init(&mm->lock, NULL);
		pthread_mutex_init(&mm->vmas, NULL);
		mm->range = (struct rmap_range){ .first = firsts[i],
						 .last = lasts[i],
						 .address = (uint64_t)(i + 1) << 32,
						 .owner = i,
						 .page_shift = SHIFT,
						 .tags = i == NONLINEAR ? RMAP_RANGE_NONLINEAR : 0 };
		stress_assert(rmap_object_attach(file->object, &mm->range) == 0, "a range could not be attached");
	}
}

static void report(const struct file *file, unsigned threads)
{
	static const char *const names[WHATS] = { "splits", "collapses", "reclaims", "truncates" };

	for (unsigned what = 0; what < WHATS; what++) {
		uint64_t done = 0, refused = 0;

		for (unsigned i = 0; i < threads; i++) {
			done += file->workers[i].done[what];
			refused += file->workers[i].refused[what];
		}
		printf("  %s: %" PRIu64 ", refused %" PRIu64 "\n", names[what], done, refused);
	}
}

static void run(struct stress *stress)
{
	struct file *file = stress_zalloc(1, sizeof(*file));
	struct stress_map map;
	struct stress_plan plan = { .body = body, .check = check, .arg = file };

	file->workers = stress_zalloc(stress->threads, sizeof(*file->workers));
	stress_map_init(&map, NULL, false);
	file->map = plan.map = map.map;
	stress_assert(rmap_object_create(file->map, &file->object) == 0, "no object");
	rmap_thread_register(file->map);
	file_init(file);
	rmap_thread_unregister(file->map);
	stress_run(stress, &plan);
	report(file, stress->threads);
	rmap_object_destroy(file->object);
	stress_map_fini(&map, "the map");
	free(file->workers);
	free(file);
}

const struct stress_test stress_folio = {
	"folio", "pages of 1 to 16 indexes are split, collapsed, truncated in the middle, and mapped in parts", run,
	false
};
