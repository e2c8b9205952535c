/* SPDX-License-Identifier: ISC */
/* The scheduler without a clock, a store or a worker. */
#include "master/queue/schedule.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

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

static void
set_up(void)
{
	struct schedule_limits limits = { .active_recipients = 100,
		.minimal_backoff_ms = 1000,
		.maximal_backoff_ms = 10000 };
	struct schedule_hooks hooks = { .message_gone = message_gone,
		.destination_gone = destination_gone };
	struct schedule_transport transport = { .process_limit = 10,
		.initial_concurrency = 2,
		.concurrency_limit = 4,
		.recipient_limit = 3 };

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
add(struct schedule_destination *d, uint64_t id, uint32_t index,
    const char *domain)
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
		.domain = domain };

	return schedule_add(schedule, d, &envelope, &recipient, 0);
}

static void
forget_all(struct schedule_recipients *recipients)
{
	struct schedule_recipient *r;

	while ((r = STAILQ_FIRST(recipients)) != NULL) {
		STAILQ_REMOVE_HEAD(recipients, entry);
		schedule_forget(schedule, r);
	}
}

Test(schedule, a_transaction_holds_one_message_and_no_more_than_the_limit)
{
	struct schedule_recipients got = STAILQ_HEAD_INITIALIZER(got);
	struct schedule_destination *d = destination("x");
	uint32_t i;

	for (i = 0; i < 4; i++)
		cr_expect_eq(add(d, 1, i, "x"), 0);
	cr_expect_eq(add(d, 2, 0, "x"), 0);
	cr_expect_eq(d->waiting, 2);
	cr_expect_eq(schedule_take(schedule, d, &got), 3);
	cr_expect_eq(STAILQ_FIRST(&got)->index, 0);
	forget_all(&got);
	cr_expect_eq(schedule_take(schedule, d, &got), 1);
	cr_expect_eq(STAILQ_FIRST(&got)->message->id, 1);
	cr_expect_eq(messages_gone, 0);
	forget_all(&got);
	cr_expect_eq(messages_gone, 1);
	cr_expect_eq(schedule_take(schedule, d, &got), 1);
	cr_expect_eq(STAILQ_FIRST(&got)->message->id, 2);
	forget_all(&got);
	cr_expect_eq(schedule_take(schedule, d, &got), 0);
	cr_expect_eq(schedule_active(schedule), 0);
}

