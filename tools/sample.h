/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * sample.h - some pages in the place of all: which, and how far what they tell may be from the truth
 *
 * A page is kept if a hash of its frame's number says so, once in *one_in* times. So all mappings of a page are kept or
 * none, its own figures are exact, and whatever is summed up over pages is estimated by the sum over those that were
 * kept, times one_in (the Horvitz-Thompson estimator, which is right in the mean, of pages that are chosen
 * independently of each other). Swap slots are chosen by their own numbers alike.
 *
 * The *error* of an estimate is so large that the truth lies within it in about 95 of 100 samples. Let x be what each
 * kept page adds. The estimate's standard error is
 *
 *      s = sqrt(one_in (one_in - 1) sum of x^2)
 *
 * and the error sqrt((2 s)^2 + (3 one_in page)^2): where no page was kept there may be some, but three times one_in of
 * them would have been missed in 5 of 100 samples only.
 */
#ifndef SAMPLE_H
#define SAMPLE_H

#include <stdbool.h>
#include <stdint.h>

/** struct sample - all zero: all pages */
struct sample {
	uint32_t one_in;
	uint64_t seed; /* each chooses other pages */
};

#define SAMPLE_MAX 1000000

/** sample_is_taken - were some pages left out? */
static inline bool sample_is_taken(const struct sample *sample)
{
	return sample->one_in > 1;
}

/** sample_chooses - does the hash of @number choose it? */
bool sample_chooses(const struct sample *sample, uint64_t number);

/** sample_has - is the page in frame @number, or a slot, kept? */
static inline bool sample_has(const struct sample *sample, uint64_t number)
{
	return !sample_is_taken(sample) || sample_chooses(sample, number);
}

/**
 * sample_error - the error of an estimate
 * @page:    bytes of a page
 * @squares: sum of x^2, in bytes
 * Return:   bytes; 0 if no page was left out
 */
double sample_error(const struct sample *sample, double page, double squares);

#endif
