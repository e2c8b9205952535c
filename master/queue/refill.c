/* SPDX-License-Identifier: ISC */
/*
 * From the store into memory: which recipients become part of the active set.
 *
 * A scan walks the sources that wait (a domain's lanes), a few at a time, and
 * takes of each what is due and has room; while there is none, it stays where it
 * is.  What it found but had no room for is remembered with its source, and
 * fetched as room comes free.
 */
#include "master/queue/queue_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/util.h"
#include "master/queue/count.h"
#include "master/queue/era.h"
#include "master/queue/limits.h"
#include "master/queue/pause.h"
#include "master/queue/reason.h"
#include "master/queue/route.h"
#include "master/queue/transient.h"
#include "master/queue/trouble.h"

enum {
	REFILL_HASTEN_MAX = 1000, /* recipients of one commit */
	REFILL_BATCH = 500,       /* recipients of a source at once */
	/* So that the loop is not held up: in one turn of it. */
	REFILL_ROWS_A_TURN = 1000,
	REFILL_SOURCES_A_TURN = 64,
	REFILL_SCAN_PAUSE_MS = 1000,
	REFILL_SCAN_SHARE = 10,     /* scans take a tenth of our time */
	REFILL_SCAN_MAX_MS = 60000, /* looks again, whatever it expects */
	/* Messages that may wait for a destination that was dead and is probed:
	 * where the probe fails, all are deferred once more. */
	REFILL_PROBE_WAITING = 16,
	REFILL_PROBE_PAUSE_MS = 1000,
	REFILL_STOPPED_MS = 60000, /* what is stopped: no time is known */
};

/* What became of a recipient that is due. */
enum refill_place {
	REFILL_PLACED, /* in memory, or settled */
	REFILL_LEFT,   /* in the store: its destination takes nothing now */
	REFILL_FULL,   /* in the store, to be seen again */
};

struct refill_walk {
	struct queue *queue;
	struct schedule_source *source;
	uint32_t room;
	uint32_t placed;
	uint32_t left;
};

static void
refill_log_active(struct queue *q, const struct store_envelope *envelope)
{
	struct event event = { .kind = EVENT_ACTIVE,
		.id = envelope->id,
		.reverse_path = envelope->reverse_path,
		.size = envelope->size,
		.nrcpt = envelope->nrcpts };

	event_tell(q, &event);
}

/* What never gets into memory is of mail all the same: it has been here. */
static void
refill_log_passing(struct queue *q, const struct store_envelope *envelope,
    const struct store_recipient *recipient)
{
	if (recipient->index == 0 && recipient->attempts == 0 &&
	    schedule_find_message(q->schedule, envelope->id) == NULL)
		refill_log_active(q, envelope);
}

/* The reason is that of the destination's last failure. */
static void
refill_settle_blocked(struct queue *q, const struct store_envelope *envelope,
    const struct store_recipient *recipient, struct target *t)
{
	char reply[QUEUE_REPLY_SIZE + 64];
	struct attempt a = settle_attempt(envelope, recipient);

	refill_log_passing(q, envelope, recipient);
	a.relay = t->relay;
	a.reply = reply;
	a.transport = count_transport(q, t);
	a.target = t;
	a.group = t->group;
	a.outcome = t->outcome;
	a.suspended = true;
	a.not_before_ms = target_rest_end_ms(t);
	(void)strlcpy(reply, REASON_SUSPENDED, sizeof(reply));
	(void)strlcat(reply, t->reply, sizeof(reply));
	settle(q, &a);
}

/* It can go nowhere, for ever or for now. */
static void
refill_settle(struct queue *q, const struct store_envelope *envelope,
    const struct store_recipient *recipient, unsigned status, const char *dsn,
    const char *why)
{
	struct attempt a = settle_attempt(envelope, recipient);

	refill_log_passing(q, envelope, recipient);
	a.relay = "";
	a.reply = why;
	settle_outcome(&a.outcome, status, STEP_QUEUE, dsn);
	settle(q, &a);
}

