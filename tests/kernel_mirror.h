/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kernel_mirror.h - the page tables of all helpers of kernel_folio.c, as a VM would have them, with a reverse map
 *
 * Steps do to the mirror what they have helpers do; compare() then takes a picture of what the kernel made of it,
 * judges that, follows it, and compares. kernel_folio.c tells what must hold.
 */
#ifndef TESTS_KERNEL_MIRROR_H
#define TESTS_KERNEL_MIRROR_H

#include "kernel_picture.h"
#include "support.h"

#define FILES 2u
#define FILE_PAGES 1024u
#define HUGE 512u
#define ARENA_PAGES PICTURE_PAGES
#define HELPERS 4u
#define FOLIOS (3 * HELPERS * ARENA_PAGES)
#define PIECES (HELPERS * ARENA_PAGES)
#define BATCH 64u
#define COPIES_OF ((uint64_t)1 << 20) /* anonymous indexes of the copies of file f begin at (f + 1) times this */

enum vma { NOTHING, SHARED, PRIVATE, ANONYMOUS };

/*
 * struct folio
 * @object: FILES for anonymous memory
 * @number: its place in mirror.live
 * @head:   its first frame
 */
struct folio {
	struct rmap_page rmap;
	uint32_t object;
	uint32_t number;
	uint64_t first;
	uint64_t last;
	uint64_t head;
};

/*
 * struct place - one page of a helper's arena
 * @index:    of the file, or of anonymous memory
 * @linear:   does the range that covers the place say the same?
 * @copy:     it has anonymous memory
 * @identity: two copies with different ones are different pages
 * @words:    what is to be read there, if it has a copy
 * @folio:    which the pte maps, or NULL
 */
struct place {
	enum vma vma;
	uint32_t file;
	uint64_t index;
	bool linear;
	bool writable;
	bool copy;
	uint64_t identity;
	uint64_t words[2];
	struct folio *folio;
};

/* One vma, or a part, and its range in its file, or for ANONYMOUS in anonymous memory. */
struct piece {
	enum vma vma;
	uint32_t file;
	struct rmap_range range;
};

/* What a picture says of one of the kernel's folios, and the mirror's that is the same. */
struct match {
	struct folio *folio;
	bool known;
	uint32_t object;
	uint64_t first;
};

/*
 * struct mirror
 * @cache:      of each file's page the folio, if anything maps that
 * @contents:   of each file's page the first word
 * @sizes:      of the files, in pages
 * @tag:        the last word that was written
 * @frames:     of each file's page, @identities, @mapped: of each frame of the picture, as compare() goes along; 0: not
 *              known yet
 * @named:      of each place the last walk that named it; @walks: how many there were
 * @compared:   mappings, @chained: of which so many were
 * @exclusive:  entries of small pages that are the only ones
 * @large:      folios of several pages that were met: of files, anonymous
 */
struct mirror {
	struct generator generator;
	struct fixture fixture;
	struct crew crew;
	struct picture picture;
	char *arena;
	struct place places[HELPERS][ARENA_PAGES];
	struct rmap_object *objects[FILES + 1];
	struct piece pieces[PIECES];
	unsigned piece_count;
	struct folio folios[FOLIOS];
	struct folio *free[FOLIOS];
	struct folio *live[FOLIOS];
	uint32_t free_count;
	uint32_t live_count;
	struct folio *cache[FILES][FILE_PAGES];
	uint64_t contents[FILES][FILE_PAGES];
	uint64_t sizes[FILES];
	uint64_t tag;
	struct match matches[HELPERS * ARENA_PAGES];
	uint64_t frames[FILES][FILE_PAGES];
	uint64_t identities[HELPERS * ARENA_PAGES];
	uint32_t mapped[HELPERS * ARENA_PAGES];
	uint32_t named[HELPERS][ARENA_PAGES];
	uint32_t walks;
	uint64_t compared;
	uint64_t chained;
	uint64_t exclusive;
	uint64_t large[2];
};

extern struct mirror mirror;

/* With @files as the helpers know them, whose arenas are at @arena. NULL, or why this machine cannot have it. */
const char *mirror_init(uint64_t seed, unsigned multiplicity_bits, const int *files, char *arena);
/* After all helpers have ended. */
void mirror_fini(void);

uint64_t draw(uint64_t n);
uint64_t address_of(unsigned place);
unsigned place_of(uint64_t address);
uint64_t handle_at(unsigned h, unsigned place);

/* struct batch - operations on the map; runs of linear ptes of one folio are one. To be flushed at the end */
struct batch {
	bool adds;
	size_t n;
	struct rmap_page *pages[BATCH];
	struct rmap_mapping mappings[BATCH];
};

void batch_flush(struct batch *batch);
void clear_pte(struct batch *batch, unsigned h, unsigned at);

/* Ptes and copies go. */
void clear_places(unsigned h, unsigned at, unsigned n);
/* And vmas. */
void forget_places(unsigned h, unsigned at, unsigned n);

void attach_piece(struct piece piece);
void cut_pieces(unsigned h, unsigned at, unsigned n);
/* Calls @act for each of the helper's pieces within places @at .. @at + @n - 1, after cutting at both ends. */
void each_piece(unsigned h, unsigned at, unsigned n, void (*act)(struct piece *piece, uint64_t with), uint64_t with);
void tag_piece(struct piece *piece, uint64_t tags);
void move_piece(struct piece *piece, uint64_t by);

/*
 * By the library, with any strategy; copies go with RMAP_UNMAP_COPIES. Afterwards nothing of it is mapped, whether
 * pages could be split or not.
 */
void truncate_mirror(uint32_t file, uint64_t first, uint64_t last, unsigned flags);

void compare(void);
/* Of what is present, to read which changes no page table. */
void compare_contents(unsigned h, unsigned at, unsigned n);
void compare_all_contents(void);

#endif
