/* SPDX-License-Identifier: ISC */
/* See transient.h. */
#include "master/queue/transient.h"

#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/util.h"
#include "master/queue/queue_internal.h"

/* The store counts from 1, and never comes this far. */
#define TRANSIENT_BIT (1ULL << 62)

enum {
	/* So many in the lower bits, of one millisecond. */
	TRANSIENT_COUNT_BITS = 20,
	/* Each holds a message in memory, and a descriptor. */
	TRANSIENTS_MAX = 1024,
	/* Recipients of them all; a message by itself may have more.  Those that
	 * wait are looked after, and may be deferred, all in one turn. */
	TRANSIENT_RCPTS_MAX = 100000,
};

struct transient {
	TAILQ_ENTRY(transient) entry;
	struct submission *submission;
	int64_t since_ms; /* monotonic */
	uint32_t left;    /* recipients of whom nobody was told yet */
	uint8_t *settled; /* bits by index: its outcome is known */
};

bool
transient_is(uint64_t id)
{
	return (id & TRANSIENT_BIT) != 0;
}

static bool
is_settled(const struct transient *t, uint32_t index)
{
	return (t->settled[index / 8] >> (index % 8) & 1) != 0;
}

static void
set_settled(struct transient *t, uint32_t index)
{
	t->settled[index / 8] |= (uint8_t)(1U << (index % 8));
}

static struct transient *
transient_find(const struct queue *q, uint64_t id)
{
	struct transient *t;

	TAILQ_FOREACH(t, &q->transients, entry)
		if (t->submission->envelope.id == id)
			return t;
	return NULL;
}

static void
transient_free(struct queue *q, struct transient *t)
{
	struct schedule_message *message;

	message =
	    schedule_find_message(q->schedule, t->submission->envelope.id);
	if (message != NULL)
		message->body_fd = -1; /* it was ours */
	TAILQ_REMOVE(&q->transients, t, entry);
	q->ntransients--;
	q->transient_rcpts -= t->submission->envelope.nrcpts;
	submission_free(t->submission);
	free(t->settled);
	free(t);
}

/* As the store would give it; domain is storage for its domain. */
static struct store_recipient
transient_recipient(const struct transient *t, uint32_t index,
    char domain[static STORE_DOMAIN_SIZE])
{
	const struct submission *s = t->submission;
	struct store_recipient recipient = { .message = s->envelope.id };

	recipient.index = index;
	recipient.next_attempt_ms = s->envelope.created_ms;
	recipient.lane = s->envelope.lane;
	recipient.via = recipient.relay = recipient.reply = "";
	recipient.address = s->addresses[index];
	recipient.parameters =
	    s->parameters != NULL && s->parameters[index] != NULL
	    ? s->parameters[index]
	    : "";
	store_address_domain(recipient.address, domain);
	recipient.domain = domain;
	return recipient;
}

static void
transient_defer(struct queue *q, const struct transient *t, uint32_t index,
    const char *dsn, const char *why)
{
	char domain[STORE_DOMAIN_SIZE];
	struct store_recipient recipient =
	    transient_recipient(t, index, domain);
	struct attempt a = settle_attempt(&t->submission->envelope, &recipient);

	a.relay = "";
	a.reply = why;
	a.delays_ms[1] = time_monotonic_ms() - t->since_ms;
	settle_outcome(&a.outcome, OUTCOME_DEFERRED, STEP_QUEUE, dsn);
	settle(q, &a);
}

/* Each that is not in memory gets there, or has its outcome. */
static void
transient_place(struct queue *q, struct transient *t)
{
	const struct store_envelope *envelope = &t->submission->envelope;
	struct schedule_message *message;
	struct store_recipient recipient;
	char domain[STORE_DOMAIN_SIZE];
	uint32_t i;

	for (i = 0; i < envelope->nrcpts; i++) {
		if (is_settled(t, i) ||
		    schedule_is_loaded(q->schedule, envelope->id, i))
			continue;
		if (!schedule_has_places(q->schedule))
			break;
		recipient = transient_recipient(t, i, domain);
		refill_unstored(q, envelope, &recipient);
	}
	message = schedule_find_message(q->schedule, envelope->id);
	if (message != NULL)
		message->body_fd = t->submission->body_fd;
}

/* Before the clock's milliseconds are out no other posternd can have begun. */
static uint64_t
transient_new_id(struct queue *q)
{
	if (q->last_transient == 0)
		q->last_transient = TRANSIENT_BIT |
		    (uint64_t)time_real_ms() << TRANSIENT_COUNT_BITS;
	return ++q->last_transient;
}

static bool
transient_has_room(const struct queue *q, const struct submission *s)
{
	if (q->ntransients >= TRANSIENTS_MAX || q->ntransients >= q->bodies_max)
		return false;
	return q->ntransients == 0 ||
	    q->transient_rcpts + s->envelope.nrcpts <= TRANSIENT_RCPTS_MAX;
}

