/* SPDX-License-Identifier: ISC */
/* See limit_report.h. */
#include "master/queue/limit_report.h"

#include <stdio.h>
#include <string.h>

#include "common/duration.h"
#include "common/util.h"
#include "master/queue/limits.h"
#include "master/queue/queue_internal.h"

static const char *const kinds[LIMIT_SLOT_COUNT] = {
	[LIMIT_TRANSPORT] = "transport",
	[LIMIT_ROUTE] = "route",
	[LIMIT_DESTINATION] = "destination",
	[LIMIT_GROUP] = "mx_group",
};

static void
name_out(const struct queue *q, struct json_out *out, enum limit_slot slot,
    const struct limit *limit, const char *next_hop)
{
	const char *name = limits_name(q, limit);

	json_out_string(out, "of", kinds[slot]);
	json_out_string(out, "name", name != NULL ? name : next_hop);
}

static void
rate_out(struct json_out *out, struct limit *limit, size_t i, int64_t now_ms)
{
	struct rate_bucket *bucket = &limit->buckets[i];
	const struct rate *rate = &limit->rates[i];
	char text[RATE_TEXT_SIZE];
	int64_t wait_ms = rate_wait_ms(bucket, rate, 1, now_ms);

	json_out_object(out, NULL);
	json_out_string(out, "rate", rate_format(rate, text));
	json_out_number(out, "left",
	    bucket->level > 0 ? bucket->level / rate->period_ms : 0);
	json_out_number(out, "wait_ms", wait_ms);
	json_out_close(out);
}

void
limit_report_list(const struct queue *q, struct json_out *out,
    const struct limit_user *user, const char *next_hop)
{
	int64_t now_ms = time_monotonic_ms();
	enum limit_slot slot;
	struct limit *limit;
	size_t i;

	json_out_list(out, "limits");
	for (slot = LIMIT_TRANSPORT; slot < LIMIT_SLOT_COUNT; slot++) {
		limit = user->limits[slot];
		if (limit == NULL)
			continue;
		json_out_object(out, NULL);
		name_out(q, out, slot, limit, next_hop);
		json_out_number(out, "sessions", limit->sessions);
		if (limit->session_limit > 0)
			json_out_number(out, "sessions_limit",
			    limit->session_limit);
		json_out_list(out, "rates");
		for (i = 0; i < limit->nrates; i++)
			rate_out(out, limit, i, now_ms);
		json_out_close(out);
		json_out_close(out);
	}
	json_out_close(out);
}

void
limit_report_held(const struct queue *q, struct json_out *out,
    const struct limit_user *user, enum limit_act act, const char *next_hop)
{
	int64_t now_ms = time_monotonic_ms();
	struct limit *limit = limit_against(user, act, now_ms);
	enum limit_slot slot;

	for (slot = LIMIT_TRANSPORT; slot < LIMIT_SLOT_COUNT; slot++) {
		if (limit == NULL || user->limits[slot] != limit)
			continue;
		json_out_object(out, "held_by");
		name_out(q, out, slot, limit, next_hop);
		json_out_number(out, "wait_ms",
		    limit_wait_ms(limit, act, now_ms));
		json_out_bool(out, "sessions_full", limit_is_full(limit));
		json_out_close(out);
		return;
	}
}

bool
limit_report_why(const struct queue *q, const struct limit_user *user,
    enum limit_slot slot, enum limit_act act, const char *next_hop,
    char why[static LIMIT_REPORT_SIZE])
{
	struct limit *limit = user->limits[slot];
	int64_t now_ms = time_monotonic_ms();
	int64_t wait_ms;
	char text[RATE_TEXT_SIZE], left[DURATION_SIZE];
	const struct rate *rate;
	const char *name;

	if (limit == NULL)
		return false;
	name = limits_name(q, limit);
	if (name == NULL)
		name = next_hop;
	rate = limit_slowest(limit, act, now_ms, &wait_ms);
	if (rate != NULL)
		(void)snprintf(why, LIMIT_REPORT_SIZE,
		    "the rate of %s %s, %s, is used up: the next may go in %s",
		    kinds[slot], name, rate_format(rate, text),
		    duration_format((wait_ms + 999) / 1000, left));
	else if (act == LIMIT_CONNECT && limit_is_full(limit))
		(void)snprintf(why, LIMIT_REPORT_SIZE,
		    "%s %s has all of the %u sessions that it may have",
		    kinds[slot], name, limit->session_limit);
	else if (limit->nrates > 0 && !TAILQ_EMPTY(&limit->waiters) &&
	    user->granted_by != limit)
		(void)snprintf(why, LIMIT_REPORT_SIZE,
		    "others wait before it for the rate of %s %s", kinds[slot],
		    name);
	else
		return false;
	return true;
}
