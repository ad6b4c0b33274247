/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * folio.c - an embedder of two pages that may be one, and four ptes; see folio.h
 *
 * What must hold: when a truncate says that nothing is mapped, no pte maps index 1, and none does later; what is on the
 * other side stays in the file, in a page of its own; no page is dropped while it is mapped; a pte maps the page that
 * the file has at its index; at the end the mapcount of each page is the number of ptes that map it.
 *
 * Pages are used once each: the folio of the beginning, its two halves, the folio that these make, and its halves. A
 * page has references, of the file and of who is at work on it, but none of its mappings. Who splits it, or makes one
 * of two, has it locked and unmapped, and then takes all references away in one step (freezes it), unless there are
 * others: a fault has one from where it finds the page to where the mapping is counted. So when a page is frozen, each
 * mapping is counted, and a look at the mapcount tells whether one has come since it was unmapped. Whoever finds a
 * frozen page does without.
 *
 * A pte word is the number of a page, from 1 on, or 0. It, @end and @cache are accessed relaxed, so that only locks,
 * references and the library order them.
 */
#include "folio.h"
#include "embedder.h"
#include "step.h"

#include <explore_env.h>
#include <explore_step.h>

#include <errno.h>
#include <string.h>

#define PTES 4u
#define PAGES 7u /* 0 is none */
#define INDEXES 2u
#define WHOLE_RANGE 0x100000u
#define TAIL_RANGE 0x200000u
#define TAGGED_RANGE 0x300000u

/* The indexes of a page, and what it may be split into. */
static const struct shape {
	uint64_t first;
	uint64_t last;
	unsigned halves[INDEXES];
} shapes[PAGES] = {
	[1] = { 0, 1, { 2, 3 } }, [2] = { 0, 0, { 0, 0 } }, [3] = { 1, 1, { 0, 0 } },
	[4] = { 0, 1, { 5, 6 } }, [5] = { 0, 0, { 0, 0 } }, [6] = { 1, 1, { 0, 0 } },
};

static const uint64_t index_of[PTES] = { 0, 1, 1, 1 };

/*
 * @end:   how many indexes the file has
 * @cache: of each index the number of its page; changes with that page locked
 * @refs:  of each page; 0: frozen, or free
 */
static struct {
	enum folio_mistake mistake;
	struct rmap_page *pages;
	uint64_t *ptes;
	uint64_t *end;
	uint64_t *cache;
	uint64_t *refs;
} vm;

static struct env_mutex pte_locks[PTES];
static struct env_mutex page_locks[PAGES];

static const struct rmap_range whole_range = { .last = 1, .address = WHOLE_RANGE, .owner = 1, .page_shift = 12 };
static const struct rmap_range tail_range = {
	.first = 1, .last = 1, .address = TAIL_RANGE, .owner = 2, .page_shift = 12
};
static const struct rmap_range tagged_range = {
	.first = 8, .last = 8, .address = TAGGED_RANGE, .owner = 3, .page_shift = 12, .tags = RMAP_RANGE_NONLINEAR
};

static uint64_t load(const uint64_t *word)
{
	return explore_load(word, __ATOMIC_RELAXED);
}

static void store(uint64_t *word, uint64_t value)
{
	explore_store(word, value, __ATOMIC_RELAXED);
}

/* References -------------------------------------------------------------------------------- */

