/* SPDX-License-Identifier: ISC */
/* Loop, channels and dispatch.  What a message does stands with each role. */
#include "common/role.h"

#include <sys/queue.h>
#include <sys/socket.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/closer.h"
#include "common/log.h"
#include "common/sort.h"
#include "common/util.h"

/* Packets handled before other descriptors have their turn. */
#define CHANNEL_BURST 64
/* Others have their turn after so long, too. */
#define CHANNEL_BURST_MS 5
/* Packets kept for a slow reader; over it the reader is given up. */
#define CHANNEL_BACKLOG_MAX 65536
/* How often a role asks for another log sink, at most. */
#define LOG_REOPEN_MS 1000

struct packet {
	STAILQ_ENTRY(packet) entry;
	int fd; /* a copy, or -1 */
	enum msg_type type;
	size_t tail_len;
	uint8_t octets[]; /* payload and tail */
};

/* A message of the master's that waits for the walls. */
struct kept {
	struct kept *next;
	const struct handler *handler;
	struct message m;
	_Alignas(8) uint8_t octets[]; /* payload and tail */
};

struct channel {
	struct role *role;
	struct event *readable;
	struct event *writable;
	void *arg;
	STAILQ_HEAD(, packet) backlog;
	size_t nbacklog;
	size_t brake; /* so many wait: nothing is read; 0: there is none */
	int fd;       /* -1: closed */
	unsigned peer;
	bool busy; /* inside channel_read */
	bool braked;
	const char *why; /* we gave it up; the owner is to hear so */
};

static void
packet_free(struct packet *p)
{
	if (p == NULL)
		return;
	closer_close(p->fd, CLOSER_ROLES);
	if (p->type == MSG_LOGIN)
		explicit_bzero(p->octets,
		    msg_descs[p->type].size + p->tail_len);
	free(p);
}

/* What nobody read of it ends too: from who holds descriptors of strangers, by a
 * thread. */
static void
socket_close(int fd, unsigned peer)
{
	if ((peer & ROLE_FRONTS) != 0)
		closer_give(fd, CLOSER_ROLES);
	else
		fd_close(fd);
}

static void
channel_free(struct channel *ch)
{
	struct packet *p;

	while ((p = STAILQ_FIRST(&ch->backlog)) != NULL) {
		STAILQ_REMOVE_HEAD(&ch->backlog, entry);
		packet_free(p);
	}
	if (ch->readable != NULL)
		event_free(ch->readable);
	if (ch->writable != NULL)
		event_free(ch->writable);
	socket_close(ch->fd, ch->peer);
	free(ch);
}

/* The other end is gone or broke a rule: tell the owner, and free. */
static void
channel_end(struct channel *ch, const char *why)
{
	struct role *role = ch->role;

	if (ch == role->parent) {
		if (why != NULL)
			log_line(LOG_ERROR, "the master's channel: %s", why);
		role->parent = NULL;
		event_base_loopbreak(role->base);
	} else if (role->closed != NULL) {
		role->closed(role->ctx, ch, why);
	}
	/* The queue broke a rule, or we could not reach it, and we cannot judge
	 * it: one of us is not what it should be.  A new one of us starts with
	 * new channels. */
	if (why != NULL && channel_peer(ch) == ROLE_QUEUE &&
	    role->self != ROLE_MASTER)
		role_stop(role);
	channel_free(ch);
}

static void
handle_log_sink(struct role *role, const struct message *m)
{
	const struct msg_log_sink *s = m->payload;
	char name[sizeof(s->name)];

	strlcpy(name, s->name, sizeof(name)); /* the master's: trusted */
	if (dup3(m->fd, STDERR_FILENO, O_CLOEXEC) != -1)
		log_open(name, role_name(role->self), s->syslog,
		    (enum log_format)s->format);
	log_set_leveled(s->leveled != 0);
	log_set_facility(s->facility);
	log_set_least(s->least);
	close(m->fd);
}

static void
handle_ping(struct role *role, const struct message *m)
{
	const struct msg_ping *ping = m->payload;
	struct msg_pong pong;

	memset(&pong, 0, sizeof(pong));
	pong.serial = ping->serial;
	if (role->vital != NULL)
		role->vital(role->ctx, &pong);
	(void)channel_send(role->parent, MSG_PONG, &pong, NULL, 0, -1);
}

