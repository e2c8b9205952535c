/* SPDX-License-Identifier: ISC */
/* The parameters of MAIL and RCPT: which are some, and what time makes of them. */
#include "common/parameters.h"

#include <stdio.h>
#include <string.h>

#include <criterion/criterion.h>

#include "common/date.h"
#include "common/unitext.h"
#include "common/util.h"

#define X94                                                                    \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"                      \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define X470 X94 X94 X94 X94 X94

static const char *const good_mail[] = { "", "RET=FULL", "RET=HDRS",
	"RET=HDRS ENVID=a+2Bb BY=120;R MT-PRIORITY=3", "ENVID=" X94 "aaaaaa",
	"ENVID=a+20b", "BY=1;R", "BY=-5;N", "BY=0;N", "BY=0;NT", "BY=9;RT",
	"BY=999999999;N", "BY=-999999999;NT", "HOLDFOR=1", "HOLDFOR=999999999",
	"HOLDUNTIL=2026-11-23T16:17:08Z", "HOLDUNTIL=2028-02-29T00:00:00Z",
	"MT-PRIORITY=-9", "MT-PRIORITY=9", "MT-PRIORITY=0", "AUTH=<>",
	("NAME=a.example ADDR=192.0.2.1 PORT=1 HELO=a+20b PROTO=SMTP LOGIN=b "
	 "SOURCE=LOCAL RET=FULL"),
	"ADDR=IPV6:2001:db8::1", "AUTH=ana@example.org",
	"AUTH=e+3Dmc2@example.com" };

static const char *const good_rcpt[] = { "", "NOTIFY=NEVER", "NOTIFY=SUCCESS",
	"NOTIFY=DELAY,FAILURE,SUCCESS", "ORCPT=rfc822;bob@example.org",
	"ORCPT=x400;+2FC+3DGB", "NOTIFY=DELAY ORCPT=rfc822;b+2Bob@example.org",
	"ORCPT=rfc822;" X470 "aaaaaaaaaaaaaaaaaaaaaaa" };

Test(parameters, good_ones_are_taken)
{
	for (size_t i = 0; i < NELEM(good_mail); i++)
		cr_expect_null(
		    parameters_check(good_mail[i], PARAMETER_OF_MAIL), "%s: %s",
		    good_mail[i],
		    parameters_check(good_mail[i], PARAMETER_OF_MAIL));
	for (size_t i = 0; i < NELEM(good_rcpt); i++)
		cr_expect_null(
		    parameters_check(good_rcpt[i], PARAMETER_OF_RCPT), "%s: %s",
		    good_rcpt[i],
		    parameters_check(good_rcpt[i], PARAMETER_OF_RCPT));
}

static const struct bad {
	const char *text;
	const char *part;
} bad_mail[] = {
	{ " ", "not known" },
	{ "X", "not known" },
	{ "RET", "RET must be" },
	{ "ret=FULL", "not known" },
	{ "RET=full", "RET must be" },
	{ "RET=FULL ", "space" },
	{ "RET=FULL  ENVID=a", "not known" },
	{ "RET=FULL RET=HDRS", "twice" },
	{ "NOTIFY=NEVER", "other command" },
	{ "ENVID=", "empty" },
	{ "LOGIN", "255 characters" },
	{ "NAME= RET=FULL", "255 characters" },
	{ "ADDR=192.0.2.256", "address" },
	{ "ADDR=2001:db8::1", "address" },
	{ "PORT=65536", "port" },
	{ "PROTO=LMTP", "protocol" },
	{ "SOURCE=local", "source" },
	{ "ENVID=" X94 "aaaaaaa", "longer than 100" },
	{ "ENVID=a+2b", "printable" },
	{ "ENVID=a+0D", "printable" },
	{ "ENVID=a+7F", "printable" },
	{ "ENVID=a=b", "printable" },
	{ "ENVID=a+2", "printable" },
	{ "ENVID=\xc3\xa9", "printable" },
	{ "ENVID=a\r\nDATA", "printable" },
	{ "BY=0;R", "above 0" }, /* S-095 */
	{ "BY=-5;R", "above 0" },
	{ "BY=5", "seconds" },
	{ "BY=;R", "seconds" },
	{ "BY=5;", "seconds" },
	{ "BY=5;X", "seconds" },
	{ "BY=5;RX", "seconds" },
	{ "BY=5;RTT", "seconds" },
	{ "BY=+5;R", "seconds" },
	{ "BY=1000000000;R", "seconds" }, /* S-096 */
	{ "BY=-1000000000;N", "seconds" },
	{ "HOLDFOR=0", "from 1" }, /* S-097 */
	{ "HOLDFOR=-1", "from 1" },
	{ "HOLDFOR=1000000000", "from 1" },
	{ "HOLDUNTIL=2026-13-01T00:00:00Z", "RFC 3339" }, /* S-098 */
	{ "HOLDUNTIL=2026-12-01T00:00:00", "RFC 3339" },
	{ "HOLDUNTIL=2026-12-01T01:00:00+01:00", "UTC" },
	{ "HOLDFOR=5 HOLDUNTIL=2026-12-01T00:00:00Z", "not both" }, /* S-099 */
	{ "MT-PRIORITY=10", "from -9" },                            /* S-100 */
	{ "MT-PRIORITY=-10", "from -9" },
	{ "MT-PRIORITY=", "from -9" },
	{ "MT-PRIORITY=-", "from -9" },
	{ "MT-PRIORITY=-0", "from -9" },
	{ "AUTH=", "address or" },
	{ "AUTH=no-domain", "address or" },
	{ "AUTH=<a@x>", "address or" },
	{ "AUTH=@b:a@x", "address or" },
	{ "AUTH=a+20b@x", "address or" },
};

