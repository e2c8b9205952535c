/* SPDX-License-Identifier: ISC */
/* See summary.h. */
#include "master/queue/summary.h"

#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/util.h"
#include "master/queue/action.h"
#include "master/queue/ask.h"
#include "master/queue/census.h"
#include "master/queue/limits.h"
#include "master/queue/queue_internal.h"
#include "master/queue/reason.h"
#include "master/queue/route.h"
#include "master/queue/tell.h"
#include "master/queue/top.h"
#include "master/queue/transient.h"

/* A question that waits for the walk, as it came. */
struct summary_ask {
	TAILQ_ENTRY(summary_ask) entry;
	bool is_due; /* its walk has ended */
	struct msg_ask ask;
	size_t tail_len;
	uint8_t tail[];
};

struct summary {
	struct census *census; /* of the last walk; NULL: none yet */
	uint32_t generation;   /* of the configuration that it was made by */
	int64_t ended_ms;      /* monotonic */
	int64_t work_ms;
	struct action *walk; /* NULL: none goes on */
	int64_t told_ms;
	TAILQ_HEAD(, summary_ask) asks;
	uint32_t nasks;
};

void
summary_open(struct queue *q)
{
	q->summary = calloc(1, sizeof(*q->summary));
	if (q->summary == NULL)
		fatal("out of memory");
	TAILQ_INIT(&q->summary->asks);
}

void
summary_clear(struct queue *q)
{
	if (q->summary == NULL)
		return;
	summary_cancel_all(q);
	census_free(q->summary->census);
	free(q->summary);
	q->summary = NULL;
}

/* Counting. */

static uint32_t
summary_variant(struct queue *q, const struct queue_transport *transport,
    const char *via, const struct store_envelope *envelope,
    const struct store_recipient *recipient)
{
	return target_variant(security_of(transport->config, envelope->flags,
				  envelope->reverse_path),
	    limits_variant(q, route_of(q, via, recipient->domain)));
}

/* is_own: for TOP and EXPLAIN, that know variants, and domains. */
static void
summary_add_way(struct queue *q, struct action *a, bool is_own,
    const struct store_envelope *envelope,
    const struct store_recipient *recipient)
{
	const char *via = route_via(envelope, recipient);
	const struct queue_transport *transport;
	const char *next_hop = recipient->domain;
	char reply[REASON_SIZE];
	uint32_t index = CENSUS_NO_TRANSPORT, variant = 0;

	transport =
	    route_transport(q, via, recipient->domain, &next_hop, &index);
	if (transport == NULL)
		next_hop = recipient->domain;
	else if (is_own)
		variant =
		    summary_variant(q, transport, via, envelope, recipient);
	(void)reason_take(reply, sizeof(reply), (unsigned)recipient->code,
	    recipient->reply);
	census_add(a->census, index, variant, next_hop, envelope->created_ms,
	    recipient, reply);
	if (is_own)
		census_add(a->census, CENSUS_OF_DOMAIN, 0, recipient->domain,
		    envelope->created_ms, recipient, NULL);
}

static void
summary_add_reason(struct action *a, const struct store_envelope *envelope,
    const struct store_recipient *recipient)
{
	char reply[REASON_SIZE], name[CENSUS_NAME_SIZE];

	(void)reason_take(reply, sizeof(reply), (unsigned)recipient->code,
	    recipient->reply);
	census_reason(recipient->dsn, reply, name);
	census_add(a->census, 0, 0, name, envelope->created_ms, recipient,
	    reply);
}

