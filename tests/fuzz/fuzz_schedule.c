/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_schedule.c - coverage leads the fuzzer to programs, and schedules of them, that nobody wrote down in cases.c
 *
 * See model/explore/bytes.h. rmap-explore runs what was found again: rmap-explore FILE.
 */
#include "../../model/explore/bytes.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static struct engine_result result;

	if (!bytes_explore(bytes, size, &result))
		abort();
	return 0;
}
