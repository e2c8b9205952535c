/* SPDX-License-Identifier: ISC */
/* See top.h. */
#include "master/queue/top.h"

#include <string.h>

#include "common/util.h"
#include "master/queue/census.h"
#include "master/queue/limit_report.h"
#include "master/queue/pause.h"
#include "master/queue/queue_internal.h"
#include "master/queue/summary.h"
#include "master/queue/tell.h"
#include "master/queue/trouble.h"

static void
top_rates_out(struct queue *q, struct json_out *out)
{
	static const char *const names[RATE_KINDS] = {
		[RATE_ACCEPTED] = "accepted",
		[RATE_DELIVERED] = "delivered",
		[RATE_DEFERRED] = "deferred",
		[RATE_FAILED] = "failed",
	};
	static const uint32_t spans[] = { 10, 60 };
	int64_t now_ms = time_monotonic_ms();
	size_t kind, i;

	json_out_object(out, "last");
	for (kind = 0; kind < RATE_KINDS; kind++) {
		json_out_object(out, names[kind]);
		for (i = 0; i < NELEM(spans); i++)
			json_out_number(out, spans[i] == 10 ? "10s" : "60s",
			    (int64_t)rates_sum(&q->rates, (enum rate_kind)kind,
				spans[i], now_ms));
		json_out_close(out);
	}
	json_out_close(out);
}

static void
top_queue(struct queue *q, const struct ask *ask)
{
	static const char *const names[STORE_STATE_COUNT] = { "queued",
		"active", "delivered", "deferred", "failed", "held" };
	uint64_t counts[STORE_STATE_COUNT], kept;
	struct json_out out;
	char text[1024];
	size_t i;

	json_out_begin(&out, text, sizeof(text));
	json_out_string(&out, "top", "queue");
	json_out_object(&out, "counts");
	store_count_states(q->store, counts);
	for (i = 0; i < STORE_STATE_COUNT; i++)
		json_out_number(&out, names[i], (int64_t)counts[i]);
	json_out_close(&out);
	if (store_count_kept(q->store, &kept) == 0)
		json_out_number(&out, "kept", (int64_t)kept);
	json_out_number(&out, "in_memory", schedule_active(q->schedule));
	json_out_number(&out, "in_memory_limit",
	    q->config->qmgr_recipient_active_limit);
	json_out_number(&out, "sessions", q->nsessions);
	json_out_number(&out, "sessions_limit", q->config->process_limit);
	json_out_number(&out, "pauses", q->pauses->n);
	top_rates_out(q, &out);
	(void)json_out_end(&out);
	tell(q, ask->request, text, false);
}

/* One that is in memory, or has mail on disk alone. */
struct top_row {
	uint64_t weight;
	const struct schedule_destination *destination; /* NULL: on disk */
	const struct census_row *row;                   /* then of this */
};

static int64_t
top_waiting(const struct queue *q, const struct schedule_destination *d)
{
	int64_t waiting = summary_waiting(q, d);

	return waiting != -1 ? waiting : d->waiting;
}

/* How busy: who waits counts, and who works. */
static uint64_t
top_weight(const struct queue *q, const struct schedule_destination *d)
{
	return (uint64_t)top_waiting(q, d) + d->sessions + (d->failures > 0);
}

static bool
top_is_room(const struct top_row *best, uint32_t n, uint32_t limit,
    uint64_t weight)
{
	return n < limit || (n > 0 && best[n - 1].weight < weight);
}

/* Into its place among the busiest; one that is no busier than the last of a full
 * list has none. */
static void
top_insert(struct top_row *best, uint32_t *n, uint32_t limit,
    const struct top_row *row)
{
	uint32_t i;

	if (!top_is_room(best, *n, limit, row->weight))
		return;
	i = *n < limit ? (*n)++ : *n - 1;
	for (; i > 0 && best[i - 1].weight < row->weight; i--)
		best[i] = best[i - 1];
	best[i] = *row;
}

/* The busiest in order; how many. */
static uint32_t
top_choose(struct queue *q, struct top_row *best, uint32_t limit)
{
	const struct census *census = summary_census(q);
	const struct schedule_destination *d;
	struct top_row row = { 0 };
	uint32_t n = 0, at = 0;

	for (d = schedule_first_destination(q->schedule); d != NULL;
	     d = TAILQ_NEXT(d, entry)) {
		if (d->data == NULL)
			continue;
		row.destination = d;
		row.weight = top_weight(q, d);
		top_insert(best, &n, limit, &row);
	}
	row.destination = NULL;
	while (census != NULL && (row.row = census_next(census, &at)) != NULL) {
		row.weight = census_waiting(row.row);
		if (row.row->transport >= q->ntransports || row.weight == 0 ||
		    !top_is_room(best, n, limit, row.weight))
			continue;
		d = schedule_find_destination(q->schedule, row.row->transport,
		    row.row->name, row.row->variant);
		if (d == NULL || d->data == NULL)
			top_insert(best, &n, limit, &row);
	}
	return n;
}

