/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * folio.c - the reverse map of today's kernels: counts, trees of a file's vmas, and anon_vmas
 *
 *      a page's word = mapcount | how many of these are locked << 32
 *
 * A file's page is found by the tree of vmas that have its index. An anonymous page, or private copy, has an *anchor*:
 * the anon_vma of the vma by which it was made. That has in a tree of its own every vma that may map its pages: the vma
 * it was made for, and by a fork, mremap or split the copies of any that is linked to it. So a vma has links to its own
 * anon_vma and, if a fork made it, to all those of its parent's; a walk looks at each vma that the page's anon_vma is
 * linked to.
 *
 *      vma ---- link ---- link ---- link          anon_vma ---- tree of links ---- vmas
 *                |          |         |               ^                               (parent's, children's ...)
 *             own anon_vma  the parent's, its parent's'--- page->anchor
 *
 * A fork gives the child's vma a new anon_vma, so that pages it makes are not looked for in its siblings; or one that
 * no vma is the owner of any more and that has not two children, so that they do not get more with every generation.
 *
 * Order of locks: file's vmas > the anon_vma's, one for all of a tree of forks > pte. They sleep, and walks share them;
 * aging only tries. Walks wait for pte locks. An anon_vma's memory is used again for others, but stays one: a walk
 * that has taken its lock looks at the mapcount, and a page that is mapped has the anchor that it had.
 *
 * There are no nonlinear mappings: remap_file_pages() makes vmas, as kernels do since they have given those up.
 * A truncate goes by the vmas, then unmaps each page that is mapped under its lock, then goes by the vmas again.
 *
 * Not here: what makes a page that is written and mapped once its writer's own, and so its walks shorter.
 */
#include "common.h"
#include "vmas.h"

#include <errno.h>
#include <stdlib.h>

enum { PART_VMAS, PART_ANON_VMAS, PART_ANON_LINKS };

/*
 * @root:     whose lock is its; it keeps that one
 * @lock:     of the root: the trees of all that have it, and what follows
 * @links:    the tree
 * @parent:   its own is the root's
 * @children: anon_vmas that have it for a parent; a root is one of them
 * @owners:   vmas whose own it is
 * @refs:     its links, and anon_vmas whose root it is: 0: free. @next: among free ones
 */
struct anon_vma {
	_Atomic(struct anon_vma *) root;
	struct vm_sleeping_lock lock;
	struct interval *links;
	struct anon_vma *parent;
	uint32_t children;
	uint32_t owners;
	uint32_t refs;
	struct anon_vma *next;
};

/* Of one vma and one anon_vma. @end: the vma's, under the anon_vma's lock; it tells its start, which stays */
struct anon_link {
	struct interval interval;
	uint64_t first;
	uint64_t last;
	struct vma *vma;
	struct anon_vma *anon;
	LIST_ENTRY(anon_link) same_vma;
	uint64_t end;
};

/* What a link has to have: of its ends the vma tells. */
#define LINK_BYTES (sizeof(struct interval) + 4 * sizeof(void *))

static struct anon_link *interval_link(const struct interval *node)
{
	return (struct anon_link *)(uintptr_t)((uintptr_t)node - offsetof(struct anon_link, interval));
}

/* Of one first, by address. */
static int link_order(const struct interval *a, const struct interval *b)
{
	uintptr_t one = (uintptr_t)a, two = (uintptr_t)b;

	if (interval_link(a)->first != interval_link(b)->first)
		return interval_link(a)->first < interval_link(b)->first ? -1 : 1;
	return (one > two) - (one < two);
}

#define INTERVAL_FIRST(node) (interval_link(node)->first)
#define INTERVAL_LAST(node) (interval_link(node)->last)
#define INTERVAL_ORDER link_order
#include "interval.h"

/* @lock: of the free anon_vmas, and of all @refs */
struct folio {
	struct vm_lock lock;
	struct anon_vma *free;
};

