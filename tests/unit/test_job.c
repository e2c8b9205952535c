/* SPDX-License-Identifier: ISC */
/* What a client may say on the job socket, and what not. */
#include "master/intake/job/job_parse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#include "common/util.h"

static char error[VALUE_ERROR_SIZE];
static struct job_packet job;

static int
parse(const char *text, bool begun)
{
	return job_parse(&job, text, strlen(text), begun, error);
}

static const struct good {
	const char *text;
	const char *from;
	const char *ref;
	const char *via;
	uint32_t wait;
	uint32_t flags;
	bool more;
	const char *rcpts[3];
} good[] = {
	{ "{\"from\":\"\",\"rcpts\":[\"a@example.org\"]}", "", "", "",
	    WAIT_QUEUED, 0, false, { "a@example.org" } },
	{ " { \"from\" : \"<>\" , \"rcpts\" : [ \"<a@example.org>\" ] } ", "",
	    "", "", WAIT_QUEUED, 0, false, { "a@example.org" } },
	{ "{\"from\":\"me@example.com\",\"rcpts\":[\"a@x\",\"b@y\"],"
	  "\"via\":\"relay\",\"wait\":\"final\",\"ref\":\"r 1\","
	  "\"more\":true,\"verbose\":true,\"once\":true}",
	    "me@example.com", "r 1", "relay", WAIT_FINAL,
	    SUBMIT_VERBOSE | SUBMIT_ONCE, true, { "a@x", "b@y" } },
	{ "{\"from\":\"\",\"rcpts\":[\"Postmaster\"],\"wait\":\"attempt\","
	  "\"verbose\":false,\"more\":false}",
	    "", "", "", WAIT_ATTEMPT, 0, false, { "Postmaster" } },
	{ "{\"from\":\"\",\"rcpts\":[\"@a.example,@b.example:c@d\"]}", "", "",
	    "", WAIT_QUEUED, 0, false, { "c@d" } },
	{ "{\"from\":\"\",\"rcpts\":[\"a@[IPv6:2001:db8::1]\"],"
	  "\"wait\":\"queued\"}",
	    "", "", "", WAIT_QUEUED, 0, false, { "a@[IPv6:2001:db8::1]" } },
	{ "{\"from\":\"\",\"rcpts\":[\"a@x\",\"a@x\"]}", "", "", "",
	    WAIT_QUEUED, 0, false, { "a@x", "a@x" } },
	{ "{\"from\":\"\",\"rcpts\":[\"a@x\"],\"wait\":\"final\","
	  "\"store\":false}",
	    "", "", "", WAIT_FINAL, SUBMIT_TRANSIENT, false, { "a@x" } },
	{ "{\"from\":\"\",\"rcpts\":[\"a@x\"],\"store\":true}", "", "", "",
	    WAIT_QUEUED, 0, false, { "a@x" } },
	/* JSON's own spelling of "a" */
	{ "{\"from\":\"\",\"rcpts\":[\"\\u0061@x\"]}", "", "", "", WAIT_QUEUED,
	    0, false, { "a@x" } },
};

static void
expect_rcpts(const char *const want[3], size_t row)
{
	const char *p = job.rcpts;
	size_t n = 0;

	for (; n < 3 && want[n] != NULL; n++, p += strlen(p) + 1) {
		cr_expect_str_eq(p, want[n], "row %zu", row);
		p += strlen(p) + 1;
		cr_expect_str_eq(p, "", "row %zu: no parameters", row);
	}
	cr_expect_eq(job.nrcpts, n, "row %zu", row);
	cr_expect_eq(job.rcpts_len, (size_t)(p - job.rcpts), "row %zu", row);
}

