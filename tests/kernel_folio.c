/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kernel_folio.c - the real kernel as oracle: huge pages of files and of anonymous memory, private copies of file pages
 *
 * As kernel.c, with other memory. Helpers map two files, shared and private, and anonymous memory, and ask for huge
 * pages there; they read, write, protect, discard, collapse, move and unmap parts of it, fork and exit; this process
 * writes to the files, truncates them and punches holes. The mirror has each helper's page tables and does what a VM
 * would do: an object a file, one more for anonymous memory, of which private copies have indexes of their own by file;
 * a range a vma, or two where it is private; a page a folio, with a count for each pte, in batches.
 *
 * What a step must do to the page tables the mirror does by itself, truncates and holes by rmap_truncate(). What the
 * kernel is free to do, it takes from the kernel's page tables: how large folios are, and which ptes of file pages are
 * set, since a fault may set neighbours and a split clears them. So after each step a picture is taken, and judged:
 *
 *      file pages    each index of a file is in one frame, whoever maps it; mapped by nobody past the file's end
 *      copies        whatever a helper wrote for itself is there, until it discards it or a truncate takes it: in an
 *                    anonymous frame, and two places have the same one only if a fork made them share it
 *      folios        lie at consecutive frames, indexes and addresses, however they came about
 *      contents      are those that were written; of a copy also the file's of the time when it was made
 *      entries       of small pages are marked as the only ones if and only if kpagecount says so
 *
 * Then the mirror follows. A folio that is no more is unmapped by rmap_unmap(), which must find all that mapped it, and
 * what the kernel maps now is added. For each folio the map then has to say what the kernel says:
 *
 *      the places that a walk names = the places whose pagemap has a frame of the folio
 *      its mapcount                 = their number = the sum of kpagecount over its frames
 */
#include "kernel_mirror.h"

#include <fcntl.h>
#include <inttypes.h>
#include <rmap/unmap.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <unistd.h>

struct variant {
	unsigned bits;
	bool tmpfs; /* with huge=always; otherwise memfds */
};

static int fds[FILES];
static uint64_t collapses, refused;

/* Steps. Each takes a helper and a window of places --------------------------------------------------------------- */

static struct command command_at(enum command_kind kind, unsigned at, unsigned n)
{
	return (struct command){ .kind = kind, .address = address_of(at), .length = n * PAGE };
}

static void order(unsigned h, struct command command)
{
	crew_order(&mirror.crew, h, command);
}

/* Is all of the window mapped, and of one kind and file? */
static bool mapped(unsigned h, unsigned at, unsigned n)
{
	const struct place *places = mirror.places[h];

	for (unsigned i = at; i < at + n; i++) {
		if (places[i].vma == NOTHING || places[i].vma != places[at].vma || places[i].file != places[at].file)
			return false;
	}
	return true;
}

static bool one_vma(unsigned h, unsigned at, unsigned n)
{
	return mapped(h, at, n) && crew_one_vma(&mirror.crew, h, address_of(at), n * PAGE);
}

static void linear_places(unsigned h, unsigned at, unsigned n, struct place first)
{
	struct rmap_range range = { first.index, first.index + n - 1, address_of(at), h, 12, 0 };

	attach_piece((struct piece){ first.vma, first.file, range });
	for (unsigned i = at; i < at + n; i++, first.index++)
		mirror.places[h][i] = first;
}

/* Mostly such that one entry could map a huge page of the file, and always where all of one is to be mapped. */
static uint64_t draw_index(unsigned at, unsigned n)
{
	uint64_t index = at % HUGE + draw(FILE_PAGES / HUGE) * HUGE;

	return (n == HUGE || draw(2)) && index + n <= FILE_PAGES ? index : draw(FILE_PAGES - n + 1);
}

