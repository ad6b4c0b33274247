/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * registered.h - how a peer's map and threads begin that need no more than their registry; included behind both structs
 */
#ifndef BENCH_REGISTERED_H
#define BENCH_REGISTERED_H

static struct map *map_open(size_t expected)
{
	(void)expected;
	return registry_open(sizeof(struct map));
}

static struct thread *thread_enter(struct map *map)
{
	return registry_enter(map, sizeof(struct thread));
}

#endif
