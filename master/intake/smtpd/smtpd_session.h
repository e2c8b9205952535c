/* SPDX-License-Identifier: ISC */
/*
 * A session of LMTP or SMTP from the server's side (RFC 5321, RFC 2033): octets
 * of the client in, events and octets for the client out.  What may follow what
 * is in smtpd_table.def.  Pure: no I/O, no clock, no allocation, so that TLS may
 * stand between it and the socket, or a test.
 *
 * Who holds it feeds it, does what each event says, and writes what smtpd_session_out()
 * has.  Replies leave in the order of their commands, all of a batch at once.
 */
#ifndef POSTERN_MASTER_INTAKE_SMTPD_SMTPD_SESSION_H
#define POSTERN_MASTER_INTAKE_SMTPD_SMTPD_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "master/intake/smtpd/smtpd_command.h"
#include "master/intake/smtpd/smtpd_data.h"
#include "master/intake/smtpd/smtpd_xforward.h"

#define SMTPD_LINE_MAX   12288 /* octets of a command, line end included */
#define SMTPD_OUT_SIZE   8192  /* of replies that were not written yet */
#define SMTPD_REPLY_SIZE 1024  /* of one of them */
#define SMTPD_REPLY_LINE_MAX 512   /* of its lines; RFC 5321, 4.5.3.1.5 */
#define SMTPD_TEXT_SIZE  256   /* of a reply that is made up here */

/* What a session may do; it does not change in its life. */
struct smtpd_policy {
	bool lmtp;
	bool one_recipient; /* of a transaction; RFC 9422 */
	bool normalize;     /* bare line ends are mended, not refused */
	bool trusted;       /* may say XFORWARD */
	bool denied;        /* may do nothing */
	bool needs_tls;     /* no mail without STARTTLS */
	uint32_t offers;    /* 1u << enum smtpd_capability */
	uint64_t size_limit;
	uint32_t rcpt_limit;
	uint32_t error_limit;
	uint32_t junk_limit;
	size_t line_limit; /* at most SMTPD_LINE_MAX */
	char hostname[SMTPD_NAME_SIZE];
	char origin
	    [SMTPD_NAME_SIZE]; /* of addresses without a domain; empty: they
	                                 are none */
};

enum smtpd_event {
	SMTPD_MORE,     /* nothing is left to say: write, then feed more */
	SMTPD_MAIL,     /* a sender: accept or refuse it */
	SMTPD_RCPT,     /* a recipient: accept or refuse it */
	SMTPD_BEGIN,    /* the message is to begin: accept or refuse it */
	SMTPD_CONTENT,  /* octets of it */
	SMTPD_MESSAGE,  /* it is whole: answer it, now or later */
	SMTPD_RESET,    /* a transaction was given up */
	SMTPD_REFUSED, /* a command was: smtpd_session_refusal() is for the log */
	SMTPD_STARTTLS, /* write, forget what came in behind it, begin TLS */
	SMTPD_CLOSE,    /* write, and close */
};

enum smtpd_state {
	SMTPD_CONNECTED,
	SMTPD_READY,
	SMTPD_IN_MAIL,
	SMTPD_IN_RCPT,
	SMTPD_IN_CHUNKS,
	SMTPD_DENIED,
	SMTPD_STATES,
};

/* Of the transaction, from SMTPD_MAIL on. */
struct smtpd_envelope {
	char from[ADDRESS_PATH_MAX + 1];
	char parameters[PARAMETERS_MAIL_SIZE];
	enum smtpd_body body;
	bool smtputf8;
	bool require_tls;
	uint64_t size;   /* as declared; 0: not */
	uint32_t nrcpts; /* accepted */
};

struct smtpd_count {
	uint32_t good;
	uint32_t all;
};

struct smtpd_session;

/* The octets that a session takes. */
size_t smtpd_session_size(const struct smtpd_policy *policy);

/*
 * smtpd_session_init - begin with the greeting, which is there to be written.
 *
 * scratch is where octets of a message are converted: at least 1024 of them,
 * which other sessions may use as well, for none is needed longer than until
 * the next call.
 */
void smtpd_session_init(struct smtpd_session *s,
    const struct smtpd_policy *policy, uint8_t *scratch, size_t scratch_size);

/*
 * smtpd_session_feed - take octets of the client.
 *
 * *used of n are taken.  To be called again, with what is left, until
 * SMTPD_MORE; then all is taken, or smtpd_session_is_stuck() says why not.
 */
enum smtpd_event smtpd_session_feed(struct smtpd_session *s, const uint8_t *in,
    size_t n, size_t *used);

/* Nothing is taken before replies are written, or a message is answered. */
bool smtpd_session_is_stuck(const struct smtpd_session *s);

/* SMTPD_MAIL, SMTPD_RCPT and SMTPD_BEGIN, before the next feed. */
void smtpd_session_accept(struct smtpd_session *s);
void smtpd_session_refuse(struct smtpd_session *s,
    const struct smtpd_reply *reply);

/* SMTPD_MESSAGE: what is wrong with it by itself; NULL: nothing. */
const struct smtpd_reply *smtpd_session_verdict(const struct smtpd_session *s);

/* How many answers it still gets: by LMTP one for each recipient, in order. */
size_t smtpd_session_owed(const struct smtpd_session *s);

/* Gives one of them; false where there is no room: write first. */
bool smtpd_session_answer(struct smtpd_session *s,
    const struct smtpd_reply *reply);

/* Ends the session as a server may at any time (RFC 5321, 3.8); 421. */
void smtpd_reply_end(struct smtpd_session *s, const char *dsn,
    const char *text);

/* Whether it was the client's errors that ended it. */
bool smtpd_session_has_erred(const struct smtpd_session *s);

/* TLS is up: the client begins anew, and nothing it said before counts. */
void smtpd_session_tls_is_up(struct smtpd_session *s);

/* What is to be written; smtpd_session_written() takes it away. */
const char *smtpd_session_out(const struct smtpd_session *s, size_t *n);
void smtpd_session_written(struct smtpd_session *s, size_t n);

/* Whether a message is being taken, and how many octets of it were so far. */
bool smtpd_session_is_in_message(const struct smtpd_session *s,
    uint64_t *octets);

/* Whether nothing but its answers came after the last message. */
bool smtpd_session_is_behind_message(const struct smtpd_session *s);

enum smtpd_state smtpd_session_state(const struct smtpd_session *s);
const struct smtpd_envelope *smtpd_session_envelope(
    const struct smtpd_session *s);

/* The command of SMTPD_MAIL, _RCPT and _REFUSED; the last one else. */
const struct smtpd_command *smtpd_session_command(
    const struct smtpd_session *s);
const struct smtpd_reply *smtpd_session_refusal(const struct smtpd_session *s);

/* The octets of SMTPD_CONTENT, until the next call. */
const uint8_t *smtpd_session_content(const struct smtpd_session *s, size_t *n);

const struct smtpd_xforward *smtpd_session_forwarded(
    const struct smtpd_session *s);

/* As the client calls itself; empty: not yet.  And whether by EHLO or LHLO. */
const char *smtpd_session_helo(const struct smtpd_session *s);
bool smtpd_session_is_extended(const struct smtpd_session *s);
bool smtpd_session_has_tls(const struct smtpd_session *s);

/* Commands so far, by verb. */
const struct smtpd_count *smtpd_session_counts(const struct smtpd_session *s);

#endif
