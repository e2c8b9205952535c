/* SPDX-License-Identifier: ISC */
/*
 * What the queue tells people and machines: one event, and its two spellings, a
 * log line in Postfix's shape and a JSON object.  Pure.  What is counted of it is
 * count.h's; event_tell() (tail.c) does all three.
 */
#ifndef MASTER_QUEUE_EVENT_H
#define MASTER_QUEUE_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/outcome.h"

enum event_kind {
	EVENT_ACCEPTED, /* a message of a client is on disk */
	EVENT_ACTIVE,   /* a message came into memory */
	EVENT_OUTCOME,  /* a recipient was tried */
	EVENT_EXPIRED, /* its time is over; the outcome before it says so too */
	EVENT_REMOVED, /* a message has no recipient left */
	EVENT_CHANGED, /* an operator did something to a recipient */
	EVENT_NOTICE,  /* a notice of it has been queued */
	EVENT_KEPT,    /* nobody can be told that it failed: it is held */
	EVENT_KINDS,
};

/* Strings are borrowed; those a kind does not use may be NULL. */
struct event {
	enum event_kind kind;
	uint64_t id;
	int64_t time_ms;          /* CLOCK_REALTIME */
	const char *reverse_path; /* ACCEPTED, ACTIVE, OUTCOME, EXPIRED */
	uint64_t size;            /* ACCEPTED, ACTIVE */
	uint32_t nrcpt;           /* the same */
	const char *change;       /* CHANGED: "held", "deleted" ... */
	uint32_t uid;             /* CHANGED: of the operator; ACCEPTED */
	uint32_t pid;             /* ACCEPTED */
	const char *ref;          /* ACCEPTED: the client's own name for it */
	const char *client;       /* ACCEPTED by a listener, or NULL */
	const char *recipient;    /* CHANGED; OUTCOME and what follows */
	const char *relay;        /* empty: none was reached */
	const char *reply;
	const char *reader;    /* NOTICE: "sender" or "postmaster" */
	const char *notice;    /* "non-delivery notification", ... */
	unsigned notice_class; /* enum notice_class */
	uint64_t notice_id;    /* under which it is queued */
	struct outcome outcome;
	bool final; /* OUTCOME: no further attempt */
	bool lmtp;
	unsigned group;             /* of metrics.h */
	const char *transport;      /* NULL: it had none */
	const struct tls_info *tls; /* OUTCOME; NULL: no session */
	/* Before it was in memory, waiting there, connecting, transmitting. */
	int64_t delays_ms[4];
};

/* Fills out, which ends with a NUL; cut short where size is too small. */
void event_text(const struct event *event, char *out, size_t size);

/* One object; a member that does not fit is left out whole. */
void event_json(const struct event *event, char *out, size_t size);

/* The process that Postfix has for it: "smtp", "qmgr", "bounce" ... */
const char *event_process(const struct event *event);

/* How grave its line is (common/log.h). */
unsigned event_level(const struct event *event);

int64_t event_total_ms(const struct event *event);

/* Postfix's word: "sent", "deferred", "bounced". */
const char *event_status(const struct outcome *outcome);

#endif
