/* SPDX-License-Identifier: ISC */
/* What the files of a session share, and nobody else sees. */
#ifndef POSTERN_MASTER_INTAKE_SMTPD_SMTPD_SESSION_INTERNAL_H
#define POSTERN_MASTER_INTAKE_SMTPD_SMTPD_SESSION_INTERNAL_H

#include "master/intake/smtpd/smtpd_session.h"

/* What the next octets are. */
enum smtpd_mode {
	MODE_LINES,
	MODE_DATA,
	MODE_CHUNK,
	MODE_SKIP,     /* a chunk that belongs to nothing */
	MODE_WHOLE,    /* none: the message is to be told */
	MODE_DECIDING, /* none before who holds us decides */
	MODE_ANSWERS,  /* none before the message is answered */
	MODE_CLOSED,   /* none at all */
};

struct smtpd_session {
	struct smtpd_policy policy;
	enum smtpd_state state;
	enum smtpd_mode mode;
	bool extended;
	bool tls;
	char helo[SMTPD_NAME_SIZE];
	struct smtpd_xforward forwarded;
	struct smtpd_command command;

	/* The transaction. */
	struct smtpd_envelope envelope;
	uint32_t overshoot; /* recipients beyond the limit */
	uint32_t refused;   /* recipients that were */
	struct smtpd_data data;
	uint64_t received; /* octets of the message */
	uint64_t chunk_left;
	bool too_large;
	struct smtpd_reply verdict;    /* code 0: none */
	struct smtpd_reply skip_reply; /* once MODE_SKIP is over */
	size_t owed;
	bool answered_well; /* its first answer was a yes */
	bool behind_message; /* no command came since */

	/* What an event shows. */
	struct smtpd_reply refusal;
	bool has_refusal;
	bool was_reset;
	const uint8_t *content;
	size_t content_len;

	struct smtpd_count counts[SMTPD_VERB_COUNT];
	uint32_t errors;
	uint32_t junk;

	uint8_t *scratch;
	size_t scratch_size;
	size_t out_len;
	char out[SMTPD_OUT_SIZE];
	bool after_cr;
	bool line_too_long;
	size_t line_len;
	char line[]; /* of policy.line_limit */
};

/* smtpd_session.c: the end of a transaction, however it ended. */
void smtpd_session_forget(struct smtpd_session *s);

/* smtpd_handlers.c: the commands. */

/* Do what is in s->command, which was read without error. */
enum smtpd_event smtpd_handlers_run(struct smtpd_session *s);

/* The octets behind a BDAT are those of no message, but must not become commands;
 * the reply comes behind them. */
void smtpd_handlers_skip_chunk(struct smtpd_session *s,
    const struct smtpd_reply *reply);

/* smtpd_reply.c: what is said. */

/* Whether another reply, of any length, can be written. */
bool smtpd_reply_has_room(const struct smtpd_session *s);

/* A reply to the command, which it counts; a no is for the log, too. */
void smtpd_reply_say(struct smtpd_session *s, unsigned code, const char *dsn,
    const char *text);

/* The same without counting: of a message. */
void smtpd_reply_put(struct smtpd_session *s, const struct smtpd_reply *reply);

void smtpd_reply_greeting(struct smtpd_session *s);
void smtpd_reply_capabilities(struct smtpd_session *s);

/* smtpd_receive.c: the octets of a message. */

/* Begin to take them, after the last chunk's if there was one. */
void smtpd_receive_begin(struct smtpd_session *s, bool chunks);

enum smtpd_event smtpd_receive_data(struct smtpd_session *s, const uint8_t *in,
    size_t n, size_t *used);
enum smtpd_event smtpd_receive_chunk(struct smtpd_session *s, const uint8_t *in,
    size_t n, size_t *used);
void smtpd_receive_skipped(struct smtpd_session *s, size_t n, size_t *used);

#endif