static void map_window(unsigned h, unsigned at, unsigned n, enum vma vma)
{
	static const int flags[] = { 0, MAP_SHARED, MAP_PRIVATE, MAP_PRIVATE | MAP_ANONYMOUS };
	struct place place = { .vma = vma, .linear = true, .writable = true };
	struct command command = command_at(COMMAND_MMAP, at, n);

	if (place.vma != ANONYMOUS) {
		command.file = place.file = (uint32_t)draw(FILES);
		command.index = place.index = draw_index(at, n);
	} else {
		place.index = at;
	}
	command.how = flags[place.vma];
	forget_places(h, at, n);
	order(h, command);
	linear_places(h, at, n, place);
	command.kind = COMMAND_MADVISE;
	command.how = MADV_HUGEPAGE;
	if (n == HUGE || draw(2))
		crew_tell(&mirror.crew, h, command);
}

static void step_mmap(unsigned h, unsigned at, unsigned n)
{
	map_window(h, at, n, (enum vma)(1 + draw(3)));
}

static void step_munmap(unsigned h, unsigned at, unsigned n)
{
	forget_places(h, at, n);
	order(h, command_at(COMMAND_MUNMAP, at, n));
}

static bool accessible(const struct place *place, bool write)
{
	if (place->vma == NOTHING || (write && !place->writable))
		return false;
	return place->vma == ANONYMOUS || place->index < mirror.sizes[place->file];
}

/* A shared page has its tag in the first word, and one's own in the second, beside the file's of the time. */
static void write_place(struct batch *batch, unsigned h, unsigned at, uint64_t tag)
{
	struct place *place = &mirror.places[h][at];

	if (place->vma == SHARED) {
		mirror.contents[place->file][place->index] = tag;
		return;
	}
	if (!place->copy) {
		clear_pte(batch, h, at);
		place->words[0] = place->vma == PRIVATE ? mirror.contents[place->file][place->index] : 0;
		place->copy = true;
	}
	place->words[1] = tag;
	place->identity = tag;
}

static void access_places(unsigned h, unsigned at, unsigned n, bool write)
{
	const struct place *places = mirror.places[h];
	struct batch batch = { .adds = false };

	for (unsigned i = at, run; i < at + n; i += run) {
		struct command command;

		run = 1;
		if (!accessible(&places[i], write))
			continue;
		while (i + run < at + n && places[i + run].vma == places[i].vma && accessible(&places[i + run], write))
			run++;
		command = command_at(write ? COMMAND_WRITE : COMMAND_READ, i, run);
		command.index = places[i].vma != SHARED;
		command.value = mirror.tag + 1;
		order(h, command);
		for (unsigned p = i; write && p < i + run; p++)
			write_place(&batch, h, p, ++mirror.tag);
	}
	batch_flush(&batch);
}

static void step_read(unsigned h, unsigned at, unsigned n)
{
	access_places(h, at, n, false);
}

static void step_write(unsigned h, unsigned at, unsigned n)
{
	access_places(h, at, n, true);
}

static void step_discard(unsigned h, unsigned at, unsigned n)
{
	struct command command = command_at(COMMAND_MADVISE, at, n);

	command.how = MADV_DONTNEED;
	order(h, command);
	clear_places(h, at, n);
}

/* Where there is swap; elsewhere nothing happens. */
static void step_pageout(unsigned h, unsigned at, unsigned n)
{
	struct command command = command_at(COMMAND_MADVISE, at, n);

	command.how = MADV_PAGEOUT;
	crew_tell(&mirror.crew, h, command);
}

static void step_protect(unsigned h, unsigned at, unsigned n)
{
	struct command command = command_at(COMMAND_MPROTECT, at, n);
	bool writable = draw(3) > 0;

	if (!mapped(h, at, n))
		return;
	command.how = writable ? PROT_READ | PROT_WRITE : PROT_READ;
	order(h, command);
	cut_pieces(h, at, n);
	for (unsigned i = at; i < at + n; i++)
		mirror.places[h][i].writable = writable;
}

