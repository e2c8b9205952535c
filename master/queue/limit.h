/* SPDX-License-Identifier: ISC */
/*
 * Limits: rates, and numbers of sessions, of what one destination or many share:
 * a transport, a route, a destination, or a group of mail servers.
 *
 * Whom a limit holds back waits at it, first come, first served, and is woken
 * when there is enough for one more.  Pure; times are the schedule's.
 */
#ifndef MASTER_QUEUE_LIMIT_H
#define MASTER_QUEUE_LIMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "master/queue/heap.h"
#include "master/queue/rate.h"

enum {
	LIMIT_RATES_MAX = 8
};

enum limit_slot {
	LIMIT_TRANSPORT,
	LIMIT_ROUTE,
	LIMIT_DESTINATION,
	LIMIT_GROUP, /* of mail servers */
	LIMIT_SLOT_COUNT
};

struct schedule_destination;
TAILQ_HEAD(limit_waiters, schedule_destination);

#define LIMIT_NAME_SIZE 640

TAILQ_HEAD(limit_changes, limit);

struct limit {
	LIST_ENTRY(limit) entry; /* of the schedule's */
	/* Of which something was taken since it was kept (rates_kept.c). */
	TAILQ_ENTRY(limit) change;
	struct limit_changes *changes; /* whose list it comes to */
	bool changed;
	int64_t taken[LIMIT_RATES_MAX];
	int64_t left_us[LIMIT_RATES_MAX]; /* the owner's, while it is kept */
	char *name; /* under which its rates are kept; NULL: they are not.  Owned */
	struct rate rates[LIMIT_RATES_MAX];
	struct rate_bucket buckets[LIMIT_RATES_MAX];
	size_t nrates;
	uint32_t session_limit; /* 0: none */
	uint32_t sessions;
	uint32_t users; /* destinations it is a limit of */
	bool goes;      /* with the last of them */
	struct limit_waiters waiters;
	struct heap_node wake; /* while somebody waits for a rate */
};

/* What a destination has of them. */
struct limit_user {
	struct limit *limits[LIMIT_SLOT_COUNT];
	uint32_t count;           /* that are not NULL */
	struct limit *waits_at;   /* or NULL */
	struct limit *granted_by; /* it was woken, and need not queue again */
};

/* What one wants to do. */
enum limit_act {
	LIMIT_CONNECT, /* open a session, and send a message */
	LIMIT_SEND,
};

void limit_init(struct limit *limit);

/* New rates and a new number of sessions; the buckets of rates that stay are as
 * they are.  More than LIMIT_RATES_MAX are cut off. */
void limit_set(struct limit *limit, const struct rate *rates, size_t nrates,
    uint32_t session_limit, int64_t now_ms);

/* The first limit that is against it, or NULL. */
struct limit *limit_against(const struct limit_user *user, enum limit_act act,
    int64_t now_ms);

/* The rate that lets one message more go last, and in how long; NULL: at once. */
const struct rate *limit_slowest(struct limit *limit, enum limit_act act,
    int64_t now_ms, int64_t *wait_msp);

/* How long until one message more may go; 0: at once. */
int64_t limit_wait_ms(struct limit *limit, enum limit_act act, int64_t now_ms);

/* Whether its number of sessions is reached. */
bool limit_is_full(const struct limit *limit);

/* Whether others wait for one of its sessions to end. */
bool limit_wants_sessions(const struct limit_user *user);

/* What is done is counted, by each limit. */
void limit_count_session(struct limit_user *user);
void limit_count_message(struct limit_user *user, uint32_t nrcpts,
    uint64_t octets);

/* What was taken is kept. */
void limit_unchanged(struct limit *limit);

/* As many may be woken now. */
uint32_t limit_grants(struct limit *limit, enum limit_act act, int64_t now_ms);

#endif
