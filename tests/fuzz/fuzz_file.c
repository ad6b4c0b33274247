/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_file.c - recordings whose checksum is right and whose content is anything
 *
 * The fuzzer's bytes become the body of a file as tools/file.c describes it: the head and the hash are put around them,
 * or nothing would get past the hash (a whole recording, which has them, gives its body). A file that is refused must
 * be refused with a sentence; one that is read is built into a reverse map, verified and reported, as `rmap snapshot
 * --load` and `rmap who --load` do.
 */
#include "../../tools/file.h"
#include "../../tools/report.h"
#include "../../tools/text.h"
#include "../../tools/verify.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MAGIC "RMAPSNAP"
#define HEAD_SIZE 20
#define HASH_SIZE 8

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void put_fixed(uint8_t *bytes, uint64_t value, unsigned size)
{
	for (unsigned i = 0; i < size; i++)
		bytes[i] = (uint8_t)(value >> 8 * i);
}

/* A file without a name; its path in @path. */
static int write_recording(const uint8_t *body, size_t size, char *path, size_t path_size)
{
	size_t whole = HEAD_SIZE + size + HASH_SIZE;
	uint8_t *file = malloc(whole);
	uint64_t hash = UINT64_C(0xcbf29ce484222325);
	int fd = memfd_create("recording", 0);

	if (!file || fd < 0)
		abort();
	memcpy(file, MAGIC "\2\0\0\0", 12);
	put_fixed(file + 12, size, 8);
	if (size)
		memcpy(file + HEAD_SIZE, body, size);
	for (size_t i = 0; i < whole - HASH_SIZE; i++)
		hash = (hash ^ file[i]) * UINT64_C(0x100000001b3);
	put_fixed(file + whole - HASH_SIZE, hash, HASH_SIZE);
	if (write(fd, file, whole) != (ssize_t)whole)
		abort();
	free(file);
	snprintf(path, path_size, "/proc/self/fd/%d", fd);
	return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct timing timing = { .threads = 1, .loaded = true };
	struct figures figures;
	struct system system;
	char path[64];
	int status;
	int fd;

	if (size >= HEAD_SIZE + HASH_SIZE && !memcmp(bytes, MAGIC, strlen(MAGIC))) {
		bytes += HEAD_SIZE;
		size -= HEAD_SIZE + HASH_SIZE;
	}
	fd = write_recording(bytes, size, path, sizeof(path));
	system_init(&system);
	status = file_load(path, &system);
	if (!status)
		status = system_build(&system, 1);
	if (!status)
		status = verify_recorded(&system, 1);
	if (!status)
		status = figures_collect(&system, &figures);
	if (!status && size % 2)
		print_json(json_snapshot(&system, &timing, &figures, 3));
	else if (!status)
		report_snapshot(&system, &timing, &figures, 3);
	if (!status && system.processes_n && system.processes[0].ptes_n) {
		uint64_t pfn = system.processes[0].ptes[0] & PTE_PFN;
		struct answer answer = { .pfn = pfn };

		answer.n = system_mappers(&system, system_frame(&system, pfn), &answer.mappers);
		report_who(&system, &answer, size % 2);
		free(answer.mappers);
	}
	system_fini(&system);
	close(fd);
	return 0;
}
