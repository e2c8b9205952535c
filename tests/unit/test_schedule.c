/* SPDX-License-Identifier: ISC */
/* The scheduler without a clock, a store or a worker. */
#include "master/queue/schedule.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <criterion/criterion.h>

static struct schedule *schedule;
static uint32_t messages_gone;
static uint32_t destinations_gone;

static void
message_gone(void *ctx, struct schedule_message *message)
{
	(void)ctx;
	(void)message;
	messages_gone++;
}

static void
destination_gone(struct schedule_destination *destination)
{
	(void)destination;
	destinations_gone++;
}

static const struct feedback_rules rules = { .initial = 2,
	.limit = 4,
	.positive = { FEEDBACK_ONE, FEEDBACK_BY_CONCURRENCY },
	.negative = { FEEDBACK_ONE, FEEDBACK_BY_ONE },
	.failed_cohorts = 1 };

static void
set_up(void)
{
	struct schedule_limits limits = { .active_recipients = 100,
		.minimal_backoff_ms = 1000,
		.maximal_backoff_ms = 10000 };
	struct schedule_hooks hooks = { .message_gone = message_gone,
		.destination_gone = destination_gone };
	struct schedule_transport transport = { .process_limit = 10,
		.recipient_limit = 3,
		.feedback = rules };

	schedule = schedule_new(&limits, &hooks);
	cr_assert_neq(schedule, NULL);
	cr_assert_eq(schedule_set_transport(schedule, 0, &transport), 0);
	cr_assert_eq(schedule_set_transport(schedule, 1, &transport), 0);
}

static void
tear_down(void)
{
	schedule_free(schedule);
	cr_expect_eq(destinations_gone > 0 || messages_gone == 0, 1);
}

TestSuite(schedule, .init = set_up, .fini = tear_down);

static struct schedule_destination *
destination(const char *name)
{
	struct schedule_destination *d;

	d = schedule_destination(schedule, 0, name, 0);
	cr_assert_neq(d, NULL);
	return d;
}

/* A recipient of a message of ten. */
static int
add_to_lane(struct schedule_destination *d, uint64_t id, uint32_t index,
    const char *domain, uint32_t lane)
{
	struct store_envelope envelope = { .id = id,
		.nrcpts = 10,
		.reverse_path = "",
		.parameters = "",
		.via = "" };
	struct store_recipient recipient = { .message = id,
		.index = index,
		.address = "a@b",
		.parameters = "",
		.via = "",
		.lane = lane,
		.domain = domain };

	return schedule_add(schedule, d, &envelope, &recipient, 0);
}

static int
add(struct schedule_destination *d, uint64_t id, uint32_t index,
    const char *domain)
{
	return add_to_lane(d, id, index, domain, 0);
}

static uint32_t
room(const char *domain, uint32_t lane)
{
	return schedule_room(schedule, domain, lane, false, 0);
}

/* One row of a source was read, and stays in the store until then. */
static void
leave_all(struct schedule_source *source, int64_t until_ms, int64_t now_ms)
{
	schedule_look_begins(schedule, source);
	schedule_leave(schedule, source, until_ms);
	schedule_look_ends(schedule, source, 1, true, now_ms);
}

static void
forget_all(struct schedule_recipients *recipients)
{
	struct schedule_recipient *r;

	while ((r = TAILQ_FIRST(recipients)) != NULL) {
		TAILQ_REMOVE(recipients, r, entry);
		schedule_forget(schedule, r);
	}
}

Test(schedule, a_transaction_holds_one_message_and_no_more_than_the_limit)
{
	struct schedule_recipients got = TAILQ_HEAD_INITIALIZER(got);
	struct schedule_destination *d = destination("x");
	uint32_t i;

	for (i = 0; i < 4; i++)
		cr_expect_eq(add(d, 1, i, "x"), 0);
	cr_expect_eq(add(d, 2, 0, "x"), 0);
	cr_expect_eq(d->waiting, 2);
	cr_expect_eq(schedule_take(schedule, d, &got), 3);
	cr_expect_eq(TAILQ_FIRST(&got)->index, 0);
	forget_all(&got);
	cr_expect_eq(schedule_take(schedule, d, &got), 1);
	cr_expect_eq(TAILQ_FIRST(&got)->message->id, 1);
	cr_expect_eq(messages_gone, 0);
	forget_all(&got);
	cr_expect_eq(messages_gone, 1);
	cr_expect_eq(schedule_take(schedule, d, &got), 1);
	cr_expect_eq(TAILQ_FIRST(&got)->message->id, 2);
	forget_all(&got);
	cr_expect_eq(schedule_take(schedule, d, &got), 0);
	cr_expect_eq(schedule_active(schedule), 0);
}

