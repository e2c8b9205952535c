/* SPDX-License-Identifier: ISC */
/*
 * The commands of LMTP and SMTP as a client sends them: one line in, what it says
 * out (RFC 5321, 4.1.1).  What may follow what is not asked here.  Pure.
 */
#ifndef POSTERN_MASTER_INTAKE_SMTPD_SMTPD_COMMAND_H
#define POSTERN_MASTER_INTAKE_SMTPD_SMTPD_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/address.h"
#include "common/parameters.h"

enum smtpd_verb {
#define VERB(name, ...) SMTPD_VERB_##name,
#include "master/intake/smtpd/smtpd_table.def"
#undef VERB
	SMTPD_VERB_COUNT
};

/* What EHLO may offer; a bit each, 1u << this. */
enum smtpd_capability {
#define CAPABILITY(name, keyword) SMTPD_CAN_##name,
#include "common/capabilities.def"
#undef CAPABILITY
	SMTPD_CAN_COUNT
};

enum smtpd_body {
	SMTPD_BODY_7BIT,
	SMTPD_BODY_8BITMIME,
	SMTPD_BODY_BINARYMIME,
};

#define SMTPD_NAME_SIZE 256 /* of what a client calls itself, and NUL */

/* All texts are static. */
struct smtpd_reply {
	unsigned code;
	const char *dsn;  /* RFC 3463 */
	const char *text; /* one line, without controls */
};

struct smtpd_command {
	enum smtpd_verb verb;
	bool is_foreign; /* UNKNOWN, and no client of SMTP or LMTP sends it */
	uint32_t uses; /* of what must have been offered; bits */

	/* MAIL, RCPT */
	struct address path;
	char parameters[PARAMETERS_MAIL_SIZE]; /* that go on with the job */
	bool is_utf8;                          /* it holds more than ASCII */

	/* MAIL */
	enum smtpd_body body;
	bool smtputf8;
	bool require_tls;
	uint64_t size; /* 0: not told */

	/* BDAT */
	uint64_t chunk;
	bool last;

	/* HELO, EHLO, LHLO */
	char name[SMTPD_NAME_SIZE];

	/* Within the line: XFORWARD's attributes; the address of MAIL and RCPT
	 * as it came, and all of a line that is foreign, for the log */
	const char *rest;
	size_t rest_len;
};

/*
 * smtpd_command_parse - read n octets of a line, without its line end.
 *
 * Where origin is not empty it is the domain of an address that has none.
 *
 * True with *c filled.  False with *wrong filled, the reply that it gets; then
 * c->verb is known and its path is what could be read of it.  c->rest points
 * into the line.
 */
bool smtpd_command_parse(struct smtpd_command *c, const char *line, size_t n,
    const char *origin, struct smtpd_reply *wrong);

/* "MAIL", for the log; "UNKNOWN" for none. */
const char *smtpd_command_verb_name(enum smtpd_verb verb);

#endif
