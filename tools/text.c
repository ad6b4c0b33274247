/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * text.c - figures and names as people, JSON and CSV are told them; see text.h
 */
#include "text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

char *text_buffer(void)
{
	static char buffers[8][32];
	static unsigned at;

	return buffers[at++ % 8];
}

const char *grouped(uint64_t value)
{
	char digits[24], *out = text_buffer(), *at = out;
	int n = snprintf(digits, sizeof(digits), "%" PRIu64, value);

	for (int i = 0; i < n; i++) {
		if (i && (n - i) % 3 == 0)
			*at++ = ',';
		*at++ = digits[i];
	}
	*at = '\0';
	return out;
}

static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };

const char *sized(double bytes)
{
	char *out = text_buffer();
	size_t unit = 0;

	for (; bytes >= 1024 && unit < 4; unit++)
		bytes /= 1024;
	snprintf(out, 32, unit ? "%.1f %s" : "%.0f %s", bytes, units[unit]);
	return out;
}

const char *sized_short(double bytes)
{
	char *out = text_buffer();
	size_t unit = 0;

	for (; bytes >= 1023.5 && unit < 4; unit++)
		bytes /= 1024;
	snprintf(out, 32, unit && bytes < 9.95 ? "%.1f %s" : "%.0f %s", bytes, units[unit]);
	return out;
}

const char *dated(uint64_t seconds)
{
	time_t time = (time_t)seconds;
	char *out = text_buffer();
	struct tm tm;

	if (!localtime_r(&time, &tm) || !strftime(out, 32, "%Y-%m-%d %H:%M:%S", &tm))
		strcpy(out, "?");
	return out;
}

void print_name(const char *name, size_t width, bool pad)
{
	const char *shown = printable(name);
	size_t length = strlen(shown);
	const char *tail = shown;

	if (length > width) {
		tail = strchr(shown + length - (width - 3), '/');
		tail = tail ? tail : shown + length - (width - 3);
		/* No character is cut. */
		while ((*tail & 0xc0) == 0x80)
			tail++;
		printf("...");
		width -= 3;
	}
	printf("%-*s", pad ? (int)width : 0, tail);
}

json_t *json_of_name(const char *name)
{
	json_t *json = json_string(name);
	char *copy;

	if (json)
		return json;
	copy = strcpy(zeroed(strlen(name) + 1, 1), name);
	for (char *at = copy; *at; at++)
		*at = (unsigned char)*at < 128 ? *at : '?';
	json = json_string(copy);
	free(copy);
	return json;
}

static void dump_json(json_t *json, size_t flags)
{
	json_dumpf(json, stdout, JSON_ENSURE_ASCII | JSON_REAL_PRECISION(6) | flags);
	putchar('\n');
	json_decref(json);
}

json_t *json_of_sample(const struct sample *sample, uint64_t kept)
{
	return json_pack("{s:o, s:o, s:o}", "one_in", json_of_number(sample->one_in), "seed",
			 json_of_number(sample->seed), "kept", json_of_number(kept));
}

void print_json(json_t *json)
{
	dump_json(json, JSON_INDENT(2));
}

void print_json_line(json_t *json)
{
	dump_json(json, 0);
}

/* How many bytes the character at @at of UTF-8 has, which is valid; sets *@c to it. */
static size_t utf8_next(const char *at, uint32_t *c)
{
	const unsigned char *bytes = (const unsigned char *)at;
	size_t length = bytes[0] < 0x80 ? 1 : bytes[0] < 0xe0 ? 2 : bytes[0] < 0xf0 ? 3 : 4;

	*c = length == 1 ? bytes[0] : bytes[0] & (0x7fu >> length);
	for (size_t i = 1; i < length; i++)
		*c = *c << 6 | (bytes[i] & 0x3f);
	return length;
}

void csv_name(const char *name)
{
	json_t *json = json_of_name(name);
	const char *at = json_string_value(json);
	bool quoted = at[strcspn(at, ",\"\n")] != '\0';
	uint32_t c;

	fputs(quoted ? ",\"" : ",", stdout);
	for (size_t length; *at; at += length) {
		length = utf8_next(at, &c);
		if ((c < 0x20 && c != '\n') || (c >= 0x7f && c < 0xa0) || is_bidirectional(c))
			putchar('?');
		else
			printf("%s%.*s", c == '"' ? "\"" : "", (int)length, at);
	}
	fputs(quoted ? "\"" : "", stdout);
	json_decref(json);
}

void csv_number(bool known, uint64_t value)
{
	if (known)
		printf(",%" PRIu64, value);
	else
		putchar(',');
}
