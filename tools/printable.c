/* SPDX-License-Identifier: BSD-2-Clause */
#include "printable.h"

#include <stdio.h>
#include <string.h>
#include <wchar.h>
#include <wctype.h>

/* Marks, embeddings, overrides and isolates of the bidirectional algorithm. */
bool is_bidirectional(uint32_t c)
{
	return c == 0x61c || c == 0x200e || c == 0x200f || (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

void printable_copy(char *out, const char *text, size_t length)
{
	mbstate_t state = { 0 };

	while (length) {
		wchar_t c;
		size_t bytes = mbrtowc(&c, text, length, &state);
		bool valid = bytes && bytes <= length;

		if (valid && iswprint((wint_t)c) && !is_bidirectional((uint32_t)c)) {
			memmove(out, text, bytes);
			out += bytes;
		} else {
			*out++ = '?';
		}
		if (!valid) {
			bytes = 1;
			state = (mbstate_t){ 0 };
		}
		text += bytes;
		length -= bytes;
	}
	*out = '\0';
}

void printable_complaint(char text[COMPLAINT_BYTES], const char *format, va_list args)
{
	vsnprintf(text, COMPLAINT_BYTES, format, args);
	printable_copy(text, text, strlen(text));
}
