/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * huge.c - anonymous folios of 1 to 16 pages, mapped whole by one entry of an upper table or in parts, and forked
 *
 * A family of address spaces, each with a window of four groups of 16 ptes. Instead of 16 ptes a group may have one
 * entry that maps all of a folio; it counts as what it stands for, so taking it apart changes no count. A fault takes
 * as large a folio as there is memory and room for. Forks share folios, a write to one that others map makes a copy of
 * one page, a munmap takes parts away: so folios come to be mapped in parts, and who runs out of memory looks for those
 * of which nobody maps some, and splits them to have these back. A split goes as migration does: all ptes of the folio
 * become moving ones, which others leave alone; contents are copied; a second walk puts the new folios there. With a
 * folio of the same size in its place it is a migration. A collapse makes a group's pages one folio.
 *
 * Theorems. An access finds what its address space wrote there last: a write to what somebody else maps, by a mapcount
 * that lacks one (G4), shows. A walk sees each pte that stays (G3): all of an address space that is locked; and all
 * that are moving, so that the second walk leaves none. While all stand: mapcounts are the numbers of ptes (G4), a
 * folio has one more RMAP_FIRST than RMAP_LAST, and the reference that goes with it, if it is mapped (G5), a walk finds
 * the parts that nobody maps, and all memory is accounted for.
 *
 * A mapping of a folio comes only from a pte that is not moving, by a fork; so a folio all of whose ptes are moving
 * ones, with the folio locked, gains none.
 */
#include "stress.h"

#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ORDER_MAX 4u
#define GROUP (1u << ORDER_MAX)
#define GROUPS 4u
#define SLOTS (GROUP * GROUPS)
#define MMS 6u
#define FRAMES 160u
/* Splits borrow, until the folio that was split is free: each thread one folio. */
#define FOLIOS (FRAMES + GROUP * STRESS_THREADS_MAX)
#define SHIFT 12u
/* How often a split looks for ptes that are not moving yet. */
#define ROUNDS_MAX 3u

/*
 * @lock:   the folio's, ahead of the mms'
 * @refs:   one for all mappings, and those of who is at work. 0: free
 * @partly: a pte of it was cleared, and others may be left: a hint
 * @first, @last: its indexes, of which the slots of each mm with these numbers map it
 * @words:  under the lock of an mm that maps it, or all of its ptes are moving
 */
struct folio {
	struct rmap_page rmap;
	pthread_mutex_t lock;
	_Atomic uint32_t refs;
	_Atomic bool partly;
	uint64_t first;
	uint64_t last;
	uint64_t words[GROUP];
};

/* @word: what an access has to find */
struct pte {
	struct folio *folio;
	uint64_t word;
	bool moving;
};

/*
 * @use:   held shared by operations on it, and alone by its fork and exit; only tried. @alive is under it
 * @lock:  the pte lock. A fork holds two, in the order of their addresses
 * @whole: the groups that one entry maps, a bit each
 * @vmas:  serialises changes of its range; @cut: where that is split, or 0
 */
struct mm {
	pthread_rwlock_t use;
	bool alive;
	pthread_mutex_t lock;
	struct pte ptes[SLOTS];
	unsigned whole;
	struct rmap_range range;
	pthread_mutex_t vmas;
	uint64_t cut;
};

/* @frames: how many are free; @lock: the last of all locks, of these and @free */
struct family {
	struct rmap *map;
	struct rmap_object *object;
	pthread_mutex_t lock;
	int frames;
	struct folio folios[FOLIOS];
	struct folio *free[FOLIOS];
	unsigned free_n;
	struct mm mms[MMS];
	struct worker *workers;
};

enum what { SPLITS, MIGRATIONS, COLLAPSES, FORKS, FAULTS, WHOLE, COPIES, APART, GIVEN_BACK, WHATS };

struct worker {
	struct stress_thread *thread;
	struct family *family;
	uint64_t firsts;
	uint64_t lasts;
	uint64_t done[WHATS];
	uint64_t refused[WHATS];
};

static bool count(struct worker *worker, enum what what, bool done)
{
	++*(done ? &worker->done[what] : &worker->refused[what]);
	return done;
}

