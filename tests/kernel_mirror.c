/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kernel_mirror.c - see kernel_mirror.h
 */
#include "kernel_mirror.h"

#include <errno.h>
#include <inttypes.h>
#include <rmap/unmap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

struct mirror mirror;

uint64_t draw(uint64_t n)
{
	return generator_below(&mirror.generator, n);
}

uint64_t address_of(unsigned place)
{
	return (uint64_t)(uintptr_t)mirror.arena + place * PAGE;
}

unsigned place_of(uint64_t address)
{
	return (unsigned)((address - address_of(0)) / PAGE);
}

uint64_t handle_at(unsigned h, unsigned place)
{
	return ((uint64_t)(h + 1) << 32 | place) << 3;
}

/* Batches: runs of linear ptes of one folio are one operation ------------------------------------------------------ */

void batch_flush(struct batch *batch)
{
	struct rmap_reserve *reserve = mirror.fixture.reserve;
	int error = 0;
	size_t done;

	if (batch->adds)
		fixture_fill(&mirror.fixture, (unsigned)batch->n);
	rmap_read_lock(mirror.fixture.map);
	done = (batch->adds ? rmap_page_add_batch : rmap_page_remove_batch)(reserve, batch->pages, batch->mappings,
									    NULL, batch->n, &error);
	rmap_read_unlock(mirror.fixture.map);
	expect(done == batch->n && error == 0);
	batch->n = 0;
}

static void batch_note(struct batch *batch, unsigned h, unsigned at, struct folio *folio)
{
	const struct place *place = &mirror.places[h][at];
	size_t n = batch->n;

	if (place->vma == SHARED && !place->linear) {
		batch->mappings[n] = rmap_chained(handle_at(h, at));
	} else if (n && batch->pages[n - 1] == &folio->rmap && batch->mappings[n - 1].kind == RMAP_LINEAR) {
		batch->mappings[n - 1].count++;
		return;
	} else {
		batch->mappings[n] = rmap_linear();
	}
	batch->pages[n] = &folio->rmap;
	batch->n++;
	if (batch->n == BATCH)
		batch_flush(batch);
}

void clear_pte(struct batch *batch, unsigned h, unsigned at)
{
	struct place *place = &mirror.places[h][at];

	if (place->folio)
		batch_note(batch, h, at, place->folio);
	place->folio = NULL;
}

void clear_places(unsigned h, unsigned at, unsigned n)
{
	struct batch batch = { .adds = false };

	for (unsigned i = at; i < at + n; i++) {
		clear_pte(&batch, h, i);
		mirror.places[h][i].copy = false;
	}
	batch_flush(&batch);
}

/* Ranges: a private piece has one in its file and one in anonymous memory ----------------------------------------- */

static bool view_of(const struct piece *piece, unsigned number, struct rmap_object **object, struct rmap_range *range)
{
	*range = piece->range;
	if (number == 0) {
		*object = mirror.objects[piece->vma == ANONYMOUS ? FILES : piece->file];
		return true;
	}
	*object = mirror.objects[FILES];
	range->first += (piece->file + 1) * COPIES_OF;
	range->last += (piece->file + 1) * COPIES_OF;
	return number == 1 && piece->vma == PRIVATE;
}

#define each_view(piece, object, range)                                                                                \
	for (unsigned view_number = 0; view_of(piece, view_number, &(object), &(range)); view_number++)

void attach_piece(struct piece piece)
{
	struct rmap_object *object;
	struct rmap_range range;

	each_view (&piece, object, range) {
		expect(rmap_object_attach(object, &range) == 0);
	}
	expect(mirror.piece_count < PIECES);
	mirror.pieces[mirror.piece_count++] = piece;
}

static void cut_at(unsigned h, unsigned at)
{
	for (unsigned i = 0; i < mirror.piece_count; i++) {
		struct piece *piece = &mirror.pieces[i], right = *piece;
		unsigned begin = place_of(piece->range.address);
		uint64_t left = at - begin;
		struct rmap_object *object;
		struct rmap_range range;

		if (piece->range.owner != h || at <= begin || left > piece->range.last - piece->range.first)
			continue;
		each_view (piece, object, range) {
			expect(rmap_object_split(object, &range, range.first + left) == 0);
		}
		right.range.first += left;
		right.range.address = address_of(at);
		piece->range.last = right.range.first - 1;
		expect(mirror.piece_count < PIECES);
		mirror.pieces[mirror.piece_count++] = right;
		return;
	}
}

