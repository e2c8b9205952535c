/* SPDX-License-Identifier: ISC */
/*
 * What senders are told by mail.  settle.c records with a recipient's outcome
 * that it is to be told (notice_policy.h); here it is gathered, written, and
 * becomes a message of our own in the same commit that clears the debt.
 */
#ifndef MASTER_QUEUE_NOTICE_H
#define MASTER_QUEUE_NOTICE_H

#include "master/queue/notice_policy.h"
#include "master/queue/queue_internal.h"

/* Before the queue is set up; and once its store is open. */
int notices_init(struct queue *q);
void notices_open(struct queue *q);
void notices_clear(struct queue *q);

/* By the configuration that holds; NULL: nobody is told anything. */
const struct notice_rules *notice_rules(const struct queue *q);
void notices_configure(struct queue *q);

/* Texts from the master, which has checked them. */
void notices_templates(void *ctx, struct channel *from,
    const struct message *m);

/* An outcome is on disk.  told: a client heard of it that waits for it. */
void notices_committed(struct queue *q, const struct outcome_change *o, bool told);

/* Look through all that is owed: another generation left some, or has gone. */
void notices_wake(struct queue *q);

/* No recipient of a message is in memory any more. */
void notices_message_gone(struct queue *q, uint64_t id);

/* What has waited for too long, now and then. */
void notices_sweep(struct queue *q);

#endif