/* Only what one vma maps can be collapsed. */
static void step_collapse(unsigned h, unsigned at, unsigned n)
{
	struct command command = command_at(COMMAND_MADVISE, at / HUGE * HUGE, HUGE);

	if (!one_vma(h, at / HUGE * HUGE, HUGE)) {
		step_mmap(h, at / HUGE * HUGE, HUGE);
		access_places(h, at, n, draw(4) > 0);
		compare();
	}
	command.how = MADV_COLLAPSE;
	if (crew_tell(&mirror.crew, h, command).value == 0)
		collapses++;
	else
		refused++;
}

/* Anonymous memory keeps its index as the kernel's does, which it does not before its first page. */
static void step_mremap(unsigned h, unsigned at, unsigned n)
{
	struct place *places = mirror.places[h];
	struct command command = command_at(COMMAND_MREMAP, at, n);
	unsigned to = draw(2) ? at % HUGE + (unsigned)draw(ARENA_PAGES / HUGE) * HUGE : (unsigned)draw(ARENA_PAGES);

	if (to + n > ARENA_PAGES || (to < at + n && at < to + n) || !one_vma(h, at, n))
		return;
	if (places[at].vma == ANONYMOUS && !places[at].copy && !places[at].writable)
		return;
	if (places[at].vma == ANONYMOUS && !places[at].copy) {
		access_places(h, at, 1, true);
		compare();
	}
	command.to = address_of(to);
	forget_places(h, to, n);
	order(h, command);
	each_piece(h, at, n, move_piece, address_of(to) - address_of(at));
	for (unsigned i = 0; i < n; i++) {
		struct place *from = &places[at + i];

		places[to + i] = *from;
		if (from->folio && from->vma == SHARED && !from->linear)
			expect(fixture_move(&mirror.fixture, &from->folio->rmap, rmap_chained(handle_at(h, at + i)),
					    rmap_chained(handle_at(h, to + i))) == 0);
		*from = (struct place){ .vma = NOTHING };
	}
}

/* As kernels of 2003 did it: the vma stays, and its mappings are chained. */
static void make_nonlinear(unsigned h, unsigned at, unsigned n, uint64_t index)
{
	clear_places(h, at, n);
	each_piece(h, at, n, tag_piece, RMAP_RANGE_NONLINEAR);
	for (unsigned p = 0; p < mirror.piece_count; p++) {
		const struct rmap_range *range = &mirror.pieces[p].range;
		unsigned begin = place_of(range->address);

		for (unsigned i = begin; range->owner == h && i <= begin + (range->last - range->first); i++) {
			struct place *place = &mirror.places[h][i];

			if (i < at || i >= at + n)
				continue;
			place->index = index + (i - at);
			place->linear = rmap_range_is_linear(range, place->index, address_of(i));
		}
	}
}

/* At random as today's kernels do it, with other vmas, or as those of 2003. */
static void step_remap(unsigned h, unsigned at, unsigned n)
{
	struct command command = command_at(COMMAND_REMAP, at, n);
	struct place first;

	if (mirror.places[h][at].vma != SHARED || !one_vma(h, at, n))
		map_window(h, at, n, SHARED);
	first = mirror.places[h][at];
	first.index = command.index = draw_index(at, n);
	first.linear = true;
	first.folio = NULL;
	order(h, command);
	if (draw(2)) {
		forget_places(h, at, n);
		linear_places(h, at, n, first);
		return;
	}
	make_nonlinear(h, at, n, command.index);
	access_places(h, at, n, draw(2));
}

/* The child has the copies; of file pages what the kernel likes. */
static void step_fork(unsigned h, unsigned at, unsigned n)
{
	unsigned child = (unsigned)draw(HELPERS);

	(void)at;
	(void)n;
	if (mirror.crew.at[child].pid)
		return;
	crew_fork(&mirror.crew, h, child);
	for (unsigned i = 0, count = mirror.piece_count; i < count; i++) {
		struct piece piece = mirror.pieces[i];

		piece.range.owner = child;
		if (mirror.pieces[i].range.owner == h)
			attach_piece(piece);
	}
	for (unsigned i = 0, run; i < ARENA_PAGES; i += run) {
		const struct place *places = &mirror.places[h][i];
		struct folio *folio = places->copy ? places->folio : NULL;

		run = 1;
		while (folio && i + run < ARENA_PAGES && places[run].copy && places[run].folio == folio)
			run++;
		for (unsigned p = i; p < i + run; p++) {
			mirror.places[child][p] = mirror.places[h][p];
			mirror.places[child][p].folio = folio;
		}
		if (folio)
			expect(fixture_duplicate(&mirror.fixture, &folio->rmap, rmap_linear_many(run)) == 0);
	}
}

