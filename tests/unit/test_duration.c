/* SPDX-License-Identifier: ISC */
#include "common/duration.h"

#include <criterion/criterion.h>

#include "common/util.h"

static const struct {
	const char *text;
	int64_t want;
} cases[] = {
	{ "0", 0 },
	{ "90", 90 },
	{ "90s", 90 },
	{ "10m", 600 },
	{ "2h", 7200 },
	{ "2d", 172800 },
	{ "1w", 604800 },
	{ "1d12h", 129600 },
	{ "1h30", 3630 },
	{ "36600d", 36600LL * 86400 },
	{ "36601d", -1 },
	{ "99999999999999999999", -1 },
	{ "", -1 },
	{ "d", -1 },
	{ "-1", -1 },
	{ "1 d", -1 },
	{ "1x", -1 },
	{ "1dd", -1 },
	{ "1.5h", -1 },
	{ " 1h", -1 },
};

Test(duration, only_a_time_is_read)
{
	for (size_t i = 0; i < NELEM(cases); i++)
		cr_expect_eq(duration_parse(cases[i].text), cases[i].want, "%s",
		    cases[i].text);
}

Test(duration, two_units_are_shown)
{
	char out[DURATION_SIZE];

	cr_expect_str_eq(duration_format(-5, out), "0s");
	cr_expect_str_eq(duration_format(59, out), "59s");
	cr_expect_str_eq(duration_format(60, out), "1m0s");
	cr_expect_str_eq(duration_format(3725, out), "1h2m");
	cr_expect_str_eq(duration_format(90061, out), "1d1h");
	cr_expect_str_eq(duration_format(8 * 86400, out), "8d0h");
}
