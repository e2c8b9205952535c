/* SPDX-License-Identifier: ISC */
#include "master/queue/clock.h"

#include <criterion/criterion.h>

Test(clock, one_that_goes_on_was_not_set)
{
	struct clock clock = { 0 };

	cr_expect_eq(clock_watch(&clock, 1000000, 500), 0, "the first look");
	cr_expect_eq(clock_watch(&clock, 1005000, 5500), 0);
	/* A second a look is a clock that is slewed. */
	cr_expect_eq(clock_watch(&clock, 1011000, 10500), 0);
	cr_expect_eq(clock_watch(&clock, 1017000, 15500), 0);
	cr_expect_eq(clock_age_ms(&clock, 1000000, 1017000), 17000);
}

Test(clock, what_waited_while_it_was_set_forward_is_no_older)
{
	struct clock clock = { 0 };

	(void)clock_watch(&clock, 1000000, 0);
	cr_expect_eq(clock_watch(&clock, 90005000, 5000), 89000000);
	cr_expect_eq(clock_age_ms(&clock, 1000000, 90005000), 5000);
	cr_expect_eq(clock_age_ms(&clock, 900000, 90010000), 110000);
	/* What came later has its age by the clock. */
	cr_expect_eq(clock_age_ms(&clock, 90005000, 90010000), 5000);
}

Test(clock, one_that_is_set_back_takes_back_what_it_forgave)
{
	struct clock clock = { 0 };

	(void)clock_watch(&clock, 1000000, 0);
	(void)clock_watch(&clock, 90005000, 5000);
	cr_expect_eq(clock_watch(&clock, 1010000, 10000), -89000000);
	cr_expect_eq(clock_age_ms(&clock, 1000000, 1010000), 10000);
	cr_expect_eq(clock_watch(&clock, 15000, 15000), -1000000);
	cr_expect_leq(clock_age_ms(&clock, 1000000, 15000), 0,
	    "of the future: young");
}
