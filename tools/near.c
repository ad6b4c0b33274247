/* SPDX-License-Identifier: BSD-2-Clause */
#include "near.h"

#include <string.h>

/* Words have so many letters at most; a longer one is never meant. */
#define LETTERS_MAX 31

/* How many letters have to be put in, left out, or exchanged to make @right of @wrong? */
static size_t distance(const char *wrong, const char *right)
{
	size_t row[LETTERS_MAX + 1], length = strlen(right);

	if (length > LETTERS_MAX)
		return length;
	for (size_t k = 0; k <= length; k++)
		row[k] = k;
	for (size_t i = 0; wrong[i]; i++) {
		size_t diagonal = row[0]++;

		for (size_t k = 0; k < length; k++) {
			size_t best = diagonal + (wrong[i] != right[k]);

			diagonal = row[k + 1];
			best = diagonal + 1 < best ? diagonal + 1 : best;
			row[k + 1] = row[k] + 1 < best ? row[k] + 1 : best;
		}
	}
	return row[length];
}

const char *near_word(const char *wrong, const char *const *words, size_t n)
{
	const char *near = NULL;
	size_t best = 3;

	for (size_t i = 0; i < n; i++) {
		size_t far = wrong[0] && wrong[1] && !strncmp(wrong, words[i], strlen(wrong))
				     ? 0
				     : distance(wrong, words[i]);

		if (far < best && far + 1 < strlen(words[i])) {
			best = far;
			near = words[i];
		}
	}
	return near;
}
