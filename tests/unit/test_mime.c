/* SPDX-License-Identifier: ISC */
#include "agent/message/mime.h"

#include <string.h>

#include <criterion/criterion.h>

#include "common/util.h"

static struct mime mime;

/* One pass, the input in pieces; how much was written. */
static size_t
pass(const char *in, size_t n, size_t piece, char *out)
{
	static uint8_t room[MIME_ROOM_MIN];
	size_t len = 0, used, wrote;

	while (n > 0 && mime.error == MIME_OK) {
		wrote = mime_convert(&mime, (const uint8_t *)in,
		    n < piece ? n : piece, &used, room, sizeof(room));
		cr_assert(used > 0 || mime.error != MIME_OK);
		if (wrote > 0)
			memcpy(out + len, room, wrote);
		len += wrote;
		in += used;
		n -= used;
	}
	wrote = mime_end(&mime, room);
	if (wrote > 0)
		memcpy(out + len, room, wrote);
	return len + wrote;
}

static size_t
convert(const char *in, size_t n, enum mime_target target, size_t piece,
    char *out)
{
	mime_plan(&mime, target);
	cr_assert_eq(pass(in, n, piece, out), 0, "a plan writes nothing");
	if (mime.error != MIME_OK)
		return 0;
	mime_write(&mime);
	return pass(in, n, piece, out);
}

#define STR(s) s, sizeof(s) - 1
#define ADDED                                                                  \
	"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=unknown-8bit\r\n"

