/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm.c - an embedder of one page and three ptes; see vm.h
 *
 * What must hold: when a truncate says that nothing is mapped, no pte maps the page, and none does later, for the file
 * never grows again; a failable one leaves no more than it reports; no page is dropped while it is mapped, but orphans;
 * a page that unmap finds locked is left untouched; at the end the mapcount is the number of ptes that map the page. No
 * access by a translation meets memory that was the page's, and when a truncate says that nothing is mapped, there is
 * none.
 *
 * A pte word is PRESENT, LOCKED or 0, a translation is one of them. They and @end and @cached are accessed relaxed, so
 * that only the embedder's locks and the library order them.
 */
#include "vm.h"
#include "embedder.h"
#include "step.h"

#include <explore_env.h>
#include <explore_step.h>

#include <errno.h>
#include <string.h>

#define PTES 3u
#define PAGE_INDEX 5u
#define PRESENT 1u
#define LOCKED 2u
#define LINEAR_RANGE 0x100000u
#define TAGGED_RANGE 0x200000u

/*
 * @end:     set once the file ends before the page
 * @cached:  the page is in the file
 * @tlb:     the processor's translation of each pte, under tlb_lock; @memory: its contents are still the page's
 * @owed:    by thread, ptes that it has cleared, and the processor may have translations of. In the arena
 */
static struct {
	enum vm_order order;
	enum vm_flush flush;
	struct rmap_page *page;
	uint64_t *ptes;
	uint64_t *end;
	uint64_t *cached;
	uint64_t *tlb;
	uint64_t *memory;
	unsigned *owed;
} vm;

static struct env_mutex pte_locks[PTES];
static struct env_mutex page_lock;
static struct env_mutex chain_lock;
static struct env_mutex tlb_lock;

/* Ptes -------------------------------------------------------------------------------------- */

static uint64_t address_of(unsigned pte)
{
	return pte == 0 ? LINEAR_RANGE + (PAGE_INDEX << 12) : TAGGED_RANGE + ((pte - 1) << 12);
}

static unsigned pte_at(uint64_t address)
{
	return address < TAGGED_RANGE ? 0 : 1 + (unsigned)((address - TAGGED_RANGE) >> 12);
}

static struct rmap_mapping mapping_of(unsigned pte, uint64_t word)
{
	if (word & LOCKED)
		return rmap_locked();
	return pte == 0 ? rmap_named(address_of(pte)) : rmap_chained(address_of(pte));
}

static uint64_t read_pte(unsigned pte)
{
	return explore_load(&vm.ptes[pte], __ATOMIC_RELAXED);
}

static void write_pte(unsigned pte, uint64_t word)
{
	explore_store(&vm.ptes[pte], word, __ATOMIC_RELAXED);
}

/* In 2003 every change of a page's mappings took its chain's lock, under that of the pte. */
static void enter_chain(void)
{
	if (vm.order != VM_TODAY)
		explore_mutex_lock(&chain_lock);
	rmap_read_lock(embedder.map);
}

static void leave_chain(void)
{
	rmap_read_unlock(embedder.map);
	if (vm.order != VM_TODAY)
		explore_mutex_unlock(&chain_lock);
}

/* The processor forgets its translations of @ptes, if this is the time for it. */
static void forget(unsigned ptes, enum vm_flush when)
{
	if (!ptes || !vm.flush || vm.flush != when)
		return;
	explore_mutex_lock(&tlb_lock);
	for (unsigned i = 0; i < PTES; i++)
		if (ptes >> i & 1)
			explore_store(&vm.tlb[i], 0, __ATOMIC_RELAXED);
	explore_mutex_unlock(&tlb_lock);
}

/* What this thread has cleared. */
static void flush(const struct rmap_reserve *reserve, enum vm_flush when)
{
	unsigned *owed = &vm.owed[embedder_thread(reserve)];

	forget(*owed, when);
	if (vm.flush == when)
		*owed = 0;
}

/* Under the pte lock, and in 2003 under the chain lock. @flushed: nobody holds the page, so the flush comes first. */
static void zap(struct rmap_reserve *reserve, unsigned pte, uint64_t word, bool flushed)
{
	write_pte(pte, 0);
	vm.owed[embedder_thread(reserve)] |= 1u << pte;
	if (flushed)
		flush(reserve, VM_FLUSH);
	rmap_read_lock(embedder.map);
	embedder_expect(rmap_page_remove(reserve, vm.page, mapping_of(pte, word)));
	rmap_read_unlock(embedder.map);
}

