/* SPDX-License-Identifier: ISC */
/* What a notice says, octet for octet, and what it makes of others' words. */
#include "master/queue/notice_text.h"

#include <string.h>

#include <criterion/criterion.h>

#include "common/util.h"

static char text[1 << 18];
static size_t len;

static int
put(void *arg, const char *octets, size_t n)
{
	(void)arg;
	cr_assert_lt(len + n, sizeof(text));
	memcpy(text + len, octets, n);
	len += n;
	text[len] = '\0';
	return 0;
}

static const struct notice_template template = {
	.from = "MAILER-DAEMON@$myhostname",
	.subject = "Returned",
	.postmaster_subject = "Copy",
	.body = "At $myhostname:\n\n",
};

static struct notice_about about;
static struct notice_recipient rcpt;
static struct notice_writer writer;

static void
set_up(void)
{
	about = (struct notice_about){ .template = &template,
		.values = { .myhostname = "mx.example.org",
		    .queue_id = "4F1A09",
		    .sender = "ana@example.org" },
		.to = "ana@example.org",
		.mta_is_name = true,
		.parameters = "",
		.created_ms = 1763914628000,
		.now_ms = 1763914629000,
		.boundary = "4F1A09.b" };
	rcpt = (struct notice_recipient){ .notice = NOTICE_FAILED,
		.address = "ben@example.com",
		.parameters = "",
		.dsn = "5.1.1",
		.reply = "550 5.1.1 no such user",
		.relay = "mx.example.com[192.0.2.1]:25",
		.code = 550,
		.until_ms = 1764346628000 };
	writer = (struct notice_writer){ .put = put };
	len = 0;
	text[0] = '\0';
}

TestSuite(notice_text, .init = set_up);

static bool
says(const char *words)
{
	return strstr(text, words) != NULL;
}

/* No line is longer than mail allows, none ends in anything but CRLF, and none
 * is ASCII no more. */
static void
expect_sound(bool ascii)
{
	size_t column = 0;

	for (size_t i = 0; i < len; i++) {
		cr_expect(text[i] != '\0');
		if (ascii)
			cr_expect((text[i] & 0x80) == 0, "octet %zu", i);
		if (text[i] == '\n')
			cr_expect(i > 0 && text[i - 1] == '\r');
		if (text[i] == '\r')
			cr_expect_eq(text[i + 1], '\n');
		column = text[i] == '\n' ? 0 : column + 1;
		cr_expect_leq(column, 999);
	}
}

static const char whole[] =
    "Date: Sun, 23 Nov 2025 16:17:09 +0000\r\n"
    "From: MAILER-DAEMON@mx.example.org\r\n"
    "Subject: Returned\r\n"
    "To: <ana@example.org>\r\n"
    "Message-ID: <4F1A09.b@mx.example.org>\r\n"
    "Auto-Submitted: auto-replied\r\n"
    "MIME-Version: 1.0\r\n"
    "Content-Type: multipart/report; report-type=delivery-status;\r\n"
    "\tboundary=\"4F1A09.b\"\r\n"
    "Content-Transfer-Encoding: 7bit\r\n"
    "\r\n"
    "This is a MIME message.\r\n"
    "\r\n"
    "--4F1A09.b\r\n"
    "Content-Description: Notification\r\n"
    "Content-Type: text/plain; charset=us-ascii\r\n"
    "Content-Transfer-Encoding: 7bit\r\n"
    "\r\n"
    "At mx.example.org:\r\n"
    "\r\n"
    "<ben@example.com>: host mx.example.com[192.0.2.1]:25 said: 550 5.1.1 no such\r\n"
    " user\r\n"
    "\r\n"
    "--4F1A09.b\r\n"
    "Content-Description: Delivery report\r\n"
    "Content-Type: message/delivery-status\r\n"
    "Content-Transfer-Encoding: 7bit\r\n"
    "\r\n"
    "Original-Envelope-Id: list 4711\r\n"
    "Reporting-MTA: dns; mx.example.org\r\n"
    "Arrival-Date: Sun, 23 Nov 2025 16:17:08 +0000\r\n"
    "X-Postern-Queue-ID: 4F1A09\r\n"
    "X-Postern-Sender: rfc822; ana@example.org\r\n"
    "\r\n"
    "Original-Recipient: rfc822;team+x@example.org\r\n"
    "Final-Recipient: rfc822; ben@example.com\r\n"
    "Action: failed\r\n"
    "Status: 5.1.1\r\n"
    "Remote-MTA: dns; mx.example.com\r\n"
    "Diagnostic-Code: smtp; 550 5.1.1 no such user\r\n"
    "Last-Attempt-Date: Sun, 23 Nov 2025 16:17:08 +0000\r\n"
    "Final-Log-ID: 4F1A09\r\n"
    "\r\n"
    "--4F1A09.b\r\n"
    "Content-Description: Message header\r\n"
    "Content-Type: text/rfc822-headers\r\n"
    "Content-Transfer-Encoding: 7bit\r\n"
    "\r\n"
    "Subject: x\r\n"
    "\r\n"
    "--4F1A09.b--\r\n";

