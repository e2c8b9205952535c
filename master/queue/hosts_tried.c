/* SPDX-License-Identifier: ISC */
/* See hosts_tried.h. */
#include "master/queue/hosts_tried.h"

#include <stdlib.h>
#include <string.h>

#define REPLY_MAX 300 /* octets of a reason, with its NUL */

struct hosts_tried_kept {
	int64_t at_ms;
	size_t len;
	char text[];
};

/* Where the host stands; NULL where it does not yet. */
static char *
find(struct hosts_tried *tried, const char *relay)
{
	char *at = tried->text;

	while (at < tried->text + tried->len) {
		if (strcmp(at, relay) == 0)
			return at;
		at += strlen(at) + 1;
		at += strlen(at) + 1;
	}
	return NULL;
}

static void
take_out(struct hosts_tried *tried, char *entry)
{
	char *end = entry + strlen(entry) + 1;

	end += strlen(end) + 1;
	memmove(entry, end, (size_t)(tried->text + tried->len - end));
	tried->len -= (size_t)(end - entry);
}

void
hosts_tried_add(struct hosts_tried *tried, const char *relay,
    const char *reply)
{
	size_t host_size = strlen(relay) + 1;
	size_t reply_size = strlen(reply) + 1;
	char *entry = find(tried, relay);

	if (entry != NULL)
		take_out(tried, entry);
	if (reply_size > REPLY_MAX)
		reply_size = REPLY_MAX;
	if (host_size + reply_size > sizeof(tried->text) - tried->len)
		return;
	memcpy(tried->text + tried->len, relay, host_size);
	tried->len += host_size;
	memcpy(tried->text + tried->len, reply, reply_size);
	tried->len += reply_size;
	tried->text[tried->len - 1] = '\0';
}

void
hosts_tried_keep(struct hosts_tried_kept **kept,
    const struct hosts_tried *tried, int64_t at_ms)
{
	struct hosts_tried_kept *k = NULL;

	if (tried->len > 0)
		k = malloc(sizeof(*k) + tried->len);
	if (k != NULL) {
		k->at_ms = at_ms;
		k->len = tried->len;
		memcpy(k->text, tried->text, tried->len);
	}
	free(*kept);
	*kept = k;
}

int64_t
hosts_tried_time(const struct hosts_tried_kept *kept)
{
	return kept->at_ms;
}

const char *
hosts_tried_next(const struct hosts_tried_kept *kept, size_t *at,
    const char **reply)
{
	const char *relay = kept->text + *at;

	if (*at >= kept->len)
		return NULL;
	*reply = relay + strlen(relay) + 1;
	*at += (size_t)(*reply - relay) + strlen(*reply) + 1;
	return relay;
}
