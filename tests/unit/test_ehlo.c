/* SPDX-License-Identifier: ISC */
#include "agent/smtp/ehlo.h"

#include <string.h>

#include <criterion/criterion.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define CAP(c)   (UINT32_C(1) << CAPABILITY_##c)
#define MECH(m)  (UINT32_C(1) << AUTH_MECHANISM_##m)

struct row {
	const char *lines; /* separated by "|" */
	bool in_tls;
	uint32_t offered;
	uint32_t mechanisms;
	uint64_t size_limit;
};

static const struct row rows[] = {
	{ "mx.example", false, 0, 0, 0 },
	{ "x|PIPELINING|8BITMIME|STARTTLS", false,
	    CAP(PIPELINING) | CAP(EIGHTBITMIME) | CAP(STARTTLS), 0, 0 },
	{ "x|pipelining|Size 10|StartTLS", false,
	    CAP(PIPELINING) | CAP(SIZE) | CAP(STARTTLS), 0, 10 }, /* S-024 */
	{ "SIZE 5", false, 0, 0, 0 },                             /* S-025 */
	{ "SIZE.example", false, 0, 0, 0 },
	{ "x|\x01|| DSN|DSN\xff|PIPE LINING|-|8BITMIME", false,
	    CAP(EIGHTBITMIME), 0, 0 }, /* S-026 */
	{ "x|PIPELININGX|XPIPELINING|DS", false, 0, 0, 0 },
	{ "x|SIZE", false, CAP(SIZE), 0, 0 },     /* S-027 */
	{ "x|SIZE 0", false, CAP(SIZE), 0, 0 },   /* S-028 */
	{ "x|SIZE abc", false, CAP(SIZE), 0, 0 }, /* S-029 */
	{ "x|SIZE -1", false, CAP(SIZE), 0, 0 },
	{ "x|SIZE 18446744073709551615", false, CAP(SIZE), 0, UINT64_MAX },
	{ "x|SIZE 18446744073709551616", false, CAP(SIZE), 0, 0 },
	{ "x|SIZE 99999999999999999999999", false, CAP(SIZE), 0, 0 },
	{ "x|SIZE  12  ", false, CAP(SIZE), 0, 12 },
	{ "x|AUTH plain Login", false, CAP(AUTH), MECH(PLAIN) | MECH(LOGIN),
	    0 }, /* S-030 */
	{ "x|AUTH=LOGIN|AUTH PLAIN|AUTH X-NEW", false, CAP(AUTH),
	    MECH(PLAIN) | MECH(LOGIN), 0 }, /* S-031 */
	{ "x|AUTH=LOGIN PLAIN", false, CAP(AUTH), MECH(PLAIN) | MECH(LOGIN),
	    0 },
	{ "x|SASL-IR", false, 0, 0, 0 },    /* S-032 */
	{ "x|BINARYMIME", false, 0, 0, 0 }, /* S-033 */
	{ "x|BINARYMIME|CHUNKING", false, CAP(BINARYMIME) | CAP(CHUNKING), 0,
	    0 },
	{ "x|REQUIRETLS", false, 0, 0, 0 }, /* S-034 */
	{ "x|REQUIRETLS", true, CAP(REQUIRETLS), 0, 0 },
	{ "x||PIPELINING|", false, CAP(PIPELINING), 0, 0 }, /* smtp-sink */
};

static void
parse(struct capabilities *caps, const char *lines, bool in_tls)
{
	const char *end;

	ehlo_clear(caps);
	for (;; lines = end + 1) {
		end = strchrnul(lines, '|');
		ehlo_add_line(caps, (const uint8_t *)lines,
		    (size_t)(end - lines));
		if (*end == '\0')
			break;
	}
	ehlo_finish(caps, in_tls);
}

Test(ehlo, good_lines_count_and_others_are_skipped)
{
	struct capabilities caps;

	for (size_t i = 0; i < COUNT(rows); i++) {
		parse(&caps, rows[i].lines, rows[i].in_tls);
		cr_expect_eq(caps.offered, rows[i].offered, "%s: %x",
		    rows[i].lines, caps.offered);
		cr_expect_eq(caps.mechanisms, rows[i].mechanisms, "%s",
		    rows[i].lines);
		cr_expect_eq(caps.size_limit, rows[i].size_limit, "%s",
		    rows[i].lines);
	}
}