static struct folio *folio_of(const struct vm *vm)
{
	return vm->map;
}

static int folio_create(struct vm *vm)
{
	struct folio *folio = calloc(1, sizeof(*folio));

	if (!folio)
		return -ENOMEM;
	vm_lock_init(&folio->lock, VM_CLASS_STORE);
	vm->map = folio;
	return 0;
}

static int folio_destroy(struct vm *vm)
{
	struct folio *folio = folio_of(vm);

	if (!folio)
		return 0;
	if (atomic_load(&vm->ledger.parts[PART_ANON_LINKS]) || atomic_load(&vm->ledger.parts[PART_ANON_VMAS]))
		return -EBUSY;
	for (struct anon_vma *anon = folio->free, *next; anon; anon = next) {
		next = anon->next;
		vm_sleeping_fini(&anon->lock);
		free(anon);
	}
	vm_lock_fini(&folio->lock);
	free(folio);
	return 0;
}

static int folio_thread_begin(struct vm_thread *thread)
{
	thread->map = NULL;
	return 0;
}

static void folio_thread_end(struct vm_thread *thread)
{
	(void)thread;
}

static int folio_fill(struct vm_thread *thread, unsigned adds)
{
	(void)thread, (void)adds;
	return 0;
}

static int folio_object_begin(struct vm_thread *thread, struct vm *vm, struct object *object)
{
	(void)thread;
	return object->is_file ? vmas_begin(vm, object, PART_VMAS, true, true) : 0;
}

static void folio_object_end(struct vm *vm, struct object *object)
{
	vmas_end(vm, object, PART_VMAS);
}

/* --- mappings --------------------------------------------------------------------------------- */

#define ONE_LOCKED ((uint64_t)1 << 32)

static uint64_t weight(uint64_t pte)
{
	return pte & PTE_LOCKED ? ONE_LOCKED + 1 : 1;
}

static void folio_add(struct vm_thread *thread, struct page *page, struct leaf *leaf, uint64_t vpn, uint64_t pte)
{
	uint64_t old = atomic_fetch_add(&page->counts, weight(pte));

	(void)leaf, (void)vpn;
	lru_note(thread, page, (pte & PTE_LOCKED) && old < ONE_LOCKED ? RMAP_FIRST_LOCK : 0);
}

static void folio_remove(struct vm_thread *thread, struct page *page, const struct mm *mm, struct leaf *leaf,
			 uint64_t vpn, uint64_t pte)
{
	uint64_t new = atomic_fetch_sub(&page->counts, weight(pte)) - weight(pte);

	(void)mm, (void)leaf, (void)vpn;
	vm_must((int64_t) new >= 0);
	lru_note(thread, page, (pte & PTE_LOCKED) && new < ONE_LOCKED ? RMAP_LAST_LOCK : 0);
}

/* Only its kind is told anywhere. */
static void folio_move(struct vm_thread *thread, struct page *page, const struct place *from, const struct place *to)
{
	bool was = from->pte & PTE_LOCKED, is = to->pte & PTE_LOCKED;

	if (is && !was && atomic_fetch_add(&page->counts, ONE_LOCKED) < ONE_LOCKED)
		lru_note(thread, page, RMAP_FIRST_LOCK);
	if (was && !is && atomic_fetch_sub(&page->counts, ONE_LOCKED) < 2 * ONE_LOCKED)
		lru_note(thread, page, RMAP_LAST_LOCK);
}

static uint32_t folio_mapcount(struct vm_thread *thread, const struct page *page)
{
	(void)thread;
	return (uint32_t)atomic_load(&page->counts);
}

static uint32_t folio_locked(struct vm_thread *thread, const struct page *page)
{
	(void)thread;
	return (uint32_t)(atomic_load(&page->counts) >> 32);
}

/* --- anon_vmas -------------------------------------------------------------------------------- */

static struct anon_vma *root_of(const struct anon_vma *anon)
{
	return atomic_load_explicit(&anon->root, memory_order_acquire);
}