/* --- folios ----------------------------------------------------------------------------------- */

static unsigned pages(const struct folio *folio)
{
	return (unsigned)(folio->last - folio->first + 1);
}

static uint32_t mapcount(const struct worker *worker, const struct folio *folio)
{
	uint32_t n;

	rmap_read_lock(worker->family->map);
	n = rmap_page_mapcount(worker->family->map, &folio->rmap);
	rmap_read_unlock(worker->family->map);
	return n;
}

/* With a reference of the caller's. NULL: there are not so many frames, and it may not @borrow them. */
static struct folio *take_folio(struct family *family, uint64_t first, unsigned n, bool borrow)
{
	struct folio *folio;

	pthread_mutex_lock(&family->lock);
	if (!borrow && family->frames < (int)n) {
		pthread_mutex_unlock(&family->lock);
		return NULL;
	}
	family->frames -= (int)n;
	folio = family->free[--family->free_n];
	pthread_mutex_unlock(&family->lock);
	folio->first = first;
	folio->last = first + n - 1;
	atomic_store_explicit(&folio->partly, false, memory_order_relaxed);
	atomic_store_explicit(&folio->refs, 1, memory_order_release);
	return folio;
}

static void put(struct worker *worker, struct folio *folio)
{
	struct family *family = worker->family;

	if (atomic_fetch_sub(&folio->refs, 1) > 1)
		return;
	stress_assert(mapcount(worker, folio) == 0, "a folio is freed that is mapped");
	pthread_mutex_lock(&family->lock);
	family->frames += (int)pages(folio);
	family->free[family->free_n++] = folio;
	pthread_mutex_unlock(&family->lock);
}

/* --- ptes: under the lock of their mm ----------------------------------------------------------- */

static void note(struct worker *worker, struct folio *folio, int result, const char *what)
{
	stress_assert(result >= 0, "%s failed: %s", what, strerror(-result));
	if (result & RMAP_FIRST) {
		worker->firsts++;
		atomic_fetch_add(&folio->refs, 1);
	}
	if (result & RMAP_LAST) {
		worker->lasts++;
		put(worker, folio);
	}
}

static void add(struct worker *worker, struct folio *folio, unsigned n)
{
	int result;

	rmap_read_lock(worker->family->map);
	result = rmap_page_add(worker->thread->reserve, &folio->rmap, rmap_linear_many(n));
	rmap_read_unlock(worker->family->map);
	note(worker, folio, result, "an add");
}

static void drop(struct worker *worker, struct folio *folio, unsigned n)
{
	int result;

	if (n < pages(folio))
		atomic_store_explicit(&folio->partly, true, memory_order_relaxed);
	rmap_read_lock(worker->family->map);
	result = rmap_page_remove(worker->thread->reserve, &folio->rmap, rmap_linear_many(n));
	rmap_read_unlock(worker->family->map);
	note(worker, folio, result, "a remove");
}

/* How many slots from @slot on, at most @n, map what @slot maps, and as it does. */
static unsigned run_of(const struct mm *mm, unsigned slot, unsigned n)
{
	const struct pte *pte = &mm->ptes[slot];
	unsigned run = 1;

	while (run < n && pte[run].folio == pte->folio && pte[run].moving == pte->moving)
		run++;
	return run;
}

static bool is_whole(const struct mm *mm, unsigned slot)
{
	return mm->whole >> slot / GROUP & 1;
}

static void take_apart(struct worker *worker, struct mm *mm, unsigned slot)
{
	worker->done[APART] += is_whole(mm, slot);
	mm->whole &= ~(1u << slot / GROUP);
}

/* An entry that stands for more than these slots is taken apart. */
static void zap(struct worker *worker, struct mm *mm, unsigned slot, unsigned n)
{
	unsigned end = slot + n, run;

	for (; slot < end; slot += run) {
		struct folio *folio = mm->ptes[slot].folio;

		run = run_of(mm, slot, end - slot);
		if (!folio)
			continue;
		for (unsigned i = slot; i < slot + run; i++)
			mm->ptes[i] = (struct pte){ NULL, 0, false };
		if (run < GROUP)
			take_apart(worker, mm, slot);
		mm->whole &= ~(1u << slot / GROUP);
		drop(worker, folio, run);
	}
}

