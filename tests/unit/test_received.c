/* SPDX-License-Identifier: ISC */
#include "master/intake/message/received.h"

#include <stdio.h>
#include <string.h>

#include <criterion/criterion.h>

#include "common/util.h"

static const struct {
	bool lmtp, extended, tls, smtputf8;
	const char *with;
} protocols[] = {
	{ false, false, false, false, "SMTP" },
	{ false, true, false, false, "ESMTP" },
	{ false, true, true, false, "ESMTPS" },
	{ false, true, false, true, "UTF8SMTP" },
	{ false, true, true, true, "UTF8SMTPS" },
	{ true, true, false, false, "LMTP" },
	{ true, true, true, false, "LMTPS" },
	{ true, true, false, true, "UTF8LMTP" },
	{ true, true, true, true, "UTF8LMTPS" },
};

Test(received, it_says_how_and_from_whom)
{
	struct received r = { .helo = "me.test",
		.client = "[192.0.2.1]",
		.hostname = "mx.test",
		.id = "6B-1",
		.recipient = "a@b.test",
		.extended = true,
		.when_s = 1795450628 };
	char out[RECEIVED_SIZE], with[32];

	cr_expect_eq(received_write(&r, out), strlen(out));
	cr_expect_str_eq(out,
	    "Received: from me.test ([192.0.2.1])\r\n"
	    "\tby mx.test (postern) with ESMTP id 6B-1\r\n"
	    "\tfor <a@b.test>;\r\n"
	    "\tMon, 23 Nov 2026 16:17:08 +0000\r\n");
	r.recipient = NULL;
	r.forwarded = "a.org [192.0.2.9]";
	(void)received_write(&r, out);
	cr_expect_not_null(strstr(out,
	    "([192.0.2.1])\r\n\t(for a.org [192.0.2.9])\r\n\tby mx.test "
	    "(postern) with ESMTP id 6B-1;\r\n\tMon"));
	for (size_t i = 0; i < NELEM(protocols); i++) {
		r.lmtp = protocols[i].lmtp;
		r.extended = protocols[i].extended;
		r.tls = protocols[i].tls;
		r.smtputf8 = protocols[i].smtputf8;
		(void)snprintf(with, sizeof(with), " with %s id ",
		    protocols[i].with);
		(void)received_write(&r, out);
		cr_expect_not_null(strstr(out, with));
	}
}

Test(received, the_longest_parts_fit)
{
	char name[256], forwarded[520], client[320], recipient[256];
	struct received r = { .helo = name,
		.client = client,
		.forwarded = forwarded,
		.hostname = name,
		.id = "12345678-12345678",
		.recipient = recipient };
	char out[RECEIVED_SIZE];

	memset(name, 'a', sizeof(name) - 1);
	memset(forwarded, 'b', sizeof(forwarded) - 1);
	memset(client, 'c', sizeof(client) - 1);
	memset(recipient, 'd', sizeof(recipient) - 1);
	name[255] = forwarded[519] = client[319] = recipient[255] = '\0';
	cr_expect_gt(received_write(&r, out), 1500);
}
