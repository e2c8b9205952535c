/* SPDX-License-Identifier: ISC */
/* The queue's configuration, as the master sends it. */
#ifndef MASTER_QUEUE_CONFIGURE_H
#define MASTER_QUEUE_CONFIGURE_H

struct channel;
struct message;
struct queue;

/* Handles CONFIG: what cannot be read leaves the old one. */
void configure_take(void *ctx, struct channel *from, const struct message *m);

/* Tells the schedule of the configuration's transports; -1 with errno. */
int configure_transports(struct queue *q);

/* All that waits in memory goes back to the store. */
void configure_unload(struct queue *q);

#endif
