/* SPDX-License-Identifier: ISC */
/* The message that sendmail makes of its input, and who gets it. */
#include "master/control/sendmail/sendmail.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#include "common/date.h"
#include "common/util.h"

#define STR(s) s, sizeof(s) - 1
#define NOW    1764500000 /* Sun, 30 Nov 2025 10:53:20 +0000 */

static struct sendmail s;
static char *text;
static size_t len;

/* The lines that sendmail_message_read() makes. */
static char *
lines_of(const char *in, size_t n, bool dots, size_t *out_len)
{
	char *out = NULL;
	FILE *from = n > 0 ? fmemopen((void *)(uintptr_t)in, n, "r")
			   : fopen("/dev/null", "r");
	FILE *to = open_memstream(&out, out_len);

	cr_assert(from != NULL && to != NULL);
	sendmail_message_read(from, to, dots);
	fclose(from);
	cr_assert_eq(fclose(to), 0);
	return out;
}

/* The message that is sent for such input, in text. */
static int
send(const char *in, size_t n)
{
	FILE *to = open_memstream(&text, &len);
	size_t size = 0;
	char *lines = lines_of(in, n, true, &size);
	int status;

	(void)strlcpy(s.sender, "me@x.test", sizeof(s.sender));
	(void)strlcpy(s.origin, "home.test", sizeof(s.origin));
	s.of_message = true;
	s.rcpts.n = 0;
	status = sendmail_message_write(&s, NOW, lines, size, to);
	cr_assert_eq(fclose(to), 0);
	free(lines);
	return status;
}

/* The recipients, with a space between them. */
static const char *
rcpts(void)
{
	static char out[512];

	out[0] = '\0';
	for (size_t i = 0; i < s.rcpts.n; i++) {
		if (i > 0)
			(void)strlcat(out, " ", sizeof(out));
		(void)strlcat(out, s.rcpts.words[i], sizeof(out));
	}
	return out;
}

static const struct {
	const char *in;
	size_t n;
	const char *want;
	bool dots;
} reads[] = {
	{ STR(""), "", true },
	{ STR("a"), "a\n", true },
	{ STR("a\n"), "a\n", true },
	{ STR("a\r\nb\r\n"), "a\nb\n", true },
	{ STR("a\rb"), "a\nb\n", true },
	{ STR("a\r"), "a\n", true },
	{ STR("a\r\rb"), "a\n\nb\n", true },
	{ STR("a\r\r\nb\r\r\r\n\r\r\nc"), "a\nb\n\nc\n", true },
	{ STR("a\n\rb"), "a\n\nb\n", true },
	{ STR("a\n.\nb"), "a\n", false },
	{ STR("a\r\n.\r\nb"), "a\n", false },
	{ STR("a\r.\rb"), "a\n", false },
	{ STR("a\r\r\n.\r\r\nb"), "a\n", false },
	{ STR("a\n."), "a\n", false },
	{ STR(".\na\n"), "", false },
	{ STR("a\n.\nb"), "a\n.\nb\n", true },
	{ STR("a\n.."), "a\n..\n", false },
	{ STR("a\n.b\n\r.\n"), "a\n.b\n\n", false },
	{ STR("a."), "a.\n", false },
};

Test(sendmail, lines_end_in_one_lf)
{
	for (size_t i = 0; i < NELEM(reads); i++) {
		size_t n = 0;
		char *out =
		    lines_of(reads[i].in, reads[i].n, reads[i].dots, &n);

		cr_expect_str_eq(out, reads[i].want, "row %zu: %s", i, out);
		free(out);
	}
}

/* have: what the message has, lacks: what it must not have. */
static const struct {
	const char *in;
	const char *rcpts;
	const char *have, *lacks;
} messages[] = {
	{ "To: a@x\rBcc: secret@x\rSubject: s\r\rbody", "a@x secret@x",
	    "\nTo: a@x\nSubject: s\n", "\nBcc" },
	{ "To: a@x\r\r\nBcc: secret@x\r\r\n\r\r\nbody\r\r\n", "a@x secret@x",
	    "\n\nbody\n", "Bcc" },
	{ "To: a@x\r\nBcc: secret@x\rSubject: s\n\nbody", "a@x secret@x",
	    "\nSubject: s\n", "Bcc" },
	{ "To: a@x,\r b@x\n\n", "a@x b@x", "To: a@x,\n b@x\n", "\r" },
	{ "From me Mon Nov 30\nTo: a@x\n\n", "a@x", "To: a@x\n", "From me" },
	{ ">From me Mon\r>From you Mon\r\nFrom x\nTo: a@x\n\n>From y\n", "a@x",
	    "\n\n>From y\n", "From you" },
	{ "To: root, \"a b\", c (x)\nCc: Ana <ana>, b@x, t: u;\n"
	  "Reply-To: r\nFrom: root (Cron)\nSubject: root\n\nTo: root\n",
	    "root@home.test \"a b\"@home.test c@home.test ana@home.test b@x "
	    "u@home.test",
	    "\nTo: root@home.test, \"a b\"@home.test, c@home.test (x)\n"
	    "Cc: Ana <ana@home.test>, b@x, t: u@home.test;\n"
	    "Reply-To: r@home.test\nFrom: root@home.test (Cron)\n"
	    "Subject: root\n",
	    "From: <me@x.test>" },
	{ "Resent-To: a\nTo: b\nSender: <>\nFrom: Two Words\n\n", "a@home.test",
	    "\nResent-To: a@home.test\nTo: b@home.test\nSender: <>\n"
	    "From: Two Words\n",
	    "Words@" },
};

