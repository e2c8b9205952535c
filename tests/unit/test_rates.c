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
