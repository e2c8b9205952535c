/* SPDX-License-Identifier: ISC */
/*
 * Destinations: whose turn it is, how many sessions each may have, and which
 * transaction a session gets.
 */
#include "master/queue/schedule.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "master/queue/schedule_internal.h"

struct schedule *
schedule_new(const struct schedule_limits *limits,
    const struct schedule_hooks *hooks)
{
	struct schedule *schedule;
	size_t i;

	schedule = calloc(1, sizeof(*schedule));
	if (schedule == NULL)
		return NULL;
	schedule->limits = *limits;
	schedule->hooks = *hooks;
	TAILQ_INIT(&schedule->domains);
	TAILQ_INIT(&schedule->destinations);
	for (i = 0; i < SCHEDULE_BUCKETS; i++) {
		LIST_INIT(&schedule->messages_by_id[i]);
		LIST_INIT(&schedule->domains_by_name[i]);
		LIST_INIT(&schedule->by_next_hop[i]);
	}
	return schedule;
}

static void
schedule_drop_destination(struct schedule *schedule,
    struct schedule_destination *destination)
{
	LIST_REMOVE(destination, hash);
	TAILQ_REMOVE(&schedule->destinations, destination, entry);
	if (schedule->hooks.destination_gone != NULL)
		schedule->hooks.destination_gone(destination);
	free(destination);
}

static void
schedule_forget_all(struct schedule *schedule,
    struct schedule_recipients *recipients)
{
	struct schedule_recipient *recipient;

	while ((recipient = STAILQ_FIRST(recipients)) != NULL) {
		STAILQ_REMOVE_HEAD(recipients, entry);
		schedule_forget(schedule, recipient);
	}
}

/* What schedule_take gave out must have come back. */
void
schedule_free(struct schedule *schedule)
{
	struct schedule_destination *destination;
	struct schedule_recipients recipients;

	if (schedule == NULL)
		return;
	while ((destination = TAILQ_FIRST(&schedule->destinations)) != NULL) {
		STAILQ_INIT(&recipients);
		schedule_suspend(schedule, destination, &recipients);
		schedule_forget_all(schedule, &recipients);
		schedule_drop_destination(schedule, destination);
	}
	assert(schedule->active == 0);
	schedule->limits.active_recipients = 0;
	while (!TAILQ_EMPTY(&schedule->domains)) {
		TAILQ_FIRST(&schedule->domains)->has_more = false;
		schedule_sweep(schedule, INT64_MAX);
	}
	free(schedule->transports);
	free(schedule);
}

void
schedule_set_limits(struct schedule *schedule,
    const struct schedule_limits *limits)
{
	schedule->limits = *limits;
}

int
schedule_set_transport(struct schedule *schedule, uint32_t transport,
    const struct schedule_transport *limits)
{
	struct schedule_transport_state *grown;

	if (transport >= schedule->ntransports) {
		grown = recallocarray(schedule->transports,
		    schedule->ntransports, transport + 1U, sizeof(*grown));
		if (grown == NULL)
			return -1;
		schedule->transports = grown;
		schedule->ntransports = transport + 1U;
	}
	schedule->transports[transport].limits = *limits;
	return 0;
}

struct schedule_destination *
schedule_destination(struct schedule *schedule, uint32_t transport,
    const char *next_hop, uint32_t variant)
{
	struct schedule_destination *destination;
	struct schedule_destination_bucket *bucket;
	size_t size = strlen(next_hop) + 1;

	bucket = &schedule->by_next_hop[schedule_hash(next_hop, transport)];
	LIST_FOREACH(destination, bucket, hash)
		if (destination->transport == transport &&
		    destination->variant == variant &&
		    strcmp(destination->next_hop, next_hop) == 0)
			return destination;
	if (transport >= schedule->ntransports) {
		errno = EINVAL;
		return NULL;
	}
	destination = calloc(1, sizeof(*destination) + size);
	if (destination == NULL)
		return NULL;
	memcpy(destination->next_hop, next_hop, size);
	destination->transport = transport;
	destination->variant = variant;
	destination->concurrency =
	    schedule->transports[transport].limits.initial_concurrency;
	TAILQ_INIT(&destination->groups);
	LIST_INSERT_HEAD(bucket, destination, hash);
	TAILQ_INSERT_TAIL(&schedule->destinations, destination, entry);
	return destination;
}

