/* SPDX-License-Identifier: ISC */
/*
 * Destinations, and which transaction a session gets.
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
	TAILQ_INIT(&schedule->more);
	TAILQ_INIT(&schedule->idle_sources);
	TAILQ_INIT(&schedule->destinations);
	TAILQ_INIT(&schedule->idle);
	LIST_INIT(&schedule->limits_made);
	TAILQ_INIT(&schedule->limits_changed);
	for (i = 0; i < SCHEDULE_BUCKETS; i++) {
		LIST_INIT(&schedule->messages_by_id[i]);
		LIST_INIT(&schedule->domains_by_name[i]);
		LIST_INIT(&schedule->sources_by_lane[i]);
		LIST_INIT(&schedule->by_next_hop[i]);
		LIST_INIT(&schedule->lanes_by_number[i]);
	}
	for (i = 0; i < SCHEDULE_ACTIVE_BUCKETS; i++) {
		LIST_INIT(&schedule->groups[i]);
		LIST_INIT(&schedule->recipients[i]);
	}
	return schedule;
}

void
schedule_drop_destination(struct schedule *schedule,
    struct schedule_destination *destination)
{
	enum limit_slot slot;

	if (schedule->swept == destination)
		schedule->swept = TAILQ_NEXT(destination, entry);
	for (slot = LIMIT_TRANSPORT; slot < LIMIT_SLOT_COUNT; slot++)
		schedule_set_limit(schedule, destination, slot, NULL);
	schedule_unplace(schedule, destination); /* which had a place again */
	heap_remove(&schedule->blocked, &destination->block);
	heap_unreserve(&schedule->blocked);
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

	while ((recipient = TAILQ_FIRST(recipients)) != NULL) {
		TAILQ_REMOVE(recipients, recipient, entry);
		schedule_forget(schedule, recipient);
	}
}

/* What schedule_take gave out must have come back; limits go too. */
void
schedule_free(struct schedule *schedule)
{
	struct schedule_destination *destination;
	struct schedule_recipients recipients;

	if (schedule == NULL)
		return;
	while ((destination = TAILQ_FIRST(&schedule->destinations)) != NULL) {
		TAILQ_INIT(&recipients);
		schedule_suspend(schedule, destination, &recipients);
		schedule_forget_all(schedule, &recipients);
		schedule_drop_destination(schedule, destination);
	}
	assert(schedule->active == 0);
	schedule_clear_active(schedule);
	while (!LIST_EMPTY(&schedule->limits_made))
		schedule_limit_free(schedule,
		    LIST_FIRST(&schedule->limits_made));
	heap_clear(&schedule->blocked);
	heap_clear(&schedule->limited);
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
	uint32_t i, rank;

	if (transport >= schedule->ntransports) {
		/* Their lists point into them: nothing may move unseen. */
		grown = calloc(transport + 1U, sizeof(*grown));
		if (grown == NULL)
			return -1;
		for (i = 0; i <= transport; i++) {
			for (rank = 0; rank < SCHEDULE_RANK_COUNT; rank++)
				TAILQ_INIT(&grown[i].ready[rank]);
			if (i >= schedule->ntransports)
				continue;
			grown[i].limits = schedule->transports[i].limits;
			grown[i].sessions = schedule->transports[i].sessions;
			for (rank = 0; rank < SCHEDULE_RANK_COUNT; rank++)
				TAILQ_CONCAT(&grown[i].ready[rank],
				    &schedule->transports[i].ready[rank], turn);
		}
		free(schedule->transports);
		schedule->transports = grown;
		schedule->ntransports = transport + 1U;
	}
	schedule->transports[transport].limits = *limits;
	return 0;
}

struct schedule_destination *
schedule_find_destination(const struct schedule *schedule, uint32_t transport,
    const char *next_hop, uint32_t variant)
{
	struct schedule_destination *destination;

	LIST_FOREACH(destination,
	    &schedule->by_next_hop[schedule_hash(next_hop, transport)], hash)
		if (destination->transport == transport &&
		    (destination->variant == variant ||
			variant == SCHEDULE_ANY_VARIANT) &&
		    strcmp(destination->next_hop, next_hop) == 0)
			return destination;
	return NULL;
}