Test(ehlo, a_second_ehlo_replaces_everything)
{
	struct capabilities caps;

	/* S-035 */
	parse(&caps, "x|SIZE 5|PIPELINING|AUTH PLAIN", true);
	cr_expect(ehlo_offers(&caps, CAPABILITY_PIPELINING));
	cr_expect(ehlo_offers_auth(&caps, AUTH_MECHANISM_PLAIN));
	parse(&caps, "x|DSN", true);
	cr_expect(!ehlo_offers(&caps, CAPABILITY_PIPELINING));
	cr_expect(!ehlo_offers_auth(&caps, AUTH_MECHANISM_PLAIN));
	cr_expect_eq(caps.size_limit, 0);
}

Test(ehlo, limits_are_read_as_far_as_we_keep_them)
{
	static const struct {
		const char *line;
		uint32_t mails, rcpts, domains;
	} limits[] = {
		{ "x|LIMITS MAILMAX=20 RCPTMAX=100", 20, 100, 0 },
		{ "x|limits rcptmax=1 mailmax=007", 7, 1, 0 },
		{ "x|LIMITS RCPTDOMAINMAX=3 RCPTMAX=5", 0, 5, 3 },
		{ "x|LIMITS", 0, 0, 0 },
		{ "x|LIMITS MAILMAX RCPTMAX RCPTDOMAINMAX", 0, 0, 0 },
		{ "x|LIMITS MAILMAX= RCPTMAX=", 0, 0, 0 },
		{ "x|LIMITS MAILMAX=1x RCPTMAX=-1", 0, 0, 0 },
		{ "x|LIMITS MAILMAX=0", 0, 0, 0 },
		{ "x|LIMITS MAILMAX=99999999999999999999", 0, 0, 0 },
		{ "x|LIMITS XMAILMAX=3", 0, 0, 0 },
	};
	struct capabilities caps;

	for (size_t i = 0; i < COUNT(limits); i++) {
		parse(&caps, limits[i].line, false);
		cr_expect_eq(caps.mail_limit, limits[i].mails, "%s: %u",
		    limits[i].line, caps.mail_limit);
		cr_expect_eq(caps.rcpt_limit, limits[i].rcpts, "%s",
		    limits[i].line);
		cr_expect_eq(caps.rcpt_domain_limit, limits[i].domains, "%s",
		    limits[i].line);
	}
}

Test(ehlo, limits_of_time_are_read)
{
	static const struct {
		const char *line;
		uint32_t by, hold;
		int64_t until;
	} limits[] = {
		{ "x|DELIVERBY 240", 240, 0, 0 },
		{ "x|DELIVERBY 240,TRACE,X=1", 240, 0, 0 },
		{ "x|DELIVERBY ,X", 0, 0, 0 },
		{ "x|deliverby", 0, 0, 0 },
		{ "x|DELIVERBY 99999999999", 0, 0, 0 },
		{ "x|FUTURERELEASE 86400 1970-01-02T00:00:00Z", 0, 86400,
		    86400 },
		{ "x|FUTURERELEASE 86400 soon", 0, 86400, 0 },
		{ "x|FUTURERELEASE", 0, 0, 0 },
		{ "x|FUTURERELEASE -5 1970-13-02T00:00:00Z", 0, 0, 0 },
	};
	struct capabilities caps;

	for (size_t i = 0; i < COUNT(limits); i++) {
		parse(&caps, limits[i].line, false);
		cr_expect_eq(caps.deliver_by_min, limits[i].by, "%s",
		    limits[i].line);
		cr_expect_eq(caps.hold_for_max, limits[i].hold, "%s",
		    limits[i].line);
		cr_expect_eq(caps.hold_until_max, limits[i].until, "%s",
		    limits[i].line);
	}
}

Test(ehlo, what_is_discarded_was_not_offered)
{
	struct capabilities caps;

	parse(&caps, "x|SIZE 5|CHUNKING|DSN|AUTH PLAIN|LIMITS MAILMAX=2", true);
	ehlo_discard(&caps, "size  Auth limits X-FOO dsnx ");
	cr_expect_eq(caps.offered, CAP(CHUNKING) | CAP(DSN));
	cr_expect_eq(caps.size_limit, 0);
	cr_expect_eq(caps.mechanisms, 0);
	cr_expect_eq(caps.mail_limit, 0);
	/* BINARYMIME makes no sense without it. */
	parse(&caps, "x|CHUNKING|BINARYMIME", true);
	ehlo_discard(&caps, "chunking");
	ehlo_finish(&caps, true);
	cr_expect_eq(caps.offered, 0);
}
