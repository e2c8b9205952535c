/* SPDX-License-Identifier: ISC */
/* See ack.h. */
#include "master/queue/ack.h"

bool
ack_feed(struct ack *ack, const uint8_t *octets, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		if (octets[i] >= '0' && octets[i] <= '9') {
			if (++ack->digits > ACK_DIGITS_MAX)
				return false;
			ack->number = ack->number * 10 + (octets[i] - '0');
		} else if (octets[i] == '\n' && ack->digits > 0) {
			if (ack->number > ack->last)
				ack->last = ack->number;
			ack->number = 0;
			ack->digits = 0;
		} else {
			return false;
		}
	}
	return true;
}
