/* SPDX-License-Identifier: ISC */
/*
 * What active.c and schedule.c share; nobody else includes it.
 */
#ifndef MASTER_QUEUE_SCHEDULE_INTERNAL_H
#define MASTER_QUEUE_SCHEDULE_INTERNAL_H

#include "master/queue/schedule.h"

enum {
	SCHEDULE_BUCKETS = 4096
}; /* a power of two */

LIST_HEAD(schedule_message_bucket, schedule_message);
LIST_HEAD(schedule_domain_bucket, schedule_domain);
LIST_HEAD(schedule_destination_bucket, schedule_destination);

struct schedule_transport_state {
	struct schedule_transport limits;
	uint32_t sessions;
};

struct schedule {
	struct schedule_limits limits;
	struct schedule_hooks hooks;
	struct schedule_transport_state *transports;
	uint32_t ntransports;
	uint32_t active;
	TAILQ_HEAD(, schedule_domain) domains;
	TAILQ_HEAD(, schedule_destination) destinations;
	struct schedule_message_bucket messages_by_id[SCHEDULE_BUCKETS];
	struct schedule_domain_bucket domains_by_name[SCHEDULE_BUCKETS];
	struct schedule_destination_bucket by_next_hop[SCHEDULE_BUCKETS];
};

/* A bucket for a string (FNV-1a). */
uint32_t schedule_hash(const char *text, uint32_t seed);

/* Adds a recipient to the group of its message, at the end or the start. */
int schedule_enqueue(struct schedule_destination *destination,
    struct schedule_recipient *recipient, bool first);

/* Frees a group without recipients. */
void schedule_drop_group(struct schedule_group *group);

/* Frees a message without recipients. */
void schedule_drop_message(struct schedule *schedule,
    struct schedule_message *message);

#endif