struct schedule_destination *
schedule_first_destination(struct schedule *schedule)
{
	return TAILQ_FIRST(&schedule->destinations);
}

void
schedule_release(struct schedule *schedule,
    struct schedule_destination *destination, int64_t now_ms)
{
	if (destination->waiting == 0 && destination->sessions == 0 &&
	    !destination->paused && destination->keep_until_ms <= now_ms &&
	    destination->blocked_until_ms <= now_ms)
		schedule_drop_destination(schedule, destination);
}

/* The group that waits for this destination; messages have few of them. */
static struct schedule_group *
schedule_find_group(const struct schedule_message *message,
    const struct schedule_destination *destination)
{
	struct schedule_group *group;

	LIST_FOREACH(group, &message->groups, of_message)
		if (group->destination == destination)
			return group;
	return NULL;
}

static struct schedule_group *
schedule_make_group(struct schedule_message *message,
    struct schedule_destination *destination, bool first)
{
	struct schedule_group *group;

	group = calloc(1, sizeof(*group));
	if (group == NULL)
		return NULL;
	group->message = message;
	group->destination = destination;
	STAILQ_INIT(&group->recipients);
	LIST_INSERT_HEAD(&message->groups, group, of_message);
	if (first)
		TAILQ_INSERT_HEAD(&destination->groups, group, entry);
	else
		TAILQ_INSERT_TAIL(&destination->groups, group, entry);
	destination->waiting++;
	return group;
}

void
schedule_drop_group(struct schedule_group *group)
{
	LIST_REMOVE(group, of_message);
	TAILQ_REMOVE(&group->destination->groups, group, entry);
	group->destination->waiting--;
	free(group);
}

int
schedule_enqueue(struct schedule_destination *destination,
    struct schedule_recipient *recipient, bool first)
{
	struct schedule_group *group;

	group = schedule_find_group(recipient->message, destination);
	if (group == NULL)
		group =
		    schedule_make_group(recipient->message, destination, first);
	if (group == NULL)
		return -1;
	STAILQ_INSERT_TAIL(&group->recipients, recipient, entry);
	group->len++;
	return 0;
}

uint32_t
schedule_take(struct schedule *schedule,
    struct schedule_destination *destination,
    struct schedule_recipients *recipients)
{
	struct schedule_group *group = TAILQ_FIRST(&destination->groups);
	struct schedule_recipient *recipient;
	uint32_t limit;
	uint32_t n = 0;

	if (group == NULL)
		return 0;
	limit =
	    schedule->transports[destination->transport].limits.recipient_limit;
	while (n < limit &&
	    (recipient = STAILQ_FIRST(&group->recipients)) != NULL) {
		STAILQ_REMOVE_HEAD(&group->recipients, entry);
		STAILQ_INSERT_TAIL(recipients, recipient, entry);
		group->len--;
		n++;
	}
	if (group->len == 0)
		schedule_drop_group(group);
	return n;
}

int
schedule_give_back(struct schedule *schedule,
    struct schedule_destination *destination,
    struct schedule_recipients *recipients)
{
	struct schedule_recipient *recipient;
	int ret = 0;

	while ((recipient = STAILQ_FIRST(recipients)) != NULL) {
		STAILQ_REMOVE_HEAD(recipients, entry);
		if (schedule_enqueue(destination, recipient, true) == 0)
			continue;
		/* It stays in the store, which shows it to us again. */
		schedule_forget(schedule, recipient);
		ret = -1;
	}
	return ret;
}

/* Whether a destination wants a session, and its own limits grant it. */
static bool
schedule_wants_session(const struct schedule *schedule,
    const struct schedule_destination *destination, int64_t now_ms)
{
	const struct schedule_transport_state *transport;

	transport = &schedule->transports[destination->transport];
	return destination->waiting > 0 && !destination->paused &&
	    !destination->stopped &&
	    destination->sessions < destination->concurrency &&
	    destination->blocked_until_ms <= now_ms &&
	    transport->sessions < transport->limits.process_limit;
}

