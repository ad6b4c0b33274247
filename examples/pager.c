/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pager.c - a pager in user space: userfaultfd brings a file's pages in, the reverse map takes them out again
 *
 * The file's page cache is a memfd. Windows map half of it each, where their ranges say, and move; single pages are
 * mapped elsewhere. A fault brings a page into the cache, sets one pte and adds one mapping. To evict a page all its
 * ptes must be cleared, and only the reverse map knows where they are: rmap_unmap() asks it, and for all pages behind a
 * new end rmap_truncate() does. At last each page must hold what users counted in it, and pagemap judges the mappings.
 *
 * Locks, in this order:  users of a window   shared to touch its memory; exclusively to move it, for then it is nowhere
 *                        page->lock          to map or unmap a page, to bring or evict it
 *                        window->lock        the pte lock
 * Who serves faults takes the last two, and touches no window. Nobody waits for a lock inside a read-side section.
 */
#define _GNU_SOURCE 1
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <rmap/unmap.h>

#define PAGES 64
#define WINDOWS 4
#define PLACES (WINDOWS + 8) /* windows, then single pages */
#define EVICTIONS 500        /* and then it ends */

/* What a page holds: whose it is, and how often users were there. */
struct content {
	uint64_t index;
	_Atomic uint64_t count;
};

struct page {
	struct rmap_page rmap;
	pthread_mutex_t lock;
	uint64_t index;
	bool is_cached;
	struct content *cached;   /* its place in the cache: the pager's own mapping */
	struct content stored;    /* what it holds while it is not there */
	_Atomic uint64_t counted; /* what it should hold */
};

/* A part of the file at an address: a window is its range's owner, a single page is the handle of its mapping. */
struct window {
	pthread_rwlock_t users;
	pthread_mutex_t lock;
	struct rmap_range range;
	size_t bytes;
	struct rmap_mapping mapping; /* of each of its ptes */
};

static struct rmap *map;
static struct rmap_object *file;
static struct page pages[PAGES];
static struct window windows[PLACES];
static _Atomic unsigned end = PAGES; /* of the file. Who touches a page behind it tries until it has grown again */
static _Atomic unsigned users_at_work = 2, faults, evictions, truncates, moves;
static int memfd, uffd, pagemap;
static size_t page_size;

/* What is tried must succeed, and what is so must be so. */
static void must(bool so, const char *what)
{
	if (!so)
		err(1, "this failed: %s", what);
}

static void *pointer(uint64_t address)
{
	return (void *)(uintptr_t)address;
}

/* Does the window show the page, and is its pte set? Bit 63: it maps a page; 62: one that is being moved in memory. */
static bool is_set(const struct window *window, const struct page *page)
{
	uint64_t entry = 0, number = rmap_range_address(&window->range, page->index) / page_size;

	if (rmap_range_covers(&window->range, page->index))
		must(pread(pagemap, &entry, sizeof(entry), (off_t)(number * sizeof(entry))) > 0, "read pagemap");
	return entry >> 62 != 0;
}

/* From now on an access that finds no pte waits for the pager, whether the page is in the cache or not. */
static void watch(void *address, size_t bytes)
{
	unsigned mode = UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_MINOR;
	struct uffdio_register area = { { (uintptr_t)address, bytes }, mode, 0 };

	must(address != MAP_FAILED && ioctl(uffd, UFFDIO_REGISTER, &area) == 0, "map a window");
}

/* Sets the pte of a page in the cache, and adds its mapping. Holds: the page lock, the pte lock. Inside a section. */
static void set_pte(struct rmap_reserve *reserve, struct window *window, struct page *page)
{
	uint64_t address = rmap_range_address(&window->range, page->index);
	struct uffdio_continue pte = { { address, page_size }, UFFDIO_CONTINUE_MODE_DONTWAKE, 0 };

	if (ioctl(uffd, UFFDIO_CONTINUE, &pte) == 0)
		must(rmap_page_add(reserve, &page->rmap, window->mapping) >= 0, "add a mapping");
	else
		must(errno == EEXIST, "set a pte"); /* another user's fault has done so */
}

