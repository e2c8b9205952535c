/* SPDX-License-Identifier: ISC */
/* See era.h. */
#include "master/queue/era.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "common/log.h"
#include "common/util.h"
#include "master/queue/configure.h"
#include "master/queue/notice.h"
#include "master/queue/outlet.h"
#include "master/queue/queue_internal.h"
#include "master/queue/staging.h"
#include "master/queue/transient.h"

enum {
	ERA_TURN_MS = 200,
	ERA_SCAN_MS = 1000, /* the other adds rows, and tells nobody */
	ERA_WAITERS_A_TURN = 500,
	ERA_ROWS_MAX = 20000, /* recovered in one commit */
};

static void
era_arm(struct queue *q)
{
	struct timeval tv = { .tv_usec = ERA_TURN_MS * 1000 };

	(void)evtimer_add(q->era_timer, &tv); /* the sweep arms it again */
}

static void
era_tell(struct queue *q, enum era era, bool failed)
{
	struct msg_era done = { .era = era, .failed = failed };

	if (failed)
		log_line(LOG_ERROR, "the queue's store: %s (%s)",
		    strerror(errno), store_error(q->store));
	if (q->role.parent != NULL)
		(void)channel_send(q->role.parent, MSG_ERA_DONE, &done, NULL, 0,
		    -1);
}

bool
era_schedules(const struct queue *q)
{
	return q->era != ERA_BESIDE && q->era != ERA_LEAVING;
}

bool
era_keeps(const struct queue *q)
{
	return q->era == ERA_LEAVING;
}

/* What cannot be found out is left to the other. */
bool
era_is_ours(struct queue *q, uint64_t id)
{
	if (transient_is(id))
		return true;
	switch ((enum era)q->era) {
	case ERA_ALONE:
	case ERA_SHARED:
		return true;
	case ERA_LEAVING:
		return report_is_waited(q, id);
	case ERA_HEIR:
		return store_is_kept(q->store, id) == 0;
	case ERA_BESIDE:
		break;
	}
	return false;
}

/* The old one's end: what its clients wait for. */

static int
era_write_kept(struct queue *q)
{
	const struct waiter *w;

	if (store_begin(q->store) == -1)
		return -1;
	TAILQ_FOREACH(w, &q->waiters, entry)
		if (store_keep(q->store, w->id) == -1) {
			store_rollback(q->store);
			return -1;
		}
	return store_commit(q->store);
}

/* All that is known is on disk, and nothing more is begun that the new one may
 * begin as well.  Until then it has nothing. */
static void
era_leave(struct queue *q)
{
	if (!refill_is_current(q) || era_write_kept(q) == -1)
		return; /* the next turn */
	q->era_told = true;
	era_tell(q, ERA_LEAVING, false);
}

static int
era_row(const struct store_envelope *envelope,
    const struct store_recipient *recipient, void *arg)
{
	struct queue *q = arg;

	if (recipient->next_attempt_ms == 0 ||
	    recipient->next_attempt_ms > time_real_ms() ||
	    schedule_is_loaded(q->schedule, envelope->id, recipient->index))
		return 0;
	refill_new(q, envelope, recipient);
	return 0;
}

/* What is due of a message comes into memory, whatever else waits. */
static void
era_load(struct queue *q, const struct waiter *w)
{
	struct store_cursor cursor = { 0 };
	struct store_filter filter = { .message = w->id };

	if (store_list(q->store, &cursor, &filter, w->nrcpts, era_row, q) == -1)
		log_line(LOG_ERROR, "reading the queue: %s",
		    store_error(q->store));
}

/* Some of them a turn, and at the next one those behind. */
static void
era_load_some(struct queue *q)
{
	struct waiter *w, *next;
	int i;

	if (!refill_is_current(q))
		return;
	w = TAILQ_FIRST(&q->waiters);
	for (i = 0; i < ERA_WAITERS_A_TURN && w != NULL; i++, w = next) {
		next = TAILQ_NEXT(w, entry);
		era_load(q, w);
		TAILQ_REMOVE(&q->waiters, w, entry);
		TAILQ_INSERT_TAIL(&q->waiters, w, entry);
		if (next == NULL)
			break;
	}
	queue_pump_soon(q);
}