/* @folio is new; the slots of its indexes are empty, and get what its words are. */
static void map_folio(struct worker *worker, struct mm *mm, struct folio *folio)
{
	for (unsigned i = 0; i < pages(folio); i++)
		mm->ptes[folio->first + i] = (struct pte){ folio, folio->words[i], false };
	if (pages(folio) == GROUP)
		mm->whole |= 1u << folio->first / GROUP;
	add(worker, folio, pages(folio));
}

static bool is_empty(const struct mm *mm, unsigned slot, unsigned n)
{
	return !mm->ptes[slot].folio && run_of(mm, slot, n) == n;
}

/* As large a folio as there is room and memory for, of an order up to @order. False: there is no memory. */
static bool map_new(struct worker *worker, struct mm *mm, unsigned slot, unsigned order)
{
	for (unsigned n = 1u << order; n > 0; n /= 2) {
		unsigned first = slot / n * n;
		struct folio *folio = is_empty(mm, first, n) ? take_folio(worker->family, first, n, false) : NULL;

		if (!folio)
			continue;
		for (unsigned i = 0; i < n; i++)
			folio->words[i] = stress_random(worker->thread);
		map_folio(worker, mm, folio);
		worker->done[WHOLE] += n == GROUP;
		put(worker, folio);
		return true;
	}
	return false;
}

static void check_word(const struct mm *mm, unsigned slot)
{
	const struct pte *pte = &mm->ptes[slot];

	stress_assert(slot >= pte->folio->first && slot <= pte->folio->last, "slot %u maps another's folio", slot);
	stress_assert(pte->folio->words[slot - pte->folio->first] == pte->word,
		      "an access at slot %u finds what was not written there", slot);
}

/*
 * Nobody else maps the folio of @slot: its mapcount is how many of the slots here do. While it is locked it may be new,
 * and others have moving ptes that are to map it.
 */
static bool is_alone(const struct worker *worker, const struct mm *mm, unsigned slot)
{
	struct folio *folio = mm->ptes[slot].folio;
	uint32_t others;

	if (pthread_mutex_trylock(&folio->lock))
		return false;
	others = mapcount(worker, folio);
	pthread_mutex_unlock(&folio->lock);
	for (uint64_t i = folio->first; i <= folio->last; i++)
		others -= mm->ptes[i].folio == folio;
	return others == 0;
}

/* False: there is no memory for a copy. */
static bool write_word(struct worker *worker, struct mm *mm, unsigned slot)
{
	struct pte *pte = &mm->ptes[slot];
	struct folio *copy;

	if (!is_alone(worker, mm, slot)) {
		copy = take_folio(worker->family, slot, 1, false);
		if (!copy)
			return false;
		copy->words[0] = pte->word;
		zap(worker, mm, slot, 1);
		map_folio(worker, mm, copy);
		worker->done[COPIES]++;
		put(worker, copy);
	}
	pte->word = stress_random(worker->thread);
	pte->folio->words[slot - pte->folio->first] = pte->word;
	return true;
}

/* --- walks ------------------------------------------------------------------------------------ */

/* @visit: of slots @slot .. @slot + @n - 1 of @mm, of which some may map the folio; @seen: of each mm, a bit each */
struct look {
	struct worker *worker;
	struct folio *folio;
	void (*visit)(struct look *look, struct mm *mm, unsigned slot, unsigned n);
	uint64_t seen[MMS];
	uint32_t changed;
	struct folio *parts[GROUP];
};

static int see(void *arg, const struct rmap_visit *visit)
{
	struct look *look = arg;
	struct mm *mm = &look->worker->family->mms[visit->range.owner];
	uint64_t index = rmap_range_index(&visit->range, visit->address);

	stress_assert(visit->kind == RMAP_LINEAR && index >= look->folio->first &&
			      index + visit->count - 1 <= look->folio->last,
		      "a visit is of %" PRIu64 " and %" PRIu32 " more, the folio's are %" PRIu64 " to %" PRIu64, index,
		      visit->count - 1, look->folio->first, look->folio->last);
	stress_assert(rmap_range_address(&mm->range, index) == visit->address, "a visit has another's address");
	look->visit(look, mm, (unsigned)index, visit->count);
	return 0;
}

