/* SPDX-License-Identifier: ISC */
/*
 * What an outcome means for a recipient: when it is tried again, or whether
 * its time is over.
 */
#include "master/queue/queue_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/parameters.h"
#include "common/util.h"
#include "master/queue/clock.h"
#include "master/queue/notice.h"
#include "master/queue/outcome_change.h"
#include "master/queue/reason.h"
#include "master/queue/route.h"
#include "master/queue/transient.h"

enum {
	SETTLE_JOIN_MS = 1000,
};

void
settle_outcome(struct outcome *outcome, unsigned status, unsigned step,
    const char *dsn)
{
	memset(outcome, 0, sizeof(*outcome));
	outcome->status = (uint8_t)status;
	outcome->step = (uint8_t)step;
	(void)strlcpy(outcome->dsn, dsn, sizeof(outcome->dsn));
}

struct attempt
settle_attempt(const struct store_envelope *envelope,
    const struct store_recipient *recipient)
{
	return (struct attempt){ .id = envelope->id,
		.index = recipient->index,
		.flags = envelope->flags,
		.created_ms = envelope->created_ms,
		.attempts = recipient->attempts,
		.was_in_doubt = recipient->in_doubt,
		.parameters = envelope->parameters,
		.via = route_via(envelope, recipient),
		.reverse_path = envelope->reverse_path,
		.rcpt_parameters = recipient->parameters,
		.warned = recipient->warned,
		.recipient = recipient->address,
		.relay = recipient->relay,
		.reply = recipient->reply };
}

bool
settle_is_over(const struct queue *q, const struct attempt *a, int64_t now_ms)
{
	int64_t lifetime_ms = a->reverse_path[0] != '\0'
	    ? route_lifetime_ms(q, a->via, a->recipient)
	    : (int64_t)q->config->bounce_queue_lifetime * 1000;

	return clock_age_ms(&q->clock, a->created_ms, now_ms) >= lifetime_ms ||
	    now_ms >= parameters_deadline_ms(a->parameters, a->created_ms);
}

/*
 * Nothing is returned for its age before it was tried after its last wait.  Where
 * its destination is dead and another message's turn it was to find that out,
 * one that was tried before may go, and any other after as long again as the
 * longest wait: of many, not each can have an attempt of its own.
 */
static bool
settle_had_its_chance(const struct queue *q, const struct attempt *a,
    int64_t now_ms)
{
	if (a->begun || a->tried ||
	    now_ms >= parameters_deadline_ms(a->parameters, a->created_ms))
		return true;
	if (!a->waited)
		return false;
	return a->attempts > 0 ||
	    settle_is_over(q, a, now_ms - q->limits.maximal_backoff_ms);
}

/* RFC 3463, 3.5: X.4.7, delivery time expired.  Whether it is. */
static bool
settle_lifetime(struct queue *q, const struct attempt *a, int64_t now_ms,
    struct outcome *outcome, char *reply, size_t size)
{
	(void)strlcpy(reply, a->reply, size);
	if (outcome->status != OUTCOME_DEFERRED ||
	    (a->flags & SUBMIT_ONCE) != 0)
		return false;
	queue_watch_clock(q);
	if (!settle_is_over(q, a, now_ms) ||
	    !settle_had_its_chance(q, a, now_ms))
		return false;
	outcome->status = OUTCOME_FAILED;
	(void)strlcpy(outcome->dsn, "5.4.7", sizeof(outcome->dsn));
	(void)snprintf(reply, size, REASON_EXPIRED "%s", a->reply);
	return true;
}

/*
 * Recipients of one message that were tried together are due together, though
 * their replies came one by one, or in two transactions: those that are settled
 * a little later, by an eighth of the wait or a second, join the first.
 */
static int64_t
settle_join(struct queue *q, const struct attempt *a, int64_t next_ms,
    int64_t now_ms)
{
	struct schedule_message *m = schedule_find_message(q->schedule, a->id);
	int64_t later_ms;

	if (m == NULL)
		return next_ms;
	later_ms = (next_ms - now_ms) / 8;
	if (later_ms < SETTLE_JOIN_MS)
		later_ms = SETTLE_JOIN_MS;
	if (m->due_attempts == a->attempts && m->due_ms > now_ms &&
	    m->due_ms >= a->not_before_ms && next_ms >= m->due_ms &&
	    next_ms - m->due_ms <= later_ms)
		return m->due_ms;
	m->due_attempts = a->attempts;
	m->due_ms = next_ms;
	return next_ms;
}

static int64_t
settle_next_ms(struct queue *q, const struct attempt *a, int64_t now_ms)
{
	int64_t wait_ms;
	int64_t next_ms;

	if (a->suspended)
		wait_ms = a->not_before_ms > now_ms ? 0 : QUEUE_RETRY_MS;
	else
		wait_ms = route_retry_ms(q, a->id, a->via, a->recipient,
		    a->attempts, a->brief);
	next_ms = now_ms + wait_ms;
	if (next_ms > a->not_before_ms)
		return next_ms;
	/* Who has been tried comes after those who only waited. */
	return a->suspended ? a->not_before_ms : a->not_before_ms + 1;
}

static void
settle_plan(struct queue *q, const struct attempt *a,
    const struct outcome *outcome, int64_t by_ms, int64_t now_ms,
    struct outcome_change *change)
{
	struct store_outcome *to = &change->outcome;

