/* SPDX-License-Identifier: ISC */
/* What waits for its destination's sake need not wait any more. */
#ifndef MASTER_QUEUE_LIFT_H
#define MASTER_QUEUE_LIFT_H

struct queue;

/* For a recipient of that domain; via may be empty. */
void lift_recipient(struct queue *q, const char *via, const char *domain);

#endif
