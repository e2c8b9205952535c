/* SPDX-License-Identifier: ISC */
/* The end of a message is where a plain search finds it, however the octets
 * came; and what comes out has no line end but CRLF. */
#include "master/intake/smtpd/smtpd_data.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* How many octets the message has with its end; 0: it has none. */
static size_t
find_end(const uint8_t *in, size_t n)
{
	static const char end[] = "\r\n.\r\n";
	const uint8_t *at;

	if (n >= 3 && memcmp(in, end + 2, 3) == 0)
		return 3;
	at = memmem(in, n, end, 5);
	return at != NULL ? (size_t)(at - in) + 5 : 0;
}

static void
check_lines(const uint8_t *out, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		assert(out[i] != '\n' || (i > 0 && out[i - 1] == '\r'));
		assert(out[i] != '\r' || (i + 1 < n && out[i + 1] == '\n'));
	}
}

static void
feed(const uint8_t *in, size_t n, size_t piece, bool chunks)
{
	size_t at = 0, most, used, len, total = 0;
	uint8_t *out = malloc(SMTPD_DATA_ROOM(n) + 2);
	struct smtpd_data d;
	bool end = false;

	assert(out != NULL);
	smtpd_data_init(&d, chunks);
	while (at < n && !end) {
		most = n - at < piece ? n - at : piece;
		end = smtpd_data_feed(&d, in + at, most, &used, out + total,
		    &len);
		assert(used <= most && (end || used == most));
		assert(len <= SMTPD_DATA_ROOM(most));
		at += used;
		total += len;
	}
	if (chunks) {
		assert(!end);
		total += smtpd_data_finish(&d, out + total);
	} else {
		assert(end == (find_end(in, n) != 0));
		assert(!end || at == find_end(in, n));
	}
	if (end || chunks)
		check_lines(out, total);
	free(out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	if (n < 2)
		return 0;
	feed(data + 1, n - 1, n, false);
	feed(data + 1, n - 1, 1 + data[0] % 16, false);
	feed(data + 1, n - 1, 1 + data[0] % 16, true);
	return 0;
}