Test(job, a_good_packet_is_read)
{
	for (size_t i = 0; i < NELEM(good); i++) {
		cr_assert_eq(parse(good[i].text, false), 0, "row %zu: %s", i,
		    error);
		cr_expect(job.first);
		cr_expect_eq(job.more, good[i].more, "row %zu", i);
		cr_expect_eq(job.wait, good[i].wait, "row %zu", i);
		cr_expect_eq(job.flags, good[i].flags, "row %zu", i);
		cr_expect_str_eq(job.from, good[i].from, "row %zu", i);
		cr_expect_str_eq(job.ref, good[i].ref, "row %zu", i);
		cr_expect_str_eq(job.via, good[i].via, "row %zu", i);
		cr_expect_str_eq(job.parameters, "", "row %zu", i);
		expect_rcpts(good[i].rcpts, i);
		job_parse_clear(&job);
	}
}

#define FROM_A   "{\"from\":\"a@x\",\"rcpts\":["
#define TO_B     FROM_A "\"b@y\"],"
#define RCPT(of) FROM_A "{\"address\":\"b@y\"," of "}]}"

static const struct wish {
	const char *text;
	const char *mail; /* what becomes of it */
	const char *rcpt;
} wishes[] = {
	{ TO_B "\"ret\":\"full\"}", "RET=FULL", "" },
	{ TO_B "\"ret\":\"headers\",\"envid\":\"a+b=c d\"}",
	    "RET=HDRS ENVID=a+2Bb+3Dc+20d", "" },
	{ TO_B "\"deliver_by\":{\"seconds\":120}}", "BY=120;R", "" },
	{ TO_B "\"deliver_by\":{\"seconds\":-5,\"mode\":\"notify\"}}",
	    "BY=-5;N", "" },
	{ TO_B "\"deliver_by\":{\"seconds\":999999999,\"mode\":\"return\","
	       "\"trace\":true}}",
	    "BY=999999999;RT", "" },
	{ TO_B "\"hold_for\":60,\"priority\":-9}", "HOLDFOR=60 MT-PRIORITY=-9",
	    "" },
	{ TO_B "\"hold_until\":\"2026-11-23T17:47:08.5+01:30\"}",
	    "HOLDUNTIL=2026-11-23T16:17:08Z", "" },
	{ TO_B "\"auth\":\"<>\"}", "AUTH=<>", "" },
	{ TO_B "\"auth\":\"e=mc2@example.com\"}", "AUTH=e+3Dmc2@example.com",
	    "" },
	{ RCPT("\"notify\":[\"never\"]"), "", "NOTIFY=NEVER" },
	{ RCPT("\"notify\":[\"success\",\"delay\",\"failure\"],"
	       "\"orcpt\":\"rfc822;Bob+x@y\""),
	    "", "NOTIFY=SUCCESS,DELAY,FAILURE ORCPT=rfc822;Bob+2Bx@y" },
	{ RCPT("\"orcpt\":\"UTF-8;J\\u00f8rgen+x@y\""), "",
	    "ORCPT=UTF-8;J\\x{F8}rgen\\x{2B}x@y" },
	{ FROM_A "{\"address\":\"b@y\"}]}", "", "" },
};

Test(job, tls_can_be_demanded)
{
	cr_assert_eq(parse(TO_B "\"require_tls\":true}", false), 0, "%s",
	    error);
	cr_expect_eq(job.flags, SUBMIT_REQUIRETLS);
	job_parse_clear(&job);
	cr_expect_eq(parse(TO_B "\"require_tls\":\"yes\"}", false), -1);
}

Test(job, what_is_asked_of_mail_and_rcpt_is_read)
{
	const char *p;

	for (size_t i = 0; i < NELEM(wishes); i++) {
		cr_assert_eq(parse(wishes[i].text, false), 0, "row %zu: %s", i,
		    error);
		cr_expect_str_eq(job.parameters, wishes[i].mail, "row %zu", i);
		p = job.rcpts;
		cr_expect_str_eq(p, "b@y", "row %zu", i);
		p += strlen(p) + 1;
		cr_expect_str_eq(p, wishes[i].rcpt, "row %zu", i);
		cr_expect_eq(job.rcpts_len,
		    (size_t)(p + strlen(p) + 1 - job.rcpts), "row %zu", i);
		job_parse_clear(&job);
	}
}

