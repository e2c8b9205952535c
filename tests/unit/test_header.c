/* SPDX-License-Identifier: ISC */
#include "master/intake/message/header_scan.h"

#include <string.h>

#include <criterion/criterion.h>

#include "common/util.h"

static const struct row {
	const char *in;
	bool want;
} rows[] = {
	{ "", false },
	{ "A: b\r\n\r\n\xc3\xa4\r\n", false },
	{ "\r\n\xc3\xa4\r\n", false },
	{ "A: \xc3\xa4\r\n\r\nabc\r\n", true },
	{ "A: b\r\nB:\xc3\xa4", true },
	{ "A: b\r\r\n\xc3\xa4\r\n", true },
	{ "A: \xe4\r\n\r\n", false }, /* of another character set */
	{ "A: \xc3\xa4\r\nB: \xe4\r\n\r\n", false },
	{ "A: \xc3\xa4\xc3", false },
};

Test(header, utf8_in_a_field_is_seen_and_in_the_body_is_not)
{
	for (size_t i = 0; i < NELEM(rows); i++) {
		size_t n = strlen(rows[i].in);

		for (size_t piece = 1; piece <= n + 1; piece++) {
			struct header_scan h = { 0 };

			for (size_t at = 0; at < n; at += piece)
				header_scan_feed(&h,
				    (const uint8_t *)rows[i].in + at,
				    n - at < piece ? n - at : piece);
			cr_expect_eq(header_scan_is_utf8(&h), rows[i].want,
			    "row %zu in pieces of %zu", i, piece);
		}
	}
}