Test(schedule, what_comes_back_is_first_in_turn)
{
	struct schedule_recipients got = TAILQ_HEAD_INITIALIZER(got);
	struct schedule_destination *d = destination("x");

	(void)add(d, 1, 0, "x");
	(void)add(d, 2, 0, "x");
	cr_expect_eq(schedule_take(schedule, d, &got), 1);
	cr_expect_eq(schedule_give_back(schedule, d, &got), 0);
	cr_expect_eq(schedule_take(schedule, d, &got), 1);
	cr_expect_eq(TAILQ_FIRST(&got)->message->id, 1);
	forget_all(&got);
}

Test(schedule, a_recipient_is_in_memory_once)
{
	struct schedule_destination *d = destination("x");

	cr_expect_eq(add(d, 1, 3, "x"), 0);
	cr_expect(schedule_is_loaded(schedule, 1, 3));
	cr_expect_not(schedule_is_loaded(schedule, 1, 4));
	cr_expect_not(schedule_is_loaded(schedule, 1, 99));
	cr_expect_eq(add(d, 1, 3, "x"), -1);
	cr_expect_eq(errno, EEXIST);
	cr_expect_eq(add(d, 1, 10, "x"), -1, "it has ten recipients");
	cr_expect_eq(schedule_active(schedule), 1);
}

/* Of 100 places the last 12 are for what has just come in. */
Test(schedule, no_domain_and_no_lane_takes_the_place_of_the_next_one)
{
	struct schedule_destination *d = destination("x");
	uint64_t id;

	cr_expect_eq(room("big", 0), 22);
	for (id = 1; room("big", 0) > 0; id++)
		cr_assert_eq(add(d, id, 0, "big"), 0);
	cr_expect_eq(schedule_active(schedule), 22);
	cr_expect_eq(room("big", 1), 11, "another sender to the same domain");
	for (; room("big", 1) > 0; id++)
		cr_assert_eq(add_to_lane(d, id, 0, "big", 1), 0);
	cr_expect_eq(room("big", 2), 5);
	cr_expect_eq(room("other", 0), 13);
	for (; room("other", 0) > 0; id++)
		cr_assert_eq(add(d, id, 0, "other"), 0);
	cr_expect_gt(room("third", 0), 0);
}

Test(schedule, the_active_set_ends_at_its_limit)
{
	struct schedule_destination *d = destination("x");
	char domain[16];
	uint64_t id;

	cr_expect(schedule_is_hungry(schedule));
	for (id = 1; id <= 100; id++) {
		(void)snprintf(domain, sizeof(domain), "d%u", (unsigned)id);
		cr_assert_gt(schedule_room(schedule, domain, 0, true, 0), 0);
		cr_assert_eq(room(domain, 0) > 0, id <= 88);
		cr_assert_eq(schedule_is_hungry(schedule), id <= 88);
		cr_assert_eq(add(d, id, 0, domain), 0);
	}
	cr_expect_eq(schedule_room(schedule, "one-more", 0, true, 0), 0);
}

Test(schedule, it_is_hungry_again_once_there_are_places_worth_a_question)
{
	struct schedule_recipients got = TAILQ_HEAD_INITIALIZER(got);
	struct schedule_destination *d = destination("x");
	uint64_t id;

	for (id = 1; id <= 88; id++)
		cr_assert_eq(add(d, id, 0, "x"), 0);
	cr_expect_not(schedule_is_hungry(schedule));
	for (id = 1; id <= 11; id++)
		(void)schedule_take(schedule, d, &got);
	forget_all(&got);
	cr_expect_not(schedule_is_hungry(schedule));
	(void)schedule_take(schedule, d, &got);
	forget_all(&got);
	cr_expect(schedule_is_hungry(schedule));
}

Test(schedule, lanes_of_a_destination_have_their_turns)
{
	struct schedule_recipients got = TAILQ_HEAD_INITIALIZER(got);
	struct schedule_destination *d = destination("x");
	uint64_t id;

	for (id = 1; id <= 50; id++)
		(void)add_to_lane(d, id, 0, "x", 1);
	(void)add_to_lane(d, 60, 0, "x", 2);
	(void)schedule_take(schedule, d, &got);
	cr_expect_eq(TAILQ_FIRST(&got)->message->id, 1);
	forget_all(&got);
	(void)schedule_take(schedule, d, &got);
	cr_expect_eq(TAILQ_FIRST(&got)->message->id, 60,
	    "the second turn is the second sender's");
	forget_all(&got);
	(void)schedule_take(schedule, d, &got);
	cr_expect_eq(TAILQ_FIRST(&got)->message->id, 2);
	forget_all(&got);
}