static bool get(uint64_t page)
{
	uint64_t refs = load(&vm.refs[page]);

	while (refs > 0)
		if (explore_cas(&vm.refs[page], &refs, refs + 1, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
			return true;
	return false;
}

static void put(uint64_t page)
{
	explore_fetch_add(&vm.refs[page], -(uint64_t)1, __ATOMIC_ACQ_REL);
}

static void thaw(uint64_t page)
{
	explore_store(&vm.refs[page], 2, __ATOMIC_RELEASE);
}

/* With only the file's reference and the caller's left, who has it locked and unmapped. */
static bool freeze(uint64_t page)
{
	uint64_t refs = 2;
	uint32_t mapcount;

	if (vm.mistake == FOLIO_SPLITS_HELD)
		store(&vm.refs[page], 0);
	else if (!explore_cas(&vm.refs[page], &refs, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		return false;
	rmap_read_lock(embedder.map);
	mapcount = rmap_page_mapcount(embedder.map, &vm.pages[page]);
	rmap_read_unlock(embedder.map);
	if (mapcount == 0 || vm.mistake == FOLIO_SPLITS_MAPPED)
		return true;
	thaw(page);
	return false;
}

/* Locks the page of @index, with a reference. 0: there is none. */
static uint64_t lock_at(uint64_t index)
{
	uint64_t page;

	while ((page = load(&vm.cache[index])) != 0) {
		explore_mutex_lock(&page_locks[page]);
		if (load(&vm.cache[index]) == page && get(page))
			return page;
		explore_mutex_unlock(&page_locks[page]);
	}
	return 0;
}

/* A frozen one has no reference of the caller's any more. */
static void unlock_page(uint64_t page)
{
	if (load(&vm.refs[page]) > 0)
		put(page);
	explore_mutex_unlock(&page_locks[page]);
}

/* Ptes -------------------------------------------------------------------------------------- */

static struct rmap_mapping mapping_of(unsigned pte)
{
	return pte < 3 ? rmap_linear() : rmap_chained(TAGGED_RANGE);
}

/* PTES: none. */
static unsigned pte_at(uint64_t address)
{
	if (address == WHOLE_RANGE || address == WHOLE_RANGE + 4096)
		return (unsigned)((address - WHOLE_RANGE) >> 12);
	return address == TAIL_RANGE ? 2 : address == TAGGED_RANGE ? 3 : PTES;
}

/* Under the locks of @n ptes from @pte on, which map one page: they do so no longer. */
static void zap(struct rmap_reserve *reserve, unsigned pte, unsigned n)
{
	uint64_t page = load(&vm.ptes[pte]);

	for (unsigned i = pte; i < pte + n; i++)
		store(&vm.ptes[i], 0);
	rmap_read_lock(embedder.map);
	embedder_expect(rmap_page_remove(reserve, &vm.pages[page], n > 1 ? rmap_linear_many(n) : mapping_of(pte)));
	rmap_read_unlock(embedder.map);
}

static void lock_ptes(unsigned pte, unsigned n)
{
	for (unsigned i = pte; i < pte + n; i++)
		explore_mutex_lock(&pte_locks[i]);
}

static void unlock_ptes(unsigned pte, unsigned n)
{
	for (unsigned i = pte + n; i-- > pte;)
		explore_mutex_unlock(&pte_locks[i]);
}

static bool all_are(unsigned pte, unsigned n, uint64_t page)
{
	for (unsigned i = pte; i < pte + n; i++)
		if (load(&vm.ptes[i]) != page)
			return false;
	return true;
}

/* Operations -------------------------------------------------------------------------------- */

/* Of @n ptes of one page, from @pte on. */
static void fault(struct rmap_reserve *reserve, unsigned pte, unsigned n)
{
	uint64_t sequence = rmap_object_truncate_seq(embedder.object);
	uint64_t page;

	if (load(vm.end) <= index_of[pte + n - 1])
		return;
	page = load(&vm.cache[index_of[pte]]);
	if (!page || shapes[page].last < index_of[pte + n - 1] || !get(page))
		return;
	lock_ptes(pte, n);
	rmap_read_lock(embedder.map);
	if (all_are(pte, n, 0) && rmap_object_truncate_seq(embedder.object) == sequence) {
		for (unsigned i = pte; i < pte + n; i++)
			store(&vm.ptes[i], page);
		embedder_expect(rmap_page_add(reserve, &vm.pages[page], n > 1 ? rmap_linear_many(n) : mapping_of(pte)));
	}
	rmap_read_unlock(embedder.map);
	unlock_ptes(pte, n);
	if (vm.mistake != FOLIO_SPLITS_HELD)
		put(page);
}

static void munmap(struct rmap_reserve *reserve, unsigned pte, unsigned n)
{
	uint64_t page;

	lock_ptes(pte, n);
	page = load(&vm.ptes[pte]);
	if (page && all_are(pte, n, page))
		zap(reserve, pte, n);
	unlock_ptes(pte, n);
}

static void split_range(void)
{
	int result = rmap_object_split(embedder.object, &whole_range, 1);

	if (result != 0 && result != -ENOENT)
		engine_fail("a range could not be split");
}

/* Callbacks. @arg of all: the thread's reserve. */

static uint64_t page_of(const struct rmap_target *target)
{
	return (uint64_t)(target->page - vm.pages);
}

static int folio_clear(void *arg, const struct rmap_target *target, const struct rmap_visit *visit, unsigned flags,
		       uint64_t *cleared)
{
	uint64_t address = visit->kind == RMAP_LINEAR ? visit->address : visit->handle;

	(void)flags;
	for (unsigned i = 0; i < visit->count; i++, address += 4096) {
		unsigned pte = pte_at(address);

		if (pte == PTES || index_of[pte] < target->first || index_of[pte] > target->last)
			continue;
		explore_mutex_lock(&pte_locks[pte]);
		if (load(&vm.ptes[pte]) == page_of(target)) {
			zap(arg, pte, 1);
			++*cleared;
		}
		explore_mutex_unlock(&pte_locks[pte]);
	}
	return 0;
}

static int folio_clear_range(void *arg, const struct rmap_search *search, uint64_t *cleared)
{
	for (uint64_t i = search->from; i <= search->to; i++) {
		unsigned pte = pte_at(rmap_range_address(&search->range, i));

		if (pte == PTES || index_of[pte] < search->first || index_of[pte] > search->last)
			continue;
		explore_mutex_lock(&pte_locks[pte]);
		if (load(&vm.ptes[pte])) {
			zap(arg, pte, 1);
			++*cleared;
		}
		explore_mutex_unlock(&pte_locks[pte]);
	}
	return 0;
}

static struct rmap_target target_of(uint64_t page)
{
	return (struct rmap_target){ &vm.pages[page], embedder.object, shapes[page].first, shapes[page].last };
}

static int folio_lock_next(void *arg, struct rmap_object *object, uint64_t first, uint64_t last,
			   struct rmap_target *target)
{
	(void)arg, (void)object;
	for (uint64_t i = first; i <= last && i < INDEXES; i++) {
		uint64_t page = lock_at(i);

		if (!page)
			continue;
		*target = target_of(page);
		return 0;
	}
	return -ENOENT;
}

static void folio_unlock(void *arg, const struct rmap_target *target)
{
	(void)arg;
	unlock_page(page_of(target));
}

/* What memory holds now, as in vm.c: does a pte of an index from @first on map @page, or if that is 0, any? */
static bool is_mapped(uint64_t first, uint64_t page)
{
	engine_step(vm.ptes, PTES * sizeof(*vm.ptes), false);
	for (unsigned i = 0; i < PTES; i++)
		if (index_of[i] >= first && vm.ptes[i] && (!page || vm.ptes[i] == page))
			return true;
	return false;
}

static void folio_drop(void *arg, const struct rmap_target *target, int orphan)
{
	uint64_t page = page_of(target);

	(void)arg;
	if (orphan || is_mapped(0, page))
		engine_fail("a page is dropped that is mapped");
	if (target->first < 1)
		engine_fail("a page is dropped of which a part is to stay");
	store(&vm.cache[target->first], 0);
	put(page);
}

static int folio_split(void *arg, const struct rmap_target *target, uint64_t first, uint64_t last);

static const struct rmap_unmap_callbacks callbacks = {
	.size = sizeof(struct rmap_unmap_callbacks),
	.clear = folio_clear,
	.clear_range = folio_clear_range,
	.lock_next = folio_lock_next,
	.split = folio_split,
	.unlock = folio_unlock,
	.drop = folio_drop,
	.wait = embedder_wait,
};

/* A locked page: one pass. */
static bool unmap(struct rmap_reserve *reserve, uint64_t page)
{
	const struct rmap_target target = target_of(page);

	return rmap_unmap(embedder.map, &callbacks, reserve, &target, 0, RMAP_FAILABLE, NULL) == RMAP_UNMAP_SUCCESS;
}

/* New pages come into the file at one index after the other, and locked: or others would put theirs between. */
static void publish(uint64_t left, uint64_t right)
{
	const uint64_t pages[INDEXES] = { left, right };
	unsigned n = left == right ? 1 : INDEXES;

	for (unsigned i = 0; i < n; i++) {
		if (vm.mistake != FOLIO_PUBLISHES_UNLOCKED)
			explore_mutex_lock(&page_locks[pages[i]]);
		explore_store(&vm.refs[pages[i]], 1, __ATOMIC_RELEASE);
	}
	for (unsigned i = 0; i < INDEXES; i++)
		store(&vm.cache[i], pages[i]);
	for (unsigned i = 0; i < n && vm.mistake != FOLIO_PUBLISHES_UNLOCKED; i++)
		explore_mutex_unlock(&page_locks[pages[i]]);
}

static int split(struct rmap_reserve *reserve, uint64_t page)
{
	if (!unmap(reserve, page) || !freeze(page))
		return -EAGAIN;
	publish(shapes[page].halves[0], shapes[page].halves[1]);
	return 0;
}

static int folio_split(void *arg, const struct rmap_target *target, uint64_t first, uint64_t last)
{
	(void)first, (void)last;
	return split(arg, page_of(target));
}

static void split_one(struct rmap_reserve *reserve)
{
	uint64_t page = lock_at(0);

	if (shapes[page].first != shapes[page].last)
		split(reserve, page);
	unlock_page(page);
}

/* Both halves are locked, in the order of their indexes. */
static void collapse_halves(struct rmap_reserve *reserve, uint64_t left, uint64_t right, uint64_t page)
{
	if (load(vm.end) < INDEXES || !unmap(reserve, left) || !unmap(reserve, right) || !freeze(left))
		return;
	if (!freeze(right)) {
		thaw(left);
		return;
	}
	publish(page, page);
}

static void collapse(struct rmap_reserve *reserve)
{
	uint64_t left = lock_at(0);
	uint64_t right = left == 2 ? lock_at(1) : 0;

	if (left == 2 && right == 3)
		collapse_halves(reserve, left, right, 4);
	if (right)
		unlock_page(right);
	unlock_page(left);
}

static void reclaim(struct rmap_reserve *reserve)
{
	uint64_t page = lock_at(1);

	if (!page)
		return;
	unmap(reserve, page);
	unlock_page(page);
}

static void truncate(struct rmap_reserve *reserve, const char *word)
{
	struct rmap_unmap_report report;
	int result;

	store(vm.end, 1);
	result = embedder_truncate(&callbacks, reserve, word, 1, 0, &report);
	if (result == RMAP_UNMAP_SUCCESS && is_mapped(1, 0))
		engine_fail("a truncate says that nothing is mapped, and something is");
	if (result != RMAP_UNMAP_SUCCESS && report.mapped + report.unsplit == 0)
		engine_fail("a truncate has left something and does not say what");
}

/* Running ----------------------------------------------------------------------------------- */

static void run_word(struct rmap_reserve *reserve, const char *word)
{
	unsigned pte = (unsigned)(word[1] - '0');

	switch (word[0]) {
	case 'f':
		fault(reserve, pte, 1);
		break;
	case 'h':
		fault(reserve, 0, INDEXES);
		break;
	case 'u':
		munmap(reserve, pte, 1);
		break;
	case 'U':
		munmap(reserve, 0, INDEXES);
		break;
	case 'S':
		split_one(reserve);
		break;
	case 'C':
		collapse(reserve);
		break;
	case 's':
		split_range();
		break;
	case 'R':
		reclaim(reserve);
		break;
	case 'T':
		truncate(reserve, word);
		break;
	default:
		engine_fail("a program has a word that is none");
	}
}

static const char *check(bool truncated)
{
	const char *wrong = NULL;

	rmap_read_lock(embedder.map);
	for (unsigned page = 1; page < PAGES; page++) {
		unsigned mapped = 0;

		for (unsigned i = 0; i < PTES; i++)
			mapped += vm.ptes[i] == page;
		if (rmap_page_check(embedder.map, &vm.pages[page], NULL))
			wrong = "the page breaks one of its equations";
		else if (rmap_page_mapcount(embedder.map, &vm.pages[page]) != mapped)
			wrong = "the mapcount is not the number of ptes that map the page";
		rmap_page_drop(embedder.setup, &vm.pages[page]);
	}
	rmap_read_unlock(embedder.map);
	for (unsigned i = 0; i < PTES && !wrong; i++)
		if (vm.ptes[i] && vm.ptes[i] != vm.cache[index_of[i]])
			wrong = "a pte maps a page that its file no longer has";
	if (!wrong && truncated && (vm.cache[1] || vm.cache[0] == 0 || shapes[vm.cache[0]].last > 0))
		wrong = "a truncated file has other pages than its size says";
	return wrong;
}

struct engine_run folio_prepare(const struct explore_case *test)
{
	memset(&vm, 0, sizeof(vm));
	vm.mistake = (enum folio_mistake)test->bits;
	embedder_init(run_word);
	vm.pages = engine_alloc(PAGES * sizeof(*vm.pages), 64);
	vm.ptes = engine_alloc(PTES * sizeof(*vm.ptes), 64);
	vm.end = engine_alloc(sizeof(*vm.end), 64);
	vm.cache = engine_alloc(INDEXES * sizeof(*vm.cache), 64);
	vm.refs = engine_alloc(PAGES * sizeof(*vm.refs), 64);
	*vm.end = INDEXES;
	vm.cache[0] = vm.cache[1] = vm.refs[1] = 1;
	embedder_attach(&whole_range);
	embedder_attach(&tail_range);
	embedder_attach(&tagged_range);
	return embedder_run(test, check);
}

/* The cases --------------------------------------------------------------------------------- */

const struct explore_case folio_cases[] = {
	{ "folio-truncate", 0, "h f2 f3", { "Tur", "U" }, 242, NULL },
	{ "folio-truncate-fault", 0, "", { "Tur", "f2" }, 718, NULL },
	{ "folio-truncate-head", 0, "f2", { "Tur", "f0" }, 6095, NULL },
	{ "folio-truncate-search", 0, "f3", { "Tsr", "f3" }, 714, NULL },
	{ "folio-truncate-failable", 0, "f2", { "Tcf", "f0" }, 808, NULL },
	{ "folio-truncate-combined", 0, "f3", { "Tbf", "h" }, 1838, NULL },
	{ "folio-truncate-range", 0, "h", { "Tur", "s" }, 1044, NULL },
	{ "folio-truncate-split", 0, "h", { "Tur", "S" }, 456, NULL },
	{ "folio-truncate-collapse", 0, "S f0", { "Tur", "C" }, 730, NULL },
	{ "folio-truncates", 0, "f2", { "Tur", "Tcr" }, 35968, NULL },
	{ "folio-split-fault", 0, "", { "S", "f0" }, 106, NULL },
	{ "folio-split-whole", 0, "f2", { "S", "h U" }, 1186, NULL },
	{ "folio-split-reclaim", 0, "h f2", { "S", "R" }, 6, NULL },
	{ "folio-collapse-fault", 0, "S f2", { "C", "f0 f1" }, 4356, NULL },
	{ "folio-collapse-split", 0, "S", { "C", "S f3" }, 110, NULL },
	{ "folio-three", 0, "", { "S", "f0", "f2" }, 0, NULL },
	{ "bad-folio-held", FOLIO_SPLITS_HELD, "", { "S", "f0" }, 0, "a pte maps a page that its file no longer has" },
	{ "bad-folio-unlocked", FOLIO_PUBLISHES_UNLOCKED, "S", { "C", "S f3" }, 0,
	  "a pte maps a page that its file no longer has" },
	{ "bad-folio-mapped", FOLIO_SPLITS_MAPPED, "", { "S", "f0" }, 0,
	  "a pte maps a page that its file no longer has" },
};

const unsigned folio_cases_count = sizeof(folio_cases) / sizeof(folio_cases[0]);
