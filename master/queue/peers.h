/* SPDX-License-Identifier: ISC */
/* The queue's channels to other roles. */
#ifndef MASTER_QUEUE_PEERS_H
#define MASTER_QUEUE_PEERS_H

#include <stdint.h>

struct channel;
struct message;
struct queue;

/* Handles PEER: a role is there, perhaps instead of one that died. */
void peers_take(void *ctx, struct channel *from, const struct message *m);

/* A channel ended; why: it broke a rule, or NULL. */
void peers_closed(void *ctx, struct channel *ch, const char *why);

/* A role broke a rule: the master ends that process (0: the one in place), and
 * starts another. */
void peers_fault(struct queue *q, unsigned role, uint32_t pid, const char *why);

#endif