void
era_end_if_done(struct queue *q)
{
	if (q->era != ERA_LEAVING || !q->era_told || q->nsessions > 0 ||
	    q->intake != NULL || q->control != NULL || q->nchanges > 0)
		return;
	log_line(LOG_INFO, "all that this generation had in hand is done");
	role_stop(&q->role);
}

/* The new one's: what the old one had, once it has gone. */

static int
era_foreign_row(const struct store_envelope *envelope,
    const struct store_recipient *recipient, void *arg)
{
	struct queue *q = arg;
	char to[LOG_LINE_MAX];

	if (schedule_is_loaded(q->schedule, envelope->id, recipient->index))
		return 0; /* our own sessions have it */
	(void)log_escape(to, sizeof(to), recipient->address,
	    strlen(recipient->address));
	log_line(LOG_WARN,
	    "%" PRIX64 ": to=<%s> was being sent when the other generation "
	    "ended: perhaps delivered; it is sent again",
	    envelope->id, to);
	return store_recover_one(q->store, envelope->id, recipient->index,
	    time_real_ms());
}

static int
era_recover(struct queue *q)
{
	if (store_begin(q->store) == -1)
		return -1;
	if (store_load_active(q->store, ERA_ROWS_MAX, era_foreign_row, q) ==
		-1 ||
	    store_keep_none(q->store) == -1) {
		store_rollback(q->store);
		return -1;
	}
	return store_commit(q->store);
}

/* Nobody else has the store: all of it is ours again. */
static void
era_become_alone(struct queue *q)
{
	int alone;

	if (!refill_is_current(q))
		return; /* an outcome of ours looks active there */
	alone = store_is_shared(q->store) ? store_alone(q->store) : 1;
	if (alone == 0)
		return;
	if (alone == -1 || era_recover(q) == -1) {
		log_line(LOG_ERROR, "the queue's store: %s (%s)",
		    strerror(errno), store_error(q->store));
		return;
	}
	q->era = ERA_ALONE;
	q->era_wants_alone = false;
	schedule_rewind(q->schedule); /* what was passed over */
	refill_clock_set(q);
	staging_recover(q);
	notices_wake(q);
	outlet_recount(q); /* the other told some of the same rows */
	log_line(LOG_INFO, "the queue is this generation's alone");
	era_tell(q, ERA_ALONE, false);
}

static void
era_turn(evutil_socket_t fd, short what, void *arg)
{
	struct queue *q = arg;
	int64_t now_ms = time_monotonic_ms();

	(void)fd;
	(void)what;
	if (q->draining)
		return;
	if (q->era_wants_alone)
		era_become_alone(q);
	if (q->era == ERA_LEAVING && !q->era_told)
		era_leave(q);
	if (now_ms >= q->era_scanned_ms + ERA_SCAN_MS) {
		q->era_scanned_ms = now_ms;
		if (q->era == ERA_HEIR) {
			refill_clock_set(q);
			notices_wake(q);
		} else if (q->era == ERA_LEAVING) {
			era_load_some(q);
		}
	}
	if (q->era != ERA_ALONE)
		era_arm(q);
	era_end_if_done(q);
}

static void
era_begin_leaving(struct queue *q)
{
	q->era = ERA_LEAVING;
	q->era_told = false;
	session_quit_all(q);
	configure_unload(q);
	era_leave(q);
	era_load_some(q);
}

void
era_take(void *ctx, struct channel *from, const struct message *m)
{
	const struct msg_era *msg = m->payload;
	struct queue *q = ctx;

	(void)from;
	switch ((enum era)msg->era) {
	case ERA_SHARED:
		if (store_share(q->store) == -1) {
			era_tell(q, ERA_SHARED, true);
			return;
		}
		q->era = ERA_SHARED;
		era_tell(q, ERA_SHARED, false);
		break;
	case ERA_LEAVING:
		era_begin_leaving(q);
		break;
	case ERA_HEIR:
		q->era = ERA_HEIR;
		refill_clock_set(q);
		notices_wake(q);
		break;
	case ERA_ALONE:
		q->era_wants_alone = true;
		break;
	case ERA_BESIDE:
		return; /* that is how one starts */
	}
	era_turn(-1, 0, q);
}

int
era_init(struct queue *q)
{
	q->era_timer = evtimer_new(q->role.base, era_turn, q);
	return q->era_timer != NULL ? 0 : -1;
}

void
era_clear(struct queue *q)
{
	event_free(q->era_timer);
}
