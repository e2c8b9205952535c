/* SPDX-License-Identifier: ISC */
/* Between worker.c, connection.c and transcript_notes.c. */
#ifndef POSTERN_AGENT_WORKER_INTERNAL_H
#define POSTERN_AGENT_WORKER_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/session/session.h"
#include "agent/smtp/transcript.h"
#include "agent/worker.h"
#include "common/roles.h"

#define WORKER_READ_SIZE       16384
#define WORKER_TRANSCRIPT_SIZE 16384 /* the tail of TRANSCRIPT */

struct worker {
	struct session session;
	const struct tls_trusts *trusts;
	bool has_remote;
	bool has_body;
	bool was_spoken_to;  /* before it was our turn */
	bool write_is_dead;  /* only what the remote said before counts now */
	bool read_wants_out; /* TLS has something to send first */
	bool write_wants_in; /* or to receive */
	short handshake_events;
	size_t handshake_at; /* in the transcript */
	int64_t timer_at;    /* CLOCK_MONOTONIC, ms */
	int64_t cap_at;
	uint8_t in[WORKER_READ_SIZE];
	_Alignas(8) uint8_t received[MSG_PACKET_SIZE];
	_Alignas(8) uint8_t packet[MSG_PACKET_SIZE];
	struct transcript transcript;
	char text[WORKER_TRANSCRIPT_SIZE]; /* of it, to be sent */
};

/* One report to the queue.  Does not return where that is impossible. */
void worker_send(struct worker *w, enum msg_type type, const void *payload,
    const char *tail, size_t len);

/* connection.c: what the session asks for, as struct session_ops says. */
enum session_tls_start connection_start_tls(void *arg, const char **why);
void connection_get_tls_info(void *arg, struct tls_info *info);
void connection_get_binding(void *arg, struct sasl_binding *binding);
void connection_hang_up(void *arg);

/* And the loop: what to poll for, what came of it, and what is to be sent. */
short connection_events(const struct worker *w);
void connection_serve(struct worker *w, short revents);
void connection_write(struct worker *w);

/* The handshake's octets go into the transcript from here on. */
void connection_watch(struct worker *w);

/* transcript_notes.c: before a report is sent, and before a message is handled. */
void transcript_notes_take_report(struct worker *w, enum msg_type type,
    const void *payload, const char *text);
void transcript_notes_take_message(struct worker *w, const struct message *m);

#endif
