/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * differential.c - long random sequences of operations against the plain reference
 *
 * An *actor* draws operations at random - add, remove, move, duplicate, lock, unlock, batches, walk, cursor, drop -
 * does each on the library and on its reference, and compares what they answer. Its chains breathe: a target length is
 * drawn again and again, and adds or removes are preferred until it is reached, so that growth, shrinking and collapse
 * come in every order. Alone, the actor compares whole pages after each step. Several at a time share pages but not
 * handles: then each knows its own part exactly, also while the others run, and at barriers the union of all references
 * is compared. In a plain map a pte is added once: checked builds refuse more, and the others show that two are two.
 *
 * RMAP_SEED repeats a run (a run of one thread exactly), RMAP_SCALE makes all of it longer or shorter.
 */
#include "support.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PAGES 3u
#define ACTORS 4u
#define BATCH 24u
#define RANGES 12u
#define MANY 3u /* linear or locked mappings at once */

struct actor {
	struct rmap *map;
	struct rmap_reserve *reserve;
	struct generator generator;
	struct rmap_page *pages;
	struct reference references[PAGES];
	size_t target[PAGES];
	uint64_t base;     /* of its handles: the top 16 bits tell actors apart */
	unsigned shift;    /* between two handles */
	uint64_t universe; /* how many handles it may use a page */
	bool alone;
	struct rmap_object *object; /* of pages 0, 1, 2 at indexes 0, 1, 2; alone only */
	struct rmap_range ranges[RANGES];
	unsigned range_count;
	uint64_t owners;                      /* so far: no two ranges are equal */
	int64_t present[PAGES], locks[PAGES]; /* FIRST less LAST, FIRST_LOCK less LAST_LOCK, that it was told */
	struct crew *crew;
};

/* struct crew - actors that share pages, and where they meet */
struct crew {
	struct rmap_page pages[PAGES];
	struct actor actors[ACTORS];
	pthread_barrier_t barrier;
	unsigned meetings;
	uint64_t steps;
};

static uint64_t draw(struct actor *actor, uint64_t n)
{
	return generator_below(&actor->generator, n);
}

static struct rmap_mapping random_mapping(struct actor *actor)
{
	uint64_t kind = draw(actor, 20);

	if (kind < 2)
		return rmap_linear_many(1 + (uint32_t)draw(actor, MANY));
	if (kind < 4)
		return rmap_locked_many(1 + (uint32_t)draw(actor, MANY));
	if (kind < 6)
		return rmap_named(actor->base + (draw(actor, actor->universe) << actor->shift));
	return rmap_chained(actor->base + (draw(actor, actor->universe) << actor->shift));
}

/* A mapping that the actor has on page @p, most of the time; sometimes one that may not be there. */
static struct rmap_mapping present_mapping(struct actor *actor, unsigned p)
{
	const struct reference *reference = &actor->references[p];
	uint64_t mapcount = reference_mapcount(reference), i;

	if (!mapcount || draw(actor, 16) == 0)
		return random_mapping(actor);
	if (reference->n && draw(actor, 4)) {
		i = draw(actor, reference->n);
		return rmap_chained(reference->entries[i].key);
	}
	if (reference->linear && draw(actor, 2))
		return rmap_linear_many(1 + (uint32_t)draw(actor, reference->linear < MANY ? reference->linear : MANY));
	if (reference->locked)
		return rmap_locked_many(1 + (uint32_t)draw(actor, reference->locked < MANY ? reference->locked : MANY));
	return reference->linear ? rmap_linear() : rmap_chained(reference->entries[0].key);
}

/*
 * Compares what the library answered with the reference. Beside other actors the events are theirs as well, but for two
 * things: what this actor has is there, and what it has not, of chained ones, is not.
 */
static void same_answer(struct actor *actor, unsigned p, int rc, int wanted)
{
	if (actor->alone)
		expect(rc == wanted);
	expect((rc < 0) == (wanted < 0));
	if (rc < 0) {
		expect(rc == wanted);
		return;
	}
	actor->present[p] += (rc & RMAP_FIRST) != 0;
	actor->present[p] -= (rc & RMAP_LAST) != 0;
	actor->locks[p] += (rc & RMAP_FIRST_LOCK) != 0;
	actor->locks[p] -= (rc & RMAP_LAST_LOCK) != 0;
}

