/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * sample.c - some pages in the place of all; see sample.h
 *
 * The hash is the finalizer of SplitMix64, in which each bit of the number changes half of the result's: neighbouring
 * frames, of one file mostly, are chosen as if independently.
 */
#include "sample.h"

#include <math.h>

static uint64_t mix(uint64_t value)
{
	value = (value ^ value >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	value = (value ^ value >> 27) * UINT64_C(0x94d049bb133111eb);
	return value ^ value >> 31;
}

bool sample_chooses(const struct sample *sample, uint64_t number)
{
	uint64_t hash = mix(mix(sample->seed + UINT64_C(0x9e3779b97f4a7c15)) ^ number);

	return (hash >> 32) * sample->one_in >> 32 == 0;
}

double sample_error(const struct sample *sample, double page, double squares)
{
	double n = sample->one_in;

	return sample_is_taken(sample) ? sqrt(4 * n * (n - 1) * squares + 9 * n * n * page * page) : 0;
}