void
summary_take(struct action *a, const struct store_envelope *envelope,
    const struct store_recipient *recipient)
{
	const char *name = "";
	uint32_t index = 0;

	a->done++;
	switch (a->by) {
	case SUMMARY_DESTINATION:
		summary_add_way(a->queue, a, a->is_census, envelope, recipient);
		return;
	case SUMMARY_REASON:
		summary_add_reason(a, envelope, recipient);
		return;
	case SUMMARY_DOMAIN:
		name = recipient->domain;
		break;
	case SUMMARY_SENDER:
		name = envelope->reverse_path;
		break;
	case SUMMARY_AGE:
		index = census_age(a->census, envelope->created_ms);
		break;
	case SUMMARY_BYS:
		break;
	}
	census_add(a->census, index, 0, name, envelope->created_ms, recipient,
	    NULL);
}

/* Telling. */

static void
summary_counts_out(struct json_out *out, const struct census_row *row)
{
	static const char *const names[STORE_STATE_COUNT] = { "queued",
		"active", "delivered", "deferred", "failed", "held" };
	size_t i;

	json_out_number(out, "recipients", row->total);
	json_out_object(out, "states");
	for (i = 0; i < STORE_STATE_COUNT; i++)
		if (row->states[i] > 0)
			json_out_number(out, names[i], row->states[i]);
	json_out_close(out);
	json_out_list(out, "ages");
	for (i = 0; i < CENSUS_AGES; i++)
		json_out_number(out, NULL, row->ages[i]);
	json_out_close(out);
	if (row->oldest_ms != 0)
		json_out_number(out, "oldest_ms", row->oldest_ms);
	if (row->reply != NULL) {
		json_out_string(out, "last_reply", row->reply->text);
		if (row->reply->time_ms != 0)
			json_out_number(out, "last_ms", row->reply->time_ms);
	}
}

/* What is known of a destination besides: that it rests, has sessions, defers. */
static void
summary_destination_out(struct queue *q, struct json_out *out,
    const struct census_row *row)
{
	const struct queue_transport *t = row->transport < q->ntransports
	    ? &q->transports[row->transport]
	    : NULL;
	const struct schedule_destination *d;

	json_out_string(out, "transport", t != NULL ? t->name : "");
	json_out_string(out, "next_hop", row->name);
	if (t == NULL)
		return;
	if (t->config != NULL && t->config->next_hop.kind != NEXT_HOP_MX)
		json_out_string(out, "server", t->config->server);
	d = schedule_find_destination(q->schedule, row->transport, row->name,
	    SCHEDULE_ANY_VARIANT);
	json_out_object(out, "now");
	if (d != NULL)
		top_destination_out(q, out, d);
	else
		top_stored_out(q, out, row);
	json_out_close(out);
}

static const char *const by_names[SUMMARY_BYS] = { "destination", "domain",
	"reason", "sender", "age" };

static void
summary_tell_row(struct queue *q, const struct action *a,
    const struct census_row *row)
{
	struct json_out out;
	char text[8192];

	json_out_begin(&out, text, sizeof(text));
	json_out_string(&out, "summary", by_names[a->by]);
	if (row == census_others(a->census))
		json_out_bool(&out, "others", true);
	else if (a->by == SUMMARY_DESTINATION)
		summary_destination_out(q, &out, row);
	else if (a->by == SUMMARY_AGE)
		json_out_number(&out, "below_minutes",
		    census_age_minutes[row->transport]);
	else
		json_out_string(&out, by_names[a->by], row->name);
	summary_counts_out(&out, row);
	(void)json_out_end(&out);
	tell(q, a->request, text, false);
}