Test(schedule, high_goes_before_low_and_low_goes_too)
{
	struct schedule_recipients got = TAILQ_HEAD_INITIALIZER(got);
	struct schedule_destination *d = destination("x");
	uint32_t turns[LANE_CLASS_COUNT] = { 0 };
	uint32_t class;
	uint64_t id;

	for (id = 1; id <= 30; id++)
		for (class = 0; class < LANE_CLASS_COUNT; class ++)
			(void)add_to_lane(d, id + 100 * class, 0, "x",
			    class << LANE_HASH_BITS);
	for (id = 0; id < 21; id++) {
		(void)schedule_take(schedule, d, &got);
		turns[lane_class(TAILQ_FIRST(&got)->source->lane)]++;
		forget_all(&got);
	}
	cr_expect_eq(turns[LANE_HIGH], 16);
	cr_expect_eq(turns[LANE_NORMAL], 4);
	cr_expect_eq(turns[LANE_LOW], 1);
}

Test(schedule, sources_with_more_have_their_turns)
{
	struct schedule_source *a = schedule_source(schedule, "a", 0);
	struct schedule_source *b = schedule_source(schedule, "b", 0);

	cr_expect_eq(schedule_source(schedule, "b", 0), b);
	cr_expect_eq(schedule_next_source(schedule), NULL);
	schedule_set_more(schedule, a, true);
	schedule_set_more(schedule, b, true);
	cr_expect_eq(schedule_next_source(schedule), a);
	cr_expect_eq(schedule_next_source(schedule), b);
	cr_expect_eq(schedule_next_source(schedule), NULL, "all were in vain");
	schedule_sources_changed(schedule);
	cr_expect_eq(schedule_next_source(schedule), a);
	leave_all(b, 60, 0);
	schedule_sources_changed(schedule);
	cr_expect_eq(schedule_next_source(schedule), a);
	cr_expect_eq(schedule_next_source(schedule), NULL);
	schedule_turn(schedule, 60);
	cr_expect_eq(schedule_next_source(schedule), a);
	cr_expect_eq(schedule_next_source(schedule), b);
}

Test(schedule, what_is_remembered_of_sources_has_a_bound)
{
	struct schedule_source *source;
	char domain[16];
	uint32_t n;

	for (n = 0; n < 10000; n++) {
		(void)snprintf(domain, sizeof(domain), "d%u", n);
		source = schedule_source(schedule, domain, 0);
		if (source == NULL)
			break;
		schedule_set_more(schedule, source, true);
	}
	cr_expect_eq(errno, ENOSPC);
	cr_expect_eq(n, 100 + 4096);
	for (n = 0; n < 100000; n++) {
		(void)snprintf(domain, sizeof(domain), "e%u", n);
		cr_assert_eq(schedule_source(schedule, domain, 0), NULL);
	}
}

Test(schedule, destinations_have_their_turns)
{
	struct schedule_destination *a = destination("a");
	struct schedule_destination *b = destination("b");
	struct schedule_destination *picked;
	int i;

	for (i = 0; i < 5; i++)
		(void)add(a, 1 + (uint64_t)i, 0, "a");
	for (i = 0; i < 5; i++)
		(void)add(b, 10 + (uint64_t)i, 0, "b");
	for (i = 0; i < 4; i++) {
		picked = schedule_pick(schedule, 9, 0);
		cr_assert_eq(picked, i % 2 == 0 ? a : b);
		schedule_session_begun(schedule, picked);
	}
	cr_expect_eq(schedule_pick(schedule, 9, 0), NULL,
	    "both have their two sessions");
	schedule_session_ended(schedule, b);
	cr_expect_eq(schedule_pick(schedule, 0, 0), NULL, "no worker is left");
	cr_expect_eq(schedule_pick(schedule, 6, 0), b);
	schedule_session_ended(schedule, a);
	schedule_session_ended(schedule, a);
	schedule_session_ended(schedule, b);
}

Test(schedule, who_has_no_session_comes_before_who_has)
{
	struct schedule_destination *bulk = destination("bulk");
	struct schedule_destination *one;
	struct schedule_destination *other;

	for (uint64_t i = 0; i < 5; i++)
		(void)add(bulk, 1 + i, 0, "bulk");
	cr_assert_eq(schedule_pick(schedule, 9, 0), bulk);
	schedule_session_begun(schedule, bulk);
	one = destination("one");
	(void)add(one, 20, 0, "one");
	other = schedule_destination(schedule, 1, "other", 0);
	(void)add(other, 21, 0, "other");
	/* Whichever of the transports has its turn. */
	cr_assert_eq(schedule_pick(schedule, 9, 0), other);
	schedule_session_begun(schedule, other);
	cr_assert_eq(schedule_pick(schedule, 9, 0), one);
	schedule_session_begun(schedule, one);
	cr_expect_not(schedule_is_short(schedule, 0));
	cr_expect_eq(schedule_pick(schedule, 9, 0)->sessions, 1);
	schedule_session_ended(schedule, bulk);
	cr_expect(schedule_is_short(schedule, 0), "again without one");
	cr_expect_eq(schedule_pick(schedule, 1, 0), bulk);
	schedule_session_ended(schedule, one);
	schedule_session_ended(schedule, other);
}

