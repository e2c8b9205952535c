/* SPDX-License-Identifier: ISC */
/*
 * Any text is a configuration, or has errors with lines; and what is one is
 * read again as it is dumped.
 */
#include "master/config.h"

#include <sys/socket.h>

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t n);

static char *
dump(const struct config *config, size_t *len)
{
	char *text = NULL;
	FILE *out = open_memstream(&text, len);

	assert(out != NULL);
	config_dump(config, false, out);
	assert(fclose(out) == 0);
	return text;
}

int
LLVMFuzzerTestOneInput(const uint8_t *in, size_t n)
{
	static struct config_errors errors;
	const uint8_t addr[16] = { 0x20, 1 };
	struct config *config, *again;
	char *first, *second;
	size_t len;

	config = config_read("f", (const char *)in, n, &errors);
	assert((config == NULL) == (errors.count > 0));
	assert((errors.nlines > 0) == (errors.count > 0));
	if (config == NULL)
		return 0;
	(void)config_route(config, "a.example.org"); /* returns, at least */
	(void)config_server(config, "a.example.org", AF_INET6, addr);
	first = dump(config, &len);
	again = config_read("f", first, len, &errors);
	assert(again != NULL);
	second = dump(again, &len);
	assert(strcmp(first, second) == 0);
	free(first);
	free(second);
	config_free(config);
	config_free(again);
	return 0;
}
