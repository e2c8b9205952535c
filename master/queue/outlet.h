/* SPDX-License-Identifier: ISC */
/*
 * Outcome reports: each final outcome to a socket or a command, at least once.
 *
 * A report is a row of the same commit as its outcome, and goes once it is
 * acknowledged.  Who is to have it is reached by the master, which connects or
 * executes, and hands on a descriptor; deliveries never wait for it.
 */
#ifndef MASTER_QUEUE_OUTLET_H
#define MASTER_QUEUE_OUTLET_H

#include <stdbool.h>

struct channel;
struct event;
struct message;
struct outcome_change;
struct queue;

/* Once the store and the configuration are there; -1: no memory. */
int outlet_open(struct queue *q);
/* Another process has had the store, too: the rows are counted anew. */
void outlet_recount(struct queue *q);
void outlet_clear(struct queue *q);

/* Another configuration: whoever was reached may be another now. */
void outlet_configure(struct queue *q);

/* Every QUEUE_SWEEP_MS: what is too old or too many goes. */
void outlet_sweep(struct queue *q);

/* Part of the group: the row of an outcome, where one is wanted. */
int outlet_apply(struct queue *q, struct outcome_change *c);
/* After the commit of such a row. */
void outlet_reported(struct queue *q);

/* What the master says. */
void outlet_link(void *ctx, struct channel *from, const struct message *m);
void outlet_refused(void *ctx, struct channel *from, const struct message *m);
void outlet_done(void *ctx, struct channel *from, const struct message *m);

#endif
