/* SPDX-License-Identifier: ISC */
#include "master/queue/learnt.h"

#include <criterion/criterion.h>
#include <string.h>

static struct learnt table[LEARNT_MAX];

static struct learnt_key
server(const char *next_hop, uint16_t port)
{
	struct msg_dial dial = { .family = 2, .port = port };

	return learnt_key(0, next_hop, &dial);
}

Test(learnt, it_takes_two_failures_and_holds_for_a_while)
{
	struct learnt_key a = server("a", 25), b = server("a", 26);

	cr_expect_eq(learnt_of(table, &a, 0), 0);
	cr_expect_eq(learnt_add(table, &a, AVOID_EHLO, 1000, 500), 0);
	cr_expect_eq(learnt_of(table, &a, 1050), 0);
	/* of another kind */
	cr_expect_eq(learnt_add(table, &a, AVOID_PIPELINING, 1060, 500), 0);
	cr_expect_eq(learnt_add(table, &a, AVOID_EHLO, 1100, 500), AVOID_EHLO);
	cr_expect_eq(learnt_add(table, &a, AVOID_EHLO, 1110, 500), 0);
	cr_expect_eq(learnt_of(table, &a, 1609), AVOID_EHLO);
	cr_expect_eq(learnt_of(table, &a, 1610), 0);
	cr_expect_eq(learnt_of(table, &b, 1200), 0);
}

Test(learnt, a_success_between_them_starts_anew)
{
	struct learnt_key a = server("a", 25);

	(void)learnt_add(table, &a, AVOID_EHLO, 1000, 500);
	learnt_confirm(table, &a, AVOID_EHLO);
	cr_expect_eq(learnt_add(table, &a, AVOID_EHLO, 1100, 500), 0);
	cr_expect_eq(learnt_of(table, &a, 1150), 0);
}

Test(learnt, what_one_destination_met_is_not_held_against_another)
{
	struct learnt_key a = server("a", 25), b = server("b", 25);
	struct learnt_key other = learnt_key(1, "a", &a.dial);

	(void)learnt_add(table, &a, AVOID_EHLO, 1000, 500);
	(void)learnt_add(table, &b, AVOID_EHLO, 1000, 500);
	cr_expect_eq(learnt_of(table, &a, 1100), 0);
	(void)learnt_add(table, &a, AVOID_EHLO, 1000, 500);
	cr_expect_eq(learnt_of(table, &a, 1100), AVOID_EHLO);
	cr_expect_eq(learnt_of(table, &b, 1100), 0);
	cr_expect_eq(learnt_of(table, &other, 1100), 0);
}

Test(learnt, what_is_for_the_log_counts_at_once)
{
	struct learnt_key a = server("a", 25);

	cr_expect_eq(learnt_add(table, &a, SEEN_LOOSE_REPLY, 1000, 500),
	    SEEN_LOOSE_REPLY);
	cr_expect_eq(learnt_add(table, &a, SEEN_LOOSE_REPLY, 1100, 500), 0);
}

Test(learnt, what_is_over_is_verified_and_one_failure_brings_it_back)
{
	struct learnt_key a = server("a", 25), got;

	(void)learnt_add(table, &a, AVOID_EHLO, 1000, 500);
	(void)learnt_add(table, &a, AVOID_EHLO, 1000, 500);
	cr_expect_eq(learnt_forget(table, &got, 1499, 9000), 0);
	cr_expect_eq(learnt_forget(table, &got, 1500, 9000), AVOID_EHLO);
	cr_expect_eq(got.dial.port, 25);
	cr_expect_eq(learnt_forget(table, &got, 1500, 9000), 0);
	cr_expect_eq(learnt_of(table, &a, 1600), 0);
	cr_expect_eq(learnt_add(table, &a, AVOID_EHLO, 1700, 500), AVOID_EHLO);
	/* That, too, comes to an end. */
	cr_expect_eq(learnt_forget(table, &got, 2200, 500), AVOID_EHLO);
	cr_expect_eq(learnt_forget(table, &got, 2700, 500), 0);
	cr_expect_eq(learnt_add(table, &a, AVOID_EHLO, 2800, 500), 0);
}

Test(learnt, the_oldest_makes_room)
{
	for (uint16_t i = 0; i <= LEARNT_MAX; i++) {
		struct learnt_key key = server("a", i);

		(void)learnt_add(table, &key, AVOID_EHLO, i, 10000);
		cr_expect(learnt_add(table, &key, AVOID_EHLO, i, 10000));
	}
	for (uint16_t i = 0; i <= LEARNT_MAX; i++) {
		struct learnt_key key = server("a", i);

		cr_expect_eq(learnt_of(table, &key, 1000) != 0, i > 0);
	}
}