/* That is the configuration's fault, and no message fails for it. */
static void
refill_strand(struct queue *q, const struct store_envelope *envelope,
    const struct store_recipient *recipient)
{
	const char *via = route_via(envelope, recipient);
	const char *domain = recipient->domain;
	char why[ROUTE_WHY_SIZE];

	route_why_not(q, via, domain, why);
	trouble_note(q, via[0] != '\0' ? TROUBLE_TRANSPORT : TROUBLE_ROUTE,
	    via[0] != '\0' ? via : domain, "%s: mail waits", why);
	refill_settle(q, envelope, recipient, OUTCOME_DEFERRED, ROUTE_NONE_DSN,
	    why);
}

/* What comes in may find out that its destination works again; one whose client
 * waits for the answer alone does so only where that takes little time. */
static bool
refill_may_wait(struct queue *q, struct target *t,
    const struct store_envelope *envelope, int64_t now_ms)
{
	return schedule_may_probe(q->schedule, t->destination,
	    transient_is(envelope->id) &&
		!schedule_rests_briefly(t->destination, now_ms),
	    now_ms);
}

/* A recipient that is due finds its destination; a new one of a destination that
 * rests is told why, and deferred. */
static enum refill_place
refill_place(struct queue *q, const struct store_envelope *envelope,
    const struct store_recipient *recipient, struct schedule_source *source,
    bool is_new)
{
	int64_t now_ms = time_monotonic_ms();
	const struct queue_transport *transport;
	const char *via = route_via(envelope, recipient);
	const char *next_hop;
	const char *dsn, *why;
	enum security security;
	struct target *t;
	uint32_t index;
	bool first;

	transport =
	    route_transport(q, via, recipient->domain, &next_hop, &index);
	if (transport == NULL) {
		refill_strand(q, envelope, recipient);
		return REFILL_PLACED;
	}
	security = security_of(transport->config, envelope->flags,
	    envelope->reverse_path);
	why = security_refuse(transport->config, security, true, &dsn);
	if (why != NULL) {
		refill_settle(q, envelope, recipient, OUTCOME_FAILED, dsn, why);
		return REFILL_PLACED;
	}
	t = target_of(q, index, next_hop, security,
	    limits_variant(q, route_of(q, via, recipient->domain)));
	if (t != NULL && t->loops && (envelope->flags & SUBMIT_NOTICE) != 0)
		t = target_home(q, t);
	if (t == NULL) {
		q->scan_again = true; /* no memory now */
		return REFILL_FULL;
	}
	/* An operator wants it to stay in the store. */
	if (t->destination->stopped) {
		schedule_leave(q->schedule, source, now_ms + REFILL_STOPPED_MS);
		return REFILL_LEFT;
	}
	if (schedule_is_resting(t->destination, now_ms)) {
		if (!is_new) {
			schedule_leave(q->schedule, source,
			    t->destination->blocked_until_ms);
			return REFILL_LEFT;
		}
		if (!refill_may_wait(q, t, envelope, now_ms)) {
			refill_settle_blocked(q, envelope, recipient, t);
			return REFILL_PLACED;
		}
	} else if (t->destination->failures > 0 &&
	    t->destination->waiting >= REFILL_PROBE_WAITING) {
		schedule_leave(q->schedule, source,
		    now_ms + REFILL_PROBE_PAUSE_MS);
		return REFILL_LEFT;
	}
	first = schedule_find_message(q->schedule, envelope->id) == NULL;
	if (schedule_add(q->schedule, t->destination, envelope, recipient,
		time_real_ms()) == -1) {
		if (errno == EEXIST)
			return REFILL_PLACED;
		q->scan_again = true;
		return REFILL_FULL;
	}
	if (first)
		refill_log_active(q, envelope);
	return REFILL_PLACED;
}

