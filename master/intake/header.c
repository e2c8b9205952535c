/* SPDX-License-Identifier: ISC */
/* See header.h. */
#include "master/intake/header.h"

#include <string.h>
#include <strings.h>

/* "TLS-Required:" [FWS] "No" CRLF, and nothing else (RFC 8689, 3). */
static void
end_field(struct header_scan *scan)
{
	static const char name[] = "TLS-Required:";
	const size_t n = sizeof(name) - 1;
	const char *value = scan->field + n;

	if (!scan->kept || scan->len < n ||
	    strncasecmp(scan->field, name, n) != 0)
		return;
	scan->field[scan->len] = '\0';
	value += strspn(value, " \t\r\n");
	scan->no = strcasecmp(value, "No\r\n") == 0;
	if (scan->fields < UINT8_MAX)
		scan->fields++;
}

/* What does not fit cannot be the field, but is one of its name. */
static void
keep(struct header_scan *scan, const uint8_t *octets, size_t n)
{
	size_t room = sizeof(scan->field) - 1 - scan->len;

	if (!scan->kept)
		return;
	if (n > room)
		n = room;
	memcpy(scan->field + scan->len, octets, n);
	scan->len += (uint8_t)n;
}

/* The first octet of a line: of a fold, of a field, or of the empty line. */
static void
begin_line(struct header_scan *scan, uint8_t octet)
{
	if (octet == ' ' || octet == '\t')
		return;
	end_field(scan);
	scan->over = octet == '\r';
	scan->kept = octet == 'T' || octet == 't';
	scan->len = 0;
}

void
header_feed(struct header_scan *scan, const uint8_t *octets, size_t n)
{
	const uint8_t *end;
	size_t len;

	for (; n > 0 && !scan->over; octets += len, n -= len) {
		if (!scan->in_line)
			begin_line(scan, octets[0]);
		end = memchr(octets, '\n', n);
		len = end != NULL ? (size_t)(end + 1 - octets) : n;
		keep(scan, octets, len);
		scan->in_line = end == NULL;
	}
}

bool
header_tls_is_optional(struct header_scan *scan)
{
	if (!scan->over)
		end_field(scan);
	scan->over = true;
	return scan->fields == 1 && scan->no;
}
