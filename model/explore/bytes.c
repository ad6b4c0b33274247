/* SPDX-License-Identifier: BSD-2-Clause */
#include "bytes.h"

#include "cases.h"

#include <stdio.h>
#include <string.h>

#define INITIAL_MAX 12u
#define OPS 4u
#define OWN 5u /* letters a thread owns */
#define TEXT 128u /* holds 24 words of three letters and a blank */

struct input {
	const uint8_t *bytes;
	size_t left;
};

static uint8_t next_byte(struct input *input)
{
	if (input->left == 0)
		return 0;
	input->left--;
	return *input->bytes++;
}

/* One operation of a thread, on the @place-th of its letters, of which it has *@units. */
static void add_word(char *text, unsigned kind, unsigned thread, unsigned place, unsigned *units)
{
	char letter = (char)('A' + thread * OWN + place);
	char *end = text + strlen(text);

	switch (kind) {
	case 0:
	case 1:
		units[place]++;
		sprintf(end, " +%c", letter);
		return;
	case 2:
	case 3:
		if (units[place] == 0)
			break;
		units[place]--;
		sprintf(end, " -%c", letter);
		return;
	case 4:
		if (units[place] == 0)
			break;
		units[place]--;
		units[(place + 1) % OWN]++;
		sprintf(end, " %c>%c", letter, (char)('A' + thread * OWN + (place + 1) % OWN));
		return;
	case 5:
		if (units[place] == 0)
			break;
		units[place]--;
		sprintf(end, " %c>%c", letter, place % 2 ? 'l' : 'k');
		return;
	case 6:
		strcat(end, " ?");
		return;
	default:
		strcat(end, place < 3 ? " f" : " c");
		return;
	}
	strcat(end, " #");
}

bool bytes_explore(const uint8_t *bytes, size_t size, struct engine_result *result)
{
	static const unsigned bits[] = { 0, 0, 2, 9 };
	struct input input = { bytes, size };
	uint8_t shape = next_byte(&input);
	unsigned threads = 2 + (shape >> 2) % 2;
	uint8_t amounts = next_byte(&input);
	unsigned initial = amounts % (INITIAL_MAX + 1);
	unsigned gone = amounts / (INITIAL_MAX + 1) % (initial + 1);
	unsigned units[THREADS_MAX][OWN] = { 0 };
	char texts[THREADS_MAX][TEXT] = { "" };
	char first[TEXT] = "";
	struct explore_case test = { .name = "fuzz", .bits = bits[shape % 4], .initial = first };
	struct engine_run run;

	for (unsigned i = 0; i < initial; i++) {
		unsigned thread = i % threads;
		unsigned place = i / threads % OWN;

		units[thread][place]++;
		sprintf(first + strlen(first), "%s+%c", i ? " " : "", (char)('A' + thread * OWN + place));
	}
	for (unsigned i = 0; i < gone; i++) {
		unsigned thread = i % threads;
		unsigned place = i / threads % OWN;

		units[thread][place]--;
		sprintf(first + strlen(first), " -%c", (char)('A' + thread * OWN + place));
	}
	for (unsigned i = 0; i < threads; i++) {
		for (unsigned j = 0; j < OPS; j++) {
			uint8_t byte = next_byte(&input);

			add_word(texts[i], byte % 8, i, byte / 8 % OWN, units[i]);
		}
		test.threads[i] = texts[i] + 1;
	}
	run = case_prepare(&test);
	run.random = true;
	run.limit = 1;
	run.choices = input.bytes;
	run.choices_n = input.left;
	run.stale = (shape & 8) ? STEPS_MAX : 0;
	engine_explore(&run, result);
	if (!result->error)
		return true;
	fprintf(stderr, "%s\n  bits %u, at first %s\n", result->error, test.bits, first);
	for (unsigned i = 0; i < threads; i++)
		fprintf(stderr, "  thread %c:%s\n", 'a' + i, texts[i]);
	fprintf(stderr, "  schedule %s\n", result->schedule);
	return false;
}
