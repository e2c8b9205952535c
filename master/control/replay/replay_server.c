/* SPDX-License-Identifier: ISC */
/*
 * See replay_plan.h: the server itself.  A client's commands and messages are units,
 * counted; each piece of what was said waits for as many as it answers, though
 * for no more than had been sent then.
 */
#include "master/control/replay/replay_plan.h"

#include <sys/socket.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "common/util.h"

enum {
	READ_SIZE = 1024, /* little: a client that is stuck is to be stuck */
	SOFT_MS = 100,
	ACCEPTED_MS = 50, /* till a client knows that it is connected */
	SMALL_BUFFER = 4096,
	APART_MAX = 32, /* pieces in a row that are kept apart by a pause */
	FILLERS = 4,
};

enum client_mode {
	CLIENT_LINES,
	CLIENT_DOT,   /* a message, to its dot */
	CLIENT_COUNT, /* a chunk, of so many octets */
	CLIENT_TLS,   /* whatever it is */
};

/* One connection that is played. */
struct show {
	const struct replay_plan *p;
	int fd;
	enum client_mode mode;
	bool gone;
	size_t units;     /* of the client, so far */
	size_t datas;     /* DATA commands */
	uint64_t left;    /* of a chunk */
	unsigned matched; /* of CR LF . CR LF */
	size_t line_len;
	char line[64];    /* its begin is enough */
	size_t sent;      /* units that the client had sent, up to here */
	size_t said;      /* replies that had begun */
	bool line_begins; /* of what was said */
	bool reply_begins;
	unsigned column;
	unsigned apart;
};

static bool
is_unit(const struct replay_script_event *e)
{
	return e->kind == SCRIPT_SENT || e->kind == SCRIPT_SECRET ||
	    e->kind == SCRIPT_END;
}

static bool
is_command(const struct replay_plan *p, const struct replay_script_event *e,
    const char *verb)
{
	return e->kind == SCRIPT_SENT && e->len >= strlen(verb) &&
	    strncasecmp((const char *)p->script->octets + e->at, verb,
		strlen(verb)) == 0;
}

/* What the client sends. */

/* Whether a message came behind the n-th DATA. */
static bool
data_had_body(const struct replay_plan *p, size_t n)
{
	bool in_it = false;

	for (size_t i = 0; i < p->n; i++) {
		const struct replay_script_event *e = &p->events[i];

		if (e->kind == SCRIPT_SENT) {
			in_it = is_command(p, e, "DATA") && n-- == 0;
		} else if (in_it &&
		    (e->kind == SCRIPT_BODY || e->kind == SCRIPT_END)) {
			return true;
		}
	}
	return false;
}

/*
 * An RSET that was not said then: of the messages between those that failed,
 * and of what was said behind each, the transcript has nothing.
 */
static bool
is_rset_of_its_own(const struct show *w)
{
	size_t units = w->units;

	if (strcasecmp(w->line, "RSET\r") != 0)
		return false;
	for (size_t i = 0; i < w->p->n; i++)
		if (is_unit(&w->p->events[i]) && units-- == 0)
			return !is_command(w->p, &w->p->events[i], "RSET");
	return true;
}

static void
end_line(struct show *w)
{
	static const char ok[] = "250 2.0.0 ok\r\n";

	w->line[w->line_len] = '\0';
	w->line_len = 0;
	if (is_rset_of_its_own(w)) {
		if (send(w->fd, ok, sizeof(ok) - 1, MSG_NOSIGNAL) == -1)
			w->gone = true;
		return;
	}
	w->units++;
	if (strncasecmp(w->line, "DATA", 4) == 0 &&
	    data_had_body(w->p, w->datas++)) {
		w->mode = CLIENT_DOT;
		w->matched = 2; /* a line begins */
	} else if (strncasecmp(w->line, "BDAT ", 5) == 0) {
		w->left = strtoull(w->line + 5, NULL, 10);
		w->mode = w->left > 0 ? CLIENT_COUNT : CLIENT_LINES;
	}
}

static void
match_dot(struct show *w, char c)
{
	static const char end[] = "\r\n.\r\n";

	if (c == end[w->matched])
		w->matched++;
	else
		w->matched = c == '\r';
	if (w->matched < sizeof(end) - 1)
		return;
	w->units++;
	w->mode = CLIENT_LINES;
}

static void
take(struct show *w, const char *in, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		switch (w->mode) {
		case CLIENT_LINES:
			if (in[i] == '\n')
				end_line(w);
			else if (w->line_len + 1 < sizeof(w->line))
				w->line[w->line_len++] = in[i];
			break;
		case CLIENT_DOT:
			match_dot(w, in[i]);
			break;
		case CLIENT_COUNT:
			if (--w->left == 0)
				w->mode = CLIENT_LINES;
			break;
		case CLIENT_TLS:
			break;
		}
	}
}

