/* SPDX-License-Identifier: ISC */
/*
 * The header field TLS-Required
 * (RFC 8689, 3), found as the octets go by.  Pure.
 */
#ifndef POSTERN_MASTER_INTAKE_MESSAGE_TLS_REQUIRED_FIELD_H
#define POSTERN_MASTER_INTAKE_MESSAGE_TLS_REQUIRED_FIELD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zeroed at the start of a message. */
struct tls_required_field {
	bool over;    /* the empty line was there */
	bool in_line; /* of a field whose end is still to come */
	bool kept;    /* field may be one we know */
	uint8_t len;
	uint8_t fields; /* of TLS-Required; more than 1: none counts */
	bool no;        /* the last of them said so */
	char field[48]; /* from its name on, folds included */
};

/* More octets of the message, whose line ends are CRLF. */
void tls_required_field_feed(struct tls_required_field *f,
    const uint8_t *octets, size_t n);

/* At the end: whether the sender can do without TLS. */
bool tls_required_field_is_no(struct tls_required_field *f);

#endif