/* Clears the pte of a page, if it is set, and removes its mapping. */
static void clear_pte(struct rmap_reserve *reserve, struct window *window, struct page *page, uint64_t *cleared)
{
	pthread_mutex_lock(&window->lock);
	if (is_set(window, page)) {
		void *address = pointer(rmap_range_address(&window->range, page->index));

		must(!madvise(address, page_size, MADV_DONTNEED), "clear a pte");
		rmap_read_lock(map);
		must(rmap_page_remove(reserve, &page->rmap, window->mapping) >= 0, "remove a mapping");
		rmap_read_unlock(map);
		++*cleared;
	}
	pthread_mutex_unlock(&window->lock);
}

/* How many ptes show the page: as many as it has mappings. What maps or unmaps it is held off. */
static uint32_t judge(const struct page *page)
{
	uint32_t ptes = 0;

	for (struct window *window = windows; window < windows + PLACES; window++) {
		pthread_mutex_lock(&window->lock);
		ptes += is_set(window, page);
		pthread_mutex_unlock(&window->lock);
	}
	rmap_read_lock(map);
	must(rmap_page_mapcount(map, &page->rmap) == ptes, "pagemap shows as many ptes of a page as it has mappings");
	rmap_read_unlock(map);
	return ptes;
}

/* What lies at an address, with its pte lock. */
static struct window *lock_window(uint64_t address)
{
	for (struct window *window = windows;; window++) {
		must(window < windows + PLACES, "a fault is in a window, which stays where it is while its user waits");
		pthread_mutex_lock(&window->lock);
		if (address - window->range.address < window->bytes)
			return window;
		pthread_mutex_unlock(&window->lock);
	}
}

/* Wakes the user in any case: where it finds no pte, as after a truncate that came between, there is another fault. */
static void serve(struct rmap_reserve *reserve, uint64_t address)
{
	uint64_t sequence = rmap_object_truncate_seq(file);
	struct window *window = lock_window(address);
	struct page *page = &pages[rmap_range_index(&window->range, address)];

	pthread_mutex_unlock(&window->lock);
	must(rmap_reserve_fill(reserve, 1) == 0, "fill the reserve");
	if (page->index < end) {
		pthread_mutex_lock(&page->lock);
		if (!page->is_cached)
			memcpy(page->cached, &page->stored, sizeof(page->stored));
		page->is_cached = true;
		pthread_mutex_lock(&window->lock);
		rmap_read_lock(map);
		if (rmap_object_truncate_seq(file) == sequence)
			set_pte(reserve, window, page);
		rmap_read_unlock(map);
		pthread_mutex_unlock(&window->lock);
		pthread_mutex_unlock(&page->lock);
	}
	must(!ioctl(uffd, UFFDIO_WAKE, &(struct uffdio_range){ address, page_size }), "wake a user");
	faults++;
}

static void *serve_faults(void *reserve)
{
	struct pollfd wait = { uffd, POLLIN, 0 };
	struct uffd_msg event;

	rmap_thread_register(map);
	while (users_at_work)
		if (poll(&wait, 1, 10) > 0 && read(uffd, &event, sizeof(event)) == sizeof(event))
			serve(reserve, event.arg.pagefault.address / page_size * page_size);
	rmap_thread_unregister(map);
	return NULL;
}

/* The window itself knows where it is now: it may have moved since the walk found it. */
static int clear(void *reserve, const struct rmap_target *target, const struct rmap_visit *visit, unsigned flags,
		 uint64_t *cleared)
{
	uint64_t name = visit->kind == RMAP_CHAINED ? visit->handle : visit->range.owner;

	(void)flags;
	clear_pte(reserve, pointer(name), &pages[target->first], cleared);
	return 0;
}

