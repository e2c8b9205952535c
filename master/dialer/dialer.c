/* SPDX-License-Identifier: ISC */
/*
 * The dialer: makes a socket, starts to connect it, and hands it to the worker
 * that waits for it.  It never reads or writes what it connected, and keeps no
 * connection; whether a connect succeeds is the worker's to find out.
 */
#include <sys/socket.h>
#include <sys/un.h>

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/filter.h"
#include "common/log.h"
#include "common/role.h"
#include "common/sandbox.h"
#include "common/util.h"

struct dialer {
	struct role role;
	struct channel *queue; /* NULL until PEER */
};

union address {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	struct sockaddr_un un;
};

static const struct sandbox dialer_sandbox = {
	.keeps_root = true, /* Unix sockets have paths; no file can be opened */
	.net_connect = true,
};

static const struct filter_rule dialer_filter[] = {
#include "master/dialer/dialer_filter.def"
};

/* The socket address of octets and port; its size, or 0 for no such family. */
static socklen_t
fill_address(union address *a, int family, const uint8_t *octets, uint16_t port)
{
	memset(a, 0, sizeof(*a));
	a->sa.sa_family = (sa_family_t)family;
	if (family == AF_INET) {
		a->in.sin_port = htons(port);
		memcpy(&a->in.sin_addr, octets, sizeof(a->in.sin_addr));
		return sizeof(a->in);
	}
	if (family == AF_INET6) {
		a->in6.sin6_port = htons(port);
		memcpy(&a->in6.sin6_addr, octets, sizeof(a->in6.sin6_addr));
		return sizeof(a->in6);
	}
	return 0;
}

static int
prepare(int fd, const struct msg_dial *dial)
{
	union address source;
	socklen_t len;
	int on = 1;

	if (dial->family == AF_UNIX)
		return 0;
	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == -1)
		return -1;
	if (!dial->has_source)
		return 0;
	/* Many connections may share the address: the port is chosen by
	 * connect().  An older kernel refuses, and chooses now. */
	(void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on,
	    sizeof(on));
	len = fill_address(&source, dial->family, dial->source, 0);
	return bind(fd, &source.sa, len);
}

/* A socket on its way to dial's address; -1 with errno. */
static int
start_connect(const struct msg_dial *dial)
{
	union address to;
	socklen_t len;
	int fd;

	len = fill_address(&to, dial->family, dial->addr, dial->port);
	if (dial->family == AF_UNIX) {
		memcpy(to.un.sun_path, dial->path, sizeof(dial->path));
		len = sizeof(to.un);
	}
	if (len == 0) {
		errno = EAFNOSUPPORT;
		return -1;
	}
	fd =
	    socket(dial->family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd == -1)
		return -1;
	if (prepare(fd, dial) == -1 ||
	    (connect(fd, &to.sa, len) == -1 && errno != EINPROGRESS)) {
		fd_close(fd);
		return -1;
	}
	return fd;
}

/* Our address is known as soon as the kernel has chosen the route. */
static void
fill_dialed(struct msg_dialed *dialed, int fd)
{
	union address ours;
	socklen_t len = sizeof(ours);

	memset(&ours, 0, sizeof(ours));
	if (getsockname(fd, &ours.sa, &len) == -1)
		return; /* the worker then has no literal to give */
	dialed->family = (uint8_t)ours.sa.sa_family;
	if (ours.sa.sa_family == AF_INET) {
		dialed->port = ntohs(ours.in.sin_port);
		memcpy(dialed->addr, &ours.in.sin_addr,
		    sizeof(ours.in.sin_addr));
	} else if (ours.sa.sa_family == AF_INET6) {
		dialed->port = ntohs(ours.in6.sin6_port);
		memcpy(dialed->addr, &ours.in6.sin6_addr,
		    sizeof(ours.in6.sin6_addr));
	}
}

/*
 * On the line that its worker reads answers from and nothing else: there is room
 * for those of all its addresses, unless it was taken over.
 */
static void
answer(int line, const struct msg_dial *dial, int fd, int error)
{
	struct msg_dial_failed failed = { error, dial->number };
	struct msg_dialed dialed;
	int sent;

	memset(&dialed, 0, sizeof(dialed));
	dialed.number = dial->number;
	if (fd == -1) {
		sent = message_send(line, MSG_DIAL_FAILED, &failed, NULL, 0, -1,
		    MSG_DONTWAIT);
	} else {
		fill_dialed(&dialed, fd);
		sent = message_send(line, MSG_DIALED, &dialed, NULL, 0, fd,
		    MSG_DONTWAIT);
	}
	if (sent == -1 && errno != EPIPE && errno != ECONNRESET)
		log_line(LOG_WARN, "a socket did not reach its worker: %s",
		    strerror(errno));
}

static void
dialer_dial(void *ctx, struct channel *from, const struct message *m)
{
	const struct msg_dial *dial = m->payload;
	int fd;

	(void)ctx;
	(void)from;
	if (message_string_ok(dial->path, sizeof(dial->path))) {
		fd = start_connect(dial);
		answer(m->fd, dial, fd, errno);
		fd_close(fd);
	}
	fd_close(m->fd);
}

static void
dialer_peer(void *ctx, struct channel *from, const struct message *m)
{
	struct dialer *d = ctx;

	(void)from;
	channel_close(d->queue);
	d->queue = channel_new(&d->role, m->fd, ROLE_QUEUE, NULL);
}

/* Who waits for an answer still asks the next dialer. */
static void
dialer_drain(void *ctx, struct channel *from, const struct message *m)
{
	struct dialer *d = ctx;

	(void)from;
	(void)m;
	role_stop(&d->role);
}

/* What the dialer takes, and in which of its phases. */
static const struct handler dialer_handlers[] = {
	{ MSG_PEER, PHASE_SETUP | PHASE_READY, dialer_peer },
	{ MSG_DIAL, PHASE_READY, dialer_dial },
	{ MSG_DRAIN, PHASE_READY, dialer_drain },
};

static void
dialer_closed(void *ctx, struct channel *ch, const char *why)
{
	struct dialer *d = ctx;

	(void)why;
	if (ch == d->queue)
		d->queue = NULL; /* the master sends another */
}

int
dialer_run(int parent_fd)
{
	struct dialer d = { 0 };
	struct msg_ready ready;

	role_init(&d.role, ROLE_DIALER, parent_fd, dialer_handlers,
	    NELEM(dialer_handlers), &d, dialer_closed);
	role_setup(&d.role);
	sandbox_root(&dialer_sandbox, &d.role.start);
	sandbox_confine(&dialer_sandbox, NULL, dialer_filter,
	    NELEM(dialer_filter), &ready);
	role_loop(&d.role, &ready);
	channel_close(d.queue);
	role_clear(&d.role);
	return 0;
}