Test(schedule, half_of_the_workers_are_not_for_sessions_that_may_hang)
{
	struct schedule_destination *d = destination("x");

	for (uint64_t i = 0; i < 5; i++)
		(void)add(d, 1 + i, 0, "x");
	cr_assert_eq(schedule_pick(schedule, 1, 0), d, "one, to try it");
	schedule_session_begun(schedule, d);
	cr_expect_eq(schedule_pick(schedule, 5, 0), NULL);
	cr_expect_eq(schedule_pick(schedule, 6, 0), d, "many are free");
	schedule_succeeded(schedule, d);
	cr_expect_eq(schedule_pick(schedule, 1, 0), d, "it answers");
	schedule_session_ended(schedule, d);
	cr_assert_eq(schedule_pick(schedule, 1, 0), d);
	schedule_session_begun(schedule, d);
	cr_expect_eq(schedule_pick(schedule, 5, 0), NULL, "it has to again");
	schedule_session_ended(schedule, d);
}

Test(schedule, a_transport_has_its_process_limit)
{
	struct schedule_transport one = { .process_limit = 1,
		.recipient_limit = 1,
		.feedback = rules };
	struct schedule_destination *a = destination("a");
	struct schedule_destination *b = destination("b");

	(void)schedule_set_transport(schedule, 0, &one);
	(void)add(a, 1, 0, "a");
	(void)add(b, 2, 0, "b");
	cr_expect_eq(schedule_pick(schedule, 9, 0), a);
	schedule_session_begun(schedule, a);
	cr_expect_eq(schedule_pick(schedule, 9, 0), NULL);
	cr_expect(schedule_is_short(schedule, 0));
	schedule_session_ended(schedule, a);
	cr_expect_eq(schedule_pick(schedule, 9, 0), b);
}

Test(schedule, concurrency_grows_by_success_up_to_its_limit)
{
	struct schedule_destination *d = destination("x");
	int i;

	cr_expect_eq(d->feedback.concurrency, 2);
	schedule_succeeded(schedule, d);
	cr_expect_eq(d->feedback.concurrency, 2);
	schedule_succeeded(schedule, d);
	cr_expect_eq(d->feedback.concurrency, 3);
	for (i = 0; i < 50; i++)
		schedule_succeeded(schedule, d);
	cr_expect_eq(d->feedback.concurrency, 4);
}

static bool
failed(struct schedule_destination *d, enum schedule_failure failure,
    int64_t now_ms)
{
	return schedule_failed(schedule, d, failure, now_ms);
}

/* A failure counts as one of as many sessions as there may be, whether others
 * are there or not. */
Test(schedule, one_failure_is_not_the_death_of_a_destination)
{
	struct schedule_destination *d = destination("x");

	(void)add(d, 1, 0, "x");
	cr_expect_not(failed(d, SCHEDULE_FAILED, 0));
	cr_expect_eq(schedule_pick(schedule, 9, 0), d);
	cr_expect_not(schedule_is_resting(d, 0));
	cr_expect(failed(d, SCHEDULE_FAILED, 0));
	cr_expect(schedule_is_resting(d, 0));
}

Test(schedule, a_rest_is_never_longer_than_the_minimum)
{
	struct schedule_destination *d = destination("x");
	int64_t now_ms = 0;
	int i;

	(void)add(d, 1, 0, "x");
	cr_expect_not(failed(d, SCHEDULE_FAILED, 0));
	cr_expect_eq(d->feedback.concurrency, 1);
	for (i = 0; i < 9; i++) {
		cr_expect(failed(d, SCHEDULE_FAILED, now_ms));
		cr_expect_eq(d->blocked_until_ms, now_ms + 1000);
		cr_expect_eq(schedule_pick(schedule, 9, now_ms + 999), NULL);
		cr_expect_eq(schedule_wake_ms(schedule, now_ms + 999),
		    now_ms + 1000);
		now_ms += 1000;
		cr_expect_eq(schedule_pick(schedule, 9, now_ms), d);
	}
	schedule_succeeded(schedule, d);
	cr_expect_eq(d->blocked_until_ms, 0);
	cr_expect_eq(d->failures, 0);
}

static void
rest_at_most(int64_t ms)
{
	struct schedule_limits limits = { .active_recipients = 100,
		.minimal_backoff_ms = ms,
		.maximal_backoff_ms = 10 * ms };

	schedule_set_limits(schedule, &limits);
}

/* A server that is expected to be there, or one that keeps messages and answers
 * none of them. */
