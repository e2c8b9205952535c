/* SPDX-License-Identifier: ISC */
/* What a receiver of outcome reports may say. */
#include "master/queue/ack.h"

#include <string.h>

#include <criterion/criterion.h>

#include "common/util.h"

static const struct {
	const char *in;
	bool good;
	uint64_t last;
} cases[] = {
	{ "", true, 0 },
	{ "7\n", true, 7 },
	{ "7\n12\n9\n", true, 12 },
	{ "7\n12", true, 7 }, /* the rest is still to come */
	{ "0\n", true, 0 },
	{ "000000000000000007\n", true, 7 },
	{ "999999999999999999\n", true, 999999999999999999 },
	{ "1000000000000000000\n", false, 0 },
	{ "\n", false, 0 },
	{ "7\r\n", false, 0 },
	{ "-7\n", false, 0 },
	{ "7 \n", false, 0 },
	{ "OK\n", false, 0 },
};

Test(ack, numbers_stand_on_lines_and_nothing_else)
{
	size_t i;

	for (i = 0; i < NELEM(cases); i++) {
		struct ack ack = { 0 };

		cr_expect_eq(ack_feed(&ack, (const uint8_t *)cases[i].in,
				 strlen(cases[i].in)),
		    cases[i].good, "%s", cases[i].in);
		if (cases[i].good)
			cr_expect_eq(ack.last, cases[i].last, "%s",
			    cases[i].in);
	}
}

Test(ack, octets_may_come_one_by_one)
{
	static const char text[] = "12\n345\n6";
	struct ack ack = { 0 };
	size_t i;

	for (i = 0; i < strlen(text); i++)
		cr_assert(ack_feed(&ack, (const uint8_t *)text + i, 1));
	cr_expect_eq(ack.last, 345);
	cr_expect_eq(ack.number, 6);
}
