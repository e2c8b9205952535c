/* SPDX-License-Identifier: ISC */
#include "common/utf8.h"

#include <string.h>

#include <criterion/criterion.h>

#include "common/util.h"

static const struct row {
	const char *in;
	bool want;
} rows[] = {
	{ "", true },
	{ "abc", true },
	{ "\xc2\x80", true },
	{ "\xdf\xbf", true },
	{ "\xe0\xa0\x80", true },
	{ "\xed\x9f\xbf", true },
	{ "\xee\x80\x80", true },
	{ "\xf0\x90\x80\x80", true },
	{ "\xf4\x8f\xbf\xbf", true },
	{ "a\xc3\xa4z", true },
	{ "\x80", false },
	{ "\xc1\xbf", false }, /* longer than it need be */
	{ "\xe0\x9f\xbf", false },
	{ "\xf0\x8f\xbf\xbf", false },
	{ "\xed\xa0\x80", false }, /* a surrogate */
	{ "\xf4\x90\x80\x80", false },
	{ "\xf5\x80\x80\x80", false },
	{ "\xc3", false },
	{ "\xe2\x82", false },
	{ "\xc3"
	  "a",
	    false },
};

Test(utf8, characters_are_told_from_octets)
{
	for (size_t i = 0; i < NELEM(rows); i++)
		cr_expect_eq(utf8_is_valid(rows[i].in, strlen(rows[i].in)),
		    rows[i].want, "row %zu", i);
}

Test(utf8, a_character_has_its_length)
{
	cr_expect_eq(utf8_span("a\xc3\xa4", 3), 1);
	cr_expect_eq(utf8_span("\xc3\xa4"
			       "a",
			 3),
	    2);
	cr_expect_eq(utf8_span("\xf0\x90\x80\x80", 4), 4);
	cr_expect_eq(utf8_span("\xf0\x90\x80\x80", 3), 0);
	cr_expect_eq(utf8_span("\xff", 1), 0);
	cr_expect_eq(utf8_span("", 0), 0);
}
