/* SPDX-License-Identifier: ISC */
/*
 * What active.c, schedule.c and schedule_turn.c share; nobody else includes it.
 */
#ifndef MASTER_QUEUE_SCHEDULE_INTERNAL_H
#define MASTER_QUEUE_SCHEDULE_INTERNAL_H

#include "master/queue/schedule.h"

enum {
	SCHEDULE_BUCKETS = 8192, /* a power of two */
	SCHEDULE_ACTIVE_BUCKETS = 32768,
	/* Destinations that do nothing, kept for what we know of them. */
	SCHEDULE_IDLE_MAX = 4096,
	/* Sources that hold nothing, until the sweep. */
	SCHEDULE_IDLE_SOURCES_MAX = 1024,
	/* Sources with nothing in memory that are remembered to have more. */
	SCHEDULE_SOURCES_MORE = 4096,
	SCHEDULE_SWEEP_MAX = 4096, /* looked at in one sweep */
	/* Between two looks at a source with rows that are left in the store. */
	SCHEDULE_LOOK_MS = 1000,
	SCHEDULE_BRIEF_MS = 5000, /* a rest that nothing is suspended for */
	SCHEDULE_PROBE_MS = 1000, /* between two probes at first */
	SCHEDULE_PROBE_SHARE = 10,
	SCHEDULE_PROBE_WAITING = 16, /* messages that may wait for one */
	SCHEDULE_DOUBLINGS = 20,
	SCHEDULE_LOOK_LEAST_MS = 50,
	/* Destinations, and sources, that rest and are remembered; of more, those
	 * whose rest is over first are tried before. */
	SCHEDULE_BLOCKED_MAX = 100000,
};

LIST_HEAD(schedule_message_bucket, schedule_message);
LIST_HEAD(schedule_domain_bucket, schedule_domain);
LIST_HEAD(schedule_source_bucket, schedule_source);
LIST_HEAD(schedule_destination_bucket, schedule_destination);
LIST_HEAD(schedule_lane_bucket, schedule_lane);
LIST_HEAD(schedule_group_bucket, schedule_group);
LIST_HEAD(schedule_recipient_bucket, schedule_recipient);
TAILQ_HEAD(schedule_sources, schedule_source);
TAILQ_HEAD(schedule_destinations, schedule_destination);

struct schedule_transport_state {
	struct schedule_transport limits;
	uint32_t sessions;
	struct schedule_destinations ready[SCHEDULE_RANK_COUNT];
};

struct schedule {
	struct schedule_limits limits;
	struct schedule_hooks hooks;
	struct schedule_transport_state *transports;
	uint32_t ntransports;
	uint32_t next_transport; /* whose turn it is */
	uint32_t active;
	bool filling; /* it was hungry, and is not full since */
	/* active.c */
	uint32_t nsources;
	struct schedule_sources more;
	uint32_t nmore;
	uint32_t looked; /* at sources in vain, since something changed */
	struct schedule_sources idle_sources;
	uint32_t nidle_sources;
	struct heap resting;
	uint32_t changes; /* since when what was left may be so no more */
	/* schedule_turn.c */
	struct schedule_destinations destinations;
	struct schedule_destinations idle;
	uint32_t nidle;
	uint32_t nshort; /* that want a session, and have none */
	struct heap blocked;
	struct heap limited; /* limits somebody waits at for a rate */
	LIST_HEAD(, limit) limits_made;
	struct limit_changes limits_changed;
	struct schedule_destination *swept;
	struct schedule_message_bucket messages_by_id[SCHEDULE_BUCKETS];
	struct schedule_domain_bucket domains_by_name[SCHEDULE_BUCKETS];
	struct schedule_source_bucket sources_by_lane[SCHEDULE_BUCKETS];
	struct schedule_destination_bucket by_next_hop[SCHEDULE_BUCKETS];
	struct schedule_lane_bucket lanes_by_number[SCHEDULE_BUCKETS];
	/* By message and destination, and by message and index. */
	struct schedule_group_bucket groups[SCHEDULE_ACTIVE_BUCKETS];
	struct schedule_recipient_bucket recipients[SCHEDULE_ACTIVE_BUCKETS];
};

/* A bucket for a string, which nobody can foresee: hash.h. */
uint32_t schedule_hash(const char *text, uint32_t seed);

/* Adds a recipient to the group of its message, at the end or the start. */
int schedule_enqueue(struct schedule *schedule,
    struct schedule_destination *destination,
    struct schedule_recipient *recipient, bool first);

/* Frees a group without recipients. */
void schedule_drop_group(struct schedule_group *group);

/* One that is in memory; NULL: it is not. */
struct schedule_recipient *schedule_find_recipient(
    const struct schedule *schedule, uint64_t message, uint32_t index);

/* Puts a destination where it belongs, after a change. */
void schedule_review(struct schedule *schedule,
    struct schedule_destination *destination);

/* Frees it; nothing waits, and nothing runs. */
void schedule_drop_destination(struct schedule *schedule,
    struct schedule_destination *destination);

/* Off all lists of those who have a turn. */
void schedule_unplace(struct schedule *schedule,
    struct schedule_destination *destination);

/* It waits at that limit until it is woken (schedule_limit.c). */
void schedule_wait_at(struct schedule *schedule,
    struct schedule_destination *destination, struct limit *limit,
    enum limit_act act, int64_t now_ms);
void schedule_wake_waiters(struct schedule *schedule, struct limit *limit,
    int64_t now_ms);
/* Until the first who waits may go; somebody does. */
int64_t schedule_waiter_wait_ms(struct limit *limit, int64_t now_ms);

/* Its rest is over. */
void schedule_wake_source(struct schedule *schedule,
    struct schedule_source *source);

/* All that active.c keeps, once no recipient is left. */
void schedule_clear_active(struct schedule *schedule);

void schedule_sweep_destinations(struct schedule *schedule, int64_t now_ms);

#endif