/* Something of the client, within that time; false where nothing came. */
static bool
read_some(struct show *w, int timeout_ms, size_t most)
{
	struct pollfd pfd = { w->fd, POLLIN, 0 };
	char in[READ_SIZE];
	ssize_t n;

	if (poll(&pfd, 1, timeout_ms) != 1)
		return false;
	n = recv(w->fd, in, most < sizeof(in) ? most : sizeof(in), 0);
	if (n <= 0)
		w->gone = true;
	else
		take(w, in, (size_t)n);
	return n > 0;
}

static void
await_units(struct show *w, size_t units)
{
	while (!w->gone && w->units < units)
		(void)read_some(w, -1, SIZE_MAX);
}

static void
await_octet(struct show *w)
{
	struct pollfd pfd = { w->fd, POLLIN | POLLRDHUP, 0 };

	(void)poll(&pfd, 1, -1);
}

/* What the server does. */

static void
sleep_ms(uint32_t ms)
{
	struct pollfd none = { -1, 0, 0 };

	if (ms > 0)
		(void)poll(&none, 1, (int)ms);
}

/* As long as it took after whatever was before. */
static void
wait_as_then(struct show *w, size_t i)
{
	const struct replay_script_event *e = &w->p->events[i];

	if (i == 0 || e->kind != e[-1].kind)
		w->apart = 0;
	if (i > 0 && e->time_ms > e[-1].time_ms)
		sleep_ms(e->time_ms - e[-1].time_ms);
	else if (i > 0 && e->kind == e[-1].kind && w->apart++ < APART_MAX)
		sleep_ms(1); /* it was a read of its own */
}

static void
send_octets(struct show *w, const struct replay_script_event *e)
{
	const uint8_t *octets = w->p->script->octets + e->at;
	size_t done = 0;
	ssize_t n;

	while (done < e->len && !w->gone) {
		n = send(w->fd, octets + done, e->len - done, MSG_NOSIGNAL);
		if (n == -1 && errno != EINTR)
			w->gone = true;
		else if (n > 0)
			done += (size_t)n;
	}
}

/* Counts the replies that begin in it. */
static void
count_replies(struct show *w, const struct replay_script_event *e)
{
	const uint8_t *octets = w->p->script->octets + e->at;

	for (size_t i = 0; i < e->len; i++) {
		if (w->line_begins && w->reply_begins) {
			w->said++;
			w->reply_begins = false;
		}
		if (w->line_begins)
			w->column = 0;
		w->line_begins = octets[i] == '\n';
		if (++w->column == 4)
			w->reply_begins = octets[i] != '-';
		else if (w->line_begins && w->column < 4)
			w->reply_begins = true;
	}
}

static size_t
least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Whether the message at event i was left behind, unended. */
static bool
is_cut_body(const struct replay_plan *p, size_t i)
{
	size_t at = i;

	while (i < p->n && p->events[i].kind == SCRIPT_BODY)
		i++;
	if (i < p->n && p->events[i].kind == SCRIPT_END)
		return false;
	while (at > 0 && p->events[at].kind != SCRIPT_SENT)
		at--;
	return !is_command(p, &p->events[at], "BDAT");
}

/* At the pace of then; what came first only filled what lies between. */
static void
sip_body(struct show *w, size_t i)
{
	const struct replay_script_event *e = &w->p->events[i];
	uint64_t left = e->number;
	size_t before;

	if (!is_cut_body(w->p, i))
		return;
	if (i == 0 || e[-1].kind != SCRIPT_BODY || !w->p->is_paced) {
		await_octet(w);
		return;
	}
	wait_as_then(w, i);
	while (left > 0 && !w->gone) {
		before = left < READ_SIZE ? (size_t)left : READ_SIZE;
		if (!read_some(w, SOFT_MS, before))
			break;
		left -= before;
	}
}

static void
say(struct show *w, size_t i)
{
	const struct replay_script_event *e = &w->p->events[i];

	count_replies(w, e);
	await_units(w, least(w->sent, w->said > 0 ? w->said - 1 : 0));
	wait_as_then(w, i);
	send_octets(w, e);
}

/* A command stood unanswered, perhaps, and others with it. */
static void
await_the_end(struct show *w, size_t i)
{
	if (w->sent == 0 && w->said == 0 && !w->p->races)
		sleep_ms(ACCEPTED_MS);
	if (w->mode != CLIENT_TLS && !w->p->stalls) {
		await_units(w, least(w->sent, w->said));
		while (!w->gone && w->units < w->sent &&
		    read_some(w, SOFT_MS, SIZE_MAX))
			;
	}
	wait_as_then(w, i);
}