Test(schedule, some_rests_are_brief_at_first)
{
	static const int64_t want_ms[] = { 1000, 2000, 4000, 8000, 16000, 20000,
		20000 };
	static const enum schedule_failure failures[] = { SCHEDULE_BRIEF,
		SCHEDULE_DOUBT };
	static const char *const names[] = { "x", "y" };
	struct schedule_destination *d;
	int64_t now_ms;
	size_t i, j;

	rest_at_most(20000);
	for (j = 0; j < 2; j++) {
		d = destination(names[j]);
		now_ms = 0;
		/* The first that may come twice is enough. */
		if (failures[j] == SCHEDULE_BRIEF)
			cr_expect_not(failed(d, failures[j], 0));
		for (i = 0; i < 7; i++) {
			cr_expect(failed(d, failures[j], now_ms));
			cr_expect_eq(d->blocked_until_ms - now_ms, want_ms[i]);
			cr_expect_eq(schedule_rests_briefly(d, now_ms),
			    want_ms[i] <= 5000);
			now_ms = d->blocked_until_ms;
		}
	}
}

Test(schedule, what_is_new_probes_a_destination_in_its_rest)
{
	struct schedule_recipients got = TAILQ_HEAD_INITIALIZER(got);
	struct schedule_destination *d = destination("x");
	int64_t now_ms = 0, last_ms;
	uint32_t probes = 0;
	uint64_t id;

	rest_at_most(300000);
	cr_expect_not(failed(d, SCHEDULE_FAILED, 0));
	cr_expect(failed(d, SCHEDULE_FAILED, 0));
	cr_expect_eq(d->blocked_until_ms, 300000);
	cr_expect_not(schedule_may_probe(schedule, d, true, 0));
	/* One message a tenth of a second. */
	for (id = 1, last_ms = 0; now_ms < 290000; now_ms += 100, id++) {
		if (schedule_may_probe(schedule, d, false, now_ms))
			cr_assert_eq(add(d, id, 0, "x"), 0);
		cr_assert_leq(d->waiting, 16);
		if (schedule_pick(schedule, 9, now_ms) == NULL)
			continue;
		probes++;
		cr_expect_leq(now_ms - last_ms, 30100, "it takes seconds");
		schedule_session_begun(schedule, d);
		cr_expect_eq(schedule_pick(schedule, 9, now_ms), NULL);
		cr_expect(failed(d, SCHEDULE_FAILED, now_ms));
		schedule_session_ended(schedule, d);
		schedule_suspend(schedule, d, &got);
		forget_all(&got);
		last_ms = now_ms;
	}
	cr_expect_geq(probes, 10);
	cr_expect_leq(probes, 15);
	cr_expect_eq(d->blocked_until_ms, 300000, "none made its rest longer");
	cr_expect_gt(d->waiting, 0);
	now_ms += 30000;
	cr_expect_eq(schedule_pick(schedule, 9, now_ms), d);
	schedule_succeeded(schedule, d);
	cr_expect_not(schedule_is_resting(d, now_ms));
}

Test(schedule, no_login_is_tried_again_before_the_rest_is_over)
{
	struct schedule_destination *d = destination("x");

	rest_at_most(300000);
	cr_expect(failed(d, SCHEDULE_LOGIN, 0), "each may lock the account");
	cr_expect(schedule_may_probe(schedule, d, false, 0));
	cr_assert_eq(add(d, 1, 0, "x"), 0);
	cr_expect_eq(schedule_pick(schedule, 9, 299999), NULL);
	cr_expect_eq(schedule_pick(schedule, 9, 300000), d);
}

Test(schedule, what_one_destination_leaves_does_not_hold_back_another)
{
	struct schedule_recipients got = TAILQ_HEAD_INITIALIZER(got);
	struct schedule_destination *d = destination("x");
	struct schedule_source *source;

	(void)add(d, 1, 0, "x");
	(void)add(d, 2, 0, "x");
	schedule_suspend(schedule, d, &got);
	cr_expect_eq(d->waiting, 0);
	forget_all(&got);
	cr_expect_eq(schedule_room(schedule, "x", 0, false, 0), 22);
	source = schedule_source(schedule, "x", 0);
	leave_all(source, 300000, 0);
	cr_expect_eq(schedule_room(schedule, "x", 0, false, 0), 0);
	cr_expect_gt(schedule_room(schedule, "x", 1, false, 0), 0,
	    "another sender's");
	/* What may be loaded behind the rows that stay is found soon. */
	cr_expect_leq(schedule_wake_ms(schedule, 0), 1100);
	schedule_turn(schedule, 1100);
	cr_expect_eq(schedule_next_source(schedule), source);
	schedule_look_begins(schedule, source);
	cr_expect_eq(source->left, 0, "from its beginning");
}