/* Its time may be before that of rows that were read before its commit. */
static void
refill_look_back(struct store_cursor *cursor,
    const struct store_recipient *recipient)
{
	if (recipient->next_attempt_ms > cursor->next_attempt_ms)
		return;
	cursor->next_attempt_ms = recipient->next_attempt_ms;
	cursor->message = recipient->message - 1;
	cursor->index = UINT32_MAX;
}

/* It waits in the store, behind the others of its source. */
static void
refill_leave(struct queue *q, struct schedule_source *source,
    const struct store_recipient *recipient)
{
	refill_look_back(&source->cursor, recipient);
	schedule_set_more(q->schedule, source, true);
}

void
refill_new(struct queue *q, const struct store_envelope *envelope,
    const struct store_recipient *recipient)
{
	int64_t now_ms = time_monotonic_ms();
	struct schedule_source *source;

	if (!era_schedules(q)) {
		/* The other generation's; or our client waits for it. */
		if (era_is_ours(q, envelope->id))
			refill_unstored(q, envelope, recipient);
		return;
	}
	source =
	    schedule_source(q->schedule, recipient->domain, recipient->lane);
	if (source == NULL) {
		q->scan_again = true;
		return;
	}
	/* Behind rows that are only left there it need not wait. */
	if ((source->has_more && source->left == 0) ||
	    (source->rests_until_ms <= now_ms &&
		schedule_room(q->schedule, recipient->domain, recipient->lane,
		    true, now_ms) == 0)) {
		refill_leave(q, source, recipient);
		return;
	}
	/*
	 * The cursor stays: between it and this one a deferred recipient may
	 * come due.  That both are seen again costs less than to miss it.
	 */
	if (refill_place(q, envelope, recipient, source, true) != REFILL_PLACED)
		refill_leave(q, source, recipient);
}

void
refill_unstored(struct queue *q, const struct store_envelope *envelope,
    const struct store_recipient *recipient)
{
	struct schedule_source *source;

	source =
	    schedule_source(q->schedule, recipient->domain, recipient->lane);
	if (source != NULL && schedule_has_places(q->schedule))
		(void)refill_place(q, envelope, recipient, source, true);
}

static int
refill_row(const struct store_envelope *envelope,
    const struct store_recipient *recipient, void *arg)
{
	struct refill_walk *walk = arg;

	if (schedule_is_loaded(walk->queue->schedule, envelope->id,
		recipient->index))
		return 0;
	if (!era_is_ours(walk->queue, envelope->id))
		return 0;
	if (walk->placed == walk->room)
		return 1;
	switch (refill_place(walk->queue, envelope, recipient, walk->source,
	    false)) {
	case REFILL_PLACED:
		walk->placed++;
		return 0;
	case REFILL_LEFT:
		walk->left++;
		return 0;
	case REFILL_FULL:
		break;
	}
	return 1;
}

/* Whether the store says what we know: a recipient whose outcome is on its way
 * to the disk looks there as if it were due, and would be tried once more. */
bool
refill_is_current(struct queue *q)
{
	return group_settle(q); /* else the store fails, and we wait */
}

/* Fetches of a source what is due and has room, at most so many. */
static uint32_t
refill_source(struct queue *q, struct schedule_source *source, uint32_t most)
{
	struct refill_walk walk = { .queue = q, .source = source };
	const char *domain = source->domain->name;
	uint32_t n;
	int ret;

	if (!refill_is_current(q)) {
		refill_later(q, time_real_ms() + QUEUE_RETRY_MS);
		return 0;
	}
	walk.room = schedule_room(q->schedule, domain, source->lane, false,
	    time_monotonic_ms());
	if (walk.room == 0) {
		schedule_set_more(q->schedule, source, true);
		return 0;
	}
	schedule_look_begins(q->schedule, source);
	ret = store_load_due(q->store, domain, source->lane, &source->cursor,
	    time_real_ms(), most, refill_row, &walk, &n);
	if (ret == -1) {
		log_line(LOG_ERROR, "reading the queue: %s",
		    store_error(q->store));
		refill_later(q, time_real_ms() + QUEUE_RETRY_MS);
		return 0;
	}
	schedule_look_ends(q->schedule, source, walk.left, ret == 0 && n < most,
	    time_monotonic_ms());
	if (walk.placed > 0) {
		schedule_sources_changed(q->schedule);
		queue_pump_soon(q);
	}
	return n;
}

