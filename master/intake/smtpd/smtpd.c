/* SPDX-License-Identifier: ISC */
/*
 * The connections of LMTP and SMTP: octets between a socket and its session, how
 * long each may take, and how it ends.  What a session's events mean for mail is
 * smtpd_transaction.c's.
 */
#include "master/intake/smtpd/smtpd_internal.h"

#include <sys/socket.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/closer.h"
#include "common/log.h"
#include "common/util.h"
#include "master/intake/smtpd/smtpd.h"
#include "master/intake/tls/tls_server.h"

/* Octets read at once; what of them cannot be taken yet is kept. */
#define READ_SIZE 32768
/* Reads in a row before others have their turn. */
#define READ_BURST 8
/* How often is looked who takes too long. */
#define TICK_MS 1000
/* Who was told that all is over has this long to read it. */
#define LINGER_MS 5000
/* Who is silent for so long while a generation ends has nothing to hand in. */
#define SPARE_MS 5000
/* Packets that nobody has read, at most looked at when a session ends. */
#define UNREAD_MAX 1024

static uint8_t input[READ_SIZE];
static uint8_t plain[READ_SIZE]; /* of TLS */
static uint8_t scratch[SMTPD_DATA_ROOM(READ_SIZE) + 2];

/* Of a Unix socket with what was passed by it, which a kernel without SO_PASSRIGHTS
 * (before 6.16) lets in, and would close in our name. */
static ssize_t
receive(const struct smtpd *d, uint8_t *octets, size_t size)
{
	union {
		struct cmsghdr align;
		uint8_t room[CMSG_SPACE(CLOSER_FDS * sizeof(int))];
	} control;
	struct iovec iov = { octets, size };
	struct msghdr mh = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control.room) };
	ssize_t n;

	if (d->family != AF_UNIX)
		return read(d->fd, octets, size);
	n = recvmsg(d->fd, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n != -1)
		closer_take(&mh, d->uid);
	return n;
}

/* With what is in octets that nobody has read. */
static void
close_socket(const struct smtpd *d)
{
	bool is_empty = d->family != AF_UNIX;

	if (!is_empty)
		(void)shutdown(d->fd, SHUT_RD); /* and no more gets in */
	for (unsigned i = 0; i < UNREAD_MAX && !is_empty; i++)
		is_empty = receive(d, plain, sizeof(plain)) <= 0;
	if (is_empty)
		fd_close(d->fd);
	else
		closer_give(d->fd, d->uid);
}

static void
smtpd_close(struct smtpd *d)
{
	struct intake *in = d->in;

	smtpd_transaction_clear(d);
	smtpd_log_disconnect(d);
	TAILQ_REMOVE(&in->smtpds, d, entry);
	in->clients.nothers--;
	in->mail_listeners[d->listener].nsessions--;
	share_leave(d->share);
	event_free(d->readable);
	event_free(d->writable);
	close_socket(d);
	tls_server_stream_free(d->tls);
	free(d->session);
	free(d->input);
	free(d);
	clients_stop_if_done(&in->clients);
}

static void
lose(struct smtpd *d)
{
	smtpd_log_lost(d, "lost connection");
	smtpd_close(d);
}

/* What a session tells us, but that it wants more.  False: it is over. */
static bool
handle(struct smtpd *d, enum smtpd_event event)
{
	switch (event) {
	case SMTPD_MAIL:
		smtpd_transaction_sender(d);
		break;
	case SMTPD_RCPT:
		smtpd_transaction_recipient(d);
		break;
	case SMTPD_BEGIN:
		smtpd_transaction_begin(d);
		break;
	case SMTPD_CONTENT:
		smtpd_transaction_content(d);
		break;
	case SMTPD_MESSAGE:
		smtpd_transaction_end(d);
		break;
	case SMTPD_RESET:
		smtpd_transaction_clear(d);
		break;
	case SMTPD_REFUSED:
		if (smtpd_session_command(d->session)->is_foreign)
			smtpd_log_foreign(d);
		smtpd_log_reject(d,
		    smtpd_command_verb_name(
			smtpd_session_command(d->session)->verb),
		    smtpd_session_refusal(d->session));
		break;
	case SMTPD_STARTTLS: /* pump() */
	case SMTPD_CLOSE:
		return false;
	case SMTPD_MORE:
		break;
	}
	return true;
}

/* Keeps what could not be taken. */
static bool
keep_input(struct smtpd *d, const uint8_t *in, size_t n)
{
	uint8_t *kept = NULL;

	if (n > 0) {
		kept = malloc(n);
		if (kept == NULL)
			return false;
		memcpy(kept, in, n);
	}
	free(d->input); /* in may be a part of it */
	d->input = kept;
	d->input_len = n;
	return true;
}

