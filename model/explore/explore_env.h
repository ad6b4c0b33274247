/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * explore_env.h - the explorer as the environment of the library (lib/env.h): its mutexes block a coroutine, its RCU
 * and its memory come in the options, and nobody else can run while a thread does
 */
#ifndef RMAP_EXPLORE_ENV_H
#define RMAP_EXPLORE_ENV_H

#include <rmap/pool.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* It is known by its address. */
struct env_mutex {
	uint64_t word;
};

int explore_mutex_lock(struct env_mutex *mutex);
int explore_mutex_trylock(struct env_mutex *mutex);
int explore_mutex_unlock(struct env_mutex *mutex);

#define env_mutex_init(mutex) ((void)(mutex), 0)
#define env_mutex_destroy(mutex) ((void)(mutex))
#define env_mutex_lock(mutex) explore_mutex_lock(mutex)
#define env_mutex_trylock(mutex) (explore_mutex_trylock(mutex) == 0)
#define env_mutex_unlock(mutex) explore_mutex_unlock(mutex)

#define ENV_BATCH 16u
#define ENV_VISITS RMAP_VISITS_MAX

#define env_complain(...) fprintf(stderr, __VA_ARGS__)
#define env_abort() abort()
#define env_yield() ((void)0)
#define env_sleep() ((void)0)
#define env_seed() ((uint64_t)1)

#define env_rcu() NULL
#define env_tier(tier) ((void)(tier), -EINVAL)
#define env_tier_is_here(tier) ((void)(tier), true)

#endif