/* Whether fetching more of a source is worth a question. */
static bool
refill_is_worth(const struct queue *q, const struct schedule_source *source)
{
	uint32_t room;

	room = schedule_room(q->schedule, source->domain->name, source->lane,
	    false, time_monotonic_ms());
	return room > 0 &&
	    (source->loaded < REFILL_BATCH / 4 || room >= REFILL_BATCH / 4);
}

static void
refill_known(struct queue *q)
{
	struct schedule_source *source;
	uint32_t rows = 0;
	int i;

	for (i = 0; i < REFILL_SOURCES_A_TURN && rows < REFILL_ROWS_A_TURN &&
	     schedule_is_hungry(q->schedule) && (i == 0 || group_is_short(q));
	     i++) {
		source = schedule_next_source(q->schedule);
		if (source == NULL)
			return;
		if (refill_is_worth(q, source))
			rows += refill_source(q, source, REFILL_BATCH);
	}
}

static void
refill_begin_scan(struct queue *q)
{
	q->scanning = true;
	q->scan_started = false;
	q->scan_again = false;
	q->scan_work_ms = 0;
	q->scan_min_ms = time_real_ms() + REFILL_SCAN_MAX_MS;
	q->scan_wake_ms = INT64_MAX;
}

static void
refill_end_scan(struct queue *q)
{
	q->scanning = false;
	q->scan_last_ms = time_monotonic_ms();
	refill_later(q, q->scan_min_ms);
}

struct hastening {
	struct change change;
	int64_t now_ms;
	uint32_t lane;
	char domain[sizeof(((struct queue *)NULL)->scan_domain)];
};

static int
hastening_apply(struct queue *q, struct change *c)
{
	const struct hastening *h = (const struct hastening *)c;

	return store_hasten(q->store, h->domain, h->lane,
	    h->now_ms + route_longest_wait_ms(q), h->now_ms, REFILL_HASTEN_MAX);
}

static void
hastening_committed(struct queue *q, struct change *c)
{
	refill_clock_set(q);
	free(c);
}

static void
hastening_clear(struct change *c)
{
	free(c);
}

static const struct change_ops hastening_ops = {
	.apply = hastening_apply,
	.committed = hastening_committed,
	.clear = hastening_clear,
};

/*
 * Nobody waits longer than the longest wait of the configuration: who would,
 * was told to by a clock that was ahead, and is due now.
 */
static void
refill_hasten(struct queue *q, int64_t now_ms)
{
	struct hastening *h = calloc(1, sizeof(*h));

	if (h == NULL)
		return; /* the next scan */
	h->change.ops = &hastening_ops;
	memcpy(h->domain, q->scan_domain, sizeof(h->domain));
	h->lane = q->scan_lane;
	h->now_ms = now_ms;
	group_add(q, &h->change);
}

static bool
refill_is_odd(const struct queue *q, int64_t due_ms, int64_t now_ms)
{
	return due_ms - now_ms > route_longest_wait_ms(q) + REFILL_SCAN_MAX_MS;
}