/* Feeds the session until it wants more than there is.  False: it is over. */
static bool
pump(struct smtpd *d, const uint8_t *in, size_t n)
{
	enum smtpd_event event;
	size_t used;

	for (;;) {
		event = smtpd_session_feed(d->session, in, n, &used);
		in = n > 0 ? in + used : in; /* which is NULL at the start */
		n -= used;
		if (event == SMTPD_CLOSE)
			return false;
		/* What stood behind the command was nobody's who has TLS
		 * (RFC 3207, 4.2). */
		if (event == SMTPD_STARTTLS)
			return smtpd_io_start_tls(d) && keep_input(d, NULL, 0);
		if (event != SMTPD_MORE) {
			if (!handle(d, event))
				return false;
			continue;
		}
		if (!smtpd_session_is_stuck(d->session) ||
		    !smtpd_io_has_output(d))
			break; /* all is taken, or the queue is to answer */
		if (!smtpd_io_flush(d))
			return false;
		if (smtpd_io_has_output(d))
			break; /* the client does not read */
		smtpd_transaction_answer(d);
	}
	return keep_input(d, in, n);
}

/* All is said.  What it still sends is read and dropped, or its kernel would be
 * told of a reset and forget our last words. */
static void
linger(struct smtpd *d)
{
	if (!d->last_words)
		smtpd_io_end(d);
	d->last_words = true;
	smtpd_transaction_clear(d);
	if (!smtpd_io_flush(d)) {
		smtpd_close(d);
		return;
	}
	if (smtpd_io_has_output(d))
		return; /* on_writable() comes here again */
	if (smtpd_session_command(d->session)->verb == SMTPD_VERB_QUIT ||
	    shutdown(d->fd, SHUT_WR) == -1) {
		smtpd_close(d);
		return;
	}
	d->lingers = true;
	d->idle_ms = time_monotonic_ms() + LINGER_MS;
	d->timeout_ms = LINGER_MS;
	if (event_add(d->readable, NULL) == -1)
		smtpd_close(d);
}

/* While another generation takes over, a 421 to who has just come, or has just made
 * sure that the session is alive, would put its message off: it may hand in that
 * one. */
static bool
is_spared(struct smtpd *d, bool is_idle)
{
	uint32_t mails = smtpd_session_counts(d->session)[SMTPD_VERB_MAIL].all;

	if (!d->in->clients.leaving)
		return false;
	if (d->mails_most == 0)
		d->mails_most = mails + (is_idle ? 1 : 0);
	return mails < d->mails_most &&
	    time_monotonic_ms() < d->idle_ms - d->timeout_ms + SPARE_MS;
}

static bool
is_ending(const struct smtpd *d)
{
	return clients_are_ending(&d->in->clients) ||
	    d->listener == LISTENER_GONE;
}

static void
drain_if_idle(struct smtpd *d)
{
	enum smtpd_state state = smtpd_session_state(d->session);
	bool is_idle = state < SMTPD_IN_MAIL || state > SMTPD_IN_CHUNKS;

	if (is_ending(d) && !is_spared(d, is_idle) && is_idle)
		smtpd_reply_end(d->session, "4.3.2", "Service shutting down");
}

/* Whether what comes next can be taken at once. */
static bool
can_take(const struct smtpd *d)
{
	if (d->last_words || d->input_len > 0)
		return false;
	if (smtpd_io_shakes_hands(d))
		return true;
	/* TLS keeps what it is fed, however much, until it is read out; and that
	 * waits for a client that reads. */
	if (d->tls != NULL && smtpd_io_has_output(d))
		return false;
	return !smtpd_session_is_stuck(d->session);
}

/* Takes octets, and says what is to be said.  False: it is over, and d may be
 * gone. */
static bool
take(struct smtpd *d, const uint8_t *in, size_t n)
{
	bool goes_on;

	goes_on = pump(d, in, n);
	if (goes_on && is_ending(d)) {
		drain_if_idle(d);
		goes_on = pump(d, d->input, d->input_len);
	}
	if (!goes_on) {
		if (smtpd_session_has_erred(d->session))
			smtpd_log_lost(d, "too many errors");
		linger(d);
		return false;
	}
	if (!smtpd_io_flush(d)) {
		d->broken = true;
		lose(d);
		return false;
	}
	return true;
}

/* The same, with all that TLS holds already; then reads on where it may. */
static void
go_on(struct smtpd *d, const uint8_t *in, size_t n)
{
	bool over = false;

	if (!take(d, in, n))
		return;
	while (d->tls != NULL && can_take(d)) {
		n = tls_server_stream_read(d->tls, plain, sizeof(plain), &over);
		if (over) {
			lose(d);
			return;
		}
		if (n == 0)
			break;
		if (!take(d, plain, n))
			return;
	}
	if (d->paused && can_take(d) && !smtpd_io_has_output(d)) {
		d->paused = false;
		if (event_add(d->readable, NULL) == -1)
			lose(d);
	}
}

