/* SPDX-License-Identifier: ISC */
/*
 * The message as it goes over the wire behind DATA: every line end is CRLF,
 * leading dots are doubled, one dot alone ends it (RFC 5321, 4.5.2).
 */
#ifndef POSTERN_AGENT_MESSAGE_BODY_H
#define POSTERN_AGENT_MESSAGE_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zeroed, it is at the start of a message. */
struct body_encoder {
	bool in_line;  /* the last octet out was not a line end */
	bool after_cr; /* a CR came in; an LF next belongs to it */
};

#define BODY_END_MAX 5 /* CRLF, dot, CRLF */

/*
 * body_encode - the next octets of a message.
 *
 * Takes octets of in until they or the room in out are used up, stores in
 * *used how many it took, and returns how many it wrote.  With size >= 2 it
 * takes at least one.  CRLF, a bare LF and a bare CR are line ends all three,
 * so none but CRLF ever leaves; it makes no difference how the message is cut.
 */
size_t body_encode(struct body_encoder *encoder, const uint8_t *in, size_t n,
    size_t *used, uint8_t *out, size_t size);

/*
 * body_end - what ends the message: a line end if its last line lacks one,
 * and the dot.  Returns the length, at most BODY_END_MAX.
 */
size_t body_end(struct body_encoder *encoder, uint8_t out[BODY_END_MAX]);

#endif
