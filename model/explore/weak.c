/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * weak.c - messages and views; see weak.h
 *
 * Words get small numbers as they are first met in an execution, so that a view is a short array. The first numbers
 * are the actors' own clocks of ended operations, which travel with views like words do.
 *
 * Memory always holds the newest values. Where it holds something that no message tells (private memory is prepared by
 * plain stores, too), a message that everyone knows is added: such stores are not modelled.
 */
#include "weak.h"
#include "engine.h"

#include <stdlib.h>
#include <string.h>

#define WORDS_MAX 1024u
#define MESSAGES_MAX 8192u
#define TABLE_SIZE 4096u

/* Of words from @words on the view says nothing yet: 0. */
struct view {
	unsigned words;
	uint16_t newest[WORDS_MAX];
};

/* @previous: the message of the same word before this one; 0: none. */
struct message {
	uint64_t value;
	unsigned previous;
	unsigned stamp;
	struct view *view; /* NULL: it hands nothing on */
};

static struct {
	bool on;
	unsigned words;
	unsigned messages;
	unsigned views;
	const uint64_t *addresses[WORDS_MAX];
	unsigned last[WORDS_MAX];
	unsigned taken[WORDS_MAX]; /* the newest stamp when the word's life began */
	unsigned table[TABLE_SIZE]; /* by address: the word's number, or 0 */
	unsigned places[WORDS_MAX]; /* there */
	struct message message[MESSAGES_MAX];
	struct view view[MESSAGES_MAX];
	struct view actors[ACTORS];
	struct view channels[WEAK_CHANNELS];
} weak;

static void widen(struct view *view, unsigned words)
{
	if (view->words >= words)
		return;
	memset(&view->newest[view->words], 0, (words - view->words) * sizeof(view->newest[0]));
	view->words = words;
}

void weak_begin(bool on)
{
	weak.on = on;
	if (!on && weak.words == 0)
		return;
	for (unsigned i = ACTORS; i < weak.words; i++)
		weak.table[weak.places[i]] = 0;
	weak.words = ACTORS;
	weak.messages = 1;
	weak.views = 0;
	for (unsigned i = 0; i < ACTORS; i++) {
		weak.actors[i].words = 0;
		widen(&weak.actors[i], ACTORS);
	}
	for (unsigned i = 0; i < WEAK_CHANNELS; i++)
		weak.channels[i].words = 0;
}

static void join(struct view *into, const struct view *from)
{
	widen(into, from->words);
	for (unsigned i = 0; i < from->words; i++)
		into->newest[i] = into->newest[i] < from->newest[i] ? from->newest[i] : into->newest[i];
}

static struct view *new_view(void)
{
	struct view *view;

	if (weak.views == MESSAGES_MAX)
		engine_fail("too many views: the model is too small for this program");
	view = &weak.view[weak.views++];
	view->words = 0;
	return view;
}

static struct message *append(unsigned word, uint64_t value)
{
	unsigned previous = weak.last[word];
	struct message *message;

	if (weak.messages == MESSAGES_MAX)
		engine_fail("too many messages: the model is too small for this program");
	message = &weak.message[weak.messages];
	*message = (struct message){ value, previous, previous ? weak.message[previous].stamp + 1 : 1, NULL };
	weak.last[word] = weak.messages++;
	return message;
}

/* The number of @address, whose newest message says what memory says. */
static unsigned word_of(const uint64_t *address)
{
	unsigned place = (unsigned)(((uintptr_t)address >> 3) * 2654435761u) % TABLE_SIZE;
	unsigned word;

	while ((word = weak.table[place]) != 0 && weak.addresses[word] != address)
		place = (place + 1) % TABLE_SIZE;
	if (word == 0) {
		if (weak.words == WORDS_MAX)
			engine_fail("too many words: the model is too small for this program");
		word = weak.words++;
		weak.table[place] = word;
		weak.places[word] = place;
		weak.addresses[word] = address;
		weak.last[word] = 0;
		weak.taken[word] = 0;
		for (unsigned i = 0; i < ACTORS; i++)
			widen(&weak.actors[i], weak.words);
	}
	if (weak.last[word] == 0 || weak.message[weak.last[word]].value != *address) {
		unsigned stamp = append(word, *address)->stamp;

		for (unsigned i = 0; i < ACTORS; i++)
			weak.actors[i].newest[word] = (uint16_t)stamp;
	}
	return word;
}

