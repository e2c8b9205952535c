/* SPDX-License-Identifier: ISC */
#include "common/address.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct address addr, again;
	char whole[ADDRESS_PATH_MAX + 3];
	size_t len;
	const char *in = (const char *)data;

	if (address_parse_forward_path(&addr, in, n) != ADDRESS_OK)
		assert(addr.path[0] == '\0');
	else
		assert(addr.path[0] != '\0');
	if (address_parse_reverse_path(&addr, in, n) != ADDRESS_OK)
		return 0;
	assert(strlen(addr.path) <= ADDRESS_PATH_MAX);
	assert(strpbrk(addr.path, "\r\n") == NULL);
	assert(strlen(addr.domain) <= ADDRESS_DOMAIN_MAX);
	/* Its ">" is found behind all of it. */
	len = (size_t)snprintf(whole, sizeof(whole), "<%s>", addr.path);
	assert(address_find_end(whole, len) == len);
	assert((addr.kind == ADDRESS_DOMAIN_NONE) == (addr.domain[0] == '\0'));
	/* What we keep reads as itself. */
	assert(address_parse_reverse_path(&again, addr.path,
		   strlen(addr.path)) == ADDRESS_OK);
	assert(memcmp(&addr, &again, sizeof(addr)) == 0);
	return 0;
}