/*
 * Linear and locked mappings have no owner: beside others an actor takes back no more than it put there itself, and
 * none by a name that may be another's by now.
 */
static bool not_mine(const struct actor *actor, unsigned p, struct rmap_mapping mapping)
{
	if (actor->alone || mapping.kind == RMAP_CHAINED)
		return false;
	if (mapping.kind == RMAP_NAMED)
		return true;
	return mapping.count >
	       (mapping.kind == RMAP_LINEAR ? actor->references[p].linear : actor->references[p].locked);
}

/* In a checked build, a second mapping of one pte. */
static bool is_refused(const struct actor *actor, unsigned p, struct rmap_mapping mapping)
{
	const struct reference *reference = &actor->references[p];

	if (!CHECKED || reference->bits)
		return false;
	if (mapping.kind == RMAP_NAMED)
		return reference->name == (mapping.handle | 1);
	return mapping.kind == RMAP_CHAINED && reference_count(reference, mapping.handle) > 0;
}

static bool is_counted(struct rmap_mapping mapping)
{
	return mapping.kind == RMAP_LINEAR || mapping.kind == RMAP_LOCKED;
}

static void step_add(struct actor *actor, unsigned p)
{
	struct rmap_mapping mapping = random_mapping(actor);
	int rc;

	if (is_refused(actor, p, mapping))
		return;
	rmap_read_lock(actor->map);
	rc = rmap_page_add(actor->reserve, &actor->pages[p], mapping);
	rmap_read_unlock(actor->map);
	same_answer(actor, p, rc, reference_add(&actor->references[p], mapping));
}

static void step_remove(struct actor *actor, unsigned p)
{
	struct rmap_mapping mapping = present_mapping(actor, p);
	int rc;

	if (not_mine(actor, p, mapping))
		return;
	rmap_read_lock(actor->map);
	rc = rmap_page_remove(actor->reserve, &actor->pages[p], mapping);
	rmap_read_unlock(actor->map);
	same_answer(actor, p, rc, reference_remove(&actor->references[p], mapping));
}

/* mremap, and mlock and munlock as moves to and from locked ones. */
static void step_move(struct actor *actor, unsigned p)
{
	struct rmap_mapping from = present_mapping(actor, p), to = random_mapping(actor);
	int rc;

	if (is_counted(from) && is_counted(to))
		to.count = from.count;
	else if (is_counted(from))
		from.count = 1;
	else if (is_counted(to))
		to.count = 1;
	if (not_mine(actor, p, from) || is_refused(actor, p, to))
		return;
	rmap_read_lock(actor->map);
	if (to.kind == RMAP_LOCKED)
		rc = rmap_page_lock(actor->reserve, &actor->pages[p], from);
	else if (from.kind == RMAP_LOCKED)
		rc = rmap_page_unlock(actor->reserve, &actor->pages[p], to);
	else
		rc = rmap_page_move(actor->reserve, &actor->pages[p], from, to);
	rmap_read_unlock(actor->map);
	same_answer(actor, p, rc, reference_move(&actor->references[p], from, to));
}

static void step_duplicate(struct actor *actor, unsigned p)
{
	struct rmap_mapping child = draw(actor, 2) ? present_mapping(actor, p) : random_mapping(actor);
	int rc;

	if (is_refused(actor, p, child))
		return;
	if (!reference_mapcount(&actor->references[p])) {
		if (!actor->alone)
			return; /* others may have mappings, or not */
		rmap_read_lock(actor->map);
		expect(rmap_page_duplicate(actor->reserve, &actor->pages[p], child) == -ENOENT);
		rmap_read_unlock(actor->map);
		return;
	}
	rmap_read_lock(actor->map);
	rc = rmap_page_duplicate(actor->reserve, &actor->pages[p], child);
	rmap_read_unlock(actor->map);
	same_answer(actor, p, rc, reference_add(&actor->references[p], child));
}

/* Does @i name a pte of its page that stands in the batch before it? */
static bool is_repeated(struct rmap_page *const *pages, const struct rmap_mapping *mappings, size_t i)
{
	for (size_t j = 0; j < i; j++)
		if (pages[j] == pages[i] && mappings[j].handle == mappings[i].handle)
			return true;
	return false;
}

