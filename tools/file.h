/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * file.h - a recorded system in a file. The format is described in file.c
 */
#ifndef FILE_H
#define FILE_H

#include "system.h"

/**
 * file_save - record a verified system in the file @path, which only its owner may read
 *
 * An older file is replaced as a whole, or stays as it is.
 * Return: a status, after complaining
 */
int file_save(const char *path, const struct system *system);

/**
 * file_load - read a recorded system into @system, to be built
 *
 * Every figure is checked, so that a damaged or forged file is refused and cannot do harm.
 * Return: a status, after complaining
 */
int file_load(const char *path, struct system *system);

#endif
