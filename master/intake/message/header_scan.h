/* SPDX-License-Identifier: ISC */
/* What the header of a message asks of its transport.  Pure. */
#ifndef POSTERN_MASTER_INTAKE_MESSAGE_HEADER_SCAN_H
#define POSTERN_MASTER_INTAKE_MESSAGE_HEADER_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/utf8.h"

/* Zeroed, it is at the start of a message. */
struct header_scan {
	bool over;     /* the empty line is past */
	bool has_8bit; /* an octet above 127 */
	bool is_wrong; /* which is no UTF-8 */
	uint8_t ends;  /* octets of CRLF CRLF in a row; the start counts two */
	bool started;
	struct utf8 utf8;
};

/* The next octets of the message, whose lines end in CRLF. */
void header_scan_feed(struct header_scan *h, const uint8_t *in, size_t n);

/* Whether a field is UTF-8 beyond ASCII, so that it needs SMTPUTF8
 * (RFC 6531, 3.2). */
bool header_scan_is_utf8(const struct header_scan *h);

#endif