static void leave(unsigned h)
{
	forget_places(h, 0, ARENA_PAGES);
	crew_exit(&mirror.crew, h, address_of(0), ARENA_PAGES * PAGE);
}

static void step_exit(unsigned h, unsigned at, unsigned n)
{
	(void)at;
	(void)n;
	if (crew_alive(&mirror.crew) > 1)
		leave(h);
}

static void step_truncate(unsigned h, unsigned at, unsigned n)
{
	uint32_t file = (uint32_t)draw(FILES);
	uint64_t size = draw(2) ? FILE_PAGES - draw(2) * draw(n) : draw(FILE_PAGES + 1);

	(void)h;
	(void)at;
	truncate_mirror(file, size, UINT64_MAX, RMAP_UNMAP_COPIES);
	expect(ftruncate(fds[file], (off_t)(size * PAGE)) == 0);
	mirror.sizes[file] = size;
}

static void step_punch(unsigned h, unsigned at, unsigned n)
{
	uint32_t file = (uint32_t)draw(FILES);
	uint64_t first = draw(FILE_PAGES - n + 1);

	(void)h;
	(void)at;
	truncate_mirror(file, first, first + n - 1, 0);
	expect(fallocate(fds[file], FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)(first * PAGE),
			 (off_t)(n * PAGE)) == 0);
}

static void step_file_write(unsigned h, unsigned at, unsigned n)
{
	uint32_t file = (uint32_t)draw(FILES);
	uint64_t first = draw(FILE_PAGES - n + 1);

	(void)h;
	(void)at;
	for (uint64_t i = first; i < first + n && i < mirror.sizes[file]; i++) {
		mirror.contents[file][i] = ++mirror.tag;
		expect(pwrite(fds[file], &mirror.tag, sizeof(mirror.tag), (off_t)(i * PAGE)) == sizeof(mirror.tag));
	}
}

/* The whole ------------------------------------------------------------------------------------------------------- */