static void
keep(struct role *role, const struct handler *h, const struct message *m)
{
	size_t size = msg_descs[m->type].size;
	struct kept *kept, **last;

	kept = calloc(1, sizeof(*kept) + size + m->tail_len);
	if (kept == NULL)
		fatal("no memory");
	kept->handler = h;
	kept->m = *m;
	kept->m.payload = kept->octets;
	kept->m.tail = kept->octets + size;
	memcpy(kept->octets, m->payload, size);
	if (m->tail_len > 0)
		memcpy(kept->octets + size, m->tail, m->tail_len);
	for (last = &role->kept; *last != NULL; last = &(*last)->next)
		;
	*last = kept;
}

void
role_settle(struct role *role)
{
	struct kept *kept;

	role->phase = PHASE_CONFINED;
	while ((kept = role->kept) != NULL) {
		role->kept = kept->next;
		kept->handler->handle(role->ctx, role->parent, &kept->m);
		free(kept);
	}
	role->phase = PHASE_READY;
}

/* NULL, or the rule that m broke. */
static const char *
dispatch(struct channel *ch, const struct message *m)
{
	struct role *role = ch->role;
	const struct handler *h;
	size_t i;

	if (m->type == MSG_LOG_SINK) {
		handle_log_sink(role, m);
		return NULL;
	}
	if (m->type == MSG_PING && role->phase != PHASE_SETUP) {
		handle_ping(role, m);
		return NULL;
	}
	if (m->type == MSG_START && role->phase == PHASE_SETUP) {
		memcpy(&role->start, m->payload, sizeof(role->start));
		log_set_pid((int)role->start.pid);
		role->phase = PHASE_READY;
		return NULL;
	}
	for (i = 0; i < role->nhandlers; i++) {
		h = &role->handlers[i];
		if (h->type == m->type && role->phase == PHASE_SETUP &&
		    (h->phases & PHASE_CONFINED) != 0) {
			keep(role, h, m);
			return NULL;
		}
		if (h->type == m->type && (h->phases & role->phase) != 0) {
			h->handle(role->ctx, ch, m);
			return NULL;
		}
	}
	closer_close(m->fd, CLOSER_ROLES);
	return "a message out of phase";
}

/*
 * 1: one packet was handled; 0: none is there; -1: the channel is over.
 *
 * A peer that closes with packets of ours unread leaves ECONNRESET, which
 * comes once and before what it sent itself: that is still to be read.
 */
static int
channel_take(struct channel *ch, int flags, const char **why)
{
	struct message m;
	int n;

	do {
		n = message_receive(ch->fd, ch->role->packet, ch->peer,
		    ch->role->self, flags, &m, why);
	} while (n == -1 && (errno == EINTR || errno == ECONNRESET));
	if (n == -1 && errno == EAGAIN)
		return 0;
	if (n != 1)
		return -1;
	*why = dispatch(ch, &m);
	if (*why == NULL)
		return 1;
	log_line(LOG_ERROR, "%s sent %s: %s", role_name(ch->peer),
	    msg_descs[m.type].name, *why);
	return -1;
}

/* Who asks faster than it reads the answers waits with its questions. */
static void
channel_brake(struct channel *ch)
{
	if (ch->brake == 0 || ch->braked || ch->nbacklog < ch->brake)
		return;
	ch->braked = true;
	event_del(ch->readable);
}

static void channel_fail(struct channel *ch, int error);

static void
channel_release(struct channel *ch)
{
	if (!ch->braked)
		return;
	ch->braked = false;
	if (event_add(ch->readable, NULL) == -1)
		channel_fail(ch, errno);
}

