/* SPDX-License-Identifier: ISC */
/*
 * Limits of destinations, and who waits at them; what a limit has left is in
 * limit.c.
 */
#include "master/queue/schedule.h"

#include <assert.h>
#include <stdlib.h>

#include "master/queue/schedule_internal.h"

enum {
	LIMIT_WAKE_MAX = 64 /* waiters of a limit looked at in a turn */
};

/* One that has a session can send by that. */
static enum limit_act
act_of(const struct schedule_destination *destination)
{
	return destination->sessions > 0 ? LIMIT_SEND : LIMIT_CONNECT;
}

static void
waiters_arm(struct schedule *schedule, struct limit *limit, int64_t at_ms)
{
	heap_put(&schedule->limited, &limit->wake, at_ms);
}

void
schedule_wait_at(struct schedule *schedule,
    struct schedule_destination *destination, struct limit *limit,
    enum limit_act act, int64_t now_ms)
{
	int64_t at_ms = now_ms + limit_wait_ms(limit, act, now_ms);

	schedule_unplace(schedule, destination);
	destination->place = SCHEDULE_WAITING;
	destination->limited.waits_at = limit;
	destination->limited.granted_by = NULL;
	TAILQ_INSERT_TAIL(&limit->waiters, destination, turn);
	/* Where all its sessions are there, the end of one wakes the next. */
	if (act == LIMIT_CONNECT && limit_is_full(limit))
		return;
	if (!heap_holds(&limit->wake) || limit->wake.key > at_ms)
		waiters_arm(schedule, limit, at_ms);
}

/*
 * Wakes as many as there is enough for, and sees when the next may go.  Where no
 * further session may be, those that have one are woken alone.
 */
void
schedule_wake_waiters(struct schedule *schedule, struct limit *limit,
    int64_t now_ms)
{
	struct schedule_destination *destination = TAILQ_FIRST(&limit->waiters);
	struct schedule_destination *next;
	enum limit_act act;
	uint32_t woken = 0;
	uint32_t seen;

	heap_remove(&schedule->limited, &limit->wake);
	for (seen = 0; destination != NULL && seen < LIMIT_WAKE_MAX;
	     destination = next, seen++) {
		next = TAILQ_NEXT(destination, turn);
		act = act_of(destination);
		if (act == LIMIT_CONNECT && limit_is_full(limit))
			continue;
		if (woken >= limit_grants(limit, act, now_ms))
			break;
		schedule_unplace(schedule, destination);
		destination->limited.granted_by = limit;
		schedule_review(schedule, destination);
		woken++;
	}
	if (destination != NULL && (seen < LIMIT_WAKE_MAX || woken > 0))
		waiters_arm(schedule, limit,
		    now_ms + limit_wait_ms(limit, act_of(destination), now_ms));
}

struct limit *
schedule_limit_new(struct schedule *schedule)
{
	struct limit *limit = malloc(sizeof(*limit));

	if (limit == NULL || heap_reserve(&schedule->limited) == -1) {
		free(limit);
		return NULL;
	}
	limit_init(limit);
	limit->changes = &schedule->limits_changed;
	LIST_INSERT_HEAD(&schedule->limits_made, limit, entry);
	return limit;
}

void
schedule_limit_free(struct schedule *schedule, struct limit *limit)
{
	if (limit == NULL)
		return;
	assert(limit->users == 0);
	LIST_REMOVE(limit, entry);
	heap_remove(&schedule->limited, &limit->wake);
	heap_unreserve(&schedule->limited);
	limit_unchanged(limit);
	free(limit->name);
	free(limit);
}

struct limit *
schedule_changed_limit(const struct schedule *schedule)
{
	return TAILQ_FIRST(&schedule->limits_changed);
}

void
schedule_limit_change(struct schedule *schedule, struct limit *limit,
    const struct rate *rates, size_t nrates, uint32_t session_limit,
    int64_t now_ms)
{
	limit_set(limit, rates, nrates, session_limit, now_ms);
	if (!TAILQ_EMPTY(&limit->waiters))
		waiters_arm(schedule, limit, now_ms);
}

void
schedule_set_limit(struct schedule *schedule,
    struct schedule_destination *destination, enum limit_slot slot,
    struct limit *limit)
{
	struct limit_user *user = &destination->limited;
	struct limit *old = user->limits[slot];

	if (old == limit)
		return;
	if (user->waits_at != NULL)
		schedule_unplace(schedule, destination);
	if (old != NULL) {
		old->sessions -= destination->sessions;
		old->users--;
		user->count--;
		if (user->granted_by == old)
			user->granted_by = NULL;
	}
	if (limit != NULL) {
		limit->sessions += destination->sessions;
		limit->users++;
		user->count++;
	}
	user->limits[slot] = limit;
	if (old != NULL && old->goes && old->users == 0)
		schedule_limit_free(schedule, old);
	schedule_review(schedule, destination);
}

int64_t
schedule_waiter_wait_ms(struct limit *limit, int64_t now_ms)
{
	return limit_wait_ms(limit, act_of(TAILQ_FIRST(&limit->waiters)),
	    now_ms);
}
