/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hosted.h - the environment of an ordinary program: POSIX threads, the heap, liburcu; see env.h
 */
#ifndef RMAP_LIB_HOSTED_H
#define RMAP_LIB_HOSTED_H

#include <rmap/pool.h>
#include <rmap/urcu.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

struct env_mutex {
	pthread_mutex_t mutex;
};

static inline int env_mutex_init(struct env_mutex *mutex)
{
	return -pthread_mutex_init(&mutex->mutex, NULL);
}

static inline void env_mutex_destroy(struct env_mutex *mutex)
{
	pthread_mutex_destroy(&mutex->mutex);
}

static inline void env_mutex_lock(struct env_mutex *mutex)
{
	pthread_mutex_lock(&mutex->mutex);
}

static inline bool env_mutex_trylock(struct env_mutex *mutex)
{
	return pthread_mutex_trylock(&mutex->mutex) == 0;
}

static inline void env_mutex_unlock(struct env_mutex *mutex)
{
	pthread_mutex_unlock(&mutex->mutex);
}

#define ENV_BATCH 16u
#define ENV_VISITS RMAP_VISITS_MAX

#define env_complain(...) fprintf(stderr, __VA_ARGS__)
#define env_abort() abort()

static inline void env_yield(void)
{
	sched_yield();
}

static inline void env_sleep(void)
{
	const struct timespec millisecond = { .tv_nsec = 1000000 };

	nanosleep(&millisecond, NULL);
}

static inline uint64_t env_process(void)
{
	return (uint64_t)getpid();
}

/* Without a source of randomness what differs from run to run. */
static inline uint64_t env_seed(void)
{
	struct timespec now;
	uint64_t seed;

	if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) == (ssize_t)sizeof(seed))
		return seed;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return ((uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec) * 0x9E3779B97F4A7C15u;
}

static inline int env_tier(struct rmap_tier *tier)
{
	return rmap_tier_heap(tier);
}

bool env_tier_is_here(const struct rmap_tier *tier);

const struct rmap_rcu_ops *env_rcu(void);

#endif
