/* SPDX-License-Identifier: ISC */
#include "common/pattern.h"

#include <stddef.h>
#include <string.h>

#include <criterion/criterion.h>

#include "common/util.h"

static const struct {
	const char *pattern;
	const char *text;
	bool whole;
	bool found;
} cases[] = {
	{ "", "", true, true },
	{ "", "a", false, true },
	{ "a", "", false, false },
	{ "a", "A", true, true },
	{ "ana@example.org", "Ana@Example.ORG", true, true },
	{ "example", "ana@example.org", false, true },
	{ "*", "", true, true },
	{ "*", "anything", true, true },
	{ "*@example.org", "ana@example.org", true, true },
	{ "*@example.org", "ana@example.org.test", false, true },
	{ "a*b*c", "aXbXbYc", true, true },
	{ "a*b*c", "aXcXb", false, false },
	{ "a**c", "abc", true, true },
	{ "*ab", "aaab", true, true },
	{ "*aab", "aaaab", true, true },
	{ "4.7.*", "4.7.1", true, true },
	{ "4.7.*", "4.4.1", false, false },
	{ "4.7.*", "14.7.1", false, true },
	{ "quota", "452 4.2.2 over QUOTA now", false, true },
	{ "a?b", "axb", false, false },
	{ "a?b", "a?b", true, true },
	{ "*x", "", false, false },
};

Test(pattern, a_star_is_anything_and_the_rest_itself)
{
	for (size_t i = 0; i < NELEM(cases); i++) {
		cr_expect_eq(pattern_matches(cases[i].pattern, cases[i].text),
		    cases[i].whole, "%s in %s", cases[i].pattern,
		    cases[i].text);
		cr_expect_eq(pattern_found(cases[i].pattern, cases[i].text),
		    cases[i].found, "%s in %s, part", cases[i].pattern,
		    cases[i].text);
	}
}

/* An hour of backtracking would be an operator's own queue held up. */
Test(pattern, many_stars_take_no_time, .timeout = 10)
{
	static char text[4096], pattern[256];

	memset(text, 'a', sizeof(text) - 1);
	for (size_t i = 0; i + 2 < sizeof(pattern); i += 2)
		memcpy(pattern + i, "*a", 2);
	pattern[sizeof(pattern) - 2] = 'b';
	cr_expect_not(pattern_matches(pattern, text));
}

/* A remote's reply is its own to choose. */
Test(pattern, what_is_sought_in_a_long_reply_takes_no_time, .timeout = 10)
{
	char text[1025], pattern[512];
	int i;

	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	memset(pattern, 'a', sizeof(pattern) - 1);
	pattern[1] = '*';
	pattern[sizeof(pattern) - 2] = 'b';
	pattern[sizeof(pattern) - 1] = '\0';
	for (i = 0; i < 500; i++)
		cr_assert_not(pattern_found(pattern, text));
}

Test(pattern, a_code_is_digits_dots_and_stars)
{
	cr_expect(pattern_is_code("4.7.*"));
	cr_expect(pattern_is_code("*.1.1"));
	cr_expect_not(pattern_is_code("*"));
	cr_expect_not(pattern_is_code("452"));
	cr_expect_not(pattern_is_code("4.7.x"));
	cr_expect_not(pattern_is_code(""));
}
