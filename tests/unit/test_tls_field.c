/* SPDX-License-Identifier: ISC */
/* TLS-Required, wherever a message is cut (RFC 8689, 3). */
#include "master/intake/message/tls_required_field.h"

#include <string.h>

#include <criterion/criterion.h>

#include "common/util.h"

#define NO   "TLS-Required: No\r\n"
#define TAIL "Subject: x\r\n\r\nbody\r\n"

static const struct row {
	const char *message;
	bool optional;
} rows[] = {
	{ NO TAIL, true }, { "Subject: x\r\n" NO "\r\nbody\r\n", true },
	{ "tls-REQUIRED:nO\r\n" TAIL, true },
	{ "TLS-Required:\t No\r\n" TAIL, true },
	{ "TLS-Required:\r\n No\r\n" TAIL, true },
	{ "TLS-Required: No\r\n", true },    /* the header is all there is */
	{ "", false }, { "\r\n" NO, false }, /* in the body */
	{ TAIL NO, false },
	{ "Subject: x\r\n " NO "\r\n", false }, /* in a fold */
	{ NO NO TAIL, false }, /* "more than one MUST NOT appear" */
	{ NO "TLS-Required: Yes\r\n" TAIL, false },
	{ "TLS-Required: Yes\r\n" TAIL, false },
	{ "TLS-Required: None\r\n" TAIL, false },
	{ "TLS-Required: No x\r\n" TAIL, false },
	{ "TLS-Required: No \r\n" TAIL, false },
	{ "TLS-Required: No\r\n (really)\r\n" TAIL, false },
	{ "TLS-Required:\r\n" TAIL, false },
	{ "TLS-Required : No\r\n" TAIL, false },
	{ "TLS-Required-Not: No\r\n" TAIL, false },
	{ "XTLS-Required: No\r\n" TAIL, false },
	{ "TLS-Required: \t                                      No\r\n" TAIL,
	    false },                            /* nobody writes it so */
	{ "To: a\r\nTLS-Required: No", false }, /* no end of its line */
};

static bool
scan(const char *text, size_t cut)
{
	struct tls_required_field field = { 0 };
	size_t n = strlen(text), len;

	for (size_t at = 0; at < n; at += len) {
		len = n - at < cut ? n - at : cut;
		tls_required_field_feed(&field, (const uint8_t *)text + at,
		    len);
	}
	return tls_required_field_is_no(&field);
}

Test(tls_field, only_the_exact_field_of_the_top_header_counts)
{
	for (size_t i = 0; i < NELEM(rows); i++)
		for (size_t cut = 1; cut < 80; cut++)
			cr_expect_eq(scan(rows[i].message, cut),
			    rows[i].optional, "row %zu in pieces of %zu", i,
			    cut);
}