static struct transient *
transient_new(struct queue *q, struct submission *s)
{
	struct transient *t;

	if (!transient_has_room(q, s))
		return NULL;
	t = calloc(1, sizeof(*t));
	if (t == NULL)
		return NULL;
	t->settled = calloc(1, s->envelope.nrcpts / 8 + 1);
	s->envelope.id = transient_new_id(q);
	if (t->settled == NULL || report_wait(q, s, s->envelope.id) == -1) {
		free(t->settled);
		free(t);
		return NULL;
	}
	t->submission = s;
	t->left = s->envelope.nrcpts;
	t->since_ms = time_monotonic_ms();
	TAILQ_INSERT_TAIL(&q->transients, t, entry);
	q->ntransients++;
	q->transient_rcpts += s->envelope.nrcpts;
	return t;
}

void
transient_begin(struct queue *q, struct submission *s)
{
	struct msg_accepted accepted;
	struct transient *t = q->stopping ? NULL : transient_new(q, s);

	if (t == NULL) {
		submit_refused(q, s, 451, "4.3.2",
		    q->stopping ? "posternd is being stopped"
				: "too many messages are on their way that are "
				  "not stored: try again");
		submission_free(s);
		return;
	}
	submit_tell(q, s);
	memset(&accepted, 0, sizeof(accepted));
	accepted.request = s->request;
	accepted.id = s->envelope.id;
	if (q->intake != NULL)
		(void)channel_send(q->intake, MSG_ACCEPTED, &accepted, NULL, 0,
		    -1);
	rates_add(&q->rates, RATE_ACCEPTED, 1, time_monotonic_ms());
	transient_place(q, t);
	queue_pump_soon(q);
}

void
transient_settled(struct queue *q, uint64_t id, uint32_t index)
{
	struct transient *t = transient_find(q, id);

	if (t != NULL)
		set_settled(t, index);
}

bool
transient_told(struct queue *q, uint64_t id)
{
	struct transient *t = transient_find(q, id);

	if (t == NULL || --t->left > 0)
		return false;
	transient_free(q, t);
	return true;
}

/* Nobody hears of what is given up here. */
static void
transient_withdraw(struct queue *q, struct transient *t)
{
	struct event removed = { .kind = EVENT_REMOVED };
	const struct store_envelope *envelope = &t->submission->envelope;
	uint32_t i;

	removed.id = envelope->id;
	for (i = 0; i < envelope->nrcpts; i++) {
		if (is_settled(t, i) ||
		    !schedule_withdraw(q->schedule, envelope->id, i))
			continue;
		set_settled(t, i);
		t->left--;
	}
	if (t->left > 0)
		return;
	event_tell(q, &removed);
	transient_free(q, t);
}

void
transient_cancel(struct queue *q, uint64_t request)
{
	struct transient *t;

	TAILQ_FOREACH(t, &q->transients, entry)
		if (t->submission->request == request)
			break;
	if (t != NULL)
		transient_withdraw(q, t);
}

void
transient_cancel_all(struct queue *q)
{
	struct transient *t, *next;

	for (t = TAILQ_FIRST(&q->transients); t != NULL; t = next) {
		next = TAILQ_NEXT(t, entry);
		transient_withdraw(q, t);
	}
}

/* Whoever waits for a session is told that there was none. */
static void
transient_give_up(struct queue *q, struct transient *t, const char *dsn,
    const char *why)
{
	const struct store_envelope *envelope = &t->submission->envelope;
	uint32_t i;

	for (i = 0; i < envelope->nrcpts; i++)
		if (!is_settled(t, i) &&
		    schedule_withdraw(q->schedule, envelope->id, i))
			transient_defer(q, t, i, dsn, why);
}

void
transient_run(struct queue *q)
{
	int64_t limit_ms =
	    q->stopping ? 0 : (int64_t)q->config->answer_time_limit * 1000;
	int64_t now_ms = time_monotonic_ms();
	struct transient *t;

	/* What is settled here is told, and forgotten, by the next commit. */
	TAILQ_FOREACH(t, &q->transients, entry) {
		if (now_ms - t->since_ms >= limit_ms)
			/* RFC 3463, 3.5: X.4.5, mail system congestion. */
			transient_give_up(q, t, "4.4.5",
			    "no session was free for it within "
			    "answer_time_limit");
		else
			transient_place(q, t);
	}
}

void
transient_stop(void *ctx, struct channel *from, const struct message *m)
{
	struct queue *q = ctx;
	struct transient *t;

	(void)from;
	(void)m;
	q->stopping = true;
	q->stopping_ms = time_monotonic_ms();
	TAILQ_FOREACH(t, &q->transients, entry)
		transient_give_up(q, t, "4.3.2", "posternd is being stopped");
}

void
transient_clear(struct queue *q)
{
	while (!TAILQ_EMPTY(&q->transients))
		transient_free(q, TAILQ_FIRST(&q->transients));
}
