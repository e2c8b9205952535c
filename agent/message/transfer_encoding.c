/* SPDX-License-Identifier: ISC */
/* See transfer_encoding.h. */
#include "agent/message/transfer_encoding.h"

#include <string.h>

#define LINE_MAX_ENCODED 76 /* characters, without CRLF; RFC 2045, 6.7 (5) */

static size_t
put_soft_break(struct transfer_encoder *e, uint8_t *out)
{
	memcpy(out, "=\r\n", 3);
	e->column = 0;
	return 3;
}

/* RFC 2045, 6.7 (1) to (3). */
static bool
stands_for_itself(uint8_t c, bool last)
{
	if (c == ' ' || c == '\t')
		return !last;
	return c > ' ' && c < 0x7f && c != '=';
}

size_t
transfer_encoding_quoted_printable(struct transfer_encoder *e,
    const uint8_t *in, size_t n, bool ends, uint8_t *out)
{
	static const char hex[] = "0123456789ABCDEF";
	size_t len = 0;
	bool plain;

	for (size_t i = 0; i < n; i++) {
		/* Who cannot see what follows takes no chance. */
		plain = stands_for_itself(in[i], i == n - 1);
		/* One column is kept for the soft break. */
		if (e->column + (plain ? 1 : 3) > LINE_MAX_ENCODED - 1)
			len += put_soft_break(e, out + len);
		if (plain) {
			out[len++] = in[i];
			e->column++;
			continue;
		}
		out[len++] = '=';
		out[len++] = (uint8_t)hex[in[i] >> 4];
		out[len++] = (uint8_t)hex[in[i] & 15];
		e->column += 3;
	}
	if (ends) {
		memcpy(out + len, "\r\n", 2);
		len += 2;
		e->column = 0;
	}
	return len;
}

static size_t
put_group(struct transfer_encoder *e, uint8_t *out)
{
	static const char digits[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	uint32_t bits =
	    (uint32_t)e->held[0] << 16 | (uint32_t)e->held[1] << 8 | e->held[2];
	size_t len = 0;

	if (e->column == LINE_MAX_ENCODED) {
		memcpy(out, "\r\n", 2);
		len = 2;
		e->column = 0;
	}
	for (unsigned int i = 0; i < 4; i++)
		out[len++] = i > e->nheld
		    ? '='
		    : (uint8_t)digits[bits >> (18 - 6 * i) & 63];
	e->column += 4;
	e->nheld = 0;
	memset(e->held, 0, sizeof(e->held));
	return len;
}

size_t
transfer_encoding_base64(struct transfer_encoder *e, const uint8_t *in,
    size_t n, uint8_t *out)
{
	size_t len = 0;

	for (size_t i = 0; i < n; i++) {
		e->held[e->nheld++] = in[i];
		if (e->nheld == 3)
			len += put_group(e, out + len);
	}
	return len;
}

size_t
transfer_encoding_base64_end(struct transfer_encoder *e, uint8_t *out)
{
	size_t len = 0;

	if (e->nheld > 0)
		len += put_group(e, out);
	if (e->column > 0) {
		memcpy(out + len, "\r\n", 2);
		len += 2;
	}
	e->column = 0;
	return len;
}