static const struct bad bad_rcpt[] = {
	{ "RET=FULL", "other command" },
	{ "NOTIFY=", "NOTIFY must" },
	{ "NOTIFY=ALWAYS", "NOTIFY must" },
	{ "NOTIFY=success", "NOTIFY must" },
	{ "NOTIFY=NEVER,SUCCESS", "alone" }, /* S-093 */
	{ "NOTIFY=SUCCESS,NEVER", "alone" },
	{ "NOTIFY=SUCCESS,SUCCESS", "NOTIFY must" },
	{ "NOTIFY=SUCCESS,", "NOTIFY must" },
	{ "ORCPT=bob@example.org", "address type" },
	{ "ORCPT=;bob", "address type" },
	{ "ORCPT=rfc822;", "address type" },
	{ "ORCPT=rfc(822;b", "address type" },
	{ "ORCPT=rfc822;a=b", "printable" },
	{ "ORCPT=rfc822;a+00", "printable" },
	{ "ORCPT=rfc822;" X470 "aaaaaaaaaaaaaaaaaaaaaaaa", "longer than 500" },
};

Test(parameters, bad_ones_are_told_what_is_wrong)
{
	const char *why;

	for (size_t i = 0; i < NELEM(bad_mail); i++) {
		why = parameters_check(bad_mail[i].text, PARAMETER_OF_MAIL);
		cr_expect(why != NULL && strstr(why, bad_mail[i].part) != NULL,
		    "%s: %s", bad_mail[i].text, why != NULL ? why : "fine");
	}
	for (size_t i = 0; i < NELEM(bad_rcpt); i++) {
		why = parameters_check(bad_rcpt[i].text, PARAMETER_OF_RCPT);
		cr_expect(why != NULL && strstr(why, bad_rcpt[i].part) != NULL,
		    "%s: %s", bad_rcpt[i].text, why != NULL ? why : "fine");
	}
}

Test(parameters, what_is_no_xchar_is_encoded) /* S-092 */
{
	char text[PARAMETERS_MAIL_SIZE] = "";

	cr_expect(parameters_add_xtext(text, sizeof(text), PARAMETER_ENVID, "",
	    "a+b=c d\x7f\xff"));
	cr_expect_str_eq(text, "ENVID=a+2Bb+3Dc+20d+7F+FF");
	cr_expect(parameters_add(text, sizeof(text), PARAMETER_RET, "HDRS"));
	cr_expect(parameters_add_xtext(text, sizeof(text), PARAMETER_ORCPT,
	    "rfc822;", "b@x"));
	cr_expect_str_eq(text,
	    "ENVID=a+2Bb+3Dc+20d+7F+FF RET=HDRS ORCPT=rfc822;b@x");
}

/* At 1970-01-01T00:01:40Z. */
static const struct hold {
	const char *text;
	bool notification;
	const char *part; /* NULL: it may be */
} holds[] = {
	{ "", true, NULL },
	{ "BY=1;R", true, NULL },
	{ "HOLDFOR=60", false, NULL },
	{ "HOLDFOR=60", true, "notification" },
	{ "HOLDUNTIL=1970-01-01T00:02:00Z", true, "notification" },
	{ "HOLDFOR=60 BY=61;R", false, NULL },
	{ "BY=60;R HOLDFOR=60", false, "is to be delivered" },
	{ "HOLDFOR=1 BY=-5;N", false, "is to be delivered" },
	{ "HOLDUNTIL=1970-01-01T00:02:00Z BY=21;N", false, NULL },
	{ "HOLDUNTIL=1970-01-01T00:02:00Z BY=20;N", false,
	    "is to be delivered" },
};

