/* SPDX-License-Identifier: ISC */
/* Which recipients fit a selection. */
#include "master/queue/selector.h"

#include <errno.h>
#include <string.h>

#include <criterion/criterion.h>

#include "common/util.h"

static struct store_envelope envelope = { .id = 16,
	.created_ms = 5000,
	.reverse_path = "me@sender.test" };
static struct store_recipient recipient = { .state = STORE_DEFERRED,
	.address = "ana@example.org",
	.domain = "example.org",
	.dsn = "4.7.1",
	.reply = "450 4.7.1 greylisted, see 14.2.9" };

/* strings as in msg_act, each ended. */
static struct selector *
make(const struct msg_act *act, const char *strings, size_t n)
{
	struct message m = { .type = MSG_ACT,
		.payload = act,
		.tail = (const uint8_t *)strings,
		.tail_len = n };

	return selector_new(&m);
}

#define MAKE(act, strings) make(act, strings, sizeof(strings) - 1)

static const struct {
	const char *strings;
	bool want;
} cases[] = {
	{ "\0\0\0\0\0\0", true },
	{ "me@*\0\0\0\0\0\0", true },
	{ "you@*\0\0\0\0\0\0", false },
	{ "<>\0\0\0\0\0\0", false },
	{ "\0*@example.org\0\0\0\0\0", true },
	{ "\0*@example.com\0\0\0\0\0", false },
	{ "\0\0"
	  "4.7.*\0\0\0\0",
	    true },
	{ "\0\0"
	  "4.2.*\0\0\0\0",
	    false },
	{ "\0\0greylist\0\0\0\0", true },
	{ "\0\0"
	  "4.2.9\0\0\0\0",
	    false },
	{ "\0\0quota\0\0\0\0", false },
	{ "\0\0\0\0EXAMPLE.org\0\0", true },
	{ "\0\0\0\0example.com\0\0", false },
	{ "me@*\0ana@*\0"
	  "4.*\0\0example.org\0\0",
	    true },
	{ "me@*\0ben@*\0"
	  "4.*\0\0example.org\0\0",
	    false },
};

/* Six strings, found behind the literal's own. */
static size_t
six(const char *strings)
{
	size_t at = 0;

	for (int i = 0; i < 6; i++)
		at += strlen(strings + at) + 1;
	return at;
}

Test(selector, all_that_was_said_must_fit)
{
	struct msg_act act = { .verb = ACT_LIST };

	for (size_t i = 0; i < NELEM(cases); i++) {
		struct selector *s =
		    make(&act, cases[i].strings, six(cases[i].strings));

		cr_assert_not_null(s, "row %zu", i);
		cr_expect_eq(selector_fits(s, &envelope, &recipient),
		    cases[i].want, "row %zu", i);
		selector_free(s);
	}
}

Test(selector, states_ages_and_the_last_message_count)
{
	static const struct {
		struct msg_act act;
		bool want;
	} rows[] = {
		{ { .states = 1 << STORE_DEFERRED }, true },
		{ { .states = 1 << STORE_HELD | 1 << STORE_QUEUED }, false },
		{ { .before_ms = 5001 }, true },
		{ { .before_ms = 5000 }, false },
		{ { .since_ms = 5000 }, true },
		{ { .since_ms = 5001 }, false },
		{ { .until_id = 16 }, true },
		{ { .until_id = 15 }, false },
	};

	for (size_t i = 0; i < NELEM(rows); i++) {
		struct selector *s = MAKE(&rows[i].act, "\0\0\0\0\0\0");

		cr_assert_not_null(s);
		cr_expect_eq(selector_fits(s, &envelope, &recipient),
		    rows[i].want, "row %zu", i);
		selector_free(s);
	}
}

Test(selector, the_null_sender_has_a_word)
{
	struct msg_act act = { .verb = ACT_LIST };
	struct selector *s = MAKE(&act, "<>\0\0\0\0\0\0");
	struct store_envelope null = envelope;

	null.reverse_path = "";
	cr_assert_not_null(s);
	cr_expect(selector_fits(s, &null, &recipient));
	selector_free(s);
}

Test(selector, a_destination_is_a_domain_a_transport_or_a_server)
{
	static const struct selector_way way = { "example.org", "relay",
		"mx.test:2525" };
	static const char *const good[] = { "\0\0\0Example.org\0\0\0",
		"\0\0\0relay\0\0\0", "\0\0\0MX.test:2525\0\0\0",
		"\0\0\0\0\0\0" };
	struct msg_act act = { .verb = ACT_LIST };
	struct selector *s;

	for (size_t i = 0; i < NELEM(good); i++) {
		s = make(&act, good[i], six(good[i]));
		cr_assert_not_null(s);
		cr_expect(selector_fits_way(s, &way), "row %zu", i);
		selector_free(s);
	}
	s = MAKE(&act, "\0\0\0RELAY\0\0\0");
	cr_expect_not(selector_fits_way(s, &way));
	selector_free(s);
}

Test(selector, ids_come_in_order_and_once)
{
	struct msg_act act = { .verb = ACT_LIST };
	struct selector *s = MAKE(&act,
	    "\0\0\0\0\0\0ff\0"
	    "10\0FF\0"
	    "10\0"
	    "11\0");

	cr_assert_not_null(s);
	cr_assert_eq(s->nids, 3);
	cr_expect_eq(s->ids[0], 0x10);
	cr_expect_eq(s->ids[1], 0x11);
	cr_expect_eq(s->ids[2], 0xff);
	selector_free(s);
}

Test(selector, what_no_intake_would_send_is_refused)
{
	struct msg_act act = { .verb = ACT_VERBS };

	cr_expect_null(MAKE(&act, "\0\0\0\0\0\0"));
	cr_expect_eq(errno, EINVAL);
	act.verb = ACT_LIST;
	cr_expect_null(MAKE(&act, "\0\0\0\0\0"));
	cr_expect_null(MAKE(&act, ""));
	cr_expect_null(MAKE(&act, "\0\0\0\0\0\0x\0"));
}
