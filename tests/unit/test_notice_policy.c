/* SPDX-License-Identifier: ISC */
/* Who is told what: the cases of RFC 3461, 5.2, and RFC 2852, 4.1. */
#include "master/queue/notice_policy.h"

#include <criterion/criterion.h>

#include "common/message.h"
#include "common/util.h"

#define SENDER     NOTICE_TO_SENDER
#define POSTMASTER NOTICE_TO_POSTMASTER
#define DSN        OUTCOME_OFFERS_DSN
#define BY         OUTCOME_OFFERS_DELIVERBY
#define HOUR       INT64_C(3600000)

enum {
	GOOD = OUTCOME_DELIVERED,
	LATER = OUTCOME_DEFERRED,
	BAD = OUTCOME_FAILED,
};

static const struct row {
	const char *from;
	const char *mail;
	const char *rcpt;
	uint8_t status;
	uint8_t offers;
	bool lmtp;
	uint32_t flags;
	uint32_t warned;
	int64_t age_ms;
	uint32_t want;
	uint32_t want_warned;
} rows[] = {
	/* 5.2.6 */
	{ "a@b", "", "", BAD, 0, 0, 0, 0, 0, NOTICE_FAILED | SENDER, 0 },
	{ "a@b", "", "", BAD, DSN, 0, 0, 0, 0, NOTICE_FAILED | SENDER, 0 },
	{ "a@b", "", "NOTIFY=FAILURE", BAD, 0, 0, 0, 0, 0,
	    NOTICE_FAILED | SENDER, 0 },
	{ "a@b", "", "NOTIFY=SUCCESS,DELAY", BAD, 0, 0, 0, 0, 0, 0, 0 },
	{ "a@b", "", "NOTIFY=NEVER", BAD, 0, 0, 0, 0, 0, 0, 0 },
	{ "a@b", "", "", BAD, 0, 0, SUBMIT_ONCE, 0, 0, 0, 0 },
	{ "", "", "", BAD, 0, 0, 0, 0, 0, 0, 0 },
	/* 5.2.1, 5.2.2, 5.2.3 */
	{ "a@b", "", "", GOOD, 0, 0, 0, 0, 0, 0, 0 },
	{ "a@b", "", "NOTIFY=FAILURE", GOOD, 0, 0, 0, 0, 0, 0, 0 },
	{ "a@b", "", "NOTIFY=SUCCESS", GOOD, 0, 0, 0, 0, 0,
	    NOTICE_RELAYED | SENDER, 0 },
	{ "a@b", "", "NOTIFY=SUCCESS,FAILURE", GOOD, 0, 1, 0, 0, 0,
	    NOTICE_DELIVERED | SENDER, 0 },
	{ "a@b", "", "NOTIFY=SUCCESS", GOOD, DSN, 0, 0, 0, 0, 0, 0 },
	{ "a@b", "", "NOTIFY=SUCCESS", GOOD, DSN, 1, 0, 0, 0, 0, 0 },
	{ "", "", "NOTIFY=SUCCESS", GOOD, 0, 0, 0, 0, 0, 0, 0 },
	/* 5.2.5 */
	{ "a@b", "", "", LATER, 0, 0, 0, 0, 3 * HOUR, 0, 0 },
	{ "a@b", "", "", LATER, 0, 0, 0, 0, 4 * HOUR, NOTICE_DELAYED | SENDER,
	    NOTICE_WARNED_DELAY },
	{ "a@b", "", "", LATER, 0, 0, 0, NOTICE_WARNED_DELAY, 9 * HOUR, 0, 0 },
	{ "a@b", "", "NOTIFY=DELAY", LATER, 0, 0, 0, 0, 4 * HOUR,
	    NOTICE_DELAYED | SENDER, NOTICE_WARNED_DELAY },
	{ "a@b", "", "NOTIFY=FAILURE", LATER, 0, 0, 0, 0, 4 * HOUR, 0, 0 },
	{ "a@b", "", "NOTIFY=NEVER", LATER, 0, 0, 0, 0, 4 * HOUR, 0, 0 },
	{ "", "", "", LATER, 0, 0, 0, 0, 9 * HOUR, 0, 0 },
	/* RFC 2852, 4.1.3 */
	{ "a@b", "BY=60;N", "", LATER, 0, 0, 0, 0, 60000, NOTICE_LATE | SENDER,
	    NOTICE_WARNED_BY },
	{ "a@b", "BY=60;N", "", LATER, 0, 0, 0, 0, 59999, 0, 0 },
	{ "a@b", "BY=60;N", "NOTIFY=FAILURE", LATER, 0, 0, 0, 0, 60000, 0, 0 },
	{ "a@b", "BY=60;N", "", LATER, 0, 0, 0, NOTICE_WARNED_BY, 60000, 0, 0 },
	{ "a@b", "BY=60;N", "", LATER, 0, 0, 0, NOTICE_WARNED_BY, 4 * HOUR,
	    NOTICE_DELAYED | SENDER, NOTICE_WARNED_DELAY },
	{ "a@b", "BY=60;R", "", LATER, 0, 0, 0, 0, 60000, 0, 0 },
	/* 4.1.4 */
	{ "a@b", "BY=60;RT", "", GOOD, BY, 0, 0, 0, 0, NOTICE_RELAYED | SENDER,
	    0 },
	{ "a@b", "BY=60;RT", "", GOOD, BY, 1, 0, 0, 0, 0, 0 },
	{ "a@b", "BY=60;R", "", GOOD, BY, 0, 0, 0, 0, 0, 0 },
	{ "a@b", "BY=60;RT", "NOTIFY=NEVER", GOOD, BY, 0, 0, 0, 0, 0, 0 },
	/* 4.1.4.2 */
	{ "a@b", "BY=60;N", "", GOOD, 0, 0, 0, 0, 0, NOTICE_RELAYED | SENDER,
	    0 },
	{ "a@b", "BY=60;N", "", GOOD, DSN, 0, 0, 0, 0, NOTICE_RELAYED | SENDER,
	    0 },
	{ "a@b", "BY=60;N", "", GOOD, BY, 0, 0, 0, 0, 0, 0 },
	{ "a@b", "BY=60;N", "", GOOD, 0, 0, 0, 0, 60000, 0, 0 },
	{ "a@b", "BY=60;N", "NOTIFY=NEVER", GOOD, 0, 0, 0, 0, 0, 0, 0 },
};

