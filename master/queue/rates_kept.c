/* SPDX-License-Identifier: ISC */
/* See rates_kept.h. */
#include "master/queue/rates_kept.h"

#include <stdio.h>

#include "common/log.h"
#include "common/util.h"
#include "master/queue/queue_internal.h"

enum {
	KEPT_NAME_SIZE = LIMIT_NAME_SIZE + RATE_TEXT_SIZE,
	KEPT_SWEEP_MS = 60000,
};

/* A clock that was set back must not stop mail for longer, besides what an empty
 * bucket takes. */
#define KEPT_MOST_US INT64_C(86400000000)

/* A rate that is changed begins anew. */
static void
kept_name(const struct limit *limit, size_t i, char out[static KEPT_NAME_SIZE])
{
	char rate[RATE_TEXT_SIZE];

	(void)snprintf(out, KEPT_NAME_SIZE, "%s: %s", limit->name,
	    rate_format(&limit->rates[i], rate));
}

/* How long until it is full, by what is on disk; 0: it is. */
static int
kept_left_us(struct queue *q, const struct limit *limit, size_t i,
    int64_t now_us, int64_t *left_usp)
{
	char name[KEPT_NAME_SIZE];
	int64_t full_us = 0;

	kept_name(limit, i, name);
	if (store_get_rate(q->store, name, &full_us) == -1)
		return -1;
	*left_usp = full_us > now_us ? full_us - now_us : 0;
	return 0;
}

void
rates_kept_restore(struct queue *q, struct limit *limit)
{
	int64_t now_us = time_real_ms() * 1000;
	int64_t now_ms = time_monotonic_ms();
	int64_t left_us, most_us;
	size_t i;

	for (i = 0; i < limit->nrates; i++) {
		if (kept_left_us(q, limit, i, now_us, &left_us) == -1) {
			log_line(LOG_ERROR, "reading the queue: %s",
			    store_error(q->store));
			return;
		}
		most_us = KEPT_MOST_US +
		    rate_cost_us(&limit->rates[i], limit->rates[i].burst);
		if (left_us > most_us)
			left_us = most_us;
		if (left_us > 0)
			rate_set_left(&limit->buckets[i], &limit->rates[i],
			    left_us, now_ms);
	}
}

bool
rates_kept_are_due(const struct queue *q)
{
	return schedule_changed_limit(q->schedule) != NULL;
}

/* Another may have taken from it meanwhile: what is on disk goes on. */
static int
kept_write_one(struct queue *q, struct limit *limit, size_t i, int64_t now_us)
{
	char name[KEPT_NAME_SIZE];
	int64_t left_us;

	if (kept_left_us(q, limit, i, now_us, &left_us) == -1)
		return -1;
	left_us += rate_cost_us(&limit->rates[i], limit->taken[i]);
	limit->left_us[i] = left_us;
	kept_name(limit, i, name);
	return store_set_rate(q->store, name, now_us + left_us);
}

int
rates_kept_write(struct queue *q)
{
	int64_t now_us = time_real_ms() * 1000;
	struct limit *limit;
	size_t i;

	for (limit = schedule_changed_limit(q->schedule); limit != NULL;
	     limit = TAILQ_NEXT(limit, change))
		for (i = 0; i < limit->nrates; i++)
			if (limit->taken[i] > 0 &&
			    kept_write_one(q, limit, i, now_us) == -1)
				return -1;
	return 0;
}

void
rates_kept_committed(struct queue *q)
{
	int64_t now_ms = time_monotonic_ms();
	struct limit *limit;
	size_t i;

	while ((limit = schedule_changed_limit(q->schedule)) != NULL) {
		for (i = 0; i < limit->nrates; i++)
			if (limit->taken[i] > 0)
				rate_set_left(&limit->buckets[i],
				    &limit->rates[i], limit->left_us[i],
				    now_ms);
		limit_unchanged(limit);
	}
}

void
rates_kept_sweep(struct queue *q)
{
	int64_t now_ms = time_monotonic_ms();

	if (now_ms < q->rates_swept_ms + KEPT_SWEEP_MS)
		return;
	q->rates_swept_ms = now_ms;
	if (store_forget_rates(q->store, time_real_ms() * 1000) == -1)
		log_line(LOG_ERROR, "the queue's store: %s",
		    store_error(q->store));
}