Test(notice_text, a_notice_has_its_parts_and_fields)
{
	about.parameters = "RET=HDRS ENVID=list+204711";
	rcpt.parameters = "NOTIFY=FAILURE ORCPT=rfc822;team+2Bx@example.org";
	rcpt.last_ms = about.created_ms;
	notice_write_head(&writer, &about);
	notice_write_reason(&writer, &about, &rcpt);
	notice_write_status(&writer, &about);
	notice_write_recipient(&writer, &about, &rcpt);
	notice_write_returned(&writer, &about, false, false, NOTICE_7BIT);
	notice_write_content(&writer, (const uint8_t *)"Subject: x\r\n", 12,
	    NOTICE_7BIT);
	notice_write_end(&writer, &about);
	cr_expect_str_eq(text, whole);
	expect_sound(true);
}

Test(notice_text, action_and_status_agree)
{
	static const struct {
		uint32_t notice;
		const char *dsn, *want;
	} cases[] = {
		{ NOTICE_FAILED, "5.7.1",
		    "Action: failed\r\nStatus: 5.7.1\r\n" },
		{ NOTICE_FAILED, "4.4.1",
		    "Action: failed\r\nStatus: 4.4.1\r\n" },
		{ NOTICE_FAILED, "2.0.0",
		    "Action: failed\r\nStatus: 5.0.0\r\n" },
		{ NOTICE_FAILED, "", "Action: failed\r\nStatus: 5.0.0\r\n" },
		{ NOTICE_FAILED, "5.01.1",
		    "Action: failed\r\nStatus: 5.0.0\r\n" },
		{ NOTICE_DELAYED, "4.2.2",
		    "Action: delayed\r\nStatus: 4.2.2\r\n" },
		{ NOTICE_DELAYED, "", "Action: delayed\r\nStatus: 4.0.0\r\n" },
		{ NOTICE_LATE, "4.2.2",
		    "Action: delayed\r\nStatus: 4.4.7\r\n" },
		{ NOTICE_DELIVERED, "2.1.5",
		    "Action: delivered\r\nStatus: 2.1.5\r\n" },
		{ NOTICE_RELAYED, "5.0.0",
		    "Action: relayed\r\nStatus: 2.0.0\r\n" },
	};

	for (size_t i = 0; i < NELEM(cases); i++) {
		set_up();
		rcpt.notice = cases[i].notice;
		rcpt.dsn = cases[i].dsn;
		notice_write_recipient(&writer, &about, &rcpt);
		cr_expect(says(cases[i].want), "case %zu: %s", i, text);
		cr_expect_eq(
		    says("Will-Retry-Until: Fri, 28 Nov 2025 16:17:08"),
		    notice_class(cases[i].notice) == NOTICE_DELAY);
		cr_expect_eq(says("Final-Log-ID"),
		    notice_class(cases[i].notice) != NOTICE_SUCCESS);
		cr_expect_not(says("Last-Attempt-Date"), "it is not known");
	}
}

