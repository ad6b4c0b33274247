/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kernel.c - the real kernel as oracle
 *
 * Helper processes map pages of a few memfds into one window of addresses, the *arena*, which lies at the same place in
 * each. This process commands them through socket pairs to mmap, touch, remap_file_pages, mremap, munmap, mlock,
 * munlock, fork and exit, truncates and extends the files itself, all at random, and does to a reverse map what an
 * embedder's VM would do: one object a file, one range a linear piece of a vma, a count for a mapping at its linear
 * address, a chained mapping for another, a locked one where the address is mlocked. After each step it reads every
 * helper's /proc/PID/pagemap and /proc/kpagecount:
 *
 *      for each page of each file, what the map names = the addresses at which the kernel maps the page's frame
 *                                  its mapcount       = what the kernel counts, less one for this process
 *
 * What the map names is what a cursor hands out: chained handles, and of the linear candidates those whose pte is set
 * to this page. Locked nonlinear mappings are in no chain; they may make up the difference, and no others.
 *
 * Frames are known by number: this process maps every file whole, and its own pagemap says which frame holds which
 * page. Faults are made by writes alone, as reads would map neighbours too. remap_file_pages() is emulated by today's
 * kernels with vmas of their own; at random it is mirrored as that (ranges are split) or as what it was (the range
 * stays, tagged nonlinear, and its pages are chained): the library must not care.
 */
#include "kernel_helper.h"
#include "support.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FILES 3u
#define FILE_PAGES 24u
#define ARENA_PAGES 48u
#define HELPERS 5u
#define NOWHERE UINT32_MAX
#define PAGEMAP_PRESENT ((uint64_t)1 << 63)
#define PAGEMAP_SWAPPED ((uint64_t)1 << 62)
#define PAGEMAP_FRAME (((uint64_t)1 << 55) - 1)

/*
 * struct place - one page of a helper's arena, as this process believes it to be
 * @file, @index: the page that an access finds there; file is NOWHERE where nothing is mapped
 * @linear:       does the range that covers the place say the same?
 */
struct place {
	uint32_t file;
	uint32_t index;
	bool linear;
	bool present;
	bool locked;
};

struct helper {
	struct place places[ARENA_PAGES];
	uint64_t frames[ARENA_PAGES]; /* as last read; 0: not present */
};

/* One attached range, and whose. */
struct piece {
	struct rmap_range range;
	uint32_t file;
};

#define PIECES (HELPERS * ARENA_PAGES)

struct world {
	struct generator generator;
	struct fixture fixture;
	struct rmap_object *objects[FILES];
	struct rmap_page pages[FILES][FILE_PAGES];
	struct piece pieces[PIECES];
	unsigned piece_count;
	struct crew crew;
	struct helper helpers[HELPERS];
	char *arena;
	char *views[FILES];
	int fds[FILES];
	uint32_t sizes[FILES];
	uint64_t frames[FILES][FILE_PAGES];
	uint64_t counts[FILES][FILE_PAGES]; /* of those frames, by the kernel */
	int pagemap;
	int kpagecount;
	unsigned bits;
	uint64_t compared; /* mappings */
};

static struct world world;

/* This side: commands and the mirror ------------------------------------------------------------------------------ */

static uint64_t draw(uint64_t n)
{
	return generator_below(&world.generator, n);
}

static uint64_t address_of(unsigned place)
{
	return (uint64_t)(uintptr_t)world.arena + place * PAGE;
}

/* The pte handle: mm and page number; in a map of shared addresses the address alone. */
static uint64_t handle_at(unsigned h, unsigned place)
{
	if (world.bits == 9)
		return address_of(place);
	return ((uint64_t)(h + 1) << 32 | place) << 3;
}

static struct rmap_page *page_at(const struct place *place)
{
	return &world.pages[place->file][place->index];
}

/* How the mapping at a place is to be named. */
static struct rmap_mapping mapping_at(unsigned h, unsigned at)
{
	const struct place *place = &world.helpers[h].places[at];

	if (place->locked)
		return rmap_locked();
	return place->linear ? rmap_linear() : rmap_chained(handle_at(h, at));
}

