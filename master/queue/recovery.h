/* SPDX-License-Identifier: ISC */
/* What the queue does first with the store of the run before. */
#ifndef MASTER_QUEUE_RECOVERY_H
#define MASTER_QUEUE_RECOVERY_H

struct queue;

/* Ends the process where the store cannot be recovered. */
void recovery_run(struct queue *q);

#endif
