/* SPDX-License-Identifier: ISC */
#include "master/queue/learnt.h"

#include <criterion/criterion.h>
#include <string.h>

static struct learnt table[LEARNT_MAX];

static struct msg_dial
server(uint16_t port)
{
	struct msg_dial dial = { .family = 2, .port = port };

	return dial;
}

Test(learnt, it_is_known_of_one_server_for_a_while)
{
	struct msg_dial a = server(25), b = server(26);

	cr_expect_eq(learnt_of(table, &a, 0), 0);
	cr_expect(learnt_add(table, &a, AVOID_EHLO, 1000, 500));
	cr_expect_not(learnt_add(table, &a, AVOID_EHLO, 1100, 500));
	cr_expect(learnt_add(table, &a, AVOID_PIPELINING, 1100, 500));
	cr_expect_eq(learnt_of(table, &a, 1599), AVOID_EHLO | AVOID_PIPELINING);
	cr_expect_eq(learnt_of(table, &a, 1600), 0);
	cr_expect_eq(learnt_of(table, &b, 1200), 0);
	cr_expect(learnt_add(table, &a, AVOID_EHLO, 1700, 500));
	cr_expect_eq(learnt_of(table, &a, 1800), AVOID_EHLO);
}

Test(learnt, what_is_over_is_forgotten_once)
{
	struct msg_dial a = server(25), got;

	cr_expect(learnt_add(table, &a, AVOID_EHLO, 1000, 500));
	cr_expect_eq(learnt_forget(table, &got, 1499), 0);
	cr_expect_eq(learnt_forget(table, &got, 1500), AVOID_EHLO);
	cr_expect_eq(got.port, 25);
	cr_expect_eq(learnt_forget(table, &got, 1500), 0);
}

Test(learnt, the_oldest_makes_room)
{
	for (uint16_t i = 0; i <= LEARNT_MAX; i++) {
		struct msg_dial dial = server(i);

		cr_expect(learnt_add(table, &dial, AVOID_EHLO, i, 10000));
	}
	for (uint16_t i = 0; i <= LEARNT_MAX; i++) {
		struct msg_dial dial = server(i);

		cr_expect_eq(learnt_of(table, &dial, 1000) != 0, i > 0);
	}
}
