/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * aside.h - a file that appears as a whole, or not at all
 */
#ifndef ASIDE_H
#define ASIDE_H

#include <stdbool.h>
#include <stddef.h>

/**
 * aside_write - write @n @bytes to the file @path, which only its owner may read
 *
 * They are written beside it and renamed: an older file is replaced as a whole, or stays as it is. A device or a pipe
 * is written to; where @path is a link, what it leads to is replaced.
 * Return: false if that fails, and errno says why
 */
bool aside_write(const char *path, const void *bytes, size_t n);

/** aside_is_possible - might that be done, for all that is known before? false if not, and errno says why */
bool aside_is_possible(const char *path);

#endif
