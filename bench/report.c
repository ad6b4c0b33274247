/* SPDX-License-Identifier: BSD-2-Clause */
#include "report.h"

#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

/* The compiler options, as the build says them. */
#ifndef RMAP_BENCH_FLAGS
#define RMAP_BENCH_FLAGS "unknown"
#endif

#if defined(__clang__)
#define BENCH_COMPILER __VERSION__
#else
#define BENCH_COMPILER "gcc " __VERSION__
#endif

/* The processor's name, or the architecture where /proc/cpuinfo does not give one (aarch64). */
static void processor_name(char *name, size_t size, const char *fallback)
{
	char line[256];
	FILE *cpuinfo = fopen("/proc/cpuinfo", "r");

	snprintf(name, size, "%s", fallback);
	while (cpuinfo && fgets(line, sizeof(line), cpuinfo)) {
		char *colon = strchr(line, ':');

		if (strncmp(line, "model name", 10) == 0 && colon && colon[1]) {
			colon[strcspn(colon, "\n")] = '\0';
			snprintf(name, size, "%s", colon + 2);
			break;
		}
	}
	if (cpuinfo)
		fclose(cpuinfo);
}

/* The load says how far the figures can be trusted: benchmarks want an idle machine. */
json_t *bench_machine(void)
{
	struct utsname uts;
	char cpu[256], kernel[256];
	double load = 0;

	if (getloadavg(&load, 1) != 1)
		load = -1;
	uname(&uts);
	processor_name(cpu, sizeof(cpu), uts.machine);
	snprintf(kernel, sizeof(kernel), "%.64s %.64s %.64s", uts.sysname, uts.release, uts.machine);
	return json_pack("{s:s, s:I, s:s, s:s, s:s, s:s, s:f}", "cpu", cpu, "cores",
			 (json_int_t)sysconf(_SC_NPROCESSORS_ONLN), "kernel", kernel, "compiler", BENCH_COMPILER,
			 "flags", RMAP_BENCH_FLAGS, "build", BENCH_BUILD, "load", load);
}

double bench_parse_seconds(struct argp_state *state, const char *text)
{
	char *end;
	double value = strtod(text, &end);

	/* Written so that not-a-number is refused as well. */
	if (end == text || *end || !(value > 0 && value <= 86400))
		bad_usage(state, "--seconds takes a number above 0 and up to 86400, not \"%s\"", text);
	return value;
}

unsigned bench_parse_whole(struct argp_state *state, const char *option, const char *text, unsigned least,
			   unsigned most)
{
	char *end;
	long value = strtol(text, &end, 10);

	if (end == text || *end || value < (long)least || value > (long)most)
		bad_usage(state, "--%s takes a whole number from %u to %u, not \"%s\"", option, least, most, text);
	return (unsigned)value;
}

void bench_add_ratios(json_t *report)
{
	json_t *contenders = json_object_get(report, "contenders"), *figures;
	const json_t *base = NULL;
	const char *name;

	json_object_foreach(contenders, name, figures)
	{
		const json_t *rounds = json_object_get(figures, "rounds");
		size_t n = json_array_size(rounds);
		double ratios[BENCH_ROUNDS_MAX];

		base = base ? base : rounds;
		if (!n || n != json_array_size(base))
			continue;
		for (size_t i = 0; i < n; i++) {
			double by = json_real_value(json_array_get(base, i));

			/* Nothing was measured: a thread has not run at all. */
			ratios[i] = by > 0 ? json_real_value(json_array_get(rounds, i)) / by : 0;
		}
		json_object_set_new(figures, "ratio", bench_spread(ratios, n));
	}
}