static void walk(struct look *look)
{
	struct family *family = look->worker->family;
	struct rmap_target target = { &look->folio->rmap, family->object, look->folio->first, look->folio->last };
	struct rmap_visit visits[3];
	struct rmap_cursor cursor;
	size_t n;

	if (stress_one_in(look->worker->thread, 2)) {
		rmap_read_lock(family->map);
		stress_walk_page(family->map, &target, see, look, NULL);
		rmap_read_unlock(family->map);
		return;
	}
	rmap_cursor_init(&cursor, family->map, &target);
	cursor.rounds_max = UINT32_MAX;
	while ((n = rmap_cursor_next(&cursor, visits, 3)) > 0)
		for (size_t i = 0; i < n; i++)
			see(look, &visits[i]);
}

static void only_see(struct look *look, struct mm *mm, unsigned slot, unsigned n)
{
	for (unsigned i = slot; i < slot + n; i++)
		look->seen[mm->range.owner] |= UINT64_C(1) << i;
}

/* While @mm is locked its ptes stay: a walk comes by all of them that map the folio. */
static void walk_locked(struct worker *worker, struct mm *mm, unsigned slot)
{
	struct look look = { .worker = worker, .visit = only_see };

	pthread_mutex_lock(&mm->lock);
	look.folio = mm->ptes[slot].folio;
	if (look.folio)
		walk(&look);
	for (unsigned i = 0; look.folio && i < SLOTS; i++)
		stress_assert(mm->ptes[i].folio != look.folio || look.seen[mm->range.owner] >> i & 1,
			      "G3: a walk of a folio of %" PRIu64 " to %" PRIu64 " missed index %u", look.folio->first,
			      look.folio->last, i);
	pthread_mutex_unlock(&mm->lock);
}

/* --- split and migration ------------------------------------------------------------------------ */

static void start_moving(struct look *look, struct mm *mm, unsigned slot, unsigned n)
{
	pthread_mutex_lock(&mm->lock);
	for (unsigned i = slot; i < slot + n; i++) {
		struct pte *pte = &mm->ptes[i];

		if (pte->folio != look->folio)
			continue;
		look->changed += !pte->moving;
		pte->moving = true;
		look->seen[mm->range.owner] |= UINT64_C(1) << i;
	}
	pthread_mutex_unlock(&mm->lock);
}

static void stop_moving(struct look *look, struct mm *mm, unsigned slot, unsigned n)
{
	pthread_mutex_lock(&mm->lock);
	for (unsigned i = slot; i < slot + n; i++)
		if (mm->ptes[i].folio == look->folio)
			mm->ptes[i].moving = false;
	pthread_mutex_unlock(&mm->lock);
}

static void renew(struct look *look, struct mm *mm, unsigned slot, unsigned n)
{
	pthread_mutex_lock(&mm->lock);
	for (unsigned i = slot, run; i < slot + n; i += run) {
		struct folio *new = look->parts[i - look->folio->first];

		run = 1;
		if (mm->ptes[i].folio != look->folio)
			continue;
		stress_assert(new && mm->ptes[i].moving, "a folio of moving ptes has gained a mapping");
		for (run = 0; i + run < slot + n && look->parts[i + run - look->folio->first] == new &&
			      mm->ptes[i + run].folio == look->folio;
		     run++)
			mm->ptes[i + run] = (struct pte){ new, mm->ptes[i + run].word, false };
		if (pages(new) < GROUP)
			take_apart(look->worker, mm, i);
		add(look->worker, new, run);
		drop(look->worker, look->folio, run);
	}
	pthread_mutex_unlock(&mm->lock);
}

/* Are all ptes of the locked folio moving, and is there one? Then @look->seen are these. */
static bool all_moving(struct look *look)
{
	look->visit = start_moving;
	for (unsigned i = 0; i < ROUNDS_MAX; i++) {
		uint32_t mapped = mapcount(look->worker, look->folio), there = 0;

		memset(look->seen, 0, sizeof(look->seen));
		look->changed = 0;
		walk(look);
		for (unsigned m = 0; m < MMS; m++)
			there += (uint32_t)__builtin_popcountll(look->seen[m]);
		if (look->changed == 0 && there == mapped)
			return there > 0;
		stress_perturb(look->worker->thread);
	}
	look->visit = stop_moving;
	walk(look);
	return false;
}

