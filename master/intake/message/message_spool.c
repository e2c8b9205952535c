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
gather_init(struct gather *g, uint64_t limit)
{
	memset(g, 0, sizeof(*g));
	g->fd = -1;
	g->limit = limit;
}

int
gather_open(struct gather *g)
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
look_at(struct gather *g, const uint8_t *octets, size_t n)
{
	g->size += n;
	if (g->size > g->limit)
		return false;
	g->has_8bit = g->has_8bit || has_8bit(octets, n);
	header_feed(&g->header, octets, n);
	tls_field_feed(&g->tls_field, octets, n);
	loop_feed(&g->loop, octets, n);
	return true;
}

enum gather_result
gather_put(struct gather *g, const uint8_t *octets, size_t n)
{
	if (!look_at(g, octets, n))
		return GATHER_TOO_LARGE;
	return fd_write(g->fd, octets, n) == -1 ? GATHER_FAILED : GATHER_OK;
}

enum gather_result
gather_put_behind(struct gather *g, const char *ours, const uint8_t *octets,
    size_t n)
{
	static uint8_t first[FIRST_MAX];
	size_t len = strlen(ours), room;

	if (!look_at(g, octets, n))
		return GATHER_TOO_LARGE;
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
		return GATHER_FAILED;
	g->ours = len;
	return GATHER_OK;
}

int
gather_end(struct gather *g, struct copy *copy)
{
	if (fcntl(g->fd, F_ADD_SEALS, FD_SEALS) == -1)
		return -1;
	copy->fd = g->fd;
	g->fd = -1;
	copy->size = g->ours + g->size;
	copy->has_8bit = g->has_8bit;
	copy->header = g->header;
	copy->tls_is_optional = tls_field_is_no(&g->tls_field);
	loop_end(&g->loop);
	copy->hops = g->loop.hops;
	return 0;
}

void
gather_clear(struct gather *g)
{
	fd_close(g->fd);
	g->fd = -1;
}
