/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kernel_picture.c - see kernel_picture.h
 *
 * The kernel may move pages between frames at any time. Such a page looks swapped out meanwhile, and its mapcount
 * falls. So a picture is taken again until nothing is on its way, and two readings in a row know the same frames,
 * counts and folios. What is swapped out would stay so: a helper that reads it brings it back.
 */
#include "kernel_picture.h"

#include "support.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGEMAP_PRESENT ((uint64_t)1 << 63)
#define PAGEMAP_SWAPPED ((uint64_t)1 << 62)
#define PAGEMAP_FRAME (((uint64_t)1 << 55) - 1)
#define PAGEMAP_TYPE(entry) ((entry)&31)
#define SWAP_AREAS 23u /* types from here on are of entries that name no slot of an area, such as pages on their way */
#define FLAG_ANONYMOUS ((uint64_t)1 << 12)
#define FLAG_HEAD ((uint64_t)1 << 15)
#define FLAG_TAIL ((uint64_t)1 << 16)
#define FLAG_ZERO ((uint64_t)1 << 24)
#define FOLIO_PAGES 512u /* the largest; each lies at a multiple of its size */
#define FRAMES_MAX (CREW_MAX * PICTURE_PAGES)

static uint64_t frame_of(uint64_t entry)
{
	return entry & PAGEMAP_PRESENT ? entry & PAGEMAP_FRAME : 0;
}

static void bring_back(struct picture *picture, unsigned h, unsigned at)
{
	crew_order(picture->crew, h,
		   (struct command){ .kind = COMMAND_READ, .address = picture->address + at * PAGE, .length = PAGE });
	picture->swapped++;
}

/* False: something is on its way, or not as it was at the last reading. */
static bool read_entries(struct picture *picture)
{
	uint64_t entries[PICTURE_PAGES];
	bool same = true;

	for (unsigned h = 0; h < picture->crew->n; h++) {
		memset(entries, 0, sizeof(entries));
		if (picture->crew->at[h].pid)
			expect(pread(picture->crew->at[h].pagemap, entries, sizeof(entries),
				     (off_t)(picture->address / PAGE * 8)) == (ssize_t)sizeof(entries));
		for (unsigned i = 0; i < PICTURE_PAGES; i++) {
			same &= frame_of(entries[i]) == frame_of(picture->entries[h][i]);
			same &= !(entries[i] & PAGEMAP_SWAPPED);
			if (entries[i] & PAGEMAP_SWAPPED && PAGEMAP_TYPE(entries[i]) < SWAP_AREAS)
				bring_back(picture, h, i);
		}
		memcpy(picture->entries[h], entries, sizeof(entries));
	}
	return same;
}

static int compare_frames(const void *a, const void *b)
{
	uint64_t x = ((const struct frame *)a)->number, y = ((const struct frame *)b)->number;

	return (x > y) - (x < y);
}

static void list_frames(struct picture *picture)
{
	uint32_t n = 0, kept = 0;

	for (unsigned h = 0; h < picture->crew->n; h++) {
		for (unsigned i = 0; i < PICTURE_PAGES; i++) {
			if (frame_of(picture->entries[h][i]))
				picture->frames[n++] = (struct frame){ .number = frame_of(picture->entries[h][i]) };
		}
	}
	qsort(picture->frames, n, sizeof(*picture->frames), compare_frames);
	for (uint32_t i = 0; i < n; i++) {
		if (!kept || picture->frames[kept - 1].number != picture->frames[i].number)
			picture->frames[kept++] = picture->frames[i];
	}
	picture->frame_count = kept;
}

static void read_words(int file, uint64_t frame, uint64_t *words, size_t n)
{
	expect(pread(file, words, n * 8, (off_t)(frame * 8)) == (ssize_t)(n * 8));
}

/* Of each frame the word that @file has of it. */
static void read_each(struct picture *picture, int file)
{
	for (uint32_t i = 0, n; i < picture->frame_count; i += n) {
		for (n = 1; i + n < picture->frame_count; n++) {
			if (picture->frames[i + n].number != picture->frames[i].number + n)
				break;
		}
		read_words(file, picture->frames[i].number, picture->words + i, n);
	}
}

/* False: counts and flags are not those of the last reading. */
static bool read_counts(struct picture *picture)
{
	bool same = true;

	read_each(picture, picture->kpagecount);
	for (uint32_t i = 0; i < picture->frame_count; i++) {
		same &= picture->frames[i].count == picture->words[i];
		picture->frames[i].count = picture->words[i];
	}
	read_each(picture, picture->kpageflags);
	for (uint32_t i = 0; i < picture->frame_count; i++) {
		uint64_t flags = picture->words[i] & (FLAG_ANONYMOUS | FLAG_HEAD | FLAG_TAIL | FLAG_ZERO);

		same &= picture->frames[i].flags == flags;
		picture->frames[i].flags = flags;
	}
	return same;
}

/* Which frames make up the one in which @frame lies. */
static struct kernel_folio find_folio(struct picture *picture, uint64_t frame, uint64_t flags)
{
	uint64_t begin = frame / FOLIO_PAGES * FOLIO_PAGES, words[FOLIO_PAGES];
	unsigned head = (unsigned)(frame - begin), end = head + 1;

