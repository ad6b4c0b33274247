/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * populated.c - which addresses of a task have pages; see populated.h
 *
 * A task that uses most of its addresses is read whole, as most are. Of others PAGEMAP_SCAN (Linux 6.7) tells. Older
 * kernels have only pagemap itself, which takes 3 to 4 ns for each page of a hole, nearly all of it within the kernel
 * however much is read at once: 15 seconds for 16 TiB of reserved addresses, of which any program under
 * AddressSanitizer has as many. There /proc/PID/smaps tells how many pages each vma has, and
 *
 *      a small vma is read whole, and so is a dense one
 *      a large one without pages is left out
 *      of any other, pagemap is read until as many pages are found as it has: first where they were when this task was
 *      read before, then, if it is AddressSanitizer's shadow, around that of the task's other memory, then from both
 *      ends towards the middle, by several threads
 *
 * So only pages strewn over terabytes take seconds, and only the first time. What smaps does not count is not waited
 * for: the zero page, whose ptes the kernel counts nowhere else either, and those of device mappings, which are read
 * whole. A vma that changes between the files is searched to its end.
 */
#include "populated.h"

#include <ctype.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

/* Stretches closer than this are read as one: a read costs as much as some dozens of entries. */
#define GAP 64
/*
 * A task with so many pages of addresses for a resident one is worth asking about: that costs 11 ns for a page that is
 * there, and spares 3 to 4 for one that is not.
 */
#define SPARSE 4
/* Tasks with fewer pages of addresses are read without asking smaps, and vmas with fewer are read whole. */
#define TASK_LARGE (UINT64_C(1) << 18)
#define VMA_LARGE (UINT64_C(1) << 13)
/* A vma with a page for so many addresses is dense. */
#define DENSE 8
/* What a thread takes at a time, and what it reads at a time. */
#define PIECE (UINT64_C(1) << 17)
#define ENTRIES 4096
/* So many page tables on either side of the shadow of memory are looked at before all else: of 4 KiB, that of 4 GiB. */
#define SHADOW_TABLES 256

/* ---- asking the kernel ---- */

/* The kernel's <linux/fs.h> has these since 6.7; the installed headers may be older than the running kernel. */
struct scan_region {
	uint64_t start;
	uint64_t end;
	uint64_t categories;
};

struct scan_arg {
	uint64_t size;
	uint64_t flags;
	uint64_t start;
	uint64_t end;
	uint64_t walk_end;
	uint64_t vec;
	uint64_t vec_len;
	uint64_t max_pages;
	uint64_t category_inverted;
	uint64_t category_mask;
	uint64_t category_anyof_mask;
	uint64_t return_mask;
};

#define SCAN_IOCTL _IOWR('f', 16, struct scan_arg)
#define SCAN_IS_PRESENT (UINT64_C(1) << 3)
#define SCAN_IS_SWAPPED (UINT64_C(1) << 4)
#define SCAN_REGIONS 512

static bool can_ask(int fd, uint64_t vpn, unsigned page_shift)
{
	struct scan_region region;
	struct scan_arg scan = { .size = sizeof(scan),
				 .start = vpn << page_shift,
				 .end = (vpn + 1) << page_shift,
				 .vec = (uint64_t)(uintptr_t)&region,
				 .vec_len = 1,
				 .category_anyof_mask = SCAN_IS_PRESENT,
				 .return_mask = SCAN_IS_PRESENT };

	return ioctl(fd, SCAN_IOCTL, &scan) == 1;
}

/* Append a stretch to read, joined with the one before if they are close. */
static void add_range(struct reader *reader, uint64_t first, uint64_t last)
{
	struct page_range *before = reader->ranges_n ? &reader->ranges[reader->ranges_n - 1] : NULL;

	if (before && first <= before->last + GAP) {
		before->last = last > before->last ? last : before->last;
		return;
	}
	reader->ranges = grow(reader->ranges, &reader->ranges_capacity, reader->ranges_n + 1, sizeof(*reader->ranges));
	reader->ranges[reader->ranges_n++] = (struct page_range){ first, last };
}

