/* SPDX-License-Identifier: ISC */
/*
 * What one recipient gets of an action.
 *
 * One that waits in memory is taken out first: what changes on disk is loaded
 * anew.  A recipient that a session has in hand is taken back from it where
 * nothing of it was sent; else it is left alone until its attempt is over, and then
 * deleted or expired, where that was wanted.
 */
#include "master/queue/action.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "common/util.h"
#include "master/queue/era.h"
#include "master/queue/lift.h"
#include "master/queue/queue_internal.h"
#include "master/queue/reason.h"
#include "master/queue/route.h"
#include "master/queue/summary.h"

static const struct action_kind {
	const char *name;
	const char *past; /* in the log, for each; NULL: not told */
	uint32_t states;  /* that it is for */
	bool must_load;   /* somebody may be due behind it */
} kinds[ACT_VERBS] = {
	[ACT_LIST] = { "list", NULL, 0, false },
	[ACT_HOLD] = { "hold", "held", 1 << STORE_QUEUED | 1 << STORE_DEFERRED,
	    false },
	[ACT_RELEASE] = { "release", "released", 1 << STORE_HELD, true },
	[ACT_RETRY] = { "retry", NULL, 1 << STORE_QUEUED | 1 << STORE_DEFERRED,
	    true },
	[ACT_DELETE] = { "delete", "deleted",
	    1 << STORE_QUEUED | 1 << STORE_DEFERRED | 1 << STORE_HELD |
		1 << STORE_FAILED,
	    false },
	[ACT_EXPIRE] = { "expire", NULL,
	    1 << STORE_QUEUED | 1 << STORE_DEFERRED | 1 << STORE_HELD, false },
	[ACT_MOVE] = { "move", "moved",
	    1 << STORE_QUEUED | 1 << STORE_DEFERRED | 1 << STORE_HELD, true },
	[ACT_SUMMARY] = { "summary", NULL, 0, false },
};

const char *
action_name(enum act_verb verb)
{
	return kinds[verb].name;
}

void
action_way(struct queue *q, const struct store_envelope *envelope,
    const struct store_recipient *recipient, struct selector_way *way)
{
	const struct queue_transport *transport;
	const char *next_hop;
	uint32_t index;

	way->domain = recipient->domain;
	way->transport = way->server = "";
	transport = route_transport(q, route_via(envelope, recipient),
	    recipient->domain, &next_hop, &index);
	if (transport == NULL)
		return;
	way->transport = transport->name;
	way->server = transport->config->server;
}

/* The recipient fails as if its lifetime were over (RFC 3463, 3.5: X.4.7). */
static void
action_expire(struct action *a, const struct store_envelope *envelope,
    const struct store_recipient *recipient)
{
	char last[QUEUE_REPLY_SIZE], reply[QUEUE_REPLY_SIZE + 64];
	unsigned step;
	struct attempt attempt = settle_attempt(envelope, recipient);

	step = reason_take(last, sizeof(last), (unsigned)recipient->code,
	    recipient->reply);
	(void)snprintf(reply, sizeof(reply), REASON_OPERATOR "%s",
	    last[0] != '\0' ? last : "no attempt was made");
	attempt.reply = reply;
	attempt.expired = true;
	settle_outcome(&attempt.outcome, OUTCOME_FAILED,
	    reason_step(recipient->step, step), "5.4.7");
	attempt.outcome.code = (uint16_t)recipient->code;
	settle(a->queue, &attempt);
}

/* Whoever waits for the destination need not do so any more. */
static void
action_lift(struct action *a, const struct store_envelope *envelope,
    const struct store_recipient *recipient)
{
	const char *via = route_via(envelope, recipient);

	if (via[0] == '\0' && a->lifted[0] != '\0' &&
	    strcmp(a->lifted, recipient->domain) == 0)
		return;
	(void)strlcpy(a->lifted, via[0] == '\0' ? recipient->domain : "",
	    sizeof(a->lifted));
	lift_recipient(a->queue, via, recipient->domain);
}

static void
action_add_row(struct action *a, const struct store_envelope *envelope,
    const struct store_recipient *recipient)
{
	struct action_row *row = &a->rows[a->len++];

	memset(row, 0, offsetof(struct action_row, address));
	row->id = envelope->id;
	row->index = recipient->index;
	row->state = recipient->state;
	/* What is released together is due together. */
	row->next_attempt_ms =
	    a->len > 1 ? a->rows[0].next_attempt_ms : time_real_ms();
	(void)strlcpy(row->address, recipient->address, sizeof(row->address));
}

void
action_add_wish(struct action *a, const struct schedule_recipient *r)
{
	struct action_row *row = &a->rows[a->len++];

	memset(row, 0, offsetof(struct action_row, address));
	row->id = r->message->id;
	row->index = r->index;
	row->state = STORE_DEFERRED;
	(void)strlcpy(row->address, r->address, sizeof(row->address));
}

void
action_fail(struct attempt *attempt, char *reply, size_t size)
{
	unsigned step = attempt->outcome.step;
	uint16_t code = attempt->outcome.code;
	uint8_t in_doubt = attempt->outcome.in_doubt;

	(void)snprintf(reply, size, REASON_OPERATOR "%s",
	    attempt->reply[0] != '\0' ? attempt->reply : "no attempt was made");
	attempt->reply = reply;
	attempt->expired = true;
	settle_outcome(&attempt->outcome, OUTCOME_FAILED, step, "5.4.7");
	attempt->outcome.code = code;
	attempt->outcome.in_doubt = in_doubt;
}

