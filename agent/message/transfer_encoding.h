/* SPDX-License-Identifier: ISC */
/*
 * The two encodings that carry octets of any kind over lines of seven bits:
 * quoted-printable and base64 (RFC 2045, 6.7 and 6.8).  Pure.
 */
#ifndef POSTERN_AGENT_MESSAGE_TRANSFER_ENCODING_H
#define POSTERN_AGENT_MESSAGE_TRANSFER_ENCODING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zeroed, it is at the start of a body. */
struct transfer_encoder {
	uint8_t column; /* of the line that is being written */
	uint8_t nheld;  /* base64: octets that wait for a whole group */
	uint8_t held[3];
};

/* What n octets may become, soft line breaks included. */
#define TRANSFER_ENCODED_MAX(n) ((n)*3 + ((n)*3 / 73 + 2) * 3)

/*
 * transfer_encoding_quoted_printable - part of a line of text; ends: its end, CRLF, is
 * written behind it.
 *
 * Returns how many octets it wrote, at most TRANSFER_ENCODED_MAX(n).
 */
size_t transfer_encoding_quoted_printable(struct transfer_encoder *e,
    const uint8_t *in, size_t n, bool ends, uint8_t *out);

/* The next octets, whatever they are; as above. */
size_t transfer_encoding_base64(struct transfer_encoder *e, const uint8_t *in,
    size_t n, uint8_t *out);

/* What is held back, its padding and a line end: at most eight octets. */
size_t transfer_encoding_base64_end(struct transfer_encoder *e, uint8_t *out);

#endif
