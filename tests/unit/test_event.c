/* SPDX-License-Identifier: ISC */
/* One event and its two spellings. */
#include "master/queue/event.h"

#include <string.h>

#include <criterion/criterion.h>
#include <jansson.h>

static const struct {
	struct event event;
	const char *text;
} event_cases[] = {
	{ { .kind = EVENT_OUTCOME,
	      .id = 0x4f1a09,
	      .recipient = "ana@example.org",
	      .relay = "mx.example.org[192.0.2.1]:25",
	      .reply = "250 2.0.0 ok",
	      .outcome = { .status = OUTCOME_DELIVERED,
		  .code = 250,
		  .dsn = "2.0.0" },
	      .delays_ms = { 50, 0, 150, 1000 } },
	    "4F1A09: to=<ana@example.org>, "
	    "relay=mx.example.org[192.0.2.1]:25, delay=1.2, "
	    "delays=0.05/0/0.15/1, dsn=2.0.0, status=sent (250 2.0.0 ok)" },
	{ { .kind = EVENT_OUTCOME,
	      .id = 0x4f1a09,
	      .recipient = "ana@example.org",
	      .relay = "",
	      .reply = "lost connection",
	      .outcome = { .status = OUTCOME_DEFERRED,
		  .dsn = "4.4.2",
		  .in_doubt = 1 },
	      .delays_ms = { 65000, 3, 0, 0 } },
	    "4F1A09: to=<ana@example.org>, relay=none, delay=65, "
	    "delays=65/0.003/0/0, dsn=4.4.2, status=deferred "
	    "(perhaps delivered: lost connection)" },
	{ { .kind = EVENT_OUTCOME,
	      .id = 1,
	      .recipient = "a\nb@example.org",
	      .relay = "h[::1]:25",
	      .reply = "550 \"no\"\r\nx",
	      .outcome = { .status = OUTCOME_FAILED,
		  .step = STEP_RCPT,
		  .code = 550,
		  .dsn = "5.1.1" },
	      .delays_ms = { 9949, 12, 0, 0 } },
	    "1: to=<a\\x0ab@example.org>, relay=h[::1]:25, delay=10, "
	    "delays=9.9/0.012/0/0, dsn=5.1.1, status=bounced "
	    "(host h[::1]:25 said: 550 \"no\"\\x0d\\x0ax (in reply to RCPT TO "
	    "command))" },
	{ { .kind = EVENT_ACTIVE,
	      .id = 255,
	      .reverse_path = "",
	      .size = 4096,
	      .nrcpt = 2 },
	    "FF: from=<>, size=4096, nrcpt=2 (queue active)" },
	{ { .kind = EVENT_REMOVED, .id = 255 }, "FF: removed" },
	{ { .kind = EVENT_ACCEPTED,
	      .id = 255,
	      .reverse_path = "me@x",
	      .uid = 7,
	      .size = 1,
	      .nrcpt = 1 },
	    "FF: uid=7 from=<me@x>" },
	{ { .kind = EVENT_ACCEPTED,
	      .id = 255,
	      .reverse_path = "",
	      .ref = "my\tref" },
	    "FF: uid=0 from=<>, ref=my\\x09ref" },
	{ { .kind = EVENT_EXPIRED,
	      .id = 255,
	      .reverse_path = "me@x",
	      .recipient = "ana@y" },
	    "FF: from=<me@x>, status=expired, returned to sender" },
	{ { .kind = EVENT_CHANGED,
	      .id = 255,
	      .change = "held",
	      .uid = 3,
	      .recipient = "ana@y" },
	    "FF: recipient: <ana@y>, held by uid 3" },
	{ { .kind = EVENT_NOTICE,
	      .id = 255,
	      .reader = "sender",
	      .notice = "non-delivery notification",
	      .notice_id = 256 },
	    "FF: sender non-delivery notification: 100" },
	{ { .kind = EVENT_KEPT, .id = 255, .recipient = "a\n@b" },
	    "FF: undeliverable notification to <a\\x0a@b> kept in the queue as "
	    "failed" },
};

Test(event, a_line_has_the_shape_of_postfix)
{
	char text[4096];
	size_t i;

	for (i = 0; i < sizeof(event_cases) / sizeof(event_cases[0]); i++) {
		event_text(&event_cases[i].event, text, sizeof(text));
		cr_expect_str_eq(text, event_cases[i].text);
	}
}

static json_t *
parse(const struct event *event)
{
	char text[4096];
	json_error_t error;
	json_t *json;

	event_json(event, text, sizeof(text));
	json = json_loads(text, 0, &error);
	cr_assert_neq(json, NULL, "%s: %s", error.text, text);
	return json;
}

Test(event, every_record_is_json_with_the_same_facts)
{
	size_t i;

	for (i = 0; i < sizeof(event_cases) / sizeof(event_cases[0]); i++)
		json_decref(parse(&event_cases[i].event));
}

Test(event, a_record_keeps_the_reply_and_the_doubt)
{
	json_t *json = parse(&event_cases[1].event);

	cr_expect(json_is_true(json_object_get(json, "in_doubt")));
	cr_expect_str_eq(json_string_value(json_object_get(json, "reply")),
	    "lost connection");
	cr_expect_str_eq(json_string_value(json_object_get(json, "status")),
	    "deferred");
	cr_expect_eq(json_integer_value(json_object_get(json, "delay_ms")),
	    65003);
	json_decref(json);
}

Test(event, a_long_reply_is_cut_and_never_overflows)
{
	struct event event = event_cases[2].event;
	static char reply[8192];
	char text[512];

	memset(reply, '\n', sizeof(reply) - 1);
	event.reply = reply;
	event_text(&event, text, sizeof(text));
	cr_expect_lt(strlen(text), sizeof(text));
	event_json(&event, text, sizeof(text));
	cr_expect_lt(strlen(text), sizeof(text));
	event_text(&event, text, 8);
	cr_expect_lt(strlen(text), 8);
}
