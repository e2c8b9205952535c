/* SPDX-License-Identifier: ISC */
/*
 * What the queue counts (common/metrics.def), in memory of the master's.  Where
 * there is no metrics role, in memory of its own that nobody reads.
 */
#ifndef MASTER_QUEUE_COUNT_H
#define MASTER_QUEUE_COUNT_H

#include <stdint.h>

struct channel;
struct event;
struct message;
struct outcome;
struct queue;
struct session;
struct target;

/* METRICS of the master, before START. */
void count_take(void *ctx, struct channel *from, const struct message *m);
/* Once the store is open. */
void count_open(struct queue *q);
void count_clear(struct queue *q);
/* Every QUEUE_SWEEP_MS: what costs too much to be always true. */
void count_sweep(struct queue *q);

/* The group of a destination, once it is there and once it has a plan; and the
 * name of its transport. */
void count_group(struct queue *q, struct target *t);
const char *count_transport(const struct queue *q, const struct target *t);

/* event_tell() alone calls it. */
void count_event(struct queue *q, const struct event *event);

void count_commit(struct queue *q, uint32_t changes, int64_t us);
void count_store_error(struct queue *q);
void count_refused(struct queue *q, unsigned code);
void count_session(struct queue *q, const struct session *s);
void count_established(const struct session *s);
/* A connection to one address. */
void count_session_failure(struct queue *q, const struct outcome *outcome);
/* As the agent tells it: a status of waitpid(), or -1. */
void count_worker_gone(struct queue *q, int status);

#endif
