/* SPDX-License-Identifier: ISC */
/*
 * What a limit has left; who waits at it is the schedule's (schedule_turn.c).
 */
#include "master/queue/limit.h"

#include <string.h>

void
limit_init(struct limit *limit)
{
	memset(limit, 0, sizeof(*limit));
	TAILQ_INIT(&limit->waiters);
}

void
limit_set(struct limit *limit, const struct rate *rates, size_t nrates,
    uint32_t session_limit, int64_t now_ms)
{
	struct rate_bucket buckets[LIMIT_RATES_MAX];
	int64_t taken[LIMIT_RATES_MAX] = { 0 };
	size_t i, j;

	if (nrates > LIMIT_RATES_MAX)
		nrates = LIMIT_RATES_MAX;
	for (i = 0; i < nrates; i++) {
		for (j = 0; j < limit->nrates; j++)
			if (rate_same(&limit->rates[j], &rates[i]))
				break;
		if (j < limit->nrates) {
			buckets[i] = limit->buckets[j];
			taken[i] = limit->taken[j];
		} else {
			rate_init(&buckets[i], &rates[i], now_ms);
		}
	}
	memcpy(limit->taken, taken, sizeof(taken));
	for (i = 0; i < nrates; i++) {
		limit->rates[i] = rates[i];
		limit->buckets[i] = buckets[i];
	}
	limit->nrates = nrates;
	limit->session_limit = session_limit;
}

const struct rate *
limit_slowest(struct limit *limit, enum limit_act act, int64_t now_ms,
    int64_t *wait_msp)
{
	const struct rate *found = NULL;
	int64_t wait_ms;
	size_t i;

	*wait_msp = 0;

	for (i = 0; i < limit->nrates; i++) {
		if (act == LIMIT_SEND &&
		    limit->rates[i].unit == RATE_CONNECTIONS)
			continue;
		wait_ms = rate_wait_ms(&limit->buckets[i], &limit->rates[i], 1,
		    now_ms);
		if (wait_ms <= *wait_msp)
			continue;
		*wait_msp = wait_ms;
		found = &limit->rates[i];
	}
	return found;
}

int64_t
limit_wait_ms(struct limit *limit, enum limit_act act, int64_t now_ms)
{
	int64_t wait_ms;

	(void)limit_slowest(limit, act, now_ms, &wait_ms);
	return wait_ms;
}

bool
limit_is_full(const struct limit *limit)
{
	return limit->session_limit > 0 &&
	    limit->sessions >= limit->session_limit;
}

bool
limit_wants_sessions(const struct limit_user *user)
{
	size_t i;

	for (i = 0; user->count > 0 && i < LIMIT_SLOT_COUNT; i++)
		if (user->limits[i] != NULL && limit_is_full(user->limits[i]) &&
		    !TAILQ_EMPTY(&user->limits[i]->waiters))
			return true;
	return false;
}

/* Who comes last goes behind those who wait, even where there is enough now. */
static bool
is_against(const struct limit_user *user, struct limit *limit,
    enum limit_act act, int64_t now_ms)
{
	if (act == LIMIT_CONNECT && limit_is_full(limit))
		return true;
	if (limit_wait_ms(limit, act, now_ms) > 0)
		return true;
	if (TAILQ_EMPTY(&limit->waiters) || user->granted_by == limit)
		return false;
	/* They may wait for a session to end, as this one need not. */
	return act == LIMIT_CONNECT ||
	    (limit->nrates > 0 && !limit_is_full(limit));
}

struct limit *
limit_against(const struct limit_user *user, enum limit_act act, int64_t now_ms)
{
	size_t i;

	for (i = 0; user->count > 0 && i < LIMIT_SLOT_COUNT; i++)
		if (user->limits[i] != NULL &&
		    is_against(user, user->limits[i], act, now_ms))
			return user->limits[i];
	return NULL;
}

static void
count(struct limit *limit, enum rate_unit unit, int64_t n)
{
	size_t i;

	for (i = 0; i < limit->nrates; i++) {
		if (limit->rates[i].unit != unit)
			continue;
		rate_take(&limit->buckets[i], &limit->rates[i], n);
		if (limit->name == NULL)
			continue;
		limit->taken[i] += n;
		if (!limit->changed)
			TAILQ_INSERT_TAIL(limit->changes, limit, change);
		limit->changed = true;
	}
}

void
limit_unchanged(struct limit *limit)
{
	if (limit->changed)
		TAILQ_REMOVE(limit->changes, limit, change);
	limit->changed = false;
	memset(limit->taken, 0, sizeof(limit->taken));
}

void
limit_count_session(struct limit_user *user)
{
	size_t i;

	for (i = 0; user->count > 0 && i < LIMIT_SLOT_COUNT; i++) {
		if (user->limits[i] == NULL)
			continue;
		user->limits[i]->sessions++;
		count(user->limits[i], RATE_CONNECTIONS, 1);
	}
}

void
limit_count_message(struct limit_user *user, uint32_t nrcpts, uint64_t octets)
{
	size_t i;

	user->granted_by = NULL;
	for (i = 0; user->count > 0 && i < LIMIT_SLOT_COUNT; i++) {
		if (user->limits[i] == NULL)
			continue;
		count(user->limits[i], RATE_MESSAGES, 1);
		count(user->limits[i], RATE_RECIPIENTS, nrcpts);
		count(user->limits[i], RATE_OCTETS,
		    octets < (uint64_t)RATE_AMOUNT_MAX ? (int64_t)octets
						       : RATE_AMOUNT_MAX);
	}
}

/* Messages and connections are counted by ones; of what else there is, one that
 * is woken may take all. */
uint32_t
limit_grants(struct limit *limit, enum limit_act act, int64_t now_ms)
{
	int64_t least = UINT32_MAX;
	int64_t whole;
	size_t i;

	if (limit_wait_ms(limit, act, now_ms) > 0)
		return 0;
	if (act == LIMIT_CONNECT && limit->session_limit > 0)
		least = limit_is_full(limit)
		    ? 0
		    : limit->session_limit - limit->sessions;
	for (i = 0; i < limit->nrates; i++) {
		if (act == LIMIT_SEND &&
		    limit->rates[i].unit == RATE_CONNECTIONS)
			continue;
		whole = limit->buckets[i].level / limit->rates[i].period_ms;
		if (limit->rates[i].unit == RATE_OCTETS ||
		    limit->rates[i].unit == RATE_RECIPIENTS)
			whole = 1;
		if (whole < least)
			least = whole;
	}
	return (uint32_t)least;
}
