/* SPDX-License-Identifier: ISC */
/*
 * The worker's loop: it moves octets between the descriptors and the session,
 * and keeps its timers.  What the octets mean, session.c knows.
 */
#include "agent/worker.h"

#include <sys/socket.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent/session.h"
#include "common/roles.h"
#include "common/timers.h"
#include "common/util.h"
#ifdef POSTERN_ATTACKS
#include "tests/confine/attack.h"
#endif

#define NEVER                INT64_MAX
#define READ_SIZE            16384
#define TRANSCRIPT_TEXT_SIZE 16384 /* the tail of TRANSCRIPT */
#define MSG_LOGIN_OCTETS                                                       \
	(sizeof(struct msg_login) + SESSION_LOGIN_SIZE + 64) /* with header */

/* Static, so that pages which a session does not need are never there. */
static struct worker {
	struct session session;
	const struct tls_trusts *trusts;
	bool has_remote;
	bool has_body;
	bool was_spoken_to;  /* before it was our turn */
	bool write_is_dead;  /* only what the remote said before counts now */
	bool read_wants_out; /* TLS has something to send first */
	bool write_wants_in; /* or to receive */
	short handshake_events;
	size_t handshake_at; /* in the transcript */
	int64_t timer_at;    /* CLOCK_MONOTONIC, ms */
	int64_t cap_at;
	uint8_t in[READ_SIZE];
	_Alignas(8) uint8_t received[MSG_PACKET_SIZE];
	_Alignas(8) uint8_t packet[MSG_PACKET_SIZE];
	struct transcript transcript;
	char text[TRANSCRIPT_TEXT_SIZE]; /* of it, to be sent */
} worker;

/* What the session asks for. */

