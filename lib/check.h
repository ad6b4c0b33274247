/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * check.h - what checked builds (-Dcheck=true) verify, and the small sizes that make rare paths common there
 *
 * CHECK() states what a caller owes or what the protocol implies. In ordinary builds it costs nothing.
 */
#ifndef RMAP_LIB_CHECK_H
#define RMAP_LIB_CHECK_H

#include "env.h"

#ifndef RMAP_CHECK
#define RMAP_CHECK 0
#endif

#define CHECK(condition, ...)                                                                                          \
	do {                                                                                                           \
		if (RMAP_CHECK && !(condition)) {                                                                      \
			env_complain("rmap: %s: ", __func__);                                                          \
			env_complain(__VA_ARGS__);                                                                     \
			env_complain(" [%s]\n", #condition);                                                           \
			env_abort();                                                                                   \
		}                                                                                                      \
	} while (0)

/*
 * What a caller owes for its mappings: one handle a pte, and no hands on others' (page.h). Not in the explorer, which
 * shows what it costs to break that; nor may a search for an equal handle acquire there what the library must acquire
 * by itself.
 */
#ifdef RMAP_EXPLORE
#define CHECK_CALLER(condition, ...) ((void)0)
#else
#define CHECK_CALLER(condition, ...) CHECK(condition, __VA_ARGS__)
#endif

/*
 * Blocks in a magazine, and so many retired ones make a batch; lines that a fill gets for records of batches; the
 * explorer wants each of them to be met at once.
 */
#ifdef RMAP_EXPLORE
#define MAGAZINE_BLOCKS 1u
#define RECORD_LINES 1u
#else
#define MAGAZINE_BLOCKS (RMAP_CHECK ? 3u : 32u)
#define RECORD_LINES 8u
#endif
#define BATCH_BYTES (RMAP_CHECK ? 512u : 16384u)

/*
 * A struct of a caller's begins with its size. May one of @size bytes be read, of which the first version had @least
 * and we know @known? Only if nothing unknown is set.
 */
static inline bool check_size(const void *given, size_t size, size_t least, size_t known)
{
	const unsigned char *bytes = (const unsigned char *)given;

	for (size_t i = known; i < size; i++)
		if (bytes[i])
			return false;
	return size >= least;
}

#endif
