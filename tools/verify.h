/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * verify.h - comparing every frame's mapcount with the kernel's
 */
#ifndef VERIFY_H
#define VERIFY_H

#include "system.h"

/**
 * verify_system - compare the mapcounts of a scanned and built system with /proc/kpagecount
 *
 * Sets kernel, flags, uncounted and verdict of every frame, and system->averaging.
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
 * verify_frame - does the kernel count as many mappings of frame @pfn as the map has?
 * @frame:  its record, NULL if nobody maps it
 *
 * More are accepted where some address spaces could not be read. procfs_status() tells whether the kernel answered.
 */
bool verify_frame(struct system *system, const struct procfs *procfs, uint64_t pfn, struct frame *frame);

/**
 * pte_is_counted - does the kernel count a pte that maps a frame with these flags?
 * @file: the pte has PTE_FILE
 */
bool pte_is_counted(uint32_t flags, bool file);

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

/** struct verified - the frames by verdict */
struct verified {
	uint64_t pages;
	uint64_t matched; /* with bounded and averaged */
	uint64_t bounded;
	uint64_t changed; /* with moving */
	uint64_t moving;
	uint64_t mismatched;
};

struct verified verify_sum(const struct system *system);

#endif