/* New folios of @n pages, locked, in the place of those of which somebody maps something. */
static void make_parts(struct look *look, unsigned n)
{
	struct folio *folio = look->folio;
	uint64_t mapped = 0;

	for (unsigned m = 0; m < MMS; m++)
		mapped |= look->seen[m];
	for (unsigned i = 0; i < pages(folio); i += n) {
		struct folio *part = NULL;

		if (mapped >> (folio->first + i) & ((1u << n) - 1)) {
			part = take_folio(look->worker->family, folio->first + i, n, true);
			/* Who was misled by a hint of its life before has it for a moment. */
			while (pthread_mutex_trylock(&part->lock))
				sched_yield();
			memcpy(part->words, folio->words + i, n * sizeof(*part->words));
		}
		for (unsigned j = i; j < i + n; j++)
			look->parts[j] = part;
		look->worker->done[GIVEN_BACK] += part ? 0 : n;
	}
}

/* Into folios of @n pages. The caller has a reference, and has it locked. */
static bool split(struct worker *worker, struct folio *folio, unsigned n)
{
	struct look look = { .worker = worker, .folio = folio };

	if (!count(worker, n == pages(folio) ? MIGRATIONS : SPLITS, all_moving(&look)))
		return false;
	make_parts(&look, n);
	stress_perturb(worker->thread);
	look.visit = renew;
	walk(&look);
	stress_assert(mapcount(worker, folio) == 0, "G3: a walk missed moving ptes, %" PRIu32 " of them",
		      mapcount(worker, folio));
	for (unsigned i = 0; i < pages(folio); i += n) {
		if (!look.parts[i])
			continue;
		pthread_mutex_unlock(&look.parts[i]->lock);
		put(worker, look.parts[i]);
	}
	return true;
}

static void split_or_migrate(struct worker *worker, struct mm *mm, unsigned slot)
{
	struct folio *folio;
	unsigned n;

	pthread_mutex_lock(&mm->lock);
	folio = mm->ptes[slot].folio;
	if (folio)
		atomic_fetch_add(&folio->refs, 1);
	pthread_mutex_unlock(&mm->lock);
	if (!folio)
		return;
	n = pages(folio) >> stress_below(worker->thread, ORDER_MAX + 1);
	pthread_mutex_lock(&folio->lock);
	split(worker, folio, n > 0 ? n : 1);
	pthread_mutex_unlock(&folio->lock);
	put(worker, folio);
}

/* Of one folio, if there is one, the parts that nobody maps are given back. */
static void reclaim(struct worker *worker)
{
	struct family *family = worker->family;
	unsigned start = stress_below(worker->thread, FOLIOS);

	for (unsigned i = 0; i < FOLIOS; i++) {
		struct folio *folio = &family->folios[(start + i) % FOLIOS];

		if (!atomic_load_explicit(&folio->partly, memory_order_relaxed) || !stress_get(&folio->refs))
			continue;
		pthread_mutex_lock(&folio->lock);
		atomic_store_explicit(&folio->partly, false, memory_order_relaxed);
		if (pages(folio) > 1 && !split(worker, folio, 1))
			atomic_store_explicit(&folio->partly, true, memory_order_relaxed);
		pthread_mutex_unlock(&folio->lock);
		put(worker, folio);
		return;
	}
}

/* --- operations --------------------------------------------------------------------------------- */

static void fault(struct worker *worker, struct mm *mm, unsigned slot, bool write)
{
	unsigned order = stress_below(worker->thread, ORDER_MAX + 1);
	struct pte *pte = &mm->ptes[slot];
	bool done = true;

	pthread_mutex_lock(&mm->lock);
	if (!pte->folio)
		done = map_new(worker, mm, slot, order);
	else if (!pte->moving && write)
		done = write_word(worker, mm, slot);
	if (pte->folio && !pte->moving)
		check_word(mm, slot);
	pthread_mutex_unlock(&mm->lock);
	if (!count(worker, FAULTS, done))
		reclaim(worker);
}

