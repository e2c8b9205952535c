/* SPDX-License-Identifier: ISC */
/* The octets of a message, and where they end. */
#include "master/intake/smtpd/smtpd_data.h"

#include <string.h>

#include <criterion/criterion.h>

#include "common/util.h"

/* A case is fed whole and in pieces of each size; "" as rest: it does not end. */
static const struct row {
	const char *in, *out;
	const char *rest; /* behind the end; NULL: no end in it */
	bool bare;
} rows[] = {
	{ ".\r\nQUIT", "", "QUIT", false },
	{ "a\r\n.\r\n", "a\r\n", "", false },
	{ "a\r\n..\r\n.\r\n", "a\r\n.\r\n", "", false },
	{ "..a\r\n...\r\n.\r\n", ".a\r\n..\r\n", "", false },
	{ ".a\r\n.\r\n", "a\r\n", "", false },
	{ "a.\r\n.\r\n", "a.\r\n", "", false },
	{ "\r\n\r\n.\r\n", "\r\n\r\n", "", false },
	{ "a\r\n", "a\r\n", NULL, false },
	{ "a\r\n.", "a\r\n", NULL, false },
	{ "a\r\n.\r", "a\r\n", NULL, false },
	/* Each pair of line ends but the right one (CVE-2023-51764). */
	{ "a\n.\nb\r\n.\r\n", "a\r\n.\r\nb\r\n", "", true },
	{ "a\n.\r\nb\r\n.\r\n", "a\r\n.\r\nb\r\n", "", true },
	{ "a\r\n.\nb\r\n.\r\n", "a\r\n\r\nb\r\n", "", true },
	{ "a\r.\rb\r\n.\r\n", "a\r\n.\r\nb\r\n", "", true },
	{ "a\r.\r\nb\r\n.\r\n", "a\r\n.\r\nb\r\n", "", true },
	{ "a\r\n.\rb\r\n.\r\n", "a\r\n\r\nb\r\n", "", true },
	{ "a\r.\nb\r\n.\r\n", "a\r\n.\r\nb\r\n", "", true },
	{ "a\n.\rb\r\n.\r\n", "a\r\n.\r\nb\r\n", "", true },
	{ "a\n\r\n.\r\n", "a\r\n\r\n", "", true },
	{ "a\r\r\n.\r\n", "a\r\n\r\n", "", true },
	{ "\n.\r\n.\r\n", "\r\n.\r\n", "", true },
	{ "a\r\n.\r\r\n.\r\n", "a\r\n\r\n\r\n", "", true },
	{ "\r.\r\n.\r\n", "\r\n.\r\n", "", true },
	{ "a\nb\r\n.\r\n", "a\r\nb\r\n", "", true },
};

static void
feed(const struct row *row, size_t piece)
{
	size_t n = strlen(row->in), at = 0, used = 0, len, total = 0;
	uint8_t out[256], room[2 * 64 + 2];
	struct smtpd_data d;
	bool end = false;

	smtpd_data_init(&d, false);
	while (at < n && !end) {
		size_t most = n - at < piece ? n - at : piece;

		end = smtpd_data_feed(&d, (const uint8_t *)row->in + at, most,
		    &used, room, &len);
		cr_assert(end || used == most);
		cr_assert_leq(len, SMTPD_DATA_ROOM(most));
		memcpy(out + total, room, len);
		total += len;
		at += used;
	}
	out[total] = '\0';
	cr_expect_str_eq((char *)out, row->out, "%s in pieces of %zu: %s",
	    row->in, piece, (char *)out);
	cr_expect_eq(end, row->rest != NULL, "%s", row->in);
	cr_expect(!end || strcmp(row->in + at, row->rest) == 0, "%s", row->in);
	cr_expect_eq(d.has_bare, row->bare, "%s", row->in);
}

Test(smtpd_data, nothing_ends_it_but_a_dot_between_two_crlf)
{
	for (size_t i = 0; i < NELEM(rows); i++)
		for (size_t piece = 1; piece <= strlen(rows[i].in); piece++)
			feed(&rows[i], piece);
}

Test(smtpd_data, a_chunk_has_no_dots)
{
	static const char in[] = ".a\r\n.\r\n..\r\nlast\r";
	uint8_t out[SMTPD_DATA_ROOM(sizeof(in))];
	struct smtpd_data d;
	size_t used, len;

	smtpd_data_init(&d, true);
	cr_expect_not(smtpd_data_feed(&d, (const uint8_t *)in, strlen(in),
	    &used, out, &len));
	cr_expect_eq(used, strlen(in));
	cr_expect_eq(len, strlen(in) - 1);
	cr_expect_eq(memcmp(out, in, len), 0);
	cr_expect_not(d.has_bare);
	cr_expect_eq(smtpd_data_finish(&d, out), 2);
	cr_expect_eq(memcmp(out, "\r\n", 2), 0);
	cr_expect(d.has_bare, "the CR at the end stands alone");
	cr_expect_eq(smtpd_data_finish(&d, out), 0);
}

Test(smtpd_data, a_nul_is_seen)
{
	static const uint8_t in[] = "a\r\nb\0c\r\n";
	uint8_t out[SMTPD_DATA_ROOM(sizeof(in))];
	struct smtpd_data d;
	size_t used, len;

	smtpd_data_init(&d, false);
	(void)smtpd_data_feed(&d, in, 3, &used, out, &len);
	cr_expect_not(d.has_nul);
	(void)smtpd_data_feed(&d, in + 3, sizeof(in) - 4, &used, out, &len);
	cr_expect(d.has_nul);
}