Test(schedule, the_more_is_left_the_later_is_the_next_look)
{
	struct schedule_source *source = schedule_source(schedule, "x", 0);
	int64_t first_ms;
	int i;

	schedule_look_begins(schedule, source);
	for (i = 0; i < 500; i++)
		schedule_leave(schedule, source, 300000);
	schedule_look_ends(schedule, source, 500, false, 0);
	first_ms = schedule_wake_ms(schedule, 0);
	cr_expect_geq(first_ms, 500, "a hundredth of the time");
	schedule_turn(schedule, first_ms);
	source->cursor.message = 7;
	schedule_look_begins(schedule, source);
	cr_expect_eq(source->cursor.message, 7, "the look goes on");
	for (i = 0; i < 9500; i++)
		schedule_leave(schedule, source, 300000);
	schedule_look_ends(schedule, source, 9500, true, 0);
	cr_expect_geq(schedule_wake_ms(schedule, 0), 10000);
	schedule_end_rests(schedule);
	cr_expect_eq(schedule_next_source(schedule), source);
	schedule_look_begins(schedule, source);
	cr_expect_eq(source->cursor.message, 0);
}

Test(schedule, a_sweep_frees_what_holds_nothing)
{
	struct schedule_recipients got = TAILQ_HEAD_INITIALIZER(got);
	struct schedule_destination *d = destination("x");

	(void)add(d, 1, 0, "x");
	schedule_sweep(schedule, 0);
	cr_expect_eq(destinations_gone, 0);
	(void)schedule_take(schedule, d, &got);
	forget_all(&got);
	schedule_pause(schedule, d, true);
	schedule_sweep(schedule, 0);
	cr_expect_eq(destinations_gone, 0);
	schedule_pause(schedule, d, false);
	d->keep_until_ms = 5;
	schedule_sweep(schedule, 4);
	cr_expect_eq(destinations_gone, 0);
	schedule_sweep(schedule, 5);
	cr_expect_eq(destinations_gone, 1);
	cr_expect_eq(schedule_find_domain(schedule, "x"), NULL);
}

Test(schedule, retries_wait_longer_each_time_up_to_the_maximum)
{
	static const struct {
		uint32_t attempts;
		int64_t want_ms;
	} cases[] = { { 0, 1000 }, { 1, 1000 }, { 2, 2000 }, { 3, 4000 },
		{ 4, 8000 }, { 5, 10000 }, { UINT32_MAX, 10000 } };
	struct schedule_limits limits = { .minimal_backoff_ms = 1000,
		.maximal_backoff_ms = 10000 };
	int64_t least;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cr_expect_eq(schedule_retry_ms(&limits, cases[i].attempts, 0),
		    cases[i].want_ms);
		least =
		    schedule_retry_ms(&limits, cases[i].attempts, UINT32_MAX);
		cr_expect_leq(least, cases[i].want_ms * 7 / 8 + 1);
		cr_expect_geq(least, cases[i].want_ms * 7 / 8);
	}
}

/* Others of its domain have another destination. */
Test(schedule, a_variant_stands_by_itself)
{
	struct schedule_destination *plain = destination("b.example");
	struct schedule_destination *variant;
	struct schedule_recipients out = TAILQ_HEAD_INITIALIZER(out);

	variant = schedule_destination(schedule, 0, "b.example", 1);
	cr_assert_neq(variant, NULL);
	cr_expect_neq(variant, plain);
	cr_expect_eq(schedule_destination(schedule, 0, "b.example", 1),
	    variant);
	cr_assert_eq(add(variant, 1, 0, "b.example"), 0);
	cr_assert(failed(variant, SCHEDULE_DOUBT, 1000));
	schedule_suspend(schedule, variant, &out);
	cr_expect_eq(plain->blocked_until_ms, 0);
	cr_expect_gt(schedule_room(schedule, "b.example", 0, false, 0), 0);
	forget_all(&out);
}

Test(schedule, a_waiting_recipient_is_withdrawn_and_one_in_a_session_is_not)
{
	struct schedule_recipients got = TAILQ_HEAD_INITIALIZER(got);
	struct schedule_destination *d = destination("x");

	(void)add(d, 1, 0, "x");
	(void)add(d, 1, 1, "x");
	(void)add(d, 2, 0, "x");
	cr_expect(schedule_withdraw(schedule, 1, 1));
	cr_expect_not(schedule_is_loaded(schedule, 1, 1));
	cr_expect_eq(schedule_active(schedule), 2);
	cr_expect(schedule_withdraw(schedule, 1, 1), "it is not in memory");
	cr_expect(schedule_withdraw(schedule, 7, 0), "nor is this");
	cr_expect_eq(schedule_take(schedule, d, &got), 1);
	cr_expect_not(schedule_withdraw(schedule, 1, 0));
	cr_expect_eq(schedule_active(schedule), 2);
	cr_expect(schedule_withdraw(schedule, 2, 0));
	cr_expect_eq(d->waiting, 0);
	cr_expect_eq(messages_gone, 1);
	forget_all(&got);
	cr_expect_eq(schedule_active(schedule), 0);
}