static void map_place(unsigned h, unsigned at, bool duplicate)
{
	struct place *place = &world.helpers[h].places[at];

	if (place->present)
		return;
	if (duplicate)
		expect(fixture_duplicate(&world.fixture, page_at(place), mapping_at(h, at)) >= 0);
	else
		expect(fixture_add(&world.fixture, page_at(place), mapping_at(h, at)) >= 0);
	place->present = true;
}

static void unmap_place(unsigned h, unsigned at)
{
	struct place *place = &world.helpers[h].places[at];

	if (!place->present)
		return;
	expect(fixture_remove(&world.fixture, page_at(place), mapping_at(h, at)) >= 0);
	place->present = false;
}

static void attach_piece(uint32_t file, struct rmap_range range)
{
	expect(rmap_object_attach(world.objects[file], &range) == 0);
	expect(world.piece_count < PIECES);
	world.pieces[world.piece_count++] = (struct piece){ range, file };
}

static unsigned piece_pages(const struct piece *piece)
{
	return (unsigned)(piece->range.last - piece->range.first + 1);
}

static unsigned piece_place(const struct piece *piece)
{
	return (unsigned)((piece->range.address - address_of(0)) / PAGE);
}

/* Splits the helper's range that has @at in its inside, so that a range begins at @at. */
static void cut_at(unsigned h, unsigned at)
{
	for (unsigned i = 0; i < world.piece_count; i++) {
		struct piece *piece = &world.pieces[i], *right;
		unsigned begin = piece_place(piece);

		if (piece->range.owner != h || at <= begin || at >= begin + piece_pages(piece))
			continue;
		expect(rmap_object_split(world.objects[piece->file], &piece->range,
					 piece->range.first + (at - begin)) == 0);
		expect(world.piece_count < PIECES);
		right = &world.pieces[world.piece_count++];
		*right = *piece;
		right->range.first = piece->range.first + (at - begin);
		right->range.address = address_of(at);
		piece->range.last = right->range.first - 1;
		return;
	}
}

/* Calls @act for each of the helper's ranges within places @at .. @at + @n - 1, after cutting at both ends. */
static void each_piece(unsigned h, unsigned at, unsigned n, void (*act)(struct piece *piece, uint64_t with),
		       uint64_t with)
{
	cut_at(h, at);
	cut_at(h, at + n);
	for (unsigned i = world.piece_count; i-- > 0;) {
		struct piece *piece = &world.pieces[i];

		if (piece->range.owner == h && piece_place(piece) >= at && piece_place(piece) < at + n)
			act(piece, with);
	}
}

static void detach_piece(struct piece *piece, uint64_t with)
{
	(void)with;
	expect(rmap_object_detach(world.objects[piece->file], &piece->range) == 0);
	*piece = world.pieces[--world.piece_count];
}

static void tag_piece(struct piece *piece, uint64_t tags)
{
	expect(rmap_object_tag(world.objects[piece->file], &piece->range, (uint32_t)tags) == 0);
	piece->range.tags = (uint32_t)tags;
}

static void move_piece(struct piece *piece, uint64_t by)
{
	expect(rmap_object_move(world.objects[piece->file], &piece->range, piece->range.address + by) == 0);
	piece->range.address += by;
}

static void forget_places(unsigned h, unsigned at, unsigned n)
{
	for (unsigned i = at; i < at + n; i++) {
		unmap_place(h, i);
		world.helpers[h].places[i] = (struct place){ .file = NOWHERE };
	}
	each_piece(h, at, n, detach_piece, 0);
}

/* Steps. Each takes a helper and a window of places --------------------------------------------------------------- */

/* Is all of the window mapped from one file? */
static bool mapped(unsigned h, unsigned at, unsigned n)
{
	const struct place *places = world.helpers[h].places;

	for (unsigned i = at; i < at + n; i++) {
		if (places[i].file == NOWHERE || places[i].file != places[at].file)
			return false;
	}
	return true;
}

static struct command command_at(enum command_kind kind, unsigned at, unsigned n)
{
	return (struct command){ .kind = kind, .address = address_of(at), .length = n * PAGE };
}

