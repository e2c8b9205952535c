/* SPDX-License-Identifier: ISC */
/* See message_spool.h. */
#include "master/intake/message/message_spool.h"

#include <sys/mman.h>

#include <fcntl.h>
#include <string.h>

#include "common/util.h"

/* Octets of ours and the first of the client's that go in one write. */
#define FIRST_MAX 16384

void
message_spool_init(struct message_spool *g, uint64_t limit)
{
	memset(g, 0, sizeof(*g));
	g->fd = -1;
	g->limit = limit;
}

int
message_spool_open(struct message_spool *g)
{
	g->fd = memfd_create("body", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	return g->fd == -1 ? -1 : 0;
}

static bool
has_8bit(const uint8_t *in, size_t n)
{
	uint8_t all = 0;

	for (size_t i = 0; i < n; i++)
		all |= in[i];
	return (all & 0x80) != 0;
}

/* What the octets say, and whether there are too many. */
static bool
look_at(struct message_spool *g, const uint8_t *octets, size_t n)
{
	g->size += n;
	if (g->size > g->limit)
		return false;
	g->has_8bit = g->has_8bit || has_8bit(octets, n);
	header_scan_feed(&g->header, octets, n);
	tls_required_field_feed(&g->tls_field, octets, n);
	loop_feed(&g->loop, octets, n);
	return true;
}

enum message_spool_result
message_spool_put(struct message_spool *g, const uint8_t *octets, size_t n)
{
	if (!look_at(g, octets, n))
		return MESSAGE_SPOOL_TOO_LARGE;
	return fd_write(g->fd, octets, n) == -1 ? MESSAGE_SPOOL_FAILED
						: MESSAGE_SPOOL_OK;
}

enum message_spool_result
message_spool_put_behind(struct message_spool *g, const char *ours,
    const uint8_t *octets, size_t n)
{
	static uint8_t first[FIRST_MAX];
	size_t len = strlen(ours), room;

	if (!look_at(g, octets, n))
		return MESSAGE_SPOOL_TOO_LARGE;
	if (len >= sizeof(first))
		len = sizeof(first); /* it never is so long */
	room = sizeof(first) - len;
	if (room > n)
		room = n;
	memcpy(first, ours, len);
	if (room > 0)
		memcpy(first + len, octets, room);
	if (fd_write(g->fd, first, len + room) == -1 ||
	    (room < n && fd_write(g->fd, octets + room, n - room) == -1))
		return MESSAGE_SPOOL_FAILED;
	g->ours = len;
	return MESSAGE_SPOOL_OK;
}

int
message_spool_end(struct message_spool *g, struct message_copy *copy)
{
	if (fcntl(g->fd, F_ADD_SEALS, FD_SEALS) == -1)
		return -1;
	copy->fd = g->fd;
	g->fd = -1;
	copy->size = g->ours + g->size;
	copy->has_8bit = g->has_8bit;
	copy->header = g->header;
	copy->tls_is_optional = tls_required_field_is_no(&g->tls_field);
	loop_end(&g->loop);
	copy->hops = g->loop.hops;
	return 0;
}

void
message_spool_clear(struct message_spool *g)
{
	fd_close(g->fd);
	g->fd = -1;
}
