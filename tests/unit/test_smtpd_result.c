/* SPDX-License-Identifier: ISC */
/* What a client is answered of an outcome. */
#include "master/intake/smtpd/smtpd_internal.h"

#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

static const struct {
	uint8_t status;
	uint16_t code;
	const char *dsn, *reply;
	uint16_t want;
	const char *want_dsn, *want_text;
} rows[] = {
	{ OUTCOME_DELIVERED, 250, "2.1.5", "250 2.1.5 Ok: queued as 1", 250,
	    "2.1.5", "Ok: queued as 1" },
	{ OUTCOME_DELIVERED, 252, "2.0.0", "252 fine", 250, "2.0.0", "fine" },
	{ OUTCOME_DELIVERED, 250, "2.0.0", "250 ", 250, "2.0.0",
	    "no reason was told" },
	{ OUTCOME_FAILED, 550, "5.1.1", "550 5.1.1 <a@b>: unknown", 550,
	    "5.1.1", "<a@b>: unknown" },
	{ OUTCOME_FAILED, 552, "5.2.2", "552-5.2.2 full / 552 5.2.2 really",
	    552, "5.2.2", "full / 552 5.2.2 really" },
	{ OUTCOME_FAILED, 0, "5.4.4", "no such host", 554, "5.4.4",
	    "no such host" },
	{ OUTCOME_FAILED, 451, "5.4.7", "451 4.3.0 later", 554, "5.4.7",
	    "later" },
	{ OUTCOME_DEFERRED, 450, "4.2.0", "450 4.2.0 greylisted", 450, "4.2.0",
	    "greylisted" },
	{ OUTCOME_DEFERRED, 421, "4.3.2", "421 4.3.2 bye", 451, "4.3.2",
	    "bye" },
	{ OUTCOME_DEFERRED, 554, "4.7.0", "554 no thanks", 451, "4.7.0",
	    "no thanks" },
	{ OUTCOME_DEFERRED, 0, "4.4.1", "cannot connect: 250 km", 451, "4.4.1",
	    "cannot connect: 250 km" },
	{ OUTCOME_DEFERRED, 0, "4.4.1", "250 km away", 451, "4.4.1",
	    "250 km away" },
	{ OUTCOME_DEFERRED, 450, "5.1.1", "450 5.1.1 so", 450, "4.0.0", "so" },
	{ OUTCOME_DEFERRED, 450, "", "450 a\r\nb\xe4", 450, "4.0.0", "a??b?" },
	{ 77, 250, "2.0.0", "250 what", 451, "4.0.0", "what" },
};

Test(smtpd_result, each_outcome_is_a_reply_of_its_class)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct outcome outcome = { .status = rows[i].status,
			.code = rows[i].code };
		struct smtpd_final_reply result = { 0 };

		strlcpy(outcome.dsn, rows[i].dsn, sizeof(outcome.dsn));
		smtpd_final_reply_set(&result, &outcome, NULL, rows[i].reply);
		cr_expect(result.done);
		cr_expect_eq(result.code, rows[i].want, "%s: %u", rows[i].reply,
		    result.code);
		cr_expect_str_eq(result.dsn, rows[i].want_dsn, "%s",
		    rows[i].reply);
		cr_expect_str_eq(result.text, rows[i].want_text, "%s",
		    rows[i].reply);
		free(result.text);
	}
}

static const struct {
	uint8_t status, in_doubt;
	uint16_t code;
	const char *relay, *reply, *want;
} named[] = {
	{ OUTCOME_DELIVERED, 0, 250, "mx.d.org[192.0.2.1]:25",
	    "250 2.0.0 Ok: queued as 1",
	    "host mx.d.org[192.0.2.1]:25 said: Ok: queued as 1" },
	{ OUTCOME_FAILED, 0, 550, "mx.d.org[192.0.2.1]:25",
	    "550-5.1.1 no / 550 5.1.1 never",
	    "host mx.d.org[192.0.2.1]:25 said: no / 550 5.1.1 never" },
	/* Our words about a host are not put into its mouth. */
	{ OUTCOME_FAILED, 0, 451, "mx.d.org[192.0.2.1]:25",
	    "delivery time expired: 451 4.3.0 later",
	    "host mx.d.org[192.0.2.1]:25: delivery time expired: 451 4.3.0 "
	    "later" },
	{ OUTCOME_DEFERRED, 0, 0, "mx.d.org[192.0.2.1]:25",
	    "cannot connect: refused",
	    "host mx.d.org[192.0.2.1]:25: cannot connect: refused" },
	{ OUTCOME_DEFERRED, 0, 0, "", "no route", "no route" },
	{ OUTCOME_DEFERRED, 1, 0, "mx.d.org[192.0.2.1]:25", "lost connection",
	    "perhaps delivered: host mx.d.org[192.0.2.1]:25: lost "
	    "connection" },
	{ OUTCOME_DEFERRED, 1, 421, "", "421 bye", "perhaps delivered: bye" },
	{ OUTCOME_FAILED, 1, 0, NULL, "time is over",
	    "perhaps delivered: time is over" },
	{ OUTCOME_DELIVERED, 1, 250, NULL, "250 ok", "ok" },
	{ OUTCOME_DELIVERED, 0, 250, "a\r\nb", "250 ok", "host a??b said: ok" },
};

Test(smtpd_result, the_host_and_a_doubt_are_named)
{
	for (size_t i = 0; i < sizeof(named) / sizeof(named[0]); i++) {
		struct outcome outcome = { .status = named[i].status,
			.code = named[i].code,
			.in_doubt = named[i].in_doubt };
		struct smtpd_final_reply result = { 0 };

		smtpd_final_reply_set(&result, &outcome, named[i].relay,
		    named[i].reply);
		cr_expect_str_eq(result.text, named[i].want, "%s", result.text);
		free(result.text);
	}
}