/* @parent: NULL: it is a root */
static struct anon_vma *anon_new(struct vm_thread *thread, struct anon_vma *parent)
{
	struct folio *folio = folio_of(thread->vm);
	struct anon_vma *anon;

	if (!ledger_add(thread->vm, PART_ANON_VMAS, sizeof(*anon)))
		return NULL;
	vm_lock(&thread->held, &folio->lock);
	anon = folio->free;
	if (anon)
		folio->free = anon->next;
	vm_unlock(&thread->held, &folio->lock);
	if (!anon) {
		anon = calloc(1, sizeof(*anon));
		if (!anon) {
			ledger_add(thread->vm, PART_ANON_VMAS, -(int64_t)sizeof(*anon));
			return NULL;
		}
		vm_sleeping_init(&anon->lock, VM_CLASS_ANON);
	}
	anon->links = NULL;
	anon->parent = parent ? parent : anon;
	anon->children = parent ? 0 : 1;
	anon->owners = 0;
	anon->refs = 1;
	atomic_store_explicit(&anon->root, parent ? root_of(parent) : anon, memory_order_release);
	return anon;
}

static void anon_get(struct vm_thread *thread, struct anon_vma *anon)
{
	struct folio *folio = folio_of(thread->vm);

	vm_lock(&thread->held, &folio->lock);
	anon->refs++;
	vm_unlock(&thread->held, &folio->lock);
}

/* Who holds no anon_vma's lock. The last one frees it, and lets go of its root. */
static void anon_put(struct vm_thread *thread, struct anon_vma *anon)
{
	struct folio *folio = folio_of(thread->vm);

	for (struct anon_vma *root; anon; anon = root) {
		root = root_of(anon) == anon ? NULL : root_of(anon);
		vm_lock(&thread->held, &folio->lock);
		if (--anon->refs > 0) {
			vm_unlock(&thread->held, &folio->lock);
			return;
		}
		anon->next = folio->free;
		folio->free = anon;
		vm_unlock(&thread->held, &folio->lock);
		ledger_add(thread->vm, PART_ANON_VMAS, -(int64_t)sizeof(*anon));
	}
}

static struct anon_link *link_new(struct vm_thread *thread)
{
	struct anon_link *link;

	if (!ledger_add(thread->vm, PART_ANON_LINKS, LINK_BYTES))
		return NULL;
	link = malloc(sizeof(*link));
	if (!link)
		ledger_add(thread->vm, PART_ANON_LINKS, -(int64_t)LINK_BYTES);
	return link;
}

static void link_free(struct vm_thread *thread, struct anon_link *link)
{
	free(link);
	ledger_add(thread->vm, PART_ANON_LINKS, -(int64_t)LINK_BYTES);
}

/* Into the tree, with a reference that the link has. Holds: the anon_vma's lock */
static void link_in(struct vm_thread *thread, struct anon_link *link, struct vma *vma, struct anon_vma *anon)
{
	const struct vm *vm = thread->vm;

	link->vma = vma;
	link->anon = anon;
	link->end = vma->end;
	link->first = index_of(vm, vma->offset);
	link->last = index_of(vm, vma_offset(vma, vma->end) - 1);
	interval_insert(&anon->links, &link->interval);
}

/* What @vma is, its links have to say, too. Holds: the lock of them all */
static void links_renew(struct vm_thread *thread, struct vma *vma)
{
	struct anon_link *link;

	LIST_FOREACH (link, &vma->anon_links, same_vma) {
		interval_remove(&link->anon->links, &link->interval);
		link_in(thread, link, vma, link->anon);
	}
}

