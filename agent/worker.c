/* SPDX-License-Identifier: ISC */
/*
 * The worker's loop: what the queue sends goes to the session, what the remote
 * sends through connection.c, and the timers run.  What it all means, session.c
 * knows.
 */
#include "agent/worker.h"

#include <sys/socket.h>

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent/worker_internal.h"
#include "common/timers.h"
#include "common/util.h"

#define NEVER INT64_MAX
#define MSG_LOGIN_OCTETS                                                       \
	(sizeof(struct msg_login) + SESSION_LOGIN_SIZE + 64) /* with header */

/* Static, so that pages which a session does not need are never there. */
static struct worker worker;

/* What the session asks for. */

void
worker_send(struct worker *w, enum msg_type type, const void *payload,
    const char *tail, size_t len)
{
	struct pollfd pfd = { WORKER_CONTROL_FD, POLLOUT, 0 };
	size_t n;

	n = message_encode(w->packet, type, payload, tail, len);
	if (n == 0)
		_exit(WORKER_MISLED);
	while (write(WORKER_CONTROL_FD, w->packet, n) == -1) {
		if (errno != EAGAIN && errno != EINTR)
			_exit(WORKER_ALONE);
		(void)ppoll(&pfd, 1, NULL, NULL); /* write() tells */
	}
}

static void
report(void *arg, enum msg_type type, const void *payload, const char *tail,
    size_t len)
{
	struct worker *w = arg;

	if (w->transcript.on)
		transcript_notes_take_report(w, type, payload, tail);
	worker_send(w, type, payload, tail, len);
}

static ssize_t
read_body(void *arg, uint8_t *out, size_t n, uint64_t offset)
{
	size_t len = 0;
	ssize_t got;

	(void)arg;
	while (len < n) {
		got = pread(WORKER_BODY_FD, out + len, n - len,
		    (off_t)(offset + len));
		if (got == -1 && errno == EINTR)
			continue;
		if (got <= 0)
			return got == 0 ? (ssize_t)len : -1;
		len += (size_t)got;
	}
	return (ssize_t)len;
}

static void
close_body(void *arg)
{
	struct worker *w = arg;

	if (w->has_body)
		(void)close(WORKER_BODY_FD); /* a memfd: nothing to lose */
	w->has_body = false;
}

static void
set_timer(void *arg, uint32_t ms)
{
	struct worker *w = arg;

	w->timer_at = ms == 0 ? NEVER : time_monotonic_ms() + ms;
}

static const struct session_ops ops = {
	.report = report,
	.read_body = read_body,
	.close_body = close_body,
	.start_tls = connection_start_tls,
	.get_tls_info = connection_get_tls_info,
	.get_binding = connection_get_binding,
	.hang_up = connection_hang_up,
	.set_timer = set_timer,
};

/* The queue. */

/* What came with a message has the number that the filter allows. */
static void
take_descriptor(struct worker *w, const struct message *m)
{
	if (m->type == MSG_JOB && m->fd == WORKER_BODY_FD) {
		w->has_body = true;
	} else if (m->type == MSG_JOB) {
		/* Sent before the queue knew that we left a host: dropped. */
		if (w->has_remote || m->fd != WORKER_REMOTE_FD)
			_exit(WORKER_MISLED);
		(void)close(WORKER_REMOTE_FD); /* a memfd: nothing to lose */
	}
}

static void
start_cap(struct worker *w, const struct msg_session *conf)
{
	uint32_t ms = conf->timer_ms[TIMER_SESSION];

	w->cap_at = ms == 0 ? NEVER : time_monotonic_ms() + ms;
}

