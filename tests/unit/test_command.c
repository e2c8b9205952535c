/* SPDX-License-Identifier: ISC */
#include "agent/command.h"

#include <string.h>

#include <criterion/criterion.h>

static uint8_t octets[2048];

static struct command_out
fresh(size_t size)
{
	struct command_out out = { octets, size, 0 };

	memset(octets, 0, sizeof(octets));
	return out;
}

Test(command, every_command_is_one_line)
{
	struct command_out out = fresh(sizeof(octets));
	struct command_mail all = { true, true, true, COMMAND_BODY_8BITMIME,
		UINT64_MAX, NULL, 0 };
	struct command_mail none = { .size = 7 };

	command_write_hello(&out, COMMAND_EHLO, "a.example");
	command_write_hello(&out, COMMAND_LHLO, "[192.0.2.1]");
	command_write_hello(&out, COMMAND_HELO, "a");
	command_write_word(&out, COMMAND_STARTTLS);
	command_write_mail(&out, "", &none);
	command_write_mail(&out, "ana@x", &all);
	command_write_rcpt(&out, "\"b c\"@[IPv6:::1]", "", 0);
	command_write_word(&out, COMMAND_DATA);
	command_write_bdat(&out, 10, false);
	command_write_bdat(&out, 0, true);
	command_write_word(&out, COMMAND_RSET);
	command_write_word(&out, COMMAND_NOOP);
	command_write_word(&out, COMMAND_QUIT);
	cr_expect_str_eq((char *)octets,
	    "EHLO a.example\r\n"
	    "LHLO [192.0.2.1]\r\n"
	    "HELO a\r\n"
	    "STARTTLS\r\n"
	    "MAIL FROM:<>\r\n" /* S-075, S-076 */
	    "MAIL FROM:<ana@x> SIZE=18446744073709551615 BODY=8BITMIME SMTPUTF8 REQUIRETLS\r\n"
	    "RCPT TO:<\"b c\"@[IPv6:::1]>\r\n"
	    "DATA\r\n"
	    "BDAT 10\r\n"
	    "BDAT 0 LAST\r\n"
	    "RSET\r\n"
	    "NOOP\r\n"
	    "QUIT\r\n");
	cr_expect_eq(out.len, strlen((char *)octets));
}

Test(command, what_would_be_syntax_is_refused)
{
	static const char *const paths[] = { "a\r@x", "a\n@x", "a@x> SIZE=1",
		"a\x01@x", "\x7f@x" };
	struct command_out out = fresh(sizeof(octets));
	struct command_mail none = { 0 };

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		cr_expect_eq(command_write_rcpt(&out, paths[i], "", 0),
		    COMMAND_BAD_OCTET);
		cr_expect_eq(command_write_mail(&out, paths[i], &none),
		    COMMAND_BAD_OCTET);
	}
	cr_expect_eq(command_write_hello(&out, COMMAND_EHLO, "a b"),
	    COMMAND_BAD_OCTET);
	cr_expect_eq(command_write_hello(&out, COMMAND_EHLO, "a\r\nQUIT"),
	    COMMAND_BAD_OCTET);
	cr_expect_eq(out.len, 0);
}

Test(command, a_line_has_512_octets_and_what_was_granted)
{
	struct command_out out = fresh(sizeof(octets));
	struct command_mail size = { .has_size = true, .size = 1 };
	struct command_mail eight = { .body = COMMAND_BODY_8BITMIME };
	struct command_mail binary = { .body = COMMAND_BODY_BINARYMIME };
	char path[600] = "";

	/* S-102: "RCPT TO:<" and ">" CRLF are 12 of the 512. */
	memset(path, 'x', 500);
	cr_expect_eq(command_write_rcpt(&out, path, "", 0), COMMAND_OK);
	cr_expect_eq(out.len, 512);
	path[500] = 'x';
	cr_expect_eq(command_write_rcpt(&out, path, "", 0), COMMAND_TOO_LONG);
	/* "MAIL FROM:<", ">", " SIZE=1", CRLF are 21 of 512 + 26. */
	memset(path, 'x', 517);
	cr_expect_eq(command_write_mail(&out, path, &size), COMMAND_OK);
	path[517] = 'x';
	cr_expect_eq(command_write_mail(&out, path, &size), COMMAND_TOO_LONG);
	cr_expect_eq(out.len, 512 + 538);
	/* RFC 6152 grants BODY nothing, RFC 3030, 3 (8), 16 octets; RFC 6531,
	 * 3.1 (5), MAIL alone. */
	out.len = 0;
	path[484] = '\0';
	cr_expect_eq(command_write_mail(&out, path, &eight), COMMAND_OK);
	cr_expect_eq(out.len, 512);
	path[484] = 'x';
	path[485] = '\0';
	cr_expect_eq(command_write_mail(&out, path, &eight), COMMAND_TOO_LONG);
	path[485] = 'x';
	path[498] = '\0';
	out.len = 0;
	cr_expect_eq(command_write_mail(&out, path, &binary), COMMAND_OK);
	cr_expect_eq(out.len, 512 + 16);
	path[498] = 'x';
	path[499] = '\0';
	cr_expect_eq(command_write_mail(&out, path, &binary), COMMAND_TOO_LONG);
	path[496] = '\0';
	cr_expect_eq(command_write_vrfy(&out, path, true), COMMAND_OK);
	cr_expect_eq(out.len, 2 * 512 + 16);
	path[496] = 'x';
	path[497] = '\0';
	cr_expect_eq(command_write_vrfy(&out, path, true), COMMAND_TOO_LONG);
}

