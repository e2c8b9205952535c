/* SPDX-License-Identifier: ISC */
/*
 * Delays of what nobody tries: a recipient whose destination is blocked, or
 * waits for its turn, is told of when its time has come, not only when it is
 * tried (settle.c sees to that).  Searched for in pieces.
 *
 * Ids rise with time, so a walk over the queue stops at the first message that
 * is younger, and goes on from there the next time.
 */
#include <inttypes.h>
#include <string.h>

#include "common/log.h"
#include "common/util.h"
#include "master/queue/clock.h"
#include "master/queue/notice_internal.h"
#include "master/queue/transient.h"

enum {
	DELAY_ROWS = 500,      /* looked at in one turn */
	DELAY_HELD_MS = 10000, /* in hand, not just passing */
};

struct delay_owed {
	uint64_t id;
	uint32_t index;
	struct schedule_recipient *active; /* a session has it; or NULL */
	struct notice_debt debt;
};

struct delay_walk {
	struct queue *queue;
	int64_t now_ms;
	int64_t age_ms; /* of messages that are as old */
	struct store_cursor seen;
	uint32_t rows;
	uint32_t count;
	struct delay_owed owed[DELAY_ROWS];
};

static bool
waits(const struct store_recipient *recipient)
{
	return recipient->state == STORE_QUEUED ||
	    recipient->state == STORE_DEFERRED;
}

/* Notes who is to be told; 1: at one who came later. */
static int
delay_row(const struct store_envelope *envelope,
    const struct store_recipient *recipient, void *arg)
{
	struct delay_walk *walk = arg;
	struct notice_case c = { .reverse_path = envelope->reverse_path,
		.mail_parameters = envelope->parameters,
		.rcpt_parameters = recipient->parameters,
		.flags = envelope->flags,
		.warned = recipient->warned,
		.created_ms = envelope->created_ms,
		.outcome = { .status = OUTCOME_DEFERRED } };
	struct delay_owed *owed = &walk->owed[walk->count];
	int64_t age_ms = clock_age_ms(&walk->queue->clock, envelope->created_ms,
	    walk->now_ms);

	if (age_ms < walk->age_ms)
		return 1;
	c.now_ms = c.created_ms + age_ms;
	walk->rows++;
	walk->seen.message = recipient->message;
	walk->seen.index = recipient->index;
	if (!waits(recipient))
		return 0;
	owed->debt = notice_policy(notice_rules(walk->queue), &c);
	/* Its client hears of each attempt. */
	if (owed->debt.notice == 0 ||
	    (report_is_awaited(walk->queue, envelope->id) &&
		!notice_is_asked_for(recipient->parameters, NOTICE_DELAYED)))
		return 0;
	owed->id = recipient->message;
	owed->index = recipient->index;
	owed->active = NULL;
	walk->count++;
	return 0;
}

/* reminded: a message that all was seen of; 0: none. */
static int
delay_record(struct queue *q, const struct delay_walk *walk, uint64_t reminded)
{
	bool changed;
	uint32_t i;

	if (walk->count == 0 && reminded == 0)
		return 0;
	if (store_begin(q->store) == -1)
		return -1;
	if (reminded != 0 && store_reminded(q->store, reminded) == -1)
		goto fail;
	for (i = 0; i < walk->count; i++)
		if (store_owe(q->store, walk->owed[i].id, walk->owed[i].index,
			walk->owed[i].debt.notice, walk->owed[i].debt.warned,
			&changed) == -1)
			goto fail;
	if (store_commit(q->store) == -1)
		return -1;
	for (i = 0; i < walk->count; i++) {
		/* The end of its attempt is not to say it again. */
		if (walk->owed[i].active != NULL)
			walk->owed[i].active->warned |=
			    (uint8_t)walk->owed[i].debt.warned;
		notice_gather(q, walk->owed[i].id, true);
	}
	return 0;
fail:
	store_rollback(q->store);
	return -1;
}

/* A piece of a walk, from *cursor on.  1: there may be more; 0: no; -1. */
static int
delay_piece(struct queue *q, struct delay_walk *walk,
    struct store_cursor *cursor, uint64_t message)
{
	struct store_filter filter = { .message = message };
	struct store_cursor at = *cursor;
	int ended;

