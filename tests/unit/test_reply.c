/* SPDX-License-Identifier: ISC */
#include "agent/smtp/reply.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define STR(s)   s, sizeof(s) - 1

static struct reply reply;

/* Feed in pieces of the given size until a reply ends. */
static enum reply_event
feed(const char *in, size_t n, size_t piece, size_t *left)
{
	enum reply_event event = REPLY_MORE;
	size_t used;

	reply_init(&reply);
	while (n > 0) {
		event = reply_feed(&reply, (const uint8_t *)in,
		    n < piece ? n : piece, &used);
		in += used;
		n -= used;
		if (event == REPLY_READY || event == REPLY_BAD)
			break;
	}
	*left = n;
	return event;
}

struct row {
	const char *in;
	size_t n;
	enum reply_event want;
	enum reply_error error;
	unsigned int code;
	const char *report;
	size_t left;
};

static const struct row rows[] = {
	{ STR("250\r\n"), REPLY_READY, REPLY_OK, 250, "250", 0 }, /* S-061 */
	{ STR("250 \r\n"), REPLY_READY, REPLY_OK, 250, "250", 0 },
	{ STR("250-\r\n250\r\n"), REPLY_READY, REPLY_OK, 250, "250", 0 },
	{ STR("220-a\r\n220-b c\r\n220 d\r\n"), REPLY_READY, REPLY_OK, 220,
	    "220 a b c d", 0 },
	{ STR("250-a\r\n251 b\r\n"), REPLY_BAD, REPLY_CODE_CHANGED, 250,
	    "250 a", 0 },                                         /* S-062 */
	{ STR("abc\r\n"), REPLY_BAD, REPLY_SYNTAX, 0, "000", 0 }, /* S-063 */
	{ STR("25 x\r\n"), REPLY_BAD, REPLY_SYNTAX, 0, "000", 0 },
	{ STR("2500 x\r\n"), REPLY_BAD, REPLY_SYNTAX, 0, "000", 0 },
	{ STR("250*x\r\n"), REPLY_BAD, REPLY_SYNTAX, 0, "000", 0 },
	{ STR("250\tx\r\n"), REPLY_BAD, REPLY_SYNTAX, 0, "000", 0 },
	{ STR("\r\n"), REPLY_BAD, REPLY_SYNTAX, 0, "000", 0 },
	{ STR(" 250 x\r\n"), REPLY_BAD, REPLY_SYNTAX, 0, "000", 0 },
	{ STR("199 x\r\n"), REPLY_BAD, REPLY_CODE_RANGE, 0, "000", 0 },
	{ STR("600 x\r\n"), REPLY_BAD, REPLY_CODE_RANGE, 0, "000", 0 },
	{ STR("299 x\r\n"), REPLY_READY, REPLY_OK, 299, "299 x", 0 },
	{ STR("499 x\r\n"), REPLY_READY, REPLY_OK, 499, "499 x", 0 },
	{ STR("599 x\r\n"), REPLY_READY, REPLY_OK, 599, "599 x", 0 },
	{ STR("250 a\r\n354 b\r\n"), REPLY_READY, REPLY_OK, 250, "250 a",
	    7 }, /* S-067 */
	{ STR("250 a\n250 b\r\n"), REPLY_READY, REPLY_OK, 250, "250 a",
	    7 }, /* S-159 */
	{ STR("250-a\n250 b\n"), REPLY_READY, REPLY_OK, 250, "250 a b", 0 },
	{ STR("\n"), REPLY_BAD, REPLY_SYNTAX, 0, "000", 0 },
	{ STR("250ok\r\n"), REPLY_READY, REPLY_OK, 250, "250 ok", 0 },
	{ STR("250-a\r\n250ok\n"), REPLY_READY, REPLY_OK, 250, "250 a ok", 0 },
	{ STR("2505.1.1\r\n"), REPLY_BAD, REPLY_SYNTAX, 0, "000", 0 },
	{ STR("250 a\rb\r\r\n"), REPLY_READY, REPLY_OK, 250, "250 a\\x0db\\x0d",
	    0 },
	{ STR("250 a\0b\xff\x7f\r\n"), REPLY_READY, REPLY_OK, 250,
	    "250 a\\x00b\\xff\\x7f", 0 }, /* S-070 */
	{ STR("250-5.1.1 x\r\n250 y\r\n"), REPLY_READY, REPLY_OK, 250,
	    "250 5.1.1 x y", 0 },
	{ STR("550-5.1.1 No\r\n550-5.1.1\r\n550 5.1.1 such user\r\n"),
	    REPLY_READY, REPLY_OK, 550, "550 5.1.1 No such user", 0 },
};

