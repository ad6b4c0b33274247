/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kernel_picture.h - what the kernel shows of all helpers at one moment: which frames their ptes map, in which folios
 * these lie, and how often each is mapped
 */
#ifndef TESTS_KERNEL_PICTURE_H
#define TESTS_KERNEL_PICTURE_H

#include "kernel_helper.h"

#define PICTURE_PAGES 1536u /* of each helper's arena */
#define PICTURE_EXCLUSIVE ((uint64_t)1 << 56) /* in an entry */
#define NO_FRAME UINT32_MAX

/*
 * struct frame - one that some pte maps
 * @count: /proc/kpagecount; of the zero pages it says nothing
 * @flags: what matters here of /proc/kpageflags
 * @folio: its place in picture->folios; of the zero pages none
 */
struct frame {
	uint64_t number;
	uint64_t count;
	uint64_t flags;
	uint32_t folio;
	bool anonymous;
	bool zero;
};

/* struct kernel_folio - frames head .. head + pages - 1 are one folio, and @mapped ptes map some of it */
struct kernel_folio {
	uint64_t head;
	uint32_t pages;
	uint32_t mapped;
};

/*
 * struct picture
 * @at:     of each helper and page of its arena the place in @frames, or NO_FRAME
 * @frames, @folios: in the order of their numbers
 * @swapped: how many pages were read to bring them back
 */
struct picture {
	uint32_t at[CREW_MAX][PICTURE_PAGES];
	struct frame *frames;
	uint32_t frame_count;
	struct kernel_folio *folios;
	uint32_t folio_count;
	const struct crew *crew;
	uint64_t address; /* of the arena */
	uint64_t swapped;
	uint64_t entries[CREW_MAX][PICTURE_PAGES];
	uint64_t *words; /* as many as frames */
	int kpagecount;
	int kpageflags;
};

/* NULL, or why no picture can be taken here. */
const char *picture_init(struct picture *picture, const struct crew *crew, uint64_t address);
void picture_fini(struct picture *picture);
void picture_take(struct picture *picture);

#endif
