/* SPDX-License-Identifier: ISC */
/*
 * The limits of the configuration, and whose they are.
 *
 * A limit is known by what it is of and that one's name, so that its buckets
 * outlive a reload.
 */
#ifndef MASTER_QUEUE_LIMITS_H
#define MASTER_QUEUE_LIMITS_H

#include <stdint.h>

struct limit;
struct limit_user;
struct queue;
struct route;
struct target;

enum limits_kind {
	LIMITS_TRANSPORT,
	LIMITS_ROUTE,
	LIMITS_GROUP,
};

/* After a configuration came in, and its transports are known: limits change,
 * come and go, and destinations get theirs. */
void limits_configure(struct queue *q);
void limits_clear(struct queue *q);

/* A new destination's limits. */
void limits_attach(struct queue *q, struct target *t);

/* A destination has a plan: its servers may be of a group. */
void limits_attach_group(struct queue *q, struct target *t);

/* Whose a limit is; NULL: a destination's own. */
const char *limits_name(const struct queue *q, const struct limit *limit);

/* Those of a destination that is not there yet, but for what hangs on its plan
 * and on itself. */
void limits_foresee(const struct queue *q, const char *transport,
    uint32_t route, struct limit_user *user);

/* What tells destinations apart that differ in a route with rates of its own; 0
 * for all others. */
uint32_t limits_variant(const struct queue *q, const struct route *route);

#endif
