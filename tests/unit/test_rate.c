/* SPDX-License-Identifier: ISC */
/* Rates as words, and buckets over time. */
#include "master/queue/rate.h"

#include <criterion/criterion.h>

Test(rate, words)
{
	static const struct {
		const char *word;
		struct rate want;
	} good[] = {
		{ "100 messages/minute burst 20",
		    { RATE_MESSAGES, 100, 60000, 20 } },
		{ "10 connections/second", { RATE_CONNECTIONS, 10, 1000, 10 } },
		{ "1 recipient / h", { RATE_RECIPIENTS, 1, 3600000, 1 } },
		{ "10m octets/s", { RATE_OCTETS, 10485760, 1000, 10485760 } },
		{ "64k octets/minute burst 1m",
		    { RATE_OCTETS, 65536, 60000, 1048576 } },
	};
	static const char *const bad[] = { "", "messages/second",
		"0 messages/second", "1 messages", "1 message/day",
		"1 message/second burst", "1 message/second burst 0",
		"1 message/second 5", "1 mess/second",
		"99999999999999999999 octets/s", "-1 messages/s" };
	struct rate rate;
	size_t i;

	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		cr_expect_null(rate_parse(good[i].word, &rate), "%s",
		    good[i].word);
		cr_expect(rate_same(&rate, &good[i].want), "%s", good[i].word);
	}
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_expect_not_null(rate_parse(bad[i], &rate), "%s", bad[i]);
}

Test(rate, what_is_written_is_read_as_the_same)
{
	static const char *const words[] = { "1 message/s", "7 recipients/m",
		"10m octets/h burst 1m", "3 connections/minute burst 9" };
	char text[RATE_TEXT_SIZE];
	struct rate rate, again;
	size_t i;

	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		cr_assert_null(rate_parse(words[i], &rate));
		cr_assert_null(rate_parse(rate_format(&rate, text), &again),
		    "%s", text);
		cr_expect(rate_same(&rate, &again), "%s", text);
	}
	rate = (struct rate){ RATE_OCTETS, RATE_AMOUNT_MAX, 60000,
		RATE_AMOUNT_MAX };
	cr_expect_str_eq(rate_format(&rate, text),
	    "100000000000 octets/minute burst 100000000000");
}

/* Of a minute, no more than the rate and its burst go, whatever the steps. */
Test(rate, a_bucket_gives_what_its_rate_says)
{
	static const int64_t steps_ms[] = { 1, 7, 100, 999, 5000 };
	struct rate_bucket bucket;
	struct rate rate;
	int64_t now_ms;
	int64_t count;
	size_t i;

	cr_assert_null(rate_parse("100 messages/minute burst 20", &rate));
	for (i = 0; i < sizeof(steps_ms) / sizeof(steps_ms[0]); i++) {
		rate_init(&bucket, &rate, 0);
		count = 0;
		for (now_ms = 0; now_ms <= 60000; now_ms += steps_ms[i])
			for (; rate_wait_ms(&bucket, &rate, 1, now_ms) == 0;
			     count++)
				rate_take(&bucket, &rate, 1);
		cr_expect_geq(count, 117);
		cr_expect_leq(count, 120);
	}
}

Test(rate, it_says_when_there_is_enough)
{
	struct rate_bucket bucket;
	struct rate rate;
	int64_t wait_ms;

	cr_assert_null(rate_parse("7 messages/second burst 1", &rate));
	rate_init(&bucket, &rate, 50);
	cr_expect_eq(rate_wait_ms(&bucket, &rate, 1, 50), 0);
	rate_take(&bucket, &rate, 1);
	wait_ms = rate_wait_ms(&bucket, &rate, 1, 50);
	cr_expect_eq(wait_ms, 143);
	cr_expect_eq(rate_wait_ms(&bucket, &rate, 1, 50 + wait_ms - 1), 1);
	cr_expect_eq(rate_wait_ms(&bucket, &rate, 1, 50 + wait_ms), 0);
}

/* It goes once the bucket is full, and all others wait for its debt. */
Test(rate, what_is_larger_than_the_burst_goes_too)
{
	struct rate_bucket bucket;
	struct rate rate;

	cr_assert_null(rate_parse("1k octets/second", &rate));
	rate_init(&bucket, &rate, 0);
	cr_expect_eq(rate_wait_ms(&bucket, &rate, 10240, 0), 0);
	rate_take(&bucket, &rate, 10240);
	cr_expect_eq(rate_wait_ms(&bucket, &rate, 1024, 0), 10000);
	cr_expect_eq(rate_wait_ms(&bucket, &rate, 1024, 9999), 1);
	cr_expect_eq(rate_wait_ms(&bucket, &rate, 1024, 10000), 0);
}

Test(rate, nothing_overflows)
{
	struct rate_bucket bucket;
	struct rate rate;
	int i;

	cr_assert_null(
	    rate_parse("100000000000 octets/hour burst 100000000000", &rate));
	rate_init(&bucket, &rate, 0);
	for (i = 0; i < 100; i++)
		rate_take(&bucket, &rate, INT64_MAX);
	cr_expect_gt(rate_wait_ms(&bucket, &rate, INT64_MAX, 0), 0);
	cr_expect_eq(rate_wait_ms(&bucket, &rate, 1, INT64_MAX / 2), 0);
}

Test(rate, what_is_left_comes_back_as_it_was)
{
	struct rate rate;
	struct rate_bucket bucket;
	int64_t left_us;

	for (size_t i = 0; i < 3; i++) {
		static const char *const words[] = { "1 message/hour",
			"1000 messages/second burst 50", "1m octets/second" };

		cr_assert_null(rate_parse(words[i], &rate));
		left_us = rate_cost_us(&rate, rate.burst);
		rate_set_left(&bucket, &rate, left_us, 1000);
		cr_expect_gt(rate_wait_ms(&bucket, &rate, 1, 1000), 0, "%s",
		    words[i]);
		cr_expect_eq(rate_wait_ms(&bucket, &rate, rate.burst, 1000),
		    (left_us + 999) / 1000, "%s", words[i]);
		rate_set_left(&bucket, &rate, 0, 1000);
		cr_expect_eq(rate_wait_ms(&bucket, &rate, rate.burst, 1000), 0);
		rate_set_left(&bucket, &rate, INT64_MAX, 1000);
		cr_expect_gt(rate_wait_ms(&bucket, &rate, 1, 1000), 0);
	}
}