/* Over all pages in turn; adds, or removes up to the first that is missing. */
static void step_batch(struct actor *actor, bool add)
{
	struct rmap_page *pages[BATCH];
	struct rmap_mapping mappings[BATCH];
	int events[BATCH], error = 1, wanted = 0;
	size_t n = draw(actor, BATCH + 1), done, i;
	unsigned first = (unsigned)draw(actor, PAGES);

	for (i = 0; i < n; i++) {
		unsigned p = (unsigned)(first + i) % PAGES;

		pages[i] = &actor->pages[p];
		/*
		 * Not twice the same from a snapshot of the reference: what is drawn may repeat, and then is missing.
		 */
		mappings[i] = add ? random_mapping(actor) : present_mapping(actor, p);
		if (!add && !actor->alone && mappings[i].kind != RMAP_CHAINED)
			mappings[i] = rmap_chained(actor->base + (draw(actor, actor->universe) << actor->shift));
		if (add && CHECKED && (is_refused(actor, p, mappings[i]) || is_repeated(pages, mappings, i)))
			mappings[i] = rmap_linear();
	}
	rmap_read_lock(actor->map);
	if (add)
		done = rmap_page_add_batch(actor->reserve, pages, mappings, events, n, &error);
	else
		done = rmap_page_remove_batch(actor->reserve, pages, mappings, events, n, &error);
	rmap_read_unlock(actor->map);
	expect(done <= n);
	for (i = 0; i < done; i++) {
		unsigned p = (unsigned)(pages[i] - actor->pages);

		wanted = add ? reference_add(&actor->references[p], mappings[i])
			     : reference_remove(&actor->references[p], mappings[i]);
		same_answer(actor, p, events[i], wanted);
	}
	expect((done == n) == (error == 0));
	if (done < n)
		expect(!add &&
		       error == reference_remove(&actor->references[pages[done] - actor->pages], mappings[done]));
}

/* What a walk beside others found of the actor's own: as a reference, in which repeats add up. */
struct own {
	struct actor *actor;
	const struct reference *reference;
	struct reference seen;
};

static int see_own(void *arg, const struct rmap_visit *visit)
{
	struct own *own = arg;

	expect((visit->kind == RMAP_CHAINED || visit->kind == RMAP_NAMED) && visit->count >= 1);
	if (visit->handle >> 48 != own->actor->base >> 48)
		return 0;
	if (visit->kind == RMAP_NAMED) {
		expect(own->reference->name == (visit->handle | 1));
		return 0;
	}
	expect(reference_count(own->reference, visit->handle) > 0); /* nothing that was gone before the walk began */
	for (uint32_t i = 0; i < visit->count; i++)
		reference_add(&own->seen, rmap_chained(visit->handle));
	return 0;
}

/*
 * G3 for the actor's own mappings, which nobody else changes: all are seen, whatever the others do; by batches in one
 * section or in many, or by cursor.
 */
static void step_walk(struct actor *actor, unsigned p)
{
	const struct rmap_target target = { .page = &actor->pages[p] };
	const struct reference *reference = &actor->references[p];
	struct own own = { actor, reference, { 0 } };
	struct rmap_visit visits[7];
	struct rmap_cursor cursor;
	size_t n;

	reference_init(&own.seen, reference->bits);
	rmap_read_lock(actor->map);
	expect(rmap_page_mapcount(actor->map, &actor->pages[p]) >= reference_mapcount(reference));
	rmap_cursor_init(&cursor, actor->map, &target);
	cursor.rounds_max = UINT32_MAX; /* others move its mappings */
	if (draw(actor, 2))
		expect(cursor_walk(&cursor, see_own, &own) == 0);
	rmap_read_unlock(actor->map);
	if (own.seen.n == 0 && draw(actor, 2)) {
		rmap_cursor_init(&cursor, actor->map, &target);
		cursor.rounds_max = UINT32_MAX;
		expect(cursor_walk_apart(&cursor, actor->map, see_own, &own) == 0);
	} else if (own.seen.n == 0) {
		rmap_cursor_init(&cursor, actor->map, &target);
		cursor.rounds_max = UINT32_MAX;
		while ((n = rmap_cursor_next(&cursor, visits, 1 + draw(actor, LENGTH(visits)))) > 0) {
			for (size_t i = 0; i < n; i++)
				see_own(&own, &visits[i]);
		}
	}
	expect(own.seen.n == reference->n);
	for (size_t i = 0; i < reference->n; i++) {
		expect(own.seen.entries[i].key == reference->entries[i].key);
		expect(own.seen.entries[i].count >= reference->entries[i].count);
	}
	reference_fini(&own.seen);
}