void cut_pieces(unsigned h, unsigned at, unsigned n)
{
	cut_at(h, at);
	cut_at(h, at + n);
}

void each_piece(unsigned h, unsigned at, unsigned n, void (*act)(struct piece *piece, uint64_t with), uint64_t with)
{
	cut_pieces(h, at, n);
	for (unsigned i = mirror.piece_count; i-- > 0;) {
		struct piece *piece = &mirror.pieces[i];
		unsigned begin = place_of(piece->range.address);

		if (piece->range.owner == h && begin >= at && begin < at + n)
			act(piece, with);
	}
}

static void detach_piece(struct piece *piece, uint64_t with)
{
	struct rmap_object *object;
	struct rmap_range range;

	(void)with;
	each_view (piece, object, range) {
		expect(rmap_object_detach(object, &range) == 0);
	}
	*piece = mirror.pieces[--mirror.piece_count];
}

void tag_piece(struct piece *piece, uint64_t tags)
{
	expect(rmap_object_tag(mirror.objects[piece->file], &piece->range, (uint32_t)tags) == 0);
	piece->range.tags = (uint32_t)tags;
}

void move_piece(struct piece *piece, uint64_t by)
{
	struct rmap_object *object;
	struct rmap_range range;

	each_view (piece, object, range) {
		expect(rmap_object_move(object, &range, range.address + by) == 0);
	}
	piece->range.address += by;
}

void forget_places(unsigned h, unsigned at, unsigned n)
{
	clear_places(h, at, n);
	memset(&mirror.places[h][at], 0, n * sizeof(struct place));
	each_piece(h, at, n, detach_piece, 0);
}

/* Folios ---------------------------------------------------------------------------------------------------------- */

static struct folio *make_folio(uint32_t object, uint64_t first, uint64_t last, uint64_t head)
{
	struct folio *folio;

	expect(mirror.free_count > 0);
	folio = mirror.free[--mirror.free_count];
	*folio = (struct folio){ { 0 }, object, mirror.live_count, first, last, head };
	for (uint64_t i = first; object < FILES && i <= last; i++)
		mirror.cache[object][i] = folio;
	mirror.live[mirror.live_count++] = folio;
	return folio;
}

static void end_folio(struct folio *folio)
{
	expect(folio->rmap.word == 0);
	for (uint64_t i = folio->first; folio->object < FILES && i <= folio->last; i++)
		mirror.cache[folio->object][i] = NULL;
	mirror.live[folio->number] = mirror.live[--mirror.live_count];
	mirror.live[folio->number]->number = folio->number;
	mirror.free[mirror.free_count++] = folio;
}

static struct rmap_target target_of(const struct folio *folio)
{
	return (struct rmap_target){ &folio->rmap, mirror.objects[folio->object], folio->first, folio->last };
}

/* What the mirror's page of this place has as index in its object. */
static uint64_t index_of(const struct place *place)
{
	return place->copy && place->vma == PRIVATE ? (place->file + 1) * COPIES_OF + place->index : place->index;
}

/* Callbacks of unmaps and truncates ------------------------------------------------------------------------------ */

static void clear_if_mapped(struct batch *batch, unsigned h, unsigned at, const struct rmap_target *target,
			    uint64_t *cleared)
{
	const struct place *place = &mirror.places[h][at];
	uint64_t index = index_of(place);

	if (!place->folio || &place->folio->rmap != target->page || index < target->first || index > target->last)
		return;
	clear_pte(batch, h, at);
	++*cleared;
}

static int clear(void *arg, const struct rmap_target *target, const struct rmap_visit *visit, unsigned flags,
		 uint64_t *cleared)
{
	uint64_t window = (uint64_t)8 << mirror.fixture.bits;
	struct batch batch = { .adds = false };

	(void)arg;
	(void)flags;
	if (visit->kind == RMAP_LINEAR) {
		unsigned at = place_of(visit->address);

		for (unsigned i = at; i < at + visit->count; i++)
			clear_if_mapped(&batch, (unsigned)visit->range.owner, i, target, cleared);
	} else {
		unsigned h = (unsigned)(visit->handle >> 35) - 1, at = (unsigned)(visit->handle >> 3);

		for (unsigned i = at; i < at + window / 8 && i < ARENA_PAGES; i++) {
			if (!mirror.places[h][i].linear)
				clear_if_mapped(&batch, h, i, target, cleared);
		}
	}
	batch_flush(&batch);
	return 0;
}