static void linear_places(unsigned h, unsigned at, unsigned n, uint32_t file, uint32_t index)
{
	struct rmap_range range = { index, index + n - 1, address_of(at), h, 12, 0 };

	for (unsigned i = 0; i < n; i++)
		world.helpers[h].places[at + i] = (struct place){ .file = file, .index = index + i, .linear = true };
	attach_piece(file, range);
}

static void step_mmap(unsigned h, unsigned at, unsigned n)
{
	struct command command = command_at(COMMAND_MMAP, at, n);

	command.how = MAP_SHARED;
	command.file = (unsigned)draw(FILES);
	command.index = draw(FILE_PAGES - n + 1);
	forget_places(h, at, n);
	crew_order(&world.crew, h, command);
	linear_places(h, at, n, command.file, (uint32_t)command.index);
}

static void step_munmap(unsigned h, unsigned at, unsigned n)
{
	forget_places(h, at, n);
	crew_order(&world.crew, h, command_at(COMMAND_MUNMAP, at, n));
}

/* Writes to what is mapped and within its file. */
static void touch(unsigned h, unsigned at, unsigned n, bool duplicate)
{
	for (unsigned i = at; i < at + n; i++) {
		const struct place *place = &world.helpers[h].places[i];

		if (place->file == NOWHERE || place->index >= world.sizes[place->file])
			continue;
		crew_order(&world.crew, h, command_at(COMMAND_WRITE, i, 1));
		map_place(h, i, duplicate);
	}
}

static void step_touch(unsigned h, unsigned at, unsigned n)
{
	touch(h, at, draw(4) ? n : ARENA_PAGES - at, false);
}

/* mlock brings in by reads what is missing, which maps neighbours too; touched before, nothing is. */
static void step_mlock(unsigned h, unsigned at, unsigned n)
{
	for (unsigned i = at; i < at + n; i++) {
		struct place *place = &world.helpers[h].places[i];

		if (place->file == NOWHERE || place->locked || place->index >= world.sizes[place->file])
			continue;
		touch(h, i, 1, false);
		crew_order(&world.crew, h, command_at(COMMAND_MLOCK, i, 1));
		expect(fixture_move(&world.fixture, page_at(place), mapping_at(h, i), rmap_locked()) >= 0);
		place->locked = true;
	}
}

static void step_munlock(unsigned h, unsigned at, unsigned n)
{
	for (unsigned i = at; i < at + n; i++) {
		struct place *place = &world.helpers[h].places[i];

		if (place->file == NOWHERE || !place->locked)
			continue;
		crew_order(&world.crew, h, command_at(COMMAND_MUNLOCK, i, 1));
		place->locked = false;
		if (place->present)
			expect(fixture_move(&world.fixture, page_at(place), rmap_locked(), mapping_at(h, i)) >= 0);
	}
}

/* Without locks: a locked window would be brought in by reads. */
static void step_remap(unsigned h, unsigned at, unsigned n)
{
	struct command command = command_at(COMMAND_REMAP, at, n);
	uint32_t file = world.helpers[h].places[at].file;

	if (!mapped(h, at, n))
		return;
	step_munlock(h, at, n);
	command.index = draw(FILE_PAGES - n + 1);
	crew_order(&world.crew, h, command);
	if (draw(2)) { /* as today's kernels do it */
		forget_places(h, at, n);
		linear_places(h, at, n, file, (uint32_t)command.index);
		return;
	}
	for (unsigned i = at; i < at + n; i++)
		unmap_place(h, i);
	each_piece(h, at, n, tag_piece, RMAP_RANGE_NONLINEAR);
	for (unsigned p = 0; p < world.piece_count; p++) {
		const struct piece *piece = &world.pieces[p];

		for (unsigned i = at; piece->range.owner == h && i < at + n; i++) {
			struct place *place = &world.helpers[h].places[i];

			if (piece_place(piece) > i || i >= piece_place(piece) + piece_pages(piece))
				continue;
			place->index = (uint32_t)command.index + (i - at);
			place->linear = rmap_range_is_linear(&piece->range, place->index, address_of(i));
		}
	}
}

