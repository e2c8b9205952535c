/* SPDX-License-Identifier: ISC */
/*
 * However a message is cut, its header asks the same; and what asks to go
 * without TLS has the field at the start of a line.
 */
#include "master/intake/message/tls_required_field.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static bool
scan(const uint8_t *data, size_t n, size_t cut)
{
	struct tls_required_field f = { 0 };
	size_t len;

	for (; n > 0; data += len, n -= len) {
		len = n < cut ? n : cut;
		tls_required_field_feed(&f, data, len);
		assert(f.len < sizeof(f.field));
	}
	return tls_required_field_is_no(&f);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	bool whole = scan(data, n, n + 1);

	assert(scan(data, n, 1) == whole);
	assert(scan(data, n, 7) == whole);
	if (whole)
		assert(memmem(data, n, "\r\n", 2) != NULL &&
		    memchr(data, ':', n) != NULL);
	return 0;
}