static void step_drop(struct actor *actor, unsigned p)
{
	rmap_read_lock(actor->map);
	expect(rmap_page_drop(actor->reserve, &actor->pages[p]) == reference_mapcount(&actor->references[p]));
	rmap_read_unlock(actor->map);
	reference_clear(&actor->references[p]);
	actor->present[p] = actor->locks[p] = 0;
}

/* A range comes, goes, or is moved. */
static void step_range(struct actor *actor)
{
	struct rmap_range *range = &actor->ranges[draw(actor, actor->range_count + 1)];
	uint64_t address = (1 + draw(actor, 1000)) << 12;

	if (range == &actor->ranges[actor->range_count]) {
		if (actor->range_count == RANGES)
			return;
		*range = (struct rmap_range){ draw(actor, PAGES), 0, address, ++actor->owners, 12, 0 };
		range->last = range->first + draw(actor, PAGES);
		expect(rmap_object_attach(actor->object, range) == 0);
		actor->range_count++;
	} else if (draw(actor, 2) && address != range->address) {
		expect(rmap_object_move(actor->object, range, address) == 0);
		range->address = address;
	} else {
		expect(rmap_object_detach(actor->object, range) == 0);
		*range = actor->ranges[--actor->range_count];
	}
}

/* What a walk of page and object together found: which of the actor's ranges, and how many chained mappings. */
struct both {
	struct actor *actor;
	struct rmap_target target;
	uint64_t chained;
	uint64_t name;
	bool met[RANGES];
};

static int see_both(void *arg, const struct rmap_visit *visit)
{
	struct both *both = arg;
	uint64_t first;

	if (visit->kind == RMAP_CHAINED) {
		both->chained += visit->count;
		return 0;
	}
	if (visit->kind == RMAP_NAMED) {
		expect(both->name == 0);
		both->name = visit->handle | 1;
		return 0;
	}
	for (unsigned i = 0; i < both->actor->range_count; i++) {
		if (memcmp(&both->actor->ranges[i], &visit->range, sizeof(visit->range)))
			continue;
		expect(!both->met[i]);
		first = rmap_range_index(&visit->range, visit->address);
		expect(visit->address == rmap_range_address(&visit->range, first));
		for (uint64_t index = both->target.first; index <= both->target.last; index++)
			expect((index >= first && index < first + visit->count) ==
			       rmap_range_covers(&visit->range, index));
		both->met[i] = true;
		return 0;
	}
	expect(!"a range that is attached");
	return 0;
}

static void compare_ranges(struct actor *actor, unsigned p)
{
	const struct rmap_target target = { &actor->pages[p], actor->object, p, p + draw(actor, 2 * PAGES) };
	const struct reference *reference = &actor->references[p];
	struct both both = { .actor = actor, .target = target };
	struct rmap_visit visits[5];
	struct rmap_cursor cursor;
	size_t n;

	rmap_cursor_init(&cursor, actor->map, &target);
	switch (draw(actor, 3)) {
	case 0:
		rmap_read_lock(actor->map);
		expect(rmap_walk(actor->map, &target, see_both, &both, NULL) == 0);
		rmap_read_unlock(actor->map);
		break;
	case 1:
		expect(cursor_walk_apart(&cursor, actor->map, see_both, &both) == 0);
		break;
	default:
		while ((n = rmap_cursor_next(&cursor, visits, 1 + draw(actor, LENGTH(visits)))) > 0) {
			for (size_t i = 0; i < n; i++)
				see_both(&both, &visits[i]);
		}
	}
	expect(both.chained == reference->chained);
	expect(both.name == reference->name);
	/* Ranges are asked where something may be found in them. */
	for (unsigned i = 0; i < actor->range_count; i++)
		expect(both.met[i] == ((reference->linear || reference->locked) && !reference->name &&
				       actor->ranges[i].first <= target.last && actor->ranges[i].last >= target.first));
}