Test(sendmail, a_message_has_the_lines_that_were_read)
{
	for (size_t i = 0; i < NELEM(messages); i++) {
		cr_expect_eq(send(messages[i].in, strlen(messages[i].in)), 0);
		cr_expect_str_eq(rcpts(), messages[i].rcpts, "row %zu: %s", i,
		    rcpts());
		cr_expect_not_null(strstr(text, messages[i].have),
		    "row %zu: %s", i, text);
		cr_expect_null(strstr(text, messages[i].lacks), "row %zu: %s",
		    i, text);
	}
}

Test(sendmail, an_address_goes_once)
{
	static const char in[] =
	    "To: a@x.test, B <b@x.test>, A@x.test\n"
	    "Cc: a@X.TEST, \"a\"@x.test\nBcc: b@x.test, c, c@home.test\n\n";

	cr_assert_eq(send(in, strlen(in)), 0);
	cr_assert_eq(sendmail_recipients_drop_duplicates(&s), 0);
	cr_expect_str_eq(rcpts(),
	    "a@x.test b@x.test A@x.test \"a\"@x.test c@home.test", "%s",
	    rcpts());
	s.rcpts.n = 0;
	cr_expect_eq(sendmail_recipients_drop_duplicates(&s), 0);
}

/* The longest line of the header; its encoded-words are checked as well. */
static size_t
longest_line(void)
{
	size_t most = 0, n;

	for (const char *c = text; *c != '\0' && *c != '\n'; c += n + 1) {
		const char *word = c, *end;

		n = strcspn(c, "\n");
		most = n > most ? n : most;
		cr_expect_neq(strspn(c, " \t"), n, "a line of white space");
		while ((word = strstr(word, "=?UTF-8?Q?")) != NULL &&
		    word < c + n) {
			end = strstr(word + 10, "?=");
			cr_assert(end != NULL && end < c + n);
			cr_expect_leq(end + 2 - word, 75);
			cr_expect_leq(n, 76, "RFC 2047, 2: %.*s", (int)n, c);
			word = end;
		}
	}
	return most;
}

Test(sendmail, names_of_any_length_are_short_words)
{
	static const char *const units[] = { "a", "\xc3\xb6", "a b ",
		"\xe2\x82\xac x", "\"" };
	static char name[3001];

	for (size_t i = 0; i < NELEM(units); i++) {
		for (size_t times = 1; times < 600; times += 7) {
			name[0] = '\0';
			for (size_t k = 0; k < times; k++)
				(void)strlcat(name, units[i], sizeof(name));
			s.full_name = name;
			cr_assert_eq(send(STR("Subject: x\n\n")), 0);
			cr_expect_leq(longest_line(), 78, "%s", text);
			cr_expect_not_null(strstr(text, " <me@x.test>\n"));
		}
	}
	s.full_name = "Ana \"A\" \n\xff";
	cr_assert_eq(send(STR("")), 0);
	cr_expect_not_null(
	    strstr(text, "\nFrom: \"Ana \\\"A\\\" ??\" <me@x.test>\n"), "%s",
	    text);
}

Test(sendmail, lines_of_a_header_are_at_most_998_octets)
{
	static char in[40000];
	size_t n, rcpt;

	/* With white space, and of addresses without any. */
	n = strlcpy(in, "Subject:", sizeof(in));
	for (size_t i = 0; i < 1000; i++)
		n = strlcat(in, " word", sizeof(in));
	n = strlcat(in, "\nTo: \"", sizeof(in));
	for (size_t i = 0; i < 400; i++)
		n = strlcat(in, "Ana ", sizeof(in));
	n = strlcat(in, "\" <x@x.test>", sizeof(in));
	for (rcpt = 0; rcpt < 999; rcpt++)
		n = strlcat(in, ",u-ser", sizeof(in));
	n = strlcat(in, "\n\nbody\n", sizeof(in));
	cr_assert_lt(n, sizeof(in));
	cr_assert_eq(send(in, n), 0);
	cr_expect_eq(s.rcpts.n, 1000);
	cr_expect_leq(longest_line(), 998);
	/* Nothing else is another. */
	cr_expect_not_null(strstr(text, "\n\nbody\n"));
}

Test(sendmail, a_sender_of_any_length_is_folded)
{
	FILE *to = open_memstream(&text, &len);

	memset(s.sender, 'a', 990);
	memcpy(s.sender + 990, "@x.test", 8);
	(void)strlcpy(s.origin, "home.test", sizeof(s.origin));
	cr_assert_eq(sendmail_message_write(&s, NOW, "", 0, to), 0);
	cr_assert_eq(fclose(to), 0);
	cr_expect_leq(longest_line(), 998);
	cr_expect_not_null(strstr(text, "a\n @x.test>\n"));
}

Test(sendmail, dates_have_the_local_offset)
{
	static const struct {
		const char *zone, *want;
	} zones[] = {
		{ "UTC0", "\nDate: Sun, 30 Nov 2025 10:53:20 +0000\n" },
		{ "ABC-05:30", "\nDate: Sun, 30 Nov 2025 16:23:20 +0530\n" },
		{ "ABC03:30", "\nDate: Sun, 30 Nov 2025 07:23:20 -0330\n" },
		{ "ABC-14", "\nDate: Mon, 01 Dec 2025 00:53:20 +1400\n" },
	};

	for (size_t i = 0; i < NELEM(zones); i++) {
		setenv("TZ", zones[i].zone, 1);
		tzset();
		cr_assert_eq(send(STR("")), 0);
		cr_expect_not_null(strstr(text, zones[i].want), "%s", text);
		/* Received has it, too. */
		cr_expect_not_null(strstr(text, zones[i].want + 7), "%s", text);
	}
}
