/* SPDX-License-Identifier: ISC */
/* Acknowledgements: however they are cut, they mean the same. */
#include <assert.h>

#include "master/queue/ack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ack whole = { 0 }, cut = { 0 };
	bool good = ack_feed(&whole, data, size), same = true;
	size_t i;

	for (i = 0; i < size && same; i++)
		same = ack_feed(&cut, data + i, 1);
	assert(good == same);
	assert(!good || (whole.last == cut.last && whole.number == cut.number));
	assert(whole.digits <= ACK_DIGITS_MAX + 1);
	return 0;
}