/* Handles up to `most` packets; may end and free the channel. */
static void
channel_read(struct channel *ch, int most)
{
	int64_t until_ms = time_monotonic_ms() + CHANNEL_BURST_MS;
	const char *why = NULL;
	int i, n = 1;

	ch->busy = true;
	for (i = 0; i < most && n == 1 && ch->fd != -1 && ch->why == NULL &&
	     !ch->braked && (i == 0 || time_monotonic_ms() < until_ms);
	     i++)
		n = channel_take(ch, MSG_DONTWAIT, &why);
	ch->busy = false;
	if (ch->fd == -1)
		channel_free(ch); /* closed by a handler */
	else if (n == -1 || ch->why != NULL)
		channel_end(ch, why != NULL ? why : ch->why);
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	channel_read(arg, CHANNEL_BURST);
}

/*
 * Makes the reader run, and so the owner hear `closed`.  The other end lives
 * and knows nothing of it: with a reason, as for a rule that was broken, one of
 * the two is ended, and its next life brings new channels.
 */
static void
channel_fail(struct channel *ch, int error)
{
	ch->why = error == ENOBUFS ? "too far behind with reading"
				   : "a message could not be sent";
	event_active(ch->readable, EV_READ, 0);
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct channel *ch = arg;
	struct packet *p;
	const uint8_t *tail;

	(void)what;
	while ((p = STAILQ_FIRST(&ch->backlog)) != NULL) {
		tail = p->octets + msg_descs[p->type].size;
		if (message_send(fd, p->type, p->octets, tail, p->tail_len,
			p->fd, MSG_DONTWAIT) == -1) {
			if (errno == EAGAIN || errno == ETOOMANYREFS) {
				if (event_add(ch->writable, NULL) == -1)
					channel_fail(ch, errno);
			} else if (errno != EPIPE && errno != ECONNRESET)
				channel_fail(ch, errno);
			else /* the reader meets its end by itself */
				channel_release(ch);
			return;
		}
		STAILQ_REMOVE_HEAD(&ch->backlog, entry);
		ch->nbacklog--;
		packet_free(p);
	}
	channel_release(ch);
	if (ch->role->drained != NULL)
		ch->role->drained(ch->role->ctx, ch);
}

/* Keeps a packet that the socket does not take now. */
static int
channel_keep(struct channel *ch, enum msg_type type, const void *payload,
    const void *tail, size_t tail_len, int fd)
{
	size_t size = msg_descs[type].size;
	struct packet *p = NULL;

	if (ch->nbacklog >= CHANNEL_BACKLOG_MAX) {
		errno = ENOBUFS;
		return -1;
	}
	p = calloc(1, sizeof(*p) + size + tail_len);
	if (p == NULL)
		return -1;
	p->type = type;
	p->tail_len = tail_len;
	memcpy(p->octets, payload, size);
	if (tail_len > 0)
		memcpy(p->octets + size, tail, tail_len);
	p->fd = -1;
	if (fd != -1 && (p->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0)) == -1) {
		free(p);
		return -1;
	}
	if (event_add(ch->writable, NULL) == -1) {
		packet_free(p);
		errno = ENOMEM;
		return -1;
	}
	STAILQ_INSERT_TAIL(&ch->backlog, p, entry);
	ch->nbacklog++;
	channel_brake(ch);
	return 0;
}

int
channel_send(struct channel *ch, enum msg_type type, const void *payload,
    const void *tail, size_t tail_len, int fd)
{
	int ret = -1;

	if (ch->fd == -1 || ch->why != NULL) {
		errno = EPIPE;
		return -1;
	}
	errno = EAGAIN;
	if (ch->nbacklog == 0)
		ret = message_send(ch->fd, type, payload, tail, tail_len, fd,
		    MSG_DONTWAIT);
	if (ret == -1 && (errno == EAGAIN || errno == ETOOMANYREFS))
		ret = channel_keep(ch, type, payload, tail, tail_len, fd);
	if (ret == -1 && errno != EPIPE && errno != ECONNRESET)
		channel_fail(ch,
		    errno); /* else what it sent is still to be read */
	return ret;
}

struct channel *
channel_new(struct role *role, int fd, unsigned peer, void *arg)
{
	struct channel *ch;

	ch = calloc(1, sizeof(*ch));
	if (ch == NULL) {
		fd_close(fd);
		return NULL;
	}
	STAILQ_INIT(&ch->backlog);
	ch->role = role;
	ch->fd = fd;
	ch->peer = peer;
	ch->arg = arg;
	ch->readable =
	    event_new(role->base, fd, EV_READ | EV_PERSIST, on_readable, ch);
	ch->writable = event_new(role->base, fd, EV_WRITE, on_writable, ch);
	if (ch->readable == NULL || ch->writable == NULL ||
	    event_add(ch->readable, NULL) == -1) {
		channel_free(ch);
		return NULL;
	}
	return ch;
}

