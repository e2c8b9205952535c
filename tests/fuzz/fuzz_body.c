/* SPDX-License-Identifier: ISC */
#include "agent/message/body.h"

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

/* The text as its lines are meant: each ends in CRLF, whatever it ended in. */
static size_t
lines_of(const uint8_t *in, size_t n, uint8_t *out)
{
	size_t len = 0;

	for (size_t i = 0; i < n; i++) {
		if (in[i] == '\n' && i > 0 && in[i - 1] == '\r')
			continue;
		if (in[i] != '\r' && in[i] != '\n') {
			out[len++] = in[i];
			continue;
		}
		out[len++] = '\r';
		out[len++] = '\n';
	}
	if (len > 0 && out[len - 1] != '\n') {
		out[len++] = '\r';
		out[len++] = '\n';
	}
	return len;
}

/* As a server reads it (RFC 5321, 4.5.2): up to the line of one dot, which must be
 * the last, and without the first dot of any other. */
static size_t
decode(const uint8_t *in, size_t n, uint8_t *out)
{
	const uint8_t *end;
	size_t len = 0, line;

	for (; n > 0; in += line, n -= line) {
		end = memmem(in, n, "\r\n", 2);
		assert(end != NULL);
		line = (size_t)(end - in) + 2;
		if (line == 3 && in[0] == '.') {
			assert(n == 3);
			return len;
		}
		memcpy(out + len, in + (in[0] == '.'), line - (in[0] == '.'));
		len += line - (in[0] == '.');
	}
	assert(!"no end");
	return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static uint8_t out[2 * 65536 + 8], again[2 * 65536 + 8];
	static uint8_t meant[2 * 65536 + 2];
	size_t len, lines;

	if (n == 0 || n > 65536)
		return 0;
	len = encode(data, n, sizeof(out), out);
	assert(len == encode(data, n, 2 + data[0] % 16, again));
	assert(memcmp(out, again, len) == 0);
	for (size_t i = 0; i < len; i++)
		assert((out[i] == '\n') == (i > 0 && out[i - 1] == '\r'));
	lines = lines_of(data, n, meant);
	assert(decode(out, len, again) == lines);
	assert(memcmp(again, meant, lines) == 0);
	return 0;
}
