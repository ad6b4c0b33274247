/* SPDX-License-Identifier: BSD-2-Clause */
#include "arguments.h"

#include <stddef.h>

enum {
	KEY_HELP = '?',
	KEY_USAGE = 0x7FFFFF, /* the greatest that argp can tell apart; programs choose smaller ones */
};

static const struct argp_option options[] = {
	{ "help", KEY_HELP, NULL, 0, "Give this help list", -1 },
	{ "usage", KEY_USAGE, NULL, 0, "Give a short usage message", 0 },
	{ 0 },
};

static error_t parse(int key, char *text, struct argp_state *state)
{
	(void)text;
	switch (key) {
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