/* Ranges move first, then the chained mappings: page.h wants a range attached before a mapping is linear in it. */
static void step_mremap(unsigned h, unsigned at, unsigned n)
{
	struct place *places = world.helpers[h].places;
	struct command command = command_at(COMMAND_MREMAP, at, n);
	unsigned to = (unsigned)draw(ARENA_PAGES - n + 1);

	if (!mapped(h, at, n) || !crew_one_vma(&world.crew, h, address_of(at), n * PAGE) ||
	    (to < at + n && at < to + n))
		return;
	command.to = address_of(to);
	forget_places(h, to, n);
	crew_order(&world.crew, h, command);
	each_piece(h, at, n, move_piece, address_of(to) - address_of(at));
	for (unsigned i = 0; i < n; i++) {
		struct place *from = &places[at + i];

		places[to + i] = *from;
		if (from->present && !from->linear && !from->locked)
			expect(fixture_move(&world.fixture, page_at(from), rmap_chained(handle_at(h, at + i)),
					    rmap_chained(handle_at(h, to + i))) == 0);
		*from = (struct place){ .file = NOWHERE };
	}
}

/* The kernel copies no ptes of shared files: the child touches at once what its parent has, and that is duplicated. */
static void step_fork(unsigned h, unsigned at, unsigned n)
{
	unsigned child = (unsigned)draw(HELPERS);

	(void)at;
	(void)n;
	if (world.crew.at[child].pid)
		return;
	crew_fork(&world.crew, h, child);
	for (unsigned i = 0, count = world.piece_count; i < count; i++) {
		struct rmap_range range = world.pieces[i].range;

		if (range.owner == h) {
			range.owner = child;
			attach_piece(world.pieces[i].file, range);
		}
	}
	for (unsigned i = 0; i < ARENA_PAGES; i++) {
		world.helpers[child].places[i] = world.helpers[h].places[i];
		world.helpers[child].places[i].present = world.helpers[child].places[i].locked = false;
		if (world.helpers[h].places[i].present)
			touch(child, i, 1, true);
	}
}

/* exit: everything at once, in a batch. */
static void leave(unsigned h)
{
	struct rmap_page *pages[ARENA_PAGES];
	struct rmap_mapping mappings[ARENA_PAGES];
	struct helper *helper = &world.helpers[h];
	int error = 0;
	size_t n = 0;

	for (unsigned i = 0; i < ARENA_PAGES; i++) {
		if (!helper->places[i].present)
			continue;
		pages[n] = page_at(&helper->places[i]);
		mappings[n++] = mapping_at(h, i);
		helper->places[i].present = false;
	}
	rmap_read_lock(world.fixture.map);
	expect(rmap_page_remove_batch(world.fixture.reserve, pages, mappings, NULL, n, &error) == n && error == 0);
	rmap_read_unlock(world.fixture.map);
	forget_places(h, 0, ARENA_PAGES);
	crew_exit(&world.crew, h, address_of(0), ARENA_PAGES * PAGE);
}

static void step_exit(unsigned h, unsigned at, unsigned n)
{
	(void)at;
	(void)n;
	if (crew_alive(&world.crew) > 1)
		leave(h);
}

/* This process's view holds every page of the file, so that each has a frame. */
static void fill_view(uint32_t file)
{
	for (uint32_t i = 0; i < world.sizes[file]; i++)
		*(volatile char *)(world.views[file] + i * PAGE) = 1;
}

static void step_truncate(unsigned h, unsigned at, unsigned n)
{
	uint32_t file = (uint32_t)draw(FILES);
	uint32_t size = (uint32_t)(draw(4) ? FILE_PAGES - draw(4) : draw(FILE_PAGES + 1));

	(void)h;
	(void)at;
	(void)n;
	rmap_object_truncate_advance(world.objects[file]);
	expect(ftruncate(world.fds[file], (off_t)(size * PAGE)) == 0);
	for (unsigned i = 0; i < HELPERS; i++) {
		for (unsigned p = 0; world.crew.at[i].pid && p < ARENA_PAGES; p++) {
			if (world.helpers[i].places[p].file == file && world.helpers[i].places[p].index >= size)
				unmap_place(i, p);
		}
	}
	world.sizes[file] = size;
	fill_view(file);
}

