/* SPDX-License-Identifier: BSD-2-Clause */
#include "near.h"

#include <string.h>

/* Words have so many letters at most; a longer one is never meant. */
#define LETTERS_MAX 31

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* How many letters have to be added, left out, exchanged, or swapped with a neighbour to make @right of @wrong? */
static size_t distance(const char *wrong, const char *right)
{
	size_t far[LETTERS_MAX + 1][LETTERS_MAX + 1], m = strlen(wrong), n = strlen(right);

	if (m > LETTERS_MAX || n > LETTERS_MAX)
		return LETTERS_MAX;
	for (size_t i = 0; i <= m; i++) {
		for (size_t k = 0; k <= n; k++) {
			if (i == 0 || k == 0) {
				far[i][k] = i + k;
				continue;
			}
			far[i][k] = least(far[i - 1][k - 1] + (wrong[i - 1] != right[k - 1]),
					  1 + least(far[i - 1][k], far[i][k - 1]));
			if (i > 1 && k > 1 && wrong[i - 1] == right[k - 2] && wrong[i - 2] == right[k - 1])
				far[i][k] = least(far[i][k], far[i - 2][k - 2] + 1);
		}
	}
	return far[m][n];
}

/* In less than half of its letters, or any short word would be near. */
const char *near_word(const char *wrong, const char *const *words, size_t n)
{
	const char *near = NULL;
	size_t best = 3;

	for (size_t i = 0; i < n; i++) {
		size_t far = wrong[0] && wrong[1] && !strncmp(wrong, words[i], strlen(wrong))
				     ? 0
				     : distance(wrong, words[i]);

		if (far < best && 2 * far < strlen(words[i])) {
			best = far;
			near = words[i];
		}
	}
	return near;
}
