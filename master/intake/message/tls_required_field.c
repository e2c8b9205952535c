/* SPDX-License-Identifier: ISC */
/* See tls_required_field.h. */
#include "master/intake/message/tls_required_field.h"

#include <string.h>
#include <strings.h>

/* "TLS-Required:" [FWS] "No" CRLF, and nothing else (RFC 8689, 3). */
static void
end_field(struct tls_required_field *f)
{
	static const char name[] = "TLS-Required:";
	const size_t n = sizeof(name) - 1;
	const char *value = f->field + n;

	if (!f->kept || f->len < n || strncasecmp(f->field, name, n) != 0)
		return;
	f->field[f->len] = '\0';
	value += strspn(value, " \t\r\n");
	f->no = strcasecmp(value, "No\r\n") == 0;
	if (f->fields < UINT8_MAX)
		f->fields++;
}

/* What does not fit cannot be the field, but is one of its name. */
static void
keep(struct tls_required_field *f, const uint8_t *octets, size_t n)
{
	size_t room = sizeof(f->field) - 1 - f->len;

	if (!f->kept)
		return;
	if (n > room)
		n = room;
	memcpy(f->field + f->len, octets, n);
	f->len += (uint8_t)n;
}

/* The first octet of a line: of a fold, of a field, or of the empty line. */
static void
begin_line(struct tls_required_field *f, uint8_t octet)
{
	if (octet == ' ' || octet == '\t')
		return;
	end_field(f);
	f->over = octet == '\r';
	f->kept = octet == 'T' || octet == 't';
	f->len = 0;
}

void
tls_required_field_feed(struct tls_required_field *f, const uint8_t *octets,
    size_t n)
{
	const uint8_t *end;
	size_t len;

	for (; n > 0 && !f->over; octets += len, n -= len) {
		if (!f->in_line)
			begin_line(f, octets[0]);
		end = memchr(octets, '\n', n);
		len = end != NULL ? (size_t)(end + 1 - octets) : n;
		keep(f, octets, len);
		f->in_line = end == NULL;
	}
}

bool
tls_required_field_is_no(struct tls_required_field *f)
{
	if (!f->over)
		end_field(f);
	f->over = true;
	return f->fields == 1 && f->no;
}
