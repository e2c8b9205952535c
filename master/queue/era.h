/* SPDX-License-Identifier: ISC */
/*
 * Two generations of posternd on one store: what of it is this one's (enum era).
 *
 * What a client of ours waits for stays ours until we end, and stands in the store
 * as kept; all else is the new one's as soon as it is the heir.
 */
#ifndef MASTER_QUEUE_ERA_H
#define MASTER_QUEUE_ERA_H

#include <stdbool.h>
#include <stdint.h>

struct channel;
struct message;
struct queue;

int era_init(struct queue *q);
void era_clear(struct queue *q);

/* ERA of the master. */
void era_take(void *ctx, struct channel *from, const struct message *m);

/* Whether recipients of the store are loaded as they fall due. */
bool era_schedules(const struct queue *q);

/* Whether a message of the store is for this generation to work on. */
bool era_is_ours(struct queue *q, uint64_t id);

/* Whether the ending generation must mark what it takes for its client. */
bool era_keeps(const struct queue *q);

/* An ending generation has nothing left, and ends. */
void era_end_if_done(struct queue *q);

#endif
