/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * tool_forge.c - make a recording say something else, with a checksum that is right
 *
 *      tool_forge IN OUT OFFSET BYTE ...     put these bytes there; a negative offset counts from the body's end
 *      tool_forge IN OUT --seed N            change one to eight bytes of the body at random
 *
 * A checksum keeps out accidents only, so rmap must also stand up to files whose checksum is right and whose
 * content is not. The format is described in tools/file.c.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEAD_SIZE 20
#define HASH_SIZE 8

static uint64_t next_random(uint64_t *state)
{
	*state += UINT64_C(0x9e3779b97f4a7c15);
	uint64_t value = (*state ^ *state >> 30) * UINT64_C(0xbf58476d1ce4e5b9);

	return value ^ value >> 31;
}

static void change(uint8_t *bytes, long size, int argc, char **argv)
{
	long body = size - HEAD_SIZE - HASH_SIZE;

	if (!strcmp(argv[3], "--seed")) {
		uint64_t state = strtoull(argv[4], NULL, 0);

		/* Half of them hit the beginning, where names, files and the first vmas are. */
		for (uint64_t n = next_random(&state) % 8 + 1; n; n--) {
			uint64_t reach = next_random(&state) % 2 && body > 2048 ? 2048 : (uint64_t)body;

			bytes[HEAD_SIZE + next_random(&state) % reach] = (uint8_t)next_random(&state);
		}
		return;
	}
	for (int i = 3; i + 1 < argc; i += 2) {
		long at = strtol(argv[i], NULL, 0);

		at += at < 0 ? size - HASH_SIZE : 0;
		if (at >= 0 && at < size)
			bytes[at] = (uint8_t)strtoul(argv[i + 1], NULL, 0);
	}
}

int main(int argc, char **argv)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);
	FILE *file = argc >= 5 ? fopen(argv[1], "rb") : NULL;
	uint8_t *bytes;
	long size;

	if (!file || fseek(file, 0, SEEK_END) || (size = ftell(file)) <= HEAD_SIZE + HASH_SIZE)
		return 2;
	bytes = malloc((size_t)size);
	rewind(file);
	if (!bytes || fread(bytes, 1, (size_t)size, file) != (size_t)size || fclose(file))
		return 2;
	change(bytes, size, argc, argv);
	for (long i = 0; i < size - HASH_SIZE; i++)
		hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
	for (int i = 0; i < HASH_SIZE; i++)
		bytes[size - HASH_SIZE + i] = (uint8_t)(hash >> 8 * i);
	file = fopen(argv[2], "wb");
	if (!file || fwrite(bytes, 1, (size_t)size, file) != (size_t)size || fclose(file))
		return 2;
	free(bytes);
	return 0;
}
