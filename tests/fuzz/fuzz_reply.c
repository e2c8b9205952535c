/* SPDX-License-Identifier: ISC */
#include "agent/reply.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct reply reply;
	enum reply_event event;
	char report[64];
	size_t used, len;

	reply_init(&reply);
	for (; n > 0; data += used, n -= used) {
		event = reply_feed(&reply, data, n, &used);
		assert(used > 0 && used <= n);
		assert(event != REPLY_MORE || used == n);
		assert((event == REPLY_BAD) == (reply.error != REPLY_OK));
		if (event == REPLY_BAD)
			break;
		if (event != REPLY_MORE)
			assert(reply.code >= 200 && reply.code <= 599);
		len = reply_write_report(&reply, report, sizeof(report));
		assert(len < sizeof(report) && report[len] == '\0');
	}
	return 0;
}