static int clear_range(void *arg, const struct rmap_search *search, uint64_t *cleared)
{
	unsigned h = (unsigned)search->range.owner, at = place_of(rmap_range_address(&search->range, search->from));
	struct batch batch = { .adds = false };

	(void)arg;
	for (unsigned i = at; i <= at + (search->to - search->from); i++) {
		struct place *place = &mirror.places[h][i];

		if (place->vma == NOTHING || place->vma == ANONYMOUS || mirror.objects[place->file] != search->object)
			continue;
		if (!place->folio || place->index < search->first || place->index > search->last)
			continue;
		if (place->copy && !(search->flags & RMAP_UNMAP_COPIES))
			continue;
		clear_pte(&batch, h, i);
		place->copy = false;
		++*cleared;
	}
	batch_flush(&batch);
	return 0;
}

static struct folio *folio_of(const struct rmap_target *target)
{
	return (struct folio *)(uintptr_t)target->page;
}

static int lock_next(void *arg, struct rmap_object *object, uint64_t first, uint64_t last, struct rmap_target *target)
{
	uint32_t file = object == mirror.objects[0] ? 0 : 1;

	(void)arg;
	for (uint64_t i = first; i <= last && i < FILE_PAGES; i++) {
		if (!mirror.cache[file][i])
			continue;
		*target = target_of(mirror.cache[file][i]);
		return 0;
	}
	return -ENOENT;
}

static int split(void *arg, const struct rmap_target *target, uint64_t first, uint64_t last);

static void unlock(void *arg, const struct rmap_target *target)
{
	(void)arg;
	(void)target;
}

static void drop(void *arg, const struct rmap_target *target, int orphan)
{
	(void)arg;
	expect(!orphan);
	end_folio(folio_of(target));
}

static const struct rmap_unmap_callbacks callbacks = {
	.size = sizeof(callbacks),
	.clear = clear,
	.clear_range = clear_range,
	.lock_next = lock_next,
	.split = split,
	.unlock = unlock,
	.drop = drop,
};

static void unmap(const struct folio *folio)
{
	const struct rmap_target target = target_of(folio);

	expect(rmap_unmap(mirror.fixture.map, &callbacks, NULL, &target, 0, RMAP_FAILABLE, NULL) == RMAP_UNMAP_SUCCESS);
}

/* At the ends of what goes; now and then it fails. */
static int split(void *arg, const struct rmap_target *target, uint64_t first, uint64_t last)
{
	struct folio *folio = folio_of(target);
	const struct folio old = *folio;
	uint64_t from = at_least(first, old.first), to = at_most(last, old.last);

	(void)arg;
	expect(first > old.first || last < old.last);
	if (draw(4) == 0)
		return -EAGAIN;
	unmap(folio);
	end_folio(folio);
	if (from > old.first)
		make_folio(old.object, old.first, from - 1, old.head);
	make_folio(old.object, from, to, old.head + (from - old.first));
	if (to < old.last)
		make_folio(old.object, to + 1, old.last, old.head + (to + 1 - old.first));
	return 0;
}

/* What the kernel maps, judged and followed ------------------------------------------------------------------------ */

static struct frame *frame_at(unsigned h, unsigned at)
{
	uint32_t number = mirror.picture.at[h][at];

	return number == NO_FRAME || mirror.picture.frames[number].zero ? NULL : &mirror.picture.frames[number];
}

/* A page of zeros is all that the kernel may replace by the zero page. */
static void judge_absent(struct batch *batch, unsigned h, unsigned at)
{
	struct place *place = &mirror.places[h][at];

	if (!place->copy)
		return;
	expect(mirror.picture.at[h][at] != NO_FRAME && !place->words[0] && !place->words[1]);
	clear_pte(batch, h, at);
	place->copy = false;
}

/* A huge page that the file ends in may be mapped as a whole, on purpose: what is behind the end is no error then. */
static bool within_file(const struct place *place, const struct kernel_folio *folio, uint64_t first)
{
	uint64_t size = mirror.sizes[place->file];

	return place->index < size || (folio->pages > 1 && first < size);
}

static void judge_file_page(const struct place *place, const struct frame *frame, uint64_t first)
{
	uint64_t *known = &mirror.frames[place->file][place->index];

	expect(place->vma == SHARED || place->vma == PRIVATE);
	expect(!place->copy);
	expect(within_file(place, &mirror.picture.folios[frame->folio], first));
	expect(*known == 0 || *known == frame->number);
	*known = frame->number;
}

