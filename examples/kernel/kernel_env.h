/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kernel_env.h - the kernel as the environment of librmap (lib/env.h)
 */
#ifndef KERNEL_ENV_H
#define KERNEL_ENV_H

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

/* A spinlock. Who spins outside a section lets grace periods pass meanwhile: its holder may wait for one. */
struct env_mutex {
	uint32_t taken;
};

bool env_mutex_trylock(struct env_mutex *mutex);
void env_mutex_lock(struct env_mutex *mutex);
void env_mutex_unlock(struct env_mutex *mutex);
void env_yield(void);
void panic(const char *why) __attribute__((noreturn));

/* What is wrong panic() says. */
static inline void env_complain(const char *format, ...)
{
	(void)format;
}

#define env_mutex_init(mutex) ((mutex)->taken = 0, 0)
#define env_mutex_destroy(mutex) ((void)(mutex))
#define env_abort() panic("a check of the library's")
#define env_sleep env_yield
#define env_process() ((uint64_t)1)

/* Nobody here chooses addresses to hurt the kernel: it is enough that it differs. */
static inline uint64_t env_seed(void)
{
	uint64_t cycles;

	__asm__ volatile("csrr %0, mcycle" : "=r"(cycles));
	return cycles;
}

#define ENV_BATCH 2u
#define ENV_VISITS 32u

#define env_rcu() NULL
#define env_tier(tier) ((void)(tier), -EINVAL)
#define env_tier_is_here(tier) ((void)(tier), true)

#endif