/* The comparison -------------------------------------------------------------------------------------------------- */

static uint64_t frame_of(uint64_t entry)
{
	return entry & PAGEMAP_PRESENT ? entry & PAGEMAP_FRAME : 0;
}

/*
 * Reads all frames. False: read again. The kernel may move pages between frames at any time (such a page looks swapped
 * out meanwhile), and a picture is whole once two readings in a row know the same frames.
 */
static bool read_frames(void)
{
	uint64_t entries[ARENA_PAGES > FILE_PAGES ? ARENA_PAGES : FILE_PAGES];
	bool whole = true;

	for (unsigned h = 0; h < HELPERS; h++) {
		if (!world.crew.at[h].pid)
			continue;
		expect(pread(world.crew.at[h].pagemap, entries, ARENA_PAGES * 8, (off_t)(address_of(0) / PAGE * 8)) ==
		       (ssize_t)ARENA_PAGES * 8);
		for (unsigned i = 0; i < ARENA_PAGES; i++) {
			world.helpers[h].frames[i] = frame_of(entries[i]);
			whole &= !(entries[i] & PAGEMAP_SWAPPED);
		}
	}
	for (unsigned f = 0; f < FILES; f++) {
		expect(pread(world.pagemap, entries, FILE_PAGES * 8, (off_t)((uintptr_t)world.views[f] / PAGE * 8)) ==
		       (ssize_t)FILE_PAGES * 8);
		for (unsigned i = 0; i < FILE_PAGES; i++) {
			whole &= i >= world.sizes[f] || frame_of(entries[i]) != 0;
			whole &= world.frames[f][i] == frame_of(entries[i]);
			world.frames[f][i] = frame_of(entries[i]);
		}
	}
	return whole;
}

static uint64_t kernel_count(uint64_t frame)
{
	uint64_t count = 0;

	expect(pread(world.kpagecount, &count, sizeof(count), (off_t)(frame * 8)) == (ssize_t)sizeof(count));
	return count;
}

/* Reads all mapcounts. False: they are not those of the reading before, so read again. */
static bool read_counts(void)
{
	bool same = true;

	for (unsigned f = 0; f < FILES; f++) {
		for (unsigned i = 0; i < FILE_PAGES; i++) {
			uint64_t count = world.frames[f][i] ? kernel_count(world.frames[f][i]) : 0;

			same &= world.counts[f][i] == count;
			world.counts[f][i] = count;
		}
	}
	return same;
}

/*
 * A picture of frames and their mapcounts: while the kernel moves a page, its mapcount falls, so a count is taken only
 * between two readings that know the same frames, and only if it is that of the reading before.
 */
static void read_picture(void)
{
	do {
		while (!read_frames())
			;
	} while (!read_counts() || !read_frames());
}

/* What the map says of one page, against the frames: names each (helper, place) once, or counts it as unnamed. */
struct named {
	bool at[HELPERS][ARENA_PAGES];
	uint64_t total;
};

static void name_chained(struct named *named, const struct rmap_visit *visit, uint64_t frame)
{
	uint64_t window = (uint64_t)8 << world.bits, found = 0;

	for (unsigned h = 0; h < HELPERS && found < visit->count; h++) {
		for (unsigned i = 0; world.crew.at[h].pid && i < ARENA_PAGES && found < visit->count; i++) {
			const struct place *place = &world.helpers[h].places[i];

			if (handle_at(h, i) / window * window != visit->handle || world.helpers[h].frames[i] != frame)
				continue;
			if (named->at[h][i] || place->linear || place->locked)
				continue;
			named->at[h][i] = true;
			found++;
		}
	}
	expect(found == visit->count); /* the chain names only what the kernel maps */
	named->total += found;
}

