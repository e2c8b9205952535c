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
