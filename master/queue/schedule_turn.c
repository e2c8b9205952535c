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

#define OWNER(node, type, member)                                              \
	((struct type *)(void *)((char *)(node)-offsetof(struct type, member)))

static const struct schedule_transport *
transport_of(const struct schedule *schedule,
    const struct schedule_destination *destination)
{
	return &schedule->transports[destination->transport].limits;
}

/* Places. */

static enum schedule_rank
rank_of(const struct schedule_destination *destination)
{
	if (destination->sessions == 0)
		return SCHEDULE_FIRST;
	return destination->proven ? SCHEDULE_PROVEN : SCHEDULE_UNPROVEN;
}

/* Those of its transport that want a session as much as it does. */
static struct schedule_destinations *
ready_of(const struct schedule *schedule,
    const struct schedule_destination *destination)
{
	return &schedule->transports[destination->transport]
		    .ready[destination->rank];
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
		TAILQ_REMOVE(ready_of(schedule, destination), destination,
		    turn);
		if (destination->rank == SCHEDULE_FIRST)
			schedule->nshort--;
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
	enum schedule_rank rank = rank_of(destination);

	if (place == destination->place &&
	    (place != SCHEDULE_READY || rank == destination->rank))
		return;
	schedule_unplace(schedule, destination);
	destination->place = place;
	destination->rank = rank;
	if (place == SCHEDULE_READY) {
		TAILQ_INSERT_TAIL(ready_of(schedule, destination), destination,
		    turn);
		if (rank == SCHEDULE_FIRST)
			schedule->nshort++;
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

/* Picking. */

static struct schedule_destination *
pick_of(struct schedule *schedule, struct schedule_transport_state *transport,
    enum schedule_rank rank, uint32_t workers_left, int64_t now_ms)
{
	struct schedule_destinations *ready = &transport->ready[rank];
	struct schedule_destination *destination;
	struct limit *limit;

	if (transport->sessions >= transport->limits.process_limit ||
	    (rank == SCHEDULE_UNPROVEN &&
		workers_left <= transport->limits.process_limit / 2))
		return NULL;
	while ((destination = TAILQ_FIRST(ready)) != NULL) {
		limit =
		    limit_against(&destination->limited, LIMIT_CONNECT, now_ms);
		if (limit == NULL)
			break;
		schedule_wait_at(schedule, destination, limit, LIMIT_CONNECT,
		    now_ms);
	}
	if (destination == NULL)
		return NULL;
	TAILQ_REMOVE(ready, destination, turn);
	TAILQ_INSERT_TAIL(ready, destination, turn);
	return destination;
}

/* The transports take turns. */
static struct schedule_destination *
pick_ranked(struct schedule *schedule, enum schedule_rank rank,
    uint32_t workers_left, int64_t now_ms)
{
	struct schedule_destination *destination;
	uint32_t i, at;

	for (i = 0; i < schedule->ntransports; i++) {
		at = (schedule->next_transport + i) % schedule->ntransports;
		destination = pick_of(schedule, &schedule->transports[at], rank,
		    workers_left, now_ms);
		if (destination == NULL)
			continue;
		schedule->next_transport = at + 1;
		return destination;
	}
	return NULL;
}

struct schedule_destination *
schedule_pick(struct schedule *schedule, uint32_t workers_left, int64_t now_ms)
{
	struct schedule_destination *destination;
	enum schedule_rank rank;

	schedule_turn(schedule, now_ms);
	if (workers_left == 0)
		return NULL;
	for (rank = 0; rank < SCHEDULE_RANK_COUNT; rank++) {
		destination = pick_ranked(schedule, rank, workers_left, now_ms);
		if (destination != NULL)
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
		schedule_wait_at(schedule, destination, limit, LIMIT_SEND,
		    now_ms);
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
	if (destination->sessions == 0)
		destination->proven = false; /* it may have changed since */
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
			heap_put(&schedule->limited, &limit->wake, INT64_MIN);
	}
	schedule_review(schedule, destination);
}

void
schedule_succeeded(struct schedule *schedule,
    struct schedule_destination *destination)
{
	bool was_dead = destination->failures > 0;

	destination->failures = destination->probes = 0;
	destination->failed = 0;
	destination->probing = false;
	destination->proven = destination->sessions > 0;
	feedback_success(&destination->feedback,
	    &transport_of(schedule, destination)->feedback);
	if (destination->blocked_until_ms != 0)
		schedule_block(schedule, destination, 0);
	else if (destination->waiting > 0)
		schedule_review(schedule, destination);
	if (was_dead)
		schedule_end_rests(schedule);
}

/* Doubled so often, up to the most. */
static int64_t
doubled_ms(int64_t ms, uint32_t times, int64_t most_ms)
{
	ms <<= times < SCHEDULE_DOUBLINGS ? times : SCHEDULE_DOUBLINGS;
	return ms < most_ms ? ms : most_ms;
}

static int64_t
rest_ms(const struct schedule *schedule,
    struct schedule_destination *destination, enum schedule_failure failure)
{
	int64_t most_ms = schedule->limits.minimal_backoff_ms;
	int64_t ms;

	destination->brief = false;
	if (failure == SCHEDULE_BRIEF || failure == SCHEDULE_DOUBT) {
		ms = doubled_ms(SCHEDULE_PROBE_MS, destination->failures - 1,
		    most_ms);
		destination->brief = ms < most_ms && ms <= SCHEDULE_BRIEF_MS;
		return ms;
	}
	if (schedule->hooks.block_ms == NULL)
		return most_ms;
	ms = schedule->hooks.block_ms(schedule->hooks.ctx, destination);
	return ms < most_ms ? ms : most_ms;
}

static int64_t
probe_wait_ms(const struct schedule *schedule,
    const struct schedule_destination *destination)
{
	int64_t most_ms =
	    schedule->limits.minimal_backoff_ms / SCHEDULE_PROBE_SHARE;

	if (most_ms < SCHEDULE_PROBE_MS)
		most_ms = SCHEDULE_PROBE_MS;
	return doubled_ms(SCHEDULE_PROBE_MS, destination->probes, most_ms);
}

bool
schedule_is_resting(const struct schedule_destination *destination,
    int64_t now_ms)
{
	return destination->failures > 0 &&
	    destination->blocked_until_ms > now_ms;
}

bool
schedule_rests_briefly(const struct schedule_destination *destination,
    int64_t now_ms)
{
	return destination->brief && schedule_is_resting(destination, now_ms);
}

static bool
is_dead(const struct schedule *schedule,
    struct schedule_destination *destination, enum schedule_failure failure)
{
	const struct feedback_rules *rules =
	    &transport_of(schedule, destination)->feedback;

	return failure == SCHEDULE_DOUBT || failure == SCHEDULE_LOGIN
	    ? feedback_harm(&destination->feedback, rules)
	    : feedback_failure(&destination->feedback, rules);
}

bool
schedule_failed(struct schedule *schedule,
    struct schedule_destination *destination, enum schedule_failure failure,
    int64_t now_ms)
{
	bool is_resting = schedule_is_resting(destination, now_ms);
	int64_t until_ms = destination->blocked_until_ms;
	int64_t keep_ms = schedule->limits.minimal_backoff_ms;

	destination->failed++;
	/* One that was begun before it was dead: that is known already. */
	if (is_resting && !destination->probing)
		return true;
	/* What it failed is remembered as long again. */
	if (destination->keep_until_ms < now_ms + 2 * keep_ms)
		destination->keep_until_ms = now_ms + 2 * keep_ms;
	if (!is_dead(schedule, destination, failure)) {
		schedule_review(schedule, destination);
		return false;
	}
	/* A probe in its rest does not make that longer. */
	if (!is_resting) {
		destination->failures++;
		until_ms = now_ms + rest_ms(schedule, destination, failure);
	}
	destination->probe_ms = failure == SCHEDULE_LOGIN
	    ? until_ms
	    : now_ms + probe_wait_ms(schedule, destination);
	destination->probes++;
	destination->probing = false;
	schedule_block(schedule, destination, until_ms);
	return true;
}

bool
schedule_may_probe(struct schedule *schedule,
    struct schedule_destination *destination, bool at_once, int64_t now_ms)
{
	int64_t at_ms = destination->probe_ms;

	if (destination->waiting >= SCHEDULE_PROBE_WAITING)
		return false;
	if (at_ms > destination->blocked_until_ms)
		at_ms = destination->blocked_until_ms;
	if (at_once && at_ms > now_ms)
		return false;
	/* Otherwise it is about to be probed, or is being so. */
	if (heap_holds(&destination->block))
		heap_put(&schedule->blocked, &destination->block, at_ms);
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

uint32_t
schedule_blocked(const struct schedule *schedule)
{
	return schedule->blocked.len;
}

static bool
is_over(const struct heap *heap, int64_t now_ms)
{
	const struct heap_node *node = heap_first(heap);

	return node != NULL &&
	    (node->key <= now_ms || heap->len > SCHEDULE_BLOCKED_MAX);
}

void
schedule_turn(struct schedule *schedule, int64_t now_ms)
{
	struct schedule_destination *destination;
	struct heap_node *node;

	idle_trim(schedule);
	while (is_over(&schedule->blocked, now_ms)) {
		node = heap_first(&schedule->blocked);
		heap_remove(&schedule->blocked, node);
		destination = OWNER(node, schedule_destination, block);
		destination->probing = destination->failures > 0;
		schedule_review(schedule, destination);
	}
	while (is_over(&schedule->resting, now_ms))
		schedule_wake_source(schedule,
		    OWNER(heap_first(&schedule->resting), schedule_source,
			rest));
	while ((node = heap_first(&schedule->limited)) != NULL &&
	    node->key <= now_ms) {
		schedule_wake_waiters(schedule, OWNER(node, limit, wake),
		    now_ms);
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
		wait_ms = schedule_waiter_wait_ms(limit, now_ms);
		if (wait_ms == 0)
			break;
		heap_put(&schedule->limited, node, now_ms + wait_ms);
	}
	sooner(heap_first(&schedule->limited), &wake_ms);
	sooner(heap_first(&schedule->blocked), &wake_ms);
	sooner(heap_first(&schedule->resting), &wake_ms);
	return wake_ms;
}
