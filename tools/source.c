/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * source.c - reading the running system or a recording, building and verifying it; see source.h
 */
#include "source.h"

#include "file.h"
#include "owners.h"
#include "scan.h"
#include "verify.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

#define THREADS_MAX 1024

unsigned source_threads_parse(const char *word, struct argp_state *state)
{
	uint64_t value = 1;

	if (!parse_number(word, 1, THREADS_MAX, &value))
		bad_usage(state, "--threads wants a number from 1 to %d, not \"%s\"", THREADS_MAX, word);
	return (unsigned)value;
}

unsigned source_threads(void)
{
	long online = sysconf(_SC_NPROCESSORS_ONLN);

	return online < 1 ? 1 : online < THREADS_MAX ? (unsigned)online : THREADS_MAX;
}

void source_sample_parse(const char *word, struct sample *sample, struct argp_state *state)
{
	const char *colon = strchrnul(word, ':');
	uint64_t one_in = 2, seed = 0;
	char number[16];

	snprintf(number, sizeof(number), "%.*s", (int)(colon - word), word);
	if (colon - word >= (ptrdiff_t)sizeof(number) || !parse_number(number, 2, SAMPLE_MAX, &one_in) ||
	    (*colon && !parse_number(colon + 1, 0, INT64_MAX, &seed)))
		bad_usage(state,
			  "--sample wants one page in how many, 2 to %d, and perhaps a seed, as N:SEED, not \"%s\"",
			  SAMPLE_MAX, word);
	*sample = (struct sample){ .one_in = (uint32_t)one_in, .seed = seed };
}

static struct span now(void)
{
	struct timespec processor;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &processor);
	return (struct span){ .seconds = seconds_now(),
			      .processor = (double)processor.tv_sec + (double)processor.tv_nsec / 1e9 };
}

static struct span since(struct span began)
{
	struct span ends = now();

	return (struct span){ ends.seconds - began.seconds, ends.processor - began.processor };
}

/* Make the reverse map of what was read. */
static int build(const struct source *source, struct system *system, struct timing *timing)
{
	struct span began = now();
	int status = system_build(system, source->threads);

	timing->build = since(began);
	return status;
}

/* Read the running system. */
static int take(const struct source *source, struct system *system, struct timing *timing)
{
	const pid_t *pids = source->pids_n ? source->pids : NULL;
	struct procfs procfs;
	struct span began;
	int status = procfs_open(&procfs);

	if (status)
		return status;
	procfs.threads = source->threads;
	began = now();
	status = scan_system(system, &procfs, pids, source->pids_n, source->threads);
	if (!status)
		status = owners_read(system, &procfs);
	timing->scan = since(began);
	if (!status)
		status = build(source, system, timing);
	if (!status) {
		began = now();
		status = verify_system(system, &procfs, pids, source->pids_n, source->threads);
		timing->verify = since(began);
	}
	if (!status && source->ask)
		status = source->ask(source->arg, system, &procfs);
	procfs_close(&procfs);
	return status;
}

/* Read a recorded one. */
static int load(const struct source *source, struct system *system, struct timing *timing)
{
	struct span began = now();
	int status = file_load(source->load, system);

	timing->loaded = true;
	timing->scan = since(began);
	if (!status)
		status = build(source, system, timing);
	if (!status) {
		began = now();
		status = verify_recorded(system, source->threads);
		timing->verify = since(began);
	}
	if (!status && source->ask)
		status = source->ask(source->arg, system, NULL);
	return status;
}

int source_take(const struct source *source, struct system *system, struct timing *timing)
{
	*timing = (struct timing){ .threads = source->threads };
	system->sample = source->sample;
	system->kinds_only = source->kinds_only;
	return source->load ? load(source, system, timing) : take(source, system, timing);
}

int source_ask(const struct source *source)
{
	struct timing timing;
	struct system system;
	int status;

	system_init(&system);
	status = source_take(source, &system, &timing);
	if (!status && verify_sum(&system).mismatched)
		status = STATUS_DIFFERS;
	system_fini(&system);
	return status;
}