Test(job, a_packet_that_continues_has_recipients_alone)
{
	static const char *const want[3] = { "c@z", NULL };

	cr_assert_eq(parse("{\"rcpts\":[\"c@z\"],\"more\":true}", true), 0,
	    "%s", error);
	cr_expect_not(job.first);
	cr_expect(job.more);
	expect_rcpts(want, 0);
	job_parse_clear(&job);
	cr_expect_eq(parse("{\"from\":\"\",\"rcpts\":[\"c@z\"]}", true), -1);
	cr_expect_str_eq(error, "\"from\" is not known here");
}

#define LABEL_64                                                               \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define RCPT_A "\"rcpts\":[\"a@x\"]"

/* part must be found in the error. */
static const struct bad {
	const char *text;
	const char *part;
} bad[] = {
	{ "", "no JSON" },
	{ "{", "no JSON" },
	{ "hello", "no JSON" },
	{ "{}x", "no JSON" },
	{ "{\"from\":\"\"}{}", "no JSON" },
	{ "{\"from\":\"\",\"rcpts\":[\"a@x\"],\"store\":false}", "\"wait\"" },
	{ "{\"from\":\"\xff\"," RCPT_A "}", "no JSON" },
	{ "{\"from\":\"\",\"from\":\"\"," RCPT_A "}", "duplicate" },
	{ "[]", "must be a JSON object" },
	{ "{}", "\"from\" must be a string" },
	{ "{" RCPT_A "}", "\"from\" must be a string" },
	{ "{\"from\":null," RCPT_A "}", "\"from\" must be a string" },
	{ "{\"from\":[\"a@x\"]," RCPT_A "}", "\"from\" must be a string" },
	{ "{\"from\":\"no domain\"," RCPT_A "}", "from <no domain>" },
	{ "{\"from\":\"Postmaster\"," RCPT_A "}", "from <Postmaster>" },
	{ "{\"from\":\"\"}", "\"rcpts\" must be a list" },
	{ "{\"from\":\"\",\"rcpts\":\"a@x\"}", "\"rcpts\" must be a list" },
	{ "{\"from\":\"\",\"rcpts\":[]}", "\"rcpts\" is empty" },
	{ "{\"from\":\"\",\"rcpts\":[{}]}", "strings, or objects" },
	{ RCPT("\"adress\":\"c@y\""), "\"adress\" is not known" },
	{ RCPT("\"notify\":\"never\""), "a list of one to four" },
	{ RCPT("\"notify\":[]"), "a list of one to four" },
	{ RCPT("\"notify\":[\"NEVER\"]"), "must hold \"never\"" },
	{ RCPT("\"notify\":[1]"), "must hold \"never\"" },
	{ RCPT("\"notify\":[\"never\",\"delay\"]"), "stand alone" },
	{ RCPT("\"notify\":[\"delay\",\"delay\"]"), "some of SUCCESS" },
	{ RCPT("\"orcpt\":\"b@y\""), "an address type" },
	{ RCPT("\"orcpt\":\"rfc822;\""), "an address type" },
	{ RCPT("\"orcpt\":\"rfc 822;b@y\""), "its type none" },
	{ RCPT("\"orcpt\":\"rfc822;b\\u000a@y\""), "printable" },
	{ RCPT("\"orcpt\":\"rfc822;\\u00fc@y\""), "printable" },
	{ RCPT("\"orcpt\":\"utf-8;\\u00fc\\u0007@y\""), "too long" },
	{ RCPT("\"orcpt\":\"utf-8;\""), "an address type" },
	{ TO_B "\"hold_for\":60,\"deliver_by\":{\"seconds\":60}}",
	    "held until it is to be delivered" },
	{ "{\"from\":\"\"," RCPT_A ",\"hold_for\":60}", "notification" },
	{ TO_B "\"ret\":\"FULL\"}", "\"ret\" must be" },
	{ TO_B "\"ret\":1}", "\"ret\" must be" },
	{ TO_B "\"envid\":\"\"}", "is empty" },
	{ TO_B "\"envid\":7}", "\"envid\" must be a string" },
	{ TO_B "\"envid\":\"a\\r\\nb\"}", "printable" },
	{ TO_B "\"envid\":\"" LABEL_64 LABEL_64 "\"}", "longer than 100" },
	{ TO_B "\"deliver_by\":120}", "an object with" },
	{ TO_B "\"deliver_by\":{}}", "an object with" },
	{ TO_B "\"deliver_by\":{\"seconds\":1.5}}", "an object with" },
	{ TO_B "\"deliver_by\":{\"seconds\":0}}", "above 0" },
	{ TO_B "\"deliver_by\":{\"seconds\":-5}}", "above 0" },
	{ TO_B "\"deliver_by\":{\"seconds\":1000000000}}", "999999999" },
	{ TO_B "\"deliver_by\":{\"seconds\":5,\"mode\":\"R\"}}",
	    "\"return\" or" },
	{ TO_B "\"deliver_by\":{\"seconds\":5,\"minutes\":1}}",
	    "\"minutes\" is not known" },
	{ TO_B "\"hold_for\":0}", "from 1" },
	{ TO_B "\"hold_for\":1000000000}", "from 1" },
	{ TO_B "\"hold_for\":\"5\"}", "a whole number" },
	{ TO_B "\"hold_until\":\"2026-13-01T00:00:00Z\"}", "RFC 3339" },
	{ TO_B "\"hold_until\":\"2026-12-01T00:00:00\"}", "RFC 3339" },
	{ TO_B "\"hold_for\":5,\"hold_until\":\"2026-12-01T00:00:00Z\"}",
	    "not both" },
	{ TO_B "\"priority\":10}", "from -9 to 9" },
	{ TO_B "\"priority\":\"urgent\"}", "\"low\", \"normal\" or \"high\"" },
	{ TO_B "\"priority\":true}", "whole number" },
	{ TO_B "\"priority\":-10}", "from -9 to 9" },
	{ TO_B "\"priority\":9223372036854775807}", "from -9 to 9" },
	{ TO_B "\"auth\":\"\"}", "an address or" },
	{ TO_B "\"auth\":\"nobody\"}", "an address or" },
	{ "{\"from\":\"\",\"rcpts\":[1]}", "strings, or objects" },
	{ "{\"from\":\"\",\"rcpts\":[\"a@x\",null]}", "strings, or objects" },
	{ "{\"from\":\"\",\"rcpts\":[\"\"]}", "recipient <>" },
	{ "{\"from\":\"\",\"rcpts\":[\"a@x\\r\\nRCPT\"]}",
	    "recipient <a@x\\x0d\\x0aRCPT>" },
	{ "{\"from\":\"\",\"rcpts\":[\"a\\u0000@x\"]}", "no JSON" },
	{ "{\"from\":\"\",\"rcpts\":[\"a@" LABEL_64 ".example\"]}",
	    "recipient <a@" },
	{ "{\"from\":\"\",\"rcpts\":[\"a>b@x\"]}", "recipient <a>b@x>" },
	{ "{\"from\":\"\"," RCPT_A ",\"wait\":\"soon\"}",
	    "\"wait\" must be \"queued\"" },
	{ "{\"from\":\"\"," RCPT_A ",\"wait\":1}",
	    "\"wait\" must be a string" },
	{ "{\"from\":\"\"," RCPT_A ",\"wait\":\"" LABEL_64 "\"}",
	    "\"wait\" is longer" },
	{ "{\"from\":\"\"," RCPT_A ",\"more\":1}",
	    "\"more\" must be true or false" },
	{ "{\"from\":\"\"," RCPT_A ",\"verbose\":\"yes\"}",
	    "\"verbose\" must be true or false" },
	{ "{\"from\":\"\"," RCPT_A ",\"once\":null}",
	    "\"once\" must be true or false" },
	{ "{\"from\":\"\"," RCPT_A ",\"ref\":\"a\\nb\"}",
	    "\"ref\" must be printable ASCII" },
	{ "{\"from\":\"\"," RCPT_A ",\"ref\":\"\xc3\xbc\"}",
	    "\"ref\" must be printable ASCII" },
	{ "{\"from\":\"\"," RCPT_A ",\"ref\":\"" LABEL_64 LABEL_64 "\"}",
	    "\"ref\" is longer than 127 octets" },
	{ "{\"from\":\"\"," RCPT_A ",\"via\":\"" LABEL_64 LABEL_64 "\"}",
	    "\"via\" is longer than 127 octets" },
	{ "{\"from\":\"\"," RCPT_A ",\"via\":7}", "\"via\" must be a string" },
	{ "{\"from\":\"\"," RCPT_A ",\"rcpt\":\"b@y\"}",
	    "\"rcpt\" is not known here" },
	{ "{\"command\":\"list\"}",
	    "this is the job socket: commands are for the control socket, "
	    "which is control_socket in postern.conf(5)" },
	{ "{\"from\":\"\"," RCPT_A ",\"a\\nb\":1}",
	    "\"a\\x0ab\" is not known here" },
};

