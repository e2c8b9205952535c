/* SPDX-License-Identifier: ISC */
/*
 * The octets of a delivery status notification (RFC 3464, RFC 6522, RFC 6533): an
 * envelope and recipients in, octets out, in pieces.  What others said is made
 * harmless here.  No I/O, no clock, no allocation.
 */
#ifndef MASTER_QUEUE_NOTICE_TEXT_H
#define MASTER_QUEUE_NOTICE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "master/notice_template.h"
#include "master/queue/notice_policy.h"

#define NOTICE_BOUNDARY_SIZE 40

/* The next octets of the notice; -1: they cannot be kept. */
typedef int (*notice_put_fn)(void *arg, const char *octets, size_t n);

struct notice_writer {
	notice_put_fn put;
	void *arg;
	bool failed; /* put() was; nothing is written any more */
	size_t column;
	bool spaced; /* a space is owed, that may become a fold */
};

/* What is returned of the message, and how. */
enum notice_encoding {
	NOTICE_7BIT,
	NOTICE_8BIT,
	NOTICE_BASE64,
};

/* What it tells of.  Strings are borrowed, and outlive the writing. */
struct notice_about {
	const struct notice_template *template;
	struct notice_values values;
	const char *to; /* who reads it */
	bool to_postmaster;
	/* Its own header is UTF-8, and so may the report be: RFC 6533's types
	 * and 8 bits; else addresses are written in ASCII. */
	bool utf8;
	bool is_8bit;           /* some part of it is */
	bool mta_is_name;       /* myhostname is fully qualified */
	const char *parameters; /* of MAIL */
	int64_t created_ms;
	int64_t now_ms;
	char boundary[NOTICE_BOUNDARY_SIZE]; /* which no message holds */
};

struct notice_recipient {
	uint32_t notice; /* its kind counts */
	const char *address;
	const char *parameters; /* of RCPT */
	const char *dsn;
	const char *reply; /* or the reason */
	const char *relay;
	int code; /* of the reply; 0: there was none */
	bool in_doubt;
	int64_t last_ms;  /* of the last attempt; 0: not known */
	int64_t until_ms; /* when it is given up; of delays */
};

/* In this order; the second and the fourth once for each recipient. */
void notice_write_head(struct notice_writer *w, const struct notice_about *n);
void notice_write_reason(struct notice_writer *w, const struct notice_about *n,
    const struct notice_recipient *r);
void notice_write_status(struct notice_writer *w, const struct notice_about *n);
void notice_write_recipient(struct notice_writer *w,
    const struct notice_about *n, const struct notice_recipient *r);

/*
 * The head of what is returned, whole or its header alone; utf8: it is a message
 * of RFC 6532.  Its octets follow by notice_write_content, but for a last line
 * end they are of lines that end in CRLF.
 */
void notice_write_returned(struct notice_writer *w,
    const struct notice_about *n, bool whole, bool utf8,
    enum notice_encoding encoding);

/* In base64 every piece but the last has a multiple of NOTICE_PIECE octets. */
#define NOTICE_PIECE 57
void notice_write_content(struct notice_writer *w, const uint8_t *octets,
    size_t n, enum notice_encoding encoding);
void notice_write_end(struct notice_writer *w, const struct notice_about *n);

/*
 * notice_header_span - how many of n octets are the message's header.
 *
 * Up to the empty line, or to the end of the last whole line where there is
 * none.  Lines end in CRLF; *has_8bit: an octet is no ASCII.
 */
size_t notice_header_span(const uint8_t *octets, size_t n, bool *has_8bit);

/* Octets that would break the lines of a header become spaces: NUL, and a CR or
 * LF by itself.  For messages that were taken octet for octet. */
void notice_header_clean(uint8_t *octets, size_t n);

#endif
