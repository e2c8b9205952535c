/* SPDX-License-Identifier: ISC */
/* See outcome_change.h.  The order of the news is what logs are read by. */
#include "master/queue/outcome_change.h"

#include <errno.h>
#include <stdlib.h>

#include "common/util.h"
#include "master/queue/notice.h"
#include "master/queue/outlet.h"
#include "master/queue/queue_internal.h"
#include "master/queue/transient.h"

static struct outcome_change *
of(struct change *c)
{
	return (struct outcome_change *)c;
}

static int
apply(struct queue *q, struct change *c)
{
	struct outcome_change *o = of(c);

	if (!transient_is(o->outcome.message) &&
	    store_set_outcome(q->store, &o->outcome, &o->removed) == -1 &&
	    errno != ENOENT)
		return -1;
	return outlet_apply(q, o);
}

static void
count(struct queue *q, const struct outcome *outcome)
{
	static const enum rate_kind kinds[] = {
		[OUTCOME_DELIVERED] = RATE_DELIVERED,
		[OUTCOME_DEFERRED] = RATE_DEFERRED,
		[OUTCOME_FAILED] = RATE_FAILED,
	};

	if (outcome->status < NELEM(kinds))
		rates_add(&q->rates, kinds[outcome->status], 1,
		    time_monotonic_ms());
}

/* As Postfix's queue manager says it, besides the outcome. */
static void
tell_expired(struct queue *q, const struct outcome_change *o)
{
	struct event expired = { .kind = EVENT_EXPIRED,
		.id = o->outcome.message,
		.reverse_path = o->event.reverse_path,
		.recipient = o->event.recipient };

	event_tell(q, &expired);
}

static void
tell_outcome(struct queue *q, struct outcome_change *o)
{
	bool told;

	count(q, &o->event.outcome);
	event_tell(q, &o->event);
	if (o->expired)
		tell_expired(q, o);
	if (o->reported)
		outlet_reported(q);
	told = report_result(q, o);
	notices_committed(q, o, told);
}

static void
committed(struct queue *q, struct change *c)
{
	struct outcome_change *o = of(c);
	struct event removed = { .kind = EVENT_REMOVED,
		.id = o->outcome.message };

	if (o->told)
		tell_outcome(q, o);
	if (transient_is(o->outcome.message))
		o->removed = transient_told(q, o->outcome.message);
	if (o->removed)
		event_tell(q, &removed);
	free(o);
}

/* Of what is not stored there is nothing to wait for: whoever has not heard of a
 * delivery would make it once more. */
static bool
is_given_up(const struct change *c)
{
	const struct outcome_change *o = (const struct outcome_change *)c;

	return transient_is(o->outcome.message);
}

/* Its report goes with the store. */
static void
give_up(struct queue *q, struct change *c)
{
	of(c)->reported = false;
	committed(q, c);
}

static void
clear(struct change *c)
{
	free(c);
}

static const struct change_ops ops = {
	.apply = apply,
	.committed = committed,
	.is_given_up = is_given_up,
	.give_up = give_up,
	.clear = clear,
};

struct outcome_change *
outcome_change_new(struct queue *q, size_t text_size)
{
	struct outcome_change *o = group_alloc(q, sizeof(*o) + text_size);

	o->change.ops = &ops;
	return o;
}
