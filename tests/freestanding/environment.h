/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * environment.h - an environment with nothing in it but the names of functions (lib/env.h): what a kernel begins with
 *
 * scripts/check-freestanding compiles the library with it, and links nothing: what is left undefined is what a kernel
 * owes.
 */
#ifndef ENVIRONMENT_H
#define ENVIRONMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rmap/pool.h>

#define ENOENT 2
#define EAGAIN 11
#define ENOMEM 12
#define EBUSY 16
#define EEXIST 17
#define EINVAL 22
#define EXFULL 54
#define EOVERFLOW 75
#define ENOTSUP 95

int memcmp(const void *a, const void *b, size_t n);
void *memcpy(void *to, const void *from, size_t n);
void *memmove(void *to, const void *from, size_t n);
void *memset(void *to, int byte, size_t n);

struct env_mutex {
	uint64_t word;
};

void kernel_mutex_lock(struct env_mutex *mutex);
bool kernel_mutex_trylock(struct env_mutex *mutex);
void kernel_mutex_unlock(struct env_mutex *mutex);
void kernel_log(const char *format, ...) __attribute__((format(printf, 1, 2)));
void kernel_panic(void) __attribute__((noreturn));
void kernel_yield(void);

#define env_mutex_init(mutex) ((mutex)->word = 0, 0)
#define env_mutex_destroy(mutex) ((void)(mutex))
#define env_mutex_lock kernel_mutex_lock
#define env_mutex_trylock kernel_mutex_trylock
#define env_mutex_unlock kernel_mutex_unlock

#define env_complain kernel_log
#define env_abort kernel_panic
#define env_yield kernel_yield
#define env_sleep kernel_yield
#define env_process() ((uint64_t)1)
#define env_seed() ((uint64_t)1)

#define ENV_BATCH 2u
#define ENV_VISITS 32u

/* RCU and both tiers come with the options. */
#define env_rcu() NULL
#define env_tier(tier) ((void)(tier), -EINVAL)
#define env_tier_is_here(tier) ((void)(tier), true)

#endif
