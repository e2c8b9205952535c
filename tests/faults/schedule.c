/* SPDX-License-Identifier: ISC */
/*
 * The scheduler, while memory runs out: each recipient that was added is taken
 * once, and nothing that could not be added is there.
 */
#include "faults.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "master/queue/schedule.h"

enum {
	DESTINATIONS = 3,
	MESSAGES = 40,
	RCPTS = 3,
};

static struct schedule *schedule;
static unsigned waiting; /* that we know of */

static void
message_gone(void *ctx, struct schedule_message *message)
{
	(void)ctx;
	(void)message;
}

static void
destination_gone(struct schedule_destination *destination)
{
	(void)destination;
}

static struct schedule_destination *
destination(unsigned i)
{
	char name[32];

	(void)snprintf(name, sizeof(name), "d%u.example", i);
	return schedule_destination(schedule, i % 2, name, 0);
}

static void
add(struct schedule_destination *d, uint64_t id, uint32_t index)
{
	char domain[32];
	struct store_envelope envelope = { .id = id,
		.nrcpts = RCPTS,
		.reverse_path = "s@e.example",
		.parameters = "",
		.via = "" };
	struct store_recipient recipient = { .message = id,
		.index = index,
		.address = "a@b.example",
		.parameters = "",
		.via = "",
		.lane = (uint32_t)id % 3,
		.domain = domain };

	(void)snprintf(domain, sizeof(domain), "d%u.example",
	    (unsigned)id % DESTINATIONS);
	if (schedule_add(schedule, d, &envelope, &recipient, 0) == 0)
		waiting++;
	else if (errno == EEXIST)
		faults_fail("%u of %u is there already", index, (unsigned)id);
}

/* A transaction of each goes, one comes back, one is taken out of turn. */
static void
take(struct schedule_destination *d, bool gives_back)
{
	struct schedule_recipients all = TAILQ_HEAD_INITIALIZER(all);
	struct schedule_recipient *r;

	if (d->waiting == 0)
		return;
	schedule_session_begun(schedule, d);
	(void)schedule_take(schedule, d, &all);
	if (gives_back) {
		/* What it could not take is forgotten: the store has it. */
		uint32_t before = schedule_active(schedule);

		(void)schedule_give_back(schedule, d, &all);
		waiting -= before - schedule_active(schedule);
	} else {
		while ((r = TAILQ_FIRST(&all)) != NULL) {
			TAILQ_REMOVE(&all, r, entry);
			schedule_forget(schedule, r);
			waiting--;
		}
	}
	schedule_session_ended(schedule, d);
}

static void
drive(void)
{
	static const struct feedback_rules rules = { .initial = 2,
		.limit = 4,
		.positive = { FEEDBACK_ONE, FEEDBACK_BY_CONCURRENCY },
		.negative = { FEEDBACK_ONE, FEEDBACK_BY_ONE },
		.failed_cohorts = 1 };
	const struct schedule_transport transport = { .process_limit = 10,
		.recipient_limit = 2,
		.feedback = rules };
	const struct rate rate = { .amount = 2, .period_ms = 1000, .burst = 2 };
	struct schedule_destination *d;
	struct limit *limit;

	if (schedule_set_transport(schedule, 0, &transport) == -1 ||
	    schedule_set_transport(schedule, 1, &transport) == -1)
		return;
	limit = schedule_limit_new(schedule);
	if (limit != NULL) {
		schedule_limit_change(schedule, limit, &rate, 1, 2, 0);
		d = destination(1);
		if (d != NULL)
			schedule_set_limit(schedule, d, (enum limit_slot)0,
			    limit);
	}
	for (uint64_t id = 1; id <= MESSAGES; id++) {
		d = destination((unsigned)id % DESTINATIONS);
		for (uint32_t i = 0; d != NULL && i < RCPTS; i++)
			add(d, id, i);
	}
	for (unsigned i = 0; i < 2 * MESSAGES; i++) {
		d = destination(i % DESTINATIONS);
		if (d != NULL)
			take(d, i % 4 == 0);
		if (i % 8 == 0 && schedule_is_loaded(schedule, i / 2 + 1, 2) &&
		    schedule_withdraw(schedule, i / 2 + 1, 2))
			waiting--;
		(void)schedule_pick(schedule, 10, i);
	}
	for (d = schedule_first_destination(schedule); d != NULL;
	     d = TAILQ_NEXT(d, entry)) {
		(void)schedule_failed(schedule, d, SCHEDULE_FAILED, 1000);
		schedule_lift(schedule, d->transport, d->next_hop);
	}
	schedule_sweep(schedule, 100000);
}

static void
run(void)
{
	const struct schedule_limits limits = { .active_recipients = 1000,
		.minimal_backoff_ms = 1000,
		.maximal_backoff_ms = 10000 };
	const struct schedule_hooks hooks = { .message_gone = message_gone,
		.destination_gone = destination_gone };

	faults_arm();
	schedule = schedule_new(&limits, &hooks);
	if (schedule != NULL)
		drive();
	faults_disarm();
	if (schedule == NULL && !faults_fired())
		faults_fail("no scheduler");
	if (schedule != NULL && schedule_active(schedule) != waiting)
		faults_fail("%u recipients are in memory, %u should be",
		    schedule_active(schedule), waiting);
	schedule_free(schedule);
}

const struct scenario schedule_scenario = { "schedule", run };