#define RCPT_BITS (1u << PARAMETER_NOTIFY | 1u << PARAMETER_ORCPT)

Test(command, parameters_go_where_they_are_offered)
{
	struct command_out out = fresh(sizeof(octets));
	struct command_mail mail = { .parameters =
					 "RET=HDRS BY=5;R MT-PRIORITY=3",
		.offered = 1u << PARAMETER_RET | 1u << PARAMETER_MT_PRIORITY };

	command_write_mail(&out, "a@x", &mail);
	mail.has_size = true;
	mail.offered = 0;
	command_write_mail(&out, "", &mail);
	command_write_rcpt(&out, "b@y", "NOTIFY=NEVER ORCPT=rfc822;b@y",
	    RCPT_BITS);
	command_write_rcpt(&out, "b@y", "NOTIFY=NEVER", 0);
	cr_expect_str_eq((char *)octets,
	    "MAIL FROM:<a@x> RET=HDRS MT-PRIORITY=3\r\n"
	    "MAIL FROM:<> SIZE=0\r\n"
	    "RCPT TO:<b@y> NOTIFY=NEVER ORCPT=rfc822;b@y\r\n"
	    "RCPT TO:<b@y>\r\n");
	out.len = 0;
	cr_expect_eq(
	    command_write_rcpt(&out, "b@y", "NOTIFY=a\r\nDATA", RCPT_BITS),
	    COMMAND_BAD_OCTET);
	cr_expect_eq(out.len, 0);
}

Test(command, each_parameter_grants_its_octets)
{
	struct command_out out = fresh(sizeof(octets));
	char path[600] = "";

	/* S-102: " NOTIFY=NEVER" is 13 of the 29 that NOTIFY grants. */
	memset(path, 'x', 516);
	cr_expect_eq(command_write_rcpt(&out, path, "NOTIFY=NEVER", RCPT_BITS),
	    COMMAND_OK);
	cr_expect_eq(out.len, 512 + 29);
	path[516] = 'x';
	cr_expect_eq(command_write_rcpt(&out, path, "NOTIFY=NEVER", RCPT_BITS),
	    COMMAND_TOO_LONG);
	cr_expect_eq(command_write_rcpt(&out, path, "NOTIFY=NEVER", 0),
	    COMMAND_TOO_LONG);
}

Test(command, a_full_buffer_is_left_as_it_was)
{
	struct command_out out;

	for (size_t size = 0; size < 6 + 6; size++) {
		out = fresh(size);
		if (size >= 6)
			cr_assert_eq(command_write_word(&out, COMMAND_DATA),
			    COMMAND_OK);
		cr_expect_eq(command_write_word(&out, COMMAND_QUIT),
		    COMMAND_NO_ROOM);
		cr_expect_eq(out.len, size >= 6 ? 6 : 0);
	}
}

Test(command, auth_has_512_octets_and_a_response_12288)
{
	static uint8_t large[16384];
	struct command_out out = { large, sizeof(large), 0 };
	static char text[12300];

	cr_expect_eq(command_write_auth(&out, "PLAIN", NULL), COMMAND_OK);
	cr_expect_eq(command_write_auth(&out, "EXTERNAL", "="), COMMAND_OK);
	cr_expect_eq(command_write_response(&out, ""), COMMAND_OK);
	cr_expect_eq(command_write_response(&out, "*"), COMMAND_OK);
	cr_expect_eq(out.len, 34);
	cr_expect_eq(
	    memcmp(large, "AUTH PLAIN\r\nAUTH EXTERNAL =\r\n\r\n*\r\n", 34), 0);
	/* "AUTH PLAIN " and CRLF are 13 of the 512: S-144, S-145. */
	memset(text, 'A', 499);
	out.len = 0;
	cr_expect_eq(command_write_auth(&out, "PLAIN", text), COMMAND_OK);
	cr_expect_eq(out.len, 512);
	text[499] = 'A';
	cr_expect_eq(command_write_auth(&out, "PLAIN", text), COMMAND_TOO_LONG);
	memset(text, 'A', 12286);
	out.len = 0;
	cr_expect_eq(command_write_response(&out, text), COMMAND_OK);
	cr_expect_eq(out.len, 12288);
	text[12286] = 'A';
	out.len = 0;
	cr_expect_eq(command_write_response(&out, text), COMMAND_TOO_LONG);
	cr_expect_eq(command_write_response(&out, "a\r\nRSET"),
	    COMMAND_BAD_OCTET);
	cr_expect_eq(command_write_auth(&out, "A B", "x"), COMMAND_BAD_OCTET);
	cr_expect_eq(out.len, 0);
}
