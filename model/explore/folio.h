/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * folio.h - small programs on a file of two pages that may be one: split and collapse beside everything else
 *
 * Indexes 0 and 1 of the file are one page in the beginning (a folio). Ptes 0 and 1 map both, in one range; pte 2 maps
 * index 1, in a range of only that; pte 3 maps index 1, in a tagged range of other indexes (nonlinear). Each pte counts
 * as one. Words of a program, where N is a pte:
 *
 *      fN  fault         h   fault that maps both indexes of a folio by ptes 0 and 1, which count as two in one step
 *      uN  munmap        U   munmap of what h maps
 *      S   split         C   collapse: one page of two          s   split the range of ptes 0 and 1
 *      R   reclaim: unmap the page of index 1, failable
 *      Txy truncate to one page: strategy x and semantics y as in embedder.h
 *
 * An operation that a page refuses (somebody else holds it, it is mapped again) is given up, but by a reliable
 * truncate.
 */
#ifndef RMAP_EXPLORE_FOLIO_H
#define RMAP_EXPLORE_FOLIO_H

#include "cases.h"

/*
 * What a case does wrong, in its bits: it splits a page that others hold, or that is mapped again; new ones are not
 * locked.
 */
enum folio_mistake { FOLIO_RIGHT, FOLIO_SPLITS_HELD, FOLIO_SPLITS_MAPPED, FOLIO_PUBLISHES_UNLOCKED };

struct engine_run folio_prepare(const struct explore_case *test);

extern const struct explore_case folio_cases[];
extern const unsigned folio_cases_count;

#endif