static void
summary_tell_end(struct queue *q, const struct action *a, uint32_t shown)
{
	const struct census_row *row;
	uint64_t ages[CENSUS_AGES] = { 0 };
	struct json_out out;
	char text[1024];
	uint32_t at = 0;
	size_t i;

	while ((row = census_next(a->census, &at)) != NULL)
		for (i = 0; i < CENSUS_AGES; i++)
			ages[i] += row->ages[i];
	row = census_others(a->census);
	json_out_begin(&out, text, sizeof(text));
	json_out_string(&out, "summary", "sum");
	json_out_number(&out, "recipients", (int64_t)a->done);
	json_out_list(&out, "ages");
	for (i = 0; i < CENSUS_AGES; i++)
		json_out_number(&out, NULL, (int64_t)(ages[i] + row->ages[i]));
	json_out_close(&out);
	json_out_list(&out, "age_minutes");
	for (i = 0; i < CENSUS_AGES - 1; i++)
		json_out_number(&out, NULL, census_age_minutes[i]);
	json_out_close(&out);
	json_out_number(&out, "rows", census_count(a->census));
	json_out_number(&out, "shown", shown);
	json_out_number(&out, "looked_at", (int64_t)a->seen);
	json_out_bool(&out, "stopped", a->stopped);
	action_unknown_out(a, &out);
	json_out_bool(&out, "done", true);
	(void)json_out_end(&out);
	tell(q, a->request, text, true);
}

/* The largest; ages in their own order. */
static uint32_t
summary_choose(const struct action *a, const struct census_row **rows,
    uint32_t limit)
{
	uint32_t i, n = 0;

	if (a->by != SUMMARY_AGE)
		return census_largest(a->census, rows, limit);
	for (i = 0; i < CENSUS_AGES && n < limit; i++) {
		rows[n] = census_find(a->census, i, 0, "");
		n += rows[n] != NULL;
	}
	return n;
}

static void
summary_tell(struct queue *q, const struct action *a)
{
	static const struct census_row *rows[SUMMARY_ROWS_MAX];
	uint32_t limit =
	    a->limit < SUMMARY_ROWS_MAX ? a->limit : SUMMARY_ROWS_MAX;
	uint32_t n = summary_choose(a, rows, limit), i;

	for (i = 0; i < n; i++)
		summary_tell_row(q, a, rows[i]);
	if (census_others(a->census)->total > 0)
		summary_tell_row(q, a, census_others(a->census));
	summary_tell_end(q, a, n);
}

/* The walk for TOP and EXPLAIN. */

static void
summary_drop(struct queue *q, struct summary_ask *ask)
{
	TAILQ_REMOVE(&q->summary->asks, ask, entry);
	q->summary->nasks--;
	free(ask);
}

static bool
summary_is_due(const struct queue *q)
{
	const struct summary_ask *ask = TAILQ_FIRST(&q->summary->asks);

	return ask != NULL && ask->is_due;
}

/* One in a turn: each looks at all that is in memory. */
bool
summary_answer(struct queue *q)
{
	struct summary_ask *ask = TAILQ_FIRST(&q->summary->asks);
	struct message m;

	if (!summary_is_due(q))
		return false;
	memset(&m, 0, sizeof(m));
	m.type = MSG_ASK;
	m.payload = &ask->ask;
	m.tail = ask->tail;
	m.tail_len = ask->tail_len;
	m.fd = -1;
	ask_answer(q, &m);
	summary_drop(q, ask);
	return summary_is_due(q);
}

void
summary_end(struct queue *q, struct action *a)
{
	struct summary *s = q->summary;
	struct summary_ask *ask;

	if (!a->is_census) {
		if (!a->cancelled)
			summary_tell(q, a);
		census_free(a->census);
		a->census = NULL;
		return;
	}
	/* One that was cut short knows less than the one before it. */
	if (a->at_end) {
		census_free(s->census);
		s->census = a->census;
		s->ended_ms = time_monotonic_ms();
		s->work_ms = a->work_ms;
		s->generation = q->generation;
	} else {
		census_free(a->census);
	}
	a->census = NULL;
	s->walk = NULL;
	TAILQ_FOREACH(ask, &s->asks, entry)
		ask->is_due = true;
}