/* The first anonymous page of a vma that has none of its own. The mm lock is shared: another may do so, too. */
static int folio_prepare(struct vm_thread *thread, struct vma *vma, struct page *page)
{
	struct anon_vma *own = atomic_load(&vma->anon);
	struct anon_link *link;

	if (!own) {
		struct anon_vma *none = NULL;

		own = anon_new(thread, NULL);
		link = own ? link_new(thread) : NULL;
		if (!link) {
			if (own)
				anon_put(thread, own);
			return -ENOMEM;
		}
		vm_lock_exclusive(&thread->held, &own->lock);
		link_in(thread, link, vma, own);
		own->owners = 1;
		vm_unlock_sleeping(&thread->held, &own->lock);
		if (atomic_compare_exchange_strong(&vma->anon, &none, own)) {
			LIST_INSERT_HEAD(&vma->anon_links, link, same_vma);
		} else {
			vm_lock_exclusive(&thread->held, &own->lock);
			interval_remove(&own->links, &link->interval);
			vm_unlock_sleeping(&thread->held, &own->lock);
			link_free(thread, link);
			anon_put(thread, own);
			own = none;
		}
	}
	page->anchor = own;
	return 0;
}

/* --- vmas and their links ---------------------------------------------------------------------- */

static void unlink_all(struct vm_thread *thread, struct vma *vma)
{
	struct anon_vma *own = atomic_load(&vma->anon);
	struct anon_link *link = LIST_FIRST(&vma->anon_links);
	struct anon_vma *root = link ? root_of(link->anon) : NULL;
	LIST_HEAD(, anon_link) gone = LIST_HEAD_INITIALIZER(gone);

	if (!root)
		return;
	vm_lock_exclusive(&thread->held, &root->lock);
	while ((link = LIST_FIRST(&vma->anon_links))) {
		LIST_REMOVE(link, same_vma);
		LIST_INSERT_HEAD(&gone, link, same_vma);
		interval_remove(&link->anon->links, &link->interval);
		if (!link->anon->links)
			link->anon->parent->children--;
	}
	if (own)
		own->owners--;
	vm_unlock_sleeping(&thread->held, &root->lock);
	while ((link = LIST_FIRST(&gone))) {
		LIST_REMOVE(link, same_vma);
		anon_put(thread, link->anon);
		link_free(thread, link);
	}
	atomic_store(&vma->anon, NULL);
}

/* @vma gets links to all that @like has. Where @vma has no anon_vma of its own, an orphaned one will do. */
static int clone_links(struct vm_thread *thread, struct vma *vma, const struct vma *like)
{
	struct anon_vma *own = atomic_load(&vma->anon);
	struct anon_link *from, *link, *last = NULL;
	bool inherits = !own;

	LIST_FOREACH (from, &like->anon_links, same_vma) {
		struct anon_vma *anon = from->anon;

		link = link_new(thread);
		if (!link)
			return -ENOMEM;
		anon_get(thread, anon);
		vm_lock_exclusive(&thread->held, &root_of(anon)->lock);
		link_in(thread, link, vma, anon);
		if (last)
			LIST_INSERT_AFTER(last, link, same_vma);
		else
			LIST_INSERT_HEAD(&vma->anon_links, link, same_vma);
		if (inherits && !own && anon->owners == 0 && anon->children < 2) {
			own = anon;
			own->owners++;
			atomic_store(&vma->anon, own);
		}
		vm_unlock_sleeping(&thread->held, &root_of(anon)->lock);
		last = link;
	}
	if (!inherits) {
		vm_lock_exclusive(&thread->held, &root_of(own)->lock);
		own->owners++;
		vm_unlock_sleeping(&thread->held, &root_of(own)->lock);
	}
	return 0;
}

/* Of a fork's child: its pages are its own. */
static int own_anon(struct vm_thread *thread, struct vma *vma, struct anon_vma *parent)
{
	struct anon_vma *own = anon_new(thread, parent);
	struct anon_link *link = own ? link_new(thread) : NULL;

	if (!own)
		return -ENOMEM;
	anon_get(thread, root_of(own));
	if (!link) {
		anon_put(thread, own);
		return -ENOMEM;
	}
	vm_lock_exclusive(&thread->held, &root_of(own)->lock);
	link_in(thread, link, vma, own);
	LIST_INSERT_HEAD(&vma->anon_links, link, same_vma);
	own->owners = 1;
	parent->children++;
	vm_unlock_sleeping(&thread->held, &root_of(own)->lock);
	atomic_store(&vma->anon, own);
	return 0;
}