/* Under @tlb_lock, which the processor has for as long as its access takes. Return: whether it has a translation. */
static bool translated(unsigned pte)
{
	if (!explore_load(&vm.tlb[pte], __ATOMIC_RELAXED))
		return false;
	if (!explore_load(vm.memory, __ATOMIC_RELAXED))
		engine_fail("an access by a stale translation meets foreign memory");
	return true;
}

/* Operations -------------------------------------------------------------------------------- */

static void fault(struct rmap_reserve *reserve, unsigned pte, bool locked, bool rechecks)
{
	uint64_t sequence = rmap_object_truncate_seq(embedder.object);
	uint64_t word = locked ? PRESENT | LOCKED : PRESENT;

	if (explore_load(vm.end, __ATOMIC_RELAXED) || !explore_load(vm.cached, __ATOMIC_RELAXED))
		return;
	if (locked)
		explore_mutex_lock(&page_lock);
	explore_mutex_lock(&pte_locks[pte]);
	enter_chain();
	if (!read_pte(pte) && (!rechecks || rmap_object_truncate_seq(embedder.object) == sequence)) {
		write_pte(pte, word);
		embedder_expect(rmap_page_add(reserve, vm.page, mapping_of(pte, word)));
	}
	leave_chain();
	explore_mutex_unlock(&pte_locks[pte]);
	if (locked)
		explore_mutex_unlock(&page_lock);
}

static void access_pte(unsigned pte)
{
	bool done;

	explore_mutex_lock(&tlb_lock);
	done = translated(pte);
	explore_mutex_unlock(&tlb_lock);
	if (done)
		return;
	explore_mutex_lock(&pte_locks[pte]);
	explore_mutex_lock(&tlb_lock);
	explore_store(&vm.tlb[pte], read_pte(pte), __ATOMIC_RELAXED);
	translated(pte);
	explore_mutex_unlock(&tlb_lock);
	explore_mutex_unlock(&pte_locks[pte]);
}

static void munmap(struct rmap_reserve *reserve, unsigned pte)
{
	uint64_t word;

	forget(1u << pte, VM_FLUSH_EARLY);
	explore_mutex_lock(&pte_locks[pte]);
	word = read_pte(pte);
	if (word) {
		enter_chain();
		zap(reserve, pte, word, true);
		leave_chain();
	}
	explore_mutex_unlock(&pte_locks[pte]);
	flush(reserve, VM_FLUSH_LATE);
}

/* Mlock and munlock. The first holds the page. */
static void change_lock(struct rmap_reserve *reserve, unsigned pte, uint64_t from, uint64_t to)
{
	if (to & LOCKED)
		explore_mutex_lock(&page_lock);
	explore_mutex_lock(&pte_locks[pte]);
	if (read_pte(pte) == from) {
		enter_chain();
		embedder_expect(rmap_page_move(reserve, vm.page, mapping_of(pte, from), mapping_of(pte, to)));
		write_pte(pte, to);
		leave_chain();
	}
	explore_mutex_unlock(&pte_locks[pte]);
	if (to & LOCKED)
		explore_mutex_unlock(&page_lock);
}

static void copy_pte(struct rmap_reserve *reserve, unsigned from, unsigned to)
{
	uint64_t sequence = rmap_object_truncate_seq(embedder.object);

	if (explore_load(vm.end, __ATOMIC_RELAXED))
		return;
	explore_mutex_lock(&pte_locks[from]);
	explore_mutex_lock(&pte_locks[to]);
	enter_chain();
	if (read_pte(from) && !read_pte(to) && rmap_object_truncate_seq(embedder.object) == sequence) {
		write_pte(to, PRESENT);
		embedder_expect(rmap_page_duplicate(reserve, vm.page, mapping_of(to, PRESENT)));
	}
	leave_chain();
	explore_mutex_unlock(&pte_locks[to]);
	explore_mutex_unlock(&pte_locks[from]);
}

static void move_pte(struct rmap_reserve *reserve, unsigned from, unsigned to)
{
	uint64_t word;

	explore_mutex_lock(&pte_locks[from]);
	explore_mutex_lock(&pte_locks[to]);
	word = read_pte(from);
	if (word && !read_pte(to)) {
		enter_chain();
		embedder_expect(rmap_page_move(reserve, vm.page, mapping_of(from, word), mapping_of(to, word)));
		write_pte(to, word);
		write_pte(from, 0);
		leave_chain();
	}
	explore_mutex_unlock(&pte_locks[to]);
	explore_mutex_unlock(&pte_locks[from]);
}

/* Callbacks --------------------------------------------------------------------------------- */

