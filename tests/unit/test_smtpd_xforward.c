/* SPDX-License-Identifier: ISC */
/* XFORWARD of a client that may say it. */
#include "master/intake/smtpd/smtpd_xforward.h"

#include <string.h>

#include <criterion/criterion.h>

#include "common/util.h"

static bool
read_text(struct smtpd_xforward *x, const char *text)
{
	struct smtpd_reply wrong;

	return smtpd_xforward_read(x, text, strlen(text), &wrong);
}

Test(smtpd_xforward, attributes_gather_and_go_on_with_the_job)
{
	struct smtpd_xforward x = { 0 };
	char parameters[PARAMETERS_MAIL_SIZE] = "RET=FULL";

	cr_assert(read_text(&x,
	    "name=mx.a+2Borg ADDR=192.0.2.1 PORT=[UNAVAILABLE] PROTO=ESMTP"));
	cr_assert(read_text(&x, "HELO=he+6Co  IDENT=4F1A SOURCE=REMOTE"));
	cr_expect(x.told);
	cr_expect_str_eq(x.values[SMTPD_NAME], "mx.a+org");
	cr_expect_str_eq(x.values[SMTPD_PORT], "");
	cr_expect_str_eq(x.values[SMTPD_HELO], "helo");
	cr_expect_str_eq(x.values[SMTPD_IDENT], "4F1A");
	smtpd_xforward_add(&x, parameters);
	cr_expect_str_eq(parameters,
	    "RET=FULL NAME=mx.a+2Borg ADDR=192.0.2.1 PROTO=ESMTP HELO=helo "
	    "SOURCE=REMOTE");
	cr_expect_null(parameters_check(parameters, PARAMETER_OF_MAIL));
}

Test(smtpd_xforward, what_no_job_may_hold_is_left_out)
{
	struct smtpd_xforward x = { 0 };
	char parameters[PARAMETERS_MAIL_SIZE] = "";

	cr_assert(read_text(&x,
	    "ADDR=none PORT=70000 PROTO=QMTP SOURCE=x NAME=a+0D+0Ab"));
	smtpd_xforward_add(&x, parameters);
	cr_expect_str_eq(parameters, "NAME=a??b");
	cr_assert(read_text(&x, "NAME=[TEMPUNAVAIL] ADDR=IPV6:2001:db8::1"));
	parameters[0] = '\0';
	smtpd_xforward_add(&x, parameters);
	cr_expect_str_eq(parameters, "ADDR=IPV6:2001:db8::1");
}

Test(smtpd_xforward, what_is_malformed_is_refused)
{
	static const char *const bad[] = { "", "NAME", "=x", "WHAT=x",
		"NAME=a WHAT=x", "NAME=+2", "NAME=+GG" };
	struct smtpd_xforward x;
	char longer[400] = "NAME=";

	for (size_t i = 0; i < NELEM(bad); i++) {
		memset(&x, 0, sizeof(x));
		cr_expect_not(read_text(&x, bad[i]), "%s", bad[i]);
		cr_expect_not(x.told);
	}
	memset(longer + 5, 'a', 256);
	memset(&x, 0, sizeof(x));
	cr_expect_not(read_text(&x, longer));
}