Test(parameters, a_hold_ends_before_the_message_is_late)
{
	const char *why;

	for (size_t i = 0; i < NELEM(holds); i++) {
		why = parameters_check_hold(holds[i].text,
		    holds[i].notification, 100999);
		if (holds[i].part == NULL)
			cr_expect_null(why, "row %zu: %s", i, why);
		else
			cr_expect(why != NULL &&
				strstr(why, holds[i].part) != NULL,
			    "row %zu: %s", i, why != NULL ? why : "fine");
	}
}

static const struct unitext {
	const char *text;
	const char *want; /* NULL: it is refused */
} unitexts[] = {
	{ "", "" },
	{ "bob@example.org", "bob@example.org" },
	{ "bj\xc3\xb8rn@x", "bj\\x{F8}rn@x" },
	{ "\xe4\xb8\xad\xf0\x9f\x93\xa7@x", "\\x{4E2D}\\x{1F4E7}@x" },
	{ "\"a b\\\\+=\"@x", "\"a\\x{20}b\\x{5C}\\x{5C}\\x{2B}\\x{3D}\"@x" },
	{ "bj\\x{F8}r+n@x", "bj\\x{F8}r\\x{2B}n@x" }, /* some of it done */
	{ "\\x{F}\\x{1234567}\\x{F8",
	    "\\x{5C}x{F}\\x{5C}x{1234567}\\x{5C}x{F8" },
	{ "a\r\n@x", NULL },
	{ "a\x7f@x", NULL },
	{ "\xc3@x", NULL },
	{ "\xed\xa0\x80@x", NULL },
};

Test(parameters, an_address_beyond_ascii_travels_in_it)
{
	char out[80];
	size_t n;

	for (size_t i = 0; i < NELEM(unitexts); i++) {
		if (unitexts[i].want == NULL) {
			cr_expect(
			    !unitext_encode(unitexts[i].text, out, sizeof(out)),
			    "row %zu", i);
			continue;
		}
		cr_expect(unitext_encode(unitexts[i].text, out, sizeof(out)));
		cr_expect_str_eq(out, unitexts[i].want, "row %zu", i);
		n = strlen(unitexts[i].want);
		for (size_t size = 1; size < n + 2; size++)
			cr_expect_eq(
			    unitext_encode(unitexts[i].text, out, size),
			    size > n, "row %zu, %zu", i, size);
	}
}

Test(parameters, what_has_no_room_is_not_added_in_part)
{
	char text[PARAMETERS_MAIL_SIZE];
	char value[] = "+a+a";

	for (size_t size = 4; size < 40; size++) {
		strlcpy(text, "RET", sizeof(text));
		if (!parameters_add_xtext(text, size, PARAMETER_ENVID, "x;",
			value))
			cr_expect_str_eq(text, "RET", "%zu", size);
		else
			cr_expect_str_eq(text, "RET ENVID=x;+2Ba+2Ba", "%zu",
			    size);
		strlcpy(text, "RET", sizeof(text));
		if (!parameters_add(text, size, PARAMETER_RET, value))
			cr_expect_str_eq(text, "RET", "%zu", size);
		else
			cr_expect_str_eq(text, "RET RET=+a+a", "%zu", size);
	}
}

static const struct date {
	const char *text;
	int64_t seconds; /* -1: no date */
	const char *utc;
} dates[] = {
	{ "1970-01-01T00:00:00Z", 0, "1970-01-01T00:00:00Z" },
	{ "2000-02-29T23:59:59Z", 951868799, "2000-02-29T23:59:59Z" },
	{ "2026-11-23T16:17:08.123z", 1795450628, "2026-11-23T16:17:08Z" },
	{ "2026-11-23t17:47:08+01:30", 1795450628, "2026-11-23T16:17:08Z" },
	{ "2026-11-23T06:17:08-10:00", 1795450628, "2026-11-23T16:17:08Z" },
	{ "2026-12-31T23:59:60Z", 1798761600, "2027-01-01T00:00:00Z" },
	{ "9999-12-31T23:59:59Z", 253402300799, "9999-12-31T23:59:59Z" },
	{ "2100-02-28T00:00:00Z", 4107456000, "2100-02-28T00:00:00Z" },
	{ "2100-02-29T00:00:00Z", -1, NULL },
	{ "2026-02-29T00:00:00Z", -1, NULL },
	{ "2026-13-01T00:00:00Z", -1, NULL },
	{ "2026-00-01T00:00:00Z", -1, NULL },
	{ "2026-01-00T00:00:00Z", -1, NULL },
	{ "2026-04-31T00:00:00Z", -1, NULL },
	{ "2026-11-23T24:00:00Z", -1, NULL },
	{ "2026-11-23T16:60:08Z", -1, NULL },
	{ "2026-11-23T16:17:61Z", -1, NULL },
	{ "2026-11-23T16:17:08", -1, NULL },
	{ "2026-11-23T16:17:08.Z", -1, NULL },
	{ "2026-11-23T16:17:08+0100", -1, NULL },
	{ "2026-11-23T16:17:08+24:00", -1, NULL },
	{ "2026-11-23T16:17:08Zx", -1, NULL },
	{ "2026-11-23 16:17:08Z", -1, NULL },
	{ "2026/11/23T16:17:08Z", -1, NULL },
	{ "9999-12-31T23:59:59-01:00", -1, NULL },
	{ "1970-01-01T00:00:00+01:00", -1, NULL },
	{ "1969-12-31T00:00:00Z", -1, NULL },
	{ "tomorrow", -1, NULL },
	{ "", -1, NULL },
};