static void name_linear(struct named *named, const struct rmap_visit *visit, uint64_t frame)
{
	unsigned h = (unsigned)visit->range.owner, i = (unsigned)((visit->address - address_of(0)) / PAGE);

	expect(h < HELPERS && world.crew.at[h].pid && i < ARENA_PAGES);
	if (frame == 0 || world.helpers[h].frames[i] != frame)
		return; /* a candidate whose pte is not set, or set to another page */
	expect(!named->at[h][i]);
	named->at[h][i] = true;
	named->total++;
}

static void compare_page(uint32_t file, uint32_t index)
{
	struct rmap_page *page = &world.pages[file][index];
	const struct rmap_target target = { page, world.objects[file], index, index };
	struct rmap_counts counts = fixture_counts(&world.fixture, page);
	uint64_t frame = world.frames[file][index], mapped_by_kernel = 0, locked_nonlinear = 0;
	struct rmap_visit visits[8];
	struct rmap_cursor cursor;
	struct named named;
	size_t n;

	memset(&named, 0, sizeof(named));
	rmap_cursor_init(&cursor, world.fixture.map, &target);
	while ((n = rmap_cursor_next(&cursor, visits, 1 + draw(LENGTH(visits)))) > 0) {
		for (size_t i = 0; i < n; i++) {
			if (visits[i].kind == RMAP_LINEAR)
				name_linear(&named, &visits[i], frame);
			else
				name_chained(&named, &visits[i], frame);
		}
	}
	for (unsigned h = 0; h < HELPERS; h++) {
		for (unsigned i = 0; world.crew.at[h].pid && i < ARENA_PAGES; i++) {
			const struct place *place = &world.helpers[h].places[i];

			if (!frame || world.helpers[h].frames[i] != frame)
				continue;
			mapped_by_kernel++;
			if (named.at[h][i])
				continue;
			expect(place->locked &&
			       !place->linear); /* the kernel maps only what the map names, but for these */
			locked_nonlinear++;
		}
	}
	expect(counts.chained + counts.linear + counts.locked == mapped_by_kernel);
	expect(named.total + locked_nonlinear == mapped_by_kernel);
	expect(cursor.summary.unnamed == counts.locked && cursor.summary.linear == counts.linear);
	if (frame && world.counts[file][index] != mapped_by_kernel + 1) {
		fprintf(stderr,
			"frame %#" PRIx64 ": the kernel counts %" PRIu64 " ptes, and shows %" PRIu64 " and one\n",
			frame, world.counts[file][index], mapped_by_kernel);
		expect(!"one count");
	}
	fixture_shape(&world.fixture, page);
	world.compared += mapped_by_kernel;
}

static void compare_all(void)
{
	read_picture();
	for (uint32_t f = 0; f < FILES; f++) {
		rmap_read_lock(world.fixture.map);
		expect(rmap_object_check(world.objects[f]) == 0);
		rmap_read_unlock(world.fixture.map);
		for (uint32_t i = 0; i < FILE_PAGES; i++)
			compare_page(f, i);
	}
}

/* The whole ------------------------------------------------------------------------------------------------------- */

/* Why the test cannot run here; NULL: it can. */
static const char *lacking(void)
{
	uint64_t entry = 0, count = 0;
	char *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (sysconf(_SC_PAGESIZE) != (long)PAGE)
		return "pages here are not of 4096 bytes";
	expect(page != MAP_FAILED);
	*(volatile char *)page = 1;
	world.pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	world.kpagecount = open("/proc/kpagecount", O_RDONLY | O_CLOEXEC);
	if (world.pagemap < 0 || pread(world.pagemap, &entry, 8, (off_t)((uintptr_t)page / PAGE * 8)) != 8)
		return "/proc/self/pagemap cannot be read";
	if (frame_of(entry) == 0)
		return "pagemap shows no frame numbers";
	if (world.kpagecount < 0 || pread(world.kpagecount, &count, 8, (off_t)(frame_of(entry) * 8)) != 8 || count != 1)
		return "/proc/kpagecount cannot be read";
	if (remap_file_pages(page, PAGE, 0, 0, MAP_NONBLOCK) != 0)
		return "the kernel has no remap_file_pages";
	if (mlock(page, PAGE) != 0)
		return "memory cannot be locked; raise RLIMIT_MEMLOCK";
	munmap(page, PAGE);
	return NULL;
}