static int clear_range(void *reserve, const struct rmap_search *search, uint64_t *cleared)
{
	for (uint64_t index = search->from; index <= search->to; index++)
		if (search->first <= index && index <= search->last)
			clear_pte(reserve, pointer(search->range.owner), &pages[index], cleared);
	return 0;
}

static int lock_next(void *arg, struct rmap_object *object, uint64_t first, uint64_t last, struct rmap_target *target)
{
	(void)arg;
	if (first >= PAGES || first > last)
		return -ENOENT;
	pthread_mutex_lock(&pages[first].lock);
	*target = (struct rmap_target){ &pages[first].rmap, object, first, first };
	return 0;
}

static void unlock(void *arg, const struct rmap_target *target)
{
	(void)arg;
	pthread_mutex_unlock(&pages[target->first].lock);
}

/* Takes a page, which nothing maps any more, out of the cache. Holds: the page lock. */
static void put_away(struct page *page)
{
	must(judge(page) == 0, "a page that goes has no pte");
	if (!page->is_cached)
		return;
	memcpy(&page->stored, page->cached, sizeof(page->stored));
	must(fallocate(memfd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)(page->index * page_size),
		       (off_t)page_size) == 0, "free a page");
	page->is_cached = false;
}

static void drop(void *arg, const struct rmap_target *target, int orphan)
{
	struct page *page = &pages[target->first];

	(void)arg, (void)orphan;
	put_away(page);
	page->counted -= page->stored.count;
	page->stored.count = 0;
}

static const struct rmap_unmap_callbacks callbacks = {
	.size = sizeof(callbacks), .clear = clear, .clear_range = clear_range,
	.lock_next = lock_next, .unlock = unlock, .drop = drop,
};