	walk->queue = q;
	walk->now_ms = time_real_ms();
	walk->rows = walk->count = 0;
	walk->seen = *cursor;
	ended = store_list(q->store, &at, &filter, DELAY_ROWS, delay_row, walk);
	if (ended == -1 ||
	    delay_record(q, walk, walk->rows < DELAY_ROWS ? message : 0) == -1)
		return -1;
	*cursor = walk->seen;
	return ended == 0 && walk->rows == DELAY_ROWS;
}

static void
delay_active(struct delay_walk *walk, const struct schedule_message *m,
    struct schedule_recipient *r)
{
	struct notice_case c = { .reverse_path = m->reverse_path,
		.mail_parameters = m->parameters,
		.rcpt_parameters = r->parameters,
		.flags = m->flags,
		.warned = r->warned,
		.created_ms = m->created_ms,
		.now_ms = m->created_ms +
		    clock_age_ms(&walk->queue->clock, m->created_ms,
			walk->now_ms),
		.outcome = { .status = OUTCOME_DEFERRED } };
	struct delay_owed *owed = &walk->owed[walk->count];

	owed->debt = notice_policy(notice_rules(walk->queue), &c);
	if (owed->debt.notice == 0 ||
	    (report_is_awaited(walk->queue, m->id) &&
		!notice_is_asked_for(r->parameters, NOTICE_DELAYED)))
		return;
	owed->id = m->id;
	owed->index = r->index;
	owed->active = r;
	walk->count++;
}

/* What sessions have had in hand for more than a moment waits as well; the walk
 * went on without it. */
static int
delay_sessions(struct queue *q)
{
	static struct delay_walk walk;
	struct session *s;
	struct job *job;

	walk.queue = q;
	walk.now_ms = time_real_ms();
	walk.count = 0;
	TAILQ_FOREACH(s, &q->sessions, entry)
		TAILQ_FOREACH(job, &s->jobs, entry)
			for (uint32_t i = 0; i < job->nrcpt &&
			     walk.now_ms - job->taken_ms >= DELAY_HELD_MS &&
			     !transient_is(job->message->id) &&
			     walk.count < DELAY_ROWS;
			     i++)
				if (job->recipients[i] != NULL)
					delay_active(&walk, job->message,
					    job->recipients[i]);
	return delay_record(q, &walk, 0);
}

static int
delay_walk_on(struct queue *q)
{
	static struct delay_walk walk;
	struct notices *n = q->notices;

	walk.age_ms = n->rules.delay_warning_ms;
	return delay_piece(q, &walk, &n->walked, 0);
}

/* Whose sender set a time that is over (RFC 2852, 4.1.3). */
static int
delay_remind(struct queue *q)
{
	static struct delay_walk walk;
	struct notices *n = q->notices;
	int more;

	if (n->reminding == 0) {
		more =
		    store_next_remind(q->store, time_real_ms(), &n->reminding);
		if (more != 1)
			return more;
		memset(&n->reminded, 0, sizeof(n->reminded));
	}
	walk.age_ms = INT64_MIN;
	more = delay_piece(q, &walk, &n->reminded, n->reminding);
	if (more == 0)
		n->reminding = 0;
	return more == -1 ? -1 : 1;
}

bool
notice_delay_turn(struct queue *q)
{
	struct notices *n = q->notices;
	int more = 0;

	if (!n->walking)
		return false;
	if (n->rules.delay_warning_ms > 0)
		more = delay_walk_on(q);
	if (more == 0)
		more = delay_remind(q);
	if (more == -1)
		log_line(LOG_ERROR, "reading the queue: %s",
		    store_error(q->store));
	n->walking = more == 1;
	return n->walking;
}

void
notices_sweep(struct queue *q)
{
	struct notices *n = q->notices;

	if (n->rules.delay_warning_ms > 0 && delay_sessions(q) == -1)
		log_line(LOG_ERROR, "reading the queue: %s",
		    store_error(q->store));
	n->walking = true;
	notice_arm(n, 0);
}
