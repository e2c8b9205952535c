/* SPDX-License-Identifier: ISC */
/*
 * Replies of an SMTP or LMTP server (RFC 5321, 4.2), from octets to a code, an
 * enhanced code (RFC 3463) and text.  What a code means to a command is the
 * session's to say.
 */
#ifndef POSTERN_AGENT_SMTP_REPLY_H
#define POSTERN_AGENT_SMTP_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REPLY_LINE_MAX     4096  /* octets, CRLF included */
#define REPLY_LINE_334_MAX 12288 /* a challenge of AUTH (RFC 4954, 4) */
#define REPLY_LINES_MAX    512
#define REPLY_OCTETS_MAX   65536
#define REPLY_TEXT_SIZE    2048 /* of the lines' text, what we keep */

enum reply_event {
	REPLY_MORE,  /* everything was taken, and the line is not over */
	REPLY_LINE,  /* one line of several is in line[]; more will come */
	REPLY_READY, /* so is the last one, and the reply is whole */
	REPLY_BAD,   /* error says why; the remote is at fault */
};

enum reply_error {
	REPLY_OK,
	REPLY_SYNTAX,       /* no three digits, and then space or hyphen */
	REPLY_BARE_LF,      /* a line that ends in LF alone, where strict */
	REPLY_CODE_RANGE,   /* no code between 200 and 599 */
	REPLY_CODE_CHANGED, /* lines of one reply bear different codes */
	REPLY_LINE_TOO_LONG,
	REPLY_TOO_MANY_LINES,
	REPLY_TOO_LONG,
};

struct reply {
	unsigned int code;
	struct {
		unsigned int class; /* 2, 4 or 5; 0 when the reply bears none */
		unsigned int subject;
		unsigned int detail;
	} enhanced;
	enum reply_error error;
	bool strict; /* the caller's, kept by reply_init: no leniency */
	bool loose;  /* a line of it was read with leniency */
	unsigned int lines;
	bool line_done; /* the next octet starts a new line */
	bool done;      /* and a new reply with it */
	bool cut;       /* text[] could not hold everything */
	size_t octets;
	size_t line_len;
	size_t text_len;
	/* The line in hand without its CRLF, and as the remote sent it. */
	uint8_t line[REPLY_LINE_334_MAX];
	/*
	 * The text of all lines, one space between them, without the codes.
	 * The enhanced code stays in front, and once only.  As sent.
	 */
	uint8_t text[REPLY_TEXT_SIZE];
};

/*
 * reply_init - make ready for the first reply.  A zeroed reply would do too.
 */
void reply_init(struct reply *reply);

/*
 * reply_feed - gather one reply.
 *
 * Takes at most n octets from in, never beyond the end of a line, and stores
 * in *used how many it took: at least 1 when n > 0.  Call again with the rest.
 *
 * A line ends in CRLF (RFC 5321, 2.3.8).  Servers that end it in LF alone, or
 * write "250ok" without the space (RFC 5321, 4.2), exist and are understood:
 * loose says so.  Where strict is set, LF alone is BAD and so is "250ok".  A
 * bare CR is text.
 *
 * READY: reply holds code and text until the next call, which starts a new
 * reply.  BAD: a line that is none, or more than a limit above allows; the
 * session is over, and so is this reply: feed it no more.
 */
enum reply_event reply_feed(struct reply *reply, const uint8_t *in, size_t n,
    size_t *used);

/* Whether octets of an unfinished reply have been taken. */
bool reply_is_partial(const struct reply *reply);

/* The text behind the code of the line in hand. */
const uint8_t *reply_line_text(const struct reply *reply, size_t *len);

/* One sentence without a full stop. */
const char *reply_error_text(enum reply_error error);

/*
 * reply_write_sanitized - octets from a stranger, for people to read.
 *
 * Printable ASCII stays, everything else becomes \xHH; ends in NUL, and in
 * whole escapes where size cuts it off.  Returns the length written.
 */
size_t reply_write_sanitized(char *out, size_t size, const uint8_t *in,
    size_t n);

/* "550 5.1.1 No such user", sanitised. */
size_t reply_write_report(const struct reply *reply, char *out, size_t size);

#endif