/* To one that a session has, once the session gave it back. */
static void
action_wish(struct action *a, const struct store_recipient *recipient)
{
	if (!a->dry && (a->verb == ACT_DELETE || a->verb == ACT_EXPIRE))
		schedule_wish(a->queue->schedule, recipient->message,
		    recipient->index, (uint8_t)a->verb, a->uid);
}

/* Whether it may be done now to one that a session has. */
static bool
action_reaches(struct action *a, const struct store_recipient *recipient)
{
	if (a->dry || (a->verb != ACT_DELETE && a->verb != ACT_EXPIRE))
		return false;
	if (transaction_take_back(a->queue, recipient->message,
		recipient->index))
		return true;
	action_wish(a, recipient);
	return false;
}

static void
action_do(struct action *a, const struct store_envelope *envelope,
    const struct store_recipient *recipient)
{
	bool is_due = recipient->state != STORE_HELD &&
	    recipient->next_attempt_ms <= time_real_ms();

	if (a->verb == ACT_RETRY) {
		action_lift(a, envelope, recipient);
		/* In memory, or soon to be. */
		if (is_due) {
			a->done++;
			a->queue->scan_again = true;
			return;
		}
	}
	if (!schedule_withdraw(a->queue->schedule, envelope->id,
		recipient->index)) {
		action_wish(a, recipient);
		a->busy++;
		return;
	}
	action_add_row(a, envelope, recipient);
	if (a->verb == ACT_EXPIRE) {
		action_expire(a, envelope, recipient);
		a->rows[a->len - 1].settled = true;
	}
}

int
action_take(struct action *a, const struct store_envelope *envelope,
    const struct store_recipient *recipient)
{
	if (a->verb == ACT_LIST) {
		if (a->shown == a->limit) {
			a->at_end = a->more = true;
			return 1;
		}
		a->shown++;
		return report_row(a->queue, a->request, envelope, recipient);
	}
	if (a->verb == ACT_SUMMARY) {
		summary_take(a, envelope, recipient);
		return 0;
	}
	if (!era_is_ours(a->queue, envelope->id) ||
	    (recipient->state == STORE_ACTIVE &&
		!action_reaches(a, recipient))) {
		a->busy++;
		return 0;
	}
	if (recipient->state != STORE_ACTIVE &&
	    (kinds[a->verb].states >> recipient->state & 1) == 0)
		return 0;
	if (!a->dry) {
		action_do(a, envelope, recipient);
		return 0;
	}
	a->done++;
	if (a->shown == a->limit)
		return 0;
	a->shown++;
	return report_row(a->queue, a->request, envelope, recipient);
}

static int
action_write_row(struct queue *q, const struct action *a,
    struct action_row *row)
{
	struct store_outcome gone = { .message = row->id,
		.index = row->index,
		.state = STORE_DELIVERED };
	struct store_change change = { .message = row->id,
		.index = row->index,
		.state = STORE_QUEUED,
		.next_attempt_ms = row->next_attempt_ms };

	if (row->settled)
		return 0;
	if (a->verb == ACT_DELETE)
		return store_set_outcome(q->store, &gone, &row->removed);
	if (a->verb == ACT_HOLD ||
	    (a->verb == ACT_MOVE && row->state == STORE_HELD))
		change.state = STORE_HELD;
	if (a->verb == ACT_MOVE)
		change.via = a->selector->to;
	return store_change(q->store, &change);
}

int
action_write_rows(struct queue *q, struct action *a)
{
	uint32_t i;

	for (i = 0; i < a->len; i++) {
		a->rows[i].failed = false;
		if (action_write_row(q, a, &a->rows[i]) == 0)
			continue;
		if (errno != ENOENT)
			return -1;
		a->rows[i].failed = true;
	}
	return 0;
}

static int
action_load_row(const struct store_envelope *envelope,
    const struct store_recipient *recipient, void *arg)
{
	refill_new(arg, envelope, recipient);
	return 0;
}

/*
 * What was moved need not wait behind others of its domain, which may be blocked
 * for what it was moved away from: where there is room it comes into memory.
 */
static void
action_load(struct queue *q, const struct action_row *row)
{
	struct store_cursor cursor = { .message = row->index > 0 ? row->id : 0,
		.index = row->index > 0 ? row->index - 1 : 0 };
	struct store_filter filter = { .message = row->id };

	if (row->state == STORE_HELD ||
	    schedule_active(q->schedule) >= q->limits.active_recipients)
		return;
	(void)store_list(q->store, &cursor, &filter, 1, action_load_row, q);
}

void
action_tell_rows(struct queue *q, struct action *a)
{
	struct event event = { .kind = EVENT_CHANGED,
		.change = kinds[a->verb].past,
		.uid = a->uid };
	struct event removed = { .kind = EVENT_REMOVED };
	uint32_t i;

	for (i = 0; i < a->len; i++) {
		if (a->rows[i].failed)
			continue;
		a->done++;
		event.id = removed.id = a->rows[i].id;
		event.recipient = a->rows[i].address;
		if (event.change != NULL)
			event_tell(q, &event);
		if (a->verb == ACT_DELETE)
			report_deleted(q, a->rows[i].id, a->rows[i].index,
			    a->rows[i].address);
		if (a->rows[i].removed)
			event_tell(q, &removed);
		if (a->verb == ACT_MOVE)
			action_load(q, &a->rows[i]);
	}
	if (a->len > 0 && kinds[a->verb].must_load)
		q->scan_again = true;
	if (a->len > 0)
		queue_pump_soon(q);
}