void
summary_progress(struct queue *q, const struct action *a)
{
	struct summary *s = q->summary;
	const struct summary_ask *ask;
	struct json_out out;
	char text[128];

	if (!a->is_census || time_monotonic_ms() - s->told_ms < SUMMARY_TELL_MS)
		return;
	s->told_ms = time_monotonic_ms();
	json_out_begin(&out, text, sizeof(text));
	json_out_string(&out, "top", "counting");
	json_out_number(&out, "looked_at", (int64_t)a->seen);
	(void)json_out_end(&out);
	TAILQ_FOREACH(ask, &s->asks, entry)
		if (ask->ask.what == ASK_TOP && !ask->is_due)
			tell(q, ask->ask.request, text, false);
}

static bool
summary_is_fresh(const struct queue *q)
{
	const struct summary *s = q->summary;

	return s->census != NULL && s->generation == q->generation &&
	    time_monotonic_ms() - s->ended_ms < s->work_ms * SUMMARY_SHARE;
}

bool
summary_wait(struct queue *q, const struct message *m)
{
	struct summary *s = q->summary;
	struct summary_ask *ask;

	if (summary_is_fresh(q))
		return false;
	ask = s->nasks < SUMMARY_ASKS_MAX ? malloc(sizeof(*ask) + m->tail_len)
					  : NULL;
	if (ask == NULL)
		return false; /* by what is known */
	if (s->walk == NULL) {
		s->walk = action_count(q);
		s->told_ms = time_monotonic_ms();
	}
	if (s->walk == NULL) {
		free(ask);
		return false;
	}
	memcpy(&ask->ask, m->payload, sizeof(ask->ask));
	ask->is_due = false;
	ask->tail_len = m->tail_len;
	if (m->tail_len > 0)
		memcpy(ask->tail, m->tail, m->tail_len);
	TAILQ_INSERT_TAIL(&s->asks, ask, entry);
	s->nasks++;
	return true;
}

void
summary_cancel(struct queue *q, uint64_t request)
{
	struct summary_ask *ask;

	TAILQ_FOREACH(ask, &q->summary->asks, entry)
		if (ask->ask.request == request)
			break;
	if (ask != NULL)
		summary_drop(q, ask);
}

void
summary_cancel_all(struct queue *q)
{
	while (!TAILQ_EMPTY(&q->summary->asks))
		summary_drop(q, TAILQ_FIRST(&q->summary->asks));
}

/* What it says. */

const struct census *
summary_census(const struct queue *q)
{
	return q->summary->census;
}

int64_t
summary_waiting_for(const struct queue *q, uint32_t transport, uint32_t variant,
    const char *next_hop)
{
	const struct census *census = q->summary->census;

	return census != NULL ? (int64_t)census_waiting(census_find(census,
				    transport, variant, next_hop))
			      : -1;
}

int64_t
summary_waiting_of_domain(const struct queue *q, const char *domain)
{
	return summary_waiting_for(q, CENSUS_OF_DOMAIN, 0, domain);
}

/* What no store has. */
static uint32_t
summary_unstored(const struct schedule_destination *d)
{
	const struct schedule_group *group;
	const struct schedule_lane *lane;
	uint32_t n = 0, class;

	for (class = 0; class < LANE_CLASS_COUNT; class ++)
		TAILQ_FOREACH(lane, &d->lanes[class], entry)
			TAILQ_FOREACH(group, &lane->groups, entry)
				if (transient_is(group->message->id))
					n += group->len;
	return n;
}

int64_t
summary_waiting(const struct queue *q, const struct schedule_destination *d)
{
	int64_t n =
	    summary_waiting_for(q, d->transport, d->variant, d->next_hop);

	return n != -1 ? n + summary_unstored(d) : -1;
}

void
summary_reply_out(const struct queue *q, struct json_out *out,
    uint32_t transport, uint32_t variant, const char *next_hop)
{
	const struct census *census = q->summary->census;
	const struct census_row *row = census != NULL
	    ? census_find(census, transport, variant, next_hop)
	    : NULL;

	if (row == NULL || row->reply == NULL)
		return;
	json_out_string(out, "last_reply", row->reply->text);
	if (row->reply->time_ms != 0)
		json_out_number(out, "last_ms", row->reply->time_ms);
}
