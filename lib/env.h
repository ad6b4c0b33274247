/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * env.h - all that the library needs of what is around it, but for memory (pool.h) and RCU (rmap/rcu.h)
 *
 * Around it is a hosted C library with POSIX threads (hosted.h), or what -DRMAP_ENV_HEADER='"FILE"' names: a kernel, a
 * unikernel, the explorer. Such a header is included by every file of the library, needs no file of it but
 * <rmap/pool.h>, and provides, as functions or macros:
 *
 *      EAGAIN, EBUSY, EEXIST, EINVAL, ENOENT, ENOMEM, ENOTSUP, EOVERFLOW, EXFULL      different small positive numbers
 *      memcmp(), memcpy(), memmove(), memset()      as in C; compilers make calls of the last three by themselves, and
 *                                                   on some machines of what is in their own library (libgcc)
 *
 *      struct env_mutex                             by default serialises threads that may sleep. Taken by whom and
 *                                                   where: see pool.h; never while a spinlock of the embedder's is held
 *      int env_mutex_init(mutex)                    0, or -ENOMEM
 *      void env_mutex_lock(mutex), _unlock, _destroy
 *      bool env_mutex_trylock(mutex)                true: it is taken, and did not have to be waited for
 *
 *      env_complain(format, ...)                    what goes wrong, for a human to read; as printf. May do nothing
 *      env_abort()                                  checked builds, after a complaint. Does not return
 *      env_yield()                                  lets others run whom a caller waits for
 *      env_sleep()                                  the same for about a millisecond
 *      uint64_t env_process()                       checked builds: differs between a parent and a child of fork()
 *      uint64_t env_seed()                          a number that nobody can guess who chooses handles
 *                                                   (options.hash_seed)
 *
 *      ENV_BATCH                                    how many visits, or ranges, an unmap or truncate copies out of a
 *                                                   section at once, onto its stack: 64 bytes each
 *      ENV_VISITS                                   how many visits a walk without an array of its caller's gathers at
 *                                                   once, onto its stack, 1 to RMAP_VISITS_MAX: 8 bytes each (what few
 *                                                   cost: struct rmap_cursor)
 *
 *      const struct rmap_rcu_ops *env_rcu()         what options.rcu stands for if it is NULL; NULL: then there must be
 *                                                   one
 *      int env_tier(struct rmap_tier *tier)         likewise for tiers: sets *@tier, 0; -EINVAL: then there must be one
 *      bool env_tier_is_here(tier)                  false of one whose memory a child of fork() lacks
 *
 * The compiler's own headers (limits.h, stdbool.h, stddef.h, stdint.h) are all that the library includes besides, and
 * no condition elsewhere asks which environment this is.
 */
#ifndef RMAP_LIB_ENV_H
#define RMAP_LIB_ENV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef RMAP_ENV_HEADER
#include RMAP_ENV_HEADER
#else
#include "hosted.h"
#endif

#define container_of(pointer, type, member) ((type *)(void *)((char *)(pointer) - offsetof(type, member)))

#endif