static void step(struct actor *actor)
{
	static const size_t targets[] = { 0, 0, 1, 2, 4, 10, 40, 150, 600 };
	unsigned p = (unsigned)draw(actor, PAGES);
	bool grow;

	expect(rmap_reserve_fill(actor->reserve, BATCH) == 0);
	grow = actor->references[p].n < actor->target[p];
	if (draw(actor, 300) == 0 || actor->references[p].n == actor->target[p])
		actor->target[p] = targets[draw(actor, LENGTH(targets))];
	switch (draw(actor, 12)) {
	case 0:
	case 1:
	case 2:
	case 3:
		if (grow)
			step_add(actor, p);
		else
			step_remove(actor, p);
		break;
	case 4:
		step_batch(actor, grow);
		break;
	case 5:
		step_add(actor, p);
		break;
	case 6:
		step_remove(actor, p);
		break;
	case 7:
	case 8:
		step_move(actor, p);
		break;
	case 9:
		step_duplicate(actor, p);
		break;
	case 10:
		if (draw(actor, 8) == 0)
			step_walk(actor, p);
		break;
	default:
		if (actor->alone)
			step_range(actor);
		if (actor->alone && draw(actor, 100) == 0)
			step_drop(actor, p);
	}
}

static void actor_init(struct actor *actor, struct fixture *fixture, struct rmap_page *pages, uint64_t seed,
		       unsigned number)
{
	memset(actor, 0, sizeof(*actor));
	actor->map = fixture->map;
	actor->generator.state = seed + number;
	actor->pages = pages;
	actor->base = ((uint64_t)number + 1) << 48;
	actor->shift = fixture->bits == 9 || seed % 2 ? 12 : 3;
	actor->universe = fixture->bits == 4 ? 3000 : 1200;
	for (unsigned p = 0; p < PAGES; p++)
		reference_init(&actor->references[p], fixture->bits);
}

static void actor_fini(struct actor *actor)
{
	for (unsigned p = 0; p < PAGES; p++)
		reference_fini(&actor->references[p]);
}

/* As fixture_init(), but the seed decides where elements go, too. */
static void seeded_init(struct fixture *fixture, unsigned bits, enum rmap_reclaim reclaim, uint64_t seed)
{
	struct rmap_options options = RMAP_OPTIONS_DEFAULT;

	options.multiplicity_bits = bits;
	options.reclaim = reclaim;
	options.waiting_max = 1 << 20;
	options.hash_seed = seed;
	fixture_init_with(fixture, options);
}

/* Alone: everything is known, so every answer and every page is compared in full after each step. */
static void alone_with(unsigned bits, enum rmap_reclaim reclaim)
{
	struct rmap_page pages[PAGES] = { { 0 }, { 0 }, { 0 } };
	const uint64_t steps = test_scaled(LONE(20000));
	const uint64_t seed = test_seed();
	struct fixture fixture;
	struct actor actor;

	seeded_init(&fixture, bits, reclaim, seed);
	actor_init(&actor, &fixture, pages, seed, 0);
	actor.reserve = fixture.reserve;
	actor.alone = true;
	expect(rmap_object_create(fixture.map, &actor.object) == 0);
	for (uint64_t i = 0; i < steps; i++) {
		step(&actor);
		for (unsigned p = 0; p < PAGES; p++) {
			expect(actor.present[p] == (reference_mapcount(&actor.references[p]) > 0));
			expect(actor.locks[p] == (actor.references[p].locked > 0));
			if (i % PAGES == p || actor.references[p].n < 16)
				reference_compare(&actor.references[p], fixture.map, &pages[p], draw(&actor, 9));
			if (i % PAGES == p)
				compare_ranges(&actor, p);
		}
	}
	for (unsigned p = 0; p < PAGES; p++)
		step_drop(&actor, p);
	rmap_object_destroy(actor.object);
	actor_fini(&actor);
	fixture_fini(&fixture);
}