/* Before a handshake, where what follows a line decides (S-069). */
Test(reply, where_it_is_strict_nothing_is_overlooked)
{
	static const struct {
		const char *in;
		enum reply_error error;
	} cases[] = {
		{ "220 go\n", REPLY_BARE_LF },
		{ "220-go\n220 go\r\n", REPLY_BARE_LF },
		{ "220go\r\n", REPLY_SYNTAX },
		{ "220 go\r\n", REPLY_OK },
	};
	size_t left;

	for (size_t i = 0; i < COUNT(cases); i++) {
		reply.strict = true;
		cr_expect_eq(feed(cases[i].in, strlen(cases[i].in), 100, &left),
		    cases[i].error == REPLY_OK ? REPLY_READY : REPLY_BAD);
		cr_expect_eq(reply.error, cases[i].error, "%s", cases[i].in);
		cr_expect_not(reply.loose);
	}
	reply.strict = false;
	cr_expect_eq(feed("220 go\n", 7, 1, &left), REPLY_READY);
	cr_expect(reply.loose);
	cr_expect_eq(feed("220 go\r\n", 8, 1, &left), REPLY_READY);
	cr_expect_not(reply.loose);
}

Test(reply, lines_become_one_reply_however_they_are_cut)
{
	char report[256];
	size_t left;

	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct row *row = &rows[i];

		/* S-066: one octet at a time makes no difference. */
		for (size_t piece = 1; piece <= row->n; piece++) {
			cr_expect_eq(feed(row->in, row->n, piece, &left),
			    row->want, "%s by %zu", row->in, piece);
			cr_expect_eq(reply.error, row->error, "%s", row->in);
			cr_expect_eq(reply.code, row->code, "%s", row->in);
			cr_expect_eq(left, row->left, "%s", row->in);
			reply_write_report(&reply, report, sizeof(report));
			cr_expect_str_eq(report, row->report);
		}
	}
}

Test(reply, enhanced_codes_count_when_they_agree_with_the_code)
{
	static const struct {
		const char *in;
		unsigned int class, subject, detail;
	} cases[] = {
		{ "550 5.1.1 no\r\n", 5, 1, 1 }, /* S-071 */
		{ "550 5.7.509\r\n", 5, 7, 509 },
		{ "250 2.0.0 Ok\r\n", 2, 0, 0 },
		{ "550 4.1.1 no\r\n", 0, 0, 0 },
		{ "550 5.1 no\r\n", 0, 0, 0 },
		{ "550 5.1.\r\n", 0, 0, 0 },
		{ "550 5.1.1x\r\n", 0, 0, 0 },
		{ "550 5.1.1.1 x\r\n", 0, 0, 0 },
		{ "550 5.1234.1 x\r\n", 0, 0, 0 },
		{ "550 5..1 x\r\n", 0, 0, 0 },
		{ "550-text\r\n550 5.2.2 full\r\n", 5, 2, 2 },
		{ "550-5.2.2 full\r\n550 5.1.1 no\r\n", 5, 2, 2 },
		{ "354 3.0.0 go\r\n", 3, 0, 0 },
	};
	size_t left;

	for (size_t i = 0; i < COUNT(cases); i++) {
		feed(cases[i].in, strlen(cases[i].in), 1000, &left);
		cr_expect_eq(reply.enhanced.class, cases[i].class, "%s",
		    cases[i].in);
		cr_expect_eq(reply.enhanced.subject, cases[i].subject, "%s",
		    cases[i].in);
		cr_expect_eq(reply.enhanced.detail, cases[i].detail, "%s",
		    cases[i].in);
	}
}

