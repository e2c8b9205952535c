/* SPDX-License-Identifier: ISC */
/*
 * Octets between a client's socket and its session, in clear or by TLS.  What waits
 * to be written is bounded by the session, which says no more until it is.
 */
#include "master/intake/smtpd/smtpd_internal.h"

#include <sys/socket.h>

#include <errno.h>

#include "common/log.h"
#include "common/util.h"
#include "master/intake/tls/tls_server.h"

/* What the session has said goes into TLS whole.  False: there is no memory. */
static bool
encrypt(struct smtpd *d)
{
	const char *out;
	size_t n;

	out = smtpd_session_out(d->session, &n);
	if (n == 0)
		return true;
	if (tls_server_stream_write(d->tls, (const uint8_t *)out, n) == -1)
		return false;
	smtpd_session_written(d->session, n);
	return true;
}

static const void *
output(const struct smtpd *d, size_t *n)
{
	if (d->tls != NULL)
		return tls_server_stream_output(d->tls, n);
	return smtpd_session_out(d->session, n);
}

static void
written(struct smtpd *d, size_t n)
{
	if (d->tls != NULL)
		tls_server_stream_sent(d->tls, n);
	else
		smtpd_session_written(d->session, n);
	d->idle_ms = time_monotonic_ms() + d->timeout_ms;
}

bool
smtpd_io_flush(struct smtpd *d)
{
	const void *out;
	ssize_t done;
	size_t n;

	if (d->tls != NULL && tls_server_stream_is_up(d->tls) && !encrypt(d))
		return false;
	for (;;) {
		out = output(d, &n);
		if (n == 0)
			return true;
		done = send(d->fd, out, n, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (done == -1 && errno == EINTR)
			continue;
		if (done == -1 && errno == EAGAIN)
			return event_add(d->writable, NULL) == 0;
		if (done == -1)
			return false;
		written(d, (size_t)done);
	}
}

bool
smtpd_io_has_output(const struct smtpd *d)
{
	size_t n, more = 0;

	(void)smtpd_session_out(d->session, &n);
	if (d->tls != NULL)
		(void)tls_server_stream_output(d->tls, &more);
	return n + more > 0;
}

/* To send nothing fails where nothing can be sent any more.  A client that has
 * closed its own direction alone (shutdown(2)) waits for an answer, and of a
 * socket of TCP its FIN says no more than that: where the client is gone, the
 * kernel learns it by the next thing that is sent, or by keepalive. */
bool
smtpd_io_is_cut(const struct smtpd *d)
{
	return send(d->fd, "", 0, MSG_DONTWAIT | MSG_NOSIGNAL) == -1 &&
	    errno != EAGAIN && errno != EINTR;
}

bool
smtpd_io_start_tls(struct smtpd *d)
{
	struct tls_server *server = d->in->mail_listeners[d->listener].tls;

	/* One line, into a socket that the client is waiting at. */
	if (server == NULL || !smtpd_io_flush(d) || smtpd_io_has_output(d))
		return false;
	d->tls = tls_server_stream_new(server);
	return d->tls != NULL;
}

bool
smtpd_io_feed(struct smtpd *d, const uint8_t *in, size_t n)
{
	bool was_up = tls_server_stream_is_up(d->tls);

	if (tls_server_stream_feed(d->tls, in, n) == -1) {
		(void)smtpd_io_flush(d); /* its alert */
		log_line(LOG_INFO, "%s: TLS: %s", d->peer,
		    tls_server_stream_error(d->tls));
		return false;
	}
	if (!was_up && tls_server_stream_is_up(d->tls)) {
		smtpd_session_tls_is_up(d->session);
		smtpd_log_tls(d);
	}
	return true;
}

bool
smtpd_io_shakes_hands(const struct smtpd *d)
{
	return d->tls != NULL && !tls_server_stream_is_up(d->tls);
}

void
smtpd_io_end(struct smtpd *d)
{
	if (d->tls == NULL || smtpd_io_shakes_hands(d))
		return;
	(void)encrypt(d); /* what cannot be said is lost with the client */
	tls_server_stream_close(d->tls);
}
