/* SPDX-License-Identifier: ISC */
/* What the files of LMTP and SMTP in the intake share, and nobody else sees. */
#ifndef POSTERN_MASTER_INTAKE_SMTPD_SMTPD_INTERNAL_H
#define POSTERN_MASTER_INTAKE_SMTPD_SMTPD_INTERNAL_H

#include <sys/queue.h>
#include <sys/socket.h>

#include "master/intake/intake_internal.h"
#include "master/intake/message/message_spool.h"
#include "master/intake/message/received.h"
#include "master/intake/smtpd/smtpd_session.h"

#define SMTPD_ANSWER_SIZE 800 /* of a reply's text for one recipient */
#define SMTPD_PEER_SIZE   320 /* "name[address]" for the log */

/* One recipient's answer. */
struct smtpd_final_reply {
	bool done;
	uint16_t code;
	char dsn[OUTCOME_DSN_SIZE];
	char *text; /* owned */
};

/* The transaction that a session is in. */
struct smtpd_transaction {
	struct job_packet job; /* its recipients grow */
	size_t rcpts_size;
	struct message_spool gather;
	bool has_content; /* the first octets are written */
	uint64_t held;    /* octets counted in the share, of no request yet */
	char received[RECEIVED_SIZE];
	struct request *request; /* the queue has it, and has not answered */
	/* What all recipients are answered; code 0: not known yet. */
	struct smtpd_final_reply common;
	struct smtpd_final_reply
	    *results; /* answer = final: of each recipient */
};

/* A session with its connection. */
struct smtpd {
	TAILQ_ENTRY(smtpd) entry;
	struct intake *in;
	struct smtpd_session *session;
	struct tls_server_stream *tls; /* NULL: in clear */
	struct share *share;
	struct event *readable;
	struct event *writable;
	uint8_t *input; /* what could not be taken yet; owned */
	size_t input_len;
	int fd;
	size_t listener;     /* of the configuration's */
	uint32_t mails_most; /* before its generation ends; 0: it does not */
	bool paused;         /* it is not read */
	bool last_words;     /* nothing is to be said but what is written */
	bool lingers;        /* all is said: its own end is waited for */
	bool broken;         /* what was written last may not have arrived */
	bool lmtp;
	bool final;
	bool tells_client; /* some transport passes on who it is */
	bool names_remote; /* replies say which host said what */
	int64_t timeout_ms;
	int64_t transaction_timeout_ms;
	int64_t idle_ms;  /* CLOCK_MONOTONIC: when it is silent for too long */
	int64_t begun_ms; /* of the transaction; 0: none */
	char hostname[SMTPD_NAME_SIZE];
	char via[VALUE_NAME_SIZE];

	/* The client. */
	int family;
	uint8_t addr[16];
	uint16_t port;
	uint32_t uid;
	uint32_t pid;
	char peer[SMTPD_PEER_SIZE]; /* "localhost[127.0.0.1]" */

	struct smtpd_transaction mail;
	uint64_t mail_id; /* the queue's, of the last one; 0: it has none */
};

/* smtpd.c: the connection. */

/* In the loop's next turn: write what there is, and go on with what was not
 * taken yet. */
void smtpd_later(struct smtpd *d);

/* smtpd_io.c: octets between socket and session, in clear or by TLS. */

/* Writes what there is, as far as the socket takes it.  False: the client is
 * gone. */
bool smtpd_io_flush(struct smtpd *d);

/* Whether the client can be told nothing any more, as far as the kernel knows. */
bool smtpd_io_is_cut(const struct smtpd *d);

/* Whether something is left to be written. */
bool smtpd_io_has_output(const struct smtpd *d);

/* From here on by TLS, once what is there in clear is written.  False: it cannot
 * be. */
bool smtpd_io_start_tls(struct smtpd *d);

/* Octets of the socket are taken by TLS.  False: it is broken. */
bool smtpd_io_feed(struct smtpd *d, const uint8_t *in, size_t n);
/* Nothing is said yet by TLS, for its keys are being agreed upon. */
bool smtpd_io_shakes_hands(const struct smtpd *d);
/* No more is said than what is there. */
void smtpd_io_end(struct smtpd *d);

/* smtpd_policy.c: who a client is, and what it may do. */

/* Fills who it is, from the socket and from what accept() told; 0 or -1. */
int smtpd_policy_find_peer(struct smtpd *d,
    const struct sockaddr_storage *from);

/* All that the configuration says of the connection, for good: a reload leaves
 * sessions alone. */
void smtpd_policy_configure(struct smtpd *d, const struct config_listener *l);

/* And of its session. */
void smtpd_policy_make(const struct smtpd *d, const struct config_listener *l,
    struct smtpd_policy *p);

/* smtpd_transaction.c: what a session's events mean for the message. */

/* The policy's own part is done: a sender, a recipient, a message's begin.  Each
 * accepts or refuses. */
void smtpd_transaction_sender(struct smtpd *d);
void smtpd_transaction_recipient(struct smtpd *d);
void smtpd_transaction_begin(struct smtpd *d);

/* Octets of the message, and its end. */
void smtpd_transaction_content(struct smtpd *d);
void smtpd_transaction_end(struct smtpd *d);

/* Say what is known and was not said yet. */
void smtpd_transaction_answer(struct smtpd *d);

/* The queue takes too long. */
void smtpd_transaction_give_up(struct smtpd *d);

/* We stop: what the queue has of it is in doubt. */
void smtpd_transaction_dismiss(struct smtpd *d);

/* The transaction is over, however. */
void smtpd_transaction_clear(struct smtpd *d);

/* smtpd_trace.c: where the message came from. */

/* Writes mail.received, once the recipients are known. */
void smtpd_trace_received(struct smtpd *d);

/* Adds to the parameters of MAIL whom a transport with client_command is to
 * name: as XFORWARD told it, else who is connected here. */
void smtpd_trace_client(struct smtpd *d);

/* smtpd_final_reply.c: what a recipient's outcome means to who waits for it. */

/*
 * Fills result from an outcome and the words that came with it: the remote's own
 * code, enhanced code and text where it said any, else 451 or 554 and our reason.
 * What may have been delivered all the same is called so.  relay, "name[address]:port",
 * is named where it is not NULL.  Without memory the text is NULL.  Pure but for its
 * memory.
 */
void smtpd_final_reply_set(struct smtpd_final_reply *result,
    const struct outcome *outcome, const char *relay, const char *reply);

/* smtpd_log.c: lines in Postfix's shape, of the process smtpd or lmtpd. */
void smtpd_log_connect(const struct smtpd *d);
void smtpd_log_disconnect(const struct smtpd *d);
/* The client as the line of a message has it. */
void smtpd_log_name(const struct smtpd *d, char *out, size_t size);

/* What a client was refused, and at what: "RCPT", "END-OF-MESSAGE". */
void smtpd_log_reject(const struct smtpd *d, const char *at,
    const struct smtpd_reply *reply);

/* A client whose command is none of mail: that line. */
void smtpd_log_foreign(const struct smtpd *d);

/* What a recipient without an outcome was answered: perhaps it has the message. */
void smtpd_log_doubt(const struct smtpd *d, const char *rcpt,
    const struct smtpd_reply *reply);

/* TLS is up: its version and cipher. */
void smtpd_log_tls(const struct smtpd *d);

/* "timeout", "lost connection": after which command; within a message after how
 * many octets of it; behind one, whether its answer can have arrived. */
void smtpd_log_lost(const struct smtpd *d, const char *what);

#endif
