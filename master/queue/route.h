/* SPDX-License-Identifier: ISC */
/*
 * What the route of a recipient says: where it goes, when it is tried again, and
 * for how long.  Mail that asks for a transport (via) has no route.
 */
#ifndef MASTER_QUEUE_ROUTE_H
#define MASTER_QUEUE_ROUTE_H

#include <stdbool.h>
#include <stdint.h>

/* The status of mail that waits because the configuration gives it no way: RFC
 * 3463, 3.4, X.3.5, system incorrectly configured. */
#define ROUTE_NONE_DSN "4.3.5"
#define ROUTE_WHY_SIZE 640

struct queue;
struct queue_transport;
struct route;
struct schedule_destination;
struct store_envelope;
struct store_recipient;

/* The transport that was asked for, by an operator or by the job; or "". */
const char *route_via(const struct store_envelope *envelope,
    const struct store_recipient *recipient);

/* NULL: none. */
const struct route *route_of(const struct queue *q, const char *via,
    const char *domain);

/* The transport of a recipient, its next hop in *hopp; or NULL. */
const struct queue_transport *route_transport(struct queue *q, const char *via,
    const char *domain, const char **hopp, uint32_t *indexp);

/* Why there is none, as a sentence. */
void route_why_not(const struct queue *q, const char *via, const char *domain,
    char why[static ROUTE_WHY_SIZE]);

/*
 * How long a recipient of a message waits after so many attempts, chance and
 * all.  brief: the next one is worth while in a moment, and waits no longer than
 * that where its route has no schedule of its own.
 */
int64_t route_retry_ms(const struct queue *q, uint64_t message, const char *via,
    const char *recipient, uint32_t attempts, bool brief);

/* How long it is tried.  The null sender's mail has a time of its own
 * (bounce_queue_lifetime). */
int64_t route_lifetime_ms(const struct queue *q, const char *via,
    const char *recipient);

/* No recipient is told to wait longer than this. */
int64_t route_longest_wait_ms(const struct queue *q);

/* The shortest of all. */
int64_t route_least_lifetime_ms(const struct queue *q);

/* How long a destination that is dead is left alone (schedule_hooks). */
int64_t route_block_ms(void *ctx,
    const struct schedule_destination *destination);

#endif