/* What of a source is due now, and when the scan has to come again for it. */
static uint32_t
refill_scan_source(struct queue *q, int64_t earliest_ms)
{
	int64_t now_ms = time_real_ms();
	struct schedule_source *source;
	uint32_t rows = 0;

	if (earliest_ms <= now_ms) {
		source =
		    schedule_source(q->schedule, q->scan_domain, q->scan_lane);
		if (source == NULL)
			q->scan_again = true; /* too many have more */
		else if (!source->has_more)
			rows = refill_source(q, source, REFILL_BATCH);
		if (store_next_due(q->store, q->scan_domain, q->scan_lane,
			now_ms, &earliest_ms) != 1)
			return rows;
	}
	if (refill_is_odd(q, earliest_ms, now_ms))
		refill_hasten(q, now_ms);
	if (earliest_ms < q->scan_min_ms)
		q->scan_min_ms = earliest_ms;
	return rows;
}

static void
refill_scan(struct queue *q)
{
	int64_t begun_ms = time_monotonic_ms();
	int64_t earliest_ms;
	uint32_t rows = 0;
	int more = 1;
	int i;

	for (i = 0; i < REFILL_SOURCES_A_TURN && rows < REFILL_ROWS_A_TURN &&
	     schedule_is_hungry(q->schedule) && (i == 0 || group_is_short(q));
	     i++) {
		more = store_next_source(q->store,
		    q->scan_started ? q->scan_domain : NULL, q->scan_lane,
		    q->scan_domain, &q->scan_lane, &earliest_ms);
		if (more != 1)
			break;
		q->scan_started = true;
		rows += refill_scan_source(q, earliest_ms);
	}
	q->scan_work_ms += time_monotonic_ms() - begun_ms;
	if (more != 1)
		refill_end_scan(q);
}

void
refill_clock_set(struct queue *q)
{
	q->scan_again = true;
	queue_pump_soon(q);
}

void
refill_later(struct queue *q, int64_t due_ms)
{
	if (due_ms < q->scan_wake_ms)
		q->scan_wake_ms = due_ms;
}

static int64_t
refill_scan_wait_ms(const struct queue *q)
{
	int64_t wait_ms;
	int64_t pause_ms = q->scan_work_ms * REFILL_SCAN_SHARE;

	if (pause_ms < REFILL_SCAN_PAUSE_MS)
		pause_ms = REFILL_SCAN_PAUSE_MS;
	if (pause_ms > REFILL_SCAN_MAX_MS)
		pause_ms = REFILL_SCAN_MAX_MS;
	wait_ms = q->scan_again ? 0 : q->scan_wake_ms - time_real_ms();
	pause_ms += q->scan_last_ms - time_monotonic_ms();
	return wait_ms > pause_ms ? wait_ms : pause_ms;
}

/* What waits while memory is full waits for an outcome, not for a time. */
int64_t
refill_wait_ms(const struct queue *q)
{
	int64_t wait_ms;

	if (!era_schedules(q))
		return INT64_MAX;
	if (schedule_is_hungry(q->schedule) &&
	    (q->scanning || schedule_has_source(q->schedule)))
		return group_is_short(q) ? 0 : REFILL_SCAN_PAUSE_MS;
	if (q->scanning)
		return INT64_MAX;
	wait_ms = refill_scan_wait_ms(q);
	return wait_ms > 0 ? wait_ms : 0;
}

void
refill_run(struct queue *q)
{
	if (q->draining || !era_schedules(q))
		return;
	/* The store does not say yet what we know; each commit comes here.  But
	 * under a load that has no end the others have their turn too. */
	if (!group_is_short(q) &&
	    time_monotonic_ms() < q->refilled_ms + REFILL_SCAN_PAUSE_MS)
		return;
	q->refilled_ms = time_monotonic_ms();
	/* Known sources and unknown ones are first by turns. */
	q->scan_first = !q->scan_first;
	if (!q->scan_first)
		refill_known(q);
	if (!q->scanning && refill_scan_wait_ms(q) <= 0) {
		/* A scan must see every deferral that it is to remember. */
		if (refill_is_current(q))
			refill_begin_scan(q);
		else /* not again at once */
			q->scan_last_ms = time_monotonic_ms();
	}
	if (q->scanning)
		refill_scan(q);
	if (q->scan_first)
		refill_known(q);
}
