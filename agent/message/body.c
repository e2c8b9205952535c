/* SPDX-License-Identifier: ISC */
/*
 * The body encoder.  It works line by line where a line lies whole in both
 * buffers, which is nearly always, and octet by octet at the seams.
 */
#include "agent/message/body.h"

#include <string.h>

/* Octets before the next CR or LF. */
static size_t
text_span(const uint8_t *in, size_t n)
{
	const uint8_t *c;

	c = memchr(in, '\n', n);
	if (c != NULL)
		n = (size_t)(c - in);
	c = memchr(in, '\r', n);
	return c != NULL ? (size_t)(c - in) : n;
}

/* Text within a line, with the dot that its first octet may need. */
static size_t
encode_text(struct body_encoder *encoder, const uint8_t *in, size_t n,
    size_t *used, uint8_t *out, size_t size)
{
	size_t len = 0;

	if (!encoder->in_line && in[0] == '.') {
		if (size < 2)
			return 0;
		out[len++] = '.';
	}
	if (n > size - len)
		n = size - len;
	memcpy(out + len, in, n);
	encoder->in_line = true;
	encoder->after_cr = false;
	*used += n;
	return len + n;
}

size_t
body_encode(struct body_encoder *encoder, const uint8_t *in, size_t n,
    size_t *used, uint8_t *out, size_t size)
{
	size_t len = 0;
	size_t span, wrote;

	*used = 0;
	while (*used < n) {
		uint8_t c = in[*used];

		if (c == '\n' && encoder->after_cr) {
			encoder->after_cr = false;
			++*used;
			continue;
		}
		if (size - len < 2)
			break;
		if (c == '\r' || c == '\n') {
			out[len++] = '\r';
			out[len++] = '\n';
			encoder->in_line = false;
			encoder->after_cr = c == '\r';
			++*used;
			continue;
		}
		span = text_span(in + *used, n - *used);
		wrote = encode_text(encoder, in + *used, span, used, out + len,
		    size - len);
		len += wrote;
	}
	return len;
}

size_t
body_end(struct body_encoder *encoder, uint8_t out[BODY_END_MAX])
{
	size_t len = 0;

	if (encoder->in_line) {
		memcpy(out, "\r\n", 2);
		len = 2;
	}
	memcpy(out + len, ".\r\n", 3);
	memset(encoder, 0, sizeof(*encoder));
	return len + 3;
}
