/* SPDX-License-Identifier: ISC */
/*
 * The octets of the message in hand, in the order in which they go out: as the
 * queue gave them, or converted for a server that cannot take them so.
 */
#ifndef POSTERN_AGENT_SESSION_SESSION_CONTENT_H
#define POSTERN_AGENT_SESSION_SESSION_CONTENT_H

#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/message/mime.h"

#define CONTENT_IN_SIZE 4096

struct session;

/* Not touched, and no memory, until a message is converted. */
struct content {
	uint64_t at;    /* octets of the body that were taken */
	size_t in_used; /* of in, */
	size_t in_len;  /* which has so many */
	size_t out_used;
	size_t out_len;
	uint8_t last;  /* octet that was given out */
	bool finished; /* all is in out */
	struct mime mime;
	uint8_t in[CONTENT_IN_SIZE];
	uint8_t out[MIME_ROOM_MIN + 2];
};

/*
 * session_content_convert - have the job's message converted from here on.
 *
 * Reads it twice, and sets how many octets it will have.  MIME_OK, or why it
 * cannot be done; *readp: false where the message cannot even be read.
 */
enum mime_error session_content_convert(struct session *s,
    enum mime_target target, bool *readp);

/*
 * session_content_read - the next n octets.
 *
 * Returns how many there were, fewer than n at the end only, or -1 where the
 * message cannot be read.
 */
ssize_t session_content_read(struct session *s, uint8_t *out, size_t n);

/* RFC 1870, 5: what goes between 354 and the dot, without added dots. */
uint64_t session_content_octets(struct session *s);

#endif
