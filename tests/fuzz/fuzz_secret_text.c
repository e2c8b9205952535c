/* SPDX-License-Identifier: ISC */
/* What a file or a command may bring: the first octet says which. */
#include "master/secret_text.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct secret_text text;
	const char *octets = (const char *)data + 1;
	bool command;

	if (n == 0)
		return 0;
	command = data[0] == 'c';
	n--;
	if (secret_text_read(octets, n, command, &text) != NULL)
		return 0;
	assert(text.len > 0 && text.len <= n && text.len <= AUTH_SECRET_MAX);
	assert(memchr(octets, '\0', n) == NULL);
	assert(!command || memchr(octets, '\n', text.len) == NULL);
	assert(command || (n - text.len <= 2 && text.for_s == 0));
	return 0;
}