	change->final = true;
	to->message = a->id;
	to->index = a->index;
	to->begun = a->begun || a->tried;
	to->in_doubt = outcome->in_doubt != 0;
	to->code = outcome->code;
	to->step = outcome->step;
	to->finished_ms = now_ms;
	if (outcome->status == OUTCOME_DELIVERED ||
	    (a->flags & SUBMIT_ONCE) != 0) {
		to->state = STORE_DELIVERED;
	} else if (outcome->status == OUTCOME_FAILED) {
		to->state = STORE_FAILED;
	} else {
		change->final = false;
		to->state = STORE_DEFERRED;
		to->next_attempt_ms =
		    settle_join(q, a, settle_next_ms(q, a, now_ms), now_ms);
		/* A sender who set a time is not told late (RFC 2852, 4.1.3). */
		if (to->next_attempt_ms > by_ms)
			to->next_attempt_ms = by_ms;
		refill_later(q, to->next_attempt_ms);
	}
}

/* What is to be told of it is part of the same change. */
static void
settle_notice(const struct queue *q, const struct attempt *a,
    const struct outcome *outcome, int64_t now_ms, struct outcome_change *change)
{
	struct notice_case c = { .reverse_path = a->reverse_path,
		.mail_parameters = a->parameters,
		.rcpt_parameters = a->rcpt_parameters,
		.flags = a->flags,
		.warned = a->warned,
		.created_ms = a->created_ms,
		.now_ms = a->created_ms +
		    clock_age_ms(&q->clock, a->created_ms, now_ms),
		.lmtp = a->lmtp,
		.outcome = *outcome };
	struct notice_debt debt;

	if (notice_rules(q) == NULL)
		return;
	debt = notice_policy(notice_rules(q), &c);
	change->outcome.notice = debt.notice;
	change->outcome.warned = debt.warned;
	if (debt.kept) {
		change->kept = true;
		change->outcome.state = STORE_HELD;
		change->outcome.warned |= NOTICE_KEPT;
	}
	change->asked_for = debt.notice != 0 &&
	    notice_is_asked_for(a->rcpt_parameters, debt.notice);
}

/* Copies the strings behind the change, which outlives their owners. */
static void
settle_strings(struct outcome_change *change, const struct attempt *a, const char *reply,
    const char *kept)
{
	size_t recipient_size = strlen(a->recipient) + 1;
	size_t relay_size = strlen(a->relay) + 1;
	size_t reply_size = strlen(reply) + 1;
	char *relay = change->text + recipient_size;
	char *to_reply = relay + relay_size;
	char *to_kept = to_reply + reply_size;
	char *sender = to_kept + strlen(kept) + 1;

	memcpy(change->text, a->recipient, recipient_size);
	memcpy(relay, a->relay, relay_size);
	memcpy(to_reply, reply, reply_size);
	memcpy(to_kept, kept, strlen(kept) + 1);
	memcpy(sender, a->reverse_path, strlen(a->reverse_path) + 1);
	change->event.reverse_path = sender;
	change->event.recipient = change->text;
	change->event.relay = relay;
	change->event.reply = to_reply;
	change->outcome.dsn = change->event.outcome.dsn;
	change->outcome.reply = to_kept;
	change->outcome.relay = relay;
}

void
settle(struct queue *q, const struct attempt *a)
{
	int64_t now_ms = time_real_ms();
	char reply[QUEUE_REPLY_SIZE + 64], kept[REASON_SIZE];
	struct outcome outcome = a->outcome;
	struct outcome_change *change;
	bool expired;
	int64_t by_ms = parameters_deadline_ms(a->parameters, a->created_ms);

	if (a->was_in_doubt && outcome.status != OUTCOME_DELIVERED)
		outcome.in_doubt = 1;
	if (transient_is(a->id))
		transient_settled(q, a->id, a->index);
	expired = settle_lifetime(q, a, now_ms, &outcome, reply, sizeof(reply));
	reason_keep(kept, sizeof(kept), &outcome, reply);
	if (outcome.status == OUTCOME_DEFERRED && a->target != NULL)
		minute_add(&a->target->deferred, 1, time_monotonic_ms());
	change = outcome_change_new(q,
	    strlen(a->recipient) + strlen(a->relay) + strlen(reply) +
		strlen(kept) + strlen(a->reverse_path) + 5);
	change->told = true;
	change->expired = expired || a->expired;
	change->lmtp = a->lmtp;
	change->tls = a->tls;
	change->event.kind = EVENT_OUTCOME;
	change->event.id = a->id;
	change->event.time_ms = now_ms;
	change->event.outcome = outcome;
	change->event.lmtp = a->lmtp;
	change->event.tls = &change->tls;
	change->event.transport = a->transport;
	change->event.group = a->group;
	memcpy(change->event.delays_ms, a->delays_ms, sizeof(a->delays_ms));
	settle_plan(q, a, &outcome, by_ms, now_ms, change);
	change->event.final = change->final;
	settle_strings(change, a, reply, kept);
	settle_notice(q, a, &outcome, now_ms, change);
	group_add(q, &change->change);
}

void
settle_unbegun(struct queue *q, uint64_t id, uint32_t index, bool in_doubt,
    int64_t due_ms)
{
	struct outcome_change *change;

	if (transient_is(id))
		return; /* nothing on disk says that it was begun */
	change = outcome_change_new(q, 0);
	change->outcome.message = id;
	change->outcome.index = index;
	change->outcome.in_doubt = in_doubt;
	change->outcome.state = STORE_QUEUED;
	change->outcome.next_attempt_ms = due_ms;
	group_add(q, &change->change);
}