static void
break_off(struct show *w)
{
	struct linger linger = { 1, 0 };

	(void)setsockopt(w->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	w->gone = true; /* the close to come resets */
}

/* Until the client closes. */
static void
see_off(struct show *w)
{
	struct pollfd pfd = { w->fd, POLLRDHUP, 0 };

	if (w->p->stalls && !w->gone)
		(void)poll(&pfd, 1, -1);
	while (!w->gone)
		(void)read_some(w, -1, SIZE_MAX);
}

static void
play_event(struct show *w, size_t i)
{
	const struct replay_script_event *e = &w->p->events[i];

	w->sent += is_unit(e);
	switch (e->kind) {
	case SCRIPT_RECEIVED:
		say(w, i);
		break;
	case SCRIPT_BODY:
		sip_body(w, i);
		break;
	case SCRIPT_TLS:
		await_units(w, w->sent);
		w->mode = CLIENT_TLS;
		await_octet(w);
		break;
	case SCRIPT_SHAKE:
		wait_as_then(w, i);
		send_octets(w, e);
		break;
	case SCRIPT_CLOSED:
		await_the_end(w, i);
		(void)shutdown(w->fd, SHUT_WR);
		break;
	case SCRIPT_FAILED:
	case SCRIPT_LOST:
		await_the_end(w, i);
		break_off(w);
		break;
	case SCRIPT_ADDRESS:
	case SCRIPT_CONNECTED:
	case SCRIPT_SENT:
	case SCRIPT_SECRET:
	case SCRIPT_JOB:
	case SCRIPT_END:
	case SCRIPT_TLS_UP:
	case SCRIPT_TLS_FAILED:
	case SCRIPT_TIMEOUT:
	case SCRIPT_VERDICT:
	case SCRIPT_LEFT_OUT:
	case SCRIPT_KINDS:
		break;
	}
}

static void
play_connection(const struct replay_plan *p, int fd)
{
	struct show w = { .p = p,
		.fd = fd,
		.line_begins = true,
		.reply_begins = true };
	int one = 1;

	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	for (size_t i = 0; i < p->n && !w.gone; i++)
		play_event(&w, i);
	see_off(&w);
	fd_close(fd);
}

/* Listening. */

/* Connections that nobody takes fill the backlog: the next one waits. */
static void
fill_backlog(const struct sockaddr *sa, socklen_t len)
{
	for (int i = 0; i < FILLERS; i++) {
		int fd = socket(sa->sa_family,
		    SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

		if (fd != -1)
			(void)connect(fd, sa, len); /* ours till we end */
	}
}

static socklen_t
make_address(const char *address, uint16_t port, struct sockaddr_storage *ss)
{
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ss;
	struct sockaddr_in *in = (struct sockaddr_in *)ss;

	memset(ss, 0, sizeof(*ss));
	if (inet_pton(AF_INET, address, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		in->sin_port = htons(port);
		return sizeof(*in);
	}
	if (inet_pton(AF_INET6, address, &in6->sin6_addr) == 1) {
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(port);
		return sizeof(*in6);
	}
	errno = EINVAL;
	return 0;
}

int
replay_server_listen(const struct replay_plan *p, const char *address,
    uint16_t port, uint16_t *portp)
{
	int one = 1, small = SMALL_BUFFER, ret = -1, fd = -1;
	struct sockaddr_storage ss;
	struct sockaddr *sa = (struct sockaddr *)&ss;
	socklen_t len = make_address(address, port, &ss);
	bool narrow = p->stalls;

	for (size_t i = 0; i < p->n; i++)
		narrow = narrow ||
		    (p->events[i].kind == SCRIPT_BODY && is_cut_body(p, i));
	if (len == 0)
		return -1;
	fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd == -1)
		return -1;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (narrow)
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small,
		    sizeof(small));
	if (bind(fd, sa, len) == -1 || getsockname(fd, sa, &len) == -1)
		goto out;
	if (!p->refuses && listen(fd, p->is_mute ? 0 : 16) == -1)
		goto out;
	if (p->is_mute)
		fill_backlog(sa, len);
	*portp = ntohs(ss.ss_family == AF_INET
		? ((struct sockaddr_in *)&ss)->sin_port
		: ((struct sockaddr_in6 *)&ss)->sin6_port);
	ret = fd;
	fd = -1;
out:
	fd_close(fd);
	return ret;
}

void
replay_server_run(const struct replay_plan *p, int listen_fd, bool once)
{
	struct pollfd none = { -1, 0, 0 };
	int fd;

	while (p->refuses || p->is_mute)
		(void)poll(&none, 1, -1); /* as long as somebody wants us */
	do {
		fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd != -1)
			play_connection(p, fd);
		else if (errno != EINTR && errno != ECONNABORTED)
			return;
	} while (!once || fd == -1);
}