Test(parameters, a_date_is_one_of_rfc_3339)
{
	char out[DATE_SIZE];
	int64_t seconds;
	bool ok;

	for (size_t i = 0; i < NELEM(dates); i++) {
		ok = date_read(dates[i].text, strlen(dates[i].text), &seconds);
		cr_expect_eq(ok, dates[i].seconds != -1, "%s", dates[i].text);
		if (!ok)
			continue;
		cr_expect_eq(seconds, dates[i].seconds, "%s: %lld",
		    dates[i].text, (long long)seconds);
		date_write(seconds, out);
		cr_expect_str_eq(out, dates[i].utc, "%s", dates[i].text);
	}
}

Test(parameters, every_day_reads_as_it_was_written)
{
	char out[DATE_SIZE];
	int64_t back;

	for (int64_t s = 0; s < INT64_C(253402300800); s += 86400 * 3 + 12345) {
		date_write(s, out);
		cr_assert(date_read(out, strlen(out), &back), "%s", out);
		cr_assert_eq(back, s, "%s", out);
	}
}

static const struct age {
	const char *text;
	int64_t elapsed_ms;
	const char *want; /* NULL: it goes back */
} ages[] = {
	{ "", 5000, "" },
	{ "RET=HDRS ENVID=a", 5000, "RET=HDRS ENVID=a" },
	{ "BY=120;R", 0, "BY=120;R" },
	{ "BY=120;R", 999, "BY=120;R" },
	{ "BY=120;RT RET=FULL", 5000, "BY=115;RT RET=FULL" },
	{ "BY=120;R", 119999, "BY=1;R" },
	{ "BY=120;R", 120000, NULL },
	{ "BY=120;N", 125000, "BY=-5;N" },
	{ "BY=-999999999;N", 125000, "BY=-999999999;N" },
	{ "BY=120;R", -5000, "BY=120;R" }, /* the clock was set back */
	{ "RET=FULL HOLDFOR=60 MT-PRIORITY=3", 20000,
	    "RET=FULL HOLDFOR=40 MT-PRIORITY=3" },
	{ "RET=FULL HOLDFOR=60 MT-PRIORITY=3", 60000,
	    "RET=FULL MT-PRIORITY=3" },
	{ "HOLDFOR=60", 60000, "" },
	{ "HOLDUNTIL=1970-01-01T02:46:45Z AUTH=<>", 4000,
	    "HOLDUNTIL=1970-01-01T02:46:45Z AUTH=<>" },
	{ "HOLDUNTIL=1970-01-01T02:46:45Z AUTH=<>", 5000, "AUTH=<>" },
};

Test(parameters, what_is_left_of_a_time_goes_on)
{
	const int64_t created_ms = 10000000; /* 02:46:40 */
	char out[PARAMETERS_MAIL_SIZE];
	bool goes_on;

	for (size_t i = 0; i < NELEM(ages); i++) {
		goes_on = parameters_age(out, ages[i].text, created_ms,
		    created_ms + ages[i].elapsed_ms);
		cr_expect_eq(goes_on, ages[i].want != NULL, "row %zu", i);
		if (goes_on && ages[i].want != NULL)
			cr_expect_str_eq(out, ages[i].want, "row %zu: %s", i,
			    out);
	}
}

Test(parameters, only_a_message_to_be_returned_has_a_deadline)
{
	cr_expect_eq(parameters_deadline_ms("RET=FULL BY=5;R", 1000), 6000);
	cr_expect_eq(parameters_deadline_ms("BY=5;N", 1000), INT64_MAX);
	cr_expect_eq(parameters_deadline_ms("", 1000), INT64_MAX);
}

/* So much room is set aside for them. */
Test(parameters, all_at_their_longest_fit)
{
	size_t octets[3] = { 1, 1, 0 };

	for (size_t i = 0; i < PARAMETER_COUNT; i++)
		octets[parameter_descs[i].command] += parameter_descs[i].octets;
	cr_expect_leq(octets[PARAMETER_OF_MAIL] + octets[PARAMETER_OF_CLIENT],
	    PARAMETERS_MAIL_SIZE);
	cr_expect_leq(octets[PARAMETER_OF_RCPT], PARAMETERS_RCPT_SIZE);
}
