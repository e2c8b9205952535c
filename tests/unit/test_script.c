/* SPDX-License-Identifier: ISC */
#include "master/control/replay/replay_script.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "common/util.h"
#include "master/control/replay/replay_plan.h"

static struct replay_script s;
static char error[SCRIPT_ERROR_SIZE];

static int
parse(const char *text)
{
	replay_script_clear(&s);
	return replay_script_parse(&s, text, strlen(text), error);
}

#define HEAD "postern-transcript 1\n"

Test(script, a_transcript_is_read)
{
	cr_assert_eq(parse(HEAD
			 "relay \"mx[192.0.2.1]:25\"\nprotocol lmtp\n"
			 "tls verify implicit\nehlo \"a.example\"\n"
			 "discard \"DSN \"\n"
			 "discard_server \"CHUNKING SIZE \"\n"
			 "timer helo_timeout 2000\nnew words of later\n"
			 "message 7 4F1A09 1234 8bit \"a\\x40b\"\n"
			 "recipient 7 \"c@d\"\n"
			 "0 connected\n12 < \"220 \" 3*\"x\" \"\\r\\n\"\n"
			 "12 <+ \"y\"\n13 <*3 \"z\"\n14 body 99\n"
			 "outcome 7 \"c@d\" deferred 450 4.1.1 rcpt in-doubt "
			 "\"450 later\"\nend\nrubbish"),
	    0, "%s", error);
	cr_expect_str_eq(s.relay, "mx[192.0.2.1]:25");
	cr_expect(s.lmtp && s.implicit_tls);
	cr_expect_eq(s.tls_level, TLS_VERIFY);
	cr_expect_str_eq(s.discard, "DSN ");
	cr_expect_str_eq(s.discard_server, "CHUNKING SIZE ");
	cr_expect_eq(s.timer_ms[TIMER_EHLO], 2000);
	cr_assert_eq(s.nmessages, 1);
	cr_expect_eq(s.messages[0].size, 1234);
	cr_expect(s.messages[0].eight_bit);
	cr_expect_str_eq(s.messages[0].from, "a@b");
	cr_assert_eq(s.nrecipients, 1);
	cr_expect_eq(s.recipients[0].outcome.status, OUTCOME_DEFERRED);
	cr_expect_eq(s.recipients[0].outcome.code, 450);
	cr_expect_eq(s.recipients[0].outcome.step, STEP_RCPT);
	cr_expect_eq(s.recipients[0].outcome.in_doubt, 1);
	cr_expect_str_eq(s.recipients[0].reply, "450 later");
	cr_assert_eq(s.nevents, 6);
	cr_expect_eq(s.events[1].kind, SCRIPT_RECEIVED);
	cr_expect_eq(s.events[1].time_ms, 12);
	cr_expect_eq(s.events[1].len, 10);
	cr_expect_eq(memcmp(s.octets + s.events[1].at, "220 xxx\r\ny", 10), 0);
	cr_expect_eq(s.events[4].at, s.events[2].at);
	cr_expect_eq(s.events[5].number, 99);
	replay_script_clear(&s);
}

Test(script, what_is_malformed_is_refused_with_its_line)
{
	static const struct {
		const char *text;
		const char *want;
	} cases[] = {
		{ "", "no transcript" },
		{ "postern-transcript 2\nend\n", "no transcript" },
		{ HEAD, "cut short" },
		{ HEAD "0 connected", "cut short" },
		{ HEAD "0 what\nend\n", "line 2" },
		{ HEAD "0 <\nend\n", "line 2" },
		{ HEAD "0 < x\nend\n", "line 2" },
		{ HEAD "0 < \"x\nend\n", "line 2" },
		{ HEAD "0 < \"\\x4\"\nend\n", "line 2" },
		{ HEAD "0 < \"\\q\"\nend\n", "line 2" },
		{ HEAD "0 < \"\\\nend\n", "line 2" },
		{ HEAD "0 < 0*\"x\"\nend\n", "line 2" },
		{ HEAD "0 < 99999999999999999999*\"x\"\nend\n", "line 2" },
		{ HEAD "0 < 16777216*\"xx\"\nend\n", "line 2" },
		{ HEAD "0 <*0 \"x\"\nend\n", "line 2" },
		{ HEAD "0 <+ \"x\"\nend\n", "line 2" },
		{ HEAD "99999999999 connected\nend\n", "line 2" },
		{ HEAD "0 body\nend\n", "line 2" },
		{ HEAD "\nprotocol x400\nend\n", "line 3" },
		{ HEAD "tls maybe starttls\nend\n", "line 2" },
		{ HEAD "recipient 1 \"a\\x00b\"\nend\n", "line 2" },
		{ HEAD "outcome 1 \"a\" lost 0 4.0.0 rcpt sure \"\"\nend\n",
		    "line 2" },
		{ HEAD "outcome 1 \"a\" failed 0 4.0.0 rcp sure \"\"\nend\n",
		    "line 2" },
	};

	for (size_t i = 0; i < NELEM(cases); i++) {
		cr_expect_eq(parse(cases[i].text), -1, "%s", cases[i].text);
		cr_expect_not_null(strstr(error, cases[i].want), "%s: %s",
		    cases[i].text, error);
	}
	replay_script_clear(&s);
}

static struct replay_plan p;

