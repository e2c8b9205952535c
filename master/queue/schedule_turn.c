/* SPDX-License-Identifier: ISC */
/*
 * Turns: which destination gets the next session, what its answers make of the
 * number of its sessions, and what it waits for meanwhile.
 *
 * Nothing here looks at all destinations: each stands on one list, those that
 * want a session on that of their transport, those that a limit holds back on
 * that of the limit, and what is blocked lies in a heap by the time of its end.
 */
#include "master/queue/schedule.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>

#include "master/queue/schedule_internal.h"

enum {
	LIMIT_WAKE_MAX = 64 /* waiters of a limit looked at in a turn */
};

#define OWNER(node, type, member)                                              \
	((struct type *)(void *)((char *)(node)-offsetof(struct type, member)))

static const struct schedule_transport *
transport_of(const struct schedule *schedule,
    const struct schedule_destination *destination)
{
	return &schedule->transports[destination->transport].limits;
}

/* Places. */

static void
short_count(struct schedule *schedule, struct schedule_destination *destination)
{
	bool is_short =
	    destination->place == SCHEDULE_READY && destination->sessions == 0;

	if (is_short == destination->is_short)
		return;
	destination->is_short = is_short;
	if (is_short)
		schedule->nshort++;
	else
		schedule->nshort--;
}

void
schedule_unplace(struct schedule *schedule,
    struct schedule_destination *destination)
{
	struct limit *limit = destination->limited.waits_at;

	switch (destination->place) {
	case SCHEDULE_NOWHERE:
		return;
	case SCHEDULE_READY:
		TAILQ_REMOVE(
		    &schedule->transports[destination->transport].ready,
		    destination, turn);
		break;
	case SCHEDULE_WAITING:
		TAILQ_REMOVE(&limit->waiters, destination, turn);
		if (TAILQ_EMPTY(&limit->waiters))
			heap_remove(&schedule->limited, &limit->wake);
		destination->limited.waits_at = NULL;
		break;
	case SCHEDULE_IDLE:
		TAILQ_REMOVE(&schedule->idle, destination, turn);
		schedule->nidle--;
		break;
	}
	destination->place = SCHEDULE_NOWHERE;
	short_count(schedule, destination);
}

static enum schedule_place
place_of(const struct schedule *schedule,
    const struct schedule_destination *destination)
{
	(void)schedule;
	if (destination->waiting == 0)
		return destination->sessions > 0 || destination->paused ||
			heap_holds(&destination->block)
		    ? SCHEDULE_NOWHERE
		    : SCHEDULE_IDLE;
	if (destination->paused || destination->stopped ||
	    heap_holds(&destination->block))
		return SCHEDULE_NOWHERE;
	if (destination->place == SCHEDULE_WAITING)
		return SCHEDULE_WAITING; /* until it is woken */
	return destination->sessions < destination->feedback.concurrency
	    ? SCHEDULE_READY
	    : SCHEDULE_NOWHERE;
}

/* Those that have done nothing longest go, once there are too many. */
static void
idle_trim(struct schedule *schedule)
{
	struct schedule_destination *destination;

	while (schedule->nidle > SCHEDULE_IDLE_MAX) {
		destination = TAILQ_FIRST(&schedule->idle);
		schedule_drop_destination(schedule, destination);
	}
}

void
schedule_review(struct schedule *schedule,
    struct schedule_destination *destination)
{
	enum schedule_place place = place_of(schedule, destination);

	if (place == destination->place) {
		short_count(schedule, destination);
		return;
	}
	schedule_unplace(schedule, destination);
	destination->place = place;
	if (place == SCHEDULE_READY) {
		TAILQ_INSERT_TAIL(
		    &schedule->transports[destination->transport].ready,
		    destination, turn);
		short_count(schedule, destination);
	} else if (place == SCHEDULE_IDLE) {
		TAILQ_INSERT_TAIL(&schedule->idle, destination, turn);
		schedule->nidle++;
	}
}

void
schedule_sweep_destinations(struct schedule *schedule, int64_t now_ms)
{
	struct schedule_destination *destination;
	uint32_t n;

	for (n = 0; n < SCHEDULE_SWEEP_MAX; n++) {
		destination = schedule->swept;
		if (destination == NULL)
			destination = TAILQ_FIRST(&schedule->destinations);
		if (destination == NULL)
			return;
		schedule->swept = TAILQ_NEXT(destination, entry);
		if (destination->place == SCHEDULE_IDLE &&
		    destination->keep_until_ms <= now_ms)
			schedule_drop_destination(schedule, destination);
		if (schedule->swept == NULL)
			return;
	}
}

