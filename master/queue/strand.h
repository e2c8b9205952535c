/* SPDX-License-Identifier: ISC */
/*
 * What a reload does to mail that is queued: how many recipients it leaves without
 * a way, which is said, and who has one again, and is due at once.
 */
#ifndef MASTER_QUEUE_STRAND_H
#define MASTER_QUEUE_STRAND_H

struct config;
struct queue;

/* -1: no memory. */
int strand_init(struct queue *q);
void strand_clear(struct queue *q);

/* The configuration is another now; old: the previous one.  Looks through the
 * queue, in pieces, where mail may have lost its way or found it. */
void strand_reloaded(struct queue *q, const struct config *old);

#endif