static void munmap_some(struct worker *worker, struct mm *mm, unsigned slot)
{
	unsigned n = 1 + stress_below(worker->thread, 20);

	pthread_mutex_lock(&mm->lock);
	zap(worker, mm, slot, n < SLOTS - slot ? n : SLOTS - slot);
	pthread_mutex_unlock(&mm->lock);
}

/* What nobody wrote yet is fresh. False: something is moving. */
static bool gather(struct worker *worker, const struct mm *mm, unsigned first, struct folio *folio)
{
	for (unsigned i = 0; i < GROUP; i++) {
		const struct pte *pte = &mm->ptes[first + i];

		if (pte->moving)
			return false;
		if (pte->folio)
			check_word(mm, first + i);
		folio->words[i] = pte->folio ? pte->word : stress_random(worker->thread);
	}
	return true;
}

static void collapse(struct worker *worker, struct mm *mm, unsigned slot)
{
	unsigned first = slot / GROUP * GROUP;
	struct folio *folio = take_folio(worker->family, first, GROUP, false);
	bool done;

	if (!folio) {
		count(worker, COLLAPSES, false);
		return;
	}
	pthread_mutex_lock(&mm->lock);
	done = !is_whole(mm, first) && !is_empty(mm, first, GROUP) && gather(worker, mm, first, folio);
	if (done) {
		zap(worker, mm, first, GROUP);
		map_folio(worker, mm, folio);
	}
	pthread_mutex_unlock(&mm->lock);
	count(worker, COLLAPSES, done);
	put(worker, folio);
}

/* A vma cannot end inside an entry. */
static void cut_or_mend(struct worker *worker, struct mm *mm, unsigned slot)
{
	if (slot == 0 || pthread_mutex_trylock(&mm->vmas))
		return;
	if (!mm->cut && slot % GROUP) {
		pthread_mutex_lock(&mm->lock);
		take_apart(worker, mm, slot);
		pthread_mutex_unlock(&mm->lock);
	}
	stress_cut_or_mend(worker->family->object, &mm->range, &mm->cut, slot);
	pthread_mutex_unlock(&mm->vmas);
}

/* --- fork and exit ------------------------------------------------------------------------------ */

/* Of how many slots this was. 0: they are moving. Both are locked. */
static unsigned copy_run(struct worker *worker, struct mm *parent, struct mm *child, unsigned slot)
{
	struct pte *pte = &parent->ptes[slot];
	unsigned run = run_of(parent, slot, SLOTS - slot);

	if (!pte->folio || pte->moving)
		return pte->folio ? 0 : run;
	memcpy(&child->ptes[slot], pte, run * sizeof(*pte));
	if (run == GROUP)
		child->whole |= parent->whole & 1u << slot / GROUP;
	add(worker, pte->folio, run);
	return run;
}

static void copy_ptes(struct worker *worker, struct mm *parent, struct mm *child)
{
	struct mm *first = parent < child ? parent : child, *second = parent < child ? child : parent;

	for (unsigned slot = 0, run; slot < SLOTS; slot += run) {
		pthread_mutex_lock(&first->lock);
		pthread_mutex_lock(&second->lock);
		run = copy_run(worker, parent, child, slot);
		pthread_mutex_unlock(&second->lock);
		pthread_mutex_unlock(&first->lock);
		if (run == 0)
			sched_yield();
		stress_perturb(worker->thread);
	}
}

static void attach(struct family *family, struct mm *mm)
{
	int result = rmap_object_attach(family->object, &mm->range);

	stress_assert(result == 0, "a range could not be attached: %s", strerror(-result));
	mm->alive = true;
}

static void fork_into(struct worker *worker, struct mm *parent, struct mm *child)
{
	if (pthread_rwlock_trywrlock(&child->use))
		return;
	if (!child->alive) {
		attach(worker->family, child);
		copy_ptes(worker, parent, child);
		worker->done[FORKS]++;
	}
	pthread_rwlock_unlock(&child->use);
}

