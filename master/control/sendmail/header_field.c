/* SPDX-License-Identifier: ISC */
/* See header_field.h. */
#include "master/control/sendmail/header_field.h"

#include <string.h>
#include <strings.h>

static size_t
line_size(const char *in, size_t n)
{
	const char *end = memchr(in, '\n', n);

	return end != NULL ? (size_t)(end - in) + 1 : n;
}

/* RFC 5322, 3.6.8; white space before the colon is the old form of 4.5. */
static size_t
name_len(const char *in, size_t n, size_t *colon)
{
	size_t len = 0;

	while (len < n && in[len] > ' ' && in[len] < 0x7f && in[len] != ':')
		len++;
	*colon = len;
	while (*colon < n && (in[*colon] == ' ' || in[*colon] == '\t'))
		(*colon)++;
	return *colon < n && in[*colon] == ':' ? len : 0;
}

bool
header_field_next(const char *in, size_t n, size_t *at,
    struct header_field *field)
{
	size_t size, colon;

	in += *at;
	n -= *at;
	size = line_size(in, n);
	field->name_len = name_len(in, size, &colon);
	if (field->name_len == 0)
		return false;
	while (size < n && (in[size] == ' ' || in[size] == '\t'))
		size += line_size(in + size, n - size);
	field->start = in;
	field->size = size;
	field->value = in + colon + 1;
	field->value_len = size - colon - 1;
	*at += size;
	return true;
}

bool
header_field_is(const struct header_field *field, const char *name)
{
	return strlen(name) == field->name_len &&
	    strncasecmp(field->start, name, field->name_len) == 0;
}
