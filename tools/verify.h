/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * verify.h - comparing every frame's mapcount with the kernel's
 */
#ifndef VERIFY_H
#define VERIFY_H

#include "system.h"

/**
 * verify_system - compare the mapcounts of a scanned and built system with the kernel's
 *
 * Sets kernel, flags, exceptions and verdict of every frame, and system->averaging.
 * @pids:  as in scan_system()
 * Return: a status; what could not be read completely is not judged
 */
int verify_system(struct system *system, const struct procfs *procfs, const pid_t *pids, size_t pids_n,
		  unsigned threads);

/**
 * verify_recorded - compare with the counts that were recorded
 *
 * The kernel can no longer be asked again: where a frame differs, what its recording says of it stands.
 * Return: a status
 */
int verify_recorded(struct system *system, unsigned threads);

/**
 * verify_prepare - read what the kernel says of some frames, and count their ptes, before verify_frame()
 * @pfns: @n of them, in a built system that was not verified; nobody may map them
 */
void verify_prepare(struct system *system, const struct procfs *procfs, const uint64_t *pfns, size_t n);

/**
 * verify_frame - does the kernel count as many mappings of frame @pfn as there are?
 * @mappers: *@n of them, as system_mappers() tells them; those that are no longer there are taken out
 * @surplus: set to how many more the kernel has counted at least
 *
 * Looks at the ptes themselves again, a few times if need be, and at nothing else. procfs_status() tells whether the
 * kernel answered.
 * Return: VERDICT_MATCHED or VERDICT_AVERAGED if it does; VERDICT_BOUNDED if processes that may not be read can have
 *         the surplus, and so can others that have mapped the page meanwhile; VERDICT_MISMATCHED or VERDICT_MOVING if
 *         not
 */
enum verdict verify_frame(struct system *system, const struct procfs *procfs, uint64_t pfn, struct mapper *mappers,
			  size_t *n, uint64_t *surplus);

/**
 * pte_is_counted - does the kernel count a pte that maps a frame with these flags?
 * @file: the pte has PTE_FILE
 */
bool pte_is_counted(uint32_t flags, bool file);

/** frame_uncounted - how many of the ptes that were read of @frame the kernel does not count */
uint32_t frame_uncounted(const struct system *system, const struct frame *frame);

/** frame_counted - how many of the mappings that the map has of @frame the kernel counts */
uint64_t frame_counted(const struct system *system, const struct frame *frame);

/** Frames that are not compared as "as many ptes as the kernel counts", and such as are of interest. */
enum frame_class {
	CLASS_ZERO,          /* the zero page */
	CLASS_NO_PAGE,       /* no struct page: device memory */
	CLASS_SPECIAL,       /* a struct page, but mapped by special ptes only */
	CLASS_AVERAGED,      /* in a large folio of a kernel that tells averages */
	CLASS_SHARED_TABLES, /* hugetlb pages of which the kernel counts a shared page table once */
	CLASS_HUGETLB,
	CLASS_THP,
	CLASS_KSM,
	CLASSES,
	CLASS_ORDINARY = CLASSES,
};

enum frame_class frame_class(const struct system *system, const struct frame *frame);

/** frame_agrees - does the kernel count as many mappings of @frame as the map has? */
bool frame_agrees(const struct system *system, const struct frame *frame);

/**
 * counts_fit, counts_agree - are @ours mappings, and @kernel counted ones, what they should be to each other?
 * @frame: NULL if nobody was found to map it
 */
bool counts_fit(const struct system *system, uint64_t ours, uint64_t kernel);
bool counts_agree(const struct system *system, const struct frame *frame, uint64_t ours, uint64_t kernel);

/** struct verified - the frames by verdict */
struct verified {
	uint64_t pages;
	uint64_t matched;   /* with bounded and averaged */
	uint64_t exclusive; /* of those: as the only pte of each said when it was read; the others by kpagecount */
	uint64_t bounded;
	uint64_t changed; /* with moving */
	uint64_t moving;
	uint64_t mismatched;
};

struct verified verify_sum(const struct system *system);

#endif