/* The first one stays, so that there is one to fork. */
static void exit_mm(struct worker *worker, struct mm *mm)
{
	int result;

	pthread_mutex_lock(&mm->lock);
	zap(worker, mm, 0, SLOTS);
	pthread_mutex_unlock(&mm->lock);
	if (mm == worker->family->mms)
		return;
	if (mm->cut)
		stress_cut_or_mend(worker->family->object, &mm->range, &mm->cut, 0);
	result = rmap_object_detach(worker->family->object, &mm->range);
	stress_assert(result == 0, "a range could not be detached: %s", strerror(-result));
	mm->alive = false;
}

/* --- running ---------------------------------------------------------------------------------- */

static void operate(struct worker *worker, struct mm *mm)
{
	struct stress_thread *thread = worker->thread;
	unsigned drawn = stress_below(thread, 1000), slot = stress_below(thread, SLOTS);

	if (drawn < 550)
		fault(worker, mm, slot, stress_one_in(thread, 2));
	else if (drawn < 700)
		munmap_some(worker, mm, slot);
	else if (drawn < 800)
		split_or_migrate(worker, mm, slot);
	else if (drawn < 850)
		collapse(worker, mm, slot);
	else if (drawn < 900)
		walk_locked(worker, mm, slot);
	else if (drawn < 950)
		cut_or_mend(worker, mm, slot);
	else
		fork_into(worker, mm, &worker->family->mms[stress_below(thread, MMS)]);
}

static void step(struct worker *worker)
{
	struct mm *mm = &worker->family->mms[stress_below(worker->thread, MMS)];
	bool exits = stress_one_in(worker->thread, 50);

	stress_assert(rmap_reserve_fill(worker->thread->reserve, 1) == 0, "a fill failed");
	if (exits ? pthread_rwlock_trywrlock(&mm->use) : pthread_rwlock_tryrdlock(&mm->use))
		return;
	if (mm->alive && exits)
		exit_mm(worker, mm);
	else if (mm->alive)
		operate(worker, mm);
	pthread_rwlock_unlock(&mm->use);
}

/* What the page tables say of the folio with the number @n. */
struct mapped {
	unsigned ptes[FOLIOS];
	uint64_t slots[FOLIOS];
};

static void check_mm(const struct family *family, const struct mm *mm, struct mapped *mapped)
{
	for (unsigned i = 0; i < SLOTS; i++) {
		const struct pte *pte = &mm->ptes[i];

		stress_assert(!pte->folio || mm->alive, "an exited mm maps something");
		stress_assert(!pte->moving, "a pte was left moving");
		stress_assert(!is_whole(mm, i) || (pte->folio && pages(pte->folio) == GROUP &&
						   pte->folio == mm->ptes[i / GROUP * GROUP].folio),
			      "an entry stands for what is not one folio");
		if (!pte->folio)
			continue;
		check_word(mm, i);
		mapped->ptes[pte->folio - family->folios]++;
		mapped->slots[pte->folio - family->folios] |= UINT64_C(1) << i;
	}
}

/* Visits of a folio's parts that the page tables say somebody maps. */
static void see_parts(struct look *look, struct mm *mm, unsigned slot, unsigned n)
{
	for (unsigned i = slot; i < slot + n; i++)
		if (mm->ptes[i].folio == look->folio)
			look->seen[0] |= UINT64_C(1) << i;
}

static void check_folio(struct worker *worker, struct folio *folio, unsigned ptes, uint64_t slots)
{
	struct look look = { .worker = worker, .folio = folio, .visit = see_parts };

	stress_assert(rmap_page_check(worker->family->map, &folio->rmap, NULL) == 0, "a folio does not check");
	stress_assert(mapcount(worker, folio) == ptes,
		      "G4: a folio of %u pages is mapped by %u ptes and counts %" PRIu32, pages(folio), ptes,
		      mapcount(worker, folio));
	stress_assert(atomic_load(&folio->refs) == (ptes > 0), "G5: a folio has %u ptes and %" PRIu32 " references",
		      ptes, atomic_load(&folio->refs));
	if (ptes == 0)
		return;
	walk(&look);
	stress_assert(look.seen[0] == slots, "G3: a walk finds parts mapped that are not, or misses some");
}

