/* SPDX-License-Identifier: ISC */
/* See loop.h. */
#include "common/loop.h"

#include <string.h>
#include <strings.h>

static bool
is_named(const struct loop *l, const char *name, size_t n)
{
	return l->len >= n && strncasecmp(l->field, name, n) == 0 &&
	    l->field[n + strspn(l->field + n, " \t")] == ':';
}

/* The value of Delivered-To without the white space around it. */
static bool
is_recipient(const struct loop *l)
{
	const char *value = strchr(l->field, ':') + 1;
	size_t n;

	value += strspn(value, " \t\r\n");
	n = strlen(value);
	while (n > 0 && strchr(" \t\r\n", value[n - 1]) != NULL)
		n--;
	return n == strlen(l->recipient) &&
	    strncasecmp(value, l->recipient, n) == 0;
}

static void
end_field(struct loop *l)
{
	if (!l->kept)
		return;
	l->kept = false;
	l->field[l->len] = '\0';
	if (is_named(l, "Received", 8))
		l->hops++;
	else if (l->recipient != NULL && is_named(l, "Delivered-To", 12) &&
	    l->len < sizeof(l->field) - 1 && is_recipient(l))
		l->returned = true;
}

/* What does not fit is no address; of Received its name is enough. */
static void
keep(struct loop *l, const uint8_t *octets, size_t n)
{
	size_t room = sizeof(l->field) - 1 - l->len;

	if (!l->kept)
		return;
	if (n > room)
		n = room;
	memcpy(l->field + l->len, octets, n);
	l->len += n;
}

/* The first octet of a line: of a fold, of a field, or of the empty line. */
static void
begin_line(struct loop *l, uint8_t octet)
{
	uint8_t letter = octet | 0x20;

	if (octet == ' ' || octet == '\t')
		return;
	end_field(l);
	l->over = octet == '\r';
	l->kept = letter == 'r' || letter == 'd';
	l->len = 0;
}

void
loop_feed(struct loop *l, const uint8_t *octets, size_t n)
{
	const uint8_t *end;
	size_t len;

	for (; n > 0 && !l->over; octets += len, n -= len) {
		if (!l->in_line)
			begin_line(l, octets[0]);
		end = memchr(octets, '\n', n);
		len = end != NULL ? (size_t)(end + 1 - octets) : n;
		keep(l, octets, len);
		l->in_line = end == NULL;
	}
}

void
loop_end(struct loop *l)
{
	if (!l->over)
		end_field(l);
	l->over = true;
}
