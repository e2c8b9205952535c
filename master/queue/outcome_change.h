/* SPDX-License-Identifier: ISC */
/* The change that an outcome makes of a recipient, with what is told of it. */
#ifndef MASTER_QUEUE_OUTCOME_CHANGE_H
#define MASTER_QUEUE_OUTCOME_CHANGE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/outcome.h"
#include "master/queue/change.h"
#include "master/queue/event.h"
#include "master/queue/store.h"

struct outcome_change {
	struct change change;
	struct store_outcome outcome; /* its strings are in text */
	bool removed;                 /* the message has no recipient left */
	bool told;                    /* an event and a result follow */
	bool final;                   /* no further attempt */
	bool lmtp;
	bool asked_for; /* its notice is mailed, even where a client waits for results */
	bool kept;      /* nobody can be told that it failed: it is held */
	bool reported;  /* a row of outlet.h is part of it */
	bool expired;   /* it failed because its time is over */
	struct event event;
	struct tls_info tls;
	char text[];
};

/*
 * outcome_change_new - one with room for text_size octets of text, zeroed.
 *
 * Never NULL: it is a fact, and may not be lost; see group_alloc().
 */
struct outcome_change *outcome_change_new(struct queue *q, size_t text_size);

#endif