static void check(struct stress_thread *thread, void *arg)
{
	struct family *family = arg;
	struct mapped *mapped = stress_zalloc(1, sizeof(*mapped));
	uint64_t told = 0, folios = 0;
	int frames = family->frames;

	for (struct mm *mm = family->mms; mm < family->mms + MMS; mm++)
		check_mm(family, mm, mapped);
	rmap_read_lock(family->map);
	for (unsigned i = 0; i < FOLIOS; i++) {
		struct folio *folio = &family->folios[i];

		check_folio(&family->workers[thread->id], folio, mapped->ptes[i], mapped->slots[i]);
		folios += mapped->ptes[i] > 0;
		frames += mapped->ptes[i] > 0 ? (int)pages(folio) : 0;
	}
	stress_assert(rmap_object_check(family->object) == 0, "the family does not check");
	rmap_read_unlock(family->map);
	for (unsigned i = 0; i < thread->stress->threads; i++)
		told += family->workers[i].firsts - family->workers[i].lasts;
	stress_assert(told == folios,
		      "G5: %" PRIu64 " folios are mapped, and RMAP_FIRST was told %" PRIu64 " times more", folios,
		      told);
	stress_assert(frames == (int)FRAMES, "of %u frames %d are accounted for", FRAMES, frames);
	free(mapped);
}

static void body(struct stress_thread *thread, void *arg)
{
	struct family *family = arg;
	struct worker *worker = &family->workers[thread->id];

	worker->thread = thread;
	worker->family = family;
	while (stress_round(thread))
		while (stress_next(thread))
			step(worker);
	if (thread->id)
		return;
	for (struct mm *mm = family->mms; mm < family->mms + MMS; mm++)
		if (mm->alive)
			exit_mm(worker, mm);
}

static void family_init(struct family *family)
{
	family->frames = (int)FRAMES;
	pthread_mutex_init(&family->lock, NULL);
	for (unsigned i = 0; i < FOLIOS; i++) {
		pthread_mutex_init(&family->folios[i].lock, NULL);
		family->free[family->free_n++] = &family->folios[i];
	}
	for (unsigned i = 0; i < MMS; i++) {
		struct mm *mm = &family->mms[i];

		pthread_rwlock_init(&mm->use, NULL);
		pthread_mutex_init(&mm->lock, NULL);
		pthread_mutex_init(&mm->vmas, NULL);
		mm->range = (struct rmap_range){
			.last = SLOTS - 1, .address = (uint64_t)(i + 1) << 32, .owner = i, .page_shift = SHIFT
		};
	}
	attach(family, family->mms);
}

static void report(const struct family *family, unsigned threads)
{
	static const char *const names[WHATS] = { "splits", "migrations", "collapses",	 "forks",      "faults",
						  "whole",  "copies",	  "taken apart", "given back" };

	for (unsigned what = 0; what < WHATS; what++) {
		uint64_t done = 0, refused = 0;

		for (unsigned i = 0; i < threads; i++) {
			done += family->workers[i].done[what];
			refused += family->workers[i].refused[what];
		}
		printf("  %s: %" PRIu64 ", refused %" PRIu64 "\n", names[what], done, refused);
	}
}

static void run(struct stress *stress)
{
	struct family *family = stress_zalloc(1, sizeof(*family));
	struct stress_map map;
	struct stress_plan plan = { .body = body, .check = check, .arg = family };

	family->workers = stress_zalloc(stress->threads, sizeof(*family->workers));
	stress_map_init(&map, NULL, false);
	family->map = plan.map = map.map;
	stress_assert(rmap_object_create(family->map, &family->object) == 0, "no object");
	rmap_thread_register(family->map);
	family_init(family);
	rmap_thread_unregister(family->map);
	stress_run(stress, &plan);
	report(family, stress->threads);
	rmap_thread_register(family->map);
	rmap_object_detach(family->object, &family->mms[0].range);
	rmap_thread_unregister(family->map);
	rmap_object_destroy(family->object);
	stress_map_fini(&map, "the map");
	free(family->workers);
	free(family);
}

const struct stress_test stress_huge = {
	"huge", "anonymous folios are mapped whole and in parts, forked, split, migrated, collapsed", run, false
};
