/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * arguments.c - command lines; see arguments.h
 *
 * argp leaves it to getopt to complain of an option that there is not, which shows what was typed as it is, and knows
 * no better name. So getopt goes through the words once before, by argp's own list, and is asked what it found.
 */
#include "arguments.h"

#include "near.h"
#include "printable.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	KEY_HELP = '?',
	KEY_USAGE = 0x7FFFFF, /* the greatest that argp can tell apart; programs choose smaller ones */
};

#define OPTIONS_MAX 64
/* What getopt returns for long options, from here on; short ones are characters. */
#define LONG_FIRST 256

/* A program's options, as getopt is told them. */
struct known {
	struct option longs[OPTIONS_MAX + 1];
	const char *names[OPTIONS_MAX];
	size_t n;
	char shorts[1 + 2 * OPTIONS_MAX + 1]; /* a colon, then each with a colon if it takes a value */
};

static const struct argp_option options[] = {
	{ "help", KEY_HELP, NULL, 0, "Give this help list", -1 },
	{ "usage", KEY_USAGE, NULL, 0, "Give a short usage message", 0 },
	{ 0 },
};

void bad_usage(const struct argp_state *state, const char *format, ...)
{
	char text[COMPLAINT_BYTES];
	va_list args;

	va_start(args, format);
	printable_complaint(text, format, args);
	va_end(args);
	argp_error(state, "%s", text);
}

/* -? is left out, for that is what getopt says of an option that it does not know. */
static bool has_short(const struct argp_option *option)
{
	return option->key > ' ' && option->key <= '~' && option->key != KEY_HELP;
}

static void add_options(struct known *known, const struct argp *argp)
{
	for (const struct argp_option *at = argp->options; at && (at->name || at->key || at->doc); at++) {
		char *end = known->shorts + strlen(known->shorts);

		if (known->n == OPTIONS_MAX)
			abort();
		if (has_short(at))
			snprintf(end, 3, "%c%s", at->key, at->arg ? ":" : "");
		if (!at->name)
			continue;
		known->names[known->n] = at->name;
		known->longs[known->n] = (struct option){ .name = at->name,
							  .has_arg = at->arg ? required_argument : no_argument,
							  .val = LONG_FIRST + (int)known->n };
		known->n++;
	}
	for (const struct argp_child *child = argp->children; child && child->argp; child++)
		add_options(known, child->argp);
}

/* Of the long option @word that is none, or may be several. */
static void complain_of_long(const struct known *known, const struct argp_state *state, const char *word)
{
	const char *several[OPTIONS_MAX], *near;
	size_t length = strcspn(word, "="), n = 0;
	char name[256];

	snprintf(name, sizeof(name), "%.*s", (int)length, word);
	for (size_t i = 0; i < known->n; i++)
		if (*name && !strncmp(known->names[i], name, strlen(name)))
			several[n++] = known->names[i];
	near = near_word(name, known->names, known->n);
	if (n > 1)
		bad_usage(state, "--%s may be --%s or --%s: write more of it", name, several[0], several[1]);
	else if (near)
		bad_usage(state, "there is no option \"--%s\"; did you mean --%s?", name, near);
	else
		bad_usage(state, "there is no option \"--%s\"", name);
}

/* Of the letter @letter, which is none, of the word @word; that may be a long option with too few dashes. */
static void complain_of_short(const struct known *known, const struct argp_state *state, int letter, const char *word)
{
	const char *near = word && word[0] == '-' && word[1] == letter && word[2]
				   ? near_word(word + 1, known->names, known->n)
				   : NULL;

	if (near)
		bad_usage(state, "there is no option \"%s\"; did you mean --%s?", word, near);
	else
		bad_usage(state, "there is no option \"-%c\"", letter);
}

static void check_options(const struct argp_state *state)
{
	struct known known = { .shorts = ":" };
	char **words = calloc((size_t)state->argc + 1, sizeof(*words)); /* which getopt puts in another order */
	int found;

	if (!words)
		return; /* argp will notice */
	memcpy(words, state->argv, (size_t)state->argc * sizeof(*words));
	add_options(&known, state->root_argp);
	opterr = 0;
	for (optind = optopt = 0; (found = getopt_long(state->argc, words, known.shorts, known.longs, NULL)) != -1;
	     optopt = 0) {
		const char *word = words[optind - 1];

		if (found == ':' && optopt < LONG_FIRST)
			bad_usage(state, "-%c wants a value", optopt);
		else if (found == ':')
			bad_usage(state, "--%s wants a value", known.names[optopt - LONG_FIRST]);
		else if (found == '?' && optopt >= LONG_FIRST)
			bad_usage(state, "--%s takes no value: leave out \"%s\"", known.names[optopt - LONG_FIRST],
				  strchr(word, '='));
		else if (found == '?' && !optopt)
			complain_of_long(&known, state, word + 2);
		else if (found == '?' && optopt != KEY_HELP)
			complain_of_short(&known, state, optopt, words[optind]);
	}
	free(words);
}

static error_t parse(int key, char *text, struct argp_state *state)
{
	(void)text;
	switch (key) {
	case ARGP_KEY_INIT:
		state->name = basename(state->argv[0]); /* which argp knows only later */
		check_options(state);
		return 0;
	case KEY_HELP:
		argp_state_help(state, state->out_stream, ARGP_HELP_STD_HELP);
		return 0;
	case KEY_USAGE:
		argp_state_help(state, state->out_stream, ARGP_HELP_USAGE | ARGP_HELP_EXIT_OK);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

void arguments_parse(const struct argp *argp, int argc, char **argv, void *input)
{
	static const struct argp help = { .options = options, .parser = parse };
	struct argp_child children[3] = { 0 }, *end = children;
	struct argp whole = *argp;

	/* The first is the command's own, if it has one. */
	if (argp->children)
		*end++ = *argp->children;
	end->argp = &help;
	whole.children = children;
	argp_err_exit_status = ARGUMENTS_STATUS;
	argp_parse(&whole, argc, argv, ARGP_NO_HELP, NULL, input);
}