Test(schedule, what_comes_back_is_first_in_turn)
{
	struct schedule_recipients got = STAILQ_HEAD_INITIALIZER(got);
	struct schedule_destination *d = destination("x");

	(void)add(d, 1, 0, "x");
	(void)add(d, 2, 0, "x");
	cr_expect_eq(schedule_take(schedule, d, &got), 1);
	cr_expect_eq(schedule_give_back(schedule, d, &got), 0);
	cr_expect_eq(schedule_take(schedule, d, &got), 1);
	cr_expect_eq(STAILQ_FIRST(&got)->message->id, 1);
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

Test(schedule, no_domain_takes_the_place_of_the_next_one)
{
	struct schedule_destination *d = destination("x");
	uint64_t id;

	cr_expect_eq(schedule_room(schedule, "big", 0), 50);
	for (id = 1; schedule_room(schedule, "big", 0) > 0; id++)
		cr_assert_eq(add(d, id, 0, "big"), 0);
	cr_expect_eq(schedule_active(schedule), 50);
	cr_expect_eq(schedule_room(schedule, "other", 0), 25);
	for (; schedule_room(schedule, "other", 0) > 0; id++)
		cr_assert_eq(add(d, id, 0, "other"), 0);
	cr_expect_gt(schedule_room(schedule, "third", 0), 0);
}

Test(schedule, the_active_set_ends_at_its_limit)
{
	struct schedule_destination *d = destination("x");
	char domain[16];
	uint64_t id;

	for (id = 1; id <= 100; id++) {
		(void)snprintf(domain, sizeof(domain), "d%u", (unsigned)id);
		cr_assert_gt(schedule_room(schedule, domain, 0), 0);
		cr_assert_eq(add(d, id, 0, domain), 0);
	}
	cr_expect_eq(schedule_room(schedule, "one-more", 0), 0);
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
	cr_expect_eq(schedule_pick(schedule, 1, 0), b);
	schedule_session_ended(schedule, a);
	schedule_session_ended(schedule, a);
	schedule_session_ended(schedule, b);
}

Test(schedule, a_transport_has_its_process_limit)
{
	struct schedule_transport one = { .process_limit = 1,
		.initial_concurrency = 2,
		.concurrency_limit = 2,
		.recipient_limit = 1 };
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

	cr_expect_eq(d->concurrency, 2);
	schedule_succeeded(schedule, d);
	cr_expect_eq(d->concurrency, 2);
	schedule_succeeded(schedule, d);
	cr_expect_eq(d->concurrency, 3);
	for (i = 0; i < 50; i++)
		schedule_succeeded(schedule, d);
	cr_expect_eq(d->concurrency, 4);
}

Test(schedule, failures_shrink_and_then_block_with_doubling_times)
{
	struct schedule_destination *d = destination("x");

	(void)add(d, 1, 0, "x");
	schedule_session_begun(schedule, d);
	schedule_session_begun(schedule, d);
	cr_expect_not(schedule_failed(schedule, d, 0));
	cr_expect_eq(d->concurrency, 1);
	schedule_session_ended(schedule, d);
	cr_expect(schedule_failed(schedule, d, 0));
	cr_expect_eq(d->blocked_until_ms, 1000);
	schedule_session_ended(schedule, d);
	cr_expect_eq(schedule_pick(schedule, 9, 999), NULL);
	cr_expect_eq(schedule_wake_ms(schedule, 999), 1000);
	cr_expect_eq(schedule_pick(schedule, 9, 1000), d);
	cr_expect(schedule_failed(schedule, d, 1000));
	cr_expect_eq(d->blocked_until_ms, 3000);
	schedule_succeeded(schedule, d);
	cr_expect_eq(d->blocked_until_ms, 0);
	cr_expect_eq(d->failures, 0);
}

Test(schedule, a_suspended_destination_blocks_the_domains_that_waited)
{
	struct schedule_recipients got = STAILQ_HEAD_INITIALIZER(got);
	struct schedule_destination *d = destination("x");

	(void)add(d, 1, 0, "x");
	(void)add(d, 2, 0, "x");
	cr_expect(schedule_failed(schedule, d, 0) || d->concurrency == 1);
	schedule_suspend(schedule, d, &got);
	cr_expect_eq(d->waiting, 0);
	forget_all(&got);
	cr_expect_eq(schedule_room(schedule, "x", 999), 0);
	cr_expect_eq(schedule_room(schedule, "x", 1000), 50);
	cr_expect_eq(schedule_wake_ms(schedule, 5), 1000);
}

Test(schedule, a_sweep_frees_what_holds_nothing)
{
	struct schedule_recipients got = STAILQ_HEAD_INITIALIZER(got);
	struct schedule_destination *d = destination("x");

	(void)add(d, 1, 0, "x");
	schedule_sweep(schedule, 0);
	cr_expect_eq(destinations_gone, 0);
	(void)schedule_take(schedule, d, &got);
	forget_all(&got);
	d->paused = true;
	schedule_sweep(schedule, 0);
	cr_expect_eq(destinations_gone, 0);
	d->paused = false;
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
	struct schedule_recipients out = STAILQ_HEAD_INITIALIZER(out);

	variant = schedule_destination(schedule, 0, "b.example", 1);
	cr_assert_neq(variant, NULL);
	cr_expect_neq(variant, plain);
	cr_expect_eq(schedule_destination(schedule, 0, "b.example", 1),
	    variant);
	cr_assert_eq(add(variant, 1, 0, "b.example"), 0);
	cr_assert(schedule_failed(schedule, variant, 1000));
	schedule_suspend(schedule, variant, &out);
	cr_expect_eq(plain->blocked_until_ms, 0);
	cr_expect_eq(
	    schedule_find_domain(schedule, "b.example")->blocked_until_ms, 0);
	forget_all(&out);
}

Test(schedule, a_waiting_recipient_is_withdrawn_and_one_in_a_session_is_not)
{
	struct schedule_recipients got = STAILQ_HEAD_INITIALIZER(got);
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
	d->stopped = true;
	cr_expect_null(schedule_pick(schedule, 10, 0));
	cr_expect_not(schedule_is_short(schedule, 0));
	d->stopped = false;
	cr_expect_eq(schedule_pick(schedule, 10, 0), d);
}

Test(schedule, a_block_is_lifted_for_every_variant)
{
	struct schedule_destination *d = destination("x"), *v, *other;

	v = schedule_destination(schedule, 0, "x", 1);
	other = schedule_destination(schedule, 1, "x", 0);
	d->blocked_until_ms = v->blocked_until_ms = 50;
	other->blocked_until_ms = 50;
	schedule_lift(schedule, 0, "x");
	cr_expect_eq(d->blocked_until_ms, 0);
	cr_expect_eq(v->blocked_until_ms, 0);
	cr_expect_eq(other->blocked_until_ms, 50);
}