static int copy_links(struct vm_thread *thread, struct vma *vma, struct vma *like)
{
	struct anon_vma *own = atomic_load(&like->anon);
	int error;

	if (!own)
		return 0;
	if (vma->mm == like->mm)
		atomic_store(&vma->anon, own);
	error = clone_links(thread, vma, like);
	if (!error && !atomic_load(&vma->anon))
		error = own_anon(thread, vma, own);
	return error;
}

/* What a copy that failed half way has. */
static void uncopy_links(struct vm_thread *thread, struct vma *vma, const struct vma *like)
{
	if (vma->mm == like->mm)
		atomic_store(&vma->anon, NULL); /* it is not yet one of the owners */
	unlink_all(thread, vma);
}

static int folio_attach(struct vm_thread *thread, struct vma *vma, struct vma *like)
{
	int error;

	atomic_store(&vma->anon, NULL);
	LIST_INIT(&vma->anon_links);
	error = vmas_attach(thread, vma, PART_VMAS);
	if (error || !like)
		return error;
	error = copy_links(thread, vma, like);
	if (error) {
		uncopy_links(thread, vma, like);
		vmas_detach(thread, vma, PART_VMAS);
	}
	return error;
}

static void folio_detach(struct vm_thread *thread, struct vma *vma)
{
	vmas_detach(thread, vma, PART_VMAS);
	unlink_all(thread, vma);
}

static void renew(struct vm_thread *thread, struct vma *vma)
{
	struct anon_vma *own = atomic_load(&vma->anon);

	if (!own)
		return;
	vm_lock_exclusive(&thread->held, &root_of(own)->lock);
	links_renew(thread, vma);
	vm_unlock_sleeping(&thread->held, &root_of(own)->lock);
}

/*
 * The upper one is linked first; until the lower one's links are renewed they go beyond its end, where the other's ptes
 * are.
 */
static int folio_split(struct vm_thread *thread, struct vma *vma, struct vma *high)
{
	int error;

	atomic_store(&high->anon, NULL);
	LIST_INIT(&high->anon_links);
	error = copy_links(thread, high, vma);
	if (!error)
		error = vmas_split(thread, vma, high, PART_VMAS);
	else
		atomic_store(&high->anon, NULL);
	if (error) {
		unlink_all(thread, high);
		return error;
	}
	renew(thread, vma);
	return 0;
}

static int folio_resize(struct vm_thread *thread, struct vma *vma, uint64_t end)
{
	int error = vmas_resize(thread, vma, end);

	if (!error)
		renew(thread, vma);
	return error;
}

/* --- walks ------------------------------------------------------------------------------------ */

struct looking {
	struct vm_thread *thread;
	struct page *page;
	struct walk *walk;
	uint32_t mapped;
};

/* Aging has seen as many as there were, or all are gone. */
static bool is_enough(const struct looking *looking)
{
	uint32_t mapped = folio_mapcount(looking->thread, looking->page);

	return mapped == 0 || (looking->walk->ages && looking->walk->found >= looking->mapped);
}

static bool look_vma(struct vma *vma, void *arg)
{
	const struct looking *looking = arg;
	struct vm_thread *thread = looking->thread;
	uint64_t index = looking->page->index;
	uint64_t start, end;

	if (!vma_window(thread->vm, vma, index, index, &start, &end))
		return true;
	return walk_window(thread, looking->page, vma->mm, start, end, false, looking->walk) && !is_enough(looking);
}

