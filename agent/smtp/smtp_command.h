/* SPDX-License-Identifier: ISC */
/*
 * The commands of SMTP and LMTP, written into the caller's buffer.  Which
 * command may follow which is the session's to say.
 */
#ifndef POSTERN_AGENT_SMTP_SMTP_COMMAND_H
#define POSTERN_AGENT_SMTP_SMTP_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/parameters.h"

#define COMMAND_LINE_MAX         512 /* CRLF included; RFC 5321, 4.5.3.1.4 */
#define COMMAND_PATH_USUAL       254 /* octets of a path; RFC 5321, 4.5.3.1.3 */
#define COMMAND_SIZE_EXTRA       26  /* for SIZE at MAIL; RFC 1870, 3 (5) */
#define COMMAND_AUTH_MAX         12288 /* a response, CRLF included; RFC 4954, 4 */
#define COMMAND_BINARY_EXTRA     16 /* for BODY=BINARYMIME; RFC 3030, 3 (8) */
#define COMMAND_REQUIRETLS_EXTRA 11 /* at MAIL; RFC 8689, 2 (5) */
#define COMMAND_UTF8_EXTRA       10 /* for SMTPUTF8 at MAIL; RFC 6531, 3.1 (5) */

/* Where commands are gathered: len of size octets are in use. */
struct command_out {
	uint8_t *octets;
	size_t size;
	size_t len;
};

/* On any but COMMAND_OK, out is as it was. */
enum command_error {
	COMMAND_OK,
	COMMAND_NO_ROOM,   /* the buffer is full; send it and try again */
	COMMAND_TOO_LONG,  /* no server needs to accept such a line */
	COMMAND_BAD_OCTET, /* CR, LF, NUL or another that would be syntax */
};

enum command_hello {
	COMMAND_EHLO,
	COMMAND_LHLO,
	COMMAND_HELO,
};

/* The commands that are one word. */
enum command_word {
	COMMAND_STARTTLS,
	COMMAND_DATA,
	COMMAND_RSET,
	COMMAND_NOOP,
	COMMAND_QUIT,
};

/* The BODY of a message at MAIL (RFC 6152, 2; RFC 3030, 3). */
enum command_body {
	COMMAND_BODY_NONE,
	COMMAND_BODY_8BITMIME,
	COMMAND_BODY_BINARYMIME,
};

/* What MAIL says beside the reverse-path; only what the server offers. */
struct command_mail {
	bool has_size;
	bool smtputf8;
	bool require_tls; /* REQUIRETLS */
	enum command_body body;
	uint64_t size;
	const char *parameters; /* common/parameters.h; NULL: none */
	uint32_t offered;       /* a bit for each of them that may go */
};

enum command_error smtp_command_write_hello(struct command_out *out,
    enum command_hello verb, const char *name);
enum command_error smtp_command_write_word(struct command_out *out,
    enum command_word word);

/* Paths stand without brackets; the empty one gives "<>" (RFC 5321, 4.5.5). */
enum command_error smtp_command_write_mail(struct command_out *out,
    const char *reverse_path, const struct command_mail *mail);
enum command_error smtp_command_write_rcpt(struct command_out *out,
    const char *forward_path, const char *parameters, uint32_t offered);

/*
 * RFC 4954, 4: initial is base64, "=" for an empty response, or NULL for none.
 * TOO_LONG beyond 512 octets: then it goes without, and answers a 334.
 */
enum command_error smtp_command_write_auth(struct command_out *out,
    const char *mechanism, const char *initial);

/* The answer to a 334: base64, perhaps none of it, or "*" to break off. */
enum command_error smtp_command_write_response(struct command_out *out,
    const char *response);

enum command_client {
	COMMAND_XFORWARD,
	COMMAND_XCLIENT,
};

/*
 * As many of the words at *at as fit into a line, of those that are offered;
 * *at goes behind them.  False where none is left, or none fits.
 */
bool smtp_command_write_client(struct command_out *out,
    enum command_client verb, const char **at, uint32_t offered);

/* RFC 5321, 4.1.1.6; smtputf8: RFC 6531, 3.7.4.2. */
enum command_error smtp_command_write_vrfy(struct command_out *out,
    const char *path, bool smtputf8);

/* RFC 3030, 2: the octets of the chunk follow at once. */
enum command_error smtp_command_write_bdat(struct command_out *out,
    uint64_t octets, bool last);

#endif
