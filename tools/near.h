/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * near.h - which word was meant by one that is none
 */
#ifndef NEAR_H
#define NEAR_H

#include <stddef.h>

/** near_word - the one of @n words that @wrong begins, or is nearly; NULL if there is none */
const char *near_word(const char *wrong, const char *const *words, size_t n);

#endif