/* @arg of all: the thread's reserve. */
static int vm_clear(void *arg, const struct rmap_target *target, const struct rmap_visit *visit, unsigned flags,
		    uint64_t *cleared)
{
	unsigned pte = pte_at(visit->kind == RMAP_LINEAR ? visit->address : visit->handle);
	uint64_t word;

	(void)target;
	forget(1u << pte, VM_FLUSH_EARLY);
	if (!(flags & RMAP_UNMAP_TRY))
		explore_mutex_lock(&pte_locks[pte]);
	else if (explore_mutex_trylock(&pte_locks[pte]))
		return -EAGAIN;
	word = read_pte(pte);
	if (word && ((flags & RMAP_UNMAP_FORCE) || !(word & LOCKED))) {
		zap(arg, pte, word, false);
		++*cleared;
	}
	explore_mutex_unlock(&pte_locks[pte]);
	return 0;
}

static int vm_clear_range(void *arg, const struct rmap_search *search, uint64_t *cleared)
{
	for (uint64_t i = search->from; i <= search->to; i++) {
		uint64_t address = rmap_range_address(&search->range, i);
		unsigned pte = pte_at(address);

		if (pte >= PTES || address_of(pte) != address)
			continue;
		forget(1u << pte, VM_FLUSH_EARLY);
		explore_mutex_lock(&pte_locks[pte]);
		if (read_pte(pte)) {
			enter_chain();
			zap(arg, pte, read_pte(pte), true);
			leave_chain();
			++*cleared;
		}
		explore_mutex_unlock(&pte_locks[pte]);
	}
	return 0;
}

static void lock_page(void)
{
	explore_mutex_lock(&page_lock);
	if (vm.order != VM_TODAY)
		explore_mutex_lock(&chain_lock);
}

static void unlock_page(void)
{
	if (vm.order != VM_TODAY)
		explore_mutex_unlock(&chain_lock);
	explore_mutex_unlock(&page_lock);
}

static int vm_lock_next(void *arg, struct rmap_object *object, uint64_t first, uint64_t last,
			struct rmap_target *target)
{
	(void)arg;
	if (first > PAGE_INDEX || last < PAGE_INDEX)
		return -ENOENT;
	lock_page();
	if (!explore_load(vm.cached, __ATOMIC_RELAXED)) {
		unlock_page();
		return -ENOENT;
	}
	*target = (struct rmap_target){ vm.page, object, PAGE_INDEX, PAGE_INDEX };
	return 0;
}

static void vm_unlock(void *arg, const struct rmap_target *target)
{
	(void)target;
	unlock_page();
	flush(arg, VM_FLUSH_LATE);
}

static void vm_flush(void *arg, const struct rmap_target *target)
{
	(void)target;
	flush(arg, VM_FLUSH);
}

/* What memory holds now, which no thread can be sure of. A step of an execution: the answer depends on when it is. */
static unsigned mapped_ptes(void)
{
	unsigned mapped = 0;

	engine_step(vm.ptes, PTES * sizeof(*vm.ptes), false);
	for (unsigned i = 0; i < PTES; i++)
		mapped += vm.ptes[i] != 0;
	return mapped;
}

static unsigned translated_ptes(void)
{
	unsigned translated = 0;

	if (!vm.flush)
		return 0;
	engine_step(vm.tlb, PTES * sizeof(*vm.tlb), false);
	for (unsigned i = 0; i < PTES; i++)
		translated += vm.tlb[i] != 0;
	return translated;
}

static void vm_drop(void *arg, const struct rmap_target *target, int orphan)
{
	(void)arg;
	(void)target;
	if (!orphan && mapped_ptes() > 0)
		engine_fail("a page is dropped that is mapped");
	explore_store(vm.cached, 0, __ATOMIC_RELAXED);
	if (vm.flush && !orphan)
		explore_store(vm.memory, 0, __ATOMIC_RELAXED);
}

static const struct rmap_unmap_callbacks callbacks = {
	.size = sizeof(struct rmap_unmap_callbacks),
	.clear = vm_clear,
	.clear_range = vm_clear_range,
	.lock_next = vm_lock_next,
	.unlock = vm_unlock,
	.drop = vm_drop,
	.flush = vm_flush,
	.wait = embedder_wait,
};

/* Of reclaim, which flushes later. */
static const struct rmap_unmap_callbacks deferring = {
	.size = sizeof(struct rmap_unmap_callbacks),
	.clear = vm_clear,
};