/* Write what there is, and go on with what was not taken yet.  d may be gone
 * on return. */
static void
resume(struct smtpd *d)
{
	smtpd_transaction_answer(d);
	go_on(d, d->input, d->input_len);
}

void
smtpd_later(struct smtpd *d)
{
	event_active(d->writable, EV_WRITE, 0);
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct smtpd *d = arg;

	(void)fd;
	(void)what;
	if (d->lingers)
		return;
	if (d->last_words)
		linger(d);
	else
		resume(d);
}

/* Nothing more comes: n is what read() said.  Who has only said that it sends no
 * more may still read what is left to be written. */
static void
end_input(struct smtpd *d, ssize_t n)
{
	if (d->lingers) {
		smtpd_close(d);
		return;
	}
	d->broken = n == -1;
	smtpd_log_lost(d, "lost connection");
	if (n == 0 && smtpd_io_has_output(d))
		linger(d);
	else
		smtpd_close(d);
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct smtpd *d = arg;
	struct intake *in = d->in;
	unsigned i, was;
	ssize_t n;

	(void)fd;
	(void)what;
	for (i = 0; i < READ_BURST; i++) {
		if (!d->lingers && !can_take(d)) {
			d->paused = true;
			event_del(d->readable);
			return;
		}
		n = receive(d, input, sizeof(input));
		if (n == -1 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			end_input(d, n);
			return;
		}
		if (d->lingers)
			continue;
		d->idle_ms = time_monotonic_ms() + d->timeout_ms;
		was = in->clients.nothers;
		if (d->tls == NULL)
			go_on(d, input, (size_t)n);
		else if (smtpd_io_feed(d, input, (size_t)n))
			go_on(d, NULL, 0);
		else
			lose(d);
		if (in->clients.nothers != was || (size_t)n < sizeof(input))
			return; /* it is gone, or there was no more */
	}
}

/* Time. */

/* The queue is to answer. */
static void
check_waiting(struct smtpd *d, bool is_late)
{
	if (is_late)
		smtpd_transaction_give_up(d);
	else if (d->final && smtpd_io_is_cut(d))
		/* What no session has yet is not sent: it sends it again. */
		lose(d);
}

static void
check_time(struct smtpd *d, int64_t now_ms)
{
	bool is_late = d->begun_ms != 0 &&
	    now_ms > d->begun_ms + d->transaction_timeout_ms;

	if (d->mail.request != NULL) {
		check_waiting(d, is_late);
		return;
	}
	if (now_ms <= d->idle_ms && !is_late)
		return;
	if (d->lingers || d->last_words || smtpd_io_has_output(d)) {
		/* It does not read: there is nobody to be told. */
		if (!d->lingers)
			smtpd_log_lost(d, "timeout");
		smtpd_close(d);
		return;
	}
	smtpd_log_lost(d, "timeout");
	smtpd_reply_end(d->session, "4.4.2", "Error: timeout exceeded");
	linger(d);
}

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	static const struct timeval tick = { TICK_MS / 1000, 0 };
	struct intake *in = arg;
	int64_t now_ms = time_monotonic_ms();
	struct smtpd *d, *next;

	(void)fd;
	(void)what;
	for (d = TAILQ_FIRST(&in->smtpds); d != NULL; d = next) {
		next = TAILQ_NEXT(d, entry);
		check_time(d, now_ms);
	}
	if (in->clients.leaving)
		smtpd_drain(in);
	if (in->clients.nothers > 0)
		event_add(in->smtpd_timer, &tick);
}

/* Beginning. */

/* NULL: there is room for one more; else what it is told. */
static const char *
join(struct smtpd *d, const struct config_listener *l)
{
	struct share_key key = { .family = d->family };
	struct intake *in = d->in;
	unsigned of_client = (unsigned)l->smtpd_client_connection_count_limit;

	if (d->family == AF_UNIX)
		key.uid = d->uid;
	else
		memcpy(key.addr, d->addr, sizeof(key.addr));
	if (in->clients.nothers >= SMTPD_SESSIONS_MAX ||
	    in->mail_listeners[d->listener].nsessions >=
		(unsigned)l->session_limit)
		return "too many sessions";
	d->share = share_join(&in->clients, &key, of_client);
	return d->share != NULL ? NULL : "too many connections from you";
}

/* Turned away before it is a session; one write, which a new socket has room
 * for. */
