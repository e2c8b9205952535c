/* SPDX-License-Identifier: ISC */
/* What RFC 8689 makes of a transport's TLS policy. */
#include "master/queue/security.h"

#include <string.h>

#include <criterion/criterion.h>

#include "common/util.h"

#define NO  SUBMIT_TLS_OPTIONAL
#define YES SUBMIT_REQUIRETLS

static const struct row {
	uint32_t flags;
	const char *sender;
	int level;
	bool mx;
	bool fallback;
	bool enable;
	enum security want;
} rows[] = {
	{ 0, "a@x", CONFIG_TLS_VERIFY, true, true, true, SECURITY_POLICY },
	{ SUBMIT_8BIT, "a@x", CONFIG_TLS_MAY, true, true, true,
	    SECURITY_POLICY },
	{ YES, "a@x", CONFIG_TLS_MAY, true, true, true, SECURITY_REQUIRED },
	{ YES, "a@x", CONFIG_TLS_NONE, false, true, false, SECURITY_REQUIRED },
	{ YES | NO, "a@x", CONFIG_TLS_MAY, true, true, true,
	    SECURITY_REQUIRED },
	/* A bounce is not lost for it. */
	{ YES, "", CONFIG_TLS_MAY, true, true, true, SECURITY_POLICY },
	{ NO, "a@x", CONFIG_TLS_VERIFY, true, true, true, SECURITY_OPTIONAL },
	{ NO, "", CONFIG_TLS_ENCRYPT, true, false, true, SECURITY_OPTIONAL },
	{ NO, "a@x", CONFIG_TLS_MAY, true, false, true, SECURITY_OPTIONAL },
	{ NO, "a@x", CONFIG_TLS_MAY, true, true, true, SECURITY_POLICY },
	{ NO, "a@x", CONFIG_TLS_NONE, true, false, true, SECURITY_POLICY },
	{ NO, "a@x", CONFIG_TLS_VERIFY, false, true, true, SECURITY_POLICY },
	{ NO, "a@x", CONFIG_TLS_VERIFY, true, true, false, SECURITY_POLICY },
};

static struct transport
transport(int level, bool mx)
{
	struct transport t = { 0 };

	t.tls_security_level = level;
	t.next_hop.kind = mx ? NEXT_HOP_MX : NEXT_HOP_HOST;
	return t;
}

Test(security, a_message_has_one_demand)
{
	struct transport t;

	for (size_t i = 0; i < NELEM(rows); i++) {
		t = transport(rows[i].level, rows[i].mx);
		t.tls_fallback = rows[i].fallback;
		t.tls_required_enable = rows[i].enable;
		cr_expect_eq(security_of(&t, rows[i].flags, rows[i].sender),
		    rows[i].want, "row %zu", i);
	}
}

Test(security, what_is_demanded_takes_the_place_of_the_level)
{
	struct transport t = transport(CONFIG_TLS_ENCRYPT, true);
	struct msg_session msg = { 0 };

	security_describe(&t, SECURITY_REQUIRED, &msg);
	cr_expect_eq(msg.tls_level, TLS_VERIFY);
	cr_expect_eq(msg.require_tls, 1);
	cr_expect_eq(msg.tls_fallback, 0);
	security_describe(&t, SECURITY_OPTIONAL, &msg);
	cr_expect_eq(msg.tls_level, TLS_MAY);
	cr_expect_eq(msg.require_tls, 0);
	cr_expect_eq(msg.tls_fallback, 1);
	security_describe(&t, SECURITY_POLICY, &msg);
	cr_expect_eq(msg.tls_level, TLS_ENCRYPT);
	cr_expect_eq(msg.tls_fallback, 0);
}

Test(security, what_cannot_be_had_is_refused)
{
	struct transport t = transport(CONFIG_TLS_MAY, true);
	const char *dsn = "";

	cr_expect_null(security_refuse(&t, SECURITY_POLICY, false, &dsn));
	cr_expect_null(security_refuse(&t, SECURITY_OPTIONAL, false, &dsn));
	cr_expect_null(security_refuse(&t, SECURITY_REQUIRED, true, &dsn));
	cr_expect_not_null(security_refuse(&t, SECURITY_REQUIRED, false, &dsn));
	cr_expect_str_eq(dsn, "5.7.30");
	t = transport(CONFIG_TLS_MAY, false);
	cr_expect_null(security_refuse(&t, SECURITY_REQUIRED, false, &dsn));
	t = transport(CONFIG_TLS_NONE, false);
	cr_expect_not_null(security_refuse(&t, SECURITY_REQUIRED, true, &dsn));
	cr_expect_str_eq(dsn, "5.7.10");
	t.tls_wrappermode = true;
	cr_expect_null(security_refuse(&t, SECURITY_REQUIRED, true, &dsn));
}
