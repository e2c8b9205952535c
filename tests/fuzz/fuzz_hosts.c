/* SPDX-License-Identifier: ISC */
/*
 * A hosts file: each name has as many addresses as a simple reading finds lines, word
 * by word, that give it one.
 */
#include "master/resolver/hosts.h"

#include <arpa/inet.h>
#include <assert.h>
#include <string.h>
#include <strings.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* A name's dot at its end is the root's. */
static size_t
is_name(const char *word, const char *name)
{
	size_t len = strlen(word);

	if (len >= 256)
		return 0;
	len -= word[len - 1] == '.';
	return len == strlen(name) && strncasecmp(word, name, len) == 0;
}

/* How many lines give the name an address, by the simplest reading. */
static size_t
count_lines(const char *text, const char *name)
{
	char copy[4096], *line, *word, *rest, *words;
	uint8_t addr[16];
	size_t count = 0;

	(void)strlcpy(copy, text, sizeof(copy));
	for (rest = copy; (line = strsep(&rest, "\n")) != NULL;) {
		line[strcspn(line, "#\r")] = '\0';
		words = line;
		while ((word = strsep(&words, " \t")) != NULL && *word == '\0')
			;
		if (word == NULL ||
		    (inet_pton(AF_INET, word, addr) != 1 &&
			inet_pton(AF_INET6, word, addr) != 1))
			continue;
		while ((word = strsep(&words, " \t")) != NULL)
			count += *word != '\0' ? is_name(word, name) : 0;
	}
	return count;
}

static void
check_name(const struct hosts *hosts, const char *text, const char *name)
{
	const struct hosts_entry *entry;
	size_t count, i;

	entry = hosts_find(hosts, name, &count);
	assert(count == count_lines(text, name));
	for (i = 0; i < count; i++) {
		assert(strcasecmp(entry[i].name, name) == 0);
		assert(
		    entry[i].family == AF_INET || entry[i].family == AF_INET6);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char text[4096], copy[4096], *word, *rest;
	struct hosts *hosts;
	FILE *f;

	if (n == 0 || n >= sizeof(text) || memchr(data, '\0', n) != NULL)
		return 0;
	memcpy(text, data, n);
	text[n] = '\0';
	f = fmemopen(text, n, "r");
	assert(f != NULL);
	hosts = hosts_read(f);
	fclose(f);
	assert(hosts != NULL);
	(void)strlcpy(copy, text, sizeof(copy));
	for (rest = copy; (word = strsep(&rest, " \t\r\n#")) != NULL;)
		if (*word != '\0')
			check_name(hosts, text, word);
	hosts_free(hosts);
	return 0;
}
