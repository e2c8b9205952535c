/* SPDX-License-Identifier: ISC */
/* See hosts.h. */
#include "master/resolver/hosts.h"

#include <sys/socket.h>

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/message.h"
#include "common/sort.h"

struct hosts {
	struct hosts_entry *entries; /* by name, once read */
	size_t count;
	size_t size;
};

static int
add(struct hosts *hosts, const struct hosts_entry *address, const char *name)
{
	struct hosts_entry *grown;
	size_t len = strlen(name);
	size_t size = hosts->size == 0 ? 64 : 2 * hosts->size;

	if (len >= MSG_HOST_SIZE || hosts->count == HOSTS_MAX)
		return 0;
	if (hosts->count == hosts->size) {
		grown = recallocarray(hosts->entries, hosts->size, size,
		    sizeof(*grown));
		if (grown == NULL)
			return -1;
		hosts->entries = grown;
		hosts->size = size;
	}
	grown = &hosts->entries[hosts->count];
	*grown = *address;
	grown->order = (uint32_t)hosts->count;
	grown->name =
	    strndup(name, len > 0 && name[len - 1] == '.' ? len - 1 : len);
	if (grown->name == NULL)
		return -1;
	hosts->count++;
	return 0;
}

static int
add_line(struct hosts *hosts, char *line)
{
	struct hosts_entry address = { 0 };
	const char *word;
	char *at;

	line[strcspn(line, "#\r\n")] = '\0';
	word = strtok_r(line, " \t", &at);
	if (word == NULL)
		return 0;
	address.family = strchr(word, ':') != NULL ? AF_INET6 : AF_INET;
	if (inet_pton(address.family, word, address.addr) != 1)
		return 0;
	while ((word = strtok_r(NULL, " \t", &at)) != NULL) {
		if (add(hosts, &address, word) == -1)
			return -1;
	}
	return 0;
}

static int
compare(const void *a, const void *b)
{
	const struct hosts_entry *left = a, *right = b;
	int ret = strcasecmp(left->name, right->name);

	if (ret != 0)
		return ret;
	return left->order < right->order ? -1 : left->order > right->order;
}

struct hosts *
hosts_read(FILE *f)
{
	struct hosts *hosts = NULL;
	char *line = NULL;
	size_t size = 0;
	int ret = -1;

	hosts = calloc(1, sizeof(*hosts));
	if (hosts == NULL)
		return NULL;
	errno = 0;
	while (getline(&line, &size, f) != -1) {
		if (add_line(hosts, line) == -1)
			goto out;
	}
	if (ferror(f) || errno == ENOMEM)
		goto out;
	sort_array(hosts->entries, hosts->count, sizeof(hosts->entries[0]),
	    compare);
	ret = 0;
out:
	free(line);
	if (ret == 0)
		return hosts;
	hosts_free(hosts);
	return NULL;
}

void
hosts_free(struct hosts *hosts)
{
	size_t i;

	if (hosts == NULL)
		return;
	for (i = 0; i < hosts->count; i++)
		free(hosts->entries[i].name);
	free(hosts->entries);
	free(hosts);
}

const struct hosts_entry *
hosts_find(const struct hosts *hosts, const char *name, size_t *count)
{
	size_t low = 0, high = hosts != NULL ? hosts->count : 0, middle, end;

	while (low < high) {
		middle = low + (high - low) / 2;
		if (strcasecmp(hosts->entries[middle].name, name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	end = low;
	while (hosts != NULL && end < hosts->count &&
	    strcasecmp(hosts->entries[end].name, name) == 0)
		end++;
	*count = end - low;
	return *count > 0 ? &hosts->entries[low] : NULL;
}
