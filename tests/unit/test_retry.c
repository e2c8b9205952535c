/* SPDX-License-Identifier: ISC */
/* When what was deferred is tried again. */
#include "master/queue/retry.h"

#include <criterion/criterion.h>

Test(retry, times)
{
	static const struct {
		const char *word;
		int64_t want_s;
	} cases[] = { { "1", 1 }, { "90s", 90 }, { "15m", 900 },
		{ "4h", 14400 }, { "100d", 8640000 }, { "0", 0 }, { "101d", 0 },
		{ "", 0 }, { "m", 0 }, { "5x", 0 }, { "5mm", 0 }, { "-5m", 0 },
		{ "99999999999999999999", 0 } };
	int64_t ms;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ms = 0;
		cr_expect_eq(retry_parse(cases[i].word, &ms),
		    cases[i].want_s != 0, "%s", cases[i].word);
		cr_expect_eq(ms, cases[i].want_s * 1000, "%s", cases[i].word);
	}
}

Test(retry, the_last_of_a_list_repeats)
{
	char a[] = "5m", b[] = "1h";
	char *words[] = { a, b };

	cr_expect_eq(retry_step_ms(words, 2, 0), 300000);
	cr_expect_eq(retry_step_ms(words, 2, 1), 300000);
	cr_expect_eq(retry_step_ms(words, 2, 2), 3600000);
	cr_expect_eq(retry_step_ms(words, 2, UINT32_MAX), 3600000);
	cr_expect_eq(retry_step_ms(words, 0, 1), -1);
}

Test(retry, a_wait_is_shorter_by_chance_and_no_more_than_it_may)
{
	cr_expect_eq(retry_vary_ms(1000, 20, 0), 1000);
	cr_expect_eq(retry_vary_ms(1000, 20, UINT32_MAX), 801);
	cr_expect_eq(retry_vary_ms(1000, 0, UINT32_MAX), 1000);
	cr_expect_geq(retry_vary_ms(INT64_C(8640000000), 50, UINT32_MAX),
	    INT64_C(4320000000));
}

/* One message's recipients have one chance; messages have each their own. */
Test(retry, a_chance_is_that_of_a_message_and_its_attempt)
{
	unsigned seen[16] = { 0 };
	uint64_t id;
	size_t i;

	cr_expect_eq(retry_chance(7, 1), retry_chance(7, 1));
	cr_expect_neq(retry_chance(7, 1), retry_chance(7, 2));
	cr_expect_neq(retry_chance(7, 1), retry_chance(8, 1));
	for (id = 0x100000; id < 0x100000 + 1600; id++)
		seen[(retry_chance(id, 1) & 0xffff) >> 12]++;
	for (i = 0; i < 16; i++)
		cr_expect(seen[i] > 50 && seen[i] < 200, "%zu: %u", i, seen[i]);
}

Test(retry, a_server_that_may_be_back_is_tried_soon)
{
	static const int64_t want_ms[] = { 1000, 1000, 2000, 4000, 8000, 10000,
		10000 };
	uint32_t i;

	for (i = 0; i < 7; i++)
		cr_expect_eq(retry_brief_ms(i, 10000), want_ms[i]);
	cr_expect_eq(retry_brief_ms(UINT32_MAX, 300000), 300000);
	cr_expect_eq(retry_brief_ms(1, 500), 500);
}
