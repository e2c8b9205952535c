/* SPDX-License-Identifier: ISC */
/* See client.h. */
#include "master/clients/client.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/util.h"
#include "common/closer.h"

/* Octets of answers kept for clients that do not read; and of one of them, who is
 * gone over it.  However many there are, the next may have half of the rest. */
#define BACKLOG_MAX       (128u * 1024 * 1024)
#define CLIENT_OCTETS_MAX (32u * 1024 * 1024)
#define CLIENT_FDS_MAX    32 /* of them with a message in memory */
/* SCM_MAX_FD of the kernel. */
#define FDS_OF_PACKET_MAX 253
/* More than a socket's queue holds. */
#define UNREAD_MAX 16384
/* Packets read before others have their turn. */
#define CLIENT_BURST 32
/* Others have their turn after so long, too. */
#define CLIENT_BURST_MS 5

struct answer {
	STAILQ_ENTRY(answer) entry;
	size_t len;
	int fd; /* ours; -1: none */
	char text[];
};

struct client {
	LIST_ENTRY(client) entry;
	const struct client_handlers *handlers;
	void *ctx;
	struct event *readable;
	struct event *writable;
	STAILQ_HEAD(, answer) backlog;
	size_t nbacklog;
	size_t octets; /* of the backlog */
	size_t nfds;   /* in the backlog */
	struct share *share;
	struct client_requests requests;
	struct request *begun;
	unsigned unanswered;
	unsigned open;
	unsigned errors; /* in a row */
	enum listener_kind kind;
	struct ucred cred;
	int fd; /* -1: closed */
	bool busy;
	bool failed;
};

static LIST_HEAD(, client) clients = LIST_HEAD_INITIALIZER(clients);

/* Of all clients, in the backlog. */
static size_t all_octets;

static size_t
answer_size(const struct answer *a)
{
	return sizeof(*a) + a->len + 1;
}

/* Takes the first answer out of the backlog. */
static void
answer_drop(struct client *c)
{
	struct answer *a = STAILQ_FIRST(&c->backlog);

	STAILQ_REMOVE_HEAD(&c->backlog, entry);
	c->nbacklog--;
	c->octets -= answer_size(a);
	all_octets -= answer_size(a);
	c->nfds -= a->fd != -1;
	fd_close(a->fd);
	free(a);
}

static bool
has_room(const struct client *c, size_t size)
{
	return size <= CLIENT_OCTETS_MAX - c->octets &&
	    c->octets + size <= (BACKLOG_MAX - all_octets) / 2;
}

/*
 * One descriptor is wanted.  There is room for all that a packet can have, so that
 * the kernel closes none of them in our name: that may take long.
 */
