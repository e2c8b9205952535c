/* SPDX-License-Identifier: ISC */
/*
 * The worker's connection with the remote: octets, in clear or through TLS, from
 * the socket to the session and back.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/worker_internal.h"

/* Whom the handshake's octets are noted for. */
static struct worker *watched;

static void
note_handshake(const uint8_t *octets, size_t n)
{
	struct transcript *t = &watched->transcript;

	if (n > 0)
		transcript_note_octets(t, TRANSCRIPT_SHAKE, octets, n);
	else if (errno == 0)
		transcript_note(t, TRANSCRIPT_CLOSED);
	else
		transcript_note_error(t, TRANSCRIPT_LOST, errno);
}

void
connection_watch(struct worker *w)
{
	watched = w;
	tls_client_watch(note_handshake);
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

enum session_tls_start
connection_start_tls(void *arg, const char **why)
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

void
connection_get_tls_info(void *arg, struct tls_info *info)
{
	(void)arg;
	tls_client_get_info(info);
}

void
connection_get_binding(void *arg, struct sasl_binding *binding)
{
	(void)arg;
	binding->len = (uint8_t)tls_client_get_binding(binding->octets,
	    sizeof(binding->octets), &binding->exporter);
}

void
connection_hang_up(void *arg)
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
	bool is_reset;
	ssize_t n;

	n = read(WORKER_REMOTE_FD, w->in, sizeof(w->in));
	/* Who refuses a connection says so in another way: it was one. */
	is_reset = n == -1 && errno == ECONNRESET;
	if (n == -1 && errno != EAGAIN && errno != EINTR && !is_reset) {
		why = strerrordesc_np(errno);
		transcript_note_error(&w->transcript, TRANSCRIPT_FAILED, errno);
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
	else if (is_reset)
		note_close(w, strerrordesc_np(ECONNRESET));
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

void
connection_write(struct worker *w)
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

short
connection_events(const struct worker *w)
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

void
connection_serve(struct worker *w, short revents)
{
	if (w->session.state == STATE_CONNECT)
		finish_connect(w);
	else if (w->session.state == STATE_TLS)
		shake_hands(w);
	else if (is_speaking(w) &&
	    (w->read_wants_out || (revents & ~POLLOUT) != 0))
		read_remote(w);
}
