/* SPDX-License-Identifier: ISC */
/* Which events a listener gets. */
#include "master/queue/tail.h"

#include <criterion/criterion.h>

#include "common/util.h"

#define ANY .recipient = "", .sender = "", .destination = "", .status = ""

static const struct event sent = { .kind = EVENT_OUTCOME,
	.id = 16,
	.reverse_path = "me@sender.test",
	.recipient = "ana@Example.org",
	.relay = "mx.relay.test[192.0.2.1]:25",
	.reply = "250 ok",
	.outcome = { .status = OUTCOME_DELIVERED } };

static const struct {
	struct tail_filter tail;
	bool want;
} cases[] = {
	{ { ANY }, true },
	{ { ANY, .id = 16 }, true },
	{ { ANY, .id = 17 }, false },
	{ { .recipient = "ana@*",
	      .sender = "me@*",
	      .destination = "example.*",
	      .status = "sent" },
	    true },
	{ { .recipient = "ben@*",
	      .sender = "",
	      .destination = "",
	      .status = "" },
	    false },
	{ { .recipient = "",
	      .sender = "you@*",
	      .destination = "",
	      .status = "" },
	    false },
	{ { .recipient = "", .sender = "<>", .destination = "", .status = "" },
	    false },
	{ { .recipient = "",
	      .sender = "",
	      .destination = "mx.relay.test",
	      .status = "" },
	    true },
	{ { .recipient = "",
	      .sender = "",
	      .destination = "example.com",
	      .status = "" },
	    false },
	{ { .recipient = "",
	      .sender = "",
	      .destination = "",
	      .status = "bounced" },
	    false },
};

Test(tail, a_listener_gets_what_fits_all_that_it_said)
{
	for (size_t i = 0; i < NELEM(cases); i++)
		cr_expect_eq(tail_wants(&cases[i].tail, &sent), cases[i].want,
		    "row %zu", i);
}

Test(tail, an_event_without_a_recipient_fits_no_recipient)
{
	static const struct event removed = { .kind = EVENT_REMOVED, .id = 16 };
	static const struct tail_filter any = { ANY };
	static const struct tail_filter some = { .recipient = "*",
		.sender = "",
		.destination = "",
		.status = "" };
	static const struct tail_filter word = { .recipient = "",
		.sender = "",
		.destination = "",
		.status = "removed" };

	cr_expect(tail_wants(&any, &removed));
	cr_expect_not(tail_wants(&some, &removed));
	cr_expect(tail_wants(&word, &removed));
}
