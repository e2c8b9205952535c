/* SPDX-License-Identifier: ISC */
/* See secret_text.h. */
#include "master/secret_text.h"

#include <string.h>

#define SECONDS_MAX 1000000000

/* Without one LF or CRLF at its end. */
static size_t
without_line_end(const char *text, size_t n)
{
	if (n > 0 && text[n - 1] == '\n')
		n--;
	else
		return n;
	if (n > 0 && text[n - 1] == '\r')
		n--;
	return n;
}

static bool
read_seconds(const char *line, size_t n, uint32_t *out)
{
	uint32_t value = 0;

	if (n == 0 || n > 9)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (line[i] < '0' || line[i] > '9')
			return false;
		value = value * 10 + (uint32_t)(line[i] - '0');
	}
	*out = value < SECONDS_MAX ? value : SECONDS_MAX;
	return value > 0;
}

const char *
secret_text_read(const char *text, size_t n, bool command,
    struct secret_text *out)
{
	const char *end = NULL;
	size_t rest;

	memset(out, 0, sizeof(*out));
	if (n > SECRET_TEXT_MAX)
		return "it is too long";
	if (memchr(text, '\0', n) != NULL)
		return "it holds a NUL";
	if (command)
		end = memchr(text, '\n', n);
	out->len =
	    without_line_end(text, end != NULL ? (size_t)(end + 1 - text) : n);
	if (out->len == 0)
		return "it is empty";
	if (out->len > AUTH_SECRET_MAX)
		return "it is too long";
	if (end == NULL || end + 1 == text + n)
		return NULL;
	rest = without_line_end(end + 1, (size_t)(text + n - (end + 1)));
	return read_seconds(end + 1, rest, &out->for_s)
	    ? NULL
	    : "its second line is no number of seconds";
}
