/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * source.h - where a command's system comes from: the running one, or a recording
 */
#ifndef SOURCE_H
#define SOURCE_H

#include "arguments.h"
#include "system.h"

struct source {
	unsigned threads;
	const pid_t *pids; /* to be read alone; NULL for all */
	size_t pids_n;
	const char *load; /* a recording; NULL for the running system */
	struct sample sample;
	bool kinds_only; /* see struct system */
	/*
	 * Called once the system is built and verified, with the running system's files, which are closed afterwards,
	 * or NULL; returns a status. May be NULL itself.
	 */
	int (*ask)(void *arg, struct system *system, const struct procfs *procfs);
	void *arg;
};

/** struct span - seconds by the clock, and of all processors together */
struct span {
	double seconds;
	double processor;
};

/** struct timing - how long the parts took, and with how many threads */
struct timing {
	unsigned threads;
	struct span scan;
	struct span build;
	struct span verify;
	bool loaded; /* read from a recording, not scanned */
};

/** source_threads - one for each online CPU */
unsigned source_threads(void);
/** source_threads_parse - what @word says, or end the program with a complaint */
unsigned source_threads_parse(const char *word, struct argp_state *state);

/** source_sample_parse - set @sample to what @word says, "N" or "N:SEED", or end the program with a complaint */
void source_sample_parse(const char *word, struct sample *sample, struct argp_state *state);

/** source_take - read or load a system into @system, which is empty; build and verify it. Returns a status */
int source_take(const struct source *source, struct system *system, struct timing *timing);

/**
 * source_ask - take a system for @source->ask alone; STATUS_DIFFERS if the kernel counts other mappings of some pages
 */
int source_ask(const struct source *source);

#endif
