/* SPDX-License-Identifier: ISC */
/* See header_scan.h. */
#include "master/intake/message/header_scan.h"

static void
take(struct header_scan *h, uint8_t c)
{
	static const char ends[] = "\r\n\r\n";

	if (c == (uint8_t)ends[h->ends])
		h->ends++;
	else
		h->ends = c == '\r' ? 1 : 0;
	h->over = h->ends == 4;
	if (c >= 0x80)
		h->has_8bit = true;
	if (!utf8_take(&h->utf8, c))
		h->is_wrong = true;
}

void
header_scan_feed(struct header_scan *h, const uint8_t *in, size_t n)
{
	if (!h->started)
		h->ends = 2; /* an empty line may come at once */
	h->started = true;
	for (size_t i = 0; i < n && !h->over; i++)
		take(h, in[i]);
}

bool
header_scan_is_utf8(const struct header_scan *h)
{
	return h->has_8bit && !h->is_wrong && h->utf8.left == 0;
}
