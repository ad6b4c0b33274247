/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * operations.c - the atomic operations of the library as steps; see explore_step.h
 *
 * Outside an execution, while a case is prepared or verified, and on private memory they are just done.
 */
#include "engine.h"
#include "step.h"
#include "weak.h"

#include <explore_step.h>

static bool is_step(const void *word)
{
	return engine_is_inside() && !engine_is_private(word);
}

uint64_t explore_load(const uint64_t *word, int order)
{
	if (!is_step(word))
		return *word;
	engine_step(word, sizeof(*word), false);
	return weak_read(engine_self(), word, NULL, engine_read_choice(word, NULL), order);
}

uint64_t explore_load_stray(const uint64_t *word)
{
	if (!is_step(word))
		return *word;
	engine_step(word, sizeof(*word), false);
	return weak_read_stray(engine_self(), word, engine_read_choice(word, NULL));
}

void explore_store(uint64_t *word, uint64_t value, int order)
{
	if (!is_step(word)) {
		*word = value;
		return;
	}
	engine_step(word, sizeof(*word), true);
	weak_write(engine_self(), word, value, order, false);
}

bool explore_cas(uint64_t *word, uint64_t *expected, uint64_t desired, int order, int failure)
{
	unsigned choice;
	uint64_t found;

	if (!is_step(word)) {
		found = *word;
		if (found == *expected)
			*word = desired;
	} else {
		engine_step(word, sizeof(*word), true);
		choice = engine_read_choice(word, expected);
		if (choice == 0 && *word == *expected) {
			weak_read(engine_self(), word, expected, 0, order);
			weak_write(engine_self(), word, desired, order, true);
			return true;
		}
		found = weak_read(engine_self(), word, expected, choice, failure);
		engine_step_has_only_read();
	}
	if (found == *expected)
		return true;
	*expected = found;
	return false;
}

uint64_t explore_exchange(uint64_t *word, uint64_t value, int order)
{
	uint64_t found = *word;

	if (!is_step(word)) {
		*word = value;
		return found;
	}
	engine_step(word, sizeof(*word), true);
	found = weak_read(engine_self(), word, NULL, 0, order);
	weak_write(engine_self(), word, value, order, true);
	return found;
}

uint64_t explore_fetch_add(uint64_t *word, uint64_t value, int order)
{
	uint64_t found = *word;

	if (!is_step(word)) {
		*word += value;
		return found;
	}
	engine_step(word, sizeof(*word), true);
	found = weak_read(engine_self(), word, NULL, 0, order);
	weak_write(engine_self(), word, found + value, order, true);
	return found;
}

uint64_t explore_fetch_or(uint64_t *word, uint64_t value, int order)
{
	uint64_t found = *word;

	if (!is_step(word)) {
		*word |= value;
		return found;
	}
	engine_step(word, sizeof(*word), true);
	found = weak_read(engine_self(), word, NULL, 0, order);
	weak_write(engine_self(), word, found | value, order, true);
	return found;
}

void explore_taken(const void *memory, size_t bytes)
{
	const uint64_t *words = memory;

	for (size_t i = 0; engine_is_inside() && words && i < bytes / sizeof(*words); i++)
		weak_taken(&words[i]);
}

void explore_clear(void *memory, size_t bytes)
{
	uint64_t *words = memory;

	for (size_t i = 0; i < bytes / sizeof(*words); i++) {
		if (engine_is_inside())
			weak_write(engine_self(), &words[i], 0, __ATOMIC_RELAXED, false);
		else
			words[i] = 0;
	}
}