static bool ask(const struct procfs *procfs, int fd, struct reader *reader)
{
	struct scan_region regions[SCAN_REGIONS];
	struct scan_arg scan = { .size = sizeof(scan),
				 .vec = (uint64_t)(uintptr_t)regions,
				 .vec_len = SCAN_REGIONS,
				 .category_anyof_mask = SCAN_IS_PRESENT | SCAN_IS_SWAPPED,
				 .return_mask = SCAN_IS_PRESENT | SCAN_IS_SWAPPED };
	unsigned shift = procfs->page_shift;

	scan.start = reader->lines[0].first << shift;
	scan.end = (reader->lines[reader->lines_n - 1].last + 1) << shift;
	while (scan.start < scan.end) {
		long got = ioctl(fd, SCAN_IOCTL, &scan);

		if (got < 0)
			return false;
		for (long i = 0; i < got; i++)
			add_range(reader, regions[i].start >> shift, (regions[i].end >> shift) - 1);
		if (scan.walk_end <= scan.start)
			return false;
		scan.start = scan.walk_end;
	}
	return true;
}

/* ---- smaps ---- */

/* What smaps says of a vma. */
struct usage {
	uint64_t first;
	uint64_t last;
	uint64_t pages;   /* present ones, of hugetlb memory too, and swapped ones; UINT64_MAX if that cannot be told */
	uint64_t swapped; /* of a file in memory too, whose slots no page table names: then SwapPss is 0 */
};

struct usages {
	struct usage *items;
	size_t n;
	size_t capacity;
};

/* Take one line: a vma's addresses, or one of its figures in kB. */
static void parse_usage(struct usages *usages, char *line, unsigned page_shift)
{
	static const char *const figures[] = { "Rss:", "Shared_Hugetlb:", "Private_Hugetlb:" };
	struct usage *usage = usages->n ? &usages->items[usages->n - 1] : NULL;
	char *at = line;

	if (!isupper((unsigned char)*line)) {
		usages->items = grow(usages->items, &usages->capacity, usages->n + 1, sizeof(*usages->items));
		usage = &usages->items[usages->n++];
		*usage = (struct usage){ .first = strtoull(at, &at, 16) >> page_shift };
		usage->last = (strtoull(at + (*at == '-'), NULL, 16) - 1) >> page_shift;
		return;
	}
	if (!usage)
		return;
	/* Mappings of devices: what is present there need not be in Rss. */
	if (!strncmp(line, "VmFlags:", 8) && (strstr(line, " pf") || strstr(line, " mm") || strstr(line, " io")))
		usage->pages = UINT64_MAX;
	if (!strncmp(line, "Swap:", 5))
		usage->swapped = strtoull(line + 5, NULL, 10) << 10 >> page_shift;
	if (!strncmp(line, "SwapPss:", 8) && strtoull(line + 8, NULL, 10) && usage->pages != UINT64_MAX)
		usage->pages += usage->swapped;
	for (size_t i = 0; i < sizeof(figures) / sizeof(figures[0]); i++)
		if (!strncmp(line, figures[i], strlen(figures[i])))
			usage->pages += strtoull(line + strlen(figures[i]), NULL, 10) << 10 >> page_shift;
}

static void read_usages(const struct procfs *procfs, const struct task *task, struct reader *reader,
			struct usages *usages)
{
	if (procfs_read_text(procfs, task, "smaps", reader) != OUTCOME_READ)
		return;
	for (char *line = reader->text, *next; *line; line = next) {
		next = strchrnul(line, '\n');
		if (*next)
			*next++ = '\0';
		parse_usage(usages, line, procfs->page_shift);
	}
}

/* ---- searching ---- */

/* One search of a vma: what its threads share, and what they found. */
struct search {
	const struct procfs *procfs;
	int fd;
	struct page_range within;
	uint64_t wanted;
	atomic_uint_fast64_t next;  /* piece */
	atomic_uint_fast64_t found; /* pages that smaps counts */
	pthread_mutex_t lock;       /* guards what follows */
	struct page_range *ranges;
	size_t n;
	size_t capacity;
};

