/* SPDX-License-Identifier: ISC */
/* Fields that tell of a loop, wherever a message is cut. */
#include "common/loop.h"

#include <string.h>

#include <criterion/criterion.h>

#include "common/util.h"

#define R    "Received: from a by b; date\r\n"
#define FOLD "Received: from a\r\n\tby b;\r\n date\r\n"
#define D    "Delivered-To: ana@example.org\r\n"
#define TAIL "Subject: x\r\n\r\nReceived: in the body\r\n" D

static const struct {
	const char *text;
	uint32_t hops;
	bool returned;
} cases[] = {
	{ "", 0, false },
	{ TAIL, 0, false },
	{ "\r\n" R, 0, false },
	{ R TAIL, 1, false },
	{ R FOLD R TAIL, 3, false },
	{ "RECEIVED:x\r\nreceived : y\r\n" TAIL, 2, false },
	{ "Received-SPF: pass\r\nReceive: x\r\nX-Received: y\r\n" TAIL, 0,
	    false },
	{ "Subject: a\r\n " R TAIL, 0, false },
	{ R R, 2, false }, /* all of it is header */
	{ R "Received: x", 2, false },
	{ D TAIL, 0, true },
	{ R D R, 2, true },
	{ "delivered-TO:ANA@Example.ORG\r\n\r\n", 0, true },
	{ "Delivered-To:\r\n ana@example.org \r\n\r\n", 0, true },
	{ "Delivered-To: ana@example.org.invalid\r\n\r\n", 0, false },
	{ "Delivered-To: xana@example.org\r\n\r\n", 0, false },
	{ "X-Delivered-To: ana@example.org\r\n\r\n", 0, false },
	{ "Delivered-To\r\n\r\n", 0, false },
	{ "Delivered-To: ben@example.org\r\n" D "\r\n", 0, true },
};

Test(loop, fields_are_counted_and_found_wherever_a_message_is_cut)
{
	for (size_t i = 0; i < NELEM(cases); i++)
		for (size_t cut = 1; cut < 100; cut++) {
			struct loop l = { .recipient = "ana@example.org" };
			size_t n = strlen(cases[i].text), len;

			for (size_t at = 0; at < n; at += len) {
				len = n - at < cut ? n - at : cut;
				loop_feed(&l,
				    (const uint8_t *)cases[i].text + at, len);
			}
			loop_end(&l);
			cr_expect_eq(l.hops, cases[i].hops, "case %zu: %u", i,
			    l.hops);
			cr_expect_eq(l.returned, cases[i].returned, "case %zu",
			    i);
		}
}

Test(loop, what_fills_its_place_is_no_address)
{
	static char text[1024] = "Delivered-To: ";
	struct loop l = { .recipient = text + 14 };

	memset(text + 14, 'a', LOOP_FIELD_SIZE);
	loop_feed(&l, (const uint8_t *)text, strlen(text));
	loop_feed(&l, (const uint8_t *)"\r\n\r\n", 4);
	loop_end(&l);
	cr_expect_not(l.returned);
	cr_expect_eq(l.hops, 0);
}
