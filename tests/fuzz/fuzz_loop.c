/* SPDX-License-Identifier: ISC */
/* However a message is cut, it has the same fields; and each takes a line. */
#include "common/loop.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static struct loop
scan(const uint8_t *data, size_t n, size_t cut)
{
	struct loop l = { .recipient = "a@b" };
	size_t len;

	for (; n > 0; data += len, n -= len) {
		len = n < cut ? n : cut;
		loop_feed(&l, data, len);
		assert(l.len < sizeof(l.field));
	}
	loop_end(&l);
	return l;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct loop whole = scan(data, n, n + 1);
	struct loop one = scan(data, n, 1);
	struct loop seven = scan(data, n, 7);

	assert(one.hops == whole.hops && one.returned == whole.returned);
	assert(seven.hops == whole.hops && seven.returned == whole.returned);
	assert(whole.hops <= n / 9); /* "Received:" */
	if (whole.returned)
		assert(memchr(data, '@', n) != NULL);
	return 0;
}