static void
top_pause_out(const struct queue *q, struct json_out *out, uint32_t transport,
    const char *next_hop)
{
	const struct pause *pause = pause_of(q, transport, next_hop);

	if (pause == NULL)
		return;
	json_out_string(out, "paused", pause_kind_name(pause->kind));
	json_out_number(out, "paused_since_ms", pause->since_ms);
}

void
top_destination_out(const struct queue *q, struct json_out *out,
    const struct schedule_destination *d)
{
	struct target *t = d->data;
	int64_t left_ms = d->blocked_until_ms - time_monotonic_ms();

	json_out_number(out, "waiting", top_waiting(q, d));
	json_out_number(out, "in_memory", d->waiting);
	json_out_number(out, "sessions", d->sessions);
	json_out_number(out, "concurrency", d->feedback.concurrency);
	json_out_number(out, "failures", d->failed);
	json_out_number(out, "rests", d->failures);
	if (left_ms > 0)
		json_out_number(out, "blocked_until_ms",
		    time_real_ms() + left_ms);
	if (t != NULL && d->failures > 0) {
		json_out_string(out, "reason", t->reply);
		json_out_string(out, "relay", t->relay);
	}
	if (t != NULL && t->waits_for_login)
		json_out_bool(out, "waits_for_login", true);
	if (t != NULL && t->resolve_id != 0)
		json_out_bool(out, "resolving", true);
	if (d->waiting > 0)
		limit_report_held(q, out, &d->limited,
		    d->sessions > 0 ? LIMIT_SEND : LIMIT_CONNECT, d->next_hop);
	if (t != NULL)
		json_out_number(out, "deferred_60s",
		    (int64_t)minute_sum(&t->deferred, time_monotonic_ms()));
	summary_reply_out(q, out, d->transport, d->variant, d->next_hop);
	top_pause_out(q, out, d->transport, d->next_hop);
}

void
top_stored_out(const struct queue *q, struct json_out *out,
    const struct census_row *row)
{
	json_out_number(out, "waiting", census_waiting(row));
	json_out_number(out, "in_memory", 0);
	json_out_number(out, "sessions", 0);
	summary_reply_out(q, out, row->transport, row->variant, row->name);
	top_pause_out(q, out, row->transport, row->name);
}

static void
top_destinations(struct queue *q, const struct ask *ask, uint32_t limit)
{
	struct top_row best[TOP_ROWS_MAX];
	uint32_t n = top_choose(q, best, limit), i;
	const struct schedule_destination *d;
	struct json_out out;
	char text[4096];

	for (i = 0; i < n; i++) {
		d = best[i].destination;
		json_out_begin(&out, text, sizeof(text));
		json_out_string(&out, "top", "destination");
		json_out_string(&out, "transport",
		    q->transports[d != NULL ? d->transport
					    : best[i].row->transport]
			.name);
		json_out_string(&out, "next_hop",
		    d != NULL ? d->next_hop : best[i].row->name);
		if (d != NULL)
			top_destination_out(q, &out, d);
		else
			top_stored_out(q, &out, best[i].row);
		(void)json_out_end(&out);
		tell(q, ask->request, text, false);
	}
}

static const char *
top_session_state(const struct session *s)
{
	if (s->quit_sent)
		return "quitting";
	if (!s->up)
		return s->dialing ? "connecting" : "opening";
	return s->njobs > 0 ? "sending" : "idle";
}

static void
top_sessions(struct queue *q, const struct ask *ask, uint32_t limit)
{
	const struct session *s;
	struct json_out out;
	char text[2048];
	int64_t now_ms = time_monotonic_ms();

	TAILQ_FOREACH(s, &q->sessions, entry) {
		if (limit-- == 0)
			break;
		json_out_begin(&out, text, sizeof(text));
		json_out_string(&out, "top", "session");
		json_out_number(&out, "session", s->number);
		json_out_string(&out, "transport",
		    q->transports[s->target->destination->transport].name);
		json_out_string(&out, "next_hop",
		    s->target->destination->next_hop);
		json_out_string(&out, "relay", s->relay);
		json_out_string(&out, "state", top_session_state(s));
		json_out_number(&out, "messages", s->messages);
		json_out_number(&out, "in_hand", s->njobs);
		json_out_number(&out, "age_ms", now_ms - s->started_mono_ms);
		json_out_string(&out, "tls",
		    s->tls.on &&
			    message_string_ok(s->tls.version,
				sizeof(s->tls.version))
			? s->tls.version
			: "");
		(void)json_out_end(&out);
		tell(q, ask->request, text, false);
	}
}

void
top_ask(struct queue *q, const struct ask *ask)
{
	uint32_t limit = ask->limit < TOP_ROWS_MAX ? ask->limit : TOP_ROWS_MAX;

	top_queue(q, ask);
	trouble_tell(q, ask->request);
	top_destinations(q, ask, limit);
	top_sessions(q, ask, limit);
	tell(q, ask->request, "{\"done\":true}", true);
}