static void reclaim(struct rmap_reserve *reserve)
{
	const struct rmap_target target = { vm.page, embedder.object, PAGE_INDEX, PAGE_INDEX };
	struct rmap_unmap_report report;
	int result;

	lock_page();
	result = rmap_unmap(embedder.map, &deferring, reserve, &target, vm.order == VM_2003 ? RMAP_UNMAP_TRY : 0,
			    RMAP_FAILABLE, &report);
	if (result == RMAP_UNMAP_LOCKED && report.cleared)
		engine_fail("a page with locked mappings was left half unmapped");
	flush(reserve, VM_FLUSH);
	unlock_page();
	flush(reserve, VM_FLUSH_LATE);
}

static void truncate(struct rmap_reserve *reserve, const char *word)
{
	struct rmap_unmap_report report;
	int result;

	explore_store(vm.end, 1, __ATOMIC_RELAXED);
	result = embedder_truncate(&callbacks, reserve, word, PAGE_INDEX, vm.order == VM_2003 ? RMAP_UNMAP_TRY : 0,
				   &report);
	if (result == RMAP_UNMAP_SUCCESS && mapped_ptes() > 0)
		engine_fail("a truncate says that nothing is mapped, and something is");
	if (result == RMAP_UNMAP_SUCCESS && translated_ptes() > 0)
		engine_fail("a truncate says that nothing is mapped, and a processor uses it");
	if (result != RMAP_UNMAP_SUCCESS && word[3] == '!')
		engine_fail("a failable truncate has left something");
	if (mapped_ptes() > report.left.chained + report.left.linear + report.left.locked)
		engine_fail("a truncate has left more than it reports");
}

/* Running ----------------------------------------------------------------------------------- */