/* Limits. */

/* One that has a session can send by that. */
static enum limit_act
act_of(const struct schedule_destination *destination)
{
	return destination->sessions > 0 ? LIMIT_SEND : LIMIT_CONNECT;
}

static void
limit_arm(struct schedule *schedule, struct limit *limit, int64_t at_ms)
{
	heap_put(&schedule->limited, &limit->wake, at_ms);
}

static void
limit_wait(struct schedule *schedule, struct schedule_destination *destination,
    struct limit *limit, enum limit_act act, int64_t now_ms)
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
		limit_arm(schedule, limit, at_ms);
}

/*
 * Wakes as many as there is enough for, and sees when the next may go.  Where no
 * further session may be, those that have one are woken alone.
 */
static void
limit_wake(struct schedule *schedule, struct limit *limit, int64_t now_ms)
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
		limit_arm(schedule, limit,
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
	free(limit);
}

void
schedule_limit_change(struct schedule *schedule, struct limit *limit,
    const struct rate *rates, size_t nrates, uint32_t session_limit,
    int64_t now_ms)
{
	limit_set(limit, rates, nrates, session_limit, now_ms);
	if (!TAILQ_EMPTY(&limit->waiters))
		limit_arm(schedule, limit, now_ms);
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

/* Picking. */

static struct schedule_destination *
pick_of(struct schedule *schedule, struct schedule_transport_state *transport,
    int64_t now_ms)
{
	struct schedule_destination *destination;
	struct limit *limit;

	if (transport->sessions >= transport->limits.process_limit)
		return NULL;
	while ((destination = TAILQ_FIRST(&transport->ready)) != NULL) {
		limit =
		    limit_against(&destination->limited, LIMIT_CONNECT, now_ms);
		if (limit == NULL)
			break;
		limit_wait(schedule, destination, limit, LIMIT_CONNECT, now_ms);
	}
	if (destination == NULL)
		return NULL;
	TAILQ_REMOVE(&transport->ready, destination, turn);
	TAILQ_INSERT_TAIL(&transport->ready, destination, turn);
	return destination;
}

struct schedule_destination *
schedule_pick(struct schedule *schedule, uint32_t workers_left, int64_t now_ms)
{
	struct schedule_destination *destination;
	uint32_t i, at;

	schedule_turn(schedule, now_ms);
	if (workers_left == 0)
		return NULL;
	for (i = 0; i < schedule->ntransports; i++) {
		at = (schedule->next_transport + i) % schedule->ntransports;
		destination =
		    pick_of(schedule, &schedule->transports[at], now_ms);
		if (destination == NULL)
			continue;
		schedule->next_transport = at + 1;
		return destination;
	}
	return NULL;
}

bool
schedule_is_short(struct schedule *schedule, int64_t now_ms)
{
	schedule_turn(schedule, now_ms);
	return schedule->nshort > 0;
}

bool
schedule_may_take(struct schedule *schedule,
    struct schedule_destination *destination, int64_t now_ms)
{
	struct limit *limit;

	if (destination->limited.count == 0)
		return true;
	limit = limit_against(&destination->limited, LIMIT_SEND, now_ms);
	if (limit == NULL)
		return true;
	if (destination->limited.waits_at != limit && !destination->paused &&
	    !heap_holds(&destination->block))
		limit_wait(schedule, destination, limit, LIMIT_SEND, now_ms);
	return false;
}

/* Sessions. */

void
schedule_session_begun(struct schedule *schedule,
    struct schedule_destination *destination)
{
	destination->sessions++;
	schedule->transports[destination->transport].sessions++;
	limit_count_session(&destination->limited);
	schedule_review(schedule, destination);
}

void
schedule_session_ended(struct schedule *schedule,
    struct schedule_destination *destination)
{
	struct limit_user *user = &destination->limited;
	struct schedule_destination *waiter;
	enum limit_slot slot;
	struct limit *limit;

	assert(destination->sessions > 0);
	destination->sessions--;
	schedule->transports[destination->transport].sessions--;
	for (slot = LIMIT_TRANSPORT; user->count > 0 && slot < LIMIT_SLOT_COUNT;
	     slot++) {
		limit = user->limits[slot];
		if (limit == NULL)
			continue;
		limit->sessions--;
		waiter = TAILQ_FIRST(&limit->waiters);
		if (limit->session_limit > 0 && waiter != NULL)
			/* As soon as the next turn. */
			limit_arm(schedule, limit, INT64_MIN);
	}
	schedule_review(schedule, destination);
}

void
schedule_succeeded(struct schedule *schedule,
    struct schedule_destination *destination)
{
	destination->failures = 0;
	feedback_success(&destination->feedback,
	    &transport_of(schedule, destination)->feedback);
	if (destination->blocked_until_ms != 0)
		schedule_block(schedule, destination, 0);
	else if (destination->waiting > 0)
		schedule_review(schedule, destination);
}

static int64_t
block_ms(const struct schedule *schedule,
    const struct schedule_destination *destination)
{
	if (schedule->hooks.block_ms != NULL)
		return schedule->hooks.block_ms(schedule->hooks.ctx,
		    destination);
	return schedule_retry_ms(&schedule->limits, destination->failures, 0);
}

bool
schedule_failed(struct schedule *schedule,
    struct schedule_destination *destination, int64_t now_ms)
{
	int64_t ms;

	/* One that was begun before it was dead: that is known already. */
	if (destination->failures > 0 && destination->blocked_until_ms > now_ms)
		return true;
	if (!feedback_failure(&destination->feedback,
		&transport_of(schedule, destination)->feedback,
		destination->sessions <= 1)) {
		schedule_review(schedule, destination);
		return false;
	}
	destination->failures++;
	ms = block_ms(schedule, destination);
	/* What it failed is remembered as long again. */
	if (destination->keep_until_ms < now_ms + 2 * ms)
		destination->keep_until_ms = now_ms + 2 * ms;
	schedule_block(schedule, destination, now_ms + ms);
	return true;
}

/* Pauses and blocks. */

void
schedule_pause(struct schedule *schedule,
    struct schedule_destination *destination, bool paused)
{
	destination->paused = paused;
	schedule_review(schedule, destination);
}

void
schedule_block(struct schedule *schedule,
    struct schedule_destination *destination, int64_t until_ms)
{
	destination->blocked_until_ms = until_ms;
	if (until_ms > 0)
		heap_put(&schedule->blocked, &destination->block, until_ms);
	else
		heap_remove(&schedule->blocked, &destination->block);
	schedule_review(schedule, destination);
}

void
schedule_turn(struct schedule *schedule, int64_t now_ms)
{
	struct heap_node *node;

	idle_trim(schedule);
	while ((node = heap_first(&schedule->blocked)) != NULL &&
	    node->key <= now_ms) {
		heap_remove(&schedule->blocked, node);
		schedule_review(schedule,
		    OWNER(node, schedule_destination, block));
	}
	while ((node = heap_first(&schedule->blocked_domains)) != NULL &&
	    node->key <= now_ms) {
		heap_remove(&schedule->blocked_domains, node);
		schedule_free_domain(schedule,
		    OWNER(node, schedule_domain, block));
	}
	while ((node = heap_first(&schedule->limited)) != NULL &&
	    node->key <= now_ms) {
		limit_wake(schedule, OWNER(node, limit, wake), now_ms);
		if (heap_first(&schedule->limited) == node)
			break; /* those it has woken come first */
	}
}

static void
sooner(const struct heap_node *node, int64_t *wake_ms)
{
	if (node != NULL && (*wake_ms == 0 || node->key < *wake_ms))
		*wake_ms = node->key > 0 ? node->key : 1;
}

int64_t
schedule_wake_ms(struct schedule *schedule, int64_t now_ms)
{
	struct heap_node *node;
	struct limit *limit;
	int64_t wait_ms;
	int64_t wake_ms = 0;

	/* What was there when its waiters were woken is taken by now. */
	while ((node = heap_first(&schedule->limited)) != NULL &&
	    node->key <= now_ms) {
		limit = OWNER(node, limit, wake);
		wait_ms = limit_wait_ms(limit,
		    act_of(TAILQ_FIRST(&limit->waiters)), now_ms);
		if (wait_ms == 0)
			break;
		heap_put(&schedule->limited, node, now_ms + wait_ms);
	}
	sooner(heap_first(&schedule->limited), &wake_ms);
	sooner(heap_first(&schedule->blocked), &wake_ms);
	sooner(heap_first(&schedule->blocked_domains), &wake_ms);
	return wake_ms;
}
