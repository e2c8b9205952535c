/* SPDX-License-Identifier: ISC */
#include "agent/body.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static size_t
encode(const uint8_t *in, size_t n, size_t room, uint8_t *out)
{
	struct body_encoder encoder = { 0 };
	size_t used, len = 0;

	for (; n > 0; in += used, n -= used) {
		len += body_encode(&encoder, in, n, &used, out + len, room);
		assert(used > 0 && used <= n);
	}
	return len + body_end(&encoder, out + len);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static uint8_t out[2 * 65536 + 8], again[2 * 65536 + 8];
	const uint8_t *dot;
	size_t len;

	if (n == 0 || n > 65536)
		return 0;
	len = encode(data, n, sizeof(out), out);
	assert(len == encode(data, n, 2 + data[0] % 16, again));
	assert(memcmp(out, again, len) == 0);
	for (size_t i = 0; i < len; i++)
		assert((out[i] == '\n') == (i > 0 && out[i - 1] == '\r'));
	/* One dot alone ends it, and it is the last line. */
	dot = out[0] == '.' && out[1] == '\r' ? out
					      : memmem(out, len, "\n.\r", 3);
	assert(dot != NULL && dot + 4 == out + len);
	return 0;
}
