/* SPDX-License-Identifier: ISC */
/*
 * A message for a server that cannot take its octets as they are: parts of 8
 * bits become quoted-printable or base64 where 8BITMIME is missing, binary ones
 * where BINARYMIME is (RFC 6152, 3; RFC 3030, 3).  The structure stays: parts
 * that need nothing, and all that is signed, keep every octet.
 *
 * Two passes over the same octets: one that plans, one that writes.  Pure.
 */
#ifndef POSTERN_AGENT_MESSAGE_MIME_H
#define POSTERN_AGENT_MESSAGE_MIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/message/mime_field.h"
#include "agent/message/transfer_encoding.h"

#define MIME_DEPTH_MAX    32   /* parts within parts */
#define MIME_ENTITIES_MAX 4096 /* parts of one message, and itself */
#define MIME_PIECE_SIZE   1024 /* so much of a line is looked at */
#define MIME_FIELD_SIZE   4096 /* octets of a field that counts */

/* Room that the writing pass needs to take anything. */
#define MIME_ROOM_MIN (TRANSFER_ENCODED_MAX(MIME_PIECE_SIZE) + 256)

/* What the server takes. */
enum mime_target {
	MIME_TO_7BIT,
	MIME_TO_8BIT,
};

/* Why a message cannot be converted. */
enum mime_error {
	MIME_OK,
	MIME_HEADER_NOT_ASCII,
	MIME_HEADER_NO_LINE, /* a line end alone in it, or NUL */
	MIME_IS_SIGNED,      /* and the signature would not hold */
	MIME_IS_ENCODED,     /* so it says, and it is not */
	MIME_IS_RESTRICTED,  /* a part that may not be encoded */
	MIME_NO_BOUNDARY,    /* a multipart without */
	MIME_FIELD_TOO_LONG, /* one that we must understand */
	MIME_TOO_DEEP,
	MIME_TOO_MANY,
	MIME_BREAKS_DKIM, /* it can, and policy is against it */
	MIME_ERRORS
};

/* What becomes of a part. */
enum mime_plan {
	MIME_KEEP,
	MIME_RELABEL, /* its label alone: it needs no more than the target */
	MIME_TO_QP,
	MIME_TO_BASE64,
};

enum mime_place {
	MIME_IN_HEADER,
	MIME_IN_LEAF,
	MIME_BETWEEN, /* before the first part, or behind the last */
};

struct mime_level {
	enum mime_kind kind;
	size_t boundary_len;
	char boundary[MIME_BOUNDARY_MAX + 1];
};

struct mime {
	enum mime_target target;
	bool writing; /* the second pass */
	enum mime_error error;
	enum mime_place place;
	uint32_t entity; /* the number of the part in hand */
	/* Of all of it, once it is planned. */
	bool is_signed;  /* its header signs what is below (RFC 6376) */
	bool is_changed; /* an octet of it goes out another */
	/* Of its header. */
	bool is_message; /* it is one: the whole, or a message/rfc822 */
	bool has_version;
	bool has_type;
	bool is_dropped; /* the field in hand does not go out */
	enum mime_field field;
	struct mime_type type;
	enum mime_encoding declared;
	/* Of its content, while it is planned. */
	uint64_t octets;
	uint64_t high;    /* of them above 127 */
	uint32_t line;    /* octets of the line in hand */
	bool is_binary;   /* NUL, a CR or an LF alone */
	bool is_long;     /* a line over 998 octets (RFC 5322, 2.1.1) */
	bool owes_line;   /* base64: a line end that may be the boundary's */
	bool within_line; /* the piece in hand does not begin a line */
	struct transfer_encoder encoder;
	/* The parts around it. */
	uint32_t depth;
	struct mime_level levels[MIME_DEPTH_MAX];
	/* Where octets go, while mime_convert() runs. */
	uint8_t *out;
	size_t out_len;
	size_t line_len;
	size_t field_len;
	uint8_t line_octets[MIME_PIECE_SIZE];
	uint8_t field_octets[MIME_FIELD_SIZE];
	uint8_t plan[MIME_ENTITIES_MAX / 4]; /* two bits each */
};

/* The first pass: then mime_convert() writes nothing. */
void mime_plan(struct mime *m, enum mime_target target);

/* The second, by the plan of the first, which went well. */
void mime_write(struct mime *m);

/*
 * mime_convert - the next octets of the message.
 *
 * Takes octets of in, stores in *used how many, and returns how many it wrote
 * to out, of size >= MIME_ROOM_MIN.  It takes at least one unless an error
 * stands in m->error, which only the planning pass meets.
 */
size_t mime_convert(struct mime *m, const uint8_t *in, size_t n, size_t *used,
    uint8_t *out, size_t size);

/* The message is over; at most MIME_ROOM_MIN octets. */
size_t mime_end(struct mime *m, uint8_t *out);

/* Planned: a signature in its header will not hold. */
bool mime_breaks_signature(const struct mime *m);

/* Words for people; holds for ever. */
const char *mime_error_text(enum mime_error error);

#endif
