/* SPDX-License-Identifier: ISC */
/*
 * What has waited too long though nobody tries it, and what has failed long ago.
 */
#include "master/queue/era.h"
#include "master/queue/queue_internal.h"

#include <stdlib.h>

#include "common/log.h"
#include "common/parameters.h"
#include "common/util.h"
#include "master/queue/limits.h"
#include "master/queue/reason.h"
#include "master/queue/route.h"

enum {
	EXPIRE_FAILED_MAX = 200, /* failed recipients of one commit */
	EXPIRE_BATCH = 1000,     /* messages looked at in one sweep */
	EXPIRE_TURN_MS = 20,
};

#define EXPIRE_UNTRIED "the rates of its destination left it no turn"

struct expire_walk {
	struct queue *queue;
	int64_t until_ms;
};

/* Where it goes, if that is known. */
static const struct target *
expire_target(struct queue *q, const struct store_envelope *envelope,
    const struct store_recipient *recipient, bool *has_nonep)
{
	const char *via = route_via(envelope, recipient);
	const struct queue_transport *transport;
	const char *next_hop;
	uint32_t index;

	transport =
	    route_transport(q, via, recipient->domain, &next_hop, &index);
	*has_nonep = transport == NULL;
	if (transport == NULL)
		return NULL;
	return target_of(q, index, next_hop,
	    security_of(transport->config, envelope->flags,
		envelope->reverse_path),
	    limits_variant(q, route_of(q, via, recipient->domain)));
}

/*
 * Whether its destination failed after its last wait was over, long ago by now:
 * that is what it would have met.  Or whether a limit has kept it from its turn
 * all that time.  Of what an operator has stopped, or what has not had its turn
 * yet for the number of others, nothing is known.
 */
static bool
expire_had_its_chance(struct queue *q, const struct store_envelope *envelope,
    const struct store_recipient *recipient, int64_t now_ms)
{
	const struct schedule_destination *d;
	const struct target *t;
	bool has_none;

	t = expire_target(q, envelope, recipient, &has_none);
	if (has_none)
		return true; /* it has nowhere to go */
	if (t == NULL || t->destination->stopped ||
	    recipient->next_attempt_ms > now_ms - q->limits.maximal_backoff_ms)
		return false;
	d = t->destination;
	return d->place == SCHEDULE_WAITING ||
	    (d->failures > 0 && t->failed_ms > recipient->next_attempt_ms);
}

/* Whether its time is over, and nobody can say that it was not tried. */
static bool
expire_is_due(struct queue *q, const struct store_envelope *envelope,
    const struct store_recipient *recipient, const struct attempt *a)
{
	int64_t now_ms = time_real_ms();

	/* A reload may have given it more time. */
	return era_is_ours(q, envelope->id) && settle_is_over(q, a, now_ms) &&
	    (now_ms >= parameters_deadline_ms(a->parameters, a->created_ms) ||
		expire_had_its_chance(q, envelope, recipient, now_ms));
}

/* One whose time is over while its destination is never tried. */
static int
expire_row(const struct store_envelope *envelope,
    const struct store_recipient *recipient, void *arg)
{
	struct expire_walk *walk = arg;
	struct queue *q = walk->queue;
	struct attempt a = settle_attempt(envelope, recipient);
	int ret = time_monotonic_ms() >= walk->until_ms; /* the next turn */
	char reply[REASON_SIZE];

	if (!expire_is_due(q, envelope, recipient, &a))
		return ret;
	/* In memory it may wait for its turn, or a session has it, which says
	 * what became of it. */
	if (!schedule_withdraw(q->schedule, envelope->id, recipient->index))
		return ret;
	a.tried = true;
	settle_outcome(&a.outcome, OUTCOME_DEFERRED,
	    reason_step(recipient->step,
		reason_take(reply, sizeof(reply), (unsigned)recipient->code,
		    recipient->reply)),
	    "4.4.7");
	a.outcome.code = (uint16_t)recipient->code;
	a.reply = reply[0] != '\0' ? reply : EXPIRE_UNTRIED;
	settle(q, &a); /* which finds its lifetime over */
	return ret;
}

/* Those to be returned at a time, whose destination is not tried then. */
static void
expire_late(struct queue *q)
{
	struct expire_walk walk = { q, time_monotonic_ms() + EXPIRE_TURN_MS };

	if (store_load_late(q->store, &q->late, time_real_ms(), EXPIRE_BATCH,
		expire_row, &walk) == -1)
		log_line(LOG_ERROR, "reading the queue: %s",
		    store_error(q->store));
}

static void expire_failed(struct queue *q);

/* What failed before that time, and was kept to be looked at, goes. */
struct failed_change {
	struct change change;
	int64_t before_ms;
	bool more; /* than one commit takes */
};

static int
failed_apply(struct queue *q, struct change *c)
{
	struct failed_change *f = (struct failed_change *)c;
	uint32_t count;

	if (store_expire_failed(q->store, f->before_ms, EXPIRE_FAILED_MAX,
		&count) == -1)
		return -1;
	f->more = count == EXPIRE_FAILED_MAX;
	return 0;
}

static void
failed_committed(struct queue *q, struct change *c)
{
	if (((struct failed_change *)c)->more)
		expire_failed(q);
	free(c);
}

static void
failed_clear(struct change *c)
{
	free(c);
}

static const struct change_ops failed_ops = {
	.apply = failed_apply,
	.committed = failed_committed,
	.clear = failed_clear,
};

/* Again as soon as the next commit while there are more. */
static void
expire_failed(struct queue *q)
{
	struct failed_change *f = calloc(1, sizeof(*f));

	if (f == NULL)
		return; /* the next sweep */
	f->change.ops = &failed_ops;
	f->before_ms =
	    time_real_ms() - (int64_t)q->config->failed_keep_time * 1000;
	group_add(q, &f->change);
}

void
expire_run(struct queue *q)
{
	int64_t backoff_ms = q->limits.maximal_backoff_ms;
	int64_t lifetime_ms = route_least_lifetime_ms(q);
	struct expire_walk walk = { .queue = q };
	uint32_t nchanges;

	/* On a full disk the same changes would pile up at each sweep. */
	if (!refill_is_current(q))
		return;
	expire_failed(q);
	nchanges = q->nchanges;
	expire_late(q);
	if (q->nchanges != nchanges)
		return; /* whoever is among the older too, is settled once */
	/* After a long stop each has its chance of one more attempt first. */
	if (time_monotonic_ms() - q->started_ms < 2 * backoff_ms)
		return;
	if (lifetime_ms < backoff_ms)
		lifetime_ms = backoff_ms;
	walk.until_ms = time_monotonic_ms() + EXPIRE_TURN_MS;
	if (store_load_older(q->store, &q->older,
		time_real_ms() - lifetime_ms - backoff_ms, EXPIRE_BATCH,
		expire_row, &walk) == -1)
		log_line(LOG_ERROR, "reading the queue: %s",
		    store_error(q->store));
}