static void
turn_away(struct smtpd *d, const char *why)
{
	char text[SMTPD_NAME_SIZE + 100];
	int n;

	n = snprintf(text, sizeof(text), "421 4.7.0 %s Error: %s\r\n",
	    d->hostname, why);
	(void)send(d->fd, text, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
	log_line(LOG_WARN, "listener %s: %s: %s: turned away",
	    d->in->clients.config->listeners[d->listener].name, d->peer, why);
	fd_close(d->fd);
	free(d);
}

static int
make_session(struct smtpd *d, const struct config_listener *l)
{
	struct smtpd_policy policy;

	smtpd_policy_make(d, l, &policy);
	d->session = malloc(smtpd_session_size(&policy));
	d->readable = event_new(d->in->clients.role.base, d->fd,
	    EV_READ | EV_PERSIST, on_readable, d);
	d->writable = event_new(d->in->clients.role.base, d->fd, EV_WRITE,
	    on_writable, d);
	if (d->session == NULL || d->readable == NULL || d->writable == NULL ||
	    event_add(d->readable, NULL) == -1) {
		free(d->session);
		if (d->readable != NULL)
			event_free(d->readable);
		if (d->writable != NULL)
			event_free(d->writable);
		return -1;
	}
	smtpd_session_init(d->session, &policy, scratch, sizeof(scratch));
	return 0;
}

static void
begin(struct smtpd *d)
{
	static const struct timeval tick = { TICK_MS / 1000, 0 };
	static const struct smtpd_reply denied = { 554, "5.7.1",
		"Client host rejected: Access denied" };
	struct intake *in = d->in;

	TAILQ_INSERT_TAIL(&in->smtpds, d, entry);
	in->clients.nothers++;
	if (!evtimer_pending(in->smtpd_timer, NULL))
		(void)event_add(in->smtpd_timer, &tick); /* or the next one */
	in->mail_listeners[d->listener].nsessions++;
	d->idle_ms = time_monotonic_ms() + d->timeout_ms;
	smtpd_log_connect(d);
	if (smtpd_session_state(d->session) == SMTPD_DENIED)
		smtpd_log_reject(d, "CONNECT", &denied);
	go_on(d, NULL, 0);
}

void
smtpd_open(struct intake *in, int fd, size_t listener,
    const struct sockaddr_storage *from)
{
	const struct config_listener *l =
	    &in->clients.config->listeners[listener];
	const char *why;
	struct smtpd *d;

	d = calloc(1, sizeof(*d));
	if (d == NULL) {
		fd_close(fd);
		return;
	}
	d->in = in;
	d->fd = fd;
	d->listener = listener;
	message_spool_init(&d->mail.gather, 0);
	smtpd_policy_configure(d, l);
	why =
	    smtpd_policy_find_peer(d, from) == -1 ? "who are you" : join(d, l);
	if (why != NULL) {
		turn_away(d, why);
		return;
	}
	if (make_session(d, l) == -1) {
		share_leave(d->share);
		turn_away(d, "no memory");
		return;
	}
	begin(d);
}

int
smtpd_init(struct intake *in)
{
	TAILQ_INIT(&in->smtpds);
	in->started_s = (uint64_t)(time_real_ms() / 1000);
	in->smtpd_timer = evtimer_new(in->clients.role.base, on_tick, in);
	return in->smtpd_timer != NULL ? 0 : -1;
}

void
smtpd_drain(struct intake *in)
{
	struct smtpd *d, *next;

	for (d = TAILQ_FIRST(&in->smtpds); d != NULL; d = next) {
		next = TAILQ_NEXT(d, entry);
		if (!d->last_words && !d->lingers)
			resume(d);
	}
}

void
smtpd_move(struct intake *in, const size_t *to)
{
	struct smtpd *d, *next;

	for (size_t i = 0; i <= LISTENER_GONE; i++)
		in->mail_listeners[i].nsessions = 0;
	TAILQ_FOREACH(d, &in->smtpds, entry) {
		d->listener = to[d->listener];
		in->mail_listeners[d->listener].nsessions++;
	}
	for (d = TAILQ_FIRST(&in->smtpds); d != NULL; d = next) {
		next = TAILQ_NEXT(d, entry);
		if (d->listener == LISTENER_GONE && !d->last_words &&
		    !d->lingers)
			resume(d);
	}
}

/* RFC 5321, 3.8: a 421 need not answer a command. */
void
smtpd_dismiss(struct intake *in)
{
	struct smtpd *d, *next;

	for (d = TAILQ_FIRST(&in->smtpds); d != NULL; d = next) {
		next = TAILQ_NEXT(d, entry);
		if (d->last_words || d->lingers)
			continue;
		smtpd_log_lost(d, "stop");
		smtpd_transaction_dismiss(d);
		smtpd_reply_end(d->session, "4.3.2", "Service shutting down");
		linger(d);
	}
}