struct schedule_destination *
schedule_pick(struct schedule *schedule, uint32_t workers_left, int64_t now_ms)
{
	struct schedule_destination *destination;

	if (workers_left == 0)
		return NULL;
	TAILQ_FOREACH(destination, &schedule->destinations, entry)
		if (schedule_wants_session(schedule, destination, now_ms))
			break;
	if (destination == NULL)
		return NULL;
	TAILQ_REMOVE(&schedule->destinations, destination, entry);
	TAILQ_INSERT_TAIL(&schedule->destinations, destination, entry);
	return destination;
}

bool
schedule_is_short(struct schedule *schedule, int64_t now_ms)
{
	const struct schedule_destination *destination;

	TAILQ_FOREACH(destination, &schedule->destinations, entry)
		if (destination->waiting > 0 && destination->sessions == 0 &&
		    !destination->stopped &&
		    destination->blocked_until_ms <= now_ms)
			return true;
	return false;
}

void
schedule_session_begun(struct schedule *schedule,
    struct schedule_destination *destination)
{
	destination->sessions++;
	schedule->transports[destination->transport].sessions++;
}

void
schedule_session_ended(struct schedule *schedule,
    struct schedule_destination *destination)
{
	assert(destination->sessions > 0);
	destination->sessions--;
	schedule->transports[destination->transport].sessions--;
}

/*
 * One session more for as many successes as there are sessions: the number
 * doubles in the time of two rounds, and no burst opens them all at once.
 */
void
schedule_succeeded(struct schedule *schedule,
    struct schedule_destination *destination)
{
	uint32_t limit;

	limit = schedule->transports[destination->transport]
		    .limits.concurrency_limit;
	destination->failures = 0;
	destination->blocked_until_ms = 0;
	if (++destination->successes < destination->concurrency)
		return;
	destination->successes = 0;
	if (destination->concurrency < limit)
		destination->concurrency++;
}

/* The block of a destination: the recipients' own back-off, without chance. */
static int64_t
schedule_block_ms(const struct schedule *schedule, uint32_t failures)
{
	return schedule_retry_ms(&schedule->limits, failures, 0);
}

bool
schedule_failed(struct schedule *schedule,
    struct schedule_destination *destination, int64_t now_ms)
{
	destination->successes = 0;
	if (destination->concurrency > 1) {
		destination->concurrency--;
		/* Others still run, or have not been tried yet. */
		if (destination->sessions > 1)
			return false;
	}
	destination->failures++;
	destination->concurrency = 1; /* the next one is a probe */
	destination->blocked_until_ms =
	    now_ms + schedule_block_ms(schedule, destination->failures);
	return true;
}

void
schedule_suspend(struct schedule *schedule,
    struct schedule_destination *destination,
    struct schedule_recipients *recipients)
{
	struct schedule_recipient *recipient;
	struct schedule_group *group;

	(void)schedule;
	while ((group = TAILQ_FIRST(&destination->groups)) != NULL) {
		STAILQ_FOREACH(recipient, &group->recipients, entry)
			if (destination->variant == 0)
				recipient->domain->blocked_until_ms =
				    destination->blocked_until_ms;
		STAILQ_CONCAT(recipients, &group->recipients);
		schedule_drop_group(group);
	}
}

int64_t
schedule_wake_ms(const struct schedule *schedule, int64_t now_ms)
{
	const struct schedule_destination *destination;
	const struct schedule_domain *domain;
	int64_t wake = 0;

	TAILQ_FOREACH(destination, &schedule->destinations, entry)
		if (destination->waiting > 0 &&
		    destination->blocked_until_ms > now_ms &&
		    (wake == 0 || destination->blocked_until_ms < wake))
			wake = destination->blocked_until_ms;
	TAILQ_FOREACH(domain, &schedule->domains, entry)
		if (domain->blocked_until_ms > now_ms &&
		    (wake == 0 || domain->blocked_until_ms < wake))
			wake = domain->blocked_until_ms;
	return wake;
}

int64_t
schedule_retry_ms(const struct schedule_limits *limits, uint32_t attempts,
    uint32_t chance)
{
	int64_t delay = limits->minimal_backoff_ms;

	for (; attempts > 1 && delay < limits->maximal_backoff_ms; attempts--)
		delay *= 2;
	if (delay > limits->maximal_backoff_ms)
		delay = limits->maximal_backoff_ms;
	return delay -
	    (int64_t)((uint64_t)(delay / 8) * (chance & 0xffff) >> 16);
}
