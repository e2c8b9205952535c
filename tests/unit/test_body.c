/* SPDX-License-Identifier: ISC */
#include "agent/message/body.h"

#include <string.h>

#include <criterion/criterion.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define STR(s)   s, sizeof(s) - 1

static const struct row {
	const char *in;
	size_t n;
	const char *want;
	size_t want_len;
} rows[] = {
	{ STR(""), STR(".\r\n") }, /* S-117 */
	{ STR("a"), STR("a\r\n.\r\n") },
	{ STR("a\r\n"), STR("a\r\n.\r\n") },
	{ STR("a\n"), STR("a\r\n.\r\n") }, /* S-118 */
	{ STR("a\r"), STR("a\r\n.\r\n") },
	{ STR("\r\n"), STR("\r\n.\r\n") },
	{ STR("a\n\r\n\n\rb"), STR("a\r\n\r\n\r\n\r\nb\r\n.\r\n") },
	{ STR("a\r\r\nb"), STR("a\r\n\r\nb\r\n.\r\n") },
	{ STR("."), STR("..\r\n.\r\n") }, /* S-115 */
	{ STR(".\r\n..\r\n.x\r\na.\r\n"),
	    STR("..\r\n...\r\n..x\r\na.\r\n.\r\n") },
	{ STR("a\r\n.\rb"), STR("a\r\n..\r\nb\r\n.\r\n") }, /* S-119 */
	{ STR("a\n.\r\nb"), STR("a\r\n..\r\nb\r\n.\r\n") },
	{ STR("a\r.\r\nMAIL"), STR("a\r\n..\r\nMAIL\r\n.\r\n") },
	{ STR("a\0b\xff\r\n"), STR("a\0b\xff\r\n.\r\n") },
	{ STR("a line of some length\r\nand .another one\r\n"),
	    STR("a line of some length\r\nand .another one\r\n.\r\n") },
};

/* Encode with the input cut into pieces, and into a buffer of that size. */
static size_t
encode(const char *in, size_t n, size_t piece, size_t room, uint8_t *out)
{
	struct body_encoder encoder = { 0 };
	size_t len = 0, used, wrote;

	while (n > 0) {
		wrote = body_encode(&encoder, (const uint8_t *)in,
		    n < piece ? n : piece, &used, out + len, room);
		cr_assert(used > 0 && wrote <= room);
		in += used;
		n -= used;
		len += wrote;
	}
	return len + body_end(&encoder, out + len);
}

Test(body, lines_end_in_crlf_and_leading_dots_are_doubled)
{
	uint8_t out[256];
	size_t len;

	for (size_t i = 0; i < COUNT(rows); i++) {
		/* S-116: wherever it is cut. */
		for (size_t piece = 1; piece <= rows[i].n + 1; piece++) {
			for (size_t room = 2; room < 64; room++) {
				len = encode(rows[i].in, rows[i].n, piece, room,
				    out);
				cr_assert_eq(len, rows[i].want_len,
				    "row %zu: %zu", i, len);
				cr_assert_arr_eq(out, rows[i].want, len,
				    "row %zu", i);
			}
		}
	}
}

Test(body, without_room_nothing_is_taken)
{
	struct body_encoder encoder = { 0 };
	uint8_t out[1];
	size_t used;

	cr_expect_eq(
	    body_encode(&encoder, (const uint8_t *)".", 1, &used, out, 1), 0);
	cr_expect_eq(used, 0);
	cr_expect(!encoder.in_line);
}
