/* SPDX-License-Identifier: ISC */
#include "agent/smtp/ehlo.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct capabilities caps;
	const uint8_t *lf;
	size_t len;

	ehlo_clear(&caps);
	for (; n > 0; data += len, n -= len) {
		lf = memchr(data, '\n', n);
		len = lf == NULL ? n : (size_t)(lf - data) + 1;
		ehlo_add_line(&caps, data, len - (lf != NULL));
	}
	ehlo_finish(&caps, false);
	assert(caps.offered >> CAPABILITY_COUNT == 0);
	assert(!ehlo_offers(&caps, CAPABILITY_REQUIRETLS));
	assert(ehlo_offers(&caps, CAPABILITY_CHUNKING) ||
	    !ehlo_offers(&caps, CAPABILITY_BINARYMIME));
	assert(ehlo_offers(&caps, CAPABILITY_SIZE) || caps.size_limit == 0);
	assert(ehlo_offers(&caps, CAPABILITY_AUTH) || caps.mechanisms == 0);
	return 0;
}
