/* SPDX-License-Identifier: ISC */
/* A message's octets, as they come. */
#include "master/intake/message/message_spool.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "common/util.h"

Test(gather, what_is_ours_counts_for_nothing)
{
	static const uint8_t text[] = "Received: x\r\nA: \xc3\xa4\r\n\r\n";
	static uint8_t more[40000];
	struct message_spool g;
	struct message_copy copy;
	char out[64];

	message_spool_init(&g, sizeof(text) - 1 + sizeof(more));
	cr_assert_eq(message_spool_open(&g), 0);
	cr_expect_eq(message_spool_put_behind(&g, "Received: ours\r\n", text,
			 sizeof(text) - 1),
	    MESSAGE_SPOOL_OK);
	memset(more, 'x', sizeof(more));
	cr_expect_eq(message_spool_put(&g, more, sizeof(more)),
	    MESSAGE_SPOOL_OK);
	cr_expect_eq(message_spool_put(&g, more, 1), MESSAGE_SPOOL_TOO_LARGE);
	cr_assert_eq(message_spool_end(&g, &copy), 0);
	cr_expect_eq(g.fd, -1);
	cr_expect_eq(copy.hops, 1);
	cr_expect(copy.has_8bit);
	cr_expect(header_scan_is_utf8(&copy.header));
	cr_expect_eq(pread(copy.fd, out, 32, 0), 32);
	cr_expect_eq(memcmp(out, "Received: ours\r\nReceived: x\r\nA: ", 32),
	    0);
	cr_expect_eq(fcntl(copy.fd, F_GET_SEALS) & FD_SEALS, FD_SEALS);
	fd_close(copy.fd);
	message_spool_clear(&g);
}

Test(gather, a_first_piece_of_any_size_is_whole)
{
	static uint8_t more[40000], back[41000];
	struct message_spool g;
	struct message_copy copy;

	for (size_t i = 0; i < sizeof(more); i++)
		more[i] = (uint8_t)('a' + i % 23);
	message_spool_init(&g, UINT64_MAX);
	cr_assert_eq(message_spool_open(&g), 0);
	cr_expect_eq(
	    message_spool_put_behind(&g, "X: y\r\n", more, sizeof(more)),
	    MESSAGE_SPOOL_OK);
	cr_assert_eq(message_spool_end(&g, &copy), 0);
	cr_expect_eq(copy.size, sizeof(more) + 6);
	cr_expect_eq(pread(copy.fd, back, sizeof(back), 0),
	    (ssize_t)sizeof(more) + 6);
	cr_expect_eq(memcmp(back + 6, more, sizeof(more)), 0);
	fd_close(copy.fd);
}