static void open_files(void)
{
	world.arena = mmap(NULL, ARENA_PAGES * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	expect(world.arena != MAP_FAILED);
	for (uint32_t f = 0; f < FILES; f++) {
		world.fds[f] = memfd_create("kernel", MFD_CLOEXEC);
		world.sizes[f] = FILE_PAGES;
		expect(world.fds[f] >= 0 && ftruncate(world.fds[f], (off_t)(FILE_PAGES * PAGE)) == 0);
		world.views[f] = mmap(NULL, FILE_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, world.fds[f], 0);
		expect(world.views[f] != MAP_FAILED);
		expect(madvise(world.views[f], FILE_PAGES * PAGE, MADV_DONTFORK) == 0);
		fill_view(f);
	}
}

/* Before the map is created: helpers are forked from a process of one thread. */
static void start_helpers(void)
{
	prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
	memset(world.helpers, 0, sizeof(world.helpers));
	for (unsigned h = 0; h < HELPERS; h++) {
		for (unsigned i = 0; i < ARENA_PAGES; i++)
			world.helpers[h].places[i].file = NOWHERE;
	}
	crew_start(&world.crew, HELPERS, world.fds);
}

static void finish(void)
{
	for (unsigned h = 0; h < HELPERS; h++) {
		if (world.crew.at[h].pid)
			leave(h);
	}
	crew_fini(&world.crew);
	compare_all();
	for (uint32_t f = 0; f < FILES; f++) {
		for (uint32_t i = 0; i < FILE_PAGES; i++)
			expect(world.pages[f][i].word == 0);
		rmap_object_destroy(world.objects[f]);
		munmap(world.views[f], FILE_PAGES * PAGE);
		close(world.fds[f]);
	}
	munmap(world.arena, ARENA_PAGES * PAGE);
	close(world.pagemap);
	close(world.kpagecount);
	fixture_fini(&world.fixture);
}

static void against_the_kernel(void **state)
{
	static void (*const steps[])(unsigned h, unsigned at, unsigned n) = {
		step_mmap,    step_mmap,  step_mmap,  step_munmap, step_mremap,   step_mremap, step_remap,
		step_remap,   step_touch, step_touch, step_touch,  step_touch,    step_touch,  step_mlock,
		step_munlock, step_fork,  step_fork,  step_exit,   step_truncate,
	};
	const uint64_t count = test_scaled(1500);
	const char *reason;

	memset(&world, 0, sizeof(world));
	reason = lacking();
	if (reason)
		test_not_run(geteuid() == 0 ? "kernel" : "root", reason);
	world.generator.state = test_seed();
	world.bits = *(unsigned *)*state;
	open_files();
	start_helpers();
	fixture_init(&world.fixture, world.bits, RMAP_RECLAIM_CALLBACK, 0);
	for (uint32_t f = 0; f < FILES; f++)
		expect(rmap_object_create(world.fixture.map, &world.objects[f]) == 0);
	for (uint64_t i = 0; i < count; i++) {
		unsigned h = (unsigned)draw(HELPERS), n = 1 + (unsigned)draw(8),
			 at = (unsigned)draw(ARENA_PAGES - n + 1);

		while (!world.crew.at[h].pid)
			h = (h + 1) % HELPERS;
		steps[draw(LENGTH(steps))](h, at, n);
		compare_all();
	}
	print_message("# %" PRIu64 " steps, %" PRIu64 " mappings compared\n", count, world.compared);
	expect(world.compared > 0);
	finish();
}

int main(void)
{
	static unsigned bits[] = { 0, 4, 9 };
	const struct CMUnitTest tests[] = {
		{ "plain_ptes", against_the_kernel, NULL, NULL, &bits[0] },
		{ "clusters", against_the_kernel, NULL, NULL, &bits[1] },
		{ "shared_addresses", against_the_kernel, NULL, NULL, &bits[2] },
	};

	return cmocka_run_group_tests_name("kernel", tests, NULL, NULL);
}
