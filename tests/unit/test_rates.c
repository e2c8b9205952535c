/* SPDX-License-Identifier: ISC */
#include "master/queue/rates.h"

#include <criterion/criterion.h>

Test(rates, whole_seconds_before_this_one_count)
{
	struct rates rates = { 0 };

	rates_add(&rates, RATE_DELIVERED, 3, 100000);
	rates_add(&rates, RATE_DELIVERED, 4, 100999);
	rates_add(&rates, RATE_FAILED, 1, 100999);
	cr_expect_eq(rates_sum(&rates, RATE_DELIVERED, 10, 100999), 0);
	cr_expect_eq(rates_sum(&rates, RATE_DELIVERED, 10, 101000), 7);
	cr_expect_eq(rates_sum(&rates, RATE_FAILED, 10, 101000), 1);
	rates_add(&rates, RATE_DELIVERED, 5, 105000);
	cr_expect_eq(rates_sum(&rates, RATE_DELIVERED, 10, 106000), 12);
	cr_expect_eq(rates_sum(&rates, RATE_DELIVERED, 5, 106000), 5);
	cr_expect_eq(rates_sum(&rates, RATE_DELIVERED, 10, 111000), 5);
	cr_expect_eq(rates_sum(&rates, RATE_DELIVERED, 60, 160000), 12);
	cr_expect_eq(rates_sum(&rates, RATE_DELIVERED, 60, 165000), 5);
	cr_expect_eq(rates_sum(&rates, RATE_DELIVERED, 60, 166000), 0);
}

Test(rates, after_a_long_silence_nothing_is_left)
{
	struct rates rates = { 0 };

	rates_add(&rates, RATE_ACCEPTED, 9, 64000);
	cr_expect_eq(rates_sum(&rates, RATE_ACCEPTED, 60, 128000), 0);
	rates_add(&rates, RATE_ACCEPTED, 9, 1000000);
	cr_expect_eq(rates_sum(&rates, RATE_ACCEPTED, 60, 9000000), 0);
	cr_expect_eq(rates_sum(&rates, RATE_ACCEPTED, 60, 9000001), 0);
}

Test(rates, a_minute_counts_about_sixty_seconds)
{
	struct minute minute = { 0 };

	cr_expect_eq(minute_sum(&minute, 1000000), 0);
	minute_add(&minute, 3, 1000000);
	minute_add(&minute, 4, 1009999);
	cr_expect_eq(minute_sum(&minute, 1010000), 7);
	minute_add(&minute, 1, 1030000);
	cr_expect_eq(minute_sum(&minute, 1050000), 8);
	cr_expect_eq(minute_sum(&minute, 1060000), 1);
	cr_expect_eq(minute_sum(&minute, 1089999), 1);
	cr_expect_eq(minute_sum(&minute, 1090000), 0);
	minute_add(&minute, 2, 9000000);
	cr_expect_eq(minute_sum(&minute, 9000000), 2);
	/* A clock that stands still, or begins. */
	memset(&minute, 0, sizeof(minute));
	minute_add(&minute, 5, 0);
	cr_expect_eq(minute_sum(&minute, 0), 5);
}