static struct notice_debt
ask(const struct notice_rules *rules, const struct row *row)
{
	struct notice_case c = { .reverse_path = row->from,
		.mail_parameters = row->mail,
		.rcpt_parameters = row->rcpt,
		.flags = row->flags,
		.warned = row->warned,
		.created_ms = 1000,
		.now_ms = 1000 + row->age_ms,
		.lmtp = row->lmtp,
		.outcome = { .status = row->status, .offers = row->offers } };

	return notice_policy(rules, &c);
}

Test(notice_policy, senders_are_told_what_the_standards_say)
{
	static const struct notice_rules rules = { .delay_warning_ms =
						       4 * HOUR };
	struct notice_debt debt;

	for (size_t i = 0; i < NELEM(rows); i++) {
		debt = ask(&rules, &rows[i]);
		cr_expect_eq(debt.notice, rows[i].want, "row %zu: %x", i,
		    debt.notice);
		cr_expect_eq(debt.warned, rows[i].want_warned, "row %zu", i);
		cr_expect_eq(debt.kept,
		    rows[i].from[0] == '\0' && rows[i].status == BAD, "row %zu",
		    i);
	}
}

Test(notice_policy, postmasters_have_copies_where_the_configuration_says_so)
{
	static const struct notice_rules rules = { true, true, true, HOUR };
	struct row failed = { .from = "a@b",
		.mail = "",
		.rcpt = "NOTIFY=NEVER",
		.status = BAD };
	struct row delayed = { .from = "a@b",
		.mail = "",
		.rcpt = "",
		.status = LATER,
		.age_ms = HOUR };
	struct row again = { .from = "",
		.mail = "",
		.rcpt = "NOTIFY=NEVER",
		.status = BAD };
	struct row last = { .from = "",
		.mail = "",
		.rcpt = "",
		.status = BAD,
		.flags = SUBMIT_FOR_POSTMASTER };

	cr_expect_eq(ask(&rules, &failed).notice, NOTICE_FAILED | POSTMASTER);
	cr_expect_eq(ask(&rules, &delayed).notice,
	    NOTICE_DELAYED | POSTMASTER | SENDER);
	cr_expect_eq(ask(&rules, &again).notice, NOTICE_FAILED | POSTMASTER);
	cr_expect_not(ask(&rules, &again).kept);
	cr_expect_eq(ask(&rules, &last).notice, 0);
	cr_expect(ask(&rules, &last).kept);
}

Test(notice_policy, a_notice_that_was_asked_for_is_mailed_whoever_waits)
{
	cr_expect(notice_is_asked_for("NOTIFY=FAILURE", NOTICE_FAILED));
	cr_expect_not(notice_is_asked_for("", NOTICE_FAILED));
	cr_expect_not(notice_is_asked_for("NOTIFY=DELAY", NOTICE_FAILED));
	cr_expect(notice_is_asked_for("NOTIFY=DELAY", NOTICE_LATE));
	cr_expect(notice_is_asked_for("", NOTICE_RELAYED));
}
