/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * object.h - what the library's own files ask of an object beyond include/rmap/object.h
 */
#ifndef RMAP_LIB_OBJECT_H
#define RMAP_LIB_OBJECT_H

#include <rmap/walk.h>

/*
 * Visits the ranges that overlap @like's first .. last and have any of its tags (0: whatever their tags), from
 * @position on, in as many calls as the caller likes: a visitor that has consumed a range stores it in position->after
 * and sets position->resumes, and a call after one that it ended goes on behind that range, which may be gone by now.
 *
 * A range that is there from the first call to the last is visited. A pass is over the ranges that have their keys when
 * it begins, however many others attach meanwhile. One that an update gives another key (split, move, resize) may jump
 * from ahead of @position to behind it, so a pass that took several calls, and so saw several versions, is followed by
 * one over the ranges keyed anew since it began; a pass within one call is the last. Updates of ranges that are not
 * asked for cost at most an empty pass. position->late counts the passes over ranges keyed anew that were followed by
 * another, for a caller's limit. As rmap_object_stab() in all else; but that a range stays where @visit got it until
 * the section ends.
 */
int rmap_object_visit_next(const struct rmap_object *object, const struct rmap_range *like,
			   struct rmap_range_position *position, rmap_range_visit visit, void *arg);

#endif
