/* SPDX-License-Identifier: ISC */
/*
 * What has waited too long though nobody tries it, and what has failed long ago.
 */
#include "master/queue/era.h"
#include "master/queue/queue_internal.h"

#include "common/log.h"
#include "common/parameters.h"
#include "common/util.h"
#include "master/queue/limits.h"
#include "master/queue/reason.h"
#include "master/queue/route.h"

enum {
	EXPIRE_BATCH = 1000, /* messages looked at in one sweep */
};

/*
 * Whether its destination failed after its last wait was over, long ago by now:
 * that is what it would have met.  Of what an operator has stopped, or what has
 * not had its turn yet, nothing is known.
 */
static bool
expire_had_its_chance(struct queue *q, const struct store_envelope *envelope,
    const struct store_recipient *recipient, int64_t now_ms)
{
	const char *via = route_via(envelope, recipient);
	const struct queue_transport *transport;
	const struct target *t;
	const char *next_hop;
	uint32_t index;

	transport =
	    route_transport(q, via, recipient->domain, &next_hop, &index);
	if (transport == NULL)
		return true; /* it has nowhere to go */
	t = target_of(q, index, next_hop,
	    security_of(transport->config, envelope->flags,
		envelope->reverse_path),
	    limits_variant(q, route_of(q, via, recipient->domain)));
	return t != NULL && !t->destination->stopped &&
	    t->destination->failures > 0 &&
	    t->failed_ms > recipient->next_attempt_ms &&
	    recipient->next_attempt_ms <= now_ms - q->limits.maximal_backoff_ms;
}

/* One whose time is over while its destination is never tried. */
static int
expire_row(const struct store_envelope *envelope,
    const struct store_recipient *recipient, void *arg)
{
	struct queue *q = arg;
	struct attempt a = settle_attempt(envelope, recipient);
	int64_t now_ms = time_real_ms();
	char reply[REASON_SIZE];

	if (schedule_is_loaded(q->schedule, envelope->id, recipient->index) ||
	    !era_is_ours(q, envelope->id))
		return 0;
	/* A reload may have given it more time. */
	if (!settle_is_over(q, &a, now_ms))
		return 0;
	if (now_ms < parameters_deadline_ms(a.parameters, a.created_ms) &&
	    !expire_had_its_chance(q, envelope, recipient, now_ms))
		return 0;
	a.tried = true;
	settle_outcome(&a.outcome, OUTCOME_DEFERRED,
	    reason_take(reply, sizeof(reply), (unsigned)recipient->code,
		recipient->reply),
	    "4.4.7");
	a.outcome.code = (uint16_t)recipient->code;
	a.reply = reply;
	settle(q, &a); /* which finds its lifetime over */
	return 0;
}

/* Those to be returned at a time, whose destination is not tried then. */
static void
expire_late(struct queue *q)
{
	if (store_load_late(q->store, time_real_ms(), EXPIRE_BATCH, expire_row,
		q) == -1)
		log_line(LOG_ERROR, "reading the queue: %s",
		    store_error(q->store));
}

/* Again as soon as the next commit while there are more. */
void
expire_failed(struct queue *q)
{
	struct queue_op *op = group_new_op(OP_EXPIRE, 0);

	if (op == NULL)
		return; /* the next sweep */
	op->before_ms =
	    time_real_ms() - (int64_t)q->config->failed_keep_time * 1000;
	group_add(q, op);
}

void
expire_run(struct queue *q)
{
	int64_t backoff_ms = q->limits.maximal_backoff_ms;
	int64_t lifetime_ms = route_least_lifetime_ms(q);
	uint32_t nops;

	/* On a full disk the same changes would pile up at each sweep. */
	if (!refill_is_current(q))
		return;
	expire_failed(q);
	nops = q->nops;
	expire_late(q);
	if (q->nops != nops)
		return; /* whoever is among the older too, is settled once */
	/* After a long stop each has its chance of one more attempt first. */
	if (time_monotonic_ms() - q->started_ms < 2 * backoff_ms)
		return;
	if (lifetime_ms < backoff_ms)
		lifetime_ms = backoff_ms;
	if (store_load_older(q->store, &q->older,
		time_real_ms() - lifetime_ms - backoff_ms, EXPIRE_BATCH,
		expire_row, q) == -1)
		log_line(LOG_ERROR, "reading the queue: %s",
		    store_error(q->store));
}