static const struct row {
	enum mime_target target;
	const char *in;
	size_t n;
	const char *want;
} rows[] = {
	/* What needs nothing stays as it is. */
	{ MIME_TO_7BIT, STR(""), "" },
	{ MIME_TO_7BIT, STR("A: b\r\n\r\nc\r\n"), "A: b\r\n\r\nc\r\n" },
	{ MIME_TO_7BIT, STR("A: b\r\n\r\nc"), "A: b\r\n\r\nc" },
	{ MIME_TO_7BIT, STR("A: b"), "A: b" },
	{ MIME_TO_7BIT, STR("no header\r\nat all\r\n"),
	    "no header\r\nat all\r\n" },
	{ MIME_TO_8BIT, STR("A: \xc3\xa4\r\n\r\n\xc3\xa4\r\n"),
	    "A: \xc3\xa4\r\n\r\n\xc3\xa4\r\n" },
	/* Text becomes quoted-printable, as it has mostly ASCII. */
	{ MIME_TO_7BIT,
	    STR("MIME-Version: 1.0\r\nContent-Type: text/plain;\r\n"
		" charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n"
		"Subject: x\r\n\r\nGr\xc3\xbc\xc3\x9f"
		"e aus 1=1 \r\n"
		"a tab at the end\t\r\n.\r\n"),
	    "MIME-Version: 1.0\r\nContent-Type: text/plain;\r\n"
	    " charset=utf-8\r\n"
	    "Subject: x\r\nContent-Transfer-Encoding: quoted-printable\r\n"
	    "\r\nGr=C3=BC=C3=9Fe aus 1=3D1=20\r\n"
	    "a tab at the end=09\r\n.\r\n" },
	/* RFC 6533, 4.4: not every message/... is of seven bits. */
	{ MIME_TO_7BIT,
	    STR("MIME-Version: 1.0\r\n"
		"Content-Type: message/global-delivery-status\r\n\r\n"
		"a: \xc3\xb8\r\n"),
	    "MIME-Version: 1.0\r\n"
	    "Content-Type: message/global-delivery-status\r\n"
	    "Content-Transfer-Encoding: base64\r\n\r\nYTogw7gNCg==\r\n" },
	/* And base64 where it has not. */
	{ MIME_TO_7BIT,
	    STR("MIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\n"
		"\xd0\xb4\xd0\xb0\r\n"),
	    "MIME-Version: 1.0\r\nContent-Type: text/plain\r\n"
	    "Content-Transfer-Encoding: base64\r\n\r\n0LTQsA0K\r\n" },
	/* A label alone, folded, in other letters. */
	{ MIME_TO_7BIT,
	    STR("MIME-Version: 1.0\r\ncontent-transfer-encoding :\r\n"
		" 8BiT\r\n\r\nabc\r\n"),
	    "MIME-Version: 1.0\r\n"
	    "Content-Type: text/plain; charset=unknown-8bit\r\n"
	    "Content-Transfer-Encoding: 7bit\r\n\r\nabc\r\n" },
	/* Nobody said that it is MIME. */
	{ MIME_TO_7BIT, STR("A: b\r\n\r\n1234567\xe4\r\n"),
	    "A: b\r\n" ADDED
	    "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
	    "1234567=E4\r\n" },
	{ MIME_TO_7BIT, STR("1234567 \xe4"),
	    ADDED "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
		  "1234567 =E4" },
	/* Parts: each by itself; the line end before a boundary is its. */
	{ MIME_TO_7BIT,
	    STR("MIME-Version: 1.0\r\n"
		"Content-Type: multipart/mixed; boundary=\"a b\"\r\n"
		"Content-Transfer-Encoding: 8bit\r\n\r\n"
		"pr\xe9"
		"amble\r\n--a b\r\n\r\nplain\r\n"
		"--a b \r\nContent-Type: application/x\r\n\r\n\xff\xfe\r\n"
		"--a b\r\nContent-Type: text/html\r\n\r\n12345 \xe4\r\n"
		"--a b--\r\nepilogue\r\n"),
	    "MIME-Version: 1.0\r\n"
	    "Content-Type: multipart/mixed; boundary=\"a b\"\r\n"
	    "Content-Transfer-Encoding: 7bit\r\n\r\n"
	    "pr?amble\r\n--a b\r\n\r\nplain\r\n"
	    "--a b \r\nContent-Type: application/x\r\n"
	    "Content-Transfer-Encoding: base64\r\n\r\n//4=\r\n"
	    "--a b\r\nContent-Type: text/html\r\n"
	    "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
	    "12345 =E4\r\n--a b--\r\nepilogue\r\n" },
	/* A message in a message, in a digest, and a part without content. */
	{ MIME_TO_7BIT,
	    STR("Content-Type: multipart/digest; boundary=d=\r\n\r\n"
		"--d=\r\n\r\nSubject: in\r\nMIME-Version: 1.0\r\n\r\n"
		"abcdef\xe4\r\n--d=\r\nContent-Type: text/plain\r\n"
		"--d=--\r\n"),
	    "Content-Type: multipart/digest; boundary=d=\r\n\r\n"
	    "--d=\r\n\r\nSubject: in\r\nMIME-Version: 1.0\r\n"
	    "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
	    "abcdef=E4\r\n--d=\r\nContent-Type: text/plain\r\n"
	    "--d=--\r\n" },
	/* RFC 2045, 4: a message in the message says that it is MIME now. */
	{ MIME_TO_7BIT,
	    STR("MIME-Version: 1.0\r\nContent-Type: multipart/mixed;"
		" boundary=m\r\n\r\n--m\r\nContent-Type: message/rfc822\r\n\r\n"
		"Subject: in\r\n\r\nabcdef\xe4\r\n--m\r\n\r\nabcdef\xe4\r\n"
		"--m--\r\n"),
	    "MIME-Version: 1.0\r\nContent-Type: multipart/mixed;"
	    " boundary=m\r\n\r\n--m\r\nContent-Type: message/rfc822\r\n\r\n"
	    "Subject: in\r\nMIME-Version: 1.0\r\n"
	    "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
	    "abcdef=E4\r\n--m\r\n"
	    "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
	    "abcdef=E4\r\n--m--\r\n" },
	/* The outer boundary ends the inner parts too. */
	{ MIME_TO_7BIT,
	    STR("Content-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\n"
		"Content-Type: multipart/alternative; boundary=i\r\n\r\n"
		"--i\r\n\r\nabcdef\xe4\r\n--o\r\n\r\nabcdef\xe4\r\n--o--\r\n"),
	    "Content-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\n"
	    "Content-Type: multipart/alternative; boundary=i\r\n\r\n"
	    "--i\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
	    "abcdef=E4\r\n"
	    "--o\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
	    "abcdef=E4\r\n--o--\r\n" },
	/* What is signed stays, label and all. */
	{ MIME_TO_7BIT,
	    STR("Content-Type: multipart/signed; boundary=s\r\n\r\n--s\r\n"
		"Content-Transfer-Encoding: 8bit\r\n\r\nabc\r\n--s--\r\n"),
	    "Content-Type: multipart/signed; boundary=s\r\n\r\n--s\r\n"
	    "Content-Transfer-Encoding: 8bit\r\n\r\nabc\r\n--s--\r\n" },
	/* Binary, for a server that takes eight bits: only that part. */
	{ MIME_TO_8BIT,
	    STR("Content-Type: multipart/mixed; boundary=b\r\n"
		"Content-Transfer-Encoding: binary\r\n\r\n"
		"--b\r\nContent-Type: application/octet-stream\r\n"
		"Content-Transfer-Encoding: binary\r\n\r\n\0\r\n\n\r\n"
		"--b\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\xe4\r\n"
		"--b--\r\n"),
	    "Content-Type: multipart/mixed; boundary=b\r\n"
	    "MIME-Version: 1.0\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
	    "--b\r\nContent-Type: application/octet-stream\r\n"
	    "Content-Transfer-Encoding: base64\r\n\r\nAA0KCg==\r\n"
	    "--b\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\xe4\r\n"
	    "--b--\r\n" },
};