void
role_lose_peer(struct role *role, unsigned peer)
{
	if (role->phase == PHASE_SETUP)
		fatal("channel to the %s: %s", role_name(peer),
		    strerror(errno));
	log_line(LOG_ERROR, "channel to the %s: %s: this process starts anew",
	    role_name(peer), strerror(errno));
	role_stop(role);
}

struct channel *
role_take_peer(struct role *role, int fd, unsigned peer, void *arg)
{
	struct channel *ch = channel_new(role, fd, peer, arg);

	if (ch == NULL)
		role_lose_peer(role, peer);
	return ch;
}

void
channel_close(struct channel *ch)
{
	if (ch == NULL)
		return;
	if (!ch->busy) {
		channel_free(ch);
		return;
	}
	event_del(ch->readable);
	event_del(ch->writable);
	socket_close(ch->fd, ch->peer);
	ch->fd = -1;
}

void
channel_set_brake(struct channel *ch, size_t brake)
{
	ch->brake = brake;
}

size_t
channel_backlog(const struct channel *ch)
{
	return ch->nbacklog;
}

unsigned
channel_peer(const struct channel *ch)
{
	return ch->peer;
}

void *
channel_arg(const struct channel *ch)
{
	return ch->arg;
}

void
role_init(struct role *role, unsigned self, int parent_fd,
    const struct handler *handlers, size_t nhandlers, void *ctx,
    void (*closed)(void *, struct channel *, const char *))
{
	memset(role, 0, sizeof(*role));
	role->self = self;
	role->phase = PHASE_SETUP;
	role->handlers = handlers;
	role->nhandlers = nhandlers;
	role->ctx = ctx;
	role->closed = closed;
	tzset(); /* opens its file now: behind the filter it may not */
	sort_warm_up();
	log_open("postern", role_name(self), false, LOG_TEXT);
	role->base = event_base_new();
	role->packet = aligned_alloc(64, MSG_PACKET_SIZE);
	if (role->base == NULL || role->packet == NULL)
		fatal("cannot start: %s", strerror(errno));
	if (parent_fd == -1)
		return; /* the master */
	role->parent = channel_new(role, parent_fd, ROLE_MASTER, NULL);
	if (role->parent == NULL)
		fatal("channel to the master: %s", strerror(errno));
}

void
role_setup(struct role *role)
{
	const char *why = NULL;

	while (role->phase == PHASE_SETUP) {
		if (channel_take(role->parent, 0, &why) != 1)
			fatal("the master's messages end before START%s%s",
			    why != NULL ? ": " : "", why != NULL ? why : "");
	}
}

/* The log's other end went away: the master, who may open files, finds it. */
static void
ask_for_log_sink(struct role *role)
{
	const struct msg_none none = { 0 };
	int64_t now_ms;

	if (!log_is_lost() || role->parent == NULL)
		return;
	now_ms = time_monotonic_ms();
	if (now_ms < role->log_asked_ms + LOG_REOPEN_MS)
		return; /* a later turn asks */
	role->log_asked_ms = now_ms;
	(void)channel_send(role->parent, MSG_LOG_REOPEN, &none, NULL, 0, -1);
}

void
role_loop(struct role *role, const struct msg_ready *ready)
{
	(void)channel_send(role->parent, MSG_READY, ready, NULL, 0, -1);
	while (role->parent != NULL &&
	    event_base_loop(role->base, EVLOOP_ONCE) == 0 &&
	    !event_base_got_break(role->base))
		ask_for_log_sink(role);
}

void
role_stop(struct role *role)
{
	event_base_loopbreak(role->base);
}

void
role_clear(struct role *role)
{
	if (role->parent != NULL)
		channel_free(role->parent);
	if (role->base != NULL)
		event_base_free(role->base);
	free(role->packet);
	memset(role, 0, sizeof(*role));
}
