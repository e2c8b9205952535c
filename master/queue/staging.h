/* SPDX-License-Identifier: ISC */
/*
 * Messages to many: into the store, and out to the scheduler, some recipients at
 * each commit, so that the loop goes on between them (store.h, store_stage).
 *
 * The client has its answer once all is on disk; what a start finds half done is
 * taken back where there was none, and else brought to its end.
 */
#ifndef MASTER_QUEUE_STAGING_H
#define MASTER_QUEUE_STAGING_H

#include <stdbool.h>
#include <stdint.h>

struct queue;
struct submission;
struct staging;

/* Whether a submission has more recipients than one commit takes. */
bool staging_is_wanted(const struct submission *submission);

/* Takes the submission over.  -1: out of memory, and it is the caller's. */
int staging_begin(struct queue *q, struct submission *submission);

/* Of all that are on their way. */
uint32_t staging_recipients(const struct queue *q);

/* Its client is gone, or all clients are; what is whole is delivered. */
void staging_cancel(struct queue *q, uint64_t request);
void staging_cancel_all(struct queue *q);

/* What was half taken when the queue ended; as soon as this process alone has the store. */
void staging_recover(struct queue *q);

void staging_clear(struct queue *q);

#endif