Test(notice_text, a_remote_server_is_named_where_it_said_something)
{
	static const struct {
		int code;
		const char *relay, *reply, *mta, *diagnostic;
	} cases[] = {
		{ 451, "h[::1]:25", "delivery time expired: 451 4.3.0 later",
		    "Remote-MTA: dns; h\r\n",
		    "Diagnostic-Code: smtp; 451 4.3.0 later\r\n" },
		{ 451, "h[::1]:25",
		    "delivery time expired: delivery temporarily suspended: "
		    "451 x",
		    "Remote-MTA: dns; h\r\n",
		    "Diagnostic-Code: smtp; 451 x\r\n" },
		{ 0, "h[::1]:25", "connect to h[::1]:25: refused", NULL,
		    "Diagnostic-Code: X-Postern; connect to h[::1]:25: "
		    "refused\r\n" },
		{ 550, "[192.0.2.1]:25", "550 no",
		    "Remote-MTA: dns; [192.0.2.1]\r\n", "smtp; 550 no\r\n" },
		{ 550, "192.0.2.1[192.0.2.1]:25", "550-no",
		    "Remote-MTA: dns; [192.0.2.1]\r\n", "smtp; 550-no\r\n" },
		{ 550, "localhost[/run/lmtp]", "550",
		    "Remote-MTA: dns; localhost\r\n", "smtp; 550\r\n" },
		{ 550, "h[::1]:25", "5500 no", NULL, "X-Postern; 5500 no\r\n" },
	};

	for (size_t i = 0; i < NELEM(cases); i++) {
		set_up();
		rcpt.code = cases[i].code;
		rcpt.relay = cases[i].relay;
		rcpt.reply = cases[i].reply;
		notice_write_recipient(&writer, &about, &rcpt);
		if (cases[i].mta != NULL)
			cr_expect(says(cases[i].mta), "case %zu: %s", i, text);
		else
			cr_expect_not(says("Remote-MTA"), "case %zu", i);
		cr_expect(says(cases[i].diagnostic), "case %zu: %s", i, text);
	}
}

Test(notice_text, words_of_others_end_no_line)
{
	static char reply[1025];

	memset(reply, 'x', sizeof(reply) - 1);
	memcpy(reply, "550 \r\nAction: delivered\r\n\r\n\x80\xff ", 30);
	rcpt.reply = reply;
	rcpt.address = "a\r\nb@c";
	about.parameters = "ENVID=a+0D+0AAction:+20delivered+00";
	rcpt.parameters = "ORCPT=rfc822;a+0D+0A+0D+0A--4F1A09.b";
	notice_write_reason(&writer, &about, &rcpt);
	notice_write_status(&writer, &about);
	notice_write_recipient(&writer, &about, &rcpt);
	expect_sound(true);
	cr_expect_not(says("\r\nAction: delivered"));
	cr_expect_not(says("\r\n--4F1A09.b\r\n--"));
	cr_expect(says("Original-Envelope-Id: a\\x0D\\x0AAction: delivered?"));
	cr_expect(says("\\x0D\\x0A--4F1A09.b\r\n"));
}

Test(notice_text, many_spaces_make_no_empty_line)
{
	rcpt.reply = "550                                                     "
		     "                                        a       b       ";
	notice_write_recipient(&writer, &about, &rcpt);
	cr_expect(says("Diagnostic-Code: smtp; 550 a b \r\n"), "%s", text);
}

/* RFC 3461, 6.3 (a), (d), (e): the value, not one that looks like it. */
Test(notice_text, spaces_of_ids_and_addresses_are_kept)
{
	char address[140] = "\"";

	memset(address + 1, ' ', 100);
	(void)strlcat(address, "x\"@example.com", sizeof(address));
	about.parameters = "ENVID=a+20+20b+20+20+20c";
	rcpt.parameters = "ORCPT=rfc822;\"t+20+20m\"@example.org";
	rcpt.address = address;
	notice_write_reason(&writer, &about, &rcpt);
	notice_write_status(&writer, &about);
	notice_write_recipient(&writer, &about, &rcpt);
	cr_expect(says("Original-Envelope-Id: a  b   c\r\n"), "%s", text);
	cr_expect(says("Original-Recipient: rfc822;\"t  m\"@example.org\r\n"));
	cr_expect(says("Final-Recipient: rfc822; \"  "));
	cr_expect(says("  x\"@example.com\r\nAction:"));
	expect_sound(true);
}

/* RFC 5322, 2.1.1 */
Test(notice_text, a_reason_is_folded_wherever_its_words_come_from)
{
	size_t column = 0;

	rcpt.notice = NOTICE_RELAYED;
	rcpt.relay = "a-name-of-some-length.example.com[192.0.2.123]:25";
	rcpt.reply = "250 2.0.0 taken";
	notice_write_reason(&writer, &about, &rcpt);
	for (size_t i = 0; i < len; i++) {
		column = text[i] == '\n' ? 0 : column + 1;
		cr_expect_leq(column, 79, "%s", text);
	}
	cr_expect(says(" said: 250 2.0.0 taken\r\n"), "%s", text);
}

