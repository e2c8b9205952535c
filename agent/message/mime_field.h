/* SPDX-License-Identifier: ISC */
/*
 * The header fields that say how a message or a part of it is built
 * (RFC 2045, 5 and 6).  Pure; a field stands unfolded or not, without its last
 * line end.
 */
#ifndef POSTERN_AGENT_MESSAGE_MIME_FIELD_H
#define POSTERN_AGENT_MESSAGE_MIME_FIELD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MIME_BOUNDARY_MAX 70 /* RFC 2046, 5.1.1 */

enum mime_field {
	MIME_FIELD_NONE, /* no field at all */
	MIME_FIELD_OTHER,
	MIME_FIELD_TYPE,      /* Content-Type */
	MIME_FIELD_ENCODING,  /* Content-Transfer-Encoding */
	MIME_FIELD_VERSION,   /* MIME-Version */
	MIME_FIELD_SIGNATURE, /* DKIM-Signature, ARC-Message-Signature */
};

enum mime_kind {
	MIME_TEXT,
	MIME_OTHER, /* any content that an encoding can wrap */
	MIME_MULTIPART,
	MIME_DIGEST,     /* multipart/digest: its parts are messages */
	MIME_SIGNED,     /* multipart/signed: its parts stay as they are */
	MIME_MESSAGE,    /* message/rfc822 */
	MIME_RESTRICTED, /* another message/...: seven bits, or nothing */
};

struct mime_type {
	enum mime_kind kind;
	size_t boundary_len; /* 0: none, or none that is allowed */
	char boundary[MIME_BOUNDARY_MAX + 1];
};

enum mime_encoding {
	MIME_7BIT,
	MIME_8BIT,
	MIME_BINARY,
	MIME_ENCODED, /* quoted-printable, base64, or one that we do not know */
};

/* Which field a line begins, from its name and colon. */
enum mime_field mime_field_find(const uint8_t *line, size_t n);

/* What they say, name and all; a type that makes no sense is MIME_OTHER. */
void mime_field_type(struct mime_type *type, const uint8_t *field, size_t n);
enum mime_encoding mime_field_encoding(const uint8_t *field, size_t n);

#endif