static bool look_link(struct interval *node, void *arg)
{
	const struct anon_link *link = interval_link(node);
	const struct looking *looking = arg;
	struct vm_thread *thread = looking->thread;
	const struct vma *vma = link->vma;
	uint64_t index = looking->page->index;
	uint64_t start, end;

	if (!linear_window(thread->vm, vma->start, link->end, vma->offset, index, index, &start, &end))
		return true;
	return walk_window(thread, looking->page, vma->mm, start, end, false, looking->walk) && !is_enough(looking);
}

/* Return: whether it was to be had */
static bool lock_to_walk(struct vm_thread *thread, struct vm_sleeping_lock *lock, struct walk *walk)
{
	if (!walk->ages) {
		vm_lock_shared(&thread->held, lock);
		return true;
	}
	if (vm_try_shared(&thread->held, lock))
		return true;
	walk->refused++;
	count(thread, FIGURE_WALKS_REFUSED, 1);
	return false;
}

static void walk_anon(struct looking *looking)
{
	struct vm_thread *thread = looking->thread;
	struct anon_vma *anon = looking->page->anchor;
	uint64_t index = looking->page->index;
	struct anon_vma *root = root_of(anon);

	if (!lock_to_walk(thread, &root->lock, looking->walk))
		return;
	if (folio_mapcount(thread, looking->page) > 0)
		interval_each(anon->links, index, index, look_link, looking);
	vm_unlock_sleeping(&thread->held, &root->lock);
}

static void walk_file(struct looking *looking)
{
	struct vm_thread *thread = looking->thread;
	struct vmas *vmas = looking->page->object->index;
	uint64_t index = looking->page->index;

	if (!lock_to_walk(thread, &vmas->lock, looking->walk))
		return;
	vmas_each(vmas, index, index, look_vma, looking);
	vm_unlock_sleeping(&thread->held, &vmas->lock);
}

static void folio_walk(struct vm_thread *thread, struct page *page, struct walk *walk)
{
	struct looking looking = { thread, page, walk, folio_mapcount(thread, page) };

	if (looking.mapped == 0)
		return;
	if (page_is_file(page))
		walk_file(&looking);
	else
		walk_anon(&looking);
}

static int folio_truncate(struct pass *pass, const struct cut *cut, struct rmap_unmap_report *report)
{
	return passes_truncate(pass, cut, report, vmas_bulk, PASSES_BULK_AGAIN);
}

/* --- checks ----------------------------------------------------------------------------------- */

static const char *folio_check(struct vm_thread *thread, struct page *page, const struct mappings *found)
{
	if (folio_locked(thread, page) != found->locked)
		return "the count of locked mappings is not that of the ptes";
	return found->nonlinear ? "a nonlinear pte maps it" : NULL;
}

static const char *folio_check_object(struct vm *vm, const struct object *object, uint64_t vmas)
{
	(void)vm;
	return vmas_check(object, vmas);
}

const struct vm_backend vm_backend_folio = {
	.name = "folio",
	.summary = "today: counts, trees of vmas for files, anon_vmas for the rest",
	.traits = VM_BACKEND_WALKS | VM_BACKEND_MIGRATES | VM_BACKEND_TELLS_LOCKS | VM_BACKEND_SPLITS,
	.order = &vm_order_today,
	.parts = { "trees of vmas", "anon_vmas", "links to anon_vmas" },
	.create = folio_create,
	.destroy = folio_destroy,
	.thread_begin = folio_thread_begin,
	.thread_end = folio_thread_end,
	.object_begin = folio_object_begin,
	.object_end = folio_object_end,
	.prepare = folio_prepare,
	.fill = folio_fill,
	.add = folio_add,
	.remove = folio_remove,
	.move = folio_move,
	.mapcount = folio_mapcount,
	.locked = folio_locked,
	.walk = folio_walk,
	.unmap = passes_unmap,
	.truncate = folio_truncate,
	.attach = folio_attach,
	.detach = folio_detach,
	.split = folio_split,
	.resize = folio_resize,
	.check = folio_check,
	.check_object = folio_check_object,
};