/* One message of it; false where there is none now. */
static bool
take_message(struct worker *w)
{
	struct message m;
	const char *why;
	int ret;

	ret = message_receive(WORKER_CONTROL_FD, w->received, ROLE_QUEUE,
	    ROLE_WORKER, MSG_DONTWAIT, &m, &why);
	if (ret == -1 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (ret == -1 && errno == EPROTO)
		_exit(WORKER_MISLED);
	if (ret != 1)
		_exit(WORKER_ALONE);
	take_descriptor(w, &m);
	if (m.type == MSG_SESSION)
		start_cap(w, m.payload);
	transcript_notes_take_message(w, &m);
	if (m.type == MSG_SESSION && w->transcript.on)
		connection_watch(w);
	if (!session_message(&w->session, &m))
		_exit(WORKER_MISLED);
	if (m.type == MSG_LOGIN) /* the session has it, once is enough */
		explicit_bzero(w->received, MSG_LOGIN_OCTETS);
	return true;
}

/* All that it has sent ahead and the session takes now, for one flight. */
static void
serve_queue(struct worker *w)
{
	while (session_wants_message(&w->session))
		if (!take_message(w))
			break;
	session_gathered(&w->session);
}

/* The dialer. */

static void
take_socket(struct worker *w, const struct message *m)
{
	const struct msg_dialed *dialed = m->payload;
	const struct msg_connecting msg = { .number = dialed->number };

	if (m->fd != WORKER_REMOTE_FD) /* nothing else is open now */
		_exit(WORKER_MISLED);
	w->has_remote = true;
	worker_send(w, MSG_CONNECTING, &msg, NULL, 0);
}

/*
 * One answer.  That of another dial is of a dialer that died, or of none: its
 * socket goes.  What is no answer at all ends this address, and no session.
 */
static void
serve_dialer(struct worker *w)
{
	struct msg_dial_failed failed = { .error = EPROTO };
	struct message m;
	const char *why;
	int ret;

	ret = message_receive(WORKER_DIALER_FD, w->received, ROLE_DIALER,
	    ROLE_WORKER, MSG_DONTWAIT, &m, &why);
	if (ret == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (ret == 0) /* the queue has the other end, too */
		_exit(WORKER_ALONE);
	if (ret == -1) {
		failed.number = w->session.address.number;
		m = (struct message){ .type = MSG_DIAL_FAILED,
			.payload = &failed,
			.fd = -1 };
	}
	if (!session_takes_answer(&w->session, &m)) {
		if (m.fd != -1)
			(void)close(WORKER_REMOTE_FD); /* it was free */
		return;
	}
	if (m.type == MSG_DIALED)
		take_socket(w, &m);
	transcript_notes_take_message(w, &m);
	if (!session_message(&w->session, &m))
		_exit(WORKER_MISLED);
}

/* Time. */

static void
wait_for(struct worker *w, struct pollfd *pfds, nfds_t n)
{
	int64_t until = w->timer_at < w->cap_at ? w->timer_at : w->cap_at;
	struct timespec ts = { 0 };
	int64_t ms;

	if (until != NEVER) {
		ms = until - time_monotonic_ms();
		if (ms < 0)
			ms = 0;
		ts.tv_sec = ms / 1000;
		ts.tv_nsec = ms % 1000 * 1000000;
	}
	if (ppoll(pfds, n, until != NEVER ? &ts : NULL, NULL) != -1)
		return;
	/* A stop and a continue, perhaps: look again at everything. */
	for (nfds_t i = 0; i < n; i++)
		pfds[i].revents = 0;
}

static void
check_timers(struct worker *w)
{
	int64_t now;

	if (w->timer_at == NEVER && w->cap_at == NEVER)
		return;
	now = time_monotonic_ms();
	if (now >= w->cap_at) {
		w->cap_at = NEVER;
		transcript_note_text(&w->transcript, TRANSCRIPT_TIMEOUT,
		    timer_name(TIMER_SESSION));
		session_timeout(&w->session, true);
	} else if (now >= w->timer_at) {
		w->timer_at = NEVER;
		transcript_note_text(&w->transcript, TRANSCRIPT_TIMEOUT,
		    timer_name(session_state_timer(&w->session)));
		session_timeout(&w->session, false);
	}
}

static void
turn(struct worker *w)
{
	struct pollfd pfds[2] = { { WORKER_CONTROL_FD, 0, 0 },
		{ WORKER_REMOTE_FD, 0, 0 } };
	bool listening = session_wants_message(&w->session);
	bool has_remote = w->has_remote;
	bool dialing = session_is_dialing(&w->session);

	pfds[0].events = listening ? POLLIN : 0;
	pfds[1].events = has_remote ? connection_events(w) : 0;
	if (dialing)
		pfds[1] = (struct pollfd){ WORKER_DIALER_FD, POLLIN, 0 };
	wait_for(w, pfds, has_remote || dialing ? 2 : 1);
	if (w->transcript.on)
		w->transcript.now_ms = time_monotonic_ms();
	if (dialing && pfds[1].revents != 0)
		serve_dialer(w);
	else if (has_remote && pfds[1].revents != 0)
		connection_serve(w, pfds[1].revents);
	if (!listening && (pfds[0].revents & (POLLHUP | POLLERR)) != 0)
		_exit(WORKER_ALONE); /* nobody to tell: no end of a message */
	/* A remote's reply may have been all that we waited for. */
	if ((!listening || pfds[0].revents != 0) &&
	    session_wants_message(&w->session))
		serve_queue(w);
	connection_write(w);
	check_timers(w);
}

_Noreturn void
worker_run(const struct tls_trusts *trusts)
{
	worker.trusts = trusts;
	worker.timer_at = NEVER;
	worker.cap_at = NEVER;
	session_init(&worker.session, &ops, &worker);
	worker.session.transcript = &worker.transcript;
	while (!session_is_over(&worker.session))
		turn(&worker);
	_exit(WORKER_DONE);
}
