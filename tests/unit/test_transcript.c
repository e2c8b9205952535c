/* SPDX-License-Identifier: ISC */
#include "agent/smtp/transcript.h"

#include <criterion/criterion.h>
#include <string.h>

#include "common/util.h"

static struct transcript t;

static void
begin(void)
{
	memset(&t, 0, sizeof(t));
	t.on = true;
	t.now_ms = 1000;
	transcript_begin(&t);
}

TestSuite(transcript, .init = begin);

static const char *
text(void)
{
	static char all[1 << 20];
	size_t at = 0, len = 0, n;

	while ((n = transcript_write(&t, &at, all + len, 16384)) > 0)
		len += n;
	cr_assert_eq(at, t.len);
	all[len] = '\0';
	return all;
}

static void
received(const char *octets)
{
	transcript_note_octets(&t, TRANSCRIPT_RECEIVED, (const uint8_t *)octets,
	    strlen(octets));
}

Test(transcript, each_event_is_a_line_with_its_time)
{
	transcript_note_text(&t, TRANSCRIPT_ADDRESS, "mx[192.0.2.1]:25");
	t.now_ms = 1017;
	transcript_note(&t, TRANSCRIPT_CONNECTED);
	received("220 \"hi\"\\\r\n");
	transcript_note_number(&t, TRANSCRIPT_JOB, UINT64_MAX);
	cr_expect_str_eq(text(),
	    "0 address \"mx[192.0.2.1]:25\"\n17 connected\n"
	    "17 < \"220 \\x22hi\\x22\\x5c\\r\\n\"\n"
	    "17 job 18446744073709551615\n");
}

Test(transcript, none_is_noted_where_none_is_wanted)
{
	t.on = false;
	received("220 hi\r\n");
	transcript_note_number(&t, TRANSCRIPT_BODY, 7);
	transcript_part(&t);
	cr_expect_eq(t.len, 0);
	transcript_note(NULL, TRANSCRIPT_CLOSED);
	transcript_note_number(NULL, TRANSCRIPT_BODY, 7);
	transcript_part(NULL);
	cr_expect_eq(transcript_len(NULL), 0);
}

Test(transcript, octets_of_a_body_are_summed_for_a_while)
{
	transcript_note_number(&t, TRANSCRIPT_BODY, 7);
	t.now_ms += 100;
	transcript_note_number(&t, TRANSCRIPT_BODY, 8);
	t.now_ms += 300;
	transcript_note_number(&t, TRANSCRIPT_BODY, 9);
	cr_expect_str_eq(text(), "0 body 15\n400 body 9\n");
}

Test(transcript, what_went_well_goes_and_what_failed_stays)
{
	received("220 hi\r\n");
	transcript_opened(&t);
	for (int i = 0; i < 1000; i++) {
		transcript_part(&t);
		transcript_note_number(&t, TRANSCRIPT_JOB, i);
		received("250 ok\r\n");
		if (i == 3)
			transcript_fail(&t);
	}
	cr_expect_str_eq(text(),
	    "0 < \"220 hi\\r\\n\"\n0 job 3\n0 < \"250 ok\\r\\n\"\n"
	    "0 job 999\n0 < \"250 ok\\r\\n\"\n");
	cr_expect(t.has_failure);
	transcript_part(&t);
	cr_expect_null(strstr(text(), "999"));
}

Test(transcript, it_is_bounded_whatever_comes)
{
	char line[3000];

	memset(line, 'x', sizeof(line) - 1);
	line[sizeof(line) - 1] = '\0';
	received("220 hi\r\n");
	transcript_opened(&t);
	for (int i = 0; i < 1000; i++) {
		received(line);
		cr_assert_leq(t.len, sizeof(t.octets));
	}
	received("the last one");
	cr_expect_not_null(strstr(text(), "220 hi"));
	cr_expect_not_null(strstr(text(), "0 left-out "));
	cr_expect_not_null(strstr(text(), "the last one"));
}

Test(transcript, an_opening_of_many_words_leaves_room)
{
	char line[4000];

	memset(line, 'x', sizeof(line) - 1);
	line[sizeof(line) - 1] = '\0';
	for (int i = 0; i < 100; i++)
		received(line);
	transcript_opened(&t);
	cr_expect_leq(t.len, sizeof(t.octets) - 2 * TRANSCRIPT_KEEP + 64);
	cr_expect_not_null(strstr(text(), "left-out"));
}

Test(transcript, failures_are_kept_up_to_a_limit)
{
	transcript_opened(&t);
	for (int i = 0; i < 10000; i++) {
		transcript_part(&t);
		transcript_note_number(&t, TRANSCRIPT_JOB, i);
		transcript_fail(&t);
	}
	cr_expect_leq(t.kept, TRANSCRIPT_KEEP);
	cr_expect_not_null(strstr(text(), " job 0\n"));
	cr_expect_not_null(strstr(text(), " job 9999\n"));
}

Test(transcript, commands_that_do_not_leave_are_taken_back)
{
	size_t before;

	received("250 ok\r\n");
	before = transcript_len(&t);
	transcript_note_number(&t, TRANSCRIPT_BODY, 5);
	transcript_take_back(&t, before);
	transcript_note_number(&t, TRANSCRIPT_BODY, 6);
	cr_expect_str_eq(text(), "0 < \"250 ok\\r\\n\"\n0 body 6\n");
}

