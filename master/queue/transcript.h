/* SPDX-License-Identifier: ISC */
/*
 * The text of a session's transcript, postern-transcript(5): what the worker
 * noted, with what the queue knows of the session before it and the outcomes
 * behind.  Only where something failed.
 */
#ifndef MASTER_QUEUE_TRANSCRIPT_H
#define MASTER_QUEUE_TRANSCRIPT_H

#include "master/queue/queue_internal.h"

/* MSG_TRANSCRIPT, of a worker. */
void transcript_take(void *ctx, struct channel *from, const struct message *m);

/* Whether sessions are to note one. */
bool transcript_is_wanted(const struct queue *q);

/* A recipient's outcome, in a session that lives; a delivered one is no news. */
void transcript_outcome(const struct job *job,
    const struct schedule_recipient *r, const struct outcome *outcome,
    const char *reply);

/* The session failed, whatever becomes of its recipients. */
void transcript_failed(struct session *s, const struct outcome *outcome,
    const char *reply);

/* It is over: the text is made, and kept. */
void transcript_end(struct session *s);

void transcript_open(struct queue *q, const char *spool);
void transcript_configure(struct queue *q);
void transcript_sweep(struct queue *q);

/* transcript_answer.c */
void transcript_asked(void *ctx, struct channel *from, const struct message *m);

/* Who waits for the end of all sessions has it now, perhaps. */
void transcript_answer_waiting(struct queue *q);

#endif