static int
take_fd(struct msghdr *mh, uid_t uid, bool *too_many)
{
	struct cmsghdr *c;
	int fd = -1, next;
	size_t n, i;

	for (c = CMSG_FIRSTHDR(mh); c != NULL; c = CMSG_NXTHDR(mh, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (i = 0; i < n; i++) {
			memcpy(&next, CMSG_DATA(c) + i * sizeof(int),
			    sizeof(int));
			*too_many = *too_many || fd != -1;
			closer_close(fd, uid);
			fd = next;
		}
	}
	return fd;
}

/* Octets of a packet, and its descriptor, or -1; what recvmsg() says. */
static ssize_t
receive(int sock, uid_t uid, char *text, size_t size, int *fdp, bool *too_much)
{
	union {
		struct cmsghdr align;
		uint8_t room[CMSG_SPACE(FDS_OF_PACKET_MAX * sizeof(int))];
	} control;
	struct iovec iov = { text, size };
	struct msghdr mh = { 0 };
	ssize_t n;

	*fdp = -1;
	mh.msg_iov = &iov;
	mh.msg_iovlen = 1;
	mh.msg_control = &control;
	mh.msg_controllen = sizeof(control.room);
	n = recvmsg(sock, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n == -1)
		return -1;
	*too_much = (mh.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0;
	*fdp = take_fd(&mh, uid, too_much);
	return n;
}

/* What is in packets that nobody has read would be closed with the socket.  Of a
 * user who has passed too much already it is, by the thread. */
static void
close_socket(int sock, uid_t uid)
{
	bool too_much, is_empty = false;
	char octet;
	int fd, i;

	if (sock == -1)
		return;
	(void)shutdown(sock, SHUT_RD); /* and nothing more gets in */
	for (i = 0; i < UNREAD_MAX && !is_empty && !closer_is_choked(uid);
	     i++) {
		is_empty = receive(sock, uid, &octet, sizeof(octet), &fd,
			       &too_much) <= 0 &&
		    fd == -1;
		closer_close(fd, uid);
	}
	if (is_empty)
		fd_close(sock);
	else
		closer_give(sock, uid);
}

static void
client_free(struct client *c)
{
	LIST_REMOVE(c, entry);
	while (!STAILQ_EMPTY(&c->backlog))
		answer_drop(c);
	if (c->readable != NULL)
		event_free(c->readable);
	if (c->writable != NULL)
		event_free(c->writable);
	close_socket(c->fd, c->cred.uid);
	free(c);
}

/* 1: a packet was handled; 0: none is there; -1: the client is gone. */
static int
client_take(struct client *c)
{
	static char text[CLIENT_PACKET_MAX];
	bool too_much;
	ssize_t n;
	int fd;

	n = receive(c->fd, c->cred.uid, text, sizeof(text), &fd, &too_much);
	if (n == -1)
		return errno == EAGAIN || errno == EINTR ? 0 : -1;
	if (n == 0) {
		closer_close(fd,
		    c->cred.uid); /* an empty packet, as good as an end */
		return -1;
	}
	c->handlers->packet(c->ctx, c, text, (size_t)n, too_much, fd);
	return 1;
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	int64_t until_ms = time_monotonic_ms() + CLIENT_BURST_MS;
	struct client *c = arg;
	int i, n = 1;

	(void)fd;
	(void)what;
	c->busy = true;
	for (i = 0; i < CLIENT_BURST && n == 1 && c->fd != -1 && !c->failed &&
	     (i == 0 ||
		 (event_pending(c->readable, EV_READ, NULL) &&
		     time_monotonic_ms() < until_ms));
	     i++)
		n = client_take(c);
	c->busy = false;
	if (c->fd != -1 && (n == -1 || c->failed))
		c->handlers->gone(c->ctx, c);
	else if (c->fd != -1)
		return;
	client_free(c);
}

void
client_end(struct client *c)
{
	c->failed = true;
	event_active(c->readable, EV_READ, 0);
}

static ssize_t
send_with_fd(struct client *c, const char *text, size_t len, int fd)
{
	char copy[256];
	struct iovec iov = { copy, strlcpy(copy, text, sizeof(copy)) };

	if (iov.iov_len != len || len >= sizeof(copy)) {
		errno = EMSGSIZE;
		return -1;
	}
	return fd_send(c->fd, &iov, 1, fd, MSG_DONTWAIT);
}

/* Whether the socket took it; *gone says that it never will. */
static bool
send_now(struct client *c, const char *text, size_t len, int fd, bool *gone)
{
	*gone = false;
	if ((fd == -1 ? send(c->fd, text, len, MSG_DONTWAIT | MSG_NOSIGNAL)
		      : send_with_fd(c, text, len, fd)) != -1)
		return true;
	*gone = errno != EAGAIN && errno != EINTR;
	return false;
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct client *c = arg;
	struct answer *a;
	bool gone;

	(void)fd;
	(void)what;
	while ((a = STAILQ_FIRST(&c->backlog)) != NULL) {
		if (!send_now(c, a->text, a->len, a->fd, &gone)) {
			if (gone || event_add(c->writable, NULL) == -1)
				client_end(c);
			return;
		}
		answer_drop(c);
	}
}

void
client_send(struct client *c, const char *text)
{
	client_send_fd(c, text, -1);
}

size_t
client_backlog(const struct client *c)
{
	return c->nbacklog;
}

void
client_send_fd(struct client *c, const char *text, int fd)
{
	struct answer *a;
	size_t len;
	bool gone;

	if (c->fd == -1 || c->failed)
		return;
	if (text == NULL) {
		client_end(c);
		return;
	}
	len = strlen(text);
	if (c->nbacklog == 0 && send_now(c, text, len, fd, &gone))
		return;
	a = has_room(c, sizeof(*a) + len + 1) &&
		(fd == -1 || c->nfds < CLIENT_FDS_MAX)
	    ? malloc(sizeof(*a) + len + 1)
	    : NULL;
	if (a == NULL) {
		client_end(c);
		return;
	}
	a->fd = fd != -1 ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
	if (fd != -1 && a->fd == -1) {
		free(a);
		client_end(c);
		return;
	}
	a->len = len;
	memcpy(a->text, text, len + 1);
	STAILQ_INSERT_TAIL(&c->backlog, a, entry);
	c->nbacklog++;
	c->octets += answer_size(a);
	all_octets += answer_size(a);
	c->nfds += fd != -1;
	if (event_add(c->writable, NULL) == -1)
		client_end(c);
}

void
client_pause(struct client *c, bool pause)
{
	if (c->fd == -1)
		return;
	if (pause)
		event_del(c->readable);
	else if (event_add(c->readable, NULL) == -1)
		client_end(c);
}

struct client *
client_new(struct event_base *base, int fd, enum listener_kind kind,
    const struct client_handlers *handlers, void *ctx)
{
	struct client *c;
	socklen_t len = sizeof(c->cred);

	c = calloc(1, sizeof(*c));
	if (c == NULL) {
		fd_close(fd);
		return NULL;
	}
	STAILQ_INIT(&c->backlog);
	LIST_INSERT_HEAD(&clients, c, entry);
	c->fd = fd;
	c->kind = kind;
	c->handlers = handlers;
	c->ctx = ctx;
	c->readable = event_new(base, fd, EV_READ | EV_PERSIST, on_readable, c);
	c->writable = event_new(base, fd, EV_WRITE, on_writable, c);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &c->cred, &len) == -1 ||
	    c->readable == NULL || c->writable == NULL ||
	    event_add(c->readable, NULL) == -1) {
		client_free(c);
		return NULL;
	}
	return c;
}

