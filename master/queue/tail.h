/* SPDX-License-Identifier: ISC */
/*
 * Who listens to events as they fall.  A listener that is behind loses events,
 * which are counted for it; the queue never waits for one.
 */
#ifndef MASTER_QUEUE_TAIL_H
#define MASTER_QUEUE_TAIL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "master/queue/ask.h"
#include "master/queue/event.h"

enum {
	TAILS_MAX = 16,
	TAIL_BEHIND = 1024, /* packets that wait for the control role */
};

/* Empty strings are any. */
struct tail_filter {
	uint64_t id; /* 0: any */
	const char *recipient;
	const char *sender;
	const char *destination;
	const char *status;
};

struct tail {
	TAILQ_ENTRY(tail) entry;
	uint64_t request;
	uint32_t lost; /* since the last one that was sent */
	struct tail_filter filter;
	char text[];
};

/* Whether a listener wants an event; pure. */
bool tail_wants(const struct tail_filter *filter, const struct event *event);

void tail_ask(struct queue *q, const struct ask *ask);
void tail_cancel(struct queue *q, uint64_t request);
void tail_cancel_all(struct queue *q);

#endif
