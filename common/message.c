/* SPDX-License-Identifier: ISC */
/*
 * The table of messages, its one check, and moving a packet.  What a message
 * means is the business of who handles it.
 */
#include "common/message.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "common/closer.h"
#include "common/message_check.h"
#include "common/util.h"

#define MASTER   ROLE_MASTER
#define INTAKE   ROLE_INTAKE
#define CONTROL  ROLE_CONTROL
#define QUEUE    ROLE_QUEUE
#define RESOLVER ROLE_RESOLVER
#define DIALER   ROLE_DIALER
#define AGENT    ROLE_AGENT
#define WORKER   ROLE_WORKER
#define METRICS  ROLE_METRICS
#define SIGNER   ROLE_SIGNER
#define SERVANTS ROLE_SERVANTS
#define READERS  ROLE_READERS

const struct msg_desc msg_descs[MSG_COUNT] = {
#define MSG(name, from, to, payload, tail, fds)                                \
	[MSG_##name] = { #name, from, to, sizeof(payload), tail, fds,          \
		(fds) != FD_NONE },
#include "common/messages.def"
#undef MSG
};

/* Every payload starts 8-aligned behind the header, and fits a packet. */
#define MSG(name, from, to, payload, tail, fds)                                \
	_Static_assert(sizeof(payload) % 4 == 0 && _Alignof(payload) <= 8 &&   \
		sizeof(struct msg_header) + sizeof(payload) + (tail) <=        \
		    MSG_PACKET_SIZE,                                           \
	    "payload of " #name);
struct msg_header {
	uint32_t type;
	uint32_t len; /* of payload and tail */
};
#include "common/messages.def"
#undef MSG

/* What has no room here the kernel closes for us, and that may take as long as a
 * stranger likes. */
#define FDS_MAX CLOSER_FDS

size_t
message_encode(uint8_t *buf, enum msg_type type, const void *payload,
    const void *tail, size_t tail_len)
{
	const struct msg_desc *d = &msg_descs[type];
	struct msg_header h;

	if (tail_len > d->tail)
		return 0;
	h.type = type;
	h.len = (uint32_t)(d->size + tail_len);
	memcpy(buf, &h, sizeof(h));
	memcpy(buf + sizeof(h), payload, d->size);
	if (tail_len > 0)
		memcpy(buf + sizeof(h) + d->size, tail, tail_len);
	return sizeof(h) + d->size + tail_len;
}

const char *
message_decode(struct message *m, const uint8_t *buf, size_t n, unsigned nfds,
    unsigned from, unsigned to)
{
	const struct msg_desc *d;
	struct msg_header h;
	struct message got;
	const char *why;

	if (n < sizeof(h))
		return "shorter than a header";
	memcpy(&h, buf, sizeof(h));
	if (h.type >= MSG_COUNT)
		return "unknown type";
	d = &msg_descs[h.type];
	if ((d->sender & from) == 0 || (d->receiver & to) == 0)
		return "wrong direction";
	if (h.len != n - sizeof(h))
		return "length and packet differ";
	if (h.len < d->size || h.len > d->size + d->tail)
		return "wrong size";
	if (nfds != d->nfds)
		return "wrong number of descriptors";
	got.type = h.type;
	got.payload = buf + sizeof(h);
	got.tail = buf + sizeof(h) + d->size;
	got.tail_len = h.len - d->size;
	got.fd = m->fd;
	why = message_check(&got);
	if (why == NULL)
		*m = got;
	return why;
}

/* Collects the descriptors of a packet; returns how many there are. */
static unsigned
take_fds(struct msghdr *mh, int fds[FDS_MAX])
{
	struct cmsghdr *c;
	unsigned n = 0;
	size_t len, i;

	for (c = CMSG_FIRSTHDR(mh); c != NULL; c = CMSG_NXTHDR(mh, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		len = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (i = 0; i < len && n < FDS_MAX; i++, n++)
			memcpy(&fds[n], CMSG_DATA(c) + i * sizeof(int),
			    sizeof(int));
	}
	return n;
}

/* NULL, or what is wrong. */
static const char *
check_fd(enum fd_kind kind, int fd)
{
	socklen_t len = sizeof(int);
	int type;

	/* Neither asks a file system, which may be a stranger's (FUSE). */
	switch (kind) {
	case FD_MEMFD:
		if (fcntl(fd, F_GET_SEALS) == -1) /* only these have them */
			return "its descriptor is no memfd";
		break;
	case FD_SOCKET:
		if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == -1)
			return "its descriptor is no socket";
		break;
	case FD_NONE:
	case FD_ANY:
		break;
	}
	return NULL;
}

int
message_receive(int sock, uint8_t *buf, unsigned from, unsigned to, int flags,
    struct message *m, const char **why)
{
	union {
		struct cmsghdr align;
		uint8_t room[CMSG_SPACE(FDS_MAX * sizeof(int))];
	} control;
	struct iovec iov = { buf, MSG_PACKET_SIZE };
	struct msghdr mh = { 0 };
	int fds[FDS_MAX];
	unsigned nfds, i;
	ssize_t n;

	*why = NULL;
	mh.msg_iov = &iov;
	mh.msg_iovlen = 1;
	mh.msg_control = &control;
	mh.msg_controllen = sizeof(control);
	n = recvmsg(sock, &mh, flags | MSG_CMSG_CLOEXEC);
	if (n == -1)
		return -1;
	nfds = take_fds(&mh, fds);
	if (n == 0 && nfds == 0)
		return 0; /* or an empty packet, as good as an end */
	if ((mh.msg_flags & MSG_TRUNC) != 0)
		*why = "larger than any message";
	else if (nfds > 1 || (mh.msg_flags & MSG_CTRUNC) != 0)
		*why = "too many descriptors";
	else
		*why = message_decode(m, buf, (size_t)n, nfds, from, to);
	if (*why == NULL && nfds > 0)
		*why = check_fd(msg_descs[m->type].fd, fds[0]);
	if (*why == NULL) {
		m->fd = nfds > 0 ? fds[0] : -1;
		return 1;
	}
	for (i = 0; i < nfds; i++)
		closer_close(fds[i], CLOSER_ROLES);
	errno = EPROTO;
	return -1;
}

int
message_send(int sock, enum msg_type type, const void *payload,
    const void *tail, size_t tail_len, int fd, int flags)
{
	const struct msg_desc *d = &msg_descs[type];
	struct msg_header h = { type, (uint32_t)(d->size + tail_len) };
	struct iovec iov[3];

	if (tail_len > d->tail || (fd != -1) != (d->nfds == 1)) {
		errno = EINVAL;
		return -1;
	}
	iov[0] = (struct iovec){ &h, sizeof(h) };
	iov[1] = (struct iovec){ (void *)(uintptr_t)payload, d->size };
	iov[2] = (struct iovec){ (void *)(uintptr_t)tail, tail_len };
	return fd_send(sock, iov, 3, fd, flags) == -1 ? -1 : 0;
}

const char *
message_tail_next(const struct message *m, size_t *at)
{
	const uint8_t *start, *end;

	if (*at >= m->tail_len)
		return NULL;
	start = m->tail + *at;
	end = memchr(start, '\0', m->tail_len - *at);
	if (end == NULL)
		return NULL;
	*at = (size_t)(end + 1 - m->tail);
	return (const char *)start;
}

bool
message_tail_add(char *tail, size_t size, size_t *len, const char *str)
{
	size_t n = strlen(str) + 1;

	if (n > size - *len)
		return false;
	memcpy(tail + *len, str, n);
	*len += n;
	return true;
}

bool
message_string_ok(const char *s, size_t size)
{
	return memchr(s, '\0', size) != NULL;
}