/* The union of what all actors hold; one of them compares it while the others wait. */
static void compare_union(struct crew *crew)
{
	struct actor *first = &crew->actors[0];

	for (unsigned p = 0; p < PAGES; p++) {
		struct reference all;
		int64_t present = 0, locks = 0;

		reference_init(&all, first->references[p].bits);
		for (unsigned a = 0; a < ACTORS; a++) {
			reference_merge(&all, &crew->actors[a].references[p]);
			present += crew->actors[a].present[p];
			locks += crew->actors[a].locks[p];
		}
		reference_compare(&all, first->map, &crew->pages[p], 1 + draw(first, 20));
		expect(present == (reference_mapcount(&all) > 0)); /* G5: each event was told to exactly one */
		expect(locks == (all.locked > 0));
		if (draw(first, 6) == 0) {
			rmap_read_lock(first->map);
			expect(rmap_page_drop(first->reserve, &crew->pages[p]) == reference_mapcount(&all));
			rmap_read_unlock(first->map);
			for (unsigned a = 0; a < ACTORS; a++) {
				reference_clear(&crew->actors[a].references[p]);
				crew->actors[a].present[p] = crew->actors[a].locks[p] = 0;
			}
		}
		reference_fini(&all);
	}
}

static void *act(void *arg)
{
	struct actor *actor = arg;
	struct crew *crew = actor->crew;

	reader_register(actor->map);
	expect(rmap_reserve_create(actor->map, &actor->reserve) == 0);
	for (unsigned meeting = 0; meeting < crew->meetings; meeting++) {
		for (uint64_t i = 0; i < crew->steps; i++)
			step(actor);
		pthread_barrier_wait(&crew->barrier);
		if (actor == &crew->actors[0])
			compare_union(crew);
		pthread_barrier_wait(&crew->barrier);
	}
	rmap_reserve_destroy(actor->reserve);
	reader_unregister(actor->map);
	return NULL;
}

static void together_with(unsigned bits, enum rmap_reclaim reclaim)
{
	const uint64_t seed = test_seed();
	struct fixture fixture;
	struct crew crew;

	memset(&crew, 0, sizeof(crew));
	seeded_init(&fixture, bits, reclaim, seed);
	assert_int_equal(pthread_barrier_init(&crew.barrier, NULL, ACTORS), 0);
	crew.meetings = (unsigned)test_scaled(30);
	crew.steps = 2000;
	for (unsigned a = 0; a < ACTORS; a++) {
		actor_init(&crew.actors[a], &fixture, crew.pages, seed, a);
		crew.actors[a].crew = &crew;
	}
	run_threads(act, crew.actors, sizeof(*crew.actors), ACTORS);
	for (unsigned p = 0; p < PAGES; p++)
		fixture_drop(&fixture, &crew.pages[p]);
	for (unsigned a = 0; a < ACTORS; a++)
		actor_fini(&crew.actors[a]);
	pthread_barrier_destroy(&crew.barrier);
	fixture_fini(&fixture);
}

static void alone_plain(void **state)
{
	(void)state;
	alone_with(0, RMAP_RECLAIM_CALLBACK);
}

static void alone_clusters(void **state)
{
	(void)state;
	alone_with(4, RMAP_RECLAIM_BLOCKING);
}

static void alone_addresses(void **state)
{
	(void)state;
	alone_with(9, RMAP_RECLAIM_CALLBACK);
}

static void together_plain(void **state)
{
	(void)state;
	together_with(0, RMAP_RECLAIM_BLOCKING);
	together_with(0, RMAP_RECLAIM_CALLBACK);
}

static void together_clusters(void **state)
{
	(void)state;
	together_with(4, RMAP_RECLAIM_CALLBACK);
}

static void together_addresses(void **state)
{
	(void)state;
	together_with(9, RMAP_RECLAIM_BLOCKING);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(alone_plain),       cmocka_unit_test(alone_clusters),
		cmocka_unit_test(alone_addresses),   cmocka_unit_test(together_plain),
		cmocka_unit_test(together_clusters), cmocka_unit_test(together_addresses),
	};

	return cmocka_run_group_tests_name("differential", tests, NULL, NULL);
}