static void note_found(struct search *search, uint64_t first, uint64_t last)
{
	pthread_mutex_lock(&search->lock);
	search->ranges = grow(search->ranges, &search->capacity, search->n + 1, sizeof(*search->ranges));
	search->ranges[search->n++] = (struct page_range){ first, last };
	pthread_mutex_unlock(&search->lock);
}

static bool is_there(uint64_t pte)
{
	return pte & PTE_PRESENT || pte_is_swapped(pte);
}

/* Is @pte, the first of a huge page's, one of the huge zero page, which smaps does not count? */
static bool is_huge_zero(const struct procfs *procfs, uint64_t pte)
{
	uint64_t pfn = pte & PTE_PFN, flags;

	procfs_flags(procfs, &pfn, 1, &flags);
	return flags & KPF_ZERO_PAGE;
}

/* Most of what is searched are holes: a loop that does not branch goes through them at the speed of the cache. */
static bool is_hole(const uint64_t *entries, size_t n)
{
	uint64_t all = 0;

	for (size_t i = 0; i < n; i++)
		all |= entries[i];
	return !(all & (PTE_PRESENT | PTE_SWAPPED));
}

/*
 * Note the present and the swapped ones among @n entries, which are of neighbouring pages from @vpn on; returns how
 * many smaps counts.
 */
static uint64_t look_at(struct search *search, uint64_t vpn, const uint64_t *entries, size_t n)
{
	uint64_t huge = UINT64_C(1) << (search->procfs->page_shift - 3), pages = 0;
	size_t zero_until = 0;

	for (size_t i = 0, end; i < n; i = end + 1) {
		for (; i < n && !is_there(entries[i]); i++)
			;
		for (end = i; end < n && is_there(entries[end]); end++) {
			uint64_t pfn = entries[end] & PTE_PFN;

			if (pte_is_swapped(entries[end])) {
				pages++;
				continue;
			}
			if (!((vpn + end) % huge) && !(pfn % huge) && is_huge_zero(search->procfs, entries[end]))
				zero_until = end + huge;
			pages += end >= zero_until && pfn != search->procfs->zero_pfn;
		}
		if (end > i)
			note_found(search, vpn + i, vpn + end - 1);
	}
	return pages;
}

static void look_through(struct search *search, struct page_range range)
{
	uint64_t entries[ENTRIES];
	size_t n;

	for (uint64_t vpn = range.first; vpn <= range.last; vpn += n) {
		uint64_t left = range.last - vpn + 1;
		size_t size = (size_t)(left < ENTRIES ? left : ENTRIES) * sizeof(entries[0]);
		ssize_t got = pread(search->fd, entries, size, (off_t)(vpn * sizeof(entries[0])));

		/* Whoever reads the range will meet the same failure, and knows what to make of it. */
		if (got < (ssize_t)sizeof(entries[0])) {
			note_found(search, vpn, range.last);
			return;
		}
		n = (size_t)got / sizeof(entries[0]);
		if (!is_hole(entries, n))
			atomic_fetch_add(&search->found, look_at(search, vpn, entries, n));
	}
}

/* Even pieces are counted from the beginning, odd ones from the end. */
static void search_thread(void *arg, unsigned thread)
{
	struct search *search = arg;
	uint64_t pieces = (search->within.last - search->within.first) / PIECE + 1, at;

	(void)thread;
	while (atomic_load(&search->found) < search->wanted && (at = atomic_fetch_add(&search->next, 1)) < pieces) {
		uint64_t piece = at % 2 ? pieces - 1 - at / 2 : at / 2;
		struct page_range range = { .first = search->within.first + piece * PIECE };

		range.last = range.first + PIECE - 1;
		range.last = range.last < search->within.last ? range.last : search->within.last;
		look_through(search, range);
	}
}

/* ---- remembering ---- */

/* Where pages of a task were found. */
struct memory {
	pid_t pid;
	uint64_t start_time;
	struct page_range *ranges; /* in ascending order */
	size_t n;
	size_t capacity;
};

