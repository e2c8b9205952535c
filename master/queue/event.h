/* SPDX-License-Identifier: ISC */
/*
 * What the queue tells people: one event, and its two spellings, a log line in
 * Postfix's shape and the members of a JSON object.  Pure.
 */
#ifndef MASTER_QUEUE_EVENT_H
#define MASTER_QUEUE_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/outcome.h"

enum event_kind {
	EVENT_ACTIVE,  /* a message came into memory */
	EVENT_OUTCOME, /* a recipient was tried */
	EVENT_REMOVED, /* a message has no recipient left */
	EVENT_CHANGED, /* an operator did something to a recipient */
	EVENT_NOTICE,  /* a notice of it has been queued */
	EVENT_DROPPED, /* it was a notice, it failed, and nobody is told */
};

/* Strings are borrowed; those a kind does not use may be NULL. */
struct event {
	enum event_kind kind;
	uint64_t id;
	const char *reverse_path; /* ACTIVE; OUTCOME, or NULL: not known */
	uint64_t size;            /* ACTIVE */
	uint32_t nrcpt;           /* ACTIVE */
	const char *change;       /* CHANGED: "held", "deleted" ... */
	uint32_t uid;             /* CHANGED: of the operator */
	const char *recipient;    /* CHANGED; OUTCOME and what follows */
	const char *relay;        /* empty: none was reached */
	const char *reply;
	const char *reader; /* NOTICE: "sender" or "postmaster" */
	const char *notice; /* "non-delivery notification", ... */
	uint64_t notice_id; /* under which it is queued */
	struct outcome outcome;
	/* Before it was in memory, waiting there, connecting, transmitting. */
	int64_t delays_ms[4];
};

/* Fills out, which ends with a NUL; cut short where size is too small. */
void event_text(const struct event *event, char *out, size_t size);
void event_json(const struct event *event, char *out, size_t size);

/* Postfix's word: "sent", "deferred", "bounced". */
const char *event_status(const struct outcome *outcome);

#endif
