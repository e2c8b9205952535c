/* SPDX-License-Identifier: ISC */
/*
 * Rates on disk: when each bucket will be full, written with the change that takes
 * from it.  So a rate holds over a kill and a restart, and for two generations on
 * one store together.
 */
#ifndef MASTER_QUEUE_RATES_KEPT_H
#define MASTER_QUEUE_RATES_KEPT_H

#include <stdbool.h>

struct limit;
struct queue;

/* Fills the buckets of a limit as they were kept under its name. */
void rates_kept_restore(struct queue *q, struct limit *limit);

/* Whether something was taken that is not on disk yet. */
bool rates_kept_are_due(const struct queue *q);

/* Part of the group; -1 where the store fails.  Then, once it is on disk. */
int rates_kept_write(struct queue *q);
void rates_kept_committed(struct queue *q);

/* Forgets, now and then, what is full. */
void rates_kept_sweep(struct queue *q);

#endif