struct memories {
	pthread_mutex_t searching; /* one vma at a time is enough for all threads */
	pthread_mutex_t lock;      /* guards what follows, but not the memories themselves: one thread reads a task */
	struct memory **items;
	size_t n;
	size_t capacity;
};

static struct memory *memory_of(struct memories *memories, const struct task *task)
{
	struct memory *memory = NULL;

	pthread_mutex_lock(&memories->lock);
	for (size_t i = 0; i < memories->n && !memory; i++)
		if (memories->items[i]->pid == task->pid && memories->items[i]->start_time == task->start_time)
			memory = memories->items[i];
	if (!memory) {
		memory = zeroed(1, sizeof(*memory));
		memory->pid = task->pid;
		memory->start_time = task->start_time;
		memories->items = grow(memories->items, &memories->capacity, memories->n + 1, sizeof(*memories->items));
		memories->items[memories->n++] = memory;
	}
	pthread_mutex_unlock(&memories->lock);
	return memory;
}

static int compare_ranges(const void *left, const void *right)
{
	const struct page_range *a = left, *b = right;

	return (a->first > b->first) - (a->first < b->first);
}

/*
 * Look at @range and around: as far as the page tables that it is in reach, and as many more on either side. Not at
 * what lies before *@next, which has been looked at.
 */
static void look_around(struct search *search, struct page_range range, uint64_t tables, uint64_t *next)
{
	uint64_t table = UINT64_C(1) << (search->procfs->page_shift - 3), more = tables * table;

	range.first &= ~(table - 1);
	range.first = range.first > *next + more ? range.first - more : *next;
	range.last = (range.last | (table - 1)) + more;
	range.last = range.last < search->within.last ? range.last : search->within.last;
	if (range.first > range.last)
		return;
	look_through(search, range);
	*next = range.last + 1;
}

static void look_where_remembered(struct search *search, const struct memory *memory)
{
	uint64_t next = search->within.first;

	for (size_t i = 0; i < memory->n; i++)
		look_around(search, memory->ranges[i], 0, &next);
}

/*
 * AddressSanitizer has a byte of shadow for eight of memory, at an eighth of the address and an offset. The shadow of
 * what lies behind it is one vma of terabytes, which can be told by its place: it begins where the shadow of its own
 * end is, and ends with that of the end of all addresses, a power of two.
 */
static bool is_shadow(struct page_range vma, uint64_t *offset)
{
	uint64_t end = vma.last + 1, all = 9 * end - 8 * vma.first;

	*offset = end - all / 8;
	return (all & (all - 1)) == 0;
}

/* There are pages of the shadow where memory is, and around it: memory that was given back had some, too. */
static void look_in_shadow(struct search *search, const struct usages *usages, uint64_t offset)
{
	uint64_t next = search->within.first;

	for (size_t i = 0; i < usages->n; i++) {
		const struct usage *memory = &usages->items[i];
		struct page_range shadow = { memory->first / 8 + offset, memory->last / 8 + offset };

		if (memory->pages && memory->first > search->within.last)
			look_around(search, shadow, SHADOW_TABLES, &next);
	}
}

/* Is something missing still? Then what was found is forgotten, for it will be again. */
static bool start_over(struct search *search)
{
	if (search->found >= search->wanted)
		return false;
	search->n = 0;
	search->found = 0;
	return true;
}

static void search_vma(const struct procfs *procfs, int fd, const struct memory *memory, const struct usages *usages,
		       const struct usage *usage, struct reader *reader)
{
	struct search search = { .procfs = procfs,
				 .fd = fd,
				 .within = { usage->first, usage->last },
				 .wanted = usage->pages,
				 .lock = PTHREAD_MUTEX_INITIALIZER };
	uint64_t offset;

	look_where_remembered(&search, memory);
	if (is_shadow(search.within, &offset) && start_over(&search))
		look_in_shadow(&search, usages, offset);
	if (start_over(&search)) {
		bool long_one = usage->last - usage->first >= 8 * PIECE;

		if (long_one)
			pthread_mutex_lock(&procfs->memories->searching);
		team_run(long_one ? procfs->threads : 1, search_thread, &search);
		if (long_one)
			pthread_mutex_unlock(&procfs->memories->searching);
	}
	if (search.n)
		qsort(search.ranges, search.n, sizeof(*search.ranges), compare_ranges);
	for (size_t i = 0; i < search.n; i++)
		add_range(reader, search.ranges[i].first, search.ranges[i].last);
	free(search.ranges);
}

