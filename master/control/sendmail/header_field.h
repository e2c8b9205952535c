/* SPDX-License-Identifier: ISC */
/* The fields of a message's header (RFC 5322, 2.2), one after the other.  Pure. */
#ifndef POSTERN_MASTER_CONTROL_SENDMAIL_HEADER_FIELD_H
#define POSTERN_MASTER_CONTROL_SENDMAIL_HEADER_FIELD_H

#include <stdbool.h>
#include <stddef.h>

/* It borrows the header's octets. */
struct header_field {
	const char *start; /* with its name and its last line end */
	size_t size;
	size_t name_len;
	const char *value; /* behind the colon; may be folded */
	size_t value_len;
};

/*
 * header_field_next - the field at *at, which moves behind it.
 *
 * Lines end in LF or CRLF.  False: none stands there, for the header is over: an
 * empty line, a line that is no field, or the end of the octets.
 */
bool header_field_next(const char *in, size_t n, size_t *at,
    struct header_field *field);

/* Whether it bears that name, in any letter case. */
bool header_field_is(const struct header_field *field, const char *name);

#endif