Test(schedule, a_stopped_destination_gets_no_session)
{
	struct schedule_destination *d = destination("x");

	(void)add(d, 1, 0, "x");
	schedule_stop(schedule, d, true);
	cr_expect_null(schedule_pick(schedule, 10, 0));
	cr_expect_not(schedule_is_short(schedule, 0));
	schedule_stop(schedule, d, false);
	cr_expect_eq(schedule_pick(schedule, 10, 0), d);
}

Test(schedule, a_block_is_lifted_for_every_variant)
{
	struct schedule_destination *d = destination("x"), *v, *other;

	v = schedule_destination(schedule, 0, "x", 1);
	other = schedule_destination(schedule, 1, "x", 0);
	schedule_block(schedule, d, 50);
	schedule_block(schedule, v, 50);
	schedule_block(schedule, other, 50);
	schedule_lift(schedule, 0, "x");
	cr_expect_eq(d->blocked_until_ms, 0);
	cr_expect_eq(v->blocked_until_ms, 0);
	cr_expect_eq(other->blocked_until_ms, 50);
}

Test(schedule, a_dead_destination_is_probed_by_one_session)
{
	struct schedule_destination *d = destination("x");

	(void)add(d, 1, 0, "x");
	(void)add(d, 2, 0, "x");
	schedule_session_begun(schedule, d);
	cr_assert_not(failed(d, SCHEDULE_FAILED, 0));
	cr_assert(failed(d, SCHEDULE_FAILED, 0));
	schedule_session_ended(schedule, d);
	cr_expect_eq(schedule_pick(schedule, 9, 1000), d);
	schedule_session_begun(schedule, d);
	cr_expect_eq(schedule_pick(schedule, 9, 1000), NULL);
	schedule_succeeded(schedule, d);
	cr_expect_eq(d->feedback.concurrency, 2, "as many as at first");
	cr_expect_eq(schedule_pick(schedule, 9, 1000), d);
	schedule_session_ended(schedule, d);
}

/* The block is no longer for every session that was under way. */
Test(schedule, sessions_that_end_after_it_is_dead_do_not_count)
{
	struct schedule_destination *d = destination("x");

	schedule_session_begun(schedule, d);
	schedule_session_begun(schedule, d);
	cr_expect_not(failed(d, SCHEDULE_FAILED, 0));
	schedule_session_ended(schedule, d);
	cr_expect(failed(d, SCHEDULE_FAILED, 0));
	cr_expect(failed(d, SCHEDULE_FAILED, 1));
	cr_expect_eq(d->failures, 1);
	cr_expect_eq(d->blocked_until_ms, 1000);
	schedule_session_ended(schedule, d);
}

static struct limit *
limited_to(const char *rate, uint32_t sessions)
{
	struct limit *limit = schedule_limit_new(schedule);
	struct rate rates[1];

	cr_assert_neq(limit, NULL);
	if (rate != NULL)
		cr_assert_eq(rate_parse(rate, &rates[0]), NULL);
	schedule_limit_change(schedule, limit, rates, rate != NULL, sessions,
	    0);
	return limit;
}

/* What a session does with its turn. */
static void
send_one(struct schedule_destination *d)
{
	struct schedule_recipients got = TAILQ_HEAD_INITIALIZER(got);

	cr_expect_eq(schedule_take(schedule, d, &got), 1);
	forget_all(&got);
}

Test(schedule, a_rate_holds_back_until_there_is_enough_again)
{
	struct schedule_destination *d = destination("x");
	struct limit *limit = limited_to("2 messages/second burst 1", 0);

	schedule_set_limit(schedule, d, LIMIT_TRANSPORT, limit);
	(void)add(d, 1, 0, "x");
	(void)add(d, 2, 0, "x");
	(void)add(d, 3, 0, "x");
	cr_expect_eq(schedule_pick(schedule, 9, 0), d);
	schedule_session_begun(schedule, d);
	cr_expect(schedule_may_take(schedule, d, 0));
	send_one(d);
	cr_expect_not(schedule_may_take(schedule, d, 0));
	cr_expect_eq(schedule_pick(schedule, 9, 0), NULL,
	    "nor another session");
	cr_expect_eq(schedule_wake_ms(schedule, 0), 500);
	schedule_turn(schedule, 499);
	cr_expect_not(schedule_may_take(schedule, d, 499));
	schedule_turn(schedule, 500);
	cr_expect(schedule_may_take(schedule, d, 500));
	send_one(d);
	cr_expect_not(schedule_may_take(schedule, d, 500));
	cr_expect_eq(schedule_wake_ms(schedule, 500), 1000);
	schedule_session_ended(schedule, d);
}