Test(notice_text, a_null_sender_is_no_address)
{
	about.values.sender = "";
	notice_write_status(&writer, &about);
	cr_expect_not(says("X-Postern-Sender"));
}

Test(notice_text, utf8_stands_as_it_is_or_in_ascii)
{
	rcpt.address = "bj\xc3\xb8rn@example.org";
	rcpt.parameters = "ORCPT=utf-8;bj\\x{F8}rn@example.org";
	about.values.sender = "j\xc3\xb8@example.org";
	about.to = about.values.sender;
	notice_write_recipient(&writer, &about, &rcpt);
	notice_write_status(&writer, &about);
	cr_expect(says("Final-Recipient: utf-8; bj\\x{F8}rn@example.org\r\n"));
	cr_expect(
	    says("Original-Recipient: utf-8; bj\\x{F8}rn@example.org\r\n"));
	cr_expect(says("Content-Type: message/delivery-status\r\n"));
	expect_sound(true);
	set_up();
	rcpt.address = "bj\xc3\xb8rn@example.org";
	rcpt.parameters = "ORCPT=utf-8;bj\\x{F8}rn@example.org";
	about.to = "j\xc3\xb8@example.org";
	about.utf8 = about.is_8bit = true;
	notice_write_head(&writer, &about);
	notice_write_status(&writer, &about);
	notice_write_recipient(&writer, &about, &rcpt);
	notice_write_returned(&writer, &about, true, true, NOTICE_8BIT);
	cr_expect(says("To: <j\xc3\xb8@example.org>\r\n"));
	cr_expect(says("Final-Recipient: utf-8; bj\xc3\xb8rn@example.org\r\n"));
	cr_expect(
	    says("Original-Recipient: utf-8; bj\xc3\xb8rn@example.org\r\n"));
	cr_expect(says("Content-Type: message/global-delivery-status\r\n"
		       "Content-Transfer-Encoding: 8bit\r\n"));
	cr_expect(says("Content-Type: message/global\r\n"
		       "Content-Transfer-Encoding: 8bit\r\n"));
	expect_sound(false);
}

Test(notice_text, a_bad_address_of_type_utf8_stays_as_it_was_written)
{
	about.utf8 = true;
	rcpt.parameters = "ORCPT=utf-8;\\x{D800}a@b";
	notice_write_recipient(&writer, &about, &rcpt);
	cr_expect(says("Original-Recipient: utf-8; \\x{D800}a@b\r\n"));
}

Test(notice_text, base64_is_that)
{
	const char *in = "Subject: caf\xc3\xa9\r\n"
			 "X: 12345678901234567890123456789012345678901\r\n";

	notice_write_content(&writer, (const uint8_t *)in, strlen(in),
	    NOTICE_BASE64);
	cr_expect_str_eq(text,
	    "U3ViamVjdDogY2Fmw6kNClg6IDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg"
	    "5MDEyMzQ1Njc4\r\nOTAxDQo=\r\n");
}

Test(notice_text, what_cannot_be_kept_ends_the_writing)
{
	writer.failed = true;
	notice_write_head(&writer, &about);
	cr_expect_eq(len, 0);
}

Test(notice_text, the_header_ends_at_the_empty_line)
{
	static const struct {
		const char *text;
		size_t want;
		bool has_8bit;
	} cases[] = {
		{ "", 0, false },
		{ "\r\nbody\r\n", 0, false },
		{ "A: b\r\n\r\nbody\r\n", 6, false },
		{ "A: b\r\n c\r\n\r\n\r\n", 10, false },
		{ "A: b\r\nC: d", 6, false },
		{ "A: b", 0, false },
		{ "A: \xc3\xa9\r\n\r\nx", 7, true },
		{ "A: b\r\n\r\n\xc3\xa9", 6, false },
	};
	uint8_t octets[] = "A\rB: \0\r\n\nC\r\n\r\n";
	bool has_8bit;

	for (size_t i = 0; i < NELEM(cases); i++) {
		cr_expect_eq(notice_header_span((const uint8_t *)cases[i].text,
				 strlen(cases[i].text), &has_8bit),
		    cases[i].want, "case %zu", i);
		cr_expect_eq(has_8bit, cases[i].has_8bit, "case %zu", i);
	}
	notice_header_clean(octets, sizeof(octets) - 1);
	cr_expect_str_eq((const char *)octets, "A B:  \r\n C\r\n\r\n");
}