/* A collapse fills what was missing with zeros. */
static void judge_copy(struct place *place, uint32_t number)
{
	if (!place->copy) {
		expect(place->vma == ANONYMOUS);
		place->copy = true;
		place->words[0] = place->words[1] = 0;
		place->identity = ++mirror.tag;
	}
	expect(mirror.identities[number] == 0 || mirror.identities[number] == place->identity);
	mirror.identities[number] = place->identity;
}

static void judge_place(struct batch *batch, unsigned h, unsigned at)
{
	struct place *place = &mirror.places[h][at];
	const struct frame *frame = frame_at(h, at);
	struct match *match;
	uint64_t first;

	if (!frame) {
		judge_absent(batch, h, at);
		return;
	}
	if (frame->anonymous)
		judge_copy(place, mirror.picture.at[h][at]);
	first = index_of(place) - (frame->number - mirror.picture.folios[frame->folio].head);
	if (!frame->anonymous)
		judge_file_page(place, frame, first);
	match = &mirror.matches[frame->folio];
	expect(!match->known || (match->object == (frame->anonymous ? FILES : place->file) && match->first == first));
	*match = (struct match){ NULL, true, frame->anonymous ? FILES : place->file, first };
	mirror.mapped[mirror.picture.at[h][at]]++;
}

/*
 * What `rmap snapshot` takes for the kernel's word (tools/verify.c): the entry of a small page says that it alone maps
 * the page if and only if the kernel counts one.
 */
static void judge_exclusive(unsigned h, unsigned at)
{
	const struct frame *frame = frame_at(h, at);

	if (!frame || mirror.picture.folios[frame->folio].pages > 1)
		return;
	expect(!!(mirror.picture.entries[h][at] & PICTURE_EXCLUSIVE) == (frame->count == 1));
	mirror.exclusive += frame->count == 1;
}

static void judge(void)
{
	struct batch batch = { .adds = false };

	memset(mirror.matches, 0, mirror.picture.folio_count * sizeof(*mirror.matches));
	memset(mirror.identities, 0, mirror.picture.frame_count * sizeof(*mirror.identities));
	memset(mirror.mapped, 0, mirror.picture.frame_count * sizeof(*mirror.mapped));
	memset(mirror.frames, 0, sizeof(mirror.frames));
	for (unsigned h = 0; h < HELPERS; h++) {
		for (unsigned i = 0; mirror.crew.at[h].pid && i < ARENA_PAGES; i++)
			judge_place(&batch, h, i);
	}
	batch_flush(&batch);
	for (uint32_t i = 0; i < mirror.picture.frame_count; i++) {
		const struct frame *frame = &mirror.picture.frames[i];

		if (frame->zero || frame->count == mirror.mapped[i])
			continue;
		fprintf(stderr, "frame %#" PRIx64 ": the kernel counts %" PRIu64 " ptes, and shows %" PRIu32 "\n",
			frame->number, frame->count, mirror.mapped[i]);
		expect(!"one count");
	}
	for (unsigned h = 0; h < HELPERS; h++) {
		for (unsigned i = 0; mirror.crew.at[h].pid && i < ARENA_PAGES; i++)
			judge_exclusive(h, i);
	}
}

static int compare_heads(const void *a, const void *b)
{
	uint64_t x = ((const struct kernel_folio *)a)->head, y = ((const struct kernel_folio *)b)->head;

	return (x > y) - (x < y);
}

/* Is the folio as it was? */
static struct match *match_of(const struct folio *folio)
{
	const struct kernel_folio key = { .head = folio->head }, *found;
	struct match *match;

	found = bsearch(&key, mirror.picture.folios, mirror.picture.folio_count, sizeof(key), compare_heads);
	if (!found || found->pages != folio->last - folio->first + 1)
		return NULL;
	match = &mirror.matches[found - mirror.picture.folios];
	return match->object == folio->object && match->first == folio->first ? match : NULL;
}

static void end_changed_folios(void)
{
	for (uint32_t i = mirror.live_count; i-- > 0;) {
		struct folio *folio = mirror.live[i];
		struct match *match = match_of(folio);

		if (match) {
			match->folio = folio;
			continue;
		}
		unmap(folio);
		end_folio(folio);
	}
}

