/* SPDX-License-Identifier: ISC */
/*
 * What would happen to a recipient's mail now, and why: the configuration's
 * part (master/explain.h), the plan, asked for anew where none is kept, and how
 * its destination does.  Nothing is sent.
 */
#ifndef MASTER_QUEUE_EXPLAIN_H
#define MASTER_QUEUE_EXPLAIN_H

#include "common/message.h"
#include "master/queue/ask.h"

enum {
	EXPLAINS_MAX = 32,         /* that wait for the resolver */
	EXPLAIN_ASKS_MAX = 2,      /* resolvers that are asked the same */
	EXPLAIN_COUNT_MAX = 10000, /* recipients are counted no further */
};

struct explain;

void explain_ask(struct queue *q, const struct ask *ask);

/* A plan that no destination waits for; whether it was one of ours. */
bool explain_resolved(struct queue *q, const struct message *m);

/* There is a new resolver. */
void explain_ask_again(struct queue *q);
/* Those that were asked by then, CLOCK_MONOTONIC, and have no answer. */
void explain_sweep(struct queue *q, int64_t late_ms);
void explain_cancel(struct queue *q, uint64_t request);
void explain_cancel_all(struct queue *q);

#endif