static enum reply_event
feed_line(const char *start, size_t octets)
{
	char *line = malloc(octets);
	enum reply_event event;
	size_t left;

	memset(line, 'x', octets);
	memcpy(line, start, strlen(start));
	memcpy(line + octets - 2, "\r\n", 2);
	event = feed(line, octets, octets, &left);
	free(line);
	return event;
}

Test(reply, a_line_has_an_end_or_is_cut_off)
{
	/* S-068 */
	cr_expect_eq(feed_line("250 ", 512), REPLY_READY);
	cr_expect_eq(feed_line("250 ", REPLY_LINE_MAX), REPLY_READY);
	cr_expect_eq(feed_line("250 ", REPLY_LINE_MAX + 1), REPLY_BAD);
	cr_expect_eq(reply.error, REPLY_LINE_TOO_LONG);
	cr_expect_eq(feed_line("334 ", REPLY_LINE_334_MAX), REPLY_READY);
	cr_expect_eq(feed_line("334 ", REPLY_LINE_334_MAX + 1), REPLY_BAD);
	cr_expect_eq(reply.error, REPLY_LINE_TOO_LONG);
}

Test(reply, a_reply_has_an_end_or_is_cut_off)
{
	char *many = malloc(80000);
	size_t left, n = 0;

	for (int i = 0; i < REPLY_LINES_MAX; i++, n += 6)
		memcpy(many + n, "250-\r\n", 6);
	memcpy(many + n, "250 \r\n", 6);
	cr_expect_eq(feed(many, n + 6, n, &left), REPLY_BAD);
	cr_expect_eq(reply.error, REPLY_TOO_MANY_LINES);
	cr_expect_eq(feed(many + 6, n, n, &left), REPLY_READY);

	memset(many, 'x', 80000);
	for (n = 0; n + 4000 <= 80000; n += 4000) {
		memcpy(many + n, "250-", 4);
		memcpy(many + n + 3998, "\r\n", 2);
	}
	cr_expect_eq(feed(many, n, 1000, &left), REPLY_BAD);
	cr_expect_eq(reply.error, REPLY_TOO_LONG);
	free(many);
}

Test(reply, the_next_octet_starts_a_new_reply)
{
	static const char in[] = "250-one\r\n250 two\r\n354 go\r\n";
	const uint8_t *at = (const uint8_t *)in;
	size_t n = strlen(in);
	size_t used, len;

	reply_init(&reply);
	cr_assert_eq(reply_feed(&reply, at, n, &used), REPLY_LINE);
	cr_expect_arr_eq(reply_line_text(&reply, &len), "one", 3);
	cr_expect_eq(len, 3);
	cr_expect(reply_is_partial(&reply));
	at += used;
	n -= used;
	cr_assert_eq(reply_feed(&reply, at, n, &used), REPLY_READY);
	cr_expect(!reply_is_partial(&reply));
	at += used;
	n -= used;
	cr_assert_eq(reply_feed(&reply, at, n, &used), REPLY_READY);
	cr_expect_eq(reply.code, 354);
	cr_expect_eq(used, n);
}

Test(reply, what_a_stranger_says_is_cut_between_escapes)
{
	char out[6];

	for (size_t size = 1; size <= sizeof(out); size++) {
		cr_expect_eq(reply_write_sanitized(out, size,
				 (const uint8_t *)"\x01z", 2),
		    size < 5 ? 0 : size - 1);
		cr_expect_eq(strlen(out), size < 5 ? 0 : size - 1);
	}
	cr_expect_str_eq(out, "\\x01z");
}
