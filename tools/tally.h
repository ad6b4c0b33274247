/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * tally.h - who takes how much memory: sums over the reverse map, exact to the byte
 *
 * A *group* is a process, all processes of a cgroup or of a user, all that maps a file, or all pages of a kind. Of it,
 *
 *      Rss    the pages that it maps, each once
 *      Pss    of each page the part that its mappings are of all the page's mappings: these sum up to all memory
 *      Uss    the pages that nobody else maps; of a file or a kind, those that a single process maps
 *      Swap   the slots of swap areas that its page tables name, each once
 *
 * What the kernel does not count as memory is left out: the zero page and device memory. Of a sample of pages, all of
 * that is estimated; see sample.h.
 */
#ifndef TALLY_H
#define TALLY_H

#include "system.h"

enum by { BY_PROCESS, BY_CGROUP, BY_USER, BY_FILE, BY_KIND, BYS };

/** What a page is, and with it what becomes of it when nobody maps it any more. */
enum page_kind {
	PAGE_ANONYMOUS,
	PAGE_KSM,     /* anonymous, merged */
	PAGE_SHARED,  /* of tmpfs, a memfd, System V or shared anonymous memory */
	PAGE_FILE,    /* of the page cache of any other file */
	PAGE_HUGETLB, /* of the pool of huge pages */
	PAGE_KERNEL,  /* of the kernel or of a driver, which mapped it there */
	PAGE_KINDS,
};

enum page_kind page_kind(const struct frame *frame);

/** struct sums - in bytes */
struct sums {
	uint64_t rss;
	uint64_t pss; /* rounded to the nearest byte */
	uint64_t uss;
	uint64_t swap;
	uint64_t locked;    /* of Rss: pages that are kept from being reclaimed */
	uint64_t unsettled; /* of Rss: pages whose mappings changed while they were read */
	uint64_t common;    /* of Rss: pages that marked processes map, too; see weights_mark() */
	double squares;     /* of a sample: the sum of the squares of what each page adds to pss */
};

struct group {
	uint64_t key; /* the process's number, the uid, or another number of its own */
	const char *name;
	uint64_t number;               /* that it has among the groups of its kind, for tally_common() */
	const struct process *process; /* of BY_PROCESS */
	struct sums sums;
};

struct tally {
	struct group *groups;
	size_t n;
	struct sums whole;
};

/**
 * struct weights - what all tallies of one system need of each frame
 * @counted:  how many mappings were read that the kernel counts; 0 if the frame is no memory
 * @single:   the number of the only process that maps it, or NOT_SINGLE
 * @slots:    the swap slots that there are, numbered; and how many page-table entries name each
 */
struct weights {
	uint32_t *counted;
	uint32_t *single;
	bool *marks; /* does a marked process map it? NULL if none was marked */
	struct pfnset slots;
	uint32_t *slot_refs;
	size_t slots_n;
};

#define NOT_SINGLE UINT32_MAX

/** weights_init - weigh the frames of a verified system, whose map may have been dropped; returns a status */
int weights_init(struct weights *weights, const struct system *system);
/** weights_mappings - how many mappings of a frame the kernel counts, those of processes that were not read too */
uint32_t weights_mappings(const struct weights *weights, const struct system *system, size_t number);
/** weights_mark - mark those processes for which @is_in says so */
void weights_mark(struct weights *weights, const struct system *system, const bool *is_in);
void weights_fini(struct weights *weights);

/** struct share - a part of memory as sums of fractions: whole bytes and 2^-32ths */
struct share {
	uint64_t bytes;
	uint64_t fraction;
	double squares; /* of what was added */
};

/** share_add - add @part / @whole of a page of @bytes bytes */
static inline void share_add(struct share *share, uint64_t bytes, uint64_t part, uint64_t whole)
{
	share->bytes += bytes * part / whole;
	share->fraction += ((bytes * part % whole) << 32) / whole;
	share->squares += (double)(bytes * part) / (double)whole * ((double)(bytes * part) / (double)whole);
}

/** share_bytes - rounded to the nearest byte; each page that was added may have been too small by 2^-32 */
static inline uint64_t share_bytes(const struct share *share)
{
	return share->bytes + (share->fraction + (UINT64_C(1) << 31)) / (UINT64_C(1) << 32);
}

/** process_count - add to the @counts of all frames how many mappings of @process each has */
void process_count(const struct system *system, const struct process *process, uint32_t *counts);

/** sums_add - add a page of @page bytes to @sums, but for Pss, Uss and Swap, which depend on who asks */
void sums_add(struct sums *sums, const struct frame *frame, uint64_t page);

/** sums_error, sums_error_pss - the error of a figure of a sample, which is @bytes, or of @sums' Pss; 0 of all pages */
uint64_t sums_error(const struct system *system, uint64_t bytes);
uint64_t sums_error_pss(const struct system *system, const struct sums *sums);

/** tally_system - sum up; the groups come in no order. tally_fini() frees them */
void tally_system(const struct system *system, const struct weights *weights, enum by by, struct tally *tally);
void tally_fini(struct tally *tally);

/**
 * tally_common - how many bytes the first @n groups, 64 at most, map in pairs
 * @by:  not BY_KIND, for a page is of one kind
 * @out: @n rows of @n; in the diagonal, Rss
 */
#define COMMON_MAX 64
void tally_common(const struct system *system, const struct weights *weights, enum by by, const struct tally *tally,
		  size_t n, uint64_t *out);

/** vma_label - what a vma maps: a path, "[heap]" and its like, or "[anon]" */
const char *vma_label(const struct system *system, const struct process *process, uint32_t vma);

#endif