/* A file on a tmpfs of its own that gives huge pages whatever the system's memfds get; -1: it cannot be had. */
static int open_on_tmpfs(unsigned number)
{
	int context = fsopen("tmpfs", FSOPEN_CLOEXEC), mounted = -1, file = -1;
	const char name[] = { (char)('a' + number), 0 };

	if (context >= 0 && fsconfig(context, FSCONFIG_SET_STRING, "huge", "always", 0) == 0 &&
	    fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0)
		mounted = fsmount(context, FSMOUNT_CLOEXEC, 0);
	if (mounted >= 0) {
		file = openat(mounted, name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		close(mounted);
	}
	if (context >= 0)
		close(context);
	return file;
}

static bool open_files(bool tmpfs)
{
	for (uint32_t f = 0; f < FILES; f++) {
		fds[f] = tmpfs ? open_on_tmpfs(f) : memfd_create("folio", MFD_CLOEXEC);
		if (fds[f] < 0)
			return false;
		expect(ftruncate(fds[f], (off_t)(FILE_PAGES * PAGE)) == 0);
	}
	return true;
}

static void draw_window(unsigned *at, unsigned *n)
{
	static const unsigned sizes[] = { 8, 64, HUGE };

	*n = 1 + (unsigned)draw(sizes[draw(LENGTH(sizes))]);
	*at = (unsigned)draw(ARENA_PAGES - *n + 1);
	if (draw(4) == 0) {
		*n = HUGE;
		*at = (unsigned)draw(ARENA_PAGES / HUGE) * HUGE;
	}
}

/* Each kind of memory once, with what it takes to be huge; from then on it is chance. */
static void run_first(void)
{
	for (unsigned area = 0; area < ARENA_PAGES / HUGE; area++) {
		map_window(0, area * HUGE, HUGE, (enum vma)(SHARED + area % ANONYMOUS));
		step_write(0, area * HUGE, HUGE);
		compare();
		step_collapse(0, area * HUGE, HUGE);
		compare();
	}
}

static void run_steps(uint64_t count)
{
	static void (*const steps[])(unsigned h, unsigned at, unsigned n) = {
		step_mmap,     step_mmap,       step_mmap,    step_munmap,  step_mremap,   step_mremap,   step_remap,
		step_remap,    step_read,       step_read,    step_read,    step_read,     step_write,    step_write,
		step_write,    step_write,      step_write,   step_discard, step_protect,  step_collapse, step_collapse,
		step_collapse, step_fork,       step_fork,    step_exit,    step_truncate, step_truncate, step_punch,
		step_punch,    step_file_write, step_pageout,
	};

	for (uint64_t i = 0; i < count; i++) {
		unsigned h = (unsigned)draw(HELPERS), at, n;

		draw_window(&at, &n);
		while (!mirror.crew.at[h].pid)
			h = (h + 1) % HELPERS;
		steps[draw(LENGTH(steps))](h, at, n);
		compare();
		if (mirror.crew.at[h].pid)
			compare_contents(h, at, n);
		if (i % 64 == 0)
			compare_all_contents();
	}
}

static void against_the_kernel(void **state)
{
	const struct variant *variant = *state;
	const uint64_t count = test_scaled(LONE(200)), length = (ARENA_PAGES + HUGE) * PAGE, align = HUGE * PAGE;
	const char *reason, *lack = geteuid() == 0 ? "kernel" : "root";
	char *area;

	if (sysconf(_SC_PAGESIZE) != (long)PAGE)
		test_not_run("kernel", "pages here are not of 4096 bytes");
	if (!open_files(variant->tmpfs))
		test_not_run(lack, "there is no tmpfs with huge pages to be had");
	area = mmap(NULL, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	expect(area != MAP_FAILED);
	reason = mirror_init(test_seed(), variant->bits, fds, area + (align - (uintptr_t)area % align));
	if (reason)
		test_not_run(lack, reason);
	collapses = refused = 0;
	run_first();
	run_steps(count);
	for (unsigned h = 0; h < HELPERS; h++) {
		if (mirror.crew.at[h].pid)
			leave(h);
	}
	mirror_fini();
	munmap(area, length);
	for (uint32_t f = 0; f < FILES; f++)
		close(fds[f]);
	print_message("# %" PRIu64 " steps, %" PRIu64 " mappings compared, %" PRIu64 " of them chained, %" PRIu64
		      " of small pages alone; met %" PRIu64 " large folios of files, %" PRIu64
		      " anonymous ones; %" PRIu64 " collapses, %" PRIu64 " refused; %" PRIu64 " pages swapped in\n",
		      count, mirror.compared, mirror.chained, mirror.exclusive, mirror.large[0], mirror.large[1],
		      collapses, refused, mirror.picture.swapped);
	if (!mirror.large[0] || !mirror.large[1])
		test_not_run("kernel", mirror.large[1] ? "no huge page of a file came" : "no huge anonymous page came");
}

int main(void)
{
	static struct variant variants[] = { { 0, false }, { 4, false }, { 0, true } };
	const struct CMUnitTest tests[] = {
		{ "memfds", against_the_kernel, NULL, NULL, &variants[0] },
		{ "memfds_clusters", against_the_kernel, NULL, NULL, &variants[1] },
		{ "tmpfs", against_the_kernel, NULL, NULL, &variants[2] },
	};

	return cmocka_run_group_tests_name("kernel_folio", tests, NULL, NULL);
}
