/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * printable.h - what a terminal may be shown of text that others chose
 *
 * Names are chosen by those who run, and arguments may be pasted from anywhere: none shall reach a terminal as a
 * command to it.
 */
#ifndef PRINTABLE_H
#define PRINTABLE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * printable_copy - write the @length bytes at @text to @out, which may be the same place, and end them by a 0
 *
 * What is no character of the locale, controls a terminal (C0, DEL, C1) or turns the direction of writing becomes a
 * question mark; so there are as many bytes as before, or fewer.
 */
void printable_copy(char *out, const char *text, size_t length);

/* What a complaint has room for: the longest path, and what is said of it. */
#define COMPLAINT_BYTES (4096 + 256)

/** printable_complaint - @format with @args, as far as it fits, made fit for a terminal */
void printable_complaint(char text[COMPLAINT_BYTES], const char *format, va_list args);

/** is_bidirectional - does this character turn the direction of writing, so that text behind it stands elsewhere? */
bool is_bidirectional(uint32_t c);

#endif