static void make_new_folios(void)
{
	for (uint32_t i = 0; i < mirror.picture.folio_count; i++) {
		const struct kernel_folio *found = &mirror.picture.folios[i];
		struct match *match = &mirror.matches[i];

		if (!match->folio)
			match->folio =
				make_folio(match->object, match->first, match->first + found->pages - 1, found->head);
		mirror.large[match->object == FILES] += found->pages > 1;
	}
}

/* First what is not mapped any more, then what is. */
static void follow_ptes(bool adds)
{
	struct batch batch = { .adds = adds };

	for (unsigned h = 0; h < HELPERS; h++) {
		for (unsigned i = 0; mirror.crew.at[h].pid && i < ARENA_PAGES; i++) {
			const struct frame *frame = frame_at(h, i);
			struct place *place = &mirror.places[h][i];
			struct folio *folio = frame ? mirror.matches[frame->folio].folio : NULL;

			if (place->folio == folio)
				continue;
			if (!adds) {
				clear_pte(&batch, h, i);
				continue;
			}
			place->folio = folio;
			batch_note(&batch, h, i, folio);
		}
	}
	batch_flush(&batch);
}

static void follow(void)
{
	end_changed_folios();
	make_new_folios();
	follow_ptes(false);
	follow_ptes(true);
	for (unsigned h = 0; h < HELPERS; h++) {
		for (unsigned i = 0; i < ARENA_PAGES; i++) {
			if (mirror.places[h][i].copy)
				mirror.places[h][i].identity = frame_at(h, i)->number;
		}
	}
}

/* The comparison -------------------------------------------------------------------------------------------------- */

/* Does the kernel map @folio's page of @index at this place? Then it is named, which happens once a walk. */
static uint32_t name(const struct folio *folio, unsigned h, unsigned at, uint64_t index)
{
	const struct frame *frame;

	expect(h < HELPERS && mirror.crew.at[h].pid && at < ARENA_PAGES);
	frame = frame_at(h, at);
	if (!frame || frame->number != folio->head + (index - folio->first))
		return 0;
	expect(mirror.named[h][at] != mirror.walks);
	mirror.named[h][at] = mirror.walks;
	return 1;
}

static uint32_t name_chained(const struct folio *folio, const struct rmap_visit *visit)
{
	unsigned h = (unsigned)(visit->handle >> 35) - 1, at = (unsigned)(visit->handle >> 3);
	uint32_t found = 0;

	for (unsigned i = at; i < at + (1u << mirror.fixture.bits) && found < visit->count && i < ARENA_PAGES; i++) {
		const struct place *place = &mirror.places[h][i];

		if (place->vma == SHARED && !place->linear && place->file == folio->object &&
		    mirror.named[h][i] != mirror.walks && place->index >= folio->first && place->index <= folio->last)
			found += name(folio, h, i, place->index);
	}
	expect(found == visit->count);
	return found;
}

static uint32_t name_linear(const struct folio *folio, const struct rmap_visit *visit)
{
	unsigned h = (unsigned)visit->range.owner, at = place_of(visit->address);
	uint64_t index = rmap_range_index(&visit->range, visit->address);
	uint32_t found = 0;

	expect(index >= folio->first && index + visit->count - 1 <= folio->last);
	for (unsigned i = 0; i < visit->count; i++)
		found += name(folio, h, at + i, index + i);
	return found;
}

static void compare_folio(const struct folio *folio, uint32_t mapped)
{
	const struct rmap_target target = target_of(folio);
	struct rmap_counts counts = fixture_counts(&mirror.fixture, &folio->rmap);
	struct rmap_visit visits[8];
	struct rmap_cursor cursor;
	uint32_t named = 0;
	size_t n;

	mirror.walks++;
	rmap_cursor_init(&cursor, mirror.fixture.map, &target);
	while ((n = rmap_cursor_next(&cursor, visits, 1 + draw(LENGTH(visits)))) > 0) {
		for (size_t i = 0; i < n; i++)
			named += (visits[i].kind == RMAP_LINEAR ? name_linear : name_chained)(folio, &visits[i]);
	}
	expect(named == mapped);
	expect(counts.linear + counts.chained == mapped && counts.locked == 0);
	expect(cursor.summary.unnamed == 0 && cursor.summary.complete);
	fixture_shape(&mirror.fixture, &folio->rmap);
	mirror.compared += mapped;
	mirror.chained += counts.chained;
}