Test(mime, parts_are_encoded_and_the_structure_stays)
{
	static char out[8192];
	size_t len;

	for (size_t i = 0; i < NELEM(rows); i++) {
		for (size_t piece = 1; piece < 40; piece++) {
			len = convert(rows[i].in, rows[i].n, rows[i].target,
			    piece, out);
			out[len] = '\0';
			cr_assert_eq(mime.error, MIME_OK, "row %zu: %s", i,
			    mime_error_text(mime.error));
			cr_assert_str_eq(out, rows[i].want, "row %zu", i);
		}
	}
}

#define DKIM "dkim-signature: v=1;\r\n\tb=abc\r\n"

Test(mime, a_signature_in_the_header_holds_where_nothing_changes)
{
	static const struct {
		const char *in;
		bool want;
	} cases[] = {
		{ DKIM "\r\nabc\r\n", false },
		{ DKIM "\r\nabc\xe4\r\n", true },
		{ "A: b\r\n\r\nabc\xe4\r\n", false },
		{ "ARC-Message-Signature: i=1\r\n\r\n\xe4\r\n", true },
		{ DKIM "Content-Transfer-Encoding: 8bit\r\n\r\nabc\r\n", true },
		/* Of a message in the message: its own matter. */
		{ "Content-Type: message/rfc822\r\n\r\n" DKIM "\r\nabc\xe4\r\n",
		    false },
		/* Before the first part. */
		{ DKIM "Content-Type: multipart/mixed; boundary=b\r\n\r\n"
		       "\xe4\r\n--b\r\n\r\nabc\r\n--b--\r\n",
		    true },
	};

	for (size_t i = 0; i < NELEM(cases); i++) {
		mime_plan(&mime, MIME_TO_7BIT);
		(void)pass(cases[i].in, strlen(cases[i].in), 7, NULL);
		cr_expect_eq(mime.error, MIME_OK);
		cr_expect_eq(mime_breaks_signature(&mime), cases[i].want,
		    "case %zu", i);
	}
}