	if (!(flags & (FLAG_HEAD | FLAG_TAIL)))
		return (struct kernel_folio){ frame, 1, 0 };
	read_words(picture->kpageflags, begin, words, FOLIO_PAGES);
	while (head > 0 && words[head] & FLAG_TAIL)
		head--;
	while (end < FOLIO_PAGES && words[end] & FLAG_TAIL)
		end++;
	return (struct kernel_folio){ begin + head, end - head, 0 };
}

static void list_folios(struct picture *picture)
{
	struct kernel_folio *folio = NULL;

	picture->folio_count = 0;
	for (uint32_t i = 0; i < picture->frame_count; i++) {
		struct frame *frame = &picture->frames[i];

		frame->anonymous = frame->flags & FLAG_ANONYMOUS;
		frame->zero = frame->flags & FLAG_ZERO;
		if (frame->zero)
			continue;
		if (!folio || frame->number >= folio->head + folio->pages) {
			folio = &picture->folios[picture->folio_count++];
			*folio = find_folio(picture, frame->number, frame->flags);
		}
		frame->folio = picture->folio_count - 1;
	}
}

static void locate(struct picture *picture)
{
	for (unsigned h = 0; h < picture->crew->n; h++) {
		for (unsigned i = 0; i < PICTURE_PAGES; i++) {
			const struct frame key = { .number = frame_of(picture->entries[h][i]) }, *found;

			picture->at[h][i] = NO_FRAME;
			if (!key.number)
				continue;
			found = bsearch(&key, picture->frames, picture->frame_count, sizeof(key), compare_frames);
			picture->at[h][i] = (uint32_t)(found - picture->frames);
			if (!found->zero)
				picture->folios[found->folio].mapped++;
		}
	}
}

void picture_take(struct picture *picture)
{
	do {
		while (!read_entries(picture))
			;
		list_frames(picture);
		read_counts(picture);
		list_folios(picture);
	} while (!read_entries(picture) || !read_counts(picture));
	locate(picture);
}

/*
 * Kernels with CONFIG_NO_PAGE_MAPCOUNT keep no count of a page in a large folio: they tell 1 of one that is no longer
 * mapped, if most others are. Where no huge page comes there is nothing to see of it, nor to compare.
 */
static bool tells_averages(struct picture *picture)
{
	size_t size = FOLIO_PAGES * PAGE;
	char *area = mmap(NULL, 2 * size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *huge;
	uint64_t entry = 0, count = 0, flags = 0;
	int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	expect(area != MAP_FAILED && pagemap >= 0);
	huge = area + (size - (uintptr_t)area % size) % size;
	madvise(huge, size, MADV_HUGEPAGE);
	*(volatile char *)(huge + PAGE) = 1;
	read_words(pagemap, (uintptr_t)huge / PAGE + 1, &entry, 1);
	expect(madvise(huge + PAGE, PAGE, MADV_DONTNEED) == 0);
	if (frame_of(entry)) {
		read_words(picture->kpagecount, frame_of(entry), &count, 1);
		read_words(picture->kpageflags, frame_of(entry), &flags, 1);
	}
	close(pagemap);
	munmap(area, 2 * size);
	return flags & FLAG_TAIL && count;
}

static const char *lacking(struct picture *picture)
{
	char *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t entry = 0, count = 0, flags = 0;
	int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	bool read;

	expect(page != MAP_FAILED);
	*(volatile char *)page = 1;
	read = pagemap >= 0 && pread(pagemap, &entry, 8, (off_t)((uintptr_t)page / PAGE * 8)) == 8;
	if (pagemap >= 0)
		close(pagemap);
	read = read && frame_of(entry) && pread(picture->kpagecount, &count, 8, (off_t)(frame_of(entry) * 8)) == 8 &&
	       pread(picture->kpageflags, &flags, 8, (off_t)(frame_of(entry) * 8)) == 8;
	munmap(page, PAGE);
	if (!read)
		return "/proc/self/pagemap, /proc/kpagecount and /proc/kpageflags cannot all be read";
	if (count != 1)
		return "/proc/kpagecount does not tell counts";
	if (tells_averages(picture))
		return "/proc/kpagecount tells averages of large folios";
	return NULL;
}

const char *picture_init(struct picture *picture, const struct crew *crew, uint64_t address)
{
	memset(picture, 0, sizeof(*picture));
	picture->crew = crew;
	picture->address = address;
	picture->kpagecount = open("/proc/kpagecount", O_RDONLY | O_CLOEXEC);
	picture->kpageflags = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC);
	picture->frames = calloc(FRAMES_MAX, sizeof(*picture->frames));
	picture->folios = calloc(FRAMES_MAX, sizeof(*picture->folios));
	picture->words = calloc(FRAMES_MAX, sizeof(*picture->words));
	expect(picture->frames && picture->folios && picture->words);
	return lacking(picture);
}

void picture_fini(struct picture *picture)
{
	close(picture->kpagecount);
	close(picture->kpageflags);
	free(picture->frames);
	free(picture->folios);
	free(picture->words);
}