static bool fits(const struct message *message, const uint64_t *expected)
{
	return !expected || message->value != *expected;
}

unsigned weak_choices(unsigned actor, const uint64_t *word, const uint64_t *expected)
{
	unsigned number;
	unsigned choices = 1;

	if (!weak.on)
		return 1;
	number = word_of(word);
	for (unsigned i = weak.message[weak.last[number]].previous; i; i = weak.message[i].previous) {
		if (weak.message[i].stamp < weak.actors[actor].newest[number])
			break;
		choices += fits(&weak.message[i], expected);
	}
	return choices;
}

static bool acquires(int order)
{
	return order == __ATOMIC_ACQUIRE || order == __ATOMIC_ACQ_REL || order == __ATOMIC_SEQ_CST;
}

static bool releases(int order)
{
	return order == __ATOMIC_RELEASE || order == __ATOMIC_ACQ_REL || order == __ATOMIC_SEQ_CST;
}

static const struct message *read_message(unsigned actor, unsigned number, const uint64_t *expected, unsigned choice)
{
	struct view *view = &weak.actors[actor];
	const struct message *message;

	message = &weak.message[weak.last[number]];
	while (choice > 0) {
		message = &weak.message[message->previous];
		choice -= fits(message, expected);
	}
	if (view->newest[number] < message->stamp)
		view->newest[number] = (uint16_t)message->stamp;
	return message;
}

uint64_t weak_read(unsigned actor, const uint64_t *word, const uint64_t *expected, unsigned choice, int order)
{
	const struct message *message;
	unsigned number;

	if (!weak.on)
		return *word;
	number = word_of(word);
	message = read_message(actor, number, expected, choice);
	if (message->stamp <= weak.taken[number])
		engine_fail("a load finds what memory held before it was published");
	if (acquires(order) && message->view)
		join(&weak.actors[actor], message->view);
	return message->value;
}

uint64_t weak_read_stray(unsigned actor, const uint64_t *word, unsigned choice)
{
	return weak.on ? read_message(actor, word_of(word), NULL, choice)->value : *word;
}

void weak_taken(const uint64_t *word)
{
	unsigned number;

	if (!weak.on)
		return;
	number = word_of(word);
	weak.taken[number] = weak.message[weak.last[number]].stamp;
}

void weak_write(unsigned actor, uint64_t *word, uint64_t value, int order, bool update)
{
	struct view *view = &weak.actors[actor];
	struct message *message;
	const struct view *inherited;
	unsigned number;

	if (!weak.on) {
		*word = value;
		return;
	}
	number = word_of(word);
	inherited = update ? weak.message[weak.last[number]].view : NULL;
	*word = value;
	message = append(number, value);
	view->newest[number] = (uint16_t)message->stamp;
	if (!releases(order) && !inherited)
		return;
	message->view = new_view();
	if (inherited)
		join(message->view, inherited);
	if (releases(order))
		join(message->view, view);
}

void weak_send(unsigned actor, enum weak_channel channel)
{
	if (weak.on)
		join(&weak.channels[channel], &weak.actors[actor]);
}

void weak_receive(unsigned actor, enum weak_channel channel)
{
	if (weak.on)
		join(&weak.actors[actor], &weak.channels[channel]);
}

void weak_tick(unsigned actor)
{
	weak.actors[actor].newest[actor]++;
}

unsigned weak_known(unsigned actor, unsigned of)
{
	return weak.actors[actor].newest[of];
}