/* A bulk run that has a session does not take each token before the others. */
Test(schedule, those_who_wait_for_a_rate_have_their_turns)
{
	struct schedule_destination *a = destination("a");
	struct schedule_destination *b = destination("b");
	struct limit *limit = limited_to("1 message/second", 0);
	uint64_t id;

	schedule_set_limit(schedule, a, LIMIT_TRANSPORT, limit);
	schedule_set_limit(schedule, b, LIMIT_TRANSPORT, limit);
	for (id = 1; id < 9; id++)
		(void)add(a, id, 0, "a");
	(void)add(b, 20, 0, "b");
	cr_expect_eq(schedule_pick(schedule, 9, 0), a);
	schedule_session_begun(schedule, a);
	send_one(a);
	cr_expect_not(schedule_may_take(schedule, a, 0));
	cr_expect_eq(schedule_pick(schedule, 9, 0), NULL);
	schedule_turn(schedule, 1000);
	cr_expect(schedule_may_take(schedule, a, 1000), "it was first");
	send_one(a);
	cr_expect_not(schedule_may_take(schedule, a, 1000));
	cr_expect_eq(schedule_wake_ms(schedule, 1000), 2000);
	schedule_turn(schedule, 2000);
	cr_expect_not(schedule_may_take(schedule, a, 2000), "b was next");
	cr_expect_eq(schedule_pick(schedule, 9, 2000), b);
	schedule_session_begun(schedule, b);
	send_one(b);
	schedule_session_ended(schedule, a);
	schedule_session_ended(schedule, b);
}

Test(schedule, a_group_shares_its_sessions)
{
	struct schedule_destination *a = destination("a");
	struct schedule_destination *b = destination("b");
	struct limit *limit = limited_to(NULL, 1);

	schedule_set_limit(schedule, a, LIMIT_GROUP, limit);
	schedule_set_limit(schedule, b, LIMIT_GROUP, limit);
	(void)add(a, 1, 0, "a");
	(void)add(b, 2, 0, "b");
	cr_expect_eq(schedule_pick(schedule, 9, 0), a);
	schedule_session_begun(schedule, a);
	cr_expect_eq(schedule_pick(schedule, 9, 0), NULL);
	cr_expect_eq(schedule_wake_ms(schedule, 0), 0, "no time is known");
	cr_expect(limit_wants_sessions(&a->limited), "b waits for it");
	schedule_session_ended(schedule, a);
	cr_expect_not(limit_wants_sessions(&a->limited));
	cr_expect_eq(schedule_pick(schedule, 9, 0), b);
	schedule_session_begun(schedule, b);
	schedule_session_ended(schedule, b);
}

Test(schedule, sources_that_rest_have_their_turns_again)
{
	struct schedule_source *a, *b, *c;

	a = schedule_source(schedule, "a", 0);
	b = schedule_source(schedule, "b", 0);
	c = schedule_source(schedule, "c", 0);
	cr_assert(a != NULL && b != NULL && c != NULL);
	leave_all(a, 500, 0);
	leave_all(b, 400, 0);
	leave_all(c, 300, 0);
	cr_expect_eq(schedule_room(schedule, "b", 0, false, 0), 0);
	schedule_lift_domain(schedule, b->domain);
	cr_expect_eq(schedule_room(schedule, "a", 0, false, 0), 0);
	cr_expect_gt(schedule_room(schedule, "b", 0, false, 0), 0);
	schedule_end_rests(schedule);
	cr_expect_gt(schedule_room(schedule, "a", 0, false, 0), 0);
	cr_expect_gt(schedule_room(schedule, "c", 0, false, 0), 0);
}

/* One that is freed stands on no list, whatever it was limited by. */
Test(schedule, destinations_with_limits_come_and_go)
{
	struct limit *limit = limited_to("9 messages/second", 9);
	struct schedule_destination *d;
	char name[16];
	uint32_t i;

	for (i = 0; i < 5000; i++) {
		(void)snprintf(name, sizeof(name), "x%u", i);
		d = destination(name);
		schedule_set_limit(schedule, d, LIMIT_TRANSPORT, limit);
		schedule_sweep(schedule, 1);
		cr_assert_eq(destinations_gone, i + 1);
	}
	cr_expect_eq(limit->users, 0);
	cr_expect_eq(schedule_first_destination(schedule), NULL);
}

/* Nor do they keep those with mail that can go from their place. */
Test(schedule, many_that_rest_end_that_in_no_time)
{
	struct schedule_source *source;
	char name[16];
	clock_t begun = clock();
	int i;

	for (i = 0; i < 80000; i++) {
		(void)snprintf(name, sizeof(name), "x%d", i);
		source = schedule_source(schedule, name, 0);
		cr_assert_neq(source, NULL);
		leave_all(source, 1000 + i, 0);
	}
	schedule_end_rests(schedule);
	cr_expect_lt(clock() - begun, CLOCKS_PER_SEC / 2);
	cr_expect_gt(schedule_room(schedule, "x79999", 0, false, 0), 0);
}