static void run_word(struct rmap_reserve *reserve, const char *word)
{
	unsigned pte = (unsigned)(word[1] - '0');

	switch (word[0]) {
	case 'f':
	case 'F':
	case 'l':
		fault(reserve, pte, word[0] == 'l', word[0] != 'F');
		break;
	case 'u':
		munmap(reserve, pte);
		break;
	case 'k':
		change_lock(reserve, pte, PRESENT, PRESENT | LOCKED);
		break;
	case 'n':
		change_lock(reserve, pte, PRESENT | LOCKED, PRESENT);
		break;
	case 'd':
		copy_pte(reserve, pte, (unsigned)(word[2] - '0'));
		break;
	case 'm':
		move_pte(reserve, pte, (unsigned)(word[2] - '0'));
		break;
	case 'a':
		access_pte(pte);
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
	uint32_t mapcount;

	rmap_read_lock(embedder.map);
	mapcount = rmap_page_mapcount(embedder.map, vm.page);
	if (rmap_page_check(embedder.map, vm.page, NULL))
		wrong = "the page breaks one of its equations";
	else if (mapcount != mapped_ptes())
		wrong = "the mapcount is not the number of ptes that map the page";
	else if (truncated && mapcount)
		wrong = "a truncated page is mapped again";
	rmap_page_drop(embedder.setup, vm.page);
	rmap_read_unlock(embedder.map);
	return wrong;
}

static void attach_ranges(void)
{
	struct rmap_range linear = { .last = 15, .address = LINEAR_RANGE, .owner = 1, .page_shift = 12 };
	struct rmap_range tagged = {
		.last = 1, .address = TAGGED_RANGE, .owner = 2, .page_shift = 12, .tags = RMAP_RANGE_NONLINEAR
	};

	embedder_attach(&linear);
	embedder_attach(&tagged);
}

struct engine_run vm_prepare(const struct explore_case *test)
{
	memset(&vm, 0, sizeof(vm));
	vm.order = (enum vm_order)(test->bits & 3);
	vm.flush = (enum vm_flush)(test->bits & ~3u);
	embedder_init(run_word);
	vm.page = engine_alloc(sizeof(*vm.page), 64);
	vm.ptes = engine_alloc(PTES * sizeof(*vm.ptes), 64);
	vm.end = engine_alloc(sizeof(*vm.end), 64);
	vm.cached = engine_alloc(sizeof(*vm.cached), 64);
	*vm.cached = 1;
	vm.tlb = engine_alloc(PTES * sizeof(*vm.tlb), 64);
	vm.memory = engine_alloc(sizeof(*vm.memory), 64);
	*vm.memory = 1;
	vm.owed = engine_alloc(THREADS_MAX * sizeof(*vm.owed), 64);
	attach_ranges();
	return embedder_run(test, check);
}

/* The cases --------------------------------------------------------------------------------- */

/* Pins have changed as those in cases.c, and since looking at all ptes is a step. */
const struct explore_case vm_cases[] = {
	{ "vm-search-fault", VM_TODAY, "", { "Tsr", "f0" }, 22, NULL },
	{ "vm-search-again", VM_TODAY, "f1", { "Tsr", "f1" }, 18, NULL },
	{ "vm-cleanup-fault", VM_TODAY, "f0", { "Tcr", "f1" }, 36, NULL },
	{ "vm-unmap-fault", VM_TODAY, "f1", { "Tur", "f0" }, 36, NULL },
	{ "vm-unmap-locked", VM_TODAY, "", { "Tur", "l1" }, 22, NULL },
	{ "vm-combined", VM_TODAY, "f0 f1", { "Tbr", "u1 f1" }, 2904 /* records: free lines, if any */, NULL },
	{ "vm-tolerate", VM_TODAY, "f1 k1", { "Ttf", "n1 u1" }, 384 /* as munlock: written down */, NULL },
	{ "vm-munlock", VM_TODAY, "f1 k1", { "Tcr", "n1" }, 92, NULL },
	{ "vm-mlock", VM_TODAY, "f1", { "Tcf", "k1" }, 12, NULL },
	{ "vm-fork", VM_TODAY, "f0", { "Tur", "d01" }, 36, NULL },
	{ "vm-mremap", VM_TODAY, "f1", { "Tcr", "m12" }, 28, NULL },
	{ "vm-mremap-linear", VM_TODAY, "f0", { "Tur", "m01" }, 20, NULL },
	{ "vm-reclaim-mlock", VM_TODAY, "f0 f1", { "R", "k1" }, 20, NULL },
	{ "vm-reclaim", VM_TODAY, "f0 f1", { "R", "Tur" }, 3098, NULL },
	{ "vm-truncates", VM_TODAY, "f1", { "Tcr", "Tsr" }, 4064, NULL },
	{ "vm-2003", VM_2003, "f0 f1", { "Tcr", "u1" }, 268, NULL },
	{ "vm-2003-munlock", VM_2003, "f1 k1", { "Tcr", "n1" }, 24, NULL },
	{ "vm-2003-reclaim", VM_2003, "f1", { "R", "u1" }, 6, NULL },
	/* Its move steps through the log of moves. */
	{ "vm-three", VM_TODAY, "f1", { "Tur", "f0", "m12" }, 19752, NULL },
	{ "vm-tlb-unmap", VM_FLUSH, "f1 a1", { "Tur", "a1" }, 6, NULL },
	{ "vm-tlb-search", VM_FLUSH, "f1 a1", { "Tsr", "a1" }, 6, NULL },
	{ "vm-tlb-bulk", VM_FLUSH, "f0 a0", { "Tcr", "a0" }, 6, NULL },
	{ "vm-tlb-munmap", VM_FLUSH, "f1 a1", { "Tur", "u1" }, 24, NULL },
	{ "vm-tlb-reclaim", VM_FLUSH, "f1 a1", { "Tur", "R" }, 124, NULL },
	{ "vm-tlb-three", VM_FLUSH, "f1 a1", { "Tcr", "R", "a1" }, 1116, NULL },
	{ "vm-tlb-2003", VM_2003 | VM_FLUSH, "f0 f1 a1", { "Tcr", "a1" }, 40, NULL },
	{ "bad-recheck", VM_TODAY, "", { "Tsr", "F0" }, 0, "a truncated page is mapped again" },
	{ "bad-trylock", VM_2003, "f1", { "Tcf!", "u1" }, 0, "a failable truncate has left something" },
	{ "bad-search-less", VM_TODAY, "f1", { "Tcf!", "k1" }, 0, "a failable truncate has left something" },
	{ "bad-flush-never", VM_FLUSH_NEVER, "f1 a1", { "Tur", "a1" }, 0,
	  "a truncate says that nothing is mapped, and a processor uses it" },
	{ "bad-flush-late", VM_FLUSH_LATE, "f1 a1", { "Tur", "a1" }, 0,
	  "an access by a stale translation meets foreign memory" },
	{ "bad-flush-late-munmap", VM_FLUSH_LATE, "f1 a1", { "Tur", "u1" }, 0,
	  "a truncate says that nothing is mapped, and a processor uses it" },
	{ "bad-flush-late-reclaim", VM_FLUSH_LATE, "f1 a1", { "Tur", "R" }, 0,
	  "a truncate says that nothing is mapped, and a processor uses it" },
	{ "bad-flush-early", VM_FLUSH_EARLY, "f1", { "Tur", "a1" }, 0,
	  "a truncate says that nothing is mapped, and a processor uses it" },
	{ "bad-2003-waiting", VM_2003_WAITING, "f1", { "R", "u1" }, 0, "nobody can go on" },
};

const unsigned vm_cases_count = sizeof(vm_cases) / sizeof(vm_cases[0]);