static void
send_report(struct worker *w, enum msg_type type, const void *payload,
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
send_transcript(struct worker *w)
{
	struct msg_transcript head = { .first = 1 };
	size_t at = 0, n;

	session_hide_secrets(&w->session);
	while ((n = transcript_write(&w->transcript, &at, w->text,
		    sizeof(w->text))) > 0) {
		send_report(w, MSG_TRANSCRIPT, &head, w->text, n);
		head.first = 0;
	}
}

/* What a report means to the transcript, which goes out ahead of a failure. */
static void
note_report(struct worker *w, enum msg_type type, const void *payload,
    const char *text)
{
	const struct msg_outcome *outcome = payload;
	const struct msg_next *next = payload;
	const struct msg_closed *closed = payload;
	struct transcript *t = &w->transcript;

	if (type == MSG_SESSION_UP) {
		transcript_opened(t);
	} else if (type == MSG_OUTCOME) {
		if (outcome->outcome.status != OUTCOME_DELIVERED)
			transcript_fail(t);
	} else if (type == MSG_NEXT && next->has_failure) {
		transcript_note_verdict(t, &next->outcome, text);
		send_transcript(w);
	} else if (type == MSG_CLOSED && closed->failed) {
		transcript_note_verdict(t, &closed->outcome, text);
		send_transcript(w);
	} else if (type == MSG_CLOSED && t->has_failure) {
		transcript_part(t); /* what went well at last goes */
		send_transcript(w);
	}
}

static void
report(void *arg, enum msg_type type, const void *payload, const char *tail,
    size_t len)
{
	struct worker *w = arg;

	if (w->transcript.on)
		note_report(w, type, payload, tail);
	send_report(w, type, payload, tail, len);
#ifdef POSTERN_ATTACKS
	if (type == MSG_BEGUN) /* all descriptors are there */
		attack_run(w->session.conf.ehlo_name);
#endif
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
note_why(struct transcript *t, enum transcript_event event, int error)
{
	const char *why = strerrordesc_np(error);

	transcript_note_text(t, event, why != NULL ? why : "unknown error");
}

/* Whether the remote spoke where only a handshake may follow. */
static bool
remote_spoke(struct worker *w)
{
	if (w->was_spoken_to)
		return true;
	if (w->session.conf.implicit_tls ||
	    read(WORKER_REMOTE_FD, w->in, 1) <= 0)
		return false;
	transcript_note_octets(&w->transcript, TRANSCRIPT_RECEIVED, w->in, 1);
	return true;
}

static void
note_handshake(const uint8_t *octets, size_t n)
{
	struct transcript *t = &worker.transcript;

	if (n > 0)
		transcript_note_octets(t, TRANSCRIPT_SHAKE, octets, n);
	else if (errno == 0)
		transcript_note(t, TRANSCRIPT_CLOSED);
	else
		note_why(t, TRANSCRIPT_LOST, errno);
}

static enum session_tls_start
start_tls(void *arg, const char **why)
{
	struct worker *w = arg;
	const struct session *s = &w->session;

	if (remote_spoke(w))
		return SESSION_TLS_INJECTED;
	if (tls_client_start(w->trusts, s->conf.trust, s->address.tls_name,
		s->conf.tls_level == TLS_VERIFY, WORKER_REMOTE_FD) == -1) {
		*why = tls_client_error();
		return SESSION_TLS_REFUSED;
	}
	transcript_note(&w->transcript, TRANSCRIPT_TLS);
	w->handshake_at = transcript_len(&w->transcript);
	w->handshake_events = POLLOUT;
	return SESSION_TLS_STARTED;
}

static void
get_tls_info(void *arg, struct tls_info *info)
{
	(void)arg;
	tls_client_get_info(info);
}

static void
get_binding(void *arg, struct sasl_binding *binding)
{
	(void)arg;
	binding->len = (uint8_t)tls_client_get_binding(binding->octets,
	    sizeof(binding->octets), &binding->exporter);
}

static void
hang_up(void *arg)
{
	struct worker *w = arg;
	const struct command_out *out = &w->session.out;
	size_t used;

	if (!w->has_remote)
		return;
	/* A last QUIT, perhaps; nobody waits for what comes of it. */
	if (out->len > 0 && !w->write_is_dead) {
		if (tls_client_is_started())
			(void)tls_client_write(out->octets, out->len, &used);
		else if (write(WORKER_REMOTE_FD, out->octets, out->len) == -1)
			w->write_is_dead = true;
	}
	tls_client_stop();
	(void)close(WORKER_REMOTE_FD); /* all that counts was read */
	w->has_remote = false;
	w->was_spoken_to = false;
	w->write_is_dead = false;
	w->read_wants_out = false;
	w->write_wants_in = false;
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
	.start_tls = start_tls,
	.get_tls_info = get_tls_info,
	.get_binding = get_binding,
	.hang_up = hang_up,
	.set_timer = set_timer,
};

/* The queue. */

/* What came with a message has the number that the filter allows. */
static void
take_descriptor(struct worker *w, const struct message *m)
{
	if (m->type == MSG_DIALED) {
		if (m->fd != WORKER_REMOTE_FD)
			_exit(WORKER_MISLED);
		w->has_remote = true;
	} else if (m->type == MSG_JOB) {
		if (m->fd != WORKER_BODY_FD)
			_exit(WORKER_MISLED);
		w->has_body = true;
	}
}

static void
start_cap(struct worker *w, const struct msg_session *conf)
{
	uint32_t ms = conf->timer_ms[TIMER_SESSION];

	w->cap_at = ms == 0 ? NEVER : time_monotonic_ms() + ms;
}

/* What a message of the queue or the dialer means to the transcript. */
static void
note_message(struct worker *w, const struct message *m)
{
	const struct msg_session *session = m->payload;
	const struct msg_address *address = m->payload;
	const struct msg_job *job = m->payload;
	const struct msg_dial_failed *failed = m->payload;
	struct transcript *t = &w->transcript;

	if (m->type == MSG_SESSION && session->transcript != 0) {
		t->on = true;
		t->now_ms = time_monotonic_ms();
		tls_client_watch(note_handshake);
	} else if (m->type == MSG_ADDRESS)
		transcript_begin(t);
	if (m->type == MSG_ADDRESS &&
	    message_string_ok(address->relay, sizeof(address->relay)))
		transcript_note_text(t, TRANSCRIPT_ADDRESS, address->relay);
	if (m->type == MSG_DIAL_FAILED)
		note_why(t, TRANSCRIPT_FAILED, failed->error);
	if (m->type != MSG_JOB)
		return;
	/* With all before it answered it begins anew, but for a half line. */
	if (w->session.state == STATE_READY &&
	    !reply_is_partial(&w->session.reply))
		transcript_part(t);
	else if (w->session.state == STATE_TAIL)
		transcript_trim(t);
	transcript_note_number(t, TRANSCRIPT_JOB, job->job);
}

/* One message of it; false where there is none now. */
static bool
take_message(struct worker *w)
{
	struct message m;
	const char *why;
	int ret;

	ret = message_receive(WORKER_CONTROL_FD, w->received,
	    ROLE_QUEUE | ROLE_DIALER, ROLE_WORKER, MSG_DONTWAIT, &m, &why);
	if (ret == -1 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (ret == -1 && errno == EPROTO)
		_exit(WORKER_MISLED);
	if (ret != 1)
		_exit(WORKER_ALONE);
	take_descriptor(w, &m);
	if (m.type == MSG_SESSION)
		start_cap(w, m.payload);
	note_message(w, &m);
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

/* The remote. */

static void
note_close(struct worker *w, const char *why)
{
	if (why == NULL)
		transcript_note(&w->transcript, TRANSCRIPT_CLOSED);
	else
		transcript_note_text(&w->transcript, TRANSCRIPT_LOST, why);
	session_closed(&w->session, why);
}

static void
finish_connect(struct worker *w)
{
	struct session *s = &w->session;
	const char *why;
	ssize_t n;

	n = read(WORKER_REMOTE_FD, w->in, sizeof(w->in));
	if (n == -1 && errno != EAGAIN && errno != EINTR) {
		why = strerrordesc_np(errno);
		note_why(&w->transcript, TRANSCRIPT_FAILED, errno);
		session_connect_failed(s, why != NULL ? why : "unknown error");
		return;
	}
	transcript_note(&w->transcript, TRANSCRIPT_CONNECTED);
	if (n > 0)
		transcript_note_octets(&w->transcript, TRANSCRIPT_RECEIVED,
		    w->in, (size_t)n);
	w->was_spoken_to = n > 0 && s->conf.implicit_tls;
	session_connected(s);
	if (n > 0)
		session_octets(s, w->in, (size_t)n);
	else if (n == 0)
		note_close(w, NULL);
}

/* Up to n octets; 0 where none can be read now, or where it is all over. */
static size_t
read_clear(struct worker *w)
{
	ssize_t n;

	n = read(WORKER_REMOTE_FD, w->in, sizeof(w->in));
	if (n > 0)
		return (size_t)n;
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return 0;
	note_close(w, n == 0 ? NULL : strerrordesc_np(errno));
	return 0;
}

static size_t
read_tls(struct worker *w)
{
	size_t n;

	switch (tls_client_read(w->in, sizeof(w->in), &n)) {
	case TLS_OK:
		return n;
	case TLS_WANT_WRITE:
		w->read_wants_out = true;
		break;
	case TLS_WANT_READ:
		break;
	case TLS_CLOSED:
		note_close(w, NULL);
		break;
	case TLS_ERROR:
		note_close(w, tls_client_error());
		break;
	}
	return 0;
}

static bool
is_speaking(const struct worker *w)
{
	return w->has_remote && session_is_connected(&w->session);
}

static void
read_remote(struct worker *w)
{
	size_t n;

	w->read_wants_out = false;
	w->write_wants_in = false;
	do {
		n = tls_client_is_started() ? read_tls(w) : read_clear(w);
		if (n == 0)
			break;
		if (w->session.state == STATE_AUTH)
			transcript_note_challenge(&w->transcript, w->in, n);
		else
			transcript_note_octets(&w->transcript,
			    TRANSCRIPT_RECEIVED, w->in, n);
		session_octets(&w->session, w->in, n);
	} while (is_speaking(w) && tls_client_has_pending());
}

static void
finish_handshake(struct worker *w)
{
	struct tls_info info;
	char text[sizeof(info) + 32];

	/* One that went well is of no interest, and long. */
	transcript_take_back(&w->transcript, w->handshake_at);
	tls_client_get_info(&info);
	(void)snprintf(text, sizeof(text), "%s %s %s", info.version,
	    info.cipher, info.verified ? "verified" : "unverified");
	transcript_note_text(&w->transcript, TRANSCRIPT_TLS_UP, text);
	session_tls_up(&w->session);
	/* A greeting may have come with the handshake's last octets. */
	if (tls_client_has_pending())
		read_remote(w);
}

static void
shake_hands(struct worker *w)
{
	switch (tls_client_handshake()) {
	case TLS_OK:
		finish_handshake(w);
		break;
	case TLS_WANT_READ:
		w->handshake_events = POLLIN;
		break;
	case TLS_WANT_WRITE:
		w->handshake_events = POLLOUT;
		break;
	case TLS_CLOSED:
	case TLS_ERROR:
		transcript_note_text(&w->transcript, TRANSCRIPT_TLS_FAILED,
		    tls_client_error());
		session_tls_failed(&w->session, tls_client_error());
		break;
	}
}

/*
 * Send some of the octets.  A connection that takes no more is not over yet:
 * what the remote said before it closed is still to be read (S-123).
 */
static size_t
write_some(struct worker *w, const uint8_t *octets, size_t len)
{
	size_t used = 0;
	ssize_t n;

	if (!tls_client_is_started()) {
		n = write(WORKER_REMOTE_FD, octets, len);
		if (n == -1 && errno != EAGAIN && errno != EINTR)
			w->write_is_dead = true;
		return n > 0 ? (size_t)n : 0;
	}
	switch (tls_client_write(octets, len, &used)) {
	case TLS_OK:
	case TLS_WANT_WRITE:
		break;
	case TLS_WANT_READ:
		w->write_wants_in = true;
		break;
	case TLS_CLOSED:
	case TLS_ERROR:
		w->write_is_dead = true;
		break;
	}
	return used;
}

static void
write_remote(struct worker *w)
{
	struct command_out *out = &w->session.out;
	size_t used;

	while (is_speaking(w) && out->len > 0 && !w->write_is_dead) {
		used = write_some(w, out->octets, out->len);
		if (used == 0)
			return;
		out->len -= used;
		memmove(out->octets, out->octets + used, out->len);
		if (out->len == 0)
			session_flushed(&w->session);
	}
}

static short
remote_events(const struct worker *w)
{
	if (w->session.state == STATE_CONNECT)
		return POLLOUT;
	if (w->session.state == STATE_TLS)
		return w->handshake_events;
	if (w->read_wants_out ||
	    (w->session.out.len > 0 && !w->write_is_dead && !w->write_wants_in))
		return POLLIN | POLLOUT;
	return POLLIN;
}

static void
serve_remote(struct worker *w, short revents)
{
	if (w->session.state == STATE_CONNECT)
		finish_connect(w);
	else if (w->session.state == STATE_TLS)
		shake_hands(w);
	else if (is_speaking(w) &&
	    (w->read_wants_out || (revents & ~POLLOUT) != 0))
		read_remote(w);
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
		    timer_name(session_timer(&w->session)));
		session_timeout(&w->session, false);
	}
}

static void
turn(struct worker *w)
{
	struct pollfd pfds[2] = { { WORKER_CONTROL_FD, 0, 0 },
		{ WORKER_REMOTE_FD, 0, 0 } };
	bool listening = session_wants_message(&w->session);

	pfds[0].events = listening ? POLLIN : 0;
	pfds[1].events = w->has_remote ? remote_events(w) : 0;
	wait_for(w, pfds, w->has_remote ? 2 : 1);
	if (w->transcript.on)
		w->transcript.now_ms = time_monotonic_ms();
	if (w->has_remote && pfds[1].revents != 0)
		serve_remote(w, pfds[1].revents);
	if (!listening && (pfds[0].revents & (POLLHUP | POLLERR)) != 0)
		_exit(WORKER_ALONE); /* nobody to tell: no end of a message */
	/* A remote's reply may have been all that we waited for. */
	if ((!listening || pfds[0].revents != 0) &&
	    session_wants_message(&w->session))
		serve_queue(w);
	write_remote(w);
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