struct schedule_destination *
schedule_destination(struct schedule *schedule, uint32_t transport,
    const char *next_hop, uint32_t variant)
{
	struct schedule_destination *destination;
	struct schedule_destination_bucket *bucket;
	size_t size = strlen(next_hop) + 1;
	size_t i;

	destination =
	    schedule_find_destination(schedule, transport, next_hop, variant);
	if (destination != NULL)
		return destination;
	bucket = &schedule->by_next_hop[schedule_hash(next_hop, transport)];
	if (transport >= schedule->ntransports) {
		errno = EINVAL;
		return NULL;
	}
	destination = calloc(1, sizeof(*destination) + size);
	if (destination == NULL || heap_reserve(&schedule->blocked) == -1) {
		free(destination);
		return NULL;
	}
	memcpy(destination->next_hop, next_hop, size);
	destination->transport = transport;
	destination->variant = variant;
	feedback_init(&destination->feedback,
	    &schedule->transports[transport].limits.feedback);
	for (i = 0; i < LANE_CLASS_COUNT; i++)
		TAILQ_INIT(&destination->lanes[i]);
	LIST_INSERT_HEAD(bucket, destination, hash);
	TAILQ_INSERT_TAIL(&schedule->destinations, destination, entry);
	schedule_review(schedule, destination);
	return destination;
}

struct schedule_destination *
schedule_first_destination(struct schedule *schedule)
{
	return TAILQ_FIRST(&schedule->destinations);
}

/* Lanes. */

static struct schedule_lane_bucket *
lane_bucket(struct schedule *schedule,
    const struct schedule_destination *destination, uint32_t number)
{
	uintptr_t key = (uintptr_t)destination / 64 + number * 2654435761U;

	return &schedule->lanes_by_number[(key ^ key >> 16) &
	    (SCHEDULE_BUCKETS - 1)];
}

static struct schedule_lane *
lane_find(struct schedule *schedule, struct schedule_destination *destination,
    uint32_t number)
{
	struct schedule_lane *lane;

	LIST_FOREACH(lane, lane_bucket(schedule, destination, number), hash)
		if (lane->destination == destination && lane->number == number)
			return lane;
	return NULL;
}

/* One that comes back goes first again, any other behind those who wait. */
static struct schedule_lane *
lane_make(struct schedule *schedule, struct schedule_destination *destination,
    uint32_t number, bool first)
{
	struct schedule_lanes *lanes = &destination->lanes[lane_class(number)];
	struct schedule_lane *lane;

	lane = calloc(1, sizeof(*lane));
	if (lane == NULL)
		return NULL;
	TAILQ_INIT(&lane->groups);
	lane->destination = destination;
	lane->number = number;
	LIST_INSERT_HEAD(lane_bucket(schedule, destination, number), lane,
	    hash);
	if (first)
		TAILQ_INSERT_HEAD(lanes, lane, entry);
	else
		TAILQ_INSERT_TAIL(lanes, lane, entry);
	return lane;
}

static void
lane_drop_empty(struct schedule_lane *lane)
{
	struct schedule_lanes *lanes;

	if (!TAILQ_EMPTY(&lane->groups))
		return;
	lanes = &lane->destination->lanes[lane_class(lane->number)];
	TAILQ_REMOVE(lanes, lane, entry);
	LIST_REMOVE(lane, hash);
	free(lane);
}

/* The lane whose turn it is; NULL where none waits. */
static struct schedule_lane *
lane_next(struct schedule_destination *destination)
{
	struct schedule_lanes *lanes;
	struct schedule_lane *lane;
	uint32_t waiting = 0;
	uint32_t i;

	for (i = 0; i < LANE_CLASS_COUNT; i++)
		if (!TAILQ_EMPTY(&destination->lanes[i]))
			waiting |= 1U << i;
	if (waiting == 0)
		return NULL;
	lanes =
	    &destination->lanes[lane_turn(destination->turns_left, waiting)];
	lane = TAILQ_FIRST(lanes);
	TAILQ_REMOVE(lanes, lane, entry);
	TAILQ_INSERT_TAIL(lanes, lane, entry);
	return lane;
}

/* Groups. */

/* A message may have as many as recipients. */
static struct schedule_group_bucket *
group_bucket(struct schedule *schedule, const struct schedule_message *message,
    const struct schedule_destination *destination)
{
	uint64_t key = ((uint64_t)(uintptr_t)message / 64 * 2654435761U) ^
	    ((uint64_t)(uintptr_t)destination / 64);

	return &schedule->groups[(key ^ key >> 16) % SCHEDULE_ACTIVE_BUCKETS];
}

