/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * names.c - the strings and files of a system, each kept once under a number; see system.h
 *
 * Two open-addressing tables of numbers over two arrays. They grow at half full, and nothing is ever taken out.
 */
#include "system.h"

#include <stdlib.h>
#include <string.h>

static uint64_t mix(uint64_t value)
{
	value = (value ^ value >> 32) * UINT64_C(0x9e3779b97f4a7c15);
	return value ^ value >> 29;
}

static uint64_t hash_string(const char *string)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (; *string; string++)
		hash = (hash ^ (unsigned char)*string) * UINT64_C(0x100000001b3);
	return mix(hash);
}

static uint64_t hash_file(const struct file *file)
{
	return mix(file->device * 31 + mix(file->inode));
}

static uint64_t hash_number(const struct names *names, bool files, uint32_t number)
{
	return files ? hash_file(&names->files[number]) : hash_string(names->strings[number]);
}

/* Make room for one more number in a table of @n; 0 is a free place. */
static void grow_table(const struct names *names, bool files, uint32_t **table, size_t *size, size_t n)
{
	uint32_t *old = *table;
	size_t old_size = *size;

	if (n * 2 < old_size)
		return;
	*size = old_size ? old_size * 2 : 256;
	*table = zeroed(*size, sizeof(**table));
	for (size_t i = 0; i < old_size; i++) {
		size_t at;

		if (!old[i])
			continue;
		for (at = hash_number(names, files, old[i]) % *size; (*table)[at]; at = (at + 1) % *size)
			;
		(*table)[at] = old[i];
	}
	free(old);
}

uint32_t names_string(struct names *names, const char *string)
{
	size_t at;

	if (!names->strings_n) {
		names->strings = grow(names->strings, &names->strings_capacity, 1, sizeof(*names->strings));
		names->strings[names->strings_n++] = zeroed(1, 1);
	}
	if (!*string)
		return 0;
	grow_table(names, false, &names->string_table, &names->string_table_size, names->strings_n);
	at = hash_string(string) % names->string_table_size;
	for (; names->string_table[at]; at = (at + 1) % names->string_table_size)
		if (!strcmp(names->strings[names->string_table[at]], string))
			return names->string_table[at];
	names->strings = grow(names->strings, &names->strings_capacity, names->strings_n + 1, sizeof(*names->strings));
	names->strings[names->strings_n] = strcpy(zeroed(strlen(string) + 1, 1), string);
	return names->string_table[at] = (uint32_t)names->strings_n++;
}

uint32_t names_file(struct names *names, uint64_t device, uint64_t inode, uint32_t name)
{
	struct file file = { .device = device, .inode = inode, .name = name };
	size_t at;

	if (!names->files_n) {
		names->files = grow(names->files, &names->files_capacity, 1, sizeof(*names->files));
		names->files[names->files_n++] = (struct file){ 0 };
	}
	if (!inode)
		return 0;
	grow_table(names, true, &names->file_table, &names->file_table_size, names->files_n);
	at = hash_file(&file) % names->file_table_size;
	for (; names->file_table[at]; at = (at + 1) % names->file_table_size) {
		const struct file *known = &names->files[names->file_table[at]];

		if (known->device == device && known->inode == inode)
			return names->file_table[at];
	}
	names->files = grow(names->files, &names->files_capacity, names->files_n + 1, sizeof(*names->files));
	names->files[names->files_n] = file;
	return names->file_table[at] = (uint32_t)names->files_n++;
}