static const struct refusal {
	enum mime_error want;
	const char *in;
} refusals[] = {
	{ MIME_HEADER_NOT_ASCII, "Subject: \xe4\r\n\r\nabc\r\n" },
	{ MIME_HEADER_NOT_ASCII,
	    "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
	    "Content-Disposition: x; y=\xe4\r\n\r\nabc\r\n--b--\r\n" },
	{ MIME_HEADER_NO_LINE, "Subject: x\n\nabc\xe4\n" },
	{ MIME_HEADER_NO_LINE, "Subject: x\ry\r\n\r\nabc\xe4\r\n" },
	{ MIME_IS_SIGNED,
	    "Content-Type: multipart/signed; boundary=s\r\n\r\n--s\r\n\r\n"
	    "abc\xe4\r\n--s--\r\n" },
	{ MIME_IS_SIGNED,
	    "Content-Type: multipart/signed; boundary=s\r\n\r\n--s\r\n"
	    "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n"
	    "abc\xe4\r\n--b--\r\n--s--\r\n" },
	{ MIME_IS_ENCODED,
	    "Content-Transfer-Encoding: base64\r\n\r\nabc\xe4\r\n" },
	{ MIME_IS_ENCODED,
	    "Content-Type: multipart/mixed; boundary=b\r\n"
	    "Content-Transfer-Encoding: base64\r\n\r\n--b\r\n\r\n\xe4\r\n" },
	{ MIME_IS_RESTRICTED,
	    "Content-Type: message/delivery-status\r\n\r\nabc: \xe4\r\n" },
	{ MIME_NO_BOUNDARY, "Content-Type: multipart/mixed\r\n\r\n\xe4\r\n" },
	{ MIME_NO_BOUNDARY,
	    "Content-Type: multipart/mixed; boundary=\"01234567890123456789"
	    "012345678901234567890123456789012345678901234567890\"\r\n\r\n"
	    "\xe4\r\n" },
};

Test(mime, what_cannot_be_converted_is_refused_by_its_reason)
{
	static char out[8192];

	for (size_t i = 0; i < NELEM(refusals); i++) {
		(void)convert(refusals[i].in, strlen(refusals[i].in),
		    MIME_TO_7BIT, 7, out);
		cr_expect_eq(mime.error, refusals[i].want, "row %zu: %s", i,
		    mime_error_text(mime.error));
	}
}

static char big[4 * 1024 * 1024];

Test(mime, parts_without_end_meet_a_limit)
{
	static char out[16];
	size_t n;

	n = (size_t)snprintf(big, sizeof(big),
	    "Content-Type: multipart/mixed; boundary=b\r\n\r\n");
	for (size_t i = 0; i < MIME_ENTITIES_MAX; i++)
		n += (size_t)snprintf(big + n, sizeof(big) - n,
		    "--b\r\n\r\nx\r\n");
	(void)convert(big, n, MIME_TO_7BIT, 4096, out);
	cr_expect_eq(mime.error, MIME_TOO_MANY);
	for (size_t i = n = 0; i <= MIME_DEPTH_MAX; i++)
		n += (size_t)snprintf(big + n, sizeof(big) - n,
		    "Content-Type: multipart/mixed; boundary=b%zu\r\n\r\n"
		    "--b%zu\r\n",
		    i, i);
	(void)convert(big, n, MIME_TO_7BIT, 4096, out);
	cr_expect_eq(mime.error, MIME_TOO_DEEP);
	n = (size_t)snprintf(big, sizeof(big), "Content-Type: text/plain;");
	memset(big + n, ' ', MIME_FIELD_SIZE);
	(void)convert(big, n + MIME_FIELD_SIZE, MIME_TO_7BIT, 4096, out);
	cr_expect_eq(mime.error, MIME_FIELD_TOO_LONG);
}

Test(mime, lines_that_are_written_are_short)
{
	static char out[2 * 1024 * 1024];
	size_t n, len, line = 0;

	n = (size_t)snprintf(big, sizeof(big), "A: b\r\n\r\n");
	memset(big + n, 'x', 200000);
	big[n + 5] = '\xe4';
	len = convert(big, n + 200000, MIME_TO_7BIT, 65536, out);
	cr_assert_gt(len, 200000);
	for (size_t i = 0; i < len; i++) {
		line = out[i] == '\n' ? 0 : line + 1;
		cr_assert_leq(line, 77, "with its CR");
	}
}

Test(mime, a_message_converted_needs_nothing_more)
{
	static char out[8192], again[8192];
	size_t len;

	for (size_t i = 0; i < NELEM(rows); i++) {
		len = convert(rows[i].in, rows[i].n, MIME_TO_7BIT, 100, out);
		if (mime.error != MIME_OK)
			continue;
		cr_assert_eq(convert(out, len, MIME_TO_7BIT, 100, again), len);
		cr_expect_arr_eq(out, again, len, "row %zu", i);
	}
}