Test(job, a_bad_packet_is_refused_with_one_clear_sentence)
{
	for (size_t i = 0; i < NELEM(bad); i++) {
		memset(&job, 0xff, sizeof(job));
		error[0] = '\0';
		cr_expect_eq(parse(bad[i].text, false), -1, "%s", bad[i].text);
		cr_expect_not_null(strstr(error, bad[i].part), "%s: %s",
		    bad[i].text, error);
		cr_expect_null(strpbrk(error, "\r\n"), "%s", error);
		cr_expect_null(job.rcpts, "nothing is left to free");
	}
}

Test(job, json_that_nests_without_end_is_refused)
{
	static char text[CLIENT_PACKET_MAX];

	memset(text, '[', sizeof(text));
	cr_expect_eq(job_parse(&job, text, sizeof(text), false, error), -1);
	cr_expect_not_null(strstr(error, "no JSON"), "%s", error);
}

Test(job, a_packet_full_of_recipients_is_read)
{
	static char text[CLIENT_PACKET_MAX + 64];
	size_t len, n = 0;

	len = (size_t)sprintf(text, "{\"from\":\"\",\"rcpts\":[");
	while (len < CLIENT_PACKET_MAX - 16) {
		len += (size_t)sprintf(text + len, "%s\"%zu@x\"",
		    n > 0 ? "," : "", n);
		n++;
	}
	len += (size_t)sprintf(text + len, "]}");
	cr_assert_leq(len, (size_t)CLIENT_PACKET_MAX);
	cr_assert_eq(job_parse(&job, text, len, false, error), 0, "%s", error);
	cr_expect_eq(job.nrcpts, n);
	cr_expect_str_eq(job.rcpts, "0@x");
	job_parse_clear(&job);
	/* The same of objects, each with all that it may have. */
	len = (size_t)sprintf(text, "{\"from\":\"\",\"rcpts\":[");
	for (n = 0; len < CLIENT_PACKET_MAX - 640; n++)
		len += (size_t)sprintf(text + len,
		    "%s{\"address\":\"b@y\",\"notify\":[\"success\",\"failure\","
		    "\"delay\"],\"orcpt\":\"rfc822;%0440d\"}",
		    n > 0 ? "," : "", 7);
	len += (size_t)sprintf(text + len, "]}");
	cr_assert_eq(job_parse(&job, text, len, false, error), 0, "%s", error);
	cr_expect_eq(job.nrcpts, n);
	job_parse_clear(&job);
	cr_expect_null(job.rcpts);
	job_parse_clear(&job);
}
