/* SPDX-License-Identifier: ISC */
/*
 * The dialer: makes a socket, starts to connect it, and hands it to the worker
 * that waits for it.  It never reads or writes what it connected, and keeps no
 * connection; whether a connect succeeds is the worker's to find out.
 *
 * It connects to the ports and the Unix sockets of the configuration alone: that is
 * checked here, by Landlock where the kernel knows of ports, and by a root that has
 * no other folders.  As walls do not move, a configuration with others is for
 * another dialer.
 */
#include <sys/socket.h>
#include <sys/un.h>

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/filter.h"
#include "common/log.h"
#include "common/role.h"
#include "common/sandbox.h"
#include "common/util.h"
#include "master/config.h"

/* The tail of MSG_REACH. */
#define REACH_SIZE                                                             \
	(CONFIG_TRANSPORTS_MAX * (sizeof(uint16_t) + MSG_PATH_SIZE))

enum {
	/* So long it lives at least before it looks for folders anew. */
	DIALER_LOOK_AGAIN_MS = 5000,
};

/* What the configuration has transports connect to. */
struct reach {
	size_t len; /* of the tail */
	size_t nports;
	size_t npaths;
	_Alignas(8) uint8_t tail[REACH_SIZE]; /* of MSG_REACH */
	const char *paths[CONFIG_TRANSPORTS_MAX];
	char folders[CONFIG_TRANSPORTS_MAX][MSG_PATH_SIZE];
	const char *shown[CONFIG_TRANSPORTS_MAX]; /* each folder once */
	size_t nshown;
};

struct dialer {
	struct role role;
	struct channel *queue; /* NULL until PEER */
	struct reach reach;
	int64_t started_ms;
	bool has_root; /* of its own: folders as they were at its start */
};

union address {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	struct sockaddr_un un;
};

static const struct filter_rule dialer_filter[] = {
#include "master/dialer/dialer_filter.def"
};

static const uint16_t *
reach_ports(const struct reach *r)
{
	return (const uint16_t *)(const void *)r->tail;
}

/* The folder of a socket, once. */
static void
reach_add_folder(struct reach *r, const char *path)
{
	char *folder = r->folders[r->nshown];
	const char *end = strrchr(path, '/');
	size_t i;

	if (end == NULL || end == path)
		return;
	(void)strlcpy(folder, path, (size_t)(end - path) + 1);
	for (i = 0; i < r->nshown; i++)
		if (strcmp(r->shown[i], folder) == 0)
			return;
	r->shown[r->nshown++] = folder;
}

/* Of the master, and well-formed; false where it is of other ports or paths. */
static bool
reach_take(struct reach *r, const struct message *m)
{
	const struct msg_reach *msg = m->payload;
	struct message own = *m;
	const char *path;
	size_t at;

	if (r->len > 0 || r->nports > 0)
		return r->nports == msg->nports && r->len == m->tail_len &&
		    memcmp(r->tail, m->tail, m->tail_len) == 0;
	memcpy(r->tail, m->tail, m->tail_len);
	r->len = m->tail_len;
	r->nports = msg->nports;
	at = r->nports * sizeof(uint16_t);
	own.tail = r->tail;
	while (r->npaths < NELEM(r->paths) &&
	    (path = message_tail_next(&own, &at)) != NULL) {
		r->paths[r->npaths++] = path;
		reach_add_folder(r, path);
	}
	return true;
}

static bool
reach_has(const struct reach *r, const struct msg_dial *dial)
{
	size_t i;

	if (dial->family == AF_UNIX) {
		for (i = 0; i < r->npaths; i++)
			if (strcmp(r->paths[i], dial->path) == 0)
				return true;
		return false;
	}
	for (i = 0; i < r->nports; i++)
		if (reach_ports(r)[i] == dial->port)
			return true;
	return false;
}

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
	struct dialer *d = ctx;
	int fd = -1, error = EPERM;

	(void)from;
	if (!message_string_ok(dial->path, sizeof(dial->path)) ||
	    !reach_has(&d->reach, dial)) {
		log_line(LOG_ERROR,
		    "a dial to port %u or a socket that no transport has: "
		    "refused",
		    dial->port);
	} else {
		fd = start_connect(dial);
		error = errno;
	}
	/* Its folder may have been made anew since we looked: the queue asks the
	 * next dialer. */
	if (fd == -1 && error == ENOENT && d->has_root &&
	    time_monotonic_ms() >= d->started_ms + DIALER_LOOK_AGAIN_MS)
		role_stop(&d->role);
	else
		answer(m->fd, dial, fd, error);
	fd_close(fd);
	fd_close(m->fd);
}

static void
dialer_reach(void *ctx, struct channel *from, const struct message *m)
{
	struct dialer *d = ctx;

	(void)from;
	if (!reach_take(&d->reach, m))
		role_stop(&d->role);
}

static void
dialer_peer(void *ctx, struct channel *from, const struct message *m)
{
	struct dialer *d = ctx;

	(void)from;
	channel_close(d->queue);
	d->queue = role_take_peer(&d->role, m->fd, ROLE_QUEUE, NULL);
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
	{ MSG_REACH, PHASE_SETUP | PHASE_READY, dialer_reach },
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
	static struct dialer d;
	struct landlock_ports ports = { .binds = true };
	struct sandbox box = { .ports = &ports };
	struct msg_ready ready;

	role_init(&d.role, ROLE_DIALER, parent_fd, dialer_handlers,
	    NELEM(dialer_handlers), &d, dialer_closed);
	role_setup(&d.role);
	ports.ports = reach_ports(&d.reach);
	ports.n = d.reach.nports;
	box.folders = d.reach.shown;
	box.nfolders = d.reach.nshown;
	d.started_ms = time_monotonic_ms();
	d.has_root = (d.role.start.namespaces & CLONE_NEWNS) != 0;
	sandbox_root(&box, &d.role.start);
	sandbox_confine(&box, NULL, dialer_filter,
	    NELEM(dialer_filter) - (d.reach.npaths == 0), &ready);
	role_loop(&d.role, &ready);
	channel_close(d.queue);
	role_clear(&d.role);
	return 0;
}