Test(transcript, octets_that_repeat_are_written_once)
{
	static const struct {
		const char *unit;
		size_t times;
		const char *before, *behind, *want;
	} cases[] = {
		{ "x", 1000, "", "", " 1000*\"x\"" },
		{ "250-x\r\n", 500, "", "250 x\r\n",
		    " 500*\"250-x\\r\\n\" \"250 x\\r\\n\"" },
		{ "a\nb\n", 100, "z\n", "", " \"z\\n\" 100*\"a\\nb\\n\"" },
		{ "x", 9, "", "", " \"xxxxxxxxx\"" },
		{ "", 0, "", "", " \"\"" },
		{ "\x01", 1, "\xff", "", " \"\\xff\\x01\"" },
	};

	for (size_t i = 0; i < NELEM(cases); i++) {
		static char in[8192], want[8192];

		(void)strlcpy(in, cases[i].before, sizeof(in));
		for (size_t j = 0; j < cases[i].times; j++)
			(void)strlcat(in, cases[i].unit, sizeof(in));
		(void)strlcat(in, cases[i].behind, sizeof(in));
		(void)snprintf(want, sizeof(want), "0 <%s\n", cases[i].want);
		transcript_begin(&t);
		transcript_note_octets(&t, TRANSCRIPT_RECEIVED,
		    (const uint8_t *)in, strlen(in));
		cr_expect_str_eq(text(), want, "case %zu: %s", i, text());
	}
}

Test(transcript, reads_that_are_alike_are_one_line)
{
	for (int i = 0; i < 500; i++)
		received("250-x\r\n");
	received("250 x\r\n");
	cr_expect_str_eq(text(),
	    "0 <*500 \"250-x\\r\\n\"\n0 < \"250 x\\r\\n\"\n");
}

Test(transcript, a_long_read_goes_on_in_further_lines)
{
	static uint8_t in[16384];
	uint32_t seed = 1;
	const char *all;
	int lines = 0;

	for (size_t i = 0; i < sizeof(in); i++)
		in[i] = (uint8_t)((seed = seed * 1664525 + 1013904223) >> 24);
	transcript_note_octets(&t, TRANSCRIPT_RECEIVED, in, sizeof(in));
	all = text();
	cr_expect_eq(strncmp(all, "0 < \"", 5), 0);
	for (const char *p = all; (p = strstr(p, "\n0 <+ \"")) != NULL; p++)
		lines++;
	cr_expect_geq(lines, 4);
	for (const char *p = all, *lf; *p != '\0'; p = lf + 1) {
		lf = strchr(p, '\n');
		cr_expect_lt(lf - p, 16384);
	}
}

Test(transcript, of_a_challenge_the_codes_are_kept)
{
	transcript_note_challenge(&t, (const uint8_t *)"334 c2Vj\r\n53", 12);
	transcript_note_challenge(&t, (const uint8_t *)"5-a\r\n535 b\r\n", 12);
	cr_expect_str_eq(text(),
	    "0 < \"334 ****\\r\\n53\"\n0 < \"5-*\\r\\n535 *\\r\\n\"\n");
}

Test(transcript, a_secret_that_is_said_again_is_hidden_in_pieces_too)
{
	received("550 pencil and pen");
	transcript_note(&t, TRANSCRIPT_END);
	received("ci");
	received("l\r\n");
	transcript_note_text(&t, TRANSCRIPT_ADDRESS, "pencil.example");
	transcript_hide(&t, "pencil");
	cr_expect_str_eq(text(),
	    "0 < \"550 ****** and ***\"\n0 end-of-body\n0 < \"**\"\n"
	    "0 < \"*\\r\\n\"\n0 address \"pencil.example\"\n");
}

Test(transcript, a_verdict_tells_the_outcome)
{
	struct outcome o = { .status = OUTCOME_DEFERRED,
		.step = STEP_RCPT,
		.code = 450,
		.dsn = "4.1.1" };

	transcript_note_verdict(&t, &o, "later");
	cr_expect_str_eq(text(),
	    "0 verdict \"deferred 450 4.1.1 rcpt later\"\n");
}

/* A handshake may be longer than all there is room for. */
Test(transcript, what_is_taken_back_may_have_pushed_out_what_was_before)
{
	static uint8_t shake[16384];
	size_t len;

	transcript_note_text(&t, TRANSCRIPT_ADDRESS, "mx[192.0.2.1]:25");
	received("220 hi\r\n");
	transcript_note(&t, TRANSCRIPT_TLS);
	len = transcript_len(&t);
	for (size_t i = 0; i < sizeof(shake); i++)
		shake[i] = (uint8_t)(i * 7);
	for (int i = 0; i < 15; i++)
		transcript_note_octets(&t, TRANSCRIPT_SHAKE, shake,
		    sizeof(shake));
	transcript_take_back(&t, len);
	transcript_note_text(&t, TRANSCRIPT_TLS_UP, "TLSv1.3");
	received("250 hi\r\n");
	cr_expect(strstr(text(),
		      "0 tls-up \"TLSv1.3\"\n0 < \"250 hi\\r\\n\"\n") != NULL);
}
