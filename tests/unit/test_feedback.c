/* SPDX-License-Identifier: ISC */
/* What a row of answers makes of the number of sessions. */
#include "master/queue/feedback.h"

#include <criterion/criterion.h>

struct setting {
	const char *positive;
	const char *negative;
	uint32_t cohorts;
};

/* '+': a transaction went through; '-': a session failed; '!': one failed that
 * counts for all; '0'..'9': so many sessions are right now;
 * 'D': it is dead, 'L': it is not. */
static const struct {
	struct setting setting;
	const char *events;
} cases[] = {
	/* As many successes as sessions: one more; up to the limit. */
	{ { "1/concurrency", "1", 1 }, "3 ++3 +4 ++++5 +++++6 +++++++++6" },
	{ { "1", "1", 1 }, "3 +4 +5 +6 +6" },
	{ { "0.5", "1", 1 }, "3 +3 +4 +4 +5" },
	{ { "1/sqrt_concurrency", "1", 1 }, "3 +3 +4 +4 +5" },
	{ { "0", "1", 1 }, "3 ++++++3" },
	/* A failure takes one, and what was gained. */
	{ { "1/concurrency", "1", 9 }, "3 ++-2 +2 +3" },
	/* With parts, the first of a sequence takes it, the others not. */
	{ { "1/concurrency", "0.5", 9 }, "3 -2 -2 -1 -1 -1" },
	{ { "1/concurrency", "0", 9 }, "3 ---3" },
	{ { "1", "0.5", 9 }, "3 -2 +3 -2 +3 -2" },
	/* Dead: a whole round of sessions failed, and no success between; one
	 * failure alone is none of more than one. */
	{ { "1/concurrency", "1", 1 }, "3 -L2 -L1 -D1" },
	{ { "1/concurrency", "1", 1 }, "3 !D1 !D1 +L3 +3" },
	{ { "1/concurrency", "1", 1 }, "3 -2 -1 +L2 -L1 -D" },
	{ { "1/concurrency", "1", 2 }, "3 -2 -1 -L1 -D1" },
	{ { "1/concurrency", "1", 2 }, "3 !D1 -D1 +L3 -L2" },
	{ { "1/concurrency", "1", 0 }, "3 -L2 -L1 !L1 -L1 !L1" },
};

Test(feedback, rows_of_answers)
{
	struct feedback_rules rules;
	struct feedback f;
	const char *at;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		rules = (struct feedback_rules){ .initial = 3,
			.limit = 6,
			.failed_cohorts = cases[i].setting.cohorts };
		cr_assert_null(
		    feedback_parse(cases[i].setting.positive, &rules.positive));
		cr_assert_null(
		    feedback_parse(cases[i].setting.negative, &rules.negative));
		feedback_init(&f, &rules);
		for (at = cases[i].events; *at != '\0'; at++) {
			if (*at == '+')
				feedback_success(&f, &rules);
			else if (*at == '-' || *at == '!')
				(void)(*at == '!'
					? feedback_harm(&f, &rules)
					: feedback_failure(&f, &rules));
			else if (*at == 'D' || *at == 'L')
				cr_expect_eq(f.dead, *at == 'D', "%zu: at %s",
				    i, at);
			else if (*at != ' ')
				cr_expect_eq(f.concurrency,
				    (uint32_t)(*at - '0'), "%zu: %u at %s", i,
				    f.concurrency, at);
		}
	}
}

Test(feedback, an_amount_is_a_number_and_what_divides_it)
{
	static const char *const bad[] = { "", "2", "1.5", "x", "0.", "1/2",
		"1/concurrency ", "-1", ".5", "1/", "1e0" };
	struct feedback_amount amount;
	size_t i;

	cr_expect_null(feedback_parse("0.25/sqrt_concurrency", &amount));
	cr_expect_eq(amount.amount, FEEDBACK_ONE / 4);
	cr_expect_eq(amount.by, FEEDBACK_BY_SQRT);
	cr_expect_null(feedback_parse("1", &amount));
	cr_expect_eq(amount.amount, FEEDBACK_ONE);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_expect_not_null(feedback_parse(bad[i], &amount), "%s",
		    bad[i]);
}