static void
choose(const char *text, bool with_auth)
{
	replay_plan_clear(&p);
	cr_assert_eq(parse(text), 0, "%s", error);
	cr_assert_eq(replay_plan_choose(&p, &s, with_auth), 0);
}

/* The kinds that are to be played, a letter each. */
static const char *
kinds(void)
{
	static char out[64];
	size_t i;

	for (i = 0; i < p.n && i < sizeof(out) - 1; i++)
		out[i] = "ac!<>sjbe[~]xCLtVo"[p.events[i].kind];
	out[i] = '\0';
	return out;
}

Test(play, inside_tls_takes_the_place_of_the_clear)
{
	choose(HEAD "0 address \"x\"\n0 connected\n0 < \"220 x\\r\\n\"\n"
		    "0 > \"EHLO\\r\\n\"\n0 < \"250 x\\r\\n\"\n"
		    "0 > \"STARTTLS\\r\\n\"\n0 < \"220 go\\r\\n\"\n0 tls\n"
		    "0 tls-up \"TLSv1.3\"\n0 > \"EHLO\\r\\n\"\n"
		    "0 < \"550 no\\r\\n\"\nend\n",
	    false);
	cr_expect(p.in_clear);
	cr_expect_null(p.why);
	cr_expect_str_eq(kinds(), "ac<><");
	choose(HEAD "0 address \"x\"\n0 connected\n0 tls\n0 tls-up \"x\"\n"
		    "0 < \"554 no\\r\\n\"\nend\n",
	    false);
	cr_expect_str_eq(kinds(), "ac<");
}

Test(play, a_login_that_went_well_is_left_out)
{
	static const char text[] =
	    HEAD "0 address \"x\"\n0 connected\n0 < \"220 x\\r\\n\"\n"
		 "0 > \"EHLO\\r\\n\"\n0 < \"250 x\\r\\n\"\n"
		 "0 secret \"AUTH PLAIN <hidden>\"\n0 < \"235 *\\r\\n\"\n"
		 "0 job 1\n0 > \"MAIL FROM:<>\\r\\n\"\n0 closed\nend\n";

	choose(text, false);
	cr_expect(p.without_auth);
	cr_expect_str_eq(kinds(), "ac<><j>C");
	choose(text, true);
	cr_expect_str_eq(kinds(), "ac<><s<j>C");
}

Test(play, what_cannot_be_played_is_told)
{
	static const struct {
		const char *events;
		const char *want;
	} cases[] = {
		{ "", "no event" },
		{ "0 address \"x\"\n", "nothing was connected" },
		{ "0 address \"x\"\n0 failed \"No route to host\"\n",
		    "a network" },
		{ "0 connected\n0 tls\n0 tls-failed \"server certificate is "
		  "not trusted: expired\"\n",
		    "certificate" },
		{ "0 connected\n0 secret \"AUTH PLAIN <hidden>\"\n"
		  "0 < \"535 *\\r\\n\"\n0 > \"QUIT\\r\\n\"\n"
		  "0 verdict \"deferred 535 4.7.8 auth no\"\n",
		    "AUTH" },
	};
	char text[512];

	for (size_t i = 0; i < NELEM(cases); i++) {
		(void)snprintf(text, sizeof(text), HEAD "%send\n",
		    cases[i].events);
		choose(text, false);
		cr_assert_not_null(p.why, "%s", cases[i].events);
		cr_expect_not_null(strstr(p.why, cases[i].want), "%s", p.why);
	}
}

Test(play, the_connection_of_the_outcome_is_chosen)
{
	choose(HEAD "message 1 1 9 7bit \"\"\nrecipient 1 \"a@b\"\n"
		    "0 address \"one\"\n0 connected\n0 < \"421 x\\r\\n\"\n"
		    "0 verdict \"deferred 421 4.0.0 greeting 421 x\"\n"
		    "0 address \"two\"\n0 failed \"Connection refused\"\n"
		    "0 verdict \"deferred 0 4.4.1 connect cannot connect\"\n"
		    "outcome 1 \"a@b\" deferred 421 4.0.0 greeting sure "
		    "\"421 x\"\nend\n",
	    false);
	cr_expect_str_eq(kinds(), "ac<V");
	cr_expect_not(p.refuses);
}

Test(play, in_a_hurry_only_what_counts_is_waited_for)
{
	struct replay_plan_timer hurry;

	choose(HEAD "timer mail_timeout 300000\n0 address \"x\"\n0 connected\n"
		    "60000 < \"220 x\\r\\n\"\n60000 > \"EHLO\\r\\n\"\n"
		    "60005 < \"250 x\\r\\n\"\n60005 > \"MAIL\\r\\n\"\n"
		    "210005 < \"2\"\n360005 timeout \"mail_timeout\"\nend\n",
	    false);
	replay_plan_hurry(&p, &hurry);
	cr_expect_eq(hurry.timer, TIMER_MAIL);
	cr_expect_eq(hurry.ms, 1000);
	cr_expect_eq(p.events[2].time_ms, 20);
	cr_expect_eq(p.events[4].time_ms, 25);
	cr_expect_eq(p.events[6].time_ms, 525);
	cr_expect_eq(p.events[7].time_ms, 1025);
	replay_plan_clear(&p);
	replay_script_clear(&s);
}