/* Keep what was found, for the next time. */
static void remember(struct memory *memory, const struct reader *reader)
{
	memory->ranges = grow(memory->ranges, &memory->capacity, reader->ranges_n, sizeof(*memory->ranges));
	memory->n = reader->ranges_n;
	memcpy(memory->ranges, reader->ranges, reader->ranges_n * sizeof(*reader->ranges));
}

static void search_task(const struct procfs *procfs, const struct task *task, int fd, struct reader *reader)
{
	struct memory *memory = memory_of(procfs->memories, task);
	struct usages usages = { 0 };
	size_t at = 0;

	read_usages(procfs, task, reader, &usages);
	for (size_t i = 0; i < reader->lines_n; i++) {
		const struct map_line *line = &reader->lines[i];
		struct usage usage = { .first = line->first, .last = line->last, .pages = UINT64_MAX };
		uint64_t size = line->last - line->first + 1;

		while (at < usages.n && usages.items[at].first < line->first)
			at++;
		if (at < usages.n && usages.items[at].first == line->first && usages.items[at].last == line->last)
			usage = usages.items[at];
		if (size < VMA_LARGE || (usage.pages != UINT64_MAX && usage.pages >= size / DENSE))
			add_range(reader, line->first, line->last);
		else if (usage.pages)
			search_vma(procfs, fd, memory, &usages, &usage, reader);
	}
	remember(memory, reader);
	free(usages.items);
}

/* The zero page's number: that of a page which was only read. 0 if it cannot be told. */
static uint64_t find_zero_page(int fd, unsigned page_shift)
{
	size_t size = (size_t)1 << page_shift;
	volatile char *page = mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t entry = 0, vpn = (uint64_t)(uintptr_t)page >> page_shift;

	if (page == MAP_FAILED)
		return 0;
	(void)*page;
	if (pread(fd, &entry, sizeof(entry), (off_t)(vpn * sizeof(entry))) != sizeof(entry))
		entry = 0;
	munmap((void *)page, size);
	return entry & PTE_PRESENT ? entry & PTE_PFN : 0;
}

void populated_init(struct procfs *procfs, int fd, uint64_t vpn)
{
	procfs->pagemap_scan = can_ask(fd, vpn, procfs->page_shift);
	procfs->zero_pfn = find_zero_page(fd, procfs->page_shift);
	procfs->memories = zeroed(1, sizeof(*procfs->memories));
	pthread_mutex_init(&procfs->memories->searching, NULL);
	pthread_mutex_init(&procfs->memories->lock, NULL);
}

void populated_fini(struct procfs *procfs)
{
	struct memories *memories = procfs->memories;

	for (size_t i = 0; memories && i < memories->n; i++) {
		free(memories->items[i]->ranges);
		free(memories->items[i]);
	}
	if (memories)
		free(memories->items);
	free(memories);
	procfs->memories = NULL;
}

void populated_find(const struct procfs *procfs, const struct task *task, int fd, struct reader *reader)
{
	uint64_t pages = 0;
	bool sparse;

	for (size_t i = 0; i < reader->lines_n; i++)
		pages += reader->lines[i].last - reader->lines[i].first + 1;
	sparse = pages / SPARSE > task->resident;
	reader->ranges_n = 0;
	if (sparse && procfs->pagemap_scan && ask(procfs, fd, reader))
		return;
	reader->ranges_n = 0;
	if (sparse && pages >= TASK_LARGE) {
		search_task(procfs, task, fd, reader);
		return;
	}
	for (size_t i = 0; i < reader->lines_n; i++)
		add_range(reader, reader->lines[i].first, reader->lines[i].last);
}
