/* SPDX-License-Identifier: ISC */
/*
 * Jobs that are never stored (SUBMIT_TRANSIENT): the client keeps its message, and
 * hears of each recipient what became of its one attempt.  They share schedule,
 * sessions and limits with what is stored; where something would be written of
 * them, nothing is.
 */
#ifndef MASTER_QUEUE_TRANSIENT_H
#define MASTER_QUEUE_TRANSIENT_H

#include <stdbool.h>
#include <stdint.h>

struct channel;
struct message;
struct queue;
struct submission;

/* Whether that is the id of such a job: the store never gives one of them. */
bool transient_is(uint64_t id);

/*
 * transient_begin - take over a whole submission, and tell its client the id.
 *
 * Each recipient is on its way to a session, or settled, when it returns.  Where
 * there are too many already, or no memory, the client is refused.
 */
void transient_begin(struct queue *q, struct submission *s);

/* Its outcome is about to be told; no second one follows. */
void transient_settled(struct queue *q, uint64_t id, uint32_t index);

/* It was told.  True: of the last recipient, and the job is forgotten. */
bool transient_told(struct queue *q, uint64_t id);

/* Its client is gone: what no session has yet is not sent. */
void transient_cancel(struct queue *q, uint64_t request);
void transient_cancel_all(struct queue *q);

/*
 * transient_run - look after those that wait.
 *
 * Who is not in memory, because there was no room or the configuration has
 * changed, is brought there, and who has waited for answer_time_limit without a
 * session is deferred.
 */
void transient_run(struct queue *q);

/* posternd is being stopped: who waits for a session is deferred, and nobody else
 * is taken.  Handler of the queue's table. */
void transient_stop(void *ctx, struct channel *from, const struct message *m);

void transient_clear(struct queue *q);

#endif