/* The ptes go with a window; the watch does not. */
static void move(struct window *window)
{
	void *to = mmap(NULL, window->bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	pthread_rwlock_wrlock(&window->users);
	pthread_mutex_lock(&window->lock);
	to = mremap(pointer(window->range.address), window->bytes, window->bytes, MREMAP_MAYMOVE | MREMAP_FIXED, to);
	watch(to, window->bytes);
	must(rmap_object_move(file, &window->range, (uintptr_t)to) == 0, "move a range");
	window->range.address = (uintptr_t)to;
	pthread_mutex_unlock(&window->lock);
	pthread_rwlock_unlock(&window->users);
	moves++;
}

static void *use(void *arg)
{
	(void)arg;
	rmap_thread_register(map);
	for (unsigned i = 0; evictions < EVICTIONS; i++) {
		struct window *window = &windows[random() % PLACES];
		struct page *page = &pages[window->range.first + (size_t)random() % (window->bytes / page_size)];
		struct content *content;

		pthread_rwlock_rdlock(&window->users);
		content = pointer(rmap_range_address(&window->range, page->index));
		content->count++; /* here it may fault */
		must(content->index == page->index, "a window shows the page that it should");
		page->counted++;
		pthread_rwlock_unlock(&window->users);
		if (i % 100 == 0)
			move(&windows[random() % WINDOWS]);
	}
	rmap_thread_unregister(map);
	users_at_work--;
	return NULL;
}

/* One pass: what cannot be unmapped now is another time. */
static void evict(struct rmap_reserve *reserve, struct page *page)
{
	struct rmap_target target = { &page->rmap, file, page->index, page->index };

	pthread_mutex_lock(&page->lock);
	judge(page);
	if (page->is_cached && !rmap_unmap(map, &callbacks, reserve, &target, 0, RMAP_FAILABLE, NULL)) {
		put_away(page);
		evictions++;
	}
	pthread_mutex_unlock(&page->lock);
}

/* Cuts the file off, and lets it grow again, new from there on. */
static void truncate_file(struct rmap_reserve *reserve, unsigned cut)
{
	struct rmap_truncation rest = { sizeof(rest), file, cut, UINT64_MAX, RMAP_COMBINED, RMAP_RELIABLE, 0 };

	end = cut;
	must(rmap_truncate(map, &callbacks, reserve, &rest, NULL) == RMAP_UNMAP_SUCCESS, "truncate");
	for (struct page *page = pages + cut; page < pages + PAGES; page++)
		must(judge(page) == 0, "a page behind the end has no pte");
	end = PAGES;
	truncates++;
}

/* Needs no privilege, for it is told of no faults inside the kernel. */
static void open_files(void)
{
	struct uffdio_api api = { .api = UFFD_API, .features = UFFD_FEATURE_MINOR_SHMEM };
	char *cache;

	page_size = (size_t)sysconf(_SC_PAGESIZE);
	uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
	if (uffd < 0 || ioctl(uffd, UFFDIO_API, &api)) {
		printf("not run: kernel: userfaultfd with minor faults of shared memory: %s\n", strerror(errno));
		exit(77);
	}
	memfd = memfd_create("pager", MFD_CLOEXEC);
	pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	must(memfd >= 0 && ftruncate(memfd, (off_t)(PAGES * page_size)) == 0 && pagemap >= 0, "open files");
	cache = mmap(NULL, PAGES * page_size, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
	must(cache != MAP_FAILED, "map the cache");
	mlock2(cache, PAGES * page_size, MLOCK_ONFAULT); /* or the kernel's own reclaim would clear ptes, too */
	for (uint64_t i = 0; i < PAGES; i++) {
		pages[i].index = pages[i].stored.index = i;
		pages[i].cached = pointer((uintptr_t)cache + i * page_size);
		pthread_mutex_init(&pages[i].lock, NULL);
	}
}

static void open_window(struct window *window, uint64_t first, uint64_t n, struct rmap_mapping mapping)
{
	void *address =
		mmap(NULL, n * page_size, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, (off_t)(first * page_size));

	watch(address, n * page_size);
	window->bytes = n * page_size;
	window->mapping = mapping;
	window->range = (struct rmap_range){ first, first + n - 1, (uintptr_t)address, (uintptr_t)window,
					     (uint32_t)__builtin_ctzl(page_size), 0 };
	must(mapping.kind == RMAP_CHAINED || rmap_object_attach(file, &window->range) == 0, "attach a range");
	pthread_rwlock_init(&window->users, NULL);
	pthread_mutex_init(&window->lock, NULL);
}

int main(void)
{
	void *(*const work[])(void *) = { use, use, serve_faults };
	struct rmap_reserve *reserve, *pagers;
	pthread_t threads[3];

	open_files();
	must(!rmap_create(NULL, &map) && !rmap_object_create(map, &file) && !rmap_reserve_create(map, &reserve) &&
	     !rmap_reserve_create(map, &pagers), "create");
	rmap_thread_register(map);
	for (unsigned i = 0; i < WINDOWS; i++)
		open_window(&windows[i], i * PAGES / 8, PAGES / 2, rmap_linear());
	for (unsigned i = WINDOWS; i < PLACES; i++)
		open_window(&windows[i], i * 5, 1, rmap_chained((uintptr_t)&windows[i]));
	for (unsigned i = 0; i < 3; i++)
		must(pthread_create(&threads[i], NULL, work[i], pagers) == 0, "start a thread");
	for (unsigned i = 1; evictions < EVICTIONS; i++) {
		evict(reserve, &pages[random() % PAGES]);
		if (i % 50 == 0)
			truncate_file(reserve, (unsigned)random() % PAGES);
	}
	for (unsigned i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	for (struct page *page = pages; page < pages + PAGES; page++) {
		evict(reserve, page);
		must(page->stored.count == page->counted, "a page has what users counted in it");
	}
	fprintf(stderr, "%u faults, %u evictions, %u truncates, %u moves\n", faults, evictions, truncates, moves);
	printf("each page has what users counted in it, and pagemap shows the ptes that the reverse map knows\n");
	rmap_object_destroy(file);
	rmap_reserve_destroy(reserve);
	rmap_reserve_destroy(pagers);
	rmap_thread_unregister(map);
	return rmap_destroy(map) != 0;
}