void compare_contents(unsigned h, unsigned at, unsigned n)
{
	static uint64_t words[HUGE][2];
	static struct iovec remote[HUGE];
	struct iovec local = { words, 0 };
	unsigned places[HUGE], count = 0;

	for (unsigned i = at; i < at + n && count < HUGE; i++) {
		if (!mirror.places[h][i].folio)
			continue;
		remote[count] = (struct iovec){ (void *)(uintptr_t)address_of(i), sizeof(words[0]) };
		places[count++] = i;
	}
	local.iov_len = count * sizeof(words[0]);
	if (count == 0)
		return;
	expect(process_vm_readv(mirror.crew.at[h].pid, &local, 1, remote, count, 0) == (ssize_t)local.iov_len);
	for (unsigned i = 0; i < count; i++) {
		const struct place *place = &mirror.places[h][places[i]];

		expect(words[i][0] == (place->copy ? place->words[0] : mirror.contents[place->file][place->index]));
		expect(words[i][1] == (place->copy ? place->words[1] : 0));
	}
}

void compare_all_contents(void)
{
	for (unsigned h = 0; h < HELPERS; h++) {
		for (unsigned i = 0; mirror.crew.at[h].pid && i < ARENA_PAGES; i += HUGE)
			compare_contents(h, i, HUGE);
	}
}

void compare(void)
{
	picture_take(&mirror.picture);
	judge();
	follow();
	for (uint32_t i = 0; i < mirror.picture.folio_count; i++)
		compare_folio(mirror.matches[i].folio, mirror.picture.folios[i].mapped);
	expect(mirror.live_count == mirror.picture.folio_count);
	rmap_read_lock(mirror.fixture.map);
	for (uint32_t i = 0; i <= FILES; i++)
		expect(rmap_object_check(mirror.objects[i]) == 0);
	rmap_read_unlock(mirror.fixture.map);
}

void truncate_mirror(uint32_t file, uint64_t first, uint64_t last, unsigned flags)
{
	const struct rmap_truncation truncation = { sizeof(truncation),
						    mirror.objects[file],
						    first,
						    last,
						    (enum rmap_strategy)draw(RMAP_TOLERATE + 1),
						    (enum rmap_semantics)draw(2),
						    flags };
	struct rmap_unmap_report report;
	int result = rmap_truncate(mirror.fixture.map, &callbacks, NULL, &truncation, &report);

	expect(result == RMAP_UNMAP_SUCCESS ||
	       (result == RMAP_UNMAP_AGAIN && truncation.semantics == RMAP_FAILABLE && report.unsplit > 0));
	expect(report.mapped == 0);
	for (unsigned h = 0; h < HELPERS; h++) {
		for (const struct place *place = mirror.places[h]; place < mirror.places[h] + ARENA_PAGES; place++) {
			if (place->vma == NOTHING || place->vma == ANONYMOUS || place->file != file)
				continue;
			if (place->index >= first && place->index <= last)
				expect(!place->folio || (place->copy && !(flags & RMAP_UNMAP_COPIES)));
		}
	}
	for (uint64_t i = first; i <= last && i < FILE_PAGES; i++)
		mirror.contents[file][i] = 0;
}

const char *mirror_init(uint64_t seed, unsigned multiplicity_bits, const int *files, char *arena)
{
	const char *reason;

	memset(&mirror, 0, sizeof(mirror));
	mirror.generator.state = seed;
	mirror.arena = arena;
	crew_start(&mirror.crew, HELPERS, files);
	reason = picture_init(&mirror.picture, &mirror.crew, address_of(0));
	if (reason)
		return reason;
	fixture_init(&mirror.fixture, multiplicity_bits, RMAP_RECLAIM_CALLBACK, 0);
	for (uint32_t i = 0; i <= FILES; i++)
		expect(rmap_object_create(mirror.fixture.map, &mirror.objects[i]) == 0);
	for (uint32_t f = 0; f < FILES; f++)
		mirror.sizes[f] = FILE_PAGES;
	for (struct folio *folio = mirror.folios; folio < mirror.folios + FOLIOS; folio++)
		mirror.free[mirror.free_count++] = folio;
	return NULL;
}

void mirror_fini(void)
{
	compare();
	expect(mirror.live_count == 0 && mirror.piece_count == 0);
	crew_fini(&mirror.crew);
	for (uint32_t i = 0; i <= FILES; i++)
		rmap_object_destroy(mirror.objects[i]);
	picture_fini(&mirror.picture);
	fixture_fini(&mirror.fixture);
}