/* The group that waits for this destination. */
static struct schedule_group *
schedule_find_group(struct schedule *schedule,
    const struct schedule_message *message,
    const struct schedule_destination *destination)
{
	struct schedule_group *group;

	LIST_FOREACH(group, group_bucket(schedule, message, destination), hash)
		if (group->message == message &&
		    group->lane->destination == destination)
			return group;
	return NULL;
}

static struct schedule_group *
schedule_make_group(struct schedule *schedule, struct schedule_message *message,
    struct schedule_destination *destination, uint32_t number, bool first)
{
	struct schedule_group *group;
	struct schedule_lane *lane;

	group = calloc(1, sizeof(*group));
	if (group == NULL)
		return NULL;
	lane = lane_find(schedule, destination, number);
	if (lane == NULL)
		lane = lane_make(schedule, destination, number, first);
	if (lane == NULL) {
		free(group);
		return NULL;
	}
	group->message = message;
	group->lane = lane;
	TAILQ_INIT(&group->recipients);
	LIST_INSERT_HEAD(group_bucket(schedule, message, destination), group,
	    hash);
	if (first)
		TAILQ_INSERT_HEAD(&lane->groups, group, entry);
	else
		TAILQ_INSERT_TAIL(&lane->groups, group, entry);
	destination->waiting++;
	return group;
}

void
schedule_drop_group(struct schedule_group *group)
{
	LIST_REMOVE(group, hash);
	TAILQ_REMOVE(&group->lane->groups, group, entry);
	group->lane->destination->waiting--;
	lane_drop_empty(group->lane);
	free(group);
}

int
schedule_enqueue(struct schedule *schedule,
    struct schedule_destination *destination,
    struct schedule_recipient *recipient, bool first)
{
	struct schedule_group *group;

	group = schedule_find_group(schedule, recipient->message, destination);
	if (group == NULL)
		group = schedule_make_group(schedule, recipient->message,
		    destination, recipient->source->lane, first);
	if (group == NULL)
		return -1;
	TAILQ_INSERT_TAIL(&group->recipients, recipient, entry);
	recipient->group = group;
	group->len++;
	if (group->len == 1 && destination->waiting == 1)
		schedule_review(schedule, destination);
	return 0;
}

uint32_t
schedule_take(struct schedule *schedule,
    struct schedule_destination *destination,
    struct schedule_recipients *recipients)
{
	struct schedule_lane *lane = lane_next(destination);
	struct schedule_recipient *recipient;
	struct schedule_group *group;
	uint32_t limit;
	uint32_t n = 0;

	if (lane == NULL)
		return 0;
	group = TAILQ_FIRST(&lane->groups);
	limit =
	    schedule->transports[destination->transport].limits.recipient_limit;
	while (n < limit &&
	    (recipient = TAILQ_FIRST(&group->recipients)) != NULL) {
		TAILQ_REMOVE(&group->recipients, recipient, entry);
		TAILQ_INSERT_TAIL(recipients, recipient, entry);
		recipient->group = NULL;
		group->len--;
		n++;
	}
	if (destination->limited.count > 0)
		limit_count_message(&destination->limited, n,
		    group->message->size);
	if (group->len == 0)
		schedule_drop_group(group);
	if (destination->waiting == 0)
		schedule_review(schedule, destination);
	return n;
}

int
schedule_give_back(struct schedule *schedule,
    struct schedule_destination *destination,
    struct schedule_recipients *recipients)
{
	struct schedule_recipient *recipient;
	int ret = 0;

	while ((recipient = TAILQ_FIRST(recipients)) != NULL) {
		TAILQ_REMOVE(recipients, recipient, entry);
		if (schedule_enqueue(schedule, destination, recipient, true) ==
		    0)
			continue;
		/* It stays in the store, which shows it to us again. */
		schedule_forget(schedule, recipient);
		ret = -1;
	}
	return ret;
}

void
schedule_suspend(struct schedule *schedule,
    struct schedule_destination *destination,
    struct schedule_recipients *recipients)
{
	struct schedule_recipient *recipient;
	struct schedule_group *group;
	struct schedule_lane *lane;

	while ((lane = lane_next(destination)) != NULL) {
		group = TAILQ_FIRST(&lane->groups);
		TAILQ_FOREACH(recipient, &group->recipients, entry)
			recipient->group = NULL;
		TAILQ_CONCAT(recipients, &group->recipients, entry);
		schedule_drop_group(group);
	}
	schedule_review(schedule, destination);
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