void
client_close(struct client *c)
{
	if (!c->busy) {
		client_free(c);
		return;
	}
	event_del(c->readable);
	event_del(c->writable);
	close_socket(c->fd, c->cred.uid);
	c->fd = -1;
}

void
client_hand_on(struct client *c)
{
	/* Before it is closed: the loop would see to what another has of it. */
	event_del(c->readable);
	event_del(c->writable);
	fd_close(c->fd); /* not shut: nothing ends with our copy */
	c->fd = -1;
	if (!c->busy)
		client_free(c);
}

struct client *
client_next(const struct client *c)
{
	return c == NULL ? LIST_FIRST(&clients) : LIST_NEXT(c, entry);
}

bool
client_is_idle(const struct client *c)
{
	return c->fd != -1 && !c->failed && !c->busy && c->nbacklog == 0 &&
	    c->open == 0 && c->begun == NULL;
}

int
client_fd(const struct client *c)
{
	return c->fd;
}

enum listener_kind
client_kind(const struct client *c)
{
	return c->kind;
}

uid_t
client_uid(const struct client *c)
{
	return c->cred.uid;
}

pid_t
client_pid(const struct client *c)
{
	return c->cred.pid;
}

struct share **
client_share(struct client *c)
{
	return &c->share;
}

struct request **
client_begun(struct client *c)
{
	return &c->begun;
}

struct client_requests *
client_requests(struct client *c)
{
	return &c->requests;
}

unsigned *
client_unanswered(struct client *c)
{
	return &c->unanswered;
}

unsigned *
client_errors(struct client *c)
{
	return &c->errors;
}

unsigned *
client_open(struct client *c)
{
	return &c->open;
}
