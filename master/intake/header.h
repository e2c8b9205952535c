/* SPDX-License-Identifier: ISC */
/*
 * The one header field that changes how a message is sent, TLS-Required
 * (RFC 8689, 3), found as the octets go by.  Pure.
 */
#ifndef POSTERN_MASTER_INTAKE_HEADER_H
#define POSTERN_MASTER_INTAKE_HEADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zeroed at the start of a message. */
struct header_scan {
	bool over;    /* the empty line was there */
	bool in_line; /* of a field whose end is still to come */
	bool kept;    /* field may be one we know */
	uint8_t len;
	uint8_t fields; /* of TLS-Required; more than 1: none counts */
	bool no;        /* the last of them said so */
	char field[48]; /* from its name on, folds included */
};

/* More octets of the message, whose line ends are CRLF. */
void header_feed(struct header_scan *scan, const uint8_t *octets, size_t n);

/* At the end: whether the sender can do without TLS. */
bool header_tls_is_optional(struct header_scan *scan);

#endif
